"""When stored positions can be continued, and why not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from govbus.delivery.position import Extent, ReloadReason, Stored, TopicLog, reload_reason

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEPT = timedelta(days=30)


def reason(**changes: object) -> ReloadReason | None:
    facts = {"topic_id": "a", "next": 50, "age": timedelta(), "start": 10, "end": 100, **changes}
    stored = {0: Stored("a", 100, NOW), 1: Stored(facts["topic_id"], facts["next"], NOW - facts["age"])}  # type: ignore[arg-type, operator]
    log = TopicLog("a", {0: Extent(10, 100), 1: Extent(facts["start"], facts["end"])})  # type: ignore[arg-type]
    return reload_reason(stored, log, NOW, KEPT)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"next": 10}, None),
        ({"next": 100}, None),
        ({"age": timedelta(days=15)}, None),
        ({"age": timedelta(days=15, seconds=1)}, ReloadReason.OLDER_THAN_DELETIONS),
        ({"next": 9}, ReloadReason.BELOW_LOG_START),
        ({"next": 101}, ReloadReason.PAST_LOG_END),
        ({"topic_id": "b"}, ReloadReason.OTHER_TOPIC),
        ({"topic_id": "b", "next": 9}, ReloadReason.OTHER_TOPIC),
    ],
)
def test_one_partition_out_of_bounds_reloads_its_topic(
    changes: dict[str, object], expected: ReloadReason | None
) -> None:
    """A position is continued inside the log, in the same topic, and while no deletion can have left it unseen."""
    assert reason(**changes) == expected


def test_a_partition_that_is_gone_is_past_the_end() -> None:
    """A position in a partition that the topic does not have is no position."""
    log = TopicLog("a", {0: Extent(0, 10)})
    assert reload_reason({3: Stored("a", 0, NOW)}, log, NOW, KEPT) == ReloadReason.PAST_LOG_END


def test_nothing_stored_is_nothing_to_doubt() -> None:
    """A new delivery begins at the start without being called a reload."""
    assert reload_reason({}, TopicLog("a", {0: Extent(5, 10)}), NOW, KEPT) is None
