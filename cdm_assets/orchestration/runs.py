"""A run in this process (`cdm run`): the same run the UI would start, on the same instance, without its daemon.

The run carries the origin of its code location, so the UI links it to its job and can re-execute it. The location has
the name that `workspace.yaml` gives it (`load_from: - python_module: {module_name: cdm_assets.definitions}`), which is
the module's.
"""

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

from dagster import (
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    JobDefinition,
    RunsFilter,
)
from dagster._core.code_pointer import CodePointer
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.execution.api import execute_run_iterator
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT, JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import MAX_RETRIES_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.hosted_user_process import recon_job_from_origin
from dagster._utils.interrupts import capture_interrupts

CODE_LOCATION_MODULE = "cdm_assets.definitions"
PROCESS_TAG = "cdm/process"

# The caller shows progress; Dagster's console would print every event, and 80,000 of them take a minute.
_QUIET_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_HAS_PROCESS = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
_MOST_NAMED: Final = 6
UNFINISHED: Final = [DagsterRunStatus.QUEUED, *_HAS_PROCESS, DagsterRunStatus.CANCELING]
_RUN_WAS_KILLED = "The process of this run is gone (killed or crashed); its committed tables stand. Run it again."


@dataclass(frozen=True)
class StepProgress:
    """One step of a run began or ended; `seconds` for steps that ran, `error` for those that failed."""

    step: str
    state: Literal["started", "succeeded", "failed", "skipped"]
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: `failed_steps` maps a step to its error; `error` is a failure outside of any step."""

    run_id: str
    success: bool
    failed_steps: Mapping[str, str]
    error: str | None = None


def run_range(  # noqa: PLR0913  # all of them name what the run is
    *,
    instance: DagsterInstance,
    job_name: str,
    start: date,
    end: date,
    selection: Sequence[AssetKey] | None = None,
    tags: Mapping[str, str] | None = None,
    on_event: Callable[[StepProgress], None] | None = None,
    module: str = CODE_LOCATION_MODULE,
) -> RunOutcome:
    """Run `job_name` of `module` for the partitions `start` to `end` (inclusive) as one run in this process.

    `selection` narrows the job to these assets. The job's executor must be the in-process one.
    Raises Dagster's own errors for an unknown job, asset or partition before a run is created.
    """
    fail_runs_of_dead_processes(instance)
    job = recon_job_from_origin(JobPythonOrigin(job_name, _repository_origin(module)))
    _require_partitions(job.get_definition(), instance, selection, (start, end))
    tags = {**(tags or {}), **range_tags(start, end)}
    narrowed = {"asset_selection": frozenset(selection)} if selection else {}
    return _run(job, instance, module, tags=tags, on_event=on_event, narrowed=narrowed)


def run_ops(
    *,
    instance: DagsterInstance,
    job_name: str,
    ops: Sequence[str],
    tags: Mapping[str, str] | None = None,
    on_event: Callable[[StepProgress], None] | None = None,
    module: str = CODE_LOCATION_MODULE,
) -> RunOutcome:
    """Run the ops named `ops` of the job `job_name` of `module` as one run in this process."""
    fail_runs_of_dead_processes(instance)
    whole = recon_job_from_origin(JobPythonOrigin(job_name, _repository_origin(module)))
    narrowed = {"op_selection": list(ops), "resolved_op_selection": frozenset(ops)}
    return _run(
        whole.get_subset(op_selection=ops), instance, module, tags=tags or {}, on_event=on_event, narrowed=narrowed
    )


def _run(
    job: ReconstructableJob,
    instance: DagsterInstance,
    module: str,
    *,
    tags: Mapping[str, str],
    on_event: Callable[[StepProgress], None] | None,
    narrowed: Mapping[str, Any],
) -> RunOutcome:
    run = instance.create_run_for_job(
        job_def=job.get_definition(),
        run_config=_QUIET_CONSOLE,
        # The daemon runs again what it started and lost; what a person started and stopped, only that person does.
        tags={**tags, PROCESS_TAG: _this_process(), MAX_RETRIES_TAG: "0"},
        remote_job_origin=_remote_job_origin(module, job.job_name),
        job_code_origin=job.get_python_origin(),
        **narrowed,
    )
    failed: dict[str, str] = {}
    error = None
    with capture_interrupts():
        for event in execute_run_iterator(job, run, instance):
            progress = _progress(event)
            if progress and progress.state == "failed":
                failed[progress.step] = progress.error or ""
            if progress and on_event:
                on_event(progress)
            if event.event_type == DagsterEventType.RUN_FAILURE:
                error = _error_message(event)
    finished = instance.get_run_by_id(run.run_id)
    success = finished is not None and finished.status == DagsterRunStatus.SUCCESS
    return RunOutcome(run_id=run.run_id, success=success, failed_steps=failed, error=None if failed else error)


def fail_runs_of_dead_processes(instance: DagsterInstance) -> Sequence[str]:
    """Mark as failed the runs of this machine whose process is gone; returns their ids.

    Run monitoring cannot see into runs that were not started by the daemon, and such a run would hold the only slot.
    """
    unfinished = instance.get_runs(RunsFilter(statuses=_HAS_PROCESS))
    dead = [run for run in unfinished if PROCESS_TAG in run.tags and not _is_alive(run.tags[PROCESS_TAG])]
    for run in dead:
        instance.report_run_failed(run, _RUN_WAS_KILLED)
    return [run.run_id for run in dead]


def runs_in_progress(instance: DagsterInstance) -> str:
    """The runs that are queued or in progress, in words; empty where there is none."""
    fail_runs_of_dead_processes(instance)
    unfinished = instance.get_runs(RunsFilter(statuses=UNFINISHED))
    named = [f"{run.job_name} {run.run_id[:8]} ({run.status.value.lower()})" for run in unfinished[:_MOST_NAMED]]
    more = f" and {len(unfinished) - _MOST_NAMED} more" if unfinished[_MOST_NAMED:] else ""
    return ", ".join(named) + more


def range_tags(start: date, end: date) -> Mapping[str, str]:
    """The tags that make a run one of the partitions `start` to `end` (inclusive)."""
    if end < start:
        raise ValueError(f"the range ends ({end}) before it starts ({start})")
    if start == end:
        return {"dagster/partition": start.isoformat()}
    return {
        "dagster/asset_partition_range_start": start.isoformat(),
        "dagster/asset_partition_range_end": end.isoformat(),
    }


def _require_partitions(
    job: JobDefinition, instance: DagsterInstance, selection: Sequence[AssetKey] | None, days: tuple[date, date]
) -> None:
    # Dagster itself would start the run and load the part of the range that exists.
    with partition_loading_context(dynamic_partitions_store=instance) as context:
        for day in days:
            job.validate_partition_key(day.isoformat(), selected_asset_keys=selection, context=context)


def _repository_origin(module: str) -> RepositoryPythonOrigin:
    return RepositoryPythonOrigin(
        executable_path=sys.executable,
        code_pointer=CodePointer.from_module(module, "defs", working_directory=None),
        entry_point=DEFAULT_DAGSTER_ENTRY_POINT,
    )


def _remote_job_origin(module: str, job_name: str) -> RemoteJobOrigin:
    # Equal to what the webserver builds from workspace.yaml, so ids match and no server has to be asked.
    location = ManagedGrpcPythonEnvCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, module_name=module)
    )
    return RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME).get_job_origin(job_name)


def _progress(event: DagsterEvent) -> StepProgress | None:
    step = event.step_key
    if step is None:
        return None
    if event.is_step_start:
        return StepProgress(step, "started")
    if event.is_step_success:
        return StepProgress(step, "succeeded", seconds=event.step_success_data.duration_ms / 1000)
    if event.is_step_skipped:
        return StepProgress(step, "skipped")
    if event.is_step_failure:
        return StepProgress(step, "failed", error=_error_message(event))
    return None


def _error_message(event: DagsterEvent) -> str:
    """Return the message of the exception that user code raised, not of Dagster's wrapper around it."""
    error = getattr(event.event_specific_data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error else event.message or ""


def _this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{_process_start(os.getpid())}"


def _is_alive(process: str) -> bool:
    host, pid, started = process.rsplit(":", 2)
    return host != socket.gethostname() or _process_start(int(pid)) == started


def _process_start(pid: int) -> str:
    """Start time of a process in clock ticks, so that a reused pid is not taken for the run's; "gone" without one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return "gone"
    return "gone" if fields[0] == "Z" else fields[19]
