"""The warehouse: one database, its tables, and transactions on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from cdm_assets.warehouse.tables import Tables


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
        cls, path: Path | None, tables: Tables, *, options: DuckDBOptions | None = None, read_only: bool = False
    ) -> Warehouse:
        """Open the DuckDB file at `path`, or a database in memory where `path` is None."""
        options = options or DuckDBOptions()
        config: dict[str, Any] = {"memory_limit": options.memory_limit, "threads": options.threads}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            config["temp_directory"] = str(path.with_suffix(".spill"))
        engine = sa.create_engine(
            f"duckdb:///{path or ':memory:'}",
            connect_args={"config": config, "read_only": read_only},
            poolclass=StaticPool,
        )
        try:
            with engine.connect():
                pass
        except sa.exc.DBAPIError as fault:
            if "lock" not in str(fault.orig).lower():
                raise
            raise WarehouseBusy(
                f"{path} is in use by another process: {str(fault.orig).splitlines()[0]} "
                "DuckDB has one writer; wait for the running load to end, or stop it."
            ) from fault
        return cls(engine, tables, path=path)

    def __enter__(self) -> Warehouse:
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
