"""`cdm source ...`: look at one source's files before and after it is declared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cdm_assets.catalog.model import Catalog
    from cdm_assets.operations.source_files import ProfiledColumn
    from cdm_assets.warehouse.column_drift import ColumnDrift

_DRIFTED = 2

app = typer.Typer(
    help="A source: write a first YAML for a new one, show how a file differs from what is declared, pause and resume.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A .csv, .jsonl (both also .gz), .parquet or .xlsx file.")
]


@app.command()
def infer(
    file: FileArgument,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write to this file, which must not exist, instead of printing.")
    ] = None,
) -> None:
    """Write a first YAML for a new source from one of its files.

    Types, key, delivery, PII and rules are guessed from all rows, and each guess is marked as one. Correct them, then
    put the YAML into the folder sources/ of the site's catalog (CDM_CATALOG) and run `cdm validate`.
    """
    from cdm_assets.command_errors import Stopped
    from cdm_assets.operations.source_inference import inferred_yaml

    with _file_errors():
        text = inferred_yaml(file, _catalog())
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise Stopped(f"{output} exists already; name another file, or remove it first") from None
    except OSError as fault:
        raise Stopped(f"{output} cannot be written: {fault}") from fault
    typer.echo(f"{output}: a first draft; look at each `# guess`, then run `cdm validate`")


@app.command()
def diff(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Name of a source of the catalog.")],
    file: FileArgument,
) -> None:
    """Show how a file differs from what SOURCE declares.

    Tells names, order and types of its columns, over all rows, and whether the file would load.

    Exit code 0: no difference. 2: the file drifted. 1: it cannot be compared.
    """
    from cdm_assets.command_errors import source_named
    from cdm_assets.operations.source_files import found_columns
    from cdm_assets.warehouse.column_drift import column_drift, side_by_side, summary

    declared = source_named(source, _catalog().sources)
    with _file_errors():
        found = found_columns(file, declared)
    drift = column_drift(declared, [column.found for column in found])
    text = summary(drift)
    if not text:
        typer.echo(f"{file}: as source {source} declares ({len(found)} columns)")
        return
    typer.echo(f"{file}: {text}\n\n{side_by_side(drift)}\n")
    for line in _verdict(drift, found):
        typer.echo(line)
    raise typer.Exit(_DRIFTED)


def _verdict(drift: Sequence[ColumnDrift], found: Sequence[ProfiledColumn]) -> Iterator[str]:
    """Whether the file would load, and what becomes of the columns and records that differ."""
    from cdm_assets.validation.exact_text import is_retyped
    from cdm_assets.warehouse.column_drift import DriftKind

    lost = [each for each in drift if each.is_fatal and each.kind is not DriftKind.RETYPED]
    retyped = [each.name for each in found if is_retyped(misfits=each.misfits, filled=each.rows - each.blanks)]
    if lost or retyped:
        names = ", ".join(each.expected.file_name for each in lost if each.expected)
        reasons = [f"{names} must be there"] * bool(lost)
        reasons += [f"most values of {', '.join(retyped)} are of another type"] * bool(retyped)
        yield f"The file would not load: {'; '.join(reasons)}."
        yield "Ask for the file as it was, or change the source's YAML; `header:` names a renamed column."
        return
    yield "The file would load."
    for each in drift:
        if each.kind is DriftKind.ADDED and each.found:
            yield f"  {each.found.name} is not declared: kept as JSON in `extra`."
        elif each.kind in (DriftKind.REMOVED, DriftKind.RENAMED) and each.expected and not each.is_fatal:
            yield f"  {each.expected.name} would be NULL."
    for column in found:
        if column.misfits:
            share = f"{column.misfits:,} of {column.rows:,} values"
            yield f"  {column.name}: {share} do not fit; their records would be rejected."


def _catalog() -> Catalog:
    from cdm_assets.catalog.reading import read_catalog
    from cdm_assets.settings import Settings

    return read_catalog(Settings.from_environment().catalog_overlay)


@contextmanager
def _file_errors() -> Iterator[None]:
    from cdm_assets.command_errors import Stopped
    from cdm_assets.operations.source_files import SourceFileError

    try:
        yield
    except SourceFileError as reason:
        raise Stopped(str(reason)) from reason
