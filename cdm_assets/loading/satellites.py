"""Satellites: per key, the run-length-compressed sequence of what its source said, with an end row where a snapshot
stops listing the key.

Reloading [a, b] walks the observations of the range seeded with the state before a, and inserts a row where the hashdiff
changes. Only if later partitions exist, and only for keys with rows in the range, the next observation after b is decided
again. New rows are inserted before old ones are removed, so that both are there to tell which keys were touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Catalog, Source
from cdm_assets.catalog.types import Delivery
from cdm_assets.loading.stamp import Stamp, in_range, insert_select
from cdm_assets.loading.vault_keys import DateFilter, later_partitions_exist, parent_hash
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.functions import canonical_text, hashed
from cdm_assets.warehouse.tables import Tables

NOT_LISTED: Final = "not listed"
"""The hashdiff of an end row; no hash looks like it."""


class Satellite:
    """The statements that keep one satellite, given its tables."""

    def __init__(self, catalog: Catalog, tables: Tables, name: str) -> None:
        self.catalog, self.tables = catalog, tables
        self.source, feed = catalog.satellites[name]
        self.parent = feed.parent
        self.table = tables[f"rdv.s_{name}"]
        self.hash_key = f"{self.parent}_hk"
        self.attributes = catalog.satellite_attributes(name)
        self.is_snapshot = self.source.delivery is Delivery.SNAPSHOT

    def statements(self, dates: DateRange, stamp: Stamp, *, late: bool) -> list[sa.Delete | sa.Insert]:
        """The load of `dates`, in order; with the repair of the next observation where `late`."""
        old_in_range = sa.and_(in_range(self.table.c.business_date, dates), sa.not_(stamp.put_on(self.table)))
        repair = self._repair(dates, stamp) if late else []
        return [self._changes_in(dates, stamp), *repair, sa.delete(self.table).where(old_in_range)]

    def observations(self, wanted: DateFilter, name: str = "observed") -> sa.Subquery:
        """What the source said: one row a key and date, the last record where a file repeats a key."""
        landing = self.tables[f"ldz.{self.source.table}"]
        key_columns = [landing.c[c] for c in self.catalog.parent_columns(self.source, self.parent)]
        nth = sa.func.row_number().over(
            partition_by=[*key_columns, landing.c.business_date], order_by=landing.c.source_row.desc()
        )
        rows = sa.select(*landing.c, nth.label("nth")).where(wanted(landing.c.business_date)).subquery("sent")
        return (
            sa.select(
                parent_hash(self.catalog, self.source, self.parent, rows).label(self.hash_key),
                rows.c.business_date,
                sa.literal(value=True).label("is_listed"),
                self._hashdiff(rows).label("hashdiff"),
                *(rows.c[name] for name in self.attributes),
            )
            .where(rows.c.nth == 1)
            .subquery(name)
        )

    def _hashdiff(self, rows: sa.Subquery) -> ColumnElement[Any]:
        texts = []
        for name in self.attributes:
            column_type = self.source.columns_by_name[name].type
            texts.append(canonical_text(rows.c[name], column_type.kind, column_type.scale or 0))
        return hashed(texts or [sa.literal("")], self.catalog.vault.hash)

    def _state_at(self, rows: sa.FromClause, condition: ColumnElement[bool], name: str) -> sa.Subquery:
        """The last row of each key among the satellite's rows that meet `condition`."""
        nth = sa.func.row_number().over(partition_by=rows.c[self.hash_key], order_by=rows.c.business_date.desc())
        ranked = sa.select(*rows.c, nth.label("nth")).where(condition).subquery(f"{name}_ranked")
        return sa.select(*(c for c in ranked.c if c.name != "nth")).where(ranked.c.nth == 1).subquery(name)

    def _changes_in(self, dates: DateRange, stamp: Stamp) -> sa.Insert:
        """Insert a row for each observation of the range that differs from the one before it."""
        observed = self.observations(lambda day: in_range(day, dates))
        before = self.table.alias("before")
        is_earlier = before.c.business_date < dates.first
        if not self.is_snapshot:
            touched = sa.select(self.observations(lambda day: in_range(day, dates), "touched").c[self.hash_key])
            is_earlier = sa.and_(is_earlier, before.c[self.hash_key].in_(touched))
        seed = self._state_at(before, is_earlier, "seed")
        parts = [sa.select(*(observed.c[n] for n in self._columns)), sa.select(*(seed.c[n] for n in self._columns))]
        if self.is_snapshot:
            parts.append(self._ends_in(dates, seed))
        sequence = sa.union_all(*parts).subquery("sequence")
        previous = sa.func.lag(sequence.c.hashdiff).over(
            partition_by=sequence.c[self.hash_key], order_by=sequence.c.business_date
        )
        walked = sa.select(*sequence.c, previous.label("previous")).subquery("walked")
        changed = sa.or_(walked.c.previous.is_(None), walked.c.previous != walked.c.hashdiff)
        return self._insert(walked, sa.and_(walked.c.business_date >= dates.first, changed), stamp)

    @property
    def _columns(self) -> Sequence[str]:
        return (self.hash_key, "business_date", "is_listed", "hashdiff", *self.attributes)

    def _insert(self, rows: sa.FromClause, condition: ColumnElement[bool], stamp: Stamp) -> sa.Insert:
        rec_src = sa.literal(self.source.source, sa.String(60)).label("rec_src")
        return insert_select(self.table, sa.select(*(rows.c[n] for n in self._columns), rec_src).where(condition), stamp)

    def _end_row(self, hash_key: ColumnElement[Any], day: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        return [
            hash_key.label(self.hash_key),
            day.label("business_date"),
            sa.literal(value=False).label("is_listed"),
            sa.literal(NOT_LISTED, sa.String(self.catalog.vault.hash.length)).label("hashdiff"),
            *(sa.cast(sa.null(), self.table.c[name].type).label(name) for name in self.attributes),
        ]

    def _partitions(self, wanted: DateFilter) -> sa.Select[Any]:
        """The dates for which a file of the source is loaded."""
        register = self.tables["cdp_metadata.landing_file"]
        return sa.select(register.c.business_date).where(
            register.c.source == self.source.source, register.c.state == "loaded", wanted(register.c.business_date)
        )

    def _ends_in(self, dates: DateRange, seed: sa.Subquery) -> sa.Select[Any]:
        """An end row where a key that was listed is not listed in the next partition of the range."""
        days = self._partitions(lambda day: in_range(day, dates)).subquery("days")
        following = sa.func.lead(days.c.business_date).over(order_by=days.c.business_date)
        partitions = sa.select(days.c.business_date, following.label("next_partition")).subquery("partitions")
        observed = self.observations(lambda day: in_range(day, dates), "listed")
        first_partition = self._partitions(lambda day: in_range(day, dates)).subquery("range_days")
        first_day = sa.select(sa.func.min(first_partition.c.business_date)).scalar_subquery()
        listings = sa.union_all(
            sa.select(observed.c[self.hash_key], observed.c.business_date, partitions.c.next_partition).join_from(
                observed, partitions, partitions.c.business_date == observed.c.business_date
            ),
            sa.select(seed.c[self.hash_key], seed.c.business_date, first_day).where(seed.c.is_listed == sa.true()),
        ).subquery("listings")
        next_listing = sa.func.lead(listings.c.business_date).over(
            partition_by=listings.c[self.hash_key], order_by=listings.c.business_date
        )
        walked = sa.select(*listings.c, next_listing.label("next_listing")).subquery("followed")
        gone = sa.or_(walked.c.next_listing.is_(None), walked.c.next_listing > walked.c.next_partition)
        end_row = self._end_row(walked.c[self.hash_key], walked.c.next_partition)
        return sa.select(*end_row).where(walked.c.next_partition.is_not(None), gone)

    def _repair(self, dates: DateRange, stamp: Stamp) -> list[sa.Delete | sa.Insert]:
        """Decide the next observation after the range again for the keys that have rows in it, old or new."""
        inside = self.table.alias("inside")
        touched = sa.select(inside.c[self.hash_key]).where(in_range(inside.c.business_date, dates)).distinct()
        following = self._next_observations(dates, touched)
        rows = self.table.alias("until_now")
        is_state = sa.and_(
            rows.c.business_date <= dates.last,
            sa.or_(rows.c.business_date < dates.first, rows.c.run_id == stamp.run_id),
            sa.or_(rows.c.business_date < dates.first, rows.c.load_ts == stamp.load_ts),
            rows.c[self.hash_key].in_(touched),
        )
        state = self._state_at(rows, is_state, "state")
        compared = (
            sa.select(*following.c, state.c.hashdiff.label("previous"))
            .join_from(following, state, state.c[self.hash_key] == following.c[self.hash_key], isouter=True)
            .subquery("compared")
        )
        starts = sa.and_(compared.c.previous.is_(None), compared.c.is_listed == sa.true())
        changes = sa.and_(compared.c.previous.is_not(None), compared.c.previous != compared.c.hashdiff)
        superseded = sa.exists().where(
            following.c[self.hash_key] == self.table.c[self.hash_key],
            following.c.business_date == self.table.c.business_date,
        )
        return [
            self._insert(compared, sa.or_(starts, changes), stamp),
            sa.delete(self.table).where(
                self.table.c.business_date > dates.last, sa.not_(stamp.put_on(self.table)), superseded
            ),
        ]

    def _next_observations(self, dates: DateRange, touched: sa.Select[Any]) -> sa.Subquery:
        """For each touched key the first observation after the range; for a snapshot also that it is not listed."""
        if not self.is_snapshot:
            later = self.observations(lambda day: day > dates.last, "later")
            nth = sa.func.row_number().over(partition_by=later.c[self.hash_key], order_by=later.c.business_date)
            ranked = sa.select(*later.c, nth.label("nth")).where(later.c[self.hash_key].in_(touched)).subquery("ranked")
            return sa.select(*(c for c in ranked.c if c.name != "nth")).where(ranked.c.nth == 1).subquery("following")
        later_days = self._partitions(lambda day: day > dates.last).subquery("later_days")
        next_day = sa.select(sa.func.min(later_days.c.business_date)).scalar_subquery()
        listed = self.observations(lambda day: day == next_day, "listed_next")
        keys = touched.subquery("touched_keys")
        unlisted = sa.select(*self._end_row(keys.c[self.hash_key], next_day)).where(
            keys.c[self.hash_key].not_in(sa.select(listed.c[self.hash_key]))
        )
        of_touched = sa.select(*(listed.c[n] for n in self._columns)).where(listed.c[self.hash_key].in_(touched))
        return sa.union_all(of_touched, unlisted).subquery("following")


def load_satellite(warehouse: Warehouse, name: str, dates: DateRange, stamp: Stamp) -> None:
    """Bring satellite `name` up to date for `dates`. Idempotent, one transaction.

    A day loaded on time takes two statements; only where later partitions exist are they looked at.
    """
    tables = warehouse.tables
    satellite = Satellite(tables.catalog, tables, name)
    with warehouse.transaction() as connection:
        late = later_partitions_exist(connection, tables, (satellite.source.source,), dates)
        for statement in satellite.statements(dates, stamp, late=late):
            connection.execute(statement)
