"""A process of its own that brings a contract site on disk up to date: to be killed, or run beside another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.marts.registry import MARTS, SAME_DATE_ONLY
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.warehouse import ddl
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.bring_up_to_date import bring_up_to_date
from cdm_assets_tests.loading.contract_site import ALL_DATES, CALENDAR, OWN_MARTS, OWN_SAME_DATE_ONLY
from cdm_assets_tests.small_site import area_at


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Warehouse, TableLoads]]:
    """The site of `folder`, waiting for another process that holds its database."""
    with mock.patch.dict(MARTS, OWN_MARTS), mock.patch.dict(SAME_DATE_ONLY, OWN_SAME_DATE_ONLY):
        loads = TableLoads(Tables(read_catalog(shipped=folder / "catalog")))
        with Warehouse.open_duckdb(folder / "site.duckdb", loads.tables, wait_seconds=60) as warehouse:
            yield warehouse, loads


def load_site(folder: Path, run_id: str, dates: DateRange = ALL_DATES) -> None:
    """Create what is missing in the site's database, load what is stale."""
    with opened(folder) as (warehouse, loads):
        with mock.patch.multiple(ddl, CALENDAR_FIRST=CALENDAR.first, CALENDAR_LAST=CALENDAR.last):
            ddl.create_missing(warehouse)
        bring_up_to_date(warehouse, loads, dates, area_at(folder / "landing"), run_id=run_id)
