"""What models predict: the predictions of a date, the primary model's scores as of it, how scores are distributed.

A prediction is valid whose customer was known on the date it is for. That does not change with a later date, so the
latest prediction of a customer decides: if it is not valid, no earlier one is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from cdm_assets.catalog.models import PredictionModel
from cdm_assets.loading.marts.measures import rate, total
from cdm_assets.loading.stamp import in_range
from cdm_assets.warehouse.dates import ONE_DAY, DateRange
from cdm_assets.warehouse.functions import days_after, days_between
from cdm_assets.warehouse.tables import Tables

DRIFT_BINS: Final = 10
_DECILES: Final = 10
_COUNT: Final = sa.BigInteger()
_SCORE: Final = sa.Numeric(18, 6)
_SHARE: Final = sa.Numeric(9, 6)
_TERM: Final = sa.Numeric(18, 10)
"""Terms of the index are rounded before they are summed, so that the sum does not depend on their order."""


def prediction_day(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """The predictions for each date, one row a model and customer known on that date."""
    scored = _valid(tables, dates)
    columns = (scored.c[name] for name in ("customer_id", "model_version", "score", "label", "scored_at"))
    model_name = _of_model(tables, scored.c.model_key, lambda name, _: name, sa.String(50))
    return sa.select(scored.c.business_date, model_name.label("model_name"), *columns).where(
        scored.c.score_date == scored.c.business_date
    )


def customer_score(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """The latest valid score of the primary model as of each date; decile 1 has the highest scores."""
    scored = _valid(tables, dates)
    primary = tables.catalog.primary_model or ""
    decile = sa.func.ntile(sa.literal_column(str(_DECILES))).over(
        partition_by=scored.c.business_date, order_by=(scored.c.score.desc(), scored.c.customer_id)
    )
    return sa.select(
        scored.c.business_date,
        scored.c.customer_id,
        scored.c.score,
        sa.cast(decile, _COUNT).label("score_decile"),
        scored.c.label.label("score_label"),
        sa.literal(primary, sa.String(50)).label("score_model"),
        scored.c.model_version.label("score_model_version"),
        scored.c.score_date,
        sa.cast(days_between(scored.c.score_date, scored.c.business_date), _COUNT).label("score_age_days"),
    ).where(scored.c.model_key == primary.upper())


def score_day(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Each model's scores as of each date: how many customers have one, how old, and how far their distribution moved.

    The drift is the population stability index of the date's predictions against the scores as of the date before,
    sum((p - q) ln(p / q)) over ten bins of equal width, with half a score added to each bin so that none is empty.

    Source: Siddiqi, Credit Risk Scorecards (2006), ch. 9; thresholds 0.1 and 0.25.
    """
    counted = _counted(tables, dates)
    customer = tables["itf.customer"]
    known = (
        sa.select(customer.c.business_date, sa.func.count().label("customers"))
        .where(in_range(customer.c.business_date, dates))
        .group_by(customer.c.business_date)
        .subquery("known")
    )
    scored, key = counted.c.customers_scored, counted.c.model_key
    return (
        sa.select(
            counted.c.business_date,
            _of_model(tables, key, lambda name, _: name, sa.String(50)).label("model_name"),
            sa.cast(known.c.customers, _COUNT).label("customers"),
            scored,
            rate(scored, known.c.customers, _SHARE).label("share_scored"),
            _of_model(tables, key, lambda _, model: model.least_share_scored, _SHARE).label("least_share_scored"),
            counted.c.predictions,
            rate(counted.c.score_sum, counted.c.predictions, _SCORE).label("mean_score"),
            _stability_index(counted).label("drift"),
            _of_model(tables, key, lambda _, model: model.most_drift, _SHARE).label("most_drift"),
            counted.c.stale_scores,
            _of_model(tables, key, lambda _, model: model.max_age_days, _COUNT).label("max_age_days"),
        )
        .select_from(counted.join(known, known.c.business_date == counted.c.business_date))
        .where(scored > 0)
    )


def _valid(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The latest predictions as of each date of customers who were known on the date they are for."""
    prediction, customer = tables["itf.prediction"], tables["itf.customer"]
    same_row = sa.and_(
        customer.c.business_date == prediction.c.business_date,
        customer.c.customer_id == prediction.c.customer_id,
        customer.c.first_seen_date <= prediction.c.score_date,
    )
    columns = ("customer_id", "model_version", "score", "label", "score_date", "scored_at")
    return (
        sa.select(
            prediction.c.business_date,
            prediction.c.model_name.label("model_key"),
            *(prediction.c[name] for name in columns),
        )
        .join_from(prediction, customer, same_row)
        .where(in_range(prediction.c.business_date, dates), prediction.c.model_name.in_(_model_keys(tables)))
        .subquery("valid")
    )


def _counted(tables: Tables, dates: DateRange) -> sa.Subquery:
    """Per date and model: the scores as of it, its predictions, and how many fall into each bin, now and before."""
    prediction, customer = tables["itf.prediction"], tables["itf.customer"]
    now = _valid(tables, dates)
    is_new = now.c.score_date == now.c.business_date
    age = days_between(now.c.score_date, now.c.business_date)
    too_old = age > _of_model(tables, now.c.model_key, lambda _, model: model.max_age_days, _COUNT)
    before_dates = DateRange(dates.first - ONE_DAY, dates.last - ONE_DAY)
    following = days_after(prediction.c.business_date, sa.literal_column("1"))
    was_known = sa.and_(
        customer.c.business_date == following,
        customer.c.customer_id == prediction.c.customer_id,
        customer.c.first_seen_date <= prediction.c.score_date,
    )
    parts = sa.union_all(
        sa.select(
            now.c.business_date,
            now.c.model_key,
            now.c.score,
            sa.literal_column("1", _COUNT).label("is_scored"),
            _one_where(is_new).label("is_new"),
            _one_where(too_old).label("is_stale"),
        ),
        sa.select(
            following.label("business_date"),
            prediction.c.model_name.label("model_key"),
            prediction.c.score,
            *(sa.literal_column("0", _COUNT).label(name) for name in ("is_scored", "is_new", "is_stale")),
        )
        .join_from(prediction, customer, was_known)
        .where(in_range(prediction.c.business_date, before_dates), prediction.c.model_name.in_(_model_keys(tables))),
    ).subquery("parts")
    binned = sa.select(*parts.c, _bin(tables, parts).label("bin")).subquery("binned")
    bins = []
    for number in range(DRIFT_BINS):
        bins.append(_sum_where(sa.and_(binned.c.bin == number, binned.c.is_new == 1)).label(f"new_{number}"))
        bins.append(_sum_where(sa.and_(binned.c.bin == number, binned.c.is_scored == 0)).label(f"old_{number}"))
    return (
        sa.select(
            binned.c.business_date,
            binned.c.model_key,
            total(binned.c.is_scored, _COUNT).label("customers_scored"),
            total(binned.c.is_new, _COUNT).label("predictions"),
            total(binned.c.is_stale, _COUNT).label("stale_scores"),
            total(sa.case((binned.c.is_new == 1, binned.c.score), else_=0), _SCORE).label("score_sum"),
            _sum_where(binned.c.is_scored == 0).label("scores_before"),
            *bins,
        )
        .group_by(binned.c.business_date, binned.c.model_key)
        .subquery("counted")
    )


def _bin(tables: Tables, parts: sa.Subquery) -> ColumnElement[Any]:
    """The bin of a score within its model's range, from 0; compared with each edge, for quotients are not exact."""
    conditions = []
    for name, model in tables.catalog.models.items():
        width = (model.max_score - model.min_score) / DRIFT_BINS
        for number in range(DRIFT_BINS):
            is_model, is_last = parts.c.model_key == name.upper(), number == DRIFT_BINS - 1
            edge = sa.literal(model.min_score + (number + 1) * width, _SCORE)
            is_below = sa.true() if is_last else parts.c.score < edge
            conditions.append((sa.and_(is_model, is_below), sa.literal_column(str(number), _COUNT)))
    return sa.case(*conditions) if conditions else sa.literal_column("0", _COUNT)


def _stability_index(counted: sa.Subquery) -> ColumnElement[Any]:
    """NULL on a date without predictions, or where no score was known the date before."""
    half, bins = Decimal("0.5"), Decimal(DRIFT_BINS) / 2
    terms: ColumnElement[Any] = sa.literal_column("0", _TERM)
    for number in range(DRIFT_BINS):
        new = sa.cast(counted.c[f"new_{number}"] + half, sa.Float()) / (counted.c.predictions + bins)
        old = sa.cast(counted.c[f"old_{number}"] + half, sa.Float()) / (counted.c.scores_before + bins)
        terms = terms + sa.cast((new - old) * _natural_log(new / old), _TERM)
    is_known = sa.and_(counted.c.predictions > 0, counted.c.scores_before > 0)
    return sa.cast(sa.case((is_known, terms)), _SHARE)


def _of_model(
    tables: Tables, key: ColumnElement[Any], given: Callable[[str, PredictionModel], Any], type_: Any
) -> ColumnElement[Any]:
    """What the catalog says of the model whose key, its name in upper case, is in a column."""
    models: Mapping[str, PredictionModel] = tables.catalog.models
    cases = [(key == name.upper(), sa.literal(given(name, model), type_)) for name, model in models.items()]
    return sa.cast(sa.case(*cases) if cases else sa.null(), type_)


def _model_keys(tables: Tables) -> list[str]:
    """The models' names as hub keys have them."""
    return [name.upper() for name in tables.catalog.models]


def _one_where(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return sa.case((condition, sa.literal_column("1", _COUNT)), else_=sa.literal_column("0", _COUNT))


def _sum_where(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return total(_one_where(condition), _COUNT)


class _natural_log(FunctionElement[Any]):  # noqa: N801 - spelled like a SQL function
    """The natural logarithm."""

    type = sa.Float()
    inherit_cache = True


@compiles(_natural_log)
def _natural_log_any(element: _natural_log, compiler: Any, **kw: Any) -> str:
    return f"ln({compiler.process(element.clauses, **kw)})"


@compiles(_natural_log, "mssql")
def _natural_log_mssql(element: _natural_log, compiler: Any, **kw: Any) -> str:
    return f"log({compiler.process(element.clauses, **kw)})"
