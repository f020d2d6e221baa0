"""The public data and a written fortnight, shared by the tests of the demo."""

from datetime import date
from pathlib import Path

import pytest

from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.landing_area import write_landing_area

FORTNIGHT = (date(2017, 1, 1), date(2017, 1, 14))


@pytest.fixture(scope="session")
def journey() -> CompleteJourney:
    """The public data."""
    return CompleteJourney()


@pytest.fixture(scope="session")
def fortnight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landing area of the first two weeks; tests only read it."""
    root = tmp_path_factory.mktemp("fortnight")
    write_landing_area(root=root, start=FORTNIGHT[0], end=FORTNIGHT[1])
    return root
