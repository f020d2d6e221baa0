"""Everything that is wrong now, as findings for `incidents`: from the control tables and from runs that failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.stamp import in_range
from cdm_assets.loading.table_loads import NOT_LOADED, TableLoads
from cdm_assets.operations.alerts import AlertKind, open_alerts
from cdm_assets.operations.error_codes import ALERT_KINDS, CODES, cause_of_check, code_of_error_text, is_told_by_checks
from cdm_assets.operations.freshness import Freshness, table_freshness
from cdm_assets.operations.incidents import Finding, IncidentKind
from cdm_assets.operations.ownership import find_pipeline
from cdm_assets.operations.volumes import volume_anomalies
from cdm_assets.warehouse.dates import ONE_DAY, DateRange
from cdm_assets.warehouse.tables import Tables

RECENT_DAYS: Final = 7
"""Deadlines of older dates are no news."""
_MOST_NAMED: Final = 6
_KIND_OF_ALERT: Final[Mapping[str, IncidentKind]] = {
    AlertKind.MISSING: IncidentKind.MISSING_FILE,
    AlertKind.WITHDRAWN: IncidentKind.WITHDRAWN_FILE,
    AlertKind.LATE_EVENTS: IncidentKind.LATE_EVENTS,
}
_MISSING: Final = "CDM-LDZ-001"
_UNKNOWN: Final = "CDM-OPS-001"
_FAILS_EVERYTHING: Final = ("CDM-LDZ-008", "CDM-PUB-003")
"""A landing area that is gone and a key that cannot be read are one cause, whatever the table."""


def check_findings(connection: sa.Connection, tables: Tables) -> Iterator[Finding]:
    """Every blocking check that failed at the last load of its partition, led back to where the failure began."""
    result = tables["cdp_metadata.check_result"]
    columns = (
        result.c.table_key, result.c.check_name, result.c.business_date, result.c.message, result.c.run_id,
        result.c.load_ts,
    )  # fmt: skip
    rows = connection.execute(sa.select(*columns).where(result.c.blocks == sa.true())).tuples()
    for key, check, day, text, run_id, loaded_at in rows:
        if key not in tables.partitioned:
            continue  # a table that the catalog no longer has
        message = text or ""
        cause = cause_of_check(key, check, message)
        if cause.code == _MISSING and cause.table_key.startswith(f"{Layer.LANDING}."):
            source = cause.table_key.split(".", 1)[1].removeprefix("ldz_")
            yield _about_file(tables.catalog, IncidentKind.MISSING_FILE, source, day, cause.message, run_id=run_id)
            continue
        yield Finding(
            kind=IncidentKind.BLOCKING_CHECK,
            code=cause.code,
            cause=cause.table_key if cause.table_key in tables.partitioned else key,
            occurrence=f"{key} {check} {day} {loaded_at:%FT%T.%f}",
            message=f"{check}: {message}" if not message.startswith(NOT_LOADED) else message,
            table_key=key,
            business_date=day,
            run_id=run_id,
        )


def alert_findings(connection: sa.Connection, tables: Tables) -> Iterator[Finding]:
    """The open alerts of the landing area: missing and withdrawn files, events beyond their bound."""
    for alert in open_alerts(connection, tables):
        kind = _KIND_OF_ALERT.get(alert.kind)
        if kind is not None and alert.source in tables.catalog.sources:
            yield _about_file(tables.catalog, kind, alert.source, alert.business_date, alert.message)


def _about_file(
    catalog: Catalog, kind: IncidentKind, source: str, day: date, message: str, *, run_id: str | None = None
) -> Finding:
    """A finding on a file. The missing files of one system are one cause: it sends them all or none."""
    table_key = f"{Layer.LANDING}.{catalog.sources[source].table}"
    pipeline = find_pipeline(catalog, table_key)
    code = ALERT_KINDS[next(name for name, of_alert in _KIND_OF_ALERT.items() if of_alert is kind)]
    cause = table_key
    if kind is IncidentKind.MISSING_FILE:
        cause = f"system {catalog.sources[source].system}" + (f" in {pipeline.pipeline}" if pipeline else "")
    return Finding(
        kind=kind,
        code=code,
        cause=cause,
        occurrence=f"{source} {day}",
        message=message,
        table_key=table_key,
        business_date=day,
        run_id=run_id,
    )


def volume_findings(connection: sa.Connection, loads: TableLoads) -> Iterator[Finding]:
    """Partitions with an unusual number of rows."""
    for anomaly in volume_anomalies(connection, loads):
        yield Finding(
            kind=IncidentKind.VOLUME,
            code="CDM-OPS-006",
            cause=anomaly.table_key,
            occurrence=f"{anomaly.table_key} {anomaly.business_date} {anomaly.loaded_at:%FT%T.%f}",
            message=anomaly.message,
            table_key=anomaly.table_key,
            business_date=anomaly.business_date,
        )


def freshness_findings(connection: sa.Connection, tables: Tables, dates: DateRange, now: datetime) -> Iterator[Finding]:
    """Pipelines whose tables are more than one business date behind; the one that is due now has a deadline.

    Where the site's last date was due long ago (a closed year), nothing is expected to become fresh.
    """
    since = (now - timedelta(days=RECENT_DAYS)).replace(tzinfo=UTC)
    behind: dict[str, list[Freshness]] = {}
    for each in table_freshness(connection, tables, now.replace(tzinfo=UTC), dates):
        is_recent = each.due_since is not None and each.due_since >= since
        if is_recent and not each.is_fresh and (each.days_behind is None or each.days_behind > 1):
            behind.setdefault(each.pipeline, []).append(each)
    for name, stale in behind.items():
        worst = min(stale, key=lambda each: each.newest or date.min)
        yield Finding(
            kind=IncidentKind.FRESHNESS,
            code="CDM-OPS-005",
            cause=name,
            occurrence=f"{name} since {worst.newest}",
            message=f"{len(stale)} tables are behind: {'; '.join(map(str, stale[:_MOST_NAMED]))}",
            table_key=worst.table,
            business_date=worst.due,
            pipeline=name,
        )


def deadline_findings(connection: sa.Connection, tables: Tables, dates: DateRange, now: datetime) -> Iterator[Finding]:
    """Pipelines of which a table lacks a date after its deadline, or holds it back; `now` is UTC without a zone.

    One finding a pipeline and date, however many of its tables are not there.
    """
    last = min(dates.last, now.date())
    first = max(dates.first, now.date() - RECENT_DAYS * ONE_DAY)
    if first > last:
        return
    days = DateRange(first, last)
    loaded, held_back = _loaded_and_held_back(connection, tables, days)
    for name, keys in _tables_of_pipelines(tables).items():
        pipeline = tables.catalog.pipelines[name]
        for day in days:
            late_after = pipeline.late_after_for(day)
            if now.replace(tzinfo=UTC) < late_after:
                continue
            absent = [key for key in keys if (key, day) not in loaded or (key, day) in held_back]
            if absent:
                shown = ", ".join(absent[:_MOST_NAMED])
                more = f" and {len(absent) - _MOST_NAMED} more" if len(absent) > _MOST_NAMED else ""
                yield Finding(
                    kind=IncidentKind.MISSED_DEADLINE,
                    code="CDM-OPS-004",
                    cause=name,
                    occurrence=f"{name} {day}",
                    message=f"{name} was due {pipeline.ready_by_for(day):%F %H:%M} UTC for {day}; "
                    f"{len(absent)} of {len(keys)} tables are not there: {shown}{more}",
                    business_date=day,
                    pipeline=name,
                )


def _loaded_and_held_back(
    connection: sa.Connection, tables: Tables, days: DateRange
) -> tuple[set[tuple[str, date]], set[tuple[str, date]]]:
    loads, result = tables["cdp_metadata.partition_load"], tables["cdp_metadata.check_result"]
    query = sa.select(loads.c.table_key, loads.c.business_date).where(in_range(loads.c.business_date, days))
    refused = sa.select(result.c.table_key, result.c.business_date).where(
        in_range(result.c.business_date, days),
        result.c.blocks == sa.true(),
        result.c.message.like(f"{NOT_LOADED}%"),
    )
    return set(connection.execute(query).tuples()), set(connection.execute(refused).tuples())


def _tables_of_pipelines(tables: Tables) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in tables.partitioned:
        pipeline = find_pipeline(tables.catalog, key)
        if pipeline is not None:
            found.setdefault(pipeline.pipeline, []).append(key)
    return found


@dataclass(frozen=True)
class FailedStep:
    """A step of a run that ended with an exception."""

    step: str
    error: str
    """As Dagster writes it: the exception's class, a colon, its message."""


@dataclass(frozen=True)
class FailedRun:
    """A run that failed and was not made good by a later run of the same job and dates."""

    run_id: str
    job: str
    failed_at: datetime
    """UTC without a zone."""
    dates: DateRange | None
    steps: Sequence[FailedStep]
    message: str = ""
    """What failed outside of any step."""


def run_findings(
    connection: sa.Connection, loads: TableLoads, failed: Iterable[FailedRun], tables_of_steps: Mapping[str, str]
) -> Iterator[Finding]:
    """What failed runs tell beyond their checks, and that nobody has loaded since.

    A step that failed for a check or a file is told by the check (`check_findings`). Faults of the platform are one
    cause whatever the table: a full disk fails them all.
    """
    for run in failed:
        for step in run.steps:
            table_key = tables_of_steps.get(step.step, "")
            if is_told_by_checks(step.error):
                continue
            if table_key and _loaded_since(connection, loads.tables, table_key, run):
                continue
            code = code_of_error_text(step.error, table_key=table_key)
            yield Finding(
                kind=IncidentKind.RUN_FAILURE,
                code=code,
                cause=_cause_of(code, step.error, table_key or run.job),
                occurrence=f"{run.run_id} {step.step}",
                message=f"{run.job}, step {step.step}: {step.error}",
                table_key=table_key or None,
                business_date=run.dates.first if run.dates else None,
                run_id=run.run_id,
            )
        if not run.steps:
            code = code_of_error_text(run.message)
            yield Finding(
                kind=IncidentKind.RUN_FAILURE,
                code=code,
                cause=_cause_of(code, "", run.job),
                occurrence=run.run_id,
                message=f"{run.job}: {run.message}",
                table_key=None,
                business_date=run.dates.first if run.dates else None,
                pipeline=_platform(loads),
                run_id=run.run_id,
            )


@dataclass(frozen=True)
class FailedTick:
    """A sensor or schedule that is on and whose latest tick failed."""

    name: str
    failed_at: datetime
    """UTC without a zone."""
    error: str


def tick_findings(loads: TableLoads, failed: Iterable[FailedTick]) -> Iterator[Finding]:
    """Sensors and schedules that start nothing, because their function fails.

    Where the reason is known (the landing area is gone), it is that which fails them all, and runs with them.
    """
    for tick in failed:
        code = code_of_error_text(tick.error)
        is_known = code != _UNKNOWN
        yield Finding(
            kind=IncidentKind.RUN_FAILURE if is_known else IncidentKind.MISSED_SCHEDULE,
            code=code if is_known else "CDM-OPS-003",
            cause=_cause_of(code, tick.error, tick.name) if is_known else tick.name,
            occurrence=tick.name,
            message=f"{tick.name} failed at {tick.failed_at:%F %H:%M} UTC and starts nothing: {tick.error}",
            pipeline=_platform(loads),
        )


def _platform(loads: TableLoads) -> str | None:
    """The pipeline of what comes first, which answers for what is no table's."""
    found = find_pipeline(loads.catalog, loads.in_order[0])
    return found.pipeline if found else None


def _cause_of(code: str, error: str, place: str) -> str:
    if code == _UNKNOWN:
        return f"{error.partition(': ')[0][:80] or 'no step'} in {place}"
    return "platform" if CODES[code].layer == "platform" or code in _FAILS_EVERYTHING else place


def _loaded_since(connection: sa.Connection, tables: Tables, table_key: str, run: FailedRun) -> bool:
    """Whether every date of a failed run was loaded after it; without dates, any."""
    log = tables["cdp_metadata.partition_load"]
    query = sa.select(sa.func.count()).where(log.c.table_key == table_key, log.c.load_ts > run.failed_at)
    if run.dates is not None:
        query = query.where(in_range(log.c.business_date, run.dates))
    count = connection.execute(query).scalar_one()
    return count >= (len(run.dates) if run.dates is not None else 1)


def recent(now: datetime) -> datetime:
    """Since when failed runs are looked at."""
    return now - timedelta(days=RECENT_DAYS)
