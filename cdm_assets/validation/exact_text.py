"""Which texts are values of a type: exactly those; nothing is rounded or guessed. Patterns are RE2's."""

from __future__ import annotations

from typing import Final

from cdm_assets.catalog.types import ColumnType, TypeKind

DATE_FORMAT: Final = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}"
_TIME: Final = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6}0*)?)?"
_FORMATS: Final = {
    TypeKind.INTEGER: r"\s*[+-]?0*[0-9]{1,19}\s*",
    TypeKind.DATE: rf"\s*{DATE_FORMAT}\s*",
    TypeKind.TIMESTAMP: rf"\s*{DATE_FORMAT}[ T]{_TIME}\s*",
    TypeKind.BOOLEAN: r"(?i:true|false|1|0)",
}
"""Narrower than DuckDB's casts, which take 1e3 and 1_000 as integers, 24:00:00 as the next day and year 0 as 1 BC."""
_EXAMPLES: Final = {
    TypeKind.INTEGER: "an integer such as 42",
    TypeKind.DATE: "a date such as 2017-03-01",
    TypeKind.TIMESTAMP: "a timestamp without zone such as 2017-03-01 12:34:56",
    TypeKind.BOOLEAN: "true or false",
}
FEWEST_FOR_RETYPED: Final = 10


def exact_format(column_type: ColumnType) -> str:
    """The pattern that every text matches that is a value of a type, strings aside; what matches must also be castable.

    A number has at least one digit: DuckDB takes a sign before a blank for 0.
    """
    if column_type.kind is not TypeKind.DECIMAL:
        return _FORMATS[column_type.kind]
    before, scale = (column_type.precision or 0) - (column_type.scale or 0), column_type.scale or 0
    whole = f"0*[0-9]{{1,{before}}}" if before else "0+"
    fraction = f"[.][0-9]{{1,{scale}}}0*" if scale else "[.]0+"
    return rf"\s*[+-]?({whole}([.][0-9]{{0,{scale}}}0*)?|{fraction})\s*"


def readable_as(column_type: ColumnType) -> str:
    """What a text must be to be a value of a type, in words."""
    if column_type.kind is TypeKind.STRING:
        return f"at most {column_type.length} characters"
    if column_type.kind is TypeKind.DECIMAL:
        return f"a number with at most {column_type.scale} decimals, as {column_type}"
    return _EXAMPLES[column_type.kind]


def is_retyped(*, misfits: int, filled: int) -> bool:
    """Whether so many of a column's values are of another type that the sender has changed the column.

    Then the file is refused: rejecting record by record would empty its partition.
    """
    return filled >= FEWEST_FOR_RETYPED and misfits * 2 > filled
