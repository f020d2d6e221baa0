"""The morning page as text: whole, self-contained, escaped, with sparklines that say what they show."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from cdm_assets.operations.morning_page import morning_html, morning_markdown, sparkline
from cdm_assets.operations.morning_report import Colour, unknown_morning
from cdm_assets_tests.operations.mornings import AT, HISTORY, HOSTILE, a_morning

_VOID = {"meta", "link", "br", "circle", "polyline"}


class _Balance(HTMLParser):
    """Fails on a tag that is closed in another order than it was opened; collects tags and references."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(html: str) -> _Balance:
    parser = _Balance()
    parser.feed(html)
    assert parser.open == []
    return parser


def test_the_page_is_whole_and_refers_to_nothing_outside() -> None:
    page = parsed(morning_html(a_morning()))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert page.references == ["data:,"]


def test_the_page_shows_every_part() -> None:
    html = morning_html(a_morning())
    for text in (
        "Business date 2024-03-10",
        "Monday 2024-03-11 08:30 UTC",
        "open critical incident INC-7: no file",
        "LDZ → RDV",
        "CDM-RDV-001",
        "ask them",
        "Anna",
        "nobody",
        "maintenance nightly (warehouse) until",
        "Paused: spend: moved",
        "never loaded",
    ):
        assert text in html, text
    for part in ("hops", "files", "checks", "incidents", "alerts", "on-call", "tables"):
        assert f'<table id="{part}">' in html


def test_what_files_and_messages_say_is_escaped() -> None:
    html = morning_html(a_morning())
    assert HOSTILE not in html
    assert html.count("&lt;script&gt;") == 3
    markdown = morning_markdown(a_morning())
    assert "<script>" not in markdown


def test_a_part_without_content_is_left_out() -> None:
    html = morning_html(a_morning(checks=(), incidents=(), alerts=(), on_call=(), maintenance=(), paused={}))
    for part in ("checks", "incidents", "alerts", "on-call"):
        assert f'<table id="{part}">' not in html


def test_a_morning_of_which_nothing_is_known_has_a_page_too() -> None:
    html = morning_html(unknown_morning(AT, "there is no database at x"))
    parsed(html)
    assert "there is no database at x" in html
    assert "Business date none" in html
    assert "business date none" in morning_markdown(unknown_morning(AT, "why"))


def test_markdown_has_a_row_a_hop_and_the_reasons() -> None:
    lines = morning_markdown(a_morning()).splitlines()
    assert lines[0] == "**RED**: business date 2024-03-10, as of 2024-03-11 08:30 UTC"
    assert "| LDZ → RDV | green | 1 of 1 | 5 | 0.5 |" in lines
    assert any(line.startswith("- red: metrics: not loaded: &lt;script>") for line in lines)
    assert "- on call for platform: Anna, then Ben" in lines


def test_a_sparkline_goes_from_zero_to_the_greatest_value_and_leaves_gaps() -> None:
    svg = str(sparkline(HISTORY, [0, None, 5, 10, 5], "rows", lambda value: f"{value:g}"))
    assert "<title>rows, 2024-03-06 to 2024-03-10: from 0 to 10, last 5</title>" in svg
    [line] = re.findall(r'polyline points="([^"]+)"', svg)
    heights = [float(point.split(",")[1]) for point in line.split()]
    assert heights == [11.0, 2.0, 11.0]
    assert svg.count("<circle") == 1, "the first date stands alone"


@pytest.mark.parametrize("values", [[None] * 5, []])
def test_without_a_value_there_is_no_line(values: list[None]) -> None:
    assert sparkline(HISTORY, values, "rows", str) == '<span class="none">none</span>'


def test_a_line_of_zeros_is_drawn_at_the_bottom() -> None:
    svg = str(sparkline(HISTORY, [0, 0, 0, 0, 0], "error rate", str))
    assert set(re.findall(r",([0-9.]+)", re.findall(r'points="([^"]+)"', svg)[0])) == {"20.0"}


@pytest.mark.parametrize("colour", list(Colour))
def test_the_verdict_is_a_word_besides_a_colour(colour: Colour) -> None:
    assert f'<span class="state {colour.value}">{colour.value}</span> Business date' in morning_html(
        a_morning(colour=colour)
    )
