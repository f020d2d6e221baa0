"""Hubs, links and events: first dates from several sources, late repair, what a load costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import registry

from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.vault_keys import (
    KeyTable,
    LateKeys,
    event_table,
    hub_table,
    link_table,
    on_time_statements,
)
from cdm_assets.warehouse.dates import DateRange
from cdm_assets_tests.loading.contract_site import ContractSite, at, day, statements_of

HUB, LINK, EVENT = "rdv.h_person", "rdv.l_booking_person", "rdv.l_visit"
DIALECTS = [registry.load(name)() for name in ("postgresql", "snowflake", "oracle", "mssql")]


def person(key: str) -> tuple[Any, ...]:
    return (key, "name", None)


def booking(key: str, number: int = 1) -> tuple[Any, ...]:
    return ("a", number, key, None, None)


def visit(visit_id: str, page: str = "home", when: str = "2024-03-01 12:00", key: str = "p1") -> tuple[Any, ...]:
    return (visit_id, key, page, Decimal(1), at(when))


def load(contract: ContractSite, table: str, *numbers: int) -> None:
    for number in numbers:
        contract.load(table, DateRange(day(number), day(number)))


def firsts(contract: ContractSite, table: str = HUB) -> dict[str, tuple[int, str]]:
    """Key -> (day, source)."""
    name = {HUB: "person_id", LINK: "booking_person_hk", EVENT: "visit_id"}[table]
    rows = contract.site.rows(table)
    found = {row[name]: ((row["business_date"] - day(0)).days, row["rec_src"]) for row in rows}
    assert len(found) == len(rows)
    return found


def key_table(contract: ContractSite, table: str) -> KeyTable:
    make = {HUB: hub_table, LINK: link_table, EVENT: event_table}[table]
    return make(contract.catalog, table.split("_", 1)[1])


def test_a_hub_row_is_the_first_date_on_which_any_source_sent_the_key(contract: ContractSite) -> None:
    contract.put("booking", 0, [booking("p2")])
    contract.put("person", 1, [person("p1"), person("p2")])
    contract.put("visit", 2, [visit("v1", key="p3")])
    load(contract, HUB, 2, 1, 0)
    assert firsts(contract) == {"P1": (1, "person"), "P2": (0, "booking"), "P3": (2, "visit")}


@pytest.mark.parametrize("order", [("person", "booking"), ("booking", "person")])
def test_of_two_sources_on_one_date_the_first_by_name_is_noted_whichever_came_first(
    contract: ContractSite, order: Sequence[str]
) -> None:
    rows = {"person": [person("p1")], "booking": [booking("p1")]}
    for source in order:
        contract.put(source, 0, rows[source])
        load(contract, HUB, 0)
    assert firsts(contract) == {"P1": (0, "booking")}


def test_keys_that_differ_in_case_and_blanks_are_one_key(contract: ContractSite) -> None:
    contract.put("person", 0, [person("p1"), person(" P1 ")])
    load(contract, HUB, 0)
    assert firsts(contract) == {"P1": (0, "person")}


def test_a_late_file_moves_a_key_to_its_earlier_date(contract: ContractSite) -> None:
    contract.put("person", 2, [person("p1"), person("p2")])
    load(contract, HUB, 2)
    contract.put("booking", 0, [booking("p1")])
    load(contract, HUB, 0)
    assert firsts(contract) == {"P1": (0, "booking"), "P2": (2, "person")}


def test_a_key_that_its_first_date_lost_moves_to_the_next_date_of_any_source(contract: ContractSite) -> None:
    contract.put("person", 0, [person("p1"), person("p2")])
    contract.put("visit", 1, [visit("v1", key="p1")])
    contract.put("booking", 2, [booking("p1")])
    contract.load(HUB, DateRange(day(0), day(2)))
    contract.put("person", 0, [person("p2")])
    load(contract, HUB, 0)
    assert firsts(contract) == {"P1": (1, "visit"), "P2": (0, "person")}


def test_a_key_that_no_source_sends_any_more_leaves(contract: ContractSite) -> None:
    contract.put("person", 0, [person("p1"), person("p2")])
    contract.put("person", 1, [person("p2")])
    contract.load(HUB, DateRange(day(0), day(1)))
    contract.put("person", 0, None)
    load(contract, HUB, 0)
    assert firsts(contract) == {"P2": (1, "person")}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_withdrawn_last_day_and_a_late_day_can_be_loaded_in_any_order(
    contract: ContractSite, order: Sequence[int]
) -> None:
    """Counterexample: day 1 has no file any more, but until it is reloaded its keys are still in the hub."""
    contract.put("person", 1, [person("p1")])
    load(contract, HUB, 1)
    contract.put("person", 1, None)
    contract.put("person", 0, [person("p1")])
    load(contract, HUB, order[0])
    assert len(firsts(contract)) <= 1
    load(contract, HUB, order[1])
    assert firsts(contract) == {"P1": (0, "person")}


def test_a_link_persists_and_its_first_date_is_repaired_like_a_hubs(contract: ContractSite) -> None:
    contract.put("booking", 0, [booking("p1")])
    contract.put("pledge", 1, [("A", 1, "P1", None)])
    contract.load(LINK, DateRange(day(0), day(1)))
    assert set(firsts(contract, LINK).values()) == {(0, "booking")}
    contract.put("booking", 0, None)
    load(contract, LINK, 0)
    assert set(firsts(contract, LINK).values()) == {(1, "pledge")}


def test_parts_of_a_composite_key_do_not_run_into_each_other(contract: ContractSite) -> None:
    contract.put(
        "booking", 0, [("a|1", 1, "p1", None, None), ("a", 1, "1|p1", None, None), ("a", 11, "p1", None, None)]
    )
    load(contract, "rdv.h_booking", 0)
    load(contract, LINK, 0)
    assert len(contract.site.rows("rdv.h_booking")) == 3
    assert len(firsts(contract, LINK)) == 3


def test_an_event_sent_twice_counts_once_and_is_as_it_was_first_sent(contract: ContractSite) -> None:
    contract.put("visit", 0, [visit("v1", "home"), visit("V1 ", "cart")])
    contract.put("visit", 1, [visit("v1", "exit"), visit("v2")])
    load(contract, EVENT, 1, 0)
    assert firsts(contract, EVENT) == {"v1": (0, "visit"), "v2": (1, "visit")}
    assert {row["page"] for row in contract.site.rows(EVENT)} == {"home"}


def test_an_event_that_its_first_file_lost_is_as_the_next_file_has_it(contract: ContractSite) -> None:
    contract.put("visit", 0, [visit("v1", "home", "2024-03-01 09:00")])
    contract.put("visit", 2, [visit("v1", "exit", "2024-03-02 09:00")])
    contract.load(EVENT, DateRange(day(0), day(2)))
    contract.put("visit", 0, [visit("v3")])
    load(contract, EVENT, 0)
    rows = {
        row["visit_id"]: (row["business_date"], row["event_date"], row["page"]) for row in contract.site.rows(EVENT)
    }
    assert rows["v1"] == (day(2), date(2024, 3, 2), "exit")


@pytest.mark.parametrize("table", [HUB, LINK, EVENT])
def test_loading_a_day_twice_changes_nothing(contract: ContractSite, table: str) -> None:
    for number, key in enumerate(("p1", "p2", "p1")):
        contract.put("person", number, [person(key)])
        contract.put("booking", number, [booking(key, number % 2)])
        contract.put("visit", number, [visit(f"v{number % 2}", key=key)])
    contract.load(table, DateRange(day(0), day(2)))
    once = contract.content(layers=["rdv"])
    load(contract, table, 1, 1, 2, 0)
    assert contract.content(layers=["rdv"]) == once


@pytest.mark.parametrize("table", [HUB, LINK, EVENT])
def test_a_day_on_time_is_two_statements_and_one_question(contract: ContractSite, table: str) -> None:
    for number in (0, 1):
        contract.put("person", number, [person("p1")])
        contract.put("booking", number, [booking("p1")])
        contract.put("visit", number, [visit("v1")])
    load(contract, table, 0)
    with statements_of(contract.warehouse) as sent:
        contract.fill(table, DateRange(day(1), day(1)))
    question, delete, insert, *own_dates = sent
    assert len(own_dates) == (table == EVENT), "events may be of other dates than their file"
    assert "cdp_metadata.landing_file" in question
    assert "FROM ldz." not in question
    assert delete.startswith(f"DELETE FROM {table} ")
    assert insert.startswith(f"INSERT INTO {table} ")
    assert ".business_date > " not in insert


@pytest.mark.parametrize(("table", "source"), [(HUB, "person"), (LINK, "booking"), (EVENT, "visit")])
def test_a_late_day_reads_later_landing_rows_only_if_it_lost_a_key(
    contract: ContractSite, table: str, source: str
) -> None:
    rows = {"person": [person("p1"), person("p2")], "booking": [booking("p1"), booking("p2")]}
    rows["visit"] = [visit("v1"), visit("v2")]
    for number in (0, 1):
        contract.put(source, number, rows[source])
    contract.load(table, DateRange(day(0), day(1)))
    for kept, reads_later in ((2, False), (1, True)):
        contract.put(source, 0, rows[source][:kept])
        with statements_of(contract.warehouse) as sent:
            contract.fill(table, DateRange(day(0), day(0)))
        assert any(f"ldz.ldz_{source}.business_date > " in statement for statement in sent) is reads_later
    assert sorted(when for when, _ in firsts(contract, table).values()) == [0, 1]


def test_a_late_day_leaves_the_rows_of_other_keys_as_they_are(contract: ContractSite) -> None:
    contract.put("person", 1, [person("p1"), person("p2")])
    load(contract, HUB, 1)
    before = {row["person_id"]: row["run_id"] for row in contract.site.rows(HUB, audit=True)}
    contract.put("person", 0, [person("p1")])
    load(contract, HUB, 0)
    after = {row["person_id"]: row["run_id"] for row in contract.site.rows(HUB, audit=True)}
    assert after["P2"] == before["P2"]
    assert after["P1"] != before["P1"]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("table", [HUB, LINK, EVENT])
def test_every_statement_compiles_for_every_database(contract: ContractSite, table: str, dialect: sa.Dialect) -> None:
    arguments = (contract.tables, key_table(contract, table), DateRange(day(0), day(1)), Stamp("r"))
    statements: list[Any] = [*on_time_statements(*arguments), *LateKeys(*arguments)]
    assert all(str(statement.compile(dialect=dialect)) for statement in statements)
