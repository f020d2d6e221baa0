"""The pages that a user of `cdm ui` looks at, in a headless Chromium: graph, partition, backfill, sensor."""

import os
import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cdm_assets.demo.landing_area import write_landing_area
from cdm_assets_tests.end_to_end.live_ui import LiveUI, cdm, live_ui

CHROMIUM = os.environ.get("CDM_CHROMIUM") or shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--no-first-run", "--disable-gpu"]
FIRST, MIDDLE, LAST = "2017-01-01", "2017-01-02", "2017-01-03"
LAYERS = ("ldz", "rdv", "itf", "agg", "cs_360_db", "cdm_publish_db")
PATIENCE_MILLISECONDS = 60_000

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium, or set CDM_CHROMIUM")


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveUI]:
    """`cdm ui` over three loaded days of the demo."""
    home: Path = tmp_path_factory.mktemp("home")
    write_landing_area(root=home / "landing", start=date.fromisoformat(FIRST), end=date.fromisoformat(LAST))
    with cdm(home, "run", "--days", "3"):
        pass
    with live_ui(home) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, ui: LiveUI) -> Iterator[Page]:
    page = browser.new_page(base_url=ui.url, viewport={"width": 1500, "height": 1000})
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    yield page
    page.close()


def test_the_asset_graph_shows_the_layers_and_their_tables(page: Page) -> None:
    page.goto("/asset-groups")
    graph = page.locator("svg foreignObject")
    for layer in LAYERS:
        expect(graph.get_by_text(layer, exact=True)).to_be_visible()
    graph.get_by_text("cdm_publish_db", exact=True).click()
    for table in ("customer_360", "campaign_360", "flowchart_360"):
        expect(graph.get_by_text(table, exact=True)).to_be_visible()


def test_a_partitions_page_shows_its_own_row_count(page: Page, ui: LiveUI) -> None:
    [(rows,)] = ui.query(f"select count(*) from cdm_publish_db.customer_360 where business_date = '{MIDDLE}'")
    page.goto(f"/assets/cdm_publish_db/customer_360?view=partitions&partition={MIDDLE}")
    expect(page.get_by_text("Materialized (3)")).to_be_visible()
    row_count = page.get_by_role("row").filter(has_text="dagster/partition_row_count")
    expect(row_count.get_by_text(str(rows), exact=True)).to_be_visible()


def test_a_backfill_of_three_partitions_launched_in_the_ui_materializes_them_in_one_run(page: Page, ui: LiveUI) -> None:
    page.goto("/assets/cdm_publish_db/campaign_360?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    wanted = page.get_by_placeholder(f"ex: {FIRST}").last  # the dialog's; for a moment there may be two
    wanted.fill(f"[{FIRST}...{LAST}]")
    wanted.press("Enter")
    expect(page.get_by_text("3 partitions", exact=True)).to_be_visible()
    expect(page.get_by_text("Backfills all partitions in a single run.")).to_be_visible()
    page.get_by_role("button", name="Launch backfill").click()
    page.goto("/runs")
    expect(page.get_by_role("button", name="3 partitions")).to_be_visible()
    ui.wait_until(
        lambda: any(run.has_ended for run in ui.runs() if "dagster/backfill" in run.tags), "the backfill's run"
    )
    [run] = [run for run in ui.runs() if "dagster/backfill" in run.tags]
    assert run.succeeded, ui.news()
    assert ui.materialized_by(run) == [("cdm_publish_db.campaign_360", day) for day in (FIRST, MIDDLE, LAST)]
    page.goto(f"/runs/{run.run_id}")
    expect(page.get_by_text(re.compile("^Success$")).first).to_be_visible()


def test_a_sensors_page_shows_its_ticks_and_why_nothing_was_started(page: Page, ui: LiveUI) -> None:
    ui.wait_until(lambda: bool(ui.sensors()["late_files"].ticks), "a tick of late_files")
    page.goto("/automation")
    for name in ui.sensors():
        expect(page.get_by_role("link", name=name)).to_be_visible()
    page.get_by_role("link", name="late_files").click()
    expect(page.get_by_text("starts `repair`")).to_be_visible()
    tick = page.get_by_role("row").filter(has_text="View logs").first
    expect(tick).to_be_visible()
    tick.get_by_text("0 runs requested").first.hover()
    reason = page.get_by_role("tooltip")
    expect(reason).to_be_visible()
    assert reason.inner_text() in {tick.says for tick in ui.sensors()["late_files"].ticks}
