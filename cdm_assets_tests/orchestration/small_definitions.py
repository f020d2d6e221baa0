"""A code location for tests: three tables in a chain, whose checks fail on the days in TEST_BAD_DAYS."""

import os
import signal
from collections.abc import Iterator
from datetime import date
from typing import Any

from dagster import (
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    BackfillPolicy,
    DailyPartitionsDefinition,
    Definitions,
    asset,
    define_asset_job,
    in_process_executor,
)

from cdm_assets.loading.report import CheckOutcome, LoadReport, RowCounts
from cdm_assets.orchestration.partition_events import report_partitions

DAYS = DailyPartitionsDefinition("2024-01-01", end_date="2024-03-01")


def load_report(table: str, days: list[date]) -> LoadReport:
    bad_days = os.environ.get("TEST_BAD_DAYS", "").split()
    return LoadReport(
        table=f"rdv.{table}",
        row_counts={day: RowCounts(read=10 + day.day, inserted=day.day, removed=1, rejected=2) for day in days},
        rows={day: 100 + day.day for day in days},
        checks=[
            *(CheckOutcome("keys", day, day.isoformat() not in bad_days, True, "error", {"failed": 3}) for day in days),
            *(CheckOutcome("volume", day, day.day != 3, False, "warn", {"day": day.day}) for day in days),
        ],
        seconds=0.5,
        metadata={"engine": "duckdb"},
    )


def table(name: str, upstream: str | None) -> AssetsDefinition:
    @asset(
        key=["rdv", name],
        deps=[["rdv", upstream]] if upstream else [],
        partitions_def=DAYS,
        backfill_policy=BackfillPolicy.single_run(),
        check_specs=[
            AssetCheckSpec("keys", asset=["rdv", name], blocking=True, partitions_def=DAYS),
            AssetCheckSpec("volume", asset=["rdv", name], partitions_def=DAYS),
        ],
    )
    def load(context: AssetExecutionContext) -> Iterator[Any]:
        days = [date.fromisoformat(key) for key in context.partition_keys]
        if os.environ.get("TEST_RAISE_IN") == name:
            raise ValueError("the landing file is unreadable")
        if os.environ.get("TEST_KILL_IN") == name:
            os.kill(os.getpid(), signal.SIGKILL)
        yield from report_partitions(context, load_report(name, days))

    return load


defs = Definitions(
    assets=[table("h_customer", None), table("s_customer", "h_customer"), table("l_order", "s_customer")],
    jobs=[define_asset_job("everything")],
    executor=in_process_executor,
)
