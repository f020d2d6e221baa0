"""Oracle's connection and bulk path, as far as they go without a server: against the driver's own types and a fake."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import oracledb
import pyarrow as pa
import pytest
import sqlalchemy as sa

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.settings import Settings
from cdm_assets.warehouse.bulk import bulk_insert
from cdm_assets.warehouse.engine import DatabaseUnreachable, Warehouse
from cdm_assets.warehouse.locks import take_turns
from cdm_assets.warehouse.oracle import UnfitDatabase, create_engine
from cdm_assets.warehouse.tables import TIMESTAMP, Tables, sql_type
from cdm_assets.warehouse.transient import is_transient
from cdm_assets_tests.engines.oracle_text import faults

_URL = sa.make_url("oracle://cdm@db.example:1521/?service_name=CDM")
_ENGINE = create_engine(_URL)


@dataclass
class _Cursor:
    """Takes down what it is asked to do."""

    rows: Sequence[tuple[Any, ...]] = ()
    executed: list[str] = field(default_factory=list)
    sent: list[tuple[str, pa.Table, int]] = field(default_factory=list)
    closed: bool = False

    def execute(self, statement: str) -> None:
        self.executed.append(statement)

    def executemany(self, statement: str, rows: pa.Table, *, batch_size: int) -> None:
        self.sent.append((statement, rows, batch_size))

    def fetchone(self) -> tuple[Any, ...]:
        return self.rows[0]

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables(read_catalog())


def _prepare(version: str, character_set: str) -> _Cursor:
    """Connect to a database that says so of itself."""
    cursor = _Cursor(rows=[(character_set,)])
    raw = SimpleNamespace(version=version, cursor=lambda: nullcontext(cursor))
    (prepare,) = [handler for handler in _ENGINE.pool.dispatch.connect if "oracle" in handler.__module__]
    prepare(raw, None)
    return cursor


def _sent(table: sa.Table, rows: pa.Table) -> tuple[str, pa.Table, int]:
    """What the driver is given for `rows`."""
    cursor = _Cursor()
    raw = SimpleNamespace(cursor=lambda: cursor)
    connection: Any = SimpleNamespace(dialect=_ENGINE.dialect, connection=raw)
    bulk_insert(connection, table, rows)
    assert cursor.closed
    (sent,) = cursor.sent
    return sent


def _table(name: str = "booked") -> sa.Table:
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("note", sa.Text()),
        sa.Column("number", sa.BigInteger()),
        sa.Column("day", sa.Date()),
        sa.Column("at", TIMESTAMP),
        sa.Column("amount", sa.Numeric(38, 10)),
        sa.Column("is_open", sa.Boolean()),
        sa.Column("name", sa.String(8)),
        schema="rdv",
    )


def test_the_url_leads_to_the_thin_driver_with_the_password_that_is_kept_apart() -> None:
    engine = create_engine(_URL, "s3cret")
    assert (engine.dialect.name, engine.dialect.driver) == ("oracle", "oracledb")
    _, arguments = engine.dialect.create_connect_args(engine.url)
    assert arguments["password"] == "s3cret"
    assert arguments["user"] == "cdm"
    assert "service_name=cdm" in arguments["dsn"].lower()
    assert "s3cret" not in str(engine.url)
    assert oracledb.is_thin_mode()
    assert create_engine(_URL.set(password="mine"), "s3cret").url.password == "mine"


def test_a_server_that_does_not_answer_is_named(tmp_path: Path, tables: Tables) -> None:
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        url = f"oracle://cdm:s3cret@127.0.0.1:{closed.getsockname()[1]}/?service_name=CDM"
        settings = Settings.from_environment({"CDM_HOME": str(tmp_path), "CDM_DATABASE": url})
        with pytest.raises(DatabaseUnreachable, match="DPY-6005") as unreachable:
            Warehouse.open(settings, tables)
    assert "s3cret" not in str(unreachable.value)


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ("ORA-00060: deadlock detected while waiting for resource", True),
        ("ORA-08177: can't serialize access for this transaction", True),
        ("ORA-00942: table or view does not exist", False),
    ],
)
def test_what_passes_by_itself_is_tried_again(message: str, passes: bool) -> None:
    assert is_transient(sa.exc.DatabaseError("INSERT", {}, oracledb.DatabaseError(message))) is passes


def test_a_session_depends_on_no_settings_of_the_database() -> None:
    session, _ = _prepare("19.3.0.0.0", "AL32UTF8").executed
    for setting in ("TIME_ZONE = 'UTC'", "NLS_SORT = BINARY", "NLS_COMP = BINARY", "NLS_NUMERIC_CHARACTERS = '.,'"):
        assert setting in session


@pytest.mark.parametrize(
    ("version", "character_set", "what"),
    [("12.1.0.2.0", "AL32UTF8", "12.2 or later"), ("23.5.0.24.7", "WE8MSWIN1252", "hash keys")],
)
def test_a_database_is_refused_whose_keys_or_names_would_differ(version: str, character_set: str, what: str) -> None:
    with pytest.raises(UnfitDatabase, match=what):
        _prepare(version, character_set)


def test_rows_are_sent_as_arrow_in_batches_each_column_as_the_driver_binds_it_rightly() -> None:
    at = datetime(2024, 5, 1, 10, 0, 0, 123456)  # noqa: DTZ001 - stored without a zone
    rows = pa.table(
        {
            "note": ["long", None],
            "day": [date(2024, 5, 1), None],
            "at": pa.array([at, None], pa.timestamp("ns")),
            "amount": [Decimal("1.5"), None],
            "is_open": [True, False],
            "number": pa.array([1, 2], pa.int32()),
            "name": pa.array(["Zoë", None], pa.large_string()),
        }
    )
    statement, sent, batch = _sent(_table(), rows)
    assert statement == (
        'INSERT INTO rdv.booked (day, at, amount, is_open, "number", name, note) VALUES (:1, :2, :3, :4, :5, :6, :7)'
    )
    assert [str(kind) for kind in sent.schema.types] == [
        "date32[day]",
        "timestamp[us]",
        "decimal128(38, 10)",
        "int8",  # no column is a BOOLEAN, which there is from 23ai on
        "int64",
        "string",
        "large_string",  # of any length, so after all others
    ]
    assert batch == 20_000
    assert [row["at"] for row in sent.to_pylist()] == [at, None]
    assert oracledb.from_arrow(sent).column_names() == sent.column_names


def test_every_column_of_the_catalog_has_a_type_that_the_driver_reads(tables: Tables) -> None:
    for table in tables.metadata.sorted_tables:
        nothing = pa.table({column.name: pa.nulls(1) for column in table.c})
        _, sent, _ = _sent(table, nothing)
        assert oracledb.from_arrow(sent).num_rows() == 1
        assert sorted(sent.column_names) == sorted(table.c.keys())
        lengths = [kind == pa.large_string() for kind in sent.schema.types]
        assert lengths == sorted(lengths)


def test_a_value_that_its_column_cannot_hold_is_refused_before_it_is_sent() -> None:
    with pytest.raises(pa.ArrowInvalid):
        _sent(_table(), pa.table({"amount": [Decimal("1.12345678901")]}))


def test_no_rows_are_no_statement() -> None:
    connection: Any = SimpleNamespace(dialect=_ENGINE.dialect)
    bulk_insert(connection, _table(), pa.table({"number": pa.array([], pa.int64())}))


def test_loads_take_turns_by_locks_that_readers_do_not_feel(tables: Tables) -> None:
    executed: list[str] = []
    connection: Any = SimpleNamespace(dialect=_ENGINE.dialect, exec_driver_sql=executed.append)
    take_turns(connection, tables["itf.customer"], [tables["rdv.h_customer"]])
    assert executed == [
        "LOCK TABLE itf.customer IN SHARE ROW EXCLUSIVE MODE",
        "LOCK TABLE rdv.h_customer IN SHARE MODE",
    ]
    assert faults(";\n".join(executed), "19c") == []


def _bound(type_: sa.types.TypeEngine[Any]) -> Any:
    dialect = _ENGINE.dialect
    return type_.dialect_impl(dialect).get_dbapi_type(dialect.dbapi)


def test_moments_are_bound_with_their_microseconds() -> None:
    """The driver takes a datetime for a DATE, which has none, unless it is told."""
    assert _bound(TIMESTAMP) is oracledb.DB_TYPE_TIMESTAMP
    assert _bound(sa.TIMESTAMP()) is oracledb.DB_TYPE_TIMESTAMP
    assert _bound(sa.DateTime()) is not oracledb.DB_TYPE_TIMESTAMP  # so that no statement may use it


def _processor(type_: sa.types.TypeEngine[Any], *, binds: bool, engine: str = "oracle") -> Callable[[Any], Any]:
    dialect = _ENGINE.dialect if engine == "oracle" else sa.create_engine("duckdb://").dialect
    found = type_._cached_bind_processor(dialect) if binds else type_._cached_result_processor(dialect, None)
    return found or (lambda value: value)


def test_the_empty_text_of_a_control_table_is_kept_where_it_would_be_null(tables: Tables) -> None:
    version = tables["cdp_metadata.landing_file"].c.manifest_version.type
    write, read = _processor(version, binds=True), _processor(version, binds=False)
    assert [write(text) for text in ("", "v1", None)] == [" ", "v1", None]
    assert [read(write(text)) for text in ("", "v1", None)] == ["", "v1", None]
    assert _processor(version, binds=True, engine="duckdb")("") == ""
    assert _processor(sql_type(tables.catalog.vault.hubs["customer"].key[0].type), binds=True)("") == ""
