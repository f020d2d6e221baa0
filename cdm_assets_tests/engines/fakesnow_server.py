"""A stand-in for Snowflake: fakesnow in a process of its own, reached through Snowflake's own connector over HTTP.

    python -m cdm_assets_tests.engines.fakesnow_server --port 8787

starts one and prints the value of CDM_DATABASE for it. What it holds is in memory, gone when it ends. fakesnow wants
another DuckDB than the project, so it has an environment beside the project's, in which `make test` installs it
(`--install`): `fakesnow-constraints.txt` names every version.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

_HERE: Final = Path(__file__).parent
_PACKAGES: Final = _HERE / "fakesnow-constraints.txt"
_SHIM: Final = _HERE / "fakesnow_shim.py"
_END_SECONDS: Final = 10
ENVIRONMENT: Final = Path(sys.prefix) / "fakesnow"


@dataclass(frozen=True)
class FakesnowServer:
    """A running stand-in on 127.0.0.1."""

    port: int

    def url(self, database: str) -> sa.URL:
        """The address of one of its databases, which is there as soon as somebody connects to it."""
        options = {"account": "stand_in", "protocol": "http"}
        return sa.URL.create("snowflake", "cdm", "any", "127.0.0.1", self.port, database, options)

    def new_database(self) -> sa.URL:
        """The address of an empty database."""
        return self.url(f"cdm_{secrets.token_hex(6)}")


def install() -> Path:
    """Fakesnow's environment, made where it is missing or of other versions; returns its Python."""
    python = ENVIRONMENT / "bin" / "python"
    mark = ENVIRONMENT / ".installed"
    wanted = hashlib.sha256(_PACKAGES.read_bytes()).hexdigest()
    with ENVIRONMENT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of pytest-xdist come here at the same time
        if not mark.exists() or mark.read_text() != wanted:
            uv = [sys.executable, "-m", "uv"]
            subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, ENVIRONMENT], check=True)
            packages = ["--python", python, "--no-deps", "--compile-bytecode", "--requirements", _PACKAGES]
            subprocess.run([*uv, "pip", "install", "--quiet", *packages], check=True)
        mark.write_text(wanted)
    return python


@contextmanager
def running_server(port: int = 0) -> Iterator[FakesnowServer]:
    """A stand-in on `port`, 0 for any that is free; it ends with the context."""
    command = [install(), _SHIM, "--port", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            if not said.startswith("listening on "):
                raise RuntimeError(f"fakesnow did not start: {said}{process.stdout.read()}")
            yield FakesnowServer(int(said.split()[-1]))
        finally:
            process.stdin.close()  # upon which it ends
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> None:
    """Start a stand-in for Snowflake and say how to reach it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; any free one by default")
    parser.add_argument("--database", default="cdm")
    parser.add_argument("--install", action="store_true", help="only make fakesnow's environment")
    arguments = parser.parse_args()
    if arguments.install:
        install()
        return
    with running_server(arguments.port) as server:
        url = server.url(arguments.database).render_as_string(hide_password=False)
        print(f"export CDM_DATABASE='{url}'", flush=True)  # noqa: T201 - what the command is for
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
