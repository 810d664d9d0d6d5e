"""`govbus status` on real servers: what stands in Kafka and what processes say, with and without any process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import PERSON, READING, person
from typer.testing import CliRunner

from govbus.adapters.link import Link
from govbus.cli import app
from govbus.delivery.run import deliver
from govbus.health import Endpoint, Health
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.status import Status, status_of
from govbus.ops.status_read import NothingApplied, read_facts

pytestmark = pytest.mark.stack

PLACES, AID = ("school.places", PERSON), ("care.aid", PERSON)
FILES = {"kind": "file", "format": "jsonl", "folder": "aid"}


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> ExchangeBus:
    return ExchangeBus(
        settings,
        topic_prefix,
        tmp_path / "city",
        lambda documents: documents["consumers/care/aid.yaml"].update(delivery=FILES),
    )


def look(bus: ExchangeBus) -> Status:
    return status_of(read_facts(bus.settings, bus.topics))


def states(status: Status) -> dict[str, str]:
    return {each.facts.dataset: each.state for each in status.datasets}


def ask_state(status: Status, ask: tuple[str, str]) -> str:
    return next(each.state for each in status.asks if (each.ask, each.dataset) == ask)


def undelivered(status: Status, ask: tuple[str, str]) -> int | None:
    facts = next(each.facts for each in status.asks if (each.ask, each.dataset) == ask)
    assert facts is not None
    return facts.undelivered


def test_a_city_from_its_first_revision_to_a_delivery(bus: ExchangeBus) -> None:
    """Nothing yet, published, exchanged, delivered: each step shows, and no process runs at any of them."""
    fresh = look(bus)
    assert fresh.facts.revision == 1
    assert set(states(fresh).values()) == {"nothing yet"}
    assert {each.state for each in fresh.asks} == {"not sent"}
    assert fresh.facts.processes == ()

    for number in range(30):
        bus.upsert(person(number))
    bus.flush()
    published = look(bus)
    (facts,) = (each.facts for each in published.datasets if each.facts.dataset == PERSON)
    assert facts.unread == 30
    assert facts.oldest_unread_at is not None
    assert facts.newest_at is not None
    assert facts.oldest_unread_at <= facts.newest_at
    behind = next(each.behind_seconds for each in published.datasets if each.facts.dataset == PERSON)
    assert 0 < behind < 120

    bus.exchange()
    exchanged = look(bus)
    assert states(exchanged)[PERSON] == "flowing"
    assert sum(each.facts.unread for each in exchanged.datasets) == 0
    assert {each.state for each in exchanged.asks} == {"flowing"}
    assert undelivered(exchanged, AID) is None

    deliver(bus.settings, bus.topics, "care", "aid", until_caught_up=True)
    assert undelivered(look(bus), AID) == 0
    bus.upsert(person(1, name="欧阳二"))
    bus.exchange()
    assert undelivered(look(bus), AID) not in (None, 0)


def test_asks_that_get_nothing_and_new_revisions_show(bus: ExchangeBus) -> None:
    """A suspended grant is named; a revision that no worker has taken leaves changed views unsent, and only those."""
    bus.exchange()
    bus.documents["producers/police/person.yaml"]["grants"][0]["state"] = "suspended"
    fields = bus.documents["consumers/care/aid.yaml"]["datasets"][PERSON]["fields"]
    bus.documents["consumers/care/aid.yaml"]["datasets"][PERSON]["fields"] = {**fields, "income": "drop"}
    bus.apply()
    found = look(bus)
    assert ask_state(found, PLACES) == "grant_suspended"
    assert ask_state(found, AID) == "not sent"
    assert ask_state(found, ("care.heat", READING)) == "flowing"
    bus.exchange()
    assert ask_state(look(bus), AID) == "flowing"


def test_looks_at_the_source_and_rejects_show(bus: ExchangeBus) -> None:
    """The last completed look per source, with what waits for a decision; rejects per dataset and department."""
    bus.send_bad(bus.key(PERSON, person(1)), bus.value(PERSON, person(1), bus.version())[:-1])
    bus.exchange()
    link = Link(bus.settings, bus.topics)
    for at, held in (("2026-06-01T00:00:00+00:00", 0), ("2026-06-01T01:00:00+00:00", 9)):
        link.note_poll(READING, "file", {"at": at, "rows": 1, "rejected": 2, "held": held})
    link.close()
    found = look(bus)
    (reading,) = (each for each in found.datasets if each.facts.dataset == READING)
    (poll,) = reading.facts.polls
    assert (poll.source, poll.at.isoformat(), poll.held, poll.rejected) == ("file", "2026-06-01T01:00:00+00:00", 9, 2)
    assert reading.state == "held"
    assert found.rejects == {"police": 1}


def test_processes_of_this_machine_say_how_they_are(bus: ExchangeBus) -> None:
    """One that runs says ready or what it waits for; one that was killed is still listed, as ended."""
    health = Health("exchange", "exchange-w1")
    health.set_ready(True)
    with Endpoint(health, bus.settings.home):
        note = next((bus.settings.home / "run").glob("*.json"))
        dead = json.loads(note.read_text())
        dead[0]["labels"] |= {"instance": "exchange-w2", "__govbus_pid": str(2**22 + 1)}
        note.with_name("exchange-w2.json").write_text(json.dumps(dead))
        says = {each.name: each.says for each in look(bus).facts.processes}
    assert says == {"exchange-w1": "ready", "exchange-w2": "ended"}


def test_before_the_first_revision_there_is_nothing_to_say(settings: Settings, topic_prefix: str) -> None:
    """The message says which command comes first."""
    with pytest.raises(NothingApplied, match="run `govbus apply` first"):
        read_facts(settings, Topics(topic_prefix))


def test_the_command_shows_it_to_people_and_programs(bus: ExchangeBus) -> None:
    """Every dataset and ask by name, once per reason what does not flow, and the same as JSON."""
    bus.upsert(person(1))
    bus.exchange()

    def run(*words: str) -> str:
        line = ["--city", str(bus.settings.city_dir), "status", *words]
        done = CliRunner().invoke(app, line, env=bus.environment(), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    text = run()
    assert "小城 (tiny), catalogue revision 1 of " in text
    assert text.count("nothing yet: the department has published nothing") == 1
    for name in ("police 公安局", "person", "care.aid", "no sink yet", "reads Kafka itself", "2099-12-31"):
        assert name in text
    assert "person" not in run("--department", "weather")
    document = json.loads(run("--json", "--subscriber", "school"))
    assert {each["ask"] for each in document["asks"]} == {"school.places", "school.statistics"}
    assert [each["dataset"] for each in document["datasets"]] == [PERSON]
    assert document["datasets"][0]["state"] == "flowing"
