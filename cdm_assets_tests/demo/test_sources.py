"""The extracts themselves: small steady changes in the snapshots, and references that hold."""

import csv
import gzip
import io
from collections import Counter, defaultdict
from datetime import date, datetime
from itertools import pairwise

import pytest

from cdm_assets.demo.business_dates import FIRST_DATE, LAST_DATE, dates_between
from cdm_assets.demo.campaigns import Campaigns, read_campaigns
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.contacts import Contacts
from cdm_assets.demo.coupons import Responses
from cdm_assets.demo.customers import Customers
from cdm_assets.demo.extract import DailySource
from cdm_assets.demo.flowcharts import FlowchartRuns, Flowcharts, plan_flowcharts
from cdm_assets.demo.products import Products

Row = dict[str, str]
YEAR = list(dates_between(FIRST_DATE, LAST_DATE))


def delivered(source: DailySource, days: list[date]) -> dict[date, list[Row]]:
    """The rows of each of `days` on which the source delivers a file."""
    files = {day: source.file_on(day) for day in days}
    return {day: rows_of(file.content) for day, file in files.items() if file is not None}


def rows_of(content: bytes) -> list[Row]:
    """The records of a CSV file, gzipped or not."""
    text = (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture(scope="module")
def customers(journey: CompleteJourney) -> dict[date, list[Row]]:
    return delivered(Customers(journey), YEAR)


@pytest.fixture(scope="module")
def flowcharts(journey: CompleteJourney) -> dict[date, list[Row]]:
    return delivered(Flowcharts(plan_flowcharts(journey, read_campaigns(journey))), YEAR)


@pytest.fixture(scope="module")
def runs(journey: CompleteJourney) -> dict[date, list[Row]]:
    return delivered(FlowchartRuns(plan_flowcharts(journey, read_campaigns(journey))), YEAR)


@pytest.fixture(scope="module")
def contacts(journey: CompleteJourney) -> dict[date, list[Row]]:
    return delivered(Contacts(journey, plan_flowcharts(journey, read_campaigns(journey))), YEAR)


def test_day_0_is_the_public_demographics(customers: dict[date, list[Row]]) -> None:
    assert len(customers[FIRST_DATE]) == 801
    assert customers[FIRST_DATE][0] == {
        "household_id": "1",
        "age": "65+",
        "income": "35-49K",
        "home_ownership": "Homeowner",
        "marital_status": "Married",
        "household_size": "2",
        "household_comp": "2 Adults No Kids",
        "kids_count": "0",
        "email": "household-1@example.com",
    }
    assert Counter(row["home_ownership"] for row in customers[FIRST_DATE])[""] == 233


def test_about_two_in_a_thousand_customers_change_a_day(customers: dict[date, list[Row]]) -> None:
    changed = 0
    for before, after in pairwise(YEAR):
        known = {row["household_id"]: row for row in customers[before]}
        changed += sum(row != known.get(row["household_id"], row) for row in customers[after])
    assert 0.0017 < changed / (800 * 365) < 0.0023


def test_a_changed_value_is_one_the_column_has_on_day_0(customers: dict[date, list[Row]]) -> None:
    for column in set(customers[FIRST_DATE][0]) - {"email"}:
        known = {row[column] for row in customers[FIRST_DATE]}
        assert {row[column] for rows in customers.values() for row in rows} == known


def test_five_customers_leave_and_three_of_them_return(customers: dict[date, list[Row]]) -> None:
    everybody = {row["household_id"] for row in customers[FIRST_DATE]}
    missing = {day: everybody - {row["household_id"] for row in rows} for day, rows in customers.items()}
    assert len(set().union(*missing.values())) == 5
    assert len(missing[LAST_DATE]) == 2
    assert len(missing[date(2017, 1, 10)]) == 1
    assert not missing[date(2017, 1, 24)]


def test_customers_are_sorted_by_number(customers: dict[date, list[Row]]) -> None:
    for rows in customers.values():
        numbers = [int(row["household_id"]) for row in rows]
        assert numbers == sorted(set(numbers))


def test_each_later_day_brings_five_to_forty_products_changed_in_one_value(journey: CompleteJourney) -> None:
    days = YEAR[:60]
    products = delivered(Products(journey), days)
    known = {row["product_id"]: row for row in products[FIRST_DATE]}
    assert len(known) == 92_331
    changes: Counter[str] = Counter()
    for day in days[1:]:
        assert 5 <= len(products[day]) <= 40
        for row in products[day]:
            columns = [column for column, value in row.items() if value != known[row["product_id"]][column]]
            assert len(columns) == 1
            changes[columns[0]] += 1
            known[row["product_id"]] = row
    assert changes["package_size"] > changes["product_type"] > changes["brand"] > changes["department"] > 0


def test_all_campaigns_are_listed_every_day_and_budgets_change_now_and_then(journey: CompleteJourney) -> None:
    campaigns = delivered(Campaigns(read_campaigns(journey)), YEAR)
    assert {len(rows) for rows in campaigns.values()} == {27}
    assert len({row["campaign_name"] for row in campaigns[FIRST_DATE]}) == 27
    changes = 0
    for before, after in pairwise(YEAR):
        for old, new in zip(campaigns[before], campaigns[after], strict=True):
            assert {**old, "budget": ""} == {**new, "budget": ""}
            changes += old["budget"] != new["budget"]
    assert 15 <= changes <= 60


def test_a_flowchart_follows_the_window_of_its_campaign(
    journey: CompleteJourney, flowcharts: dict[date, list[Row]]
) -> None:
    campaigns = {str(campaign.campaign_id): campaign for campaign in read_campaigns(journey)}
    for day, rows in flowcharts.items():
        for row in rows:
            campaign = campaigns[row["campaign_id"]]
            assert row["created_date"] <= day.isoformat()
            assert (row["status"] == "draft") == (day < campaign.start)
            assert (row["status"] == "retired") == (day > campaign.end)
    per_campaign = Counter(row["campaign_id"] for row in flowcharts[LAST_DATE])
    assert len(per_campaign) == 27
    assert set(per_campaign.values()) == {1, 2}


def test_contacts_reference_the_one_successful_run_of_a_flowchart_of_their_campaign(
    contacts: dict[date, list[Row]], runs: dict[date, list[Row]], flowcharts: dict[date, list[Row]]
) -> None:
    for day, rows in contacts.items():
        campaign_of = {row["flowchart_id"]: row["campaign_id"] for row in flowcharts[day]}
        succeeded = {row["run_id"]: row for row in runs[day] if row["status"] == "succeeded"}
        due = {flowchart for flowchart, campaign in campaign_of.items() if campaign in {r["campaign_id"] for r in rows}}
        assert sorted(run["flowchart_id"] for run in succeeded.values()) == sorted(due)
        per_run = Counter(row["flowchart_run_id"] for row in rows)
        assert {run: str(count) for run, count in per_run.items()} == {
            run_id: run["records_selected"] for run_id, run in succeeded.items()
        }
        for row in rows:
            run = succeeded[row["flowchart_run_id"]]
            assert campaign_of[run["flowchart_id"]] == row["campaign_id"]
            assert run["ended_at"] < row["contact_timestamp"]
            assert row["contact_timestamp"].startswith(day.isoformat())


def test_every_pair_of_campaign_and_household_is_contacted_once(contacts: dict[date, list[Row]]) -> None:
    pairs = [(row["campaign_id"], row["household_id"]) for rows in contacts.values() for row in rows]
    assert len(pairs) == len(set(pairs)) == 6_589


def test_a_tenth_is_control_costs_nothing_and_never_responds(
    journey: CompleteJourney, contacts: dict[date, list[Row]]
) -> None:
    everyone = [row for rows in contacts.values() for row in rows]
    control = [row for row in everyone if row["is_control"] == "true"]
    assert 0.09 < len(control) / len(everyone) < 0.11
    for row in everyone:
        is_control = row["is_control"] == "true"
        assert (row["channel"] == "none") == (row["contact_cost"] == "0.00") == is_control
    responses = [row for rows in delivered(Responses(journey), YEAR).values() for row in rows]
    assert len(responses) == 2_102
    contacted = {(row["campaign_id"], row["household_id"]) for row in everyone if row["is_control"] == "false"}
    assert {(row["campaign_id"], row["household_id"]) for row in responses} <= contacted


def test_rehearsals_are_up_to_five_a_day_of_living_flowcharts_and_some_fail(
    contacts: dict[date, list[Row]], runs: dict[date, list[Row]], flowcharts: dict[date, list[Row]]
) -> None:
    assert 0 < len(YEAR) - len(runs) < 100
    outcomes: dict[str, Counter[bool]] = defaultdict(Counter)
    for day, rows in runs.items():
        if day in contacts:
            continue
        living = {row["flowchart_id"] for row in flowcharts[day] if row["status"] != "retired"}
        assert len(rows) <= 5
        assert {row["flowchart_id"] for row in rows} <= living
        for row in rows:
            outcomes[row["status"]][bool(row["ended_at"])] += 1
    assert set(outcomes["succeeded"]) == {True}
    assert set(outcomes["failed"]) == {True, False}


def test_runs_are_numbered_in_order_and_end_after_they_start(runs: dict[date, list[Row]]) -> None:
    for day, rows in runs.items():
        assert [row["run_id"] for row in rows] == [f"{day:%Y%m%d}{number:02d}" for number in range(1, len(rows) + 1)]
        assert [row["started_at"] for row in rows] == sorted(row["started_at"] for row in rows)
        for row in rows:
            assert datetime.fromisoformat(row["started_at"]).date() == day
            assert not row["ended_at"] or row["ended_at"] > row["started_at"]
