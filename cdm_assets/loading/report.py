"""What a loader tells about one load of one table: numbers and check results per business date, nothing of Dagster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pydantic import JsonValue


@dataclass(frozen=True)
class RowCounts:
    """Rows of one business date: read, inserted, removed before, and rejected by a rule.

    `read` counts the records of a file, and behind the landing zone the rows in the partitions of that date upstream.
    """

    read: int = 0
    inserted: int = 0
    removed: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class CheckOutcome:
    """The result of one check for one business date."""

    check: str
    business_date: date
    passed: bool
    blocking: bool
    severity: Literal["error", "warn"]
    metadata: Mapping[str, JsonValue]


@dataclass(frozen=True)
class LoadReport:
    """One load of one table (`schema.table`) for a range of business dates.

    `row_counts` and `rows` (rows in the partition after the load) have one entry a business date of the range;
    `seconds` is the time spent in files and SQL; `metadata` is the same for all dates.
    """

    table: str
    row_counts: Mapping[date, RowCounts]
    rows: Mapping[date, int]
    checks: Sequence[CheckOutcome]
    seconds: float
    metadata: Mapping[str, JsonValue]
