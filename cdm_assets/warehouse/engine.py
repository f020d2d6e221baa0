"""The warehouse: one database, its tables, and transactions on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from cdm_assets.settings import ENGINES, Settings, engine_of
from cdm_assets.warehouse.tables import Tables

_LOCK_POLL_SECONDS: Final = 0.5


READS_FILES_WITH: Final = "cdm_reads_files_with"
"""The execution option of a server's connections that bounds the DuckDB that reads files for it."""


class WarehouseBusy(Exception):
    """Another process holds the database."""


class NoDatabase(Exception):
    """There is no database yet, or it holds no tables of the platform."""


class DatabaseUnreachable(Exception):
    """The server does not answer, or refuses the user."""


@dataclass(frozen=True)
class DuckDBOptions:
    """What bounds DuckDB's use of the machine."""

    memory_limit: str = "2GB"
    threads: int = 2


class Warehouse:
    """An open database and the tables in it.

    DuckDB allows one writing process; opening a second one raises WarehouseBusy at once and names the holder. On
    servers, loads of the same table take turns (`locks.take_turns`).
    """

    def __init__(self, engine: sa.Engine, tables: Tables, *, path: Path | None = None) -> None:
        self.engine = engine
        self.tables = tables
        self.path = path

    @classmethod
    def open(
        cls,
        settings: Settings,
        tables: Tables,
        *,
        read_only: bool = False,
        wait_seconds: float = 0,
        connect: Callable[[], Any] | None = None,
    ) -> Warehouse:
        """Open the site's database, which need not have any table yet; `connect` opens Snowflake's connections instead.

        Raises WarehouseBusy if another process still holds a DuckDB file after `wait_seconds`, DatabaseUnreachable
        where a server does not answer, EngineMissing where its driver is not installed.
        """
        if settings.engine == "duckdb":
            options = DuckDBOptions(settings.memory_limit, settings.threads)
            return cls.open_duckdb(
                settings.database_path, tables, options=options, read_only=read_only, wait_seconds=wait_seconds
            )
        engine = engine_of_server(settings.database, settings.database_password, **_further(settings, connect))
        reads_files_with = DuckDBOptions(settings.memory_limit, settings.threads)
        warehouse = cls(engine.execution_options(**{READS_FILES_WITH: reads_files_with}), tables)
        try:
            with warehouse.engine.connect():
                return warehouse
        except sa.exc.DBAPIError as fault:
            reason = " ".join(str(fault.orig).split())[:300]
            raise DatabaseUnreachable(f"{settings.database_name} does not answer: {reason}") from fault

    @classmethod
    def open_existing(
        cls, settings: Settings, tables: Tables, *, read_only: bool = False, wait_seconds: float = 0
    ) -> Warehouse:
        """Open the site's database for work that makes no sense on an empty one; raises NoDatabase there."""
        if settings.engine == "duckdb" and not settings.database_path.exists():
            raise NoDatabase(f"there is no database at {settings.database} yet; load one with `make run` or `cdm run`")
        warehouse = cls.open(settings, tables, read_only=read_only, wait_seconds=wait_seconds)
        loads = tables["cdp_metadata.partition_load"]
        if settings.engine != "duckdb" and not sa.inspect(warehouse.engine).has_table(loads.name, schema=loads.schema):
            warehouse.close()
            raise NoDatabase(f"{settings.database_name} has no tables yet; create them with `cdm setup`")
        return warehouse

    @classmethod
    def open_duckdb(
        cls,
        path: Path | None,
        tables: Tables,
        *,
        options: DuckDBOptions | None = None,
        read_only: bool = False,
        wait_seconds: float = 0,
    ) -> Warehouse:
        """Open the DuckDB file at `path`, or a database in memory where `path` is None.

        Raises WarehouseBusy if another process still holds the file after `wait_seconds`.
        """
        engine = duckdb_engine(path, options or DuckDBOptions(), read_only=read_only)
        give_up_at = time.monotonic() + wait_seconds
        while (holder := _holder_of(engine)) is not None:
            if time.monotonic() >= give_up_at:
                raise WarehouseBusy(
                    f"{path} is in use by another process: {holder} DuckDB has one writer; "
                    "wait for the running load to end (the Dagster UI shows it), or stop it."
                )
            time.sleep(_LOCK_POLL_SECONDS)
        return cls(engine, tables, path=path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; on DuckDB this frees the file for other processes."""
        self.engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A connection whose work is committed as a whole, or not at all."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """A connection for reading."""
        with self.engine.connect() as connection:
            yield connection


class EngineMissing(Exception):
    """The driver of an engine is not installed."""


_MODULES: Final = {name: f"cdm_assets.warehouse.{name}" for name in ENGINES if name != "duckdb"}


def _further(settings: Settings, connect: Callable[[], Any] | None) -> dict[str, Any]:
    """What only Snowflake's engine takes: a private key, and who opens its connections."""
    if settings.engine != "snowflake":
        return {}
    key = {"private_key": settings.snowflake_private_key, "passphrase": settings.snowflake_passphrase}
    return {**key, "connect": connect}


def engine_of_server(url: str, password: str | None = None, **further: Any) -> sa.Engine:
    """The SQLAlchemy engine of a server's URL, as its module in this package makes it; nothing is connected yet.

    Raises EngineMissing, and SettingsError for a URL that names no known engine.
    """
    name = engine_of(url)
    try:
        engine: sa.Engine = import_module(_MODULES[name]).create_engine(sa.make_url(url), password, **further)
    except (ImportError, sa.exc.NoSuchModuleError) as fault:
        what_to_do = f"install it with `pip install 'cdm-assets[{name}]'`"
        raise EngineMissing(f"no driver for {name}: {fault}; {what_to_do}") from fault
    return engine


def duckdb_engine(
    path: Path | None, options: DuckDBOptions, *, read_only: bool = False, spill: Path | None = None
) -> sa.Engine:
    """The SQLAlchemy engine of a DuckDB file, or of a database in memory that may spill; nothing is opened yet."""
    config: dict[str, Any] = {"memory_limit": options.memory_limit, "threads": options.threads}
    if spill is not None:
        config["temp_directory"] = str(spill)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        config["temp_directory"] = str(path.with_suffix(".spill"))
        # Text is written in half the time than in the format that old DuckDBs read, which is the default.
        config["storage_compatibility_version"] = "latest"
    return sa.create_engine(
        sa.URL.create("duckdb", database=str(path) if path else ":memory:"),
        connect_args={"config": config, "read_only": read_only},
        poolclass=StaticPool,
    )


def _holder_of(engine: sa.Engine) -> str | None:
    """What DuckDB says of the process that locks the file; None once the connection is open."""
    try:
        with engine.connect():
            return None
    except sa.exc.DBAPIError as fault:
        message = str(fault.orig)
        if "lock" not in message.lower():
            raise
        return message.splitlines()[0]


def fixed_dialect(name: str) -> sa.Dialect:
    """The dialect of one of `ENGINES` without a connection, for text: scripts, documentation, tests."""
    match name:
        case "duckdb":
            return _dialect_of("duckdb_sqlalchemy", "Dialect")
        case "snowflake":
            return _dialect_of("snowflake.sqlalchemy.snowdialect", "SnowflakeDialect", force_div_is_floordiv=False)
        case "mssql":
            return _dialect_of("cdm_assets.warehouse.mssql", "SqlServerDialect")
        case "postgresql" | "oracle":
            return _dialect_of(f"sqlalchemy.dialects.{name}", "dialect")
    raise ValueError(f"unknown engine {name!r}; expected one of {', '.join(ENGINES)}")


def _dialect_of(module: str, name: str, **options: Any) -> sa.Dialect:
    """Import the module now: a driver that is not needed costs nothing."""
    dialect: sa.Dialect = getattr(import_module(module), name)(**options)
    return dialect
