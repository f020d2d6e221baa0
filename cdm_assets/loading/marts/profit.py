"""Profit marts: revenue, spend and salaries of each business unit by date, by experiment arm, by week and month.

A salary is allocated evenly over the days of its month, as it is known on the date. While no payroll at all is known,
salary, cost and profit are NULL: they are not known, which is not the same as nothing.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.loading.marts.assignments import members
from cdm_assets.loading.marts.measures import rate, total
from cdm_assets.loading.marts.periods import PeriodKind, days_in_month, periods
from cdm_assets.loading.stamp import in_range
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import fixed_text
from cdm_assets.warehouse.tables import Tables

UNKNOWN_UNIT: Final = "other"
"""The unit of an article without details, as the interface says it."""
LEDGER_LINES: Final = ("revenue", "spend", "salary")
_COUNT: Final = sa.BigInteger()
_MONEY: Final = sa.Numeric(18, 2)
_SHARED_MONEY: Final = sa.Numeric(18, 4)
"""Amounts that are divided among days or customers."""


def customer_unit_day(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Spending by business unit, by the unit the article had on the day of the purchase."""
    line, product = tables["itf.transaction"], tables["itf.product"]
    same_article = sa.and_(
        product.c.product_id == line.c.product_id,
        product.c.business_date == line.c.business_date,
        in_range(product.c.business_date, dates),
    )
    unit = sa.func.coalesce(product.c.unit, fixed_text(UNKNOWN_UNIT))
    keys = [line.c.business_date, line.c.customer_id, unit]
    return (
        sa.select(*keys[:2], unit.label("unit"), total(line.c.sales_amount, _MONEY).label("sales_amount"))
        .select_from(line.outerjoin(product, same_article))
        .where(in_range(line.c.business_date, dates))
        .group_by(*keys)
    )


def profit_unit(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Revenue, spend, allocated salary and profit of each unit with any of them on each date."""
    bought, spend = tables["agg.customer_unit_day"], tables["itf.spend"]
    salaries, known = _allocated_salaries(tables, dates), _payroll_known(tables, dates)
    parts = (
        _amounts(bought, revenue=bought.c.sales_amount, customers=sa.literal_column("1")).where(
            in_range(bought.c.business_date, dates)
        ),
        _amounts(spend, spend=spend.c.amount).where(in_range(spend.c.business_date, dates)),
        _amounts(salaries, salary=salaries.c.salary),
    )
    rows = sa.union_all(*parts).subquery("amounts")
    revenue, spent = total(rows.c.revenue, _MONEY), total(rows.c.spend, _MONEY)
    keys = [rows.c.business_date, rows.c.unit]
    sums = (
        sa.select(
            *keys,
            revenue.label("revenue"),
            spent.label("spend"),
            total(rows.c.salary, _SHARED_MONEY).label("salary"),
            total(rows.c.customers, _COUNT).label("customers"),
        )
        .group_by(*keys)
        .subquery("sums")
    )
    salary = sa.cast(sa.case((known.c.business_date.is_not(None), sums.c.salary)), _SHARED_MONEY)
    profit = sa.cast(sums.c.revenue - sums.c.spend - salary, _SHARED_MONEY)
    return sa.select(
        sums.c.business_date,
        sums.c.unit,
        sums.c.revenue,
        sums.c.spend,
        salary.label("salary"),
        profit.label("profit"),
        sums.c.customers,
        rate(sums.c.revenue, sums.c.customers, _SHARED_MONEY).label("revenue_per_customer"),
        rate(profit, sums.c.customers, _SHARED_MONEY).label("profit_per_customer"),
    ).select_from(sums.outerjoin(known, known.c.business_date == sums.c.business_date))


def _amounts(rows: sa.FromClause, **given: ColumnElement[Any]) -> sa.Select[Any]:
    """Rows of a date and unit: the given amounts, nothing in the others."""
    types: dict[str, Any] = {"revenue": _MONEY, "spend": _MONEY, "salary": _SHARED_MONEY, "customers": _COUNT}
    values = [sa.cast(given.get(n, sa.literal_column("0")), type_).label(n) for n, type_ in types.items()]
    return sa.select(rows.c.business_date, rows.c.unit, *values)


def _allocated_salaries(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The salaries of each unit for one day: a month's as known on the date, divided by the days of the month."""
    payroll = tables["itf.payroll"]
    monthly = (
        sa.select(
            payroll.c.business_date, payroll.c.unit, total(payroll.c.monthly_salary, _MONEY).label("monthly_salary")
        )
        .where(in_range(payroll.c.business_date, dates))
        .group_by(payroll.c.business_date, payroll.c.unit)
        .subquery("monthly_salaries")
    )
    salary = rate(monthly.c.monthly_salary, days_in_month(monthly.c.business_date), _SHARED_MONEY)
    return sa.select(monthly.c.business_date, monthly.c.unit, salary.label("salary")).subquery("daily_salaries")


def _payroll_known(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The dates on which the salary of any team is known."""
    payroll = tables["itf.payroll"]
    return (
        sa.select(payroll.c.business_date)
        .where(in_range(payroll.c.business_date, dates), payroll.c.monthly_salary.is_not(None))
        .distinct()
        .subquery("payroll_known")
    )


def profit_unit_arm(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """What the customers in each arm of each experiment running on a date brought each unit on it.

    An arm bears the unit's cost of the date by its share of the unit's revenue; none can be told, and so no profit,
    where the unit had no revenue.
    """
    unit, bought = tables["metrics.profit_unit"], tables["agg.customer_unit_day"]
    member = members(tables, dates)
    sizes = (
        sa.select(member.c.business_date, member.c.experiment_id, member.c.arm, sa.func.count().label("customers"))
        .group_by(member.c.business_date, member.c.experiment_id, member.c.arm)
        .subquery("sizes")
    )
    same_customer = sa.and_(
        bought.c.business_date == member.c.business_date, bought.c.customer_id == member.c.customer_id
    )
    keys = [member.c.business_date, member.c.experiment_id, member.c.arm, bought.c.unit]
    sales = (
        sa.select(*keys, total(bought.c.sales_amount, _MONEY).label("revenue"))
        .select_from(member.join(bought, same_customer))
        .where(in_range(bought.c.business_date, dates))
        .group_by(*keys)
        .subquery("sales")
    )
    same_arm = sa.and_(*(sales.c[n] == sizes.c[n] for n in ("business_date", "experiment_id", "arm")))
    revenue = sa.cast(sa.func.coalesce(sales.c.revenue, 0), _MONEY)
    cost = rate((unit.c.spend + unit.c.salary) * revenue, unit.c.revenue, _SHARED_MONEY)
    profit = sa.cast(revenue - cost, _SHARED_MONEY)
    return (
        sa.select(
            sizes.c.business_date,
            unit.c.unit,
            sizes.c.experiment_id,
            sizes.c.arm,
            sizes.c.customers,
            revenue.label("revenue"),
            cost.label("cost"),
            profit.label("profit"),
            rate(revenue, sizes.c.customers, _SHARED_MONEY).label("revenue_per_customer"),
            rate(profit, sizes.c.customers, _SHARED_MONEY).label("profit_per_customer"),
        )
        .select_from(
            sizes.join(unit, unit.c.business_date == sizes.c.business_date).outerjoin(
                sales, sa.and_(same_arm, sales.c.unit == unit.c.unit)
            )
        )
        .where(in_range(unit.c.business_date, dates))
    )


def profit_aggregate(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Revenue, cost and profit of the week and the month to date, and of the month before beside the ledger.

    NULL where a day of the period has no known salary, and where no unit has a row in the period.
    """
    period = periods(tables, dates, (PeriodKind.WEEK, PeriodKind.MONTH, PeriodKind.CLOSED_MONTH))
    unit, ledger = tables["metrics.profit_unit"], _ledger(tables, dates)
    keys = [period.c[n] for n in ("business_date", "period_kind", "period_start", "is_complete")]
    all_salaries_known = sa.func.count(unit.c.salary) == sa.func.count(unit.c.unit)
    in_period = unit.c.business_date.between(period.c.period_start, period.c.until)
    sums = (
        sa.select(
            *keys,
            total(unit.c.revenue, _MONEY).label("revenue"),
            total(unit.c.spend, _MONEY).label("spend"),
            sa.cast(sa.case((all_salaries_known, sa.func.sum(unit.c.salary))), _SHARED_MONEY).label("salary"),
        )
        .select_from(period.outerjoin(unit, sa.and_(in_period, unit.c.business_date <= dates.last)))
        .group_by(*keys)
        .subquery("sums")
    )
    cost = sa.cast(sums.c.spend + sums.c.salary, _SHARED_MONEY)
    profit = sa.cast(sums.c.revenue - sums.c.spend - sums.c.salary, _SHARED_MONEY)
    same_month = sa.and_(
        ledger.c.business_date == sums.c.business_date,
        ledger.c.month == sums.c.period_start,
        sums.c.period_kind != fixed_text(PeriodKind.WEEK.value),
    )
    off = [sa.cast(sums.c[line] - ledger.c[line], _SHARED_MONEY).label(f"{line}_difference") for line in LEDGER_LINES]
    return sa.select(
        *(sums.c[key.name] for key in keys),
        sums.c.revenue,
        sums.c.spend,
        sums.c.salary,
        cost.label("cost"),
        profit.label("profit"),
        rate(profit, sums.c.revenue, sa.Numeric(12, 6)).label("margin"),
        *(ledger.c[line].label(f"ledger_{line}") for line in LEDGER_LINES),
        *off,
    ).select_from(sums.outerjoin(ledger, same_month))


def _ledger(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The accountants' totals as known on each date: a row a date and month, a column a line."""
    ledger = tables["itf.ledger"]
    lines = [
        sa.cast(sa.func.max(sa.case((ledger.c.line == fixed_text(line), ledger.c.amount))), _MONEY).label(line)
        for line in LEDGER_LINES
    ]
    keys = [ledger.c.business_date, ledger.c.month]
    return sa.select(*keys, *lines).where(in_range(ledger.c.business_date, dates)).group_by(*keys).subquery("ledger")
