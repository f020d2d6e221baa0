"""The real sensor of the real code location, ticked on a real instance."""

import os
import time
from pathlib import Path

import pytest
from dagster import DagsterInstance, RunRequest, SensorDefinition, SkipReason, build_sensor_context

from cdm_assets.orchestration.code_location import build_definitions
from cdm_assets.orchestration.instance import ensure_instance
from cdm_assets.orchestration.landing_sensor import SETTLED_SECONDS
from cdm_assets_tests.orchestration.test_daily_run import FIRST, LAST, DemoSite

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]


class Watched:
    """A demo site and its sensor."""

    def __init__(self, site: DemoSite) -> None:
        self.site = site
        ensure_instance(site.settings.dagster_home)
        sensor = build_definitions(site.settings).get_repository_def().get_sensor_def("landing_files")
        self.sensor: SensorDefinition = sensor

    def settle(self) -> None:
        """Let the files be older than what is left alone."""
        long_ago = time.time() - SETTLED_SECONDS - 1
        for path in self.site.settings.landing_root.rglob("*.*"):
            os.utime(path, (long_ago, long_ago))

    def tick(self) -> RunRequest | SkipReason:
        with DagsterInstance.from_config(str(self.site.settings.dagster_home)) as instance:
            result = self.sensor(build_sensor_context(instance=instance))
        assert isinstance(result, RunRequest | SkipReason)
        return result


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(DemoSite(tmp_path / "home", monkeypatch))


def test_new_dates_start_the_daily_job_once_their_files_are_whole(watched: Watched) -> None:
    assert isinstance(watched.tick(), SkipReason), "the files were written a moment ago"
    watched.settle()
    (watched.site.settings.landing_root / str(LAST) / "customer.csv").unlink()
    request = watched.tick()
    assert isinstance(request, RunRequest)
    assert request.job_name == "daily"
    assert request.tags["cdm/why"] == "new"
    assert request.tags["dagster/asset_partition_range_start"] == str(FIRST)
    assert request.tags["dagster/asset_partition_range_end"] == "2017-01-02", "the third date lacks a required file"
    again = watched.tick()
    assert isinstance(again, RunRequest)
    assert again.run_key == request.run_key, "the same files are the same request, so it is started once"


def test_a_corrected_file_starts_a_repair_that_says_why_and_a_touched_one_nothing(watched: Watched) -> None:
    assert watched.site.run().problems == ()
    watched.settle()
    loaded = watched.tick()
    assert isinstance(loaded, SkipReason)
    assert loaded.skip_message is not None
    assert loaded.skip_message.startswith("The landing area holds what was loaded")

    def dearer(header: list[str], rows: list[list[str]]) -> list[list[str]]:
        rows[0][header.index("sales_value")] = "99.00"
        return rows

    watched.site.rewrite(FIRST, "transaction.csv", dearer)
    assert isinstance(watched.tick(), SkipReason), "it may still be being written"
    watched.settle()
    request = watched.tick()
    assert isinstance(request, RunRequest)
    assert request.job_name == "repair"
    assert request.tags["cdm/files"] == f"transaction {FIRST}"
    assert request.tags["cdm/days_back"] == "2"
    assert request.tags["cdm/affected"] == "22 partitions of 14 tables"
    assert watched.site.run().problems == ()
    assert isinstance(watched.tick(), SkipReason)


def test_a_withdrawn_file_is_left_to_the_operator(watched: Watched) -> None:
    assert watched.site.run().problems == ()
    watched.settle()
    (watched.site.settings.landing_root / str(FIRST) / "transaction.csv").unlink(missing_ok=True)
    assert isinstance(watched.tick(), SkipReason)
