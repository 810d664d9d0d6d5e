"""The exchange against the limit: an exactly-once copy with no work, same broker, same client settings, interleaved.

    make bench ONLY=exchange        EVENTS=400000 REPEATS=3 PARTITIONS=4 to change the load

Each run is a process of its own: the copy reads population events and writes them to one topic; the exchange checks and
versions them, keeps state and its changelog, and serves three subscribers: a projection, a row filter, and masks with a
pseudonym. All are timed from the first record read to the last commit.

A second copy writes to as many topics as the exchange does, as many bytes and still without any work: how far it lies
behind the first is the price of outputs, how far the exchange lies behind it the price of work. Compiled kernels are
made before the first run, as they are once per machine.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import fastavro
import rig
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import NewTopic

from govbus.catalogue.model import Ask, AskedDataset, Catalogue, City, Contact, Dataset, FieldEntry, Grant, Update
from govbus.catalogue.views import share_views
from govbus.codec.framing import header
from govbus.codec.schemas import DELETED, record_schema
from govbus.codec.view_schema import view_schema
from govbus.exchange.bulk.loading import make
from govbus.exchange.difference import Output
from govbus.exchange.transaction import Transactions
from govbus.exchange.worker import BATCH_RECORDS, SLICE_RECORDS, Worker
from govbus.health import Health
from govbus.kafka import clients
from govbus.kafka.pseudonym_keys import key_file
from govbus.kafka.registry import Registry
from govbus.kafka.revisions import Revision, fingerprint, write_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.city.families import population
from govbus.ops.stack import Stack
from govbus.rules.record_key import partition_of
from govbus.rules.share import ShareView

ROOT = Path(__file__).resolve().parent.parent
EVENTS = int(os.environ.get("EVENTS", "400000"))
REPEATS = int(os.environ.get("REPEATS", "3"))
PARTITIONS = int(os.environ.get("PARTITIONS", "4"))
DATASET = "public_security.population"

ASKS = {
    "projection": (["citizen_id", "name", "birth_date", "household_division", "alive_status"], None, {}),
    "row_filter": (
        ["citizen_id", "name", "sex", "household_division", "household_address"],
        {"household_division": {"prefix": "8903"}},
        {},
    ),
    "masked": (
        ["citizen_id", "name", "birth_date", "household_division"],
        None,
        {
            "citizen_id": "pseudonym",
            "name": {"mask": {"first": 1}},
            "birth_date": {"generalise": "year"},
            "household_division": {"generalise": {"division": 4}},
        },
    ),
}


SAME_OUTPUTS = (None, 82, 95, 75)
"""Of a copy to ``current`` and three share topics: up to which byte of each record, about what the views take."""


def catalogue(prefix: str) -> Catalogue:
    """Return a city of one register and three subscribers."""
    avro = json.loads((ROOT / "schemas/public_security/population.avsc").read_text())
    contact, until = Contact(role="bench"), date(2099, 12, 31)
    fields = {
        each["name"]: FieldEntry(title=each["name"], grade="L3", format="citizen_id" if n == 0 else None)
        for n, each in enumerate(avro["fields"])
    }
    asked = {
        name: ({path: masks.get(path, "pass") for path in paths}, rows) for name, (paths, rows, masks) in ASKS.items()
    }
    grants = tuple(
        Grant(to=name, purpose="bench", legal_basis="bench", until=until, fields=wanted)
        for name, (wanted, _) in asked.items()
    )
    dataset = Dataset(
        department="public_security", dataset="population", title="人口", resource_code="101001/000001",
        subject="citizen_id", key=("citizen_id",), share="conditional", update=Update(cycle="daily"), region="890000",
        legal_basis="bench", contact=contact, fields=fields, grants=grants, avro=avro,
    )  # fmt: skip
    asks = {
        f"{name}.bench": Ask(
            subscriber=name,
            ask="bench",
            purpose="bench",
            legal_basis="bench",
            scenario="bench",
            until=until,
            datasets={DATASET: AskedDataset(fields=wanted, rows=rows)},
            delivery={"kind": "topic"},
        )
        for name, (wanted, rows) in asked.items()
    }
    city = City(
        city="bench", title="bench", division="890000", partitions=PARTITIONS, replication_factor=1,
        min_insync_replicas=1, topic_prefix=prefix,
    )  # fmt: skip
    return Catalogue(city=city, datasets={DATASET: dataset}, asks=asks)


def apply(settings: Settings, prefix: str) -> int:
    """Make topics, subjects, keys and the revision; return the record schema's id."""
    wanted, topics, registry = catalogue(prefix), Topics(prefix), Registry(settings)
    views = [view for view in share_views(wanted) if isinstance(view, ShareView)]
    stamped, compact = {"message.timestamp.type": "LogAppendTime"}, {"cleanup.policy": "compact"}
    make = [
        (topics.raw(DATASET), stamped), (topics.current(DATASET), compact), (topics.reject("public_security"), {}),
        (topics.progress, compact), (topics.tick, stamped), *((topics.share(view.id), compact) for view in views),
    ]  # fmt: skip
    new = [NewTopic(name, PARTITIONS, 1, config=config) for name, config in make]
    admin = clients.admin(settings)
    for future in admin.create_topics([*new, NewTopic(topics.catalogue, 1, 1)]).values():
        future.result()
    schema = record_schema(wanted.datasets[DATASET].avro)
    schema_id = registry.register(topics.subject(topics.raw(DATASET)), schema)
    keys: dict[str, str] = {}
    for view in views:
        file = key_file(settings, f"{view.subscriber}.{view.purpose}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(secrets.token_bytes(32))
        keys[f"{view.subscriber}.{view.purpose}"] = fingerprint(file.read_bytes())
    revision = Revision(
        number=1,
        applied_at="",
        catalogue=wanted,
        schema_ids={DATASET: ((schema_id, schema),)},
        view_schema_ids={
            view.id: registry.register(
                topics.subject(topics.share(view.id)), view_schema(wanted.datasets[DATASET].avro, view)
            )
            for view in views
        },
        deleted_schema_id=registry.register("bus.deleted-value", DELETED),
        pseudonym_keys=keys,
    )
    write_revision(settings, revision)
    return schema_id


def events(count: int) -> list[tuple[bytes, bytes]]:
    """Return (key, Avro without frame) of *count* citizens."""
    avro = record_schema(json.loads((ROOT / "schemas/public_security/population.avsc").read_text()))
    parsed = fastavro.parse_schema(avro)
    now = datetime.now(UTC)
    micros = int(now.timestamp() * 1_000_000)
    found = []
    for number, citizen in enumerate(population(count, 1)):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, {**citizen, "_version": micros + number, "_changed_at": now})
        found.append((citizen["citizen_id"].encode(), out.getvalue()))
        if len(found) == count:
            break
    return found


def publish(settings: Settings, topic: str, schema_id: int, batch: list[tuple[bytes, bytes]]) -> None:
    """Publish *batch* as a department would, each record to its subject's partition."""
    producer = clients.producer(settings, queue_buffering_max_messages=1_000_000, linger_ms=20)
    frame = header(schema_id)
    for key, value in batch:
        while True:
            try:
                producer.produce(topic, frame + value, key, partition_of(key, PARTITIONS))
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


class TimedWorker(Worker):
    """A worker that remembers when it began its first batch and ended its last."""

    began = 0.0
    ended = 0.0

    def _exchange(self, messages: Sequence[Message]) -> None:
        self.began = self.began or time.perf_counter()
        super()._exchange(messages)
        self.ended = time.perf_counter()


def run_exchange(settings: Settings, prefix: str) -> float:
    """Exchange everything; return the seconds from the first record to the last commit."""
    worker = TimedWorker(settings, Topics(prefix), f"bench-{secrets.token_hex(4)}", Health("exchange", "bench"))
    worker.run(until_caught_up=True)
    return worker.ended - worker.began


def run_copy(settings: Settings, prefix: str, cuts: Sequence[int | None] = (None,)) -> float:
    """Copy everything, exactly once and with the worker's client settings; return the seconds.

    *cuts*: per topic written to, up to which byte of each record.
    """
    topics = Topics(prefix)
    targets = [f"{prefix}copy{number}.{secrets.token_hex(4)}" for number in range(len(cuts))]
    target = targets[0]
    admin = clients.admin(settings)
    for future in admin.create_topics([NewTopic(each, PARTITIONS, 1) for each in targets]).values():
        future.result()
    transactions = Transactions(settings, target)
    transactions.start()
    worker = Worker(settings, topics, target, Health("exchange", "bench"))
    consumer: Consumer = clients.consumer(settings, target, **worker.consumer_properties())
    consumer.assign([TopicPartition(topics.raw(DATASET), number, 0) for number in range(PARTITIONS)])

    def outputs(slice_of: Sequence[Message]) -> Iterator[Output]:
        if len(cuts) == 1:
            return ((target, m.value(), m.key(), m.partition(), None, None, m.timestamp()[1], None) for m in slice_of)
        records = [(m.value(), m.key(), m.partition(), m.timestamp()[1]) for m in slice_of]
        return (
            (topic, value[:cut], key, number, None, None, at_ms, None)
            for value, key, number, at_ms in records
            for topic, cut in zip(targets, cuts, strict=True)
        )

    done, began = 0, 0.0
    while done < EVENTS:
        first = consumer.poll(0.05)
        if first is None:
            continue
        began = began or time.perf_counter()
        messages = [first, *consumer.consume(BATCH_RECORDS - 1, 0.0)]
        with transactions.open():
            for at in range(0, len(messages), SLICE_RECORDS):
                transactions.produce(outputs(messages[at : at + SLICE_RECORDS]))
            moved = {(m.topic(), m.partition()): m.offset() + 1 for m in messages}
            transactions.commit(consumer, [TopicPartition(t, p, o) for (t, p), o in moved.items()])
        done += len(messages)
    seconds = time.perf_counter() - began
    consumer.close()
    return seconds


def run_copy_as_many(settings: Settings, prefix: str) -> float:
    """Copy to as many topics as the exchange writes to, about as many bytes; return the seconds."""
    return run_copy(settings, prefix, SAME_OUTPUTS)


RUNS = {"copy": run_copy, "copy as many": run_copy_as_many, "exchange": run_exchange}


def main() -> None:
    """Measure, print, write the result file."""
    settings = Settings.load(ROOT, {**os.environ, "GOVBUS_HOME": os.environ.get("GOVBUS_HOME") or tempfile.mkdtemp()})
    own = None if settings.bootstrap_servers else Stack(settings.home, cache=ROOT / ".cache")
    try:
        if own is not None:
            own.up()
            settings = Settings.load(ROOT, {**os.environ, "GOVBUS_HOME": str(settings.home)})
        measure(settings)
    finally:
        if own is not None:
            own.down(purge=True)


def measure(settings: Settings) -> None:
    batch = events(EVENTS)
    size = sum(len(value) for _, value in batch) / len(batch)
    make(settings.home / "kernels")
    memory = []
    speeds: dict[str, list[float]] = {what: [] for what in RUNS}
    for repeat in range(REPEATS):
        prefix = f"b{secrets.token_hex(3)}."
        publish(settings, Topics(prefix).raw(DATASET), apply(settings, prefix), batch)
        for what in list(RUNS)[:: 1 if repeat % 2 else -1]:
            env = {**os.environ, "GOVBUS_HOME": str(settings.home), "GOVBUS_LOG_LEVEL": "error"}
            ran = subprocess.run(
                [sys.executable, __file__, what, prefix], env=env, check=True, stdout=subprocess.PIPE, text=True
            )
            answer = json.loads(ran.stdout.splitlines()[-1])
            speeds[what].append(EVENTS / answer["seconds"])
            peak = f"peak {answer['peak_memory_mb']:.0f} MB"
            print(f"{what:12} {speeds[what][-1]:10,.0f} events/s   {peak}", flush=True)
            if what == "exchange":
                memory.append(answer["peak_memory_mb"])
    copies, as_many, exchanges = (speeds[what] for what in RUNS)
    ratio, ratio_as_many = (
        rig.spread([exchange / limit for exchange, limit in zip(exchanges, limits, strict=True)], 3)
        for limits in (copies, as_many)
    )
    file = rig.write(
        "exchange",
        {
            "events": len(batch),
            "event_bytes": round(size),
            "partitions": PARTITIONS,
            "subscribers": {
                name: {"fields": paths, "rows": rows, "masks": masks} for name, (paths, rows, masks) in ASKS.items()
            },
            "ratio_of_limit": ratio["median"],
            "events_per_second": rig.spread(exchanges)["median"],
            "limit_events_per_second": rig.spread(copies)["median"],
            "limit_same_outputs_events_per_second": rig.spread(as_many)["median"],
            "ratio_of_same_outputs": ratio_as_many["median"],
            "peak_memory_mb": round(max(memory)),
            "spread": {
                "ratio_of_limit": ratio,
                "events_per_second": rig.spread(exchanges),
                "limit": rig.spread(copies),
                "limit_same_outputs": rig.spread(as_many),
                "ratio_of_same_outputs": ratio_as_many,
            },
        },
    )
    print(f"exchange / copy = {ratio['median']} ({ratio['min']} .. {ratio['max']})")
    print(f"exchange / copy to as many topics = {ratio_as_many['median']}   {file.relative_to(ROOT)}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        here = Settings.load(ROOT)
        seconds = RUNS[sys.argv[1]](here, sys.argv[2])
        print(json.dumps({"seconds": seconds, "peak_memory_mb": rig.peak_memory_mb()}))
    else:
        main()
