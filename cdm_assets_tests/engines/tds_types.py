"""Values and messages of TDS that pysqlbridge, which only reads tables, does not have: both ways, to the microsecond.

From [MS-TDS]; the drivers' own requests were the samples.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final

from pysqlbridge.tds.result import Bit, Column, Float, Integer, NVarChar, col_metadata

DONE_IN_PROCEDURE: Final = 0xFF
DONE_PROCEDURE: Final = 0xFE
COMMANDS: Final = {"insert": 0xC3, "delete": 0xC4, "update": 0xC5}
"""How a count of rows names what was done to them."""
RETURN_STATUS_0: Final = b"\x79" + bytes(4)
_SELECT: Final = 0xC1
_FIRST_DAY: Final = date(1, 1, 1)
_EXACT: Final = Context(prec=60)


def done(token: int, command: int = 0, count: int | None = None) -> bytes:
    """DONEINPROC (0xFF) or DONEPROC (0xFE)."""
    status = (0x10 if count is not None else 0) | (0x01 if token == DONE_IN_PROCEDURE else 0)
    return struct.pack("<BHHQ", token, status, command, count or 0)


def return_value(handle: int) -> bytes:
    """The output parameter of sp_prepexec, an int."""
    return b"\xac" + struct.pack("<HBBIH", 0, 0, 1, 0, 0) + b"\x26\x04\x04" + struct.pack("<i", handle)


@dataclass
class Request:
    """A call of a procedure, by name or number, and its values in their order."""

    procedure: str | int
    values: list[Any] = field(default_factory=list)

    @classmethod
    def read(cls, body: bytes) -> Request:
        """Read an RPC without its headers."""
        reader = _Reader(body)
        length = reader.number(2)
        request = cls(reader.number(2) if length == 0xFFFF else reader.take(length * 2).decode("utf-16-le"))
        reader.take(2)  # options
        while reader.at < len(body):
            reader.take(reader.number(1) * 2)  # the name
            reader.take(1)  # whether it is for output
            request.values.append(_value(reader))
        return request


@dataclass
class _Reader:
    body: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.body[self.at - size : self.at]

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)


def _value(reader: _Reader) -> Any:  # noqa: PLR0911 - one case a type
    """A parameter's value, by the type in front of it."""
    kind = reader.number(1)
    match kind:
        case 0x26 | 0x68 | 0x6D:  # integers, bit, floats
            reader.take(1)
            raw = reader.take(reader.number(1))
            if not raw:
                return None
            if kind == 0x68:
                return bool(raw[0])
            if kind == 0x6D:
                return struct.unpack("<f" if len(raw) == 4 else "<d", raw)[0]
            return int.from_bytes(raw, "little", signed=len(raw) > 1)  # tinyint has no sign
        case 0x6A | 0x6C:  # decimal
            _size, _precision, scale = reader.take(3)
            raw = reader.take(reader.number(1))
            if not raw:
                return None
            whole = int.from_bytes(raw[1:], "little") * (1 if raw[0] else -1)
            return Decimal(whole).scaleb(-scale, _EXACT)
        case 0x28:  # date
            raw = reader.take(reader.number(1))
            return _FIRST_DAY + timedelta(days=int.from_bytes(raw, "little")) if raw else None
        case 0x2A:  # datetime2
            scale = reader.number(1)
            raw = reader.take(reader.number(1))
            if not raw:
                return None
            ticks = int.from_bytes(raw[:-3], "little") * 10 ** (7 - scale)
            day = _FIRST_DAY + timedelta(days=int.from_bytes(raw[-3:], "little"))
            return datetime(day.year, day.month, day.day) + timedelta(microseconds=ticks // 10)  # noqa: DTZ001
        case 0xE7 | 0xEF | 0xA7 | 0xAF:  # nvarchar, nchar, varchar, char
            long = reader.number(2) == 0xFFFF
            reader.take(5)  # collation
            raw = _chunks(reader) if long else _sized(reader)
            return None if raw is None else raw.decode("utf-16-le" if kind in (0xE7, 0xEF) else "cp1252")
    raise ValueError(f"the stand-in reads no parameter of type {kind:#x}")


def _sized(reader: _Reader) -> bytes | None:
    size = reader.number(2)
    return None if size == 0xFFFF else reader.take(size)


def _chunks(reader: _Reader) -> bytes | None:
    if reader.number(8) == 2**64 - 1:
        return None
    parts = []
    while size := reader.number(4):
        parts.append(reader.take(size))
    return b"".join(parts)


def result_set(description: Sequence[Sequence[Any]], rows: Sequence[Sequence[Any]]) -> Iterator[bytes]:
    columns = [
        Column(str(described[0])[:128], _column_type(str(described[1]), [row[n] for row in rows]))
        for n, described in enumerate(description)
    ]
    yield bytes(col_metadata(columns))
    encoders = [column.type.encode for column in columns]
    for row in rows:
        yield b"\xd1" + b"".join(encode(value) for encode, value in zip(encoders, row, strict=True))
    yield done(DONE_IN_PROCEDURE, _SELECT, len(rows))


def _column_type(name: str, values: Sequence[Any]) -> Any:
    """How a column travels: by its type in DuckDB."""
    if name.startswith("DECIMAL"):
        precision, scale = map(int, re.findall(r"\d+", name))
        return _Decimals(precision, scale)
    if name == "VARCHAR":
        is_long = any(len(value) > _LONGEST_SIZED for value in values if value is not None)
        return NVarChar(None if is_long else _LONGEST_SIZED)
    if name not in _COLUMN_TYPES:
        raise ValueError(f"the stand-in sends no {name}")
    return _COLUMN_TYPES[name]


@dataclass(frozen=True)
class _Decimals:
    """DECIMALN."""

    precision: int
    scale: int
    nullable = True

    def type_info(self) -> bytes:
        return bytes([0x6A, 17, self.precision, self.scale])

    def encode(self, value: Decimal | None) -> bytes:
        if value is None:
            return b"\x00"
        whole = int(value.scaleb(self.scale, _EXACT))
        return bytes([17, 0 if whole < 0 else 1]) + abs(whole).to_bytes(16, "little")


class _Dates:
    """DATEN."""

    nullable = True

    def type_info(self) -> bytes:
        return b"\x28"

    def encode(self, value: date | None) -> bytes:
        return b"\x00" if value is None else b"\x03" + (value - _FIRST_DAY).days.to_bytes(3, "little")


class _Timestamps:
    """DATETIME2N to the microsecond."""

    nullable = True

    def type_info(self) -> bytes:
        return b"\x2a\x06"

    def encode(self, value: datetime | None) -> bytes:
        if value is None:
            return b"\x00"
        since_midnight = value - datetime(value.year, value.month, value.day)  # noqa: DTZ001
        ticks = since_midnight // timedelta(microseconds=1)
        return b"\x08" + ticks.to_bytes(5, "little") + (value.date() - _FIRST_DAY).days.to_bytes(3, "little")


_LONGEST_SIZED: Final = 4000
_COLUMN_TYPES: Final[dict[str, Any]] = {
    "BOOLEAN": Bit(),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UINTEGER", "UBIGINT"), Integer(8)),
    **dict.fromkeys(("DOUBLE", "FLOAT"), Float()),
    "DATE": _Dates(),
    "TIMESTAMP": _Timestamps(),
}
