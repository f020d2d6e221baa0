"""The Dagster instance of a local deployment: one folder (`DAGSTER_HOME`) and the `dagster.yaml` in it.

The file is written, not shipped, because Dagster wants absolute paths in it; it is rewritten whenever what we would
write differs (a new version, a moved folder). A `dagster.yaml` without our first line belongs to the site and is left
alone.
"""

import fcntl
from pathlib import Path
from typing import Any

import yaml
from dagster import DagsterInstance

HEADER = "# Written by cdm. Delete this line to keep your own version of the file."

_DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


def ensure_instance(dagster_home: Path) -> None:
    """Make `dagster_home` an instance folder that CLI, webserver and daemon share (through `DAGSTER_HOME`)."""
    home = dagster_home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    # Two processes that create Dagster's databases at once break each other ("table snapshots already exists").
    with (home / ".creating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write_configuration(home)
        if not all((home / database).exists() for database in _DATABASES):
            DagsterInstance.from_config(str(home)).dispose()


def _write_configuration(home: Path) -> None:
    path = home / "dagster.yaml"
    current = path.read_text() if path.exists() else HEADER
    wanted = f"{HEADER}\n{yaml.safe_dump(_configuration(home), sort_keys=False)}"
    if current.startswith(HEADER) and current != wanted:
        # Rename, so that a daemon starting at this moment reads the old file or the new one.
        temporary = path.with_suffix(".new")
        temporary.write_text(wanted)
        temporary.replace(path)


def _configuration(home: Path) -> dict[str, Any]:
    return {
        "event_log_storage": {
            "module": "cdm_assets.orchestration.event_log",
            "class": "BatchedSqliteEventLogStorage",
            "config": {"base_dir": str(home / "history" / "runs")},
        },
        # Nothing is printed by a step (its log is in the event log), and capturing costs two processes a run.
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
            "config": {},
        },
        # Events are stored whatever their level; at DEBUG each would be printed by the daemon's run workers too.
        "python_logs": {"python_log_level": "INFO"},
        # DuckDB is one writer: a second run waits in the queue instead of failing on the file's lock.
        "concurrency": {"runs": {"max_concurrent_runs": 1}},
        "run_monitoring": {"enabled": True, "start_timeout_seconds": 180, "cancel_timeout_seconds": 180},
        # A run whose process died is run again; one that failed has said why, and has repeated what is worth it.
        "run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False},
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "freshness": {"enabled": True},
        # Sensors tick every few seconds; schedules are rare and their history is what an operator looks up.
        "retention": {
            "schedule": {"purge_after_days": 90},
            "sensor": {"purge_after_days": {"skipped": 2, "success": 30, "failure": 90, "started": 30}},
            "auto_materialize": {"purge_after_days": {"skipped": 2, "success": 30, "failure": 90, "started": 30}},
        },
        # Automation conditions run as sensors (off until switched on), not as a daemon of their own.
        "auto_materialize": {"use_sensors": True, "minimum_interval_seconds": 60},
    }
