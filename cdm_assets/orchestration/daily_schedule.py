"""The day's run by the clock, for sites whose files are always there at seven; the sensors do the same by the files."""

from typing import Any, Final

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.maintenance import warehouse_window
from cdm_assets.orchestration.runs import range_tags
from cdm_assets.settings import Settings

CRON: Final = "*/15 7-23 * * *"
"""From 07:00 UTC, and again every quarter of an hour: a run that a maintenance window held starts after it."""


def daily_schedule(loads: TableLoads, settings: Settings, daily: Any) -> ScheduleDefinition:
    """The schedule `daily_schedule` of the job `daily`; off until switched on."""

    @schedule(
        name="daily_schedule",
        job=daily,
        cron_schedule=CRON,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.STOPPED,
        description=(
            "The last business date at 07:00 UTC, after the last source is due, or when the maintenance window that is "
            "open then ends. Starts a date once, and not if the sensors have started it."
        ),
    )
    def by_the_clock(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        day = settings.last_business_date
        window = warehouse_window(loads.catalog, context.scheduled_execution_time)
        if window:
            return SkipReason(f"{window}: {day} starts after it.")
        tags = range_tags(day, day)
        begun = context.instance.get_runs(RunsFilter(job_name=daily.name, tags=dict(tags)), limit=1)
        if begun:
            return SkipReason(f"{day} was started before, run {begun[0].run_id}.")
        return RunRequest(run_key=str(day), tags={**tags, "cdm/why": "schedule"})

    return by_the_clock
