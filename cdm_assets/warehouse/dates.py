"""A contiguous range of business dates, the unit in which everything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

ONE_DAY: Final = timedelta(days=1)
NEVER: Final = date(9999, 12, 31)
"""Beyond all business dates."""


@dataclass(frozen=True, order=True)
class DateRange:
    """Business dates from `first` to `last`, both inclusive."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"a range of dates cannot end ({self.last}) before it starts ({self.first})")

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range(len(self)))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day <= self.last

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"


def from_on(day: date) -> DateRange:
    """`day` and every date after it."""
    return DateRange(day, NEVER)


def ranges_of(days: Iterable[date]) -> list[DateRange]:
    """The fewest ranges that cover exactly `days`, in order."""
    ranges: list[DateRange] = []
    for day in sorted(set(days)):
        if ranges and ranges[-1].last + ONE_DAY == day:
            ranges[-1] = DateRange(ranges[-1].first, day)
        else:
            ranges.append(DateRange(day, day))
    return ranges


def listed(days: Iterable[date], *, most: int = 10) -> str:
    """Dates in words: as ranges, the first `most` of them."""
    ranges = ranges_of(days)
    more = f" and {len(ranges) - most} more" if len(ranges) > most else ""
    return ", ".join(map(str, ranges[:most])) + more
