"""Who is on call in the morning, and which incidents they have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.pipelines import Severity
from cdm_assets.operations.incidents import IncidentState, incidents
from cdm_assets.operations.morning_report import Colour, DutyMorning, IncidentMorning
from cdm_assets.operations.rota import NobodyLeft, RotaError, on_duty
from cdm_assets.warehouse.tables import Tables

NOBODY: Final = "nobody"


def on_call_at(catalog: Catalog, at: datetime) -> tuple[DutyMorning, ...]:
    """Who is on duty at `at` (aware) in every group that a pipeline names."""
    return tuple(_duty(catalog, group, at) for group in sorted({p.group for p in catalog.pipelines.values()}))


def _duty(catalog: Catalog, group: str, at: datetime) -> DutyMorning:
    try:
        duty = on_duty(catalog.oncall, group, at)
    except NobodyLeft as reason:
        return DutyMorning(group, NOBODY, NOBODY, str(reason), is_gap=True)
    except RotaError as reason:
        return DutyMorning(group, NOBODY, NOBODY, str(reason))
    names = {name: engineer.name for name, engineer in catalog.oncall.engineers.items()}
    primary, secondary = (names.get(name, name) for name in (duty.primary, duty.secondary))
    return DutyMorning(group, primary, secondary, f"{duty.until.astimezone(UTC):%F %H:%M} UTC")


def incidents_now(connection: sa.Connection, tables: Tables) -> tuple[IncidentMorning, ...]:
    """The incidents that are not resolved; red until somebody has acknowledged them, a minor one is yellow."""
    return tuple(
        IncidentMorning(
            incident=incident.name,
            colour=_colour(incident.severity, incident.state),
            severity=incident.severity,
            code=incident.code,
            what=incident.title,
            opened_at=incident.opened_at,
            acknowledged_by=incident.acknowledged_by,
        )
        for incident in incidents(connection, tables)
    )


def _colour(severity: str, state: str) -> Colour:
    is_quiet = severity == Severity.MINOR or state == IncidentState.ACKNOWLEDGED
    return Colour.YELLOW if is_quiet else Colour.RED
