"""When files come and when tables are ready, from history, beside what the catalog declares.

History is `landing_file` (when a content of a file was first seen whole) and `load_log` (when a range of partitions was
loaded first). A date that came or was loaded more than `BACKFILLED_AFTER` after it was due was filled in later; it says
nothing of an ordinary day and is only counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import sqlalchemy as sa
from cronsim import CronSim

from cdm_assets.catalog.model import Source
from cdm_assets.catalog.pipelines import Pipeline
from cdm_assets.loading.stamp import in_range
from cdm_assets.operations.ownership import find_pipeline, tables_of
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.tables import Tables

BACKFILLED_AFTER: Final = timedelta(days=3)
_ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Typical:
    """Times after the midnight (UTC) that ends the business date: the middle one, and what 95 of 100 keep to."""

    dates: int
    middle: timedelta
    most: timedelta


@dataclass(frozen=True)
class SourceTiming:
    """When the files of a source are there. Durations count from the midnight (UTC) that ends the business date."""

    source: str
    available_at: timedelta
    """Declared: when the file is expected."""
    late_after: timedelta
    """Declared: from when on it is late."""
    starts_at: timedelta | None
    """Declared: when the pipeline of its landing-zone table starts by the clock; None without one."""
    typical: Typical | None
    """From history; None without any."""
    late: int
    """Dates whose file came late."""
    backfilled: int

    @property
    def declared_margin(self) -> timedelta | None:
        """From the file's declared arrival to the declared start; below zero the start comes first."""
        return self.starts_at - self.available_at if self.starts_at is not None else None

    @property
    def margin(self) -> timedelta | None:
        """From when 95 of 100 files are there to the declared start."""
        return self.starts_at - self.typical.most if self.starts_at is not None and self.typical else None


@dataclass(frozen=True)
class DeliveryTiming:
    """When the tables of a pipeline are ready. Durations count from the midnight (UTC) that ends the business date."""

    pipeline: str
    ready_by: timedelta
    """Declared."""
    alert_if_late_by: timedelta
    """Declared: how long after `ready_by`."""
    typical: Typical | None
    """From history: when the last of its tables was loaded; None without any."""
    late: int
    """Dates that were ready after `ready_by`."""
    alerting: int
    """Dates that were ready later than the alert."""
    backfilled: int

    @property
    def margin(self) -> timedelta | None:
        """From when 95 of 100 dates are ready to `ready_by`; below zero it is missed too often."""
        return self.ready_by - self.typical.most if self.typical else None


def source_timings(connection: sa.Connection, tables: Tables, dates: DateRange) -> list[SourceTiming]:
    """The timing of each source, from the files of the business dates `dates`, by name."""
    register = tables["cdp_metadata.landing_file"]
    query = (
        sa.select(register.c.source, register.c.business_date, sa.func.min(register.c.arrived_at))
        .where(in_range(register.c.business_date, dates), register.c.state != "rejected")
        .group_by(register.c.source, register.c.business_date)
    )
    arrived: dict[str, dict[date, datetime]] = {}
    for source, day, at in connection.execute(query).tuples():
        arrived.setdefault(source, {})[day] = at
    catalog = tables.catalog
    return [
        _source_timing(source, find_pipeline(catalog, f"ldz.{source.table}"), arrived.get(name, {}))
        for name, source in sorted(catalog.sources.items())
    ]


def delivery_timings(connection: sa.Connection, tables: Tables, dates: DateRange) -> list[DeliveryTiming]:
    """The timing of each pipeline, from the first loads of the business dates `dates`, by name.

    A date is ready once each of the pipeline's tables has been loaded for it; a later repair does not undo that.
    """
    log = tables["cdp_metadata.load_log"]
    query = sa.select(log.c.table_key, log.c.first_date, log.c.last_date, log.c.load_ts).where(
        log.c.first_date <= dates.last, log.c.last_date >= dates.first
    )
    first: dict[str, dict[date, datetime]] = {}
    for key, begin, end, at in connection.execute(query.order_by(log.c.load_ts.desc())).tuples():
        of_table = first.setdefault(key, {})
        for day in DateRange(max(begin, dates.first), min(end, dates.last)):
            of_table[day] = at
    catalog = tables.catalog
    return [
        _delivery_timing(pipeline, ready_at(tables_of(catalog, name, tables.partitioned), first))
        for name, pipeline in sorted(catalog.pipelines.items())
    ]


def ready_at(keys: Sequence[str], loaded: Mapping[str, Mapping[date, datetime]]) -> dict[date, datetime]:
    """When the last of the tables `keys` was there, for each date for which all were; `loaded` is by table and date."""
    if not keys:
        return {}
    days = set.intersection(*(set(loaded.get(key, {})) for key in keys))
    return {day: max(loaded[key][day] for key in keys) for day in sorted(days)}


def offset_text(offset: timedelta | None) -> str:
    """A time after the midnight that ends the business date: `06:30`, `06:30 +1d` a day later, `-00:15` before."""
    if offset is None:
        return ""
    minutes = round(offset.total_seconds() / 60)
    sign, minutes = ("-", -minutes) if minutes < 0 else ("", minutes)
    days, minutes = divmod(minutes, 24 * 60)
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}" + (f" +{days}d" if days else "")


def _source_timing(source: Source, pipeline: Pipeline | None, arrived: Mapping[date, datetime]) -> SourceTiming:
    available = _since_midnight(source.expected.at)
    late_after = available + timedelta(hours=source.expected.late_after_hours)
    offsets, backfilled = _ordinary(arrived, available)
    return SourceTiming(
        source=source.source,
        available_at=available,
        late_after=late_after,
        starts_at=_start_of(pipeline) if pipeline else None,
        typical=_typical(offsets),
        late=sum(offset > late_after for offset in offsets),
        backfilled=backfilled,
    )


def _delivery_timing(pipeline: Pipeline, ready: Mapping[date, datetime]) -> DeliveryTiming:
    ready_by = _since_midnight(pipeline.ready_by)
    alert = timedelta(minutes=pipeline.alert_if_late_by_minutes)
    offsets, backfilled = _ordinary(ready, ready_by)
    return DeliveryTiming(
        pipeline=pipeline.pipeline,
        ready_by=ready_by,
        alert_if_late_by=alert,
        typical=_typical(offsets),
        late=sum(offset > ready_by for offset in offsets),
        alerting=sum(offset > ready_by + alert for offset in offsets),
        backfilled=backfilled,
    )


def _start_of(pipeline: Pipeline) -> timedelta:
    """When the schedule starts first in a day (UTC)."""
    midnight = datetime(2024, 1, 1, tzinfo=UTC)
    starts = next(CronSim(pipeline.schedule, midnight - timedelta(seconds=1)))
    return _since_midnight(starts.time())


def _ordinary(times: Mapping[date, datetime], due: timedelta) -> tuple[list[timedelta], int]:
    """The offsets of the dates that came in their time, and how many came so late that they were filled in."""
    offsets = [at - datetime.combine(day + _ONE_DAY, time()) for day, at in times.items()]
    ordinary = sorted(offset for offset in offsets if offset <= due + BACKFILLED_AFTER)
    return ordinary, len(offsets) - len(ordinary)


def _typical(offsets: Sequence[timedelta]) -> Typical | None:
    """The middle and the 95th percentile by nearest rank, of sorted `offsets`."""
    if not offsets:
        return None
    return Typical(len(offsets), _rank(offsets, 50), _rank(offsets, 95))


def _rank(offsets: Sequence[timedelta], percent: int) -> timedelta:
    return offsets[max(0, -(-percent * len(offsets) // 100) - 1)]


def _since_midnight(at: time) -> timedelta:
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)
