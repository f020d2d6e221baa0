"""The landing zone: a source's files for a range of dates become its partitions, typed, otherwise as received.

Files are staged as text (`staging`); one statement types the rows and takes out those that break a rule.
A row fault sends the record to `rejected_record`; a file fault leaves the old partition as it is.
Always: records read = rows loaded + rows rejected, per file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Column, FileFormat, Source
from cdm_assets.catalog.rules import Unique
from cdm_assets.catalog.types import Delivery, OnFailure, TypeKind
from cdm_assets.loading.report import RowCounts
from cdm_assets.loading.staging import Staging, staging
from cdm_assets.loading.stamp import Stamp, insert_select, replace_rows, rows_by_date
from cdm_assets.loading.vault_keys import key_text
from cdm_assets.validation.rules import expectation, row_rules, violates
from cdm_assets.warehouse.dates import ranges_of
from cdm_assets.warehouse.functions import canonical_text, matches
from cdm_assets.warehouse.landing_files import (
    FileFault,
    LandingFile,
    RecordFault,
    file_name_of,
    find_file,
    records_of,
    require_landing_area,
)
from cdm_assets.warehouse.tables import Tables, sql_type

_DATE: Final = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}"
_TIME: Final = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6}0*)?)?"
_EXACT_FORMATS: Final = {
    TypeKind.INTEGER: r"\s*[+-]?0*[0-9]{1,19}\s*",
    TypeKind.DATE: rf"\s*{_DATE}\s*",
    TypeKind.TIMESTAMP: rf"\s*{_DATE}[ T]{_TIME}\s*",
    TypeKind.BOOLEAN: r"(?i:true|false|1|0)",
}
"""Narrower than DuckDB's casts, which take 1e3 and 1_000 as integers, 24:00:00 as the next day and year 0 as 1 BC."""
_EXAMPLES: Final = {
    TypeKind.INTEGER: "an integer such as 42",
    TypeKind.DATE: "a date such as 2017-03-01",
    TypeKind.TIMESTAMP: "a timestamp without zone such as 2017-03-01 12:34:56",
    TypeKind.BOOLEAN: "true or false",
}


class RecordsLost(Exception):
    """A record is neither loaded nor rejected; nothing was changed. This is a defect of the loader, not of a file."""


@dataclass(frozen=True)
class LandingLoad:
    """What a load of the landing zone did, by business date."""

    row_counts: Mapping[date, RowCounts]
    file_faults: Mapping[date, FileFault]
    """Dates whose file was refused; their partitions hold what they held before."""


@dataclass(frozen=True)
class _RowTest:
    """A condition that takes a row out, and the words for it. The first of `columns` is blamed."""

    broken: ColumnElement[bool]
    rule: str
    columns: tuple[str, ...]
    expected: str


class StagedFiles:
    """The files of a source for some dates, read and staged, before any partition is touched."""

    def __init__(self, tables: Tables, stage: Staging, files: Mapping[date, LandingFile | None]) -> None:
        self._tables, self._stage, self._files = tables, stage, files
        self._read = stage.rows_by_file()
        self.file_faults = dict(stage.file_faults)

    def replace_partitions(self, stamp: Stamp) -> LandingLoad:
        """Put the files' rows in the place of their partitions. Idempotent; the transaction is the caller's."""
        sound = {day: file for day, file in self._files.items() if day not in self.file_faults}
        counts = _replace_partitions(self._tables, self._stage, sound, read=self._read, stamp=stamp)
        _register_faults(self._tables, self._stage, faults=self.file_faults, stamp=stamp)
        return LandingLoad(counts | dict.fromkeys(self.file_faults, RowCounts()), self.file_faults)


@contextmanager
def staged_files(
    connection: sa.Connection, tables: Tables, source: Source, dates: Iterable[date], landing_root: Path
) -> Iterator[StagedFiles]:
    """Read the files of `source` for `dates`. A date whose file is at fault is listed in `file_faults`.

    Begins and ends transactions of its own on `connection`. Raises LandingAreaMissing if `landing_root` is no folder.
    """
    require_landing_area(landing_root)
    files, faults = _files_of(source, dates, landing_root)
    with staging(connection, source) as stage:
        stage.read(file for file in files.values() if file is not None)
        stage.file_faults |= faults
        yield StagedFiles(tables, stage, files)


def _files_of(
    source: Source, dates: Iterable[date], landing_root: Path
) -> tuple[dict[date, LandingFile | None], dict[date, FileFault]]:
    files: dict[date, LandingFile | None] = {}
    faults: dict[date, FileFault] = {}
    for day in dates:
        try:
            files[day] = find_file(source, day, landing_root)
        except FileFault as fault:
            faults[day] = fault
    return files, faults


def _replace_partitions(
    tables: Tables,
    stage: Staging,
    files: Mapping[date, LandingFile | None],
    *,
    read: Mapping[str, int],
    stamp: Stamp,
) -> dict[date, RowCounts]:
    """Put the staged rows in the place of the partitions of `files`, and the register in line with them."""
    source, connection = stage.source, stage.connection
    table = tables[f"ldz.{source.table}"]
    removed: dict[date, int] = {}
    for dates in ranges_of(files):
        removed |= rows_by_date(connection, table, dates)
        connection.execute(sa.delete(table).where(table.c.business_date.between(dates.first, dates.last)))
    tests = _row_tests(stage)
    rows = _judged(stage, tests, files)
    typed = [_typed(rows.c[column.name], column).label(column.name) for column in source.columns]
    identity = [rows.c.business_date, rows.c.source_file, rows.c.source_row]
    connection.execute(insert_select(table, sa.select(*identity, *typed).where(rows.c.fault.is_(None)), stamp))
    inserted: dict[date, int] = {}
    for dates in ranges_of(files):
        inserted |= rows_by_date(connection, table, dates)
    counts = {
        day: RowCounts(
            read=(in_file := read.get(file.name, 0) if file else 0),
            inserted=inserted.get(day, 0),
            removed=removed.get(day, 0),
            rejected=in_file - inserted.get(day, 0),
        )
        for day, file in files.items()
    }
    at_fault = {day: file for day, file in files.items() if file is not None and counts[day].rejected}
    rejected = list(_rejected_records(stage, rows, tests, at_fault, stamp)) if at_fault else []
    if len(rejected) != sum(count.rejected for count in counts.values()):
        raise RecordsLost(f"{table.name}: {len(rejected)} records were explained of those that did not load: {counts}")
    _register(tables, connection, source, files=files, counts=counts, rejected=rejected, stamp=stamp)
    return counts


def _row_tests(stage: Staging) -> list[_RowTest]:
    """Everything that takes a single row out, in the order in which it is looked for."""
    source, text = stage.source, stage.table.c
    tests: list[_RowTest] = []
    for column in source.columns:
        value = text[column.name]
        if column.key or column.required:
            tests.append(_RowTest(_is_blank(value), f"required:{column.name}", (column.name,), "a value"))
        if source.files.format is FileFormat.PARQUET and column.type.kind is TypeKind.STRING:
            has_nul = sa.func.contains(value, sa.func.chr(0))
            tests.append(_RowTest(has_nul, "encoding", (column.name,), "text without a NUL character"))
        tests.append(_RowTest(_unreadable(value, column), f"type:{column.name}", (column.name,), _readable_as(column)))
    for rule in row_rules(source, OnFailure.REJECT):
        broken = violates(rule, source, lambda name: _typed(text[name], source.columns_by_name[name]))
        tests.append(_RowTest(broken, rule.label, rule.columns_read, expectation(rule)))
    return tests


def _is_blank(text: ColumnElement[Any]) -> ColumnElement[bool]:
    """Asked of every key of every row: trimming only what begins with a space costs a tenth."""
    begins_blank = text.like(sa.literal_column("' %'"))
    return sa.or_(text.is_(None), sa.and_(begins_blank, canonical_text(text, TypeKind.STRING).is_(None)))


def _unreadable(value: ColumnElement[Any], column: Column) -> ColumnElement[bool]:
    """True where a text is there but is not exactly a value of the column's type; nothing is rounded or guessed."""
    kind = column.type.kind
    if kind is TypeKind.STRING:
        return sa.func.length(value) > column.type.length
    if kind is TypeKind.DECIMAL:
        precision, scale = column.type.precision or 0, column.type.scale or 0
        pattern = rf"\s*[+-]?0*[0-9]{{0,{precision - scale}}}([.][0-9]{{0,{scale}}}0*)?\s*"
    else:
        pattern = _EXACT_FORMATS[kind]
    not_so_written = sa.not_(matches(value, sa.literal_column(f"'{pattern}'")))
    not_castable = sa.try_cast(value, sql_type(column.type)).is_(None)
    return sa.and_(value.is_not(None), sa.or_(not_so_written, not_castable))


def _readable_as(column: Column) -> str:
    kind = column.type.kind
    if kind is TypeKind.STRING:
        return f"at most {column.type.length} characters"
    if kind is TypeKind.DECIMAL:
        return f"a number with at most {column.type.scale} decimals, as {column.type}"
    return _EXAMPLES[kind]


def _typed(value: ColumnElement[Any], column: Column) -> ColumnElement[Any]:
    return value if column.type.kind is TypeKind.STRING else sa.try_cast(value, sql_type(column.type))


@dataclass(frozen=True)
class _UniqueSet:
    """Columns of which a file may hold each combination of values once; rows without one of them are not compared."""

    columns: tuple[str, ...]
    is_key: bool

    def values(self, source: Source, text: Callable[[str], ColumnElement[Any]]) -> list[ColumnElement[Any]]:
        """What is compared: typed values, so that 1 and 01 are the same; a key as the vault knows it."""
        columns = [source.columns_by_name[name] for name in self.columns]
        if self.is_key:
            return [key_text(_typed(text(column.name), column), column.type.kind) for column in columns]
        return [_typed(text(column.name), column) for column in columns]

    @property
    def words(self) -> _RowTest:
        """The words for a row that comes second."""
        expected = f"no second row with the same {', '.join(self.columns)}"
        return _RowTest(sa.false(), f"unique:{'+'.join(self.columns)}", self.columns, expected)


def _unique_sets(source: Source) -> list[_UniqueSet]:
    """A snapshot's key, and what rules declare."""
    declared = [r.columns for r in source.rules if isinstance(r, Unique) and r.on_failure is OnFailure.REJECT]
    if source.delivery is not Delivery.SNAPSHOT:
        return [_UniqueSet(columns, is_key=False) for columns in declared]
    others = [_UniqueSet(columns, is_key=False) for columns in declared if set(columns) != set(source.key)]
    return [_UniqueSet(source.key, is_key=True), *others]


def _judged(stage: Staging, tests: Sequence[_RowTest], files: Mapping[date, LandingFile | None]) -> sa.Subquery:
    """The staged rows of `files` with `fault`: the position of the first test they fail, NULL where they are sound.

    Of rows that repeat a key the first sound one stays. Faults from len(tests) on are the unique column sets.
    """
    text = stage.table.c
    first_broken = sa.case(*((test.broken, position) for position, test in enumerate(tests)))
    wanted = [text.business_date.between(dates.first, dates.last) for dates in ranges_of(files)]
    rows = sa.select(*text, first_broken.label("fault")).where(sa.or_(sa.false(), *wanted)).subquery("staged")
    for position, unique in enumerate(_unique_sets(stage.source), start=len(tests)):
        compared = sa.and_(rows.c.fault.is_(None), *(rows.c[name].is_not(None) for name in unique.columns))
        values = unique.values(stage.source, lambda name, rows=rows: rows.c[name])  # type: ignore[misc]
        nth = sa.func.row_number().over(
            partition_by=[rows.c.business_date, sa.case((compared, 1), else_=0), *values],
            order_by=rows.c.source_row,
        )
        fault = sa.case((sa.and_(compared, nth > 1), position), else_=rows.c.fault).label("fault")
        others = [column for column in rows.c if column.name != "fault"]
        rows = sa.select(*others, fault).subquery(f"unique_{position}")
    return rows


def _rejected_records(
    stage: Staging,
    rows: sa.Subquery,
    tests: Sequence[_RowTest],
    files: Mapping[date, LandingFile],
    stamp: Stamp,
) -> Iterator[dict[str, Any]]:
    """Every record that did not load, with its line and its text as received."""
    source = stage.source
    words = [*tests, *(unique.words for unique in _unique_sets(source))]
    faults: dict[str, dict[int, RecordFault]] = defaultdict(dict)
    names = [column.name for column in source.columns]
    query = sa.select(rows.c.source_file, rows.c.source_row, rows.c.fault, *(rows.c[name] for name in names))
    for name, number, fault, *values in stage.connection.execute(query.where(rows.c.fault.is_not(None))):
        test = words[fault]
        reason = f"expected {test.expected}, found {_found(test, names, values)}"
        staged = repr(dict(zip(names, values, strict=True)))
        faults[name][number] = RecordFault(number, test.rule, test.columns[0], reason, staged)
    for file in files.values():
        common = {
            "source": source.source,
            "business_date": file.business_date,
            "file_name": file.name,
            "whole_file": False,
            **stamp.row,
        }
        for broken in (*stage.record_faults.get(file.name, ()), *_located(source, file, faults[file.name])):
            yield common | _as_row(broken)


def _found(test: _RowTest, names: Sequence[str], values: Sequence[str | None]) -> str:
    texts = {name: "nothing" if (value := values[names.index(name)]) is None else repr(value) for name in test.columns}
    return ", ".join(texts.values() if len(texts) == 1 else (f"{name} = {text}" for name, text in texts.items()))


def _as_row(fault: RecordFault) -> dict[str, Any]:
    return {
        "line": fault.line,
        "rule": fault.rule,
        "column_name": fault.column or None,
        "reason": fault.reason[:2000],
        "raw_text": fault.raw_text,
    }


def _located(source: Source, file: LandingFile, faults: Mapping[int, RecordFault]) -> Iterator[RecordFault]:
    """The faulty records of a file by line, with the text received; a Parquet file has records instead of lines."""
    if source.files.format is FileFormat.CSV and faults:
        for record in records_of(file):
            if record.number in faults:
                yield replace(faults[record.number], line=record.line, raw_text=record.raw_text)
    else:
        yield from (faults[number] for number in sorted(faults))


def _register(
    tables: Tables,
    connection: sa.Connection,
    source: Source,
    *,
    files: Mapping[date, LandingFile | None],
    counts: Mapping[date, RowCounts],
    rejected: list[dict[str, Any]],
    stamp: Stamp,
) -> None:
    """Write what each partition now holds and which records it lacks, in the place of what was known before."""
    register, records = tables["cdp_metadata.landing_file"], tables["cdp_metadata.rejected_record"]
    rows = [
        {
            "source": source.source,
            "business_date": day,
            "file_name": file.name if file else file_name_of(source, day),
            "state": "loaded" if file else "absent",
            "size_bytes": file.size_bytes if file else 0,
            "sha256": file.sha256 if file else None,
            "rows_read": counts[day].read,
            "rows_loaded": counts[day].inserted,
            "rows_rejected": counts[day].rejected,
            "reason": None,
            **stamp.row,
        }
        for day, file in files.items()
    ]
    for table, new_rows in ((register, rows), (records, rejected)):
        of_dates = [table.c.business_date.between(dates.first, dates.last) for dates in ranges_of(files)]
        condition = sa.and_(table.c.source == source.source, sa.or_(sa.false(), *of_dates))
        replace_rows(connection, table, condition, list(new_rows))


def _register_faults(tables: Tables, stage: Staging, *, faults: Mapping[date, FileFault], stamp: Stamp) -> None:
    """Note the refused files beside what their partitions still hold."""
    source, connection = stage.source, stage.connection
    register, records = tables["cdp_metadata.landing_file"], tables["cdp_metadata.rejected_record"]
    for day, fault in faults.items():
        common = {"source": source.source, "business_date": day, **stamp.row}
        file_row = common | {"file_name": file_name_of(source, day), "state": "rejected", "reason": str(fault)[:2000]}
        file_row |= {"size_bytes": 0, "sha256": None, "rows_read": 0, "rows_loaded": 0, "rows_rejected": 0}
        record = common | {"file_name": fault.file_name, "line": fault.line, "rule": fault.rule}
        record |= {"column_name": fault.column or None}
        record |= {"reason": fault.reason[:2000], "raw_text": None, "whole_file": True}
        of_day = sa.and_(register.c.source == source.source, register.c.business_date == day)
        replace_rows(connection, register, sa.and_(of_day, register.c.state == "rejected"), [file_row])
        of_day = sa.and_(records.c.source == source.source, records.c.business_date == day)
        replace_rows(connection, records, sa.and_(of_day, records.c.whole_file == sa.true()), [record])
