from datetime import timedelta

import pytest

from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.operations.plan import PlannedRun, planned_runs, stale_partitions
from cdm_assets.operations.status import failed_checks, layer_statuses
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets_tests.small_site import Site, day

DATES = DateRange(day(0), day(3))


class Planner:
    """A site with four days of files, loaded as planned."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.loads = TableLoads(site.warehouse.tables)
        self.runs = 0
        for number in range(4):
            self.land(number)

    def land(self, number: int, amount: str = "1.00") -> None:
        self.site.land("customer", [{"customer_id": "c1", "name": "Ann"}], day(number))
        self.site.land("assortment", [{"customer_id": "c1", "product_id": "p1"}], day(number))
        purchase = {"customer_id": "c1", "product_id": "p1", "amount": amount, "bought_at": f"{day(number)} 10:00:00"}
        self.site.land("purchase", [{"purchase_id": f"b{number}", **purchase}], day(number))
        if number == 0:
            self.site.land("product", [{"product_id": "p1", "label": "Tea", "price": "2.00"}], day(0))

    def plan(self) -> list[PlannedRun]:
        stale = stale_partitions(self.site.warehouse, self.loads, DATES, self.site.landing_root)
        return planned_runs(stale, self.loads)

    def load(self) -> None:
        for run in self.plan():
            for key in run.tables:
                self.runs += 1
                context = LoadContext(self.site.warehouse, self.site.landing_root, "k" * 32, f"run-{self.runs}")
                self.loads.load(key, run.dates, context)


@pytest.fixture
def planner(site: Site) -> Planner:
    return Planner(site)


def test_at_first_everything_is_one_run(planner: Planner) -> None:
    assert planner.plan() == [PlannedRun(DATES, planner.loads.in_order)]


def test_what_is_loaded_and_unchanged_is_not_loaded_again(planner: Planner) -> None:
    planner.load()
    assert planner.plan() == []


def test_a_changed_file_makes_its_date_stale_in_what_reads_it_and_nothing_else(planner: Planner) -> None:
    planner.load()
    planner.land(1, amount="9.00")
    (run,) = planner.plan()
    assert run.dates == DateRange(day(1), day(1))
    assert "ldz.ldz_purchase" in run.tables
    assert "rdv.l_purchase" in run.tables
    assert "ldz.ldz_customer" not in run.tables
    assert "rdv.s_customer_details" not in run.tables
    planner.load()
    assert planner.plan() == []


def test_a_removed_file_makes_its_date_stale(planner: Planner) -> None:
    planner.load()
    planner.site.path("purchase", day(2)).unlink()
    assert [run.dates for run in planner.plan()] == [DateRange(day(2), day(2))]


def test_a_new_date_is_one_run_of_that_date(planner: Planner) -> None:
    planner.load()
    later = DateRange(day(0), day(4))
    planner.land(4)
    stale = stale_partitions(planner.site.warehouse, planner.loads, later, planner.site.landing_root)
    assert planned_runs(stale, planner.loads) == [PlannedRun(DateRange(day(4), day(4)), planner.loads.in_order)]


def test_dates_apart_are_runs_apart(planner: Planner) -> None:
    planner.load()
    for number in (0, 2):
        planner.land(number, amount="7.00")
    assert [run.dates.first for run in planner.plan()] == [day(0), day(2)]


def test_a_dropped_table_is_built_again_with_what_depends_on_it(planner: Planner) -> None:
    planner.load()
    warehouse = planner.site.warehouse
    with warehouse.transaction() as connection:
        warehouse.tables["rdv.h_product"].drop(connection)
    create_missing(warehouse)
    (run,) = planner.plan()
    assert run.dates == DATES
    assert "rdv.h_product" in run.tables
    assert "ldz.ldz_product" not in run.tables
    planner.load()
    assert planner.plan() == []


def test_a_refused_file_is_tried_again(planner: Planner) -> None:
    planner.site.land_text("customer", "no,header\n", day(2))
    planner.load()
    assert {run.dates for run in planner.plan()} == {DateRange(day(2), day(2))}
    planner.land(2)
    planner.load()
    assert planner.plan() == []


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
    one_day = DateRange(day(0), day(0) + timedelta(days=0))
    assert layer_statuses(planner.site.warehouse, one_day)[0].partitions == 4
