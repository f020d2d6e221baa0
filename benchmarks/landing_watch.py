"""What a tick of the landing sensors costs: a look at the landing area and every question, over years of files.

    python benchmarks/landing_watch.py --files 10000 --years 5 [--root memory://landing]

The files are spread over all dates and sources of the shipped catalog, so that most dates lack some. Each case is a
process of its own: 10,000 files already registered and loaded and nothing new (every tick but a few), some new dates,
thousands of corrections at once, and an empty register, where each look reads files for READING_SECONDS and leaves the
rest to the next. Prints seconds of the look and of the questions, and peak memory.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fsspec.core import url_to_fs

from cdm_assets.catalog.reading import CANONICAL, read_catalog
from cdm_assets.loading.landing_register import register_arrivals
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.landing_watch import Arrivals, LandingWatch
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import DuckDBOptions, Warehouse
from cdm_assets.warehouse.landing_area import FileStamp, LandingArea, Place, file_name_of
from cdm_assets.warehouse.tables import Tables

FIRST_DAY = date(2020, 1, 1)
CASES = {
    "registered": "all registered, nothing new",
    "ten days": "ten new dates",
    "corrected": "2,000 corrected at once",
    "new": "nothing registered yet",
}
QUESTIONS = ("new", "late", "corrected", "stale", "withdrawn", "missing", "events_beyond_bound")


class Site:
    """A landing area of many small files, and a warehouse that knows them or does not."""

    def __init__(self, folder: Path, root: str, files: int, years: int) -> None:
        self.tables = Tables(read_catalog(shipped=CANONICAL))
        self.loads = TableLoads(self.tables)
        self.warehouse = Warehouse.open_duckdb(folder / "w.duckdb", self.tables, options=DuckDBOptions("1GB"))
        create_missing(self.warehouse)
        self.area = LandingArea(root or folder / "landing", folder / "archive")
        self.file_system, self.root = url_to_fs(self.area.root)
        days = [FIRST_DAY + timedelta(days=n) for n in range(years * 365)]
        names = list(self.tables.catalog.sources)
        everything: list[Place] = [(source, day) for day in days for source in names]
        self.places = [everything[number * len(everything) // files] for number in range(files)]
        self.dates = DateRange(FIRST_DAY, FIRST_DAY + timedelta(days=years * 365 + 30))
        self.clock = 0.0
        self.watch = LandingWatch(self.loads, self.area, clock=lambda: self.clock)
        for place in self.places:
            self.write(place)

    def write(self, place: Place, content: bytes = b"content") -> None:
        source, day = place
        name = f"{self.root}/{file_name_of(self.tables.catalog.sources[source], day)}"
        self.file_system.makedirs(name.rpartition("/")[0], exist_ok=True)
        self.file_system.pipe_file(name, content)

    def register(self) -> None:
        """Register every file, and pretend that all were loaded."""
        listing = self.area.listing()
        found: dict[Place, tuple[str, FileStamp | None]] = {}
        for source, day in self.places:
            name = file_name_of(self.tables.catalog.sources[source], day)
            found[source, day] = (name, listing[name])
        stamp = Stamp("benchmark")
        with self.warehouse.transaction() as connection:
            register_arrivals(connection, self.tables, self.area, found, stamp)
            register = self.tables["cdp_metadata.landing_file"]
            connection.execute(sa.update(register).values(state="loaded"))
            rows = [
                {"table_key": self.loads.landing_table(source), "business_date": day, "rows_in_partition": 1}
                | {**stamp.row}
                for source, day in self.places
            ]
            connection.execute(sa.insert(self.tables["cdp_metadata.partition_load"]), rows)

    def look(self) -> float:
        started = time.perf_counter()
        with self.warehouse.transaction() as connection:
            self.found = self.watch.look(connection, "benchmark")
        return time.perf_counter() - started

    def ask(self) -> dict[str, float]:
        """Seconds of each question."""
        seconds = {}
        now = datetime(self.dates.last.year, self.dates.last.month, self.dates.last.day, tzinfo=UTC)
        with self.warehouse.transaction() as connection:
            started = time.perf_counter()
            arrivals = Arrivals(connection, self.loads, self.area, dates=self.dates, moving=self.watch.moving, now=now)
            seconds["begin"] = time.perf_counter() - started
            for question in QUESTIONS:
                started = time.perf_counter()
                getattr(arrivals, question)()
                seconds[question] = time.perf_counter() - started
        return seconds


def _ticks(site: Site, case: str) -> Iterator[tuple[str, float, dict[str, float]]]:
    """The ticks of a case: what happened, seconds of the look, and of each question."""

    def tick(what: str, after_seconds: float = 15) -> tuple[str, float, dict[str, float]]:
        site.clock += after_seconds
        return what, site.look(), site.ask()

    if case != "new":
        site.register()
    if case == "ten days":
        last = max(day for _, day in site.places)
        for number in range(1, 11):
            for source in site.tables.catalog.sources:
                site.write((source, last + timedelta(days=number)), b"new")
    if case == "corrected":
        for place in site.places[:: max(len(site.places) // 2000, 1)]:
            site.write(place, b"corrected")
    yield tick("first look")
    ticks = 0
    while site.found.still_moving and ticks < 100:
        ticks += 1
        yield tick(f"{len(site.found.still_moving):,} to read")
    yield tick("nothing new")


def _run_case(case: str, root: str, files: int, years: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), root, files, years)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for what, look, questions in _ticks(site, case):
            slowest = max(questions, key=lambda question: questions[question])
            result: dict[str, Any] = {"what": what, "look": look, "questions": sum(questions.values())}
            result |= {"slowest": slowest, "slowest_seconds": questions[slowest], "mb_before": before}
            result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps(result), flush=True)


def _case_in_a_process(arguments: list[str], tell: Callable[[dict[str, Any]], None]) -> None:
    command = [sys.executable, "-W", "ignore", __file__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            tell(json.loads(line))
    assert process.returncode == 0


def main() -> None:
    """Run the cases and print a line for each tick."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--years", type=int, default=5)
    parser.add_argument("--root", default="", help="an fsspec URL; a local folder by default")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        _run_case(arguments.case, arguments.root, arguments.files, arguments.years)
        return
    print(f"{arguments.files:,} files of {arguments.years} years")
    print("case                          tick               look s  questions s  slowest question        MB peak   +MB")
    sizes = ["--files", str(arguments.files), "--years", str(arguments.years)]
    for case in arguments.cases:

        def tell(result: dict[str, Any], case: str = case) -> None:
            slowest = f"{result['slowest']} {result['slowest_seconds']:.2f}"
            more = result["peak_mb"] - result["mb_before"]
            print(
                f"{CASES[case]:30}{result['what']:17}{result['look']:>8.2f}{result['questions']:>13.2f}  "
                f"{slowest:22}{result['peak_mb']:>9.0f}{more:>6.0f}",
                flush=True,
            )

        _case_in_a_process(["--case", case, "--root", arguments.root, *sizes], tell)


if __name__ == "__main__":
    main()
