"""Satellites: per key, the run-length-compressed sequence of what its source said.

Where a snapshot stops listing a key, the key has an end row.

Reloading [a, b] walks the observations of the range seeded with the state before a, and inserts a row where the
hashdiff changes. Only if later partitions exist, and only for keys whose state at b changed, what follows b is decided
again: all later observations of a delta, which have to be looked for anyway; of a snapshot those of the next partition,
since each lists every key. New rows are inserted before old ones are removed: both are there to tell which keys were
touched, and as of which dates their state is another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.types import Delivery
from cdm_assets.loading.stamp import Stamp, in_range, insert_select, next_or_never
from cdm_assets.loading.vault_keys import DateFilter, is_first_load, parent_hash, parent_texts
from cdm_assets.warehouse.dates import NEVER, ONE_DAY, DateRange, from_on
from cdm_assets.warehouse.functions import canonical_text, hashed
from cdm_assets.warehouse.tables import Tables

NOT_LISTED: Final = "not listed"
"""The hashdiff of an end row; no hash looks like it."""


RowFilter = Callable[[sa.FromClause], ColumnElement[bool]]
"""A condition on rows of the satellite, under whatever name they take part."""


def load_satellite(
    connection: sa.Connection, tables: Tables, name: str, dates: DateRange, stamp: Stamp
) -> list[DateRange]:
    """Bring satellite `name` up to date for `dates`. Idempotent; the transaction is the caller's.

    Returns the dates as of which the state of some key is another than before. A day loaded on time takes two
    statements and returns all dates from it on; only where it or a later one was loaded before is more asked.
    """
    satellite = Satellite(tables.catalog, tables, name)
    if is_first_load(connection, tables, satellite.key, (satellite.source.source,), dates):
        for statement in satellite.on_time_statements(dates, stamp):
            connection.execute(statement)
        return [from_on(dates.first)]
    if satellite.is_snapshot:
        return _load_late_snapshot(connection, satellite, dates, stamp)
    connection.execute(satellite.changes_in(dates, stamp))
    insert, superseded = satellite.repair_of_all_later(dates, stamp)
    connection.execute(insert)
    return _finish(connection, satellite, dates, superseded, stamp)


def _load_late_snapshot(
    connection: sa.Connection, satellite: Satellite, dates: DateRange, stamp: Stamp
) -> list[DateRange]:
    """Load `dates` and decide the next partition again.

    Where the next partition changed too and is not loaded yet, what lies behind it rests on content that is gone; then
    it is loaded along, and so on until a partition is met that agrees with the satellite.
    """
    while True:
        following = connection.execute(satellite.next_partition(dates.last)).scalar()
        connection.execute(satellite.changes_in(dates, stamp))
        if following is None or _is_settled(connection, satellite, dates, following, stamp):
            break
        connection.execute(satellite.undo(stamp))
        dates = DateRange(dates.first, following)
    if following is None:
        return _finish(connection, satellite, dates, None, stamp)
    insert, superseded = satellite.repair_of_next_partition(dates, following, stamp)
    connection.execute(insert)
    return _finish(connection, satellite, dates, superseded, stamp)


def _finish(
    connection: sa.Connection, satellite: Satellite, dates: DateRange, superseded: RowFilter | None, stamp: Stamp
) -> list[DateRange]:
    """Find out what the new rows change, then remove the old ones: those of the range and those `superseded`."""
    spans = connection.execute(satellite.changed_spans(dates, superseded, stamp)).tuples().all()
    if superseded is not None:
        connection.execute(sa.delete(satellite.table).where(superseded(satellite.table)))
    connection.execute(satellite.remove_old(dates, stamp))
    return [DateRange(first, until if until == NEVER else until - ONE_DAY) for first, until in spans]


def _is_settled(
    connection: sa.Connection, satellite: Satellite, dates: DateRange, following: date, stamp: Stamp
) -> bool:
    """Whether nothing behind `following` needs a look: none was loaded, or `following` is as the satellite has it."""
    if connection.execute(satellite.loaded_after(following)).first() is None:
        return True
    return connection.execute(satellite.unsettled(dates, following, stamp)).first() is None


class Satellite:
    """The statements that keep one satellite, given its tables."""

    def __init__(self, catalog: Catalog, tables: Tables, name: str) -> None:
        self.catalog, self.tables = catalog, tables
        self.source, feed = catalog.satellites[name]
        self.parent = feed.parent
        self.key = f"rdv.s_{name}"
        self.table = tables[self.key]
        self.hash_key = f"{self.parent}_hk"
        self.attributes = catalog.satellite_attributes(name)
        self.is_snapshot = self.source.delivery is Delivery.SNAPSHOT

    def on_time_statements(self, dates: DateRange, stamp: Stamp) -> tuple[sa.Insert, sa.Delete]:
        """The load of `dates` where nothing comes later, in order."""
        return self.changes_in(dates, stamp), self.remove_old(dates, stamp)

    def observations(
        self, wanted: DateFilter, name: str = "observed", *, among: sa.Select[Any] | None = None
    ) -> sa.Subquery:
        """What the source said: one row a key and date, the last record where a file repeats a key.

        `among` (hash keys) restricts it to these keys; the others' attributes are not hashed.
        """
        landing = self.tables[f"ldz.{self.source.table}"]
        rows: sa.FromClause = landing
        condition = wanted(landing.c.business_date)
        if among is not None:
            condition &= parent_hash(self.catalog, self.source, self.parent, landing).in_(among)
        if not self._listed_once:
            key_texts = parent_texts(self.catalog, self.source, self.parent, landing)
            nth = sa.func.row_number().over(
                partition_by=[*key_texts, landing.c.business_date], order_by=landing.c.source_row.desc()
            )
            rows = sa.select(*landing.c, nth.label("nth")).where(condition).subquery("sent")
            condition = rows.c.nth == 1
        return (
            sa.select(
                parent_hash(self.catalog, self.source, self.parent, rows).label(self.hash_key),
                rows.c.business_date,
                sa.literal(value=True).label("is_listed"),
                self._hashdiff(rows).label("hashdiff"),
                *(rows.c[name] for name in self.attributes),
            )
            .where(condition)
            .subquery(name)
        )

    @property
    def _listed_once(self) -> bool:
        """Whether a file lists each parent once: the landing zone rejects what repeats the key of a snapshot."""
        return self.is_snapshot and set(self.source.key) <= set(self.catalog.parent_columns(self.source, self.parent))

    def _hashdiff(self, rows: sa.FromClause) -> ColumnElement[Any]:
        texts = []
        for name in self.attributes:
            column_type = self.source.columns_by_name[name].type
            texts.append(canonical_text(rows.c[name], column_type.kind, column_type.scale or 0))
        return hashed(texts, self.catalog.vault.hash)

    def _state_at(self, rows: sa.FromClause, condition: ColumnElement[bool], name: str) -> sa.Subquery:
        """The last row of each key among the satellite's rows that meet `condition`."""
        nth = sa.func.row_number().over(partition_by=rows.c[self.hash_key], order_by=rows.c.business_date.desc())
        ranked = sa.select(*rows.c, nth.label("nth")).where(condition).subquery(f"{name}_ranked")
        return sa.select(*(c for c in ranked.c if c.name != "nth")).where(ranked.c.nth == 1).subquery(name)

    def changes_in(self, dates: DateRange, stamp: Stamp) -> sa.Insert:
        """Insert a row for each observation of the range that differs from the one before it."""
        observed = self.observations(lambda day: in_range(day, dates))
        if self.is_snapshot:
            seed = self._listing_before(dates.first)
            build = self._changes_of_one_date if len(dates) == 1 else self._changes_of_range
            return build(dates, observed, seed, stamp)
        before = self.table.alias("before")
        touched = sa.select(self.observations(lambda day: in_range(day, dates), "touched").c[self.hash_key])
        is_earlier = sa.and_(before.c.business_date < dates.first, before.c[self.hash_key].in_(touched))
        seed = self._state_at(before, is_earlier, "seed")
        return self._insert_changes(sa.union_all(self._select(observed), self._select(seed)), dates.first, stamp)

    def _listing_before(self, day: date) -> sa.Subquery:
        """The state of each key before `day`, without attributes: a snapshot is compared with all of them.

        By the last date and a join: five million keys in a window do not fit DuckDB's gigabyte, these spill.
        """
        rows, dates = self.table.alias("before"), self.table.alias("dates_before")
        last = (
            sa.select(dates.c[self.hash_key], sa.func.max(dates.c.business_date).label("last_date"))
            .where(dates.c.business_date < day)
            .group_by(dates.c[self.hash_key])
            .subquery("last_dates")
        )
        is_last = sa.and_(last.c[self.hash_key] == rows.c[self.hash_key], last.c.last_date == rows.c.business_date)
        columns = [rows.c[name] for name in (self.hash_key, "business_date", "is_listed", "hashdiff")]
        return sa.select(*columns).join_from(rows, last, is_last).subquery("seed")

    def _changes_of_one_date(
        self, dates: DateRange, observed: sa.Subquery, seed: sa.Subquery, stamp: Stamp
    ) -> sa.Insert:
        """What one snapshot says otherwise than the state before it, and the end of what it does not list."""
        is_observed = observed.c[self.hash_key].is_not(None)
        compared = (
            sa.select(
                sa.func.coalesce(observed.c[self.hash_key], seed.c[self.hash_key]).label(self.hash_key),
                sa.literal(dates.first, sa.Date()).label("business_date"),
                sa.case((is_observed, sa.true()), else_=sa.false()).label("is_listed"),
                sa.func.coalesce(observed.c.hashdiff, self._not_listed).label("hashdiff"),
                *(observed.c[name] for name in self.attributes),
                seed.c.hashdiff.label("previous"),
            )
            .select_from(observed.join(seed, observed.c[self.hash_key] == seed.c[self.hash_key], full=True))
            .subquery("compared")
        )
        differs = sa.or_(compared.c.previous.is_(None), compared.c.previous != compared.c.hashdiff)
        is_loaded = sa.exists(self._partitions(lambda day: day == dates.first))
        return self._insert(compared, sa.and_(differs, is_loaded), stamp)

    def _changes_of_range(self, dates: DateRange, observed: sa.Subquery, seed: sa.Subquery, stamp: Stamp) -> sa.Insert:
        """The same for many snapshots at once: each listing of a key looks at the one before it and the one after.

        It starts a row if it says something else, or if a snapshot between did not list the key; and an end row follows
        it if the next snapshot does not list the key.
        """
        days = self._partitions(lambda day: in_range(day, dates)).subquery("days")
        day = days.c.business_date
        partitions = sa.select(
            day,
            sa.func.lag(day).over(order_by=day).label("snapshot_before"),
            sa.func.lead(day).over(order_by=day).label("snapshot_after"),
        ).subquery("partitions")
        range_days = self._partitions(lambda day: in_range(day, dates)).subquery("range_days")
        first_snapshot = sa.select(sa.func.min(range_days.c.business_date)).scalar_subquery()
        listings = sa.union_all(
            self._select(observed)
            .add_columns(partitions.c.snapshot_before, partitions.c.snapshot_after)
            .join_from(observed, partitions, partitions.c.business_date == observed.c.business_date),
            sa.select(
                *(seed.c[name] for name in (self.hash_key, "business_date", "is_listed", "hashdiff")),
                *self._no_attributes,
                sa.cast(sa.null(), sa.Date()),
                sa.case((seed.c.is_listed == sa.true(), first_snapshot)),
            ),
        ).subquery("listings")
        over: dict[str, Any] = {"partition_by": listings.c[self.hash_key], "order_by": listings.c.business_date}
        walked = sa.select(
            *listings.c,
            sa.func.lag(listings.c.hashdiff).over(**over).label("previous"),
            sa.func.lag(listings.c.business_date).over(**over).label("listed_before"),
            sa.func.lead(listings.c.business_date).over(**over).label("listed_after"),
        ).subquery("walked")
        starts = sa.and_(
            walked.c.business_date >= dates.first,
            sa.or_(
                walked.c.previous.is_(None),
                walked.c.previous != walked.c.hashdiff,
                walked.c.listed_before < walked.c.snapshot_before,
            ),
        )
        ends = sa.and_(
            walked.c.snapshot_after.is_not(None),
            sa.or_(walked.c.listed_after.is_(None), walked.c.listed_after > walked.c.snapshot_after),
        )
        flags = [sa.case((starts, 1), else_=0).label("starts"), sa.case((ends, 1), else_=0).label("ends")]
        kept = sa.select(*walked.c, *flags).where(sa.or_(starts, ends)).cte("kept")
        changes = sa.union_all(
            self._select(kept).where(kept.c.starts == 1),
            sa.select(*self._end_row(kept.c[self.hash_key], kept.c.snapshot_after)).where(kept.c.ends == 1),
        ).subquery("changes")
        return self._insert(changes, sa.true(), stamp)

    def remove_old(self, dates: DateRange, stamp: Stamp) -> sa.Delete:
        """Remove the rows of the range that earlier loads inserted."""
        return sa.delete(self.table).where(
            in_range(self.table.c.business_date, dates), sa.not_(stamp.put_on(self.table))
        )

    def undo(self, stamp: Stamp) -> sa.Delete:
        """Remove what this load inserted so far."""
        return sa.delete(self.table).where(stamp.put_on(self.table))

    @property
    def _columns(self) -> Sequence[str]:
        return (self.hash_key, "business_date", "is_listed", "hashdiff", *self.attributes)

    def _select(self, rows: sa.FromClause) -> sa.Select[Any]:
        return sa.select(*(rows.c[name] for name in self._columns))

    def _insert_changes(self, sequence: sa.CompoundSelect[Any], first: date, stamp: Stamp) -> sa.Insert:
        """Insert the rows of `sequence` from date `first` on that differ from the row of their key before them."""
        rows = sequence.subquery("sequence")
        previous = sa.func.lag(rows.c.hashdiff).over(partition_by=rows.c[self.hash_key], order_by=rows.c.business_date)
        walked = sa.select(*rows.c, previous.label("previous")).subquery("walked")
        differs = sa.or_(walked.c.previous.is_(None), walked.c.previous != walked.c.hashdiff)
        return self._insert(walked, sa.and_(walked.c.business_date >= first, differs), stamp)

    def _insert(self, rows: sa.FromClause, condition: ColumnElement[bool], stamp: Stamp) -> sa.Insert:
        rec_src = sa.literal(self.source.source, sa.String(60)).label("rec_src")
        return insert_select(self.table, self._select(rows).add_columns(rec_src).where(condition), stamp)

    @property
    def _not_listed(self) -> ColumnElement[Any]:
        return sa.literal(NOT_LISTED, sa.String(self.catalog.vault.hash.length))

    @property
    def _no_attributes(self) -> list[ColumnElement[Any]]:
        return [sa.cast(sa.null(), self.table.c[name].type).label(name) for name in self.attributes]

    def _end_row(self, hash_key: ColumnElement[Any], day: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        return [
            hash_key.label(self.hash_key),
            day.label("business_date"),
            sa.literal(value=False).label("is_listed"),
            self._not_listed.label("hashdiff"),
            *self._no_attributes,
        ]

    def _partitions(self, wanted: DateFilter) -> sa.Select[Any]:
        """The dates for which a file of the source is loaded."""
        register = self.tables["cdp_metadata.landing_file"]
        return sa.select(register.c.business_date).where(
            register.c.source == self.source.source, register.c.state == "loaded", wanted(register.c.business_date)
        )

    def _touched(self, dates: DateRange, stamp: Stamp) -> sa.Select[Any]:
        """The keys whose last row in the range is another than before this load, is new or is gone."""
        inside = self.table.alias("inside")
        key, is_new = inside.c[self.hash_key], sa.case((stamp.put_on(inside), 1), else_=0)
        nth = sa.func.row_number().over(partition_by=[key, is_new], order_by=inside.c.business_date.desc())
        rows = sa.select(key, inside.c.hashdiff, nth.label("nth")).where(in_range(inside.c.business_date, dates))
        last = rows.subquery("last_in_range")
        differs = sa.or_(sa.func.count() == 1, sa.func.min(last.c.hashdiff) != sa.func.max(last.c.hashdiff))
        return sa.select(last.c[self.hash_key]).where(last.c.nth == 1).group_by(last.c[self.hash_key]).having(differs)

    def _new_state_at_end_of(self, dates: DateRange, stamp: Stamp) -> sa.Subquery:
        """The state of the touched keys at the end of the range, from the rows of this load."""
        rows = self.table.alias("until_now")
        is_state = sa.and_(
            rows.c.business_date <= dates.last,
            sa.or_(rows.c.business_date < dates.first, stamp.put_on(rows)),
            rows.c[self.hash_key].in_(self._touched(dates, stamp)),
        )
        return self._state_at(rows, is_state, "state")

    def repair_of_all_later(self, dates: DateRange, stamp: Stamp) -> tuple[sa.Insert, RowFilter]:
        """Walk on behind the range with the keys touched in it, to the last observation of each.

        The insert, and which rows it supersedes.
        """
        later = self.observations(lambda day: day > dates.last, "later", among=self._touched(dates, stamp))
        state = self._new_state_at_end_of(dates, stamp)
        sequence = sa.union_all(self._select(later), self._select(state))

        def superseded(rows: sa.FromClause) -> ColumnElement[bool]:
            is_touched = rows.c[self.hash_key].in_(self._touched(dates, stamp))
            return sa.and_(rows.c.business_date > dates.last, is_touched, sa.not_(stamp.put_on(rows)))

        return self._insert_changes(sequence, dates.last + ONE_DAY, stamp), superseded

    def next_partition(self, day: date) -> sa.Select[Any]:
        """The first date after `day` for which a file of the source is loaded."""
        later = self._partitions(lambda column: column > day).subquery("later_days")
        return sa.select(sa.func.min(later.c.business_date))

    def repair_of_next_partition(self, dates: DateRange, following: date, stamp: Stamp) -> tuple[sa.Insert, RowFilter]:
        """Decide the partition `following` of a snapshot again for the keys that were touched in the range.

        The insert, and which rows it supersedes.
        """
        compared = self._compared(self._listing(dates, following, stamp), self._new_state_at_end_of(dates, stamp))

        def superseded(rows: sa.FromClause) -> ColumnElement[bool]:
            is_touched = rows.c[self.hash_key].in_(self._touched(dates, stamp))
            return sa.and_(rows.c.business_date == following, is_touched, sa.not_(stamp.put_on(rows)))

        return self._insert(compared, self._differs(compared), stamp), superseded

    def changed_spans(self, dates: DateRange, superseded: RowFilter | None, stamp: Stamp) -> sa.Select[Any]:
        """(date, date of the next row) wherever the state of a key is another by the new rows than by the old.

        To be asked while both are there. Of the keys whose rows that come are not those that go, the whole history is
        walked, once with the ones and once with the others.
        """

        def goes(rows: sa.FromClause) -> ColumnElement[bool]:
            is_old = sa.and_(in_range(rows.c.business_date, dates), sa.not_(stamp.put_on(rows)))
            return is_old if superseded is None else sa.or_(is_old, superseded(rows))

        coming, going, rows = self.table.alias("coming"), self.table.alias("going"), self.table.alias("history")
        columns = (self.hash_key, "business_date", "hashdiff")
        either = sa.union_all(
            sa.select(*(coming.c[name] for name in columns)).where(stamp.put_on(coming)),
            sa.select(*(going.c[name] for name in columns)).where(goes(going)),
        ).subquery("either")
        without_twin = sa.select(either.c[self.hash_key]).group_by(*either.c).having(sa.func.count() == 1)
        moving = without_twin.distinct().subquery("moving")
        marked = (
            sa.select(
                rows.c[self.hash_key],
                rows.c.business_date,
                rows.c.hashdiff,
                sa.case((stamp.put_on(rows), 1), else_=0).label("is_new"),
                sa.case((goes(rows), 1), else_=0).label("goes"),
            )
            .join_from(rows, moving, moving.c[self.hash_key] == rows.c[self.hash_key])
            .subquery("marked")
        )
        points = (
            sa.select(
                marked.c[self.hash_key],
                marked.c.business_date,
                sa.func.max(sa.case((marked.c.goes == 0, marked.c.hashdiff))).label("now"),
                sa.func.max(sa.case((marked.c.is_new == 0, marked.c.hashdiff))).label("before"),
            )
            .group_by(marked.c[self.hash_key], marked.c.business_date)
            .subquery("points")
        )
        key: Any = {"partition_by": points.c[self.hash_key], "order_by": points.c.business_date}
        runs = sa.select(
            *points.c,
            next_or_never(points.c.business_date, partition_by=points.c[self.hash_key]).label("until"),
            sa.func.count(points.c.now).over(**key).label("run_now"),
            sa.func.count(points.c.before).over(**key).label("run_before"),
        ).subquery("runs")
        filled = sa.select(
            runs.c.business_date,
            runs.c.until,
            sa.func.max(runs.c.now).over(partition_by=[runs.c[self.hash_key], runs.c.run_now]).label("now"),
            sa.func.max(runs.c.before).over(partition_by=[runs.c[self.hash_key], runs.c.run_before]).label("before"),
        ).subquery("filled")
        nothing: ColumnElement[Any] = sa.literal_column("'-'")
        is_another = sa.func.coalesce(filled.c.now, nothing) != sa.func.coalesce(filled.c.before, nothing)
        return sa.select(filled.c.business_date, filled.c.until).where(is_another).distinct()

    def loaded_after(self, day: date) -> sa.Select[Any]:
        """A row if the satellite has a loaded partition after `day`."""
        loads = self.tables["cdp_metadata.partition_load"]
        loaded = sa.select(loads.c.business_date).where(loads.c.table_key == self.key, loads.c.business_date > day)
        return loaded.limit(1)

    def unsettled(self, dates: DateRange, following: date, stamp: Stamp) -> sa.Select[Any]:
        """A row if a touched key is at `following` another than the rows of earlier loads say."""
        rows = self.table.alias("until_then")
        is_state = sa.and_(
            rows.c.business_date <= following,
            sa.not_(stamp.put_on(rows)),
            rows.c[self.hash_key].in_(self._touched(dates, stamp)),
        )
        compared = self._compared(self._listing(dates, following, stamp), self._state_at(rows, is_state, "state_then"))
        return sa.select(compared.c[self.hash_key]).where(self._differs(compared)).limit(1)

    def _listing(self, dates: DateRange, following: date, stamp: Stamp) -> sa.Subquery:
        """What the snapshot of `following` says of the touched keys, also that it does not list them."""
        listed = self.observations(lambda day: day == following, "listed_next", among=self._touched(dates, stamp))
        keys = self._touched(dates, stamp).subquery("touched_keys")
        end_row = self._end_row(keys.c[self.hash_key], sa.literal(following, sa.Date()))
        is_listed = sa.exists().where(listed.c[self.hash_key] == keys.c[self.hash_key])
        unlisted = sa.select(*end_row).where(sa.not_(is_listed))
        return sa.union_all(self._select(listed), unlisted).subquery("listing")

    def _compared(self, listing: sa.Subquery, state: sa.Subquery) -> sa.Subquery:
        same_key = state.c[self.hash_key] == listing.c[self.hash_key]
        compared = sa.select(*listing.c, state.c.hashdiff.label("previous"))
        return compared.join_from(listing, state, same_key, isouter=True).subquery("compared")

    @staticmethod
    def _differs(compared: sa.Subquery) -> ColumnElement[bool]:
        """Not what it was; a key that was never there and is not listed has not changed."""
        starts = sa.and_(compared.c.previous.is_(None), compared.c.is_listed == sa.true())
        return sa.or_(starts, compared.c.previous != compared.c.hashdiff)
