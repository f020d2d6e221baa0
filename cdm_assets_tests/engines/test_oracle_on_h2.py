"""Oracle's statements executed: H2 in Oracle mode must end with the rows that DuckDB ends with.

What H2 is and where it is sent something else than Oracle: `h2.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest import mock

import pyarrow as pa
import pytest
import sqlalchemy as sa

from cdm_assets.catalog.model import Column, Source
from cdm_assets.catalog.reading import read_catalog
from cdm_assets.catalog.types import Layer, TypeKind, parse_column_type
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import LoadContext, NothingToLoad, TableLoads
from cdm_assets.warehouse import ddl
from cdm_assets.warehouse.bulk import bulk_insert
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.functions import canonical_text, hashed, hashed_text
from cdm_assets.warehouse.tables import Tables, sql_type
from cdm_assets_tests.bring_up_to_date import bring_up_to_date
from cdm_assets_tests.engines.comparison import differences
from cdm_assets_tests.engines.h2 import h2_engine
from cdm_assets_tests.loading.contract_site import ALL_DATES, ContractSite, day
from cdm_assets_tests.small_site import registered_row
from cdm_assets_tests.warehouse.test_hash_contract import MD5, SHA256, VALUES, VECTORS

_CONTROL: Final = ("partition_load", "check_result", "landing_file", "rejected_record", "stale_partition", "load_log")
_NOT_COMPARED: Final = {"load_ts", "run_id", "arrived_at", "delivered_at", "seconds", "version"}

FILES: Final[Mapping[tuple[str, int], list[tuple[Any, ...]]]] = {
    ("person", 0): [("p1", "Ann", "10.50"), ("p2", " Zoë 東京|\\ ", ""), ("p3", "", "-0.05")],
    ("person", 1): [("p1", "Ann", "11.50"), ("p2", " Zoë 東京|\\ ", "")],
    ("person", 3): [("p1", "Ann", "11.50"), ("p3", "it's", "-0.05")],
    ("booking", 0): [("s1", "1", "p1", "a", "2024-05-01"), ("s1", "2", "p2", "b", "")],
    ("booking", 1): [("s2", "1", "", "a", ""), ("s1", "x", "p1", "a", "")],
    ("booking", 2): [("s1", "1", "p2", "c", "2024-05-02")],
    ("pledge", 0): [("s1", "1", "p1", "5.00")],
    ("pledge", 1): [],
    ("visit", 0): [
        ("v1", "p1", "home", "1.25", "2024-03-01 08:00:00.123456"),
        ("v2", "p9", "", "0", "2024-03-01 09:00"),
    ],
    ("visit", 1): [("v3", "p1", "home", "2.25", "2024-02-28 08:00:00")],
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractSite]:
    with closing(ContractSite(tmp_path_factory.mktemp("h2"), engine=h2_engine())) as site:
        yield site


@pytest.fixture
def site(opened: ContractSite) -> ContractSite:
    opened.forget()
    return opened


def _control_rows(warehouse: Warehouse, name: str) -> list[str]:
    table = warehouse.tables[f"cdp_metadata.{name}"]
    columns = [column for column in table.c if column.name not in _NOT_COMPARED]
    with warehouse.connection() as connection:
        return sorted(repr(tuple(row)) for row in connection.execute(sa.select(*columns)))


def test_the_whole_path_from_files_to_publish_gives_the_rows_of_duckdb(site: ContractSite) -> None:
    """Files with faults, a manifest that is missing and dates without one included; the control tables as well."""
    for (source, number), rows in FILES.items():
        site.write(source, number, rows)
    loaded = [
        bring_up_to_date(of, site.loads, ALL_DATES, site.site.area) for of in (site.clean_warehouse, site.warehouse)
    ]
    assert loaded[0] == loaded[1]
    assert differences(site.clean_warehouse, site.warehouse) == {}
    for name in _CONTROL:
        of_duckdb, of_h2 = (_control_rows(of, name) for of in (site.clean_warehouse, site.warehouse))
        assert of_h2 == of_duckdb, name
    assert all(site.content(layers=[layer]).values() for layer in ("rdv", "itf", "cs_360_db", "cdm_publish_db"))
    with site.warehouse.connection() as connection:
        register = site.tables["cdp_metadata.landing_file"]
        assert set(connection.execute(sa.select(register.c.manifest_version)).scalars()) == {""}


@pytest.mark.parametrize(
    "order",
    [
        (1, 0),
        *(
            pytest.param(order, marks=pytest.mark.slow)
            for order in [(2, 0, 1), (1, 3, 0, 2), (3, 2, 1, 0), (0, 2, 3, 1)]
        ),
    ],
)
def test_dates_in_another_order_give_the_same(site: ContractSite, order: tuple[int, ...]) -> None:
    for (source, number), rows in FILES.items():
        if number in order:
            site.write(source, number, rows)
    for number in order:
        site.load_all(DateRange(day(number), day(number)))
    site.load_stale()
    dates = DateRange(day(0), day(max(order)))
    assert site.content() == site.clean_content(dates)
    site.load_all(DateRange(day(1), day(1)))
    assert site.content() == site.content(site.clean_warehouse)


def test_rows_in_bulk_are_there_with_the_commit_and_gone_with_a_rollback(site: ContractSite) -> None:
    table = site.tables["ldz.ldz_visit"]
    at = datetime(2024, 3, 1, 8, 0, 0, 123456)  # noqa: DTZ001 - stored without a zone
    row = {"business_date": day(0), "visit_id": "v1", "person_id": "Zoë", "page": None, "spent": Decimal("-0.05")}
    row |= {"seen_at": at, "source_file": "f", "source_row": 1, "extra": "long " * 10_000, "load_ts": at, "run_id": "r"}
    rows = pa.table({name: [value, value] for name, value in row.items()})
    with site.warehouse.transaction() as connection:
        bulk_insert(connection, table, rows.slice(0, 1))

    with site.warehouse.engine.connect() as connection:
        connection.execute(sa.delete(table))
        bulk_insert(connection, table, rows)
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 2
        connection.rollback()
    with site.warehouse.connection() as connection:
        assert [dict(found) for found in connection.execute(sa.select(table)).mappings()] == [row]


@pytest.fixture(scope="module")
def connection() -> Iterator[sa.Connection]:
    with h2_engine().connect() as connection:
        yield connection


@pytest.mark.parametrize(("type_", "value", "text"), VALUES)
def test_the_canonical_text_of(connection: sa.Connection, type_: str, value: Any, text: str | None) -> None:
    column_type = parse_column_type(type_)
    stored = sa.cast(sa.literal(value, sql_type(column_type)), sql_type(column_type))
    asked = sa.select(canonical_text(stored, column_type.kind, column_type.scale or 0))
    assert connection.execute(asked).scalar_one() == text


@pytest.mark.parametrize(("parts", "text", "md5", "sha256"), VECTORS)
def test_the_hash_of(connection: sa.Connection, parts: list[str | None], text: str, md5: str, sha256: str) -> None:
    literals = [sa.literal(part, sa.String()) for part in parts]
    asked = sa.select(hashed_text(literals), hashed(literals, MD5), hashed(literals, SHA256))
    assert tuple(connection.execute(asked).one()) == (text, md5, sha256)


@dataclass(frozen=True)
class _Shipped:
    """The shipped catalog's tables, loaded on both, and what each load said."""

    duckdb: Warehouse
    h2: Warehouse
    outcomes: Mapping[str, dict[str, str]]


_DAYS: Final = [date(2024, 5, 1) + timedelta(days=n) for n in range(3)]
_TEXTS: Final = ("k1", "k2", "k3", " Zoë ", "a|\\'")


def _value(column: Column, number: int, day_: date, random: Random) -> Any:
    if not (column.key or column.required) and random.random() < 0.2:
        return None
    scale, seconds = column.type.scale or 0, random.randint(-9999, 9999)
    values = {
        TypeKind.STRING: (f"k{number}" if column.key else random.choice(_TEXTS))[: column.type.length or 1],
        TypeKind.INTEGER: number if column.key else random.randint(-2, 5),
        TypeKind.DECIMAL: Decimal(random.randint(0, 9 * 10**scale)).scaleb(-scale),
        TypeKind.DATE: day_ if column.key else day_ - timedelta(days=random.randint(0, 9)),
        TypeKind.TIMESTAMP: datetime.combine(day_, time(12)) + timedelta(seconds=seconds, microseconds=number),
        TypeKind.BOOLEAN: random.random() < 0.5,
    }
    return values[column.type.kind]


def _landed(source: Source, day_: date, random: Random) -> list[dict[str, Any]]:
    identity = {"business_date": day_, "source_file": "f", "load_ts": datetime.combine(day_, time(12)), "run_id": "r"}
    return [
        {c.name: _value(c, number, day_, random) for c in source.columns} | identity | {"source_row": number}
        for number in range(1, random.randint(3, 5))
    ]


@pytest.fixture(scope="module", params=["vault copied", pytest.param("vault loaded", marks=pytest.mark.slow)])
def shipped(request: pytest.FixtureRequest) -> Iterator[_Shipped]:
    """Every table loaded on both. In the quick run H2's vault is a copy of DuckDB's: it takes half of the time."""
    tables = Tables(read_catalog())
    loads = TableLoads(tables)
    vault = [key for key in loads.in_order if key.startswith(f"{Layer.VAULT}.")]
    above = [key for key in loads.in_order if not key.startswith((f"{Layer.LANDING}.", f"{Layer.VAULT}."))]
    with Warehouse.open_duckdb(None, tables) as duckdb, Warehouse(h2_engine(), tables) as h2:
        for warehouse in (duckdb, h2):
            with mock.patch.multiple(ddl, CALENDAR_FIRST=date(2022, 12, 1), CALENDAR_LAST=date(2024, 12, 31)):
                ddl.create_missing(warehouse)
        _put_landed_rows(duckdb)
        outcomes: dict[str, dict[str, str]] = {"duckdb": {}, "oracle": {}}
        keys = above
        if request.param == "vault copied":
            with duckdb.transaction() as connection:
                for key in vault:
                    loads.fill(connection, key, DateRange(_DAYS[0], _DAYS[-1]), Stamp("r"))
        else:
            keys = [*vault, *above]
        _copy(duckdb, h2)
        for warehouse in (duckdb, h2):
            _load(warehouse, loads, keys, outcomes)
        yield _Shipped(duckdb, h2, outcomes)


def _put_landed_rows(warehouse: Warehouse) -> None:
    random, tables = Random(6), warehouse.tables
    register = tables["cdp_metadata.landing_file"]
    with warehouse.transaction() as connection:
        for source in tables.catalog.sources.values():
            for day_ in _DAYS:
                rows = _landed(source, day_, random)
                connection.execute(sa.insert(tables[f"ldz.{source.table}"]), rows)
                seen = registered_row(source.source, day_, "loaded", Stamp("r"), rows_read=len(rows))
                connection.execute(sa.insert(register), [seen])


def _copy(one: Warehouse, other: Warehouse) -> None:
    """All rows but the calendar's: control tables as rows, the others in bulk."""
    for key in (Tables.key_of(table) for table in one.tables.metadata.sorted_tables if table.name != "calendar"):
        table = one.tables[key]
        with one.connection() as reading, other.transaction() as writing:
            rows = [dict(row) for row in reading.execute(sa.select(table)).mappings()]
            if rows and key in one.tables.partitioned:
                bulk_insert(writing, table, pa.Table.from_pylist(rows))
            elif rows:
                writing.execute(sa.insert(table), rows)


def _load(warehouse: Warehouse, loads: TableLoads, keys: list[str], outcomes: dict[str, dict[str, str]]) -> None:
    """Load tables and note what held them back. Those are filled all the same: their statements are what is tested."""
    dates, context = DateRange(_DAYS[0], _DAYS[-1]), LoadContext(warehouse, Path("/nowhere"), "a key for tests", "run")
    said = outcomes[warehouse.engine.dialect.name]
    for key in keys:
        said[key] = "loaded"
        try:
            loads.load(key, dates, context)
        except NothingToLoad as nothing:
            said[key] = str(nothing)
            with warehouse.transaction() as connection:
                loads.fill(connection, key, dates, Stamp("run"), token_key=context.token_key)


def test_every_shipped_table_has_the_rows_of_duckdb_and_every_check_says_the_same(shipped: _Shipped) -> None:
    assert differences(shipped.duckdb, shipped.h2) == {}
    filled = [key for key in shipped.duckdb.tables.partitioned if not _is_empty(shipped.h2, key)]
    assert len(filled) > 0.8 * len(shipped.duckdb.tables.partitioned)
    assert shipped.outcomes["oracle"] == shipped.outcomes["duckdb"]
    for name in ("check_result", "rejected_record", "partition_load"):
        rows = _control_rows(shipped.h2, name)
        assert rows == _control_rows(shipped.duckdb, name)
        assert rows or name == "rejected_record"


def _is_empty(warehouse: Warehouse, key: str) -> bool:
    with warehouse.connection() as connection:
        return connection.execute(sa.select(warehouse.tables[key].c.business_date).limit(1)).first() is None
