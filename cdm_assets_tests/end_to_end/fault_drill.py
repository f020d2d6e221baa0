"""Fourteen faults, of every layer and kind: what each leads to, and that its runbook's steps make the morning green.

    python -m cdm_assets_tests.end_to_end.fault_drill [--home FOLDER] [NAME ...]      (make drill)

A small demo site is loaded, and each fault is injected into it in turn. Then nothing is asked but what the platform
does by itself: a run, and ticks of the real sensors of files, run failures and incidents. The incident that they open
must have the right kind, code, pipeline and owner, and its code a section in a runbook. Then that section's steps are
taken, the sensors tick again, every incident must be resolved by itself and `cdm morning` green.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import sqlalchemy as sa
from dagster import DagsterInstance, build_sensor_context
from typer.testing import CliRunner

from cdm_assets.catalog.reading import CANONICAL
from cdm_assets.cli import app
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.incidents import Incident, IncidentKind, IncidentState, incidents
from cdm_assets.operations.landing_watch import LandingWatch
from cdm_assets.orchestration.code_location import build_definitions, table_loads
from cdm_assets.orchestration.incident_sensor import incident_sensors
from cdm_assets.orchestration.instance import ensure_instance
from cdm_assets.orchestration.landing_sensors import landing_sensors
from cdm_assets.orchestration.runs import fail_runs_of_dead_processes
from cdm_assets.orchestration.warehouse_resource import landing_area, open_warehouse
from cdm_assets.settings import Settings
from cdm_assets.warehouse.ddl import SchemaMismatch
from cdm_assets.warehouse.landing_area import LandingAreaMissing

FIRST: Final = date(2017, 1, 1)
LOADED: Final = date(2017, 1, 3)
NEXT: Final = date(2017, 1, 4)
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_TELLING: Final = ("missing_files", "withdrawn_files", "incidents", "run_failures")


class DrillFailed(Exception):
    """A fault did not lead where it should."""


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cdm_assets", *arguments]


def _evening_after(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(18), UTC)


@dataclass(frozen=True)
class Expected:
    """The incident that a fault must open."""

    kind: IncidentKind
    code: str
    pipeline: str
    about: str = ""
    """The table, or a part of the message."""


@dataclass(frozen=True)
class Fault:
    """One fault: how it comes, what shows it, and the steps that end it."""

    name: str
    says: str
    inject: Callable[[Drill], None]
    """Do the damage, and let the platform's ordinary course meet it."""
    expected: Expected
    mend: Callable[[Drill], None]


@dataclass
class Drill:
    """A demo site of which `FIRST` to `LOADED` are loaded and files of `NEXT` come with the drill."""

    home: Path
    now: datetime

    # The site ---------------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        return Settings.from_environment()

    @property
    def loads(self) -> TableLoads:
        return table_loads(self.settings)

    def cdm(self, *arguments: str, fails: bool | None = False) -> str:
        """A command of the platform; `fails` None: whether it does is not the point."""
        if "CDM_CATALOG" in os.environ:  # a process keeps the definitions that it was started with
            done = subprocess.run(_command(*arguments), capture_output=True, text=True, check=False)
            code, output = done.returncode, done.stdout + done.stderr
        else:
            result = CliRunner().invoke(app, list(arguments))
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            code, output = result.exit_code, result.output
        if fails is not None and (code != 0) != fails:
            raise DrillFailed(f"cdm {' '.join(arguments)} ended with {code}:\n{output}")
        return output

    def sql(self, statement: sa.Executable) -> None:
        """A statement that somebody runs past the platform."""
        with self.connection() as connection:
            connection.execute(statement)

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        with (
            open_warehouse(self.settings, self.loads, wait_seconds=20) as warehouse,
            warehouse.transaction() as connection,
        ):
            yield connection

    def table(self, key: str) -> sa.Table:
        return self.loads.tables[key]

    def file(self, name: str, day: date = NEXT) -> Path:
        return self.home / "landing" / day.isoformat() / name

    # What is told -----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One tick of each sensor that tells."""
        loads, settings = self.loads, self.settings
        repository = build_definitions(settings).get_repository_def()
        jobs = {name: repository.get_job(name) for name in ("daily", "repair")}
        watch = LandingWatch(loads, landing_area(settings))
        landing = landing_sensors(loads, settings, watch=watch, look_again_seconds=-1, now=lambda: self.now, **jobs)
        telling = incident_sensors(loads, settings, clock=lambda: self.now.replace(tzinfo=None))
        sensors = {each.name: each for each in (*landing, *telling)}
        with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            for name in _TELLING:
                with suppress(LandingAreaMissing, SchemaMismatch):  # a red tick
                    sensors[name](build_sensor_context(instance=instance))

    def unresolved(self) -> list[Incident]:
        with self.connection() as connection:
            return incidents(connection, self.loads.tables, states=(IncidentState.OPEN, IncidentState.ACKNOWLEDGED))

    def morning(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.cdm("morning", "--at", f"{self.now:%FT%H:%M}", "--json", fails=None))
        return shown


def prepared(home: Path) -> Drill:
    """A drill in `home`, an empty folder: the site loaded, its morning green."""
    home.mkdir(parents=True, exist_ok=True)
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    for name in [name for name in os.environ if name.startswith("CDM_")]:
        del os.environ[name]
    os.environ |= {
        "CDM_HOME": str(home),
        "CDM_START_DATE": FIRST.isoformat(),
        "CDM_END_DATE": NEXT.isoformat(),
        "DAGSTER_HOME": str(home / "dagster"),
    }
    drill = Drill(home, _evening_after(LOADED))
    drill.cdm("demo")
    ensure_instance(drill.settings.dagster_home)
    shutil.move(drill.home / "landing" / NEXT.isoformat(), drill.home / "next")
    drill.cdm("run", "--end", LOADED.isoformat())
    drill.tick()
    _require_green(drill, "before any fault")
    return drill


def _next_day_is_loaded(drill: Drill) -> None:
    if drill.now < _evening_after(NEXT):
        _next_day(drill)
        drill.cdm("run")


def run_fault(drill: Drill, fault: Fault) -> str:
    """Inject, look, mend, look again. Returns a line on what was seen; raises DrillFailed."""
    fault.inject(drill)
    drill.tick()
    found = drill.unresolved()
    incident = _incident(found, fault.expected)
    section = drill.cdm("runbook", incident.code)
    if incident.code not in section:
        raise DrillFailed(f"cdm runbook {incident.code} shows another section:\n{section}")
    colour = drill.morning()["colour"]
    if colour == "green":
        raise DrillFailed(f"the morning is green although {incident.name} is open: {incident.message}")
    drill.cdm("incident", "ack", str(incident.incident_id), "--by", "drill@example.com")
    fault.mend(drill)
    drill.tick()
    left = drill.unresolved()
    if left:
        raise DrillFailed("still open after the runbook's steps: " + "; ".join(f"{i.code} {i.message}" for i in left))
    _require_green(drill, "after the runbook's steps")
    others = sorted({each.code for each in found} - {incident.code})
    beside = f"; beside it {', '.join(others)}" if others else ""
    return f"{incident.code} {incident.severity} {incident.pipeline}, {incident.owner}, {incident.runbook}{beside}"


def _incident(found: Sequence[Incident], expected: Expected) -> Incident:
    for each in found:
        about = expected.about in f"{each.table_key} {each.message} {each.title}"
        if (each.kind, each.code, each.pipeline) == (expected.kind, expected.code, expected.pipeline) and about:
            return each
    seen = "\n".join(f"  {i.kind} {i.code} {i.pipeline} {i.table_key}: {i.message[:300]}" for i in found) or "  nothing"
    raise DrillFailed(f"expected {expected}; open are\n{seen}")


def _require_green(drill: Drill, when: str) -> None:
    shown = drill.morning()
    if shown["colour"] != "green":
        raise DrillFailed(
            f"the morning {when} is not green:\n{drill.cdm('morning', '--at', f'{drill.now:%FT%H:%M}', fails=None)}"
        )


# The faults -----------------------------------------------------------------------------------------------------------


def _next_day(drill: Drill) -> None:
    """The files of the next date have come, and it is the evening after."""
    shutil.copytree(drill.home / "next", drill.home / "landing" / NEXT.isoformat(), dirs_exist_ok=True)
    drill.file("_manifest.json").unlink()  # it would be the first to say that a file was changed
    drill.now = _evening_after(NEXT)


def _without(name: str) -> Callable[[Drill], None]:
    def inject(drill: Drill) -> None:
        _next_day(drill)
        drill.file(name).unlink()
        drill.cdm("run", fails=None)

    return inject


def _cut_off(drill: Drill) -> None:
    drill.file("click.jsonl.gz").write_bytes(drill.file("click.jsonl.gz").read_bytes()[:-2000])
    drill.cdm("run", fails=True)


def _column_renamed(drill: Drill) -> None:
    path = drill.file("customer.csv")
    path.write_text(path.read_text().replace("household_id", "hshd_nr", 1))
    drill.cdm("run", fails=True)


def _sent_again(name: str) -> Callable[[Drill], None]:
    def mend(drill: Drill) -> None:
        shutil.copy(drill.home / "next" / name, drill.file(name))
        drill.cdm("run")

    return mend


def _withdrawn(drill: Drill) -> None:
    drill.file("contact.csv").unlink(missing_ok=True)
    drill.file("experiment.csv").unlink()


def _unmounted(drill: Drill) -> None:
    (drill.home / "landing").rename(drill.home / "unmounted")
    drill.cdm("run", fails=True)
    _scheduled_run(drill)


def _mounted(drill: Drill) -> None:
    (drill.home / "unmounted").rename(drill.home / "landing")
    drill.cdm("rerun", NEXT.isoformat(), "--yes")


def _scheduled_run(drill: Drill) -> None:
    """The daily job as a schedule starts it; a command would look first whether it can."""
    definitions = build_definitions(drill.settings)
    with DagsterInstance.from_config(str(drill.settings.dagster_home)) as instance:
        job = definitions.get_job_def("daily")
        job.execute_in_process(
            instance=instance, partition_key=NEXT.isoformat(), raise_on_error=False, run_config=_QUIET
        )


def _rerun(drill: Drill, *how: str, fails: bool | None = False) -> None:
    drill.cdm("rerun", NEXT.isoformat(), *how, "--yes", fails=fails)


def _rerun_from(table: str) -> Callable[[Drill], None]:
    def mend(drill: Drill) -> None:
        _rerun(drill, "--from", table)
        drill.cdm("run")

    return mend


def _value_lost(drill: Drill) -> None:
    table = drill.table("ldz.ldz_transaction")
    drill.sql(sa.text("alter table ldz.ldz_transaction alter column sales_value drop not null"))
    basket = sa.select(sa.func.min(table.c.basket_id)).where(table.c.business_date == NEXT).scalar_subquery()
    damaged = sa.update(table).where(table.c.business_date == NEXT, table.c.basket_id == basket)
    drill.sql(damaged.values(sales_value=None))
    _rerun(drill, "--only", "rdv.l_transaction", fails=True)


def _value_from_the_file(drill: Drill) -> None:
    _rerun_from("ldz.ldz_transaction")(drill)
    drill.sql(sa.text("alter table ldz.ldz_transaction alter column sales_value set not null"))


def _hub_row_lost(drill: Drill) -> None:
    hub, link = drill.table("rdv.h_customer"), drill.table("rdv.l_transaction")
    sold_to = sa.select(sa.func.min(link.c.customer_hk)).where(link.c.business_date == NEXT).scalar_subquery()
    drill.sql(sa.delete(hub).where(hub.c.customer_hk == sold_to))
    _rerun(drill, "--only", "rdv.l_transaction", fails=True)


def _hub_loaded_again(drill: Drill) -> None:
    drill.cdm("run", "--force", "--select", "rdv.h_customer", fails=None)  # the link is still as it was
    drill.cdm("run", fails=None)
    _rerun_from("rdv.l_transaction")(drill)


def _column_dropped(drill: Drill) -> None:
    drill.sql(sa.text("alter table itf.payroll drop column headcount"))
    _scheduled_run(drill)


def _table_built_again(drill: Drill) -> None:
    drill.sql(sa.text("drop table itf.payroll"))
    drill.cdm("ddl", "--apply")
    drill.cdm("run", "--force", "--select", "itf.payroll")
    _rerun(drill)
    drill.cdm("run")


def _mapped_onto_nothing(drill: Drill) -> None:
    shipped = (CANONICAL / "interface" / "customer.yaml").read_text()
    line = "{name: age_band, from: s_customer_demographics.age, "
    if f"{line}default: unknown," not in shipped:
        raise DrillFailed("the mapping of age_band is no longer what the drill changes")
    overlay = drill.home / "catalog" / "interface"
    overlay.mkdir(parents=True)
    (overlay / "customer.yaml").write_text(shipped.replace(f"{line}default: unknown,", f"{line}required: true,"))
    os.environ["CDM_CATALOG"] = str(overlay.parent)
    _rerun(drill, "--only", "itf.customer", fails=True)


def _mapping_corrected(drill: Drill) -> None:
    del os.environ["CDM_CATALOG"]
    _rerun_from("itf.customer")(drill)


def _interface_rows_lost(drill: Drill) -> None:
    table = drill.table("itf.transaction")
    basket = sa.select(sa.func.min(table.c.basket_id)).where(table.c.business_date == NEXT).scalar_subquery()
    drill.sql(sa.delete(table).where(table.c.business_date == NEXT, table.c.basket_id == basket))
    _rerun(drill, "--only", "agg.customer_day", fails=True)


def _aggregate_changed(drill: Drill) -> None:
    table = drill.table("agg.customer_day")
    drill.sql(sa.update(table).where(table.c.business_date == NEXT).values(sales_amount=table.c.sales_amount + 1))
    _rerun(drill, "--only", "cs_360_db.customer_360", fails=True)


def _salaries_lost(drill: Drill) -> None:
    table = drill.table("itf.payroll")
    drill.sql(sa.delete(table).where(table.c.business_date == NEXT))
    _rerun(drill, "--only", "metrics.profit_unit", fails=None)
    _rerun(drill, "--only", "metrics.profit_aggregate", fails=True)


def _score_of_nobody(drill: Drill) -> None:
    row = {
        "business_date": NEXT,
        "customer_id": "nobody",
        "score": 0.5,
        "score_decile": 1,
        "score_model": "response_model",
        "score_model_version": "1.0",
        "score_date": NEXT,
        "score_age_days": 0,
        "load_ts": drill.now.replace(tzinfo=None),
        "run_id": "by hand",
    }
    drill.sql(sa.insert(drill.table("cs_360_db.customer_score")).values(row))
    _rerun(drill, "--only", "cdm_publish_db.customer_360", fails=True)


def _killed(drill: Drill) -> None:
    """A real run, killed half-way; the next look at the instance finds that its process is gone."""
    command = _command("run", "--start", NEXT.isoformat(), "--force")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.lstrip().startswith("[ 5/"):
                process.kill()
                break
    with DagsterInstance.from_config(str(drill.settings.dagster_home)) as instance:
        if not fail_runs_of_dead_processes(instance):
            raise DrillFailed("nobody found the run of the killed process")


PLATFORM: Final = "customer_360_platform"
FAULTS: Final[Sequence[Fault]] = (
    Fault(
        "missing_file",
        "LDZ: a source's file of the day is not there at its deadline",
        _without("account.csv"),
        Expected(IncidentKind.MISSING_FILE, "CDM-LDZ-001", PLATFORM, "account"),
        _sent_again("account.csv"),
    ),
    Fault(
        "cut_off",
        "LDZ: the transfer of a compressed file broke off",
        _cut_off,
        Expected(IncidentKind.BLOCKING_CHECK, "CDM-LDZ-003", PLATFORM, "ldz.ldz_click"),
        _sent_again("click.jsonl.gz"),
    ),
    Fault(
        "column_renamed",
        "LDZ: a required column has another name",
        _column_renamed,
        Expected(IncidentKind.BLOCKING_CHECK, "CDM-LDZ-005", PLATFORM, "ldz.ldz_customer"),
        _sent_again("customer.csv"),
    ),
    Fault(
        "withdrawn",
        "LDZ: a loaded file is gone",
        _withdrawn,
        Expected(IncidentKind.WITHDRAWN_FILE, "CDM-LDZ-002", PLATFORM, "experiment"),
        _sent_again("experiment.csv"),
    ),
    Fault(
        "unmounted",
        "LDZ: the landing area cannot be reached",
        _unmounted,
        Expected(IncidentKind.RUN_FAILURE, "CDM-LDZ-008", PLATFORM),
        _mounted,
    ),
    Fault(
        "value_lost",
        "RDV: a row without a value that must be there, a constraint violation",
        _value_lost,
        Expected(IncidentKind.RUN_FAILURE, "CDM-RDV-001", PLATFORM, "rdv.l_transaction"),
        _value_from_the_file,
    ),
    Fault(
        "hub_row_lost",
        "RDV: a link whose hub row is not there, a vault pattern violation",
        _hub_row_lost,
        Expected(IncidentKind.BLOCKING_CHECK, "CDM-RDV-003", PLATFORM, "rdv.l_transaction"),
        _hub_loaded_again,
    ),
    Fault(
        "column_dropped",
        "Interface: a column is not in the database, a schema mismatch",
        _column_dropped,
        Expected(IncidentKind.RUN_FAILURE, "CDM-OPS-008", PLATFORM, "itf.payroll"),
        _table_built_again,
    ),
    Fault(
        "mapped_onto_nothing",
        "Interface: a changed mapping leaves a required column without values",
        _mapped_onto_nothing,
        Expected(IncidentKind.BLOCKING_CHECK, "CDM-ITF-002", PLATFORM, "itf.customer"),
        _mapping_corrected,
    ),
    Fault(
        "interface_rows_lost",
        "Aggregates: sums that differ from the vault",
        _interface_rows_lost,
        Expected(IncidentKind.BLOCKING_CHECK, "CDM-AGG-001", PLATFORM, "agg.customer_day"),
        _rerun_from("itf.transaction"),
    ),
    Fault(
        "aggregate_changed",
        "360: a pre-aggregated table out of line with the vault",
        _aggregate_changed,
        Expected(IncidentKind.BLOCKING_CHECK, "CDM-360-002", PLATFORM, "cs_360_db.customer_360"),
        _rerun_from("agg.customer_day"),
    ),
    Fault(
        "salaries_lost",
        "Metrics: NA in what investors see",
        _salaries_lost,
        Expected(IncidentKind.BLOCKING_CHECK, "CDM-MET-008", "profit_investors", "metrics.profit_aggregate"),
        _rerun_from("itf.payroll"),
    ),
    Fault(
        "score_of_nobody",
        "ML: a score that does not reach the published customer_360",
        _score_of_nobody,
        Expected(IncidentKind.BLOCKING_CHECK, "CDM-ML-002", PLATFORM, "cdm_publish_db.customer_360"),
        _rerun_from("cs_360_db.customer_score"),
    ),
    Fault(
        "killed",
        "Operations: the process of a run is gone",
        _killed,
        Expected(IncidentKind.RUN_FAILURE, "CDM-OPS-002", PLATFORM),
        _rerun,
    ),
)


def drilled(home: Path, names: Sequence[str] = (), say: Callable[[str], None] = print) -> dict[str, str]:
    """Run the faults named (all by default), each on the site that the one before left; returns the failures."""
    failures: dict[str, str] = {}
    drill = prepared(home)
    say(f"{'prepared':<28} {FIRST} to {NEXT}; the morning is green")
    for fault in FAULTS:
        if names and fault.name not in names:
            continue
        began = perf_counter()
        if fault.name != FAULTS[0].name:
            _next_day_is_loaded(drill)
        try:
            seen = run_fault(drill, fault)
        except DrillFailed as reason:
            failures[fault.name] = str(reason)
            say(f"{fault.name:<28} FAILED: {reason}")
            break  # the next would meet a site that is not in order
        say(f"{fault.name:<28} {seen}, {perf_counter() - began:.0f} s")
    return failures


def main() -> None:
    """The drill as a script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--home", type=Path, help="an empty folder for the site, which stays; default: a temporary one")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these faults")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {fault.name for fault in FAULTS}
    if unknown:
        known = "\n".join(f"  {fault.name:<28} {fault.says}" for fault in FAULTS)
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are\n{known}")
    with tempfile.TemporaryDirectory(prefix="cdm-drill-") as scratch:
        failures = drilled(arguments.home or Path(scratch), arguments.names)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
