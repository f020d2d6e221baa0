"""The sensor on the tables of `cdm_ingest_db`, and the asset that each of them is.

A tick writes the dates whose rows changed into the landing area, as files; the sensors on the landing area start what
they ask for. So nothing starts here, and nothing twice: a date is written out again only when its rows are others, and
the landing register knows a content that it has seen.
"""

import threading
from collections.abc import Sequence
from typing import Final

from dagster import (
    AssetMaterialization,
    AssetSpec,
    DailyPartitionsDefinition,
    DefaultSensorStatus,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    TableColumn,
    TableSchema,
    sensor,
)

from cdm_assets.catalog.model import Source
from cdm_assets.catalog.types import Layer
from cdm_assets.loading.ingest_export import Export, Exported, export_changed, ingest_table, ingested_sources
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.orchestration.assets import KINDS_OF_ENGINES, asset_key
from cdm_assets.orchestration.warehouse_resource import landing_area, open_warehouse
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange, listed
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse, WarehouseBusy

_TICK_SECONDS: Final = 15
_LOCK_WAIT_SECONDS: Final = 3
_TURN: Final = threading.Lock()


def export_ingested(warehouse: Warehouse, settings: Settings, run_id: str) -> Export:
    """Write out what changed in the ingest tables, up to the last business date; a transaction of its own.

    Raises LandingAreaMissing.
    """
    dates = DateRange(settings.start_date, settings.last_business_date)
    with warehouse.transaction() as connection:
        return export_changed(connection, warehouse.tables, landing_area(settings), dates, Stamp(run_id))


def prediction_sensor(loads: TableLoads, settings: Settings) -> SensorDefinition:
    """`new_predictions`, on by default."""

    @sensor(
        name="new_predictions",
        description=(
            "Sees which business dates of the tables of cdm_ingest_db hold other rows than before: written, replaced "
            "or deleted, for whatever date. Writes each as a file into the landing area, where `late_files` and "
            "`corrected_files` start the repair of exactly what it changes."
        ),
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def new_predictions(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        try:
            with _TURN, open_warehouse(settings, loads, wait_seconds=_LOCK_WAIT_SECONDS) as warehouse:
                create_missing(warehouse)
                export = export_ingested(warehouse, settings, "new_predictions")
        except WarehouseBusy as busy:
            return SkipReason(str(busy))
        for each in export.written:
            context.log.info("%s: %s records", each.file_name, each.rows)
        return SensorResult(skip_reason=in_words(export), asset_events=ingest_events(loads, export.written))

    return new_predictions


def in_words(export: Export) -> str:
    """What an export came to, in one line."""
    said = []
    for name in dict.fromkeys(each.source for each in export.written):
        days = [each.business_date for each in export.written if each.source == name]
        said.append(f"{name}: {listed(days, most=5)} written into the landing area")
    said += [
        f"{name}: rows for {listed(days, most=5)} wait, which are no business dates yet"
        for name, days in export.outside.items()
    ]
    return "; ".join(said) or "No rows that were not written out before."


def ingest_events(loads: TableLoads, written: Sequence[Exported]) -> list[AssetMaterialization]:
    """Each date that was written out, for its table's page."""
    return [
        AssetMaterialization(
            asset_key(loads.tables, _table_key(loads.catalog.sources[each.source])),
            partition=each.business_date.isoformat(),
            metadata={
                "dagster/partition_row_count": each.rows,
                "file": each.file_name,
                "fingerprint": each.fingerprint,
            },
        )
        for each in written
    ]


def ingest_assets(loads: TableLoads, partitions: DailyPartitionsDefinition, engine: str = "duckdb") -> list[AssetSpec]:
    """The ingest tables: assets that others fill, which Dagster observes and does not load."""
    sources = ingested_sources(loads.catalog.sources.values())
    return [_ingest_asset(loads, source, partitions, engine) for source in sources]


def _ingest_asset(loads: TableLoads, source: Source, partitions: DailyPartitionsDefinition, engine: str) -> AssetSpec:
    table = ingest_table(loads.tables, source)
    classes = [column.pii for column in source.columns]
    return AssetSpec(
        asset_key(loads.tables, _table_key(source)),
        partitions_def=partitions,
        group_name=Layer.INGEST.value,
        description=(
            f"{source.description} Written by others by SQL, from what is published; nothing is refused here but a row "
            "without a business date. Faulty rows are in cdp_metadata.rejected_record once they were loaded."
        ),
        owners=list(source.owners),
        kinds={KINDS_OF_ENGINES[engine], "table"},
        tags={"domain": source.domain, "pii": max(classes, key=lambda pii: pii.strictness).value},
        metadata={
            "dagster/table_name": f"{table.schema}.{table.name}",
            "dagster/column_schema": TableSchema(
                columns=[TableColumn(c.name, str(c.type), description=c.comment) for c in table.c]
            ),
            "landing_path": source.files.path,
        },
    )


def _table_key(source: Source) -> str:
    return f"{Layer.INGEST}.{source.files.ingest_table}"
