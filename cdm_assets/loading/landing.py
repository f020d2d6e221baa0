"""The landing zone: a source's files for a range of dates become its partitions, typed, otherwise as received.

Files are registered and copied into the archive (`landing_register`), then staged as text (`staging`); one statement
types the rows and takes out those that break a rule.
A row fault sends the record to `rejected_record`; a file fault leaves the old partition as it is.
Always: records read = rows loaded + rows rejected, per file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Column, FileFormat, Source
from cdm_assets.catalog.rules import Unique
from cdm_assets.catalog.types import ColumnType, Delivery, OnFailure, TypeKind
from cdm_assets.loading.landing_register import (
    Loaded,
    Look,
    RegisteredFile,
    begin_loading,
    end_loading,
    live_files,
    register_arrivals,
)
from cdm_assets.loading.report import RowCounts
from cdm_assets.loading.staging import FrameFaults, Staging, staging
from cdm_assets.loading.stamp import Stamp, replace_rows, rows_by_date
from cdm_assets.loading.vault_keys import key_text
from cdm_assets.validation.exact_text import exact_format, is_retyped, readable_as
from cdm_assets.validation.rules import expectation, judged_later, row_rules, violates
from cdm_assets.warehouse.column_drift import ColumnDrift, DriftKind, FoundColumn
from cdm_assets.warehouse.dates import ranges_of
from cdm_assets.warehouse.file_faults import FileFault, RecordFault
from cdm_assets.warehouse.functions import canonical_text, matches
from cdm_assets.warehouse.json_lines import received_lines
from cdm_assets.warehouse.landing_area import Content, LandingArea, Place, file_name_of
from cdm_assets.warehouse.landing_files import LandingFile, checked_file, columns_fault, records_of, unreadable
from cdm_assets.warehouse.tables import BUSINESS_DATE, EXTRA, TIMESTAMP, Tables, sql_type


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

    def __init__(
        self,
        connection: sa.Connection,
        tables: Tables,
        stage: Staging,
        files: Mapping[date, LandingFile | None],
        registered: Mapping[date, RegisteredFile],
    ) -> None:
        self._connection, self._tables, self._stage = connection, tables, stage
        self._files, self._registered = files, registered
        self._read = stage.rows_by_file()
        self.file_faults = dict(stage.file_faults)

    def begin_loading(self, stamp: Stamp) -> None:
        """Say in the register which contents are being loaded; a transaction of its own."""
        with self._connection.begin():
            begin_loading(self._connection, self._tables, self._registered.values(), stamp)

    def replace_partitions(self, stamp: Stamp) -> LandingLoad:
        """Put the files' rows in the place of their partitions. Idempotent; the transaction is the caller's."""
        sound = {day: file for day, file in self._files.items() if day not in self.file_faults}
        connection, source = self._connection, self._stage.source
        counts = _replace_partitions(connection, self._tables, self._stage, sound, read=self._read, stamp=stamp)
        _keep_refused(connection, self._tables, source, self.file_faults, stamp)
        earliest = _earliest_events(connection, self._tables, source, sound)
        loaded: dict[Place, tuple[RegisteredFile, Loaded] | None] = {}
        for day, file in sound.items():
            count, place = counts[day], (source.source, day)
            loaded[place] = None
            if file is not None:
                found = Loaded(
                    count.read, count.inserted, count.rejected, earliest.get(day), self._stage.drift_of(file)
                )
                loaded[place] = (self._registered[day], found)
        rejected = {(source.source, day): str(fault) for day, fault in self.file_faults.items()}
        end_loading(connection, self._tables, loaded, rejected, stamp)
        return LandingLoad(counts | dict.fromkeys(self.file_faults, RowCounts()), self.file_faults)


@contextmanager
def staged_files(
    connection: sa.Connection,
    tables: Tables,
    source: Source,
    dates: Iterable[date],
    area: LandingArea,
    *,
    stamp: Stamp,
    frame_faults: FrameFaults | None = None,
) -> Iterator[StagedFiles]:
    """Register and read the files of `source` for `dates`. A date whose file is at fault is listed in `file_faults`.

    Begins and ends transactions of its own on `connection`. Raises LandingAreaMissing if there is no landing area.
    """
    with connection.begin():
        look = register_files(connection, tables, {source.source: dates}, area, stamp)
        live = live_files(connection, tables, [(source.source, day) for day in dates])
    newest = {day: rows[-1] for (_, day), rows in live.items() if rows[-1].gone_at is None}
    with staging(connection, source, frame_faults) as stage:
        files: dict[date, LandingFile | None] = {}
        for day in dates:
            try:
                content = _content(source, day, newest.get(day), look, area)
                files[day] = checked_file(source, day, content, area)
            except FileFault as fault:
                stage.file_faults[day] = fault
        stage.read(file for file in files.values() if file is not None)
        stage.file_faults |= _retyped(stage, files)
        yield StagedFiles(connection, tables, stage, files, newest)


def register_files(
    connection: sa.Connection,
    tables: Tables,
    days_of: Mapping[str, Iterable[date]],
    area: LandingArea,
    stamp: Stamp,
) -> Look:
    """Look at the files of some sources and dates as they now lie there; whoever asks says that they are whole.

    The transaction is the caller's. Raises LandingAreaMissing.
    """
    sources = tables.catalog.sources
    names = {(source, day): file_name_of(sources[source], day) for source, days in days_of.items() for day in days}
    stamps = area.stamps_of(names.values())
    found = {place: (name, stamps.get(name)) for place, name in names.items()}
    return register_arrivals(connection, tables, area, found, stamp)


def _content(
    source: Source, day: date, registered: RegisteredFile | None, look: Look, area: LandingArea
) -> Content | None:
    """The content to load, from the archive; fetched once more if the archive has lost it."""
    place = (source.source, day)
    if place in look.unreadable:
        raise unreadable(file_name_of(source, day), look.unreadable[place])
    if registered is None:
        return None
    if place in look.fetched:
        return look.fetched[place]
    name = registered.file_name
    content = area.archived(name, place, registered.sha256) or area.fetch(name, place)
    if content is None or content.sha256 != registered.sha256:
        reason = f"the content registered as {registered.sha256} is neither in the archive nor in the landing area"
        raise FileFault(name, "unreadable", f"{reason}; deliver it again")
    return content


_LOOKED_AT_FOR_TYPES: Final = 1000
"""Records of each file, from its first on: bounds the cost, and a column that was retyped shows at once."""


def _retyped(stage: Staging, files: Mapping[date, LandingFile | None]) -> dict[date, FileFault]:
    """Files in which more than half of a column's values are not of its type: the sender has changed the column.

    Rejecting record by record would empty the partition.
    """
    text = stage.table.c
    measures: list[ColumnElement[Any]] = [text.business_date]
    for column in stage.source.columns:
        value = text[column.name]
        measures += [sa.func.count(value), sa.func.max(sa.func.length(value))]
        misfit = sa.case((_unreadable(value, column), value))
        measures += [sa.func.count(misfit), sa.func.min(misfit)]
    query = sa.select(*measures).where(text.source_row <= _last_row_looked_at(stage.source))
    with stage.connection.begin():
        rows = stage.connection.execute(query.group_by(text.business_date)).tuples().all()
    faults = {}
    for day, *values in rows:
        drift, examples = [], []
        measured = zip(stage.source.columns, *(values[n::4] for n in range(4)), strict=True)
        for column, filled, longest, misfits, example in measured:
            if is_retyped(misfits=misfits, filled=filled):
                kind = DriftKind.WIDENED if column.type.kind is TypeKind.STRING else DriftKind.RETYPED
                found = FoundColumn(column.file_name, ColumnType(TypeKind.STRING, length=longest))
                drift.append(ColumnDrift(kind, column, found))
                examples.append(f"{column.file_name}: expected {readable_as(column.type)}, found {example[:60]!r}")
        file = files[day]
        if drift and file is not None:
            faults[day] = columns_fault(file.name, drift, further="; ".join(examples))
    return faults


def _last_row_looked_at(source: Source) -> int:
    return _LOOKED_AT_FOR_TYPES + (source.files.header_row if source.files.format is FileFormat.EXCEL else 0)


def _earliest_events(
    connection: sa.Connection, tables: Tables, source: Source, days: Iterable[date]
) -> dict[date, datetime]:
    """The earliest event time of each partition, where the source has one."""
    if source.event_time is None:
        return {}
    table = tables[f"ldz.{source.table}"]
    event_time = sa.func.min(sa.cast(table.c[source.event_time], TIMESTAMP))
    of_days = [table.c.business_date.between(dates.first, dates.last) for dates in ranges_of(days)]
    query = sa.select(table.c.business_date, event_time).where(sa.or_(sa.false(), *of_days))
    return dict(connection.execute(query.group_by(table.c.business_date)).tuples().all())


def _replace_partitions(
    connection: sa.Connection,
    tables: Tables,
    stage: Staging,
    files: Mapping[date, LandingFile | None],
    *,
    read: Mapping[str, int],
    stamp: Stamp,
) -> dict[date, RowCounts]:
    """Put the staged rows in the place of the partitions of `files`, and the register in line with them."""
    source = stage.source
    table = tables[f"ldz.{source.table}"]
    removed: dict[date, int] = {}
    for dates in ranges_of(files):
        removed |= rows_by_date(connection, table, dates)
        connection.execute(sa.delete(table).where(table.c.business_date.between(dates.first, dates.last)))
    tests = _row_tests(stage)
    rows = _judged(stage, tests, files)
    typed = [_typed(rows.c[column.name], column).label(column.name) for column in source.columns]
    identity = [rows.c.business_date, rows.c.source_file, rows.c.source_row, rows.c[EXTRA]]
    stage.insert_into(connection, table, sa.select(*identity, *typed).where(rows.c.fault.is_(None)), stamp)
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
    records = tables["cdp_metadata.rejected_record"]
    by_landing = sa.not_(judged_later(records))
    of_dates = [records.c.business_date.between(dates.first, dates.last) for dates in ranges_of(files)]
    replace_rows(
        connection,
        records,
        sa.and_(records.c.source == source.source, by_landing, sa.or_(sa.false(), *of_dates)),
        rejected,
    )
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
        tests.append(
            _RowTest(_unreadable(value, column), f"type:{column.name}", (column.name,), readable_as(column.type))
        )
    for rule in row_rules(source, OnFailure.REJECT):
        broken = violates(rule, source, lambda name: _value(text, source, name))
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
    not_so_written = sa.not_(matches(value, sa.literal_column(f"'{exact_format(column.type)}'")))
    not_castable = sa.try_cast(value, sql_type(column.type)).is_(None)
    return sa.and_(value.is_not(None), sa.or_(not_so_written, not_castable))


def _value(text: Any, source: Source, name: str) -> ColumnElement[Any]:
    """The typed value of a column of the staged records; the business date is that of their file."""
    return text[name] if name == BUSINESS_DATE else _typed(text[name], source.columns_by_name[name])


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
        common = _common(source, file.business_date, file.name, stamp)
        for broken in (*stage.record_faults.get(file.name, ()), *_located(source, file, faults[file.name])):
            yield common | _as_row(broken)


def rejected_rows(
    source: Source,
    day: date,
    file_name: str,
    file: LandingFile | None,
    faults: Mapping[int, RecordFault],
    stamp: Stamp,
) -> Iterator[dict[str, Any]]:
    """Rows of `rejected_record` for records of a file by number; line and text as received where `file` is at hand."""
    located = _located(source, file, faults) if file is not None else faults.values()
    yield from (_common(source, day, file_name, stamp) | _as_row(fault) for fault in located)


def _common(source: Source, day: date, file_name: str, stamp: Stamp) -> dict[str, Any]:
    return {
        "source": source.source,
        "business_date": day,
        "file_name": file_name,
        "whole_file": False,
        **stamp.row,
    }


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
    elif source.files.format is FileFormat.JSON_LINES and faults:
        received = received_lines(file.path, file.name, faults)
        yield from (replace(faults[line], raw_text=text) for line, text in received.items())
    else:
        yield from (faults[number] for number in sorted(faults))


def _keep_refused(
    connection: sa.Connection, tables: Tables, source: Source, faults: Mapping[date, FileFault], stamp: Stamp
) -> None:
    """Note the refused files beside the records of what their partitions still hold."""
    records = tables["cdp_metadata.rejected_record"]
    for day, fault in faults.items():
        record = {
            "source": source.source,
            "business_date": day,
            "file_name": fault.file_name,
            "line": fault.line,
            "rule": fault.rule,
            "column_name": fault.column or None,
            "reason": fault.reason[:2000],
            "raw_text": None,
            "whole_file": True,
            **stamp.row,
        }
        of_day = sa.and_(records.c.source == source.source, records.c.business_date == day)
        replace_rows(connection, records, sa.and_(of_day, records.c.whole_file == sa.true()), [record])
