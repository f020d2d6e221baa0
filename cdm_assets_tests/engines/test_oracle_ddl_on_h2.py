"""Plans of Oracle's DDL, made and applied on H2 in Oracle mode (`h2.py` says what H2 is sent instead)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.engines.h2 import h2_engine
from cdm_assets_tests.warehouse.ddl_laws import DdlLaws, Fresh, short_calendar, small_tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return small_tables(tmp_path_factory.mktemp("catalog"))


@pytest.fixture
def fresh() -> Iterator[Fresh]:
    with ExitStack() as opened:
        opened.enter_context(short_calendar())
        yield lambda tables: opened.enter_context(Warehouse(h2_engine(), tables))


class TestDdlOfOracle:
    """The laws that ask most of the dictionary and of the statements."""

    test_an_empty_database = DdlLaws.test_an_empty_database_becomes_what_the_catalog_declares
    test_a_missing_column = DdlLaws.test_a_missing_column_is_added_and_loaded_dates_are_to_be_loaded_again


@pytest.mark.slow
class TestEveryLawOfDdlOfOracle(DdlLaws):
    """Without those of types that other engines alter and Oracle does not: such a column is dropped and added again."""

    test_what_loses_something_waits_for_its_token = None  # type: ignore[assignment]
    test_values_that_do_not_fit_are_not_cut = None  # type: ignore[assignment]
    test_a_changed_type_keeps_the_values_that_have_one = None  # type: ignore[assignment]
    test_changed_comments_are_changed_and_nothing_else = None  # type: ignore[assignment] # asks SQLAlchemy's inspector
