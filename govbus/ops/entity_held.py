"""What the bus holds of one entity: the record by which each bound dataset reports on it, read from ``current`` topics.

The id's partition is known, so one partition of each topic is read and no more. What a record says, and what all of it
amounts to, is judged by the worker's own compiled golden view (`govbus.exchange.golden`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from govbus.catalogue.golden import GOLDEN, bindings, golden_datasets
from govbus.errors import GovbusError, SettingsError
from govbus.exchange.compiled import CompiledDataset, Writer
from govbus.exchange.golden import BoundDataset, CompiledGolden, Said
from govbus.exchange.held import Held
from govbus.kafka.registry import Registry
from govbus.kafka.revisions import Revision
from govbus.kafka.settings import Settings
from govbus.ops.topic_scan import Record, TopicScan
from govbus.rules.formats import FORMATS
from govbus.rules.record_key import partition_of, subject_of


class UnknownName(GovbusError):
    """A name, or an id, that cannot be looked for; the text lists what can, and repeats no id."""


@dataclass(frozen=True, slots=True)
class HeldReport:
    """What ``current`` holds of one dataset about one entity.

    `said` is None where it has no record of it, or only deleted ones (`deleted`). `record` is the one that speaks, as
    the topic has it, or the last deletion; `live`: how many that are not deleted. `waiting`: published records that no
    worker has exchanged.
    """

    said: Said | None
    record: Record | None
    live: int
    deleted: bool
    waiting: int


def entity_id(revision: Revision, entity: str, text: str) -> bytes:
    """Return *text* as the canonical id of an *entity*. Raises `UnknownName`, without the text."""
    entities = revision.catalogue.vocabulary.entities
    if entity not in entities:
        there = ", ".join(f"{name} ({each.title})" for name, each in entities.items()) or "none"
        raise UnknownName(f"there is no entity {entity}; there are: {there}")
    declared = entities[entity].format
    try:
        return FORMATS[declared].canonical(text).encode()
    except ValueError as error:
        raise UnknownName(f"the text given is no {declared} ({FORMATS[declared].title}): {error}") from None


def compiled_golden(revision: Revision, entity: str) -> CompiledGolden:
    """Return the golden view of *entity*, ready to judge. Raises `UnknownName` where it has none."""
    name = f"{GOLDEN}.{entity}"
    dataset = golden_datasets(revision.catalogue).get(name)
    if dataset is None or name not in revision.golden_schema_ids:
        raise UnknownName(
            f"nothing of {entity} is cross-checked: none of its elements has a source (`authoritative:` of a field)"
        )
    reporting = {each.dataset for each in bindings(revision.catalogue, entity)}
    datasets = {each: CompiledDataset(revision.catalogue.datasets[each], revision) for each in sorted(reporting)}
    return CompiledGolden(dataset, revision, datasets)


def known_writer(settings: Settings, compiled: CompiledDataset, record: bytes) -> Writer:
    """Return how the held *record* is read; its schema may be newer than the revision.

    Raises `SettingsError` where the registry does not know it.
    """
    frame = record[:5]
    if frame not in compiled.by_frame:
        schema_id = int.from_bytes(frame[1:], "big")
        schema = Registry(settings).schema(schema_id)
        if schema is None:
            raise SettingsError(f"the registry does not know schema {schema_id}, under which the record is held")
        compiled.add_writer(schema_id, schema)
    return compiled.by_frame[frame]


class EntityHeld:
    """Reads what every dataset bound to elements of one entity holds. Raises `Unavailable` as `TopicScan` does."""

    def __init__(self, settings: Settings, scan: TopicScan, revision: Revision, golden: CompiledGolden) -> None:
        self._settings, self._scan, self._revision, self._golden = settings, scan, revision, golden

    def of(self, subject: bytes) -> list[HeldReport]:
        """Return, per bound dataset in its order, what is held about *subject*."""
        raws = [each.dataset.raw_topic for each in self._golden.datasets]
        group = self._revision.topics.exchange_group
        read = self._scan.committed(group, raws)
        return [self._report(each, subject, read) for each in self._golden.datasets]

    def _report(self, bound: BoundDataset, subject: bytes, read: dict[tuple[str, int], int]) -> HeldReport:
        dataset = bound.dataset
        partition = partition_of(subject, self._revision.catalogue.city.partitions)
        last: dict[bytes, Record] = {}
        for record in self._about(dataset.current_topic, partition, subject, {}):
            assert record.key is not None
            last[record.key] = record
        said: Said | None = None
        speaking: Record | None = None
        live = 0
        for key, record in last.items():
            each = self._said(bound, key, record)
            live += each is not None
            if each is not None and (said is None or _order(each) > _order(said)):
                said, speaking = each, record
        if speaking is None and last:
            speaking = max(last.values(), key=lambda record: record.offset)
        begin = read.get((dataset.raw_topic, partition), 0)
        waiting = sum(1 for _ in self._about(dataset.raw_topic, partition, subject, {partition: begin}))
        return HeldReport(said, speaking, live, bool(last) and not live, waiting)

    def _about(self, topic: str, partition: int, subject: bytes, since: dict[int, int]) -> Iterator[Record]:
        for record in self._scan.records(topic, [partition], since):
            if record.key is not None and subject_of(record.key) == subject:
                yield record

    def _said(self, bound: BoundDataset, key: bytes, record: Record) -> Said | None:
        assert record.value is not None
        epoch = int(record.headers.get("epoch", b"0"))
        held = Held.from_current(record.value, epoch, bound.dataset.deleted_frame)
        if held.record is None:
            return None
        known_writer(self._settings, bound.dataset, held.record)
        return bound.said(held.epoch, held.record, key)


def said_of(held: Sequence[HeldReport]) -> list[Said | None]:
    """Return what the datasets say, as a golden view judges it."""
    return [each.said for each in held]


def _order(said: Said) -> tuple[int, int, bytes]:
    return said.report.epoch, said.report.version, said.key
