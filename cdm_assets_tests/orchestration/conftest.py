"""A Dagster instance on disk, as `cdm` sets it up."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from dagster import DagsterInstance

from cdm_assets.orchestration.instance import ensure_instance
from cdm_assets.orchestration.runs import RunOutcome, run_range

SMALL_DEFINITIONS = "cdm_assets_tests.orchestration.small_definitions"

Run = Callable[[str, str], RunOutcome]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    ensure_instance(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.from_config(str(home)) as instance:
        yield instance


@pytest.fixture
def run(instance: DagsterInstance) -> Run:
    def run_days(start: str, end: str) -> RunOutcome:
        return run_range(
            instance=instance,
            job_name="everything",
            start=date.fromisoformat(start),
            end=date.fromisoformat(end),
            module=SMALL_DEFINITIONS,
        )

    return run_days
