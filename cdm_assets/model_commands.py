"""`cdm demo-scores`: a model reads what is published and writes its predictions back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from cdm_assets.catalog.model import Source
    from cdm_assets.demo.response_model import Scores
    from cdm_assets.settings import Settings
    from cdm_assets.warehouse.tables import Tables

_MODEL = "response_model"
_WAIT_SECONDS = 20


def demo_scores(
    at: Annotated[
        list[datetime],
        typer.Option("--at", formats=["%Y-%m-%d"], help="Business date to score; may be given several times."),
    ],
    to_file: Annotated[
        bool,
        typer.Option("--to-file", help="Hand the scores over as a file in the landing area instead of by SQL."),
    ] = False,
) -> None:
    """Train the demo's response model on cdm_publish_db and write its scores to cdm_ingest_db.ml_prediction."""
    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.settings import Settings

    settings = Settings.from_environment()
    tables = table_loads(settings).tables
    for day in (each.date() for each in at):
        version = _version(tables, day)
        scores = _scores(settings, tables, day)
        rows = _rows(scores, version)
        where = _write_file(settings, tables, day, rows) if to_file else _write_rows(settings, tables, day, rows)
        typer.echo(
            f"{day}: {len(rows):,} scores of {_MODEL} {version} in {where}, learned from {scores.examples:,} examples "
            f"with {scores.responses:,} responses"
        )
    typer.echo("They are loaded by the sensors, or by `cdm run`")


def _version(tables: Tables, day: date) -> str:
    """The latest version of the model that is valid on a date."""
    from cdm_assets.command_errors import Stopped

    model = tables.catalog.models.get(_MODEL)
    versions = [version for version in model.versions if version.valid_from <= day] if model else []
    if not versions:
        raise Stopped(f"models.yaml of the catalog declares no version of {_MODEL} that is valid on {day}")
    return max(versions, key=lambda version: version.valid_from).version


def _scores(settings: Settings, tables: Tables, day: date) -> Scores:
    """The model's scores of all published customers, from a read-only connection."""
    import sqlalchemy as sa

    from cdm_assets.command_errors import Stopped
    from cdm_assets.demo.response_model import NotEnoughHistory, dates_needed, scores_as_of
    from cdm_assets.warehouse.engine import Warehouse

    published = tables["cdm_publish_db.customer_360"]
    with (
        Warehouse.open_existing(settings, tables, read_only=True, wait_seconds=_WAIT_SECONDS) as warehouse,
        warehouse.connection() as connection,
    ):
        first = connection.execute(sa.select(sa.func.min(published.c.business_date))).scalar()
        if first is None:
            raise Stopped("nothing is published yet; load some dates with `make run` or `cdm run`")
        try:
            return scores_as_of(_history(connection, published, dates_needed(day, first)), day)
        except NotEnoughHistory as reason:
            raise Stopped(str(reason)) from None
        except ModuleNotFoundError as missing:
            raise Stopped(f"{missing}; install the demo's packages with `pip install cdm-assets[demo]`") from None


def _history(connection: Any, published: Any, days: list[date]) -> pd.DataFrame:
    import pandas as pd
    import sqlalchemy as sa

    from cdm_assets.demo.response_model import COLUMNS

    query = sa.select(*(published.c[name] for name in COLUMNS)).where(published.c.business_date.in_(days))
    return pd.DataFrame.from_records(list(connection.execute(query).tuples()), columns=list(COLUMNS))


def _rows(scores: Scores, version: str) -> list[dict[str, Any]]:
    scored_at = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    return [
        {
            "model_name": _MODEL,
            "model_version": version,
            "customer_id": score.customer_id,
            "business_date": scores.business_date,
            "score": score.score,
            "label": score.label,
            "scored_at": scored_at,
        }
        for score in scores.scores
    ]


def _write_rows(settings: Settings, tables: Tables, day: date, rows: list[dict[str, Any]]) -> str:
    """Put the rows in the place of the model's earlier ones for the date, in one transaction."""
    import sqlalchemy as sa

    from cdm_assets.orchestration.code_location import table_loads
    from cdm_assets.orchestration.warehouse_resource import open_warehouse
    from cdm_assets.warehouse.ddl import create_missing

    table = tables["cdm_ingest_db.ml_prediction"]
    with open_warehouse(settings, table_loads(settings), wait_seconds=_WAIT_SECONDS) as warehouse:
        create_missing(warehouse)
        with warehouse.transaction() as connection:
            of_model = sa.and_(table.c.model_name == _MODEL, table.c.business_date == day)
            connection.execute(sa.delete(table).where(of_model))
            connection.execute(sa.insert(table), rows)
    return f"{table.schema}.{table.name}"


def _write_file(settings: Settings, tables: Tables, day: date, rows: list[dict[str, Any]]) -> str:
    from cdm_assets.loading.ingest_export import as_csv
    from cdm_assets.orchestration.warehouse_resource import landing_area
    from cdm_assets.warehouse.landing_area import file_name_of

    source: Source = tables.catalog.sources["prediction_file"]
    names = [column.file_name for column in source.columns]
    name = file_name_of(source, day)
    landing_area(settings).put(name, as_csv(source, ([row[column] for column in names] for row in rows)))
    return f"{settings.landing_root}/{name}"
