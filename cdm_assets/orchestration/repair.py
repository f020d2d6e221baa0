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

from cdm_assets.loading.staleness import marked_partitions
from cdm_assets.loading.table_loads import LoadContext, NothingToLoad, TableLoads
from cdm_assets.operations.plan import changed_files, mark_work
from cdm_assets.orchestration.partition_events import store_evaluations, store_partitions
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange, listed, ranges_of

REPAIR_JOB: Final = "repair"
LOOK_OP: Final = "look_for_changed_files"
VERDICT_OP: Final = "verdict"
_FAILURES_SHOWN: Final = 10


class LookConfig(Config):
    """Between which business dates the landing area is compared with what was loaded."""

    first_date: str | None = Field(default=None, description="First business date (YYYY-MM-DD); default: the first.")
    last_date: str | None = Field(default=None, description="Last business date (YYYY-MM-DD); default: the last.")
    withdrawn: bool = Field(default=False, description="Also take out the rows of files that are no longer there.")


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
            "are left to the job `daily`."
        ),
    )


def _look_op(loads: TableLoads, settings: Settings) -> OpDefinition:
    @op(name=LOOK_OP, out=Out(Nothing), description="Marks the landing partitions whose file is not what was loaded.")
    def look(context: OpExecutionContext, config: LookConfig, warehouse: ResourceParam[LoadContext]) -> None:
        first = date.fromisoformat(config.first_date) if config.first_date else settings.start_date
        last = date.fromisoformat(config.last_date) if config.last_date else settings.last_business_date
        with warehouse.warehouse.transaction() as connection:
            dates, root = DateRange(first, last), warehouse.landing_root
            changed = changed_files(connection, loads, dates, root, withdrawn=config.withdrawn)
            mark_work(connection, loads, changed)
        context.add_output_metadata({source: listed(days) for source, days in changed.items()})

    return look


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
        with warehouse.warehouse.connection() as connection:
            days = marked_partitions(connection, loads.tables, key)
        for dates in ranges_of(days):
            try:
                report = loads.load(key, dates, warehouse)
            except NothingToLoad as reason:
                context.log.warning(str(reason))
                store_evaluations(context, name, reason.checks)
            else:
                store_partitions(context, name, report, lineage)
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
        with warehouse.warehouse.connection() as connection:
            failed = connection.execute(query.order_by(result.c.business_date, result.c.table_key)).tuples().all()
        if failed:
            shown = "\n".join(f"  {day} {table}: {message}" for day, table, message in failed[:_FAILURES_SHOWN])
            raise Failure(f"{len(failed)} blocking checks failed:\n{shown}", allow_retries=False)
        context.log.info("Every stale partition is loaded and passed its blocking checks.")

    return verdict
