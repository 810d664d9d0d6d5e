"""How much the random tests draw: everything by default, a twentieth with ``QUICK=1``."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest


@pytest.fixture
def cases() -> Callable[[int], int]:
    """Return a function from the number of cases a proof needs to the number to run now."""
    share = 20 if os.environ.get("QUICK") else 1
    return lambda wanted: max(20, wanted // share)
