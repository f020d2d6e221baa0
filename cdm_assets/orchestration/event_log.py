"""The event log of a local deployment: Dagster's own SQLite files, written in batches over open connections.

The stock storage opens an engine, a connection and (on close) a checkpoint for every query and writes one event a
transaction; on a slow disk that is a second a step. This subclass keeps the tables, files and migrations as they are,
so a stock webserver or daemon reads and writes beside it, and changes three things only:

* one open connection a shard (the index and the runs used last), in WAL mode with `synchronous=NORMAL`: a killed
  process loses nothing that was committed, a power cut may lose the last moments but never damages the file;
* a batch of events is one transaction a shard, asset and check indexes included;
* batches are turned on (`DAGSTER_EVENT_BATCH_SIZE`), because Dagster leaves them off for storages of its own.

It stands on private methods of `SqliteEventLogStorage` of the pinned Dagster; `test_event_log.py` compares it with the
stock class, so an upgrade that moves them fails there.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dagster import DagsterEventType
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine
from sqlalchemy import event as engine_events
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool

OPEN_SHARDS = 16
"""Connections kept: the index and the runs used last. A webserver that lists a thousand runs must not hold them all."""

EVENTS_PER_BATCH = 1000

_MIRRORED = ASSET_EVENTS | ASSET_CHECK_EVENTS | set(EVENT_TYPE_TO_PIPELINE_RUN_STATUS)
_CHECK_KEY = ("asset_key", "check_name", "run_id", "partition")


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """`SqliteEventLogStorage` with open connections and one transaction a batch. Safe for several processes at once."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENTS_PER_BATCH))
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._engines_pid = os.getpid()
        self._tables_seen: set[str] = set()
        self._asset_keys_have_index_columns: bool | None = None
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> "BatchedSqliteEventLogStorage":
        """Build the storage that `dagster.yaml` names; the stock method builds its own class whatever was asked."""
        return cls(inst_data=inst_data, **config_value)

    # Connections

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        if self._engines_pid != os.getpid():
            # A SQLite connection must not cross a fork; the child forgets the parent's without closing them.
            self._engines, self._engines_pid = OrderedDict(), os.getpid()
        engine = self._engines.pop(shard, None) or _open_engine(self.conn_string_for_shard(shard))
        self._engines[shard] = engine
        if len(self._engines) > OPEN_SHARDS:
            self._engines.popitem(last=False)[1].dispose()
        return engine

    def _close_engines(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    def wipe(self) -> None:
        """Delete all runs' files and the index's rows, with no connection left open to a deleted file."""
        self._close_engines()
        super().wipe()

    def dispose(self) -> None:
        """Close the connections, which also folds the write-ahead logs into the files."""
        self._close_engines()
        super().dispose()

    # What the stock class asks the database before every event, asked once

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table; a table that was seen once stays."""
        if table_name not in self._tables_seen and super().has_table(table_name):
            self._tables_seen.add(table_name)
        return table_name in self._tables_seen

    def _has_asset_key_index_cols_on_connection(self, conn: Connection) -> bool:
        if self._asset_keys_have_index_columns is None:
            self._asset_keys_have_index_columns = super()._has_asset_key_index_cols_on_connection(conn)
        return self._asset_keys_have_index_columns

    # Writing

    def store_event(self, event: EventLogEntry) -> None:
        """Store one event: a batch of one."""
        self.store_event_batch([event])

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store `events` in the order given: one transaction for each run's shard, then one for the index."""
        rows = [(event, self._event_to_row(event)) for event in events]
        for run_id in dict.fromkeys(event.run_id for event in events):
            with self.run_connection(run_id) as connection:
                connection.execute(
                    SqlEventLogStorageTable.insert(), [row for event, row in rows if event.run_id == run_id]
                )
        mirrored = [(event, row) for event, row in rows if event.dagster_event_type in _MIRRORED]
        if not mirrored:
            return
        with self.index_connection() as connection:
            insert = SqlEventLogStorageTable.insert().returning(
                SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
            )
            ids = connection.scalars(insert, [row for _, row in mirrored]).all()
            stored = [(event, row, event_id) for (event, row), event_id in zip(mirrored, ids, strict=True)]
            self._index_asset_events(connection, [(event, event_id) for event, _, event_id in stored])
            unindexed = self._index_check_events(connection, stored)
        for event, event_id in unindexed:
            self.store_asset_check_event(event, event_id)

    def _index_asset_events(self, connection: Connection, stored: Sequence[tuple[EventLogEntry, int]]) -> None:
        of_assets = [(event, event_id) for event, event_id in stored if event.dagster_event_type in ASSET_EVENTS]
        if not of_assets:
            return
        self._store_asset_event_tags(connection, [event for event, _ in of_assets], [id_ for _, id_ in of_assets])
        # An asset's row shows its latest event of a kind, so the earlier ones of the batch need not be written.
        latest = {(event.dagster_event_type, _asset_key(event)): (event, event_id) for event, event_id in of_assets}
        for event, event_id in sorted(latest.values(), key=lambda pair: pair[1]):
            self._store_asset_event(connection, event, event_id)

    def _index_check_events(
        self, connection: Connection, stored: Sequence[tuple[EventLogEntry, dict[str, Any], int]]
    ) -> Sequence[tuple[EventLogEntry, int]]:
        """Write the check table for partitioned checks; returns the events left to the stock, one-by-one way."""
        planned: list[dict[str, Any]] = []
        evaluated: list[dict[str, Any]] = []
        left: list[tuple[EventLogEntry, int]] = []
        for event, row, event_id in stored:
            if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
                planned.extend(_planned_check_rows(event, row, event_id))
            elif event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
                if event.run_id and event.get_dagster_event().asset_check_evaluation_data.partition is not None:
                    evaluated.append(_evaluated_check_row(event, row, event_id))
                else:
                    left.append((event, event_id))
        if planned:
            connection.execute(AssetCheckExecutionsTable.insert(), planned)
        if evaluated:
            upsert = sqlite_insert(AssetCheckExecutionsTable)
            values = {name: upsert.excluded[name] for name in evaluated[0] if name not in _CHECK_KEY}
            connection.execute(upsert.on_conflict_do_update(index_elements=_CHECK_KEY, set_=values), evaluated)
        return left


def _open_engine(conn_string: str) -> Engine:
    engine = create_engine(
        conn_string,
        poolclass=StaticPool,
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
    )

    @engine_events.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def _asset_key(event: EventLogEntry) -> str | None:
    key = event.get_dagster_event().asset_key
    return key.to_string() if key else None


def _planned_check_rows(event: EventLogEntry, row: dict[str, Any], event_id: int) -> Iterator[dict[str, Any]]:
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


def _evaluated_check_row(event: EventLogEntry, row: dict[str, Any], event_id: int) -> dict[str, Any]:
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
