"""A sheet of an Excel workbook (.xlsx) as a table of texts, ready to be judged and loaded like any other file.

What is read is what the cells hold, not how they are formatted: 0.5 shown as 50 % is "0.5". Hidden rows and columns
count, of merged cells the first one has the value. A formula is the value that was saved with it; one that was never
calculated (a program wrote the file, no Excel opened it) is blank. Numbers are what the file says; of those with more
than 15 digits Excel itself has lost the last ones: longer identifiers must be sent as text.
"""

from __future__ import annotations

import errno
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

import pandas as pd
from openpyxl.utils import get_column_letter

from cdm_assets.catalog.model import Source
from cdm_assets.catalog.types import TypeKind
from cdm_assets.warehouse.file_faults import FileFault

_ZIP_START: Final = b"PK"
_OLE_START: Final = bytes.fromhex("D0CF11E0A1B11AE1")
"""The container of .xls, and of an .xlsx that is encrypted."""
_ENCRYPTED_PART: Final = "EncryptedPackage".encode("utf-16-le")
_SHOWN_BYTES: Final = 20
_DAMAGE: Final = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    *(SyntaxError, zipfile.BadZipFile, zlib.error),  # XML that does not parse is a SyntaxError
)
"""What openpyxl is known to raise on workbooks that are no workbooks; it has no exception of its own for them."""


def read_sheet(path: Path, name: str, source: Source) -> pd.DataFrame:
    """The records of the source's sheet in the workbook at `path`: a column a name in the header row, as found there.

    The index `row` is the row's number in the sheet, from 1 as Excel shows it; blank rows are left out. Values are
    text, or None for a blank cell: 42, 0.3 (a fraction has the 15 significant digits that Excel shows), true,
    2024-03-01 (midnight in a column of type date), else 2024-03-01 00:00:00; an error is its text, such as #N/A.

    Raises FileFault, with `name` for the file: `excel` where there is no such workbook, sheet or header row,
    `columns` where a column has no name or two have the same. Raises OSError where the file cannot be opened.
    """
    cells = _cells(path, name, source.files.sheet)
    header_row = source.files.header_row
    names = _column_names(cells, header_row, name)
    kinds = {column.file_name: column.type.kind for column in source.columns}
    records = cells.loc[header_row + 1 :]
    texts = {
        column: [_text(value, kinds.get(column, TypeKind.STRING)) for value in records[position]]
        for position, column in names.items()
    }
    index = pd.Index(records.index, name="row")
    return pd.DataFrame(texts, index=index, dtype=object).dropna(how="all")


def _cells(path: Path, name: str, wanted_sheet: str | None) -> pd.DataFrame:
    """The values of all cells, "" for a blank one, errors as text; rows and columns are numbered from 1."""
    with path.open("rb") as stream:
        _refuse_other_formats(stream, name)
        with _damage_as_fault(name), pd.ExcelFile(stream, engine="openpyxl") as workbook:
            sheet = _sheet_name([str(title) for title in workbook.sheet_names], wanted_sheet, name)
            cells = workbook.parse(sheet, header=None, dtype=object, keep_default_na=False, na_filter=False)
            cells.index, cells.columns = pd.RangeIndex(1, len(cells) + 1), pd.RangeIndex(1, cells.shape[1] + 1)
            if cells.isna().to_numpy().any():  # pandas drops the text of errors
                for row, column, text in _errors(workbook.book[sheet]):
                    cells.loc[row, column] = text
    return cells


def _refuse_other_formats(stream: IO[bytes], name: str) -> None:
    """Raise FileFault for what is often sent in the place of an .xlsx; leaves the stream at its start."""
    start = stream.read(len(_OLE_START))
    if start == _OLE_START:
        if _ENCRYPTED_PART in stream.read():
            raise FileFault(name, "excel", "the workbook is protected by a password; send it without one")
        raise FileFault(name, "excel", "expected an .xlsx workbook, found the old .xls format; save it as .xlsx")
    if not start.startswith(_ZIP_START):
        start += stream.read(_SHOWN_BYTES - len(start))
        raise FileFault(
            name,
            "excel",
            f"expected an .xlsx workbook, found a file that begins with {start!r}; save it in Excel as .xlsx "
            "(a new file name is not enough), or set `files.format` to what it is",
        )
    stream.seek(0)


@contextmanager
def _damage_as_fault(name: str) -> Iterator[None]:
    """Turn what a damaged workbook makes openpyxl raise into a FileFault.

    Its warnings are about what only an editor needs (styles, validations), or about cells that become errors anyway.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
            yield
    except _DAMAGE as fault:
        if isinstance(fault, OSError) and fault.errno not in (None, errno.EINVAL):  # EINVAL: seeks before the start
            raise
        reason = f"the workbook is truncated, damaged or no .xlsx ({fault}); open it in Excel, save it, send it again"
        raise FileFault(name, "excel", reason) from fault


def _sheet_name(titles: list[str], wanted: str | None, name: str) -> str:
    if not titles:
        reason = "the workbook has no sheet with cells, only charts or damaged ones; send it with its table"
        raise FileFault(name, "excel", reason)
    if wanted is None:
        return titles[0]
    if wanted not in titles:
        found = ", ".join(map(repr, titles))
        reason = f"expected a sheet {wanted!r}, found {found}; name the sheet so, or set `files.sheet` to one of these"
        raise FileFault(name, "excel", reason)
    return wanted


def _errors(sheet: Any) -> Iterator[tuple[int, int, str]]:
    """Row, column and text of the cells of an openpyxl sheet that hold an error."""
    for row in sheet.iter_rows():
        yield from ((cell.row, cell.column, str(cell.value)) for cell in row if cell.data_type == "e")


def _column_names(cells: pd.DataFrame, header_row: int, name: str) -> dict[int, str]:
    """The names in the header row by position; columns behind the last one that holds anything are left out."""
    correction = "set `files.header_row` to the row of the column names"
    if header_row > len(cells):
        found = f"a sheet that ends at row {len(cells)}" if len(cells) else "an empty sheet"
        raise FileFault(name, "excel", f"expected column names in row {header_row}, found {found}; {correction}")
    table = cells.loc[header_row:]
    names = {int(position): _text(table.loc[header_row, position], TypeKind.STRING) for position in table.columns}
    if not any(names.values()):
        reason = f"expected column names in row {header_row}, found a blank row; {correction}"
        raise FileFault(name, "excel", reason, line=header_row)
    used = [n for n, text in names.items() if text or any(_text(v, TypeKind.STRING) for v in table[n])]
    return _checked({n: (text or "").strip() for n, text in names.items() if n <= used[-1]}, header_row, name)


def _checked(names: dict[int, str], header_row: int, name: str) -> dict[int, str]:
    first_place: dict[str, str] = {}
    for position, column in names.items():
        cell = f"{get_column_letter(position)}{header_row}"
        if not column:
            reason = f"expected a column name in cell {cell}, found nothing; name the column or delete it"
            raise FileFault(name, "columns", reason, line=header_row)
        if column in first_place:
            reason = f"cells {first_place[column]} and {cell} both name a column {column!r}; rename or delete one"
            raise FileFault(name, "columns", reason, line=header_row, column=column)
        first_place[column] = cell
    return names


def _text(value: object, kind: TypeKind) -> str | None:
    """A cell's value as text for a column of `kind`; None where the cell is blank."""
    match value:
        case str():
            return value if value.strip() else None
        case bool():
            return "true" if value else "false"
        case float():
            return f"{Decimal(f'{value:.15g}'):f}"
        case date():
            return _date_text(value, kind)
        case timedelta():
            seconds = value // timedelta(seconds=1)
            return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return str(value)


def _date_text(value: date, kind: TypeKind) -> str:
    moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    is_date = kind is TypeKind.DATE and moment.time() == time()
    return moment.date().isoformat() if is_date else moment.isoformat(sep=" ")
