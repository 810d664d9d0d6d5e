"""kill -9 of adapter, worker and sink under input that never ends: nothing lost, doubled or reordered.

`make test` spreads 20 kills over the three kinds of process; GOVBUS_FAULTS=full takes 20 of each kind.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.city_under_fire import CityUnderFire

from govbus.kafka.settings import Settings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3_600)]

FULL = os.environ.get("GOVBUS_FAULTS") == "full"
KILLS = {"worker": 20, "adapter": 20, "sink": 20} if FULL else {"worker": 8, "adapter": 6, "sink": 6}


@pytest.fixture
def city(settings: Settings, topic_prefix: str, tmp_path: Path, seed: int) -> Iterator[CityUnderFire]:
    city = CityUnderFire(settings, topic_prefix, tmp_path / "city", seed)
    try:
        yield city
    finally:
        city.close()


def test_kills_of_processes(city: CityUnderFire, seed: int) -> None:
    """Whatever is killed amid its work, in any order: share topics, tables and every reader hold what the files say."""
    kills = [kind for kind, count in KILLS.items() for _ in range(count)]
    random.Random(seed).shuffle(kills)
    city.begin()
    for kind in kills:
        city.kill_amid_work(kind)
    city.end()
    city.check()
