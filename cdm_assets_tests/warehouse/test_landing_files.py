"""What the bytes of a landing file tell: whether it is whole, its header, its manifest, its records one by one."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdm_assets.catalog.model import Catalog, Source
from cdm_assets.catalog.reading import read_catalog
from cdm_assets.warehouse.file_faults import FileFault
from cdm_assets.warehouse.landing_area import file_name_of
from cdm_assets.warehouse.landing_files import LandingFile, Record, may_hold_no_record, records_of
from cdm_assets_tests.small_site import DAY, SOURCES, at, find_file, write_catalog

HEADER: Final = "purchase_id,customer_id,product_id,amount,bought_at"
ROW: Final = "p1,c1,a1,1.00,2024-03-01 10:00:00"


@dataclass(frozen=True)
class Landing:
    """A landing root and the sources whose files lie in it."""

    root: Path
    catalog: Catalog

    def source(self, name: str) -> Source:
        return self.catalog.sources[name]

    def put(self, source: str, content: str | bytes) -> Path:
        path = self.root / file_name_of(self.source(source), DAY)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def find(self, source: str = "purchase") -> LandingFile:
        found = find_file(self.source(source), DAY, self.root)
        assert found is not None
        return found

    def refusal(self, source: str = "purchase") -> FileFault:
        with pytest.raises(FileFault) as caught:
            find_file(self.source(source), DAY, self.root)
        return caught.value

    def records(self, body: str | bytes, header: str = HEADER) -> list[Record]:
        self.put("purchase", header.encode() + (body.encode() if isinstance(body, str) else body))
        return list(records_of(self.find()))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return read_catalog(shipped=write_catalog(tmp_path_factory.mktemp("catalog"), SOURCES))


@pytest.fixture
def landing(tmp_path: Path, catalog: Catalog) -> Landing:
    return Landing(tmp_path, catalog)


def test_a_sound_file_is_described_by_name_size_hash_and_header(landing: Landing) -> None:
    path = landing.put("purchase", f"{HEADER}\n{ROW}\n")
    found = landing.find()
    assert (found.name, found.business_date) == ("purchases/2024-03-01.csv", DAY)
    assert found.path != path, "a copy in the archive"
    assert found.path.read_bytes() == path.read_bytes()
    assert found.size_bytes == path.stat().st_size
    assert len(found.sha256) == 64
    assert found.header == tuple(HEADER.split(","))
    assert found.manifest_rows is None


def test_columns_may_come_in_any_order(landing: Landing) -> None:
    landing.put("purchase", "bought_at,amount,product_id,customer_id,purchase_id\n")
    assert landing.find().header[0] == "bought_at"


def test_a_byte_order_mark_is_no_part_of_the_header(landing: Landing) -> None:
    landing.put("purchase", f"\ufeff{HEADER}\n{ROW}\n")
    assert landing.find().header[0] == "purchase_id"


@pytest.mark.parametrize(
    ("header", "column", "problem"),
    [
        (HEADER.replace("amount", "Amount"), "amount", "'Amount' instead of 'amount' (renamed?)\n"),
        (HEADER.replace(",amount", ""), "amount", "removed 'amount'\n"),
        (f"{HEADER},Amount", "amount", "expected each name once, found 'amount', 'Amount'"),
        (HEADER.replace(",", ";"), "purchase_id", "added 'purchase_id;customer_id;pro...'; removed "),
        (ROW, "purchase_id", "added 'p1', 'c1', 'a1', '1.00', "),
    ],
    ids=["renamed", "removed", "doubled", "other delimiter", "no header at all"],
)
def test_a_wrong_header_refuses_the_file_and_names_what_was_expected_and_found(
    landing: Landing, header: str, column: str, problem: str
) -> None:
    landing.put("purchase", f"{header}\n{ROW}\n")
    fault = landing.refusal()
    assert (fault.rule, fault.line, fault.column) == ("columns", 1, column)
    assert fault.reason.startswith(problem)
    assert str(fault).startswith("purchases/2024-03-01.csv:1: columns")


def test_a_missing_column_is_shown_beside_what_was_found(landing: Landing) -> None:
    landing.put("purchase", f"{HEADER.replace('amount', 'Amount')}\n{ROW}\n")
    _, header, *lines = landing.refusal().reason.splitlines()
    assert [cell.strip() for cell in header.split("|")] == ["expected", "found", "what"]
    assert [[cell.strip() for cell in line.split("|")] for line in lines if "mount" in line] == [
        ["amount decimal(12,2)", "Amount", "renamed?, required"]
    ]


@pytest.mark.parametrize(("header", "drift"), [(f"{HEADER},note", "added 'note'"), (f"{HEADER},", "added ''")])
def test_an_added_column_is_reported(landing: Landing, header: str, drift: str) -> None:
    landing.put("purchase", f"{header}\n{ROW},x\n")
    assert landing.find().drift == drift


def test_a_header_that_is_no_text_is_quoted_readably(landing: Landing) -> None:
    landing.put("purchase", HEADER.replace("amount", "am\u00f6unt").encode("latin-1") + b"\n")
    assert "'am\\\\xf6unt' instead of 'amount'" in landing.refusal().reason


def test_a_utf_16_file_is_refused_by_its_header(landing: Landing) -> None:
    landing.put("purchase", f"{HEADER}\n{ROW}\n".encode("utf-16"))
    fault = landing.refusal()
    assert fault.rule == "columns"
    str(fault).encode()


@pytest.mark.parametrize("content", ["", "\n", "\r\n", "\ufeff", "\ufeff\n"])
def test_a_file_without_a_header_is_empty(landing: Landing, content: str) -> None:
    landing.put("purchase", content)
    fault = landing.refusal()
    assert (fault.rule, fault.line) == ("empty", 1)
    assert "expected a header and records" in fault.reason


def test_a_gzip_file_around_nothing_is_empty(landing: Landing) -> None:
    landing.put("product", gzip.compress(b""))
    assert landing.refusal("product").rule == "empty"


def test_a_missing_file_that_is_due_names_whom_to_ask(landing: Landing) -> None:
    fault = landing.refusal("customer")
    assert (fault.rule, fault.file_name) == ("missing", "2024-03-01/customer.csv")
    assert "no file of source customer for 2024-03-01" in fault.reason
    assert "team:customer-data" in fault.reason
    assert "may_be_absent: true" in fault.reason


def test_a_missing_file_is_legal_where_the_source_says_so(landing: Landing) -> None:
    assert find_file(landing.source("purchase"), DAY, landing.root) is None


def test_a_folder_in_the_place_of_a_file_is_unreadable(landing: Landing) -> None:
    (landing.root / "purchases/2024-03-01.csv").mkdir(parents=True)
    fault = landing.refusal()
    assert fault.rule == "unreadable"
    assert "Is a directory" in fault.reason


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda whole: whole[:-12], "end-of-stream"),
        (lambda whole: whole[:15], "end-of-stream"),
        (lambda whole: whole[:30] + bytes([whole[30] ^ 0xFF]) + whole[31:], ""),
        (lambda whole: whole[:-8] + b"\0\0\0\0" + whole[-4:], "CRC check failed"),
        (lambda _: f"{HEADER}\n{ROW}\n".encode(), "Not a gzipped file"),
        (lambda whole: whole + b"garbage", "Not a gzipped file"),
    ],
    ids=["truncated", "truncated in its header", "flipped byte", "wrong checksum", "no gzip", "garbage behind"],
)
def test_a_damaged_gzip_is_refused_before_anything_is_read(landing: Landing, damage: Any, words: str) -> None:
    text = "product_id,label,price\n" + "".join(f"a{n},label {n},{n}.50\n" for n in range(200))
    landing.put("product", damage(gzip.compress(text.encode())))
    fault = landing.refusal("product")
    assert (fault.rule, fault.file_name) == ("gzip", "2024-03-01/product.csv.gz")
    assert fault.reason.startswith("the gzip stream is truncated or damaged: ")
    assert words in fault.reason


def test_a_gzip_of_several_members_is_whole(landing: Landing) -> None:
    landing.put("product", gzip.compress(b"product_id,label,price\na1,x,1\n") + gzip.compress(b"a2,y,2\n"))
    assert [record.fields[0] for record in records_of(landing.find("product"))] == ["a1", "a2"]


def assortment(**columns: pa.Array) -> pa.Table:
    sound = {
        "customer_id": pa.array(["c1"]),
        "product_id": pa.array(["a1"]),
        "position": pa.array([1]),
        "weight": pa.array([Decimal("0.500")]),
        "since": pa.array([date(2024, 1, 1)]),
        "changed_at": pa.array([at(2024, 1, 1, 12)]),
        "is_pinned": pa.array([True]),
    }
    return pa.table(sound | columns)


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        ("customer_id", pa.array([42.0]), "double"),
        ("customer_id", pa.array([b"c1"]), "binary"),
        ("customer_id", pa.array([["c1"]]), "list<element: string>"),
        ("position", pa.array([1.0]), "double"),
        ("position", pa.array([{"x": 1}]), "struct<x: int64>"),
        ("since", pa.array([at(2024, 1, 1)]), "timestamp[us]"),
        ("changed_at", pa.array([date(2024, 1, 1)]), "date32[day]"),
        ("changed_at", pa.array([at(2024, 1, 1)], pa.timestamp("us", tz="UTC")), "timestamp[us, tz=UTC]"),
        ("is_pinned", pa.array([1]), "int64"),
        ("weight", pa.array([True]), "bool"),
    ],
)
def test_a_parquet_column_of_another_type_refuses_the_file(
    landing: Landing, column: str, values: pa.Array, found: str
) -> None:
    path = landing.put("assortment", b"")
    pq.write_table(assortment(**{column: values}), path)
    fault = landing.refusal("assortment")
    expected = landing.source("assortment").columns_by_name[column].type
    assert (fault.rule, fault.column) == ("type", column)
    assert fault.reason == f"expected {expected}, found {found} in the file"


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"customer_id": pa.array([42]), "weight": pa.array([0.5]), "position": pa.array(["7"])},
        {"customer_id": pa.array(["c1"]).dictionary_encode(), "since": pa.nulls(1), "changed_at": pa.array(["x"])},
        {"customer_id": pa.array(["c1"], pa.large_string()), "weight": pa.array([3], pa.int8())},
    ],
)
def test_a_parquet_column_may_have_any_type_whose_values_have_one_exact_text(
    landing: Landing, columns: dict[str, pa.Array]
) -> None:
    pq.write_table(assortment(**columns), landing.put("assortment", b""))
    assert landing.find("assortment").header[0] == "customer_id"


@pytest.mark.parametrize("keep", [3, 40, -1, -20])
def test_a_truncated_parquet_file_is_refused(landing: Landing, keep: int) -> None:
    path = landing.put("assortment", b"")
    pq.write_table(assortment(), path)
    path.write_bytes(path.read_bytes()[:keep])
    fault = landing.refusal("assortment")
    assert fault.rule == "parquet"
    assert fault.reason.startswith("not a readable Parquet file: ")


def test_a_parquet_file_has_a_header_too(landing: Landing) -> None:
    pq.write_table(assortment().drop_columns(["customer_id", "weight"]), landing.put("assortment", b""))
    fault = landing.refusal("assortment")
    assert (fault.rule, fault.column) == ("columns", "customer_id")
    pq.write_table(assortment().drop_columns(["weight"]), landing.put("assortment", b""))
    assert landing.find("assortment").drift == "removed 'weight'"


def promise(landing: Landing, content: str | bytes) -> None:
    path = landing.root / "purchases/_manifest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def test_a_manifest_promises_rows_and_hash(landing: Landing) -> None:
    landing.put("purchase", f"{HEADER}\n{ROW}\n")
    sha256 = landing.find().sha256
    entry = {"file": "2024-03-01.csv", "rows": 1, "sha256": sha256.upper(), "comment": "more keys are no fault"}
    promise(landing, "\ufeff" + json.dumps({"business_date": "2024-03-01", "files": [entry]}))
    assert landing.find().manifest_rows == 1


def test_a_manifest_that_speaks_of_other_files_promises_nothing(landing: Landing) -> None:
    landing.put("purchase", f"{HEADER}\n{ROW}\n")
    promise(landing, '{"files": [{"file": "other.csv", "rows": 7, "sha256": "ab"}]}')
    assert landing.find().manifest_rows is None


def test_a_hash_other_than_promised_refuses_the_file(landing: Landing) -> None:
    landing.put("purchase", f"{HEADER}\n{ROW}\n")
    promise(landing, '{"files": [{"file": "2024-03-01.csv", "rows": 1, "sha256": "ab"}]}')
    fault = landing.refusal()
    assert (fault.rule, fault.file_name) == ("manifest", "purchases/2024-03-01.csv")
    assert fault.reason.startswith("expected sha256 ab as _manifest.json says, found ")
    assert "incomplete or was changed" in fault.reason


def test_a_promised_file_that_is_not_there_is_missing_even_where_absence_is_legal(landing: Landing) -> None:
    promise(landing, '{"files": [{"file": "2024-03-01.csv", "rows": 1, "sha256": "ab"}]}')
    fault = landing.refusal()
    assert fault.rule == "missing"
    assert fault.reason == "_manifest.json lists the file but it is not there; deliver it again"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ("{}", "files: Field required"),
        ('{"files": [{"file": "2024-03-01.csv", "rows": "one", "sha256": "ab"}]}', "files.0.rows: "),
        ('{"files": [{"file": "2024-03-01.csv", "rows": 1.5, "sha256": "ab"}]}', "files.0.rows: "),
        ('{"files": [{"file": "2024-03-01.csv", "rows": -1, "sha256": "ab"}]}', "files.0.rows: "),
        ('{"files": [{"file": "2024-03-01.csv", "rows": 1}]}', "files.0.sha256: Field required"),
        ('{"files": ["2024-03-01.csv"]}', "files.0: "),
        (b'{"files": "\xff"}', "Invalid JSON"),
        ("", "Invalid JSON"),
    ],
)
def test_a_malformed_manifest_is_refused_and_named(landing: Landing, content: str | bytes, found: str) -> None:
    landing.put("purchase", f"{HEADER}\n{ROW}\n")
    promise(landing, content)
    fault = landing.refusal()
    assert (fault.rule, fault.file_name) == ("manifest", "purchases/_manifest.json")
    assert fault.reason.startswith('expected {"files": [{"file": text, "rows": number, "sha256": hex}, ...]}; ')
    assert found in fault.reason


def test_a_corrected_manifest_counts_at_once(landing: Landing) -> None:
    landing.put("purchase", f"{HEADER}\n{ROW}\n")
    sha256 = landing.find().sha256
    promise(landing, '{"files": [{"file": "2024-03-01.csv", "rows": 1, "sha256": "ab"}]}')
    landing.refusal()
    promise(landing, json.dumps({"files": [{"file": "2024-03-01.csv", "rows": 1, "sha256": sha256}]}))
    assert landing.find().manifest_rows == 1


@pytest.mark.parametrize(
    ("absent", "empty", "legal"), [("true", "false", True), ("false", "true", True), ("false", "false", False)]
)
def test_a_header_without_records_is_legal_where_said_or_where_no_file_is(
    tmp_path: Path, absent: str, empty: str, legal: bool
) -> None:
    files = f'{{path: "purchases/{{date}}.csv", format: csv, may_be_absent: {absent}, may_be_empty: {empty}}}'
    old = '{path: "purchases/{date}.csv", format: csv, may_be_absent: true}'
    sources = {**SOURCES, "purchase": SOURCES["purchase"].replace(old, files)}
    catalog = read_catalog(shipped=write_catalog(tmp_path, sources))
    assert may_hold_no_record(catalog.sources["purchase"]) is legal


def test_records_are_numbered_and_know_their_first_line(landing: Landing) -> None:
    records = landing.records('\np1,c1,a1,1,t\n\n\np2,"c\n\n2",a1,1,t\r\n"p3",c3,a1,"1,5",\n\np4,c4,a1,1,t')
    assert [(r.number, r.line) for r in records] == [(1, 2), (2, 5), (3, 8), (4, 10)]
    assert [r.fields[1] for r in records] == ["c1", "c\n\n2", "c3", "c4"]
    assert records[2].fields[3:] == ["1,5", None]
    assert [r.raw_text for r in records][1:3] == ['p2,"c\n\n2",a1,1,t', '"p3",c3,a1,"1,5",']
    assert all(r.fault is None for r in records)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_gives_the_same_records(landing: Landing, end: str) -> None:
    records = landing.records(f"{end}p1,c1,a1,1,t{end}{end}p2,c2,a1,1,t{end}")
    assert [(r.number, r.line, r.fields[0], r.raw_text) for r in records] == [
        (1, 2, "p1", "p1,c1,a1,1,t"),
        (2, 4, "p2", "p2,c2,a1,1,t"),
    ]


def test_a_carriage_return_inside_a_field_damages_its_own_record_only(landing: Landing) -> None:
    records = landing.records("\np1,c\r1,a1,1,t\np2,c2,a1,1,t\n")
    assert [(r.line, r.fault.rule if r.fault else None) for r in records] == [(2, "csv"), (3, None)]
    assert records[0].raw_text == "p1,c\r1,a1,1,t"


@pytest.mark.parametrize(
    ("record", "rule", "column", "reason"),
    [
        (b"p1,c1,a1,1", "fields", "", "expected 5 fields, found 4"),
        (b"p1,c1,a1,1,t,", "fields", "", "expected 5 fields, found 6"),
        (b"p1,c1,a1,1,t,x", "fields", "", "expected 5 fields, found 6"),
        (b"   ", "fields", "", "expected 5 fields, found 1"),
        (b"p1,c1,a\xe91,1,t", "encoding", "product_id", "expected UTF-8 text, found bytes b'a\\xe91'"),
        (b"p1,c1,a1,1\x00,t", "encoding", "amount", "expected UTF-8 text, found bytes b'1\\x00'"),
        (b'p1,"c1"x,a1,1,t', "csv", "", "not a CSV record: ',' expected after '\"'"),
        (b'p1,"c1" ,a1,1,t', "csv", "", "not a CSV record: ',' expected after '\"'"),
    ],
)
def test_a_damaged_record_is_kept_with_its_line_and_text(
    landing: Landing, record: bytes, rule: str, column: str, reason: str
) -> None:
    before, damaged, after = landing.records(b"\np0,c0,a1,1,t\n" + record + b"\np2,c2,a1,1,t\n")
    assert before.fault is None
    assert after.fault is None
    assert damaged.fault is not None
    assert (damaged.line, damaged.fault.line) == (3, 3)
    assert (damaged.fault.rule, damaged.fault.column, damaged.fault.reason) == (rule, column, reason)
    expected = record.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    assert damaged.fault.raw_text == damaged.raw_text == expected


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ('\np0,c0,a1,1,t\np1,"c1,a1,1,t\np2,c2,a1,1,t\n', "by the end of the file"),
        ('\np0,c0,a1,1,t\np1,c1,a1,1,"t', "by the end of the file"),
        ('\np0,c0,a1,1,t\np1,"c1,a1,1,t\np2,"c2",a1,1,t\n', "properly on line 4"),
    ],
)
def test_a_quote_that_stays_open_refuses_the_file_at_the_line_where_it_opens(
    landing: Landing, body: str, where: str
) -> None:
    landing.put("purchase", HEADER + body)
    with pytest.raises(FileFault) as caught:
        list(records_of(landing.find()))
    fault = caught.value
    assert (fault.rule, fault.line) == ("csv", 3)
    assert fault.reason == f"a quote opens in this record and is not closed {where}; where records end cannot be told"
    assert str(fault).startswith("purchases/2024-03-01.csv:3: csv: ")


def test_a_quote_inside_an_unquoted_field_is_text(landing: Landing) -> None:
    (record,) = landing.records('\np1,12" pan,a1,1,t\n')
    assert record.fields[1] == '12" pan'


def test_a_record_longer_than_pythons_default_limit_is_read(landing: Landing) -> None:
    (record,) = landing.records("\np1," + "x" * 300_000 + ",a1,1,t\n")
    assert record.fault is None
    assert len(record.raw_text) > 300_000
