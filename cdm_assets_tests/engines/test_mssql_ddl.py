"""Plans of SQL Server's DDL, made and applied through Microsoft's driver on the stand-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.ddl_apply import DdlFailed, apply_ddl
from cdm_assets.warehouse.ddl_plan import plan_ddl
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.mssql import create_engine
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.engines.tds_server import running_server
from cdm_assets_tests.warehouse.ddl_laws import (
    PUBLISHED,
    apply,
    failing_at,
    run,
    short_calendar,
    small_tables,
    states,
)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return small_tables(tmp_path_factory.mktemp("catalog"))


@pytest.fixture
def warehouse(tables: Tables) -> Iterator[Warehouse]:
    with (
        running_server() as server,
        short_calendar(),
        Warehouse(create_engine(sa.make_url(server.url())), tables) as warehouse,
    ):
        yield warehouse


def test_an_empty_database_becomes_what_the_catalog_declares_and_so_does_an_altered_one(
    warehouse: Warehouse, tables: Tables
) -> None:
    plan = plan_ddl(warehouse)
    report = apply_ddl(warehouse, plan, run_id="first")
    assert (len(report.done), report.left) == (len(plan.steps), ())
    assert states(warehouse) == {"done": len(plan.steps)}
    assert plan_ddl(warehouse).is_empty
    assert create_missing(warehouse) == 0
    run(
        warehouse,
        f"INSERT INTO {PUBLISHED} VALUES ('2024-01-01', 'C1', 'token', 1.5, '2024-01-02 00:00:00', 'run')",
        f"CREATE OR ALTER VIEW {PUBLISHED}_current AS\nSELECT customer_id FROM {PUBLISHED}",
        f"ALTER TABLE {PUBLISHED} ALTER COLUMN spent NUMERIC(9, 2) NOT NULL",
        "ALTER TABLE itf.customer DROP COLUMN email",
        "execute sp_dropextendedproperty 'MS_Description', 'SCHEMA', itf, 'TABLE', customer",
        "execute sp_addextendedproperty 'MS_Description', N'It''s 100%', 'SCHEMA', itf, 'TABLE', customer",
        "ALTER TABLE ldz.ldz_product ALTER COLUMN price NUMERIC(20, 4) NULL",
    )
    done = apply(warehouse)
    assert {(step.kind, step.object) for step in done.done} >= {
        ("add column", "itf.customer.email"),
        ("widen column", f"{PUBLISHED}.spent"),
        ("set comment", "itf.customer"),
        ("create view", f"{PUBLISHED}_current"),
    }
    assert [step.token for step in done.left] == ["narrow-column:ldz.ldz_product.price"]
    assert not apply(warehouse, "all").left
    assert plan_ddl(warehouse).is_empty
    with warehouse.connection() as connection:
        assert connection.exec_driver_sql(f"SELECT spent FROM {PUBLISHED}_current").scalar() == 1.5


@pytest.mark.slow
def test_a_run_that_fails_goes_on_where_it_stopped(warehouse: Warehouse) -> None:
    plan = plan_ddl(warehouse)
    with failing_at(warehouse, 20), pytest.raises(DdlFailed, match="the power went off"):
        apply_ddl(warehouse, plan, run_id="first")
    report = apply(warehouse)
    assert report.resumed_at is not None
    assert 1 < report.resumed_at <= 20
    assert plan_ddl(warehouse).is_empty
    assert set(states(warehouse)) == {"done"}
