"""The morning page as an asset: the same page as `cdm morning --html`, with its summary where the UI shows metadata.

It is no table: unpartitioned, in a job of its own, and not part of the job `daily`. It only reads.
"""

from datetime import UTC, datetime
from typing import Any, Final

from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    DefaultScheduleStatus,
    MaterializeResult,
    MetadataValue,
    ScheduleDefinition,
    asset,
    define_asset_job,
)

from cdm_assets.catalog.types import Layer
from cdm_assets.operations.morning import morning_at
from cdm_assets.operations.morning_page import morning_html, morning_markdown
from cdm_assets.orchestration.warehouse_resource import LOCK_WAIT_SECONDS
from cdm_assets.settings import Settings
from cdm_assets.warehouse.tables import Tables

MORNING_JOB: Final = "morning"
CRON: Final = "30 5-11 * * *"
"""Every hour of the morning, UTC, from before the first files are due."""


def morning_asset_key(tables: Tables) -> AssetKey:
    """The asset of the page, beside the control tables."""
    return AssetKey([tables.catalog.schema_of(Layer.CONTROL, tables.schema_prefix), "morning_page"])


def morning_asset(settings: Settings, tables: Tables) -> AssetsDefinition:
    """The asset that writes the page to `morning/<business date>.html` of the site's home."""

    @asset(
        key=morning_asset_key(tables),
        group_name=Layer.CONTROL.value,
        kinds={"html"},
        owners=["team:customer-data"],
        tags={"domain": "operations", "pii": "none"},
        description=(
            "The morning check: hops, files, checks, incidents and who is on call, as one page that stands alone. "
            "The same as `cdm morning --html FILE`."
        ),
    )
    def morning_page() -> MaterializeResult[Any]:
        morning = morning_at(settings, tables, at=datetime.now(UTC), wait_seconds=LOCK_WAIT_SECONDS)
        path = settings.home / "morning" / f"{morning.due_date or 'unknown'}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(morning_html(morning), encoding="utf-8")
        metadata = {
            "summary": MetadataValue.md(morning_markdown(morning)),
            "state": MetadataValue.text(morning.colour.value),
            "business_date": MetadataValue.text(str(morning.due_date)),
            "page": MetadataValue.path(path),
        }
        return MaterializeResult(metadata=metadata)

    return morning_page


def morning_schedule(tables: Tables) -> ScheduleDefinition:
    """The job of the page by the clock; off until switched on."""
    job = define_asset_job(
        MORNING_JOB,
        selection=AssetSelection.assets(morning_asset_key(tables)),
        description="Writes the morning page; loads nothing.",
    )
    return ScheduleDefinition(
        name="morning_schedule",
        job=job,
        cron_schedule=CRON,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.STOPPED,
        description="The morning page, every hour of the morning from 05:30 UTC on. Off until switched on.",
    )
