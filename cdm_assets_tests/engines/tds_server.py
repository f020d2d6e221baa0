"""A stand-in for SQL Server: a TDS server in a process of its own, in front of a DuckDB in its memory.

Framing, TLS tunnel and login are pysqlbridge's; Microsoft's driver connects to it like to a server. What it proves: the
driver, its parameters and types, the dialect, the shape of every statement, that a transaction is one, and that the
statements mean what DuckDB's mean as far as `tsql_on_duckdb` translates them. What it does not: SQL Server's own
functions (its hashes, UPPER), collations, locks, plans and limits.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cdm_assets_tests.engines import driver_libraries, tds_session


@dataclass(frozen=True)
class TdsServer:
    """A running stand-in."""

    port: int

    def url(self, user: str = "cdm") -> str:
        """The URL for SQLAlchemy; the certificate is the stand-in's own."""
        login = f"{user}:{tds_session.PASSWORD}@127.0.0.1:{self.port}/{tds_session.DATABASE}"
        return f"mssql://{login}?TrustServerCertificate=yes"


@contextmanager
def running_server() -> Iterator[TdsServer]:
    """A stand-in with an empty database, ended with the block; the driver can be loaded afterwards."""
    driver_libraries.provide()
    command = [sys.executable, "-m", tds_session.__name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield TdsServer(int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(timeout=30)
