"""What a plan says on engines that are not here: alterations as text, and grants that only the record knows of."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cdm_assets.catalog.access import Right
from cdm_assets.catalog.types import Layer
from cdm_assets.warehouse.ddl_plan import DdlStep, access_by_record
from cdm_assets.warehouse.ddl_record import GRANT, RecordedStep, concerns, granted, revocation_of
from cdm_assets.warehouse.engine import ENGINES
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import at
from cdm_assets_tests.warehouse.ddl_changes import altered, as_declared, comparison, steps_of
from cdm_assets_tests.warehouse.ddl_laws import short_calendar, small_tables

GOLDEN = Path(__file__).parent / "golden"
BY_RECORD = ("snowflake", "oracle", "mssql")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return small_tables(tmp_path_factory.mktemp("catalog"))


@pytest.fixture(autouse=True)
def _quick() -> object:
    with short_calendar():
        yield


@pytest.mark.parametrize("engine", ENGINES)
def test_a_database_that_is_as_declared_needs_nothing(engine: str, tables: Tables) -> None:
    assert steps_of(tables, engine, as_declared(tables, engine)) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_the_alterations_are_as_agreed(engine: str, tables: Tables) -> None:
    """Set UPDATE_GOLDEN=1 to accept a change, and read the difference before you commit it."""
    lines = []
    for step in steps_of(tables, engine, altered(tables, engine)):
        lines += [f"-- {step.kind} {step.object}: {step.reason}"]
        lines += [f"-- only with --allow {step.token}"] if step.token else []
        lines += [f"-- not now: {step.blocked}"] if step.blocked else []
        lines += [f"{statement};\n" for statement in step.statements]
    text, golden = "\n".join(lines), GOLDEN / f"changes_{engine}.sql"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def _record(steps: list[DdlStep]) -> list[RecordedStep]:
    """The steps as done one after the other."""
    return [
        RecordedStep("plan", number, s.kind, s.object, s.statement, "done", None, None, "run", at(2024, 1, 1))
        for number, s in enumerate(steps, start=1)
    ]


def _access(tables: Tables, engine: str, recorded: list[RecordedStep], *new: tuple[str, str]) -> list[DdlStep]:
    with comparison(tables, engine, as_declared(tables, engine)) as made_up:
        made_up.new_relations |= set(new)
        return list(access_by_record(tables, made_up, recorded))


@pytest.mark.parametrize("engine", BY_RECORD)
def test_what_was_granted_is_not_granted_again(engine: str, tables: Tables) -> None:
    first = _access(tables, engine, [])
    assert [step.kind for step in first].count("create role") == 5
    assert _access(tables, engine, _record(first)) == []
    failed = [replace(step, state="failed") for step in _record(first)]
    assert _access(tables, engine, failed) == first


@pytest.mark.parametrize("engine", BY_RECORD)
def test_a_view_that_is_created_anew_is_granted_again(engine: str, tables: Tables) -> None:
    recorded = _record(_access(tables, engine, []))
    again = _access(tables, engine, recorded, ("cdm_publish_db", "customer_360_viewer"))
    statements = [statement for step in again for statement in step.statements]
    assert statements
    assert all("customer_360_viewer " in statement for statement in statements)


@pytest.mark.parametrize("engine", BY_RECORD)
def test_a_right_the_catalog_takes_back_is_revoked(engine: str, tables: Tables) -> None:
    recorded = _record(_access(tables, engine, []))
    role = tables.catalog.roles["cdm_engineer"]
    lesser = role.model_copy(update={"rights": {**role.rights, Layer.INTERFACE: (Right.SELECT,)}})
    roles = dict(tables.catalog.roles)
    tables.catalog.roles["cdm_engineer"] = lesser
    try:
        revoke, *grants = _access(tables, engine, recorded)
        later = [*recorded, *_record([revoke, *grants])]
        assert _access(tables, engine, later) == []
    finally:
        tables.catalog.roles.update(roles)
    assert revoke.kind == "revoke"
    assert all(" FROM " in text and "INSERT" in text and "itf" in text for text in revoke.statements)
    assert all("INSERT" not in text for step in grants for text in step.statements)


def test_the_record_tells_what_is_in_effect() -> None:
    def step(kind: str, name: str, *statements: str) -> DdlStep:
        return DdlStep(kind, name, statements, "")

    given = ("GRANT SELECT ON TABLE a.t TO ROLE r", "GRANT SELECT ON TABLE a.t_2 TO ROLE r")
    steps = [step(GRANT, "r in a", *given)]
    assert granted(_record(steps)) == list(given)
    assert granted(_record([*steps, step("create table", "a.t", "CREATE TABLE a.t (k int)")])) == [given[1]]
    assert granted(_record([*steps, step("revoke", "r in a", revocation_of(given[0]))])) == [given[1]]


@pytest.mark.parametrize(
    ("statement", "name", "expected"),
    [
        ("GRANT SELECT ON a.t TO r", "a.t", True),
        ('GRANT SELECT (x) ON "a"."t" TO r', "a.t", True),
        ("GRANT SELECT ON OBJECT::[a].t TO r", "a.t", True),
        ("GRANT SELECT ON A.T TO r", "a.t", True),
        ("GRANT SELECT ON a.t_2 TO r", "a.t", False),
        ("GRANT SELECT ON ba.t TO r", "a.t", False),
        ("GRANT USAGE ON SCHEMA a TO r", "a.t", False),
    ],
)
def test_which_table_a_grant_is_about(statement: str, name: str, *, expected: bool) -> None:
    assert concerns(statement, name) == expected
