"""What the investors' page shows: its metrics over the weeks up to a date, from `metrics.investor_summary`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import sqlalchemy as sa

from cdm_assets.warehouse.tables import Tables

TABLE: Final = "metrics.investor_summary"
WEEKS_SHOWN: Final = 26


@dataclass(frozen=True)
class Plot:
    """One plot of the page: metrics that are counted in the same."""

    name: str
    title: str
    counted_in: str
    metrics: tuple[str, ...]


PLOTS: Final = (
    Plot("profit", "Profit by week", "dollars", ("revenue", "cost", "profit")),
    Plot("growth", "Users with a licence", "users", ("users_with_licence", "net_growth")),
    Plot(
        "engagement",
        "Active users",
        "users",
        ("daily_active_users", "weekly_active_users", "monthly_active_users"),
    ),
    Plot(
        "ratios",
        "Margin, churn, stickiness, completeness",
        "share",
        ("margin", "churn_rate", "stickiness", "completeness"),
    ),
)

Series = Mapping[str, Sequence[tuple[date, float | None]]]
"""Value by the Monday of its week, for each metric; None where it is NULL."""


def weekly_series(
    connection: sa.Connection, tables: Tables, until: date, *, weeks: int = WEEKS_SHOWN
) -> dict[str, list[tuple[date, float | None]]]:
    """The values of each metric of the last `weeks` weeks that end on or before `until`, the oldest first."""
    page = tables[TABLE]
    since = until - timedelta(days=7 * weeks)
    query = (
        sa.select(page.c.metric, page.c.week_start, page.c.value)
        .where(page.c.business_date > since, page.c.business_date <= until)
        .order_by(page.c.metric, page.c.week_start)
    )
    series: dict[str, list[tuple[date, float | None]]] = {}
    for metric, week_start, value in connection.execute(query).tuples():
        series.setdefault(metric, []).append((week_start, None if value is None else float(value)))
    return series
