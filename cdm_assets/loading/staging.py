"""Landing files as text in a temporary DuckDB table, one row a record, before anything is judged.

Sound files are read by DuckDB's own readers, many at once. A CSV file that breaks the format somewhere is read again
record by record, so that every sound record loads and every other one is kept with its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import groupby
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from cdm_assets.catalog.model import FileFormat, Source
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.landing_files import FileFault, LandingFile, RecordFault, may_hold_no_record, records_of

_STAGE: Final = "stage_landing"
_CSV_OPTIONS: Final = "header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', strict_mode = true"
_DEEPEST_FILE_BATCH: Final = 500
"""Files a statement reads; bounds open files and the cost of finding the one that is broken."""


class Staging:
    """The staged records of one source's files.

    `table` has business_date, source_file, source_row (the record's number in its file) and every column as text,
    empty text as NULL. `record_faults` holds the records that are not CSV, not UTF-8 or have too many or few fields;
    `file_faults` the files that turned out unreadable.
    """

    def __init__(self, connection: sa.Connection, source: Source) -> None:
        self.connection, self.source = connection, source
        self.table = sa.Table(
            _STAGE,
            sa.MetaData(),
            sa.Column("business_date", sa.Date()),
            sa.Column("source_file", sa.String()),
            sa.Column("source_row", sa.BigInteger()),
            *(sa.Column(column.name, sa.String()) for column in source.columns),
            prefixes=["TEMPORARY"],
        )
        self.record_faults: dict[str, list[RecordFault]] = {}
        self.file_faults: dict[date, FileFault] = {}

    def read(self, files: Iterable[LandingFile]) -> None:
        """Stage `files`. Each statement is its own transaction: a reader that fails would abort a longer one."""
        ordered = sorted(files, key=lambda file: (file.header, file.name))
        for _, same_header in groupby(ordered, key=lambda file: file.header):
            group = list(same_header)
            for start in range(0, len(group), _DEEPEST_FILE_BATCH):
                self._read_batch(group[start : start + _DEEPEST_FILE_BATCH])
        self._check_row_counts(ordered)

    def rows_by_file(self) -> dict[str, int]:
        """Records of each file, those at fault included."""
        query = sa.select(self.table.c.source_file, sa.func.count()).group_by(self.table.c.source_file)
        with self.connection.begin():
            counts = {name: int(count) for name, count in self.connection.execute(query)}
        for name, faults in self.record_faults.items():
            counts[name] = counts.get(name, 0) + len(faults)
        return counts

    def _read_batch(self, files: Sequence[LandingFile]) -> None:
        try:
            self._read_in_bulk(files)
        except sa.exc.DBAPIError as fault:
            if len(files) > 1:
                for file in files:
                    self._read_batch([file])
            elif self.source.files.format is FileFormat.CSV:
                self._read_with_care(files[0])
            else:
                reason = f"not readable as {self.source.files.format}: {str(fault.orig).splitlines()[0]}"
                self.file_faults[files[0].business_date] = FileFault(files[0].name, "format", reason)

    def _read_in_bulk(self, files: Sequence[LandingFile]) -> None:
        """Stage files of one header. DuckDB keeps the order of records, so they are numbered as they come."""
        identity = pa.table(
            {
                "path": [str(file.path) for file in files],
                "source_file": [file.name for file in files],
                "business_date": [file.business_date for file in files],
            }
        )
        header_names = ", ".join(
            f"nullif(cast({_quoted(c.file_name)} as varchar), '') as {_quoted(c.name)}" for c in self.source.columns
        )
        names = ", ".join(_quoted(column.name) for column in self.source.columns)
        reader, parameters = self._reader(files)
        # Only quoted names of the checked catalog are put into the text; paths and header are parameters.
        statement = f"""
            insert into {_STAGE}
            with records as (
                select row_number() over () as n, filename as path, {header_names} from {reader}
            ), firsts as (
                select path, min(n) - 1 as before from records group by path
            )
            select business_date, source_file, n - before, {names}
            from records join firsts using (path) join files_to_stage using (path)
            """  # noqa: S608
        with self.connection.begin(), self._registered("files_to_stage", identity):
            self.connection.exec_driver_sql(statement, parameters)

    def _reader(self, files: Sequence[LandingFile]) -> tuple[str, tuple[Any, ...]]:
        paths = [str(file.path) for file in files]
        if self.source.files.format is FileFormat.PARQUET:
            return "read_parquet($1, filename = true)", (paths,)
        columns = dict.fromkeys(files[0].header, "VARCHAR")
        return f"read_csv($1, columns = $2, filename = true, {_CSV_OPTIONS})", (paths, columns)

    def _read_with_care(self, file: LandingFile) -> None:
        """Stage the sound records of a CSV file that breaks the format somewhere; remember the others."""
        sound: dict[str, list[Any]] = {name: [] for name in self.table.c.keys()}  # noqa: SIM118
        positions = {c.name: file.header.index(c.file_name) for c in self.source.columns}
        faulty = self.record_faults.setdefault(file.name, [])
        for record in records_of(file):
            if record.fault is not None:
                faulty.append(record.fault)
                continue
            sound["business_date"].append(file.business_date)
            sound["source_file"].append(file.name)
            sound["source_row"].append(record.number)
            for name, position in positions.items():
                sound[name].append(record.fields[position])
        types = {"business_date": pa.date32(), "source_row": pa.int64()}
        schema = pa.schema([(name, types.get(name, pa.string())) for name in sound])
        with self.connection.begin(), self._registered("careful_records", pa.table(sound, schema=schema)):
            self.connection.exec_driver_sql(f"insert into {_STAGE} select * from careful_records")  # noqa: S608

    def _check_row_counts(self, files: Sequence[LandingFile]) -> None:
        """Refuse files that hold another number of records than promised, or none where some are expected."""
        counts = self.rows_by_file()
        for file in files:
            found = counts.get(file.name, 0)
            if file.manifest_rows is not None and found != file.manifest_rows:
                reason = f"the manifest promises {file.manifest_rows} records, the file has {found}"
                self.file_faults[file.business_date] = FileFault(file.name, "manifest", reason)
            elif found == 0 and not may_hold_no_record(self.source):
                reason = "the file has a header but no record; set `may_be_empty: true` if that is legal"
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
def staging(warehouse: Warehouse, source: Source) -> Iterator[Staging]:
    """An empty staging table for a source's files; it is gone afterwards."""
    with warehouse.connection() as connection:
        stage = Staging(connection, source)
        with connection.begin():
            stage.table.create(connection, checkfirst=False)
        try:
            yield stage
        finally:
            connection.rollback()
            with connection.begin():
                stage.table.drop(connection, checkfirst=False)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
