"""Expressions that marts share: typed sums, rates that are NULL without a denominator, the later of two dates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

_WHOLE_DIGITS: Final = 8
"""Before the point of a decimal(18, 10), the widest that DuckDB computes in 64 bits."""
CHANNELS: Final = ("mail", "email", "sms", "app")
"""The channels by which a customer can be reached; a held-back contact has channel `none`."""


def total(value: ColumnElement[Any], type_: Any, *, over: Mapping[str, Any] | None = None) -> ColumnElement[Any]:
    """The sum in the type of the column it is stored in; engines differ in how far they widen a sum.

    `over` makes it a running sum: what to partition and order by.
    """
    summed = sa.func.sum(value)
    return sa.cast(summed if over is None else summed.over(**over), type_)


def rate(numerator: ColumnElement[Any], denominator: ColumnElement[Any], type_: Any) -> ColumnElement[Any]:
    """The quotient, NULL where the denominator is zero; worked out to ten decimals, then rounded to the type."""
    return sa.type_coerce(_quotient(numerator, sa.func.nullif(denominator, 0), sa.cast(sa.null(), type_)), type_)


class _quotient(FunctionElement[Any]):  # noqa: N801 - spelled like a SQL function
    """A quotient in the type of the third argument."""

    inherit_cache = True


@compiles(_quotient)
def _quotient_any(element: _quotient, compiler: Any, **kw: Any) -> str:
    numerator, denominator, typed = element.clauses
    exact = sa.cast(sa.cast(numerator, sa.Numeric(28, 8)) / denominator, sa.Numeric(38, 10))
    return str(compiler.process(sa.cast(exact, typed.type), **kw))


@compiles(_quotient, "duckdb")
def _quotient_duckdb(element: _quotient, compiler: Any, **kw: Any) -> str:
    """DuckDB divides decimals as doubles anyway, where 79.21 / 8 falls just short of 9.90125; so decimals come after.

    Wide ones are computed in 128 bits, at twice the cost of all else in a 360, and hardly any quotient needs them.
    """
    wanted: Any = list(element.clauses)[2].type
    numerator, denominator, typed = (compiler.process(clause, **kw) for clause in element.clauses)
    quotient, name = f"cast({numerator} as double) / {denominator}", typed.removeprefix("CAST(NULL AS ")
    narrow, wide = (f"cast(cast({quotient} as decimal({digits}, 10)) as {name}" for digits in (18, 38))
    if wanted.precision - wanted.scale <= _WHOLE_DIGITS:
        return narrow
    return f"(case when abs({quotient}) < 1e{_WHOLE_DIGITS} then {narrow} else {wide} end)"


def later_of(first: ColumnElement[Any], second: Any) -> ColumnElement[Any]:
    """The later of two dates; GREATEST is missing before SQL Server 2022.

    A given date is written into the statement, not bound to it: what rows are grouped by must not hold a parameter.
    """
    other = second
    if not isinstance(second, ColumnElement):
        other = sa.cast(sa.bindparam(None, second, sa.Date(), literal_execute=True), sa.Date())
    return sa.case((first < other, other), else_=first)
