"""`click.jsonl.gz`: the clicks of households in the web shop and the app, as JSON lines. All of it generated.

A click is delivered on the date it reaches the collector: most at once, 3 in 100 within 48 hours, now and then a bundle
from a device that was offline for days. 1 in 100 is delivered twice. One household clicks far more than all others.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdm_assets.demo.business_dates import FIRST_DATE, dates_between
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.experiments import Assignment
from cdm_assets.demo.extract import ExtractFile, Layout, json_lines_file
from cdm_assets.demo.seeds import generator

CLICK = Layout(
    file_name="click.jsonl.gz",
    delivery="events, daily",
    columns=("event_id", "customer_id", "clicked_at", "page"),
    generated=("event_id", "customer_id", "clicked_at", "page"),
    note="The households are real, their clicks are invented. With late clicks (by up to 48 hours; bundles from "
    "offline devices by 3 to 6 days), identical duplicates, and one household that clicks far more than all others.",
)

_CLICKS_A_DAY = 6_300
_WEEKDAY_FACTORS = (0.95, 0.92, 0.94, 0.98, 1.04, 1.12, 1.05)
_PAGES = {
    "home": 0.22,
    "search": 0.18,
    "product": 0.30,
    "offers": 0.12,
    "recipes": 0.05,
    "basket": 0.09,
    "account": 0.04,
}
_HEAVY_SHARE, _HEAVIEST_SHARE, _HEAVIEST_DAY_RATE = 0.03, 0.30, 0.01
_LATE_RATE, _LATE_HOURS = 0.03, 48
_OFFLINE_DAY_RATE, _OFFLINE_CLICKS, _OFFLINE_DAYS = 0.06, (40, 160), (3, 6)
_DUPLICATE_RATE = 0.01
_DUPLICATED_NEXT_DAY_RATE = 0.3
_LONGEST_DELAY = timedelta(days=_OFFLINE_DAYS[1])
_SECONDS_A_DAY = 86_400
_Numbers = NDArray[Any]


@dataclass(frozen=True)
class _DayOfClicks:
    """The lines of the clicks made on one date, and after how many days each is delivered, and once more (or -1)."""

    lines: list[str]
    delay_days: _Numbers
    repeat_days: _Numbers

    def delivered_after(self, days: int) -> list[str]:
        """The lines delivered that many days after the click, duplicates beside their original."""
        times = (self.delay_days == days).astype(int) + (self.repeat_days == days)
        return [self.lines[position] for position in np.repeat(np.arange(len(times)), times).tolist()]


class Clicks:
    """The clicks, by the day they are delivered; keeps those of the last dates, which may still be delivered."""

    def __init__(self, journey: CompleteJourney, assignments: Iterable[Assignment]) -> None:
        rows = journey.rows(
            "select distinct household_id from read_parquet($path) order by household_id", table="transactions"
        )
        self._households = np.array([row[0] for row in rows])
        self._position = {int(household): position for position, household in enumerate(self._households)}
        rng = generator("click", "households")
        self._activity = rng.lognormal(0.0, 1.0, size=len(self._households))
        self._heaviest = int(rng.integers(len(self._households)))
        self._treated = [each for each in assignments if each.arm == "treatment" and each.experiment.click_factor != 1]
        self._days: dict[date, _DayOfClicks] = {}

    def file_on(self, day: date) -> ExtractFile:
        """The clicks delivered on `day`, the late ones of earlier dates first."""
        first = max(FIRST_DATE, day - _LONGEST_DELAY)
        self._days = {
            made_on: self._days.get(made_on) or self._clicks_of(made_on) for made_on in dates_between(first, day)
        }
        lines = [
            line for made_on, clicks in self._days.items() for line in clicks.delivered_after((day - made_on).days)
        ]
        return json_lines_file(CLICK, lines)

    def _clicks_of(self, day: date) -> _DayOfClicks:
        rng = generator("click", day)
        count = int(rng.poisson(_CLICKS_A_DAY * _WEEKDAY_FACTORS[day.weekday()]))
        shares = self._shares(rng, day)
        households = self._households[np.searchsorted(np.cumsum(shares), rng.random(count) * shares.sum())]
        seconds = np.sort(_seconds_of_day(rng, count))
        pages = rng.choice(list(_PAGES), size=count, p=list(_PAGES.values()))
        moments = np.datetime_as_string(np.datetime64(day, "s") + seconds.astype("timedelta64[s]"))
        number = f"{day:%Y%m%d}"
        lines = [
            f'{{"event_id":"{number}-{n:05d}","customer_id":"{household}","clicked_at":"{moment}","page":"{page}"}}'
            for n, (household, moment, page) in enumerate(
                zip(households.tolist(), moments.tolist(), pages.tolist(), strict=True), start=1
            )
        ]
        delay_days = _delays(rng, seconds)
        is_repeated = rng.random(count) < _DUPLICATE_RATE
        next_day = (rng.random(count) < _DUPLICATED_NEXT_DAY_RATE) & (delay_days == 0)
        return _DayOfClicks(lines, delay_days, np.where(is_repeated, delay_days + next_day, -1))

    def _shares(self, rng: np.random.Generator, day: date) -> _Numbers:
        """How much of the day's clicks each household makes, not normalized."""
        shares = self._activity.copy()
        for each in self._treated:
            if each.assigned_on <= day <= each.experiment.ends_on:
                shares[self._position[each.customer_id]] *= each.experiment.click_factor
        heavy = _HEAVIEST_SHARE if rng.random() < _HEAVIEST_DAY_RATE else _HEAVY_SHARE
        shares[self._heaviest] = 0.0
        shares[self._heaviest] = shares.sum() * heavy / (1 - heavy)
        return shares


def _seconds_of_day(rng: np.random.Generator, count: int) -> _Numbers:
    """Most clicks around noon and in the evening, few at night."""
    hours = np.where(rng.random(count) < 0.4, rng.normal(12.5, 2.5, count), rng.normal(19.0, 2.5, count))
    return (hours % 24 * 3600).astype(int)


def _delays(rng: np.random.Generator, seconds: _Numbers) -> _Numbers:
    """Whole days from the date of each click to the date it is delivered."""
    count = len(seconds)
    hours = np.where(rng.random(count) < _LATE_RATE, rng.random(count) * _LATE_HOURS, 0)
    delays: _Numbers = (seconds + (hours * 3600).astype(int)) // _SECONDS_A_DAY
    if rng.random() < _OFFLINE_DAY_RATE:
        size, days = (int(rng.integers(*bounds, endpoint=True)) for bounds in (_OFFLINE_CLICKS, _OFFLINE_DAYS))
        delays[rng.choice(count, size=min(size, count), replace=False)] = days
    return delays
