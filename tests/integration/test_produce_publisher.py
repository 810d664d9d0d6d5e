"""The publisher against real servers: what a department's own program sends, and what a crash or a loss cannot do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from integration.produce_bus import ProduceBus

from govbus.adapters import InvalidRecord, Publisher
from govbus.adapters.feed import journal_path
from govbus.adapters.journal import JournalBusy
from govbus.adapters.link import NothingApplied
from govbus.errors import SettingsError
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.rules.identity import citizen_id_check
from govbus.rules.reject import RejectReason

pytestmark = pytest.mark.stack

ZHANG = "890101199101010194"
LI = "89010119910101008X"


def person(citizen_id: str = ZHANG, name: str = "张三") -> dict[str, object]:
    return {"citizen_id": citizen_id, "name": name, "sex": "1", "birth_date": "1991-01-01", "division": "890101"}


def citizen(number: int) -> str:
    first17 = f"890101{date(1950, 1, 1) + timedelta(days=number // 900):%Y%m%d}{number % 900 + 1:03}"
    return first17 + citizen_id_check(first17)


@pytest.fixture
def bus(settings: Settings, topic_prefix: str) -> ProduceBus:
    made = ProduceBus(settings, topic_prefix)
    made.declare()
    made.apply()
    return made


def publisher(bus: ProduceBus) -> Publisher:
    return Publisher(bus.settings, "police.population", bus.topics)


def test_records_arrive_canonical_and_deletions_as_tombstones(bus: ProduceBus) -> None:
    """An upsert becomes one framed Avro record in its subject's partition, a deletion a tombstone with a version."""
    at = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
    with publisher(bus) as open_publisher:
        open_publisher.upsert({**person(), "citizen_id": "890101910101019"}, changed_at=at)
        open_publisher.upsert(person(LI, "李四"), changed_at=at)
        counts = open_publisher.flush()
        assert (counts.upserted, counts.deleted) == (2, 0)
        open_publisher.delete(LI, changed_at=at + timedelta(seconds=1))
    micros = round(at.timestamp() * 1_000_000)
    sent = sorted(bus.raw(), key=lambda each: (each.key, each.version))
    assert [(each.key, each.version, each.changed_at) for each in sent] == [
        (LI.encode(), micros, micros),
        (LI.encode(), micros + 1_000_000, micros + 1_000_000),
        (ZHANG.encode(), micros, micros),
    ]
    assert bus.newest() == {ZHANG.encode(): {**person(), "birth_date": date(1991, 1, 1)}}


def test_equal_records_travel_once_and_versions_rise_although_the_clock_falls(bus: ProduceBus) -> None:
    """The same values again send nothing; other values get a higher version, also with an earlier time of change."""
    at = datetime(2026, 5, 1, tzinfo=UTC)
    with publisher(bus) as first:
        first.upsert(person(), changed_at=at)
    with publisher(bus) as second:
        second.upsert(person(), changed_at=at + timedelta(days=1))
        assert second.flush().unchanged == 1
        second.upsert(person(name="张五"), changed_at=at - timedelta(days=1))
    versions = [each.version for each in bus.raw()]
    assert versions == [round(at.timestamp() * 1_000_000), round(at.timestamp() * 1_000_000) + 1]
    assert bus.newest()[ZHANG.encode()]["name"] == "张五"


def test_a_bad_record_is_refused_at_once_and_the_publisher_goes_on(bus: ProduceBus) -> None:
    """A bad field, a clock eight hours ahead and a missing key are told where they happen, without values."""
    with publisher(bus) as open_publisher:
        with pytest.raises(InvalidRecord, match="citizen_id: the check character"):
            open_publisher.upsert(person("890101199101010195"))
        with pytest.raises(InvalidRecord) as ahead:
            open_publisher.upsert(person(), changed_at=datetime.now(UTC) + timedelta(hours=8))
        assert ahead.value.reason == RejectReason.VERSION_AHEAD
        with pytest.raises(InvalidRecord, match="the key has 1 fields"):
            open_publisher.delete([ZHANG, "x"])
        with pytest.raises(InvalidRecord) as large:
            open_publisher.upsert(person(name="大" * 400_000))
        assert large.value.reason == RejectReason.OVERSIZE
        open_publisher.upsert(person())
    assert len(bus.raw()) == 1


def test_an_explicit_version_is_stale_below_and_refused_with_other_values_when_equal(bus: ProduceBus) -> None:
    """The department's own versions decide: lower is not sent, equal with other values is an error."""
    with publisher(bus) as open_publisher:
        open_publisher.upsert(person(), version=100)
        open_publisher.flush()
        open_publisher.upsert(person(name="旧"), version=99)
        assert open_publisher.flush().stale == 1
        with pytest.raises(InvalidRecord) as conflict:
            open_publisher.upsert(person(name="别"), version=100)
        assert conflict.value.reason == RejectReason.VERSION_CONFLICT
    assert [each.version for each in bus.raw()] == [100]


def test_a_lost_journal_is_read_back_from_the_raw_topic(bus: ProduceBus) -> None:
    """Without its journal the publisher still knows what it published: nothing doubles, versions still rise."""
    at = datetime(2026, 5, 1, tzinfo=UTC)
    with publisher(bus) as first:
        first.upsert(person(), changed_at=at)
        first.upsert(person(LI), changed_at=at)
        first.flush()
        first.delete(LI, changed_at=at + timedelta(seconds=9))
    journal_path(bus.settings.home, "police.population").unlink()
    with publisher(bus) as second:
        second.upsert(person(), changed_at=at)
        second.delete(LI, changed_at=at)
        counts = second.flush()
        assert (counts.unchanged, counts.upserted, counts.deleted) == (2, 0, 0)
        second.upsert(person(LI, "李四"), changed_at=at)
    assert len(bus.raw()) == 4
    assert bus.newest()[LI.encode()]["name"] == "李四"


def test_a_topic_made_again_is_not_taken_for_the_one_published_to(bus: ProduceBus) -> None:
    """The journal belongs to a topic's id: on an empty topic of the same name everything is published anew."""
    with publisher(bus) as first:
        first.upsert(person())
    bus.remake_raw()
    with publisher(bus) as second:
        second.upsert(person())
        assert second.flush().upserted == 1
    assert len(bus.raw()) == 1


def test_a_new_epoch_publishes_again_under_the_sources_versions(bus: ProduceBus) -> None:
    """After `govbus epoch`, versions that were too high are forgotten and the source's own count again."""
    with publisher(bus) as first:
        first.upsert(person(), version=1_500_000_000_000_000)
    bus.datasets["police.population"]["epoch"] = 1
    bus.apply()
    with publisher(bus) as second:
        second.upsert(person(), version=7)
    assert [each.version for each in bus.raw()] == [1_500_000_000_000_000, 7]


def test_two_publishers_of_one_dataset_are_refused(bus: ProduceBus) -> None:
    """The second process is told who is in its way."""
    with publisher(bus), pytest.raises(JournalBusy):
        publisher(bus)


def test_what_is_missing_is_named(bus: ProduceBus) -> None:
    """An unknown dataset, and a bus to which nothing was applied, each have their own message."""
    with pytest.raises(SettingsError, match=r"police\.nothing"):
        Publisher(bus.settings, "police.nothing", bus.topics)
    with pytest.raises(NothingApplied, match="govbus apply"):
        Publisher(bus.settings, "police.population", Topics(f"{bus.topics.prefix}none."))


_PROGRAM = """
import sys
from pathlib import Path
from govbus.adapters import Publisher
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from integration.test_produce_publisher import citizen, person
settings = Settings.load(Path(sys.argv[1]))
publisher = Publisher(settings, "police.population", Topics(sys.argv[2]))
for number in range(int(sys.argv[3])):
    publisher.upsert(person(citizen(number)))
    if number % 1000 == 999:
        print(number, flush=True)
publisher.flush()
publisher.close()
"""


def test_kill_9_in_the_middle_doubles_no_version_and_loses_nothing(bus: ProduceBus) -> None:
    """A program killed while records are in flight publishes the unit again: per key one value under each version."""
    env = {
        **os.environ,
        "GOVBUS_HOME": str(bus.settings.home),
        "GOVBUS_BOOTSTRAP_SERVERS": bus.settings.need_bootstrap_servers(),
        "GOVBUS_REGISTRY_URL": bus.settings.need_registry_url(),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-c", _PROGRAM, str(bus.settings.home), bus.topics.prefix, "20000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as program:
        assert program.stdout is not None
        reached = next((int(line) for line in program.stdout if line.strip().isdigit() and int(line) > 8_000), None)
        program.send_signal(signal.SIGKILL)
        program.wait(30)
    assert reached is not None, "the program ended before it could be killed"
    assert 0 < len(bus.raw()) < 20_000
    changed = 7_500
    with publisher(bus) as again:
        for number in range(20_000):
            again.upsert(person(citizen(number), "改" if number == changed else "张三"))
    newest = bus.newest()
    assert len(newest) == 20_000
    assert newest[citizen(changed).encode()]["name"] == "改"
