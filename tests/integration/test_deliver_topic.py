"""A share topic is plain Kafka: programs that know nothing of this project read it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from integration.share_bus import ASK, SUBSCRIBER, ShareBus, Table, people
from integration.sink_process import SinkProcess
from programs import program

from govbus.delivery.run import DeliveredByTopic, deliver
from govbus.delivery.topic import kcat_command
from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def bus(settings: Settings, topic_prefix: str) -> ShareBus:
    made = ShareBus(settings, topic_prefix, {"kind": "topic"})
    made.apply()
    made.send(people(0, 20))
    made.send(people(10, 15, name="改名"), deletes=people(0, 5))
    made.send_aborted(people(100, 5))
    return made


def test_confluents_own_deserializer_reads_a_share_topic(bus: ShareBus) -> None:
    """Confluent's AvroDeserializer and a plain consumer hold the last record of every key."""
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": bus.settings.need_registry_url()}))
    context = SerializationContext(bus.topic(), MessageField.VALUE)
    held: dict[bytes, Any] = {}
    for key, value in committed(bus):
        held[key] = deserialize(value, context)
        if held[key] is None:
            del held[key]
    assert held == bus.rows["police.population"]


def committed(bus: ShareBus) -> Iterator[tuple[bytes, bytes | None]]:
    consumer = Consumer(
        {
            "bootstrap.servers": bus.settings.need_bootstrap_servers(),
            "group.id": "mine",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([bus.topic()])
    ended = set()
    try:
        while len(ended) < len(bus.ends()):
            message = consumer.poll(30)
            assert message is not None, "the topic is not read to its end"
            if (error := message.error()) is None:
                key = message.key()
                assert isinstance(key, bytes)
                yield key, message.value()  # type: ignore[misc]
            else:
                assert error.code() == KafkaError._PARTITION_EOF
                ended.add(message.partition())
    finally:
        consumer.close()


@pytest.mark.debian("kcat")
def test_kcat_reads_a_share_topic(bus: ShareBus) -> None:
    """kcat sees the keys, the framed values and the deletions, and nothing of an aborted transaction."""
    command = kcat_command(bus.topic(), bus.settings.need_bootstrap_servers())
    command[0] = program("kcat")
    text = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.decode()
    sizes = [re.fullmatch(r"(\d+): (-?\d+) bytes", line) for line in text.splitlines()]
    held: dict[bytes, int] = {}
    for found in sizes:
        assert found is not None
        held[found[1].encode()] = int(found[2])
    assert {key: size for key, size in held.items() if size >= 0} == {
        key: len(bus.value_of(row)) for key, row in bus.rows["police.population"].items()
    }
    command[-1] = "%K %S\\n%k%s"
    raw = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    last: dict[bytes, bytes] = {}
    while raw:
        sizes_line, _, raw = raw.partition(b"\n")
        key_size, value_size = map(int, sizes_line.split())
        key, value = raw[:key_size], raw[key_size : key_size + max(0, value_size)]
        raw = raw[key_size + max(0, value_size) :]
        last.pop(key, None)
        if value_size >= 0:
            last[key] = value
    assert last == {key: bus.value_of(row) for key, row in bus.rows["police.population"].items()}


def test_the_command_shows_how_to_read_and_what_it_shows_runs(bus: ShareBus, tmp_path: Path) -> None:
    """`govbus deliver` of such an ask ends with a guide; the Python program in it prints the records."""
    bus.tables["police.household"] = Table(granted=False)
    bus.apply()
    with SinkProcess(bus, tmp_path / "city") as shown:
        assert shown.wait() == 0
        guide = shown.said
    assert bus.topic() in guide
    assert "police.household: nothing is delivered (no_grant)" in guide
    start = guide.index("  from confluent_kafka import")
    source = re.sub(r"^  ", "", guide[start : guide.index("\nKafka Connect", start)], flags=re.MULTILINE)
    with printing(source) as lines:
        held: dict[str, Any] = {}
        expected = {key.decode(): dict(row) for key, row in bus.rows["police.population"].items()}
        while held != expected:
            key, _, value = next(lines).partition(" ")
            held[key] = eval(value, {"datetime": __import__("datetime")})
            if held[key] is None:
                del held[key]


@contextmanager
def printing(source: str) -> Iterator[Iterator[str]]:
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", source], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield iter(process.stdout)
    finally:
        process.kill()
        process.wait(30)


def test_nothing_is_run_for_an_ask_that_is_delivered_by_topic(bus: ShareBus) -> None:
    """Asked to deliver such an ask, the room answers with its plan instead of waiting for ever."""
    with pytest.raises(DeliveredByTopic) as found:
        deliver(bus.settings, bus.topics, SUBSCRIBER, ASK)
    assert [each.dataset for each in found.value.plan.delivered] == ["police.population"]
