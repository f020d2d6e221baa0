"""The sensor on the landing area: new dates start the daily job, late and corrected files start the repair.

It compares the files with what was loaded, so a file is found whatever its name, age or order, nothing is remembered
that a crash could lose, and an identical re-delivery starts nothing. Withdrawn files are left to an operator's
`cdm run`, or `repair` so configured: a folder that is not mounted must not empty the warehouse.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from cdm_assets.catalog.types import Layer
from cdm_assets.loading.rehearsal import partitions_affected
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.operations.plan import changed_files, partitions_never_loaded
from cdm_assets.orchestration.runs import range_tags
from cdm_assets.orchestration.warehouse_resource import open_warehouse
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange, listed, ranges_of
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse, WarehouseBusy
from cdm_assets.warehouse.landing_files import file_name_of

SETTLED_SECONDS: Final = 10
"""How long a file must not have changed before it counts as whole."""
_UNFINISHED: Final = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def landing_sensor(loads: TableLoads, settings: Settings, *, daily: Any, repair: Any) -> SensorDefinition:
    """The sensor `landing_files`, which starts the jobs `daily` and `repair`; off until switched on in the UI."""

    @sensor(
        name="landing_files",
        jobs=[daily, repair],
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.STOPPED,
        description=(
            "Looks at the landing area. A date whose required files are all there starts the job `daily`. A late or "
            "corrected file of a loaded date starts `repair`, tagged with the files and what they affect. A file that "
            f"changed within the last {SETTLED_SECONDS} seconds is left alone; withdrawn files wait for `cdm run`."
        ),
    )
    def landing_files(context: SensorEvaluationContext) -> RunRequest | SkipReason:
        if context.instance.get_runs(RunsFilter(statuses=_UNFINISHED), limit=1):
            return SkipReason("A run is queued or in progress; the landing area is looked at when it has ended.")
        try:
            with open_warehouse(settings, loads) as warehouse:
                create_missing(warehouse)
                return _request(loads, settings, warehouse, daily=daily.name, repair=repair.name)
        except WarehouseBusy as busy:
            return SkipReason(str(busy))

    return landing_files


def _request(
    loads: TableLoads, settings: Settings, warehouse: Warehouse, *, daily: str, repair: str
) -> RunRequest | SkipReason:
    dates, root = DateRange(settings.start_date, settings.last_business_date), settings.landing_root
    if not root.is_dir():
        return SkipReason(f"The landing area {root} is not there.")
    with warehouse.connection() as connection:
        missing = partitions_never_loaded(connection, loads, dates)
        changed = {
            source: {day for day in days if _is_settled(root / file_name_of(loads.catalog.sources[source], day))}
            for source, days in changed_files(connection, loads, dates, root, withdrawn=False).items()
        }
    changed = {source: days for source, days in changed.items() if days}
    never = {day for key, days in missing.items() if key.startswith(f"{Layer.LANDING}.") for day in days}
    ready = [day for day in sorted(never) if _is_ready(loads, root, day)]
    if ready:
        first = ranges_of(ready)[0]
        tags = {**range_tags(first.first, first.last), "cdm/why": "new", "cdm/dates": str(first)}
        files = _identity(loads, root, {source: set(first) for source in loads.catalog.sources})
        return RunRequest(run_key=f"new {first} {files}", job_name=daily, tags=tags)
    if changed:
        affected = partitions_affected(loads, LoadContext(warehouse, root, token_key="", run_id="sensor"), changed)
        run_key = f"changed {_identity(loads, root, changed)}"
        return RunRequest(run_key=run_key, job_name=repair, tags=_why(changed, affected))
    waiting = f"; of {listed(never, most=3)} not all required files are there" if never else ""
    return SkipReason(f"The landing area holds what was loaded{waiting}.")


def _why(changed: Mapping[str, set[date]], affected: Mapping[str, frozenset[date]]) -> dict[str, str]:
    """Run tags: which files, how late, and how much is loaded again."""
    days = set[date]().union(*changed.values())
    latest = max(set[date]().union(*affected.values()))
    return {
        "cdm/why": "late or corrected",
        "cdm/files": "; ".join(
            f"{source} {listed(of_source, most=5)}" for source, of_source in sorted(changed.items())
        ),
        "cdm/days_back": str((latest - min(days)).days),
        "cdm/affected": f"{sum(map(len, affected.values()))} partitions of {len(affected)} tables",
    }


def _is_ready(loads: TableLoads, root: Path, day: date) -> bool:
    """Whether every file that is due each day is there and whole, and no other is being written."""
    for source in loads.catalog.sources.values():
        path = root / file_name_of(source, day)
        if not path.exists() and not source.files.may_be_absent:
            return False
        if path.exists() and not _is_settled(path):
            return False
    return True


def _is_settled(path: Path) -> bool:
    return path.exists() and time.time() - path.stat().st_mtime >= SETTLED_SECONDS


def _identity(loads: TableLoads, root: Path, files: Mapping[str, set[date]]) -> str:
    """A hash of sizes and times of the files: another content is another run key, so it runs again."""
    found = []
    for source, days in sorted(files.items()):
        for day in sorted(days):
            path = root / file_name_of(loads.catalog.sources[source], day)
            state = path.stat() if path.exists() else None
            found.append((source, day.isoformat(), state and (state.st_size, state.st_mtime_ns)))
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]
