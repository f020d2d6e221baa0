"""`cdm incident ...`, `cdm sla` and `cdm runbook`: what has to be looked after, how fast it was, and what to do."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cdm_assets.operations.incidents import Incident
    from cdm_assets.operations.sla import Promise
    from cdm_assets.settings import Settings
    from cdm_assets.warehouse.engine import Warehouse

_WAIT_SECONDS = 20
"""For a sensor's tick to end."""

app = typer.Typer(
    help="Incidents: list and show them, acknowledge and resolve them.", no_args_is_help=True, rich_markup_mode=None
)
IncidentArgument = Annotated[str, typer.Argument(metavar="INCIDENT", help="Such as INC-12, or 12.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who; default: the user that types it.")]
PipelineOption = Annotated[str | None, typer.Option("--pipeline", help="Only incidents of this pipeline.")]


@app.command("list")
def show_list(
    pipeline: PipelineOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are resolved.")] = False,
) -> None:
    """Show the incidents that are not resolved: severity, since when, what, where and who is at it."""
    from cdm_assets.operations.incidents import IncidentState, incidents
    from cdm_assets.operations.notify import unsent

    states = tuple(IncidentState) if everything else (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)
    with _warehouse(read_only=True) as warehouse, warehouse.connection() as connection:
        found = incidents(connection, warehouse.tables, states=states)
        waiting = unsent(connection, warehouse.tables)
    shown = [incident for incident in found if pipeline in (None, incident.pipeline)]
    for incident in shown:
        who = f", {incident.acknowledged_by}" if incident.acknowledged_by else ""
        typer.echo(
            f"{incident.name:<8} {incident.severity:<8} {incident.state}{who}  "
            f"since {incident.opened_at:%F %H:%M} UTC  {incident.pipeline}  {incident.code}"
        )
        typer.echo(f"    {incident.title} ({incident.occurrences} found)")
    for name, attempts, error in waiting:
        typer.echo(f"not sent: {name}: {f'{attempts} attempts, {error}' if attempts else 'waits for its time'}")
    typer.echo(f"{len(shown)} incidents")


@app.command()
def show(incident: IncidentArgument) -> None:
    """Show one incident: everything that who is called needs to begin, and each failure it stands for."""
    from cdm_assets.operations.incidents import incident_of, message_text, occurrences

    with _warehouse(read_only=True) as warehouse, warehouse.connection() as connection:
        found = incident_of(connection, warehouse.tables, _number(incident))
        failures = occurrences(connection, warehouse.tables, found.incident_id)
    typer.echo(f"{found.name} is {found.state}; opened {found.opened_at:%F %H:%M} UTC")
    if found.acknowledged_at:
        typer.echo(f"Acknowledged {found.acknowledged_at:%F %H:%M} UTC by {found.acknowledged_by}")
    if found.resolved_at:
        typer.echo(f"Resolved {found.resolved_at:%F %H:%M} UTC by {found.resolved_by}. {found.note or ''}".rstrip())
    typer.echo(f"\n{message_text(found)}\n")
    for failure in failures[:_MOST_FAILURES]:
        over = f", over {failure.over_at:%F %H:%M}" if failure.over_at else ""
        what = " ".join(str(part) for part in (failure.business_date, failure.table_key) if part)
        first_line = failure.message.partition("\n")[0]
        typer.echo(f"  {what}: {first_line[:200]} (seen {failure.seen_at:%F %H:%M}{over})")
    if len(failures) > _MOST_FAILURES:
        typer.echo(f"  … and {len(failures) - _MOST_FAILURES} more (cdp_metadata.incident_occurrence)")


_MOST_FAILURES = 20


@app.command()
def ack(incident: IncidentArgument, by: ByOption = None) -> None:
    """Acknowledge an incident: you are at it, and it escalates no further."""
    from cdm_assets.loading.stamp import Stamp
    from cdm_assets.operations.incidents import IncidentDesk

    with _warehouse() as warehouse, warehouse.transaction() as connection:
        desk = IncidentDesk(connection, warehouse.tables, _settings().ui_url)
        found = desk.acknowledge(_number(incident), by or getpass.getuser(), Stamp("cdm incident"))
    took = _took((found.acknowledged_at or found.opened_at) - found.opened_at)
    typer.echo(f"{found.name} is acknowledged by {found.acknowledged_by}, after {took}; `cdm runbook {found.code}`")


@app.command()
def resolve(
    incident: IncidentArgument,
    note: Annotated[str, typer.Option("--note", help="What it was and what was done; for the next one.")],
    by: ByOption = None,
) -> None:
    """Resolve an incident. What is over by itself is resolved without; the same failures do not open it again."""
    from cdm_assets.loading.stamp import Stamp
    from cdm_assets.operations.incidents import IncidentDesk

    with _warehouse() as warehouse, warehouse.transaction() as connection:
        desk = IncidentDesk(connection, warehouse.tables, _settings().ui_url)
        found = desk.resolve(_number(incident), by or getpass.getuser(), note, Stamp("cdm incident"))
    took = _took((found.resolved_at or found.opened_at) - found.opened_at)
    typer.echo(f"{found.name} is resolved by {found.resolved_by}, after {took}")


def sla(
    pipeline: PipelineOption = None,
    days: Annotated[int, typer.Option("--days", min=1, help="Incidents opened within so many days.")] = 90,
) -> None:
    """Show how fast incidents were acknowledged and resolved, against what each severity and pipeline promises.

    Exit code 2 where a promise was broken.
    """
    from cdm_assets.operations.incidents import IncidentState, incidents
    from cdm_assets.operations.sla import acknowledgement, resolution, sla_of

    now = datetime.now(UTC).replace(tzinfo=None)
    with _warehouse(read_only=True) as warehouse, warehouse.connection() as connection:
        found = incidents(
            connection,
            warehouse.tables,
            states=tuple(IncidentState),
            where=lambda table: table.c.opened_at >= now - timedelta(days=days),
        )
    found = [incident for incident in found if pipeline in (None, incident.pipeline)]
    groups = sla_of(found, now)
    for group in groups:
        typer.echo(
            f"{group.pipeline:<24} {group.severity:<8} {group.incidents:>4} incidents, {group.unresolved} unresolved; "
            f"acknowledged: median {_took(group.median_to_acknowledge)} of {_took(group.allowed_to_acknowledge)}, "
            f"{group.acknowledged_late} late; resolved: median {_took(group.median_to_resolve)} of "
            f"{_took(group.allowed_to_resolve)}, {group.resolved_late} late"
        )
    for incident in found:
        promises = (("acknowledged", acknowledgement(incident, now)), ("resolved", resolution(incident, now)))
        for what, promise in promises:
            if promise.is_kept is False:
                typer.echo(f"  {incident.name} {incident.code}: {_broken(incident, what, promise, now)}")
    typer.echo(f"{len(found)} incidents within {days} days")
    if any(not group.is_kept for group in groups):
        raise typer.Exit(2)


def _broken(incident: Incident, what: str, promise: Promise, now: datetime) -> str:
    if promise.took is None:
        return f"not {what} for {_took(now - incident.opened_at)}, {_took(promise.allowed)} are allowed"
    return f"{what} after {_took(promise.took)}, {_took(promise.allowed)} are allowed"


def runbook(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="An error code such as CDM-LDZ-003, or a runbook such as 3.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Fill in the parts that come from the catalog.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail if a generated part is stale or a code lacks.")] = False,
) -> None:
    """Print what a runbook says of an error code, or a whole runbook; without one, every code there is."""
    from cdm_assets.operations.error_codes import CODES
    from cdm_assets.operations.runbooks import runbook_text, runbooks_folder, section_of

    folder = runbooks_folder(_settings().runbooks)
    if write or check:
        _keep_in_line(write=write)
        return
    if code is None:
        for each in CODES.values():
            typer.echo(f"{each.code}  {each.title}  (runbooks/{each.runbook})")
    elif code.upper().startswith("CDM-"):
        typer.echo(section_of(code, folder), nl=False)
    else:
        typer.echo(runbook_text(code, folder), nl=False)


def _keep_in_line(*, write: bool) -> None:
    """Regenerate, or say what is stale; then what every runbook must have."""
    from cdm_assets.command_errors import Stopped
    from cdm_assets.operations.runbooks import faults, overdue, runbooks_folder, write_generated
    from cdm_assets.orchestration.code_location import table_loads

    settings = _settings()
    folder, tables = runbooks_folder(settings.runbooks), table_loads(settings).tables
    if write:
        changed = write_generated(folder, tables)
        typer.echo(f"{folder}: {len(changed)} runbooks changed {', '.join(changed)}".rstrip())
    found = faults(folder, tables)
    if found:
        raise Stopped("\n".join(map(str, found)), code="CDM-CFG-005")
    for text in overdue(folder, datetime.now(UTC).date()):
        typer.echo(f"Review: {text}")
    typer.echo(f"{folder}: every code has its section, every generated part is as the catalog says")


def _number(text: str) -> int:
    digits = text.upper().removeprefix("INC-")
    if not digits.isdecimal():
        raise typer.BadParameter(f"{text!r}; expected such as INC-12", param_hint="INCIDENT")
    return int(digits)


def _took(duration: timedelta | None) -> str:
    if duration is None:
        return "-"
    minutes = int(duration.total_seconds() // 60)
    days, rest = divmod(minutes, 24 * 60)
    return f"{days} days {rest // 60:02}:{rest % 60:02}" if days else f"{rest // 60}:{rest % 60:02} h"


def _settings() -> Settings:
    from cdm_assets.settings import Settings

    return Settings.from_environment()


def _warehouse(*, read_only: bool = False) -> AbstractContextManager[Warehouse]:
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.warehouse.engine import Warehouse

    settings = _settings()
    tables = table_loads(settings).tables
    return Warehouse.open_existing(settings, tables, read_only=read_only, wait_seconds=_WAIT_SECONDS)
