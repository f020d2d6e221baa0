"""What SQL Server refuses although its grammar allows it, found in sqlglot's tree of a statement."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from sqlglot import exp


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KNOWN_FUNCTIONS: Final = _words(
    "abs cast coalesce concat convert count dateadd datediff datediff_big datepart db_name floor "
    "hashbytes lag lead len log lower max min ntile nullif replace row_number sum trim upper"
)
"""Functions that the platform calls, all there since SQL Server 2019 or before. AVG is left out on purpose: of integers
it is an integer."""
MOST_PARAMETERS: Final = 2100
PARAMETER: Final = re.compile(r"(?<![:\w']):(\w+)")
"""A parameter by name as SQLAlchemy writes it without a driver; T-SQL has an @ there."""
_LONGEST_NAME: Final = 128
_NOT_CALLS: Final = _words(
    "and as by char datetime2 else exists from in into join not numeric nvarchar on or over select then "
    "union values varchar when where with"
)


def traps(tree: exp.Expression) -> Iterator[str]:
    """What the statement would be refused for, in words, with the error's number."""
    for aggregate in tree.find_all(exp.AggFunc):
        if isinstance(aggregate, exp.Lag | exp.Lead | exp.RowNumber | exp.Ntile):
            continue
        is_window = isinstance(aggregate.parent, exp.Window)
        if not is_window and _holds(aggregate.this, exp.Subquery, exp.Exists, exp.Query):
            yield f"130: a query inside an aggregate: {_short(aggregate)}"
        if not is_window and any(inner is not aggregate for inner in _own(aggregate, exp.AggFunc)):
            yield f"130: an aggregate inside an aggregate: {_short(aggregate)}"
    for group in tree.find_all(exp.Group):
        for item in group.expressions:
            if _holds(item, exp.Subquery, exp.Query):
                yield f"144: rows are grouped by a query: {_short(item)}"
            elif not _holds(item, exp.Column):
                yield f"164: rows are grouped by a constant: {_short(item)}"
    for window in tree.find_all(exp.Window):
        order = window.args.get("order")
        if order and any(isinstance(o.this, exp.Literal | exp.Parameter | exp.Placeholder) for o in order.expressions):
            yield f"5308: a window ordered by a constant: {_short(window)}"
    for select in tree.find_all(exp.Select):
        yield from _traps_of_select(select)
    for name in tree.find_all(exp.Identifier):
        if len(name.name) > _LONGEST_NAME:
            yield f"103: a name of {len(name.name)} characters: {name.name}"


def _traps_of_select(select: exp.Select) -> Iterator[str]:
    if isinstance(select.parent, exp.Subquery) and isinstance(select.parent.parent, exp.From | exp.Join):
        names = [projection.alias_or_name for projection in select.expressions]
        if not all(names):
            yield f"8155: a column without a name in a derived table: {_short(select)}"
        if repeated := [name for name, times in Counter(names).items() if times > 1]:
            yield f"8156: {repeated} twice in a derived table: {_short(select)}"
    if select.args.get("distinct") and (order := select.args.get("order")):
        shown = {projection.sql() for projection in select.expressions}
        shown |= {projection.alias for projection in select.expressions}
        if any(ordered.this.sql() not in shown for ordered in order.expressions):
            yield f"145: DISTINCT ordered by what is not selected: {_short(select)}"


def unknown_functions(sql: str) -> set[str]:
    """Names before a parenthesis that are neither known functions, types, words nor qualified names."""
    without_texts = re.sub(r"'[^']*'", "''", sql)
    called = {name.lower() for name in re.findall(r"(?<![\w.@\]])([a-z_][a-z0-9_]*)\(", without_texts, re.IGNORECASE)}
    return called - KNOWN_FUNCTIONS - _NOT_CALLS


def _holds(node: exp.Expression | None, *kinds: type[exp.Expression]) -> bool:
    return node is not None and (isinstance(node, kinds) or node.find(*kinds) is not None)


def _own(node: exp.Expression, kind: type[exp.Expression]) -> Iterator[exp.Expression]:
    """Nodes of that kind below `node`, those inside queries and windows left out."""
    for child in node.iter_expressions():
        if isinstance(child, exp.Query | exp.Window):
            continue
        if isinstance(child, kind):
            yield child
        yield from _own(child, kind)


def _short(node: exp.Expression) -> str:
    return node.sql("tsql")[:160]
