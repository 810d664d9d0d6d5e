"""Canaries in fields that nobody was granted: no byte of a share topic, a log, a metric or foreign reject has one.

Topics are read twice: as a consumer sees them, and as they lie in the broker's own log segments.
"""

from __future__ import annotations

import json
import secrets
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration.bus_process import BusProcess, eventually, running
from integration.committed import Seen
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID, PERSON, READING, citizen_id, person
from log_segments import payloads
from stack_fixture import own_topics

from govbus.health import processes
from govbus.kafka.settings import Settings
from govbus.ops.stack import Stack

pytestmark = pytest.mark.stack

PEOPLE = 200


class WatchedBus:
    """The small city run by real processes; canaries in illness for all subscribers, in names for the school."""

    def __init__(self, settings: Settings, prefix: str, folder: Path) -> None:
        self.secret, self.name = f"canary{secrets.token_hex(6)}", f"kanari{secrets.token_hex(6)}"
        self.schema = f"n_{prefix.rstrip('.')}"
        self.bus = ExchangeBus(settings, prefix, folder, edit=self._edit)
        self.drop = settings.home / "drop" / "police" / "person"
        self.drop.mkdir(parents=True)
        self.said: dict[str, str] = {}
        self.metrics: dict[str, str] = {}
        self._run()

    def _edit(self, documents: Any) -> None:
        documents["producers/police/person.yaml"]["source"] = {
            "kind": "file",
            "format": "jsonl",
            "encoding": "utf-8",
            "path": "person/*.jsonl",
            "mode": "snapshot",
            "deletion_limit": "100%",
        }
        documents["consumers/care/aid.yaml"]["delivery"] = {"kind": "postgres", "schema": self.schema}

    def _export(self, step: int) -> None:
        rows = []
        for number in range(PEOPLE):
            row = person(number, income=step, illness=f"{self.secret}{number}{step}", name=f"张{self.name}{number}")
            row["birth_date"] = f"2012-{1 + number % 12:02}-01"
            if number % 20 == 0:
                row["citizen_id"] = f"{self.secret}{number}"
            if number % 20 == 1:
                row["birth_date"] = self.secret
            rows.append(row)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        hidden = self.drop / f".{step}.part"
        hidden.write_text(lines + f'{{"{self.secret}": \n', encoding="utf-8")
        hidden.rename(self.drop / f"{step}.jsonl")

    def _bad_records(self) -> None:
        """Put what police sent wrongly into its raw topic: every reject of it carries a canary."""
        bus = self.bus
        for number in range(500, 510):
            bad = person(number, illness=self.secret, name=self.name)
            value = bus.value(PERSON, bad, bus.version())
            bus.send_bad(bus.key(PERSON, bad), value + b"\x00")
            bus.send_bad(self.secret.encode(), value, ("note", self.secret.encode()))
            bus.send_bad(bus.key(PERSON, bad), b"\x07" + self.secret.encode())
            bus.send_bad(bus.key(PERSON, bad), None, ("version", self.secret.encode()))
        bus.send_bad(b"89001", b"\x00weather", dataset=READING)
        bus.flush()

    def _run(self) -> None:
        commands = {
            "adapter": ("produce", "police", "person"),
            "worker": ("exchange",),
            "sink": ("deliver", "care", "aid"),
        }
        started = {kind: BusProcess(self.bus, *words) for kind, words in commands.items()}
        try:
            self._bad_records()
            for step in range(2):
                self._export(step)
                eventually(lambda: (self.drop / "done" / f"{step}.jsonl").exists(), 90)  # noqa: B023
            self.rows = PEOPLE - 2 * (PEOPLE // 20)
            eventually(lambda: len(self.bus.read(self.bus.topics.share(AID))) >= 2 * self.rows, 90)
            eventually(lambda: self._delivered() == self.rows, 90)
            for each in processes(self.bus.settings.home):
                for page in ("metrics", "healthz", "readyz"):
                    (target,) = each.target_list()[0]["targets"]  # type: ignore[misc]
                    with urllib.request.urlopen(f"http://{target}/{page}", timeout=30) as answer:
                        self.metrics[f"{each.name} {page}"] = answer.read().decode()
            for process in started.values():
                process.signal(signal.SIGTERM)
                assert process.wait() == 0, process.said
        finally:
            for process in started.values():
                process.__exit__()
        self.said = {kind: process.said for kind, process in started.items()}
        with running(self.bus, "exchange", "--until-caught-up") as last:
            assert last.wait() == 0, last.said
        self.said["last worker"] = last.said

    def _delivered(self) -> int:
        with psycopg.connect(self.bus.settings.need_postgres_url()) as connection:
            try:
                row = connection.execute(f"SELECT count(*) FROM {self.schema}.police_person".encode()).fetchone()
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                return 0
        assert row is not None
        return int(row[0])

    def holding(self, topic: str, canary: str) -> list[Seen]:
        """Return the records of *topic* that have *canary* in their value, key or a header."""
        wanted = canary.encode()

        def everything(seen: Seen) -> Iterator[bytes]:
            yield seen.value or b""
            yield seen.key or b""
            for name, value in seen.headers:
                yield name.encode()
                yield value or b""

        return [seen for seen in self.bus.read(topic) if any(wanted in part for part in everything(seen))]


@pytest.fixture(scope="module")
def watched(killable_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedBus]:
    # A stack of our own, for its broker's folder is looked into.
    stack = killable_stack
    folder = tmp_path_factory.mktemp("leak")
    settings = Settings(folder, folder / "home", stack.bootstrap_servers, stack.registry_url, stack.postgres_url)
    with own_topics(stack.bootstrap_servers) as prefix:
        try:
            yield WatchedBus(settings, prefix, folder / "city")
        finally:
            with psycopg.connect(stack.postgres_url, autocommit=True) as connection:
                connection.execute(f"DROP SCHEMA IF EXISTS n_{prefix.rstrip('.')} CASCADE")


def test_the_scan_finds_canaries_where_they_may_be(watched: WatchedBus) -> None:
    """In raw, in current and in the department's own rejects both canaries are there: the scan can see them."""
    topics = watched.bus.topics
    for canary in (watched.secret, watched.name):
        assert len(watched.holding(topics.raw(PERSON), canary)) >= 2 * watched.rows
        assert len(watched.holding(topics.current(PERSON), canary)) >= 2 * watched.rows
        assert len(watched.holding(topics.reject("police"), canary)) >= 10
    assert len(watched.holding(topics.share(AID), watched.name)) >= watched.rows


def test_no_share_topic_has_an_ungranted_value(watched: WatchedBus) -> None:
    """No value, key or header of any share topic holds what was not granted, nor what a mask takes away."""
    bus = watched.bus
    for view in bus.revision.view_schema_ids:
        assert watched.holding(bus.topics.share(view), watched.secret) == []
        if view.startswith("school."):
            assert len(bus.read(bus.topics.share(view))) > 100
            assert watched.holding(bus.topics.share(view), watched.name) == []
    pseudonymised = bus.topics.share("school.statistics/police.person")
    assert not any(watched.holding(pseudonymised, citizen_id(number)) for number in range(2, 12))


def test_no_share_segment_has_an_ungranted_value(watched: WatchedBus, killable_stack: Stack) -> None:
    """Nor do the broker's log segments of share topics: what was aborted or superseded lies there too."""
    data, topics = killable_stack.home / "stack" / "kafka" / "data", watched.bus.topics

    def lies_in(topic: str, canary: str) -> bool:
        return any(canary.encode() in records for records in payloads(data, topic))

    for canary in (watched.secret, watched.name):
        assert lies_in(topics.raw(PERSON), canary)
        assert lies_in(topics.current(PERSON), canary)
    assert lies_in(topics.share(AID), watched.name)
    for view in watched.bus.revision.view_schema_ids:
        assert not lies_in(topics.share(view), watched.secret)
        assert not (view.startswith("school.") and lies_in(topics.share(view), watched.name))


def test_other_departments_rejects_have_nothing(watched: WatchedBus) -> None:
    """Another department's rejects hold its own bad records and not a byte of police's."""
    topic = watched.bus.topics.reject("weather")
    assert len(watched.bus.read(topic)) == 1
    for canary in (watched.secret, watched.name, citizen_id(500)):
        assert watched.holding(topic, canary) == []


def test_logs_and_metrics_have_no_value(watched: WatchedBus) -> None:
    """No line that adapter, worker or sink wrote, and no page they serve, holds a value or a person's id."""
    assert set(watched.said) == {"adapter", "worker", "sink", "last worker"}
    assert len(watched.metrics) == 9
    assert sum(bool(text.strip()) for text in watched.said.values()) >= 3
    for text in (*watched.said.values(), *watched.metrics.values()):
        for canary in (watched.secret, watched.name, "欧阳", *map(citizen_id, range(PEOPLE))):
            assert canary not in text


def test_bus_topics_for_all_have_no_value(watched: WatchedBus) -> None:
    """Ticks, progress and the catalogue, which more than one body reads, hold no value and no key of a record."""
    topics = watched.bus.topics
    for topic in (topics.tick, topics.progress, topics.catalogue):
        for canary in (watched.secret, watched.name):
            assert watched.holding(topic, canary) == []
