"""`cdm ddl` and `cdm access show`: what the database is to be, what differs, and who may do what in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdm_assets.catalog.access import Role
    from cdm_assets.catalog.types import Layer
    from cdm_assets.settings import Settings
    from cdm_assets.warehouse.ddl_plan import DdlPlan
    from cdm_assets.warehouse.engine import Warehouse
    from cdm_assets.warehouse.tables import Tables

SOMETHING_LEFT = 3
"""The exit code of an apply that left steps which were not allowed, or which have to wait."""
_WAIT_SECONDS = 20

access_app = typer.Typer(help="Roles of the database and what they may do.", no_args_is_help=True)

EngineOption = Annotated[
    str | None,
    typer.Option("--engine", help="duckdb, postgresql, snowflake, oracle or mssql; default: that of CDM_DATABASE."),
]


def ddl(
    engine: EngineOption = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the steps by which the database becomes what the catalog declares.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Do these steps; safe to repeat.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", help="A step that loses something, by its token in the plan, or `all`; repeatable."),
    ] = None,
    access: Annotated[
        bool, typer.Option("--access/--no-access", help="Roles and grants too, or leave them to somebody else.")
    ] = True,
) -> None:
    """Print the DDL as a script; with --plan what differs from the database, with --apply make it the same.

    Ends with 3 where --apply left steps that need --allow, or that have to wait for rows to be loaded again.
    """
    from cdm_assets.command_errors import Stopped
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.settings import ENGINES, Settings
    from cdm_assets.warehouse.ddl import ddl_script
    from cdm_assets.warehouse.engine import fixed_dialect

    settings = Settings.from_environment()
    if engine is not None and engine not in ENGINES:
        raise Stopped(f"unknown engine {engine!r}; expected one of {', '.join(ENGINES)}")
    if plan and apply:
        raise Stopped("give --plan or --apply, not both")
    if not (plan or apply):
        if allow:
            raise Stopped("--allow goes with --apply or --plan")
        tables = table_loads(settings).tables
        script = ddl_script(tables, fixed_dialect(engine or settings.engine), with_access=access)
        typer.echo(script, nl=False)
        return
    if engine is not None and engine != settings.engine:
        raise Stopped(f"CDM_DATABASE names a {settings.engine} database; --plan and --apply are about that one")
    tables = table_loads(settings).tables
    if plan:
        _print_plan(settings, tables, tuple(allow or ()), with_access=access)
    else:
        _apply(settings, tables, tuple(allow or ()), with_access=access)


def _print_plan(settings: Settings, tables: Tables, allow: tuple[str, ...], *, with_access: bool) -> None:
    from cdm_assets.warehouse.ddl_plan import plan_ddl

    with _opened_to_look(settings, tables) as warehouse:
        planned = plan_ddl(warehouse, with_access=with_access)
    for line in planned.lines(allow):
        typer.echo(line)


def _opened_to_look(settings: Settings, tables: Tables) -> Warehouse:
    """The site's database; in the place of a DuckDB file that is not there an empty one, which leaves no file."""
    from cdm_assets.warehouse.engine import Warehouse

    if settings.engine == "duckdb" and not settings.database_path.exists():
        return Warehouse.open_duckdb(None, tables)
    return Warehouse.open(settings, tables, read_only=True, wait_seconds=_WAIT_SECONDS)


def _apply(settings: Settings, tables: Tables, allow: tuple[str, ...], *, with_access: bool) -> None:
    from uuid import uuid4

    from cdm_assets.warehouse.ddl_apply import apply_ddl
    from cdm_assets.warehouse.ddl_plan import plan_ddl
    from cdm_assets.warehouse.engine import Warehouse

    with Warehouse.open(settings, tables, wait_seconds=_WAIT_SECONDS) as warehouse:
        planned = plan_ddl(warehouse, with_access=with_access)
        _announce(planned, settings)
        report = apply_ddl(warehouse, planned, allow=allow, run_id=f"ddl-{uuid4()}", say=typer.echo)
    for line in report.lines():
        typer.echo(line)
    if report.left:
        raise typer.Exit(SOMETHING_LEFT)


def _announce(planned: DdlPlan, settings: Settings) -> None:
    if not planned.is_empty:
        typer.echo(f"{settings.database_name}: plan {planned.fingerprint}, steps: {len(planned.steps)}")


@access_app.callback()
def access_commands() -> None:
    """Roles of the database and what they may do."""


@access_app.command()
def show(
    engine: EngineOption = None,
) -> None:
    """Print each role's rights by layer and the columns withheld from it; with --engine also the statements."""
    from cdm_assets.command_errors import Stopped
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.settings import ENGINES, Settings
    from cdm_assets.warehouse.ddl import declared_views, text_dialect
    from cdm_assets.warehouse.engine import fixed_dialect
    from cdm_assets.warehouse.grants import WITHOUT_ROLES, access_statements

    settings = Settings.from_environment()
    if engine is not None and engine not in ENGINES:
        raise Stopped(f"unknown engine {engine!r}; expected one of {', '.join(ENGINES)}")
    tables = table_loads(settings).tables
    chosen = engine or settings.engine
    for line in _roles(tables, chosen):
        typer.echo(line)
    if chosen in WITHOUT_ROLES:
        typer.echo(
            "DuckDB has no roles: whoever can read the file reads all of it. Give viewers a copy of cdm_publish_db's "
            "_viewer views, or use an engine with roles."
        )
        return
    typer.echo("People become members of a role in the database: GRANT <role> TO <user>.")
    if engine is None:
        typer.echo("Statements: cdm access show --engine ENGINE. What differs from the database: cdm ddl --plan.")
        return
    for statement in access_statements(tables, declared_views(tables), text_dialect(fixed_dialect(engine))):
        typer.echo(f"\n{statement};")


def _roles(tables: Tables, engine: str) -> Iterator[str]:
    from cdm_assets.warehouse.ddl import declared_views
    from cdm_assets.warehouse.grants import relations, role_names

    every = relations(tables, declared_views(tables))
    for name, role in role_names(tables).items():
        yield f"{name}: {role.description}"
        for layer, rights in role.rights.items():
            schema = tables.catalog.schema_of(layer, tables.schema_prefix)
            yield f"  {schema:<18} {', '.join(rights)}"
            of_layer = [relation for relation in every if relation.layer is layer]
            for relation in of_layer:
                hidden = [c.name for c in relation.columns if c.name not in relation.shown_to(role)]
                if hidden:
                    yield f"    {relation.name}: {_instead(engine, hidden)}"
        closed = [layer.value for layer in _layers(tables) if layer not in role.rights]
        if closed:
            yield f"  nothing in {', '.join(closed)}"
        yield _withheld(role)
        yield ""


def _instead(engine: str, hidden: list[str]) -> str:
    from cdm_assets.warehouse.grants import BY_COLUMN, WITHOUT_ROLES

    columns = ", ".join(hidden)
    if engine in WITHOUT_ROLES:
        return f"not {columns}"
    return f"all columns but {columns}" if engine in BY_COLUMN else f"not at all, as it has {columns}"


def _withheld(role: Role) -> str:
    if not role.withheld:
        return "  nothing withheld"
    return f"  withheld: columns that are {' or '.join(role.withheld)}; {_VIEWS}"


_VIEWS = "the views <name>_viewer and <name>_viewer_current of cdm_publish_db leave them out"


def _layers(tables: Tables) -> list[Layer]:
    from cdm_assets.catalog.types import Layer

    used = {tables.key_of(table).split(".")[0] for table in tables.metadata.sorted_tables}
    return [layer for layer in Layer if layer in used]
