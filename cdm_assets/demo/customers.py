"""`customer.csv`: a snapshot of all customers every day, with the small changes a customer base has.

Day 0 is the public demographics as they are, with an invented email. From then on about 0.2 % of the customers change a
value each day, and a handful leaves, some of whom come back.
"""

from collections import defaultdict
from datetime import date
from typing import TypeAlias

import numpy as np

from cdm_assets.demo.business_dates import FIRST_DATE, ONE_DAY
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.extract import ExtractFile, Layout, csv_file
from cdm_assets.demo.seeds import generator, pick, pick_weighted

CUSTOMER = Layout(
    file_name="customer.csv",
    delivery="snapshot, daily",
    columns=(
        "household_id",
        "age",
        "income",
        "home_ownership",
        "marital_status",
        "household_size",
        "household_comp",
        "kids_count",
        "email",
    ),
    generated=("email",),
    note="Values are real on 2017-01-01; the daily changes, departures and returns after that are generated.",
)

_DAILY_CHANGE_RATE = 0.002
# Days after 2017-01-01 on which a customer leaves the snapshot, and is back in it.
_DEPARTURES: tuple[tuple[int, int | None], ...] = ((9, 23), (64, None), (121, 170), (205, None), (260, 301))

_CHANGES = {"email": 0.30, "income": 0.25, "home_ownership": 0.15, "marital_status": 0.10, "family": 0.10, "age": 0.10}
_AGES = ("19-24", "25-34", "35-44", "45-54", "55-64", "65+")
_INCOMES = (
    "Under 15K",
    "15-24K",
    "25-34K",
    "35-49K",
    "50-74K",
    "75-99K",
    "100-124K",
    "125-149K",
    "150-174K",
    "175-199K",
    "200-249K",
    "250K+",
)
_NEXT_HOME: dict[str | None, tuple[str | None, ...]] = {
    None: ("Probable Homeowner", "Probable Renter", "Homeowner", "Renter"),
    "Probable Homeowner": ("Homeowner", None),
    "Probable Renter": ("Renter", None),
    "Renter": ("Homeowner", "Probable Homeowner"),
    "Homeowner": ("Renter", "Probable Homeowner"),
}
_NEXT_MARITAL_STATUS: dict[str | None, tuple[str | None, ...]] = {
    None: ("Married", "Unmarried"),
    "Married": ("Unmarried", None),
    "Unmarried": ("Married", None),
}
_SIZES = ("1", "2", "3", "4", "5+")
_MAIL_DOMAINS = ("example.com", "example.org", "example.net")

Customer: TypeAlias = dict[str, str | None]
Family: TypeAlias = tuple[str, str, str]


class Customers:
    """The customer base as it stands; `file_on` replays the seeded changes up to the date asked."""

    def __init__(self, journey: CompleteJourney) -> None:
        self._day = FIRST_DATE
        self._present = _customers_on_day_0(journey)
        self._away: dict[int, Customer] = {}
        self._families = sorted({_family(customer) for customer in self._present.values()})
        self._leaving, self._returning = _departures(sorted(self._present))

    def file_on(self, day: date) -> ExtractFile:
        """All customers as of `day`, by household."""
        while self._day < day:
            self._day += ONE_DAY
            self._live_through(self._day)
        rows = [
            (household, *(customer[column] for column in CUSTOMER.columns[1:]))
            for household, customer in sorted(self._present.items())
        ]
        return csv_file(CUSTOMER, rows)

    def _live_through(self, day: date) -> None:
        for household in self._leaving[day]:
            self._away[household] = self._present.pop(household)
        for household in self._returning[day]:
            self._present[household] = self._away.pop(household)
        rng = generator("customer", day)
        households = sorted(self._present)
        changes = rng.binomial(len(households), _DAILY_CHANGE_RATE)
        for position in rng.choice(len(households), size=changes, replace=False):
            household = households[int(position)]
            self._present[household] |= _change(rng, self._present[household], self._families)


def _customers_on_day_0(journey: CompleteJourney) -> dict[int, Customer]:
    rows = journey.rows(
        """
        select household_id, age, income, home_ownership, marital_status, household_size, household_comp, kids_count
        from read_parquet($path)
        """,
        table="demographics",
    )
    columns = CUSTOMER.columns[1:]
    return {
        household: dict(zip(columns, (*values, f"household-{household}@example.com"), strict=True))
        for household, *values in rows
    }


def _departures(households: list[int]) -> tuple[dict[date, list[int]], dict[date, list[int]]]:
    leaving: dict[date, list[int]] = defaultdict(list)
    returning: dict[date, list[int]] = defaultdict(list)
    chosen = generator("customer", "departures").choice(households, size=len(_DEPARTURES), replace=False)
    for household, (left_after, back_after) in zip(chosen, _DEPARTURES, strict=True):
        leaving[FIRST_DATE + left_after * ONE_DAY].append(int(household))
        if back_after is not None:
            returning[FIRST_DATE + back_after * ONE_DAY].append(int(household))
    return leaving, returning


def _change(rng: np.random.Generator, customer: Customer, families: list[Family]) -> Customer:
    """The columns that change for this customer, with their new values: always different from the old."""
    what = pick_weighted(rng, _CHANGES)
    if what == "family":
        family = pick(rng, _families_close_to(_family(customer), families))
        return dict(zip(("household_size", "household_comp", "kids_count"), family, strict=True))
    if what == "age" and customer["age"] != _AGES[-1]:
        return {"age": _AGES[_AGES.index(customer["age"] or "") + 1]}
    if what == "income":
        return {"income": pick(rng, _incomes_next_to(customer["income"] or ""))}
    if what == "home_ownership":
        return {"home_ownership": pick(rng, _NEXT_HOME[customer["home_ownership"]])}
    if what == "marital_status":
        return {"marital_status": pick(rng, _NEXT_MARITAL_STATUS[customer["marital_status"]])}
    return {"email": _another_email(rng, customer["email"] or "")}


def _family(customer: Customer) -> Family:
    return customer["household_size"] or "", customer["household_comp"] or "", customer["kids_count"] or ""


def _families_close_to(family: Family, families: list[Family]) -> list[Family]:
    """The families that occur in the real data, other than this one, with at most one person more or fewer."""
    size = _SIZES.index(family[0])
    return [other for other in families if other != family and abs(_SIZES.index(other[0]) - size) <= 1]


def _incomes_next_to(income: str) -> list[str]:
    position = _INCOMES.index(income)
    return [other for other in _INCOMES[max(position - 1, 0) : position + 2] if other != income]


def _another_email(rng: np.random.Generator, email: str) -> str:
    mailbox, _, domain = email.partition("@")
    return f"{mailbox}@{pick(rng, [other for other in _MAIL_DOMAINS if other != domain])}"
