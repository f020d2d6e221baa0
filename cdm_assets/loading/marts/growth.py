"""Growth marts: licences added, stopped, renewed and active by date and experiment arm; users by week and month.

An account has a licence on a date if its latest status change by then is an activation or a renewal that is valid until
that date or longer. It is added on the first date on which it has one, and stopped on the first on which it has none.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.loading.marts.assignments import members
from cdm_assets.loading.marts.measures import rate, total
from cdm_assets.loading.marts.periods import (
    PeriodKind,
    later_by,
    month_start,
    periods,
    week_start,
    year_before,
)
from cdm_assets.loading.stamp import in_range, next_or_never
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import fixed_text
from cdm_assets.warehouse.tables import Tables

LICENSED: Final = ("activated", "renewed")
_COUNT: Final = sa.BigInteger()
_RATE: Final = sa.Numeric(12, 6)


def _licences(tables: Tables, dates: DateRange) -> sa.CTE:
    """The times in which accounts have a licence: account, first date, the first date after it.

    Those of one account do not overlap, and one can begin on the date on which another ends.
    """
    change = tables["itf.account_status"]
    latest_first = sa.func.row_number().over(
        partition_by=[change.c.account_id, change.c.business_date], order_by=change.c.status_change_id.desc()
    )
    ranked = (
        sa.select(*change.c, latest_first.label("nth")).where(change.c.business_date <= dates.last).subquery("ranked")
    )
    until = next_or_never(ranked.c.business_date, partition_by=ranked.c.account_id)
    states = sa.select(*ranked.c, until.label("until")).where(ranked.c.nth == 1).subquery("states")
    # Compared before a day is added: a licence without end has the last date there is.
    ends = sa.case(
        (states.c.valid_until < later_by(states.c.until, -1), later_by(states.c.valid_until, 1)), else_=states.c.until
    )
    return (
        sa.select(states.c.account_id, states.c.business_date.label("begins"), ends.label("ends"))
        .where(
            sa.or_(*(states.c.status == fixed_text(status) for status in LICENSED)),
            states.c.valid_until >= states.c.business_date,
        )
        .cte("licences")
    )


def _changes(licences: sa.CTE, dates: DateRange) -> sa.Subquery:
    """The dates on which an account gets (`change` 1) or loses (-1) its licence, up to the end of the range."""
    parts = [
        sa.select(licences.c.account_id, day.label("day"), sa.literal_column(sign, sa.Integer()).label("change"))
        for day, sign in ((licences.c.begins, "1"), (licences.c.ends, "-1"))
    ]
    both = sa.union_all(*parts).subquery("beginnings_and_ends")
    change = sa.func.sum(both.c.change)
    return (
        sa.select(both.c.account_id, both.c.day, total(both.c.change, _COUNT).label("change"))
        .where(both.c.day <= dates.last)
        .group_by(both.c.account_id, both.c.day)
        .having(change != 0)
        .subquery("licence_changes")
    )


def _renewals(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The accounts that are renewed on each date for the calendar year after it."""
    change = tables["itf.account_status"]
    year = sa.cast(sa.extract("year", change.c.business_date), sa.Integer())
    return (
        sa.select(change.c.business_date, change.c.account_id)
        .where(
            in_range(change.c.business_date, dates),
            change.c.status == fixed_text("renewed"),
            sa.cast(sa.extract("year", change.c.valid_until), sa.Integer()) == year + 1,
        )
        .distinct()
        .subquery("renewals")
    )


def _gained(change: ColumnElement[Any], sign: int) -> ColumnElement[Any]:
    return sa.case((change == sign, 1), else_=0)


def growth_daily(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Licences added, stopped, renewed for the next calendar year, and active, of each date."""
    calendar, renewal = tables["cdp_metadata.calendar"], _renewals(tables, dates)
    change = _changes(_licences(tables, dates), dates)
    daily = (
        sa.select(
            change.c.day,
            total(_gained(change.c.change, 1), _COUNT).label("added"),
            total(_gained(change.c.change, -1), _COUNT).label("stopped"),
        )
        .group_by(change.c.day)
        .subquery("daily_changes")
    )
    renewed = (
        sa.select(renewal.c.business_date, sa.func.count().label("renewed"))
        .group_by(renewal.c.business_date)
        .subquery("renewed")
    )
    today = daily.c.day == calendar.c.business_date
    so_far = (
        sa.select(
            calendar.c.business_date,
            *(
                total(sa.case((today, daily.c[name]), else_=0), _COUNT).label(f"licences_{name}")
                for name in ("added", "stopped")
            ),
            sa.cast(sa.func.coalesce(sa.func.sum(daily.c.added - daily.c.stopped), 0), _COUNT).label("licences_active"),
        )
        .select_from(calendar.outerjoin(daily, daily.c.day <= calendar.c.business_date))
        .where(in_range(calendar.c.business_date, dates))
        .group_by(calendar.c.business_date)
        .subquery("so_far")
    )
    return sa.select(
        so_far.c.business_date,
        fixed_text("all").label("scope"),
        so_far.c.licences_added,
        so_far.c.licences_stopped,
        sa.cast(sa.func.coalesce(renewed.c.renewed, 0), _COUNT).label("licences_renewed"),
        so_far.c.licences_active,
    ).select_from(so_far.outerjoin(renewed, renewed.c.business_date == so_far.c.business_date))


def growth_daily_arm(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """The same of the accounts that the customers in each arm of each experiment running on a date hold."""
    member, account = members(tables, dates), tables["itf.account"]
    licence = _licences(tables, dates)
    change, renewal = _changes(licence, dates), _renewals(tables, dates)
    day = member.c.business_date
    joined = (
        member.outerjoin(
            account,
            sa.and_(
                account.c.business_date == day,
                account.c.customer_id == member.c.customer_id,
                in_range(account.c.business_date, dates),
            ),
        )
        .outerjoin(
            licence,
            sa.and_(licence.c.account_id == account.c.account_id, licence.c.begins <= day, licence.c.ends > day),
        )
        .outerjoin(change, sa.and_(change.c.account_id == account.c.account_id, change.c.day == day))
        .outerjoin(renewal, sa.and_(renewal.c.account_id == account.c.account_id, renewal.c.business_date == day))
    )
    keys = [day, member.c.experiment_id, member.c.arm]
    customers = sa.func.count(member.c.customer_id.distinct())
    active = sa.func.count(licence.c.account_id)
    return (
        sa.select(
            *keys,
            customers.label("customers"),
            total(_gained(change.c.change, 1), _COUNT).label("licences_added"),
            total(_gained(change.c.change, -1), _COUNT).label("licences_stopped"),
            sa.func.count(renewal.c.account_id).label("licences_renewed"),
            active.label("licences_active"),
            rate(active, customers, _RATE).label("licences_per_customer"),
        )
        .select_from(joined)
        .group_by(*keys)
    )


def growth_aggregate(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Users with a licence as of each date, against the time before its week and month began and a year before.

    A user is a customer who holds an account with a licence; who holds an account is as known on the date, for the
    earlier dates it is compared with too. NULL while no account is known, rates where nobody was a user before.
    """
    period = periods(tables, dates, (PeriodKind.WEEK, PeriodKind.MONTH))
    user = _users(tables, dates)
    keys = [period.c[n] for n in ("business_date", "period_kind", "period_start", "is_complete")]
    is_week = period.c.period_kind == fixed_text(PeriodKind.WEEK.value)
    before = sa.case((is_week, user.c.before_week), else_=user.c.before_month)
    sums = (
        sa.select(
            *keys,
            total(user.c.now, _COUNT).label("users_with_licence"),
            total(before, _COUNT).label("users_before"),
            total(sa.case((before == 0, user.c.now), else_=0), _COUNT).label("users_joined"),
            total(sa.case((user.c.now == 0, before), else_=0), _COUNT).label("users_churned"),
            total(user.c.before_month, _COUNT).label("month_before"),
            total(user.c.year_before, _COUNT).label("year_before"),
        )
        .select_from(period.outerjoin(user, user.c.business_date == period.c.business_date))
        .group_by(*keys)
        .subquery("sums")
    )
    users = sums.c.users_with_licence
    return sa.select(
        *(sums.c[key.name] for key in keys),
        users,
        sums.c.users_before,
        sa.case((users.is_not(None), sums.c.users_joined)).label("users_joined"),
        sa.case((users.is_not(None), sums.c.users_churned)).label("users_churned"),
        (users - sums.c.users_before).label("net_growth"),
        rate(sums.c.users_churned, sums.c.users_before, _RATE).label("churn_rate"),
        rate(users - sums.c.month_before, sums.c.month_before, _RATE).label("month_over_month"),
        rate(users - sums.c.year_before, sums.c.year_before, _RATE).label("year_over_year"),
    )


def _users(tables: Tables, dates: DateRange) -> sa.Subquery:
    """Each customer who holds an account as of each date: 1 or 0 for having a licence then and at earlier dates."""
    account, licence = tables["itf.account"], _licences(tables, dates)
    day = account.c.business_date
    at = {
        "now": day,
        "before_week": later_by(week_start(day), -1),
        "before_month": later_by(month_start(day), -1),
        "year_before": year_before(day),
    }
    had = {
        name: sa.func.max(sa.case((sa.and_(licence.c.begins <= then, licence.c.ends > then), 1), else_=0)).label(name)
        for name, then in at.items()
    }
    return (
        sa.select(day, account.c.customer_id, *had.values())
        .select_from(account.outerjoin(licence, licence.c.account_id == account.c.account_id))
        .where(in_range(day, dates), account.c.customer_id.is_not(None))
        .group_by(day, account.c.customer_id)
        .subquery("users")
    )
