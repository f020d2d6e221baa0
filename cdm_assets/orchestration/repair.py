"""The job that loads what is stale and nothing else: each table for dates of its own, in one run.

A run of the asset job has one range of dates for all its tables. A late file needs one date of the landing zone and the
vault, the dates of its events, and every later date of a 360; so here each table is an op, which asks the warehouse
which partitions are stale when its turn comes and reports each of them to its asset.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any, Final

import sqlalchemy as sa
from dagster import (
    AssetsDefinition,
    Config,
    DependencyDefinition,
    Failure,
    GraphDefinition,
    In,
    JobDefinition,
    MultiDependencyDefinition,
    Nothing,
    OpDefinition,
    OpExecutionContext,
    Out,
    ResourceParam,
    in_process_executor,
    op,
)
from pydantic import Field

from cdm_assets.loading.landing import register_files
from cdm_assets.loading.staleness import marked_partitions
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import LoadContext, NothingToLoad, TableLoads
from cdm_assets.operations.error_codes import outcomes_with_codes, with_codes
from cdm_assets.operations.plan import changed_files, mark_never_loaded, mark_work
from cdm_assets.orchestration.date_gate import begin_dates
from cdm_assets.orchestration.metric_plots import plots_of
from cdm_assets.orchestration.partition_events import store_evaluations, store_partitions
from cdm_assets.orchestration.retries import retried_when_transient
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange, listed, ranges_of

REPAIR_JOB: Final = "repair"
LOOK_OP: Final = "look_for_changed_files"
VERDICT_OP: Final = "verdict"
_FAILURES_SHOWN: Final = 10


class LookConfig(Config):
    """Which files are looked at, and what an operator confirms. Dates are YYYY-MM-DD, ranges YYYY-MM-DD..YYYY-MM-DD."""

    files: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Only the files of these sources and dates, such as {transaction: [2017-01-03]}; default: all.",
    )
    first_date: str | None = Field(default=None, description="Without `files`: from this date on; default: the first.")
    last_date: str | None = Field(default=None, description="Without `files`: up to this date; default: the last.")
    withdrawn: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Confirms that these files are no longer there on purpose: their rows leave.",
    )
    only_stale: bool = Field(
        default=False, description="Look at no file: load only the partitions that earlier loads left out of line."
    )
    incomplete_dates: list[str] = Field(
        default_factory=list, description="Dates of which also those tables are loaded that never were."
    )


def repair_op_name(key: str) -> str:
    """The op that repairs the table `schema.table`."""
    return f"repair__{key.replace('.', '__')}"


def repair_job(loads: TableLoads, settings: Settings, assets: Iterable[AssetsDefinition]) -> JobDefinition:
    """An op a table, each after the tables that it reads; `assets` are the tables' in `loads.in_order`."""
    by_key = dict(zip(loads.in_order, assets, strict=True))
    dependencies: dict[str, dict[str, Any]] = {LOOK_OP: {}}
    for key in loads.in_order:
        before = [repair_op_name(upstream) for upstream in sorted(loads.reads[key])] or [LOOK_OP]
        after = MultiDependencyDefinition([DependencyDefinition(name) for name in before])
        dependencies[repair_op_name(key)] = {"after": after}
    every = [DependencyDefinition(repair_op_name(key)) for key in loads.in_order]
    dependencies[VERDICT_OP] = {"after": MultiDependencyDefinition(every)}
    tables = [_repair_op(loads, key, asset) for key, asset in by_key.items()]
    graph = GraphDefinition(
        name=REPAIR_JOB, node_defs=[_look_op(loads, settings), *tables, _verdict_op(loads)], dependencies=dependencies
    )
    return graph.to_job(
        name=REPAIR_JOB,
        executor_def=in_process_executor,
        description=(
            "Late and corrected files, and if so configured withdrawn ones: loads the landing zone and the vault for "
            "their dates and rebuilds exactly the partitions behind them that this changes. Partitions never loaded "
            "are left to the job `daily`, but for the dates named as incomplete."
        ),
    )


def _look_op(loads: TableLoads, settings: Settings) -> OpDefinition:
    @op(name=LOOK_OP, out=Out(Nothing), description="Marks the landing partitions whose file is not what was loaded.")
    def look(context: OpExecutionContext, config: LookConfig, warehouse: ResourceParam[LoadContext]) -> None:
        incomplete = dates_of(config.incomplete_dates)
        with retried_when_transient(context):
            begin_dates(warehouse.warehouse, settings, loads, ranges_of(incomplete), context.run_id)
        with retried_when_transient(context), warehouse.warehouse.transaction() as connection:
            changed = _files_to_load(connection, loads, config, settings, warehouse)
            mark_work(connection, loads, changed)
            mark_never_loaded(connection, loads, incomplete)
        context.add_output_metadata({source: listed(days) for source, days in changed.items()})

    return look


def _files_to_load(
    connection: sa.Connection, loads: TableLoads, config: LookConfig, settings: Settings, warehouse: LoadContext
) -> dict[str, set[date]]:
    unknown = {*config.files, *config.withdrawn} - loads.catalog.sources.keys()
    if unknown:
        known = ", ".join(loads.catalog.sources)
        raise Failure(f"no source is called {', '.join(sorted(unknown))}; known are {known}", allow_retries=False)
    asked = {source: dates_of(texts) for source, texts in config.files.items()}
    confirmed = {source: dates_of(texts) for source, texts in config.withdrawn.items()}
    if not asked and not confirmed and not config.incomplete_dates and not config.only_stale:
        first = date.fromisoformat(config.first_date) if config.first_date else settings.start_date
        last = date.fromisoformat(config.last_date) if config.last_date else settings.last_business_date
        asked = {source: set(DateRange(first, last)) for source in loads.catalog.sources}
    every = {source: asked.get(source, set()) | confirmed.get(source, set()) for source in {*asked, *confirmed}}
    days = set[date]().union(*every.values())
    if not days:
        return {}
    stamp, whole = Stamp(warehouse.run_id), DateRange(min(days), max(days))
    register_files(connection, loads.tables, every, warehouse.landing, stamp)
    found = {
        "asked": changed_files(connection, loads, whole, withdrawn=False, refused=False),
        "confirmed": changed_files(connection, loads, whole, withdrawn=True, refused=False),
    }
    changed: dict[str, set[date]] = {}
    for source in every:
        changed[source] = asked.get(source, set()) & found["asked"].get(source, set())
        changed[source] |= confirmed.get(source, set()) & found["confirmed"].get(source, set())
    return {source: days for source, days in changed.items() if days}


def dates_of(texts: Iterable[str]) -> set[date]:
    """The dates that texts such as 2017-01-03 and 2017-01-05..2017-01-09 name. Raises Failure for any other text."""
    days: set[date] = set()
    for text in texts:
        first, _, last = text.partition("..")
        try:
            days |= set(DateRange(date.fromisoformat(first.strip()), date.fromisoformat((last or first).strip())))
        except ValueError as fault:
            message = f"{text!r} is no date and no range of dates; expected 2017-01-03 or 2017-01-03..2017-01-09"
            raise Failure(message, allow_retries=False) from fault
    return days


def _repair_op(loads: TableLoads, key: str, asset: AssetsDefinition) -> OpDefinition:
    name = asset.key
    lineage = {k: v for k, v in asset.metadata_by_key[name].items() if k == "dagster/column_lineage"}

    @op(
        name=repair_op_name(key),
        ins={"after": In(Nothing)},
        out=Out(Nothing),
        description=f"Loads the stale partitions of {key}.",
    )
    def repair(context: OpExecutionContext, warehouse: ResourceParam[LoadContext]) -> None:
        with retried_when_transient(context), warehouse.warehouse.connection() as connection:
            days = marked_partitions(connection, loads.tables, key)
        for dates in ranges_of(days):
            try:
                with retried_when_transient(context):
                    report = loads.load(key, dates, warehouse)
            except NothingToLoad as reason:
                context.log.warning(str(reason))
                store_evaluations(context, name, outcomes_with_codes(key, reason.checks))
            else:
                store_partitions(context, name, with_codes(report), lineage, plots_of(report, warehouse))
        context.add_output_metadata({"partitions": len(days), "dates": listed(days)})

    return repair


def _verdict_op(loads: TableLoads) -> OpDefinition:
    result = loads.tables["cdp_metadata.check_result"]

    @op(
        name=VERDICT_OP,
        ins={"after": In(Nothing)},
        description="Fails the run, when all is loaded that can be, if a file was refused or a date held back.",
    )
    def verdict(context: OpExecutionContext, warehouse: ResourceParam[LoadContext]) -> None:
        query = sa.select(result.c.business_date, result.c.table_key, result.c.message).where(
            result.c.run_id == warehouse.run_id, result.c.blocks == sa.true()
        )
        log = loads.tables["cdp_metadata.load_log"]
        done = sa.select(log.c.table_key, log.c.first_date, log.c.last_date).where(log.c.run_id == warehouse.run_id)
        with warehouse.warehouse.connection() as connection:
            loaded = connection.execute(done).tuples().all()
            failed = connection.execute(query.order_by(result.c.business_date, result.c.table_key)).tuples().all()
        partitions = sum(len(DateRange(first, last)) for _, first, last in loaded)
        affected = f"{partitions} partitions of {len({table for table, _, _ in loaded})} tables"
        context.instance.add_run_tags(context.run_id, {"cdm/loaded": affected})
        context.log.info("Loaded %s.", affected)
        if failed:
            shown = "\n".join(f"  {day} {table}: {message}" for day, table, message in failed[:_FAILURES_SHOWN])
            raise Failure(f"{len(failed)} blocking checks failed:\n{shown}", allow_retries=False)
        context.log.info("Every stale partition is loaded and passed its blocking checks.")

    return verdict
