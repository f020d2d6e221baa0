r"""One extract file: its layout, its bytes, and how those bytes are written so that they never vary.

CSV files are UTF-8 with a header line, commas, `\\n` line ends, RFC 4180 quotes only where a value needs them, and
nothing between the commas for NULL. Gzip and Excel's zip carry neither time nor file name.
"""

import csv
import gzip
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import duckdb
from openpyxl import Workbook

_NO_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip entry can have."""
_NO_TIME_TEXT = b"1980-01-01T00:00:00Z"
_WORKBOOK_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a source's file looks like, and which of its columns are invented."""

    file_name: str
    delivery: str
    columns: tuple[str, ...]
    generated: tuple[str, ...]
    note: str

    @property
    def source(self) -> str:
        """The file name without its endings: `product` for `product.csv.gz`."""
        return self.file_name.partition(".")[0]

    @property
    def real(self) -> tuple[str, ...]:
        """The columns that come from the public data."""
        return tuple(column for column in self.columns if column not in self.generated)


@dataclass(frozen=True)
class ExtractFile:
    """One file of one business date; `rows` counts data records, not the header."""

    layout: Layout
    rows: int
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the bytes as delivered, in hex."""
        return sha256(self.content).hexdigest()


class DailySource(Protocol):
    """A source that is asked for its file date by date, dates rising."""

    def file_on(self, day: date) -> ExtractFile | None:
        """The file the source delivers on `day`; None when it delivers none."""


def csv_file(layout: Layout, rows: Sequence[Iterable[object]]) -> ExtractFile:
    """`rows` as CSV, gzipped when the layout's file name says so; None becomes empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(layout.columns)
    writer.writerows(rows)
    content = text.getvalue().encode()
    return ExtractFile(layout, len(rows), _gzipped(content) if layout.file_name.endswith(".gz") else content)


def parquet_file(layout: Layout, relation: duckdb.DuckDBPyRelation) -> ExtractFile:
    """The rows of `relation`, in its order, as parquet."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / layout.file_name
        relation.write_parquet(str(path))
        content = path.read_bytes()
    return ExtractFile(layout, len(relation), content)


def json_lines_file(layout: Layout, lines: Sequence[str]) -> ExtractFile:
    """`lines`, a JSON object each, gzipped when the layout's file name says so."""
    content = "".join(f"{line}\n" for line in lines).encode()
    return ExtractFile(layout, len(lines), _gzipped(content) if layout.file_name.endswith(".gz") else content)


def excel_file(layout: Layout, rows: Sequence[Sequence[object]], *, sheet: str) -> ExtractFile:
    """`rows` as the one sheet of an .xlsx workbook below a header row; numbers and dates as Excel knows them."""
    workbook = Workbook(write_only=True)
    table = workbook.create_sheet(sheet)
    for row in (layout.columns, *rows):
        table.append(list(row))
    written = io.BytesIO()
    workbook.save(written)
    return ExtractFile(layout, len(rows), _without_times(written))


def _without_times(workbook: io.BytesIO) -> bytes:
    """The workbook without the times at which it was written."""
    timeless = io.BytesIO()
    with ZipFile(workbook) as parts, ZipFile(timeless, "w") as copy:
        for name in sorted(parts.namelist()):
            content = parts.read(name)
            if name == "docProps/core.xml":
                content = _WORKBOOK_TIME.sub(_NO_TIME_TEXT, content)
            copy.writestr(ZipInfo(name, _NO_TIME), content, compress_type=ZIP_DEFLATED)
    return timeless.getvalue()


def _gzipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=buffer, mtime=0) as stream:
        stream.write(content)
    return buffer.getvalue()
