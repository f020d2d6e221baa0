"""Files that cannot be loaded: refused as a whole, with the old partition as it was."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdm_assets.warehouse.landing_area import LandingAreaMissing
from cdm_assets_tests.small_site import DAY, Site, day

CUSTOMER_FILE = "2024-03-01/customer.csv"
HEADER = "customer_id,name,status,email,phone,age,credit,born,joined,seen_at,Member?"
ANN, BOB = "c1,Ann,active,ann@x.org,,,,,,,", "c2,Bob,closed,,,,,,,,"
SOUND = f"{HEADER}\n{ANN}\n{BOB}\n"

Damage = Callable[[Site], object]


def customer(text: str | bytes) -> Damage:
    return lambda site: site.land_text("customer", text)


def promised(**changes: Any) -> Damage:
    def land(site: Site) -> None:
        site.land_text("customer", SOUND)
        site.promise("customer", **({"rows": 2} | changes))

    return land


def malformed_manifest(site: Site) -> None:
    site.land_text("customer", SOUND)
    (site.path("customer").parent / "_manifest.json").write_text('{"files": 1}')


FAULTS: list[tuple[str, Damage, str, int | None, str | None, str, str]] = [
    (
        "renamed column",
        customer(SOUND.replace("name", "nom")),
        "columns",
        1,
        "name",
        CUSTOMER_FILE,
        "'nom' instead of 'name' (renamed?)\nexpected",
    ),
    ("empty", customer(b""), "empty", 1, None, CUSTOMER_FILE, "the file has no bytes; expected a header and records"),
    (
        "header only",
        customer(HEADER + "\n"),
        "empty",
        1,
        None,
        CUSTOMER_FILE,
        "expected records, found only a header; set `may_be_empty: true` if that is legal",
    ),
    (
        "header and blank lines only",
        customer(HEADER + "\n\n\r\n\n"),
        "empty",
        1,
        None,
        CUSTOMER_FILE,
        "expected records, found only a header",
    ),
    (
        "not there",
        lambda site: site.path("customer").unlink(),
        "missing",
        None,
        None,
        CUSTOMER_FILE,
        "no file of source customer for 2024-03-01; it is due every day. Ask team:customer-data",
    ),
    (
        "quote left open",
        customer(f'{HEADER}\n{ANN}\nc2,"Bob,closed,,,,,,,,\nc3,Cid,,,,,,,,,\n'),
        "csv",
        3,
        None,
        CUSTOMER_FILE,
        "a quote opens in this record and is not closed by the end of the file; where records end cannot be told",
    ),
    (
        "quote closed elsewhere",
        customer(f'{HEADER}\n{ANN}\nc2,"Bob,closed,,,,,,,,\nc3,Cid,,"x",,,,,,,\n'),
        "csv",
        3,
        None,
        CUSTOMER_FILE,
        "a quote opens in this record and is not closed properly on line 4; where records end cannot be told",
    ),
    (
        "hash other than promised",
        promised(sha256="ab" * 32),
        "manifest",
        None,
        None,
        CUSTOMER_FILE,
        f"expected sha256 {'ab' * 32} as _manifest.json says, found ",
    ),
    (
        "rows other than promised",
        promised(rows=3),
        "manifest",
        None,
        None,
        CUSTOMER_FILE,
        "expected 3 records as the manifest says, found 2",
    ),
    (
        "malformed manifest",
        malformed_manifest,
        "manifest",
        None,
        None,
        "2024-03-01/_manifest.json",
        'expected {"files": [{"file": text, "rows": number, "sha256": hex}, ...]}; files: ',
    ),
]


@pytest.mark.parametrize(
    ("damage", "rule", "line", "column", "file_name", "reason"),
    [fault[1:] for fault in FAULTS],
    ids=[fault[0] for fault in FAULTS],
)
def test_a_file_fault_leaves_the_old_partition_as_it_was_and_says_what_is_wrong_where(
    site: Site, damage: Damage, rule: str, line: int | None, column: str | None, file_name: str, reason: str
) -> None:
    site.land_text("customer", f"{SOUND}c3,,,,,,,,,,\n")
    site.load("customer")
    before = site.landed("customer", audit=True)
    (loaded,) = site.registered("customer")
    damage(site)
    load = site.load("customer")
    assert site.landed("customer", audit=True) == before
    counts = load.row_counts[DAY]
    assert (counts.read, counts.inserted, counts.removed, counts.rejected) == (0, 0, 0, 0)
    fault = load.file_faults[DAY]
    assert str(fault).startswith(f"{file_name}{f':{line}' if line else ''}: {rule}")
    assert reason in str(fault)
    row, rejected = sorted(site.rejected("customer"), key=lambda record: bool(record["whole_file"]))
    assert (row["whole_file"], row["line"], row["rule"]) == (False, 4, "required:name")
    assert rejected["whole_file"] is True
    assert (rejected["file_name"], rejected["line"], rejected["rule"]) == (file_name, line, rule)
    assert (rejected["column_name"], rejected["raw_text"]) == (column, None)
    assert rejected["reason"] == fault.reason[:2000]
    kept, *refused = site.registered("customer")
    if rule == "missing":
        assert kept["gone_at"] is not None, "an operator is to say whether its rows shall leave"
        assert (kept | {"gone_at": None}, refused) == (loaded, [])
    else:
        assert kept == loaded
        assert [(entry["state"], entry["file_name"]) for entry in refused] == [("rejected", CUSTOMER_FILE)]
        assert refused[0]["reason"] == str(fault)[:2000]


def test_a_fault_on_the_first_load_leaves_no_partition(site: Site) -> None:
    site.land_text("customer", b"")
    assert list(site.load("customer").file_faults) == [DAY]
    assert site.landed("customer") == []
    assert [entry["state"] for entry in site.registered("customer")] == ["rejected"]


def test_a_good_file_after_a_bad_one_clears_what_was_held_against_it(site: Site) -> None:
    site.land_text("customer", f"{HEADER}\n{ANN}\nx\n")
    site.load("customer")
    site.land_text("customer", b"")
    site.load("customer")
    assert len(site.rejected("customer")) == 2
    site.land_text("customer", SOUND)
    site.load("customer")
    assert site.rejected("customer") == []
    assert [entry["state"] for entry in site.registered("customer")] == ["loaded"]
    assert len(site.landed("customer")) == 2


def test_a_fault_that_stays_is_told_once(site: Site) -> None:
    site.land_text("customer", b"")
    site.load("customer")
    site.load("customer")
    assert len(site.rejected("customer")) == 1
    site.land_text("customer", HEADER)
    site.load("customer")
    assert [r["reason"][:8] for r in site.rejected("customer")] == ["expected"]
    assert len(site.registered("customer")) == 1


def test_in_a_range_only_the_bad_dates_are_refused(site: Site) -> None:
    for number in range(6):
        site.land_text("customer", SOUND, day(number))
    site.load("customer", day(0), day(5))
    before = site.landed("customer", audit=True)
    for number in range(6):
        site.land_text("customer", SOUND.replace("Ann", "Anna"), day(number))
    site.land_text("customer", SOUND.replace("name", "nom"), day(1))
    site.land_text("customer", f'{HEADER}\nc1,"Ann', day(3))
    site.path("customer", day(4)).unlink()
    load = site.load("customer", day(0), day(5))
    assert {d: fault.rule for d, fault in load.file_faults.items()} == {
        day(1): "columns",
        day(3): "csv",
        day(4): "missing",
    }
    after = site.landed("customer", audit=True)
    bad = [day(1), day(3), day(4)]
    assert [row for row in after if row["business_date"] in bad] == [
        row for row in before if row["business_date"] in bad
    ]
    assert {row["name"] for row in after if row["business_date"] not in bad} == {"Anna", "Bob"}
    assert {d: counts.read for d, counts in load.row_counts.items()} == {
        day(n): 0 if day(n) in bad else 2 for n in range(6)
    }


def test_a_row_count_that_matches_counts_rejected_records_too(site: Site) -> None:
    site.land_text("customer", f"{SOUND}x\nc3,,,,,,,,,,\n")
    site.promise("customer", rows=4)
    load = site.load("customer")
    assert not load.file_faults
    assert (load.row_counts[DAY].read, load.row_counts[DAY].rejected) == (4, 2)


def test_a_row_count_is_checked_without_the_empty_fields_duckdb_would_drop(site: Site) -> None:
    site.land_text("customer", f"{SOUND}c3,Cid,,,,,,,,,,\n")
    site.promise("customer", rows=2)
    assert site.load("customer").file_faults[DAY].reason == "expected 2 records as the manifest says, found 3"


def test_a_date_without_a_file_empties_its_partition_where_that_is_legal(site: Site) -> None:
    row = "p1,c1,a1,1.00,2024-03-01 10:00:00"
    site.land_text("purchase", f"purchase_id,customer_id,product_id,amount,bought_at\n{row}\nx\n")
    site.load("purchase")
    assert len(site.landed("purchase")) == 1
    site.path("purchase").unlink()
    load = site.load("purchase")
    assert (load.row_counts[DAY].read, load.row_counts[DAY].removed) == (0, 1)
    assert site.landed("purchase") == []
    assert site.rejected("purchase") == []
    assert site.registered("purchase") == []
    (entry,) = site.rows("cdp_metadata.landing_file", where={"source": "purchase"})
    assert (entry["state"], entry["file_name"]) == ("withdrawn", "purchases/2024-03-01.csv")


def test_a_promised_file_that_is_not_there_keeps_the_partition_though_absence_is_legal(site: Site) -> None:
    row = "p1,c1,a1,1.00,2024-03-01 10:00:00"
    path = site.land_text("purchase", f"purchase_id,customer_id,product_id,amount,bought_at\n{row}\n")
    site.load("purchase")
    site.promise("purchase", rows=1)
    path.unlink()
    assert site.load("purchase").file_faults[DAY].rule == "missing"
    assert len(site.landed("purchase")) == 1


@pytest.mark.parametrize("source", ["purchase", "assortment"])
def test_a_header_without_records_empties_the_partition_where_that_is_legal(site: Site, source: str) -> None:
    sound = {"customer_id": "c1", "product_id": "a1", "purchase_id": "p1", "amount": "1"}
    names = {column.file_name for column in site.source(source).columns}
    row = {name: value for name, value in sound.items() if name in names}
    site.land(source, [row | ({"bought_at": "2024-03-01 10:00:00"} if source == "purchase" else {})])
    site.load(source)
    assert len(site.landed(source)) == 1
    site.land(source, [])
    load = site.load(source)
    assert not load.file_faults
    assert site.landed(source) == []
    (entry,) = site.registered(source)
    assert (entry["state"], entry["rows_read"]) == ("loaded", 0)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda whole: whole[:-20], "Compressed file ended before the end-of-stream marker was reached"),
        (lambda whole: whole[:40] + b"\xff\xff\xff" + whole[43:], ""),
        (gzip.decompress, "Not a gzipped file"),
        (lambda _: gzip.compress(b""), ""),
    ],
    ids=["truncated", "damaged", "not compressed", "nothing inside"],
)
def test_a_gzip_that_is_not_whole_keeps_the_partition(site: Site, damage: Callable[[bytes], bytes], words: str) -> None:
    path = site.land("product", [{"product_id": f"a{n}", "label": f"label {n}", "price": n} for n in range(500)])
    site.load("product")
    before = site.landed("product", audit=True)
    path.write_bytes(damage(path.read_bytes()))
    fault = site.load("product").file_faults[DAY]
    assert fault.rule in ("gzip", "empty")
    assert words in fault.reason
    assert str(fault).startswith("2024-03-01/product.csv.gz: gzip") or fault.rule == "empty"
    assert site.landed("product", audit=True) == before


def pairs(number: int) -> pa.Table:
    texts = {"customer_id": [f"c{n}" for n in range(number)], "product_id": [f"a{n}" for n in range(number)]}
    others = {name: pa.nulls(number) for name in ("position", "weight", "since", "changed_at", "is_pinned")}
    return pa.table(texts | others)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda whole: whole[: len(whole) // 2], "parquet"),
        (lambda whole: whole[:200] + b"\x5a" * 400 + whole[600:], "format"),
        (lambda _: SOUND.encode(), "parquet"),
        (lambda _: b"", "empty"),
    ],
    ids=["truncated", "damaged pages", "CSV", "empty"],
)
def test_a_damaged_parquet_file_keeps_the_partition(site: Site, damage: Callable[[bytes], bytes], rule: str) -> None:
    path = site.land("assortment", pairs(1000))
    site.load("assortment")
    before = site.landed("assortment", audit=True)
    assert len(before) == 1000
    path.write_bytes(damage(path.read_bytes()))
    site.land("assortment", pairs(3), day(1))
    load = site.load("assortment", day(0), day(1))
    assert {d: fault.rule for d, fault in load.file_faults.items()} == {DAY: rule}
    assert str(load.file_faults[DAY]).startswith("2024-03-01/assortment.parquet")
    assert [row for row in site.landed("assortment", audit=True) if row["business_date"] == DAY] == before
    assert load.row_counts[day(1)].inserted == 3


def test_a_damaged_parquet_file_is_called_so_even_where_a_manifest_counts_its_rows(site: Site) -> None:
    path = site.land("assortment", pairs(1000))
    path.write_bytes(path.read_bytes()[:200] + b"\x5a" * 400 + path.read_bytes()[600:])
    site.promise("assortment", rows=1000)
    assert site.load("assortment").file_faults[DAY].rule == "format"


def test_a_parquet_file_with_text_that_is_not_utf_8_is_refused(site: Site) -> None:
    latin = pa.Array.from_buffers(pa.string(), 1, pa.array([b"c\xe9"]).buffers())
    table = pairs(1).set_column(0, "customer_id", latin)
    pq.write_table(table, site.path("assortment"))
    fault = site.load("assortment").file_faults[DAY]
    assert fault.rule == "format"
    assert "UTF" in fault.reason


def test_a_parquet_column_of_another_type_names_the_column(site: Site) -> None:
    site.land("assortment", pairs(1).set_column(0, "customer_id", pa.array([1.0])))
    fault = site.load("assortment").file_faults[DAY]
    assert str(fault) == (
        "2024-03-01/assortment.parquet: type (customer_id): expected string(8), found double in the file"
    )


def test_a_landing_area_that_is_gone_stops_the_load_instead_of_emptying_partitions(site: Site) -> None:
    site.land_text("purchase", "purchase_id,customer_id,product_id,amount,bought_at\np1,c1,a1,1,2024-03-01 10:00:00\n")
    site.load("purchase")
    moved = site.landing_root.rename(site.landing_root.with_name("not mounted"))
    try:
        with pytest.raises(LandingAreaMissing, match="does not exist; mount it, set CDM_LANDING"):
            site.load("purchase")
    finally:
        moved.rename(site.landing_root)
    assert len(site.landed("purchase")) == 1


def test_a_failure_inside_the_load_changes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.land_text("customer", f"{SOUND}x\n")
    site.load("customer")
    tables = ("ldz.ldz_customer", "cdp_metadata.rejected_record")
    before = [site.rows(table, audit=True) for table in tables]
    (loaded,) = site.registered("customer")
    site.land_text("customer", f"{SOUND}c3,,,,,,,,,,\n")
    monkeypatch.setattr("cdm_assets.loading.landing.end_loading", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        site.load("customer")
    assert [site.rows(table, audit=True) for table in tables] == before
    kept, unfinished = site.registered("customer")
    assert (kept, unfinished["state"]) == (loaded, "loading"), "as after a crash: the next load takes it up again"


def test_a_refused_file_of_one_source_says_nothing_about_another(site: Site) -> None:
    site.land_text("customer", b"")
    site.land("product", [{"product_id": "a1", "label": "x", "price": "y"}])
    site.load("customer")
    site.load("product")
    site.land_text("customer", SOUND)
    site.load("customer")
    assert len(site.rejected("product")) == 1
    assert site.rejected("customer") == []


def test_a_date_outside_the_range_is_left_alone(site: Site) -> None:
    for number in range(3):
        site.land_text("customer", f"{SOUND}x\n", day(number))
    site.load("customer", day(0), day(2))
    before = [row for row in site.landed("customer", audit=True) if row["business_date"] != day(1)]
    site.land_text("customer", SOUND, day(1))
    site.load("customer", day(1))
    assert [row for row in site.landed("customer", audit=True) if row["business_date"] != day(1)] == before
    found: list[date] = [r["business_date"] for r in site.rejected("customer")]
    assert found == [day(0), day(2)]
