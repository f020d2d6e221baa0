"""Hubs, links and events: a key and the first business date on which any of its sources sent it.

One load serves all three. A hub row is a business key, a link row a relation that persists, an event (non-historized
link) row a thing that happened, with its columns as first received; the same event sent twice counts once.

Reloading [a, b] recomputes the first date for the keys first seen in the range and for those that appear in it now.
What was first seen before a stays; what appears in the range leaves its later place; what the range lost moves to the
next date any source sends it, or leaves. Where the range or a later one was loaded before, new rows are inserted before
old ones are removed: both are there to tell what was lost and what changed, and the range is hashed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Catalog, Source
from cdm_assets.catalog.types import ColumnType, TypeKind
from cdm_assets.loading.landing_register import State
from cdm_assets.loading.stamp import Stamp, delete_range, in_range, insert_select
from cdm_assets.warehouse.dates import DateRange, from_on, ranges_of
from cdm_assets.warehouse.functions import canonical_text, date_of, hashed
from cdm_assets.warehouse.tables import AUDIT_COLUMNS, Tables, sql_type

DateFilter = Callable[[ColumnElement[Any]], ColumnElement[bool]]
"""A condition on a business date."""


class Observations(Protocol):
    """The select that gives what sources send of a hub, link or event."""

    def __call__(self, tables: Tables, wanted: DateFilter, among: sa.FromClause | None = None) -> sa.Select[Any]:
        """One row a key: the first date that is `wanted`, columns named as the table's.

        `among` (rows of the table) restricts it to their keys.
        """


@dataclass(frozen=True)
class KeyTable:
    """A hub, link or event: its table, its hash key, and the select that gives what sources send of it."""

    table: str
    hash_key: str
    sources: tuple[str, ...]
    observations: Observations
    is_event: bool = False


def key_text(column: ColumnElement[Any], kind: TypeKind) -> ColumnElement[Any]:
    """The canonical text of one part of a business key: trimmed and in upper case."""
    text = canonical_text(column, kind)
    return sa.func.upper(text) if kind is TypeKind.STRING else text


def hub_hash(catalog: Catalog, source: Source, hub: str, table: sa.FromClause) -> ColumnElement[Any]:
    """The hash key of `hub` computed from a source's columns in `table`."""
    return hashed(_key_texts(source, source.feeds.hubs[hub], table), catalog.vault.hash)


def parent_hash(catalog: Catalog, source: Source, parent: str, table: sa.FromClause) -> ColumnElement[Any]:
    """The hash key of a hub, link or event computed from a source's columns in `table`."""
    return hashed(parent_texts(catalog, source, parent, table), catalog.vault.hash)


def parent_texts(catalog: Catalog, source: Source, parent: str, table: sa.FromClause) -> list[ColumnElement[Any]]:
    """The texts that `parent_hash` hashes; equal for equal keys, and cheaper to compare within one source."""
    return _key_texts(source, catalog.parent_columns(source, parent), table)


def _key_texts(source: Source, columns: Sequence[str], table: sa.FromClause) -> list[ColumnElement[Any]]:
    return [key_text(table.c[name], source.columns_by_name[name].type.kind) for name in columns]


def hub_table(catalog: Catalog, hub: str) -> KeyTable:
    """How hub `hub` is filled."""
    parts = catalog.vault.hubs[hub].key
    names = [column.name for column in parts]
    sources = catalog.sources_of_hub(hub)

    def observations(tables: Tables, wanted: DateFilter, among: sa.FromClause | None = None) -> sa.Select[Any]:
        def keys(source: Source, table: sa.Table) -> list[ColumnElement[Any]]:
            texts = _key_texts(source, source.feeds.hubs[hub], table)
            return [text.label(name) for name, text in zip(names, texts, strict=True)]

        def is_among(source: Source, table: sa.Table) -> ColumnElement[bool]:
            """Compared as texts: other rows need no hash."""
            assert among is not None  # noqa: S101 - only called where it is given
            texts = _key_texts(source, source.feeds.hubs[hub], table)
            same = [key_text(among.c[c.name], c.type.kind) == text for c, text in zip(parts, texts, strict=True)]
            return sa.exists(sa.select(sa.literal_column("1")).select_from(among).where(*same).correlate_except(among))

        first = _first_dates(tables, sources, keys, wanted, is_among if among is not None else None)
        hash_key = hashed([first.c[name] for name in names], catalog.vault.hash)
        values = [_typed(first.c[c.name], c.type).label(c.name) for c in parts]
        return sa.select(hash_key.label(f"{hub}_hk"), *values, first.c.business_date, first.c.rec_src)

    return KeyTable(f"rdv.h_{hub}", f"{hub}_hk", tuple(s.source for s in sources), observations)


def _typed(text: ColumnElement[Any], column_type: ColumnType) -> ColumnElement[Any]:
    """A canonical text as the value it stands for."""
    return text if column_type.kind is TypeKind.STRING else sa.cast(text, sql_type(column_type))


def link_table(catalog: Catalog, link: str) -> KeyTable:
    """How the persisting link `link` is filled."""
    hubs = catalog.vault.links[link].hubs
    sources = catalog.sources_of_link(link)
    parts = [(hub, position) for hub in hubs for position in range(len(catalog.vault.hubs[hub].key))]

    def observations(tables: Tables, wanted: DateFilter, among: sa.FromClause | None = None) -> sa.Select[Any]:
        def keys(source: Source, table: sa.Table) -> list[ColumnElement[Any]]:
            return [
                _key_texts(source, source.feeds.hubs[hub], table)[position].label(f"{hub}_{position}")
                for hub, position in parts
            ]

        first = _first_dates(tables, sources, keys, wanted)
        contract = catalog.vault.hash
        hash_key = hashed([first.c[f"{hub}_{position}"] for hub, position in parts], contract)
        hub_keys = [
            hashed([first.c[f"{h}_{p}"] for h, p in parts if h == hub], contract).label(f"{hub}_hk") for hub in hubs
        ]
        sent = sa.select(hash_key.label(f"{link}_hk"), *hub_keys, first.c.business_date, first.c.rec_src)
        return sent if among is None else sent.where(hash_key.in_(sa.select(among.c[f"{link}_hk"])))

    return KeyTable(f"rdv.l_{link}", f"{link}_hk", tuple(s.source for s in sources), observations)


def event_table(catalog: Catalog, event: str) -> KeyTable:
    """How the non-historized link `event` is filled: the columns of an event are those of its first record."""
    source = catalog.source_of_event(event)
    hubs = catalog.vault.events[event].hubs
    attributes = catalog.event_attributes(event)

    def observations(tables: Tables, wanted: DateFilter, among: sa.FromClause | None = None) -> sa.Select[Any]:
        rows = tables[f"ldz.{source.table}"]
        condition = wanted(rows.c.business_date)
        if among is not None:
            condition &= parent_hash(catalog, source, event, rows).in_(sa.select(among.c[f"{event}_hk"]))
        repeats = _repeats(source, rows.alias("again"), wanted)
        if source.event_time is None:
            when: ColumnElement[Any] = rows.c.business_date
        else:
            is_date = source.columns_by_name[source.event_time].type.kind is TypeKind.DATE
            when = rows.c[source.event_time] if is_date else date_of(rows.c[source.event_time])
        return sa.select(
            parent_hash(catalog, source, event, rows).label(f"{event}_hk"),
            *(hub_hash(catalog, source, hub, rows).label(f"{hub}_hk") for hub in hubs),
            when.label("event_date"),
            *(rows.c[name] for name in attributes),
            rows.c.business_date,
            sa.literal(source.source, sa.String(60)).label("rec_src"),
        ).where(
            condition,
            ~sa.exists().where(
                repeats.c.business_date == rows.c.business_date, repeats.c.source_row == rows.c.source_row
            ),
        )

    return KeyTable(f"rdv.l_{event}", f"{event}_hk", (source.source,), observations, is_event=True)


def _repeats(source: Source, landing: sa.FromClause, wanted: DateFilter) -> sa.Subquery:
    """The records, by date and number in the file, that repeat the key of an earlier one; hardly any.

    Found apart, because ordering records with all their columns costs more than the rest of a load.
    """
    nth = sa.func.row_number().over(
        partition_by=_key_texts(source, source.key, landing), order_by=[landing.c.business_date, landing.c.source_row]
    )
    ranked = sa.select(landing.c.business_date, landing.c.source_row, nth.label("nth"))
    records = ranked.where(wanted(landing.c.business_date)).subquery("records")
    return sa.select(records.c.business_date, records.c.source_row).where(records.c.nth > 1).subquery("repeats")


def _first_dates(
    tables: Tables,
    sources: Sequence[Source],
    keys: Callable[[Source, sa.Table], list[ColumnElement[Any]]],
    wanted: DateFilter,
    is_among: Callable[[Source, sa.Table], ColumnElement[bool]] | None = None,
) -> sa.Subquery:
    """Each key with its first date and source (the first by name where several sent it on that date).

    Grouped before it is hashed: a key repeats on most rows of most files.
    """
    per_source = []
    for source in sources:
        landing = tables[f"ldz.{source.table}"]
        columns = keys(source, landing)
        first = sa.func.min(landing.c.business_date).label("business_date")
        grouped = sa.select(*columns, first, sa.literal(source.source, sa.String(60)).label("rec_src"))
        grouped = grouped.where(wanted(landing.c.business_date)).group_by(*(c.element for c in columns))
        per_source.append(grouped if is_among is None else grouped.where(is_among(source, landing)))
    if len(per_source) == 1:
        return per_source[0].subquery("first_dates")
    sent = sa.union_all(*per_source).subquery("sent")
    names = [column.name for column in sent.c if column.name not in ("business_date", "rec_src")]
    nth = sa.func.row_number().over(
        partition_by=[sent.c[name] for name in names], order_by=[sent.c.business_date, sent.c.rec_src]
    )
    ranked = sa.select(*sent.c, nth.label("nth")).subquery("ranked")
    return sa.select(*(c for c in ranked.c if c.name != "nth")).where(ranked.c.nth == 1).subquery("first_dates")


def load_keys(
    connection: sa.Connection, tables: Tables, key_table: KeyTable, dates: DateRange, stamp: Stamp
) -> list[DateRange]:
    """Bring a hub, link or event up to date for `dates`. Idempotent; the transaction is the caller's.

    Returns the dates on which who reads the table finds something else: as-of dates of a hub or link, event dates of an
    event. A day loaded on time takes two statements, and what it returns is not narrowed down to what really changed.
    Only where the range or a later one was loaded before is it asked which keys the range lost, and only where it lost
    some are later landing rows read.
    """
    if is_first_load(connection, tables, key_table.table, key_table.sources, dates):
        for statement in on_time_statements(tables, key_table, dates, stamp):
            connection.execute(statement)
        if not key_table.is_event:
            return [from_on(dates.first)]
        table = tables[key_table.table]
        event_dates = sa.select(table.c.event_date).where(in_range(table.c.business_date, dates)).distinct()
        return ranges_of(connection.execute(event_dates).scalars())
    late = LateKeys(tables, key_table, dates, stamp)
    connection.execute(late.insert_range)
    if connection.execute(late.any_lost).first() is not None:
        connection.execute(late.move_lost)
    changed = [day for day in connection.execute(late.changed).scalars() if day is not None]
    connection.execute(late.remove_later)
    connection.execute(late.remove_old)
    return ranges_of(changed) if key_table.is_event else [from_on(day) for day in changed]


def on_time_statements(
    tables: Tables, key_table: KeyTable, dates: DateRange, stamp: Stamp
) -> tuple[sa.Delete, sa.Insert]:
    """Replace the range: remove it, insert the keys it sends that were not known before."""
    return delete_range(tables[key_table.table], dates), _new_keys(tables, key_table, dates, stamp)


def _new_keys(tables: Tables, key_table: KeyTable, dates: DateRange, stamp: Stamp) -> sa.Insert:
    table, hash_key = tables[key_table.table], key_table.hash_key
    sent = key_table.observations(tables, lambda day: in_range(day, dates)).subquery("observed")
    known = table.alias("known")
    known_before = sa.exists().where(known.c[hash_key] == sent.c[hash_key], known.c.business_date < dates.first)
    return insert_select(table, sa.select(*sent.c).where(sa.not_(known_before)), stamp)


class LateKeys:
    """The statements of a load of what was loaded before, or before what was; to be run in this order."""

    def __init__(self, tables: Tables, key_table: KeyTable, dates: DateRange, stamp: Stamp) -> None:
        table, hash_key = tables[key_table.table], key_table.hash_key
        old, new = table.alias("old"), table.alias("new")
        inserted = sa.select(new.c[hash_key]).where(in_range(new.c.business_date, dates), stamp.put_on(new))
        lost = sa.select(*old.c).where(
            in_range(old.c.business_date, dates), sa.not_(stamp.put_on(old)), old.c[hash_key].not_in(inserted)
        )
        later = key_table.observations(tables, lambda day: day > dates.last, lost.subquery("lost"))
        is_moved = sa.and_(table.c.business_date > dates.last, table.c[hash_key].in_(inserted))
        is_old = sa.and_(in_range(table.c.business_date, dates), sa.not_(stamp.put_on(table)))

        self.insert_range = _new_keys(tables, key_table, dates, stamp)
        self.any_lost = lost.with_only_columns(old.c[hash_key]).limit(1)
        self.move_lost = insert_select(table, later, stamp)
        self.changed = _changed(key_table, table, sa.or_(stamp.put_on(table), is_old, is_moved))
        self.remove_later = sa.delete(table).where(is_moved)
        self.remove_old = sa.delete(table).where(is_old)

    def __iter__(self) -> Iterator[sa.Executable]:
        return iter(
            (self.insert_range, self.any_lost, self.move_lost, self.changed, self.remove_later, self.remove_old)
        )


def _changed(key_table: KeyTable, table: sa.Table, is_old_or_new: ColumnElement[bool]) -> sa.Select[Any]:
    """Of the rows that come and those that go: the dates of events without a twin; the first date of a moved key."""
    if key_table.is_event:
        content = [column for column in table.c if column.name not in AUDIT_COLUMNS]
        single = sa.select(table.c.event_date).where(is_old_or_new).group_by(*content).having(sa.func.count() == 1)
        return sa.select(single.subquery("single").c.event_date).distinct()
    day = table.c.business_date
    is_another = sa.or_(sa.func.count() == 1, sa.func.min(day) != sa.func.max(day))
    moved = sa.select(sa.func.min(day).label("first_date")).where(is_old_or_new)
    keys = moved.group_by(table.c[key_table.hash_key]).having(is_another).subquery("moved")
    return sa.select(sa.func.min(keys.c.first_date))


_ONCE_LOADED: Final = (State.LOADED, State.SUPERSEDED, State.WITHDRAWN)


def is_first_load(
    connection: sa.Connection, tables: Tables, key: str, sources: Sequence[str], dates: DateRange
) -> bool:
    """Whether neither a date of the range was loaded into table `key` before, nor a later date of its `sources`.

    A later date whose file was withdrawn counts: until it is reloaded here, its keys are still in the table.
    """
    register, loads = tables["cdp_metadata.landing_file"], tables["cdp_metadata.partition_load"]
    later: sa.Select[Any] = sa.select(register.c.business_date).where(
        register.c.source.in_(sources), register.c.state.in_(_ONCE_LOADED), register.c.business_date > dates.last
    )
    before = sa.select(loads.c.business_date).where(loads.c.table_key == key, in_range(loads.c.business_date, dates))
    return connection.execute(sa.union_all(later, before)).first() is None
