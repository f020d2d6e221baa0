"""The dataframe type of a spreadsheet: it judges records as the SQL path does, and accepts what is left."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd
import pytest
from dagster import DagsterType, check_dagster_type
from duckdb_sqlalchemy import Dialect
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from ruamel.yaml import YAML
from sqlalchemy import column as sql_column
from sqlalchemy import select

from cdm_assets.catalog.model import Column, Source
from cdm_assets.catalog.types import parse_column_type
from cdm_assets.loading import landing
from cdm_assets.orchestration import spreadsheet_types
from cdm_assets.orchestration.spreadsheet_types import TypeDisagrees, dataframe_type, frame_faults, typed_frame
from cdm_assets.warehouse.file_faults import RecordFault
from cdm_assets.warehouse.spreadsheets import read_sheet

CAMPAIGN_SPEND: Final = """
source: campaign_spend
description: What campaigns cost.
delivery: events
files: {path: "{date}/spend.xlsx", format: excel}
owners: ["team:finance"]
columns:
  - {name: code, type: string(8), key: true, description: The campaign's code.}
  - {name: name, type: string(20), required: true}
  - {name: status, type: string(10)}
  - {name: email, type: string(40)}
  - {name: phone, type: string(15)}
  - {name: persons, type: integer}
  - {name: amount, type: "decimal(12,2)", header: Amount (EUR)}
  - {name: share, type: "decimal(38,2)"}
  - {name: day, type: date}
  - {name: moment, type: timestamp}
  - {name: is_paid, type: boolean}
  - {name: note, type: string(10)}
rules:
  - {rule: unique, columns: [email], on_failure: reject}
  - {rule: domain, column: status, values: [open, closed], on_failure: reject}
  - {rule: format, column: email, pattern: "[^@ ]+@[^@ ]+[.][a-z]+|\\\\d\\\\s.", on_failure: reject}
  - {rule: length, column: phone, min: 5, max: 12, on_failure: reject}
  - {rule: length, column: name, min: 2, on_failure: reject}
  - {rule: range, column: persons, min: 0.5, max: 120, on_failure: reject}
  - {rule: range, column: share, max: "99999999999999999999999999999999999.98", on_failure: reject}
  - {rule: non_negative, column: amount, on_failure: reject}
  - {rule: not_null, column: moment, on_failure: reject}
  - {rule: not_null, column: note, on_failure: warn}
  - {rule: domain, column: note, values: [x], on_failure: block}
  - {rule: unique, columns: [status, phone], on_failure: reject}
  - {rule: complete_when, column: phone, when: status, values: [closed], on_failure: reject}
feeds:
  hubs: {campaign: [code]}
  event: spend
"""
SOUND: Final[dict[str, str | None]] = {
    "code": "c1",
    "name": "Ann",
    "status": "open",
    "email": "ann@x.org",
    "phone": "12345",
    "persons": "30",
    "Amount (EUR)": "10.50",
    "share": None,
    "day": "2024-02-29",
    "moment": "2024-02-29 10:00:00",
    "is_paid": "true",
    "note": None,
}


@pytest.fixture(scope="module")
def source() -> Source:
    return Source.model_validate(YAML(typ="safe").load(CAMPAIGN_SPEND))


def frame_of(*rows: dict[str, str | None], first: int = 2) -> pd.DataFrame:
    index = pd.RangeIndex(first, first + len(rows), name="row")
    return pd.DataFrame(list(rows), index=index, columns=list(SOUND), dtype=object)


def accepts(dagster_type: DagsterType, frame: pd.DataFrame) -> bool:
    return check_dagster_type(dagster_type, frame).success


BROKEN = [
    ("code", None, "required:code", "a value"),
    ("name", None, "required:name", "a value"),
    ("name", "x" * 21, "type:name", "at most 20 characters"),
    *(
        ("persons", text, "type:persons", "an integer such as 42")
        for text in ("1.5", "1.0", "1e2", "#N/A", "true", "٣")
    ),
    ("persons", "9223372036854775808", "type:persons", "an integer such as 42"),
    *(
        ("amount", text, "type:amount", "a number with at most 2 decimals, as decimal(12,2)")
        for text in ("1.239", "1,50", ".", "- ", "nan", "10000000000", "#DIV/0!")
    ),
    *(
        ("day", text, "type:day", "a date such as 2017-03-01")
        for text in ("2017-02-29", "2024-02-29 10:00:00", "1/2/17")
    ),
    *(
        ("moment", text, "type:moment", "a timestamp without zone such as 2017-03-01 12:34:56")
        for text in ("2024-02-29", "2024-02-29 24:00:00", "10:30:00")
    ),
    ("is_paid", "yes", "type:is_paid", "true or false"),
    ("status", "gone", "domain:status", "one of open, closed"),
    ("email", "x.org", "format:email", r"text that matches [^@ ]+@[^@ ]+[.][a-z]+|\d\s."),
    ("email", "1\v.", "format:email", r"text that matches [^@ ]+@[^@ ]+[.][a-z]+|\d\s."),
    ("phone", "1234", "length:phone", "text of 5 to 12 characters"),
    ("phone", "1234567890123", "length:phone", "text of 5 to 12 characters"),
    ("name", "A", "length:name", "text of at least 2 characters"),
    ("persons", "0", "range:persons", "a number from 0.5 to 120"),
    ("persons", "121", "range:persons", "a number from 0.5 to 120"),
    ("share", f"{'9' * 35}.99", "range:share", f"a number of at most {'9' * 35}.98"),
    ("amount", "-0.01", "non_negative:amount", "zero or more"),
    ("moment", None, "not_null:moment", "a value"),
    ("email", "zoe@x.org", "unique:email", "no second row with the same email"),
]


@pytest.mark.parametrize(
    ("column", "text", "rule", "expected"), BROKEN, ids=[f"{column}={text!r}"[:30] for column, text, *_ in BROKEN]
)
def test_a_record_that_breaks_a_constraint_is_a_fault_and_the_others_are_of_the_type(
    source: Source, column: str, text: str | None, rule: str, expected: str
) -> None:
    header = source.columns_by_name[column].file_name
    bad = SOUND | {header: text}
    first, last = SOUND | {"email": "zoe@x.org"}, SOUND | {"email": "bob@x.org"}
    frame = frame_of(first, bad, last, first=7)
    found = "nothing" if text is None else repr(text)
    assert frame_faults(source, frame) == [
        RecordFault(8, rule, column, f"expected {expected}, found {found}", json.dumps(bad, ensure_ascii=False))
    ]
    assert accepts(dataframe_type(source), typed_frame(source, frame.drop(index=8)))


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("persons", "+42", 42),
        ("persons", " 0042 ", 42),
        ("persons", "1", 1),
        ("persons", "120", 120),
        ("amount", "5.", Decimal("5.00")),
        ("amount", "1.5000", Decimal("1.50")),
        ("amount", "9999999999.99", Decimal("9999999999.99")),
        ("amount", "0", Decimal("0.00")),
        ("share", f"-{'9' * 36}.99", Decimal(f"-{'9' * 36}.99")),
        ("share", f"{'9' * 35}.98", Decimal(f"{'9' * 35}.98")),
        ("day", "0001-01-01", pd.Timestamp(datetime.fromisoformat("0001-01-01"))),
        ("day", " 9999-12-31 ", pd.Timestamp(datetime.fromisoformat("9999-12-31"))),
        ("moment", "9999-12-31T23:59:59.999999", pd.Timestamp(datetime.fromisoformat("9999-12-31 23:59:59.999999"))),
        ("is_paid", "FALSE", False),
        ("is_paid", "1", True),
        ("name", "é" * 20, "é" * 20),
        ("name", " Ann ", " Ann "),
        ("email", "1 x", "1 x"),
        ("note", "not x", "not x"),
    ],
)
def test_a_value_is_typed_and_otherwise_as_received(source: Source, column: str, text: str, value: Any) -> None:
    frame = frame_of(SOUND | {source.columns_by_name[column].file_name: text})
    assert frame_faults(source, frame) == []
    typed = typed_frame(source, frame)
    assert typed[column].tolist() == [value]
    assert accepts(dataframe_type(source), typed)


def test_a_value_may_be_missing_where_nothing_asks_for_it(source: Source) -> None:
    bare = dict.fromkeys(SOUND) | {"code": "c1", "name": "Ann", "moment": "2024-02-29 10:00"}
    frame = frame_of(bare, bare)
    assert frame_faults(source, frame) == []
    typed = typed_frame(source, frame)
    assert [str(dtype) for dtype in typed.dtypes] == [
        *["object"] * 5,
        "Int64",
        *["object"] * 2,
        *["datetime64[us]"] * 2,
        "boolean",
        "object",
    ]
    assert accepts(dataframe_type(source), typed)


def test_a_sheet_without_records_is_of_the_type(source: Source) -> None:
    assert frame_faults(source, frame_of()) == []
    assert accepts(dataframe_type(source), typed_frame(source, frame_of()))


def test_columns_that_are_not_in_the_catalog_are_ignored_but_shown(source: Source) -> None:
    frame = frame_of(SOUND, SOUND | {"code": None}).assign(remark="ok")
    (fault,) = frame_faults(source, frame)
    assert json.loads(fault.raw_text)["remark"] == "ok"
    assert "remark" not in typed_frame(source, frame)


def test_a_column_that_the_sheet_lacks_is_empty(source: Source) -> None:
    frame = frame_of(SOUND)
    assert frame_faults(source, frame.drop(columns=["note", "day"])) == []
    (fault,) = frame_faults(source, frame.drop(columns="name"))
    assert (fault.rule, fault.reason) == ("required:name", "expected a value, found nothing")


def test_a_record_is_told_the_first_constraint_it_breaks_types_before_rules(source: Source) -> None:
    rows = [SOUND | {"name": None, "status": "gone"}, SOUND | {"status": "gone", "persons": "x"}]
    rows.append(SOUND | {"status": "gone", "persons": "130", "phone": "1"})
    assert [(f.line, f.rule) for f in frame_faults(source, frame_of(*rows))] == [
        (2, "required:name"),
        (3, "type:persons"),
        (4, "domain:status"),
    ]


def test_of_sound_records_that_agree_the_first_stays(source: Source) -> None:
    rows = [SOUND | {"persons": "many"}, SOUND, SOUND, SOUND | {"email": "b@x.org"}, SOUND]
    assert [(f.line, f.rule) for f in frame_faults(source, frame_of(*rows))] == [
        (2, "type:persons"),
        (4, "unique:email"),
        (6, "unique:email"),
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame.drop(columns="code"),
        lambda frame: frame.assign(code=None),
        lambda frame: frame.assign(persons=30.0),
        lambda frame: frame.assign(persons=pd.array([500], dtype="Int64")),
        lambda frame: frame.assign(amount=10.5),
        lambda frame: frame.assign(amount=Decimal("0.001")),
        lambda frame: frame.assign(day=frame["moment"]),
        lambda frame: frame.assign(moment=frame["moment"].astype("datetime64[ns]")),
        lambda frame: frame.assign(is_paid=True),
        lambda frame: frame.assign(status="gone"),
        lambda frame: frame.assign(name=7),
        lambda frame: pd.concat([frame, frame]),
        lambda frame: frame.to_dict(),
    ],
)
def test_the_type_refuses_a_frame_that_is_not_as_the_catalog_says(
    source: Source, spoil: Callable[[pd.DataFrame], Any]
) -> None:
    sheet = dataframe_type(source)
    frame = typed_frame(source, frame_of(SOUND))
    assert accepts(sheet, frame)
    assert not accepts(sheet, spoil(frame))


def test_the_type_tells_its_columns_and_constraints(source: Source) -> None:
    sheet = dataframe_type(source)
    assert sheet.key == "CampaignSpendSheet"
    description = sheet.description or ""
    assert description.startswith(
        "What campaigns cost.\n\n- `code`, string(8): The campaign's code.\n- `name`, string(20)"
    )
    assert "**persons**: `Int64`\n+ an integer such as 42\n+ a number from 0.5 to 120\n" in description


def test_constraints_that_disagree_with_the_type_are_a_loud_error(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreadsheet_types, "_rule_tests", lambda _: [])
    narrow = dataframe_type(source.model_copy(update={"columns": source.columns[::-1]}))
    monkeypatch.undo()
    monkeypatch.setattr(spreadsheet_types, "dataframe_type", lambda _: narrow)
    monkeypatch.setattr(spreadsheet_types, "_value_tests", lambda _: [])
    with pytest.raises(TypeDisagrees, match=r'CampaignSpendSheet refuses records that break no rule: .*column "code"'):
        frame_faults(source, frame_of(SOUND | {"code": None}))


def test_a_sheet_is_read_judged_and_typed(source: Source, tmp_path: Path) -> None:
    workbook = Workbook()
    sheet = workbook.worksheets[0]
    sheet.append(list(SOUND))
    moment = datetime.fromisoformat("2024-02-29 10:00")
    sheet.append(["c1", "Ann", "open", None, None, 30, 0.1 + 0.2, 7, date(2024, 2, 29), moment, True, None])
    sheet.append(["c2", "Bob", "open", None, None, 30, "#N/A", 7, date(2024, 2, 29), moment, True, None])
    workbook.save(tmp_path / "spend.xlsx")
    frame = read_sheet(tmp_path / "spend.xlsx", "spend.xlsx", source)
    assert [(f.line, f.rule) for f in frame_faults(source, frame)] == [(3, "type:amount")]
    (row,) = typed_frame(source, frame.drop(index=3)).to_dict("records")
    assert (row["amount"], row["share"], row["persons"]) == (Decimal("0.30"), Decimal("7.00"), 30)


TYPES: Final = (
    *("integer", "decimal(5,2)", "decimal(38,0)", "decimal(2,2)", "date", "timestamp", "boolean", "string(4)"),
)
DATE_TEXT: Final = st.sampled_from(
    ["2024-02-29", "2023-02-29", "0000-01-01", "0001-01-01", "9999-12-31", "2024-2-9", "10000-01-01", "2024-13-01"]
)
TIME_TEXT: Final = st.sampled_from(
    ["10:00", "10:00:00", "24:00:00", "23:59:60", "1:00", "10:00:00.5", "10:00:00.1234560", "10:00:00.1234567", "10:0"]
)
BLANKS: Final = st.text(" \t\n\r\f\v\u00a0", max_size=2)
NUMBERS: Final = st.from_regex(r"[+-]?0{0,2}[0-9]{0,4}([.][0-9]{0,4})?(e2)?", fullmatch=True) | st.integers(
    -(2**64), 10**39
).map(str)
TEXTS: Final = st.builds(
    lambda before, text, behind: before + text + behind,
    BLANKS,
    NUMBERS
    | DATE_TEXT
    | st.builds("{}{}{}".format, DATE_TEXT, st.sampled_from(" T_"), TIME_TEXT)
    | st.sampled_from(
        ["true", "FALSE", "tRue", "fal\u017fe", "yes", "t", "1", "0", "nan", "inf", "#N/A", "é🎉xy", "éééé1"]
    ),
    BLANKS,
).filter(lambda text: text != "" and re.fullmatch(r"\s*[+-]\s+", text) is None)
"""Without a sign alone before a blank, which DuckDB casts to the decimal 0: here it is no number."""


@pytest.mark.parametrize("type_text", TYPES)
@settings(deadline=None, max_examples=60)
@given(texts=st.lists(TEXTS, min_size=1, max_size=30))
@example(
    texts=["9223372036854775807", "-9223372036854775808", "9223372036854775808", "9" * 38, "-" + "9" * 38, "-.", "+"]
)
@example(
    texts=["2024-02-29 10:00 ", "2024-02-29 10:00:00 ", "2024-02-29 10:00:00\t", " 2024-02-29 10:00", "\v2024-02-29"]
)
def test_a_text_is_a_type_fault_exactly_where_the_sql_path_says_so(type_text: str, texts: list[str]) -> None:
    value = Column(name="value", type=parse_column_type(type_text))
    query = select(landing._unreadable(sql_column("value"), value))
    sql = str(query.compile(dialect=Dialect(), compile_kwargs={"literal_binds": True}))
    with duckdb.connect() as connection:
        rows = connection.execute(f"{sql} from (select unnest(?) as value)", [texts]).fetchall()
    refused = [
        not spreadsheet_types._is_of_type(spreadsheet_types._value_or_text(text, value.type), value.type)
        for text in texts
    ]
    assert dict(zip(texts, refused, strict=True)) == dict(zip(texts, (bool(row[0]) for row in rows), strict=True))
