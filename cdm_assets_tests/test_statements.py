"""Every statement the platform runs, compiled for five engines and read back by a parser of each.

The statements are collected by running them: every table of the shipped catalog is loaded and checked, on time and
late, in DuckDB's memory, over a few rows that stand in for files. Each is then compiled for the other engines by fixed
dialects, without a connection. Reading files and judging their records is DuckDB's alone and not among them.

sqlglot's parsers are permissive: they find foreign grammar, not foreign functions (the list below names those), and
take Oracle's CREATE USER for an opaque command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
import sqlglot
from sqlalchemy.sql import visitors

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.reading import read_catalog
from cdm_assets.catalog.types import Layer, TypeKind
from cdm_assets.loading.publish import TOKEN_KEY_PARAMETER
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.warehouse import functions as f
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing, ddl_statements
from cdm_assets.warehouse.engine import ENGINES, Warehouse, fixed_dialect
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.engines import oracle_text, scriptdom, tsql_traps
from cdm_assets_tests.small_site import registered_row

_DAY: Final = date(2024, 5, 1)
_DAYS: Final = [_DAY + timedelta(days=n) for n in range(4)]
_SQLGLOT_NAMES: Final = {"postgresql": "postgres", "mssql": "tsql"}

_ONLY_ELSEWHERE: Final[Mapping[str, str]] = {
    "duckdb": r"regexp_like\(|standard_hash\(|hashbytes\(|dateadd\(|\blen\(",
    "postgresql": r"strftime\(|regexp_full_match\(|date_diff\(|try_cast\(|\bifnull\(|standard_hash\(|hashbytes\(",
    "snowflake": r"strftime\(|regexp_full_match\(|date_diff\('|convert_to\(|standard_hash\(|hashbytes\(|'\\'|'\\N'",
    "oracle": r"strftime\(|regexp_full_match\(|date_diff\(|try_cast\(|hashbytes\(|\bmd5\(|\bsha256\(|\btrue\b|\bfalse\b"
    r"|\bLIMIT\b|\bIS (NOT )?[01]\b|\bAS \w+ (JOIN|ON|WHERE)\b|\bEXCEPT\b|NOT regexp_like|regexp_like\([^)]*\) = ",
    "mssql": r"strftime\(|regexp_full_match\(|date_diff\(|\bmd5\(|\bsha256\(|\btrue\b|\bfalse\b|\|\||\blength\("
    r"|\bLIMIT\b|\bIS (NOT )?[01]\b|\bNULLS (FIRST|LAST)\b|\bUSING\b|interval|\bAS TIMESTAMP\b",
}
"""Spellings that an engine does not know, or knows as something else."""


def _value(kind: TypeKind, length: int | None, key: int, day: date) -> Any:
    match kind:
        case TypeKind.STRING:
            return f"k{key}"[: length or 1]
        case TypeKind.INTEGER | TypeKind.DECIMAL:
            return key
        case TypeKind.DATE:
            return day
        case TypeKind.TIMESTAMP:
            return datetime.combine(day, time(12))
        case TypeKind.BOOLEAN:
            return False


def _put_landed_rows(warehouse: Warehouse, catalog: Catalog, days: list[date], *, changed: int) -> None:
    """Fill the landing zone without files: two rows a source and date, and what the register says of them."""
    register = warehouse.tables["cdp_metadata.landing_file"]
    stamp = {"load_ts": datetime.combine(_DAY, time(12)), "run_id": "landing"}
    with warehouse.transaction() as connection:
        for source in catalog.sources.values():
            table = warehouse.tables[f"ldz.{source.table}"]
            for day in days:
                rows = [
                    {
                        c.name: _value(c.type.kind, c.type.length, key + (0 if c.key else changed), day)
                        for c in source.columns
                    }
                    | {"business_date": day, "source_file": "f", "source_row": key, **stamp}
                    for key in (1, 2)
                ]
                connection.execute(sa.delete(table).where(table.c.business_date == day))
                connection.execute(sa.insert(table), rows)
                connection.execute(
                    sa.delete(register).where(register.c.source == source.source, register.c.business_date == day)
                )
                loaded = registered_row(source.source, day, "loaded", Stamp("landing"), rows_read=2, rows_loaded=2)
                connection.execute(sa.insert(register), [loaded])


@dataclass(frozen=True)
class _Statements:
    """Statements by their text on DuckDB, numbers left out, and the tables that gave any."""

    by_text: dict[str, sa.ClauseElement]
    tables: set[str]


class _Recorder:
    """Takes down the statements that an engine executes, each shape once."""

    def __init__(self, engine: sa.Engine) -> None:
        self.found = _Statements({}, set())
        self.table = "control"
        self._dialect = engine.dialect
        sa.event.listen(engine, "before_execute", self._record)

    def _record(self, _connection: Any, statement: Any, *_: Any) -> None:
        if isinstance(statement, sa.ClauseElement) and not isinstance(statement, sa.TextClause):
            text = re.sub(r"\d+", "#", str(statement.compile(dialect=self._dialect)))
            self.found.by_text.setdefault(text, statement)
            self.found.tables.add(self.table)


@pytest.fixture(scope="session")
def recorded() -> _Statements:
    """Every statement of every load and check."""
    catalog = read_catalog()
    tables = Tables(catalog)
    loads = TableLoads(tables)
    with Warehouse.open_duckdb(None, tables) as warehouse:
        create_missing(warehouse)
        context = LoadContext(warehouse, Path("/nowhere"), token_key="a key for tests", run_id="run")
        recorder = _Recorder(warehouse.engine)
        above_landing = [key for key in loads.in_order if not key.startswith(Layer.LANDING)]

        def load(first: int, last: int) -> None:
            for key in above_landing:
                recorder.table = key
                loads.load(key, DateRange(_DAYS[first], _DAYS[last]), context)

        _put_landed_rows(warehouse, catalog, _DAYS[1:], changed=0)
        load(1, 2)
        _put_landed_rows(warehouse, catalog, _DAYS[:2], changed=5)
        load(0, 0)
        with warehouse.connection() as connection:
            for key in tables.partitioned:
                if key.startswith(Layer.LANDING):
                    recorder.table = key
                    loads.checks[key].run(connection, DateRange(_DAYS[0], _DAYS[2]))
    return recorder.found


@pytest.fixture(scope="session")
def statements(recorded: _Statements) -> Mapping[str, sa.ClauseElement]:
    """Every statement of every load and check by its text on DuckDB."""
    return recorded.by_text


def _compiled(statement: sa.ClauseElement, engine: str) -> str:
    return str(statement.compile(dialect=_named(engine), compile_kwargs={"render_postcompile": True}))


@cache
def _named(engine: str) -> sa.Dialect:
    """The engine's dialect with parameters by name, as sqlglot reads them."""
    dialect = fixed_dialect(engine)
    dialect.paramstyle, dialect.positional = "named", False
    return dialect


def _parse(sql: str, engine: str) -> Any:
    return sqlglot.parse_one(sql, read=_SQLGLOT_NAMES.get(engine, engine))


def test_every_table_gave_statements(recorded: _Statements) -> None:
    assert recorded.tables >= set(Tables(read_catalog()).partitioned)
    assert len(recorded.by_text) > 300


@pytest.mark.parametrize("engine", ENGINES)
def test_every_statement_compiles_parses_and_has_no_foreign_spelling_on(
    engine: str, statements: Mapping[str, sa.ClauseElement]
) -> None:
    foreign = re.compile(_ONLY_ELSEWHERE[engine], re.IGNORECASE)
    broken = []
    for name, statement in statements.items():
        try:
            sql = _compiled(statement, engine)
            tree = _parse(sql, engine)
        except (sa.exc.SQLAlchemyError, sqlglot.errors.SqlglotError) as fault:
            broken.append(f"{name[:200]}: {fault}")
            continue
        if engine == "mssql":
            broken += [f"{name[:200]}: {trap}" for trap in tsql_traps.traps(tree)]
        if match := foreign.search(sql):
            broken.append(f"{name[:200]}: ...{sql[max(0, match.start() - 60) : match.end() + 30]}")
    assert broken == []


def test_oracles_grammar_takes_every_statement_and_none_is_a_trap(statements: Mapping[str, sa.ClauseElement]) -> None:
    found = set()
    for statement in statements.values():
        sql = _compiled(statement, "oracle")
        for version in oracle_text.VERSIONS:
            found |= {f"{version}: {fault}" for fault in oracle_text.faults(sql, version)}
        found |= {*oracle_text.traps(sql), *oracle_text.traps_of_types(statement)}
        found |= {*oracle_text.traps_of_large_text(statement), *oracle_text.traps_of_patterns(statement)}
    assert found == set()


def test_every_statement_for_mssql_is_in_its_makers_grammar_and_calls_what_the_server_has(
    statements: Mapping[str, sa.ClauseElement],
) -> None:
    texts = [_compiled(statement, "mssql") for statement in statements.values()]
    assert {name for text in texts for name in tsql_traps.unknown_functions(text)} == set()
    parameters = [set(tsql_traps.PARAMETER.findall(text)) for text in texts]
    assert max(map(len, parameters)) < tsql_traps.MOST_PARAMETERS / 4
    faults = scriptdom.syntax_errors([tsql_traps.PARAMETER.sub(r"@\1", text) for text in texts])
    broken = [f"{found[0]}: {text[:300]}" for text, found in zip(texts, faults, strict=True) if found]
    assert broken == []


def test_no_rows_are_grouped_by_a_parameter(statements: Mapping[str, sa.ClauseElement]) -> None:
    """With placeholders by position, `GROUP BY a + ?` is another expression than `SELECT a + ?` to most engines."""
    found = set()
    for name, statement in statements.items():
        for select in visitors.iterate(statement):
            grouped = list(select._group_by_clauses) if isinstance(select, sa.Select) else []
            inside = [element for group in grouped for element in visitors.iterate(group)]
            if any(isinstance(e, sa.BindParameter) and not e.literal_execute for e in inside):
                found.add(name[:120])
    assert found == set()


def test_the_token_key_is_in_no_statement(statements: Mapping[str, sa.ClauseElement]) -> None:
    keyed = [s for n, s in statements.items() if n.startswith("INSERT INTO cdm_publish_db.customer_#")]
    assert keyed
    for statement in keyed:
        assert "a key for tests" not in str(statement.compile(dialect=fixed_dialect("duckdb")).params)
        assert TOKEN_KEY_PARAMETER in _compiled(statement, "postgresql")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_ddl_compiles_and_parses_on(engine: str) -> None:
    tables, dialect = Tables(read_catalog()), fixed_dialect(engine)
    texts = [str(statement.compile(dialect=dialect)).strip() for statement in ddl_statements(tables, dialect)]
    assert len(texts) > len(tables.partitioned)
    if engine == "oracle":
        # sqlglot takes users, a schema's indexes, keys that are deferred and partitions by interval for commands
        commands = ("CREATE USER", "CREATE INDEX", "ALTER")
        texts = [text.split("\nPARTITION BY")[0] for text in texts if not text.startswith(commands)]
    for text in texts:
        assert not isinstance(_parse(text, engine), sqlglot.exp.Command), text


def test_no_column_of_sql_server_is_a_row_version_or_loses_letters() -> None:
    dialect = fixed_dialect("mssql")
    kinds: set[str] = set()
    for table in Tables(read_catalog()).metadata.sorted_tables:
        kinds |= {str(c.type.compile(dialect=dialect)).split("(")[0] for c in table.c}
    assert kinds <= {"NVARCHAR", "VARCHAR", "BIGINT", "NUMERIC", "DATE", "DATETIME2", "BIT"}


def _constructs() -> Iterator[Any]:
    text, day, when = sa.column("t", sa.String(20)), sa.column("d", sa.Date()), sa.column("w", sa.TIMESTAMP())
    yield from (f.trimmed(text), f.text_length(text), f.concat(text, text), f.md5_hex(text), f.sha256_hex(text))
    yield from (f.days_after(day, sa.literal_column("3")), f.days_between(day, day), f.seconds_between(when, when))
    yield from (
        f.date_of(when),
        f.fixed_text("it's | \\"),
        f.canonical_text(sa.column("n", sa.Numeric(9, 2)), TypeKind.DECIMAL, 2),
    )
    yield from (f.canonical_text(when, TypeKind.TIMESTAMP), f.canonical_text(day, TypeKind.DATE))
    yield f.canonical_text(sa.column("b", sa.Boolean()), TypeKind.BOOLEAN)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_construct_parses_on_and_uses_no_spelling_foreign_to(engine: str) -> None:
    foreign = re.compile(_ONLY_ELSEWHERE[engine], re.IGNORECASE)
    for construct in _constructs():
        sql = _compiled(sa.select(construct.label("x")), engine)
        _parse(sql, engine)
        assert not foreign.search(sql), sql


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pattern_is_a_condition_on(engine: str) -> None:
    text = sa.column("t", sa.String(20))
    sql = _compiled(sa.select(sa.case((sa.not_(f.matches(text, "[a-z]+")), 1), else_=0).label("x")), engine)
    _parse(sql, engine)
    is_value = engine in ("oracle", "mssql")
    assert ("else 0 end end) = 0" in sql) == is_value
    assert ("NOT " in sql) == (not is_value)
