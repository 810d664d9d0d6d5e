"""A new revision is only a difference between two views over the records already held, also when cut short."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from integration.bus_process import BusProcess, eventually
from integration.committed import Seen
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID, CAR, CARS, PERSON, PLACES, STATISTICS, citizen_id, person

from govbus.exchange import inputs
from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack

PERSON_FILE, ASK_FILE = "producers/police/person.yaml", "consumers/school/places.yaml"


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> ExchangeBus:
    return ExchangeBus(settings, topic_prefix, tmp_path / "city")


def publish(bus: ExchangeBus, count: int = 60) -> None:
    for number in range(count):
        bus.upsert(person(number, sex="12"[number % 2], birth_date=13_880 + number * 80))


def grant(bus: ExchangeBus, number: int) -> dict[str, Any]:
    return bus.documents[PERSON_FILE]["grants"][number]


def asked(bus: ExchangeBus) -> dict[str, Any]:
    return bus.documents[ASK_FILE]["datasets"][PERSON]


def fewer_fields(bus: ExchangeBus) -> None:
    del asked(bus)["fields"]["name"]


def more_fields(bus: ExchangeBus) -> None:
    grant(bus, 0)["fields"]["division"] = "pass"
    asked(bus)["fields"]["division"] = "pass"


def fewer_rows(bus: ExchangeBus) -> None:
    grant(bus, 0)["rows"] = {"birth_date": {"range": {"from": "2010-01-01", "to": "2012-12-31"}}}


def more_rows(bus: ExchangeBus) -> None:
    del asked(bus)["rows"]


def other_rows(bus: ExchangeBus) -> None:
    asked(bus)["rows"] = {"sex": {"equals": "2"}}


def other_mask(bus: ExchangeBus) -> None:
    asked(bus)["fields"]["birth_date"] = {"generalise": "month"}


def suspended(bus: ExchangeBus) -> None:
    grant(bus, 0)["state"] = "suspended"


def ended(bus: ExchangeBus) -> None:
    grant(bus, 0)["state"] = "ended"


def expired(bus: ExchangeBus) -> None:
    bus.documents[ASK_FILE]["until"] = "2020-12-31"


def expired_grant(bus: ExchangeBus) -> None:
    grant(bus, 0)["until"] = "2020-12-31"


CHANGES = (
    *(fewer_fields, more_fields, fewer_rows, more_rows, other_rows, other_mask),
    *(suspended, ended, expired, expired_grant),
)
NOTHING_LEFT = (suspended, ended, expired, expired_grant)


def held_of(bus: ExchangeBus, view: str) -> dict[bytes, bytes | None]:
    """Return what a reader of the share topic holds who began before anything changed; framing included."""
    held: dict[bytes, bytes | None] = {}
    for seen in bus.read(bus.topics.share(view)):
        assert seen.key is not None
        held[seen.key] = seen.value
    return {key: value for key, value in held.items() if value is not None}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_policy(bus: ExchangeBus, change: Callable[[ExchangeBus], None]) -> None:
    """After any change of fields, masks, rows or terms a view is what the oracle says, and others heard nothing."""
    publish(bus)
    bus.exchange()
    expected = bus.check()
    others = {view: bus.read(bus.topics.share(view)) for view in (STATISTICS, AID)}

    change(bus)
    bus.apply()
    bus.exchange()

    changed = bus.expected()
    assert changed[PLACES] != expected[PLACES]
    if change in NOTHING_LEFT:
        assert changed[PLACES] == {}
        assert held_of(bus, PLACES) == {}
    else:
        bus.check()
    assert {view: bus.read(bus.topics.share(view)) for view in (STATISTICS, AID)} == others

    publish(bus)
    bus.delete(person(1))
    bus.exchange()
    if change in NOTHING_LEFT:
        assert held_of(bus, PLACES) == {}
    else:
        bus.check()


def test_a_suspended_grant_comes_back(bus: ExchangeBus) -> None:
    """A grant that is active again fills its view from the records held, with what changed meanwhile."""
    publish(bus)
    bus.exchange()
    suspended(bus)
    bus.apply()
    bus.upsert(person(0, name="司马"))
    bus.delete(person(2))
    bus.exchange()
    assert held_of(bus, PLACES) == {}

    grant(bus, 0)["state"] = "active"
    bus.apply()
    bus.exchange()
    assert len(bus.check()[PLACES]) > 10


def test_a_new_ask_and_a_new_dataset(bus: ExchangeBus) -> None:
    """A new ask is filled from what is held; a dataset declared later flows beside the others."""
    ask = copy.deepcopy(bus.documents["consumers/care/aid.yaml"])
    car = bus.documents["producers/police/car.yaml"]
    bus.forget("consumers/care/aid.yaml")
    bus.apply()
    publish(bus)
    bus.upsert({"citizen_id": citizen_id(1), "plate": "云A1", "seats": 5}, dataset=CAR)
    bus.exchange()

    bus.documents["consumers/care/aid.yaml"] = ask
    bus.documents["producers/police/van.yaml"] = {
        **car,
        "dataset": "van",
        "resource_code": "101001/000009",
        "grants": [],
    }
    bus.documents["schemas/police/van.avsc"] = {**bus.documents["schemas/police/car.avsc"], "name": "van"}
    for sample in ("usual.pass", "no_plate.fail"):
        bus.documents[f"schemas/police/van.{sample}.json"] = bus.documents[f"schemas/police/car.{sample}.json"]
    bus.apply()
    bus.upsert({"citizen_id": citizen_id(1), "plate": "云A2", "seats": 7}, dataset="police.van")
    bus.exchange()

    expected = bus.check()
    assert (len(expected[AID]), len(expected[CARS])) == (60, 1)
    assert len(bus.read(bus.topics.current("police.van"))) == 1


def test_a_new_version_of_a_dataset(bus: ExchangeBus) -> None:
    """An optional field more: records of both schemas are held and compared, and an ask may see the new field."""
    publish(bus)
    bus.exchange()
    bus.documents["schemas/police/person.avsc"]["fields"].append(
        {"name": "height", "type": ["null", "int"], "default": None}
    )
    bus.documents[PERSON_FILE]["fields"]["height"] = {"title": "身高", "grade": "L2"}
    bus.apply()
    bus.upsert(person(1, height=120))
    bus.exchange()
    bus.check()

    grant(bus, 2)["fields"]["height"] = "pass"
    bus.documents["consumers/care/aid.yaml"]["datasets"][PERSON]["fields"]["height"] = "pass"
    bus.apply()
    bus.upsert(person(2, height=130))
    bus.delete(person(3))
    bus.exchange()
    assert len(bus.check()[AID]) == 59


def test_a_department_that_is_ahead_of_the_worker(bus: ExchangeBus) -> None:
    """Records of a schema applied while the worker runs are accepted by it, and the next start goes on from them."""
    publish(bus)
    bus.exchange()
    with BusProcess(bus, "exchange") as worker:
        worker.wait_until_says("partition restored")
        bus.documents["schemas/police/person.avsc"]["fields"].append(
            {"name": "height", "type": ["null", "int"], "default": None}
        )
        bus.documents[PERSON_FILE]["fields"]["height"] = {"title": "身高", "grade": "L2"}
        grant(bus, 2)["fields"]["height"] = "pass"
        bus.documents["consumers/care/aid.yaml"]["datasets"][PERSON]["fields"]["height"] = "pass"
        bus.apply()
        for number in range(20):
            bus.upsert(person(number, height=100 + number))
        bus.flush()
        eventually(lambda: len(bus.read(bus.topics.current(PERSON))) == 80 or not worker.running)
        assert worker.running, worker.said
        worker.kill()
    bus.exchange()

    bus.check()
    assert bus.reasons() == []


def test_a_term_that_is_over_shows_nothing(bus: ExchangeBus) -> None:
    """A view whose last day is today is whole, one whose last day was yesterday is empty; the clock is the brokers'."""
    publish(bus, 10)
    today = (datetime.now(UTC) + timedelta(hours=8)).date()
    bus.documents[ASK_FILE]["until"] = today.isoformat()
    bus.apply()
    bus.exchange()
    assert len(bus.check()[PLACES]) > 2
    bus.documents[ASK_FILE]["until"] = (today - timedelta(days=1)).isoformat()
    bus.apply()
    bus.exchange()
    assert held_of(bus, PLACES) == {}


@pytest.mark.parametrize("change", [other_mask, fewer_rows, ended, more_fields])
def test_killed_in_the_middle_of_a_change(bus: ExchangeBus, change: Callable[[ExchangeBus], None]) -> None:
    """kill -9 between two slices of a view's change: the next start ends it, and new input is right on both sides."""
    count = 10_000
    for number in range(count):
        bus.upsert(person(number))
    bus.exchange()
    before = _length(bus, PLACES)
    change(bus)
    bus.apply()
    for number in range(0, count, 97):
        bus.upsert(person(number, sex="2"))
    bus.flush()

    with BusProcess(bus, "exchange") as worker:
        eventually(lambda: _length(bus, PLACES) > before or not worker.running, pause_seconds=0)
        worker.kill()
    assert _unfinished(bus), "the change was over before it could be cut short"
    bus.exchange()

    assert not _unfinished(bus)
    if change in NOTHING_LEFT:
        assert held_of(bus, PLACES) == {}
    else:
        bus.check()


def _length(bus: ExchangeBus, view: str) -> int:
    ends = inputs.ends(bus.admin, [(bus.topics.share(view), number) for number in range(4)])
    return sum(ends.values())


def _unfinished(bus: ExchangeBus) -> list[Seen]:
    """Return what is noted on bus.progress of changes that are not over, or have not begun."""
    newest = {
        each.key: each for each in bus.read(bus.topics.progress) if each.key and each.key.endswith(PLACES.encode())
    }
    over = (b'"now": [%d,' % bus.revision.number, b'"now": [0,')
    return [
        each
        for each in newest.values()
        if b'"before"' in (each.value or b"") or not any(now in (each.value or b"") for now in over)
    ]
