"""Who is on duty: a rota that is computed from `oncall.yaml` and its start date, and from nothing else.

A group's time is cut into turns of one or two weeks, and a turn into days that begin when duty is handed over. Turns
are given out one after the other from the group's start, so that a change of leave or members changes no turn before
it. In this order of importance, the primary of a turn is who

1. is away on the fewest days of it, 2. did not have the turn before, 3. had the fewest turns in this calendar year,
4. had the fewest turns since the start, 5. stands first in the list of members.

So without leave it is the members in their order, round after round, and after a leave that order is soon found again.
The secondary is chosen likewise by the turns as secondary, at last who follows the primary in the list. Who was away
owes two turns at most.

Two rules then look at single days. On a day on which the primary is away, who has stood in least often stands in. A
public holiday (Monday to Friday, in the engineer's country; one on a weekend is a weekend) goes to another if the
primary has worked more of them this year than another has. If that is the secondary, the two trade places. Swaps come
last: `takes` has the days that were `gives`'s, and nobody else's duty changes.

Guaranteed, for every minute from the start on: one primary and one secondary, two persons, none of them on leave from
the day's beginning to the end of its hand-over, or NobodyLeft says why not. Without leave, swaps and changes of
members, shares differ within any span of whole turns, so also within a year, by one turn at most; within a calendar
year by one public holiday at most. Leave can break these bounds: who is away for longer than a round, or for all of a
year's end, cannot make up for it. `fairness` measures and says so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cdm_assets.catalog.oncall import Engineer, Group, Leave, OnCall, Swap

_ONE_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5
_MOST_OWED: Final = 2
"""Turns or holidays that are made up for after an absence; more would be every second turn for months."""


class RotaError(Exception):
    """The rota has no answer; the message says why and what to do."""


class NobodyLeft(RotaError):
    """Fewer than two members of a group are there on a day."""


@dataclass(frozen=True)
class Duty:
    """Who is on duty in a group from `since` to `until` (aware, UTC; `until` exclusive)."""

    group: str
    primary: str
    secondary: str
    since: datetime
    until: datetime
    handing_over: str | None = None
    """Who was primary before and stays for the hand-over."""


@dataclass(frozen=True)
class Shift:
    """One day of duty: from one hand-over time (UTC, inclusive) to the next (exclusive)."""

    day: date
    begins: datetime
    ends: datetime
    primary: str
    secondary: str
    turn: int
    """Number of the turn it is part of, from 0."""
    turn_of: str
    """To whom the day counts as part of a turn; another may stand in as primary for a public holiday."""
    why: tuple[str, ...] = ()
    """Why it is not the turn's primary and secondary."""


@dataclass(frozen=True)
class Turn:
    """One or two weeks, from the day `first` to the day `last`, and who has it if nothing comes between."""

    number: int
    first: date
    last: date
    primary: str
    secondary: str


@dataclass
class _Tally:
    """How often each member did something: since the start and in the year that is being planned."""

    ever: Counter[str] = field(default_factory=Counter)
    in_year: Counter[str] = field(default_factory=Counter)

    def add(self, engineer: str) -> None:
        self.ever[engineer] += 1
        self.in_year[engineer] += 1

    def admit(self, newcomer: str, others: Sequence[str]) -> None:
        """A newcomer starts with as many as who has the fewest."""
        self.ever[newcomer] = min((self.ever[other] for other in others), default=0)
        self.in_year[newcomer] = min((self.in_year[other] for other in others), default=0)

    def forgive(self, members: Sequence[str]) -> None:
        """What a member owes beyond two counts as done."""
        for counts in (self.ever, self.in_year):
            least = max(counts[each] for each in members) - _MOST_OWED
            for each in members:
                counts[each] = max(counts[each], least)


@lru_cache(maxsize=512)
def public_holidays(country: str, subdivision: str | None, year: int) -> Mapping[date, str]:
    """The public holidays of a country by day. Raises RotaError if the library `holidays` does not know it."""
    import holidays  # noqa: PLC0415 - takes half a second, and most commands ask for no rota

    try:
        return dict(holidays.country_holidays(country, subdiv=subdivision, years=year))
    except NotImplementedError as reason:
        raise RotaError(f"no public holidays are known: {reason}; correct country or subdivision") from reason


class Rota:
    """The rota of one group, worked out as far as it is asked for."""

    def __init__(self, oncall: OnCall, group: str) -> None:
        if group not in oncall.groups:
            close = get_close_matches(group, oncall.groups, n=1)
            known = ", ".join(sorted(oncall.groups)) or "none"
            raise RotaError(
                f"unknown group {group!r}; " + (f"did you mean {close[0]!r}?" if close else f"known: {known}")
            )
        self.name = group
        self.oncall = oncall
        self.group: Group = oncall.groups[group]
        self.lapsed: list[str] = []
        """Swaps that could not be kept, as sentences."""
        self._leave: dict[str, list[tuple[Leave, datetime, datetime]]] = {}
        for leave in oncall.leave:
            self._leave.setdefault(leave.engineer, []).append((leave, *_span(leave, oncall.engineers[leave.engineer])))
        self._swaps = [swap for swap in oncall.swaps if swap.group == group]
        self._turns: list[Turn] = []
        self._shifts: list[Shift] = []
        self._known: set[str] = set()
        self._primaries, self._secondaries, self._holidays = _Tally(), _Tally(), _Tally()
        self._standing_in = (-1, "")
        self._stood_in: Counter[str] = Counter()
        self._stood_in_at_weekends: Counter[str] = Counter()

    def shifts(self, first: date, last: date) -> Sequence[Shift]:
        """The days of duty that begin on `first` to `last`. Raises NobodyLeft; before the start there are none."""
        self._plan_to(last)
        start = self.group.start
        return self._shifts[max(0, (first - start).days) : max(0, (last - start).days + 1)]

    def turns(self, first: date, last: date) -> Sequence[Turn]:
        """The turns of which a day is within `first` to `last`. Raises NobodyLeft."""
        self._plan_to(last)
        return [turn for turn in self._turns if turn.last >= first and turn.first <= last]

    def on_duty(self, at: datetime) -> Duty:
        """Who is on duty at `at` (aware). Raises RotaError before the start, and where nobody is left."""
        if at.tzinfo is None:
            raise ValueError(f"{at} has no time zone; expected an aware datetime, such as datetime.now(UTC)")
        when = at.astimezone(UTC)
        begins = self.group.begin_of(self.group.start)
        if when < begins:
            raise RotaError(f"the rota of {self.name} begins at {begins:%Y-%m-%d %H:%M} UTC; nobody is on duty before")
        self._plan_to(when.astimezone(ZoneInfo(self.group.time_zone)).date())
        number = bisect_right(self._shifts, when, key=lambda shift: shift.begins) - 1
        shift = self._shifts[number]
        since, until = number, number
        while since > 0 and _pair(self._shifts[since - 1]) == _pair(shift):
            since -= 1
        while self._is_planned(self._shifts[until].day + _ONE_DAY) and _pair(self._shifts[until + 1]) == _pair(shift):
            until += 1
        before = self._shifts[since - 1].primary if since else shift.primary
        leaves_at = self._shifts[since].begins + timedelta(minutes=self.group.hand_over_minutes)
        return Duty(
            group=self.name,
            primary=shift.primary,
            secondary=shift.secondary,
            since=self._shifts[since].begins,
            until=self._shifts[until].ends,
            handing_over=before if before != shift.primary and when < leaves_at else None,
        )

    def is_away(self, engineer: str, day: date, *, known_by: date | None = None) -> bool:
        """Whether leave touches the duty of `day`, its hand-over included; with `known_by`, leave told by then only."""
        begins = self.group.begin_of(day)
        ends = self.group.begin_of(day + _ONE_DAY) + timedelta(minutes=self.group.hand_over_minutes)
        return any(
            since < ends and until > begins
            for leave, since, until in self._leave.get(engineer, ())
            if known_by is None or leave.told_on is None or leave.told_on <= known_by
        )

    def holiday(self, engineer: str, day: date) -> str | None:
        """The public holiday that `day`, Monday to Friday, is for `engineer`."""
        if day.weekday() >= _SATURDAY:
            return None
        person = self.oncall.engineers[engineer]
        try:
            return public_holidays(person.country, person.subdivision, day.year).get(day)
        except RotaError as reason:
            raise RotaError(f"engineer {engineer}: {reason}") from reason

    def members_on(self, first: date, last: date) -> list[str]:
        """Who is in the group on each day from `first` to `last`, in the order of the file."""
        return [member.engineer for member in self.group.members if member.is_in(first, last)]

    def _is_planned(self, day: date) -> bool:
        """Plan to `day`; False if nobody is left for its turn, which is no matter for the days before."""
        try:
            self._plan_to(day)
        except NobodyLeft:
            return False
        return True

    def _plan_to(self, last: date) -> None:
        while not self._turns or self._turns[-1].last < last:
            self._plan_turn()

    def _plan_turn(self) -> None:
        first = self._turns[-1].last + _ONE_DAY if self._turns else self.group.start
        last = first + self.group.turn - _ONE_DAY
        days = [first + number * _ONE_DAY for number in range((last - first).days + 1)]
        members = self.members_on(first, last)
        if len(members) < 2:
            raise NobodyLeft(f"{self.name}: {len(members)} members from {first} to {last}; expected two at least")
        if not self._turns or self._turns[-1].first.year != first.year:
            for tally in (self._primaries, self._secondaries):
                tally.in_year.clear()
        self._admit(members)
        for tally in (self._primaries, self._secondaries, self._holidays):
            tally.forgive(members)
        away = {each: sum(self.is_away(each, day, known_by=first) for day in days) for each in members}
        before = self._turns[-1].primary if self._turns else None
        primary = min(
            members,
            key=lambda each: (
                away[each],
                each == before,
                self._primaries.in_year[each],
                self._primaries.ever[each],
                members.index(each),
            ),
        )
        secondary = min(
            (each for each in members if each != primary),
            key=lambda each: (
                away[each],
                self._secondaries.in_year[each],
                self._secondaries.ever[each],
                _distance(members, primary, each),
            ),
        )
        turn = Turn(len(self._turns), first, last, primary, secondary)
        planned = [self._planned(turn, members, day) for day in days]
        self._turns.append(turn)
        self._primaries.add(_who_most([shift.turn_of for shift in planned], primary))
        self._secondaries.add(secondary)
        self._shifts += [self._swapped(shift) for shift in planned]

    def _admit(self, members: Sequence[str]) -> None:
        old = [each for each in members if each in self._known]
        for newcomer in (each for each in members if each not in self._known):
            for tally in (self._primaries, self._secondaries, self._holidays):
                tally.admit(newcomer, old)
            self._stood_in[newcomer] = min((self._stood_in[each] for each in old), default=0)
            self._stood_in_at_weekends[newcomer] = min((self._stood_in_at_weekends[each] for each in old), default=0)
        self._known.update(members)

    def _planned(self, turn: Turn, members: Sequence[str], day: date) -> Shift:
        """One day of a turn, before swaps."""
        if day.month == 1 and day.day == 1:
            self._holidays.in_year.clear()
        there = [each for each in members if not self.is_away(each, day)]
        if len(there) < 2:
            away = ", ".join(each for each in members if each not in there)
            raise NobodyLeft(
                f"{self.name}: on {day} only {', '.join(there) or 'nobody'} is there ({away} on leave); it needs two: "
                "move a leave, or add a member"
            )
        why = []
        holder = turn.primary
        if holder not in there:
            holder = self._stand_in(there, turn, members, day)
            why.append(f"{turn.primary} is on leave")
        primary = self._for_holiday(there, holder, members, day)
        if primary != holder:
            why.append(f"{self.holiday(holder, day)}: shared, not {holder} again")
            self._stood_in[primary] += 1
        if self.holiday(primary, day):
            self._holidays.add(primary)
        secondary = turn.secondary
        if secondary not in there:
            why.append(f"{secondary} is on leave")
        if secondary not in there or secondary == primary:
            secondary = self._second(there, turn, primary, members)
        begins, ends = self.group.begin_of(day), self.group.begin_of(day + _ONE_DAY)
        return Shift(day, begins, ends, primary, secondary, turn.number, holder, tuple(why))

    def _stand_in(self, there: Sequence[str], turn: Turn, members: Sequence[str], day: date) -> str:
        """Who stands in for a primary on leave: who does so already in this turn, else who did so least often."""
        is_weekend = day.weekday() >= _SATURDAY
        number, name = self._standing_in
        if number == turn.number and name in there:
            there = [name]
        chosen = min(
            there,
            key=lambda each: (
                self._stood_in_at_weekends[each] if is_weekend else 0,
                self._stood_in[each],
                _distance(members, turn.primary, each),
            ),
        )
        self._standing_in = (turn.number, chosen)
        self._stood_in[chosen] += 1
        self._stood_in_at_weekends[chosen] += is_weekend
        return chosen

    def _for_holiday(self, there: Sequence[str], holder: str, members: Sequence[str], day: date) -> str:
        """The holder, if it is no holiday or the holder has worked no more of them this year than another."""
        worked = self._holidays.in_year
        if not self.holiday(holder, day) or worked[holder] <= min(worked[each] for each in there):
            return holder
        return min(
            (each for each in there if each != holder),
            key=lambda each: (
                worked[each] + (self.holiday(each, day) is not None),
                self._holidays.ever[each],
                self._stood_in[each],
                _distance(members, holder, each),
            ),
        )

    def _second(self, there: Sequence[str], turn: Turn, primary: str, members: Sequence[str]) -> str:
        """The secondary of a day on which the turn's is away or is primary: the turn's primary, if there."""
        others = [each for each in there if each != primary]
        if turn.primary in others:
            return turn.primary
        return min(others, key=lambda each: (self._secondaries.ever[each], _distance(members, primary, each)))

    def _swapped(self, shift: Shift) -> Shift:
        for swap in self._swaps:
            if swap.first <= shift.day <= swap.last and shift.primary == swap.gives:
                shift = self._kept(swap, shift)
        return shift

    def _kept(self, swap: Swap, shift: Shift) -> Shift:
        if swap.takes not in self.members_on(shift.day, shift.day) or self.is_away(swap.takes, shift.day):
            self.lapsed.append(f"{self.name}: {swap.takes} is not there on {shift.day}; {swap.gives} keeps the day")
            return shift
        return Shift(
            day=shift.day,
            begins=shift.begins,
            ends=shift.ends,
            primary=swap.takes,
            secondary=swap.gives if shift.secondary == swap.takes else shift.secondary,
            turn=shift.turn,
            turn_of=swap.takes if shift.turn_of == swap.gives else shift.turn_of,
            why=(*shift.why, f"{swap.takes} took it from {swap.gives}"),
        )


def on_duty(oncall: OnCall, group: str, at: datetime) -> Duty:
    """Who is on duty in `group` at `at` (aware). Raises RotaError if nobody can be."""
    return Rota(oncall, group).on_duty(at)


def duties(shifts: Sequence[Shift], group: str) -> Iterator[Duty]:
    """`shifts`, those with the same two persons and without a gap joined to one duty."""
    begin = 0
    for number, shift in enumerate(shifts):
        if number + 1 == len(shifts) or _pair(shifts[number + 1]) != _pair(shift):
            yield Duty(group, shift.primary, shift.secondary, shifts[begin].begins, shift.ends)
            begin = number + 1


@dataclass(frozen=True)
class Share:
    """What one engineer has of a group's duty in a span of days."""

    engineer: str
    turns: int
    """Turns of which most days were this engineer's."""
    weeks: int
    weekends: float
    """As primary; half a weekend is one day of it."""
    holidays: int
    """Public holidays of the engineer's country, Monday to Friday, as primary."""
    days: int
    """As primary, for whatever reason."""
    secondary_days: int
    leave_days: int
    whole_span: bool
    """Whether the engineer is a member for all of the span; the bound is for those only."""


@dataclass(frozen=True)
class Fairness:
    """The shares of a group's members, and what is beyond the bound, as sentences."""

    group: str
    first: date
    last: date
    shares: tuple[Share, ...]
    faults: tuple[str, ...]


def fairness(rota: Rota, first: date, last: date) -> Fairness:
    """The shares of the days `first` to `last`, swaps included, and where they differ by more than the bound.

    Weeks and weekends may differ by `bound` turns, public holidays by `bound`. Raises NobodyLeft.
    """
    first = max(first, rota.group.start)
    shifts = rota.shifts(first, last)
    of_turn: dict[int, list[str]] = {}
    for shift in shifts:
        of_turn.setdefault(shift.turn, []).append(shift.turn_of)
    holders = {turn.number: turn.primary for turn in rota.turns(first, last) if first <= turn.first <= last}
    turns = Counter(_who_most(of_turn[number], holder) for number, holder in holders.items())
    weekend_days = Counter(shift.turn_of for shift in shifts if shift.day.weekday() >= _SATURDAY)
    worked = Counter(shift.primary for shift in shifts if rota.holiday(shift.primary, shift.day))
    members = [each.engineer for each in rota.group.members if any(each.is_in(s.day, s.day) for s in shifts)]
    whole = rota.members_on(first, last)
    shares = tuple(
        Share(
            engineer=each,
            turns=turns[each],
            weeks=turns[each] * rota.group.weeks,
            weekends=weekend_days[each] / 2,
            holidays=worked[each],
            days=sum(shift.primary == each for shift in shifts),
            secondary_days=sum(shift.secondary == each for shift in shifts),
            leave_days=sum(rota.is_away(each, shift.day) for shift in shifts),
            whole_span=each in whole,
        )
        for each in members
    )
    return Fairness(rota.name, first, last, shares, tuple(_beyond(rota, shares, first, last)))


def _beyond(rota: Rota, shares: Sequence[Share], first: date, last: date) -> Iterator[str]:
    judged = [share for share in shares if share.whole_span]
    bound = rota.group.bound
    measures: list[tuple[str, Callable[[Share], float], int]] = [
        ("weeks", lambda share: share.weeks, bound * rota.group.weeks),
        ("weekends", lambda share: share.weekends, bound * rota.group.weeks),
        ("public holidays", lambda share: share.holidays, bound),
    ]
    for name, measured, most in measures if judged else ():
        few, many = min(judged, key=measured), max(judged, key=measured)
        spread = measured(many) - measured(few)
        if spread > most:
            away = [
                f"{share.engineer} was on leave for {share.leave_days} days" for share in judged if share.leave_days
            ]
            swaps = sum(
                swap.last >= first and swap.first <= last for swap in rota.oncall.swaps if swap.group == rota.name
            )
            causes = [*away, *([f"{swaps} swaps"] if swaps else [])]
            because = f" ({'; '.join(causes)})" if causes else ""
            yield (
                f"{rota.name}: {name} differ by {spread:g}, more than {most}: {few.engineer} {measured(few):g}, "
                f"{many.engineer} {measured(many):g}{because}; swap a turn, or raise `bound` of the group for the time"
            )


def _span(leave: Leave, engineer: Engineer) -> tuple[datetime, datetime]:
    """From the first midnight of a leave to the one after its last day, where the engineer is; in UTC."""
    zone = ZoneInfo(engineer.time_zone)
    begins = datetime.combine(leave.first, time(), tzinfo=zone)
    ends = datetime.combine(leave.last + _ONE_DAY, time(), tzinfo=zone)
    return begins.astimezone(UTC), ends.astimezone(UTC)


def _pair(shift: Shift) -> tuple[str, str]:
    return shift.primary, shift.secondary


def _distance(members: Sequence[str], origin: str, each: str) -> int:
    """How many places after `origin` a member stands in the list, round and round."""
    return (members.index(each) - members.index(origin)) % len(members)


def _who_most(names: Sequence[str], holder: str) -> str:
    """The name that stands there most often, `holder` if as often as another."""
    counts = Counter(names)
    return max(counts, key=lambda each: (counts[each], each == holder))
