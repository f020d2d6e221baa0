"""What of the platform has been executed where: `evidence.yaml`, its table in docs/engines.md, and what holds it true.

A cell is an engine and a column, such as the vault's loads on SQL Server. It says whether they were executed on the
real engine, on a stand-in, or only read as text, names the tests that do it, and what those do not show. A test named
here must be one that `make test` runs, and must not be skipped: `refuse_to_be_skipped` makes a failure of it.

`python -m cdm_assets_tests.engines.evidence --write` writes the table into the page; with `--check` it says whether
the page is stale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["real", "stand_in", "text", "none"]
Engine = Literal["duckdb", "postgresql", "snowflake", "mssql", "oracle"]
Column = Literal["ddl", "bulk_load", "vault", "marts", "checks", "order_independence", "roles"]

ENGINES: Final[Mapping[Engine, str]] = {
    "duckdb": "DuckDB",
    "postgresql": "PostgreSQL",
    "snowflake": "Snowflake",
    "mssql": "SQL Server",
    "oracle": "Oracle",
}
COLUMNS: Final[Mapping[Column, str]] = {
    "ddl": "DDL",
    "bulk_load": "bulk load",
    "vault": "vault",
    "marts": "marts",
    "checks": "checks",
    "order_independence": "order independence",
    "roles": "roles",
}
EXECUTED: Final = ("real", "stand_in")
EVIDENCE: Final = Path(__file__).with_name("evidence.yaml")
PAGE: Final = Path(__file__).parents[2] / "docs" / "engines.md"

_BEGIN: Final = "<!-- generated from evidence.yaml: begin -->\n"
_END: Final = "<!-- generated: end -->"
_NODE: Final = r"^cdm_assets_tests/[\w/]+\.py::[^\s:]+(::[^\s]+)?$"


class Cell(BaseModel):
    """What is known of a column on an engine; `by` says by what it was executed or read, `limits` what that leaves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    by: str = ""
    tests: Annotated[tuple[Annotated[str, Field(pattern=_NODE)], ...], Field(default=())]
    limits: str = ""

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        if self.kind == "none":
            if self.tests or not self.limits:
                raise ValueError("kind `none` has no tests, and `limits` that say why there is nothing to execute")
            return self
        if not self.by or not self.tests:
            raise ValueError(f"kind `{self.kind}` needs `by` and at least one test")
        if self.kind != "real" and not self.limits:
            raise ValueError(f"kind `{self.kind}` needs `limits`: what it does not show about the real engine")
        return self


Evidence = Mapping[Engine, Mapping[Column, Cell]]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    duckdb: dict[Column, Cell]
    postgresql: dict[Column, Cell]
    snowflake: dict[Column, Cell]
    mssql: dict[Column, Cell]
    oracle: dict[Column, Cell]

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for engine in ENGINES:
            missing = [column for column in COLUMNS if column not in getattr(self, engine)]
            if missing:
                raise ValueError(f"{engine} has no cell {', '.join(missing)}")
        return self


def read(text: str) -> Evidence:
    """The cells of a file's text. Raises pydantic.ValidationError naming what is missing, unknown or too little."""
    file = _File.model_validate(yaml.safe_load(text))
    return {engine: getattr(file, engine) for engine in ENGINES}


@cache
def evidence() -> Evidence:
    """The cells of `evidence.yaml`."""
    return read(EVIDENCE.read_text(encoding="utf-8"))


def cells(found: Evidence) -> Iterator[tuple[Engine, Column, Cell]]:
    """Every cell, in the table's order."""
    for engine in ENGINES:
        for column in COLUMNS:
            yield engine, column, found[engine][column]


def faults(found: Evidence, collected: Mapping[str, Sequence[str]]) -> list[str]:
    """What is not true of the cells' tests, given every test that `make test` runs and its marks, by node id.

    A name without parameters stands for all of the test's; on an engine besides DuckDB, on which every test runs unless
    it says otherwise, a node id has to name the engine.
    """
    complaints = []
    for engine, column, cell in cells(found):
        for name in cell.tests:
            runs = [node for node in collected if node == name or node.startswith(f"{name}[")]
            marks = {mark for node in runs for mark in collected[node]}
            if not runs:
                complaints.append(f"{engine}.{column}: `make test` has no test {name}")
            if refusing := sorted(marks & {"skip", "skipif", "xfail", "slow"}):
                complaints.append(f"{engine}.{column}: {name} is marked {', '.join(refusing)}")
            if engine != "duckdb" and not _names(engine, name, runs):
                complaints.append(f"{engine}.{column}: {name} does not say that it is about {engine}")
    return complaints


_ALSO_CALLED: Final[Mapping[Engine, tuple[str, ...]]] = {
    "postgresql": ("postgres",),
    "mssql": ("sql_server", "sqlserver"),
}


def _names(engine: Engine, name: str, runs: Sequence[str]) -> bool:
    words = (engine, *_ALSO_CALLED.get(engine, ()))
    return any(word in text.lower() for word in words for text in [name, *runs])


def refuse_to_be_skipped(report: pytest.TestReport) -> None:
    """Make a failure of a skipped test that a cell stands on; to be called of every report."""
    if report.skipped and is_named(report.nodeid, evidence()):
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} was skipped ({report.longrepr}), and docs/engines.md says that it runs: "
            "let its fixture start what it needs, or change its cell in evidence.yaml"
        )


def is_named(node: str, found: Evidence) -> bool:
    """Whether a cell stands on the test with this node id."""
    without_parameters = node.partition("[")[0]
    return any(node in cell.tests or without_parameters in cell.tests for _, _, cell in cells(found))


def table(found: Evidence) -> str:
    """The table and, below it, what each cell stands on, as Markdown."""
    lines = [["", *COLUMNS.values()], ["---"] * (len(COLUMNS) + 1)]
    for engine, title in ENGINES.items():
        lines.append([f"**{title}**", *(_WORDS[found[engine][column].kind] for column in COLUMNS)])
    parts = ["".join(f"| {' | '.join(line)} |\n" for line in lines)]
    for engine, title in ENGINES.items():
        parts.append(f"\n### What {title}'s cells stand on\n\n")
        parts.extend(_about(COLUMNS[column], found[engine][column]) for column in COLUMNS)
    return "".join(parts)


_WORDS: Final[Mapping[Kind, str]] = {
    "real": "**executed**",
    "stand_in": "stand-in",
    "text": "as text",
    "none": "there are none",
}


def _about(column: str, cell: Cell) -> str:
    if cell.kind == "none":
        return f"- {column}: {cell.limits.strip()}\n"
    files = dict.fromkeys(name.partition("::")[0].removeprefix("cdm_assets_tests/") for name in cell.tests)
    how = {"real": "executed on", "stand_in": "executed on a stand-in,", "text": "validated as text by"}[cell.kind]
    limits = f" Limits: {cell.limits.strip()}" if cell.limits else ""
    return f"- {column}: {how} {cell.by.strip().rstrip('.')} ({', '.join(f'`{name}`' for name in files)}).{limits}\n"


def filled_in(page: str, found: Evidence) -> str:
    """The page with the table of these cells. Raises ValueError where it has no place for it."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"there is no {_BEGIN.strip()} … {_END} in the page")
    return f"{before}{begin}{table(found)}{end}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page's table; returns 1 where it is stale."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the table into docs/engines.md")
    action.add_argument("--check", action="store_true", help="fail if docs/engines.md shows other cells")
    write = parser.parse_args(arguments).write
    page = PAGE.read_text(encoding="utf-8")
    wanted = filled_in(page, evidence())
    if write:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    if wanted != page:
        sys.stderr.write(f"{PAGE.name} is stale: python -m {__spec__.name if __spec__ else __name__} --write\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
