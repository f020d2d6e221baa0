"""The interface: state as of a date, events on their own date, codes, defaults and precedence."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import registry

from cdm_assets.loading.interface import interface_select
from cdm_assets.warehouse.dates import DateRange
from cdm_assets_tests.loading.contract_site import ALL_DATES, ContractSite, at, day

DIALECTS = [registry.load(name)() for name in ("postgresql", "snowflake", "oracle", "mssql")]


def load(contract: ContractSite, dates: DateRange = ALL_DATES, *, landed: bool = True) -> None:
    contract.load_all(dates, only=[k for k in contract.order if k[:3] in ("rdv", "itf") or not landed])


def by_day(contract: ContractSite, entity: str, column: str, key: str = "P1") -> dict[int, Any]:
    """The value of a person on each date on which there is a row."""
    rows = contract.site.rows(f"itf.{entity}", where={"person_id": key})
    return {(row["business_date"] - day(0)).days: row[column] for row in rows}


def visit(visit_id: str, when: datetime) -> tuple[Any, ...]:
    return (visit_id, "p1", "home", Decimal(1), when)


def test_a_state_partition_holds_every_known_key_with_its_values_as_of_that_date(contract: ContractSite) -> None:
    contract.put("person", 1, [("p1", "A", Decimal(1))])
    contract.put("person", 3, [("p1", "B", None)])
    load(contract)
    assert by_day(contract, "person", "name") == {1: "A", 2: "A", 3: "B", 4: "B", 5: "B"}
    assert by_day(contract, "person", "credit") == {1: Decimal(1), 2: Decimal(1), 3: None, 4: None, 5: None}


def test_a_key_that_the_snapshot_dropped_stays_with_defaults_and_is_not_listed(contract: ContractSite) -> None:
    contract.put("person", 0, [("p1", "A", Decimal(1))])
    contract.put("person", 1, [])
    contract.put("person", 3, [("p1", "A", Decimal(1))])
    load(contract)
    assert by_day(contract, "person", "name") == {0: "A", 1: "unknown", 2: "unknown", 3: "A", 4: "A", 5: "A"}
    assert by_day(contract, "person", "is_listed") == {0: True, 1: False, 2: False, 3: True, 4: True, 5: True}


def test_a_key_that_only_another_source_knows_has_defaults(contract: ContractSite) -> None:
    contract.put("visit", 4, [visit("v1", at("2024-03-05 09:00"))])
    load(contract)
    assert by_day(contract, "person", "name") == {4: "unknown", 5: "unknown"}
    assert by_day(contract, "person", "is_listed") == {4: False, 5: False}
    assert by_day(contract, "person", "first_seen_date") == {4: day(4), 5: day(4)}


def test_codes_are_converted_and_other_values_kept(contract: ContractSite) -> None:
    for number, status in enumerate(["a", "b", "other", None]):
        contract.put("booking", number, [("s", 1, "p1", status, None)])
    load(contract)
    statuses = by_day(contract, "booking", "status", key="p1")
    assert statuses == {0: "open", 1: "closed", 2: "other", 3: "unknown", 4: "unknown", 5: "unknown"}


def test_a_relation_shows_what_two_sources_say_of_it(contract: ContractSite) -> None:
    contract.put("booking", 0, [("s", 1, "p1", "a", None)])
    contract.put("pledge", 1, [("s", 1, "p1", Decimal("2.50"))])
    contract.put("pledge", 2, [])
    load(contract)
    assert by_day(contract, "pledge", "was_booked") == dict.fromkeys(range(6), True)
    assert by_day(contract, "pledge", "is_pledged") == {0: False, 1: True, 2: False, 3: False, 4: False, 5: False}
    assert by_day(contract, "pledge", "amount")[1] == Decimal("2.50")


def test_an_event_of_an_earlier_date_lands_in_that_dates_partition(contract: ContractSite) -> None:
    contract.put("visit", 4, [visit("v1", at("2024-03-02 23:59")), visit("v2", at("2024-03-05 09:00"))])
    load(contract)
    rows = contract.site.rows("itf.visit")
    assert {row["visit_id"]: (row["business_date"], row["arrival_date"]) for row in rows} == {
        "v1": (day(1), day(4)),
        "v2": (day(4), day(4)),
    }


def test_an_event_sent_on_two_days_stands_in_one_partition(contract: ContractSite) -> None:
    contract.put("visit", 1, [visit("v1", at("2024-03-02 09:00"))])
    contract.put("visit", 2, [visit("v1", at("2024-03-03 09:00")), visit("v1", at("2024-03-03 10:00"))])
    load(contract)
    assert [row["business_date"] for row in contract.site.rows("itf.visit")] == [day(1)]


@pytest.mark.parametrize("table", ["itf.person", "itf.booking", "itf.pledge", "itf.visit"])
def test_a_date_loaded_by_itself_is_as_in_a_range(contract: ContractSite, table: str) -> None:
    for number in range(0, 6, 2):
        contract.put("person", number, [("p1", str(number), None), (f"p{number}", "x", None)])
        contract.put("booking", number, [("s", number % 4, "p1", "a", None)])
        contract.put("pledge", number, [("s", number % 4, "p1", Decimal(number))])
        contract.put("visit", number, [visit(f"v{number}", at(f"2024-03-0{1 + number // 2} 09:00"))])
    load(contract)
    in_range = contract.content(layers=["itf"])[table]
    assert in_range
    for number in range(6):
        contract.load(table, DateRange(day(number), day(number)))
    assert contract.content(layers=["itf"])[table] == in_range


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_entity_compiles_for_every_database(contract: ContractSite, dialect: sa.Dialect) -> None:
    for entity in contract.catalog.interface.values():
        for dates in (ALL_DATES, DateRange(day(0), day(0))):
            assert str(interface_select(contract.tables, entity, dates).compile(dialect=dialect))
