"""`spend.xlsx`, `payroll.csv` and `ledger.csv`: what the business units cost, and the accountants' totals. Generated.

Costs are scaled to the real sales, so that something like a fifth of them is left as profit. The ledger's totals are
summed from what the other files hold: real transactions, expenses, salaries.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeAlias

import numpy as np

from cdm_assets.demo.business_dates import FIRST_DATE, LAST_DATE, dates_between
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.extract import ExtractFile, Layout, csv_file, excel_file
from cdm_assets.demo.seeds import generator, pick

SPEND = Layout(
    file_name="spend.xlsx",
    delivery="events, on working days",
    columns=("spend_id", "unit", "category", "description", "amount", "spent_on"),
    generated=("spend_id", "unit", "category", "description", "amount", "spent_on"),
    note="None on Sundays and 2017-12-25. Two expenses are out of scale: a cooling line bought on 2017-05-16, and an "
    "invoice of 2017-09-20 entered with a digit too many.",
)
PAYROLL = Layout(
    file_name="payroll.csv",
    delivery="delta, on the first of months",
    columns=("team", "unit", "headcount", "monthly_salary"),
    generated=("team", "unit", "headcount", "monthly_salary"),
    note="All teams on 2017-01-01, then those that changed.",
)
LEDGER = Layout(
    file_name="ledger.csv",
    delivery="delta, on the fourth of months, for the month before",
    columns=("month", "line", "amount"),
    generated=("month", "line", "amount"),
    note="Revenue is the sum of the real transactions, spend and salary are those of the files here; but the revenue "
    "of July 2017 is 3 % higher on purpose, so that a reconciliation has a difference to find.",
)

_DELIVERED_ON_DAY = 4
_MONTH_BOOKED_TOO_HIGH, _BOOKED_TOO_HIGH_BY = date(2017, 7, 1), Decimal("1.03")
_SUNDAY = 6
_NO_BOOKINGS = frozenset({date(2017, 12, 25)})
_ENTERED_LATE_RATE, _LATEST_ENTRY_DAYS = 0.1, 2
_ASSET_RATE = 0.2
_CENT = Decimal("0.01")

Row: TypeAlias = tuple[object, ...]


@dataclass(frozen=True)
class _Scale:
    """How often a unit spends on a working day, and how much at a time (median and spread of a lognormal)."""

    bookings_a_day: float
    median: float
    spread: float = 0.55


_SCALES = {
    "grocery": _Scale(3.0, 1_080),
    "fresh": _Scale(2.5, 625),
    "household": _Scale(0.4, 85),
    "health": _Scale(1.5, 560),
    "other": _Scale(1.5, 375),
}
_WORDS = {
    "asset": ("shelving", "till hardware", "handheld scanners", "transport boxes", "cooling unit", "software licence"),
    "service": ("cleaning", "logistics", "advertising", "repairs", "energy", "security", "consulting", "hosting"),
}


@dataclass(frozen=True)
class Expense:
    """One booking, delivered on `entered_on`."""

    spend_id: str
    unit: str
    category: str
    description: str
    amount: Decimal
    spent_on: date
    entered_on: date


_OUT_OF_SCALE = {
    date(2017, 5, 16): ("grocery", "asset", "cooling line, whole price", Decimal("186000.00")),
    date(2017, 9, 20): ("health", "service", "advertising", Decimal("58240.00")),
}


@dataclass
class _Team:
    team: str
    unit: str
    headcount: int
    salary_each: int


_TEAMS = (
    ("GROCERY-BUYING", "grocery", 4, 3_150),
    ("GROCERY-SALES", "grocery", 6, 2_450),
    ("GROCERY-STOCK", "grocery", 5, 2_200),
    ("FRESH-BUYING", "fresh", 2, 3_050),
    ("FRESH-COUNTERS", "fresh", 5, 2_350),
    ("FRESH-BAKERY", "fresh", 2, 2_300),
    ("HEALTH-PHARMACY", "health", 2, 3_400),
    ("HEALTH-BEAUTY", "health", 2, 2_250),
    ("HOUSEHOLD-GARDEN", "household", 1, 650),
    ("OTHER-FUEL", "other", 1, 2_250),
    ("OTHER-SERVICES", "other", 1, 2_150),
    ("OTHER-WEB-SHOP", "other", 1, 3_300),
)
_MONTHLY_CHANGE_RATE = 0.15
_RAISES = (1.01, 1.02, 1.03)


class Spend:
    """The expenses, by the day they are entered."""

    def file_on(self, day: date) -> ExtractFile | None:
        """The expenses entered on `day`, by number; None on days on which nobody works."""
        expenses = expenses_entered_on(day)
        rows = [(e.spend_id, e.unit, e.category, e.description, float(e.amount), e.spent_on) for e in expenses]
        return excel_file(SPEND, rows, sheet="Spend") if rows else None


class Payroll:
    """The teams as they stand; `file_on` replays the seeded changes up to the date asked."""

    def file_on(self, day: date) -> ExtractFile | None:
        """The teams that changed, on the first of a month; all of them on Day 0."""
        if day.day != 1:
            return None
        before = {} if day == FIRST_DATE else _teams_on(day - timedelta(days=1))
        rows = [(name, *team) for name, team in _teams_on(day).items() if before.get(name) != team]
        return csv_file(PAYROLL, rows) if rows else None


class Ledger:
    """The totals of months, by the day they are delivered."""

    def __init__(self, journey: CompleteJourney) -> None:
        rows = journey.rows(
            """
            select date_trunc('month', transaction_timestamp)::date, sum(round(sales_value, 2)::decimal(12, 2))
            from read_parquet($path)
            group by all
            """,
            table="transactions",
        )
        self._revenue: dict[date, Decimal] = dict(rows)

    def file_on(self, day: date) -> ExtractFile | None:
        """The totals of the month before, on the fourth of a month."""
        month = (day.replace(day=1) - timedelta(days=1)).replace(day=1)
        if day.day != _DELIVERED_ON_DAY or month < FIRST_DATE:
            return None
        revenue = self._revenue[month]
        if month == _MONTH_BOOKED_TOO_HIGH:
            revenue = (revenue * _BOOKED_TOO_HIGH_BY).quantize(_CENT)
        amounts = {"revenue": revenue, "spend": _spend_of(month), "salary": _salaries_on(month)}
        return csv_file(LEDGER, [(month, line, amount) for line, amount in amounts.items()])


def expenses_entered_on(day: date) -> list[Expense]:
    """The expenses delivered on `day`."""
    if day.weekday() == _SUNDAY or day in _NO_BOOKINGS:
        return []
    rng = generator("spend", day)
    drawn = [
        (unit, *_booking(rng, scale))
        for unit, scale in _SCALES.items()
        for _ in range(int(rng.poisson(scale.bookings_a_day)))
    ]
    expenses: list[Expense] = []
    for unit, category, description, amount in [*drawn, *([_OUT_OF_SCALE[day]] if day in _OUT_OF_SCALE else [])]:
        late_days = int(rng.integers(1, _LATEST_ENTRY_DAYS, endpoint=True)) if rng.random() < _ENTERED_LATE_RATE else 0
        spent_on = max(FIRST_DATE, day - timedelta(days=late_days))
        number = f"E{day:%Y%m%d}-{len(expenses) + 1:03d}"
        expenses.append(Expense(number, unit, category, description, amount, spent_on, day))
    return expenses


def _booking(rng: np.random.Generator, scale: _Scale) -> tuple[str, str, Decimal]:
    category = "asset" if rng.random() < _ASSET_RATE else "service"
    amount = Decimal(str(round(float(rng.lognormal(np.log(scale.median), scale.spread)), 2))).quantize(_CENT)
    return category, pick(rng, _WORDS[category]), amount


def _spend_of(month: date) -> Decimal:
    """The expenses made in a month, those entered in the first days of the next one included."""
    last = month.replace(day=28) + timedelta(days=4)
    days = dates_between(month, min(LAST_DATE, last.replace(day=1) + timedelta(days=_LATEST_ENTRY_DAYS)))
    expenses = (expense for day in days for expense in expenses_entered_on(day))
    return sum((e.amount for e in expenses if e.spent_on.replace(day=1) == month), Decimal("0.00"))


def _salaries_on(day: date) -> Decimal:
    return sum((salary for _, _, salary in _teams_on(day).values()), Decimal("0.00"))


def _teams_on(day: date) -> dict[str, tuple[str, int, Decimal]]:
    """Unit, headcount and monthly salary of every team as of `day`, by team."""
    teams = [_Team(*team) for team in _TEAMS]
    month = FIRST_DATE
    while (month := (month + timedelta(days=32)).replace(day=1)) <= day:
        rng = generator("payroll", month)
        for team in teams:
            changes, raised, factor = rng.random() < _MONTHLY_CHANGE_RATE, rng.random() < 0.7, pick(rng, _RAISES)
            if changes and (raised or team.headcount == 1):
                team.salary_each = round(team.salary_each * factor)
            elif changes:
                team.headcount += pick(rng, (-1, 1))
    return {t.team: (t.unit, t.headcount, Decimal(t.headcount * t.salary_each).quantize(_CENT)) for t in teams}
