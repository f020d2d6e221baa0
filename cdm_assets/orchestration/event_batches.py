"""Batches of events in an event log kept by SQL: what Dagster writes row by row, written in a few statements.

Mixed into Dagster's SQL storages. It writes the same rows into the same tables as they do, only fewer statements; it
stands on private methods of the pinned Dagster, and tests compare its rows with the stock classes'.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagster import DagsterEventType
from dagster._core.events import ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy.engine import Connection

EVENTS_PER_BATCH = 1000

StoredEvent = tuple[EventLogEntry, Mapping[str, Any], int]
"""An event, its row and the row's id."""

_CHECK_KEY = ("asset_key", "check_name", "run_id", "partition")


class EventBatches(SqlEventLogStorage):
    """The asset and check indexes of a batch of stored events."""

    @staticmethod
    def _upsert(table: Any) -> Any:
        """The dialect's insert with `on_conflict_do_update`."""
        raise NotImplementedError

    def _index_asset_events(self, connection: Connection, stored: Sequence[StoredEvent]) -> None:
        of_assets = [(event, event_id) for event, _, event_id in stored if event.dagster_event_type in ASSET_EVENTS]
        if not of_assets:
            return
        self._store_asset_event_tags(connection, [event for event, _ in of_assets], [id_ for _, id_ in of_assets])
        # An asset's row shows its latest event of a kind, so the earlier ones of the batch need not be written.
        latest = {(event.dagster_event_type, _asset_key(event)): (event, event_id) for event, event_id in of_assets}
        # By asset, so that two runs beside each other lock the rows of their assets in one order.
        for event, event_id in sorted(latest.values(), key=lambda pair: (_asset_key(pair[0]) or "", pair[1])):
            self._store_asset_event(connection, event, event_id)

    def _index_check_events(
        self, connection: Connection, stored: Sequence[StoredEvent]
    ) -> Sequence[tuple[EventLogEntry, int]]:
        """Write the check table for partitioned checks; returns the events left to the stock, one-by-one way."""
        planned: list[dict[str, Any]] = []
        evaluated: dict[tuple[Any, ...], dict[str, Any]] = {}
        left: list[tuple[EventLogEntry, int]] = []
        for event, row, event_id in stored:
            if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
                planned.extend(_planned_check_rows(event, row, event_id))
            elif event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
                if event.run_id and event.get_dagster_event().asset_check_evaluation_data.partition is not None:
                    evaluation = _evaluated_check_row(event, row, event_id)
                    evaluated[tuple(evaluation[name] for name in _CHECK_KEY)] = evaluation
                else:
                    left.append((event, event_id))
        if planned:
            connection.execute(AssetCheckExecutionsTable.insert(), planned)
        if evaluated:
            rows = list(evaluated.values())
            upsert = self._upsert(AssetCheckExecutionsTable)
            values = {name: upsert.excluded[name] for name in rows[0] if name not in _CHECK_KEY}
            connection.execute(upsert.on_conflict_do_update(index_elements=_CHECK_KEY, set_=values), rows)
        return left


def _asset_key(event: EventLogEntry) -> str | None:
    key = event.get_dagster_event().asset_key
    return key.to_string() if key else None


def _planned_check_rows(event: EventLogEntry, row: Mapping[str, Any], event_id: int) -> Iterator[dict[str, Any]]:
    planned = event.get_dagster_event().asset_check_planned_data
    subset = planned.partitions_subset
    for partition in subset.get_partition_keys() if subset else [None]:
        yield {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "partition": partition,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": row["event"],
            "evaluation_event_timestamp": row["timestamp"],
            "evaluation_event_storage_id": event_id,
        }


def _evaluated_check_row(event: EventLogEntry, row: Mapping[str, Any], event_id: int) -> dict[str, Any]:
    evaluation = event.get_dagster_event().asset_check_evaluation_data
    status = AssetCheckExecutionRecordStatus.SUCCEEDED if evaluation.passed else AssetCheckExecutionRecordStatus.FAILED
    target = evaluation.target_materialization_data
    return {
        "asset_key": evaluation.asset_key.to_string(),
        "check_name": evaluation.check_name,
        "run_id": event.run_id,
        "partition": evaluation.partition,
        "execution_status": status.value,
        "evaluation_event": row["event"],
        "evaluation_event_timestamp": row["timestamp"],
        "evaluation_event_storage_id": event_id,
        "materialization_event_storage_id": target.storage_id if target else None,
    }
