"""What the smoke test counts as wrong, and what it only tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from unittest import mock

import pytest

from cdm_assets.loading.report import CheckOutcome, LoadReport
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.orchestration.smoke import SCRATCH_PREFIX, SmokeStep, _judged, differences, smoke
from cdm_assets.settings import Settings
from cdm_assets.warehouse.ddl_plan import DdlStep

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]
DAY = date(2018, 1, 1)


def report(check: str, *, blocking: bool = True, passed: bool = False) -> LoadReport:
    outcome = CheckOutcome(check, DAY, passed, blocking, "error", {"rows that are wrong": 2, "others": 0})
    return LoadReport("itf.a", {}, {}, [outcome], 0.1, {})


def test_a_check_of_structure_that_fails_is_a_problem_and_any_other_a_note() -> None:
    assert _judged("itf.a", report("keys")) == (["itf.a: check keys: rows that are wrong: 2"], [])
    assert _judged("itf.a", report("rules")) == ([], ["itf.a: check rules: rows that are wrong: 2"])
    assert _judged("itf.a", report("links", blocking=False)) == ([], ["itf.a: check links: rows that are wrong: 2"])
    assert _judged("itf.a", report("keys", passed=True)) == ([], [])


def step(kind: str, number: int = 1) -> DdlStep:
    return DdlStep(kind, f"itf.t{number:02}", ("select 1",), "declared otherwise", number=number)


def test_comments_and_tables_of_others_are_no_differences() -> None:
    assert differences([step("set comment"), step("drop table")]) == []


def test_each_difference_is_told_and_how_it_is_mended() -> None:
    first, *_, last = differences([step("widen column")])
    assert first == "itf.t01: widen column, declared otherwise"
    assert last == "`cdm ddl --plan` shows what mends it, `cdm ddl --apply` does it"


def test_many_differences_are_cut_and_counted() -> None:
    texts = differences([step("add column", number) for number in range(13)])
    assert len(texts) == 12
    assert texts[-2] == "… and 3 more differences"


def smoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, SmokeStep]:
    """All steps on a home without a database, those that take long left out by the caller."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said: list[SmokeStep] = []
    steps = smoke(Settings.from_environment({"CDM_HOME": str(tmp_path / "home")}), say=said.append)
    assert said == steps
    assert list(tmp_path.glob(f"{SCRATCH_PREFIX}*")) == []
    return {step.step: step for step in steps}


@pytest.mark.slow
def test_a_table_whose_load_breaks_is_a_problem_and_the_others_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load: Callable[..., LoadReport] = TableLoads.load
    tried = []

    def breaking(loads: TableLoads, key: str, *arguments: object) -> LoadReport:
        tried.append(key)
        if key == "itf.campaign":
            raise ZeroDivisionError("a release broke it")
        return load(loads, key, *arguments)

    with mock.patch.object(TableLoads, "load", breaking):
        steps = smoked(tmp_path, monkeypatch)
    step = steps["one date of made-up files goes through all layers"]
    assert not step.passed
    assert "itf.campaign: ZeroDivisionError: a release broke it" in step.problems
    assert tried[-1].startswith(("cdm_publish_db.", "metrics."))
    database = steps["the database is as declared"]
    assert not database.passed
    assert "there is no database at" in database.problems[0]
    assert steps["the definitions load"].passed
    assert steps["the scratch folder is gone"].passed
