"""A made-up morning with something of everything, for tests of how it is shown."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from cdm_assets.operations.morning_report import (
    AlertMorning,
    CheckMorning,
    Colour,
    DutyMorning,
    FileMorning,
    HopMorning,
    IncidentMorning,
    Morning,
    Reason,
    Series,
    TableMorning,
)

DUE: Final = date(2024, 3, 10)
AT: Final = datetime(2024, 3, 11, 8, 30, tzinfo=UTC)
HISTORY: Final = tuple(DUE - timedelta(days=n) for n in (4, 3, 2, 1, 0))
HOSTILE: Final = '<script>alert("x")</script> & | `it`'


def series(*rows: int | None) -> Series:
    """One value a date of `HISTORY`."""
    return Series([None if r is None else r / 10 for r in rows], rows, [None if r is None else r / 100 for r in rows])


def a_morning(**changes: Any) -> Morning:
    """A red morning with every part filled."""
    table = TableMorning("rdv.h_customer", "platform", ("team:a",), AT, DUE, 5, 0.5, (), series(1, None, 2, 3, 5))
    missing = Reason(Colour.RED, f"not loaded: {HOSTILE}")
    lacking = TableMorning("metrics.profit", None, ("team:b",), AT, None, None, None, (missing,), series(*[None] * 5))
    values: dict[str, Any] = {
        "at": AT,
        "due_date": DUE,
        "colour": Colour.RED,
        "reasons": (Reason(Colour.RED, "open critical incident INC-7: no file"),),
        "hops": (
            HopMorning("LDZ → RDV", Colour.GREEN, 1, 1, 5, 0.5, (), series(1, None, 2, 3, 5)),
            HopMorning("metrics", Colour.RED, 1, 0, 0, 0.0, (missing,), series(*[None] * 5)),
            HopMorning("ML write-back", Colour.GREY, 0, 0, 0, 0.0, (), series()),
        ),
        "tables": (table, lacking),
        "files": (
            FileMorning("customer", Colour.GREEN, "5 rows", ("team:a",), AT),
            FileMorning("product", Colour.YELLOW, HOSTILE, ("team:b",)),
        ),
        "checks": (CheckMorning("rdv.h_customer", "keys", DUE, True, HOSTILE, "CDM-RDV-001"),),
        "alerts": (AlertMorning("missing file", "customer 2024-03-09", "ask them", AT),),
        "incidents": (IncidentMorning("INC-7", Colour.RED, "critical", "CDM-LDZ-003", "no file", AT),),
        "on_call": (DutyMorning("platform", "Anna", "Ben", "2024-03-18 08:00 UTC"),),
        "maintenance": ("maintenance nightly (warehouse) until 2024-03-11 09:00 UTC",),
        "paused": {"spend": "moved"},
        "history": HISTORY,
    }
    return Morning(**(values | changes))
