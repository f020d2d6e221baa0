"""What is wrong with Oracle's text: what a parser made for Oracle says of it, and traps that no parser sees.

The parser is ParseOra (PyPI: qivo-parseora), of the grammars 12.2 to 26ai. It is proprietary and free of charge for
internal use, CI included (QiVo Studio Licence Agreement 1.0, in the wheel); only the tests use it, and nothing of it is
shipped. It knows no types, functions, lengths or reserved names: those are the traps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import parseora
import sqlalchemy as sa
from sqlalchemy.sql import visitors

from cdm_assets.warehouse.functions import matches

VERSIONS: Final = ("19c", "23ai")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OPAQUE: Final = "statement kind not modelled: kept as tokens"
_ADMINISTRATION: Final = re.compile(
    r"CREATE USER \w+ NO AUTHENTICATION QUOTA UNLIMITED ON users$|CREATE ROLE \w+$|ALTER SESSION SET( [A-Z_]+ = \S+)+$",
)
"""Statements that the parser takes as they are; each is a line that can be judged by looking at it."""

_FUNCTIONS: Final = _words(
    "abs cast coalesce count exists extract floor greatest lag lead least length ln lower max min ntile "
    "nullif numtoyminterval ora_hash rank rawtohex regexp_like replace round row_number standard_hash sum "
    "to_char to_date trim trunc upper"
)
"""The functions of Oracle that statements use. A new one belongs here once its meaning on Oracle was looked up."""
_NO_FUNCTIONS: Final = _words(
    "and as between by char check else float from in interval join key not number numeric on or over "
    "partition range select than then timestamp using values varchar2 when where with"
)
_TYPES: Final = re.compile(
    r"(DATE|TIMESTAMP|CLOB|SMALLINT|FLOAT|NUMBER\(19\)|NUMERIC\(\d+, \d+\)|VARCHAR2\((\d+) CHAR\))( NOT NULL)?,?$"
)
_MOST_CHARACTERS: Final = 4000
"""Of a VARCHAR2; more needs MAX_STRING_SIZE = EXTENDED."""
_MOST_BYTES: Final = 128
"""Of a name, from 12.2 on."""
_MOST_LISTED: Final = 1000
_NOT_POSIX: Final = re.compile(r"\(\?|\\[bBAZ]|\[[^\]]*\\[dswDSW]")
_QUOTED: Final = re.compile(r"'(?:[^']|'')*'")

_RESERVED: Final = _words(
    "access add all alter and any as asc audit between by char check cluster column column_value comment "
    "compress connect create current date decimal default delete desc distinct drop else exclusive exists "
    "file float for from grant group having identified immediate in increment index initial insert integer "
    "intersect into is level like lock long maxextents minus mlslabel mode modify nested_table_id noaudit "
    "nocompress not nowait null number of offline on online option or order pctfree prior public raw rename "
    "resource revoke row rowid rownum rows select session set share size smallint start successful synonym "
    "sysdate table then to trigger uid union unique update user validate values varchar varchar2 view "
    "whenever where with"
)
"""Oracle's reserved words (V$RESERVED_WORDS, reserved = 'Y' or not for columns); as names they must be quoted."""


def faults(sql: str, version: str) -> list[str]:
    """What the parser finds in a script; warnings (a spelling of a later version, or of no version) count too."""
    return [
        f"{fault['message']}: {statement['text'][max(0, fault['col'] - 60) :][:160]}"
        for statement in parseora.parse(sql, version=version)
        for fault in (*statement["errors"], *statement["warnings"])
        if fault["message"] != _OPAQUE or not _ADMINISTRATION.match(statement["text"].strip())
    ]


def traps(sql: str) -> Iterator[str]:
    """What parses and yet fails, or is something else, on Oracle."""
    text = _QUOTED.sub("''", sql)
    for name in sorted({name.lower() for name in re.findall(r"\b([A-Za-z_]\w*) ?\(", text)}):
        names_a_table = re.search(rf"(INTO|INDEX|ON|TABLE|VIEW|KEY) [\w.\"]*{name} ?\(", text)
        if name not in _FUNCTIONS | _NO_FUNCTIONS and not names_a_table:
            yield f"function {name}"
    for name in re.findall(r"[\w$#]+", text):
        if len(name.encode()) > _MOST_BYTES:
            yield f"name of more than {_MOST_BYTES} bytes: {name}"
    for listed in re.findall(r"\bIN \(([^()]*)\)", text):
        if listed.count(",") >= _MOST_LISTED:
            yield f"list of {listed.count(',') + 1} values (ORA-01795)"
    for alias in re.findall(r"\bAS (\w+)", text):
        if alias.lower() in _RESERVED - {"date", "float", "integer", "number", "numeric", "smallint", "varchar2"}:
            yield f"reserved word as a name: {alias}"


def traps_in_table(sql: str) -> Iterator[str]:
    """Types and names of columns in a CREATE TABLE that Oracle does not take, from 12.2 on."""
    for line in sql.splitlines()[1:]:
        if not line.startswith("\t"):
            continue
        name, _, type_ = line.strip().partition(" ")
        declared = _TYPES.match(type_)
        if declared is None:
            yield f"type {type_}"
        elif declared.group(2) and int(declared.group(2)) > _MOST_CHARACTERS:
            yield f"{name}: more than {_MOST_CHARACTERS} characters (ORA-00910)"
        if name.lower() in _RESERVED:
            yield f"reserved word as a column: {name}"


def traps_of_types(statement: sa.ClauseElement) -> Iterator[str]:
    """Moments that the driver would bind as a DATE, without their fractions of a second, or a DATE with a time."""
    for element in visitors.iterate(statement):
        kind = getattr(element, "type", None)
        has_time = isinstance(kind, sa.DateTime) and not isinstance(kind, sa.TIMESTAMP)
        if isinstance(element, sa.BindParameter) and has_time:
            yield f"parameter {element.key} is a DateTime"
        if isinstance(element, sa.Cast) and isinstance(kind, sa.Date) and isinstance(element.clause.type, sa.DateTime):
            yield f"a DATE that keeps its time: {element}"


def traps_of_patterns(statement: sa.ClauseElement) -> Iterator[str]:
    """Regular expressions that mean something else to Oracle, whose are POSIX's with some of Perl's."""
    for element in visitors.iterate(statement):
        if isinstance(element, matches):
            _, pattern = element.clauses
            if _NOT_POSIX.search(str(pattern.value)):
                yield f"pattern {pattern.value}"


def traps_of_large_text(statement: sa.ClauseElement) -> Iterator[str]:
    """Large texts (CLOB) where Oracle would have to compare them (ORA-00932)."""

    def large(element: Any) -> bool:
        return any(isinstance(getattr(e, "type", None), sa.Text) for e in visitors.iterate(element))

    for element in visitors.iterate(statement):
        if isinstance(element, sa.Select):
            compared = [*element._group_by_clauses, *element._order_by_clauses]
            compared += list(element.selected_columns) if element._distinct else []
            yield from (f"grouped, ordered or distinct: {each}" for each in compared if large(each))
        elif isinstance(element, sa.CompoundSelect) and "ALL" not in element.keyword.name:
            yield from (f"in a {element.keyword.name}: {each}" for each in element.selected_columns if large(each))
