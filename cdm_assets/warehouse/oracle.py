"""Oracle: connections (python-oracledb, thin mode: no client libraries), and the bulk path (array inserts)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from cdm_assets.warehouse.engine import DatabaseUnreachable

if TYPE_CHECKING:
    import pyarrow as pa

_CONNECT_SECONDS: Final = 15
_ROWS_FETCHED: Final = 5_000
"""Rows of an answer that come in one round trip; the driver's 100 make one of every page."""
_ROWS_SENT: Final = 20_000
"""Rows of an array insert that go in one round trip."""
_OLDEST: Final = (12, 2)
"""The first version whose names may have more than 30 bytes."""
_CHARACTER_SET: Final = "AL32UTF8"
_SESSION: Final = (
    "ALTER SESSION SET TIME_ZONE = 'UTC' NLS_SORT = BINARY NLS_COMP = BINARY NLS_NUMERIC_CHARACTERS = '.,'"
    " NLS_DATE_FORMAT = 'YYYY-MM-DD' NLS_TIMESTAMP_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF6'"
)


class UnfitDatabase(DatabaseUnreachable):
    """A database on which keys or names would not be what they are elsewhere."""


def create_engine(url: sa.URL, password: str | None = None) -> sa.Engine:
    """An engine over `oracle://user@host:1521/?service_name=NAME`.

    Statements see what was committed before them. The transaction as a whole sees one state only of what it locks
    (`locks.take_turns`): SERIALIZABLE would fail (ORA-08177) whenever an insert makes a new partition.

    A connection raises UnfitDatabase where text is not UTF-8, whose bytes are hashed, or names must be short.
    """
    if url.drivername == "oracle":
        url = url.set(drivername="oracle+oracledb")
    if password and not url.password:
        url = url.set(password=password)
    engine = sa.create_engine(
        url, pool_pre_ping=True, arraysize=_ROWS_FETCHED, connect_args={"tcp_connect_timeout": _CONNECT_SECONDS}
    )
    sa.event.listen(engine, "connect", _prepare_session)
    return engine


def _prepare_session(connection: Any, _record: Any) -> None:
    """Make the session independent of what the database or the machine has set."""
    version = tuple(int(part) for part in connection.version.split(".")[:2])
    if version < _OLDEST:
        raise UnfitDatabase(f"Oracle {connection.version} takes no names over 30 bytes; use 12.2 or later")
    with connection.cursor() as cursor:
        cursor.execute(_SESSION)
        cursor.execute("SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'")
        (character_set,) = cursor.fetchone()
    if character_set != _CHARACTER_SET:
        raise UnfitDatabase(
            f"the database keeps text as {character_set}, so its hash keys would not be those of other engines; "
            f"use a database with the character set {_CHARACTER_SET}"
        )


def bulk_insert(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    """Insert `rows`, whose columns are named as the table's, by array inserts in the caller's transaction.

    Not by direct path load (`Connection.direct_path_load`), which is faster, but commits by itself: readers would see a
    partition without its old rows and not yet with its new ones.
    """
    sent = _sendable(table, rows)
    quoted = connection.dialect.identifier_preparer
    columns = ", ".join(quoted.quote(name) for name in sent.column_names)
    places = ", ".join(f":{number}" for number in range(1, sent.num_columns + 1))
    statement = f"INSERT INTO {quoted.format_table(table)} ({columns}) VALUES ({places})"  # noqa: S608 - names of ours
    cursor: Any = connection.connection.cursor()
    try:
        cursor.executemany(statement, sent, batch_size=_ROWS_SENT)
    finally:
        cursor.close()


def _sendable(table: sa.Table, rows: pa.Table) -> pa.Table:
    """The rows as the driver binds them rightly.

    Its type follows from Arrow's: a truth value would become a BOOLEAN, which Oracle knows from 23ai on and no column
    of ours is; a decimal is to be one of 128 bits; only `large_string` may be longer than 32,767 bytes, and such
    columns come last (ORA-24816).
    """
    import pyarrow as pa  # noqa: PLC0415 - only here, and the command starts without it

    fields = [pa.field(name, _arrow_type(table.c[name].type)) for name in rows.column_names]
    fields.sort(key=lambda field: field.type == pa.large_string())
    return rows.select([field.name for field in fields]).cast(pa.schema(fields))


def _arrow_type(type_: sa.types.TypeEngine[Any]) -> pa.DataType:
    import pyarrow as pa  # noqa: PLC0415 - only here, and the command starts without it

    if isinstance(type_, sa.Numeric) and type_.precision:
        return pa.decimal128(type_.precision, type_.scale or 0)
    kinds = {
        sa.Text: pa.large_string(),
        sa.String: pa.string(),
        sa.Boolean: pa.int8(),
        sa.Integer: pa.int64(),
        sa.Date: pa.date32(),
        sa.DateTime: pa.timestamp("us"),
    }
    return next(arrow for kind, arrow in kinds.items() if isinstance(type_, kind))
