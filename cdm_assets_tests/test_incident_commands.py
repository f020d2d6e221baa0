"""`cdm incident`, `cdm sla` and `cdm runbook`, as a user types them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cdm_assets import cli
from cdm_assets.loading.stamp import Stamp
from cdm_assets.operations.error_codes import CODES
from cdm_assets.operations.incidents import IncidentDesk, IncidentKind
from cdm_assets.operations.runbooks import runbooks_folder
from cdm_assets.orchestration.code_location import table_loads
from cdm_assets.settings import Settings
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets_tests.operations.incident_site import broken

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cdm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("CDM_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> tuple[int, str, str]:
        """Exit code, what was printed and what was complained about."""
        with pytest.raises(SystemExit) as ended:
            cli.app(list(arguments))
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return run


@pytest.fixture
def opened(cdm: Command) -> Command:
    """A site with an incident that opened two hours ago."""
    settings = Settings.from_environment()
    ago = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=2)
    with Warehouse.open_duckdb(settings.database_path, table_loads(settings).tables) as warehouse:
        create_missing(warehouse)
        with warehouse.transaction() as connection:
            desk = IncidentDesk(connection, warehouse.tables, settings.ui_url)
            desk.update([broken()], Stamp("test", ago), kinds=tuple(IncidentKind))
    return cdm


def test_an_incident_is_listed_shown_acknowledged_resolved_and_counted(opened: Command) -> None:
    _, shown, _ = opened("incident", "list")
    assert "INC-1    critical open  since " in shown
    assert "A data-quality rule that blocks or warns is broken: ldz.ldz_customer 2024-03-04 (1 found)" in shown
    assert "not sent: INC-1 opened" in shown
    assert opened("incident", "ack", "INC-1", "--by", "kim")[1] == (
        "INC-1 is acknowledged by kim, after 2:00 h; `cdm runbook CDM-LDZ-010`\n"
    )
    _, shown, _ = opened("incident", "show", "1")
    assert "Acknowledged " in shown
    assert "Runbook: runbooks/2_failure_handling.md#cdm-ldz-010" in shown
    assert "  2024-03-04 ldz.ldz_customer: rules: 3 rows on 2024-03-04 (seen " in shown
    assert opened("incident", "resolve", "INC-1", "--note", "a corrected file", "--by", "kim")[1].startswith(
        "INC-1 is resolved by kim, after 2:00 h"
    )
    assert opened("incident", "list")[1].endswith("0 incidents\n")
    assert "INC-1    critical resolved, kim" in opened("incident", "list", "--all")[1]
    code, shown, _ = opened("sla")
    assert code == 2, "it was acknowledged too late"
    assert (
        "customer_360_platform    critical    1 incidents, 0 unresolved; acknowledged: median 2:00 h of 1:00 h" in shown
    )
    assert "INC-1 CDM-LDZ-010: acknowledged after 2:00 h, 1:00 h are allowed" in shown
    assert opened("sla", "--pipeline", "profit_investors")[:2] == (0, "0 incidents within 90 days\n")


def test_what_cannot_be_done_says_so_with_a_code(opened: Command) -> None:
    code, _, err = opened("incident", "ack", "INC-9")
    told = "(CDM-CFG-003; cdm runbook CDM-CFG-003)"
    assert (code, err) == (1, f"cdm: there is no incident INC-9; `cdm incident list --all` shows them all {told}\n")
    assert "expected such as INC-12" in opened("incident", "show", "nine")[2]


def test_without_a_database_there_are_no_incidents(cdm: Command) -> None:
    assert "there is no database at" in cdm("incident", "list")[2]


def test_every_code_is_listed_and_its_section_printed(cdm: Command) -> None:
    _, shown, _ = cdm("runbook")
    assert [line.split()[0] for line in shown.splitlines()] == list(CODES)
    assert cdm("runbook", "cdm-ldz-001")[1].startswith("### CDM-LDZ-001\n")
    assert cdm("runbook", "6")[1].startswith("# 6 Database setup")
    assert "there is no error code CDM-XYZ-1" in cdm("runbook", "CDM-XYZ-1")[2]


def test_a_stale_runbook_fails_the_check_until_it_is_written(
    cdm: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(runbooks_folder(), tmp_path / "runbooks"))
    monkeypatch.setenv("CDM_RUNBOOKS", str(folder))
    assert cdm("runbook", "--check")[0] == 0
    path = folder / "6_database_setup.md"
    path.write_text(
        path.read_text(encoding="utf-8").replace("| approver | ", "| approver | nobody, "), encoding="utf-8"
    )
    code, _, err = cdm("runbook", "--check")
    assert code == 1
    assert "6_database_setup.md: the generated part 'ownership customer_360_platform' is stale" in err
    assert err.endswith("(CDM-CFG-005; cdm runbook CDM-CFG-005)\n")
    assert "1 runbooks changed 6_database_setup.md" in cdm("runbook", "--write")[1]
    assert cdm("runbook", "--check")[0] == 0


def test_without_runbooks_it_says_where_they_are(cdm: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDM_RUNBOOKS", str(tmp_path))
    code, _, err = cdm("runbook", "CDM-LDZ-001")
    assert code == 1
    assert "they are part of the repository and not of the installed package" in err
