"""The fault drill as a test: two faults always, all of them with the slow tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdm_assets.operations.error_codes import CODES
from cdm_assets_tests.end_to_end.fault_drill import FAULTS


def _drill(home: Path, *names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cdm_assets_tests.end_to_end.fault_drill", "--home", str(home), *names]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_a_fault_leads_to_its_incident_and_runbook_and_ends_with_a_green_morning(tmp_path: Path) -> None:
    done = _drill(tmp_path, "cut_off", "interface_rows_lost")
    assert done.returncode == 0, done.stdout + done.stderr
    seen = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines() if " CDM-" in line}
    assert seen == {"cut_off": "CDM-LDZ-003", "interface_rows_lost": "CDM-AGG-001"}


@pytest.mark.slow
def test_every_fault_does(tmp_path: Path) -> None:
    done = _drill(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_drill_has_a_fault_of_every_layer() -> None:
    layers = {CODES[fault.expected.code].layer for fault in FAULTS}
    assert {"ldz", "rdv", "itf", "agg", "cs_360_db", "metrics", "cdm_ingest_db", "platform"} <= layers
    assert len({fault.expected.code for fault in FAULTS}) == len(FAULTS), "each its own"


def test_the_drill_says_which_faults_it_knows(tmp_path: Path) -> None:
    done = _drill(tmp_path, "flood")
    assert done.returncode == 2
    assert "unknown: flood; known are" in done.stderr
