"""What orchestration alone costs: no-op tables with checks, run for one day and for a range, on either event log.

    python benchmarks/orchestration.py --tables 47 --partitions 366 --checks 4 --storage ours stock postgresql

`ours` and `stock` are SQLite files, `postgresql` is our event log on a PostgreSQL server started for it, and
`postgresql-stock` Dagster's own on it.

Prints seconds, milliseconds a table and partition, peak memory and the size of the instance. Each case is a process of
its own on a fresh instance. `--profile` prints where a case spends its time.
"""

import argparse
import cProfile
import json
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml  # type: ignore[import-untyped]
from dagster import (
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    BackfillPolicy,
    DagsterInstance,
    DailyPartitionsDefinition,
    Definitions,
    asset,
    define_asset_job,
    in_process_executor,
)

from cdm_assets.loading.report import CheckOutcome, LoadReport, RowCounts
from cdm_assets.orchestration.instance import ensure_instance, keep_connections_open
from cdm_assets.orchestration.partition_events import report_partitions
from cdm_assets.orchestration.runs import run_range

FIRST_DAY = date(2024, 1, 1)
TABLES, CHECKS = (int(number) for number in os.environ.get("BENCHMARK_TABLES_CHECKS", "47 4").split())


def _table(number: int) -> AssetsDefinition:
    name = f"t{number:02}"
    partitions = DailyPartitionsDefinition(FIRST_DAY.isoformat(), end_date="2026-01-01")

    @asset(
        key=["rdv", name],
        deps=[["rdv", f"t{number - 1:02}"]] if number else [],
        partitions_def=partitions,
        backfill_policy=BackfillPolicy.single_run(),
        check_specs=[
            AssetCheckSpec(f"check_{i}", asset=["rdv", name], blocking=i == 0, partitions_def=partitions)
            for i in range(CHECKS)
        ],
    )
    def load(context: AssetExecutionContext) -> Iterator[Any]:
        days = [date.fromisoformat(key) for key in context.partition_keys]
        report = LoadReport(
            table=f"rdv.{name}",
            row_counts={day: RowCounts(100, 90, 5, 10) for day in days},
            rows=dict.fromkeys(days, 100),
            checks=[
                CheckOutcome(
                    check=f"check_{i}",
                    business_date=day,
                    passed=True,
                    blocking=i == 0,
                    severity="error",
                    metadata={"rows_failed": 0, "rows_checked": 100},
                )
                for day in days
                for i in range(CHECKS)
            ],
            seconds=0.01,
            metadata={"engine": "duckdb"},
        )
        yield from report_partitions(context, report)

    return load


defs = Definitions(
    assets=[_table(number) for number in range(TABLES)],
    jobs=[define_asset_job("everything")],
    executor=in_process_executor,
)


def _run_case(home: Path, storage: str, partitions: int, *, profile: bool) -> None:
    if not storage.startswith("postgresql"):
        return _run_on(home, storage, partitions, None, profile=profile)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from cdm_assets_tests.engines.postgres_server import running_server  # noqa: PLC0415 - the server of the tests

    with running_server() as server:
        url = server.new_database().render_as_string(hide_password=False)
        return _run_on(home, storage, partitions, url, profile=profile)


def _run_on(home: Path, storage: str, partitions: int, url: str | None, *, profile: bool) -> None:
    ensure_instance(home, storage=url)
    if storage.endswith("stock"):
        path = home / "dagster.yaml"
        configuration = yaml.safe_load(path.read_text())
        for part in ("event_log_storage", "run_storage", "schedule_storage"):
            configuration.pop(part, None)
        if url is not None:
            configuration["storage"] = {"postgres": {"postgres_url": url}}
        path.write_text(yaml.safe_dump(configuration))
    last = FIRST_DAY + timedelta(days=partitions - 1)
    sys.path.insert(0, str(Path(__file__).parent))
    import_module("orchestration").defs.get_repository_def()
    profiler = cProfile.Profile()
    with DagsterInstance.from_config(str(home)) as instance:
        if storage == "postgresql":
            keep_connections_open(instance)
        seen: list[float] = []
        if profile:
            profiler.enable()
        started = time.perf_counter()
        outcome = run_range(
            instance=instance,
            job_name="everything",
            start=FIRST_DAY,
            end=last,
            on_event=lambda _: seen.append(time.perf_counter()),
            module="orchestration",
        )
        seconds = time.perf_counter() - started
        profiler.disable()
    assert outcome.success, outcome
    if profile:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(70)
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(40)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "before_first_step": seen[0] - started,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "disk_mb": _bytes_kept(home, url) / 1e6,
            }
        )
    )


def _bytes_kept(home: Path, url: str | None) -> int:
    if url is None:
        return sum(f.stat().st_size for f in home.rglob("*") if f.is_file())
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return int(connection.scalar(sa.text("select pg_database_size(current_database())")))


def main() -> None:
    """Run the cases asked for and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=TABLES)
    parser.add_argument("--checks", type=int, default=CHECKS)
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 366])
    parser.add_argument(
        "--storage", nargs="+", choices=["ours", "stock", "postgresql", "postgresql-stock"], default=["ours"]
    )
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        home, storage, partitions = json.loads(arguments.case)
        _run_case(Path(home), storage, partitions, profile=arguments.profile)
        return
    environment = {**os.environ, "BENCHMARK_TABLES_CHECKS": f"{arguments.tables} {arguments.checks}"}
    print(f"{arguments.tables} tables, {arguments.checks} checks each")
    print("event log          days   seconds  ms/table/day  before 1st step  MB peak  MB disk")
    for storage in arguments.storage:
        for partitions in arguments.partitions:
            with tempfile.TemporaryDirectory() as home:
                case = json.dumps([home, storage, partitions])
                flags = ["--profile"] if arguments.profile else []
                command = [sys.executable, "-W", "ignore", __file__, "--case", case, *flags]
                done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            result = json.loads(done.stdout.strip().splitlines()[-1])
            per_table = result["seconds"] * 1000 / arguments.tables / partitions
            print(
                f"{storage:17}{partitions:>6}{result['seconds']:>10.1f}{per_table:>14.2f}"
                f"{result['before_first_step']:>17.1f}{result['peak_mb']:>9.0f}{result['disk_mb']:>9.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
