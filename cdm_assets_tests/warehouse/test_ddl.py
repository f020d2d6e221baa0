"""DDL: golden scripts, creation of what is missing, and a refusal to go on with other tables than declared."""

import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdm_assets.warehouse.ddl import CALENDAR_FIRST, CALENDAR_LAST, SchemaMismatch, create_missing, ddl_script
from cdm_assets.warehouse.engine import Warehouse, fixed_dialect
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import SOURCES, Site, open_site

GOLDEN = Path(__file__).parent / "golden"
INTERFACE = """
entity: customer
description: Every customer known on that date.
kind: state
owners: ["team:customer-data"]
spine: h_customer
key: [customer_id]
columns:
  - {name: customer_id, from: h_customer.customer_id, required: true, description: Customer's number}
  - {name: email, from: s_customer_details.email}
"""
MART = """
mart: customer_360
layer: cs_360_db
description: All that is known of each customer.
owners: ["team:customer-data"]
publish: true
key: [customer_id]
one_row_per: customer.customer_id
columns:
  - {name: customer_id, type: string(8), required: true}
  - {name: email, type: string(40), pii: direct}
  - {name: spent, type: "decimal(18,2)", required: true}
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("ddl")
    sources = {name: SOURCES[name] for name in SOURCES}
    with open_site(folder, sources, interface={"customer": INTERFACE}, marts={"customer_360": MART}) as site:
        return Tables(site.catalog)


@pytest.mark.parametrize("engine", ["duckdb", "postgresql"])
def test_the_script_is_as_agreed(engine: str, tables: Tables) -> None:
    """Set UPDATE_GOLDEN=1 to accept a change, and read the difference before you commit it."""
    script, golden = ddl_script(tables, fixed_dialect(engine)), GOLDEN / f"ddl_{engine}.sql"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(script, encoding="utf-8")
    assert script == golden.read_text(encoding="utf-8")


def test_the_script_runs_as_it_is(tables: Tables) -> None:
    with Warehouse.open_duckdb(None, tables) as warehouse:
        with warehouse.transaction() as connection:
            for statement in ddl_script(tables, fixed_dialect("duckdb")).split(";\n\n"):
                if statement.strip():
                    connection.exec_driver_sql(statement)
        assert create_missing(warehouse) == 0


def test_the_script_of_sql_server_has_batches_and_that_of_oracle_owners(tables: Tables) -> None:
    assert "\nGO\n" in ddl_script(tables, fixed_dialect("mssql"))
    assert "CREATE USER rdv NO AUTHENTICATION" in ddl_script(tables, fixed_dialect("oracle"))


def test_creating_what_is_missing_twice_creates_nothing_and_keeps_rows(site: Site) -> None:
    site.land("product", [{"product_id": "P1", "label": "one", "price": "1"}])
    site.load("product")
    assert create_missing(site.warehouse) == 0
    assert len(site.landed("product")) == 1


def test_only_what_is_missing_is_created(tables: Tables) -> None:
    with Warehouse.open_duckdb(None, tables) as warehouse:
        assert create_missing(warehouse) == len(tables.metadata.sorted_tables)
        with warehouse.transaction() as connection:
            connection.execute(sa.schema.DropTable(tables["itf.customer"]))
            connection.exec_driver_sql("drop view cdm_publish_db.customer_360_current")
        assert create_missing(warehouse) == 1
        with warehouse.connection() as connection:
            assert connection.exec_driver_sql("select * from cdm_publish_db.customer_360_current").all() == []


def test_the_calendar_has_every_date_once(tables: Tables) -> None:
    calendar = tables["cdp_metadata.calendar"].c.business_date
    with Warehouse.open_duckdb(None, tables) as warehouse:
        create_missing(warehouse)
        with warehouse.connection() as connection:
            query = sa.select(
                sa.func.min(calendar), sa.func.max(calendar), sa.func.count(), sa.func.count(calendar.distinct())
            )
            first, last, rows, dates = connection.execute(query).one()
    assert (first, last) == (CALENDAR_FIRST, CALENDAR_LAST)
    assert rows == dates == (CALENDAR_LAST - CALENDAR_FIRST).days + 1


def test_tables_that_are_not_as_declared_are_refused_by_name(site: Site) -> None:
    with site.warehouse.transaction() as connection:
        connection.exec_driver_sql("alter table ldz.ldz_product rename column label to title")
        connection.exec_driver_sql("alter table rdv.h_product add column more integer")
    with pytest.raises(SchemaMismatch) as error:
        create_missing(site.warehouse)
    with site.warehouse.transaction() as connection:  # other tests share the site
        connection.exec_driver_sql("alter table ldz.ldz_product rename column title to label")
        connection.exec_driver_sql("alter table rdv.h_product drop column more")
    assert str(error.value).splitlines() == [
        "the database does not match the catalog:",
        "  ldz.ldz_product: lacks label; has undeclared title",
        "  rdv.h_product: lacks nothing; has undeclared more",
        "Rename or drop the tables named above and load them again, or point CDM_DATABASE to a new file.",
    ]


def test_the_current_view_shows_the_latest_partition_only(tables: Tables) -> None:
    table = tables["cdm_publish_db.customer_360"]
    with Warehouse.open_duckdb(None, tables) as warehouse:
        create_missing(warehouse)
        with warehouse.transaction() as connection:
            for day in ("2024-01-01", "2024-01-02"):
                connection.exec_driver_sql(
                    f"insert into {table.fullname} values ('{day}', 'C1', 'token', 1.5, now()::timestamp, 'run')"
                )
            rows = connection.exec_driver_sql("select business_date from cdm_publish_db.customer_360_current").all()
    assert [str(day) for (day,) in rows] == ["2024-01-02"]


def test_publish_holds_tokens_in_columns_that_are_wide_enough(tables: Tables) -> None:
    assert str(tables["cs_360_db.customer_360"].c.email.type) == "VARCHAR(40)"
    assert str(tables["cdm_publish_db.customer_360"].c.email.type) == "VARCHAR(64)"
