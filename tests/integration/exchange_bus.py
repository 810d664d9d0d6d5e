"""A small city on real servers for the exchange's tests: declared in files, applied, published to, held to the oracle.

What departments say is written byte by byte with the oracle's own encoder, so a test can also say what is wrong. The
oracle reads the raw topics back; whatever a test marked as bad there must have no effect on any view.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from integration.committed import CommittedReader, Seen
from integration.tiny_city import DOCUMENTS, MAX_RECORD_BYTES, PARTITIONS, PERSON, TODAY, Document
from oracle import avro, views
from oracle.avro import Record
from oracle.views import Event, Latest

from govbus.catalogue.check import load
from govbus.exchange.worker import Worker
from govbus.health import Health
from govbus.kafka.revisions import Revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.apply import apply

BAD = ("test", b"bad")
"""The header by which a test tells its oracle that a raw record must have no effect."""


class ExchangeBus:
    """The city, applied under topics of the test's own. `documents` may be edited, then `apply` makes it so."""

    def __init__(
        self, settings: Settings, prefix: str, folder: Path, edit: Callable[[Any], None] | None = None
    ) -> None:
        self.settings = replace(settings, city_dir=folder)
        self.topics = Topics(prefix)
        self.documents: dict[str, Any] = copy.deepcopy(dict(DOCUMENTS))
        self.documents["city.yaml"] = {
            "city": "tiny",
            "title": "小城",
            "division": "890000",
            "replication_factor": 1,
            "min_insync_replicas": 1,
            "partitions": PARTITIONS,
            "max_record_bytes": MAX_RECORD_BYTES,
            "topic_prefix": prefix,
        }
        if edit is not None:
            edit(self.documents)
        self.admin = AdminClient({"bootstrap.servers": settings.need_bootstrap_servers()})
        self._producer = Producer(
            {
                "bootstrap.servers": settings.need_bootstrap_servers(),
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": 40_000_000,
            }
        )
        self._reader = CommittedReader(settings)
        self._clock = time.time_ns() // 1000 - 60_000_000
        self.revision: Revision
        self.also_known: dict[str, list[tuple[int, Any]]] = {}
        """Per dataset the schemas that stand under its subject beside the applied ones: id and schema."""
        self.apply()

    # --- declaring ----------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write the declarations as files."""
        for name, document in self.documents.items():
            path = self.settings.city_dir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith(".yaml"):
                text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
            else:
                text = json.dumps(document, ensure_ascii=False)
            path.write_text(text, encoding="utf-8")

    def forget(self, name: str) -> None:
        """Withdraw the declaration in file *name*."""
        del self.documents[name]
        (self.settings.city_dir / name).unlink()

    def apply(self) -> None:
        """Make the present documents the revision in force."""
        self.write()
        self.revision = apply(self.settings, load(self.settings.city_dir), today=TODAY).revision

    # --- publishing ---------------------------------------------------------------------------------------------------

    def version(self) -> int:
        """Return a version higher than every one before, in the recent past."""
        self._clock += 1_000
        return self._clock

    def schema_id(self, dataset: str) -> int:
        return self.revision.schema_ids[dataset][-1][0]

    def business(self, dataset: str) -> Record:
        """Return the record type of a dataset's business fields, as its newest applied schema says."""
        department, _, name = dataset.partition(".")
        kind = avro.parse(self.documents[f"schemas/{department}/{name}.avsc"])
        assert isinstance(kind, Record)
        return kind

    def body(self, dataset: str, record: Mapping[str, Any]) -> bytes:
        """Return the Avro bytes of the business fields of *record*."""
        kind = self.business(dataset)
        value: Document = {}
        for each in kind.fields:
            plain = record.get(each.name)
            if isinstance(each.type, avro.Union):
                plain = avro.Branch(0, None) if plain is None else avro.Branch(1, plain)
            value[each.name] = plain
        return avro.encode(kind, value)

    def frame(self, dataset: str) -> bytes:
        return b"\x00" + self.schema_id(dataset).to_bytes(4, "big")

    def value(self, dataset: str, record: Mapping[str, Any], version: int) -> bytes:
        """Return the bytes of *record* on the wire."""
        meta = avro.varint(version) + avro.varint(min(version, time.time_ns() // 1000))
        return self.frame(dataset) + meta + self.body(dataset, record)

    def key(self, dataset: str, record: Mapping[str, Any]) -> bytes:
        department, _, name = dataset.partition(".")
        fields = self.documents[f"producers/{department}/{name}.yaml"]["key"]
        return "\x1f".join(str(record[field]) for field in fields).encode()

    def upsert(self, record: Mapping[str, Any], version: int | None = None, dataset: str = PERSON) -> int:
        """Say that *record* is so now; return its version."""
        version = self.version() if version is None else version
        self.send(self.key(dataset, record), self.value(dataset, record, version), dataset=dataset)
        return version

    def delete(self, record: Mapping[str, Any], version: int | None = None, dataset: str = PERSON) -> int:
        """Say that *record* is gone; return the version of that."""
        version = self.version() if version is None else version
        self.send(self.key(dataset, record), None, [("version", str(version).encode())], dataset=dataset)
        return version

    def send(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]] | None = None,
        *,
        dataset: str = PERSON,
        partition: int | None = None,
        producer: Producer | None = None,
    ) -> None:
        """Put these bytes on a raw topic, on the partition of the key unless another is named."""
        producer = producer or self._producer
        where = crc32((key or b"").partition(b"\x1f")[0]) % PARTITIONS if partition is None else partition
        while True:
            try:
                producer.produce(self.topics.raw(dataset), value, key, where, headers=headers or [])
                return
            except BufferError:
                producer.poll(0.1)

    def send_bad(self, key: bytes | None, value: bytes | None, *headers: tuple[str, bytes], **more: Any) -> None:
        """As `send`, for what must have no effect on any view."""
        self.send(key, value, [*headers, BAD], **more)

    def flush(self) -> None:
        """Wait until everything sent has arrived."""
        assert self._producer.flush(60) == 0

    # --- exchanging ---------------------------------------------------------------------------------------------------

    def worker(self, worker_id: str = "w1", **more: Any) -> Worker:
        return Worker(self.settings, self.topics, worker_id, Health("exchange", worker_id, stall_seconds=60), **more)

    def exchange(self, worker_id: str = "w1", **more: Any) -> None:
        """Exchange everything published so far, in this process."""
        self.flush()
        self.worker(worker_id, **more).run(until_caught_up=True)

    def state_folder(self, worker_id: str = "w1") -> Path:
        return self.settings.home / "state" / worker_id

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "GOVBUS_HOME": str(self.settings.home),
            "GOVBUS_CACHE": str(self.settings.cache),
            "GOVBUS_BOOTSTRAP_SERVERS": self.settings.need_bootstrap_servers(),
            "GOVBUS_REGISTRY_URL": self.settings.need_registry_url(),
            "GOVBUS_POSTGRES_URL": self.settings.need_postgres_url(),
        }

    # --- looking ------------------------------------------------------------------------------------------------------

    def read(self, topic: str) -> list[Seen]:
        """Return every committed record of *topic*, per partition in order, up to its present end."""
        return self._reader.read(topic)

    def shared(self, view: str) -> dict[bytes, bytes]:
        """Return what a subscriber holds who read its whole share topic: key -> value without the framing.

        Fails where a record has a header, another schema than the view's, or lies on a partition not its key's.
        """
        frame = b"\x00" + self.revision.view_schema_ids.get(view, 0).to_bytes(4, "big")
        held: dict[bytes, bytes] = {}
        for seen in self.read(self.topics.share(view)):
            assert seen.headers == ()
            assert seen.key
            assert seen.partition == crc32(seen.key.partition(b"\x1f")[0]) % PARTITIONS
            if seen.value is None:
                held.pop(seen.key, None)
            else:
                held[seen.key] = seen.value
        for value in held.values():
            assert value[:5] == frame
        return {key: value[5:] for key, value in held.items()}

    def rejects(self, department: str = "police") -> list[Seen]:
        return self.read(self.topics.reject(department))

    def reasons(self, department: str = "police") -> list[str]:
        """Return the reasons of all rejects of a department, sorted."""
        return sorted(dict(seen.headers)["reason"].decode() for seen in self.rejects(department))

    def record_type(self, dataset: str) -> Record:
        """Return the type of a dataset's records on the wire, as applied last."""
        return _record(self.revision.schema_ids[dataset][-1][1])

    @staticmethod
    def decode(kind: Record, value: bytes) -> Any:
        """Return the oracle's reading of the bytes of a record. Raises ValueError where they are not one."""
        try:
            found, _ = avro.decode(kind, value[5:])
        except avro.Malformed as error:
            raise ValueError(str(error)) from error
        return found

    # --- the oracle ---------------------------------------------------------------------------------------------------

    def latest(self) -> dict[str, Latest]:
        """Return the newest record of every key, as the oracle finds it in the raw topics."""
        held: dict[str, Latest] = {}
        for dataset in self.revision.schema_ids:
            newest = self.business(dataset)
            known = [*self.revision.schema_ids[dataset], *self.also_known.get(dataset, ())]
            writers = {number: _record(schema) for number, schema in known}
            held[dataset] = Latest()
            for seen in self.read(self.topics.raw(dataset)):
                if BAD in seen.headers:
                    continue
                assert seen.key
                key = seen.key.decode()
                if seen.value is None:
                    held[dataset].add(Event(dataset, key, int(dict(seen.headers)["version"])))
                    continue
                writer = writers[int.from_bytes(seen.value[1:5], "big")]
                value = self.decode(writer, seen.value)
                record = avro.resolve(writer, newest, value)
                held[dataset].add(Event(dataset, key, value["_version"], record))
        return held

    def expected(self, now: datetime | None = None) -> dict[str, dict[bytes, bytes]]:
        """Return what the oracle says that each ask must hold of each dataset: key -> Avro bytes."""
        keys = {
            path.name.removesuffix(".key"): path.read_bytes()
            for path in (self.settings.home / "secrets" / "pseudonym").glob("*.key")
        }
        declared = views.read(self.settings.city_dir)
        tables = views.all_tables(declared, self.latest(), now or datetime.now(UTC), keys)
        return {view: table.encoded() for view, table in tables.items()}

    def check(self) -> dict[str, dict[bytes, bytes]]:
        """Fail unless every share topic holds what the oracle says; return that."""
        expected = self.expected()
        topics = self.admin.list_topics(timeout=30).topics
        for view, rows in expected.items():
            if self.topics.share(view) in topics:
                shared = self.shared(view)
                assert shared.keys() == rows.keys(), f"{view}: {len(shared)} rows, expected {len(rows)}"
                assert shared == rows, view
            else:
                assert not rows, f"{view} has no topic"
        return expected


def _record(schema: Any) -> Record:
    kind = avro.parse(schema)
    assert isinstance(kind, Record)
    return kind
