"""How much the random tests draw: all of it, or a twentieth under the profile ``quick`` (`make check`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Return a function from the number of cases a proof needs to the number to run now."""
    quick = request.config.getoption("--hypothesis-profile") == "quick"
    return lambda wanted: max(20, wanted // 20) if quick else wanted
