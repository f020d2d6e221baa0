"""`cdm ddl` and `cdm access show` as a user types them."""

from pathlib import Path
from typing import Final

import duckdb
import pytest
from typer.testing import CliRunner, Result

from cdm_assets.cli import app
from cdm_assets.command_errors import Stopped

_RUNNER: Final = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CDM_DATABASE", "CDM_CATALOG", "CDM_VARIABLES", "CDM_SCHEMA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CDM_HOME", str(tmp_path))
    return tmp_path


def cdm(*arguments: str) -> Result:
    return _RUNNER.invoke(app, arguments)


@pytest.mark.parametrize("engine", ["duckdb", "oracle"])
def test_ddl_prints_a_script_for_any_engine_without_a_connection(engine: str, home: Path) -> None:
    script = cdm("ddl", "--engine", engine).output
    assert script.startswith(f"-- CDM Assets on {engine}: ")
    assert "CREATE TABLE cdm_publish_db.customer_360 (" in script
    assert ("cdm_viewer" in script) == (engine != "duckdb")
    assert not (home / "warehouse").exists()


def test_a_database_is_planned_applied_and_then_as_declared(home: Path) -> None:
    planned = cdm("ddl", "--plan")
    assert planned.output.splitlines()[0].startswith("Plan ")
    assert "create table   cdm_publish_db.customer_360: not there" in planned.output
    assert not (home / "warehouse").exists()
    applied = cdm("ddl", "--apply")
    assert (applied.exit_code, "new tables" in applied.output) == (0, True)
    assert cdm("ddl", "--plan").output == "The database is what the catalog declares; nothing to do\n"
    again = cdm("ddl", "--apply")
    assert (again.exit_code, again.output) == (0, "The database is what the catalog declares; nothing to do\n")
    with duckdb.connect(str(home / "warehouse" / "cdm.duckdb")) as database:
        database.execute("alter table cdm_publish_db.customer_360 add column old integer")
    left = cdm("ddl", "--apply")
    assert left.exit_code == 3
    assert "not without --allow drop-column:cdm_publish_db.customer_360.old" in left.output
    allowed = cdm("ddl", "--apply", "--allow", "drop-column:cdm_publish_db.customer_360.old")
    assert (allowed.exit_code, "1 step done" in allowed.output) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ddl", "--engine", "orcle"), "unknown engine 'orcle'; expected one of duckdb, postgresql"),
        (("ddl", "--engine", "oracle", "--plan"), "CDM_DATABASE names a duckdb database"),
        (("ddl", "--plan", "--apply"), "give --plan or --apply, not both"),
        (("ddl", "--allow", "all"), "--allow goes with --apply or --plan"),
        (("access", "show", "--engine", "orcle"), "unknown engine 'orcle'"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], message: str) -> None:
    result = cdm(*arguments)
    assert result.exit_code == 1
    assert message in result.output or message in str(result.exception or Stopped)


def test_access_show_says_who_sees_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDM_DATABASE", "postgresql://nobody@nowhere.invalid/cdm")
    monkeypatch.setenv("CDM_SCHEMA_PREFIX", "dev_")
    shown = cdm("access", "show").output
    assert "dev_cdm_viewer: Analysts and reports." in shown
    assert "  dev_cdm_publish_db select\n    customer_360: all columns but email" in shown
    assert "nothing in ldz, rdv, itf, agg, cs_360_db, metrics, cdm_ingest_db, cdp_metadata" in shown
    assert "dev_cdm_ingest_db  select, insert, update, delete" in shown


@pytest.mark.parametrize("engine", ["duckdb", "oracle", "mssql"])
def test_access_show_prints_the_statements_of_an_engine(engine: str) -> None:
    shown = cdm("access", "show", "--engine", engine).output
    if engine == "duckdb":
        assert "DuckDB has no roles" in shown
        assert "GRANT " not in shown.replace("GRANT <role>", "")
        return
    assert "CREATE ROLE" in shown
    assert "cdm_publish_db.customer_360_viewer" in shown
    by_column = "SELECT (" in shown
    assert by_column == (engine == "mssql")
    assert ("not at all, as it has email" in shown) == (engine == "oracle")
