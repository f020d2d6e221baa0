"""Each check for a known trouble, passing and failing, on rows put straight into the shipped catalog's tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cdm_assets.catalog.checks import EntityCheck, ExpectedEvents, Skew, Weekday
from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.validation.checks import CheckFinding
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.validation.test_checks import BAD, DATES, GOOD, LATER, Bench

CLICKS, PROFIT, GROWTH = "ldz.ldz_click", "metrics.profit_aggregate", "metrics.growth_aggregate"


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    with Warehouse.open_duckdb(None, Tables(read_catalog())) as warehouse:
        create_missing(warehouse)
        yield warehouse


@pytest.fixture
def bench(warehouse: Warehouse) -> Iterator[Bench]:
    with warehouse.engine.connect() as connection:
        transaction = connection.begin()
        yield Bench(connection, TableLoads(warehouse.tables))
        transaction.rollback()


def found(bench: Bench, key: str, check: str, dates: DateRange = DATES) -> dict[date, str]:
    """The message of the check on each date on which it failed."""
    return {f.business_date: f.message for f in bench.run(key, dates) if f.check == check and not f.passed}


def of_checks(bench: Bench, key: str, checks: tuple[EntityCheck, ...]) -> list[CheckFinding]:
    """What other checks of an interface entity find."""
    catalog: Catalog = bench.tables.catalog
    name = key.split(".")[1]
    entity = catalog.interface[name].model_copy(update={"checks": checks})
    changed = catalog.model_copy(update={"interface": catalog.interface | {name: entity}})
    tables = Tables(changed)
    return TableLoads(tables).checks[key].run(bench.connection, DATES)[0]


def click(number: int, customer: str = "1", **values: Any) -> dict[str, Any]:
    return {"event_id": f"E{number}", "customer_id": customer, "source_row": number, **values}


def clicks(day: date, number: int, **values: Any) -> list[dict[str, Any]]:
    at = datetime.combine(day, datetime.min.time())
    return [click(n, customer=f"{n % 10}", **({"clicked_at": at} | values)) for n in range(number)]


class TestExpectedEvents:
    def test_a_day_without_a_row_fails_and_only_warns(self, bench: Bench) -> None:
        for day in (GOOD, LATER):
            bench.put(CLICKS, day, *clicks(day, 1))
        assert found(bench, CLICKS, "expected_events") == {BAD: "rows fewer than the 1 expected: 1"}
        assert not [f for f in bench.run(CLICKS) if f.check == "expected_events" and f.blocks]
        bench.put(CLICKS, BAD, *clicks(BAD, 1))
        assert found(bench, CLICKS, "expected_events") == {}

    def test_only_the_weekdays_on_which_some_are_expected_count(self, bench: Bench) -> None:
        """The first of the three days is a Sunday."""
        check = ExpectedEvents(check="expected_events", min_rows=3, weekdays=(Weekday.SUN, Weekday.TUE))
        bench.put("itf.click", LATER, *({"event_id": f"{n}"} for n in range(2)))
        failed = {f.business_date: f.message for f in of_checks(bench, "itf.click", (check,)) if not f.passed}
        missing = {day: message for day, message in failed.items() if "expected" in message}
        assert {d: m.split("; ")[-1] for d, m in missing.items()} == {
            GOOD: "rows fewer than the 3 expected on sun, tue: 3",
            LATER: "rows fewer than the 3 expected on sun, tue: 1",
        }


def test_clicks_that_repeat_beyond_the_usual_share_are_found(bench: Bench) -> None:
    bench.put(CLICKS, GOOD, *clicks(GOOD, 99), click(5))
    bench.put(CLICKS, BAD, *clicks(BAD, 94), *(click(n) for n in range(6)))
    assert found(bench, CLICKS, "duplicates") == {BAD: "rows that repeat event_id of another, more than 5%: 6"}


class TestSkew:
    def test_a_user_heavier_than_all_others_is_named(self, bench: Bench) -> None:
        at = datetime.combine(BAD, datetime.min.time())
        bench.put(CLICKS, GOOD, *clicks(GOOD, 120))
        bench.put(CLICKS, BAD, *clicks(BAD, 60), *(click(n, "77", clicked_at=at) for n in range(100, 160)))
        message = "values of customer_id in more than 10% of the rows: 1 (77 in 60 of 120)"
        assert found(bench, CLICKS, "skew") == {BAD: message}

    def test_few_rows_are_not_judged(self, bench: Bench) -> None:
        bench.put(CLICKS, BAD, *(click(n) for n in range(99)))
        assert found(bench, CLICKS, "skew") == {}
        check = Skew(check="skew", column="customer_id", max_share=Decimal("0.5"), min_rows=2)
        bench.put("itf.click", GOOD, {"customer_id": "1"}, {"customer_id": "1", "event_id": "2"})
        failed = [f.message for f in of_checks(bench, "itf.click", (check,)) if f.check == "skew" and not f.passed]
        assert failed == ["values of customer_id in more than 50% of the rows: 1 (1 in 2 of 2)"]


def test_events_beyond_the_bound_are_found_above_their_usual_share(bench: Bench) -> None:
    """48 hours before the date's midnight are in time."""
    just = datetime.combine(BAD - timedelta(days=2), datetime.min.time())
    bench.put(CLICKS, GOOD, *clicks(GOOD, 3))
    bench.put(CLICKS, BAD, *clicks(BAD, 3), click(8, clicked_at=just))
    assert found(bench, CLICKS, "late_beyond_bound") == {}
    bench.put(CLICKS, BAD, click(9, clicked_at=just - timedelta(seconds=1)))
    message = "events from more than 48 hours before the date, more than 1%: 1"
    assert found(bench, CLICKS, "late_beyond_bound") == {BAD: message}
    bench.put(CLICKS, BAD, *clicks(BAD, 200))
    assert found(bench, CLICKS, "late_beyond_bound") == {}


class TestNoNa:
    def test_na_in_what_investors_see_blocks(self, bench: Bench) -> None:
        known = {"revenue": 1, "spend": 1, "salary": 1, "cost": 2, "profit": -1}
        bench.put(PROFIT, GOOD, known | {"period_kind": "week"}, known | {"period_kind": "month"})
        bench.put(PROFIT, BAD, known | {"period_kind": "week", "profit": None})
        [finding] = [f for f in bench.run(PROFIT) if f.check == "no_na" and not f.passed]
        assert (finding.business_date, finding.blocks) == (BAD, True)
        assert finding.message == "rows without profit where period_kind is one of week, month: 1"

    def test_where_na_is_legal_it_passes(self, bench: Bench) -> None:
        bench.put(PROFIT, GOOD, {"period_kind": "closed_month"})
        assert found(bench, PROFIT, "no_na") == {}

    def test_a_blocked_date_is_held_back_from_what_is_published(self, bench: Bench) -> None:
        assert PROFIT in bench.loads.ancestors["cdm_publish_db.profit_aggregate"]
        assert "metrics.growth_aggregate" in bench.loads.ancestors["cdm_publish_db.investor_summary"]


class TestLedgerAgreement:
    def test_differences_beyond_the_tolerance_are_listed(self, bench: Bench) -> None:
        month = {"period_kind": "closed_month", "period_start": GOOD, "ledger_revenue": 1000, "ledger_spend": -100}
        bench.put(PROFIT, GOOD, month | {"revenue": Decimal("1005.00"), "spend": Decimal("-99.50")})
        bench.put(PROFIT, BAD, month | {"revenue": Decimal("1005.01"), "spend": Decimal("-100.51")})
        assert found(bench, PROFIT, "ledger_agreement") == {
            BAD: "differences from the ledger of more than 0.5%: 2 ("
            "closed_month 2017-01-01 revenue 1005.01, ledger 1000.00, difference 5.01, "
            "closed_month 2017-01-01 spend -100.51, ledger -100.00, difference -0.51)"
        }
        assert not [f for f in bench.run(PROFIT) if f.check == "ledger_agreement" and f.blocks]

    def test_a_ledger_that_is_not_known_is_not_compared(self, bench: Bench) -> None:
        bench.put(PROFIT, BAD, {"period_kind": "closed_month", "revenue": 5})
        assert found(bench, PROFIT, "ledger_agreement") == {}


class TestOutOfScale:
    def spend(self, bench: Bench, day: date, *amounts: str, category: str = "asset") -> None:
        rows = [
            {"spend_id": f"{day}-{n}", "unit": "fresh", "category": category, "amount": Decimal(amount)}
            for n, amount in enumerate(amounts)
        ]
        bench.put("itf.spend", day, *rows)

    def history(self, bench: Bench, *, days: int = 20) -> None:
        for n in range(1, days + 1):
            self.spend(bench, GOOD - timedelta(days=n), f"{100 + n % 5}")

    def test_an_expense_far_from_those_before_is_named_with_what_is_usual(self, bench: Bench) -> None:
        self.history(bench)
        self.spend(bench, GOOD, "119")
        self.spend(bench, BAD, "121", "1")
        text = "values of amount of itf.spend out of the scale of the 180 days before"
        failed = found(bench, PROFIT, "out_of_scale")
        assert set(failed) == {BAD}
        assert failed[BAD] == (
            f"{text}: 2 (fresh 2017-01-02-0 amount 121.00, median before 102.00, "
            "fresh 2017-01-02-1 amount 1.00, median before 102.00)"
        )

    def test_each_category_has_its_own_scale(self, bench: Bench) -> None:
        self.history(bench)
        self.spend(bench, BAD, "5000", category="service")
        assert found(bench, PROFIT, "out_of_scale") == {}

    def test_nothing_is_judged_by_too_little_history_or_by_what_is_too_old(self, bench: Bench) -> None:
        self.history(bench, days=19)
        self.spend(bench, GOOD, "5000")
        assert found(bench, PROFIT, "out_of_scale", DateRange(GOOD, GOOD)) == {}
        later = GOOD + timedelta(days=400)
        self.spend(bench, later, "9000")
        assert found(bench, PROFIT, "out_of_scale", DateRange(later, later)) == {}

    def test_amounts_that_never_differed_have_the_smallest_scale(self, bench: Bench) -> None:
        for n in range(1, 25):
            self.spend(bench, GOOD - timedelta(days=n), "100")
        self.spend(bench, GOOD, "112")
        self.spend(bench, BAD, "112.01")
        assert set(found(bench, PROFIT, "out_of_scale")) == {BAD}

    def test_a_range_finds_what_its_dates_find(self, bench: Bench) -> None:
        self.history(bench)
        for day, amount in zip(DATES, ("500", "510", "104"), strict=True):
            self.spend(bench, day, amount)
        one_by_one = {
            d: m for day in DATES for d, m in found(bench, PROFIT, "out_of_scale", DateRange(day, day)).items()
        }
        assert found(bench, PROFIT, "out_of_scale") == one_by_one
        assert set(one_by_one) == {GOOD, BAD}

    def test_the_number_of_rows_of_a_date_can_be_out_of_scale(self, bench: Bench) -> None:
        key = "metrics.engagement_aggregate"
        for n in range(1, 15):
            bench.put("itf.click", GOOD - timedelta(days=n), *({"event_id": f"{n}-{i}"} for i in range(5)))
        bench.put("itf.click", BAD, *({"event_id": f"{i}"} for i in range(166)))
        text = "numbers of rows of itf.click out of the scale of the 56 days before"
        assert found(bench, key, "out_of_scale") == {BAD: f"{text}: 1 (rows 166.00, median before 5.00)"}

    def test_outliers_before_do_not_hide_another(self, bench: Bench) -> None:
        """The mean and the deviation of this history are so large that 500 would be usual."""
        self.history(bench)
        for n in range(1, 6):
            self.spend(bench, GOOD - timedelta(days=n), "9000")
        self.spend(bench, BAD, "500")
        assert set(found(bench, PROFIT, "out_of_scale", DATES)) == {BAD}


class TestMissingStatus:
    def test_an_account_without_any_status_is_named_once_it_is_old_enough(self, bench: Bench) -> None:
        opened = BAD - timedelta(days=45)
        for day in DATES:
            bench.put(
                "itf.account",
                day,
                {"account_id": "A1", "opened_on": opened},
                {"account_id": "A2", "opened_on": opened},
                {"account_id": "A3", "opened_on": LATER},
            )
        bench.put("itf.account_status", opened, {"status_change_id": "1", "account_id": "A2"})
        text = "account rows without account_status 45 days after opened_on: 1 (A1)"
        assert found(bench, GROWTH, "missing_status") == {BAD: text, LATER: text}
        assert not [f for f in bench.run(GROWTH) if f.check == "missing_status" and f.blocks]

    def test_a_status_counts_from_the_day_it_takes_effect(self, bench: Bench) -> None:
        for day in DATES:
            bench.put("itf.account", day, {"account_id": "A1", "opened_on": GOOD - timedelta(days=99)})
        bench.put("itf.account_status", BAD, {"status_change_id": "1", "account_id": "A1"})
        assert set(found(bench, GROWTH, "missing_status")) == {GOOD}
