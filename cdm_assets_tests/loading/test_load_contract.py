"""The load contract: whatever the order and number of loads, the end is that of one clean load in order.

`Files` that change at random are loaded by the real loaders in random interleavings. The vault is compared with a plain
Python model (`vault_oracle`), the layers behind it with a clean load of the files as they finally stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from cdm_assets.warehouse.dates import DateRange, ranges_of
from cdm_assets_tests.loading.contract_site import ALL_DATES, DAY, HORIZON, Content, ContractSite, at, day, differences
from cdm_assets_tests.loading.vault_oracle import vault_content

Row = tuple[Any, ...]

_FEW: Final = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
_MANY: Final = settings(_FEW, max_examples=100, derandomize=False)

_PERSONS: Final = st.sampled_from(["p1", "p2"])
_SAME_PERSON: Final = st.sampled_from(["p1", " P1"])
_TEXTS: Final = st.sampled_from(["x", "x", "y", "y", None, "x "])
_AMOUNTS: Final = st.sampled_from([None, None, None, Decimal("1.00")])
_SHOPS, _NUMBERS = st.sampled_from(["a", "b|c"]), st.just(1)
_MOMENTS: Final = st.integers(-2, 2 * HORIZON).map(lambda half: at("2024-03-01 06:00") + timedelta(hours=12 * half))

_ROWS: Final[dict[str, st.SearchStrategy[Row]]] = {
    "person": st.tuples(_PERSONS | _SAME_PERSON, _TEXTS, _AMOUNTS),
    "booking": st.tuples(_SHOPS, _NUMBERS, _PERSONS, _TEXTS, st.sampled_from([None, DAY])),
    "pledge": st.tuples(_SHOPS, _NUMBERS, _PERSONS | _SAME_PERSON, _AMOUNTS),
    "visit": st.tuples(
        st.sampled_from(["v1", "v2", "V2"]), _PERSONS, _TEXTS, _AMOUNTS.map(lambda a: a or Decimal(0)), _MOMENTS
    ),
}
_KEY_WIDTH: Final = {"person": 1, "booking": 0, "pledge": 3, "visit": 0}
"""Columns of the key that a file may hold once; 0 where rows may repeat."""

NUMBERS: Final = st.integers(0, HORIZON - 1)

Files = dict[tuple[str, int], list[Row] | None]
"""The file of each source and day; None where there is none."""


def _known_as(part: Any) -> Any:
    """A part of a key as the vault knows it; the landing zone rejects what repeats one."""
    return part.strip().upper() if isinstance(part, str) else part


def file_of(source: str) -> st.SearchStrategy[list[Row] | None]:
    width = _KEY_WIDTH[source]
    unique: Any = {"unique_by": lambda row: tuple(_known_as(part) for part in row[:width])} if width else {}
    rows = st.lists(_ROWS[source], min_size=0 if width else 1, max_size=2, **unique)
    return st.one_of(rows, rows, rows, st.none())


def files_of(sources: Sequence[str], *, fewest: int, most: int) -> st.SearchStrategy[Files]:
    places = st.lists(
        st.tuples(st.sampled_from(sources), st.integers(0, HORIZON - 1)), min_size=fewest, max_size=most, unique=True
    )
    return places.flatmap(lambda chosen: st.fixed_dictionaries({place: file_of(place[0]) for place in chosen}))


def corrected_periods(sources: Sequence[str]) -> st.SearchStrategy[Files]:
    """The same rows for some days on end, as when a mistake is corrected backwards."""

    def files(source: str) -> st.SearchStrategy[Files]:
        return st.builds(
            lambda first, length, rows: {(source, n): rows for n in range(first, min(first + length, HORIZON))},
            NUMBERS,
            st.integers(2, 3),
            file_of(source),
        )

    return st.sampled_from(sources).flatmap(files)


def stale_loads(site: ContractSite, changed: Files) -> st.SearchStrategy[list[tuple[str, DateRange]]]:
    """The loads of the vault that bring changes in: of each table by range or by date, all of them in any order."""
    numbers: dict[str, set[int]] = {}
    for source, number in changed:
        for key in site.fed_by(source):
            numbers.setdefault(key, set()).add(number)

    def loads(by_range: dict[str, bool]) -> list[tuple[str, DateRange]]:
        found = []
        for key, days in sorted(numbers.items()):
            if by_range[key]:
                found.append((key, DateRange(day(min(days)), day(max(days)))))
            else:
                found += [(key, DateRange(day(n), day(n))) for n in sorted(days)]
        return found

    return st.fixed_dictionaries(dict.fromkeys(sorted(numbers), st.booleans())).map(loads).flatmap(st.permutations)


def present(files: Files) -> dict[tuple[str, int], list[Row]]:
    return {place: rows for place, rows in files.items() if rows is not None}


def walk_the_vault(site: ContractSite, sources: Sequence[str], data: st.DataObject) -> None:
    """Load what is there as a range; then, some times: change files, load what that makes stale, compare."""
    site.forget()
    files: Files = {}
    for step in range(data.draw(st.integers(2, 4), label="steps")):
        if step:
            corrections = files_of(sources, fewest=1, most=3) | corrected_periods(sources)
        else:
            corrections = files_of(sources, fewest=len(sources) * HORIZON // 2, most=len(sources) * HORIZON)
        changed = data.draw(corrections, label="changed files")
        for (source, number), rows in changed.items():
            site.put(source, number, rows)
        files |= changed
        if step == 0:
            loads = [(key, ALL_DATES) for key in sorted({key for source in sources for key in site.fed_by(source)})]
        else:
            loads = data.draw(stale_loads(site, changed), label="loads")
        for key, dates in loads:
            site.load(key, dates)
    expected = vault_content(site.catalog, present(files))
    assert differences(site.content(layers=["rdv"]), expected) == {}


_BY_SOURCES: Final = pytest.mark.parametrize(
    "sources", [["person"], ["booking"], ["visit"], ["person", "booking", "pledge", "visit"]], ids="+".join
)


@_BY_SOURCES
@_FEW
@given(data=st.data())
def test_the_vault_is_a_function_of_the_files(
    open_contract_site: ContractSite, sources: list[str], data: st.DataObject
) -> None:
    walk_the_vault(open_contract_site, sources, data)


@pytest.mark.slow
@_BY_SOURCES
@_MANY
@given(data=st.data())
def test_the_vault_is_a_function_of_the_files_in_depth(
    open_contract_site: ContractSite, sources: list[str], data: st.DataObject
) -> None:
    walk_the_vault(open_contract_site, sources, data)


class AllLayers(RuleBasedStateMachine):
    """Files change and are loaded by the whole path; after each load every table is as after a clean load in order."""

    site: ContractSite

    def __init__(self) -> None:
        super().__init__()
        self.site.forget()
        self.files: Files = {}
        self.stale: Files = {}
        self.loaded_at_all = False

    def _change(self, source: str, number: int, rows: list[Row] | None) -> None:
        self.site.write(source, number, rows)
        self.files[source, number] = self.stale[source, number] = rows

    @initialize(files=files_of(list(_ROWS), fewest=4, most=12))
    def first_files(self, files: Files) -> None:
        for (source, number), rows in files.items():
            self._change(source, number, rows)

    @rule(file=st.sampled_from(list(_ROWS)).flatmap(lambda s: st.tuples(st.just(s), NUMBERS, file_of(s))))
    def deliver_or_correct(self, file: tuple[str, int, list[Row] | None]) -> None:
        self._change(*file)

    @precondition(lambda self: bool(present(self.files)))
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        source, number = data.draw(st.sampled_from(sorted(present(self.files))))
        self._change(source, number, None)

    @precondition(lambda self: bool(present(self.files)))
    @rule(data=st.data(), number=NUMBERS)
    def send_a_file_again_on_another_day(self, data: st.DataObject, number: int) -> None:
        source, origin = data.draw(st.sampled_from(sorted(present(self.files))))
        self._change(source, number, self.files[source, origin])

    @precondition(lambda self: bool(present(self.files)))
    @rule(data=st.data())
    def repeat_a_files_rows(self, data: st.DataObject) -> None:
        source, number = data.draw(st.sampled_from(sorted(present(self.files))))
        rows = self.files[source, number]
        if rows and not _KEY_WIDTH[source]:
            self._change(source, number, [*rows, *rows])

    @precondition(lambda self: bool(present(self.files)))
    @rule(data=st.data())
    def remove_a_row(self, data: st.DataObject) -> None:
        source, number = data.draw(st.sampled_from(sorted(present(self.files))))
        rows = (self.files[source, number] or [])[1:]
        if rows or _KEY_WIDTH[source]:
            self._change(source, number, rows)

    @precondition(lambda self: bool(self.stale))
    @rule(data=st.data())
    def load_what_changed(self, data: st.DataObject) -> None:
        """Load landing zone and vault for the changed dates, and behind the vault exactly what that affects.

        What is affected is foretold from the files, or read from the marks that the loads left.
        """
        foretold = data.draw(st.booleans())
        affected = self.site.affected(self.stale) if foretold else {}
        for source, number in data.draw(st.permutations(sorted(self.stale))):
            self.site.load(f"ldz.ldz_{source}", DateRange(day(number), day(number)))
        for key, dates in data.draw(stale_loads(self.site, self.stale)):
            self.site.load(key, dates)
        if not self.loaded_at_all:
            affected = {key: frozenset(ALL_DATES) for key in self.site.downstream}
        elif not foretold:
            affected = self.site.stale()
        for key in (key for key in self.site.downstream if key in affected):
            for dates in ranges_of(affected[key]):
                self.site.load(key, dates)
        self.stale, self.loaded_at_all = {}, True
        self.is_as_after_a_clean_load()

    @precondition(lambda self: self.loaded_at_all)
    @rule(data=st.data(), first=NUMBERS, last=NUMBERS)
    def load_again(self, data: st.DataObject, first: int, last: int) -> None:
        """Any table, for any range, at any time: nothing may depend on how often."""
        key = data.draw(st.sampled_from(self.site.order))
        if not key.startswith("ldz.") or not self.stale:
            self.site.load(key, DateRange(day(min(first, last)), day(max(first, last))))

    def is_as_after_a_clean_load(self) -> None:
        assert differences(self.site.content(), self.site.clean_content()) == {}

    def teardown(self) -> None:
        if not self.stale and self.loaded_at_all:
            self.site.load_stale()
            self.is_as_after_a_clean_load()


def test_every_layer_is_a_function_of_the_files(open_contract_site: ContractSite) -> None:
    machine = type("Machine", (AllLayers,), {"site": open_contract_site})
    run_state_machine_as_test(machine, settings=settings(_FEW, max_examples=6, stateful_step_count=10))


@pytest.mark.slow
def test_every_layer_is_a_function_of_the_files_in_depth(open_contract_site: ContractSite) -> None:
    machine = type("Machine", (AllLayers,), {"site": open_contract_site})
    run_state_machine_as_test(machine, settings=settings(_MANY, max_examples=40, stateful_step_count=20))


SIX_DAYS: Final[dict[str, list[list[Row] | None]]] = {
    "person": [
        [("p1", "A", None), ("p2", "A", None)],
        [("p1", "B", None)],
        [("p1", "A", None), ("p2", "A", None), ("p3", "A", None)],
        [],
        None,
        [("p1", "A", None), ("p3", "A", Decimal(1))],
    ],
    "booking": [
        [("a", 1, "p1", "A", None)],
        [("a", 1, "p1", "B", None), ("a", 2, "p1", "A", None)],
        [("a", 1, "p1", "A", None), ("a", 2, "p2", "A", None)],
        None,
        [("a", 1, "p1", "A", None), ("a", 2, "p1", "A", DAY)],
        [("a", 1, "p1", "B", None)],
    ],
    "visit": [
        [("v1", "p1", "home", Decimal(1), at("2024-03-01 08:00"))],
        [
            ("v1", "p1", "cart", Decimal(2), at("2024-03-01 09:00")),
            ("v2", "p1", "home", Decimal(1), at("2024-02-28 00:00")),
        ],
        [
            ("v2", "p2", "cart", Decimal(1), at("2024-03-03 08:00")),
            ("v3", "p1", None, Decimal(1), at("2024-03-03 08:00")),
        ],
        None,
        [
            ("v3", "p3", "exit", Decimal(1), at("2024-03-02 08:00")),
            ("v1", "p1", "exit", Decimal(3), at("2024-03-04 00:00")),
        ],
        [("v2", "p2", "exit", Decimal(1), at("2024-03-06 08:00"))],
    ],
}


def test_all_720_orders_of_six_snapshots_give_the_true_history(contract: ContractSite) -> None:
    """The orders share their beginnings: each set of days is left once by each day that it lacks.

    A set is reached in the same state whatever the order, that is what is asserted; so going on from it once is enough.
    """
    days, key = SIX_DAYS["person"], "rdv.s_person_details"
    orders = {frozenset[int](): 1}
    filled = [key, "ldz.ldz_person", "cdp_metadata.landing_file", "cdp_metadata.partition_load"]
    states = {frozenset[int](): contract.save(filled)}
    for size in range(HORIZON):
        for loaded in [s for s in orders if len(s) == size]:
            for number in set(range(HORIZON)) - loaded:
                contract.restore(states[loaded], filled)
                contract.put("person", number, days[number])
                contract.load(key, DateRange(day(number), day(number)))
                reached = loaded | {number}
                expected = vault_content(contract.catalog, present({("person", n): days[n] for n in reached}))
                assert contract.content(layers=["rdv"])[key] == expected[key], (loaded, number)
                orders[reached] = orders.get(reached, 0) + orders[loaded]
                if reached not in states:
                    states[reached] = contract.save(filled)
    assert orders[frozenset(range(HORIZON))] == 720


@pytest.mark.parametrize("source", ["booking", "visit"])
def test_all_720_orders_of_six_deltas_or_days_of_events_give_the_true_history(
    contract: ContractSite, source: str
) -> None:
    """All orders at once: each has keys of its own, and a file holds what has arrived of its day in any of them.

    After each step the days are loaded one by one, and behind the vault what that makes stale; for the orders in which
    a day brings nothing new that is one more load of what is there.
    """
    orders = list(permutations(range(HORIZON)))
    files: dict[tuple[str, int], list[Row]] = {(source, number): [] for number in range(HORIZON)}
    for step in range(HORIZON):
        for replica, order in enumerate(orders):
            files[source, order[step]] += [_of_replica(row, replica) for row in SIX_DAYS[source][order[step]] or []]
        for number in orders[step * 119]:
            contract.write(source, number, files[source, number] or None)
            for key in (f"ldz.ldz_{source}", *sorted(contract.fed_by(source))):
                contract.load(key, DateRange(day(number), day(number)))
        if step == 0:
            for key in contract.downstream:
                contract.load(key, ALL_DATES)
        contract.load_stale()
    expected = vault_content(contract.catalog, files)
    assert differences(contract.content(layers=["rdv"]), expected) == {}
    assert differences(contract.content(), contract.clean_content()) == {}


@pytest.mark.slow
def test_all_720_orders_of_six_snapshots_give_every_layer_its_true_content(contract: ContractSite) -> None:
    """As above, with files, and with every table behind the vault brought in line by its marks alone."""
    days = SIX_DAYS["person"]
    filled = [*contract.order, *(f"cdp_metadata.{t}" for t in ("landing_file", "partition_load", "stale_partition"))]
    for key in contract.order:
        contract.load(key, ALL_DATES)
    states = {frozenset[int](): contract.save(filled)}
    expected: dict[frozenset[int], Content] = {}
    for size in range(HORIZON):
        for loaded in [s for s in states if len(s) == size]:
            for number in set(range(HORIZON)) - loaded:
                contract.restore(states[loaded], filled)
                reached = loaded | {number}
                for n in range(HORIZON):
                    contract.write("person", n, days[n] if n in reached else None)
                contract.load("ldz.ldz_person", DateRange(day(number), day(number)))
                contract.load_stale()
                if reached not in states:
                    states[reached], expected[reached] = contract.save(filled), contract.clean_content()
                assert differences(contract.content(), expected[reached]) == {}, (loaded, number)
    assert len(states) == 2**HORIZON


def _of_replica(row: Row, replica: int) -> Row:
    """The row with every key part told apart from those of other replicas."""
    return (f"{row[0]}-{replica}", *(f"{v}-{replica}" if isinstance(v, str) and v[0] == "p" else v for v in row[1:]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "key"),
    [("person", "rdv.s_person_details"), ("booking", "rdv.s_booking_details"), ("visit", "rdv.l_visit")],
)
def test_all_720_orders_of_six_days_one_after_the_other(contract: ContractSite, source: str, key: str) -> None:
    files: Files = {(source, number): rows for number, rows in enumerate(SIX_DAYS[source])}
    expected = vault_content(contract.catalog, present(files))[key]
    for order in permutations(range(HORIZON)):
        contract.empty(contract.warehouse)
        for number in order:
            contract.put(source, number, files[source, number])
            contract.load(key, DateRange(day(number), day(number)))
        assert contract.content(layers=["rdv"])[key] == expected, order


@pytest.fixture
def six_days(contract: ContractSite) -> ContractSite:
    """Six days of files of every source."""
    for source, files in SIX_DAYS.items():
        for number, rows in enumerate(files):
            contract.write(source, number, rows)
    for number in range(HORIZON):
        contract.write("pledge", number, [("a", 1, "p1", Decimal(number // 2))] if number != 3 else [])
    return contract


def test_loading_a_range_equals_loading_its_days_one_by_one_in_every_layer(six_days: ContractSite) -> None:
    """Behind the vault a day of events of earlier dates is followed by those dates."""
    by_range, by_day = six_days.clean_content(), six_days.clean_content(by_day=True)
    assert differences(by_day, by_range).keys() <= set(six_days.downstream)
    for key in six_days.downstream:
        for number in range(HORIZON):
            six_days.load(key, DateRange(day(number), day(number)), clean=True)
    assert differences(six_days.content(six_days.clean_warehouse), by_range) == {}


def test_loading_every_day_twice_changes_nothing_in_any_layer(six_days: ContractSite) -> None:
    six_days.load_all()
    once = six_days.content()
    assert all(once[key] for key in six_days.order)
    for number in (3, 0, 5):
        six_days.load_all(DateRange(day(number), day(number)))
    six_days.load_all()
    assert differences(six_days.content(), once) == {}


def test_every_check_passes_whatever_the_order_of_the_loads(six_days: ContractSite) -> None:
    """The checks look at what the loaders promise, and none of them holds a later load back."""
    for number in (4, 0, 5, 2, 1, 3):
        for key in six_days.order:
            if key.startswith(("ldz.", "rdv.")):
                six_days.load(key, DateRange(day(number), day(number)), checked=True)
    for key in six_days.downstream:
        six_days.load(key, ALL_DATES, checked=True)
    failed = [row for row in six_days.site.rows("cdp_metadata.check_result") if row["blocks"]]
    assert failed == []
    assert differences(six_days.content(), six_days.clean_content()) == {}
