"""The Kafka cluster seen by `govbus apply`: whether it can carry the city, and its topics as they should be."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from confluent_kafka import IsolationLevel, KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from confluent_kafka.admin._listoffsets import OffsetSpec

from govbus.errors import GovbusError, Unavailable
from govbus.kafka import clients
from govbus.kafka.offsets import log_offsets
from govbus.kafka.settings import Settings
from govbus.ops.topic_policies import TopicPolicy

log = structlog.get_logger()

T = TypeVar("T")

ANSWER_SECONDS = 30
TOPICS_AT_ONCE = 200
"""Topics in one request; thousands in one would outlast the brokers' time for it."""
PARTITIONS_AT_ONCE = 5_000

_REFUSED = frozenset(
    {
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_REQUEST,
        KafkaError.POLICY_VIOLATION,
    }
)
"""What no waiting heals."""


class ClusterUnfit(GovbusError):
    """The cluster cannot carry this city, or topics on it are not this city's; every reason is listed."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("the Kafka cluster cannot carry this city:\n" + "\n".join(f"  - {each}" for each in reasons))


@dataclass(frozen=True)
class Altered:
    """One setting of a topic that had drifted, or that the city now declares otherwise."""

    topic: str
    setting: str
    before: str
    after: str


class Cluster:
    """An admin's view of the cluster. Every method raises `Unavailable` where waiting may help."""

    def __init__(self, settings: Settings) -> None:
        self._faults = clients.ConnectionFaults()
        self._admin = AdminClient(clients.properties(settings, self._faults))

    def wait(self, seconds: float) -> None:
        """Return once the brokers answer. Raises `Unavailable` after *seconds*, and wrong credentials at once."""
        deadline = time.monotonic() + seconds
        said = False
        while True:
            try:
                self._metadata(timeout=min(5.0, max(1.0, deadline - time.monotonic())))
                return
            except Unavailable as error:
                if time.monotonic() >= deadline:
                    raise
                if not said:
                    log.info("waiting for the Kafka brokers", seconds=seconds, reason=str(error))
                said = True

    def check(self, policies: Mapping[str, TopicPolicy]) -> None:
        """Raise `ClusterUnfit` with everything that keeps this cluster from carrying *policies*."""
        metadata = self._metadata()
        reasons = list(_unfit(metadata, policies))
        if reasons:
            raise ClusterUnfit(reasons)

    def create(self, policies: Mapping[str, TopicPolicy]) -> tuple[str, ...]:
        """Make the topics of *policies* that do not exist; return their names once every partition has a leader."""
        existing = self._metadata().topics
        missing = sorted(name for name in policies if name not in existing)
        made: list[str] = []
        for names in _batches(missing, TOPICS_AT_ONCE):
            new = [
                NewTopic(
                    name,
                    policies[name].partitions,
                    policies[name].replication_factor,
                    config=dict(policies[name].config),
                )
                for name in names
            ]
            for name, future in self._admin.create_topics(new, operation_timeout=ANSWER_SECONDS).items():
                if self._done(future, f"creating topic {name}"):
                    made.append(name)
        if missing:
            self._await_leaders({name: policies[name].partitions for name in missing})
        return tuple(made)

    def align(self, names: Sequence[str], policies: Mapping[str, TopicPolicy]) -> tuple[Altered, ...]:
        """Set what has drifted in the configuration of the topics *names*; return what was changed."""
        drifted: dict[str, list[Altered]] = {}
        for batch in _batches(sorted(names), TOPICS_AT_ONCE):
            resources = [ConfigResource(ResourceType.TOPIC, name) for name in batch]
            for resource, future in self._admin.describe_configs(resources).items():
                held = self._result(future, f"reading the configuration of {resource.name}")
                changes = [
                    Altered(resource.name, setting, held[setting].value if setting in held else "", wanted)
                    for setting, wanted in policies[resource.name].config.items()
                    if setting not in held or _settings_differ(held[setting].value, wanted)
                ]
                if changes:
                    drifted[resource.name] = changes
        for batch in _batches(sorted(drifted), TOPICS_AT_ONCE):
            resources = [
                ConfigResource(
                    ResourceType.TOPIC,
                    name,
                    incremental_configs=[
                        ConfigEntry(each.setting, each.after, incremental_operation=AlterConfigOpType.SET)
                        for each in drifted[name]
                    ],
                )
                for name in batch
            ]
            for resource, future in self._admin.incremental_alter_configs(resources).items():
                self._result(future, f"setting the configuration of {resource.name}")
        return tuple(each for name in sorted(drifted) for each in drifted[name])

    def existing(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return which of *names* exist."""
        topics = self._metadata().topics
        return tuple(name for name in names if name in topics)

    def _metadata(self, timeout: float = ANSWER_SECONDS) -> ClusterMetadata:
        try:
            return self._admin.list_topics(timeout=timeout)
        except KafkaException as error:
            raise clients.translate(error, "asking the Kafka brokers", self._faults) from error

    def _done(self, future: Any, doing: str) -> bool:
        """Return True once *future* is done, False where somebody else had done it before."""
        try:
            future.result(timeout=2 * ANSWER_SECONDS)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise self._translated(error, doing) from error
        return True

    def _result(self, future: Any, doing: str) -> Any:
        try:
            return future.result(timeout=2 * ANSWER_SECONDS)
        except KafkaException as error:
            raise self._translated(error, doing) from error

    def _translated(self, error: KafkaException, doing: str) -> GovbusError:
        if error.args[0].code() in _REFUSED:
            return ClusterUnfit([f"{doing}: {error.args[0].str()}"])
        return clients.translate(error, doing, self._faults)

    def _await_leaders(self, partitions: Mapping[str, int]) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            topics = self._metadata().topics
            late = [name for name, count in partitions.items() if not _led(topics.get(name), count)]
            if not late:
                break
            if time.monotonic() >= deadline:
                raise Unavailable(f"{len(late)} new topics have no leader after {ANSWER_SECONDS} s, {late[0]} for one")
            time.sleep(0.02)
        # A leader is named a moment before it knows of it: it leads once it answers.
        places = [(name, number) for name, count in partitions.items() for number in range(count)]
        spec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        for batch in _batches(places, PARTITIONS_AT_ONCE):
            log_offsets(self._admin, batch, spec, IsolationLevel.READ_UNCOMMITTED, faults=self._faults)


def _led(topic: Any, partitions: int) -> bool:
    return (
        topic is not None
        and topic.error is None
        and len(topic.partitions) == partitions
        and all(each.leader >= 0 for each in topic.partitions.values())
    )


def _unfit(metadata: ClusterMetadata, policies: Mapping[str, TopicPolicy]) -> Iterator[str]:
    brokers = len(metadata.brokers)
    wanted = max(policy.replication_factor for policy in policies.values())
    if brokers < wanted:
        yield (
            f"city.yaml asks for replication_factor {wanted}, and the cluster has {brokers} "
            f"{'broker' if brokers == 1 else 'brokers'}: add brokers, or lower replication_factor (and "
            "min_insync_replicas)"
        )
    for name in sorted(policies.keys() & metadata.topics.keys()):
        held = metadata.topics[name].partitions
        if len(held) != policies[name].partitions:
            yield (
                f"topic {name} has {len(held)} partitions, and the city has {policies[name].partitions}: partitions "
                "are fixed when a city is made; write its number into city.yaml, or choose another topic_prefix"
            )
        fewest = min((len(each.replicas) for each in held.values()), default=0)
        if fewest < policies[name].replication_factor <= brokers:
            yield (
                f"topic {name} has {fewest} {'replica' if fewest == 1 else 'replicas'}, and city.yaml asks for "
                f"{policies[name].replication_factor}: add replicas with kafka-reassign-partitions, or lower "
                "replication_factor"
            )


def _settings_differ(held: str | None, wanted: str) -> bool:
    """Compare two settings; lists such as ``compact,delete`` have no order."""
    return sorted((held or "").split(",")) != sorted(wanted.split(","))


def _batches(names: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
