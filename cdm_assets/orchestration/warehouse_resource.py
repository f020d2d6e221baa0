"""The warehouse as a Dagster resource: opened once a run, closed when the run ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from dagster import InitResourceContext, ResourceDefinition, resource

from cdm_assets.loading.publish import read_or_make_token_key
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.operations.maintenance import warehouse_window
from cdm_assets.orchestration.date_gate import through_the_gate
from cdm_assets.orchestration.instance import keep_connections_open
from cdm_assets.orchestration.snowflake_resource import connections_of, snowflake_resource
from cdm_assets.orchestration.spreadsheet_types import frame_faults
from cdm_assets.settings import Settings
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.landing_area import LandingArea

IN_MAINTENANCE_TAG: Final = "cdm/in_maintenance"
_LOOK_AT_WINDOW_SECONDS: Final = 60
LOCK_WAIT_SECONDS: Final = 600
"""How long a run waits for another process (a `cdm run` beside the UI) to let go of the DuckDB file."""


def open_warehouse(settings: Settings, loads: TableLoads, *, wait_seconds: float = 0) -> Warehouse:
    """The site's warehouse, open for writing. Raises WarehouseBusy if another process still holds it after the wait."""
    connect = connections_of(snowflake_resource(settings)) if settings.engine == "snowflake" else None
    return Warehouse.open(settings, loads.tables, wait_seconds=wait_seconds, connect=connect)


def wait_for_maintenance(context: InitResourceContext, loads: TableLoads) -> None:
    """Wait until no maintenance window of the warehouse is open, unless the run is tagged to go on all the same."""
    if context.run is None or IN_MAINTENANCE_TAG in context.run.tags:
        return
    while window := warehouse_window(loads.catalog, now := datetime.now(UTC)):
        message = f"{window}: this run goes on after it. Tag a run {IN_MAINTENANCE_TAG} to go on all the same."
        if context.log is not None:
            context.log.info(message)
        time.sleep(min(_LOOK_AT_WINDOW_SECONDS, (window.until - now).total_seconds()))


def landing_area(settings: Settings) -> LandingArea:
    """The site's landing area and archive; nothing is opened yet."""
    return LandingArea(settings.landing_root, settings.archive)


def warehouse_resource(settings: Settings, loads: TableLoads) -> ResourceDefinition:
    """Everything a load needs, for the site's settings. What is missing in the database is created first.

    A run for dates that the control table does not allow fails here, before any step of it.
    """

    @resource(description="The warehouse, open for writing for the time of one run.")
    @contextmanager
    def warehouse(context: InitResourceContext) -> Iterator[LoadContext]:
        wait_for_maintenance(context, loads)
        if context.instance is not None:
            keep_connections_open(context.instance)
        token_key = read_or_make_token_key(settings.token_key, settings.home)
        with open_warehouse(settings, loads, wait_seconds=LOCK_WAIT_SECONDS) as opened:
            create_missing(opened)
            run_id = context.run.run_id if context.run else "no-run"
            with through_the_gate(context, opened, settings, loads):
                yield LoadContext(opened, landing_area(settings), token_key, run_id, frame_faults)

    return warehouse
