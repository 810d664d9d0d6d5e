"""Kafka clients with the bus's settings, and the one translation of librdkafka's errors into what happens next.

Authentication and connection faults reach librdkafka's error callback only; an operation that waits on them ends in a
bare time-out. So every client made here remembers the last such fault, and `translate` puts it into the message.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from govbus.errors import GovbusError, SettingsError, Unavailable
from govbus.kafka.settings import Settings

log = structlog.get_logger()

CONNECT_SECONDS = 30

_AUTHENTICATION = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL})
_AUTHORISATION = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)


SAY_AGAIN_SECONDS = 60.0
"""Brokers that are away are tried several times a second by each client: each kind of fault is logged so seldom."""


class ConnectionFaults:
    """The last fault a client's connections met, for the messages of operations that merely timed out."""

    def __init__(self) -> None:
        self.last: KafkaError | None = None
        self._logged_at: dict[str, float] = {}

    def __call__(self, error: KafkaError) -> None:
        self.last = error
        now = time.monotonic()
        if now - self._logged_at.get(error.name(), -SAY_AGAIN_SECONDS) >= SAY_AGAIN_SECONDS:
            self._logged_at[error.name()] = now
            log.warning("kafka connection fault", error=error.name(), detail=_plain(error))


def properties(settings: Settings, faults: ConnectionFaults, **more: Any) -> dict[str, Any]:
    """Return librdkafka properties: the city's connection, then *more* (underscores stand for dots)."""
    return {
        "bootstrap.servers": settings.need_bootstrap_servers(),
        "error_cb": faults,
        "client.id": "govbus",
        "topic.metadata.refresh.interval.ms": 30_000,
        "reconnect.backoff.max.ms": 2_000,
        **settings.kafka_properties,
        **{name.replace("_", "."): value for name, value in more.items()},
    }


def producer(settings: Settings, faults: ConnectionFaults | None = None, **more: Any) -> Producer:
    """Return an idempotent producer (acks from all in-sync replicas, no reordering, no doubling by retries)."""
    return Producer(
        properties(
            settings,
            faults or ConnectionFaults(),
            **{"enable_idempotence": True, "linger_ms": 5, "compression_type": "lz4", **more},
        )
    )


def consumer(settings: Settings, group: str, faults: ConnectionFaults | None = None, **more: Any) -> Consumer:
    """Return a consumer of committed records that neither commits nor resets by itself.

    A position outside the log is an error (``auto.offset.reset=error``): a retention gap must be seen, never skipped.
    """
    return Consumer(
        properties(
            settings,
            faults or ConnectionFaults(),
            **{
                "group_id": group,
                "isolation_level": "read_committed",
                "enable_auto_commit": False,
                "enable_auto_offset_store": False,
                "auto_offset_reset": "error",
                "allow_auto_create_topics": False,
                **more,
            },
        )
    )


def admin(settings: Settings) -> AdminClient:
    """Return an admin client."""
    return AdminClient(properties(settings, ConnectionFaults()))


def connect(client: Producer | Consumer, doing: str, faults: ConnectionFaults | None = None) -> None:
    """Return once *client* is connected and knows who leads every partition: what it does next, it does at once.

    By itself librdkafka looks for the leaders of topics that it meets in a later assignment once a second, and for its
    producer id or transaction coordinator, where no connection stood at the first try, every half second.
    Raises `Unavailable` where the brokers do not answer.
    """
    try:
        # The first answer may come over the bootstrap connection, which is then closed; the second one never does.
        for _ in range(2):
            client.list_topics(timeout=CONNECT_SECONDS)
    except KafkaException as error:
        raise translate(error, doing, faults) from error


def translate(error: KafkaError | KafkaException, doing: str, faults: ConnectionFaults | None = None) -> GovbusError:
    """Return what *error*, met while *doing* something, means for the caller.

    `SettingsError` where someone must change a credential or a right, `Unavailable` where it may pass, `Fenced` where
    the process must end and be started again. *faults* of the same client lend a bare time-out its cause.
    """
    kafka_error = error.args[0] if isinstance(error, KafkaException) else error
    if not isinstance(kafka_error, KafkaError):
        return Unavailable(f"{doing}: {kafka_error}")
    code = kafka_error.code()
    earlier = faults.last if faults else None
    if code in _AUTHENTICATION or (earlier is not None and earlier.code() in _AUTHENTICATION):
        cause = earlier if earlier is not None and earlier.code() in _AUTHENTICATION else kafka_error
        return SettingsError(
            f"{doing}: Kafka refused the credentials ({_plain(cause)}); check GOVBUS_KAFKA_SECURITY_PROTOCOL and the "
            "SASL or certificate settings"
        )
    if code in _AUTHORISATION:
        return SettingsError(f"{doing}: Kafka denied the right ({_plain(kafka_error)}); ask the operators for the ACL")
    if kafka_error.fatal() or code in (
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
    ):
        return Fenced(f"{doing}: {_plain(kafka_error)}")
    cause_text = f"{_plain(kafka_error)}; last connection fault: {_plain(earlier)}" if earlier else _plain(kafka_error)
    return Unavailable(f"{doing}: {cause_text}")


class Fenced(GovbusError):
    """Another instance holds this identity, or the client is broken for good: end the process, never go on."""


def _plain(error: KafkaError) -> str:
    return f"{error.name()}: {error.str()}"
