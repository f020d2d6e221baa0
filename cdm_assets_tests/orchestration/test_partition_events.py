"""What Dagster holds after one load of a day or a range: each partition its own numbers and check results."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from dagster import (
    AssetCheckKey,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetRecordsFilter,
    AssetsDefinition,
    BackfillPolicy,
    DagsterInstance,
    asset,
    materialize,
)

from cdm_assets.loading.report import CheckOutcome, LoadReport, RowCounts
from cdm_assets.orchestration.partition_events import report_partitions
from cdm_assets_tests.orchestration.conftest import Run
from cdm_assets_tests.orchestration.small_definitions import DAYS

TABLES = [AssetKey(["rdv", name]) for name in ("h_customer", "s_customer", "l_order")]


def metadata_by_partition(instance: DagsterInstance, table: AssetKey) -> Mapping[str, Mapping[str, object]]:
    records = instance.fetch_materializations(AssetRecordsFilter(asset_key=table), limit=100, ascending=True).records
    found = {}
    for record in records:
        materialization = record.asset_materialization
        assert materialization is not None
        assert materialization.partition is not None
        assert materialization.partition not in found
        found[materialization.partition] = {name: value.value for name, value in materialization.metadata.items()}
    return found


def check_status(instance: DagsterInstance, table: AssetKey, check: str) -> Mapping[str | None, str]:
    """Status by partition of every stored row of a check, the latest last."""
    storage = instance.event_log_storage
    history = storage.get_asset_check_execution_history(AssetCheckKey(table, check), limit=1000)
    return {record.partition: record.status.value for record in reversed(history)}


def test_every_day_of_a_range_has_its_own_row_counts(instance: DagsterInstance, run: Run) -> None:
    assert run("2024-01-01", "2024-01-05").success
    for table in TABLES:
        found = metadata_by_partition(instance, table)
        assert sorted(found) == [f"2024-01-0{day}" for day in range(1, 6)]
        assert found["2024-01-04"] == {
            "dagster/partition_row_count": 104,
            "rows_read": 14,
            "rows_inserted": 4,
            "rows_removed": 1,
            "rows_rejected": 2,
            "seconds": 0.5,
            "engine": "duckdb",
        }


def test_every_day_of_a_range_has_its_own_check_results_and_none_stays_planned(
    instance: DagsterInstance, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_BAD_DAYS", "2024-01-02")
    run("2024-01-01", "2024-01-04")
    days = [f"2024-01-0{day}" for day in range(1, 5)]
    for table in TABLES:
        assert check_status(instance, table, "keys") == {
            day: "FAILED" if day == "2024-01-02" else "SUCCEEDED" for day in days
        }
        assert check_status(instance, table, "volume") == {
            day: "FAILED" if day == "2024-01-03" else "SUCCEEDED" for day in days
        }


def test_a_failed_blocking_check_of_one_day_of_a_range_is_red_but_lets_the_other_days_go_on(
    instance: DagsterInstance, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_BAD_DAYS", "2024-01-02")
    outcome = run("2024-01-01", "2024-01-04")
    assert outcome.success
    assert instance.get_materialized_partitions(TABLES[-1]) >= {"2024-01-01", "2024-01-03", "2024-01-04"}
    history = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(TABLES[0], "keys"), limit=10)
    (failed,) = [record.evaluation for record in history if record.status.value == "FAILED"]
    assert failed is not None
    assert (failed.partition, failed.blocking, failed.severity.value) == ("2024-01-02", True, "ERROR")
    assert failed.metadata["failed"].value == 3


def test_a_failed_blocking_check_of_a_single_day_fails_the_step_and_stops_what_depends_on_it(
    instance: DagsterInstance, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_BAD_DAYS", "2024-01-02")
    outcome = run("2024-01-02", "2024-01-02")
    assert not outcome.success
    assert list(outcome.failed_steps) == ["rdv__h_customer"]
    assert "1 blocking asset check failed with ERROR severity" in outcome.failed_steps["rdv__h_customer"]
    assert check_status(instance, TABLES[0], "keys") == {"2024-01-02": "FAILED"}
    assert check_status(instance, TABLES[0], "volume") == {"2024-01-02": "SUCCEEDED"}
    assert instance.get_materialized_partitions(TABLES[1]) == set()


def test_a_failed_warning_of_a_single_day_is_shown_and_stops_nothing(instance: DagsterInstance, run: Run) -> None:
    assert run("2024-01-03", "2024-01-03").success
    assert check_status(instance, TABLES[0], "volume") == {"2024-01-03": "FAILED"}
    assert metadata_by_partition(instance, TABLES[2])["2024-01-03"]["dagster/partition_row_count"] == 103


def test_a_check_result_counts_for_the_materialization_of_its_own_run(
    instance: DagsterInstance, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`is_current` is what the UI colours a partition's check by; the repaired day turns from red to green."""
    key = AssetCheckKey(TABLES[0], "keys")
    monkeypatch.setenv("TEST_BAD_DAYS", "2024-01-02")
    run("2024-01-01", "2024-01-03")
    monkeypatch.delenv("TEST_BAD_DAYS")
    run("2024-01-02", "2024-01-02")
    infos = instance.event_log_storage.get_asset_check_partition_info([key])
    assert {info.partition_key: (info.latest_execution_status.value, info.is_current) for info in infos} == {
        "2024-01-01": ("SUCCEEDED", True),
        "2024-01-02": ("SUCCEEDED", True),
        "2024-01-03": ("SUCCEEDED", True),
    }


DAY_1, DAY_2 = date(2024, 1, 1), date(2024, 1, 2)
COMPLETE = LoadReport(
    table="rdv.t",
    row_counts={DAY_1: RowCounts(), DAY_2: RowCounts()},
    rows={DAY_1: 0, DAY_2: 0},
    checks=[CheckOutcome("keys", day, True, True, "error", {}) for day in (DAY_1, DAY_2)],
    seconds=0.0,
    metadata={},
)


def asset_reporting(report: LoadReport) -> AssetsDefinition:
    @asset(
        key=["rdv", "t"],
        partitions_def=DAYS,
        backfill_policy=BackfillPolicy.single_run(),
        check_specs=[AssetCheckSpec("keys", asset=["rdv", "t"], blocking=True, partitions_def=DAYS)],
    )
    def load(context: AssetExecutionContext) -> Iterator[Any]:
        yield from report_partitions(context, report)

    return load


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (replace(COMPLETE, rows={DAY_1: 0}), "rdv.t: rows missing: 2024-01-02 (1)"),
        (replace(COMPLETE, row_counts={}), "rdv.t: row counts missing: 2024-01-01, 2024-01-02 (2)"),
        (replace(COMPLETE, checks=COMPLETE.checks[:1]), "rdv.t: check results missing: keys 2024-01-02 (1)"),
        (
            replace(COMPLETE, checks=[*COMPLETE.checks, replace(COMPLETE.checks[0], check="volume")]),
            "rdv.t: check results not asked for: volume 2024-01-01 (1)",
        ),
        (replace(COMPLETE, checks=[*COMPLETE.checks, COMPLETE.checks[0]]), "rdv.t: 1 repeated check results"),
    ],
)
def test_a_report_that_does_not_cover_the_run_fails_the_step_and_says_what_is_missing(
    report: LoadReport, message: str
) -> None:
    tags = {"dagster/asset_partition_range_start": "2024-01-01", "dagster/asset_partition_range_end": "2024-01-02"}
    with DagsterInstance.ephemeral() as instance:
        assert materialize([asset_reporting(COMPLETE)], instance=instance, tags=tags).success
        result = materialize([asset_reporting(report)], instance=instance, tags=tags, raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert error.cause.message.strip().endswith(message)
