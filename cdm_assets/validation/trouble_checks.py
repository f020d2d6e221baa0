"""The checks for known troubles that the catalog declares (`catalog.checks`), as SQL.

Each is either a count of what is wrong on a date, answered with the other checks of the table by one query, or a list
of examples, one query more. They stay within what the five databases share: medians are taken by numbering rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog import checks as declared
from cdm_assets.catalog.model import Source
from cdm_assets.catalog.types import TypeKind
from cdm_assets.validation.checks import Condition, Examples, PerDate
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import (
    canonical_text,
    concat,
    days_after,
    fixed_text,
    seconds_between,
    weekday,
)
from cdm_assets.warehouse.tables import TIMESTAMP, Tables

_MAD_TO_DEVIATION: Final = Decimal("1.4826")
"""Of a normal distribution, the standard deviation in median absolute deviations."""
_AMOUNT: Final = sa.Numeric(28, 2)


@dataclass
class TroubleChecks:
    """What the declared checks of one table add to its others."""

    conditions: list[Condition] = field(default_factory=list)
    counts: list[PerDate] = field(default_factory=list)
    examples: list[Examples] = field(default_factory=list)


def trouble_checks(
    tables: Tables, key: str, checks: Sequence[declared.AnyCheck], source: Source | None = None
) -> TroubleChecks:
    """The declared `checks` of the table `key`; `source` is the one behind a landing table."""
    found = TroubleChecks()
    for number, check in enumerate(checks):
        trouble = _Trouble(tables, key, f"trouble_{number}")
        match check:
            case declared.ExpectedEvents():
                _add_count(found, check, trouble, _too_few(check), trouble.too_few(check))
            case declared.Duplicates():
                text = f"rows that repeat {' and '.join(check.columns)} of another, more than {check.max_share:%}"
                _add_count(found, check, trouble, text, trouble.duplicates(check))
            case declared.LateBeyondBound():
                assert source is not None  # noqa: S101 - only sources can declare it
                hours = f"{source.event_bound_hours:g}"
                text = f"events from more than {hours} hours before the date, more than {check.max_share:%}"
                _add_count(found, check, trouble, text, trouble.late(check, source))
            case declared.NoNa():
                of_some = f" where {check.when} is one of {', '.join(check.values)}" if check.when else ""
                for position, column in enumerate(check.columns):
                    label, text = f"{trouble.label}_{position}", f"rows without {column}{of_some}"
                    found.conditions.append(Condition(check.check, label, text, blocks=check.blocks))
                found.counts.append(trouble.without_value(check))
            case declared.Skew():
                text = f"values of {check.column} in more than {check.max_share:%} of the rows"
                _add_examples(found, check, trouble, text, trouble.heavy(check))
            case declared.LedgerAgreement():
                text = f"differences from the ledger of more than {check.tolerance:%}"
                _add_examples(found, check, trouble, text, trouble.off_the_ledger(check))
            case declared.OutOfScale():
                of = "numbers of rows" if check.column == "rows" else f"values of {check.column}"
                text = f"{of} of {check.table} out of the scale of the {check.days} days before"
                _add_examples(found, check, trouble, text, trouble.out_of_scale(check))
            case declared.MissingStatus():
                text = f"{check.entity} rows without {check.events} {check.within_days} days after {check.since}"
                _add_examples(found, check, trouble, text, trouble.without_event(check))
    return found


def _too_few(check: declared.ExpectedEvents) -> str:
    days = "" if len(check.weekdays) == len(declared.Weekday) else f" on {', '.join(check.weekdays)}"
    return f"rows fewer than the {check.min_rows} expected{days}"


def _add_count(found: TroubleChecks, check: declared.AnyCheck, trouble: _Trouble, text: str, count: PerDate) -> None:
    found.conditions.append(Condition(check.check, trouble.label, text, blocks=check.blocks))
    found.counts.append(count)


def _add_examples(
    found: TroubleChecks, check: declared.AnyCheck, trouble: _Trouble, text: str, select: PerDate
) -> None:
    found.examples.append(Examples(Condition(check.check, trouble.label, text, blocks=check.blocks), select))


@dataclass(frozen=True)
class _Trouble:
    """One declared check of one table; `label` is the column of what it counts."""

    tables: Tables
    key: str
    label: str

    @property
    def table(self) -> sa.Table:
        return self.tables[self.key]

    def too_few(self, check: declared.ExpectedEvents) -> PerDate:
        table, calendar = self.table, self.tables["cdp_metadata.calendar"]
        weekdays = [list(declared.Weekday).index(day) for day in check.weekdays]

        def select(dates: DateRange) -> sa.Select[Any]:
            counted = (
                sa.select(table.c.business_date, sa.func.count().label("n"))
                .where(table.c.business_date.between(dates.first, dates.last))
                .group_by(table.c.business_date)
                .subquery("counted")
            )
            day, rows = calendar.c.business_date, sa.func.coalesce(counted.c.n, 0)
            missing = sa.case((rows < check.min_rows, check.min_rows - rows), else_=0)
            return (
                sa.select(day, missing.label(self.label))
                .select_from(calendar.outerjoin(counted, counted.c.business_date == day))
                .where(day.between(dates.first, dates.last), weekday(day).in_(weekdays))
            )

        return select

    def duplicates(self, check: declared.Duplicates) -> PerDate:
        table = self.table

        def select(dates: DateRange) -> sa.Select[Any]:
            columns = [table.c[name] for name in check.columns]
            groups = (
                sa.select(table.c.business_date, sa.func.count().label("n"))
                .where(table.c.business_date.between(dates.first, dates.last), *(c.is_not(None) for c in columns))
                .group_by(table.c.business_date, *columns)
                .subquery("groups")
            )
            rows, repeated = sa.func.sum(groups.c.n), sa.func.sum(groups.c.n) - sa.func.count()
            counted = sa.case((repeated > _share(check.max_share) * rows, repeated), else_=0)
            return sa.select(groups.c.business_date, counted.label(self.label)).group_by(groups.c.business_date)

        return select

    def late(self, check: declared.LateBeyondBound, source: Source) -> PerDate:
        table = self.table
        event_time: ColumnElement[Any] = table.c[str(source.event_time)]
        if source.columns_by_name[str(source.event_time)].type.kind is TypeKind.DATE:
            event_time = sa.cast(event_time, TIMESTAMP)
        bound_seconds = round(source.event_bound_hours * 3600)

        def select(dates: DateRange) -> sa.Select[Any]:
            lateness = seconds_between(event_time, sa.cast(table.c.business_date, TIMESTAMP))
            late = sa.func.sum(sa.case((lateness > bound_seconds, 1), else_=0))
            counted = sa.case((late > _share(check.max_share) * sa.func.count(), late), else_=0)
            return (
                sa.select(table.c.business_date, counted.label(self.label))
                .where(table.c.business_date.between(dates.first, dates.last))
                .group_by(table.c.business_date)
            )

        return select

    def without_value(self, check: declared.NoNa) -> PerDate:
        table = self.table

        def select(dates: DateRange) -> sa.Select[Any]:
            counts = [
                sa.func.sum(sa.case((table.c[name].is_(None), 1), else_=0)).label(f"{self.label}_{position}")
                for position, name in enumerate(check.columns)
            ]
            query = sa.select(table.c.business_date, *counts).where(
                table.c.business_date.between(dates.first, dates.last)
            )
            if check.when is not None:
                query = query.where(table.c[check.when].in_(check.values))
            return query.group_by(table.c.business_date)

        return select

    def heavy(self, check: declared.Skew) -> PerDate:
        table = self.table

        def select(dates: DateRange) -> sa.Select[Any]:
            value = table.c[check.column]
            in_dates = table.c.business_date.between(dates.first, dates.last)
            groups = (
                sa.select(table.c.business_date, value.label("value"), sa.func.count().label("n"))
                .where(in_dates)
                .group_by(table.c.business_date, value)
                .subquery("groups")
            )
            rows = sa.func.sum(groups.c.n).over(partition_by=groups.c.business_date)
            shares = sa.select(*groups.c, rows.label("of_all")).subquery("shares")
            text = _sentence(shares.c.value, " in ", shares.c.n, " of ", sa.cast(shares.c.of_all, sa.BigInteger()))
            heavy = sa.select(shares.c.business_date, text.label("example")).where(
                shares.c.n > _share(check.max_share) * shares.c.of_all, shares.c.of_all >= check.min_rows
            )
            return _numbered(heavy)

        return select

    def off_the_ledger(self, check: declared.LedgerAgreement) -> PerDate:
        table = self.table

        def select(dates: DateRange) -> sa.Select[Any]:
            parts = []
            for name, theirs in check.pairs.items():
                ours, ledger = sa.cast(table.c[name], _AMOUNT), table.c[theirs]
                named = [part for column in check.named_by for part in (table.c[column], " ")]
                off = sa.cast(table.c[name] - ledger, _AMOUNT)
                text = _sentence(*named, f"{name} ", ours, ", ledger ", sa.cast(ledger, _AMOUNT), ", difference ", off)
                parts.append(
                    sa.select(table.c.business_date, text.label("example")).where(
                        table.c.business_date.between(dates.first, dates.last),
                        sa.func.abs(table.c[name] - ledger) > _share(check.tolerance) * sa.func.abs(ledger),
                    )
                )
            return _numbered(sa.union_all(*parts) if len(parts) > 1 else parts[0])

        return select

    def out_of_scale(self, check: declared.OutOfScale) -> PerDate:
        def select(dates: DateRange) -> sa.Select[Any]:
            value, before = self._values(check, dates), self._values(check, dates)
            per = [f"per_{n}" for n in range(len(check.per))]
            day = value.c.business_date
            judged = sa.select(day, *(value.c[p] for p in per)).where(day >= dates.first).distinct().subquery("judged")
            groups = [judged.c.business_date, *(judged.c[p] for p in per)]
            since = days_after(judged.c.business_date, sa.literal_column(str(-check.days)))
            earlier = sa.and_(
                before.c.business_date >= since,
                before.c.business_date < judged.c.business_date,
                *(before.c[p] == judged.c[p] for p in per),
            )
            history = sa.select(*groups, before.c.x).select_from(judged.join(before, earlier)).subquery("history")
            keys = ["business_date", *per]
            middle = _medians(history, keys, "middle")
            same = sa.and_(*(middle.c[k] == history.c[k] for k in keys))
            distance = sa.func.abs(history.c.x - middle.c.median)
            distances = (
                sa.select(*(history.c[k] for k in keys), distance.label("x"))
                .select_from(history.join(middle, same))
                .subquery("distances")
            )
            spread = _medians(distances, keys, "spread")
            score_unit = sa.literal(_MAD_TO_DEVIATION, sa.Numeric(9, 4)) * spread.c.median
            smallest = sa.literal(check.smallest_scale, sa.Numeric(18, 6))
            scale = sa.case((score_unit > smallest, score_unit), else_=smallest)
            names = [part for n in range(len(check.named_by)) for part in (value.c[f"name_{n}"], " ")]
            what = "rows" if check.column == "rows" else check.column
            usual = sa.cast(middle.c.median, _AMOUNT)
            text = _sentence(*names, f"{what} ", sa.cast(value.c.x, _AMOUNT), ", median before ", usual)
            off = (
                sa.select(day, text.label("example"))
                .select_from(
                    value.join(middle, sa.and_(*(middle.c[k] == value.c[k] for k in keys))).join(
                        spread, sa.and_(*(spread.c[k] == value.c[k] for k in keys))
                    )
                )
                .where(
                    day >= dates.first,
                    middle.c.n >= check.min_history,
                    sa.func.abs(value.c.x - middle.c.median) > sa.literal(check.threshold, sa.Numeric(18, 6)) * scale,
                )
            )
            return _numbered(off)

        return select

    def _values(self, check: declared.OutOfScale, dates: DateRange) -> sa.Subquery:
        """The values of a range and of the days before it that count: business_date, x, per_0 ..., name_0 ..."""
        table = self.tables[check.table]
        day = table.c.business_date
        per = [table.c[name].label(f"per_{n}") for n, name in enumerate(check.per)]
        since = dates.first - timedelta(days=check.days)
        if check.column == "rows":
            count = sa.cast(sa.func.count(), _AMOUNT).label("x")
            query = sa.select(day, count, *per).group_by(day, *(table.c[name] for name in check.per))
        else:
            names = [table.c[name].label(f"name_{n}") for n, name in enumerate(check.named_by)]
            value = table.c[check.column]
            query = sa.select(day, value.label("x"), *per, *names).where(value.is_not(None))
        return query.where(day.between(since, dates.last)).subquery()

    def without_event(self, check: declared.MissingStatus) -> PerDate:
        entity, events = self.tables[f"itf.{check.entity}"], self.tables[f"itf.{check.events}"]

        def select(dates: DateRange) -> sa.Select[Any]:
            first = (
                sa.select(events.c[check.key].label("key"), sa.func.min(events.c.business_date).label("first_date"))
                .where(events.c.business_date <= dates.last)
                .group_by(events.c[check.key])
                .subquery("first_events")
            )
            day = entity.c.business_date
            due = days_after(entity.c[check.since], sa.literal_column(str(check.within_days))) <= day
            missing = sa.or_(first.c.first_date.is_(None), first.c.first_date > day)
            silent = (
                sa.select(day, _sentence(entity.c[check.key]).label("example"))
                .select_from(entity.outerjoin(first, first.c.key == entity.c[check.key]))
                .where(day.between(dates.first, dates.last), due, missing)
            )
            return _numbered(silent)

        return select


def _share(share: Decimal) -> ColumnElement[Any]:
    return sa.literal(share, sa.Numeric(9, 6))


def _medians(values: sa.Subquery, keys: Sequence[str], name: str) -> sa.Subquery:
    """The median of `x` and the number of values `n` of each group: the mean of the one or two in the middle."""
    groups = [values.c[key] for key in keys]
    position = sa.func.row_number().over(partition_by=groups, order_by=values.c.x)
    number = sa.func.count().over(partition_by=groups)
    ranked = sa.select(*groups, values.c.x, position.label("nth"), number.label("n")).subquery(f"{name}_ranked")
    is_middle = sa.and_(2 * ranked.c.nth >= ranked.c.n, 2 * ranked.c.nth <= ranked.c.n + 2)
    # Summed as decimals: a mean of decimals is a binary fraction on some engines.
    median = sa.cast(sa.func.sum(ranked.c.x), sa.Numeric(30, 4)) / sa.func.count()
    return (
        sa.select(*(ranked.c[key] for key in keys), ranked.c.n, median.label("median"))
        .where(is_middle)
        .group_by(*(ranked.c[key] for key in keys), ranked.c.n)
        .subquery(name)
    )


def _numbered(rows: sa.Select[Any] | sa.CompoundSelect[Any]) -> sa.Select[Any]:
    """Rows of (business_date, example) as `Examples` wants them: with their number on the date and their place."""
    found = rows.subquery("found")
    number = sa.func.count().over(partition_by=found.c.business_date).label("number")
    nth = sa.func.row_number().over(partition_by=found.c.business_date, order_by=found.c.example).label("nth")
    return sa.select(found.c.business_date, number, found.c.example, nth)


def _sentence(*parts: ColumnElement[Any] | str) -> ColumnElement[Any]:
    """Values and texts of ours put together; NULL is written as such."""
    texts = [fixed_text(part) if isinstance(part, str) else _text_of(part) for part in parts]
    return concat(*texts) if len(texts) > 1 else texts[0]


_KINDS: Final[Sequence[tuple[type[sa.types.TypeEngine[Any]], TypeKind]]] = (
    (sa.String, TypeKind.STRING),
    (sa.Integer, TypeKind.INTEGER),
    (sa.Date, TypeKind.DATE),
    (sa.DateTime, TypeKind.TIMESTAMP),
)


def _text_of(value: ColumnElement[Any]) -> ColumnElement[Any]:
    kind = next((kind for type_, kind in _KINDS if isinstance(value.type, type_)), TypeKind.DECIMAL)
    scale = value.type.scale or 0 if isinstance(value.type, sa.Numeric) else 0
    return sa.func.coalesce(canonical_text(value, kind, scale), fixed_text("NULL"))
