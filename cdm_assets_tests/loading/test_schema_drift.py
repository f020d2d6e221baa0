"""Columns that a file has and its source does not declare, or the other way round, and spreadsheets as sources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from cdm_assets.loading.table_loads import LoadContext, NothingToLoad, TableLoads
from cdm_assets.orchestration.spreadsheet_types import frame_faults
from cdm_assets.warehouse.dates import DateRange
from cdm_assets_tests.small_site import DAY, SOURCES, VAULT, Site, day, open_site

HEADER = "purchase_id,customer_id,product_id,amount,bought_at"
ROW = "p1,c1,a1,1.00,2024-03-01 10:00:00"

SPEND = """
source: spend
description: What was spent, from finance.
delivery: snapshot
files: {path: "finance/spend {date}.xlsx", format: excel, sheet: Costs, header_row: 3}
owners: ["team:finance"]
columns:
  - {name: customer_id, type: string(8), key: true, header: Account}
  - {name: amount, type: "decimal(12,2)", required: true}
  - {name: paid_on, type: date}
  - {name: kind, type: string(10)}
rules:
  - {rule: domain, column: kind, values: [asset, service], on_failure: reject}
  - {rule: non_negative, column: amount, on_failure: reject}
feeds:
  hubs: {customer: [customer_id]}
  satellites:
    - {name: customer_spend, parent: customer}
"""


def loaded(site: Site, source: str, first: int = 0, last: int = 0) -> Any:
    loads = TableLoads(site.warehouse.tables)
    context = LoadContext(site.warehouse, site.area, "k" * 32, "run", frame_faults)
    return loads.load(f"ldz.ldz_{source}", DateRange(day(first), day(last)), context)


def warned(site: Site, source: str) -> list[str]:
    result = site.warehouse.tables["cdp_metadata.check_result"]
    query = sa.select(result.c.message).where(
        result.c.table_key == f"ldz.ldz_{source}", result.c.check_name == "rules", result.c.passed == sa.false()
    )
    with site.warehouse.connection() as connection:
        return [message for message in connection.execute(query).scalars() if "not as declared" in message]


def test_an_added_column_loads_is_kept_as_json_and_reported(site: Site) -> None:
    rows = f'{ROW},"say ""hi"", ü",\n{ROW.replace("p1", "p2")},,7\n'
    site.land_text("purchase", f"{HEADER},note,the 'shop'\n{rows}")
    assert loaded(site, "purchase").rows == {DAY: 2}
    first, second = (json.loads(row["extra"]) for row in site.landed("purchase"))
    assert first == {"note": 'say "hi", ü', "the 'shop'": None}
    assert second == {"note": None, "the 'shop'": "7"}
    assert site.registered("purchase")[0]["drift"].startswith("added 'note', ")
    (warning,) = warned(site, "purchase")
    assert "added 'note'" in warning


def test_bulk_and_careful_reading_keep_the_same_json(site: Site) -> None:
    rows = "".join(f'p{n},c1,a1,1.00,2024-03-01 10:00:00,"x ""{n}"" é\t/",\n' for n in range(3))
    site.land_text("purchase", f"{HEADER},note,empty\n{rows}")
    loaded(site, "purchase")
    in_bulk = [row["extra"] for row in site.landed("purchase")]
    site.land_text("purchase", f"{HEADER},note,empty\n{rows}too,few\n")
    loaded(site, "purchase")
    assert [row["extra"] for row in site.landed("purchase")] == in_bulk
    assert json.loads(in_bulk[2]) == {"note": 'x "2" é\t/', "empty": None}


def test_columns_in_another_order_load_and_are_reported(site: Site) -> None:
    site.land_text(
        "purchase", "amount,purchase_id,customer_id,product_id,bought_at\n1.00,p1,c1,a1,2024-03-01 10:00:00\n"
    )
    loaded(site, "purchase")
    (row,) = site.landed("purchase")
    assert (row["purchase_id"], str(row["amount"]), row["extra"]) == ("p1", "1.00", None)
    assert "reordered" in warned(site, "purchase")[0]


def test_an_optional_column_that_is_gone_is_null_and_reported(site: Site) -> None:
    site.land_text("product", "product_id,label\na1,Tea\n")
    loaded(site, "product")
    (row,) = site.landed("product")
    assert (row["label"], row["price"]) == ("Tea", None)
    assert "removed 'price'" in warned(site, "product")[0]


def test_a_file_without_drift_warns_of_nothing(site: Site) -> None:
    site.land_text("purchase", f"{HEADER}\n{ROW}\n")
    loaded(site, "purchase")
    assert warned(site, "purchase") == []
    assert site.registered("purchase")[0]["drift"] is None


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (HEADER.replace(",amount", ""), "removed 'amount'"),
        (HEADER.replace("amount", "amount_eur"), "'amount_eur' instead of 'amount' (renamed?)"),
    ],
    ids=["removed", "renamed"],
)
def test_a_required_column_that_is_gone_refuses_the_file_and_says_who_is_affected(
    site: Site, header: str, words: str
) -> None:
    site.land_text("purchase", f"{header}\n{ROW}\n")
    with pytest.raises(NothingToLoad) as refused:
        loaded(site, "purchase")
    message = str(refused.value)
    assert words in message
    assert "expected" in message
    assert "| found" in message
    assert "Affected: " in message
    assert "rdv.l_purchase" in message
    assert "team:sales-data" in message


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (
            "bought_at",
            "01.03.2024 10:00",
            "expected a timestamp without zone such as 2017-03-01 12:34:56, found '01.03",
        ),
        ("amount", '"1,00"', "expected a number with at most 2 decimals, as decimal(12,2), found '1,00'"),
        ("customer_id", "customer-000001", "expected at most 8 characters, found 'customer-000001'"),
    ],
)
def test_a_column_that_was_retyped_or_widened_refuses_the_file(site: Site, column: str, value: str, words: str) -> None:
    position = HEADER.split(",").index(column)

    def row(number: int, text: str | None) -> str:
        fields = [f"p{number}", "c1", "a1", "1.00", "2024-03-01 10:00:00"]
        fields[position] = text or fields[position]
        return ",".join(fields)

    sound = [row(number, None) for number in range(12)]
    site.land_text("purchase", "\n".join([HEADER, *sound]))
    loaded(site, "purchase")
    before = site.landed("purchase", audit=True)
    changed = [row(number, value if number > 4 else None) for number in range(12)]
    site.land_text("purchase", "\n".join([HEADER, *changed]))
    with pytest.raises(NothingToLoad) as refused:
        loaded(site, "purchase")
    assert words in str(refused.value)
    assert "retyped" in str(refused.value) or "widened" in str(refused.value)
    assert site.landed("purchase", audit=True) == before
    few = [row(number, value if number > 6 else None) for number in range(12)]
    site.land_text("purchase", "\n".join([HEADER, *few]))
    assert loaded(site, "purchase").row_counts[DAY].rejected == 5, "less than half: the records are at fault"


def test_a_parquet_column_that_is_not_declared_is_kept_too(site: Site) -> None:
    table = pa.table({"customer_id": ["c1"], "product_id": ["a1"], "shelf": pa.array([7], pa.int64())})
    pq.write_table(table, site.path("assortment"))
    loaded(site, "assortment")
    (row,) = site.landed("assortment")
    assert json.loads(row["extra"]) == {"shelf": "7"}
    assert row["position"] is None


@pytest.fixture
def finance(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, {**SOURCES, "spend": SPEND}, VAULT) as site:
        yield site


def workbook(
    site: Site, *rows: tuple[Any, ...], header: tuple[str, ...] = ("Account", "amount", "paid_on", "kind")
) -> None:
    book = openpyxl.Workbook()
    sheet = book.create_sheet("Costs")
    for row in (("What was spent",), (), header, *rows):
        sheet.append(row)
    book.save(site.path("spend"))


def test_a_spreadsheet_loads_like_any_file_and_its_faults_go_to_the_rejected_records(finance: Site) -> None:
    workbook(
        finance,
        ("c1", 10.5, "2024-03-01", "asset"),
        ("c2", -1, None, "asset"),
        ("c3", "ten", None, "asset"),
        (None, 1, None, "service"),
        ("c5", 2, None, "gift"),
        ("c6", 3, None, None),
        ("c6", 4, None, None),
    )
    report = loaded(finance, "spend")
    counts = report.row_counts[DAY]
    assert (counts.read, counts.inserted, counts.rejected) == (7, 2, 5)
    rows = finance.landed("spend")
    assert [(r["customer_id"], str(r["amount"]), r["source_row"]) for r in rows] == [
        ("c1", "10.50", 4),
        ("c6", "3.00", 9),
    ]
    rejected = [(r["line"], r["rule"], r["column_name"]) for r in finance.rejected("spend")]
    assert rejected == [
        (5, "non_negative:amount", "amount"),
        (6, "type:amount", "amount"),
        (7, "required:customer_id", "customer_id"),
        (8, "domain:kind", "kind"),
        (10, "unique:customer_id", "customer_id"),
    ]
    assert all(r["reason"].startswith("expected ") and r["raw_text"] for r in finance.rejected("spend"))


def test_a_spreadsheet_drifts_like_any_file(finance: Site) -> None:
    workbook(finance, ("c1", 1, None, "asset", "Ann"), header=("Account", "amount", "paid_on", "kind", "approved by"))
    loaded(finance, "spend")
    (row,) = finance.landed("spend")
    assert json.loads(row["extra"]) == {"approved by": "Ann"}
    workbook(finance, *((f"c{n}", "none yet", None, "asset") for n in range(12)))
    with pytest.raises(NothingToLoad, match="12 of 12 values of amount"):
        loaded(finance, "spend")
    assert len(finance.landed("spend")) == 1
    workbook(finance, ("c1",), header=("Account",))
    with pytest.raises(NothingToLoad, match="removed 'amount'"):
        loaded(finance, "spend")
