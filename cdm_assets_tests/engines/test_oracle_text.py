"""The whole DDL as an Oracle parser reads it, and that the rules for Oracle's text find what they are for.

Every load, check and mart statement: `test_statements.py::test_oracle_...`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import parseora
import pytest
import sqlalchemy as sa

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.landing_register import _at
from cdm_assets.warehouse.ddl import ddl_script
from cdm_assets.warehouse.engine import fixed_dialect
from cdm_assets.warehouse.functions import matches
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.engines.oracle_text import (
    VERSIONS,
    faults,
    traps,
    traps_in_table,
    traps_of_large_text,
    traps_of_patterns,
    traps_of_types,
)


@pytest.fixture(scope="module")
def script() -> str:
    return ddl_script(Tables(read_catalog()), fixed_dialect("oracle"))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_script_is_read_without_a_complaint(script: str, version: str) -> None:
    assert faults(script, version) == []


def test_no_statement_of_the_script_is_a_trap(script: str) -> None:
    found = []
    for statement in parseora.split(script):
        found += traps(statement["text"])
        if statement["text"].startswith("CREATE TABLE"):
            found += traps_in_table(statement["text"])
    assert found == []
    assert script.count("CREATE TABLE") > 100


def test_no_text_that_is_hashed_is_longer_than_a_text_may_be_in_a_statement() -> None:
    """At 4,000 bytes a concatenation fails (ORA-01489), unless MAX_STRING_SIZE is EXTENDED."""
    for source in read_catalog().sources.values():
        longest = sum(4 * (column.type.length or 40) + 1 for column in source.columns)
        assert longest <= 4000, source.source


def test_a_list_of_many_dates_is_cut_before_oracle_refuses_it() -> None:
    register = Tables(read_catalog())["cdp_metadata.landing_file"]
    places = [("person", date(2020, 1, 1) + timedelta(days=2 * n)) for n in range(2500)]
    text = sa.select(register.c.source).where(_at(register, places))
    compiled = text.compile(dialect=fixed_dialect("oracle"), compile_kwargs={"render_postcompile": True})
    assert str(compiled).count(" IN (") == 3
    assert list(traps(str(compiled))) == []


@pytest.mark.parametrize(
    ("sql", "version", "complaint"),
    [
        ("SELECT a FROM t LIMIT 5", "23ai", "unexpected tokens"),
        ("SELECT a FROM t AS x", "23ai", "AS before a table alias"),
        ("SELECT 1", "19c", "needs Oracle 23ai"),
        ("CREATE TABLE IF NOT EXISTS t (a NUMBER)", "19c", "needs Oracle 23ai"),
        ("INSERT INTO t (a) VALUES (1), (2)", "19c", "need Oracle 23ai"),
        ("SELECT a FROM t EXCEPT SELECT a FROM u", "19c", "need Oracle 21c"),
        ("CREATE USER x NO AUTHENTICATIONN", "19c", "not modelled"),
    ],
)
def test_the_parser_complains_of(sql: str, version: str, complaint: str) -> None:
    assert complaint in " ".join(faults(sql, version))


@pytest.mark.parametrize(
    ("sql", "trap"),
    [
        ("SELECT md5(a) FROM t", "function md5"),
        ("SELECT a FROM t WHERE b IN (" + ", ".join(["1"] * 1001) + ")", "ORA-01795"),
        (f"SELECT {'a' * 129} FROM t", "128 bytes"),
        ("SELECT a AS level FROM t", "level"),
    ],
)
def test_a_statement_is_a_trap_that_has(sql: str, trap: str) -> None:
    assert trap in " ".join(traps(sql))


@pytest.mark.parametrize(
    ("column", "trap"),
    [
        ("a BOOLEAN", "type BOOLEAN"),
        ("a VARCHAR2(10) NOT NULL", "type VARCHAR2(10) NOT NULL"),
        ("a VARCHAR2(4001 CHAR)", "ORA-00910"),
        ("size NUMBER(19)", "column: size"),
    ],
)
def test_a_table_is_a_trap_that_has_a_column(column: str, trap: str) -> None:
    assert trap in " ".join(traps_in_table(f"CREATE TABLE t (\n\t{column},\n\tb DATE NOT NULL\n)"))


def test_large_texts_that_are_compared_and_moments_without_fractions_are_found() -> None:
    table = sa.table("t", sa.column("body", sa.Text()), sa.column("at", sa.DateTime()), sa.column("name", sa.String(3)))
    assert list(traps_of_large_text(sa.select(table.c.body).distinct()))
    assert list(traps_of_large_text(sa.select(table.c.name).order_by(table.c.body)))
    assert list(traps_of_large_text(sa.union(sa.select(table.c.body), sa.select(table.c.body))))
    assert not list(traps_of_large_text(sa.union_all(sa.select(table.c.body), sa.select(table.c.body))))
    assert not list(traps_of_large_text(sa.select(table.c.body, table.c.name).order_by(table.c.name)))
    assert list(traps_of_types(sa.select(table).where(table.c.at > datetime(2024, 1, 1))))  # noqa: DTZ001
    assert list(traps_of_types(sa.select(sa.cast(table.c.at, sa.Date()))))
    assert not list(traps_of_types(sa.select(sa.cast(sa.column("day", sa.Date()), sa.Date()))))


@pytest.mark.parametrize(
    ("pattern", "is_trap"),
    [(r"[A-Z]{2}\d+", False), (r"[\d-]+", True), (r"(?:a|b)", True), (r"a\b", True), (r"[0-9-]+@\w+", False)],
)
def test_a_pattern_is_a_trap_that_is_not_posix(pattern: str, is_trap: bool) -> None:
    found = list(traps_of_patterns(sa.select(matches(sa.column("t", sa.String(9)), pattern))))
    assert bool(found) is is_trap
