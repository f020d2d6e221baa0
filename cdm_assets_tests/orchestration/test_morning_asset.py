"""The morning page as a Dagster asset: apart from the day's job, off by default, with its summary as metadata."""

from pathlib import Path

import pytest
from dagster import AssetKey, DefaultScheduleStatus, Definitions, MarkdownMetadataValue, materialize

from cdm_assets.orchestration.code_location import DAILY_JOB, build_definitions, table_loads
from cdm_assets.orchestration.morning_asset import MORNING_JOB, morning_asset, morning_asset_key
from cdm_assets.settings import Settings
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]
KEY = AssetKey(["cdp_metadata", "morning_page"])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"CDM_HOME": str(tmp_path)})


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> Definitions:
    return build_definitions(Settings.from_environment({"CDM_HOME": str(tmp_path_factory.mktemp("home"))}))


def test_the_page_is_an_unpartitioned_asset_of_its_own_job(defs: Definitions) -> None:
    graph = defs.resolve_asset_graph()
    assert graph.get(KEY).partitions_def is None
    assert graph.get(KEY).group_name == "cdp_metadata"
    assert KEY not in defs.resolve_job_def(DAILY_JOB).asset_layer.executable_asset_keys
    assert defs.resolve_job_def(MORNING_JOB).asset_layer.executable_asset_keys == {KEY}


def test_its_schedule_is_off_until_switched_on(defs: Definitions) -> None:
    schedule = defs.resolve_schedule_def("morning_schedule")
    assert schedule.default_status is DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.job_name) == ("30 5-11 * * *", MORNING_JOB)


def test_its_key_has_the_environments_prefix(tmp_path: Path) -> None:
    settings = Settings.from_environment({"CDM_HOME": str(tmp_path), "CDM_SCHEMA_PREFIX": "dev_"})
    assert morning_asset_key(table_loads(settings).tables) == AssetKey(["dev_cdp_metadata", "morning_page"])


def test_a_materialization_writes_the_page_and_shows_its_summary(settings: Settings) -> None:
    tables = table_loads(settings).tables
    with Warehouse.open_duckdb(settings.database_path, tables) as warehouse:
        create_missing(warehouse)
    result = materialize([morning_asset(settings, tables)])
    [event] = result.asset_materializations_for_node("cdp_metadata__morning_page")
    page = settings.home / "morning" / "2018-01-01.html"
    assert event.metadata["page"].value == str(page)
    assert event.metadata["state"].value == "red", "nothing is loaded, all is due"
    summary = event.metadata["summary"]
    assert isinstance(summary, MarkdownMetadataValue)
    assert str(summary.value).startswith("**RED**: business date 2018-01-01")
    assert "Business date 2018-01-01" in page.read_text(encoding="utf-8")


def test_without_a_database_the_page_says_so_and_the_run_succeeds(settings: Settings) -> None:
    result = materialize([morning_asset(settings, table_loads(settings).tables)])
    [event] = result.asset_materializations_for_node("cdp_metadata__morning_page")
    assert event.metadata["state"].value == "grey"
    assert "there is no database" in (settings.home / "morning" / "unknown.html").read_text(encoding="utf-8")
