"""DDL plans on the stand-in of Snowflake, which takes no roles; these are text (`warehouse/test_ddl_changes.py`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.ddl_apply import apply_ddl
from cdm_assets.warehouse.ddl_plan import plan_ddl
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.snowflake import create_engine
from cdm_assets_tests.engines.fakesnow_server import FakesnowServer
from cdm_assets_tests.warehouse.ddl_laws import run, short_calendar, small_tables


@pytest.fixture
def warehouse(fakesnow: FakesnowServer, tmp_path: Path) -> Iterator[Warehouse]:
    with short_calendar(), Warehouse(create_engine(fakesnow.new_database()), small_tables(tmp_path)) as opened:
        yield opened


def test_an_empty_database_becomes_what_the_catalog_declares_and_stays_so(warehouse: Warehouse) -> None:
    plan = plan_ddl(warehouse, with_access=False)
    report = apply_ddl(warehouse, plan, run_id="first")
    assert (report.created_tables, report.left) == (len(warehouse.tables.metadata.sorted_tables), ())
    assert plan_ddl(warehouse, with_access=False).is_empty
    assert create_missing(warehouse) == 0
    run(
        warehouse,
        "alter table itf.customer drop column email",
        "alter table rdv.s_customer_details alter column credit set data type number(10,2)",
        "alter table ldz.ldz_product add column more number(5)",
        "drop view cdm_publish_db.customer_360_current",
    )
    report = apply_ddl(warehouse, plan_ddl(warehouse, with_access=False), run_id="second")
    assert [(step.kind, step.object) for step in report.done] == [
        ("widen column", "rdv.s_customer_details.credit"),
        ("add column", "itf.customer.email"),
        ("create view", "cdm_publish_db.customer_360_current"),
    ]
    (left,) = report.left
    report = apply_ddl(warehouse, plan_ddl(warehouse, with_access=False), allow=[left.token], run_id="third")
    assert (len(report.done), report.left) == (1, ())
    assert plan_ddl(warehouse, with_access=False).is_empty
