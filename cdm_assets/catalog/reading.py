"""Read the catalog's YAML into a checked `Catalog`, or say everything that is wrong, with file and line.

A site overlays its own folder: a file of the same name replaces the shipped one, other files are added, and the hubs,
links and events of its `vault.yaml` are added to the shipped ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from cdm_assets.catalog.consistency import faults_across
from cdm_assets.catalog.model import Catalog, InterfaceEntity, Mart, Source, Vault

CANONICAL: Final = Path(__file__).resolve().parent.parent / "canonical"
"""The folder of the catalog that ships with the package."""

_FOLDERS: Final[Mapping[str, tuple[type[BaseModel], str]]] = {
    "sources": (Source, "source"),
    "interface": (InterfaceEntity, "entity"),
    "marts": (Mart, "mart"),
}


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

    def fault(self, location: Sequence[str | int], message: str) -> CatalogFault:
        return CatalogFault(str(self.path), self.line_of(location), message)


def read_catalog(overlay: Path | None = None, *, shipped: Path = CANONICAL) -> Catalog:
    """The catalog that ships, with `overlay` laid over it.

    Raises CatalogError naming every mistake at once; nothing else has happened by then.
    """
    faults: list[CatalogFault] = []
    if overlay is not None and not overlay.is_dir():
        raise CatalogError([CatalogFault(str(overlay), 0, "the catalog folder named by CDM_CATALOG does not exist")])
    roots = [shipped] if overlay is None else [shipped, overlay]
    documents: dict[tuple[str, str], _Document] = {}
    parts: dict[str, dict[str, Any]] = {folder: {} for folder in _FOLDERS}
    for folder, (model, name_key) in _FOLDERS.items():
        for path in _files_in(roots, folder, faults):
            document = _read(path, faults)
            part = _parsed(document, model, faults) if document else None
            if document is None or part is None:
                continue
            name = getattr(part, name_key)
            if name != path.stem:
                faults.append(document.fault([name_key], f"{name_key} is {name!r} but the file is named {path.name!r}"))
            parts[folder][name] = part
            documents[folder, name] = document
    vault = _read_vault(roots, documents, faults)
    if vault is None or faults:
        raise CatalogError(faults)
    catalog = Catalog(vault=vault, **parts)
    for folder, name, location, message in faults_across(catalog):
        document = documents.get((folder, name)) or documents["vault", str(location[1]) if len(location) > 1 else ""]
        faults.append(document.fault(location, message))
    if faults:
        raise CatalogError(faults)
    return catalog


def _files_in(roots: Sequence[Path], folder: str, faults: list[CatalogFault]) -> list[Path]:
    """The YAML files of a folder, a later root's file taking the place of an earlier one of the same name."""
    found: dict[str, Path] = {}
    for root in roots:
        for path in sorted((root / folder).glob("*")):
            if path.suffix == ".yaml":
                found[path.stem] = path
            elif path.suffix == ".yml":
                faults.append(CatalogFault(str(path), 0, "rename it to end in .yaml; .yml files are not read"))
    return list(found.values())


def _read(path: Path, faults: list[CatalogFault]) -> _Document | None:
    try:
        content = YAML().load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        faults.append(CatalogFault(str(path), mark.line + 1 if mark else 0, f"not valid YAML: {fault.problem}"))
        return None
    except UnicodeDecodeError as fault:
        faults.append(CatalogFault(str(path), 0, f"not UTF-8: {fault}"))
        return None
    if not isinstance(content, Mapping):
        faults.append(CatalogFault(str(path), 1, "expected a mapping of keys to values"))
        return None
    return _Document(path, content)


def _parsed(document: _Document, model: type[BaseModel], faults: list[CatalogFault]) -> BaseModel | None:
    try:
        return model.model_validate(document.content)
    except ValidationError as fault:
        faults.extend(document.fault(error["loc"], _message(error, model)) for error in fault.errors())
        return None


def _message(error: Any, model: type[BaseModel]) -> str:
    """One pydantic error as a sentence that names the key and says what was expected."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = sorted(_known_keys(model))
        close = get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{where}: unknown key{hint}"
    if error["type"] == "missing":
        return f"{where}: required key is missing"
    found = "" if isinstance(error["input"], dict | list) else f" (found {error['input']!r})"
    return f"{where}: {str(error['msg']).removeprefix('Value error, ')}{found}"


def _known_keys(model: type[BaseModel], seen: frozenset[type] = frozenset()) -> Iterator[str]:
    """Every key that a model or a model inside it understands."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        for inner in _models_in(field.annotation):
            if inner not in seen:
                yield from _known_keys(inner, seen | {inner})


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)


def _read_vault(
    roots: Sequence[Path], documents: dict[tuple[str, str], _Document], faults: list[CatalogFault]
) -> Vault | None:
    """The shipped vault with each overlay's entities added; `documents` learns which file an entity came from."""
    merged: Vault | None = None
    for root in roots:
        path = root / "vault.yaml"
        if not path.exists():
            continue
        document = _read(path, faults)
        vault = _parsed(document, Vault, faults) if document else None
        if document is None or not isinstance(vault, Vault):
            continue
        documents["vault", ""] = document
        for group in (vault.hubs, vault.links, vault.events):
            documents.update({("vault", name): document for name in group})
        if merged is None:
            merged = vault
        else:
            added = {kind: getattr(merged, kind) | getattr(vault, kind) for kind in ("hubs", "links", "events")}
            merged = merged.model_copy(update=added)
    if merged is None and not faults:
        faults.append(CatalogFault(str(roots[0] / "vault.yaml"), 0, "the catalog has no vault.yaml"))
    return merged
