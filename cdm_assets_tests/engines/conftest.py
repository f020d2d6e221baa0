"""Servers that the tests of the engines start themselves, once a worker."""

from collections.abc import Iterator

import pytest

from cdm_assets_tests.engines.fakesnow_server import FakesnowServer
from cdm_assets_tests.engines.fakesnow_server import running_server as running_fakesnow
from cdm_assets_tests.engines.postgres_server import PostgresServer, running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; `new_database()` gives each test one of its own."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def fakesnow() -> Iterator[FakesnowServer]:
    """A stand-in for Snowflake; `new_database()` gives each test one of its own."""
    with running_fakesnow() as server:
        yield server
