"""Which dates a run may be for: Day 0, one date after the other, and what is refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdm_assets.loading.date_control import (
    CONTROL,
    Changed,
    DateControl,
    DateNotAllowed,
    SourceDates,
    UnknownSource,
    require_allowed,
    source_dates,
    uses,
)
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.warehouse.dates import ONE_DAY, DateRange
from cdm_assets.warehouse.landing_area import LandingArea
from cdm_assets_tests.small_site import PRODUCT, PURCHASE, VAULT, Site, day, open_site

START = date(2024, 1, 1)
SOURCES = {"product": PRODUCT, "purchase": PURCHASE}
HUBS = VAULT.replace(VAULT[VAULT.index("links:") : VAULT.index("events:")], "")


@dataclass(repr=False)
class Controlled:
    """A site, its control table, and short names for what a run does."""

    site: Site

    @property
    def control(self) -> DateControl:
        return DateControl(self.site.warehouse.tables, self.site.area, START)

    @property
    def rows(self) -> dict[str, SourceDates]:
        with self.site.warehouse.connection() as connection:
            return source_dates(connection, self.site.warehouse.tables)

    def file(self, *days: int, source: str = "product") -> None:
        for number in days:
            if source == "product":
                self.site.land(source, [{"product_id": "p1", "label": "Tea"}], day(number))
            else:
                row = {"purchase_id": f"b{number}", "customer_id": "c", "product_id": "p1", "amount": 1}
                self.site.land(source, [{**row, "bought_at": f"{day(number)} 10:00:00"}], day(number))

    def update(self, run_id: str = "update") -> list[Changed]:
        with self.site.warehouse.transaction() as connection:
            return self.control.update(connection, Stamp(run_id))

    def begin(self, first: int, last: int | None = None, *sources: str, elsewhere: tuple[DateRange, ...] = ()) -> None:
        """What the gate does for a run; the transaction is rolled back if it is refused."""
        dates = DateRange(day(first), day(first if last is None else last))
        named = sources or tuple(self.site.catalog.sources)
        with self.site.warehouse.transaction() as connection:
            self.control.begin_run(connection, dates, named, Stamp("run"), begun_elsewhere=lambda: elsewhere)

    def load(self, source: str, first: int, last: int | None = None) -> None:
        """The load itself, of the landing zone."""
        loads = TableLoads(self.site.warehouse.tables)
        dates = DateRange(day(first), day(first if last is None else last))
        loads.load(f"ldz.ldz_{source}", dates, LoadContext(self.site.warehouse, self.site.area, "k" * 32, "run"))

    def note_loaded(self, source: str, first: int, last: int) -> None:
        """What a load leaves in the control tables, without loading: quick enough for many examples."""
        table = self.site.warehouse.tables["cdp_metadata.partition_load"]
        row = {"table_key": f"ldz.ldz_{source}", "rows_in_partition": 0, **Stamp("run").row}
        rows = [{**row, "business_date": each} for each in DateRange(day(first), day(last))]
        with self.site.warehouse.transaction() as connection:
            connection.execute(sa.insert(table), rows)

    def move(
        self, *, advance_to: int | None = None, day_zero: int | None = None, sources: tuple[str, ...] = ()
    ) -> None:
        with self.site.warehouse.transaction() as connection:
            self.control.move(
                connection,
                Stamp("move"),
                advance_to=None if advance_to is None else day(advance_to),
                day_zero=None if day_zero is None else day(day_zero),
                sources=sources,
            )

    def refusal(self, first: int, last: int | None = None, *sources: str) -> str:
        with pytest.raises(DateNotAllowed) as refused:
            self.begin(first, last, *sources)
        return str(refused.value)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    with open_site(tmp_path_factory.mktemp("dates"), SOURCES, HUBS) as site:
        yield Controlled(site)


@pytest.fixture
def site(shared: Controlled) -> Controlled:
    shared.site.empty_all()
    return shared


def test_day_zero_is_the_earliest_file_and_the_previous_date_the_day_before_it(site: Controlled) -> None:
    site.file(3, 4, 2)
    assert [str(change) for change in site.update()] == [
        "product (B): Day 0 2024-03-03, previous 2024-03-02, next 2024-03-03",
        "purchase (T): Day 0 no file yet, previous 2023-12-31, next 2024-01-01",
    ]
    row = site.rows["product"]
    assert (row.earliest_date, row.previous_business_date, row.current_business_date) == (day(2), day(1), None)
    assert row.previous_start_time is None
    assert row.current_start_time is None


def test_a_source_cut_by_event_times_uses_timestamps_and_one_of_lists_business_dates(site: Controlled) -> None:
    assert {name: uses(source) for name, source in site.site.catalog.sources.items()} == {
        "product": "B",
        "purchase": "T",
    }


def test_an_update_can_be_repeated_and_then_changes_nothing(site: Controlled) -> None:
    site.file(0)
    assert site.update()
    with site.site.warehouse.connection() as connection:
        before = connection.execute(sa.select(site.site.warehouse.tables[CONTROL])).all()
    assert site.update("another run") == []
    with site.site.warehouse.connection() as connection:
        assert connection.execute(sa.select(site.site.warehouse.tables[CONTROL])).all() == before


def test_an_update_that_only_plans_writes_nothing(site: Controlled) -> None:
    site.file(0)
    with site.site.warehouse.transaction() as connection:
        planned = site.control.update(connection, Stamp("plan"), write=False)
    assert [change.after.source for change in planned] == ["product", "purchase"]
    assert site.rows == {}


def test_day_zero_comes_with_the_first_file_that_arrives_after_the_setup(site: Controlled) -> None:
    site.update()
    site.file(7)
    site.begin(7)
    site.load("product", 7)
    site.update()
    row = site.rows["product"]
    assert (row.earliest_date, row.previous_business_date, row.current_business_date) == (day(7), day(6), day(7))


def test_files_that_came_after_the_setup_are_no_less_left_out(site: Controlled) -> None:
    site.update()
    site.file(0, 1, 2)
    assert "2024-03-01..2024-03-02" in site.refusal(2)
    site.begin(0, 2)


def test_an_earlier_file_that_comes_later_is_day_zero_then(site: Controlled) -> None:
    site.file(0, source="purchase")
    site.file(3)
    site.update()
    site.begin(0, 3)
    site.load("product", 0, 3)
    site.file(1)
    site.load("product", 1)
    site.update()
    row = site.rows["product"]
    assert (row.earliest_date, row.current_business_date, row.next_business_date) == (day(1), day(3), day(4))


def test_each_run_goes_one_date_forward_and_the_table_follows_what_it_loaded(site: Controlled) -> None:
    site.file(0, 1, 2)
    site.update()
    site.begin(0)
    begun = site.rows["product"]
    assert (begun.current_business_date, begun.next_business_date) == (None, day(1))
    site.load("product", 0)
    site.update()
    site.begin(1, 2)
    site.load("product", 1, 2)
    site.update()
    row = site.rows["product"]
    assert (row.previous_business_date, row.current_business_date, row.next_business_date) == (day(0), day(2), day(3))
    assert row.previous_start_time == begun.current_start_time
    assert row.current_start_time is not None
    assert row.previous_start_time is not None
    assert row.current_start_time > row.previous_start_time


def test_a_run_that_leaves_files_out_is_refused_and_told_which_command_to_run(site: Controlled) -> None:
    site.file(0, 1, 2, 3, 4)
    site.update()
    site.begin(0, 1)
    refusal = site.refusal(4)
    assert "2024-03-05 would leave out 2 dates whose files are there: 2024-03-03..2024-03-04" in refusal
    assert "cdm run --start 2024-03-03 --end 2024-03-05" in refusal
    assert "cdm dates advance 2024-03-05" in refusal
    assert site.rows["product"].next_business_date == day(2)


def test_days_without_any_file_are_no_gap(site: Controlled) -> None:
    site.file(0, 3)
    site.update()
    site.begin(0)
    site.begin(3)
    assert site.rows["product"].next_business_date == day(4)


def test_a_run_far_beyond_what_there_is_is_refused(site: Controlled) -> None:
    site.file(0)
    site.update()
    site.begin(0)
    refusal = site.refusal(300, 310)
    assert "beyond the next date, which is 2024-03-02, and no file of it is in the landing area" in refusal
    assert "cdm run --start 2024-03-02" in refusal


def test_the_date_after_the_newest_may_begin_without_a_file_and_a_range_from_it_may_be_long(site: Controlled) -> None:
    site.file(0)
    site.update()
    site.begin(0)
    site.begin(1, 40)
    assert site.rows["product"].next_business_date == day(41)


def test_a_run_before_day_zero_is_refused_until_a_file_of_it_is_there(site: Controlled) -> None:
    site.file(5)
    site.update()
    refusal = site.refusal(2)
    assert "2024-03-03 is before Day 0: the earliest date of which there is a file is 2024-03-06" in refusal
    assert "cdm dates day-zero 2024-03-03" in refusal
    site.file(2)
    site.begin(2)
    row = site.rows["product"]
    assert (row.earliest_date, row.previous_business_date, row.next_business_date) == (day(2), day(1), day(3))


def test_an_operator_may_declare_an_earlier_day_zero(site: Controlled) -> None:
    site.file(5)
    site.update()
    site.move(day_zero=2)
    site.begin(2)
    assert site.rows["product"].earliest_date == day(2)


def test_a_late_file_before_day_zero_of_a_site_that_runs_lowers_day_zero_only(site: Controlled) -> None:
    site.file(5, 6)
    site.update()
    site.begin(5, 6)
    site.load("product", 5, 6)
    site.update()
    site.file(1)
    site.begin(1)
    row = site.rows["product"]
    assert (row.earliest_date, row.current_business_date, row.next_business_date) == (day(1), day(6), day(7))


def test_dates_behind_the_newest_are_allowed_in_any_order(site: Controlled) -> None:
    site.file(*range(6))
    site.update()
    site.begin(0, 5)
    for number in (3, 0, 5, 1, 4, 2, 3):
        site.begin(number)
        site.load("product", number)
    site.update()
    row = site.rows["product"]
    assert (row.current_business_date, row.next_business_date) == (day(5), day(6))


def test_files_left_out_on_purpose_are_no_gap_any_more(site: Controlled) -> None:
    site.file(*range(6))
    site.update()
    site.begin(0)
    site.move(advance_to=5)
    site.begin(5)
    site.begin(2)  # and can still be loaded


def test_moving_back_moves_nothing(site: Controlled) -> None:
    site.file(0, 1, 2)
    site.update()
    site.begin(0, 2)
    site.move(advance_to=1)
    assert site.rows["product"].next_business_date == day(3)


def test_only_the_sources_named_are_moved_and_a_name_that_is_none_is_refused(site: Controlled) -> None:
    site.file(0)
    site.update()
    site.move(advance_to=4, sources=("purchase",))
    assert site.rows["product"].next_business_date == day(0)
    assert site.rows["purchase"].next_business_date == day(4)
    with pytest.raises(UnknownSource, match="unknown source 'purchas'; did you mean 'purchase'"):
        site.move(advance_to=4, sources=("purchas",))


def test_the_first_run_of_a_site_that_was_never_set_up_begins_where_its_range_does(site: Controlled) -> None:
    site.file(*range(10))
    site.begin(4, 5)
    row = site.rows["product"]
    assert (row.earliest_date, row.previous_business_date, row.next_business_date) == (day(4), day(3), day(6))
    assert "2024-03-07..2024-03-08" in site.refusal(8)
    site.begin(0, 3)  # older files are there: Day 0 moves to them
    assert site.rows["product"].earliest_date == day(0)


def test_a_site_loaded_before_there_was_a_control_table_goes_on_where_it_is(site: Controlled) -> None:
    site.file(0, 1, 2, 3, 4)
    site.load("product", 0, 2)
    site.begin(3)
    row = site.rows["product"]
    assert (row.earliest_date, row.current_business_date, row.next_business_date) == (day(0), day(2), day(4))


def test_a_source_that_lags_behind_catches_up_in_any_order_and_holds_nobody_up(site: Controlled) -> None:
    site.file(*range(5))
    site.file(*range(5), source="purchase")
    site.update()
    site.begin(0, None, "product", "purchase")
    for number in (1, 2, 3):
        site.begin(number, None, "product")  # without purchase, which is paused
    site.begin(4, None, "product", "purchase")
    for number in (2, 1, 3):
        site.begin(number, None, "purchase")
    assert {name: row.next_business_date for name, row in site.rows.items()} == {"product": day(5), "purchase": day(5)}


def test_a_refused_file_counts_as_begun(site: Controlled) -> None:
    site.file(0)
    site.site.land_text("product", "nothing that fits\n1\n", day(1))
    site.update()
    site.begin(0, 1)
    with pytest.raises(Exception, match="no partition of 2024-03-02 could be loaded"):
        site.load("product", 1)
    site.update()
    assert site.rows["product"].current_business_date == day(1)


def test_runs_queued_before_count_as_begun(site: Controlled) -> None:
    site.file(0, 1, 2, 3)
    site.update()
    site.begin(0)
    site.begin(3, elsewhere=(DateRange(day(2), day(2)), DateRange(day(1), day(1))))
    assert site.rows["product"].next_business_date == day(4)


def test_a_load_outside_of_a_run_is_refused_before_it_writes_anything(site: Controlled) -> None:
    site.file(0, 1, 2, 3)
    site.update()
    site.begin(0)
    with pytest.raises(DateNotAllowed, match="would leave out 2 dates"):
        site.load("product", 3)
    assert site.site.registered("product") == []
    site.load("product", 0)
    site.load("product", 1)


def test_a_source_that_is_new_in_the_catalog_gets_its_row_with_the_next_update(site: Controlled) -> None:
    site.file(0, 1)
    site.file(1, source="purchase")
    site.update()
    site.begin(0)
    table = site.site.warehouse.tables[CONTROL]
    with site.site.warehouse.transaction() as connection:
        connection.execute(sa.delete(table).where(table.c.source == "purchase"))
    (added,) = site.update()
    assert (added.before, added.after.earliest_date, added.after.source) == (None, day(1), "purchase")


def test_a_landing_area_that_is_not_there_yet_leaves_day_zero_open(site: Controlled, tmp_path: Path) -> None:
    nowhere = DateControl(site.site.warehouse.tables, LandingArea(tmp_path / "nowhere", tmp_path / "archive"), START)
    with site.site.warehouse.transaction() as connection:
        changed = nowhere.update(connection, Stamp("setup"))
    assert [change.after.earliest_date for change in changed] == [None, None]
    assert [change.after for change in nowhere.first_look()] == [change.after for change in changed]


DATES = st.integers(0, 9)
RANGES = st.tuples(DATES, st.integers(0, 3)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.sets(DATES, min_size=1), runs=st.lists(RANGES, min_size=1, max_size=6), is_set_up=st.booleans())
def test_runs_that_are_allowed_never_leave_a_file_out(
    site: Controlled, files: set[int], runs: list[tuple[int, int]], is_set_up: bool
) -> None:
    """Law: whatever is asked for, the files between the first run's first date and the newest are all in some run.

    And nothing that was begun is ever refused again.
    """
    site.site.empty_all()
    site.file(*files)
    if is_set_up:
        site.update()
    begun: set[int] = set()
    first = None
    for low, high in runs:
        try:
            site.begin(low, high)
        except DateNotAllowed:
            assert not set(range(low, high + 1)) <= begun
            continue
        site.note_loaded("product", low, high)
        first = low if first is None else first
        begun |= set(range(low, high + 1))
        assert {number for number in files if first <= number <= max(begun)} <= begun
    if begun:
        assert site.rows["product"].next_business_date <= day(max(begun)) + ONE_DAY
        with site.site.warehouse.connection() as connection:
            for number in begun:
                whole_day = DateRange(day(number), day(number))
                require_allowed(connection, site.site.warehouse.tables, whole_day, site.site.area)
