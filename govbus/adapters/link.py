"""A department's connection to the bus: the applied revision, one idempotent producer, and what is still in flight."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from govbus.errors import GovbusError, SettingsError, Unavailable
from govbus.kafka import clients
from govbus.kafka.revisions import Revision, latest_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics

DELIVERY_SECONDS = 60
"""After so long without acknowledgement a record counts as not delivered (and is sent again by the next attempt)."""

_ADMIN_SECONDS = 15
_OnDelivery = Callable[[KafkaError | None, Any], None]


class NothingApplied(GovbusError):
    """No catalogue was ever applied to these brokers."""


class Link:
    """One producer for all datasets of a department. Not for several threads; close it when done.

    Raises NothingApplied where no catalogue was applied yet, `Unavailable` where the brokers do not answer.
    """

    def __init__(self, settings: Settings, topics: Topics, revision: Revision | None = None) -> None:
        self.settings = settings
        self.topics = topics
        self.on_wait: Callable[[], None] = lambda: None
        """Called about ten times a second while the brokers are waited for; it may raise to give up."""
        found = revision or latest_revision(settings, topics)
        if found is None:
            raise NothingApplied(f"{topics.catalogue} holds no revision: run `govbus apply` first")
        self.revision = found
        self.city = found.catalogue.city
        self._faults = clients.ConnectionFaults()
        self._producer = clients.producer(
            settings,
            self._faults,
            linger_ms=20,
            delivery_timeout_ms=DELIVERY_SECONDS * 1000,
            # Twice the most a record may have: the limit is on its plain bytes, checked before it gets here.
            message_max_bytes=2 * self.city.max_record_bytes + 64 * 1024,
            queue_buffering_max_messages=200_000,
            queue_buffering_max_kbytes=256 * 1024,
            statistics_interval_ms=0,
        )
        clients.connect(self._producer, "connecting to the brokers", self._faults)

    def close(self) -> None:
        """Let go of the producer. What was not settled before is not known to have arrived."""
        # Bounded, and without an answer: whoever needs one has settled already.
        with suppress(KafkaException):
            self._producer.purge()
            self._producer.flush(1)

    def produce(
        self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Any, on_delivery: _OnDelivery
    ) -> None:
        """Hand a record to the producer, waiting while its queue is full. *on_delivery* hears how it went."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        while True:
            try:
                self._producer.produce(topic, value, key, partition=partition, headers=headers, on_delivery=on_delivery)
            except BufferError:
                self.serve(0.1)
                if time.monotonic() > deadline:
                    raise Unavailable(f"writing {topic}: the brokers have taken nothing for a minute") from None
            except KafkaException as failure:
                raise self.translate(failure, f"writing {topic}") from failure
            else:
                return

    def serve(self, seconds: float = 0.0) -> None:
        """Let deliveries be heard of, waiting at most *seconds* for the first."""
        self._producer.poll(seconds)
        if seconds:
            self.on_wait()

    def translate(self, error: KafkaError | KafkaException, doing: str) -> GovbusError:
        """Return what *error* means, with the connection's last fault where it merely timed out."""
        return clients.translate(error, doing, self._faults)

    def note_poll(self, dataset: str, source: str, note: dict[str, Any]) -> None:
        """Write on ``bus.progress`` that a look at *source* was completed; returns when the brokers have it."""
        answers: list[KafkaError | None] = []
        key = f"poll|{dataset}|{source}".encode()
        value = json.dumps({"dataset": dataset, "source": source, **note}).encode()
        try:
            self._producer.produce(self.topics.progress, value, key, on_delivery=lambda error, _: answers.append(error))
            deadline = time.monotonic() + DELIVERY_SECONDS + 5
            while not answers and time.monotonic() < deadline:
                self.serve(0.1)
        except (BufferError, KafkaException) as failure:
            raise Unavailable(f"writing {self.topics.progress}: {failure}") from failure
        if not answers:
            raise Unavailable(f"writing {self.topics.progress}: no answer")
        if (error := answers[0]) is not None:
            raise self.translate(error, f"writing {self.topics.progress}")

    def topic_id(self, topic: str) -> str:
        """Return the id of *topic*, which changes when it is deleted and made again.

        Raises SettingsError if it is missing or has not the city's number of partitions.
        """
        admin = self.admin()
        try:
            found = admin.describe_topics(TopicCollection([topic]), request_timeout=_ADMIN_SECONDS)[topic].result()
        except KafkaException as failure:
            if failure.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                raise SettingsError(f"{topic} does not exist: run `govbus apply`") from failure
            raise self.translate(failure, f"describing {topic}") from failure
        if len(found.partitions) != self.city.partitions:
            raise SettingsError(
                f"{topic} has {len(found.partitions)} partitions and the city says {self.city.partitions}: the number "
                "is fixed when a city is made"
            )
        return str(found.topic_id)

    def admin(self) -> AdminClient:
        """Return an admin client of this connection."""
        return clients.admin(self.settings)

    def catalogue_end(self) -> int:
        """Return a number that grows with every applied revision."""
        reader = clients.consumer(self.settings, group=f"{self.topics.prefix}govbus.revisions")
        try:
            return int(reader.get_watermark_offsets(TopicPartition(self.topics.catalogue, 0), timeout=10)[1])
        except KafkaException as failure:
            raise self.translate(failure, f"looking at {self.topics.catalogue}") from failure
        finally:
            reader.close()
