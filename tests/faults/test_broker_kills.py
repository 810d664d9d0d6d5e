"""kill -9 of the broker under everybody's work: all wait or are started again, and the end state is the same.

`make test` kills it twice; GOVBUS_FAULTS=full twenty times.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import IsolationLevel
from confluent_kafka.admin import OffsetSpec
from faults.city_under_fire import CityUnderFire
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import PARTITIONS, PERSON, person

from govbus.kafka import clients, offsets
from govbus.kafka.settings import Settings
from govbus.ops.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3_600)]

KILLS = 20 if os.environ.get("GOVBUS_FAULTS") == "full" else 2
RESTARTS_PER_KILL = 2
"""A worker may end once by the transaction that the kill broke, and once more while the brokers find themselves."""


@pytest.fixture
def own_settings(settings: Settings, killable_stack: Stack) -> Settings:
    return replace(
        settings,
        bootstrap_servers=killable_stack.bootstrap_servers,
        registry_url=killable_stack.registry_url,
        postgres_url=killable_stack.postgres_url,
    )


@contextmanager
def broker_down(stack: Stack) -> Iterator[None]:
    """Kill the broker as a power cut would; after the context it serves again, with the same data."""
    stack.kafka.kill()
    try:
        yield
    finally:
        stack.kafka.start()
        stack.kafka.wait_ready()


def test_kills_of_the_broker(own_settings: Settings, killable_stack: Stack, tmp_path: Path, seed: int) -> None:
    """kill -9 of the broker amid everybody's work, under input that goes on, loses, doubles and reorders nothing."""
    chance = random.Random(seed)
    city = CityUnderFire(own_settings, f"t{secrets.token_hex(3)}.", tmp_path / "city", seed, supervised=True)
    try:
        city.begin()
        for _ in range(KILLS):
            with city.frozen_amid_work("worker"), broker_down(killable_stack):
                city.thaw("worker")
                time.sleep(chance.uniform(0, 3))
            city.wait_for_progress()
        restarts = city.processes["worker"].said.count("the worker ended and is started again")
        assert restarts <= KILLS * RESTARTS_PER_KILL, "it was started again and again"
        city.end()
        city.check()
    finally:
        city.close()


def test_whoever_asks_for_offsets_gets_them_after_a_restart(
    own_settings: Settings, killable_stack: Stack, tmp_path: Path
) -> None:
    """Clients that asked for offsets before the broker died get them from the one that is there afterwards."""
    bus = ExchangeBus(own_settings, f"t{secrets.token_hex(3)}.", tmp_path / "city")
    bus.upsert(person(1))
    bus.exchange()
    raws = [(bus.topics.raw(PERSON), number) for number in range(PARTITIONS)]
    onlooker = clients.consumer(own_settings, bus.topics.exchange_group)

    def ends() -> dict[offsets.Partition, offsets.LogOffset]:
        return offsets.log_offsets(bus.admin, raws, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)

    before = ends(), offsets.committed_of(onlooker, raws)
    with broker_down(killable_stack):
        pass
    assert (ends(), offsets.committed_of(onlooker, raws)) == before
    assert offsets.committed_offsets(own_settings, bus.topics.exchange_group, raws) == before[1]
    assert sum(each.offset for each in before[0].values()) == 1
    onlooker.close()
