"""Read the catalog's YAML into a checked `Catalog`, or say everything that is wrong, with file and line.

A site overlays its own folder: a file of the same name replaces the shipped one, other files are added, and the hubs,
links and events of its `vault.yaml` are added to the shipped ones, or replace those of the same name, like its `hash`.
So are the windows of its `maintenance.yaml`, the roles of its `access.yaml`, and the engineers, groups, leave and swaps
of its `oncall.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, StringConstraints, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from cdm_assets.catalog.access import ACCESS_FILE, AccessFile, Role
from cdm_assets.catalog.base import Identifier, Owner
from cdm_assets.catalog.consistency import Located, faults_across
from cdm_assets.catalog.model import (
    WAREHOUSE_SYSTEM,
    Catalog,
    InterfaceEntity,
    MaintenanceFile,
    MaintenanceWindow,
    Mart,
    Reference,
    Source,
    Vault,
)
from cdm_assets.catalog.models import MODELS_FILE, ModelsFile, PredictionModel
from cdm_assets.catalog.oncall import OnCall
from cdm_assets.catalog.pipeline_consistency import ONCALL, oncall_faults, pipeline_faults
from cdm_assets.catalog.pipelines import Pipeline
from cdm_assets.catalog.rules import KnownModel, ScoreRange

CANONICAL: Final = Path(__file__).resolve().parent.parent / "canonical"
"""The folder of the catalog that ships with the package."""

_FOLDERS: Final[Mapping[str, tuple[type[BaseModel], str]]] = {
    "sources": (Source, "source"),
    "interface": (InterfaceEntity, "entity"),
    "marts": (Mart, "mart"),
    "pipelines": (Pipeline, "pipeline"),
}
MAINTENANCE_FILE: Final = "maintenance.yaml"
"""Where maintenance windows are declared, at the root of a catalog folder; it may be absent."""
ONCALL_FILE: Final = "oncall.yaml"
"""Where on-call is declared, at the root of a catalog folder; it may be absent."""
_ROOT_FILES: Final = (ACCESS_FILE, MAINTENANCE_FILE, MODELS_FILE, ONCALL_FILE)

FurtherRule = Callable[[Catalog], Iterator[Located]]
"""A rule over the whole catalog that this package cannot know, such as that of the marts' selects."""


@dataclass(frozen=True, order=True)
class CatalogFault:
    """One mistake in one file. Lines count from 1; 0 stands for the file as a whole."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class CatalogError(Exception):
    """The catalog cannot be used; `faults` holds every mistake found."""

    def __init__(self, faults: Sequence[CatalogFault]) -> None:
        self.faults = tuple(sorted(faults))
        count = f"{len(self.faults)} mistake{'s' if len(self.faults) != 1 else ''} in the catalog:"
        super().__init__("\n".join([count, *(f"  {fault}" for fault in self.faults)]))


@dataclass(frozen=True)
class _Document:
    """One YAML file: its plain content and where each part of it stands."""

    path: Path
    content: Any

    def line_of(self, location: Sequence[str | int]) -> int:
        """The line, from 1, of the deepest part of `location` that the file really has."""
        node, line = self.content, 1
        for part in location:
            if isinstance(node, Mapping) and part in node:
                line = node.lc.key(part)[0] + 1  # type: ignore[attr-defined]
            elif isinstance(node, list) and isinstance(part, int) and part < len(node):
                line = node.lc.item(part)[0] + 1  # type: ignore[attr-defined]
            else:
                continue  # a union's tag, or the key that is missing
            node = node[part]
        return line

    def path_of(self, location: Sequence[str | int]) -> str:
        """`location` in words, without what the file does not say, such as the kind of a rule."""
        node, parts = self.content, []
        for part in location[:-1]:
            is_there = part in node if isinstance(node, Mapping) else isinstance(node, list) and isinstance(part, int)
            if is_there:
                node = node[part]
                parts.append(str(part))
        last = location[-1]
        if last != "[key]" and not (isinstance(node, Mapping) and node.get("rule") == last):
            parts.append(str(last))
        return ".".join(parts)

    def fault(self, location: Sequence[str | int], message: str) -> CatalogFault:
        """A mistake at `location`."""
        return CatalogFault(str(self.path), self.line_of(location), message)


def read_catalog(
    overlay: Path | None = None, *, shipped: Path = CANONICAL, further_rules: Sequence[FurtherRule] = ()
) -> Catalog:
    """The catalog that ships, with `overlay` laid over it.

    Raises CatalogError naming every mistake at once; nothing else has happened by then. `further_rules` are asked where
    the catalog has no other mistake.
    """
    faults: list[CatalogFault] = []
    if overlay is not None and not overlay.is_dir():
        raise CatalogError([CatalogFault(str(overlay), 0, "the catalog folder named by CDM_CATALOG does not exist")])
    roots = [shipped] if overlay is None else [shipped, overlay]
    documents: dict[tuple[str, str], _Document] = {}
    parts: dict[str, dict[str, Any]] = {folder: {} for folder in _FOLDERS}
    unread: set[tuple[str, str]] = set()
    for root in roots:
        faults += _stray_files(root)
    for folder, (model, name_key) in _FOLDERS.items():
        for path in _files_in(roots, folder):
            document = _read(path, faults)
            part = _parsed(document, model, faults) if document else None
            if document is None or part is None:
                unread.add((folder, path.stem))
                continue
            name = getattr(part, name_key)
            if name != path.stem:
                faults.append(document.fault([name_key], f"{name_key} is {name!r} but the file is named {path.name!r}"))
            parts[folder][name] = part
            documents[folder, name] = document
    systems = {source.system for source in parts["sources"].values()}
    all_read = not any(folder == "sources" for folder, _ in unread)
    maintenance = _read_maintenance(roots, systems if all_read else None, faults)
    models = _read_models(roots, faults)
    roles = _read_roles(roots, faults)
    oncall = _read_oncall(roots, faults)
    if oncall is None:
        unread.add((ONCALL, ""))
    parts["sources"] = {name: _with_models(source, models) for name, source in parts["sources"].items()}
    vault = _read_vault(roots, documents, faults)
    if vault is None:
        raise CatalogError(faults)
    catalog = Catalog(
        vault=vault, maintenance=maintenance, models=models, roles=roles, oncall=oncall or OnCall(), **parts
    )
    rules: list[FurtherRule] = [
        lambda whole: faults_across(whole, unread=unread),
        lambda whole: pipeline_faults(whole, unread=unread),
        *further_rules,
    ]
    for number, rule in enumerate(rules):
        if number > 1 and faults:
            break
        faults += [documents[folder, name].fault(at, message) for folder, name, at, message in rule(catalog)]
    if faults:
        raise CatalogError(faults)
    return catalog


def _stray_files(root: Path) -> Iterator[CatalogFault]:
    """YAML files that nobody would read."""
    known = tuple(_FOLDERS)
    for path in sorted(root.rglob("*.y*ml")):
        where = path.relative_to(root).parts
        if path.suffix == ".yml":
            yield CatalogFault(str(path), 0, "rename it to end in .yaml; .yml files are not read")
        elif len(where) != 2 and where not in (("vault.yaml",), *((name,) for name in _ROOT_FILES)):
            expected = f"expected vault.yaml, or a file in {', '.join(known)}, or {', or '.join(_ROOT_FILES)}"
            yield CatalogFault(str(path), 0, f"not read; {expected}")
        elif len(where) == 2 and where[0] not in known:
            close = get_close_matches(where[0], known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected {', '.join(known)}"
            yield CatalogFault(str(path), 0, f"folder {where[0]!r} is not read; {hint}")


def _files_in(roots: Sequence[Path], folder: str) -> list[Path]:
    """The YAML files of a folder, a later root's file taking the place of an earlier one of the same name."""
    found = {path.stem: path for root in roots for path in sorted((root / folder).glob("*.yaml"))}
    return list(found.values())


def _read(path: Path, faults: list[CatalogFault]) -> _Document | None:
    try:
        content = YAML().load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        faults.append(CatalogFault(str(path), mark.line + 1 if mark else 0, f"not valid YAML: {fault.problem}"))
        return None
    except UnicodeDecodeError as fault:
        line = path.read_bytes()[: fault.start].count(b"\n") + 1
        faults.append(CatalogFault(str(path), line, f"not UTF-8: {fault.reason}"))
        return None
    except YAMLError as fault:
        faults.append(CatalogFault(str(path), 0, f"not valid YAML: {fault}"))
        return None
    if not isinstance(content, Mapping):
        faults.append(CatalogFault(str(path), 1, "expected a mapping of keys to values"))
        return None
    return _Document(path, content)


def _parsed(document: _Document, model: type[BaseModel], faults: list[CatalogFault]) -> BaseModel | None:
    try:
        return model.model_validate(document.content)
    except ValidationError as fault:
        faults.extend(document.fault(error["loc"], _message(document, error, model)) for error in fault.errors())
        return None


def _message(document: _Document, error: Any, model: type[BaseModel]) -> str:
    """One pydantic error as a sentence that names the key and says what was expected."""
    location = error["loc"]
    where = document.path_of(location) if location else "the file"
    if error["type"] == "extra_forbidden":
        known = sorted(_keys_at(model, location[:-1]))
        close = get_close_matches(str(location[-1]), known, n=1)
        return f"{where}: unknown key; " + (f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}")
    if error["type"] == "missing":
        return f"{where}: required key is missing"
    if error["type"] == "union_tag_not_found":
        tag = _tag_of(error)
        return f"{where}: required key {tag!r} is missing; expected one of {_kinds(model, location, tag)}"
    if error["type"] == "union_tag_invalid":
        kind, tag = str(error["ctx"]["tag"]), _tag_of(error)
        kinds = _kinds(model, location, tag)
        close = get_close_matches(kind, kinds.split(", "), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {kinds}"
        return f"{where}: unknown {tag} {kind!r}; {hint}"
    if error["type"] == "string_pattern_mismatch":
        return f"{where}: {_PATTERN_WORDS.get(error['ctx']['pattern'], error['msg'])} (found {error['input']!r})"
    found = "" if isinstance(error["input"], dict | list) else f" (found {error['input']!r})"
    return f"{where}: {str(error['msg']).removeprefix('Value error, ')}{found}"


def _pattern_of(annotated: Any) -> str:
    return str(next(part.pattern for part in annotated.__metadata__ if isinstance(part, StringConstraints)))


_PATTERN_WORDS: Final = {
    _pattern_of(Identifier): "expected a name of lower-case letters, digits and _, from 1 to 50 characters",
    _pattern_of(Owner): "expected an e-mail address or team:<name>",
    _pattern_of(Reference): "expected <table>.<column>",
}


def _tag_of(error: Any) -> str:
    """The key that tells the models of a union apart: `rule` or `check`."""
    return str(error["ctx"]["discriminator"]).strip("'")


def _kinds(model: type[BaseModel], location: Sequence[str | int], tag: str) -> str:
    """What the key `tag` may say in the list of `model` that holds `location`: `rules` or `checks`, by name."""
    listed = model.model_fields[str(location[0])].annotation
    return ", ".join(kind for inner in _models_in(listed) for kind in _tags_of(inner, tag))


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> set[str]:
    """The keys that may stand at `location` of a file that `model` describes."""
    models = [model]
    for part in location:
        fields = {(field.alias or name): field for each in models for name, field in each.model_fields.items()}
        tagged = [each for each in models if part in (*_tags_of(each, "rule"), *_tags_of(each, "check"))]
        if tagged:
            models = tagged
        elif part in fields:
            models = list(_models_in(fields[str(part)].annotation))
    return {field.alias or name for each in models for name, field in each.model_fields.items()}


def _tags_of(model: type[BaseModel], tag: str) -> tuple[str, ...]:
    """The values of the key `tag` that mean `model`."""
    field = model.model_fields.get(tag)
    return get_args(field.annotation) if field else ()


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _read_vault(
    roots: Sequence[Path], documents: dict[tuple[str, str], _Document], faults: list[CatalogFault]
) -> Vault | None:
    """The shipped vault with each overlay's entities added; None where one of the files cannot be used.

    `documents` learns which file an entity came from.
    """
    paths = [root / "vault.yaml" for root in roots if (root / "vault.yaml").exists()]
    if not paths:
        faults.append(CatalogFault(str(roots[0] / "vault.yaml"), 0, "the catalog has no vault.yaml"))
        return None
    vaults: list[Vault] = []
    for path in paths:
        document = _read(path, faults)
        vault = _parsed(document, Vault, faults) if document else None
        if document is not None and isinstance(vault, Vault):
            vaults.append(vault)
            for group in (vault.hubs, vault.links, vault.events):
                documents.update({("vault", name): document for name in group})
    if len(vaults) < len(paths):
        return None
    merged = vaults[0]
    for vault in vaults[1:]:
        added = {kind: getattr(merged, kind) | getattr(vault, kind) for kind in ("hubs", "links", "events")}
        added |= {"hash": vault.hash} if "hash" in vault.model_fields_set else {}
        merged = merged.model_copy(update=added)
    return merged


def _read_models(roots: Sequence[Path], faults: list[CatalogFault]) -> dict[str, PredictionModel]:
    """The declared models; a site's file takes the place of the one that ships, as with every file of a catalog."""
    paths = [root / MODELS_FILE for root in roots if (root / MODELS_FILE).exists()]
    document = _read(paths[-1], faults) if paths else None
    file = _parsed(document, ModelsFile, faults) if document else None
    return file.models if isinstance(file, ModelsFile) else {}


def _read_roles(roots: Sequence[Path], faults: list[CatalogFault]) -> dict[str, Role]:
    """The shipped roles with each overlay's added, or in the place of those of the same name."""
    roles: dict[str, Role] = {}
    for path in [root / ACCESS_FILE for root in roots if (root / ACCESS_FILE).exists()]:
        document = _read(path, faults)
        file = _parsed(document, AccessFile, faults) if document else None
        roles |= file.roles if isinstance(file, AccessFile) else {}
    return roles


def _with_models(source: Source, models: Mapping[str, PredictionModel]) -> Source:
    """The source with the declared models in its rules about them."""
    rules = tuple(
        rule.model_copy(update={"models": dict(models)}) if isinstance(rule, KnownModel | ScoreRange) else rule
        for rule in source.rules
    )
    return source.model_copy(update={"rules": rules}) if rules != source.rules else source


def _read_oncall(roots: Sequence[Path], faults: list[CatalogFault]) -> OnCall | None:
    """The shipped on-call file with each overlay's laid over it; None where one of them cannot be used."""
    parts: list[tuple[_Document, OnCall]] = []
    paths = [root / ONCALL_FILE for root in roots if (root / ONCALL_FILE).exists()]
    for path in paths:
        document = _read(path, faults)
        part = _parsed(document, OnCall, faults) if document else None
        if document is not None and isinstance(part, OnCall):
            parts.append((document, part))
    whole = OnCall()
    for _, part in parts:
        whole = whole.overlaid_with(part)
    if len(parts) == len(paths):
        for document, part in parts:
            faults += [document.fault(at, message) for at, message in oncall_faults(part, whole)]
    return whole if len(parts) == len(paths) else None


def _read_maintenance(
    roots: Sequence[Path], systems: Collection[str] | None, faults: list[CatalogFault]
) -> dict[str, MaintenanceWindow]:
    """The shipped maintenance windows with each overlay's added.

    `systems` are those of all sources; None where a source could not be read, whose system nobody knows then.
    """
    windows: dict[str, MaintenanceWindow] = {}
    for path in [root / MAINTENANCE_FILE for root in roots if (root / MAINTENANCE_FILE).exists()]:
        document = _read(path, faults)
        if document is None:
            continue
        file = _parsed(document, MaintenanceFile, faults)
        if isinstance(file, MaintenanceFile):
            windows |= file.windows
        if systems is not None:
            faults.extend(_unknown_systems(document, sorted({*systems, WAREHOUSE_SYSTEM})))
    return windows


def _unknown_systems(document: _Document, known: Sequence[str]) -> Iterator[CatalogFault]:
    """Windows of systems that no source has; from the file's text, so that its other mistakes hide none."""
    windows = document.content.get("windows")
    for name, window in windows.items() if isinstance(windows, Mapping) else ():
        system = window.get("system") if isinstance(window, Mapping) else None
        if isinstance(system, str) and system not in known:
            close = get_close_matches(system, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            yield document.fault(
                ["windows", name, "system"], f"windows.{name}.system: unknown system {system!r}; {hint}"
            )
