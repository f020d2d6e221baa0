"""Investors' mart: profit, growth and engagement of a whole week on one page, beside the week before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.loading.marts.measures import rate
from cdm_assets.loading.marts.periods import PeriodKind, later_by
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import fixed_text
from cdm_assets.warehouse.tables import Tables

_VALUE: Final = sa.Numeric(20, 6)
_WEEK_DAYS: Final = 7


@dataclass(frozen=True)
class InvestorMetric:
    """A metric of the page: the column of an aggregate, by the same name, and what it is counted in."""

    metric: str
    aggregate: str
    counted_in: str


METRICS: Final = (
    InvestorMetric("revenue", "profit_aggregate", "dollars"),
    InvestorMetric("cost", "profit_aggregate", "dollars"),
    InvestorMetric("profit", "profit_aggregate", "dollars"),
    InvestorMetric("margin", "profit_aggregate", "share"),
    InvestorMetric("users_with_licence", "growth_aggregate", "users"),
    InvestorMetric("net_growth", "growth_aggregate", "users"),
    InvestorMetric("churn_rate", "growth_aggregate", "share"),
    InvestorMetric("month_over_month", "growth_aggregate", "share"),
    InvestorMetric("year_over_year", "growth_aggregate", "share"),
    InvestorMetric("clicks", "engagement_aggregate", "clicks"),
    InvestorMetric("daily_active_users", "engagement_aggregate", "users"),
    InvestorMetric("weekly_active_users", "engagement_aggregate", "users"),
    InvestorMetric("monthly_active_users", "engagement_aggregate", "users"),
    InvestorMetric("stickiness", "engagement_aggregate", "share"),
    InvestorMetric("completeness", "engagement_aggregate", "share"),
)
"""In the order of the page."""


def investor_summary(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """A row a metric for each date that ends an ISO week; other dates have none."""
    rows = sa.union_all(*(_weekly(tables, dates, metric) for metric in METRICS)).subquery("weekly")
    change = sa.cast(rows.c.value - rows.c.value_before, _VALUE)
    return sa.select(
        *rows.c,
        change.label("change"),
        rate(change, rows.c.value_before, sa.Numeric(14, 6)).label("change_rate"),
    )


def _weekly(tables: Tables, dates: DateRange, metric: InvestorMetric) -> sa.Select[Any]:
    aggregate = tables[f"metrics.{metric.aggregate}"]
    week, before = aggregate.alias("week"), aggregate.alias("week_before")
    is_week_before = sa.and_(
        before.c.business_date == later_by(week.c.business_date, -_WEEK_DAYS),
        before.c.period_kind == week.c.period_kind,
    )
    return (
        sa.select(
            week.c.business_date,
            week.c.period_start.label("week_start"),
            fixed_text(metric.metric).label("metric"),
            fixed_text(metric.counted_in).label("counted_in"),
            sa.cast(week.c[metric.metric], _VALUE).label("value"),
            sa.cast(before.c[metric.metric], _VALUE).label("value_before"),
        )
        .select_from(week.outerjoin(before, is_week_before))
        .where(
            week.c.business_date.between(dates.first, dates.last),
            week.c.period_kind == fixed_text(PeriodKind.WEEK.value),
            week.c.is_complete == sa.true(),
        )
    )
