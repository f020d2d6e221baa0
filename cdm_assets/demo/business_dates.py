"""The business dates the demo covers. Real events run from 2017-01-01 to the small hours of 2018-01-01 (UTC)."""

from collections.abc import Iterator
from datetime import date, timedelta

FIRST_DATE = date(2017, 1, 1)
LAST_DATE = date(2018, 1, 1)
ONE_DAY = timedelta(days=1)


def dates_between(first: date, last: date) -> Iterator[date]:
    """Every date from `first` to `last`, both included, in order."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)
