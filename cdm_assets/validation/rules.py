"""Data-quality rules as SQL conditions, the same whether a row is being read from a file or already in a table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Column, Source
from cdm_assets.catalog.rules import (
    CompleteWhen,
    DateOrder,
    Domain,
    Format,
    Length,
    NonNegative,
    NotNull,
    Range,
    Referential,
    Rule,
    Unique,
)
from cdm_assets.catalog.types import OnFailure, TypeKind
from cdm_assets.warehouse.functions import matches

Values = Callable[[str], ColumnElement[Any]]
"""Gives the typed SQL value of a column by name."""


def row_rules(source: Source, on_failure: OnFailure) -> list[Rule]:
    """The rules of a source that can be judged on one row, with the given consequence."""
    return [r for r in source.rules if r.on_failure is on_failure and not isinstance(r, Unique | Referential)]


def violates(rule: Rule, source: Source, value: Values) -> ColumnElement[bool]:
    """A condition that is true where a row breaks `rule`; a NULL value breaks only completeness rules."""
    match rule:
        case NotNull():
            return value(rule.column).is_(None)
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
            length = sa.func.length(value(rule.column))
            too_short = length < rule.min
            return too_short if rule.max is None else sa.or_(too_short, length > rule.max)
        case CompleteWhen():
            when = source.columns_by_name[rule.when]
            values = [typed_literal(text, when) for text in rule.values]
            return sa.and_(value(rule.when).in_(values), value(rule.column).is_(None))
    raise TypeError(f"{rule.rule} is not judged row by row")


def expectation(rule: Rule) -> str:
    """What a row should have had, for messages."""
    match rule:
        case NotNull():
            return "a value"
        case Domain():
            return f"one of {', '.join(rule.values)}"
        case Range():
            return f"a number from {rule.min if rule.min is not None else '-∞'} to {rule.max if rule.max is not None else '∞'}"
        case NonNegative():
            return "zero or more"
        case DateOrder():
            return f"{rule.later} not before {rule.earlier}"
        case Format():
            return f"text that matches {rule.pattern}"
        case Length():
            return f"{rule.min} to {rule.max if rule.max is not None else '∞'} characters"
        case CompleteWhen():
            return f"a value, as {rule.when} is {' or '.join(rule.values)}"
        case Unique():
            return f"no second row with the same {', '.join(rule.columns)}"
        case Referential():
            return f"a key that source {rule.references} describes"


def typed_literal(text: str, column: Column) -> Any:
    """A catalog text as a value of the column's type. Raises ValueError where it is none."""
    match column.type.kind:
        case TypeKind.INTEGER:
            return int(text)
        case TypeKind.DECIMAL:
            return Decimal(text)
        case TypeKind.DATE:
            return date.fromisoformat(text)
        case TypeKind.TIMESTAMP:
            return datetime.fromisoformat(text)
        case TypeKind.BOOLEAN:
            return text.lower() in ("true", "1")
        case TypeKind.STRING:
            return text


def _number(value: Decimal) -> Decimal | int:
    return int(value) if value == value.to_integral_value() else value
