"""The runbooks in `runbooks/`: found, checked, printed by section, and their generated parts kept in line.

A runbook is Markdown written by hand. What the catalog or the table of error codes knows better stands between

    <!-- generated: begin NAME -->
    <!-- generated: end -->

where NAME is `code CDM-LDZ-001` (what the code means), `ownership PIPELINE` (author, executor, approver), `pipeline
PIPELINE` (schedule, promises, tables, neighbours), `sources` (every source, when it is due and whom to ask), `codes`
(the file's codes) or `all codes` (every code). `cdm runbook --write` fills them in, `--check` fails where one is stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.pipelines import Pipeline
from cdm_assets.operations.error_codes import CODES, FAILURES, PIPELINE_RUNBOOKS, ErrorCode
from cdm_assets.operations.ownership import find_pipeline, tables_of
from cdm_assets.warehouse.tables import Tables

README: Final = "README.md"
TEAM: Final = "*team*"
ESCALATE: Final = "*escalate first*"
NEEDED_SECTIONS: Final = ("Purpose", "Ownership", "Triggers", "Steps", "Verification", "Review")
_BLOCK: Final = re.compile(
    r"(?P<begin><!-- generated: begin (?P<name>[^>]+?) -->\n)(?P<text>.*?)(?P<end><!-- generated: end -->)", re.DOTALL
)
_HEADING: Final = re.compile(r"^(?P<level>##+) (?P<title>.+)$", re.MULTILINE)
_REVIEW: Final = re.compile(r"^Next review: (\d{4}-\d{2}-\d{2})$", re.MULTILINE)
_STEP: Final = re.compile(r"^\d+\. ", re.MULTILINE)


class RunbooksMissing(Exception):
    """There is no folder of runbooks, or not the one asked for."""


def runbooks_folder(configured: Path | None = None) -> Path:
    """The runbooks' folder: `configured` (CDM_RUNBOOKS), or the one beside the package. Raises RunbooksMissing."""
    folder = configured or Path(__file__).resolve().parents[2] / "runbooks"
    if not (folder / README).is_file():
        raise RunbooksMissing(
            f"there are no runbooks in {folder}: they are part of the repository and not of the installed package; "
            "run from a checkout, or set CDM_RUNBOOKS to its folder runbooks/"
        )
    return folder


def section_of(code: str, folder: Path) -> str:
    """The section that explains a code, as Markdown. Raises RunbooksMissing for one that is not there."""
    known = CODES.get(code.upper())
    if known is None:
        near = [each for each in CODES if each.startswith(code.upper()[:7])]
        hint = f"near are {', '.join(near)}" if near else "`cdm runbook` lists them all"
        raise RunbooksMissing(f"there is no error code {code}; {hint}")
    text = _read(folder / known.runbook)
    for title, section in sections(text):
        if title.split(":")[0].strip() == known.code:
            return section
    raise RunbooksMissing(f"{folder / known.runbook} has no section headed {known.code}")


def runbook_text(name: str, folder: Path) -> str:
    """A whole runbook by the beginning of its file's name, such as `3` or `profit_exp`. Raises RunbooksMissing."""
    found = sorted(path for path in folder.glob("*.md") if path.name.startswith(name))
    if len(found) != 1:
        names = ", ".join(path.stem for path in sorted(folder.glob("*.md")) if path.name != README)
        raise RunbooksMissing(f"{name!r} names {len(found)} runbooks; expected a code or one of {names}")
    return _read(found[0])


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Every heading below the first level and its text, up to the next heading of its level or above."""
    headings = list(_HEADING.finditer(_without_fences(text)))
    for number, heading in enumerate(headings):
        level = len(heading["level"])
        later = (h.start() for h in headings[number + 1 :] if len(h["level"]) <= level)
        yield heading["title"], text[heading.start() : next(later, len(text))].strip() + "\n"


def _without_fences(text: str) -> str:
    """The text with what stands in code blanked out: a comment of a shell is no heading."""
    return re.sub(r"^```.*?^```", lambda found: re.sub(r"[^\n]", " ", found[0]), text, flags=re.DOTALL | re.MULTILINE)


def runbook_of(catalog: Catalog, table_key: str) -> str:
    """The runbook of a table, from the repository's root: its pipeline's, else its layer's part of failure handling."""
    pipeline = find_pipeline(catalog, table_key)
    if pipeline is not None and pipeline.pipeline in PIPELINE_RUNBOOKS:
        return f"runbooks/{pipeline.pipeline}.md"
    layer = table_key.partition(".")[0]
    return f"runbooks/{FAILURES}#{LAYER_SECTIONS.get(layer, 'steps')}"


LAYER_SECTIONS: Final[Mapping[str, str]] = {
    "ldz": "landing-zone",
    "rdv": "vault",
    "itf": "interface",
    "agg": "aggregates-and-360",
    "cs_360_db": "aggregates-and-360",
    "metrics": "steps",
    "cdm_publish_db": "publish",
    "cdm_ingest_db": "predictions",
}
"""The headings of failure handling, as anchors."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a runbook."""

    file: str
    message: str

    def __str__(self) -> str:
        return f"runbooks/{self.file}: {self.message}"


def faults(folder: Path, tables: Tables) -> list[Fault]:
    """Generated parts that are stale, codes without a section, runbooks that lack something every one has."""
    found: list[Fault] = []
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}
    for name, text in texts.items():
        for block in _BLOCK.finditer(text):
            try:
                is_current = block["text"] == _generated(block["name"], name, tables)
            except KeyError as unknown:
                found.append(Fault(name, f"nothing is generated under the name {block['name']!r} ({unknown})"))
                continue
            if not is_current:
                found.append(Fault(name, f"the generated part {block['name']!r} is stale; run `cdm runbook --write`"))
        if name != README:
            found += _faults_of_shape(name, text)
    for code in CODES.values():
        found += _faults_of_code(code, texts)
    return found


def _faults_of_shape(name: str, text: str) -> Iterator[Fault]:
    titles = {title for title, _ in sections(text)}
    for needed in NEEDED_SECTIONS:
        if needed not in titles:
            yield Fault(name, f"has no section {needed!r}")
    if _REVIEW.search(text) is None:
        yield Fault(name, "names no day of its next review; expected a line `Next review: YYYY-MM-DD`")
    for title, section in sections(text):
        for line in section.splitlines():
            if _STEP.match(line) and TEAM not in line and ESCALATE not in line and title != "Verification":
                yield Fault(name, f"step without {TEAM} or {ESCALATE}: {line[:60]}")


def _faults_of_code(code: ErrorCode, texts: Mapping[str, str]) -> Iterator[Fault]:
    headed = {title.split(":")[0].strip(): section for title, section in sections(texts.get(code.runbook, ""))}
    section = headed.get(code.code)
    if section is None:
        yield Fault(code.runbook, f"has no section for {code.code} ({code.title})")
        return
    if f"begin code {code.code} " not in section:
        yield Fault(code.runbook, f"the section {code.code} does not say what the code means (generated part)")
    if not _STEP.search(section):
        yield Fault(code.runbook, f"the section {code.code} has no steps")
    if "Verify:" not in section:
        yield Fault(code.runbook, f"the section {code.code} does not say how to verify")


def overdue(folder: Path, today: date) -> list[str]:
    """The runbooks whose next review is past."""
    return [
        f"{path.name} was to be reviewed by {day}"
        for path in sorted(folder.glob("*.md"))
        for day in _REVIEW.findall(path.read_text(encoding="utf-8"))
        if date.fromisoformat(day) < today
    ]


def write_generated(folder: Path, tables: Tables) -> list[str]:
    """Fill in the generated parts; returns the names of the files that changed."""
    changed = []
    for path in sorted(folder.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = _BLOCK.sub(partial(_filled_in, file=path.name, tables=tables), before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path.name)
    return changed


def _filled_in(block: re.Match[str], *, file: str, tables: Tables) -> str:
    return block["begin"] + _generated(block["name"], file, tables) + block["end"]


def _generated(name: str, file: str, tables: Tables) -> str:
    """The text of a generated part. Raises KeyError for one that nobody knows."""
    kind, _, about = name.partition(" ")
    catalog = tables.catalog
    texts: dict[str, Callable[[], str]] = {
        "code": lambda: _about_code(CODES[about]),
        "codes": lambda: _codes_table(code for code in CODES.values() if code.runbook == file),
        "all": lambda: _codes_table(CODES.values()),
        "sources": lambda: _sources_table(catalog),
        "pipelines": lambda: _pipelines_table(catalog),
        "ownership": lambda: _ownership(catalog.pipelines[about], catalog),
        "pipeline": lambda: _pipeline(catalog.pipelines[about], tables),
    }
    return texts[kind]()


def _about_code(code: ErrorCode) -> str:
    return f"**{code.title}.** Layer `{code.layer}`. Most likely: {code.likely_cause}\n"


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(header)
    lines = [columns, ["---"] * len(columns), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _codes_table(codes: Iterable[ErrorCode]) -> str:
    rows = ([f"[{c.code}]({c.runbook}#{c.section})", c.title, f"`{c.layer}`", c.likely_cause] for c in codes)
    return _table(("code", "what", "layer", "most likely"), rows)


def _sources_table(catalog: Catalog) -> str:
    rows = (
        [
            f"`{source.source}`",
            f"`{source.files.path}`",
            f"{source.expected.at:%H:%M}",
            f"{source.expected.late_after_hours:g} h",
            "may be absent" if source.files.may_be_absent else "every day",
            f"`{source.system}`",
            ", ".join(source.owners),
        ]
        for source in catalog.sources.values()
    )
    return _table(("source", "file", "due (UTC, day after)", "late after", "delivered", "system", "ask"), rows)


def _pipelines_table(catalog: Catalog) -> str:
    rows = (
        [
            f"`{name}`",
            pipeline.severity.value,
            f"{pipeline.ready_by:%H:%M}",
            f"{pipeline.fix_within_hours:g} h",
            pipeline.on_call.value.replace("_", " "),
            pipeline.group,
            pipeline.primary_owner,
            pipeline.secondary_owner,
        ]
        for name, pipeline in catalog.pipelines.items()
    )
    header = ("pipeline", "severity", "ready by (UTC)", "fix within", "on call", "group", "owner", "second owner")
    return _table(header, rows)


def _ownership(pipeline: Pipeline, catalog: Catalog) -> str:
    group = catalog.oncall.groups.get(pipeline.group)
    contact = f" ({group.contact})" if group and group.contact else ""
    rows = (
        ("author", pipeline.primary_owner),
        ("executor", f"who is on call in group `{pipeline.group}`{contact}; `cdm oncall show`"),
        ("approver", pipeline.secondary_owner),
    )
    return _table(("role", "who"), rows)


def _pipeline(pipeline: Pipeline, tables: Tables) -> str:
    catalog = tables.catalog
    target = catalog.oncall.target_of(pipeline.severity)
    steps = "; ".join(f"after {step.after_minutes} min {step.to}" for step in pipeline.escalation) or "none"
    keys = tables_of(catalog, pipeline.pipeline, tables.partitioned)
    promise = f"respond in {target.respond_hours:g} h, resolve in {target.resolve_hours:g} h"
    rows = (
        ("what", pipeline.description),
        ("tables", ", ".join(f"`{key}`" for key in keys)),
        ("schedule", f"`{pipeline.schedule}` (UTC)"),
        ("data ready by", f"{pipeline.ready_by:%H:%M} UTC on the day after the business date"),
        ("alert", f"{pipeline.alert_if_late_by_minutes} minutes after that"),
        ("severity", f"{pipeline.severity.value}: {promise}; fix within {pipeline.fix_within_hours:g} h"),
        ("on call", f"{pipeline.on_call.value.replace('_', ' ')}, group `{pipeline.group}`"),
        ("escalation", steps),
        ("upstream", "; ".join(f"`{each.source}`: {each.owner}, {each.contact}" for each in pipeline.upstream)),
        ("downstream", "; ".join(f"{each.who}: {each.contact}" for each in pipeline.downstream)),
    )
    return _table(("", ""), rows)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as fault:
        raise RunbooksMissing(f"{path} cannot be read: {fault}") from fault
