"""What a change reaches, and what it does not; the state machines of `test_load_contract` show that it is enough."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from cdm_assets.warehouse.dates import DateRange
from cdm_assets_tests.loading.contract_site import ALL_DATES, HORIZON, ContractSite, at, day

Reached = dict[str, set[int]]


def person(name: str, key: str = "p1") -> tuple[Any, ...]:
    return (key, name, None)


def visit(visit_id: str, when: str, page: str = "home") -> tuple[Any, ...]:
    return (visit_id, "p1", page, Decimal(1), at(when))


@pytest.fixture
def loaded(contract: ContractSite) -> ContractSite:
    """Six days: one person whose name never changes, one booking, one visit a day."""
    for number in range(HORIZON):
        contract.write("person", number, [person("Ann")])
        contract.write("visit", number, [visit(f"v{number}", f"2024-03-0{number + 1} 12:00")])
    contract.write("booking", 0, [("a", 1, "p1", "open", None)])
    contract.load_all(ALL_DATES)
    return contract


def affected(site: ContractSite, changed: Iterable[tuple[str, int]]) -> Reached:
    """Day numbers by table behind the vault that the files would change."""
    found = site.affected(changed)
    return {key: {(d - day(0)).days for d in found[key]} for key in site.downstream if key in found}


def test_a_file_that_says_what_was_loaded_affects_nothing_behind_the_vault(loaded: ContractSite) -> None:
    assert affected(loaded, [("person", 2), ("visit", 3), ("booking", 0)]) == {}


def test_a_corrected_day_of_a_snapshot_affects_that_day_as_the_next_one_says_otherwise(loaded: ContractSite) -> None:
    loaded.write("person", 2, [person("Eve")])
    assert affected(loaded, [("person", 2)]) == {
        "itf.person": {2},
        "cs_360_db.person_360": {2},
        "cdm_publish_db.person_360": {2},
    }


def test_a_corrected_delta_affects_every_day_until_the_next_change(loaded: ContractSite) -> None:
    loaded.write("booking", 4, [("a", 1, "p1", "done", None)])
    assert affected(loaded, [("booking", 4)]) == {"itf.booking": {4, 5}}
    loaded.load_all(DateRange(day(4), day(4)), only={"ldz.ldz_booking", "rdv.s_booking_details"})
    loaded.load_stale()
    loaded.write("booking", 1, [("a", 1, "p1", "lost", None)])
    assert affected(loaded, [("booking", 1)]) == {"itf.booking": {1, 2, 3}}


def test_events_of_other_dates_affect_the_dates_they_had_and_have(loaded: ContractSite) -> None:
    loaded.write("visit", 4, [visit("v4", "2024-03-02 12:00")])
    reached = affected(loaded, [("visit", 4)])
    assert reached["itf.visit"] == {1, 4}
    assert reached["agg.person_day"] == {1, 4}
    assert reached["cs_360_db.person_360"] == set(range(1, HORIZON))


def test_a_new_key_affects_states_from_its_first_date_on(loaded: ContractSite) -> None:
    loaded.write("person", 3, [person("Ann"), person("Bob", "p2")])
    reached = affected(loaded, [("person", 3)])
    assert reached["itf.person"] == {3, 4, 5}
    assert "itf.visit" not in reached


def test_what_one_source_takes_and_another_gives_is_looked_at_together(loaded: ContractSite) -> None:
    """Counterexample to asking for one file after the other: each alone leaves the key where it is."""
    loaded.write("booking", 0, [("a", 1, "p7", "open", None)])
    loaded.write("visit", 0, [("v0", "p7", "home", Decimal(1), at("2024-03-01 12:00"))])
    loaded.load_all(DateRange(day(0), day(0)), only={"ldz.ldz_booking", "ldz.ldz_visit"})
    loaded.load_stale()
    loaded.write("booking", 0, [("a", 1, "p1", "open", None)])
    assert 0 not in affected(loaded, [("booking", 0)]).get("itf.person", set())
    loaded.write("visit", 0, [visit("v0", "2024-03-01 12:00")])
    assert affected(loaded, [("booking", 0), ("visit", 0)])["itf.person"] == set(range(HORIZON))


def test_foretelling_changes_nothing(loaded: ContractSite) -> None:
    before = loaded.content()
    loaded.write("person", 2, [person("Eve")])
    assert affected(loaded, [("person", 2)])
    assert loaded.content() == before
    assert loaded.stale() == {}


def test_marks_stay_until_what_they_mark_is_loaded(loaded: ContractSite) -> None:
    loaded.write("person", 2, [person("Eve")])
    for key in ("ldz.ldz_person", "rdv.s_person_details"):
        loaded.load(key, DateRange(day(2), day(2)))
    marked = {row["table_key"] for row in loaded.site.rows("cdp_metadata.stale_partition")}
    assert marked == {"rdv.h_person", "itf.person"}
    loaded.load_stale()
    assert loaded.site.rows("cdp_metadata.stale_partition") == []
    assert loaded.stale() == {}
