"""DDL plans on DuckDB."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.warehouse.ddl_laws import DdlLaws, Fresh, ResumeLaws, short_calendar, small_tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return small_tables(tmp_path_factory.mktemp("catalog"))


@pytest.fixture
def fresh() -> Iterator[Fresh]:
    with short_calendar(), ExitStack() as opened:
        yield lambda tables: opened.enter_context(Warehouse.open_duckdb(None, tables))


class TestOnDuckDB(DdlLaws):
    """All of them."""


class TestResumeOnDuckDB(ResumeLaws):
    """All of them."""
