"""A first YAML for a new source, guessed from one file of it; what is a guess says so, and why, in a comment.

Guesses are made once, here, for somebody to correct. Nothing is inferred when files are loaded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain, combinations
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from ruamel.yaml import YAML

from cdm_assets.catalog.consistency import faults_across
from cdm_assets.catalog.model import DATE_PLACEHOLDER, Catalog, Source
from cdm_assets.catalog.types import LONGEST_STRING, MOST_DIGITS, ColumnType, PiiClass, TypeKind
from cdm_assets.operations.source_files import MOST_EXAMPLES, ProfiledColumn, SourceFile, SourceFileError, opened

_LENGTHS: Final = (5, 10, 20, 30, 40, 60, 80, 120, 200, 400, 1000, 2000, LONGEST_STRING)
_HEADROOM: Final = 1.25
_PRECISIONS: Final = (12, 18, MOST_DIGITS)
_MONEY_SCALE: Final = 2
_ID: Final = ColumnType(TypeKind.STRING, length=20)
_ID_NAME: Final = re.compile(r"(^|_)(id|no|nr|number|code|key|upc|ean|sku|uuid|guid)$")
_MOST_ID_COLUMNS: Final = 6
_MOST_KEY_COLUMNS: Final = 3
_DOMAIN_FROM_ROWS: Final = 50
_EVENT_DAYS: Final = 2
_EVENT_SHARE: Final = 0.8
_EVENT_ROWS: Final = 3
"""With fewer rows, dates are close to each other by chance."""
_LONGEST_NAME: Final = 50
_NEVER_INFERRED: Final = "It is never inferred at load time"
_DATE: Final = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")
_PLAIN: Final = re.compile(r"^[A-Za-z_]([A-Za-z0-9_ ./+-]*[A-Za-z0-9_.+])?$")
_YAML_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})

_PII_NAMES: Final = (
    (
        PiiClass.DIRECT,
        r"e_?mail|phone|mobile|telephone|(^|_)tel(_|$)|(^|_)fax(_|$)|surname|iban|passport|(^|_)ssn(_|$)",
    ),
    (PiiClass.DIRECT, r"(^|_)(first|last|full|family|given|middle|maiden|customer|contact|person|household)_?name"),
    (PiiClass.DIRECT, r"(^|_)address|street|(^|_)dob(_|$)|birth|^name$|user_?name|social_security|card_number|tax_id"),
    (PiiClass.SENSITIVE, r"salary|income|(^|_)wage|religio|health|medical|ethnic|(^|_)race(_|$)|credit_score|politic"),
    (
        PiiClass.QUASI,
        r"(^|_)(household|customer|client|person|member|patient|user|account|loyalty)_?(id|no|nr|number|key)$",
    ),
    (
        PiiClass.QUASI,
        r"(^|_)age(_|$)|post_?(al_?)?code|(^|_)zip|gender|(^|_)sex(_|$)|marital|household|(^|_)kids|children",
    ),
    (PiiClass.QUASI, r"home_?owner|nationality|(^|_)city(_|$)|latitude|longitude|(^|_)ip_address|occupation"),
)
_PII_SHARE: Final = 0.8
"""From this share of e-mail addresses or phone numbers among a column's different values, they are what it holds."""


@dataclass(frozen=True)
class _Place:
    """What a file's path says: the source's name, `files.path`, and the business date if one stands there."""

    stem: str
    path: str
    business_date: date | None


@dataclass(frozen=True)
class _Draft:
    """One column to be written."""

    name: str
    profile: ProfiledColumn
    type: ColumnType
    pii: PiiClass
    pii_reason: str
    is_key: bool = False
    notes: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every row has a value."""
        return self.profile.blanks == 0


@dataclass(frozen=True)
class _Events:
    """Why the file seems to hold events: the column that says when, and the reason in words."""

    column: str
    reason: str


def inferred_yaml(path: Path, catalog: Catalog) -> str:
    """The YAML of a source that `path` could be a file of, the guesses marked.

    It passes `cdm validate` over `catalog` if the file has a key and a column that is the key of one of its hubs; its
    first lines say whether it does, and what to add to vault.yaml if not.
    Raises SourceFileError: not readable, or without a record to learn from.
    """
    with opened(path) as file:
        if not file.rows:
            raise SourceFileError(f"{path} holds no record; expected some to learn types and key from")
        place = _place_of(path)
        name = _unused(place.stem, catalog.sources)
        drafts = _drafts(file, name, catalog)
        hubs = _hubs_fed(drafts, catalog)
        drafts = _typed_as_hubs(drafts, hubs, catalog)
        key = _key(file, drafts, {column for columns in hubs.values() for column in columns})
        drafts = [replace(draft, is_key=draft.name in key) for draft in drafts]
        rows, repeats = file.rows, file.repeats
        events = _events(file, drafts, place.business_date) if key else None
    body = [
        f"source: {name}",
        *([f"# {place.stem} is a source already; `cdm source diff` compares it"] if name != place.stem else []),
        f"description: {_quoted(f'Inferred from {path.name}; say what a row is.')}",
        *_delivery_lines(events),
        f"files: {{path: {_quoted(place.path)}, format: {file.file_format}}}",
        'owners: ["team:unknown"]  # guess: name who delivers it',
        *([f"# {repeats:,} of {rows:,} rows repeat another in every column"] if repeats else []),
        "columns:",
        *(_column_line(draft) for draft in drafts),
        *_rule_lines(drafts, hubs),
    ]
    feeds, advice = _feeds(name, drafts, hubs, events, catalog)
    text = "\n".join([*body, *feeds, *advice]) + "\n"
    return _verdict(text, name, catalog, has_key=bool(key)) + text


def _verdict(text: str, name: str, catalog: Catalog, *, has_key: bool) -> str:
    faults = _faults(text, name, catalog)
    if not faults:
        return "# A first draft by `cdm source infer`. It passes `cdm validate` as it stands; look at each guess.\n"
    lines = [
        "# A first draft by `cdm source infer`. It does not pass `cdm validate` yet:",
        *(f"# - {f}" for f in faults),
    ]
    if not has_key:
        lines.append(
            "# No column, nor up to three that look like ids, is unique without blanks: mark `key: true` yourself."
        )
    return "\n".join([*lines, ""])


def _faults(text: str, name: str, catalog: Catalog) -> list[str]:
    """What `cdm validate` would say of the source in `text`."""
    try:
        source = Source.model_validate(YAML(typ="safe").load(text))
    except ValidationError as fault:
        return [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in fault.errors()]
    whole = catalog.model_copy(update={"sources": {**catalog.sources, name: source}})
    return [message for folder, of, _, message in faults_across(whole) if (folder, of) == ("sources", name)]


def _place_of(path: Path) -> _Place:
    parent, name = ("", *path.absolute().parts)[-2:]
    suffixes = r"(\.csv(\.gz)?|\.parquet|\.xlsx|\.(jsonl|ndjson)(\.gz)?)$"
    for text in (parent, name):
        for match in _DATE.finditer(text):
            try:
                day = date.fromisoformat(match.group())
            except ValueError:
                continue
            kept = [part.replace(match.group(), DATE_PLACEHOLDER) for part in (parent, name)]
            where = "/".join(kept) if text is parent else kept[1]
            stem = re.sub(suffixes, "", name.replace(match.group(), ""), flags=re.IGNORECASE)
            return _Place(_identifier(stem, "source"), where, day)
    stem = re.sub(suffixes, "", name, flags=re.IGNORECASE)
    return _Place(_identifier(stem, "source"), f"{DATE_PLACEHOLDER}/{name}", None)


def _identifier(text: str, fallback: str) -> str:
    """`text` as a name of the catalog: lower-case letters, digits and _, a letter first."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    plain = unicodedata.normalize("NFKD", words.casefold()).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_LONGEST_NAME].rstrip("_")
    if not name:
        return fallback
    return name if name[0].isalpha() else f"{fallback}_{name}"[:_LONGEST_NAME]


def _unused(name: str, taken: Collection[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name[: _LONGEST_NAME - len(str(number)) - 1]}_{number}"
    return candidate


def _drafts(file: SourceFile, source: str, catalog: Catalog) -> list[_Draft]:
    profiles = file.profiled()
    names: list[str] = []
    for profile in profiles:
        names.append(_unused(_identifier(profile.name, "column"), names))
    for position in _reserved(names, catalog):
        names[position] = _unused(f"{source}_{names[position]}"[:_LONGEST_NAME].removesuffix("_hk"), names)
    return [_draft(name, profile) for name, profile in zip(names, profiles, strict=True)]


def _reserved(names: Sequence[str], catalog: Catalog) -> set[int]:
    """Positions of the names that no column of a source may have, as the catalog's own rules tell."""
    probe = Source.model_validate(
        {
            "source": "probe",
            "description": "",
            "delivery": "snapshot",
            "files": {"path": "{date}", "format": "csv"},
            "owners": ["team:unknown"],
            "columns": [{"name": name, "type": "string(1)"} for name in names],
            "feeds": {"hubs": {"probe": [names[0]]}},
        }
    )
    alone = catalog.model_copy(update={"sources": {"probe": probe}, "interface": {}, "marts": {}})
    places = [at for folder, _, at, _ in faults_across(alone) if folder == "sources"]
    return {int(at[1]) for at in places if len(at) == 2 and at[0] == "columns"}


def _draft(name: str, profile: ProfiledColumn) -> _Draft:
    pii, reason = _pii(name, profile)
    found, notes = profile.type, []
    if found is None:
        return _Draft(name, profile, _ID, pii, reason, notes=("guess: type, every value is blank",))
    if _ID_NAME.search(name) and found.kind is TypeKind.INTEGER:
        return _Draft(name, profile, _ID, pii, reason, notes=("guess: text, as it looks like an id",))
    if profile.longest > LONGEST_STRING and found.kind is TypeKind.STRING:
        notes.append(f"its longest value has {profile.longest} characters: such records are rejected")
    return _Draft(name, profile, _with_room(found), pii, reason, notes=tuple(notes))


def _with_room(found: ColumnType) -> ColumnType:
    """`found` with room for values to come."""
    if found.kind is TypeKind.STRING:
        wanted = (found.length or 1) * _HEADROOM
        return replace(found, length=next((n for n in _LENGTHS if n >= wanted), LONGEST_STRING))
    if found.kind is TypeKind.DECIMAL:
        whole = (found.precision or 0) - (found.scale or 0)
        scale = max(found.scale or 0, _MONEY_SCALE)
        precision = next((p for p in _PRECISIONS if p >= whole + scale), None)
        return found if precision is None else replace(found, precision=precision, scale=scale)
    return found


def _pii(name: str, profile: ProfiledColumn) -> tuple[PiiClass, str]:
    """The class that a column's name or values suggest, and which of them does."""
    for count, what in ((profile.emails, "e-mail addresses"), (profile.phones, "phone numbers")):
        if profile.distinct and count >= _PII_SHARE * profile.distinct:
            return PiiClass.DIRECT, f"its values look like {what}"
    for pii, pattern in _PII_NAMES:
        if re.search(pattern, name):
            return pii, "by its name"
    return PiiClass.NONE, ""


def _hubs_fed(drafts: Sequence[_Draft], catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """The hubs whose keys the file has, with the columns: named as the hub's key or as other sources name theirs."""
    fed = {}
    for hub, declared in catalog.vault.hubs.items():
        columns: list[str] = []
        for position, part in enumerate(declared.key):
            known = {part.name}
            for source in catalog.sources_of_hub(hub):
                column = source.columns_by_name.get(source.feeds.hubs[hub][position])
                known |= {column.name, column.file_name} if column else set()
            columns += [d.name for d in drafts if {d.name, d.profile.name} & known and _can_feed(d, part.type)][:1]
        if len(columns) == len(declared.key):
            fed[hub] = tuple(columns)
    return fed


def _can_feed(draft: _Draft, part: ColumnType) -> bool:
    """Whether each row has a value that is one of the hub's keys."""
    if not draft.is_whole or draft.profile.type is None:
        return False
    if part.kind is TypeKind.STRING:
        return draft.profile.longest <= (part.length or 0)
    return draft.profile.type.kind is part.kind


def _typed_as_hubs(drafts: Sequence[_Draft], hubs: Mapping[str, tuple[str, ...]], catalog: Catalog) -> list[_Draft]:
    """One key must have one type and PII class, whichever source sends it."""
    parts = {
        column: (hub, part)
        for hub, columns in hubs.items()
        for column, part in zip(columns, catalog.vault.hubs[hub].key, strict=True)
    }
    typed = []
    for draft in drafts:
        if draft.name in parts:
            hub, part = parts[draft.name]
            reason = f"as hub {hub} has it" if part.pii is not PiiClass.NONE else ""
            typed.append(replace(draft, type=part.type, pii=part.pii, pii_reason=reason, notes=()))
        else:
            typed.append(draft)
    return typed


def _key(file: SourceFile, drafts: Sequence[_Draft], hub_columns: Collection[str]) -> tuple[str, ...]:
    """The first column, or the fewest of the leading ones that look like ids, that no two rows agree on.

    If there is none, rows that repeat in every column are counted once.
    """
    whole = [draft for draft in drafts if draft.is_whole and draft.type.kind is not TypeKind.DECIMAL]
    first = [whole[:1]] if whole and whole[0] is drafts[0] else []
    ids = [draft for draft in whole if draft.name in hub_columns or _ID_NAME.search(draft.name)][:_MOST_ID_COLUMNS]
    by_size = (combinations(ids, size) for size in range(1, _MOST_KEY_COLUMNS + 1))
    candidates = [*first, *chain.from_iterable(by_size)]
    for but_for_repeats in (False, True):
        for chosen in candidates:
            if file.is_unique([draft.profile.name for draft in chosen], but_for_repeats=but_for_repeats):
                return tuple(draft.name for draft in chosen)
        if not file.repeats:
            break
    return ()


def _events(file: SourceFile, drafts: Sequence[_Draft], business_date: date | None) -> _Events | None:
    """Whether a column tells when each row happened, most of them at about one time."""
    moments = [d for d in drafts if d.is_whole and d.type.kind in (TypeKind.DATE, TypeKind.TIMESTAMP)]
    for draft in moments:
        days = ([business_date] if business_date else []) + ([None] if file.rows >= _EVENT_ROWS else [])
        for day in days:
            share = file.share_near(draft.profile.name, day, days=_EVENT_DAYS)
            if share >= _EVENT_SHARE:
                where = f"of {day}, the date of the path" if day else "of their median"
                reason = f"the key is unique and {share:.0%} of {draft.name} are within {_EVENT_DAYS} days {where}"
                return _Events(draft.name, reason)
    return None


def _delivery_lines(events: _Events | None) -> Iterator[str]:
    if events is None:
        yield "# guess: snapshot, because no column dates every row at about one time. If a file lists only what is"
        yield f"# new or changed, write `delta`. {_NEVER_INFERRED}."
        yield "delivery: snapshot"
    else:
        yield f"# guess: events, because {events.reason}. {_NEVER_INFERRED}."
        yield "# `delta` until vault.yaml has the event, see the end of this file."
        yield "delivery: delta"


def _column_line(draft: _Draft) -> str:
    parts = [f"name: {_quoted(draft.name)}", f"type: {_type(draft.type)}"]
    notes = list(draft.notes)
    if draft.name != draft.profile.name:
        parts.append(f"header: {_quoted(draft.profile.name)}")
    if draft.is_key:
        parts.append("key: true")
        notes.append("guess: key, unique in this file")
    elif draft.is_whole:
        parts.append("required: true")
        notes.append("guess: required, no blanks in this file")
    if draft.pii is not PiiClass.NONE:
        parts.append(f"pii: {draft.pii}")
        notes.append(f"guess: pii, {draft.pii_reason}")
    comment = f"  # {'; '.join(notes)}" if notes else ""
    return f"  - {{{', '.join(parts)}}}{comment}"


def _rule_lines(drafts: Sequence[_Draft], hubs: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    fed = {column for columns in hubs.values() for column in columns}
    few = [
        draft
        for draft in drafts
        if draft.profile.type is not None
        and draft.profile.type.kind is TypeKind.STRING
        and 0 < draft.profile.distinct <= MOST_EXAMPLES
        and draft.profile.rows >= _DOMAIN_FROM_ROWS
        and not (draft.is_key or draft.name in fed or draft.pii.tokenized)
        and draft.profile.longest <= LONGEST_STRING
    ]
    if few:
        yield "rules:"
    for draft in few:
        values = ", ".join(_quoted(value) for value in sorted(draft.profile.examples))
        rule = f"{{rule: domain, column: {_quoted(draft.name)}, values: [{values}], on_failure: warn}}"
        yield f"  - {rule}  # guess: all values of this file"


def _feeds(
    name: str,
    drafts: Sequence[_Draft],
    hubs: Mapping[str, tuple[str, ...]],
    events: _Events | None,
    catalog: Catalog,
) -> tuple[list[str], list[str]]:
    """The lines of `feeds`, and the advice below them: what vault.yaml lacks, as a comment."""
    vault, key = catalog.vault, {draft.name for draft in drafts if draft.is_key}
    taken = {*vault.hubs, *vault.links, *vault.events}
    advice: list[str] = []
    fed = dict(hubs)
    if not fed:
        columns = [draft for draft in drafts if draft.name in key] or list(drafts[:1])
        hub = _unused(_hub_name(name, columns), taken)
        fed[hub] = tuple(draft.name for draft in columns)
        advice += _hub_advice(hub, columns)
    links = {
        link: {column for hub in declared.hubs for column in fed[hub]}
        for link, declared in vault.links.items()
        if all(hub in fed for hub in declared.hubs)
    }
    parents = {hub: set(columns) for hub, columns in fed.items()} | links
    fitting = [parent for parent, columns in parents.items() if key and key <= columns]
    parent = min(fitting, key=lambda each: len(parents[each]), default=None)
    lines = ["feeds:", f"  hubs: {{{', '.join(f'{hub}: [{_listed(columns)}]' for hub, columns in fed.items())}}}"]
    if parent is not None:
        lines += [f"  links: [{parent}]"] if parent in links else []
        lines += ["  satellites:", f"    - {_satellite(name, parent, parents[parent], drafts, catalog)}"]
    elif events is None:
        advice += _link_advice(name, key, fed, taken)
    if events is not None:
        advice += _event_advice(_unused(name, taken), events, fed)
    return lines, advice


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_quoted(name) for name in names)


def _satellite(
    source: str, parent: str, parent_columns: Collection[str], drafts: Sequence[_Draft], catalog: Catalog
) -> str:
    wanted = f"{parent}_details" if source == parent else f"{parent}_{source}"
    satellite = _unused(wanted[:_LONGEST_NAME].rstrip("_"), catalog.satellites)
    has_attributes = any(draft.name not in parent_columns for draft in drafts)
    return f"{{name: {satellite}, parent: {parent}{'' if has_attributes else ', attributes: []'}}}"


def _hub_name(source: str, columns: Sequence[_Draft]) -> str:
    if len(columns) > 1:
        return source
    name = _ID_NAME.sub("", columns[0].name)
    return name if name and name[0].isalpha() else source


def _hub_advice(hub: str, columns: Sequence[_Draft]) -> Iterator[str]:
    yield "# No column is the key of a hub that vault.yaml has. Add this one to it:"
    yield "# hubs:"
    yield f"#   {hub}:"
    yield "#     description: Say what it is."
    yield '#     owners: ["team:unknown"]'
    yield "#     key:"
    for draft in columns:
        pii = "" if draft.pii is PiiClass.NONE else f", pii: {draft.pii}"
        yield f"#       - {{name: {_quoted(draft.name)}, type: {_type(draft.type)}{pii}}}"


def _link_advice(
    name: str, key: Collection[str], fed: Mapping[str, tuple[str, ...]], taken: Collection[str]
) -> list[str]:
    if not key:
        return []
    lines = [f"# No satellite: a row is one ({', '.join(sorted(key))}), which is no hub or link that this file feeds."]
    if set(key) <= {column for columns in fed.values() for column in columns}:
        link = _unused(name, taken)
        lines += ["# To keep its other columns add to vault.yaml", "# links:", f"#   {link}:"]
        lines += ["#     description: Say what it relates.", '#     owners: ["team:unknown"]']
        lines += [f"#     hubs: [{', '.join(fed)}]"]
        lines += [f"# and to feeds  links: [{link}]  and  satellites: [{{name: {link}_details, parent: {link}}}]"]
    return lines


def _event_advice(event: str, events: _Events, fed: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    yield "# To load the rows as events add to vault.yaml"
    yield "# events:"
    yield f"#   {event}:"
    yield "#     description: Say what happens."
    yield '#     owners: ["team:unknown"]'
    yield f"#     hubs: [{', '.join(fed)}]"
    yield f"# and write here  delivery: events  and  event_time: {events.column}"
    yield f"# and in feeds, in the place of satellites and links,  event: {event}"


def _type(column_type: ColumnType) -> str:
    return f'"{column_type}"' if "," in str(column_type) else str(column_type)


def _quoted(text: str) -> str:
    """`text` as a YAML scalar that is read back as the same text."""
    if _PLAIN.match(text) and text.lower() not in _YAML_WORDS:
        return text
    if text.isprintable() and not {'"', "\\"} & set(text):
        return f'"{text}"'
    escaped = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(escaped)}"'
