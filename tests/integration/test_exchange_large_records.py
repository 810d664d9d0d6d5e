"""Records near the city's limit travel like small ones: no batch is made that the topics would not take."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID, MAX_RECORD_BYTES, person

from govbus import metrics
from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack


def test_many_large_records_at_once(settings: Settings, topic_prefix: str, tmp_path: Path, seed: int) -> None:
    """A hundred records that cannot be compressed, each a quarter of what is allowed, go through at the first try."""
    bus = ExchangeBus(settings, topic_prefix, tmp_path / "city")
    chance = random.Random(seed)
    for number in range(100):
        bus.upsert(person(number, name=chance.randbytes(MAX_RECORD_BYTES // 8).hex()))
        bus.flush()
    aborted = metrics.EXCHANGE_TRANSACTIONS.labels(outcome="aborted")
    before = aborted._value.get()
    bus.exchange()
    assert aborted._value.get() == before
    assert len(bus.check()[AID]) == 100
