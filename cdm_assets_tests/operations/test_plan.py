from datetime import date

import pytest

from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.plan import PlannedRun, changed_files, partitions_never_loaded, planned_runs, register_dates
from cdm_assets.operations.status import failed_checks, layer_statuses
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets_tests.bring_up_to_date import bring_up_to_date
from cdm_assets_tests.small_site import Site, day

DATES = DateRange(day(0), day(3))


class Planner:
    """A site with four days of files, loaded as planned."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.loads = TableLoads(site.warehouse.tables)
        for number in range(4):
            self.land(number)

    def land(self, number: int, amount: str = "1.00", name: str = "Ann") -> None:
        self.site.land("customer", [{"customer_id": "c1", "name": name}], day(number))
        self.site.land("assortment", [{"customer_id": "c1", "product_id": "p1"}], day(number))
        purchase = {"customer_id": "c1", "product_id": "p1", "amount": amount, "bought_at": f"{day(number)} 10:00:00"}
        self.site.land("purchase", [{"purchase_id": f"b{number}", **purchase}], day(number))
        if number == 0:
            self.site.land("product", [{"product_id": "p1", "label": "Tea", "price": "2.00"}], day(0))

    def never_loaded(self, dates: DateRange = DATES) -> list[PlannedRun]:
        with self.site.warehouse.connection() as connection:
            return planned_runs(partitions_never_loaded(connection, self.loads, dates), self.loads)

    def load(self) -> dict[str, set[date]]:
        """Load what is to be loaded; returns it."""
        return bring_up_to_date(self.site.warehouse, self.loads, DATES, self.site.area)


@pytest.fixture
def planner(site: Site) -> Planner:
    return Planner(site)


def test_at_first_everything_is_one_run(planner: Planner) -> None:
    assert planner.never_loaded() == [PlannedRun(DATES, planner.loads.in_order)]


def test_what_is_loaded_and_unchanged_is_not_loaded_again(planner: Planner) -> None:
    assert planner.load().keys() == set(planner.loads.in_order)
    assert planner.load() == {}


def test_a_changed_file_makes_its_date_stale_in_what_it_changes_and_nothing_else(planner: Planner) -> None:
    planner.load()
    planner.land(1, amount="9.00")
    loaded = planner.load()
    assert loaded["ldz.ldz_purchase"] == {day(1)}
    assert loaded["rdv.l_purchase"] == {day(1)}
    assert loaded["rdv.h_customer"] == {day(1)}, "the file feeds it, though nothing of it changed"
    assert "ldz.ldz_customer" not in loaded
    assert "rdv.s_customer_details" not in loaded
    assert all(days == {day(1)} for days in loaded.values())
    assert planner.load() == {}


def test_a_removed_file_makes_its_date_stale(planner: Planner) -> None:
    planner.load()
    planner.site.path("purchase", day(2)).unlink()
    assert planner.load()["ldz.ldz_purchase"] == {day(2)}


def test_a_withdrawn_file_can_be_left_alone(planner: Planner) -> None:
    planner.load()
    planner.site.path("purchase", day(2)).unlink()
    planner.land(1, amount="9.00")
    with planner.site.warehouse.transaction() as connection:
        register_dates(connection, planner.loads, DATES, planner.site.area, "test")
        assert changed_files(connection, planner.loads, DATES) == {"purchase": {day(1), day(2)}}
        assert changed_files(connection, planner.loads, DATES, withdrawn=False) == {"purchase": {day(1)}}


def test_a_new_date_is_one_run_of_that_date(planner: Planner) -> None:
    planner.load()
    planner.land(4)
    new = DateRange(day(4), day(4))
    assert planner.never_loaded(DateRange(day(0), day(4))) == [PlannedRun(new, planner.loads.in_order)]


def test_dates_apart_are_loaded_apart(planner: Planner) -> None:
    planner.load()
    for number in (0, 2):
        planner.land(number, amount="7.00")
    assert planner.load()["rdv.l_purchase"] == {day(0), day(2)}


def test_a_dropped_table_is_built_again_with_what_depends_on_it(planner: Planner) -> None:
    planner.load()
    warehouse = planner.site.warehouse
    with warehouse.transaction() as connection:
        warehouse.tables["rdv.h_product"].drop(connection)
    create_missing(warehouse)
    loaded = planner.load()
    assert loaded["rdv.h_product"] == set(DATES)
    assert "ldz.ldz_product" not in loaded
    assert planner.load() == {}


def test_a_refused_file_is_tried_again(planner: Planner) -> None:
    planner.site.land_text("customer", "no,header\n", day(2))
    planner.load()
    with planner.site.warehouse.connection() as connection:
        assert changed_files(connection, planner.loads, DATES) == {"customer": {day(2)}}
        assert changed_files(connection, planner.loads, DATES, refused=False) == {}
    planner.land(2, name="Eve")
    assert planner.load()["rdv.s_customer_details"] >= {day(2)}
    assert planner.load() == {}


def test_status_counts_each_layer_and_names_what_failed(planner: Planner) -> None:
    planner.site.land_text("customer", "no,header\n", day(2))
    planner.load()
    statuses = {status.layer.value: status for status in layer_statuses(planner.site.warehouse, DATES)}
    landing = statuses["ldz"]
    assert (landing.tables, landing.partitions, landing.rows) == (4, 16, 12)
    assert landing.checks_failed == 1
    assert landing.seconds > 0
    (failed,) = failed_checks(planner.site.warehouse, DATES, blocking=True)
    assert (failed.table, failed.business_date) == ("ldz.ldz_customer", day(2))
    assert failed.message.startswith("not loaded: ")
    assert layer_statuses(planner.site.warehouse, DateRange(day(0), day(0)))[0].partitions == 4
