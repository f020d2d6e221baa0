"""Every partitioned table by its key: what it reads, how a range of its dates is loaded, what is then checked.

This is the one entrance to loading; commands, tests and Dagster's assets all come in here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog, Source
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.interface import interface_select
from cdm_assets.loading.landing import load_landing
from cdm_assets.loading.marts.registry import MARTS
from cdm_assets.loading.publish import TOKEN_KEY_PARAMETER, publish_select
from cdm_assets.loading.report import CheckOutcome, LoadReport, RowCounts
from cdm_assets.loading.satellites import Satellite, load_satellite
from cdm_assets.loading.stamp import Stamp, delete_range, in_range, insert_select, replace_rows, rows_by_date
from cdm_assets.loading.vault_keys import KeyTable, event_table, hub_table, link_table, load_keys
from cdm_assets.validation.checks import CheckFinding, PerDate
from cdm_assets.validation.layer_checks import ChecksOf
from cdm_assets.warehouse.dates import DateRange, ranges_of
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.lineage import SOME_DATES, tables_read
from cdm_assets.warehouse.tables import Tables

NOT_LOADED: Final = "not loaded"
"""How the message of a check begins whose partition keeps its old content."""


class NothingToLoad(Exception):
    """No date of the requested range could be loaded; the message says why for each of them."""


@dataclass(frozen=True)
class LoadContext:
    """What every load needs besides its table and dates."""

    warehouse: Warehouse
    landing_root: Path
    token_key: str
    run_id: str


class TableLoads:
    """The loads of all partitioned tables of a catalog."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.catalog: Catalog = tables.catalog
        self.checks = ChecksOf(tables, self._sent_keys)

    @cached_property
    def in_order(self) -> tuple[str, ...]:
        """Every table after all that it reads."""
        graph = {key: self.upstream[key] for key in self.tables.partitioned}
        return tuple(TopologicalSorter(graph).static_order())

    @cached_property
    def reads(self) -> Mapping[str, frozenset[str]]:
        """The partitioned tables that the load of each table reads, from its statements."""
        found = {}
        for key in self.tables.partitioned:
            select = self.select(key, SOME_DATES)
            read = tables_read(select) if select is not None else frozenset()
            found[key] = frozenset(k for k in read if k in self.tables.partitioned and k != key)
        return found

    @cached_property
    def upstream(self) -> Mapping[str, frozenset[str]]:
        """What each table must wait for: what its load reads and what its checks look at."""
        return {key: read | self.checks.reads(key) for key, read in self.reads.items()}

    @cached_property
    def ancestors(self) -> Mapping[str, frozenset[str]]:
        """Every table that the content of a table goes back to.

        Not through a hub: it only hands on keys, and whatever has a key (an event, a satellite) brought it along.
        """
        found: dict[str, frozenset[str]] = {}
        for key in self.in_order:
            read = frozenset[str]() if key.split(".")[1].startswith("h_") else self.reads[key]
            found[key] = read.union(*(found[k] for k in read)) if read else frozenset()
        return found

    def landing_source(self, key: str) -> Source:
        """The source behind a landing-zone table."""
        return self.catalog.sources[key.removeprefix(f"{Layer.LANDING}.ldz_")]

    def select(self, key: str, dates: DateRange) -> sa.Select[Any] | None:
        """The select that gives the rows of a table for `dates`; None for the landing zone, which reads files.

        For the vault, what the sources say; which of it is new is decided by the load.
        """
        layer, name = key.split(".")
        match Layer(layer):
            case Layer.LANDING:
                return None
            case Layer.VAULT if name.startswith("s_"):
                satellite = Satellite(self.catalog, self.tables, name[2:])
                return sa.select(*satellite.observations(lambda day: in_range(day, dates)).c)
            case Layer.VAULT:
                return self._key_table(key).observations(self.tables, lambda day: in_range(day, dates))
            case Layer.INTERFACE:
                return interface_select(self.tables, self.catalog.interface[name], dates)
            case Layer.PUBLISH:
                return publish_select(self.tables, self.catalog.marts[name], dates)
            case _:
                return MARTS[name](self.tables, dates)

    def load(self, key: str, dates: DateRange, context: LoadContext) -> LoadReport:
        """Load the partitions `dates` of a table, run its checks, and record both.

        A date that must not go on is held back where it would mislead: content that breaks a blocking check of the
        landing zone does not enter the vault, and no date with a failed blocking check above it is published. Tables
        between load what is there, so that the dates after a bad one stay right. A date held back, or whose file was
        refused, keeps its old content and is reported as failed. Raises NothingToLoad if no date is left.
        """
        began = time.perf_counter()
        stamp = Stamp(context.run_id)
        warehouse = context.warehouse
        held_back = self._blocked(warehouse, key, dates)
        loadable = [day for day in dates if day not in held_back]
        counts: dict[date, RowCounts] = {day: RowCounts() for day in dates}
        for part in ranges_of(loadable):
            part_counts, refused = self._fill(key, part, context, stamp)
            counts |= part_counts
            held_back |= refused
        if len(held_back) == len(dates):
            self._record_held_back(warehouse, key, held_back, stamp)
            reasons = "\n".join(f"  {day}: {reason}" for day, reason in list(held_back.items())[:10])
            raise NothingToLoad(f"{key}: no partition of {dates} could be loaded\n{reasons}")
        findings, rows = self._check(warehouse, key, dates, held_back)
        seconds = time.perf_counter() - began
        self._record(warehouse, key, dates, counts=counts, rows=rows, findings=findings, seconds=seconds, stamp=stamp)
        outcomes = [_outcome(finding) for finding in findings]
        return LoadReport(key, counts, rows, outcomes, time.perf_counter() - began, {"run_id": context.run_id})

    def _fill(
        self, key: str, dates: DateRange, context: LoadContext, stamp: Stamp
    ) -> tuple[dict[date, RowCounts], dict[date, str]]:
        """Load one range; returns row counts and the dates whose file was refused."""
        warehouse = context.warehouse
        layer, name = key.split(".")
        if Layer(layer) is Layer.LANDING:
            source = self.landing_source(key)
            landed = load_landing(warehouse, source, dates, landing_root=context.landing_root, stamp=stamp)
            return dict(landed.row_counts), {day: str(fault) for day, fault in landed.file_faults.items()}
        table = self.tables[key]
        with warehouse.connection() as connection:
            before = rows_by_date(connection, table, dates)
        if Layer(layer) is not Layer.VAULT:
            select = self.select(key, dates)
            assert select is not None  # noqa: S101 - only the landing zone has none
            with warehouse.transaction() as connection:
                connection.execute(delete_range(table, dates))
                parameters = {TOKEN_KEY_PARAMETER: context.token_key} if layer == Layer.PUBLISH else {}
                connection.execute(insert_select(table, select, stamp), parameters)
        elif name.startswith("s_"):
            load_satellite(warehouse, name[2:], dates, stamp)
        else:
            load_keys(warehouse, self._key_table(key), dates, stamp)
        with warehouse.connection() as connection:
            after = rows_by_date(connection, table, dates)
        counts = {day: RowCounts(inserted=after.get(day, 0), removed=before.get(day, 0)) for day in dates}
        return counts, {}

    def _key_table(self, key: str) -> KeyTable:
        name = key.split(".")[1]
        if name.startswith("h_"):
            return hub_table(self.catalog, name[2:])
        if name[2:] in self.catalog.vault.events:
            return event_table(self.catalog, name[2:])
        return link_table(self.catalog, name[2:])

    def _sent_keys(self, key: str) -> PerDate:
        key_table = self._key_table(key)

        def select(dates: DateRange) -> sa.Select[Any]:
            sent = key_table.observations(self.tables, lambda day: in_range(day, dates)).subquery("sent")
            return sa.select(sent.c.business_date, sent.c[key_table.hash_key])

        return select

    def _gates(self, key: str) -> frozenset[str]:
        """The tables whose failed blocking checks hold a date of `key` back.

        A hub is never held back: a key is a key, and other sources' rows would be orphaned without it.
        """
        layer, name = key.split(".")
        if layer == Layer.PUBLISH:
            return self.ancestors[key]
        if layer == Layer.VAULT and not name.startswith("h_"):
            return self.reads[key] & {f"{Layer.LANDING}.{s.table}" for s in self.catalog.sources.values()}
        return frozenset()

    def _blocked(self, warehouse: Warehouse, key: str, dates: DateRange) -> dict[date, str]:
        """Dates of the range that are held back, each with the first failed check above `key`.

        A refused file changed nothing in the landing zone, so it holds back what is published, not the vault.
        """
        gates = [table for table in self.in_order if table in self._gates(key)]
        result = self.tables["cdp_metadata.check_result"]
        query = sa.select(result.c.business_date, result.c.table_key, result.c.check_name, result.c.message).where(
            result.c.blocks == sa.true(), result.c.table_key.in_(gates), in_range(result.c.business_date, dates)
        )
        if not key.startswith(f"{Layer.PUBLISH}."):
            query = query.where(result.c.message.not_like(f"{NOT_LOADED}%"))
        with warehouse.connection() as connection:
            failed = sorted(connection.execute(query), key=lambda row: gates.index(row[1]), reverse=True)
        return {day: f"held back: {table} check {check} failed: {message}" for day, table, check, message in failed}

    def _check(
        self, warehouse: Warehouse, key: str, dates: DateRange, held_back: Mapping[date, str]
    ) -> tuple[list[CheckFinding], dict[date, int]]:
        checks = self.checks[key]
        with warehouse.connection() as connection:
            findings, rows = checks.run(connection, dates)
        first = checks.names[0]
        return [
            replace(f, passed=False, blocks=True, findings={NOT_LOADED: held_back[f.business_date]})
            if f.business_date in held_back and f.check == first
            else f
            for f in findings
        ], rows

    def _record(  # noqa: PLR0913 - what one load is, each by name
        self,
        warehouse: Warehouse,
        key: str,
        dates: DateRange,
        *,
        counts: Mapping[date, RowCounts],
        rows: Mapping[date, int],
        findings: Sequence[CheckFinding],
        seconds: float,
        stamp: Stamp,
    ) -> None:
        """Write partition_load, check_result and load_log."""
        loads, log = self.tables["cdp_metadata.partition_load"], self.tables["cdp_metadata.load_log"]
        partitions = [
            {"table_key": key, "business_date": day, "rows_in_partition": rows[day], **stamp.row} for day in dates
        ]
        of_table = sa.and_(loads.c.table_key == key, in_range(loads.c.business_date, dates))
        entry = {
            "table_key": key,
            "first_date": dates.first,
            "last_date": dates.last,
            "rows_read": sum(c.read for c in counts.values()),
            "rows_inserted": sum(c.inserted for c in counts.values()),
            "rows_removed": sum(c.removed for c in counts.values()),
            "rows_rejected": sum(c.rejected for c in counts.values()),
            "seconds": round(seconds, 3),
            **stamp.row,
        }
        with warehouse.transaction() as connection:
            replace_rows(connection, loads, of_table, list(partitions))
            connection.execute(sa.insert(log), [entry])
            self._record_findings(connection, key, findings, dates, stamp)

    def _record_findings(
        self, connection: sa.Connection, key: str, findings: Iterable[CheckFinding], dates: DateRange, stamp: Stamp
    ) -> None:
        result = self.tables["cdp_metadata.check_result"]
        rows = [
            {
                "table_key": key,
                "check_name": finding.check,
                "business_date": finding.business_date,
                "passed": finding.passed,
                "blocks": finding.blocks,
                "message": finding.message[:2000] or None,
                **stamp.row,
            }
            for finding in findings
        ]
        of_table = sa.and_(result.c.table_key == key, in_range(result.c.business_date, dates))
        replace_rows(connection, result, of_table, list(rows))

    def _record_held_back(self, warehouse: Warehouse, key: str, held_back: Mapping[date, str], stamp: Stamp) -> None:
        first = self.checks[key].names[0]
        with warehouse.transaction() as connection:
            for day, reason in held_back.items():
                finding = CheckFinding(first, day, passed=False, blocks=True, findings={NOT_LOADED: reason})
                self._record_findings(connection, key, [finding], DateRange(day, day), stamp)


def _outcome(finding: CheckFinding) -> CheckOutcome:
    return CheckOutcome(
        check=finding.check,
        business_date=finding.business_date,
        passed=finding.passed,
        blocking=finding.blocks,
        severity="error" if finding.blocks else "warn",
        metadata=json.loads(json.dumps(dict(finding.findings))),
    )
