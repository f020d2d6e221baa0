"""What a database holds, from its dictionary: schemas, tables, columns, comments, views and indexes.

Each question is one statement over all schemas; asking SQLAlchemy's inspector table by table takes hundreds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.warehouse.stored_types import StoredType, found_type
from cdm_assets.warehouse.tables import Tables

Name = tuple[str, str]
"""Schema and name of a table or view."""


@dataclass(frozen=True)
class FoundColumn:
    """A column that is there."""

    type: StoredType
    nullable: bool
    comment: str = ""


@dataclass
class FoundRelation:
    """A table or view that is there; its columns in their order."""

    is_view: bool = False
    columns: dict[str, FoundColumn] = field(default_factory=dict)
    comment: str = ""
    stored_as: str = ""
    """Hash of a view's text as the database keeps it."""


@dataclass
class FoundDatabase:
    """What is there of the platform's schemas."""

    schemas: frozenset[str] = frozenset()
    relations: dict[Name, FoundRelation] = field(default_factory=dict)
    indexes: frozenset[tuple[str, str]] = frozenset()
    """Schema and name of each index and key."""


_OF_ORACLE: Final = "oracle"
_COLUMNS: Final = """
select table_schema as s, table_name as t, column_name as c, data_type as kind, character_maximum_length as length,
       numeric_precision as digits, numeric_scale as scale, is_nullable as nullable
from information_schema.columns where table_schema in :schemas order by table_schema, table_name, ordinal_position
"""
_COLUMNS_ORACLE: Final = """
select owner as s, table_name as t, column_name as c, data_type as kind, char_length as length,
       data_precision as digits, data_scale as scale, nullable as nullable
from all_tab_columns where owner in :schemas order by owner, table_name, column_id
"""
_NAMES: Final = """
select table_schema as s, table_name as t, column_name as c from information_schema.columns
where table_schema in :schemas
"""
_NAMES_ORACLE: Final = (
    "select owner as s, table_name as t, column_name as c from all_tab_columns where owner in :schemas"
)
_SCHEMAS: Final = "select schema_name as s from information_schema.schemata where schema_name in :schemas"
_SCHEMAS_ORACLE: Final = "select username as s from all_users where username in :schemas"
_VIEWS: Final = {
    "duckdb": "select schema_name as s, view_name as t, sql as body from duckdb_views() where schema_name in :schemas",
    "postgresql": """
        select n.nspname as s, c.relname as t, pg_get_viewdef(c.oid) as body
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind = 'v' and n.nspname in :schemas""",
    "snowflake": """
        select table_schema as s, table_name as t, view_definition as body
        from information_schema.views where table_schema in :schemas""",
    "oracle": "select owner as s, view_name as t, text_vc as body from all_views where owner in :schemas",
    "mssql": """
        select s.name as s, v.name as t, m.definition as body
        from sys.views v join sys.schemas s on s.schema_id = v.schema_id
        join sys.sql_modules m on m.object_id = v.object_id where s.name in :schemas""",
}
_COMMENTS: Final = {
    "duckdb": """
        select schema_name as s, table_name as t, column_name as c, comment as note
        from duckdb_columns() where comment is not null and schema_name in :schemas
        union all
        select schema_name, table_name, null, comment
        from duckdb_tables() where comment is not null and schema_name in :schemas""",
    "postgresql": """
        select n.nspname as s, r.relname as t, a.attname as c, d.description as note
        from pg_description d
        join pg_class r on r.oid = d.objoid and d.classoid = 'pg_class'::regclass
        join pg_namespace n on n.oid = r.relnamespace
        left join pg_attribute a on a.attrelid = r.oid and a.attnum = d.objsubid and d.objsubid > 0
        where n.nspname in :schemas and r.relkind in ('r', 'p')""",
    "snowflake": """
        select table_schema as s, table_name as t, column_name as c, comment as note
        from information_schema.columns where comment is not null and table_schema in :schemas
        union all
        select table_schema, table_name, null, comment
        from information_schema.tables where comment is not null and table_schema in :schemas""",
    "oracle": """
        select owner as s, table_name as t, column_name as c, comments as note
        from all_col_comments where comments is not null and owner in :schemas
        union all
        select owner, table_name, null, comments
        from all_tab_comments where comments is not null and owner in :schemas""",
    "mssql": """
        select s.name as s, o.name as t, c.name as c, cast(p.value as nvarchar(max)) as note
        from sys.extended_properties p
        join sys.objects o on o.object_id = p.major_id
        join sys.schemas s on s.schema_id = o.schema_id
        left join sys.columns c on c.object_id = p.major_id and c.column_id = p.minor_id
        where p.class = 1 and p.name = 'MS_Description' and s.name in :schemas""",
}
_INDEXES: Final = {
    "postgresql": "select schemaname as s, indexname as t from pg_indexes where schemaname in :schemas",
    "oracle": "select owner as s, index_name as t from all_indexes where owner in :schemas",
    "mssql": """
        select s.name as s, i.name as t
        from sys.indexes i
        join sys.objects o on o.object_id = i.object_id
        join sys.schemas s on s.schema_id = o.schema_id
        where i.name is not null and s.name in :schemas""",
}


def columns_present(connection: sa.Connection, tables: Tables) -> dict[Name, set[str]]:
    """The names of the columns of each table and view in the platform's schemas."""
    query = _NAMES_ORACLE if connection.dialect.name == _OF_ORACLE else _spelled_for(connection, _NAMES)
    present: dict[Name, set[str]] = {}
    for row in _ask(connection, query, _schemas(tables)):
        present.setdefault((row[0], row[1]), set()).add(row[2])
    return present


def schemas_present(connection: sa.Connection, schemas: Sequence[str]) -> frozenset[str]:
    """Which of `schemas` there are."""
    query = _SCHEMAS_ORACLE if connection.dialect.name == _OF_ORACLE else _spelled_for(connection, _SCHEMAS)
    return frozenset(row[0] for row in _ask(connection, query, schemas))


def read_database(connection: sa.Connection, tables: Tables) -> FoundDatabase:
    """Everything that can be compared with what the catalog declares."""
    engine, schemas = connection.dialect.name, _schemas(tables)
    found = FoundDatabase(schemas_present(connection, schemas))
    for s, t, c, kind, length, digits, scale, nullable in _ask(
        connection, _COLUMNS_ORACLE if engine == _OF_ORACLE else _spelled_for(connection, _COLUMNS), schemas, names=3
    ):
        column = FoundColumn(found_type(engine, kind, length, digits, scale), str(nullable).upper() in ("YES", "Y"))
        found.relations.setdefault((s, t), FoundRelation()).columns[c] = column
    for s, t, body in _ask(connection, _VIEWS[engine], schemas, names=2):
        if (s, t) in found.relations:
            found.relations[s, t].is_view, found.relations[s, t].stored_as = True, hash_of(body)
    for s, t, c, note in _ask(connection, _COMMENTS[engine], schemas, names=3):
        _put_comment(found.relations.get((s, t)), c, note)
    if engine in _INDEXES:
        found.indexes = frozenset((row[0], row[1]) for row in _ask(connection, _INDEXES[engine], schemas))
    return found


def _spelled_for(connection: sa.Connection, query: str) -> str:
    """The query over `information_schema`, whose names are upper-case where SQL Server tells case."""
    return query.upper().replace(":SCHEMAS", ":schemas") if connection.dialect.name == "mssql" else query


def _put_comment(relation: FoundRelation | None, column: str | None, note: str) -> None:
    if relation is None:
        return
    if column is None:
        relation.comment = note
    elif column in relation.columns:
        of_old = relation.columns[column]
        relation.columns[column] = FoundColumn(of_old.type, of_old.nullable, note)


def view_hashes(connection: sa.Connection, tables: Tables) -> dict[str, str]:
    """Of each view `schema.name` the hash of its text as the database keeps it."""
    views = _ask(connection, _VIEWS[connection.dialect.name], _schemas(tables), names=2)
    return {f"{schema}.{name}": hash_of(body) for schema, name, body in views}


def hash_of(text: str | None) -> str:
    """64 hexadecimal digits."""
    return sha256((text or "").encode()).hexdigest()


def _schemas(tables: Tables) -> list[str]:
    return sorted({str(table.schema) for table in tables.metadata.sorted_tables})


def _ask(connection: sa.Connection, query: str, schemas: Iterable[str], *, names: int = 3) -> list[tuple[Any, ...]]:
    """The answer, its first columns names as we spell them (Oracle and Snowflake keep plain names in upper case)."""
    dialect = connection.dialect
    asked = sa.text(query).bindparams(sa.bindparam("schemas", expanding=True))
    given: list[str] = list(schemas)
    if not dialect.requires_name_normalize:
        return [tuple(row) for row in connection.execute(asked, {"schemas": given})]
    stored = [str(dialect.denormalize_name(name)) for name in given]
    rows = connection.execute(asked, {"schemas": stored})
    return [(*(_spelled(dialect, part) for part in row[:names]), *row[names:]) for row in rows]


def _spelled(dialect: sa.Dialect, name: str | None) -> str | None:
    return None if name is None else str(dialect.normalize_name(name))
