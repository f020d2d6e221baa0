"""The demo's first days through all layers on any engine, without Dagster, to compare an engine with DuckDB."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.demo.landing_area import write_landing_area
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.landing_area import LandingArea
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.bring_up_to_date import bring_up_to_date
from cdm_assets_tests.engines.comparison import differences

_DAY_0: Final = date(2017, 1, 1)


def differences_of_demo_days(engine: sa.Engine, folder: Path, days: int) -> dict[str, str]:
    """The tables that differ once `days` demo days are loaded on `engine`, Day 0 by itself, and on DuckDB at once."""
    dates = DateRange(_DAY_0, _DAY_0 + timedelta(days=days - 1))
    write_landing_area(root=folder / "landing", start=dates.first, end=dates.last)
    loads = TableLoads(Tables(read_catalog()))
    with Warehouse(engine, loads.tables) as one, Warehouse.open_duckdb(None, loads.tables) as other:
        for warehouse, parts in ((one, [DateRange(_DAY_0, _DAY_0), dates]), (other, [dates])):
            create_missing(warehouse)
            area = LandingArea(str(folder / "landing"), folder / f"archive_{warehouse.engine.dialect.name}")
            for part in parts:
                bring_up_to_date(warehouse, loads, part, area)
        return differences(other, one)
