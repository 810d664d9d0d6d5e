"""The exchange on real servers: every share topic, compacted, is what the oracle makes of the latest records."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from integration.exchange_bus import ExchangeBus
from integration.tiny_city import (
    AID,
    CAR,
    CARS,
    HEAT,
    PARTITIONS,
    PERSON,
    PLACES,
    READING,
    STATISTICS,
    citizen_id,
    person,
)
from oracle import masks

from govbus import metrics
from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def bus(settings: Settings, topic_prefix: str, tmp_path: Path) -> ExchangeBus:
    return ExchangeBus(settings, topic_prefix, tmp_path / "city")


def test_every_view_is_what_the_oracle_says(bus: ExchangeBus) -> None:
    """Rows are filtered, fields projected, values masked and keys derived as the two declarations together allow."""
    for number in range(200):
        child = {"birth_date": 16_000 + number * 30, "sex": "12"[number % 2]}
        bus.upsert(person(number, **child, division=None if number % 7 == 0 else "890203", illness="秘密"))
        bus.upsert({"citizen_id": citizen_id(number), "plate": f"云A{number}", "seats": number}, dataset=CAR)
        bus.upsert({"station": f"89{number % 10}", "heat": number}, dataset=READING)
    bus.exchange()

    expected = bus.check()
    assert {view: len(rows) for view, rows in expected.items()} == {
        AID: 200,
        STATISTICS: 200,
        CARS: 200,
        HEAT: 10,
        PLACES: len(expected[PLACES]),
    }
    assert 20 < len(expected[PLACES]) < 100
    assert bus.reasons() == []


def test_updates_deletions_and_rows_that_leave(bus: ExchangeBus) -> None:
    """A changed row travels anew, a deleted one and one that left a filter are retracted, one may come back."""
    for number in range(40):
        bus.upsert(person(number))
    bus.exchange()
    assert len(bus.check()[PLACES]) == 40

    for number in range(10):
        bus.upsert(person(number, sex="2"))
        bus.delete(person(10 + number))
        bus.upsert(person(20 + number, name="司马相如"))
    bus.exchange()
    expected = bus.check()
    assert len(expected[PLACES]) == 20
    assert len(expected[AID]) == 30

    for number in range(20):
        bus.upsert(person(number))
    bus.exchange()
    assert len(bus.check()[PLACES]) == 40


def test_a_hidden_change_sends_nothing(bus: ExchangeBus) -> None:
    """A field that no ask may see can change a hundred times: not even a record's offset tells of it."""
    for number in range(10):
        bus.upsert(person(number))
    bus.exchange()
    before = {view: bus.read(bus.topics.share(view)) for view in bus.revision.view_schema_ids}

    for _ in range(10):
        for number in range(10):
            bus.upsert(person(number, illness=f"病{bus.version()}"))
    bus.exchange()

    assert {view: bus.read(bus.topics.share(view)) for view in bus.revision.view_schema_ids} == before
    assert len(bus.read(bus.topics.current(PERSON))) == 110


def test_only_those_who_see_a_field_hear_of_its_change(bus: ExchangeBus) -> None:
    """A change inside one income band is news for the ask that sees the sum, and for no other."""
    bus.upsert(person(1, income=100))
    bus.exchange()
    counts = {view: len(bus.read(bus.topics.share(view))) for view in (PLACES, STATISTICS, AID)}

    bus.upsert(person(1, income=200))
    bus.exchange()

    after = {view: len(bus.read(bus.topics.share(view))) for view in (PLACES, STATISTICS, AID)}
    assert after == {**counts, AID: counts[AID] + 1}


def test_version_decides_and_not_arrival(bus: ExchangeBus, seed: int) -> None:
    """Duplicates, replays and late versions in any order leave what the highest version of each key says."""
    rng = Random(seed)
    said = []
    for number in range(60):
        for step in range(6):
            version = bus.version()
            deleted = rng.random() < 0.2
            said.append(
                (number, version, None if deleted else person(number, income=step * 1000, sex=rng.choice("12")))
            )
    said = [*said, *rng.choices(said, k=200)]
    rng.shuffle(said)
    for place, (number, version, record) in enumerate(said):
        if record is None:
            bus.delete(person(number), version)
        else:
            bus.upsert(record, version)
        if place == len(said) // 2:
            bus.exchange()
    bus.exchange()

    bus.check()
    assert bus.reasons() == []
    sent: dict[bytes, bytes | None] = {}
    for seen in bus.read(bus.topics.share(AID)):
        assert seen.key is not None
        # Each record of a share topic is a change: nothing is said twice, nothing is retracted that was not there.
        assert sent.get(seen.key) != seen.value
        sent[seen.key] = seen.value


def test_pseudonymised_keys(bus: ExchangeBus) -> None:
    """Where a key may not be seen in clear, the topic's keys are pseudonyms, placed by them and dated by the hour."""
    for number in range(30):
        bus.upsert(person(number))
    bus.exchange()

    key = (bus.settings.home / "secrets" / "pseudonym" / "school.statistics.key").read_bytes()
    seen = bus.read(bus.topics.share(STATISTICS))
    assert {each.key for each in seen} == {masks.pseudonym(key, citizen_id(n).encode()).encode() for n in range(30)}
    assert {each.timestamp_ms % 3_600_000 for each in seen} == {0}
    assert len({each.partition for each in seen}) == PARTITIONS
    for number in range(30):
        bus.delete(person(number))
    bus.exchange()
    assert bus.check()[STATISTICS] == {}


def test_rejects_go_to_their_department(bus: ExchangeBus) -> None:
    """A record that cannot be accepted lands unchanged in its owner's topic, with why, what and where from."""
    bus.upsert(person(1))
    conflict = bus.upsert(person(2))
    wrong = bus.value(PERSON, person(2, name="不同"), conflict)
    bus.send_bad(citizen_id(2).encode(), wrong)
    bus.send_bad(b"89001", b"\x00nonsense", dataset=READING)
    spoilt = person(3, citizen_id="890201201201010000")
    bus.send_bad(bus.key(PERSON, spoilt), bus.value(PERSON, spoilt, bus.version()))
    bus.exchange()

    bus.check()
    found = {dict(each.headers)["reason"]: each for each in bus.rejects()}
    assert set(found) == {b"version_conflict", b"invalid_value"}
    reject = found[b"version_conflict"]
    assert (reject.key, reject.value) == (citizen_id(2).encode(), wrong)
    headers = dict(reject.headers)
    source = next(each for each in bus.read(bus.topics.raw(PERSON)) if each.value == wrong)
    assert headers["dataset"] == PERSON.encode()
    assert headers["topic"] == bus.topics.raw(PERSON).encode()
    assert (headers["partition"], headers["offset"]) == (b"%d" % source.partition, b"%d" % source.offset)
    assert dict(found[b"invalid_value"].headers)["field"] == b"citizen_id"
    assert bus.reasons("weather") == ["unknown_schema"]


def test_a_time_in_clear_is_the_sources(bus: ExchangeBus) -> None:
    """A share record with its key in clear carries the time of the source's change, never one ahead of now."""
    version = bus.upsert(person(1))
    bus.exchange()

    (seen,) = bus.read(bus.topics.share(AID))
    assert seen.timestamp_ms == version // 1000
    assert seen.timestamp_ms < time.time() * 1000


def test_what_is_sent_is_counted(bus: ExchangeBus) -> None:
    """A record's every fate has one count: accepted, duplicate, stale or rejected."""

    def counts() -> Counter[str]:
        found: Counter[str] = Counter()
        for each in metrics.EXCHANGE_RECORDS.collect():
            for sample in each.samples:
                if sample.name.endswith("_total") and sample.labels["dataset"] == PERSON:
                    found[sample.labels["verdict"]] += int(sample.value)
        return found

    before = counts()
    first = bus.upsert(person(1))
    bus.upsert(person(1, income=5))
    bus.upsert(person(1), first)
    bus.upsert(person(2), first)
    bus.upsert(person(2), first)
    bus.send_bad(None, b"x")
    bus.exchange()

    assert counts() - before == Counter(accepted=3, stale=1, duplicate=1)
