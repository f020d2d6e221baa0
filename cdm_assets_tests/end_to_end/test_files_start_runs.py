"""With `cdm ui` running, files that are copied into the landing area do the rest by themselves.

One story in one test: each step takes up where the last one left off, and a live daemon is not started twice.
"""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cdm_assets.demo.landing_area import write_landing_area
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.orchestration.code_location import table_loads
from cdm_assets.settings import Settings
from cdm_assets_tests.end_to_end.live_ui import LiveUI, Partition, cdm, environment_of, live_ui, query

FIRST, MIDDLE, LAST = "2017-01-01", "2017-01-02", "2017-01-03"
DAYS = (FIRST, MIDDLE, LAST)
SALES = "transaction.csv"
LANDING_SENSORS = ["corrected_files", "late_events", "late_files", "missing_files", "new_files", "withdrawn_files"]
SENSORS = [*LANDING_SENSORS, "new_predictions", "incidents", "run_failures"]
PUBLISHED_SALES = "select sum(sales_amount_lifetime) from cdm_publish_db.customer_360_current"
RISE = Decimal("1000.00")


@dataclass(frozen=True)
class LiveSite:
    """A home with `cdm ui` over it, the demo's first days not yet delivered, and a home where they were all loaded."""

    ui: LiveUI
    loads: TableLoads
    source: Path
    clean_home: Path

    @property
    def landing(self) -> Path:
        return self.ui.home / "landing"

    def copy_day(self, day: str) -> None:
        shutil.copytree(self.source / day, self.landing / day)

    def put_file(self, day: str, name: str, content: bytes) -> None:
        """A file as its sender brings it: over the one that may be there, and then its line in the manifest."""
        (self.landing / day / name).write_bytes(content)
        manifest = self.landing / day / "_manifest.json"
        promised = json.loads(manifest.read_text())
        promised["files"] = [entry for entry in promised["files"] if entry["file"] != name]
        rows = content.count(b"\n") - 1
        promised["files"].append({"file": name, "rows": rows, "sha256": sha256(content).hexdigest()})
        manifest.write_text(json.dumps(promised))

    def content(self, home: Path) -> dict[str, list[Any]]:
        """Every partitioned table's rows, audit columns aside."""
        select = "select * exclude (load_ts, run_id) from {} order by all"
        return {key: query(home, select.format(key)) for key in self.loads.in_order}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    """Day 0 is loaded by `cdm run`, without its sales, before the UI starts; the other home has it all."""
    source, home, clean = (tmp_path_factory.mktemp(name) for name in ("source", "home", "clean"))
    write_landing_area(root=source, start=date.fromisoformat(FIRST), end=date.fromisoformat(LAST))
    shutil.copytree(source, clean / "landing")
    _copy_without(source / FIRST, home / "landing" / FIRST, SALES)
    for each in (home, clean):
        (each / "token.key").write_text("0123456789abcdef" * 4)
        (each / "token.key").chmod(0o600)
    with ExitStack() as both:
        both.enter_context(cdm(clean, "run", "--days", str(len(DAYS))))
        both.enter_context(cdm(home, "run", "--days", "1"))
    with live_ui(home) as ui:
        yield LiveSite(ui, table_loads(Settings.from_environment(environment_of(home))), source, clean)


def _copy_without(source: Path, target: Path, name: str) -> None:
    """A day's folder without one file, of which the manifest says nothing."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(name))
    manifest = json.loads((source / "_manifest.json").read_text())
    manifest["files"] = [entry for entry in manifest["files"] if entry["file"] != name]
    (target / "_manifest.json").write_text(json.dumps(manifest))


def test_copied_files_change_what_is_published_and_nothing_else_with_no_other_action(site: LiveSite) -> None:
    assert {name: sensor.status for name, sensor in site.ui.sensors().items()} == dict.fromkeys(SENSORS, "RUNNING")
    assert _published_days(site) == [FIRST]
    for step in (
        _copied_days_are_published,
        _a_late_file_rebuilds_what_it_changes_once_the_run_in_progress_has_ended,
        _a_corrected_file_changes_the_published_numbers_and_a_repeated_one_nothing,
        _nothing_else_ran_and_no_tick_failed,
    ):
        step(site)


def _copied_days_are_published(site: LiveSite) -> None:
    site.copy_day(MIDDLE)
    site.copy_day(LAST)
    site.ui.wait_until(
        lambda: any(run.tags["cdm/dates"].endswith(LAST) for run in site.ui.runs_because("new")), "the last day's run"
    )
    site.put_file(FIRST, SALES, (site.source / FIRST / SALES).read_bytes())  # for the next step
    site.ui.wait_until(
        lambda: len(_done(site, "new")) == 2 * len(site.loads.in_order), "the two days' tables are materialized"
    )
    site.ui.wait_until(lambda: all(run.succeeded for run in site.ui.runs_because("new")), "the end of the days' runs")
    assert _done(site, "new") == sorted((table, day) for table in site.loads.in_order for day in (MIDDLE, LAST))
    assert _published_days(site) == list(DAYS)
    runs = site.ui.runs_because("new")
    assert {run.job for run in runs} == {"daily"}
    # Copied one after the other, they may have become whole in one look or in two.
    assert sorted(run.tags["cdm/dates"] for run in runs) in ([f"{MIDDLE}..{LAST}"], [MIDDLE, LAST])


def _a_late_file_rebuilds_what_it_changes_once_the_run_in_progress_has_ended(site: LiveSite) -> None:
    run = site.ui.wait_for_run("late")
    assert (run.job, run.tags["cdm/files"]) == ("repair", f"{FIRST}/{SALES}")
    assert run.tags["cdm/days_back"] == "2"
    assert int(run.tags["cdm/late_by"].split(" days ")[0]) > 3000
    assert run.tags["dagster/sensor_name"] == "late_files"
    materialized = site.ui.materialized_by(run)
    _assert_only(site, materialized, _of_sales(FIRST, DAYS, new_keys=True))
    assert run.tags["cdm/loaded"] == f"{len(materialized)} partitions of {len(dict(materialized))} tables"
    ticks = site.ui.sensors()["late_files"].ticks
    assert [tick.status for tick in ticks if tick.run_ids == (run.run_id,)] == ["SUCCESS"]
    loaded, clean = site.content(site.ui.home), site.content(site.clean_home)
    assert [key for key in clean if loaded[key] != clean[key]] == []


def _a_corrected_file_changes_the_published_numbers_and_a_repeated_one_nothing(site: LiveSite) -> None:
    [(before,)] = site.ui.query(PUBLISHED_SALES)
    os.utime(site.landing / LAST / "customer.csv")
    site.put_file(MIDDLE, SALES, _with_dearer_first_line(site.source / MIDDLE / SALES))
    run = site.ui.wait_for_run("corrected")
    assert (run.job, run.tags["cdm/files"]) == ("repair", f"{MIDDLE}/{SALES}")
    assert run.tags["cdm/days_back"] == "1"
    _assert_only(site, site.ui.materialized_by(run), _of_sales(MIDDLE, (MIDDLE, LAST), new_keys=False))
    assert site.ui.query(PUBLISHED_SALES) == [(before + RISE,)]
    deliveries = (
        "select source, business_date::varchar, state, deliveries from cdp_metadata.landing_file "
        f"where deliveries > 1 or (source = 'transaction' and business_date = '{MIDDLE}') order by all"
    )
    site.ui.wait_until(lambda: len(site.ui.query(deliveries)) == 3, "the register counts the repeated delivery")
    assert site.ui.query(deliveries) == [
        ("customer", LAST, "loaded", 2),
        ("transaction", MIDDLE, "loaded", 1),
        ("transaction", MIDDLE, "superseded", 1),
    ]


def _nothing_else_ran_and_no_tick_failed(site: LiveSite) -> None:
    site.ui.wait_for_ticks()
    by_command, *_ = reversed(site.ui.runs())
    assert by_command.tags["cdm/command"] == "run"
    new = site.ui.runs_because("new")
    by_events = site.ui.runs_because("late events")
    others = [run.why for run in site.ui.runs() if run.why != "late events"]
    assert others == ["corrected", "late", *("new" for _ in new), None]
    assert {table for table, _ in site.ui.materialized_by(*by_events)} <= _made_of_clicks(site)
    ticks = [tick for sensor in site.ui.sensors().values() for tick in sensor.ticks]
    assert [tick for tick in ticks if tick.status not in {"SKIPPED", "SUCCESS", "STARTED"}] == []
    assert all(tick.says for tick in ticks if tick.status == "SKIPPED"), "a tick that starts nothing says why"


def _assert_only(site: LiveSite, materialized: list[Partition], expected: list[Partition]) -> None:
    """The copied days hold clicks of days before: what these change goes with whatever repair comes first."""
    assert [partition for partition in expected if partition not in materialized] == []
    assert {table for table, _ in set(materialized) - set(expected)} <= _made_of_clicks(site)


def _made_of_clicks(site: LiveSite) -> set[str]:
    return {key for key in site.loads.in_order if {key, *site.loads.ancestors[key]} & {"itf.click"}}


def _of_sales(day: str, so_far: tuple[str, ...], *, new_keys: bool) -> list[Partition]:
    """What is made of the sales of `day`: that date, and every later one of what sums up or knows of the keys."""
    vault = ("h_basket", "h_customer", "h_product", "h_store", "l_transaction")
    of_products = (
        "agg.customer_department_day",
        "agg.customer_unit_day",
        "metrics.profit_unit",
        "metrics.profit_unit_arm",
    )
    of_the_date = ("agg.customer_day", "agg.campaign_customer_day", "itf.transaction", *of_products)
    summed_up = [
        f"{schema}.{name}_360" for schema in ("cs_360_db", "cdm_publish_db") for name in ("customer", "campaign")
    ]
    of_metrics = ("profit_aggregate", "experiment_summary", "investor_summary")
    summed_up += [f"{schema}.{name}" for schema in ("metrics", "cdm_publish_db") for name in of_metrics]
    of_customers = ("agg.prediction_day", "agg.score_day", "cs_360_db.customer_score")
    know_the_keys = ("itf.customer", "itf.product", *of_products, *of_customers) if new_keys else ()
    return sorted(
        {(table, day) for table in ("ldz.ldz_transaction", *(f"rdv.{name}" for name in vault), *of_the_date)}
        | {(table, later) for table in (*summed_up, *know_the_keys) for later in so_far}
    )


def _with_dearer_first_line(path: Path) -> bytes:
    header, first, *rows = path.read_text().splitlines()
    cells, column = next(csv.reader([first])), header.split(",").index("sales_value")
    cells[column] = str(Decimal(cells[column]) + RISE)
    return "\n".join([header, ",".join(cells), *rows, ""]).encode()


def _done(site: LiveSite, why: str) -> list[Partition]:
    return site.ui.materialized_by(*site.ui.runs_because(why))


def _published_days(site: LiveSite) -> list[str]:
    rows = site.ui.query("select distinct business_date::varchar from cdm_publish_db.customer_360 order by 1")
    return [day for (day,) in rows]
