"""A tiny site for tests: a catalog of a few sources, a warehouse with its tables, and a landing area to write into.

`SOURCES` and `VAULT` are YAML texts; a test adds its own or changes one with `str.replace`. `open_site` puts them into
a folder and opens a warehouse over them; `Site` writes landing files, loads them and shows what the tables hold.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog, FileFormat, Source
from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.landing import LandingLoad, staged_files
from cdm_assets.loading.landing_register import LIVE
from cdm_assets.loading.stamp import Stamp
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import DuckDBOptions, Warehouse
from cdm_assets.warehouse.landing_area import MANIFEST_NAME, LandingArea, file_name_of
from cdm_assets.warehouse.landing_files import LandingFile, checked_file, unreadable
from cdm_assets.warehouse.tables import AUDIT_COLUMNS, Tables

DAY: Final = date(2024, 3, 1)
"""The first business date of the tests; `day(n)` is n days after it."""

CUSTOMER: Final = """
source: customer
description: Customers, the whole list every day.
delivery: snapshot
files: {path: "{date}/customer.csv", format: csv}
owners: ["team:customer-data"]
columns:
  - {name: customer_id, type: string(8), key: true}
  - {name: name, type: string(20), required: true}
  - {name: status, type: string(10)}
  - {name: email, type: string(40)}
  - {name: phone, type: string(15)}
  - {name: age, type: integer}
  - {name: credit, type: "decimal(12,2)"}
  - {name: born, type: date}
  - {name: joined, type: date}
  - {name: seen_at, type: timestamp}
  - {name: is_member, type: boolean, header: Member?}
rules:
  - {rule: domain, column: status, values: [active, closed], on_failure: reject}
  - {rule: format, column: email, pattern: "[^@ ]+@[^@ ]+[.][a-z]+", on_failure: reject}
  - {rule: length, column: phone, min: 5, max: 12, on_failure: reject}
  - {rule: range, column: age, min: 0, max: 120, on_failure: reject}
  - {rule: non_negative, column: credit, on_failure: reject}
  - {rule: date_order, earlier: born, later: joined, on_failure: reject}
  - {rule: complete_when, column: email, when: status, values: [active], on_failure: reject}
  - {rule: unique, columns: [email], on_failure: reject}
feeds:
  hubs: {customer: [customer_id]}
  satellites:
    - {name: customer_details, parent: customer}
"""

PRODUCT: Final = """
source: product
description: Changed articles.
delivery: delta
files: {path: "{date}/product.csv.gz", format: csv, may_be_absent: true}
owners: ["team:product-data"]
columns:
  - {name: product_id, type: string(8), key: true}
  - {name: label, type: string(20)}
  - {name: price, type: "decimal(8,2)"}
rules:
  - {rule: not_null, column: label, on_failure: warn}
  - {rule: range, column: price, min: 0, on_failure: block}
feeds:
  hubs: {product: [product_id]}
  satellites:
    - {name: product_details, parent: product}
"""

PURCHASE: Final = """
source: purchase
description: Purchases; no file on days the shops are closed.
delivery: events
files: {path: "purchases/{date}.csv", format: csv, may_be_absent: true}
owners: ["team:sales-data"]
columns:
  - {name: purchase_id, type: string(12), key: true}
  - {name: customer_id, type: string(8), required: true}
  - {name: product_id, type: string(8), required: true}
  - {name: amount, type: "decimal(12,2)", required: true}
  - {name: bought_at, type: timestamp, required: true}
event_time: bought_at
rules:
  - {rule: non_negative, column: amount, on_failure: reject}
  - {rule: referential, columns: [product_id], references: product, on_failure: warn}
feeds:
  hubs: {customer: [customer_id], product: [product_id]}
  event: purchase
"""

ASSORTMENT: Final = """
source: assortment
description: Which customer is shown which product, as Parquet, the whole list every day.
delivery: snapshot
files: {path: "{date}/assortment.parquet", format: parquet, may_be_empty: true}
owners: ["team:product-data"]
columns:
  - {name: customer_id, type: string(8), key: true}
  - {name: product_id, type: string(8), key: true}
  - {name: position, type: integer}
  - {name: weight, type: "decimal(8,3)"}
  - {name: since, type: date}
  - {name: changed_at, type: timestamp}
  - {name: is_pinned, type: boolean}
feeds:
  hubs: {customer: [customer_id], product: [product_id]}
  links: [assortment]
  satellites:
    - {name: assortment_details, parent: assortment}
"""

SOURCES: Final[Mapping[str, str]] = {
    "customer": CUSTOMER,
    "product": PRODUCT,
    "purchase": PURCHASE,
    "assortment": ASSORTMENT,
}

VAULT: Final = """
hubs:
  customer:
    description: A customer.
    owners: ["team:customer-data"]
    key: [{name: customer_id, type: string(8)}]
  product:
    description: An article.
    owners: ["team:product-data"]
    key: [{name: product_id, type: string(8)}]
links:
  assortment: {description: Shown products., owners: ["team:product-data"], hubs: [customer, product]}
events:
  purchase: {description: A purchase., owners: ["team:sales-data"], hubs: [customer, product]}
"""

Row = Mapping[str, Any]


def day(number: int) -> date:
    """The business date `number` days after `DAY`."""
    return DAY + timedelta(days=number)


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    """A time as the warehouse stores it: UTC, without a zone."""
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC).replace(tzinfo=None)


def write_catalog(
    folder: Path,
    sources: Mapping[str, str] = SOURCES,
    vault: str = VAULT,
    *,
    interface: Mapping[str, str] | None = None,
    marts: Mapping[str, str] | None = None,
) -> Path:
    """Write YAML texts as a catalog folder."""
    for kind, texts in (("sources", sources), ("interface", interface or {}), ("marts", marts or {})):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / kind / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "vault.yaml").write_text(vault, encoding="utf-8")
    return folder


def area_at(landing_root: Path) -> LandingArea:
    """A landing area with its archive beside it."""
    return LandingArea(landing_root, landing_root.with_name("archive"))


def find_file(source: Source, day: date, landing_root: Path) -> LandingFile | None:
    """The file of a source and date, fetched and checked, without a register."""
    area, name = area_at(landing_root), file_name_of(source, day)
    try:
        content = area.fetch(name, (source.source, day))
    except OSError as fault:
        raise unreadable(name, fault) from fault
    return checked_file(source, day, content, area)


def registered_row(source: str, day: date, state: str, stamp: Stamp, **values: Any) -> dict[str, Any]:
    """A row of the landing register for a file that nobody looks at."""
    row: dict[str, Any] = {"source": source, "business_date": day, "file_name": "file", "state": state}
    row |= {"arrived_at": stamp.load_ts, "delivered_at": stamp.load_ts, "deliveries": 1, "size_bytes": 0}
    row |= {"sha256": "", "version": "", "manifest_version": "", "rows_read": 0, "rows_loaded": 0}
    return row | {"rows_rejected": 0, **stamp.row} | values


@dataclass(repr=False)
class Site:
    """A catalog, a warehouse and a landing area."""

    catalog: Catalog
    warehouse: Warehouse
    landing_root: Path
    _loads: int = field(default=0, init=False)

    def source(self, name: str) -> Source:
        return self.catalog.sources[name]

    @property
    def area(self) -> LandingArea:
        return area_at(self.landing_root)

    def path(self, source: str, day: date = DAY) -> Path:
        """Where the source's file for a date lies, its folder created."""
        path = self.landing_root / file_name_of(self.source(source), day)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def land(self, source: str, rows: Sequence[Row] | pa.Table, day: date = DAY) -> Path:
        """Write rows (by the names in the file; a missing one is empty) in the source's format."""
        path, declared = self.path(source, day), self.source(source)
        names = [column.file_name for column in declared.columns]
        if isinstance(rows, pa.Table):
            pq.write_table(rows, path)
        elif declared.files.format is FileFormat.PARQUET:
            texts = {name: [None if (v := row.get(name)) is None else str(v) for row in rows] for name in names}
            pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in texts.items()}), path)
        elif declared.files.format is FileFormat.JSON_LINES:
            lines = [{name: str(v) for name in names if (v := row.get(name)) is not None} for row in rows]
            self.land_text(source, "".join(f"{json.dumps(line)}\n" for line in lines), day)
        elif declared.files.format is FileFormat.EXCEL:
            book = openpyxl.Workbook()
            for values in (names, *([row.get(name) for name in names] for row in rows)):
                book.worksheets[0].append(values)
            book.save(path)
        else:
            text = io.StringIO()
            writer = csv.DictWriter(text, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            self.land_text(source, text.getvalue(), day)
        return path

    def land_text(self, source: str, content: str | bytes, day: date = DAY) -> Path:
        """Write a file's content as it is (inside gzip where the source's path says so)."""
        path = self.path(source, day)
        plain = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(plain, mtime=0) if path.suffix == ".gz" else plain)
        return path

    def promise(self, source: str, day: date = DAY, **changes: Any) -> Path:
        """Write the manifest of a file's folder with one entry for it; `changes` replace `rows`, `sha256`."""
        path = self.path(source, day)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
        entry = {"file": path.name, "rows": 0, "sha256": sha256} | changes
        manifest = path.parent / MANIFEST_NAME
        manifest.write_text(json.dumps({"files": [entry]}), encoding="utf-8")
        return manifest

    def load(self, source: str, first: date = DAY, last: date | None = None) -> LandingLoad:
        """Load the landing zone of a source for a date or a range, under a run of its own."""
        self._loads += 1
        dates = DateRange(first, last or first)
        stamp = Stamp(f"run-{self._loads}")
        tables = self.warehouse.tables
        with (
            self.warehouse.connection() as connection,
            staged_files(connection, tables, self.source(source), dates, self.area, stamp=stamp) as files,
        ):
            files.begin_loading(stamp)
            with connection.begin():
                return files.replace_partitions(stamp)

    def rows(
        self, table_key: str, *, audit: bool = False, where: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """All rows of a table, sorted, without its audit columns unless asked for."""
        table = self.warehouse.tables[table_key]
        columns = [c for c in table.c if audit or c.name not in AUDIT_COLUMNS]
        query = sa.select(*columns).where(*(table.c[name] == value for name, value in (where or {}).items()))
        with self.warehouse.connection() as connection:
            found = [dict(row) for row in connection.execute(query).mappings()]
        return sorted(found, key=lambda row: [(value is not None, str(value)) for value in row.values()])

    def landed(self, source: str, *, audit: bool = False) -> list[dict[str, Any]]:
        """The landing-zone rows of a source, in the order of their files."""
        rows = self.rows(f"ldz.ldz_{source}", audit=audit)
        return sorted(rows, key=lambda row: (row["business_date"], row["source_row"]))

    def rejected(self, source: str) -> list[dict[str, Any]]:
        """The rejected records of a source, by date and line."""
        rows = self.rows("cdp_metadata.rejected_record", where={"source": source})
        return sorted(rows, key=lambda row: (row["business_date"], row["line"] or 0))

    def registered(self, source: str) -> list[dict[str, Any]]:
        """What the register knows of the present files of a source, by date, the newest content last; no times."""
        rows = self.rows("cdp_metadata.landing_file", where={"source": source})
        live = sorted(
            (row for row in rows if row["state"] in LIVE), key=lambda r: (r["business_date"], r["arrived_at"])
        )
        times = ("arrived_at", "delivered_at", "deliveries", "version", "manifest_version")
        return [{name: value for name, value in row.items() if name not in times} for row in live]

    def empty_all(self) -> None:
        """Forget all files and rows; the tables stay. For many examples on one site."""
        self._loads = 0
        shutil.rmtree(self.landing_root)
        shutil.rmtree(self.area.archive, ignore_errors=True)
        self.landing_root.mkdir()
        with self.warehouse.transaction() as connection:
            for table in self.warehouse.tables.metadata.sorted_tables:
                if table.name != "calendar":
                    connection.execute(sa.delete(table))


@contextmanager
def open_site(
    folder: Path,
    sources: Mapping[str, str] = SOURCES,
    vault: str = VAULT,
    *,
    interface: Mapping[str, str] | None = None,
    marts: Mapping[str, str] | None = None,
) -> Iterator[Site]:
    """A site in `folder`. Its database is in memory; creating it takes a second or two (the calendar)."""
    shipped = write_catalog(folder / "catalog", sources, vault, interface=interface, marts=marts)
    catalog = read_catalog(shipped=shipped)
    landing_root = folder / "landing"
    landing_root.mkdir()
    options = DuckDBOptions(memory_limit="512MB", threads=1)
    with Warehouse.open_duckdb(None, Tables(catalog), options=options) as warehouse:
        create_missing(warehouse)
        yield Site(catalog, warehouse, landing_root)
