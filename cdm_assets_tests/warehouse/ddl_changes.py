"""The statements that alter a database, for engines that are not here to be altered.

A DuckDB database stands in for what is asked of rows; what is found of schemas, tables and types is made up as the
engine would tell it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

from cdm_assets.warehouse.database_state import FoundColumn, FoundDatabase, FoundRelation
from cdm_assets.warehouse.ddl import create_missing, declared_views, schemas_of, text_dialect
from cdm_assets.warehouse.ddl_plan import Comparison, DdlStep
from cdm_assets.warehouse.ddl_record import RecordedStep
from cdm_assets.warehouse.engine import Warehouse, fixed_dialect
from cdm_assets.warehouse.stored_types import declared_type, found_type
from cdm_assets.warehouse.table_options import indexes_of
from cdm_assets.warehouse.tables import Tables


def as_declared(tables: Tables, engine: str) -> FoundDatabase:
    """What would be found of a database that is what the catalog declares."""
    dialect = text_dialect(fixed_dialect(engine))
    found = FoundDatabase(frozenset(schemas_of(tables)))
    for table in tables.metadata.sorted_tables:
        columns = {c.name: FoundColumn(declared_type(c, dialect), bool(c.nullable), c.comment or "") for c in table.c}
        found.relations[str(table.schema), table.name] = FoundRelation(columns=columns, comment=table.comment or "")
        found.indexes |= {(str(table.schema), index.name) for index in indexes_of(tables, table, engine)}
    for view in declared_views(tables):
        columns = {c.name: FoundColumn(declared_type(c, dialect), nullable=True) for c in view.columns}
        found.relations[view.schema, view.name] = FoundRelation(is_view=True, columns=columns, stored_as="as created")
    return found


def altered(tables: Tables, engine: str) -> FoundDatabase:
    """The same with everything different that a plan can put right."""
    found = as_declared(tables, engine)
    text = {"oracle": "VARCHAR2", "mssql": "nvarchar", "snowflake": "TEXT"}.get(engine, "character varying")
    customer = found.relations["itf", "customer"]
    customer.comment = "something else"
    del customer.columns["email"]
    customer.columns["customer_id"] = replace(customer.columns["customer_id"], nullable=True, comment="other")
    customer.columns["more"] = FoundColumn(found_type(engine, text, 5, None, None), nullable=True)
    details = found.relations["rdv", "s_customer_details"].columns
    details["name"] = replace(details["name"], type=found_type(engine, text, 10, None, None))
    details["phone"] = replace(details["phone"], type=found_type(engine, text, 99, None, None), nullable=False)
    details["credit"] = replace(details["credit"], type=found_type(engine, "numeric", None, 10, 2))
    details["born"] = replace(details["born"], type=found_type(engine, text, 10, None, None))
    spent = found.relations["cdm_publish_db", "customer_360"].columns
    spent["spent"] = replace(spent["spent"], type=found_type(engine, "numeric", None, 12, 1))
    found.relations["rdv", "h_old"] = FoundRelation(columns={"k": FoundColumn(details["age"].type, nullable=True)})
    found.relations["itf", "of_mine"] = FoundRelation(is_view=True)
    found.indexes -= {name for name in found.indexes if name[1] == "pk_h_product"}
    del found.relations["cdm_publish_db", "customer_360_viewer"]
    return found


@contextmanager
def comparison(
    tables: Tables, engine: str, found: FoundDatabase, recorded: list[RecordedStep] | None = None
) -> Iterator[Comparison]:
    """The comparison of a catalog with a made-up database of an engine."""
    with _of_duckdb(tables).connection() as connection:
        made_up = Comparison(connection, tables, found, recorded or [])
        made_up.__dict__["dialect"] = text_dialect(fixed_dialect(engine))
        yield made_up


@cache
def _of_duckdb(tables: Tables) -> Warehouse:
    """The tables, empty; kept for all questions about them."""
    warehouse = Warehouse.open_duckdb(None, tables)
    create_missing(warehouse)
    return warehouse


def steps_of(tables: Tables, engine: str, found: FoundDatabase) -> list[DdlStep]:
    """What would be done, roles and grants apart."""
    with comparison(tables, engine, found) as made_up:
        return made_up.steps()


def statements_of(steps: list[DdlStep]) -> list[str]:
    """All their statements."""
    return [statement for step in steps for statement in step.statements]
