"""What `cdm run` does, without Dagster: load what was never loaded and what is stale, until nothing is."""

from __future__ import annotations

from datetime import date

from cdm_assets.loading.staleness import stale_partitions
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.operations.plan import changed_files, mark_work, partitions_never_loaded, planned_runs, register_dates
from cdm_assets.warehouse.dates import DateRange, ranges_of
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.landing_area import LandingArea


def bring_up_to_date(
    warehouse: Warehouse, loads: TableLoads, dates: DateRange, area: LandingArea, *, run_id: str = "run"
) -> dict[str, set[date]]:
    """Load what is to be loaded; returns it, by table. A refused file is tried once."""
    loaded: dict[str, set[date]] = {}

    def load(key: str, part: DateRange) -> None:
        loaded.setdefault(key, set()).update(part)
        loads.load(key, part, LoadContext(warehouse, area, "k" * 32, run_id))

    with warehouse.transaction() as connection:
        register_dates(connection, loads, dates, area, run_id)
        mark_work(connection, loads, changed_files(connection, loads, dates))
        missing = partitions_never_loaded(connection, loads, dates)
    for run in planned_runs(missing, loads):
        for key in run.tables:
            load(key, run.dates)
    for _ in range(2):  # what the vault's loads bring to light comes second
        with warehouse.connection() as connection:
            stale = stale_partitions(connection, loads)
        for key, days in stale.items():
            for part in ranges_of(days):
                load(key, part)
    return loaded
