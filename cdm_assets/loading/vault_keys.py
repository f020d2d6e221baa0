"""Hubs, links and events: a key and the first business date on which any of its sources sent it.

One load serves all three. A hub row is a business key, a link row a relation that persists, an event (non-historized
link) row a thing that happened, with its columns as first received; the same event sent twice counts once.

Reloading [a, b] recomputes the first date for the keys first seen in the range and for those that appear in it now.
What was first seen before a stays; what appears in the range leaves its later place; what the range lost moves to the
next date any source sends it, or leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Catalog, Source
from cdm_assets.catalog.types import TypeKind
from cdm_assets.loading.stamp import Stamp, delete_range, in_range, insert_select
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.functions import canonical_text, date_of, hashed
from cdm_assets.warehouse.tables import Tables

DateFilter = Callable[[ColumnElement[Any]], ColumnElement[bool]]
"""A condition on a business date."""


@dataclass(frozen=True)
class KeyTable:
    """A hub, link or event: its table, its hash key, and the select that gives what sources send of it."""

    table: str
    hash_key: str
    sources: tuple[str, ...]
    observations: Callable[[Tables, DateFilter], sa.Select[Any]]
    """One row a key: the first date that meets the filter, columns named as the table's."""


def key_text(column: ColumnElement[Any], kind: TypeKind) -> ColumnElement[Any]:
    """The canonical text of one part of a business key: trimmed and in upper case."""
    text = canonical_text(column, kind)
    return sa.func.upper(text) if kind is TypeKind.STRING else text


def hub_hash(catalog: Catalog, source: Source, hub: str, table: sa.FromClause) -> ColumnElement[Any]:
    """The hash key of `hub` computed from a source's columns in `table`."""
    return hashed(_key_texts(source, source.feeds.hubs[hub], table), catalog.vault.hash)


def parent_hash(catalog: Catalog, source: Source, parent: str, table: sa.FromClause) -> ColumnElement[Any]:
    """The hash key of a hub, link or event computed from a source's columns in `table`."""
    return hashed(_key_texts(source, catalog.parent_columns(source, parent), table), catalog.vault.hash)


def _key_texts(source: Source, columns: Sequence[str], table: sa.FromClause) -> list[ColumnElement[Any]]:
    return [key_text(table.c[name], source.columns_by_name[name].type.kind) for name in columns]


def hub_table(catalog: Catalog, hub: str) -> KeyTable:
    """How hub `hub` is filled."""
    names = [column.name for column in catalog.vault.hubs[hub].key]
    sources = catalog.sources_of_hub(hub)

    def observations(tables: Tables, wanted: DateFilter) -> sa.Select[Any]:
        def keys(source: Source, table: sa.Table) -> list[ColumnElement[Any]]:
            texts = _key_texts(source, source.feeds.hubs[hub], table)
            return [text.label(name) for name, text in zip(names, texts, strict=True)]

        first = _first_dates(tables, sources, keys, wanted)
        hash_key = hashed([first.c[name] for name in names], catalog.vault.hash)
        return sa.select(hash_key.label(f"{hub}_hk"), *(first.c[n] for n in (*names, "business_date", "rec_src")))

    return KeyTable(f"rdv.h_{hub}", f"{hub}_hk", tuple(s.source for s in sources), observations)


def link_table(catalog: Catalog, link: str) -> KeyTable:
    """How the persisting link `link` is filled."""
    hubs = catalog.vault.links[link].hubs
    sources = catalog.sources_of_link(link)
    parts = [(hub, position) for hub in hubs for position in range(len(catalog.vault.hubs[hub].key))]

    def observations(tables: Tables, wanted: DateFilter) -> sa.Select[Any]:
        def keys(source: Source, table: sa.Table) -> list[ColumnElement[Any]]:
            return [
                _key_texts(source, source.feeds.hubs[hub], table)[position].label(f"{hub}_{position}")
                for hub, position in parts
            ]

        first = _first_dates(tables, sources, keys, wanted)
        contract = catalog.vault.hash
        all_texts = [first.c[f"{hub}_{position}"] for hub, position in parts]
        hub_keys = [
            hashed([first.c[f"{h}_{p}"] for h, p in parts if h == hub], contract).label(f"{hub}_hk") for hub in hubs
        ]
        return sa.select(hashed(all_texts, contract).label(f"{link}_hk"), *hub_keys, first.c.business_date, first.c.rec_src)

    return KeyTable(f"rdv.l_{link}", f"{link}_hk", tuple(s.source for s in sources), observations)


def event_table(catalog: Catalog, event: str) -> KeyTable:
    """How the non-historized link `event` is filled: the columns of an event are those of its first record."""
    source = catalog.source_of_event(event)
    hubs = catalog.vault.events[event].hubs
    attributes = catalog.event_attributes(event)

    def observations(tables: Tables, wanted: DateFilter) -> sa.Select[Any]:
        landing = tables[f"ldz.{source.table}"]
        texts = _key_texts(source, source.key, landing)
        nth = sa.func.row_number().over(partition_by=texts, order_by=[landing.c.business_date, landing.c.source_row])
        rows = sa.select(*landing.c, nth.label("nth")).where(wanted(landing.c.business_date)).subquery("sent")
        when = landing.c.business_date
        if source.event_time is not None:
            is_date = source.columns_by_name[source.event_time].type.kind is TypeKind.DATE
            when = rows.c[source.event_time] if is_date else date_of(rows.c[source.event_time])
        else:
            when = rows.c.business_date
        return sa.select(
            parent_hash(catalog, source, event, rows).label(f"{event}_hk"),
            *(hub_hash(catalog, source, hub, rows).label(f"{hub}_hk") for hub in hubs),
            when.label("event_date"),
            *(rows.c[name] for name in attributes),
            rows.c.business_date,
            sa.literal(source.source, sa.String(60)).label("rec_src"),
        ).where(rows.c.nth == 1)

    return KeyTable(f"rdv.l_{event}", f"{event}_hk", (source.source,), observations)


def _first_dates(
    tables: Tables,
    sources: Sequence[Source],
    keys: Callable[[Source, sa.Table], list[ColumnElement[Any]]],
    wanted: DateFilter,
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
        per_source.append(grouped.where(wanted(landing.c.business_date)).group_by(*(c.element for c in columns)))
    if len(per_source) == 1:
        return per_source[0].subquery("first_dates")
    sent = sa.union_all(*per_source).subquery("sent")
    names = [column.name for column in sent.c if column.name not in ("business_date", "rec_src")]
    nth = sa.func.row_number().over(
        partition_by=[sent.c[name] for name in names], order_by=[sent.c.business_date, sent.c.rec_src]
    )
    ranked = sa.select(*sent.c, nth.label("nth")).subquery("ranked")
    return sa.select(*(c for c in ranked.c if c.name != "nth")).where(ranked.c.nth == 1).subquery("first_dates")


def load_keys(warehouse: Warehouse, key_table: KeyTable, dates: DateRange, stamp: Stamp) -> None:
    """Bring a hub, link or event up to date for `dates`. Idempotent, one transaction.

    A day loaded on time takes two statements; only where later partitions exist are their keys looked at.
    """
    with warehouse.transaction() as connection:
        for statement in key_statements(connection, warehouse.tables, key_table, dates, stamp):
            connection.execute(statement)


def key_statements(
    connection: sa.Connection, tables: Tables, key_table: KeyTable, dates: DateRange, stamp: Stamp
) -> Sequence[sa.Delete | sa.Insert]:
    """The statements of `load_keys`, in order."""
    if not later_partitions_exist(connection, tables, key_table.sources, dates):
        return on_time_statements(tables, key_table, dates, stamp)
    return late_statements(tables, key_table, dates, stamp)


def on_time_statements(
    tables: Tables, key_table: KeyTable, dates: DateRange, stamp: Stamp
) -> list[sa.Delete | sa.Insert]:
    """Replace the range: remove it, insert the keys it sends that were not known before."""
    table = tables[key_table.table]
    sent = key_table.observations(tables, lambda day: in_range(day, dates)).subquery("observed")
    known = table.alias("known")
    known_before = sa.exists().where(known.c[key_table.hash_key] == sent.c[key_table.hash_key], known.c.business_date < dates.first)
    return [
        delete_range(table, dates),
        insert_select(table, sa.select(*sent.c).where(sa.not_(known_before)), stamp),
    ]


def late_statements(
    tables: Tables, key_table: KeyTable, dates: DateRange, stamp: Stamp
) -> list[sa.Delete | sa.Insert]:
    """`on_time_statements`, and before them the repair of later dates."""
    table, hash_key = tables[key_table.table], key_table.hash_key
    in_dates = key_table.observations(tables, lambda day: in_range(day, dates)).subquery("observed")
    sent = sa.select(in_dates.c[hash_key])
    now_earlier = sa.delete(table).where(table.c.business_date > dates.last, table.c[hash_key].in_(sent))
    old = table.alias("old")
    lost = sa.select(old.c[hash_key]).where(in_range(old.c.business_date, dates), old.c[hash_key].not_in(sent))
    later = key_table.observations(tables, lambda day: day > dates.last).subquery("later")
    moved = insert_select(table, sa.select(*later.c).where(later.c[hash_key].in_(lost)), stamp)
    return [now_earlier, moved, *on_time_statements(tables, key_table, dates, stamp)]


def later_partitions_exist(
    connection: sa.Connection, tables: Tables, sources: Sequence[str], dates: DateRange
) -> bool:
    """Whether any of `sources` has a landing partition after `dates`."""
    register = tables["cdp_metadata.landing_file"]
    query = sa.select(sa.literal(1)).where(
        register.c.source.in_(sources), register.c.state == "loaded", register.c.business_date > dates.last
    )
    return connection.execute(query.limit(1)).first() is not None
