"""What people have to know about, in `cdp_metadata.alert`: opened once, closed once when it is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

import sqlalchemy as sa

from cdm_assets.loading.stamp import Stamp
from cdm_assets.warehouse.landing_area import Place
from cdm_assets.warehouse.tables import Tables


class AlertKind(StrEnum):
    """What an alert is about."""

    MISSING = "missing file"
    WITHDRAWN = "withdrawn file"
    LATE_EVENTS = "late events"


@dataclass(frozen=True)
class Alert:
    """One thing to know about one file. `opened_at` is UTC without a zone."""

    kind: str
    source: str
    business_date: date
    message: str
    opened_at: datetime


@dataclass(frozen=True)
class AlertChanges:
    """What an update opened and closed."""

    opened: Sequence[Alert]
    closed: Sequence[Alert]


def update_alerts(
    connection: sa.Connection, tables: Tables, kind: AlertKind, wanted: Mapping[Place, str], stamp: Stamp
) -> AlertChanges:
    """Open the alerts of a kind that are `wanted` (message by place) and not open; close those open and not wanted.

    The transaction is the caller's: whoever tells people of the changes does so after its commit, so that an alert
    is told at most once.
    """
    table = tables["cdp_metadata.alert"]
    known = {(alert.source, alert.business_date): alert for alert in open_alerts(connection, tables, kind)}
    new = {place: message[:2000] for place, message in wanted.items() if place not in known}
    opened = [Alert(kind, source, day, message, stamp.load_ts) for (source, day), message in sorted(new.items())]
    rows = [
        {
            "kind": alert.kind,
            "source": alert.source,
            "business_date": alert.business_date,
            "message": alert.message,
            "opened_at": alert.opened_at,
            "closed_at": None,
            **stamp.row,
        }
        for alert in opened
    ]
    if rows:
        connection.execute(sa.insert(table), rows)
    closed = [alert for place, alert in sorted(known.items()) if place not in wanted]
    for alert in closed:
        is_open = sa.and_(table.c.kind == kind, table.c.closed_at.is_(None))
        of_place = sa.and_(table.c.source == alert.source, table.c.business_date == alert.business_date)
        connection.execute(sa.update(table).where(is_open, of_place).values(closed_at=stamp.load_ts))
    return AlertChanges(opened, closed)


def open_alerts(connection: sa.Connection, tables: Tables, kind: AlertKind | None = None) -> list[Alert]:
    """The alerts that are not closed, of one kind or of all, the oldest first."""
    table = tables["cdp_metadata.alert"]
    columns = (table.c.kind, table.c.source, table.c.business_date, table.c.message, table.c.opened_at)
    query = sa.select(*columns).where(table.c.closed_at.is_(None))
    if kind is not None:
        query = query.where(table.c.kind == kind)
    rows = connection.execute(query.order_by(table.c.opened_at, table.c.source, table.c.business_date))
    return [Alert(*row) for row in rows.tuples()]
