"""`cdm oncall` and `cdm timing` as a user types them."""

from pathlib import Path

import pytest
from icalendar import Calendar
from typer.testing import CliRunner, Result

from cdm_assets import oncall_commands
from cdm_assets.catalog.reading import CatalogError, read_catalog
from cdm_assets.command_errors import Stopped
from cdm_assets.operations.rota import RotaError

SITE = """\
# Our own people.
engineers:
  ann: {name: Ann Lee, email: ann@example.com, country: DE}
  bob: {name: Bob Ray, email: bob@example.com, country: GB}  # back in May
  cleo: {name: Cleo Fox, email: cleo@example.com, country: FR}
groups:
  team:
    start: 2024-01-01
    members: [ann, bob, cleo]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site's catalog folder with one group of its own."""
    folder = tmp_path / "catalog"
    folder.mkdir()
    (folder / "oncall.yaml").write_text(SITE)
    monkeypatch.setenv("CDM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CDM_CATALOG", str(folder))
    return folder


def oncall(*arguments: str) -> Result:
    return CliRunner().invoke(oncall_commands.app, list(arguments))


def _shown(*arguments: str) -> str:
    result = oncall(*arguments)
    if result.exception:
        raise result.exception
    return result.output


@pytest.mark.usefixtures("site")
def test_who_is_on_duty_at_a_time_with_addresses() -> None:
    assert _shown("who", "--group", "team", "--at", "2024-01-08T09:10").splitlines() == [
        "team: 2024-01-08 09:00 to 2024-01-15 09:00 UTC",
        "  primary       Bob Ray <bob@example.com>",
        "  secondary     Cleo Fox <cleo@example.com>",
        "  handing over  Ann Lee <ann@example.com>",
    ]


@pytest.mark.usefixtures("site")
def test_the_next_hand_over() -> None:
    assert _shown("next", "--group", "team", "--at", "2024-01-08T10:00").strip() == (
        "team: Mon 2024-01-15 09:00 UTC  primary bob -> cleo, secondary cleo -> ann, until Mon 2024-01-22 09:00 UTC"
    )


@pytest.mark.usefixtures("site")
def test_the_rota_is_shown_with_reasons() -> None:
    lines = _shown("show", "--group", "team", "--from", "2024-05-01", "--weeks", "4").splitlines()
    assert lines[1].split() == ["from", "until", "primary", "secondary"]
    assert any("shared, not" in line for line in lines)


@pytest.mark.usefixtures("site")
def test_what_ships_is_fair_this_year_and_the_next_ones() -> None:
    for year in ("2026", "2027", "2028"):
        assert "fair" in _shown("validate", "--group", "platform", "--group", "business_metrics", "--year", year)


def test_validate_prints_the_table_and_fails_beyond_the_bound(site: Path) -> None:
    shown = _shown("validate", "--group", "team", "--year", "2024")
    assert shown.splitlines()[0] == "team: 2024-01-01 to 2024-12-31, bound 1: fair"
    assert [line.split()[:3] for line in shown.splitlines()[2:5]] == [
        ["ann", "18", "18"],
        ["bob", "18", "17"],
        ["cleo", "17", "17"],
    ]
    (site / "oncall.yaml").write_text(f"{SITE}leave: [{{engineer: cleo, first: 2024-03-01, last: 2024-12-31}}]\n")
    with pytest.raises(
        Stopped, match=r"team: weeks differ by 24, more than 1: cleo 2, ann 26 .cleo was on leave for 307 days"
    ):
        _shown("validate", "--group", "team", "--year", "2024")


def test_a_swap_is_written_into_the_sites_file_and_comments_stay(site: Path) -> None:
    shown = _shown(*["swap", "team", "bob", "ann", "--first", "2024-01-08", "--last", "2024-01-14"])
    assert shown.splitlines()[0] == "ann takes 2024-01-08..2024-01-14 of team from bob"
    text = (site / "oncall.yaml").read_text()
    assert text.startswith(SITE)
    assert text.splitlines()[-2:] == [
        "swaps:",
        "  - {first: 2024-01-08, last: 2024-01-14, group: team, gives: bob, takes: ann}",
    ]
    assert "now unfair in 2024: team: weeks differ by 2" in shown
    assert "primary       Ann Lee" in _shown("who", "--group", "team", "--at", "2024-01-09T10:00")


def test_a_swap_in_return_keeps_the_shares_fair(site: Path) -> None:
    days = "--first 2024-01-08 --last 2024-01-14 --return-first 2024-01-22 --return-last 2024-01-28"
    shown = _shown("swap", "team", "bob", "ann", *days.split(), "--note", "concert")
    assert "bob takes 2024-01-22..2024-01-28 of team from ann" in shown
    assert "unfair" not in shown
    assert len(read_catalog(site).oncall.swaps) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("team ann bob --first 2024-01-08", "ann is not primary of team on a day from 2024-01-08 to 2024-01-08"),
        ("team bob dora --first 2024-01-08", "unknown member of team 'dora'"),
        ("team bob bob --first 2024-01-08", "GIVES and TAKES are both bob"),
        ("team bob ann --first 2024-01-08 --last 2024-01-01", "the last day 2024-01-01 is before the first 2024-01-08"),
    ],
)
def test_a_swap_that_is_refused_leaves_the_file_alone(site: Path, arguments: str, message: str) -> None:
    with pytest.raises((Stopped, RotaError), match=message):
        _shown("swap", *arguments.split())
    assert (site / "oncall.yaml").read_text() == SITE


def test_a_swap_needs_a_sites_folder(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CDM_CATALOG")
    with pytest.raises(Stopped, match="set CDM_CATALOG to the site's catalog folder"):
        _shown(*["swap", "platform", "anna_weber", "ben_carter", "--first", "2026-11-21"])


def test_a_calendar_of_one_engineer(site: Path, tmp_path: Path) -> None:
    target = tmp_path / "ann.ics"
    options = ["--group", "team", "--engineer", "ann", "--from", "2024-01-01", "--days", "28"]
    assert "2024-01-01 to 2024-01-28" in _shown("export", "--ics", str(target), *options)
    events = Calendar.from_ical(target.read_bytes()).walk("VEVENT")
    assert [str(event["SUMMARY"]) for event in events] == [
        "On-call team (primary): Ann Lee",
        "On-call team (primary): Ann Lee",
        "On-call team (secondary): Ann Lee",
    ]
    with pytest.raises(Stopped, match="unknown engineer 'zoe'"):
        _shown("export", "--ics", str(target), "--engineer", "zoe")


def test_a_mistake_in_the_sites_file_is_told_before_anything_is_written(site: Path) -> None:
    (site / "oncall.yaml").write_text(SITE.replace("ann, bob", "anna, bob"))
    with pytest.raises(CatalogError, match="unknown engineer 'anna'"):
        _shown(*["swap", "team", "bob", "cleo", "--first", "2024-01-08"])
