"""The ten lines of YAML that the README shows: a new source from file to satellite, with nothing else written."""

from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.marts.consistency import marts_faults
from cdm_assets.loading.report import LoadReport
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import area_at

OVERLAY = Path(__file__).parent / "example_overlay"
DAYS = DateRange(date(2017, 1, 1), date(2017, 1, 3))
FILES = ["H1,gold\nH2,silver\n", "H1,gold\nH2,bronze\n", "H1,silver\n"]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog(OVERLAY, further_rules=[marts_faults])


def test_the_example_is_ten_lines(catalog: Catalog) -> None:
    assert len((OVERLAY / "sources" / "loyalty.yaml").read_text().splitlines()) == 10
    assert "loyalty" in catalog.sources
    assert "transaction" in catalog.sources


def test_the_example_gives_a_landing_table_a_source_of_the_hub_and_a_satellite(catalog: Catalog) -> None:
    loads = TableLoads(Tables(catalog))
    assert {"ldz.ldz_loyalty", "rdv.s_customer_loyalty"} <= set(loads.tables.partitioned)
    assert "ldz.ldz_loyalty" in loads.reads["rdv.h_customer"]
    assert loads.reads["rdv.s_customer_loyalty"] == {"ldz.ldz_loyalty"}


def test_the_example_loads_from_file_to_satellite(catalog: Catalog, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    for day, rows in zip(DAYS, FILES, strict=True):
        (landing / f"{day}").mkdir(parents=True)
        (landing / f"{day}" / "loyalty.csv").write_text(f"household_id,tier\n{rows}")
    tables = Tables(catalog)
    loads = TableLoads(tables)
    with Warehouse.open_duckdb(None, tables) as warehouse:
        create_missing(warehouse)
        context = LoadContext(warehouse, area_at(landing), token_key="a key for tests", run_id="run")
        reports = {
            key: loads.load(key, DAYS, context)
            for key in ("ldz.ldz_loyalty", "rdv.h_customer", "rdv.s_customer_loyalty")
        }
        table, hub = tables["rdv.s_customer_loyalty"], tables["rdv.h_customer"]
        query = (
            sa.select(hub.c.customer_id, table.c.business_date, table.c.is_listed, table.c.tier)
            .join_from(table, hub, hub.c.customer_hk == table.c.customer_hk)
            .order_by(hub.c.customer_id, table.c.business_date)
        )
        with warehouse.connection() as connection:
            found = [tuple(row) for row in connection.execute(query)]
    first, second, third = DAYS
    assert found == [
        ("H1", first, True, "gold"),
        ("H1", third, True, "silver"),
        ("H2", first, True, "silver"),
        ("H2", second, True, "bronze"),
        ("H2", third, False, None),
    ]
    assert _failed(reports["ldz.ldz_loyalty"]) == [(second, "rules")]
    assert _failed(reports["rdv.h_customer"]) == []
    assert _failed(reports["rdv.s_customer_loyalty"]) == []


def _failed(report: LoadReport) -> list[tuple[date, str]]:
    return [(outcome.business_date, outcome.check) for outcome in report.checks if not outcome.passed]
