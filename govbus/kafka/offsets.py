"""Offsets asked of the brokers: where logs begin and end, how far a group has come, and cutting a log's beginning.

Two faults of librdkafka (2.15.1) are gone round here, and only here:

- An admin client learns who leads a partition once and never again by itself: after any change of leader or restart of
  a broker each further question is answered FENCED_LEADER_EPOCH. Reading the whole metadata anew mends it.
- `AdminClient.list_consumer_group_offsets` ends the process with a segmentation fault where the group's coordinator is
  just moving or starting (librdkafka issue 5040). A consumer that belongs to the group asks the same safely.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from govbus.kafka import clients
from govbus.kafka.clients import ConnectionFaults
from govbus.kafka.settings import Settings

Partition = tuple[str, int]
"""A topic's name and a partition of it."""

ANSWER_SECONDS = 30.0
_SETTLING = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""Answers about a topic that was made, or whose leader changed, a moment ago."""
_COORDINATOR_SETTLING = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)
_SETTLING_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class LogOffset:
    """An offset found in a log; `at_ms` is the time of its record where one was asked for, else -1."""

    offset: int
    at_ms: int = -1


def log_offsets(
    admin: AdminClient,
    partitions: Collection[Partition],
    spec: OffsetSpec,
    isolation: IsolationLevel,
    *,
    faults: ConnectionFaults | None = None,
    timeout_seconds: float = ANSWER_SECONDS,
) -> dict[Partition, LogOffset]:
    """Return what *spec* asks for of each partition's log; waits while leaders change.

    Raises what `clients.translate` makes of the error: `Unavailable` where the brokers do not answer in time.
    """
    if not partitions:
        return {}
    wanted = {TopicPartition(*each): spec for each in partitions}

    def ask(seconds: float) -> dict[TopicPartition, Future[Any]]:
        found: dict[TopicPartition, Future[Any]] = admin.list_offsets(
            wanted, isolation_level=isolation, request_timeout=seconds
        )
        return found

    answers = _settled(admin, ask, "asking where the logs begin and end", faults, timeout_seconds)
    return {each: LogOffset(answer.offset, answer.timestamp) for each, answer in answers.items()}


def delete_records(
    admin: AdminClient, up_to: Mapping[Partition, int], *, timeout_seconds: float = ANSWER_SECONDS
) -> None:
    """Delete every record before these offsets; topics that are gone are left alone. Waits while leaders change."""
    wanted = [TopicPartition(*each, offset) for each, offset in up_to.items()]

    def ask(seconds: float) -> dict[TopicPartition, Future[Any]]:
        found: dict[TopicPartition, Future[Any]] = admin.delete_records(wanted, request_timeout=seconds)
        return found

    if wanted:
        gone = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART})
        _settled(admin, ask, "deleting withdrawn records", None, timeout_seconds, fine=gone)


def committed_offsets(
    settings: Settings,
    group: str,
    partitions: Collection[Partition],
    *,
    faults: ConnectionFaults | None = None,
    timeout_seconds: float = ANSWER_SECONDS,
) -> dict[Partition, int]:
    """Return what *group* has committed of these partitions; left out are those of which it has committed nothing.

    For whoever looks on from outside: offsets of a transaction that is not over count as not committed.
    """
    if not partitions:
        return {}
    onlooker = clients.consumer(settings, group, faults, isolation_level="read_uncommitted")
    try:
        return committed_of(onlooker, partitions, faults=faults, timeout_seconds=timeout_seconds)
    finally:
        onlooker.close()


def committed_of(
    consumer: Consumer,
    partitions: Collection[Partition],
    *,
    faults: ConnectionFaults | None = None,
    timeout_seconds: float = ANSWER_SECONDS,
) -> dict[Partition, int]:
    """Return what *consumer*'s group has committed of these partitions; left out are those without any.

    Waits while the group's coordinator moves or starts. A consumer of committed records waits for transactions as well
    that are still being committed, so that the answer is stable (KIP-447).
    """
    give_up_at = time.monotonic() + timeout_seconds
    while True:
        try:
            found = consumer.committed([TopicPartition(*each) for each in partitions], timeout=timeout_seconds)
            fault = next((each.error for each in found if each.error is not None), None)
        except KafkaException as error:
            fault = error.args[0]
        if fault is None:
            return {(each.topic, each.partition): each.offset for each in found if each.offset != OFFSET_INVALID}
        if fault.code() not in _COORDINATOR_SETTLING or time.monotonic() > give_up_at:
            raise clients.translate(fault, "asking for committed offsets", faults)
        time.sleep(_SETTLING_SECONDS)


def _settled(
    admin: AdminClient,
    ask: Callable[[float], Mapping[TopicPartition, Future[Any]]],
    doing: str,
    faults: ConnectionFaults | None,
    timeout_seconds: float,
    fine: frozenset[int] = frozenset(),
) -> dict[Partition, Any]:
    """Return the answers of *ask* (told how many seconds are left), asked again while leaders change."""
    give_up_at = time.monotonic() + timeout_seconds
    while True:
        answers: dict[Partition, Any] = {}
        settling: KafkaException | None = None
        for place, future in ask(max(1.0, give_up_at - time.monotonic())).items():
            try:
                answers[place.topic, place.partition] = future.result()
            except KafkaException as error:
                code = error.args[0].code()
                if code in fine:
                    continue
                if code not in _SETTLING:
                    raise clients.translate(error, doing, faults) from error
                settling = error
        if settling is None:
            return answers
        if time.monotonic() > give_up_at:
            raise clients.translate(settling, doing, faults) from settling
        time.sleep(_SETTLING_SECONDS)
        try:
            admin.list_topics(timeout=timeout_seconds)
        except KafkaException as error:
            raise clients.translate(error, doing, faults) from error
