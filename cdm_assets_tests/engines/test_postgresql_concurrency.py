"""Loads at the same time on PostgreSQL: they take turns where they must, and end as one after the other would."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest
import sqlalchemy as sa

from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.locks import take_turns
from cdm_assets.warehouse.postgresql import create_engine
from cdm_assets.warehouse.transient import is_transient
from cdm_assets_tests.engines.postgres_server import PostgresServer
from cdm_assets_tests.loading.contract_site import ALL_DATES, ContractSite, at, day, no_checks

_AT_ONCE = 3
_DAYS = 3


@pytest.fixture
def contract(postgres: PostgresServer, tmp_path: Path) -> Iterator[ContractSite]:
    site = ContractSite(tmp_path / "site", engine=create_engine(postgres.new_database()))
    yield site
    site.close()


def _write_files(site: ContractSite, *, raised: int = 0) -> None:
    for number in range(_DAYS):
        site.write("person", number, [(f"p{n}", f"name {n + number + raised}", 1 + n) for n in range(6)])
        site.write("booking", number, [("s", n, f"p{n}", f"status {number}", day(9)) for n in range(number, 5)])
        site.write("pledge", number, [("s", n, f"p{n}", n + raised) for n in range(5)])
        visits = [(f"v{number}{n}", f"p{n}", "home", n + raised, at(f"2024-03-0{1 + number} 08:00")) for n in range(5)]
        site.write("visit", number, visits)


def _load_in_threads(site: ContractSite, loads: list[tuple[str, DateRange]]) -> None:
    def load(number_and_load: tuple[int, tuple[str, DateRange]]) -> None:
        number, (key, dates) = number_and_load
        context = LoadContext(site.warehouse, site.site.area, "k" * 32, f"thread{number}")
        for _ in range(10):
            try:
                site.loads.load(key, dates, context)
            except sa.exc.DBAPIError as fault:  # as Dagster's retry policy of each step does
                if not is_transient(fault):
                    raise
                time.sleep(0.05)
            else:
                return
        pytest.fail(f"{key} could not be loaded in ten attempts")

    # In such an order a check rightly holds back what is published; here it is about the rows.
    with mock.patch.object(TableLoads, "_check", no_checks), ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(load, enumerate(loads)))


def test_loads_at_once_in_any_order_end_as_one_clean_load(contract: ContractSite) -> None:
    dates = DateRange(day(0), day(_DAYS - 1))
    shuffled = random.Random(6)
    for raised in (0, 7):
        _write_files(contract, raised=raised)
        loads = [(key, DateRange(one, one)) for key in contract.order for one in dates]
        shuffled.shuffle(loads)
        _load_in_threads(contract, loads)
    contract.load_stale()
    found, clean = contract.content(), contract.clean_content(dates)
    assert [key for key in clean if found[key] != clean[key]] == []


def test_a_load_waits_for_the_end_of_one_that_changes_what_it_reads(contract: ContractSite) -> None:
    _write_files(contract)
    contract.load_all(ALL_DATES)
    written, read = contract.tables["itf.person"], contract.tables["rdv.h_person"]
    began, ended = threading.Event(), threading.Event()

    def load_reader() -> None:
        began.set()
        contract.load("itf.person", ALL_DATES)
        ended.set()

    with ThreadPoolExecutor(1) as thread, contract.warehouse.transaction() as connection:
        take_turns(connection, read)
        loading = thread.submit(load_reader)
        assert began.wait(10)
        assert not ended.wait(1), "the load of the reader goes on while the hub is being loaded"
        with contract.warehouse.connection() as analyst:
            assert analyst.execute(sa.select(sa.func.count()).select_from(written)).scalar_one() > 0
        connection.commit()
        loading.result(60)
    assert ended.is_set()
