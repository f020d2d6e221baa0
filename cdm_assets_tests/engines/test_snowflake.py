"""Snowflake's statements, executed: by fakesnow in its own process, through Snowflake's connector and dialect.

Clean loads, with which they compare, go to DuckDB: that both hold the same rows is part of each test. What a stand-in
cannot show is in docs/engines.md.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa
import pytest
import sqlalchemy as sa

from cdm_assets.catalog.types import parse_column_type
from cdm_assets.orchestration.snowflake_resource import snowflake_resource
from cdm_assets.orchestration.warehouse_resource import open_warehouse
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import canonical_text, hashed, hashed_text
from cdm_assets.warehouse.snowflake import RowsNotLoaded, bulk_insert, create_engine
from cdm_assets.warehouse.tables import TIMESTAMP, sql_type
from cdm_assets_tests.engines.fakesnow_server import FakesnowServer
from cdm_assets_tests.engines.test_snowflake_access import new_key
from cdm_assets_tests.loading.contract_site import ALL_DATES, HORIZON, ContractSite, day, differences
from cdm_assets_tests.loading.test_load_contract import SIX_DAYS
from cdm_assets_tests.warehouse.test_hash_contract import MD5, SHA256, VALUES, VECTORS

_MANY: Final = 300
"""More than one INSERT is used for."""


@pytest.fixture(scope="module")
def engine(fakesnow: FakesnowServer) -> Iterator[sa.Engine]:
    engine = create_engine(fakesnow.new_database())
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema("s"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def open_contract_site(fakesnow: FakesnowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractSite]:
    site = ContractSite(tmp_path_factory.mktemp("contract"), engine=create_engine(fakesnow.new_database()))
    yield site
    site.close()


@pytest.fixture
def contract(open_contract_site: ContractSite) -> ContractSite:
    open_contract_site.forget()
    return open_contract_site


_COLUMNS: Final[dict[str, Any]] = {
    "name": sa.String(20),
    "amount": sa.Numeric(38, 10),
    "seen_at": TIMESTAMP,
    "due": sa.Date(),
    "is_on": sa.Boolean(),
    "number": sa.BigInteger(),
    "values": sa.String(5),  # reserved, so SQLAlchemy quotes it and it is lower-case in Snowflake
    "nothing": sa.String(5),
}

_ROWS: Final[list[dict[str, Any]]] = [
    {
        "name": "\\N",
        "amount": Decimal("-1234567890123456789012345678.0000000001"),
        "seen_at": datetime.fromisoformat("2017-01-02T23:59:59.999999"),
        "due": date(2017, 1, 2),
        "is_on": True,
        "number": 2**63 - 1,
        "values": "",
    },
    {
        "name": "it's 100% 'Zürich' 🙂",
        "amount": Decimal("0.5"),
        "seen_at": datetime.fromisoformat("1969-12-31T00:00:00"),
        "due": date(1, 1, 1),
        "is_on": False,
        "number": 0,
        "values": " a ",
    },
    dict.fromkeys(list(_COLUMNS)[:-1]),
]


@pytest.fixture
def table(engine: sa.Engine) -> sa.Table:
    columns = [sa.Column(name, type_) for name, type_ in _COLUMNS.items()]
    table = sa.Table(f"t_{uuid4().hex}", sa.MetaData(), *columns, schema="s")
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateTable(table))
    return table


def _typed(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows).append_column("nothing", pa.nulls(len(rows)))


def _found(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


@pytest.mark.parametrize("times", [1, _MANY // 3], ids=["in one insert", "by copy"])
def test_rows_arrive_as_they_were_sent(engine: sa.Engine, table: sa.Table, times: int) -> None:
    with engine.begin() as connection:
        bulk_insert(connection, table, _typed(_ROWS * times))
    found = _found(engine, table)
    assert len(found) == len(_ROWS) * times
    for row in _ROWS:
        assert found.count({**row, "nothing": None}) == times


def test_copied_rows_are_there_for_others_when_the_transaction_ends(engine: sa.Engine, table: sa.Table) -> None:
    count = sa.select(sa.func.count()).select_from(table)
    with engine.connect() as other, engine.begin() as connection:
        bulk_insert(connection, table, _typed(_ROWS * _MANY))
        assert connection.execute(count).scalar_one() == len(_ROWS) * _MANY
        assert other.execute(count).scalar_one() == 0
    assert len(_found(engine, table)) == len(_ROWS) * _MANY


def test_a_transaction_that_fails_after_a_copy_leaves_what_was_there(engine: sa.Engine, table: sa.Table) -> None:
    with engine.begin() as connection:
        bulk_insert(connection, table, _typed(_ROWS))
    with engine.connect() as connection:
        connection.execute(sa.delete(table))
        bulk_insert(connection, table, _typed(_ROWS * _MANY))
        connection.rollback()
    assert len(_found(engine, table)) == len(_ROWS)


def _staged(engine: sa.Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.exec_driver_sql("LIST @~"))


def test_nothing_stays_on_the_stage_whether_a_copy_goes_well_or_not(engine: sa.Engine, table: sa.Table) -> None:
    with engine.begin() as connection:
        bulk_insert(connection, table, _typed(_ROWS * _MANY))
    texts = pa.table({"due": ["no date"] * _MANY})
    with pytest.raises(sa.exc.DBAPIError, match="no date"), engine.begin() as connection:
        bulk_insert(connection, table, texts)
    assert _staged(engine) == []


def test_rows_that_snowflake_does_not_count_are_missed(
    engine: sa.Engine, table: sa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdm_assets.warehouse.snowflake._copy", lambda *_: "SELECT 7 AS rows_loaded")
    with pytest.raises(RowsNotLoaded, match="900 rows were sent, Snowflake loaded 7"), engine.begin() as connection:
        bulk_insert(connection, table, _typed(_ROWS * _MANY))


def test_values_travel_beside_the_statement(engine: sa.Engine) -> None:
    """So the key that makes tokens is not in the query history."""
    sent: list[tuple[str, Any]] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *a: sent.append((a[2], a[3])))
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.literal("the key"))).scalar_one() == "the key"
    assert "the key" not in sent[-1][0]
    assert sent[-1][1] == ("the key",)


def test_the_canonical_texts_of_the_hash_contract(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        for text, value, expected in VALUES:
            type_ = parse_column_type(text)
            stored = sa.cast(sa.literal(value, sql_type(type_)), sql_type(type_))
            query = sa.select(canonical_text(stored, type_.kind, type_.scale or 0))
            assert connection.execute(query).scalar_one() == expected, (text, value)


def test_the_golden_hashes_of_the_hash_contract(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        for parts, text, md5, sha256 in VECTORS:
            texts = [sa.literal(part, sa.String()) for part in parts]
            query = sa.select(hashed_text(texts), hashed(texts, MD5), hashed(texts, SHA256))
            assert tuple(connection.execute(query).one()) == (text, md5, sha256)


def test_every_layer_is_the_same_and_passes_its_checks_whatever_the_order_of_the_days(contract: ContractSite) -> None:
    """The whole path: files, landing zone, vault, interface, marts, publish."""
    dates = DateRange(day(0), day(2))
    for source, files in SIX_DAYS.items():
        for number, rows in enumerate(files[:3]):
            contract.write(source, number, rows)
    for number in range(3):
        contract.write("pledge", number, [("a", 1, "p1", Decimal(number))])
    upstream = [key for key in contract.order if key not in contract.downstream]
    for number in (2, 0, 1):
        for key in upstream:
            contract.load(key, DateRange(day(number), day(number)), checked=True)
    for key in contract.downstream:
        contract.load(key, dates, checked=True)
    failed = [row for row in contract.site.rows("cdp_metadata.check_result") if row["blocks"]]
    assert failed == []
    found = contract.content()
    assert all(found.values())
    assert differences(found, contract.clean_content(dates)) == {}


def test_dagsters_resource_opens_the_warehouse(
    fakesnow: FakesnowServer, open_contract_site: ContractSite, tmp_path: Path
) -> None:
    address = fakesnow.new_database().render_as_string(hide_password=False)
    settings = Settings.from_environment({"CDM_HOME": str(tmp_path), "CDM_DATABASE": address})
    with snowflake_resource(settings).get_connection() as connection:
        assert connection.cursor().execute("SELECT 1").fetchall() == [(1,)]
    with open_warehouse(settings, open_contract_site.loads) as opened:
        with opened.transaction() as connection:
            connection.execute(sa.schema.CreateSchema("s"))
        assert sa.inspect(opened.engine).has_table("nothing", schema="s") is False


def test_a_key_pair_is_shown_instead_of_a_password(fakesnow: FakesnowServer) -> None:
    """The connector signs with it; whether the signature is the user's, the stand-in does not look at."""
    pem, _ = new_key("open sesame")
    engine = create_engine(fakesnow.new_database().set(password=None), private_key=pem, passphrase="open sesame")
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.literal(1))).scalar_one() == 1
    engine.dispose()


@pytest.mark.parametrize("seed", range(3))
def test_the_vault_is_the_same_whatever_the_order_of_the_days(contract: ContractSite, seed: int) -> None:
    """Days in any order, one of them twice, and a correction of one that others followed."""
    rng = random.Random(seed)
    source = list(SIX_DAYS)[seed % len(SIX_DAYS)]
    tables = sorted(contract.fed_by(source))
    order = rng.sample(range(HORIZON), HORIZON)
    order.append(order[2])
    files = dict(enumerate(SIX_DAYS[source]))
    corrected = {order[0]: files[order[-2]]}
    for content, numbers in ((files, order), (corrected, list(corrected))):
        for number in numbers:
            contract.put(source, number, content[number])
            for key in tables:
                contract.load(key, DateRange(day(number), day(number)))
    found = contract.content(layers=["rdv"])
    in_disorder, contract.warehouse = contract.warehouse, contract.clean_warehouse
    try:
        for number, rows in (files | corrected).items():
            contract.put(source, number, rows)
        for key in tables:
            contract.load(key, ALL_DATES)
        expected = contract.content(layers=["rdv"])
    finally:
        contract.warehouse = in_disorder
    assert any(expected.values())
    assert differences(found, expected) == {}
