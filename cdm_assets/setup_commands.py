"""`cdm setup`, `cdm variables` and `cdm dates`: what is done once for a site, and looked at later."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cdm_assets.command_errors import Stopped, source_named

if TYPE_CHECKING:
    from cdm_assets.loading.date_control import Changed
    from cdm_assets.operations.setup import Setup
    from cdm_assets.settings import Settings
    from cdm_assets.warehouse.engine import Warehouse

_WAIT_SECONDS = 20
_RUN_ID = "cdm setup"
_DATES_RUN_ID = "cdm dates"

DateArgument = Annotated[datetime, typer.Argument(metavar="DATE", formats=["%Y-%m-%d"])]
SourceOption = Annotated[
    list[str] | None, typer.Option("--source", help="Only this source; repeatable. Default: all of them.")
]

dates_app = typer.Typer(
    help="For which business dates a run may be, by source: show it, bring it in line, move it.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


def setup(
    engine: Annotated[
        str | None, typer.Option("--engine", help="duckdb, postgresql, snowflake, oracle or mssql; must fit the URL.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="The database: a DuckDB file, or a SQLAlchemy URL. Default: CDM_DATABASE."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Change nothing: show what would be done.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", help="Do a change that loses something, as --plan names it; repeatable."),
    ] = None,
    access: Annotated[
        bool, typer.Option("--access/--no-access", help="Roles and grants too, or leave them to somebody else.")
    ] = True,
) -> None:
    """Set up a site's database: variables, tables and the control of dates. Safe to repeat.

    Runs the jobs variable_sync, ddl_execution_multidb and etl_date_control_update, in this order. Nothing of the
    command is remembered: name the database to later commands by CDM_DATABASE, as the last lines say.
    """
    from cdm_assets.operations.setup import Setup, open_for_setup
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.warehouse.ddl_apply import DdlReport

    settings, environment = _chosen(engine, url)
    tables = table_loads(settings).tables
    typer.echo(f"{settings.engine}: {settings.database_name}{' (plan: nothing is changed)' if plan else ''}")
    setting_up = Setup(
        settings, tables, _RUN_ID, plan=plan, allow=tuple(allow or ()), with_access=access, say=typer.echo
    )
    with open_for_setup(settings, tables, plan=plan, say=typer.echo, wait_seconds=_WAIT_SECONDS) as warehouse:
        outcome = setting_up.everything(warehouse, environment)
    if plan:
        typer.echo("Nothing was changed. Do it by the same command without --plan.")
        return
    left = outcome.left if isinstance(outcome, DdlReport) else ()
    if any(step.blocked for step in left):
        raise Stopped("not all of the DDL could be done, as said above; see to it and run the same command again")
    for line in _how_to_go_on(settings):
        typer.echo(line)


def _chosen(engine: str | None, url: str | None) -> tuple[Settings, dict[str, str]]:
    """The settings for the database that is to be set up, and the environment as if it named that database."""
    from cdm_assets.settings import Settings, engine_of

    environment = dict(os.environ)
    if url is not None:
        environment["CDM_DATABASE"] = url
    settings = Settings.from_environment(environment)
    if engine is not None:
        wanted = engine_of(f"{engine}://")
        if wanted != settings.engine:
            where = "--url" if url else "CDM_DATABASE"
            given = (
                f"{where} is of {settings.engine}: {settings.database_name}" if url or _is_set() else "none is named"
            )
            raise Stopped(
                f"--engine {engine}, but the database is not one of {wanted} ({given}); "
                f"name it, such as --url {_EXAMPLES[wanted]}"
            )
    return settings, environment


def _is_set() -> bool:
    return bool(os.environ.get("CDM_DATABASE"))


_EXAMPLES = {
    "duckdb": ".cdm/warehouse/cdm.duckdb",
    "postgresql": "postgresql://USER@HOST/DATABASE",
    "snowflake": "'snowflake://USER@ACCOUNT/DATABASE?warehouse=WAREHOUSE&role=ROLE'",
    "oracle": "'oracle://USER@HOST/?service_name=SERVICE'",
    "mssql": "mssql://USER@HOST/DATABASE",
}


def _how_to_go_on(settings: Settings) -> Iterator[str]:
    """The commands that come next; passwords are not repeated."""
    from cdm_assets.operations.variables import without_secrets

    shown = without_secrets(settings.database)
    yield "The database is set up. Go on with"
    yield f"  export CDM_DATABASE={shlex.quote(shown.replace(':***@', '@'))}"
    if shown != settings.database:
        yield "  export CDM_DATABASE_PASSWORD=file:/path/to/a/file/with/the/password"
    elif settings.database_password:
        yield "  # and CDM_DATABASE_PASSWORD as now"
    named = "" if settings.engine == "duckdb" else f" ENGINE={settings.engine}"
    yield f"  make run{named}      # the demo; or `cdm run` for the files of your landing area"


def variables() -> None:
    """List the platform's variables: the value in effect, where it comes from, what it means.

    Of a secret it shows where it is, never the secret. A name that begins with CDM_ and is none of them is an error.
    """
    from cdm_assets.operations.variables import KNOWN, noted_variables

    found = {each.name: each for each in noted_variables(_settings(), os.environ)}
    for name, variable in KNOWN.items():
        noted = found.get(name)
        value = f"{noted.value}  [{noted.origin}]" if noted else f"not set: {variable.default}"
        typer.echo(f"{name}  {value}\n    {variable.description}")


@dates_app.callback()
def dates(context: typer.Context) -> None:
    """Show for each source Day 0, the previous, current and next business date, and when its runs began."""
    if context.invoked_subcommand is not None:
        return
    from cdm_assets.loading.date_control import source_dates
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.warehouse.engine import Warehouse

    settings = _settings()
    tables = table_loads(settings).tables
    with (
        Warehouse.open_existing(settings, tables, read_only=True, wait_seconds=_WAIT_SECONDS) as warehouse,
        warehouse.connection() as connection,
    ):
        rows = source_dates(connection, tables)
    if not rows:
        typer.echo("Nothing is set up yet: `cdm setup`, or the first `cdm run`, says where each source begins.")
        return
    width = max(map(len, [*rows, "source"]))
    typer.echo(
        f"{'source':<{width}}  uses  {'Day 0':<10}  {'previous':<10}  {'current':<10}  {'next':<10}  run began (UTC)"
    )
    for name, row in rows.items():
        began = f"{row.current_start_time:%F %H:%M:%S}" if row.current_start_time else "-"
        shown = (row.earliest_date, row.previous_business_date, row.current_business_date, row.next_business_date)
        days = "  ".join(f"{day or '-'!s:<10}" for day in shown)
        typer.echo(f"{name:<{width}}  {row.uses_business_or_timestamp:<4}  {days}  {began}")


@dates_app.command()
def update(
    plan: Annotated[bool, typer.Option("--plan", help="Change nothing: show what would change.")] = False,
) -> None:
    """Bring the control table in line with files and loads, as every run does by itself."""
    with _opened(plan=plan) as (setting_up, warehouse):
        setting_up.dates(warehouse)


@dates_app.command()
def advance(date: DateArgument, source: SourceOption = None) -> None:
    """Let the next run begin with DATE; what was never begun before it is left out on purpose.

    What was left out can still be loaded later, with `cdm run`.
    """
    with _opened() as (setting_up, warehouse):
        _say_if_none(
            setting_up.dates(warehouse, advance_to=date.date(), sources=_sources(setting_up, source)),
            f"the next date is {date:%F} or later already",
        )


@dates_app.command("day-zero")
def day_zero(date: DateArgument, source: SourceOption = None) -> None:
    """Make DATE the Day 0, whatever files there are: runs may be for it and the dates after it."""
    with _opened() as (setting_up, warehouse):
        _say_if_none(
            setting_up.dates(warehouse, day_zero=date.date(), sources=_sources(setting_up, source)),
            f"Day 0 is {date:%F} already",
        )


def _sources(setting_up: Setup, named: list[str] | None) -> list[str]:
    return [source_named(name, setting_up.tables.catalog.sources).source for name in named or ()]


def _say_if_none(changed: list[Changed], why: str) -> None:
    if not changed:
        typer.echo(f"  {why}")


@contextmanager
def _opened(*, plan: bool = False) -> Iterator[tuple[Setup, Warehouse]]:
    from cdm_assets.operations.setup import Setup
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.warehouse.ddl import create_missing
    from cdm_assets.warehouse.engine import Warehouse

    settings = _settings()
    tables = table_loads(settings).tables
    with Warehouse.open_existing(settings, tables, read_only=plan, wait_seconds=_WAIT_SECONDS) as warehouse:
        if not plan:
            create_missing(warehouse)
        yield Setup(settings, tables, _DATES_RUN_ID, plan=plan, say=typer.echo), warehouse


def _settings() -> Settings:
    from cdm_assets.settings import Settings

    return Settings.from_environment()
