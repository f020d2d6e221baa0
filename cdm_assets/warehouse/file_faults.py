"""What is wrong with a landing file: with one of its records, or with the file as a whole."""

from __future__ import annotations

from dataclasses import dataclass


class FileFault(Exception):
    """A file that cannot be loaded at all; the partition it was meant for keeps its content."""

    def __init__(self, file_name: str, rule: str, reason: str, *, line: int | None = None, column: str = "") -> None:
        self.file_name, self.rule, self.reason, self.line, self.column = file_name, rule, reason, line, column
        where = file_name if line is None else f"{file_name}:{line}"
        super().__init__(f"{where}: {rule}{f' ({column})' if column else ''}: {reason}")


@dataclass(frozen=True)
class RecordFault:
    """One record that cannot be loaded. `line` counts from 1, the header included."""

    line: int
    rule: str
    column: str
    reason: str
    raw_text: str
