"""A tiny site for the load contract: every delivery kind, several sources on one hub, composite keys, all layers.

Everything is in memory, and one warehouse serves many examples: `ContractSite.forget` empties it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from unittest import mock

import sqlalchemy as sa

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.marts.measures import rate, total
from cdm_assets.loading.marts.registry import MARTS, SAME_DATE_ONLY, MartSelect
from cdm_assets.loading.rehearsal import partitions_affected
from cdm_assets.loading.staleness import stale_partitions
from cdm_assets.loading.stamp import Stamp, in_range, replace_rows
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.warehouse import ddl
from cdm_assets.warehouse.dates import DateRange, ranges_of
from cdm_assets.warehouse.engine import DuckDBOptions, Warehouse
from cdm_assets.warehouse.tables import AUDIT_COLUMNS, Tables
from cdm_assets_tests.small_site import Site, registered_row, write_catalog

DAY: Final = date(2024, 3, 1)
HORIZON: Final = 6
"""Business dates of an example, from `DAY` on."""
ALL_DATES: Final = DateRange(DAY, DAY + timedelta(days=HORIZON - 1))
CALENDAR: Final = DateRange(DAY - timedelta(days=10), DAY + timedelta(days=40))
"""A short one is quick to fill."""

PERSON: Final = """
source: person
description: Persons, the whole list every day.
delivery: snapshot
files: {path: "{date}/person.csv", format: csv, may_be_absent: true, may_be_empty: true}
owners: ["team:a"]
columns:
  - {name: person_id, type: string(8), key: true}
  - {name: name, type: string(20), pii: direct}
  - {name: credit, type: "decimal(8,2)"}
feeds:
  hubs: {person: [person_id]}
  satellites:
    - {name: person_details, parent: person}
"""


BOOKING: Final = """
source: booking
description: New and changed bookings.
delivery: delta
files: {path: "{date}/booking.csv", format: csv, may_be_absent: true}
owners: ["team:a"]
columns:
  - {name: shop, type: string(8), key: true}
  - {name: number, type: integer, key: true}
  - {name: person_id, type: string(8), required: true}
  - {name: status, type: string(8)}
  - {name: due, type: date}
feeds:
  hubs: {booking: [shop, number], person: [person_id]}
  links: [booking_person]
  satellites:
    - {name: booking_details, parent: booking}
    - {name: booking_person_said, parent: booking_person, attributes: []}
"""

PLEDGE: Final = """
source: pledge
description: What each person pledges for each booking, the whole list every day.
delivery: snapshot
files: {path: "{date}/pledge.csv", format: csv, may_be_absent: true, may_be_empty: true}
owners: ["team:a"]
columns:
  - {name: shop, type: string(8), key: true}
  - {name: number, type: integer, key: true}
  - {name: person_id, type: string(8), key: true}
  - {name: amount, type: "decimal(8,2)"}
feeds:
  hubs: {booking: [shop, number], person: [person_id]}
  links: [booking_person]
  satellites:
    - {name: pledge_details, parent: booking_person}
"""

VISIT: Final = """
source: visit
description: Visits.
delivery: events
files: {path: "{date}/visit.csv", format: csv, may_be_absent: true}
owners: ["team:a"]
columns:
  - {name: visit_id, type: string(8), key: true}
  - {name: person_id, type: string(8), required: true}
  - {name: page, type: string(8)}
  - {name: spent, type: "decimal(8,2)", required: true}
  - {name: seen_at, type: timestamp, required: true}
event_time: seen_at
feeds:
  hubs: {person: [person_id]}
  event: visit
"""

VAULT: Final = """
hubs:
  person: {description: A person., owners: ["team:a"], key: [{name: person_id, type: string(8)}]}
  booking:
    description: A booking.
    owners: ["team:a"]
    key: [{name: shop, type: string(8)}, {name: number, type: integer}]
links:
  booking_person: {description: Who booked., owners: ["team:a"], hubs: [booking, person]}
events:
  visit: {description: A visit., owners: ["team:a"], hubs: [person]}
"""

INTERFACE: Final = {
    "person": """
entity: person
description: Persons.
kind: state
owners: ["team:a"]
spine: h_person
key: [person_id]
columns:
  - {name: person_id, from: h_person.person_id, required: true}
  - {name: first_seen_date, from: h_person.business_date, required: true}
  - {name: name, from: s_person_details.name, default: unknown}
  - {name: credit, from: s_person_details.credit}
  - {name: is_listed, from: s_person_details.is_listed, required: true}
""",
    "booking": """
entity: booking
description: Bookings.
kind: state
owners: ["team:a"]
spine: h_booking
key: [shop, number]
columns:
  - {name: shop, from: h_booking.shop, required: true}
  - {name: number, from: h_booking.number, required: true}
  - {name: status, from: s_booking_details.status, codes: {a: open, b: closed}, default: unknown}
  - {name: due, from: s_booking_details.due}
  - {name: person_id, from: s_booking_details.person_id}
""",
    "pledge": """
entity: pledge
description: Pledges.
kind: state
owners: ["team:a"]
spine: l_booking_person
key: [shop, number, person_id]
columns:
  - {name: shop, from: h_booking.shop, required: true}
  - {name: number, from: h_booking.number, required: true}
  - {name: person_id, from: h_person.person_id, required: true}
  - {name: amount, from: s_pledge_details.amount}
  - {name: is_pledged, from: s_pledge_details.is_listed, required: true}
  - {name: was_booked, from: s_booking_person_said.is_listed, required: true}
""",
    "visit": """
entity: visit
description: Visits.
kind: event
owners: ["team:a"]
spine: l_visit
key: [visit_id]
columns:
  - {name: visit_id, from: l_visit.visit_id, required: true}
  - {name: person_id, from: h_person.person_id, required: true}
  - {name: page, from: l_visit.page}
  - {name: spent, from: l_visit.spent, required: true}
  - {name: arrival_date, from: l_visit.business_date, required: true}
""",
}

MART_TEXTS: Final = {
    "person_day": """
mart: person_day
layer: agg
description: Visits by person and date.
owners: ["team:a"]
key: [person_id]
columns:
  - {name: person_id, type: string(8), required: true}
  - {name: visits, type: integer, required: true}
  - {name: spent, type: "decimal(18,2)", required: true}
""",
    "person_360": """
mart: person_360
layer: cs_360_db
description: Persons and their visits so far.
owners: ["team:a"]
publish: true
key: [person_id]
one_row_per: person.person_id
columns:
  - {name: person_id, type: string(8), required: true}
  - {name: name, type: string(20), pii: direct}
  - {name: visits, type: integer, required: true}
  - {name: spent_each, type: "decimal(18,4)"}
""",
}

SOURCES: Final = {"person": PERSON, "booking": BOOKING, "pledge": PLEDGE, "visit": VISIT}


def _person_day(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    visit = tables["itf.visit"]
    keys = [visit.c.business_date, visit.c.person_id]
    count = sa.cast(sa.func.count(), sa.BigInteger()).label("visits")
    spent = total(visit.c.spent, sa.Numeric(18, 2)).label("spent")
    return sa.select(*keys, count, spent).where(in_range(visit.c.business_date, dates)).group_by(*keys)


def _person_360(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    person, daily = tables["itf.person"], tables["agg.person_day"]
    so_far = sa.and_(daily.c.person_id == person.c.person_id, daily.c.business_date <= person.c.business_date)
    visits = sa.func.coalesce(sa.func.sum(daily.c.visits), 0)
    keys = [person.c.business_date, person.c.person_id, person.c.name]
    return (
        sa.select(
            *keys,
            visits.label("visits"),
            rate(sa.func.sum(daily.c.spent), visits, sa.Numeric(18, 4)).label("spent_each"),
        )
        .select_from(person.outerjoin(daily, so_far))
        .where(in_range(person.c.business_date, dates))
        .group_by(*keys)
    )


OWN_MARTS: Final[Mapping[str, MartSelect]] = {"person_day": _person_day, "person_360": _person_360}

OWN_SAME_DATE_ONLY: Final = {"person_day": frozenset({"itf.visit"}), "person_360": frozenset({"itf.person"})}

Content = dict[str, list[tuple[Any, ...]]]
"""The rows of each table, sorted, audit columns left out."""


def day(number: int) -> date:
    """The business date `number` days after `DAY`."""
    return DAY + timedelta(days=number)


def at(text: str) -> datetime:
    """A timestamp without zone, as in `2024-03-01 08:00`."""
    return datetime.fromisoformat(text)


class ContractSite:
    """A catalog, two warehouses (the one under test and one for clean loads) and a landing area.

    Clean loads go to DuckDB in memory; so does what is tested, unless `engine` is that of another database.
    """

    def __init__(
        self,
        folder: Path,
        *,
        shipped: Path | None = None,
        calendar: DateRange | None = None,
        engine: sa.Engine | None = None,
    ) -> None:
        own = shipped or write_catalog(folder / "catalog", SOURCES, VAULT, interface=INTERFACE, marts=MART_TEXTS)
        self.catalog = read_catalog(shipped=own)
        self.landing_root = folder / "landing"
        self.landing_root.mkdir(parents=True)
        self.tables = Tables(self.catalog)
        calendar = calendar or CALENDAR
        self._open = ExitStack()
        self._open.enter_context(mock.patch.dict(MARTS, OWN_MARTS))
        self._open.enter_context(mock.patch.dict(SAME_DATE_ONLY, OWN_SAME_DATE_ONLY))
        self.loads = TableLoads(self.tables)
        self.order = self.loads.in_order
        self.warehouse, self.clean_warehouse = (self._new_warehouse(calendar, of) for of in (engine, None))
        self.runs = 0
        self.site = Site(self.catalog, self.warehouse, self.landing_root)

    def _new_warehouse(self, calendar: DateRange, engine: sa.Engine | None) -> Warehouse:
        opened = (
            Warehouse(engine, self.tables)
            if engine is not None
            else Warehouse.open_duckdb(None, self.tables, options=DuckDBOptions(threads=1))
        )
        warehouse = self._open.enter_context(opened)
        with mock.patch.multiple(ddl, CALENDAR_FIRST=calendar.first, CALENDAR_LAST=calendar.last):
            ddl.create_missing(warehouse)
        return warehouse

    def close(self) -> None:
        self._open.close()

    def forget(self) -> None:
        """Empty the landing area and both warehouses."""
        for path in self.landing_root.rglob("*"):
            if path.is_file():
                path.unlink()
        for warehouse in (self.warehouse, self.clean_warehouse):
            self.empty(warehouse)

    @staticmethod
    def empty(warehouse: Warehouse) -> None:
        with warehouse.transaction() as connection:
            for table in warehouse.tables.metadata.sorted_tables:
                if table.name != "calendar":
                    connection.execute(sa.delete(table))

    def write(self, source: str, number: int, rows: Iterable[Sequence[Any]] | None) -> None:
        """Write the file of a date, its rows in the order of the source's columns; None takes the file away."""
        if rows is None:
            self.site.path(source, day(number)).unlink(missing_ok=True)
            return
        names = [column.file_name for column in self.catalog.sources[source].columns]
        self.site.land(source, [dict(zip(names, row, strict=True)) for row in rows], day(number))

    def load(self, key: str, dates: DateRange, *, clean: bool = False, checked: bool = False) -> None:
        """Load one table. Unchecked loads skip the validations, which take half of the time."""
        self.runs += 1
        warehouse = self.clean_warehouse if clean else self.warehouse
        context = LoadContext(warehouse, self.site.area, "k" * 32, f"run{self.runs}")
        with nullcontext() if checked else mock.patch.object(TableLoads, "_check", no_checks):
            self.loads.load(key, dates, context)

    def affected(self, changed: Iterable[tuple[str, int]]) -> dict[str, frozenset[date]]:
        """What the files of `changed` (source, number of the day), as they lie there, would make stale."""
        days: dict[str, set[date]] = {}
        for source, number in changed:
            days.setdefault(source, set()).add(day(number))
        return partitions_affected(self.loads, LoadContext(self.warehouse, self.site.area, "", ""), days)

    def stale(self) -> dict[str, frozenset[date]]:
        """The loaded partitions that are out of line."""
        with self.warehouse.connection() as connection:
            return stale_partitions(connection, self.loads)

    def load_stale(self) -> None:
        """Load what is out of line, as ranges; what a vault table's load brings to light as well."""
        while stale := self.stale():
            for key, days in stale.items():
                for dates in ranges_of(days):
                    self.load(key, dates)

    def fill(self, key: str, dates: DateRange) -> list[DateRange]:
        """Only the rows of one table, without control tables; returns what changed for its readers."""
        self.runs += 1
        with self.warehouse.transaction() as connection:
            return self.loads.fill(connection, key, dates, Stamp(f"run{self.runs}"))

    def load_all(self, dates: DateRange = ALL_DATES, *, clean: bool = False, only: Iterable[str] | None = None) -> None:
        """Load every table for `dates`, each after what it reads."""
        for key in self.order:
            if only is None or key in only:
                self.load(key, dates, clean=clean)

    def put(self, source: str, number: int, rows: Sequence[Sequence[Any]] | None) -> None:
        """Bring a landing partition into the state its file would leave it in, without a file; quick."""
        self.runs += 1
        table, register = self.tables[f"ldz.ldz_{source}"], self.tables["cdp_metadata.landing_file"]
        stamp = Stamp(f"run{self.runs}")
        names = [column.name for column in self.catalog.sources[source].columns]
        identity = {"business_date": day(number), "source_file": "file", **stamp.row}
        landed = [
            identity | {"source_row": number_in_file} | dict(zip(names, row, strict=True))
            for number_in_file, row in enumerate(rows or (), start=1)
        ]
        counts = {"rows_read": len(landed), "rows_loaded": len(landed)}
        entry = registered_row(source, day(number), "withdrawn" if rows is None else "loaded", stamp, **counts)
        with self.warehouse.transaction() as connection:
            replace_rows(connection, table, table.c.business_date == day(number), list(landed))
            of_date = sa.and_(register.c.source == source, register.c.business_date == day(number))
            replace_rows(connection, register, of_date, [entry])

    def save(self, keys: Iterable[str]) -> int:
        """Remember the content of tables of the warehouse under test; returns what `restore` takes."""
        self.runs += 1
        with self.warehouse.transaction() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA saved_{self.runs}")
            for table in (self.tables[key] for key in keys):
                connection.exec_driver_sql(
                    f"CREATE TABLE saved_{self.runs}.{table.schema}_{table.name} AS SELECT * FROM {table.fullname}"
                )
        return self.runs

    def restore(self, state: int, keys: Iterable[str]) -> None:
        """Bring the tables back to what `save` remembered."""
        with self.warehouse.transaction() as connection:
            for table in (self.tables[key] for key in keys):
                connection.execute(sa.delete(table))
                connection.exec_driver_sql(
                    f"INSERT INTO {table.fullname} SELECT * FROM saved_{state}.{table.schema}_{table.name}"
                )

    def fed_by(self, source: str) -> set[str]:
        """The vault tables that a source fills."""
        return {k for k in self.order if k.startswith("rdv.") and f"ldz.ldz_{source}" in self.loads.reads[k]}

    @property
    def downstream(self) -> list[str]:
        """The tables behind the vault."""
        return [key for key in self.order if not key.startswith((f"{Layer.LANDING}.", f"{Layer.VAULT}."))]

    def content(self, warehouse: Warehouse | None = None, *, layers: Sequence[str] = ()) -> Content:
        """Every partitioned table as it stands."""
        found: Content = {}
        with (warehouse or self.warehouse).connection() as connection:
            for key in self.order:
                if not layers or key.split(".")[0] in layers:
                    table = self.tables[key]
                    columns = [c for c in table.c if c.name not in AUDIT_COLUMNS]
                    found[key] = sorted((tuple(r) for r in connection.execute(sa.select(*columns))), key=_sortable)
        return found

    def clean_content(
        self, dates: DateRange = ALL_DATES, *, by_day: bool = False, layers: Sequence[str] = ()
    ) -> Content:
        """Every table after one clean load in order of the files as they stand."""
        self.empty(self.clean_warehouse)
        only = None if not layers else {key for key in self.order if key.split(".")[0] in layers}
        for part in (DateRange(d, d) for d in dates) if by_day else [dates]:
            self.load_all(part, clean=True, only=only)
        return self.content(self.clean_warehouse, layers=layers)


def no_checks(_loads: TableLoads, work: Any) -> tuple[list[Any], dict[date, int]]:
    """In the place of `TableLoads._check`: every date passes, unseen."""
    return [], dict.fromkeys(work.dates, 0)


def _sortable(row: Sequence[Any]) -> list[tuple[bool, str]]:
    return [(value is not None, str(value)) for value in row]


def differences(found: Content, expected: Content) -> dict[str, dict[str, list[tuple[Any, ...]]]]:
    """Rows by table that are there but should not be, and that should be there but are not."""
    result = {}
    for key, rows in expected.items():
        if found[key] != rows:
            extra = [row for row in found[key] if row not in rows]
            result[key] = {"extra": extra or found[key], "missing": [row for row in rows if row not in found[key]]}
    return result


@contextmanager
def statements_of(warehouse: Warehouse) -> Iterator[list[str]]:
    """The statements that the warehouse is sent, as they are sent."""
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    sa.event.listen(warehouse.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(warehouse.engine, "before_cursor_execute", note)
