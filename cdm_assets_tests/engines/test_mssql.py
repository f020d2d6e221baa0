"""SQL Server through Microsoft's driver, to the stand-in: connection, types, bulk path, and every load and check.

What the stand-in does not show is told in `tds_server` and `tsql_on_duckdb`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
import sqlalchemy as sa

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.catalog.types import TypeKind, parse_column_type
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.warehouse import ddl
from cdm_assets.warehouse.bulk import bulk_insert
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.functions import canonical_text, hashed, hashed_text
from cdm_assets.warehouse.mssql import COLLATION, SqlServerNotReady, create_engine, openjson_insert
from cdm_assets.warehouse.tables import TIMESTAMP, Tables, sql_type
from cdm_assets_tests.bring_up_to_date import bring_up_to_date
from cdm_assets_tests.engines import tds_server
from cdm_assets_tests.engines import test_oracle_on_h2 as shipped_rows
from cdm_assets_tests.engines.comparison import differences, rows_of
from cdm_assets_tests.engines.demo_days import differences_of_demo_days
from cdm_assets_tests.engines.tds_server import TdsServer
from cdm_assets_tests.loading.contract_site import ContractSite, day
from cdm_assets_tests.loading.vault_oracle import vault_content
from cdm_assets_tests.warehouse.test_hash_contract import MD5, SHA256, VALUES, VECTORS

_DAYS = DateRange(day(0), day(2))
_EXACT = Decimal("-1234567890123456789012345678.0000000001")
_MOMENT = datetime.fromisoformat("2024-02-29T23:59:59.999999")


@pytest.fixture(scope="module")
def server() -> Iterator[TdsServer]:
    with tds_server.running_server() as running:
        yield running


@pytest.fixture(scope="module")
def engine(server: TdsServer) -> Iterator[sa.Engine]:
    engine = create_engine(sa.make_url(server.url()))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def site(engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractSite]:
    site = ContractSite(tmp_path_factory.mktemp("mssql"), engine=engine)
    yield site
    site.close()


@pytest.fixture
def table(engine: sa.Engine) -> Iterator[sa.Table]:
    """A table with a column of every type."""
    table = sa.Table(
        "every_type",
        sa.MetaData(),
        *(
            sa.Column(name, sql_type(parse_column_type(kind)))
            for name, kind in {
                "name": "string(20)",
                "number": "integer",
                "amount": "decimal(38,10)",
                "on_day": "date",
                "at": "timestamp",
                "is_so": "boolean",
            }.items()
        ),
        sa.Column("long", sa.Text()),
        schema="dbo",
    )
    with engine.begin() as connection:
        table.create(connection)
    yield table
    with engine.begin() as connection:
        table.drop(connection)


_ROW: dict[str, Any] = {
    "name": "Zürich 東京 🙂 ",
    "number": -(2**63),
    "amount": _EXACT,
    "on_day": date(1753, 1, 1),
    "at": _MOMENT,
    "is_so": True,
    "long": "a'|\\\n\t" * 3000,
}
_BEFORE_ALL_PARAMETERS = date(9, 12, 31)
"""The driver refuses parameters before 1753, which SQL Server itself would take."""
_ROWS = [_ROW, dict.fromkeys(_ROW), _ROW | {"name": "", "amount": Decimal("0.0000001"), "is_so": False, "number": 0}]


def _stored(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.select(table))]


def test_the_driver_keeps_every_value(engine: sa.Engine, table: sa.Table) -> None:
    with engine.begin() as connection:
        for row in _ROWS:
            connection.execute(sa.insert(table).values(row))
    assert _stored(engine, table) == _ROWS
    with engine.begin() as connection:
        for name in ("name", "number", "amount", "on_day", "at"):
            found = sa.select(sa.func.count()).select_from(table).where(table.c[name] == _ROW[name])
            assert connection.execute(found).scalar_one() >= 1, name
        assert connection.execute(sa.delete(table).where(table.c.at == _MOMENT)).rowcount == 2


def test_many_rows_by_parameters_keep_every_value(engine: sa.Engine, table: sa.Table) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(table), _ROWS)
    assert _stored(engine, table) == _ROWS


def _arrow(rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {"amount": pa.decimal128(38, 10), "at": pa.timestamp("us"), "on_day": pa.date32(), "number": pa.int64()}
    return pa.table({name: pa.array([row[name] for row in rows], kinds.get(name)) for name in rows[0]})


def test_rows_in_bulk_keep_every_value(engine: sa.Engine, table: sa.Table) -> None:
    with engine.begin() as connection:
        bulk_insert(connection, table, _arrow(_ROWS))
        few = {"amount": Decimal("-0.5"), "on_day": _BEFORE_ALL_PARAMETERS}
        bulk_insert(connection, table, _arrow([few]))
    assert _stored(engine, table) == [*_ROWS, dict.fromkeys(_ROW) | few]


def test_rows_in_bulk_are_part_of_the_transaction(engine: sa.Engine, table: sa.Table) -> None:
    with engine.begin() as connection:
        bulk_insert(connection, table, _arrow(_ROWS))

    def replace_and_fail() -> None:
        with engine.begin() as connection:
            connection.execute(sa.delete(table))
            bulk_insert(connection, table, pa.table({"number": list(range(50_000))}))  # in several batches
            inside = connection.execute(
                sa.select(sa.func.count(), sa.func.max(table.c.number)).select_from(table)
            ).one()
            assert tuple(inside) == (50_000, 49_999)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        replace_and_fail()
    assert _stored(engine, table) == _ROWS


def test_rows_in_bulk_are_read_with_the_types_of_the_table(engine: sa.Engine) -> None:
    columns = [sa.Column("order", sa.String(8)), sa.Column("b", sa.Numeric(9, 2)), sa.Column("c", TIMESTAMP)]
    table = sa.Table("t", sa.MetaData(), *columns, sa.Column("d", sa.Boolean()), schema="ldz")
    assert openjson_insert(engine.dialect, list(table.c)) == (
        "INSERT INTO ldz.t ([order], b, c, d) SELECT c0, c1, c2, c3 FROM OPENJSON(?) "
        "WITH (c0 NVARCHAR(max) '$[0]', c1 NUMERIC(9, 2) '$[1]', c2 DATETIME2(6) '$[2]', c3 BIT '$[3]')"
    )


def test_a_statement_that_fails_says_why_and_leaves_the_connection_usable(engine: sa.Engine, table: sa.Table) -> None:
    def insert_and_fail() -> None:
        with engine.begin() as connection:
            connection.execute(sa.insert(table), [_ROW])
            connection.exec_driver_sql("SELECT 1 FROM nowhere")

    with pytest.raises(sa.exc.DBAPIError, match="nowhere"):
        insert_and_fail()
    assert _stored(engine, table) == []


def test_the_connection_string_hides_nothing_and_escapes_everything() -> None:
    engine = create_engine(sa.make_url("mssql://cdm@db.example/cdm?ApplicationIntent=ReadWrite"), "a;b}c")
    (text,), _ = engine.dialect.create_connect_args(engine.url)
    assert text == (
        "Server={tcp:db.example,1433};Database={cdm};UID={cdm};PWD={a;b}}c};Encrypt={yes};ApplicationIntent={ReadWrite}"
    )
    assert "a;b" not in str(engine.url)


@pytest.mark.parametrize(
    ("version", "collation", "snapshots", "what"),
    [
        (14, COLLATION, 1, "older than SQL Server 2019"),
        (16, "SQL_Latin1_General_CP1_CI_AS", 1, "COLLATE Latin1_General_100_BIN2_UTF8"),
        (16, COLLATION, 0, "READ_COMMITTED_SNAPSHOT ON"),
    ],
)
def test_a_database_that_would_change_keys_or_block_readers_is_refused(
    version: int, collation: str, snapshots: int, what: str
) -> None:
    class Cursor:
        def execute(self, _statement: str) -> None: ...

        def fetchone(self) -> tuple[int, str, int]:
            return version, collation, snapshots

        def close(self) -> None: ...

    class Raw:
        def cursor(self) -> Cursor:
            return Cursor()

        def rollback(self) -> None: ...

    engine = create_engine(sa.make_url("mssql://cdm@db.example/cdm"))
    (check,) = [h for h in engine.pool.dispatch.first_connect if "warehouse.mssql" in getattr(h, "__module__", "")]
    with pytest.raises(SqlServerNotReady, match=what):
        check(Raw(), None)


def test_the_hash_contract(engine: sa.Engine) -> None:
    with engine.connect() as connection:

        def ask(expression: sa.ColumnElement[Any]) -> Any:
            return connection.execute(sa.select(expression)).scalar_one()

        for type_, value, text in VALUES:
            kind = parse_column_type(type_)
            given = sa.literal(value, sql_type(kind))
            if value == _BEFORE_ALL_PARAMETERS:
                given = sa.literal(str(value), sa.String())
            stored = sa.cast(given, sql_type(kind))
            assert ask(canonical_text(stored, kind.kind, kind.scale or 0)) == text, (type_, value)
        for parts, text, md5, sha256 in VECTORS:
            texts = [sa.literal(part, sa.String()) for part in parts]
            assert ask(hashed_text(texts)) == text
            assert (ask(hashed(texts, MD5)), ask(hashed(texts, SHA256))) == (md5, sha256)
        blank = canonical_text(sa.literal("  ", sa.String()), TypeKind.STRING)
        assert ask(hashed([blank], MD5)) == "44d0dc437936b13f7cea2f77053806bd"


_PERSONS = ("é1", "B", "b2")


def _write_files(site: ContractSite, number: int) -> None:
    """What each source sends of a day: keys in other spellings, NULLs, text with the hash's own signs."""
    persons = _PERSONS[: 3 - number % 2]
    site.write("person", number, [(p, f"name of {p} {number % 2}", Decimal("1.50")) for p in persons])
    site.write(
        "booking",
        number,
        [("s|1", number + 1, _PERSONS[number], "ab"[number % 2], day(9)), ("S|1", 1, " É1", None, None)],
    )
    site.write("pledge", number, [("s|1", 1, _PERSONS[number], Decimal("10.25") if number else None)])
    site.write(
        "visit",
        number,
        [
            (
                f"v{number}",
                _PERSONS[number],
                "home" if number else None,
                Decimal("3.10"),
                f"{day(number)} 08:00:00.123456",
            ),
            (f"w{number}", "B", "a|\\b", Decimal("0.33"), f"{day(max(number - 1, 0))} 23:59:59.999999"),
        ],
    )


_RESULT = ("table_key", "check_name", "business_date", "passed", "blocks", "message")


def _results(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    result = warehouse.tables["cdp_metadata.check_result"]
    with warehouse.connection() as connection:
        rows = connection.execute(sa.select(*(result.c[name] for name in _RESULT)))
        return sorted((tuple(row) for row in rows), key=str)


def test_every_layer_and_check_is_row_by_row_what_duckdb_has(site: ContractSite) -> None:
    """With a file that comes late, one that changes, and one that is refused; DuckDB loads all in order at the end."""
    site.forget()
    for number in (2, 0):
        _write_files(site, number)
    bring_up_to_date(site.warehouse, site.loads, _DAYS, site.site.area)
    _write_files(site, 1)
    site.write("person", 0, [("B", "renamed", None)])
    site.write("visit", 1, [("v1", "B", "home", "not a number", f"{day(1)} 08:00:00")])
    for warehouse in (site.warehouse, site.clean_warehouse):
        bring_up_to_date(warehouse, site.loads, _DAYS, site.site.area)
    assert differences(site.warehouse, site.clean_warehouse) == {}
    filled = {key.split(".")[0] for key, rows in site.content().items() if rows}
    assert filled == {"ldz", "rdv", "itf", "agg", "cs_360_db", "cdm_publish_db"}
    assert _results(site.warehouse) == _results(site.clean_warehouse)
    assert len(_results(site.warehouse)) > 100


_SLOW_ORDERS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0)]


@pytest.mark.parametrize(
    "order", [(2, 0, 1), (1, 2, 0), *(pytest.param(o, marks=pytest.mark.slow) for o in _SLOW_ORDERS)]
)
def test_the_vault_is_the_same_in_every_order_of_loads(site: ContractSite, order: tuple[int, ...]) -> None:
    """Compared with a plain Python model of it."""
    rows: dict[str, dict[int, list[tuple[Any, ...]]]] = {
        "person": {0: [("a", "x", None), ("b", "y", Decimal(1))], 1: [("a", "y", None)], 2: [("B", "y", Decimal(1))]},
        "booking": {0: [("s", 1, "a", "x", None)], 1: [("s", 1, "c", None, None)], 2: [("s", 1, "A", "x", None)]},
    }
    files = {(source, number): of_day for source, days in rows.items() for number, of_day in days.items()}
    expected = vault_content(site.catalog, files)
    keys = [key for key in site.order if any(key in site.fed_by(source) for source in rows)]
    site.forget()
    for number in order:
        for source in rows:
            site.put(source, number, rows[source][number])
        for key in keys:
            site.fill(key, DateRange(day(number), day(number)))
    found = site.content(layers=["rdv"])
    assert {key: found[key] for key in keys} == {key: expected[key] for key in keys}


def test_every_load_and_check_of_the_shipped_catalog_gives_what_duckdb_gives() -> None:
    """Every table behind the landing zone, over rows of chance that stand in for files."""
    tables = Tables(read_catalog())
    loads = TableLoads(tables)
    behind_landing = [key for key in loads.in_order if not key.startswith("ldz.")]
    outcomes: dict[str, dict[str, str]] = {"duckdb": {}, "mssql": {}}
    with (
        tds_server.running_server() as server,
        Warehouse.open_duckdb(None, tables) as duckdb,
        Warehouse(create_engine(sa.make_url(server.url())), tables) as mssql,
    ):
        for warehouse in (duckdb, mssql):
            with mock.patch.multiple(ddl, CALENDAR_FIRST=date(2022, 12, 1), CALENDAR_LAST=date(2024, 12, 31)):
                ddl.create_missing(warehouse)
            shipped_rows._put_landed_rows(warehouse)
            shipped_rows._load(warehouse, loads, behind_landing, outcomes)
        assert differences(mssql, duckdb) == {}
        assert outcomes["mssql"] == outcomes["duckdb"]
        for name in ("check_result", "partition_load", "rejected_record"):
            assert shipped_rows._control_rows(mssql, name) == shipped_rows._control_rows(duckdb, name), name
        empty = [key for key in tables.partitioned if not rows_of(mssql, key)]
        assert len(empty) < len(tables.partitioned) / 10, empty


@pytest.mark.slow
def test_every_table_of_the_demos_first_days_holds_the_rows_of_duckdb(tmp_path: Path) -> None:
    with tds_server.running_server() as server:
        assert differences_of_demo_days(create_engine(sa.make_url(server.url())), tmp_path, 3) == {}


def test_what_this_file_tests_is_not_duckdb(site: ContractSite, tmp_path: Path) -> None:
    """The stand-in is reached as SQL Server, by its dialect and driver."""
    assert (site.warehouse.engine.dialect.name, site.warehouse.engine.dialect.driver) == ("mssql", "mssql_python")
    assert site.clean_warehouse.engine.dialect.name == "duckdb"
    assert not list(tmp_path.iterdir())
