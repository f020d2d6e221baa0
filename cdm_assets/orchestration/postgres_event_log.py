"""The event log in a PostgreSQL database: Dagster's own tables, over connections that stay open, written in batches.

The stock storage opens a connection for every query of a run and writes the results of checks one by one, three
statements each. This subclass keeps its tables and migrations, so stock webservers and daemons read and write beside
it. As in the stock class a batch's events are one statement and their indexes a transaction after it: ids become
visible in the order in which they are given, which readers that remember the last id rely on.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config
from sqlalchemy.dialects.postgresql import insert as postgresql_insert

from cdm_assets.orchestration.event_batches import EVENTS_PER_BATCH, EventBatches


class BatchedPostgresEventLogStorage(EventBatches, PostgresEventLogStorage):
    """`PostgresEventLogStorage` that writes batches of any events in a few statements."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENTS_PER_BATCH))
        self._tables_seen: set[str] = set()
        super().__init__(*args, **kwargs)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "BatchedPostgresEventLogStorage":
        """Build the storage that `dagster.yaml` names; the stock method builds its own class whatever was asked."""
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            token_provider=get_token_provider_from_config(config_value),
        )

    def has_table(self, table_name: str) -> bool:
        """Whether the database has a table; a table that was seen once stays."""
        if table_name not in self._tables_seen and super().has_table(table_name):
            self._tables_seen.add(table_name)
        return table_name in self._tables_seen

    @staticmethod
    def _upsert(table: Any) -> Any:
        return postgresql_insert(table)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store `events` in the order given, then their indexes."""
        if not events:
            return
        rows = [self._event_to_row(event) for event in events]
        insert = SqlEventLogStorageTable.insert().returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)
        with self.index_connection() as connection:
            ids = connection.scalars(insert, rows).all()
        stored = list(zip(events, rows, ids, strict=True))
        with self.index_transaction() as connection:
            self._index_asset_events(connection, stored)
            unindexed = self._index_check_events(connection, stored)
        for event, event_id in unindexed:
            self.store_asset_check_event(event, event_id)
