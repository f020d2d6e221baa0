"""`cdm run`: plan what is stale, then load it through real Dagster runs on the site's instance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from dagster import DagsterInstance

from cdm_assets.catalog.types import Layer
from cdm_assets.loading.date_control import require_allowed
from cdm_assets.loading.rehearsal import partitions_affected
from cdm_assets.loading.staleness import reach, stale_partitions
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.operations.error_codes import code_of_error_text, is_told_by_checks
from cdm_assets.operations.maintenance import warehouse_window
from cdm_assets.operations.plan import (
    PlannedRun,
    changed_files,
    mark_work,
    partitions_never_loaded,
    planned_runs,
    register_dates,
)
from cdm_assets.orchestration.assets import asset_key, tables_of_steps
from cdm_assets.orchestration.code_location import DAILY_JOB
from cdm_assets.orchestration.date_gate import date_control
from cdm_assets.orchestration.freshness_checks import FRESHNESS_JOB
from cdm_assets.orchestration.instance import ensure_instance_of, keep_connections_open, max_concurrent_runs
from cdm_assets.orchestration.prediction_sensor import export_ingested, in_words, ingest_events
from cdm_assets.orchestration.repair import REPAIR_JOB, VERDICT_OP, repair_op_name
from cdm_assets.orchestration.runs import RunOutcome, StepProgress, run_ops, run_range, runs_in_progress
from cdm_assets.orchestration.spreadsheet_types import frame_faults
from cdm_assets.orchestration.warehouse_resource import IN_MAINTENANCE_TAG, landing_area, open_warehouse
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import WarehouseBusy
from cdm_assets.warehouse.lineage import SOME_DATES

_TAGS: Final = {"cdm/command": "run", IN_MAINTENANCE_TAG: "asked before"}
_WAIT_SECONDS: Final = 20
"""For a sensor's look at the landing area to end."""


class UnknownSelection(Exception):
    """A `--select` names no table."""


class InMaintenance(Exception):
    """A maintenance window of the warehouse is open."""


@dataclass(frozen=True)
class RunSummary:
    """What was run: Dagster's run ids, and what failed, in words."""

    run_ids: tuple[str, ...]
    problems: tuple[str, ...]
    codes: tuple[str, ...] = ()
    """The error codes of the problems."""


def run_dates(
    settings: Settings,
    loads: TableLoads,
    dates: DateRange,
    *,
    selection: Sequence[str] = (),
    force: bool = False,
    in_maintenance: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> RunSummary:
    """Load what was never loaded within `dates`, and whatever a file of these dates that changed makes stale.

    With `force`, everything selected within `dates` is loaded first. Stale partitions are loaded whatever their date.
    Raises DateNotAllowed, InMaintenance (unless `in_maintenance`), LandingAreaMissing, WarehouseBusy, SchemaMismatch or
    UnknownSelection before any run is created.
    """
    window = warehouse_window(loads.catalog, datetime.now(UTC))
    if window and not in_maintenance:
        raise InMaintenance(f"{window}; run again after it, or with --in-maintenance")
    landing_area(settings).require()
    _require_alone(settings)
    wanted = _selected(loads, selection)
    # Open to the end: the runs in this process share the database, and no other process comes between plan and run.
    with open_warehouse(settings, loads, wait_seconds=_WAIT_SECONDS) as warehouse:
        create_missing(warehouse)
        control = date_control(settings, loads)
        with warehouse.transaction() as connection:
            control.update(connection, Stamp("cdm run"), first_run=dates)
            require_allowed(connection, loads.tables, dates, control.area)
        export = export_ingested(warehouse, settings, "cdm run")
        if export.written or export.outside:
            say(in_words(export))
        with warehouse.transaction() as connection:
            register_dates(connection, loads, dates, landing_area(settings), "cdm run")
            mark_work(connection, loads, changed_files(connection, loads, dates))
            missing = partitions_never_loaded(connection, loads, dates)
            stale = stale_partitions(connection, loads)
        runs = planned_runs({key: days for key, days in missing.items() if key in wanted}, loads)
        if force:
            runs = [PlannedRun(dates, wanted)]
        if not runs and not stale.keys() & set(wanted):
            say(f"{dates}: everything is loaded and unchanged; nothing to do")
            return RunSummary((), ())
        with warehouse.transaction() as connection:
            # Of the whole range: its runs begin with the smallest, which need not be the first.
            control.begin_run(connection, dates, _landed_sources(loads, wanted), Stamp("cdm run"))
        ensure_instance_of(settings)
        with DagsterInstance.get() as instance:
            keep_connections_open(instance)
            for event in ingest_events(loads, export.written):
                instance.report_runless_asset_event(event)
            session = _Session(instance, loads, say)
            for number, planned in enumerate(runs, start=1):
                size = f"{len(planned.tables)} tables, {planned.dates} ({len(planned.dates)} dates)"
                say(f"Run {number} of {len(runs)}: {size}")
                if not session.load(planned):
                    return session.summary
            with warehouse.connection() as connection:
                stale = stale_partitions(connection, loads)
            session.repair([key for key in _downstream(loads, stale) if key in wanted])
        return session.summary


def _require_alone(settings: Settings) -> None:
    """Raise WarehouseBusy beside another run, on a server on which one run loads at a time.

    DuckDB's file is locked by whoever has it open, and on PostgreSQL loads take turns table by table.
    """
    alone = max_concurrent_runs(settings.engine, settings.max_concurrent_runs) == 1
    if settings.engine == "duckdb" or not alone:
        return
    ensure_instance_of(settings)
    with DagsterInstance.get() as instance:
        others = runs_in_progress(instance)
    if others:
        raise WarehouseBusy(
            f"on {settings.engine} one run loads at a time, and there is {others}; wait for its end (the Dagster UI "
            "shows it), or cancel it there"
        )


@dataclass(frozen=True)
class Plan:
    """What a run would load: ranges never loaded, changed files by source, and all partitions to load again."""

    runs: tuple[PlannedRun, ...]
    changed: Mapping[str, frozenset[date]]
    again: Mapping[str, frozenset[date]]


def plan_dates(settings: Settings, loads: TableLoads, dates: DateRange) -> Plan:
    """What `run_dates` would load now; files are registered, nothing is loaded or marked.

    Raises LandingAreaMissing, WarehouseBusy or SchemaMismatch.
    """
    area = landing_area(settings)
    area.require()
    with open_warehouse(settings, loads, wait_seconds=_WAIT_SECONDS) as warehouse:
        create_missing(warehouse)
        export_ingested(warehouse, settings, "cdm plan")
        with warehouse.transaction() as connection:
            register_dates(connection, loads, dates, area, "cdm plan")
            changed = changed_files(connection, loads, dates)
            runs = planned_runs(partitions_never_loaded(connection, loads, dates), loads)
            again = stale_partitions(connection, loads)
        context = LoadContext(warehouse, area, token_key="", run_id="cdm plan", frame_faults=frame_faults)
        affected = partitions_affected(loads, context, changed)
    again |= {key: days | again.get(key, frozenset()) for key, days in affected.items()}
    in_order = {key: again[key] for key in loads.in_order if key in again}
    return Plan(tuple(runs), {source: frozenset(days) for source, days in changed.items()}, in_order)


class _Session:
    """The runs of one command."""

    def __init__(self, instance: DagsterInstance, loads: TableLoads, say: Callable[[str], None]) -> None:
        self._instance, self._loads, self._say = instance, loads, say
        self.summary = RunSummary((), ())

    def load(self, planned: PlannedRun) -> bool:
        """Run the daily job for a range; returns whether it succeeded."""
        # A selection of assets brings their checks of freshness back, which the job leaves out.
        every = len(planned.tables) == len(self._loads.in_order)
        outcome = run_range(
            instance=self._instance,
            job_name=DAILY_JOB,
            start=planned.dates.first,
            end=planned.dates.last,
            selection=None if every else [asset_key(self._loads.tables, key) for key in planned.tables],
            tags=_TAGS,
            on_event=_Progress(len(planned.tables), self._say),
        )
        return self._note(outcome)

    def repair(self, tables: Sequence[str]) -> None:
        """Run the repair job for `tables`, if there are any."""
        if tables:
            self._say(f"Repair: up to {len(tables)} tables, the dates that changed files affect")
            ops = [*(repair_op_name(key) for key in tables), VERDICT_OP]
            progress = _Progress(len(ops), self._say)
            outcome = run_ops(instance=self._instance, job_name=REPAIR_JOB, ops=ops, tags=_TAGS, on_event=progress)
            self._note(outcome)

    def _note(self, outcome: RunOutcome) -> bool:
        tables, problems, codes = tables_of_steps(self._loads), [], []
        errors = [*outcome.failed_steps.items(), *([("", outcome.error)] if outcome.error else [])]
        for step, text in errors:
            code = code_of_error_text(text, table_key=tables.get(step, ""))
            problems.append(f"{step}: {text} ({code})".removeprefix(": "))
            codes += [] if is_told_by_checks(text) else [code]
        before = self.summary
        self.summary = RunSummary(
            (*before.run_ids, outcome.run_id), (*before.problems, *problems), (*before.codes, *codes)
        )
        return outcome.success


def _downstream(loads: TableLoads, stale: Iterable[str]) -> list[str]:
    """The tables of `stale` and all that a change of theirs could reach, in order."""
    reached: set[str] = set(stale)
    some_dates = [SOME_DATES]
    for key in loads.in_order:
        if any(reach(loads.catalog, key, upstream, some_dates) for upstream in loads.reads[key] & reached):
            reached.add(key)
    return [key for key in loads.in_order if key in reached]


def _landed_sources(loads: TableLoads, tables: Iterable[str]) -> frozenset[str]:
    """The sources of those of `tables` that are the landing zone's."""
    return frozenset(loads.landing_source(key).source for key in tables if key.startswith(f"{Layer.LANDING}."))


def _selected(loads: TableLoads, selection: Sequence[str]) -> tuple[str, ...]:
    """The tables that `selection` names, one by one or by layer; all where it is empty."""
    unknown = [s for s in selection if not any(s in (key, key.split(".")[0]) for key in loads.in_order)]
    if unknown:
        layers = sorted({key.split(".")[0] for key in loads.in_order})
        raise UnknownSelection(
            f"--select {', '.join(unknown)}: no such table; "
            f"name a table as schema.table or a layer ({', '.join(layers)})"
        )
    return tuple(k for k in loads.in_order if not selection or k in selection or k.split(".")[0] in selection)


class _Progress:
    """One line a finished table."""

    def __init__(self, tables: int, say: Callable[[str], None]) -> None:
        self._tables, self._done, self._say = tables, 0, say

    def __call__(self, progress: StepProgress) -> None:
        if progress.state == "started" or progress.step.startswith(FRESHNESS_JOB):
            return
        self._done += 1
        took = f"{progress.seconds:.1f} s" if progress.seconds is not None else progress.state
        table = progress.step.removeprefix("repair__").replace("__", ".", 1)
        self._say(f"  [{self._done:>2}/{self._tables}] {table:<42} {took}")
