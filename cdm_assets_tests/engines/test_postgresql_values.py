"""What PostgreSQL makes of values: the bulk path, the hash contract, and the demo's first days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest
import sqlalchemy as sa

from cdm_assets.catalog.types import parse_column_type
from cdm_assets.warehouse.bulk import bulk_insert
from cdm_assets.warehouse.functions import canonical_text, hashed, hashed_text
from cdm_assets.warehouse.postgresql import create_engine
from cdm_assets.warehouse.tables import TIMESTAMP, sql_type
from cdm_assets_tests.engines.demo_days import differences_of_demo_days
from cdm_assets_tests.engines.postgres_server import PostgresServer
from cdm_assets_tests.warehouse.test_hash_contract import MD5, SHA256, VALUES, VECTORS

_COLUMNS: Final[dict[str, Any]] = {
    "name": sa.String(40),
    "amount": sa.Numeric(38, 10),
    "seen_at": TIMESTAMP,
    "due": sa.Date(),
    "is_on": sa.Boolean(),
    "number": sa.BigInteger(),
    "values": sa.Text(),
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
        "name": 'it\'s 100% "Zürich", \t🙂\r\nNULL',
        "amount": Decimal("0.5"),
        "seen_at": datetime.fromisoformat("1969-12-31T00:00:00"),
        "due": date(1, 1, 1),
        "is_on": False,
        "number": 0,
        "values": " \\. ",
    },
    dict.fromkeys(list(_COLUMNS)[:-1]),
]


@pytest.fixture
def engine(postgres: PostgresServer) -> Iterator[sa.Engine]:
    engine = create_engine(postgres.new_database())
    yield engine
    engine.dispose()


@pytest.fixture
def table(engine: sa.Engine) -> sa.Table:
    table = sa.Table("Odd name", sa.MetaData(), *(sa.Column(name, type_) for name, type_ in _COLUMNS.items()))
    table.create(engine)
    return table


def test_rows_arrive_by_copy_as_they_were_sent_and_with_the_transaction(engine: sa.Engine, table: sa.Table) -> None:
    count = sa.select(sa.func.count()).select_from(table)
    with engine.connect() as other, engine.begin() as connection:
        bulk_insert(connection, table, pa.Table.from_pylist(_ROWS))
        assert (connection.execute(count).scalar_one(), other.execute(count).scalar_one()) == (3, 0)
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(sa.select(table)).mappings()]
        bulk_insert(connection, table, pa.Table.from_pylist(_ROWS))
        connection.rollback()
        assert connection.execute(count).scalar_one() == 3
    assert found == [{**row, "nothing": None} for row in _ROWS]


def test_canonical_texts_and_golden_hashes(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        for type_, value, text in VALUES:
            column = parse_column_type(type_)
            stored = sa.cast(sa.literal(value, sql_type(column)), sql_type(column))
            asked = sa.select(canonical_text(stored, column.kind, column.scale or 0))
            assert connection.execute(asked).scalar_one() == text, (type_, value)
        for parts, text, md5, sha256 in VECTORS:
            literals = [sa.literal(part, sa.String()) for part in parts]
            hashes = sa.select(hashed_text(literals), hashed(literals, MD5), hashed(literals, SHA256))
            assert tuple(connection.execute(hashes).one()) == (text, md5, sha256)


@pytest.mark.parametrize("days", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_every_table_of_the_demos_first_days_holds_the_rows_of_duckdb(
    postgres: PostgresServer, tmp_path: Path, days: int
) -> None:
    assert differences_of_demo_days(create_engine(postgres.new_database()), tmp_path, days) == {}
