"""Rows that a file may hold but the landing zone may not: each is kept with its line, its rule and its text."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cdm_assets.loading.report import RowCounts
from cdm_assets_tests.small_site import CUSTOMER, DAY, SOURCES, Site, at, day, open_site

NAMES = ("customer_id", "name", "status", "email", "phone", "age", "credit", "born", "joined", "seen_at", "Member?")
SOUND = (
    "c1",
    "Ann",
    "active",
    "ann@x.org",
    "12345",
    "30",
    "10.50",
    "1990-01-01",
    "2020-01-01",
    "2024-03-01 10:00",
    "1",
)


def line(**changes: str) -> str:
    """The CSV text of a sound customer with some columns changed (`member` stands for `Member?`)."""
    values = dict(zip(NAMES, SOUND, strict=True))
    values |= {"Member?" if name == "member" else name: value for name, value in changes.items()}
    text = io.StringIO()
    csv.writer(text).writerow(values.values())
    return text.getvalue().removesuffix("\r\n")


def land(site: Site, *lines: str, on: date = DAY) -> None:
    site.land_text("customer", "\n".join([",".join(NAMES), *lines, ""]), on)


FIRST, LAST = line(customer_id="c0", email="zoe@x.org"), line(customer_id="c9", email="bob@x.org")

BAD_VALUES = [
    ("customer_id", "", "required:customer_id", "expected a value, found nothing"),
    ("customer_id", "   ", "required:customer_id", "expected a value, found '   '"),
    ("name", "", "required:name", "expected a value, found nothing"),
    ("name", "x" * 21, "type:name", f"expected at most 20 characters, found '{'x' * 21}'"),
    ("name", "é" * 21, "type:name", f"expected at most 20 characters, found '{'é' * 21}'"),
    *(
        ("age", value, "type:age", f"expected an integer such as 42, found {value!r}")
        for value in (
            "1.5",
            "1.0",
            "1e2",
            "1_0",
            "0x1f",
            "1,5",
            "thirty",
            "nan",
            "inf",
            "NULL",
            "--1",
            "3 0",
            "9223372036854775808",
            "12345678901234567890",
            "٣",
        )
    ),
    *(
        (
            "credit",
            value,
            "type:credit",
            f"expected a number with at most 2 decimals, as decimal(12,2), found {value!r}",
        )
        for value in (
            "1.239",
            "1.005",
            "1e5",
            "1_0.5",
            "nan",
            "inf",
            "1,50",
            "$1.50",
            "1.5.0",
            ".",
            "-",
            "  ",
            "10000000000",
            "99999999999.99",
        )
    ),
    *(
        ("born", value, "type:born", f"expected a date such as 2017-03-01, found {value!r}")
        for value in (
            "2017-1-1",
            "2017-02-29",
            "2017-13-01",
            "2017-00-10",
            "01/02/2017",
            "20170101",
            "17-01-01",
            "2017-01-01 00:00:00",
            "today",
            "infinity",
            "epoch",
            "0000-01-01",
            "2017-01-01 (BC)",
            "10000-01-01",
        )
    ),
    *(
        (
            "seen_at",
            value,
            "type:seen_at",
            f"expected a timestamp without zone such as 2017-03-01 12:34:56, found {value!r}",
        )
        for value in (
            "2017-03-01",
            "2017-03-01 24:00:00",
            "2017-03-01 25:00:00",
            "2017-03-01 23:60:00",
            "2017-03-01 23:59:60",
            "2017-03-01 1:02:03",
            "2017-02-30 10:00:00",
            "2017-03-01 10:00:00Z",
            "2017-03-01 10:00:00+01",
            "2017-03-01 10:00:00.1234567",
            "1488369600",
            "now",
        )
    ),
    *(
        ("member", value, "type:is_member", f"expected true or false, found {value!r}")
        for value in ("yes", "t", "2", "-1", "on", " true")
    ),
    ("status", "gone", "domain:status", "expected one of active, closed, found 'gone'"),
    ("status", "Active", "domain:status", "expected one of active, closed, found 'Active'"),
    ("email", "ann.x.org", "format:email", "expected text that matches [^@ ]+@[^@ ]+[.][a-z]+, found 'ann.x.org'"),
    ("email", "ann@x.org\n", "format:email", r"expected text that matches [^@ ]+@[^@ ]+[.][a-z]+, found 'ann@x.org\n'"),
    ("phone", "1234", "length:phone", "expected text of 5 to 12 characters, found '1234'"),
    ("phone", "1234567890123", "length:phone", "expected text of 5 to 12 characters, found '1234567890123'"),
    ("age", "-1", "range:age", "expected a number from 0 to 120, found '-1'"),
    ("age", "121", "range:age", "expected a number from 0 to 120, found '121'"),
    ("credit", "-0.01", "non_negative:credit", "expected zero or more, found '-0.01'"),
    (
        "joined",
        "1989-12-31",
        "date_order:joined+born",
        "expected joined not before born, found joined = '1989-12-31', born = '1990-01-01'",
    ),
    (
        "email",
        "",
        "complete_when:email+status",
        "expected a value, as status is active, found email = nothing, status = 'active'",
    ),
    ("email", "zoe@x.org", "unique:email", "expected no second row with the same email, found 'zoe@x.org'"),
    ("customer_id", "c0", "unique:customer_id", "expected no second row with the same customer_id, found 'c0'"),
]


@dataclass(frozen=True)
class Loaded:
    """What a range of customer files became, by business date."""

    counts: Mapping[date, RowCounts]
    landed: Mapping[date, list[dict[str, Any]]]
    rejected: Mapping[date, list[dict[str, Any]]]
    registered: Mapping[date, list[dict[str, Any]]]


def load_one_file_each(site: Site, files: Sequence[Sequence[str]]) -> Loaded:
    """Load the files' lines, each file a business date, in one range."""
    site.empty_all()
    for number, lines in enumerate(files):
        land(site, *lines, on=day(number))
    loaded = site.load("customer", day(0), day(len(files) - 1))
    assert not loaded.file_faults
    found = (site.landed("customer"), site.rejected("customer"), site.registered("customer"))
    by_date = [
        {day(n): [row for row in rows if row["business_date"] == day(n)] for n in range(len(files))} for rows in found
    ]
    return Loaded(loaded.row_counts, *by_date)


@pytest.fixture(scope="module")
def bad_values(open_small_site: Site) -> Loaded:
    """A file for each of `BAD_VALUES`: a sound row, the bad one, a sound row."""
    return load_one_file_each(open_small_site, [(FIRST, line(**{c: value}), LAST) for c, value, *_ in BAD_VALUES])


@pytest.mark.parametrize(
    "number", range(len(BAD_VALUES)), ids=[f"{column}={value[:20]!r}" for column, value, *_ in BAD_VALUES]
)
def test_a_row_that_breaks_a_rule_is_rejected_and_the_others_load(bad_values: Loaded, number: int) -> None:
    on, (column, value, rule, reason) = day(number), BAD_VALUES[number]
    assert [row["customer_id"] for row in bad_values.landed[on]] == ["c0", "c9"]
    assert bad_values.rejected[on] == [
        {
            "source": "customer",
            "business_date": on,
            "file_name": f"{on}/customer.csv",
            "line": 3,
            "rule": rule,
            "column_name": "is_member" if column == "member" else column,
            "reason": reason,
            "raw_text": line(**{column: value}),
            "whole_file": False,
        }
    ]
    counts = bad_values.counts[on]
    assert (counts.read, counts.inserted, counts.rejected) == (3, 2, 1)
    (entry,) = bad_values.registered[on]
    assert entry["state"] == "loaded"
    assert (entry["rows_read"], entry["rows_loaded"], entry["rows_rejected"]) == (3, 2, 1)


GOOD_VALUES = [
    ("age", "+42", 42),
    ("age", "0042", 42),
    ("age", " 7 ", 7),
    ("age", "", None),
    ("credit", "5", Decimal("5.00")),
    ("credit", "5.", Decimal("5.00")),
    ("credit", ".5", Decimal("0.50")),
    ("credit", "1.5000", Decimal("1.50")),
    ("credit", "0000000000012.50", Decimal("12.50")),
    ("credit", "9999999999.99", Decimal("9999999999.99")),
    ("credit", "-0", Decimal("0.00")),
    ("born", "1904-02-29", date(1904, 2, 29)),
    ("born", "0001-01-01", date(1, 1, 1)),
    ("seen_at", "2024-03-01 23:59:59.123456", at(2024, 3, 1, 23, 59, 59, 123456)),
    ("seen_at", "2024-03-01T00:00", at(2024, 3, 1)),
    ("member", "TRUE", True),
    ("member", "0", False),
    ("name", " Ann ", " Ann "),
    ("name", 'Ann "A" Lee, jr', 'Ann "A" Lee, jr'),
    ("name", "Ann\nLee", "Ann\nLee"),
    ("name", "漢字🎉", "漢字🎉"),
    ("name", "\\N", "\\N"),
    ("name", "NULL", "NULL"),
    ("phone", "", None),
]


@pytest.fixture(scope="module")
def good_values(open_small_site: Site) -> Loaded:
    """A file for each of `GOOD_VALUES`."""
    return load_one_file_each(open_small_site, [[line(**{column: text})] for column, text, _ in GOOD_VALUES])


@pytest.mark.parametrize(
    "number", range(len(GOOD_VALUES)), ids=[f"{column}={text!r}" for column, text, _ in GOOD_VALUES]
)
def test_a_value_loads_typed_and_otherwise_as_received(good_values: Loaded, number: int) -> None:
    column, _, value = GOOD_VALUES[number]
    assert good_values.rejected[day(number)] == []
    (row,) = good_values.landed[day(number)]
    assert row["is_member" if column == "member" else column] == value


def test_a_whole_number_as_large_as_the_type_loads_exactly(site: Site) -> None:
    site.land("assortment", [{"customer_id": "c1", "product_id": "a1", "position": "9223372036854775807"}])
    site.load("assortment")
    assert site.landed("assortment")[0]["position"] == 9223372036854775807


@pytest.mark.parametrize("repeated", ["c1", "C1", " c1 "])
def test_of_rows_that_repeat_a_snapshots_key_the_first_stays(site: Site, repeated: str) -> None:
    land(site, line(name="first"), line(customer_id=repeated, name="second", email="b@x.org"), LAST)
    site.load("customer")
    assert [row["name"] for row in site.landed("customer")] == ["first", "Ann"]
    (rejected,) = site.rejected("customer")
    assert (rejected["line"], rejected["rule"]) == (3, "unique:customer_id")
    assert rejected["reason"] == f"expected no second row with the same customer_id, found {repeated!r}"


def test_a_faulty_row_does_not_stand_in_the_way_of_a_sound_one_with_its_key(site: Site) -> None:
    land(site, line(age="old"), line(name="second"), line(name="third", email="c@x.org"))
    site.load("customer")
    assert [row["name"] for row in site.landed("customer")] == ["second"]
    assert [(r["line"], r["rule"]) for r in site.rejected("customer")] == [(2, "type:age"), (4, "unique:customer_id")]


def test_the_first_broken_test_in_column_order_is_the_one_reported(site: Site) -> None:
    land(site, line(name="", age="x", status="gone"), line(customer_id="c2", status="gone", age="130"))
    site.load("customer")
    assert [r["rule"] for r in site.rejected("customer")] == ["required:name", "domain:status"]


def test_rows_without_a_value_are_not_compared_by_a_unique_rule(site: Site) -> None:
    no_mail = {"email": "", "status": "closed"}
    land(site, line(**no_mail), line(customer_id="c2", **no_mail), line(customer_id="c3", **no_mail))
    site.load("customer")
    assert len(site.landed("customer")) == 3


def test_a_key_of_several_columns_is_compared_as_a_whole(site: Site) -> None:
    pairs = [("c1", "a1"), ("c1", "a2"), ("c2", "a1"), ("C1", "a2")]
    site.land("assortment", [{"customer_id": c, "product_id": p} for c, p in pairs])
    site.load("assortment")
    assert len(site.landed("assortment")) == 3
    (rejected,) = site.rejected("assortment")
    assert rejected["line"] == 4
    assert rejected["rule"] == "unique:customer_id+product_id"
    assert rejected["reason"] == (
        "expected no second row with the same customer_id, product_id, found customer_id = 'C1', product_id = 'a2'"
    )


def test_events_and_deltas_may_repeat_a_key(site: Site) -> None:
    site.land("product", [{"product_id": "a1", "label": "x"}, {"product_id": "a1", "label": "y"}])
    site.load("product")
    assert [row["label"] for row in site.landed("product")] == ["x", "y"]


def test_rules_that_block_or_warn_reject_nothing(site: Site) -> None:
    site.land("product", [{"product_id": "a1", "label": "", "price": "-1"}])
    site.load("product")
    assert site.rejected("product") == []
    assert len(site.landed("product")) == 1


@pytest.mark.parametrize(
    ("bad", "rule", "column", "reason"),
    [
        (b"c1,Ann", "fields", None, "expected 11 fields, found 2"),
        (line().encode() + b",", "fields", None, "expected 11 fields, found 12"),
        (line().encode() + b",,,", "fields", None, "expected 11 fields, found 14"),
        (line().encode() + b',""', "fields", None, "expected 11 fields, found 12"),
        (line().encode() + b",x", "fields", None, "expected 11 fields, found 12"),
        (b" ", "fields", None, "expected 11 fields, found 1"),
        (
            line().encode().replace(b"Ann", b"Ren\xe9"),
            "encoding",
            "name",
            r"expected UTF-8 text, found bytes b'Ren\xe9'",
        ),
        (line().encode().replace(b"Ann", b"An\0n"), "encoding", "name", r"expected UTF-8 text, found bytes b'An\x00n'"),
        (line().encode().replace(b"Ann", b'"Ann"!'), "csv", None, "not a CSV record: ',' expected after '\"'"),
        (line().encode().replace(b"Ann", b'"Ann" '), "csv", None, "not a CSV record: ',' expected after '\"'"),
        (line().encode().replace(b"Ann", b' "Ann, Lee"'), "fields", None, "expected 11 fields, found 12"),
    ],
    ids=[
        "too few",
        "comma behind",
        "three commas behind",
        "empty quotes behind",
        "too many",
        "blank",
        "latin-1",
        "NUL",
        "text after a quote",
        "space after a quote",
        "space before a quote",
    ],
)
def test_a_record_that_breaks_the_format_is_rejected_and_the_others_load(
    site: Site, bad: bytes, rule: str, column: str | None, reason: str
) -> None:
    content = b"\n".join([",".join(NAMES).encode(), FIRST.encode(), bad, LAST.encode(), b""])
    site.land_text("customer", content)
    loaded = site.load("customer")
    assert [row["customer_id"] for row in site.landed("customer")] == ["c0", "c9"]
    assert [row["source_row"] for row in site.landed("customer")] == [1, 3]
    (rejected,) = site.rejected("customer")
    assert (rejected["line"], rejected["rule"], rejected["column_name"]) == (3, rule, column)
    assert rejected["reason"] == reason
    assert rejected["raw_text"] == bad.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    assert (loaded.row_counts[DAY].read, loaded.row_counts[DAY].rejected) == (3, 1)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_lines_are_exact_behind_blank_lines_line_breaks_in_quotes_and_any_line_end(
    site: Site, start: str, end: str
) -> None:
    several = line(name=f"Ann{end}{end}Lee")
    bad = line(customer_id="c2", name=f"Bo{end}", age="x", email="b@x.org")
    records = [",".join(NAMES), "", several, "", bad, "", line(customer_id="c3", email="c@x.org", age="y")]
    site.land_text("customer", start + end.join(records))
    site.load("customer")
    (row,) = site.landed("customer")
    assert (row["source_row"], row["name"]) == (1, f"Ann{end}{end}Lee")
    assert [(r["line"], r["raw_text"]) for r in site.rejected("customer")] == [(7, bad), (10, records[-1])]


def test_line_ends_may_change_inside_a_file(site: Site) -> None:
    site.land_text("customer", f"{','.join(NAMES)}\r\n{FIRST}\n{line(age='x')}\r\n{LAST}\n")
    site.load("customer")
    assert [row["customer_id"] for row in site.landed("customer")] == ["c0", "c9"]
    assert [r["line"] for r in site.rejected("customer")] == [3]


def test_row_faults_and_broken_records_of_one_file_are_all_kept(site: Site) -> None:
    land(site, "x", line(age="old"), FIRST, "y,z", line(status="gone"), LAST)
    loaded = site.load("customer")
    assert [(r["line"], r["rule"]) for r in site.rejected("customer")] == [
        (2, "fields"),
        (3, "type:age"),
        (5, "fields"),
        (6, "domain:status"),
    ]
    assert loaded.row_counts[DAY].read == 6


def test_a_file_of_bad_rows_only_loads_nothing_and_keeps_them_all(site: Site) -> None:
    bad = [line(customer_id=f"c{n}", age="999") for n in range(3000)]
    land(site, *bad)
    loaded = site.load("customer")
    assert site.landed("customer") == []
    assert [r["raw_text"] for r in site.rejected("customer")] == bad
    assert (loaded.row_counts[DAY].read, loaded.row_counts[DAY].rejected) == (3000, 3000)
    assert site.registered("customer")[0]["state"] == "loaded"


def test_a_long_record_is_kept_whole(site: Site) -> None:
    bad = line(name="x" * 3_000_000)
    land(site, FIRST, bad)
    site.load("customer")
    (rejected,) = site.rejected("customer")
    assert rejected["raw_text"] == bad
    assert len(rejected["reason"]) == 2000


def test_a_bad_record_in_a_gzip_file_has_its_line_too(site: Site) -> None:
    site.land_text("product", "product_id,label,price\na1,x,1\na2,y,cheap\n")
    site.load("product")
    (rejected,) = site.rejected("product")
    assert (rejected["file_name"], rejected["line"]) == ("2024-03-01/product.csv.gz", 3)
    assert rejected["raw_text"] == "a2,y,cheap"


def test_a_parquet_file_has_records_in_the_place_of_lines(site: Site) -> None:
    rows = [{"customer_id": "c1", "product_id": "a1", "position": position} for position in ("1", "one")]
    site.land("assortment", [*rows, {"customer_id": "c\0", "product_id": "a1"}, {"customer_id": "c2"}])
    site.load("assortment")
    assert [(r["line"], r["rule"], r["column_name"], r["reason"]) for r in site.rejected("assortment")] == [
        (2, "type:position", "position", "expected an integer such as 42, found 'one'"),
        (3, "encoding", "customer_id", r"expected text without a NUL character, found 'c\x00'"),
        (4, "required:product_id", "product_id", "expected a value, found nothing"),
    ]
    assert site.rejected("assortment")[0]["raw_text"].startswith(
        "{'customer_id': 'c1', 'product_id': 'a1', 'position': 'one'"
    )


def test_a_parquet_file_with_types_of_its_own_loads_exactly_or_says_why(site: Site) -> None:
    table = pa.table(
        {
            "customer_id": pa.array([1, 2, 3]),
            "product_id": pa.array(["a", "b", "c"]).dictionary_encode(),
            "position": pa.array([1, None, 3], pa.int8()),
            "weight": pa.array([0.5, 0.1 + 0.2, float("nan")]),
            "since": pa.array([date(2024, 2, 29)] * 3),
            "changed_at": pa.array([at(2024, 2, 29, 1, 2, 3, 4)] * 3, pa.timestamp("ns")),
            "is_pinned": pa.array([True, False, None]),
        }
    )
    site.land("assortment", table)
    site.load("assortment")
    (row,) = site.landed("assortment")
    assert (row["customer_id"], row["product_id"], row["position"], row["weight"]) == ("1", "a", 1, Decimal("0.500"))
    assert (row["since"], row["changed_at"]) == (date(2024, 2, 29), at(2024, 2, 29, 1, 2, 3, 4))
    assert row["is_pinned"] is True
    assert [r["reason"].rpartition("found ")[2] for r in site.rejected("assortment")] == [
        "'0.30000000000000004'",
        "'nan'",
    ]


ONE_COLUMN = CUSTOMER.replace(CUSTOMER[CUSTOMER.index("  - {name: name") : CUSTOMER.index("feeds:")], "")


def test_in_a_file_of_one_column_a_blank_line_is_a_record_without_value(tmp_path: Path) -> None:
    with open_site(tmp_path, {**SOURCES, "customer": ONE_COLUMN}) as site:
        site.land_text("customer", 'customer_id\nc1\n\nc2\n""\nc3')
        loaded = site.load("customer")
        assert [(row["customer_id"], row["source_row"]) for row in site.landed("customer")] == [
            ("c1", 1),
            ("c2", 3),
            ("c3", 5),
        ]
        assert [(r["line"], r["rule"], r["raw_text"]) for r in site.rejected("customer")] == [
            (3, "required:customer_id", ""),
            (5, "required:customer_id", '""'),
        ]
        assert loaded.row_counts[DAY].read == 5


def test_columns_may_be_called_like_what_the_reader_uses_itself(tmp_path: Path) -> None:
    names = {"age": "n", "name": "path", "status": "filename", "phone": "before"}
    text = CUSTOMER
    for old, new in names.items():
        text = text.replace(f"name: {old},", f"name: {new},").replace(f"column: {old},", f"column: {new},")
    text = text.replace("when: status", "when: filename")
    with open_site(tmp_path, {**SOURCES, "customer": text}) as site:
        header = ",".join(names.get(name, name) for name in NAMES)
        site.land_text("customer", f"{header}\n{line()}\n{line(customer_id='c2', age='x')}\n")
        site.load("customer")
        (row,) = site.landed("customer")
        assert (row["path"], row["n"], row["filename"]) == ("Ann", 30, "active")
        assert [r["rule"] for r in site.rejected("customer")] == ["type:n"]


@pytest.mark.parametrize("folder", ["[a]", "*", "what?", "it's", "x y"])
def test_the_landing_root_may_have_any_name(site: Site, folder: str) -> None:
    site = replace(site, landing_root=site.landing_root / folder)
    land(site, FIRST, line(age="x"))
    site.land("assortment", [{"customer_id": "c1", "product_id": "a1"}])
    site.load("customer")
    site.load("assortment")
    assert [r["line"] for r in site.rejected("customer")] == [3]
    assert len(site.landed("assortment")) == 1


def test_in_a_range_each_file_keeps_its_own_lines(site: Site) -> None:
    for number in range(5):
        land(site, *[FIRST, line(age="x"), LAST][: number + 1], on=day(number))
    loaded = site.load("customer", day(0), day(4))
    found: Mapping[Any, Any] = {(r["business_date"], r["line"]): r["file_name"] for r in site.rejected("customer")}
    assert found == {(day(n), 3): f"{day(n)}/customer.csv" for n in range(1, 5)}
    assert [loaded.row_counts[day(n)].read for n in range(5)] == [1, 2, 3, 3, 3]
