"""The small city with an adapter, a worker and a sink as processes, input that never ends, and a reader beside them."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaError, TopicPartition
from integration.bus_process import BusProcess
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID, PARTITIONS, PERSON, person
from oracle import avro, views
from oracle.views import Event, Latest
from psycopg.rows import dict_row

from govbus.exchange import inputs
from govbus.kafka import clients
from govbus.kafka.offsets import committed_of
from govbus.kafka.settings import Settings

EPOCH = date(1970, 1, 1).toordinal()
PEOPLE = 2_000
ROWS_PER_FILE = 400


class CityUnderFire:
    """Change files of police flow to care's tables through three processes that a test may kill.

    `truth` is what the files say: citizen id -> the newest row, None where it was deleted.
    """

    def __init__(self, settings: Settings, prefix: str, folder: Path, seed: int, *, supervised: bool = False) -> None:
        self.schema = f"k_{prefix.rstrip('.')}"
        self.bus = ExchangeBus(settings, prefix, folder, edit=self._edit)
        self.drop = settings.home / "drop" / "police"
        (self.drop / "person").mkdir(parents=True)
        self.truth: dict[str, dict[str, Any] | None] = {}
        self._rng = random.Random(seed)
        self._sequence = 0
        self._files = 0
        self._begun: dict[int, int] = {}
        self._moved: dict[str, tuple[int, float]] = {}
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._write_on, daemon=True)
        self.reader = CommittedReader(settings, self.bus.topics.share(AID))
        self.processes: dict[str, BusProcess] = {}
        self._more = {"worker": ("--supervise",)} if supervised else {}
        self._onlooker = clients.consumer(settings, self.bus.topics.exchange_group)

    def _edit(self, documents: Any) -> None:
        documents["producers/police/person.yaml"] |= {
            "versions": "sequence",
            "source": {
                "kind": "file",
                "format": "jsonl",
                "encoding": "utf-8",
                "path": "person/*.jsonl",
                "mode": "changes",
                "operation": "op",
                "version": "seq",
            },
        }
        documents["consumers/care/aid.yaml"]["delivery"] = {"kind": "postgres", "schema": self.schema}

    # --- input --------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the input, the reader and all processes."""
        self._writer.start()
        self.reader.start()
        for kind in COMMANDS:
            self.start(kind)

    def _write_on(self) -> None:
        while not self._ended.is_set():
            # A backlog keeps everybody busy; more than that would only make the end longer.
            if len(self.unread_files()) < 6:
                self._write_file()
            self._ended.wait(0.1)

    def _write_file(self) -> None:
        lines = []
        for _ in range(ROWS_PER_FILE):
            number = self._rng.randrange(PEOPLE)
            self._sequence += 1
            row = person(number, income=self._rng.randrange(5), sex=self._rng.choice("12"))
            row["birth_date"] = date.fromordinal(EPOCH + row["birth_date"]).isoformat()
            if self._rng.random() < 0.1:
                lines.append({"op": "D", "citizen_id": row["citizen_id"], "seq": self._sequence})
                self.truth[row["citizen_id"]] = None
            else:
                lines.append({"op": "U", "seq": self._sequence, **row})
                self.truth[row["citizen_id"]] = row
        self._files += 1
        path = self.drop / "person" / f"{self._files:06}.jsonl"
        hidden = self.drop / f".{path.name}.part"
        hidden.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        hidden.rename(path)

    def unread_files(self) -> set[str]:
        """Return the change files that the adapter has not finished."""
        every = (path for path in self.drop.rglob("*.jsonl") if not path.name.startswith("."))
        return {path.name for path in every if path.parent.name != "done"}

    # --- processes ----------------------------------------------------------------------------------------------------

    def start(self, kind: str) -> None:
        self.processes[kind] = BusProcess(self.bus, *COMMANDS[kind], *self._more.get(kind, ()))

    def kill_amid_work(self, kind: str) -> None:
        """kill -9 *kind*'s process while it has input before it that is not exchanged, and start it anew.

        What was there is looked at before, what was done afterwards: a kill that hit an idle process does not count,
        and is tried again.
        """
        for _ in range(50):
            process = self.processes[kind]
            self._until(lambda: self._is_amid_work(kind))
            wanted = WANTED[kind](self)
            process.kill()
            missing = wanted_and_not_done(wanted, DONE[kind](self))
            self.start(kind)
            if missing:
                return
        raise AssertionError(f"the {kind} was never hit at work")

    def _is_amid_work(self, kind: str) -> bool:
        process = self.processes[kind]
        assert process.running, process.said
        done = DONE[kind](self)
        return self._has_begun(kind) and bool(wanted_and_not_done(WANTED[kind](self), done))

    def _moved_lately(self, kind: str) -> bool:
        """Whether *kind* has got something done in the last two seconds; to be asked again and again."""
        done, now = sum(DONE[kind](self).values()), time.monotonic()
        before, since = self._moved.get(kind, (-1, now))
        if done != before:
            before, since = self._moved[kind] = done, now
        return now - since < 2

    def _has_begun(self, kind: str) -> bool:
        """Whether this very process has done work already: a kill of one that only starts would prove little."""
        now = sum(DONE[kind](self).values())
        process = self.processes[kind]
        first = self._begun.setdefault(process.process.pid, now)
        return now > first

    def _until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it does not come about"
            time.sleep(0.01)

    @contextmanager
    def frozen_amid_work(self, kind: str) -> Iterator[None]:
        """Within the context *kind*'s process stands still, with input before it, and not because it was stuck before.

        Asking takes the brokers long enough to end what they were about, which matters: Kafka 4.3.1 killed while it
        ends a transaction (one that was stuck it ends after ten seconds) may forget to mark that in some partitions
        (KAFKA-20734), and no client can make up for it.
        """
        for _ in range(50):
            self._until(lambda: self._is_amid_work(kind) and self._moved_lately(kind))
            self._signal(kind, signal.SIGSTOP)
            if wanted_and_not_done(WANTED[kind](self), DONE[kind](self)):
                break
            self._signal(kind, signal.SIGCONT)
        else:
            raise AssertionError(f"the {kind} was never hit at work")
        try:
            yield
        finally:
            self.thaw(kind)

    def thaw(self, kind: str) -> None:
        """Let a frozen process go on."""
        self._signal(kind, signal.SIGCONT)

    def _signal(self, kind: str, number: signal.Signals) -> None:
        os.killpg(self.processes[kind].process.pid, number)

    def wait_for_progress(self) -> None:
        """Wait until each kind of process has moved on; none may end by itself."""
        before = {kind: sum(done(self).values()) for kind, done in DONE.items()}

        def moved() -> bool:
            for process in self.processes.values():
                assert process.running, process.said
            return all(sum(done(self).values()) > before[kind] for kind, done in DONE.items())

        self._until(moved, 120)

    def end(self) -> None:
        """End the input, let everything flow out, and end the processes in order."""
        self._ended.set()
        self._writer.join(30)
        self._until(lambda: not self.unread_files(), 120)
        for kind, words in FINISHED.items():
            process = self.processes.pop(kind)
            process.signal(signal.SIGTERM)
            assert process.wait() == 0, process.said
            last = BusProcess(self.bus, *words)
            assert last.wait(120) == 0, last.said

    def close(self) -> None:
        self._ended.set()
        for process in self.processes.values():
            process.__exit__()
        self.reader.stop()
        self._onlooker.close()
        with psycopg.connect(self.bus.settings.need_postgres_url(), autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")

    # --- where everything stands --------------------------------------------------------------------------------------

    def ends(self, topic: str) -> dict[str, int]:
        found = inputs.ends(self.bus.admin, [(topic, number) for number in range(PARTITIONS)])
        return {f"{topic}/{number}": end for (_, number), end in found.items()}

    def exchanged(self) -> dict[str, int]:
        """Return the offsets that the workers' group has committed of the raw topic."""
        raw = self.bus.topics.raw(PERSON)
        found = committed_of(self._onlooker, [(raw, number) for number in range(PARTITIONS)])
        return {f"{raw}/{number}": offset for (_, number), offset in found.items()}

    def delivered(self) -> dict[str, int]:
        """Return the positions that the sink keeps in the subscriber's database."""
        topic = self.bus.topics.share(AID)
        with psycopg.connect(self.bus.settings.need_postgres_url()) as connection:
            try:
                rows = connection.execute(
                    f"SELECT partition, next FROM {self.schema}._govbus_offsets WHERE topic = %s".encode(), [topic]
                ).fetchall()
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                rows = []
        return {f"{topic}/{partition}": position for partition, position in rows}

    # --- the end state ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Fail unless nothing was lost, doubled or reordered anywhere between the files and the tables."""
        records = self.bus.latest()[PERSON].records()
        said = {key: row for key, row in self.truth.items() if row is not None}
        assert records.keys() == said.keys()
        for key, row in said.items():
            assert records[key]["income"].value == row["income"]
            assert records[key]["sex"] == row["sex"]
        self.bus.check()
        table = views.share_rows(
            views.read(self.bus.settings.city_dir), "care.aid", PERSON, records, datetime.now(UTC), {}
        )
        assert self.table() == table.plain()
        expected = self.transitions()
        assert sum(map(len, expected.values())) > 2 * PEOPLE, "too little happened to prove anything"
        everything = self.bus.read(self.bus.topics.share(AID))
        sent: dict[bytes, list[bytes | None]] = {}
        for each in everything:
            assert each.key is not None
            sent.setdefault(each.key, []).append(None if each.value is None else each.value[5:])
        assert sent.keys() == expected.keys()
        for key, values in expected.items():
            assert sent[key] == values
        self.reader.wait_for({(each.partition, each.offset) for each in everything})
        assert self.reader.seen == {(each.partition, each.offset): (each.key, each.value) for each in everything}

    def table(self) -> dict[str, dict[str, Any]]:
        query = f"SELECT {', '.join(('citizen_id', 'name', 'sex', 'birth_date', 'division', 'income'))} FROM "
        with psycopg.connect(self.bus.settings.need_postgres_url(), row_factory=dict_row) as connection:
            rows = connection.execute(f"{query} {self.schema}.police_person".encode()).fetchall()
        return {row["citizen_id"]: row for row in rows}

    def transitions(self) -> dict[bytes, list[bytes | None]]:
        """Return, per key, every change of the ask's view that the raw topic's records make one after another."""
        declared = views.read(self.bus.settings.city_dir)
        allowed = views.permission(declared, "care.aid", PERSON)
        assert not isinstance(allowed, str)
        business, writer = self.bus.business(PERSON), self.bus.record_type(PERSON)
        kind = views.view_type(business, allowed.fields)
        latest, shown = Latest(), {}
        found: dict[bytes, list[bytes | None]] = {}
        for seen in self.bus.read(self.bus.topics.raw(PERSON)):
            assert seen.key is not None
            if seen.value is None:
                event = Event(PERSON, seen.key.decode(), int(dict(seen.headers)["version"]))
            else:
                value = self.bus.decode(writer, seen.value)
                record = avro.resolve(writer, business, value)
                event = Event(PERSON, seen.key.decode(), value["_version"], record)
            if latest.add(event) != "accepted":
                continue
            after = None
            if event.record is not None:
                released = views.released(business, event.record, allowed, None)
                after = None if released is None else avro.encode(kind, released)
            if after != shown.get(seen.key):
                found.setdefault(seen.key, []).append(after)
                shown[seen.key] = after
        return found


class CommittedReader:
    """A subscriber of its own who reads the share topic from the start, all the while, committed records only."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.seen: dict[tuple[int, int], tuple[bytes | None, bytes | None]] = {}
        self._ended = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.need_bootstrap_servers(),
                "group.id": "reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _read(self) -> None:
        while not self._ended.is_set():
            for message in self._consumer.consume(1_000, 0.2):
                error = message.error()
                if error is not None:
                    assert error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN), error
                    continue
                place = (message.partition(), message.offset())
                assert place not in self.seen
                self.seen[place] = (message.key(), message.value())

    def wait_for(self, places: set[tuple[int, int]]) -> None:
        deadline = time.monotonic() + 30
        while not places <= self.seen.keys():
            assert time.monotonic() < deadline, "the reader misses records"
            time.sleep(0.05)

    def stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(30)
        self._consumer.close()


def wanted_and_not_done(wanted: dict[str, int], done: dict[str, int]) -> int:
    """Return how much of *wanted* (places and their ends) is not *done*."""
    return sum(max(0, end - done.get(place, 0)) for place, end in wanted.items())


def _files_wanted(city: CityUnderFire) -> dict[str, int]:
    return dict.fromkeys(city.unread_files(), 1)


def _files_done(city: CityUnderFire) -> dict[str, int]:
    return {path.name: 1 for path in city.drop.rglob("*.jsonl") if path.parent.name == "done"}


COMMANDS = {
    "adapter": ("produce", "police", "person"),
    "worker": ("exchange", "--worker-id", "w1"),
    "sink": ("deliver", "care", "aid"),
}
FINISHED = {
    "adapter": ("produce", "police", "person", "--once"),
    "worker": ("exchange", "--worker-id", "w1", "--until-caught-up"),
    "sink": ("deliver", "care", "aid", "--until-caught-up"),
}
WANTED: dict[str, Callable[[CityUnderFire], dict[str, int]]] = {
    "adapter": _files_wanted,
    "worker": lambda city: city.ends(city.bus.topics.raw(PERSON)),
    "sink": lambda city: city.ends(city.bus.topics.share(AID)),
}
DONE: dict[str, Callable[[CityUnderFire], dict[str, int]]] = {
    "adapter": _files_done,
    "worker": CityUnderFire.exchanged,
    "sink": CityUnderFire.delivered,
}
