"""Pipelines in Dagster: owners, tags and descriptions of assets, schedules, and the check `fresh`."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dagster import (
    AssetKey,
    AssetsDefinition,
    DagsterInstance,
    DefaultScheduleStatus,
    Definitions,
    RunRequest,
    SkipReason,
    build_schedule_context,
    define_asset_job,
)

from cdm_assets.catalog.model import MaintenanceWindow
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.orchestration.code_location import build_definitions, table_loads
from cdm_assets.orchestration.freshness_checks import freshness_checks, freshness_schedule
from cdm_assets.orchestration.pipeline_schedules import pipeline_schedules, start_of
from cdm_assets.orchestration.runs import range_tags
from cdm_assets.settings import Settings
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.landing_area import LandingArea
from cdm_assets.warehouse.tables import Tables

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]
DAY = date(2017, 3, 1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings.from_environment({"CDM_HOME": str(tmp_path_factory.mktemp("home") / "cdm")})


@pytest.fixture(scope="module")
def defs(settings: Settings) -> Definitions:
    return build_definitions(settings)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as opened:
        yield opened


def test_an_asset_says_its_pipelines_owners_and_when_it_is_due(defs: Definitions, settings: Settings) -> None:
    assets = {asset.key: asset for asset in defs.assets or () if isinstance(asset, AssetsDefinition)}
    spec = next(iter(assets[AssetKey(["metrics", "profit_aggregate"])].specs))
    assert list(spec.owners)[:2] == ["ines.costa@example.com", "team:business-metrics"]
    assert len(spec.owners) > 2, "those of the catalog are kept"
    tags = {"pipeline": "profit_investors", "severity": "critical", "tier": "1"}
    assert tags.items() <= spec.tags.items()
    assert "Pipeline profit_investors (critical): ready by 10:30 UTC" in (spec.description or "")
    assert spec.metadata["on_call"] == "business_metrics (pager)"
    assert "- Investor relations: investor-relations@example.com" in spec.metadata["downstream"].value
    tables = [AssetKey(key.split(".")) for key in table_loads(settings).in_order]
    assert all("pipeline" in next(iter(assets[key].specs)).tags for key in tables)


def test_every_pipeline_has_a_schedule_that_is_off(defs: Definitions, settings: Settings) -> None:
    for name, pipeline in table_loads(settings).catalog.pipelines.items():
        schedule = defs.resolve_schedule_def(f"{name}_schedule")
        assert schedule.cron_schedule == pipeline.schedule
        assert schedule.execution_timezone == "UTC"
        assert schedule.default_status is DefaultScheduleStatus.STOPPED
    job = defs.resolve_job_def("profit_investors")
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == {"profit_aggregate", "investor_summary"}


def _tick(defs: Definitions, instance: DagsterInstance, at: datetime) -> Any:
    context = build_schedule_context(instance=instance, scheduled_execution_time=at)
    return defs.resolve_schedule_def("growth_investors_schedule").evaluate_tick(context)


def test_a_schedule_starts_the_date_before(defs: Definitions, instance: DagsterInstance) -> None:
    ticked = _tick(defs, instance, datetime(2017, 3, 2, 8, 30, tzinfo=UTC))
    (request,) = ticked.run_requests
    assert request.run_key == "2017-03-01"
    assert request.tags["dagster/partition"] == "2017-03-01"
    assert request.tags["cdm/pipeline"] == "growth_investors"


def test_a_date_that_the_daily_job_has_started_is_not_started_again(
    defs: Definitions, instance: DagsterInstance
) -> None:
    other = DAY + timedelta(days=1)
    run = instance.create_run_for_job(defs.resolve_job_def("daily"), tags=dict(range_tags(other, other)))
    ticked = _tick(defs, instance, datetime(2017, 3, 3, 8, 30, tzinfo=UTC))
    assert ticked.skip_message == f"{other} was started before, by the job daily, run {run.run_id}."


def test_a_date_beyond_the_last_is_not_started(defs: Definitions, instance: DagsterInstance) -> None:
    ticked = _tick(defs, instance, datetime(2020, 3, 2, 8, 30, tzinfo=UTC))
    assert ticked.skip_message == "2020-03-01 is no business date of this site."


def test_a_start_that_maintenance_holds_comes_after_it(settings: Settings, instance: DagsterInstance) -> None:
    window = MaintenanceWindow(system="warehouse", cron="0 8 * * *", minutes=90)
    loads = table_loads(settings)
    catalog = loads.catalog.model_copy(update={"maintenance": {"release": window}})
    held = TableLoads(Tables(catalog))
    daily = define_asset_job("daily")
    schedule = next(s for s in pipeline_schedules(held, settings, daily) if s.name == "growth_investors_schedule")
    assert schedule.cron_schedule == ["30 8 * * *", "*/15 * * * *"]

    def answer(hour: int, minute: int) -> object:
        at = datetime(2017, 3, 2, hour, minute, tzinfo=UTC)
        return schedule(build_schedule_context(instance=instance, scheduled_execution_time=at))

    during, after = answer(8, 30), answer(9, 30)
    assert isinstance(during, SkipReason)
    assert "growth_investors starts after it" in (during.skip_message or "")
    assert isinstance(after, RunRequest)
    assert after.run_key == "2017-03-01"


def test_before_its_time_the_last_start_is_yesterdays(settings: Settings) -> None:
    pipeline = table_loads(settings).catalog.pipelines["growth_investors"]
    assert start_of(pipeline, datetime(2017, 3, 2, 8, 30, tzinfo=UTC)) == datetime(2017, 3, 2, 8, 30, tzinfo=UTC)
    assert start_of(pipeline, datetime(2017, 3, 2, 8, 29, tzinfo=UTC)) == datetime(2017, 3, 1, 8, 30, tzinfo=UTC)


def test_the_daily_job_makes_no_check_of_freshness(defs: Definitions) -> None:
    daily = defs.resolve_job_def("daily")
    assert "freshness_of_tables" not in {node.name for node in daily.nodes}
    assert {node.name for node in defs.resolve_job_def("freshness").nodes} == {"freshness_of_tables"}


def test_the_check_fresh_fails_where_only_an_old_date_was_loaded_lately(settings: Settings, tmp_path: Path) -> None:
    loads = table_loads(settings)
    with Warehouse.open_duckdb(tmp_path / "cdm.duckdb", loads.tables) as warehouse:
        create_missing(warehouse)
        held = loads.tables["cdp_metadata.partition_load"]
        rows = [
            {"table_key": key, "business_date": day, "rows_in_partition": 1, "run_id": "r", "load_ts": at}
            for key, day, at in (
                ("itf.customer", DAY, datetime.fromisoformat("2017-03-02T08:00")),
                ("itf.product", DAY - timedelta(days=20), datetime.fromisoformat("2017-03-02T09:00")),
            )
        ]
        with warehouse.transaction() as connection:
            connection.execute(sa.insert(held), rows)
        checks = freshness_checks(loads, settings, now=lambda: datetime(2017, 3, 2, 12, tzinfo=UTC))
        (schedule,) = freshness_schedule(loads)
        area = LandingArea(str(tmp_path / "landing"), tmp_path / "archive")
        resources = {"warehouse": LoadContext(warehouse, area, token_key="", run_id="r")}
        job = Definitions(asset_checks=checks, jobs=[schedule.job], resources=resources).resolve_job_def("freshness")
        with DagsterInstance.ephemeral() as instance:
            result = job.execute_in_process(instance=instance)
    found = {e.asset_key.path[-1]: e for e in result.get_asset_check_evaluations() if e.asset_key.path[0] == "itf"}
    assert found["customer"].passed
    assert not found["product"].passed
    assert found["product"].description == (
        "itf.product: 2017-03-01, due 2017-03-02 09:00 UTC, is missing; the newest before is 2017-02-09"
    )
