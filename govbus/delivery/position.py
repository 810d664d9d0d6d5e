"""Where a sink reads on: at its own stored position, or from the start because it can no longer know what it missed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class ReloadReason(StrEnum):
    """Why a topic is read from its start, and rows that are not seen on the way are removed."""

    BELOW_LOG_START = "below_log_start"
    PAST_LOG_END = "past_log_end"
    OLDER_THAN_DELETIONS = "older_than_deletions"
    OTHER_TOPIC = "other_topic"
    TABLE_CHANGED = "table_changed"
    NO_POSITION = "no_position"


@dataclass(frozen=True, slots=True)
class Stored:
    """A sink's position in one partition.

    `next` is the offset it reads next. At `level_at` it stood at the end of the log, so whatever it has not read was
    written after that moment.
    """

    topic_id: str
    next: int
    level_at: datetime


@dataclass(frozen=True, slots=True)
class Extent:
    """The offsets a partition holds: the first, and the one behind the last committed record."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TopicLog:
    """A topic as the brokers have it now. Its id tells it from another one that had the same name before."""

    topic_id: str
    partitions: Mapping[int, Extent]


def reload_reason(
    stored: Mapping[int, Stored], log: TopicLog, now: datetime, deletions_kept: timedelta
) -> ReloadReason | None:
    """Return why what was *stored* for a topic cannot be continued, or None if it can.

    A deletion stays in a compacted topic for *deletions_kept* (``delete.retention.ms``) and is then gone without a
    trace. A sink that was level less than half of that ago has missed none, whatever the clocks differ.
    """
    if any(position.topic_id != log.topic_id for position in stored.values()):
        return ReloadReason.OTHER_TOPIC
    for partition, position in stored.items():
        extent = log.partitions.get(partition)
        if extent is None or position.next > extent.end:
            return ReloadReason.PAST_LOG_END
        if position.next < extent.start:
            return ReloadReason.BELOW_LOG_START
        if now - position.level_at > deletions_kept / 2:
            return ReloadReason.OLDER_THAN_DELETIONS
    return None
