"""What is held of an entity's reports comes back as it was put away, whatever it is."""

from __future__ import annotations

from random import Random

import pytest

from govbus.exchange.golden import Said
from govbus.exchange.said import packed, unpacked
from govbus.rules.crosscheck import Report


def drawn(rng: Random) -> Said | None:
    """Return what a dataset may say, at the edges more often than not; None: nothing."""
    if rng.random() < 0.2:
        return None
    values = tuple(
        None if rng.random() < 0.3 else rng.randbytes(rng.choice([0, 1, 63, 64, 300]))
        for _ in range(rng.choice([0, 1, 2, 3, 40, 300]))
    )
    version, changed_at = rng.choice([1, 2**62, rng.getrandbits(62)]), rng.choice([0, -1, -(2**63), 2**63 - 1, 10**15])
    report = Report(values, rng.choice([0, 1, 2**31]), version, changed_at)
    released = rng.choice([0, 1, 2**32 - 1, 2**32, rng.getrandbits(100), 1 << 1000])
    return Said(report, rng.randbytes(rng.choice([0, 1, 18, 70_000])), released)


def test_what_was_packed_is_unpacked(seed: int) -> None:
    """Any number of values and conditions, keys of any length, times of any sign, datasets that say nothing."""
    rng = Random(seed)
    for _ in range(200):
        said = [drawn(rng) for _ in range(rng.randint(0, 6))]
        numbers = rng.sample(range(65_536), len(said))
        stored = packed(said, numbers)
        assert unpacked(stored, {number: place for place, number in enumerate(numbers)}) == said


@pytest.mark.parametrize("stored", [None, b""])
def test_an_entity_of_which_nothing_is_held_has_no_reports(stored: bytes | None) -> None:
    """Neither what was never put away nor what is empty says anything."""
    assert unpacked(stored, {3: 0, 1: 1}) == [None, None]
