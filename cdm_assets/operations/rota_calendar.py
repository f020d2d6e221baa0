"""The rota as a calendar (.ics) for people's own calendars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from icalendar import Calendar, Event, vCalAddress

from cdm_assets.operations.rota import Duty, Rota, Shift


@dataclass(frozen=True)
class _Entry:
    engineer: str
    role: str
    begins: datetime
    ends: datetime
    other: str


def rota_calendar(
    rotas: Iterable[Rota], first: date, last: date, *, engineer: str | None = None, written_at: datetime
) -> bytes:
    """The duties from the turn of the day `first` to the day `last`, of one engineer or of all, as iCalendar.

    An event is one duty of one person, its hand-over included. Its id is made of group, role and begin, so that a later
    export replaces it in a calendar. Raises NobodyLeft.
    """
    calendar = Calendar()
    calendar.add("prodid", "-//CDM Assets//on-call//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", f"On-call {engineer}" if engineer else "On-call")
    for rota in rotas:
        for entry in _entries(rota, first, last):
            if engineer in (None, entry.engineer):
                calendar.add_component(_event(rota, entry, written_at.astimezone(UTC)))
    return bytes(calendar.to_ical())


def _entries(rota: Rota, first: date, last: date) -> Iterator[_Entry]:
    turns = rota.turns(first, first)
    shifts = rota.shifts(turns[0].first if turns else first, last)
    hand_over = timedelta(minutes=rota.group.hand_over_minutes)
    for role in ("primary", "secondary"):
        for duty in _joined(shifts, role, rota.name):
            is_primary = role == "primary"
            who, other = (duty.primary, duty.secondary) if is_primary else (duty.secondary, duty.primary)
            yield _Entry(who, role, duty.since, duty.until + (hand_over if is_primary else timedelta()), other)


def _joined(shifts: Iterable[Shift], role: str, group: str) -> Iterator[Duty]:
    """Days in a row on which the same person has the role."""
    current: Duty | None = None
    for shift in shifts:
        same = current and getattr(current, role) == getattr(shift, role)
        if current and same:
            current = Duty(group, current.primary, current.secondary, current.since, shift.ends)
            continue
        if current:
            yield current
        current = Duty(group, shift.primary, shift.secondary, shift.begins, shift.ends)
    if current:
        yield current


def _event(rota: Rota, entry: _Entry, written_at: datetime) -> Event:
    person = rota.oncall.engineers[entry.engineer]
    other = rota.oncall.engineers[entry.other]
    event = Event()
    event.add("uid", f"{rota.name}-{entry.role}-{entry.begins:%Y%m%dT%H%M%SZ}@cdm-assets")
    event.add("dtstamp", written_at)
    event.add("dtstart", entry.begins)
    event.add("dtend", entry.ends)
    event.add("summary", f"On-call {rota.name} ({entry.role}): {person.name}")
    other_role = "secondary" if entry.role == "primary" else "primary"
    event.add("description", f"{other_role} at the begin: {other.name}, {other.email}\n{rota.group.contact}".strip())
    attendee = vCalAddress(f"mailto:{person.email}")
    attendee.params["CN"] = person.name
    event.add("attendee", attendee)
    event.add("transp", "TRANSPARENT")
    return event
