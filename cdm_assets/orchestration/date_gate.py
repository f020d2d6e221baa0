"""The gate that every run passes when it opens the warehouse: may it be for its business dates.

A run that may not fails here, before its first step. One that may is noted in `cdp_metadata.etl_date_control`, and when
it ends the table is brought in line with what it loaded; so an ordinary day needs nobody to move the dates on.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Final

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, Failure, InitResourceContext, RunsFilter

from cdm_assets.catalog.types import Layer
from cdm_assets.loading.date_control import DateControl, DateNotAllowed
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.error_codes import code_of_exception, told
from cdm_assets.orchestration.assets import asset_key
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.landing_area import LandingArea

_UNFINISHED: Final = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


def date_control(settings: Settings, loads: TableLoads) -> DateControl:
    """The control table of the site; nothing is opened."""
    return DateControl(loads.tables, LandingArea(settings.landing_root, settings.archive), settings.start_date)


@contextmanager
def through_the_gate(
    context: InitResourceContext, warehouse: Warehouse, settings: Settings, loads: TableLoads
) -> Iterator[None]:
    """Around a run: raises DateNotAllowed before it, brings the control table in line before and after it."""
    control, run = date_control(settings, loads), context.run
    dates = dates_of_run(run.tags) if run else None
    stamp = Stamp(run.run_id if run else "no-run")
    with warehouse.transaction() as connection:
        if dates is None or run is None:
            control.update(connection, stamp)
        else:
            try:
                control.begin_run(
                    connection,
                    dates,
                    _sources_loaded(run, loads),
                    stamp,
                    begun_elsewhere=lambda: _dates_of_others(context.instance, run),
                )
            except DateNotAllowed as refusal:
                raise DateNotAllowed(f"{refusal} {told(code_of_exception(refusal))}") from None
    yield
    # Not where the run raised: it may have lost its connection, and the next run brings the table in line.
    with warehouse.transaction() as connection:
        control.update(connection, Stamp(stamp.run_id))


def begin_dates(
    warehouse: Warehouse, settings: Settings, loads: TableLoads, ranges: Iterable[DateRange], run_id: str
) -> None:
    """The gate of a job that is for dates of its own configuration. Raises Failure if one is not allowed."""
    control = date_control(settings, loads)
    try:
        for dates in ranges:
            with warehouse.transaction() as connection:
                control.begin_run(connection, dates, loads.catalog.sources, Stamp(run_id))
    except DateNotAllowed as refusal:
        raise Failure(f"{refusal} {told(code_of_exception(refusal))}", allow_retries=False) from refusal


def dates_of_run(tags: Mapping[str, str]) -> DateRange | None:
    """The business dates of a run for partitions; None for any other run."""
    first = tags.get("dagster/asset_partition_range_start") or tags.get("dagster/partition")
    last = tags.get("dagster/asset_partition_range_end") or first
    return DateRange(date.fromisoformat(first), date.fromisoformat(last)) if first and last else None


def _sources_loaded(run: DagsterRun, loads: TableLoads) -> frozenset[str]:
    """The sources whose landing zone the run loads."""
    landing = {
        asset_key(loads.tables, key): loads.landing_source(key).source
        for key in loads.in_order
        if key.startswith(f"{Layer.LANDING}.")
    }
    # A run of a whole job selects nothing; nor does one of checks alone, which loads nothing.
    is_whole = not run.asset_selection and not run.asset_check_selection
    return frozenset(source for key, source in landing.items() if is_whole or key in (run.asset_selection or ()))


def _dates_of_others(instance: DagsterInstance | None, run: DagsterRun) -> list[DateRange]:
    """The dates of the other runs that are queued or in progress: of a backfill of one run a date, several start."""
    if instance is None:
        return []
    others = instance.get_runs(RunsFilter(statuses=_UNFINISHED))
    dates = (dates_of_run(other.tags) for other in others if other.run_id != run.run_id)
    return [each for each in dates if each is not None]
