"""Which business dates a run may be for: `cdp_metadata.etl_date_control`, one row a source.

Day 0 is the earliest date that a source has a file of. From there on dates are begun one after the other: a run may be
for any date up to the one after the newest that was begun, and for a range that begins there. What a late file, a
repair or a rerun asks for lies behind that and is always allowed. What would leave files out is not: it is refused
before it starts.

A date that was begun for one source is begun for all. A source that was paused, or whose file was refused, catches up
in whatever order its files come, and never holds up the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from difflib import get_close_matches
from typing import Final

import sqlalchemy as sa

from cdm_assets.catalog.model import Source
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.stamp import Stamp
from cdm_assets.warehouse.dates import ONE_DAY, DateRange, listed
from cdm_assets.warehouse.landing_area import FileNames, LandingArea, LandingAreaMissing
from cdm_assets.warehouse.locks import take_turns
from cdm_assets.warehouse.tables import Tables

CONTROL: Final = "cdp_metadata.etl_date_control"

Days = Mapping[str, frozenset[date]]
"""Dates by source."""


class DateNotAllowed(Exception):
    """A run is for a business date that the control table does not allow; the message says which command to run."""


class UnknownSource(Exception):
    """No source of the catalog has this name."""


@dataclass(frozen=True)
class SourceDates:
    """One row of the control table. Times are UTC without a zone, as the warehouse stores them."""

    source: str
    uses_business_or_timestamp: str
    earliest_date: date | None
    """Day 0; None while no file of the source was seen."""
    previous_business_date: date
    current_business_date: date | None
    next_business_date: date
    previous_start_time: datetime | None = None
    current_start_time: datetime | None = None

    @property
    def is_begun(self) -> bool:
        """Whether a run was for the source, or somebody moved it on."""
        return self.current_business_date is not None or self.next_business_date > self.previous_business_date + ONE_DAY

    def from_day_zero(self, day: date) -> SourceDates:
        """The row with `day` as its earliest date; one that is begun keeps its place."""
        if self.is_begun:
            return replace(self, earliest_date=day)
        return replace(self, earliest_date=day, previous_business_date=day - ONE_DAY, next_business_date=day)

    def begun(self, day: date, at: datetime) -> SourceDates:
        """The row once a run up to `day` began; unchanged for a date that was begun before, or before its Day 0."""
        if day < self.next_business_date:
            return self
        return replace(
            self,
            next_business_date=day + ONE_DAY,
            previous_start_time=self.current_start_time,
            current_start_time=at,
        )

    def loaded(self, day: date, at: datetime) -> SourceDates:
        """The row once `day` was loaded, or its file refused."""
        if day <= (self.current_business_date or self.previous_business_date):
            return self
        moved = self.begun(day, at)
        previous = self.current_business_date or self.previous_business_date
        return replace(moved, previous_business_date=previous, current_business_date=day)


@dataclass(frozen=True)
class Changed:
    """What an update did to one source's row; `before` is None for a new one."""

    before: SourceDates | None
    after: SourceDates

    def __str__(self) -> str:
        after = self.after
        day_zero = after.earliest_date or "no file yet"
        if self.before is None:
            text = f"Day 0 {day_zero}, previous {after.previous_business_date}, next {after.next_business_date}"
            loaded = f", loaded up to {after.current_business_date}" if after.current_business_date else ""
            return f"{after.source} ({after.uses_business_or_timestamp}): {text}{loaded}"
        was, now = asdict(self.before), asdict(after)
        shown = {
            "earliest_date": "Day 0",
            "previous_business_date": "previous",
            "current_business_date": "current",
            "next_business_date": "next",
            "uses_business_or_timestamp": "uses",
        }
        moved = [f"{words} {was[name] or '-'} → {now[name]}" for name, words in shown.items() if was[name] != now[name]]
        return f"{after.source}: {', '.join(moved) or 'start times'}"


def uses(source: Source) -> str:
    """T for a source whose rows are cut by the time of their events; B for one of lists as of a business date."""
    return "T" if source.event_time else "B"


def source_dates(connection: sa.Connection, tables: Tables) -> dict[str, SourceDates]:
    """The rows of the catalog's sources, by source."""
    table = tables[CONTROL]
    query = sa.select(*(table.c[field.name] for field in fields(SourceDates))).order_by(table.c.source)
    rows = (SourceDates(**row) for row in connection.execute(query).mappings())
    return {row.source: row for row in rows if row.source in tables.catalog.sources}


@dataclass(frozen=True)
class DateControl:
    """The control table of one site: `start` is the first date of its calendar of partitions."""

    tables: Tables
    area: LandingArea
    start: date

    def update(
        self, connection: sa.Connection, stamp: Stamp, *, first_run: DateRange | None = None, write: bool = True
    ) -> list[Changed]:
        """Bring the rows in line with files and loads: new sources get their Day 0, loaded dates are noted.

        On a site that was never set up, `first_run` begins where its range does: older files are no gap. Safe to
        repeat. The transaction is the caller's; without `write`, nothing is written and what would change is returned.
        """
        if write:
            take_turns(connection, self.tables[CONTROL])
        before = source_dates(connection, self.tables)
        sources = self.tables.catalog.sources
        newest = self._newest_loaded(connection)
        files = self._first_files(connection, before, first_run if not before and not newest else None)
        after: dict[str, SourceDates] = {}
        for name, source in sources.items():
            row = before.get(name) or _unseen(source, self.start)
            row = replace(row, uses_business_or_timestamp=uses(source))
            if name in files and (row.earliest_date is None or files[name] < row.earliest_date):
                row = row.from_day_zero(files[name])
            # What was "loaded" of a source that never sent a file says nothing of how far it is.
            if row.earliest_date is not None and name in newest:
                row = row.loaded(newest[name], stamp.load_ts)
            after[name] = row
        return self._write(connection, before, after, stamp, write=write)

    def first_look(self) -> list[Changed]:
        """What `update` would write on a site without tables, from the files alone."""
        try:
            there = files_within(self.tables, self.area, DateRange(self.start, date.max))
        except LandingAreaMissing:
            there = {}
        rows = {name: _unseen(source, self.start) for name, source in self.tables.catalog.sources.items()}
        rows |= {name: rows[name].from_day_zero(min(days)) for name, days in there.items()}
        return [Changed(None, row) for row in rows.values()]

    def begin_run(
        self,
        connection: sa.Connection,
        dates: DateRange,
        sources: Collection[str],
        stamp: Stamp,
        *,
        begun_elsewhere: Callable[[], Iterable[DateRange]] = lambda: (),
    ) -> list[Changed]:
        """What comes before a run for `dates` that loads the landing zone of `sources`: the transaction is its own.

        Raises DateNotAllowed, and then nothing must be kept of what the transaction did.
        """
        changed = self.update(connection, stamp, first_run=dates)
        require_allowed(connection, self.tables, dates, self.area, begun_elsewhere=begun_elsewhere)
        return changed + self.begin(connection, dates, sources, stamp)

    def begin(
        self, connection: sa.Connection, dates: DateRange, sources: Collection[str], stamp: Stamp
    ) -> list[Changed]:
        """Note that a run for `dates`, which `require` allowed, begins to load the landing zone of `sources`."""
        take_turns(connection, self.tables[CONTROL])
        before = source_dates(connection, self.tables)
        after = dict(before)
        zero = _day_zero(before.values())
        if zero is not None and dates.first < zero:
            earlier = files_within(self.tables, self.area, DateRange(dates.first, zero - ONE_DAY))
            for name, days in earlier.items():
                after[name] = before[name].from_day_zero(min(days)) if name in before else after[name]
        for name in set(sources) & after.keys():
            if after[name].earliest_date is not None:
                after[name] = after[name].begun(dates.last, stamp.load_ts)
        return self._write(connection, before, after, stamp)

    def move(
        self,
        connection: sa.Connection,
        stamp: Stamp,
        *,
        advance_to: date | None = None,
        day_zero: date | None = None,
        sources: Collection[str] = (),
    ) -> list[Changed]:
        """What an operator decides for `sources` (none: all), after an update.

        With `advance_to` the next run may begin there, and what was never begun before it is left out on purpose. With
        `day_zero` that is Day 0 whatever files there are; what was begun stays so. Raises UnknownSource.
        """
        self._require_known(sources)
        take_turns(connection, self.tables[CONTROL])
        before = source_dates(connection, self.tables)
        after: dict[str, SourceDates] = {}
        for name, row in before.items():
            moved = row
            if day_zero is not None and (not sources or name in sources):
                moved = moved.from_day_zero(day_zero)
            if advance_to is not None and (not sources or name in sources):
                moved = replace(moved, next_business_date=max(moved.next_business_date, advance_to))
            after[name] = moved
        return self._write(connection, before, after, stamp)

    def _require_known(self, sources: Collection[str]) -> None:
        known = self.tables.catalog.sources
        for name in sources:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
                raise UnknownSource(f"unknown source {name!r}; {hint}")

    def _newest_loaded(self, connection: sa.Connection) -> dict[str, date]:
        """The newest date of each source that was loaded, or whose file was refused."""
        newest: dict[str, date] = {}
        source_of = {f"{Layer.LANDING}.{s.table}": name for name, s in self.tables.catalog.sources.items()}
        for control in ("partition_load", "check_result"):
            table = self.tables[f"cdp_metadata.{control}"]
            query = sa.select(table.c.table_key, sa.func.max(table.c.business_date)).where(
                table.c.table_key.in_(source_of)
            )
            for key, day in connection.execute(query.group_by(table.c.table_key)).tuples():
                newest[source_of[key]] = max(day, newest.get(source_of[key], day))
        return newest

    def _first_files(
        self, connection: sa.Connection, known: Mapping[str, SourceDates], first_run: DateRange | None
    ) -> dict[str, date]:
        """The earliest date of which there is or was a file, by source.

        As the register has it. The landing area itself is looked at for sources that have no row yet, and for all of
        them as long as there was no file at all.
        """
        start = first_run.first if first_run else self.start
        register = self.tables["cdp_metadata.landing_file"]
        query = sa.select(register.c.source, sa.func.min(register.c.business_date)).where(
            register.c.business_date >= start
        )
        first = dict(connection.execute(query.group_by(register.c.source)).tuples().all())
        sources = self.tables.catalog.sources.keys()
        unseen = sources - known.keys() if _day_zero(known.values()) else sources
        if unseen:
            try:
                there = files_within(self.tables, self.area, DateRange(start, date.max))
            except LandingAreaMissing:
                there = {}  # set up before the landing area is: Day 0 comes with the first file
            for name in unseen & there.keys():
                first[name] = min(*there[name], first.get(name, date.max))
        return first

    def _write(
        self,
        connection: sa.Connection,
        before: Mapping[str, SourceDates],
        after: Mapping[str, SourceDates],
        stamp: Stamp,
        *,
        write: bool = True,
    ) -> list[Changed]:
        changed = [Changed(before.get(name), row) for name, row in after.items() if before.get(name) != row]
        table = self.tables[CONTROL]
        if write and changed:
            names = [each.after.source for each in changed]
            connection.execute(sa.delete(table).where(table.c.source.in_(names)))
            connection.execute(sa.insert(table), [{**asdict(each.after), **stamp.row} for each in changed])
        return changed


def require_allowed(
    connection: sa.Connection,
    tables: Tables,
    dates: DateRange,
    area: LandingArea,
    *,
    begun_elsewhere: Callable[[], Iterable[DateRange]] = lambda: (),
) -> None:
    """Raise DateNotAllowed if the control table does not allow `dates`; a site without rows allows everything.

    One query, unless there is reason to refuse: then the files there are decide. `begun_elsewhere` tells the dates of
    runs that are queued or in progress.
    """
    rows = source_dates(connection, tables)
    zero = _day_zero(rows.values())
    if zero is not None and dates.last < zero:
        _refuse_before_day_zero(connection, tables, area, dates, zero)
    following = max((row.next_business_date for row in rows.values() if row.is_begun), default=zero)
    if following is None or dates.first <= following:
        return
    following = _after(following, begun_elsewhere())
    if dates.first > following:
        _refuse_gap(tables, area, dates, following)


def _refuse_before_day_zero(
    connection: sa.Connection, tables: Tables, area: LandingArea, dates: DateRange, zero: date
) -> None:
    """Raise DateNotAllowed, unless there is a file of `dates`, or an earlier run had the first of them in its range."""
    loads = tables["cdp_metadata.partition_load"]
    query = sa.select(loads.c.run_id).where(
        loads.c.table_key.like(f"{Layer.LANDING}.%"), loads.c.business_date == dates.first
    )
    if connection.execute(query).first() or files_within(tables, area, DateRange(dates.first, zero - ONE_DAY)):
        return
    raise DateNotAllowed(
        f"{dates} is before Day 0: the earliest date of which there is a file is {zero}, as `cdm dates` shows. "
        f"Run it when its files are in the landing area {area}; or declare an earlier Day 0 with "
        f"`cdm dates day-zero {dates.first}`"
    )


def _refuse_gap(tables: Tables, area: LandingArea, dates: DateRange, following: date) -> None:
    """Raise DateNotAllowed, unless nothing is left out: there is a file of `dates` and none of the dates before."""
    there = files_within(tables, area, DateRange(following, dates.last))
    skipped = sorted({day for days in there.values() for day in days if day < dates.first})
    if not skipped and there:
        return
    move_on = f"or leave out on purpose what is before with `cdm dates advance {dates.first}`"
    if skipped:
        left_out = f"{len(skipped)} dates" if len(skipped) > 1 else "a date"
        raise DateNotAllowed(
            f"{dates} would leave out {left_out} whose files are there: {listed(skipped, most=3)}. The next "
            f"date is {following}. Load them with `cdm run --start {following} --end {dates.last}`, {move_on}"
        )
    raise DateNotAllowed(
        f"{dates} is beyond the next date, which is {following}, and no file of it is in the landing area {area}. "
        f"Go on with `cdm run --start {following}`, {move_on}"
    )


def _after(following: date, ranges: Iterable[DateRange]) -> date:
    """The date after `following` and the ranges that continue it."""
    for dates in sorted(ranges):
        if dates.first <= following <= dates.last:
            following = dates.last + ONE_DAY
    return following


def _day_zero(rows: Iterable[SourceDates]) -> date | None:
    """The earliest date of any source; None while there was no file."""
    return min((row.earliest_date for row in rows if row.earliest_date is not None), default=None)


def _unseen(source: Source, start: date) -> SourceDates:
    return SourceDates(source.source, uses(source), None, start - ONE_DAY, None, start)


def files_within(tables: Tables, area: LandingArea, dates: DateRange) -> Days:
    """The dates within `dates` of which a file is in the landing area, by source; sources without one are left out.

    One listing of the landing area. Raises LandingAreaMissing.
    """
    names = FileNames(tables.catalog.sources.values())
    places = (names.place_of(name) for name in area.listing())
    found: dict[str, set[date]] = {}
    for place in places:
        if place is not None and place[1] in dates:
            found.setdefault(place[0], set()).add(place[1])
    return {name: frozenset(days) for name, days in found.items()}
