"""`cdm setup`, `cdm variables` and `cdm dates`, as a user types them, on DuckDB and the catalog that ships."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from cdm_assets.cli import app

SECRET = "hunter2-hunter2-hunter2-hunter2"


class Commands:
    """A home, and `cdm` on it in this process."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.home = home
        for name in [name for name in os.environ if name.startswith(("CDM_", "DAGSTER_"))]:
            patch.delenv(name)
        patch.setenv("CDM_HOME", str(home))

    @property
    def database(self) -> Path:
        return self.home / "warehouse" / "cdm.duckdb"

    def __call__(self, *arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(app, list(arguments), env=environment)

    def said(self, *arguments: str, **environment: str) -> str:
        result = self(*arguments, **environment)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *arguments: str, **environment: str) -> str:
        result = self(*arguments, **environment)
        assert result.exit_code == 1, result.output
        return result.stderr

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def land(self, *days: str) -> None:
        """Files of one source: setup looks at their names."""
        for each in days:
            path = self.home / "landing" / each / "customer.csv"
            path.parent.mkdir(parents=True)
            path.write_text("x\n")


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def cdm(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Commands:
    """A home that is set up, its first file of the fifth of January."""
    commands = Commands(tmp_path_factory.mktemp("setup") / "home", patch)
    commands.land("2017-01-05", "2017-01-06", "2017-01-07", "2017-01-08")
    assert "CREATE TABLE" not in commands.said("setup", "--plan")
    assert not commands.database.exists(), "a plan makes nothing"
    commands.first = commands.said("setup")  # type: ignore[attr-defined]
    return commands


def test_setup_runs_the_three_jobs_in_their_order_and_says_how_to_go_on(cdm: Commands) -> None:
    said = cdm.first.splitlines()  # type: ignore[attr-defined]
    jobs = [line for line in said if line[0].isdecimal()]
    assert [line.split(":")[0] for line in jobs] == [
        "1 variable_sync",
        "2 ddl_execution_multidb",
        "3 etl_date_control_update",
    ]
    assert "  customer (B): Day 0 2017-01-05, previous 2017-01-04, next 2017-01-05" in said
    assert said[-2:] == [
        f"  export CDM_DATABASE={cdm.database}",
        "  make run      # the demo; or `cdm run` for the files of your landing area",
    ]
    assert cdm.rows("select count(*) > 15 from cdp_metadata.etl_date_control") == [(True,)]
    assert cdm.rows("select value from cdp_metadata.variable where name = 'CDM_HOME'") == [(str(cdm.home),)]
    assert cdm.rows("select count(*) > 100 from cdp_metadata.ddl_step where state = 'done'") == [(True,)]


def test_a_second_setup_has_nothing_to_do(cdm: Commands) -> None:
    said = cdm.said("setup")
    assert said.count("nothing has changed") == 2
    assert "nothing to do" in said


def test_a_run_beyond_the_next_date_is_refused_before_it_begins_and_the_command_it_names_helps(cdm: Commands) -> None:
    refused = cdm.refused("run", "--start", "2017-01-07", "--days", "1")
    assert "2017-01-07 would leave out 2 dates whose files are there: 2017-01-05..2017-01-06" in refused
    assert "`cdm run --start 2017-01-05 --end 2017-01-07`" in refused
    assert "cdm runbook CDM-OPS-013" in refused
    assert cdm.rows("select count(*) from cdp_metadata.landing_file") == [(0,)]
    assert not (cdm.home / "dagster").exists(), "no run was made"
    assert "customer: next 2017-01-05 → 2017-01-07" in cdm.said("dates", "advance", "2017-01-07")
    shown = next(line for line in cdm.said("dates").splitlines() if line.startswith("customer "))
    assert shown.split() == ["customer", "B", "2017-01-05", "2017-01-04", "-", "2017-01-07", "-"]
    assert "already" in cdm.said("dates", "advance", "2017-01-06")


def test_dates_before_day_zero_are_refused_until_it_is_moved(cdm: Commands) -> None:
    refused = cdm.refused("run", "--start", "2017-01-02", "--days", "1")
    assert "`cdm dates day-zero 2017-01-02`" in refused
    assert "customer: Day 0 2017-01-05 → 2017-01-02" in cdm.said(
        "dates", "day-zero", "2017-01-02", "--source", "customer"
    )
    assert "nothing has changed" in cdm.said("dates", "update", "--plan")


def test_an_unknown_source_is_told_with_one_that_is_near(cdm: Commands) -> None:
    assert "did you mean 'customer'" in cdm.refused("dates", "advance", "2017-02-01", "--source", "custmer")


def test_variables_are_listed_with_value_origin_and_meaning_and_without_secrets(cdm: Commands) -> None:
    said = cdm.said("variables", CDM_TOKEN_KEY=SECRET, CDM_THREADS="3")
    assert f"CDM_HOME  {cdm.home}  [environment]" in said
    assert "CDM_THREADS  3  [environment]\n    Threads of DuckDB" in said
    assert "CDM_TOKEN_KEY  env:CDM_TOKEN_KEY  [environment]" in said
    assert "CDM_NOTIFY  not set: nobody is told" in said
    assert SECRET not in said


def test_a_name_that_is_no_variable_stops_the_setup_before_it_writes(cdm: Commands) -> None:
    before = cdm.rows("select * from cdp_metadata.variable order by name")
    refused = cdm.refused("setup", CDM_TREADS="3")
    assert "CDM_TREADS, which is no variable of the platform; did you mean CDM_THREADS?" in refused
    assert cdm.rows("select * from cdp_metadata.variable order by name") == before


def test_a_file_of_variables_is_in_effect_for_every_command(
    cdm: Commands, tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "variables.yaml"
    file.write_text("CDM_MEMORY_LIMIT: 3GB\n")
    with pytest.MonkeyPatch.context() as own:
        own.setenv("CDM_MEMORY_LIMIT", "")  # whatever the command sets is undone
        assert f"CDM_MEMORY_LIMIT  3GB  [{file}:1]" in cdm.said("variables", CDM_VARIABLES=str(file))
    file.write_text("CDM_MEMORY_LIMT: 3GB\n")
    assert f"{file}:1: CDM_MEMORY_LIMT" in cdm.refused("status", CDM_VARIABLES=str(file))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--engine", "oracle"), "--engine oracle, but the database is not one of oracle (none is named)"),
        (("--engine", "orcl"), "unknown engine 'orcl'"),
        (("--engine", "postgresql", "--url", f"oracle://u:{SECRET}@h/d"), "--url is of oracle: oracle://u:***@h/d"),
        (
            ("--engine", "postgres", "--url", f"postgresql://u:{SECRET}@127.0.0.1:1/d"),
            "postgresql://u:***@127.0.0.1:1/d does not answer",
        ),
    ],
)
def test_a_database_that_cannot_be_set_up_is_told_in_one_line_without_its_password(
    cdm: Commands, arguments: tuple[str, ...], says: str
) -> None:
    result = cdm("setup", *arguments)
    assert result.exit_code == 1
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert SECRET not in result.output


def test_a_driver_that_is_not_installed_is_told_with_the_command_that_installs_it(
    cdm: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cdm_assets.warehouse.oracle", None)
    assert "pip install 'cdm-assets[oracle]'" in cdm.refused("setup", "--url", "oracle://u@127.0.0.1:1/d")


def test_dates_of_a_site_without_a_database_say_what_to_do(cdm: Commands, tmp_path: Path) -> None:
    assert "there is no database" in cdm.refused("dates", CDM_DATABASE=str(tmp_path / "none.duckdb"))
