"""The plots of the investors' page, as metadata of the partition whose week they end with.

A load of a range shows them on its last whole week only: each plot holds the weeks before too, and drawing takes longer
than loading. matplotlib is imported when there is something to draw, and draws without a screen.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from dagster import MetadataValue

from cdm_assets.loading.report import LoadReport
from cdm_assets.loading.table_loads import LoadContext
from cdm_assets.operations.investor_page import PLOTS, TABLE, Plot, Series, weekly_series

PlotsByDate = Mapping[date, Mapping[str, MetadataValue]]
_INCHES: Final = (7.0, 2.6)
_DOTS_PER_INCH: Final = 80


def plots_of(report: LoadReport, context: LoadContext) -> PlotsByDate:
    """The plots of the last partition of `report` that has rows; nothing for a table that has none to show."""
    with_rows = [day for day, rows in report.rows.items() if rows]
    if report.table != TABLE or not with_rows:
        return {}
    last = max(with_rows)
    with context.warehouse.connection() as connection:
        series = weekly_series(connection, context.warehouse.tables, last)
    return {last: {f"plot_{plot.name}": MetadataValue.md(_markdown(plot, drawn(plot, series))) for plot in PLOTS}}


def drawn(plot: Plot, series: Series) -> bytes:
    """A plot as PNG: a line a metric, gaps where a value is NULL."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - half a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    for metric in plot.metrics:
        points = series.get(metric, ())
        values = [float("nan") if value is None else value for _, value in points]
        weeks: Any = [week for week, _ in points]
        axes.plot(weeks, values, marker="o", markersize=3, label=metric.replace("_", " "))
    axes.set_title(plot.title, loc="left", fontsize=10)
    axes.set_ylabel(plot.counted_in, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    image = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(image, format="png")
    return image.getvalue()


def _markdown(plot: Plot, image: bytes) -> str:
    return f"![{plot.title}](data:image/png;base64,{base64.b64encode(image).decode('ascii')})"
