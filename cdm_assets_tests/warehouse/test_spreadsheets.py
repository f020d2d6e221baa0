"""A sheet of an Excel workbook becomes texts: what each kind of cell becomes, and why a workbook is refused."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.chart import BarChart
from ruamel.yaml import YAML

from cdm_assets.catalog.model import Source
from cdm_assets.warehouse.file_faults import FileFault
from cdm_assets.warehouse.spreadsheets import read_sheet

SPEND: Final = """
source: spend
description: What campaigns cost.
delivery: snapshot
files: {path: "{date}/spend.xlsx", format: excel}
owners: ["team:finance"]
columns:
  - {name: text, type: string(40), key: true}
  - {name: number, type: integer}
  - {name: amount, type: "decimal(12,2)"}
  - {name: day, type: date, header: Day of spend}
  - {name: moment, type: timestamp}
  - {name: is_paid, type: boolean}
feeds:
  hubs: {campaign: [text]}
"""
HEADER: Final = ("text", "number", "amount", "Day of spend", "moment", "is_paid")

Cells = Mapping[str, Any]
"""Values by cell, such as `B3`."""
Refusal = Callable[..., FileFault]


def spend(**files: Any) -> Source:
    text = YAML(typ="safe").load(SPEND)
    text["files"] |= files
    return Source.model_validate(text)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc,arg-type]


def workbook_of(sheets: Mapping[str, Cells]) -> bytes:
    workbook = Workbook()
    workbook.remove(workbook.worksheets[0])
    for title, cells in sheets.items():
        sheet = workbook.create_sheet(title)
        for cell, value in cells.items():
            sheet[cell] = value
    content = io.BytesIO()
    workbook.save(content)
    return content.getvalue()


def zip_of(parts: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return content.getvalue()


def with_part(workbook: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The workbook with one of its parts changed."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    return zip_of({**parts, name: change(parts[name])})


def table(*rows: tuple[Any, ...], header: tuple[Any, ...] = HEADER, top: int = 1) -> Cells:
    """Cells with `header` in row `top` and the rows below."""
    lines = enumerate((header, *rows), start=top)
    return {f"{'ABCDEFGHIJ'[n]}{row}": value for row, line in lines for n, value in enumerate(line)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spend.xlsx"


@pytest.fixture
def read(path: Path) -> Callable[..., pd.DataFrame]:
    def read(cells: Cells, **files: Any) -> pd.DataFrame:
        path.write_bytes(workbook_of({"Spend": cells}))
        return read_sheet(path, "spend.xlsx", spend(**files))

    return read


@pytest.fixture
def refusal(path: Path) -> Refusal:
    def refusal(content: bytes | Cells, **files: Any) -> FileFault:
        path.write_bytes(content if isinstance(content, bytes) else workbook_of({"Spend": content}))
        with pytest.raises(FileFault) as caught:
            read_sheet(path, "2024-03-01/spend.xlsx", spend(**files))
        assert caught.value.file_name == "2024-03-01/spend.xlsx"
        return caught.value

    return refusal


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("text", "Ann", "Ann"),
        ("text", " Ann ", " Ann "),
        ("text", "漢字🎉\nsecond line", "漢字🎉\nsecond line"),
        ("text", "NA", "NA"),
        ("text", "null", "null"),
        ("text", "007", "007"),
        ("text", 42, "42"),
        ("text", 42.0, "42"),
        ("text", True, "true"),
        ("text", date(2024, 3, 1), "2024-03-01 00:00:00"),
        ("text", "", None),
        ("text", "  \n", None),
        ("text", None, None),
        ("number", 0, "0"),
        ("number", -7, "-7"),
        ("number", 1, "1"),
        ("number", 1.5, "1.5"),
        ("number", 999_999_999_999_999, "999999999999999"),
        ("number", 1e15, "1000000000000000"),
        ("amount", 0.1 + 0.2, "0.3"),
        ("amount", 3.0000000000000004, "3"),
        ("amount", 1234567890.12, "1234567890.12"),
        ("amount", Decimal("-0.05"), "-0.05"),
        ("amount", 0.00001, "0.00001"),
        ("amount", 1 / 3, "0.333333333333333"),
        ("amount", "1,50", "1,50"),
        ("Day of spend", date(2024, 2, 29), "2024-02-29"),
        ("Day of spend", at(2024, 2, 29), "2024-02-29"),
        ("Day of spend", at(2024, 2, 29, 10, 30), "2024-02-29 10:30:00"),
        ("Day of spend", "2024-02-29", "2024-02-29"),
        ("Day of spend", 45351, "45351"),
        ("moment", at(2024, 2, 29), "2024-02-29 00:00:00"),
        ("moment", at(2024, 2, 29, 23, 59, 59), "2024-02-29 23:59:59"),
        ("moment", at(2024, 2, 29, 1, 2, 3, 4000), "2024-02-29 01:02:03.004000"),
        ("moment", at(1900, 1, 1), "1900-01-01 00:00:00"),
        ("moment", at(9999, 12, 31), "9999-12-31 00:00:00"),
        ("moment", time(10, 30), "10:30:00"),
        ("moment", timedelta(hours=36, minutes=1, seconds=2), "36:01:02"),
        ("is_paid", True, "true"),
        ("is_paid", False, "false"),
        ("is_paid", 1, "1"),
        ("is_paid", "#N/A", "#N/A"),
        ("amount", "#REF!", "#REF!"),
        ("amount", "#DIV/0!", "#DIV/0!"),
        ("amount", "=1+1", None),
    ],
)
def test_a_cell_becomes_the_text_that_a_file_would_have(
    read: Callable[..., pd.DataFrame], column: str, value: Any, text: str | None
) -> None:
    values = tuple(value if name == column else "x" for name in HEADER)
    frame = read(table(values))
    assert list(frame.columns) == list(HEADER)
    assert frame.loc[2, column] == text
    assert frame.drop(columns=column).to_numpy().tolist() == [["x"] * 5]


def test_a_formula_is_the_value_saved_with_it(path: Path) -> None:
    formula = workbook_of({"Spend": table(("x", "=40+2"))})
    calculated = with_part(
        formula, "xl/worksheets/sheet1.xml", lambda part: re.sub(rb"</f><v\s*/>|</f><v></v>", b"</f><v>42</v>", part)
    )
    path.write_bytes(calculated)
    assert read_sheet(path, "spend.xlsx", spend()).loc[2, "number"] == "42"


def test_a_date_that_excel_cannot_show_is_an_error(path: Path) -> None:
    workbook = Workbook()
    sheet = workbook.worksheets[0]
    sheet["A1"], sheet["B1"], sheet["A2"], sheet["B2"] = "text", "moment", "x", 3_000_000
    sheet["B2"].number_format = "yyyy-mm-dd"
    workbook.save(path)
    assert read_sheet(path, "spend.xlsx", spend()).loc[2, "moment"] == "#VALUE!"


def test_titles_above_the_header_and_blank_rows_are_left_out_and_rows_keep_their_numbers(
    read: Callable[..., pd.DataFrame],
) -> None:
    rows = [("a", 1), ("", None), ("  ",), ("b", 2)]
    title = {"A1": "Spend of March", "J1": "draft"}
    frame = read({**title, **table(*rows, header=("text", "number"), top=3)}, header_row=3)
    assert frame.index.name == "row"
    assert list(frame.index) == [4, 7]
    assert frame.to_dict("list") == {"text": ["a", "b"], "number": ["1", "2"]}


def test_rows_and_columns_that_are_not_in_the_file_count_too(read: Callable[..., pd.DataFrame]) -> None:
    frame = read({"A4": "text", "B4": "number", "B9": 7}, header_row=4)
    assert frame.to_dict("index") == {9: {"text": None, "number": "7"}}


def test_a_header_without_records_is_an_empty_frame(read: Callable[..., pd.DataFrame]) -> None:
    frame = read(table())
    assert (list(frame.columns), len(frame), frame.index.name) == (list(HEADER), 0, "row")


def test_names_are_text_without_blanks_around(read: Callable[..., pd.DataFrame]) -> None:
    assert list(read(table((1, 2, 3), header=(" text ", 2024, "Paid\n?"))).columns) == ["text", "2024", "Paid\n?"]


def test_empty_columns_behind_the_table_are_left_out(read: Callable[..., pd.DataFrame]) -> None:
    assert list(read(table(("a", 1, "", " "), header=("text", "number", None, " "))).columns) == ["text", "number"]


def test_the_first_sheet_is_read_unless_one_is_named(path: Path) -> None:
    path.write_bytes(workbook_of({"Spend": table(("first",)), "2024": table(("second",))}))
    assert read_sheet(path, "spend.xlsx", spend()).loc[2, "text"] == "first"
    assert read_sheet(path, "spend.xlsx", spend(sheet="2024")).loc[2, "text"] == "second"


def test_a_workbook_may_have_any_file_name(path: Path) -> None:
    content = path.with_name("0123abcd")
    content.write_bytes(workbook_of({"Spend": table(("a",))}))
    assert read_sheet(content, "spend.xlsx", spend()).loc[2, "text"] == "a"


@pytest.mark.parametrize(
    ("cells", "line", "column", "reason"),
    [
        (
            table(("a", 1, 2), header=("text", None, "amount")),
            1,
            "",
            "expected a column name in cell B1, found nothing; name the column or delete it",
        ),
        (
            table(("a", 1, 2), header=("text", "number")),
            1,
            "",
            "expected a column name in cell C1, found nothing; name the column or delete it",
        ),
        (
            table(("a", 1, 2), header=("text", "number", "text ")),
            1,
            "text",
            "cells A1 and C1 both name a column 'text'; rename or delete one",
        ),
    ],
    ids=["gap", "values without a name", "twice"],
)
def test_a_column_needs_a_name_of_its_own(refusal: Refusal, cells: Cells, line: int, column: str, reason: str) -> None:
    fault = refusal(cells)
    assert (fault.rule, fault.line, fault.column, fault.reason) == ("columns", line, column, reason)


ONE_SHEET: Final = workbook_of({"Spend": table(("a", 1))})
SOUND: Final = workbook_of({"Spend": table(("a", 1)), "Notes": {"A1": "x"}})
DAMAGED: Final = "the workbook is truncated, damaged or no .xlsx ("


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"text,number\na,1\n",
            (
                "expected an .xlsx workbook, found a file that begins with b'text,number\\na,1\\n'; save it in Excel "
                "as .xlsx (a new file name is not enough), or set `files.format` to what it is"
            ),
        ),
        (
            bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 600 + "Workbook".encode("utf-16-le"),
            "expected an .xlsx workbook, found the old .xls format; save it as .xlsx",
        ),
        (
            bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"),
            "the workbook is protected by a password; send it without one",
        ),
        (SOUND[: len(SOUND) // 2], DAMAGED + "File is not a zip file); open it in Excel, save it, send it again"),
        (zip_of({"readme": b"hello"}), DAMAGED),
        (with_part(SOUND, "xl/worksheets/sheet1.xml", lambda part: part[: len(part) // 2]), DAMAGED),
    ],
    ids=["csv", "xls", "encrypted", "truncated", "another zip", "half a sheet"],
)
def test_what_is_no_workbook_is_refused_with_what_to_do(refusal: Refusal, content: bytes, reason: str) -> None:
    fault = refusal(content)
    assert (fault.rule, fault.line) == ("excel", None)
    assert fault.reason.startswith(reason)
    assert fault.reason == reason or fault.reason.endswith("); open it in Excel, save it, send it again")


@pytest.mark.parametrize("share", [*(part / 25 for part in range(25)), *range(-22, 0)])
def test_a_byte_changed_in_transit_never_stops_the_run(path: Path, share: float) -> None:
    place = len(ONE_SHEET) + int(share) if share < 0 else int(share * len(ONE_SHEET))
    path.write_bytes(ONE_SHEET[:place] + bytes([ONE_SHEET[place] ^ 0x55]) + ONE_SHEET[place + 1 :])
    try:
        frame = read_sheet(path, "spend.xlsx", spend())
    except FileFault as fault:
        assert fault.rule == "excel"  # noqa: PT017 - either outcome is right
    else:
        assert frame.loc[2, "text"] == "a"


def test_a_missing_sheet_is_refused_with_the_sheets_there_are(refusal: Refusal) -> None:
    fault = refusal(SOUND, sheet="spend")
    assert fault.rule == "excel"
    assert fault.reason == (
        "expected a sheet 'spend', found 'Spend', 'Notes'; name the sheet so, or set `files.sheet` to one of these"
    )


def test_a_workbook_of_charts_only_is_refused(refusal: Refusal) -> None:
    workbook = Workbook()
    workbook.remove(workbook.worksheets[0])
    workbook.create_chartsheet("Chart").add_chart(BarChart())
    content = io.BytesIO()
    workbook.save(content)
    assert refusal(content.getvalue()).reason == (
        "the workbook has no sheet with cells, only charts or damaged ones; send it with its table"
    )


@pytest.mark.parametrize(
    ("cells", "header_row", "line", "found"),
    [
        ({}, 1, None, "an empty sheet"),
        (table(("a",)), 5, None, "a sheet that ends at row 2"),
        (table(("a",), top=3), 2, 2, "a blank row"),
    ],
)
def test_a_header_row_that_is_not_there_is_refused(
    refusal: Refusal, cells: Cells, header_row: int, line: int | None, found: str
) -> None:
    fault = refusal(cells, header_row=header_row)
    assert (fault.rule, fault.line) == ("excel", line)
    assert fault.reason == (
        f"expected column names in row {header_row}, found {found}; "
        "set `files.header_row` to the row of the column names"
    )


def test_a_file_that_cannot_be_opened_is_no_fault_of_the_workbook(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_sheet(path, "spend.xlsx", spend())


XML_TEXT: Final = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="_=￾￿"))
EXCEL_DATES: Final = st.dates(date(1900, 3, 1), date(9999, 12, 31))
CELLS: Final = st.fixed_dictionaries(
    {
        "text": st.none() | XML_TEXT.filter(lambda text: not text.startswith(("#", "\ufeff"))),
        "number": st.none() | st.integers(-(10**15), 10**15),
        "amount": st.none() | st.decimals(-(10**10), 10**10, places=2),
        "Day of spend": st.none() | EXCEL_DATES,
        "moment": st.none()
        | st.datetimes(at(1900, 3, 1), at(2200, 1, 1)).map(lambda moment: moment.replace(microsecond=0)),
        "is_paid": st.none() | st.booleans(),
    }
)


def expected_text(value: Any) -> str | None:
    match value:
        case bool():
            return str(value).lower()
        case Decimal():
            return str(int(value)) if value == int(value) else f"{value:f}".rstrip("0")
        case str():
            return value if value.strip() else None
        case None:
            return None
    return str(value)


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(CELLS, max_size=6))
def test_what_pandas_writes_comes_back_as_text(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.xlsx"
    written = pd.DataFrame(rows, columns=list(HEADER), dtype=object)
    written["amount"] = written["amount"].map(lambda amount: None if amount is None else float(amount))
    written.to_excel(path, sheet_name="Spend", index=False, startrow=2, engine="openpyxl")
    texts = {n: {name: expected_text(row[name]) for name in HEADER} for n, row in enumerate(rows, start=4)}
    expected = {n: row for n, row in texts.items() if any(text is not None for text in row.values())}
    assert read_sheet(path, "property.xlsx", spend(header_row=3)).to_dict("index") == expected
