"""The morning check on control tables that are filled by hand: each thing that can be the matter, and its colour."""

from __future__ import annotations

import json
import time as clock
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.pipelines import OnCallPolicy, Pipeline, Severity
from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.stamp import Stamp
from cdm_assets.operations.alerts import AlertKind, update_alerts
from cdm_assets.operations.morning import due_date, hops_of, morning_at, morning_of
from cdm_assets.operations.morning_page import morning_html
from cdm_assets.operations.morning_report import Colour, HopMorning, Morning, as_json, worst
from cdm_assets.operations.pauses import pause_source
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import Site, at, day, registered_row

STAMP = Stamp("night")
DATES = DateRange(day(0), day(400))
DUE = day(9)
NOON = datetime.combine(DUE + timedelta(days=1), time(13), tzinfo=UTC)
"""After the last file of `DUE` is late: 06:00 and six hours."""


class Night:
    """A site of which everything up to `DUE` is loaded; tests spoil it."""

    def __init__(self, site: Site) -> None:
        self.site, self.warehouse, self.tables = site, site.warehouse, site.warehouse.tables
        days = [day(n) for n in range(10)]
        self.insert("partition_load", *(self.loaded(key, d) for key in self.tables.partitioned for d in days))
        self.insert("check_result", *(self.check(key, d) for key in self.tables.partitioned for d in days))
        self.insert("load_log", *(self.log(key, days[0], days[-1], 20) for key in self.tables.partitioned))
        files = [registered_row(source, d, "loaded", STAMP) for source in site.catalog.sources for d in days]
        self.insert(
            "landing_file", *(row | {"rows_read": 100, "rows_loaded": 90, "rows_rejected": 10} for row in files)
        )

    def insert(self, table: str, *rows: dict[str, Any]) -> None:
        with self.warehouse.transaction() as connection:
            connection.execute(sa.insert(self.tables[f"cdp_metadata.{table}"]), list(rows))

    def delete(self, table: str, **where: Any) -> None:
        control = self.tables[f"cdp_metadata.{table}"]
        with self.warehouse.transaction() as connection:
            connection.execute(sa.delete(control).where(*(control.c[name] == value for name, value in where.items())))

    @staticmethod
    def loaded(key: str, of: date) -> dict[str, Any]:
        return {"table_key": key, "business_date": of, "rows_in_partition": 7, **STAMP.row}

    @staticmethod
    def check(key: str, of: date, name: str = "keys", **changes: Any) -> dict[str, Any]:
        row = {"table_key": key, "check_name": name, "business_date": of, "passed": True, "blocks": False}
        return row | {"message": None, **STAMP.row} | changes

    @staticmethod
    def log(key: str, first: date, last: date, seconds: float) -> dict[str, Any]:
        row: dict[str, Any] = {"table_key": key, "first_date": first, "last_date": last, "seconds": seconds}
        return row | dict.fromkeys(("rows_read", "rows_inserted", "rows_removed", "rows_rejected"), 0) | STAMP.row

    def look(self, when: datetime = NOON, tables: Tables | None = None) -> Morning:
        warehouse = Warehouse(self.warehouse.engine, tables) if tables else self.warehouse
        return morning_of(warehouse, at=when, dates=DATES)


@pytest.fixture
def night(site: Site) -> Night:
    return Night(site)


def hop(morning: Morning, name: str) -> HopMorning:
    return next(each for each in morning.hops if each.hop == name)


def texts(reasons: Iterable[Any]) -> list[str]:
    return [f"{reason.colour.value}: {reason.text}" for reason in reasons]


def test_a_site_that_is_loaded_and_right_is_green(night: Night) -> None:
    morning = night.look()
    assert (morning.due_date, morning.colour, morning.reasons) == (DUE, Colour.GREEN, ())
    landing = hop(morning, "mart → LDZ")
    assert (landing.tables, landing.loaded, landing.rows) == (4, 4, 28)
    assert landing.seconds == pytest.approx(8)
    assert {table.newest for table in morning.tables} == {DUE}
    assert {file.colour for file in morning.files} == {Colour.GREEN}


def test_hops_without_a_table_are_grey_and_colour_nothing(night: Night) -> None:
    morning = night.look()
    for name in ("metrics", "ML write-back"):
        assert hop(morning, name).colour is Colour.GREY
        assert texts(hop(morning, name).reasons) == ["grey: this site has no table here"]


def test_a_partition_that_is_not_there_is_red_and_the_hop_before_it_is_not(night: Night) -> None:
    night.delete("partition_load", table_key="rdv.h_customer", business_date=DUE)
    night.delete("check_result", table_key="rdv.h_customer", business_date=DUE)
    morning = night.look()
    assert morning.colour is Colour.RED
    assert hop(morning, "mart → LDZ").colour is Colour.GREEN
    vault = hop(morning, "LDZ → RDV")
    assert (vault.colour, vault.tables - vault.loaded) == (Colour.RED, 1)
    assert texts(vault.reasons) == [f"red: rdv.h_customer: not loaded for {DUE}; was due 2024-03-11 12:00 UTC"]


def test_before_it_is_due_a_partition_that_is_not_there_is_grey(night: Night) -> None:
    night.delete("partition_load", business_date=DUE)
    night.delete("check_result", business_date=DUE)
    night.delete("landing_file", business_date=DUE)
    early = NOON.replace(hour=5)
    morning = night.look(early)
    assert morning.colour is Colour.GREY
    assert {h.colour for h in morning.hops if h.tables} == {Colour.GREY}
    assert night.look(NOON).colour is Colour.RED


def test_a_backfill_of_an_old_date_does_not_make_a_table_look_fresh(night: Night) -> None:
    night.delete("partition_load", table_key="ldz.ldz_customer", business_date=DUE)
    night.delete("partition_load", table_key="ldz.ldz_customer", business_date=day(3))
    later = Stamp("backfill", STAMP.load_ts + timedelta(days=30))
    night.insert("partition_load", night.loaded("ldz.ldz_customer", day(3)) | later.row)
    morning = night.look()
    table = next(each for each in morning.tables if each.table == "ldz.ldz_customer")
    assert (table.newest, table.colour) == (day(8), Colour.RED)


def test_a_date_that_was_left_out_within_the_last_week_is_red_and_an_older_one_is_not_looked_for(night: Night) -> None:
    night.delete("partition_load", table_key="ldz.ldz_customer", business_date=day(1))
    assert night.look().colour is Colour.GREEN
    night.delete("partition_load", table_key="ldz.ldz_customer", business_date=day(5))
    assert texts(hop(night.look(), "mart → LDZ").reasons) == [f"red: ldz.ldz_customer: never loaded for {day(5)}"]


def test_a_blocking_check_is_red_with_its_code_and_an_old_one_yellow(night: Night) -> None:
    bad: dict[str, Any] = {"passed": False, "blocks": True, "message": "rows that repeat the key of another: 3"}
    night.insert("check_result", night.check("rdv.s_customer_details", day(1), "links", **bad))
    older = night.look()
    assert older.colour is Colour.YELLOW
    assert "blocking checks of older dates still fail: 2024-03-02" in hop(older, "LDZ → RDV").reasons[0].text
    night.insert("check_result", night.check("rdv.s_customer_details", DUE, "required", **bad))
    morning = night.look()
    assert morning.colour is Colour.RED
    [check] = morning.checks
    assert (check.table, check.check, check.blocks) == ("rdv.s_customer_details", "required", True)
    assert check.code.startswith("CDM-RDV-")
    assert check.code in hop(morning, "LDZ → RDV").reasons[0].text


def test_what_was_not_loaded_because_it_was_refused_is_told_once_with_the_reason(night: Night) -> None:
    night.delete("partition_load", table_key="ldz.ldz_customer", business_date=DUE)
    bad: dict[str, Any] = {"passed": False, "blocks": True, "message": "not loaded: header: expected customer_id"}
    night.delete("check_result", table_key="ldz.ldz_customer", business_date=DUE)
    night.insert("check_result", night.check("ldz.ldz_customer", DUE, **bad))
    reasons = texts(hop(night.look(), "mart → LDZ").reasons)
    assert len(reasons) == 1
    assert "not loaded: header: expected customer_id" in reasons[0]


def test_a_new_warning_is_yellow_and_one_that_stands_every_day_is_told_without_colour(night: Night) -> None:
    warned: dict[str, Any] = {"passed": False, "message": "files whose columns are not as declared: 1"}
    night.insert("check_result", night.check("ldz.ldz_product", DUE, "rules", **warned))
    assert hop(night.look(), "mart → LDZ").colour is Colour.YELLOW
    night.insert("check_result", *(night.check("ldz.ldz_product", day(n), "rules", **warned) for n in range(6)))
    night.insert("check_result", *(night.check("ldz.ldz_product", day(n), "rules") for n in range(6, 9)))
    landing = hop(night.look(), "mart → LDZ")
    assert landing.colour is Colour.GREEN
    assert "warned as on most dates" in landing.reasons[0].text


def test_a_partition_out_of_line_is_yellow(night: Night) -> None:
    night.insert(
        "stale_partition", {"table_key": "rdv.h_customer", "business_date": day(4), "reason": "x", **STAMP.row}
    )
    vault = hop(night.look(), "LDZ → RDV")
    assert texts(vault.reasons) == [f"yellow: rdv.h_customer: out of line with what it reads: {day(4)}"]


@pytest.mark.parametrize(
    ("hour", "colour", "says"),
    [
        (5, Colour.GREY, "due 2024-03-11 06:00 UTC"),
        (9, Colour.YELLOW, "late: no file since"),
        (13, Colour.RED, "missing"),
    ],
)
def test_a_file_that_is_not_there_is_awaited_then_late_then_missing(
    night: Night, hour: int, colour: Colour, says: str
) -> None:
    night.delete("landing_file", source="customer", business_date=DUE)
    morning = night.look(NOON.replace(hour=hour))
    file = next(each for each in morning.files if each.source == "customer")
    assert file.colour is colour
    assert says in file.what
    assert hop(morning, "mart → LDZ").colour is colour


def test_a_file_that_may_be_absent_is_not_missed(night: Night) -> None:
    night.delete("landing_file", source="purchase", business_date=DUE)
    file = next(each for each in night.look().files if each.source == "purchase")
    assert (file.colour, file.what) == (Colour.GREEN, "no file, and none is required")


@pytest.mark.parametrize(
    ("changes", "colour", "says"),
    [
        ({"state": "rejected", "reason": "columns: lacks name"}, Colour.RED, "was refused: columns: lacks name"),
        ({"state": "arrived"}, Colour.YELLOW, "arrived and is not loaded yet"),
        (
            {"state": "loaded", "gone_at": at(2024, 3, 11, 7)},
            Colour.YELLOW,
            "no longer there since 2024-03-11 07:00 UTC",
        ),
        ({"state": "loaded", "arrived_at": at(2024, 3, 14, 13)}, Colour.GREEN, "arrived 3 days 1 h after its deadline"),
        ({"state": "loaded", "arrived_at": at(2024, 3, 11, 13, 5)}, Colour.GREEN, "arrived 1 h 05 min after its"),
    ],
)
def test_a_file_says_what_became_of_it(night: Night, changes: dict[str, Any], colour: Colour, says: str) -> None:
    night.delete("landing_file", source="customer", business_date=DUE)
    night.insert("landing_file", registered_row("customer", DUE, "x", STAMP, gone_at=None, reason=None) | changes)
    file = next(each for each in night.look().files if each.source == "customer")
    assert file.colour is colour
    assert says in file.what


def test_a_paused_source_is_yellow_with_its_reason(night: Night) -> None:
    night.delete("partition_load", table_key="ldz.ldz_customer", business_date=DUE)
    night.delete("landing_file", source="customer", business_date=DUE)
    with night.warehouse.transaction() as connection:
        pause_source(connection, night.tables, "customer", "the mart is being moved", STAMP)
    morning = night.look()
    assert morning.paused == {"customer": "the mart is being moved"}
    landing = hop(morning, "mart → LDZ")
    assert landing.colour is Colour.YELLOW
    assert any("its source is paused: the mart is being moved" in reason.text for reason in landing.reasons)


def test_open_alerts_are_yellow(night: Night) -> None:
    with night.warehouse.transaction() as connection:
        update_alerts(connection, night.tables, AlertKind.MISSING, {("customer", day(2)): "no file"}, STAMP)
    morning = night.look()
    assert texts(morning.reasons) == [f"yellow: open alert: missing file, customer {day(2)}"]
    assert (morning.colour, morning.alerts[0].message) == (Colour.YELLOW, "no file")


def test_an_open_incident_is_red_until_it_is_acknowledged(night: Night) -> None:
    incident: dict[str, Any] = {c.name: None for c in night.tables["cdp_metadata.incident"].c}
    incident |= dict.fromkeys(("cause_key", "kind", "pipeline", "layer", "title", "message", "owner"), "x")
    incident |= dict.fromkeys(("opened_at", "last_seen_at", "respond_by", "resolve_by"), at(2024, 3, 11, 3))
    incident |= {"incident_id": 4, "severity": "critical", "code": "CDM-LDZ-003", "occurrences": 2, "state": "open"}
    night.insert("incident", incident | {"title": "no file of customer", "escalated_steps": 0, **STAMP.row})
    morning = night.look()
    assert texts(morning.reasons) == ["red: open critical incident INC-4: no file of customer"]
    assert morning.colour is Colour.RED
    night.delete("incident", incident_id=4)
    acknowledged = {"state": "acknowledged", "acknowledged_by": "eva", "escalated_steps": 0, **STAMP.row}
    night.insert("incident", incident | acknowledged)
    assert night.look().colour is Colour.YELLOW
    assert night.look().incidents[0].acknowledged_by == "eva"
    night.delete("incident", incident_id=4)
    night.insert("incident", incident | acknowledged | {"state": "resolved"})
    assert night.look().colour is Colour.GREEN


def test_a_pipeline_says_when_its_tables_are_due(night: Night) -> None:
    night.delete("partition_load", table_key="ldz.ldz_customer", business_date=DUE)
    pipeline = Pipeline(
        pipeline="people",
        description="x",
        group="platform",
        primary_owner="team:a",
        secondary_owner="team:b",
        tables=("ldz.ldz_customer",),
        schedule="0 7 * * *",
        ready_by=time(8),
        alert_if_late_by_minutes=60,
        fix_within_hours=1,
        severity=Severity.MAJOR,
        on_call=OnCallPolicy.NONE,
    )
    catalog = night.site.catalog.model_copy(update={"pipelines": {"people": pipeline}})
    seen = {}
    for hour, minute in ((7, 59), (8, 30), (9, 30)):
        morning = night.look(NOON.replace(hour=hour, minute=minute), Tables(catalog))
        table = next(each for each in morning.tables if each.table == "ldz.ldz_customer")
        assert table.pipeline == "people"
        seen[hour] = table.colour
    assert seen == {7: Colour.GREY, 8: Colour.YELLOW, 9: Colour.RED}
    assert [duty.group for duty in morning.on_call] == ["platform"]
    assert morning.on_call[0].primary == "nobody", "the small site has no rota"


def test_series_hold_a_value_a_date_and_share_a_ranges_seconds(night: Night) -> None:
    morning = night.look()
    assert list(morning.history) == [day(n) for n in range(10)]
    landing = next(each for each in morning.tables if each.table == "ldz.ldz_customer").series
    assert list(landing.seconds) == [pytest.approx(2)] * 10
    assert list(landing.rows) == [7] * 10
    assert list(landing.error_rate) == [pytest.approx(0.1)] * 10, "records rejected of those read"
    vault = next(each for each in morning.tables if each.table == "rdv.h_customer").series
    assert list(vault.error_rate) == [0.0] * 10
    night.insert("check_result", night.check("rdv.h_customer", DUE, "links", passed=False))
    vault = next(each for each in night.look().tables if each.table == "rdv.h_customer").series
    assert vault.error_rate[-1] == pytest.approx(0.5)
    assert hop(night.look(), "mart → LDZ").series.rows[-1] == 28


def test_the_same_about_many_tables_is_one_reason(night: Night) -> None:
    night.delete("partition_load", business_date=DUE)
    night.delete("check_result", business_date=DUE)
    [reason] = hop(night.look(), "LDZ → RDV").reasons
    tables = sum(key.startswith("rdv.") for key in night.tables.partitioned)
    assert f"and {tables - 4} more: not loaded for {DUE}" in reason.text


def test_every_table_is_in_exactly_one_hop(site: Site) -> None:
    keys = [key for _, tables in hops_of(site.warehouse.tables) for key in tables]
    assert sorted(keys) == sorted(site.warehouse.tables.partitioned)


def test_the_shipped_tables_are_each_in_one_hop_and_predictions_are_written_back() -> None:
    tables = Tables(read_catalog(None))
    hops = dict(hops_of(tables))
    assert sorted(key for keys in hops.values() for key in keys) == sorted(tables.partitioned)
    assert {"ldz.ldz_prediction_table", "ldz.ldz_prediction_file"} <= set(hops["ML write-back"])
    assert "rdv.h_customer" in hops["LDZ → RDV"]
    assert all(key.startswith("metrics.") for key in hops["metrics"])


def test_the_due_date_is_the_day_before_within_the_sites_dates() -> None:
    dates = DateRange(date(2024, 3, 1), date(2024, 3, 31))
    assert due_date(datetime(2024, 3, 10, 0, 1, tzinfo=UTC), dates) == date(2024, 3, 9)
    assert due_date(datetime(2025, 1, 1, tzinfo=UTC), dates) == date(2024, 3, 31)
    assert due_date(datetime(2024, 3, 1, 23, tzinfo=UTC), dates) is None


def test_before_the_first_date_is_due_the_morning_is_grey_and_says_so(night: Night) -> None:
    morning = night.look(datetime(2024, 3, 1, 8, tzinfo=UTC))
    assert (morning.colour, morning.due_date) == (Colour.GREY, None)
    assert "nothing is due before the day after 2024-03-01" in morning.reasons[0].text


def test_json_holds_everything_that_was_found(night: Night) -> None:
    night.delete("landing_file", source="customer", business_date=DUE)
    found = json.loads(as_json(night.look()))
    assert (found["colour"], found["due_date"]) == ("red", DUE.isoformat())
    assert found["hops"][0]["colour"] == "red"
    assert found["tables"][0]["colour"] == "green"
    assert found["history"][-1] == DUE.isoformat()


def test_the_worst_colour_wins() -> None:
    assert worst([]) is Colour.GREEN
    assert worst([Colour.GREEN, Colour.GREY]) is Colour.GREY
    assert worst([Colour.GREY, Colour.YELLOW]) is Colour.YELLOW
    assert worst([Colour.YELLOW, Colour.RED]) is Colour.RED


def test_without_a_database_or_after_an_upgrade_the_morning_is_grey_and_says_what_to_do(
    site: Site, tmp_path: Path
) -> None:
    settings = Settings.from_environment({"CDM_HOME": str(tmp_path)})
    missing = morning_at(settings, site.warehouse.tables, at=NOON, wait_seconds=0)
    assert missing.colour is Colour.GREY
    assert "cdm run" in missing.reasons[0].text
    with (
        Warehouse.open_duckdb(settings.database_path, site.warehouse.tables) as warehouse,
        warehouse.transaction() as connection,
    ):
        connection.execute(sa.text("create schema cdp_metadata"))
    old = morning_at(settings, site.warehouse.tables, at=NOON, wait_seconds=0)
    assert old.colour is Colour.GREY
    assert "load_log" in old.reasons[0].text
    assert "cdm ddl --apply" in old.reasons[0].text


def test_a_years_control_tables_of_every_table_are_looked_at_in_seconds() -> None:
    tables = Tables(read_catalog(None))
    days = f"(select unnest(range(date '{day(0)}', date '{day(366)}', interval 1 day))::date as d)"
    keys = f"(select unnest({list(tables.partitioned)}) as k)"
    files = f"(select unnest({list(tables.catalog.sources)}) as s)"
    audit = "'run', timestamp '2024-03-02 08:00'"
    moment = "timestamp '2024-03-02 07:00'"
    fill = (
        f"insert into cdp_metadata.partition_load select k, d, 1000, {audit} from {keys}, {days}",
        f"insert into cdp_metadata.load_log select k, d, d, 9, 9, 9, 9, 1.5, {audit} from {keys}, {days}",
        (
            f"insert into cdp_metadata.check_result select k, 'check' || n, d, n <> 2, false, 'two', {audit} "
            f"from {keys}, {days}, (select unnest([1, 2, 3, 4, 5]) as n)"
        ),
        (
            "insert into cdp_metadata.landing_file by name select s as source, d as business_date, s as file_name, "
            f"'loaded' as state, {moment} as arrived_at, 1 as size_bytes, '' as sha256, '' as version, "
            f"'' as manifest_version, 1 as deliveries, {moment} as delivered_at, 9 as rows_read, 9 as rows_loaded, "
            f"0 as rows_rejected, 'run' as run_id, {moment} as load_ts from {files}, {days}"
        ),
    )
    with Warehouse.open_duckdb(None, tables) as warehouse:
        create_missing(warehouse)
        with warehouse.transaction() as connection:
            for statement in fill:
                connection.exec_driver_sql(statement)
        began = clock.perf_counter()
        morning = morning_of(warehouse, at=datetime.combine(day(366), time(20), tzinfo=UTC), dates=DATES)
        page = morning_html(morning)
        seconds = clock.perf_counter() - began
    assert morning.colour is Colour.GREEN, morning.reasons
    assert len(morning.checks) == 7 * len(tables.partitioned)
    assert page.count("<svg") == 3 * (len(tables.partitioned) + 7)
    assert seconds < 10, "the whole command is promised in ten seconds"
