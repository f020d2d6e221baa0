"""Which tables and columns a statement reads, taken from the statement itself."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.tables import Tables

SOME_DATES: Final = DateRange(date(2000, 1, 1), date(2000, 1, 1))
"""Any range: what a statement reads does not depend on its dates."""


def tables_read(statement: sa.ClauseElement) -> frozenset[str]:
    """The keys `schema.table` of the tables in `statement`, subqueries included."""
    found: set[Any] = {e for e in visitors.iterate(statement) if isinstance(e, sa.Table) and "key" in e.info}
    return frozenset(Tables.key_of(table) for table in found)
