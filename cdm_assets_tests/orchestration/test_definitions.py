import socket
from pathlib import Path

import pytest
from dagster import AssetKey, AssetsDefinition, DailyPartitionsDefinition, DefaultSensorStatus, Definitions

from cdm_assets.catalog.types import Layer
from cdm_assets.orchestration.code_location import DAILY_JOB, build_definitions
from cdm_assets.settings import Settings

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings.from_environment({"CDM_HOME": str(tmp_path_factory.mktemp("home") / "cdm")})


@pytest.fixture(scope="module")
def defs(settings: Settings) -> Definitions:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _refuse)
        return build_definitions(settings)


def _refuse(*_: object) -> None:
    raise AssertionError("definitions must not use the network")


def _assets(defs: Definitions) -> list[AssetsDefinition]:
    """The tables' assets; the morning page is none."""
    of_tables = [asset for asset in defs.assets or () if isinstance(asset, AssetsDefinition)]
    return [asset for asset in of_tables if asset.key.path[-1] != "morning_page"]


def test_definitions_load_without_network_files_or_database(defs: Definitions, settings: Settings) -> None:
    defs.get_repository_def().load_all_definitions()
    assert not settings.home.exists()


def test_every_table_of_every_layer_is_an_asset(defs: Definitions) -> None:
    by_layer: dict[str, int] = {}
    for asset in _assets(defs):
        by_layer[asset.key.path[0]] = by_layer.get(asset.key.path[0], 0) + 1
    assert by_layer == {
        "ldz": 19,
        "rdv": 34,
        "itf": 18,
        "agg": 8,
        "cs_360_db": 4,
        "metrics": 9,
        "cdm_publish_db": 8,
    }


def test_every_asset_says_whose_it_is_what_it_is_and_how_it_is_checked(defs: Definitions) -> None:
    for asset in _assets(defs):
        spec = next(iter(asset.specs))
        assert spec.owners, asset.key
        assert spec.description, asset.key
        assert spec.group_name == asset.key.path[0]
        assert {"domain", "pii"} <= spec.tags.keys(), asset.key
        assert "duckdb" in spec.kinds, asset.key
        assert spec.code_version, asset.key
        assert isinstance(asset.partitions_def, DailyPartitionsDefinition)
        assert asset.backfill_policy is not None, asset.key
        assert asset.backfill_policy.max_partitions_per_run is None, "a range must be one run"
        assert "keys" in {check.name for check in asset.check_specs}, asset.key
        columns = {column.name for column in spec.metadata["dagster/column_schema"].columns}
        assert {"business_date", "load_ts", "run_id"} <= columns
        if asset.key.path[0] != Layer.LANDING:
            assert spec.metadata["dagster/column_lineage"].deps_by_column, asset.key


def test_a_columns_description_says_what_it_is_computed_from(defs: Definitions) -> None:
    asset = next(a for a in _assets(defs) if a.key == AssetKey(["cs_360_db", "campaign_360"]))
    schema = next(iter(asset.specs)).metadata["dagster/column_schema"]
    described = {column.name: column.description for column in schema.columns}
    assert described["redemptions"] == "Coupons redeemed (from agg.campaign_day.redemptions)"


def test_dependencies_come_from_the_statements(defs: Definitions) -> None:
    graph = defs.resolve_asset_graph()
    assert graph.get(AssetKey(["itf", "product"])).parent_keys == {
        AssetKey(["rdv", "h_product"]),
        AssetKey(["rdv", "s_product_details"]),
    }
    published = graph.get(AssetKey(["cdm_publish_db", "customer_360"]))
    assert AssetKey(["cs_360_db", "customer_360"]) in published.parent_keys
    # The check for undescribed products looks at the product satellite, so it has to be there first.
    assert AssetKey(["rdv", "s_product_details"]) in graph.get(AssetKey(["rdv", "l_transaction"])).parent_keys


def test_there_is_a_repair_job_with_an_op_a_table(defs: Definitions) -> None:
    repository = defs.get_repository_def()
    ops = set(repository.get_job("repair").graph.node_dict)
    tables = {f"repair__{'__'.join(asset.key.path)}" for asset in _assets(defs)}
    assert ops == tables | {"look_for_changed_files", "verdict"}


def test_the_landing_area_is_watched_by_default(defs: Definitions) -> None:
    sensors = {sensor.name: sensor for sensor in defs.get_repository_def().sensor_defs}
    starting = {"new_files", "late_files", "corrected_files", "late_events"}
    assert sensors.keys() == starting | {
        "missing_files",
        "withdrawn_files",
        "new_predictions",
        "incidents",
        "run_failures",
    }
    for name, sensor in sensors.items():
        assert sensor.default_status is DefaultSensorStatus.RUNNING
        assert len(sensor.description or "") > 80, "says what it does"
        assert {target.job_name for target in sensor.targets} == ({DAILY_JOB, "repair"} if name in starting else set())


def test_there_is_a_daily_job_and_schedule_over_everything(defs: Definitions) -> None:
    job = defs.resolve_job_def(DAILY_JOB)
    assert len(job.asset_layer.executable_asset_keys) == len(_assets(defs))
    schedule = defs.resolve_schedule_def("daily_schedule")
    assert schedule.cron_schedule == "*/15 7-23 * * *"
    assert schedule.job_name == DAILY_JOB


def test_the_schema_prefix_is_part_of_the_asset_key(tmp_path: Path) -> None:
    settings = Settings.from_environment({"CDM_HOME": str(tmp_path), "CDM_SCHEMA_PREFIX": "dev_"})
    keys = {asset.key for asset in _assets(build_definitions(settings))}
    assert AssetKey(["dev_ldz", "ldz_customer"]) in keys


def test_partitions_are_the_configured_dates_the_last_included(tmp_path: Path) -> None:
    environment = {"CDM_HOME": str(tmp_path), "CDM_START_DATE": "2017-03-01", "CDM_END_DATE": "2017-03-03"}
    asset = _assets(build_definitions(Settings.from_environment(environment)))[0]
    assert asset.partitions_def is not None
    assert asset.partitions_def.get_partition_keys() == ["2017-03-01", "2017-03-02", "2017-03-03"]
