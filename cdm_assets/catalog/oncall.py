"""On-call: engineers, groups, leave, swaps, and how fast each severity is answered; what `oncall.yaml` says.

`cdm_assets.operations.rota` computes from it who is on duty.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, model_validator

from cdm_assets.catalog.base import Identifier, Strict
from cdm_assets.catalog.clock import TimeZone
from cdm_assets.catalog.pipelines import Severity


class SeverityTarget(Strict):
    """How fast an incident is answered and resolved."""

    respond_hours: float = Field(gt=0)
    resolve_hours: float = Field(gt=0)

    @model_validator(mode="after")
    def _responds_first(self) -> Self:
        if self.respond_hours > self.resolve_hours:
            raise ValueError(
                f"respond_hours {self.respond_hours:g} is more than resolve_hours {self.resolve_hours:g}; "
                "expected a response before the resolution"
            )
        return self


SEVERITY_TARGETS: Final[Mapping[Severity, SeverityTarget]] = {
    Severity.CRITICAL: SeverityTarget(respond_hours=1, resolve_hours=4),
    Severity.MAJOR: SeverityTarget(respond_hours=2, resolve_hours=8),
    Severity.MINOR: SeverityTarget(respond_hours=4, resolve_hours=24),
}
"""Of the severities that no `oncall.yaml` sets."""


class Engineer(Strict):
    """A person who can be on duty."""

    name: str
    email: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
    """Whose public holidays are the engineer's; two letters (ISO 3166)."""
    subdivision: str | None = None
    """State or region, where public holidays differ; as the library `holidays` names it, such as `BE` of `DE`."""
    time_zone: TimeZone = "UTC"
    """In which a day of leave begins and ends."""

    @model_validator(mode="before")
    @classmethod
    def _norway_is_no_boolean(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("country") is False:
            raise ValueError("country is false: YAML reads a bare NO so; write 'NO' for Norway")
        return value


class Member(Strict):
    """An engineer's part in a group."""

    engineer: Identifier
    since: date | None = None
    """First day; None: from the group's start. A newcomer needs one, or the past would be another."""
    until: date | None = None
    """Last day; None: no end."""

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.since and self.until and self.until < self.since:
            raise ValueError(f"until {self.until} is before since {self.since}")
        return self

    def is_in(self, first: date, last: date) -> bool:
        """Whether the member is in the group on each day from `first` to `last`."""
        return (self.since is None or self.since <= first) and (self.until is None or last <= self.until)


class Group(Strict):
    """Engineers who take turns of one or two weeks."""

    description: str = ""
    contact: str = ""
    start: date
    """Day on which the first turn begins; every later one begins on the same day of the week."""
    weeks: Literal[1, 2] = 1
    hand_over_at: time = time(9)
    """When a day of duty begins, in `time_zone`."""
    time_zone: TimeZone = "UTC"
    hand_over_minutes: int = Field(default=30, ge=0, le=720, strict=True)
    """How long who was on duty stays with who comes."""
    bound: int = Field(default=1, ge=1, strict=True)
    """By how much the shares of a year may differ; raise it for a year in which somebody is away for long."""
    members: tuple[Member, ...] = Field(min_length=2)

    @model_validator(mode="before")
    @classmethod
    def _names_are_members(cls, value: Any) -> Any:
        """A member may be written as the engineer's name alone."""
        if isinstance(value, Mapping) and isinstance(value.get("members"), list):
            members = [{"engineer": each} if isinstance(each, str) else each for each in value["members"]]
            return {**value, "members": members}
        return value

    @model_validator(mode="after")
    def _each_member_once(self) -> Self:
        names = [member.engineer for member in self.members]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"members has {', '.join(twice)} more than once")
        return self

    @property
    def turn(self) -> timedelta:
        """How long a turn is."""
        return timedelta(weeks=self.weeks)

    def begin_of(self, day: date) -> datetime:
        """When the duty of `day` begins (aware, in UTC)."""
        return datetime.combine(day, self.hand_over_at, tzinfo=ZoneInfo(self.time_zone)).astimezone(UTC)


class _Days(Strict):
    """From one day to another, both inclusive."""

    first: date
    last: date

    @model_validator(mode="before")
    @classmethod
    def _one_day_is_enough(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "first" in value and "last" not in value:
            return {**value, "last": value["first"]}
        return value

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"last {self.last} is before first {self.first}")
        return self


class Leave(_Days):
    """Days on which an engineer is not on duty, in the engineer's time zone; without `last` it is one day."""

    engineer: Identifier
    told_on: date | None = None
    """When it became known, for what nobody could plan (sickness). A turn that began before keeps its holder, and only
    the days of the leave are taken over; None: known all along."""
    note: str = ""


class Swap(_Days):
    """Days of duty that one engineer gives to another; they are those that begin on `first` to `last`."""

    group: Identifier
    gives: Identifier
    takes: Identifier
    note: str = ""

    @model_validator(mode="after")
    def _between_two(self) -> Self:
        if self.gives == self.takes:
            raise ValueError(f"gives and takes are both {self.gives}; expected two engineers")
        return self


class OnCall(Strict):
    """What stands in `oncall.yaml`; the shipped one with the site's laid over it."""

    severities: dict[Severity, SeverityTarget] = Field(default_factory=dict)
    engineers: dict[Identifier, Engineer] = Field(default_factory=dict)
    groups: dict[Identifier, Group] = Field(default_factory=dict)
    leave: tuple[Leave, ...] = ()
    swaps: tuple[Swap, ...] = ()

    def target_of(self, severity: Severity) -> SeverityTarget:
        """How fast an incident of `severity` is answered and resolved."""
        return self.severities.get(severity, SEVERITY_TARGETS[severity])

    def overlaid_with(self, other: OnCall) -> OnCall:
        """What both say: of a name that both have, `other`'s; leave and swaps of both."""
        return OnCall(
            severities=self.severities | other.severities,
            engineers=self.engineers | other.engineers,
            groups=self.groups | other.groups,
            leave=self.leave + other.leave,
            swaps=self.swaps + other.swaps,
        )
