"""Column types as a database reports them, comparable with those that the catalog declares.

Engines rename types (BIGINT is NUMBER(38,0) to Snowflake) and forget parts of them (DuckDB the length of a text), so
both sides are brought to what the engine stores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa


class Kind(StrEnum):
    """What values a stored column holds."""

    TEXT = "text"
    LARGE_TEXT = "large text"
    """A type of its own on Oracle, into which no text column can be altered."""
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"
    OTHER = "other"


class Change(StrEnum):
    """What makes the declared type of the one that is there."""

    NONE = "none"
    WIDER = "wider"
    """Every value there fits."""
    NARROWER = "narrower"
    OTHER = "another type"


@dataclass(frozen=True)
class StoredType:
    """A type as an engine stores it. A size of None means as long, or as many digits, as the engine takes."""

    kind: Kind
    name: str
    """As the engine writes it, for people."""
    size: int | None = None
    """Characters of a text, digits of a number."""
    scale: int = 0

    def change_to(self, declared: StoredType) -> Change:
        """What a column of this type needs to become `declared`."""
        if declared.kind is self.kind:
            return self._resized(declared)
        if (self.kind, declared.kind) == (Kind.INTEGER, Kind.DECIMAL):
            return Change.WIDER if _fits(self, declared) else Change.OTHER
        return Change.OTHER

    def _resized(self, declared: StoredType) -> Change:
        if self.kind is Kind.OTHER:
            return Change.NONE if self.name == declared.name else Change.OTHER
        if (self.size, self.scale) == (declared.size, declared.scale):
            return Change.NONE
        return Change.WIDER if _fits(self, declared) else Change.NARROWER


def _fits(found: StoredType, declared: StoredType) -> bool:
    if declared.size is None:
        return True
    if found.size is None or found.scale > declared.scale:
        return False
    return found.size - found.scale <= declared.size - declared.scale


_KINDS: Final = {
    **dict.fromkeys(("varchar", "character varying", "nvarchar", "varchar2", "nvarchar2", "char", "text"), Kind.TEXT),
    **dict.fromkeys(("character", "nchar", "string"), Kind.TEXT),
    **dict.fromkeys(("clob", "nclob"), Kind.LARGE_TEXT),
    **dict.fromkeys(("smallint", "integer", "int", "bigint", "hugeint"), Kind.INTEGER),
    **dict.fromkeys(("numeric", "decimal", "number"), Kind.DECIMAL),
    "date": Kind.DATE,
    **dict.fromkeys(("timestamp", "timestamp without time zone", "timestamp_ntz", "datetime2"), Kind.TIMESTAMP),
    **dict.fromkeys(("boolean", "bit"), Kind.BOOLEAN),
}
_DIGITS: Final = {"smallint": 5, "integer": 10, "int": 10, "bigint": 19, "hugeint": 38}
_NUMBERS_ONLY: Final = {"oracle": {"bigint": 19}, "snowflake": {}}
"""Engines whose integers are decimals without a scale, by the digits of each; 38 where not said."""
_MOST_DIGITS: Final = 38
_UNBOUNDED: Final = 16_777_216
"""Snowflake's longest text, which is also the length of a text without one."""
_WRITTEN: Final = re.compile(
    r"^([a-z_0-9]+(?: [a-z_ ]+)?)(?:\((\d+|max)(?: char| byte)?(?:, ?(\d+))?\))?( without time zone)?$"
)


def found_type(engine: str, name: str, length: Any, precision: Any, scale: Any) -> StoredType:
    """A type from what the database's dictionary says of a column."""
    plain = re.sub(r"\(.*\)", "", name.lower()).strip()
    kind = _KINDS.get(plain, Kind.OTHER)
    if kind is Kind.TEXT:
        size = int(length) if length is not None and 0 < int(length) < _UNBOUNDED else None
        return _stored(engine, plain, kind, size if engine != "duckdb" else None, 0)
    if kind is Kind.DECIMAL:
        if precision is None:
            whole = scale is not None and int(scale) == 0  # Oracle's INTEGER
            return _stored(engine, plain, kind, _MOST_DIGITS if whole else None, 0)
        return _stored(engine, plain, kind, int(precision), int(scale or 0))
    return _stored(engine, plain, kind, None, 0)


def declared_type(column: sa.Column[Any], dialect: sa.Dialect) -> StoredType:
    """The type that a declared column has once it is stored."""
    written = column.type.compile(dialect=dialect).lower()
    match = _WRITTEN.match(written)
    assert match is not None, written  # noqa: S101 - every type that the catalog knows is written so
    size = int(match[2]) if match[2] and match[2] != "max" else None
    plain = match[1].strip()
    kind = _KINDS.get(plain, Kind.OTHER)
    if kind is Kind.TEXT and dialect.name == "duckdb":
        size = None
    return _stored(dialect.name, plain, kind, size if kind in (Kind.TEXT, Kind.DECIMAL) else None, int(match[3] or 0))


def _stored(engine: str, plain: str, kind: Kind, size: int | None, scale: int) -> StoredType:
    """The same for what was declared and what was found."""
    if kind is Kind.INTEGER and engine in _NUMBERS_ONLY:
        kind, size = Kind.DECIMAL, _NUMBERS_ONLY[engine].get(plain, _MOST_DIGITS)
    elif kind is Kind.INTEGER:
        size = _DIGITS[plain]
    return StoredType(kind, _named(plain, kind, size, scale), size, scale)


def _named(plain: str, kind: Kind, size: int | None, scale: int) -> str:
    if kind is Kind.TEXT:
        return f"text({size})" if size else "text"
    if kind is Kind.DECIMAL:
        return f"decimal({size},{scale})" if size else "decimal"
    return plain if kind in (Kind.INTEGER, Kind.OTHER) else kind.value
