"""What has to be loaded so that every table is in line with the files: nothing that is in line is loaded again.

Partitions that were never loaded are loaded as ranges. A file that is new, changed or gone marks its landing partition
as stale; from there on the loads themselves say what else is (`loading.staleness`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from cdm_assets.loading.landing import register_files
from cdm_assets.loading.landing_register import PENDING, State, live_files
from cdm_assets.loading.staleness import mark
from cdm_assets.loading.stamp import Stamp, in_range
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.pauses import paused_sources
from cdm_assets.warehouse.dates import DateRange, ranges_of
from cdm_assets.warehouse.landing_area import LandingArea

_OPERATOR = "plan"


@dataclass(frozen=True)
class PlannedRun:
    """A range of dates and the tables to load for it, in order."""

    dates: DateRange
    tables: tuple[str, ...]


def partitions_never_loaded(connection: sa.Connection, loads: TableLoads, dates: DateRange) -> dict[str, set[date]]:
    """The dates within `dates` that a table was not loaded for yet, by table in order."""
    table = loads.tables["cdp_metadata.partition_load"]
    query = sa.select(table.c.table_key, table.c.business_date).where(in_range(table.c.business_date, dates))
    missing = {key: set(dates) for key in loads.in_order}
    for key, day in connection.execute(query).tuples():
        missing.get(key, set()).discard(day)
    return {key: days for key, days in missing.items() if days}


def planned_runs(missing: Mapping[str, set[date]], loads: TableLoads) -> list[PlannedRun]:
    """The fewest range runs that load exactly the `missing` partitions, smaller sets of dates first."""
    by_days: dict[frozenset[date], list[str]] = {}
    for key in loads.in_order:
        if key in missing:
            by_days.setdefault(frozenset(missing[key]), []).append(key)
    runs = []
    for days, tables in sorted(by_days.items(), key=lambda item: (len(item[0]), loads.in_order.index(item[1][0]))):
        runs += [PlannedRun(dates, tuple(tables)) for dates in ranges_of(days)]
    return runs


def register_dates(
    connection: sa.Connection, loads: TableLoads, dates: DateRange, area: LandingArea, run_id: str
) -> None:
    """Bring the landing register in line with the files of `dates`. Raises LandingAreaMissing."""
    register_files(connection, loads.tables, dict.fromkeys(loads.catalog.sources, dates), area, Stamp(run_id))


def changed_files(
    connection: sa.Connection, loads: TableLoads, dates: DateRange, *, withdrawn: bool = True, refused: bool = True
) -> dict[str, set[date]]:
    """The loaded dates within `dates`, by source, for which the register knows another file than was loaded.

    Without `withdrawn`, a file that is no longer there does not count: nobody has said that it shall be gone. Without
    `refused`, nor does one that was loaded and found at fault.
    """
    missing = partitions_never_loaded(connection, loads, dates)
    changed: dict[str, set[date]] = {}
    for (source, day), (*_, newest) in live_files(connection, loads.tables, dates=dates).items():
        is_gone = withdrawn and newest.gone_at is not None
        is_refused = refused and newest.state == State.REJECTED
        is_loaded = source in loads.catalog.sources and day not in missing.get(loads.landing_table(source), ())
        if is_loaded and (newest.state in PENDING or is_gone or is_refused):
            changed.setdefault(source, set()).add(day)
    return changed


def mark_work(connection: sa.Connection, loads: TableLoads, changed: Mapping[str, set[date]]) -> None:
    """Mark the landing partitions of changed files, and what was held back for a check that meanwhile passes."""
    stamp = Stamp(_OPERATOR)
    for source, days in changed.items():
        mark(connection, loads.tables, loads.landing_table(source), days, "the file changed", stamp)
    for key, free in loads.no_longer_held_back(connection).items():
        mark(connection, loads.tables, key, free, "no longer held back", stamp)


def mark_never_loaded(connection: sa.Connection, loads: TableLoads, days: Collection[date]) -> None:
    """Mark every partition of `days` that was never loaded, so that a repair completes these dates.

    Not the landing zone of sources that are paused.
    """
    paused = {loads.landing_table(source) for source in paused_sources(connection, loads.tables)}
    if days:
        missing = partitions_never_loaded(connection, loads, DateRange(min(days), max(days)))
        for key, of_table in missing.items():
            if key not in paused:
                mark(connection, loads.tables, key, of_table & set(days), "never loaded", Stamp(_OPERATOR))
