"""The catalog's roles on PostgreSQL: each tries what it may do, and what must be refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdm_assets.warehouse.ddl_apply import apply_ddl
from cdm_assets.warehouse.ddl_plan import plan_ddl
from cdm_assets.warehouse.engine import Warehouse, engine_of_server
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.engines.postgres_server import PostgresServer
from cdm_assets_tests.warehouse.ddl_laws import MART, apply, run, short_calendar, small_tables

PREFIX = "access_"
ROLES = ("cdm_viewer", "cdm_operator", "cdm_engineer", "cdm_admin", "cdm_model")
CUSTOMER_ROW = "('2024-01-01', 'C1', 'a token', 1.5, '2024-01-02', 'run')"


@pytest.fixture(scope="module")
def warehouse(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A database with its roles, and for each a user that logs in. Roles are the server's, so they have a prefix."""
    tables = small_tables(tmp_path_factory.mktemp("catalog"), schema_prefix=PREFIX)
    url = postgres.new_database()
    with short_calendar(), Warehouse(engine_of_server(url.render_as_string()), tables) as opened:
        apply_ddl(opened, plan_ddl(opened), run_id="test")
        for role in ROLES:
            run(opened, f"create role user_of_{role} login in role {PREFIX}{role}")
        run(opened, f"insert into access_cdm_publish_db.customer_360 values {CUSTOMER_ROW}")
        yield opened
        run(opened, *(f"drop role user_of_{role}" for role in ROLES))
        run(opened, *(f"drop owned by {PREFIX}{role}" for role in ROLES))
        run(opened, *(f"drop role {PREFIX}{role}" for role in ROLES))
    postgres.drop_database(url)


def as_role(warehouse: Warehouse, role: str, statement: str) -> list[Any]:
    """What a user of that role gets for a statement, in a session of its own; nothing of it stays."""
    engine = sa.create_engine(warehouse.engine.url.set(username=f"user_of_{role}"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        result = connection.exec_driver_sql(_with_prefix(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


def _with_prefix(statement: str) -> str:
    for layer in ("ldz", "rdv", "itf", "agg", "cs_360_db", "cdm_publish_db", "cdm_ingest_db", "cdp_metadata"):
        statement = statement.replace(f" {layer}.", f" {PREFIX}{layer}.")
    return statement


ALLOWED = [
    ("cdm_viewer", "select customer_id, spent from cdm_publish_db.customer_360"),
    ("cdm_viewer", "select customer_id from cdm_publish_db.customer_360_current"),
    ("cdm_viewer", "select * from cdm_publish_db.customer_360_viewer"),
    ("cdm_viewer", "select * from cdm_publish_db.customer_360_viewer_current"),
    ("cdm_operator", "select * from cdp_metadata.partition_load"),
    ("cdm_operator", "update cdp_metadata.incident set note = 'seen'"),
    ("cdm_operator", "select spent from cdm_publish_db.customer_360"),
    ("cdm_engineer", "select email from itf.customer"),
    ("cdm_engineer", "delete from rdv.h_customer"),
    ("cdm_engineer", "select email from cdm_publish_db.customer_360"),
    ("cdm_admin", f"insert into cdm_publish_db.customer_360 values {CUSTOMER_ROW}"),
    ("cdm_admin", "create table rdv.of_mine (k integer)"),
    ("cdm_model", "select spent from cdm_publish_db.customer_360"),
    ("cdm_model", "insert into cdm_ingest_db.score (business_date, customer_id) values ('2024-01-01', 'C1')"),
    ("cdm_model", "update cdm_ingest_db.score set points = 1"),
    ("cdm_model", "delete from cdm_ingest_db.score where customer_id = 'C1'"),
]
REFUSED = [
    ("cdm_viewer", "select email from cdm_publish_db.customer_360"),
    ("cdm_viewer", "select * from cdm_publish_db.customer_360"),
    ("cdm_viewer", "select email from cdm_publish_db.customer_360_current"),
    ("cdm_viewer", "select customer_id from cdm_publish_db.customer_360 where email = 'a token'"),
    ("cdm_viewer", "select customer_id from cdm_publish_db.customer_360 order by email"),
    ("cdm_viewer", f"insert into cdm_publish_db.customer_360 values {CUSTOMER_ROW}"),
    ("cdm_viewer", "delete from cdm_publish_db.customer_360"),
    ("cdm_viewer", "update cdm_publish_db.customer_360_viewer set spent = 0"),
    ("cdm_viewer", "select * from ldz.ldz_customer"),
    ("cdm_viewer", "select * from rdv.h_customer"),
    ("cdm_viewer", "select customer_id from itf.customer"),
    ("cdm_viewer", "select customer_id from cs_360_db.customer_360"),
    ("cdm_viewer", "select * from cdm_ingest_db.score"),
    ("cdm_viewer", "select * from cdp_metadata.rejected_record"),
    ("cdm_viewer", "create table cdm_publish_db.of_mine (k integer)"),
    ("cdm_viewer", "create view cdm_publish_db.of_mine as select email from cdm_publish_db.customer_360"),
    ("cdm_operator", "select email from cdm_publish_db.customer_360"),
    ("cdm_operator", "select * from rdv.h_customer"),
    ("cdm_operator", "delete from cdm_publish_db.customer_360"),
    ("cdm_engineer", f"insert into cdm_publish_db.customer_360 values {CUSTOMER_ROW}"),
    ("cdm_engineer", "update cdm_publish_db.customer_360_current set spent = 0"),
    ("cdm_engineer", "create table rdv.of_mine (k integer)"),
    ("cdm_engineer", "drop table rdv.h_customer"),
    ("cdm_admin", "drop table rdv.h_customer"),
    ("cdm_model", "select email from cdm_publish_db.customer_360"),
    ("cdm_model", f"insert into cdm_publish_db.customer_360 values {CUSTOMER_ROW}"),
    ("cdm_model", "select * from rdv.h_customer"),
    ("cdm_model", "update cdp_metadata.partition_load set rows_in_partition = 0"),
    ("cdm_model", "truncate cdm_ingest_db.score"),
    ("cdm_model", "create table cdm_ingest_db.of_mine (k integer)"),
]


@pytest.mark.parametrize(("role", "statement"), ALLOWED)
def test_a_role_may(warehouse: Warehouse, role: str, statement: str) -> None:
    as_role(warehouse, role, statement)


@pytest.mark.parametrize(("role", "statement"), REFUSED)
def test_a_role_is_refused(warehouse: Warehouse, role: str, statement: str) -> None:
    with pytest.raises(sa.exc.DBAPIError, match=r"permission denied|must be owner"):
        as_role(warehouse, role, statement)


def test_a_viewer_sees_the_rows_without_the_withheld_column(warehouse: Warehouse) -> None:
    ((day, customer, spent, *_audit),) = as_role(
        warehouse, "cdm_viewer", "select * from cdm_publish_db.customer_360_viewer"
    )
    assert (str(day), customer, spent) == ("2024-01-01", "C1", 1.5)


def test_no_table_of_any_layer_shows_a_viewer_a_withheld_column(warehouse: Warehouse) -> None:
    """Column by column, asked of PostgreSQL itself."""
    query = """
        select c.table_schema, c.table_name, c.column_name from information_schema.columns c
        where c.table_schema like 'access\\_%' and has_column_privilege(
            'access_cdm_viewer', format('%I.%I', c.table_schema, c.table_name), c.column_name, 'select')
    """
    with warehouse.connection() as connection:
        seen = {tuple(row) for row in connection.exec_driver_sql(query, execution_options={"no_parameters": True})}
    assert {schema for schema, _, _ in seen} == {"access_cdm_publish_db"}
    assert {column for _, _, column in seen} == {"business_date", "customer_id", "spent", "load_ts", "run_id"}


def test_a_table_created_by_a_load_is_open_to_those_from_whom_nothing_is_withheld(warehouse: Warehouse) -> None:
    run(warehouse, "create table access_itf.new_one (k integer)")
    as_role(warehouse, "cdm_engineer", "select * from itf.new_one")
    with pytest.raises(sa.exc.DBAPIError, match="permission denied"):
        as_role(warehouse, "cdm_operator", "select * from itf.new_one")
    run(warehouse, "drop table access_itf.new_one")


def test_rights_that_somebody_gave_besides_are_taken_back(warehouse: Warehouse) -> None:
    run(
        warehouse,
        "grant usage on schema access_rdv to access_cdm_viewer",
        "grant select on access_rdv.h_customer to access_cdm_viewer",
        "revoke insert on access_cdm_ingest_db.score from access_cdm_model",
    )
    as_role(warehouse, "cdm_viewer", "select * from rdv.h_customer")
    report = apply(warehouse)
    assert [(step.kind, step.object) for step in report.done] == [
        ("revoke", "access_cdm_viewer in access_rdv"),
        ("grant", "access_cdm_model in access_cdm_ingest_db"),
    ]
    with pytest.raises(sa.exc.DBAPIError, match="permission denied"):
        as_role(warehouse, "cdm_viewer", "select * from rdv.h_customer")
    as_role(warehouse, "cdm_model", "insert into cdm_ingest_db.score (business_date) values ('2024-01-01')")
    assert plan_ddl(warehouse).is_empty


def test_a_column_that_becomes_direct_is_withheld_by_the_next_plan(warehouse: Warehouse, tmp_path: Path) -> None:
    sensitive = MART.replace('"decimal(18,2)", required: true', '"decimal(18,2)", required: true, pii: sensitive')
    later = small_tables(tmp_path, mart=sensitive, schema_prefix=PREFIX)
    newer = Warehouse(warehouse.engine, later)
    apply(newer, "all")
    with pytest.raises(sa.exc.DBAPIError, match="permission denied"):
        as_role(newer, "cdm_viewer", "select spent from cdm_publish_db.customer_360")
    with pytest.raises(sa.exc.DBAPIError, match="does not exist"):
        as_role(newer, "cdm_viewer", "select spent from cdm_publish_db.customer_360_viewer")
    assert plan_ddl(newer).is_empty
    apply(warehouse, "all")
    as_role(warehouse, "cdm_viewer", "select spent from cdm_publish_db.customer_360_viewer")


def test_environments_on_one_server_keep_their_roles_apart(warehouse: Warehouse) -> None:
    tables: Tables = warehouse.tables
    assert tables.schema_prefix == PREFIX
    with warehouse.connection() as connection:
        named = connection.exec_driver_sql("select rolname from pg_roles where rolname ~ '^access_cdm_'").scalars()
        assert set(named) == {f"{PREFIX}{role}" for role in ROLES}
