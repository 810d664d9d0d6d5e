"""Which of two versions of a record holds."""

from __future__ import annotations

import pytest

from govbus.rules.version import Verdict, compare


@pytest.mark.parametrize(
    ("held", "incoming", "same", "verdict"),
    [
        (None, (0, 1), False, Verdict.ACCEPTED),
        ((0, 1), (0, 2), False, Verdict.ACCEPTED),
        ((0, 1), (0, 2), True, Verdict.ACCEPTED),
        ((0, 2), (0, 1), False, Verdict.STALE),
        ((0, 2), (0, 1), True, Verdict.STALE),
        ((0, 2), (0, 2), True, Verdict.DUPLICATE),
        ((0, 2), (0, 2), False, Verdict.CONFLICT),
        ((0, 2**62), (1, 1), False, Verdict.ACCEPTED),
        ((1, 1), (0, 2**62), False, Verdict.STALE),
    ],
)
def test_the_higher_version_holds(
    held: tuple[int, int] | None, incoming: tuple[int, int], same: bool, verdict: Verdict
) -> None:
    """The epoch decides first, then the version; equal ones are a duplicate or a conflict by their values."""
    assert compare(held, incoming, same=same) is verdict
