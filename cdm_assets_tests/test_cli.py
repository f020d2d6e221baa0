"""The `cdm` command as a user types it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def cdm(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CDM_", "DAGSTER_"))}
    env = clean | {"CDM_HOME": str(home), "PYTHONWARNINGS": "ignore", "COLUMNS": "120"} | environment
    command = [sys.executable, "-m", "cdm_assets", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two days of the demo, loaded by the command."""
    home = tmp_path_factory.mktemp("cli") / "home"
    demo = cdm(home, "demo", "--days", "2")
    assert demo.returncode == 0, demo.stderr
    assert "2 dates written, 0 already there" in demo.stdout
    run = cdm(home, "run", "--days", "2")
    assert run.returncode == 0, run.stderr
    assert "Run 1 of 1: 100 tables, 2017-01-01..2017-01-02 (2 dates)" in run.stdout
    assert "/100] cdm_publish_db.customer_360" in run.stdout
    assert "make ui" in run.stdout
    assert str(home / "warehouse" / "cdm.duckdb") in run.stdout
    return home


def test_help_lists_the_steps(tmp_path: Path) -> None:
    shown = cdm(tmp_path, "--help")
    steps = ("demo", "validate", "ddl", "run", "plan", "status", "files", "alerts", "maintenance", "source", "ui")
    for command in steps:
        assert f"  {command} " in shown.stdout


def test_status_shows_every_layer(home: Path) -> None:
    shown = cdm(home, "status", "--days", "2")
    lines = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines() if len(line.split()) == 8}
    assert list(lines) == ["ldz", "rdv", "itf", "agg", "cs_360_db", "metrics", "cdm_publish_db"]
    assert lines["ldz"][:2] == ["19", "38"]
    assert all(values[5] == "0" for values in lines.values()), "nothing failed"


def test_a_second_run_says_that_nothing_is_to_do(home: Path) -> None:
    assert "everything is loaded and unchanged; nothing to do" in cdm(home, "run", "--days", "2").stdout


def test_plan_says_what_a_run_would_load(home: Path) -> None:
    shown = cdm(home, "plan", "--days", "3").stdout
    assert shown == "Never loaded: 2017-01-03 (1 dates) of 100 tables\n"
    assert "everything is loaded and unchanged" in cdm(home, "plan", "--days", "2").stdout


def test_validate_counts_what_is_declared(tmp_path: Path) -> None:
    assert "The catalog is valid: 19 sources, 13 hubs, 10 links, 11 satellites" in cdm(tmp_path, "validate").stdout


def test_validate_names_file_line_and_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "loyalty.yaml").write_text("source: loyalty\ndelivery: nightly\n")
    shown = cdm(tmp_path, "validate", CDM_CATALOG=str(tmp_path))
    assert shown.returncode == 1
    assert f"{tmp_path}/sources/loyalty.yaml:2: delivery" in shown.stderr
    assert "'snapshot', 'delta' or 'events'" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status"], "there is no database at"),
        (["run", "--start", "2017-02-01", "--end", "2017-01-01"], "--end 2017-01-01 is before --start 2017-02-01"),
        (["run", "--end", "2019-01-01"], "is not within the business dates 2017-01-01..2018-01-01"),
        (["run", "--end", "2017-01-02", "--days", "3"], "give --end or --days, not both"),
        (["run", "--days", "1"], "the landing area"),
    ],
)
def test_a_mistake_gets_one_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    shown = cdm(tmp_path, *arguments)
    assert shown.returncode == 1
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_bad_file_ends_the_run_with_its_name_and_the_runbook(tmp_path: Path) -> None:
    home = tmp_path / "home"
    cdm(home, "demo", "--days", "1")
    (home / "landing" / "2017-01-01" / "campaign.csv").write_text("")
    shown = cdm(home, "run", "--days", "1")
    assert shown.returncode == 1
    assert "2017-01-01/campaign.csv" in shown.stderr
    assert "What to do: cdm runbook CDM-LDZ-004" in shown.stderr
    assert "(CDM-LDZ-004; cdm runbook CDM-LDZ-004)" in shown.stderr
    held = cdm(home, "runbook", "CDM-LDZ-004").stdout
    assert held.startswith("### CDM-LDZ-004\n")
    assert "*team*" in held
