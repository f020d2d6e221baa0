"""What a rerun would load, and each precondition, met and not; without loading anything."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from cdm_assets.catalog.model import MaintenanceWindow
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.pauses import pause_source
from cdm_assets.orchestration.code_location import table_loads
from cdm_assets.orchestration.daily_run import UnknownSelection
from cdm_assets.orchestration.instance import ensure_instance
from cdm_assets.orchestration.rerun import Precondition, preconditions, tables_to_rerun
from cdm_assets.settings import Settings
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables

DAY = date(2017, 1, 2)
AT = datetime(2017, 1, 3, 12, 30, tzinfo=UTC)
STAMP = Stamp("x")


class Home:
    """A home with an empty database and an empty landing area."""

    def __init__(self, folder: Path, database: Path, loads: TableLoads) -> None:
        self.settings = Settings.from_environment({"CDM_HOME": str(folder), "CDM_DATABASE": str(database)})
        self.loads = loads
        self.landing = Path(self.settings.landing_root)
        self.landing.mkdir(parents=True)

    def insert(self, table: str, *rows: dict[str, object]) -> None:
        with (
            Warehouse.open_duckdb(self.settings.database_path, self.loads.tables) as warehouse,
            warehouse.transaction() as connection,
        ):
            connection.execute(sa.insert(self.loads.tables[f"cdp_metadata.{table}"]), list(rows))

    def loaded(self, *keys: str) -> None:
        row = {"business_date": DAY, "rows_in_partition": 1, **STAMP.row}
        self.insert("partition_load", *({"table_key": key, **row} for key in keys))

    def asked(self, *tables: str, loads: TableLoads | None = None, day: date = DAY) -> dict[str, Precondition]:
        found = preconditions(self.settings, loads or self.loads, day, tables, now=AT)
        return {condition.name: condition for condition in found}


@pytest.fixture(scope="module")
def loads(tmp_path_factory: pytest.TempPathFactory) -> TableLoads:
    """Those of the shipped catalog, whose statements take seconds to build."""
    return table_loads(Settings.from_environment({"CDM_HOME": str(tmp_path_factory.mktemp("loads"))}))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, loads: TableLoads) -> Path:
    """A database with every table and no row; its calendar takes a second."""
    path = tmp_path_factory.mktemp("empty") / "empty.duckdb"
    with Warehouse.open_duckdb(path, loads.tables) as warehouse:
        create_missing(warehouse)
    return path


@pytest.fixture
def home(tmp_path: Path, empty: Path, loads: TableLoads, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("DAGSTER_HOME", "")
    database = tmp_path / "copy.duckdb"
    database.write_bytes(empty.read_bytes())
    return Home(tmp_path / "home", database, loads)


def test_without_a_table_everything_is_loaded(home: Home) -> None:
    assert tables_to_rerun(home.loads) == home.loads.in_order


def test_from_a_table_what_is_behind_it_is_loaded_in_order(home: Home) -> None:
    tables = tables_to_rerun(home.loads, start="itf.flowchart")
    assert tables[0] == "itf.flowchart"
    assert tables[-1] == "cdm_publish_db.flowchart_360"
    assert "itf.customer" not in tables
    assert list(tables) == sorted(tables, key=home.loads.in_order.index)
    behind = [key for key in home.loads.in_order if home.loads.reads[key] & set(tables)]
    assert set(behind) <= set(tables)


def test_only_a_table_is_one_table(home: Home) -> None:
    assert tables_to_rerun(home.loads, only="rdv.h_customer") == ("rdv.h_customer",)


def test_an_unknown_table_is_refused_with_one_of_that_name(home: Home) -> None:
    with pytest.raises(UnknownSelection, match=r"no table vault\.h_customer; did you mean rdv\.h_customer\?"):
        tables_to_rerun(home.loads, start="vault.h_customer")


def test_every_precondition_is_told_and_holds_on_a_site_that_is_ready(home: Home) -> None:
    home.loaded("rdv.h_flowchart", "rdv.s_flowchart_details", "rdv.h_campaign")
    home.loaded(*home.loads.upstream["itf.flowchart"])
    found = home.asked("itf.flowchart")
    assert {name: condition.says for name, condition in found.items() if not condition.holds} == {}
    assert list(found) == [
        "business date",
        "landing files",
        "maintenance",
        "no run in progress",
        "upstream partitions",
        "blocking checks",
        "paused sources",
    ]


def test_a_date_outside_the_business_dates_does_not_hold(home: Home) -> None:
    assert not home.asked("ldz.ldz_customer", day=date(2019, 1, 1))["business date"].holds


def test_a_required_file_must_be_there_and_one_that_may_be_absent_need_not(home: Home) -> None:
    missing = home.asked("ldz.ldz_customer")["landing files"]
    assert (missing.holds, missing.says.split(".")[0]) == (False, f"not there: {DAY}/customer")
    assert (
        home.asked("ldz.ldz_transaction")["landing files"].holds
        is home.loads.catalog.sources["transaction"].files.may_be_absent
    )
    file = home.landing / str(DAY) / "customer.csv"
    file.parent.mkdir()
    file.write_text("x")
    assert home.asked("ldz.ldz_customer")["landing files"].says == "1 of 1 there"


def test_a_landing_area_that_is_gone_does_not_hold(home: Home) -> None:
    home.landing.rmdir()
    found = home.asked("ldz.ldz_customer")["landing files"]
    assert not found.holds
    assert "does not exist" in found.says


@pytest.mark.parametrize(("system", "holds"), [("warehouse", False), ("data_mart", False), ("elsewhere", True)])
def test_an_open_maintenance_window_does_not_hold(home: Home, system: str, holds: bool) -> None:
    window = MaintenanceWindow(system=system, cron="0 12 * * *", minutes=60)
    catalog = home.loads.catalog.model_copy(update={"maintenance": {"noon": window}})
    found = home.asked("ldz.ldz_customer", loads=TableLoads(Tables(catalog)))["maintenance"]
    assert found.holds is holds
    assert "2017-01-03 13:00 UTC" in found.says or holds


def test_a_run_in_progress_does_not_hold(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_instance(home.settings.dagster_home)
    monkeypatch.setenv("DAGSTER_HOME", str(home.settings.dagster_home))
    with DagsterInstance.get() as instance:
        assert home.asked("itf.flowchart")["no run in progress"].holds
        instance.add_run(DagsterRun(job_name="daily", status=DagsterRunStatus.STARTED))
        found = home.asked("itf.flowchart")["no run in progress"]
    assert not found.holds
    assert "wait for daily" in found.says
    assert "(started)" in found.says


def test_what_is_read_must_be_loaded_and_in_line(home: Home) -> None:
    missing = home.asked("itf.flowchart")["upstream partitions"]
    assert not missing.holds
    assert f"not loaded for {DAY}: rdv.h_" in missing.says
    home.loaded(*home.loads.upstream["itf.flowchart"])
    mark = {"table_key": "rdv.h_flowchart", "business_date": DAY, "reason": "x", **STAMP.row}
    home.insert("stale_partition", mark)
    stale = home.asked("itf.flowchart")["upstream partitions"]
    assert stale.says == f"out of line for {DAY}: rdv.h_flowchart; rerun with --from rdv.h_flowchart"
    assert not stale.holds
    assert home.asked(*home.loads.in_order)["upstream partitions"].holds, "it loads them itself"


def test_a_blocking_check_upstream_does_not_hold_and_one_that_is_loaded_again_does(home: Home) -> None:
    failed = {"table_key": "ldz.ldz_flowchart", "check_name": "rules", "business_date": DAY, "passed": False}
    home.insert("check_result", failed | {"blocks": True, "message": "rows that break x: 1", **STAMP.row})
    found = home.asked("itf.flowchart")["blocking checks"]
    assert not found.holds
    assert "ldz.ldz_flowchart rules: rows that break x: 1" in found.says
    assert home.asked("ldz.ldz_flowchart")["blocking checks"].holds
    assert home.asked("itf.customer")["blocking checks"].holds, "not upstream of it"


def test_a_paused_source_is_told_and_holds_nothing_up(home: Home) -> None:
    with (
        Warehouse.open_duckdb(home.settings.database_path, home.loads.tables) as warehouse,
        warehouse.transaction() as connection,
    ):
        pause_source(connection, home.loads.tables, "customer", "moving", STAMP)
    found = home.asked("ldz.ldz_customer")["paused sources"]
    assert found.holds
    assert found.says == "customer (moving): loaded all the same, since you ask"


def test_without_a_database_only_a_run_of_everything_can_start(home: Home) -> None:
    home.settings.database_path.unlink()
    assert not home.asked("itf.flowchart")["upstream partitions"].holds
    assert home.asked(*home.loads.in_order)["upstream partitions"].holds
