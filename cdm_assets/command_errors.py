"""How a command ends that cannot go on."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from cdm_assets.catalog.model import Source


class Stopped(Exception):
    """The command cannot go on; the message says why and what to do."""

    def __init__(self, message: str, *, code: str = "CDM-CFG-003") -> None:
        self.error_code = code
        super().__init__(message)


def source_named(name: str, sources: Mapping[str, Source]) -> Source:
    """The source of that name. Raises Stopped with the names that are near."""
    if name not in sources:
        close = get_close_matches(name, sources, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(sources))}"
        raise Stopped(f"unknown source {name!r}; {hint}")
    return sources[name]
