"""Ranges of business dates."""

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdm_assets.warehouse.dates import DateRange, ranges_of


def test_a_range_holds_both_its_ends() -> None:
    dates = DateRange(date(2024, 2, 28), date(2024, 3, 1))
    assert list(dates) == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert len(dates) == 3
    assert date(2024, 3, 1) in dates
    assert date(2024, 3, 2) not in dates
    assert "2024-03-01" not in dates
    assert str(dates) == "2024-02-28..2024-03-01"
    assert str(DateRange(dates.first, dates.first)) == "2024-02-28"


def test_a_range_cannot_end_before_it_starts() -> None:
    with pytest.raises(ValueError, match=r"cannot end \(2024-01-01\) before it starts \(2024-01-02\)"):
        DateRange(date(2024, 1, 2), date(2024, 1, 1))


@given(st.lists(st.dates(date(2024, 1, 1), date(2024, 2, 1))))
def test_ranges_cover_exactly_the_given_days_and_never_touch(days: list[date]) -> None:
    ranges = ranges_of(days)
    assert [day for dates in ranges for day in dates] == sorted(set(days))
    assert all((later.first - earlier.last).days > 1 for earlier, later in pairwise(ranges))
