"""SQL Server (2019 or later): connections over Microsoft's own driver, and rows in bulk as JSON.

The address is `mssql://USER@HOST:1433/DATABASE`; what follows `?` are keywords of the driver's connection string, such
as `TrustServerCertificate=yes`. The connection is encrypted and the server's certificate checked unless they say
otherwise.

Three things belong to the database as a whole and are checked when it is first used (`what_is_missing`):

- its collation, `Latin1_General_100_BIN2_UTF8`. SQL Server's usual one takes 'a' and 'A' for one business key and keeps
  of a VARCHAR what its code page knows; every column, literal and parameter follows the database's, and so do names:
  INFORMATION_SCHEMA is upper-case, `sys` lower-case;
- READ COMMITTED SNAPSHOT: who reads neither waits for a load nor keeps one waiting;
- the version: UTF-8 came with 2019. Format rules that warn or block instead of rejecting need 2025
  (`functions.matches`).

What no collation changes: spaces at the end do not count in comparisons ('a' = 'a '). Business keys are trimmed before
they get here; in other text such values are one group.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.mssql.base import MSDDLCompiler, MSDialect

from cdm_assets.warehouse.engine import DatabaseUnreachable

if TYPE_CHECKING:
    import pyarrow as pa

COLLATION: Final = "Latin1_General_100_BIN2_UTF8"
SCRIPT_START: Final = f"""\
IF CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS NVARCHAR(128)) <> N'{COLLATION}'
    THROW 50000, N'The collation of this database is not {COLLATION}; create one that has it.', 1
GO

-- Readers neither wait for loads nor keep them waiting.
IF (SELECT is_read_committed_snapshot_on FROM sys.databases WHERE database_id = DB_ID()) = 0
    ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE
GO

"""  # noqa: S608 - nothing but the collation's name is put in
"""What a script for SQL Server begins with: `what_is_missing` in T-SQL."""
_CONNECT_SECONDS: Final = 15
_SQL_SERVER_2019: Final = (15, 0)
_ROWS_AT_ONCE: Final = 20_000
"""Rows of one parameter: some megabytes of JSON."""
_LOST: Final = ("08S01", "08003", "08007", "Communication link failure", "connection is broken")


class SqlServerNotReady(DatabaseUnreachable):
    """The database is not set up as the platform needs it."""


class _DDLCompiler(MSDDLCompiler):
    """Comments by the words that the procedures' description has; SQLAlchemy writes them in lower case."""

    def visit_set_table_comment(self, create: Any, **kw: Any) -> str:
        return _with_levels_in_capitals(super().visit_set_table_comment(create, **kw))  # type: ignore[no-untyped-call]

    def visit_drop_table_comment(self, drop: Any, **kw: Any) -> str:
        return _with_levels_in_capitals(super().visit_drop_table_comment(drop, **kw))  # type: ignore[no-untyped-call]

    def visit_set_column_comment(self, create: Any, **kw: Any) -> str:
        return _with_levels_in_capitals(super().visit_set_column_comment(create, **kw))  # type: ignore[no-untyped-call]

    def visit_drop_column_comment(self, drop: Any, **kw: Any) -> str:
        return _with_levels_in_capitals(super().visit_drop_column_comment(drop, **kw))  # type: ignore[no-untyped-call]


def _with_levels_in_capitals(text: str) -> str:
    """Case counts under our collation. Inside a comment each quote is doubled, so none looks like a level."""
    return re.sub(r"(?<= )'(schema|table|column)'(?=, )", lambda match: match[0].upper(), text)


class SqlServerDialect(MSDialect):
    """SQL Server over the DBAPI `mssql_python`, for which SQLAlchemy 2.0 has no dialect of its own."""

    driver = "mssql_python"
    ddl_compiler = _DDLCompiler
    supports_statement_cache = True
    supports_native_decimal = True
    default_paramstyle = "qmark"
    # Dates travel as dates; SQLAlchemy's own makes timestamps of them, for drivers of before 2008.
    colspecs = {**MSDialect.colspecs, sa.Date: sa.Date}  # noqa: RUF012 - SQLAlchemy's name and form

    def __init__(self, **options: Any) -> None:
        options.setdefault("deprecate_large_types", True)
        options.setdefault("supports_comments", True)  # nothing to find out: all but Azure Synapse have them
        super().__init__(**options)  # type: ignore[no-untyped-call]
        # What a dialect without a connection writes for; a connection brings its own.
        self.server_version_info: Any = _SQL_SERVER_2019
        self._setup_version_attributes()  # type: ignore[no-untyped-call]

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """Microsoft's driver. Connections are pooled by SQLAlchemy alone."""
        import mssql_python  # noqa: PLC0415 - it loads the ODBC driver, and other engines do without

        mssql_python.pooling(enabled=False)
        return mssql_python

    def create_connect_args(self, url: sa.URL) -> tuple[list[Any], dict[str, Any]]:
        """The driver's connection string."""
        host = f"tcp:{url.host},{url.port or 1433}"
        named = {"Server": host, "Database": url.database, "UID": url.username, "PWD": url.password, "Encrypt": "yes"}
        keywords = {name: value for name, value in {**named, **url.query}.items() if value is not None}
        text = ";".join(f"{name}={_quoted(str(value))}" for name, value in keywords.items())
        return [text], {"timeout": _CONNECT_SECONDS}

    def _get_server_version_info(self, connection: sa.Connection) -> tuple[int, ...]:
        text = connection.exec_driver_sql("SELECT CAST(SERVERPROPERTY('ProductVersion') AS VARCHAR(40))").scalar_one()
        return tuple(int(part) for part in str(text).split("."))

    def is_disconnect(self, e: Exception, connection: Any, cursor: Any) -> bool:  # noqa: ARG002 - SQLAlchemy's signature
        """Whether the connection is gone, by the driver's SQLSTATE or words."""
        return any(sign in str(e) for sign in _LOST)


def _quoted(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}"


def create_engine(url: sa.URL, password: str | None = None) -> sa.Engine:
    """An engine over `mssql_python`; nothing is connected yet.

    The first connection raises SqlServerNotReady where the database is not set up as the platform needs it.
    """
    sa.dialects.registry.register("mssql.mssql_python", __name__, "SqlServerDialect")
    url = url.set(drivername="mssql+mssql_python")
    if password and not url.password:
        url = url.set(password=password)
    engine = sa.create_engine(url, pool_pre_ping=True, isolation_level="READ COMMITTED")

    @sa.event.listens_for(engine, "first_connect", insert=True)
    def _check(dbapi_connection: Any, _record: Any) -> None:
        if missing := what_is_missing(dbapi_connection, str(url.database)):
            raise SqlServerNotReady(
                f"{url.render_as_string()} cannot be used as it is:\n" + "\n".join(f"  {line}" for line in missing)
            )

    return engine


def what_is_missing(dbapi_connection: Any, database: str) -> list[str]:
    """What the database lacks, each with the statement that brings it; empty where it can be used."""
    cursor = dbapi_connection.cursor()
    cursor.execute(
        "SELECT CAST(SERVERPROPERTY('ProductMajorVersion') AS INT), "
        "CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS VARCHAR(128)), "
        "CAST(is_read_committed_snapshot_on AS INT) FROM sys.databases WHERE database_id = DB_ID()"
    )
    version, collation, reads_snapshots = cursor.fetchone()
    cursor.close()
    dbapi_connection.rollback()
    lines = []
    if int(version) < _SQL_SERVER_2019[0]:
        lines.append(f"version {version} is older than SQL Server 2019 (15)")
    if collation != COLLATION:
        lines.append(
            f"its collation is {collation}; before any table is there: ALTER DATABASE [{database}] COLLATE {COLLATION}"
        )
    if not int(reads_snapshots):
        statement = f"ALTER DATABASE [{database}] SET READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE"
        lines.append(f"readers wait for loads: {statement}")
    return lines


def bulk_insert(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    """Insert `rows`, whose columns are named as the table's, as one JSON parameter for each some thousand rows.

    The driver's bulk copy runs on a connection of its own, outside the caller's transaction; a parameter a value takes
    a trip for each row, and 2,100 of them are a statement's most. OPENJSON is one statement in the transaction.
    """
    columns = [table.c[name] for name in rows.column_names]
    statement = openjson_insert(connection.dialect, columns)
    writers = [_writer(column.type) for column in columns]
    for batch in rows.to_batches(max_chunksize=_ROWS_AT_ONCE):
        values = [map(write, column.to_pylist()) for write, column in zip(writers, batch.columns, strict=True)]
        text = json.dumps(list(zip(*values, strict=True)), ensure_ascii=False, separators=(",", ":"))
        connection.exec_driver_sql(statement, (text,))


def openjson_insert(dialect: sa.Dialect, columns: Sequence[sa.Column[Any]]) -> str:
    """An INSERT of the rows of one JSON parameter, a list of lists.

    Texts are read without a length: OPENJSON would give NULL for one that is too long, the INSERT refuses it.
    """
    preparer = dialect.identifier_preparer
    table = preparer.format_table(columns[0].table)
    names = ", ".join(preparer.quote(column.name) for column in columns)
    types = ((column, _json_type(column.type, dialect)) for column in columns)
    read = ", ".join(f"c{n} {kind} '$[{n}]'" for n, (_column, kind) in enumerate(types))
    values = ", ".join(f"c{n}" for n in range(len(columns)))
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM OPENJSON(?) WITH ({read})"  # noqa: S608 - names of the catalog, quoted


def _json_type(kind: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> str:
    return "NVARCHAR(max)" if isinstance(kind, sa.String) else str(kind.compile(dialect=dialect))


def _writer(kind: sa.types.TypeEngine[Any]) -> Callable[[Any], str | int | None]:
    """How a value is written in JSON: nothing that JSON has another notion of, such as large or exact numbers."""
    if isinstance(kind, sa.Boolean):
        return lambda value: None if value is None else int(value)
    return _text


def _text(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case datetime():
            return value.isoformat(timespec="microseconds")
        case Decimal():
            return format(value, "f")
        case date() | int():
            return str(value)
    raise TypeError(f"SQL Server is sent no {type(value).__name__}")
