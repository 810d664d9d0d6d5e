"""A worker that was asleep while others went on, and two workers of one name: exactly one of them works."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec
from faults.share_records import nothing_doubled
from integration.bus_process import BusProcess, eventually, running
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID, PARTITIONS, person

from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> ExchangeBus:
    return ExchangeBus(settings, topic_prefix, tmp_path / "city")


def restored(worker: BusProcess, partitions: int = PARTITIONS) -> None:
    eventually(lambda: worker.said.count("partition restored") >= partitions or not worker.running)
    assert worker.running, worker.said


def has_open_transaction(bus: ExchangeBus) -> bool:
    """Whether something lies in the ask's topic that no reader of committed records may see yet."""
    topics = [TopicPartition(bus.topics.share(AID), number) for number in range(PARTITIONS)]

    def ends(isolation: IsolationLevel) -> list[int]:
        found = bus.admin.list_offsets({each: OffsetSpec.latest() for each in topics}, isolation_level=isolation)
        return [future.result(30).offset for future in found.values()]

    stable = ends(IsolationLevel.READ_COMMITTED)
    return ends(IsolationLevel.READ_UNCOMMITTED) != stable


def test_a_worker_asleep_in_its_transaction_is_fenced(bus: ExchangeBus) -> None:
    """Stopped inside a transaction, past its session, and continued: it is fenced and ends, and nothing is doubled."""
    count = 0
    with running(bus, "exchange", "--worker-id", "w1") as sleeper:
        restored(sleeper)
        for _ in range(100):
            for number in range(count, count + 1_000):
                bus.upsert(person(number))
            count += 1_000
            bus.flush()
            sleeper.signal(signal.SIGSTOP)
            if has_open_transaction(bus):
                break
            sleeper.signal(signal.SIGCONT)
        assert has_open_transaction(bus)
        with running(bus, "exchange", "--worker-id", "w2") as heir:
            restored(heir)
            eventually(lambda: len(bus.read(bus.topics.share(AID))) == count)
            sleeper.signal(signal.SIGCONT)
            for number in range(200):
                bus.upsert(person(number, income=1))
            bus.flush()
            assert sleeper.wait() != 0
            eventually(lambda: len(bus.read(bus.topics.share(AID))) == count + 200)
            assert heir.running, heir.said
            nothing_doubled(bus, count + 200)


def test_a_worker_that_slept_through_its_session_says_nothing_twice(bus: ExchangeBus) -> None:
    """Stopped idle past its session and continued, a worker takes no part with what it held before it fell asleep."""
    with running(bus, "exchange", "--worker-id", "w1") as sleeper:
        restored(sleeper)
        for number in range(500):
            bus.upsert(person(number))
        bus.flush()
        eventually(lambda: len(bus.read(bus.topics.share(AID))) == 500)
        sleeper.signal(signal.SIGSTOP)
        for number in range(500, 1_000):
            bus.upsert(person(number))
        bus.flush()
        with running(bus, "exchange", "--worker-id", "w2") as heir:
            restored(heir)
            eventually(lambda: len(bus.read(bus.topics.share(AID))) == 1_000)
            sleeper.signal(signal.SIGCONT)
            for number in range(1_000):
                bus.upsert(person(number, income=1))
            bus.flush()
            eventually(lambda: len(bus.read(bus.topics.share(AID))) == 2_000)
            assert heir.running, heir.said
            nothing_doubled(bus, 2_000)


def test_of_two_workers_of_one_name_one_survives(bus: ExchangeBus) -> None:
    """The second to take an id ends the first, which exits with an error; what is shared is shared once."""
    with running(bus, "exchange", "--worker-id", "w1") as first:
        restored(first)
        for number in range(300):
            bus.upsert(person(number))
        bus.flush()
        eventually(lambda: len(bus.read(bus.topics.share(AID))) == 300)
        with running(bus, "exchange", "--worker-id", "w1") as second:
            for number in range(300, 600):
                bus.upsert(person(number))
            bus.flush()
            eventually(lambda: first.running != second.running)
            (survivor,) = [each for each in (first, second) if each.running]
            eventually(lambda: len(bus.read(bus.topics.share(AID))) == 600)
            assert survivor.running, survivor.said
            (ended,) = [each for each in (first, second) if not each.running]
            assert ended.process.returncode != 0
            nothing_doubled(bus, 600)
