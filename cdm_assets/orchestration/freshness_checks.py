"""The check `fresh` of every table of a pipeline: is the partition loaded that is due now.

Dagster's own `FreshnessPolicy` looks at an asset's last materialization, whatever its partition: a backfill of an old
date would make a table look fresh whose newest date is missing. So freshness is a check here, by partition, made every
quarter of an hour once its schedule is switched on, and not when tables are loaded.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetSelection,
    DefaultScheduleStatus,
    ResourceParam,
    ScheduleDefinition,
    define_asset_job,
    multi_asset_check,
)

from cdm_assets.catalog.pipelines import OnCallPolicy
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.operations.freshness import Freshness, table_freshness
from cdm_assets.operations.ownership import find_pipeline
from cdm_assets.orchestration.assets import asset_key
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange

FRESH: Final = "fresh"
FRESHNESS_JOB: Final = "freshness"
_CRON: Final = "*/15 * * * *"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def freshness_checks(
    loads: TableLoads, settings: Settings, *, now: Callable[[], datetime] = _utc_now
) -> list[AssetChecksDefinition]:
    """One definition with the check `fresh` of each table of a pipeline; none in a catalog without pipelines."""
    tables = loads.tables
    pipelines = {key: found for key in loads.in_order if (found := find_pipeline(loads.catalog, key))}
    if not pipelines:
        return []
    specs = [
        AssetCheckSpec(
            FRESH,
            asset=asset_key(tables, key),
            description=f"The business date due by {pipeline.ready_by:%H:%M} UTC of the day after it is loaded.",
        )
        for key, pipeline in pipelines.items()
    ]

    @multi_asset_check(name=FRESHNESS_JOB + "_of_tables", specs=specs, can_subset=True)
    def fresh(context: AssetCheckExecutionContext, warehouse: ResourceParam[LoadContext]) -> Iterator[Any]:
        asked = {check.asset_key for check in context.selected_asset_check_keys}
        keys = tuple(key for key in pipelines if asset_key(tables, key) in asked)
        dates = DateRange(settings.start_date, max(settings.start_date, settings.last_business_date))
        with warehouse.warehouse.connection() as connection:
            found = table_freshness(connection, tables, now(), dates, keys=keys)
        for each in found:
            calls = pipelines[each.table].on_call is OnCallPolicy.PAGER
            yield _result(each, AssetCheckKey(asset_key(tables, each.table), FRESH), calls=calls)

    return [fresh]


def freshness_schedule(loads: TableLoads) -> list[ScheduleDefinition]:
    """The schedule of the checks `fresh`; off until switched on."""
    checks = freshness_check_keys(loads)
    if not checks:
        return []
    job = define_asset_job(
        FRESHNESS_JOB,
        selection=AssetSelection.checks(*checks),
        description="Is every table's partition loaded that is due now.",
    )
    return [
        ScheduleDefinition(
            name="freshness_schedule",
            job=job,
            cron_schedule=_CRON,
            execution_timezone="UTC",
            default_status=DefaultScheduleStatus.STOPPED,
            description="Is every table's partition loaded that is due now, every quarter of an hour.",
        )
    ]


def freshness_check_keys(loads: TableLoads) -> list[AssetCheckKey]:
    """The keys of the checks `fresh`."""
    owned = (key for key in loads.in_order if find_pipeline(loads.catalog, key))
    return [AssetCheckKey(asset_key(loads.tables, key), FRESH) for key in owned]


def _result(found: Freshness, check: AssetCheckKey, *, calls: bool) -> AssetCheckResult:
    return AssetCheckResult(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=found.is_fresh,
        severity=AssetCheckSeverity.ERROR if calls else AssetCheckSeverity.WARN,
        description=str(found),
        metadata={
            "due": str(found.due or ""),
            "newest loaded": str(found.newest or ""),
            "pipeline": found.pipeline,
        },
    )
