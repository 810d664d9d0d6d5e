"""Canaries in fields that nobody was granted: no byte of a share topic, a log, a metric or foreign reject has one.

Nor has any the other side's value of a fact that two registers hold and do not agree on: the source's is shown where
it is granted, the reporter's to nobody. Topics are read twice: as a consumer sees them, and as they lie in the
broker's own log segments.
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
from integration.golden_city import GOLDEN, KNOWN_VIEW, PUPIL, pupil, with_pupils
from integration.tiny_city import AID, PERSON, READING, citizen_id, person
from log_segments import payloads
from stack_fixture import CACHE, own_topics
from typer.testing import CliRunner

from govbus.cli import app
from govbus.health import processes
from govbus.kafka.settings import Settings
from govbus.ops.stack import Stack

pytestmark = pytest.mark.stack

PEOPLE = 400
"""Enough for a mass discrepancy in every partition."""

CHECKED_VIEW = f"school.checked/{GOLDEN}"


class WatchedBus:
    """The small city run by real processes; canaries in illness for all subscribers, in names for the school.

    The school's own register has other names for everybody, canaries as well: nobody else may read them.
    """

    def __init__(self, settings: Settings, prefix: str, folder: Path) -> None:
        self.secret, self.name = f"canary{secrets.token_hex(6)}", f"kanari{secrets.token_hex(6)}"
        self.pupil = f"kanarie{secrets.token_hex(6)}"
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
        with_pupils(documents)
        documents["consumers/care/known.yaml"]["delivery"] = {"kind": "topic"}
        documents["consumers/school/checked.yaml"] = documents["consumers/school/places.yaml"] | {
            "ask": "checked",
            "datasets": {GOLDEN: {"fields": {"citizen_id": "pass", "name.value": {"mask": {"first": 1}}}}},
        }

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

    def _pupils(self) -> None:
        """Have the school say something else of everybody's name, and of every third one's sex."""
        for number in range(PEOPLE):
            sex = "2" if number % 3 == 0 else "1"
            self.bus.upsert(pupil(number, name=f"李{self.pupil}{number}", sex=sex), dataset=PUPIL)
        self.bus.flush()

    def _run(self) -> None:
        commands = {
            "adapter": ("produce", "police", "person"),
            "worker": ("exchange",),
            "sink": ("deliver", "care", "aid"),
        }
        started = {kind: BusProcess(self.bus, *words) for kind, words in commands.items()}
        try:
            self._bad_records()
            self._pupils()
            for step in range(2):
                self._export(step)
                eventually(lambda: (self.drop / "done" / f"{step}.jsonl").exists(), 90)  # noqa: B023
            self.rows = PEOPLE - 2 * (PEOPLE // 20)
            eventually(lambda: len(self.bus.read(self.bus.topics.share(AID))) >= 2 * self.rows, 90)
            eventually(lambda: len(self.bus.shared(KNOWN_VIEW)) == self.rows, 90)
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
        self.lists = {department: self._list_of(department) for department in ("police", "school")}

    def _list_of(self, department: str) -> str:
        """Return what a department is told of the discrepancies that concern it, and what is noted of its look."""
        words = ("--city", str(self.bus.settings.city_dir), "discrepancies", department, "--limit", "0", "--json")
        done = CliRunner().invoke(app, words, env=self.bus.environment(), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output + (self.bus.settings.home / "looks.jsonl").read_text(encoding="utf-8")

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
    servers = (stack.bootstrap_servers, stack.registry_url, stack.postgres_url)
    settings = Settings(folder, folder / "home", *servers, cache_dir=CACHE)
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
    for topic in (topics.raw(PUPIL), topics.current(PUPIL)):
        assert len(watched.holding(topic, watched.pupil)) == PEOPLE
    for canary in (watched.name, watched.pupil):
        assert len(watched.holding(topics.discrepancy, canary)) >= watched.rows


def test_nobody_reads_the_other_sides_value(watched: WatchedBus) -> None:
    """A golden record and every view of it have the source's value alone, and that only where it was granted."""
    bus, topics = watched.bus, watched.bus.topics
    for topic in (topics.golden(GOLDEN), topics.share(KNOWN_VIEW)):
        assert len(watched.holding(topic, watched.name)) >= watched.rows
        assert watched.holding(topic, watched.pupil) == []
        assert watched.holding(topic, watched.secret) == []
    assert len(bus.shared(CHECKED_VIEW)) == watched.rows
    for canary in (watched.name, watched.pupil, watched.secret):
        assert watched.holding(topics.share(CHECKED_VIEW), canary) == []
    for view in bus.revision.view_schema_ids:
        assert watched.holding(topics.share(view), watched.pupil) == []
    for topic in (topics.raw(PUPIL), topics.current(PUPIL)):
        assert watched.holding(topic, watched.name) == []


def test_a_department_is_told_its_own_values_alone(watched: WatchedBus) -> None:
    """In its list of discrepancies each finds what it said itself, and nothing that the other did."""
    own, others = {"police": watched.name, "school": watched.pupil}, {"police": watched.pupil, "school": watched.name}
    for department, told in watched.lists.items():
        assert told.count(own[department]) >= watched.rows
        assert others[department] not in told
        assert watched.secret not in told


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
        assert not lies_in(topics.share(view), watched.pupil)
        assert not (view.startswith("school.") and lies_in(topics.share(view), watched.name))


def test_other_departments_rejects_have_nothing(watched: WatchedBus) -> None:
    """Another department's rejects hold its own bad records and not a byte of police's."""
    topic = watched.bus.topics.reject("weather")
    assert len(watched.bus.read(topic)) == 1
    for canary in (watched.secret, watched.name, watched.pupil, citizen_id(500)):
        assert watched.holding(topic, canary) == []


def test_logs_and_metrics_have_no_value(watched: WatchedBus) -> None:
    """No line that adapter, worker or sink wrote, and no page they serve, holds a value or a person's id."""
    assert set(watched.said) == {"adapter", "worker", "sink", "last worker"}
    assert len(watched.metrics) == 9
    assert sum(bool(text.strip()) for text in watched.said.values()) >= 3
    for text in (*watched.said.values(), *watched.metrics.values()):
        for canary in (watched.secret, watched.name, watched.pupil, "欧阳", *map(citizen_id, range(PEOPLE))):
            assert canary not in text


def test_bus_topics_for_all_have_no_value(watched: WatchedBus) -> None:
    """Ticks, progress, the catalogue and incidents, which more than one body reads, hold no value."""
    topics = watched.bus.topics
    assert watched.bus.read(topics.incident)
    for topic in (topics.tick, topics.progress, topics.catalogue, topics.incident):
        for canary in (watched.secret, watched.name, watched.pupil):
            assert watched.holding(topic, canary) == []
