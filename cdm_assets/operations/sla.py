"""How fast incidents were acknowledged and resolved, against what was promised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from cdm_assets.operations.incidents import Incident, IncidentState


@dataclass(frozen=True)
class Promise:
    """One of the two promises of an incident: acknowledged, or resolved, in time."""

    took: timedelta | None
    """None while it has not happened."""
    allowed: timedelta
    is_kept: bool | None
    """None while nobody can tell: it has not happened and there is still time."""


@dataclass(frozen=True)
class PipelineSla:
    """The incidents of one pipeline and severity."""

    pipeline: str
    severity: str
    incidents: int
    unresolved: int
    acknowledged_late: int
    resolved_late: int
    median_to_acknowledge: timedelta | None
    median_to_resolve: timedelta | None
    allowed_to_acknowledge: timedelta
    allowed_to_resolve: timedelta
    """Of the latest incident: what is promised may change."""

    @property
    def is_kept(self) -> bool:
        """Whether no promise was broken."""
        return not self.acknowledged_late and not self.resolved_late


def acknowledgement(incident: Incident, now: datetime) -> Promise:
    """How fast it was acknowledged; what is resolved without counts as acknowledged then."""
    return _promise(incident, incident.acknowledged_at or incident.resolved_at, incident.respond_by, now)


def resolution(incident: Incident, now: datetime) -> Promise:
    """How fast it was resolved."""
    return _promise(incident, incident.resolved_at, incident.resolve_by, now)


def _promise(incident: Incident, happened_at: datetime | None, until: datetime, now: datetime) -> Promise:
    allowed = until - incident.opened_at
    if happened_at is None:
        return Promise(None, allowed, False if now > until else None)
    return Promise(happened_at - incident.opened_at, allowed, happened_at <= until)


def sla_of(found: Iterable[Incident], now: datetime) -> list[PipelineSla]:
    """The promises of all incidents, by pipeline and severity. `now` is UTC without a zone."""
    groups: dict[tuple[str, str], list[Incident]] = {}
    for incident in found:
        groups.setdefault((incident.pipeline, incident.severity), []).append(incident)
    return [_of_group(name, severity, group, now) for (name, severity), group in sorted(groups.items())]


def _of_group(pipeline: str, severity: str, group: list[Incident], now: datetime) -> PipelineSla:
    answered = [acknowledgement(incident, now) for incident in group]
    closed = [resolution(incident, now) for incident in group]
    return PipelineSla(
        pipeline=pipeline,
        severity=severity,
        incidents=len(group),
        unresolved=sum(incident.state != IncidentState.RESOLVED for incident in group),
        acknowledged_late=sum(promise.is_kept is False for promise in answered),
        resolved_late=sum(promise.is_kept is False for promise in closed),
        median_to_acknowledge=_median(answered),
        median_to_resolve=_median(closed),
        allowed_to_acknowledge=answered[-1].allowed,
        allowed_to_resolve=closed[-1].allowed,
    )


def _median(promises: Iterable[Promise]) -> timedelta | None:
    took = [promise.took for promise in promises if promise.took is not None]
    return timedelta(seconds=median(each.total_seconds() for each in took)) if took else None
