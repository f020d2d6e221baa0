"""fakesnow's server, with its faults mended that concern us; runs in fakesnow's own environment.

`python fakesnow_shim.py --port N` is started by `fakesnow_server`. fakesnow reads Snowflake's SQL with sqlglot, writes
DuckDB's and runs it; each function below mends one thing that Snowflake does otherwise, and says what.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import logging
import re
import shutil
import socket
import sys
import threading
import warnings
from datetime import datetime
from decimal import Decimal
from typing import Any

import fakesnow.arrow
import fakesnow.converter
import fakesnow.copy_into
import fakesnow.cursor
import fakesnow.dialect
import fakesnow.info_schema
import fakesnow.server
import fakesnow.transforms
import pyarrow as pa
import pyarrow.compute as pc
import snowflake.connector.errors
import sqlglot
import uvicorn
from fakesnow.transforms import stage
from sqlglot import exp

_from_binding = fakesnow.converter.from_binding


def from_binding(binding: dict[str, Any]) -> Any:
    """Values beside the statement. Snowflake: FIXED is any number, NULL has any type. fakesnow: FIXED is an int.

    Timestamps without a zone are given a zone by fakesnow, which DuckDB then converts.
    """
    value = binding["value"]
    if value is None:
        return None
    if binding["type"] == "FIXED":
        return Decimal(value) if set(value) & set(".eE") else int(value)
    made = _from_binding(binding)
    if binding["type"] == "TIMESTAMP_NTZ" and isinstance(made, datetime):
        return made.replace(tzinfo=None)
    return made


_parts_from_var = stage.parts_from_var


def parts_from_var(var: str, current_database: str | None, current_schema: str | None) -> tuple[str, str, str]:
    """Snowflake: every user has a stage `@~`, which belongs to no schema. fakesnow: does not know it."""
    return ("USERS", "CDM", "~") if var == "~" else _parts_from_var(var, current_database, current_schema)


_stage_lookup_sql = stage.stage_lookup_sql


def stage_lookup_sql(catalog: str, schema: str, name: str, table_stages: Any) -> str:
    """The user's stage is always there."""
    return "SELECT 'USERS.CDM.~'" if name == "~" else _stage_lookup_sql(catalog, schema, name, table_stages)


_stage_url_from_var = fakesnow.copy_into.stage_url_from_var


def stage_url_from_var(var: str, *arguments: Any) -> str:
    """COPY from the user's stage, likewise."""
    if var == "~" or var.startswith("~/"):
        return stage.internal_dir("USERS.CDM.~", var[2:]).rstrip("/")
    return _stage_url_from_var(var, *arguments)


_REMOVE = re.compile(r"(?:REMOVE|RM)\s+@~/(\S+)\s*;?\s*", re.IGNORECASE)
_NOT_CARRIED_OUT = re.compile(
    r"(CREATE|ALTER) WAREHOUSE|CREATE ROLE|GRANT|REVOKE|SET \w+ = CURRENT_(DATABASE|WAREHOUSE)\(\)", re.IGNORECASE
)
_execute = fakesnow.cursor.FakeSnowflakeCursor.execute


def execute(self: Any, command: str, *arguments: Any, **named: Any) -> Any:
    """REMOVE. Snowflake: takes files from a stage. fakesnow: does not know the statement.

    Roles and virtual warehouses. fakesnow: does not know them. Here their statements are answered and do nothing.
    A statement that fails. Snowflake: says so. fakesnow: breaks off, so that the connector asks again for minutes.
    """
    if _NOT_CARRIED_OUT.match(command.strip()):
        command = "SELECT 'not carried out' AS status"
    if found := _REMOVE.fullmatch(command.strip()):
        shutil.rmtree(stage.internal_dir("USERS.CDM.~", found[1]), ignore_errors=True)
        command = "SELECT 'removed' AS result"
    try:
        return _execute(self, command, *arguments, **named)
    except snowflake.connector.errors.Error:
        raise
    except Exception as fault:
        raise snowflake.connector.errors.ProgrammingError(
            msg=f"{type(fault).__name__}: {fault}", errno=1003, sqlstate="42000"
        ) from fault
    finally:
        self._conn.results_cache.clear()  # of every result there was; nobody asks for one again


_insert_table_comment_sql = fakesnow.info_schema.insert_table_comment_sql


def insert_table_comment_sql(catalog: str, schema: str, table: str, comment: str) -> str:
    """Snowflake: takes any comment. fakesnow: none with an apostrophe."""
    return _insert_table_comment_sql(catalog, schema, table, comment.replace("'", "''"))


_KNOWN_TEXTS = 4000
_parse_one = functools.lru_cache(maxsize=_KNOWN_TEXTS)(fakesnow.dialect.parse_one)
_transform = fakesnow.cursor.FakeSnowflakeCursor._transform
_transformed: dict[tuple[int, str | None, str | None], tuple[sqlglot.Expr, sqlglot.Expr]] = {}


def transform(self: Any, expression: sqlglot.Expr, params: Any) -> sqlglot.Expr:
    """What fakesnow makes of Snowflake's grammar, mended, and once for each text: it takes longer than the execution.

    - A date as text: Snowflake heeds the format. fakesnow: leaves it out where the type of the value is not written.
    - MD5_NUMBER_LOWER64: a number of Snowflake's. fakesnow: gives it a name that DuckDB does not know.
    - TRIM: Snowflake takes the blank and nothing else. fakesnow: every white space of Unicode, as DuckDB does.
    - A column as schema.table.column. fakesnow: moves information_schema elsewhere, but not the names of its columns.
    """
    is_query = isinstance(expression, exp.Query | exp.Insert | exp.Update | exp.Delete)
    key = (id(expression), self._conn.database, self._conn.schema)
    if is_query and (known := _transformed.get(key)) and known[0] is expression:
        return known[1]
    mended = expression.copy()
    for node in list(mended.find_all(exp.ToChar, exp.Trim, exp.MD5NumberLower64, exp.Column)):
        if isinstance(node, exp.ToChar) and node.args.get("format") == exp.Literal.string("YYYY-MM-DD"):
            node.replace(exp.TimeToStr(this=node.this, format=exp.Literal.string("%Y-%m-%d")))
        elif isinstance(node, exp.MD5NumberLower64):
            number = exp.Anonymous(this="md5_number_lower", expressions=[node.this])
            node.replace(exp.cast(number, exp.DataType.build("decimal(38, 0)")))
        elif isinstance(node, exp.Trim) and node.expression is None:
            node.set("expression", exp.Literal.string(" "))
        elif isinstance(node, exp.Column) and node.text("db").upper() == "INFORMATION_SCHEMA":
            node.set("db", None)
            node.set("table", None)
    made = _transform(self, mended, params)
    if is_query:
        if len(_transformed) > _KNOWN_TEXTS:
            _transformed.clear()
        _transformed[key] = expression, made
    return made


def numeric_agg_implicit_cast(expression: sqlglot.Expr) -> sqlglot.Expr:
    """Sums of numbers. Snowflake: exact. fakesnow: sums doubles, in case that they are texts."""
    return expression


_timestamp_to_sf_struct = fakesnow.arrow.timestamp_to_sf_struct


def timestamp_to_sf_struct(timestamps: Any) -> pa.Array:
    """Timestamps of a result. Snowflake: NULL is NULL. fakesnow: NULL is the first moment of 1970."""
    joined = timestamps.combine_chunks() if isinstance(timestamps, pa.ChunkedArray) else timestamps
    made = _timestamp_to_sf_struct(joined)
    return pa.StructArray.from_arrays(made.flatten(), fields=list(made.type), mask=pc.is_null(joined))


_DUCKDB_NAMES = {
    "null": '"NULL"',
    "bool": "BOOLEAN",
    "double": "DOUBLE",
    "date32[day]": "DATE",
    "timestamp[us]": "TIMESTAMP",
    "time64[us]": "TIME",
}


def describe_last_sql(self: Any) -> list[tuple[Any, ...]]:
    """The columns of a result, read off the result.

    fakesnow: runs DESCRIBE of the statement once more, which doubles the time and fails for COMMENT ON COLUMN.
    """
    return [(field.name, _duckdb_name(field.type), None, None, None, None) for field in self._arrow_table.schema]


def _duckdb_name(arrow_type: Any) -> str:
    if pa.types.is_decimal(arrow_type):
        return f"DECIMAL({arrow_type.precision},{arrow_type.scale})"
    if pa.types.is_integer(arrow_type):
        return "BIGINT"
    return _DUCKDB_NAMES.get(str(arrow_type), "VARCHAR")


def mend() -> None:
    """Put the mended functions in their places."""
    fakesnow.converter.from_binding = fakesnow.server.from_binding = from_binding
    stage.parts_from_var = parts_from_var
    stage.stage_lookup_sql = stage_lookup_sql
    fakesnow.copy_into.stage_url_from_var = stage_url_from_var
    fakesnow.cursor.FakeSnowflakeCursor.execute = execute
    fakesnow.transforms.numeric_agg_implicit_cast = numeric_agg_implicit_cast
    fakesnow.arrow.timestamp_to_sf_struct = timestamp_to_sf_struct
    fakesnow.cursor.parse_one = fakesnow.server.parse_one = _parse_one
    fakesnow.cursor.FakeSnowflakeCursor._transform = transform
    fakesnow.cursor.FakeSnowflakeCursor._describe_last_sql = describe_last_sql
    fakesnow.info_schema.insert_table_comment_sql = insert_table_comment_sql


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    mend()
    atexit.register(shutil.rmtree, stage.LOCAL_BUCKET_PATH, ignore_errors=True)
    logging.getLogger("fakesnow.server").setLevel(logging.WARNING)
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # comments and clustering are left out, see docs/engines.md
    warnings.filterwarnings("ignore", "Arrow output on a DB-API result")  # for each statement
    # Said to be TCP: asyncio otherwise leaves its delays on, of 40 ms for each statement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", arguments.port))
        print(f"listening on {listening.getsockname()[1]}", flush=True)  # noqa: T201 - who started it waits for it
        server = uvicorn.Server(uvicorn.Config(fakesnow.server.app, log_level="warning"))
        threading.Thread(target=_end_with_parent, args=[server], daemon=True).start()
        server.run(sockets=[listening])


def _end_with_parent(server: uvicorn.Server) -> None:
    """However the parent ended, its end of the pipe is then closed."""
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    main()
