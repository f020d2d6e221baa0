"""Campaign marts: contacts, cost and answers by date, and the result of each campaign as of a date."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.loading.marts.attribution import first_responses, responders
from cdm_assets.loading.marts.measures import CHANNELS, later_of, rate, total
from cdm_assets.loading.stamp import in_range
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.tables import Tables

_COUNT: Final = sa.BigInteger()
_MONEY: Final = sa.Numeric(18, 2)
_COST: Final = sa.Numeric(18, 4)
_COUNTS: Final = (
    "contacts",
    *(f"contacts_{channel}" for channel in CHANNELS),
    "contacts_control",
    "responses",
    "redemptions",
)


def campaign_day(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Contacts, cost, first responses and redemptions of each campaign on each date with any."""
    contact, answered = tables["itf.contact"], first_responses(tables, dates)
    zero: ColumnElement[Any] = sa.literal_column("0")
    by_channel = [sa.case((contact.c.channel == c, 1), else_=0).label(f"contacts_{c}") for c in CHANNELS]
    made = sa.select(
        contact.c.business_date,
        contact.c.campaign_id,
        sa.literal_column("1").label("contacts"),
        *by_channel,
        sa.case((contact.c.is_control == sa.true(), 1), else_=0).label("contacts_control"),
        contact.c.contact_cost,
        zero.label("responses"),
        zero.label("redemptions"),
    ).where(in_range(contact.c.business_date, dates))
    got = sa.select(
        answered.c.business_date,
        answered.c.campaign_id,
        zero.label("contacts"),
        *(zero.label(f"contacts_{channel}") for channel in CHANNELS),
        zero.label("contacts_control"),
        sa.cast(zero, _COST).label("contact_cost"),
        answered.c.is_first.label("responses"),
        answered.c.redemptions,
    )
    rows = sa.union_all(made, got).subquery("campaign_activity")
    sums = [
        total(c, _COST if c.name == "contact_cost" else _COUNT).label(c.name)
        for c in rows.c
        if c.name not in ("business_date", "campaign_id")
    ]
    return sa.select(rows.c.business_date, rows.c.campaign_id, *sums).group_by(rows.c.business_date, rows.c.campaign_id)


def campaign_customer_day(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Spending on the products that a campaign running on that date offers, by campaign and household.

    A product that several coupons of a campaign offer counts once.
    """
    line, offer, campaign = tables["itf.transaction"], tables["itf.offer"], tables["itf.campaign"]
    running = sa.and_(
        campaign.c.campaign_id == offer.c.campaign_id,
        campaign.c.business_date == offer.c.business_date,
        campaign.c.business_date.between(campaign.c.start_date, campaign.c.end_date),
    )
    offered = (
        sa.select(offer.c.business_date, offer.c.campaign_id, offer.c.product_id)
        .select_from(offer.join(campaign, running))
        .where(in_range(offer.c.business_date, dates), in_range(campaign.c.business_date, dates))
        .distinct()
        .subquery("offered")
    )
    bought = sa.and_(offered.c.product_id == line.c.product_id, offered.c.business_date == line.c.business_date)
    keys = [line.c.business_date, offered.c.campaign_id, line.c.customer_id]
    return (
        sa.select(*keys, total(line.c.sales_amount, _MONEY).label("offered_sales_amount"))
        .select_from(line.join(offered, bought))
        .where(in_range(line.c.business_date, dates))
        .group_by(*keys)
    )


def campaign_360(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Audience, contacts, responses, cost, attributed sales and ratios of each campaign as of each date."""
    campaign, so_far, sales = tables["itf.campaign"], _so_far(tables, dates), _attributed(tables, dates)

    def same_row(other: sa.Subquery) -> sa.ColumnElement[bool]:
        return sa.and_(other.c.campaign_id == campaign.c.campaign_id, other.c.business_date == campaign.c.business_date)

    count = {name: sa.func.coalesce(so_far.c[name], 0) for name in _COUNTS}
    cost = sa.cast(sa.func.coalesce(so_far.c.contact_cost, 0), _COST)
    attributed = sa.cast(sa.func.coalesce(sales.c.sales_amount, 0), _MONEY)
    reached = count["contacts"] - count["contacts_control"]
    return (
        sa.select(
            campaign.c.business_date,
            campaign.c.campaign_id,
            campaign.c.campaign_name,
            campaign.c.campaign_type,
            campaign.c.start_date,
            campaign.c.end_date,
            campaign.c.objective,
            campaign.c.budget,
            count["contacts"].label("audience"),
            reached.label("audience_target"),
            count["contacts_control"].label("audience_control"),
            *(count[f"contacts_{channel}"].label(f"contacts_{channel}") for channel in CHANNELS),
            count["responses"].label("responses"),
            rate(count["responses"], reached, sa.Numeric(9, 6)).label("response_rate"),
            count["redemptions"].label("redemptions"),
            cost.label("contact_cost"),
            attributed.label("attributed_sales_amount"),
            rate(cost, reached, _COST).label("cost_per_contact"),
            rate(cost, count["responses"], _COST).label("cost_per_response"),
            rate(attributed - cost, cost, _COST).label("roi"),
        )
        .select_from(campaign.outerjoin(so_far, same_row(so_far)).outerjoin(sales, same_row(sales)))
        .where(in_range(campaign.c.business_date, dates))
    )


def _so_far(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The sums of campaign_day up to each date."""
    calendar, daily = tables["cdp_metadata.calendar"], tables["agg.campaign_day"]
    sums = [total(daily.c[name], _COUNT).label(name) for name in _COUNTS]
    return (
        sa.select(
            calendar.c.business_date,
            daily.c.campaign_id,
            *sums,
            total(daily.c.contact_cost, _COST).label("contact_cost"),
        )
        .select_from(calendar.join(daily, daily.c.business_date <= calendar.c.business_date))
        .where(in_range(calendar.c.business_date, dates))
        .group_by(calendar.c.business_date, daily.c.campaign_id)
        .subquery("campaign_so_far")
    )


def _attributed(tables: Tables, dates: DateRange) -> sa.Subquery:
    """Sales of responders on offered products up to each date; a sale counts once its customer has responded."""
    calendar, offered, answered = (
        tables["cdp_metadata.calendar"],
        tables["agg.campaign_customer_day"],
        responders(tables, dates),
    )
    same = sa.and_(answered.c.campaign_id == offered.c.campaign_id, answered.c.customer_id == offered.c.customer_id)
    day = later_of(offered.c.business_date, answered.c.first_response_date)
    daily = (
        sa.select(offered.c.campaign_id, day.label("day"), sa.func.sum(offered.c.offered_sales_amount).label("amount"))
        .select_from(offered.join(answered, same))
        .where(offered.c.business_date <= dates.last)
        .group_by(offered.c.campaign_id, day)
        .subquery("attributed_daily")
    )
    return (
        sa.select(calendar.c.business_date, daily.c.campaign_id, total(daily.c.amount, _MONEY).label("sales_amount"))
        .select_from(calendar.join(daily, daily.c.day <= calendar.c.business_date))
        .where(in_range(calendar.c.business_date, dates))
        .group_by(calendar.c.business_date, daily.c.campaign_id)
        .subquery("attributed")
    )
