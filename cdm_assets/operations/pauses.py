"""The pause switch of each source: while it is on, nothing of the source starts by itself; its files are registered."""

from __future__ import annotations

import sqlalchemy as sa

from cdm_assets.loading.stamp import Stamp, replace_rows
from cdm_assets.warehouse.tables import Tables


def paused_sources(connection: sa.Connection, tables: Tables) -> dict[str, str]:
    """The sources that are paused, each with the reason given."""
    table = tables["cdp_metadata.source_pause"]
    query = sa.select(table.c.source, table.c.reason).order_by(table.c.source)
    return dict(connection.execute(query).tuples().all())


def pause_source(connection: sa.Connection, tables: Tables, source: str, reason: str, stamp: Stamp) -> None:
    """Turn the switch on; a source that is paused gets the new reason."""
    table = tables["cdp_metadata.source_pause"]
    replace_rows(connection, table, table.c.source == source, [{"source": source, "reason": reason, **stamp.row}])


def resume_source(connection: sa.Connection, tables: Tables, source: str) -> bool:
    """Turn the switch off; returns whether it was on. What arrived meanwhile is loaded as late."""
    table = tables["cdp_metadata.source_pause"]
    return bool(connection.execute(sa.delete(table).where(table.c.source == source)).rowcount)
