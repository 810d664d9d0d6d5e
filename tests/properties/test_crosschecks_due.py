"""What the clock alone changes: many entities due at one instant, and a worker that dies among them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from properties.houses import ENTITIES, HOUR_MS, KEYS, NOW_MS, REPORT, SOURCE, Houses, declared, settle
from properties.simulated_bus import Died, SimulatedBus

from govbus.exchange import partition as assigned


@pytest.fixture
def houses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Houses:
    """Seven houses whose report lags, all of them until the same instant two hours from now."""
    monkeypatch.setattr(assigned, "SLICE_RECORDS", 2)
    bus = SimulatedBus(folder / "state", Random(0))
    bus.apply(declared(), KEYS)
    houses = Houses(bus)
    for entity in ENTITIES:
        houses.say(SOURCE, entity, "new", NOW_MS)
        houses.say(REPORT, entity, "old", NOW_MS - HOUR_MS)
    settle(bus, NOW_MS)
    assert not houses.check(NOW_MS).discrepancies
    return houses


DUE_MS = NOW_MS + 2 * HOUR_MS


def dies_after(bus: SimulatedBus, chances: int) -> Callable[[float], None]:
    """Return a stand-in for chance: the worker survives so many weak points and dies at the next one."""
    left = iter(range(chances))

    def die(_chance: float) -> None:
        if next(left, None) is None:
            raise Died

    return die


def test_grace_ends_at_its_very_millisecond(houses: Houses) -> None:
    """One millisecond before, nothing differs; at the end, everything does; and nothing is said twice."""
    settle(houses.bus, DUE_MS - 1)
    assert not houses.check(DUE_MS - 1).discrepancies
    settle(houses.bus, DUE_MS)
    assert len(houses.check(DUE_MS).discrepancies) == len(ENTITIES)
    settle(houses.bus, DUE_MS + HOUR_MS)
    houses.check(DUE_MS + HOUR_MS)
    houses.bus.kill()


@pytest.mark.parametrize("lose_state", [False, True], ids=["state kept", "state lost"])
@pytest.mark.parametrize("revised", [False, True], ids=["same revision", "new revision"])
@pytest.mark.parametrize("chances", range(9))
def test_what_is_due_is_said_once_wherever_the_worker_dies(
    houses: Houses, chances: int, lose_state: bool, revised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies while it judges what is due leaves nothing out, and what it has said is not said again."""
    bus = houses.bus
    with monkeypatch.context() as context, contextlib.suppress(Died):
        context.setattr(bus, "_maybe_die", dies_after(bus, chances))
        bus.tick(DUE_MS)
    bus.kill(lose_state=lose_state)
    if revised:
        bus.apply(declared(comparator="name_zh"), KEYS)
    # Meanwhile some reports were put right, and one source was.
    for entity in ENTITIES[:3]:
        houses.say(REPORT, entity, "new", DUE_MS, DUE_MS)
    houses.say(SOURCE, ENTITIES[3], "old", DUE_MS, DUE_MS)
    settle(bus, DUE_MS)
    assert len(houses.check(DUE_MS).discrepancies) == len(ENTITIES) - 4
    settle(bus, DUE_MS + HOUR_MS)
    houses.check(DUE_MS + HOUR_MS)
    bus.kill()
