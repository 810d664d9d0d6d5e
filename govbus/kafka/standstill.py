"""Partitions that a consumer has stopped reading though there is more, which it never mends or says by itself.

librdkafka (2.15.1) can lose a partition when its leader goes and comes back: two answers about who leads it cross, and
the partition stays with a connection that fetches nothing (librdkafka issue 5593), or an answer without a leader leaves
it with one made of unset memory (issue 5280). There is no error and no event, and `get_watermark_offsets` goes on
saying that nothing is unread, because it knows of the log's end only by fetches. Only a new client reads on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from govbus.kafka.offsets import Partition


class Standstill:
    """Watches positions. Ask it again and again, every few seconds."""

    def __init__(self, patience_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic
        self._behind: dict[Partition, tuple[int, float]] = {}

    def look(self, positions: Mapping[Partition, int], ends: Mapping[Partition, int], *, idle: bool) -> list[Partition]:
        """Return the partitions that have stood still below their *ends* for longer than patience lasts.

        *idle*: whether the consumer had nothing to hand over when it was asked last. Where it has something, what is
        missing may lie in its queue, so nothing is said to stand still.
        """
        now = self._monotonic()
        still: dict[Partition, tuple[int, float]] = {}
        for place, position in positions.items():
            if position < ends.get(place, 0):
                before = self._behind.get(place)
                still[place] = before if before is not None and before[0] == position else (position, now)
        self._behind = still
        if not idle:
            return []
        return [place for place, (_, since) in still.items() if now - since >= self._patience_seconds]

    def forget(self) -> None:
        """Begin anew: nothing could have been read."""
        self._behind = {}
