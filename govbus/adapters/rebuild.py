"""A lost journal, rebuilt from what the department itself has published.

The dataset's raw topic is read from its start; of every key the highest version stays. Where retention has already
cut the topic's beginning, the bus's ``current`` topic of the dataset is read first, if this principal may read it. If
it may not, keys that were last published before the cut are unknown: their records go out once more with the next
snapshot (the bus finds them unchanged), but a row that vanished from the source in the meantime cannot be noticed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
from confluent_kafka import Consumer, IsolationLevel, KafkaException, Message, TopicPartition
from confluent_kafka.admin._listoffsets import OffsetSpec

from govbus.adapters.journal import Journal, digest_of
from govbus.adapters.link import Link
from govbus.codec.framing import HEADER_BYTES, schema_id_of
from govbus.errors import SettingsError, Unavailable
from govbus.kafka import clients
from govbus.kafka.offsets import log_offsets
from govbus.rules.version import MAX_AHEAD_MICROSECONDS, MAX_VERSION

log = structlog.get_logger()

_READ_SECONDS = 30.0
_BATCH = 5_000
Progress = Callable[[int, int], None]
"""Called with (records read, records in all)."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was read back. `complete`: nothing that was ever published can be missing."""

    records: int
    complete: bool


def rebuild(link: Link, dataset: str, journal: Journal, progress: Progress = lambda done, of: None) -> Rebuilt:
    """Fill the empty *journal* of *dataset* from Kafka. Raises `Unavailable` where it cannot be read to its end."""
    raw, current = link.topics.raw(dataset), link.topics.current(dataset)
    reader = clients.consumer(link.settings, group=f"{link.topics.prefix}govbus.journal.{dataset}")
    known = frozenset(schema_id for schema_id, _ in link.revision.schema_ids.get(dataset, ()))
    time_based = link.revision.catalogue.datasets[dataset].versions == "time"
    limit = time.time_ns() // 1000 + MAX_AHEAD_MICROSECONDS if time_based else MAX_VERSION
    complete, records = True, 0
    try:
        ends = _ends(link, reader, raw)
        if any(low > 0 for low, _ in ends.values()):
            try:
                for messages in _read(link, reader, current, _ends(link, reader, current), progress):
                    records += len(messages)
                    journal.fill(_entries(messages, known, limit, link.revision.deleted_schema_id))
            except SettingsError as denied:
                complete = False
                log.warning("journal rebuilt in part", dataset=dataset, reason=str(denied))
        for messages in _read(link, reader, raw, ends, progress):
            records += len(messages)
            journal.fill(_entries(messages, known, limit, link.revision.deleted_schema_id))
    finally:
        reader.close()
    if records:
        log.info("journal rebuilt", dataset=dataset, records=records, complete=complete)
    return Rebuilt(records, complete)


def _ends(link: Link, reader: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    try:
        found = reader.list_topics(topic, timeout=_READ_SECONDS).topics[topic]
        if found.error is not None:
            raise link.translate(found.error, f"reading {topic}")
    except KafkaException as failure:
        raise link.translate(failure, f"reading {topic}") from failure
    admin, places = link.admin(), [(topic, partition) for partition in found.partitions]
    begins, ends = (
        log_offsets(admin, places, spec, IsolationLevel.READ_COMMITTED, timeout_seconds=_READ_SECONDS)
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
    )
    return {each[1]: (begins[each].offset, ends[each].offset) for each in places}


def _read(
    link: Link, reader: Consumer, topic: str, ends: dict[int, tuple[int, int]], progress: Progress
) -> Iterator[list[Message]]:
    """Yield the records of *topic* between *ends*, in batches."""
    open_ends = {partition: high for partition, (low, high) in ends.items() if low < high}
    total = sum(high - low for low, high in ends.values())
    reader.assign([TopicPartition(topic, partition, ends[partition][0]) for partition in open_ends])
    try:
        done, quiet_since = 0, time.monotonic()
        while open_ends:
            messages = reader.consume(_BATCH, timeout=1.0)
            if messages:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > _READ_SECONDS:
                raise Unavailable(f"{topic} could not be read to its end")
            records = []
            for message in messages:
                if (error := message.error()) is not None:
                    raise link.translate(error, f"reading {topic}")
                records.append(message)
            done += len(records)
            progress(done, total)
            yield records
            # Positions, not offsets of records: compacted topics and transaction markers leave gaps.
            for position in reader.position([TopicPartition(topic, partition) for partition in open_ends]):
                if position.offset >= open_ends[position.partition]:
                    del open_ends[position.partition]
    except KafkaException as failure:
        raise link.translate(failure, f"reading {topic}") from failure
    finally:
        reader.unassign()


def _entries(
    messages: list[Message], known: frozenset[int], limit: int, deleted_schema_id: int
) -> Iterator[tuple[bytes, int, bytes | None]]:
    """Yield (key, version, digest) of what can be read; the bus refuses the rest, so it was never published."""
    for message in messages:
        key, value = message.key(), message.value()
        if not isinstance(key, bytes):
            continue
        if value is None:
            version = _header_version(message)
            if version is not None and 0 < version <= limit:
                yield key, version, None
            continue
        if not isinstance(value, bytes):
            continue
        schema_id = schema_id_of(value)
        if schema_id != deleted_schema_id and schema_id not in known:
            continue
        version, after = _varint(value, HEADER_BYTES)
        _, after = _varint(value, after)
        if 0 < version <= limit:
            yield key, version, None if schema_id == deleted_schema_id else digest_of(value[after:])


def _header_version(message: Message) -> int | None:
    for header in message.headers() or []:
        value = header[1]
        if header[0] == "version" and isinstance(value, bytes) and value.isdigit() and len(value) < 20:
            return int(value)
    return None


def _varint(value: bytes, start: int) -> tuple[int, int]:
    """Return the long at *start* and where it ends; (0, end) where the bytes stop short."""
    number = shift = 0
    for place in range(start, min(start + 10, len(value))):
        byte = value[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number >> 1 ^ -(number & 1), place + 1
        shift += 7
    return 0, len(value)
