"""The investors' page comes with its plots: as pictures on the partition whose week they end with."""

import base64
import struct
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

import pytest
from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetRecordsFilter,
    BackfillPolicy,
    DagsterInstance,
    DailyPartitionsDefinition,
    asset,
    materialize,
)

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.marts.investors import METRICS
from cdm_assets.loading.report import LoadReport, RowCounts
from cdm_assets.loading.stamp import Stamp, insert_rows
from cdm_assets.loading.table_loads import LoadContext
from cdm_assets.operations.investor_page import PLOTS, TABLE, Plot, weekly_series
from cdm_assets.orchestration.metric_plots import drawn, plots_of
from cdm_assets.orchestration.partition_events import report_partitions
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import area_at

SUNDAY = date(2024, 3, 3)
PNG = b"\x89PNG\r\n\x1a\n"


def sunday(number: int) -> date:
    return SUNDAY + timedelta(days=7 * number)


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    """Four weeks of the page; the first week's profit is not known."""
    with Warehouse.open_duckdb(None, Tables(read_catalog())) as warehouse:
        create_missing(warehouse)
        rows = [
            {
                "business_date": sunday(n),
                "week_start": sunday(n) - timedelta(days=6),
                "metric": metric,
                "counted_in": "x",
            }
            | {"value": None if (n, metric) == (0, "profit") else Decimal(100 * n)}
            for n in range(4)
            for plot in PLOTS
            for metric in plot.metrics
        ]
        with warehouse.transaction() as connection:
            insert_rows(connection, warehouse.tables[TABLE], rows, Stamp("test"))
        yield warehouse


@pytest.fixture
def context(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> LoadContext:
    return LoadContext(warehouse, area_at(tmp_path_factory.mktemp("landing")), "k" * 32, "run")


def report_of(rows: dict[date, int], table: str = TABLE) -> LoadReport:
    return LoadReport(table, dict.fromkeys(rows, RowCounts()), rows, [], 0.1, {})


def test_a_series_holds_the_weeks_up_to_a_date_and_gaps_where_nothing_is_known(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        series = weekly_series(connection, warehouse.tables, sunday(2), weeks=3)
        short = weekly_series(connection, warehouse.tables, sunday(2), weeks=1)
    mondays = [sunday(n) - timedelta(days=6) for n in range(3)]
    assert series["revenue"] == list(zip(mondays, [0.0, 100.0, 200.0], strict=True))
    assert series["profit"][0] == (mondays[0], None)
    assert short["revenue"] == [(mondays[2], 200.0)]


def test_a_plot_is_a_picture_with_or_without_anything_to_show(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        series = weekly_series(connection, warehouse.tables, sunday(3))
    sizes = set()
    for plot in (*PLOTS, Plot("none", "Nothing", "x", ("unheard_of",))):
        picture = drawn(plot, series)
        assert picture.startswith(PNG)
        sizes.add(struct.unpack(">II", picture[16:24]))
        assert len(picture) < 60_000, "each run stores it in the event log"
    assert sizes == {(560, 208)}
    assert drawn(PLOTS[0], series) != drawn(PLOTS[0], {})


def test_the_last_whole_week_of_a_range_has_the_plots(context: LoadContext) -> None:
    shown = plots_of(report_of({sunday(1): 15, sunday(1) + timedelta(days=1): 0, sunday(2): 15}), context)
    assert set(shown) == {sunday(2)}
    assert set(shown[sunday(2)]) == {f"plot_{plot.name}" for plot in PLOTS}
    text = str(shown[sunday(2)]["plot_profit"].value)
    title, _, address = text.removeprefix("![").partition("](")
    assert title == "Profit by week"
    kind, _, content = address.removesuffix(")").partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content).startswith(PNG)


def test_dates_that_end_no_week_and_other_tables_have_none(context: LoadContext) -> None:
    assert plots_of(report_of({sunday(1) + timedelta(days=1): 0}), context) == {}
    assert plots_of(report_of({sunday(1): 5}, "metrics.profit_unit"), context) == {}


def test_dagster_holds_the_plots_of_their_partition(context: LoadContext) -> None:
    load_context = context
    key, days = AssetKey(["metrics", "investor_summary"]), [sunday(2), sunday(2) + timedelta(days=1)]

    @asset(
        key=key,
        partitions_def=DailyPartitionsDefinition(start_date="2024-03-01", end_date="2024-04-01"),
        backfill_policy=BackfillPolicy.single_run(),
    )
    def page(context: AssetExecutionContext):  # type: ignore[no-untyped-def]  # noqa: ANN202
        report = report_of(dict(zip(days, (15, 0), strict=True)))
        yield from report_partitions(context, report, plots_of(report, load_context))

    with DagsterInstance.ephemeral() as instance:
        tags = {"dagster/asset_partition_range_start": str(days[0]), "dagster/asset_partition_range_end": str(days[1])}
        assert materialize([page], instance=instance, tags=tags).success
        records = instance.fetch_materializations(AssetRecordsFilter(asset_key=key), limit=10).records
    found = {
        r.asset_materialization.partition: r.asset_materialization.metadata for r in records if r.asset_materialization
    }
    assert {name for name in found[str(days[0])] if name.startswith("plot_")} == {f"plot_{p.name}" for p in PLOTS}
    assert not [name for name in found[str(days[1])] if name.startswith("plot_")]


def test_every_plot_shows_metrics_of_the_page_that_are_counted_alike() -> None:
    counted_in = {metric.metric: metric.counted_in for metric in METRICS}
    for plot in PLOTS:
        assert {counted_in[metric] for metric in plot.metrics} == {plot.counted_in}
