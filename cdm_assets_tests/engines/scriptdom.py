"""Microsoft's own T-SQL parser (ScriptDom, grammar of SQL Server 2019), with nothing but what pip brings.

The parser is a .NET library inside the wheel `mssql-cli` 1.0.0; the wheel itself is not installed, as it asks for
versions of click and others that nothing here can live with. The .NET runtime is the wheel `dotnetcore2`, the bridge to
it `pythonnet`. The parser runs in a process of its own, so that no test shares one with a .NET runtime.

Licences: pythonnet and dotnetcore2 MIT. mssql-cli says BSD-3-Clause and holds no text of its own for the library;
Microsoft has published the library's source under MIT since. Only the tests use it, and nothing of it is shipped.

    python -m cdm_assets_tests.engines.scriptdom            fetch the library, if it is not there yet
    python -m cdm_assets_tests.engines.scriptdom --parse    statements in as JSON, what was found in them out as JSON
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_WHEEL: Final = "mssql-cli==1.0.0"
_LIBRARY: Final = "Microsoft.SqlServer.TransactSql.ScriptDom.dll"
_SHA256: Final = "781687b415be45c4ade8041738798f1b01a5e9d2f95e2dd5f989d8772b224d7c"
_FOLDER: Final = Path(sys.prefix) / "share" / "cdm-tests"


def fetch() -> Path:
    """The library's path; pip downloads the wheel on the first call.

    The wheels are for x86-64, and the runtime's is asked for on Linux only: elsewhere the tests that parse fail.
    """
    library = _FOLDER / _LIBRARY
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not library.exists():
            with tempfile.TemporaryDirectory() as folder:
                command = [
                    sys.executable,
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                ]
                subprocess.run([*command, "--only-binary=:all:", "--dest", folder, _WHEEL], check=True)
                (wheel,) = Path(folder).glob("*.whl")
                with zipfile.ZipFile(wheel) as archive:
                    (name,) = (n for n in archive.namelist() if n.endswith(f"/{_LIBRARY}"))
                    content = archive.read(name)
            if hashlib.sha256(content).hexdigest() != _SHA256:
                raise ValueError(f"{_LIBRARY} in {_WHEEL} is not the one that the tests were written with")
            library.write_bytes(content)
    return library


def syntax_errors(batches: Sequence[str]) -> list[list[str]]:
    """What the parser finds wrong in each batch of T-SQL."""
    fetch()
    command = [sys.executable, "-m", __name__, "--parse"]
    done = subprocess.run(command, input=json.dumps(list(batches)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the parser did not run:\n{done.stderr}")
    found: list[list[str]] = json.loads(done.stdout)
    return found


def _start_runtime() -> None:
    import dotnetcore2  # noqa: PLC0415 - all this is for the parser's own process
    from clr_loader import get_coreclr  # noqa: PLC0415
    from pythonnet import set_runtime  # noqa: PLC0415

    root = Path(dotnetcore2.__file__).parent / "bin"
    framework = {"name": "Microsoft.NETCore.App", "version": "3.1.0"}
    # Without it the runtime wants ICU's libraries of the system.
    properties = {"System.Globalization.Invariant": True}
    options = {"tfm": "netcoreapp3.1", "framework": framework, "configProperties": properties}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump({"runtimeOptions": options}, config)
        config.flush()
        set_runtime(get_coreclr(dotnet_root=str(root), runtime_config=config.name))


def _parse_all(batches: Sequence[str]) -> list[list[str]]:
    _start_runtime()
    import clr  # noqa: PLC0415 - there is nothing to import before the runtime runs

    clr.AddReference(str(_FOLDER / _LIBRARY))
    from Microsoft.SqlServer.TransactSql.ScriptDom import TSql150Parser  # noqa: PLC0415
    from System.IO import StringReader  # noqa: PLC0415

    parser = TSql150Parser(True)  # names in double quotes are names

    def errors_of(batch: str) -> list[str]:
        _tree, errors = parser.Parse(StringReader(batch), None)
        return [f"line {e.Line}, column {e.Column}: {e.Message}" for e in errors]

    return [errors_of(batch) for batch in batches]


def main() -> None:
    """Fetch the parser, or parse what comes in."""
    if "--parse" in sys.argv:
        json.dump(_parse_all(json.load(sys.stdin)), sys.stdout)
    else:
        print(fetch())  # noqa: T201


if __name__ == "__main__":
    main()
