"""One dataset's way onto the bus: batches of changes in, versioned records in the raw topic and the journal out.

Every adapter and the `Publisher` go through a `Feed`. A batch is decided against the journal, written down, produced
and, when the brokers have all of it, settled; several batches are in flight at once and settle in order. After any
error a feed is spent: close it and open another, which takes up what the journal calls unsure.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from confluent_kafka import KafkaError

from govbus import metrics
from govbus.adapters.avro_values import varint
from govbus.adapters.decision import Change, Outcome, decide
from govbus.adapters.journal import Held, Journal, digest_of
from govbus.adapters.link import Link
from govbus.adapters.rebuild import Progress, rebuild
from govbus.adapters.values import InvalidRecord
from govbus.codec.framing import header
from govbus.errors import GovbusError, SettingsError
from govbus.rules.record_key import partition_of
from govbus.rules.reject import RejectReason
from govbus.rules.version import MAX_AHEAD_MICROSECONDS, MAX_VERSION

log = structlog.get_logger()

BATCH_RECORDS = 5_000
"""How many changes a source hands over at once: enough for few disk syncs, few enough to be little after a crash."""

_MOST_IN_FLIGHT = 4
_WORST_CASE_PREFIX = 25
"""Header, and version and time of change as the longest varints."""


@dataclass(slots=True)
class Submitted:
    """What became of a batch. `conflicts` are indexes of changes that contradict an earlier row of their snapshot."""

    upserted: int = 0
    deleted: int = 0
    unchanged: int = 0
    stale: int = 0
    repeated: int = 0
    conflicts: list[int] = field(default_factory=list)

    def add(self, more: Submitted) -> None:
        """Add the counts of another batch."""
        self.upserted += more.upserted
        self.deleted += more.deleted
        self.unchanged += more.unchanged
        self.stale += more.stale
        self.repeated += more.repeated


@dataclass(slots=True)
class _InFlight:
    """A produced batch: how many acknowledgements it has, and what to keep when it has all."""

    number: int
    positions: Mapping[str, str | None]
    upserted: int = 0
    deleted: int = 0
    acknowledged: int = 0
    error: KafkaError | None = None

    def heard(self, error: KafkaError | None, _: Any) -> None:
        """Take one delivery report."""
        if error is not None:
            self.error = error
        self.acknowledged += 1

    @property
    def done(self) -> bool:
        return self.acknowledged == self.upserted + self.deleted


def journal_path(home: Path, dataset: str) -> Path:
    """Return where the journal of *dataset* stands."""
    return home / "journal" / f"{dataset}.sqlite"


class Feed:
    """The way of *dataset* onto the bus. With *dry_run* everything is decided and nothing sent or written down.

    Raises SettingsError where the dataset or its topic is missing, `JournalBusy` where another process publishes it,
    `Unavailable` where waiting may help.
    """

    def __init__(
        self, link: Link, dataset: str, *, dry_run: bool = False, progress: Progress = lambda done, of: None
    ) -> None:
        self.link = link
        self.dry_run = dry_run
        if dataset not in link.revision.catalogue.datasets:
            raise SettingsError(f"the applied catalogue has no dataset {dataset}: declare it and run `govbus apply`")
        self.dataset = link.revision.catalogue.datasets[dataset]
        self.schema_id, self.schema = link.revision.schema_ids[dataset][-1]
        self._topic = link.topics.raw(dataset)
        self._header = header(self.schema_id)
        self._partitions = link.city.partitions
        self._in_flight: deque[_InFlight] = deque()
        self._prefixes: dict[tuple[int, int], bytes] = {}
        topic_id = link.topic_id(self._topic)
        self.journal = Journal(journal_path(link.settings.home, dataset))
        try:
            self._take_up(topic_id, progress)
        except BaseException:
            self.journal.close()
            raise
        self.most_bytes = link.city.max_record_bytes - _WORST_CASE_PREFIX

    def _take_up(self, topic_id: str, progress: Progress) -> None:
        """Make the journal one of this topic and epoch; a lost one, or one of another topic, is rebuilt."""
        if self.journal.identity != topic_id:
            if self.journal.size() or self.journal.identity is not None:
                log.warning("journal does not belong to this topic", dataset=self.dataset.id)
            self.journal.forget()
            rebuild(self.link, self.dataset.id, self.journal, progress)
            self.journal.epoch = self.dataset.epoch
            self.journal.bind(topic_id)
        elif self.journal.epoch != self.dataset.epoch:
            log.warning("new epoch: all is published again", dataset=self.dataset.id, epoch=self.dataset.epoch)
            self.journal.restart_versions()
            self.journal.epoch = self.dataset.epoch
        self.show_journal()

    def show_journal(self) -> None:
        """Set the journal's metrics."""
        metrics.ADAPTER_JOURNAL_RECORDS.labels(dataset=self.dataset.id).set(self.journal.size())
        # The database and its write-ahead log beside it.
        files = self.journal.path.parent.glob(f"{self.journal.path.name}*")
        metrics.ADAPTER_JOURNAL_BYTES.labels(dataset=self.dataset.id).set(sum(file.stat().st_size for file in files))

    def close(self) -> None:
        """Close the journal. What is still in flight is unsure for the next feed; `settle` first to avoid that."""
        self.journal.close()

    # --- checks that only the feed can make -----------------------------------------------------------------------

    def check(self, body: bytes | None, version: int) -> None:
        """Raise InvalidRecord where the bus would refuse this size or version."""
        if body is not None and len(body) > self.most_bytes:
            reason = f"the record takes {len(body)} bytes and may have {self.most_bytes}"
            raise InvalidRecord([("", reason)], RejectReason.OVERSIZE)
        if not 1 <= version <= MAX_VERSION:
            raise InvalidRecord(
                [("", "the version, or the time of change, is out of range")], RejectReason.VERSION_RANGE
            )
        if self.dataset.versions == "time" and version > time.time_ns() // 1000 + MAX_AHEAD_MICROSECONDS:
            reason = "the time of change is more than an hour ahead: set the source's clock or time zone right"
            raise InvalidRecord([("", reason)], RejectReason.VERSION_AHEAD)

    # --- changes -------------------------------------------------------------------------------------------------

    def submit(
        self,
        changes: Sequence[Change],
        positions: Mapping[str, str | None] | None = None,
        *,
        seen: bytearray | None = None,
        present: Sequence[bytes] = (),
    ) -> Submitted:
        """Decide, write down and send a batch; return when it is on its way (`settle` waits for the end of it).

        *positions* are kept once this batch and all before it have arrived. A snapshot gives *seen*, in which the ids
        of all keys it holds are marked, and the keys *present* only in rows that were rejected: they have not
        vanished. Of several changes of a key the last one counts, or the one highest in order.
        """
        result = Submitted()
        last = self._last_of_each_key(changes, result, snapshot=seen is not None)
        found = self.journal.lookup([*last, *present])
        if seen is not None:
            for key in present:
                if (held := found.get(key)) is not None:
                    seen[held.id] = 1
        new: list[tuple[bytes, int, int | None, bytes | None]] = []
        changed: list[tuple[int, int, int | None, bytes | None]] = []
        reordered: list[tuple[int, int]] = []
        to_send: list[tuple[Change, int]] = []
        for key, (index, change, digest) in last.items():
            held = found.get(key)
            if seen is not None and held is not None:
                if seen[held.id] and self._contradicts(change, digest, held, index, result):
                    continue
                seen[held.id] = 1
            outcome, version = decide(held, digest, change.version, change.order, again=change.again)
            if outcome is Outcome.SENT:
                to_send.append((change, version))
                if held is None:
                    new.append((key, version, change.order, digest))
                else:
                    changed.append((held.id, version, change.order, digest))
                if change.body is None:
                    result.deleted += 1
                else:
                    result.upserted += 1
            elif outcome is Outcome.UNCHANGED:
                result.unchanged += 1
                if change.order is not None and held is not None and change.order != held.source_order:
                    reordered.append((held.id, change.order))
            else:
                result.stale += 1
        if not self.dry_run:
            self._send(new, changed, reordered, to_send, positions or {})
            if seen is not None:
                seen.extend(b"\x01" * (self.journal.last_id + 1 - len(seen)))
        return result

    def mark(self, keys: Sequence[bytes], seen: bytearray) -> list[int]:
        """Mark the ids of *keys* in *seen*; return the indexes of keys that the journal does not hold as live."""
        found = self.journal.lookup(keys)
        unknown = []
        for index, key in enumerate(keys):
            held = found.get(key)
            if held is None or held.digest is None:
                unknown.append(index)
            elif held.id < len(seen):
                seen[held.id] = 1
        return unknown

    def _last_of_each_key(
        self, changes: Sequence[Change], result: Submitted, *, snapshot: bool
    ) -> dict[bytes, tuple[int, Change, bytes | None]]:
        last: dict[bytes, tuple[int, Change, bytes | None]] = {}
        for index, change in enumerate(changes):
            body = change.body
            digest = None if body is None else digest_of(body)
            if change.key in last:
                _, before, digest_before = last[change.key]
                if snapshot and digest == digest_before:
                    result.repeated += 1
                    continue
                if change.order is not None and before.order is not None and change.order < before.order:
                    result.stale += 1
                    continue
                if snapshot and (change.order is None or change.order == before.order):
                    result.conflicts.append(index)
                    continue
                result.stale += 1
                # Later in order, so it has to come later among the keys of this batch as well.
                del last[change.key]
            last[change.key] = (index, change, digest)
        return last

    def _contradicts(self, change: Change, digest: bytes | None, held: Held, index: int, result: Submitted) -> bool:
        """Whether a second row of a snapshot for one key is to be left out; counted where it is."""
        if digest == held.digest:
            result.repeated += 1
            return True
        if change.order is None or change.order == held.source_order:
            result.conflicts.append(index)
            return True
        return False

    def _send(
        self,
        new: list[tuple[bytes, int, int | None, bytes | None]],
        changed: list[tuple[int, int, int | None, bytes | None]],
        reordered: list[tuple[int, int]],
        to_send: list[tuple[Change, int]],
        positions: Mapping[str, str | None],
    ) -> None:
        if not to_send and not reordered and not positions:
            return
        batch = _InFlight(self.journal.intend(new, changed, reordered), positions)
        self._in_flight.append(batch)
        produce, topic, partitions, heard = self.link.produce, self._topic, self._partitions, batch.heard
        for change, version in to_send:
            key = change.key
            if change.body is None:
                batch.deleted += 1
                headers = [("version", b"%d" % version), ("changed_at", b"%d" % change.changed_at)]
                produce(topic, partition_of(key, partitions), key, None, headers, heard)
            else:
                batch.upserted += 1
                value = self._prefix(version, change.changed_at) + change.body
                produce(topic, partition_of(key, partitions), key, value, None, heard)
        self.link.serve()
        while len(self._in_flight) > _MOST_IN_FLIGHT:
            self._wait_for_first()
        self._settle_done()

    def _prefix(self, version: int, changed_at: int) -> bytes:
        """Return header, version and time of change; rows of one file often share them."""
        prefix = self._prefixes.get((version, changed_at))
        if prefix is None:
            if len(self._prefixes) > 1_000:
                self._prefixes.clear()
            prefix = self._header + varint(version) + varint(changed_at)
            self._prefixes[version, changed_at] = prefix
        return prefix

    def forget_position(self, source: str) -> None:
        """Drop the position of *source*: what it stood in is finished."""
        if not self.dry_run and self.journal.position(source) is not None:
            self.settle()
            self.journal.settle(self.journal.settled, {source: None})

    def settle(self) -> None:
        """Wait until everything submitted has arrived and is written down as such.

        Raises `Unavailable` (or what the brokers' answer means) if a record was not delivered.
        """
        while self._in_flight:
            self._wait_for_first()

    def _wait_for_first(self) -> None:
        batch = self._in_flight[0]
        while not batch.done and batch.error is None:
            self.link.serve(0.1)
        self._settle_done()

    def _settle_done(self) -> None:
        while self._in_flight and (self._in_flight[0].done or self._in_flight[0].error is not None):
            batch = self._in_flight[0]
            if batch.error is not None:
                raise self._undelivered(batch.error)
            self._in_flight.popleft()
            self.journal.settle(batch.number, batch.positions)
            for operation, records in (("upsert", batch.upserted), ("delete", batch.deleted)):
                if records:
                    metrics.ADAPTER_PUBLISHED.labels(dataset=self.dataset.id, operation=operation).inc(records)

    def _undelivered(self, error: KafkaError) -> GovbusError:
        return self.link.translate(error, f"writing {self._topic}")
