"""Schemas, tables and views of the catalog: what they are in SQL, as a script, and created where they are missing.

What is there but differs is the business of `ddl_plan`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateSchema, SetColumnComment, SetTableComment
from sqlalchemy.sql.ddl import ExecutableDDLElement

from cdm_assets.catalog.types import Layer, PiiClass
from cdm_assets.settings import FIRST_DATE, LAST_DATE
from cdm_assets.warehouse import mssql
from cdm_assets.warehouse.database_state import columns_present, schemas_present
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl_record import record_view
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.functions import days_after
from cdm_assets.warehouse.grants import access_statements
from cdm_assets.warehouse.table_options import CreateDeclaredTable, CreateTableIndex, indexes_of
from cdm_assets.warehouse.tables import BUSINESS_DATE, Tables

CALENDAR_FIRST: Final = FIRST_DATE
CALENDAR_LAST: Final = LAST_DATE
_CREATION_LOCK: Final = 20_000_101
"""The advisory lock of whoever creates or alters tables on PostgreSQL."""


class SchemaMismatch(Exception):
    """A table in the database is not what the catalog declares."""


class CreateLayer(CreateSchema):
    """CREATE SCHEMA; on Oracle, where a schema is its owner, a user nobody can log in as."""

    inherit_cache = False


@compiles(CreateLayer, "oracle")
def _create_layer_oracle(element: CreateLayer, compiler: Any, **_kw: Any) -> str:
    return f"CREATE USER {compiler.preparer.quote_schema(element.element)} NO AUTHENTICATION QUOTA UNLIMITED ON users"


@dataclass(frozen=True)
class DeclaredView:
    """A view of one published table."""

    name: str
    table: sa.Table
    columns: tuple[sa.Column[Any], ...]
    is_latest_only: bool

    @property
    def schema(self) -> str:
        """The schema that also holds the table."""
        return str(self.table.schema)

    @property
    def full_name(self) -> str:
        """The name with its schema."""
        return f"{self.schema}.{self.name}"

    @property
    def create(self) -> CreateView:
        """The statement."""
        return CreateView(self)


class CreateView(ExecutableDDLElement):
    """CREATE VIEW, replacing an older one."""

    inherit_cache = False

    def __init__(self, view: DeclaredView) -> None:
        self.view = view


@compiles(CreateView)
def _create_view(element: CreateView, compiler: Any, **_kw: Any) -> str:
    return _view_text("CREATE OR REPLACE VIEW", element.view, compiler.preparer)


@compiles(CreateView, "mssql")
def _create_view_mssql(element: CreateView, compiler: Any, **_kw: Any) -> str:
    return _view_text("CREATE OR ALTER VIEW", element.view, compiler.preparer)


def _view_text(command: str, view: DeclaredView, preparer: Any) -> str:
    """One column a line, as the tables have it."""
    table, day = preparer.format_table(view.table), preparer.quote(BUSINESS_DATE)
    lines = [
        f"{command} {preparer.quote_schema(view.schema)}.{preparer.quote(view.name)} AS",
        "SELECT",
        ",\n".join(f"\t{preparer.quote(column.name)}" for column in view.columns),
        f"FROM {table}",
    ]
    if view.is_latest_only:
        latest = f"SELECT max(latest.{day}) FROM {table} latest"  # noqa: S608 - names of the catalog, quoted
        lines.append(f"WHERE {day} = ({latest})")
    return "\n".join(lines)


def declared_views(tables: Tables) -> Iterator[DeclaredView]:
    """For each published table the view `<name>_current` of its latest partition.

    Where the table has direct or sensitive columns, also `<name>_viewer` and `<name>_viewer_current` without them: not
    every engine can withhold a column of a table from a role.
    """
    for key in tables.partitioned:
        if key.startswith(f"{Layer.PUBLISH}."):
            table = tables[key]
            columns = tuple(table.c)
            yield DeclaredView(f"{table.name}_current", table, columns, is_latest_only=True)
            shown = tuple(c for c in columns if not c.info.get("pii", PiiClass.NONE).tokenized)
            if shown != columns:
                yield DeclaredView(f"{table.name}_viewer", table, shown, is_latest_only=False)
                yield DeclaredView(f"{table.name}_viewer_current", table, shown, is_latest_only=True)


def comment_statements(table: sa.Table, dialect: sa.Dialect) -> Iterator[ExecutableDDLElement]:
    """The comments of a table that its CREATE TABLE does not hold."""
    if dialect.supports_comments and not dialect.inline_comments and dialect.name != "snowflake":
        yield SetTableComment(table)
        yield from (SetColumnComment(column) for column in table.c if column.comment)


def table_statements(tables: Tables, table: sa.Table, dialect: sa.Dialect) -> Iterator[ExecutableDDLElement]:
    """A table with its keys, indexes and comments."""
    yield CreateDeclaredTable(table)
    yield from (CreateTableIndex(index) for index in indexes_of(tables, table, dialect.name))
    yield from comment_statements(table, dialect)


def ddl_sections(tables: Tables, dialect: sa.Dialect) -> Iterator[tuple[str, list[ExecutableDDLElement]]]:
    """Every schema, table, key, comment and view under its heading, in the order in which they can be created."""
    yield "Schemas", [CreateLayer(schema) for schema in schemas_of(tables)]
    for layer in Layer:
        of_layer = [t for t in tables.metadata.sorted_tables if tables.key_of(t).startswith(f"{layer}.")]
        statements = [statement for table in of_layer for statement in table_statements(tables, table, dialect)]
        if layer is Layer.PUBLISH:
            statements += [view.create for view in declared_views(tables)]
        if statements:
            yield f"{layer}: {_LAYERS[layer]}", statements


_LAYERS: Final = {
    Layer.LANDING: "landing zone, what each source sent, typed",
    Layer.VAULT: "raw data vault: hubs (h_), links (l_) and satellites (s_)",
    Layer.INTERFACE: "interface, the canonical rows",
    Layer.AGGREGATE: "sums by day",
    Layer.CUSTOMER_360: "one row a customer, campaign or flowchart",
    Layer.METRICS: "figures of the business pipelines",
    Layer.PUBLISH: "what analysts and models read",
    Layer.INGEST: "what models write",
    Layer.CONTROL: "control tables of the platform",
}


def ddl_statements(tables: Tables, dialect: sa.Dialect) -> Iterator[ExecutableDDLElement]:
    """Every schema, table, key, comment and view, in the order in which they can be created."""
    for _, statements in ddl_sections(tables, dialect):
        yield from statements


def text_dialect(dialect: sa.Dialect) -> sa.Dialect:
    """The dialect for text that is read, or run as it is: drivers that take `%s` want each `%` of a comment twice."""
    plain = copy(dialect)
    plain.paramstyle, plain.positional = "named", False
    plain.identifier_preparer = plain.preparer(plain)
    return plain


def text_of(statement: ExecutableDDLElement, dialect: sa.Dialect) -> str:
    """A statement as text, without spaces at the ends of its lines."""
    text = str(statement.compile(dialect=dialect)).strip()
    return "\n".join(line.rstrip() for line in text.splitlines())


def ddl_script(tables: Tables, dialect: sa.Dialect, *, with_access: bool = True) -> str:
    """The whole DDL as a script for a database administrator to read and run on an empty database."""
    plain = text_dialect(dialect)
    sections = [(title, [text_of(s, plain) for s in found]) for title, found in ddl_sections(tables, plain)]
    access = access_statements(tables, declared_views(tables), dialect) if with_access else []
    if access:
        sections.append(("Roles and grants", access))
    parts = [_header(tables, dialect)]
    for title, texts in sections:
        parts.append(f"-- {'-' * 100}\n-- {title}\n-- {'-' * 100}\n\n")
        parts += [text + _end_of(text, dialect.name) for text in texts]
    return "".join(parts)


def _end_of(text: str, engine: str) -> str:
    if engine == "mssql":
        return "\nGO\n\n"
    return "\n/\n\n" if text.startswith("BEGIN") else ";\n\n"


_HOW_TO_RUN: Final = {
    "duckdb": ("DuckDB has no roles: whoever can read the file reads everything.",),
    "postgresql": (
        "psql --single-transaction -v ON_ERROR_STOP=1 -f THIS_FILE postgresql://.../DATABASE",
        "PostgreSQL 14 or later; the database must be in UTF-8. Who runs this owns the tables, and must be the user of",
        "CDM_DATABASE.",
    ),
    "snowflake": (
        "snow sql -f THIS_FILE, with the database and warehouse of CDM_DATABASE in use.",
        "The role that runs this owns the tables, and must be the role of CDM_DATABASE. It needs CREATE SCHEMA on the",
        "database and, for the last section, CREATE ROLE on the account.",
    ),
    "oracle": (
        "sql USER@SERVICE @THIS_FILE (SQLcl or SQL*Plus). Each layer is a schema, on Oracle a user nobody logs in as.",
        "The user that runs this needs CREATE USER, CREATE ROLE, GRANT ANY OBJECT PRIVILEGE, and CREATE, ALTER,",
        "COMMENT, SELECT, INSERT, UPDATE and DELETE ANY TABLE, CREATE ANY VIEW and CREATE ANY INDEX; so does the user",
        "of CDM_DATABASE. Partitioning is an option of Enterprise Edition: without it, leave out the lines that begin",
        "with PARTITION BY.",
    ),
    "mssql": (
        "sqlcmd -b -I -i THIS_FILE -d DATABASE. The user of CDM_DATABASE must be a member of db_owner.",
        f"The database: CREATE DATABASE ... COLLATE {mssql.COLLATION}, on SQL Server 2019 or later. Keys are compared",
        "by case and keep every letter only so, and what follows stops in another one.",
    ),
}
_BEFORE_ALL: Final = {
    "oracle": "SET DEFINE OFF\nWHENEVER SQLERROR EXIT FAILURE\n\n",  # an & in a comment is no variable
    "mssql": mssql.SCRIPT_START,
    "postgresql": "",
}


def _header(tables: Tables, dialect: sa.Dialect) -> str:
    every, dated = len(tables.metadata.sorted_tables), len(tables.partitioned)
    views = sum(1 for _ in declared_views(tables))
    lines = [
        f"CDM Assets on {dialect.name}: {every} tables, {dated} of them by business date, and {views} views.",
        f"`cdm ddl --engine {dialect.name}` wrote this from the catalog. `cdm setup` does the same by itself, and",
        "later what differs, step by step.",
        *_HOW_TO_RUN[dialect.name],
    ]
    return "".join(f"-- {line}\n" for line in lines) + "\n" + _BEFORE_ALL.get(dialect.name, "")


def schemas_of(tables: Tables) -> list[str]:
    """The names of all schemas."""
    return sorted({str(table.schema) for table in tables.metadata.sorted_tables})


def create_missing(warehouse: Warehouse) -> int:
    """Create every schema, table and view that is missing, and fill the calendar; returns the number of new tables.

    Safe to repeat, and quick where nothing is missing. Raises SchemaMismatch if a table that is there lacks a declared
    column or has one of another name.
    """
    tables = warehouse.tables
    with warehouse.connection() as connection:
        present = columns_present(connection, tables)
        if _is_complete(tables, present) and _calendar_is_full(connection, tables):
            _refuse_mismatch(tables.metadata.sorted_tables, present)
            return 0
    with alone(warehouse):
        return _create(warehouse)


@contextmanager
def alone(warehouse: Warehouse) -> Iterator[None]:
    """While this is open, no other process creates or alters tables: those that start together take turns.

    The lock is a session's, not that of the transaction that creates: one that waited inside would not see what the
    other has created. Snowflake, Oracle and SQL Server have one run at a time, DuckDB one writer.
    """
    if warehouse.engine.dialect.name != "postgresql":
        yield
        return
    with warehouse.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_CREATION_LOCK})")
        try:
            yield
        finally:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_CREATION_LOCK})")


def _is_complete(tables: Tables, present: dict[tuple[str, str], set[str]]) -> bool:
    named = {(str(table.schema), table.name) for table in tables.metadata.sorted_tables}
    return named | {(view.schema, view.name) for view in declared_views(tables)} <= present.keys()


def _create(warehouse: Warehouse) -> int:
    tables, dialect = warehouse.tables, warehouse.engine.dialect
    with warehouse.transaction() as connection:
        present = columns_present(connection, tables)
        missing = [t for t in tables.metadata.sorted_tables if (str(t.schema), t.name) not in present]
        _refuse_mismatch([t for t in tables.metadata.sorted_tables if t not in missing], present)
        if missing:
            there = schemas_present(connection, schemas_of(tables))
            for schema in sorted({str(table.schema) for table in missing} - there):
                connection.execute(CreateLayer(schema))
            loads = tables["cdp_metadata.partition_load"]
            if loads not in missing:
                # A table that was dropped to be built again holds nothing of what was loaded into it.
                new_keys = [Tables.key_of(table) for table in missing]
                connection.execute(sa.delete(loads).where(loads.c.table_key.in_(new_keys)))
            for table in missing:
                for statement in table_statements(tables, table, dialect):
                    connection.execute(statement)
        for view in declared_views(tables):
            if (view.schema, view.name) not in present:
                connection.execute(view.create)
                record_view(connection, tables, view.full_name, text_of(view.create, text_dialect(dialect)))
        fill_calendar(connection, tables["cdp_metadata.calendar"])
    return len(missing)


def _refuse_mismatch(existing: list[sa.Table], present: dict[tuple[str, str], set[str]]) -> None:
    problems = []
    for table in existing:
        declared, found = set(table.c.keys()), present[str(table.schema), table.name]
        if declared != found:
            lacking, extra = sorted(declared - found), sorted(found - declared)
            problems.append(
                f"  {table.schema}.{table.name}: lacks {', '.join(lacking) or 'nothing'}; "
                f"has undeclared {', '.join(extra) or 'nothing'}"
            )
    if problems:
        raise SchemaMismatch(
            "the database does not match the catalog:\n"
            + "\n".join(problems)
            + "\n`cdm ddl --plan` shows what differs. `cdm setup`, or `cdm ddl --apply`, adds what is lacking, and the "
            "rows stay; what is undeclared goes only with --allow, as the plan says."
        )


def _calendar_is_full(connection: sa.Connection, tables: Tables) -> bool:
    calendar = tables["cdp_metadata.calendar"]
    return _dates_in(connection, calendar) == len(DateRange(CALENDAR_FIRST, CALENDAR_LAST))


def _dates_in(connection: sa.Connection, calendar: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(calendar)).scalar_one())


def fill_calendar(connection: sa.Connection, calendar: sa.Table) -> None:
    """Fill the calendar by doubling what is in it; 29,220 single rows take 30 times as long."""
    dates = DateRange(CALENDAR_FIRST, CALENDAR_LAST)
    if _dates_in(connection, calendar) == len(dates):
        return
    connection.execute(sa.delete(calendar))
    connection.execute(sa.insert(calendar), [{"business_date": dates.first}])
    filled = 1
    while filled < len(dates):
        later = days_after(calendar.c.business_date, sa.literal_column(str(filled)))
        doubled = sa.select(later).where(later <= dates.last)
        connection.execute(sa.insert(calendar).from_select(["business_date"], doubled))
        filled *= 2
