"""What `cdm ui` starts, and what it says first; the programs themselves are not started here."""

import os
import sys
from pathlib import Path

import pytest

from cdm_assets import cli
from cdm_assets.orchestration.instance import is_loopback


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The commands that took the place of `cdm`."""
    commands: list[list[str]] = []
    for name in [name for name in os.environ if name.startswith("CDM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CDM_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setattr(os, "execv", lambda _program, command: commands.append(command))
    return commands


def test_without_options_it_listens_on_this_machine_only(
    started: list[list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    cli.ui()
    (command,) = started
    assert command[:4] == [sys.executable, "-m", "dagster", "dev"]
    assert command[command.index("-h") + 1] == "127.0.0.1"
    assert capfd.readouterr().err == ""


def test_for_viewers_it_starts_the_webserver_alone(started: list[list[str]]) -> None:
    cli.ui(read_only=True, port=3001)
    (command,) = started
    assert command[:4] == [sys.executable, "-m", "dagster_webserver", "--read-only"]
    assert command[-2:] == ["-p", "3001"]


@pytest.mark.parametrize(
    ("read_only", "what_they_may"), [(False, "start and stop runs"), (True, "see every table's metadata")]
)
def test_on_another_address_it_warns_that_there_is_no_login(
    read_only: bool, what_they_may: str, started: list[list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    cli.ui(host="0.0.0.0", read_only=read_only)
    told = " ".join(capfd.readouterr().err.split())
    assert "0.0.0.0 is not this machine alone, and Dagster's UI has no login" in told
    assert what_they_may in told
    assert len(started) == 1, "it is a warning: who has a proxy before it goes on"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.7", False),
        ("dagster.example.com", False),
    ],
)
def test_loopback_addresses_are_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
