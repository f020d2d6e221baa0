"""The sensor on `cdm_ingest_db`, ticked on a real instance, and the runs that follow from what it writes out."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterInstance,
    RunRequest,
    SensorResult,
    SkipReason,
    build_sensor_context,
)

from cdm_assets.orchestration.code_location import build_definitions
from cdm_assets.orchestration.prediction_sensor import prediction_sensor
from cdm_assets.orchestration.warehouse_resource import open_warehouse
from cdm_assets.settings import Settings
from cdm_assets_tests.orchestration.test_daily_run import FIRST, LAST, DemoSite
from cdm_assets_tests.orchestration.test_landing_sensors import MIDDLE, Watched
from cdm_assets_tests.small_site import at

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]
SCORED_AT = at(2017, 1, 9)
TWO_CUSTOMERS = "select customer_id from itf.customer where business_date = '2017-01-01' limit 2"


class Modelled(Watched):
    """A watched site to which a model writes."""

    def write(self, day: date, scores: dict[str, str]) -> None:
        """Put scores in the place of those of a date."""
        table = self.site.loads.tables["cdm_ingest_db.ml_prediction"]
        common = {"model_name": "response_model", "model_version": "1.0", "business_date": day, "label": None}
        rows = [
            common | {"customer_id": name, "score": Decimal(score), "scored_at": SCORED_AT}
            for name, score in scores.items()
        ]
        with open_warehouse(self.site.settings, self.site.loads) as warehouse, warehouse.transaction() as connection:
            connection.execute(sa.delete(table).where(table.c.business_date == day))
            if rows:
                connection.execute(sa.insert(table), rows)

    def look(self) -> SensorResult:
        """One tick of `new_predictions`."""
        sensor = prediction_sensor(self.site.loads, self.site.settings)
        with DagsterInstance.from_config(str(self.site.settings.dagster_home)) as instance:
            answer: Any = sensor(build_sensor_context(instance=instance))
            assert isinstance(answer, SensorResult)
            for event in answer.asset_events:
                assert isinstance(event, AssetMaterialization)
                instance.report_runless_asset_event(event)
        return answer

    def said(self) -> str:
        """What one tick came to."""
        reason = self.look().skip_reason
        assert isinstance(reason, SkipReason)
        return reason.skip_message or ""

    def published(self, day: date) -> dict[str, Any]:
        rows = self.site.query(
            f"select customer_id, score from cdm_publish_db.customer_360 where business_date = '{day}' "
            "and score is not null"
        )
        return dict(rows)


@pytest.fixture
def modelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Modelled:
    return Modelled(DemoSite(tmp_path / "home", monkeypatch))


def test_predictions_that_come_late_are_replaced_or_deleted_repair_their_dates(modelled: Modelled) -> None:
    modelled.start("new_files")
    nothing = "No rows that were not written out before."
    assert modelled.said() == nothing
    (one,), (two,) = modelled.site.query(TWO_CUSTOMERS)
    modelled.write(MIDDLE, {one: "0.25", two: "0.5", "nobody": "0.75"})
    assert modelled.said() == f"prediction_table: {MIDDLE} written into the landing area"
    request = modelled.start("late_files")
    assert request.tags["cdm/files"] == f"cdm_ingest_db/{MIDDLE}/ml_prediction.csv"
    assert modelled.published(FIRST) == {}
    assert modelled.published(MIDDLE) == modelled.published(LAST) == {one: Decimal("0.25"), two: Decimal("0.5")}
    rejected = "select line, rule, raw_text from cdp_metadata.rejected_record where source = 'prediction_table'"
    ((line, rule, text),) = modelled.site.query(rejected)
    assert (line, rule) == (4, "known:customer_id")
    assert text == f"response_model,1.0,nobody,{MIDDLE},0.750000,,2017-01-09 00:00:00"
    assert modelled.said() == nothing
    for name in ("new_files", "late_files", "corrected_files", "late_events"):
        assert isinstance(modelled.settle(name), str), "nothing starts twice"

    modelled.write(MIDDLE, {one: "0.75"})
    modelled.restart()
    assert str(MIDDLE) in modelled.said()
    assert isinstance(modelled.settle("late_files"), str)
    request = modelled.start("corrected_files")
    assert modelled.published(LAST) == {one: Decimal("0.75")}
    assert modelled.site.query(rejected) == []

    modelled.write(MIDDLE, {})
    assert str(MIDDLE) in modelled.said()
    request = modelled.start("corrected_files")
    assert isinstance(request, RunRequest)
    assert modelled.published(LAST) == {}
    with DagsterInstance.from_config(str(modelled.site.settings.dagster_home)) as instance:
        key = AssetKey(["cdm_ingest_db", "ml_prediction"])
        events = instance.fetch_materializations(key, limit=10).records
        counts = [e.asset_materialization.metadata["dagster/partition_row_count"].value for e in events]
        loaded = instance.get_runs(limit=1)[0].tags["cdm/loaded"]
        assert counts == [0, 1, 3]
        assert {e.partition_key for e in events} == {str(MIDDLE)}
    tables = {"ldz_prediction_table", "h_prediction", "s_prediction_table"}
    behind = {"prediction", "prediction_day", "customer_score", "score_day", "customer_360"}
    assert loaded.endswith(f" of {len(tables | behind)} tables")


@pytest.mark.slow
def test_a_plain_run_sees_predictions_written_by_sql(modelled: Modelled) -> None:
    site = modelled.site
    assert site.run(FIRST, MIDDLE).problems == ()
    (one,), _ = site.query(TWO_CUSTOMERS)
    modelled.write(FIRST, {one: "0.5"})
    assert site.run(FIRST, MIDDLE).problems == ()
    assert f"prediction_table: {FIRST} written into the landing area" in site.said
    assert modelled.published(FIRST) == modelled.published(MIDDLE) == {one: Decimal("0.5")}
    site.run(FIRST, MIDDLE)
    assert "nothing to do" in site.said[-1]


def test_the_ingest_table_is_an_asset_that_others_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDM_HOME", str(tmp_path))
    graph = build_definitions(Settings.from_environment()).resolve_asset_graph()
    ingest = graph.get(AssetKey(["cdm_ingest_db", "ml_prediction"]))
    assert not ingest.is_materializable
    assert ingest.is_partitioned
    assert ingest.owners
    assert ingest.group_name == "cdm_ingest_db"
    assert ingest.key in graph.get(AssetKey(["ldz", "ldz_prediction_table"])).parent_keys
    enriched = graph.get(AssetKey(["cdm_publish_db", "customer_360"])).parent_keys
    assert {AssetKey(["cs_360_db", "customer_360"]), AssetKey(["cs_360_db", "customer_score"])} <= enriched
