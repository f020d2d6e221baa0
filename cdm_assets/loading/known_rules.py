"""The `known` rules of sources, decided by the load of the mart that judges them.

Whether a key is known on a date depends on other sources, so it cannot be decided when a file is loaded: the order of
loads would decide which rows are there. The mart's partition reads the landing zone and the entity of its own date and
is loaded again when either changes, so here the answer is a function of the files. The record stays in the landing
zone and the vault as it was received; the mart leaves it out, and `rejected_record` says why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from typing import Any

import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog, Mart, Source
from cdm_assets.catalog.rules import Known
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.landing import rejected_rows
from cdm_assets.loading.landing_register import State, live_files
from cdm_assets.loading.stamp import Stamp, in_range, replace_rows
from cdm_assets.loading.vault_keys import key_text
from cdm_assets.validation.rules import expectation
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.file_faults import RecordFault
from cdm_assets.warehouse.landing_area import LandingArea
from cdm_assets.warehouse.landing_files import checked_file
from cdm_assets.warehouse.tables import Tables


def tables_judged_by(catalog: Catalog, mart: Mart) -> frozenset[str]:
    """What the load of `mart` reads to decide: the sources' landing tables and the entities of their rules."""
    rules = [(catalog.sources[name], rule) for name in mart.judges for rule in _known_rules(catalog.sources[name])]
    landing = {f"{Layer.LANDING}.{source.table}" for source, _ in rules}
    return frozenset(landing | {f"{Layer.INTERFACE}.{rule.entity}" for _, rule in rules})


def unknown_records(tables: Tables, source: Source, rule: Known, dates: DateRange) -> sa.Select[Any]:
    """The loaded records of `source` whose key is not known on their date: business_date, source_row, the value."""
    landed, entity = tables[f"{Layer.LANDING}.{source.table}"], tables[f"{Layer.INTERFACE}.{rule.entity}"]
    (key,) = tables.catalog.interface[rule.entity].key
    value = landed.c[rule.column]
    is_known = sa.exists().where(
        entity.c.business_date == landed.c.business_date,
        entity.c[key] == key_text(value, source.columns_by_name[rule.column].type.kind),
    )
    return (
        sa.select(landed.c.business_date, landed.c.source_row, value.label("value"))
        .where(in_range(landed.c.business_date, dates), value.is_not(None), sa.not_(is_known))
        .order_by(landed.c.business_date, landed.c.source_row)
    )


def record_unknown(
    connection: sa.Connection, tables: Tables, mart: Mart, dates: DateRange, area: LandingArea, stamp: Stamp
) -> dict[date, int]:
    """Put what breaks the `known` rules of the sources that `mart` judges into `rejected_record`; counts by date.

    Idempotent: takes the place of what an earlier load of these dates recorded. The transaction is the caller's.
    """
    records = tables["cdp_metadata.rejected_record"]
    counts: dict[date, int] = defaultdict(int)
    for name in mart.judges:
        source = tables.catalog.sources[name]
        for rule in _known_rules(source):
            by_day: dict[date, dict[int, RecordFault]] = defaultdict(dict)
            for day, number, value in connection.execute(unknown_records(tables, source, rule, dates)).tuples():
                reason = f"expected {expectation(rule)}, found {value!r}"
                by_day[day][number] = RecordFault(number, rule.label, rule.column, reason, repr(value))
                counts[day] += 1
            of_rule = sa.and_(
                records.c.source == name, records.c.rule == rule.label, in_range(records.c.business_date, dates)
            )
            rows = list(_rows(connection, tables, source, by_day, area, stamp))
            replace_rows(connection, records, of_rule, rows)
    return dict(counts)


def _known_rules(source: Source) -> list[Known]:
    return [rule for rule in source.rules if isinstance(rule, Known)]


def _rows(
    connection: sa.Connection,
    tables: Tables,
    source: Source,
    faults: dict[date, dict[int, RecordFault]],
    area: LandingArea,
    stamp: Stamp,
) -> Iterator[dict[str, Any]]:
    """The rows of `rejected_record`, with line and text from the archive; without them if the archive lost the file."""
    loaded = live_files(connection, tables, [(source.source, day) for day in faults], states=[State.LOADED])
    for (_, day), (registered, *_) in loaded.items():
        content = area.archived(registered.file_name, registered.place, registered.sha256)
        file = checked_file(source, day, content, area) if content else None
        yield from rejected_rows(source, day, registered.file_name, file, faults[day], stamp)
