"""The whole DDL and what else is written for SQL Server by hand, read by Microsoft's own parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import sqlglot
from sqlalchemy.schema import DropColumnComment, DropTableComment, SetColumnComment, SetTableComment

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.warehouse import database_state
from cdm_assets.warehouse.ddl import ddl_script
from cdm_assets.warehouse.engine import fixed_dialect
from cdm_assets.warehouse.mssql import openjson_insert
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.engines import scriptdom, tsql_traps


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables(read_catalog())


@pytest.fixture(scope="module")
def batches(tables: Tables) -> list[str]:
    """The script that `cdm ddl --engine mssql` prints, cut as sqlcmd cuts it."""
    return [batch for batch in ddl_script(tables, fixed_dialect("mssql")).split("\nGO\n") if batch.strip()]


def _without_comments(batch: str) -> str:
    return "\n".join(line for line in batch.splitlines() if not line.startswith("--")).strip()


def test_the_parser_takes_the_whole_script_the_bulk_path_and_the_questions_to_the_dictionary(
    tables: Tables, batches: list[str]
) -> None:
    dialect = fixed_dialect("mssql")
    inserts = [openjson_insert(dialect, list(table.c)).replace("?", "@rows") for table in tables.metadata.sorted_tables]
    asked = [
        of_engine["mssql"] for of_engine in (database_state._VIEWS, database_state._COMMENTS, database_state._INDEXES)
    ]
    asked += [query.upper() for query in (database_state._COLUMNS, database_state._NAMES, database_state._SCHEMAS)]
    texts = [*batches, *inserts, *(re.sub(":schemas", "(@one)", text, flags=re.IGNORECASE) for text in asked)]
    faults = scriptdom.syntax_errors(texts)
    assert [f"{found[0]}: {text[:300]}" for text, found in zip(texts, faults, strict=True) if found] == []


def test_the_script_has_every_table_and_the_roles(tables: Tables, batches: list[str]) -> None:
    plain = [_without_comments(batch) for batch in batches]
    assert {"CREATE", "EXECUTE", "IF", "GRANT"} <= {batch.split(" ")[0].upper() for batch in plain}
    assert sum(batch.startswith("CREATE TABLE") for batch in plain) == len(tables.metadata.sorted_tables)


def test_system_views_are_named_as_a_database_that_tells_case_names_them() -> None:
    asked: list[str] = []

    class Connection:
        dialect = fixed_dialect("mssql")

        def execute(self, query: sa.TextClause, _parameters: object) -> list[tuple[str, ...]]:
            asked.append(str(query))
            return []

    connection: Any = Connection()
    tables = Tables(read_catalog())
    database_state.columns_present(connection, tables)
    database_state.schemas_present(connection, ["ldz"])
    database_state.read_database(connection, tables)
    assert len(asked) >= 6
    of_the_wrong_case = re.compile(r"information_schema|SYS\.|(table|column)_name|table_schema|data_type")
    assert [query for query in asked if of_the_wrong_case.search(query)] == []


def test_a_comment_is_set_by_the_words_of_the_procedures_description() -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("order", sa.Date()), schema="s", comment="a 'table', b, 'column', c")
    column, dialect = table.c["order"], fixed_dialect("mssql")
    column.comment = "'schema', x"
    commands = [SetTableComment(table), DropTableComment(table), SetColumnComment(column), DropColumnComment(column)]
    of_table, of_column = "'SCHEMA', s, 'TABLE', t", "'SCHEMA', s, 'TABLE', t, 'COLUMN', [order]"
    assert [str(command.compile(dialect=dialect)) for command in commands] == [
        f"execute sp_addextendedproperty 'MS_Description', N'a ''table'', b, ''column'', c', {of_table}",
        f"execute sp_dropextendedproperty 'MS_Description', {of_table}",
        f"execute sp_addextendedproperty 'MS_Description', N{chr(39) * 3}schema'', x', {of_column}",
        f"execute sp_dropextendedproperty 'MS_Description', {of_column}",
    ]


def test_a_schema_a_view_and_a_module_begin_their_batch(batches: list[str]) -> None:
    alone = re.compile(r"^CREATE (SCHEMA|(OR ALTER )?VIEW)\b", re.IGNORECASE | re.MULTILINE)
    found = {batch: len(alone.findall(batch)) for batch in map(_without_comments, batches)}
    assert max(found.values()) == 1
    assert [batch[:100] for batch, times in found.items() if times and not alone.match(batch)] == []


def test_the_parser_refuses_what_other_engines_write() -> None:
    foreign = (
        "SELECT a || b FROM t",
        "SELECT a FROM t LIMIT 1",
        "SELECT a FROM t ORDER BY a NULLS LAST",
        "SELECT count(*) FILTER (WHERE a = 1) FROM t",
        "SELECT a = b AS c, (a = b) AS d FROM t",
        "SELECT a FROM t WHERE a IS true",
        "SELECT a FROM t JOIN u USING (a)",
        "SELECT a FROM t WHERE (a, b) IN (SELECT a, b FROM u)",
        "SELECT a + INTERVAL '1' DAY FROM t",
        "CREATE SCHEMA IF NOT EXISTS x",
        "CREATE TABLE t (a boolean DEFAULT (1 = 1))",
        "SELECT a FROM (SELECT a FROM t ORDER BY a) AS q",
        "SELECT count(DISTINCT a) OVER (PARTITION BY b) FROM t",
    )
    assert [sql for sql, found in zip(foreign, scriptdom.syntax_errors(foreign), strict=True) if not found] == []


@pytest.mark.parametrize(
    ("number", "sql"),
    [
        ("130", "SELECT sum(CASE WHEN a IN (SELECT b FROM u) THEN 1 END) FROM t"),
        ("130", "SELECT max(sum(a)) FROM t"),
        ("144", "SELECT count(*) FROM t GROUP BY (SELECT max(b) FROM u)"),
        ("164", "SELECT count(*) FROM t GROUP BY 1"),
        ("145", "SELECT DISTINCT a FROM t ORDER BY b"),
        ("5308", "SELECT row_number() OVER (ORDER BY 1) FROM t"),
        ("8155", "SELECT 1 AS x FROM (SELECT max(a) FROM t) AS q"),
        ("8156", "SELECT 1 AS x FROM (SELECT a, b AS a FROM t) AS q"),
    ],
)
def test_what_the_grammar_allows_and_the_server_refuses_is_found(number: str, sql: str) -> None:
    assert [trap.split(":")[0] for trap in tsql_traps.traps(sqlglot.parse_one(sql, read="tsql"))] == [number]


def test_a_function_that_the_server_lacks_is_found() -> None:
    sql = "INSERT INTO a.len2 (a) SELECT lower(md5(a)), 'b(c)', greatest(a, b) FROM s.lower2(a) WHERE a IN (1)"
    assert tsql_traps.unknown_functions(sql) == {"md5", "greatest"}


def test_no_column_is_longer_or_more_exact_than_the_server_takes(tables: Tables) -> None:
    assert list(_too_large(tables)) == []


def _too_large(tables: Tables) -> Iterator[str]:
    dialect = fixed_dialect("mssql")
    for table in tables.metadata.sorted_tables:
        fixed_bytes = 0
        for column in table.c:
            text = column.type.compile(dialect=dialect)
            if match := re.fullmatch(r"(N?)VARCHAR\((\d+)\)", text):
                if int(match[2]) > (4000 if match[1] else 8000):
                    yield f"{column}: {text}"
                fixed_bytes += 24  # what stays in the row of a text that is moved out of it
            elif isinstance(column.type, sa.Numeric):
                fixed_bytes += 17
                if column.type.precision is None or column.type.precision > 38:
                    yield f"{column}: {text}"
            else:
                fixed_bytes += 24 if text == "VARCHAR(max)" else 8
        if fixed_bytes > 8060:
            yield f"{table.fullname}: {fixed_bytes} bytes a row"
