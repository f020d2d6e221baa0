"""The sensors of incidents: what is wrong becomes an incident, somebody is told, and told again until they answer.

`incidents` reads the control tables (checks, alerts of the landing area, deadlines, freshness, volumes); `run_failures`
reads the instance's failed runs. Both ask for *everything that is wrong now*, so a crash or a tick that found the
warehouse busy loses nothing: the next tick finds the same. Dagster's own run-failure sensor hands each run over once
and forgets it when the function fails, which it does whenever a run holds DuckDB's only writer.

Messages are sent while no transaction is open and the warehouse is free for runs.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import sqlalchemy as sa
from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)
from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus
from dagster._core.storage.dagster_run import RunRecord

from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.incident_findings import (
    FailedRun,
    FailedStep,
    FailedTick,
    alert_findings,
    check_findings,
    deadline_findings,
    freshness_findings,
    recent,
    run_findings,
    tick_findings,
    volume_findings,
)
from cdm_assets.operations.incidents import Finding, IncidentChanges, IncidentDesk, IncidentKind
from cdm_assets.operations.notify import (
    Delivery,
    Sender,
    deliver,
    messages_due,
    read_routes,
    record_deliveries,
    send_by_apprise,
)
from cdm_assets.orchestration.assets import tables_of_steps
from cdm_assets.orchestration.warehouse_resource import open_warehouse
from cdm_assets.settings import Settings, SettingsError
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import SchemaMismatch, create_missing
from cdm_assets.warehouse.engine import Warehouse, WarehouseBusy

TICK_SECONDS: Final = 28
"""The daemon looks every five seconds and lets a tick pass that is a moment early: this becomes 30."""
_LOCK_WAIT_SECONDS: Final = 3
_SENDING_SECONDS: Final = 25
"""What a tick may take for sending; Dagster stops a tick after 60."""
_MOST_RUNS: Final = 200
_RUN_KINDS: Final = (IncidentKind.RUN_FAILURE, IncidentKind.MISSED_SCHEDULE)
_TABLE_KINDS: Final = tuple(kind for kind in IncidentKind if kind not in _RUN_KINDS)
_ON: Final = {InstigatorStatus.RUNNING, InstigatorStatus.DECLARED_IN_CODE}
_PARTITION_TAG: Final = "dagster/partition"
_RANGE_TAGS: Final = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def incident_sensors(
    loads: TableLoads,
    settings: Settings,
    *,
    clock: Callable[[], datetime] | None = None,
    send: Sender = send_by_apprise,
) -> list[SensorDefinition]:
    """The two sensors, on by default. `clock` gives the time in UTC without a zone."""
    desk, seen = _Desk(loads, settings, clock or _utc_now, send), dict[str, FailedRun]()

    @sensor(
        name="incidents",
        description="Opens, counts, escalates and resolves incidents from what the control tables say, and sends what "
        "is to be told (CDM_NOTIFY). All failures of one cause are one incident; `cdm incident list` shows them.",
        minimum_interval_seconds=TICK_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def incidents(context: SensorEvaluationContext) -> SkipReason:
        return desk.tick(context, desk.table_findings, _TABLE_KINDS)

    @sensor(
        name="run_failures",
        description="Opens an incident for runs that failed for another reason than a check or a file, and resolves "
        "it when the dates were loaded since; and for sensors and schedules whose ticks fail. Two hundred runs that "
        "fail of one cause are one incident.",
        minimum_interval_seconds=TICK_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def run_failures(context: SensorEvaluationContext) -> SkipReason:
        failed = failed_runs(context.instance, recent(desk.clock()), seen)
        ticks = failed_ticks(context.instance)
        return desk.tick(context, lambda warehouse: desk.run_findings(warehouse, failed, ticks), _RUN_KINDS)

    return [incidents, run_failures]


def _utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class _Told:
    """What one tick did."""

    changes: IncidentChanges
    escalated: Sequence[int]
    sent: int
    unsent: Sequence[str]

    def __str__(self) -> str:
        parts = [
            f"{len(numbers)} {word} ({', '.join(f'INC-{number}' for number in numbers[:5])})"
            for word, numbers in (
                ("opened", self.changes.opened),
                ("grown", self.changes.counted),
                ("resolved", self.changes.resolved),
                ("escalated", self.escalated),
            )
            if numbers
        ]
        parts += [f"{self.sent} messages sent"] if self.sent else []
        parts += [f"not sent: {text}" for text in self.unsent[:3]]
        return "; ".join(parts) or "Nothing new."


class _Desk:
    """What both sensors share: turns at the warehouse, and deliveries that are not recorded yet."""

    def __init__(self, loads: TableLoads, settings: Settings, clock: Callable[[], datetime], send: Sender) -> None:
        self.clock = clock
        self._loads, self._settings, self._send = loads, settings, send
        self._turn = threading.Lock()
        self._has_tables = False
        self._unrecorded: list[Delivery] = []

    def table_findings(self, warehouse: Warehouse) -> Iterator[Finding]:
        """What the control tables say is wrong."""
        dates = DateRange(self._settings.start_date, self._settings.last_business_date)
        tables, now = warehouse.tables, self.clock()
        with warehouse.connection() as connection:
            yield from check_findings(connection, tables)
            yield from alert_findings(connection, tables)
            yield from deadline_findings(connection, tables, dates, now)
            yield from freshness_findings(connection, tables, dates, now)
            yield from volume_findings(connection, self._loads)

    def run_findings(
        self, warehouse: Warehouse, failed: Sequence[FailedRun], ticks: Sequence[FailedTick]
    ) -> Iterator[Finding]:
        """What failed runs and ticks say is wrong."""
        yield from tick_findings(self._loads, ticks)
        with warehouse.connection() as connection:
            yield from run_findings(connection, self._loads, failed, tables_of_steps(self._loads))

    def tick(
        self,
        context: SensorEvaluationContext,
        find: Callable[[Warehouse], Iterable[Finding]],
        kinds: Sequence[IncidentKind],
    ) -> SkipReason:
        """One look: incidents brought in line, escalated, messages sent and their fate recorded."""
        if self._settings.engine == "duckdb" and not self._settings.database_path.exists():
            return SkipReason("There is no database yet; nothing can be wrong in it.")
        try:
            routes = read_routes(self._settings.notify)
            problem = "" if routes else "CDM_NOTIFY names no address"
        except SettingsError as fault:
            routes, problem = (), str(fault)
        try:
            with self._turn:
                with self._warehouse() as warehouse:
                    findings = list(find(warehouse))
                    stamp = Stamp("sensor", self.clock())
                    with warehouse.transaction() as connection:
                        self._record(connection, warehouse, stamp)
                        desk = IncidentDesk(connection, warehouse.tables, self._settings.ui_url)
                        changes = desk.update(findings, stamp, kinds=kinds)
                        escalated = desk.escalate(stamp)
                        due = messages_due(connection, warehouse.tables, stamp.load_ts) if routes else []
                give_up_at = time.monotonic() + _SENDING_SECONDS
                for message in due:
                    if time.monotonic() < give_up_at:
                        self._unrecorded.append(deliver(message, routes, self._send))
                told = _Told(
                    changes,
                    escalated,
                    sum(delivery.is_complete for delivery in self._unrecorded),
                    [*([problem] if problem else []), *(each.error for each in self._unrecorded if each.error)],
                )
                if self._unrecorded:
                    self._record_now()
        except WarehouseBusy as busy:
            return SkipReason(str(busy))
        for number in changes.opened:
            context.log.warning("INC-%d opened", number)
        return SkipReason(str(told))

    @contextmanager
    def _warehouse(self) -> Iterator[Warehouse]:
        with open_warehouse(self._settings, self._loads, wait_seconds=_LOCK_WAIT_SECONDS) as warehouse:
            if not self._has_tables:
                with suppress(SchemaMismatch):  # the runs that it stops say so, and somebody has to be told of them
                    create_missing(warehouse)
                self._has_tables = True
            yield warehouse

    def _record_now(self) -> None:
        """Note what was sent; where a run came in between, the next tick does before it sends anything."""
        with self._warehouse() as warehouse, warehouse.transaction() as connection:
            self._record(connection, warehouse, Stamp("sensor", self.clock()))

    def _record(self, connection: sa.Connection, warehouse: Warehouse, stamp: Stamp) -> None:
        record_deliveries(connection, warehouse.tables, self._unrecorded, stamp)
        self._unrecorded.clear()


def failed_ticks(instance: DagsterInstance) -> list[FailedTick]:
    """The sensors and schedules that are on and whose latest tick failed."""
    found = []
    for state in instance.all_instigator_state(instigator_statuses=_ON):
        latest = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        if latest and latest[0].status is TickStatus.FAILURE:
            at = datetime.fromtimestamp(latest[0].timestamp, UTC).replace(tzinfo=None)
            error = latest[0].error
            found.append(FailedTick(state.instigator_name, at, error.message.strip() if error else ""))
    return found


def failed_runs(
    instance: DagsterInstance, since: datetime, seen: MutableMapping[str, FailedRun] | None = None
) -> list[FailedRun]:
    """The runs that failed since then (UTC without a zone) and no later run of the same job and dates made good.

    `seen` remembers runs by id: what they logged is read once and not at every look.
    """
    seen = {} if seen is None else seen
    after = since.replace(tzinfo=UTC)
    records = instance.get_run_records(
        RunsFilter(statuses=[DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS], updated_after=after),
        limit=_MOST_RUNS,
        order_by="update_timestamp",
        ascending=False,
    )
    made_good: set[tuple[str, DateRange | None]] = set()
    found = []
    for record in records:
        run = record.dagster_run
        what = (run.job_name, _dates_of(run))
        if run.status is DagsterRunStatus.SUCCESS:
            made_good.add(what)
        elif what not in made_good:
            found.append(seen.get(run.run_id) or _failed_run(instance, record))
    seen.clear()
    seen.update({run.run_id: run for run in found})
    return found


def _failed_run(instance: DagsterInstance, record: RunRecord) -> FailedRun:
    run = record.dagster_run
    steps, message = [], ""
    for entry in instance.all_logs(run.run_id, of_type={DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}):
        event = entry.dagster_event
        if event is None:
            continue
        text = _error_text(event)
        if event.step_key is not None:
            steps.append(FailedStep(event.step_key, text))
        else:
            message = text
    ended = record.end_time or record.update_timestamp.timestamp()
    return FailedRun(
        run.run_id,
        run.job_name,
        datetime.fromtimestamp(ended, UTC).replace(tzinfo=None),
        _dates_of(run),
        steps,
        message,
    )


def _dates_of(run: DagsterRun) -> DateRange | None:
    """The business dates that a run was for, by its tags."""
    first, last = (run.tags.get(tag) or run.tags.get(_PARTITION_TAG) for tag in _RANGE_TAGS)
    try:
        return DateRange(date.fromisoformat(first), date.fromisoformat(last)) if first and last else None
    except ValueError:
        return None


def _error_text(event: DagsterEvent) -> str:
    """What the exception said that user code raised, its class in front; not Dagster's wrapper around it."""
    error = getattr(event.event_specific_data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else event.message or ""
