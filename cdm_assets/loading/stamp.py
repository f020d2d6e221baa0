"""The audit stamp that a load puts on each of its rows, and the statements every loader shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.warehouse.bulk import bulk_insert
from cdm_assets.warehouse.dates import NEVER, DateRange
from cdm_assets.warehouse.tables import AUDIT_COLUMNS


def utc_now() -> datetime:
    """The time in UTC, without a zone, as the warehouse stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Stamp:
    """Who loads and when. No two loads of a table carry the same stamp."""

    run_id: str
    load_ts: datetime = field(default_factory=utc_now)

    @property
    def values(self) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """The values of `AUDIT_COLUMNS`."""
        return (
            sa.literal(self.load_ts, sa.TIMESTAMP()).label("load_ts"),
            sa.literal(self.run_id, sa.String(64)).label("run_id"),
        )

    def nth(self, number: int) -> Stamp:
        """The stamp of part `number` (from 0) of a load, whose rows must not be taken for another part's."""
        return replace(self, load_ts=self.load_ts + timedelta(microseconds=number))

    def put_on(self, table: sa.FromClause) -> ColumnElement[bool]:
        """True for the rows of `table` that this load inserted."""
        return sa.and_(table.c.run_id == self.run_id, table.c.load_ts == self.load_ts)

    @property
    def row(self) -> dict[str, Any]:
        """The stamp as column values of a single row."""
        return {"run_id": self.run_id, "load_ts": self.load_ts}


def insert_select(table: sa.Table, select: sa.Select[Any] | sa.CompoundSelect[Any], stamp: Stamp) -> sa.Insert:
    """Insert the rows of `select` (its columns named as the table's), stamped."""
    rows = select.subquery("rows_to_load")
    names = [column.name for column in rows.c]
    stamped = sa.select(*rows.c, *stamp.values)
    return sa.insert(table).from_select([*names, *AUDIT_COLUMNS], stamped)


def insert_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[Any, Any]], stamp: Stamp) -> None:
    """Insert rows that Python made, all of the same columns, stamped."""
    if rows:
        import pyarrow as pa  # noqa: PLC0415 - only here, and the command starts without it

        stamped = [{**row, **stamp.row} for row in rows]
        columns = {name: pa.array([row[name] for row in stamped]) for name in stamped[0]}
        bulk_insert(connection, table, pa.table(columns))


def in_range(column: ColumnElement[Any], dates: DateRange) -> ColumnElement[bool]:
    """True where a date lies in `dates`; an equality for one date, which engines prune best."""
    return column == dates.first if len(dates) == 1 else column.between(dates.first, dates.last)


def delete_range(table: sa.Table, dates: DateRange) -> sa.Delete:
    """Remove the partitions `dates` of `table`."""
    return sa.delete(table).where(in_range(table.c.business_date, dates))


def rows_by_date(connection: sa.Connection, table: sa.Table, dates: DateRange) -> dict[date, int]:
    """The number of rows of each partition in `dates`; dates without rows are left out."""
    query = (
        sa.select(table.c.business_date, sa.func.count())
        .where(in_range(table.c.business_date, dates))
        .group_by(table.c.business_date)
    )
    return {day: int(count) for day, count in connection.execute(query)}


def replace_rows(
    connection: sa.Connection, table: sa.Table, condition: ColumnElement[bool] | None, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Replace the rows of a control table that meet `condition` by `rows`; without one, add them."""
    if condition is not None:
        connection.execute(sa.delete(table).where(condition))
    if rows:
        connection.execute(sa.insert(table), [dict(row) for row in rows])


def next_or_never(day: ColumnElement[Any], *, partition_by: Any) -> ColumnElement[Any]:
    """The next `day` of the same group, a date beyond all others for its last.

    Not NULL: an outer join on "NULL or later" cannot be hashed and compares every pair of rows.
    """
    following = sa.func.lead(day, sa.literal_column("1"), sa.literal(NEVER, sa.Date()), type_=sa.Date())
    return following.over(partition_by=partition_by, order_by=day)
