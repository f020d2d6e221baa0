"""What the planner of an engine is told of a table that a load has changed."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

_CHANGED_SHARE: Final = 0.1
"""Of a table's rows, as autovacuum counts; an ordinary day of a long history changes less."""


def refresh_statistics(connection: sa.Connection, table: sa.Table) -> None:
    """Have PostgreSQL look at `table` where the session has just changed much of it.

    Autovacuum would, but a minute later: what the next tables make of a table that the planner takes for empty runs
    for minutes in nested loops. The other engines keep statistics themselves as they load.
    """
    if connection.dialect.name != "postgresql":
        return
    name = connection.dialect.identifier_preparer.format_table(table)
    counted = sa.text(
        "select reltuples, pg_stat_get_xact_tuples_inserted(oid) + pg_stat_get_xact_tuples_deleted(oid) "
        "from pg_class where oid = to_regclass(:name)"
    )
    known, changed = connection.execute(counted, {"name": name}).one()
    if changed > _CHANGED_SHARE * max(known, 0):
        connection.exec_driver_sql(f"ANALYZE {name}")
