"""Delivery into Postgres, on the real servers: the table is the last record of every key, however records come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from integration.postgres_delivery import delivered, execute, expected, held, positions, postgres_bus
from integration.share_bus import DATE, ShareBus, Table, people, person_schema

from govbus import metrics
from govbus.delivery.plan import UnknownAsk
from govbus.delivery.postgres_table import TableTaken
from govbus.delivery.run import NothingApplied, Refused, deliver
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics

pytestmark = pytest.mark.stack


@pytest.fixture
def bus(settings: Settings, topic_prefix: str) -> Iterator[ShareBus]:
    with postgres_bus(settings, topic_prefix) as made:
        yield made


def test_inserts_updates_and_deletes_leave_the_last_record_of_every_key(bus: ShareBus) -> None:
    """The table holds exactly the last committed record of every key."""
    bus.apply()
    bus.send(people(0, 100))
    bus.send_aborted(people(500, 5))
    delivered(bus)
    bus.send(people(20, 30, name="改名"), deletes=people(0, 10))
    bus.send(people(5, 2), deletes=people(90, 10))
    report = delivered(bus)
    assert held(bus) == expected(bus)
    written = report.written["police.population"]
    assert (written.upserts, written.deletes) == (32, 18)


def test_a_delivery_that_is_level_writes_nothing_again(bus: ShareBus) -> None:
    """A second run over the same topic finds nothing to do."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    assert delivered(bus).written == {}
    assert sum(positions(bus).values()) >= 10


def test_every_avro_type_has_a_typed_column_and_no_value_is_refused(bus: ShareBus) -> None:
    """Each type of a view is a typed column, and values outside Postgres' ranges arrive as infinity, not as a stop."""
    avro = {
        "type": "record",
        "name": "all",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "whole", "type": "int"},
            {"name": "big", "type": "long"},
            {"name": "day", "type": DATE},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "at_millis", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "yes", "type": "boolean"},
            {"name": "single", "type": "float"},
            {"name": "double", "type": "double"},
            {"name": "octets", "type": "bytes"},
            {"name": "money", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
            {"name": "sex", "type": {"type": "enum", "name": "sex", "symbols": ["MALE", "FEMALE"]}},
            {"name": "list", "type": {"type": "array", "items": "string"}},
            {"name": "map", "type": {"type": "map", "values": "long"}},
            {
                "name": "nested",
                "type": {
                    "type": "record",
                    "name": "nested",
                    "fields": [
                        {"name": "text", "type": "string"},
                        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
                    ],
                },
            },
        ],
    }
    bus.tables = {"police.population": Table(avro=avro, key=("id",))}
    bus.apply()
    plain = {
        "id": "plain", "whole": -1, "big": 2**62, "day": 0, "at": 1_700_000_000_000_001, "at_millis": -1, "yes": True,
        "single": 0.5, "double": 1e300, "octets": b"\x00\\\xff", "money": (-12345).to_bytes(3, "big", signed=True),
        "sex": "FEMALE", "list": ["甲", "\\N\t"], "map": {"键": 7}, "nested": {"text": "a\x00b", "day": 365},
    }  # fmt: skip
    extreme = {
        **plain, "id": "extreme\x00", "day": 2**31 - 1, "at": -(2**63), "at_millis": 2**63 - 1,
        "single": float("nan"), "double": float("-inf"), "money": b"\x7f" * 2000,
    }  # fmt: skip
    for row in (plain, extreme):
        bus.send_bytes(row["id"].encode(), bus.bare_value_of(row))
    delivered(bus)

    types = execute(
        bus,
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s "
        "ORDER BY ordinal_position",
        [bus.delivery["schema"], "police_population"],
    )
    assert dict(types) == {
        "id": "text", "whole": "integer", "big": "bigint", "day": "date", "at": "timestamp with time zone",
        "at_millis": "timestamp with time zone", "yes": "boolean", "single": "real", "double": "double precision",
        "octets": "bytea", "money": "numeric", "sex": "text", "list": "jsonb", "map": "jsonb", "nested": "jsonb",
    }  # fmt: skip
    (row,) = held(bus, order="id", where="id = 'plain'")
    assert row == {
        **plain, "day": date(1970, 1, 1), "at": datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC),
        "at_millis": datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC), "money": row["money"],
        "nested": {"text": "a\ufffdb", "day": "1971-01-01"},
    }  # fmt: skip
    assert str(row["money"]) == "-123.45"
    (texts,) = execute(
        bus,
        "SELECT id, day::text, at::text, at_millis::text, single::text, double::text, money::text "
        f"FROM {bus.delivery['schema']}.police_population WHERE id <> 'plain'",
    )
    assert texts == ("extreme\ufffd", "infinity", "-infinity", "infinity", "NaN", "-Infinity", "Infinity")


def test_a_composite_key_of_several_types_finds_its_rows_again(bus: ShareBus) -> None:
    """Deletions, which carry the key's text alone, reach rows by key columns of every key type."""
    avro = person_schema(month="int", paid_on={"type": "int", "logicalType": "date"}, yes="boolean")
    bus.tables = {"police.population": Table(avro=avro, key=("citizen_id", "month", "paid_on"))}
    bus.apply()
    rows = people(0, 12, month=202601, paid_on=date(2026, 1, 31), yes=True)
    bus.send(rows)
    delivered(bus)
    bus.send(people(0, 2, month=202601, paid_on=date(2026, 1, 31), yes=False), deletes=rows[5:])
    delivered(bus)
    assert held(bus) == expected(bus)
    assert len(held(bus)) == 5


def test_a_pseudonymised_key_is_a_column_of_its_own(bus: ShareBus) -> None:
    """Where the key is not in clear, `_key` holds the pseudonym, and no column holds the key in clear."""
    fields = {"citizen_id": "pseudonym", "name": "pass", "birth_date": {"generalise": "year"}}
    bus.tables = {"police.population": Table(fields=fields)}
    bus.apply()
    rows = [{**row, "birth_date": "1990"} for row in people(0, 20)]
    bus.send([{**row, "citizen_id": bus.key_of(row).decode()} for row in rows], keyed_as=rows)
    bus.send(deletes=rows[3:6])
    delivered(bus)
    found = held(bus, order="_key")
    assert [row.pop("_key") for row in found] == [row["citizen_id"] for row in found]
    assert found == [{name: row[name] for name in fields} for row in expected(bus)]
    assert len(found) == 17


def test_two_datasets_of_an_ask_are_two_tables_and_a_missing_topic_stops_nobody(bus: ShareBus) -> None:
    """A dataset without a topic is listed and delivers nothing; the others go on."""
    bus.tables["police.household"] = Table(avro=person_schema())
    bus.apply()
    bus.send(people(0, 5))
    bus.delete_topic("police.household")
    report = delivered(bus)
    assert report.absent == ["police.household"]
    assert held(bus) == expected(bus)


def test_a_dataset_without_a_grant_is_listed_and_the_others_go_on(bus: ShareBus) -> None:
    """An ask whose dataset has no grant receives the others."""
    bus.tables["police.household"] = Table(avro=person_schema(), granted=False)
    bus.apply()
    bus.send(people(0, 5))
    report = delivered(bus)
    assert report.withheld == {"police.household": "no_grant"}
    assert held(bus) == expected(bus)


def test_a_table_that_is_not_ours_is_never_written_to(bus: ShareBus) -> None:
    """A table of the subscriber's own with the same name ends the delivery with a message, and keeps its rows."""
    bus.apply()
    schema = bus.delivery["schema"]
    execute(bus, f"CREATE SCHEMA {schema}")
    execute(bus, f"CREATE TABLE {schema}.police_population AS SELECT 'mine' AS theirs")
    with pytest.raises(TableTaken, match="was not made by govbus"):
        delivered(bus)
    assert held(bus, order="1") == [{"theirs": "mine"}]


def test_a_key_longer_than_an_index_takes_is_counted_and_stops_nobody(bus: ShareBus) -> None:
    """One row that no index can hold is left out and reported; those behind it arrive."""
    bus.apply()
    monster: dict[str, Any] = {**people(0, 1)[0], "citizen_id": "9" * 3000}
    bus.send([monster, *people(1, 5)])
    report = delivered(bus)
    assert report.written["police.population"].undeliverable == 1
    labels = {"ask": "education.school_place", "dataset": "police.population"}
    assert metrics.REGISTRY.get_sample_value("govbus_delivery_undeliverable_total", labels) == 1
    assert len(held(bus)) == 5


def test_a_database_that_lets_nobody_in_is_named_at_once(bus: ShareBus) -> None:
    """Wrong names end a start with what the database said; nothing is waited for in silence."""
    bus.apply()
    url = bus.settings.need_postgres_url()
    settings = replace(bus.settings, postgres_url=url.rpartition("/")[0] + "/nowhere")
    with pytest.raises(Refused, match='"nowhere" does not exist'):
        deliver(settings, bus.topics, "education", "school_place")


def test_a_role_without_rights_is_told_which_it_needs(bus: ShareBus) -> None:
    """The message names the right, not a time-out."""
    bus.apply()
    role = f"r_{bus.topics.prefix.rstrip('.')}"
    execute(bus, f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    try:
        host = bus.settings.need_postgres_url().rpartition("@")[2]
        settings = replace(bus.settings, postgres_url=f"postgresql://{role}:secret@{host}")
        with pytest.raises(Refused, match="needs CREATE on the database"):
            deliver(settings, bus.topics, "education", "school_place")
    finally:
        execute(bus, f"DROP ROLE {role}")


def test_an_ask_that_was_never_applied_is_named_with_those_that_were(settings: Settings, bus: ShareBus) -> None:
    """Wrong names end at once with a message that lists the right ones."""
    with pytest.raises(NothingApplied, match="govbus apply"):
        deliver(settings, bus.topics, "education", "school_place", until_caught_up=True)
    with pytest.raises(NothingApplied):
        deliver(settings, Topics("nowhere."), "education", "school_place", until_caught_up=True)
    bus.apply()
    with pytest.raises(UnknownAsk, match="education school_place"):
        deliver(settings, bus.topics, "education", "school_transfer", until_caught_up=True)


def test_what_a_subscriber_adds_to_its_table_stays(bus: ShareBus) -> None:
    """An index, a column with a default and a SQL view of the subscriber's own live through batches."""
    bus.apply()
    bus.send(people(0, 5))
    delivered(bus)
    table = f"{bus.delivery['schema']}.police_population"
    execute(bus, f"ALTER TABLE {table} ADD COLUMN looked_at boolean NOT NULL DEFAULT false")
    execute(bus, f"UPDATE {table} SET looked_at = true")
    bus.send(people(0, 2, name="改名") + people(50, 1))
    delivered(bus)
    assert [row["looked_at"] for row in held(bus)] == [True] * 5 + [False]
    with psycopg.connect(bus.settings.need_postgres_url()) as connection:
        assert connection.execute(f"SELECT count(*) FROM {table} WHERE name = '改名'").fetchone() == (2,)
