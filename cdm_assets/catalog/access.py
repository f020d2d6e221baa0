"""Who may do what in the database: roles, their rights in each layer, and what is withheld from them.

`canonical/access.yaml` declares the roles; a site's `access.yaml` adds roles, or replaces those of the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pydantic import Field, model_validator

from cdm_assets.catalog.base import Identifier, Strict
from cdm_assets.catalog.types import Layer, PiiClass

ACCESS_FILE: Final = "access.yaml"
"""Where roles are declared, at the root of a catalog folder; it may be absent."""


class Right(StrEnum):
    """What a role may do with the tables of a layer."""

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    CREATE = "create"
    """New tables and views in the layer's schema."""


WRITING: Final = frozenset(Right) - {Right.SELECT}


class Role(Strict):
    """A role: people and programs are made its members in the database."""

    description: str
    rights: dict[Layer, tuple[Right, ...]] = Field(min_length=1)
    withheld: tuple[PiiClass, ...] = ()
    """Columns of these classes the role never selects, nor the tokens that publish shows in their place."""

    @model_validator(mode="after")
    def _who_writes_also_reads(self) -> Role:
        for layer, rights in self.rights.items():
            if Right.SELECT not in rights:
                raise ValueError(f"rights.{layer} lacks `select`, without which nobody updates or deletes anything")
        if PiiClass.NONE in self.withheld:
            raise ValueError("withheld names `none`, the class of columns that everybody may see")
        return self

    @property
    def writes(self) -> frozenset[Layer]:
        """The layers in which the role changes anything."""
        return frozenset(layer for layer, rights in self.rights.items() if WRITING & set(rights))


VIEWER: Final = "cdm_viewer"
MODEL: Final = "cdm_model"
_NEVER_SHOWN: Final = frozenset({PiiClass.DIRECT, PiiClass.SENSITIVE})


class AccessFile(Strict):
    """What stands in `access.yaml`."""

    roles: dict[Identifier, Role]

    @model_validator(mode="after")
    def _keeps_its_promises(self) -> AccessFile:
        """What the documentation promises of two roles, no site's file can take back."""
        viewer, model = self.roles.get(VIEWER), self.roles.get(MODEL)
        if viewer is not None:
            if dict(viewer.rights) != {Layer.PUBLISH: (Right.SELECT,)}:
                raise ValueError(f"{VIEWER} may only have `{Layer.PUBLISH}: [select]`; declare another role for more")
            if not set(viewer.withheld) >= _NEVER_SHOWN:
                raise ValueError(f"{VIEWER} must have `withheld: [direct, sensitive]`; declare another role for more")
        if model is not None and model.writes != {Layer.INGEST}:
            raise ValueError(f"{MODEL} may write {Layer.INGEST} only; declare another role for more")
        return self


Roles = Mapping[str, Role]
