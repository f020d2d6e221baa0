"""Expressions that marts share: typed sums, rates that are NULL without a denominator, the later of two dates."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

CHANNELS: Final = ("mail", "email", "sms", "app")
"""The channels by which a customer can be reached; a held-back contact has channel `none`."""


def total(value: ColumnElement[Any], type_: Any) -> ColumnElement[Any]:
    """The sum in the type of the column it is stored in; engines differ in how far they widen a sum."""
    return sa.cast(sa.func.sum(value), type_)


def rate(numerator: ColumnElement[Any], denominator: ColumnElement[Any], type_: Any) -> ColumnElement[Any]:
    """The quotient, NULL where the denominator is zero.

    DuckDB divides decimals as doubles, where 79.21 / 8 falls just short of 9.90125: so ten decimals, then the type's.
    """
    exact = sa.cast(numerator, sa.Numeric(28, 8))
    quotient = sa.cast(exact / sa.func.nullif(denominator, 0), sa.Numeric(38, 10))
    return sa.cast(quotient, type_)


def later_of(first: ColumnElement[Any], second: Any) -> ColumnElement[Any]:
    """The later of two dates; GREATEST is missing before SQL Server 2022.

    A given date is written into the statement, not bound to it: what rows are grouped by must not hold a parameter.
    """
    other = second
    if not isinstance(second, ColumnElement):
        other = sa.cast(sa.bindparam(None, second, sa.Date(), literal_execute=True), sa.Date())
    return sa.case((first < other, other), else_=first)
