"""The floor under the main job: hand-written DuckDB SQL that builds the same tables, and nothing else.

No Dagster, SQLAlchemy or loader of ours; no repair of history, rejected records, rules or checks. What the platform
costs beyond this is what those cost. The statements stand in `floor_sql/`, one a table; `compare` proves that their
content is the platform's.

    python benchmarks/floor.py range --landing .cdm/landing --database floor.duckdb --first 2017-01-01 --last 2017-12-31
    python benchmarks/floor.py day --landing .cdm/landing --database floor.duckdb --day 2018-01-01
    python benchmarks/floor.py compare --database floor.duckdb --first 2017-01-01 --last 2018-01-01 \\
        --with .cdm/warehouse/cdm.duckdb
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb

SQL = Path(__file__).with_name("floor_sql")
LAYERS = ("ldz", "rdv", "itf", "agg", "cs_360_db", "cdm_publish_db")
AUDIT_COLUMNS = ("load_ts", "run_id")
AUDIT = "getvariable('load_ts')::timestamp as load_ts, 'floor' as run_id"
DEMO_TOKEN_KEY = "0123456789abcdef0123456789abcdef"
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "2GB",
    "threads": 2,
    "storage_compatibility_version": "latest",
}
"""The newest storage writes text in half the time; DuckDB before 1.5 cannot open such a file."""

SOURCES = {
    "campaign.csv": """
        campaign_id varchar, campaign_name varchar, campaign_type varchar, start_date date, end_date date,
        objective varchar, budget decimal(12,2)""",
    "contact.csv": """
        campaign_id varchar, household_id varchar, contact_timestamp timestamp, channel varchar, cell_code varchar,
        treatment_code varchar, flowchart_run_id varchar, is_control boolean, contact_cost decimal(12,4)""",
    "customer.csv": """
        household_id varchar, age varchar, income varchar, home_ownership varchar, marital_status varchar,
        household_size varchar, household_comp varchar, kids_count varchar, email varchar""",
    "flowchart.csv": """
        flowchart_id varchar, flowchart_name varchar, campaign_id varchar, owner varchar, status varchar,
        created_date date""",
    "flowchart_run.csv": """
        flowchart_run_id varchar, flowchart_id varchar, started_at timestamp, ended_at timestamp, status varchar,
        records_selected bigint""",
    "offer.parquet": "coupon_upc varchar, product_id varchar, campaign_id varchar",
    "product.csv.gz": """
        product_id varchar, manufacturer_id varchar, department varchar, brand varchar, product_category varchar,
        product_type varchar, package_size varchar""",
    "response.csv": "household_id varchar, coupon_upc varchar, campaign_id varchar, redemption_date date",
    "transaction.csv": """
        basket_id varchar, product_id varchar, household_id varchar, store_id varchar, quantity bigint,
        sales_value decimal(12,2), retail_disc decimal(12,2), coupon_disc decimal(12,2),
        coupon_match_disc decimal(12,2), week bigint, transaction_timestamp timestamp""",
}
"""Each source's file in a date's folder and its columns as they stand in it."""


def main() -> None:
    options = parsed_arguments()
    if options.command == "compare":
        sys.exit(compare(options.database, options.other, options.first, options.last))
    if not options.landing.is_dir():
        sys.exit(f"no landing area at {options.landing}; `cdm demo` writes one")
    is_range = options.command == "range"
    if is_range == options.database.exists():
        reason = "is there already; `range` starts from an empty one" if is_range else "is not there; `range` makes it"
        sys.exit(f"{options.database} {reason}")
    first, last = (options.first, options.last) if is_range else (options.day, options.day)
    seconds = build(options.landing, options.database, first, last, token_key=options.token_key)
    print_seconds(seconds, each_table=options.tables)


def parsed_arguments() -> argparse.Namespace:
    summary, _, examples = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build_range = commands.add_parser("range", help="build all tables for the dates, from an empty database")
    build_day = commands.add_parser("day", help="append one on-time day after what is loaded")
    for command in (build_range, build_day):
        command.add_argument("--landing", type=Path, required=True, help="the demo's landing area")
        command.add_argument("--database", type=Path, required=True, help="DuckDB file to write")
        command.add_argument("--token-key", default=DEMO_TOKEN_KEY, help="key of the tokens, as CDM_TOKEN_KEY")
        command.add_argument("--tables", action="store_true", help="print the seconds of each table too")
    day = date.fromisoformat
    build_day.add_argument("--day", type=day, required=True, metavar="DATE", help="the date after the last loaded one")
    comparison = commands.add_parser("compare", help="compare each table with a database that the platform wrote")
    comparison.add_argument("--database", type=Path, required=True, help="DuckDB file that this script wrote")
    comparison.add_argument("--with", type=Path, required=True, dest="other", metavar="FILE", help="the platform's")
    for command in (build_range, comparison):
        command.add_argument("--first", type=day, required=True, metavar="DATE", help="first business date")
        command.add_argument("--last", type=day, required=True, metavar="DATE", help="last business date, inclusive")
    return parser.parse_args()


def build(landing: Path, database: Path, first: date, last: date, *, token_key: str) -> dict[str, float]:
    """Fill every table for the dates; returns seconds by table, and of closing the database as `checkpoint`."""
    began = time.perf_counter()
    is_range = not database.exists()
    connection = duckdb.connect(str(database), config=CONFIG | {"temp_directory": str(database.with_suffix(".spill"))})
    values = {"first_date": str(first), "last_date": str(last), "token_key": token_key, "load_ts": "2000-01-01"}
    for name, value in values.items():
        text = value.replace("'", "''")
        connection.execute(f"set variable {name} = '{text}'")  # a parameter would import pandas, for a second
    connection.execute((SQL / "macros.sql").read_text())
    if is_range:
        connection.execute("".join(f"create schema {layer};" for layer in LAYERS))
    way = "range" if is_range else "day"
    files = (f"rdv_{way}", "itf", "agg", f"customer_windows_{way}", "marts_360")
    seconds = {"start": time.perf_counter() - began}
    statements = (*landing_statements(landing, first, last), *(s for name in files for s in statements_of(name)))
    for kind, name, select in statements:
        began = time.perf_counter()
        if kind == "view":
            connection.execute(f"create temp view {name} as {select}")
        else:
            rows = f"select *, {AUDIT} from ({select})"
            connection.execute(f"create table {name} as {rows}" if is_range else f"insert into {name} by name {rows}")
            seconds[name] = time.perf_counter() - began
    began = time.perf_counter()
    connection.close()
    return seconds | {"checkpoint": time.perf_counter() - began}


def statements_of(name: str) -> Iterator[tuple[str, str, str]]:
    """Kind (table or view), name and select of each statement in a file of `floor_sql`."""
    for text in (SQL / f"{name}.sql").read_text().replace("-- view: ", "-- table: view ").split("-- table: ")[1:]:
        heading, _, select = text.partition("\n")
        kind, _, table = heading.rpartition(" ")
        yield kind or "table", table, select


def landing_statements(landing: Path, first: date, last: date) -> Iterator[tuple[str, str, str]]:
    """The same for the landing zone: the files of the dates, typed, each record with its number in its file."""
    days = [str(first + timedelta(days=n)) for n in range((last - first).days + 1)]
    for file_name, declared in SOURCES.items():
        types = dict(column.split() for column in " ".join(declared.split()).split(", "))
        columns = ", ".join(types)
        files = [str(path) for day in days if (path := landing / day / file_name).exists()]
        if not files:
            nothing = ", ".join(f"null::{kind} as {name}" for name, kind in types.items())
            reader = f"(select '' as filename, {nothing} where false)"
        elif file_name.endswith(".parquet"):
            reader = f"read_parquet({files}, filename = true)"
        else:
            options = "header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', filename = true"
            reader = f"read_csv({files}, columns = {types}, {options})"
        source_file = f"right(filename, {len('2017-01-01/' + file_name)})"
        yield (
            "table",
            f"ldz.ldz_{file_name.split('.')[0]}",
            f"""
            with records as materialized (
                select row_number() over () as number, filename, {columns} from {reader}
            ),
            files as (select filename, min(number) - 1 as records_before from records group by filename)
            select
                {source_file}[1:10]::date as business_date, {columns}, {source_file} as source_file,
                number - records_before as source_row
            from records join files using (filename)
            """,
        )


def print_seconds(seconds: dict[str, float], *, each_table: bool) -> None:
    by_layer: dict[str, float] = defaultdict(float)
    for name, spent in seconds.items():
        by_layer[name.split(".")[0]] += spent
        if each_table:
            print(f"{name:<32}{spent:>8.3f} s")
    for layer, spent in by_layer.items():
        print(f"{layer:<32}{spent:>8.2f} s")
    print(f"{'total':<32}{sum(seconds.values()):>8.2f} s")


def compare(database: Path, other: Path, first: date, last: date) -> int:
    """Print one line a table; returns 1 if any business column of any row differs, else 0."""
    connection = duckdb.connect(config=CONFIG | {"temp_directory": str(database.with_suffix(".spill"))})
    connection.execute(f"attach '{database}' as floor (read_only)")
    connection.execute(f"attach '{other}' as platform (read_only)")
    tables = connection.execute(
        """
        select schema_name || '.' || table_name from duckdb_tables()
        where database_name = 'platform' and schema_name in (select unnest($1))
        order by list_position($1, schema_name), table_name
        """,
        [list(LAYERS)],
    ).fetchall()
    differing = [table for (table,) in tables if not is_same(connection, table, first, last)]
    print(f"{len(tables)} tables, {len(differing)} differ{'' if not differing else ': ' + ', '.join(differing)}")
    return 1 if differing or not tables else 0


def is_same(connection: duckdb.DuckDBPyConnection, table: str, first: date, last: date) -> bool:
    """Whether both databases have the same columns, types and rows; a row that differs counts on both sides."""
    here, there = (columns_of(connection, f"{name}.{table}") for name in ("floor", "platform"))
    if here != there:
        print(f"{table:<32}columns differ: {sorted(here.items() ^ there.items())}")
        return False
    select = f"select {', '.join(there)} from {{}}.{table} where business_date between $1 and $2"
    floor, platform = select.format("floor"), select.format("platform")
    query = f"""
        select
            (select count(*) from ({floor})), (select count(*) from ({platform})),
            (select count(*) from ({floor} except all {platform})),
            (select count(*) from ({platform} except all {floor}))
        """
    rows, platform_rows, only_here, only_there = connection.execute(query, [first, last]).fetchone() or (0, 0, 0, 0)
    is_equal = bool(rows == platform_rows and only_here == only_there == 0)
    verdict = (
        "same" if is_equal else f"DIFFERS: {only_here:,} rows only in the floor, {only_there:,} only in the platform"
    )
    print(f"{table:<32}{rows:>12,}{platform_rows:>12,}  {verdict}")
    return is_equal


def columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Business columns and their types, in the order of the names."""
    described = connection.execute(f"describe {table}").fetchall()
    return {name: kind for name, kind, *_ in sorted(described) if name not in AUDIT_COLUMNS}


if __name__ == "__main__":
    main()
