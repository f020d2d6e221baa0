"""Which contact a response answers: the latest contact of the customer by the campaign, on or before its date."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cdm_assets.loading.stamp import in_range
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.tables import Tables


def responders(tables: Tables, dates: DateRange) -> sa.Subquery:
    """Each customer who answered a campaign by the end of `dates`, with the date of the first response."""
    response = tables["itf.response"]
    return (
        sa.select(
            response.c.campaign_id,
            response.c.customer_id,
            sa.func.min(response.c.business_date).label("first_response_date"),
        )
        .where(response.c.business_date <= dates.last)
        .group_by(response.c.campaign_id, response.c.customer_id)
        .subquery("responders")
    )


def first_responses(tables: Tables, dates: DateRange) -> sa.Subquery:
    """Responses of `dates`: one row a date, campaign and customer.

    Columns: redemptions, `is_first` (1 on the date of the first response, else 0), and channel and flowchart_run_id of
    the contact that is answered, NULL where none is known.
    """
    response, first = tables["itf.response"], responders(tables, dates)
    keys = [response.c.business_date, response.c.campaign_id, response.c.customer_id]
    daily = (
        sa.select(*keys, sa.func.count().label("redemptions"))
        .where(in_range(response.c.business_date, dates))
        .group_by(*keys)
        .subquery("daily_responses")
    )
    contact = _answered_contacts(tables, daily)
    same_customer = sa.and_(first.c.campaign_id == daily.c.campaign_id, first.c.customer_id == daily.c.customer_id)
    same_row = sa.and_(*(contact.c[key.name] == daily.c[key.name] for key in keys))
    is_first = sa.case((first.c.first_response_date == daily.c.business_date, 1), else_=0)
    return (
        sa.select(*daily.c, is_first.label("is_first"), contact.c.channel, contact.c.flowchart_run_id)
        .select_from(daily.join(first, same_customer).outerjoin(contact, same_row))
        .subquery("first_responses")
    )


def _answered_contacts(tables: Tables, daily: sa.Subquery) -> sa.Subquery:
    contact: Any = tables["itf.contact"]
    before = sa.and_(
        contact.c.campaign_id == daily.c.campaign_id,
        contact.c.customer_id == daily.c.customer_id,
        contact.c.business_date <= daily.c.business_date,
    )
    nth = sa.func.row_number().over(
        partition_by=[daily.c.business_date, daily.c.campaign_id, daily.c.customer_id],
        order_by=[contact.c.business_date.desc(), contact.c.contact_ts.desc(), contact.c.flowchart_run_id],
    )
    ranked = (
        sa.select(
            daily.c.business_date,
            daily.c.campaign_id,
            daily.c.customer_id,
            contact.c.channel,
            contact.c.flowchart_run_id,
            nth.label("nth"),
        )
        .select_from(daily.join(contact, before))
        .subquery("contacts_before")
    )
    return sa.select(*(c for c in ranked.c if c.name != "nth")).where(ranked.c.nth == 1).subquery("answered")
