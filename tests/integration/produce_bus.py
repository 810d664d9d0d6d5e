"""A city of one department for the adapters' tests: declared in Python, applied to real servers, read back from raw."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from govbus.catalogue.model import Catalogue
from govbus.codec.framing import header
from govbus.codec.schemas import DELETED, record_schema
from govbus.kafka.registry import Registry
from govbus.kafka.revisions import Revision, write_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.rules.record_key import partition_of

PARTITIONS = 3
DATE = {"type": "int", "logicalType": "date"}
PERSON_FIELDS: list[dict[str, Any]] = [
    {"name": "citizen_id", "type": "string"},
    {"name": "name", "type": "string"},
    {"name": "sex", "type": "string"},
    {"name": "birth_date", "type": DATE},
    {"name": "division", "type": ["null", "string"], "default": None},
]
PERSON_ENTRIES = {
    "citizen_id": {"title": "公民身份号码", "grade": "L3", "format": "citizen_id"},
    "name": {"title": "姓名", "grade": "L3"},
    "sex": {"title": "性别", "grade": "L2", "codes": "sex"},
    "birth_date": {"title": "出生日期", "grade": "L3"},
    "division": {"title": "区划", "grade": "L2", "format": "division"},
}
CONTACT = {"role": "数据岗"}


@dataclass(frozen=True)
class Sent:
    """One record of a raw topic. `record` None: a deletion."""

    key: bytes
    version: int
    changed_at: int
    record: dict[str, Any] | None
    partition: int
    offset: int


class ProduceBus:
    """The datasets of the department `police`, on the session's servers, under topics of their own."""

    def __init__(self, settings: Settings, prefix: str) -> None:
        self.settings = replace(settings, city_dir=settings.home)
        self.topics = Topics(prefix)
        self.datasets: dict[str, dict[str, Any]] = {}
        self.vocabulary: dict[str, Any] = {"code_lists": {"sex": {"1": "男", "2": "女"}}}
        self._admin = AdminClient({"bootstrap.servers": settings.need_bootstrap_servers()})
        self._registry = Registry(settings)
        self._number = 0
        self._make(self.topics.catalogue, 1, {})
        self._make(self.topics.progress, 1, {"cleanup.policy": "compact"})

    def declare(
        self,
        name: str = "population",
        source: Mapping[str, Any] | None = None,
        fields: list[dict[str, Any]] | None = None,
        entries: Mapping[str, Any] | None = None,
        key: tuple[str, ...] = ("citizen_id",),
        **more: Any,
    ) -> str:
        """Declare a dataset of police; return its id."""
        self.datasets[f"police.{name}"] = {
            "department": "police",
            "dataset": name,
            "title": "人口",
            "resource_code": "101001/000001",
            "subject": key[0],
            "key": list(key),
            "share": "conditional",
            "update": {"cycle": "daily"},
            "region": "890000",
            "legal_basis": "依据",
            "contact": CONTACT,
            "fields": dict(entries or PERSON_ENTRIES),
            "source": dict(source) if source else {"kind": "python"},
            "avro": {"type": "record", "name": name, "fields": fields or PERSON_FIELDS},
            **more,
        }
        return f"police.{name}"

    def apply(self) -> None:
        """Make topics, register schemas and write the revision."""
        schema_ids = {}
        for dataset, declared in self.datasets.items():
            for topic in (self.topics.raw(dataset), self.topics.current(dataset)):
                if topic not in self._admin.list_topics(timeout=30).topics:
                    self._make(topic, PARTITIONS, {})
            schema = record_schema(declared["avro"])
            subject = self.topics.subject(self.topics.raw(dataset))
            schema_ids[dataset] = ((self._registry.register(subject, schema), schema),)
        self._deleted_schema_id = self._registry.register(f"{self.topics.prefix}bus.deleted-value", DELETED)
        self._number += 1
        catalogue = Catalogue.model_validate(
            {
                "city": {
                    "city": "test",
                    "title": "试验市",
                    "division": "890000",
                    "partitions": PARTITIONS,
                    "replication_factor": 1,
                    "min_insync_replicas": 1,
                    "topic_prefix": self.topics.prefix,
                },
                "vocabulary": self.vocabulary,
                "departments": {
                    "police": {
                        "department": "police",
                        "title": "公安局",
                        "code": "11890000008900038B",
                        "region": "890000",
                        "contact": CONTACT,
                    }
                },
                "datasets": self.datasets,
            }
        )
        write_revision(
            self.settings,
            Revision(
                number=self._number,
                applied_at="2026-01-01T00:00:00Z",
                catalogue=catalogue,
                schema_ids=schema_ids,
                view_schema_ids={},
                deleted_schema_id=self._deleted_schema_id,
                pseudonym_keys={},
            ),
        )

    def remake_raw(self, dataset: str = "police.population") -> None:
        """Delete the raw topic and make it again, empty."""
        topic = self.topics.raw(dataset)
        self._admin.delete_topics([topic])[topic].result(timeout=30)
        _wait(lambda: topic not in self._admin.list_topics(timeout=30).topics)
        self._make(topic, PARTITIONS, {})

    def cut_raw(self, dataset: str = "police.population") -> None:
        """Remove everything from the raw topic, as retention does in the course of time."""
        ends = [
            TopicPartition(self.topics.raw(dataset), partition, high)
            for partition, (_, high) in self._watermarks(self.topics.raw(dataset)).items()
            if high
        ]
        for deleted in self._admin.delete_records(ends).values():
            deleted.result(timeout=30)

    def accept(self, dataset: str = "police.population") -> None:
        """Write into the current topic what the worker would: the newest of each key, deletions as bus.Deleted."""
        held: dict[bytes, tuple[int, bytes]] = {}
        schema = fastavro.parse_schema(record_schema(self.datasets[dataset]["avro"]))
        for message in self._read(self.topics.raw(dataset)):
            sent = _sent(message, schema)
            value = message.value()
            if value is None:
                out = BytesIO()
                fastavro.schemaless_writer(out, DELETED, {"version": sent.version, "time": sent.changed_at})
                value = header(self._deleted_schema_id) + out.getvalue()
            held[sent.key] = max(held.get(sent.key, (0, b"")), (sent.version, value))
        producer = Producer({"bootstrap.servers": self.settings.need_bootstrap_servers()})
        for key, (_, value) in held.items():
            producer.produce(self.topics.current(dataset), value, key, partition_of(key, PARTITIONS))
        assert producer.flush(30) == 0

    def raw(self, dataset: str = "police.population") -> list[Sent]:
        """Return everything in the raw topic, per partition in order."""
        topic = self.topics.raw(dataset)
        schema = fastavro.parse_schema(record_schema(self.datasets[dataset]["avro"]))
        return [_sent(message, schema) for message in self._read(topic)]

    def newest(self, dataset: str = "police.population") -> dict[bytes, dict[str, Any]]:
        """Return what the bus would hold: of every key the record of the highest version, deleted ones left out.

        Fails where one version of a key carries two different values: the bus would have to refuse one of them.
        """
        held: dict[bytes, Sent] = {}
        for sent in self.raw(dataset):
            assert sent.partition == partition_of(sent.key, PARTITIONS)
            before = held.get(sent.key)
            if before is not None and before.version == sent.version:
                assert before.record == sent.record
            if before is None or sent.version > before.version:
                held[sent.key] = sent
        return {key: sent.record for key, sent in held.items() if sent.record is not None}

    @contextmanager
    def end_of_raw(self, dataset: str = "police.population") -> Iterator[Callable[[], int]]:
        """Yield a quick function that tells how many records the raw topic has been given."""
        topic = self.topics.raw(dataset)
        consumer = Consumer({"bootstrap.servers": self.settings.need_bootstrap_servers(), "group.id": "test"})
        partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        try:
            yield lambda: sum(consumer.get_watermark_offsets(each, timeout=30)[1] for each in partitions)
        finally:
            consumer.close()

    def polls(self) -> list[tuple[str, bytes]]:
        """Return (key, value) of every completed look noted on bus.progress."""
        return [(message.key().decode(), message.value()) for message in self._read(self.topics.progress)]

    def _read(self, topic: str) -> list[Any]:
        return read_all(self.settings, topic)

    def _watermarks(self, topic: str) -> dict[int, tuple[int, int]]:
        return _watermarks(self.settings, topic)

    def _make(self, topic: str, partitions: int, config: dict[str, str]) -> None:
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config)
        self._admin.create_topics([new])[topic].result(timeout=30)
        _wait(lambda: len(self._admin.list_topics(topic, timeout=30).topics[topic].partitions) == partitions)


def read_all(settings: Settings, topic: str) -> list[Any]:
    """Return every message of *topic*, per partition in order."""
    ends = _watermarks(settings, topic)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.need_bootstrap_servers(),
            "group.id": "test",
            "enable.partition.eof": False,
            "enable.auto.commit": False,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, low) for partition, (low, _) in ends.items()])
        missing = {partition for partition, (low, high) in ends.items() if low < high}
        found = []
        while missing:
            message = consumer.poll(30)
            assert message is not None
            assert message.error() is None, message.error()
            found.append(message)
            if message.offset() + 1 >= ends[message.partition()][1]:
                missing.discard(message.partition())
    finally:
        consumer.close()
    return found


def _watermarks(settings: Settings, topic: str) -> dict[int, tuple[int, int]]:
    consumer = Consumer({"bootstrap.servers": settings.need_bootstrap_servers(), "group.id": "test"})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=30) for p in partitions}
    finally:
        consumer.close()


def _wait(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


wait_for = _wait


def _sent(message: Any, schema: Any) -> Sent:
    key, value = message.key(), message.value()
    if value is None:
        headers = {name: int(text) for name, text in message.headers()}
        return Sent(key, headers["version"], headers["changed_at"], None, message.partition(), message.offset())
    record = fastavro.schemaless_reader(BytesIO(value[5:]), schema, None)
    version, changed_at = record.pop("_version"), record.pop("_changed_at")
    micros = round(changed_at.timestamp() * 1_000_000)
    return Sent(key, version, micros, record, message.partition(), message.offset())
