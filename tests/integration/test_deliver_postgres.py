"""Delivery into Postgres, on the real servers: the table is the last record of every key, whatever happens between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from integration.share_bus import ASK, SUBSCRIBER, ShareBus, people
from psycopg.rows import dict_row

from govbus.delivery.run import Report, deliver
from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def schema(topic_prefix: str, settings: Settings) -> Iterator[str]:
    """A schema of the test's own in the subscriber's database."""
    name = f"s_{topic_prefix.rstrip('.')}"
    yield name
    with psycopg.connect(settings.need_postgres_url(), autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, schema: str) -> ShareBus:
    return ShareBus(settings, topic_prefix, {"kind": "postgres", "schema": schema})


def delivered(bus: ShareBus) -> Report:
    return deliver(bus.settings, bus.topics, SUBSCRIBER, ASK, until_caught_up=True)


def held(bus: ShareBus, table: str = "police_population", order: str = "citizen_id") -> list[dict[str, Any]]:
    with psycopg.connect(bus.settings.need_postgres_url(), row_factory=dict_row) as connection:
        return connection.execute(f"SELECT * FROM {bus.delivery['schema']}.{table} ORDER BY {order}").fetchall()


def expected(bus: ShareBus, dataset: str = "police.population") -> list[dict[str, Any]]:
    return [dict(row) for _, row in sorted(bus.rows[dataset].items())]


def test_inserts_updates_and_deletes_leave_the_last_record_of_every_key(bus: ShareBus) -> None:
    """The table holds exactly the last committed record of every key."""
    bus.apply()
    bus.send(people(0, 100))
    bus.send_aborted(people(500, 5))
    delivered(bus)
    bus.send(people(20, 30, name="改名"), deletes=people(0, 10))
    bus.send(people(5, 2), deletes=people(90, 10))
    delivered(bus)
    assert held(bus) == expected(bus)
