"""The load contract on PostgreSQL: every test of `loading` that states it, against a server instead of DuckDB.

Clean loads, with which they compare, still go to DuckDB: that both engines hold the same rows is part of each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdm_assets.warehouse.postgresql import create_engine
from cdm_assets_tests.engines.postgres_server import PostgresServer
from cdm_assets_tests.loading.contract_site import ContractSite
from cdm_assets_tests.loading.test_load_contract import *  # noqa: F403
from cdm_assets_tests.loading.test_load_contract import six_days  # noqa: F401
from cdm_assets_tests.loading.test_satellites import *  # noqa: F403
from cdm_assets_tests.loading.test_staleness import *  # noqa: F403
from cdm_assets_tests.loading.test_staleness import loaded  # noqa: F401
from cdm_assets_tests.loading.test_vault_keys import *  # noqa: F403


@pytest.fixture(scope="session")
def open_contract_site(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractSite]:
    engine = create_engine(postgres.new_database())
    site = ContractSite(tmp_path_factory.mktemp("contract_on_postgresql"), engine=engine)
    yield site
    site.close()


@pytest.fixture
def contract(open_contract_site: ContractSite) -> ContractSite:
    open_contract_site.forget()
    return open_contract_site
