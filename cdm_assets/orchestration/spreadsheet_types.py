"""Spreadsheets as Dagster sees them: a dagster-pandas dataframe type made from the catalog's columns and rules.

The type describes the typed frame of a sheet, columns named as in the catalog: Int64, boolean, datetime64[us] (dates at
midnight), object for text and Decimal; the catalog's rules that reject and read one column are its constraints.
`frame_faults` runs the same constraints to tell the records that break one, in the words of `loading.landing`.

What belongs here: types and constraints. What does not: reading cells (`warehouse.spreadsheets`), and rules of several
columns (`date_order`, `complete_when`, a key of several columns), which SQL judges once the records are staged.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Final, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from dagster import BetaWarning, DagsterType, TypeCheckContext
from dagster_pandas import PandasColumn, create_dagster_pandas_dataframe_type
from dagster_pandas.constraints import (
    CategoricalColumnConstraint,
    ColumnConstraint,
    ColumnConstraintViolationException,
    ColumnDTypeInSetConstraint,
    NonNullableColumnConstraint,
    UniqueColumnConstraint,
)

from cdm_assets.catalog.model import Source
from cdm_assets.catalog.rules import Domain, Format, Length, NonNegative, NotNull, Range, Rule, Unique
from cdm_assets.catalog.types import ColumnType, OnFailure, TypeKind, parse_value
from cdm_assets.validation.exact_text import readable_as
from cdm_assets.validation.rules import expectation
from cdm_assets.warehouse.file_faults import RecordFault

_DTYPES: Final = {
    TypeKind.STRING: "object",
    TypeKind.INTEGER: "Int64",
    TypeKind.DECIMAL: "object",
    TypeKind.DATE: "datetime64[us]",
    TypeKind.TIMESTAMP: "datetime64[us]",
    TypeKind.BOOLEAN: "boolean",
}
"""Microseconds, since nanoseconds end in 2262; no floats, since they would round decimals."""

# The texts that `loading.landing` accepts, as DuckDB's \s and casts read them: a vertical tab is not blank, and behind
# a time stand only blanks that begin with a space, only after seconds. A test compares the two.
_BLANKS: Final = r"[ \t\n\f\r]*"
_DATE: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_FRACTION: Final = "[.][0-9]{1,6}0*"
_FORMATS: Final = {
    TypeKind.INTEGER: rf"{_BLANKS}[+-]?0*[0-9]{{1,19}}{_BLANKS}",
    TypeKind.DATE: rf"{_BLANKS}{_DATE}{_BLANKS}",
    TypeKind.TIMESTAMP: rf"{_BLANKS}{_DATE}[ T][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}({_FRACTION})?( {_BLANKS})?)?",
    TypeKind.BOOLEAN: "(?i:true|false|1|0)",
}
_INTEGERS: Final = range(-(2**63), 2**63)
_NO_CONTEXT: Final = cast("TypeCheckContext", None)
"""A type made by dagster-pandas looks at the value alone; a context would cost an instance and a job."""


class TypeDisagrees(Exception):
    """Records passed every constraint but not the type made of them. This is a defect of this module, not of a file."""


def dataframe_type(source: Source) -> DagsterType:
    """The Dagster type of the source's typed frame (see the module), such as `SpendSheet` for the source `spend`."""
    tests = [*_value_tests(source), *_rule_tests(source)]
    with warnings.catch_warnings():
        # dagster-pandas calls its dataframe types beta; its version is pinned and what is used of it is tested.
        warnings.simplefilter("ignore", BetaWarning)
        columns = [
            PandasColumn(  # type: ignore[no-untyped-call]
                column.name,
                constraints=[
                    ColumnDTypeInSetConstraint({_DTYPES[column.type.kind]}),  # type: ignore[no-untyped-call]
                    *(test.constraint for test in tests if test.column == column.name),
                ],
            )
            for column in source.columns
        ]
        made: DagsterType = create_dagster_pandas_dataframe_type(  # type: ignore[no-untyped-call]
            _type_name(source), description=_description(source), columns=columns
        )
    return made


def typed_frame(source: Source, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of `read_sheet` without faults, typed; only the catalog's columns, by their names there.

    Raises ValueError or TypeError on texts of another type: take out the rows of `frame_faults` before.
    """
    return _with_dtypes(source, _with_values(source, frame))


def frame_faults(source: Source, frame: pd.DataFrame) -> list[RecordFault]:
    """The records of a frame of `read_sheet` that cannot be loaded, each with the first constraint it breaks, by row.

    First come the types of all columns, then the rules as declared, then what must be unique: of sound records that
    agree the first stays. `line` is the row in the sheet, `raw_text` the record as JSON, all columns of the frame.
    A column that the frame lacks counts as empty. Raises TypeDisagrees where the type refuses the sound records.
    """
    values, no_value = _without_broken(_with_values(source, frame), _value_tests(source))
    sound, no_sound_value = _without_broken(_with_dtypes(source, values), _rule_tests(source))
    check = dataframe_type(source).type_check(_NO_CONTEXT, sound)
    if not check.success:
        raise TypeDisagrees(f"{_type_name(source)} refuses records that break no rule: {check.description}")
    broken = sorted((no_value | no_sound_value).items())
    return [
        _fault(test, row, cast("pd.Series[Any]", frame.loc[row]), source.columns_by_name[test.column].file_name)
        for row, test in broken
    ]


@dataclass(frozen=True)
class _Test:
    """A constraint of one column, and the words for a record that breaks it."""

    column: str
    rule: str
    expected: str
    constraint: ColumnConstraint


class _EachValue(ColumnConstraint):
    """Every value that is not missing is as expected; `judge` says of a list of values which ones are."""

    def __init__(self, expected: str, judge: Callable[[list[Any]], Iterable[bool]]) -> None:
        super().__init__(f"Expected {expected}.", expected)  # type: ignore[no-untyped-call]
        self._judge = judge

    def validate(self, dataframe: pd.DataFrame, column_name: str) -> None:
        """Raise ColumnConstraintViolationException with the rows of `dataframe` that are not as expected."""
        values = dataframe[column_name].dropna()
        judged = zip(values.index, self._judge(values.tolist()), strict=True)
        broken = [row for row, is_sound in judged if not is_sound]
        if broken:
            raise ColumnConstraintViolationException(  # type: ignore[no-untyped-call]
                self.name, self.error_description, column_name, offending_rows=dataframe.loc[broken]
            )


def _value_tests(source: Source) -> list[_Test]:
    """What the columns themselves ask for: a value where one is required, and the type."""
    tests = []
    for column in source.columns:
        if column.key or column.required:
            tests.append(_Test(column.name, f"required:{column.name}", "a value", _not_null()))
        tests.append(_Test(column.name, f"type:{column.name}", readable_as(column.type), _of_type(column.type)))
    return tests


def _rule_tests(source: Source) -> list[_Test]:
    """The rules that reject and read one column, in their order; those that compare rows come last."""
    rules = [r for r in source.rules if r.on_failure is OnFailure.REJECT and len(r.columns_read) == 1]
    tests = []
    for rule in sorted(rules, key=lambda rule: isinstance(rule, Unique)):
        constraint = _constraint(rule)
        if constraint is not None:
            tests.append(_Test(rule.columns_read[0], rule.label, expectation(rule), constraint))
    return tests


def _constraint(rule: Rule) -> ColumnConstraint | None:  # noqa: PLR0911 - one return a kind of rule
    """The constraint for a rule of one column; None for rules that compare columns."""
    expected = expectation(rule)
    match rule:
        case NotNull():
            return _not_null()
        case Domain():
            return CategoricalColumnConstraint(set(rule.values), ignore_missing_vals=True)  # type: ignore[no-untyped-call]
        case Range():
            return _EachValue(expected, _between(rule.min, rule.max))
        case NonNegative():
            return _EachValue(expected, _between(0, None))
        case Length():
            lengths_allowed = _between(rule.min, rule.max)
            return _EachValue(expected, lambda values: lengths_allowed([len(value) for value in values]))
        case Format():
            pattern = rule.pattern
            return _EachValue(expected, lambda values: _match_wholly(values, pattern))
        case Unique():
            return UniqueColumnConstraint(ignore_missing_vals=True)  # type: ignore[no-untyped-call]
    return None


def _not_null() -> ColumnConstraint:
    return NonNullableColumnConstraint()  # type: ignore[no-untyped-call]


def _of_type(column_type: ColumnType) -> ColumnConstraint:
    return _EachValue(readable_as(column_type), lambda values: (_is_of_type(value, column_type) for value in values))


def _between(least: Decimal | int | None, most: Decimal | int | None) -> Callable[[list[Any]], list[bool]]:
    """Judge of numbers, both bounds inclusive; Python compares int and Decimal exactly."""

    def lie_between(values: list[Any]) -> list[bool]:
        return [(least is None or value >= least) and (most is None or value <= most) for value in values]

    return lie_between


def _match_wholly(texts: list[str], pattern: str) -> Sequence[bool]:
    """Match with RE2, as DuckDB does: Python differs in what is blank, a digit, or the end of a line."""
    matched = pc.match_substring_regex(pa.array(texts, pa.string()), rf"\A(?:{pattern})\z")
    return [bool(is_match) for is_match in matched.to_pylist()]


def _is_of_type(value: Any, column_type: ColumnType) -> bool:
    match column_type.kind:
        case TypeKind.STRING:
            return isinstance(value, str) and len(value) <= (column_type.length or 0)
        case TypeKind.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case TypeKind.DECIMAL:
            return isinstance(value, Decimal) and _fits(value, column_type)
        case TypeKind.DATE:
            return isinstance(value, datetime) and value.time() == time()
        case TypeKind.TIMESTAMP:
            return isinstance(value, datetime)
        case TypeKind.BOOLEAN:
            return isinstance(value, bool)


def _fits(value: Decimal, column_type: ColumnType) -> bool:
    precision, scale = column_type.precision or 0, column_type.scale or 0
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -scale and value.copy_abs() < Decimal(10) ** (precision - scale)


def _with_values(source: Source, frame: pd.DataFrame) -> pd.DataFrame:
    """The catalog's columns with Python values; a text that is no value of its column's type stays text.

    A column that the frame lacks is empty; whether a file may lack it is asked before.
    """
    absent = [None] * len(frame)
    columns = {
        column.name: [
            None if text is None else _value_or_text(text, column.type) for text in frame.get(column.file_name, absent)
        ]
        for column in source.columns
    }
    return pd.DataFrame(columns, index=frame.index, dtype=object)


def _with_dtypes(source: Source, values: pd.DataFrame) -> pd.DataFrame:
    return values.astype({column.name: _DTYPES[column.type.kind] for column in source.columns})


def _value_or_text(text: str, column_type: ColumnType) -> Any:
    """The value that `text` exactly is, else `text`; nothing is rounded or guessed."""
    kind = column_type.kind
    pattern = _decimal_format(column_type) if kind is TypeKind.DECIMAL else _FORMATS.get(kind)
    if pattern is None or re.fullmatch(pattern, text) is None:
        return text
    try:
        value = parse_value(text.strip(), column_type)
    except ValueError:
        return text
    if kind is TypeKind.INTEGER and value not in _INTEGERS:
        return text
    if kind is TypeKind.DECIMAL:
        return _at_scale(value, column_type.scale or 0)
    return datetime.combine(value, time()) if kind is TypeKind.DATE else value


def _decimal_format(column_type: ColumnType) -> str:
    before, scale = (column_type.precision or 0) - (column_type.scale or 0), column_type.scale or 0
    whole = f"0*[0-9]{{1,{before}}}" if before else "0+"
    fraction = f"[.][0-9]{{1,{scale}}}0*" if scale else "[.]0+"
    return rf"{_BLANKS}[+-]?({whole}([.][0-9]{{0,{scale}}}0*)?|{fraction}){_BLANKS}"


def _at_scale(value: Decimal, scale: int) -> Decimal:
    """`value` without the zeros behind its last decimal: 1.5000 is 1.50 in decimal(12,2)."""
    return Decimal(f"{value:.{scale}f}")


def _without_broken(values: pd.DataFrame, tests: Sequence[_Test]) -> tuple[pd.DataFrame, dict[int, _Test]]:
    """`values` without the records that break a test, and the first test that each of those breaks, by row."""
    broken: dict[int, _Test] = {}
    for test in tests:
        rows = _broken_rows(test, values)
        broken |= dict.fromkeys(rows, test)
        values = values.drop(index=rows)
    return values, broken


def _broken_rows(test: _Test, values: pd.DataFrame) -> list[int]:
    try:
        test.constraint.validate(values, test.column)  # type: ignore[no-untyped-call]
    except ColumnConstraintViolationException as violation:
        offending = violation.offending_rows
        # Of nulls dagster-pandas gives (row, value) pairs, of all else the part of the frame.
        return list(offending.index) if isinstance(offending, pd.DataFrame) else [row for row, _ in offending]
    return []


def _fault(test: _Test, row: int, record: pd.Series[Any], header: str) -> RecordFault:
    text = record.get(header)
    found = "nothing" if text is None else repr(text)
    raw_text = json.dumps(record.to_dict(), ensure_ascii=False)
    return RecordFault(int(row), test.rule, test.column, f"expected {test.expected}, found {found}", raw_text)


def _type_name(source: Source) -> str:
    return "".join(word.capitalize() for word in source.source.split("_")) + "Sheet"


def _description(source: Source) -> str:
    columns = [f"- `{c.name}`, {c.type}{f': {c.description}' if c.description else ''}" for c in source.columns]
    return "\n".join([source.description, "", *columns, ""])
