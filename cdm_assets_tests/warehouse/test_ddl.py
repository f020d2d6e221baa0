"""DDL: golden scripts, creation of what is missing, and a refusal to go on with other tables than declared.

What differs from the catalog and is put right: `test_ddl_plan.py`.
"""

import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdm_assets.warehouse.ddl import (
    CALENDAR_FIRST,
    CALENDAR_LAST,
    SchemaMismatch,
    create_missing,
    ddl_script,
    declared_views,
)
from cdm_assets.warehouse.engine import ENGINES, Warehouse, fixed_dialect
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import Site
from cdm_assets_tests.warehouse.ddl_laws import small_tables

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return small_tables(tmp_path_factory.mktemp("catalog"))


@pytest.mark.parametrize("engine", ENGINES)
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


def test_each_script_ends_its_statements_as_the_engines_tools_want_it(tables: Tables) -> None:
    assert "\nGO\n" in ddl_script(tables, fixed_dialect("mssql"))
    oracle = ddl_script(tables, fixed_dialect("oracle"))
    assert "CREATE USER rdv NO AUTHENTICATION" in oracle
    assert "\nEND;\n/\n" in oracle
    assert "SET DEFINE OFF" in oracle


@pytest.mark.parametrize("engine", ENGINES)
def test_a_script_without_access_names_no_role(engine: str, tables: Tables) -> None:
    assert "cdm_viewer" not in ddl_script(tables, fixed_dialect(engine), with_access=False)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_percent_sign_in_a_comment_is_one(engine: str, tables: Tables) -> None:
    """Drivers that take parameters as %s want two; people who read the script do not."""
    assert "100% of the customers'' numbers" in ddl_script(tables, fixed_dialect(engine))


def test_every_engine_is_told_of_keys_and_dates_in_its_own_way(tables: Tables) -> None:
    scripts = {engine: ddl_script(tables, fixed_dialect(engine)) for engine in ENGINES}
    key = "rdv.h_customer ADD CONSTRAINT pk_h_customer PRIMARY KEY (customer_hk) DEFERRABLE INITIALLY DEFERRED"
    assert [engine for engine in ENGINES if key in scripts[engine]] == ["postgresql", "oracle"]
    dated = len(tables.partitioned) + 1  # and the table that models write
    assert scripts["postgresql"].count(" USING brin (business_date ") == dated
    assert scripts["snowflake"].count("\nCLUSTER BY (business_date)") == dated
    assert scripts["oracle"].count("\nPARTITION BY RANGE (business_date) INTERVAL ") == dated
    assert scripts["mssql"].count("CREATE CLUSTERED INDEX ") == dated
    assert "INDEX" not in scripts["duckdb"]


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
    *lines, what_to_do = str(error.value).splitlines()
    assert lines == [
        "the database does not match the catalog:",
        "  ldz.ldz_product: lacks label; has undeclared title",
        "  rdv.h_product: lacks nothing; has undeclared more",
    ]
    assert what_to_do.startswith("`cdm ddl --plan` shows what differs. `cdm setup`, or `cdm ddl --apply`, adds what")


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


def test_what_identifies_a_person_is_in_no_viewers_view(tables: Tables) -> None:
    views = {view.name: [column.name for column in view.columns] for view in declared_views(tables)}
    assert "email" in views["customer_360_current"]
    shown = ["business_date", "customer_id", "spent", "load_ts", "run_id"]
    assert (views["customer_360_viewer"], views["customer_360_viewer_current"]) == (shown, shown)
