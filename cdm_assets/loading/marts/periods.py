"""The weeks and months that period tables have rows for, and the date arithmetic behind them.

Built from day numbers and differences of days alone, which five databases know alike; their own week and month
functions differ in names, in the first day of a week and in time zones. Weeks are ISO weeks, Monday to Sunday.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.loading.stamp import in_range
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import days_after, days_between, fixed_text, weekday
from cdm_assets.warehouse.tables import Tables

_DAYS_OF_WEEK: Final = 7


class PeriodKind(StrEnum):
    """What a row of a period table is about."""

    DAY = "day"
    WEEK = "week"
    """The ISO week that holds the business date, from its Monday to the business date."""
    MONTH = "month"
    """The calendar month that holds the business date, from its first day to the business date."""
    CLOSED_MONTH = "closed_month"
    """The whole month before, which the accountants close some days after its end."""


def _number(value: int) -> ColumnElement[Any]:
    return sa.literal_column(str(value), sa.Integer())


def later_by(day: ColumnElement[Any], days: int) -> ColumnElement[Any]:
    """The date that many days after `day`, before it where negative."""
    return days_after(day, _number(days))


def week_start(day: ColumnElement[Any]) -> ColumnElement[Any]:
    """The Monday of the ISO week of a date."""
    return days_after(day, -weekday(day))


def day_of_month(day: ColumnElement[Any]) -> ColumnElement[Any]:
    """1 to 31; an integer, which PostgreSQL's EXTRACT does not give."""
    return sa.cast(sa.extract("day", day), sa.Integer())


def month_start(day: ColumnElement[Any]) -> ColumnElement[Any]:
    """The first day of the month of a date."""
    return days_after(day, _number(1) - day_of_month(day))


def next_month_start(day: ColumnElement[Any]) -> ColumnElement[Any]:
    """The first day of the month after that of a date."""
    return month_start(later_by(month_start(day), 31))


def days_in_month(day: ColumnElement[Any]) -> ColumnElement[Any]:
    """The number of days of the month of a date."""
    return days_between(month_start(day), next_month_start(day))


def year_before(day: ColumnElement[Any]) -> ColumnElement[Any]:
    """The same date a year before; 28 February for 29 February."""
    # 365 days before the first of a month is the first or second of that month a year before.
    first = month_start(later_by(month_start(day), -365))
    same = days_after(first, day_of_month(day) - _number(1))
    last = later_by(next_month_start(first), -1)
    return sa.case((same > last, last), else_=same)


def earlier_of(first: ColumnElement[Any], second: ColumnElement[Any]) -> ColumnElement[Any]:
    """The earlier of two dates; LEAST is missing before SQL Server 2022."""
    return sa.case((second < first, second), else_=first)


def periods(tables: Tables, dates: DateRange, kinds: Sequence[PeriodKind]) -> sa.Subquery:
    """For each date of the range a row for each of `kinds`.

    Columns: business_date, period_kind, period_start, `until` (the last date that counts), is_complete (`until` is the
    last day of the period) and days (from period_start to `until`).
    """
    parts = [_of_kind(tables["cdp_metadata.calendar"], dates, kind) for kind in kinds]
    return (sa.union_all(*parts) if len(parts) > 1 else parts[0]).subquery("periods")


def _of_kind(calendar: sa.Table, dates: DateRange, kind: PeriodKind) -> sa.Select[Any]:
    day = calendar.c.business_date
    until: ColumnElement[Any] = day
    match kind:
        case PeriodKind.DAY:
            start: ColumnElement[Any] = day
            is_complete: ColumnElement[Any] = sa.true()
        case PeriodKind.WEEK:
            start = week_start(day)
            is_complete = sa.case((weekday(day) == _DAYS_OF_WEEK - 1, sa.true()), else_=sa.false())
        case PeriodKind.MONTH:
            start = month_start(day)
            is_complete = sa.case((later_by(day, 1) == next_month_start(day), sa.true()), else_=sa.false())
        case PeriodKind.CLOSED_MONTH:
            until = later_by(month_start(day), -1)
            start = month_start(until)
            is_complete = sa.true()
    return sa.select(
        day.label("business_date"),
        fixed_text(kind.value).label("period_kind"),
        start.label("period_start"),
        until.label("until"),
        sa.cast(is_complete, sa.Boolean()).label("is_complete"),
        (days_between(start, until) + _number(1)).label("days"),
    ).where(in_range(day, dates))
