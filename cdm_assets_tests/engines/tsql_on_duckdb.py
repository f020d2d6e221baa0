"""T-SQL as DuckDB understands it, for the stand-in of SQL Server: sqlglot reads it, what it does not know is done here.

What differs and is not imitated: the collation (DuckDB compares bytes, as a BIN2 collation does, but counts spaces at
the end), lengths of text columns, the types of results (DuckDB divides decimals as doubles and widens sums), 2,100
parameters, isolation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import sqlglot
from sqlglot import exp

_FORGOTTEN: Final = re.compile(
    r"\s*(set\s+(transaction|quoted|implicit|nocount|ansi|textsize|xact)|use\s|alter\s+database\b)",
    re.IGNORECASE,
)
_OPENJSON: Final = re.compile(
    r"INSERT INTO (?P<table>\S+) \((?P<names>.*?)\) SELECT .*? FROM OPENJSON\((?P<json>@\w+)\) WITH \((?P<read>.*)\)$",
    re.DOTALL,
)
_DUCKDB_TYPES: Final = {
    exp.DType.BIT: "BOOLEAN",
    exp.DType.DATETIME2: "TIMESTAMP",
    exp.DType.DATETIME: "TIMESTAMP",
    exp.DType.FLOAT: "DOUBLE",
    exp.DType.VARCHAR: "TEXT",
    exp.DType.NVARCHAR: "TEXT",
    exp.DType.CHAR: "TEXT",
    exp.DType.NCHAR: "TEXT",
}


@dataclass(frozen=True)
class Translated:
    """A statement for DuckDB."""

    sql: str
    kind: str
    """select, insert, update, delete or other."""
    parameters: frozenset[str] = frozenset()
    """Names of the parameters that it has, without @."""


def is_forgotten(sql: str) -> bool:
    """Whether a statement is accepted and does nothing here."""
    return _FORGOTTEN.match(sql) is not None


@lru_cache(maxsize=4096)
def translated(sql: str) -> Translated:
    """The statement for DuckDB; raises what sqlglot raises for a text that it cannot read."""
    if match := _OPENJSON.match(sql.strip()):
        return _openjson_insert(match)
    tree = sqlglot.parse_one(sql, read="tsql")
    if isinstance(tree, exp.Command | exp.IfBlock):
        raise sqlglot.errors.ParseError(f"the stand-in does not know: {sql[:200]}")
    names = {parameter.name for parameter in tree.find_all(exp.Parameter)}
    tree = _rewritten(tree)
    kinds = {exp.Insert: "insert", exp.Update: "update", exp.Delete: "delete"}
    kind = "select" if isinstance(tree, exp.Query) else kinds.get(type(tree), "other")
    return Translated(tree.sql("duckdb"), kind, frozenset(names))


def _openjson_insert(match: re.Match[str]) -> Translated:
    """Rows of a JSON list of lists, each value by the type that the WITH clause gives it."""
    values = []
    for position, column in enumerate(re.split(r",\s*(?=c\d+ )", match["read"])):
        _name, kind, path = re.fullmatch(r"(c\d+) (.+) ('\$\[\d+\]')", column.strip()).groups()  # type: ignore[union-attr]
        if path != f"'$[{position}]'":
            raise sqlglot.errors.ParseError(f"the stand-in does not know: {column}")
        values.append(f"CAST(item ->> '$[{position}]' AS {duckdb_type(kind)})")
    name = match["json"].removeprefix("@")
    rows = f"(SELECT unnest(CAST(CAST(${name} AS JSON) AS JSON[])) AS item)"
    names = sqlglot.parse_one(f"SELECT {match['names']}", read="tsql").sql("duckdb").removeprefix("SELECT ")
    table = (
        sqlglot.parse_one(f"SELECT 1 FROM {match['table']}", read="tsql").sql("duckdb").removeprefix("SELECT 1 FROM ")
    )
    return Translated(
        f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} FROM {rows}", "insert", frozenset({name})
    )


def duckdb_type(kind: str) -> str:
    """A T-SQL type as DuckDB's."""
    return _rewritten(exp.DataType.build(kind, dialect="tsql")).sql("duckdb")


def _rewritten(tree: exp.Expression) -> exp.Expression:
    """The tree for DuckDB, from its leaves up: what stands inside what is replaced is replaced before."""
    for node in reversed(list(tree.walk(bfs=True))):
        new = _for_duckdb(node)
        if new is not node:
            if node is tree:
                tree = new
            else:
                node.replace(new)
    return tree


def _for_duckdb(node: exp.Expression) -> exp.Expression:  # noqa: PLR0911 - one case a construct
    match node:
        case exp.DataType():
            return _data_type(node)
        case exp.Parameter():
            return exp.Placeholder(this=node.name)
        case exp.Table() if (node.db, node.name) == ("INFORMATION_SCHEMA", "COLUMNS"):
            return exp.table_("columns", db="dictionary", alias=node.alias or "COLUMNS")
        case exp.Collate() | exp.TimeStrToTime():
            return node.this
        case exp.Convert():
            return _convert(node)
        case exp.Trim() if node.expression is None:
            return exp.Trim(this=node.this, expression=exp.Literal.string(" "))
        case exp.DateDiff():
            unit = exp.Literal.string(node.unit.name.lower())
            return exp.Anonymous(this="date_diff", expressions=[unit, node.expression, node.this])
        case exp.DateAdd():
            return exp.Anonymous(this="cdm_days_after", expressions=[node.this, node.expression])
        case exp.PrimaryKey():
            names = [part.this if isinstance(part, exp.Ordered) else part for part in node.expressions]
            return exp.PrimaryKey(expressions=names)
        case exp.NotNullColumnConstraint() if node.args.get("allow_null"):
            return exp.NotNullColumnConstraint(allow_null=True)
        case exp.Anonymous():
            return _anonymous(node)
        case exp.Create() if node.kind == "VIEW":
            node.set("replace", True)
            return node
    return node


def _data_type(node: exp.DataType) -> exp.Expression:
    if (name := _DUCKDB_TYPES.get(node.this)) is not None:
        return exp.DataType.build(name, dialect="duckdb")
    return node


def _convert(node: exp.Convert) -> exp.Expression:
    """CONVERT with a style: hex of a hash (DuckDB's hashes are hex already), ISO dates and timestamps."""
    style = node.args.get("style")
    value = node.expression
    match style.name if style is not None else None:
        case "2":
            if not isinstance(value, exp.MD5 | exp.SHA2):
                raise sqlglot.errors.ParseError("CONVERT with style 2 of something else than a hash")
            return value
        case "23":
            return exp.Anonymous(this="strftime", expressions=[value, exp.Literal.string("%Y-%m-%d")])
        case "121":
            return exp.Anonymous(this="strftime", expressions=[value, exp.Literal.string("%Y-%m-%d %H:%M:%S.%f")])
        case None:
            return exp.Cast(this=value, to=node.this)
    raise sqlglot.errors.ParseError(f"the stand-in does not know style {style}")


def _anonymous(node: exp.Anonymous) -> exp.Expression:
    known = {"serverproperty", "databasepropertyex", "db_name", "db_id", "schema_name", "object_id", "applock_mode"}
    return (
        exp.Anonymous(this=f"cdm_{node.name.lower()}", expressions=node.expressions)
        if node.name.lower() in known
        else node
    )
