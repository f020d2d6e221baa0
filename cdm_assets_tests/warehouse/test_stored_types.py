"""Types as databases report them, and what makes the declared one of them."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.types import parse_column_type
from cdm_assets.warehouse.engine import ENGINES, fixed_dialect
from cdm_assets.warehouse.stored_types import Change, declared_type, found_type
from cdm_assets.warehouse.tables import sql_type

Reported = tuple[str, Any, Any, Any]
TOLD: dict[str, dict[str, Reported]] = {
    "duckdb": {
        "string(40)": ("VARCHAR", None, None, None),
        "integer": ("BIGINT", None, 64, 0),
        "decimal(12,2)": ("DECIMAL(12,2)", None, 12, 2),
        "date": ("DATE", None, None, None),
        "timestamp": ("TIMESTAMP", None, None, None),
        "boolean": ("BOOLEAN", None, None, None),
    },
    "postgresql": {
        "string(40)": ("character varying", 40, None, None),
        "integer": ("bigint", None, 64, 0),
        "decimal(12,2)": ("numeric", None, 12, 2),
        "date": ("date", None, None, None),
        "timestamp": ("timestamp without time zone", None, None, None),
        "boolean": ("boolean", None, None, None),
    },
    "snowflake": {
        "string(40)": ("TEXT", 40, None, None),
        "integer": ("NUMBER", None, 38, 0),
        "decimal(12,2)": ("NUMBER", None, 12, 2),
        "date": ("DATE", None, None, None),
        "timestamp": ("TIMESTAMP_NTZ", None, None, None),
        "boolean": ("BOOLEAN", None, None, None),
    },
    "oracle": {
        "string(40)": ("VARCHAR2", 40, None, None),
        "integer": ("NUMBER", 0, 19, 0),
        "decimal(12,2)": ("NUMBER", 0, 12, 2),
        "date": ("DATE", 0, None, None),
        "timestamp": ("TIMESTAMP(6)", 0, None, 6),
        "boolean": ("NUMBER", 0, None, 0),
    },
    "mssql": {
        "string(40)": ("nvarchar", 40, None, None),
        "integer": ("bigint", None, 19, 0),
        "decimal(12,2)": ("numeric", None, 12, 2),
        "date": ("date", None, None, None),
        "timestamp": ("datetime2", None, None, None),
        "boolean": ("bit", None, None, None),
    },
}
"""As the dictionaries of the engines describe what the DDL of `sql_type` creates: name, length, digits, scale."""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("written", TOLD["duckdb"])
def test_what_is_declared_is_what_is_found(engine: str, written: str) -> None:
    column: sa.Column[Any] = sa.Column("c", sql_type(parse_column_type(written)))
    declared = declared_type(column, fixed_dialect(engine))
    assert found_type(engine, *TOLD[engine][written]).change_to(declared) is Change.NONE


@pytest.mark.parametrize("engine", ENGINES)
def test_a_text_without_bounds_is_found_as_one(engine: str) -> None:
    name = {"oracle": "CLOB", "mssql": "varchar", "postgresql": "text"}.get(engine, "TEXT")
    length = {"mssql": -1, "snowflake": 16_777_216, "oracle": 0}.get(engine)
    declared = declared_type(sa.Column("c", sa.Text()), fixed_dialect(engine))
    assert found_type(engine, name, length, None, None).change_to(declared) is Change.NONE


@pytest.mark.parametrize(
    ("found", "declared", "expected"),
    [
        (("numeric", None, 9, 2), "decimal(12,2)", Change.WIDER),
        (("numeric", None, 9, 2), "decimal(12,4)", Change.WIDER),
        (("numeric", None, 9, 2), "decimal(10,4)", Change.NARROWER),
        (("numeric", None, 9, 2), "decimal(12,1)", Change.NARROWER),
        (("numeric", None, None, None), "decimal(38,10)", Change.NARROWER),
        (("character varying", 10, None, None), "string(20)", Change.WIDER),
        (("character varying", 30, None, None), "string(20)", Change.NARROWER),
        (("text", None, None, None), "string(20)", Change.NARROWER),
        (("integer", None, 32, 0), "integer", Change.WIDER),
        (("smallint", None, 16, 0), "decimal(7,2)", Change.WIDER),
        (("bigint", None, 64, 0), "decimal(18,0)", Change.OTHER),
        (("bigint", None, 64, 0), "decimal(19,0)", Change.WIDER),
        (("bigint", None, 64, 0), "string(20)", Change.OTHER),
        (("date", None, None, None), "timestamp", Change.OTHER),
        (("timestamp with time zone", None, None, None), "timestamp", Change.OTHER),
        (("jsonb", None, None, None), "string(20)", Change.OTHER),
    ],
)
def test_a_change_is_wider_only_if_every_value_fits(found: Reported, declared: str, expected: Change) -> None:
    column: sa.Column[Any] = sa.Column("c", sql_type(parse_column_type(declared)))
    assert found_type("postgresql", *found).change_to(declared_type(column, fixed_dialect("postgresql"))) is expected


def test_on_oracle_a_text_does_not_become_a_large_one_by_itself() -> None:
    large = declared_type(sa.Column("c", sa.Text()), fixed_dialect("oracle"))
    assert found_type("oracle", "VARCHAR2", 4000, None, None).change_to(large) is Change.OTHER
