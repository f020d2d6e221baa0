"""What alters a database and gives roles their rights on engines that are not here, read by parsers.

Those of SQL Server and Oracle are made for them; sqlglot, which reads Snowflake's, takes much that Snowflake does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
import sqlglot

from cdm_assets.warehouse.ddl import declared_views, text_dialect
from cdm_assets.warehouse.ddl_record import revocation_of
from cdm_assets.warehouse.engine import fixed_dialect
from cdm_assets.warehouse.grants import access_statements
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.engines import oracle_text, scriptdom
from cdm_assets_tests.warehouse.ddl_changes import altered, statements_of, steps_of
from cdm_assets_tests.warehouse.ddl_laws import short_calendar, small_tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return small_tables(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with short_calendar():
        yield


def _statements(tables: Tables, engine: str) -> list[str]:
    changes = statements_of(steps_of(tables, engine, altered(tables, engine)))
    access = access_statements(tables, declared_views(tables), text_dialect(fixed_dialect(engine)))
    granted = [text for text in access if text.startswith("GRANT")]
    assert len(changes) > 10
    assert len(granted) > 10
    return [*changes, *access, *(revocation_of(text) for text in granted)]


def test_sql_servers_parser_takes_every_alteration_and_right(tables: Tables) -> None:
    statements = _statements(tables, "mssql")
    faults = scriptdom.syntax_errors(statements)
    assert [(text, fault) for text, fault in zip(statements, faults, strict=True) if fault] == []


@pytest.mark.parametrize("version", oracle_text.VERSIONS)
def test_a_parser_of_oracle_takes_every_alteration_and_right(tables: Tables, version: str) -> None:
    found = []
    for text in _statements(tables, "oracle"):
        script = f"{text}\n/\n" if text.startswith("BEGIN") else f"{text};\n"
        found += oracle_text.faults(script, version)
    assert found == []


_RIGHTS: Final = "(SELECT|INSERT|UPDATE|DELETE)(, (INSERT|UPDATE|DELETE))*"
_UNKNOWN_TO_SQLGLOT: Final = re.compile(
    r"CREATE ROLE IF NOT EXISTS \w+$|"
    rf"(GRANT|REVOKE) {_RIGHTS} ON FUTURE (TABLES|VIEWS) IN SCHEMA \w+ (TO|FROM) ROLE \w+$"
)


def test_a_parser_takes_every_alteration_and_right_of_snowflake(tables: Tables) -> None:
    for text in _statements(tables, "snowflake"):
        parsed = sqlglot.parse_one(text, read="snowflake")
        assert not isinstance(parsed, sqlglot.exp.Command) or _UNKNOWN_TO_SQLGLOT.match(text), text
