"""What a department sent and the bus could not accept: read from its reject topic, told apart, counted, exported.

A reject needs nothing more once the department has published a newer state of the same key that was not rejected
itself; that is looked up in the department's own raw topics. Records are shown to their own department alone: who may
read ``reject.DEPARTMENT`` is a right of Kafka, and nothing of a record goes into a log.
"""

from __future__ import annotations

import base64
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from govbus.codec.framing import schema_id_of
from govbus.codec.schemas import CHANGED_AT_FIELD, VERSION_FIELD
from govbus.codec.walk import Malformed
from govbus.errors import GovbusError
from govbus.kafka.registry import Registry
from govbus.kafka.revisions import Revision, latest_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.record_text import RecordText
from govbus.ops.topic_scan import Record, TopicScan
from govbus.rules.record_key import SEPARATOR
from govbus.rules.reject import RejectReason, remedy

Report = Callable[[int, int], None]
"""Told how much of how much is read."""


class NoSuchReject(GovbusError):
    """A department or a reject that cannot be found; the text says what can."""


@dataclass(frozen=True, slots=True)
class Reject:
    """One record put aside. `place` is where the department sent it; `superseded`: a newer state came and was taken."""

    partition: int
    offset: int
    at_ms: int
    dataset: str
    reason: str
    field: str
    rule: str
    place: tuple[int, int]
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    superseded: bool = False

    @property
    def number(self) -> str:
        """Its number, which stays the same as long as the topic keeps it: partition and offset of the reject topic."""
        return f"{self.partition}-{self.offset}"

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.at_ms / 1000, UTC)

    @property
    def what_to_do(self) -> str:
        return remedy(self.reason, self.rule)


@dataclass(frozen=True, slots=True)
class Group:
    """Rejects of one dataset, reason, field and structural check: how many, and when the last one came."""

    dataset: str
    reason: str
    field: str
    rule: str
    times: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Rejects:
    """A department's rejects: counted by `groups`, most of them first, and the newest ones, newest first."""

    department: str
    total: int
    groups: tuple[Group, ...]
    newest: tuple[Reject, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rejects are looked at; empty texts mean any."""

    dataset: str = ""
    reason: str = ""

    def takes(self, reject: Reject) -> bool:
        return self.dataset in ("", reject.dataset) and self.reason in ("", reject.reason)


EVERYTHING = Filter()


class RejectTopic:
    """The reject topic of one department. Raises `NoSuchReject` where the applied catalogue has no such department."""

    def __init__(self, settings: Settings, topics: Topics, department: str) -> None:
        revision = latest_revision(settings, topics)
        if revision is None:
            raise NoSuchReject(f"nothing is applied: {topics.catalogue} holds no revision; run `govbus apply` first")
        if department not in revision.catalogue.departments:
            there = ", ".join(revision.catalogue.departments)
            raise NoSuchReject(f"there is no department {department}; there are: {there}")
        self.settings, self.topics, self.department = settings, topics, department
        self.revision: Revision = revision
        self._scan = TopicScan(settings, f"{topics.prefix}govbus.look")
        self._texts: dict[int, RecordText | None] = {}

    def each(self, wanted: Filter = EVERYTHING, report: Report | None = None) -> Iterator[Reject]:
        """Yield the rejects that *wanted* takes, in order within each partition."""
        for record in self._scan.records(self.topics.reject(self.department), report=report):
            reject = _reject(record)
            if wanted.takes(reject):
                yield reject

    def overview(self, wanted: Filter = EVERYTHING, limit: int = 20, report: Report | None = None) -> Rejects:
        """Return counts of all, and the newest *limit* with `superseded` looked up."""
        times: Counter[tuple[str, str, str, str]] = Counter()
        last: dict[tuple[str, str, str, str], int] = {}
        newest: list[tuple[int, int, int, Reject]] = []
        for reject in self.each(wanted, report):
            group = (reject.dataset, reject.reason, reject.field, reject.rule)
            times[group] += 1
            last[group] = max(reject.at_ms, last.get(group, 0))
            entry = (reject.at_ms, reject.partition, reject.offset, reject)
            if len(newest) < limit:
                heapq.heappush(newest, entry)
            elif newest and entry[:3] > newest[0][:3]:
                heapq.heapreplace(newest, entry)
        kept = [entry[3] for entry in sorted(newest, key=lambda entry: entry[:3], reverse=True)]
        groups = tuple(
            Group(*group, number, datetime.fromtimestamp(last[group] / 1000, UTC))
            for group, number in times.most_common()
        )
        return Rejects(self.department, times.total(), groups, tuple(self.with_superseded(kept)))

    def one(self, number: str) -> Reject:
        """Return the reject with this number. Raises `NoSuchReject`."""
        partition, _, offset = number.partition("-")
        if partition.isdigit() and offset.isdigit():
            topic = self.topics.reject(self.department)
            for record in self._scan.first_at({(topic, int(partition)): int(offset)}).values():
                if record.offset == int(offset):
                    return self.with_superseded([_reject(record)])[0]
        raise NoSuchReject(f"{self.department} has no reject {number}: `govbus rejects {self.department}` lists them")

    def with_superseded(self, rejects: Iterable[Reject]) -> list[Reject]:
        """Return *rejects*, each knowing whether the department has published a newer state that was taken."""
        found = list(rejects)
        by_dataset: dict[str, list[Reject]] = {}
        for reject in found:
            by_dataset.setdefault(reject.dataset, []).append(reject)
        newer = {dataset: self._newer(dataset, of_it) for dataset, of_it in by_dataset.items()}
        return [replace(each, superseded=each.number in newer[each.dataset]) for each in found]

    def _newer(self, dataset: str, rejects: list[Reject]) -> set[str]:
        """Return the numbers of *rejects* for whose keys something newer came that was not rejected."""
        topic = self.topics.raw(dataset)
        by_key: dict[bytes, list[Reject]] = {}
        for reject in rejects:
            if reject.key:
                by_key.setdefault(reject.key, []).append(reject)
        if not by_key:
            return set()
        earliest_ms = min(reject.at_ms for each in by_key.values() for reject in each)
        since = self._scan.offsets_at(topic, earliest_ms)
        for reject in rejects:
            partition, offset = reject.place
            since[partition] = min(offset + 1, since.get(partition, offset + 1))
        later = [record for record in self._scan.records(topic, since=since) if record.key in by_key]
        if not later:
            return set()
        refused = {each.place for each in self.each(Filter(dataset)) if each.key in by_key}
        return {
            reject.number
            for record in later
            if (record.partition, record.offset) not in refused
            for reject in by_key[record.key or b""]
            if _came_later(record, reject)
        }

    # --- what is in a record ----------------------------------------------------------------------------------------

    def document(self, reject: Reject) -> dict[str, Any]:
        """Return everything about *reject* for its own department, the record included, ready for JSON.

        ``operation`` is upsert (with ``record``: its business fields), delete (with ``key``) or unreadable (with
        ``bytes`` in Base64, or size and digest where the record was too large to be kept).
        """
        return {
            "no": reject.number,
            "at": reject.at.isoformat(),
            "dataset": reject.dataset,
            "reason": reject.reason,
            "field": reject.field,
            "rule": reject.rule,
            "what_to_do": reject.what_to_do,
            "superseded": reject.superseded,
            "published": {"partition": reject.place[0], "offset": reject.place[1]},
            **self._content(reject),
        }

    def _content(self, reject: Reject) -> dict[str, Any]:
        key = None if reject.key is None else reject.key.decode("utf-8", "replace").split(SEPARATOR)
        if reject.reason == RejectReason.OVERSIZE:
            size, digest = (reject.headers.get(name, b"").decode("ascii", "replace") for name in ("size", "sha256"))
            return {"operation": "unreadable", "key": key, "size_bytes": size, "sha256": digest}
        if reject.value is None:
            version = reject.headers.get("raw_version", b"").decode("ascii", "replace")
            return {"operation": "delete", "key": key, "version": version}
        schema_id = schema_id_of(reject.value)
        text = None if schema_id is None else self._text_of(schema_id, reject.dataset)
        try:
            fields = None if text is None else text.fields(reject.value)
        except Malformed:
            fields = None
        if fields is None:
            return {"operation": "unreadable", "key": key, "bytes": base64.b64encode(reject.value).decode("ascii")}
        version, changed_at = fields.pop(VERSION_FIELD, None), fields.pop(CHANGED_AT_FIELD, None)
        return {"operation": "upsert", "key": key, "version": version, "changed_at": changed_at, "record": fields}

    def _text_of(self, schema_id: int, dataset: str) -> RecordText | None:
        if schema_id not in self._texts:
            known = dict(self.revision.schema_ids.get(dataset, ()))
            schema = known.get(schema_id) or Registry(self.settings).schema(schema_id)
            is_record = schema is not None and schema.get("type") == "record"
            self._texts[schema_id] = RecordText(schema) if schema is not None and is_record else None
        return self._texts[schema_id]


def _came_later(record: Record, reject: Reject) -> bool:
    partition, offset = reject.place
    return record.offset > offset if record.partition == partition else record.at_ms > reject.at_ms


def _reject(record: Record) -> Reject:
    def text(name: str) -> str:
        return record.headers.get(name, b"").decode("utf-8", "replace")

    def number(name: str) -> int:
        return int(digits) if (digits := text(name)).isdigit() else -1

    return Reject(
        partition=record.partition,
        offset=record.offset,
        at_ms=record.at_ms,
        dataset=text("dataset"),
        reason=text("reason"),
        field=text("field"),
        rule=text("rule"),
        place=(number("partition"), number("offset")),
        key=record.key,
        value=record.value,
        headers=record.headers,
    )
