"""Locks under which concurrent loads take turns where an engine lets several write at once.

DuckDB has one writer. On Snowflake, Oracle and SQL Server one run is started at a time (`orchestration.instance`); on
Oracle commands take turns with it as well.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa


def take_turns(connection: sa.Connection, written: sa.Table, read: Iterable[sa.Table] = ()) -> None:
    """Until the transaction ends, keep others from loading `written`, and from changing what its load reads.

    Must come first in a transaction: what it sees is then what those before it left. Tables are locked in the order of
    their names, so that no two loads wait for each other. Who only selects is never kept waiting.
    """
    if connection.dialect.name not in ("postgresql", "oracle"):  # which spell it alike
        return
    quoted = connection.dialect.identifier_preparer
    modes = {quoted.format_table(table): "SHARE" for table in read}
    modes[quoted.format_table(written)] = "SHARE ROW EXCLUSIVE"
    for name, mode in sorted(modes.items()):
        connection.exec_driver_sql(f"LOCK TABLE {name} IN {mode} MODE")
