"""`cdm verify` on two days of the demo: right as loaded, and each thing that can be wrong, done to it and found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.demo.landing_area import write_landing_area
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.error_codes import CODES
from cdm_assets.operations.verification import Verified, verified
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.landing_area import LandingArea
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.bring_up_to_date import bring_up_to_date

FIRST, DAY = date(2017, 1, 1), date(2017, 1, 2)
D = f"date '{DAY}'"


@dataclass
class Loaded:
    """Two loaded days."""

    loads: TableLoads
    warehouse: Warehouse

    @contextmanager
    def spoiled(self, *statements: str) -> Iterator[Callable[..., list[Verified]]]:
        """With the statements done to the database: a function that verifies some tables, or all. Undone afterwards."""
        with self.warehouse.connection() as connection, connection.begin() as transaction:
            for statement in statements:
                connection.exec_driver_sql(statement)
            yield lambda *tables: verified(connection, self.loads, DAY, tables or None)
            transaction.rollback()

    def wrong(self, table: str, *statements: str) -> dict[str, str]:
        """What is found wrong with a table, by check."""
        with self.spoiled(*statements) as verify:
            return {answer.check: answer.message for answer in verify(table) if answer.blocks}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp("verified")
    write_landing_area(root=folder / "landing", start=FIRST, end=DAY)
    loads = TableLoads(Tables(read_catalog(None)))
    with Warehouse.open_duckdb(None, loads.tables) as warehouse:
        create_missing(warehouse)
        bring_up_to_date(warehouse, loads, DateRange(FIRST, DAY), LandingArea(folder / "landing", folder / "archive"))
        yield Loaded(loads, warehouse)


def test_a_loaded_day_is_right_in_every_table(loaded: Loaded) -> None:
    with loaded.spoiled() as verify:
        answers = verify()
    assert [answer for answer in answers if answer.blocks] == []
    assert {answer.table for answer in answers} == set(loaded.loads.in_order)
    checks = {answer.check for answer in answers}
    assert {"loaded", "keys", "required", "row_count", "links", "totals", "technical", "sums", "flowcharts"} <= checks
    warned = [answer for answer in answers if not answer.passed]
    assert all(answer.code.startswith("CDM-") for answer in warned)


def test_a_table_that_was_not_loaded_is_wrong(loaded: Loaded) -> None:
    found = loaded.wrong(
        "rdv.h_product",
        f"delete from cdp_metadata.partition_load where table_key = 'rdv.h_product' and business_date = {D}",
    )
    assert found == {"loaded": f"{DAY} was never loaded"}


def test_results_are_computed_anew_and_not_read(loaded: Loaded) -> None:
    statement = "update cdp_metadata.check_result set passed = true, blocks = false"
    broken = f"insert into itf.transaction from itf.transaction where business_date = {D} limit 1"
    found = loaded.wrong("itf.transaction", broken, statement)
    assert found["keys"] == "rows that repeat the key of another: 1"
    assert found["row_count"] == "rows of l_transaction - rows of transaction: -1"


@pytest.mark.parametrize(
    ("table", "column", "says"),
    [
        ("rdv.l_transaction", "rec_src", "rows without rec_src: 1"),
        ("rdv.s_product_details", "hashdiff", "rows without hashdiff: 1; rows whose hashdiff has not 32 characters: 1"),
        ("cs_360_db.customer_360", "run_id", "rows without run_id: 1"),
        ("ldz.ldz_transaction", "source_file", "rows without source_file: 1"),
    ],
)
def test_a_technical_column_that_is_empty_is_wrong(loaded: Loaded, table: str, column: str, says: str) -> None:
    one = f"rowid = (select min(rowid) from {table} where business_date = {D})"
    assert loaded.wrong(table, f"update {table} set {column} = '' where {one}")["technical"] == says


def test_a_technical_column_that_is_null_is_wrong(loaded: Loaded) -> None:
    statements = (
        "create table copy as from agg.campaign_day",
        "drop table agg.campaign_day",
        "create table agg.campaign_day as from copy",
        "insert into agg.campaign_day (campaign_id) values ('C1')",
    )
    found = loaded.wrong("agg.campaign_day", *statements)["technical"]
    assert found == "rows without business_date: 1; rows without load_ts: 1; rows without run_id: 1"


def test_a_hash_key_of_another_length_is_wrong(loaded: Loaded) -> None:
    one = f"rowid = (select min(rowid) from rdv.h_product where business_date = {D})"
    found = loaded.wrong("rdv.h_product", f"update rdv.h_product set product_hk = 'abc' where {one}")
    assert found["technical"] == "rows whose product_hk has not 32 characters: 1"


def test_a_key_that_no_hub_has_is_wrong(loaded: Loaded) -> None:
    found = loaded.wrong("rdv.l_transaction", "delete from rdv.h_store", "delete from rdv.h_product")
    assert "rows whose product is not in h_product" in found["links"]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("rdv.l_transaction", "sales_value"),
        ("itf.transaction", "sales_amount"),
        ("cdm_publish_db.customer_360", "sales_amount_lifetime"),
    ],
)
def test_an_amount_that_changed_on_its_way_is_wrong_to_the_last_digit(loaded: Loaded, table: str, column: str) -> None:
    one = f"rowid = (select min(rowid) from {table} where business_date = {D} and {column} is not null)"
    found = loaded.wrong(table, f"update {table} set {column} = {column} + 0.01 where {one}")
    assert found["sums"].startswith(f"sum of {column} - sum of ")
    assert found["sums"].rstrip("0").endswith(" before: 0.01")


def test_a_total_that_differs_from_the_vault_is_wrong(loaded: Loaded) -> None:
    found = loaded.wrong(
        "agg.customer_day",
        f"update agg.customer_day set sales_amount = sales_amount + 1 where rowid = "
        f"(select min(rowid) from agg.customer_day where business_date = {D})",
    )
    assert "totals" in found


def test_records_that_were_repeated_in_a_file_do_not_make_sums_wrong(loaded: Loaded) -> None:
    repeat = (
        f"insert into ldz.ldz_transaction select * replace (source_row + 1000000 as source_row) "
        f"from ldz.ldz_transaction where business_date = {D} limit 5"
    )
    assert "sums" not in loaded.wrong("rdv.l_transaction", repeat)


FLOWCHARTS = ("cs_360_db.flowchart_360", "cdm_publish_db.flowchart_360")


@pytest.mark.parametrize("table", FLOWCHARTS)
def test_a_flowchart_without_id_is_wrong(loaded: Loaded, table: str) -> None:
    one = f"rowid = (select min(rowid) from {table} where business_date = {D})"
    found = loaded.wrong(table, f"update {table} set flowchart_id = '' where {one}")
    assert "rows without flowchart_id: 1" in found["flowcharts"]


@pytest.mark.parametrize("table", FLOWCHARTS)
def test_a_flowchart_that_ran_and_counts_no_execution_is_wrong(loaded: Loaded, table: str) -> None:
    found = loaded.wrong(table, _one_run(table), f"update {table} set execution_count = 0")
    assert "flowcharts that ran and have no execution_count above 0: 1" in found["flowcharts"]


@pytest.mark.parametrize("table", FLOWCHARTS)
def test_a_computed_column_that_is_not_filled_is_wrong_where_the_flowchart_ran(loaded: Loaded, table: str) -> None:
    found = loaded.wrong(table, f"update {table} set execution_count = 2, last_run_at = null")
    assert "with a column that is computed before and not filled" in found["flowcharts"]


def test_a_negative_number_of_executions_is_wrong(loaded: Loaded) -> None:
    found = loaded.wrong(FLOWCHARTS[0], f"update {FLOWCHARTS[0]} set execution_count = -1")
    assert "rows whose execution_count is NULL or negative" in found["flowcharts"]


def _one_run(table: str) -> str:
    """A run of the first flowchart on the day, and of no other."""
    columns = "business_date, flowchart_run_id, flowchart_id, started_at, run_status, load_ts, run_id"
    values = f"{D}, 'R-test', min(flowchart_id), timestamp '{DAY} 10:00', 'succeeded', now()::timestamp, 'x'"
    return (
        "delete from itf.flowchart_run; "
        f"insert into itf.flowchart_run ({columns}) select {values} from {table} where business_date = {D}"
    )


@pytest.mark.parametrize("check", ["loaded", "technical", "sums", "flowcharts", "keys"])
def test_every_wrong_answer_has_a_code_that_a_runbook_explains(loaded: Loaded, check: str) -> None:
    for table in loaded.loads.in_order:
        assert Verified(table, check, passed=False, blocks=True, message="x").code in CODES
    assert Verified("itf.customer", check, passed=True, blocks=False).code == ""
    assert Verified("itf.customer", "loaded", passed=False, blocks=True).code == "CDM-OPS-005"
    assert Verified("ldz.ldz_customer", "technical", passed=False, blocks=True).code == "CDM-LDZ-012"
    assert Verified("ldz.ldz_customer", "sums", passed=False, blocks=True).code == "CDM-LDZ-013"


def test_a_read_only_connection_is_enough(loaded: Loaded) -> None:
    sent: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    sa.event.listen(loaded.warehouse.engine, "before_cursor_execute", note)
    try:
        with loaded.spoiled() as verify:
            verify()
    finally:
        sa.event.remove(loaded.warehouse.engine, "before_cursor_execute", note)
    assert sent
    assert all(statement.lstrip("( \n").upper().startswith(("SELECT", "WITH")) for statement in sent)
