"""The real sensors, ticked on a real instance, and the runs that they ask for."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dagster import DagsterInstance, DagsterRunStatus, RunRequest, SensorResult, SkipReason, build_sensor_context

from cdm_assets.loading.stamp import Stamp
from cdm_assets.operations.landing_watch import SETTLED_SECONDS, LandingWatch
from cdm_assets.operations.pauses import pause_source, resume_source
from cdm_assets.orchestration.code_location import build_definitions
from cdm_assets.orchestration.instance import ensure_instance
from cdm_assets.orchestration.landing_sensors import landing_sensors
from cdm_assets.orchestration.warehouse_resource import landing_area, open_warehouse
from cdm_assets_tests.orchestration.test_daily_run import FIRST, LAST, DemoSite

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]
MIDDLE = date(2017, 1, 2)


class Watched:
    """A demo site, its sensors, and a clock for how long files have not changed."""

    def __init__(self, site: DemoSite) -> None:
        self.site, self.now = site, 0.0
        ensure_instance(site.settings.dagster_home)
        self.repository = build_definitions(site.settings).get_repository_def()
        self.restart()

    def restart(self) -> None:
        """Forget what a process knows, as when it crashed."""
        watch = LandingWatch(self.site.loads, landing_area(self.site.settings), clock=lambda: self.now)
        jobs = {name: self.repository.get_job(name) for name in ("daily", "repair")}
        sensors = landing_sensors(self.site.loads, self.site.settings, watch=watch, look_again_seconds=-1, **jobs)
        self.sensors = {sensor.name: sensor for sensor in sensors}

    def tick(self, name: str) -> RunRequest | str:
        """What one tick asks for, or why it asks for nothing."""
        with DagsterInstance.from_config(str(self.site.settings.dagster_home)) as instance:
            answer = self.sensors[name](build_sensor_context(instance=instance))
        if isinstance(answer, SkipReason):
            return answer.skip_message or ""
        assert isinstance(answer, SensorResult)
        self.told = [event.metadata["message"].value for event in answer.asset_events]
        if answer.run_requests:
            (request,) = answer.run_requests
            return request
        reason = answer.skip_reason
        return (reason.skip_message if isinstance(reason, SkipReason) else reason) or ""

    def settle(self, name: str = "new_files") -> RunRequest | str:
        """Tick until what lies there counts as whole."""
        self.tick(name)
        self.now += SETTLED_SECONDS
        return self.tick(name)

    def start(self, name: str) -> RunRequest:
        """Let files settle, and do what the daemon does with the request: one run a key."""
        request = self.settle(name)
        assert isinstance(request, RunRequest), request
        self.execute(request)
        return request

    def execute(self, request: RunRequest) -> bool:
        """Run the job as asked for; returns whether it succeeded."""
        with DagsterInstance.from_config(str(self.site.settings.dagster_home)) as instance:
            result = self.repository.get_job(request.job_name or "").execute_in_process(
                instance=instance,
                run_config=request.run_config,
                tags={**request.tags, "dagster/run_key": request.run_key or ""},
                asset_selection=list(request.asset_selection) if request.asset_selection else None,
                raise_on_error=False,
            )
            return result.success

    def register(self, source: str, day: date) -> list[tuple[Any, ...]]:
        return self.site.query(
            f"select state, deliveries from cdp_metadata.landing_file where source = '{source}' "
            f"and business_date = '{day}' order by arrived_at"
        )

    def path(self, day: date, name: str) -> Path:
        return self.site.landing_root / str(day) / name

    def change(self, day: date, name: str = "transaction.csv", value: str = "99.00") -> None:
        def dearer(header: list[str], rows: list[list[str]]) -> list[list[str]]:
            rows[0][header.index("sales_value")] = value
            return rows

        self.site.rewrite(day, name, dearer)

    def take(self, day: date, name: str) -> Path:
        """Take a file and its manifest's word of it out of the landing area; returns where it is kept."""
        kept = self.site.landing_root.with_name(f"{day}-{name}")
        shutil.move(self.path(day, name), kept)
        manifest = self.path(day, "_manifest.json")
        manifest.rename(kept.with_suffix(".json"))
        return kept


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(DemoSite(tmp_path / "home", monkeypatch))


@pytest.fixture
def loaded(watched: Watched) -> Watched:
    """A site whose three dates came in through the sensor."""
    watched.start("new_files")
    return watched


def test_new_dates_start_the_daily_job_once_their_files_are_whole(watched: Watched) -> None:
    first = watched.tick("new_files")
    assert isinstance(first, str)
    assert first.startswith(f"{FIRST}: account, ")
    assert "may still be being written" in first
    watched.now += SETTLED_SECONDS
    request = watched.tick("new_files")
    assert isinstance(request, RunRequest)
    assert request.job_name == "daily"
    assert request.tags["cdm/why"] == "new"
    assert request.tags["dagster/asset_partition_range_start"] == str(FIRST)
    assert request.tags["dagster/asset_partition_range_end"] == str(LAST)
    watched.restart()
    again = watched.settle()
    assert isinstance(again, RunRequest)
    assert again.run_key == request.run_key, "a crash before the run was created: the same request, started once"
    assert watched.execute(request)
    assert watched.tick("new_files") == f"No file is there for {date(2017, 1, 4)} or a later date."
    assert watched.site.query("select count(distinct business_date) from cdm_publish_db.customer_360") == [(3,)]


@pytest.mark.slow
def test_a_date_waits_for_a_required_file_and_starts_without_it_after_the_deadline(watched: Watched) -> None:
    watched.take(LAST, "customer.csv")
    request = watched.start("new_files")
    assert request.tags["dagster/asset_partition_range_end"] == str(MIDDLE)
    waits = watched.tick("new_files")
    assert isinstance(waits, str)
    assert waits.startswith(f"{LAST}: customer not there yet; it starts without at ")
    with open_warehouse(watched.site.settings, watched.site.loads) as warehouse, warehouse.transaction() as connection:
        register = warehouse.tables["cdp_metadata.landing_file"]
        an_hour_ago = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)
        connection.execute(sa.update(register).values(arrived_at=an_hour_ago))
    request = watched.settle()
    assert isinstance(request, RunRequest)
    assert (request.job_name, request.tags["cdm/why"]) == ("repair", "new, at the deadline")
    assert request.tags["cdm/missing"] == "customer"
    assert not watched.execute(request), "the run is red and names the file"
    assert watched.site.query(f"select count(*) from itf.transaction where business_date = '{LAST}'") > [(0,)]
    assert watched.site.query(f"select count(*) from cdm_publish_db.customer_360 where business_date = '{LAST}'") == [
        (0,)
    ], "nothing is published of it"


@pytest.mark.slow
def test_a_file_that_comes_after_its_date_is_late_and_completes_it(watched: Watched, tmp_path: Path) -> None:
    kept = watched.take(MIDDLE, "transaction.csv")
    watched.start("new_files")
    assert watched.tick("late_files") == "No late file."
    shutil.copy(kept, watched.path(MIDDLE, "transaction.csv"))
    assert watched.settle("corrected_files") == "No corrected file."
    request = watched.start("late_files")
    assert request.job_name == "repair"
    assert request.tags["cdm/why"] == "late"
    assert request.tags["cdm/files"] == f"{MIDDLE}/transaction.csv"
    assert request.tags["cdm/days_back"] == "1"
    assert int(request.tags["cdm/late_by"].split(" days")[0]) > 3000, "it was due in 2017"
    assert watched.register("transaction", MIDDLE) == [("loaded", 1)]
    content = watched.site.content()
    clean = DemoSite(tmp_path / "clean", watched.site._patch)
    assert clean.run().problems == ()
    tokens = {key for key in content if key.startswith("cdm_publish_db.")}
    assert {k: v for k, v in content.items() if k not in tokens} == {
        k: v for k, v in clean.content().items() if k not in tokens
    }
    watched.site._use()


def test_a_corrected_file_is_loaded_once_and_its_predecessor_kept(loaded: Watched) -> None:
    loaded.change(FIRST)
    assert loaded.settle("late_files") == "No late file."
    request = loaded.tick("corrected_files")
    assert isinstance(request, RunRequest)
    assert (request.job_name, request.tags["cdm/why"]) == ("repair", "corrected")
    assert request.tags["cdm/files"] == f"{FIRST}/transaction.csv"
    assert loaded.execute(request)
    with DagsterInstance.from_config(str(loaded.site.settings.dagster_home)) as instance:
        run = instance.get_runs(limit=1)[0]
    assert run.status is DagsterRunStatus.SUCCESS
    assert run.tags["cdm/loaded"] == "43 partitions of 23 tables"
    assert loaded.register("transaction", FIRST) == [("superseded", 1), ("loaded", 1)]
    archived = list((loaded.site.settings.archive / "transaction" / str(FIRST)).iterdir())
    assert len(archived) == 2
    assert loaded.tick("corrected_files") == "No corrected file."


@pytest.mark.slow
def test_an_identical_redelivery_starts_nothing_and_is_counted(loaded: Watched) -> None:
    os.utime(loaded.path(FIRST, "transaction.csv"))
    for name in ("corrected_files", "late_files", "new_files", "late_events"):
        assert isinstance(loaded.settle(name), str)
    assert loaded.register("transaction", FIRST) == [("loaded", 2)]


@pytest.mark.slow
def test_a_request_whose_run_failed_for_good_is_not_repeated_but_after_an_outage_it_is(
    loaded: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded.change(FIRST)
    request = loaded.settle("corrected_files")
    assert isinstance(request, RunRequest)
    with DagsterInstance.from_config(str(loaded.site.settings.dagster_home)) as instance:
        run = instance.create_run_for_job(loaded.repository.get_job("repair"), tags=request.tags)
        instance.report_run_failed(run, "a defect")
    reason = loaded.tick("corrected_files")
    assert isinstance(reason, str)
    assert f"started before, run {run.run_id} (failure). See that run." in reason
    with DagsterInstance.from_config(str(loaded.site.settings.dagster_home)) as instance:
        instance.add_run_tags(run.run_id, {"cdm/failed": "transient"})
    assert "tried again in a few minutes" in str(loaded.tick("corrected_files"))
    monkeypatch.setattr("cdm_assets.orchestration.landing_sensors._PAUSE_AFTER_OUTAGE_SECONDS", 0)
    again = loaded.tick("corrected_files")
    assert isinstance(again, RunRequest)
    assert again.run_key == f"{request.run_key} attempt 2"


def test_nothing_is_started_while_a_run_is_in_progress(watched: Watched) -> None:
    with DagsterInstance.from_config(str(watched.site.settings.dagster_home)) as instance:
        instance.create_run_for_job(watched.repository.get_job("repair"))
    for name in ("new_files", "late_files", "corrected_files", "late_events"):
        assert str(watched.tick(name)).startswith("A run is queued or in progress")


def test_a_withdrawn_file_is_told_once_and_its_rows_stay_until_an_operator_says_so(loaded: Watched) -> None:
    path = loaded.path(FIRST, "transaction.csv")
    path.unlink()
    reason = loaded.tick("withdrawn_files")
    assert reason == f"1 open alerts (withdrawn file): transaction {FIRST}"
    (message,) = loaded.told
    assert "withdrawn: {transaction: ['2017-01-01']}" in message
    loaded.tick("withdrawn_files")
    assert loaded.told == []
    for name in ("new_files", "late_files", "corrected_files", "late_events"):
        assert isinstance(loaded.settle(name), str)
    rows = f"select count(*) from ldz.ldz_transaction where business_date = '{FIRST}'"
    assert loaded.site.query(rows) > [(0,)]
    config = {"ops": {"look_for_changed_files": {"config": {"withdrawn": {"transaction": [str(FIRST)]}}}}}
    loaded.path(FIRST, "_manifest.json").unlink()
    assert loaded.execute(RunRequest(job_name="repair", run_config=config))
    assert loaded.site.query(rows) == [(0,)]
    assert loaded.register("transaction", FIRST) == [("withdrawn", 1)]
    assert loaded.tick("withdrawn_files") == "No withdrawn file."


@pytest.mark.slow
def test_a_paused_source_is_left_out_and_caught_up_with_later(watched: Watched) -> None:
    settings, loads = watched.site.settings, watched.site.loads
    watched.tick("new_files")
    with open_warehouse(settings, loads) as warehouse, warehouse.transaction() as connection:
        pause_source(connection, loads.tables, "transaction", "tills are being replaced", Stamp("test"))
    request = watched.start("new_files")
    assert request.tags["cdm/paused"] == "transaction"
    assert watched.site.query("select count(*) from ldz.ldz_transaction") == [(0,)]
    assert watched.tick("late_files") == "No late file. transaction: paused, or its system is in maintenance."
    with open_warehouse(settings, loads) as warehouse, warehouse.transaction() as connection:
        assert resume_source(connection, loads.tables, "transaction")
    watched.start("late_files")
    assert watched.site.query("select count(distinct business_date) from ldz.ldz_transaction") == [(3,)]


def test_a_missing_file_is_told_at_its_time_and_again_when_it_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=2)
    monkeypatch.setenv("CDM_START_DATE", str(yesterday))
    monkeypatch.setenv("CDM_END_DATE", str(yesterday))
    site = DemoSite(tmp_path / "home", monkeypatch)
    site.landing_root.mkdir(exist_ok=True)
    watched = Watched(site)
    reason = watched.tick("missing_files")
    assert isinstance(reason, str)
    assert f"customer {yesterday}" in reason
    told = next(message for message in watched.told if "source customer " in message)
    assert "Ask team:customer-data, customer-data@example.com." in told
    assert "Affected: " in told
    assert "cdm_publish_db.customer_360" in told or " more)" in told
    folder = site.landing_root / str(yesterday)
    folder.mkdir(exist_ok=True)
    shutil.copy(site.landing_root / str(FIRST) / "customer.csv", folder)
    watched.settle("missing_files")
    assert [message for message in watched.told if "source customer " in message], "over"
    assert f"customer {yesterday}" not in str(watched.tick("missing_files"))


def test_a_maintenance_window_holds_every_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = tmp_path / "catalog"
    catalog.mkdir()
    now = datetime.now(UTC) - timedelta(minutes=5)
    (catalog / "maintenance.yaml").write_text(
        f'windows:\n  upgrade: {{system: warehouse, cron: "{now.minute} {now.hour} * * *", minutes: 60}}\n'
    )
    monkeypatch.setenv("CDM_CATALOG", str(catalog))
    watched = Watched(DemoSite(tmp_path / "home", monkeypatch))
    for name in ("new_files", "late_files", "corrected_files", "late_events"):
        assert str(watched.settle(name)).startswith("maintenance upgrade (warehouse) until ")
