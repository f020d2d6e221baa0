"""Pipelines: which tables belong together, who answers for them, when they are due and what happens when they fail.

One file of `pipelines/` is one `Pipeline`. Its `tables` name a table (`schema.table`) or a layer (`ldz`); a table
belongs to the pipeline that names it, else to the one that names its layer.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from cdm_assets.catalog.base import Identifier, Owner, Strict
from cdm_assets.catalog.clock import Cron

TablesName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")]
"""`schema.table` without the environment's prefix, or a layer's schema."""

EscalationTarget = Annotated[
    str,
    StringConstraints(
        pattern=r"^(primary|secondary|primary_owner|secondary_owner|team:[a-z][a-z0-9_-]*|[^@\s]+@[^@\s]+\.[^@\s]+)$"
    ),
]
"""Who is told: who is on duty, an owner of the pipeline, an e-mail address or `team:<name>`."""


class Severity(StrEnum):
    """How much it hurts when a pipeline fails; `oncall.yaml` says how fast each is answered and resolved."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"


class OnCallPolicy(StrEnum):
    """When people are told of a failure."""

    PAGER = "pager"
    """At any time."""
    WORKING_HOURS = "working_hours"
    """At once in working hours, else when the next ones begin."""
    NONE = "none"
    """Nobody is called; it stands in the morning page."""


class Upstream(Strict):
    """A source the pipeline stands on, and whom to ask about it."""

    source: Identifier
    owner: Owner
    contact: str


class Downstream(Strict):
    """Who uses the pipeline's tables, and how to reach them."""

    who: str
    contact: str


class EscalationStep(Strict):
    """Whom an alert reaches that nobody has acknowledged for so long."""

    after_minutes: int = Field(ge=0, strict=True)
    to: EscalationTarget


class Pipeline(Strict):
    """Tables that are delivered together. Times are UTC."""

    pipeline: Identifier
    description: str
    group: Identifier
    """The on-call group of `oncall.yaml`."""
    primary_owner: Owner
    secondary_owner: Owner
    upstream: tuple[Upstream, ...] = ()
    downstream: tuple[Downstream, ...] = ()
    tables: tuple[TablesName, ...] = Field(min_length=1)
    schedule: Cron
    """When it starts by the clock, once its schedule is switched on; for the business date before."""
    ready_by: time
    """When the tables of a business date are due, on the day after it."""
    alert_if_late_by_minutes: int = Field(default=0, ge=0, strict=True)
    """How long after `ready_by` its absence is an alert."""
    fix_within_hours: float = Field(gt=0)
    severity: Severity
    on_call: OnCallPolicy
    escalation: tuple[EscalationStep, ...] = ()

    @model_validator(mode="after")
    def _owners_differ(self) -> Self:
        if self.primary_owner == self.secondary_owner:
            raise ValueError(
                f"primary_owner and secondary_owner are both {self.primary_owner}; expected two, one may be away"
            )
        return self

    @model_validator(mode="after")
    def _is_due_in_utc(self) -> Self:
        if self.ready_by.tzinfo is not None:
            raise ValueError("ready_by has a time zone; expected a time in UTC, such as 09:30")
        return self

    @model_validator(mode="after")
    def _steps_follow_each_other(self) -> Self:
        minutes = [step.after_minutes for step in self.escalation]
        if minutes != sorted(set(minutes)):
            raise ValueError(f"escalation steps come after {minutes} minutes; expected each later than the one before")
        return self

    @property
    def owners(self) -> tuple[str, str]:
        """The primary and the secondary owner."""
        return self.primary_owner, self.secondary_owner

    def ready_by_for(self, business_date: date) -> datetime:
        """When the tables of `business_date` are due (UTC)."""
        return datetime.combine(business_date + timedelta(days=1), self.ready_by, tzinfo=UTC)

    def late_after_for(self, business_date: date) -> datetime:
        """From when on the absence of `business_date` is an alert (UTC)."""
        return self.ready_by_for(business_date) + timedelta(minutes=self.alert_if_late_by_minutes)
