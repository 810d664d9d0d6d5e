"""kill -9 of adapter, worker, sink and broker under input that never ends: nothing lost, doubled or reordered.

`make test` spreads 20 kills over the three kinds of process; GOVBUS_FAULTS=full takes 20 of each kind, broker's too.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.city_under_fire import CityUnderFire

from govbus.kafka.settings import Settings
from govbus.ops.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3_600)]

FULL = os.environ.get("GOVBUS_FAULTS") == "full"
KILLS = {"worker": 20, "adapter": 20, "sink": 20} if FULL else {"worker": 8, "adapter": 6, "sink": 6}
BROKER_KILLS = 20 if FULL else 2


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


def test_kills_of_the_broker(killable_stack: Stack, tmp_path: Path, seed: int) -> None:
    """kill -9 of the broker under everybody's work: all wait or are started again, and the end state is the same."""
    settings = Settings(
        tmp_path,
        tmp_path / "home",
        killable_stack.bootstrap_servers,
        killable_stack.registry_url,
        killable_stack.postgres_url,
    )
    city = CityUnderFire(settings, f"t{secrets.token_hex(3)}.", tmp_path / "city", seed)
    try:
        city.begin()
        for _ in range(BROKER_KILLS):
            city.wait_for_progress()
            killable_stack.kafka.kill()
            time.sleep(random.Random(seed).uniform(0, 3))
            killable_stack.kafka.start()
            killable_stack.kafka.wait_ready()
            city.start_the_ended()
        city.wait_for_progress()
        city.end()
        city.check()
    finally:
        city.close()
