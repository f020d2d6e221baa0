"""What all catalog models share: strictness, immutability, and the form of a name."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
"""A lower-case SQL name of at most 50 characters, which leaves room for what table and check names put around it: 63
characters on PostgreSQL."""

Owner = Annotated[str, StringConstraints(pattern=r"^(team:[a-z][a-z0-9_-]*|[^@\s]+@[^@\s]+\.[^@\s]+)$")]
"""An owner as Dagster takes it: an e-mail address or `team:<name>`."""


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know, so that a typing error never passes as a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
