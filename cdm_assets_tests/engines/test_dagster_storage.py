"""Dagster's own storage on a PostgreSQL server: runs, per-partition events and check results, as on SQLite."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from dagster import AssetCheckKey, AssetKey, DagsterInstance, DagsterRunStatus, EventLogEntry
from dagster_postgres.event_log import PostgresEventLogStorage

from cdm_assets.orchestration.instance import (
    STORAGE_PASSWORD,
    ensure_instance,
    ensure_instance_of,
    keep_connections_open,
    max_concurrent_runs,
)
from cdm_assets.orchestration.postgres_event_log import BatchedPostgresEventLogStorage
from cdm_assets.orchestration.runs import fail_runs_of_dead_processes, run_range
from cdm_assets.settings import Settings, SettingsError
from cdm_assets_tests.engines.postgres_server import PostgresServer
from cdm_assets_tests.orchestration.conftest import SMALL_DEFINITIONS, Run
from cdm_assets_tests.orchestration.test_event_log import TABLES as EVENT_TABLES
from cdm_assets_tests.orchestration.test_event_log import start_process
from cdm_assets_tests.orchestration.test_partition_events import TABLES, check_status, metadata_by_partition

DAYS = [f"2024-01-0{day}" for day in range(1, 6)]
ASKED_FOR_PASSWORD = "a:secret/with@signs"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_database().render_as_string(hide_password=False)


@pytest.fixture
def home(url: str, tmp_path: Path) -> Path:
    ensure_instance(tmp_path / "home", storage=url, max_concurrent_runs=4)
    return tmp_path / "home"


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.from_config(str(home)) as instance:
        keep_connections_open(instance)
        yield instance


@pytest.fixture
def run(instance: DagsterInstance) -> Run:
    def run_days(start: str, end: str) -> Any:
        first, last = date.fromisoformat(start), date.fromisoformat(end)
        return run_range(instance=instance, job_name="everything", start=first, end=last, module=SMALL_DEFINITIONS)

    return run_days


def test_a_range_has_its_events_and_check_results_by_partition_and_keeps_nothing_in_the_folder(
    instance: DagsterInstance, home: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEST_BAD_DAYS", DAYS[1])
    outcome = run(DAYS[0], DAYS[4])
    assert outcome.success
    for table in TABLES:
        found = metadata_by_partition(instance, table)
        assert {day: values["dagster/partition_row_count"] for day, values in found.items()} == {
            day: 101 + number for number, day in enumerate(DAYS)
        }
        assert check_status(instance, table, "keys") == {
            day: "FAILED" if day == DAYS[1] else "SUCCEEDED" for day in DAYS
        }
        infos = instance.event_log_storage.get_asset_check_partition_info([AssetCheckKey(table, "keys")])
        assert {info.partition_key: info.is_current for info in infos} == dict.fromkeys(DAYS, True)
    assert instance.get_run_stats(outcome.run_id).steps_succeeded == 3
    assert "storing event batch" not in capfd.readouterr().err, "Dagster fell back to storing events one by one"
    assert sorted(path.name for path in home.iterdir() if path.name != ".creating") == ["dagster.yaml"]


def _rows(url: str, table: str) -> Sequence[tuple[Any, ...]]:
    order = "asset_key" if table == "asset_keys" else "id"
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"SELECT {EVENT_TABLES[table]} FROM {table} ORDER BY {order}").fetchall()
    return [tuple(row) for row in found]


@pytest.mark.parametrize("events_a_batch", [7, 1000])
def test_it_stores_exactly_the_rows_that_the_stock_storage_stores(
    events_a_batch: int,
    instance: DagsterInstance,
    run: Run,
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_BAD_DAYS", DAYS[1])
    events: list[EventLogEntry] = []
    for first, last in ((DAYS[0], DAYS[3]), (DAYS[1], DAYS[1])):
        events.extend(instance.all_logs(run(first, last).run_id))
    one, other = (postgres.new_database().render_as_string(hide_password=False) for _ in range(2))
    stock, ours = PostgresEventLogStorage(one), BatchedPostgresEventLogStorage(other)
    for storage in (stock, ours):
        storage.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3600, max_overflow=5)
    for event in events:
        stock.store_event(event)
    for begin in range(0, len(events), events_a_batch):
        ours.store_event_batch(events[begin : begin + events_a_batch])
    for table in EVENT_TABLES:
        assert _rows(other, table) == _rows(one, table), table


def test_two_runs_beside_each_other_lose_no_event(home: Path, instance: DagsterInstance) -> None:
    processes = [start_process(home, "2024-01-01", "2024-01-15"), start_process(home, "2024-01-10", "2024-01-31")]
    assert [process.wait() for process in processes] == [0, 0]
    for name in ("h_customer", "s_customer", "l_order"):
        key = AssetKey(["rdv", name])
        assert len(instance.get_materialized_partitions(key)) == 31
        history = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(key, "keys"), 100)
        assert len(history) == 15 + 22
        assert all(record.evaluation is not None for record in history)


def test_a_killed_run_is_seen_to_be_dead(home: Path, instance: DagsterInstance) -> None:
    assert start_process(home, DAYS[0], DAYS[2], TEST_KILL_IN="s_customer").wait() < 0
    (killed,) = instance.get_runs()
    assert killed.status == DagsterRunStatus.STARTED
    assert fail_runs_of_dead_processes(instance) == [killed.run_id]
    assert instance.get_materialized_partitions(AssetKey(["rdv", "h_customer"])) == set(DAYS[:3])


def test_the_password_is_in_no_file_and_reaches_dagster_all_the_same(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(STORAGE_PASSWORD, raising=False)
    url = postgres.new_database().set(password=ASKED_FOR_PASSWORD)
    ensure_instance(tmp_path, storage=url.render_as_string(hide_password=False))
    assert os.environ[STORAGE_PASSWORD] == ASKED_FOR_PASSWORD
    assert "secret" not in (tmp_path / "dagster.yaml").read_text()
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        used = sa.make_url(instance.event_log_storage.postgres_url)  # type: ignore[attr-defined]
        assert (used.password, used.drivername) == (ASKED_FOR_PASSWORD, "postgresql+psycopg2")


def _settings(tmp_path: Path, **variables: str) -> Settings:
    return Settings.from_environment({"CDM_HOME": str(tmp_path), **variables})


def test_the_settings_name_storage_password_and_number_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STORAGE_PASSWORD, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", "elsewhere")
    (tmp_path / "secret").write_text("of a file\n")
    settings = _settings(
        tmp_path,
        CDM_DATABASE="postgresql://cdm@db.example/cdm",
        CDM_DAGSTER_STORAGE="postgresql://dagster@db.example:6432/events?sslmode=require",
        CDM_DAGSTER_STORAGE_PASSWORD=f"file:{tmp_path / 'secret'}",
        CDM_MAX_CONCURRENT_RUNS="7",
    )
    ensure_instance_of(settings)
    assert os.environ[STORAGE_PASSWORD] == "of a file"
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / "dagster")
    written = yaml.safe_load((tmp_path / "dagster" / "dagster.yaml").read_text())
    assert written["concurrency"]["runs"]["max_concurrent_runs"] == 7
    for storage in ("event_log_storage", "run_storage", "schedule_storage"):
        assert written[storage]["config"]["postgres_db"] == {
            "username": "dagster",
            "hostname": "db.example",
            "port": 6432,
            "db_name": "events",
            "params": {"sslmode": "require"},
            "scheme": "postgresql+psycopg2",
            "password": {"env": STORAGE_PASSWORD},
        }
    ensure_instance_of(replace(settings, dagster_storage=None))
    assert "BatchedSqliteEventLogStorage" in (tmp_path / "dagster" / "dagster.yaml").read_text()


def test_runs_at_once_are_what_the_engine_bears_unless_configured() -> None:
    engines = ("duckdb", "postgresql", "snowflake", "oracle", "mssql")
    assert {engine: max_concurrent_runs(engine, None) for engine in engines} == {
        "duckdb": 1,
        "postgresql": 4,
        "snowflake": 1,
        "oracle": 1,
        "mssql": 1,
    }
    assert max_concurrent_runs("postgresql", 8) == 8
    assert max_concurrent_runs("duckdb", 1) == 1
    with pytest.raises(SettingsError, match=r"CDM_MAX_CONCURRENT_RUNS=2, but on duckdb .* DuckDB has one writer"):
        max_concurrent_runs("duckdb", 2)
    with pytest.raises(SettingsError, match=r"on snowflake .* do not keep each other out there"):
        max_concurrent_runs("snowflake", 2)


@pytest.mark.parametrize("text", ["0", "many", "-1"])
def test_a_number_of_runs_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CDM_MAX_CONCURRENT_RUNS"):
        _settings(tmp_path, CDM_MAX_CONCURRENT_RUNS=text)


def test_on_the_stock_storage_too_nothing_is_complained_of(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A site's own `dagster.yaml` may name Dagster's class, as Dagster's chart does."""
    url = postgres.new_database().render_as_string(hide_password=False)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"storage": {"postgres": {"postgres_url": url}}}))
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        keep_connections_open(instance)
        first, last = date(2024, 1, 1), date(2024, 1, 5)
        assert run_range(
            instance=instance, job_name="everything", start=first, end=last, module=SMALL_DEFINITIONS
        ).success
        assert check_status(instance, TABLES[0], "volume") == {
            day: "FAILED" if day == DAYS[2] else "SUCCEEDED" for day in DAYS
        }
    assert "storing event batch" not in capfd.readouterr().err
