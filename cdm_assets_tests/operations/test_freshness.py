"""Freshness is of the partition that is due: what was loaded when does not matter."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.pipelines import Pipeline
from cdm_assets.operations.freshness import Freshness, due_date, table_freshness
from cdm_assets.operations.timing import delivery_timings, offset_text, ready_at, source_timings
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import Site

DATES = DateRange(date(2024, 3, 1), date(2024, 3, 20))
PIPELINE = Pipeline.model_validate(
    {
        "pipeline": "sales",
        "description": "Sales.",
        "group": "team",
        "primary_owner": "ann@example.com",
        "secondary_owner": "team:sales",
        "tables": ["ldz", "rdv"],
        "schedule": "30 7 * * *",
        "ready_by": "09:00",
        "alert_if_late_by_minutes": 30,
        "fix_within_hours": 4,
        "severity": "major",
        "on_call": "pager",
    }
)


@pytest.fixture(scope="module")
def warehouse(open_small_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    catalog = open_small_site.warehouse.tables.catalog.model_copy(update={"pipelines": {"sales": PIPELINE}})
    path = tmp_path_factory.mktemp("freshness") / "cdm.duckdb"
    with Warehouse.open_duckdb(path, Tables(catalog)) as opened:
        create_missing(opened)
        yield opened


@pytest.fixture
def connection(warehouse: Warehouse) -> Iterator[sa.Connection]:
    with warehouse.transaction() as opened:
        for name in ("partition_load", "load_log", "landing_file"):
            opened.execute(sa.delete(warehouse.tables[f"cdp_metadata.{name}"]))
        yield opened


def _load(connection: sa.Connection, tables: Tables, key: str, day: date, at: datetime) -> None:
    stamp = {"run_id": "r", "load_ts": at}
    row = {"table_key": key, "business_date": day, "rows_in_partition": 1, **stamp}
    connection.execute(sa.insert(tables["cdp_metadata.partition_load"]), [row])
    log = {"table_key": key, "first_date": day, "last_date": day, **stamp, "seconds": 1}
    log |= dict.fromkeys(("rows_read", "rows_inserted", "rows_removed", "rows_rejected"), 0)
    connection.execute(sa.insert(tables["cdp_metadata.load_log"]), [log])


def _freshness(connection: sa.Connection, tables: Tables, now: datetime) -> Freshness:
    return table_freshness(connection, tables, now, DATES, keys=("ldz.ldz_customer",))[0]


NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)


def test_a_table_is_fresh_once_the_date_that_is_due_is_loaded(connection: sa.Connection, warehouse: Warehouse) -> None:
    _load(
        connection, warehouse.tables, "ldz.ldz_customer", date(2024, 3, 9), datetime.fromisoformat("2024-03-10T08:00")
    )
    found = _freshness(connection, warehouse.tables, NOW)
    assert (found.is_fresh, found.due, found.newest, found.days_behind) == (True, date(2024, 3, 9), date(2024, 3, 9), 0)


def test_a_backfill_of_an_old_date_makes_no_stale_table_fresh(connection: sa.Connection, warehouse: Warehouse) -> None:
    _load(
        connection, warehouse.tables, "ldz.ldz_customer", date(2024, 3, 7), datetime.fromisoformat("2024-03-08T08:00")
    )
    _load(
        connection, warehouse.tables, "ldz.ldz_customer", date(2024, 3, 2), datetime.fromisoformat("2024-03-10T11:59")
    )
    found = _freshness(connection, warehouse.tables, NOW)
    assert (found.is_fresh, found.newest, found.days_behind) == (False, date(2024, 3, 7), 2)
    assert str(found) == (
        "ldz.ldz_customer: 2024-03-09, due 2024-03-10 09:00 UTC, is missing; the newest before is 2024-03-07"
    )


def test_a_date_that_is_not_yet_due_does_not_stand_in_for_the_one_that_is(
    connection: sa.Connection, warehouse: Warehouse
) -> None:
    _load(
        connection, warehouse.tables, "ldz.ldz_customer", date(2024, 3, 10), datetime.fromisoformat("2024-03-10T11:00")
    )
    found = _freshness(connection, warehouse.tables, NOW)
    assert (found.is_fresh, found.newest, found.days_behind) == (False, None, None)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2024, 3, 1, 23, tzinfo=UTC), None),
        (datetime(2024, 3, 2, 9, 29, tzinfo=UTC), None),
        (datetime(2024, 3, 2, 9, 30, tzinfo=UTC), date(2024, 3, 1)),
        (datetime(2024, 3, 11, 9, 29, tzinfo=UTC), date(2024, 3, 9)),
        (datetime(2030, 1, 1, tzinfo=UTC), date(2024, 3, 20)),
    ],
)
def test_a_date_is_due_once_its_absence_is_an_alert_and_only_business_dates_are(
    now: datetime, due: date | None
) -> None:
    assert due_date(PIPELINE, now, DATES) == due


def test_without_tolerance_a_date_is_due_when_it_is_to_be_ready() -> None:
    assert due_date(PIPELINE, datetime(2024, 3, 2, 9, tzinfo=UTC), DATES, with_tolerance=False) == date(2024, 3, 1)


def test_a_pipeline_is_ready_with_the_last_of_its_tables_first_load() -> None:
    day, other = date(2024, 3, 1), date(2024, 3, 2)
    loaded = {
        "a": {day: datetime.fromisoformat("2024-03-02T08:00"), other: datetime.fromisoformat("2024-03-03T08:00")},
        "b": {day: datetime.fromisoformat("2024-03-02T09:00")},
    }
    assert ready_at(["a", "b"], loaded) == {day: datetime.fromisoformat("2024-03-02T09:00")}
    assert ready_at([], loaded) == {}


def test_delivery_is_computed_from_first_loads_and_backfills_are_only_counted(
    connection: sa.Connection, warehouse: Warehouse
) -> None:
    tables = warehouse.tables
    for key in tables.partitioned:
        if key.startswith(("ldz.", "rdv.")):
            for number, minutes in enumerate((480, 500, 520, 560, 3 * 24 * 60 + 600)):
                day = DATES.first + timedelta(days=number)
                midnight = datetime.fromisoformat("2024-03-02T00:00") + timedelta(days=number)
                _load(connection, tables, key, day, midnight + timedelta(minutes=minutes))
    repaired = {"table_key": "ldz.ldz_customer", "business_date": DATES.first}
    log = tables["cdp_metadata.load_log"]
    again = dict.fromkeys(("rows_read", "rows_inserted", "rows_removed", "rows_rejected", "seconds"), 0)
    row = {
        "first_date": DATES.first,
        "last_date": DATES.first,
        "load_ts": datetime.fromisoformat("2024-03-19T00:00"),
        "run_id": "late",
    }
    connection.execute(sa.insert(log), [{"table_key": repaired["table_key"], **row, **again}])
    (found,) = delivery_timings(connection, tables, DATES)
    assert found.typical is not None
    assert (found.typical.dates, found.backfilled, found.late, found.alerting) == (4, 1, 1, 0)
    assert offset_text(found.typical.middle) == "08:20"
    assert offset_text(found.typical.most) == "09:20"
    assert offset_text(found.margin) == "-00:20"
    assert (offset_text(found.ready_by), offset_text(found.alert_if_late_by)) == ("09:00", "00:30")


def test_source_timing_stands_beside_what_is_declared(connection: sa.Connection, warehouse: Warehouse) -> None:
    register = warehouse.tables["cdp_metadata.landing_file"]
    fixed: dict[str, Any] = dict.fromkeys(("size_bytes", "deliveries", "rows_read", "rows_loaded", "rows_rejected"), 1)
    fixed |= dict.fromkeys(("sha256", "version", "manifest_version", "run_id"), "x")
    for number, arrived in enumerate(["2024-03-02T05:00", "2024-03-03T05:30", "2024-03-04T13:00", "2024-03-30T00:00"]):
        at = datetime.fromisoformat(arrived)
        row = {"source": "customer", "business_date": DATES.first + timedelta(days=number), "file_name": f"{number}"}
        row |= {"state": "loaded", "arrived_at": at, "delivered_at": at, "load_ts": at}
        connection.execute(sa.insert(register), [{**row, **fixed}])
    found = {timing.source: timing for timing in source_timings(connection, warehouse.tables, DATES)}["customer"]
    assert [offset_text(each) for each in (found.available_at, found.late_after, found.starts_at)] == [
        "06:00",
        "12:00",
        "07:30",
    ]
    assert found.typical is not None
    assert (found.typical.dates, found.late, found.backfilled) == (3, 1, 1)
    assert [offset_text(each) for each in (found.typical.middle, found.declared_margin, found.margin)] == [
        "05:30",
        "01:30",
        "-05:30",
    ]
