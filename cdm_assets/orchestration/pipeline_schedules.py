"""A job and a schedule for each pipeline, for sites that start pipelines by the clock; all off until switched on."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cronsim import CronSim
from dagster import (
    AssetCheckKey,
    AssetSelection,
    DefaultScheduleStatus,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    define_asset_job,
    schedule,
)

from cdm_assets.catalog.model import WAREHOUSE_SYSTEM
from cdm_assets.catalog.pipelines import Pipeline
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.maintenance import warehouse_window
from cdm_assets.operations.ownership import tables_of
from cdm_assets.orchestration.assets import asset_key
from cdm_assets.orchestration.runs import range_tags
from cdm_assets.settings import Settings

_AGAIN: Final = "*/15 * * * *"
"""How often it is tried again where maintenance of the warehouse may have held a start."""


def pipeline_schedules(loads: TableLoads, settings: Settings, daily: Any) -> list[ScheduleDefinition]:
    """The schedule `<pipeline>_schedule` of the job `<pipeline>` for each pipeline that has tables."""
    schedules = []
    for name, pipeline in loads.catalog.pipelines.items():
        keys = tables_of(loads.catalog, name, loads.in_order)
        if keys:
            assets = AssetSelection.assets(*(asset_key(loads.tables, key) for key in keys))
            job = define_asset_job(name, selection=assets.without_checks() | _own_checks(loads, keys))
            schedules.append(_schedule(loads, settings, pipeline, job, daily))
    return schedules


def start_of(pipeline: Pipeline, at: datetime) -> datetime:
    """The last start that the pipeline's cron has at `at` (aware) or before, in UTC."""
    return next(CronSim(pipeline.schedule, at.astimezone(UTC) + timedelta(minutes=1), reverse=True))


def _schedule(loads: TableLoads, settings: Settings, pipeline: Pipeline, job: Any, daily: Any) -> ScheduleDefinition:
    held = any(window.system == WAREHOUSE_SYSTEM for window in loads.catalog.maintenance.values())

    @schedule(
        name=f"{pipeline.pipeline}_schedule",
        job=job,
        cron_schedule=[pipeline.schedule, _AGAIN] if held else pipeline.schedule,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.STOPPED,
        tags={"cdm/pipeline": pipeline.pipeline},
        description=(
            f"Pipeline {pipeline.pipeline} for the business date before {pipeline.schedule} UTC, ready by "
            f"{pipeline.ready_by:%H:%M}; after the maintenance that is open then. Starts a date once, and not if "
            "the daily job has started it."
        ),
    )
    def by_the_clock(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        at = context.scheduled_execution_time
        window = warehouse_window(loads.catalog, at)
        if window:
            return SkipReason(f"{window}: {pipeline.pipeline} starts after it.")
        day = start_of(pipeline, at).date() - timedelta(days=1)
        if not settings.start_date <= day <= settings.last_business_date:
            return SkipReason(f"{day} is no business date of this site.")
        tags = range_tags(day, day)
        for name in (job.name, daily.name):
            begun = context.instance.get_runs(RunsFilter(job_name=name, tags=dict(tags)), limit=1)
            if begun:
                return SkipReason(f"{day} was started before, by the job {name}, run {begun[0].run_id}.")
        return RunRequest(run_key=str(day), tags={**tags, "cdm/why": "schedule", "cdm/pipeline": pipeline.pipeline})

    return by_the_clock


def _own_checks(loads: TableLoads, keys: list[str]) -> AssetSelection:
    """The checks that the loads of `keys` make; not those that are made apart from them, such as `fresh`."""
    return AssetSelection.checks(
        *(AssetCheckKey(asset_key(loads.tables, key), check) for key in keys for check in loads.checks[key].names)
    )
