"""The tiny site, opened once; each test finds it empty."""

from collections.abc import Generator, Iterator

import pytest

from cdm_assets_tests.engines.evidence import refuse_to_be_skipped
from cdm_assets_tests.small_site import Site, open_site


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that docs/engines.md says runs must not be skipped."""
    report = yield
    refuse_to_be_skipped(report)
    return report


@pytest.fixture(scope="session")
def open_small_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The one that all tests of a session share; use `site`."""
    with open_site(tmp_path_factory.mktemp("small_site")) as site:
        yield site


@pytest.fixture
def site(open_small_site: Site) -> Site:
    """The tiny site without files and rows."""
    open_small_site.empty_all()
    return open_small_site
