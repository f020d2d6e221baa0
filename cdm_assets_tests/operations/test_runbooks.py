"""The runbooks of this repository are whole and in line; what is missing or stale is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from cdm_assets.operations.error_codes import CODES, PIPELINE_RUNBOOKS
from cdm_assets.operations.runbooks import (
    RunbooksMissing,
    faults,
    overdue,
    runbook_of,
    runbook_text,
    runbooks_folder,
    section_of,
    sections,
    write_generated,
)
from cdm_assets.orchestration.code_location import table_loads
from cdm_assets.settings import Settings
from cdm_assets.warehouse.tables import Tables


@pytest.fixture(scope="module")
def tables() -> Tables:
    return table_loads(Settings.from_environment({"CDM_HOME": "/nowhere"})).tables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(runbooks_folder(), tmp_path / "runbooks"))


def test_the_runbooks_are_whole_and_in_line_with_the_catalog(tables: Tables) -> None:
    assert [str(fault) for fault in faults(runbooks_folder(), tables)] == []


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_section_with_steps_and_a_way_to_verify(code: str) -> None:
    section = section_of(code, runbooks_folder())
    assert section.startswith(f"### {code}\n")
    assert CODES[code].title in section
    assert "1. " in section
    assert "Verify: " in section


def test_there_is_one_runbook_a_concern_and_one_a_business_pipeline(tables: Tables) -> None:
    names = {path.stem for path in runbooks_folder().glob("*.md")} - {"README"}
    assert {name[0] for name in names if name[0].isdigit()} == set("123456")
    assert set(PIPELINE_RUNBOOKS) <= names & tables.catalog.pipelines.keys()


def test_every_table_has_a_runbook_whose_section_exists(tables: Tables) -> None:
    for key in tables.partitioned:
        name, _, anchor = runbook_of(tables.catalog, key).removeprefix("runbooks/").partition("#")
        text = (runbooks_folder() / name).read_text(encoding="utf-8")
        anchors = {title.lower().replace(" ", "-") for title, _ in sections(text)}
        assert not anchor or anchor in anchors, key
    assert runbook_of(tables.catalog, "metrics.profit_aggregate") == "runbooks/profit_investors.md"


def test_generating_again_changes_nothing_and_mends_what_was_changed(folder: Path, tables: Tables) -> None:
    assert write_generated(folder, tables) == []
    path = folder / "profit_investors.md"
    by_hand = path.read_text(encoding="utf-8")
    path.write_text(by_hand.replace("| author | ", "| author | somebody else, "), encoding="utf-8")
    assert [fault.file for fault in faults(folder, tables)] == ["profit_investors.md"]
    assert "is stale; run `cdm runbook --write`" in str(faults(folder, tables)[0])
    assert write_generated(folder, tables) == ["profit_investors.md"]
    assert path.read_text(encoding="utf-8") == by_hand, "what is written by hand stays as it is"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: text.replace("### CDM-OPS-002\n", "### Killed\n"), "has no section for CDM-OPS-002"),
        (lambda text: text.replace("1. *team* `cdm morning`", "1. `cdm morning`"), "step without *team*"),
        (lambda text: text.replace("## Verification", "## End"), "has no section 'Verification'"),
        (lambda text: text.replace("Next review: ", "Some day: "), "names no day of its next review"),
        (lambda text: text.replace("begin pipelines", "begin nonsense"), "nothing is generated under the name"),
        (lambda text: text.replace("Verify: ", "So: "), "the section CDM-OPS-001 does not say how to verify"),
    ],
)
def test_what_a_runbook_lacks_is_told(
    folder: Path, tables: Tables, change: Callable[[str], str], complaint: str
) -> None:
    path = folder / "1_daily_execution.md"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert any(complaint in str(fault) for fault in faults(folder, tables))


def test_a_review_that_is_past_is_told(folder: Path) -> None:
    assert overdue(folder, date(2026, 11, 21)) == []
    assert "1_daily_execution.md was to be reviewed by 2027-05-21" in overdue(folder, date(2027, 6, 1))


def test_a_runbook_is_found_by_its_beginning_and_others_are_named() -> None:
    assert runbook_text("3", runbooks_folder()).startswith("# 3 Rerun and backfill")
    with pytest.raises(RunbooksMissing, match="names 2 runbooks; expected a code or one of 1_daily_execution, "):
        runbook_text("profit", runbooks_folder())
    with pytest.raises(RunbooksMissing, match="there is no error code CDM-LDZ-999; near are CDM-LDZ-001"):
        section_of("CDM-LDZ-999", runbooks_folder())


def test_without_a_folder_it_is_said_where_the_runbooks_are(tmp_path: Path) -> None:
    with pytest.raises(RunbooksMissing, match=r"they are part of the repository .* set CDM_RUNBOOKS"):
        runbooks_folder(tmp_path)


def test_a_comment_in_a_shell_block_is_no_heading() -> None:
    text = "# A\n## B\n```sh\n## not one\n```\nx\n## C\n"
    assert [title for title, _ in sections(text)] == ["B", "C"]
