"""The demo on the stand-in for Snowflake: every table of the shipped catalog as on DuckDB."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdm_assets.warehouse.snowflake import create_engine
from cdm_assets_tests.engines.demo_days import differences_of_demo_days
from cdm_assets_tests.engines.fakesnow_server import FakesnowServer


@pytest.mark.parametrize("days", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_the_demo_fills_every_table_on_snowflake_as_on_duckdb(
    fakesnow: FakesnowServer, tmp_path: Path, days: int
) -> None:
    assert differences_of_demo_days(create_engine(fakesnow.new_database()), tmp_path, days) == {}
