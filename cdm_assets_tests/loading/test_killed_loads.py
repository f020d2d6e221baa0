"""A load that is killed at any point leaves old or new content; two at once do not interleave."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from cdm_assets.catalog.types import Layer
from cdm_assets_tests.loading.contract_site import Content, ContractSite, at, differences
from cdm_assets_tests.loading.loading_process import load_site, opened
from cdm_assets_tests.loading.test_load_contract import SIX_DAYS

_PROCESSES: Final = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["cdm_assets_tests.loading.loading_process"])

CORRECTED: Final[dict[str, list[tuple[Any, ...]]]] = {
    "person": [("p1", "Z", None), ("p2", "A", None)],
    "booking": [("a", 1, "p3", "Z", None), ("b", 7, "p2", "A", None)],
    "pledge": [("a", 1, "p1", Decimal(9)), ("b", 7, "p2", Decimal(2))],
    "visit": [
        ("v3", "p1", "cart", Decimal(5), at("2024-03-01 08:00")),
        ("v9", "p9", "home", Decimal(1), at("2024-03-04 08:00")),
    ],
}
"""Another content for day 2 of every source."""


class SiteOnDisk:
    """Six days of files, loaded; then the file of day 2 of each source is replaced, and not yet loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = ContractSite(folder)
        for source, files in SIX_DAYS.items():
            for number, rows in enumerate(files):
                self._files.write(source, number, rows)
        for number in range(6):
            self._files.write("pledge", number, [("a", 1, "p1", Decimal(number // 2))])
        self.began = time.perf_counter()
        assert self.run("first") == 0
        self.old = self.content()
        self._saved = self.folder / "saved.duckdb"
        shutil.copy(self.folder / "site.duckdb", self._saved)
        for source, rows in CORRECTED.items():
            self._files.write(source, 2, rows)
        self.new = self._files.clean_content()

    def restore(self) -> None:
        """Bring the database back to what it held before the correction."""
        for path in self.folder.glob("site.duckdb*"):
            path.unlink()
        shutil.copy(self._saved, self.folder / "site.duckdb")

    def start(self, run_id: str) -> Any:
        process = _PROCESSES.Process(target=load_site, args=(self.folder, run_id))
        process.start()
        return process

    def run(self, run_id: str) -> int | None:
        """Load to the end; returns the exit code."""
        process = self.start(run_id)
        process.join()
        return process.exitcode

    def content(self) -> Content:
        with opened(self.folder) as (warehouse, _):
            return self._files.content(warehouse)

    def close(self) -> None:
        self._files.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteOnDisk]:
    on_disk = SiteOnDisk(tmp_path_factory.mktemp("killed"))
    yield on_disk
    on_disk.close()


def partitions(site: SiteOnDisk, content: Content) -> dict[tuple[str, date | None], list[tuple[Any, ...]]]:
    """Rows by table and date; of the vault, where a load may touch later dates, by table."""
    parts: dict[tuple[str, date | None], list[tuple[Any, ...]]] = {}
    for key, rows in content.items():
        for row in rows:
            parts.setdefault((key, None if key.startswith(Layer.VAULT) else row[0]), []).append(row)
    return parts


def kill_and_look(site: SiteOnDisk, moments: list[float]) -> int:
    """Kill a load at each of the moments (seconds after its start); returns how many were killed half way."""
    old, new = partitions(site, site.old), partitions(site, site.new)
    half_way = 0
    for number, seconds in enumerate(moments):
        site.restore()
        process = site.start(f"killed-{number}")
        time.sleep(seconds)
        process.kill()
        process.join()
        found = site.content()
        half_way += found not in (site.old, site.new)
        left = partitions(site, found)
        for part in old.keys() | new.keys() | left.keys():
            assert left.get(part) in (old.get(part), new.get(part)), f"{part}, killed after {seconds} s"
        assert site.run(f"again-{number}") == 0
        assert differences(site.content(), site.new) == {}, f"killed after {seconds} s, then loaded again"
    return half_way


def seconds_of_a_load(site: SiteOnDisk) -> float:
    site.restore()
    began = time.perf_counter()
    assert site.run("measured") == 0
    assert differences(site.content(), site.new) == {}
    return time.perf_counter() - began


def test_a_killed_load_leaves_old_or_new_content_and_the_next_one_finishes_it(site: SiteOnDisk) -> None:
    whole = seconds_of_a_load(site)
    kill_and_look(site, [whole * share for share in (0.4, 0.6, 0.8)])


@pytest.mark.slow
def test_a_load_killed_at_many_random_moments(site: SiteOnDisk) -> None:
    chance, whole = random.Random(), seconds_of_a_load(site)
    assert kill_and_look(site, [chance.uniform(0, whole) for _ in range(60)]) > 10


def test_two_loads_at_once_take_turns(site: SiteOnDisk) -> None:
    site.restore()
    processes = [site.start(f"beside-{number}") for number in range(2)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert differences(site.content(), site.new) == {}
