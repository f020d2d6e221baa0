"""Whether a business date is right, recomputed now from what the tables hold; nothing is read from earlier results.

The checks of each table (keys, required columns, rows against the layer before, links, rules, totals) are run again as
they are after a load. Beside them stand the questions that cross the layers in other ways:

- `loaded`: the table holds the partition at all;
- `technical`: columns that the platform itself fills are neither NULL nor empty, and hash keys are of one length;
- `sums`: amounts and counts that are handed on unchanged are the same before and after, to the last digit: records of a
  file and events of the vault, events of the vault and of the interface, marts and what is published of them;
- `flowcharts`: each has its id and a number of executions, above zero where it ran, and its columns that are computed
  before are filled.

Each answer is one statement a table on a connection that may be read-only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import EntityKind
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.loading.vault_keys import event_table
from cdm_assets.operations.error_codes import code_of_check
from cdm_assets.validation.checks import TableChecks
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.tables import AUDIT_COLUMNS, BUSINESS_DATE

_TECHNICAL: Final = (BUSINESS_DATE, *AUDIT_COLUMNS, "rec_src", "hashdiff", "is_listed", "event_date")
_OF_FILES: Final = ("source_file", "source_row")
LOADED, TECHNICAL, SUMS, FLOWCHARTS = "loaded", "technical", "sums", "flowcharts"
_LIKE: Final = {TECHNICAL: "required", SUMS: "row_count"}
"""Questions that only stand here, with the check whose code they have."""
_NOT_FRESH: Final = "CDM-OPS-005"


@dataclass(frozen=True)
class Verified:
    """The answer to one question about one table."""

    table: str
    check: str
    passed: bool
    blocks: bool
    """Failed in a way that makes the date wrong; a warning else."""
    message: str = ""

    @property
    def code(self) -> str:
        """For `cdm runbook CODE`; empty where it passed."""
        if self.passed:
            return ""
        if self.check == LOADED:
            return _NOT_FRESH
        return code_of_check(self.table, _LIKE.get(self.check, self.check), self.message)


def verified(
    connection: sa.Connection, loads: TableLoads, day: date, tables: Sequence[str] | None = None
) -> list[Verified]:
    """Every question about `day` for `tables` (all by default), in the order of the loads."""
    partitions = loads.tables["cdp_metadata.partition_load"]
    query = sa.select(partitions.c.table_key).where(partitions.c.business_date == day)
    loaded = set(connection.execute(query).scalars())
    found: list[Verified] = []
    for key in loads.in_order if tables is None else tables:
        if key not in loaded:
            found.append(Verified(key, LOADED, passed=False, blocks=True, message=f"{day} was never loaded"))
            continue
        found.append(Verified(key, LOADED, passed=True, blocks=False))
        found += _checks_again(connection, loads.checks[key], key, day)
        found += _technical(connection, loads.tables[key], key, day)
        found += _sums(connection, loads, key, day)
        found += _flowcharts(connection, loads, key, day)
    return found


def _checks_again(connection: sa.Connection, checks: TableChecks, key: str, day: date) -> Iterator[Verified]:
    findings, _ = checks.run(connection, DateRange(day, day))
    return (Verified(key, f.check, passed=f.passed, blocks=f.blocks, message=f.message) for f in findings)


def _answer(key: str, check: str, counts: Iterable[tuple[str, Any]]) -> Verified:
    """Passed where all counts are zero."""
    wrong = [f"{what}: {count}" for what, count in counts if count]
    return Verified(key, check, passed=not wrong, blocks=bool(wrong), message="; ".join(wrong))


def _technical(connection: sa.Connection, table: sa.Table, key: str, day: date) -> Iterator[Verified]:
    of_files = _OF_FILES if key.startswith(f"{Layer.LANDING}.") else ()
    names = [c.name for c in table.c if c.name in (*_TECHNICAL, *of_files) or _is_hash_key(c)]
    wrong: dict[str, ColumnElement[bool]] = {}
    for name in names:
        column = table.c[name]
        is_missing: ColumnElement[bool] = column.is_(None)
        if isinstance(column.type, sa.String):
            is_missing = sa.or_(is_missing, sa.func.trim(column) == "")
        wrong[f"rows without {name}"] = is_missing
        if _is_hash_key(column) or name == "hashdiff":
            length = getattr(column.type, "length", None)
            wrong[f"rows whose {name} has not {length} characters"] = sa.func.length(column) != length
    counted = [
        sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0).label(f"wrong_{number}")
        for number, condition in enumerate(wrong.values())
    ]
    # A row without a date is in no partition: it is counted whatever the date.
    of_day = sa.or_(table.c.business_date == day, table.c.business_date.is_(None))
    row = connection.execute(sa.select(*counted).where(of_day)).one()
    yield _answer(key, TECHNICAL, zip(wrong, row, strict=True))


def _is_hash_key(column: sa.Column[Any]) -> bool:
    return column.name.endswith("_hk") and str(column.table.info["key"]).startswith(f"{Layer.VAULT}.")


def _sums(connection: sa.Connection, loads: TableLoads, key: str, day: date) -> Iterator[Verified]:
    """The sums before and after one hop, column by column, where the hop hands values on unchanged."""
    hop = _handed_on(loads, key, day)
    if hop is None or not hop[2]:
        return
    before, after, pairs = hop
    left = connection.execute(sa.select(*(_total(before.c[a]).label(f"s_{a}") for a, _ in pairs))).one()
    right = connection.execute(sa.select(*(_total(after.c[b]).label(f"s_{b}") for _, b in pairs))).one()
    differences = [
        (f"sum of {b} - sum of {a} before", after_sum - before_sum)
        for (a, b), before_sum, after_sum in zip(pairs, left, right, strict=True)
    ]
    yield _answer(key, SUMS, differences)


def _total(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return sa.func.coalesce(sa.func.sum(column), 0)


Hop = tuple[sa.FromClause, sa.FromClause, list[tuple[str, str]]]


def _handed_on(loads: TableLoads, key: str, day: date) -> Hop | None:
    """What `key` is copied from and what it holds, on `day`, with the pairs of numeric columns handed on."""
    layer, name = key.split(".")
    catalog, table = loads.catalog, loads.tables[key]
    here = sa.select(*table.c).where(table.c.business_date == day).subquery("here")
    if layer == Layer.VAULT and name.startswith("l_") and name[2:] in catalog.vault.events:
        event = event_table(catalog, name[2:])
        sent = event.observations(loads.tables, lambda column: column == day).subquery("sent")
        first_now = sa.exists().where(table.c[event.hash_key] == sent.c[event.hash_key], table.c.business_date == day)
        before = sa.select(*sent.c).where(first_now).subquery("before")
        return before, here, [(c.name, c.name) for c in table.c if _is_number(c)]
    if layer == Layer.INTERFACE and catalog.interface[name].kind is EntityKind.EVENT:
        entity = catalog.interface[name]
        spine = loads.tables[f"{Layer.VAULT}.{entity.spine}"]
        before = sa.select(*spine.c).where(spine.c.event_date == day).subquery("before")
        pairs = []
        for column in entity.columns:
            origin, value = column.from_[0].split(".")
            is_plain = len(column.from_) == 1 and not column.codes and column.default is None
            if origin == entity.spine and is_plain and value in spine.c and _is_number(spine.c[value]):
                pairs.append((value, column.name))
        return before, here, pairs
    if layer == Layer.PUBLISH:
        mart = loads.tables[f"{catalog.marts[name].layer}.{name}"]
        before = sa.select(*mart.c).where(mart.c.business_date == day).subquery("before")
        numbers = [c.name for c in mart.c if _is_number(c) and c.name in table.c and _is_number(table.c[c.name])]
        return before, here, [(number, number) for number in numbers]
    return None


def _is_number(column: sa.Column[Any]) -> bool:
    return isinstance(column.type, (sa.Numeric, sa.Integer)) and not isinstance(column.type, sa.Float)


def _flowcharts(connection: sa.Connection, loads: TableLoads, key: str, day: date) -> Iterator[Verified]:
    """What must hold for each flowchart, in the tables that tell of one in a row."""
    table = loads.tables[key]
    if not {"flowchart_id", "execution_count"} <= set(table.c.keys()):
        return
    computed = [c for c in table.c if c.name == "last_run_at" or (isinstance(c.type, sa.Integer) and not c.primary_key)]
    wrong = {
        "rows without flowchart_id": sa.or_(table.c.flowchart_id.is_(None), table.c.flowchart_id == ""),
        "rows whose execution_count is NULL or negative": sa.func.coalesce(table.c.execution_count, -1) < 0,
        "flowcharts that ran, with a column that is computed before and not filled": sa.and_(
            table.c.execution_count > 0, sa.or_(*(column.is_(None) for column in computed))
        ),
    }
    counted = [_total(sa.case((condition, 1), else_=0)) for condition in wrong.values()]
    row = connection.execute(sa.select(*counted).where(table.c.business_date == day)).one()
    counts = [*zip(wrong, row, strict=True)]
    runs = f"{Layer.INTERFACE}.flowchart_run"
    if runs in loads.tables and "flowchart_id" in loads.tables[runs].c:
        ran = _ran_and_do_not_count(loads.tables[runs], table, day)
        counts.append(("flowcharts that ran and have no execution_count above 0", connection.scalar(ran)))
    yield _answer(key, FLOWCHARTS, counts)


def _ran_and_do_not_count(runs: sa.Table, table: sa.Table, day: date) -> sa.Select[Any]:
    """The flowcharts with a run up to `day` whose row of that day is missing or counts no execution."""
    counts = sa.exists().where(
        table.c.business_date == day, table.c.flowchart_id == runs.c.flowchart_id, table.c.execution_count > 0
    )
    return sa.select(sa.func.count(runs.c.flowchart_id.distinct())).where(runs.c.business_date <= day, ~counts)
