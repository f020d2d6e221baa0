"""The select behind each mart of the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.loading.marts import campaign, customer, flowchart
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
}
"""Marts by name, in an order in which they can be filled."""

SAME_DATE_ONLY: Final[Mapping[str, frozenset[str]]] = {
    "customer_day": frozenset({"itf.transaction"}),
    "customer_department_day": frozenset({"itf.transaction", "itf.product"}),
    "campaign_customer_day": frozenset({"itf.transaction", "itf.offer", "itf.campaign"}),
    "customer_360": frozenset({"itf.customer"}),
    "campaign_360": frozenset({"itf.campaign"}),
    "flowchart_360": frozenset({"itf.flowchart"}),
}
"""Of which tables a partition of a mart reads the partition of its own date and no other. Of what is not named here,
every earlier date counts; no mart reads a later one."""
