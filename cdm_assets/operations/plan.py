"""What has to be loaded so that every table is in line with the files: nothing that is in line is loaded again.

Partitions that were never loaded are loaded as ranges. A file that is new, changed or gone marks its landing partition
as stale; from there on the loads themselves say what else is (`loading.staleness`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import sqlalchemy as sa

from cdm_assets.catalog.model import Source
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.staleness import mark
from cdm_assets.loading.stamp import Stamp, in_range
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.warehouse.dates import DateRange, ranges_of
from cdm_assets.warehouse.landing_files import file_name_of, sha256_of

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


def changed_files(
    connection: sa.Connection, loads: TableLoads, dates: DateRange, landing_root: Path, *, withdrawn: bool = True
) -> dict[str, set[date]]:
    """The loaded dates within `dates`, by source, for which the landing area holds another file than was loaded.

    Without `withdrawn`, a file that is no longer there does not count: nobody has said that it shall be gone.
    """
    missing = partitions_never_loaded(connection, loads, dates)
    changed: dict[str, set[date]] = {}
    for key in loads.in_order:
        if key.startswith(f"{Layer.LANDING}."):
            source = loads.landing_source(key)
            days = _changed(connection, loads, source, dates, landing_root) - missing.get(key, set())
            if not withdrawn:
                days = {day for day in days if (landing_root / file_name_of(source, day)).exists()}
            if days:
                changed[source.source] = days
    return changed


def mark_work(connection: sa.Connection, loads: TableLoads, changed: Mapping[str, set[date]]) -> None:
    """Mark the landing partitions of changed files, and what was held back for a check that meanwhile passes."""
    stamp = Stamp(_OPERATOR)
    for source, days in changed.items():
        key = f"{Layer.LANDING}.{loads.catalog.sources[source].table}"
        mark(connection, loads.tables, key, days, "the file changed", stamp)
    for key, free in loads.no_longer_held_back(connection).items():
        mark(connection, loads.tables, key, free, "no longer held back", stamp)


def _changed(
    connection: sa.Connection, loads: TableLoads, source: Source, dates: DateRange, landing_root: Path
) -> set[date]:
    """Dates on which the landing area does not hold what the register says was loaded."""
    register = loads.tables["cdp_metadata.landing_file"]
    query = sa.select(register.c.business_date, register.c.state, register.c.size_bytes, register.c.sha256).where(
        register.c.source == source.source, in_range(register.c.business_date, dates)
    )
    known: dict[date, Sequence[object]] = {}
    refused: set[date] = set()
    for day, state, size_bytes, sha256 in connection.execute(query).tuples():
        if state == "rejected":
            refused.add(day)
        else:
            known[day] = (size_bytes, sha256)
    return refused | {day for day in dates if _identity(source, day, landing_root, known.get(day)) != known.get(day)}


def _identity(
    source: Source, day: date, landing_root: Path, known: Sequence[object] | None
) -> tuple[int, str | None] | None:
    """Size and hash of the file as it lies there, (0, None) without a file; the hash only where the size agrees."""
    path = landing_root / file_name_of(source, day)
    if not path.exists():
        return (0, None)
    size_bytes = path.stat().st_size
    return (size_bytes, sha256_of(path)) if known and known[0] == size_bytes else (size_bytes, "")
