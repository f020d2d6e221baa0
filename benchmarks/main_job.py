"""What the main job costs, as it grows: one more day after 30, 180 and 360 days, ranges at once, a late day.

    python benchmarks/main_job.py [--days 366] [--home FOLDER] [--cases daily range late]

Each load is a `cdm run` in a process of its own, timed as a whole, start-up included; seconds in files and SQL come
from the platform's load log. Beside it the floors, measured in the same run: hand-written DuckDB SQL that produces the
same tables without orchestration, history repair or checks (`floor.py`, a process of its own too), and DuckDB reading
and counting the same files. `--cases daily` also plots cost against history (`benchmarks/history.png`).
"""

import argparse
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import duckdb
from matplotlib.figure import Figure

START = date(2017, 1, 1)
POINTS = (30, 180, 360)
DAYS_A_POINT = 3
BACK = 300
CDM = [sys.executable, "-W", "ignore", "-m", "cdm_assets"]
FLOOR = [sys.executable, str(Path(__file__).with_name("floor.py"))]


@dataclass(frozen=True)
class Cost:
    """One process: seconds as a whole, seconds in files and SQL, peak megabytes."""

    seconds: float
    sql: float
    peak_mb: float


class Bench:
    """A platform home and a floor database over one landing area."""

    def __init__(self, home: Path, landing: Path) -> None:
        self.home, self.landing = home, landing
        self.database = home / "warehouse" / "cdm.duckdb"
        self.floor_database = home / "floor.duckdb"
        home.mkdir(parents=True, exist_ok=True)

    def cdm(self, command: str, first: date, last: date) -> Cost:
        """A `cdm` process for the dates."""
        environment = os.environ | {
            "CDM_HOME": str(self.home),
            "CDM_LANDING": str(self.landing),
            "DAGSTER_HOME": str(self.home / "dagster"),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or every process compiles Dagster anew
        began = utc_now_of(self.database)
        seconds, peak_mb = timed([*CDM, command, "--start", str(first), "--end", str(last)], environment)
        return Cost(seconds, sql_seconds(self.database, began) if command == "run" else 0, peak_mb)

    def floor(self, first: date, last: date) -> Cost:
        """The hand-written SQL for the dates: a range from nothing, or one day after what is there."""
        dates = ["--first", str(first), "--last", str(last)] if first < last else ["--day", str(first)]
        places = ["--landing", str(self.landing), "--database", str(self.floor_database)]
        seconds, peak_mb = timed([*FLOOR, "range" if first < last else "day", *places, *dates], dict(os.environ))
        return Cost(seconds, seconds, peak_mb)

    def count(self, first: date, last: date) -> float:
        """Seconds in which DuckDB reads every file of the dates and counts every column."""
        folders = [self.landing / str(first + timedelta(days=n)) for n in range((last - first).days + 1)]
        names = sorted({path.name for folder in folders for path in folder.iterdir() if path.name[0] not in "._"})
        began = time.perf_counter()
        for name in names:
            files = [str(folder / name) for folder in folders if (folder / name).exists()]
            reader = (
                "read_parquet($1)" if name.endswith(".parquet") else "read_csv($1, header = true, all_varchar = true)"
            )
            duckdb.execute(f"select count(columns(*)) from {reader}", [files]).fetchall()
        return time.perf_counter() - began


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and peak megabytes of a process; its failure ends the benchmark."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def utc_now_of(database: Path) -> str:
    """The last load's time so far, as text."""
    if not database.exists():
        return "1970-01-01"
    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.execute("select max(load_ts) from cdp_metadata.load_log").fetchone()
    return str(found[0]) if found and found[0] else "1970-01-01"


def sql_seconds(database: Path, since: str) -> float:
    """Seconds in files and SQL of all loads since a time."""
    with duckdb.connect(str(database), read_only=True) as connection:
        query = "select coalesce(sum(seconds), 0) from cdp_metadata.load_log where load_ts > $1::timestamp"
        found = connection.execute(query, [since]).fetchone()
    return float(found[0]) if found else 0


def day(number: int) -> date:
    """The business date `number`, from 1."""
    return START + timedelta(days=number - 1)


def daily(bench: Bench, last: int) -> dict[int, tuple[list[Cost], list[Cost]]]:
    """Single days after each point, on both; what lies between the points is loaded as ranges."""
    found = {}
    loaded = 0
    for point in (p for p in POINTS if p + DAYS_A_POINT <= last):
        bench.cdm("run", day(loaded + 1), day(point))
        bench.floor_database.unlink(missing_ok=True)
        bench.floor(day(1), day(point))
        numbers = range(point + 1, point + DAYS_A_POINT + 1)
        found[point] = (
            [bench.cdm("run", day(n), day(n)) for n in numbers],
            [bench.floor(day(n), day(n)) for n in numbers],
        )
        loaded = point + DAYS_A_POINT
        row(f"daily, after {point} days", *found[point], bench.count(day(point + 1), day(point + 1)))
    return found


def late(bench: Bench, ordinary: list[Cost], newest: int) -> None:
    """Correct one line of the transaction file of a day `BACK` days before the newest, three times over."""
    costs = []
    for number in range(newest - BACK, newest - BACK + DAYS_A_POINT):
        correct(bench.landing / str(day(number)))
        costs.append(bench.cdm("run", day(1), day(newest)))
    row(f"late, {BACK} days back", costs, ordinary, bench.count(day(newest - BACK), day(newest - BACK)))


def correct(folder: Path) -> None:
    """Change a sale in a day's transaction file, and the manifest with it."""
    path, manifest = folder / "transaction.csv", folder / "_manifest.json"
    with path.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    rows[0][header.index("sales_value")] = "12.34"
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    content = json.loads(manifest.read_text())
    for entry in content["files"]:
        if entry["file"] == path.name:
            entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content))


def row(case: str, ours: list[Cost], floors: list[Cost], count: float) -> None:
    """Print medians and the ratios to the floor, as a whole and in files and SQL alone."""
    whole, sql, floor = (
        median(c.seconds for c in ours),
        median(c.sql for c in ours),
        median(c.seconds for c in floors),
    )
    print(
        f"{case:<24}{whole:>9.1f}{sql:>13.1f}{floor:>9.1f}{whole / floor:>13.2f}{sql / floor:>11.2f}{count:>9.2f}"
        f"{max(c.peak_mb for c in ours):>9.0f}",
        flush=True,
    )


def plot(costs: dict[int, tuple[list[Cost], list[Cost]]], path: Path) -> None:
    """Cost of one more day against the days already loaded."""
    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    for label, values in (
        ("cdm run, whole process", [median(c.seconds for c in ours) for ours, _ in costs.values()]),
        ("of it files and SQL", [median(c.sql for c in ours) for ours, _ in costs.values()]),
        ("hand-written SQL, whole process", [median(c.seconds for c in floors) for _, floors in costs.values()]),
    ):
        axes.plot(list(costs), values, marker="o", label=label)
    axes.set(xlabel="days already loaded", ylabel="seconds for one more day", ylim=(0, None))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=366, help="dates of the demo year to use (default: 366)")
    parser.add_argument("--home", type=Path, help="keep landing area, databases and instances here")
    parser.add_argument("--cases", nargs="+", choices=["range", "daily", "late"], default=["range", "daily", "late"])
    options = parser.parse_args()
    home = options.home or Path(tempfile.mkdtemp(prefix="cdm-bench-"))
    try:
        landing = home / "landing"
        Bench(home / "demo", landing).cdm("demo", day(1), day(options.days))
        print(
            f"{'case':<24}{'whole s':>9}{'files+SQL s':>13}{'floor s':>9}{'whole/floor':>13}{'SQL/floor':>11}"
            f"{'count s':>9}{'peak MB':>9}"
        )
        if "range" in options.cases:
            for days in sorted({min(30, options.days), options.days}):
                bench = Bench(home / f"range{days}", landing)
                ours, floor = bench.cdm("run", day(1), day(days)), bench.floor(day(1), day(days))
                row(f"range, {days} days", [ours], [floor], bench.count(day(1), day(days)))
        if {"daily", "late"} & set(options.cases):
            bench = Bench(home / "history", landing)
            costs = daily(bench, options.days)
            plot(costs, Path(__file__).with_name("history.png"))
            newest = max(costs) + DAYS_A_POINT
            if "late" in options.cases and newest > BACK:
                late(bench, costs[max(costs)][0], newest)
    finally:
        if options.home is None:
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
