"""Each data-quality rule as SQL: what passes, what breaks it, and how it is put into words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import TypeAdapter

from cdm_assets.catalog.model import Source
from cdm_assets.catalog.rules import Rule
from cdm_assets.catalog.types import OnFailure
from cdm_assets.validation.rules import expectation, row_rules, violates
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import sql_type
from cdm_assets_tests.small_site import Site, at

COLUMNS = {
    "text": "string(10)",
    "other": "string(10)",
    "number": "integer",
    "amount": "decimal(12,2)",
    "start": "date",
    "stop": "timestamp",
    "flag": "boolean",
}
SOURCE = Source.model_validate(
    {
        "source": "thing",
        "description": "Things.",
        "delivery": "delta",
        "files": {"path": "{date}.csv", "format": "csv"},
        "owners": ["team:things"],
        "columns": [{"name": name, "type": text} for name, text in COLUMNS.items()],
        "feeds": {"hubs": {"thing": ["text"]}},
    }
)


def rule_of(**declared: Any) -> Rule:
    rule: Rule = TypeAdapter(Rule).validate_python({"on_failure": "reject"} | declared)
    return rule


@pytest.fixture(scope="module")
def warehouse(open_small_site: Site) -> Warehouse:
    return open_small_site.warehouse


def breaks(warehouse: Warehouse, rule: Rule, row: Mapping[str, Any]) -> bool:
    """Whether a row (columns not named are NULL) breaks a rule, as the database sees it."""

    def value(name: str) -> sa.ColumnElement[Any]:
        type_ = sql_type(SOURCE.columns_by_name[name].type)
        return sa.cast(sa.literal(row.get(name), type_), type_)

    query = sa.select(sa.case((violates(rule, SOURCE, value), 1), else_=0))
    with warehouse.connection() as connection:
        return bool(connection.execute(query).scalar_one())


NOT_NULL = {"rule": "not_null", "column": "text"}
DOMAIN = {"rule": "domain", "column": "text", "values": ["a", "b"]}
RANGE = {"rule": "range", "column": "amount", "min": 0, "max": Decimal("9.5")}
NON_NEGATIVE = {"rule": "non_negative", "column": "number"}
ORDER = {"rule": "date_order", "earlier": "start", "later": "stop"}
FORMAT = {"rule": "format", "column": "text", "pattern": "[a-z]+|[0-9]{3}"}
LENGTH = {"rule": "length", "column": "text", "min": 2, "max": 3}
COMPLETE = {"rule": "complete_when", "column": "text", "when": "other", "values": ["x", "y"]}
JAN_2 = date(2024, 1, 2)

CASES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    (NOT_NULL, {"text": "a"}, False),
    (NOT_NULL, {"text": None}, True),
    (NOT_NULL, {"text": ""}, True),
    (NOT_NULL, {"text": "  "}, True),
    ({"rule": "not_null", "column": "number"}, {"number": 0}, False),
    ({"rule": "not_null", "column": "number"}, {"number": None}, True),
    (DOMAIN, {"text": "a"}, False),
    (DOMAIN, {"text": None}, False),
    (DOMAIN, {"text": "A"}, True),
    (DOMAIN, {"text": "a "}, True),
    (RANGE, {"amount": Decimal(0)}, False),
    (RANGE, {"amount": Decimal("9.50")}, False),
    (RANGE, {"amount": None}, False),
    (RANGE, {"amount": Decimal("-0.01")}, True),
    (RANGE, {"amount": Decimal("9.51")}, True),
    ({"rule": "range", "column": "number", "min": 3}, {"number": 2}, True),
    ({"rule": "range", "column": "number", "min": 3}, {"number": 10**15}, False),
    ({"rule": "range", "column": "number", "max": 3}, {"number": 4}, True),
    ({"rule": "range", "column": "number", "max": 3}, {"number": -(10**15)}, False),
    (NON_NEGATIVE, {"number": 0}, False),
    (NON_NEGATIVE, {"number": None}, False),
    (NON_NEGATIVE, {"number": -1}, True),
    (ORDER, {"start": JAN_2, "stop": at(2024, 1, 2)}, False),
    (ORDER, {"start": JAN_2, "stop": at(2024, 1, 1, 23, 59)}, True),
    (ORDER, {"start": None, "stop": at(2024, 1, 1)}, False),
    (ORDER, {"start": JAN_2, "stop": None}, False),
    (FORMAT, {"text": "abc"}, False),
    (FORMAT, {"text": "123"}, False),
    (FORMAT, {"text": None}, False),
    (FORMAT, {"text": "1234"}, True),
    (FORMAT, {"text": "abc1"}, True),
    (FORMAT, {"text": ""}, True),
    (LENGTH, {"text": "ab"}, False),
    (LENGTH, {"text": "äöü"}, False),
    (LENGTH, {"text": None}, False),
    (LENGTH, {"text": "a"}, True),
    (LENGTH, {"text": "abcd"}, True),
    ({"rule": "length", "column": "text", "min": 2}, {"text": "abcdefghij"}, False),
    (COMPLETE, {"other": "x", "text": "a"}, False),
    (COMPLETE, {"other": "z", "text": None}, False),
    (COMPLETE, {"other": None, "text": None}, False),
    (COMPLETE, {"other": "y", "text": None}, True),
    (COMPLETE, {"other": "y", "text": " "}, True),
    ({**COMPLETE, "when": "number", "values": ["1"]}, {"number": 1, "text": None}, True),
    ({**COMPLETE, "when": "amount", "values": ["1.5"]}, {"amount": Decimal("1.50"), "text": None}, True),
    ({**COMPLETE, "when": "start", "values": ["2024-01-02"]}, {"start": JAN_2, "text": None}, True),
    ({**COMPLETE, "when": "flag", "values": ["true"]}, {"flag": True, "text": None}, True),
    ({**COMPLETE, "when": "flag", "values": ["true"]}, {"flag": False, "text": None}, False),
]


@pytest.mark.parametrize(("declared", "row", "broken"), CASES)
def test_a_rule_passes_what_it_should_and_nothing_else(
    warehouse: Warehouse, declared: dict[str, Any], row: dict[str, Any], broken: bool
) -> None:
    assert breaks(warehouse, rule_of(**declared), row) is broken


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (NOT_NULL, "a value"),
        (DOMAIN, "one of a, b"),
        (RANGE, "a number from 0 to 9.5"),
        ({**RANGE, "min": Decimal("1E+3"), "max": None}, "a number of at least 1000"),
        ({**RANGE, "min": None}, "a number of at most 9.5"),
        (NON_NEGATIVE, "zero or more"),
        (ORDER, "stop not before start"),
        (FORMAT, "text that matches [a-z]+|[0-9]{3}"),
        (LENGTH, "text of 2 to 3 characters"),
        ({"rule": "length", "column": "text", "min": 2}, "text of at least 2 characters"),
        (COMPLETE, "a value, as other is x or y"),
        ({"rule": "unique", "columns": ["text", "other"]}, "no second row with the same text, other"),
        (
            {"rule": "referential", "columns": ["text"], "references": "product", "on_failure": "warn"},
            "a key that source product describes",
        ),
    ],
)
def test_a_rule_says_what_a_row_should_have_had(declared: dict[str, Any], words: str) -> None:
    assert expectation(rule_of(**declared)) == words


def test_row_rules_are_those_that_one_row_decides_by_their_consequence() -> None:
    rules = (
        rule_of(**NOT_NULL),
        rule_of(**DOMAIN, on_failure="warn"),
        rule_of(rule="unique", columns=["text"]),
        rule_of(rule="referential", columns=["text"], references="product", on_failure="warn"),
        rule_of(**RANGE, on_failure="block"),
    )
    source = SOURCE.model_copy(update={"rules": rules})
    found = {kind: [rule.label for rule in row_rules(source, kind)] for kind in OnFailure}
    assert found == {
        OnFailure.REJECT: ["not_null:text"],
        OnFailure.BLOCK: ["range:amount"],
        OnFailure.WARN: ["domain:text"],
    }


def test_a_rule_about_several_rows_cannot_be_judged_on_one() -> None:
    with pytest.raises(TypeError, match="unique is not judged row by row"):
        violates(rule_of(rule="unique", columns=["text"]), SOURCE, sa.column)
