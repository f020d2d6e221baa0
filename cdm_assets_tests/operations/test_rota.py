"""The laws of the rota: every minute covered by two, nobody on leave on duty, fair shares, a past that stays."""

import itertools
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from cdm_assets.catalog.oncall import Leave, OnCall, Swap
from cdm_assets.operations.rota import NobodyLeft, Rota, RotaError, Shift, fairness, on_duty, public_holidays
from cdm_assets.operations.rota_calendar import rota_calendar
from cdm_assets.operations.swaps import swapped_days, with_swaps, write_swaps

NAMES = ("ann", "bob", "cleo", "dan", "eve", "finn", "gus", "hana")
COUNTRIES = ("DE", "US", "GB", "FR", "JP", "IN", "CZ", "BR")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata")
MONDAY = date(2024, 1, 1)


def _oncall(
    size: int = 4, *, countries: tuple[str, ...] = ("DE",), zones: tuple[str, ...] = ("UTC",), **group: Any
) -> OnCall:
    names = NAMES[:size]
    engineers = {
        name: {
            "name": name.title(),
            "email": f"{name}@example.com",
            "country": countries[number % len(countries)],
            "time_zone": zones[number % len(zones)],
        }
        for number, name in enumerate(names)
    }
    fields: Mapping[str, Any] = {"start": MONDAY, "members": list(names)} | group
    return OnCall.model_validate({"engineers": engineers, "groups": {"team": fields}})


def _with_leave(oncall: OnCall, *leave: Leave) -> OnCall:
    return oncall.model_copy(update={"leave": leave})


def _away(oncall: OnCall, engineer: str, at: datetime) -> bool:
    """The law itself, beside the rota's own way to tell: a leave's days where the engineer is."""
    there = at.astimezone(ZoneInfo(oncall.engineers[engineer].time_zone)).date()
    return any(leave.engineer == engineer and leave.first <= there <= leave.last for leave in oncall.leave)


teams = st.builds(
    lambda size, countries, zones, weeks, start, at, zone: _oncall(
        size,
        countries=tuple(countries),
        zones=tuple(zones),
        weeks=weeks,
        start=start,
        hand_over_at=at,
        time_zone=zone,
    ),
    size=st.integers(3, 8),
    countries=st.lists(st.sampled_from(COUNTRIES), min_size=1, max_size=8),
    zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=5),
    weeks=st.sampled_from([1, 2]),
    start=st.dates(date(2023, 1, 1), date(2024, 12, 31)),
    at=st.sampled_from([time(0), time(2, 30), time(9), time(17, 45)]),
    zone=st.sampled_from(ZONES),
)


@st.composite
def teams_with_leave(draw: st.DrawFn) -> OnCall:
    """A team of which at least two are there at any time: two never take leave."""
    oncall = draw(teams)
    start = oncall.groups["team"].start
    may_leave = list(oncall.engineers)[2:]
    leave = []
    for _ in range(draw(st.integers(0, 6))):
        first = start + timedelta(days=draw(st.integers(0, 300)))
        last = first + timedelta(days=draw(st.integers(0, 30)))
        told_on = draw(st.none() | st.just(first))
        leave.append(Leave(engineer=draw(st.sampled_from(may_leave)), first=first, last=last, told_on=told_on))
    return _with_leave(oncall, *leave)


@settings(max_examples=60, deadline=None)
@given(teams_with_leave(), st.data())
def test_at_every_minute_two_persons_are_on_duty_and_none_of_them_on_leave(oncall: OnCall, data: st.DataObject) -> None:
    group = oncall.groups["team"]
    begin = group.begin_of(group.start)
    rota = Rota(oncall, "team")
    for minute in data.draw(st.lists(st.integers(0, 330 * 24 * 60), min_size=20, max_size=20)):
        at = begin + timedelta(minutes=minute)
        duty = rota.on_duty(at)
        assert duty.since <= at < duty.until
        assert duty.primary != duty.secondary
        on_duty_then = {duty.primary, duty.secondary} | ({duty.handing_over} if duty.handing_over else set())
        assert on_duty_then <= set(rota.members_on(group.start, group.start))
        assert not [engineer for engineer in on_duty_then if _away(oncall, engineer, at)]


@settings(max_examples=40, deadline=None)
@given(teams_with_leave())
def test_duty_goes_from_one_to_the_next_without_a_gap_or_an_overlap(oncall: OnCall) -> None:
    group = oncall.groups["team"]
    shifts = Rota(oncall, "team").shifts(group.start, group.start + timedelta(days=400))
    assert shifts[0].begins == group.begin_of(group.start)
    assert all(before.ends == after.begins for before, after in itertools.pairwise(shifts))
    assert all(shift.begins < shift.ends for shift in shifts)


@settings(max_examples=60, deadline=None)
@given(teams, st.integers(0, 3))
def test_without_leave_the_shares_of_a_year_differ_by_one_at_most(oncall: OnCall, years: int) -> None:
    group = oncall.groups["team"]
    year = group.start.year + years
    result = fairness(Rota(oncall, "team"), date(year, 1, 1), date(year, 12, 31))
    assert result.faults == ()
    shares = result.shares
    spread = {name: max(getattr(s, name) for s in shares) - min(getattr(s, name) for s in shares) for name in _MEASURES}
    assert spread["turns"] <= 1
    assert spread["weekends"] <= group.weeks
    assert spread["holidays"] <= 1


_MEASURES = ("turns", "weekends", "holidays")


@settings(max_examples=30, deadline=None)
@given(teams, st.integers(0, 700), st.integers(1, 60))
def test_without_leave_the_turns_of_any_span_differ_by_one_at_most(oncall: OnCall, skipped: int, turns: int) -> None:
    group = oncall.groups["team"]
    first = group.start + (skipped // 7) * group.turn
    last = first + turns * group.turn - timedelta(days=1)
    counts = [share.turns for share in fairness(Rota(oncall, "team"), first, last).shares]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == turns


@settings(max_examples=40, deadline=None)
@given(teams_with_leave(), st.integers(30, 300), st.data())
def test_a_change_of_leave_changes_no_turn_before_it(oncall: OnCall, days: int, data: st.DataObject) -> None:
    first = oncall.groups["team"].start + timedelta(days=days)
    more = Leave(engineer=data.draw(st.sampled_from(NAMES[2:3])), first=first, last=first + timedelta(days=9))
    changed = _with_leave(oncall, *oncall.leave, more)
    start = oncall.groups["team"].start
    before = first - oncall.groups["team"].turn - timedelta(days=1)
    assert Rota(oncall, "team").shifts(start, before) == Rota(changed, "team").shifts(start, before)


def test_after_a_leave_the_order_of_the_members_is_soon_found_again() -> None:
    plain = _oncall(5)
    december = Leave(engineer="bob", first=date(2024, 12, 2), last=date(2024, 12, 12))
    away = _with_leave(plain, december)
    january = (date(2025, 1, 13), date(2025, 3, 31))
    assert Rota(plain, "team").turns(*january)[2:] == Rota(away, "team").turns(*january)[2:]
    assert fairness(Rota(away, "team"), date(2024, 1, 1), date(2024, 12, 31)).faults == ()


def test_the_members_take_turns_in_their_order_and_the_secondary_is_who_comes_next() -> None:
    turns = Rota(_oncall(3), "team").turns(MONDAY, MONDAY + timedelta(weeks=4) - timedelta(days=1))
    assert [(turn.primary, turn.secondary) for turn in turns] == [
        ("ann", "bob"),
        ("bob", "cleo"),
        ("cleo", "ann"),
        ("ann", "bob"),
    ]


def test_planned_leave_moves_the_turn_and_sickness_only_its_days() -> None:
    days = {"engineer": "ann", "first": date(2024, 1, 3), "last": date(2024, 1, 3)}
    planned = Rota(_with_leave(_oncall(3), Leave(**days)), "team").turns(MONDAY, MONDAY)[0]
    assert planned.primary == "bob"
    sick = Rota(_with_leave(_oncall(3), Leave(**days, told_on=date(2024, 1, 3))), "team")
    shifts = sick.shifts(MONDAY, date(2024, 1, 7))
    # The leave of the third touches the days of duty that begin on the second and on the third at nine.
    assert [shift.primary for shift in shifts] == ["ann", "bob", "bob", "ann", "ann", "ann", "ann"]
    assert shifts[1].why == ("ann is on leave",)


def test_a_public_holiday_is_worked_by_who_has_worked_fewest() -> None:
    rota = Rota(_oncall(3), "team")
    worked = [s.primary for s in rota.shifts(date(2024, 1, 1), date(2024, 12, 31)) if rota.holiday(s.primary, s.day)]
    assert sorted(worked[:3]) == ["ann", "bob", "cleo"]
    assert sorted(worked[3:6]) == ["ann", "bob", "cleo"]


def test_a_holiday_on_a_weekend_counts_as_the_weekend() -> None:
    rota = Rota(_oncall(3), "team")
    assert date(2026, 10, 3) in public_holidays("DE", None, 2026)
    assert rota.holiday("ann", date(2026, 10, 3)) is None
    assert rota.holiday("ann", date(2024, 10, 3)) is not None


def test_in_the_half_hour_after_a_hand_over_who_leaves_is_still_there() -> None:
    oncall = _oncall(3)
    handed_over = datetime(2024, 1, 8, 9, tzinfo=UTC)
    assert on_duty(oncall, "team", handed_over - timedelta(minutes=1)).primary == "ann"
    assert on_duty(oncall, "team", handed_over).primary == "bob"
    assert on_duty(oncall, "team", handed_over + timedelta(minutes=29)).handing_over == "ann"
    assert on_duty(oncall, "team", handed_over + timedelta(minutes=30)).handing_over is None


def test_the_hand_over_follows_the_clock_of_the_group() -> None:
    oncall = _oncall(3, time_zone="Europe/Berlin")
    assert on_duty(oncall, "team", datetime(2024, 3, 25, 7, 59, tzinfo=UTC)).primary == "cleo"
    assert on_duty(oncall, "team", datetime(2024, 4, 1, 7, tzinfo=UTC)).since == datetime(2024, 4, 1, 7, tzinfo=UTC)


def test_a_long_leave_breaks_the_bound_and_the_table_says_whose() -> None:
    away = Leave(engineer="ann", first=date(2024, 3, 1), last=date(2024, 12, 31))
    oncall = _with_leave(_oncall(4), away)
    faults = fairness(Rota(oncall, "team"), date(2024, 1, 1), date(2024, 12, 31)).faults
    assert faults[0].startswith("team: weeks differ by ")
    assert "ann was on leave for 30" in faults[0]
    wide = oncall.model_copy(update={"groups": {"team": oncall.groups["team"].model_copy(update={"bound": 20})}})
    assert fairness(Rota(wide, "team"), date(2024, 1, 1), date(2024, 12, 31)).faults == ()


def test_who_comes_back_after_months_owes_two_turns_at_most() -> None:
    away = Leave(engineer="ann", first=date(2024, 1, 1), last=date(2024, 9, 30))
    turns = Rota(_with_leave(_oncall(4), away), "team").turns(date(2024, 10, 1), date(2024, 12, 31))
    of_ann = [number for number, turn in enumerate(turns) if turn.primary == "ann"]
    assert 4 <= len(of_ann) <= 5, "a fourth of 14 turns, and one or two that are made up for"
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(of_ann)), "never two in a row"


def test_a_newcomer_changes_nothing_before_and_is_not_flooded() -> None:
    oncall = _oncall(4)
    members = [*({"engineer": name} for name in NAMES[:3]), {"engineer": "dan", "since": date(2024, 7, 1)}]
    joined = _oncall(4, members=members)
    three = _oncall(4, members=list(NAMES[:3]))
    june = (MONDAY, date(2024, 6, 30))
    assert Rota(joined, "team").shifts(*june) == Rota(three, "team").shifts(*june)
    after = [turn.primary for turn in Rota(joined, "team").turns(date(2024, 7, 1), date(2024, 9, 22))]
    assert {name: after.count(name) for name in NAMES[:4]} == dict.fromkeys(NAMES[:4], 3)
    share = fairness(Rota(joined, "team"), date(2024, 1, 1), date(2024, 12, 31)).shares[-1]
    assert not share.whole_span
    assert oncall.groups.keys() == joined.groups.keys()


def test_where_fewer_than_two_are_left_it_says_on_which_day_and_why() -> None:
    leave = [Leave(engineer=name, first=date(2024, 2, 7), last=date(2024, 2, 8)) for name in ("ann", "cleo")]
    rota = Rota(_with_leave(_oncall(3), *leave), "team")
    assert rota.on_duty(datetime(2024, 2, 4, 12, tzinfo=UTC)).primary == "bob"
    with pytest.raises(NobodyLeft, match=r"on 2024-02-06 only bob is there \(ann, cleo on leave\); it needs two"):
        rota.shifts(date(2024, 2, 7), date(2024, 2, 7))


def test_what_cannot_be_answered_says_why() -> None:
    oncall = _oncall(3)
    with pytest.raises(RotaError, match="begins at 2024-01-01 09:00 UTC; nobody is on duty before"):
        on_duty(oncall, "team", datetime(2023, 12, 31, tzinfo=UTC))
    with pytest.raises(RotaError, match="unknown group 'taem'; did you mean 'team'"):
        Rota(oncall, "taem")
    with pytest.raises(ValueError, match="has no time zone"):
        on_duty(oncall, "team", datetime(2024, 2, 1))  # noqa: DTZ001
    nowhere = _oncall(3, countries=("XX",))
    with pytest.raises(RotaError, match="engineer ann: no public holidays are known: Country XX not available"):
        on_duty(nowhere, "team", datetime(2024, 1, 1, 12, tzinfo=UTC))


SWAP = Swap(group="team", gives="bob", takes="dan", first=date(2024, 1, 8), last=date(2024, 1, 14))


def test_a_swap_changes_the_days_of_two_and_of_nobody_else() -> None:
    oncall = _oncall(4)
    assert len(swapped_days(oncall, SWAP)) == 7
    plain, swapped = Rota(oncall, "team"), Rota(with_swaps(oncall, [SWAP]), "team")
    days = (MONDAY, date(2024, 12, 31))
    changed = [(a, b) for a, b in zip(plain.shifts(*days), swapped.shifts(*days), strict=True) if a != b]
    assert [(a.primary, b.primary) for a, b in changed] == [("bob", "dan")] * 7
    assert {a.day for a, _ in changed} == {SWAP.first + timedelta(days=n) for n in range(7)}


def test_who_takes_a_turn_of_which_he_is_secondary_trades_places() -> None:
    with_secondary = SWAP.model_copy(update={"takes": "cleo"})
    shift: Shift = Rota(with_swaps(_oncall(4), [with_secondary]), "team").shifts(SWAP.first, SWAP.last)[0]
    assert (shift.primary, shift.secondary) == ("cleo", "bob")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gives": "ann", "takes": "bob"}, "ann is not primary of team on a day from 2024-01-08 to 2024-01-14"),
        ({"takes": "dna"}, "takes: unknown member of team 'dna'; did you mean 'dan'"),
        ({"group": "tem"}, "unknown group 'tem'; did you mean 'team'"),
    ],
)
def test_a_swap_that_makes_no_sense_is_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(RotaError, match=message):
        swapped_days(_oncall(4), SWAP.model_copy(update=change))


def test_a_swap_with_somebody_on_leave_is_refused_and_lapses_if_the_leave_comes_later() -> None:
    oncall = _with_leave(_oncall(4), Leave(engineer="dan", first=date(2024, 1, 10), last=date(2024, 1, 10)))
    with pytest.raises(RotaError, match="dan cannot take 2024-01-09, 2024-01-10: on leave"):
        swapped_days(oncall, SWAP)
    rota = Rota(with_swaps(oncall, [SWAP]), "team")
    assert [shift.primary for shift in rota.shifts(SWAP.first, SWAP.last)] == ["dan", "bob", "bob", *["dan"] * 4]
    assert rota.lapsed[0] == "team: dan is not there on 2024-01-09; bob keeps the day"


def test_a_written_swap_leaves_the_comments_of_the_file(tmp_path: Any) -> None:
    path = tmp_path / "oncall.yaml"
    write_swaps(path, [SWAP])
    path.write_text("# ours\n" + path.read_text().replace("swaps:", "# agreed on\nswaps:  # all of them"))
    write_swaps(path, [SWAP.model_copy(update={"first": date(2024, 1, 9), "note": "concert"})])
    assert path.read_text().splitlines()[-4:] == [
        "# agreed on",
        "swaps:  # all of them",
        "  - {first: 2024-01-08, last: 2024-01-14, group: team, gives: bob, takes: dan}",
        "  - {first: 2024-01-09, last: 2024-01-14, group: team, gives: bob, takes: dan, note: concert}",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["oncall.yaml"]


def test_the_calendar_has_one_event_a_duty_with_its_hand_over() -> None:
    rota = Rota(_oncall(3), "team")
    now = datetime(2024, 1, 1, tzinfo=UTC)
    text = rota_calendar([rota], MONDAY, date(2024, 1, 21), engineer="bob", written_at=now)
    events = Calendar.from_ical(text).walk("VEVENT")
    found = [(str(e["SUMMARY"]), e.decoded("DTSTART"), e.decoded("DTEND")) for e in events]
    assert found == [
        (
            "On-call team (primary): Bob",
            datetime(2024, 1, 8, 9, tzinfo=UTC),
            datetime(2024, 1, 15, 9, 30, tzinfo=UTC),
        ),
        ("On-call team (secondary): Bob", datetime(2024, 1, 1, 9, tzinfo=UTC), datetime(2024, 1, 8, 9, tzinfo=UTC)),
    ]
    again = rota_calendar([rota], date(2024, 1, 10), date(2024, 1, 21), engineer="bob", written_at=now)
    assert {str(e["UID"]) for e in Calendar.from_ical(again).walk("VEVENT")} <= {str(e["UID"]) for e in events}
