"""The batched SQLite event log: same tables as the stock one, several processes, and what a killed process leaves."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance, DagsterRunStatus, EventLogEntry
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from cdm_assets.orchestration.event_log import OPEN_SHARDS, BatchedSqliteEventLogStorage
from cdm_assets.orchestration.runs import fail_runs_of_dead_processes
from cdm_assets_tests.orchestration.conftest import SMALL_DEFINITIONS, Run

H_CUSTOMER = AssetKey(["rdv", "h_customer"])
TABLES = {
    "event_logs": "run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition",
    "asset_keys": "asset_key, last_materialization, last_run_id, last_materialization_timestamp",
    "asset_event_tags": "event_id, asset_key, key, value, event_timestamp",
    "asset_check_executions": "asset_key, check_name, partition, run_id, execution_status, evaluation_event,"
    " evaluation_event_timestamp, evaluation_event_storage_id, materialization_event_storage_id",
}


def rows(database: Path, table: str) -> Sequence[tuple[Any, ...]]:
    order = "asset_key" if table == "asset_keys" else "id"
    with sqlite3.connect(database) as connection:
        return connection.execute(f"SELECT {TABLES[table]} FROM {table} ORDER BY {order}").fetchall()


@pytest.mark.parametrize("events_a_batch", [1, 7, 1000])
def test_it_stores_exactly_the_rows_that_the_stock_storage_stores(
    events_a_batch: int, instance: DagsterInstance, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_BAD_DAYS", "2024-01-02")
    events: list[EventLogEntry] = []
    for days in (("2024-01-01", "2024-01-04"), ("2024-01-02", "2024-01-02")):
        events.extend(instance.all_logs(run(*days).run_id))
    (tmp_path / "stock").mkdir()
    (tmp_path / "ours").mkdir()
    stock = SqliteEventLogStorage(str(tmp_path / "stock"))
    ours = BatchedSqliteEventLogStorage(str(tmp_path / "ours"))
    for event in events:
        stock.store_event(event)
    for first in range(0, len(events), events_a_batch):
        ours.store_event_batch(events[first : first + events_a_batch])
    ours.dispose()

    for table in TABLES:
        assert rows(tmp_path / "ours" / "index.db", table) == rows(tmp_path / "stock" / "index.db", table), table
    for run_id in {event.run_id for event in events}:
        shard = f"{run_id}.db"
        assert rows(tmp_path / "ours" / shard, "event_logs") == rows(tmp_path / "stock" / shard, "event_logs")


def test_the_stock_storage_reads_what_it_wrote(home: Path, run: Run) -> None:
    run_id = run("2024-01-01", "2024-01-03").run_id
    stock = SqliteEventLogStorage(str(home / "history" / "runs"))
    checks = stock.get_asset_check_execution_history(AssetCheckKey(H_CUSTOMER, "keys"), limit=10)
    assert [(check.partition, check.status.value) for check in checks] == [
        ("2024-01-03", "SUCCEEDED"),
        ("2024-01-02", "SUCCEEDED"),
        ("2024-01-01", "SUCCEEDED"),
    ]
    assert stock.get_materialized_partitions(H_CUSTOMER) == {"2024-01-01", "2024-01-02", "2024-01-03"}
    assert stock.get_stats_for_run(run_id).steps_succeeded == 3


def test_connections_stay_open_but_only_to_the_shards_used_last(tmp_path: Path) -> None:
    storage = BatchedSqliteEventLogStorage(str(tmp_path))
    for number in range(OPEN_SHARDS + 3):
        storage.get_logs_for_run(f"run-{number}")
    descriptors = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    open_databases = {path for path in descriptors if path.startswith(str(tmp_path)) and path.endswith(".db")}
    assert str(tmp_path / f"run-{OPEN_SHARDS + 2}.db") in open_databases
    assert str(tmp_path / "run-0.db") not in open_databases
    assert len(open_databases) <= OPEN_SHARDS
    storage.dispose()


def test_a_wipe_starts_afresh(instance: DagsterInstance, run: Run) -> None:
    first = run("2024-01-01", "2024-01-02").run_id
    instance.event_log_storage.wipe()
    assert instance.all_logs(first) == []
    assert instance.all_asset_keys() == []
    assert run("2024-01-01", "2024-01-02").success
    assert len(instance.all_asset_keys()) == 3


def start_process(home: Path, start: str, end: str, **environment: str) -> "subprocess.Popen[str]":
    program = (
        "import sys; from datetime import date; from dagster import DagsterInstance\n"
        "from cdm_assets.orchestration.runs import run_range\n"
        "home, start, end, module = sys.argv[1:]\n"
        "with DagsterInstance.from_config(home) as instance:\n"
        "    outcome = run_range(instance=instance, job_name='everything', start=date.fromisoformat(start),\n"
        "                        end=date.fromisoformat(end), module=module)\n"
        "sys.exit(not outcome.success)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, str(home), start, end, SMALL_DEFINITIONS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        text=True,
    )


def test_a_killed_run_keeps_what_was_committed_and_leaves_sound_files(home: Path) -> None:
    assert start_process(home, "2024-01-01", "2024-01-03", TEST_KILL_IN="s_customer").wait() == -signal.SIGKILL
    for database in (home / "history" / "runs").glob("*.db"):
        with sqlite3.connect(database) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_materialized_partitions(H_CUSTOMER) == {"2024-01-01", "2024-01-02", "2024-01-03"}
        assert instance.get_materialized_partitions(AssetKey(["rdv", "s_customer"])) == set()
        checks = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(H_CUSTOMER, "keys"), 10)
        assert {check.status.value for check in checks} == {"SUCCEEDED"}
        (killed,) = instance.get_runs()
        assert killed.status == DagsterRunStatus.STARTED
        assert fail_runs_of_dead_processes(instance) == [killed.run_id]
        after = instance.get_run_by_id(killed.run_id)
        assert after is not None
        assert after.status == DagsterRunStatus.FAILURE
        assert fail_runs_of_dead_processes(instance) == []


def test_two_processes_write_at_once_without_losing_an_event(home: Path) -> None:
    processes = [start_process(home, "2024-01-01", "2024-01-31"), start_process(home, "2024-02-01", "2024-02-29")]
    assert [process.wait() for process in processes] == [0, 0]
    with DagsterInstance.from_config(str(home)) as instance:
        for table in ("h_customer", "s_customer", "l_order"):
            key = AssetKey(["rdv", table])
            assert len(instance.get_materialized_partitions(key)) == 60
            for check in ("keys", "volume"):
                history = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(key, check), 100)
                assert len(history) == 60
                assert all(record.evaluation is not None for record in history)
