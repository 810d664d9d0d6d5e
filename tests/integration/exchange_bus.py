"""A small city on real servers for the exchange's tests: declared in files, applied, published to, held to the oracle.

What departments say is written byte by byte with the oracle's own encoder, so a test can also say what is wrong. The
oracle reads the raw topics back; whatever a test marked as bad there must have no effect on any view.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import yaml
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
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

PARTITIONS = 4
TODAY = date(2026, 6, 1)
MAX_RECORD_BYTES = 65_536
BAD = ("test", b"bad")
"""The header by which a test tells its oracle that a raw record must have no effect."""
PERSON, CAR, READING = "police.person", "police.car", "weather.reading"
PLACES, STATISTICS, AID, HEAT = (
    "school.places/police.person",
    "school.statistics/police.person",
    "care.aid/police.person",
    "care.heat/weather.reading",
)
CARS = "care.aid/police.car"
_CONTACT = {"role": "数据岗"}
_LAW = "数据共享条例第三条"

Document = dict[str, Any]


def _grant(to: str, purpose: str, fields: Mapping[str, Any], **more: Any) -> Document:
    return {"to": to, "purpose": purpose, "legal_basis": _LAW, "until": "2099-12-31", "fields": dict(fields), **more}


def _department(name: str, title: str, code: str) -> Document:
    return {"department": name, "title": title, "code": code, "region": "890000", "contact": _CONTACT}


def _dataset(name: str, resource: str, **more: Any) -> Document:
    return {
        "dataset": name,
        "title": name,
        "resource_code": resource,
        "share": "conditional",
        "update": {"cycle": "daily"},
        "region": "890000",
        "legal_basis": _LAW,
        "contact": _CONTACT,
        "source": {"kind": "python"},
        **more,
    }


def _subscriber(name: str, code: str) -> Document:
    return {
        "subscriber": name,
        "title": name,
        "code": code,
        "clearance": "L3",
        "region": "890000",
        "contact": _CONTACT,
    }


def _ask(name: str, purpose: str, datasets: Document, delivery: Document | None = None) -> Document:
    return {
        "ask": name,
        "purpose": purpose,
        "legal_basis": _LAW,
        "scenario": "核验",
        "until": "2099-12-31",
        "datasets": datasets,
        "delivery": delivery or {"kind": "topic"},
    }


PASS_ALL = dict.fromkeys(("citizen_id", "name", "sex", "birth_date", "division", "income"), "pass")
DOCUMENTS: Mapping[str, Document] = {
    "schemas/elements.yaml": {
        "purposes": {"places": "学位", "statistics": "统计", "aid": "救助", "heat": "高温"},
        "code_lists": {"sex": {"1": "男", "2": "女"}},
    },
    "producers/police/department.yaml": _department("police", "公安局", "11890000008900038B"),
    "producers/weather/department.yaml": _department("weather", "气象局", "11890000000009048L"),
    "producers/police/person.yaml": _dataset(
        "person",
        "101001/000001",
        subject="citizen_id",
        key=["citizen_id"],
        fields={
            "citizen_id": {"title": "公民身份号码", "grade": "L3", "format": "citizen_id"},
            "name": {"title": "姓名", "grade": "L3"},
            "sex": {"title": "性别", "grade": "L2", "codes": "sex"},
            "birth_date": {"title": "出生日期", "grade": "L3"},
            "division": {"title": "区划", "grade": "L2"},
            "income": {"title": "收入", "grade": "L3"},
            "illness": {"title": "疾病", "grade": "L4"},
        },
        grants=[
            _grant(
                "school",
                "places",
                {"citizen_id": "pass", "name": {"mask": {"first": 1}}, "birth_date": "pass", "sex": "pass"},
                rows={"birth_date": {"range": {"from": "2008-01-01", "to": "2020-12-31"}}},
            ),
            _grant(
                "school",
                "statistics",
                {"citizen_id": "pseudonym", "division": {"generalise": {"division": 4}}, "income": "pass"},
            ),
            _grant("care", "aid", PASS_ALL),
        ],
    ),
    "producers/police/car.yaml": _dataset(
        "car",
        "101001/000002",
        subject="citizen_id",
        key=["citizen_id", "plate"],
        fields={
            "citizen_id": {"title": "公民身份号码", "grade": "L3", "format": "citizen_id"},
            "plate": {"title": "号牌", "grade": "L2"},
            "seats": {"title": "座位", "grade": "L1"},
        },
        grants=[_grant("care", "aid", {"citizen_id": "pass", "plate": "pass", "seats": "pass"})],
    ),
    "producers/weather/reading.yaml": _dataset(
        "reading",
        "302022/000001",
        share="unconditional",
        openness="open",
        subject="station",
        key=["station"],
        fields={"station": {"title": "站号", "grade": "L1"}, "heat": {"title": "气温", "grade": "L1"}},
    ),
    "schemas/police/person.avsc": {
        "type": "record",
        "name": "person",
        "fields": [
            {"name": "citizen_id", "type": "string"},
            {"name": "name", "type": "string"},
            {"name": "sex", "type": "string"},
            {"name": "birth_date", "type": {"type": "int", "logicalType": "date"}},
            {"name": "division", "type": ["null", "string"], "default": None},
            {"name": "income", "type": ["null", "long"], "default": None},
            {"name": "illness", "type": ["null", "string"], "default": None},
        ],
    },
    "schemas/police/car.avsc": {
        "type": "record",
        "name": "car",
        "fields": [
            {"name": "citizen_id", "type": "string"},
            {"name": "plate", "type": "string"},
            {"name": "seats", "type": "int"},
        ],
    },
    "schemas/weather/reading.avsc": {
        "type": "record",
        "name": "reading",
        "fields": [{"name": "station", "type": "string"}, {"name": "heat", "type": "int"}],
    },
    "schemas/police/person.usual.pass.json": {
        "citizen_id": "890201197806301238",
        "name": "欧阳建国",
        "sex": "1",
        "birth_date": "1978-06-30",
    },
    "schemas/police/person.no_name.fail.json": {"citizen_id": "890201197806301238", "sex": "1"},
    "schemas/police/car.usual.pass.json": {"citizen_id": "890201197806301238", "plate": "云A12345", "seats": 5},
    "schemas/police/car.no_plate.fail.json": {"citizen_id": "890201197806301238", "seats": 5},
    "schemas/weather/reading.usual.pass.json": {"station": "89001", "heat": 215},
    "schemas/weather/reading.text.fail.json": {"station": "89001", "heat": "hot"},
    "consumers/school/subscriber.yaml": _subscriber("school", "11890000008904143F"),
    "consumers/care/subscriber.yaml": _subscriber("care", "118900000089041507"),
    "consumers/school/places.yaml": _ask(
        "places",
        "places",
        {
            PERSON: {
                "fields": {
                    "citizen_id": "pass",
                    "name": {"mask": {"first": 1}},
                    "birth_date": {"generalise": "year"},
                    "sex": "pass",
                },
                "rows": {"sex": {"equals": "1"}},
            }
        },
    ),
    "consumers/school/statistics.yaml": _ask(
        "statistics",
        "statistics",
        {
            PERSON: {
                "fields": {
                    "citizen_id": "pseudonym",
                    "division": {"generalise": {"division": 4}},
                    "income": {"generalise": {"band": 1000}},
                }
            }
        },
    ),
    "consumers/care/aid.yaml": _ask(
        "aid",
        "aid",
        {
            PERSON: {"fields": PASS_ALL},
            CAR: {"fields": {"citizen_id": "pass", "plate": "pass", "seats": "pass"}},
        },
    ),
    "consumers/care/heat.yaml": _ask("heat", "heat", {READING: {"fields": {"station": "pass", "heat": "pass"}}}),
}


def citizen_id(number: int) -> str:
    """Return the *number*-th valid citizen id of the fictional city (GB 11643, ISO 7064 MOD 11-2)."""
    first = (
        f"890201{2008 + number // 100_000 % 13}{1 + number // 9_000 % 11:02}{1 + number // 999 % 9:02}{number % 999:03}"
    )
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(first))
    return first + "10X98765432"[total % 11]


def person(number: int, **changed: Any) -> Document:
    """Return the *number*-th person, a child who is seen by every ask about persons."""
    return {
        "citizen_id": citizen_id(number),
        "name": f"欧阳{number}",
        "sex": "1",
        "birth_date": date(2012, 1, 1).toordinal() - date(1970, 1, 1).toordinal() + number % 365,
        "division": f"8902{number % 90 + 10}",
        "income": number * 10,
        "illness": None,
        **changed,
    }


@dataclass(frozen=True)
class Seen:
    """One record of a topic as a reader of committed records gets it."""

    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


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
            "GOVBUS_BOOTSTRAP_SERVERS": self.settings.need_bootstrap_servers(),
            "GOVBUS_REGISTRY_URL": self.settings.need_registry_url(),
            "GOVBUS_POSTGRES_URL": self.settings.need_postgres_url(),
        }

    # --- looking ------------------------------------------------------------------------------------------------------

    def read(self, topic: str) -> list[Seen]:
        """Return every committed record of *topic*, per partition in order, up to its present end."""
        return read_committed(self.settings, topic)

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


def read_committed(settings: Settings, topic: str) -> list[Seen]:
    """Return every committed record of *topic* up to its end as it is now, waiting for open transactions."""
    consumer = Consumer(
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
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=30) for p in partitions}
        missing = {p for p, (low, high) in ends.items() if low < high}
        consumer.assign([TopicPartition(topic, p, ends[p][0]) for p in missing])
        found: list[Seen] = []
        deadline = time.monotonic() + 60
        while missing:
            assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
            for message in consumer.consume(1_000, 0.1):
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    if message.offset() >= ends[message.partition()][1]:
                        missing.discard(message.partition())
                    continue
                key, value = message.key(), message.value()
                headers = tuple(message.headers() or ())
                found.append(Seen(key, value, message.partition(), message.offset(), headers, message.timestamp()[1]))
    finally:
        consumer.close()
    return sorted(found, key=lambda seen: (seen.partition, seen.offset))


def eventually(condition: Callable[[], object], seconds: float = 60, pause_seconds: float = 0.05) -> None:
    """Wait until *condition* holds. Fails when it does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(pause_seconds)


class BusProcess:
    """One govbus command as a process of its own. Ended with the context, if it has not ended by then."""

    def __init__(self, bus: ExchangeBus, *words: str, environment: Mapping[str, str] | None = None) -> None:
        folder = bus.settings.home / "test-output"
        folder.mkdir(parents=True, exist_ok=True)
        self.output = folder / f"{words[0]}-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "govbus", "--city", str(bus.settings.city_dir), *words]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, env=bus.environment() | dict(environment or {}), stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def said(self) -> str:
        """What it printed and logged."""
        return self.output.read_text()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 90) -> int:
        """Return its exit code once it has ended by itself."""
        return self.process.wait(seconds)

    def wait_until_says(self, text: str, seconds: float = 60) -> None:
        eventually(lambda: text in self.said or not self.running, seconds)
        assert text in self.said, self.said

    def kill(self) -> None:
        """End it as a power cut would. Fails if it had ended before."""
        assert self.running, f"it ended by itself:\n{self.said}"
        self.process.kill()
        self.process.wait(30)

    def __enter__(self) -> BusProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.process.kill()
            self.process.wait(30)


@contextmanager
def running(bus: ExchangeBus, *words: str, **more: Any) -> Iterator[BusProcess]:
    """Yield a running govbus command."""
    with BusProcess(bus, *words, **more) as process:
        yield process
