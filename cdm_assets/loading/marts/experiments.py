"""Experiment mart: the arms of each experiment compared, as of each date.

SQL gives for each experiment, metric and arm the number of customers, the sum of their values and the sum of the
squares, all exact; Python makes means, intervals and p-values of them. A customer's value is what happened from the day
of the assignment to the date or to the experiment's last day, whichever is earlier; a customer with nothing has 0.

Sources: B. L. Welch, "The generalization of 'Student's' problem when several different population variances are
involved", Biometrika 34 (1947); A. Fabijan et al., "Diagnosing sample ratio mismatch", KDD 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.loading.marts.computed import Row, computed
from cdm_assets.loading.marts.measures import total
from cdm_assets.loading.marts.periods import earlier_of
from cdm_assets.loading.stamp import in_range
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import fixed_text
from cdm_assets.warehouse.tables import Tables

METRICS: Final = ("revenue", "baskets", "clicks")
"""Dollars spent in the experiment's unit, receipts, and clicks."""
CONTROL, TREATMENT = "control", "treatment"
CONFIDENCE: Final = 0.95
_NO_UNIT: Final = "-"
_EXACT: Final = Context(prec=60)
_COUNT: Final = sa.BigInteger()
_MONEY: Final = sa.Numeric(18, 2)
_SQUARES: Final = sa.Numeric(38, 4)
STATISTIC_PLACES: Final = 6
P_VALUE_PLACES: Final = 10
_STATISTIC: Final = sa.Numeric(28, STATISTIC_PLACES)
_P_VALUE: Final = sa.Numeric(12, P_VALUE_PLACES)


def experiment_summary(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Each arm of each experiment that has begun by each date, by metric; `with_statistics` fills what is computed."""
    experiment, size, so_far = _begun(tables, dates), _sizes(tables, dates), _sums(tables, dates)
    grid = sa.union_all(
        *(
            sa.select(*experiment.c, fixed_text(metric).label("metric"), fixed_text(arm).label("arm"))
            for metric in METRICS
            for arm in (CONTROL, TREATMENT)
        )
    ).subquery("grid")
    same_arm = sa.and_(*(size.c[n] == grid.c[n] for n in ("business_date", "experiment_id", "arm")))
    same_row = sa.and_(*(so_far.c[n] == grid.c[n] for n in ("business_date", "experiment_id", "arm", "metric")))
    units = sa.cast(sa.func.coalesce(size.c.units, 0), _COUNT)
    summed = sa.cast(sa.func.coalesce(so_far.c.total, 0), _MONEY)
    squares = sa.cast(sa.func.coalesce(so_far.c.total_of_squares, 0), _SQUARES)
    sums = (units, summed, squares)
    return sa.select(
        grid.c.business_date,
        grid.c.experiment_id,
        grid.c.metric,
        grid.c.arm,
        grid.c.treatment_share,
        units.label("units"),
        summed.label("total"),
        squares.label("total_of_squares"),
        computed(_STATISTIC, units, summed).label("mean"),
        computed(_STATISTIC, *sums).label("variance"),
        computed(_STATISTIC, units, summed).label("difference"),
        computed(_STATISTIC, *sums).label("confidence_low"),
        computed(_STATISTIC, *sums).label("confidence_high"),
        computed(_P_VALUE, *sums).label("p_value"),
        computed(_P_VALUE, units, grid.c.treatment_share).label("sample_ratio_p_value"),
    ).select_from(grid.outerjoin(size, same_arm).outerjoin(so_far, same_row))


def _begun(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The experiments that have begun by each date, as known on it, with the last date that counts."""
    experiment = tables["itf.experiment"]
    day = experiment.c.business_date
    return (
        sa.select(
            day,
            experiment.c.experiment_id,
            experiment.c.unit,
            experiment.c.treatment_share,
            earlier_of(day, experiment.c.ends_on).label("until"),
        )
        .where(in_range(day, dates), experiment.c.starts_on <= day)
        .subquery("begun")
    )


def _sizes(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The customers in each arm on each date."""
    begun, assigned = _begun(tables, dates), tables["itf.experiment_assignment"]
    by_then = sa.and_(assigned.c.experiment_id == begun.c.experiment_id, assigned.c.business_date <= begun.c.until)
    keys = [begun.c.business_date, begun.c.experiment_id, assigned.c.arm]
    return (
        sa.select(*keys, sa.func.count().label("units"))
        .select_from(begun.join(assigned, by_then))
        .group_by(*keys)
        .subquery("sizes")
    )


def _sums(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The sums over customers of their values so far, and of the squares of these, on each date."""
    begun, step = _begun(tables, dates), _steps(tables, dates)
    counts = sa.and_(
        step.c.experiment_id == begun.c.experiment_id,
        step.c.day <= begun.c.until,
        sa.or_(step.c.unit == begun.c.unit, step.c.unit == fixed_text(_NO_UNIT)),
    )
    keys = [begun.c.business_date, begun.c.experiment_id, step.c.arm, step.c.metric]
    return (
        sa.select(
            *keys,
            total(step.c.value, _MONEY).label("total"),
            total(step.c.squares, _SQUARES).label("total_of_squares"),
        )
        .select_from(begun.join(step, counts))
        .group_by(*keys)
        .subquery("sums_so_far")
    )


def _steps(tables: Tables, dates: DateRange) -> sa.Subquery:
    """By how much each date raises an arm's sum of values, and its sum of squares.

    A value that grows from b to b + v raises the sum of squares by v * (2 * (b + v) - v).
    """
    assigned, activity = tables["itf.experiment_assignment"], _activity(tables, dates)
    after = sa.and_(
        activity.c.customer_id == assigned.c.customer_id, activity.c.business_date >= assigned.c.business_date
    )
    keys = [
        assigned.c.experiment_id,
        assigned.c.arm,
        assigned.c.customer_id,
        activity.c.metric,
        activity.c.unit,
        activity.c.business_date.label("day"),
    ]
    daily = (
        sa.select(*keys, activity.c.value)
        .select_from(assigned.join(activity, after))
        .where(assigned.c.business_date <= dates.last)
        .subquery("of_customers")
    )
    so_far = sa.func.sum(daily.c.value).over(
        partition_by=[daily.c.experiment_id, daily.c.customer_id, daily.c.metric, daily.c.unit], order_by=daily.c.day
    )
    steps = sa.select(*daily.c, sa.cast(so_far, _MONEY).label("so_far")).subquery("running")
    by_arm = [steps.c.experiment_id, steps.c.arm, steps.c.metric, steps.c.unit, steps.c.day]
    raised = sa.cast(steps.c.value, _MONEY) * (2 * steps.c.so_far - steps.c.value)
    return (
        sa.select(*by_arm, total(steps.c.value, _MONEY).label("value"), total(raised, _SQUARES).label("squares"))
        .group_by(*by_arm)
        .subquery("steps")
    )


def _activity(tables: Tables, dates: DateRange) -> sa.Subquery:
    """What each customer did on each date up to the end of the range, by metric; `unit` is `-` where it has none."""
    bought, daily, click = tables["agg.customer_unit_day"], tables["agg.customer_day"], tables["itf.click"]
    sales = _of_metric("revenue", bought, bought.c.sales_amount, unit=bought.c.unit)
    baskets = _of_metric("baskets", daily, daily.c.baskets).where(daily.c.baskets > 0)
    clicks = _of_metric("clicks", click, sa.func.count()).group_by(click.c.business_date, click.c.customer_id)
    parts = [
        part.where(rows.c.business_date <= dates.last)
        for part, rows in ((sales, bought), (baskets, daily), (clicks, click))
    ]
    return sa.union_all(*parts).subquery("activity")


def _of_metric(
    metric: str, rows: sa.Table, value: sa.ColumnElement[Any], *, unit: sa.ColumnElement[Any] | None = None
) -> sa.Select[Any]:
    return sa.select(
        rows.c.business_date,
        rows.c.customer_id,
        fixed_text(metric).label("metric"),
        (fixed_text(_NO_UNIT) if unit is None else unit).label("unit"),
        sa.cast(value, _MONEY).label("value"),
    )


@dataclass(frozen=True)
class Arm:
    """What is known of an arm: customers, the sum of their values, the sum of the squares of these."""

    units: int
    total: Decimal
    total_of_squares: Decimal

    @property
    def mean(self) -> Fraction | None:
        """The mean of the customers' values; None without customers."""
        return Fraction(self.total) / self.units if self.units else None

    @property
    def variance(self) -> Fraction | None:
        """The sample variance (n - 1); None for fewer than two customers. Exact: the sums are."""
        if self.units < 2:
            return None
        total = Fraction(self.total)
        return (Fraction(self.total_of_squares) - total * total / self.units) / (self.units - 1)


@dataclass(frozen=True)
class Comparison:
    """Treatment against control: difference of the means, its 95 % interval, the p-value of Welch's test."""

    difference: float
    low: float | None
    high: float | None
    p_value: float | None


def compared(control: Arm, treatment: Arm) -> Comparison | None:
    """Welch's test of two arms; None if one has no customer, only the difference where a variance is not known.

    Where both variances are zero there is no distribution, and so no interval and no p-value.
    """
    if control.mean is None or treatment.mean is None:
        return None
    difference = float(treatment.mean - control.mean)
    if control.variance is None or treatment.variance is None or control.variance + treatment.variance == 0:
        return Comparison(difference, None, None, None)
    from scipy import stats  # noqa: PLC0415 - takes a second to import, and only this function needs it

    of_control, of_treatment = control.variance / control.units, treatment.variance / treatment.units
    error = math.sqrt(of_control + of_treatment)
    freedom = float(
        (of_control + of_treatment) ** 2
        / (of_control**2 / (control.units - 1) + of_treatment**2 / (treatment.units - 1))
    )
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    p_value = 2 * float(stats.t.sf(abs(difference) / error, freedom))
    return Comparison(difference, difference - margin, difference + margin, p_value)


def sample_ratio_p_value(control: int, treatment: int, treatment_share: Decimal | None) -> float | None:
    """How likely arms are as far from the intended share as these (chi-square, one degree of freedom).

    A small value means that the assignment is broken and the comparison worthless. None without customers, or where
    one arm is meant to be empty.
    """
    number = control + treatment
    if not number or treatment_share is None or not 0 < treatment_share < 1:
        return None
    from scipy import stats  # noqa: PLC0415 - see above

    expected = float(treatment_share) * number
    statistic = (treatment - expected) ** 2 / expected + (control - (number - expected)) ** 2 / (number - expected)
    return float(stats.chi2.sf(statistic, 1))


def with_statistics(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows of `experiment_summary` with their statistics; difference, interval and p-value stand on treatment's."""
    arms = {
        (row["business_date"], row["experiment_id"], row["metric"], row["arm"]): Arm(
            int(row["units"]), Decimal(row["total"]), Decimal(row["total_of_squares"])
        )
        for row in rows
    }
    filled = []
    for row in rows:
        place = (row["business_date"], row["experiment_id"], row["metric"])
        control, treatment = arms[*place, CONTROL], arms[*place, TREATMENT]
        mine = arms[*place, row["arm"]]
        comparison = compared(control, treatment) if row["arm"] == TREATMENT else None
        ratio = sample_ratio_p_value(control.units, treatment.units, row["treatment_share"])
        filled.append(
            {
                **row,
                "mean": _rounded(mine.mean),
                "variance": _rounded(mine.variance),
                "difference": _rounded(comparison.difference if comparison else None),
                "confidence_low": _rounded(comparison.low if comparison else None),
                "confidence_high": _rounded(comparison.high if comparison else None),
                "p_value": _rounded(comparison.p_value if comparison else None, P_VALUE_PLACES),
                "sample_ratio_p_value": _rounded(ratio, P_VALUE_PLACES),
            }
        )
    return filled


def _rounded(value: float | Fraction | None, places: int = STATISTIC_PLACES) -> Decimal | None:
    if value is None:
        return None
    scaled = round(Fraction(value) * 10**places)  # half to even, of the exact value
    return Decimal(scaled).scaleb(-places, _EXACT)
