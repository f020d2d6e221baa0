"""Rules that hold between catalog files: what one names, another must declare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from cdm_assets.catalog.checks import AnyCheck
from cdm_assets.catalog.model import (
    Catalog,
    Column,
    EntityKind,
    InterfaceColumn,
    InterfaceEntity,
    Link,
    Mart,
    Preference,
    Source,
    Total,
)
from cdm_assets.catalog.rules import (
    CompleteWhen,
    Dated,
    DateOrder,
    Domain,
    Format,
    Known,
    KnownModel,
    Length,
    NonNegative,
    Range,
    Referential,
    Rule,
    ScoreRange,
)
from cdm_assets.catalog.types import Delivery, TypeKind, parse_value

Located = tuple[str, str, Sequence[str | int], str]
"""Folder, name, location inside the file, message."""
At = list[str | int]
Fault = tuple[At, str]
"""Location inside the file, message."""

_NUMBERS = (TypeKind.INTEGER, TypeKind.DECIMAL)
_KEY_KINDS = "expected text, a whole number or a date in a key: 1.5 and 1.50 would be two keys"
BUSINESS_DATE = "business_date"
_DATED = frozenset({BUSINESS_DATE, "load_ts", "run_id"})
"""Columns that the platform adds to every table."""
_RESERVED = _DATED | {
    *("source_file", "source_row", "extra", "event_date", "hashdiff", "is_listed", "rec_src"),
    *("nth", "fault", "previous"),
}
"""Columns that the platform adds to a source's tables or to the statements that fill them."""


def faults_across(catalog: Catalog, *, unread: Collection[tuple[str, str]] = ()) -> Iterator[Located]:
    """Every mistake that only shows when the files are read together.

    `unread` are the files (folder, name) that have mistakes of their own and are missing from `catalog`; what may be
    there in them is not complained about, nor is what only follows from another mistake.
    """
    unsound = {name for folder, name in unread if folder == "sources"}
    yield from _vault_faults(catalog, all_sources_read=not unsound)
    for source in catalog.sources.values():
        for location, message in (*_source_faults(catalog, source), *_source_check_faults(source)):
            unsound.add(source.source)
            yield "sources", source.source, location, message
    for source in catalog.sources.values():
        for location, message in _referential_faults(catalog, source, unsound):
            yield "sources", source.source, location, message
    yield from _satellites_named_twice(catalog)
    for entity in catalog.interface.values():
        faults = [*_entity_faults(entity), *_check_faults(entity.checks, [c.name for c in entity.columns])]
        if _can_judge(catalog, entity, unsound):
            faults += _mapping_faults(catalog, entity)
        for location, message in faults:
            yield "interface", entity.entity, location, message
    for mart in catalog.marts.values():
        for location, message in _mart_faults(catalog, mart, unread, unsound):
            yield "marts", mart.mart, location, message
        for location, message in (*_enrichment_faults(catalog, mart, unread), *_judge_faults(catalog, mart, unread)):
            yield "marts", mart.mart, location, message
    yield from _known_rule_faults(catalog, unread, unsound)


def _repeated(names: Iterable[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


def _vault_faults(catalog: Catalog, *, all_sources_read: bool) -> Iterator[Located]:
    vault = catalog.vault
    for name, hub in vault.hubs.items():
        at: At = ["hubs", name, "key"]
        for column in _repeated(c.name for c in hub.key):
            yield "vault", name, at, f"hub {name!r} has two key columns {column!r}; give each its own name"
        for part in hub.key:
            if part.type.kind is TypeKind.DECIMAL:
                yield "vault", name, at, f"hub {name!r}: {part.name!r} is {part.type}; {_KEY_KINDS}"
            if _is_reserved(part.name):
                yield "vault", name, at, f"hub {name!r}: {part.name!r} is a name the platform uses itself; rename it"
        if all_sources_read and not catalog.sources_of_hub(name):
            yield "vault", name, ["hubs", name], f"no source feeds hub {name!r}; expected one with it in feeds.hubs"
    for group, links in (("links", vault.links), ("events", vault.events)):
        for name, link in links.items():
            for location, message in _link_faults(catalog, group, name, link):
                yield "vault", name, location, message
    for name in vault.links:
        if all_sources_read and not catalog.sources_of_link(name):
            yield "vault", name, ["links", name], f"no source feeds link {name!r}; expected one with it in feeds.links"
    for name in vault.events:
        feeding = [s.source for s in catalog.sources.values() if s.feeds.event == name]
        if len(feeding) > 1 or (all_sources_read and not feeding):
            found = ", ".join(feeding) or "none"
            yield "vault", name, ["events", name], f"event {name!r} needs exactly one source, found {found}"


def _link_faults(catalog: Catalog, group: str, name: str, link: Link) -> Iterator[Fault]:
    hubs = catalog.vault.hubs
    for position, hub in enumerate(link.hubs):
        at: At = [group, name, "hubs", position]
        if hub not in hubs:
            yield at, f"{group}.{name} names unknown hub {hub!r}; {_known(hubs)}"
        elif link.hubs.index(hub) != position:
            yield at, f"{group}.{name} names hub {hub!r} twice; expected each hub once"
    if name in hubs:
        yield [group, name], f"{name!r} is both a hub and one of {group}; both would have {name}_hk"
    if group == "events" and name in catalog.vault.links:
        yield [group, name], f"{name!r} is both a link and an event; both would be l_{name}"


def _is_reserved(name: str) -> bool:
    return name in _RESERVED or name.endswith("_hk")


def _known(names: Iterable[str]) -> str:
    return f"known are {', '.join(names) or 'none'}"


def _check_faults(checks: Sequence[AnyCheck], columns: Collection[str]) -> Iterator[Fault]:
    """Columns that a declared check names and its table lacks."""
    for position, check in enumerate(checks):
        at: At = ["checks", position]
        for name in dict.fromkeys(check.columns_named):
            if name not in columns:
                yield at, f"{check.check}: column {name!r} is not declared; {_known(columns)}"


def _source_check_faults(source: Source) -> Iterator[Fault]:
    yield from _check_faults(source.checks, source.columns_by_name)
    for number, column in enumerate(source.columns):
        if column.cleared is not None:
            reason = "a source's value is what it is; `cleared` is for columns of marts"
            yield ["columns", number], f"column {column.name!r}: {reason}"
    for position, check in enumerate(source.checks):
        if check.check == "late_beyond_bound" and source.event_time is None:
            yield ["checks", position], f"{check.check}: the source has no `event_time` by which an event could be late"


def _source_faults(catalog: Catalog, source: Source) -> Iterator[Fault]:
    names = [column.name for column in source.columns]
    headers = [column.file_name for column in source.columns]
    for position, column in enumerate(source.columns):
        name, header = column.name, column.file_name
        if names.index(name) != position:
            yield ["columns", position], f"column {name!r} is declared twice"
        elif headers.index(header) != position:
            yield ["columns", position], f"column {name!r}: another column has the header {header!r} too"
        if _is_reserved(name):
            text = f"column {name!r} is a name the platform uses itself; name it otherwise and give `header: {name}`"
            yield ["columns", position], text
        if column.key and column.type.kind is TypeKind.DECIMAL:
            yield ["columns", position], f"key column {name!r} is {column.type}; {_KEY_KINDS}"
    if source.files.ingest_table is not None:
        yield from _ingest_faults(catalog, source)
    if not source.key:
        yield ["columns"], "no column is marked `key: true`; a file's rows need a key"
    if source.event_time is not None:
        timed = source.columns_by_name.get(source.event_time)
        if timed is None or timed.type.kind not in (TypeKind.DATE, TypeKind.TIMESTAMP):
            yield ["event_time"], f"event_time {source.event_time!r} is not a date or timestamp column of this source"
        elif not (timed.required or timed.key):
            yield ["event_time"], f"event_time {source.event_time!r} must be `required: true`"
        if source.delivery is not Delivery.EVENTS:
            yield ["event_time"], f"event_time is for `delivery: events`; a {source.delivery} is of its business date"
    yield from _feed_faults(catalog, source)
    for position, rule in enumerate(source.rules):
        for message in _rule_faults(source, rule):
            yield ["rules", position], message


def _ingest_faults(catalog: Catalog, source: Source) -> Iterator[Fault]:
    """What a table needs of which each date's rows become a file."""
    table = source.files.ingest_table
    at: At = ["files", "ingest_table"]
    dated = next((column for column in source.columns if column.file_name == BUSINESS_DATE), None)
    if dated is None or dated.type.kind is not TypeKind.DATE:
        yield at, f"ingest_table: a date column with `header: {BUSINESS_DATE}` must say to which date a row belongs"
    others = [s.source for s in catalog.sources.values() if s.files.ingest_table == table and s is not source]
    if others:
        yield at, f"table {table!r} of cdm_ingest_db is that of source {', '.join(others)} too; give each its own"


def _feed_faults(catalog: Catalog, source: Source) -> Iterator[Fault]:
    vault, feeds = catalog.vault, source.feeds
    for hub, columns in feeds.hubs.items():
        at: At = ["feeds", "hubs", hub]
        if hub not in vault.hubs:
            yield at, f"unknown hub {hub!r}; {_known(vault.hubs)}"
            continue
        key = vault.hubs[hub].key
        if len(columns) != len(key):
            yield at, f"hub {hub!r} has key ({', '.join(c.name for c in key)}), {len(columns)} column(s) given"
        for name, part in zip(columns, key, strict=False):
            column = source.columns_by_name.get(name)
            if column is None:
                yield at, f"unknown column {name!r}; {_known(source.columns_by_name)}"
            else:
                yield from ((at, message) for message in _key_faults(column, hub, part))
    for link in feeds.links:
        at = ["feeds", "links"]
        if link not in vault.links:
            yield at, f"unknown link {link!r}; {_known(vault.links)}"
        else:
            yield from _missing_hubs(source, link, vault.links[link].hubs, at)
    if feeds.event is not None:
        at = ["feeds", "event"]
        if feeds.event not in vault.events:
            yield at, f"unknown event {feeds.event!r}; {_known(vault.events)}"
        else:
            yield from _missing_hubs(source, feeds.event, vault.events[feeds.event].hubs, at)
    if (feeds.event is not None) != (source.delivery is Delivery.EVENTS):
        yield ["delivery"], "`delivery: events` and `feeds.event` go together: one is given without the other"
    yield from _satellite_faults(catalog, source)


def _key_faults(column: Column, hub: str, part: Column) -> Iterator[str]:
    """Why `column` cannot be the part `part` of a hub's key. One key must give one hash, whichever source sends it."""
    of_hub = f"the key {part.name!r} of hub {hub!r}"
    if column.type.kind is not part.type.kind:
        yield f"column {column.name!r} is {column.type}, {of_hub} is {part.type}"
    elif (column.type.length or 0) > (part.type.length or 0):
        yield f"column {column.name!r} is {column.type}, longer than {of_hub}, {part.type}"
    elif column.type.scale != part.type.scale:
        yield f"column {column.name!r} is {column.type}, {of_hub} has another scale, {part.type}"
    if not (column.required or column.key):
        yield f"column {column.name!r} feeds hub {hub!r}, so it must be `required: true` or a key"
    if column.pii.strictness > part.pii.strictness:
        yield f"column {column.name!r} is `pii: {column.pii}`, {of_hub} must be classed so too, not {part.pii}"


def _missing_hubs(source: Source, link: str, hubs: Sequence[str], at: At) -> Iterator[Fault]:
    for hub in hubs:
        if hub not in source.feeds.hubs:
            yield at, f"{link!r} needs hub {hub!r}, which feeds.hubs does not map"


def _satellite_faults(catalog: Catalog, source: Source) -> Iterator[Fault]:
    feeds, links = source.feeds, catalog.vault.links
    for position, satellite in enumerate(feeds.satellites):
        at: At = ["feeds", "satellites", position]
        is_link = satellite.parent in feeds.links
        if satellite.parent not in feeds.hubs and not is_link:
            parents = _known((*feeds.hubs, *feeds.links))
            yield at, f"satellite {satellite.name!r}: this source feeds no hub or link {satellite.parent!r}; {parents}"
        if source.delivery is Delivery.EVENTS:
            yield at, f"satellite {satellite.name!r}: events keep their columns on the link; remove the satellite"
        for name in satellite.attributes or ():
            if name not in source.columns_by_name:
                unknown = f"satellite {satellite.name!r} tracks unknown column {name!r}"
                yield at, f"{unknown}; {_known(source.columns_by_name)}"
        hubs = links[satellite.parent].hubs if is_link and satellite.parent in links else (satellite.parent,)
        if all(hub in feeds.hubs for hub in hubs):
            parent_key = {column for hub in hubs for column in feeds.hubs[hub]}
            if not set(source.key) <= parent_key:
                yield (
                    at,
                    (
                        f"satellite {satellite.name!r}: a file has many rows for one {satellite.parent} "
                        f"(its key is {', '.join(source.key)}); describe a link of all its keys instead"
                    ),
                )


def _rule_faults(source: Source, rule: Rule) -> Iterator[str]:
    unknown = [name for name in rule.columns_read if name not in source.columns_by_name]
    for name in unknown:
        yield f"{rule.rule} names unknown column {name!r}; columns are {', '.join(source.columns_by_name)}"
    if unknown:
        return
    columns = [source.columns_by_name[name] for name in rule.columns_read]
    wanted = _NUMBERS if isinstance(rule, Range | NonNegative) else (TypeKind.STRING,)
    if isinstance(rule, Range | NonNegative | Domain | Format | Length) and columns[0].type.kind not in wanted:
        yield f"{rule.rule} needs a {' or '.join(wanted)} column, {columns[0].name!r} is {columns[0].type}"
    if isinstance(rule, DateOrder):
        kinds = {column.type.kind for column in columns}
        if len(kinds) > 1 or not kinds <= {TypeKind.DATE, TypeKind.TIMESTAMP}:
            found = " and ".join(f"{column.name!r} is {column.type}" for column in columns)
            yield f"date_order needs two date or two timestamp columns, {found}"
    if isinstance(rule, Dated) and columns[0].type.kind is not TypeKind.DATE:
        yield f"dated needs a date column, {columns[0].name!r} is {columns[0].type}"
    yield from _model_rule_faults(rule, columns)
    if isinstance(rule, CompleteWhen):
        yield from (f"complete_when: {text}" for text in _not_of_type(rule.values, source.columns_by_name[rule.when]))


def _model_rule_faults(rule: Rule, columns: Sequence[Column]) -> Iterator[str]:
    wanted: tuple[tuple[TypeKind, ...], ...] = ()
    if isinstance(rule, KnownModel):
        wanted = ((TypeKind.STRING,), (TypeKind.STRING,), (TypeKind.DATE,))
    if isinstance(rule, ScoreRange):
        wanted = (_NUMBERS, (TypeKind.STRING,))
    for column, kinds in zip(columns, wanted, strict=False):
        if column.type.kind not in kinds:
            yield f"{rule.rule} needs a {' or '.join(kinds)} column, {column.name!r} is {column.type}"
    if isinstance(rule, KnownModel | ScoreRange) and not rule.models:
        yield f"{rule.rule}: no model is declared; declare them in models.yaml at the root of the catalog folder"


def _not_of_type(values: Iterable[str], column: Column) -> Iterator[str]:
    for value in values:
        try:
            parse_value(value, column.type)
        except ValueError as fault:
            yield f"{fault}, which {column.name!r} is"


def _referential_faults(catalog: Catalog, source: Source, unsound: Collection[str]) -> Iterator[Fault]:
    if source.source not in unsound:
        for position, rule in enumerate(source.rules):
            if isinstance(rule, Referential) and rule.references not in unsound:
                at: At = ["rules", position]
                yield from ((at, message) for message in _reference_faults(catalog, source, rule))


def _reference_faults(catalog: Catalog, source: Source, rule: Referential) -> Iterator[str]:
    if rule.references not in catalog.sources:
        yield f"referential names unknown source {rule.references!r}; {_known(catalog.sources)}"
        return
    found = catalog_hub_between(catalog, source, rule)
    if found is None:
        yield (
            f"referential: no hub that this source feeds from ({', '.join(rule.columns)}) "
            f"has a satellite from source {rule.references!r}"
        )
        return
    hub, feeds, vault = found[0], source.feeds, catalog.vault
    linked = [hubs.hubs for name, hubs in vault.links.items() if name in feeds.links]
    linked += [hubs.hubs for name, hubs in vault.events.items() if name == feeds.event]
    if not any(hub in hubs for hubs in linked) and not any(s.parent == hub for s in feeds.satellites):
        yield f"referential: this source fills no link, event or satellite of hub {hub!r} on which it could be checked"


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
                message = f"satellite {satellite.name!r} is fed {names[satellite.name]} times; give each its own name"
                yield "sources", source.source, ["feeds", "satellites", position], message


def _can_judge(catalog: Catalog, entity: InterfaceEntity, unsound: Collection[str]) -> bool:
    """Whether all that an entity names comes from sources without mistakes; others are complained about themselves."""
    for table in (entity.spine, *(reference.split(".")[0] for c in entity.columns for reference in c.from_)):
        name = table[2:]
        if table.startswith("s_") and name in catalog.satellites:
            feeding = {catalog.satellites[name][0].source}
        elif table.startswith("l_") and name in catalog.vault.events:
            feeding = {s.source for s in catalog.sources.values() if s.feeds.event == name}
            if len(feeding) != 1:
                return False
        elif unsound and table.startswith("s_"):
            return False
        else:
            continue
        if not feeding.isdisjoint(unsound):
            return False
    return True


def _entity_faults(entity: InterfaceEntity) -> Iterator[Fault]:
    """Mistakes that the entity's file shows by itself."""
    names = [column.name for column in entity.columns]
    for position, name in enumerate(names):
        yield from _name_faults(names, position, name)
    for name in entity.key:
        if name not in names:
            yield ["key"], f"key column {name!r} is not declared; {_known(names)}"
        elif not entity.columns[names.index(name)].required:
            yield ["columns", names.index(name)], f"key column {name!r} must be `required: true`"


def _mapping_faults(catalog: Catalog, entity: InterfaceEntity) -> Iterator[Fault]:
    yield from _preference_faults(entity)
    reachable = columns_reachable(catalog, entity)
    if reachable is None:
        fitting = "an event (l_...)" if entity.kind is EntityKind.EVENT else "a hub or link (h_..., l_...)"
        yield ["spine"], f"spine {entity.spine!r} is not {fitting} of the vault, which a {entity.kind} entity needs"
        return
    for position, column in enumerate(entity.columns):
        at: At = ["columns", position]
        unknown = [reference for reference in column.from_ if reference not in reachable]
        for reference in unknown:
            yield at, f"{column.name}: {reference!r} cannot be reached from {entity.spine}"
        if not unknown:
            yield from ((at, message) for message in _type_faults(catalog, column))
    if entity.kind is EntityKind.STATE:
        mapped = {reference for column in entity.columns if column.name in entity.key for reference in column.from_}
        for hub in _hubs_of_spine(catalog, entity):
            for part in catalog.vault.hubs[hub].key:
                if f"h_{hub}.{part.name}" not in mapped:
                    text = f"one row a key of {entity.spine}: the key needs a column from h_{hub}.{part.name}"
                    yield ["key"], text


def _preference_faults(entity: InterfaceEntity) -> Iterator[Fault]:
    """`prefer: latest` decides between satellites, so all columns with several references must name the same ones."""
    if entity.prefer is not Preference.LATEST:
        return
    named = {p: tuple(r.split(".")[0] for r in c.from_) for p, c in enumerate(entity.columns) if len(c.from_) > 1}
    for position, tables in named.items():
        if tables != next(iter(named.values())) or not all(table.startswith("s_") for table in tables):
            expected = ", ".join(next(iter(named.values())))
            text = f"prefer: latest needs the same satellites in every column that names several; expected {expected}"
            yield ["columns", position], text
    if entity.kind is not EntityKind.STATE or not named:
        yield ["prefer"], "prefer: latest is for state entities with a column from several satellites"


def _name_faults(names: list[str], position: int, name: str) -> Iterator[Fault]:
    if names.index(name) != position:
        yield ["columns", position], f"column {name!r} is declared twice"
    if name in _DATED:
        yield ["columns", position], f"column {name!r} is one that every table has; leave it out or rename it"


def _type_faults(catalog: Catalog, column: InterfaceColumn) -> Iterator[str]:
    """Type errors of one interface column; none of its values is converted."""
    origins = [catalog.vault_column(reference) for reference in column.from_]
    type_ = column.type or origins[0].type
    for reference, origin in zip(column.from_, origins, strict=True):
        if origin.type.kind is not type_.kind:
            yield f"{column.name} is {type_}, {reference!r} is {origin.type}"
    if column.codes and type_.kind is not TypeKind.STRING:
        yield f"{column.name} is {type_}; codes are for string columns"
        return
    target = Column(name=column.name, type=type_)
    values = (*column.codes.values(), *(() if column.default is None else (column.default,)))
    yield from _not_of_type(values, target)


def _hubs_of_spine(catalog: Catalog, entity: InterfaceEntity) -> Sequence[str]:
    vault, spine = catalog.vault, entity.spine[2:]
    if entity.spine.startswith("h_"):
        return [spine] if spine in vault.hubs else []
    link = vault.events.get(spine) if entity.kind is EntityKind.EVENT else vault.links.get(spine)
    return [hub for hub in link.hubs if hub in vault.hubs] if link else []


def columns_reachable(catalog: Catalog, entity: InterfaceEntity) -> set[str] | None:
    """The `table.column` references an entity may use from its spine; None where the spine does not fit its kind."""
    hubs = _hubs_of_spine(catalog, entity)
    is_event = entity.kind is EntityKind.EVENT
    if not hubs or (is_event and not entity.spine.startswith("l_")):
        return None
    spine = entity.spine[2:]
    reachable = {f"{entity.spine}.business_date"}
    reachable |= {f"h_{hub}.{column.name}" for hub in hubs for column in catalog.vault.hubs[hub].key}
    if is_event:
        reachable |= {f"{entity.spine}.{name}" for name in catalog.event_attributes(spine)}
        return reachable
    used = {reference.split(".")[0] for column in entity.columns for reference in column.from_}
    for name, (_, satellite) in catalog.satellites.items():
        if satellite.parent == spine and f"s_{name}" in used:
            reachable |= {f"s_{name}.{column}" for column in catalog.satellite_attributes(name)}
            reachable.add(f"s_{name}.is_listed")
    return reachable


def _mart_faults(
    catalog: Catalog, mart: Mart, unread: Collection[tuple[str, str]], unsound: Collection[str]
) -> Iterator[Fault]:
    columns = {column.name: column for column in mart.columns}
    names = [column.name for column in mart.columns]
    for position, name in enumerate(names):
        yield from _name_faults(names, position, name)
    yield from _check_faults(mart.checks, names)
    for name in mart.key:
        if not columns[name].required:
            yield ["columns", names.index(name)], f"key column {name!r} must be `required: true`"
    hub = None
    if mart.one_row_per is not None:
        name, column = mart.one_row_per.split(".")
        entity = catalog.interface.get(name)
        if entity is not None and entity.kind is EntityKind.STATE and column in entity.key:
            hub = entity.spine[2:] if entity.spine.startswith("h_") else None
        elif ("interface", name) not in unread:
            yield ["one_row_per"], f"{mart.one_row_per!r} is not a key column of a state entity of the interface"
    for position, total in enumerate(mart.totals):
        at: At = ["totals", position]
        if columns[total.column].type.kind not in _NUMBERS:
            yield at, f"total of {total.column!r}: expected a number, it is {columns[total.column].type}"
        yield from ((at, message) for message in _total_faults(catalog, total, hub, unsound))


def _enrichment_faults(catalog: Catalog, mart: Mart, unread: Collection[tuple[str, str]]) -> Iterator[Fault]:
    """Mistakes in what a mart is enriched by."""
    name = mart.enriched_by
    if name is None or ("marts", name) in unread:
        return
    enrichment = catalog.marts.get(name)
    if enrichment is None or enrichment is mart:
        yield (
            ["enriched_by"],
            f"enriched_by names unknown mart {name!r}; {_known(m for m in catalog.marts if m != mart.mart)}",
        )
        return
    if enrichment.key != mart.key:
        keys = f"{name} has key ({', '.join(enrichment.key)}), this mart ({', '.join(mart.key)})"
        yield ["enriched_by"], f"{keys}; a row would find none or many"
    if not any(column.required and column.name not in mart.key for column in enrichment.columns):
        yield ["enriched_by"], f"{name} needs a `required: true` column besides its key, which tells where it has a row"
    own = {column.name for column in mart.columns}
    for column in enrichment.columns:
        if column.name in own and column.name not in mart.key:
            yield ["enriched_by"], f"column {column.name!r} is in {name} and in this mart; rename one of them"


def _judge_faults(catalog: Catalog, mart: Mart, unread: Collection[tuple[str, str]]) -> Iterator[Fault]:
    for position, name in enumerate(mart.judges):
        source = catalog.sources.get(name)
        if source is None and ("sources", name) not in unread:
            yield ["judges", position], f"judges unknown source {name!r}; {_known(catalog.sources)}"
        elif source is not None and not any(isinstance(rule, Known) for rule in source.rules):
            yield ["judges", position], f"source {name!r} has no `known` rule to judge"


def _known_rule_faults(
    catalog: Catalog, unread: Collection[tuple[str, str]], unsound: Collection[str]
) -> Iterator[Located]:
    """A `known` rule needs an entity with one key, and one mart that decides it."""
    for source in catalog.sources.values():
        judging = [mart.mart for mart in catalog.marts.values() if source.source in mart.judges]
        for position, rule in enumerate(source.rules):
            if not isinstance(rule, Known) or source.source in unsound:
                continue
            entity, message = catalog.interface.get(rule.entity), ""
            if entity is None and ("interface", rule.entity) not in unread:
                message = f"known names unknown entity {rule.entity!r}; {_known(catalog.interface)}"
            elif entity is not None and (entity.kind is not EntityKind.STATE or len(entity.key) != 1):
                message = f"known: entity {rule.entity!r} must be a state entity with a key of one column"
            elif entity is not None and entity.spine[2:] in source.feeds.hubs:
                message = f"known: this source feeds hub {entity.spine[2:]!r}, so all that it sends is known"
            elif len(judging) != 1 and not any(folder == "marts" for folder, _ in unread):
                found = ", ".join(judging) or "none"
                message = f"known needs one mart with {source.source!r} in its `judges`, found {found}"
            if message:
                yield "sources", source.source, ["rules", position], message


def _total_faults(catalog: Catalog, total: Total, hub: str | None, unsound: Collection[str]) -> Iterator[str]:
    table, column = total.against.split(".")
    event = catalog.vault.events.get(table[2:]) if table.startswith("l_") else None
    if event is None:
        events = ", ".join(f"l_{name}" for name in catalog.vault.events)
        yield f"{total.against!r} is not a column of an event ({events})"
        return
    feeding = [s for s in catalog.sources.values() if s.feeds.event == table[2:]]
    if len(feeding) != 1 or feeding[0].source in unsound:
        return
    attributes = catalog.event_attributes(table[2:])
    if column != "rows" and column not in attributes:
        yield f"{table} has no column {column!r}; {_known(('rows', *attributes))}"
    elif column != "rows" and feeding[0].columns_by_name[column].type.kind not in _NUMBERS:
        yield f"total against {total.against!r}: expected a number, it is {feeding[0].columns_by_name[column].type}"
    if hub is not None and total.window == "up_to_date" and hub not in event.hubs:
        yield f"{table} has no {hub}, of which this mart has one row each; {_known(event.hubs)}"
