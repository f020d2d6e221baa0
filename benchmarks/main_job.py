"""The main job's cost: all but the last day of the demo year in one range, then the last day as an ordinary one.

    python benchmarks/main_job.py [--days 366] [--home FOLDER]

Each load is a process of its own (`cdm run`), timed as a whole, start-up included. Seconds in files and SQL come from
the platform's own load log; the floor beside them is DuckDB reading and counting the same files.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import duckdb

START = date(2017, 1, 1)
CDM = [sys.executable, "-W", "ignore", "-m", "cdm_assets"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--days", type=int, default=366, help="dates to load, the last one alone (default: 366)")
    arguments.add_argument("--home", type=Path, help="keep landing area, database and instance here")
    options = arguments.parse_args()
    home = options.home or Path(tempfile.mkdtemp(prefix="cdm-bench-"))
    last = START + timedelta(days=options.days - 1)
    try:
        measure(home, last)
    finally:
        if options.home is None:
            shutil.rmtree(home)


def measure(home: Path, last: date) -> None:
    run_cdm(home, "demo", START, last)
    database = home / "warehouse" / "cdm.duckdb"
    rows = []
    for name, first, until in (("range", START, last - timedelta(days=1)), ("one day", last, last)):
        floor = seconds_to_count(home / "landing", first, until)
        seconds, peak_mb = run_cdm(home, "run", first, until)
        sql = seconds_in_sql(database, first, until)
        rows.append((f"{name}, {(until - first).days + 1} dates", seconds, sql, floor, peak_mb))
    print(f"{'case':<22}{'whole s':>9}{'files+SQL s':>13}{'outside':>9}{'floor s':>9}{'SQL/floor':>11}{'peak MB':>9}")
    for case, seconds, sql, floor, peak_mb in rows:
        outside = 1 - sql / seconds
        print(f"{case:<22}{seconds:>9.1f}{sql:>13.1f}{outside:>9.0%}{floor:>9.2f}{sql / floor:>11.1f}{peak_mb:>9.0f}")
    instance = sum(file.stat().st_size for file in (home / "dagster").rglob("*") if file.is_file())
    print(f"database {database.stat().st_size / 1e6:,.0f} MB, Dagster's event log {instance / 1e6:,.0f} MB")


def run_cdm(home: Path, command: str, first: date, last: date) -> tuple[float, float]:
    """Seconds and peak megabytes of one `cdm` process."""
    environment = os.environ | {"CDM_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    began = time.perf_counter()
    process = subprocess.Popen(
        [*CDM, command, "--start", str(first), "--end", str(last)], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"cdm {command} failed")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def seconds_in_sql(database: Path, first: date, last: date) -> float:
    with duckdb.connect(str(database), read_only=True) as connection:
        query = "select sum(seconds) from cdp_metadata.load_log where first_date = $1 and last_date = $2"
        return float(connection.execute(query, [first, last]).fetchone()[0])


def seconds_to_count(landing: Path, first: date, last: date) -> float:
    """The floor: read every file of the dates with DuckDB's readers and count the rows."""
    folders = [landing / str(first + timedelta(days=n)) for n in range((last - first).days + 1)]
    began = time.perf_counter()
    for source in (
        "customer.csv",
        "product.csv.gz",
        "campaign.csv",
        "contact.csv",
        "response.csv",
        "transaction.csv",
        "flowchart.csv",
        "flowchart_run.csv",
        "offer.parquet",
    ):
        files = [str(folder / source) for folder in folders if (folder / source).exists()]
        if files:
            csv_reader = "read_csv($1, header = true, all_varchar = true)"
            reader = "read_parquet($1)" if source.endswith(".parquet") else csv_reader
            duckdb.execute(f"select count(columns(*)) from {reader}", [files]).fetchall()
    return time.perf_counter() - began


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
