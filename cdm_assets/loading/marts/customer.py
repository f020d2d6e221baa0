"""Customer marts: what each household did on a date, and all that is known of it as of a date."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.loading.marts.attribution import first_responses
from cdm_assets.loading.marts.measures import CHANNELS, later_of, rate, total
from cdm_assets.loading.stamp import in_range, next_or_never
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import days_after, days_between
from cdm_assets.warehouse.tables import Tables

SALES: Final = ("sales_amount", "baskets", "units", "discount_amount")
CONTACTS: Final = ("contacts", *(f"contacts_{channel}" for channel in CHANNELS), "contacts_control")
RESPONSES: Final = ("responses", *(f"responses_{channel}" for channel in CHANNELS), "redemptions")
_DESCRIPTION: Final = (
    "age_band",
    "income_band",
    "home_ownership",
    "marital_status",
    "household_size",
    "household_composition",
    "kids_count",
    "email",
    "has_demographics",
)
WINDOW_DAYS: Final[dict[str, int | None]] = {"lifetime": None, "7d": 7, "30d": 30, "90d": 90}
_QUINTILES: Final = 5
_UNKNOWN_DEPARTMENT: Final = "UNKNOWN"
"""As the interface says it of an article without details."""
_COUNT: Final = sa.BigInteger()
_MONEY: Final = sa.Numeric(18, 2)


def measures_of(window: str) -> tuple[str, ...]:
    """The measures that customer_360 shows for a window: 90 days has sales only."""
    return SALES if window == "90d" else (*SALES, *CONTACTS, *RESPONSES)


def customer_day(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Purchases, contacts and responses of each household on each date; one row where there is any."""
    parts = [_purchases(tables, dates), _contacts(tables, dates), _responses(tables, dates)]
    measures = (*SALES, *CONTACTS, *RESPONSES)
    rows = sa.union_all(*(_filled(part, measures) for part in parts)).subquery("activity")
    sums = [total(rows.c[name], _MONEY if name in ("sales_amount", "discount_amount") else _COUNT) for name in measures]
    return sa.select(
        rows.c.business_date, rows.c.customer_id, *(s.label(n) for s, n in zip(sums, measures, strict=True))
    ).group_by(rows.c.business_date, rows.c.customer_id)


def _filled(part: sa.Subquery, measures: tuple[str, ...]) -> sa.Select[Any]:
    """`part` with a zero for each measure it does not have."""
    values = [part.c[n] if n in part.c else sa.literal_column("0", _COUNT).label(n) for n in measures]
    return sa.select(part.c.business_date, part.c.customer_id, *values)


def _purchases(tables: Tables, dates: DateRange) -> sa.Subquery:
    line = tables["itf.transaction"]
    discount = line.c.retail_discount + line.c.coupon_discount + line.c.coupon_match_discount
    return (
        sa.select(
            line.c.business_date,
            line.c.customer_id,
            total(line.c.sales_amount, _MONEY).label("sales_amount"),
            sa.func.count(line.c.basket_id.distinct()).label("baskets"),
            total(line.c.quantity, _COUNT).label("units"),
            total(discount, _MONEY).label("discount_amount"),
        )
        .where(in_range(line.c.business_date, dates))
        .group_by(line.c.business_date, line.c.customer_id)
        .subquery("purchases")
    )


def _contacts(tables: Tables, dates: DateRange) -> sa.Subquery:
    contact = tables["itf.contact"]
    by_channel = [
        total(sa.case((contact.c.channel == channel, 1), else_=0), _COUNT).label(f"contacts_{channel}")
        for channel in CHANNELS
    ]
    return (
        sa.select(
            contact.c.business_date,
            contact.c.customer_id,
            sa.func.count().label("contacts"),
            *by_channel,
            total(sa.case((contact.c.is_control == sa.true(), 1), else_=0), _COUNT).label("contacts_control"),
        )
        .where(in_range(contact.c.business_date, dates))
        .group_by(contact.c.business_date, contact.c.customer_id)
        .subquery("contacts_made")
    )


def _responses(tables: Tables, dates: DateRange) -> sa.Subquery:
    answered = first_responses(tables, dates)
    by_channel = [
        total(sa.case((answered.c.channel == channel, answered.c.is_first), else_=0), _COUNT).label(
            f"responses_{channel}"
        )
        for channel in CHANNELS
    ]
    return (
        sa.select(
            answered.c.business_date,
            answered.c.customer_id,
            total(answered.c.is_first, _COUNT).label("responses"),
            *by_channel,
            total(answered.c.redemptions, _COUNT).label("redemptions"),
        )
        .group_by(answered.c.business_date, answered.c.customer_id)
        .subquery("responses_got")
    )


def customer_department_day(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Spending by department, by the department the article had on the day of the purchase.

    A purchase that arrives late can be older than the first date its article is known; its department is unknown then.
    """
    line, product = tables["itf.transaction"], tables["itf.product"]
    same_article = sa.and_(
        product.c.product_id == line.c.product_id,
        product.c.business_date == line.c.business_date,
        in_range(product.c.business_date, dates),
    )
    department = sa.func.coalesce(product.c.department, sa.literal_column(f"'{_UNKNOWN_DEPARTMENT}'"))
    keys = [line.c.business_date, line.c.customer_id, department]
    return (
        sa.select(*keys[:2], department.label("department"), total(line.c.sales_amount, _MONEY).label("sales_amount"))
        .select_from(line.outerjoin(product, same_article))
        .where(in_range(line.c.business_date, dates))
        .group_by(*keys)
    )


def customer_360(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Identity, demographics, purchases, RFM, favourite department, contacts and responses as of each date."""
    running = _running(tables, dates)
    quintiles, favourite = _quintiles(running), _favourite_departments(tables, dates)
    on_that_date = sa.and_(
        favourite.c.customer_id == running.c.customer_id,
        favourite.c.day <= running.c.business_date,
        favourite.c.until > running.c.business_date,
    )
    same_row = sa.and_(
        quintiles.c.customer_id == running.c.customer_id, quintiles.c.business_date == running.c.business_date
    )
    return sa.select(
        running.c.business_date,
        running.c.customer_id,
        running.c.first_seen_date,
        sa.func.coalesce(running.c.last_active_date, running.c.first_seen_date).label("last_seen_date"),
        *(running.c[name] for name in _DESCRIPTION),
        *_purchase_columns(running),
        running.c.first_purchase_date,
        running.c.last_purchase_date,
        days_between(running.c.last_purchase_date, running.c.business_date).label("days_since_last_purchase"),
        quintiles.c.recency_quintile,
        quintiles.c.frequency_quintile,
        quintiles.c.monetary_quintile,
        favourite.c.department.label("favourite_department"),
        *_contact_columns(running),
    ).select_from(running.outerjoin(quintiles, same_row).outerjoin(favourite, on_that_date))


def _purchase_columns(running: sa.CTE) -> list[ColumnElement[Any]]:
    columns: list[ColumnElement[Any]] = []
    for window in WINDOW_DAYS:
        columns += [running.c[f"{measure}_{window}"] for measure in SALES]
        average = rate(running.c[f"sales_amount_{window}"], running.c[f"baskets_{window}"], sa.Numeric(18, 4))
        columns.append(average.label(f"average_basket_amount_{window}"))
    return columns


def _contact_columns(running: sa.CTE) -> list[ColumnElement[Any]]:
    columns: list[ColumnElement[Any]] = []
    for window in ("lifetime", "7d", "30d"):
        columns += [running.c[f"{measure}_{window}"] for measure in (*CONTACTS, *RESPONSES)]
        reached = running.c[f"contacts_{window}"] - running.c[f"contacts_control_{window}"]
        answered = [("", running.c[f"responses_{window}"], reached)]
        for channel in CHANNELS:
            by_channel = running.c[f"responses_{channel}_{window}"]
            answered.append((f"_{channel}", by_channel, running.c[f"contacts_{channel}_{window}"]))
        columns += [rate(r, c, sa.Numeric(9, 6)).label(f"response_rate{name}_{window}") for name, r, c in answered]
    return columns


def _quintiles(running: sa.CTE) -> sa.Subquery:
    """Quintiles among the households with a purchase; the customer's number breaks ties, so that they are stable.

    Worked out on their own and joined, because ordering rows with all their columns costs more than the rest.
    """
    orders = {
        "recency_quintile": running.c.last_purchase_date,
        "frequency_quintile": running.c.baskets_lifetime,
        "monetary_quintile": running.c.sales_amount_lifetime,
    }
    quintile = sa.func.ntile(sa.literal_column(str(_QUINTILES)))
    columns = [
        quintile.over(partition_by=running.c.business_date, order_by=[order, running.c.customer_id]).label(name)
        for name, order in orders.items()
    ]
    bought = sa.select(running.c.business_date, running.c.customer_id, *columns)
    return bought.where(running.c.last_purchase_date.is_not(None)).subquery("quintiles")


def _running(tables: Tables, dates: DateRange) -> sa.CTE:
    """Each customer and date, as described then, with the sums of every window.

    A day's measures enter a window on the day and leave it when the window has passed; what happened before the range
    is put on its first date. Sums are worked out where something enters or leaves, and stand until the next such date.
    """
    customer, changes = tables["itf.customer"], _window_changes(tables, dates)
    over: dict[str, Any] = {"partition_by": changes.c.customer_id, "order_by": changes.c.day}
    measures = [c.name for c in changes.c if c.name.endswith(tuple(f"_{window}" for window in WINDOW_DAYS))]
    points = sa.select(
        changes.c.customer_id,
        changes.c.day,
        next_or_never(changes.c.day, partition_by=changes.c.customer_id).label("until"),
        sa.func.max(changes.c.last_active_date).over(**over).label("last_active_date"),
        sa.func.min(changes.c.first_purchase_date).over(**over).label("first_purchase_date"),
        sa.func.max(changes.c.last_purchase_date).over(**over).label("last_purchase_date"),
        *(total(changes.c[name], changes.c[name].type, over=over).label(name) for name in measures),
    ).subquery("points")
    on_that_date = sa.and_(
        points.c.customer_id == customer.c.customer_id,
        points.c.day <= customer.c.business_date,
        points.c.until > customer.c.business_date,
    )
    return (
        sa.select(
            customer.c.business_date,
            customer.c.customer_id,
            customer.c.first_seen_date,
            *(customer.c[name] for name in _DESCRIPTION),
            points.c.last_active_date,
            points.c.first_purchase_date,
            points.c.last_purchase_date,
            *(sa.func.coalesce(points.c[name], 0).label(name) for name in measures),
        )
        .select_from(customer.outerjoin(points, on_that_date))
        .where(in_range(customer.c.business_date, dates))
        .cte("running")
    )


def _window_changes(tables: Tables, dates: DateRange) -> sa.Subquery:
    """What enters and leaves each window, by customer and date of the range."""
    activity, known = tables["agg.customer_day"], _first_dates(tables, dates)
    parts = []
    for leaving, window_days in WINDOW_DAYS.items():
        day: ColumnElement[Any] = activity.c.business_date
        if window_days is not None:
            day = days_after(activity.c.business_date, sa.literal_column(str(window_days)))
        values: list[ColumnElement[Any]] = []
        for window in WINDOW_DAYS:
            for measure in measures_of(window):
                value: ColumnElement[Any] = sa.literal_column("0")
                if window_days is None:
                    value = activity.c[measure]
                elif window == leaving:
                    value = -activity.c[measure]
                values.append(value.label(f"{measure}_{window}"))
        is_entry = window_days is None
        nothing = sa.cast(sa.null(), sa.Date())
        bought = sa.case((activity.c.baskets > 0, activity.c.business_date)) if is_entry else nothing
        parts.append(
            sa.select(
                activity.c.customer_id,
                later_of(later_of(day, dates.first), known.c.first_seen_date).label("day"),
                (activity.c.business_date if is_entry else nothing).label("active_date"),
                bought.label("purchase_date"),
                *values,
            )
            .select_from(activity.join(known, known.c.customer_id == activity.c.customer_id))
            .where(day <= dates.last)
        )
    changes = sa.union_all(*parts).subquery("entering_and_leaving")
    fixed = ("customer_id", "day", "active_date", "purchase_date")
    sums = [total(c, _MONEY if "amount" in c.name else _COUNT).label(c.name) for c in changes.c if c.name not in fixed]
    return (
        sa.select(
            changes.c.customer_id,
            changes.c.day,
            sa.func.max(changes.c.active_date).label("last_active_date"),
            sa.func.min(changes.c.purchase_date).label("first_purchase_date"),
            sa.func.max(changes.c.purchase_date).label("last_purchase_date"),
            *sums,
        )
        .group_by(changes.c.customer_id, changes.c.day)
        .subquery("changes")
    )


def _first_dates(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The customers known at the end of the range. An event can be older than the first date its customer is known."""
    customer = tables["itf.customer"]
    query = sa.select(customer.c.customer_id, customer.c.first_seen_date)
    return query.where(customer.c.business_date == dates.last).subquery("known")


def _favourite_departments(tables: Tables, dates: DateRange) -> sa.Subquery:
    """The department with the highest sales so far, by customer from `day` until before `until`."""
    spent, known = tables["agg.customer_department_day"], _first_dates(tables, dates)
    day = later_of(later_of(spent.c.business_date, dates.first), known.c.first_seen_date)
    daily = (
        sa.select(
            spent.c.customer_id,
            spent.c.department,
            day.label("day"),
            sa.func.sum(spent.c.sales_amount).label("sales_amount"),
        )
        .select_from(spent.join(known, known.c.customer_id == spent.c.customer_id))
        .where(spent.c.business_date <= dates.last)
        .group_by(spent.c.customer_id, spent.c.department, day)
        .cte("spent_daily")
    )
    days = sa.select(daily.c.customer_id, daily.c.day).distinct().subquery("days")
    departments = sa.select(daily.c.customer_id, daily.c.department).distinct().subquery("departments")
    same = sa.and_(
        daily.c.customer_id == days.c.customer_id,
        daily.c.department == departments.c.department,
        daily.c.day == days.c.day,
    )
    so_far = sa.func.sum(daily.c.sales_amount).over(
        partition_by=[days.c.customer_id, departments.c.department], order_by=days.c.day
    )
    sums = (
        sa.select(days.c.customer_id, days.c.day, departments.c.department, so_far.label("sales_so_far"))
        .select_from(days.join(departments, departments.c.customer_id == days.c.customer_id).outerjoin(daily, same))
        .subquery("department_sums")
    )
    rank = sa.func.row_number().over(
        partition_by=[sums.c.customer_id, sums.c.day], order_by=[sums.c.sales_so_far.desc(), sums.c.department]
    )
    ranked = sa.select(*sums.c, rank.label("rank_of_day")).where(sums.c.sales_so_far.is_not(None)).subquery("ranked")
    best = sa.select(*ranked.c).where(ranked.c.rank_of_day == 1).subquery("best")
    until = next_or_never(best.c.day, partition_by=best.c.customer_id)
    return sa.select(best.c.customer_id, best.c.department, best.c.day, until.label("until")).subquery("favourites")
