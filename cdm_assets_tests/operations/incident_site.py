"""A warehouse in memory with the control tables, and a catalog of the tiny site with two pipelines and a rota."""

# ruff: noqa: DTZ001 - times without a zone, as the warehouse stores them

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.oncall import OnCall
from cdm_assets.catalog.pipelines import Pipeline
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.incidents import (
    Finding,
    Incident,
    IncidentChanges,
    IncidentDesk,
    IncidentKind,
    IncidentState,
    incidents,
)
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables

DAY: Final = date(2024, 3, 4)
MONDAY: Final = datetime(2024, 3, 4, 10)
"""Within working hours."""
UI: Final = "https://dagster.example.com"

PLATFORM: Final = {
    "pipeline": "platform",
    "description": "Files and vault.",
    "group": "team",
    "primary_owner": "ann@example.com",
    "secondary_owner": "team:platform",
    "tables": ["ldz"],
    "schedule": "30 7 * * *",
    "ready_by": "09:00",
    "fix_within_hours": 3,
    "severity": "critical",
    "on_call": "pager",
    "escalation": [
        {"after_minutes": 0, "to": "primary"},
        {"after_minutes": 30, "to": "secondary"},
        {"after_minutes": 60, "to": "boss@example.com"},
    ],
}
VAULT: Final = {
    **PLATFORM,
    "pipeline": "vault",
    "tables": ["rdv"],
    "severity": "minor",
    "on_call": "working_hours",
    "fix_within_hours": 48,
    "escalation": [{"after_minutes": 60, "to": "secondary_owner"}],
}
ONCALL: Final = {
    "engineers": {
        "kim": {"name": "Kim", "email": "kim@example.com", "country": "DE", "time_zone": "Europe/Berlin"},
        "lee": {"name": "Lee", "email": "lee@example.com", "country": "DE", "time_zone": "Europe/Berlin"},
    },
    "groups": {"team": {"start": "2024-01-01", "members": ["kim", "lee"]}},
}


def with_people(catalog: Catalog) -> Catalog:
    """The catalog with both pipelines and the rota."""
    pipelines = {each["pipeline"]: Pipeline.model_validate(each) for each in (PLATFORM, VAULT)}
    return catalog.model_copy(update={"pipelines": pipelines, "oncall": OnCall.model_validate(ONCALL)})


@dataclass
class IncidentSite:
    """Findings in, incidents out, at a time of one's own."""

    warehouse: Warehouse
    now: datetime = MONDAY
    loads: TableLoads = field(init=False)

    def __post_init__(self) -> None:
        self.loads = TableLoads(self.tables)

    @property
    def tables(self) -> Tables:
        return self.warehouse.tables

    @property
    def stamp(self) -> Stamp:
        return Stamp("test", self.now)

    def later(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    @contextmanager
    def desk(self) -> Iterator[IncidentDesk]:
        with self.warehouse.transaction() as connection:
            yield IncidentDesk(connection, self.tables, UI)

    def look(self, *findings: Finding, kinds: Iterable[str] = tuple(IncidentKind)) -> IncidentChanges:
        """One tick."""
        with self.desk() as desk:
            changes = desk.update(findings, self.stamp, kinds=kinds)
            desk.escalate(self.stamp)
            return changes

    def all(self) -> list[Incident]:
        with self.warehouse.connection() as connection:
            return incidents(connection, self.tables, states=tuple(IncidentState))

    def one(self) -> Incident:
        (incident,) = self.all()
        return incident

    def messages(self) -> list[tuple[str, str, datetime]]:
        """Name, recipients and time of every message, in the order of writing."""
        table = self.tables["cdp_metadata.incident_message"]
        query = sa.select(table.c.message_id, table.c.recipients, table.c.not_before)
        with self.warehouse.connection() as connection:
            return list(connection.execute(query.order_by(table.c.load_ts, table.c.message_id)).tuples().all())

    def insert(self, table: str, *rows: dict[str, Any]) -> None:
        stamp = {"run_id": "run-1", "load_ts": self.now}
        with self.warehouse.transaction() as connection:
            connection.execute(sa.insert(self.tables[f"cdp_metadata.{table}"]), [{**stamp, **row} for row in rows])

    def check(self, key: str, check: str, message: str, day: date = DAY, *, blocks: bool = True) -> None:
        row = {"table_key": key, "check_name": check, "business_date": day, "passed": False}
        self.insert("check_result", {**row, "blocks": blocks, "message": message})

    def clear(self, table: str) -> None:
        with self.warehouse.transaction() as connection:
            connection.execute(sa.delete(self.tables[f"cdp_metadata.{table}"]))


def broken(
    table: str = "ldz.ldz_customer", number: int = 0, *, cause: str | None = None, code: str = "CDM-LDZ-010"
) -> Finding:
    """A failed check of a table on the day `number` after the first."""
    day = DAY + timedelta(days=number)
    return Finding(
        kind=IncidentKind.BLOCKING_CHECK,
        code=code,
        cause=cause or table,
        occurrence=f"{table} {code} {day}",
        message=f"rules: 3 rows on {day}",
        table_key=table,
        business_date=day,
        run_id="run-1",
    )


ON_DUTY: Final = "lee@example.com"
STAND_IN: Final = "kim@example.com"
"""Primary and secondary of the turn that `MONDAY` is in."""
