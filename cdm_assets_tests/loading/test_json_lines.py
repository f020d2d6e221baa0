"""Files of JSON lines: one object a line; what is no sound object is kept with its line and its text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from cdm_assets.loading.report import RowCounts
from cdm_assets_tests.small_site import CUSTOMER, DAY, Site, at, day, open_site

VISIT = """
source: visit
description: Visits of the web shop, as JSON lines.
delivery: events
files: {path: "{date}/visit.jsonl", format: json_lines, may_be_absent: true}
owners: ["team:web-data"]
columns:
  - {name: visit_id, type: string(12), key: true}
  - {name: customer_id, type: string(8), required: true}
  - {name: visited_at, type: timestamp, required: true, header: at}
  - {name: pages, type: integer}
  - {name: spent, type: "decimal(12,2)"}
  - {name: logged_in, type: boolean}
  - {name: device, type: string(60)}
event_time: visited_at
feeds:
  hubs: {customer: [customer_id]}
  event: visit
"""
NAME = f"{DAY}/visit.jsonl"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    vault = """
hubs:
  customer: {description: c, owners: ["team:c"], key: [{name: customer_id, type: string(8)}]}
events:
  visit: {description: v, owners: ["team:v"], hubs: [customer]}
"""
    sources = {"customer": CUSTOMER, "visit": VISIT}
    with open_site(tmp_path_factory.mktemp("visits"), sources, vault) as site:
        yield site


@pytest.fixture
def site(opened: Site) -> Site:
    opened.empty_all()
    return opened


def visit(visit_id: str, **changes: Any) -> dict[str, Any]:
    """A sound visit with some keys changed."""
    return {"visit_id": visit_id, "customer_id": "c1", "at": "2024-03-01 10:00:00"} | changes


def line(visit_id: str, **changes: Any) -> str:
    return json.dumps(visit(visit_id, **changes))


def land(site: Site, *lines: str | bytes) -> None:
    texts = [text if isinstance(text, bytes) else text.encode() for text in lines]
    site.land_text("visit", b"".join(text + b"\n" for text in texts))


BROKEN = [
    ('{"visit_id": "v1"', "json", "", "no JSON: Expecting ',' delimiter at character 18"),
    ("hello", "json", "", "no JSON: Expecting value at character 1"),
    ('{"visit_id": "v1",}', "json", "", "no JSON: Expecting property name enclosed in double quotes at character 19"),
    ('{"visit_id": NaN}', "json", "", "no JSON: NaN is no number of JSON"),
    ('{"a": 1} {"b": 2}', "json", "", "no JSON: Extra data at character 10"),
    ('{"visit_id": "v1", "visit_id": "v2"}', "json", "visit_id", "expected each key once, found 'visit_id' twice"),
    ('["v1", "c1"]', "json", "", "expected an object {...}, found a list"),
    ('"v1"', "json", "", "expected an object {...}, found a text"),
    ("42", "json", "", "expected an object {...}, found a number"),
    ("null", "json", "", "expected an object {...}, found null"),
    (line("v\ud800"), "encoding", "visit_id", "expected text, found half a character (\\ud800)"),
    (line("v\0"), "encoding", "visit_id", "expected text without a NUL character"),
    (line("v", other="x\0"), "encoding", "other", "expected text without a NUL character"),
    (line("v1", customer_id=None), "required:customer_id", "customer_id", "expected a value, found nothing"),
    (line("v1", customer_id=""), "required:customer_id", "customer_id", "expected a value, found nothing"),
    (
        '{"visit_id": "v1", "at": "2024-03-01 10:00:00"}',
        "required:customer_id",
        "customer_id",
        "expected a value, found nothing",
    ),
    (line("v1", pages=1.5), "type:pages", "pages", "expected an integer such as 42, found '1.5'"),
    (line("v1", pages=[1]), "type:pages", "pages", "expected an integer such as 42, found '[1]'"),
    (line("v1", pages=True), "type:pages", "pages", "expected an integer such as 42, found 'true'"),
    (
        '{"visit_id": "v1", "customer_id": "c1", "at": "2024-03-01 10:00:00", "spent": 1e2}',
        "type:spent",
        "spent",
        "expected a number with at most 2 decimals, as decimal(12,2), found '1e2'",
    ),
    ("[" * 100_000, "json", "", "no JSON: nested too deeply"),
]


@pytest.mark.parametrize(("broken", "rule", "column", "reason"), BROKEN)
def test_a_broken_line_is_rejected_and_its_neighbours_load(
    site: Site, broken: str, rule: str, column: str, reason: str
) -> None:
    land(site, line("before"), "", broken, line("after"))
    load = site.load("visit")
    assert load.file_faults == {}
    assert load.row_counts[DAY] == RowCounts(read=3, inserted=2, rejected=1)
    assert [row["visit_id"] for row in site.landed("visit")] == ["before", "after"]
    (rejected,) = site.rejected("visit")
    assert (rejected["file_name"], rejected["line"], rejected["rule"]) == (NAME, 3, rule)
    assert (rejected["column_name"], rejected["raw_text"], rejected["whole_file"]) == (column or None, broken, False)
    assert rejected["reason"] == reason


def test_a_line_that_is_not_utf_8_keeps_its_bytes_in_hex(site: Site) -> None:
    land(site, line("v1"), b'{"visit_id": "\xff"}')
    site.load("visit")
    (rejected,) = site.rejected("visit")
    assert (rejected["rule"], rejected["line"]) == ("encoding", 2)
    assert rejected["raw_text"] == '{"visit_id": "\\xff"}'
    assert rejected["reason"] == "expected UTF-8 text, found bytes b'\\xff'"


def test_values_are_the_text_that_the_file_has(site: Site) -> None:
    text = '{"visit_id": 0042, "at": "x"}'.replace("0042", "42").replace('"x"', '"2024-03-01 10:00:00.5"')
    full = text[:-1] + ', "customer_id": 7, "pages": 3, "spent": 10.10, "logged_in": true}'
    land(site, full, line("v2", spent="3.50", pages="12", logged_in="false", customer_id=" c2 "))
    site.load("visit")
    first, second = site.landed("visit")
    assert (first["visit_id"], first["customer_id"], first["pages"]) == ("42", "7", 3)
    assert (first["spent"], first["logged_in"]) == (Decimal("10.10"), True)
    assert first["visited_at"] == at(2024, 3, 1, 10, 0, 0, 500_000)
    assert (second["spent"], second["pages"], second["logged_in"]) == (Decimal("3.50"), 12, False)
    assert second["customer_id"] == " c2 "


def test_a_nested_value_is_kept_as_json_with_its_numbers_as_written(site: Site) -> None:
    device = '{"os": "ä", "sizes": [1.50, 2, null, true], "x": {}}'
    land(site, line("v1")[:-1] + f', "device": {device}}}')
    site.load("visit")
    assert site.landed("visit")[0]["device"] == '{"os":"ä","sizes":[1.50,2,null,true],"x":{}}'


def test_unknown_keys_are_kept_as_extra_and_told_as_drift(site: Site) -> None:
    land(site, line("v1", geo={"lat": 1}, tag="x"), line("v2"), line("v3", tag=None))
    load = site.load("visit")
    assert load.row_counts[DAY].inserted == 3
    extras = [row["extra"] for row in site.landed("visit")]
    assert extras == ['{"geo":{"lat":1},"tag":"x"}', None, '{"tag":null}']
    (registered,) = site.registered("visit")
    assert registered["drift"].startswith("added 'geo', 'tag'")


def test_the_order_of_keys_is_no_drift(site: Site) -> None:
    keys = {"device": "d", "logged_in": True, "spent": 1, "pages": 1}
    land(site, json.dumps(dict(reversed(visit("v1", **keys).items()))), line("v2"))
    site.load("visit")
    assert site.registered("visit")[0]["drift"] is None


def test_a_required_key_that_no_record_has_refuses_the_file_as_a_csv_without_the_column(site: Site) -> None:
    land(site, line("v0"))
    site.load("visit")
    land(site, *(json.dumps({"visit_id": f"v{n}", "customer": "c1", "at": "2024-03-01 10:00:00"}) for n in range(3)))
    load = site.load("visit")
    fault = load.file_faults[DAY]
    assert (fault.rule, fault.column) == ("columns", "customer_id")
    assert "'customer' instead of 'customer_id' (renamed?)" in fault.reason
    assert [row["visit_id"] for row in site.landed("visit")] == ["v0"], "the partition keeps its content"


def test_a_column_of_another_type_refuses_the_file(site: Site) -> None:
    land(site, *(line(f"v{n}", at="yesterday") for n in range(20)))
    assert site.load("visit").file_faults[DAY].rule == "columns"


@pytest.mark.parametrize(
    ("content", "rule", "words"),
    [
        (b"[\n" + b",\n".join(line(f"v{n}").encode() for n in range(3)) + b"\n]\n", "json", "one object a line"),
        (b"visit_id,customer_id,at\nv1,c1,2024-03-01 10:00:00\n", "json", "no line holds an object"),
        (b"\xff\xfe\x00\x01\n", "json", "no line holds an object"),
    ],
)
def test_a_file_without_any_record_is_refused(site: Site, content: bytes, rule: str, words: str) -> None:
    site.land_text("visit", content)
    fault = site.load("visit").file_faults[DAY]
    assert (fault.rule, fault.line) == (rule, 1)
    assert words in fault.reason
    assert site.rejected("visit")[0]["whole_file"] is True


def test_windows_line_ends_a_mark_and_no_last_line_end_are_read(site: Site) -> None:
    site.land_text("visit", b"\xef\xbb\xbf" + line("v1").encode() + b"\r\n\r\n" + line("v2").encode())
    assert site.load("visit").row_counts[DAY] == RowCounts(read=2, inserted=2)
    assert [row["source_row"] for row in site.landed("visit")] == [1, 3]


def test_a_file_of_no_lines_is_legal_where_no_file_is(site: Site) -> None:
    site.land_text("visit", b"\n")
    assert site.load("visit").row_counts[DAY] == RowCounts()


def test_the_manifest_counts_records(site: Site) -> None:
    land(site, line("v1"), "broken")
    site.promise("visit", rows=3)
    assert site.load("visit").file_faults[DAY].reason == "expected 3 records as the manifest says, found 2"
    site.promise("visit", rows=2)
    assert site.load("visit").row_counts[DAY] == RowCounts(read=2, inserted=1, rejected=1)


def test_many_dates_load_as_one_range_and_again_to_the_same_rows(site: Site) -> None:
    for n in range(4):
        lines = [line(f"v{n}{m}", tag=n) if m % 3 else "broken" for m in range(10)]
        site.land_text("visit", "\n".join(lines), day(n))
    first = site.load("visit", DAY, day(3))
    rows, rejected = site.landed("visit"), site.rejected("visit")
    assert {count.inserted for count in first.row_counts.values()} == {6}
    site.load("visit", day(1), day(2))
    assert (site.landed("visit"), site.rejected("visit")) == (rows, rejected)
