"""The warehouse: one database, its tables, and transactions on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from cdm_assets.warehouse.tables import Tables

_LOCK_POLL_SECONDS: Final = 0.5


class WarehouseBusy(Exception):
    """Another process holds the database."""


@dataclass(frozen=True)
class DuckDBOptions:
    """What bounds DuckDB's use of the machine."""

    memory_limit: str = "2GB"
    threads: int = 2


class Warehouse:
    """An open database and the tables in it.

    DuckDB allows one writing process; opening a second one raises WarehouseBusy at once and names the holder.
    """

    def __init__(self, engine: sa.Engine, tables: Tables, *, path: Path | None = None) -> None:
        self.engine = engine
        self.tables = tables
        self.path = path

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
        options = options or DuckDBOptions()
        config: dict[str, Any] = {"memory_limit": options.memory_limit, "threads": options.threads}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            config["temp_directory"] = str(path.with_suffix(".spill"))
            # Text is written in half the time than in the format that old DuckDBs read, which is the default.
            config["storage_compatibility_version"] = "latest"
        engine = sa.create_engine(
            sa.URL.create("duckdb", database=str(path) if path else ":memory:"),
            connect_args={"config": config, "read_only": read_only},
            poolclass=StaticPool,
        )
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


ENGINES: Final = ("duckdb", "postgresql", "snowflake", "oracle", "mssql")


def fixed_dialect(name: str) -> sa.Dialect:
    """The dialect of one of `ENGINES` without a connection, for text: scripts, documentation, tests."""
    match name:
        case "duckdb":
            return _dialect_of("duckdb_sqlalchemy", "Dialect")
        case "snowflake":
            return _dialect_of("snowflake.sqlalchemy.snowdialect", "SnowflakeDialect", force_div_is_floordiv=False)
        case "mssql":
            dialect = _dialect_of("sqlalchemy.dialects.mssql", "dialect", deprecate_large_types=True)
            dialect.server_version_info = _SQL_SERVER_2022  # without it, dates would be DATETIME, as before 2008
            return dialect
        case "postgresql" | "oracle":
            return _dialect_of(f"sqlalchemy.dialects.{name}", "dialect")
    raise ValueError(f"unknown engine {name!r}; expected one of {', '.join(ENGINES)}")


_SQL_SERVER_2022: Final = (16, 0)


def _dialect_of(module: str, name: str, **options: Any) -> sa.Dialect:
    """Import the module now: a driver that is not needed costs nothing."""
    dialect: sa.Dialect = getattr(import_module(module), name)(**options)
    return dialect
