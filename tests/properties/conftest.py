"""How much the random tests draw: all of it, or a twentieth under the profile ``quick`` (`make check`) or ``QUICK=1``."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Return a function from the number of cases a proof needs to the number to run now."""
    quick = request.config.getoption("--hypothesis-profile") == "quick" or bool(os.environ.get("QUICK"))
    return lambda wanted: max(20, wanted // 20) if quick else wanted
