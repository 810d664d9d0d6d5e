"""Rebuilding a partition's state from its ``current`` topics, and its progress from ``bus.progress``.

Raw topics cannot serve as changelog: compaction would keep what arrived last, and a stale record may. The order
matters: committed offsets first (by the caller), *then* the high watermark of every topic, records of open transactions
included, *then* reading committed records until the position passes that mark. Reading only to the last stable offset
can lose a committed batch for ever (KAFKA-10167).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from govbus import metrics
from govbus.exchange.held import Held
from govbus.exchange.progress import Judging, ViewProgress, clock_of, view_of
from govbus.exchange.state import PartitionState
from govbus.kafka import clients

BATCH = 5_000
MOST_TOLD_APART = 20_000
"""Up to so many restored records, only what they say is made anew, not what every record says."""


@dataclass(slots=True)
class Restore:
    """One partition being restored: which topics are still to be read, from where, up to which mark."""

    partition: int
    state: PartitionState
    datasets: Mapping[str, str]
    """Per current topic its dataset."""
    progress_topic: str
    deleted_frame: bytes
    starts: dict[str, int]
    marks: dict[str, int]
    offsets: dict[str, int]
    """The committed input offsets that the state stands for once all is read."""
    currents: dict[str, tuple[str, int]]
    """Per current topic its id and its mark: up to where the state then holds it."""
    progress: dict[str, ViewProgress] = field(default_factory=dict)
    clock_ms: int = 0
    """The clock at which the golden views were sent last."""
    judging: Judging | None = None
    """How far what is due at a later clock was judged, where the worker died while it did."""
    restored: dict[str, set[bytes]] | None = field(default_factory=dict)
    """Per dataset the keys that were read; None: more than are worth telling apart."""
    waiting_for: set[str] = field(default_factory=set)
    positions: dict[str, int] = field(default_factory=dict)

    def begin(self, reader: Consumer) -> None:
        """Point *reader* at everything that is to be read."""
        self.waiting_for = {topic for topic, mark in self.marks.items() if mark > self.starts[topic]}
        self.positions = dict(self.starts)
        reader.assign([TopicPartition(topic, self.partition, self.starts[topic]) for topic in self.waiting_for])

    @property
    def remaining(self) -> int:
        """How many offsets are still to be read."""
        return sum(max(0, self.marks[topic] - self.positions[topic]) for topic in self.waiting_for)

    def step(self, reader: Consumer, timeout_seconds: float) -> bool:
        """Read a slice; return whether all is read. Records are written as they come: later ones are never older."""
        if not self.waiting_for:
            self._finish()
            return True
        pending: dict[bytes, bytes] = {}
        prefixes = {topic: self.state.prefix(dataset) for topic, dataset in self.datasets.items()}
        restored = 0
        try:
            first = reader.poll(timeout_seconds)
            # Asked for many at once, the client would wait until it has them all.
            messages = [] if first is None else [first, *reader.consume(BATCH - 1, 0.0)]
        except KafkaException as error:
            raise clients.translate(error, "restoring") from error
        for message in messages:
            topic, offset = message.topic(), message.offset()
            assert topic is not None
            assert offset is not None
            if message.partition() != self.partition:
                # Of the partition that this reader was pointed at before.
                continue
            fault = message.error()
            if fault is not None:
                if fault.code() != KafkaError._PARTITION_EOF:
                    raise clients.translate(fault, f"restoring from {topic}")
                self._reached(topic, offset)
                continue
            key, value = message.key(), message.value()
            if topic == self.progress_topic:
                self._take_progress(key, value)
            elif value is not None and isinstance(key, bytes):
                held = Held.from_current(bytes(value), epoch_of(message), self.deleted_frame)
                pending[prefixes[topic] + key] = held.stored()
                self._note(topic, key)
                restored += 1
            elif isinstance(key, bytes):
                # A declared purge: the key is forgotten; an empty value would be a record, so it is deleted for good.
                self.state.forget(prefixes[topic] + key)
                self._note(topic, key)
                pending.pop(prefixes[topic] + key, None)
            self._reached(topic, offset + 1)
        if pending:
            self.state.write(pending)
        metrics.EXCHANGE_RESTORED_RECORDS.inc(restored)
        metrics.EXCHANGE_RESTORE_REMAINING_RECORDS.set(self.remaining)
        if self.waiting_for:
            return False
        self._finish()
        return True

    def _finish(self) -> None:
        # Not written yet: what is said of the entities has to follow first (`AssignedPartition.open_checks`). Whoever
        # dies before reads the same records again, and so knows whose they are.
        self.state.checkpoint.offsets = self.offsets
        self.state.checkpoint.currents = self.currents

    def _reached(self, topic: str, position: int) -> None:
        self.positions[topic] = max(position, self.positions[topic])
        if position >= self.marks[topic]:
            self.waiting_for.discard(topic)

    def _note(self, topic: str, key: bytes) -> None:
        if self.restored is None:
            return
        if sum(map(len, self.restored.values())) >= MOST_TOLD_APART:
            self.restored = None
        else:
            self.restored.setdefault(self.datasets[topic], set()).add(key)

    def _take_progress(self, key: object, value: object) -> None:
        if not isinstance(key, bytes):
            return
        if isinstance(value, bytes) and (clock := clock_of(key, value)) is not None:
            self.clock_ms, self.judging = clock
            return
        view = view_of(key)
        if view is None:
            return
        if isinstance(value, bytes):
            self.progress[view] = ViewProgress.parse(value)
        else:
            self.progress.pop(view, None)


def epoch_of(message: Message) -> int:
    """Return the epoch that a ``current`` record's header states; 0 without one."""
    found = dict(message.headers() or [])
    return int(found.get("epoch") or 0)
