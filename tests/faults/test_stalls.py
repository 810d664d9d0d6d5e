"""A consumer that silently reads no more is found out: the worker ends for its supervisor, a sink begins anew.

How librdkafka falls asleep cannot be had on demand; pausing its partitions behind the owner's back looks the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import psycopg
import pytest
from confluent_kafka import Producer, TopicPartition
from integration.bus_process import eventually
from integration.exchange_bus import ExchangeBus
from integration.postgres_delivery import expected, held, postgres_bus
from integration.share_bus import ASK, SUBSCRIBER, ShareBus, people
from integration.tiny_city import AID, PARTITIONS, PERSON, person

from govbus.delivery import run
from govbus.delivery.run import deliver
from govbus.delivery.share import ShareReader
from govbus.errors import Unavailable
from govbus.exchange import stalls, worker
from govbus.exchange.worker import Worker
from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def bus(
    settings: Settings, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ExchangeBus]:
    """A bus whose worker looks around often and loses patience soon."""
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(stalls, "STALLED_SECONDS", 2.0)
    monkeypatch.setattr(stalls, "RESTORE_STALLED_SECONDS", 2.0)
    return ExchangeBus(settings, topic_prefix, tmp_path / "city")


@contextmanager
def working(bus: ExchangeBus) -> Iterator[tuple[Worker, Future[None]]]:
    """Yield a live worker on a thread, and what it will have ended with."""
    live = bus.worker()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(live.run)
        try:
            eventually(lambda: ended.done() or sum(each.live for each in live.partitions.values()) == PARTITIONS)
            yield live, ended
        finally:
            live.stop()


@pytest.mark.parametrize("asleep", ["raw", "tick"])
def test_a_partition_that_is_not_read_any_more_ends_the_worker(bus: ExchangeBus, asleep: str) -> None:
    """Of an input or of the clock: the worker says which one and ends, and its successor reads on."""
    bus.upsert(person(1))
    bus.flush()
    topic = bus.topics.raw(PERSON) if asleep == "raw" else bus.topics.tick
    with working(bus) as (live, ended):
        eventually(lambda: len(bus.shared(AID)) == 1)
        live._consumer.pause([TopicPartition(topic, number) for number in range(PARTITIONS)])
        bus.upsert(person(1, income=1))
        bus.flush()
        with pytest.raises(Unavailable, match=r"partition \d is not read any more"):
            ended.result(60)
    bus.exchange()
    bus.check()


def test_marks_of_transactions_are_no_records_that_are_missed(
    bus: ExchangeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A department that writes in transactions leaves marks at the end of its log: the worker works on."""
    producer = Producer(
        {"bootstrap.servers": bus.settings.need_bootstrap_servers(), "transactional.id": bus.topics.prefix + "police"}
    )
    producer.init_transactions(30)
    probes: list[tuple[Any, ...]] = []
    with working(bus) as (live, ended):
        look = live._stalls._is_readable

        def noted(*where: Any) -> bool:
            probes.append(where)
            return look(*where)

        monkeypatch.setattr(live._stalls, "_is_readable", noted)
        producer.begin_transaction()
        key = bus.key(PERSON, person(1))
        producer.produce(
            bus.topics.raw(PERSON), bus.value(PERSON, person(1), bus.version()), key, crc32(key) % PARTITIONS
        )
        producer.commit_transaction(30)
        eventually(lambda: probes)
        probed = list(probes)
        bus.upsert(person(2))
        bus.flush()
        eventually(lambda: ended.done() or len(bus.shared(AID)) == 2)
        assert not ended.done()
        assert probes == probed, "the same end is looked at once"
    ended.result(60)
    bus.check()


def test_a_restore_that_does_not_move_ends_the_worker(bus: ExchangeBus) -> None:
    """What waits for a transaction that nobody ends is ended and started again, until that is over."""
    bus.upsert(person(1))
    bus.exchange()
    stranger = Producer(
        {
            "bootstrap.servers": bus.settings.need_bootstrap_servers(),
            "transactional.id": bus.topics.prefix + "stranger",
            "transaction.timeout.ms": 60_000,
        }
    )
    stranger.init_transactions(30)
    stranger.begin_transaction()
    stranger.produce(bus.topics.current(PERSON), b"never seen", b"nobody", 0)
    stranger.flush(30)
    bus.upsert(person(1, income=1))
    bus.flush()
    with pytest.raises(Unavailable, match="the restore has not moved"):
        bus.worker().run()
    stranger.abort_transaction(30)
    bus.exchange()
    assert bus.check()[AID].keys() == {bus.key(PERSON, person(1))}


def test_a_sink_that_is_not_handed_what_there_is_reads_anew(
    settings: Settings, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Share partitions that are not read any more get a new reader; the table holds everything once."""
    readers: list[ShareReader] = []

    class Noted(ShareReader):
        def __init__(self, settings: Settings, group: str) -> None:
            super().__init__(settings, group)
            readers.append(self)

    monkeypatch.setattr(run, "ShareReader", Noted)
    monkeypatch.setattr(run, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(run, "STALLED_SECONDS", 2.0)
    with postgres_bus(settings, topic_prefix) as bus, ThreadPoolExecutor(1) as pool:
        bus.apply()
        bus.send(people(0, 10))
        enough = threading.Event()
        ended = pool.submit(deliver, settings, bus.topics, SUBSCRIBER, ASK, stop=enough)
        try:
            eventually(lambda: rows(bus) == 10)
            readers[-1]._consumer.pause([TopicPartition(*place) for place in readers[-1].positions])
            bus.send(people(10, 10))
            eventually(lambda: rows(bus) == 20)
            assert len(readers) == 2
        finally:
            enough.set()
        ended.result(60)
        assert held(bus) == expected(bus)


def rows(bus: ShareBus) -> int:
    try:
        return len(held(bus))
    except psycopg.errors.UndefinedTable:
        return 0
