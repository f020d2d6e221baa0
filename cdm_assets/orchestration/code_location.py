"""The code location: every asset, the daily job and its schedule, for the site's settings."""

from __future__ import annotations

from functools import cache
from typing import Final

from dagster import AssetSelection, Definitions, define_asset_job, in_process_executor

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.marts.consistency import marts_faults
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.orchestration.assets import WAREHOUSE_RESOURCE, daily_partitions, table_assets
from cdm_assets.orchestration.daily_schedule import daily_schedule
from cdm_assets.orchestration.freshness_checks import freshness_check_keys, freshness_checks, freshness_schedule
from cdm_assets.orchestration.incident_sensor import incident_sensors
from cdm_assets.orchestration.landing_sensors import landing_sensors
from cdm_assets.orchestration.morning_asset import morning_asset, morning_asset_key, morning_schedule
from cdm_assets.orchestration.pipeline_schedules import pipeline_schedules
from cdm_assets.orchestration.prediction_sensor import ingest_assets, prediction_sensor
from cdm_assets.orchestration.repair import repair_job
from cdm_assets.orchestration.setup_jobs import setup_jobs
from cdm_assets.orchestration.snowflake_resource import database_resources
from cdm_assets.orchestration.warehouse_resource import warehouse_resource
from cdm_assets.settings import Settings
from cdm_assets.warehouse.tables import Tables

DAILY_JOB: Final = "daily"


@cache
def table_loads(settings: Settings) -> TableLoads:
    """The loads of the site's catalog, read once a process. Raises CatalogError naming every mistake in it."""
    catalog = read_catalog(settings.catalog_overlay, further_rules=[marts_faults])
    return TableLoads(Tables(catalog, schema_prefix=settings.schema_prefix))


def build_definitions(settings: Settings) -> Definitions:
    """All definitions. Touches no network, database or landing area."""
    loads = table_loads(settings)
    partitions = daily_partitions(settings)
    daily = define_asset_job(
        DAILY_JOB,
        selection=AssetSelection.all()
        - AssetSelection.checks(*freshness_check_keys(loads))
        - AssetSelection.assets(morning_asset_key(loads.tables)),
        description="Every table of every layer for one business date, or for a range of them in one run.",
    )
    assets = table_assets(loads, partitions, settings.engine)
    repair = repair_job(loads, settings, assets)
    return Definitions(
        assets=[*assets, *ingest_assets(loads, partitions, settings.engine), morning_asset(settings, loads.tables)],
        jobs=[daily, repair, *setup_jobs(loads, settings)],
        asset_checks=freshness_checks(loads, settings),
        schedules=[
            daily_schedule(loads, settings, daily),
            *pipeline_schedules(loads, settings, daily),
            *freshness_schedule(loads),
            morning_schedule(loads.tables),
        ],
        sensors=[
            *landing_sensors(loads, settings, daily=daily, repair=repair),
            prediction_sensor(loads, settings),
            *incident_sensors(loads, settings),
        ],
        resources={WAREHOUSE_RESOURCE: warehouse_resource(settings, loads), **database_resources(settings)},
        executor=in_process_executor,
    )
