"""One Kafka transaction: outputs, progress and input offsets become visible together, or not at all.

Crash-only: any error inside ends the transaction and the process, and its supervisor starts it again under the same id.
Nothing is rewound in place, because after an error librdkafka's view of the transaction can no longer be trusted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

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

    def __init__(self, settings: Settings, transactional_id: str, max_record_bytes: int) -> None:
        self.is_open = False
        self._faults = ConnectionFaults()
        self._producer: Producer = clients.producer(
            settings,
            self._faults,
            transactional_id=transactional_id,
            transaction_timeout_ms=OPEN_TRANSACTION_MS,
            queue_buffering_max_messages=2_000_000,
            queue_buffering_max_kbytes=1_000_000,
            # Topics take twice the largest record at once, however many records that are.
            batch_size=min(1_000_000, 2 * max_record_bytes),
            batch_num_messages=20_000,
            message_max_bytes=64 * 1024 * 1024,
        )

    def start(self) -> None:
        """Take the id, which ends the open transaction of an earlier holder. Raises `Unavailable` to be tried again."""
        doing = "taking the transactional id"
        clients.connect(self._producer, doing, self._faults)
        try:
            self._producer.init_transactions(TIMEOUT_SECONDS)
        except KafkaException as error:
            raise clients.translate(error, doing, self._faults) from error

    @contextmanager
    def open(self) -> Iterator[None]:
        """Begin a transaction; an error inside ends it and is translated.

        Raises `Unavailable` or `Fenced`, and `Rejected` where the brokers will never take what was produced; the
        process must then end.
        """
        try:
            self._producer.begin_transaction()
            self.is_open = True
            yield
        except KafkaException as error:
            metrics.EXCHANGE_TRANSACTIONS.labels(outcome="aborted").inc()
            self.abort()
            if _code(error) in _OF_THE_RECORD:
                raise Rejected(RejectReason.UNPROCESSABLE) from error
            raise clients.translate(error, "the batch's transaction", self._faults) from error
        finally:
            self.is_open = False

    def produce(self, outputs: Iterable[Output]) -> None:
        """Produce *outputs* in the open transaction; they are on their way while the caller makes the next ones."""
        produce: Callable[..., None] = self._producer.produce
        for output in outputs:
            try:
                produce(*output)
            except BufferError:
                self._produce_slowly(output)

    def commit(self, consumer: Consumer | None = None, offsets: list[TopicPartition] | None = None) -> None:
        """Commit the open transaction together with *offsets* of *consumer*'s group."""
        began = time.perf_counter()
        if consumer is not None and offsets:
            self._producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), TIMEOUT_SECONDS)
        self._producer.commit_transaction(TIMEOUT_SECONDS)
        metrics.EXCHANGE_COMMIT_SECONDS.observe(time.perf_counter() - began)
        metrics.EXCHANGE_TRANSACTIONS.labels(outcome="committed").inc()

    def abort(self) -> None:
        """End the open transaction as if it had not been."""
        try:
            self._producer.abort_transaction(5.0)
        except KafkaException as error:
            # The broker ends it after transaction.timeout.ms, or init_transactions of the next process does.
            log.warning("the transaction could not be aborted", error=error.args[0].name())

    def _produce_slowly(self, output: Output) -> None:
        """Produce, waiting while librdkafka's queue is full."""
        produce: Callable[..., None] = self._producer.produce
        while True:
            try:
                produce(*output)
                return
            except BufferError:
                self._producer.poll(0.05)


def _code(error: KafkaException) -> int | None:
    found = error.args[0]
    return found.code() if isinstance(found, KafkaError) else None
