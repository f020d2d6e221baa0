"""What the vault must hold, worked out in plain Python from the rows of every file: slow, short and independent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from cdm_assets.catalog.model import Catalog, Source
from cdm_assets.catalog.types import Delivery, TypeKind
from cdm_assets_tests.loading.contract_site import Content, _sortable, day

Files = Mapping[tuple[str, int], Sequence[Sequence[Any]]]
"""The rows of each source's file of each day, values typed; a date without an entry has no file."""


def text_of(value: Any, kind: TypeKind, scale: int | None) -> str | None:
    """Version 1 of the hash contract: a value as canonical text."""
    if value is None or (isinstance(value, str) and not value.strip(" ")):
        return None
    match kind:
        case TypeKind.STRING:
            return str(value).strip(" ")
        case TypeKind.DECIMAL:
            return f"{Decimal(value):.{scale or 0}f}"
        case TypeKind.TIMESTAMP:
            return f"{value:%Y-%m-%d %H:%M:%S.%f}"
        case _:
            return str(value)


def md5_of(texts: Sequence[str | None]) -> str:
    """The hash of a list of texts; of one without parts too."""
    parts = [r"\N" if t is None else t.replace("\\", "\\\\").replace("|", r"\|") for t in texts]
    return hashlib.md5(("|".join(parts) if parts else r"\E").encode(), usedforsecurity=False).hexdigest()


def vault_content(catalog: Catalog, files: Files) -> Content:
    """The rows of every vault table, as `ContractSite.content` gives them."""
    return {key: sorted(rows, key=_sortable) for key, rows in _tables(catalog, files)}


def _tables(catalog: Catalog, files: Files) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    vault = catalog.vault
    for name in vault.hubs:
        first = _first(catalog, files, catalog.sources_of_hub(name), name)
        kinds = [part.type.kind for part in vault.hubs[name].key]
        rows: list[tuple[Any, ...]] = []
        for key, (when, origin) in first.items():
            values = [int(t or 0) if k is TypeKind.INTEGER else t for t, k in zip(key, kinds, strict=True)]
            rows.append((when, md5_of(key), *values, origin))
        yield f"rdv.h_{name}", rows
    for name, link in vault.links.items():
        rows = []
        for key, (when, origin) in _first(catalog, files, catalog.sources_of_link(name), name).items():
            widths = [len(vault.hubs[hub].key) for hub in link.hubs]
            starts = [sum(widths[:n]) for n in range(len(widths))]
            hubs = [md5_of(key[start : start + width]) for start, width in zip(starts, widths, strict=True)]
            rows.append((when, md5_of(key), *hubs, origin))
        yield f"rdv.l_{name}", rows
    for name in vault.events:
        yield f"rdv.l_{name}", list(_events(catalog, files, name).values())
    for name in catalog.satellites:
        yield f"rdv.s_{name}", list(_history(catalog, files, name))


def _records(source: Source, files: Files) -> Iterator[tuple[date, dict[str, Any]]]:
    for (name, number), rows in sorted(files.items(), key=lambda item: item[0][1]):
        if name == source.source:
            for row in rows:
                yield day(number), dict(zip((c.name for c in source.columns), row, strict=True))


def _key(source: Source, columns: Sequence[str], record: Mapping[str, Any]) -> tuple[str | None, ...]:
    texts = []
    for name in columns:
        column = source.columns_by_name[name]
        text = text_of(record[name], column.type.kind, column.type.scale)
        texts.append(text.upper() if text is not None and column.type.kind is TypeKind.STRING else text)
    return tuple(texts)


def _first(
    catalog: Catalog, files: Files, sources: Sequence[Source], parent: str
) -> dict[tuple[str | None, ...], tuple[date, str]]:
    first: dict[tuple[str | None, ...], tuple[date, str]] = {}
    for source in sources:
        for when, record in _records(source, files):
            key = _key(source, catalog.parent_columns(source, parent), record)
            first[key] = min(first.get(key, (date.max, "")), (when, source.source))
    return first


def _events(catalog: Catalog, files: Files, name: str) -> dict[Any, tuple[Any, ...]]:
    source = catalog.source_of_event(name)
    found: dict[Any, tuple[Any, ...]] = {}
    for when, record in _records(source, files):
        key = _key(source, source.key, record)
        if key in found:
            continue
        hubs = [md5_of(_key(source, source.feeds.hubs[hub], record)) for hub in catalog.vault.events[name].hubs]
        happened = record[source.event_time] if source.event_time else when
        happened = happened.date() if isinstance(happened, datetime) else happened
        values = [record[c] for c in catalog.event_attributes(name)]
        found[key] = (when, md5_of(key), *hubs, happened, *values, source.source)
    return found


def _history(catalog: Catalog, files: Files, name: str) -> Iterator[tuple[Any, ...]]:
    source, feed = catalog.satellites[name]
    attributes = catalog.satellite_attributes(name)
    columns = catalog.parent_columns(source, feed.parent)
    state: dict[Any, str | None] = {}
    for number in sorted(n for s, n in files if s == source.source):
        said = {
            _key(source, columns, record): record for when, record in _records(source, files) if when == day(number)
        }
        for key, record in said.items():
            kinds = [(source.columns_by_name[a].type.kind, source.columns_by_name[a].type.scale) for a in attributes]
            hashdiff = md5_of([text_of(record[a], *k) for a, k in zip(attributes, kinds, strict=True)])
            if state.get(key) != hashdiff:
                yield (day(number), md5_of(key), True, hashdiff, *(record[a] for a in attributes), source.source)
            state[key] = hashdiff
        if source.delivery is Delivery.SNAPSHOT:
            for key in [k for k, listed in state.items() if listed is not None and k not in said]:
                yield (day(number), md5_of(key), False, "not listed", *(None for _ in attributes), source.source)
                state[key] = None
