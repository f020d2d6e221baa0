"""What each engine is told of a table besides its columns: keys, indexes, partitioning or clustering by business date.

Loads remove and insert whole business dates, and look up vault rows by hash key. What serves that best differs:

- *DuckDB*: nothing. Its zone maps skip what is of other dates, and a key would cost more than the load (6.8 s instead
  of 1.9 s for a million rows).
- *PostgreSQL*: a BRIN index on the date, which costs a load next to nothing. Native partitions by date would have to be
  created ahead of each load, and a key over a partitioned table must contain the date, which a hub's does not.
- *Snowflake*: clustering by date. It does not enforce keys, so none is declared.
- *Oracle*: interval partitioning by month, which makes its partitions itself.
- *SQL Server*: the table in the order of the date (clustered index).

Hash keys of hubs, links and events are primary keys on PostgreSQL and Oracle, checked when the transaction commits: a
load inserts new rows before it removes old ones. SQL Server cannot defer that, so there they are indexes. Behind the
vault a table may hold a key twice until a check has stopped what depends on it, so it has none. Hash keys are what
makes a day's load look up its own keys instead of reading the whole history; a million new keys at once take 12 s more
with them on PostgreSQL, the BRIN index 1 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable, ExecutableDDLElement

from cdm_assets.catalog.types import Layer
from cdm_assets.warehouse.tables import BUSINESS_DATE, Tables

_LONGEST_NAME: Final = 63
_LOOKED_UP_BY: Final = {
    "check_result": ("table_key", "business_date"),
    "landing_file": ("source", "business_date"),
    "load_log": ("table_key",),
    "partition_load": ("table_key", "business_date"),
    "rejected_record": ("source", "business_date"),
    "stale_partition": ("table_key", "business_date"),
}
"""Control tables that grow by the day, and what they are searched by."""


class CreateDeclaredTable(CreateTable):
    """CREATE TABLE with what the engine is told besides the columns."""

    inherit_cache = False


@compiles(CreateDeclaredTable)
def _create_table(element: CreateDeclaredTable, compiler: Any, **kw: Any) -> str:
    return str(compiler.visit_create_table(element, **kw)).strip()


@compiles(CreateDeclaredTable, "oracle")
def _create_table_oracle(element: CreateDeclaredTable, compiler: Any, **kw: Any) -> str:
    text = _create_table(element, compiler, **kw)
    if not _is_by_date(element.element):
        return text
    return (
        f"{text}\nPARTITION BY RANGE ({BUSINESS_DATE}) INTERVAL (NUMTOYMINTERVAL(1, 'MONTH')) "
        "(PARTITION p0 VALUES LESS THAN (DATE '2000-01-01'))"
    )


@compiles(CreateDeclaredTable, "snowflake")
def _create_table_snowflake(element: CreateDeclaredTable, compiler: Any, **_kw: Any) -> str:
    """Comments stand inside: one statement a table instead of one a column, of which each is a round trip."""
    table = element.element
    lines = []
    for column in table.c:
        comment = f" COMMENT {_quoted(column.comment)}" if column.comment else ""
        lines.append(f"\t{compiler.get_column_specification(column)}{comment}")
    text = f"CREATE TABLE {compiler.preparer.format_table(table)} (\n" + ",\n".join(lines) + "\n)"
    if _is_by_date(table):
        text += f"\nCLUSTER BY ({BUSINESS_DATE})"
    return f"{text}\nCOMMENT = {_quoted(table.comment)}" if table.comment else text


def _quoted(text: str) -> str:
    """A text as Snowflake reads it, to which a backslash is an escape."""
    doubled = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"


def _is_by_date(table: sa.Table) -> bool:
    """Control tables are small and change in place; the others grow by whole dates, or are dated by who writes them."""
    return BUSINESS_DATE in table.c and not str(table.info["key"]).startswith(f"{Layer.CONTROL}.")


@dataclass(frozen=True)
class TableIndex:
    """An index or key of a table, by a name that is unique in its schema."""

    name: str
    table: sa.Table
    columns: tuple[str, ...]
    form: str
    """key, index, brin or clustered."""

    @property
    def is_key(self) -> bool:
        """Whether it also keeps its columns unique."""
        return self.form == "key"


class CreateTableIndex(ExecutableDDLElement):
    """CREATE INDEX, or ALTER TABLE ADD PRIMARY KEY."""

    inherit_cache = False

    def __init__(self, index: TableIndex) -> None:
        self.index = index


@compiles(CreateTableIndex)
def _create_index(element: CreateTableIndex, compiler: Any, **_kw: Any) -> str:
    index, quote = element.index, compiler.preparer.quote
    table = compiler.preparer.format_table(index.table)
    columns = ", ".join(quote(name) for name in index.columns)
    if index.form == "key":
        return (
            f"ALTER TABLE {table} ADD CONSTRAINT {quote(index.name)} PRIMARY KEY ({columns}) "
            "DEFERRABLE INITIALLY DEFERRED"
        )
    if index.form == "brin":
        # Multi-range summaries stay narrow when a date is loaded again into the space of another.
        return (
            f"CREATE INDEX {quote(index.name)} ON {table} USING brin ({columns} date_minmax_multi_ops) "
            "WITH (autosummarize = on)"
        )
    if index.form == "clustered":
        return f"CREATE CLUSTERED INDEX {quote(index.name)} ON {table} ({columns})"
    name = quote(index.name)
    if compiler.dialect.name == "oracle":  # an index belongs to its schema, not to its table's
        name = f"{compiler.preparer.quote_schema(str(index.table.schema))}.{name}"
    return f"CREATE INDEX {name} ON {table} ({columns})"


def indexes_of(tables: Tables, table: sa.Table, engine: str) -> tuple[TableIndex, ...]:
    """The keys and indexes that `engine` is to have on a table."""
    if engine not in ("postgresql", "oracle", "mssql"):
        return ()
    return tuple(_indexes(tables, table, engine))


def _indexes(tables: Tables, table: sa.Table, engine: str) -> Iterator[TableIndex]:
    key = tables.key_of(table)
    layer, name = key.split(".")

    def index(prefix: str, columns: tuple[str, ...], form: str = "index") -> TableIndex:
        return TableIndex(f"{prefix}_{name}"[:_LONGEST_NAME], table, columns, form)

    if layer == Layer.CONTROL:
        if name in _LOOKED_UP_BY:
            yield index("ix", _LOOKED_UP_BY[name])
        return
    if engine == "postgresql":
        yield index("bx", (BUSINESS_DATE,), "brin")
    elif engine == "mssql":
        yield index("cx", (BUSINESS_DATE,), "clustered")
    if layer == Layer.VAULT:
        hash_key = tables.meta(key).key
        if name.startswith("s_"):
            yield index("ix", (*hash_key, BUSINESS_DATE))
        else:
            yield index("ix", hash_key) if engine == "mssql" else index("pk", hash_key, "key")
    elif layer == Layer.PUBLISH and engine != "mssql":
        # Who reads what is published asks for the latest date, or for one customer on a date.
        yield index("ix", (BUSINESS_DATE, *tables.meta(key).key))
