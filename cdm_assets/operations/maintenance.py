"""Which maintenance windows are open, which sources they hold, and which come next.

The windows are declared in the catalog's `maintenance.yaml`. Times are UTC; a window holds from its begin (inclusive)
to its end (exclusive). One that begins again before it is over, or just then, is one hold to the end of the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cdm_assets.catalog.model import LONGEST_HOLD, WAREHOUSE_SYSTEM, Catalog, MaintenanceWindow


@dataclass(frozen=True)
class OpenWindow:
    """A window that holds `system` now, and until when (UTC)."""

    name: str
    system: str
    until: datetime
    description: str

    def __str__(self) -> str:
        return f"maintenance {self.name} ({self.system}) until {utc_text(self.until)}"


@dataclass(frozen=True)
class ComingWindow:
    """A window that will hold `system` from `begins` until `until` (UTC)."""

    name: str
    system: str
    begins: datetime
    until: datetime
    description: str

    def __str__(self) -> str:
        return f"maintenance {self.name} ({self.system}) from {utc_text(self.begins)} until {utc_text(self.until)}"


def utc_text(when: datetime) -> str:
    """`when` (aware) to the minute, such as `2026-11-22 03:00 UTC`."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def open_windows(windows: Mapping[str, MaintenanceWindow], when: datetime) -> list[OpenWindow]:
    """Those of `windows` (by name) that are open at `when`, in the order in which they are declared.

    A hold is followed for 92 days at most. Raises ValueError if `when` has no time zone.
    """
    at = _aware(when)
    ends = {name: _open_until(window, at) for name, window in windows.items()}
    return [
        OpenWindow(name, windows[name].system, until, windows[name].description)
        for name, until in ends.items()
        if until is not None
    ]


def held_sources(catalog: Catalog, when: datetime) -> dict[str, OpenWindow]:
    """The sources of which nothing may start at `when`, each with the window that holds it longest.

    A window of `warehouse` holds every source. Raises ValueError if `when` has no time zone.
    """
    longest = _longest_by_system(catalog, when)
    held = {}
    for name, source in catalog.sources.items():
        holding = [longest[system] for system in (source.system, WAREHOUSE_SYSTEM) if system in longest]
        if holding:
            held[name] = max(holding, key=lambda window: window.until)
    return held


def sources_of(catalog: Catalog, system: str) -> list[str]:
    """The sources that a window of `system` holds, by name; every one for `warehouse`."""
    return [name for name, source in catalog.sources.items() if system in (source.system, WAREHOUSE_SYSTEM)]


def warehouse_window(catalog: Catalog, when: datetime) -> OpenWindow | None:
    """The window that holds the whole warehouse at `when`, the longest if many do; None if nothing does.

    Raises ValueError if `when` has no time zone.
    """
    return _longest_by_system(catalog, when).get(WAREHOUSE_SYSTEM)


def next_windows(catalog: Catalog, when: datetime, days: int = 14) -> list[ComingWindow]:
    """The windows that begin after `when` and within `days` of it, by begin; one may be there many times.

    What only prolongs a window open at `when` is not among them. Raises ValueError if `when` has no time zone.
    """
    since = _aware(when)
    last = since + timedelta(days=days)
    coming = [
        ComingWindow(name, window.system, begins, until, window.description)
        for name, window in catalog.maintenance.items()
        for begins, until in _coming(window, since, last)
    ]
    return sorted(coming, key=lambda window: (window.begins, window.name))


def _aware(when: datetime) -> datetime:
    """`when` in UTC, where adding hours is adding hours."""
    if when.tzinfo is None:
        raise ValueError(f"{when} has no time zone; expected an aware datetime, such as datetime.now(UTC)")
    return when.astimezone(UTC)


def _longest_by_system(catalog: Catalog, when: datetime) -> dict[str, OpenWindow]:
    by_end = sorted(open_windows(catalog.maintenance, when), key=lambda window: window.until)
    return {window.system: window for window in by_end}


def _open_until(window: MaintenanceWindow, when: datetime) -> datetime | None:
    """When the hold that `when` lies in ends (UTC); None if it lies in none."""
    beginnings = window.beginnings(when - window.length)
    begins = next((at for at in beginnings if at + window.length > when), None)
    if begins is None or begins > when:
        return None
    return _hold(window, begins, beginnings)[0]


def _coming(window: MaintenanceWindow, when: datetime, last: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Begin and end of each hold that begins after `when`, to `last` inclusive."""
    beginnings = window.beginnings(_open_until(window, when) or when)
    begins = next(beginnings, None)
    while begins is not None and begins <= last:
        until, following = _hold(window, begins, beginnings)
        yield begins, until
        begins = following


def _hold(
    window: MaintenanceWindow, begins: datetime, beginnings: Iterator[datetime]
) -> tuple[datetime, datetime | None]:
    """The end of the hold that starts with `begins`, and the first of the later `beginnings` that it does not cover."""
    until = begins + window.length
    for later in beginnings:
        if later > until or until - begins > LONGEST_HOLD:
            return until, later
        until = later + window.length
    return until, None
