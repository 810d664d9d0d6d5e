"""How far a worker is behind what departments published, per dataset: records, and the age of the oldest of them.

The age is an upper bound that needs no look at the unread record: it was published after the last record that was read
before it, and after the last moment at which nothing was unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Input = tuple[str, int]
"""Raw topic and partition."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What of a dataset is unread. `seconds` is 0 where nothing is."""

    records: int = 0
    seconds: float = 0.0


class Lag:
    """Remembers, per input, since when at the earliest something may be unread."""

    def __init__(self, dataset_of: Mapping[str, str]) -> None:
        self._dataset_of = dataset_of
        self._not_before: dict[Input, float] = {}

    def reached(self, place: Input, published_at: float) -> None:
        """Note that the record published at *published_at* (Unix seconds, the broker's) was the last one read."""
        self._not_before[place] = published_at

    def measure(self, ends: Mapping[Input, int], offsets: Mapping[Input, int], now: float) -> dict[str, Behind]:
        """Return for every dataset what lies between *offsets* (the next to read) and *ends*, at *now* (Unix seconds).

        An input without a known end counts as read.
        """
        behind = dict.fromkeys(self._dataset_of.values(), Behind())
        for place, offset in offsets.items():
            unread = ends.get(place, offset) - offset
            if unread <= 0:
                self._not_before[place] = now
                continue
            so_far = behind[self._dataset_of[place[0]]]
            age = max(0.0, now - self._not_before.setdefault(place, now))
            behind[self._dataset_of[place[0]]] = Behind(so_far.records + unread, max(so_far.seconds, age))
        self._not_before = {place: since for place, since in self._not_before.items() if place in offsets}
        return behind
