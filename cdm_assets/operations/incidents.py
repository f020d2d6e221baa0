"""Incidents, in `cdp_metadata.incident`: all failures of one cause are one, from its opening to its resolution.

Whoever looks (a sensor, a test) brings *findings*: everything that is wrong now. `update_incidents` opens an incident
for each cause that has none, counts further failures of a known cause, and resolves what is over. A failure belongs to
one incident as long as it is there: one that somebody resolved by hand does not come back with the next look, only with
the next failure.

What is to be told is written into `cdp_metadata.incident_message` in the same transaction; `notify` sends it.
The clock is the `Stamp` that each function is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.pipelines import OnCallPolicy, Pipeline
from cdm_assets.loading.stamp import Stamp
from cdm_assets.operations.answerable import (
    Answerable,
    answerable_for,
    duty_at,
    recipients,
    told_from,
)
from cdm_assets.operations.error_codes import CODES, told
from cdm_assets.operations.ownership import find_pipeline
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.tables import Tables

PLATFORM: Final = "platform"
"""Who resolves what is over by itself."""
_MOST_SHOWN: Final = 10
_KEYS_AT_ONCE: Final = 500
"""Oracle takes lists of a thousand."""


class IncidentKind(StrEnum):
    """What kind of thing went wrong."""

    RUN_FAILURE = "run failure"
    BLOCKING_CHECK = "blocking check"
    MISSING_FILE = "missing file"
    WITHDRAWN_FILE = "withdrawn file"
    LATE_EVENTS = "late events"
    MISSED_DEADLINE = "missed deadline"
    MISSED_SCHEDULE = "missed schedule"
    VOLUME = "volume anomaly"
    FRESHNESS = "freshness"


class IncidentState(StrEnum):
    """Whether somebody is at it."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Finding:
    """One failure as it is now."""

    kind: IncidentKind
    code: str
    cause: str
    """Where it comes from: a table, a pipeline, a system or a job. With kind and code it tells the incident."""
    occurrence: str
    """The same failure has the same text as long as it is there; a new one has another."""
    message: str
    table_key: str | None = None
    business_date: date | None = None
    pipeline: str | None = None
    """Where the failure is no table's."""
    run_id: str | None = None

    def root_in(self, tables: Tables) -> str | None:
        """The table that failed first."""
        return self.cause if self.cause in tables.partitioned else self.table_key

    @property
    def cause_key(self) -> str:
        """What the failures of one incident have in common."""
        return f"{self.kind}|{self.code}|{self.cause}"[:300]

    @property
    def occurrence_key(self) -> str:
        """The occurrence among those of all kinds."""
        return f"{self.kind}|{self.occurrence}"[:400]


@dataclass(frozen=True)
class Incident:
    """One row of the table, without the audit columns. Times are UTC without a zone."""

    incident_id: int
    cause_key: str
    kind: str
    code: str
    severity: str
    pipeline: str
    layer: str
    table_key: str | None
    first_date: date | None
    last_date: date | None
    occurrences: int
    title: str
    message: str
    failing_run_id: str | None
    run_url: str | None
    asset_url: str | None
    owner: str
    on_call: str | None
    state: str
    opened_at: datetime
    last_seen_at: datetime
    respond_by: datetime
    resolve_by: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    note: str | None = None
    escalated_steps: int = 0

    @property
    def name(self) -> str:
        """How people call it."""
        return f"INC-{self.incident_id}"

    @property
    def dates(self) -> str:
        """The business dates it is about, in words."""
        if self.first_date is None or self.last_date is None:
            return ""
        return str(DateRange(self.first_date, self.last_date))

    @property
    def runbook(self) -> str:
        """The runbook's section."""
        return CODES[self.code].link

    @property
    def likely_cause(self) -> str:
        """What it most likely comes from."""
        return CODES[self.code].likely_cause


@dataclass(frozen=True)
class IncidentChanges:
    """What an update did, by number of the incident."""

    opened: tuple[int, ...] = ()
    counted: tuple[int, ...] = ()
    """Known incidents that further failures were added to."""
    resolved: tuple[int, ...] = ()


class IncidentError(Exception):
    """What was asked of an incident cannot be done; the message says why."""


@dataclass(frozen=True)
class IncidentDesk:
    """Opens, counts and closes incidents on one connection; the transaction is the caller's."""

    connection: sa.Connection
    tables: Tables
    ui_url: str

    @property
    def _catalog(self) -> Catalog:
        return self.tables.catalog

    def update(self, findings: Iterable[Finding], stamp: Stamp, *, kinds: Iterable[str]) -> IncidentChanges:
        """Bring the incidents of `kinds` in line with `findings`, which are all that is wrong of these kinds now."""
        now = {finding.occurrence_key: finding for finding in findings}
        covered = tuple(kinds)
        known = self._occurrences_there(covered)
        by_cause: dict[str, list[Finding]] = {}
        for key in sorted(now.keys() - known.keys()):
            by_cause.setdefault(now[key].cause_key, []).append(now[key])
        going_on = {incident.cause_key: incident for incident in incidents(self.connection, self.tables)}
        opened, counted = [], []
        for cause, new in sorted(by_cause.items()):
            in_order = sorted(new, key=_order)
            if cause in going_on:
                self._count(going_on[cause], in_order, stamp)
                counted.append(going_on[cause].incident_id)
            else:
                opened.append(self._open(cause, in_order, stamp))
        self._end_occurrences([known[key] for key in known.keys() - now.keys()], stamp)
        resolved = self._resolve_what_is_over(covered, stamp)
        return IncidentChanges(tuple(opened), tuple(counted), tuple(resolved))

    def escalate(self, stamp: Stamp) -> list[int]:
        """Take the steps of escalation that are due for what nobody acknowledged; returns the incidents' numbers."""
        escalated = []
        for incident in incidents(self.connection, self.tables, states=(IncidentState.OPEN,)):
            who = self._answerable(incident.pipeline, incident.table_key)
            if who.policy is OnCallPolicy.NONE:
                continue
            waits_since = told_from(self._catalog, who, incident.opened_at)
            due = [s for s in who.escalation if waits_since + timedelta(minutes=s.after_minutes) <= stamp.load_ts]
            for number, step in enumerate(due[incident.escalated_steps :], start=incident.escalated_steps + 1):
                names = recipients(self._catalog, who, [step.to], stamp.load_ts)
                waited = f"Nobody acknowledged it for {step.after_minutes} minutes."
                self._tell(incident, f"escalated {number}", names, stamp, lead=waited)
            if len(due) > incident.escalated_steps:
                self._set(incident.incident_id, stamp, escalated_steps=len(due))
                escalated.append(incident.incident_id)
        return escalated

    def acknowledge(self, incident_id: int, by: str, stamp: Stamp) -> Incident:
        """Say that somebody is at it: it escalates no further. Raises IncidentError."""
        incident = incident_of(self.connection, self.tables, incident_id)
        if incident.state != IncidentState.OPEN:
            whom = incident.resolved_by if incident.state == IncidentState.RESOLVED else incident.acknowledged_by
            raise IncidentError(f"{incident.name} is {incident.state} already, by {whom}")
        self._set(
            incident_id,
            stamp,
            state=IncidentState.ACKNOWLEDGED,
            acknowledged_at=stamp.load_ts,
            acknowledged_by=by,
        )
        return incident_of(self.connection, self.tables, incident_id)

    def resolve(self, incident_id: int, by: str, note: str, stamp: Stamp) -> Incident:
        """Close an incident; the failures it stands for do not open another, only new ones do. Raises IncidentError."""
        incident = incident_of(self.connection, self.tables, incident_id)
        if incident.state == IncidentState.RESOLVED:
            raise IncidentError(f"{incident.name} is resolved already, by {incident.resolved_by}")
        self._resolve(incident, by, note, stamp)
        return incident_of(self.connection, self.tables, incident_id)

    def _occurrences_there(self, kinds: Sequence[str]) -> dict[str, tuple[int, str]]:
        """The failures of `kinds` that were there at the last look, by key: incident and key."""
        occurrence, incident = self.tables["cdp_metadata.incident_occurrence"], self.tables["cdp_metadata.incident"]
        query = (
            sa.select(occurrence.c.occurrence_key, occurrence.c.incident_id)
            .join_from(occurrence, incident, incident.c.incident_id == occurrence.c.incident_id)
            .where(occurrence.c.over_at.is_(None), incident.c.kind.in_(kinds))
        )
        return {key: (number, key) for key, number in self.connection.execute(query).tuples()}

    def _open(self, cause: str, findings: Sequence[Finding], stamp: Stamp) -> int:
        first = findings[0]
        table = self.tables["cdp_metadata.incident"]
        newest = self.connection.execute(sa.select(sa.func.max(table.c.incident_id))).scalar()
        code, days = CODES[first.code], [f.business_date for f in findings if f.business_date]
        root = first.root_in(self.tables)
        who = self._answerable(first.pipeline, root)
        duty = duty_at(self._catalog, who.group, stamp.load_ts)
        at_once = [step.to for step in who.escalation if step.after_minutes == 0]
        incident = Incident(
            incident_id=(newest or 0) + 1,
            cause_key=cause,
            kind=first.kind,
            code=first.code,
            severity=who.severity,
            pipeline=who.pipeline,
            layer=root.split(".")[0] if root else code.layer,
            table_key=root,
            first_date=min(days, default=None),
            last_date=max(days, default=None),
            occurrences=len(findings),
            title=f"{code.title}: {_place(root or first.cause, findings)}"[:400],
            message=first.message[:2000],
            failing_run_id=first.run_id,
            run_url=f"{self.ui_url}/runs/{first.run_id}" if first.run_id else None,
            asset_url=self._asset_url(root, first.business_date),
            owner=who.primary_owner,
            on_call=duty.primary if duty else None,
            state=IncidentState.OPEN,
            opened_at=stamp.load_ts,
            last_seen_at=stamp.load_ts,
            respond_by=who.respond_by(stamp.load_ts),
            resolve_by=who.resolve_by(stamp.load_ts),
            escalated_steps=len(at_once),
        )
        values = {field.name: getattr(incident, field.name) for field in fields(Incident)}
        self.connection.execute(sa.insert(table), [{**values, **stamp.row}])
        self._add_occurrences(incident.incident_id, findings, stamp)
        if who.policy is not OnCallPolicy.NONE:
            names = recipients(self._catalog, who, at_once or ["primary", "primary_owner"], stamp.load_ts)
            self._tell(incident, "opened", names, stamp, not_before=told_from(self._catalog, who, stamp.load_ts))
        return incident.incident_id

    def _count(self, incident: Incident, findings: Sequence[Finding], stamp: Stamp) -> None:
        days = [f.business_date for f in findings if f.business_date]
        places = self._places_of(incident.incident_id)
        self._add_occurrences(incident.incident_id, findings, stamp)
        self._set(
            incident.incident_id,
            stamp,
            occurrences=incident.occurrences + len(findings),
            first_date=min([*days, *([incident.first_date] if incident.first_date else [])], default=None),
            last_date=max([*days, *([incident.last_date] if incident.last_date else [])], default=None),
            last_seen_at=stamp.load_ts,
        )
        further = sorted({f.table_key for f in findings if f.table_key} - places)
        if further and incident.state == IncidentState.ACKNOWLEDGED:
            who = self._answerable(incident.pipeline, incident.table_key)
            names = recipients(self._catalog, who, ["primary"], stamp.load_ts)
            lead = f"It now also affects {', '.join(further[:_MOST_SHOWN])}."
            self._tell(incident, f"more {incident.occurrences}", names, stamp, lead=lead)

    def _places_of(self, incident_id: int) -> set[str]:
        occurrence = self.tables["cdp_metadata.incident_occurrence"]
        query = sa.select(occurrence.c.table_key.distinct()).where(occurrence.c.incident_id == incident_id)
        return {key for (key,) in self.connection.execute(query).tuples() if key}

    def _add_occurrences(self, incident_id: int, findings: Iterable[Finding], stamp: Stamp) -> None:
        rows = [
            {
                "incident_id": incident_id,
                "occurrence_key": finding.occurrence_key,
                "table_key": finding.table_key,
                "business_date": finding.business_date,
                "message": finding.message[:2000],
                "seen_at": stamp.load_ts,
                "over_at": None,
                **stamp.row,
            }
            for finding in findings
        ]
        self.connection.execute(sa.insert(self.tables["cdp_metadata.incident_occurrence"]), rows)

    def _end_occurrences(self, gone: Iterable[tuple[int, str]], stamp: Stamp) -> None:
        table = self.tables["cdp_metadata.incident_occurrence"]
        keys: dict[int, list[str]] = {}
        for incident_id, key in gone:
            keys.setdefault(incident_id, []).append(key)
        for incident_id, of_one in keys.items():
            for start in range(0, len(of_one), _KEYS_AT_ONCE):
                named = table.c.occurrence_key.in_(of_one[start : start + _KEYS_AT_ONCE])
                there = sa.and_(table.c.incident_id == incident_id, table.c.over_at.is_(None), named)
                self.connection.execute(sa.update(table).where(there).values(over_at=stamp.load_ts))

    def _resolve_what_is_over(self, kinds: Sequence[str], stamp: Stamp) -> list[int]:
        still_there = {number for number, _ in self._occurrences_there(kinds).values()}
        over = [
            incident
            for incident in incidents(self.connection, self.tables)
            if incident.kind in kinds and incident.incident_id not in still_there
        ]
        for incident in over:
            self._resolve(incident, PLATFORM, "Over: nothing of it is found any more.", stamp)
        return [incident.incident_id for incident in over]

    def _resolve(self, incident: Incident, by: str, note: str, stamp: Stamp) -> None:
        self._set(
            incident.incident_id,
            stamp,
            state=IncidentState.RESOLVED,
            resolved_at=stamp.load_ts,
            resolved_by=by,
            note=note[:2000],
        )
        self._drop_what_nobody_was_told_yet(incident.incident_id, stamp)
        told_before = self._told_before(incident.incident_id)
        if told_before:
            self._tell(incident, "resolved", told_before, stamp, lead=f"Resolved by {by}. {note}".rstrip())

    def _drop_what_nobody_was_told_yet(self, incident_id: int, stamp: Stamp) -> None:
        """Messages whose time has not come (`on_call: working_hours`): nobody needs to hear of what is over."""
        table = self.tables["cdp_metadata.incident_message"]
        waits = sa.and_(table.c.sent_at.is_(None), table.c.attempts == 0, table.c.not_before > stamp.load_ts)
        self.connection.execute(
            sa.update(table)
            .where(table.c.incident_id == incident_id, waits)
            .values(sent_at=stamp.load_ts, last_error="not sent: it was over before its time", **stamp.row)
        )

    def _told_before(self, incident_id: int) -> list[str]:
        table = self.tables["cdp_metadata.incident_message"]
        of_incident = sa.and_(
            table.c.incident_id == incident_id, sa.or_(table.c.attempts > 0, table.c.sent_at.is_(None))
        )
        query = sa.select(table.c.recipients).where(of_incident).order_by(table.c.message_id)
        names = (name for (text,) in self.connection.execute(query).tuples() for name in text.split(","))
        return list(dict.fromkeys(names))

    def _tell(
        self,
        incident: Incident,
        reason: str,
        names: Sequence[str],
        stamp: Stamp,
        *,
        lead: str = "",
        not_before: datetime | None = None,
    ) -> None:
        """Write a message; sending is another step."""
        at = max(not_before or stamp.load_ts, stamp.load_ts)
        row = {
            "message_id": f"{incident.name} {reason}",
            "incident_id": incident.incident_id,
            "reason": reason,
            "recipients": ",".join(name for name in names if name)[:1000],
            "title": f"[{incident.severity}] {incident.name} {_lead_in(reason)}{incident.title}"[:400],
            "body": message_text(incident, lead=lead),
            "not_before": at,
            "attempts": 0,
            "next_attempt_at": at,
            "sent_to": "",
            "sent_at": None,
            "last_error": None,
            **stamp.row,
        }
        self.connection.execute(sa.insert(self.tables["cdp_metadata.incident_message"]), [row])

    def _set(self, incident_id: int, stamp: Stamp, **values: Any) -> None:
        table = self.tables["cdp_metadata.incident"]
        self.connection.execute(
            sa.update(table).where(table.c.incident_id == incident_id).values(**values, **stamp.row)
        )

    def _answerable(self, pipeline: str | None, table_key: str | None) -> Answerable:
        found: Pipeline | None = self._catalog.pipelines.get(pipeline) if pipeline else None
        if found is None and table_key:
            found = find_pipeline(self._catalog, table_key)
        owners = self.tables.meta(table_key).owners if table_key and table_key in self.tables.partitioned else ()
        return answerable_for(self._catalog, found, owners)

    def _asset_url(self, table_key: str | None, day: date | None) -> str | None:
        if not table_key or table_key not in self.tables:
            return None
        table = self.tables[table_key]
        path = "/".join(quote(str(part)) for part in (table.schema, table.name))
        return f"{self.ui_url}/assets/{path}" + (f"?view=partitions&partition={day}" if day else "")


_REASONS: Final[Mapping[str, str]] = {
    "opened": "",
    "more": "has grown: ",
    "escalated": "is not acknowledged: ",
    "resolved": "is resolved: ",
}


def _lead_in(reason: str) -> str:
    return _REASONS[reason.partition(" ")[0]]


def _order(finding: Finding) -> tuple[date, bool, str, str]:
    """By date; on one date first the table where it began."""
    is_further = finding.table_key != finding.cause
    return finding.business_date or date.min, is_further, finding.table_key or "", finding.occurrence


def _place(root: str, findings: Sequence[Finding]) -> str:
    """Where and when, in words."""
    days = sorted({f.business_date for f in findings if f.business_date})
    when = f" {DateRange(days[0], days[-1])}" if days else ""
    others = len({f.table_key for f in findings if f.table_key} - {root})
    more = f" and {others} more tables" if others > 0 else ""
    return f"{root}{more}{when}"


def message_text(incident: Incident, *, lead: str = "") -> str:
    """Everything that who is called needs to begin."""
    code = CODES[incident.code]
    facts = [
        ("Severity", incident.severity),
        ("Respond by", f"{incident.respond_by:%F %H:%M} UTC"),
        ("Resolve by", f"{incident.resolve_by:%F %H:%M} UTC"),
        ("Kind", f"{incident.kind}, {incident.occurrences} found so far"),
        ("Pipeline", f"{incident.pipeline}, owner {incident.owner}"),
        ("On call", incident.on_call or ""),
        ("Layer", incident.layer),
        ("Table", incident.table_key or ""),
        ("Partition", incident.dates),
        ("Message", incident.message),
        ("Likely cause", code.likely_cause),
        ("Runbook", f"{code.link} {told(code.code)}"),
        ("Run", incident.run_url or ""),
        ("Asset", incident.asset_url or ""),
        ("To do", f"cdm incident ack {incident.name}; then the runbook; cdm incident resolve {incident.name}"),
    ]
    lines = [lead, incident.title, "", *(f"{name}: {text}" for name, text in facts if text)]
    return "\n".join(lines if lead else lines[1:])


def incidents(
    connection: sa.Connection,
    tables: Tables,
    *,
    states: Sequence[str] = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED),
    where: Callable[[sa.Table], sa.ColumnElement[bool]] | None = None,
) -> list[Incident]:
    """The incidents in `states`, the oldest first."""
    table = tables["cdp_metadata.incident"]
    query = sa.select(*(table.c[field.name] for field in fields(Incident))).where(table.c.state.in_(states))
    if where is not None:
        query = query.where(where(table))
    return [Incident(*row) for row in connection.execute(query.order_by(table.c.incident_id)).tuples()]


def incident_of(connection: sa.Connection, tables: Tables, incident_id: int) -> Incident:
    """One incident. Raises IncidentError if there is none with that number."""
    found = incidents(
        connection, tables, states=tuple(IncidentState), where=lambda table: table.c.incident_id == incident_id
    )
    if not found:
        raise IncidentError(f"there is no incident INC-{incident_id}; `cdm incident list --all` shows them all")
    return found[0]


@dataclass(frozen=True)
class Occurrence:
    """One failure that an incident stands for."""

    table_key: str | None
    business_date: date | None
    message: str
    seen_at: datetime
    over_at: datetime | None


def occurrences(connection: sa.Connection, tables: Tables, incident_id: int) -> list[Occurrence]:
    """The failures of an incident, by date and table."""
    table = tables["cdp_metadata.incident_occurrence"]
    query = sa.select(*(table.c[field.name] for field in fields(Occurrence)))
    query = query.where(table.c.incident_id == incident_id).order_by(table.c.business_date, table.c.table_key)
    return [Occurrence(*row) for row in connection.execute(query).tuples()]
