"""Checks for known troubles, as the YAML of a source, an interface entity or a mart declares them.

`validation.trouble_checks` turns each into SQL. The kind is the name of the check in the UI; several of one kind on a
table are one check there. They look at every partition of the table by itself; `out_of_scale`, `missing_status` and
`ledger_agreement` belong to marts, which are loaded again whenever an earlier date of what they look at changes.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from cdm_assets.catalog.base import Identifier, Strict

TableName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")]
"""`schema.table`, the schema by its layer's name."""

Share = Annotated[Decimal, Field(ge=0, le=1)]


class Weekday(StrEnum):
    """A day of the week, in order."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class _Check(Strict):
    check: str
    on_failure: Literal["warn", "block"] = "warn"

    @property
    def blocks(self) -> bool:
        """Whether a failure holds back what is published from the table."""
        return self.on_failure == "block"

    @property
    def columns_named(self) -> tuple[str, ...]:
        """The columns of the table itself that the check names."""
        return ()

    @property
    def columns_read(self) -> tuple[tuple[str, str], ...]:
        """What the check looks at in other tables: `schema.table` and column, on the date itself."""
        return ()

    @property
    def columns_read_before(self) -> tuple[tuple[str, str], ...]:
        """What it looks at in other tables on the dates before too."""
        return ()


class ExpectedEvents(_Check):
    """A partition of one of `weekdays` has at least `min_rows` rows."""

    check: Literal["expected_events"]
    min_rows: int = Field(default=1, ge=1)
    weekdays: tuple[Weekday, ...] = Field(default=tuple(Weekday), min_length=1)


class Duplicates(_Check):
    """At most `max_share` of the rows repeat the `columns` of another row of the partition."""

    check: Literal["duplicates"]
    columns: tuple[Identifier, ...] = Field(min_length=1)
    max_share: Share

    @property
    def columns_named(self) -> tuple[str, ...]:
        """The columns of the table itself that the check names."""
        return self.columns


class Skew(_Check):
    """No value of `column` stands in more than `max_share` of the rows of a partition of `min_rows` rows or more."""

    check: Literal["skew"]
    column: Identifier
    max_share: Share
    min_rows: int = Field(default=100, ge=1)

    @property
    def columns_named(self) -> tuple[str, ...]:
        """The columns of the table itself that the check names."""
        return (self.column,)


class LateBeyondBound(_Check):
    """At most `max_share` of the events of a file happened longer before its date than `event_bound_hours` allows."""

    check: Literal["late_beyond_bound"]
    max_share: Share = Decimal(0)


class NoNa(_Check):
    """`columns` have a value in every row, or in those where the column `when` has one of `values`."""

    check: Literal["no_na"]
    on_failure: Literal["warn", "block"] = "block"
    columns: tuple[Identifier, ...] = Field(min_length=1)
    when: Identifier | None = None
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _values_belong_to_a_column(self) -> NoNa:
        if (self.when is None) != (not self.values):
            raise ValueError("no_na: `when` and `values` go together")
        return self

    @property
    def columns_named(self) -> tuple[str, ...]:
        """The columns of the table itself that the check names."""
        return (*self.columns, *([self.when] if self.when else []))


class LedgerAgreement(_Check):
    """Each column of `pairs` differs from the accountants' figure beside it by at most `tolerance` of that figure.

    Rows without a figure are not compared. `named_by` are the columns that name a row in the message.
    """

    check: Literal["ledger_agreement"]
    pairs: dict[Identifier, Identifier] = Field(min_length=1)
    tolerance: Share
    named_by: tuple[Identifier, ...] = Field(min_length=1)

    @property
    def columns_named(self) -> tuple[str, ...]:
        """The columns of the table itself that the check names."""
        return (*self.pairs, *self.pairs.values(), *self.named_by)


class OutOfScale(_Check):
    """Values of a date that are far from those of the days before it: more than `threshold` robust standard scores.

    The values are those of `column` on each row of `table`, or under `column: rows` the number of rows of each date.

    The score of a value is its distance from the median of the `days` days before, within the same `per`, divided by
    1.4826 times the median distance from that median (MAD), or by `smallest_scale` where that is larger. Values with
    fewer than `min_history` others before them are not judged. `named_by` names a row in the message.

    Source: B. Iglewicz and D. Hoaglin, "How to detect and handle outliers", ASQC 1993.
    """

    check: Literal["out_of_scale"]
    table: TableName
    column: Identifier
    per: tuple[Identifier, ...] = ()
    named_by: tuple[Identifier, ...] = ()
    days: int = Field(default=90, ge=1)
    threshold: Decimal = Field(default=Decimal(8), gt=0)
    smallest_scale: Decimal = Field(default=Decimal(1), gt=0)
    min_history: int = Field(default=20, ge=2)

    @property
    def columns_read_before(self) -> tuple[tuple[str, str], ...]:
        """What it looks at in other tables on the dates before too."""
        value = () if self.column == "rows" else (self.column,)
        return tuple((self.table, name) for name in ("business_date", *value, *self.per, *self.named_by))

    @model_validator(mode="after")
    def _counts_have_no_name(self) -> OutOfScale:
        if self.column == "rows" and self.named_by:
            raise ValueError("out_of_scale: the number of rows is of no single row; leave `named_by` out")
        return self


class MissingStatus(_Check):
    """Rows of a state entity that began `within_days` ago or longer and of which no event has told anything since.

    `entity` and `events` are interface entities that share the column `key`; `since` is the entity's date column.
    """

    check: Literal["missing_status"]
    entity: Identifier
    key: Identifier
    since: Identifier
    events: Identifier
    within_days: int = Field(ge=0)

    @property
    def columns_read(self) -> tuple[tuple[str, str], ...]:
        """What the check looks at in other tables: `schema.table` and column, on the date itself."""
        return ((f"itf.{self.entity}", self.key), (f"itf.{self.entity}", self.since))

    @property
    def columns_read_before(self) -> tuple[tuple[str, str], ...]:
        """What it looks at in other tables on the dates before too."""
        return ((f"itf.{self.events}", self.key),)


LandingCheck = Annotated[ExpectedEvents | Duplicates | Skew | LateBeyondBound, Field(discriminator="check")]
"""What a source's landing table can be checked for."""

EntityCheck = Annotated[ExpectedEvents | Duplicates | Skew | NoNa, Field(discriminator="check")]
"""What an interface entity can be checked for."""

MartCheck = Annotated[
    ExpectedEvents | Skew | NoNa | LedgerAgreement | OutOfScale | MissingStatus, Field(discriminator="check")
]
"""What a mart can be checked for."""

AnyCheck = ExpectedEvents | Duplicates | Skew | LateBeyondBound | NoNa | LedgerAgreement | OutOfScale | MissingStatus
