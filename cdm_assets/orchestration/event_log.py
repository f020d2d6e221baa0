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

from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine
from sqlalchemy import event as engine_events
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool

from cdm_assets.orchestration.event_batches import EVENTS_PER_BATCH, EventBatches

OPEN_SHARDS = 16
"""Connections kept: the index and the runs used last. A webserver that lists a thousand runs must not hold them all."""

_MIRRORED = ASSET_EVENTS | ASSET_CHECK_EVENTS | set(EVENT_TYPE_TO_PIPELINE_RUN_STATUS)


class BatchedSqliteEventLogStorage(EventBatches, SqliteEventLogStorage):
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

    @staticmethod
    def _upsert(table: Any) -> Any:
        return sqlite_insert(table)

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
            self._index_asset_events(connection, stored)
            unindexed = self._index_check_events(connection, stored)
        for event, event_id in unindexed:
            self.store_asset_check_event(event, event_id)


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
