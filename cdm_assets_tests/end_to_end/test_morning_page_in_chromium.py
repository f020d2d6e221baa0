"""The morning page as a browser shows it: states, sparklines, no error, and no request to anywhere."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cdm_assets.operations.morning_page import morning_html
from cdm_assets_tests.operations.mornings import a_morning

CHROMIUM = os.environ.get("CDM_CHROMIUM") or shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--no-first-run", "--disable-gpu"]

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium, or set CDM_CHROMIUM")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Seen:
    """The page in the browser, with what it asked for and complained of."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_load_state("networkidle")


@pytest.fixture
def seen(browser: Browser, tmp_path: Path) -> Iterator[Seen]:
    file = tmp_path / "morning.html"
    file.write_text(morning_html(a_morning()), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    yield Seen(page, file)
    page.close()


def test_it_asks_nobody_for_anything_and_complains_of_nothing(seen: Seen) -> None:
    assert [url for url in seen.requests if not url.startswith("data:")] == [seen.page.url]
    assert seen.page.url.startswith("file:")
    assert seen.complaints == []


def test_it_shows_the_verdict_and_the_state_of_each_hop(seen: Seen) -> None:
    expect(seen.page.locator("#verdict h1")).to_contain_text("red Business date 2024-03-10")
    for hop, state, colour in (
        ("LDZ → RDV", "green", "rgb(26, 127, 55)"),
        ("metrics", "red", "rgb(207, 34, 46)"),
        ("ML write-back", "grey", "rgb(110, 119, 129)"),
    ):
        shown = seen.page.locator(f'#hops tr[data-hop="{hop}"] .state')
        expect(shown).to_have_text(state)
        expect(shown).to_have_css("background-color", colour)


def test_sparklines_of_duration_rows_and_error_rate_are_drawn(seen: Seen) -> None:
    for row in ('#hops tr[data-hop="LDZ → RDV"]', '#tables tr[data-table="rdv.h_customer"]'):
        sparks = seen.page.locator(f"{row} svg.spark")
        expect(sparks).to_have_count(3)
        titles = sparks.locator("title").all_text_contents()
        assert [title.split(",")[0] for title in titles] == ["seconds", "rows", "error rate"]
        for number in range(3):
            box = sparks.nth(number).locator("polyline").bounding_box()
            assert box is not None
            assert box["width"] > 40, "the line has a length on the screen"
            assert box["height"] > 2
    expect(seen.page.locator('#tables tr[data-table="metrics.profit"] svg')).to_have_count(0)


def test_it_fits_a_narrow_window(seen: Seen) -> None:
    seen.page.set_viewport_size({"width": 1000, "height": 800})
    widest = seen.page.evaluate("document.documentElement.scrollWidth")
    assert widest <= 1000


def test_a_message_that_looks_like_html_is_shown_as_it_is(seen: Seen) -> None:
    expect(seen.page.locator("#files")).to_contain_text('<script>alert("x")</script> & | `it`')
