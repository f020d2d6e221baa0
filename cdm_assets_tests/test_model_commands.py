"""`cdm demo-scores` over a small published database: scores by SQL and by file, and the messages where it cannot."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cdm_assets import cli
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.orchestration.code_location import table_loads
from cdm_assets.orchestration.warehouse_resource import open_warehouse
from cdm_assets.settings import Settings
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets_tests.demo.test_response_model import history
from cdm_assets_tests.small_site import at

FIRST, AT = date(2017, 1, 1), date(2017, 2, 5)


class PublishedSite:
    """A home folder with a database in which only customer_360 of publish has rows."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("CDM_HOME", str(home))
        self.settings = Settings.from_environment()
        self.loads: TableLoads = table_loads(self.settings)
        Path(self.settings.landing_root).mkdir(parents=True)

    def publish(self) -> None:
        days = [FIRST + timedelta(days=n) for n in range((AT - FIRST).days + 1)]
        table = self.loads.tables["cdm_publish_db.customer_360"]
        with open_warehouse(self.settings, self.loads) as warehouse:
            create_missing(warehouse)
            rows = [_filled(table, row) for row in history(days, customers=20).to_dict("records")]
            with warehouse.transaction() as connection:
                connection.execute(sa.insert(table), rows)

    def written(self) -> list[dict[str, Any]]:
        table = self.loads.tables["cdm_ingest_db.ml_prediction"]
        with open_warehouse(self.settings, self.loads) as warehouse, warehouse.connection() as connection:
            return [dict(row) for row in connection.execute(sa.select(table).order_by("customer_id")).mappings()]


def _filled(table: sa.Table, row: dict[Any, Any]) -> dict[str, Any]:
    """A row with something in every column that must have a value."""
    stamp: dict[str, Any] = {"load_ts": at(2017, 1, 1), "run_id": "r"}
    given = {name: None if pd.isna(value) else value for name, value in row.items()} | stamp
    fill = {c.name: FIRST if isinstance(c.type, sa.Date) else "0" for c in table.c if not c.nullable}
    fill |= {c.name: False for c in table.c if not c.nullable and isinstance(c.type, sa.Boolean)}
    return dict.fromkeys(table.c.keys()) | fill | {name: given[name] for name in given if name in table.c}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishedSite:
    return PublishedSite(tmp_path / "home", monkeypatch)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, list(arguments))


def test_the_demo_writes_scores_of_every_published_customer_by_sql_and_replaces_them(site: PublishedSite) -> None:
    site.publish()
    result = run("demo-scores", "--at", str(AT))
    assert result.exit_code == 0, result.output
    assert f"{AT}: 20 scores of response_model 1.0 in cdm_ingest_db.ml_prediction, learned from " in result.output
    rows = site.written()
    assert [row["customer_id"] for row in rows] == [f"{n:03}" for n in range(20)]
    assert {(r["model_name"], r["model_version"], r["business_date"]) for r in rows} == {("response_model", "1.0", AT)}
    assert all(0 < row["score"] < 1 for row in rows)
    assert run("demo-scores", "--at", str(AT)).exit_code == 0
    assert len(site.written()) == 20


def test_the_demo_hands_scores_over_as_a_file_that_the_source_expects(site: PublishedSite) -> None:
    site.publish()
    result = run("demo-scores", "--at", str(AT), "--to-file")
    assert result.exit_code == 0, result.output
    header, *records = (Path(site.settings.landing_root) / f"predictions/{AT}.csv").read_text().splitlines()
    assert header == "model_name,model_version,customer_id,business_date,score,label,scored_at"
    assert len(records) == 20
    assert records[0].startswith(f"response_model,1.0,000,{AT},0.")
    assert site.written() == []


def test_what_hinders_the_demo_is_said(site: PublishedSite) -> None:
    result = run("demo-scores", "--at", str(AT))
    assert result.exit_code == 1
    assert "there is no database at " in result.output
    site.publish()
    result = run("demo-scores", "--at", "2017-01-05")
    assert "cdm: the published history begins on 2017-01-01, less than 14 days before 2017-01-05" in result.output
    result = run("demo-scores", "--at", "2016-12-31")
    assert "declares no version of response_model that is valid on 2016-12-31" in result.output
