"""`Publisher`: how a department's own program publishes its records.

from govbus.adapters import Publisher
from govbus.kafka.settings import Settings

with Publisher(Settings.load(Path("city")), "public_security.population") as publisher:
    publisher.upsert({"citizen_id": "...", "name": "...", ...}, changed_at=row.updated_at)
    publisher.delete({"citizen_id": "..."})
    publisher.flush()          # at the end of each unit of work: raises unless all of it has arrived
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import structlog

from govbus import metrics
from govbus.adapters.decision import Change
from govbus.adapters.feed import Feed, Submitted
from govbus.adapters.journal import digest_of
from govbus.adapters.link import Link
from govbus.adapters.values import InvalidRecord, RecordShape
from govbus.errors import GovbusError
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.rules.dates import micros_of
from govbus.rules.reject import RejectReason

log = structlog.get_logger()

BATCH_RECORDS = 1_000
"""Records that wait for `flush` before they are sent on their own."""


class Publisher:
    """Publishes one dataset. Not for several threads; one publisher (or adapter) per dataset at a time.

    Values are canonicalised and checked at once: `upsert` and `delete` raise `InvalidRecord`, which names every field
    at fault and no value, and the publisher stays usable. What they take is sent in batches, at the latest by `flush`
    or at the end of the context. Equal records are sent once; versions rise per key whatever the clock does.

    *topics* are the names under the city's `topic_prefix`, where it has one.

    `flush` raises `Unavailable` if a record has not arrived: then make a new publisher and publish that unit of work
    again. What had arrived in the meantime is recognised and does no harm. The same holds after a crash.
    """

    def __init__(self, settings: Settings, dataset: str, topics: Topics | None = None) -> None:
        self._link = Link(settings, topics or Topics())
        try:
            self._feed = Feed(self._link, dataset)
        except BaseException:
            self._link.close()
            raise
        self._feed.journal.order_by("version")
        self._dataset = self._feed.dataset
        self._shape = RecordShape(self._dataset, self._feed.schema, self._link.revision.catalogue.vocabulary)
        self._waiting: dict[bytes, Change] = {}
        self._since_flush = Submitted()
        self._closed = False

    def upsert(
        self,
        record: Mapping[str, Any],
        version: int | None = None,
        changed_at: datetime | None = None,
        *,
        again: bool = False,
    ) -> None:
        """Publish *record*: all its fields by name, nested ones in a mapping or under a dotted name.

        *changed_at* is when the source changed it (without an offset: China Standard Time); default: now. *version* is
        the source's own version; default: microseconds of *changed_at*. A version below the last one published is
        taken as stale and not sent; the same version with other values raises `InvalidRecord`. *again* sends values
        that were the last ones sent already: for records that the bus rejected.
        """
        try:
            key, body = self._shape.encode(record, closed=True)
            self._take(key, body, version, changed_at, again)
        except InvalidRecord as invalid:
            self._count_rejected(invalid)
            raise

    def delete(
        self,
        key: Mapping[str, Any] | Sequence[Any],
        version: int | None = None,
        changed_at: datetime | None = None,
        *,
        again: bool = False,
    ) -> None:
        """Publish that a record is gone: *key* is the record, or the values of its key fields in declared order.

        A text stands for the only field of a key of one. *again* as in `upsert`.
        """
        try:
            self._take(self._shape.key(self._named(key)), None, version, changed_at, again)
        except InvalidRecord as invalid:
            self._count_rejected(invalid)
            raise

    def _named(self, key: Mapping[str, Any] | Sequence[Any]) -> Mapping[str, Any]:
        if isinstance(key, Mapping):
            return key
        values = [key] if isinstance(key, str) else list(key)
        if len(values) != len(self._dataset.key):
            raise InvalidRecord([("", f"the key has {len(self._dataset.key)} fields: {', '.join(self._dataset.key)}")])
        return dict(zip(self._dataset.key, values, strict=True))

    def _take(
        self, key: bytes, body: bytes | None, version: int | None, changed_at: datetime | None, again: bool
    ) -> None:
        if self._closed:
            raise GovbusError("this publisher is closed: make a new one")
        micros = time.time_ns() // 1000 if changed_at is None else micros_of(changed_at)
        if version is None and self._dataset.versions == "sequence":
            raise InvalidRecord(
                [("", "this dataset's versions are the source's own numbers: give one")], RejectReason.VERSION_MISSING
            )
        least = micros if version is None else version
        self._feed.check(body, least)
        if version is not None:
            self._refuse_conflict(key, body, version)
        elif key in self._waiting:
            # Both would get versions of their own; keeping the order of calls is what the caller expects.
            least = max(least, self._waiting[key].version)
        self._waiting.pop(key, None)
        self._waiting[key] = Change(key, body, least, micros, version, again)
        metrics.ADAPTER_ROWS_READ.labels(dataset=self._dataset.id).inc()
        if len(self._waiting) >= BATCH_RECORDS:
            self._send()

    def _refuse_conflict(self, key: bytes, body: bytes | None, version: int) -> None:
        if key in self._waiting:
            self._send()
        held = self._feed.journal.lookup([key]).get(key)
        if held is None:
            return
        known = held.version if held.source_order is None else held.source_order
        if version == known and (None if body is None else digest_of(body)) != held.digest:
            raise InvalidRecord(
                [("", "this version was published before with other values")], RejectReason.VERSION_CONFLICT
            )

    def _send(self) -> None:
        if self._waiting:
            changes = list(self._waiting.values())
            self._waiting.clear()
            self._since_flush.add(self._feed.submit(changes))

    def flush(self) -> Submitted:
        """Send what waits, return when all of it has arrived; the counts are those since the last flush.

        Raises `Unavailable` (or what the brokers' answer means) if something has not arrived.
        """
        self._send()
        self._feed.settle()
        counts, self._since_flush = self._since_flush, Submitted()
        return counts

    def close(self) -> None:
        """Let go of journal and producer. What was not flushed is not known to have arrived."""
        if not self._closed:
            self._closed = True
            self._feed.close()
            self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        except GovbusError as unsent:
            if error is None:
                raise
            log.error("records were not published", dataset=self._dataset.id, reason=str(unsent))
        finally:
            self.close()

    def _count_rejected(self, invalid: InvalidRecord) -> None:
        metrics.ADAPTER_REJECTED.labels(dataset=self._dataset.id, reason=invalid.reason).inc()
        for rule in invalid.rules:
            metrics.ADAPTER_CHECK_FAILURES.labels(dataset=self._dataset.id, rule=rule).inc()
