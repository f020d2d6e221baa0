"""The select behind each mart of the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.loading.marts import (
    campaign,
    customer,
    engagement,
    experiments,
    flowchart,
    growth,
    investors,
    profit,
    scores,
)
from cdm_assets.loading.marts.computed import RowsOfRows
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.tables import Tables

MartSelect = Callable[[Tables, DateRange], sa.Select[Any]]

MARTS: Final[Mapping[str, MartSelect]] = {
    "customer_day": customer.customer_day,
    "customer_department_day": customer.customer_department_day,
    "campaign_day": campaign.campaign_day,
    "campaign_customer_day": campaign.campaign_customer_day,
    "flowchart_day": flowchart.flowchart_day,
    "customer_360": customer.customer_360,
    "campaign_360": campaign.campaign_360,
    "flowchart_360": flowchart.flowchart_360,
    "customer_unit_day": profit.customer_unit_day,
    "profit_unit": profit.profit_unit,
    "profit_unit_arm": profit.profit_unit_arm,
    "profit_aggregate": profit.profit_aggregate,
    "growth_daily": growth.growth_daily,
    "growth_daily_arm": growth.growth_daily_arm,
    "growth_aggregate": growth.growth_aggregate,
    "engagement_aggregate": engagement.engagement_aggregate,
    "experiment_summary": experiments.experiment_summary,
    "investor_summary": investors.investor_summary,
    "prediction_day": scores.prediction_day,
    "customer_score": scores.customer_score,
    "score_day": scores.score_day,
}
"""Marts by name, in an order in which they can be filled."""

COMPUTED: Final[Mapping[str, RowsOfRows]] = {"experiment_summary": experiments.with_statistics}
"""What Python makes of the rows of a mart's select before they are stored; `marts.computed` says how."""

SAME_DATE_ONLY: Final[Mapping[str, frozenset[str]]] = {
    "customer_day": frozenset({"itf.transaction"}),
    "customer_department_day": frozenset({"itf.transaction", "itf.product"}),
    "campaign_customer_day": frozenset({"itf.transaction", "itf.offer", "itf.campaign"}),
    "customer_360": frozenset({"itf.customer"}),
    "campaign_360": frozenset({"itf.campaign"}),
    "flowchart_360": frozenset({"itf.flowchart"}),
    "customer_unit_day": frozenset({"itf.transaction", "itf.product"}),
    "profit_unit": frozenset({"agg.customer_unit_day", "itf.spend", "itf.payroll"}),
    "profit_unit_arm": frozenset({"agg.customer_unit_day", "itf.experiment", "metrics.profit_unit"}),
    "profit_aggregate": frozenset({"itf.ledger"}),
    "growth_daily_arm": frozenset({"itf.account", "itf.experiment"}),
    "growth_aggregate": frozenset({"itf.account"}),
    "experiment_summary": frozenset({"itf.experiment"}),
    "prediction_day": frozenset({"itf.prediction", "itf.customer"}),
    "customer_score": frozenset({"itf.prediction", "itf.customer"}),
    "score_day": frozenset({"itf.customer"}),
}
"""Of which tables a partition of a mart reads the partition of its own date and no other. Of what is not named here,
every earlier date counts; no mart reads a later one."""

DATE_BEFORE_TOO: Final[Mapping[str, frozenset[str]]] = {"score_day": frozenset({"itf.prediction"})}
"""Of which tables a partition of a mart reads its own date and the one before, and no other."""
