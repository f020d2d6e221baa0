"""Opening the warehouse: one writer, transactions as a whole, dialects without a connection."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import ENGINES, DuckDBOptions, Warehouse, WarehouseBusy, fixed_dialect
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import Site

_HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def _held_by_another_process(path: Path) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "open\n"
        yield holder.pid
        holder.stdin.close()


def test_a_file_that_another_process_holds_is_busy_and_the_holder_is_named(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "held.duckdb"
    with _held_by_another_process(path) as pid, pytest.raises(WarehouseBusy) as error:
        Warehouse.open_duckdb(path, site.warehouse.tables)
    assert str(error.value).startswith(f"{path} is in use by another process: ")
    assert f"PID {pid}" in str(error.value)
    assert "wait for the running load to end" in str(error.value)


def test_a_file_that_is_freed_in_time_opens(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "held.duckdb"
    with _held_by_another_process(path), pytest.raises(WarehouseBusy):
        Warehouse.open_duckdb(path, site.warehouse.tables, wait_seconds=0.1)
    Warehouse.open_duckdb(path, site.warehouse.tables, wait_seconds=5).close()


def test_a_file_that_is_no_database_is_not_called_busy(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "text.duckdb"
    path.write_text("not a database" * 1000)
    with pytest.raises(sa.exc.DBAPIError, match="not a valid DuckDB database"):
        Warehouse.open_duckdb(path, site.warehouse.tables)


def test_a_closed_warehouse_frees_its_file(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "freed.duckdb"
    with Warehouse.open_duckdb(path, site.warehouse.tables) as warehouse:
        create_missing(warehouse)
    with _held_by_another_process(path):
        pass


def test_a_transaction_that_fails_leaves_nothing(site: Site) -> None:
    calendar = site.warehouse.tables["cdp_metadata.calendar"]

    def delete_and_fail() -> None:
        with site.warehouse.transaction() as connection:
            connection.execute(sa.delete(calendar))
            raise RuntimeError

    before = len(site.rows("cdp_metadata.calendar"))
    with pytest.raises(RuntimeError):
        delete_and_fail()
    assert len(site.rows("cdp_metadata.calendar")) == before > 0


def test_options_bound_duckdbs_use_of_the_machine(site: Site, tmp_path: Path) -> None:
    options = DuckDBOptions(memory_limit="300MB", threads=1)
    query = "select current_setting('threads'), current_setting('memory_limit'), current_setting('temp_directory')"
    with (
        Warehouse.open_duckdb(tmp_path / "small.duckdb", site.warehouse.tables, options=options) as warehouse,
        warehouse.connection() as connection,
    ):
        threads, memory, spill = connection.exec_driver_sql(query).one()
    assert (threads, memory) == (1, "286.1 MiB")
    assert spill == str(tmp_path / "small.spill")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_fixed_dialect_needs_no_connection(engine: str) -> None:
    dialect = fixed_dialect(engine)
    assert dialect.name == engine
    assert str(sa.cast(sa.column("a"), sa.Date()).compile(dialect=dialect)) == "CAST(a AS DATE)"


def test_an_unknown_engine_is_told() -> None:
    with pytest.raises(ValueError, match="unknown engine 'mysql'; expected one of duckdb, postgresql"):
        fixed_dialect("mysql")


def test_schemas_carry_the_prefix_of_the_environment(site: Site) -> None:
    tables = Tables(site.catalog, schema_prefix="dev_")
    assert tables["rdv.h_customer"].fullname == "dev_rdv.h_customer"
    assert Tables.key_of(tables["rdv.h_customer"]) == "rdv.h_customer"
