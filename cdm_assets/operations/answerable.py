"""Who answers for a failure, when they are told, and until when it has to be dealt with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.oncall import SEVERITY_TARGETS, SeverityTarget
from cdm_assets.catalog.pipelines import EscalationStep, OnCallPolicy, Pipeline, Severity
from cdm_assets.operations.rota import Duty, RotaError, on_duty

NO_PIPELINE: Final = "none"
"""The pipeline of a table that none names; its owners come from the catalog."""
_WORK_BEGINS, _WORK_ENDS = time(9), time(17)
_SATURDAY: Final = 5


@dataclass(frozen=True)
class Answerable:
    """Who answers for one pipeline, and how fast."""

    pipeline: str
    severity: Severity
    primary_owner: str
    secondary_owner: str
    policy: OnCallPolicy
    group: str | None
    escalation: tuple[EscalationStep, ...]
    target: SeverityTarget
    fix_within_hours: float

    def respond_by(self, opened_at: datetime) -> datetime:
        """Until when somebody has to acknowledge what opened at `opened_at`."""
        return opened_at + timedelta(hours=self.target.respond_hours)

    def resolve_by(self, opened_at: datetime) -> datetime:
        """Until when it has to be resolved: as the severity and the pipeline say, whichever is sooner."""
        return opened_at + timedelta(hours=min(self.target.resolve_hours, self.fix_within_hours))


def answerable_for(catalog: Catalog, pipeline: Pipeline | None, owners: Sequence[str] = ()) -> Answerable:
    """Who answers for a pipeline; without one the `owners`, who find it in the morning page."""
    if pipeline is None:
        primary, secondary = (*owners, *owners, "", "")[:2]
        return Answerable(
            NO_PIPELINE,
            Severity.MINOR,
            primary,
            secondary,
            OnCallPolicy.NONE,
            None,
            (),
            SEVERITY_TARGETS[Severity.MINOR],
            SEVERITY_TARGETS[Severity.MINOR].resolve_hours,
        )
    return Answerable(
        pipeline.pipeline,
        pipeline.severity,
        pipeline.primary_owner,
        pipeline.secondary_owner,
        pipeline.on_call,
        pipeline.group,
        pipeline.escalation,
        catalog.oncall.target_of(pipeline.severity),
        pipeline.fix_within_hours,
    )


def duty_at(catalog: Catalog, group: str | None, at: datetime) -> Duty | None:
    """Who is on duty in a group at `at` (UTC without a zone); None where the rota has no answer."""
    if group is None or group not in catalog.oncall.groups:
        return None
    try:
        return on_duty(catalog.oncall, group, at.replace(tzinfo=UTC))
    except RotaError:
        return None


def recipients(catalog: Catalog, who: Answerable, targets: Sequence[str], at: datetime) -> tuple[str, ...]:
    """Names that messages go to: `primary` and `secondary` become who is on duty at `at`, by e-mail address.

    Where nobody is on duty their owner takes their place: an alert without a reader would be lost.
    """
    duty = duty_at(catalog, who.group, at)
    found = []
    for target in targets:
        owner = who.secondary_owner if target.startswith("secondary") else who.primary_owner
        if target in ("primary", "secondary"):
            engineer = getattr(duty, target) if duty else None
            found.append(address_of(catalog, engineer) if engineer else owner)
        elif target in ("primary_owner", "secondary_owner"):
            found.append(owner)
        else:
            found.append(target)
    return tuple(dict.fromkeys(name for name in found if name))


def address_of(catalog: Catalog, engineer: str) -> str:
    """The e-mail address of an engineer of the rota; the name itself where it is unknown."""
    known = catalog.oncall.engineers.get(engineer)
    return known.email if known else engineer


def told_from(catalog: Catalog, who: Answerable, opened_at: datetime) -> datetime:
    """From when on people are told of what opened at `opened_at` (both UTC without a zone).

    With `on_call: working_hours` that is 9 to 17 from Monday to Friday where the engineer on duty lives.
    """
    if who.policy is not OnCallPolicy.WORKING_HOURS:
        return opened_at
    duty = duty_at(catalog, who.group, opened_at)
    engineer = catalog.oncall.engineers.get(duty.primary) if duty else None
    zone = ZoneInfo(engineer.time_zone if engineer else "UTC")
    local = opened_at.replace(tzinfo=UTC).astimezone(zone)
    if local.weekday() < _SATURDAY and _WORK_BEGINS <= local.time() < _WORK_ENDS:
        return opened_at
    day = local.date() if local.time() < _WORK_BEGINS else local.date() + timedelta(days=1)
    while day.weekday() >= _SATURDAY:
        day += timedelta(days=1)
    return datetime.combine(day, _WORK_BEGINS, tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
