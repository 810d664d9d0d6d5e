"""Where the inputs of a partition stand: what the group has committed, where each log begins and ends."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from govbus.kafka import clients, offsets

TIMEOUT_SECONDS = 30.0


def committed(consumer: Consumer, inputs: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int | None]:
    """Return the group's committed offset of each (topic, partition), None where none was ever committed.

    Waits for transactions that are still being committed, so that the answer is stable (KIP-447).
    """
    if not inputs:
        return {}
    found = offsets.committed_of(consumer, inputs, timeout_seconds=TIMEOUT_SECONDS)
    return {each: found.get(each) for each in inputs}


def begins(admin: AdminClient, inputs: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Return the first offset still in the log of each (topic, partition)."""
    return _offsets(admin, inputs, OffsetSpec.earliest())  # type: ignore[no-untyped-call]


def ends(
    admin: AdminClient, inputs: Sequence[tuple[str, int]], timeout_seconds: float = TIMEOUT_SECONDS
) -> dict[tuple[str, int], int]:
    """Return the end of each log, records of open transactions included (the high watermark)."""
    return _offsets(admin, inputs, OffsetSpec.latest(), timeout_seconds)  # type: ignore[no-untyped-call]


def _offsets(
    admin: AdminClient, inputs: Sequence[tuple[str, int]], spec: OffsetSpec, timeout_seconds: float = TIMEOUT_SECONDS
) -> dict[tuple[str, int], int]:
    found = offsets.log_offsets(admin, inputs, spec, IsolationLevel.READ_UNCOMMITTED, timeout_seconds=timeout_seconds)
    return {each: answer.offset for each, answer in found.items()}


def existing_topics(admin: AdminClient) -> set[str]:
    """Return the names of all topics there are."""
    try:
        return set(admin.list_topics(timeout=TIMEOUT_SECONDS).topics)
    except KafkaException as error:
        raise clients.translate(error, "asking which topics there are") from error


def topic_ids(admin: AdminClient, topics: Sequence[str]) -> dict[str, str]:
    """Return the id of each topic; a topic deleted and made again has another one."""
    futures = admin.describe_topics(TopicCollection(list(topics)), request_timeout=TIMEOUT_SECONDS)
    try:
        return {topic: str(future.result().topic_id) for topic, future in futures.items()}
    except KafkaException as error:
        raise clients.translate(error, "asking for the topics") from error


def delete_records(admin: AdminClient, up_to: Sequence[TopicPartition]) -> None:
    """Delete from each topic's partition every record before its offset; topics that are gone are left alone."""
    offsets.delete_records(admin, {(each.topic, each.partition): each.offset for each in up_to})
