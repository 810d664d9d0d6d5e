"""One Kafka transaction: outputs, progress and input offsets become visible together, or not at all.

Crash-only: any error inside ends the transaction and the process, and its supervisor starts it again under the same id.
Nothing is rewound in place, because after an error librdkafka's view of the transaction can no longer be trusted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from govbus import metrics
from govbus.errors import Rejected
from govbus.exchange.difference import Output
from govbus.kafka import clients
from govbus.kafka.clients import ConnectionFaults
from govbus.kafka.settings import Settings
from govbus.rules.reject import RejectReason

log = structlog.get_logger()

TIMEOUT_SECONDS = 30.0
OPEN_TRANSACTION_MS = 10_000
"""How long an abandoned transaction may hold readers back (``transaction.timeout.ms``)."""


_OF_THE_RECORD = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.RECORD_LIST_TOO_LARGE})
"""Errors that trying again cannot mend: what a record became is refused by the brokers."""


class Transactions:
    """The worker's transactional producer. Its id is the worker's: a second process with it fences the first."""

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        self._faults = ConnectionFaults()
        self._producer: Producer = clients.producer(
            settings,
            self._faults,
            transactional_id=transactional_id,
            transaction_timeout_ms=OPEN_TRANSACTION_MS,
            queue_buffering_max_messages=2_000_000,
            queue_buffering_max_kbytes=1_000_000,
            batch_size=1_000_000,
            batch_num_messages=20_000,
            message_max_bytes=64 * 1024 * 1024,
        )
        self.current_ends: dict[tuple[str, int], int] = {}
        """Per (topic, partition) asked for with `note_end`: one past the last record written there."""

    def start(self) -> None:
        """Take the id: ends the open transaction of an earlier holder. Raises `Unavailable` if it must be tried again."""
        try:
            self._producer.init_transactions(TIMEOUT_SECONDS)
        except KafkaException as error:
            raise clients.translate(error, "taking the transactional id", self._faults) from error

    def commit(
        self,
        outputs: Iterable[Output],
        consumer: Consumer | None = None,
        offsets: list[TopicPartition] | None = None,
        note_ends_of: Iterable[Output] = (),
    ) -> None:
        """Produce *outputs* and commit *offsets* of *consumer*'s group, all in one transaction.

        The last outputs per current topic, given again in *note_ends_of*, have their offsets noted in `current_ends`.
        Raises `Unavailable` or `Fenced`; the process must then end.
        """
        producer = self._producer
        noted = {id(output) for output in note_ends_of}
        try:
            producer.begin_transaction()
            produce = producer.produce
            for output in outputs:
                topic, partition, key, value, timestamp, headers = output
                more: dict[str, Any] = {}
                if headers is not None:
                    more["headers"] = headers
                if noted and id(output) in noted:
                    more["on_delivery"] = self._note_end
                while True:
                    try:
                        produce(topic, value, key, partition, timestamp=timestamp, **more)
                        break
                    except BufferError:
                        producer.poll(0.05)
            if consumer is not None and offsets:
                producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), TIMEOUT_SECONDS)
            began = time.perf_counter()
            producer.commit_transaction(TIMEOUT_SECONDS)
            metrics.EXCHANGE_COMMIT_SECONDS.observe(time.perf_counter() - began)
        except KafkaException as error:
            metrics.EXCHANGE_TRANSACTIONS.labels(outcome="aborted").inc()
            self._abort()
            if _code(error) in _OF_THE_RECORD:
                raise Rejected(RejectReason.UNPROCESSABLE) from error
            raise clients.translate(error, "the batch's transaction", self._faults) from error
        metrics.EXCHANGE_TRANSACTIONS.labels(outcome="committed").inc()

    def _note_end(self, error: object, message: Any) -> None:
        if error is None:
            self.current_ends[(message.topic(), message.partition())] = message.offset() + 1

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(5.0)
        except KafkaException as error:
            # The broker ends it after transaction.timeout.ms, or init_transactions of the next process does.
            log.warning("the transaction could not be aborted", error=error.args[0].name())


def _code(error: KafkaException) -> int | None:
    found = error.args[0]
    return found.code() if isinstance(found, KafkaError) else None
