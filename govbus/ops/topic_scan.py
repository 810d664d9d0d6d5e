"""Looking into topics without being part of any group: what stands in them now, up to the end they have at the start.

What `status`, `rejects` and `trace` know of the bus they read here from Kafka itself, so they answer whether or not any
process of the bus runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin._listoffsets import OffsetSpec

from govbus.errors import Unavailable
from govbus.kafka import clients
from govbus.kafka.offsets import ANSWER_SECONDS, LogOffset, Partition, committed_offsets, log_offsets
from govbus.kafka.settings import Settings

_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Extent:
    """The committed part of one partition's log: the first offset held, and one past the last."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it stands. `at_ms` is the topic's timestamp in milliseconds since 1970, UTC."""

    partition: int
    offset: int
    at_ms: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


class TopicScan:
    """Bounded reads of committed records. Every method raises `Unavailable` where waiting may help."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._settings = settings
        self._group = group
        self._faults = clients.ConnectionFaults()
        self._admin = clients.admin(settings)
        self._partitions: dict[str, list[int]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is kept open between reads."""

    def topics(self) -> dict[str, list[int]]:
        """Return every topic of the cluster with its partitions; asked once."""
        if self._partitions is None:
            try:
                found = self._admin.list_topics(timeout=ANSWER_SECONDS).topics
            except KafkaException as error:
                raise clients.translate(error, "asking for the topics", self._faults) from error
            self._partitions = {name: sorted(topic.partitions) for name, topic in found.items()}
        return self._partitions

    def extents(self, topics: Iterable[str]) -> dict[Partition, Extent]:
        """Return begin and end of every partition of *topics*; topics that do not exist are left out."""
        known = self.topics()
        wanted = [(topic, number) for topic in topics for number in known.get(topic, ())]
        begins = self._offsets(wanted, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = self._offsets(wanted, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {each: Extent(begins[each].offset, ends[each].offset) for each in wanted}

    def newest_ms(self, topics: Iterable[str]) -> dict[str, int]:
        """Return the latest timestamp in each of *topics*, without reading records; empty topics are left out."""
        known = self.topics()
        wanted = [(topic, number) for topic in topics for number in known.get(topic, ())]
        newest: dict[str, int] = {}
        stamps = self._offsets(wanted, OffsetSpec.max_timestamp())  # type: ignore[no-untyped-call]
        for (topic, _), stamp in stamps.items():
            if stamp.at_ms > 0:
                newest[topic] = max(stamp.at_ms, newest.get(topic, 0))
        return newest

    def offsets_at(self, topic: str, at_ms: int) -> dict[int, int]:
        """Return, per partition of *topic*, the first offset dated *at_ms* or later; the end where there is none."""
        wanted = [(topic, number) for number in self.topics().get(topic, ())]
        found = self._offsets(wanted, OffsetSpec.for_timestamp(at_ms))
        ends = self.extents([topic])
        return {each[1]: at.offset if at.offset >= 0 else ends[each].end for each, at in found.items()}

    def _offsets(self, wanted: list[Partition], spec: OffsetSpec) -> dict[Partition, LogOffset]:
        return log_offsets(self._admin, wanted, spec, IsolationLevel.READ_COMMITTED, faults=self._faults)

    def committed(self, group: str, topics: Iterable[str]) -> dict[Partition, int]:
        """Return what *group* has committed of *topics*; left out is where it has committed nothing."""
        known = self.topics()
        wanted = [(topic, number) for topic in topics for number in known.get(topic, ())]
        return committed_offsets(self._settings, group, wanted, faults=self._faults)

    def first_at(self, places: Mapping[Partition, int]) -> dict[Partition, Record]:
        """Return the first record at or after each offset; partitions without one are left out."""
        ends = self.extents({topic for topic, _ in places})
        found: dict[Partition, Record] = {}
        open_places = {
            each: max(offset, ends[each].begin)
            for each, offset in places.items()
            if each in ends and offset < ends[each].end
        }
        if not open_places:
            return found
        # One record of each is wanted, so little is fetched ahead.
        consumer = self._consumer(fetch_message_max_bytes=65_536, queued_max_messages_kbytes=1_024)
        try:
            self._assign(consumer, open_places)
            for message in self._messages(consumer, {each: ends[each].end for each in open_places}):
                place = (message.topic() or "", _number(message.partition()))
                if place not in found:
                    found[place] = _record(message)
                    consumer.incremental_unassign([TopicPartition(*place)])
                if len(found) == len(open_places):
                    break
        finally:
            consumer.close()
        return found

    def records(
        self,
        topic: str,
        partitions: Iterable[int] | None = None,
        since: Mapping[int, int] | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> Iterator[Record]:
        """Yield the records of *topic*, in order within each partition, up to the end it has now.

        *partitions*: only these; *since*: per partition the first offset wanted. *report* is told from time to time how
        many offsets of how many are behind.
        """
        chosen = None if partitions is None else set(partitions)
        places: dict[Partition, int] = {}
        ends: dict[Partition, int] = {}
        for each, extent in self.extents([topic]).items():
            start = max(extent.begin, (since or {}).get(each[1], 0))
            if (chosen is None or each[1] in chosen) and start < extent.end:
                places[each], ends[each] = start, extent.end
        if not places:
            return
        total = sum(ends[each] - places[each] for each in places)
        consumer = self._consumer()
        try:
            self._assign(consumer, places)
            behind = dict.fromkeys(places, 0)
            for count, message in enumerate(self._messages(consumer, ends)):
                each = (topic, _number(message.partition()))
                behind[each] = _number(message.offset()) + 1 - places[each]
                if report is not None and count % _CHUNK == 0:
                    report(sum(behind.values()), total)
                yield _record(message)
            if report is not None:
                report(total, total)
        finally:
            consumer.close()

    def _consumer(self, **more: Any) -> Consumer:
        return clients.consumer(
            self._settings, self._group, self._faults, enable_partition_eof=True, fetch_wait_max_ms=50, **more
        )

    @staticmethod
    def _assign(consumer: Consumer, places: Mapping[Partition, int]) -> None:
        consumer.assign([TopicPartition(*each, offset) for each, offset in places.items()])

    def _messages(self, consumer: Consumer, ends: Mapping[Partition, int]) -> Iterator[Message]:
        open_ends = dict(ends)
        while open_ends:
            first = consumer.poll(ANSWER_SECONDS)
            if first is None:
                raise Unavailable(
                    f"{next(iter(open_ends))[0]} could not be read to its end in {ANSWER_SECONDS:.0f} s"
                    + (f" (last connection fault: {self._faults.last.name()})" if self._faults.last else "")
                )
            # Asked for many at once, the client would wait until it has them all.
            for message in [first, *consumer.consume(_CHUNK, 0.0)]:
                each = (message.topic() or "", _number(message.partition()))
                end = open_ends.get(each)
                if end is None:
                    continue
                error, offset = message.error(), message.offset()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise clients.translate(error, f"reading {each[0]}", self._faults)
                    del open_ends[each]
                    continue
                if offset is not None and offset >= end:
                    del open_ends[each]
                    continue
                if offset is not None and offset + 1 == end:
                    del open_ends[each]
                yield message


def _number(value: int | None) -> int:
    return -1 if value is None else value


def _record(message: Message) -> Record:
    key, value = message.key(), message.value()
    headers = message.headers()
    pairs = headers if isinstance(headers, list) else []
    return Record(
        partition=_number(message.partition()),
        offset=_number(message.offset()),
        at_ms=message.timestamp()[1],
        key=key if isinstance(key, bytes) or key is None else key.encode(),
        value=value if isinstance(value, bytes) or value is None else value.encode(),
        headers={name: text for name, text in pairs if isinstance(text, bytes)},
    )
