"""What has to be loaded so that every table is in line with the files: nothing that is in line is loaded again.

A partition is stale if it was never loaded, if its file is new, changed or gone, or if a partition it reads was loaded
after it. A table that looks back (a state or a 360 as of a date) is stale from the changed date on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import sqlalchemy as sa

from cdm_assets.catalog.model import EntityKind, Source
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.stamp import in_range
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.warehouse.dates import DateRange, ranges_of
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.landing_files import file_name_of, sha256_of


@dataclass(frozen=True)
class PlannedRun:
    """A range of dates and the tables to load for it, in order."""

    dates: DateRange
    tables: tuple[str, ...]


def looks_back(loads: TableLoads, key: str) -> bool:
    """Whether a partition of the table depends on earlier dates of what it reads.

    Not so: the landing zone (files of the date), the vault (a range repairs what follows it), publish (a copy).
    """
    layer, name = key.split(".")
    if layer in (Layer.LANDING, Layer.VAULT, Layer.PUBLISH):
        return False
    if layer == Layer.INTERFACE:
        return loads.catalog.interface[name].kind is EntityKind.STATE
    return True


def stale_partitions(
    warehouse: Warehouse, loads: TableLoads, dates: DateRange, landing_root: Path
) -> dict[str, frozenset[date]]:
    """The dates within `dates` that each table has to be loaded for; tables in line with their inputs are left out."""
    loaded = _load_times(warehouse, loads, dates)
    stale: dict[str, frozenset[date]] = {}
    for key in loads.in_order:
        times = loaded.get(key, {})
        if key.startswith(f"{Layer.LANDING}."):
            source = loads.landing_source(key)
            days = _changed_files(warehouse, source, dates, landing_root) | {d for d in dates if d not in times}
        else:
            days = _behind(loads, key, dates, loaded=loaded, stale=stale)
        if days:
            stale[key] = frozenset(days)
    return stale


def planned_runs(stale: Mapping[str, frozenset[date]], loads: TableLoads) -> list[PlannedRun]:
    """The fewest range runs that load exactly the stale partitions, each table after all that it reads.

    A table is stale wherever what it reads is, so smaller sets of dates come first.
    """
    by_days: dict[frozenset[date], list[str]] = {}
    for key in loads.in_order:
        if key in stale:
            by_days.setdefault(stale[key], []).append(key)
    runs = []
    for days, tables in sorted(by_days.items(), key=lambda item: (len(item[0]), loads.in_order.index(item[1][0]))):
        runs += [PlannedRun(dates, tuple(tables)) for dates in ranges_of(days)]
    return runs


def _behind(
    loads: TableLoads,
    key: str,
    dates: DateRange,
    *,
    loaded: Mapping[str, Mapping[date, datetime]],
    stale: Mapping[str, frozenset[date]],
) -> set[date]:
    """Dates of a table that were never loaded, or before something they read."""
    own, reaches_on = loaded.get(key, {}), looks_back(loads, key)
    days = {day for day in dates if day not in own}
    for upstream in loads.reads[key]:
        above = loaded.get(upstream, {})
        days |= {d for d in dates if d in above and d in own and above[d] > own[d]}
        days |= stale.get(upstream, frozenset())
        if reaches_on:
            latest = max((above[d] for d in above if d < dates.first), default=None)
            for day in dates:
                latest = max(filter(None, (latest, above.get(day))), default=None)
                if latest is not None and day in own and latest > own[day]:
                    days.add(day)
    if reaches_on and days:
        first = min((min(stale[u]) for u in loads.reads[key] if u in stale), default=None)
        days |= {day for day in dates if first is not None and day >= first}
    return days


def _load_times(warehouse: Warehouse, loads: TableLoads, dates: DateRange) -> dict[str, dict[date, datetime]]:
    """When each partition up to the end of the range was last loaded, by table."""
    table = loads.tables["cdp_metadata.partition_load"]
    query = sa.select(table.c.table_key, table.c.business_date, table.c.load_ts)
    times: dict[str, dict[date, datetime]] = {}
    with warehouse.connection() as connection:
        for key, day, load_ts in connection.execute(query.where(table.c.business_date <= dates.last)):
            times.setdefault(key, {})[day] = load_ts
    return times


def _changed_files(warehouse: Warehouse, source: Source, dates: DateRange, landing_root: Path) -> set[date]:
    """Dates on which the landing area does not hold what the register says was loaded."""
    register = warehouse.tables["cdp_metadata.landing_file"]
    query = sa.select(register.c.business_date, register.c.state, register.c.size_bytes, register.c.sha256).where(
        register.c.source == source.source, in_range(register.c.business_date, dates)
    )
    known: dict[date, Sequence[object]] = {}
    refused: set[date] = set()
    with warehouse.connection() as connection:
        for day, state, size_bytes, sha256 in connection.execute(query):
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
