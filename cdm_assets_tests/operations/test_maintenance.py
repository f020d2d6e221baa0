"""A maintenance window holds its system from its begin to its end, in its own time zone, whatever the clock does."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from cdm_assets import cli
from cdm_assets.catalog.model import Catalog, MaintenanceWindow
from cdm_assets.catalog.reading import CANONICAL, read_catalog
from cdm_assets.operations.maintenance import (
    held_sources,
    next_windows,
    open_windows,
    sources_of,
    utc_text,
    warehouse_window,
)
from cdm_assets_tests.small_site import SOURCES, write_catalog

MINUTE = timedelta(minutes=1)
SUNDAY = 'cron: "0 2 * * SUN", minutes: 120, time_zone: Europe/Berlin'


def window(cron: str, minutes: int, time_zone: str = "UTC", *, system: str = "data_mart") -> MaintenanceWindow:
    return MaintenanceWindow(system=system, cron=cron, minutes=minutes, time_zone=time_zone)


def utc(text: str) -> datetime:
    """`2026-11-22 03:00` as a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def until(opened: MaintenanceWindow, when: str | datetime) -> str | None:
    """When the window that is open at `when` ends, or None."""
    found = open_windows({"it": opened}, utc(when) if isinstance(when, str) else when)
    return f"{found[0].until:%Y-%m-%d %H:%M}" if found else None


@pytest.mark.parametrize(
    ("when", "end"),
    [
        ("2026-11-22 00:59:59.999999", None),
        ("2026-11-22 01:00", "2026-11-22 03:00"),
        ("2026-11-22 01:00:00.000001", "2026-11-22 03:00"),
        ("2026-11-22 02:59:59.999999", "2026-11-22 03:00"),
        ("2026-11-22 03:00", None),
        ("2026-11-23 01:30", None),
    ],
)
def test_the_begin_belongs_to_a_window_and_the_end_does_not(when: str, end: str | None) -> None:
    assert until(window("0 2 * * SUN", 120, "Europe/Berlin"), when) == end


def test_a_window_of_a_week_is_open_to_its_last_minute() -> None:
    monthly = window("30 4 1 * *", 7 * 24 * 60)
    assert until(monthly, "2026-03-01 04:30") == "2026-03-08 04:30"
    assert until(monthly, "2026-03-08 04:29") == "2026-03-08 04:30"
    assert until(monthly, "2026-03-08 04:30") is None


@pytest.mark.parametrize(
    ("time_zone", "begin"),
    [
        ("UTC", "2026-07-01 02:15"),
        ("Europe/Berlin", "2026-07-01 00:15"),
        ("America/New_York", "2026-07-01 06:15"),
        ("Asia/Kathmandu", "2026-06-30 20:30"),
        ("Pacific/Kiritimati", "2026-06-30 12:15"),
    ],
)
def test_a_window_begins_by_the_clock_of_its_time_zone(time_zone: str, begin: str) -> None:
    nightly = window("15 2 * * *", 30, time_zone)
    assert until(nightly, utc(begin) - MINUTE) is None
    assert until(nightly, begin) == f"{utc(begin) + 30 * MINUTE:%Y-%m-%d %H:%M}"


def test_the_time_asked_about_may_be_of_any_time_zone() -> None:
    sunday = window("0 2 * * SUN", 120, "Europe/Berlin")
    in_tokyo = utc("2026-11-22 01:00").astimezone(ZoneInfo("Asia/Tokyo"))
    assert until(sunday, in_tokyo) == "2026-11-22 03:00"
    assert open_windows({"it": sunday}, in_tokyo)[0].until.tzinfo is UTC
    in_berlin = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    assert until(window("0 1 25 10 *", 60), in_berlin) == "2026-10-25 02:00"
    after_the_change = datetime(2026, 3, 29, 3, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert until(window("0 3 * * *", 60, "Europe/Berlin"), after_the_change) == "2026-03-29 02:00"


# Berlin, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC. 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC.
@pytest.mark.parametrize(
    ("cron", "minutes", "begin", "end"),
    [
        ("0 1 * * *", 120, "2026-03-29 00:00", "2026-03-29 02:00"),  # through the hour that is left out
        ("30 2 * * *", 60, "2026-03-29 01:00", "2026-03-29 02:00"),  # would begin in it: begins when the clock goes on
        ("0 4 * * *", 60, "2026-03-29 02:00", "2026-03-29 03:00"),
        ("0 1 * * *", 120, "2026-10-24 23:00", "2026-10-25 01:00"),  # through the hour that comes twice
        ("30 2 * * *", 20, "2026-10-25 00:30", "2026-10-25 00:50"),  # begins in it: the first time only
        ("0 4 * * *", 60, "2026-10-25 03:00", "2026-10-25 04:00"),
    ],
)
def test_a_change_of_the_clock_makes_a_window_neither_longer_nor_shorter(
    cron: str, minutes: int, begin: str, end: str
) -> None:
    nightly = window(cron, minutes, "Europe/Berlin")
    assert until(nightly, utc(begin) - MINUTE) is None
    assert until(nightly, begin) == end
    assert until(nightly, utc(end) - MINUTE) == end
    assert [until(nightly, utc(end) + hours * 60 * MINUTE) for hours in range(12)] == [None] * 12


@pytest.mark.parametrize(
    ("since", "first"),
    [
        ("2026-10-25 00:30", "2026-10-25 00:30"),
        ("2026-10-25 00:30:00.000001", "2026-10-26 01:30"),
        ("2026-10-25 01:10", "2026-10-26 01:30"),  # 02:10 for the second time
        ("2026-10-25 01:30", "2026-10-26 01:30"),
    ],
)
def test_no_beginning_lies_before_the_time_asked_for(since: str, first: str) -> None:
    assert next(window("30 2 * * *", 60, "Europe/Berlin").beginnings(utc(since))) == utc(first)


def test_an_hourly_window_comes_in_both_of_the_hours_that_have_one_name() -> None:
    hourly = window("0 * * * *", 10, "Europe/Berlin")
    assert [until(hourly, f"2026-10-25 0{hour}:05") for hour in range(3)] == [
        f"2026-10-25 0{hour}:10" for hour in range(3)
    ]


@pytest.mark.parametrize("when", ["2026-11-21 22:00", "2026-11-21 23:29", "2026-11-22 00:15", "2026-11-22 02:29"])
def test_a_window_that_begins_again_before_it_is_over_holds_to_the_end_of_the_last(when: str) -> None:
    chain = window("0 22-23,0-1 * * *", 90)
    assert until(chain, when) == "2026-11-22 02:30"
    assert until(chain, "2026-11-22 02:30") is None
    assert until(chain, "2026-11-21 21:59") is None


def test_windows_that_touch_are_one() -> None:
    freeze = window("0 0 * 12 *", 24 * 60, "Europe/Berlin")
    assert until(freeze, "2026-12-24 12:00") == "2026-12-31 23:00"
    assert until(freeze, "2026-12-31 23:00") is None


def test_a_hold_is_followed_for_92_days() -> None:
    first_chain_is_short = window("0 0 * 1,3-12 *", 24 * 60)
    assert until(first_chain_is_short, "2026-03-01 00:00") == "2026-06-02 00:00"
    assert until(first_chain_is_short, "2026-06-02 00:00") == "2026-09-03 00:00"


def test_a_time_without_a_time_zone_is_refused() -> None:
    naive = utc("2026-11-22 01:00").replace(tzinfo=None)
    with pytest.raises(ValueError, match="2026-11-22 01:00:00 has no time zone; expected an aware datetime"):
        open_windows({}, naive)


# The law: what a simulation finds that looks at the clock of the time zone every minute.


def minutes_open(opened: MaintenanceWindow, first: datetime, minutes: int) -> list[bool]:
    """Whether the window is open in each minute from `first` on, by looking at the clock once a minute.

    Reads `minute hour * * weekdays`. A window of certain hours begins when the clock first comes to the time or passes
    over it; one of every hour begins whenever the clock shows the minute.
    """
    minute, hour, _, _, weekday = opened.cron.split()
    zone, left, states = ZoneInfo(opened.time_zone), 0, []

    def is_begin(local: datetime) -> bool:
        return (
            str(local.minute) in minute.split(",")
            and (hour == "*" or str(local.hour) in hour.split(","))
            and (weekday == "*" or str(local.isoweekday() % 7) in weekday.split(","))
        )

    start = first - opened.length - timedelta(days=1)
    clock = start.astimezone(zone).replace(tzinfo=None) - MINUTE
    for number in range(int((first - start) / MINUTE) + minutes):
        local = (start + number * MINUTE).astimezone(zone).replace(tzinfo=None)
        shown = [clock + step * MINUTE for step in range(1, int((local - clock) / MINUTE) + 1)]
        if any(is_begin(each) for each in ([local] if hour == "*" else shown)):
            left = opened.minutes
        clock = max(clock, local)
        states.append(left > 0)
        left -= 1
    return states[-minutes:]


def numbers(last: int) -> st.SearchStrategy[str]:
    return st.lists(st.integers(0, last), min_size=1, max_size=4, unique=True).map(lambda n: ",".join(map(str, n)))


@st.composite
def declared_windows(draw: st.DrawFn) -> MaintenanceWindow:
    cron = f"{draw(numbers(59))} {draw(numbers(23) | st.just('*'))} * * {draw(numbers(6) | st.just('*'))}"
    zones = [*("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"), "Asia/Kathmandu"]
    minutes = draw(st.integers(1, 200) | st.integers(1, 7 * 24 * 60))
    try:
        return window(cron, minutes, draw(st.sampled_from(zones)))
    except ValidationError as error:
        assume("without a break" not in str(error))
        raise


CHANGES_OF_A_CLOCK = ["03-29", "10-25", "03-08", "11-01", "04-05", "10-04", "09-06"]
"""Of 2026: Berlin, New York, Lord Howe (by half an hour) and Santiago (at midnight), spring and autumn."""


@settings(deadline=None, max_examples=25)
@given(
    declared_windows(),
    st.sampled_from([date.fromisoformat(f"2026-{day}") for day in CHANGES_OF_A_CLOCK])
    | st.dates(date(2025, 1, 1), date(2027, 1, 1)),
)
@example(window("30 2 * * *", 90, "Europe/Berlin"), date(2026, 3, 29))
@example(window("30,45 2,3 * * *", 60, "Europe/Berlin"), date(2026, 10, 25))
@example(window("0 * * * *", 45, "Australia/Lord_Howe"), date(2026, 10, 4))
@example(window("0 0 * * *", 600, "America/Santiago"), date(2026, 9, 6))
def test_what_is_open_and_until_when_agrees_with_looking_at_the_clock_every_minute(
    opened: MaintenanceWindow, day: date
) -> None:
    first, asked, followed = utc(f"{day - timedelta(days=1)} 00:00"), 3 * 24 * 60, 7 * 24 * 60
    states = minutes_open(opened, first, followed)
    ends: dict[int, int] = {}
    for number in reversed(range(followed)):
        ends[number] = number if not states[number] else ends.get(number + 1, followed)
    edges = [number for number in range(1, asked) if states[number] != states[number - 1]]
    for number in sorted({*range(0, asked, 37), *edges, *(edge - 1 for edge in edges)}):
        found = open_windows({"it": opened}, first + number * MINUTE)
        assert bool(found) == states[number], number
        if found and ends[number] < followed:
            assert found[0].until == first + ends[number] * MINUTE, number


# What of a catalog is held.


def catalog_with(folder: Path, windows: str) -> Catalog:
    """A small catalog: source product is of system shop, the others of data_mart; `windows` without the headline."""
    sources = dict(SOURCES) | {"product": f"{SOURCES['product']}system: shop\n"}
    write_catalog(folder, sources)
    (folder / "maintenance.yaml").write_text(f"windows:\n{windows}")
    return read_catalog(shipped=folder)


BOTH = (
    f"  release: {{system: data_mart, {SUNDAY}, description: Weekly release.}}\n"
    '  backup: {system: warehouse, cron: "0 2 * * *", minutes: 90}\n'
    '  vacuum: {system: warehouse, cron: "30 2 * * *", minutes: 30}\n'
)


def test_a_source_is_held_by_the_window_of_its_system_and_no_other(tmp_path: Path) -> None:
    catalog = catalog_with(tmp_path, BOTH)
    held = held_sources(catalog, utc("2026-11-22 01:30"))
    assert sorted(held) == ["assortment", "customer", "purchase"]
    assert {str(each) for each in held.values()} == {"maintenance release (data_mart) until 2026-11-22 03:00 UTC"}
    assert held["customer"].description == "Weekly release."
    assert warehouse_window(catalog, utc("2026-11-22 01:30")) is None


def test_a_source_is_held_by_the_window_that_lasts_longest(tmp_path: Path) -> None:
    catalog, when = catalog_with(tmp_path, BOTH), utc("2026-11-22 02:45")
    assert {name: each.name for name, each in held_sources(catalog, when).items()} == dict.fromkeys(SOURCES, "backup")
    assert str(warehouse_window(catalog, when)) == "maintenance backup (warehouse) until 2026-11-22 03:30 UTC"
    assert [each.name for each in open_windows(catalog.maintenance, when)] == ["release", "backup", "vacuum"]
    longer = catalog_with(tmp_path, BOTH.replace("minutes: 120", "minutes: 180"))
    held = {name: each.name for name, each in held_sources(longer, when).items()}
    assert held == dict.fromkeys(SOURCES, "release") | {"product": "backup"}


def test_nothing_is_held_outside_windows_or_without_any(tmp_path: Path) -> None:
    catalog = catalog_with(tmp_path, BOTH)
    assert held_sources(catalog, utc("2026-11-22 04:00")) == {}
    assert held_sources(catalog.model_copy(update={"maintenance": {}}), utc("2026-11-22 02:45")) == {}


def test_a_window_of_the_warehouse_holds_every_source(tmp_path: Path) -> None:
    catalog = catalog_with(tmp_path, BOTH)
    assert sources_of(catalog, "warehouse") == list(catalog.sources)
    assert set(catalog.sources) == set(SOURCES)
    assert sources_of(catalog, "shop") == ["product"]


def test_the_next_windows_come_by_their_begin_and_what_is_open_is_not_among_them(tmp_path: Path) -> None:
    windows = BOTH.replace('"0 2 * * *"', '"0 2 * * MON"').replace('"30 2 * * *"', '"30 2 1 * *"')
    catalog = catalog_with(tmp_path, windows)
    coming = next_windows(catalog, utc("2026-11-22 01:30"), days=9)
    assert [str(each) for each in coming] == [
        "maintenance backup (warehouse) from 2026-11-23 02:00 UTC until 2026-11-23 03:30 UTC",
        "maintenance release (data_mart) from 2026-11-29 01:00 UTC until 2026-11-29 03:00 UTC",
        "maintenance backup (warehouse) from 2026-11-30 02:00 UTC until 2026-11-30 03:30 UTC",
    ]
    assert next_windows(catalog, utc("2026-11-24 00:00"), days=2) == []
    assert len(next_windows(catalog, utc("2026-11-22 00:00"))) == 5, "14 days unless told"


def test_a_chain_of_windows_comes_as_one(tmp_path: Path) -> None:
    catalog = catalog_with(tmp_path, '  night: {system: shop, cron: "0 22-23,0-1 * * *", minutes: 90}\n')
    coming = next_windows(catalog, utc("2026-11-22 00:10"), days=2)
    assert [(utc_text(each.begins), utc_text(each.until)) for each in coming] == [
        ("2026-11-22 22:00 UTC", "2026-11-23 02:30 UTC"),
        ("2026-11-23 22:00 UTC", "2026-11-24 02:30 UTC"),
    ]


# The command.


def shown(overlay: Path | None, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that `cdm maintenance` prints for a site with the folder `overlay`."""
    monkeypatch.delenv("CDM_CATALOG", raising=False)
    if overlay is not None:
        monkeypatch.setenv("CDM_CATALOG", str(overlay))
    result = CliRunner().invoke(cli.app, ["maintenance", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_the_command_shows_what_is_open_what_it_holds_and_what_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = BOTH.replace('"0 2 * * *"', '"0 2 * * MON"').replace('"30 2 * * *"', '"30 2 22 * *"')
    (tmp_path / "maintenance.yaml").write_text(f"windows:\n{windows}")
    sources = [source.source for source in read_catalog().sources.values() if source.system == "data_mart"]
    assert shown(tmp_path, "--at", "2026-11-22T02:45", monkeypatch=monkeypatch) == [
        "2026-11-22 02:45 UTC: held by",
        "  maintenance release (data_mart) until 2026-11-22 03:00 UTC: Weekly release.",
        f"    holds {len(sources)} sources: {', '.join(sources)}",
        "  maintenance vacuum (warehouse) until 2026-11-22 03:00 UTC",
        "    holds everything",
        "Within the next 14 days:",
        "  maintenance backup (warehouse) from 2026-11-23 02:00 UTC until 2026-11-23 03:30 UTC",
        "  maintenance release (data_mart) from 2026-11-29 01:00 UTC until 2026-11-29 03:00 UTC: Weekly release.",
        "  maintenance backup (warehouse) from 2026-11-30 02:00 UTC until 2026-11-30 03:30 UTC",
        "  maintenance release (data_mart) from 2026-12-06 01:00 UTC until 2026-12-06 03:00 UTC: Weekly release.",
    ]


def test_the_command_says_so_when_nothing_is_open_or_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yearly = '  freeze: {system: warehouse, cron: "0 0 24 12 *", minutes: 2880}\n'
    (tmp_path / "maintenance.yaml").write_text(f"windows:\n{yearly}")
    assert shown(tmp_path, "--at", "2026-11-22T02:45", monkeypatch=monkeypatch) == [
        "2026-11-22 02:45 UTC: no maintenance window is open, nothing is held",
        "None begins within the next 14 days",
    ]


def test_the_command_cuts_a_long_list_and_says_how_much_more_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hourly = '  restart: {system: data_mart, cron: "0 * * * *", minutes: 5}\n'
    (tmp_path / "maintenance.yaml").write_text(f"windows:\n{hourly}")
    lines = shown(tmp_path, "--at", "2026-11-22T02:45", monkeypatch=monkeypatch)
    assert len(lines) == 23
    assert lines[-1] == "  … and 316 more, to 2026-12-06 02:05 UTC"


def test_the_command_says_where_to_declare_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = f"{CANONICAL}/maintenance.yaml shows how"
    declare = "No maintenance window is declared. Declare one in maintenance.yaml of"
    assert shown(tmp_path, monkeypatch=monkeypatch) == [f"{declare} {tmp_path};", example]
    assert shown(None, monkeypatch=monkeypatch) == [
        f"{declare} the site's catalog folder, which CDM_CATALOG names;",
        example,
    ]


def test_the_command_refuses_a_time_that_it_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDM_CATALOG", str(tmp_path))
    no_time = CliRunner().invoke(cli.app, ["maintenance", "--at", "2026-11-22"])
    assert no_time.exit_code == 2
    assert "Invalid value for '--at'" in no_time.output
    far = CliRunner().invoke(cli.app, ["maintenance", "--at", "9999-12-31T00:00"])
    assert far.exit_code == 1
    assert far.stderr.startswith("cdm: --at 9999-12-31 00:00 UTC is not within the calendar, 2000-01-01 to 2079-12-31")


def test_the_command_names_the_mistakes_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDM_CATALOG", str(tmp_path))
    (tmp_path / "maintenance.yaml").write_text(f"windows:\n  release: {{system: datamart, {SUNDAY}}}\n")
    shown = CliRunner().invoke(cli.app, ["maintenance"])
    assert shown.exit_code == 1
    assert f"{tmp_path}/maintenance.yaml:2: windows.release.system: unknown system 'datamart'; did you" in shown.stderr
