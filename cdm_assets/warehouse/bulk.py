"""Many rows at once into a table, each engine in its own way, inside the caller's transaction."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_A_TIME: Final = 200_000
"""Rows that are on the way at once; bounds memory."""


def bulk_insert(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    """Insert `rows` (Arrow), whose columns are named as those of `table`; those it leaves out stay NULL."""
    if not rows.num_rows:
        return
    name = connection.dialect.name
    if name == "duckdb":
        _insert_arrow(connection, table, rows)
    else:
        import_module(f"cdm_assets.warehouse.{name}").bulk_insert(connection, table, rows)


def _insert_arrow(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    """DuckDB's way of taking many rows; by parameters it takes a millisecond for each."""
    dbapi: Any = connection.connection.dbapi_connection
    dbapi.register("made_rows", rows)
    try:
        made = sa.table("made_rows", *(sa.column(name) for name in rows.column_names))
        connection.execute(sa.insert(table).from_select(rows.column_names, sa.select(*made.c)))
    finally:
        dbapi.unregister("made_rows")
