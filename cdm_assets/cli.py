"""The `cdm` command: the steps of `make run`, each on its own."""

from __future__ import annotations

import gc
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from cdm_assets import (
    day_commands,
    ddl_commands,
    file_commands,
    incident_commands,
    model_commands,
    oncall_commands,
    setup_commands,
    source_commands,
)
from cdm_assets.command_errors import Stopped
from cdm_assets.settings import FIRST_DATE, LAST_DATE, Settings, SettingsError
from cdm_assets.warehouse.dates import ONE_DAY, DateRange, listed
from cdm_assets.warehouse.tables import Tables


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Known failures end the command with their message; anything else is a fault of ours and shows its trace."""
    from cdm_assets.catalog.reading import CatalogError
    from cdm_assets.loading.date_control import DateNotAllowed
    from cdm_assets.loading.publish import TokenKeyError
    from cdm_assets.operations.error_codes import code_of_exception, told
    from cdm_assets.operations.incidents import IncidentError
    from cdm_assets.operations.rota import RotaError
    from cdm_assets.operations.runbooks import RunbooksMissing
    from cdm_assets.orchestration.daily_run import InMaintenance, UnknownSelection
    from cdm_assets.warehouse.ddl import SchemaMismatch
    from cdm_assets.warehouse.ddl_apply import DdlFailed
    from cdm_assets.warehouse.engine import DatabaseUnreachable, EngineMissing, NoDatabase, WarehouseBusy
    from cdm_assets.warehouse.landing_area import LandingAreaMissing

    known = (
        Stopped,
        SettingsError,
        CatalogError,
        DatabaseUnreachable,
        DateNotAllowed,
        DdlFailed,
        EngineMissing,
        IncidentError,
        InMaintenance,
        LandingAreaMissing,
        NoDatabase,
        RotaError,
        RunbooksMissing,
        SchemaMismatch,
        TokenKeyError,
        UnknownSelection,
        WarehouseBusy,
    )
    try:
        yield
    except known as reason:
        errors.print(f"cdm: {reason} {told(code_of_exception(reason))}", markup=False)
        raise SystemExit(1) from None


class _Commands(TyperGroup):
    """The commands, each ending with a known failure's message."""

    def invoke(self, ctx: Any) -> Any:
        with _clear_errors():
            if os.environ.get("CDM_VARIABLES"):
                from cdm_assets.operations.variables import load_variables_file

                load_variables_file(os.environ)
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help="CDM Assets: from a marketing data mart's files to a published Customer 360, one partition a business date.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
source_commands.app.command()(file_commands.pause)
source_commands.app.command()(file_commands.resume)
app.add_typer(source_commands.app, name="source")
app.add_typer(oncall_commands.app, name="oncall")
app.add_typer(incident_commands.app, name="incident")
app.add_typer(ddl_commands.access_app, name="access")
app.add_typer(setup_commands.dates_app, name="dates")
_NARROWEST_TABLE = 100
_LONGEST_LIST = 20
console = Console(highlight=False, soft_wrap=True, width=max(_NARROWEST_TABLE, get_terminal_size().columns))
errors = Console(stderr=True, highlight=False, soft_wrap=True)

StartOption = Annotated[
    datetime | None, typer.Option("--start", formats=["%Y-%m-%d"], help="First business date; default: Day 0.")
]
EndOption = Annotated[
    datetime | None, typer.Option("--end", formats=["%Y-%m-%d"], help="Last business date; default: the last there is.")
]
DaysOption = Annotated[
    int | None, typer.Option("--days", min=1, help="Number of business dates from --start, instead of --end.")
]


@app.command()
def demo(start: StartOption = None, end: EndOption = None, days: DaysOption = None) -> None:
    """Write the demo landing area: a real retailer's year, one folder a business date."""
    from cdm_assets.demo.completejourney import DemoDataMissing
    from cdm_assets.demo.landing_area import write_landing_area

    settings = _settings()
    dates = _dates(settings, start, end, days)
    began = time.perf_counter()
    try:
        summary = write_landing_area(root=_local_folder(settings), start=dates.first, end=dates.last)
    except (DemoDataMissing, ValueError) as reason:
        raise Stopped(str(reason)) from reason
    console.print(
        f"Landing area {settings.landing_root}: {len(summary.dates_written)} dates written, "
        f"{len(summary.dates_skipped)} already there, {sum(summary.rows.values()):,} rows in {summary.files:,} files, "
        f"{time.perf_counter() - began:.1f} s"
    )


@app.command()
def validate() -> None:
    """Check the catalog, shipped and site's (CDM_CATALOG): every mistake with file and line."""
    from cdm_assets.orchestration.code_location import table_loads

    loads = table_loads(_settings())
    catalog = loads.catalog
    console.print(
        f"The catalog is valid: {len(catalog.sources)} sources, {len(catalog.vault.hubs)} hubs, "
        f"{len(catalog.vault.links) + len(catalog.vault.events)} links, {len(catalog.satellites)} satellites, "
        f"{len(catalog.interface)} interface entities, {len(catalog.marts)} marts, {len(loads.in_order)} tables."
    )


app.command()(ddl_commands.ddl)


@app.command()
def run(
    start: StartOption = None,
    end: EndOption = None,
    days: DaysOption = None,
    select: Annotated[
        list[str] | None,
        typer.Option("--select", help="Load only these tables (schema.table, or a layer such as rdv); repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Load also what is loaded and unchanged.")] = False,
    in_maintenance: Annotated[
        bool, typer.Option("--in-maintenance", help="Start although a maintenance window is open.")
    ] = False,
) -> None:
    """Load the partitions of a range of dates through real Dagster runs. What is loaded and unchanged is skipped."""
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.orchestration.daily_run import run_dates

    settings = _settings()
    dates = _dates(settings, start, end, days)
    loads = table_loads(settings)
    outcome = run_dates(
        settings,
        loads,
        dates,
        selection=tuple(select or ()),
        force=force,
        in_maintenance=in_maintenance,
        say=_say,
    )
    failed = _print_status(settings, loads.tables, dates)
    console.print("Open the UI:   make ui   (or: cdm ui)")
    console.print(f"Database:      {settings.database_name}")
    problems, codes = list(outcome.problems), dict.fromkeys(outcome.codes)
    if failed:
        problems.append(f"{failed} blocking checks failed within {dates}; what depends on them was held back")
    if problems:
        codes |= dict.fromkeys(_codes_of_failed_checks(settings, loads.tables, dates))
        what_to_do = "; ".join(f"cdm runbook {code}" for code in codes)
        raise Stopped("\n".join([*problems, f"What to do: {what_to_do}"]), code=next(iter(codes), "CDM-OPS-001"))


@app.command()
def plan(start: StartOption = None, end: EndOption = None, days: DaysOption = None) -> None:
    """Show what `cdm run` would load, and why; nothing is loaded."""
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.orchestration.daily_run import plan_dates

    settings = _settings()
    dates = _dates(settings, start, end, days)
    planned = plan_dates(settings, table_loads(settings), dates)
    for run in planned.runs:
        _say(f"Never loaded: {run.dates} ({len(run.dates)} dates) of {len(run.tables)} tables")
    for source, changed in planned.changed.items():
        _say(f"Files of source {source} that are not what was loaded: {listed(changed)}")
    if planned.again:
        _say(f"To load again, {sum(map(len, planned.again.values())):,} partitions:")
    for table, stale in planned.again.items():
        _say(f"  {table:<42} {len(stale):>5}  {listed(stale)}")
    if not planned.runs and not planned.again:
        _say(f"{dates}: everything is loaded and unchanged; nothing to do")


@app.command()
def status(start: StartOption = None, end: EndOption = None, days: DaysOption = None) -> None:
    """Show what is loaded: per layer tables, partitions, rows, checks and seconds; then the checks that failed."""
    from cdm_assets.orchestration.code_location import table_loads

    settings = _settings()
    _print_status(settings, table_loads(settings).tables, _dates(settings, start, end, days))


app.command()(file_commands.files)
app.command()(file_commands.alerts)
app.command()(day_commands.morning)
app.command()(day_commands.verify)
app.command()(day_commands.smoke)
app.command()(day_commands.rerun)
app.command()(incident_commands.sla)
app.command()(incident_commands.runbook)
app.command()(model_commands.demo_scores)
app.command()(oncall_commands.timing)
app.command()(setup_commands.setup)
app.command()(setup_commands.variables)


@app.command()
def maintenance(
    at: Annotated[
        datetime | None,
        typer.Option("--at", formats=["%Y-%m-%dT%H:%M"], help="Ask for another time than now, in UTC."),
    ] = None,
) -> None:
    """Show which maintenance windows are open and what they hold, then those of the next 14 days."""
    from cdm_assets.catalog.model import WAREHOUSE_SYSTEM
    from cdm_assets.catalog.reading import CANONICAL, MAINTENANCE_FILE, read_catalog
    from cdm_assets.operations.maintenance import next_windows, open_windows, sources_of, utc_text

    settings = _settings()
    when = at.replace(tzinfo=UTC) if at else datetime.now(UTC)
    if not FIRST_DATE <= when.date() <= LAST_DATE:
        raise Stopped(f"--at {utc_text(when)} is not within the calendar, {FIRST_DATE} to {LAST_DATE}")
    catalog = read_catalog(settings.catalog_overlay)
    if not catalog.maintenance:
        folder = settings.catalog_overlay or "the site's catalog folder, which CDM_CATALOG names"
        _say(f"No maintenance window is declared. Declare one in {MAINTENANCE_FILE} of {folder};")
        _say(f"{CANONICAL / MAINTENANCE_FILE} shows how")
        return
    windows = open_windows(catalog.maintenance, when)
    _say(f"{utc_text(when)}: " + ("held by" if windows else "no maintenance window is open, nothing is held"))
    for window in windows:
        _say(f"  {window}: {window.description}".rstrip(": "))
        sources = sources_of(catalog, window.system)
        what = "everything" if window.system == WAREHOUSE_SYSTEM else f"{len(sources)} sources: {', '.join(sources)}"
        _say(f"    holds {what}")
    coming = next_windows(catalog, when, days=14)
    _say("Within the next 14 days:" if coming else "None begins within the next 14 days")
    for each in coming[:_LONGEST_LIST]:
        _say(f"  {each}: {each.description}".rstrip(": "))
    if len(coming) > _LONGEST_LIST:
        _say(f"  … and {len(coming) - _LONGEST_LIST} more, to {utc_text(coming[-1].until)}")


@app.command()
def ui(
    port: Annotated[int, typer.Option("--port", help="Port of the webserver.")] = 3000,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; the UI has no login.")] = "127.0.0.1",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="For viewers: nothing can be started or changed; no daemon.")
    ] = False,
) -> None:
    """Open the Dagster UI over the site's instance: webserver, daemon and code location, until Ctrl-C."""
    from cdm_assets.orchestration.instance import ensure_instance_of, is_loopback
    from cdm_assets.orchestration.runs import CODE_LOCATION_MODULE

    settings = _settings()
    ensure_instance_of(settings)
    if not is_loopback(host):
        may = "see every table's metadata" if read_only else "start and stop runs"
        errors.print(
            f"cdm: {host} is not this machine alone, and Dagster's UI has no login: whoever reaches port {port} can "
            f"{may}. Put a proxy with a login before it (docs/scale.md), or leave --host out",
            markup=False,
        )
    console.print(f"Dagster UI{' (read-only)' if read_only else ''}: http://{host}:{port} ({settings.dagster_home})")
    program = ["dagster_webserver", "--read-only"] if read_only else ["dagster", "dev"]
    command = ["-m", *program, "-m", CODE_LOCATION_MODULE, "-h", host, "-p", str(port)]
    os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - the same interpreter, fixed arguments


def _local_folder(settings: Settings) -> Path:
    if "://" in settings.landing_root:
        raise Stopped(f"the demo is written into a local folder; CDM_LANDING is {settings.landing_root}")
    return Path(settings.landing_root)


def _say(text: str) -> None:
    console.print(text, markup=False)


def _settings() -> Settings:
    return Settings.from_environment()


def _dates(settings: Settings, start: datetime | None, end: datetime | None, days: int | None) -> DateRange:
    """The range asked for, within the configured dates."""
    if end is not None and days is not None:
        raise Stopped("give --end or --days, not both")
    configured_end = settings.last_business_date
    first = start.date() if start else settings.start_date
    last = end.date() if end else configured_end
    if days is not None:
        last = first + (days - 1) * ONE_DAY
    if last < first:
        raise Stopped(f"--end {last} is before --start {first}")
    if first < settings.start_date or last > configured_end:
        raise Stopped(
            f"{first}..{last} is not within the business dates {settings.start_date}..{configured_end}; "
            "change the range, or CDM_START_DATE and CDM_END_DATE"
        )
    return DateRange(first, last)


def _print_status(settings: Settings, tables: Tables, dates: DateRange) -> int:
    """Print the state of `dates`; returns the number of blocking checks that failed."""
    from cdm_assets.operations.status import failed_checks, layer_statuses
    from cdm_assets.warehouse.engine import Warehouse

    with Warehouse.open_existing(settings, tables, read_only=True, wait_seconds=20) as warehouse:
        statuses = layer_statuses(warehouse, dates)
        blocking = failed_checks(warehouse, dates, blocking=True)
        warnings = failed_checks(warehouse, dates, blocking=False)
    table = Table(title=f"{dates.first} to {dates.last}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    for name in ("tables", "partitions", "rows", "checks passed", "warned", "failed", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for layer in statuses:
        table.add_row(
            layer.layer.value,
            str(layer.tables),
            f"{layer.partitions:,}",
            f"{layer.rows:,}",
            f"{layer.checks_passed:,}",
            f"{layer.checks_warned:,}",
            f"{layer.checks_failed:,}",
            f"{layer.seconds:,.1f}",
        )
    console.print(table)
    for title, checks in (("Failed", blocking), ("Warned", warnings)):
        for check in checks[:5]:
            text = f"{title}: {check.business_date} {check.table} {check.check}: {check.message}"
            console.print(text[:400], markup=False)
        if len(checks) > 5:
            console.print(f"{title}: … and {len(checks) - 5} more (cdp_metadata.check_result, or the UI's Checks tab)")
    return len(blocking)


def _codes_of_failed_checks(settings: Settings, tables: Tables, dates: DateRange) -> list[str]:
    """The codes of what the blocking checks that failed go back to, the first first."""
    from cdm_assets.operations.error_codes import cause_of_check
    from cdm_assets.operations.status import failed_checks
    from cdm_assets.warehouse.engine import Warehouse

    with Warehouse.open_existing(settings, tables, read_only=True, wait_seconds=20) as warehouse:
        failed = failed_checks(warehouse, dates, blocking=True)
    return list(dict.fromkeys(cause_of_check(each.table, each.check, each.message).code for each in failed))


def main() -> None:
    """Entry point of the `cdm` command."""
    # Definitions are a million objects that live to the end. Looking through them again and again, and once more at
    # exit, was a quarter of an ordinary day's run (8.1 s, now 5.9).
    gc.set_threshold(100_000, 50, 50)
    # What Dagster marks as beta and preview is pinned and tested; who runs a command can do nothing about it.
    warnings.filterwarnings("ignore", message="Parameter `|Specifying a partitions_def")
    try:
        app()
    finally:
        gc.freeze()
