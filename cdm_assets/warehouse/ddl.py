"""Schemas, tables and views of the catalog: created where they are missing, printed as a script on request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateSchema, CreateTable, SetColumnComment, SetTableComment
from sqlalchemy.sql.ddl import ExecutableDDLElement

from cdm_assets.catalog.types import Layer
from cdm_assets.settings import FIRST_DATE, LAST_DATE
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.functions import days_after
from cdm_assets.warehouse.tables import Tables

CALENDAR_FIRST: Final = FIRST_DATE
CALENDAR_LAST: Final = LAST_DATE


class SchemaMismatch(Exception):
    """A table in the database is not what the catalog declares."""


class CreateView(ExecutableDDLElement):
    """CREATE VIEW of a select, replacing an older one."""

    inherit_cache = False

    def __init__(self, schema: str, name: str, select: sa.Select[Any]) -> None:
        self.schema, self.name, self.select = schema, name, select


@compiles(CreateView)
def _create_view(element: CreateView, compiler: Any, **_kw: Any) -> str:
    return _view_text("CREATE OR REPLACE VIEW", element, compiler)


@compiles(CreateView, "mssql")
def _create_view_mssql(element: CreateView, compiler: Any, **_kw: Any) -> str:
    return _view_text("CREATE OR ALTER VIEW", element, compiler)


def _view_text(command: str, element: CreateView, compiler: Any) -> str:
    preparer = compiler.preparer
    name = f"{preparer.quote_schema(element.schema)}.{preparer.quote(element.name)}"
    query = compiler.sql_compiler.process(element.select, literal_binds=True)
    return f"{command} {name} AS\n{query}"


def current_views(tables: Tables) -> Iterator[CreateView]:
    """For each published table the view `<name>_current` of its latest partition."""
    for key in tables.partitioned:
        if key.startswith(f"{Layer.PUBLISH}."):
            table = tables[key]
            latest = sa.select(sa.func.max(table.c.business_date)).scalar_subquery()
            select = sa.select(*table.c).where(table.c.business_date == latest)
            yield CreateView(str(table.schema), f"{table.name}_current", select)


def ddl_statements(tables: Tables, dialect: sa.Dialect) -> Iterator[ExecutableDDLElement]:
    """Every schema, table, comment and view, in the order in which they can be created."""
    for schema in _schemas(tables):
        yield _CreateLayer(schema)
    comments_apart = dialect.supports_comments and not dialect.inline_comments
    for table in tables.metadata.sorted_tables:
        yield CreateTable(table)
        if comments_apart:
            yield SetTableComment(table)
            yield from (SetColumnComment(column) for column in table.c if column.comment)
    yield from current_views(tables)


def ddl_script(tables: Tables, dialect: sa.Dialect) -> str:
    """The whole DDL as text for a dialect, in the order in which it can be run."""
    end = "\nGO\n\n" if dialect.name == "mssql" else ";\n\n"
    texts = (str(statement.compile(dialect=dialect)).strip() for statement in ddl_statements(tables, dialect))
    return "".join("\n".join(line.rstrip() for line in text.splitlines()) + end for text in texts)


class _CreateLayer(CreateSchema):
    """CREATE SCHEMA; on Oracle, where a schema is its owner, a user nobody can log in as."""

    inherit_cache = False


@compiles(_CreateLayer, "oracle")
def _create_layer_oracle(element: _CreateLayer, compiler: Any, **_kw: Any) -> str:
    return f"CREATE USER {compiler.preparer.quote_schema(element.element)} NO AUTHENTICATION QUOTA UNLIMITED ON users"


def _schemas(tables: Tables) -> list[str]:
    return sorted({str(table.schema) for table in tables.metadata.sorted_tables})


def create_missing(warehouse: Warehouse) -> int:
    """Create every schema, table and view that is missing, and fill the calendar; returns the number of new tables.

    Safe to repeat. Raises SchemaMismatch if a table that is there lacks a declared column or has one of another name.
    """
    tables = warehouse.tables
    with warehouse.transaction() as connection:
        present = _columns_present(connection, tables)
        missing = [t for t in tables.metadata.sorted_tables if (str(t.schema), t.name) not in present]
        _refuse_mismatch([t for t in tables.metadata.sorted_tables if t not in missing], present)
        if missing:
            for schema in _schemas(tables):
                connection.execute(CreateSchema(schema, if_not_exists=True))
            tables.metadata.create_all(connection, tables=missing, checkfirst=False)
            # A table that was dropped to be built again holds nothing of what was loaded into it.
            loads = tables["cdp_metadata.partition_load"]
            new_keys = [Tables.key_of(table) for table in missing]
            connection.execute(sa.delete(loads).where(loads.c.table_key.in_(new_keys)))
        for view in current_views(tables):
            if (view.schema, view.name) not in present:
                connection.execute(view)
        _fill_calendar(connection, tables["cdp_metadata.calendar"])
    return len(missing)


def _columns_present(connection: sa.Connection, tables: Tables) -> dict[tuple[str, str], set[str]]:
    names = ("table_schema", "table_name", "column_name")
    columns = sa.table("columns", *(sa.column(name) for name in names), schema="information_schema")
    query = sa.select(columns.c.table_schema, columns.c.table_name, columns.c.column_name)
    present: dict[tuple[str, str], set[str]] = {}
    for schema, table, column in connection.execute(query.where(columns.c.table_schema.in_(_schemas(tables)))):
        present.setdefault((schema, table), set()).add(column)
    return present


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
            + "\nRename or drop the tables named above and load them again, or point CDM_DATABASE to a new file."
        )


def _fill_calendar(connection: sa.Connection, calendar: sa.Table) -> None:
    """Fill the calendar by doubling what is in it; 29,220 single rows take 30 times as long."""
    dates = DateRange(CALENDAR_FIRST, CALENDAR_LAST)
    if connection.execute(sa.select(sa.func.count()).select_from(calendar)).scalar_one() == len(dates):
        return
    connection.execute(sa.delete(calendar))
    connection.execute(sa.insert(calendar), [{"business_date": dates.first}])
    filled = 1
    while filled < len(dates):
        later = days_after(calendar.c.business_date, sa.literal_column(str(filled)))
        doubled = sa.select(later).where(later <= dates.last)
        connection.execute(sa.insert(calendar).from_select(["business_date"], doubled))
        filled *= 2
