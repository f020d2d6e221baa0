"""The small vocabulary every catalog file is written in: column types, PII classes, deliveries, layers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer


class Layer(StrEnum):
    """A layer of the platform; the value is the schema's name without its environment prefix."""

    LANDING = "ldz"
    VAULT = "rdv"
    INTERFACE = "itf"
    AGGREGATE = "agg"
    CUSTOMER_360 = "cs_360_db"
    METRICS = "metrics"
    PUBLISH = "cdm_publish_db"
    INGEST = "cdm_ingest_db"
    CONTROL = "cdp_metadata"


class Delivery(StrEnum):
    """What one file says about the keys it does not list."""

    SNAPSHOT = "snapshot"
    """The whole truth of that date: a key that is not listed has ended."""
    DELTA = "delta"
    """New and changed keys only: a key that is not listed is unchanged."""
    EVENTS = "events"
    """Things that happened: each key once, never changed by a later file."""


class PiiClass(StrEnum):
    """How closely a column identifies a person; `direct` and `sensitive` are tokenized in publish."""

    NONE = "none"
    QUASI = "quasi"
    DIRECT = "direct"
    SENSITIVE = "sensitive"

    @property
    def tokenized(self) -> bool:
        """Whether publish shows a keyed hash in place of the value."""
        return self in (PiiClass.DIRECT, PiiClass.SENSITIVE)

    @property
    def strictness(self) -> int:
        """The place of the class among all, from 0 for none."""
        return list(PiiClass).index(self)


def strictest(classes: Iterable[PiiClass]) -> PiiClass:
    """The class of a value that is made of values of `classes`."""
    return max(classes, key=lambda pii: pii.strictness, default=PiiClass.NONE)


class OnFailure(StrEnum):
    """What a broken data-quality rule does."""

    REJECT = "reject"
    """The row goes to `rejected_record`, the others load."""
    BLOCK = "block"
    """The partition loads, turns red, and stops what depends on the table."""
    WARN = "warn"
    """The partition loads and shows a warning."""


class TypeKind(StrEnum):
    """The six kinds of value a column can hold on every engine."""

    STRING = "string"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class ColumnType:
    """A column's type as the catalog writes it: `string(40)`, `integer`, `decimal(12,2)`, `date`, ..."""

    kind: TypeKind
    length: int | None = None
    precision: int | None = None
    scale: int | None = None

    def __str__(self) -> str:
        if self.kind is TypeKind.STRING:
            return f"string({self.length})"
        if self.kind is TypeKind.DECIMAL:
            return f"decimal({self.precision},{self.scale})"
        return self.kind.value


_TYPE_PATTERN: Final = re.compile(
    r"^(?P<kind>string|integer|decimal|date|timestamp|boolean)\s*(\(\s*(?P<first>\d+)\s*(,\s*(?P<second>\d+)\s*)?\))?$"
)
LONGEST_STRING: Final = 4000
"""Characters that every engine's plain text columns hold."""
MOST_DIGITS: Final = 38
_EXPECTED_TYPES: Final = "string(n), integer, decimal(p,s), date, timestamp or boolean"


def parse_column_type(text: object) -> ColumnType:
    """Read a type such as `decimal(12,2)`; raises ValueError that lists what is accepted."""
    if isinstance(text, ColumnType):
        return text
    match = _TYPE_PATTERN.match(str(text))
    if match is None:
        raise ValueError(f"unknown type {text!r}: expected {_EXPECTED_TYPES}")
    kind = TypeKind(match["kind"])
    first, second = match["first"], match["second"]
    if kind is TypeKind.STRING and first and not second:
        if not 1 <= int(first) <= LONGEST_STRING:
            raise ValueError(f"type {text!r}: expected a length from 1 to {LONGEST_STRING}")
        return ColumnType(kind, length=int(first))
    if kind is TypeKind.DECIMAL and first and second:
        if not 0 <= int(second) <= int(first) <= MOST_DIGITS:
            raise ValueError(f"type {text!r}: expected 0 <= scale <= precision <= {MOST_DIGITS}")
        return ColumnType(kind, precision=int(first), scale=int(second))
    if kind not in (TypeKind.STRING, TypeKind.DECIMAL) and not first:
        return ColumnType(kind)
    raise ValueError(f"type {text!r} is incomplete: expected {_EXPECTED_TYPES}")


def parse_value(text: str, column_type: ColumnType) -> Any:
    """A value of `column_type` as the catalog writes it; raises ValueError that says what was expected."""
    try:
        match column_type.kind:
            case TypeKind.INTEGER:
                return int(text)
            case TypeKind.DECIMAL:
                return Decimal(text)
            case TypeKind.DATE:
                return date.fromisoformat(text)
            case TypeKind.TIMESTAMP:
                return datetime.fromisoformat(text)
            case TypeKind.BOOLEAN:
                return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            case TypeKind.STRING:
                value = text
    except (ArithmeticError, KeyError, ValueError) as fault:
        raise ValueError(f"{text!r} is not a value of type {column_type}") from fault
    if len(value) > (column_type.length or 0):
        raise ValueError(f"{text!r} is not a value of type {column_type}")
    return value


TypeText = Annotated[ColumnType, BeforeValidator(parse_column_type), PlainSerializer(str)]
