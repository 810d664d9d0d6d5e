"""A term that ends while the worker runs: by the brokers' clock, at midnight in China, to the millisecond.

Ticks carry the brokers' clock. To have it run ahead, the test city's tick topic takes the sender's time instead of the
broker's, and the test sends ticks of tomorrow. Workers know no other clock, so to them it is tomorrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zlib import crc32

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, OffsetSpec, ResourceType
from integration.bus_process import BusProcess, eventually, running
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID, PARTITIONS, PLACES, STATISTICS, person

from govbus.kafka.settings import Settings
from govbus.rules.share import CHINA_STANDARD_TIME

pytestmark = pytest.mark.stack

LAST_DAY: date = datetime.now(CHINA_STANDARD_TIME).date() + timedelta(days=1)
END_MS = int(datetime.combine(LAST_DAY + timedelta(days=1), time(), CHINA_STANDARD_TIME).timestamp() * 1000)
COUNT = 60


def _edit(documents: dict[str, dict[str, object]]) -> None:
    """School's grant for places and its ask for statistics end with tomorrow; care's stay."""
    grants = documents["producers/police/person.yaml"]["grants"]
    assert isinstance(grants, list)
    grants[0]["until"] = LAST_DAY.isoformat()
    documents["consumers/school/statistics.yaml"]["until"] = LAST_DAY.isoformat()


def set_config(bus: ExchangeBus, topic: str, name: str, value: str) -> None:
    change = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
    for future in bus.admin.incremental_alter_configs([resource]).values():
        future.result(30)


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> ExchangeBus:
    bus = ExchangeBus(settings, topic_prefix, tmp_path / "city", edit=_edit)
    set_config(bus, bus.topics.tick, "message.timestamp.type", "CreateTime")
    # Share records are dated by the clock that their worker knows: the broker has to take those of tomorrow too.
    for topic in (bus.topics.tick, *(bus.topics.share(view) for view in (PLACES, STATISTICS, AID))):
        set_config(bus, topic, "message.timestamp.after.max.ms", str(2**62))
    return bus


@pytest.fixture
def worker(bus: ExchangeBus) -> Iterator[BusProcess]:
    with running(bus, "exchange") as worker:
        publish(bus, income=1)
        eventually(lambda: len(bus.shared(STATISTICS)) == COUNT)
        yield worker


def publish(bus: ExchangeBus, income: int) -> None:
    for number in range(COUNT):
        bus.upsert(person(number, income=income, division=f"89{10 + income}01"))
    bus.flush()


def tick(bus: ExchangeBus, at_ms: int, partitions: range = range(PARTITIONS)) -> None:
    """Tell *partitions* that it is *at_ms* now."""
    clock = Producer({"bootstrap.servers": bus.settings.need_bootstrap_servers()})
    for number in partitions:
        clock.produce(bus.topics.tick, b"", partition=number, timestamp=at_ms)
    assert clock.flush(30) == 0


def extents(bus: ExchangeBus, view: str) -> list[tuple[int, int]]:
    """Return begin and end of each partition of a view's share topic."""
    places = [TopicPartition(bus.topics.share(view), number) for number in range(PARTITIONS)]
    begins, ends = (
        [future.result(30).offset for future in bus.admin.list_offsets(dict.fromkeys(places, spec)).values()]
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
    )
    return list(zip(begins, ends, strict=True))


def records(bus: ExchangeBus, view: str) -> dict[int, int]:
    """Return, per partition that has any, how many records with a value are left in a view's share topic."""
    return Counter(each.partition for each in bus.read(bus.topics.share(view)) if each.value is not None)


def when(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def test_a_term_ends_while_the_worker_runs(bus: ExchangeBus, worker: BusProcess) -> None:
    """Up to the last millisecond everything flows; from then on what was there is withdrawn and nothing leaves."""
    tick(bus, END_MS - 1)
    publish(bus, income=2)
    eventually(lambda: bus.shared(STATISTICS) == bus.expected(when(END_MS - 1))[STATISTICS])
    eventually(lambda: bus.shared(AID) == bus.expected(when(END_MS - 1))[AID])
    assert bus.shared(PLACES) == bus.expected(when(END_MS - 1))[PLACES]
    assert len(bus.shared(PLACES)) > COUNT / 2

    tick(bus, END_MS)
    eventually(lambda: not bus.shared(STATISTICS) and not bus.shared(PLACES))
    # Nobody who comes later can read what was there: under keys in clear the records themselves are gone.
    eventually(lambda: not records(bus, PLACES))
    silent = {view: extents(bus, view) for view in (PLACES, STATISTICS)}

    publish(bus, income=3)
    for number in range(COUNT // 2):
        bus.delete(person(number))
    bus.flush()
    eventually(lambda: bus.shared(AID) == bus.expected(when(END_MS))[AID])
    assert len(bus.shared(AID)) == COUNT - COUNT // 2
    assert {view: extents(bus, view) for view in (PLACES, STATISTICS)} == silent
    assert worker.running, worker.said


def test_each_partition_goes_by_its_own_clock(bus: ExchangeBus, worker: BusProcess) -> None:
    """A partition whose clock has come to the end withdraws its rows; the others do so when theirs has."""
    before = bus.shared(PLACES)
    assert records(bus, PLACES).keys() == set(range(PARTITIONS))
    tick(bus, END_MS, range(1))
    eventually(lambda: records(bus, PLACES).keys() == set(range(1, PARTITIONS)))
    assert {key: value for key, value in before.items() if crc32(key) % PARTITIONS} == bus.shared(PLACES)
    tick(bus, END_MS)
    eventually(lambda: bus.shared(PLACES) == {})
    assert worker.running, worker.said
