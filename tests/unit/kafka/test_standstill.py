"""When a partition is taken for one that is not read any more."""

from __future__ import annotations

from govbus.kafka.standstill import Standstill

ONE, OTHER = ("raw.a.b", 0), ("raw.a.b", 1)


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_what_stands_still_below_its_end_is_found_after_patience() -> None:
    """Only the partition whose position stayed where it was, below its end, for the whole time is named."""
    clock = Clock()
    standstill = Standstill(20, clock)
    for moved in range(2):
        assert standstill.look({ONE: 5, OTHER: moved}, {ONE: 9, OTHER: 9}, idle=True) == []
        clock.seconds += 10
    assert standstill.look({ONE: 5, OTHER: 2}, {ONE: 9, OTHER: 9}, idle=True) == [ONE]


def test_whoever_is_at_the_end_may_stand() -> None:
    """Nothing to read is no standstill, however long, and neither is a partition whose end is not known."""
    clock = Clock()
    standstill = Standstill(20, clock)
    for _ in range(5):
        assert standstill.look({ONE: 9, OTHER: 9}, {ONE: 9}, idle=True) == []
        clock.seconds += 100


def test_time_counts_from_when_there_was_more() -> None:
    """A partition that was at its end has all the patience from the first look that saw more."""
    clock = Clock()
    standstill = Standstill(20, clock)
    standstill.look({ONE: 9}, {ONE: 9}, idle=True)
    clock.seconds += 100
    assert standstill.look({ONE: 9}, {ONE: 12}, idle=True) == []
    clock.seconds += 19
    assert standstill.look({ONE: 9}, {ONE: 12}, idle=True) == []
    clock.seconds += 1
    assert standstill.look({ONE: 9}, {ONE: 12}, idle=True) == [ONE]


def test_a_busy_consumer_accuses_nobody() -> None:
    """While the consumer has records to hand over, what is missing may be among them."""
    clock = Clock()
    standstill = Standstill(20, clock)
    standstill.look({ONE: 5}, {ONE: 9}, idle=False)
    clock.seconds += 60
    assert standstill.look({ONE: 5}, {ONE: 9}, idle=False) == []
    assert standstill.look({ONE: 5}, {ONE: 9}, idle=True) == [ONE]


def test_forgotten_time_does_not_count() -> None:
    """After brokers that were away patience begins anew."""
    clock = Clock()
    standstill = Standstill(20, clock)
    standstill.look({ONE: 5}, {ONE: 9}, idle=True)
    clock.seconds += 60
    standstill.forget()
    assert standstill.look({ONE: 5}, {ONE: 9}, idle=True) == []
