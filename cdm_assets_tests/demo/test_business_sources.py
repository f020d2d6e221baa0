"""The generated business sources: licences, money, clicks, experiments, and the ledger that agrees with the files."""

import gzip
import io
import json
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from openpyxl import load_workbook

from cdm_assets.demo.accounts import Accounts, AccountStatuses, plan_accounts
from cdm_assets.demo.business_dates import FIRST_DATE, LAST_DATE, dates_between
from cdm_assets.demo.clicks import Clicks
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.experiments import EXPERIMENTS, ExperimentAssignments, Experiments, plan_assignments
from cdm_assets.demo.extract import ExtractFile
from cdm_assets.demo.finance import Ledger, Payroll, Spend
from cdm_assets_tests.demo.test_sources import YEAR, Row, delivered

UNITS = {"grocery", "fresh", "household", "health", "other"}


def clicks_in(file: ExtractFile) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(file.content).splitlines()]


def sheet_of(file: ExtractFile) -> list[dict[str, Any]]:
    header, *rows = load_workbook(io.BytesIO(file.content)).active.iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def statuses(journey: CompleteJourney) -> dict[date, list[Row]]:
    return delivered(AccountStatuses(plan_accounts(journey)), YEAR)


@pytest.fixture(scope="module")
def spend() -> dict[date, list[dict[str, Any]]]:
    files = {day: Spend().file_on(day) for day in YEAR}
    return {day: sheet_of(file) for day, file in files.items() if file is not None}


@pytest.fixture(scope="module")
def payroll() -> dict[date, list[Row]]:
    return delivered(Payroll(), YEAR)


@pytest.fixture(scope="module")
def weeks_of_clicks(journey: CompleteJourney) -> dict[date, list[dict[str, Any]]]:
    clicks = Clicks(journey, plan_assignments(journey))
    return {day: clicks_in(clicks.file_on(day)) for day in dates_between(FIRST_DATE, date(2017, 3, 12))}


def test_accounts_are_of_households_each_one_and_listed_from_the_day_they_open(journey: CompleteJourney) -> None:
    days = [FIRST_DATE, date(2017, 6, 30), LAST_DATE]
    listed = delivered(Accounts(plan_accounts(journey)), days)
    assert [len(listed[day]) for day in days] == sorted(len(listed[day]) for day in days)
    assert (len(listed[FIRST_DATE]) >= 1_000, len(listed[LAST_DATE])) == (True, 1_500)
    assert len({row["customer_id"] for row in listed[LAST_DATE]}) == 1_500
    for day in days:
        assert max(row["opened_on"] for row in listed[day]) <= day.isoformat()
    plan_of = {row["account_id"]: row["plan"] for row in listed[FIRST_DATE]}
    changed = [row for row in listed[LAST_DATE] if row["plan"] != plan_of.get(row["account_id"], row["plan"])]
    assert 20 < len(changed) < 100


def test_a_licence_is_valid_until_the_end_of_its_year_or_the_day_it_is_cancelled(
    statuses: dict[date, list[Row]],
) -> None:
    rows = [row for day in statuses.values() for row in day]
    assert len({row["status_change_id"] for row in rows}) == len(rows)
    for row in rows:
        year = int(row["effective_on"][:4]) + (row["status"] == "renewed")
        ends = row["effective_on"] if row["status"] == "cancelled" else f"{year}-12-31"
        assert row["valid_until"] == ends
    counts = Counter(row["status"] for row in rows)
    assert counts["activated"] > counts["renewed"] > 900 > counts["cancelled"] > 80
    assert {row["effective_on"][5:7] for row in rows if row["status"] == "renewed"} == {"11", "12"}


def test_status_changes_come_in_order_some_late_and_of_a_few_accounts_never(
    journey: CompleteJourney, statuses: dict[date, list[Row]]
) -> None:
    known = {account.account_id for account in plan_accounts(journey)}
    told: dict[str, list[str]] = defaultdict(list)
    late = []
    for day, rows in statuses.items():
        for row in rows:
            assert row["account_id"] in known
            told[row["account_id"]].append(row["status"])
            late.append((day - date.fromisoformat(row["effective_on"])).days)
    assert {len(set(found)) == len(found) for found in told.values()} == {True}
    assert 9 <= len(known - set(told)) < 15, "nine without any status, and those whose only one comes after the demo"
    assert (min(late), max(late) <= 40, 20 < sum(days > 0 for days in late) < 100) == (0, True, True)


def test_expenses_are_of_the_units_on_working_days_and_two_are_out_of_scale(
    spend: dict[date, list[dict[str, Any]]],
) -> None:
    rows = [row for day in spend.values() for row in day]
    assert {row["unit"] for row in rows} == UNITS
    assert {row["category"] for row in rows} == {"asset", "service"}
    assert all(day.weekday() != 6 for day in spend)
    assert date(2017, 12, 25) not in spend
    large = {(row["unit"], row["amount"]) for row in rows if row["amount"] > 20_000}
    assert large == {("grocery", 186_000), ("health", 58_240)}
    for day, entered in spend.items():
        lag = {(day - row["spent_on"].date()).days for row in entered}
        assert lag <= {0, 1, 2}


def test_a_workbook_has_the_same_bytes_whenever_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Spend().file_on(date(2017, 1, 3))
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    monkeypatch.setattr("time.localtime", lambda *_: datetime(2033, 5, 18).timetuple())  # noqa: DTZ001
    second = Spend().file_on(date(2017, 1, 3))
    assert first is not None
    assert first == second


def test_the_payroll_lists_all_teams_first_and_then_the_changed_ones_on_the_first_of_months(
    payroll: dict[date, list[Row]],
) -> None:
    assert len(payroll[FIRST_DATE]) == 12
    assert {row["unit"] for row in payroll[FIRST_DATE]} == UNITS
    known: dict[str, Row] = {}
    for day, rows in payroll.items():
        assert day.day == 1
        assert all(known.get(row["team"]) != row for row in rows)
        known |= {row["team"]: row for row in rows}
    assert 4 < len(payroll) < 13
    assert all(int(row["headcount"]) > 0 for row in known.values())


def test_the_ledger_agrees_with_the_files_but_for_one_month(
    journey: CompleteJourney, spend: dict[date, list[dict[str, Any]]], payroll: dict[date, list[Row]]
) -> None:
    ledger = delivered(Ledger(journey), YEAR)
    assert [day.day for day in ledger] == [4] * 11
    found = {(row["month"], row["line"]): Decimal(row["amount"]) for rows in ledger.values() for row in rows}
    revenue = journey.rows(
        """select strftime(transaction_timestamp, '%Y-%m-01'), sum(round(sales_value, 2)::decimal(12, 2))
        from read_parquet($path) where transaction_timestamp < date '2018-01-01' group by all""",
        table="transactions",
    )
    expected = {(month, "revenue"): amount for month, amount in revenue}
    for rows in spend.values():
        for row in rows:
            key = (f"{row['spent_on']:%Y-%m}-01", "spend")
            expected[key] = expected.get(key, Decimal(0)) + Decimal(str(row["amount"]))
    teams: dict[str, Decimal] = {}
    for month in sorted({month for month, _ in expected if month < "2018"}):
        teams |= {row["team"]: Decimal(row["monthly_salary"]) for row in payroll.get(date.fromisoformat(month), [])}
        expected[month, "salary"] = sum(teams.values(), Decimal(0))
    differing = {key for key, amount in found.items() if amount != expected[key]}
    assert differing == {("2017-07-01", "revenue")}
    assert found["2017-07-01", "revenue"] == (expected["2017-07-01", "revenue"] * Decimal("1.03")).quantize(
        Decimal("0.01")
    )
    assert (
        0.1
        < 1
        - sum(v for (_, line), v in found.items() if line != "revenue")
        / sum(v for (_, line), v in found.items() if line == "revenue")
        < 0.35
    ), "the margin of the year"


def test_clicks_are_thousands_a_day_a_hundredth_twice_and_some_late(
    weeks_of_clicks: dict[date, list[dict[str, Any]]],
) -> None:
    seen: dict[str, dict[str, Any]] = {}
    repeats, lags = 0, Counter[int]()
    for day, rows in weeks_of_clicks.items():
        assert 5_000 < len(rows) < 8_000
        for row in rows:
            if row["event_id"] in seen:
                repeats += 1
                assert seen[row["event_id"]] == row, "a duplicate is identical"
                continue
            seen[row["event_id"]] = row
            lags[(day - datetime.fromisoformat(row["clicked_at"]).date()).days] += 1
    assert 0.008 < repeats / len(seen) < 0.012
    assert min(lags) == 0
    assert 0.97 < lags[0] / len(seen) < 0.99
    assert {1, 2} < set(lags) <= set(range(7)), "within 48 hours, and bundles of offline devices"
    assert 0 < sum(lags[days] for days in range(3, 7)) < 2_000


def test_one_household_clicks_more_than_all_others(weeks_of_clicks: dict[date, list[dict[str, Any]]]) -> None:
    shares = []
    for rows in weeks_of_clicks.values():
        (heaviest, most), (_, next_most) = Counter(row["customer_id"] for row in rows).most_common(2)
        assert most > next_most
        shares.append((heaviest, most / len(rows)))
    assert len({heaviest for heaviest, _ in shares}) == 1
    unusual = [share for _, share in shares if share > 0.1]
    assert 0 < len(unusual) <= 5, "most days it stays inconspicuous"


def test_a_day_of_clicks_is_the_same_whichever_day_was_asked_first(
    journey: CompleteJourney, weeks_of_clicks: dict[date, list[dict[str, Any]]]
) -> None:
    day = date(2017, 2, 20)
    assert clicks_in(Clicks(journey, plan_assignments(journey)).file_on(day)) == weeks_of_clicks[day]


def test_the_treated_of_the_first_experiment_click_more_while_it_runs(
    journey: CompleteJourney, weeks_of_clicks: dict[date, list[dict[str, Any]]]
) -> None:
    (first, *_) = EXPERIMENTS
    with_effect = Clicks(journey, plan_assignments(journey))
    without = Clicks(journey, [])
    treated = {str(a.customer_id) for a in plan_assignments(journey) if a.experiment is first and a.arm == "treatment"}

    def share(rows: list[dict[str, Any]]) -> float:
        return sum(row["customer_id"] in treated for row in rows) / len(rows)

    days = [first.starts_on + timedelta(days=n) for n in (20, 21, 22)]
    effect = [share(weeks_of_clicks[day]) / share(clicks_in(without.file_on(day))) for day in days]
    assert 1.02 < sum(effect) / len(effect) < 1.12
    later = date(2017, 5, 1)
    assert with_effect.file_on(later).content == without.file_on(later).content


def test_half_of_the_households_are_in_each_experiment_once_in_the_arms_as_meant(journey: CompleteJourney) -> None:
    listed = delivered(Experiments(), [FIRST_DATE, LAST_DATE])
    assert [row["experiment_id"] for row in listed[FIRST_DATE]] == ["EXP-001"]
    assert [row["experiment_id"] for row in listed[LAST_DATE]] == ["EXP-001", "EXP-002", "EXP-003"]
    assigned = delivered(ExperimentAssignments(plan_assignments(journey)), YEAR)
    rows = [row for day in assigned.values() for row in day]
    assert len({(row["experiment_id"], row["customer_id"]) for row in rows}) == len(rows)
    for experiment in EXPERIMENTS:
        of_it = [row for row in rows if row["experiment_id"] == experiment.experiment_id]
        assert 0.45 < len(of_it) / 2_469 < 0.55
        share = sum(row["arm"] == "treatment" for row in of_it) / len(of_it)
        assert abs(share - float(experiment.treatment_share)) < 0.04
        assert min(row["assigned_on"] for row in of_it) == experiment.starts_on.isoformat()
    assert all(row["assigned_on"] == day.isoformat() for day, rows in assigned.items() for row in rows)
