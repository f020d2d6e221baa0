"""The site of the load contract, opened once; each test finds it empty."""

from collections.abc import Iterator

import pytest

from cdm_assets_tests.loading.contract_site import ContractSite


@pytest.fixture(scope="session")
def open_contract_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractSite]:
    site = ContractSite(tmp_path_factory.mktemp("contract"))
    yield site
    site.close()


@pytest.fixture
def contract(open_contract_site: ContractSite) -> ContractSite:
    open_contract_site.forget()
    return open_contract_site
