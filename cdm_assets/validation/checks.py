"""The checks of a table: a few concerns, each with its rules, answered for every date of a range by one query.

Concerns: `keys` (unique, not null), `required` (columns with a value), `row_count` (against the layer before), `links`
(keys that nothing describes), `rules` (the source's data-quality rules that block or warn), `totals` (against the vault
to the last digit). A condition counts what is wrong on a date; a check passes where all its counts are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.warehouse.dates import DateRange

MOST_EXAMPLES: Final = 20

PerDate = Callable[[DateRange], "sa.Select[Any]"]
"""Gives a select with `business_date` and one column a condition; dates without a row count as zero."""


@dataclass(frozen=True)
class Condition:
    """Something that must not happen. `label` is the column that counts it."""

    check: str
    label: str
    description: str
    blocks: bool = True


@dataclass(frozen=True)
class Examples:
    """A select of (business_date, occurrences, example, its number from 1 on that date) for one condition."""

    condition: Condition
    select: PerDate


@dataclass(frozen=True)
class CheckFinding:
    """The result of one check on one date."""

    check: str
    business_date: date
    passed: bool
    blocks: bool
    """Failed in a way that must stop what depends on the table."""
    findings: Mapping[str, str | int]
    """Each condition's description and count, examples included."""

    @property
    def message(self) -> str:
        """What is wrong, in one line; empty where the check passed."""
        return "; ".join(f"{text}: {count}" for text, count in self.findings.items() if count != 0)


@dataclass(frozen=True)
class TableChecks:
    """All checks of one table: the selects that count, the conditions on what they count."""

    calendar: sa.Table
    conditions: tuple[Condition, ...]
    counts: tuple[PerDate, ...]
    examples: tuple[Examples, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The checks of the table, in a fixed order."""
        every = (*self.conditions, *(examples.condition for examples in self.examples))
        return tuple(dict.fromkeys(condition.check for condition in every))

    def query(self, dates: DateRange) -> sa.Select[Any]:
        """One row a date: `business_date`, `rows_in_partition`, and each condition's count."""
        calendar = self.calendar
        joined: Any = calendar
        columns: list[ColumnElement[Any]] = []
        for number, per_date in enumerate(self.counts):
            part = per_date(dates).subquery(f"part_{number}")
            joined = joined.outerjoin(part, part.c.business_date == calendar.c.business_date)
            columns += [sa.func.coalesce(c, 0).label(c.name) for c in part.c if c.name != "business_date"]
        days = calendar.c.business_date.between(dates.first, dates.last)
        return sa.select(calendar.c.business_date, *columns).select_from(joined).where(days)

    def run(self, connection: sa.Connection, dates: DateRange) -> tuple[list[CheckFinding], dict[date, int]]:
        """Every check of every date, and the rows of each partition."""
        counted = {row["business_date"]: dict(row) for row in connection.execute(self.query(dates)).mappings()}
        named = [self._examples(connection, examples, dates) for examples in self.examples]
        findings: list[CheckFinding] = []
        for day in dates:
            counts = counted[day]
            broken: dict[str, dict[str, str | int]] = {name: {} for name in self.names}
            blocks: set[str] = set()
            for condition in self.conditions:
                count = _plain(counts[condition.label])
                broken[condition.check][condition.description] = count
                if count != 0 and condition.blocks:
                    blocks.add(condition.check)
            for examples, by_date in zip(self.examples, named, strict=True):
                condition = examples.condition
                broken[condition.check][condition.description] = by_date.get(day, 0)
                if day in by_date and condition.blocks:
                    blocks.add(condition.check)
            findings += [
                CheckFinding(name, day, all(c == 0 for c in found.values()), name in blocks, found)
                for name, found in broken.items()
            ]
        return findings, {day: int(counted[day]["rows_in_partition"]) for day in dates}

    @staticmethod
    def _examples(connection: sa.Connection, examples: Examples, dates: DateRange) -> dict[date, str]:
        """For each date with any: how many keys, and the first of them by name."""
        rows = examples.select(dates).subquery("offending")
        query = sa.select(*rows.c).where(rows.c.nth <= MOST_EXAMPLES).order_by(rows.c.business_date, rows.c.nth)
        found: dict[date, list[str]] = {}
        number: dict[date, int] = {}
        for day, keys, example, _ in connection.execute(query):
            found.setdefault(day, []).append(str(example))
            number[day] = int(keys)
        return {
            day: f"{number[day]} ({', '.join(names)}{', …' if number[day] > len(names) else ''})"
            for day, names in found.items()
        }


def _plain(value: Any) -> str | int:
    """A count as an integer, a difference of money as exact text."""
    return int(value) if value == int(value) else str(value)


def table_counts(
    table: sa.Table, *, key: Sequence[str], required: Sequence[str], measures: Mapping[str, ColumnElement[Any]]
) -> PerDate:
    """Counts on the table itself in one pass: rows, keys that are NULL, missing values, `measures`."""
    day = table.c.business_date
    sums: dict[str, ColumnElement[Any]] = {
        f"null_{name}": sa.case((table.c[name].is_(None), 1), else_=0) for name in required
    }
    sums["null_key"] = sa.case((sa.or_(*(table.c[name].is_(None) for name in key)), 1), else_=0)
    sums |= measures

    def select(dates: DateRange) -> sa.Select[Any]:
        columns = [sa.func.sum(value).label(label) for label, value in sums.items()]
        counted = sa.select(day, sa.func.count().label("rows_in_partition"), *columns)
        return counted.where(day.between(dates.first, dates.last)).group_by(day)

    return select


def repeats(label: str, table: sa.Table, columns: Sequence[str]) -> PerDate:
    """Rows of a date beyond the first with the same values in `columns`, by date. No NULL is the same as another."""

    def select(dates: DateRange) -> sa.Select[Any]:
        groups = (
            sa.select(table.c.business_date, sa.func.count().label("n"))
            .where(
                table.c.business_date.between(dates.first, dates.last),
                *(table.c[name].is_not(None) for name in columns),
            )
            .group_by(table.c.business_date, *(table.c[name] for name in columns))
            .subquery("groups")
        )
        repeated = (sa.func.sum(groups.c.n) - sa.func.count()).label(label)
        return sa.select(groups.c.business_date, repeated).group_by(groups.c.business_date)

    return select


def difference(label: str, left: PerDate, right: PerDate, calendar: sa.Table) -> PerDate:
    """Left minus right by date, where each gives `business_date` and `value`; missing dates count as zero."""

    def select(dates: DateRange) -> sa.Select[Any]:
        one, other = left(dates).subquery("one"), right(dates).subquery("other")
        joined = calendar.outerjoin(one, one.c.business_date == calendar.c.business_date).outerjoin(
            other, other.c.business_date == calendar.c.business_date
        )
        value = sa.func.coalesce(one.c.value, 0) - sa.func.coalesce(other.c.value, 0)
        days = calendar.c.business_date.between(dates.first, dates.last)
        return sa.select(calendar.c.business_date, value.label(label)).select_from(joined).where(days)

    return select
