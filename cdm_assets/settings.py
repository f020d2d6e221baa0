"""Where things are and which dates exist, from the environment (`CDM_*`).

Every setting has a default that works for the demo. Nothing here touches a file or a database.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from cdm_assets.catalog.types import Layer

DEMO_START: Final = date(2017, 1, 1)
DEMO_END: Final = date(2018, 1, 1)
FIRST_DATE: Final = date(2000, 1, 1)
LAST_DATE: Final = date(2079, 12, 31)
"""The business dates that the platform's calendar has."""


class SettingsError(Exception):
    """A `CDM_*` variable has a value that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """The platform's configuration.

    `start_date` is Day 0; `end_date` is the last business date, None for "up to yesterday". Paths are absolute.
    """

    home: Path
    landing_root: str
    """A folder, or the fsspec URL of one (`s3://bucket/landing`)."""
    archive: Path
    """Where every content of every landing file is kept."""
    database_path: Path
    dagster_home: Path
    catalog_overlay: Path | None
    schema_prefix: str
    start_date: date
    end_date: date | None
    memory_limit: str
    threads: int
    token_key: str | None
    ui_url: str = "http://127.0.0.1:3000"
    """Where people reach the Dagster UI; links in alerts begin with it."""
    notify: str = ""
    """Addresses of alerts: apprise URLs with commas between, or a file of them. It may hold secrets."""
    runbooks: Path | None = None
    """The folder of the runbooks; None for the one beside the package."""

    @property
    def last_business_date(self) -> date:
        """`end_date`, or yesterday (UTC)."""
        return self.end_date or datetime.now(UTC).date() - timedelta(days=1)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read `CDM_*`; raises SettingsError naming the variable, its value and what was expected."""
        env = os.environ if environment is None else environment
        home = Path(env.get("CDM_HOME", ".cdm")).expanduser().absolute()
        overlay = env.get("CDM_CATALOG")
        start = _date(env, "CDM_START_DATE")
        end = _date(env, "CDM_END_DATE")
        if start is None:
            start, end = DEMO_START, end or DEMO_END
        if end is not None and end < start:
            raise SettingsError(f"CDM_END_DATE={end} is before CDM_START_DATE={start}")
        return cls(
            home=home,
            landing_root=_folder_or_url(env, "CDM_LANDING", home / "landing"),
            archive=_path(env, "CDM_ARCHIVE", home / "archive"),
            database_path=_path(env, "CDM_DATABASE", home / "warehouse" / "cdm.duckdb"),
            dagster_home=_path(env, "DAGSTER_HOME", home / "dagster"),
            catalog_overlay=Path(overlay).expanduser().absolute() if overlay else None,
            schema_prefix=_prefix(env),
            start_date=start,
            end_date=end,
            memory_limit=_size(env, "CDM_MEMORY_LIMIT", "2GB"),
            threads=_count(env, "CDM_THREADS", os.cpu_count() or 1),
            token_key=env.get("CDM_TOKEN_KEY") or None,
            ui_url=_url(env, "CDM_UI_URL", "http://127.0.0.1:3000"),
            notify=env.get("CDM_NOTIFY") or "",
            runbooks=Path(env["CDM_RUNBOOKS"]).expanduser().absolute() if env.get("CDM_RUNBOOKS") else None,
        )


def _path(env: Mapping[str, str], name: str, default: Path) -> Path:
    return Path(env[name]).expanduser().absolute() if env.get(name) else default


def _folder_or_url(env: Mapping[str, str], name: str, default: Path) -> str:
    text = env.get(name) or ""
    return text if "://" in text else str(_path(env, name, default))


def _url(env: Mapping[str, str], name: str, default: str) -> str:
    text = (env.get(name) or default).rstrip("/")
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise SettingsError(f"{name}={text!r} is not a web address; expected one such as https://dagster.example.com")
    return text


def _date(env: Mapping[str, str], name: str) -> date | None:
    text = env.get(name)
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as fault:
        raise SettingsError(f"{name}={text!r} is not a date; expected YYYY-MM-DD") from fault
    if not FIRST_DATE <= day <= LAST_DATE:
        raise SettingsError(f"{name}={text} is outside the calendar; expected a date from {FIRST_DATE} to {LAST_DATE}")
    return day


def _size(env: Mapping[str, str], name: str, default: str) -> str:
    text = env.get(name) or default
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)? ?[KMGT]i?B", text):
        raise SettingsError(f"{name}={text!r} is not a size; expected a number with KB, MB, GB or TB, such as 4GB")
    return text


def _count(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"{name}={text!r} is not a whole number of at least 1")
    return int(text)


def _prefix(env: Mapping[str, str]) -> str:
    prefix = env.get("CDM_SCHEMA_PREFIX", "")
    if prefix and not (prefix.isidentifier() and prefix.islower() and prefix.isascii()):
        raise SettingsError(f"CDM_SCHEMA_PREFIX={prefix!r} must be lower-case letters, digits and _, such as `dev_`")
    longest = max(len(layer.value) for layer in Layer) + len(prefix)
    if longest > 60:
        raise SettingsError(f"CDM_SCHEMA_PREFIX={prefix!r} is too long: schema names would have {longest} characters")
    return prefix
