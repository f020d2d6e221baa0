"""What the files in the landing area ask for: a new day's run, a repair, an operator's word, or nothing yet.

Each question is answered from the landing register and the control tables alone, so that a crash between an answer and
what follows from it loses nothing: the next answer is the same, with the same key. Only which files are still moving
is remembered in memory; who forgets it waits a few seconds longer.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Final

import sqlalchemy as sa

from cdm_assets.catalog.model import Source
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.landing_register import (
    PENDING,
    Look,
    RegisteredFile,
    State,
    live_files,
    places_seen_before,
    register_arrivals,
)
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.maintenance import held_sources, warehouse_window
from cdm_assets.operations.pauses import paused_sources
from cdm_assets.warehouse.dates import ONE_DAY, DateRange, listed, ranges_of
from cdm_assets.warehouse.file_faults import FileFault
from cdm_assets.warehouse.landing_area import FileNames, FileStamp, LandingArea, Place, manifest_of
from cdm_assets.warehouse.landing_files import manifest_entries

SETTLED_SECONDS: Final = 10
"""How long a file must not have changed before it counts as whole."""
QUIET_MINUTES: Final = 10
"""A date past its deadline starts with the files it has once none has arrived for so long."""
MOST_DATES_A_RUN: Final = 366
READING_SECONDS: Final = 2.5
"""How long one look may read new files; the rest waits for the next one."""
RECENT_DAYS: Final = 7
"""Alerts are about files that were due, or loaded, within these days: older ones are no news."""
_MOST_NAMED: Final = 5


@dataclass(frozen=True)
class DueRun:
    """A run that the files ask for. `key` is the same for the same files with the same contents."""

    why: str
    key: str
    says: str
    """What it is for, in one line."""
    dates: DateRange | None = None
    """A day's run of these dates; None for a repair."""
    without: frozenset[str] = frozenset()
    """Landing tables that a day's run leaves out, because their sources are paused."""
    files: Mapping[str, frozenset[date]] = field(default_factory=dict)
    """The files a repair is for, dates by source."""
    incomplete: frozenset[date] = frozenset()
    """Dates that a repair completes: it loads also what was never loaded of them."""
    details: Mapping[str, str] = field(default_factory=dict)
    """For the run's tags."""


@dataclass(frozen=True)
class Waiting:
    """Nothing to start, and why."""

    reason: str


class LandingWatch:
    """Looks at the landing area and keeps the register in line with it."""

    def __init__(self, loads: TableLoads, area: LandingArea, clock: Callable[[], float] = time.monotonic) -> None:
        self._loads, self._area, self._clock = loads, area, clock
        self._names = FileNames(loads.catalog.sources.values())
        self._seen: dict[Place, tuple[FileStamp, float]] = {}
        self.unknown: Sequence[str] = ()
        """Files that no source expects, as of the last look."""

    @property
    def moving(self) -> frozenset[Place]:
        """The files that are there and not yet whole."""
        return frozenset(self._seen)

    def look(self, connection: sa.Connection, run_id: str) -> Look:
        """Register what is whole. Raises LandingAreaMissing; ConnectionError or TimeoutError of a remote area."""
        listing = self._area.listing()
        found: dict[Place, tuple[str, FileStamp | None]] = {}
        unknown = []
        for name, stamp in listing.items():
            place = self._names.place_of(name)
            if place is None:
                unknown.append(name)
            else:
                found[place] = (name, stamp)
        self.unknown = self._names.unknown(unknown)
        before, self._seen = self._seen, {}
        look = register_arrivals(
            connection,
            self._loads.tables,
            self._area,
            found,
            Stamp(run_id),
            is_everything=True,
            is_whole=lambda place, name, stamp: self._is_whole(place, name, stamp, before),
            give_up_at=time.monotonic() + READING_SECONDS,
        )
        for place in look.still_moving:
            stamp = listing[found[place][0]]
            known = before.get(place)
            self._seen[place] = known if known and known[0] == stamp else (stamp, self._clock())
        return look

    def _is_whole(
        self, place: Place, name: str, stamp: FileStamp, before: Mapping[Place, tuple[FileStamp, float]]
    ) -> bool:
        """Whether nobody writes the file any more, as far as can be told from outside."""
        source = self._loads.catalog.sources[place[0]]
        if source.files.needs_manifest and not _is_promised(self._area, name):
            return False
        if self._area.shows_only_whole_files:
            return True
        known = before.get(place)
        return known is not None and known[0] == stamp and self._clock() - known[1] >= SETTLED_SECONDS


def _is_promised(area: LandingArea, name: str) -> bool:
    """Whether the manifest beside a file lists it; a manifest that cannot be read is for the load to refuse."""
    try:
        return PurePosixPath(name).name in manifest_entries(area, manifest_of(name))
    except FileFault:
        return True


class Arrivals:
    """The questions of one moment, answered on one connection."""

    def __init__(
        self,
        connection: sa.Connection,
        loads: TableLoads,
        area: LandingArea,
        *,
        dates: DateRange,
        moving: Iterable[Place] = (),
        now: datetime | None = None,
    ) -> None:
        self._connection, self._loads, self._area, self._dates = connection, loads, area, dates
        self._moving = frozenset(moving)
        self._now = now or datetime.now(UTC)
        self._sources = loads.catalog.sources
        self._paused = paused_sources(connection, loads.tables)
        self._held = held_sources(loads.catalog, self._now)
        self._newest = _newest_date_begun(connection, loads)

    @property
    def hold(self) -> Waiting | None:
        """Why nothing at all may start now."""
        window = warehouse_window(self._loads.catalog, self._now)
        return Waiting(f"{window}: what is due starts after it") if window else None

    def new(self) -> DueRun | Waiting:
        """The run of the next dates, those after the newest that was begun."""
        if self.hold:
            return self.hold
        first = self._newest + ONE_DAY if self._newest else self._dates.first
        if first > self._dates.last:
            return Waiting(f"Every date up to {self._dates.last} was begun.")
        dates = DateRange(first, self._dates.last)
        files = live_files(self._connection, self._loads.tables, dates=dates)
        by_day: dict[date, dict[str, RegisteredFile]] = {day: {} for _, day in self._moving if day in dates}
        for (source, day), rows in files.items():
            by_day.setdefault(day, {})[source] = rows[-1]
        ready: list[date] = []
        reason = f"No file is there for {first} or a later date."
        for day, there in sorted(by_day.items())[:MOST_DATES_A_RUN]:
            waits_for, missing = self._waits_for(day, there)
            if waits_for is None and not missing:
                ready.append(day)
                continue
            if waits_for is None and not ready:
                return self._incomplete_day(day, there, missing)
            reason = f"{day}: {waits_for or 'not all files are there'}."
            break
        if not ready:
            return Waiting(reason)
        return self._day_run(ranges_of(ready)[0], files)

    def _day_run(self, dates: DateRange, files: Mapping[Place, Sequence[RegisteredFile]]) -> DueRun:
        contents = [rows[-1] for (_, day), rows in files.items() if day in dates]
        without = frozenset(self._loads.landing_table(source) for source in self._paused if source in self._sources)
        paused = f", without {', '.join(sorted(self._paused))} (paused)" if without else ""
        return DueRun(
            why="new",
            key=f"new {dates} {_identity(contents)}",
            says=f"{dates}: every file that the day requires is there{paused}",
            dates=dates,
            without=without,
            details={"dates": str(dates), **({"paused": ", ".join(sorted(self._paused))} if without else {})},
        )

    def _incomplete_day(self, day: date, there: Mapping[str, RegisteredFile], missing: Sequence[str]) -> DueRun:
        """The run of a date whose deadline has passed."""
        lacking = ", ".join(missing)
        return DueRun(
            why="new, at the deadline",
            key=f"deadline {day} {_identity(there.values())}",
            says=f"{day}: the deadline has passed; starting without {lacking}",
            files={source: frozenset([day]) for source in there if source not in self._paused},
            incomplete=frozenset([day]),
            details={"dates": str(day), "missing": lacking},
        )

    def _waits_for(self, day: date, there: Mapping[str, RegisteredFile]) -> tuple[str | None, Sequence[str]]:
        """Why a date has to wait, None if it need not; and the sources whose file it lacks."""
        held = sorted(self._held.keys() - self._paused.keys())
        if held:
            return f"{', '.join(held)} held by {self._held[held[0]]}", ()
        moving = {source for source, of_day in self._moving if of_day == day}
        still_written = f"{', '.join(sorted(moving))} may still be being written"
        if not there:
            return still_written if moving else "no file is there", ()
        promised = self._promised(day, there) - there.keys()
        missing, not_due = promised | moving, set()
        deadline = max(source.expected.late_after_for(day) for source in self._sources.values())
        for name, source in self._sources.items():
            if name in there or name in self._paused:
                continue
            if not source.files.may_be_absent:
                missing.add(name)
            elif self._now < source.expected.at_for(day):
                not_due.add(name)
        last_arrival = max(file.arrived_at for file in there.values()).replace(tzinfo=UTC)
        patience_ends = max(deadline, last_arrival + timedelta(minutes=QUIET_MINUTES))
        if moving and self._now < patience_ends:
            return still_written, ()
        if missing and self._now < patience_ends:
            return f"{', '.join(sorted(missing))} not there yet; it starts without at {patience_ends:%F %H:%M} UTC", ()
        if not_due and not missing:
            return f"{', '.join(sorted(not_due))} may still come", ()
        return None, sorted(missing)

    def _promised(self, day: date, there: Mapping[str, RegisteredFile]) -> set[str]:
        """The sources whose files of this date a manifest lists."""
        names = FileNames(self._sources.values())
        promised: set[str] = set()
        for manifest in {manifest_of(file.file_name) for file in there.values() if file.manifest_version}:
            folder = manifest[: manifest.rfind("/") + 1]
            try:
                listed_files = manifest_entries(self._area, manifest)
            except FileFault:
                continue  # the load says what is wrong with it
            places = (names.place_of(f"{folder}{name}") for name in listed_files)
            promised |= {place[0] for place in places if place and place[1] == day}
        return promised - self._paused.keys()

    def late(self) -> DueRun | Waiting:
        """The repair for files of dates already begun, of which nothing was there before."""
        return self._repair("late", lambda place, seen_before: place not in seen_before)

    def corrected(self) -> DueRun | Waiting:
        """The repair for files that replace a loaded or refused one."""
        return self._repair("corrected", lambda place, seen_before: place in seen_before)

    def _repair(self, why: str, is_meant: Callable[[Place, frozenset[Place]], bool]) -> DueRun | Waiting:
        if self.hold:
            return self.hold
        if self._newest is None:
            return Waiting("Nothing is loaded yet.")
        pending = live_files(self._connection, self._loads.tables, states=PENDING)
        due = {
            place: rows[-1] for place, rows in pending.items() if place[1] <= self._newest and place[1] in self._dates
        }
        seen_before = places_seen_before(self._connection, self._loads.tables, due.values())
        due = {place: file for place, file in due.items() if is_meant(place, seen_before)}
        waiting = sorted({source for source, _ in due if source in self._paused or source in self._held})
        files = [file for (source, _), file in due.items() if source not in waiting]
        if not files:
            waits = f" {', '.join(waiting)}: paused, or its system is in maintenance." if waiting else ""
            return Waiting(f"No {why} file.{waits}")
        by_source = _by_source(file.place for file in files)
        days = frozenset(file.business_date for file in files)
        oldest = min(files, key=lambda file: file.business_date)
        names = _named(files)
        return DueRun(
            why=why,
            key=f"{why} {_identity(files)}",
            says=f"{why}: {names}",
            files=by_source,
            incomplete=days,
            details={
                "files": names,
                "late_by": _late_by(self._sources[oldest.source], oldest),
                "days_back": str((self._newest - oldest.business_date).days),
            },
        )

    def stale(self) -> DueRun | Waiting:
        """The repair for partitions that a load left out of line, most often because of events of earlier dates."""
        if self.hold:
            return self.hold
        marks = self._loads.tables["cdp_metadata.stale_partition"]
        query = sa.select(marks.c.table_key, marks.c.business_date, marks.c.reason, marks.c.load_ts)
        rows = self._connection.execute(query.order_by(*query.selected_columns)).tuples().all()
        if not rows:
            return Waiting("Every loaded partition is in line with what it reads.")
        days = {day for _, day, _, _ in rows}
        because = ", ".join(list(dict.fromkeys(reason for _, _, reason, _ in rows))[:_MOST_NAMED])
        tables = len({key for key, *_ in rows})
        return DueRun(
            why="late events",
            key=f"stale {_hash([[key, str(day), str(at)] for key, day, _, at in rows])}",
            says=f"{len(rows)} partitions of {tables} tables are out of line: {because}",
            details={"dates": listed(days, most=_MOST_NAMED), "because": because},
        )

    def withdrawn(self) -> dict[Place, str]:
        """The loaded files that are no longer there, each with what an operator can do."""
        register = self._loads.tables["cdp_metadata.landing_file"]
        query = sa.select(register.c.source, register.c.business_date, register.c.file_name).where(
            register.c.state == State.LOADED, register.c.gone_at.is_not(None)
        )
        return {
            (source, day): f"{name} is no longer in the landing area; its rows stay until the job `repair` is run with "
            f"the configuration {{ops: {{look_for_changed_files: {{config: {{withdrawn: {{{source}: ['{day}']}}}}}}}}}}"
            for source, day, name in self._connection.execute(query).tuples()
        }

    def missing(self) -> dict[Place, str]:
        """The files that are late and not there, each with its owner and what goes without it."""
        first = max(self._dates.first, self._now.date() - RECENT_DAYS * ONE_DAY)
        last = min(self._dates.last, self._now.date())
        if first > last:
            return {}
        there = live_files(self._connection, self._loads.tables, dates=DateRange(first, last)).keys()
        return {
            (name, day): f"no file of source {name} for {day}, due {source.expected.at_for(day):%F %H:%M} UTC. "
            f"Ask {', '.join(source.owners)}. {self._loads.affected_by(self._loads.landing_table(name))}"
            for name, source in self._sources.items()
            if not source.files.may_be_absent and name not in self._paused
            for day in DateRange(first, last)
            if (name, day) not in there and self._now >= source.expected.late_after_for(day)
        }

    def events_beyond_bound(self) -> dict[Place, str]:
        """The files loaded lately that hold events from longer before their date than their source allows."""
        register = self._loads.tables["cdp_metadata.landing_file"]
        since = (self._now - timedelta(days=RECENT_DAYS)).replace(tzinfo=None)
        columns = (register.c.source, register.c.business_date, register.c.file_name, register.c.earliest_event)
        query = sa.select(*columns).where(
            register.c.state == State.LOADED, register.c.load_ts >= since, register.c.earliest_event.is_not(None)
        )
        found = {}
        for name, day, file_name, earliest in self._connection.execute(query).tuples():
            source = self._sources.get(name)
            lateness = datetime(day.year, day.month, day.day) - earliest  # noqa: DTZ001 - as the warehouse stores it
            if source is not None and lateness > timedelta(hours=source.event_bound_hours):
                found[name, day] = (
                    f"{file_name} holds an event of {earliest:%F %H:%M}, {lateness.total_seconds() / 3600:.0f} hours "
                    f"before its date; the bound is {source.event_bound_hours:g}. Its dates are rebuilt all the same. "
                    f"Ask {', '.join(source.owners)}"
                )
        return found


def _newest_date_begun(connection: sa.Connection, loads: TableLoads) -> date | None:
    """The latest business date of which a landing partition was loaded or refused."""
    newest = []
    for name in ("partition_load", "check_result"):
        table = loads.tables[f"cdp_metadata.{name}"]
        query = sa.select(sa.func.max(table.c.business_date)).where(table.c.table_key.like(f"{Layer.LANDING}.%"))
        newest.append(connection.execute(query).scalar())
    return max((day for day in newest if day is not None), default=None)


def _by_source(places: Iterable[Place]) -> dict[str, frozenset[date]]:
    days: dict[str, set[date]] = {}
    for source, day in places:
        days.setdefault(source, set()).add(day)
    return {source: frozenset(of_source) for source, of_source in days.items()}


def _named(files: Sequence[RegisteredFile]) -> str:
    named = sorted(file.file_name for file in files)
    return ", ".join(named[:_MOST_NAMED]) + (f" and {len(named) - _MOST_NAMED} more" if named[_MOST_NAMED:] else "")


def _late_by(source: Source, file: RegisteredFile) -> str:
    """How long after it was due a file arrived, such as `3 days 04:15`."""
    late = max(file.arrived_at.replace(tzinfo=UTC) - source.expected.at_for(file.business_date), timedelta(0))
    hours, minutes = divmod(late.seconds // 60, 60)
    return f"{late.days} days {hours:02}:{minutes:02}"


def _identity(files: Iterable[RegisteredFile]) -> str:
    """A hash of contents: another content, or the same one arriving again, is another run."""
    return _hash(
        sorted(
            [file.source, str(file.business_date), file.sha256, str(file.delivered_at), file.manifest_version]
            for file in files
        )
    )


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
