"""`account.csv` and `account_status.csv`: the yearly licences of households. All of it generated.

A licence is valid until 31 December of the year it is activated or renewed for. About 1,000 households have one when
the demo begins, 500 more take one in 2017; in November and December most renew for the next year.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from cdm_assets.demo.business_dates import FIRST_DATE, LAST_DATE
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.extract import ExtractFile, Layout, csv_file
from cdm_assets.demo.seeds import generator, pick, pick_weighted

ACCOUNT = Layout(
    file_name="account.csv",
    delivery="snapshot, daily",
    columns=("account_id", "customer_id", "plan", "opened_on"),
    generated=("account_id", "customer_id", "plan", "opened_on"),
    note="The households are real, that they hold accounts is invented.",
)
ACCOUNT_STATUS = Layout(
    file_name="account_status.csv",
    delivery="events, on dates that have any",
    columns=("status_change_id", "account_id", "status", "effective_on", "valid_until"),
    generated=("status_change_id", "account_id", "status", "effective_on", "valid_until"),
    note="Licences that were active before 2017 are restated as activated on 2017-01-01, since the demo has no earlier "
    "date. About 3 in 100 changes are delivered late, by up to 40 days; of 9 accounts no status ever comes.",
)

_OPENED_BEFORE, _OPENED_IN_YEAR = 1_000, 500
_ACCOUNTS_WITHOUT_STATUS = 9
_PLANS = {"basic": 0.55, "plus": 0.30, "family": 0.15}
_PLAN_CHANGE_RATE = 0.06
_CANCELLATION_RATE = 0.09
_SOONEST_CANCELLATION_DAYS = 20
_RENEWAL_RATE = 0.78
_RENEWALS_FROM = date(2017, 11, 1)
_LATE_RATE, _LATEST_DAYS = 0.03, 40


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account; `plans` are its plans with the date each begins, the first one first."""

    account_id: str
    customer_id: int
    opened_on: date
    plans: tuple[tuple[date, str], ...]
    has_status: bool

    def plan_on(self, day: date) -> str:
        """The plan on `day`; the first one before it begins."""
        return next((plan for begins, plan in reversed(self.plans) if begins <= day), self.plans[0][1])


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    """A change of a licence, and the date on which it is delivered."""

    account_id: str
    status: str
    effective_on: date
    valid_until: date
    delivered_on: date = field(compare=False)


def plan_accounts(journey: CompleteJourney) -> list[Account]:
    """All accounts of the demo, by number."""
    rows = journey.rows(
        "select distinct household_id from read_parquet($path) order by household_id", table="transactions"
    )
    rng = generator("account")
    households = rng.choice([row[0] for row in rows], size=_OPENED_BEFORE + _OPENED_IN_YEAR, replace=False)
    before = -rng.integers(1, 360, size=_OPENED_BEFORE)
    during = rng.integers(0, _days_of_demo() + 1, size=_OPENED_IN_YEAR)
    opened = [FIRST_DATE + timedelta(days=days) for days in sorted([*before.tolist(), *during.tolist()])]
    silent = {int(n) for n in rng.choice(len(opened), size=_ACCOUNTS_WITHOUT_STATUS, replace=False)}
    return [
        Account(
            account_id=f"A{number:05d}",
            customer_id=int(household),
            opened_on=day,
            plans=_plans_of(number, day),
            has_status=number - 1 not in silent,
        )
        for number, (household, day) in enumerate(zip(households, opened, strict=True), start=1)
    ]


class Accounts:
    """The accounts, by day."""

    def __init__(self, accounts: list[Account]) -> None:
        self._accounts = accounts

    def file_on(self, day: date) -> ExtractFile:
        """All accounts opened by `day`, by number."""
        opened = (account for account in self._accounts if account.opened_on <= day)
        return csv_file(ACCOUNT, [(a.account_id, a.customer_id, a.plan_on(day), a.opened_on) for a in opened])


class AccountStatuses:
    """The status changes, by the day they are delivered."""

    def __init__(self, accounts: list[Account]) -> None:
        changes = [change for account in accounts if account.has_status for change in _changes_of(account)]
        changes.sort(key=lambda change: (change.effective_on, change.account_id, change.status))
        self._rows: dict[date, list[tuple[object, ...]]] = defaultdict(list)
        for number, change in enumerate(changes, start=1):
            row = (f"S{number:06d}", change.account_id, change.status, change.effective_on, change.valid_until)
            self._rows[change.delivered_on].append(row)

    def file_on(self, day: date) -> ExtractFile | None:
        """The changes that are delivered on `day`, late ones included, by number."""
        rows = self._rows.get(day)
        return csv_file(ACCOUNT_STATUS, rows) if rows else None


def _days_of_demo() -> int:
    return (LAST_DATE - FIRST_DATE).days


def _plans_of(number: int, opened_on: date) -> tuple[tuple[date, str], ...]:
    rng = generator("account", "plan", number)
    first = pick_weighted(rng, _PLANS)
    if rng.random() >= _PLAN_CHANGE_RATE:
        return ((opened_on, first),)
    changed_on = FIRST_DATE + timedelta(days=int(rng.integers(1, _days_of_demo())))
    other = pick(rng, [plan for plan in _PLANS if plan != first])
    return ((opened_on, first), (max(changed_on, opened_on + timedelta(days=1)), other))


def _changes_of(account: Account) -> Iterator[StatusChange]:
    """Activated once; then cancelled or, most of them, renewed for the next year."""
    rng = generator("account_status", account.account_id)
    activated_on = max(account.opened_on, FIRST_DATE)
    year_end = date(activated_on.year, 12, 31)
    on_time = account.opened_on < FIRST_DATE
    yield _change(rng, account, "activated", activated_on, year_end, on_time=on_time)
    cancelled_on = activated_on + timedelta(days=int(rng.integers(_SOONEST_CANCELLATION_DAYS, 366)))
    if rng.random() < _CANCELLATION_RATE and cancelled_on <= year_end:
        yield _change(rng, account, "cancelled", cancelled_on, cancelled_on)
    elif rng.random() < _RENEWAL_RATE and activated_on < _RENEWALS_FROM:
        renewed_on = _RENEWALS_FROM + timedelta(days=int(rng.integers((year_end - _RENEWALS_FROM).days + 1)))
        yield _change(rng, account, "renewed", renewed_on, date(year_end.year + 1, 12, 31))


def _change(
    rng: np.random.Generator,
    account: Account,
    status: str,
    effective_on: date,
    valid_until: date,
    *,
    on_time: bool = False,
) -> StatusChange:
    late_days = int(rng.integers(1, _LATEST_DAYS, endpoint=True)) if rng.random() < _LATE_RATE else 0
    return StatusChange(
        account_id=account.account_id,
        status=status,
        effective_on=effective_on,
        valid_until=valid_until,
        delivered_on=effective_on + timedelta(days=0 if on_time else late_days),
    )
