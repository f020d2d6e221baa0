"""A landing area of made-up files: a few records of every source for one date, from what the catalog itself declares.

So a release or a configuration can be tried on any site without its data. Values fit types, rules and lengths where any
do; keys of the same hub are the same in all files, so that every reference finds what it refers to.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import rstr
from openpyxl import Workbook

from cdm_assets.catalog.model import Catalog, Column, FileFormat, Source
from cdm_assets.catalog.rules import Domain, Format, KnownModel, Length, NonNegative, Range, Rule, ScoreRange
from cdm_assets.catalog.types import TypeKind
from cdm_assets.warehouse.landing_area import MANIFEST_NAME, file_name_of

RECORDS: Final = 3
"""Records of each file; fewer where the key has not so many values."""
_TRIES: Final = 3_000
_NUMBERED: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

Record = Mapping[str, str]
"""A value, as text, for each declared column by its name."""


@dataclass(frozen=True)
class _Place:
    """A column of a source, with the rules that look at it."""

    source: Source
    column: Column

    @property
    def rules(self) -> list[Rule]:
        return [rule for rule in self.source.rules if self.column.name in rule.columns_read]


def write_sample_files(catalog: Catalog, root: Path, day: date) -> dict[str, int]:
    """Write a file of every source for `day` below `root`; returns the records of each."""
    written: dict[str, int] = {}
    promised: dict[Path, list[dict[str, Any]]] = {}
    for source, records in sample_records(catalog, day).items():
        declared = catalog.sources[source]
        path = root / file_name_of(declared, day)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = _WRITERS[declared.files.format](declared, records)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        entry = {"file": path.name, "rows": len(records), "sha256": sha256}
        promised.setdefault(path.parent / MANIFEST_NAME, []).append(entry)
        written[source] = len(records)
    for manifest, entries in promised.items():
        manifest.write_text(json.dumps({"files": entries}), encoding="utf-8")
    return written


def sample_records(catalog: Catalog, day: date) -> dict[str, list[Record]]:
    """The records of every source."""
    keys = {hub: _hub_values(catalog, hub, day) for hub in catalog.vault.hubs}
    return {name: _records(catalog, source, keys, day) for name, source in catalog.sources.items()}


def _records(catalog: Catalog, source: Source, keys: Mapping[str, Sequence[Sequence[str]]], day: date) -> list[Record]:
    of_hubs = {
        name: [values[position] for values in keys[hub]]
        for hub, columns in source.feeds.hubs.items()
        for position, name in enumerate(columns)
    }
    records: list[Record] = []
    known: set[tuple[str, ...]] = set()
    for number in range(RECORDS):
        record = {
            column.name: of_hubs[column.name][number]
            if column.name in of_hubs
            else _value(catalog, [_Place(source, column)], number, day)
            for column in source.columns
        }
        key = tuple(record[name] for name in source.key)
        if key not in known:
            known.add(key)
            records.append(record)
    return records


def _hub_values(catalog: Catalog, hub: str, day: date) -> list[list[str]]:
    """The values of the hub's key, one list a record, that fit every source that sends it."""
    values = []
    for number in range(RECORDS):
        parts = []
        for position in range(len(catalog.vault.hubs[hub].key)):
            places = [
                _Place(source, source.columns_by_name[source.feeds.hubs[hub][position]])
                for source in catalog.sources_of_hub(hub)
            ]
            parts.append(_value(catalog, places, number, day))
        values.append(parts)
    return values


def _value(catalog: Catalog, places: Sequence[_Place], number: int, day: date) -> str:
    """The value for record `number` of a column, or of one that several sources share."""
    for place in places:
        for rule in place.rules:
            named = _of_model(catalog, rule, place.column.name)
            if named is not None:
                return named
    rules = [rule for place in places for rule in place.rules]
    domains = [rule.values for rule in rules if isinstance(rule, Domain)]
    if domains:
        common = [value for value in domains[0] if all(value in others for others in domains)] or list(domains[0])
        return common[number % len(common)]
    return _of_type([place.column for place in places], rules, number, day)


def _of_type(columns: Sequence[Column], rules: Sequence[Rule], number: int, day: date) -> str:
    match columns[0].type.kind:
        case TypeKind.STRING:
            return _text(columns, rules, number)
        case TypeKind.INTEGER | TypeKind.DECIMAL:
            return _number(columns, rules, number)
        case TypeKind.DATE:
            return day.isoformat()
        case TypeKind.TIMESTAMP:
            return f"{day.isoformat()} 12:00:{number:02}"
        case TypeKind.BOOLEAN:
            return "true" if number % 2 == 0 else "false"


def _of_model(catalog: Catalog, rule: Rule, column: str) -> str | None:
    """The value that a rule about models asks for: the primary model, its last version, the middle of its scores."""
    if not isinstance(rule, (KnownModel, ScoreRange)) or not catalog.models:
        return None
    name = catalog.primary_model or next(iter(catalog.models))
    model = catalog.models[name]
    if column == rule.model:
        return name
    if isinstance(rule, KnownModel) and column == rule.version:
        return model.versions[-1].version
    if isinstance(rule, ScoreRange) and column == rule.score:
        return str((model.min_score + model.max_score) / 2)
    return None


def _text(columns: Iterable[Column], rules: Sequence[Rule], number: int) -> str:
    lengths = [rule for rule in rules if isinstance(rule, Length)]
    longest = min([*(c.type.length or 1 for c in columns), *(rule.max for rule in lengths if rule.max is not None)])
    shortest = max((rule.min for rule in lengths), default=0)
    patterns = [rule.pattern for rule in rules if isinstance(rule, Format)]
    if patterns:
        return _matching(patterns, shortest, longest, number)
    plain = f"sample{number}" if longest > len("sample") else _NUMBERED[number]
    return plain.ljust(shortest, "x")[:longest]


def _matching(patterns: Sequence[str], shortest: int, longest: int, number: int) -> str:
    """A text that matches all of `patterns` if one is soon found; else one that matches the first."""
    generator = rstr.Rstr(random.Random(number))  # noqa: S311 - made-up values, the same every time
    text = ""
    for _ in range(_TRIES):
        text = generator.xeger(patterns[0])
        for candidate in (re.sub(r"[^A-Za-z0-9@._+-]", "x", text), text):
            is_plain = candidate.isascii() and candidate.isprintable() and candidate == candidate.strip()
            has_length = shortest <= len(candidate) <= longest
            if is_plain and has_length and all(re.fullmatch(pattern, candidate) for pattern in patterns):
                return candidate
    return text[:longest]


def _number(columns: Iterable[Column], rules: Sequence[Rule], number: int) -> str:
    """The least value allowed and a little more for each further record, in the fewest decimals."""
    step = Decimal(1).scaleb(-min(column.type.scale or 0 for column in columns))
    ranges = [rule for rule in rules if isinstance(rule, Range)]
    lows = [rule.min for rule in ranges if rule.min is not None]
    lows += [Decimal(0) for rule in rules if isinstance(rule, NonNegative)]
    most = min((rule.max for rule in ranges if rule.max is not None), default=None)
    least = max(lows) if lows else min(Decimal(0), most - RECORDS * step if most is not None else Decimal(0))
    value = least + (number + 1) * step
    return str((least if most is not None and value > most else value).quantize(step))


def _csv(source: Source, records: Sequence[Record]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.file_name for column in source.columns])
    writer.writerows([record[column.name] for column in source.columns] for record in records)
    return text.getvalue().encode()


def _parquet(source: Source, records: Sequence[Record]) -> bytes:
    values = {c.file_name: pa.array([record[c.name] for record in records], pa.string()) for c in source.columns}
    buffer = io.BytesIO()
    pq.write_table(pa.table(values), buffer)
    return buffer.getvalue()


def _excel(source: Source, records: Sequence[Record]) -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None  # noqa: S101 - a new workbook has one
    sheet.title = source.files.sheet or sheet.title
    for position, column in enumerate(source.columns, start=1):
        row = source.files.header_row
        sheet.cell(row, position, column.file_name)
        for number, record in enumerate(records, start=1):
            sheet.cell(row + number, position, record[column.name])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _json_lines(source: Source, records: Sequence[Record]) -> bytes:
    lines = (json.dumps({column.file_name: record[column.name] for column in source.columns}) for record in records)
    return "".join(f"{line}\n" for line in lines).encode()


_WRITERS: Final[Mapping[FileFormat, Callable[[Source, Sequence[Record]], bytes]]] = {
    FileFormat.CSV: _csv,
    FileFormat.PARQUET: _parquet,
    FileFormat.EXCEL: _excel,
    FileFormat.JSON_LINES: _json_lines,
}
