"""What the tests of delivery into Postgres share: a database schema per test, and looks into it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from integration.share_bus import ASK, SUBSCRIBER, ShareBus
from psycopg.rows import dict_row

from govbus.delivery.plan import known_schema, plan_of
from govbus.delivery.postgres import PostgresSink
from govbus.delivery.run import Report, deliver
from govbus.delivery.share import Batch, Limits, ShareReader
from govbus.kafka.registry import Registry
from govbus.kafka.revisions import latest_revision
from govbus.kafka.settings import Settings


@contextmanager
def postgres_bus(settings: Settings, topic_prefix: str, **more: Any) -> Iterator[ShareBus]:
    """Yield a bus that delivers into a schema of its own, which is gone afterwards."""
    schema = f"s_{topic_prefix.rstrip('.')}"
    try:
        yield ShareBus(settings, topic_prefix, {"kind": "postgres", "schema": schema}, **more)
    finally:
        with psycopg.connect(settings.need_postgres_url(), autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def delivered(bus: ShareBus) -> Report:
    """Deliver what was shared so far."""
    return deliver(bus.settings, bus.topics, SUBSCRIBER, ASK, until_caught_up=True)


@contextmanager
def opened(bus: ShareBus) -> Iterator[tuple[PostgresSink, ShareReader]]:
    """Yield a sink and its reader at their stored positions, for a test that writes batch by batch."""
    registry = Registry(bus.settings)
    revision = latest_revision(bus.settings, bus.topics)
    assert revision is not None
    plan = plan_of(revision, registry, SUBSCRIBER, ASK)
    with ShareReader(bus.settings, bus.topics.delivery_group("by_hand")) as reader:
        sink = PostgresSink(bus.settings.need_postgres_url(), bus.delivery["schema"], "by hand")
        try:
            logs = reader.logs(each.topic for each in plan.delivered)
            reader.assign(sink.begin(plan, logs, known_schema(registry)).positions)
            yield sink, reader
        finally:
            sink.close()


def some_records(reader: ShareReader, records: int) -> Batch:
    """Return the next batch with anything in it, of at least that many records where there are so many."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        batch = reader.batch(Limits(records, 10**9, linger_seconds=0.2, end_when_level=True), threading.Event())
        if batch.records:
            return batch
    raise AssertionError("nothing arrives")


def eventually(condition: Callable[[], object], seconds: float = 30, pause_seconds: float = 0.05) -> None:
    """Wait until *condition* holds. Fails when it does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(pause_seconds)


def execute(bus: ShareBus, query: str, values: Sequence[Any] = ()) -> list[Any]:
    """Run one statement in the subscriber's database; return its rows, if it has any."""
    with psycopg.connect(bus.settings.need_postgres_url(), autocommit=True) as connection:
        cursor = connection.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []


def held(
    bus: ShareBus, table: str = "police_population", order: str = "citizen_id", where: str = "true"
) -> list[dict[str, Any]]:
    """The rows of a delivered table."""
    query = f"SELECT * FROM {bus.delivery['schema']}.{table} WHERE {where} ORDER BY {order}"
    with psycopg.connect(bus.settings.need_postgres_url(), row_factory=dict_row) as connection:
        return connection.execute(query).fetchall()


def expected(bus: ShareBus, dataset: str = "police.population") -> list[dict[str, Any]]:
    """What the table must hold: the last record of every key."""
    return [dict(row) for _, row in sorted(bus.rows[dataset].items())]


def positions(bus: ShareBus, *, missing_ok: bool = False) -> dict[tuple[str, int], int]:
    """The positions that the sink keeps beside the rows; with *missing_ok* none before its first start."""
    if missing_ok and execute(bus, "SELECT to_regclass(%s)", [f"{bus.delivery['schema']}._govbus_offsets"]) == [
        (None,)
    ]:
        return {}
    rows = execute(bus, f"SELECT topic, partition, next FROM {bus.delivery['schema']}._govbus_offsets")
    return {(topic, partition): position for topic, partition, position in rows}
