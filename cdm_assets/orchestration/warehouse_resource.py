"""The warehouse as a Dagster resource: opened once a run, closed when the run ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dagster import InitResourceContext, ResourceDefinition, resource

from cdm_assets.loading.publish import read_or_make_token_key
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.settings import Settings
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import DuckDBOptions, Warehouse

LOCK_WAIT_SECONDS: Final = 600
"""How long a run waits for another process (a `cdm run` beside the UI) to let go of the DuckDB file."""


def open_warehouse(settings: Settings, loads: TableLoads, *, wait_seconds: float = 0) -> Warehouse:
    """The site's warehouse, open for writing. Raises WarehouseBusy if another process still holds it after the wait."""
    options = DuckDBOptions(settings.memory_limit, settings.threads)
    return Warehouse.open_duckdb(settings.database_path, loads.tables, options=options, wait_seconds=wait_seconds)


def warehouse_resource(settings: Settings, loads: TableLoads) -> ResourceDefinition:
    """Everything a load needs, for the site's settings. What is missing in the database is created first."""

    @resource(description="The warehouse, open for writing for the time of one run.")
    @contextmanager
    def warehouse(context: InitResourceContext) -> Iterator[LoadContext]:
        token_key = read_or_make_token_key(settings.token_key, settings.home)
        with open_warehouse(settings, loads, wait_seconds=LOCK_WAIT_SECONDS) as opened:
            create_missing(opened)
            yield LoadContext(opened, settings.landing_root, token_key, context.run.run_id if context.run else "no-run")

    return warehouse
