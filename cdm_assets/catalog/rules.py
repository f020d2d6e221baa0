"""Data-quality rules as a source's YAML declares them; `validation.rules` turns each into SQL."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cdm_assets.catalog.base import Identifier, Strict
from cdm_assets.catalog.models import PredictionModel
from cdm_assets.catalog.types import OnFailure


class _Rule(Strict):
    rule: str
    on_failure: OnFailure

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns of the source that the rule looks at, the blamed one first."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The name of the rule in messages, checks and rejected records, such as `domain:status`."""
        return f"{self.rule}:{'+'.join(self.columns_read)}"


class _OneColumnRule(_Rule):
    column: Identifier

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns of the source that the rule looks at, the blamed one first."""
        return (self.column,)


class NotNull(_OneColumnRule):
    """The column has a value. Keys and `required` columns have this rule without being told."""

    rule: Literal["not_null"]


class Unique(_Rule):
    """No two rows of one file agree on `columns`; of those that do, the first stays."""

    rule: Literal["unique"]
    columns: tuple[Identifier, ...] = Field(min_length=1)

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns of the source that the rule looks at, the blamed one first."""
        return self.columns


class Domain(_OneColumnRule):
    """The value is one of `values`, or NULL."""

    rule: Literal["domain"]
    values: tuple[str, ...] = Field(min_length=1)


class Range(_OneColumnRule):
    """The value lies between `min` and `max`, both inclusive, or is NULL."""

    rule: Literal["range"]
    min: Decimal | None = None
    max: Decimal | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("a range needs `min`, `max` or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class NonNegative(_OneColumnRule):
    """The value is zero or more, or NULL."""

    rule: Literal["non_negative"]


class DateOrder(_Rule):
    """The value of `earlier` is not after that of `later`, where both have one."""

    rule: Literal["date_order"]
    earlier: Identifier
    later: Identifier

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns of the source that the rule looks at, the blamed one first."""
        return (self.later, self.earlier)


class Format(_OneColumnRule):
    """The whole text matches the regular expression `pattern`, or is NULL."""

    rule: Literal["format"]
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as fault:
            raise ValueError(f"not a regular expression: {fault}") from fault
        return pattern


class Length(_OneColumnRule):
    """The text has between `min` and `max` characters, or is NULL."""

    rule: Literal["length"]
    min: int = Field(default=0, ge=0)
    max: int | None = None


class CompleteWhen(_OneColumnRule):
    """The column has a value on the rows where `when` equals one of `values` (conditional completeness)."""

    rule: Literal["complete_when"]
    when: Identifier
    values: tuple[str, ...] = Field(min_length=1)

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns of the source that the rule looks at, the blamed one first."""
        return (self.column, self.when)


class Referential(_Rule):
    """Every key in `columns` is described by source `references` on that date or before.

    It can block or warn, not reject: whether the other file has come yet must not decide which rows load.
    """

    rule: Literal["referential"]
    columns: tuple[Identifier, ...] = Field(min_length=1)
    references: Identifier

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns of the source that the rule looks at, the blamed one first."""
        return self.columns

    @field_validator("on_failure")
    @classmethod
    def _never_rejects(cls, on_failure: OnFailure) -> OnFailure:
        if on_failure is OnFailure.REJECT:
            raise ValueError(
                "a referential rule may `block` or `warn`; `reject` would let the order in which files arrive "
                "decide which rows load"
            )
        return on_failure


class Dated(_OneColumnRule):
    """The date is the business date of the file."""

    rule: Literal["dated"]


class _ModelRule(_Rule):
    model: Identifier
    """The column that names the model."""
    models: dict[str, PredictionModel] = Field(default_factory=dict)
    """Those of `models.yaml`; the catalog's reader fills them in, so that a rule says all that it is about."""


class KnownModel(_ModelRule):
    """The model is declared in `models.yaml`, in this version, which is valid by the date in `date`."""

    rule: Literal["known_model"]
    version: Identifier
    date: Identifier

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns of the source that the rule looks at, the blamed one first."""
        return (self.model, self.version, self.date)


class ScoreRange(_ModelRule):
    """The score lies between the `min_score` and `max_score` of its model, both inclusive, or is NULL."""

    rule: Literal["score_range"]
    score: Identifier

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns of the source that the rule looks at, the blamed one first."""
        return (self.score, self.model)


class Known(_OneColumnRule):
    """The value is a key of the state entity `entity` of the interface as of the business date.

    Decided by the mart that `judges` the source, whose partition stands behind both and is loaded again when either
    changes: so which records are rejected is a function of the files, not of the order in which they came. The landing
    zone and the vault hold the record as received.
    """

    rule: Literal["known"]
    entity: Identifier

    @field_validator("on_failure")
    @classmethod
    def _only_rejects(cls, on_failure: OnFailure) -> OnFailure:
        if on_failure is not OnFailure.REJECT:
            raise ValueError("a known rule can only `reject`; for `block` or `warn` use referential")
        return on_failure


RowRule = NotNull | Unique | Domain | Range | NonNegative | DateOrder | Format | Length | CompleteWhen
ModelRule = Dated | KnownModel | ScoreRange
Rule = Annotated[RowRule | ModelRule | Referential | Known, Field(discriminator="rule")]
