"""The landing area on disk: which file belongs to a source and date, whether it is whole, and its records one by one.

Sound files are read in bulk by DuckDB (`loading.landing`). What is here looks at bytes: hash, gzip, header, manifest;
and it reads a faulty CSV file record by record to say on which line what is wrong.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cdm_assets.catalog.model import DATE_PLACEHOLDER, FileFormat, Source
from cdm_assets.catalog.types import Delivery

MANIFEST_NAME: Final = "_manifest.json"
_CHUNK_BYTES: Final = 1 << 20
_RAW_TEXT_LIMIT: Final = 20_000


class FileFault(Exception):
    """A file that cannot be loaded at all; the partition it was meant for keeps its content."""

    def __init__(self, file_name: str, rule: str, reason: str, *, line: int | None = None, column: str = "") -> None:
        self.file_name, self.rule, self.reason, self.line, self.column = file_name, rule, reason, line, column
        where = file_name if line is None else f"{file_name}:{line}"
        super().__init__(f"{where}: {rule}{f' ({column})' if column else ''}: {reason}")


@dataclass(frozen=True)
class RecordFault:
    """One record that cannot be loaded. `line` counts from 1, the header included."""

    line: int
    rule: str
    column: str
    reason: str
    raw_text: str


@dataclass(frozen=True)
class LandingFile:
    """A file that is whole, as far as its bytes tell."""

    path: Path
    name: str
    business_date: date
    size_bytes: int
    sha256: str
    header: tuple[str, ...]
    manifest_rows: int | None


@dataclass(frozen=True)
class Record:
    """One CSV record: its number in the file (from 1), its first line, its fields, or what is wrong with it."""

    number: int
    line: int
    fields: list[str | None]
    fault: RecordFault | None
    raw_text: str


def file_name_of(source: Source, business_date: date) -> str:
    """The file's name relative to the landing root."""
    return source.files.path.replace(DATE_PLACEHOLDER, business_date.isoformat())


def sha256_of(path: Path) -> str:
    """Hash of the file's bytes as they lie on disk, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_file(source: Source, business_date: date, landing_root: Path) -> LandingFile | None:
    """The source's file for a date, checked; None where a missing file is legal.

    Raises FileFault: missing, empty, truncated, wrong header, not matching its manifest.
    """
    name = file_name_of(source, business_date)
    path = landing_root / name
    try:
        size_bytes = path.stat().st_size
    except FileNotFoundError:
        if source.files.may_be_absent:
            _refuse_promised_file(path, name)
            return None
        raise FileFault(
            name,
            "missing",
            f"no file of source {source.source} for {business_date}; it is due every day. "
            f"Ask {', '.join(source.owners)} to deliver it, or set `may_be_absent: true` if such days are legal",
        ) from None
    if size_bytes == 0:
        raise FileFault(name, "empty", "the file has no bytes; expected a header and records", line=1)
    sha256 = sha256_of(path)
    manifest_rows = _verified_rows(path, name, sha256)
    header = _header(source, path, name)
    _check_header(source, header, name)
    return LandingFile(path, name, business_date, size_bytes, sha256, header, manifest_rows)


def may_hold_no_record(source: Source) -> bool:
    """Whether a header without a record is legal: said so, or as good as no file and that is legal."""
    absent_is_legal = source.files.may_be_absent and source.delivery is not Delivery.SNAPSHOT
    return source.files.may_be_empty or absent_is_legal


def records_of(file: LandingFile) -> Iterator[Record]:
    """Every record of a CSV file, the faulty ones with their fault. Empty fields are None."""
    lines_read: list[str] = []

    def remembered(stream: IO[str]) -> Iterator[str]:
        for line in stream:
            lines_read.append(line)
            yield line

    with _open_text(file.path) as stream:
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
            raw_text = "".join(lines_read).rstrip("\r\n")
            if fields or problem:
                number += 1
                fault_found = _record_fault(file, fields, problem, line, raw_text)
                yield Record(number, line, [field or None for field in fields], fault_found, _readable(raw_text))
            line += len(lines_read)
            lines_read.clear()


def _record_fault(
    file: LandingFile, fields: Sequence[str], problem: str | None, line: int, raw_text: str
) -> RecordFault | None:
    raw = _readable(raw_text)
    if problem is not None:
        return RecordFault(line, "csv", "", f"not a CSV record: {problem}", raw)
    for position, field in enumerate(fields):
        column = file.header[position] if position < len(file.header) else ""
        if "\x00" in field or any("\udc80" <= character <= "\udcff" for character in field):
            value = field.encode("utf-8", "surrogateescape")
            return RecordFault(line, "encoding", column, f"expected UTF-8 text, found bytes {value!r}", raw)
    if len(fields) != len(file.header):
        return RecordFault(line, "fields", "", f"expected {len(file.header)} fields, found {len(fields)}", raw)
    return None


def _readable(raw_text: str) -> str:
    """Raw text with undecodable bytes written as `\\xNN`, cut where it is absurdly long."""
    text = raw_text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
    return text[:_RAW_TEXT_LIMIT]


def _open_text(path: Path) -> IO[str]:
    options: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    return gzip.open(path, "rt", **options) if path.suffix == ".gz" else path.open("r", **options)


def _header(source: Source, path: Path, name: str) -> tuple[str, ...]:
    if source.files.format is FileFormat.PARQUET:
        try:
            return tuple(pq.read_schema(path).names)  # type: ignore[no-untyped-call]
        except (pa.ArrowException, OSError) as fault:
            raise FileFault(name, "parquet", f"not a readable Parquet file: {fault}") from fault
    if path.suffix == ".gz":
        _check_gzip(path, name)
    with _open_text(path) as stream:
        first_line = stream.readline()
    return tuple(next(csv.reader([first_line]), []))


def _check_gzip(path: Path, name: str) -> None:
    """Unpack once to the end: a gzip reader that stops early would load half a file in silence."""
    try:
        with gzip.open(path, "rb") as stream:
            while stream.read(_CHUNK_BYTES):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise FileFault(name, "gzip", f"the gzip stream is truncated or damaged: {fault}") from fault


def _check_header(source: Source, header: Sequence[str], name: str) -> None:
    expected = [column.file_name for column in source.columns]
    missing = [column for column in expected if column not in header]
    unexpected = [column for column in header if column not in expected]
    twice = sorted({column for column in header if header.count(column) > 1})
    problems = [
        f"{what} {', '.join(map(repr, columns))}"
        for what, columns in (("missing", missing), ("unexpected", unexpected), ("twice", twice))
        if columns
    ]
    if problems:
        raise FileFault(
            name,
            "header",
            f"{'; '.join(problems)}. Expected: {', '.join(expected)}. Found: {', '.join(header)}",
            line=1,
            column=(missing or unexpected or twice)[0],
        )


@lru_cache(maxsize=64)
def _manifest(path: Path, _modified_ns: int) -> dict[str, dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return {entry["file"]: entry for entry in content["files"]}


def _manifest_entry(path: Path, name: str) -> dict[str, Any] | None:
    manifest = path.parent / MANIFEST_NAME
    if not manifest.exists():
        return None
    manifest_name = str(Path(name).parent / MANIFEST_NAME)
    try:
        entries = _manifest(manifest, manifest.stat().st_mtime_ns)
        entry = entries.get(path.name)
        return None if entry is None else {"sha256": str(entry["sha256"]), "rows": int(entry["rows"])}
    except (ValueError, KeyError, TypeError) as fault:
        reason = f'expected {{"files": [{{"file", "rows", "sha256"}}, ...]}}: {fault!r}'
        raise FileFault(manifest_name, "manifest", reason) from fault


def _refuse_promised_file(path: Path, name: str) -> None:
    if _manifest_entry(path, name) is not None:
        raise FileFault(name, "missing", f"{MANIFEST_NAME} lists the file but it is not there; deliver it again")


def _verified_rows(path: Path, name: str, sha256: str) -> int | None:
    """The number of rows the manifest promises; None where no manifest speaks of the file."""
    entry = _manifest_entry(path, name)
    if entry is None:
        return None
    if entry["sha256"] != sha256:
        raise FileFault(
            name,
            "manifest",
            f"sha256 is {sha256}, {MANIFEST_NAME} says {entry['sha256']}; the file is incomplete or was changed",
        )
    return int(entry["rows"])
