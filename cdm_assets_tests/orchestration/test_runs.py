"""Runs in this process, as the command line starts them and as the UI sees them."""

from datetime import date
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from dagster import AssetKey, DagsterInstance, DagsterRunStatus
from dagster._core.errors import DagsterUnknownPartitionError
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from cdm_assets.orchestration.instance import HEADER, ensure_instance
from cdm_assets.orchestration.runs import StepProgress, run_range
from cdm_assets_tests.orchestration.conftest import SMALL_DEFINITIONS, Run

FROM_THE_UI = """
query ($runId: ID!) {
  runOrError(runId: $runId) {
    ... on Run { status jobName repositoryOrigin { repositoryName repositoryLocationName } }
  }
  assetNodes(assetKeys: [{path: ["rdv", "h_customer"]}]) {
    partitionStats { numMaterialized numFailed }
    assetMaterializations(partitions: ["2024-01-02"], limit: 1) {
      metadataEntries { label ... on IntMetadataEntry { intValue } }
    }
    assetChecksOrError {
      ... on AssetChecks { checks { name executionForLatestMaterialization { status } } }
    }
  }
  assetCheckExecutions(assetKey: {path: ["rdv", "h_customer"]}, checkName: "keys", limit: 10) {
    status partition evaluation { success severity }
  }
}
"""

RE_EXECUTE = """
mutation ($runId: String!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $runId, strategy: ALL_STEPS}) {
    __typename
    ... on LaunchRunSuccess { run { runId tags { key value } } }
    ... on PythonError { message }
  }
}
"""


def test_the_ui_links_the_run_to_its_job_and_can_run_it_again(
    instance: DagsterInstance, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_BAD_DAYS", "2024-01-02")
    run_id = run("2024-01-01", "2024-01-03").run_id
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"python_module": {"module_name": SMALL_DEFINITIONS}}]}))
    with WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)])) as process:
        context = process.create_request_context()
        shown = execute_dagster_graphql(context, FROM_THE_UI, {"runId": run_id})
        again = execute_dagster_graphql(context, RE_EXECUTE, {"runId": run_id})
    assert shown.data["runOrError"] == {
        "status": "SUCCESS",
        "jobName": "everything",
        "repositoryOrigin": {"repositoryName": "__repository__", "repositoryLocationName": SMALL_DEFINITIONS},
    }
    (table,) = shown.data["assetNodes"]
    assert table["partitionStats"] == {"numMaterialized": 3, "numFailed": 0}
    (materialization,) = table["assetMaterializations"]
    assert {"label": "dagster/partition_row_count", "intValue": 102} in materialization["metadataEntries"]
    assert {
        execution["partition"]: (execution["status"], execution["evaluation"]["success"])
        for execution in shown.data["assetCheckExecutions"]
    } == {
        "2024-01-01": ("SUCCEEDED", True),
        "2024-01-02": ("FAILED", False),
        "2024-01-03": ("SUCCEEDED", True),
    }
    assert again.data["launchRunReexecution"]["__typename"] == "LaunchRunSuccess", again.data
    queued = instance.get_run_by_id(again.data["launchRunReexecution"]["run"]["runId"])
    assert queued is not None
    assert queued.status == DagsterRunStatus.QUEUED
    assert queued.tags["dagster/asset_partition_range_end"] == "2024-01-03"


def test_progress_names_every_step_with_its_seconds(instance: DagsterInstance) -> None:
    seen: list[StepProgress] = []
    outcome = run_range(
        instance=instance,
        job_name="everything",
        start=date(2024, 1, 1),
        end=date(2024, 1, 2),
        selection=[AssetKey(["rdv", "h_customer"]), AssetKey(["rdv", "s_customer"])],
        tags={"reason": "late file"},
        on_event=seen.append,
        module=SMALL_DEFINITIONS,
    )
    assert [(progress.step, progress.state) for progress in seen] == [
        ("rdv__h_customer", "started"),
        ("rdv__h_customer", "succeeded"),
        ("rdv__s_customer", "started"),
        ("rdv__s_customer", "succeeded"),
    ]
    assert all(progress.seconds is not None for progress in seen if progress.state == "succeeded")
    stored = instance.get_run_by_id(outcome.run_id)
    assert stored is not None
    assert stored.tags["reason"] == "late file"


def test_a_failed_step_is_reported_with_the_error_of_the_loader(
    instance: DagsterInstance, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_RAISE_IN", "s_customer")
    outcome = run("2024-01-01", "2024-01-02")
    assert not outcome.success
    assert outcome.failed_steps == {"rdv__s_customer": "ValueError: the landing file is unreadable"}
    assert instance.get_materialized_partitions(AssetKey(["rdv", "h_customer"])) == {"2024-01-01", "2024-01-02"}


def test_a_range_that_ends_before_it_starts_is_refused_before_a_run_exists(instance: DagsterInstance, run: Run) -> None:
    with pytest.raises(ValueError, match=r"the range ends \(2024-01-01\) before it starts \(2024-01-02\)"):
        run("2024-01-02", "2024-01-01")
    assert instance.get_runs() == []


def test_a_partition_outside_the_definition_is_refused_before_a_run_exists(instance: DagsterInstance, run: Run) -> None:
    with pytest.raises(DagsterUnknownPartitionError, match="2023-12-31"):
        run("2023-12-31", "2024-01-02")
    assert instance.get_runs() == []


def test_the_instance_file_is_rewritten_when_outdated_and_left_alone_when_it_is_the_sites(tmp_path: Path) -> None:
    ensure_instance(tmp_path)
    path = tmp_path / "dagster.yaml"
    wanted = path.read_text()
    path.write_text(f"{HEADER}\nnux: {{enabled: true}}\n")
    ensure_instance(tmp_path)
    assert path.read_text() == wanted
    path.write_text("nux: {enabled: true}\n")
    ensure_instance(tmp_path)
    assert path.read_text() == "nux: {enabled: true}\n"


def test_the_instance_runs_one_run_at_a_time_and_watches_it(instance: DagsterInstance) -> None:
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 1
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert instance.get_settings("run_retries") == {
        "enabled": True,
        "max_retries": 2,
        "retry_on_asset_or_op_failure": False,
    }
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled
