"""What the exchange does with bad input: a reject with its reason or a wait that is said, and the neighbours go on."""

from __future__ import annotations

import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from integration.bus_process import running
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID, CAR, PARTITIONS, PERSON, READING, STATISTICS, citizen_id, person
from oracle.avro import varint
from stack_fixture import RunningStack

from govbus.codec.schemas import record_schema
from govbus.errors import GovbusError
from govbus.kafka.registry import Registry
from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack

HOUR_MICROS = 3_600_000_000
Bad = tuple[bytes | None, bytes | None, dict[str, Any]]
"""Key, value, and what else `send_bad` shall be told."""


def with_many_types(documents: Any) -> None:
    """Give persons fields of the types whose bytes can be wrong in their own ways."""
    fields = documents["schemas/police/person.avsc"]["fields"]
    fields += [
        {"name": "married", "type": "boolean"},
        {"name": "state", "type": {"type": "enum", "name": "state_code", "symbols": ["ALIVE", "GONE"]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "marks", "type": {"type": "map", "values": "long"}},
    ]
    for each in ("married", "state", "tags", "marks"):
        documents["producers/police/person.yaml"]["fields"][each] = {"title": each, "grade": "L1"}
    documents["schemas/police/person.usual.pass.json"] |= {"married": False, "state": "ALIVE", "tags": [], "marks": {}}


def full(number: int, **changed: Any) -> dict[str, Any]:
    return person(number, **{"married": True, "state": "ALIVE", "tags": ["甲"], "marks": [("a", 1)], **changed})


TAIL = b"\x01\x00" + b"\x02\x06\xe7\x94\xb2\x00" + b"\x02\x02a\x02\x00"
"""The bytes of married, state, tags and marks of `full`."""


class Case:
    """One bad record, made for a key of its own."""

    def __init__(self, bus: ExchangeBus, number: int) -> None:
        self.bus, self.number = bus, number
        self.record = full(number)
        self.key = bus.key(PERSON, self.record)
        self.version = bus.version()
        self.good = bus.value(PERSON, self.record, self.version)

    def tail(self, tail: bytes) -> Bad:
        assert self.good.endswith(TAIL)
        return self.key, self.good[: -len(TAIL)] + tail, {}

    def instead(self, old: bytes, new: bytes) -> Bad:
        assert self.good.count(old) == 1
        return self.key, self.good.replace(old, new), {}

    def versioned(self, version: int) -> Bad:
        return self.key, self.bus.value(PERSON, self.record, version), {}

    def framed(self, frame: bytes) -> Bad:
        return self.key, frame + self.good[5:], {}

    def identified(self, text: str) -> Bad:
        record = {**self.record, "citizen_id": text}
        return text.encode(), self.bus.value(PERSON, record, self.version), {}

    def deletion(self, *headers: tuple[str, bytes]) -> Bad:
        return self.key, None, {"headers": headers}

    @property
    def name(self) -> bytes:
        return varint(len(self.record["name"].encode())) + self.record["name"].encode()

    @property
    def elsewhere(self) -> int:
        return (crc32(self.key) + 1) % PARTITIONS


def frame(schema_id: int) -> bytes:
    return b"\x00" + schema_id.to_bytes(4, "big")


KINDS: dict[str, tuple[str, Callable[[Case], Bad]]] = {
    "nothing at all": ("not_framed", lambda c: (c.key, b"", {})),
    "half a frame": ("not_framed", lambda c: (c.key, c.good[:3], {})),
    "wrong magic byte": ("not_framed", lambda c: (c.key, b"\x01" + c.good[1:], {})),
    "a text": ("not_framed", lambda c: (c.key, b'{"citizen_id": "x"}', {})),
    "unknown schema id": ("unknown_schema", lambda c: c.framed(frame(2_000_000_000))),
    "schema id of another topic": ("foreign_schema", lambda c: c.framed(frame(c.bus.schema_id(CAR)))),
    "schema id of a share topic": ("foreign_schema", lambda c: c.framed(frame(c.bus.revision.view_schema_ids[AID]))),
    "only a frame": ("malformed", lambda c: (c.key, c.good[:5], {})),
    "truncated": ("malformed", lambda c: (c.key, c.good[:-1], {})),
    "truncated in a text": ("malformed", lambda c: (c.key, c.good[:40], {})),
    "trailing byte": ("malformed", lambda c: (c.key, c.good + b"\x00", {})),
    "another record behind": ("malformed", lambda c: (c.key, c.good + c.good, {})),
    "union branch too high": ("malformed", lambda c: c.instead(b"\x02\x0c8902", b"\x04\x0c8902")),
    "union branch negative": ("malformed", lambda c: c.instead(b"\x02\x0c8902", b"\x01\x0c8902")),
    "negative length": ("malformed", lambda c: c.instead(c.name, b"\x0d" + c.name[1:])),
    "huge length": ("malformed", lambda c: c.instead(c.name, varint(2**40) + c.name[1:])),
    "invalid UTF-8": ("malformed", lambda c: c.instead("欧".encode(), b"\xff\xfe\xfd")),
    "surrogate in UTF-8": ("malformed", lambda c: c.instead("欧".encode(), b"\xed\xa0\x80")),
    "overlong length": ("malformed", lambda c: c.instead(c.name, bytes([c.name[0] | 0x80, 0]) + c.name[1:])),
    "overlong version": (
        "malformed",
        lambda c: (c.key, c.good[:5] + bytes([*c.good[5:12], c.good[12] | 0x80, 0]) + c.good[13:], {}),
    ),
    "endless number": ("malformed", lambda c: (c.key, c.good[:5] + b"\xff" * 30, {})),
    "int of 40 bits": (
        "malformed",
        lambda c: c.instead(varint(c.record["birth_date"]) + b"\x02\x0c8902", varint(2**40) + b"\x02\x0c8902"),
    ),
    "boolean of 2": ("malformed", lambda c: c.tail(b"\x02" + TAIL[1:])),
    "enum index too high": ("malformed", lambda c: c.tail(b"\x01\x04" + TAIL[2:])),
    "enum index negative": ("malformed", lambda c: c.tail(b"\x01\x01" + TAIL[2:])),
    "block size too small": ("malformed", lambda c: c.tail(b"\x01\x00\x01\x02\x06\xe7\x94\xb2\x00" + TAIL[8:])),
    "block size too large": ("malformed", lambda c: c.tail(b"\x01\x00\x01\x0c\x06\xe7\x94\xb2\x00" + TAIL[8:])),
    "more items than bytes": ("malformed", lambda c: c.tail(b"\x01\x00" + varint(2**50) + TAIL[3:])),
    "array without its end": ("malformed", lambda c: c.tail(TAIL[:7])),
    "null key": ("null_key", lambda c: (None, c.good, {"partition": crc32(c.key) % PARTITIONS})),
    "empty key": ("null_key", lambda c: (b"", c.good, {"partition": crc32(c.key) % PARTITIONS})),
    "key of somebody else": ("key_mismatch", lambda c: (citizen_id(c.number + 1).encode(), c.good, {})),
    "key with more behind": ("key_mismatch", lambda c: (c.key + b"\x1fA", c.good, {})),
    "wrong partition": ("wrong_partition", lambda c: (c.key, c.good, {"partition": c.elsewhere})),
    "wrong check digit": (
        "invalid_value",
        lambda c: c.identified(c.record["citizen_id"][:-1] + ("1" if c.record["citizen_id"][-1] == "0" else "0")),
    ),
    "id of 15 digits": ("invalid_value", lambda c: c.identified("890201120101001")),
    "id in full-width digits": (
        "invalid_value",
        lambda c: c.identified(c.record["citizen_id"].translate({0x30 + n: 0xFF10 + n for n in range(10)})),
    ),
    "id of a day that is not": ("invalid_value", lambda c: c.identified("890201201202300016")),
    "version 0": ("version_range", lambda c: c.versioned(0)),
    "version negative": ("version_range", lambda c: c.versioned(-5)),
    "version above 2^62": ("version_range", lambda c: c.versioned(2**62 + 1)),
    "source clock 8 hours ahead": (
        "version_ahead",
        lambda c: c.versioned(time.time_ns() // 1000 + 8 * HOUR_MICROS),
    ),
    "deletion without version": ("version_missing", lambda c: c.deletion()),
    "deletion with version in words": ("version_missing", lambda c: c.deletion(("version", b"seven"))),
    "deletion with version 0": ("version_range", lambda c: c.deletion(("version", b"0"))),
    "deletion above 2^62": ("version_range", lambda c: c.deletion(("version", str(2**62 + 1).encode()))),
    "deletion 8 hours ahead": (
        "version_ahead",
        lambda c: c.deletion(("version", str(time.time_ns() // 1000 + 8 * HOUR_MICROS).encode())),
    ),
    "deletion without key": (
        "null_key",
        lambda c: (None, None, {"headers": (("version", b"1"),), "partition": 0}),
    ),
    "deletion on a wrong partition": (
        "wrong_partition",
        lambda c: (c.key, None, {"headers": (("version", b"%d" % c.version),), "partition": c.elsewhere}),
    ),
    "10 MB that compress to little": (
        "oversize",
        lambda c: (c.key, c.bus.value(PERSON, {**c.record, "name": "王" * 3_500_000}, c.version), {}),
    ),
    "just above the limit": (
        "oversize",
        lambda c: (c.key, c.bus.value(PERSON, {**c.record, "name": "王" * 22_000}, c.version), {}),
    ),
}


class BadRun:
    """All kinds of bad records in one run, each between good ones of its own partition; what came out of it."""

    def __init__(self, bus: ExchangeBus) -> None:
        self.bus = bus
        self.sent: dict[str, tuple[bytes | None, bytes | None]] = {}
        self.good = 0
        for place, (kind, (_, make)) in enumerate(KINDS.items()):
            number = place * 1_000
            key, value, more = make(Case(bus, number))
            where = more.get("partition", crc32((key or b"").partition(b"\x1f")[0]) % PARTITIONS)
            neighbours = [
                n for n in range(number + 10, number + 90) if crc32(citizen_id(n).encode()) % PARTITIONS == where
            ]
            bus.upsert(full(neighbours[0]))
            bus.send_bad(key, value, *more.pop("headers", ()), ("kind", kind.encode()), **more)
            bus.upsert(full(neighbours[1]))
            bus.upsert(full(neighbours[0], income=7))
            self.sent[kind] = (key, value)
            self.good += 2
        bus.exchange()
        self.expected = bus.check()
        raw = {(each.partition, each.offset): dict(each.headers) for each in bus.read(bus.topics.raw(PERSON))}
        self.rejects = {}
        for each in bus.rejects():
            headers = dict(each.headers)
            kind = raw[int(headers["partition"]), int(headers["offset"])].get("kind", b"a good record").decode()
            assert kind not in self.rejects
            self.rejects[kind] = each


@pytest.fixture(scope="module")
def bad_run(stack: RunningStack, shared_prefix: str, tmp_path_factory: pytest.TempPathFactory) -> BadRun:
    settings = stack.settings(tmp_path_factory.mktemp("bad"))
    return BadRun(ExchangeBus(settings, shared_prefix, settings.city_dir, edit=with_many_types))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_record_is_put_aside_with_its_reason(bad_run: BadRun, kind: str) -> None:
    """Each kind of bad record lands in its department's rejects, as it came, under the one reason that it has."""
    reason, _ = KINDS[kind]
    key, value = bad_run.sent[kind]
    reject = bad_run.rejects[kind]
    headers = dict(reject.headers)
    assert headers["reason"].decode() == reason
    assert reject.key == key
    if reason == "oversize":
        assert value is not None
        assert reject.value is None
        assert headers["sha256"].decode() == hashlib.sha256(value).hexdigest()
        assert headers["size"] == b"%d" % len(value)
    else:
        assert reject.value == value


def test_neighbours_of_bad_records_are_unaffected(bad_run: BadRun) -> None:
    """Every good record before, between and after the bad ones reached its views, and none was put aside."""
    assert len(bad_run.expected[AID]) == bad_run.good
    assert set(bad_run.rejects) == set(KINDS)


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> ExchangeBus:
    return ExchangeBus(settings, topic_prefix, tmp_path / "city", edit=with_many_types)


def test_one_version_has_one_meaning(bus: ExchangeBus) -> None:
    """The same version with other values, or as upsert and as deletion, is a reject; with equal values it is not."""
    version = bus.upsert(full(1))
    bus.upsert(full(1), version)
    bus.send_bad(citizen_id(1).encode(), bus.value(PERSON, full(1, illness="另"), version))
    bus.send_bad(citizen_id(1).encode(), None, ("version", b"%d" % version))
    gone = bus.delete(full(2))
    bus.delete(full(2), gone)
    bus.send_bad(citizen_id(2).encode(), bus.value(PERSON, full(2), gone))
    bus.exchange()

    assert list(bus.check()[AID]) == [citizen_id(1).encode()]
    assert bus.reasons() == ["version_conflict"] * 3


def test_another_layout_of_the_same_record_is_accepted(bus: ExchangeBus) -> None:
    """Arrays in blocks with sizes, as Java writes them, are valid: the bus keeps and compares their shortest form."""
    case = Case(bus, 1)
    key, blocked, _ = case.tail(b"\x01\x00\x01\x08\x06\xe7\x94\xb2\x00" + b"\x01\x06\x02a\x02\x00")
    bus.send(key, blocked)
    bus.send(key, case.good)
    bus.exchange()

    assert len(bus.check()[AID]) == 1
    assert [each.value for each in bus.read(bus.topics.current(PERSON))] == [case.good]
    assert bus.reasons() == []


def test_dates_beyond_the_calendar(bus: ExchangeBus) -> None:
    """A date that no calendar holds cannot be masked: that row alone stays away from such views."""
    for number, days in enumerate((-(2**31), 2**31 - 1, -719_163, -719_162, 2_932_896, 2_932_897, 15_000)):
        bus.upsert(full(number, birth_date=days))
    bus.exchange()

    assert len(bus.check()[AID]) == 7


def test_a_poison_run(bus: ExchangeBus, seed: int) -> None:
    """A thousand records of noise in one go cost nobody else anything: all are put aside, the good ones travel."""
    rng = Random(seed)
    for number in range(1_000):
        noise = rng.randbytes(rng.randrange(200))
        bus.send_bad(citizen_id(number).encode(), bus.frame(PERSON) + noise if rng.random() < 0.7 else b"\x05" + noise)
        if number % 100 == 0:
            bus.upsert(full(number))
    bus.exchange()

    assert len(bus.check()[AID]) == 10
    assert set(bus.reasons()) <= {"malformed", "not_framed", "key_mismatch"}
    assert len(bus.reasons()) == 1_000


def test_one_bit_wrong(bus: ExchangeBus, seed: int) -> None:
    """A record with one flipped bit is rejected, or is what the strict oracle reads in it: never a crash."""
    rng = Random(seed)
    for number in range(400):
        value = bytearray(bus.value(PERSON, full(number), bus.version()))
        # Behind version and time: those say when, and here it shall be the same for bus and oracle.
        value[rng.randrange(21, len(value))] ^= 1 << rng.randrange(8)
        kind = bus.record_type(PERSON)
        try:
            record = bus.decode(kind, bytes(value))
            good = record["citizen_id"] == citizen_id(number)
        except ValueError:
            good = False
        (bus.send if good else bus.send_bad)(citizen_id(number).encode(), bytes(value))
    bus.exchange()

    bus.check()
    assert len(bus.rejects()) == sum(bool(each.headers) for each in bus.read(bus.topics.raw(PERSON)))


class Door:
    """A port that leads to the registry once it is opened."""

    def __init__(self, url: str) -> None:
        host, _, rest = url.removeprefix("http://").partition(":")
        port, _, path = rest.partition("/")
        self._target = (host, int(port))
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/{path}"

    def open(self) -> None:
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                inside, _ = self._listener.accept()
            except OSError:
                return
            outside = socket.create_connection(self._target)
            for one, other in ((inside, outside), (outside, inside)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()

    def close(self) -> None:
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


@contextmanager
def door_to(url: str) -> Iterator[Door]:
    door = Door(url)
    try:
        yield door
    finally:
        door.close()


def test_without_registry_known_schemas_flow_and_an_unknown_one_waits(bus: ExchangeBus) -> None:
    """A registry that is away holds up nothing it need not be asked for; what must be asked for waits, and is said."""
    with door_to(bus.settings.need_registry_url()) as door:
        bus.upsert(full(1))
        bus.flush()
        away = {"GOVBUS_REGISTRY_URL": door.url}
        with running(bus, "exchange", "--until-caught-up", environment=away) as worker:
            assert worker.wait() == 0, worker.said
        assert len(bus.check()[AID]) == 1

        bus.upsert(full(2))
        bus.send_bad(citizen_id(3).encode(), frame(2_000_000_000) + b"\x00")
        bus.upsert(full(4))
        bus.upsert({"station": "89001", "heat": 1}, dataset=READING)
        bus.flush()
        with running(bus, "exchange", "--until-caught-up", environment=away) as worker:
            worker.wait_until_says("waiting for the schema registry")
            assert worker.running
            assert bus.reasons() == []
            door.open()
            assert worker.wait() == 0, worker.said
    assert len(bus.check()[AID]) == 3
    assert bus.reasons() == ["unknown_schema"]


def test_a_schema_registered_since_is_asked_for(bus: ExchangeBus) -> None:
    """A compatible schema that its owner registered after `apply` is known from its first record on, also later."""
    schema = dict(bus.documents["schemas/police/person.avsc"])
    more = {"name": "height", "type": ["null", "int"], "default": None}
    grown = record_schema({**schema, "fields": [*schema["fields"], more]})
    registry = Registry(bus.settings)
    number = registry.register(bus.topics.subject(bus.topics.raw(PERSON)), grown)
    bus.also_known[PERSON] = [(number, grown)]
    bus.upsert(full(1))
    bus.upsert(full(2))
    version = bus.version()
    bus.send(citizen_id(1).encode(), frame(number) + bus.value(PERSON, full(1, income=3), version)[5:] + b"\x02\x04")
    bus.exchange()
    assert len(bus.check()[AID]) == 2

    bus.upsert(full(1, income=4))
    bus.upsert(full(2, income=4))
    bus.exchange()

    bus.check()
    assert bus.reasons() == []


def test_what_the_brokers_never_take_is_put_aside_alone(bus: ExchangeBus) -> None:
    """Of a batch that fails again and again the one record at fault is found and put aside; the others arrive."""
    setting = ConfigEntry("max.message.bytes", "8000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, bus.topics.current(PERSON), incremental_configs=[setting])
    for future in bus.admin.incremental_alter_configs([resource]).values():
        future.result(30)
    for number in range(6):
        bus.upsert(full(number))
    noise = secrets.token_hex(15_000)
    large = full(7, name=noise)
    bus.send_bad(bus.key(PERSON, large), bus.value(PERSON, large, bus.version()))
    for number in range(10, 16):
        bus.upsert(full(number))

    failures = 0
    while True:
        try:
            bus.exchange(batch_records=4)
            break
        except GovbusError:
            failures += 1
            assert failures < 30

    assert failures > 0
    assert len(bus.check()[AID]) == len(bus.check()[STATISTICS]) == 12
    assert bus.reasons() == ["unprocessable"]
