"""Flowchart marts: runs and their outcome by date, and the work of each flowchart as of a date."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.loading.marts.attribution import first_responses
from cdm_assets.loading.marts.measures import rate, total
from cdm_assets.loading.stamp import in_range
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import seconds_between
from cdm_assets.warehouse.tables import TIMESTAMP, Tables

_COUNT: Final = sa.BigInteger()
_COUNTS: Final = (
    "executions",
    "failed_runs",
    "finished_runs",
    "duration_seconds",
    "records_selected",
    "contacts",
    "responses",
    "redemptions",
)


def flowchart_day(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Runs of each flowchart on each date, and the contacts and responses of that date that go back to its runs."""
    run, contact, answered = tables["itf.flowchart_run"], tables["itf.contact"], first_responses(tables, dates)
    is_finished = run.c.ended_at.is_not(None)
    runs = _activity(
        run.c.business_date,
        run.c.flowchart_id,
        executions=sa.literal_column("1"),
        last_run_at=run.c.started_at,
        failed_runs=sa.case((run.c.run_status == "failed", 1), else_=0),
        finished_runs=sa.case((is_finished, 1), else_=0),
        duration_seconds=sa.case((is_finished, seconds_between(run.c.started_at, run.c.ended_at)), else_=0),
        records_selected=sa.func.coalesce(run.c.records_selected, 0),
    ).where(in_range(run.c.business_date, dates))
    origin = tables["itf.flowchart_run"].alias("origin")
    contacts = (
        _activity(contact.c.business_date, origin.c.flowchart_id, contacts=sa.literal_column("1"))
        .select_from(
            contact.join(
                origin,
                sa.and_(
                    origin.c.flowchart_run_id == contact.c.flowchart_run_id,
                    origin.c.business_date <= contact.c.business_date,
                ),
            )
        )
        .where(in_range(contact.c.business_date, dates))
    )
    responses = _activity(
        answered.c.business_date,
        origin.c.flowchart_id,
        responses=answered.c.is_first,
        redemptions=answered.c.redemptions,
    ).select_from(
        answered.join(
            origin,
            sa.and_(
                origin.c.flowchart_run_id == answered.c.flowchart_run_id,
                origin.c.business_date <= answered.c.business_date,
            ),
        )
    )
    rows = sa.union_all(runs, contacts, responses).subquery("flowchart_activity")
    return sa.select(
        rows.c.business_date,
        rows.c.flowchart_id,
        sa.func.max(rows.c.last_run_at).label("last_run_at"),
        *(total(rows.c[name], _COUNT).label(name) for name in _COUNTS),
    ).group_by(rows.c.business_date, rows.c.flowchart_id)


def _activity(day: ColumnElement[Any], flowchart: ColumnElement[Any], **given: ColumnElement[Any]) -> sa.Select[Any]:
    """A row of activity: the given measures, nothing in the others."""
    nothing = {"last_run_at": sa.cast(sa.null(), TIMESTAMP)}
    values = [given.get(name, nothing.get(name, sa.literal_column("0"))) for name in ("last_run_at", *_COUNTS)]
    labels = [value.label(name) for name, value in zip(("last_run_at", *_COUNTS), values, strict=True)]
    return sa.select(day.label("business_date"), flowchart.label("flowchart_id"), *labels)


def flowchart_360(tables: Tables, dates: DateRange) -> sa.Select[Any]:
    """Executions, durations, failures and results of each flowchart as of each date."""
    flowchart, calendar = tables["itf.flowchart"], tables["cdp_metadata.calendar"]
    daily = tables["agg.flowchart_day"]
    so_far = (
        sa.select(
            calendar.c.business_date,
            daily.c.flowchart_id,
            sa.func.max(daily.c.last_run_at).label("last_run_at"),
            *(total(daily.c[name], _COUNT).label(name) for name in _COUNTS),
        )
        .select_from(calendar.join(daily, daily.c.business_date <= calendar.c.business_date))
        .where(in_range(calendar.c.business_date, dates))
        .group_by(calendar.c.business_date, daily.c.flowchart_id)
        .subquery("flowchart_so_far")
    )
    same_row = sa.and_(
        so_far.c.flowchart_id == flowchart.c.flowchart_id, so_far.c.business_date == flowchart.c.business_date
    )
    count = {name: sa.func.coalesce(so_far.c[name], 0) for name in _COUNTS}
    return (
        sa.select(
            flowchart.c.business_date,
            flowchart.c.flowchart_id,
            flowchart.c.flowchart_name,
            flowchart.c.campaign_id,
            flowchart.c.flowchart_status,
            count["executions"].label("execution_count"),
            so_far.c.last_run_at,
            rate(count["duration_seconds"], count["finished_runs"], sa.Numeric(18, 2)).label(
                "average_duration_seconds"
            ),
            count["failed_runs"].label("failed_run_count"),
            count["records_selected"].label("records_selected"),
            count["contacts"].label("contacts"),
            count["responses"].label("responses"),
            count["redemptions"].label("redemptions"),
        )
        .select_from(flowchart.outerjoin(so_far, same_row))
        .where(in_range(flowchart.c.business_date, dates))
    )
