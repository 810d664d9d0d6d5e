"""When a sink can no longer know what it missed: everything is read again, and what was not met is removed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
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
from integration.share_bus import ShareBus, people
from integration.sink_process import SinkProcess

from govbus.kafka.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def bus(settings: Settings, topic_prefix: str) -> Iterator[ShareBus]:
    with postgres_bus(settings, topic_prefix) as made:
        yield made


def test_records_deleted_below_the_position_are_swept(bus: ShareBus) -> None:
    """After DeleteRecords beyond the sink's position it reads from the log's start and removes rows it did not meet."""
    bus.apply()
    bus.send(people(0, 60))
    delivered(bus)
    bus.send(deletes=people(0, 20))  # Tombstones that the sink never sees:
    bus.delete_records()
    bus.send(people(20, 40, name="再发"))
    report = delivered(bus)
    assert held(bus) == expected(bus)
    assert report.reloads == {"police.population": 1}
    assert report.written["police.population"].swept == 20


def test_a_topic_that_was_made_again_is_another_topic(bus: ShareBus) -> None:
    """Rows of a deleted topic go, also where the new one of that name is longer than the old one was."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    bus.make_topic_again()
    bus.send(people(5, 50))
    report = delivered(bus)
    assert held(bus) == expected(bus)
    assert report.reloads == {"police.population": 1}


def test_a_sink_away_for_half_as_long_as_deletions_are_kept_reads_again(bus: ShareBus) -> None:
    """Deletions may have left the log unseen: the rows they removed are swept."""
    bus.apply()
    bus.send(people(0, 30))
    delivered(bus)
    # As if compaction had taken both the records and their tombstones:
    bus.make_topic_again()
    bus.send(people(10, 20))
    offsets = f"{bus.delivery['schema']}._govbus_offsets"
    topic_id = bus.topic_id()
    execute(bus, f"UPDATE {offsets} SET topic_id = %s, next = 0", [topic_id])
    assert delivered(bus).reloads == {}
    assert len(held(bus)) == 30, "a position that is young enough is continued"
    execute(bus, f"UPDATE {offsets} SET level_at = now() - interval '15 days 1 minute'")
    assert delivered(bus).reloads == {"police.population": 1}
    assert held(bus) == expected(bus)


def test_positions_that_are_lost_are_found_by_reading_again(bus: ShareBus) -> None:
    """A subscriber who empties the table of positions gets a reload, not doubles."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    bus.send(deletes=people(0, 3))
    execute(bus, f"DELETE FROM {bus.delivery['schema']}._govbus_offsets")
    delivered(bus)
    assert held(bus) == expected(bus)


def test_a_table_the_subscriber_dropped_is_made_and_filled_again(bus: ShareBus) -> None:
    """Dropping the table is how a subscriber asks for a fresh copy."""
    bus.apply()
    bus.send(people(0, 10))
    delivered(bus)
    execute(bus, f"DROP TABLE {bus.delivery['schema']}.police_population")
    delivered(bus)
    assert held(bus) == expected(bus)


def test_a_reload_that_was_cut_short_goes_on_where_it_was(bus: ShareBus) -> None:
    """A sink that dies in the middle of a reload has kept the keys it met; the next one sweeps by all of them."""
    bus.apply()
    bus.send(people(0, 90))
    delivered(bus)
    bus.send(deletes=people(0, 30))
    bus.delete_records()
    bus.send(people(30, 60))
    with opened(bus) as (sink, reader):
        for _ in range(2):
            sink.write(sink.prepare(some_records(reader, 10)))
        assert sink.reloading
    report = delivered(bus)
    assert report.reloads == {}, "it did not begin again"
    assert report.written["police.population"].swept == 30
    assert held(bus) == expected(bus)


def test_records_deleted_under_a_running_sink_are_swept_without_a_restart(bus: ShareBus, tmp_path: Path) -> None:
    """A sink that finds its position below the log's start while it runs begins anew by itself."""
    bus.apply()
    bus.send(people(0, 60))
    with SinkProcess(bus, tmp_path / "city") as sink:
        eventually(lambda: positions(bus, missing_ok=True) and len(held(bus)) == 60)
        sink.signal(signal.SIGSTOP)
        bus.send(people(60, 30))  # answers the request for more that the sink may have sent
        bus.send(deletes=people(0, 20))
        bus.delete_records()
        bus.send(people(20, 70, name="再发"))
        sink.signal(signal.SIGCONT)
        eventually(lambda: held(bus) == expected(bus), 60)
        assert "below_log_start" in sink.said
        assert sink.running
