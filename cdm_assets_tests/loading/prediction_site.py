"""A small site with the shipped prediction sources, models, entity and marts, beside a customer list and a tiny 360."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from unittest import mock

import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.reading import CANONICAL, read_catalog
from cdm_assets.loading.ingest_export import Export, export_changed
from cdm_assets.loading.marts.registry import MARTS, SAME_DATE_ONLY
from cdm_assets.loading.staleness import stale_partitions
from cdm_assets.loading.stamp import Stamp, in_range
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.operations.plan import changed_files, mark_work, partitions_never_loaded, planned_runs, register_dates
from cdm_assets.warehouse import ddl
from cdm_assets.warehouse.dates import DateRange, ranges_of
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import Site, write_catalog

DAY: Final = date(2017, 3, 1)
LAST: Final = 5
DATES: Final = DateRange(DAY, DAY + timedelta(days=LAST))

CUSTOMER: Final = """
source: customer
description: Customers, the whole list every day.
delivery: delta
files: {path: "{date}/customer.csv", format: csv, may_be_absent: true}
owners: ["team:a"]
columns:
  - {name: customer_id, type: string(20), key: true, pii: quasi}
  - {name: name, type: string(20), pii: direct}
feeds:
  hubs: {customer: [customer_id]}
  satellites:
    - {name: customer_details, parent: customer}
"""
VAULT: Final = """
hubs:
  customer: {description: C., owners: ["team:a"], key: [{name: customer_id, type: string(20), pii: quasi}]}
  prediction:
    description: P.
    owners: ["team:a"]
    key: [{name: customer_id, type: string(20), pii: quasi}, {name: model_name, type: string(50)}]
"""
CUSTOMER_ENTITY: Final = """
entity: customer
description: Customers.
kind: state
owners: ["team:a"]
spine: h_customer
key: [customer_id]
columns:
  - {name: customer_id, from: h_customer.customer_id, required: true}
  - {name: first_seen_date, from: h_customer.business_date, required: true}
  - {name: name, from: s_customer_details.name}
"""
CUSTOMER_360: Final = """
mart: customer_360
layer: cs_360_db
description: Customers.
owners: ["team:a"]
publish: true
key: [customer_id]
enriched_by: customer_score
columns:
  - {name: customer_id, type: string(20), required: true, pii: quasi}
  - {name: name, type: string(20), pii: direct}
"""
MODELS: Final = """
models:
  response_model:
    description: Response.
    owners: ["team:a"]
    versions: [{version: "1.0", valid_from: 2017-01-01}, {version: "2.0", valid_from: 2017-03-03}]
    max_age_days: 2
    least_share_scored: 0.5
    primary: true
  churn_model:
    description: Churn.
    owners: ["team:a"]
    versions: [{version: "1.0", valid_from: 2017-01-01}]
    min_score: -10
    max_score: 10
    max_age_days: 100
"""
PREDICTION_MARTS: Final = ("prediction_day", "customer_score", "score_day")


def day(number: int) -> date:
    """The business date `number` days after `DAY`."""
    return DAY + timedelta(days=number)


def scored(
    customer: str, score: str | None, number: int, *, model: str = "response_model", version: str = "1.0", **more: Any
) -> dict[str, Any]:
    """A row of `cdm_ingest_db.ml_prediction`."""
    row: dict[str, Any] = {"model_name": model, "model_version": version, "customer_id": customer}
    row |= {"business_date": day(number), "score": None if score is None else Decimal(score), "label": None}
    return row | {"scored_at": datetime.combine(day(number + 1), datetime.min.time())} | more


def shipped(kind: str, name: str) -> str:
    """The text of a file of the catalog that ships."""
    return (CANONICAL / kind / f"{name}.yaml").read_text(encoding="utf-8")


def _customer_360(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    customer = tables["itf.customer"]
    columns = (customer.c[name] for name in ("business_date", "customer_id", "name"))
    return sa.select(*columns).where(in_range(customer.c.business_date, dates))


def write_prediction_catalog(folder: Path, *, models: str = MODELS, **changed: str) -> Path:
    """The catalog as a folder; `changed` takes the place of the text of a source, entity or mart."""
    sources = {name: shipped("sources", name) for name in ("prediction_table", "prediction_file")}
    marts = {name: shipped("marts", name) for name in PREDICTION_MARTS} | {"customer_360": CUSTOMER_360}
    interface = {"customer": CUSTOMER_ENTITY, "prediction": shipped("interface", "prediction")}
    kinds = (sources | {"customer": CUSTOMER}, interface, marts)
    sources, interface, marts = ({name: changed.get(name, text) for name, text in kind.items()} for kind in kinds)
    write_catalog(folder, sources, VAULT, interface=interface, marts=marts)
    (folder / "models.yaml").write_text(models, encoding="utf-8")
    return folder


class PredictionSite:
    """A warehouse in memory and a landing area; loads as `cdm run` does, without Dagster."""

    def __init__(self, folder: Path, catalog: Catalog, warehouse: Warehouse, loads: TableLoads) -> None:
        self.folder, self.catalog, self.warehouse, self.loads = folder, catalog, warehouse, loads
        self.site = Site(catalog, warehouse, folder / "landing")
        self.runs = 0

    def customers(self, names: Iterable[str], number: int = 0) -> None:
        self.site.land("customer", [{"customer_id": name, "name": f"n{name}"} for name in names], day(number))

    def write(self, *rows: Mapping[str, Any]) -> None:
        """What a model does by SQL."""
        with self.warehouse.transaction() as connection:
            connection.execute(sa.insert(self.table), [dict(row) for row in rows])

    def delete(self, **where: Any) -> None:
        with self.warehouse.transaction() as connection:
            connection.execute(sa.delete(self.table).where(*(self.table.c[k] == v for k, v in where.items())))

    @property
    def table(self) -> sa.Table:
        return self.warehouse.tables["cdm_ingest_db.ml_prediction"]

    def send_file(self, number: int, *rows: Mapping[str, Any]) -> None:
        """What a model does that hands over files."""
        texts = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
        self.site.land("prediction_file", texts, day(number))

    def export(self, dates: DateRange = DATES) -> Export:
        self.runs += 1
        with self.warehouse.transaction() as connection:
            stamp = Stamp(f"export{self.runs}")
            return export_changed(connection, self.warehouse.tables, self.site.area, dates, stamp)

    def load(self, dates: DateRange = DATES) -> dict[str, set[date]]:
        """Export, then load what is new and what is stale; returns what was loaded, by table."""
        self.runs += 1
        self.export(dates)
        loaded: dict[str, set[date]] = {}

        def load(key: str, part: DateRange) -> None:
            loaded.setdefault(key, set()).update(part)
            self.loads.load(key, part, LoadContext(self.warehouse, self.site.area, "k" * 32, f"run{self.runs}"))

        with self.warehouse.transaction() as connection:
            register_dates(connection, self.loads, dates, self.site.area, "run")
            mark_work(connection, self.loads, changed_files(connection, self.loads, dates))
            missing = partitions_never_loaded(connection, self.loads, dates)
        for run in planned_runs(missing, self.loads):
            for key in run.tables:
                load(key, run.dates)
        while stale := self.stale():
            for key, days in stale.items():
                for part in ranges_of(days):
                    load(key, part)
        return loaded

    def stale(self) -> dict[str, frozenset[date]]:
        with self.warehouse.connection() as connection:
            return stale_partitions(connection, self.loads)

    def content(self) -> dict[str, list[dict[str, Any]]]:
        """Every partitioned table, and the rejected records."""
        found = {key: self.site.rows(key) for key in self.loads.in_order}
        return found | {"rejected": self.site.rows("cdp_metadata.rejected_record")}

    def published(self, number: int) -> dict[str, Any]:
        """The published score by customer, on a date."""
        rows = self.site.rows("cdm_publish_db.customer_360", where={"business_date": day(number)})
        return {row["customer_id"]: row["score"] for row in rows}

    def rejected(self, source: str = "prediction_table") -> list[tuple[Any, ...]]:
        rows = self.site.rejected(source)
        return [(r["business_date"], r["line"], r["rule"], r["reason"], r["raw_text"]) for r in rows]

    def check(self, table: str, name: str, number: int) -> tuple[bool, bool, str | None]:
        """Whether a check passed, whether it blocks, and its message."""
        where = {"table_key": table, "check_name": name, "business_date": day(number)}
        (row,) = self.site.rows("cdp_metadata.check_result", where=where)
        return row["passed"], row["blocks"], row["message"]

    def failed_blocking(self) -> list[tuple[Any, ...]]:
        rows = self.site.rows("cdp_metadata.check_result", where={"blocks": True})
        return [(r["table_key"], r["check_name"], r["business_date"], r["message"]) for r in rows]


@contextmanager
def open_prediction_site(folder: Path, *, models: str = MODELS) -> Iterator[PredictionSite]:
    """A site in `folder`, without files."""
    catalog = read_catalog(shipped=write_prediction_catalog(folder / "catalog", models=models))
    (folder / "landing").mkdir()
    own = {"customer_360": _customer_360}
    with (
        mock.patch.dict(MARTS, own),
        mock.patch.dict(SAME_DATE_ONLY, {"customer_360": frozenset({"itf.customer"})}),
        Warehouse.open_duckdb(None, Tables(catalog)) as warehouse,
    ):
        calendar = DateRange(DAY - timedelta(days=10), DAY + timedelta(days=40))
        with mock.patch.multiple(ddl, CALENDAR_FIRST=calendar.first, CALENDAR_LAST=calendar.last):
            ddl.create_missing(warehouse)
        yield PredictionSite(folder, catalog, warehouse, TableLoads(warehouse.tables))
