"""Tables follow the view: what a revision adds appears, what it withdraws goes, whatever the subscriber built on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date

import pytest
from integration.postgres_delivery import delivered, eventually, execute, expected, held, postgres_bus
from integration.share_bus import ASK, DATE, SUBSCRIBER, ShareBus, Table, people, person_schema

from govbus.delivery import run
from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack

NARROW = {"citizen_id": "pass", "name": "pass", "birth_date": "pass"}


@pytest.fixture
def bus(settings: Settings, topic_prefix: str) -> Iterator[ShareBus]:
    with postgres_bus(settings, topic_prefix) as made:
        yield made


def columns(bus: ShareBus, table: str = "police_population") -> dict[str, str]:
    query = (
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position"
    )
    return dict(execute(bus, query, [bus.delivery["schema"], table]))


@contextmanager
def running(bus: ShareBus) -> Iterator[None]:
    """A delivery that runs meanwhile, and ends well when it is asked to."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        delivery = pool.submit(run.deliver, bus.settings, bus.topics, SUBSCRIBER, ASK, stop=stop)
        try:
            yield
        finally:
            stop.set()
            delivery.result(60)


def test_a_field_added_to_the_view_becomes_a_column(bus: ShareBus) -> None:
    """The table gets the column, empty until the bus sends the records again, and keeps its rows meanwhile."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    bus.tables["police.population"] = Table(avro=person_schema(phone=["null", "string"]))
    bus.apply()
    delivered(bus)
    assert [row["phone"] for row in held(bus)] == [None] * 10
    bus.send(people(0, 10, phone="0890"))
    assert delivered(bus).reloads == {}, "the rows need not be read again"
    assert held(bus) == expected(bus)


def test_a_field_withdrawn_from_the_view_loses_its_column_at_once(bus: ShareBus) -> None:
    """The column goes with the revision, not with the next record; records of the old schema bring it back nowhere."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    bus.send(people(10, 10))  # unread, under the old schema
    bus.tables["police.population"].fields = NARROW
    bus.apply()
    delivered(bus)
    assert list(columns(bus)) == list(NARROW)
    assert held(bus) == [{name: row[name] for name in NARROW} for row in expected(bus)]


def test_a_withdrawn_column_that_something_depends_on_is_emptied_and_renamed(bus: ShareBus) -> None:
    """A SQL view of the subscriber's own does not keep withdrawn values alive, and does not stop the delivery."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    schema = bus.delivery["schema"]
    execute(bus, f"CREATE VIEW {schema}.mine AS SELECT citizen_id, address FROM {schema}.police_population")
    bus.tables["police.population"].fields = NARROW
    bus.apply()
    delivered(bus)
    assert execute(bus, f"SELECT count(*), count(address) FROM {schema}.mine") == [(10, 0)]
    assert list(columns(bus)) == ["citizen_id", "name", "birth_date", "address__withdrawn_2"]


def test_a_field_of_another_type_is_a_new_column_filled_by_reading_again(bus: ShareBus) -> None:
    """A mask that turns a date into its year takes the full date away at once."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    bus.tables["police.population"].fields = {
        "citizen_id": "pass",
        "name": "pass",
        "birth_date": {"generalise": "year"},
        "address": "pass",
    }
    bus.apply()
    bus.send(people(0, 5, birth_date="1990"))
    report = delivered(bus)
    assert columns(bus)["birth_date"] == "text"
    assert [row["birth_date"] for row in held(bus)] == ["1990"] * 5 + [None] * 5
    assert report.reloads == {"police.population": 1}
    bus.send(people(5, 5, birth_date="1990"))
    delivered(bus)
    assert held(bus, order="citizen_id") == expected(bus)


def test_a_key_that_becomes_a_pseudonym_leaves_no_row_under_the_old_key(bus: ShareBus) -> None:
    """Rows under the clear key go with the revision; the table is made anew with `_key`."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    clear = people(0, 10)
    bus.tables["police.population"].fields = {"name": "pass"}
    bus.apply()
    bus.delete_records()
    bus.rows["police.population"] = {}
    bus.send([{"name": row["name"]} for row in clear], keyed_as=clear)
    delivered(bus)
    assert list(columns(bus)) == ["_key", "name"]
    assert sorted(row["_key"] for row in held(bus, order="1")) == sorted(bus.key_of(row).decode() for row in clear)


def test_a_suspended_grant_empties_the_table_and_its_return_fills_it(bus: ShareBus) -> None:
    """What is withheld is not kept by the sink; when the grant comes back the topic is read from its start."""
    bus.tables["police.household"] = Table(avro=person_schema())
    bus.apply()
    bus.send(people(0, 10))
    bus.send(people(0, 4), dataset="police.household")
    delivered(bus)
    bus.tables["police.population"].state = "suspended"
    bus.apply()
    report = delivered(bus)
    assert report.withheld == {"police.population": "grant_suspended"}
    assert report.written["police.population"].deletes == 10
    assert held(bus) == []
    assert held(bus, "police_household") == expected(bus, "police.household")
    bus.tables["police.population"].state = "active"
    bus.apply()
    delivered(bus)
    assert held(bus) == expected(bus)


def test_a_dataset_no_longer_asked_for_loses_its_table(bus: ShareBus) -> None:
    """The table of a dataset that left the ask is dropped; the others stay."""
    bus.tables["police.household"] = Table(avro=person_schema())
    bus.apply()
    bus.send(people(0, 3))
    bus.send(people(0, 4), dataset="police.household")
    delivered(bus)
    del bus.tables["police.household"]
    bus.apply()
    delivered(bus)
    assert columns(bus, "police_household") == {}
    assert held(bus) == expected(bus)


def test_a_running_sink_takes_a_revision_before_its_first_record(
    bus: ShareBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of a schema that a sink does not know makes it read the catalogue first: no value meets an old table."""
    monkeypatch.setattr(run, "LOOK_SECONDS", 3600.0)
    bus.apply()
    bus.send(people(0, 3))
    with running(bus):
        eventually(lambda: columns(bus) and len(held(bus)) == 3)
        bus.tables["police.population"] = Table(avro=person_schema(since=["null", DATE]))
        bus.apply()
        bus.send(people(0, 4, since=date(2026, 1, 1)))
        eventually(lambda: len(held(bus)) == 4)
        assert held(bus) == expected(bus)


def test_a_running_sink_notices_a_revision_without_records(bus: ShareBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A withdrawal takes effect although no record tells of it."""
    monkeypatch.setattr(run, "LOOK_SECONDS", 0.2)
    bus.apply()
    bus.send(people(0, 3))
    with running(bus):
        eventually(lambda: columns(bus) and len(held(bus)) == 3)
        bus.tables["police.population"].granted = False
        bus.apply()
        eventually(lambda: held(bus) == [])
        bus.tables["police.population"].granted = True
        bus.apply()
        eventually(lambda: held(bus) == expected(bus))
