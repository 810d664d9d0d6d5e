"""Catalogue revisions on ``bus.catalogue``: what was applied, when, complete, and never deleted.

A revision carries the whole catalogue together with what `apply` fixed for it (schema ids, fingerprints of pseudonym
keys), so that a worker needs neither files nor the registry to know its work, and can still evaluate a superseded view.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from pydantic import BaseModel, ConfigDict, ValidationError

from govbus.catalogue.model import Catalogue
from govbus.errors import GovbusError, Unavailable
from govbus.kafka import clients
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics

FORMAT = 1
KEY = b"revision"
MAX_REVISION_BYTES = 16 * 1024 * 1024


class RevisionFormatError(GovbusError):
    """A revision was written by another version of govbus; the text says which one to run."""


class Revision(BaseModel):
    """One applied catalogue. `number` counts from 1; `sha256` is over everything but number and time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    number: int
    applied_at: str
    catalogue: Catalogue
    schema_ids: dict[str, tuple[tuple[int, dict[str, Any]], ...]]
    """Per dataset every registered record schema with its registry id, newest last."""
    view_schema_ids: dict[str, int]
    """Per share view (`ShareView.id`) the registry id of its schema."""
    golden_schema_ids: dict[str, int] = {}
    """Per golden view (``golden.ENTITY``) the registry id of its record schema."""
    discrepancy_schema_id: int | None = None
    """The registry id of ``bus.Discrepancy``; None where nothing is cross-checked."""
    incident_schema_id: int | None = None
    """The registry id of ``bus.Incident``; None where nothing is cross-checked."""
    deleted_schema_id: int
    """The registry id of ``bus.Deleted``."""
    pseudonym_keys: dict[str, str]
    """Per ``SUBSCRIBER.PURPOSE`` the fingerprint of its pseudonym key."""

    @property
    def sha256(self) -> str:
        """The content hash: equal for two revisions that mean the same."""
        content = self.model_dump(mode="json", exclude={"number", "applied_at"})
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    @property
    def topics(self) -> Topics:
        return Topics(self.catalogue.city.topic_prefix)


def fingerprint(key: bytes) -> str:
    """Return what may be shown of a secret key: 16 hex digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:16]


def read_revisions(settings: Settings, topics: Topics, timeout_seconds: float = 30) -> list[Revision]:
    """Return every applied revision, oldest first; empty where nothing was ever applied.

    Raises `Unavailable` if the brokers do not answer in time, `RevisionFormatError` for a revision of another format.
    """
    reader = clients.consumer(settings, group=f"{topics.prefix}govbus.revisions", auto_offset_reset="earliest")
    try:
        metadata = reader.list_topics(topics.catalogue, timeout=timeout_seconds)
        if metadata.topics[topics.catalogue].error is not None:
            return []
        partition = TopicPartition(topics.catalogue, 0)
        low, high = reader.get_watermark_offsets(partition, timeout=timeout_seconds)
        reader.assign([TopicPartition(topics.catalogue, 0, low)])
        found: list[Revision] = []
        while low < high:
            message = reader.poll(timeout_seconds)
            if message is None:
                raise Unavailable(f"{topics.catalogue} could not be read to its end in {timeout_seconds:.0f} s")
            if (error := message.error()) is not None:
                raise clients.translate(error, f"reading {topics.catalogue}")
            value, offset = message.value(), message.offset()
            assert offset is not None
            low = offset + 1
            if value is not None:
                found.append(_parse(value if isinstance(value, bytes) else value.encode()))
        return found
    except KafkaException as failure:
        raise clients.translate(failure, f"reading {topics.catalogue}") from failure
    finally:
        reader.close()


def latest_revision(settings: Settings, topics: Topics) -> Revision | None:
    """Return the revision applied last, or None."""
    revisions = read_revisions(settings, topics)
    return revisions[-1] if revisions else None


def write_revision(settings: Settings, revision: Revision) -> None:
    """Append *revision*; returns when all in-sync replicas have it. The topic must exist (`govbus apply` makes it)."""
    topics = revision.topics
    value = zlib.compress(revision.model_dump_json().encode(), level=6)
    if len(value) > MAX_REVISION_BYTES:
        raise GovbusError(f"this catalogue takes {len(value)} bytes compressed; the most is {MAX_REVISION_BYTES}")
    errors: list[Any] = []
    writer = clients.producer(settings, message_max_bytes=MAX_REVISION_BYTES + 1024, delivery_timeout_ms=30_000)
    clients.connect(writer, f"writing {topics.catalogue}")
    writer.produce(topics.catalogue, value, KEY, partition=0, on_delivery=lambda error, _: errors.append(error))
    writer.flush()
    if not errors or errors[0] is not None:
        raise clients.translate(errors[0], f"writing {topics.catalogue}") if errors else Unavailable("not acknowledged")


def _parse(value: bytes) -> Revision:
    document = json.loads(zlib.decompress(value))
    if document.get("format") != FORMAT:
        raise RevisionFormatError(
            f"a catalogue revision has format {document.get('format')}, this govbus reads {FORMAT}: run the "
            "govbus that wrote it, or apply the catalogue anew with this one"
        )
    try:
        return Revision.model_validate(document)
    except ValidationError as error:
        raise RevisionFormatError(f"a catalogue revision cannot be read ({error.error_count()} faults)") from error
