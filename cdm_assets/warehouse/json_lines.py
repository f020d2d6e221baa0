"""Files of JSON lines: one JSON object a line, in UTF-8, read so that nothing of what a line says is changed.

A value becomes the text that a CSV file would hold: a text as it is, a number as it is written (1.50 stays 1.50), true
or false; null and "" are nothing. A list or an object is kept as compact JSON. Lines end in LF or CRLF; a byte order
mark and blank lines are skipped. What RFC 8259 leaves open is refused: NaN, a key twice in one object.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NoReturn, cast

from cdm_assets.warehouse.file_faults import FileFault, RecordFault
from cdm_assets.warehouse.landing_files import readable

JSON: Final = "json"
"""The rule that a line breaks that is no object."""


@dataclass(frozen=True)
class JsonRecord:
    """The object on one line (from 1), or what is wrong with it; of a faulty one `content` is empty."""

    line: int
    content: Mapping[str, Any]
    fault: RecordFault | None = None


class _Number(str):
    """A number as the file writes it."""

    __slots__ = ()


class _NoRecord(Exception):
    """A line that is no object, or one that cannot be stored."""

    def __init__(self, rule: str, reason: str, column: str = "") -> None:
        self.rule, self.reason, self.column = rule, reason, column
        super().__init__(reason)


def json_records(path: Path, name: str) -> Iterator[JsonRecord]:
    """The objects of a file (gzip where its name ends in .gz), line by line; blank lines are left out.

    Raises FileFault where the gzip stream is damaged, with `name` for the file.
    """
    for line, received in _lines(path, name):
        if received.strip():
            yield _record(line, received)


def received_lines(path: Path, name: str, wanted: Collection[int]) -> dict[int, str]:
    """The lines of those numbers as received; bytes that are no text are written in hex. Raises FileFault."""
    return {line: _raw_text(received) for line, received in _lines(path, name) if line in wanted}


def text_of(value: Any) -> str | None:
    """A value as the text of a column."""
    match value:
        case str():
            return value or None
        case None:
            return None
        case bool():
            return "true" if value else "false"
    return json_of(value)


def json_of(value: Any) -> str:
    """A value as compact JSON, its numbers as they were written."""
    match value:
        case _Number():
            return str(value)
        case Mapping():
            return "{" + ",".join(f"{json_of(key)}:{json_of(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ",".join(map(json_of, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _lines(path: Path, name: str) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of every line, without its end."""
    try:
        with _opened(path) as stream:
            for number, line in enumerate(stream, start=1):
                content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                yield number, content.removesuffix(b"\n").removesuffix(b"\r")
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise FileFault(name, "gzip", f"the gzip stream is truncated or damaged: {fault}") from fault


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _raw_text(received: bytes) -> str:
    return readable(received.decode("utf-8", "surrogateescape"))


def _record(line: int, received: bytes) -> JsonRecord:
    try:
        return JsonRecord(line, _content(received))
    except _NoRecord as fault:
        return JsonRecord(line, {}, RecordFault(line, fault.rule, fault.column, fault.reason, _raw_text(received)))


def _content(received: bytes) -> dict[str, Any]:
    """The object on a line. Raises _NoRecord."""
    try:
        content = _DECODER.decode(received.decode())
    except UnicodeDecodeError as fault:
        found = received[fault.start : fault.end]
        raise _NoRecord("encoding", f"expected UTF-8 text, found bytes {found!r}") from fault
    except json.JSONDecodeError as fault:
        raise _NoRecord(JSON, f"no JSON: {fault.msg} at character {fault.colno}") from fault
    except RecursionError as fault:
        raise _NoRecord(JSON, "no JSON: nested too deeply") from fault
    if not isinstance(content, dict):
        raise _NoRecord(JSON, f"expected an object {{...}}, found {_kind_of(content)}")
    if b"\\u" in received:  # only so can JSON write what is no text
        for key, value in content.items():
            problem = _no_text(key) or _no_text(text_of(value) or "")
            if problem:
                raise _NoRecord("encoding", problem, _storable(key))
    return content


def _storable(key: str) -> str:
    return readable(key.encode("utf-8", "backslashreplace").decode())


def _no_text(text: str) -> str:
    """Why no database can store a text; empty where it can."""
    if "\0" in text:
        return "expected text without a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        return f"expected text, found half a character (\\u{ord(text[fault.start]):04x})"
    return ""


def _kind_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case _Number():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
    return "true or false"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = _storable(next(key for key in keys if keys.count(key) > 1))
        raise _NoRecord(JSON, f"expected each key once, found {twice!r} twice", twice)
    return values


def _no_constant(name: str) -> NoReturn:
    raise _NoRecord(JSON, f"no JSON: {name} is no number of JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_Number, parse_int=_Number, parse_constant=_no_constant
)
