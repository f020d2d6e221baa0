"""What changed files would make stale, found out by loading them in a transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import date

import sqlalchemy as sa

from cdm_assets.catalog.types import Layer
from cdm_assets.loading.landing import staged_files
from cdm_assets.loading.staleness import mark_readers, stale_partitions, unmark
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.warehouse.dates import ranges_of


def partitions_affected(
    loads: TableLoads, context: LoadContext, changed: Mapping[str, Iterable[date]]
) -> dict[str, frozenset[date]]:
    """The partitions to load once the files of `changed` (dates by source) are to count as they now lie there.

    By table, in order: the landing zone and the vault for these dates, and behind the vault exactly the loaded
    partitions that would have other content: the vault is loaded for it, on one connection, and rolled back. Several
    sources are looked at together, since one may give a hub what another takes away. Content that a blocking check
    would hold back counts as if it passed. Costs as much as loading landing zone and vault for these dates.
    """
    days_of = {source: sorted(set(days)) for source, days in changed.items()}
    affected: dict[str, frozenset[date]] = {}
    stamp = Stamp("rehearsal")
    with context.warehouse.connection() as connection, ExitStack() as stages:
        staged = [
            stages.enter_context(
                staged_files(
                    connection,
                    loads.tables,
                    loads.catalog.sources[source],
                    days,
                    context.landing,
                    stamp=stamp,
                    frame_faults=context.frame_faults,
                )
            )
            for source, days in days_of.items()
        ]
        with connection.begin() as transaction:
            connection.execute(sa.delete(loads.tables["cdp_metadata.stale_partition"]))
            for files in staged:
                files.replace_partitions(stamp)
            for key in loads.in_order:
                days = {day for source in loads.sources_of(key) for day in days_of.get(source, ())}
                if days:
                    affected[key] = frozenset(days)
                if key.startswith(f"{Layer.LANDING}."):
                    mark_readers(connection, loads, key, ranges_of(days), stamp)
                if key.startswith(f"{Layer.VAULT}."):
                    for number, dates in enumerate(ranges_of(days)):
                        unmark(connection, loads.tables, key, dates)
                        moved = loads.fill(connection, key, dates, stamp.nth(number))
                        mark_readers(connection, loads, key, moved, stamp)
            affected |= stale_partitions(connection, loads)
            transaction.rollback()
    return {key: affected[key] for key in loads.in_order if key in affected}
