"""The exchange on logs in memory: what is committed lasts, what is not is gone, and it can die anywhere.

The code under test is the bus's own (compiled revisions, accepting, changing views, state on disk, restoring); here
are Kafka and the loop around it. A commit is all or nothing, logs keep their offsets through compaction, and a crash
loses everything but logs, committed offsets and the state folders.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from confluent_kafka import KafkaError, TopicPartition
from oracle import avro
from oracle.views import Declared

from govbus.catalogue.golden import golden_datasets
from govbus.catalogue.model import Ask, Catalogue, City, Dataset, Subscriber, Vocabulary
from govbus.catalogue.views import share_views
from govbus.codec.schemas import DELETED, DISCREPANCY, record_schema
from govbus.codec.view_schema import view_schema
from govbus.exchange import difference
from govbus.exchange.bulk.loading import bulk_loop
from govbus.exchange.difference import ActiveView, DatasetExchange, Output, PartitionExchange, refuse_unknown
from govbus.exchange.partition import AssignedPartition
from govbus.exchange.restore import Restore
from govbus.exchange.revision import CompiledRevision
from govbus.exchange.state import PartitionState
from govbus.kafka.revisions import Revision, fingerprint
from govbus.rules.share import ShareView

CONTACT = {"role": "数据管理岗"}
PROGRESS = "bus.progress"


@dataclass(frozen=True)
class Entry:
    """One record of a log, and the message as the worker asks about it."""

    at: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    sent_headers: tuple[tuple[str, bytes], ...] = ()

    def headers(self) -> object:
        return list(self.sent_headers)

    def offset(self) -> int:
        return self.at


Log = list[Entry]


class Died(Exception):
    """The process is gone."""


@dataclass
class Registry:
    """Schema ids by content, as a registry gives them."""

    ids: dict[str, int] = field(default_factory=dict)

    schemas: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    def id_of(self, schema: Mapping[str, Any]) -> int:
        number = self.ids.setdefault(repr(schema), len(self.ids) + 1)
        self.schemas[number] = schema
        return number


def catalogue(declared: Declared) -> Catalogue:
    """Return the declarations as the bus's own models, with the entries that play no part here."""
    about = {"title": "目录", "region": "890000", "contact": CONTACT}
    datasets = {
        name: Dataset.model_validate(
            {
                **about,
                "update": {"cycle": "daily"},
                **_day_free(document),
                "department": name.split(".")[0],
                "dataset": name.split(".")[1],
                "resource_code": "101001/000001",
                "legal_basis": "依据",
                "grants": [{"legal_basis": "依据", **grant} for grant in document["grants"]],
                "avro": declared.schemas[name],
            }
        )
        for name, document in declared.datasets.items()
    }
    subscribers = {
        name: Subscriber.model_validate({**about, "subscriber": name, "code": "", **document})
        for name, document in declared.subscribers.items()
    }
    asks = {
        name: Ask.model_validate(
            {
                "subscriber": name.split(".")[0],
                "ask": name.split(".")[1],
                "legal_basis": "依据",
                "scenario": "核验",
                "delivery": {"kind": "topic"},
                **document,
            }
        )
        for name, document in declared.asks.items()
        if document["datasets"]
    }
    return Catalogue(
        city=City.model_validate(declared.city),
        vocabulary=Vocabulary.model_validate(declared.vocabulary),
        datasets=dict(sorted(datasets.items())),
        subscribers=subscribers,
        asks=asks,
    )


def _day_free(document: Mapping[str, Any]) -> dict[str, Any]:
    return {word: each for word, each in document.items() if word != "grants"}


class SimulatedBus:
    """Logs, offsets and revisions; `start` a worker, `step` it, `kill` it, start another."""

    def __init__(self, folder: Path, rng: Random) -> None:
        self.folder = folder
        self.rng = rng
        self.registry = Registry()
        self.deleted_id = self.registry.id_of(DELETED)
        self.logs: dict[tuple[str, int], Log] = {}
        self.ends: Counter[tuple[str, int]] = Counter()
        self.committed: Counter[tuple[str, int]] = Counter()
        self.revisions: dict[int, Revision] = {}
        self.keys: dict[tuple[str, str], bytes] = {}
        self.processed_under: dict[tuple[str, int, int], int] = {}
        self.verdicts: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()
        self.partitions: dict[int, AssignedPartition] = {}
        self.compiled: dict[int, CompiledRevision] = {}
        self.usual = self.unusual = self.in_bulk = self.judged = 0
        self.sent: dict[tuple[str, bytes | None], bytes | None] = {}
        self.ticked: Counter[int] = Counter()
        """Per partition the last tick that a worker took in."""

    # --- what apply does ----------------------------------------------------------------------------------------------

    def apply(self, declared: Declared, pseudonym_keys: Mapping[str, bytes]) -> None:
        """Add a revision; a worker takes it when it starts."""
        number = len(self.revisions) + 1
        content = catalogue(declared)
        schema_ids: dict[str, tuple[tuple[int, dict[str, Any]], ...]] = {}
        for name, dataset in content.datasets.items():
            newest = record_schema(dataset.avro)
            older = self.revisions[number - 1].schema_ids[name] if number > 1 else ()
            pair = (self.registry.id_of(newest), newest)
            schema_ids[name] = (*(each for each in older if each[0] != pair[0]), pair)
        views = [view for view in share_views(content) if isinstance(view, ShareView)]
        golden = golden_datasets(content)
        for name, key in pseudonym_keys.items():
            self.keys[name, fingerprint(key)] = key
        revision = Revision(
            number=number,
            applied_at="",
            catalogue=content,
            schema_ids=schema_ids,
            view_schema_ids={
                view.id: self.registry.id_of(view_schema((content.datasets | golden)[view.dataset].avro, view))
                for view in views
            },
            golden_schema_ids={name: self.registry.id_of(record_schema(each.avro)) for name, each in golden.items()},
            discrepancy_schema_id=self.registry.id_of(DISCREPANCY) if golden else None,
            deleted_schema_id=self.deleted_id,
            pseudonym_keys={name: fingerprint(key) for name, key in pseudonym_keys.items()},
        )
        # What a worker reads has been through JSON.
        self.revisions[number] = Revision.model_validate_json(revision.model_dump_json())

    @property
    def newest_revision(self) -> int:
        return max(self.revisions)

    # --- Kafka --------------------------------------------------------------------------------------------------------

    def publish(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        arrived_ms: int,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """Append to a log and return the offset."""
        place = (topic, partition)
        at = self.ends[place]
        self.logs.setdefault(place, []).append(Entry(at, key, value, arrived_ms, tuple(headers)))
        self.ends[place] = at + 1
        return at

    def compact(self) -> None:
        """Forget what a later record of the same key supersedes, in the logs where compaction may."""
        for (topic, partition), log in self.logs.items():
            if not topic.startswith("raw.") and not topic.startswith("reject."):
                last = {entry.key: entry.at for entry in log}
                self.logs[topic, partition] = [entry for entry in log if last[entry.key] == entry.at]

    def compacted(self, topic: str) -> dict[bytes, tuple[int, Entry]]:
        """What a reader of the whole topic ends up with: key -> partition and last record, tombstones gone."""
        found: dict[bytes, tuple[int, Entry]] = {}
        for (name, partition), log in self.logs.items():
            if name == topic:
                here = {entry.key: entry for entry in log}
                for key, entry in here.items():
                    assert key is not None
                    assert entry.value is None or key not in found, "one key in two partitions"
                    if entry.value is not None:
                        found[key] = (partition, entry)
        return found

    def decoded(self, value: bytes) -> dict[str, Any]:
        """Return a framed record as the oracle reads it, under the schema that its frame names."""
        kind = avro.parse(self.registry.schemas[int.from_bytes(value[1:5], "big")])
        record, canonical = avro.decode(kind, value[5:])
        assert canonical
        plain = avro.plain(kind, record)
        assert isinstance(plain, dict)
        return plain

    # --- the worker ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start a worker on the newest revision: restore, then bring every view to it. May die on the way."""
        self.compiled = {}
        self.revision = self._compile(self.newest_revision)
        for number in range(self.revision.partitions):
            self.partitions[number] = self._restored(number)

    def _compile(self, number: int) -> CompiledRevision:
        if number not in self.compiled:
            self.compiled[number] = CompiledRevision(self.revisions[number], lambda name, mark: self.keys[name, mark])
        return self.compiled[number]

    def _restored(self, number: int) -> AssignedPartition:
        state = PartitionState(self.folder / str(number))
        partition = AssignedPartition.open(number, state, self.revision, refuse_unknown)
        self.partitions[number] = partition
        currents = {each.current_topic: each.id for each in self.revision.datasets.values()}
        marks = {topic: self.ends[topic, number] for topic in [*currents, PROGRESS]}
        offsets = {topic: self.committed[topic, number] for topic in partition.datasets}
        known = state.checkpoint.currents
        whole = state.checkpoint.offsets == offsets and set(known) >= set(currents)
        starts = {topic: marks[topic] if whole else known.get(topic, ("", 0))[1] for topic in currents}
        if not whole:
            state.checkpoint.offsets = {}
        restore = Restore(
            partition=number,
            state=state,
            datasets=currents,
            progress_topic=PROGRESS,
            deleted_frame=next(iter(self.revision.datasets.values())).deleted_frame,
            starts={**starts, PROGRESS: 0},
            marks=marks,
            offsets=offsets,
            currents={topic: ("id", marks[topic]) for topic in currents},
        )
        reader: Any = Reader(self)
        restore.begin(reader)
        while not restore.step(reader, 0):
            self._maybe_die(0.03)
        partition.restored_by(restore)
        return partition

    def tick(self, now_ms: int) -> None:
        """Tell every partition the time; views that come or end by it are changed, and what is due is judged anew."""
        for partition in self.partitions.values():
            partition.clock_ms = max(partition.clock_ms, now_ms)
            self.ticked[partition.number] = max(self.ticked[partition.number], now_ms)
            if not partition.live:
                self._change_views(partition)
            self._keep_time(partition)

    def _keep_time(self, partition: AssignedPartition) -> None:
        if partition.expired():
            self._change_views(partition)
        for outputs in partition.judged_by_time():
            self._maybe_die(0.1)
            self._append(outputs)
            self.judged += 1
            self._maybe_die(0.2)

    def _change_views(self, partition: AssignedPartition) -> None:
        for change in partition.changes(self.revision, self._compile, lambda topic, number: self.ends[topic, number]):
            self._maybe_die(0.03)
            for cut in change.deletions:
                self._delete(cut.topic, cut.partition, cut.offset)
            self._maybe_die(0.03)
            record = change.progress.record(PROGRESS, partition.number, change.view)
            self._append([*change.outputs, record], anew=change.progress.delete_to is not None)
            partition.progress[change.view] = change.progress
            self._maybe_die(0.03)
        partition.open_checks(self.revision)
        partition.activate(self.revision)

    def _delete(self, topic: str, partition: int, before: int) -> None:
        """Delete what lies before an offset, as DeleteRecords does; a negative one is the end."""
        place = (topic, partition)
        self.logs[place] = [entry for entry in self.logs.get(place, []) if 0 <= before <= entry.at]

    def step(self, number: int, most: int) -> bool:
        """Let one partition take in at most *most* records; False where there is nothing to read."""
        partition = self.partitions[number]
        batch: list[tuple[str, Entry]] = []
        topics = list(partition.datasets)
        self.rng.shuffle(topics)
        for topic in topics:
            unread = [e for e in self.logs.get((topic, number), []) if e.at >= self.committed[topic, number]]
            batch += [(topic, entry) for entry in unread[: most - len(batch)]]
        if not batch:
            return False
        partition.clock_ms = max(partition.clock_ms, *(entry.timestamp_ms for _, entry in batch))
        self._keep_time(partition)
        exchange = partition.exchange
        exchange.clock_ms = partition.now_ms
        self._accept(partition, batch)
        self._maybe_die(0.04)
        self._append([*exchange.outputs, *partition.clock_outputs()])
        for topic, entry in batch:
            self.committed[topic, number] = entry.at + 1
            self.processed_under[topic, number, entry.at] = self.revision.number
        self._count(partition)
        self._maybe_die(0.04)
        checkpoint = partition.state.checkpoint
        checkpoint.offsets = {topic: self.committed[topic, number] for topic in partition.datasets}
        for each in self.revision.datasets.values():
            if self.rng.random() < 0.5:
                # How far the state reaches may be noted late: what is read again on restoring changes nothing.
                checkpoint.currents[each.current_topic] = ("id", self.ends[each.current_topic, number])
        partition.state.write(exchange.pending)
        exchange.keep()
        return True

    def _accept(self, partition: AssignedPartition, batch: Sequence[tuple[str, Entry]]) -> None:
        """Take a batch in, and see that the generated loop did what taking in each record alone does."""
        exchange, revision = partition.exchange, self.revision
        alone = PartitionExchange(
            partition.number, revision.partitions, revision.max_record_bytes, partition.state.get, refuse_unknown
        )
        twins = {
            topic: DatasetExchange(each.dataset, each.state_prefix, [ActiveView(active.view) for active in each.views])
            for topic, each in partition.datasets.items()
        }
        alone.accept_each([(twins[topic], entry.key, entry.value, entry.timestamp_ms, entry) for topic, entry in batch])
        usual = Counter(topic for topic, _ in batch)
        accept_each = exchange.accept_each

        def counted(arrivals: Any) -> None:
            usual.subtract(arrival[0].dataset.raw_topic for arrival in arrivals)
            accept_each(arrivals)

        exchange.accept_each = counted  # type: ignore[method-assign]
        exchange.accept(
            [(partition.datasets[topic], entry.key, entry.value, entry.timestamp_ms, entry) for topic, entry in batch]
        )
        exchange.accept_each = accept_each  # type: ignore[method-assign]
        self.usual += usual.total()
        self.unusual += len(batch) - usual.total()
        self.in_bulk += sum(usual[topic] for topic, each in partition.datasets.items() if self._has_bulk_loop(each))
        outputs = [output for output in exchange.outputs if not _of_entities(output[0])]
        assert sorted(outputs, key=place) == sorted(alone.outputs, key=place)
        assert {key: each for key, each in exchange.pending.items() if key[:1] == b"\x01"} == alone.pending
        for topic, each in partition.datasets.items():
            assert counts(each) == counts(twins[topic])

    def _has_bulk_loop(self, each: DatasetExchange) -> bool:
        limits = self.revision.partitions, self.revision.max_record_bytes
        views = tuple(active.view for active in each.views)
        return difference.LEAST_IN_BULK == 1 and bulk_loop(each.dataset, views, limits) is not None

    def _append(self, outputs: Sequence[Any], *, anew: bool = False) -> None:
        for topic, value, key, partition, _, _, timestamp_ms, headers in outputs:
            if topic.startswith("share.") or _of_entities(topic):
                assert anew or self.sent.get((topic, key)) != value, "what the subscriber has is sent again"
                self.sent[topic, key] = value
            self.publish(topic, partition, key, value, timestamp_ms, headers or ())

    def _count(self, partition: AssignedPartition) -> None:
        for each in partition.datasets.values():
            self.verdicts.update(accepted=each.accepted, duplicate=each.duplicate, stale=each.stale)
            self.failed.update(each.failed)
            self.rejected.update({str(reason): count for reason, count in each.rejected.items()})
            each.forget_counts()

    # --- death --------------------------------------------------------------------------------------------------------

    deadly = False
    """Whether the process may die by itself at its weak points."""

    def _maybe_die(self, chance: float) -> None:
        if self.deadly and self.rng.random() < chance:
            raise Died

    def kill(self, *, lose_state: bool = False) -> None:
        """End the process; with *lose_state* its folders are gone too."""
        for partition in self.partitions.values():
            partition.state.close()
        self.partitions = {}
        if lose_state:
            shutil.rmtree(self.folder, ignore_errors=True)


def _of_entities(topic: str) -> bool:
    """Return whether a topic is made by cross-checks: a golden view, the discrepancies, or what is shared of them."""
    return topic.startswith(("golden.", "discrepancy")) or ".golden." in topic


def place(output: Output) -> tuple[str, bytes]:
    """Within what the order of outputs matters: topic and key."""
    return output[0], output[2] or b""


def counts(each: DatasetExchange) -> list[Any]:
    """Everything counted; the times of what was sent in any order."""
    each.sent_at.sort()
    each.sent_changed.sort()
    wiring = ("dataset", "state_prefix", "views", "checks", "number", "touched")
    names = [name for name in DatasetExchange.__dataclass_fields__ if name not in wiring]
    views = [name for name in ActiveView.__dataclass_fields__ if name != "view"]
    of_views = [[getattr(view, name) for name in views] for view in each.views]
    return [*(getattr(each, name) for name in names if name != "slow"), of_views]


@dataclass
class Read:
    """A message as a consumer hands it over; without an entry it is the end of the partition."""

    of: str
    number: int
    at: int
    entry: Entry | None

    def partition(self) -> int:
        return self.number

    def topic(self) -> str:
        return self.of

    def offset(self) -> int:
        return self.at

    def error(self) -> KafkaError | None:
        return None if self.entry else KafkaError(KafkaError._PARTITION_EOF)

    def key(self) -> bytes | None:
        return self.entry.key if self.entry else None

    def value(self) -> bytes | None:
        return self.entry.value if self.entry else None

    def headers(self) -> object:
        return self.entry.headers() if self.entry else None


class Reader:
    """A consumer of the logs: topics in any order, a few records at a time."""

    def __init__(self, bus: SimulatedBus) -> None:
        self.bus = bus
        self.queues: list[list[Read]] = []

    def assign(self, places: Sequence[TopicPartition]) -> None:
        for place in places:
            log = self.bus.logs.get((place.topic, place.partition), [])
            queue = [Read(place.topic, place.partition, entry.at, entry) for entry in log if entry.at >= place.offset]
            end = self.bus.ends[place.topic, place.partition]
            self.queues.append([*queue, Read(place.topic, place.partition, end, None)])

    def poll(self, _timeout_seconds: float) -> Read | None:
        filled = [queue for queue in self.queues if queue]
        return self.bus.rng.choice(filled).pop(0) if filled else None

    def consume(self, _most: int, _timeout_seconds: float) -> list[Read]:
        found = []
        for queue in self.queues:
            count = self.bus.rng.choice([0, 1, 2, 50])
            found += queue[:count]
            del queue[:count]
        return found
