"""The real incident sensors, ticked on an instance, over a warehouse on disk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    JobDefinition,
    SkipReason,
    build_sensor_context,
    job,
    op,
)
from dagster._core.remote_origin import RemoteInstigatorOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._utils.error import SerializableErrorInfo

from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.incidents import Incident
from cdm_assets.orchestration.incident_sensor import TICK_SECONDS, failed_runs, incident_sensors
from cdm_assets.orchestration.instance import ensure_instance
from cdm_assets.orchestration.runs import CODE_LOCATION_MODULE, _remote_job_origin
from cdm_assets.settings import Settings
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.operations.incident_site import DAY, IncidentSite, with_people
from cdm_assets_tests.small_site import Site

ORIGIN = RemoteInstigatorOrigin(_remote_job_origin(CODE_LOCATION_MODULE, "daily").repository_origin, "new_files")
NOW = datetime(2024, 3, 4, 10)  # noqa: DTZ001 - as the warehouse stores it


class Ticking:
    """The sensors over a site whose database is only open while something happens."""

    def __init__(self, home: Path, loads: TableLoads, **environment: str) -> None:
        self.loads, self.now = loads, NOW
        more = {"CDM_START_DATE": str(DAY), "CDM_END_DATE": str(DAY)} | environment
        self.settings = Settings.from_environment({"CDM_HOME": str(home), **more})
        ensure_instance(self.settings.dagster_home)
        self.instance = DagsterInstance.from_config(str(self.settings.dagster_home))
        self.sent: list[tuple[str, str]] = []
        self.refused = ""
        sensors = incident_sensors(loads, self.settings, clock=lambda: self.now, send=self._send)
        self.sensors = {sensor.name: sensor for sensor in sensors}

    def _send(self, url: str, title: str, _body: str) -> str | None:
        if not self.refused:
            self.sent.append((url, title))
        return self.refused or None

    def tick(self, name: str = "incidents") -> str:
        answer = self.sensors[name](build_sensor_context(instance=self.instance))
        assert isinstance(answer, SkipReason)
        return answer.skip_message or ""

    def open(self) -> Warehouse:
        return Warehouse.open_duckdb(self.settings.database_path, self.loads.tables)

    def fails(self, key: str = "ldz.ldz_customer", day: date = DAY) -> None:
        with self.open() as warehouse:
            create_missing(warehouse)
            site = IncidentSite(warehouse, now=self.now)
            site.check(key, "rules", "rows that break domain:status (expected one of active): 3", day)

    def incidents(self) -> list[Incident]:
        with self.open() as warehouse:
            return IncidentSite(warehouse).all()


@pytest.fixture
def ticking(tmp_path: Path, open_small_site: Site) -> Iterator[Ticking]:
    loads = TableLoads(Tables(with_people(open_small_site.catalog)))
    ticking = Ticking(tmp_path / "home", loads, CDM_NOTIFY="json://hook", CDM_UI_URL="https://ui.example.com/")
    with ticking.instance:
        yield ticking


def test_both_sensors_are_on_and_tick_every_half_minute(ticking: Ticking) -> None:
    assert set(ticking.sensors) == {"incidents", "run_failures"}
    for sensor in ticking.sensors.values():
        assert sensor.default_status is DefaultSensorStatus.RUNNING
        assert sensor.minimum_interval_seconds == TICK_SECONDS <= 30


def test_before_the_first_load_nothing_is_wrong(ticking: Ticking) -> None:
    assert ticking.tick() == "There is no database yet; nothing can be wrong in it."
    assert not ticking.settings.database_path.exists()


def test_a_failed_check_opens_an_incident_tells_it_once_and_closes_it_when_it_passes(ticking: Ticking) -> None:
    ticking.fails()
    assert ticking.tick() == "1 opened (INC-1); 1 messages sent"
    assert ticking.tick() == "Nothing new."
    (incident,) = ticking.incidents()
    assert incident.asset_url == "https://ui.example.com/assets/ldz/ldz_customer?view=partitions&partition=2024-03-04"
    with ticking.open() as warehouse:
        IncidentSite(warehouse).clear("check_result")
    assert ticking.tick() == "1 resolved (INC-1); 1 messages sent"
    assert [title.split("]")[1].split(":")[0] for _, title in ticking.sent] == [
        " INC-1 A data-quality rule that blocks or warns is broken",
        " INC-1 is resolved",
    ]


def test_a_message_that_is_not_taken_is_told_and_sent_later(ticking: Ticking) -> None:
    ticking.fails()
    ticking.refused = "503"
    assert ticking.tick() == "1 opened (INC-1); not sent: json: 503"
    ticking.refused = ""
    ticking.now += timedelta(seconds=TICK_SECONDS + 2)
    assert ticking.tick() == "1 messages sent"
    assert len(ticking.sent) == 1


def test_without_an_address_incidents_open_all_the_same_and_wait_for_one(tmp_path: Path, ticking: Ticking) -> None:
    silent = Ticking(tmp_path / "silent", ticking.loads)
    silent.fails()
    assert silent.tick() == "1 opened (INC-1); not sent: CDM_NOTIFY names no address"
    speaking = Ticking(tmp_path / "silent", ticking.loads, CDM_NOTIFY="json://hook")
    assert speaking.tick() == "1 messages sent"


def test_a_busy_warehouse_lets_a_tick_pass_and_loses_nothing(ticking: Ticking) -> None:
    ticking.fails()
    hold = (
        "import duckdb, sys, time\n"
        f"connection = duckdb.connect({str(ticking.settings.database_path)!r})\n"
        "print('open', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        assert "is in use by another process" in ticking.tick()
        holder.communicate("")
    assert ticking.tick() == "1 opened (INC-1); 1 messages sent"


def failing_job(error: str | None) -> JobDefinition:
    @op(name="rdv__h_customer")
    def load() -> None:
        if error:
            raise ValueError(error)

    @job(name="daily")
    def daily() -> None:
        load()

    return daily


def test_runs_that_fail_of_one_cause_are_one_incident_until_one_succeeds(ticking: Ticking) -> None:
    with ticking.open() as warehouse:
        create_missing(warehouse)
    tags = {"dagster/partition": str(DAY)}
    for _ in range(3):
        failing_job("what?").execute_in_process(instance=ticking.instance, tags=tags, raise_on_error=False)
    assert ticking.tick("run_failures").startswith("1 opened (INC-1)")
    (incident,) = ticking.incidents()
    assert (incident.kind, incident.code, incident.occurrences) == ("run failure", "CDM-OPS-001", 3)
    assert (incident.table_key, incident.pipeline, incident.first_date) == ("rdv.h_customer", "vault", DAY)
    assert "builtins.ValueError: what?" in incident.message or "ValueError: what?" in incident.message
    assert ticking.tick() == "Nothing new.", "the other sensor leaves it alone"
    failing_job(None).execute_in_process(instance=ticking.instance, tags=tags)
    assert ticking.tick("run_failures").startswith("1 resolved (INC-1)")


def test_a_sensor_whose_ticks_fail_is_an_incident_until_one_succeeds(ticking: Ticking) -> None:
    with ticking.open() as warehouse:
        create_missing(warehouse)
    state = InstigatorState(ORIGIN, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData())
    ticking.instance.add_instigator_state(state)

    def ends(status: TickStatus, at: float, error: SerializableErrorInfo | None = None) -> None:
        data = TickData(ORIGIN.get_id(), "new_files", InstigatorType.SENSOR, status, at, error=error)
        ticking.instance.create_tick(data._replace(selector_id=state.selector_id))

    ends(TickStatus.FAILURE, 1.7e9, SerializableErrorInfo("ValueError: what?", [], "ValueError"))
    assert ticking.tick("run_failures").startswith("1 opened (INC-1)")
    (incident,) = ticking.incidents()
    assert (incident.code, incident.kind) == ("CDM-OPS-003", "missed schedule")
    assert "new_files failed at 2023-11-14 22:13 UTC and starts nothing: ValueError: what?" in incident.message
    ends(TickStatus.SKIPPED, 1.7e9 + 60)
    assert ticking.tick("run_failures").startswith("1 resolved (INC-1)")


def test_a_success_of_other_dates_makes_nothing_good(ticking: Ticking) -> None:
    failing_job("what?").execute_in_process(
        instance=ticking.instance, tags={"dagster/partition": str(DAY)}, raise_on_error=False
    )
    failing_job(None).execute_in_process(
        instance=ticking.instance, tags={"dagster/partition": str(DAY + timedelta(days=1))}
    )
    (run,) = failed_runs(ticking.instance, datetime(2020, 1, 1))  # noqa: DTZ001
    assert run.dates is not None
    assert (run.job, run.dates.first, [step.step for step in run.steps]) == ("daily", DAY, ["rdv__h_customer"])
