"""Lag: how much is unread, and for how long at most."""

from __future__ import annotations

import random

from govbus.exchange.lag import Behind, Input, Lag

POPULATION, MARRIAGE = "raw.public_security.population", "raw.civil_affairs.marriage"
DATASET_OF = {POPULATION: "public_security.population", MARRIAGE: "civil_affairs.marriage"}


def test_nothing_unread_is_no_lag() -> None:
    """A worker that stands at every end is behind by nothing, for every dataset of its revision."""
    lag = Lag(DATASET_OF)
    places = {(POPULATION, 0): 7, (MARRIAGE, 0): 0}
    assert lag.measure(places, places, 100.0) == dict.fromkeys(DATASET_OF.values(), Behind())


def test_partitions_add_up_and_the_oldest_counts() -> None:
    """Unread records of a dataset's partitions are added, and its age is that of the partition longest behind."""
    lag = Lag(DATASET_OF)
    lag.reached((POPULATION, 0), 40.0)
    lag.reached((POPULATION, 1), 90.0)
    ends: dict[Input, int] = {(POPULATION, 0): 10, (POPULATION, 1): 5, (MARRIAGE, 0): 3}
    offsets: dict[Input, int] = {(POPULATION, 0): 4, (POPULATION, 1): 3, (MARRIAGE, 0): 3}
    measured = lag.measure(ends, offsets, 100.0)
    assert measured["public_security.population"] == Behind(8, 60.0)
    assert measured["civil_affairs.marriage"] == Behind()


def test_idle_hours_are_no_lag() -> None:
    """A record that arrives after hours without any is not taken for hours old."""
    lag = Lag(DATASET_OF)
    lag.reached((POPULATION, 0), 10.0)
    lag.measure({(POPULATION, 0): 5}, {(POPULATION, 0): 5}, 9_000.0)
    assert lag.measure({(POPULATION, 0): 6}, {(POPULATION, 0): 5}, 9_005.0)[DATASET_OF[POPULATION]] == Behind(1, 5.0)


def test_partition_that_went_to_another_worker_is_forgotten() -> None:
    """What a worker no longer reads is no lag of its own, and is measured anew when it comes back."""
    lag = Lag(DATASET_OF)
    lag.reached((POPULATION, 0), 10.0)
    assert lag.measure({(POPULATION, 0): 9}, {}, 50.0)[DATASET_OF[POPULATION]] == Behind()
    assert lag.measure({(POPULATION, 0): 9}, {(POPULATION, 0): 4}, 60.0)[DATASET_OF[POPULATION]] == Behind(5, 0.0)


def test_unknown_end_and_fast_broker_clock_count_as_level() -> None:
    """Neither an end that is not known yet nor a broker's clock ahead of ours makes a negative figure."""
    lag = Lag(DATASET_OF)
    assert lag.measure({}, {(POPULATION, 0): 4}, 60.0)[DATASET_OF[POPULATION]] == Behind()
    lag.reached((POPULATION, 0), 70.0)
    assert lag.measure({(POPULATION, 0): 5}, {(POPULATION, 0): 4}, 65.0)[DATASET_OF[POPULATION]] == Behind(1, 0.0)


def test_age_is_never_below_the_oldest_unread_record(seed: int) -> None:
    """For any arrivals and any reading, the age is at least that of the oldest unread record (clocks agree)."""
    chance = random.Random(seed)
    for _ in range(200):
        lag, published, read, now = Lag(DATASET_OF), list[float](), 0, 0.0
        lag.measure({(POPULATION, 0): 0}, {(POPULATION, 0): 0}, now)
        for _ in range(30):
            now += chance.random() * 10
            match chance.randrange(3):
                case 0:
                    published.append(now)
                case 1 if read < len(published):
                    read = chance.randrange(read + 1, len(published) + 1)
                    lag.reached((POPULATION, 0), published[read - 1])
                case _:
                    found = lag.measure({(POPULATION, 0): len(published)}, {(POPULATION, 0): read}, now)
                    behind = found[DATASET_OF[POPULATION]]
                    assert behind.records == len(published) - read
                    assert behind.seconds >= (now - published[read] if behind.records else 0.0) - 1e-9
