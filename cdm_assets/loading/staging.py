"""Landing files as text in a temporary DuckDB table, one row a record, before anything is judged.

Whatever the warehouse is, files are read, typed and judged by DuckDB: in the warehouse's own transaction where it is
DuckDB, in a database of their own beside it otherwise. So every engine is given the same rows.

Sound files are read by DuckDB's own readers, many at once. A CSV file that breaks the format somewhere is read again
record by record, so that every sound record loads and every other one is kept with its line. DuckDB is lenient in a few
places (it drops empty fields beyond the last column); a file of which it may have made something else is read so too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import groupby, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from cdm_assets.catalog.model import FileFormat, Source
from cdm_assets.loading.stamp import Stamp, insert_select
from cdm_assets.validation.exact_text import is_retyped
from cdm_assets.warehouse.bulk import ROWS_AT_A_TIME, bulk_insert
from cdm_assets.warehouse.column_drift import FoundColumn, column_drift, summary
from cdm_assets.warehouse.engine import READS_FILES_WITH, DuckDBOptions, duckdb_engine
from cdm_assets.warehouse.file_faults import FileFault, RecordFault
from cdm_assets.warehouse.json_lines import JSON, JsonRecord, json_of, json_records, text_of
from cdm_assets.warehouse.landing_files import (
    LandingFile,
    Record,
    columns_fault,
    may_hold_no_record,
    readable,
    records_of,
)
from cdm_assets.warehouse.tables import EXTRA

_CSV_OPTIONS: Final = "header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', strict_mode = true"
_FILES_A_STATEMENT: Final = 500
"""Bounds open files and the cost of finding the one that is broken."""
_RECORDS_A_STATEMENT: Final = 50_000
"""Of a file that is read record by record; bounds memory."""
_PATH: Final = '"landing path"'
_NUMBER: Final = '"record number"'
"""Names with a space: no column of a catalog can be called so."""

FrameFaults = Callable[[Source, pd.DataFrame], Sequence[RecordFault]]
"""Judges a spreadsheet's records; `RecordFault.line` is the row of the sheet."""


class Staging:
    """The staged records of one source's files.

    `table` has business_date, source_file, source_row (the record's number in its file, the row of a sheet, the line of
    a JSON object), every column as text, empty text as NULL, and the columns that are not declared as JSON.
    `record_faults` holds the records that are no CSV or JSON, not UTF-8, have too many or few fields, or are refused
    by `frame_faults`; `file_faults` the files that turned out unreadable.
    """

    def __init__(self, connection: sa.Connection, source: Source, frame_faults: FrameFaults | None = None) -> None:
        self.connection, self.source, self._frame_faults = connection, source, frame_faults
        self.table = sa.Table(
            f"stage_{source.source}",
            sa.MetaData(),
            sa.Column("business_date", sa.Date()),
            sa.Column("source_file", sa.String()),
            sa.Column("source_row", sa.BigInteger()),
            *(sa.Column(column.name, sa.String()) for column in source.columns),
            sa.Column(EXTRA, sa.String()),
            prefixes=["TEMPORARY"],
        )
        self.record_faults: dict[str, list[RecordFault]] = {}
        self.file_faults: dict[date, FileFault] = {}
        self._drift_of_keys: dict[str, str] = {}

    def read(self, files: Iterable[LandingFile]) -> None:
        """Stage `files`. Each statement is its own transaction: a reader that fails would abort a longer one."""
        ordered = sorted(files, key=lambda file: (file.header, file.name))
        if self.source.files.format is FileFormat.EXCEL:
            for file in ordered:
                self._read_sheet(file)
            self._check_row_counts(ordered)
            return
        if self.source.files.format is FileFormat.JSON_LINES:
            for file in ordered:
                self._read_json_lines(file)
            self._check_row_counts(ordered)
            return
        with_care = [file for file in ordered if file.csv_bytes is not None and file.csv_bytes.misread_in_bulk]
        in_bulk = [file for file in ordered if file not in with_care]
        for _, same_header in groupby(in_bulk, key=lambda file: file.header):
            while batch := list(islice(same_header, _FILES_A_STATEMENT)):
                with_care += self._read_batch(batch)
        misread = self._misread([file for file in in_bulk if file not in with_care])
        self._remove(misread)
        for file in (*with_care, *misread):
            self._read_with_care(file)
        self._check_row_counts(ordered)

    def insert_into(self, connection: sa.Connection, table: sa.Table, rows: sa.Select[Any], stamp: Stamp) -> None:
        """Insert staged `rows` into a table of the warehouse, stamped, in the transaction of `connection`."""
        if connection is self.connection:
            connection.execute(insert_select(table, rows, stamp))
            return
        selected = rows.subquery("rows_to_load")
        cursor: Any = self.connection.execute(sa.select(*selected.c, *stamp.values)).cursor  # noqa: PD011 - no frame
        for batch in cursor.to_arrow_reader(ROWS_AT_A_TIME):
            bulk_insert(connection, table, pa.Table.from_batches([batch]))

    def rows_by_file(self) -> dict[str, int]:
        """Records of each file, those at fault included."""
        counts = self._staged_rows()
        for name, faults in self.record_faults.items():
            counts[name] = counts.get(name, 0) + len(faults)
        return counts

    def drift_of(self, file: LandingFile) -> str | None:
        """How the columns of a file that was read differ from the declared ones; None where they do not."""
        return self._drift_of_keys.get(file.name, file.drift) or None

    def _staged_rows(self) -> dict[str, int]:
        query = sa.select(self.table.c.source_file, sa.func.count()).group_by(self.table.c.source_file)
        with self.connection.begin():
            return {name: int(count) for name, count in self.connection.execute(query)}

    def _read_batch(self, files: Sequence[LandingFile]) -> list[LandingFile]:
        """Stage files of one header; returns the CSV files that break the format. Halves the batch to find them."""
        try:
            self._read_in_bulk(files)
        except sa.exc.DBAPIError as fault:
            if len(files) > 1:
                middle = len(files) // 2
                return [*self._read_batch(files[:middle]), *self._read_batch(files[middle:])]
            if self.source.files.format is FileFormat.CSV:
                return list(files)
            reason = f"not readable as {self.source.files.format}: {str(fault.orig).splitlines()[0]}"
            self.file_faults[files[0].business_date] = FileFault(files[0].name, "format", reason)
        return []

    def _read_in_bulk(self, files: Sequence[LandingFile]) -> None:
        """Stage files of one header. DuckDB keeps the order of records, so they are numbered as they come."""
        identity = pa.table(
            {
                "landing path": [str(file.path) for file in files],
                "source_file": [file.name for file in files],
                "business_date": [file.business_date for file in files],
            }
        )
        header = files[0].header
        values = ", ".join(
            f"{_text_of(column.file_name) if column.file_name in header else 'null'} as {_quoted(column.name)}"
            for column in self.source.columns
        )
        undeclared = files[0].undeclared(self.source)
        pairs = ", ".join(f"{_literal(name)}, {_text_of(name)}" for name in undeclared)
        values += f", {f'json_object({pairs})' if undeclared else 'null'} as {EXTRA}"
        names = ", ".join(_quoted(name) for name in (*(column.name for column in self.source.columns), EXTRA))
        reader, parameters = self._reader(files)
        # Only quoted names of the checked catalog and the header are put into the text; paths are parameters.
        statement = f"""
            insert into {_quoted(self.table.name)}
            with records as (
                select row_number() over () as {_NUMBER}, {_PATH}, {values} from {reader}
            ), firsts as (
                select {_PATH}, min({_NUMBER}) - 1 as "records before" from records group by {_PATH}
            )
            select business_date, source_file, {_NUMBER} - "records before", {names}
            from records join firsts using ({_PATH}) join files_to_stage using ({_PATH})
            """  # noqa: S608
        with self.connection.begin(), self._registered("files_to_stage", identity):
            self.connection.exec_driver_sql(statement, parameters)

    def _reader(self, files: Sequence[LandingFile]) -> tuple[str, tuple[Any, ...]]:
        patterns = [re.sub(r"[\[*?]", r"[\g<0>]", str(file.path)) for file in files]
        if self.source.files.format is FileFormat.PARQUET:
            return "read_parquet($1, filename = 'landing path')", (patterns,)
        columns = dict.fromkeys(files[0].header, "VARCHAR")
        return f"read_csv($1, columns = $2, filename = 'landing path', {_CSV_OPTIONS})", (patterns, columns)

    def _misread(self, files: Sequence[LandingFile]) -> list[LandingFile]:
        """CSV files in which DuckDB saw fewer fields than there are: more commas than its records account for."""
        quoted = [file.name for file in files if file.csv_bytes is not None and file.csv_bytes.has_quotes]
        counts, inside = self._staged_rows(), self._commas_in_values(quoted) if quoted else {}
        misread = []
        for file in files:
            if file.csv_bytes is not None and file.business_date not in self.file_faults:
                between = (counts.get(file.name, 0) + 1) * (len(file.header) - 1)
                in_header = sum(name.count(",") for name in file.header)
                if file.csv_bytes.commas != between + in_header + inside.get(file.name, 0):
                    misread.append(file)
        return misread

    def _commas_in_values(self, file_names: Sequence[str]) -> dict[str, int]:
        texts = [self.table.c[column.name] for column in self.source.columns]
        commas = [sa.func.length(text) - sa.func.length(sa.func.replace(text, ",", "")) for text in texts]
        total = sum((sa.func.coalesce(sa.func.sum(count), 0) for count in commas), start=sa.literal(0))
        query = sa.select(self.table.c.source_file, total).where(self.table.c.source_file.in_(file_names))
        with self.connection.begin():
            rows = self.connection.execute(query.group_by(self.table.c.source_file))
            return {name: int(count) for name, count in rows}

    def _remove(self, files: Sequence[LandingFile]) -> None:
        if files:
            names = [file.name for file in files]
            with self.connection.begin():
                self.connection.execute(sa.delete(self.table).where(self.table.c.source_file.in_(names)))

    def _read_with_care(self, file: LandingFile) -> None:
        """Stage the sound records of a CSV file that breaks the format somewhere; remember the others."""
        faulty = self.record_faults.setdefault(file.name, [])
        try:
            with self.connection.begin():
                records = records_of(file)
                while batch := list(islice(records, _RECORDS_A_STATEMENT)):
                    faulty += [record.fault for record in batch if record.fault is not None]
                    self._stage_records(file, [record for record in batch if record.fault is None])
        except FileFault as fault:
            self.file_faults[file.business_date] = fault
        except OSError as fault:
            self.file_faults[file.business_date] = FileFault(file.name, "unreadable", str(fault))

    def _stage_records(self, file: LandingFile, records: Sequence[Record]) -> None:
        columns: dict[str, pa.Array] = {
            "business_date": pa.array([file.business_date] * len(records), pa.date32()),
            "source_file": pa.array([file.name] * len(records), pa.string()),
            "source_row": pa.array([record.number for record in records], pa.int64()),
        }
        positions = {name: position for position, name in enumerate(file.header)}
        for column in self.source.columns:
            at = positions.get(column.file_name)
            values = [None if at is None else record.fields[at] for record in records]
            columns[column.name] = pa.array(values, pa.string())
        undeclared = [(name, positions[name]) for name in file.undeclared(self.source)]
        extra = [_json({name: record.fields[at] for name, at in undeclared}) for record in records]
        columns[EXTRA] = pa.array(extra, pa.string())
        with self._registered("careful_records", pa.table(columns)):
            self.connection.exec_driver_sql(f"insert into {_quoted(self.table.name)} select * from careful_records")  # noqa: S608

    def _read_sheet(self, file: LandingFile) -> None:
        """Stage the records of a spreadsheet that its dataframe type accepts; remember the others."""
        sheet = file.sheet
        assert sheet is not None  # noqa: S101 - of every file of this format
        faults = list(self._frame_faults(self.source, sheet)) if self._frame_faults else []
        retyped = _retyped_column(self.source, sheet, faults)
        if retyped is not None:
            self.file_faults[file.business_date] = FileFault(file.name, "columns", retyped[1], column=retyped[0])
            return
        self.record_faults[file.name] = faults
        sound = sheet.drop(index=[fault.line for fault in faults])
        undeclared = file.undeclared(self.source)
        columns: dict[str, pa.Array] = {
            "business_date": pa.array([file.business_date] * len(sound), pa.date32()),
            "source_file": pa.array([file.name] * len(sound), pa.string()),
            "source_row": pa.array(list(sound.index), pa.int64()),
        }
        for column in self.source.columns:
            found = sound[column.file_name] if column.file_name in sound else [None] * len(sound)
            columns[column.name] = pa.array(list(found), pa.string())
        extra = [_json({name: sound[name][row] for name in undeclared}) for row in sound.index]
        columns[EXTRA] = pa.array(extra, pa.string())
        with self.connection.begin(), self._registered("sheet_records", pa.table(columns)):
            self.connection.exec_driver_sql(f"insert into {_quoted(self.table.name)} select * from sheet_records")  # noqa: S608

    def _read_json_lines(self, file: LandingFile) -> None:
        """Stage the objects of a file of JSON lines; remember the lines that hold none."""
        faulty = self.record_faults.setdefault(file.name, [])
        keys: dict[str, None] = {}
        sound_records = 0
        try:
            with self.connection.begin():
                records = json_records(file.path, file.name)
                while batch := list(islice(records, _RECORDS_A_STATEMENT)):
                    faulty += [record.fault for record in batch if record.fault is not None]
                    sound = [record for record in batch if record.fault is None]
                    sound_records += len(sound)
                    for record in sound:
                        keys.update(dict.fromkeys(record.content))
                    self._stage_objects(file, sound)
                _refuse_other_json(file, faulty, sound_records)
                if sound_records:
                    self._drift_of_keys[file.name] = _drift_of_keys(self.source, keys, file.name)
        except FileFault as fault:
            self.file_faults[file.business_date] = fault
        except OSError as fault:
            self.file_faults[file.business_date] = FileFault(file.name, "unreadable", str(fault))

    def _stage_objects(self, file: LandingFile, records: Sequence[JsonRecord]) -> None:
        declared = {column.file_name for column in self.source.columns}
        columns: dict[str, pa.Array] = {
            "business_date": pa.array([file.business_date] * len(records), pa.date32()),
            "source_file": pa.array([file.name] * len(records), pa.string()),
            "source_row": pa.array([record.line for record in records], pa.int64()),
        }
        for column in self.source.columns:
            values = [text_of(record.content.get(column.file_name)) for record in records]
            columns[column.name] = pa.array(values, pa.string())
        undeclared = ({k: v for k, v in record.content.items() if k not in declared} for record in records)
        columns[EXTRA] = pa.array([json_of(values) if values else None for values in undeclared], pa.string())
        with self._registered("json_objects", pa.table(columns)):
            self.connection.exec_driver_sql(f"insert into {_quoted(self.table.name)} select * from json_objects")  # noqa: S608

    def _check_row_counts(self, files: Sequence[LandingFile]) -> None:
        """Refuse files that hold another number of records than promised, or none where some are expected."""
        counts = self.rows_by_file()
        for file in files:
            found = counts.get(file.name, 0)
            if file.business_date in self.file_faults:
                continue
            if file.manifest_rows is not None and found != file.manifest_rows:
                reason = f"expected {file.manifest_rows} records as the manifest says, found {found}"
                self.file_faults[file.business_date] = FileFault(file.name, "manifest", reason)
            elif found == 0 and not may_hold_no_record(self.source):
                found_instead = "none" if self.source.files.format is FileFormat.JSON_LINES else "only a header"
                reason = f"expected records, found {found_instead}; set `may_be_empty: true` if that is legal"
                self.file_faults[file.business_date] = FileFault(file.name, "empty", reason, line=1)

    @contextmanager
    def _registered(self, name: str, table: pa.Table) -> Iterator[None]:
        """Show DuckDB an Arrow table under `name`."""
        dbapi: Any = self.connection.connection.dbapi_connection
        dbapi.register(name, table)
        try:
            yield
        finally:
            dbapi.unregister(name)


@contextmanager
def staging(connection: sa.Connection, source: Source, frame_faults: FrameFaults | None = None) -> Iterator[Staging]:
    """An empty staging table for a source's files that go to the warehouse of `connection`; it is gone afterwards."""
    with _duckdb_for(connection) as reader:
        stage = Staging(reader, source, frame_faults)
        with reader.begin():
            stage.table.create(reader, checkfirst=False)
        try:
            yield stage
        finally:
            reader.rollback()
            with reader.begin():
                stage.table.drop(reader, checkfirst=False)


@contextmanager
def _duckdb_for(connection: sa.Connection) -> Iterator[sa.Connection]:
    """`connection` itself where it is DuckDB's, otherwise one to a database in memory for this once."""
    if connection.dialect.name == "duckdb":
        yield connection
        return
    options = connection.get_execution_options().get(READS_FILES_WITH, DuckDBOptions())
    with TemporaryDirectory(prefix="cdm_staging_") as folder:
        engine = duckdb_engine(None, options, spill=Path(folder))
        try:
            with engine.connect() as reader:
                yield reader
        finally:
            engine.dispose()


def _refuse_other_json(file: LandingFile, faulty: Sequence[RecordFault], sound_records: int) -> None:
    """Raise FileFault where most lines hold no object: rejecting them one by one would empty the partition."""
    if not faulty:
        return
    first = faulty[0]
    is_list = first.line == 1 and first.raw_text.lstrip().startswith("[")
    if is_list or not sound_records:
        held = "the file is one list" if is_list else "no line holds an object"
    elif is_retyped(misfits=len(faulty), filled=len(faulty) + sound_records):
        held = f"{len(faulty)} of {len(faulty) + sound_records} lines hold no object"
    else:
        return
    reason = f"{held}; expected JSON lines, one object a line. Line {first.line}: {first.reason}"
    raise FileFault(file.name, JSON, reason, line=first.line)


def _drift_of_keys(source: Source, keys: Iterable[str], name: str) -> str:
    """How the keys of a file differ from the declared columns, in words; their order means nothing.

    Raises FileFault where no record has a needed one.
    """
    found = list(keys)
    declared = [column.file_name for column in source.columns if column.file_name in found]
    in_order = [*declared, *(key for key in found if key not in declared)]
    drift = column_drift(source, [FoundColumn(readable(key)) for key in in_order])
    if any(each.is_fatal for each in drift):
        raise columns_fault(name, drift)
    return summary(drift)


def _retyped_column(source: Source, sheet: pd.DataFrame, faults: Sequence[RecordFault]) -> tuple[str, str] | None:
    """The first column of a sheet of which more than half of the values are of another type, and what is wrong."""
    for column in source.columns:
        misfits = [fault for fault in faults if fault.rule == f"type:{column.name}"]
        filled = int(sheet[column.file_name].notna().sum()) if misfits else 0
        if is_retyped(misfits=len(misfits), filled=filled):
            return column.name, f"{len(misfits)} of {filled} values of {column.file_name}: {misfits[0].reason}"
    return None


def _json(values: dict[str, str | None]) -> str | None:
    """What DuckDB's json_object gives for the same values."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")) if values else None


def _text_of(name: str) -> str:
    return f"nullif(cast({_quoted(name)} as varchar), '')"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
