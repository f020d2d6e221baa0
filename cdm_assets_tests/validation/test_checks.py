"""Each check, passing and failing, on a few rows put straight into the tables; only the bad date fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.reading import CANONICAL, read_catalog
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.validation.checks import CheckFinding
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables

GOOD, BAD, LATER = date(2017, 1, 1), date(2017, 1, 2), date(2017, 1, 3)
DATES = DateRange(GOOD, LATER)
_FILL: dict[type[sa.types.TypeEngine[Any]], Any] = {
    sa.String: "x",
    sa.Integer: 0,
    sa.Numeric: Decimal(0),
    sa.Date: GOOD,
    sa.DateTime: datetime.combine(GOOD, time(12)),
    sa.Boolean: False,
}


class Bench:
    """The shipped catalog's tables in memory, inside a transaction that is taken back."""

    def __init__(self, connection: sa.Connection, loads: TableLoads) -> None:
        self.connection, self.loads, self.tables = connection, loads, loads.tables

    def put(self, key: str, day: date, *rows: dict[str, Any]) -> None:
        """Insert rows; what is not given has a plain value."""
        table = self.tables[key]
        for number, row in enumerate(rows or ({},), start=1):
            filled = {c.name: _FILL[c.type._type_affinity] for c in table.c if not c.nullable}  # type: ignore[index]
            filled |= {"source_row": number} if "source_row" in table.c else {}
            self.connection.execute(sa.insert(table), [filled | {"business_date": day} | row])

    def allow_null(self, key: str, *columns: str) -> None:
        """Take the database's own guard away, to see whether the check finds what it would refuse."""
        for column in columns:
            name = self.tables[key].fullname
            self.connection.exec_driver_sql(f"alter table {name} alter column {column} drop not null")

    def run(self, key: str, dates: DateRange = DATES) -> list[CheckFinding]:
        return self.loads.checks[key].run(self.connection, dates)[0]

    def failed(self, key: str) -> dict[tuple[date, str], str]:
        """Message of each failed check by date and check."""
        return {(f.business_date, f.check): f.message for f in self.run(key) if not f.passed}

    def passes(self, key: str, check: str) -> bool:
        return all(f.passed and not f.blocks for f in self.run(key) if f.check == check)

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """The statements that are executed meanwhile."""
        found: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            found.append(statement)

        sa.event.listen(self.connection.engine, "before_cursor_execute", note)
        yield found
        sa.event.remove(self.connection.engine, "before_cursor_execute", note)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("catalog")
    (folder / "sources").mkdir()
    customer = (CANONICAL / "sources" / "customer.yaml").read_text(encoding="utf-8")
    more = (
        "rules:\n"
        "  - {rule: not_null, column: email, on_failure: block}\n"
        "  - {rule: unique, columns: [email], on_failure: warn}\n"
    )
    (folder / "sources" / "customer.yaml").write_text(customer.replace("rules:\n", more))
    loyalty = (Path(__file__).parents[1] / "catalog/example_overlay/sources/loyalty.yaml").read_text()
    described = "rules: [{rule: referential, columns: [household_id], references: customer, on_failure: block}, "
    (folder / "sources" / "loyalty.yaml").write_text(loyalty.replace("rules: [", described))
    with Warehouse.open_duckdb(None, Tables(read_catalog(folder))) as warehouse:
        create_missing(warehouse)
        yield warehouse


@pytest.fixture
def bench(warehouse: Warehouse) -> Iterator[Bench]:
    with warehouse.engine.connect() as connection:
        transaction = connection.begin()
        yield Bench(connection, TableLoads(warehouse.tables))
        transaction.rollback()


def _customer(number: int, **values: Any) -> dict[str, Any]:
    return {"household_id": f"H{number}", "email": f"h{number}@example.com", **values}


class TestKeys:
    def test_a_key_that_repeats_on_a_date_fails_that_date(self, bench: Bench) -> None:
        for day in DATES:
            bench.put("ldz.ldz_customer", day, _customer(1), _customer(2))
        assert bench.passes("ldz.ldz_customer", "keys")
        bench.put("ldz.ldz_customer", BAD, _customer(1, email="other@example.com"))
        failed = bench.failed("ldz.ldz_customer")
        assert failed[BAD, "keys"] == "rows that repeat the key of another: 1"
        assert (GOOD, "keys") not in failed
        assert (LATER, "keys") not in failed

    def test_a_delta_may_repeat_a_key(self, bench: Bench) -> None:
        bench.put("ldz.ldz_offer", GOOD, {}, {})
        assert bench.passes("ldz.ldz_offer", "keys")

    def test_a_null_in_a_key_fails(self, bench: Bench) -> None:
        bench.allow_null("itf.transaction", "basket_id")
        bench.put("itf.transaction", BAD, {"basket_id": None})
        assert bench.failed("itf.transaction")[BAD, "keys"] == "rows with a NULL in the key: 1"

    @pytest.mark.parametrize("key", ["rdv.h_customer", "rdv.l_flowchart_campaign", "rdv.l_response"])
    def test_a_key_that_stands_twice_in_a_hub_link_or_event_fails_whatever_its_dates(
        self, bench: Bench, key: str
    ) -> None:
        name = f"{key.split('_', 1)[1]}_hk"
        bench.put(key, GOOD, {name: "a"})
        assert bench.passes(key, "keys")
        bench.put(key, LATER, {name: "a"}, {name: "b"})
        failed = bench.failed(key)
        assert failed[LATER, "keys"] == "rows whose key stands in the table more than once: 1"
        assert (BAD, "keys") not in failed

    def test_a_key_that_stands_before_the_checked_dates_is_found(self, bench: Bench) -> None:
        bench.put("rdv.h_customer", GOOD, {"customer_hk": "a"})
        bench.put("rdv.h_customer", BAD, {"customer_hk": "a"})
        [finding] = [f for f in bench.run("rdv.h_customer", DateRange(BAD, BAD)) if f.check == "keys"]
        assert finding.blocks


def test_a_required_column_without_value_fails(bench: Bench) -> None:
    bench.allow_null("itf.customer", "has_demographics")
    bench.put("itf.customer", GOOD, {"customer_id": "1"})
    assert bench.passes("itf.customer", "required")
    bench.put("itf.customer", BAD, {"customer_id": "1", "has_demographics": None})
    assert bench.failed("itf.customer")[BAD, "required"] == "rows without has_demographics: 1"


class TestRowCount:
    def test_records_read_are_loaded_or_rejected(self, bench: Bench) -> None:
        register = {"source": "customer", "rows_loaded": 1, "state": "loaded"}
        rejected = {"source": "customer", "rule": "r", "whole_file": False}
        bench.put("ldz.ldz_customer", GOOD, _customer(1))
        bench.put("ldz.ldz_customer", BAD, _customer(1))
        for day in (GOOD, BAD):
            bench.put("cdp_metadata.landing_file", day, register | {"rows_read": 2})
            bench.put("cdp_metadata.rejected_record", day, rejected)
        assert bench.passes("ldz.ldz_customer", "row_count")
        bench.put("cdp_metadata.rejected_record", BAD, rejected)
        assert bench.failed("ldz.ldz_customer") == {(BAD, "row_count"): "records read - rejected - loaded: -1"}

    def test_a_refused_file_beside_an_older_one_does_not_disturb(self, bench: Bench) -> None:
        bench.put("ldz.ldz_customer", GOOD, _customer(1))
        bench.put("cdp_metadata.landing_file", GOOD, {"source": "customer", "state": "loaded", "rows_read": 1})
        bench.put("cdp_metadata.landing_file", GOOD, {"source": "customer", "state": "rejected", "rows_read": 0})
        bench.put("cdp_metadata.rejected_record", GOOD, {"source": "customer", "rule": "r", "whole_file": True})
        assert bench.passes("ldz.ldz_customer", "row_count")

    def test_a_hub_has_every_key_sent_and_no_other(self, bench: Bench) -> None:
        key = "rdv.h_store"
        bench.put("ldz.ldz_transaction", GOOD, {"store_id": "S1"})
        bench.put("ldz.ldz_transaction", BAD, {"store_id": "S1"}, {"store_id": "S2"}, {"store_id": "S2"})
        assert bench.failed(key) == {
            (GOOD, "row_count"): "keys that sources sent and the table lacks: 1",
            (BAD, "row_count"): "keys that sources sent and the table lacks: 1",
        }
        for store, day in (("S1", GOOD), ("S2", BAD)):
            bench.put(key, day, {"store_hk": _md5(bench, store), "store_id": store})
        assert bench.failed(key) == {}
        bench.put(key, LATER, {"store_hk": "c", "store_id": "S3"})
        assert bench.failed(key) == {(LATER, "row_count"): "rows whose key no source sent on their date: 1"}

    def test_a_hub_row_on_a_later_date_than_its_key_was_sent_fails_both_dates(self, bench: Bench) -> None:
        bench.put("ldz.ldz_transaction", GOOD, {"store_id": "S1"})
        bench.put("rdv.h_store", BAD, {"store_hk": _md5(bench, "S1"), "store_id": "S1"})
        assert bench.failed("rdv.h_store") == {
            (GOOD, "row_count"): "keys that sources sent and the table lacks: 1",
            (BAD, "row_count"): "rows whose key no source sent on their date: 1",
        }

    def test_an_event_is_there_once_however_often_it_was_sent(self, bench: Bench) -> None:
        bench.put("ldz.ldz_flowchart_run", GOOD, {"flowchart_run_id": "R1"}, {"flowchart_run_id": "R1"})
        bench.put("ldz.ldz_flowchart_run", BAD, {"flowchart_run_id": "R1"}, {"flowchart_run_id": "R2"})
        run = {"flowchart_hk": "f", "event_date": GOOD}
        bench.put("rdv.h_flowchart", GOOD, {"flowchart_hk": "f"})
        bench.put("rdv.l_flowchart_run", GOOD, {"flowchart_run_hk": _md5(bench, "R1")} | run)
        failed = bench.failed("rdv.l_flowchart_run")
        assert {k: v for k, v in failed.items() if k[1] == "row_count"} == {
            (BAD, "row_count"): "keys that sources sent and the table lacks: 1"
        }
        bench.put("rdv.l_flowchart_run", BAD, {"flowchart_run_hk": _md5(bench, "R2")} | run)
        assert bench.passes("rdv.l_flowchart_run", "row_count")

    def test_a_state_entity_has_every_key_known_by_then(self, bench: Bench) -> None:
        bench.put("rdv.h_campaign", GOOD, {"campaign_hk": "a"})
        bench.put("rdv.h_campaign", BAD, {"campaign_hk": "b"})
        bench.put("itf.campaign", GOOD, {"campaign_id": "1"})
        bench.put("itf.campaign", BAD, {"campaign_id": "1"})
        bench.put("itf.campaign", LATER, {"campaign_id": "1"}, {"campaign_id": "2"})
        assert bench.failed("itf.campaign") == {(BAD, "row_count"): "rows of h_campaign - rows of campaign: 1"}

    def test_an_event_entity_has_the_events_of_the_date_whenever_they_came(self, bench: Bench) -> None:
        bench.put(
            "rdv.l_response", LATER, {"response_hk": "a", "event_date": GOOD}, {"response_hk": "b", "event_date": BAD}
        )
        bench.put("itf.response", GOOD, {"customer_id": "1"})
        assert bench.failed("itf.response") == {(BAD, "row_count"): "rows of l_response - rows of response: 1"}

    def test_a_360_has_a_row_for_each_row_of_its_entity(self, bench: Bench) -> None:
        for day in (GOOD, BAD):
            bench.put("itf.flowchart", day, {"flowchart_id": "1"})
        bench.put("cs_360_db.flowchart_360", GOOD, {"flowchart_id": "1"})
        failed = bench.failed("cs_360_db.flowchart_360")
        assert failed == {(BAD, "row_count"): "rows of itf.flowchart - rows of flowchart_360: 1"}

    def test_publish_has_the_rows_of_what_it_copies(self, bench: Bench) -> None:
        for day in (GOOD, BAD):
            bench.put("cs_360_db.flowchart_360", day, {"flowchart_id": "1"})
        bench.put("cdm_publish_db.flowchart_360", GOOD, {"flowchart_id": "1"})
        [((day, check), message)] = bench.failed("cdm_publish_db.flowchart_360").items()
        assert (day, check) == (BAD, "row_count")
        assert message == "rows of cs_360_db.flowchart_360 - rows of cdm_publish_db.flowchart_360: 1"


class TestLinks:
    def test_an_event_whose_hub_row_is_missing_fails(self, bench: Bench) -> None:
        for hub in ("customer", "campaign"):
            bench.put(f"rdv.h_{hub}", GOOD, {f"{hub}_hk": "a"})
        row = {"contact_hk": "1", "customer_hk": "a", "campaign_hk": "a"}
        bench.put("rdv.l_contact", GOOD, row)
        assert bench.passes("rdv.l_contact", "links")
        bench.put("rdv.l_contact", BAD, row | {"contact_hk": "2", "customer_hk": "b"})
        [finding] = [f for f in bench.run("rdv.l_contact") if (f.business_date, f.check) == (BAD, "links")]
        assert finding.blocks
        assert finding.findings["rows whose customer is not in h_customer"] == 1

    def test_a_satellite_row_whose_parent_is_missing_fails(self, bench: Bench) -> None:
        bench.put("rdv.h_product", GOOD, {"product_hk": "a"})
        bench.put("rdv.s_product_details", GOOD, {"product_hk": "a"})
        assert bench.passes("rdv.s_product_details", "links")
        bench.put("rdv.s_product_details", BAD, {"product_hk": "b"})
        assert bench.failed("rdv.s_product_details") == {(BAD, "links"): "rows whose product does not exist: 1"}

    def test_keys_that_nothing_describes_are_named_and_only_warn(self, bench: Bench) -> None:
        for hub in ("customer", "store", "basket"):
            bench.put(f"rdv.h_{hub}", GOOD, {f"{hub}_hk": "a"})
        products = [f"P{n:02}" for n in range(25)]
        for product in products:
            bench.put("rdv.h_product", GOOD, {"product_hk": product, "product_id": product})
        bench.put("rdv.s_product_details", BAD, {"product_hk": "P00"})
        line = {"customer_hk": "a", "store_hk": "a", "basket_hk": "a", "rec_src": "transaction"}
        bench.put("rdv.l_transaction", BAD, {"transaction_hk": "1", "product_hk": "P00"} | line)
        assert bench.passes("rdv.l_transaction", "links")
        for number, product in enumerate([*products, "P01"]):
            bench.put("rdv.l_transaction", LATER, {"transaction_hk": f"{number}", "product_hk": product} | line)
        [finding] = [f for f in bench.run("rdv.l_transaction") if f.check == "links" and not f.passed]
        assert finding.business_date == LATER
        assert not finding.blocks
        assert finding.message == (
            f"product keys that source product does not describe: 24 ({', '.join(products[1:21])}, …)"
        )

    def test_a_key_is_not_described_before_its_description_came(self, bench: Bench) -> None:
        bench.put("rdv.h_customer", GOOD, {"customer_hk": "a", "customer_id": "H1"})
        bench.put("rdv.s_customer_demographics", BAD, {"customer_hk": "a"})
        bench.put("rdv.s_customer_loyalty", GOOD, {"customer_hk": "a", "rec_src": "loyalty"})
        bench.put("rdv.s_customer_loyalty", LATER, {"customer_hk": "a", "rec_src": "loyalty"})
        [finding] = [f for f in bench.run("rdv.s_customer_loyalty") if not f.passed]
        assert (finding.business_date, finding.check, finding.blocks) == (GOOD, "links", True)
        assert finding.message == "customer keys that source customer does not describe: 1 (H1)"


class TestRules:
    def test_a_rule_that_warns_fails_without_blocking(self, bench: Bench) -> None:
        bench.put("ldz.ldz_customer", GOOD, _customer(1, income="35-49K"))
        bench.put("ldz.ldz_customer", BAD, _customer(1, income="a lot"))
        [finding] = [f for f in bench.run("ldz.ldz_customer") if f.check == "rules" and not f.passed]
        assert (finding.business_date, finding.blocks) == (BAD, False)
        assert finding.message.startswith("rows that break domain:income (expected one of Under 15K, ")
        assert finding.message.endswith("): 1")

    def test_a_rule_that_blocks_fails_and_blocks(self, bench: Bench) -> None:
        bench.put("ldz.ldz_customer", BAD, _customer(1, email=None))
        [finding] = [f for f in bench.run("ldz.ldz_customer") if f.check == "rules" and not f.passed]
        assert (finding.business_date, finding.blocks) == (BAD, True)
        assert finding.message == "rows that break not_null:email (expected a value): 1"

    def test_a_unique_rule_that_does_not_reject_is_checked(self, bench: Bench) -> None:
        bench.put("ldz.ldz_customer", GOOD, _customer(1), _customer(2))
        bench.put("ldz.ldz_customer", BAD, _customer(1), _customer(2, email="h1@example.com"))
        [finding] = [f for f in bench.run("ldz.ldz_customer") if f.check == "rules" and not f.passed]
        assert (finding.business_date, finding.blocks) == (BAD, False)
        assert finding.message == "rows that break unique:email (expected no second row with the same email): 1"


class TestTotals:
    def test_a_sum_of_a_date_agrees_to_the_cent(self, bench: Bench) -> None:
        for day in (GOOD, BAD):
            bench.put(
                "rdv.l_transaction",
                LATER,
                {"transaction_hk": f"{day}", "event_date": day, "sales_value": Decimal("0.10")},
            )
        bench.put("agg.customer_day", GOOD, {"customer_id": "1", "sales_amount": Decimal("0.10")})
        bench.put("agg.customer_day", BAD, {"customer_id": "1", "sales_amount": Decimal("0.09")})
        assert bench.failed("agg.customer_day") == {
            (BAD, "totals"): "sum of sales_amount - l_transaction.sales_value in the vault: -0.01"
        }

    def test_a_sum_up_to_a_date_counts_all_events_by_then(self, bench: Bench) -> None:
        bench.put("rdv.h_flowchart", GOOD, {"flowchart_hk": "f"})
        for day in (GOOD, BAD):
            run = {"flowchart_run_hk": f"{day}", "flowchart_hk": "f", "event_date": day}
            bench.put("rdv.l_flowchart_run", day, run)
        for day, runs in ((GOOD, 1), (BAD, 1), (LATER, 2)):
            bench.put("itf.flowchart", day, {"flowchart_id": "1"})
            bench.put("cs_360_db.flowchart_360", day, {"flowchart_id": "1", "execution_count": runs})
        assert bench.failed("cs_360_db.flowchart_360") == {
            (BAD, "totals"): "sum of execution_count - l_flowchart_run.rows in the vault: -1"
        }

    def test_an_event_counts_from_the_date_on_which_what_it_is_of_is_known(self, bench: Bench) -> None:
        bench.put("rdv.h_flowchart", BAD, {"flowchart_hk": "f"})
        bench.put("rdv.l_flowchart_run", BAD, {"flowchart_run_hk": "r", "flowchart_hk": "f", "event_date": GOOD})
        for day in (BAD, LATER):
            bench.put("itf.flowchart", day, {"flowchart_id": "1"})
            bench.put("cs_360_db.flowchart_360", day, {"flowchart_id": "1", "execution_count": 1})
        assert bench.failed("cs_360_db.flowchart_360") == {}


def test_every_check_of_every_table_passes_on_nothing(bench: Bench) -> None:
    for key in bench.tables.partitioned:
        failed = {place: text for place, text in bench.failed(key).items() if place[1] != "expected_events"}
        assert failed == {}, key


def test_every_date_has_every_check_and_its_rows(bench: Bench) -> None:
    bench.put("ldz.ldz_customer", BAD, _customer(1), _customer(2))
    findings, rows = bench.loads.checks["ldz.ldz_customer"].run(bench.connection, DATES)
    assert rows == {GOOD: 0, BAD: 2, LATER: 0}
    names = bench.loads.checks["ldz.ldz_customer"].names
    assert [(f.business_date, f.check) for f in findings] == [(day, name) for day in DATES for name in names]
    assert names == ("keys", "row_count", "rules")


def test_the_checks_of_a_table_are_one_query_and_one_more_for_each_that_names_examples(bench: Bench) -> None:
    """Referential rules, and of the checks for known troubles those that list; drift in the landing zone."""
    naming: dict[str, int] = {
        "rdv.l_transaction": 1,
        "rdv.l_contact": 1,
        "rdv.l_response": 1,
        "rdv.l_flowchart_run": 1,
        "rdv.l_offer_product": 1,
        "rdv.s_customer_loyalty": 1,
        "rdv.l_account_status": 1,
        "rdv.l_experiment_assignment": 1,
        "ldz.ldz_click": 1,
        "metrics.profit_aggregate": 2,
        "metrics.growth_aggregate": 1,
        "metrics.engagement_aggregate": 1,
    }
    for key in bench.tables.partitioned:
        with bench.counted() as statements:
            bench.run(key)
        drift = 1 if key.startswith("ldz.") else 0
        assert len(statements) == 1 + drift + naming.get(key, 0), key


def test_a_check_of_a_range_gives_what_checks_of_its_dates_give(bench: Bench) -> None:
    bench.put("ldz.ldz_transaction", GOOD, {"store_id": "S1"}, {"store_id": "S2"})
    bench.put("ldz.ldz_transaction", LATER, {"store_id": "S2"}, {"store_id": "S3"})
    bench.put("rdv.h_store", GOOD, {"store_hk": _md5(bench, "S1")})
    bench.put("rdv.h_store", LATER, {"store_hk": "nobody's"})
    one_by_one = [finding for day in DATES for finding in bench.run("rdv.h_store", DateRange(day, day))]
    of_range = bench.run("rdv.h_store")
    same = [(f.business_date, f.check, f.passed) for f in one_by_one]
    assert same == [(f.business_date, f.check, f.passed) for f in of_range]


def _md5(bench: Bench, text: str) -> str:
    return str(bench.connection.exec_driver_sql("select md5($1)", (text,)).scalar_one())
