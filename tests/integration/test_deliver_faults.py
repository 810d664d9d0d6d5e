"""Whatever dies or is held up, and whenever: in the end the table holds each change once."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AclOperation, AclPermissionType
from integration.postgres_delivery import (
    delivered,
    eventually,
    execute,
    expected,
    held,
    opened,
    positions,
    postgres_bus,
    some_records,
)
from integration.share_bus import ASK, SUBSCRIBER, ShareBus, Table, people, person_schema
from integration.sink_process import SinkProcess
from stack_fixture import own_stack

from govbus import metrics
from govbus.delivery import postgres, run, share
from govbus.delivery.run import deliver
from govbus.kafka.clients import Fenced
from govbus.kafka.settings import Settings
from govbus.ops.stack import Stack

pytestmark = pytest.mark.stack


@pytest.fixture
def bus(settings: Settings, topic_prefix: str) -> Iterator[ShareBus]:
    with postgres_bus(settings, topic_prefix) as made:
        yield made


def changes(bus: ShareBus, chance: random.Random) -> None:
    """Send one transaction of random upserts and deletions among 3,000 people."""
    first = chance.randrange(3000)
    bus.send(
        people(first, chance.randrange(1, 800), name=f"第{chance.random()}次"),
        deletes=people(chance.randrange(3000), chance.randrange(300)),
    )


def unread(bus: ShareBus) -> int:
    """How many offsets of the share topic the subscriber's tables do not have yet."""
    stored = positions(bus)
    return sum(end - stored[partition] for partition, end in bus.ends().items())


def moved(bus: ShareBus) -> None:
    """Wait until the sink has moved its positions."""
    before = positions(bus)
    eventually(lambda: positions(bus) != before)


@contextmanager
def blocked(bus: ShareBus, statement: str) -> Iterator[None]:
    """Hold a lock that the sink's next transaction has to wait for."""
    with psycopg.connect(bus.settings.need_postgres_url()) as connection:
        connection.execute(statement.format(schema=bus.delivery["schema"]))
        yield
        connection.rollback()


def waits_for_a_lock(bus: ShareBus) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
    return bool(execute(bus, query, [f"govbus deliver {SUBSCRIBER} {ASK}"])[0][0])


BEFORE_THE_POSITIONS = "SELECT 1 FROM {schema}._govbus_offsets FOR UPDATE"
AFTER_THE_POSITIONS = "LOCK TABLE {schema}.police_population IN SHARE ROW EXCLUSIVE MODE"


@pytest.mark.timeout(600)
def test_a_sink_killed_at_any_moment_loses_and_doubles_nothing(bus: ShareBus, seed: int, tmp_path: Path) -> None:
    """kill -9 between batches, before and inside the database transaction: the end state is the same."""
    chance = random.Random(seed)
    bus.apply()
    bus.send(people(0, 2000))
    delivered(bus)
    for moment in chance.sample([BEFORE_THE_POSITIONS, AFTER_THE_POSITIONS, AFTER_THE_POSITIONS, None, None, None], 6):
        changes(bus, chance)
        with SinkProcess(bus, tmp_path / "city") as sink:
            if moment is None:
                with writing_all_the_while(bus, chance):
                    moved(bus)
                    time.sleep(chance.uniform(0, 0.5))
                    sink.kill()
                    assert unread(bus) > 0
            else:
                with blocked(bus, moment):
                    eventually(lambda: waits_for_a_lock(bus))
                    assert unread(bus) > 0
                    sink.kill()
    delivered(bus)
    assert held(bus) == expected(bus)


@contextmanager
def writing_all_the_while(bus: ShareBus, chance: random.Random) -> Iterator[None]:
    """Another thread sends changes until the context ends, and some more after."""
    enough = threading.Event()

    def write() -> None:
        while not enough.is_set():
            changes(bus, chance)

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write)
        try:
            yield
        finally:
            enough.set()
            written.result(60)


def test_a_sink_taken_for_dead_is_fenced_by_the_positions(bus: ShareBus, tmp_path: Path) -> None:
    """A paused sink that comes back after another took over rolls back, ends with a message, and changed nothing."""
    bus.apply()
    bus.send(people(0, 10))
    with SinkProcess(bus, tmp_path / "city") as paused:
        eventually(lambda: len(rows_or_none(bus)) == 10)
        paused.signal(signal.SIGSTOP)
        bus.send(people(0, 20, name="新"), deletes=people(8, 1))
        delivered(bus)
        paused.signal(signal.SIGCONT)
        bus.send(people(30, 5))
        assert paused.wait() == 1
        assert "another sink delivers" in paused.said
        assert "Traceback" not in paused.said
    assert unread(bus) > 0
    delivered(bus)
    assert held(bus) == expected(bus)


def rows_or_none(bus: ShareBus) -> list[object]:
    try:
        return list(held(bus))
    except psycopg.errors.UndefinedTable:
        return []


def test_of_two_sinks_one_writes_and_the_other_ends(bus: ShareBus) -> None:
    """Two sinks with the same records in hand: the second's transaction is rolled back whole."""
    bus.apply()
    bus.send(people(0, 10))
    with opened(bus) as (first, reader), opened(bus) as (second, other_reader):
        batch, other = some_records(reader, 10), some_records(other_reader, 10)
        first.write(first.prepare(batch))
        with pytest.raises(Fenced, match="another sink"):
            second.write(second.prepare(other))
    assert held(bus) == expected(bus)


def test_a_sink_frozen_inside_its_transaction_blocks_its_successor_for_a_minute_at_most(
    bus: ShareBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database ends a session that holds the positions and does nothing (here after a second)."""
    monkeypatch.setattr(postgres, "_SESSION", postgres._SESSION.replace("session_timeout=60s", "session_timeout=1s"))
    bus.apply()
    bus.send(people(0, 10))
    with opened(bus) as (frozen, reader):
        batch = some_records(reader, 10)
        with frozen._connection.cursor() as cursor:
            frozen._move(cursor, batch)
        delivered(bus)
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            frozen.write(frozen.prepare(batch))
    assert held(bus) == expected(bus)


def test_sigterm_ends_a_delivery_well(bus: ShareBus, tmp_path: Path) -> None:
    """A sink that is asked to stop finishes its batch, says what it did and exits with 0."""
    bus.apply()
    bus.send(people(0, 50))
    with SinkProcess(bus, tmp_path / "city") as sink:
        eventually(lambda: len(rows_or_none(bus)) == 50)
        sink.signal(signal.SIGTERM)
        assert sink.wait() == 0
        assert "police.population" in sink.said
    assert held(bus) == expected(bus)


@pytest.mark.timeout(600)
def test_a_database_that_dies_and_comes_back_is_waited_for(
    settings: Settings, topic_prefix: str, killable_stack: Stack, seed: int
) -> None:
    """kill -9 of Postgres under a running sink: it waits, counts why, goes on by itself, loses and doubles nothing."""
    chance = random.Random(seed)
    settings = replace(settings, postgres_url=killable_stack.postgres_url)
    with postgres_bus(settings, topic_prefix) as bus:
        bus.apply()
        bus.send(people(0, 2000))
        delivered(bus)
        try:
            with delivering(bus):
                for _ in range(3):
                    with writing_all_the_while(bus, chance):
                        moved(bus)
                        time.sleep(chance.uniform(0, 0.3))
                        before = waits(bus, "postgres")
                        killable_stack.postgres.kill()
                        eventually(lambda before=before: waits(bus, "postgres") > before)  # type: ignore[misc]
                    killable_stack.postgres.start()
                    killable_stack.postgres.wait_ready()
                    eventually(lambda: unread(bus) == 0, 60)
        finally:
            killable_stack.postgres.start()
        assert held(bus) == expected(bus)


@pytest.mark.timeout(600)
def test_a_registry_that_is_down_when_another_schema_arrives_is_waited_for(
    settings: Settings, topic_prefix: str, killable_stack: Stack
) -> None:
    """A record whose schema cannot be had stops its batch, not the process; it arrives when the registry is back."""
    settings = replace(settings, registry_url=killable_stack.registry_url)
    with postgres_bus(settings, topic_prefix) as bus:
        bus.apply()
        bus.send(people(0, 5))
        earlier = bus.value_of(people(9, 1)[0])
        bus.tables["police.population"].fields = {"citizen_id": "pass", "name": "pass"}
        bus.apply()
        with delivering(bus):
            # The first records are of the earlier schema too: once they are there, the sink has it in memory.
            eventually(lambda: len(rows_or_none(bus)) == 5)
        before = waits(bus, "registry")
        with delivering(bus):
            eventually(lambda: listening(bus))
            killable_stack.registry.kill()
            try:
                bus.send_bytes(b"890101199001010009", earlier)
                eventually(lambda: waits(bus, "registry") > before)
                assert len(held(bus)) == 5
            finally:
                killable_stack.registry.start()
                killable_stack.registry.wait_ready()
            eventually(lambda: len(held(bus)) == 6, 90)


@pytest.mark.timeout(600)
def test_a_broker_that_dies_and_comes_back_is_waited_for(
    settings: Settings, topic_prefix: str, killable_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 of the broker under a running sink: it says so, goes on by itself, loses and doubles nothing."""
    monkeypatch.setattr(run, "LOOK_SECONDS", 0.5)
    monkeypatch.setattr(share, "ANSWER_SECONDS", 3)
    settings = replace(
        settings, bootstrap_servers=killable_stack.bootstrap_servers, postgres_url=killable_stack.postgres_url
    )
    with postgres_bus(settings, topic_prefix) as bus:
        bus.apply()
        bus.send(people(0, 500))
        try:
            with delivering(bus):
                eventually(lambda: len(rows_or_none(bus)) == 500)
                before = waits(bus, "broker")
                killable_stack.kafka.kill()
                eventually(lambda: waits(bus, "broker") > before, 60)
                killable_stack.kafka.start()
                killable_stack.kafka.wait_ready()
                bus.send(people(0, 100, name="新"))
                eventually(lambda: held(bus) == expected(bus), 60)
        finally:
            killable_stack.kafka.start()
            killable_stack.kafka.wait_ready()
            bus.delete_topics()


@pytest.mark.timeout(600)
def test_a_topic_that_may_not_be_read_stops_no_other(settings: Settings, topic_prefix: str) -> None:
    """The right to read is withdrawn before everything else: the other datasets of the ask go on meanwhile."""
    properties = {"super.users": "User:nobody", "allow.everyone.if.no.acl.found": "true"}
    own = {"GOVBUS_REGISTRY_URL": settings.need_registry_url(), "GOVBUS_POSTGRES_URL": settings.need_postgres_url()}
    with own_stack(own, properties) as guarded:
        settings = replace(settings, bootstrap_servers=guarded.bootstrap_servers)
        with postgres_bus(settings, topic_prefix) as bus:
            bus.tables["police.household"] = Table(avro=person_schema())
            bus.apply()
            bus.send(people(0, 5))
            bus.send(people(0, 7), dataset="police.household")
            delivered(bus)
            bus.send(people(5, 4))
            for permission in (AclPermissionType.ALLOW, AclPermissionType.DENY):
                # First the topic can be seen and not read, then not even be seen.
                bus.rule(permission, AclOperation.DESCRIBE)
                bus.send(people(7, 3), dataset="police.household")
                delivered(bus)
                assert held(bus, "police_household") == expected(bus, "police.household")
            report = delivered(bus)
            assert report.denied == ["police.population"]
            assert len(held(bus)) == 5, "what was delivered stays until a revision takes it"


def test_a_schema_that_the_registry_does_not_know_is_waited_for(bus: ShareBus) -> None:
    """Nothing of a batch is written that cannot be written whole; the reason is counted and logged."""
    bus.apply()
    bus.send(people(0, 5))
    delivered(bus)
    bus.send_bytes(b"890101199001019999", b"\x00\x7f\xff\xff\xf0" + bus.value_of(people(9999, 1)[0])[5:])
    before = waits(bus, "registry")
    with delivering(bus):
        eventually(lambda: waits(bus, "registry") > before)
    assert held(bus) == expected(bus)


def test_bytes_that_are_no_record_stop_the_delivery_with_a_reason(bus: ShareBus) -> None:
    """Somebody who writes into a share topic past the bus is noticed, and gets nothing delivered."""
    bus.apply()
    bus.send(people(0, 5))
    delivered(bus)
    bus.send_bytes(b"890101199001019999", bus.value_of(people(9999, 1)[0])[:-2])
    before = waits(bus, "unreadable")
    with delivering(bus):
        eventually(lambda: waits(bus, "unreadable") > before)
    assert held(bus) == expected(bus)


def listening(bus: ShareBus) -> bool:
    """Whether the sink has begun: its session in the database is there and idle."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state = 'idle'"
    return bool(execute(bus, query, [f"govbus deliver {SUBSCRIBER} {ASK}"])[0][0])


def waits(bus: ShareBus, reason: str) -> float:
    """How often a delivery of this process waited for that reason."""
    labels = {"ask": f"{SUBSCRIBER}.{ASK}", "reason": reason}
    return metrics.REGISTRY.get_sample_value("govbus_delivery_errors_total", labels) or 0


@contextmanager
def delivering(bus: ShareBus) -> Iterator[None]:
    """A delivery in a thread, which ends well when it is asked to."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        delivery = pool.submit(deliver, bus.settings, bus.topics, SUBSCRIBER, ASK, stop=stop)
        try:
            yield
        finally:
            stop.set()
            delivery.result(60)
