"""`cdm run`: plan what is stale, then load it through real Dagster runs on the site's instance."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dagster import DagsterInstance

from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.plan import PlannedRun, planned_runs, stale_partitions
from cdm_assets.orchestration.assets import asset_key
from cdm_assets.orchestration.code_location import DAILY_JOB
from cdm_assets.orchestration.instance import ensure_instance
from cdm_assets.orchestration.runs import StepProgress, run_range
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import DuckDBOptions, Warehouse
from cdm_assets.warehouse.landing_files import require_landing_area


class UnknownSelection(Exception):
    """A `--select` names no table."""


@dataclass(frozen=True)
class RunSummary:
    """What was run: Dagster's run ids, and what failed, in words."""

    run_ids: tuple[str, ...]
    problems: tuple[str, ...]


def run_dates(
    settings: Settings,
    loads: TableLoads,
    dates: DateRange,
    *,
    selection: Sequence[str] = (),
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> RunSummary:
    """Load what is stale within `dates`; with `force`, everything selected.

    Raises LandingAreaMissing, WarehouseBusy, SchemaMismatch or UnknownSelection before any run is created.
    """
    require_landing_area(settings.landing_root)
    wanted = _selected(loads, selection)
    runs = [PlannedRun(dates, wanted)] if force else _plan(settings, loads, dates, wanted)
    if not runs:
        say(f"{dates}: everything is loaded and unchanged; nothing to do")
        return RunSummary((), ())
    ensure_instance(settings.dagster_home)
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    run_ids, problems = [], []
    with DagsterInstance.get() as instance:
        for number, planned in enumerate(runs, start=1):
            size = f"{len(planned.tables)} tables, {planned.dates} ({len(planned.dates)} dates)"
            say(f"Run {number} of {len(runs)}: {size}")
            outcome = run_range(
                instance=instance,
                job_name=DAILY_JOB,
                start=planned.dates.first,
                end=planned.dates.last,
                selection=[asset_key(loads.tables, key) for key in planned.tables],
                tags={"cdm/command": "run"},
                on_event=_Progress(len(planned.tables), say),
            )
            run_ids.append(outcome.run_id)
            problems += [f"{step}: {message}" for step, message in outcome.failed_steps.items()]
            problems += [outcome.error] if outcome.error else []
            if not outcome.success:
                break
    return RunSummary(tuple(run_ids), tuple(problems))


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


def _plan(settings: Settings, loads: TableLoads, dates: DateRange, wanted: Sequence[str]) -> list[PlannedRun]:
    options = DuckDBOptions(settings.memory_limit, settings.threads)
    with Warehouse.open_duckdb(settings.database_path, loads.tables, options=options) as warehouse:
        create_missing(warehouse)
        stale = stale_partitions(warehouse, loads, dates, settings.landing_root)
    return planned_runs({key: days for key, days in stale.items() if key in wanted}, loads)


class _Progress:
    """One line a finished table."""

    def __init__(self, tables: int, say: Callable[[str], None]) -> None:
        self._tables, self._done, self._say = tables, 0, say

    def __call__(self, progress: StepProgress) -> None:
        if progress.state == "started":
            return
        self._done += 1
        took = f"{progress.seconds:.1f} s" if progress.seconds is not None else progress.state
        self._say(f"  [{self._done:>2}/{self._tables}] {progress.step.replace('__', '.', 1):<42} {took}")
