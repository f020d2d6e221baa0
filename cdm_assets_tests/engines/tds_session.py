"""The process of the stand-in for SQL Server (`tds_server`): sessions that answer requests from one DuckDB.

python -m cdm_assets_tests.engines.tds_session      prints its port, serves until its standard input ends
"""

from __future__ import annotations

import re
import socketserver
import struct
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import duckdb
from pysqlbridge.certificate import Certificate, self_signed
from pysqlbridge.tds.connection import Connection
from pysqlbridge.tds.packet import PacketType
from pysqlbridge.tds.token import DoneStatus, EnvChangeType, env_change
from pysqlbridge.tds.token import done as final_done
from pysqlbridge.tds.token import error as error_token
from pysqlbridge.tds.transaction import TransactionRequestType, parse_transaction_request

from cdm_assets_tests.engines import tds_types
from cdm_assets_tests.engines.tsql_dictionary import OBJECTS as DICTIONARY
from cdm_assets_tests.engines.tsql_dictionary import Dictionary
from cdm_assets_tests.engines.tsql_on_duckdb import is_forgotten, translated

PASSWORD: Final = "stand-in"
DATABASE: Final = "cdm"
_UNIQUE_KEY: Final = 2627
_USER_DEFINED: Final = 50000

_DECLARED: Final = re.compile(r"(@\w+)\s+\w+")
_END: Final = re.compile(
    r"\s*(?:if\s+@@trancount\s*>\s*0\s+)?(commit|rollback)(?:\s+tran(?:saction)?)?\s*;?\s*", re.IGNORECASE
)
_WRONG_CASE: Final = re.compile(r"information_schema|SYS\.")
"""Of system views, which in a database with our collation are found by their exact names only."""
_SYSTEM_OBJECTS: Final = (
    "CREATE MACRO cdm_days_after(day, days) AS CAST(day + to_days(CAST(days AS INTEGER)) AS DATE)",
    "CREATE MACRO cdm_serverproperty(name) AS CASE name WHEN 'ProductVersion' THEN '16.0.1000.6' ELSE '16' END",
    "CREATE MACRO cdm_databasepropertyex(name, what) AS 'Latin1_General_100_BIN2_UTF8'",
    f"CREATE MACRO cdm_db_name() AS '{DATABASE}'",
    "CREATE MACRO cdm_db_id() AS 5",
    "CREATE MACRO cdm_schema_name() AS 'dbo'",
    "CREATE SCHEMA dbo",
    *DICTIONARY,
    f"CREATE VIEW sys.databases AS SELECT 5 AS database_id, '{DATABASE}' AS name, 1 AS is_read_committed_snapshot_on",
)


class _Anybody:
    """Logins: one password for all."""

    configured = True

    def admits(self, _user: str, password: str) -> bool:
        """Whether the password is right."""
        return password == PASSWORD


class StandIn(Connection):  # type: ignore[misc]
    """One client: its own connection to the database, and the statements that it prepared."""

    def __init__(self, certificate: Certificate, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(certificate, logins=_Anybody(), database=DATABASE)
        self._duckdb = connection
        self._dictionary = Dictionary(connection)
        self._prepared: dict[int, tuple[str, list[str]]] = {}
        self._in_transaction = False

    def _step_query(self, responses: list[bytes]) -> bool:
        """Answer the next request, where one has arrived whole; what pysqlbridge does here only reads."""
        message = self._take_message()
        if message is None:
            return False
        try:
            answer = self._answer(message.type, message.payload)
        except Exception as fault:  # noqa: BLE001 - every fault is the client's to know
            number = _UNIQUE_KEY if isinstance(fault, duckdb.ConstraintException) else _USER_DEFINED
            text = f"{type(fault).__name__}: {fault}"[:1800]
            answer = error_token(number, text, severity=16) + final_done(status=DoneStatus.ERROR)
        self._send(responses, answer)
        return True

    def _answer(self, kind: PacketType, payload: bytes) -> bytes:
        if kind is PacketType.TRANSACTION_MANAGER:
            return self._transact(payload)
        if kind is PacketType.ATTENTION:
            return bytes(final_done(status=DoneStatus.FINAL | DoneStatus.ATTENTION))
        body = payload[struct.unpack_from("<I", payload)[0] :]
        if kind is PacketType.SQL_BATCH:
            return b"".join([*self._run(body.decode("utf-16-le"), {}), final_done()])
        if kind is PacketType.RPC:
            return b"".join(self._call(tds_types.Request.read(body)))
        raise ValueError(f"the stand-in does not take {kind.name}")

    def _transact(self, payload: bytes) -> bytes:
        request = parse_transaction_request(payload, self._tds_version)
        descriptor = struct.pack("<Q", id(self))
        if request.kind is TransactionRequestType.BEGIN_XACT:
            if not self._in_transaction:
                self._duckdb.execute("BEGIN")
                self._in_transaction = True
            return bytes(env_change(EnvChangeType.BEGIN_TRAN, descriptor, b"") + final_done())
        if request.kind is TransactionRequestType.COMMIT_XACT:
            self._end("COMMIT")
            return bytes(env_change(EnvChangeType.COMMIT_TRAN, b"", descriptor) + final_done())
        if request.kind is TransactionRequestType.ROLLBACK_XACT and request.name is None:
            self._end("ROLLBACK")
            return bytes(env_change(EnvChangeType.ROLLBACK_TRAN, b"", descriptor) + final_done())
        raise ValueError(f"the stand-in does not take {request.kind.name}")

    def _end(self, how: str) -> None:
        if self._in_transaction:
            self._in_transaction = False
            self._duckdb.execute(how)

    def _call(self, request: tds_types.Request) -> Iterator[bytes]:
        """One of the procedures by which drivers run statements with parameters."""
        values = request.values
        match request.procedure:
            case "sp_executesql" | 10:
                names = _DECLARED.findall(values[1] if len(values) > 1 else "")
                yield from self._run(values[0], dict(zip(names, values[2:], strict=True)))
            case "sp_prepexec" | 13:
                sql, names = self._prepare(values)
                yield from self._run(sql, dict(zip(names, values[3:], strict=True)))
                yield tds_types.return_value(len(self._prepared))
            case "sp_prepare" | 11:  # before a value that comes in parts
                self._prepare(values)
                yield tds_types.return_value(len(self._prepared))
            case "sp_execute" | 12:
                sql, names = self._prepared[values[0]]
                yield from self._run(sql, dict(zip(names, values[1:], strict=True)))
            case "sp_unprepare" | 15:
                pass
            case _:
                raise ValueError(f"the stand-in has no procedure {request.procedure}")
        yield tds_types.RETURN_STATUS_0 + tds_types.done(tds_types.DONE_PROCEDURE)

    def _prepare(self, values: Sequence[Any]) -> tuple[str, list[str]]:
        prepared = values[2], _DECLARED.findall(values[1] or "")
        self._prepared[len(self._prepared) + 1] = prepared
        return prepared

    def _run(self, sql: str, parameters: Mapping[str, Any]) -> Iterator[bytes]:
        if is_forgotten(sql) or self._dictionary.takes(sql.strip()):
            return
        if ending := _END.fullmatch(sql):
            self._end(ending[1].upper())
            return
        if _WRONG_CASE.search(sql):
            raise ValueError(f"Invalid object name under a collation that tells case: {sql[:200]}")
        statement = translated(sql)
        given = {name.removeprefix("@"): value for name, value in parameters.items()}
        self._duckdb.execute(statement.sql, {name: given[name] for name in statement.parameters} or None)
        rows, description = self._duckdb.fetchall(), self._duckdb.description
        if statement.kind == "select":
            yield from tds_types.result_set(description or [], rows)
        elif statement.kind in tds_types.COMMANDS:
            yield tds_types.done(tds_types.DONE_IN_PROCEDURE, tds_types.COMMANDS[statement.kind], int(rows[0][0]))
        else:
            self._dictionary.note(sql.strip())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        self.certificate = self_signed()
        self.database = duckdb.connect(":memory:", config={"threads": 2})
        for statement in _SYSTEM_OBJECTS:
            self.database.execute(statement)
        super().__init__(("127.0.0.1", 0), _Client)


class _Client(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        """Move bytes between a client and its session."""
        with self.server.database.cursor() as connection:
            session = StandIn(self.server.certificate, connection)
            while data := self.request.recv(65536):
                for response in session.receive(data):
                    self.request.sendall(response)


def main() -> None:
    """Serve until the standard input ends."""
    with _Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)  # noqa: T201 - for who started this process
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
