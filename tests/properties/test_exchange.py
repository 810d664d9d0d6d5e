"""The exchange as a whole equals the oracle: for random cities, records, orders, faults, revisions and crashes."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from oracle.structure import OPERANDS
from properties.simulated_bus import SimulatedBus
from properties.story import BAD_REASONS, Story, tell

from govbus.exchange import difference
from govbus.exchange import partition as assigned


def test_the_bus_delivers_what_the_oracle_says(
    seed: int, cases: Callable[[int], int], folder: Path, monkeypatch: pytest.MonkeyPatch, kernels: None
) -> None:
    """Share topics equal the oracle's views of the latest records, whatever came in which order, and wherever it died.

    Covers late records, repeats, conflicts, deletions and returns, bad records of every reason, structural checks of
    every rule, other block layouts, older schemas, terms that end, new revisions of everything, lost states and
    compacted logs.
    """
    monkeypatch.setattr(assigned, "SLICE_RECORDS", 2)
    tally: Counter[str] = Counter()
    for number in range(cases(240)):
        rng = Random(f"{seed}/exchange/{number}")
        # Every other bus takes records in by compiled kernels wherever they can, the others never.
        monkeypatch.setattr(difference, "LEAST_IN_BULK", 1 if number % 2 else 10**9)
        story = Story(rng, SimulatedBus(folder / str(number), rng), tally=tally)
        tell(story, rng.randint(4, 16), deadly=rng.random() < 0.7)
        tally.update({f"rejected: {reason}": count for reason, count in story.bus.rejected.items()})
        tally.update({f"failed: {rule}": count for (rule, _), count in story.bus.failed.items()})
        shutil.rmtree(folder / str(number))
        tally.update(story.bus.verdicts, usual=story.bus.usual, unusual=story.bus.unusual, in_bulk=story.bus.in_bulk)
    assert all(tally[what] for what in ("rows", "deaths", "revise", "wait", "accepted", "duplicate", "stale", "usual"))
    if number > 100:
        assert tally["in_bulk"]
        assert not [reason for reason in BAD_REASONS if not tally[f"rejected: {reason}"]]
        assert not [rule for rule in OPERANDS if not tally[f"failed: {rule}"]]
