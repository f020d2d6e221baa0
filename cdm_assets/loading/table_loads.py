"""Every partitioned table by its key: what it reads, how a range of its dates is loaded, what is then checked.

This is the one entrance to loading; commands, tests and Dagster's assets all come in here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog, Mart, Source
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.date_control import require_allowed
from cdm_assets.loading.interface import interface_select
from cdm_assets.loading.known_rules import record_unknown, tables_judged_by
from cdm_assets.loading.landing import StagedFiles, staged_files
from cdm_assets.loading.marts.registry import COMPUTED, MARTS
from cdm_assets.loading.publish import TOKEN_KEY_PARAMETER, publish_select
from cdm_assets.loading.report import CheckOutcome, LoadReport, RowCounts
from cdm_assets.loading.satellites import Satellite, load_satellite
from cdm_assets.loading.staging import FrameFaults
from cdm_assets.loading.staleness import mark_readers, unmark
from cdm_assets.loading.stamp import (
    Stamp,
    delete_range,
    in_range,
    insert_rows,
    insert_select,
    replace_rows,
    rows_by_date,
)
from cdm_assets.loading.vault_keys import KeyTable, event_table, hub_table, link_table, load_keys
from cdm_assets.validation.checks import CheckFinding, PerDate
from cdm_assets.validation.layer_checks import ChecksOf
from cdm_assets.warehouse.dates import DateRange, ranges_of
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.landing_area import LandingArea
from cdm_assets.warehouse.lineage import SOME_DATES, tables_read
from cdm_assets.warehouse.locks import take_turns
from cdm_assets.warehouse.tables import Tables

NOT_LOADED: Final = "not loaded"
"""How the message of a check begins whose partition keeps its old content."""
_HELD_BACK: Final = "held back"


class NothingToLoad(Exception):
    """No date of the requested range could be loaded; the message and the failed checks say why for each of them."""

    def __init__(self, message: str, checks: Sequence[CheckOutcome]) -> None:
        super().__init__(message)
        self.checks = checks


@dataclass(frozen=True)
class LoadContext:
    """What every load needs besides its table and dates."""

    warehouse: Warehouse
    landing: LandingArea
    token_key: str
    run_id: str
    frame_faults: FrameFaults | None = None
    """Judges spreadsheets; without it only the statements that judge every source do."""


@dataclass
class _Work:
    """One load while its transaction is open."""

    connection: sa.Connection
    key: str
    dates: DateRange
    stamp: Stamp
    began: float
    is_new: bool
    """Nothing is known of the dates: there is nothing to remove."""
    held_back: dict[date, str] = field(default_factory=dict)
    counts: dict[date, RowCounts] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Since the load began."""
        return time.perf_counter() - self.began


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
            read |= tables_judged_by(self.catalog, mart) if (mart := self._judging(key)) else frozenset()
            found[key] = frozenset(k for k in read if k in self.tables.partitioned and k != key)
        return found

    def _judging(self, key: str) -> Mart | None:
        """The mart behind `key` if it decides `known` rules; its copy in publish does not."""
        layer, name = key.split(".")
        mart = self.catalog.marts.get(name)
        return mart if mart is not None and mart.judges and layer == mart.layer else None

    @cached_property
    def read_by(self) -> Mapping[str, tuple[str, ...]]:
        """The tables whose loads read each table."""
        return {key: tuple(k for k in self.in_order if key in self.reads[k]) for key in self.tables.partitioned}

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

    def affected_by(self, key: str) -> str:
        """What goes without new content when a landing table does, and whose it is, in words."""
        behind = [table for table in self.in_order if key in self.ancestors[table] | self.reads[table]]
        owners = dict.fromkeys(owner for table in behind for owner in self.tables.meta(table).owners)
        shown = f"{', '.join(behind[:8])}{f' and {len(behind) - 8} more' if len(behind) > 8 else ''}"
        return f"Affected: {len(behind)} tables ({shown}) of {', '.join(owners)}"

    def landing_table(self, source: str) -> str:
        """The key of a source's landing-zone table."""
        return f"{Layer.LANDING}.{self.catalog.sources[source].table}"

    def landing_source(self, key: str) -> Source:
        """The source behind a landing-zone table."""
        return self.catalog.sources[key.removeprefix(f"{Layer.LANDING}.ldz_")]

    def sources_of(self, key: str) -> tuple[str, ...]:
        """The sources behind a table of the landing zone or the vault; none for other tables."""
        if key.startswith(f"{Layer.LANDING}."):
            return (self.landing_source(key).source,)
        if key.startswith(f"{Layer.VAULT}."):
            return tuple(self.landing_source(read).source for read in sorted(self.reads[key]))
        return ()

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
        """Load the partitions `dates` of a table, run its checks, and record both: one transaction.

        A date that must not go on is held back where it would mislead: content that breaks a blocking check of the
        landing zone does not enter the vault, and no date with a failed blocking check above it is published. Tables
        between load what is there, so that the dates after a bad one stay right. A date held back, or whose file was
        refused, keeps its old content and is reported as failed. Raises NothingToLoad if no date is left, and
        DateNotAllowed before anything is read or written.
        """
        began = time.perf_counter()
        stamp = Stamp(context.run_id)
        if key.startswith(f"{Layer.LANDING}."):
            source = self.landing_source(key)
            with context.warehouse.connection() as connection:
                require_allowed(connection, self.tables, dates, context.landing)
            with (
                context.warehouse.connection() as connection,
                staged_files(
                    connection,
                    self.tables,
                    source,
                    dates,
                    context.landing,
                    stamp=stamp,
                    frame_faults=context.frame_faults,
                ) as files,
            ):
                files.begin_loading(stamp)
                with connection.begin():
                    take_turns(connection, self.tables[key])
                    work = _Work(connection, key, dates, stamp, began, self._is_new(connection, key, dates))
                    report = self._load_files(work, files)
        else:
            with context.warehouse.transaction() as connection:
                take_turns(connection, self.tables[key], [self.tables[name] for name in self.reads[key]])
                work = _Work(connection, key, dates, stamp, began, self._is_new(connection, key, dates))
                report = self._load_rows(work, context)
        if report is None:
            reasons = "\n".join(f"  {day}: {reason}" for day, reason in list(work.held_back.items())[:10])
            failed = [_outcome(finding) for finding in self._held_back(work)]
            raise NothingToLoad(f"{key}: no partition of {dates} could be loaded\n{reasons}", failed)
        return report

    def _is_new(self, connection: sa.Connection, key: str, dates: DateRange) -> bool:
        """Whether the control tables know nothing of the dates; an ordinary day then removes nothing."""
        loads, result = self.tables["cdp_metadata.partition_load"], self.tables["cdp_metadata.check_result"]
        known = (
            sa.select(table.c.business_date).where(table.c.table_key == key, in_range(table.c.business_date, dates))
            for table in (loads, result)
        )
        return connection.execute(sa.union_all(*known)).first() is None

    def _load_files(self, work: _Work, files: StagedFiles) -> LoadReport | None:
        landed = files.replace_partitions(work.stamp)
        for day, fault in landed.file_faults.items():
            affected = f"\n{self.affected_by(work.key)}" if fault.rule == "columns" else ""
            work.held_back[day] = f"{fault}{affected}"
        work.counts |= landed.row_counts
        return self._finish(work, ranges_of(day for day in work.dates if day not in work.held_back))

    def _load_rows(self, work: _Work, context: LoadContext) -> LoadReport | None:
        work.held_back |= self._blocked(work.connection, work.key, work.dates)
        removed = {} if work.is_new else rows_by_date(work.connection, self.tables[work.key], work.dates)
        read = self._rows_upstream(work)
        work.counts |= {day: RowCounts(read=read.get(day, 0), removed=removed.get(day, 0)) for day in work.dates}
        changed: list[DateRange] = []
        for number, part in enumerate(ranges_of(day for day in work.dates if day not in work.held_back)):
            changed += self.fill(work.connection, work.key, part, work.stamp.nth(number), token_key=context.token_key)
        if mart := self._judging(work.key):
            unknown = record_unknown(work.connection, self.tables, mart, work.dates, context.landing, work.stamp)
            work.counts |= {day: replace(work.counts[day], rejected=count) for day, count in unknown.items()}
        return self._finish(work, changed)

    def _rows_upstream(self, work: _Work) -> dict[date, int]:
        """Rows in the partitions of each date of what the table reads, as they were last loaded."""
        loads = self.tables["cdp_metadata.partition_load"]
        query = sa.select(loads.c.business_date, sa.func.sum(loads.c.rows_in_partition)).where(
            loads.c.table_key.in_(sorted(self.reads[work.key])), in_range(loads.c.business_date, work.dates)
        )
        rows = work.connection.execute(query.group_by(loads.c.business_date)).tuples()
        return {day: int(count) for day, count in rows}

    def fill(
        self, connection: sa.Connection, key: str, dates: DateRange, stamp: Stamp, *, token_key: str = ""
    ) -> list[DateRange]:
        """Bring the rows of a table behind the landing zone up to date, and nothing else of a load.

        Returns the dates on which its readers find something else. The transaction is the caller's.
        """
        layer, name = key.split(".")
        if layer == Layer.VAULT and name.startswith("s_"):
            return load_satellite(connection, self.tables, name[2:], dates, stamp)
        if layer == Layer.VAULT:
            return load_keys(connection, self.tables, self._key_table(key), dates, stamp)
        select = self.select(key, dates)
        assert select is not None  # noqa: S101 - only the landing zone has none
        connection.execute(delete_range(self.tables[key], dates))
        if name in COMPUTED and layer != Layer.PUBLISH:
            rows = COMPUTED[name](connection.execute(select).mappings().all())
            insert_rows(connection, self.tables[key], rows, stamp)
            return [dates]
        parameters = {TOKEN_KEY_PARAMETER: token_key} if layer == Layer.PUBLISH else {}
        connection.execute(insert_select(self.tables[key], select, stamp), parameters)
        return [dates]

    def _finish(self, work: _Work, changed: Sequence[DateRange]) -> LoadReport | None:
        """Mark what the load leaves out of line, check it, record it; None where every date was held back."""
        if not work.is_new:
            unmark(work.connection, self.tables, work.key, work.dates)
        if len(work.held_back) == len(work.dates):
            for finding in self._held_back(work):
                self._record_findings(work, [finding], DateRange(finding.business_date, finding.business_date))
            return None
        mark_readers(work.connection, self, work.key, changed, work.stamp)
        findings, rows = self._check(work)
        if not work.key.startswith(f"{Layer.LANDING}."):
            work.counts |= {day: replace(work.counts[day], inserted=rows[day]) for day in work.dates}
        self._record(work, findings, rows)
        metadata = {"run_id": work.stamp.run_id}
        outcomes = [_outcome(finding) for finding in findings]
        return LoadReport(work.key, work.counts, rows, outcomes, work.seconds, metadata)

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
            return self._gates_of_publish(key)
        if layer == Layer.VAULT and not name.startswith("h_"):
            return self.reads[key] & {f"{Layer.LANDING}.{s.table}" for s in self.catalog.sources.values()}
        return frozenset()

    def _gates_of_publish(self, key: str) -> frozenset[str]:
        """All that a published table goes back to; of what it is enriched by, only that table.

        A model's bad file must not keep back what is known of customers: they are shown with the last valid score.
        """
        mart = self.catalog.marts[key.split(".")[1]]
        original = f"{mart.layer}.{mart.mart}"
        return frozenset({original}) | self.ancestors[original] | self.reads[key]

    def _blocked(self, connection: sa.Connection, key: str, dates: DateRange) -> dict[date, str]:
        """Dates of the range that are held back, each with the first failed check above `key`.

        A refused file changed nothing in the landing zone, so it holds back what is published, not the vault.
        """
        gates = [table for table in self.in_order if table in self._gates(key)]
        if not gates:
            return {}
        result = self.tables["cdp_metadata.check_result"]
        query = sa.select(result.c.business_date, result.c.table_key, result.c.check_name, result.c.message).where(
            result.c.blocks == sa.true(), result.c.table_key.in_(gates), in_range(result.c.business_date, dates)
        )
        if not key.startswith(f"{Layer.PUBLISH}."):
            query = query.where(result.c.message.not_like(f"{NOT_LOADED}%"))
        failed = sorted(connection.execute(query), key=lambda row: gates.index(row[1]), reverse=True)
        return {day: f"{_HELD_BACK}: {table} check {check} failed: {message}" for day, table, check, message in failed}

    def no_longer_held_back(self, connection: sa.Connection) -> dict[str, frozenset[date]]:
        """The partitions that were held back for a check that meanwhile passes."""
        result = self.tables["cdp_metadata.check_result"]
        query = sa.select(result.c.table_key, result.c.business_date).where(
            result.c.blocks == sa.true(), result.c.message.like(f"{NOT_LOADED}: {_HELD_BACK}%")
        )
        held_back: dict[str, set[date]] = {}
        for key, day in connection.execute(query).tuples():
            held_back.setdefault(key, set()).add(day)
        free: dict[str, frozenset[date]] = {}
        for key, days in held_back.items():
            blocked = self._blocked(connection, key, DateRange(min(days), max(days)))
            if days - blocked.keys():
                free[key] = frozenset(days - blocked.keys())
        return free

    def _check(self, work: _Work) -> tuple[list[CheckFinding], dict[date, int]]:
        findings, rows = self.checks[work.key].run(work.connection, work.dates)
        held_back = {(f.check, f.business_date): f for f in self._held_back(work)}
        return [held_back.get((f.check, f.business_date), f) for f in findings], rows

    def _record(self, work: _Work, findings: Sequence[CheckFinding], rows: Mapping[date, int]) -> None:
        """Write partition_load, check_result and load_log."""
        loads, log = self.tables["cdp_metadata.partition_load"], self.tables["cdp_metadata.load_log"]
        audit = work.stamp.row
        partitions = [
            {"table_key": work.key, "business_date": day, "rows_in_partition": rows[day], **audit} for day in work.dates
        ]
        of_table = sa.and_(loads.c.table_key == work.key, in_range(loads.c.business_date, work.dates))
        counts = work.counts.values()
        entry = {
            "table_key": work.key,
            "first_date": work.dates.first,
            "last_date": work.dates.last,
            "rows_read": sum(c.read for c in counts),
            "rows_inserted": sum(c.inserted for c in counts),
            "rows_removed": sum(c.removed for c in counts),
            "rows_rejected": sum(c.rejected for c in counts),
            "seconds": round(work.seconds, 3),
            **audit,
        }
        replace_rows(work.connection, loads, None if work.is_new else of_table, list(partitions))
        work.connection.execute(sa.insert(log), [entry])
        self._record_findings(work, findings, work.dates)

    def _record_findings(self, work: _Work, findings: Iterable[CheckFinding], dates: DateRange) -> None:
        result = self.tables["cdp_metadata.check_result"]
        rows = [
            {
                "table_key": work.key,
                "check_name": finding.check,
                "business_date": finding.business_date,
                "passed": finding.passed,
                "blocks": finding.blocks,
                "message": finding.message[:2000] or None,
                **work.stamp.row,
            }
            for finding in findings
        ]
        of_table = sa.and_(result.c.table_key == work.key, in_range(result.c.business_date, dates))
        replace_rows(work.connection, result, None if work.is_new else of_table, list(rows))

    def _held_back(self, work: _Work) -> list[CheckFinding]:
        """The failed check of each date that is held back."""
        first = self.checks[work.key].names[0]
        return [
            CheckFinding(first, day, passed=False, blocks=True, findings={NOT_LOADED: reason})
            for day, reason in work.held_back.items()
        ]


def _outcome(finding: CheckFinding) -> CheckOutcome:
    return CheckOutcome(
        check=finding.check,
        business_date=finding.business_date,
        passed=finding.passed,
        blocking=finding.blocks,
        severity="error" if finding.blocks else "warn",
        metadata=json.loads(json.dumps(dict(finding.findings))),
    )
