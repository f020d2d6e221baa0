"""Data-quality rules as SQL conditions, the same whether a row is being read from a file or already in a table."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Column, Source
from cdm_assets.catalog.rules import (
    CompleteWhen,
    Dated,
    DateOrder,
    Domain,
    Format,
    Known,
    KnownModel,
    Length,
    NonNegative,
    NotNull,
    Range,
    Referential,
    Rule,
    ScoreRange,
    Unique,
)
from cdm_assets.catalog.types import OnFailure, TypeKind, parse_value
from cdm_assets.warehouse.functions import canonical_text, matches, text_length
from cdm_assets.warehouse.tables import BUSINESS_DATE

Values = Callable[[str], ColumnElement[Any]]
"""Gives the typed SQL value of a column by name; `business_date` is that of the row's file."""


def row_rules(source: Source, on_failure: OnFailure) -> list[Rule]:
    """The rules of a source that can be judged on one row, with the given consequence."""
    return [r for r in source.rules if r.on_failure is on_failure and not isinstance(r, Unique | Referential | Known)]


def judged_later(rejected_record: sa.Table) -> ColumnElement[bool]:
    """True for the rejected records that are in the landing zone all the same: a `known` rule was decided behind it."""
    return rejected_record.c.rule.like("known:%")


def violates(  # noqa: PLR0911 - one return a kind of rule
    rule: Rule, source: Source, value: Values
) -> ColumnElement[bool]:
    """A condition that is true where a row breaks `rule`; a NULL value breaks only completeness rules.

    Blank text counts as no value there, as in required columns and in the vault's hashes.
    """
    match rule:
        case NotNull():
            return _is_missing(value(rule.column), source.columns_by_name[rule.column])
        case Domain():
            return value(rule.column).not_in(rule.values)
        case Range():
            bounds = []
            if rule.min is not None:
                bounds.append(value(rule.column) < _number(rule.min))
            if rule.max is not None:
                bounds.append(value(rule.column) > _number(rule.max))
            return sa.or_(*bounds)
        case NonNegative():
            return value(rule.column) < 0
        case DateOrder():
            return value(rule.earlier) > value(rule.later)
        case Format():
            return sa.not_(matches(value(rule.column), rule.pattern))
        case Length():
            length = text_length(value(rule.column))
            too_short = length < rule.min
            return too_short if rule.max is None else sa.or_(too_short, length > rule.max)
        case CompleteWhen():
            when = source.columns_by_name[rule.when]
            values = [parse_value(text, when.type) for text in rule.values]
            missing = _is_missing(value(rule.column), source.columns_by_name[rule.column])
            return sa.and_(value(rule.when).in_(values), missing)
        case Dated():
            return value(rule.column) != value(BUSINESS_DATE)
        case KnownModel():
            known = [
                sa.and_(
                    value(rule.model) == name,
                    value(rule.version) == version.version,
                    value(rule.date) >= sa.literal(version.valid_from, sa.Date()),
                )
                for name, model in rule.models.items()
                for version in model.versions
            ]
            return sa.not_(sa.or_(sa.false(), *known))
        case ScoreRange():
            score = value(rule.score)
            outside = (
                (value(rule.model) == name, sa.or_(score < _number(model.min_score), score > _number(model.max_score)))
                for name, model in rule.models.items()
            )
            return sa.case(*outside, else_=sa.false())
    raise TypeError(f"{rule.rule} is not judged row by row")


def expectation(rule: Rule) -> str:  # noqa: C901, PLR0911 - one return a kind of rule
    """What a row should have had, for messages."""
    match rule:
        case NotNull():
            return "a value"
        case Domain():
            return f"one of {', '.join(rule.values)}"
        case Range():
            return f"a number {_between(rule.min, rule.max)}"
        case NonNegative():
            return "zero or more"
        case DateOrder():
            return f"{rule.later} not before {rule.earlier}"
        case Format():
            return f"text that matches {rule.pattern}"
        case Length():
            return f"text of {_between(rule.min, rule.max)} characters"
        case CompleteWhen():
            return f"a value, as {rule.when} is {' or '.join(rule.values)}"
        case Unique():
            return f"no second row with the same {', '.join(rule.columns)}"
        case Referential():
            return f"a key that source {rule.references} describes"
        case Dated():
            return "the business date of the file"
        case KnownModel():
            return "a model of models.yaml in a version that is valid by then"
        case ScoreRange():
            ranges = (f"{_between(m.min_score, m.max_score)} of {name}" for name, m in rule.models.items())
            return f"a score {', '.join(ranges)}"
        case Known():
            return f"a {rule.entity} known on the business date"


def _is_missing(value: ColumnElement[Any], column: Column) -> ColumnElement[bool]:
    return (canonical_text(value, TypeKind.STRING) if column.type.kind is TypeKind.STRING else value).is_(None)


def _between(least: Decimal | int | None, most: Decimal | int | None) -> str:
    if most is None:
        return f"of at least {least:f}" if isinstance(least, Decimal) else f"at least {least}"
    if least is None:
        return f"of at most {most:f}"
    return f"from {least:f} to {most:f}" if isinstance(least, Decimal) else f"{least} to {most}"


def _number(value: Decimal) -> Decimal | int:
    return int(value) if value == value.to_integral_value() else value
