"""The weeks and months of every date of the calendar, against Python's own calendar."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.marts import periods as p
from cdm_assets.loading.marts.periods import PeriodKind
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import CALENDAR_FIRST, CALENDAR_LAST, create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.functions import weekday
from cdm_assets.warehouse.tables import Tables


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    with Warehouse.open_duckdb(None, Tables(read_catalog())) as warehouse:
        create_missing(warehouse)
        yield warehouse


def year_before(day: date) -> date:
    return day.replace(year=day.year - 1, day=28) if (day.month, day.day) == (2, 29) else day.replace(year=day.year - 1)


def test_date_arithmetic_agrees_with_python_on_every_date(warehouse: Warehouse) -> None:
    day = warehouse.tables["cdp_metadata.calendar"].c.business_date
    columns = (weekday(day), p.week_start(day), p.month_start(day), p.next_month_start(day), p.days_in_month(day))
    with warehouse.connection() as connection:
        rows = connection.execute(sa.select(day, *columns, p.year_before(day)).order_by(day)).tuples().all()
    assert len(rows) == (CALENDAR_LAST - CALENDAR_FIRST).days + 1
    for when, *found in rows:
        length = calendar.monthrange(when.year, when.month)[1]
        first = when.replace(day=1)
        week = when - timedelta(days=when.weekday())
        assert found == [when.weekday(), week, first, first + timedelta(days=length), length, year_before(when)], when


@pytest.mark.parametrize(
    ("kind", "day", "expected"),
    [
        (PeriodKind.DAY, date(2024, 3, 5), (date(2024, 3, 5), date(2024, 3, 5), True, 1)),
        (PeriodKind.WEEK, date(2024, 3, 5), (date(2024, 3, 4), date(2024, 3, 5), False, 2)),
        (PeriodKind.WEEK, date(2024, 3, 10), (date(2024, 3, 4), date(2024, 3, 10), True, 7)),
        (PeriodKind.MONTH, date(2024, 2, 28), (date(2024, 2, 1), date(2024, 2, 28), False, 28)),
        (PeriodKind.MONTH, date(2024, 2, 29), (date(2024, 2, 1), date(2024, 2, 29), True, 29)),
        (PeriodKind.CLOSED_MONTH, date(2024, 3, 1), (date(2024, 2, 1), date(2024, 2, 29), True, 29)),
        (PeriodKind.CLOSED_MONTH, date(2024, 1, 31), (date(2023, 12, 1), date(2023, 12, 31), True, 31)),
    ],
)
def test_the_period_of_a_date(warehouse: Warehouse, kind: PeriodKind, day: date, expected: tuple[Any, ...]) -> None:
    of_day = p.periods(warehouse.tables, DateRange(day, day), (kind,))
    query = sa.select(of_day.c.period_kind, *(of_day.c[n] for n in ("period_start", "until", "is_complete", "days")))
    with warehouse.connection() as connection:
        assert [tuple(row) for row in connection.execute(query)] == [(kind.value, *expected)]
