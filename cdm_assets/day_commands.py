"""The commands of a day: `cdm morning`, `cdm verify`, `cdm smoke`, `cdm rerun`."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cdm_assets.catalog.model import Catalog
    from cdm_assets.operations.morning_report import Colour, Morning
    from cdm_assets.operations.verification import Verified
    from cdm_assets.orchestration.rerun import Precondition
    from cdm_assets.orchestration.smoke import SmokeStep
    from cdm_assets.settings import Settings

_WAIT_SECONDS = 5
_RED, _GREY = 2, 3
_MOST_LINES = 12
_TERMINAL = {"red": typer.colors.RED, "yellow": typer.colors.YELLOW, "green": typer.colors.GREEN}
DateArgument = Annotated[datetime, typer.Argument(metavar="DATE", formats=["%Y-%m-%d"], help="The business date.")]


def morning(
    at: Annotated[
        datetime | None,
        typer.Option("--at", formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d"], help="Ask for another time than now, in UTC."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the page to this file.")] = None,
) -> None:
    """The morning check: was every hop loaded for the date that is due, is it fresh and right, who is on call.

    Exit code 0: green or yellow. 2: red. 3: grey, not due yet or not known.
    """
    from cdm_assets.command_errors import Stopped
    from cdm_assets.operations.morning_page import morning_html
    from cdm_assets.operations.morning_report import Colour
    from cdm_assets.operations.morning_report import as_json as json_of

    found = _morning(at.replace(tzinfo=UTC) if at else datetime.now(UTC))
    if html is not None:
        try:
            html.parent.mkdir(parents=True, exist_ok=True)
            html.write_text(morning_html(found), encoding="utf-8")
        except OSError as fault:
            raise Stopped(f"{html} cannot be written: {fault}") from fault
    if as_json:
        typer.echo(json_of(found))
    else:
        _print_morning(found)
        if html is not None:
            typer.echo(f"Page: {html}")
    raise typer.Exit({Colour.RED: _RED, Colour.GREY: _GREY}.get(found.colour, 0))


def _morning(at: datetime) -> Morning:
    from cdm_assets.operations.morning import morning_at
    from cdm_assets.settings import Settings
    from cdm_assets.warehouse.tables import Tables

    settings = Settings.from_environment()
    # Not the loads: their statements take longer to build than all that is asked here.
    tables = Tables(_catalog(settings), schema_prefix=settings.schema_prefix)
    return morning_at(settings, tables, at=at, wait_seconds=_WAIT_SECONDS)


def _catalog(settings: Settings) -> Catalog:
    from cdm_assets.catalog.reading import read_catalog

    return read_catalog(settings.catalog_overlay)


def _print_morning(found: Morning) -> None:
    from cdm_assets.operations.morning_people import NOBODY

    due = f"business date {found.due_date}" if found.due_date else "no business date"
    typer.echo(f"{_shown(found.colour)} {due}, as of {found.at.astimezone(UTC):%F %H:%M} UTC")
    for reason in found.reasons[:_MOST_LINES]:
        typer.echo(f"  {_shown(reason.colour)} {_cut(reason.text)}")
    for hop in found.hops:
        size = f"{hop.loaded:>3} of {hop.tables:>3} tables  {hop.rows:>12,} rows  {hop.seconds:>8,.1f} s"
        typer.echo(f"{_shown(hop.colour)} {hop.hop:<16} {size}")
        for reason in hop.reasons[:_MOST_LINES]:
            typer.echo(f"         {_shown(reason.colour)} {_cut(reason.text)}")
        if hop.reasons[_MOST_LINES:]:
            typer.echo(f"         … and {len(hop.reasons) - _MOST_LINES} more reasons (--json, --html)")
    for incident in found.incidents[:_MOST_LINES]:
        by = f"acknowledged by {incident.acknowledged_by}" if incident.acknowledged_by else "nobody has acknowledged it"
        typer.echo(f"incident {incident.incident} ({incident.code}, {incident.severity}), {by}")
    for alert in found.alerts[:_MOST_LINES]:
        typer.echo(f"alert    {alert.kind}, {alert.about}: {_cut(alert.message)}")
    for window in found.maintenance:
        typer.echo(f"open     {window}")
    for duty in found.on_call:
        who = f"{duty.primary}, then {duty.secondary}, until" if duty.primary != NOBODY else f"{NOBODY};"
        typer.echo(f"on call  {duty.group}: {who} {duty.until}")


def _shown(colour: Colour) -> str:
    return typer.style(f"{colour.value.upper():<6}", fg=_TERMINAL.get(colour.value, typer.colors.WHITE), bold=True)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 240 else f"{line[:239]}…"


def verify(
    day: DateArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print every answer as JSON.")] = False,
) -> None:
    """Check a loaded date anew, from what the tables hold: keys, rows between layers, orphans, technical columns, sums.

    Exit code 0: right, warnings aside. 1: something is wrong.
    """
    from cdm_assets.operations.verification import verified
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.settings import Settings
    from cdm_assets.warehouse.engine import Warehouse

    settings = Settings.from_environment()
    asked = _business_date(settings, day)
    loads = table_loads(settings)
    with (
        Warehouse.open_existing(settings, loads.tables, read_only=True, wait_seconds=_WAIT_SECONDS) as warehouse,
        warehouse.connection() as connection,
    ):
        answers = verified(connection, loads, asked)
    if as_json:
        typer.echo(json.dumps([asdict(answer) | {"code": answer.code} for answer in answers], indent=2))
    else:
        _print_verified(asked, answers)
    if any(answer.blocks for answer in answers):
        raise typer.Exit(1)


def _print_verified(day: date, answers: Sequence[Verified]) -> None:
    wrong = [answer for answer in answers if answer.blocks]
    warned = [answer for answer in answers if not answer.passed and not answer.blocks]
    for check in dict.fromkeys(answer.check for answer in answers):
        of_check = [answer for answer in answers if answer.check == check]
        failed = sum(answer.blocks for answer in of_check)
        warns = sum(not answer.passed for answer in of_check) - failed
        told = ", ".join([f"{failed} wrong"] * bool(failed) + [f"{warns} warned"] * bool(warns)) or "right"
        typer.echo(f"{check:<18} {len(of_check):>4} tables  {told}")
    for label, found in (("wrong", wrong), ("warned", warned)):
        for answer in found[:_MOST_LINES]:
            typer.echo(f"{label}: {answer.table} {answer.check} ({answer.code}): {_cut(answer.message)}")
        if found[_MOST_LINES:]:
            typer.echo(f"{label}: … and {len(found) - _MOST_LINES} more (--json)")
    verdict = f"{len(wrong)} answers are wrong; `cdm runbook CODE` says what to do" if wrong else "right"
    typer.echo(f"{day}: {len(answers)} answers about {len({a.table for a in answers})} tables: {verdict}")


def smoke() -> None:
    """After a release or a configuration change: does all fit together. The site's data is only read.

    Catalog, definitions, database, and one date of made-up files through every table, in a scratch database.
    Exit code 0: yes. 1: no.
    """
    from cdm_assets.orchestration.smoke import smoke as smoke_of
    from cdm_assets.settings import Settings

    # A terminated process unwinds as one that is interrupted, so that the scratch folder goes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    steps = smoke_of(Settings.from_environment(), say=_print_step)
    failed = [step.step for step in steps if not step.passed]
    seconds = sum(step.seconds for step in steps)
    typer.echo(f"{'failed: ' + ', '.join(failed) if failed else 'all right'}, {seconds:.1f} s")
    if failed:
        raise typer.Exit(1)


def _print_step(step: SmokeStep) -> None:
    typer.echo(f"{'ok    ' if step.passed else 'FAILED'} {step.seconds:>6.1f} s  {step.step}")
    for problem in step.problems[:_MOST_LINES]:
        typer.echo(f"    {problem}")
    for note in step.notes[:_MOST_LINES]:
        typer.echo(f"    note: {_cut(note)}")
    for found, name in ((step.problems, "problems"), (step.notes, "notes")):
        if found[_MOST_LINES:]:
            typer.echo(f"    … and {len(found) - _MOST_LINES} more {name}")


def rerun(
    day: DateArgument,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TABLE", help="Only this table (schema.table) and what is behind it."),
    ] = None,
    only: Annotated[str | None, typer.Option("--only", metavar="TABLE", help="Only this table.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Load a date again: shows what and whether it can start, asks, runs through Dagster, verifies what was loaded.

    Exit code 0: loaded and verified. 1: not started, failed, or wrong afterwards.
    """
    from cdm_assets.command_errors import Stopped
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.orchestration.rerun import preconditions, tables_to_rerun, verified_after
    from cdm_assets.orchestration.rerun import rerun as rerun_date
    from cdm_assets.settings import Settings

    if start and only:
        raise Stopped("give --from or --only, not both")
    settings = Settings.from_environment()
    asked = day.date()
    loads = table_loads(settings)
    tables = tables_to_rerun(loads, start=start, only=only)
    typer.echo(f"{asked}: {len(tables)} tables, {', '.join(_by_layer(tables))}")
    found = preconditions(settings, loads, asked, tables)
    for condition in found:
        typer.echo(f"  {'ok    ' if condition.holds else 'NOT OK'} {condition.name}: {condition.says}")
    _require(found)
    if not yes and not typer.confirm("Load them again?", default=False):
        raise Stopped("nothing was loaded")
    outcome = rerun_date(settings, loads, asked, tables, say=typer.echo)
    answers = verified_after(settings, loads, asked, tables)
    _print_verified(asked, answers)
    problems = [*outcome.problems, *(f"{a.table} {a.check}: {_cut(a.message)}" for a in answers if a.blocks)]
    if problems:
        raise Stopped("\n".join([*problems[:_MOST_LINES], "What to do: `cdm runbook CODE`, with the codes above"]))


def _by_layer(tables: Sequence[str]) -> list[str]:
    layers = [key.split(".")[0] for key in tables]
    return [tables[0]] if len(tables) == 1 else [f"{layers.count(layer)} {layer}" for layer in dict.fromkeys(layers)]


def _require(conditions: Sequence[Precondition]) -> None:
    from cdm_assets.command_errors import Stopped

    missing = [condition.name for condition in conditions if not condition.holds]
    if missing:
        raise Stopped(f"not started: {', '.join(missing)}")


def _business_date(settings: Settings, day: datetime) -> date:
    from cdm_assets.command_errors import Stopped

    asked = day.date()
    if not settings.start_date <= asked <= settings.last_business_date:
        dates = f"{settings.start_date} to {settings.last_business_date}"
        raise Stopped(f"{asked} is not within the business dates {dates}; see CDM_START_DATE and CDM_END_DATE")
    return asked
