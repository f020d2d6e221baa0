"""What the warehouse holds: per layer tables, partitions, rows, checks and seconds, from the control tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import sqlalchemy as sa

from cdm_assets.catalog.types import Layer
from cdm_assets.loading.stamp import in_range
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import Warehouse


@dataclass(frozen=True)
class LayerStatus:
    """One layer within a range of dates. `seconds`: spent on files and SQL by the last loads."""

    layer: Layer
    tables: int
    partitions: int
    rows: int
    checks_passed: int
    checks_warned: int
    checks_failed: int
    seconds: float


@dataclass(frozen=True)
class FailedCheck:
    """A check that did not pass on its last run."""

    table: str
    check: str
    business_date: date
    blocks: bool
    message: str


def layer_statuses(warehouse: Warehouse, dates: DateRange) -> list[LayerStatus]:
    """The state of every layer for `dates`, in the order of the layers."""
    tables = warehouse.tables
    loads, results = tables["cdp_metadata.partition_load"], tables["cdp_metadata.check_result"]
    log = tables["cdp_metadata.load_log"]
    held = sa.select(loads.c.table_key, sa.func.count(), sa.func.sum(loads.c.rows_in_partition)).where(
        in_range(loads.c.business_date, dates)
    )
    passed = sa.case((results.c.passed == sa.true(), 1), else_=0)
    failed = sa.case((results.c.blocks == sa.true(), 1), else_=0)
    checked = sa.select(results.c.table_key, sa.func.sum(passed), sa.func.sum(failed), sa.func.count()).where(
        in_range(results.c.business_date, dates)
    )
    spent = sa.select(log.c.table_key, sa.func.sum(log.c.seconds)).where(
        log.c.first_date <= dates.last, log.c.last_date >= dates.first
    )
    with warehouse.connection() as connection:
        by_table = {key: counts for key, *counts in connection.execute(held.group_by(loads.c.table_key))}
        by_check = {key: counts for key, *counts in connection.execute(checked.group_by(results.c.table_key))}
        seconds = dict(connection.execute(spent.group_by(log.c.table_key)).tuples().all())
    statuses = []
    for layer in Layer:
        keys = [key for key in tables.partitioned if tables.meta(key).layer is layer]
        if not keys:
            continue
        counts = [by_table.get(key, (0, 0)) for key in keys]
        checks = [by_check.get(key, (0, 0, 0)) for key in keys]
        good, bad = sum(int(c[0]) for c in checks), sum(int(c[1]) for c in checks)
        statuses.append(
            LayerStatus(
                layer=layer,
                tables=len(keys),
                partitions=sum(int(c[0]) for c in counts),
                rows=sum(int(c[1]) for c in counts),
                checks_passed=good,
                checks_warned=sum(int(c[2]) for c in checks) - good - bad,
                checks_failed=bad,
                seconds=float(sum((seconds.get(key, Decimal(0)) for key in keys), Decimal(0))),
            )
        )
    return statuses


def failed_checks(warehouse: Warehouse, dates: DateRange, *, blocking: bool) -> Sequence[FailedCheck]:
    """The checks that failed within `dates`: those that block, or those that only warn, by date and table."""
    results = warehouse.tables["cdp_metadata.check_result"]
    query = (
        sa.select(
            results.c.table_key, results.c.check_name, results.c.business_date, results.c.blocks, results.c.message
        )
        .where(
            results.c.passed == sa.false(),
            results.c.blocks == (sa.true() if blocking else sa.false()),
            in_range(results.c.business_date, dates),
        )
        .order_by(results.c.business_date, results.c.table_key)
    )
    with warehouse.connection() as connection:
        rows = connection.execute(query).tuples().all()
    return [FailedCheck(table, check, day, blocks, message or "") for table, check, day, blocks, message in rows]
