"""One asset a table, built from the catalog: partitions, dependencies, checks, owners, columns and their lineage."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any, Final

import sqlalchemy as sa
from dagster import (
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    BackfillPolicy,
    DailyPartitionsDefinition,
    Failure,
    ResourceParam,
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableConstraints,
    TableSchema,
    asset,
)

from cdm_assets.catalog.types import Layer, PiiClass
from cdm_assets.loading.table_loads import LoadContext, NothingToLoad, TableLoads
from cdm_assets.operations.error_codes import code_of_exception, told, with_codes
from cdm_assets.operations.runbooks import runbook_of
from cdm_assets.orchestration.metric_plots import plots_of
from cdm_assets.orchestration.ownership_of_assets import ownership_of
from cdm_assets.orchestration.partition_events import report_partitions
from cdm_assets.orchestration.retries import retried_when_transient
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.lineage import SOME_DATES, Origins, column_lineage
from cdm_assets.warehouse.tables import Tables

WAREHOUSE_RESOURCE: Final = "warehouse"
_MOST_ORIGINS: Final = 6
_PII_ORDER: Final = [PiiClass.NONE, PiiClass.QUASI, PiiClass.SENSITIVE, PiiClass.DIRECT]
_CHECK_DESCRIPTIONS: Final = {
    "keys": "The key is unique and never NULL; a partition that was not loaded fails here and says why.",
    "required": "Every required column has a value.",
    "row_count": "The number of rows agrees with the layer before.",
    "links": "Every key leads to a hub, and to a description where the source promises one.",
    "rules": "The source's data-quality rules that block or warn.",
    "totals": "Sums agree with the vault to the last digit.",
    "no_na": "What investors see has a value.",
    "ledger_agreement": "The figures agree with the accountants' ledger within the tolerance.",
    "out_of_scale": "No value is far out of the scale of the days before (robust standard score).",
    "missing_status": "Something is known of everything that began long enough ago.",
    "expected_events": "There are rows on the days on which some are expected.",
    "duplicates": "Rows are repeated no more than is usual.",
    "skew": "No single key holds more than its share of the rows.",
    "late_beyond_bound": "Events come within the bound that the source declares.",
    "enrichment": "Every row of the table that enriches this one is shown beside one of its rows.",
    "coverage": "Each model scores at least the share of customers that models.yaml expects.",
    "drift": "The scores of each model are distributed as before, within what models.yaml allows.",
    "stale_scores": "No score is older than models.yaml allows.",
}


KINDS_OF_ENGINES: Final = {
    "duckdb": "duckdb",
    "postgresql": "postgres",
    "snowflake": "snowflake",
    "oracle": "oracle",
    "mssql": "sqlserver",
}
"""The names under which the UI knows the engines."""


def daily_partitions(settings: Settings) -> DailyPartitionsDefinition:
    """One partition a business date, UTC, from the first configured date to the last, or to yesterday."""
    end = settings.end_date + timedelta(days=1) if settings.end_date else None
    return DailyPartitionsDefinition(
        start_date=settings.start_date.isoformat(), end_date=end.isoformat() if end else None, timezone="UTC"
    )


def asset_key(tables: Tables, key: str) -> AssetKey:
    """The asset of the table `schema.table`: [schema with its environment prefix, table]."""
    table = tables[key]
    return AssetKey([str(table.schema), table.name])


def table_assets(
    loads: TableLoads, partitions: DailyPartitionsDefinition, engine: str = "duckdb"
) -> list[AssetsDefinition]:
    """An asset for every partitioned table on `engine`, in an order in which they can be loaded."""
    return [_table_asset(loads, key, partitions, engine) for key in loads.in_order]


def tables_of_steps(loads: TableLoads) -> dict[str, str]:
    """The table that each step of the asset jobs and of `repair` loads."""
    repairs = {f"repair__{key.replace('.', '__')}": key for key in loads.in_order}
    return repairs | {"__".join(asset_key(loads.tables, key).path): key for key in loads.in_order}


def _table_asset(loads: TableLoads, key: str, partitions: DailyPartitionsDefinition, engine: str) -> AssetsDefinition:
    tables = loads.tables
    meta, name, owned = tables.meta(key), asset_key(tables, key), ownership_of(tables, key)

    @asset(
        key=name,
        deps=[asset_key(tables, upstream) for upstream in (*sorted(loads.upstream[key]), *_ingested(loads, key))],
        partitions_def=partitions,
        backfill_policy=BackfillPolicy.single_run(),
        check_specs=[
            AssetCheckSpec(
                check, asset=name, blocking=True, description=_CHECK_DESCRIPTIONS[check], partitions_def=partitions
            )
            for check in loads.checks[key].names
        ],
        group_name=meta.layer.value,
        description=owned.description,
        owners=list(owned.owners),
        kinds={KINDS_OF_ENGINES[engine], _kind(loads, key)},
        tags={**_tags(tables, key), **owned.tags},
        metadata={**_metadata(loads, key), **owned.metadata},
        code_version=_code_version(loads, key),
    )
    def load(context: AssetExecutionContext, warehouse: ResourceParam[LoadContext]) -> Iterator[Any]:
        days = [date.fromisoformat(partition) for partition in context.partition_keys]
        try:
            with retried_when_transient(context):
                report = loads.load(key, DateRange(days[0], days[-1]), warehouse)
        except NothingToLoad as reason:
            told_as = told(code_of_exception(reason, table_key=key))
            raise Failure(f"{reason} {told_as}", allow_retries=False) from reason
        yield from report_partitions(context, with_codes(report), plots_of(report, warehouse))

    return load


def _ingested(loads: TableLoads, key: str) -> list[str]:
    """The table of `cdm_ingest_db` behind a landing-zone table, if there is one."""
    table = loads.landing_source(key).files.ingest_table if key.startswith(f"{Layer.LANDING}.") else None
    return [f"{Layer.INGEST}.{table}"] if table is not None else []


def _kind(loads: TableLoads, key: str) -> str:
    """The format of the files behind a landing table; SQL behind every other."""
    is_landed = key.startswith(f"{Layer.LANDING}.")
    return loads.landing_source(key).files.format.value if is_landed else "sql"


def _tags(tables: Tables, key: str) -> dict[str, str]:
    classes = [column.info.get("pii", PiiClass.NONE) for column in tables[key].c]
    return {"domain": tables.meta(key).domain, "pii": max(classes, key=_PII_ORDER.index).value}


def _metadata(loads: TableLoads, key: str) -> dict[str, Any]:
    tables = loads.tables
    table, meta = tables[key], tables.meta(key)
    select = loads.select(key, SOME_DATES)
    lineage = column_lineage(select, table) if select is not None else {}
    metadata: dict[str, Any] = {
        "dagster/table_name": f"{table.schema}.{table.name}",
        "dagster/column_schema": _column_schema(table, meta.key, lineage),
        "runbook": runbook_of(tables.catalog, key),
    }
    if lineage:
        metadata["dagster/column_lineage"] = _column_lineage(tables, lineage)
    else:
        metadata["landing_path"] = loads.landing_source(key).files.path
    return metadata


def _column_schema(table: sa.Table, key: tuple[str, ...], lineage: Mapping[str, Origins]) -> TableSchema:
    return TableSchema(
        columns=[
            TableColumn(
                name=column.name,
                type=str(column.type),
                description=_described(column, lineage.get(column.name, frozenset())),
                constraints=TableColumnConstraints(nullable=bool(column.nullable)),
                tags={"pii": column.info["pii"].value} if column.info.get("pii", PiiClass.NONE).value != "none" else {},
            )
            for column in table.c
        ],
        constraints=TableConstraints(other=[f"key: {', '.join(key)}"]),
    )


def _described(column: sa.Column[Any], origins: Origins) -> str | None:
    """The column's comment and what it is computed from; the open-source UI shows column lineage nowhere else."""
    if not origins:
        return column.comment
    names = [f"{table}.{name}" for table, name in sorted(origins)]
    shown = ", ".join(names[:_MOST_ORIGINS]) + (
        f" and {len(names) - _MOST_ORIGINS} more" if names[_MOST_ORIGINS:] else ""
    )
    return f"{column.comment or column.name} (from {shown})"


def _column_lineage(tables: Tables, lineage: Mapping[str, Origins]) -> TableColumnLineage:
    return TableColumnLineage(
        {
            column: [
                TableColumnDep(asset_key=asset_key(tables, table), column_name=name)
                for table, name in sorted(origins)
                if table in tables.partitioned
            ]
            for column, origins in lineage.items()
        }
    )


def _code_version(loads: TableLoads, key: str) -> str:
    """Changes with what the table holds: its source's YAML, or the select that fills it."""
    select = loads.select(key, SOME_DATES)
    text = str(select) if select is not None else loads.landing_source(key).model_dump_json()
    columns = ",".join(f"{column.name} {column.type}" for column in loads.tables[key].c)
    return hashlib.sha256(f"{text}{columns}".encode()).hexdigest()[:12]
