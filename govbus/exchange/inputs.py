"""Where the inputs of a partition stand: what the group has committed, where each log begins and ends."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from govbus.kafka import clients

TIMEOUT_SECONDS = 30.0


def committed(consumer: Consumer, inputs: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int | None]:
    """Return the group's committed offset of each (topic, partition), None where none was ever committed.

    Waits for transactions that are still being committed, so that the answer is stable (KIP-447).
    """
    if not inputs:
        return {}
    try:
        found = consumer.committed([TopicPartition(*each) for each in inputs], timeout=TIMEOUT_SECONDS)
    except KafkaException as error:
        raise clients.translate(error, "asking for committed offsets") from error
    for each in found:
        if each.error is not None:
            raise clients.translate(each.error, f"asking for the committed offset of {each.topic}")
    return {(each.topic, each.partition): None if each.offset == OFFSET_INVALID else each.offset for each in found}


def begins(admin: AdminClient, inputs: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Return the first offset still in the log of each (topic, partition)."""
    return _offsets(admin, inputs, OffsetSpec.earliest())  # type: ignore[no-untyped-call]


def ends(admin: AdminClient, inputs: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Return the end of each log, records of open transactions included (the high watermark)."""
    return _offsets(admin, inputs, OffsetSpec.latest())  # type: ignore[no-untyped-call]


def _offsets(admin: AdminClient, inputs: Sequence[tuple[str, int]], spec: OffsetSpec) -> dict[tuple[str, int], int]:
    if not inputs:
        return {}
    futures = admin.list_offsets(
        {TopicPartition(*each): spec for each in inputs},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=TIMEOUT_SECONDS,
    )
    try:
        return {(each.topic, each.partition): future.result().offset for each, future in futures.items()}
    except KafkaException as error:
        raise clients.translate(error, "asking where the logs begin and end") from error


def topic_ids(admin: AdminClient, topics: Sequence[str]) -> dict[str, str]:
    """Return the id of each topic; a topic deleted and made again has another one."""
    futures = admin.describe_topics(TopicCollection(list(topics)), request_timeout=TIMEOUT_SECONDS)
    try:
        return {topic: str(future.result().topic_id) for topic, future in futures.items()}
    except KafkaException as error:
        raise clients.translate(error, "asking for the topics") from error


def delete_records(admin: AdminClient, up_to: Sequence[TopicPartition]) -> None:
    """Delete from each topic's partition every record before its offset; topics that are gone are left alone."""
    for each, future in admin.delete_records(list(up_to)).items() if up_to else ():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise clients.translate(error, f"deleting withdrawn records of {each.topic}") from error
