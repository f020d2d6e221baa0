"""Engagement mart: clicks, active users and how complete they are, by day and week.

Clicks are counted once an event id, which the vault sees to. A click belongs to the date on which it was made, whenever
its file came; completeness is the share of a period's known clicks that came within the source's bound for late events
(48 hours). So as of a date itself it says little, and it falls with every late file, which repairs that date.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.loading.marts.measures import rate, total
from cdm_assets.loading.marts.periods import PeriodKind, later_by, periods, week_start
from cdm_assets.loading.stamp import in_range
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import seconds_between
from cdm_assets.warehouse.tables import TIMESTAMP, Tables

WEEK_DAYS: Final = 7
MONTH_DAYS: Final = 30
_COUNT: Final = sa.BigInteger()
_USERS: Final = sa.Numeric(18, 4)
_RATE: Final = sa.Numeric(12, 6)


def engagement_aggregate(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Clicks and active users of each date and of its week to date; users of the last 7 and 30 days beside them."""
    period, user = periods(tables, dates, (PeriodKind.DAY, PeriodKind.WEEK)), _users(tables, dates)
    keys = [period.c[n] for n in ("business_date", "period_kind", "period_start", "is_complete", "days")]
    is_day = period.c.days == 1  # a week of one day to date holds what its day holds

    def of_period(name: str) -> sa.ColumnElement[Any]:
        return sa.case((is_day, user.c[f"{name}_day"]), else_=user.c[f"{name}_week"])

    active_in_period = sa.case((user.c.last_date >= period.c.period_start, 1), else_=0)
    active_in_week = sa.case((user.c.last_date > later_by(period.c.business_date, -WEEK_DAYS), 1), else_=0)
    sums = (
        sa.select(
            *keys,
            *(
                total(sa.func.coalesce(of_period(name), 0), _COUNT).label(name)
                for name in ("clicks", "clicks_in_time", "user_days")
            ),
            total(active_in_period, _COUNT).label("active_users"),
            total(active_in_week, _COUNT).label("weekly_active_users"),
            sa.cast(sa.func.count(user.c.customer_id), _COUNT).label("monthly_active_users"),
        )
        .select_from(period.outerjoin(user, user.c.business_date == period.c.business_date))
        .group_by(*keys)
        .subquery("sums")
    )
    daily_users = rate(sums.c.user_days, sums.c.days, _USERS)
    return sa.select(
        *(sums.c[key.name] for key in keys if key.name != "days"),
        sums.c.clicks,
        sums.c.active_users,
        daily_users.label("daily_active_users"),
        sums.c.weekly_active_users,
        sums.c.monthly_active_users,
        rate(daily_users, sums.c.monthly_active_users, _RATE).label("stickiness"),
        sums.c.clicks_in_time,
        rate(sums.c.clicks_in_time, sums.c.clicks, _RATE).label("completeness"),
    )


def _users(tables: Tables, dates: DateRange) -> sa.Subquery:
    """Each customer with a click in the 30 days up to each date: the last date with one, and sums of date and week."""
    calendar, daily = tables["cdp_metadata.calendar"], _daily(tables, dates)
    day, made = calendar.c.business_date, daily.c.business_date
    is_day, is_week = made == day, made >= week_start(day)
    sums = {
        f"{name}_{window}": sa.func.sum(sa.case((counts, daily.c[name]), else_=0)).label(f"{name}_{window}")
        for name in ("clicks", "clicks_in_time", "user_days")
        for window, counts in (("day", is_day), ("week", is_week))
    }
    in_window = made.between(later_by(day, 1 - MONTH_DAYS), day)
    return (
        sa.select(day, daily.c.customer_id, sa.func.max(made).label("last_date"), *sums.values())
        .select_from(calendar.join(daily, in_window))
        .where(in_range(day, dates))
        .group_by(day, daily.c.customer_id)
        .subquery("users")
    )


def _daily(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The clicks of each customer on each date, those that came in time among them."""
    click = tables["itf.click"]
    bound_seconds = round(tables.catalog.source_of_event("click").event_bound_hours * 3600)
    lateness = seconds_between(click.c.clicked_at, sa.cast(click.c.arrival_date, TIMESTAMP))
    in_time = sa.case((lateness <= sa.literal_column(str(bound_seconds)), 1), else_=0)
    return (
        sa.select(
            click.c.business_date,
            click.c.customer_id,
            sa.func.count().label("clicks"),
            sa.func.sum(in_time).label("clicks_in_time"),
            sa.literal_column("1").label("user_days"),
        )
        .where(click.c.business_date <= dates.last)
        .group_by(click.c.business_date, click.c.customer_id)
        .subquery("clicks_daily")
    )
