"""Whether two warehouses, of whatever engines, hold the same rows."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cdm_assets.orchestration.code_location import table_loads
from cdm_assets.settings import Settings
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import AUDIT_COLUMNS


def rows_of(warehouse: Warehouse, key: str) -> Counter[tuple[Any, ...]]:
    """The rows of a table `schema.table`, audit columns left out; how often each is there."""
    columns = [column for column in warehouse.tables[key].c if column.name not in AUDIT_COLUMNS]
    with warehouse.connection() as connection:
        return Counter(tuple(row) for row in connection.execute(sa.select(*columns)))


def differences(one: Warehouse, other: Warehouse) -> dict[str, str]:
    """The partitioned tables whose rows differ, each with the first of them on either side, in words."""
    found = {}
    for key in one.tables.partitioned:
        left, right = rows_of(one, key), rows_of(other, key)
        if left != right:
            only_left, only_right = list((left - right).elements()), list((right - left).elements())
            found[key] = (
                f"{left.total()} and {right.total()} rows; {len(only_left)} only in the first, {len(only_right)} only "
                f"in the second: {only_left[:1]} {only_right[:1]}"
            )
    return found


def main() -> None:
    """Compare every partitioned table of the database of CDM_DATABASE with that of a DuckDB file, row by row."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("duckdb", type=Path, help="the DuckDB file")
    settings = Settings.from_environment()
    tables = table_loads(settings).tables
    with (
        Warehouse.open_duckdb(parser.parse_args().duckdb, tables, read_only=True) as one,
        Warehouse.open_existing(settings, tables, read_only=True) as other,
    ):
        found = differences(one, other)
        rows = sum(rows_of(one, key).total() for key in tables.partitioned)
    for key, words in found.items():
        print(f"{key}: {words[:1000]}")  # noqa: T201 - what the command is for
    print(f"{len(tables.partitioned)} tables, {rows:,} rows: {len(found)} tables differ")  # noqa: T201
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
