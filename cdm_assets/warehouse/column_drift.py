"""Schema drift: how the columns that a file has differ from those that its source declares.

Pure comparison of names, order and, where they were looked at, types; who opens the file does not matter here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Final

from cdm_assets.catalog.model import Column, Source
from cdm_assets.catalog.types import ColumnType, TypeKind

_ALIKE: Final = 0.6
"""From this share of common letters on, a new name counts as another spelling of a missing one."""
_ALL_SHOWN_UP_TO: Final = 12
_MOST_LINES: Final = 11
_LONGEST_NAME: Final = 30
"""With the longest types a line has 115 characters: a table stays within 1,500, which logs and alerts show whole."""
_MOST_NAMES: Final = 6
_LONGEST_TEXT: Final = {TypeKind.DATE: 10, TypeKind.TIMESTAMP: 26, TypeKind.BOOLEAN: 5}
"""Characters of the longest value: 2017-03-01, 2017-03-01 12:34:56.123456, false."""


class DriftKind(StrEnum):
    """What became of a column."""

    SAME = "same"
    REORDERED = "reordered"
    """It stands elsewhere among the others."""
    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    """It is missing, and a column that is not expected looks like it."""
    RETYPED = "retyped"
    """Its values are of another kind."""
    WIDENED = "widened"
    """Its values are of the same kind, and some do not fit: longer, more digits, or decimals in an integer."""


@dataclass(frozen=True)
class FoundColumn:
    """A column as the file has it; type None where the values were not looked at, as for a CSV header alone."""

    name: str
    type: ColumnType | None = None


@dataclass(frozen=True)
class ColumnDrift:
    """What became of one column; `expected` is None for an added one, `found` for a removed one."""

    kind: DriftKind
    expected: Column | None
    found: FoundColumn | None

    @property
    def is_fatal(self) -> bool:
        """Whether the file must not load: a key or required column is removed, renamed or retyped.

        An optional one that is missing loads as NULL.
        """
        lost = self.kind in (DriftKind.REMOVED, DriftKind.RENAMED, DriftKind.RETYPED)
        return lost and self.expected is not None and (self.expected.key or self.expected.required)


def column_drift(source: Source, found: Sequence[FoundColumn]) -> list[ColumnDrift]:
    """What became of each column: one entry per expected column of `source` in order, then the added ones.

    Names compare exactly. Each found column is used once; of two with one name the second counts as added. A column
    that drifted in two ways has the graver kind: retyped, widened, reordered.
    """
    expected_names = [column.file_name for column in source.columns]
    position_of: dict[str, int] = {}
    for position, each in enumerate(found):
        position_of.setdefault(each.name, position)
    common = {name: position_of[name] for name in expected_names if name in position_of}
    missing = [n for n, name in enumerate(expected_names) if name not in common]
    unexpected = [n for n in range(len(found)) if n not in common.values()]
    renamed = _renamed(expected_names, missing, found, unexpected)
    in_order = _longest_increasing(common.values())
    drift = []
    for place, (name, column) in enumerate(zip(expected_names, source.columns, strict=True)):
        if name in common:
            position = common[name]
            kind = _type_drift(column.type, found[position].type)
            if kind is DriftKind.SAME and position not in in_order:
                kind = DriftKind.REORDERED
            drift.append(ColumnDrift(kind, column, found[position]))
        elif place in renamed:
            drift.append(ColumnDrift(DriftKind.RENAMED, column, found[renamed[place]]))
        else:
            drift.append(ColumnDrift(DriftKind.REMOVED, column, None))
    added = (n for n in unexpected if n not in renamed.values())
    return [*drift, *(ColumnDrift(DriftKind.ADDED, None, found[n]) for n in added)]


def side_by_side(drift: Sequence[ColumnDrift]) -> str:
    """A plain-text table `expected | found | what`, one line a column; at most 1,500 characters.

    With more than 12 columns only those that differ are shown, and how many are as expected.
    """
    differing = [each for each in drift if each.kind is not DriftKind.SAME]
    shown = list(drift) if len(drift) <= _ALL_SHOWN_UP_TO else differing[:_MOST_LINES]
    rows = [("expected", "found", "what"), *(_row(each) for each in shown)]
    left, middle = (max(len(row[n]) for row in rows) for n in (0, 1))
    lines = [f"{row[0]:<{left}} | {row[1]:<{middle}} | {row[2]}".rstrip() for row in rows]
    if len(differing) > len(shown):
        lines.append(f"... and {len(differing) - len(shown)} more columns that differ")
    if len(drift) > _ALL_SHOWN_UP_TO:
        lines.append(f"... and {len(drift) - len(differing)} columns as expected")
    return "\n".join(lines)


def summary(drift: Sequence[ColumnDrift]) -> str:
    """One sentence such as "added 'tier'; 'e_mail' instead of 'email' (renamed?)"; empty where nothing drifted."""
    by_kind: dict[DriftKind, list[ColumnDrift]] = {kind: [] for kind in DriftKind}
    for each in drift:
        by_kind[each.kind].append(each)
    parts = [_counted("added ", [_name(each) for each in by_kind[DriftKind.ADDED]])]
    parts += [_counted("", [_renaming(each) for each in by_kind[DriftKind.RENAMED]])]
    parts += [_counted("removed ", [_name(each) for each in by_kind[DriftKind.REMOVED]])]
    for kind in (DriftKind.RETYPED, DriftKind.WIDENED):
        parts += [_counted("", [_retyping(each) for each in by_kind[kind]])]
    parts += [_counted("reordered ", [_name(each) for each in by_kind[DriftKind.REORDERED]])]
    return "; ".join(part for part in parts if part)


def _counted(verb: str, what: Sequence[str]) -> str:
    if not what:
        return ""
    more = f" and {len(what) - _MOST_NAMES} more" if len(what) > _MOST_NAMES else ""
    return f"{verb}{', '.join(what[:_MOST_NAMES])}{more}"


def _name(each: ColumnDrift) -> str:
    name = each.expected.file_name if each.expected else each.found.name if each.found else ""
    return repr(_shortened(name))


def _renaming(each: ColumnDrift) -> str:
    found = each.found.name if each.found else ""
    return f"{_shortened(found)!r} instead of {_name(each)} (renamed?)"


def _retyping(each: ColumnDrift) -> str:
    expected = each.expected.type if each.expected else ""
    return f"{_name(each)} is {each.found.type if each.found else ''} instead of {expected} ({each.kind})"


def _row(each: ColumnDrift) -> tuple[str, str, str]:
    expected, found = each.expected, each.found
    left = "" if expected is None else f"{_shortened(expected.file_name)} {expected.type}"
    right = "" if found is None else _shortened(found.name) + (f" {found.type}" if found.type else "")
    return left, right, _what(each)


def _what(each: ColumnDrift) -> str:
    if each.kind is DriftKind.SAME:
        return ""
    kind = f"{each.kind}?" if each.kind is DriftKind.RENAMED else each.kind.value
    if each.expected is not None and each.is_fatal:
        return f"{kind}, {'key' if each.expected.key else 'required'}"
    return kind


def _shortened(name: str) -> str:
    """A name on one line: what a file calls a column can be anything."""
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
    return printable if len(printable) <= _LONGEST_NAME else f"{printable[: _LONGEST_NAME - 3]}..."


def _renamed(
    expected: Sequence[str], missing: Sequence[int], found: Sequence[FoundColumn], unexpected: Sequence[int]
) -> dict[int, int]:
    """Which missing column (its position) probably is which unexpected one; the most alike pairs first."""
    pairs = [(_likeness(expected[m], found[u].name), -abs(m - u), m, u) for m in missing for u in unexpected]
    renamed: dict[int, int] = {}
    for likeness, _, m, u in sorted(pairs, key=lambda pair: (-pair[0], -pair[1], pair[2:])):
        if likeness >= _ALIKE and m not in renamed and u not in renamed.values():
            renamed[m] = u
    if len(missing) == len(unexpected) == 1 and missing[0] == unexpected[0]:
        renamed[missing[0]] = unexpected[0]
    return renamed


def _likeness(one: str, other: str) -> float:
    """Share of common letters, from 0 to 1, ignoring case and all that is neither letter nor digit; 0 if below 0.6."""
    one, other = (_letters(name) for name in (one, other))
    if not one or not other:
        return 0.0
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return 0.0 if matcher.real_quick_ratio() < _ALIKE or matcher.quick_ratio() < _ALIKE else matcher.ratio()


def _letters(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _longest_increasing(positions: Iterable[int]) -> set[int]:
    """A longest increasing subsequence of distinct `positions` (patience sorting); what is left out was moved."""
    tails: list[int] = []
    before: dict[int, int | None] = {}
    for position in positions:
        pile = bisect_left(tails, position)
        before[position] = tails[pile - 1] if pile else None
        tails[pile : pile + 1] = [position]
    chain: set[int] = set()
    last = tails[-1] if tails else None
    while last is not None:
        chain.add(last)
        last = before[last]
    return chain


def _type_drift(expected: ColumnType, found: ColumnType | None) -> DriftKind:
    if found is None or _fits(expected, found):
        return DriftKind.SAME
    numbers = expected.kind is TypeKind.INTEGER and found.kind is TypeKind.DECIMAL
    if expected.kind is found.kind or numbers:
        return DriftKind.WIDENED
    return DriftKind.RETYPED


def _fits(expected: ColumnType, found: ColumnType) -> bool:
    """Whether every value of `found` is one of `expected`. An integer counts as short: its type tells no length."""
    if expected == found:
        return True
    if expected.kind is TypeKind.STRING:
        return _longest_text(found) <= (expected.length or 0)
    if expected.kind is TypeKind.DECIMAL and found.kind is TypeKind.DECIMAL:
        whole, of_found = ((each.precision or 0) - (each.scale or 0) for each in (expected, found))
        return of_found <= whole and (found.scale or 0) <= (expected.scale or 0)
    return expected.kind is TypeKind.DECIMAL and found.kind is TypeKind.INTEGER


def _longest_text(found: ColumnType) -> int:
    """Characters of the longest text of a type: sign, digits and point of a decimal, 0 for an integer."""
    match found.kind:
        case TypeKind.STRING:
            return found.length or 0
        case TypeKind.DECIMAL:
            return (found.precision or 0) + (2 if found.scale else 1)
        case TypeKind.INTEGER:
            return 0
        case _:
            return _LONGEST_TEXT[found.kind]
