"""Partitions with an unusual number of rows: a robust z-score against the same day of the week before.

    z = (rows - median) / max(1.4826 * MAD, 2 % of the median, square root of the median, 1)

The median absolute deviation is not moved by the anomalies it is to find (Iglewicz and Hoaglin 1993, who call 3.5
large); the other terms are what counts of independent events scatter by at least, so that a history without any
variation does not make every small change an alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import sqrt
from statistics import median
from typing import Final

import sqlalchemy as sa

from cdm_assets.catalog.types import Layer
from cdm_assets.loading.table_loads import TableLoads

LARGEST_Z: Final = 6.0
"""Marketing data has more heavy days than a normal distribution; 3.5 told of every public holiday."""
FEWEST_BEFORE: Final = 4
MOST_BEFORE: Final = 12
RECENT_DAYS: Final = 7
"""Only the newest dates of a table are judged: what was unusual long ago is history."""
_WEEK: Final = 7


@dataclass(frozen=True)
class VolumeAnomaly:
    """A partition with an unusual number of rows."""

    table_key: str
    business_date: date
    rows: int
    usual: float
    z: float
    loaded_at: datetime

    @property
    def message(self) -> str:
        """It in words."""
        what = "fewer" if self.z < 0 else "more"
        return (
            f"{self.rows:,} rows, {what} than usual: {self.usual:,.0f} on {self.business_date:%A}s before "
            f"(robust z {self.z:+.1f}, the limit is {LARGEST_Z:g})"
        )


def robust_z(rows: int, before: Sequence[int]) -> float:
    """How unusual `rows` is after the values `before`, of which there is at least one."""
    middle = median(before)
    deviation = 1.4826 * median(abs(value - middle) for value in before)
    return float((rows - middle) / max(deviation, 0.02 * middle, sqrt(middle), 1.0))


def volume_anomalies(connection: sa.Connection, loads: TableLoads) -> list[VolumeAnomaly]:
    """The unusual partitions of the newest dates, without those that are so because of a table they read.

    Satellites, hubs and persisting links hold what changed, in bursts; they are not judged. Nor are tables that are
    empty on such a day of the week as often as not.
    """
    table = loads.tables["cdp_metadata.partition_load"]
    judged = [key for key in loads.in_order if _holds_a_day(loads, key)]
    newest = connection.execute(sa.select(sa.func.max(table.c.business_date))).scalar()
    if newest is None:
        return []
    first = newest - timedelta(days=RECENT_DAYS + _WEEK * MOST_BEFORE)
    query = sa.select(table.c.table_key, table.c.business_date, table.c.rows_in_partition, table.c.load_ts).where(
        table.c.business_date >= first
    )
    rows: dict[str, dict[date, tuple[int, datetime]]] = {}
    for key, day, count, at in connection.execute(query).tuples():
        rows.setdefault(key, {})[day] = (int(count), at)
    found: dict[tuple[str, date], VolumeAnomaly] = {}
    for key in judged:
        for anomaly in _of_table(key, rows.get(key, {}), newest):
            found[key, anomaly.business_date] = anomaly
    return [anomaly for (key, day), anomaly in found.items() if not _comes_from(loads.ancestors[key], day, found)]


def _comes_from(ancestors: Iterable[str], day: date, found: Mapping[tuple[str, date], VolumeAnomaly]) -> bool:
    return any((ancestor, day) in found for ancestor in ancestors)


def _holds_a_day(loads: TableLoads, key: str) -> bool:
    """Whether a partition of a table is a day's content and not what changed on it."""
    layer, name = key.split(".")
    return layer != Layer.VAULT or name[2:] in loads.catalog.vault.events


def _of_table(key: str, rows: Mapping[date, tuple[int, datetime]], newest: date) -> Iterable[VolumeAnomaly]:
    for day in sorted(rows):
        if day <= newest - timedelta(days=RECENT_DAYS):
            continue
        weeks = [day - timedelta(days=_WEEK * n) for n in range(1, MOST_BEFORE + 1)]
        before = [rows[week][0] for week in weeks if week in rows]
        if len(before) < FEWEST_BEFORE or median(before) == 0:
            continue
        count, loaded_at = rows[day]
        z = robust_z(count, before)
        if abs(z) > LARGEST_Z:
            yield VolumeAnomaly(key, day, count, median(before), z, loaded_at)
