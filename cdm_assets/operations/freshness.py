"""Is every table fresh? By partition: is the business date loaded that is due now.

When a table was loaded last says nothing: a backfill of an old date loads a table whose newest date is missing. So the
question is whether `partition_load` has the date that is due, not when it was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from cdm_assets.catalog.pipelines import Pipeline
from cdm_assets.operations.ownership import find_pipeline
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.tables import Tables

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Freshness:
    """How far a table is and how far it should be."""

    table: str
    pipeline: str
    due: date | None
    """The newest business date that should be there; None before the first is due."""
    newest: date | None
    """The newest business date that is loaded, the due one or before; None if there is none."""
    due_since: datetime | None
    """When `due` was due (UTC)."""

    @property
    def is_fresh(self) -> bool:
        """Whether the partition that is due is loaded."""
        return self.due is None or self.newest == self.due

    @property
    def days_behind(self) -> int | None:
        """Business dates from the newest to the one that is due; None if none is loaded."""
        if self.due is None:
            return 0
        return (self.due - self.newest).days if self.newest else None

    def __str__(self) -> str:
        if self.due is None:
            return f"{self.table}: nothing is due yet"
        since = f"{self.due_since:%Y-%m-%d %H:%M} UTC" if self.due_since else ""
        state = "loaded" if self.is_fresh else f"missing; the newest before is {self.newest or 'none'}"
        return f"{self.table}: {self.due}, due {since}, is {state}"


def due_date(pipeline: Pipeline, now: datetime, dates: DateRange, *, with_tolerance: bool = True) -> date | None:
    """The newest of the business dates `dates` whose deadline has passed at `now` (aware); None if there is none.

    With tolerance the deadline is when its absence is an alert, without it is `ready_by`.
    """
    if now.tzinfo is None:
        raise ValueError(f"{now} has no time zone; expected an aware datetime, such as datetime.now(UTC)")
    today = now.astimezone(UTC).date()
    day = min(today, dates.last)
    while day >= dates.first:
        deadline = pipeline.late_after_for(day) if with_tolerance else pipeline.ready_by_for(day)
        if deadline <= now:
            return day
        day -= _ONE_DAY
    return None


def table_freshness(
    connection: sa.Connection, tables: Tables, now: datetime, dates: DateRange, *, keys: tuple[str, ...] | None = None
) -> list[Freshness]:
    """The freshness at `now` of each partitioned table that is of a pipeline, or of those of `keys` that are.

    `dates` are the site's business dates: nothing is due outside. A query for each date that is due, which
    is one or two, whatever the number of tables.
    """
    loads = tables["cdp_metadata.partition_load"]
    owned = [(key, found) for key in keys or tables.partitioned if (found := find_pipeline(tables.catalog, key))]
    due = {found.pipeline: due_date(found, now, dates) for _, found in owned}
    newest: dict[str, date] = {}
    by_due: dict[date, list[str]] = {}
    for key, found in owned:
        day = due[found.pipeline]
        if day is not None:
            by_due.setdefault(day, []).append(key)
    for day, of_day in by_due.items():
        query = (
            sa.select(loads.c.table_key, sa.func.max(loads.c.business_date))
            .where(loads.c.table_key.in_(of_day), loads.c.business_date <= day)
            .group_by(loads.c.table_key)
        )
        newest.update(connection.execute(query).tuples().all())
    return list(_freshness(owned, due, newest))


def _freshness(
    owned: list[tuple[str, Pipeline]], due: dict[str, date | None], newest: dict[str, date]
) -> Iterator[Freshness]:
    for key, pipeline in owned:
        day = due[pipeline.pipeline]
        since = pipeline.ready_by_for(day) if day else None
        yield Freshness(key, pipeline.pipeline, day, newest.get(key), since)
