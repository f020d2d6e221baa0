"""One load of a range, told to Dagster partition by partition.

Dagster copies the result of a range run to all its partitions and stores a check of a range once, without a partition,
leaving the partitions "planned" for ever. Here every partition gets a materialization with its own numbers and every
(check, partition) its own evaluation, pointing at that materialization.

A failed blocking check of a one-partition run fails the step, as Dagster does it. In a range the good days go on: the
evaluations are stored without passing through the step, so the failed day is red and blocking in the UI, the step
succeeds, and whoever publishes asks the check results which days to leave out.

Private to Dagster, all of it here and pinned by `test_partition_events.py`: the step's metadata accumulator (the public
`add_asset_metadata` lists the whole range once a partition), the construction of a `DagsterEvent`, and the name of a
check's output.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    MaterializeResult,
    OpExecutionContext,
    Output,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.events import BATCH_WRITABLE_EVENTS, DagsterEventBatchMetadata, StepMaterializationData
from dagster._core.execution.context.metadata_logging import AssetMetadataHandle, OutputMetadataAccumulator
from dagster._time import get_current_timestamp

from cdm_assets.loading.report import CheckOutcome, LoadReport, RowCounts
from cdm_assets.orchestration.event_batches import EventBatches

_COLUMN_LINEAGE = "dagster/column_lineage"
_NOTHING: Mapping[date, Mapping[str, Any]] = MappingProxyType({})
_SEVERITY = {"error": AssetCheckSeverity.ERROR, "warn": AssetCheckSeverity.WARN}


class IncompleteReport(Exception):
    """A loader's report does not cover the partitions and checks of its run. A mistake in the loader: do not retry."""


def report_partitions(
    context: AssetExecutionContext, report: LoadReport, shown: Mapping[date, Mapping[str, Any]] = _NOTHING
) -> Iterator[MaterializeResult[None] | AssetCheckEvaluation | Output[None]]:
    """Events of `report` for the one table of this step; an asset body ends with `yield from` this.

    The table's partitions definition keys are ISO dates (daily, or the first day of a week). `shown` is further
    metadata by date, such as plots.
    Raises IncompleteReport if a partition of the run or a declared check of a partition is missing, or one is unknown.
    """
    partitions = list(context.partition_keys)
    _require_complete(context, report, partitions)
    asset_key = context.asset_key
    metadata = _partition_metadata(report, shown)
    metadata[partitions[-1]] |= _column_lineage(context, asset_key)
    _set_partition_metadata(context, asset_key, metadata)
    yield MaterializeResult(asset_key=asset_key, metadata={**report.metadata, "seconds": round(report.seconds, 3)})
    evaluations = _evaluations(context, asset_key, report.checks)
    if len(partitions) == 1:
        yield from evaluations
    else:
        _store(context, DagsterEventType.ASSET_CHECK_EVALUATION, evaluations)
    for output_name in context.assets_def.check_specs_by_output_name:
        yield Output(None, output_name=output_name)


def _require_complete(context: AssetExecutionContext, report: LoadReport, partitions: Sequence[str]) -> None:
    checks = {spec.name for spec in context.assets_def.check_specs}
    expected = {(check, partition) for check in checks for partition in partitions}
    outcomes = [(outcome.check, outcome.business_date.isoformat()) for outcome in report.checks]
    problems = [
        *_differences("row counts", {day.isoformat() for day in report.row_counts}, set(partitions)),
        *_differences("rows", {day.isoformat() for day in report.rows}, set(partitions)),
        *_differences("check results", {" ".join(pair) for pair in outcomes}, {" ".join(pair) for pair in expected}),
        *(
            [f"{len(outcomes) - len(set(outcomes))} repeated check results"]
            if len(outcomes) > len(set(outcomes))
            else []
        ),
    ]
    if problems:
        raise IncompleteReport(f"{report.table}: {'; '.join(problems)}")


def _differences(what: str, found: set[str], expected: set[str]) -> Iterator[str]:
    for word, items in (("missing", expected - found), ("not asked for", found - expected)):
        if items:
            yield f"{what} {word}: {', '.join(sorted(items)[:5])}{' …' if len(items) > 5 else ''} ({len(items)})"


def _column_lineage(context: AssetExecutionContext, asset_key: AssetKey) -> Mapping[str, Any]:
    """The definition's column lineage, where the UI looks for it: on the latest materialization, so once a run."""
    declared = context.assets_def.metadata_by_key[asset_key]
    return {_COLUMN_LINEAGE: declared[_COLUMN_LINEAGE]} if _COLUMN_LINEAGE in declared else {}


def _partition_metadata(
    report: LoadReport, shown: Mapping[date, Mapping[str, Any]] = _NOTHING
) -> dict[str, dict[str, Any]]:
    return {
        day.isoformat(): _row_metadata(report.rows[day], counts) | dict(shown.get(day, {}))
        for day, counts in report.row_counts.items()
    }


def _row_metadata(rows: int, counts: RowCounts) -> dict[str, Any]:
    return {
        "dagster/partition_row_count": rows,
        "rows_read": counts.read,
        "rows_inserted": counts.inserted,
        "rows_removed": counts.removed,
        "rows_rejected": counts.rejected,
    }


def _set_partition_metadata(
    context: AssetExecutionContext, asset_key: AssetKey, metadata: Mapping[str, Mapping[str, Any]]
) -> None:
    step_context = context.get_step_execution_context()
    step_context._metadata_accumulator = OutputMetadataAccumulator(  # noqa: SLF001
        per_output_metadata={
            **step_context._metadata_accumulator.per_output_metadata,  # noqa: SLF001
            **{
                AssetMetadataHandle(asset_key=asset_key, partition_key=partition): values
                for partition, values in metadata.items()
            },
        }
    )


def store_partitions(
    context: OpExecutionContext,
    asset_key: AssetKey,
    report: LoadReport,
    metadata: Mapping[str, Any],
    shown: Mapping[date, Mapping[str, Any]] = _NOTHING,
) -> None:
    """Store materializations and evaluations of `report` from a step that is no asset's.

    `metadata` goes on the last one, `shown` on those of its dates.
    """
    shared = {**report.metadata, "seconds": round(report.seconds, 3)}
    by_partition = _partition_metadata(report, shown)
    by_partition[max(by_partition)] |= metadata
    materializations = [
        StepMaterializationData(AssetMaterialization(asset_key, partition=partition, metadata={**shared, **values}))
        for partition, values in by_partition.items()
    ]
    _store(context, DagsterEventType.ASSET_MATERIALIZATION, materializations)
    store_evaluations(context, asset_key, report.checks)


def store_evaluations(context: OpExecutionContext, asset_key: AssetKey, outcomes: Sequence[CheckOutcome]) -> None:
    """Store check results, each pointing at the latest materialization of its partition."""
    _store(context, DagsterEventType.ASSET_CHECK_EVALUATION, _evaluations(context, asset_key, outcomes))


def _evaluations(
    context: OpExecutionContext | AssetExecutionContext, asset_key: AssetKey, outcomes: Sequence[CheckOutcome]
) -> Sequence[AssetCheckEvaluation]:
    if not outcomes:
        return []
    materializations = context.instance.get_latest_storage_id_by_partition(
        asset_key,
        DagsterEventType.ASSET_MATERIALIZATION,
        {outcome.business_date.isoformat() for outcome in outcomes},
    )
    timestamp = get_current_timestamp()
    targets = {
        partition: AssetCheckEvaluationTargetMaterializationData(
            storage_id=storage_id, run_id=context.run.run_id, timestamp=timestamp
        )
        for partition, storage_id in materializations.items()
    }
    return [_evaluation(asset_key, outcome, targets) for outcome in outcomes]


def _evaluation(
    asset_key: AssetKey, outcome: CheckOutcome, targets: Mapping[str, AssetCheckEvaluationTargetMaterializationData]
) -> AssetCheckEvaluation:
    partition = outcome.business_date.isoformat()
    return AssetCheckEvaluation(
        asset_key=asset_key,
        check_name=outcome.check,
        passed=outcome.passed,
        metadata=outcome.metadata,
        target_materialization_data=targets.get(partition),
        severity=_SEVERITY[outcome.severity],
        blocking=outcome.blocking,
        partition=partition,
    )


def _store(
    context: OpExecutionContext | AssetExecutionContext,
    event_type: DagsterEventType,
    contents: Sequence[Any],
) -> None:
    """Store events as one batch, past the step: a failed evaluation must not fail the other days."""
    batch_id = str(uuid4())
    # A stock storage refuses a batch of evaluations, and Dagster stores them one by one after complaining.
    takes_batch = event_type in BATCH_WRITABLE_EVENTS or isinstance(context.instance.event_log_storage, EventBatches)
    step_key = context.get_step_execution_context().step.key
    for number, content in enumerate(contents, start=1):
        event = DagsterEvent(
            event_type_value=event_type.value,
            job_name=context.job_name,
            event_specific_data=content,
            step_key=step_key,
        )
        context.instance.report_dagster_event(
            event,
            context.run.run_id,
            logging.DEBUG,
            batch_metadata=DagsterEventBatchMetadata(batch_id, number == len(contents)) if takes_batch else None,
        )
