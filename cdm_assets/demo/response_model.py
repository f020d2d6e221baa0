"""A small response model, as a data scientist would write one beside the platform.

It reads what is published and returns scores.
It learns from the history of `customer_360` alone: what a household looked like on past dates, and whether it redeemed
a coupon in the days that followed. Nothing that happened after the date for which it scores is looked at. The same
history gives the same scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import numpy as np
import pandas as pd

HORIZON_DAYS: Final = 14
"""A household responds if it redeems a coupon within so many days."""
_STEP_DAYS: Final = 7
_MOST_DATES: Final = 26
"""Half a year of weeks: older behaviour says little, and the model stays small."""
_FEWEST_RESPONSES: Final = 5
_ANSWERED: Final = "redemptions_lifetime"
_NUMBERS: Final = (
    "sales_amount_30d",
    "sales_amount_90d",
    "baskets_30d",
    "baskets_90d",
    "discount_amount_90d",
    "days_since_last_purchase",
    "contacts_lifetime",
    "contacts_30d",
    "responses_lifetime",
    "redemptions_lifetime",
)
_CLASSES: Final = ("age_band", "income_band", "favourite_department")
COLUMNS: Final = ("business_date", "customer_id", *_NUMBERS, *_CLASSES)
"""The columns of `customer_360` that the model reads."""


class NotEnoughHistory(Exception):
    """There is too little in the published history to learn from."""


@dataclass(frozen=True)
class Score:
    """How likely one household is to respond."""

    customer_id: str
    score: Decimal
    label: str


@dataclass(frozen=True)
class Scores:
    """The scores of all households as of a date, and what the model learned them from."""

    business_date: date
    scores: Sequence[Score]
    examples: int
    responses: int


def dates_needed(at: date, first: date, horizon_days: int = HORIZON_DAYS) -> list[date]:
    """The dates of `customer_360` to read so as to score `at`: past dates, as many days later, and `at` itself.

    Raises NotEnoughHistory if `first`, the first published date, is less than `horizon_days` before `at`.
    """
    learned = _dates_learned_from(at, first, horizon_days)
    later = (day + timedelta(days=horizon_days) for day in learned)
    return sorted({*learned, *later, at})


def scores_as_of(history: pd.DataFrame, at: date, horizon_days: int = HORIZON_DAYS) -> Scores:
    """Learn from `history` (`COLUMNS` of the dates that `dates_needed` names) and score every household of `at`.

    Raises NotEnoughHistory.
    """
    history = history.assign(business_date=pd.to_datetime(history["business_date"]).dt.date)
    known = history[history["business_date"] <= at]
    now = known[known["business_date"] == at].sort_values("customer_id")
    if now.empty:
        raise NotEnoughHistory(f"customer_360 is not published for {at}; load that date first, with `cdm run`")
    examples = _examples(known, _dates_learned_from(at, min(known["business_date"]), horizon_days), horizon_days)
    answered = int(examples["answered"].sum())
    if answered < _FEWEST_RESPONSES or answered == len(examples):
        raise NotEnoughHistory(
            f"{answered} responses among {len(examples):,} examples before {at} are too few to learn from; "
            f"score a later date, once at least {_FEWEST_RESPONSES} households have redeemed a coupon"
        )
    likely = _probabilities(examples, now)
    usual = answered / len(examples)
    scores = [
        Score(str(customer), Decimal(f"{probability:.6f}"), "likely" if probability >= usual else "unlikely")
        for customer, probability in zip(now["customer_id"], likely, strict=True)
    ]
    return Scores(at, scores, len(examples), answered)


def _dates_learned_from(at: date, first: date, horizon_days: int) -> list[date]:
    """Weekly dates whose following `horizon_days` are over by `at`, the latest first."""
    latest = at - timedelta(days=horizon_days)
    if latest < first:
        raise NotEnoughHistory(
            f"the published history begins on {first}, less than {horizon_days} days before {at}; score a later date"
        )
    weeks = min((latest - first).days // _STEP_DAYS + 1, _MOST_DATES)
    return [latest - timedelta(days=_STEP_DAYS * week) for week in range(weeks)]


def _examples(known: pd.DataFrame, learned: Sequence[date], horizon_days: int) -> pd.DataFrame:
    """Households on past dates, with `answered`: whether they redeemed a coupon in the days that followed."""
    then = known[known["business_date"].isin(learned)].assign(
        following=lambda rows: rows["business_date"] + timedelta(days=horizon_days)
    )
    after = known[["business_date", "customer_id", _ANSWERED]].rename(
        columns={"business_date": "following", _ANSWERED: "redemptions_after"}
    )
    examples = then.merge(after, on=["following", "customer_id"])
    examples["answered"] = examples["redemptions_after"] > examples[_ANSWERED]
    return examples.sort_values(["business_date", "customer_id"], ignore_index=True)


def _probabilities(examples: pd.DataFrame, now: pd.DataFrame) -> np.ndarray:
    # Imported here: a command that does not score need not have the package, nor wait for it.
    from sklearn.compose import make_column_transformer  # noqa: PLC0415
    from sklearn.impute import SimpleImputer  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler  # noqa: PLC0415

    numbers = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        FunctionTransformer(_compressed),
        StandardScaler(),
    )
    model = make_pipeline(
        make_column_transformer(
            (numbers, list(_NUMBERS)), (OneHotEncoder(handle_unknown="ignore"), list(_CLASSES)), remainder="drop"
        ),
        LogisticRegression(C=0.3, max_iter=1000),
    )
    model.fit(_features(examples), examples["answered"].to_numpy())
    return np.asarray(model.predict_proba(_features(now))[:, 1])


def _compressed(values: np.ndarray) -> np.ndarray:
    """Amounts and counts are skewed; their logarithms less so. Returned goods make sums that are below zero."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


def _features(rows: pd.DataFrame) -> pd.DataFrame:
    numbers = rows[list(_NUMBERS)].astype(float)
    return numbers.join(rows[list(_CLASSES)].fillna("none").astype(str))
