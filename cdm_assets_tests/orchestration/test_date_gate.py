"""Real Dagster runs against the control of dates: allowed ones move it on, others fail before their first step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dagster import (
    AssetsDefinition,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    Definitions,
    ExecuteInProcessResult,
    JobDefinition,
)
from dagster._core.test_utils import create_run_for_test

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.date_control import SourceDates, source_dates
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.setup import DATE_CONTROL_UPDATE, DDL_EXECUTION, VARIABLE_SYNC
from cdm_assets.orchestration.assets import WAREHOUSE_RESOURCE, daily_partitions, table_assets
from cdm_assets.orchestration.date_gate import dates_of_run
from cdm_assets.orchestration.repair import LOOK_OP, repair_job
from cdm_assets.orchestration.setup_jobs import op_of, setup_jobs
from cdm_assets.orchestration.warehouse_resource import warehouse_resource
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import PRODUCT, VAULT, day, write_catalog

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]
HUB = "hubs:\n" + VAULT[VAULT.index("  product:") : VAULT.index("links:")]
SECRET = "hunter2-hunter2-hunter2-hunter2"


@dataclass(repr=False)
class GatedSite:
    """A site of one source on disk, with the definitions that a code location would have."""

    settings: Settings
    loads: TableLoads
    assets: list[AssetsDefinition]
    instance: DagsterInstance

    def file(self, *days: int) -> None:
        for number in days:
            path = Path(self.settings.landing_root) / f"{day(number)}" / "product.csv"
            path.parent.mkdir(parents=True)
            path.write_text("product_id,label,price\np1,Tea,1.50\n")

    def run(self, first: int, last: int | None = None, *, only: str | None = None) -> ExecuteInProcessResult:
        """What the UI does for *Materialize* of a date, or of a range."""
        tags = {"dagster/partition": f"{day(first)}"}
        if last is not None:
            tags = {
                "dagster/asset_partition_range_start": f"{day(first)}",
                "dagster/asset_partition_range_end": f"{day(last)}",
            }
        job = Definitions(assets=self.assets, resources=self.resources).resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[asset.key for asset in self.assets if only in (None, asset.key.path[-1])],
            partition_key=f"{day(first)}" if last is None else None,
            tags=tags,
            raise_on_error=False,
        )

    @property
    def resources(self) -> dict[str, Any]:
        return {WAREHOUSE_RESOURCE: warehouse_resource(self.settings, self.loads)}

    @property
    def row(self) -> SourceDates:
        with self.open() as warehouse, warehouse.connection() as connection:
            return source_dates(connection, self.loads.tables)["product"]

    def open(self) -> Warehouse:
        return Warehouse.open(self.settings, self.loads.tables)

    def count(self, key: str) -> int:
        with self.open() as warehouse, warehouse.connection() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(self.loads.tables[key])).scalar_one())

    def job(self, name: str) -> JobDefinition:
        return {job.name: job for job in setup_jobs(self.loads, self.settings)}[name]

    def execute(self, name: str, **config: Any) -> ExecuteInProcessResult:
        """Run one of the setup jobs."""
        run_config = {"ops": {op_of(name): {"config": config}}} if config else None
        return self.job(name).execute_in_process(instance=self.instance, run_config=run_config, raise_on_error=False)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[GatedSite]:
    source = PRODUCT.replace("product.csv.gz", "product.csv")
    catalog = read_catalog(shipped=write_catalog(tmp_path / "catalog", {"product": source}, HUB))
    environment = {"CDM_HOME": str(tmp_path), "CDM_START_DATE": "2024-01-01", "CDM_END_DATE": "2024-12-31"}
    settings = Settings.from_environment(environment)
    loads = TableLoads(Tables(catalog))
    (tmp_path / "landing").mkdir()
    with DagsterInstance.ephemeral() as instance:
        yield GatedSite(settings, loads, table_assets(loads, daily_partitions(settings), settings.engine), instance)


def failure_of(result: ExecuteInProcessResult) -> str:
    """All that a failed run says, from outside to what caused it."""
    assert not result.success
    said = []
    for event in result.all_events:
        if event.event_type in (DagsterEventType.RUN_FAILURE, DagsterEventType.STEP_FAILURE):
            error = getattr(event.event_specific_data, "error", None)
            said.append(event.message or "")
            while error is not None:
                said.append(error.message)
                error = error.cause
    return "\n".join(said)


def test_an_ordinary_day_needs_no_setup_and_moves_the_dates_on_by_itself(site: GatedSite) -> None:
    site.file(0, 1, 2)
    assert site.run(0).success
    row = site.row
    assert (row.earliest_date, row.previous_business_date) == (day(0), day(0) - (day(1) - day(0)))
    assert (row.current_business_date, row.next_business_date) == (day(0), day(1))
    assert site.run(1, 2).success
    row = site.row
    assert (row.previous_business_date, row.current_business_date, row.next_business_date) == (day(0), day(2), day(3))
    assert site.run(0).success, "a date that was begun may always be loaded again"
    assert site.row == row


def test_a_run_that_leaves_dates_out_fails_before_its_first_step_and_says_which_command_to_run(site: GatedSite) -> None:
    site.file(0, 1, 2, 3, 4)
    assert site.run(0).success
    before = site.row
    refused = site.run(3, 4)
    said = failure_of(refused)
    assert "cdm run --start 2024-03-02 --end 2024-03-05" in said
    assert "cdm runbook CDM-OPS-013" in said
    assert not any(event.event_type == DagsterEventType.STEP_START for event in refused.all_events)
    assert site.row == before
    assert site.count("ldz.ldz_product") == 1
    assert site.count("cdp_metadata.landing_file") == 1


def test_tables_behind_the_landing_zone_are_refused_the_same_dates(site: GatedSite) -> None:
    site.file(0, 1, 2, 3)
    assert site.run(0).success
    assert "would leave out 2 dates" in failure_of(site.run(3, only="h_product"))
    assert site.run(1, only="h_product").success
    assert site.row.next_business_date == day(1), "nothing of the landing zone was begun"


def test_a_run_before_day_zero_is_refused(site: GatedSite) -> None:
    site.file(5)
    assert site.run(5).success
    assert "2024-03-02 is before Day 0" in failure_of(site.run(1))


def test_of_runs_a_date_of_one_backfill_each_may_begin_before_the_others_have(site: GatedSite) -> None:
    site.file(0, 1, 2)
    assert site.run(0).success
    create_run_for_test(site.instance, tags={"dagster/partition": f"{day(1)}"}, status=DagsterRunStatus.NOT_STARTED)
    later = site.run(2)
    assert later.success, failure_of(later)


def test_a_run_that_fails_does_not_stop_the_next_date(site: GatedSite) -> None:
    site.file(0, 2)
    (Path(site.settings.landing_root) / f"{day(1)}").mkdir()
    (Path(site.settings.landing_root) / f"{day(1)}" / "product.csv").write_text("nothing,that\nfits\n")
    assert site.run(0).success
    assert not site.run(1).success
    assert site.row.current_business_date == day(1)
    assert site.run(2).success


def test_a_repair_may_complete_the_next_date_but_none_beyond_it(site: GatedSite) -> None:
    site.file(0, 1, 2, 3)
    assert site.run(0).success
    repair = repair_job(site.loads, site.settings, site.assets)

    def complete(number: int) -> ExecuteInProcessResult:
        config = {"ops": {LOOK_OP: {"config": {"incomplete_dates": [f"{day(number)}"], "only_stale": True}}}}
        return repair.execute_in_process(
            instance=site.instance, resources=site.resources, run_config=config, raise_on_error=False
        )

    assert "would leave out 2 dates" in failure_of(complete(3))
    assert site.count("cdp_metadata.stale_partition") == 0
    assert complete(1).success
    assert (site.row.current_business_date, site.row.next_business_date) == (day(1), day(2))


@pytest.mark.parametrize(
    ("tags", "dates"),
    [
        ({}, None),
        ({"dagster/partition": "2024-03-01"}, DateRange(date(2024, 3, 1), date(2024, 3, 1))),
        (
            {
                "dagster/asset_partition_range_start": "2024-03-01",
                "dagster/asset_partition_range_end": "2024-03-04",
            },
            DateRange(date(2024, 3, 1), date(2024, 3, 4)),
        ),
    ],
)
def test_the_dates_of_a_run_are_those_of_its_tags(tags: dict[str, str], dates: DateRange | None) -> None:
    assert dates_of_run(tags) == dates


def shown(result: ExecuteInProcessResult, job: str) -> tuple[int, str]:
    """How much a setup job changed, and the table that its page shows."""
    assert result.success, failure_of(result)
    (event,) = [e for e in result.events_for_node(op_of(job)) if e.event_type == DagsterEventType.STEP_OUTPUT]
    metadata = event.step_output_data.metadata
    return int(metadata["changed"].value), str(metadata["changes"].value)  # type: ignore[arg-type]


def test_the_three_setup_jobs_work_in_their_order_on_no_database_and_have_nothing_to_do_the_second_time(
    site: GatedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.file(2)
    monkeypatch.setenv("CDM_TOKEN_KEY", SECRET)
    assert f"{DDL_EXECUTION} first" in failure_of(site.execute(DATE_CONTROL_UPDATE))
    changed, table = shown(site.execute(VARIABLE_SYNC), VARIABLE_SYNC)
    assert changed > 8
    assert "| CDM_TOKEN_KEY |  | env:CDM_TOKEN_KEY | environment |" in table
    changed, table = shown(site.execute(DDL_EXECUTION), DDL_EXECUTION)
    assert changed >= 20
    assert "create table | ldz.ldz_product" in table
    changed, table = shown(site.execute(DATE_CONTROL_UPDATE), DATE_CONTROL_UPDATE)
    assert (changed, "| product | B | 2024-03-03 | 2024-03-02 |  | 2024-03-03 |" in table) == (1, True)
    for job in (VARIABLE_SYNC, DDL_EXECUTION, DATE_CONTROL_UPDATE):
        assert shown(site.execute(job), job)[0] == 0
    logged = str([event.message for event in site.instance.all_logs(site.instance.get_runs()[0].run_id)])
    assert SECRET not in logged


def test_a_setup_job_that_plans_changes_nothing(site: GatedSite) -> None:
    for job in (VARIABLE_SYNC, DDL_EXECUTION, DATE_CONTROL_UPDATE):
        assert shown(site.execute(job, plan=True), job)[0] > 0
    assert not site.settings.database_path.exists()


def test_the_job_of_dates_moves_them_as_it_is_told(site: GatedSite) -> None:
    site.file(0, 1, 2, 3)
    assert site.run(0).success
    assert not site.run(3).success
    assert shown(site.execute(DATE_CONTROL_UPDATE, advance_to=f"{day(3)}"), DATE_CONTROL_UPDATE)[0] == 1
    assert site.run(3).success
    assert "is no date" in failure_of(site.execute(DATE_CONTROL_UPDATE, advance_to="tomorrow"))
    assert "did you mean 'product'" in failure_of(
        site.execute(DATE_CONTROL_UPDATE, day_zero=f"{day(0)}", sources=["produt"])
    )


def test_a_name_that_is_no_variable_fails_the_job_that_notes_them(
    site: GatedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDM_TREADS", "3")
    said = failure_of(site.execute(VARIABLE_SYNC))
    assert "did you mean CDM_THREADS?" in said
    assert "CDM-CFG-001" in said


def test_each_setup_job_says_in_the_ui_what_it_does(site: GatedSite) -> None:
    jobs = setup_jobs(site.loads, site.settings)
    assert [job.name for job in jobs] == [VARIABLE_SYNC, DDL_EXECUTION, DATE_CONTROL_UPDATE]
    Definitions(jobs=jobs).get_repository_def().load_all_definitions()
    assert [f"Setup {number} of 3" in (job.description or "") for number, job in enumerate(jobs, 1)] == [True] * 3
