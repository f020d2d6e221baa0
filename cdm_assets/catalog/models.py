"""The models whose predictions are taken in, as `models.yaml` declares them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final

from pydantic import Field, model_validator

from cdm_assets.catalog.base import Identifier, Owner, Strict

MODELS_FILE: Final = "models.yaml"
"""Where models are declared, at the root of a catalog folder; it may be absent."""


class ModelVersion(Strict):
    """One version of a model."""

    version: str = Field(min_length=1, max_length=40)
    valid_from: date
    """The first business date for which this version may predict."""


class PredictionModel(Strict):
    """A model that scores customers, and what its predictions are held to."""

    description: str
    owners: tuple[Owner, ...] = Field(min_length=1)
    versions: tuple[ModelVersion, ...] = Field(min_length=1)
    min_score: Decimal = Decimal(0)
    max_score: Decimal = Decimal(1)
    max_age_days: int = Field(ge=0)
    """How old a score may be before a check warns."""
    least_share_scored: Decimal = Field(default=Decimal(0), ge=0, le=1)
    """Of all known customers; a check warns below it."""
    most_drift: Decimal = Field(default=Decimal("0.25"), gt=0)
    """The population stability index against the scores before, beyond which a check warns. Customary: below 0.1 none,
    above 0.25 a shift."""
    primary: bool = False
    """Its scores enrich the published customer_360."""

    @model_validator(mode="after")
    def _has_a_range_and_each_version_once(self) -> PredictionModel:
        if self.min_score >= self.max_score:
            raise ValueError(f"min_score {self.min_score} is not below max_score {self.max_score}")
        names = [version.version for version in self.versions]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"version {', '.join(repeated)} is declared twice")
        return self


class ModelsFile(Strict):
    """What stands in `models.yaml`."""

    models: dict[Identifier, PredictionModel]

    @model_validator(mode="after")
    def _one_is_primary(self) -> ModelsFile:
        primary = [name for name, model in self.models.items() if model.primary]
        if self.models and len(primary) != 1:
            found = ", ".join(primary) or "none"
            raise ValueError(f"expected one model with `primary: true`, which enriches customer_360; found {found}")
        return self
