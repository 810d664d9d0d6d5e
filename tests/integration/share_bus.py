"""A bus with nothing behind it: it applies small catalogues and writes share topics as the exchange would.

Delivery is tested against it with a plain transactional producer, so that a test decides what stands in a topic, in
which order, under which schema. `rows` is what a subscriber must hold at rest: the last record of every key.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from typing import Any

import fastavro
from confluent_kafka import Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)

from govbus.catalogue.model import (
    Ask,
    AskedDataset,
    Catalogue,
    City,
    Contact,
    Dataset,
    Department,
    FieldEntry,
    Grant,
    Subscriber,
    Update,
)
from govbus.catalogue.views import share_views
from govbus.codec.framing import header
from govbus.codec.view_schema import view_schema
from govbus.kafka.registry import Registry
from govbus.kafka.revisions import Revision, write_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.rules.mask import pseudonym
from govbus.rules.record_key import partition_of, record_key
from govbus.rules.share import ShareView, Withheld

PARTITIONS = 3
SUBSCRIBER, ASK = "education", "school_place"
PSEUDONYM_KEY = b"k" * 32
CONTACT = Contact(role="数据岗")
DATE = {"type": "int", "logicalType": "date"}

Row = Mapping[str, Any]


def person_schema(**types: Any) -> dict[str, Any]:
    """The business schema of a dataset; keyword arguments add or replace fields."""
    fields: dict[str, Any] = {
        "citizen_id": "string",
        "name": "string",
        "birth_date": DATE,
        "address": ["null", "string"],
        **types,
    }
    return {"type": "record", "name": "population", "fields": [{"name": n, "type": t} for n, t in fields.items()]}


@dataclass
class Table:
    """One dataset as it is declared: its schema, key, what is asked and granted of it."""

    avro: dict[str, Any] = field(default_factory=person_schema)
    key: tuple[str, ...] = ("citizen_id",)
    fields: dict[str, Any] = field(default_factory=dict)
    granted: bool = True
    state: str = "active"

    @property
    def masks(self) -> dict[str, Any]:
        return self.fields or dict.fromkeys((each["name"] for each in self.avro["fields"]), "pass")


class ShareBus:
    """A city of one department and one ask, on the session's servers, under topics of its own."""

    def __init__(self, settings: Settings, prefix: str, delivery: Mapping[str, Any], retention: str = "30d") -> None:
        self.settings = settings
        self.topics = Topics(prefix)
        self.delivery = dict(delivery)
        self.retention = retention
        self.tables: dict[str, Table] = {"police.population": Table()}
        self.rows: dict[str, dict[bytes, Row]] = {}
        self.admin = AdminClient({"bootstrap.servers": settings.need_bootstrap_servers()})
        self._registry = Registry(settings)
        self._number = 0
        self._writers: dict[str, tuple[bytes, Any]] = {}
        self._views: dict[str, ShareView] = {}
        self._producer: Producer | None = None
        self._make_topic(self.topics.catalogue, 1, {})

    # --- declaring -------------------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Apply what `tables` says: topics, schemas, then the revision."""
        catalogue = self._catalogue()
        schema_ids = {}
        self._views = {}
        for view in share_views(catalogue):
            if isinstance(view, Withheld):
                continue
            topic = self.topics.share(view.id)
            schema = view_schema(catalogue.datasets[view.dataset].avro, view)
            schema_ids[view.id] = self._registry.register(self.topics.subject(topic), schema)
            self._registry.set_compatibility(self.topics.subject(topic), "NONE")
            self._writers[view.dataset] = header(schema_ids[view.id]), fastavro.parse_schema(schema)
            self._views[view.dataset] = view
            if topic not in self.admin.list_topics(timeout=30).topics:
                self._make_topic(topic, PARTITIONS, self.topic_policy)
        self._number += 1
        write_revision(
            self.settings,
            Revision(
                number=self._number,
                applied_at="2026-01-01T00:00:00Z",
                catalogue=catalogue,
                schema_ids={},
                view_schema_ids=schema_ids,
                deleted_schema_id=0,
                pseudonym_keys={},
            ),
        )

    topic_policy: Mapping[str, str] = {"cleanup.policy": "compact,delete", "retention.ms": "-1"}

    def _catalogue(self) -> Catalogue:
        until = date(2099, 12, 31)
        datasets, asked = {}, {}
        for name, table in self.tables.items():
            department, _, dataset = name.partition(".")
            grant = Grant(
                to=SUBSCRIBER,
                purpose="school_place",
                legal_basis="依据",
                until=until,
                state=table.state,  # type: ignore[arg-type]
                fields=table.masks,
            )
            datasets[name] = Dataset(
                department=department,
                dataset=dataset,
                title="人口",
                resource_code="101001/000001",
                subject=table.key[0],
                key=table.key,
                share="conditional",
                update=Update(cycle="daily"),
                region="890000",
                legal_basis="依据",
                contact=CONTACT,
                fields={each["name"]: FieldEntry(title="项", grade="L1") for each in table.avro["fields"]},
                grants=(grant,) if table.granted else (),
                avro=table.avro,
            )
            asked[name] = AskedDataset(fields=table.masks)
        ask = Ask(
            subscriber=SUBSCRIBER,
            ask=ASK,
            purpose="school_place",
            legal_basis="依据",
            scenario="学位申请",
            until=until,
            datasets=asked,
            delivery=self.delivery,
        )
        subscriber = Subscriber(
            subscriber=SUBSCRIBER, title="教育局", code="x", clearance="L4", region="890000", contact=CONTACT
        )
        department = Department(department="police", title="公安局", code="x", region="890000", contact=CONTACT)
        return Catalogue(
            city=City(
                city="yunhai",
                title="云海市",
                division="890000",
                partitions=PARTITIONS,
                topic_prefix=self.topics.prefix,
                delete_retention=self.retention,
            ),
            departments={"police": department},
            datasets=datasets,
            subscribers={SUBSCRIBER: subscriber},
            asks={f"{SUBSCRIBER}.{ASK}": ask},
        )

    def _make_topic(self, name: str, partitions: int, policy: Mapping[str, str]) -> None:
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(policy))
        for made in self.admin.create_topics([topic]).values():
            made.result(30)

    def topic(self, dataset: str = "police.population") -> str:
        return self.topics.share(f"{SUBSCRIBER}.{ASK}/{dataset}")

    def delete_topic(self, dataset: str = "police.population") -> None:
        """Delete the share topic; return when the brokers no longer list it."""
        for deleted in self.admin.delete_topics([self.topic(dataset)]).values():
            deleted.result(30)
        deadline = time.monotonic() + 30
        while self.topic(dataset) in self.admin.list_topics(timeout=30).topics:
            assert time.monotonic() < deadline, "the topic does not go"
            time.sleep(0.05)

    def topic_id(self, dataset: str = "police.population") -> str:
        """The id by which the brokers tell this topic from an earlier one of its name."""
        described = self.admin.describe_topics(TopicCollection([self.topic(dataset)]))
        return str(described[self.topic(dataset)].result(30).topic_id)

    def delete_topics(self) -> None:
        """Delete every topic of this bus, where the session's own clean-up does not reach."""
        ours = [name for name in self.admin.list_topics(timeout=30).topics if name.startswith(self.topics.prefix)]
        for deleted in self.admin.delete_topics(ours).values():
            deleted.result(30)

    def rule(self, permission: AclPermissionType, operation: AclOperation, dataset: str = "police.population") -> None:
        """Allow or deny everybody this operation on the share topic; what no rule allows is then denied."""
        anyone = (ResourcePatternType.LITERAL, "User:*", "*", operation, permission)
        for made in self.admin.create_acls([AclBinding(ResourceType.TOPIC, self.topic(dataset), *anyone)]).values():
            made.result(30)

    def make_topic_again(self, dataset: str = "police.population") -> None:
        """Delete the share topic and make it anew, empty."""
        self.delete_topic(dataset)
        self._make_topic(self.topic(dataset), PARTITIONS, self.topic_policy)
        self.rows[dataset] = {}

    def ends(self, dataset: str = "police.population") -> dict[tuple[str, int], int]:
        """The end of every partition of the share topic, transactions under way included."""
        topic = self.topic(dataset)
        wanted = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(PARTITIONS)}
        return {
            (at.topic, at.partition): found.result(30).offset for at, found in self.admin.list_offsets(wanted).items()
        }

    # --- writing ---------------------------------------------------------------------------------------------------

    def key_of(self, row: Row, dataset: str = "police.population") -> bytes:
        key = record_key([str(row[name]) for name in self.tables[dataset].key])
        view = self._views.get(dataset)
        return pseudonym(PSEUDONYM_KEY, key).encode() if view is not None and not view.key_in_clear else key

    def value_of(self, row: Row, dataset: str = "police.population") -> bytes:
        """The framed record of *row*, which holds the view's fields as they are delivered."""
        head, schema = self._writers[dataset]
        stream = BytesIO()
        fastavro.schemaless_writer(stream, schema, {f["name"]: row[f["name"]] for f in schema["fields"]})
        return head + stream.getvalue()

    def bare_value_of(self, row: Row, dataset: str = "police.population") -> bytes:
        """The framed record of *row* in bare numbers and bytes: any value that Avro holds, also none of Python's."""
        head, schema = self._writers[dataset]
        stream = BytesIO()
        fastavro.schemaless_writer(stream, fastavro.parse_schema(_without_logical_types(schema)), dict(row))
        return head + stream.getvalue()

    def send(
        self,
        upserts: Iterable[Row] = (),
        deletes: Iterable[Row] = (),
        dataset: str = "police.population",
        keyed_as: Iterable[Row] | None = None,
    ) -> None:
        """Write records and tombstones in one committed transaction; *keyed_as* are the rows before their masks."""
        upserts = list(upserts)
        keys = [self.key_of(row, dataset) for row in keyed_as or upserts]
        changes = list(zip(keys, upserts, strict=True))
        gone = [self.key_of(row, dataset) for row in deletes]
        self._transaction(
            dataset, [(key, self.value_of(row, dataset)) for key, row in changes] + [(key, None) for key in gone], True
        )
        held = self.rows.setdefault(dataset, {})
        held.update(changes)
        for key in gone:
            held.pop(key, None)

    def send_aborted(self, upserts: Iterable[Row], dataset: str = "police.population") -> None:
        """Write records in a transaction that is aborted: nobody may ever see them."""
        values = [(self.key_of(row, dataset), self.value_of(row, dataset)) for row in upserts]
        self._transaction(dataset, values, False)

    def send_bytes(self, key: bytes, value: bytes | None, dataset: str = "police.population") -> None:
        self._transaction(dataset, [(key, value)], True)

    def _transaction(self, dataset: str, records: Iterable[tuple[bytes, bytes | None]], commit: bool) -> None:
        if self._producer is None:
            self._producer = Producer(
                {
                    "bootstrap.servers": self.settings.need_bootstrap_servers(),
                    "transactional.id": f"{self.topics.prefix}bus",
                    "linger.ms": 5,
                    "queue.buffering.max.messages": 1_000_000,
                }
            )
            self._producer.init_transactions(30)
        self._producer.begin_transaction()
        for key, value in records:
            self._producer.produce(self.topic(dataset), value, key, partition=partition_of(key, PARTITIONS))
        if commit:
            self._producer.commit_transaction(30)
        else:
            self._producer.flush(30)
            self._producer.abort_transaction(30)

    def delete_records(self, dataset: str = "police.population") -> None:
        """Cut the share topic's log at its present end: what was written is gone, but not what it said."""
        ends = [
            TopicPartition(self.topic(dataset), partition, -1) for partition in range(PARTITIONS)
        ]  # -1 is the high watermark
        for cut in self.admin.delete_records(ends).values():
            cut.result(30)


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical_types(each) for each in schema]
    if isinstance(schema, dict):
        dropped = ("logicalType", "precision", "scale", "__fastavro_parsed_schema", "__named_schemas")
        return {word: _without_logical_types(part) for word, part in schema.items() if word not in dropped}
    return schema


def people(first: int, count: int, **more: Any) -> list[dict[str, Any]]:
    """Rows of the dataset that `person_schema` describes, with ids that no citizen has."""
    return [
        {
            "citizen_id": f"89010119900101{number:04}",
            "name": f"王{number}",
            "birth_date": date(1990, 1, 1 + number % 28),
            "address": None if number % 3 else f"云海市第{number}号\t\\路\n",
            **more,
        }
        for number in range(first, first + count)
    ]
