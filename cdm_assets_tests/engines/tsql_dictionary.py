"""The dictionary of the stand-in for SQL Server: what DuckDB forgets of a table is written down as T-SQL declared it.

Types and lengths, descriptions, indexes and the text of views; `sys` and INFORMATION_SCHEMA answer from that. An index
or a right is only remembered or taken: nothing here is made faster or refused by it.
"""

from __future__ import annotations

import re
from typing import Final

import duckdb
import sqlglot
from sqlglot import exp

from cdm_assets_tests.engines.tsql_on_duckdb import duckdb_type

_OF_A_COLUMN: Final = "(s varchar, t varchar, c varchar"
OBJECTS: Final = (
    "CREATE SCHEMA dictionary",
    f"CREATE TABLE dictionary.types {_OF_A_COLUMN}, kind varchar, length integer, digits integer, scale integer)",
    f"CREATE TABLE dictionary.notes {_OF_A_COLUMN}, note varchar, PRIMARY KEY (s, t, c))",
    "CREATE TABLE dictionary.indexes (s varchar, t varchar, name varchar, PRIMARY KEY (s, t, name))",
    "CREATE TABLE dictionary.modules (s varchar, t varchar, body varchar)",
    "CREATE MACRO dictionary.id(s, t) AS hash(s || '.' || t)",
    """
    CREATE VIEW dictionary.columns AS
    SELECT table_schema, table_name, column_name, ordinal_position, is_nullable,
        coalesce(kind, data_type) AS data_type, length AS character_maximum_length, digits AS numeric_precision, scale
        AS numeric_scale
    FROM information_schema.columns
    LEFT JOIN dictionary.types ON s = table_schema AND t = table_name AND c = column_name
    """,
    "CREATE SCHEMA sys",
    """
    CREATE VIEW sys.schemas AS
    SELECT DISTINCT schema_name AS name, hash(schema_name) AS schema_id FROM duckdb_schemas() WHERE NOT internal
    """,
    """
    CREATE VIEW sys.views AS
    SELECT view_name AS name, dictionary.id(schema_name, view_name) AS object_id, hash(schema_name) AS schema_id
    FROM duckdb_views() WHERE NOT internal
    """,
    """
    CREATE VIEW sys.objects AS
    SELECT table_name AS name, dictionary.id(schema_name, table_name) AS object_id, hash(schema_name) AS schema_id
    FROM duckdb_tables()
    UNION ALL SELECT * FROM sys.views
    """,
    """
    CREATE VIEW sys.columns AS
    SELECT column_name AS name, dictionary.id(schema_name, table_name) AS object_id, column_index AS column_id
    FROM duckdb_columns() WHERE NOT internal
    """,
    """
    CREATE VIEW sys.extended_properties AS
    SELECT 1 AS class, dictionary.id(s, t) AS major_id, coalesce(column_id, 0) AS minor_id, 'MS_Description' AS name,
        note AS value
    FROM dictionary.notes LEFT JOIN sys.columns AS described
        ON described.object_id = dictionary.id(s, t) AND described.name = c
    """,
    "CREATE VIEW sys.indexes AS SELECT name, dictionary.id(s, t) AS object_id FROM dictionary.indexes",
    """
    CREATE VIEW sys.sql_modules AS
    SELECT dictionary.id(s, t) AS object_id, body AS definition FROM dictionary.modules
    """,
)

_NOTE: Final = re.compile(
    r"execute sp_(?P<what>add|drop)extendedproperty 'MS_Description', (?:N'(?P<note>(?:[^']|'')*)', )?"
    r"'SCHEMA', (?P<s>\S+), 'TABLE', (?P<t>[^\s,]+)(?:, 'COLUMN', (?P<c>\S+))?",
)
_INDEX: Final = re.compile(r"CREATE (?:CLUSTERED )?INDEX (?P<name>\S+) ON (?P<s>[^\s.]+)\.(?P<t>\S+) \(.*\)")
_ADD: Final = re.compile(r"ALTER TABLE (?P<s>[^\s.]+)\.(?P<t>\S+) ADD (?P<c>\S+) (?P<kind>.+) NULL")
_ALTER: Final = re.compile(
    r"ALTER TABLE (?P<s>[^\s.]+)\.(?P<t>\S+) ALTER COLUMN (?P<c>\S+) (?P<kind>.+?) (?P<null>NOT NULL|NULL)"
)
_DROP: Final = re.compile(r"DROP (?:TABLE|VIEW) (?:IF EXISTS )?(?P<s>[^\s.]+)\.(?P<t>\S+)", re.IGNORECASE)
_CREATE_VIEW: Final = re.compile(r"CREATE OR ALTER VIEW (?P<s>[^\s.]+)\.(?P<t>\S+) AS")
_RIGHTS: Final = re.compile(r"(GRANT|REVOKE|DENY|CREATE ROLE)\b|IF DATABASE_PRINCIPAL_ID\(")


class Dictionary:
    """What one session writes down, in its transaction."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._duckdb = connection

    def takes(self, sql: str) -> bool:
        """Do a statement that DuckDB cannot be sent; False for every other one."""
        if match := _NOTE.fullmatch(sql):
            self._describe(match)
        elif match := _INDEX.fullmatch(sql):
            self._duckdb.execute("INSERT INTO dictionary.indexes VALUES (?, ?, ?)", _plain(match, "s", "t", "name"))
        elif match := _ADD.fullmatch(sql):
            self._alter(match, f"ADD COLUMN {{c}} {duckdb_type(match['kind'])}")
        elif match := _ALTER.fullmatch(sql):
            null = "DROP" if match["null"] == "NULL" else "SET"
            self._alter(match, f"ALTER COLUMN {{c}} SET DATA TYPE {duckdb_type(match['kind'])}")
            self._alter(match, f"ALTER COLUMN {{c}} {null} NOT NULL")
        else:
            return _RIGHTS.match(sql) is not None
        return True

    def note(self, sql: str) -> None:
        """Write down what a statement that DuckDB has executed declared."""
        if sql.upper().startswith("CREATE TABLE"):
            table = sqlglot.parse_one(sql, read="tsql").find(exp.Schema)
            assert table is not None
            for column in table.find_all(exp.ColumnDef):
                self._note_type(table.this.db, table.this.name, column.name, column.kind.sql("tsql"))
        elif match := _CREATE_VIEW.match(sql):
            self._forget("modules", match)
            self._duckdb.execute("INSERT INTO dictionary.modules VALUES (?, ?, ?)", [*_plain(match, "s", "t"), sql])
        elif match := _DROP.match(sql):
            for kept in ("types", "notes", "indexes", "modules"):
                self._forget(kept, match)

    def _forget(self, kept: str, match: re.Match[str]) -> None:
        self._duckdb.execute(f"DELETE FROM dictionary.{kept} WHERE s = ? AND t = ?", _plain(match, "s", "t"))

    def _describe(self, match: re.Match[str]) -> None:
        place = [*_plain(match, "s", "t"), _unquoted(match["c"] or "")]
        if match["what"] == "add":  # a second one is refused, as SQL Server does
            note = match["note"].replace("''", "'")
            self._duckdb.execute("INSERT INTO dictionary.notes VALUES (?, ?, ?, ?)", [*place, note])
            return
        gone = self._duckdb.execute("DELETE FROM dictionary.notes WHERE s = ? AND t = ? AND c = ?", place).fetchall()
        if gone != [(1,)]:
            raise ValueError(f"15217: there is no description of {place}")

    def _alter(self, match: re.Match[str], change: str) -> None:
        s, t, c = _plain(match, "s", "t", "c")
        self._duckdb.execute(f'ALTER TABLE "{s}"."{t}" ' + change.format(c=f'"{c}"'))
        self._duckdb.execute("DELETE FROM dictionary.types WHERE s = ? AND t = ? AND c = ?", [s, t, c])
        self._note_type(s, t, c, match["kind"])

    def _note_type(self, s: str, t: str, c: str, kind: str) -> None:
        name, *sizes = re.findall(r"\w+", kind.lower())
        numbers = [-1 if size == "max" else int(size) for size in sizes]
        length = numbers[0] if "char" in name else None
        digits, scale = (*numbers, 0, 0)[:2] if name in ("numeric", "decimal") else (None, None)
        self._duckdb.execute(
            "INSERT INTO dictionary.types VALUES (?, ?, ?, ?, ?, ?, ?)", [s, t, c, name, length, digits, scale]
        )


def _plain(match: re.Match[str], *groups: str) -> list[str]:
    return [_unquoted(match[group]) for group in groups]


def _unquoted(name: str) -> str:
    return name.removeprefix("[").removesuffix("]")
