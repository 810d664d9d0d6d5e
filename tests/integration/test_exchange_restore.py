"""The exchange's state can be lost, cut short or taken over: no subscriber sees any difference."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from integration.bus_process import BusProcess, eventually, running
from integration.committed import Seen
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID, PARTITIONS, PERSON, PLACES, citizen_id, person
from rocksdict import AccessType, Options, Rdict

from govbus import metrics
from govbus.exchange.progress import ProgressFormatError
from govbus.exchange.state import StateFormatError
from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> ExchangeBus:
    return ExchangeBus(settings, topic_prefix, tmp_path / "city")


def everything_shared(bus: ExchangeBus) -> dict[str, list[Seen]]:
    return {view: bus.read(bus.topics.share(view)) for view in bus.revision.view_schema_ids}


def compact(bus: ExchangeBus, topic: str) -> None:
    """Have the broker compact *topic* soon: small segments, cleaned at any share of waste."""
    settings = {"segment.ms": "200", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "500"}
    resource = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
        ],
    )
    for future in bus.admin.incremental_alter_configs([resource]).values():
        future.result(30)


def test_state_lost_after_compaction_with_stale_records_last(bus: ExchangeBus) -> None:
    """With the state gone, `current` compacted and stale records last in raw, subscribers see not one record more."""
    compact(bus, bus.topics.current(PERSON))
    first = [bus.upsert(person(number)) for number in range(40)]
    for step in range(5):
        for number in range(40):
            bus.upsert(person(number, income=step, sex="12"[step % 2]))
    for number in range(5):
        bus.delete(person(number))
    bus.exchange()
    held = {each.key for each in bus.read(bus.topics.current(PERSON))}
    written = 6 * 40 + 5

    def compacted() -> bool:
        # A segment is rolled, and then cleaned, only when something is written behind it.
        for number in range(40, 60):
            bus.upsert(person(number, income=len(held)))
        bus.exchange()
        found = [each for each in bus.read(bus.topics.current(PERSON)) if each.key in held]
        return len(found) < written / 2

    eventually(compacted, seconds=90)
    for number in range(40):
        bus.upsert(person(number, income=999), first[number])
        bus.delete(person(number), first[number] + 1)
    bus.exchange()
    bus.check()
    before = everything_shared(bus)

    shutil.rmtree(bus.state_folder())
    for number in range(40):
        bus.upsert(person(number, income=998), first[number] + 2)
    bus.exchange()
    assert everything_shared(bus) == before
    bus.check()

    for number in range(0, 40, 2):
        bus.upsert(person(number, income=7, sex="1"))
    for number in range(1, 40, 2):
        bus.delete(person(number))
    bus.exchange()
    assert len([key for key in bus.check()[PLACES] if key in held]) == 20


def test_another_worker_takes_over(bus: ExchangeBus) -> None:
    """A worker that never comes back leaves its partitions to another, which restores them and says nothing twice."""
    for number in range(50):
        bus.upsert(person(number))
    bus.exchange("w1")
    before = everything_shared(bus)

    with running(bus, "exchange", "--worker-id", "w2") as worker:
        eventually(lambda: worker.said.count("partition restored") >= PARTITIONS or not worker.running)
        for number in range(10):
            bus.upsert(person(number, name="司马", income=1))
        bus.flush()
        eventually(lambda: len(bus.read(bus.topics.share(AID))) == 60 or not worker.running)
        assert worker.running, worker.said
    bus.check()
    after = everything_shared(bus)
    assert {view: [each for each in seen if each in before[view]] for view, seen in after.items()} == before


def test_a_restore_that_is_cut_short(bus: ExchangeBus) -> None:
    """Killed in the middle of a restore, the next start restores the rest and exchanges on rightly."""
    for number in range(4_000):
        bus.upsert(person(number))
    bus.exchange()
    before = everything_shared(bus)
    bus.upsert(person(1, income=1))
    bus.upsert(person(2, sex="2"))
    bus.delete(person(3))
    bus.flush()

    for _ in range(10):
        shutil.rmtree(bus.state_folder())
        with BusProcess(bus, "exchange") as worker:
            eventually(lambda: "partition restored" in worker.said or not worker.running, pause_seconds=0.002)
            worker.kill()
        if worker.said.count("partition restored") < PARTITIONS:
            break
    assert 0 < worker.said.count("partition restored") < PARTITIONS
    bus.exchange()

    expected = bus.check()
    assert len(expected[AID]) == 3_999
    after = everything_shared(bus)
    assert {view: len(seen) - len(before[view]) for view, seen in after.items() if seen != before[view]} == {
        AID: 3,
        PLACES: 2,
        "school.statistics/police.person": len(after["school.statistics/police.person"])
        - len(before["school.statistics/police.person"]),
    }


def test_a_state_of_a_newer_format_is_refused(bus: ExchangeBus) -> None:
    """A state that another version of govbus wrote is left as it is, and the message says what to do."""
    bus.upsert(person(1))
    bus.exchange()
    folder = bus.state_folder() / "0"
    database = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.read_write())
    document = json.loads(database[b"\x00checkpoint"])
    database[b"\x00checkpoint"] = json.dumps({**document, "format": 2}).encode()
    database.close()

    with pytest.raises(StateFormatError, match=r"has format 2, this govbus reads 1.*delete the folder"):
        bus.exchange()
    with running(bus, "exchange", "--until-caught-up") as worker:
        assert worker.wait() != 0
    assert "has format 2, this govbus reads 1" in " ".join(worker.said.split())
    assert "Traceback" not in worker.said

    shutil.rmtree(bus.state_folder())
    bus.upsert(person(2))
    bus.exchange()
    assert len(bus.check()[AID]) == 2


def test_progress_of_a_newer_format_is_refused(bus: ExchangeBus) -> None:
    """What another version of govbus noted as sent is not guessed at."""
    bus.upsert(person(1))
    bus.exchange()
    shutil.rmtree(bus.state_folder())
    producer = Producer({"bootstrap.servers": bus.settings.need_bootstrap_servers()})
    producer.produce(bus.topics.progress, b'{"format": 9, "then": []}', f"view|0|{AID}".encode(), 0)
    assert producer.flush(30) == 0

    with pytest.raises(ProgressFormatError, match="run the govbus that wrote it"):
        bus.exchange()


def test_records_that_left_raw_too_early_are_an_alarm(bus: ExchangeBus) -> None:
    """Records that raw's retention removed before they were exchanged are counted as a gap; the rest is exchanged."""
    bus.upsert(person(1))
    bus.exchange()
    gaps = metrics.EXCHANGE_RETENTION_GAPS.labels(dataset=PERSON)
    before = gaps._value.get()
    bus.upsert(person(1, income=1))
    bus.flush()
    (partition,) = {each.partition for each in bus.read(bus.topics.raw(PERSON))}
    for future in bus.admin.delete_records([TopicPartition(bus.topics.raw(PERSON), partition, 2)]).values():
        future.result(30)
    version = bus.upsert(person(1, income=2))
    bus.exchange()

    assert gaps._value.get() == before + 1
    assert bus.shared(AID).keys() == {citizen_id(1).encode()}
    bus.check()
    assert version < time.time_ns() // 1000


def test_records_that_leave_raw_under_a_running_worker_end_it(bus: ExchangeBus) -> None:
    """A worker whose position has left the log ends, so that its next start counts the gap and reads on behind it."""
    bus.upsert(person(1))
    bus.exchange()
    (partition,) = {each.partition for each in bus.read(bus.topics.raw(PERSON))}
    raw = (bus.topics.raw(PERSON), partition)
    with running(bus, "exchange") as worker:
        worker.wait_until_says("partition restored")
        bus.upsert(person(1, income=1))
        bus.flush()
        eventually(lambda: len(bus.read(bus.topics.share(AID))) == 2)
        worker.signal(signal.SIGSTOP)
        # The fetch that waits at the brokers is answered with the first of these; the second is gone before the next.
        for income in (2, 3):
            bus.upsert(person(1, income=income))
            bus.flush()
        for future in bus.admin.delete_records([TopicPartition(*raw, 4)]).values():
            future.result(30)
        worker.signal(signal.SIGCONT)
        assert worker.wait() != 0
    assert "has left the log" in " ".join(worker.said.split())

    gaps = metrics.EXCHANGE_RETENTION_GAPS.labels(dataset=PERSON)
    before = gaps._value.get()
    bus.upsert(person(1, income=4))
    bus.exchange()
    assert gaps._value.get() == before + 1
    bus.check()
