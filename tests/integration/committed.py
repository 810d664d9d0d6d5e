"""Topics as a reader of committed records gets them, up to the end they have at that moment."""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, TopicPartition

from govbus.kafka.settings import Settings


@dataclass(frozen=True)
class Seen:
    """One record of a topic as a reader of committed records gets it."""

    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


class CommittedReader:
    """Reads whole topics, one after the other, over one connection. Close it, or let go of it, when done."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.need_bootstrap_servers(),
                "group.id": "test",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "fetch.message.max.bytes": 8_000_000,
            }
        )

    def read(self, topic: str) -> list[Seen]:
        """Return every committed record of *topic* up to its end as it is now, waiting for open transactions."""
        # Asking for all topics tells the consumer who leads them: it would find that out once a second by itself.
        partitions = self._consumer.list_topics(timeout=30).topics[topic].partitions
        ends = {p: self._consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=30) for p in partitions}
        missing = {p for p, (low, high) in ends.items() if low < high}
        self._consumer.assign([TopicPartition(topic, p, ends[p][0]) for p in missing])
        found: list[Seen] = []
        deadline = time.monotonic() + 60
        while missing:
            assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
            first = self._consumer.poll(0.1)
            # Asked for many at once, the client would wait until it has them all.
            for message in [] if first is None else [first, *self._consumer.consume(1_000, 0.0)]:
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    if message.offset() >= ends[message.partition()][1]:
                        missing.discard(message.partition())
                    continue
                key, value = message.key(), message.value()
                headers = tuple(message.headers() or ())
                found.append(Seen(key, value, message.partition(), message.offset(), headers, message.timestamp()[1]))
        self._consumer.unassign()
        return sorted(found, key=lambda seen: (seen.partition, seen.offset))

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()


def read_committed(settings: Settings, topic: str) -> list[Seen]:
    """Return every committed record of one topic, as `CommittedReader` reads it."""
    reader = CommittedReader(settings)
    try:
        return reader.read(topic)
    finally:
        reader.close()
