"""Whose a table is: its pipeline, who owns what it is made of, and who uses it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.pipelines import Pipeline, Upstream


class NoPipeline(Exception):
    """A table is of no pipeline."""


def find_pipeline(catalog: Catalog, table_key: str) -> Pipeline | None:
    """The pipeline that names the table, else the one that names its layer, else None."""
    layer = table_key.split(".", maxsplit=1)[0]
    for name in (table_key, layer):
        for pipeline in catalog.pipelines.values():
            if name in pipeline.tables:
                return pipeline
    return None


def pipeline_of(catalog: Catalog, table_key: str) -> Pipeline:
    """The one pipeline of the table `schema.table` (no environment prefix).

    Raises NoPipeline if there is none, as in a catalog without pipelines.
    """
    pipeline = find_pipeline(catalog, table_key)
    if pipeline is None:
        raise NoPipeline(f"no pipeline has the table {table_key}; name it, or its layer, in a file of pipelines/")
    return pipeline


def tables_of(catalog: Catalog, pipeline: str, tables: Iterable[str]) -> list[str]:
    """Those of `tables` that are of `pipeline`, in their order."""
    whose = {key: find_pipeline(catalog, key) for key in tables}
    return [key for key, found in whose.items() if found is not None and found.pipeline == pipeline]


@dataclass(frozen=True)
class Neighbours:
    """The pipelines before and after a pipeline, and the sources that its tables are made of."""

    upstream: tuple[Pipeline, ...]
    downstream: tuple[Pipeline, ...]
    sources: tuple[Upstream, ...]
    """Of the sources whose landing-zone tables its tables are made of: as declared, else by the source's owner."""


def neighbours(catalog: Catalog, pipeline: Pipeline, reads: Mapping[str, Iterable[str]]) -> Neighbours:
    """Who owns what `pipeline` is made of, and who is affected by it; through all layers.

    `reads` has, for each table, the tables that it reads (`TableLoads.reads`).
    """
    own = set(tables_of(catalog, pipeline.pipeline, reads))
    before = _reached(own, reads)
    read_by: dict[str, list[str]] = {}
    for table, origins in reads.items():
        for origin in origins:
            read_by.setdefault(origin, []).append(table)
    after = _reached(own, read_by)
    declared = {upstream.source: upstream for upstream in pipeline.upstream}
    landing = {f"ldz.{source.table}": name for name, source in catalog.sources.items()}
    sources = [name for table, name in landing.items() if table in before | own]
    return Neighbours(
        upstream=_pipelines(catalog, before - own, pipeline),
        downstream=_pipelines(catalog, after - own, pipeline),
        sources=tuple(declared.get(name) or _by_owner(catalog, name) for name in sources),
    )


def _reached(start: Iterable[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(start)
    while waiting:
        for table in edges.get(waiting.pop(), ()):
            if table not in reached:
                reached.add(table)
                waiting.append(table)
    return reached


def _pipelines(catalog: Catalog, tables: Iterable[str], without: Pipeline) -> tuple[Pipeline, ...]:
    names = {found.pipeline for table in tables if (found := find_pipeline(catalog, table))} - {without.pipeline}
    return tuple(catalog.pipelines[name] for name in sorted(names))


def _by_owner(catalog: Catalog, source: str) -> Upstream:
    owners = catalog.sources[source].owners
    contact = next((owner for owner in owners if not owner.startswith("team:")), owners[0])
    return Upstream(source=source, owner=owners[0], contact=contact)
