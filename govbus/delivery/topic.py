"""Delivery by topic: what a subscriber needs to know to read its share topics with any Kafka program."""

from __future__ import annotations

import json
from collections.abc import Iterator

from govbus.delivery.plan import Plan


def how_to_read(plan: Plan, bootstrap_servers: str, registry_url: str) -> str:
    """Return how to read the topics of *plan*: names, keys, columns, and three programs that can."""
    return "\n".join(_lines(plan, bootstrap_servers, registry_url)) + "\n"


def kcat_command(topic: str, bootstrap_servers: str, registry_url: str | None = None) -> list[str]:
    """Return the command that shows *topic* as it is now: committed records only, one line each.

    With *registry_url* values are shown as JSON, for which kcat must be built with Avro (`kcat -V`; Debian's is not).
    """
    committed = ["kcat", "-C", "-b", bootstrap_servers, "-t", topic, "-e", "-q", "-X", "isolation.level=read_committed"]
    if registry_url is None:
        return [*committed, "-f", "%k: %S bytes\\n"]
    return [*committed, "-s", "value=avro", "-r", registry_url, "-f", "%k: %s\\n"]


def connect_sink(topic: str, table: str, registry_url: str) -> dict[str, str]:
    """Return the configuration of Kafka Connect's JDBC sink for *topic*: upserts by key, tombstones delete."""
    return {
        "name": topic,
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
        "topics": topic,
        "table.name.format": table,
        "connection.url": "jdbc:postgresql://HOST/DATABASE",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "io.confluent.connect.avro.AvroConverter",
        "value.converter.schema.registry.url": registry_url,
        "pk.mode": "record_key",
        "pk.fields": "_key",
        "insert.mode": "upsert",
        "delete.enabled": "true",
        "auto.create": "true",
        "auto.evolve": "true",
        "consumer.override.isolation.level": "read_committed",
        "consumer.override.auto.offset.reset": "earliest",
    }


def _lines(plan: Plan, bootstrap_servers: str, registry_url: str) -> Iterator[str]:
    yield f"{plan.ask.id} is delivered by topic (revision {plan.revision}): read these topics with any Kafka program."
    yield f"brokers {bootstrap_servers}, registry {registry_url}"
    yield "Read with isolation.level=read_committed. A record without a value deletes its key."
    for each in plan.delivered:
        key = ", ".join(each.view.key) if each.view.key_in_clear else "a pseudonym"
        columns = ", ".join(column.name for column in each.shape.columns)
        yield ""
        yield f"{each.topic}"
        yield f"  key: {key}; fields: {columns}"
    for withheld in plan.withheld:
        yield f"{withheld.dataset}: nothing is delivered ({withheld.reason.value})"
    if not plan.delivered:
        return
    example = plan.delivered[0]
    yield ""
    yield "kcat, keys and sizes (-1: deleted); where it is built with Avro, values too:"
    yield "  " + _shell(kcat_command(example.topic, bootstrap_servers))
    yield "  " + _shell(kcat_command(example.topic, bootstrap_servers, registry_url))
    yield ""
    yield "Python (pip install 'confluent-kafka[avro,schemaregistry]'):"
    yield from (
        f"  {line}" for line in _PYTHON.format(topic=example.topic, b=bootstrap_servers, r=registry_url).splitlines()
    )
    yield ""
    connector = connect_sink(example.topic, example.name, registry_url)
    yield "Kafka Connect, JDBC sink:"
    yield from (f"  {line}" for line in json.dumps(connector, indent=2).splitlines())


def _shell(command: list[str]) -> str:
    return " ".join(word if word.isascii() and not set(word) & set(" %\\*?$'\"") else f"'{word}'" for word in command)


_PYTHON = """\
from confluent_kafka import DeserializingConsumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import StringDeserializer

consumer = DeserializingConsumer({{
    "bootstrap.servers": "{b}",
    "group.id": "mine",
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "key.deserializer": StringDeserializer(),
    "value.deserializer": AvroDeserializer(SchemaRegistryClient({{"url": "{r}"}})),
}})
consumer.subscribe(["{topic}"])
while True:
    message = consumer.poll(1.0)
    if message is not None:
        print(message.key(), message.value(), flush=True)
"""
