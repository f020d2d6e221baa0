"""`cdm ui --read-only`, as viewers get it: everything is shown, nothing can be started or changed.

Dagster's storage is PostgreSQL here, as where viewers and operators have webservers on different machines.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdm_assets_tests.end_to_end.live_ui import LiveUI, live_ui
from cdm_assets_tests.engines.conftest import postgres
from cdm_assets_tests.engines.postgres_server import PostgresServer

__all__ = ["postgres"]

_REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "cdm_assets.definitions"}
_LAUNCH = """mutation Launch($job: String!, $repository: String!, $location: String!) {
  launchRun(executionParams: {
    selector: {jobName: $job, repositoryName: $repository, repositoryLocationName: $location}
    executionMetadata: {tags: [{key: "dagster/partition", value: "2017-01-01"}]}
  }) { __typename ... on UnauthorizedError { message } }
}"""
_SWITCH_ON = """mutation SwitchOn($sensor: SensorSelector!) {
  startSensor(sensorSelector: $sensor) { __typename }
}"""
_PERMISSIONS = "{ permissions { permission value } }"


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[LiveUI]:
    storage = postgres.new_database().render_as_string(hide_password=False)
    with live_ui(tmp_path_factory.mktemp("viewers"), "--read-only", CDM_DAGSTER_STORAGE=storage) as ui:
        yield ui


def test_a_viewer_sees_everything_and_can_start_nothing(ui: LiveUI) -> None:
    assert len(ui.graphql("{ assetNodes { id } }")["assetNodes"]) > 50
    repository, location = _REPOSITORY["repositoryName"], _REPOSITORY["repositoryLocationName"]
    launched = ui.graphql(_LAUNCH, job="daily", repository=repository, location=location)["launchRun"]
    assert launched["__typename"] == "UnauthorizedError"
    assert ui.runs() == []
    sensor = {**_REPOSITORY, "sensorName": "new_files"}
    assert ui.graphql(_SWITCH_ON, sensor=sensor)["startSensor"]["__typename"] == "UnauthorizedError"
    assert [each["permission"] for each in ui.graphql(_PERMISSIONS)["permissions"] if each["value"]] == []


def test_it_listens_on_this_machine_only(ui: LiveUI) -> None:
    """127.0.0.2 is this machine too, but not the address it listens on; a wildcard would answer there."""
    with socket.socket() as caller:
        assert caller.connect_ex(("127.0.0.2", ui.port)) != 0
        assert socket.create_connection(("127.0.0.1", ui.port), timeout=5).close() is None


def test_no_daemon_runs_for_viewers(ui: LiveUI, tmp_path: Path) -> None:
    commands = [
        (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        for folder in Path("/proc").glob("[0-9]*")
        if f"CDM_HOME={ui.home}".encode() in _environment(folder)
    ]
    assert any("dagster_webserver" in command for command in commands)
    assert not any("daemon" in command for command in commands), commands


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
