"""The smoke test after a release or a change of configuration: does all of it still fit together, on this site.

Steps: the catalog is valid; the definitions load; the tables can be created; the site's database is reachable and its
tables are as declared, in the names and types of columns; one date of made-up files of every source goes all the way to
publish. The database and landing area of the last step are in a scratch folder of their own, which is gone afterwards,
also after a failure; the site's database is only read.

A table that cannot be loaded fails, as does a check of structure (keys, required columns, rows between layers, links,
totals). What else made-up data may not pass is told and fails nothing: it says nothing about the release.
"""

from __future__ import annotations

import secrets
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from dagster import BetaWarning, PreviewWarning

from cdm_assets.loading.report import LoadReport
from cdm_assets.loading.table_loads import LoadContext, NothingToLoad, TableLoads
from cdm_assets.operations.plan import register_dates
from cdm_assets.operations.sample_files import write_sample_files
from cdm_assets.orchestration.code_location import build_definitions, table_loads
from cdm_assets.orchestration.spreadsheet_types import frame_faults
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.ddl_plan import DdlStep, plan_ddl
from cdm_assets.warehouse.engine import DuckDBOptions, NoDatabase, Warehouse
from cdm_assets.warehouse.landing_area import LandingArea

SCRATCH_PREFIX: Final = "cdm_smoke_"
STRUCTURAL: Final = frozenset({"keys", "required", "row_count", "links", "totals"})
"""Checks that data which fits the catalog passes, whatever it is."""
_RUN_ID: Final = "cdm smoke"
_WAIT_SECONDS: Final = 20
_MOST_TOLD: Final = 10


@dataclass(frozen=True)
class SmokeStep:
    """How one step went; `notes` are for people and fail nothing."""

    step: str
    seconds: float
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing went wrong."""
        return not self.problems


class _NotTried(Exception):
    """A step that stands on one that failed."""


@dataclass
class _Told:
    """What a step finds while it runs."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def smoke(settings: Settings, *, say: Callable[[SmokeStep], None] = lambda _: None) -> list[SmokeStep]:
    """All steps; each is given to `say` as it ends. Nothing is raised: what fails is in the steps."""
    steps: list[SmokeStep] = []
    with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX) as folder:
        scratch = Path(folder)
        with _Smoke(settings, scratch) as smoking:
            for name, work in smoking.steps():
                steps.append(_tried(name, work))
                say(steps[-1])
    steps.append(_tried("the scratch folder is gone", lambda told: _require_gone(scratch, told)))
    say(steps[-1])
    return steps


def _tried(name: str, work: Callable[[_Told], None]) -> SmokeStep:
    began, told = time.perf_counter(), _Told()
    try:
        work(told)
    except Exception as fault:  # noqa: BLE001 - whatever a release broke is what this looks for
        told.problems.append(_in_words(fault))
    return SmokeStep(name, time.perf_counter() - began, tuple(told.problems), tuple(told.notes))


def _in_words(fault: Exception) -> str:
    if isinstance(fault, sa.exc.DBAPIError):
        fault = fault.orig if isinstance(fault.orig, Exception) else fault
    return f"{type(fault).__name__}: {fault}"[:2000]


def _require_gone(scratch: Path, told: _Told) -> None:
    if scratch.exists():
        told.problems.append(f"{scratch} is still there; remove it")


class _Smoke(ExitStack):
    """The steps, and what one hands to the next."""

    def __init__(self, settings: Settings, scratch: Path) -> None:
        super().__init__()
        self._settings, self._scratch = settings, scratch
        self._found: TableLoads | None = None
        self._opened: Warehouse | None = None

    def steps(self) -> Iterator[tuple[str, Callable[[_Told], None]]]:
        """Every step with its name, in order."""
        yield "the catalog is valid", self._catalog
        yield "the definitions load", self._definitions
        yield "every table can be created", self._create
        yield "the database is as declared", self._compare
        yield "one date of made-up files goes through all layers", self._load

    def _catalog(self, told: _Told) -> None:
        self._found = table_loads(self._settings)
        told.notes.append(f"{len(self._found.catalog.sources)} sources, {len(self._found.in_order)} tables")

    @property
    def _loads(self) -> TableLoads:
        if self._found is None:
            raise _NotTried("not tried: the catalog is not valid")
        return self._found

    @property
    def _warehouse(self) -> Warehouse:
        if self._opened is None:
            raise _NotTried("not tried: the tables could not be created")
        return self._opened

    def _definitions(self, told: _Told) -> None:
        _ = self._loads
        with warnings.catch_warnings():  # as in `cdm_assets.definitions`
            warnings.simplefilter("ignore", BetaWarning)
            warnings.simplefilter("ignore", PreviewWarning)
            repository = build_definitions(self._settings).get_repository_def()
            repository.load_all_definitions()
        told.notes.append(f"{len(repository.asset_graph.get_all_asset_keys())} assets")

    def _create(self, told: _Told) -> None:
        options = DuckDBOptions(self._settings.memory_limit, self._settings.threads)
        path = self._scratch / "scratch.duckdb"
        warehouse = self.enter_context(Warehouse.open_duckdb(path, self._loads.tables, options=options))
        told.notes.append(f"{create_missing(warehouse)} tables")
        self._opened = warehouse

    def _compare(self, told: _Told) -> None:
        """The site's tables are those that the catalog declares: what `cdm ddl --plan` would change is told."""
        try:
            with Warehouse.open_existing(
                self._settings, self._loads.tables, read_only=True, wait_seconds=_WAIT_SECONDS
            ) as site:
                told.problems += differences(plan_ddl(site, with_access=False).steps)
        except NoDatabase as reason:
            told.problems.append(str(reason))

    def _load(self, told: _Told) -> None:
        loads, day = self._loads, self._settings.last_business_date
        root = self._scratch / "landing"
        records = write_sample_files(loads.catalog, root, day)
        area = LandingArea(root, self._scratch / "archive")
        with self._warehouse.transaction() as connection:
            register_dates(connection, loads, DateRange(day, day), area, _RUN_ID)
        context = LoadContext(self._warehouse, area, secrets.token_hex(32), _RUN_ID, frame_faults)
        rows = sum(self._load_table(key, day, context, told) for key in loads.in_order)
        told.notes.insert(0, f"{day}: {sum(records.values())} records of {len(records)} sources became {rows} rows")
        told.notes += self._refused(day)

    def _load_table(self, key: str, day: date, context: LoadContext, told: _Told) -> int:
        """Load one table and judge its checks; returns its rows."""
        try:
            report = self._loads.load(key, DateRange(day, day), context)
        except NothingToLoad as reason:
            told.notes.append(_one_line(str(reason)))
            return 0
        except Exception as fault:  # noqa: BLE001 - the next table is tried all the same
            told.problems.append(f"{key}: {_in_words(fault)}")
            return 0
        problems, notes = _judged(key, report)
        told.problems += problems
        told.notes += notes
        return report.rows[day]

    def _refused(self, day: date) -> list[str]:
        """Why made-up records of a source were not accepted, so that its tables were tried with fewer rows, or none."""
        rejected = self._loads.tables["cdp_metadata.rejected_record"]
        query = sa.select(rejected.c.source, sa.func.count(), sa.func.min(rejected.c.reason)).where(
            rejected.c.business_date == day
        )
        with self._warehouse.connection() as connection:
            rows = connection.execute(query.group_by(rejected.c.source).order_by(rejected.c.source)).tuples().all()
        return [f"{count} made-up records of {source} were rejected: {_one_line(why)}" for source, count, why in rows]


def _judged(key: str, report: LoadReport) -> tuple[list[str], list[str]]:
    problems: list[str] = []
    notes: list[str] = []
    for outcome in report.checks:
        if outcome.passed:
            continue
        found = "; ".join(f"{what}: {count}" for what, count in outcome.metadata.items() if count not in (0, ""))
        text = f"{key}: check {outcome.check}: {_one_line(found)}"
        (problems if outcome.blocking and outcome.check in STRUCTURAL else notes).append(text)
    return problems, notes


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def differences(steps: Iterable[DdlStep]) -> list[str]:
    """What a site's tables lack, have of another type, or have besides; the first few, in words.

    Comments, and tables that are somebody else's, stop no load.
    """
    wrong = [step for step in steps if not step.kind.endswith("comment") and not step.kind.startswith("drop table")]
    texts = [f"{step.object}: {step.kind}, {step.reason}" for step in wrong[:_MOST_TOLD]]
    if wrong[_MOST_TOLD:]:
        texts.append(f"… and {len(wrong) - _MOST_TOLD} more differences")
    return [*texts, *(["`cdm ddl --plan` shows what mends it, `cdm ddl --apply` does it"] if wrong else [])]
