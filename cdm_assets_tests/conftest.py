"""The tiny site, opened once; each test finds it empty."""

from collections.abc import Iterator

import pytest

from cdm_assets_tests.small_site import Site, open_site


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
