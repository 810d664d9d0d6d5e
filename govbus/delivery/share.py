"""Reading share topics: one consumer over all topics of an ask, from positions that the sink itself keeps.

Only committed records are read. The consumer group exists for lag monitors alone: positions are committed to it now and
then and never read back, because the truth about what a subscriber holds stands beside what he holds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from govbus.delivery.position import Extent, TopicLog
from govbus.errors import Unavailable
from govbus.kafka import clients
from govbus.kafka.offsets import log_offsets
from govbus.kafka.settings import Settings

log = structlog.get_logger()

Partition = tuple[str, int]
"""A topic's name and a partition of it."""

ANSWER_SECONDS = 30
_CHUNK = 500
_GROUP_COMMIT_SECONDS = 5.0
_TOPIC_GONE = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.INCONSISTENT_TOPIC_ID,
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch is full, or has waited long enough.

    `linger_seconds` counts from the batch's first record. With `end_when_level` a batch also ends as soon as everything
    that was written has been read, so that a lone change is delivered at once.
    """

    records: int
    bytes: int
    linger_seconds: float
    end_when_level: bool


@dataclass(slots=True)
class Batch:
    """What was read since the batch before: per topic the last value of every key (None: deleted), and positions.

    `moves` are the positions before and after; `level` are partitions that then stood at the end of the log, at
    `began_at` or later. `recent` are those changes that stand behind the offsets `ShareReader.assign` was given.
    """

    began_at: datetime
    changes: dict[str, dict[bytes, bytes | None]] = field(default_factory=dict)
    moves: dict[Partition, tuple[int, int]] = field(default_factory=dict)
    level: set[Partition] = field(default_factory=set)
    recent: dict[str, dict[bytes, bytes | None]] = field(default_factory=dict)
    records: int = 0
    bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.moves)


class PositionLost(Unavailable):
    """A topic was deleted, made again or cut while it was read: look again where to read on."""


class ShareReader:
    """A reader of share topics. Not safe between threads.

    Raises `Unavailable` where waiting may help, `PositionLost` where positions must be decided anew, and
    `SettingsError` where a right or a credential is missing.
    """

    def __init__(self, settings: Settings, group: str, *, fetch_bytes: int = 32 * 1024 * 1024) -> None:
        self._faults = clients.ConnectionFaults()
        self._admin = clients.admin(settings)
        self._consumer = clients.consumer(
            settings,
            group,
            self._faults,
            enable_partition_eof=True,
            queued_max_messages_kbytes=fetch_bytes // 1024,
            fetch_wait_max_ms=100,
        )
        self._positions: dict[Partition, int] = {}
        self._level: set[Partition] = set()
        self._since: dict[Partition, int] = {}
        self.denied: set[str] = set()
        """Topics that this principal may not read."""
        self._committed_at = time.monotonic()

    @property
    def positions(self) -> Mapping[Partition, int]:
        """The offset read next, per assigned partition."""
        return self._positions

    @property
    def level(self) -> bool:
        """Whether every assigned partition was last seen at the end of its log."""
        return len(self._level) == len(self._positions)

    def is_level(self, partition: Partition) -> bool:
        """Return whether *partition* was last seen at the end of its log."""
        return partition in self._level

    def logs(self, topics: Iterable[str]) -> dict[str, TopicLog]:
        """Return what the brokers hold of *topics*; left out are those that do not exist, and those in `denied`."""
        names = list(topics)
        if not names:
            return {}
        found: dict[str, tuple[str, list[int]]] = {}
        described = self._admin.describe_topics(TopicCollection(names), request_timeout=ANSWER_SECONDS)
        for name, future in described.items():
            try:
                topic = future.result(ANSWER_SECONDS + 5)
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    self._deny(name)
                elif code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise clients.translate(error, f"looking for {name}", self._faults) from error
            else:
                found[name] = (str(topic.topic_id), [partition.id for partition in topic.partitions])
        starts = self._offsets(found, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = self._offsets(found, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {
            name: TopicLog(topic_id, {p: Extent(starts[name, p], ends[name, p]) for p in partitions})
            for name, (topic_id, partitions) in found.items()
        }

    def end_of(self, topic: str) -> int:
        """Return the end of the log of a topic's first partition; 0 where there is no such topic."""
        found = self.logs([topic]).get(topic)
        return found.partitions[0].end if found is not None else 0

    def _offsets(self, topics: Mapping[str, tuple[str, list[int]]], spec: OffsetSpec) -> dict[Partition, int]:
        wanted = [(name, p) for name, (_, partitions) in topics.items() for p in partitions]
        found = log_offsets(
            self._admin,
            wanted,
            spec,
            IsolationLevel.READ_COMMITTED,
            faults=self._faults,
            timeout_seconds=ANSWER_SECONDS,
        )
        return {each: answer.offset for each, answer in found.items()}

    def assign(self, positions: Mapping[Partition, int], since: Mapping[Partition, int] | None = None) -> None:
        """Read from *positions* on, and nothing else; changes from *since* on are told apart (`Batch.recent`)."""
        self._since = dict(since or {})
        self._positions = dict(positions)
        self._level = set()
        clients.connect(self._consumer, "asking who leads the share topics", self._faults)
        self._consumer.assign([TopicPartition(topic, p, offset) for (topic, p), offset in positions.items()])

    def batch(self, limits: Limits, stop: threading.Event, patience_seconds: float = 1.0) -> Batch:
        """Return the next batch; an empty one if nothing came in *patience_seconds*, or *stop* was set before."""
        batch = Batch(began_at=datetime.now(UTC))
        give_up_at = time.monotonic() + patience_seconds
        while not stop.is_set():
            now = time.monotonic()
            if batch.records >= limits.records or batch.bytes >= limits.bytes or now >= give_up_at:
                break
            if batch.records and limits.end_when_level and self.level:
                break
            first = self._consumer.poll(min(0.5, give_up_at - now))
            if first is None:
                continue
            before = batch.records
            self._take(first, batch)
            for message in self._consumer.consume(min(_CHUNK, limits.records), timeout=0):
                self._take(message, batch)
            if not before and batch.records:
                give_up_at = time.monotonic() + limits.linger_seconds
        batch.level = {partition for partition in batch.moves if partition in self._level}
        return batch

    def touch(self) -> Batch:
        """Return a batch without changes that says where the reader stands level, for the sink to write down."""
        batch = Batch(began_at=datetime.now(UTC), level=set(self._level))
        batch.moves = {partition: (self._positions[partition],) * 2 for partition in self._level}
        return batch

    def _take(self, message: Message, batch: Batch) -> None:
        error = message.error()
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF and topic is not None and partition is not None:
                self._move(batch, (topic, partition), offset if offset is not None else -1)
                self._level.add((topic, partition))
            else:
                self._fault(error, topic)
            return
        assert topic is not None
        assert partition is not None
        assert offset is not None
        self._move(batch, (topic, partition), offset + 1)
        self._level.discard((topic, partition))
        key, value = message.key(), message.value()
        assert isinstance(key, bytes)
        changes = batch.changes.get(topic)
        if changes is None:
            changes = batch.changes[topic] = {}
        changes[key] = value
        if self._since and offset >= self._since.get((topic, partition), offset + 1):
            batch.recent.setdefault(topic, {})[key] = value
        batch.records += 1
        batch.bytes += len(key) + (len(value) if value is not None else 0)

    def _move(self, batch: Batch, partition: Partition, position: int) -> None:
        before = self._positions[partition]
        if position > before:
            self._positions[partition] = position
            batch.moves[partition] = (batch.moves.get(partition, (before, before))[0], position)
        elif partition not in self._level:
            batch.moves.setdefault(partition, (before, before))

    def _fault(self, error: KafkaError, topic: str | None) -> None:
        if error.code() in _TOPIC_GONE:
            raise PositionLost(f"{topic}: {error.name()}: its log is not the one that was read")
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED and topic is not None:
            self._deny(topic)
            return
        if error.fatal():
            raise clients.translate(error, "reading share topics", self._faults)
        log.warning("reading interrupted", error=error.name(), topic=topic)

    def _deny(self, topic: str) -> None:
        # The right to read goes first when a grant is suspended; the other datasets of the ask go on.
        if topic not in self.denied:
            self.denied.add(topic)
            log.error("reading denied", topic=topic, what_to_do="ask the operators whether the grant still stands")

    def tell_group(self, positions: Mapping[Partition, int], *, at_once: bool = False) -> None:
        """Commit *positions*, which are written, to the consumer group, now and then: for whoever looks at its lag."""
        now = time.monotonic()
        if positions and (at_once or now - self._committed_at >= _GROUP_COMMIT_SECONDS):
            self._committed_at = now
            places = [TopicPartition(topic, p, offset) for (topic, p), offset in positions.items()]
            self._consumer.commit(offsets=places, asynchronous=True)

    def high_watermark(self, topic: str, partition: int) -> int | None:
        """Return the end of the log as of the last fetch, None before the first."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
        return high if high >= 0 else None

    def close(self) -> None:
        """Let go of the brokers; commits under way are awaited."""
        self._consumer.close()

    def __enter__(self) -> ShareReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
