"""Row conditions of the sources' grants, when they change while a golden view itself stays what it was."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from properties.houses import ENTITIES, KEYS, NOW_MS, REPORT, SOURCE, Houses, declared, settle
from properties.simulated_bus import SimulatedBus

TOPIC = "share.gamma.ask0.golden.house"
OPEN, SHUT = {"name": {"equals": "new"}}, {"name": {"equals": "something else"}}


@pytest.mark.parametrize(("before", "after"), [(None, SHUT), (OPEN, SHUT), (SHUT, OPEN), (SHUT, None)])
def test_a_condition_that_changes_holds_for_records_that_do_not(
    before: dict[str, object] | None, after: dict[str, object] | None, folder: Path
) -> None:
    """What a new condition keeps back stays back when another register says something, and what it frees stays free."""
    bus = SimulatedBus(folder / "state", Random(0))
    bus.apply(declared(rows=before), KEYS)
    houses = Houses(bus)
    for entity in ENTITIES:
        houses.say(SOURCE, entity, "new", NOW_MS)
    settle(bus, NOW_MS)
    assert set(bus.compacted(TOPIC)) == (set() if before == SHUT else {entity.encode() for entity in ENTITIES})
    bus.kill()
    bus.apply(declared(rows=after), KEYS)
    for entity in ENTITIES[:4]:
        houses.say(REPORT, entity, "old", NOW_MS)
    settle(bus, NOW_MS)
    assert set(bus.compacted(TOPIC)) == (set() if after == SHUT else {entity.encode() for entity in ENTITIES})
    bus.kill()
