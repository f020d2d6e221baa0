"""Crons and time zones as the catalog writes them: checked, with messages that say what was expected."""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator


def checked_cron(cron: str) -> str:
    """`cron` if it is one of five fields; raises ValueError that says what was expected."""
    form = "expected minute, hour, day of the month, month and day of the week, such as 0 2 * * SUN"
    if len(cron.split()) != 5:
        raise ValueError(f"not a cron of five fields; {form}")
    try:
        CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as fault:
        raise ValueError(f"{str(fault).lower()}; {form}") from fault
    return cron


def checked_time_zone(name: str) -> str:
    """`name` if it is a time zone's; raises ValueError with the nearest name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as fault:
        close = get_close_matches(name, available_timezones(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "expected a name such as Europe/Berlin"
        raise ValueError(f"unknown time zone; {hint}") from fault
    return name


Cron = Annotated[str, AfterValidator(checked_cron)]
"""Minute, hour, day of the month, month, day of the week."""

TimeZone = Annotated[str, AfterValidator(checked_time_zone)]
"""A name of the IANA database, such as `Europe/Berlin`."""
