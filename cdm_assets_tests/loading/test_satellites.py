"""Satellites: named histories, late repair, what a load costs. Random histories: `test_load_contract`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import registry

from cdm_assets.loading.satellites import Satellite
from cdm_assets.loading.stamp import Stamp
from cdm_assets.warehouse.dates import DateRange
from cdm_assets_tests.loading.contract_site import ContractSite, day, statements_of

PERSON, BOOKING = "rdv.s_person_details", "rdv.s_booking_details"
DIALECTS = [registry.load(name)() for name in ("postgresql", "snowflake", "oracle", "mssql")]


def person(name: str | None, key: str = "p1", credit: str | None = None) -> tuple[Any, ...]:
    return (key, name, Decimal(credit) if credit else None)


def booking(status: str | None, number: int = 1) -> tuple[Any, ...]:
    return ("a", number, "p1", status, None)


def load(contract: ContractSite, table: str, *numbers: int) -> None:
    for number in numbers:
        contract.load(table, DateRange(day(number), day(number)))


def history(contract: ContractSite, table: str, column: str = "name") -> list[tuple[int, Any]]:
    """(day, value) of each row, `-` for an end row; of all keys."""
    rows = contract.site.rows(table)
    return sorted(((row["business_date"] - day(0)).days, row[column] if row["is_listed"] else "-") for row in rows)


def put_names(contract: ContractSite, names: Iterable[str | None]) -> None:
    """A snapshot of one person a day; None: the person is not listed."""
    for number, name in enumerate(names):
        contract.put("person", number, [] if name is None else [person(name)])


def put_statuses(contract: ContractSite, statuses: Iterable[str | None]) -> None:
    """A delta with one booking a day; None: there is no file."""
    for number, status in enumerate(statuses):
        contract.put("booking", number, None if status is None else [booking(status)])


def test_values_that_change_and_change_back_are_three_rows(contract: ContractSite) -> None:
    put_names(contract, "AABBA")
    load(contract, PERSON, 4, 2, 0, 3, 1)
    assert history(contract, PERSON) == [(0, "A"), (2, "B"), (4, "A")]


def test_a_key_that_a_snapshot_drops_and_lists_again_has_an_end_row_between(contract: ContractSite) -> None:
    put_names(contract, ["A", None, None, "A"])
    load(contract, PERSON, 3, 1, 0, 2)
    assert history(contract, PERSON) == [(0, "A"), (1, "-"), (3, "A")]


def test_an_empty_snapshot_ends_every_key_and_a_missing_one_ends_none(contract: ContractSite) -> None:
    contract.put("person", 0, [person("A", "p1"), person("B", "p2")])
    contract.put("person", 1, None)
    contract.put("person", 2, [])
    contract.load(PERSON, DateRange(day(0), day(2)))
    assert history(contract, PERSON) == [(0, "A"), (0, "B"), (2, "-"), (2, "-")]


def test_a_delta_never_ends_a_key(contract: ContractSite) -> None:
    put_statuses(contract, ["x", None])
    contract.put("booking", 1, [booking("y", number=2)])
    contract.load(BOOKING, DateRange(day(0), day(1)))
    assert history(contract, BOOKING, "status") == [(0, "x"), (1, "y")]


def test_null_differs_from_every_text_and_blank_text_is_null(contract: ContractSite) -> None:
    for number, name in enumerate([None, "", "  ", r"\N", None]):
        contract.put("person", number, [person(name)])
    contract.load(PERSON, DateRange(day(0), day(4)))
    assert history(contract, PERSON) == [(0, None), (3, r"\N"), (4, None)]


def test_keys_that_differ_in_case_and_blanks_are_one_key_and_the_last_record_counts(contract: ContractSite) -> None:
    contract.put("booking", 0, [("a", 1, "p1", "x", None), (" A", 1, "p1", "y", None)])
    load(contract, BOOKING, 0)
    assert history(contract, BOOKING, "status") == [(0, "y")]


def test_loading_a_day_twice_changes_nothing(contract: ContractSite) -> None:
    put_names(contract, ["A", "B", None, "B"])
    contract.load(PERSON, DateRange(day(0), day(3)))
    once = contract.content(layers=["rdv"])
    load(contract, PERSON, 1, 1, 3, 3, 0, 0)
    assert contract.content(layers=["rdv"]) == once


def test_a_late_day_removes_the_row_that_it_makes_superfluous(contract: ContractSite) -> None:
    contract.put("person", 0, [person("A")])
    contract.put("person", 2, [person("B")])
    load(contract, PERSON, 0, 2)
    contract.put("person", 1, [person("B")])
    load(contract, PERSON, 1)
    assert history(contract, PERSON) == [(0, "A"), (1, "B")]


def test_a_withdrawn_day_gives_the_next_day_its_row_back(contract: ContractSite) -> None:
    put_names(contract, ["A", "B", "B"])
    contract.load(PERSON, DateRange(day(0), day(2)))
    contract.put("person", 1, None)
    load(contract, PERSON, 1)
    assert history(contract, PERSON) == [(0, "A"), (2, "B")]


def test_withdrawing_the_last_loaded_day_leaves_no_trace_of_it(contract: ContractSite) -> None:
    put_names(contract, ["A", None])
    contract.load(PERSON, DateRange(day(0), day(1)))
    contract.put("person", 1, None)
    load(contract, PERSON, 1, 0)
    assert history(contract, PERSON) == [(0, "A")]


def test_a_late_day_before_a_withdrawn_last_day_writes_no_row_without_a_date(contract: ContractSite) -> None:
    """The register knows a later date, but no partition follows."""
    put_names(contract, ["A", "B"])
    contract.load(PERSON, DateRange(day(0), day(1)))
    contract.put("person", 1, None)
    contract.put("person", 0, [person("C")])
    load(contract, PERSON, 0, 1)
    assert history(contract, PERSON) == [(0, "C")]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_corrected_days_can_be_loaded_in_any_order_after_both_have_landed(
    contract: ContractSite, order: Sequence[int]
) -> None:
    """Counterexample: day 0 decided day 1 by its new content, day 1 then saw no change, and nobody looked at day 2."""
    put_names(contract, "AAA")
    contract.load(PERSON, DateRange(day(0), day(2)))
    contract.put("person", 0, [person("B")])
    contract.put("person", 1, [person("B")])
    load(contract, PERSON, *order)
    assert history(contract, PERSON) == [(0, "B"), (2, "A")]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_corrected_days_of_a_delta_can_be_loaded_in_any_order_after_both_have_landed(
    contract: ContractSite, order: Sequence[int]
) -> None:
    """The same counterexample, where the next observation of a key is days away."""
    put_statuses(contract, ["x", "x", None, None, "x"])
    contract.load(BOOKING, DateRange(day(0), day(4)))
    contract.put("booking", 0, [booking("y")])
    contract.put("booking", 1, [booking("y")])
    load(contract, BOOKING, *order)
    assert history(contract, BOOKING, "status") == [(0, "y"), (4, "x")]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_corrected_day_and_a_day_that_was_never_loaded_can_come_in_any_order(
    contract: ContractSite, order: Sequence[int]
) -> None:
    put_names(contract, ["A"])
    contract.put("person", 2, [person("B")])
    load(contract, PERSON, 0, 2)
    contract.put("person", 0, [person("B")])
    contract.put("person", 1, [person("B")])
    load(contract, PERSON, *order)
    assert history(contract, PERSON) == [(0, "B")]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_key_new_on_two_corrected_days_still_ends_where_the_snapshot_does_not_list_it(
    contract: ContractSite, order: Sequence[int]
) -> None:
    put_names(contract, [None, None, None])
    contract.load(PERSON, DateRange(day(0), day(2)))
    contract.put("person", 0, [person("A")])
    contract.put("person", 1, [person("A")])
    load(contract, PERSON, *order)
    assert history(contract, PERSON) == [(0, "A"), (2, "-")]


def test_days_that_landed_long_before_are_loaded_one_by_one_without_loading_each_other(contract: ContractSite) -> None:
    """A backfill by day over a landing zone that is complete must not load all that follows with each day."""
    put_names(contract, "ABCDEF")
    with statements_of(contract.warehouse) as sent:
        load(contract, PERSON, 0)
    assert sum("INSERT INTO rdv.s_person_details" in s for s in sent) == 2  # the day, and a look at the next
    load(contract, PERSON, 1, 2, 3, 4, 5)
    assert history(contract, PERSON) == list(enumerate("ABCDEF"))


@pytest.mark.parametrize(("table", "source"), [(PERSON, "person"), (BOOKING, "booking")])
def test_a_day_on_time_is_two_statements_and_one_question(contract: ContractSite, table: str, source: str) -> None:
    put_names(contract, "AB")
    put_statuses(contract, "xy")
    load(contract, table, 0)
    with statements_of(contract.warehouse) as sent:
        contract.fill(table, DateRange(day(1), day(1)))
    question, insert, delete = sent
    assert "cdp_metadata.landing_file" in question
    assert "FROM ldz." not in question
    assert insert.startswith(f"INSERT INTO {table} ")
    assert delete.startswith(f"DELETE FROM {table} ")
    landing = f"ldz.ldz_{source}.business_date"
    assert f"{landing} > " not in insert
    assert f"{landing} = " in insert


@pytest.mark.parametrize(("table", "source"), [(PERSON, "person"), (BOOKING, "booking")])
def test_a_late_day_touches_only_the_keys_that_it_changes(contract: ContractSite, table: str, source: str) -> None:
    """The other keys' rows keep the stamp of the load that wrote them."""

    def make(number: int, value: str) -> tuple[Any, ...]:
        return person(value, f"p{number}") if source == "person" else booking(value, number)

    for number in range(4):
        contract.put(source, number, [make(n, "ABCD"[number]) for n in (1, 2, 3)])
    contract.load(table, DateRange(day(0), day(3)))
    first_run = {row["run_id"] for row in contract.site.rows(table, audit=True)}
    contract.put(source, 1, [make(1, "Z"), make(2, "B"), make(3, "B")])
    load(contract, table, 1)
    rows = contract.site.rows(table, audit=True)
    assert len(rows) == 12
    hash_key = "person_hk" if source == "person" else "booking_hk"
    rewritten = {row[hash_key] for row in rows if row["run_id"] not in first_run and row["business_date"] > day(1)}
    assert len(rewritten) == 1


def test_a_late_snapshot_reads_the_partition_after_it_and_none_behind(contract: ContractSite) -> None:
    put_names(contract, "ABCDEF")
    contract.load(PERSON, DateRange(day(0), day(5)))
    contract.put("person", 1, [person("Z")])
    with statements_of(contract.warehouse) as sent:
        load(contract, PERSON, 1)
    assert not any("ldz.ldz_person.business_date > " in statement for statement in sent)
    assert history(contract, PERSON) == [(0, "A"), (1, "Z"), (2, "C"), (3, "D"), (4, "E"), (5, "F")]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("name", ["person_details", "booking_details", "booking_person_said"])
def test_every_statement_compiles_for_every_database(contract: ContractSite, name: str, dialect: sa.Dialect) -> None:
    satellite, stamp = Satellite(contract.catalog, contract.tables, name), Stamp("r")
    dates = DateRange(day(0), day(1))
    statements: list[sa.ClauseElement] = [*satellite.on_time_statements(dates, stamp), satellite.undo(stamp)]
    if satellite.is_snapshot:
        statements += [satellite.next_partition(day(1)), satellite.loaded_after(day(2))]
        statements += [satellite.unsettled(dates, day(2), stamp)]
        insert, superseded = satellite.repair_of_next_partition(dates, day(2), stamp)
    else:
        insert, superseded = satellite.repair_of_all_later(dates, stamp)
    statements += [insert, sa.delete(satellite.table).where(superseded(satellite.table))]
    statements += [satellite.changed_spans(dates, superseded, stamp)]
    assert all(str(statement.compile(dialect=dialect)) for statement in statements)
