"""Landing files: whether a content is whole and has the columns of its source, and its records one by one.

Sound files are read in bulk by DuckDB (`loading.staging`). What is here looks at bytes: gzip, header, manifest, the
types of a Parquet file; and it reads a faulty CSV file record by record to say on which line what is wrong.

CSV is RFC 4180: a comma between fields, `"` around them where needed, doubled inside. Lines end in LF, CRLF or (all of
them) CR; a byte order mark and blank lines are skipped. In a file of one column a blank line is a record without value.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any, Final, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, NonNegativeInt, StringConstraints, ValidationError

from cdm_assets.catalog.model import FileFormat, Source
from cdm_assets.catalog.types import Delivery, TypeKind
from cdm_assets.warehouse.column_drift import ColumnDrift, FoundColumn, column_drift, side_by_side, summary
from cdm_assets.warehouse.file_faults import FileFault, RecordFault
from cdm_assets.warehouse.landing_area import MANIFEST_NAME, Content, LandingArea, file_name_of, manifest_of
from cdm_assets.warehouse.spreadsheets import read_sheet

_CHUNK_BYTES: Final = 1 << 20

csv.field_size_limit(1 << 30)  # Python's default of 128 KiB would call long records faulty that DuckDB reads


@dataclass(frozen=True)
class LandingFile:
    """A file that is whole, as far as its bytes tell."""

    path: Path
    name: str
    business_date: date
    size_bytes: int
    sha256: str
    header: tuple[str, ...]
    """Empty for JSON lines, whose keys show when they are staged."""
    manifest_rows: int | None
    csv_bytes: CsvBytes | None = None
    """None for another format."""
    sheet: pd.DataFrame | None = None
    """A spreadsheet's records as text, by row of the sheet."""
    drift: str = ""
    """How its columns differ from the declared ones, in words; empty where they do not."""

    def undeclared(self, source: Source) -> tuple[str, ...]:
        """The columns of the file that its source does not declare; they are kept as JSON."""
        declared = {column.file_name for column in source.columns}
        return tuple(name for name in self.header if name not in declared)


@dataclass(frozen=True)
class CsvBytes:
    """What a CSV file's bytes, unpacked, say about reading it."""

    commas: int
    has_quotes: bool
    misread_in_bulk: bool
    """Holds what DuckDB 1.5 reads in silence as something else: NUL, spaces beside a quote, more than one line end."""


@dataclass(frozen=True)
class Record:
    """One CSV record: its number in the file (from 1), its first line, its fields, or what is wrong with it."""

    number: int
    line: int
    fields: list[str | None]
    fault: RecordFault | None
    received: str
    """The text between the line ends, bytes that are not UTF-8 as surrogates."""

    @property
    def raw_text(self) -> str:
        """The record as received; what is no text is written in hex, since no database could store it."""
        return readable(self.received)


def checked_file(source: Source, business_date: date, content: Content | None, area: LandingArea) -> LandingFile | None:
    """The source's file for a date, checked; None where there is no content and that is legal.

    Raises FileFault: missing, empty, truncated, wrong columns or types, not matching its manifest.
    """
    if content is None:
        _refuse_missing_file(source, business_date, area)
        return None
    path, name = content.path, content.name
    if content.size_bytes == 0 and source.files.format is not FileFormat.JSON_LINES:
        raise FileFault(name, "empty", "the file has no bytes; expected a header and records", line=1)
    manifest_rows = _verified_rows(content, area)
    csv_bytes, sheet = None, None
    header: tuple[str, ...]
    match source.files.format:
        case FileFormat.PARQUET:
            header = _parquet_header(source, path, name)
        case FileFormat.EXCEL:
            sheet = read_sheet(path, name, source)
            header = tuple(sheet.columns)
        case FileFormat.CSV:
            csv_bytes, header = _csv_bytes(path, name), _csv_header(path, name)
        case FileFormat.JSON_LINES:  # its keys are known once all records are read, which is done once: staging it
            return LandingFile(path, name, business_date, content.size_bytes, content.sha256, (), manifest_rows)
    drift = _checked_columns(source, header, name)
    return LandingFile(
        path, name, business_date, content.size_bytes, content.sha256, header, manifest_rows, csv_bytes, sheet, drift
    )


def unreadable(name: str, fault: OSError) -> FileFault:
    """The fault of a file whose bytes cannot be had."""
    return FileFault(name, "unreadable", f"{fault}; check the file and who may read it")


def columns_fault(name: str, drift: Sequence[ColumnDrift], *, line: int | None = None, further: str = "") -> FileFault:
    """The fault of a file whose columns cannot be loaded: what differs, expected and found side by side."""
    fatal = [each for each in drift if each.is_fatal] or drift
    first = fatal[0].expected or fatal[0].found
    column = getattr(first, "file_name", getattr(first, "name", ""))
    reason = "\n".join(part for part in (summary(drift), further, side_by_side(drift)) if part)
    return FileFault(name, "columns", reason, line=line, column=column)


def _refuse_missing_file(source: Source, business_date: date, area: LandingArea) -> None:
    """Raise FileFault unless it is legal that a date has no file."""
    name = file_name_of(source, business_date)
    if not source.files.may_be_absent:
        raise FileFault(
            name,
            "missing",
            f"no file of source {source.source} for {business_date}; it is due every day. "
            f"Ask {', '.join(source.owners)} to deliver it, or set `may_be_absent: true` if such days are legal",
        )
    if manifest_entry(area, name) is not None:
        raise FileFault(name, "missing", f"{MANIFEST_NAME} lists the file but it is not there; deliver it again")


def may_hold_no_record(source: Source) -> bool:
    """Whether a header without a record is legal: said so, or as good as no file and that is legal."""
    absent_is_legal = source.files.may_be_absent and source.delivery is not Delivery.SNAPSHOT
    return source.files.may_be_empty or absent_is_legal


def records_of(file: LandingFile) -> Iterator[Record]:
    """Every record of a CSV file, the faulty ones with their fault. Empty fields are None.

    Raises FileFault where a quote is not closed on the line of its record: what follows could be cut anywhere.
    """
    lines_read: list[str] = []
    at_end = False

    def remembered(stream: IO[str]) -> Iterator[str]:
        nonlocal at_end
        for line in stream:
            lines_read.append(line)
            yield line
        at_end = True

    with _open_text(file.path, newline=_line_end(file.path)) as stream:
        reader = csv.reader(remembered(stream), strict=True)
        next(reader)
        line, number = 1 + len(lines_read), 0
        lines_read.clear()
        while True:
            problem = None
            fields: list[str] = []
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as fault:
                problem = str(fault)
            if problem and (at_end or len(lines_read) > 1):
                where = "by the end of the file" if at_end else f"properly on line {line + len(lines_read) - 1}"
                reason = f"a quote opens in this record and is not closed {where}; where records end cannot be told"
                raise FileFault(file.name, "csv", reason, line=line)
            if fields or problem or len(file.header) == 1:
                number += 1
                received = "".join(lines_read).removesuffix("\n").removesuffix("\r")
                fault_found = _record_fault(file, fields or [""], problem, line, received)
                yield Record(number, line, [field or None for field in fields or [""]], fault_found, received)
            line += len(lines_read)
            lines_read.clear()


def readable(text: str) -> str:
    """Text that any database can store: undecodable bytes and NUL are written in hex."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def _record_fault(
    file: LandingFile, fields: Sequence[str], problem: str | None, line: int, received: str
) -> RecordFault | None:
    if problem is not None:
        return RecordFault(line, "csv", "", f"not a CSV record: {problem}", readable(received))
    if not _is_text(received):
        position, field = next((n, field) for n, field in enumerate(fields) if not _is_text(field))
        column = file.header[position] if position < len(file.header) else ""
        value = field.encode("utf-8", "surrogateescape")
        return RecordFault(line, "encoding", column, f"expected UTF-8 text, found bytes {value!r}", readable(received))
    if len(fields) != len(file.header):
        reason = f"expected {len(file.header)} fields, found {len(fields)}"
        return RecordFault(line, "fields", "", reason, readable(received))
    return None


def _is_text(text: str) -> bool:
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _open_text(path: Path, *, newline: str = "") -> IO[str]:
    options: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": newline}
    return cast("IO[str]", gzip.open(path, "rt", **options) if path.suffix == ".gz" else path.open("r", **options))


def _line_end(path: Path) -> str:
    """CR where the header ends in one; elsewhere LF (CRLF included), and a lone CR is part of a field."""
    with _open_text(path) as stream:
        return "\r" if stream.readline().endswith("\r") else "\n"


def _csv_header(path: Path, name: str) -> tuple[str, ...]:
    with _open_text(path) as stream:
        first_line = stream.readline()
        if not first_line.strip() and not stream.readline():
            raise FileFault(name, "empty", "the file holds nothing; expected a header and records", line=1)
    return tuple(readable(column) for column in next(csv.reader([first_line]), []))


def _csv_bytes(path: Path, name: str) -> CsvBytes:
    """Look at every byte once. A gzip reader that stops early would load half a file in silence."""
    count: Counter[bytes] = Counter()
    misread, before = False, b""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                seen = before + chunk
                for byte in (b",", b"\n", b"\r"):
                    count[byte] += chunk.count(byte)
                count[b"\r\n"] += seen.count(b"\r\n")
                count[b'"'] += b'"' in chunk
                misread = misread or b"\0" in chunk or b' "' in seen or b'" ' in seen
                before = chunk[-1:]
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise FileFault(name, "gzip", f"the gzip stream is truncated or damaged: {fault}") from fault
    line_ends = {count[b"\r\n"], count[b"\r"], count[b"\n"]} if count[b"\r"] and count[b"\n"] else set()
    return CsvBytes(count[b","], has_quotes=count[b'"'] > 0, misread_in_bulk=misread or len(line_ends) > 1)


def _parquet_header(source: Source, path: Path, name: str) -> tuple[str, ...]:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as fault:
        raise FileFault(name, "parquet", f"not a readable Parquet file: {fault}") from fault
    header = tuple(schema.names)
    for column in source.columns:
        if column.file_name not in header:
            continue  # told with the others
        found = schema.field(column.file_name).type
        if not _can_hold(found, column.type.kind):
            raise FileFault(name, "type", f"expected {column.type}, found {found} in the file", column=column.file_name)
    return header


def _can_hold(arrow_type: pa.DataType, kind: TypeKind) -> bool:
    """Whether a Parquet column can hold values of `kind` that have one exact text.

    Numbers with a fraction are no texts: a key 42 that became 42.0 on the way would be another key.
    """
    types = pa.types
    if types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    text = (types.is_null, types.is_string, types.is_large_string, types.is_string_view)
    accepted = {
        TypeKind.STRING: (types.is_integer,),
        TypeKind.INTEGER: (types.is_integer,),
        TypeKind.DECIMAL: (types.is_integer, types.is_decimal, types.is_floating),
        TypeKind.DATE: (types.is_date,),
        TypeKind.TIMESTAMP: (lambda found: types.is_timestamp(found) and found.tz is None,),
        TypeKind.BOOLEAN: (types.is_boolean,),
    }
    return any(accepts(arrow_type) for accepts in (*text, *accepted[kind]))


def _checked_columns(source: Source, header: Sequence[str], name: str) -> str:
    """How the columns differ from the declared ones, in words. Raises FileFault where a needed one is not there."""
    count = Counter(column.lower() for column in header)  # databases do not tell them apart
    twice = [column for column in header if count[column.lower()] > 1]
    if twice:
        reason = f"expected each name once, found {', '.join(map(repr, twice))}"
        raise FileFault(name, "columns", reason, line=1, column=twice[0])
    drift = column_drift(source, [FoundColumn(column) for column in header])
    if any(each.is_fatal for each in drift):
        raise columns_fault(name, drift, line=1)
    return summary(drift)


class ManifestEntry(BaseModel):
    """What a manifest promises of one file."""

    file: str
    rows: NonNegativeInt = Field(strict=True)
    sha256: Annotated[str, StringConstraints(to_lower=True)]


class _Manifest(BaseModel):
    """Keys that it does not know may stand beside these."""

    files: tuple[ManifestEntry, ...]


@lru_cache(maxsize=64)
def _manifest(area: LandingArea, name: str, _version: str, _size_bytes: int) -> dict[str, ManifestEntry]:
    content = area.read(name).removeprefix(codecs.BOM_UTF8)
    return {entry.file: entry for entry in _Manifest.model_validate_json(content).files}


def manifest_entries(area: LandingArea, manifest: str) -> dict[str, ManifestEntry]:
    """What the manifest of that name promises, by file; nothing where there is none. Raises FileFault."""
    stamp = area.stamp_of(manifest)
    if stamp is None:
        return {}
    try:
        return _manifest(area, manifest, stamp.version, stamp.size_bytes)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        found = f"{where}: {first['msg']}" if where else first["msg"]
        reason = f'expected {{"files": [{{"file": text, "rows": number, "sha256": hex}}, ...]}}; {found}'
        raise FileFault(manifest, "manifest", reason) from fault
    except OSError as fault:
        raise unreadable(manifest, fault) from fault


def manifest_entry(area: LandingArea, name: str) -> ManifestEntry | None:
    """What the manifest beside a file promises of it; None where none speaks of it. Raises FileFault."""
    return manifest_entries(area, manifest_of(name)).get(PurePosixPath(name).name)


def _verified_rows(content: Content, area: LandingArea) -> int | None:
    """The number of rows the manifest promises; None where no manifest speaks of the file."""
    entry = manifest_entry(area, content.name)
    if entry is None:
        return None
    if entry.sha256 != content.sha256:
        raise FileFault(
            content.name,
            "manifest",
            f"expected sha256 {entry.sha256} as {MANIFEST_NAME} says, found {content.sha256}; "
            "the file is incomplete or was changed",
        )
    return entry.rows
