"""The table of docs/engines.md: complete, as `evidence.yaml` has it, and held by tests that run."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from cdm_assets_tests.engines import evidence as module
from cdm_assets_tests.engines.evidence import (
    COLUMNS,
    ENGINES,
    EVIDENCE,
    PAGE,
    cells,
    evidence,
    faults,
    filled_in,
    is_named,
    main,
    read,
    refuse_to_be_skipped,
    table,
)

_COLLECT = """
import json, sys, pytest

class Collected:
    def pytest_collection_finish(self, session):
        self.marks = {item.nodeid: sorted({mark.name for mark in item.iter_markers()}) for item in session.items}

collected = Collected()
code = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *sys.argv[2:]], plugins=[collected])
open(sys.argv[1], "w").write(json.dumps(collected.marks))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What `make test` runs of the files that the cells name, with the marks of each test."""
    files = sorted({name.partition("::")[0] for _, _, cell in cells(evidence()) for name in cell.tests})
    answer = tmp_path_factory.mktemp("evidence") / "collected.json"
    done = subprocess.run(
        [sys.executable, "-c", _COLLECT, str(answer), *files],
        cwd=PAGE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    marks: dict[str, list[str]] = json.loads(answer.read_text())
    return marks


def test_every_cell_stands_on_tests_that_run(collected: dict[str, list[str]]) -> None:
    assert faults(evidence(), collected) == []


def test_the_page_shows_the_cells_as_they_are() -> None:
    assert main(["--check"]) == 0, "run: python -m cdm_assets_tests.engines.evidence --write"


def test_every_engine_has_a_section_that_says_how_to_set_it_up() -> None:
    page = PAGE.read_text()
    for title in ENGINES.values():
        section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        for word in ("Driver", "URL", "Versions", "Bulk path", "Transactions", "Limits of the evidence", "Set up"):
            assert f"**{word}" in section, f"{title}: {word}"


def _as_data() -> Any:
    return yaml.safe_load(EVIDENCE.read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("oracle"), "oracle"),
        (lambda data: data.update(mysql={}), "mysql"),
        (lambda data: data["mssql"].pop("vault"), "mssql has no cell vault"),
        (lambda data: data["mssql"].update(views={"kind": "none", "limits": "x"}), "views"),
        (lambda data: data["oracle"]["ddl"].update(kind="probably"), "kind"),
        (lambda data: data["oracle"]["ddl"].update(tests=[]), "at least one test"),
        (lambda data: data["oracle"]["ddl"].update(kind="stand_in", limits=""), "needs `limits`"),
        (lambda data: data["duckdb"]["roles"].update(limits=""), "kind `none`"),
        (lambda data: data["duckdb"]["ddl"].update(tests=["by hand"]), "pattern"),
    ],
)
def test_a_file_that_says_too_little_is_refused(change: Callable[[Any], object], message: str) -> None:
    data = _as_data()
    change(data)
    with pytest.raises(ValidationError, match=message):
        read(yaml.safe_dump(data))


_TEST = "cdm_assets_tests/engines/test_oracle.py::test_the_vault"


def _with_oracle_vault(name: str) -> module.Evidence:
    data = _as_data()
    cell = {"kind": "stand_in", "by": "another database", "limits": "it is another database", "tests": [name]}
    data["oracle"]["vault"] = cell
    return read(yaml.safe_dump(data))


def _of_oracle_vault(name: str, collected: dict[str, list[str]]) -> list[str]:
    return [fault for fault in faults(_with_oracle_vault(name), collected) if fault.startswith("oracle.vault")]


def test_a_test_that_runs_holds_its_cell() -> None:
    assert _of_oracle_vault(_TEST, {_TEST: []}) == []
    assert _of_oracle_vault(_TEST, {f"{_TEST}[hub]": ["parametrize"], f"{_TEST}[link]": ["parametrize"]}) == []
    assert _of_oracle_vault(f"{_TEST}[hub]", {f"{_TEST}[hub]": ["parametrize"]}) == []


@pytest.mark.parametrize(
    ("name", "collected", "fault"),
    [
        (_TEST, {}, "`make test` has no test"),
        (_TEST, {f"{_TEST}_twice": []}, "`make test` has no test"),
        (f"{_TEST}[satellite]", {f"{_TEST}[hub]": []}, "`make test` has no test"),
        (_TEST, {_TEST: ["skipif"]}, "is marked skipif"),
        (_TEST, {f"{_TEST}[hub]": [], f"{_TEST}[link]": ["xfail"]}, "is marked xfail"),
        (_TEST, {_TEST: ["slow"]}, "is marked slow"),
        (_TEST.replace("oracle", "mssql"), {_TEST.replace("oracle", "mssql"): []}, "does not say that it is about"),
    ],
)
def test_a_cell_without_a_test_that_runs_is_told(name: str, collected: dict[str, list[str]], fault: str) -> None:
    (told,) = _of_oracle_vault(name, collected)
    assert fault in told


def _report(node: str, outcome: Any) -> pytest.TestReport:
    return pytest.TestReport(node, (node, 1, node), {}, outcome, ("file", 1, "no server"), "call")


def test_a_skipped_test_that_a_cell_stands_on_fails() -> None:
    named = next(name for _, _, cell in cells(evidence()) for name in cell.tests)
    skipped = _report(f"{named}[whatever]", "skipped")
    refuse_to_be_skipped(skipped)
    assert skipped.failed
    assert "docs/engines.md says that it runs" in str(skipped.longrepr)
    passed, other = _report(named, "passed"), _report("cdm_assets_tests/other.py::test_x", "skipped")
    for report in (passed, other):
        refuse_to_be_skipped(report)
    assert (passed.outcome, other.outcome) == ("passed", "skipped")


def test_the_hook_is_in_force(request: pytest.FixtureRequest) -> None:
    hooks = request.config.pluginmanager.hook.pytest_runtest_makereport.get_hookimpls()
    (ours,) = [hook for hook in hooks if hook.plugin_name.endswith("cdm_assets_tests/conftest.py")]
    assert "refuse_to_be_skipped" in ours.function.__code__.co_names


def test_a_name_with_parameters_stands_for_itself_only() -> None:
    found = _with_oracle_vault(f"{_TEST}[hub]")
    assert is_named(f"{_TEST}[hub]", found)
    assert not is_named(f"{_TEST}[link]", found)


def test_the_table_has_a_row_an_engine_and_says_what_is_only_text() -> None:
    text = table(_with_oracle_vault(_TEST))
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in text.splitlines() if line.startswith("| **")}
    assert list(rows) == [f"**{title}**" for title in ENGINES.values()]
    assert rows["**Oracle**"][list(COLUMNS).index("vault")].strip() == "stand-in"
    assert "vault: executed on a stand-in, another database (`engines/test_oracle.py`). Limits: it is another" in text


def test_a_page_without_a_place_for_the_table_is_told() -> None:
    with pytest.raises(ValueError, match="there is no"):
        filled_in("# Engines\n", evidence())
