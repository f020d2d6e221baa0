"""The landing register, `cdp_metadata.landing_file`: every content of every file ever seen, and what became of it.

Of one file (a source and business date) at most two rows are *live*: the content that is loaded, and a newer one that
is not (it arrived, is being loaded, or was rejected). All others are history: superseded by a newer content, or
withdrawn. Whoever wants to know what there is to load asks here and not the landing area.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.catalog.types import Layer
from cdm_assets.loading.staleness import mark
from cdm_assets.loading.stamp import Stamp, in_range
from cdm_assets.warehouse.dates import DateRange, ranges_of
from cdm_assets.warehouse.landing_area import Content, FileStamp, LandingArea, Place
from cdm_assets.warehouse.locks import take_turns
from cdm_assets.warehouse.tables import Tables
from cdm_assets.warehouse.transient import is_transient


class State(StrEnum):
    """What became of one content of one file."""

    ARRIVED = "arrived"
    LOADING = "loading"
    LOADED = "loaded"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


PENDING: Final = (State.ARRIVED, State.LOADING)
"""To be loaded; what a killed run left `loading` as well."""
LIVE: Final = (*PENDING, State.REJECTED, State.LOADED)


@dataclass(frozen=True)
class RegisteredFile:
    """One row of the register. Times are UTC without a zone, as the warehouse stores them."""

    source: str
    business_date: date
    file_name: str
    state: str
    arrived_at: datetime
    size_bytes: int
    sha256: str
    version: str
    manifest_version: str
    deliveries: int
    delivered_at: datetime
    run_id: str
    load_ts: datetime
    gone_at: datetime | None = None
    rows_read: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    earliest_event: datetime | None = None
    drift: str | None = None
    reason: str | None = None

    @property
    def place(self) -> Place:
        """Source and business date."""
        return self.source, self.business_date


@dataclass(frozen=True)
class Loaded:
    """What a load found in a file."""

    rows_read: int
    rows_loaded: int
    rows_rejected: int
    earliest_event: datetime | None = None
    drift: str | None = None


@dataclass
class Look:
    """What a look at the landing area found that the register did not know."""

    arrived: list[Place] = field(default_factory=list)
    delivered_again: list[Place] = field(default_factory=list)
    gone: list[Place] = field(default_factory=list)
    still_moving: list[Place] = field(default_factory=list)
    """Left alone: not whole yet, or there was no time left to read them."""
    unreadable: dict[Place, OSError] = field(default_factory=dict)
    fetched: dict[Place, Content] = field(default_factory=dict)


def register_arrivals(  # noqa: PLR0913 - each says something else about one look
    connection: sa.Connection,
    tables: Tables,
    area: LandingArea,
    found: Mapping[Place, tuple[str, FileStamp | None]],
    stamp: Stamp,
    *,
    is_everything: bool = False,
    is_whole: Callable[[Place, str, FileStamp], bool] = lambda *_: True,
    give_up_at: float | None = None,
) -> Look:
    """Bring the register in line with the files `found` (name and stamp by place, None where there is no file).

    Only files whose stamp is new are read, into the archive, until `give_up_at` (`time.monotonic`); the rest waits for
    the next look. With `is_everything`, files known and not among `found` are gone too. The transaction is the
    caller's. Partitions whose loaded content is back after a refused one are marked stale.

    Raises OSError of a remote landing area, such as ConnectionError, if it may pass (`is_transient`).
    """
    look = Look()
    take_turns(connection, tables["cdp_metadata.landing_file"])
    known = _live_identities(connection, tables, None if is_everything else found)
    if is_everything:
        found = {**found, **dict.fromkeys(known.keys() - found.keys(), ("", None))}
    changed = {place: named for place, named in found.items() if _differs(named[1], known.get(place, ()))}
    if not changed:
        return look
    rows = live_files(connection, tables, changed)
    after: dict[Place, list[RegisteredFile]] = {}
    for place, (name, file_stamp) in sorted(changed.items(), key=lambda item: (item[0][1], item[0][0])):
        before = rows.get(place, [])
        if file_stamp is None:
            after[place] = [_gone(row, stamp) for row in before]
            look.gone += [place] * any(row.gone_at is None for row in before)
            continue
        if before and _only_manifest_changed(before[-1], file_stamp):
            after[place] = [*before[:-1], _promised_anew(before[-1], file_stamp, stamp)]
            look.arrived += [place] * (after[place][-1].state == State.ARRIVED)
            continue
        if (give_up_at is not None and time.monotonic() > give_up_at) or not is_whole(place, name, file_stamp):
            look.still_moving.append(place)
            continue
        try:
            content = area.fetch(name, place, file_stamp)
        except OSError as fault:
            if is_transient(fault):
                raise
            look.unreadable[place] = fault
            continue
        if content is None:
            look.still_moving.append(place)
            continue
        look.fetched[place] = content
        after[place] = _with_content(before, place, content, file_stamp, stamp)
        known_content = any(row.sha256 == content.sha256 for row in before)
        if before and before[-1].state == State.REJECTED and after[place][-1].state == State.LOADED:
            key = f"{Layer.LANDING}.{tables.catalog.sources[place[0]].table}"  # its checks tell of the refused content
            mark(connection, tables, key, [place[1]], "the file is again the one that was loaded", stamp)
        (look.delivered_again if known_content else look.arrived).append(place)
    _rewrite(connection, tables, after)
    return look


def live_files(
    connection: sa.Connection,
    tables: Tables,
    places: Iterable[Place] | None = None,
    *,
    dates: DateRange | None = None,
    states: Sequence[str] = LIVE,
) -> dict[Place, list[RegisteredFile]]:
    """The live rows by place, the newest content last; of all places and dates unless some are named."""
    register = tables["cdp_metadata.landing_file"]
    query = sa.select(*(register.c[column.name] for column in fields(RegisteredFile)))
    query = query.where(register.c.state.in_(states)).order_by(register.c.arrived_at)
    if places is not None:
        query = query.where(_at(register, places))
    if dates is not None:
        query = query.where(in_range(register.c.business_date, dates))
    found: dict[Place, list[RegisteredFile]] = {}
    for row in connection.execute(query).tuples():
        file = RegisteredFile(*row)
        found.setdefault(file.place, []).append(file)
    return found


def places_seen_before(connection: sa.Connection, tables: Tables, files: Iterable[RegisteredFile]) -> frozenset[Place]:
    """The places of `files` of which something was seen before: an earlier content, or this one, and it was refused."""
    arrived = {file.place: file.arrived_at for file in files}
    register = tables["cdp_metadata.landing_file"]
    query = sa.select(register.c.source, register.c.business_date, register.c.arrived_at, register.c.reason)
    rows = connection.execute(query.where(_at(register, arrived))).tuples()
    return frozenset((source, day) for source, day, at, reason in rows if at < arrived[source, day] or reason)


def begin_loading(connection: sa.Connection, tables: Tables, files: Iterable[RegisteredFile], stamp: Stamp) -> None:
    """Note which contents are being loaded, and by which run; not what arrived since."""
    contents = {file.place: file.sha256 for file in files if file.state == State.ARRIVED}
    rows = live_files(connection, tables, contents)
    loading = {
        place: [
            _moved(row, State.ARRIVED, State.LOADING, stamp) if row.sha256 == contents[place] else row for row in of
        ]
        for place, of in rows.items()
    }
    _rewrite(connection, tables, loading)


def end_loading(
    connection: sa.Connection,
    tables: Tables,
    loaded: Mapping[Place, tuple[RegisteredFile, Loaded] | None],
    rejected: Mapping[Place, str],
    stamp: Stamp,
) -> None:
    """Note what each partition now holds (None: nothing, its file is gone) and which contents were refused, and why.

    What arrived since `begin_loading` is left as it is.
    """
    rows = _with_left(connection, tables, live_files(connection, tables, [*loaded, *rejected]), loaded)
    after: dict[Place, list[RegisteredFile]] = {}
    for place, outcome in loaded.items():
        after[place] = [_replaced(row, outcome, stamp) for row in rows.get(place, ())]
    for place, reason in rejected.items():
        *others, newest = rows.get(place, [None])
        if newest is not None and newest.gone_at is None and newest.state != State.ARRIVED:
            state = newest.state if newest.state == State.LOADED else State.REJECTED
            refused = replace(newest, state=state, reason=reason[:2000], **stamp.row)
            after[place] = [*(row for row in others if row is not None), refused]
    _rewrite(connection, tables, after)


def _with_left(
    connection: sa.Connection,
    tables: Tables,
    rows: dict[Place, list[RegisteredFile]],
    loaded: Mapping[Place, tuple[RegisteredFile, Loaded] | None],
) -> dict[Place, list[RegisteredFile]]:
    """The live `rows`, and those of contents that another one or nobody replaced while they were being loaded."""
    contents = {outcome[0].place: outcome[0].sha256 for outcome in loaded.values() if outcome is not None}
    left = [place for place, sha256 in contents.items() if all(row.sha256 != sha256 for row in rows.get(place, ()))]
    if not left:
        return rows
    register = tables["cdp_metadata.landing_file"]
    history = live_files(connection, tables, left, states=(State.SUPERSEDED, State.WITHDRAWN))
    for place in left:
        row = next((row for row in reversed(history.get(place, ())) if row.sha256 == contents[place]), None)
        if row is not None:
            rows[place] = [row, *rows.get(place, ())]
            of_content = sa.and_(register.c.sha256 == row.sha256, register.c.arrived_at == row.arrived_at)
            connection.execute(
                sa.delete(register).where(register.c.state == row.state, _at(register, [place]), of_content)
            )
    return rows


def _live_identities(
    connection: sa.Connection, tables: Tables, places: Mapping[Place, Any] | None
) -> dict[Place, list[_Identity]]:
    """What is known of the live rows, the newest last; few columns, since there are many rows."""
    register = tables["cdp_metadata.landing_file"]
    names = ("source", "business_date", "size_bytes", "version", "manifest_version", "gone_at")
    query = sa.select(*(register.c[name] for name in names)).where(register.c.state.in_(LIVE))
    if places is not None and len(places) < _MOST_PLACES_ASKED_FOR:
        query = query.where(_at(register, places))
    found: dict[Place, list[_Identity]] = {}
    for source, day, *identity, gone_at in connection.execute(query.order_by(register.c.arrived_at)).tuples():
        found.setdefault((source, day), []).append((FileStamp(*identity), gone_at is not None))
    return found


_Identity = tuple[FileStamp, bool]
"""The stamp of a content and whether its file is gone."""
_MOST_PLACES_ASKED_FOR: Final = 1000
"""Of more places the whole register is read, which is cheaper than naming them."""
_MOST_RANGES_NAMED: Final = 20
_MOST_DATES_LISTED: Final = 1000
"""Oracle takes no longer lists."""


def _differs(stamp: FileStamp | None, known: Sequence[_Identity]) -> bool:
    """Whether a file is not what the register last knew."""
    if stamp is None:
        return any(not gone for _, gone in known)
    return not known or known[-1] != (stamp, False)


def _only_manifest_changed(row: RegisteredFile, stamp: FileStamp) -> bool:
    return row.gone_at is None and (row.size_bytes, row.version) == (stamp.size_bytes, stamp.version)


def _promised_anew(row: RegisteredFile, file_stamp: FileStamp, stamp: Stamp) -> RegisteredFile:
    """A content whose manifest changed: if it was refused it may now be right."""
    row = replace(row, manifest_version=file_stamp.manifest)
    return _moved(row, State.REJECTED, State.ARRIVED, stamp)


def _with_content(
    before: Sequence[RegisteredFile], place: Place, content: Content, file_stamp: FileStamp, stamp: Stamp
) -> list[RegisteredFile]:
    """The live rows of a place, and those that leave life now, once `content` lies there."""
    again = next((row for row in before if row.sha256 == content.sha256), None)
    others = [row for row in before if row is not again]
    kept = [
        replace(row, gone_at=None) if row.state == State.LOADED else replace(row, state=State.SUPERSEDED, **stamp.row)
        for row in others
    ]
    if again is None:
        new = RegisteredFile(
            source=place[0],
            business_date=place[1],
            file_name=content.name,
            state=State.ARRIVED,
            arrived_at=stamp.load_ts,
            size_bytes=content.size_bytes,
            sha256=content.sha256,
            version=file_stamp.version,
            manifest_version=file_stamp.manifest,
            deliveries=1,
            delivered_at=stamp.load_ts,
            **stamp.row,
        )
        return [*kept, new]
    again = replace(
        _moved(again, State.REJECTED, State.ARRIVED, stamp),  # delivered again: the sender means it
        version=file_stamp.version,
        manifest_version=file_stamp.manifest,
        deliveries=again.deliveries + 1,
        delivered_at=stamp.load_ts,
        gone_at=None,
    )
    return [*kept, again]


def _gone(row: RegisteredFile, stamp: Stamp) -> RegisteredFile:
    """A file that is no longer there: what was loaded stays until an operator says so, the rest had no effect."""
    if row.state == State.LOADED:
        return replace(row, gone_at=row.gone_at or stamp.load_ts)
    return replace(row, state=State.WITHDRAWN, gone_at=stamp.load_ts, **stamp.row)


def _moved(row: RegisteredFile, before: State, after: State, stamp: Stamp) -> RegisteredFile:
    return replace(row, state=after, **stamp.row) if row.state == before else row


def _replaced(row: RegisteredFile, outcome: tuple[RegisteredFile, Loaded] | None, stamp: Stamp) -> RegisteredFile:
    """A live row after a load of its place."""
    if outcome is None:
        return replace(row, state=State.WITHDRAWN, **stamp.row) if row.state == State.LOADED else row
    file, loaded = outcome
    if row.sha256 == file.sha256:
        return replace(row, state=State.LOADED, reason=None, **asdict(loaded), **stamp.row)
    if row.state == State.LOADED:
        return replace(row, state=State.SUPERSEDED, **stamp.row)
    return row  # a content that arrived while another was being loaded


def _rewrite(connection: sa.Connection, tables: Tables, after: Mapping[Place, Sequence[RegisteredFile]]) -> None:
    """Put rows in the place of the live rows of their places."""
    register = tables["cdp_metadata.landing_file"]
    if after:
        connection.execute(sa.delete(register).where(register.c.state.in_(LIVE), _at(register, after)))
    rows = [asdict(row) for of_place in after.values() for row in of_place]
    if rows:
        connection.execute(sa.insert(register), rows)


def _at(register: sa.Table, places: Iterable[Place]) -> sa.ColumnElement[bool]:
    """True for the rows of `places`."""
    days: dict[str, set[date]] = {}
    for source, day in places:
        days.setdefault(source, set()).add(day)
    conditions = []
    for source, of_source in days.items():
        ranges = ranges_of(of_source)
        if len(ranges) <= _MOST_RANGES_NAMED:
            parts = [register.c.business_date.between(dates.first, dates.last) for dates in ranges]
        else:  # a list of dates is looked up, ranges are tried one by one
            listed = sorted(of_source)
            lists = (listed[n : n + _MOST_DATES_LISTED] for n in range(0, len(listed), _MOST_DATES_LISTED))
            parts = [register.c.business_date.in_(part) for part in lists]
        conditions.append(sa.and_(register.c.source == source, sa.or_(*parts)))
    return sa.or_(sa.false(), *conditions)
