"""`cdm oncall ...`: who is on duty, swaps, fairness, calendars; and `cdm timing`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cdm_assets.catalog.oncall import OnCall, Swap
    from cdm_assets.operations.rota import Fairness, Rota, Shift
    from cdm_assets.operations.timing import DeliveryTiming, SourceTiming

_WAIT_SECONDS = 20
_ONE_DAY = timedelta(days=1)

app = typer.Typer(
    help="On-call: who is on duty now and next, swaps, whether the rota is fair, calendars.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
GroupOption = Annotated[list[str] | None, typer.Option("--group", help="Only this on-call group; repeatable.")]
AtOption = Annotated[
    datetime | None, typer.Option("--at", formats=["%Y-%m-%dT%H:%M"], help="Another time than now, in UTC.")
]


@app.command()
def show(
    group: GroupOption = None,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day; default: today.")
    ] = None,
    weeks: Annotated[int, typer.Option("--weeks", min=1, max=520, help="How many weeks.")] = 6,
) -> None:
    """Show who is primary and secondary, from when until when (UTC), and why where it is not as planned."""
    begin = first.date() if first else datetime.now(UTC).date()
    for rota in _rotas(group):
        shifts = rota.shifts(begin - _ONE_DAY, begin + timedelta(weeks=weeks) - _ONE_DAY)
        typer.echo(f"{rota.name}: {rota.group.description} {rota.group.contact}".rstrip())
        rows = [["from", "until", "primary", "secondary", ""], *map(_duty_row, _joined(shifts))]
        _print_rows(rows)


@app.command(name="next")
def next_(group: GroupOption = None, at: AtOption = None) -> None:
    """Show the next hand-over of each group: when, from whom to whom."""
    when = at.replace(tzinfo=UTC) if at else datetime.now(UTC)
    for rota in _rotas(group):
        now = rota.on_duty(when)
        coming = rota.on_duty(now.until)
        typer.echo(
            f"{rota.name}: {now.until:%a %Y-%m-%d %H:%M} UTC  primary {now.primary} -> {coming.primary}, "
            f"secondary {now.secondary} -> {coming.secondary}, until {coming.until:%a %Y-%m-%d %H:%M} UTC"
        )


@app.command()
def who(group: GroupOption = None, at: AtOption = None) -> None:
    """Show who is on duty now, or at --at, with their addresses."""
    when = at.replace(tzinfo=UTC) if at else datetime.now(UTC)
    for rota in _rotas(group):
        duty = rota.on_duty(when)
        engineers = rota.oncall.engineers
        people = [("primary", duty.primary), ("secondary", duty.secondary)]
        if duty.handing_over:
            people.append(("handing over", duty.handing_over))
        span = f"{duty.since:%Y-%m-%d %H:%M} to {duty.until:%Y-%m-%d %H:%M} UTC"
        typer.echo(f"{rota.name}: {span}  {rota.group.contact}".rstrip())
        for role, engineer in people:
            typer.echo(f"  {role:<12}  {engineers[engineer].name} <{engineers[engineer].email}>")


@app.command()
def swap(  # noqa: PLR0913, PLR0917  # a command's options
    group: Annotated[str, typer.Argument(metavar="GROUP")],
    gives: Annotated[str, typer.Argument(metavar="GIVES", help="Engineer who is primary on these days.")],
    takes: Annotated[str, typer.Argument(metavar="TAKES", help="Engineer who takes them.")],
    first: Annotated[datetime, typer.Option("--first", formats=["%Y-%m-%d"], help="First day.")],
    last: Annotated[
        datetime | None, typer.Option("--last", formats=["%Y-%m-%d"], help="Last day; default: the first.")
    ] = None,
    return_first: Annotated[
        datetime | None,
        typer.Option("--return-first", formats=["%Y-%m-%d"], help="In return GIVES takes days of TAKES from here on."),
    ] = None,
    return_last: Annotated[datetime | None, typer.Option("--return-last", formats=["%Y-%m-%d"])] = None,
    note: Annotated[str, typer.Option("--note", help="Why.")] = "",
) -> None:
    """Give days of duty to another: checked, then written into the oncall.yaml of the site's catalog (CDM_CATALOG)."""
    from cdm_assets.catalog.oncall import Swap
    from cdm_assets.catalog.reading import ONCALL_FILE, read_catalog
    from cdm_assets.command_errors import Stopped
    from cdm_assets.operations.rota import Rota, fairness
    from cdm_assets.operations.swaps import swapped_days, with_swaps, write_swaps
    from cdm_assets.settings import Settings

    folder = Settings.from_environment().catalog_overlay
    if folder is None:
        raise Stopped("a swap is written into the site's oncall.yaml; set CDM_CATALOG to the site's catalog folder")
    if gives == takes:
        raise Stopped(f"GIVES and TAKES are both {gives}; expected two engineers")
    if return_last and not return_first:
        raise Stopped("--return-last needs --return-first")
    spans = [(gives, takes, first, last or first)]
    if return_first:
        spans.append((takes, gives, return_first, return_last or return_first))
    swaps: list[Swap] = []
    oncall = read_catalog(folder).oncall
    for giver, taker, begin, end in spans:
        if end < begin:
            raise Stopped(f"the last day {end:%Y-%m-%d} is before the first {begin:%Y-%m-%d}")
        new = Swap(group=group, gives=giver, takes=taker, first=begin.date(), last=end.date(), note=note)
        days = swapped_days(oncall, new)
        typer.echo(f"{taker} takes {_days_text(days)} of {group} from {giver}")
        oncall = with_swaps(oncall, [new])
        swaps.append(new)
    write_swaps(folder / ONCALL_FILE, swaps)
    read_catalog(folder)
    typer.echo(f"written to {folder / ONCALL_FILE}")
    for year in sorted({swap.first.year for swap in swaps}):
        for fault in fairness(Rota(oncall, group), date(year, 1, 1), date(year, 12, 31)).faults:
            typer.echo(f"now unfair in {year}: {fault}")


@app.command()
def validate(
    group: GroupOption = None,
    year: Annotated[int | None, typer.Option("--year", min=2000, max=2079, help="Default: this year.")] = None,
) -> None:
    """Check the rota of a calendar year: everybody's share, each minute covered, swaps kept. Fails beyond the bound."""
    from cdm_assets.command_errors import Stopped
    from cdm_assets.operations.rota import fairness

    wanted = year or datetime.now(UTC).year
    first, last = date(wanted, 1, 1), date(wanted, 12, 31)
    faults: list[str] = []
    for rota in _rotas(group):
        if rota.group.start > last:
            typer.echo(f"{rota.name}: begins on {rota.group.start}, after {wanted}")
            continue
        result = fairness(rota, first, last)
        _print_fairness(result, rota.group.bound)
        faults += [*result.faults, *(sentence for sentence in rota.lapsed if str(wanted) in sentence)]
    if faults:
        raise Stopped("\n".join(["the rota is not as it should be:", *(f"  {fault}" for fault in faults)]))


@app.command()
def export(
    ics: Annotated[Path, typer.Option("--ics", help="File to write, such as oncall.ics.")],
    group: GroupOption = None,
    engineer: Annotated[str | None, typer.Option("--engineer", help="Only the duty of this engineer.")] = None,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day; default: today.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="How many days.")] = 180,
) -> None:
    """Write the rota as a calendar file; import it again and the events of the last export are replaced."""
    from cdm_assets.command_errors import Stopped
    from cdm_assets.operations.rota_calendar import rota_calendar

    rotas = _rotas(group)
    engineers = rotas[0].oncall.engineers if rotas else {}
    if engineer is not None and engineer not in engineers:
        raise Stopped(f"unknown engineer {engineer!r}; known are {', '.join(sorted(engineers))}")
    begin = first.date() if first else datetime.now(UTC).date()
    until = begin + timedelta(days=days - 1)
    ics.write_bytes(rota_calendar(rotas, begin, until, engineer=engineer, written_at=datetime.now(UTC)))
    typer.echo(f"{ics}: {', '.join(rota.name for rota in rotas)}, {begin} to {until}")


def timing(
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="Of the last so many business dates.")] = 90,
) -> None:
    """Show when files come and tables are ready, from history, beside what the catalog declares (UTC)."""
    from cdm_assets.operations.timing import delivery_timings, source_timings
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.settings import Settings
    from cdm_assets.warehouse.dates import DateRange
    from cdm_assets.warehouse.engine import Warehouse

    settings = Settings.from_environment()
    last = settings.last_business_date
    dates = DateRange(max(settings.start_date, last - timedelta(days=days - 1)), last)
    tables = table_loads(settings).tables
    with (
        Warehouse.open_existing(settings, tables, read_only=True, wait_seconds=_WAIT_SECONDS) as warehouse,
        warehouse.connection() as connection,
    ):
        sources = source_timings(connection, tables, dates)
        deliveries = delivery_timings(connection, tables, dates)
    typer.echo(f"Business dates {dates}; times are UTC, on the day after the business date")
    _print_rows([_SOURCE_HEAD, *map(_source_row, sources)])
    _print_rows([_DELIVERY_HEAD, *map(_delivery_row, deliveries)])


_SOURCE_HEAD = [
    *("source", "available at", "late after", "starts at", "margin"),
    *("typical", "95 of 100 by", "real margin", "dates", "late", "filled in later"),
]
_DELIVERY_HEAD = [
    *("pipeline", "ready by", "alert if late by"),
    *("typical", "95 of 100 by", "margin", "dates", "late", "alerts", "filled in later"),
]


def _source_row(timing: SourceTiming) -> list[str]:
    from cdm_assets.operations.timing import offset_text

    typical = timing.typical
    return [
        timing.source,
        *map(offset_text, (timing.available_at, timing.late_after, timing.starts_at, timing.declared_margin)),
        *map(offset_text, (typical.middle, typical.most) if typical else (None, None)),
        offset_text(timing.margin),
        *map(str, (typical.dates if typical else 0, timing.late, timing.backfilled)),
    ]


def _delivery_row(timing: DeliveryTiming) -> list[str]:
    from cdm_assets.operations.timing import offset_text

    typical = timing.typical
    return [
        timing.pipeline,
        *map(offset_text, (timing.ready_by, timing.alert_if_late_by)),
        *map(offset_text, (typical.middle, typical.most) if typical else (None, None)),
        offset_text(timing.margin),
        *map(str, (typical.dates if typical else 0, timing.late, timing.alerting, timing.backfilled)),
    ]


def _rotas(groups: Sequence[str] | None) -> list[Rota]:
    from cdm_assets.operations.rota import Rota

    oncall = _oncall()
    return [Rota(oncall, group) for group in groups or oncall.groups]


def _oncall() -> OnCall:
    from cdm_assets.catalog.reading import ONCALL_FILE, read_catalog
    from cdm_assets.command_errors import Stopped
    from cdm_assets.settings import Settings

    settings = Settings.from_environment()
    oncall = read_catalog(settings.catalog_overlay).oncall
    if not oncall.groups:
        raise Stopped(f"no on-call group is declared; declare one in {ONCALL_FILE} of the catalog folder (CDM_CATALOG)")
    return oncall


def _joined(shifts: Iterable[Shift]) -> list[list[Shift]]:
    """Days in a row with the same two persons."""
    joined: list[list[Shift]] = []
    for shift in shifts:
        before = joined[-1][-1] if joined else None
        if before and (before.primary, before.secondary) == (shift.primary, shift.secondary):
            joined[-1].append(shift)
        else:
            joined.append([shift])
    return joined


def _duty_row(shifts: Sequence[Shift]) -> list[str]:
    why = dict.fromkeys(reason for shift in shifts for reason in shift.why)
    begins, ends = shifts[0].begins, shifts[-1].ends
    shown = (f"{begins:%a %Y-%m-%d %H:%M}", f"{ends:%a %Y-%m-%d %H:%M}")
    return [*shown, shifts[0].primary, shifts[0].secondary, "; ".join(why)]


def _print_fairness(result: Fairness, bound: int) -> None:
    state = "beyond the bound" if result.faults else "fair"
    typer.echo(f"{result.group}: {result.first} to {result.last}, bound {bound}: {state}")
    head = ["engineer", "weeks", "weekends", "holidays", "days", "as secondary", "days of leave", ""]
    rows = [
        [
            share.engineer,
            *(f"{value:g}" for value in (share.weeks, share.weekends, share.holidays)),
            *map(str, (share.days, share.secondary_days, share.leave_days)),
            "" if share.whole_span else "not a member all the time; not judged",
        ]
        for share in result.shares
    ]
    _print_rows([head, *rows])


def _days_text(days: Sequence[date]) -> str:
    from cdm_assets.warehouse.dates import listed

    return listed(days)


def _print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Rows with aligned columns, the first of them the head."""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    for row in rows:
        typer.echo("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    typer.echo("")
