"""What others write into the tables of `cdm_ingest_db` becomes files of the landing area, one a business date.

From there on the rows take the course of every other source: a file that is new, late, replaced or emptied starts the
repair of exactly what it changes, and a faulty record is rejected with its line. Nothing here decides what is loaded.

A date is written out when its rows are not those of the last time, told by a fingerprint of all of them, never by a
time or a number that only grows: so rows that were changed, deleted or written for an old date are seen as well. Equal
rows give equal bytes, whatever the order in which they were written. The file comes first and the record of it second:
who is killed between the two writes the same bytes again, which the landing register knows to be the same content.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Column, Source
from cdm_assets.catalog.types import Layer, TypeKind
from cdm_assets.loading.stamp import Stamp, replace_rows
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import canonical_text, digest_number, hashed_text
from cdm_assets.warehouse.landing_area import LandingArea, file_name_of
from cdm_assets.warehouse.tables import BUSINESS_DATE, Tables

_NO_ROWS: Final = "none"
_BREAKS_A_LINE: Final = str.maketrans({"\n": "\\n", "\r": "\\r", "\x00": "\\x00"})
"""A record of a landing file is one line; such a text is shown as it would be typed."""


@dataclass(frozen=True)
class Exported:
    """A business date of an ingest table that was written out as a file."""

    source: str
    business_date: date
    file_name: str
    rows: int
    fingerprint: str


@dataclass(frozen=True)
class Export:
    """What one look at the ingest tables came to."""

    written: Sequence[Exported]
    outside: Mapping[str, Sequence[date]]
    """Dates with rows that are not among the business dates, by source; they wait until they are."""


def ingest_table(tables: Tables, source: Source) -> sa.Table:
    """The table of `cdm_ingest_db` into which a source's records are written."""
    return tables[f"{Layer.INGEST}.{source.files.ingest_table}"]


def ingested_sources(sources: Iterable[Source]) -> list[Source]:
    """The sources whose records are written by SQL."""
    return [source for source in sources if source.files.ingest_table is not None]


def export_changed(
    connection: sa.Connection, tables: Tables, area: LandingArea, dates: DateRange, stamp: Stamp
) -> Export:
    """Write out each date within `dates` whose rows changed since, or whose file is no longer there.

    A date that lost all its rows becomes a file without records. The transaction is the caller's. Raises
    LandingAreaMissing, OSError.
    """
    written: list[Exported] = []
    outside: dict[str, Sequence[date]] = {}
    for source in ingested_sources(tables.catalog.sources.values()):
        rows_found = connection.execute(fingerprints(tables, source)).tuples()
        found = {day: f"{count} {digest:f}" for day, count, digest in rows_found}
        known = _known_fingerprints(connection, tables, source)
        beyond = sorted(day for day in found if day not in dates)
        if beyond:
            outside[source.source] = beyond
        wanted = {day: found.get(day, _NO_ROWS) for day in {*found, *known} if day in dates}
        there = area.stamps_of(file_name_of(source, day) for day in wanted) if wanted else {}
        for day, fingerprint in sorted(wanted.items()):
            name = file_name_of(source, day)
            if known.get(day) == fingerprint and name in there:
                continue
            rows = _rows(connection, tables, source, day)
            content = as_csv(source, rows)
            if name not in there or area.read(name) != content:
                area.put(name, content)
            written.append(Exported(source.source, day, name, len(rows), fingerprint))
    _remember(connection, tables, written, stamp)
    return Export(written, outside)


def fingerprints(tables: Tables, source: Source) -> sa.Select[Any]:
    """The number of rows of each date and the sum of a number drawn from each: the same for the same rows."""
    table = ingest_table(tables, source)
    texts = [_exact_text(table.c[column.file_name], column) for column in source.columns]
    digests = sa.func.sum(digest_number(hashed_text(texts)))
    day = table.c[BUSINESS_DATE]
    return sa.select(day, sa.func.count(), digests).group_by(day)


def _exact_text(value: ColumnElement[Any], column: Column) -> ColumnElement[Any]:
    """The canonical text, but of a text itself: another space at its end is another content."""
    kind = column.type.kind
    return value if kind is TypeKind.STRING else canonical_text(value, kind, column.type.scale or 0)


def _known_fingerprints(connection: sa.Connection, tables: Tables, source: Source) -> dict[date, str]:
    exports = tables["cdp_metadata.ingest_export"]
    query = sa.select(exports.c.business_date, exports.c.fingerprint).where(exports.c.source == source.source)
    return dict(connection.execute(query).tuples().all())


def _rows(connection: sa.Connection, tables: Tables, source: Source, day: date) -> list[tuple[str, ...]]:
    """The rows of a date as texts. Of rows with one key the one with the latest timestamps comes first: it stays."""
    table = ingest_table(tables, source)
    query = sa.select(*(table.c[column.file_name] for column in source.columns)).where(table.c[BUSINESS_DATE] == day)
    texts = [tuple(_text(value) for value in row) for row in connection.execute(query)]
    timed = [n for n, column in enumerate(source.columns) if column.type.kind is TypeKind.TIMESTAMP]
    keys = [n for n, column in enumerate(source.columns) if column.key]
    texts.sort(reverse=True)
    texts.sort(key=lambda row: [row[n] for n in timed], reverse=True)
    return sorted(texts, key=lambda row: [row[n] for n in keys])


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat(" ")
        case Decimal():
            return format(value, "f")
        case _:
            return str(value).translate(_BREAKS_A_LINE)


def as_csv(source: Source, rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows, their values in the order of the source's columns, as its file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.file_name for column in source.columns])
    writer.writerows([_text(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _remember(connection: sa.Connection, tables: Tables, written: Iterable[Exported], stamp: Stamp) -> None:
    exports = tables["cdp_metadata.ingest_export"]
    for each in written:
        row = {
            "source": each.source,
            "business_date": each.business_date,
            "rows_written": each.rows,
            "fingerprint": each.fingerprint,
            **stamp.row,
        }
        of_date = sa.and_(exports.c.source == each.source, exports.c.business_date == each.business_date)
        replace_rows(connection, exports, of_date, [row])
