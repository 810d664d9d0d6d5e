"""One written city for all tests of this folder."""

from __future__ import annotations

import pytest
from city_files import Written
from stack_fixture import REPOSITORY

from govbus.ops.city import City, write_city

PEOPLE = 6_000


@pytest.fixture(scope="session")
def city(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A city of 6,000 people, of the run's own seed, with three waves of changes."""
    asked = City(PEOPLE, int(request.config.getoption("hypothesis_seed")), waves=3)
    path = tmp_path_factory.mktemp("city") / "written"
    return Written(path, asked, write_city(REPOSITORY, path, asked))
