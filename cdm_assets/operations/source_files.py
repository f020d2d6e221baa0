"""What a file holds, column by column: the question before a source is declared, and when its files change.

Every row is looked at, as text, by DuckDB on disk: memory stays bounded whatever the file's size. CSV is read as the
landing zone reads it (RFC 4180, UTF-8, commas), but a record that breaks the format ends the reading.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb
import pyarrow as pa

from cdm_assets.catalog.model import FileFormat, Source
from cdm_assets.catalog.types import MOST_DIGITS, ColumnType, TypeKind
from cdm_assets.validation.exact_text import DATE_FORMAT, exact_format
from cdm_assets.warehouse.column_drift import FoundColumn
from cdm_assets.warehouse.file_faults import FileFault
from cdm_assets.warehouse.json_lines import json_records, text_of
from cdm_assets.warehouse.spreadsheets import read_sheet

MOST_EXAMPLES: Final = 12
_MEMORY_LIMIT: Final = "1GB"
_OBJECTS_A_STATEMENT: Final = 50_000
"""Bounds memory."""
_CSV_OPTIONS: Final = "header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', strict_mode = true"
_SUFFIXES: Final = {
    ".csv": FileFormat.CSV,
    ".csv.gz": FileFormat.CSV,
    ".parquet": FileFormat.PARQUET,
    ".xlsx": FileFormat.EXCEL,
    ".jsonl": FileFormat.JSON_LINES,
    ".jsonl.gz": FileFormat.JSON_LINES,
    ".ndjson": FileFormat.JSON_LINES,
    ".ndjson.gz": FileFormat.JSON_LINES,
}
_OTHER_DELIMITERS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}
_MAGIC: Final = {b"PK\x03\x04": "a zip or Excel file", b"PAR1": "a Parquet file", b"\x1f\x8b": "gzip", b"%PDF": "a PDF"}

_INTEGER: Final = r"\s*(0|-?[1-9][0-9]{0,18})\s*"
_NUMBER: Final = r"\s*-?((0|[1-9][0-9]*)([.][0-9]+)?|[.][0-9]+)\s*"
"""Narrower than what loads: 007 and +49 are whole only as text."""
_EMAIL: Final = r"[^@\s]+@[^@\s]+[.][^@\s]+"
_PHONE: Final = r"([+]|00)[1-9][0-9 ()/.-]{6,18}"
_ANY_SHEET: Final = Source.model_validate(
    {
        "source": "any",
        "description": "A workbook of which nothing is known: the first sheet, names in the first row.",
        "delivery": "snapshot",
        "files": {"path": "{date}", "format": "excel"},
        "owners": ["team:any"],
        "columns": [{"name": "any", "type": "string(1)"}],
        "feeds": {"hubs": {"any": ["any"]}},
    }
)


class SourceFileError(Exception):
    """The file is not there or cannot be read; the message says what was found and what was expected."""


@dataclass(frozen=True)
class ProfiledColumn:
    """What the values of one column are, over every row of the file."""

    name: str
    type: ColumnType | None
    """The narrowest type that holds every value exactly; None where all are blank."""
    rows: int
    blanks: int
    """Rows without a value, or with nothing but spaces."""
    distinct: int
    """Different values, blanks not counted."""
    longest: int
    """Characters of the longest value."""
    examples: tuple[str, ...]
    """The most frequent values, at most 12: all of them where `distinct` is not more."""
    misfits: int = 0
    """Rows whose value cannot load as the type that was expected."""
    emails: int = 0
    phones: int = 0
    """Different values that look like an e-mail address, or an international phone number."""

    @property
    def found(self) -> FoundColumn:
        """The column, as drift is told."""
        return FoundColumn(self.name, self.type)


class SourceFile:
    """A file whose rows lie in a table `records` of texts, columns c0, c1, ..."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, file_format: FileFormat, names: Sequence[str]) -> None:
        self._connection, self.file_format, self.names = connection, file_format, tuple(names)
        self.rows = int(self._row("select count(*) from records")[0])

    def profiled(self, expected: Mapping[str, ColumnType] | None = None) -> list[ProfiledColumn]:
        """Every column in the file's order.

        A column in `expected` has that type if all its values load as it, and else the narrowest.
        """
        expected = expected or {}
        return [self._profiled(position, expected.get(name)) for position, name in enumerate(self.names)]

    @cached_property
    def repeats(self) -> int:
        """Rows that are another row once more, in every column."""
        return self.rows - int(self._row("select count(*) from (select distinct * from records)")[0])

    def is_unique(self, names: Sequence[str], *, but_for_repeats: bool = False) -> bool:
        """Whether no two rows agree on the columns `names`; with `but_for_repeats`, none that differ elsewhere."""
        columns = ", ".join(f"c{self.names.index(name)}" for name in names)
        query = f"select count(*) from (select distinct {columns} from records)"  # noqa: S608 - columns by number
        return int(self._row(query)[0]) == self.rows - (self.repeats if but_for_repeats else 0)

    def share_near(self, name: str, day: date | None, *, days: int) -> float:
        """Share of the column's values, from 0 to 1, within `days` of `day`; of their median if that is None."""
        share = f"""
            with moments as (
                select try_cast(c{self.names.index(name)} as timestamp) as moment from records
            ), middle as (
                select coalesce($1::timestamp, median(moment)) as moment from moments
            )
            select avg((abs(epoch(moments.moment) - epoch(middle.moment)) <= $2 * 86400)::integer) from moments, middle
            """  # noqa: S608 - columns by number
        return float(self._row(share, [day and datetime.combine(day, datetime.min.time()), days])[0] or 0)

    def _row(self, query: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
        row = self._connection.execute(query, list(parameters)).fetchone()
        assert row is not None  # noqa: S101 - aggregates give one row
        return row

    def _profiled(self, position: int, expected: ColumnType | None) -> ProfiledColumn:
        """Different values are judged once each: most columns have few."""
        self._connection.execute(
            f"""create or replace temp table "values" as
            select c{position} as value, count(*) as n from records where c{position} <> '' group by all"""  # noqa: S608
        )
        loadable, parameters = _loadable(expected)
        present, distinct, longest, digits, scale, misfits, emails, phones, *kinds = self._row(
            rf"""select
                coalesce(sum(n) filter (trim(value) <> ''), 0), count(*) filter (trim(value) <> ''),
                coalesce(max(length(value)), 0),
                coalesce(max(length(regexp_extract(value, '^\s*-?0*([0-9]*)', 1))), 0),
                coalesce(max(length(regexp_extract(value, '[.]([0-9]*)', 1))), 0),
                coalesce(sum(n) filter (not {loadable}), 0),
                count(*) filter (regexp_full_match(value, '{_EMAIL}')),
                count(*) filter (regexp_full_match(value, '{_PHONE}')),
                bool_and(regexp_full_match(value, '{_INTEGER}') and try_cast(value as bigint) is not null),
                bool_and(regexp_full_match(value, '{_NUMBER}')),
                {_all_are(TypeKind.DATE)}, {_all_are(TypeKind.TIMESTAMP)}, {_all_are(TypeKind.BOOLEAN)}
            from "values" """,  # noqa: S608 - patterns of this module
            parameters,
        )
        narrowest = _narrowest(kinds, longest=longest, digits=digits, scale=scale) if present else None
        return ProfiledColumn(
            name=self.names[position],
            type=_beside(expected, narrowest, misfits=misfits, longest=longest, digits=digits),
            rows=self.rows,
            blanks=self.rows - int(present),
            distinct=distinct,
            longest=longest,
            examples=self._examples(),
            misfits=int(misfits),
            emails=emails,
            phones=phones,
        )

    def _examples(self) -> tuple[str, ...]:
        query = """select value from "values" where trim(value) <> '' order by n desc, value limit $1"""
        return tuple(value for (value,) in self._connection.execute(query, [MOST_EXAMPLES]).fetchall())


def found_columns(path: Path, source: Source | None = None) -> list[ProfiledColumn]:
    """Look at every row of a CSV or JSON lines (both also .gz), Parquet or Excel file.

    With `source` the file is read as one of it, and each of its columns has the declared type if all values load as
    that. Raises SourceFileError: no such file, empty, or not of its format.
    """
    with opened(path, source) as file:
        return file.profiled({} if source is None else {c.file_name: c.type for c in source.columns})


@contextmanager
def opened(path: Path, source: Source | None = None) -> Iterator[SourceFile]:
    """The file, read into a temporary database; without `source` its suffix tells what it is.

    Raises SourceFileError: no such file, empty, or not of its format.
    """
    if path.is_dir():
        raise SourceFileError(f"{path} is a folder; expected one file")
    if not path.exists():
        raise SourceFileError(f"there is no file {path}; expected one that ends in {', '.join(_SUFFIXES)}")
    file_format = source.files.format if source else format_of(path)
    try:
        if path.stat().st_size == 0:
            raise SourceFileError(f"{path} has no bytes; expected a header and records")
        with (
            TemporaryDirectory(prefix="cdm_source_") as folder,
            duckdb.connect(Path(folder) / "records.duckdb", config={"memory_limit": _MEMORY_LIMIT}) as connection,
        ):
            yield SourceFile(connection, file_format, _read(connection, path, file_format, source))
    except OSError as fault:
        raise SourceFileError(f"{path} cannot be read: {fault}; check the file and who may read it") from fault


def _read(
    connection: duckdb.DuckDBPyConnection, path: Path, file_format: FileFormat, source: Source | None
) -> list[str]:
    """Fill `records`; returns the names of the columns."""
    match file_format:
        case FileFormat.EXCEL:
            return _read_excel(connection, path, source)
        case FileFormat.PARQUET:
            return _read_parquet(connection, path)
        case FileFormat.JSON_LINES:
            return _read_json_lines(connection, path, source)
        case FileFormat.CSV:
            names = _csv_names(path)
            _read_csv(connection, path, names)
            return names


def format_of(path: Path) -> FileFormat:
    """The format that a file's suffix stands for. Raises SourceFileError naming those that are known."""
    for suffix, file_format in _SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return file_format
    raise SourceFileError(f"{path.name}: expected a name that ends in {', '.join(_SUFFIXES)}")


def _csv_names(path: Path) -> list[str]:
    """The column names of a CSV file. Raises SourceFileError where the first line cannot be that."""
    options: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
        with gzip.open(path, "rt", **options) if path.suffix == ".gz" else path.open("r", **options) as text:
            line = text.readline(1 << 20)
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise SourceFileError(f"{path}: the gzip stream is truncated or damaged: {fault}") from fault
    magic = next((what for mark, what in _MAGIC.items() if start.startswith(mark)), None)
    if magic is not None and path.suffix != ".gz":
        raise SourceFileError(f"{path} is no CSV but {magic}; expected text, or another suffix")
    names = next(csv.reader([line]), [])
    if not line.strip():
        raise SourceFileError(f"{path} begins with an empty line; expected column names with commas between them")
    if not line.replace("\0", "\udc00").encode("utf-8", "replace").decode() == line:
        raise SourceFileError(f"{path} is no CSV: its first line is not UTF-8 text; expected column names")
    if len(names) == 1:
        for delimiter, what in _OTHER_DELIMITERS.items():
            if delimiter in line:
                raise SourceFileError(f"{path} has {what} between its columns; expected commas. Found: {line.strip()}")
    return _checked_names(path, names)


def _checked_names(path: Path, names: Sequence[str]) -> list[str]:
    """`names`, each there and once."""
    for position, name in enumerate(names, 1):
        if not name.strip():
            raise SourceFileError(f"{path}: column {position} has no name; expected one in every column of the header")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceFileError(f"{path}: {', '.join(map(repr, twice))} more than once in the header; expected each once")
    return list(names)


def _read_csv(connection: duckdb.DuckDBPyConnection, path: Path, names: Sequence[str]) -> None:
    columns = {f"c{position}": "VARCHAR" for position in range(len(names))}
    literal = str(path).replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")
    query = f"create table records as select * from read_csv($1, columns = $2, {_CSV_OPTIONS})"  # noqa: S608
    try:
        connection.execute(query, [literal, columns])
    except duckdb.Error as fault:
        lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
        kept = [line for line in lines[:6] if not line.startswith(("Possible", "*"))]
        raise SourceFileError(
            f"{path} is no CSV: {'; '.join(kept)[:400]}. "
            f"Expected {len(names)} fields a record, commas between them, UTF-8, quotes doubled inside quotes"
        ) from fault


def _read_parquet(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    literal = str(path).replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")
    try:
        described = connection.execute("describe select * from read_parquet($1)", [literal]).fetchall()
        names = [str(row[0]) for row in described]
        aliases = ", ".join(f"c{position}" for position in range(len(names)))
        texts = ", ".join(f"cast(c{position} as varchar) as c{position}" for position in range(len(names)))
        query = f"create table records as select {texts} from read_parquet($1) as file({aliases})"  # noqa: S608
        connection.execute(query, [literal])
    except duckdb.Error as fault:
        raise SourceFileError(f"{path} is no Parquet file: {str(fault).splitlines()[0]}") from fault
    return _checked_names(path, names)


def _read_json_lines(connection: duckdb.DuckDBPyConnection, path: Path, source: Source | None) -> list[str]:
    """Keys as the source declares them, the others as they first come; one that a record lacks is blank there."""
    names: list[str] = []
    connection.execute("create table records (c0 varchar)")
    try:
        records = json_records(path, path.name)
        while batch := list(islice(records, _OBJECTS_A_STATEMENT)):
            for record in batch:
                if record.fault is not None:
                    reason = f"line {record.line}: {record.fault.reason}"
                    raise SourceFileError(f"{path} is no file of JSON lines: {reason}. Expected one object a line")
            before = len(names)
            names = list(dict.fromkeys((*names, *(key for record in batch for key in record.content))))
            for position in range(max(before, 1), len(names)):
                connection.execute(f"alter table records add column c{position} varchar")
            texts = [pa.array([text_of(record.content.get(name)) for record in batch], pa.string()) for name in names]
            connection.register("objects", pa.table(texts, names=[f"c{position}" for position in range(len(names))]))
            connection.execute("insert into records select * from objects")
            connection.unregister("objects")
    except FileFault as fault:
        raise SourceFileError(f"{path}: {fault.reason}") from fault
    if not names:
        raise SourceFileError(f"{path} holds no object with keys; expected one object a line")
    declared = [column.file_name for column in source.columns if column.file_name in names] if source else []
    in_order = [*declared, *(name for name in names if name not in declared)]
    columns = ", ".join(f"c{names.index(name)} as c{position}" for position, name in enumerate(in_order))
    connection.execute(f"create or replace table records as select {columns} from records")  # noqa: S608 - by number
    return _checked_names(path, in_order)


def _read_excel(connection: duckdb.DuckDBPyConnection, path: Path, source: Source | None) -> list[str]:
    """Cells as the loader reads them. Which columns hold dates is what a source says, or seen here."""
    try:
        sheet = read_sheet(path, path.name, source or _ANY_SHEET)
    except FileFault as fault:
        raise SourceFileError(f"{path}: {fault.reason}") from fault
    texts = [pa.array(list(sheet[name]), pa.string()) for name in sheet.columns]
    connection.register("sheet", pa.table(texts, names=[f"c{position}" for position in range(len(texts))]))
    connection.execute("create table records as select * from sheet")
    connection.unregister("sheet")
    if source is None:
        _shorten_midnights(connection, len(texts))
    return list(sheet.columns)


def _shorten_midnights(connection: duckdb.DuckDBPyConnection, columns: int) -> None:
    """Excel knows no dates but midnights: a column of nothing else is one of dates."""
    for position in range(columns):
        connection.execute(
            f"""update records set c{position} = left(c{position}, 10)
            where (select bool_and(regexp_full_match(c{position}, '{DATE_FORMAT} 00:00:00')) from records
                   where c{position} <> '') and c{position} <> ''"""  # noqa: S608 - columns by number
        )


def _all_are(kind: TypeKind) -> str:
    matched = f"regexp_full_match(value, '{exact_format(ColumnType(kind))}')"
    return f"bool_and({matched} and try_cast(value as {kind}) is not null)"


def _loadable(expected: ColumnType | None) -> tuple[str, list[object]]:
    """SQL that is true where `value` loads as `expected`, as the landing zone judges it, and its parameters."""
    if expected is None:
        return "true", []
    if expected.kind is TypeKind.STRING:
        return "length(value) <= $1", [expected.length]
    if expected.kind is TypeKind.DECIMAL:
        castable = f"try_cast(value as {expected}) is not null"
        return f"(regexp_full_match(value, $1) and {castable})", [exact_format(expected)]
    sql_type = "bigint" if expected.kind is TypeKind.INTEGER else expected.kind.value
    castable = f"try_cast(value as {sql_type}) is not null"
    return f"(regexp_full_match(value, $1) and {castable})", [exact_format(expected)]


def _narrowest(kinds: Sequence[bool], *, longest: int, digits: int, scale: int) -> ColumnType:
    """The narrowest type: `kinds` tells whether all values are integers, numbers, dates, timestamps, true or false."""
    integers, numbers, dates, timestamps, booleans = kinds
    if integers:
        return ColumnType(TypeKind.INTEGER)
    if booleans:
        return ColumnType(TypeKind.BOOLEAN)
    if numbers and scale and digits + scale <= MOST_DIGITS:
        return ColumnType(TypeKind.DECIMAL, precision=digits + scale, scale=scale)
    if dates:
        return ColumnType(TypeKind.DATE)
    if timestamps:
        return ColumnType(TypeKind.TIMESTAMP)
    return ColumnType(TypeKind.STRING, length=longest)


def _beside(
    expected: ColumnType | None, narrowest: ColumnType | None, *, misfits: int, longest: int, digits: int
) -> ColumnType | None:
    """The type to show beside `expected`: that itself if all fits, else one that tells what does not."""
    if expected is None or narrowest is None:
        return narrowest
    if not misfits:
        return expected
    if expected.kind is TypeKind.STRING:
        return ColumnType(TypeKind.STRING, length=longest)
    if expected.kind is TypeKind.DECIMAL and narrowest.kind is TypeKind.INTEGER:
        return ColumnType(TypeKind.DECIMAL, precision=digits, scale=0)
    return narrowest
