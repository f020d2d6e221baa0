"""What becomes of each content of each file: the register's transitions by name, and their laws for any history."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cdm_assets.loading.landing import StagedFiles, register_files, staged_files
from cdm_assets.loading.landing_register import (
    LIVE,
    Look,
    RegisteredFile,
    State,
    live_files,
    places_seen_before,
    register_arrivals,
)
from cdm_assets.loading.stamp import Stamp
from cdm_assets.warehouse.landing_area import FileStamp, LandingArea, Place, archived_name
from cdm_assets_tests.small_site import DAY, Site, day

A, B, C = (
    f"customer_id,name,status,email,phone,age,credit,born,joined,seen_at,Member?\nc1,{n}{',' * 9}\n" for n in "ABC"
)
"""Three contents of one size."""
REFUSED = "no,header\n"
PLACE = ("customer", DAY)
TEN_YEARS_AGO = 1_480_000_000


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass
class Register:
    """The register of a site whose files are looked at and loaded by hand."""

    site: Site
    number: int = 0

    def deliver(self, content: str, day: date = DAY) -> Path:
        path = self.site.land_text("customer", content, day)
        self.touch(day)
        return path

    def touch(self, day: date = DAY) -> None:
        """Give the file a time of its own, whatever the clock of the file system."""
        self.number += 1
        path = self.site.path("customer", day)
        os.utime(path, (TEN_YEARS_AGO + self.number, TEN_YEARS_AGO + self.number))

    def promise(self, content: str, day: date = DAY) -> None:
        self.number += 1
        manifest = self.site.promise("customer", day, rows=content.count("\n") - 1, sha256=sha256(content))
        os.utime(manifest, (TEN_YEARS_AGO + self.number, TEN_YEARS_AGO + self.number))

    def remove(self, day: date = DAY) -> None:
        self.site.path("customer", day).unlink()

    def look(self, *days: date) -> Look:
        with self.site.warehouse.transaction() as connection:
            tables = self.site.warehouse.tables
            return register_files(connection, tables, {"customer": days or [DAY]}, self.site.area, Stamp("look"))

    def load(self, *, say_which: bool = True) -> bool:
        """Load `DAY`; returns whether it was accepted."""
        if say_which:
            return not self.site.load("customer").file_faults
        with self.staged() as files, files._stage.connection.begin():
            return not files.replace_partitions(Stamp("run")).file_faults

    @contextmanager
    def staged(self, run_id: str = "run") -> Iterator[StagedFiles]:
        """A load before it changes anything."""
        site, stamp = self.site, Stamp(run_id)
        with (
            site.warehouse.connection() as connection,
            staged_files(
                connection, site.warehouse.tables, site.source("customer"), [DAY], site.area, stamp=stamp
            ) as files,
        ):
            files.begin_loading(stamp)
            yield files

    def finish(self, files: StagedFiles, run_id: str = "run") -> None:
        with files._stage.connection.begin():
            files.replace_partitions(Stamp(run_id))

    @property
    def live(self) -> list[RegisteredFile]:
        with self.site.warehouse.connection() as connection:
            return live_files(connection, self.site.warehouse.tables).get(PLACE, [])

    @property
    def states(self) -> list[tuple[str, str]]:
        """Content and state of each row, history first, in the order of arrival."""
        rows = self.site.rows("cdp_metadata.landing_file")
        ordered = sorted(rows, key=lambda row: (row["state"] in LIVE, row["arrived_at"]))
        return [(NAMES[row["sha256"]], row["state"]) for row in ordered]

    def all_rows(self) -> list[dict[str, Any]]:
        return self.site.rows("cdp_metadata.landing_file", audit=True)

    def archived(self, content: str) -> bool:
        found = self.site.area.archived("2024-03-01/customer.csv", PLACE, sha256(content))
        return found is not None and found.path.read_bytes() == content.encode()

    @property
    def names_landed(self) -> list[str]:
        return [row["name"] for row in self.site.landed("customer")]


NAMES = {sha256(A): "A", sha256(B): "B", sha256(C): "C", sha256(REFUSED): "refused"}


@pytest.fixture
def register(site: Site) -> Register:
    return Register(site)


def test_a_file_arrives_is_being_loaded_and_is_loaded(register: Register) -> None:
    register.deliver(A)
    look = register.look()
    assert look.arrived == [PLACE]
    (row,) = register.live
    assert (row.state, row.deliveries, row.size_bytes, row.sha256) == ("arrived", 1, len(A), sha256(A))
    assert (row.file_name, row.run_id, row.arrived_at) == ("2024-03-01/customer.csv", "look", row.delivered_at)
    assert (row.rows_read, row.reason, row.gone_at) == (0, None, None)
    with register.staged("run-7") as files:
        (loading,) = register.live
        assert (loading.state, loading.run_id) == ("loading", "run-7")
        register.finish(files, "run-7")
    (loaded,) = register.live
    assert (loaded.state, loaded.run_id, loaded.arrived_at) == ("loaded", "run-7", row.arrived_at)
    assert (loaded.rows_read, loaded.rows_loaded, loaded.rows_rejected) == (1, 1, 0)
    assert loaded.load_ts > loading.load_ts > row.load_ts


def test_a_new_content_supersedes_the_loaded_one_once_it_is_loaded(register: Register) -> None:
    register.deliver(A)
    register.load()
    register.deliver(B)
    assert register.look().arrived == [PLACE]
    assert register.states == [("A", "loaded"), ("B", "arrived")]
    register.load()
    assert register.states == [("A", "superseded"), ("B", "loaded")]
    assert register.names_landed == ["B"]
    assert register.archived(A), "the superseded content stays in the archive, with its bytes"
    assert register.archived(B)


def test_a_new_content_supersedes_at_once_one_that_was_never_loaded(register: Register) -> None:
    for content in (A, B):
        register.deliver(content)
        register.look()
    assert register.states == [("A", "superseded"), ("B", "arrived")]
    assert register.archived(A)


def test_a_refused_file_is_rejected_with_the_reason_and_changes_no_row(register: Register) -> None:
    register.deliver(A)
    register.load()
    register.deliver(REFUSED)
    assert not register.load()
    assert register.states == [("A", "loaded"), ("refused", "rejected")]
    reason = register.live[-1].reason
    assert reason is not None
    assert reason.startswith("2024-03-01/customer.csv:1: columns (customer_id): added 'no', 'header'; removed")
    assert register.names_landed == ["A"]
    assert register.look() == Look(), "it is not tried again by itself"


def test_a_refused_file_delivered_again_as_it_is_has_arrived_again(register: Register) -> None:
    register.deliver(REFUSED)
    register.load()
    register.touch()
    assert register.look().delivered_again == [PLACE]
    (row,) = register.live
    assert (row.state, row.deliveries) == ("arrived", 2)
    assert not register.load()
    assert register.states == [("refused", "rejected")]


def test_a_refused_file_that_is_put_right_is_loaded_and_the_refused_one_superseded(register: Register) -> None:
    register.deliver(REFUSED)
    register.load()
    register.deliver(A)
    assert register.load()
    assert register.states == [("refused", "superseded"), ("A", "loaded")]
    assert [row.reason for row in register.live] == [None]
    assert register.archived(REFUSED)


def test_a_loaded_content_that_is_back_after_a_refused_one_is_looked_at_again(register: Register) -> None:
    register.deliver(A)
    register.load()
    register.deliver(REFUSED)
    assert not register.load()
    register.deliver(A)
    register.look()
    assert sorted(register.states) == [("A", "loaded"), ("refused", "superseded")]
    marks = register.site.warehouse.tables["cdp_metadata.stale_partition"]
    with register.site.warehouse.connection() as connection:
        marked = connection.execute(sa.select(marks.c.table_key, marks.c.business_date)).tuples().all()
    assert marked == [("ldz.ldz_customer", DAY)], "its checks tell of the refused content"


def test_a_corrected_manifest_makes_a_refused_file_arrive_again(register: Register) -> None:
    register.deliver(A)
    register.promise(B)
    assert not register.load()
    reason = register.live[-1].reason
    assert reason is not None
    assert f"expected sha256 {sha256(B)} as _manifest.json says, found {sha256(A)}" in reason
    register.promise(A)
    assert register.look().arrived == [PLACE]
    (row,) = register.live
    assert (row.state, row.deliveries) == ("arrived", 1)
    assert register.load()
    assert register.states == [("A", "loaded")]


def test_a_manifest_that_comes_later_changes_nothing_of_a_loaded_file(register: Register) -> None:
    register.deliver(A)
    register.load()
    before = register.live
    register.promise(A)
    assert register.look().arrived == []
    (row,) = register.live
    assert row.manifest_version != before[0].manifest_version
    assert (row.state, row.load_ts, row.deliveries) == ("loaded", before[0].load_ts, 1)
    assert register.look() == Look()


def test_a_content_that_was_loaded_before_another_is_loaded_again(register: Register) -> None:
    for content in (A, B, A):
        register.deliver(content)
        register.load()
    assert Counter(register.states) == {("A", "superseded"): 1, ("B", "superseded"): 1, ("A", "loaded"): 1}
    assert register.names_landed == ["A"]


def test_a_content_that_is_taken_back_before_it_was_loaded_changes_nothing(register: Register) -> None:
    register.deliver(A)
    register.load()
    register.deliver(B)
    register.look()
    register.deliver(A)
    assert register.look().delivered_again == [PLACE]
    assert register.states == [("B", "superseded"), ("A", "loaded")]
    assert register.live[0].deliveries == 2
    register.load()
    assert register.names_landed == ["A"]


def test_a_loaded_file_that_is_gone_stays_loaded_until_somebody_loads_without_it(register: Register) -> None:
    register.deliver(A)
    register.load()
    loaded_at = register.live[0].load_ts
    register.remove()
    assert register.look().gone == [PLACE]
    (row,) = register.live
    assert row.state == "loaded"
    assert row.gone_at is not None
    assert row.load_ts == loaded_at, "the rows are as they were"
    assert register.look() == Look()
    assert register.live == [row], "it is gone since the first look"
    assert register.names_landed == ["A"]


def test_a_gone_file_that_comes_back_is_no_longer_gone(register: Register) -> None:
    register.deliver(A)
    register.load()
    register.remove()
    register.look()
    register.deliver(A)
    assert register.look().delivered_again == [PLACE]
    (row,) = register.live
    assert (row.state, row.gone_at, row.deliveries) == ("loaded", None, 2)


def test_a_gone_file_that_comes_back_changed_is_a_new_content(register: Register) -> None:
    register.deliver(A)
    register.load()
    register.remove()
    register.look()
    register.deliver(B)
    register.look()
    assert [(row.state, row.gone_at is None) for row in register.live] == [("loaded", True), ("arrived", True)]
    register.load()
    assert register.states == [("A", "superseded"), ("B", "loaded")]


def test_a_file_loaded_without_is_withdrawn(site: Site) -> None:
    bought = {"customer_id": "c1", "product_id": "p1", "amount": "1.50", "bought_at": f"{DAY} 10:00:00"}
    path = site.land("purchase", [{"purchase_id": "b1", **bought}])
    site.load("purchase")
    path.unlink()
    site.load("purchase")
    (row,) = site.rows("cdp_metadata.landing_file", audit=True)
    assert (row["state"], row["run_id"]) == ("withdrawn", "run-2")
    assert row["gone_at"] is not None
    assert site.landed("purchase") == []
    site.land("purchase", [{"purchase_id": "b1", **bought}])
    site.load("purchase")
    assert [row["state"] for row in site.registered("purchase")] == ["loaded"]


def test_a_required_file_that_is_gone_is_not_withdrawn_by_a_load_that_finds_none(register: Register) -> None:
    register.deliver(A)
    register.load()
    register.remove()
    assert not register.load()
    (row,) = register.live
    assert (row.state, row.gone_at is None, row.reason) == ("loaded", False, None)
    assert register.names_landed == ["A"]


def test_a_file_gone_before_it_was_loaded_is_withdrawn_at_once(register: Register) -> None:
    register.deliver(A)
    register.look()
    register.remove()
    assert register.look().gone == [PLACE]
    assert register.states == [("A", "withdrawn")]
    assert register.archived(A)


def test_an_identical_delivery_is_counted_and_nothing_else(register: Register) -> None:
    register.deliver(A)
    register.load()
    (before,) = register.all_rows()
    register.touch()
    look = register.look()
    assert (look.arrived, look.delivered_again, look.gone) == ([], [PLACE], [])
    (after,) = register.all_rows()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"version", "deliveries", "delivered_at"}
    assert after["deliveries"] == 2
    assert register.names_landed == ["A"]


def test_a_content_that_arrives_while_another_is_being_loaded_waits_its_turn(register: Register) -> None:
    register.deliver(A)
    with register.staged() as files:
        register.deliver(B)
        register.look()
        register.finish(files)
    assert register.states == [("A", "loaded"), ("B", "arrived")], "what the partition holds is loaded"
    assert register.names_landed == ["A"]
    register.load()
    assert register.states == [("A", "superseded"), ("B", "loaded")]


def test_a_file_that_goes_away_while_it_is_being_loaded_is_loaded_and_gone(register: Register) -> None:
    register.deliver(A)
    with register.staged() as files:
        register.remove()
        register.look()
        register.finish(files)
    (row,) = register.live
    assert (row.state, row.gone_at is not None, row.rows_loaded) == ("loaded", True, 1)
    assert len(register.all_rows()) == 1


def test_a_content_that_arrives_while_another_is_being_refused_is_not_refused_with_it(register: Register) -> None:
    register.deliver(REFUSED)
    with register.staged() as files:
        register.deliver(A)
        register.look()
        register.finish(files)
    assert register.states == [("refused", "superseded"), ("A", "arrived")]
    assert [row.reason for row in register.live] == [None]


def test_a_file_that_arrives_while_a_date_is_loaded_without_it_is_not_withdrawn(site: Site) -> None:
    stamp, tables, bought = Stamp("run"), site.warehouse.tables, f"{DAY} 10:00:00"
    row = {"purchase_id": "b1", "customer_id": "c1", "product_id": "p1", "amount": "1.50", "bought_at": bought}
    with (
        site.warehouse.connection() as connection,
        staged_files(connection, tables, site.source("purchase"), [DAY], site.area, stamp=stamp) as files,
    ):
        site.land("purchase", [row])
        with connection.begin():
            register_files(connection, tables, {"purchase": [DAY]}, site.area, Stamp("look"))
        files.begin_loading(stamp)
        with connection.begin():
            files.replace_partitions(stamp)
    assert [row["state"] for row in site.registered("purchase")] == ["arrived"]


def test_what_a_killed_load_left_is_taken_up_again(register: Register) -> None:
    register.deliver(A)
    with register.staged("killed"):
        pass
    assert register.states == [("A", "loading")]
    assert register.look() == Look()
    assert register.load()
    assert register.states == [("A", "loaded")]
    assert register.names_landed == ["A"]


def test_what_a_killed_load_left_is_refused_like_any_other(register: Register) -> None:
    register.deliver(REFUSED)
    with register.staged("killed"):
        pass
    assert not register.load()
    assert register.states == [("refused", "rejected")]


def test_a_new_content_supersedes_what_a_killed_load_left(register: Register) -> None:
    register.deliver(A)
    with register.staged("killed"):
        pass
    register.deliver(B)
    register.load()
    assert register.states == [("A", "superseded"), ("B", "loaded")]


def test_a_load_again_of_a_loaded_file_that_is_now_refused_says_why_and_keeps_it(register: Register) -> None:
    register.deliver(A)
    register.load()
    register.promise(B)
    assert not register.load()
    (row,) = register.live
    assert row.state == "loaded"
    assert row.reason is not None
    assert "manifest" in row.reason
    register.promise(A)
    assert register.load()
    assert [row.reason for row in register.live] == [None]


def test_a_content_the_archive_lost_is_fetched_again_if_it_still_lies_there(register: Register) -> None:
    register.deliver(A)
    register.load()
    archived = register.site.area.archive / "customer" / f"{DAY}" / archived_name("customer.csv", sha256(A))
    archived.unlink()
    assert register.load()
    assert register.archived(A)
    archived.write_text("damaged", encoding="utf-8")
    assert register.load()
    assert register.archived(A)
    assert register.live[0].deliveries == 1


def test_a_file_that_cannot_be_read_is_known_of_and_tried_again(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register.deliver(A)

    def broken(_: LandingArea, name: str) -> IO[bytes]:
        raise OSError(errno.EIO, "Input/output error", name)

    with monkeypatch.context() as patch:
        patch.setattr(LandingArea, "_open", broken)
        look = register.look()
        assert {place: str(fault) for place, fault in look.unreadable.items()} == {
            PLACE: "[Errno 5] Input/output error: '2024-03-01/customer.csv'"
        }
        assert (look.arrived, look.still_moving, register.live) == ([], [], [])
    assert register.look().arrived == [PLACE]


@pytest.mark.parametrize(
    "fault", [ConnectionResetError("reset"), TimeoutError("slow"), OSError(errno.EBUSY, "Please reduce your rate")]
)
def test_a_landing_area_that_does_not_answer_for_a_while_refuses_no_file(
    register: Register, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    register.deliver(A)

    def failing(_: LandingArea, name: str) -> IO[bytes]:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(LandingArea, "_open", failing)
        with pytest.raises(type(fault), match=str(fault.args[-1])):
            register.look()
        with pytest.raises(type(fault), match=str(fault.args[-1])):
            register.load()
    assert register.live == []
    assert register.load()


def test_what_there_is_no_time_to_read_waits_for_the_next_look(register: Register) -> None:
    found: dict[Place, tuple[str, FileStamp | None]] = {}
    for number in range(3):
        path = register.deliver(A, day(number))
        name = str(path.relative_to(register.site.landing_root))
        found["customer", day(number)] = (name, register.site.area.stamp_of(name))
    tables = register.site.warehouse.tables
    with register.site.warehouse.transaction() as connection:
        look = register_arrivals(
            connection, tables, register.site.area, found, Stamp("look"), give_up_at=time.monotonic() - 1
        )
        assert (look.arrived, len(look.still_moving)) == ([], 3)
        look = register_arrivals(connection, tables, register.site.area, found, Stamp("look"))
    assert look.arrived == [("customer", day(number)) for number in range(3)]


def test_what_is_not_named_is_gone_only_if_everything_was_looked_at(register: Register) -> None:
    register.deliver(A)
    register.load()
    tables, area = register.site.warehouse.tables, register.site.area
    with register.site.warehouse.transaction() as connection:
        assert register_arrivals(connection, tables, area, {}, Stamp("look")) == Look()
        assert register_arrivals(connection, tables, area, {}, Stamp("look"), is_everything=True).gone == [PLACE]
        assert register_arrivals(connection, tables, area, {}, Stamp("look"), is_everything=True) == Look()


def test_a_look_at_one_date_leaves_the_others_alone(register: Register) -> None:
    for number in range(3):
        register.deliver(A, day(number))
    register.look(day(0), day(1), day(2))
    rows = register.all_rows()
    register.deliver(B, day(1))
    register.remove(day(2))
    register.look(day(1))
    after = register.all_rows()
    assert [row for row in after if row["business_date"] != day(1)] == [
        row for row in rows if row["business_date"] != day(1)
    ]
    assert sorted(row["state"] for row in after) == ["arrived", "arrived", "arrived", "superseded"]


def test_a_correction_is_told_from_a_first_arrival(register: Register) -> None:
    register.deliver(A, day(0))
    register.look(day(0))
    register.deliver(REFUSED)
    register.load()
    register.touch()
    register.deliver(A, day(1))
    register.look(day(0), day(1))
    with register.site.warehouse.connection() as connection:
        tables = register.site.warehouse.tables
        pending = [rows[-1] for rows in live_files(connection, tables, states=[State.ARRIVED]).values()]
        assert len(pending) == 2
        assert places_seen_before(connection, tables, pending) == {PLACE}


@pytest.mark.parametrize("apart_days", [1, 2])
def test_a_look_at_thousands_of_places_is_one_of_each(register: Register, apart_days: int) -> None:
    """Dates without neighbours are many ranges in one condition."""
    folder = register.site.landing_root / "2024-03-01"
    folder.mkdir()
    path = folder / "customer.csv"
    path.write_text(A, encoding="utf-8")
    stamp = register.site.area.stamp_of("2024-03-01/customer.csv")
    found: dict[Place, tuple[str, FileStamp | None]] = {
        ("customer", day(number)): ("2024-03-01/customer.csv", stamp) for number in range(0, 3000, apart_days)
    }
    tables, area = register.site.warehouse.tables, register.site.area
    with register.site.warehouse.transaction() as connection:
        assert len(register_arrivals(connection, tables, area, found, Stamp("look")).arrived) == len(found)
        assert register_arrivals(connection, tables, area, found, Stamp("look")) == Look()
        assert len(live_files(connection, tables, found)) == len(found)


CONTENTS = {"A": A, "B": B, "C": C}


class OneFile(RuleBasedStateMachine):
    """Any history of one file; the model knows what lies there, what was looked at, and what the partition holds."""

    site: Site

    def __init__(self) -> None:
        super().__init__()
        self.site.empty_all()
        self.register = Register(self.site)
        self.there: str | None = None
        """What lies in the landing area."""
        self.delivered = False
        """Whether something was delivered or touched since the last look."""
        self.known: str | None = None
        """What lay there at the last look."""
        self.held: str | None = None
        """What the partition holds."""
        self.pending: str | None = None
        """What is to be loaded."""
        self.rejected: str | None = None
        self.seen: set[str] = set()

    @rule(content=st.sampled_from(sorted(CONTENTS)))
    def deliver(self, content: str) -> None:
        self.register.deliver(CONTENTS[content])
        self.there, self.delivered = content, True

    @precondition(lambda self: self.there is not None)
    @rule()
    def touch(self) -> None:
        self.register.touch()
        self.delivered = True

    @precondition(lambda self: self.there is not None)
    @rule()
    def remove(self) -> None:
        self.register.remove()
        self.there, self.delivered = None, False

    def _looked(self) -> None:
        if self.there is None:
            self.pending = self.rejected = None
        elif self.delivered:
            self.seen.add(self.there)
            self.pending = None if self.there == self.held else self.there
            self.rejected = None
        self.known, self.delivered = self.there, False

    @rule()
    def look(self) -> None:
        self.register.look()
        self._looked()

    @rule()
    def load(self) -> None:
        accepted = self.register.load()
        self._looked()
        assert accepted == (self.there is not None)
        if self.there is not None:
            self.held, self.pending, self.rejected = self.there, None, None

    @precondition(lambda self: self.there is not None)
    @rule()
    def be_refused(self) -> None:
        """As for a column that the catalog no longer knows: not a word about it in the file."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cdm_assets.loading.landing.checked_file", _refuse)
            assert not self.register.load()
        self._looked()
        if self.there != self.held:
            self.pending, self.rejected = None, self.there

    @precondition(lambda self: self.there is not None)
    @rule()
    def be_killed_while_loading(self) -> None:
        with self.register.staged("killed"):
            pass
        self._looked()
        if self.rejected:
            assert self.rejected == self.there

    @precondition(lambda self: self.there is not None)
    @rule(content=st.sampled_from(sorted(CONTENTS)))
    def be_replaced_while_loading(self, content: str) -> None:
        with self.register.staged() as files:
            self._looked()
            self.deliver(content)
            self.register.look()
            self.register.finish(files)
        self.held, self.pending, self.rejected = self.known, None, None
        self.register.look()  # a content that is there again, and was replaced by the load, arrives again
        self._looked()

    @precondition(lambda self: self.there is not None)
    @rule()
    def be_removed_while_loading(self) -> None:
        with self.register.staged() as files:
            self._looked()
            self.remove()
            self.register.look()
            self.register.finish(files)
        self.held = self.known
        self._looked()

    @invariant()
    def the_register_says_what_the_model_knows(self) -> None:
        live = self.register.live
        loaded = [row for row in live if row.state == State.LOADED]
        others = [row for row in live if row.state != State.LOADED]
        assert len(loaded) <= 1
        assert len(others) <= 1
        assert [NAMES[row.sha256] for row in loaded] == [self.held] * (self.held is not None)
        expected = self.pending or self.rejected
        assert [NAMES[row.sha256] for row in others] == [expected] * (expected is not None)
        if others:
            assert (others[0].state == State.REJECTED) == (self.rejected is not None)
            assert others == live[-1:], "the newest content is the last"
        if loaded:
            assert (loaded[0].gone_at is not None) == (self.known is None)

    @invariant()
    def what_is_loaded_is_what_the_partition_holds(self) -> None:
        assert self.register.names_landed == [self.held] * (self.held is not None)

    @invariant()
    def every_content_ever_seen_is_in_the_archive(self) -> None:
        assert all(self.register.archived(CONTENTS[content]) for content in self.seen)
        left = [path.name for path in self.site.area.archive.rglob(".arriving*")]
        assert left == []

    @precondition(lambda self: not self.delivered and self.known == self.there)
    @invariant()
    def looking_twice_changes_nothing(self) -> None:
        before = self.register.all_rows()
        assert self.register.look() == Look()
        assert self.register.all_rows() == before


def _refuse(source: Any, day: date, content: Any, area: Any) -> None:
    from cdm_assets.warehouse.file_faults import FileFault  # noqa: PLC0415

    raise FileFault("2024-03-01/customer.csv", "columns", "refused")


def _run(site: Site, examples: int, steps: int) -> None:
    OneFile.site = site
    run_state_machine_as_test(
        OneFile,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a history would take minutes
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_the_register_is_true_after_any_history_of_a_file(site: Site) -> None:
    _run(site, examples=12, steps=14)


@pytest.mark.slow
def test_the_register_is_true_after_any_history_of_a_file_in_depth(site: Site) -> None:
    _run(site, examples=60, steps=25)
