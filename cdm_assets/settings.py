"""Where things are and which dates exist, from the environment (`CDM_*`).

Every setting has a default that works for the demo. Nothing here touches a database, nor a file but a secret's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from cdm_assets.catalog.types import Layer

DEMO_START: Final = date(2017, 1, 1)
DEMO_END: Final = date(2018, 1, 1)
FIRST_DATE: Final = date(2000, 1, 1)
LAST_DATE: Final = date(2079, 12, 31)
"""The business dates that the platform's calendar has."""

ENGINES: Final = ("duckdb", "postgresql", "snowflake", "oracle", "mssql")
_OTHER_NAMES: Final = {"postgres": "postgresql", "sqlserver": "mssql"}


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
    database: str = field(repr=False)
    """The file of a DuckDB database, or the SQLAlchemy URL of another engine's; the URL may hold a secret."""
    dagster_home: Path
    catalog_overlay: Path | None
    schema_prefix: str
    start_date: date
    end_date: date | None
    memory_limit: str
    threads: int
    token_key: str | None = field(repr=False)
    ui_url: str = "http://127.0.0.1:3000"
    """Where people reach the Dagster UI; links in alerts begin with it."""
    notify: str = field(default="", repr=False)
    """Addresses of alerts: apprise URLs with commas between, or a file of them. It may hold secrets."""
    runbooks: Path | None = None
    """The folder of the runbooks; None for the one beside the package."""

    database_password: str | None = field(default=None, repr=False)
    """Of the user in the URL `database`; None where it holds one, or none is needed."""
    snowflake_private_key: str | None = field(default=None, repr=False)
    """PEM text of the private key of the user in a Snowflake `database`; None where it shows a password."""
    snowflake_passphrase: str | None = field(default=None, repr=False)
    """Of an encrypted `snowflake_private_key`."""
    dagster_storage: str | None = field(default=None, repr=False)
    """The PostgreSQL URL of Dagster's own storage; None for SQLite files in `dagster_home`. It may hold a secret."""
    dagster_storage_password: str | None = field(default=None, repr=False)
    """Of the user in `dagster_storage`; None where the URL holds one, or none is needed."""
    max_concurrent_runs: int | None = None
    """Runs that load at once; None for what the engine bears."""

    @property
    def engine(self) -> str:
        """One of `ENGINES`."""
        return engine_of(self.database)

    @property
    def database_path(self) -> Path:
        """The file of a DuckDB database; raises SettingsError on every other engine."""
        if self.engine != "duckdb":
            raise SettingsError(f"CDM_DATABASE names a {self.engine} database; this works on a DuckDB file only")
        return Path(self.database)

    @property
    def database_name(self) -> str:
        """The database for people to read: a file, or a URL without its password."""
        return re.sub(r"(://[^:@/]*):[^@/]*@", r"\1:***@", self.database)

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
            database=_database(env, home / "warehouse" / "cdm.duckdb"),
            dagster_home=_path(env, "DAGSTER_HOME", home / "dagster"),
            catalog_overlay=Path(overlay).expanduser().absolute() if overlay else None,
            schema_prefix=_prefix(env),
            start_date=start,
            end_date=end,
            memory_limit=_size(env, "CDM_MEMORY_LIMIT", "2GB"),
            threads=_count(env, "CDM_THREADS", os.cpu_count() or 1),
            token_key=_secret(env, "CDM_TOKEN_KEY"),
            ui_url=_url(env, "CDM_UI_URL", "http://127.0.0.1:3000"),
            notify=env.get("CDM_NOTIFY") or "",
            database_password=_secret(env, "CDM_DATABASE_PASSWORD"),
            snowflake_private_key=_secret(env, "CDM_SNOWFLAKE_PRIVATE_KEY"),
            snowflake_passphrase=_secret(env, "CDM_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"),
            dagster_storage=_dagster_storage(env),
            dagster_storage_password=_secret(env, "CDM_DAGSTER_STORAGE_PASSWORD"),
            max_concurrent_runs=_optional_count(env, "CDM_MAX_CONCURRENT_RUNS"),
            runbooks=Path(env["CDM_RUNBOOKS"]).expanduser().absolute() if env.get("CDM_RUNBOOKS") else None,
        )


def engine_of(database: str) -> str:
    """The engine of a database file or URL; raises SettingsError for one that the platform does not know."""
    if "://" not in database:
        return "duckdb"
    name = re.split(r"[+:]", database, maxsplit=1)[0]
    name = _OTHER_NAMES.get(name, name)
    if name not in ENGINES:
        near = get_close_matches(name, ENGINES, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise SettingsError(f"unknown engine {name!r} in a database URL; expected one of {', '.join(ENGINES)}.{hint}")
    return name


def _database(env: Mapping[str, str], default: Path) -> str:
    text = env.get("CDM_DATABASE") or ""
    if text.startswith("duckdb:///"):
        text = text.removeprefix("duckdb:///")
    engine = engine_of(text)
    return str(_path({"CDM_DATABASE": text}, "CDM_DATABASE", default)) if engine == "duckdb" else text


def _dagster_storage(env: Mapping[str, str]) -> str | None:
    text = env.get("CDM_DAGSTER_STORAGE") or None
    if text is not None and ("://" not in text or engine_of(text) != "postgresql"):
        raise SettingsError(
            "CDM_DAGSTER_STORAGE must be the URL of a PostgreSQL database: postgresql://user@host/dagster"
        )
    return text


def _secret(env: Mapping[str, str], name: str) -> str | None:
    """A secret itself, or `file:PATH` of a file that holds it."""
    text = env.get(name) or None
    if text is None or not text.startswith("file:"):
        return text
    path = Path(text.removeprefix("file:")).expanduser()
    try:
        return path.read_text().strip()
    except OSError as fault:
        raise SettingsError(f"{name}={text}: the file cannot be read: {fault.strerror}") from fault


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


def _optional_count(env: Mapping[str, str], name: str) -> int | None:
    return _count(env, name, 1) if env.get(name) else None


def _prefix(env: Mapping[str, str]) -> str:
    prefix = env.get("CDM_SCHEMA_PREFIX", "")
    if prefix and not (prefix.isidentifier() and prefix.islower() and prefix.isascii()):
        raise SettingsError(f"CDM_SCHEMA_PREFIX={prefix!r} must be lower-case letters, digits and _, such as `dev_`")
    longest = max(len(layer.value) for layer in Layer) + len(prefix)
    if longest > 60:
        raise SettingsError(f"CDM_SCHEMA_PREFIX={prefix!r} is too long: schema names would have {longest} characters")
    return prefix
