"""The morning check: is everything that was due this night there, in line, and right; as plain data.

Asked for a time, it looks at the business date that is due then: the day before, or the site's last. Every hop of the
way (mart → landing zone → vault → interface → 360 → publish, the metrics, the models' write-back) gets a colour and the
reasons for it:

- red: something that was due is not there, or is wrong in a way that holds others back;
- yellow: there, and somebody should look: a new warning, a partition out of line, a file that is late but in time;
- grey: not due yet, or nobody can tell;
- green: every table has the partition, in line with what it reads, and its checks passed. A warning that stood on most
  earlier dates too is told and colours nothing: a page that is always yellow is not read.

Freshness goes by partition: the newest business date that a table holds, never by when something was loaded, so that a
backfill of an old date makes nothing look fresh. All comes from the control tables, in one query each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from cdm_assets.catalog.model import Catalog, Source
from cdm_assets.catalog.rules import KnownModel
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.landing_register import PENDING, RegisteredFile, State, live_files
from cdm_assets.loading.stamp import in_range
from cdm_assets.operations.alerts import open_alerts
from cdm_assets.operations.error_codes import code_of_check
from cdm_assets.operations.maintenance import open_windows
from cdm_assets.operations.morning_people import incidents_now, on_call_at
from cdm_assets.operations.morning_report import (
    AlertMorning,
    CheckMorning,
    Colour,
    FileMorning,
    HopMorning,
    Morning,
    Reason,
    Series,
    TableMorning,
    grouped,
    unknown_morning,
    worst,
)
from cdm_assets.operations.ownership import find_pipeline
from cdm_assets.operations.pauses import paused_sources
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import ONE_DAY, DateRange, listed
from cdm_assets.warehouse.engine import DatabaseUnreachable, NoDatabase, Warehouse, WarehouseBusy
from cdm_assets.warehouse.tables import Tables

HISTORY_DAYS: Final = 30
"""How many business dates the page's sparklines show."""
RECENT_DAYS: Final = 7
"""What failed or is missing within these dates is as red as the due date; older failures are told in yellow."""
WRITE_BACK: Final = "ML write-back"
HOPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("mart → LDZ", ("ldz",)),
    ("LDZ → RDV", ("rdv",)),
    ("RDV → interface", ("itf",)),
    ("interface → 360", ("agg", "cs_360_db")),
    ("360 → publish", ("cdm_publish_db",)),
    ("metrics", ("metrics",)),
)
"""Each hop with the layers it fills. A layer that is in none of them is a hop of its own, and what predictions pass
through on their way back is the hop `WRITE_BACK`."""
_NOT_LOADED: Final = "not loaded"


def due_date(at: datetime, dates: DateRange) -> date | None:
    """The business date whose data is due on the day of `at` (UTC): the day before, or the last of `dates`.

    None before the first of them is.
    """
    day = min(at.astimezone(UTC).date() - ONE_DAY, dates.last)
    return day if day in dates else None


def morning_of(warehouse: Warehouse, *, at: datetime, dates: DateRange) -> Morning:
    """The morning at `at` (aware) of a site with the business dates `dates`.

    What was loaded and what failed is as it is now; `at` decides what is due by then and who is on call.
    """
    day = due_date(at, dates)
    duties = on_call_at(warehouse.tables.catalog, at)
    if day is None:
        why = Reason(Colour.GREY, f"nothing is due before the day after {dates.first}, the first business date")
        return Morning(at, None, Colour.GREY, (why,), on_call=duties)
    with warehouse.connection() as connection:
        facts = _Facts(connection, warehouse.tables, day, dates.first, at)
        incidents = incidents_now(connection, warehouse.tables)
    files = tuple(facts.file(source) for source in facts.tables.catalog.sources.values())
    tables = tuple(facts.table(key) for key in facts.tables.partitioned)
    hops = tuple(facts.hop(name, [t for t in tables if t.table in keys], files) for name, keys in hops_of(facts.tables))
    reasons = (*(Reason(i.colour, f"open {i.severity} incident {i.incident}: {i.what}") for i in incidents),)
    reasons += tuple(Reason(Colour.YELLOW, f"open alert: {alert.kind}, {alert.about}") for alert in facts.alerts)
    reasons += tuple(Reason(Colour.YELLOW, f"nobody is on call for {d.group}: {d.until}") for d in duties if d.is_gap)
    colours = [hop.colour for hop in hops if hop.tables]
    return Morning(
        at=at,
        due_date=day,
        colour=worst([*colours, *(reason.colour for reason in reasons)]),
        reasons=grouped(reasons),
        hops=hops,
        tables=tables,
        files=files,
        checks=tuple(facts.checks),
        alerts=tuple(facts.alerts),
        incidents=incidents,
        on_call=duties,
        maintenance=tuple(str(window) for window in open_windows(facts.tables.catalog.maintenance, at)),
        paused=facts.paused,
        history=tuple(facts.history),
    )


def morning_at(settings: Settings, tables: Tables, *, at: datetime, wait_seconds: float) -> Morning:
    """The morning of a site at `at` (aware); grey, and why, where its database is not there or cannot be read."""
    dates = DateRange(settings.start_date, max(settings.start_date, settings.last_business_date))
    try:
        with Warehouse.open_existing(settings, tables, read_only=True, wait_seconds=wait_seconds) as warehouse:
            with warehouse.connection() as connection:
                missing = control_tables_missing(connection, tables)
            if missing:
                what = f"{settings.database_name} has no {', '.join(missing)}"
                why = f"{what}; create what an upgrade added with `cdm ddl --apply`"
                return unknown_morning(at, why)
            return morning_of(warehouse, at=at, dates=dates)
    except (NoDatabase, DatabaseUnreachable) as reason:
        return unknown_morning(at, str(reason))
    except WarehouseBusy as reason:
        return unknown_morning(at, f"a load is going on, ask again when it has ended: {reason}")


def control_tables_missing(connection: sa.Connection, tables: Tables) -> list[str]:
    """The control tables that the database lacks, as it does after an upgrade until `cdm ddl --apply`."""
    there = set(
        sa.inspect(connection).get_table_names(schema=tables.catalog.schema_of(Layer.CONTROL, tables.schema_prefix))
    )
    return sorted(
        table.name
        for table in tables.control
        if table.schema == tables["cdp_metadata.load_log"].schema and table.name not in there
    )


def hops_of(tables: Tables) -> list[tuple[str, list[str]]]:
    """Every hop and its tables; each table is in one, whatever layers there are."""
    written_back = _write_back(tables.catalog)
    others = [key for key in tables.partitioned if key not in written_back]
    known = {layer for _, layers in HOPS for layer in layers}
    further = dict.fromkeys(key.split(".")[0] for key in others if key.split(".")[0] not in known)
    every = [*HOPS, *((layer, (layer,)) for layer in further)]
    found = [(name, [key for key in others if key.split(".")[0] in layers]) for name, layers in every]
    return [*found, (WRITE_BACK, [key for key in tables.partitioned if key in written_back])]


def _write_back(catalog: Catalog) -> set[str]:
    """The tables that only models' predictions fill: from their landing zone to the mart that publish shows."""
    sources = [source for source in catalog.sources.values() if any(isinstance(r, KnownModel) for r in source.rules)]
    names = {source.source for source in sources}
    vault = {f"l_{source.feeds.event}" for source in sources if source.feeds.event}
    vault |= {f"s_{feed.name}" for source in sources for feed in source.feeds.satellites}
    vault |= {f"h_{hub}" for hub in catalog.vault.hubs if _only(catalog.sources_of_hub(hub), names)}
    vault |= {f"l_{link}" for link in catalog.vault.links if _only(catalog.sources_of_link(link), names)}
    interface = {entity.entity for entity in catalog.interface.values() if entity.spine in vault}
    enriching = {mart.enriched_by for mart in catalog.marts.values() if mart.enriched_by}
    marts = [m for m in catalog.marts.values() if m.mart in enriching or names & set(m.judges)]
    return {
        *(f"{Layer.LANDING}.{source.table}" for source in sources),
        *(f"{Layer.VAULT}.{name}" for name in vault),
        *(f"{Layer.INTERFACE}.{name}" for name in interface),
        *(f"{mart.layer}.{mart.mart}" for mart in marts),
        *(f"{Layer.PUBLISH}.{mart.mart}" for mart in marts if mart.publish),
    }


def _only(sources: Iterable[Source], names: set[str]) -> bool:
    found = {source.source for source in sources}
    return bool(found) and found <= names


class _Facts:
    """What the control tables say, read once; then judged table by table."""

    def __init__(self, connection: sa.Connection, tables: Tables, day: date, first: date, at: datetime) -> None:
        self.tables, self._day, self._at = tables, day, at
        loads = tables["cdp_metadata.partition_load"]
        begun = connection.execute(sa.select(sa.func.min(loads.c.business_date))).scalar()
        first = min(max(first, begun or day), day)
        self.history = DateRange(max(first, day - (HISTORY_DAYS - 1) * ONE_DAY), day)
        self._recent = DateRange(max(first, day - (RECENT_DAYS - 1) * ONE_DAY), day)
        self._rows, self._newest = self._loaded(connection)
        self._seconds = self._durations(connection)
        self._rates, self._old_failures = self._check_rates(connection)
        self.checks = self._failed(connection)
        self._usual = self._usual_warnings(connection)
        self._stale = self._marks(connection)
        self._files = live_files(connection, tables, dates=DateRange(day, day))
        self._rejected = self._rejected_share(connection)
        self.paused = paused_sources(connection, tables)
        self.alerts = [
            AlertMorning(a.kind, f"{a.source} {a.business_date}", a.message, a.opened_at)
            for a in open_alerts(connection, tables)
        ]
        self._deadlines = {key: _deadline(tables.catalog, key, day) for key in tables.partitioned}
        self._source_of = {f"{Layer.LANDING}.{s.table}": s for s in tables.catalog.sources.values()}

    def _loaded(self, connection: sa.Connection) -> tuple[dict[tuple[str, date], int], dict[str, date]]:
        """Rows of each partition of the history, and the newest partition of each table up to the due date."""
        loads = self.tables["cdp_metadata.partition_load"]
        held = sa.select(loads.c.table_key, loads.c.business_date, loads.c.rows_in_partition)
        rows = connection.execute(held.where(in_range(loads.c.business_date, self.history))).tuples()
        newest = (
            sa.select(loads.c.table_key, sa.func.max(loads.c.business_date))
            .where(loads.c.business_date <= self._day)
            .group_by(loads.c.table_key)
        )
        return {(key, day): int(count) for key, day, count in rows}, dict(connection.execute(newest).tuples().all())

    def _durations(self, connection: sa.Connection) -> dict[tuple[str, date], float]:
        """Seconds of the last load of each partition; a range's are shared among its dates."""
        log = self.tables["cdp_metadata.load_log"]
        query = sa.select(log.c.table_key, log.c.first_date, log.c.last_date, log.c.seconds).where(
            log.c.first_date <= self.history.last, log.c.last_date >= self.history.first
        )
        found: dict[tuple[str, date], float] = {}
        for key, first, last, seconds in connection.execute(query.order_by(log.c.load_ts)).tuples():
            share = float(seconds) / len(DateRange(first, last))
            for day in DateRange(max(first, self.history.first), min(last, self.history.last)):
                found[key, day] = share
        return found

    def _check_rates(self, connection: sa.Connection) -> tuple[dict[tuple[str, date], float], dict[str, list[date]]]:
        """Failed checks of all by partition, and the older dates of each table with a blocking failure."""
        result = self.tables["cdp_metadata.check_result"]
        failed = sa.func.sum(sa.case((result.c.passed == sa.false(), 1), else_=0))
        counted = sa.select(result.c.table_key, result.c.business_date, failed, sa.func.count())
        counted = counted.where(in_range(result.c.business_date, self.history))
        rows = connection.execute(counted.group_by(result.c.table_key, result.c.business_date)).tuples()
        old = sa.select(result.c.table_key, result.c.business_date).where(
            result.c.blocks == sa.true(), result.c.business_date < self._recent.first
        )
        older: dict[str, list[date]] = {}
        for key, day in connection.execute(old.distinct()).tuples():
            older.setdefault(key, []).append(day)
        return {(key, day): int(bad) / int(every) for key, day, bad, every in rows}, older

    def _failed(self, connection: sa.Connection) -> list[CheckMorning]:
        result = self.tables["cdp_metadata.check_result"]
        columns = (result.c.table_key, result.c.check_name, result.c.business_date, result.c.blocks, result.c.message)
        query = sa.select(*columns).where(result.c.passed == sa.false(), in_range(result.c.business_date, self._recent))
        in_order = {key: number for number, key in enumerate(self.tables.partitioned)}
        rows = [
            CheckMorning(key, check, day, blocks, message or "", code_of_check(key, check, message or ""))
            for key, check, day, blocks, message in connection.execute(query).tuples()
        ]
        return sorted(
            (check for check in rows if check.table in in_order),
            key=lambda c: (not c.blocks, -c.business_date.toordinal(), in_order[c.table], c.check),
        )

    def _usual_warnings(self, connection: sa.Connection) -> set[tuple[str, str]]:
        """The checks (table, check) that warned on more than half of the history's dates before the due one."""
        result = self.tables["cdp_metadata.check_result"]
        earlier = sa.and_(result.c.business_date >= self.history.first, result.c.business_date < self._day)
        warned = sa.func.sum(
            sa.case((sa.and_(result.c.passed == sa.false(), result.c.blocks == sa.false()), 1), else_=0)
        )
        query = sa.select(result.c.table_key, result.c.check_name).where(earlier)
        grouped_by = query.group_by(result.c.table_key, result.c.check_name).having(warned * 2 > sa.func.count())
        return set(connection.execute(grouped_by).tuples().all())

    def _marks(self, connection: sa.Connection) -> dict[str, list[date]]:
        marks = self.tables["cdp_metadata.stale_partition"]
        stale: dict[str, list[date]] = {}
        for key, day in connection.execute(sa.select(marks.c.table_key, marks.c.business_date)).tuples():
            stale.setdefault(key, []).append(day)
        return stale

    def _rejected_share(self, connection: sa.Connection) -> dict[tuple[str, date], float]:
        """Records rejected of those read, by source and date; everything of a file that was refused."""
        register = self.tables["cdp_metadata.landing_file"]
        query = sa.select(
            register.c.source,
            register.c.business_date,
            register.c.state,
            register.c.rows_read,
            register.c.rows_rejected,
        ).where(register.c.state.in_([State.LOADED, State.REJECTED]), in_range(register.c.business_date, self.history))
        return {
            (source, day): 1.0 if state == State.REJECTED else (int(bad) / int(read) if read else 0.0)
            for source, day, state, read, bad in connection.execute(query.order_by(register.c.arrived_at)).tuples()
        }

    def table(self, key: str) -> TableMorning:
        """One table on the due date."""
        meta = self.tables.meta(key)
        return TableMorning(
            table=key,
            pipeline=pipeline.pipeline if (pipeline := find_pipeline(self.tables.catalog, key)) else None,
            owners=tuple(meta.owners),
            due_at=self._deadlines[key].ready_by,
            newest=self._newest.get(key),
            rows=self._rows.get((key, self._day)),
            seconds=self._seconds.get((key, self._day)),
            reasons=tuple(self._reasons(key)),
            series=Series(
                seconds=[self._seconds.get((key, day)) for day in self.history],
                rows=[self._rows.get((key, day)) for day in self.history],
                error_rate=[self._error_rate(key, day) for day in self.history],
            ),
        )

    def _error_rate(self, key: str, day: date) -> float | None:
        source = self._source_of.get(key)
        if source is not None and (source.source, day) in self._rejected:
            return self._rejected[source.source, day]
        return self._rates.get((key, day))

    def _reasons(self, key: str) -> Iterable[Reason]:
        """Why a table is not green: its partition, what it fails, what is out of line, what is older."""
        failed = [check for check in self.checks if check.table == key]
        not_there = [day for day in self._recent if (key, day) not in self._rows]
        refused = {check.business_date for check in failed if check.message.startswith(_NOT_LOADED)}
        if self._day in not_there and self._day not in refused:
            yield self._absent(key)
        earlier = [day for day in not_there if day != self._day and day not in refused]
        if earlier and not self._is_paused(key):
            yield Reason(Colour.RED, f"never loaded for {listed(earlier)}")
        for check in failed:
            if check.blocks:
                what = f"{check.business_date} check {check.check} failed ({check.code}): {check.message[:300]}"
                yield Reason(Colour.RED, what)
            elif check.business_date == self._day:
                is_usual = (key, check.check) in self._usual
                colour = Colour.GREEN if is_usual else Colour.YELLOW
                how = "warned as on most dates" if is_usual else "warned"
                yield Reason(colour, f"{self._day} check {check.check} {how} ({check.code}): {check.message[:300]}")
        if key in self._stale:
            yield Reason(Colour.YELLOW, f"out of line with what it reads: {listed(self._stale[key], most=3)}")
        if key in self._old_failures:
            days = listed(self._old_failures[key], most=3)
            yield Reason(Colour.YELLOW, f"blocking checks of older dates still fail: {days}")

    def _absent(self, key: str) -> Reason:
        """Why the due date's partition is not there."""
        due, late = self._deadlines[key]
        if self._is_paused(key):
            return Reason(Colour.YELLOW, f"its source is paused: {self.paused[self._source_of[key].source]}")
        if self._at < due:
            return Reason(Colour.GREY, f"not loaded yet; due {due:%F %H:%M} UTC")
        colour = Colour.YELLOW if self._at < late else Colour.RED
        return Reason(colour, f"not loaded for {self._day}; was due {due:%F %H:%M} UTC")

    def _is_paused(self, key: str) -> bool:
        source = self._source_of.get(key)
        return source is not None and source.source in self.paused

    def file(self, source: Source) -> FileMorning:
        """The file of a source for the due date."""
        files = self._files.get((source.source, self._day), [])
        newest = files[-1] if files else None
        colour, what = self._of_file(source, newest) if newest else self._no_file(source)
        arrived = newest.arrived_at.replace(tzinfo=UTC) if newest else None
        return FileMorning(source.source, colour, what, tuple(source.owners), arrived)

    def _of_file(self, source: Source, file: RegisteredFile) -> tuple[Colour, str]:
        if file.gone_at is not None:
            return Colour.YELLOW, f"{file.file_name} is no longer there since {file.gone_at:%F %H:%M} UTC"
        if file.state == State.REJECTED:
            return Colour.RED, f"{file.file_name} was refused: {(file.reason or '')[:300]}"
        if file.state in PENDING:
            due = self._deadlines[f"{Layer.LANDING}.{source.table}"].ready_by
            return (Colour.GREY if self._at < due else Colour.YELLOW), f"{file.file_name} arrived and is not loaded yet"
        late = file.arrived_at.replace(tzinfo=UTC) - source.expected.late_after_for(self._day)
        came_late = f", arrived {_duration(late)} after its deadline" if late > timedelta(0) else ""
        return Colour.GREEN, f"{file.rows_loaded:,} rows, {file.rows_rejected:,} rejected{came_late}"

    def _no_file(self, source: Source) -> tuple[Colour, str]:
        expected = source.expected
        due, late = expected.at_for(self._day), expected.late_after_for(self._day)
        if source.files.may_be_absent:
            return Colour.GREEN, "no file, and none is required"
        if source.source in self.paused:
            return Colour.YELLOW, f"no file; the source is paused: {self.paused[source.source]}"
        if self._at < due:
            return Colour.GREY, f"no file yet; due {due:%F %H:%M} UTC"
        if self._at < late:
            return Colour.YELLOW, f"late: no file since {due:%F %H:%M} UTC, missing from {late:%F %H:%M} UTC on"
        return Colour.RED, f"missing: no file, due {due:%F %H:%M} UTC. Ask {', '.join(source.owners)}"

    def hop(self, name: str, tables: Sequence[TableMorning], files: Sequence[FileMorning]) -> HopMorning:
        """A hop from its tables, the first one from the files as well."""
        reasons = [Reason(r.colour, f"{table.table}: {r.text}") for table in tables for r in table.reasons]
        if name == HOPS[0][0]:
            reasons += [
                Reason(file.colour, f"file of {file.source}: {file.what}")
                for file in files
                if file.colour is not Colour.GREEN
            ]
        shown = grouped(reasons) if tables else (Reason(Colour.GREY, "this site has no table here"),)
        return HopMorning(
            hop=name,
            colour=worst(reason.colour for reason in shown),
            tables=len(tables),
            loaded=sum(table.rows is not None for table in tables),
            rows=sum(table.rows or 0 for table in tables),
            seconds=sum(table.seconds or 0.0 for table in tables),
            reasons=shown,
            series=_together([table.series for table in tables]),
        )


def _together(all_series: Sequence[Series]) -> Series:
    """The series of a hop: sums of seconds and rows, the mean of the error rates."""

    def total(values: Sequence[Any]) -> Any:
        there = [value for value in values if value is not None]
        return sum(there) if there else None

    def mean(values: Sequence[Any]) -> float | None:
        there = [value for value in values if value is not None]
        return sum(there) / len(there) if there else None

    return Series(
        seconds=[total(values) for values in zip(*(s.seconds for s in all_series), strict=True)],
        rows=[total(values) for values in zip(*(s.rows for s in all_series), strict=True)],
        error_rate=[mean(values) for values in zip(*(s.error_rate for s in all_series), strict=True)],
    )


def _duration(length: timedelta) -> str:
    hours, minutes = divmod(int(length.total_seconds()) // 60, 60)
    return f"{hours // 24} days {hours % 24} h" if hours >= 48 else f"{hours} h {minutes:02} min"


class _Deadline(NamedTuple):
    ready_by: datetime
    late_after: datetime


def _deadline(catalog: Catalog, key: str, day: date) -> _Deadline:
    """When a partition is due: as its pipeline says; without one, when the last of the sources' files is late."""
    pipeline = find_pipeline(catalog, key)
    if pipeline is None:
        last = max(source.expected.late_after_for(day) for source in catalog.sources.values())
        return _Deadline(last, last)
    return _Deadline(pipeline.ready_by_for(day), pipeline.late_after_for(day))
