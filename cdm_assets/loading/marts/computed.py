"""Marts with a step that SQL cannot take, such as the tails of a distribution.

The select of such a mart gives every column. One that Python fills is `computed` there: NULL, in the type of its
column, made of the columns its value depends on; so the select still tells names, types and lineage. A function from
the select's rows to the table's rows then fills them: rows to rows, nothing else, so that the table stays a function
of what it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

Row = Mapping[Any, Any]
"""Values by the name of their column."""
RowsOfRows = Callable[[Sequence[Row]], Sequence[Row]]


class _computed(FunctionElement[Any]):  # noqa: N801 - spelled like a SQL function
    """NULL in the type of the first argument; the others only tell what the value is computed from."""

    inherit_cache = True


@compiles(_computed)
def _computed_any(element: _computed, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(next(iter(element.clauses)), **kw))


def is_computed(column: ColumnElement[Any]) -> bool:
    """Whether Python fills a column of a select, which is NULL in the database until then."""
    return any(isinstance(element, _computed) for element in visitors.iterate(column))


def computed(type_: Any, *origins: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column of `type_` that Python computes from `origins`; NULL in the database until then."""
    return sa.type_coerce(_computed(sa.cast(sa.null(), type_), *origins), type_)
