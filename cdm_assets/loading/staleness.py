"""Which loaded partitions a load leaves out of line with what they read.

The vault's loads say as of which dates something changed; behind the vault it follows from what a table reads: the
same date, that and the one before, every earlier date, or nothing. A load marks the partitions of its direct readers in
`stale_partition`, in the transaction in which it changes what they read, and takes the marks off its own. So the marks
outlive a crash, and whatever was loaded, the marks and what follows from them are all that has to be loaded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.interface import interface_reach
from cdm_assets.loading.marts.registry import DATE_BEFORE_TOO, SAME_DATE_ONLY
from cdm_assets.loading.stamp import Stamp, in_range, insert_select, replace_rows
from cdm_assets.warehouse.dates import NEVER, ONE_DAY, DateRange, from_on, ranges_of
from cdm_assets.warehouse.tables import Tables


class Dependencies(Protocol):
    """What reads what; `TableLoads` is one."""

    @property
    def tables(self) -> Tables:
        """All tables."""

    @property
    def in_order(self) -> Sequence[str]:
        """Every table after all that it reads."""

    @property
    def reads(self) -> Mapping[str, frozenset[str]]:
        """What the load of each table reads."""

    @property
    def read_by(self) -> Mapping[str, Sequence[str]]:
        """The tables whose loads read each table."""


def reach(catalog: Catalog, reader: str, upstream: str, changed: Sequence[DateRange]) -> Sequence[DateRange]:
    """The dates of `reader` whose content depends on `upstream` as of the dates `changed`."""
    if not changed:
        return []
    layer, name = reader.split(".")
    match Layer(layer):
        case Layer.VAULT | Layer.PUBLISH:
            return changed
        case Layer.INTERFACE:
            return interface_reach(catalog.interface[name], upstream, changed)
        case _ if upstream in SAME_DATE_ONLY.get(name, ()) or upstream.startswith(f"{Layer.LANDING}."):
            return changed
        case _ if upstream in DATE_BEFORE_TOO.get(name, ()):
            return [DateRange(dates.first, min(dates.last, NEVER - ONE_DAY) + ONE_DAY) for dates in changed]
        case _:
            return [from_on(min(dates.first for dates in changed))]


def mark_readers(
    connection: sa.Connection, loads: Dependencies, key: str, changed: Sequence[DateRange], stamp: Stamp
) -> None:
    """Mark the loaded partitions of the readers of `key` that its changed dates reach."""
    partitions, marks = loads.tables["cdp_metadata.partition_load"], loads.tables["cdp_metadata.stale_partition"]
    reached = []
    for reader in loads.read_by[key]:
        dates = reach(loads.tables.catalog, reader, key, changed)
        if dates:
            of_dates = sa.or_(*(in_range(partitions.c.business_date, part) for part in dates))
            reached.append(sa.and_(partitions.c.table_key == reader, of_dates))
    if not reached:
        return
    marked = sa.exists().where(
        marks.c.table_key == partitions.c.table_key, marks.c.business_date == partitions.c.business_date
    )
    reason = sa.literal(f"{key} changed", sa.String(400)).label("reason")
    found = sa.select(partitions.c.table_key, partitions.c.business_date, reason)
    connection.execute(insert_select(marks, found.where(sa.or_(*reached), sa.not_(marked)), stamp))


def mark(connection: sa.Connection, tables: Tables, key: str, days: Iterable[date], reason: str, stamp: Stamp) -> None:
    """Mark partitions of `key` that are to be loaded again for another reason than a load upstream."""
    marks = tables["cdp_metadata.stale_partition"]
    for day in days:
        row = {"table_key": key, "business_date": day, "reason": reason, **stamp.row}
        replace_rows(connection, marks, sa.and_(marks.c.table_key == key, marks.c.business_date == day), [row])


def unmark(connection: sa.Connection, tables: Tables, key: str, dates: DateRange) -> None:
    """Take the marks off partitions that are being loaded."""
    marks = tables["cdp_metadata.stale_partition"]
    connection.execute(sa.delete(marks).where(marks.c.table_key == key, in_range(marks.c.business_date, dates)))


def marked_partitions(connection: sa.Connection, tables: Tables, key: str) -> frozenset[date]:
    """The marked partitions of one table: all that are stale once what it reads has been loaded."""
    marks = tables["cdp_metadata.stale_partition"]
    return frozenset(connection.execute(sa.select(marks.c.business_date).where(marks.c.table_key == key)).scalars())


def stale_partitions(connection: sa.Connection, loads: Dependencies) -> dict[str, frozenset[date]]:
    """The loaded partitions to load again, by table in order: those marked, and all that follow from them.

    What follows from a vault table is known when it has been loaded; until then it is not among these.
    """
    marks = loads.tables["cdp_metadata.stale_partition"]
    marked: dict[str, set[date]] = {}
    for key, day in connection.execute(sa.select(marks.c.table_key, marks.c.business_date)).tuples():
        marked.setdefault(key, set()).add(day)
    if not marked:
        return {}
    loaded = _loaded_partitions(connection, loads.tables)
    stale: dict[str, frozenset[date]] = {}
    for key in loads.in_order:
        days = marked.get(key, set())
        for upstream in loads.reads[key]:
            if upstream in stale and not upstream.startswith(f"{Layer.VAULT}."):
                reached = reach(loads.tables.catalog, key, upstream, ranges_of(stale[upstream]))
                days |= {day for day in loaded.get(key, ()) if any(day in dates for dates in reached)}
        if days:
            stale[key] = frozenset(days)
    return stale


def _loaded_partitions(connection: sa.Connection, tables: Tables) -> dict[str, list[date]]:
    partitions = tables["cdp_metadata.partition_load"]
    query: sa.Select[Any] = sa.select(partitions.c.table_key, partitions.c.business_date)
    loaded: dict[str, list[date]] = {}
    for key, day in connection.execute(query).tuples():
        loaded.setdefault(key, []).append(day)
    return loaded
