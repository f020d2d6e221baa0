"""What the morning check tells: plain data, which the terminal, JSON, the HTML page and the Dagster asset show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

_MOST_NAMED: Final = 4


class Colour(StrEnum):
    """How something is, the worst first."""

    RED = "red"
    YELLOW = "yellow"
    GREY = "grey"
    GREEN = "green"


def worst(colours: Iterable[Colour]) -> Colour:
    """The worst of them; green where there is none."""
    return min(colours, key=list(Colour).index, default=Colour.GREEN)


@dataclass(frozen=True)
class Reason:
    """Why something is not green."""

    colour: Colour
    text: str


@dataclass(frozen=True)
class Series:
    """One value a business date, in the order of `Morning.history`; None where there was no load."""

    seconds: Sequence[float | None]
    rows: Sequence[int | None]
    error_rate: Sequence[float | None]
    """Landing zone: records rejected of those read. Behind it: checks that failed of those that ran."""


@dataclass(frozen=True)
class TableMorning:
    """One table on the due date."""

    table: str
    pipeline: str | None
    owners: tuple[str, ...]
    due_at: datetime
    newest: date | None
    """The newest business date up to the due one that it holds."""
    rows: int | None
    seconds: float | None
    reasons: tuple[Reason, ...]
    series: Series

    @property
    def colour(self) -> Colour:
        """The worst of its reasons."""
        return worst(reason.colour for reason in self.reasons)


@dataclass(frozen=True)
class HopMorning:
    """One hop on the due date: how many of its tables hold the partition, and what is the matter."""

    hop: str
    colour: Colour
    tables: int
    loaded: int
    rows: int
    seconds: float
    reasons: tuple[Reason, ...]
    series: Series


@dataclass(frozen=True)
class FileMorning:
    """The file of one source for the due date."""

    source: str
    colour: Colour
    what: str
    owners: tuple[str, ...]
    arrived_at: datetime | None = None
    """When it was first seen (UTC)."""


@dataclass(frozen=True)
class CheckMorning:
    """A check that failed within the recent dates."""

    table: str
    check: str
    business_date: date
    blocks: bool
    message: str
    code: str
    """For `cdm runbook CODE`."""


@dataclass(frozen=True)
class AlertMorning:
    """An alert that is open."""

    kind: str
    about: str
    message: str
    opened_at: datetime


@dataclass(frozen=True)
class IncidentMorning:
    """An incident that is not resolved."""

    incident: str
    colour: Colour
    severity: str
    code: str
    what: str
    opened_at: datetime
    acknowledged_by: str | None = None


@dataclass(frozen=True)
class DutyMorning:
    """Who is on call for a group."""

    group: str
    primary: str
    secondary: str
    until: str
    """When the duty ends (UTC), or why nobody has it."""
    is_gap: bool = False
    """Everybody is away; not so before a rota begins."""


@dataclass(frozen=True)
class Morning:
    """Everything that the morning check found."""

    at: datetime
    due_date: date | None
    colour: Colour
    reasons: tuple[Reason, ...]
    """What is not green beside the hops: incidents, alerts, or why nothing could be found out."""
    hops: tuple[HopMorning, ...] = ()
    tables: tuple[TableMorning, ...] = ()
    files: tuple[FileMorning, ...] = ()
    checks: tuple[CheckMorning, ...] = ()
    alerts: tuple[AlertMorning, ...] = ()
    incidents: tuple[IncidentMorning, ...] = ()
    on_call: tuple[DutyMorning, ...] = ()
    maintenance: tuple[str, ...] = ()
    paused: Mapping[str, str] = field(default_factory=dict)
    history: tuple[date, ...] = ()


def as_json(morning: Morning) -> str:
    """The morning as JSON: the fields of `Morning`, dates and times as ISO texts."""
    values = asdict(morning)
    for table, shown in zip(morning.tables, values["tables"], strict=True):
        shown["colour"] = table.colour
    return json.dumps(values, default=_json_text, indent=2)


def _json_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def unknown_morning(at: datetime, why: str) -> Morning:
    """A morning of which nothing is known: no database, or a load that holds it."""
    return Morning(at, None, Colour.GREY, (Reason(Colour.GREY, why),))


def grouped(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """The same thing about several tables is one reason that names them; the worst come first."""
    about: dict[tuple[Colour, str], list[str]] = {}
    for reason in reasons:
        subject, colon, text = reason.text.partition(": ")
        about.setdefault((reason.colour, text if colon else reason.text), []).append(subject if colon else "")
    named_once = []
    for (colour, text), subjects in about.items():
        named = [subject for subject in subjects if subject]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        named_once.append(Reason(colour, f"{', '.join(named[:_MOST_NAMED])}{more}: {text}" if named else text))
    return tuple(sorted(named_once, key=lambda reason: list(Colour).index(reason.colour)))
