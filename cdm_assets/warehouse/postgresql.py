"""PostgreSQL: connections, and the bulk path (COPY)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    import pyarrow as pa

_CONNECT_SECONDS: Final = 15
# A statement of ours is short or scans whole tables: compiling it costs more than it saves. Of a date that was loaded a
# moment ago the planner knows nothing, takes it for one row and joins by nested loops: a day after fourteen took five
# minutes that way, and takes 13 seconds without them. Where there is no other way, it still uses them.
_OPTIONS: Final = "-c timezone=UTC -c jit=off -c enable_nestloop=off"


def create_engine(url: sa.URL, password: str | None = None) -> sa.Engine:
    """An engine over psycopg2, the driver that Dagster's own storage uses too.

    psycopg2 puts values into the statement's text, so that what rows are grouped by may hold one. A transaction sees
    one state of the database from its first query on: the tables that a load reads fit each other.
    """
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg2")
    if password and not url.password:
        url = url.set(password=password)
    return sa.create_engine(
        url,
        isolation_level="REPEATABLE READ",
        pool_pre_ping=True,
        connect_args={"options": _OPTIONS, "application_name": "cdm", "connect_timeout": _CONNECT_SECONDS},
    )


def bulk_insert(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    """Insert `rows`, whose columns are named as the table's, by COPY in the caller's transaction."""
    from pyarrow import csv  # noqa: PLC0415 - only here, and the command starts without it

    quoted = connection.dialect.identifier_preparer
    columns = ", ".join(quoted.quote(name) for name in rows.column_names)
    text = io.BytesIO()
    # Text is always quoted and NULL never, which is how COPY tells NULL from the empty text.
    csv.write_csv(rows, text, csv.WriteOptions(include_header=False))
    text.seek(0)
    cursor: Any = connection.connection.cursor()
    with cursor:
        cursor.copy_expert(f"COPY {quoted.format_table(table)} ({columns}) FROM STDIN (FORMAT csv)", text)
