"""The demo's response model on made-up published histories."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from cdm_assets.demo.response_model import COLUMNS, NotEnoughHistory, dates_needed, scores_as_of

FIRST = date(2017, 1, 1)
AT = FIRST + timedelta(days=60)


def history(days: list[date], *, customers: int = 200, answering: bool = True, seed: int = 1) -> pd.DataFrame:
    """Every third customer redeems a coupon each week, in reward of many purchases; the others never do."""
    chance = random.Random(seed)
    rows = []
    for customer in range(customers):
        is_loyal = customer % 3 == 0
        spends = chance.uniform(200, 300) if is_loyal else chance.uniform(0, 100)
        for day in days:
            row = dict.fromkeys(COLUMNS, Decimal(1)) | {"business_date": day, "customer_id": f"{customer:03}"}
            row |= {"sales_amount_30d": Decimal(f"{spends:.2f}"), "age_band": "25-34", "income_band": None}
            row |= {"favourite_department": "GROCERY", "days_since_last_purchase": 1 if is_loyal else None}
            row["redemptions_lifetime"] = (day - FIRST).days // 7 if is_loyal and answering else 0
            rows.append(row)
    return pd.DataFrame(rows)[list(COLUMNS)]


def test_every_published_customer_is_scored_and_those_who_answer_highest() -> None:
    scores = scores_as_of(history(dates_needed(AT, FIRST)), AT)
    assert scores.business_date == AT
    assert len(scores.scores) == 200
    assert all(0 <= each.score <= 1 and each.score.as_tuple().exponent == -6 for each in scores.scores)
    loyal = [each.score for n, each in enumerate(scores.scores) if n % 3 == 0]
    others = [each.score for n, each in enumerate(scores.scores) if n % 3]
    assert min(loyal) > max(others)
    assert {each.label for n, each in enumerate(scores.scores) if n % 3 == 0} == {"likely"}
    assert scores.responses * 3 == pytest.approx(scores.examples, rel=0.02)


def test_the_same_history_in_another_order_gives_the_same_scores() -> None:
    rows = history(dates_needed(AT, FIRST))
    assert scores_as_of(rows.sample(frac=1, random_state=3), AT) == scores_as_of(rows, AT)


def test_nothing_after_the_date_is_looked_at() -> None:
    rows = history(dates_needed(AT, FIRST))
    later = history([AT + timedelta(days=n) for n in range(1, 20)], seed=2)
    assert scores_as_of(pd.concat([rows, later]), AT) == scores_as_of(rows, AT)


def test_the_dates_needed_end_with_the_date_itself_and_begin_no_earlier_than_the_first() -> None:
    days = dates_needed(AT, FIRST)
    assert (days[0], days[-1]) == (FIRST + timedelta(days=4), AT)
    assert len(dates_needed(date(2019, 1, 1), FIRST)) == 26 + 1 + 1, "half a year of weeks, and the days after them"


@pytest.mark.parametrize(
    ("at", "answering", "message"),
    [
        (FIRST + timedelta(days=10), True, "the published history begins on 2017-01-01, less than 14 days before"),
        (AT, False, "0 responses among 1,400 examples before 2017-03-02 are too few to learn from; score a later"),
    ],
)
def test_too_little_history_is_said(at: date, answering: bool, message: str) -> None:
    with pytest.raises(NotEnoughHistory, match=message):
        scores_as_of(history(dates_needed(at, FIRST), answering=answering), at)


def test_a_date_that_is_not_published_is_said() -> None:
    rows = history([FIRST + timedelta(days=n) for n in range(20)])
    with pytest.raises(NotEnoughHistory, match=f"customer_360 is not published for {AT}"):
        scores_as_of(rows, AT)
