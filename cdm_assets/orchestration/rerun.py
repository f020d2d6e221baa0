"""A date again: what a rerun would load, whether it can be started now, and the rerun itself as a Dagster run.

Preconditions are looked at, not made true: a rerun that starts without its files or upstream partitions would replace
what is there by less. The run itself is that of `cdm run`, forced, so that whatever it leaves out of line behind it is
repaired too, as far as it was selected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

import sqlalchemy as sa
from dagster import DagsterInstance

from cdm_assets.catalog.types import Layer
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.maintenance import held_sources, warehouse_window
from cdm_assets.operations.pauses import paused_sources
from cdm_assets.operations.verification import Verified, verified
from cdm_assets.orchestration.daily_run import RunSummary, UnknownSelection, run_dates
from cdm_assets.orchestration.instance import ensure_instance_of
from cdm_assets.orchestration.runs import runs_in_progress
from cdm_assets.orchestration.warehouse_resource import landing_area
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import DatabaseUnreachable, NoDatabase, Warehouse, WarehouseBusy
from cdm_assets.warehouse.landing_area import LandingAreaMissing, file_name_of

_MOST_NAMED = 6
_WAIT_SECONDS = 20


@dataclass(frozen=True)
class Precondition:
    """Something that has to hold before a rerun starts, and why it does or does not."""

    name: str
    holds: bool
    says: str


def _holds(name: str, says: str) -> Precondition:
    return Precondition(name, holds=True, says=says)


def _fails(name: str, says: str) -> Precondition:
    return Precondition(name, holds=False, says=says)


def tables_to_rerun(loads: TableLoads, *, start: str | None = None, only: str | None = None) -> tuple[str, ...]:
    """The tables of a rerun, in order: all; `start` and what is behind it; or `only` one.

    Raises UnknownSelection for a table that the catalog does not have.
    """
    asked = only or start
    if asked is None:
        return loads.in_order
    if asked not in loads.in_order:
        near = [key for key in loads.in_order if key.split(".")[1] == asked.split(".")[-1]]
        hint = f"did you mean {near[0]}?" if near else "name it as schema.table, as `cdm status` and the UI do"
        raise UnknownSelection(f"no table {asked}; {hint}")
    if only is not None:
        return (only,)
    reached = {asked}
    for key in loads.in_order:
        if loads.reads[key] & reached:
            reached.add(key)
    return tuple(key for key in loads.in_order if key in reached)


def preconditions(
    settings: Settings, loads: TableLoads, day: date, tables: Sequence[str], *, now: datetime | None = None
) -> list[Precondition]:
    """What has to hold before `tables` can be loaded again for `day`; all of it, whatever fails."""
    at = now or datetime.now(UTC)
    return [
        _within_dates(settings, day),
        _files_there(settings, loads, day, tables),
        _no_maintenance(loads, tables, at),
        _no_run(settings),
        *_upstream(settings, loads, day, tables),
    ]


def _within_dates(settings: Settings, day: date) -> Precondition:
    first, last = settings.start_date, settings.last_business_date
    text = f"{day} is {'' if first <= day <= last else 'not '}within the business dates {first} to {last}"
    return Precondition("business date", first <= day <= last, text)


def _files_there(settings: Settings, loads: TableLoads, day: date, tables: Sequence[str]) -> Precondition:
    sources = [loads.landing_source(key) for key in tables if key.startswith(f"{Layer.LANDING}.")]
    if not sources:
        return _holds("landing files", "none is needed: no table of the landing zone is loaded")
    names = {file_name_of(source, day): source for source in sources}
    try:
        there = landing_area(settings).stamps_of(names)
    except LandingAreaMissing as reason:
        return _fails("landing files", str(reason))
    missing = [name for name, source in names.items() if name not in there and not source.files.may_be_absent]
    if missing:
        owners = dict.fromkeys(owner for name in missing for owner in names[name].owners)
        return _fails("landing files", f"not there: {_listed(missing)}. Ask {', '.join(owners)}")
    absent = len(names) - len(there)
    legal = f", {absent} absent as they may be" if absent else ""
    return _holds("landing files", f"{len(there)} of {len(names)} there{legal}")


def _no_maintenance(loads: TableLoads, tables: Sequence[str], at: datetime) -> Precondition:
    window = warehouse_window(loads.catalog, at)
    if window is not None:
        return _fails("maintenance", f"{window}; rerun after it")
    held = held_sources(loads.catalog, at)
    landing = {loads.landing_source(key).source for key in tables if key.startswith(f"{Layer.LANDING}.")}
    if landing & held.keys():
        name = min(landing & held.keys())
        return _fails("maintenance", f"source {name} is held by {held[name]}; rerun after it")
    return _holds("maintenance", "no window is open")


def _no_run(settings: Settings) -> Precondition:
    if settings.dagster_storage is None and not settings.dagster_home.exists():
        return _holds("no run in progress", "there was no run yet")
    ensure_instance_of(settings)
    with DagsterInstance.get() as instance:
        others = runs_in_progress(instance)
    if others:
        return _fails("no run in progress", f"wait for {others}, or cancel it in the UI")
    return _holds("no run in progress", "none")


def _upstream(settings: Settings, loads: TableLoads, day: date, tables: Sequence[str]) -> Iterator[Precondition]:
    """Whether what the tables read and do not load themselves is there, in line, and passed its blocking checks."""
    outside = sorted({up for key in tables for up in loads.upstream[key]} - set(tables), key=loads.in_order.index)
    ancestors = {up for key in tables for up in loads.ancestors[key] | loads.reads[key]} - set(tables)
    try:
        with _reading(settings, loads) as connection:
            yield _loaded_upstream(connection, loads, day, outside)
            yield _checks_upstream(connection, loads, day, ancestors)
            yield _paused(connection, loads, tables)
    except NoDatabase:
        text = "there is no database yet" + (f"; load {_listed(outside)} first" if outside else ", the run creates it")
        yield Precondition("upstream partitions", not outside, text)
    except (WarehouseBusy, DatabaseUnreachable) as reason:
        yield _fails("database", str(reason))


def _loaded_upstream(connection: sa.Connection, loads: TableLoads, day: date, outside: Sequence[str]) -> Precondition:
    if not outside:
        return _holds("upstream partitions", "none is needed: every table that is read is loaded too")
    loaded, marks = (loads.tables[f"cdp_metadata.{name}"] for name in ("partition_load", "stale_partition"))
    there, stale = (
        set(connection.execute(sa.select(table.c.table_key).where(table.c.business_date == day)).scalars())
        for table in (loaded, marks)
    )
    missing = [key for key in outside if key not in there]
    if missing:
        text = f"not loaded for {day}: {_listed(missing)}; rerun with --from {missing[0]}"
        return _fails("upstream partitions", text)
    out_of_line = [key for key in outside if key in stale]
    if out_of_line:
        text = f"out of line for {day}: {_listed(out_of_line)}; rerun with --from {out_of_line[0]}"
        return _fails("upstream partitions", text)
    return _holds("upstream partitions", f"{len(outside)} tables are loaded")


def _checks_upstream(connection: sa.Connection, loads: TableLoads, day: date, ancestors: set[str]) -> Precondition:
    result = loads.tables["cdp_metadata.check_result"]
    query = sa.select(result.c.table_key, result.c.check_name, result.c.message).where(
        result.c.business_date == day, result.c.blocks == sa.true()
    )
    rows = connection.execute(query.order_by(result.c.table_key)).tuples()
    failed = [f"{key} {check}: {(message or '')[:200]}" for key, check, message in rows if key in ancestors]
    if failed:
        return _fails("blocking checks", f"failed upstream, and not loaded again: {_listed(failed)}")
    return _holds("blocking checks", "none fails upstream")


def _paused(connection: sa.Connection, loads: TableLoads, tables: Sequence[str]) -> Precondition:
    """A pause stops what starts by itself, not who asks for it; so it is told and holds nothing up."""
    landing = {loads.landing_source(key).source for key in tables if key.startswith(f"{Layer.LANDING}.")}
    paused = {source: why for source, why in paused_sources(connection, loads.tables).items() if source in landing}
    told = [f"{source} ({why})" for source, why in paused.items()]
    return _holds("paused sources", f"{_listed(told)}: loaded all the same, since you ask" if told else "none of them")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" if names[_MOST_NAMED:] else "")


def rerun(
    settings: Settings,
    loads: TableLoads,
    day: date,
    tables: Sequence[str],
    *,
    say: Callable[[str], None] = lambda _: None,
) -> RunSummary:
    """Load `tables` for `day` again in a Dagster run, and repair what of them a changed vault leaves out of line.

    Raises what `run_dates` raises.
    """
    return run_dates(settings, loads, DateRange(day, day), selection=tables, force=True, say=say)


def verified_after(settings: Settings, loads: TableLoads, day: date, tables: Sequence[str]) -> list[Verified]:
    """The answers of `cdm verify` for the tables that were loaded again."""
    with _reading(settings, loads) as connection:
        return verified(connection, loads, day, tables)


@contextmanager
def _reading(settings: Settings, loads: TableLoads) -> Iterator[sa.Connection]:
    with (
        Warehouse.open_existing(settings, loads.tables, read_only=True, wait_seconds=_WAIT_SECONDS) as warehouse,
        warehouse.connection() as connection,
    ):
        yield connection
