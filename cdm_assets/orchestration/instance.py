"""The Dagster instance of a local deployment: one folder (`DAGSTER_HOME`) and the `dagster.yaml` in it.

The file is written, not shipped, because Dagster wants absolute paths in it; it is rewritten whenever what we would
write differs (a new version, a moved folder, another storage). A `dagster.yaml` without our first line belongs to the
site and is left alone.

What Dagster remembers (runs, events, ticks) lies in SQLite files of the folder, or in a PostgreSQL database. The file
never holds that database's password: it names the variable that does, which every process of the instance needs.
"""

import fcntl
import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import yaml
from dagster import DagsterInstance

from cdm_assets.settings import Settings, SettingsError

HEADER = "# Written by cdm. Delete this line to keep your own version of the file."
STORAGE_PASSWORD: Final = "CDM_DAGSTER_STORAGE_PASSWORD"  # noqa: S105 - the name of a variable
"""The variable that holds the password of Dagster's PostgreSQL storage, for every process that opens the instance."""

_DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
# On engines where loads of one table keep each other out (`warehouse.locks`), runs beside each other are safe.
_RUNS_AT_ONCE: Final = {"postgresql": 4}
_STATEMENT_TIMEOUT_MS: Final = 60_000
_RECYCLE_SECONDS: Final = 3600
_FURTHER_CONNECTIONS: Final = 20


def ensure_instance_of(settings: Settings) -> None:
    """Make the site's instance folder, and tell this process and those it starts where it is and how to open it.

    Raises SettingsError where the settings contradict each other.
    """
    ensure_instance(
        settings.dagster_home,
        storage=settings.dagster_storage,
        storage_password=settings.dagster_storage_password,
        max_concurrent_runs=max_concurrent_runs(settings.engine, settings.max_concurrent_runs),
    )
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)


def max_concurrent_runs(engine: str, configured: int | None) -> int:
    """How many runs may load at once. Raises SettingsError for more than one where loads do not take turns."""
    if engine not in _RUNS_AT_ONCE and configured is not None and configured > 1:
        why = "DuckDB has one writer" if engine == "duckdb" else "loads of one table do not keep each other out there"
        raise SettingsError(
            f"CDM_MAX_CONCURRENT_RUNS={configured}, but on {engine} one run loads at a time: {why}. Leave it out; "
            f"engines with more are {', '.join(_RUNS_AT_ONCE)}"
        )
    return configured or _RUNS_AT_ONCE.get(engine, 1)


def ensure_instance(
    dagster_home: Path,
    *,
    storage: str | None = None,
    storage_password: str | None = None,
    max_concurrent_runs: int = 1,
) -> None:
    """Make `dagster_home` an instance folder that CLI, webserver and daemon share (through `DAGSTER_HOME`).

    `storage` is the URL of a PostgreSQL database; None keeps everything in the folder. Its password goes into this
    process's environment, for it and the processes it starts, and into no file.
    """
    home = dagster_home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    url = sa.make_url(storage) if storage else None
    password = url.password if url is not None and url.password else storage_password
    if password:
        os.environ[STORAGE_PASSWORD] = str(password)
    # Two processes that create Dagster's databases at once break each other ("table snapshots already exists").
    with (home / ".creating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write_configuration(home, _storage(home, url, has_password=bool(password)), max_concurrent_runs)
        if url is None and not all((home / database).exists() for database in _DATABASES):
            DagsterInstance.from_config(str(home)).dispose()


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def keep_connections_open(instance: DagsterInstance) -> None:
    """Let a run's process keep its connections to Dagster's PostgreSQL storage; SQLite storages ignore it.

    Dagster does so in the webserver only; a run opens a connection for every query otherwise, and takes three times
    as long.
    """
    instance.optimize_for_webserver(
        statement_timeout=_STATEMENT_TIMEOUT_MS, pool_recycle=_RECYCLE_SECONDS, max_overflow=_FURTHER_CONNECTIONS
    )


def _write_configuration(home: Path, storage: dict[str, Any], max_concurrent_runs: int) -> None:
    path = home / "dagster.yaml"
    current = path.read_text() if path.exists() else HEADER
    configuration = storage | _configuration(max_concurrent_runs)
    wanted = f"{HEADER}\n{yaml.safe_dump(configuration, sort_keys=False)}"
    if current.startswith(HEADER) and current != wanted:
        # Rename, so that a daemon starting at this moment reads the old file or the new one.
        temporary = path.with_suffix(".new")
        temporary.write_text(wanted)
        temporary.replace(path)


def _storage(home: Path, url: sa.URL | None, *, has_password: bool) -> dict[str, Any]:
    if url is None:
        return {
            "event_log_storage": {
                "module": "cdm_assets.orchestration.event_log",
                "class": "BatchedSqliteEventLogStorage",
                "config": {"base_dir": str(home / "history" / "runs")},
            }
        }
    database: dict[str, Any] = {
        "username": url.username or "postgres",
        "hostname": url.host or "localhost",
        "port": url.port or 5432,
        "db_name": url.database or "dagster",
        "params": dict(url.query),
        # Dagster's SQL is of psycopg 2: another driver fails at its NOTIFY.
        "scheme": "postgresql+psycopg2",
    }
    if has_password:
        database["password"] = {"env": STORAGE_PASSWORD}
    classes = {
        "event_log_storage": ("cdm_assets.orchestration.postgres_event_log", "BatchedPostgresEventLogStorage"),
        "run_storage": ("dagster_postgres.run_storage", "PostgresRunStorage"),
        "schedule_storage": ("dagster_postgres.schedule_storage", "PostgresScheduleStorage"),
    }
    return {
        storage: {"module": module, "class": name, "config": {"postgres_db": dict(database)}}
        for storage, (module, name) in classes.items()
    }


def _configuration(max_concurrent_runs: int) -> dict[str, Any]:
    return {
        # Nothing is printed by a step (its log is in the event log), and capturing costs two processes a run.
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
            "config": {},
        },
        # Events are stored whatever their level; at DEBUG each would be printed by the daemon's run workers too.
        "python_logs": {"python_log_level": "INFO"},
        # A run beyond it waits in the queue; on DuckDB it would fail on the file's lock.
        "concurrency": {"runs": {"max_concurrent_runs": max_concurrent_runs}},
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
