"""What must hold between pipelines, the tables of the catalog and on-call."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

from cdm_assets.catalog.consistency import Located
from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.oncall import OnCall
from cdm_assets.catalog.types import Layer

ONCALL: str = "oncall"
"""Stands among the unread parts where an `oncall.yaml` could not be read."""


def table_keys(catalog: Catalog) -> list[str]:
    """`schema.table` of every partitioned table that the catalog stands for, without the environment's prefix."""
    vault = catalog.vault
    return [
        *(f"{Layer.LANDING}.{source.table}" for source in catalog.sources.values()),
        *(f"{Layer.VAULT}.h_{name}" for name in vault.hubs),
        *(f"{Layer.VAULT}.l_{name}" for name in (*vault.links, *vault.events)),
        *(f"{Layer.VAULT}.s_{name}" for name in catalog.satellites),
        *(f"{Layer.INTERFACE}.{name}" for name in catalog.interface),
        *(f"{mart.layer}.{name}" for name, mart in catalog.marts.items()),
        *(f"{Layer.PUBLISH}.{name}" for name, mart in catalog.marts.items() if mart.publish),
    ]


def pipeline_faults(catalog: Catalog, *, unread: Collection[tuple[str, str]] = ()) -> Iterator[Located]:
    """Tables of two pipelines or of none, and tables, sources and groups that do not exist.

    `unread` are the files that could not be read, and what they declare nobody knows: then nothing is called unknown.
    """
    folders = {folder for folder, _ in unread}
    tables_known = not folders & {"sources", "interface", "marts", "vault"}
    tables = table_keys(catalog)
    names = [*tables, *(layer.value for layer in Layer if layer is not Layer.CONTROL)]
    named: dict[str, str] = {}
    for name, pipeline in catalog.pipelines.items():
        for number, table in enumerate(pipeline.tables):
            at = ("tables", number)
            if table in named:
                yield "pipelines", name, at, f"tables.{number}: {table!r} is already of pipeline {named[table]!r}"
            elif table not in names and tables_known:
                yield "pipelines", name, at, f"tables.{number}: unknown table {table!r}; {_hint(table, names)}"
            named.setdefault(table, name)
        for number, upstream in enumerate(pipeline.upstream):
            if upstream.source not in catalog.sources and "sources" not in folders:
                hint = _hint(upstream.source, catalog.sources)
                at_source = ("upstream", number, "source")
                yield "pipelines", name, at_source, f"upstream.{number}: unknown source {upstream.source!r}; {hint}"
        if pipeline.group not in catalog.oncall.groups and ONCALL not in folders:
            hint = _hint(pipeline.group, catalog.oncall.groups)
            yield "pipelines", name, ("group",), f"group: unknown on-call group {pipeline.group!r}; {hint}"
    if catalog.pipelines and tables_known and "pipelines" not in folders:
        without = [table for table in tables if not {table, table.split(".")[0]} & named.keys()]
        if without:
            first = next(iter(catalog.pipelines))
            layers = ", ".join(sorted({table.split(".")[0] for table in without}))
            text = f"no pipeline has {', '.join(without)}; name them, or their layer ({layers}), in the one they are of"
            yield "pipelines", first, ("tables",), text


def oncall_faults(part: OnCall, whole: OnCall) -> Iterator[tuple[Sequence[str | int], str]]:
    """What `part`, one file, says of engineers and groups that `whole`, all files, do not have; with its place."""
    for name, group in part.groups.items():
        for number, member in enumerate(group.members):
            at: Sequence[str | int] = ("groups", name, "members", number)
            yield from _unknown(at, "engineer", member.engineer, whole.engineers)
    for number, leave in enumerate(part.leave):
        yield from _unknown(("leave", number, "engineer"), "engineer", leave.engineer, whole.engineers)
    for number, swap in enumerate(part.swaps):
        yield from _unknown(("swaps", number, "group"), "group", swap.group, whole.groups)
        members = [each.engineer for each in whole.groups[swap.group].members] if swap.group in whole.groups else []
        for key, engineer in (("gives", swap.gives), ("takes", swap.takes)):
            if members:
                yield from _unknown(("swaps", number, key), f"member of {swap.group}", engineer, members)


def _unknown(
    at: Sequence[str | int], kind: str, name: str, known: Collection[str]
) -> Iterator[tuple[Sequence[str | int], str]]:
    if name not in known:
        yield at, f"{'.'.join(map(str, at))}: unknown {kind} {name!r}; {_hint(name, known)}"


def _hint(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known)) or 'none'}"
