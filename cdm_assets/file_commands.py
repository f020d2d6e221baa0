"""`cdm files`, `cdm alerts` and the pause switch: what the landing register knows, for people."""

from __future__ import annotations

import getpass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cdm_assets.settings import Settings
    from cdm_assets.warehouse.engine import Warehouse

_WAIT_SECONDS = 20
"""For a sensor's look at the landing area to end."""
_STATES = ("arrived", "loading", "loaded", "superseded", "rejected", "withdrawn")


def files(
    source: Annotated[str | None, typer.Option("--source", help="Only files of this source.")] = None,
    state: Annotated[
        str | None, typer.Option("--state", help=f"Only files in this state: {', '.join(_STATES)}.")
    ] = None,
    date: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Only files of this business date.")
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many files are shown, the newest first.")] = 40,
) -> None:
    """Show the landing register: every file seen, when it arrived, what became of it and why."""
    import sqlalchemy as sa

    settings = _settings()
    if state is not None and state not in _STATES:
        raise typer.BadParameter(f"{state!r}; expected one of {', '.join(_STATES)}", param_hint="--state")
    with _warehouse(settings, read_only=True) as warehouse:
        register = warehouse.tables["cdp_metadata.landing_file"]
        wanted = [
            *([register.c.source == source] if source else []),
            *([register.c.state == state] if state else []),
            *([register.c.business_date == date.date()] if date else []),
        ]
        with warehouse.connection() as connection:
            counts = connection.execute(
                sa.select(register.c.state, sa.func.count()).where(*wanted).group_by(register.c.state)
            ).tuples()
            total = dict(counts.all())
            rows = connection.execute(
                sa.select(register)
                .where(*wanted)
                .order_by(register.c.arrived_at.desc(), register.c.file_name)
                .limit(most)
            ).mappings()
            for row in rows:
                what = f"{row['rows_loaded']:,} rows, {row['rows_rejected']:,} rejected"
                times = f", delivered {row['deliveries']} times" if row["deliveries"] > 1 else ""
                gone = f", gone since {row['gone_at']:%F %H:%M}" if row["gone_at"] else ""
                typer.echo(
                    f"{row['arrived_at']:%F %H:%M} UTC  {row['state']:<10} {row['file_name']}  "
                    f"{row['size_bytes']:,} bytes, sha256 {row['sha256'][:12]}, {what}{times}{gone}"
                )
                for label in ("reason", "drift"):
                    if row[label]:
                        typer.echo(f"    {label}: {row[label]}")
    shown = f", the newest {most} shown" if sum(total.values()) > most else ""
    typer.echo(
        f"{sum(total.values()):,} files{shown}" + "".join(f"; {n:,} {name}" for name, n in sorted(total.items()))
    )


def alerts() -> None:
    """Show the open alerts: missing and withdrawn files, events that are later than their bound."""
    from cdm_assets.operations.alerts import open_alerts
    from cdm_assets.operations.error_codes import ALERT_KINDS
    from cdm_assets.operations.pauses import paused_sources

    settings = _settings()
    with _warehouse(settings, read_only=True) as warehouse, warehouse.connection() as connection:
        found = open_alerts(connection, warehouse.tables)
        paused = paused_sources(connection, warehouse.tables)
    for alert in found:
        code = ALERT_KINDS.get(alert.kind, "")
        typer.echo(
            f"{alert.opened_at:%F %H:%M} UTC  {alert.kind}: {alert.source} {alert.business_date}  {code}".rstrip()
        )
        typer.echo(f"    {alert.message}")
    for source, reason in paused.items():
        typer.echo(f"paused: {source}: {reason}")
    typer.echo(f"{len(found)} open alerts, {len(paused)} paused sources")


def pause(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Name of a source of the catalog.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who will wonder.")],
) -> None:
    """Pause a source: its files are registered, and nothing of it starts by itself until `cdm source resume`."""
    from cdm_assets.command_errors import source_named
    from cdm_assets.loading.stamp import Stamp
    from cdm_assets.operations.pauses import pause_source

    settings = _settings()
    with _warehouse(settings) as warehouse:
        source_named(source, warehouse.tables.catalog.sources)
        with warehouse.transaction() as connection:
            pause_source(connection, warehouse.tables, source, reason[:400], Stamp(f"cdm {getpass.getuser()}"))
    typer.echo(f"{source} is paused ({reason}); resume it with `cdm source resume {source}`")


def resume(source: Annotated[str, typer.Argument(metavar="SOURCE", help="Name of a paused source.")]) -> None:
    """Resume a paused source: what arrived meanwhile is loaded as late by the sensors, or by `cdm run`."""
    from cdm_assets.command_errors import source_named
    from cdm_assets.operations.pauses import resume_source

    settings = _settings()
    with _warehouse(settings) as warehouse:
        source_named(source, warehouse.tables.catalog.sources)
        with warehouse.transaction() as connection:
            was_paused = resume_source(connection, warehouse.tables, source)
    typer.echo(f"{source} is resumed" if was_paused else f"{source} was not paused")


def _settings() -> Settings:
    from cdm_assets.settings import Settings

    return Settings.from_environment()


def _warehouse(settings: Settings, *, read_only: bool = False) -> AbstractContextManager[Warehouse]:
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.warehouse.engine import Warehouse

    tables = table_loads(settings).tables
    return Warehouse.open_existing(settings, tables, read_only=read_only, wait_seconds=_WAIT_SECONDS)
