"""`cdm setup --engine postgresql --url ...` on an empty server, as a user types it."""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.cli import app
from cdm_assets.loading.date_control import DateControl, DateNotAllowed, source_dates
from cdm_assets.loading.stamp import Stamp
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse, engine_of_server
from cdm_assets.warehouse.landing_area import LandingArea
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.engines.postgres_server import PostgresServer
from cdm_assets_tests.small_site import PRODUCT, VAULT, day, write_catalog

HUB = "hubs:\n" + VAULT[VAULT.index("  product:") : VAULT.index("links:")]
PASSWORD = "hunter2-hunter2"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("CDM_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CDM_HOME", str(tmp_path))
    folder = tmp_path / "landing" / "2017-01-03"
    folder.mkdir(parents=True)
    (folder / "customer.csv").write_text("x\n")
    return tmp_path


def setup(url: sa.URL | str, *options: str) -> Result:
    text = url if isinstance(url, str) else url.set(drivername="postgresql").render_as_string(hide_password=False)
    return CliRunner().invoke(app, ["setup", "--engine", "postgresql", "--url", text, *options])


def rows(url: sa.URL, query: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


@pytest.mark.usefixtures("home")
def test_an_empty_server_is_set_up_and_the_second_time_there_is_nothing_to_do(postgres: PostgresServer) -> None:
    name = f"site_{secrets.token_hex(4)}"
    url = postgres.url(name).set(password=PASSWORD)
    planned = setup(url, "--plan")
    assert planned.exit_code == 0, planned.output
    assert f"There is no database {name} yet; it would be created: CREATE DATABASE {name}" in planned.stdout
    assert "create table   rdv.h_customer" in planned.stdout
    assert not postgres.has_database(name), "a plan makes nothing"

    first = setup(url)
    assert first.exit_code == 0, first.output
    assert f"Created the database {name}, in UTF-8" in first.stdout
    assert "customer (B): Day 0 2017-01-03, previous 2017-01-02, next 2017-01-03" in first.stdout
    assert f"export CDM_DATABASE=postgresql://postgres@127.0.0.1:{postgres.port}/{name}" in first.stdout
    assert "make run ENGINE=postgresql" in first.stdout
    assert rows(url, "show server_encoding") == [("UTF8",)]
    assert rows(url, "select upper('ä')") == [("Ä",)]
    noted = rows(url, "select value from cdp_metadata.variable where name = 'CDM_DATABASE'")
    assert noted == [(f"postgresql://postgres:***@127.0.0.1:{postgres.port}/{name}",)]

    written = {table: rows(url, f"select * from cdp_metadata.{table} order by 1") for table in CONTROL}
    second = setup(url)
    assert second.exit_code == 0, second.output
    assert second.stdout.count("nothing has changed") == 2
    assert "nothing to do" in second.stdout
    assert {table: rows(url, f"select * from cdp_metadata.{table} order by 1") for table in CONTROL} == written
    assert PASSWORD not in planned.output + first.output + second.output + str(written)


CONTROL = ("variable", "etl_date_control", "ddl_step", "calendar")


@pytest.mark.usefixtures("home")
def test_a_role_that_may_not_create_the_database_is_told_what_to_have_run(postgres: PostgresServer) -> None:
    role = f"loader_{secrets.token_hex(4)}"
    rows_of_admin = sa.create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with rows_of_admin.connect() as connection:
        connection.exec_driver_sql(f"create role {role} login")
    refused = setup(postgres.url("not_there").set(username=role))
    assert refused.exit_code == 1
    assert "permission denied to create database" in refused.stderr
    assert (
        "Have a role with CREATEDB run: CREATE DATABASE not_there TEMPLATE template0 ENCODING 'UTF8'" in refused.stderr
    )
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.usefixtures("home")
def test_a_database_of_another_encoding_is_warned_of(postgres: PostgresServer) -> None:
    name = f"latin_{secrets.token_hex(4)}"
    admin = sa.create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(
            f"create database {name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0"
        )
    planned = setup(postgres.url(name), "--plan")
    assert planned.exit_code == 0, planned.output
    assert "warning: the database's encoding is LATIN1, not UTF8" in planned.stdout


def test_runs_that_begin_at_once_take_turns_at_the_control_of_dates(postgres: PostgresServer, tmp_path: Path) -> None:
    catalog = read_catalog(shipped=write_catalog(tmp_path / "catalog", {"product": PRODUCT}, HUB))
    engine = engine_of_server(postgres.new_database().render_as_string(hide_password=False))
    area = LandingArea(tmp_path / "landing", tmp_path / "archive")
    for number in range(4):
        folder = tmp_path / "landing" / f"{day(number)}"
        folder.mkdir(parents=True)
        (folder / "product.csv.gz").write_bytes(b"")
    with Warehouse(engine, Tables(catalog)) as warehouse:
        create_missing(warehouse)
        control = DateControl(warehouse.tables, area, day(0))
        ranges = [DateRange(day(number), day(number)) for number in range(4)]

        def begin(dates: DateRange) -> None:
            with warehouse.transaction() as connection:
                control.begin_run(connection, dates, ["product"], Stamp(str(dates)), begun_elsewhere=lambda: ranges)

        with ThreadPoolExecutor(len(ranges)) as pool:
            list(pool.map(begin, ranges))
        with warehouse.connection() as connection:
            row = source_dates(connection, warehouse.tables)["product"]
        assert (row.earliest_date, row.next_business_date) == (min(r.first for r in ranges), day(4))
        with pytest.raises(DateNotAllowed, match="beyond the next date"), warehouse.transaction() as connection:
            control.begin_run(connection, DateRange(day(9), day(9)), ["product"], Stamp("far"))
