"""Schemas, tables and views of the catalog: created where they are missing, printed as a script on request."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.schema import CreateColumn, CreateSchema, CreateTable
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.ddl import ExecutableDDLElement

from cdm_assets.catalog.types import Layer
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables

CALENDAR_FIRST: Final = date(2000, 1, 1)
CALENDAR_LAST: Final = date(2079, 12, 31)


class SchemaMismatch(Exception):
    """A table in the database is not what the catalog declares."""


class CreateView(ExecutableDDLElement):
    """CREATE VIEW of a select, replacing an older one."""

    inherit_cache = False

    def __init__(self, schema: str, name: str, select: sa.Select[Any]) -> None:
        self.schema, self.name, self.select = schema, name, select


@compiles(CreateView)
def _create_view(element: CreateView, compiler: Any, **kw: Any) -> str:
    return _view_text("CREATE OR REPLACE VIEW", element, compiler)


@compiles(CreateView, "mssql")
def _create_view_mssql(element: CreateView, compiler: Any, **kw: Any) -> str:
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


def ddl_script(tables: Tables, dialect: sa.Dialect) -> str:
    """The whole DDL as text for a dialect, in the order in which it can be run."""
    statements: list[ExecutableDDLElement] = [CreateSchema(schema) for schema in _schemas(tables)]
    statements += [CreateTable(table) for table in tables.metadata.sorted_tables]
    statements += list(current_views(tables))
    texts = [str(statement.compile(dialect=dialect)).strip() for statement in statements]
    return ";\n\n".join(texts) + ";\n"


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
            for view in current_views(tables):
                connection.execute(view)
        _fill_calendar(connection, tables["cdp_metadata.calendar"])
    return len(missing)


def _columns_present(connection: sa.Connection, tables: Tables) -> dict[tuple[str, str], set[str]]:
    columns = sa.table(
        "columns", sa.column("table_schema"), sa.column("table_name"), sa.column("column_name"), schema="information_schema"
    )
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
    days = (CALENDAR_LAST - CALENDAR_FIRST).days + 1
    if connection.execute(sa.select(sa.func.count()).select_from(calendar)).scalar_one() == days:
        return
    connection.execute(sa.delete(calendar))
    all_days = [{"business_date": CALENDAR_FIRST + timedelta(days=n)} for n in range(days)]
    connection.execute(sa.insert(calendar), all_days)
