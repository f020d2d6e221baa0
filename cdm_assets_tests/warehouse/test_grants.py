"""The rights that follow from the shipped roles on every engine, right by right."""

from __future__ import annotations

import pytest

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.catalog.types import PiiClass
from cdm_assets.warehouse.ddl import declared_views, text_dialect
from cdm_assets.warehouse.engine import ENGINES, fixed_dialect
from cdm_assets.warehouse.grants import Grant, access_statements, declared_grants, grant_steps, relations
from cdm_assets.warehouse.tables import Tables

WITH_ROLES = tuple(engine for engine in ENGINES if engine != "duckdb")
_WITHHELD = (PiiClass.DIRECT, PiiClass.SENSITIVE)


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables(read_catalog(), schema_prefix="dev_")


def _grants(tables: Tables, engine: str, role: str) -> set[Grant]:
    return {g for g in declared_grants(tables, declared_views(tables), engine) if g.role == f"dev_{role}"}


def test_duckdb_has_none(tables: Tables) -> None:
    assert declared_grants(tables, declared_views(tables), "duckdb") == frozenset()
    assert access_statements(tables, declared_views(tables), fixed_dialect("duckdb")) == []


@pytest.mark.parametrize("engine", WITH_ROLES)
def test_a_viewer_reads_what_is_published_and_no_withheld_column(engine: str, tables: Tables) -> None:
    classes = {
        (relation.schema, relation.name): {c.name: c.info.get("pii", PiiClass.NONE) for c in relation.columns}
        for relation in relations(tables, declared_views(tables))
    }
    found = _grants(tables, engine, "cdm_viewer")
    assert {(g.schema, g.right) for g in found} == {("dev_cdm_publish_db", "usage"), ("dev_cdm_publish_db", "select")}
    assert {g.scope for g in found} == {"schema", "table", "view"}  # nothing that is yet to be created
    for grant in found:
        if grant.name:
            columns = classes[grant.schema, grant.name]
            shown = [grant.column] if grant.column else list(columns)
            assert not [name for name in shown if columns[name] in _WITHHELD], grant
    names = {g.name for g in found if g.name}
    published = {key.split(".")[1] for key in tables.partitioned if key.startswith("cdm_publish_db.")}
    whole = published - {"customer_360"}
    assert names >= whole | {f"{name}_current" for name in whole}
    assert names >= {"customer_360_viewer", "customer_360_viewer_current"}
    assert ("customer_360" in names) == (engine in ("postgresql", "mssql"))


@pytest.mark.parametrize("engine", WITH_ROLES)
def test_a_model_writes_what_it_hands_in_and_nothing_else(engine: str, tables: Tables) -> None:
    writing = {g for g in _grants(tables, engine, "cdm_model") if g.right not in ("usage", "select")}
    assert {(g.schema, g.name) for g in writing} == {("dev_cdm_ingest_db", "ml_prediction")}
    assert {g.right for g in writing} == {"insert", "update", "delete"}


@pytest.mark.parametrize("engine", WITH_ROLES)
def test_an_engineer_changes_nothing_that_is_published(engine: str, tables: Tables) -> None:
    found = _grants(tables, engine, "cdm_engineer")
    assert {g.right for g in found if g.schema == "dev_cdm_publish_db"} == {"usage", "select"}
    assert not {g for g in found if g.right == "create"}


@pytest.mark.parametrize("engine", WITH_ROLES)
def test_the_statements_are_the_same_each_time(engine: str, tables: Tables) -> None:
    """What is known of grants by record is compared as text."""
    grants = declared_grants(tables, declared_views(tables), engine)
    dialect = text_dialect(fixed_dialect(engine))
    backwards = sorted(grants, key=lambda g: (g.column, g.name, g.right), reverse=True)
    assert grant_steps(grants, dialect) == grant_steps(backwards, dialect)
