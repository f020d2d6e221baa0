"""The sensors on the landing area: files start runs by themselves, and what is missing or odd is told.

Each asks one question of the landing register (`operations.landing_watch`). A tick brings the register in line with the
landing area first, in a transaction of its own; whatever comes between that and the run, the next tick asks again and
gets the same answer with the same run key, so nothing is lost and nothing starts twice.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from dagster import (
    AssetObservation,
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.alerts import Alert, AlertKind, update_alerts
from cdm_assets.operations.landing_watch import SETTLED_SECONDS, Arrivals, DueRun, LandingWatch, Waiting
from cdm_assets.orchestration.assets import asset_key
from cdm_assets.orchestration.repair import LOOK_OP
from cdm_assets.orchestration.retries import FAILED_TAG, TRANSIENT
from cdm_assets.orchestration.runs import UNFINISHED, range_tags
from cdm_assets.orchestration.warehouse_resource import landing_area, open_warehouse
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange, listed
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import WarehouseBusy
from cdm_assets.warehouse.landing_area import Place

TICK_SECONDS: Final = 14
"""The daemon looks every five seconds and lets a tick pass that is a moment early: 15 became 20."""
_LOOK_AGAIN_AFTER_SECONDS: Final = 5
_LOCK_WAIT_SECONDS: Final = 3
_REQUEST_TAG: Final = "cdm/request"
_PAUSE_AFTER_OUTAGE_SECONDS: Final = 600

Answer = SkipReason | RunRequest | SensorResult


@dataclass(frozen=True)
class _Jobs:
    daily: Any
    repair: Any


def landing_sensors(
    loads: TableLoads,
    settings: Settings,
    *,
    daily: Any,
    repair: Any,
    watch: LandingWatch | None = None,
    look_again_seconds: float = _LOOK_AGAIN_AFTER_SECONDS,
    now: Callable[[], datetime] | None = None,
) -> list[SensorDefinition]:
    """The six sensors, on by default. Those that tick within `look_again_seconds` share one look of `watch`.

    `now` (aware) is the time by which files are due and late.
    """
    desk = _Desk(loads, settings, watch or LandingWatch(loads, landing_area(settings)), look_again_seconds, now)
    jobs = _Jobs(daily, repair)
    whole = f"A file counts as whole once it has not changed for {SETTLED_SECONDS} seconds."
    return [
        _starting(
            "new_files",
            "Starts the day's run (job `daily`) for dates after the newest that was begun, as soon as every file that "
            "the day requires is there; or at the deadline (job `repair`) with those that are, saying which are "
            f"missing. {whole}",
            lambda arrivals: arrivals.new(),
            desk,
            jobs,
        ),
        _starting(
            "late_files",
            "A file for a date that was begun without it starts `repair`: the landing zone and the vault of that date, "
            "and exactly the partitions behind them that it affects, in one run. Tags say how late it is and which.",
            lambda arrivals: arrivals.late(),
            desk,
            jobs,
        ),
        _starting(
            "corrected_files",
            "A new content for a loaded or refused file starts `repair` like a late one. The same content delivered "
            "again starts nothing; the register counts it.",
            lambda arrivals: arrivals.corrected(),
            desk,
            jobs,
        ),
        _starting(
            "late_events",
            "Files whose events carry earlier times leave the partitions of those dates out of line: starts `repair` "
            "for them. Alerts when an event is older than its source's bound (`event_bound_hours`, 48 by default).",
            lambda arrivals: arrivals.stale(),
            desk,
            jobs,
            alerts=(AlertKind.LATE_EVENTS, lambda arrivals: arrivals.events_beyond_bound()),
        ),
        _telling(
            "withdrawn_files",
            "Tells when a loaded file is no longer in the landing area. Its rows stay until an operator confirms it: "
            "the alert holds the configuration for the job `repair`.",
            AlertKind.WITHDRAWN,
            lambda arrivals: arrivals.withdrawn(),
            desk,
        ),
        _telling(
            "missing_files",
            "Tells when a source's file is not there at its `late_after`: source, date, owners and what will be stale; "
            "and again when it has arrived.",
            AlertKind.MISSING,
            lambda arrivals: arrivals.missing(),
            desk,
        ),
    ]


class _Desk:
    """Where the sensors of one process take turns at the warehouse: it has one writer, and they share one look."""

    def __init__(
        self,
        loads: TableLoads,
        settings: Settings,
        watch: LandingWatch,
        look_again_seconds: float,
        now: Callable[[], datetime] | None,
    ) -> None:
        self.loads, self.settings, self.watch = loads, settings, watch
        self._now = now or (lambda: datetime.now(UTC))
        self._look_again_seconds = look_again_seconds
        self._turn = threading.Lock()
        self._looked_at: float | None = None

    @contextmanager
    def arrivals(self, tick: str) -> Iterator[tuple[sa.Connection, Arrivals]]:
        """The register as of now, in one transaction. Raises WarehouseBusy, LandingAreaMissing."""
        with self._turn, open_warehouse(self.settings, self.loads, wait_seconds=_LOCK_WAIT_SECONDS) as warehouse:
            if self._looked_at is None:
                create_missing(warehouse)
            if self._looked_at is None or time.monotonic() - self._looked_at > self._look_again_seconds:
                with warehouse.transaction() as connection:
                    self.watch.look(connection, tick)
                self._looked_at = time.monotonic()
            dates = DateRange(self.settings.start_date, self.settings.last_business_date)
            with warehouse.transaction() as connection:
                area = landing_area(self.settings)
                moving = self.watch.moving
                yield connection, Arrivals(connection, self.loads, area, dates=dates, moving=moving, now=self._now())


def _starting(
    name: str,
    description: str,
    question: Callable[[Arrivals], DueRun | Waiting],
    desk: _Desk,
    jobs: _Jobs,
    *,
    alerts: tuple[AlertKind, Callable[[Arrivals], Mapping[Place, str]]] | None = None,
) -> SensorDefinition:
    """A sensor that starts a run where the question's answer is one, and may tell of something besides."""

    @sensor(
        name=name,
        description=description,
        jobs=[jobs.daily, jobs.repair],
        minimum_interval_seconds=TICK_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def starting(context: SensorEvaluationContext) -> Answer:
        if context.instance.get_runs(RunsFilter(statuses=UNFINISHED), limit=1):
            return SkipReason("A run is queued or in progress; the landing area is looked at when it has ended.")
        events: list[AssetObservation] = []
        try:
            with desk.arrivals(name) as (connection, arrivals):
                due = question(arrivals)
                told = _update(connection, desk.loads, alerts[0], alerts[1](arrivals)) if alerts else None
        except WarehouseBusy as busy:
            return SkipReason(str(busy))
        if told is not None:
            events = _tell(context, desk.loads, *told)
        if isinstance(due, Waiting):
            return SensorResult(skip_reason=due.reason, asset_events=events)
        request = _request(context.instance, desk.loads, due, jobs)
        if isinstance(request, SkipReason):
            return SensorResult(skip_reason=request, asset_events=events)
        context.log.info(due.says)
        return SensorResult(run_requests=[request], asset_events=events)

    return starting


def _telling(
    name: str,
    description: str,
    kind: AlertKind,
    question: Callable[[Arrivals], Mapping[Place, str]],
    desk: _Desk,
) -> SensorDefinition:
    """A sensor that opens and closes alerts."""

    @sensor(
        name=name,
        description=description,
        minimum_interval_seconds=TICK_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def telling(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        try:
            with desk.arrivals(name) as (connection, arrivals):
                wanted = question(arrivals)
                told = _update(connection, desk.loads, kind, wanted)
        except WarehouseBusy as busy:
            return SkipReason(str(busy))
        events = _tell(context, desk.loads, *told)
        reason = f"{len(wanted)} open alerts ({kind}): {_named(list(wanted))}" if wanted else f"No {kind}."
        return SensorResult(skip_reason=reason, asset_events=events)

    return telling


def _request(instance: DagsterInstance, loads: TableLoads, due: DueRun, jobs: _Jobs) -> RunRequest | SkipReason:
    """The run to start; after an outage a further attempt with a key of its own, since a key is remembered for ever."""
    earlier = instance.get_run_records(RunsFilter(tags={_REQUEST_TAG: due.key}))
    key = due.key
    if earlier:
        last = earlier[0]
        was_outage = last.dagster_run.tags.get(FAILED_TAG) == TRANSIENT
        if last.dagster_run.status is not DagsterRunStatus.FAILURE or not was_outage:
            status = last.dagster_run.status.value.lower()
            return SkipReason(f"{due.says}: started before, run {last.dagster_run.run_id} ({status}). See that run.")
        if last.end_time and time.time() - last.end_time < _PAUSE_AFTER_OUTAGE_SECONDS:
            return SkipReason(f"{due.says}: its last run failed of an outage; it is tried again in a few minutes.")
        key = f"{due.key} attempt {len(earlier) + 1}"
    tags = {"cdm/why": due.why, _REQUEST_TAG: due.key, **{f"cdm/{name}": text for name, text in due.details.items()}}
    if due.dates is not None:
        selection = [asset_key(loads.tables, table) for table in loads.in_order if table not in due.without]
        return RunRequest(
            run_key=key,
            job_name=jobs.daily.name,
            tags={**tags, **range_tags(due.dates.first, due.dates.last)},
            asset_selection=selection if due.without else None,
        )
    files = {source: _texts(days) for source, days in due.files.items()}
    config = {"files": files, "incomplete_dates": _texts(due.incomplete), "only_stale": not files}
    return RunRequest(
        run_key=key, job_name=jobs.repair.name, tags=tags, run_config={"ops": {LOOK_OP: {"config": config}}}
    )


def _texts(days: Any) -> list[str]:
    """Dates as the job `repair` takes them: ranges in words."""
    return [text for text in listed(days, most=100_000).split(", ") if text]


def _update(
    connection: sa.Connection, loads: TableLoads, kind: AlertKind, wanted: Mapping[Place, str]
) -> tuple[Sequence[Alert], Sequence[Alert]]:
    changes = update_alerts(connection, loads.tables, kind, wanted, Stamp("sensor"))
    return changes.opened, changes.closed


def _tell(
    context: SensorEvaluationContext, loads: TableLoads, opened: Sequence[Alert], closed: Sequence[Alert]
) -> list[AssetObservation]:
    """Log what opened and closed, and show it on the landing tables' pages."""
    for alert in opened:
        context.log.warning("%s: %s", alert.kind, alert.message)
    for alert in closed:
        context.log.info("over: %s: %s %s", alert.kind, alert.source, alert.business_date)
    told = [(alert, "open") for alert in opened] + [(alert, "over") for alert in closed]
    return [
        AssetObservation(
            asset_key(loads.tables, loads.landing_table(alert.source)),
            partition=alert.business_date.isoformat(),
            metadata={"alert": alert.kind, "state": state, "message": alert.message},
        )
        for alert, state in told
        if alert.source in loads.catalog.sources
    ]


def _named(places: Sequence[Place]) -> str:
    days: dict[str, list[Any]] = {}
    for source, day in places:
        days.setdefault(source, []).append(day)
    return "; ".join(f"{source} {listed(of_source, most=3)}" for source, of_source in sorted(days.items()))
