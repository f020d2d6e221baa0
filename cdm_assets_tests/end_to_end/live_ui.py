"""`cdm ui` as a user starts it (webserver, daemon, code location) over a home of its own, and what it says of itself.

Everything is asked over GraphQL, as the UI asks, or of the DuckDB file, as an analyst would.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

DEADLINE_SECONDS = 180
_START_SECONDS = 120
_STOP_SECONDS = 5
_REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "cdm_assets.definitions"}

_RUNS = "{ runsOrError(limit: 50) { ... on Runs { results { runId jobName status tags { key value } } } } }"
_MATERIALIZATIONS = "{ assetNodes { assetKey { path } assetMaterializations(limit: 100) { runId partition } } }"
_SENSORS = """query Sensors($repository: RepositorySelector!) {
  sensorsOrError(repositorySelector: $repository) { ... on Sensors { results {
    name
    sensorState { status ticks(limit: 100) { timestamp status skipReason runIds error { message } } }
  } } }
}"""

Partition = tuple[str, str]
"""A table (`schema.table`) and a business date."""


@dataclass(frozen=True)
class Run:
    """A run, with its tags."""

    run_id: str
    job: str
    status: str
    tags: Mapping[str, str]

    @property
    def why(self) -> str | None:
        return self.tags.get("cdm/why")

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCESS"

    @property
    def has_ended(self) -> bool:
        return self.status in {"SUCCESS", "FAILURE", "CANCELED"}


@dataclass(frozen=True)
class Tick:
    """A look of a sensor; `timestamp` in seconds of the epoch, `says` is why it started nothing, or its error."""

    timestamp: float
    status: str
    run_ids: tuple[str, ...]
    says: str


@dataclass(frozen=True)
class Sensor:
    """A sensor and its ticks, the newest first."""

    status: str
    ticks: tuple[Tick, ...]


def environment_of(home: Path) -> dict[str, str]:
    """The environment of a `cdm` command for `home`, whatever this process was given."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("CDM_", "DAGSTER_"))}
    return clean | {
        "CDM_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "PYTHONWARNINGS": "ignore",
        "COLUMNS": "120",
    }


@contextmanager
def cdm(home: Path, *arguments: str) -> Iterator[None]:
    """`cdm` with `arguments` beside the body; it has to succeed."""
    output = home / f"cdm_{arguments[0]}.log"
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cdm_assets", *arguments]
    with (
        output.open("w") as log,
        subprocess.Popen(command, env=environment_of(home), stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield
            process.wait(DEADLINE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0, output.read_text()


@dataclass
class LiveUI:
    """A running `cdm ui`."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]
    output: Path
    started_at: float = field(default_factory=time.time)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """The answer's `data`. Raises urllib.error.URLError where nothing listens, AssertionError on an error in it."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as refused:
            with refused:
                raise AssertionError(refused.read().decode()) from None
        assert not answer.get("errors"), answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def runs(self) -> list[Run]:
        """The newest first."""
        return [
            Run(run["runId"], run["jobName"], run["status"], {tag["key"]: tag["value"] for tag in run["tags"]})
            for run in self.graphql(_RUNS)["runsOrError"]["results"]
        ]

    def runs_because(self, why: str) -> list[Run]:
        """The runs with this tag `cdm/why`, the newest first."""
        return [run for run in self.runs() if run.why == why]

    def materialized_by(self, *runs: Run) -> list[Partition]:
        """What `runs` materialized, sorted; a partition is listed as often as it was."""
        ids = {run.run_id for run in runs}
        return sorted(
            (".".join(node["assetKey"]["path"]), event["partition"])
            for node in self.graphql(_MATERIALIZATIONS)["assetNodes"]
            for event in node["assetMaterializations"]
            if event["runId"] in ids
        )

    def sensors(self) -> dict[str, Sensor]:
        """By name, in order of it."""
        return {
            sensor["name"]: Sensor(
                sensor["sensorState"]["status"], tuple(_tick(tick) for tick in sensor["sensorState"]["ticks"])
            )
            for sensor in self.graphql(_SENSORS, repository=_REPOSITORY)["sensorsOrError"]["results"]
        }

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Ask every second; after `seconds` fail, saying what the runs and the sensors' last ticks were."""
        give_up_at = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"cdm ui has ended:\n{self._last_output()}"
            assert time.monotonic() < give_up_at, f"not within {seconds:g} seconds: {what}\n{self.news()}"
            time.sleep(1)

    def wait_for_run(self, why: str) -> Run:
        """The only run that there is, or will be, because of `why`; it has to succeed."""
        self.wait_until(lambda: any(run.has_ended for run in self.runs_because(why)), f"the end of a run: {why}")
        runs = self.runs_because(why)
        assert [run.succeeded for run in runs] == [True], self.news()
        return runs[0]

    def wait_for_ticks(self) -> None:
        """Until every sensor has looked again, from the beginning to the end."""
        now = time.time()
        self.wait_until(
            lambda: all(
                any(tick.timestamp > now and tick.status != "STARTED" for tick in sensor.ticks)
                for sensor in self.sensors().values()
            ),
            "a tick of every sensor",
        )

    def news(self) -> str:
        """The runs and the last ticks, for a failure's message."""
        runs = [f"  {run.job} {run.status} {dict(run.tags)}" for run in self.runs()]
        ticks = [
            f"  {name}: {time.strftime('%T', time.gmtime(tick.timestamp))} {tick.status} {tick.says}"
            for name, sensor in self.sensors().items()
            for tick in sensor.ticks[:3]
        ]
        now = time.strftime("%T", time.gmtime())
        return "\n".join([f"at {now} runs, the newest first:", *runs, "last ticks:", *ticks, self._last_output()])

    def query(self, sql: str) -> list[Any]:
        """Rows of the warehouse, which other processes open too, one at a time: waits for its lock."""
        return query(self.home, sql)

    def _last_output(self) -> str:
        return f"end of {self.output}:\n{self.output.read_text()[-2000:]}"


def query(home: Path, sql: str) -> list[Any]:
    """Rows of the warehouse of `home`, once its lock is free."""
    give_up_at = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            with duckdb.connect(str(home / "warehouse" / "cdm.duckdb"), read_only=True) as connection:
                return connection.execute(sql).fetchall()
        except duckdb.IOException:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.2)


def _tick(tick: Mapping[str, Any]) -> Tick:
    error = (tick["error"] or {}).get("message")
    return Tick(tick["timestamp"], tick["status"], tuple(tick["runIds"]), error or tick["skipReason"] or "")


@contextmanager
def live_ui(home: Path, *options: str, **environment: str) -> Iterator[LiveUI]:
    """`cdm ui` over `home`, ready: its code location is loaded. Afterwards none of its processes is left."""
    port = _free_port()
    output = home / "ui.log"
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cdm_assets", "ui", "--port", str(port), *options]
    with output.open("wb") as log:
        process = subprocess.Popen(
            command,
            env=environment_of(home) | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ui = LiveUI(home, port, process, output)
    try:
        _wait_until_ready(ui)
        yield ui
    finally:
        left = _stop(process, home)
    assert not left, f"processes of cdm ui outlived it: {left}"


def _wait_until_ready(ui: LiveUI) -> None:
    give_up_at = time.monotonic() + _START_SECONDS
    question = "{ repositoriesOrError { __typename ... on RepositoryConnection { nodes { name } } } }"
    while True:
        assert ui.process.poll() is None, f"cdm ui did not start:\n{ui._last_output()}"
        assert time.monotonic() < give_up_at, f"cdm ui is not ready:\n{ui._last_output()}"
        try:
            answer = ui.graphql(question)["repositoriesOrError"]
        except OSError:
            answer = {}
        if answer.get("nodes"):
            return
        time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _stop(process: subprocess.Popen[bytes], home: Path) -> list[str]:
    """Ask the whole group to end, then end it; returns what of `home` lives on all the same, and ends that too."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_number)
        except ProcessLookupError:
            break
        _wait(lambda: process.poll() is not None and not _processes_of(home))
    process.wait()
    left = _processes_of(home)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return [f"{pid} {command}" for pid, command in left.items()]


def _wait(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + _STOP_SECONDS
    while not condition() and time.monotonic() < give_up_at:
        time.sleep(0.1)


def _processes_of(home: Path) -> dict[int, str]:
    """The living processes whose environment names `home`, whatever group they are in, with their commands."""
    mark = f"CDM_HOME={home}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
        except OSError:
            continue  # ended meanwhile, or another user's
    return found
