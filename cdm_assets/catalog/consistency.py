"""Rules that hold between catalog files: what one names, another must declare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from cdm_assets.catalog.model import Catalog, EntityKind, InterfaceEntity, Mart, Source
from cdm_assets.catalog.rules import Domain, Format, Length, NonNegative, Range, Referential
from cdm_assets.catalog.types import Delivery, TypeKind

Located = tuple[str, str, Sequence[str | int], str]
"""Folder, name, location inside the file, message."""

_NUMBERS = (TypeKind.INTEGER, TypeKind.DECIMAL)
_RESERVED = frozenset({"business_date", "load_ts", "run_id", "source_file", "source_row", "event_date", "hashdiff"})


def faults_across(catalog: Catalog) -> Iterator[Located]:
    """Every mistake that only shows when the files are read together."""
    yield from _vault_faults(catalog)
    for source in catalog.sources.values():
        for location, message in _source_faults(catalog, source):
            yield "sources", source.source, location, message
    yield from _satellites_named_twice(catalog)
    for entity in catalog.interface.values():
        for location, message in _interface_faults(catalog, entity):
            yield "interface", entity.entity, location, message
    for mart in catalog.marts.values():
        for location, message in _mart_faults(catalog, mart):
            yield "marts", mart.mart, location, message


def _vault_faults(catalog: Catalog) -> Iterator[Located]:
    vault = catalog.vault
    for group, links in (("links", vault.links), ("events", vault.events)):
        for name, link in links.items():
            for position, hub in enumerate(link.hubs):
                if hub not in vault.hubs:
                    yield "vault", name, [group, name, "hubs", position], f"{group}.{name} names unknown hub {hub!r}"
    for name in vault.links:
        if name in vault.events:
            yield "vault", name, ["events", name], f"{name!r} is both a link and an event; both would be l_{name}"
        if not catalog.sources_of_link(name):
            yield "vault", name, ["links", name], f"no source feeds link {name!r}"
    for name in vault.hubs:
        if not catalog.sources_of_hub(name):
            yield "vault", name, ["hubs", name], f"no source feeds hub {name!r}"
    for name in vault.events:
        feeding = [s.source for s in catalog.sources.values() if s.feeds.event == name]
        if len(feeding) != 1:
            yield (
                "vault",
                name,
                ["events", name],
                f"event {name!r} needs exactly one source, found {', '.join(feeding) or 'none'}",
            )


def _source_faults(catalog: Catalog, source: Source) -> Iterator[tuple[Sequence[str | int], str]]:
    names = [column.name for column in source.columns]
    for position, name in enumerate(names):
        if names.index(name) != position:
            yield ["columns", position], f"column {name!r} is declared twice"
        if name in _RESERVED:
            yield ["columns", position], f"column {name!r} is a name the platform uses itself; rename it"
    if not source.key:
        yield ["columns"], "no column is marked `key: true`; a file's rows need a key"
    if source.event_time is not None:
        column = source.columns_by_name.get(source.event_time)
        if column is None or column.type.kind not in (TypeKind.DATE, TypeKind.TIMESTAMP):
            yield ["event_time"], f"event_time {source.event_time!r} is not a date or timestamp column of this source"
        elif not (column.required or column.key):
            yield ["event_time"], f"event_time {source.event_time!r} must be `required: true`"
    yield from _feed_faults(catalog, source)
    yield from _rule_faults(catalog, source)


def _feed_faults(catalog: Catalog, source: Source) -> Iterator[tuple[Sequence[str | int], str]]:
    vault, feeds = catalog.vault, source.feeds
    for hub, columns in feeds.hubs.items():
        at = ["feeds", "hubs", hub]
        if hub not in vault.hubs:
            yield at, f"unknown hub {hub!r}; vault.yaml has {', '.join(vault.hubs)}"
            continue
        key = vault.hubs[hub].key
        if len(columns) != len(key):
            yield at, f"hub {hub!r} has key ({', '.join(c.name for c in key)}), {len(columns)} column(s) given"
        for name, part in zip(columns, key, strict=False):
            column = source.columns_by_name.get(name)
            if column is None:
                yield at, f"unknown column {name!r}"
            elif column.type.kind is not part.type.kind:
                yield at, f"column {name!r} is {column.type}, the key {part.name!r} of hub {hub!r} is {part.type}"
            elif not (column.required or column.key):
                yield at, f"column {name!r} feeds hub {hub!r}, so it must be `required: true` or a key"
    for link in feeds.links:
        if link not in vault.links:
            yield ["feeds", "links"], f"unknown link {link!r}; vault.yaml has {', '.join(vault.links)}"
        else:
            yield from _missing_hubs(source, link, vault.links[link].hubs, ["feeds", "links"])
    if feeds.event is not None:
        if feeds.event not in vault.events:
            yield ["feeds", "event"], f"unknown event {feeds.event!r}; vault.yaml has {', '.join(vault.events)}"
        else:
            yield from _missing_hubs(source, feeds.event, vault.events[feeds.event].hubs, ["feeds", "event"])
    if (feeds.event is not None) != (source.delivery is Delivery.EVENTS):
        yield ["delivery"], "`delivery: events` and `feeds.event` go together: one is given without the other"
    yield from _satellite_faults(catalog, source)


def _missing_hubs(
    source: Source, link: str, hubs: Sequence[str], at: Sequence[str | int]
) -> Iterator[tuple[Sequence[str | int], str]]:
    for hub in hubs:
        if hub not in source.feeds.hubs:
            yield at, f"{link!r} needs hub {hub!r}, which feeds.hubs does not map"


def _satellite_faults(catalog: Catalog, source: Source) -> Iterator[tuple[Sequence[str | int], str]]:
    for position, satellite in enumerate(source.feeds.satellites):
        at = ["feeds", "satellites", position]
        if satellite.parent not in source.feeds.hubs and satellite.parent not in source.feeds.links:
            yield at, f"satellite {satellite.name!r}: this source feeds no hub or link {satellite.parent!r}"
        if source.delivery is Delivery.EVENTS:
            yield at, f"satellite {satellite.name!r}: events keep their columns on the link; remove the satellite"
        for name in satellite.attributes or ():
            if name not in source.columns_by_name:
                yield at, f"satellite {satellite.name!r} tracks unknown column {name!r}"


def _rule_faults(catalog: Catalog, source: Source) -> Iterator[tuple[Sequence[str | int], str]]:
    for position, rule in enumerate(source.rules):
        at = ["rules", position]
        kinds = {}
        for name in rule.columns_read:
            if name not in source.columns_by_name:
                yield at, f"{rule.rule} names unknown column {name!r}; columns are {', '.join(source.columns_by_name)}"
            else:
                kinds[name] = source.columns_by_name[name].type.kind
        wanted = _NUMBERS if isinstance(rule, Range | NonNegative) else (TypeKind.STRING,)
        if isinstance(rule, Range | NonNegative | Domain | Format | Length):
            for name, kind in kinds.items():
                if kind not in wanted:
                    yield at, f"{rule.rule} needs a {' or '.join(wanted)} column, {name!r} is {kind}"
        if isinstance(rule, Referential) and rule.references not in catalog.sources:
            yield at, f"referential names unknown source {rule.references!r}"
        elif isinstance(rule, Referential) and not catalog_hub_between(catalog, source, rule):
            yield at, (
                f"referential: no hub that this source feeds from ({', '.join(rule.columns)}) "
                f"has a satellite from source {rule.references!r}"
            )


def catalog_hub_between(catalog: Catalog, source: Source, rule: Referential) -> tuple[str, str] | None:
    """The hub that `rule.columns` feed and the satellite by which the referenced source describes it."""
    for hub, columns in source.feeds.hubs.items():
        if columns != rule.columns:
            continue
        for satellite in catalog.sources[rule.references].feeds.satellites:
            if satellite.parent == hub:
                return hub, satellite.name
    return None


def _satellites_named_twice(catalog: Catalog) -> Iterator[Located]:
    names = Counter(sat.name for source in catalog.sources.values() for sat in source.feeds.satellites)
    for source in catalog.sources.values():
        for position, satellite in enumerate(source.feeds.satellites):
            if names[satellite.name] > 1:
                yield (
                    "sources",
                    source.source,
                    ["feeds", "satellites", position],
                    f"satellite {satellite.name!r} is fed by {names[satellite.name]} sources; give each its own",
                )


def _interface_faults(catalog: Catalog, entity: InterfaceEntity) -> Iterator[tuple[Sequence[str | int], str]]:
    reachable = columns_reachable(catalog, entity)
    if reachable is None:
        yield ["spine"], f"spine {entity.spine!r} is not a table of the vault that fits a {entity.kind} entity"
        return
    for position, column in enumerate(entity.columns):
        for reference in column.from_:
            if reference not in reachable:
                yield ["columns", position], f"{column.name}: {reference!r} cannot be reached from {entity.spine}"
    names = [column.name for column in entity.columns]
    for name in entity.key:
        if name not in names:
            yield ["key"], f"key column {name!r} is not declared"


def columns_reachable(catalog: Catalog, entity: InterfaceEntity) -> set[str] | None:
    """The `table.column` references an entity may use from its spine; None where the spine does not fit its kind."""
    vault, spine = catalog.vault, entity.spine[2:]
    reachable: set[str] = set()
    if entity.kind is EntityKind.EVENT:
        if not entity.spine.startswith("l_") or spine not in vault.events:
            return None
        reachable |= {f"{entity.spine}.{name}" for name in catalog.event_attributes(spine)}
        hubs: Sequence[str] = vault.events[spine].hubs
    elif entity.spine.startswith("h_") and spine in vault.hubs:
        hubs = [spine]
    elif entity.spine.startswith("l_") and spine in vault.links:
        hubs = vault.links[spine].hubs
    else:
        return None
    reachable |= {f"{entity.spine}.business_date"}
    reachable |= {f"h_{hub}.{column.name}" for hub in hubs for column in vault.hubs[hub].key}
    if entity.kind is EntityKind.STATE:
        for name, (_, satellite) in catalog.satellites.items():
            if satellite.parent == spine:
                reachable |= {f"s_{name}.{column}" for column in catalog.satellite_attributes(name)}
                reachable.add(f"s_{name}.is_listed")
    return reachable


def _mart_faults(catalog: Catalog, mart: Mart) -> Iterator[tuple[Sequence[str | int], str]]:
    events = {f"l_{name}" for name in catalog.vault.events}
    for position, total in enumerate(mart.totals):
        table, column = total.against.split(".")
        if table not in events:
            yield ["totals", position], f"{total.against!r} is not a column of an event link ({', '.join(sorted(events))})"
        elif column != "rows" and column not in catalog.event_attributes(table[2:]):
            yield ["totals", position], f"{table} has no column {column!r}"
    if mart.one_row_per is not None:
        entity, column = mart.one_row_per.split(".")
        if entity not in catalog.interface or column not in {c.name for c in catalog.interface[entity].columns}:
            yield ["one_row_per"], f"{mart.one_row_per!r} is not a column of an interface entity"
