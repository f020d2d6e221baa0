"""What the files in the landing area ask for, told from the register; time is a number that the tests set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.model import MaintenanceWindow
from cdm_assets.loading.landing_register import Look
from cdm_assets.loading.staleness import mark
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import LoadContext, NothingToLoad, TableLoads
from cdm_assets.operations import landing_watch
from cdm_assets.operations.alerts import Alert, AlertChanges, AlertKind, open_alerts, update_alerts
from cdm_assets.operations.landing_watch import MOST_DATES_A_RUN, Arrivals, DueRun, LandingWatch, Waiting
from cdm_assets.operations.pauses import pause_source, paused_sources, resume_source
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.landing_area import LandingArea
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import SOURCES, VAULT, Site, day, open_site

DATES = DateRange(day(0), day(9))
STOCK = """
source: stock
description: Stock; whole once its manifest says so.
delivery: events
files: {path: "stock/{date}/stock.csv", format: csv, may_be_absent: true, needs_manifest: true}
owners: ["team:stock-data"]
columns:
  - {name: stock_id, type: string(8), key: true}
  - {name: product_id, type: string(8), required: true}
feeds:
  hubs: {product: [product_id]}
  event: stock_level
"""
VAULT_EVENT = '  stock_level: {description: Stock., owners: ["team:stock-data"], hubs: [product]}\n'
SETTLED = landing_watch.SETTLED_SECONDS


def utc(day_number: int, hour: int = 0, minute: int = 0) -> datetime:
    """A time on the day after business date `day_number`, when its files are due."""
    after = day(day_number + 1)
    return datetime(after.year, after.month, after.day, hour, minute, tzinfo=UTC)


class Desk:
    """A site, a watch on its landing area, and the time."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.loads = TableLoads(site.warehouse.tables)
        self.seconds = 0.0
        self.now = utc(0, 5)
        self.touches = 0
        self.begin_watching()

    def begin_watching(self, area: LandingArea | None = None) -> None:
        """As a process does that has just started."""
        self.watch = LandingWatch(self.loads, area or self.site.area, clock=lambda: self.seconds)

    def stamp(self, run_id: str) -> Stamp:
        self.now += timedelta(microseconds=1)
        return Stamp(run_id, self.now.replace(tzinfo=None))

    def look(self, after_seconds: float = 0) -> Look:
        self.seconds += after_seconds
        with self.site.warehouse.transaction() as connection:
            return self.watch.look(connection, "look")

    def settle(self) -> Look:
        """Look until what lies there is whole."""
        self.look()
        return self.look(after_seconds=SETTLED)

    def land(self, source: str, number: int = 0, variant: str = "1") -> Path:
        rows: Mapping[str, Mapping[str, str]] = {
            "customer": {"customer_id": "c1", "name": f"Ann {variant}"},
            "product": {"product_id": "p1", "label": "Tea", "price": f"{variant}.00"},
            "assortment": {"customer_id": "c1", "product_id": "p1", "position": variant},
            "purchase": {
                "purchase_id": f"b{number}",
                "customer_id": "c1",
                "product_id": "p1",
                "amount": f"{variant}.00",
            }
            | {"bought_at": f"{day(number)} 10:00:00"},
            "stock": {"stock_id": f"s{number}{variant}", "product_id": "p1"},
        }
        path = self.site.land(source, [rows[source]], day(number))
        self.touch(path)
        if source == "stock":
            self.promise(number)
        return path

    def touch(self, path: Path) -> None:
        self.touches += 1
        os.utime(path, (1_500_000_000 + self.touches, 1_500_000_000 + self.touches))

    def promise(self, number: int = 0, source: str = "stock") -> None:
        self.touch(self.site.promise(source, day(number), rows=1))

    def land_day(self, number: int, *but: str, variant: str = "1") -> None:
        for source in self.site.catalog.sources:
            if source not in but:
                self.land(source, number, variant)

    def load(self, first: int = 0, last: int | None = None, *sources: str) -> None:
        """Load landing partitions, of all sources unless some are named; what is refused is refused."""
        dates = DateRange(day(first), day(first if last is None else last))
        for source in sources or self.site.catalog.sources:
            try:
                self.loads.load(
                    self.loads.landing_table(source),
                    dates,
                    LoadContext(self.site.warehouse, self.site.area, "k" * 32, "run"),
                )
            except NothingToLoad:
                continue

    @contextmanager
    def arrivals(self, now: datetime | None = None, dates: DateRange = DATES) -> Iterator[Arrivals]:
        with self.site.warehouse.connection() as connection:
            yield Arrivals(
                connection, self.loads, self.site.area, dates=dates, moving=self.watch.moving, now=now or self.now
            )

    def new(self, now: datetime | None = None, dates: DateRange = DATES) -> DueRun | Waiting:
        with self.arrivals(now, dates) as arrivals:
            return arrivals.new()

    def late(self, now: datetime | None = None) -> DueRun | Waiting:
        with self.arrivals(now) as arrivals:
            return arrivals.late()

    def corrected(self, now: datetime | None = None) -> DueRun | Waiting:
        with self.arrivals(now) as arrivals:
            return arrivals.corrected()

    def stale(self, now: datetime | None = None) -> DueRun | Waiting:
        with self.arrivals(now) as arrivals:
            return arrivals.stale()

    def pause(self, source: str, reason: str = "being rebuilt") -> None:
        with self.site.warehouse.transaction() as connection:
            pause_source(connection, self.loads.tables, source, reason, Stamp("operator"))

    def hold(self, system: str, cron: str = "0 5 * * *", minutes: int = 120) -> None:
        """Declare a maintenance window."""
        window = MaintenanceWindow(system=system, cron=cron, minutes=minutes)
        catalog = self.site.catalog.model_copy(update={"maintenance": {"nightly": window}})
        self.loads = TableLoads(Tables(catalog))

    def states(self) -> dict[tuple[str, date], str]:
        rows = self.site.rows("cdp_metadata.landing_file")
        return {(row["source"], row["business_date"]): row["state"] for row in rows}


@pytest.fixture(scope="module")
def open_watched_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("watched"), {**SOURCES, "stock": STOCK}, VAULT + VAULT_EVENT) as site:
        yield site


@pytest.fixture
def desk(open_watched_site: Site, monkeypatch: pytest.MonkeyPatch) -> Desk:
    open_watched_site.empty_all()
    desk = Desk(open_watched_site)
    monkeypatch.setattr(landing_watch, "Stamp", desk.stamp)
    return desk


def due(answer: DueRun | Waiting) -> DueRun:
    assert isinstance(answer, DueRun), answer
    return answer


def waits(answer: DueRun | Waiting) -> str:
    assert isinstance(answer, Waiting), answer
    return answer.reason


PLACE = ("customer", day(0))


def test_a_file_has_arrived_once_it_has_not_changed_for_a_while(desk: Desk) -> None:
    desk.land("customer")
    assert desk.look().still_moving == [PLACE]
    assert desk.watch.moving == {PLACE}
    assert desk.look(after_seconds=SETTLED - 0.1).still_moving == [PLACE]
    assert desk.states() == {}
    assert desk.look(after_seconds=0.1).arrived == [PLACE]
    assert desk.watch.moving == frozenset()
    assert desk.states() == {PLACE: "arrived"}
    assert desk.look(after_seconds=1) == Look()


def test_a_file_whose_size_moves_is_left_alone(desk: Desk) -> None:
    path = desk.land("customer")
    whole = path.read_bytes()
    for length in (10, 20, 30, len(whole)):
        path.write_bytes(whole[:length])
        assert desk.look(after_seconds=SETTLED).still_moving == [PLACE]
    assert desk.look(after_seconds=SETTLED).arrived == [PLACE]
    (row,) = desk.site.rows("cdp_metadata.landing_file")
    assert row["size_bytes"] == len(whole), "nothing of what it was before is known"


def test_a_file_whose_time_moves_is_left_alone(desk: Desk) -> None:
    path = desk.land("customer")
    for _ in range(3):
        desk.touch(path)
        assert desk.look(after_seconds=SETTLED * 2).still_moving == [PLACE]
    assert desk.look(after_seconds=SETTLED).arrived == [PLACE]


def test_a_loaded_file_that_is_being_rewritten_is_left_alone_too(desk: Desk) -> None:
    desk.land("customer")
    desk.settle()
    desk.load()
    path = desk.land("customer", variant="2")
    path.write_bytes(path.read_bytes()[:20])
    assert desk.look().still_moving == [PLACE]
    desk.land("customer", variant="2")
    assert desk.look(after_seconds=SETTLED).still_moving == [PLACE]
    assert desk.states() == {PLACE: "loaded"}
    assert desk.look(after_seconds=SETTLED).arrived == [PLACE]


def test_a_file_that_goes_away_is_no_longer_moving(desk: Desk) -> None:
    path = desk.land("customer")
    desk.look()
    path.unlink()
    assert desk.look(after_seconds=SETTLED) == Look()
    assert desk.watch.moving == frozenset()


def test_a_process_that_has_just_started_waits_a_few_seconds_and_loses_nothing(desk: Desk) -> None:
    desk.land("customer")
    desk.look()
    desk.seconds += SETTLED
    desk.begin_watching()
    assert desk.look().still_moving == [PLACE]
    assert desk.look(after_seconds=SETTLED).arrived == [PLACE]
    desk.begin_watching()
    assert desk.look() == Look()


def test_a_file_that_needs_its_manifest_waits_for_it(desk: Desk) -> None:
    path, place = desk.land("stock"), ("stock", day(0))
    manifest = path.parent / "_manifest.json"
    manifest.unlink()
    for _ in range(3):
        assert desk.look(after_seconds=SETTLED).still_moving == [place]
    manifest.write_text('{"files": [{"file": "other.csv", "rows": 1, "sha256": "ab"}]}')
    for _ in range(3):
        assert desk.look(after_seconds=SETTLED).still_moving == [place]
    desk.promise()
    assert desk.look(after_seconds=SETTLED).still_moving == [place], "it was not settled with this manifest yet"
    assert desk.look(after_seconds=SETTLED).arrived == [place]


def test_a_manifest_that_cannot_be_read_is_left_to_the_load_to_refuse(desk: Desk) -> None:
    path, place = desk.land("stock"), ("stock", day(0))
    (path.parent / "_manifest.json").write_text("{")
    desk.look()
    assert desk.look(after_seconds=SETTLED).arrived == [place]
    desk.load(0, 0, "stock")
    (row,) = desk.site.rows("cdp_metadata.landing_file")
    assert row["state"] == "rejected"
    assert row["reason"].startswith("stock/2024-03-01/_manifest.json: manifest: expected")


def test_in_an_object_store_a_file_is_whole_when_it_is_there(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LandingArea, "shows_only_whole_files", property(lambda _: True))
    monkeypatch.setattr(LandingArea, "_infos", _infos_of_folder)
    desk.land("customer")
    path = desk.land("stock")
    manifest = path.parent / "_manifest.json"
    text = manifest.read_bytes()
    manifest.unlink()
    look = desk.look()
    assert (look.arrived, look.still_moving) == ([PLACE], [("stock", day(0))])
    manifest.write_bytes(text)
    assert desk.look().arrived == [("stock", day(0))]


def _infos_of_folder(area: LandingArea) -> Iterator[tuple[str, Any]]:
    file_system, root = area._opened
    for path, info in file_system.find(root, detail=True).items():
        yield path[len(root) + 1 :], info


def test_files_that_no_source_expects_are_named(desk: Desk) -> None:
    desk.land("customer")
    (desk.site.landing_root / "2024-03-01" / "custmer.csv").write_text("a")
    (desk.site.landing_root / "2024-03-01" / ".customer.csv.part").write_text("a")
    assert desk.look().still_moving == [PLACE]
    assert desk.watch.unknown == ["2024-03-01/custmer.csv"]


def test_what_there_is_no_time_to_read_is_read_by_the_next_look(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.land_day(0)
    desk.look()
    with monkeypatch.context() as patch:
        patch.setattr(landing_watch, "READING_SECONDS", -1.0)
        assert len(desk.look(after_seconds=SETTLED).still_moving) == 5
    assert "may still be being written" in waits(desk.new())
    assert len(desk.look().arrived) == 5


def test_without_files_nothing_is_new(desk: Desk) -> None:
    desk.look()
    assert waits(desk.new()) == "No file is there for 2024-03-01 or a later date."
    assert waits(desk.late()) == waits(desk.corrected()) == "Nothing is loaded yet."


def test_a_date_starts_as_soon_as_every_file_is_there(desk: Desk) -> None:
    desk.land_day(0)
    desk.settle()
    run = due(desk.new(utc(0, 0, 5)))
    assert (run.why, run.dates, run.without, run.files, run.incomplete) == (
        "new",
        DateRange(day(0), day(0)),
        frozenset(),
        {},
        frozenset(),
    )
    assert run.says == "2024-03-01: every file that the day requires is there"
    assert run.key.startswith("new 2024-03-01 ")
    assert run.details == {"dates": "2024-03-01"}


def test_the_same_files_have_the_same_key_and_others_another(desk: Desk) -> None:
    desk.land_day(0)
    desk.settle()
    first = desk.new(utc(0, 7))
    desk.begin_watching()  # the process was killed between register and run request
    desk.settle()
    assert desk.new(utc(0, 8)) == first
    desk.land("customer", variant="2")
    desk.settle()
    second = due(desk.new(utc(0, 9)))
    assert second.key != due(first).key
    desk.land("purchase", variant="2")
    desk.settle()
    assert due(desk.new(utc(0, 9))).key not in {second.key, due(first).key}


def test_once_a_date_was_begun_it_is_new_no_more(desk: Desk) -> None:
    desk.land_day(0)
    desk.settle()
    desk.load()
    assert waits(desk.new()) == "No file is there for 2024-03-02 or a later date."


def test_a_date_of_which_a_file_was_refused_counts_as_begun(desk: Desk) -> None:
    desk.site.land_text("customer", "no,header\n")
    desk.settle()
    desk.load(0, 0, "customer")
    assert desk.states() == {PLACE: "rejected"}
    assert waits(desk.new()) == "No file is there for 2024-03-02 or a later date."


def test_optional_files_are_waited_for_until_they_are_due(desk: Desk) -> None:
    desk.land_day(0, "purchase", "product", "stock")
    desk.settle()
    assert waits(desk.new(utc(0, 5, 59))) == "2024-03-01: product, purchase, stock may still come."
    assert due(desk.new(utc(0, 6))).dates == DateRange(day(0), day(0))


def test_a_required_file_is_waited_for_until_the_deadline(desk: Desk) -> None:
    desk.land_day(0, "assortment")
    desk.settle()
    reason = "2024-03-01: assortment not there yet; it starts without at 2024-03-02 12:00 UTC."
    assert waits(desk.new(utc(0, 6))) == reason
    assert waits(desk.new(utc(0, 11, 59))) == reason
    run = due(desk.new(utc(0, 12)))
    assert (run.why, run.dates) == ("new, at the deadline", None)
    assert run.says == "2024-03-01: the deadline has passed; starting without assortment"
    assert run.files == {name: {day(0)} for name in ("customer", "product", "purchase", "stock")}
    assert run.incomplete == {day(0)}
    assert run.details == {"dates": "2024-03-01", "missing": "assortment"}
    assert run.key == due(desk.new(utc(0, 13))).key
    desk.land("assortment")
    desk.settle()
    assert due(desk.new(utc(0, 13))).dates == DateRange(day(0), day(0))


def test_past_the_deadline_files_that_still_come_are_waited_for(desk: Desk) -> None:
    desk.now = utc(0, 11, 55)
    desk.land("customer")
    desk.settle()
    assert waits(desk.new(utc(0, 12, 4))).endswith("not there yet; it starts without at 2024-03-02 12:05 UTC.")
    desk.now = utc(0, 12, 4)
    desk.land("purchase")
    desk.settle()
    assert waits(desk.new(utc(0, 12, 13))).endswith("it starts without at 2024-03-02 12:14 UTC.")
    assert due(desk.new(utc(0, 12, 15))).details["missing"] == "assortment"


def test_a_file_that_a_manifest_promises_is_waited_for(desk: Desk) -> None:
    desk.land_day(0, "product")
    desk.site.promise("product", rows=1, file="product.csv.gz")
    desk.settle()
    reason = "2024-03-01: product not there yet; it starts without at 2024-03-02 12:00 UTC."
    assert waits(desk.new(utc(0, 7))) == reason
    assert due(desk.new(utc(0, 12))).details["missing"] == "product"


def test_a_manifest_that_cannot_be_read_promises_nothing(desk: Desk) -> None:
    desk.land_day(0, "product")
    (desk.site.path("product").parent / "_manifest.json").write_text("{")
    desk.settle()
    assert due(desk.new(utc(0, 7))).why == "new"


def test_a_date_with_a_file_that_is_being_written_waits(desk: Desk) -> None:
    desk.land_day(0, "purchase")
    desk.settle()
    desk.land("purchase")
    desk.look()
    assert waits(desk.new(utc(0, 7))) == "2024-03-01: purchase may still be being written."
    desk.look(after_seconds=SETTLED)
    assert due(desk.new(utc(0, 7))).why == "new"


def test_many_dates_are_one_run(desk: Desk) -> None:
    for number in range(3):
        desk.land_day(number)
    desk.settle()
    run = due(desk.new(utc(9)))
    assert run.dates == DateRange(day(0), day(2))
    assert run.key.startswith("new 2024-03-01..2024-03-03 ")


def test_a_run_has_a_bounded_number_of_dates(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_DATES_A_RUN >= 366
    monkeypatch.setattr(landing_watch, "MOST_DATES_A_RUN", 2)
    for number in range(3):
        desk.land_day(number)
    desk.settle()
    assert due(desk.new(utc(9))).dates == DateRange(day(0), day(1))


def test_dates_that_are_whole_start_without_those_after_them(desk: Desk) -> None:
    desk.land_day(0)
    desk.land_day(1, "customer")
    desk.settle()
    assert due(desk.new(utc(1, 7))).dates == DateRange(day(0), day(0))
    assert due(desk.new(utc(1, 13))).dates == DateRange(day(0), day(0)), "first the whole ones, then the incomplete one"
    desk.load()
    assert due(desk.new(utc(1, 13))).details == {"dates": "2024-03-02", "missing": "customer"}


def test_a_run_never_spans_a_date_without_files(desk: Desk) -> None:
    desk.land_day(0)
    desk.land_day(2)
    desk.settle()
    assert due(desk.new(utc(2, 7))).dates == DateRange(day(0), day(0))


def test_dates_after_the_last_are_not_begun(desk: Desk) -> None:
    desk.land_day(0)
    desk.land_day(1)
    desk.settle()
    only_first = DateRange(day(0), day(0))
    assert due(desk.new(utc(1, 7), only_first)).dates == only_first
    desk.load()
    assert waits(desk.new(utc(1, 7), only_first)) == "Every date up to 2024-03-01 was begun."


def test_dates_before_the_first_are_not_begun(desk: Desk) -> None:
    desk.land_day(0)
    desk.land_day(1)
    desk.settle()
    assert due(desk.new(utc(1, 7), DateRange(day(1), day(9)))).dates == DateRange(day(1), day(1))


def test_a_date_starts_without_a_paused_source(desk: Desk) -> None:
    desk.land_day(0, "assortment")
    desk.settle()
    desk.pause("assortment")
    run = due(desk.new(utc(0, 7)))
    assert run.without == {"ldz.ldz_assortment"}
    assert run.says == "2024-03-01: every file that the day requires is there, without assortment (paused)"
    assert run.details == {"dates": "2024-03-01", "paused": "assortment"}


def test_a_paused_source_that_is_no_longer_declared_changes_nothing(desk: Desk) -> None:
    desk.land_day(0)
    desk.settle()
    desk.pause("gone")
    assert due(desk.new(utc(0, 7))).without == frozenset()


def test_the_files_of_a_paused_source_are_registered_and_start_nothing(desk: Desk) -> None:
    desk.land_day(0, "purchase")
    desk.settle()
    desk.load()
    desk.pause("purchase")
    desk.land("purchase")
    assert desk.settle().arrived == [("purchase", day(0))]
    assert waits(desk.late()) == "No late file. purchase: paused, or its system is in maintenance."
    with desk.site.warehouse.transaction() as connection:
        assert resume_source(connection, desk.loads.tables, "purchase")
    assert due(desk.late()).files == {"purchase": {day(0)}}


def test_at_the_deadline_a_paused_source_is_not_loaded_either(desk: Desk) -> None:
    desk.land_day(0, "assortment")
    desk.settle()
    desk.pause("purchase")
    assert due(desk.new(utc(0, 13))).files.keys() == {"customer", "product", "stock"}


def test_a_file_whose_manifest_never_comes_does_not_hold_its_date_for_ever(desk: Desk) -> None:
    desk.land_day(0, "assortment")
    (desk.site.path("stock").parent / "_manifest.json").unlink()
    desk.settle()
    due(desk.new(utc(5)))


def test_a_maintenance_window_of_the_sending_system_holds_new_dates(desk: Desk) -> None:
    desk.land_day(0)
    desk.settle()
    desk.hold("data_mart")
    held = "assortment, customer, product, purchase, stock held by maintenance nightly (data_mart)"
    assert waits(desk.new(utc(0, 5))) == f"2024-03-01: {held} until 2024-03-02 07:00 UTC."
    assert waits(desk.new(utc(0, 6, 59))).startswith("2024-03-01: assortment, customer")
    assert due(desk.new(utc(0, 7))).why == "new"


def test_a_maintenance_window_of_another_system_holds_nothing(desk: Desk) -> None:
    desk.land_day(0)
    desk.settle()
    desk.hold("elsewhere")
    assert due(desk.new(utc(0, 6))).why == "new"


def test_a_maintenance_window_of_a_system_holds_its_late_and_corrected_files(desk: Desk) -> None:
    desk.land_day(0, "purchase")
    desk.settle()
    desk.load()
    desk.land("purchase")
    desk.land("customer", variant="2")
    desk.settle()
    desk.hold("data_mart")
    assert waits(desk.late(utc(0, 6))) == "No late file. purchase: paused, or its system is in maintenance."
    assert waits(desk.corrected(utc(0, 6))) == "No corrected file. customer: paused, or its system is in maintenance."
    assert due(desk.late(utc(0, 7))).files == {"purchase": {day(0)}}
    assert due(desk.corrected(utc(0, 7))).files == {"customer": {day(0)}}


def test_a_maintenance_window_of_the_warehouse_holds_everything(desk: Desk) -> None:
    desk.land_day(0)
    desk.settle()
    desk.hold("warehouse")
    says = "maintenance nightly (warehouse) until 2024-03-02 07:00 UTC: what is due starts after it"
    for question in (desk.new, desk.late, desk.corrected, desk.stale):
        assert waits(question(utc(0, 6))) == says
    assert due(desk.new(utc(0, 7))).why == "new"


def test_a_file_for_a_date_that_was_begun_without_it_is_late(desk: Desk) -> None:
    desk.land_day(0, "purchase")
    desk.land_day(1)
    desk.settle()
    desk.load(0, 1)
    desk.now = utc(3, 10, 15)
    desk.land("purchase")
    desk.settle()
    run = due(desk.late())
    assert (run.why, run.dates) == ("late", None)
    assert (run.files, run.incomplete) == ({"purchase": {day(0)}}, {day(0)})
    assert run.says == "late: purchases/2024-03-01.csv"
    assert run.details == {"files": "purchases/2024-03-01.csv", "late_by": "3 days 04:15", "days_back": "1"}
    assert waits(desk.corrected()) == "No corrected file."
    assert waits(desk.new()) == "No file is there for 2024-03-03 or a later date."


def test_a_late_file_has_one_key_however_often_and_by_whom_it_is_asked_for(desk: Desk) -> None:
    desk.land_day(0, "purchase")
    desk.settle()
    desk.load()
    desk.land("purchase")
    desk.settle()
    first = due(desk.late())
    desk.begin_watching()
    desk.settle()
    assert desk.late() == first
    with desk.site.warehouse.transaction() as connection:
        register = desk.loads.tables["cdp_metadata.landing_file"]
        connection.execute(
            sa.update(register).where(register.c.state == "arrived").values(state="loading", run_id="begun")
        )
    assert desk.late() == first, "a run that has begun is the same run"
    desk.land("purchase", variant="2")
    desk.settle()
    assert due(desk.corrected()).key.removeprefix("corrected") != first.key.removeprefix("late")
    desk.load(0, 0, "purchase")
    assert waits(desk.late()) == "No late file."


def test_many_late_files_are_one_run_that_names_a_few(desk: Desk) -> None:
    numbers = range(7)
    for number in numbers:
        desk.land_day(number, "purchase")
    desk.settle()
    desk.load(0, 6)
    for number in numbers:
        desk.land("purchase", number)
    desk.settle()
    run = due(desk.late())
    assert run.files == {"purchase": {day(number) for number in numbers}}
    assert run.says.endswith("purchases/2024-03-05.csv and 2 more")


def test_late_files_outside_the_dates_start_nothing(desk: Desk) -> None:
    desk.land_day(0, "purchase")
    desk.land_day(1)
    desk.settle()
    desk.load(0, 1)
    desk.land("purchase")
    desk.settle()
    with desk.arrivals(dates=DateRange(day(1), day(9))) as arrivals:
        assert waits(arrivals.late()) == "No late file."


def test_a_new_content_of_a_loaded_file_is_a_correction(desk: Desk) -> None:
    desk.land_day(0)
    desk.land_day(1)
    desk.settle()
    desk.load(0, 1)
    assert waits(desk.corrected()) == "No corrected file."
    desk.land("customer", variant="2")
    desk.settle()
    run = due(desk.corrected())
    assert (run.why, run.files, run.details["days_back"]) == ("corrected", {"customer": {day(0)}}, "1")
    assert waits(desk.late()) == "No late file."
    desk.load(0, 0, "customer")
    assert waits(desk.corrected()) == "No corrected file."


def test_the_same_content_delivered_again_starts_nothing(desk: Desk) -> None:
    desk.land_day(0)
    desk.settle()
    desk.load()
    desk.land("customer")
    assert desk.settle().delivered_again == [PLACE]
    assert waits(desk.corrected()) == "No corrected file."
    assert waits(desk.late()) == "No late file."


def test_a_content_taken_back_after_it_was_loaded_is_a_correction_with_a_key_of_its_own(desk: Desk) -> None:
    desk.land_day(0)
    desk.settle()
    desk.load()
    keys = []
    for variant in ("2", "1", "2", "1"):
        desk.now += timedelta(hours=1)
        desk.land("customer", variant=variant)
        desk.settle()
        keys.append(due(desk.corrected()).key)
        desk.load(0, 0, "customer")
    assert len(set(keys)) == 4


@pytest.mark.parametrize("again", ["the same", "another"])
def test_a_refused_file_delivered_again_is_a_correction(desk: Desk, again: str) -> None:
    desk.land_day(0, "customer")
    refused = desk.site.land_text("customer", "no,header\n")
    desk.settle()
    desk.load()
    assert waits(desk.corrected()) == "No corrected file.", "it is not tried again by itself"
    desk.touch(refused) if again == "the same" else desk.land("customer")
    desk.now += timedelta(hours=1)
    desk.settle()
    run = due(desk.corrected())
    assert run.files == {"customer": {day(0)}}
    assert waits(desk.late()) == "No late file."


def test_a_refused_file_whose_manifest_is_corrected_is_a_correction(desk: Desk) -> None:
    desk.land_day(0, "customer")
    desk.land("customer")
    desk.site.promise("customer", sha256="ab" * 32)
    desk.settle()
    desk.load()
    assert desk.states()[PLACE] == "rejected"
    desk.promise(0, "customer")
    desk.settle()
    run = due(desk.corrected())
    assert run.files == {"customer": {day(0)}}
    desk.site.promise("customer", sha256="cd" * 32)
    desk.settle()
    assert due(desk.corrected()).key != run.key, "with another manifest it is another try"


def test_partitions_out_of_line_are_one_run(desk: Desk) -> None:
    assert waits(desk.stale()) == "Every loaded partition is in line with what it reads."
    tables = desk.loads.tables
    with desk.site.warehouse.transaction() as connection:
        mark(connection, tables, "rdv.h_product", [day(0), day(1)], "ldz.ldz_product changed", Stamp("run"))
        mark(connection, tables, "rdv.l_purchase", [day(0)], "ldz.ldz_purchase changed", Stamp("run"))
    run = due(desk.stale())
    because = "ldz.ldz_product changed, ldz.ldz_purchase changed"
    assert (run.why, run.files, run.dates, run.incomplete) == ("late events", {}, None, frozenset())
    assert run.says == f"3 partitions of 2 tables are out of line: {because}"
    assert run.details == {"dates": "2024-03-01..2024-03-02", "because": because}
    assert desk.stale() == run
    with desk.site.warehouse.transaction() as connection:
        mark(connection, tables, "rdv.l_purchase", [day(0)], "ldz.ldz_purchase changed", Stamp("another run"))
    assert due(desk.stale()).key != run.key, "marked anew, it is to be loaded anew"


def test_a_loaded_file_that_is_gone_is_told_with_what_to_do(desk: Desk) -> None:
    path = desk.land("purchase")
    desk.land("customer")
    desk.settle()
    desk.load(0, 0, "purchase")
    path.unlink()
    desk.site.path("customer").unlink()
    desk.look()
    with desk.arrivals() as arrivals:
        assert arrivals.withdrawn() == {
            ("purchase", day(0)): "purchases/2024-03-01.csv is no longer in the landing area; its rows stay until the "
            "job `repair` is run with the configuration {ops: {look_for_changed_files: {config: {withdrawn: "
            "{purchase: ['2024-03-01']}}}}}"
        }
        assert waits(arrivals.late()) == waits(arrivals.corrected()).replace("corrected", "late") == "No late file."
    desk.land("purchase", variant="2")
    desk.settle()
    with desk.arrivals() as arrivals:
        assert arrivals.withdrawn() == {}, "a file is there again"


def test_a_late_file_is_missing_until_it_arrives(desk: Desk) -> None:
    desk.land_day(0, "assortment", "purchase")
    desk.settle()
    with desk.arrivals(utc(0, 11, 59), DateRange(day(0), day(0))) as arrivals:
        assert arrivals.missing() == {}
    with desk.arrivals(utc(0, 12), DateRange(day(0), day(0))) as arrivals:
        missing = arrivals.missing()
    assert list(missing) == [("assortment", day(0))], "an optional file is never missing"
    says = missing["assortment", day(0)]
    assert says.startswith(
        "no file of source assortment for 2024-03-01, due 2024-03-02 06:00 UTC. Ask team:product-data. Affected: "
    )
    assert "rdv.s_assortment_details" in says
    desk.land("assortment")
    desk.settle()
    with desk.arrivals(utc(0, 12), DateRange(day(0), day(0))) as arrivals:
        assert arrivals.missing() == {}


def test_only_recent_dates_have_missing_files(desk: Desk) -> None:
    with desk.arrivals(utc(20), DATES) as arrivals:
        assert arrivals.missing() == {}
    with desk.arrivals(utc(12, 12), DATES) as arrivals:
        assert {source for source, _ in arrivals.missing()} == {"customer", "assortment"}
        assert {of_day for _, of_day in arrivals.missing()} == {day(6), day(7), day(8), day(9)}
    with desk.arrivals(utc(-3), DATES) as arrivals:
        assert arrivals.missing() == {}


def test_the_files_of_a_paused_source_are_not_missing(desk: Desk) -> None:
    desk.pause("assortment")
    with desk.arrivals(utc(0, 12), DateRange(day(0), day(0))) as arrivals:
        assert list(arrivals.missing()) == [PLACE]


def test_events_from_before_their_bound_are_told(desk: Desk) -> None:
    desk.land("purchase", 0)
    row = {"purchase_id": "b1", "customer_id": "c1", "product_id": "p1", "amount": "1.00"}
    for number, bought_at in ((1, "2024-02-29 00:00:00"), (2, "2024-02-29 23:59:59")):
        desk.site.land("purchase", [{**row, "bought_at": bought_at}], day(number))
    desk.load(0, 2, "purchase")
    now = datetime.now(UTC)
    with desk.arrivals(now) as arrivals:
        assert arrivals.events_beyond_bound() == {
            ("purchase", day(2)): "purchases/2024-03-03.csv holds an event of 2024-02-29 23:59, 48 hours before its "
            "date; the bound is 48. Its dates are rebuilt all the same. Ask team:sales-data"
        }, "48 hours before its date is within the bound, 48 hours and a second are not"
    with desk.arrivals(now + timedelta(days=8)) as arrivals:
        assert arrivals.events_beyond_bound() == {}, "it was loaded long ago"


def update(desk: Desk, kind: AlertKind, wanted: Mapping[tuple[str, date], str]) -> AlertChanges:
    with desk.site.warehouse.transaction() as connection:
        return update_alerts(connection, desk.loads.tables, kind, wanted, desk.stamp("sensor"))


def opened(desk: Desk, kind: AlertKind | None = None) -> list[Alert]:
    with desk.site.warehouse.connection() as connection:
        return open_alerts(connection, desk.loads.tables, kind)


def test_an_alert_opens_once_and_closes_once(desk: Desk) -> None:
    first = update(desk, AlertKind.MISSING, {PLACE: "not there"})
    assert [(alert.kind, alert.source, alert.message) for alert in first.opened] == [
        ("missing file", "customer", "not there")
    ]
    assert opened(desk) == list(first.opened)
    assert update(desk, AlertKind.MISSING, {PLACE: "not there"}) == AlertChanges([], [])
    last = update(desk, AlertKind.MISSING, {})
    assert (last.opened, last.closed) == ([], list(first.opened))
    assert opened(desk) == []
    assert update(desk, AlertKind.MISSING, {}) == AlertChanges([], [])
    (row,) = desk.site.rows("cdp_metadata.alert")
    assert row["opened_at"] < row["closed_at"]


def test_an_alert_that_comes_back_is_another_one(desk: Desk) -> None:
    for wanted in ({PLACE: "first"}, {}, {PLACE: "second"}, {}):
        update(desk, AlertKind.MISSING, wanted)
    rows = sorted(desk.site.rows("cdp_metadata.alert"), key=lambda row: row["opened_at"])
    assert [row["message"] for row in rows] == ["first", "second"]
    assert rows[0]["closed_at"] < rows[1]["opened_at"] < rows[1]["closed_at"]


def test_alerts_of_one_kind_leave_those_of_another_alone(desk: Desk) -> None:
    update(desk, AlertKind.MISSING, {PLACE: "not there"})
    update(desk, AlertKind.WITHDRAWN, {PLACE: "gone"})
    update(desk, AlertKind.MISSING, {})
    assert [alert.kind for alert in opened(desk)] == ["withdrawn file"]
    assert opened(desk, AlertKind.MISSING) == []


def test_of_many_alerts_only_those_that_are_over_close(desk: Desk) -> None:
    wanted = {("customer", day(number)): f"{number}" for number in range(3)}
    update(desk, AlertKind.MISSING, wanted)
    changes = update(desk, AlertKind.MISSING, {("customer", day(1)): "1", ("product", day(1)): "new"})
    assert [alert.business_date for alert in changes.closed] == [day(0), day(2)]
    assert [alert.source for alert in changes.opened] == ["product"]
    assert {(alert.source, alert.message) for alert in opened(desk)} == {("customer", "1"), ("product", "new")}


def test_a_long_message_is_cut(desk: Desk) -> None:
    (alert,) = update(desk, AlertKind.MISSING, {PLACE: "x" * 3000}).opened
    assert len(alert.message) == 2000
    assert opened(desk) == [alert]


def test_an_alert_that_was_not_committed_opens_again(desk: Desk) -> None:
    with desk.site.warehouse.connection() as connection:
        transaction = connection.begin()
        update_alerts(connection, desk.loads.tables, AlertKind.MISSING, {PLACE: "not there"}, desk.stamp("sensor"))
        transaction.rollback()
    assert len(update(desk, AlertKind.MISSING, {PLACE: "not there"}).opened) == 1


def test_a_pause_is_on_until_it_is_turned_off(desk: Desk) -> None:
    tables = desk.loads.tables
    with desk.site.warehouse.transaction() as connection:
        assert not resume_source(connection, tables, "customer")
        pause_source(connection, tables, "customer", "being rebuilt", Stamp("operator"))
        pause_source(connection, tables, "product", "moved", Stamp("operator"))
        pause_source(connection, tables, "customer", "still being rebuilt", Stamp("operator"))
        assert paused_sources(connection, tables) == {"customer": "still being rebuilt", "product": "moved"}
        assert resume_source(connection, tables, "customer")
        assert not resume_source(connection, tables, "customer")
        assert paused_sources(connection, tables) == {"product": "moved"}


def test_a_day_of_files_goes_all_the_way_to_loaded_and_asks_for_nothing_more(desk: Desk) -> None:
    desk.land_day(0)
    desk.settle()
    assert due(desk.new(utc(0, 7))).dates == DateRange(day(0), day(0))
    desk.load()
    desk.settle()
    now = utc(0, 13)
    only = DateRange(day(0), day(0))
    with desk.arrivals(now, only) as arrivals:
        assert arrivals.hold is None
        assert waits(arrivals.new()) == "Every date up to 2024-03-01 was begun."
        assert waits(arrivals.late()) == "No late file."
        assert waits(arrivals.corrected()) == "No corrected file."
        assert (arrivals.withdrawn(), arrivals.missing(), arrivals.events_beyond_bound()) == ({}, {}, {})
    assert set(desk.states().values()) == {"loaded"}
