"""What an asset says of its pipeline: owners, tags, when it is due, who uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dagster import MetadataValue

from cdm_assets.catalog.pipelines import Pipeline, Severity
from cdm_assets.operations.ownership import find_pipeline
from cdm_assets.warehouse.tables import Tables

_TIERS: Final = {Severity.CRITICAL: "1", Severity.MAJOR: "2", Severity.MINOR: "3"}


@dataclass(frozen=True)
class AssetOwnership:
    """Owners, tags, description and metadata of an asset."""

    owners: tuple[str, ...]
    """The pipeline's primary and secondary owner, then those of the catalog."""
    description: str
    tags: Mapping[str, str] = field(default_factory=dict)
    """`pipeline`, `severity` and `tier` (1 for critical to 3 for minor); none without a pipeline."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def ownership_of(tables: Tables, key: str) -> AssetOwnership:
    """What the asset of the table `schema.table` says; of a table without pipeline, what the catalog says of it."""
    meta = tables.meta(key)
    pipeline = find_pipeline(tables.catalog, key)
    if pipeline is None:
        return AssetOwnership(meta.owners, meta.description)
    return AssetOwnership(
        owners=tuple(dict.fromkeys((*pipeline.owners, *meta.owners))),
        description=f"{meta.description}\n\n{_due(pipeline)}",
        tags={"pipeline": pipeline.pipeline, "severity": pipeline.severity.value, "tier": _TIERS[pipeline.severity]},
        metadata={
            "on_call": f"{pipeline.group} ({pipeline.on_call.value.replace('_', ' ')})",
            "upstream": MetadataValue.md(_listed((u.source, f"{u.owner}, {u.contact}") for u in pipeline.upstream)),
            "downstream": MetadataValue.md(_listed((d.who, d.contact) for d in pipeline.downstream)),
        },
    )


def _due(pipeline: Pipeline) -> str:
    return (
        f"Pipeline {pipeline.pipeline} ({pipeline.severity.value}): ready by {pipeline.ready_by:%H:%M} UTC on the day "
        f"after the business date, fixed within {pipeline.fix_within_hours:g} hours. Check `fresh` tells by partition "
        "whether it is."
    )


def _listed(pairs: Any) -> str:
    return "\n".join(f"- {name}: {contact}" for name, contact in pairs) or "none declared"
