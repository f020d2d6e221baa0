"""What the smoke test counts as wrong, and what it only tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from unittest import mock

import pytest

from cdm_assets.loading.report import CheckOutcome, LoadReport
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.orchestration import smoke as module
from cdm_assets.orchestration.smoke import SCRATCH_PREFIX, SmokeStep, _judged, differences, smoke
from cdm_assets.settings import Settings

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]
DAY = date(2018, 1, 1)
DECLARED = {("itf", "a"): {"id": "VARCHAR NOT NULL", "n": "BIGINT"}, ("itf", "b"): {"id": "VARCHAR"}}


def report(check: str, *, blocking: bool = True, passed: bool = False) -> LoadReport:
    outcome = CheckOutcome(check, DAY, passed, blocking, "error", {"rows that are wrong": 2, "others": 0})
    return LoadReport("itf.a", {}, {}, [outcome], 0.1, {})


def test_a_check_of_structure_that_fails_is_a_problem_and_any_other_a_note() -> None:
    assert _judged("itf.a", report("keys")) == (["itf.a: check keys: rows that are wrong: 2"], [])
    assert _judged("itf.a", report("rules")) == ([], ["itf.a: check rules: rows that are wrong: 2"])
    assert _judged("itf.a", report("links", blocking=False)) == ([], ["itf.a: check links: rows that are wrong: 2"])
    assert _judged("itf.a", report("keys", passed=True)) == ([], [])


def test_a_database_like_a_fresh_one_has_no_differences() -> None:
    assert differences(DECLARED, DECLARED | {("itf", "of_others"): {"x": "DATE"}}) == []


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({("itf", "a"): DECLARED["itf", "a"]}, "not there: itf.b; create them with `cdm ddl --apply`"),
        (DECLARED | {("itf", "b"): {}}, "itf.b lacks id; rename or drop it, and load it again"),
        (DECLARED | {("itf", "b"): {"id": "VARCHAR", "x": "DATE"}}, "itf.b has undeclared x"),
        (DECLARED | {("itf", "b"): {"id": "BIGINT"}}, "itf.b has id as BIGINT, declared VARCHAR"),
        (
            DECLARED | {("itf", "a"): {"id": "VARCHAR", "n": "BIGINT"}},
            "itf.a has id as VARCHAR, declared VARCHAR NOT NULL",
        ),
    ],
)
def test_each_difference_is_told(found: module.Columns, says: str) -> None:
    [text] = differences(DECLARED, found)
    assert text.startswith(says)


def test_many_differences_are_cut_and_counted() -> None:
    declared = {("itf", f"t{n:02}"): {"id": "VARCHAR"} for n in range(13)}
    texts = differences(declared, {table: {"id": "DATE"} for table in declared})
    assert len(texts) == 11
    assert texts[-1] == "… and 3 more tables"


def smoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, SmokeStep]:
    """All steps on a home without a database, those that take long left out by the caller."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said: list[SmokeStep] = []
    steps = smoke(Settings.from_environment({"CDM_HOME": str(tmp_path / "home")}), say=said.append)
    assert said == steps
    assert list(tmp_path.glob(f"{SCRATCH_PREFIX}*")) == []
    return {step.step: step for step in steps}


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
