"""The exchange of one partition: raw records in, the differences of the views before and after out. Pure.

    outputs = diff(view(records before), view(records after))

No Kafka, no clock, no disk: what is held comes from a lookup, what shall be written is left in
`PartitionExchange.outputs` and `.pending`, and the worker writes both in one transaction. Records of one key in a batch
see each other through `pending`, so a batch is as good as its records one by one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol
from zlib import crc32

from govbus.codec.projection import Unmaskable
from govbus.codec.reader import Bounds
from govbus.codec.structure import Failure
from govbus.codec.walk import Malformed, NonCanonical, read_long, read_time, write_long
from govbus.errors import SettingsError
from govbus.exchange.bulk.loading import bulk_loop
from govbus.exchange.compiled import CompiledDataset, CompiledView, Writer
from govbus.exchange.held import RECORD, Held
from govbus.exchange.usual import usual_loop
from govbus.rules import version as versions
from govbus.rules.record_key import partition_of, subject_of
from govbus.rules.reject import RejectReason
from govbus.rules.structural import OnFailure
from govbus.rules.version import MAX_AHEAD_MICROSECONDS, MAX_VERSION, Verdict

Headers = list[tuple[str, bytes]]
Output = tuple[str, bytes | None, bytes | None, int, None, None, int, Headers | None]
"""Topic, value, key, partition, no callbacks, timestamp in milliseconds, headers: as `Producer.produce` takes them."""

HOUR_MS = 3_600_000
LEAST_IN_BULK = 24
"""Below so many records compiled kernels cost more to call than they save."""
MOST_BULK_BYTES = 8 * 1024 * 1024
"""Above so many bytes in one run the kernels' buffers would be large, and the bytes are what takes the time."""


class Incoming(Protocol):
    """What is asked of a message beyond key, value and time: a confluent_kafka.Message, or a stand-in in tests."""

    def headers(self) -> object: ...
    def offset(self) -> int | None: ...


Arrival = tuple["DatasetExchange", bytes | None, bytes | None, int, Incoming]
"""Of which dataset, key, value, the broker's time of arrival in milliseconds, and the message itself."""

Touched = tuple[bytes, bytes | None, bytes | None, int]
"""A record's key, its state value before, and after (None: there is none); when it arrived, in milliseconds."""


class Checks(Protocol):
    """The cross-checks of the entity that a dataset reports on (`govbus.exchange.entity`)."""

    unsettled: dict[bytes, int]

    def take(self, number: int, touched: Iterable[Touched], clock_ms: int) -> None: ...
    def keep(self) -> None: ...
    def drop(self) -> None: ...


UnknownSchema = Callable[[CompiledDataset, int], RejectReason | None]
"""Asked for a schema id the revision does not list: why it is refused, or None once the dataset knows its writer."""


def refuse_unknown(_dataset: CompiledDataset, _schema_id: int) -> RejectReason:
    """The answer where no registry can be asked."""
    return RejectReason.UNKNOWN_SCHEMA


@dataclass(slots=True, eq=False)
class ActiveView:
    """A view that is being kept up to date in this partition, and what it sent since the last count."""

    view: CompiledView
    upserted: int = 0
    retracted: int = 0
    unchanged: int = 0
    withheld: int = 0
    unmaskable: int = 0
    no_source: int = 0
    """Of a golden view: entities of which no source of what is asked for speaks."""

    def forget_counts(self) -> None:
        """Start counting anew."""
        self.upserted = self.retracted = self.unchanged = self.withheld = self.unmaskable = self.no_source = 0


@dataclass(slots=True, eq=False)
class DatasetExchange:
    """One dataset in this partition: its compiled rules, its prefix in state, its views, its counts."""

    dataset: CompiledDataset
    state_prefix: bytes
    views: list[ActiveView] = field(default_factory=list)
    accepted: int = 0
    duplicate: int = 0
    stale: int = 0
    slow: int = 0
    rejected: Counter[RejectReason] = field(default_factory=Counter)
    failed: Counter[tuple[str, OnFailure]] = field(default_factory=Counter)
    """By rule and consequence: records that failed a structural check; of a rejected one the first check counts."""
    sent_at: list[int] = field(default_factory=list)
    """Of each record that sent anything: when it was published, in milliseconds."""
    sent_changed: list[int] = field(default_factory=list)
    """Of the same records: when their source changed them."""
    checks: Checks | None = None
    number: int = 0
    """This dataset's among those that report on the entity."""
    touched: list[Touched] = field(default_factory=list)
    """What was accepted and may change a report, until the checks take it."""

    def forget_counts(self) -> None:
        """Start counting anew: the batch was counted, or dropped."""
        self.accepted = self.duplicate = self.stale = self.slow = 0
        self.rejected.clear()
        self.failed.clear()
        self.sent_at.clear()
        self.sent_changed.clear()
        for view in self.views:
            view.forget_counts()


class PartitionExchange:
    """Accepts what arrives on one partition.

    *held* looks up a state key (dataset prefix + record key). After a batch, `outputs` holds what to produce, in order,
    and `pending` the state values to write once it is committed; `clear` forgets both.
    """

    def __init__(
        self,
        partition: int,
        partitions: int,
        max_record_bytes: int,
        held: Callable[[bytes], bytes | None],
        unknown_schema: UnknownSchema = refuse_unknown,
    ) -> None:
        self.partition = partition
        self.outputs: list[Output] = []
        self.pending: dict[bytes, bytes] = {}
        self._partitions = partitions
        self._max_record_bytes = max_record_bytes
        self._held = held
        self._unknown_schema = unknown_schema
        self._limits = (partitions, max_record_bytes)
        self.clock_ms = 0
        """The brokers' time at which views that depend on it are evaluated."""
        self.checks: list[Checks] = []

    def accept(self, arrivals: Sequence[Arrival]) -> None:
        """Take in a batch: like `accept_each`, and quicker for the records that are nearly all there are.

        Records of one dataset stay in order, which is all that order means: no two datasets share a key.
        """
        by_dataset: dict[int, list[Arrival]] = {}
        for arrival in arrivals:
            by_dataset.setdefault(id(arrival[0]), []).append(arrival)
        for batch in by_dataset.values():
            self.accept_dataset(batch)

    def accept_dataset(self, batch: Sequence[Arrival]) -> None:
        """Take in records that are all of one dataset."""
        if batch:
            exchange = batch[0][0]
            views = tuple(active.view for active in exchange.views)
            few = usual_loop(exchange.dataset, views, self._limits)
            if few is None:
                self.accept_each(batch)
                return
            many = bulk_loop(exchange.dataset, views, self._limits, len(batch))
            for run, is_bulk in _runs(batch) if many else ((batch, False),):
                take_in = many if many is not None and is_bulk else few
                take_in(exchange, run, self.partition, self._held, self.pending, self.outputs, self.accept_each)
                self._cross_check(exchange)

    def held(self, state_key: bytes) -> bytes | None:
        """Return the state value under *state_key* as this batch leaves it."""
        found = self.pending.get(state_key)
        return self._held(state_key) if found is None else found or None

    def keep(self) -> None:
        """Forget the batch: it is committed and its state is written."""
        for checks in self.checks:
            checks.keep()
        self._forget()

    def clear(self) -> None:
        """Drop the batch: nothing of it is kept."""
        for checks in self.checks:
            checks.drop()
        self._forget()

    def _forget(self) -> None:
        self.outputs = []
        self.pending = {}

    def _cross_check(self, exchange: DatasetExchange) -> None:
        if exchange.touched:
            if exchange.checks is not None:
                exchange.checks.take(exchange.number, exchange.touched, self.clock_ms)
            exchange.touched.clear()

    def accept_each(self, arrivals: Iterable[Arrival]) -> None:
        """Take in records of any kind, one by one, in order of arrival.

        Raises `Unavailable` (through *unknown_schema*) where the batch must be tried again later; nothing of it may
        then be kept.
        """
        partition, partitions, limit_bytes = self.partition, self._partitions, self._max_record_bytes
        pending, stored_at, outputs = self.pending, self._held, self.outputs
        limit_for, latest = -1, b""
        for exchange, key, value, arrived_ms, message in arrivals:
            dataset = exchange.dataset
            if value is None:
                self._accept_deletion(exchange, key, arrived_ms, message)
                continue
            writer = dataset.by_frame.get(value[:5])
            if writer is None or len(value) > limit_bytes:
                reason = self._unreadable(dataset, value)
                if reason is not None:
                    self._reject(exchange, reason, key, value, message)
                    continue
                writer = dataset.by_frame[value[:5]]
            received = value
            try:
                bounds = writer.bounds(value)
            except (NonCanonical, Malformed, IndexError, UnicodeDecodeError):
                try:
                    value, bounds = writer.reader.read(value)
                except Malformed:
                    self._reject(exchange, RejectReason.MALFORMED, key, value, message)
                    continue
                exchange.slow += 1
            if not key or writer.key(value, bounds) != key or key.count(b"\x1f") != dataset.separators:
                reason = RejectReason.KEY_MISMATCH if key else RejectReason.NULL_KEY
                self._reject(exchange, reason, key, received, message)
                continue
            if crc32(key if not dataset.separators else subject_of(key)) % partitions != partition:
                self._reject(exchange, RejectReason.WRONG_PARTITION, key, received, message)
                continue
            failing = writer.failing_format(value, bounds)
            if failing is not None:
                self._reject(exchange, RejectReason.INVALID_VALUE, key, received, message, failing)
                continue
            # A positive version of eight bytes, as microseconds are: its bytes reversed order as the number does.
            usual = bounds[1] == 13 and not value[5] & 1
            if dataset.time_based and arrived_ms != limit_for:
                limit_for = arrived_ms
                latest = write_long(arrived_ms * 1000 + MAX_AHEAD_MICROSECONDS)[::-1]
            if not usual or (dataset.time_based and (len(latest) != 8 or value[12:4:-1] > latest)):
                reason = self._version_fault(dataset, read_long(value, 5)[0], arrived_ms)
                if reason is not None:
                    self._reject(exchange, reason, key, received, message)
                    continue
            failures = writer.structure.failing(value, bounds) if writer.structure else ()
            if failures and self._rejected_by(failures, exchange, key, received, message):
                continue
            state_key = exchange.state_prefix + key
            stored = pending.get(state_key)
            if stored is None:
                stored = stored_at(state_key)
            if stored is None:
                before, before_bounds = None, None
            else:
                if stored[0] == RECORD:
                    before = stored
                    before_bounds = self._writer_of(dataset, stored).reader.bounds(stored)
                    if usual and before_bounds[1] == 13 and not dataset.epoch:
                        now, then = value[12:4:-1], before[12:4:-1]
                        newer, older = now > then, now < then
                    else:
                        newer, older = self._order(dataset, value, Held.parse(stored))
                else:
                    held = Held.parse(stored)
                    before = held.record
                    before_bounds = None if before is None else self._writer_of(dataset, before).reader.bounds(before)
                    newer, older = self._order(dataset, value, held)
                if older:
                    exchange.stale += 1
                    continue
                if not newer:
                    if before is not None and dataset.same(before, value):
                        exchange.duplicate += 1
                    else:
                        self._reject(exchange, RejectReason.VERSION_CONFLICT, key, received, message)
                    continue
            exchange.accepted += 1
            if failures:
                exchange.failed.update((each.decision.rule, each.on_failure) for each in failures)
            if dataset.epoch:
                pending[state_key] = Held(dataset.epoch, 0, value).stored()
                headers: Headers | None = [("epoch", b"%d" % dataset.epoch)]
            else:
                pending[state_key] = value
                headers = None
            outputs.append((dataset.current_topic, value, key, partition, None, None, arrived_ms, headers))
            if exchange.checks is not None:
                exchange.touched.append((key, stored, pending[state_key], arrived_ms))
                self._cross_check(exchange)
            if exchange.views:
                self._share(exchange, key, before, before_bounds, value, bounds, arrived_ms)

    def _share(
        self,
        exchange: DatasetExchange,
        key: bytes,
        before: bytes | None,
        before_bounds: Bounds | None,
        after: bytes | None,
        after_bounds: Bounds | None,
        arrived_ms: int,
    ) -> None:
        """Put out the difference that one record's change makes to every view of its dataset."""
        changed_ms = 0
        for active in exchange.views:
            view = active.view
            shown_before = shown_after = None
            try:
                if before is not None and before_bounds is not None:
                    shown_before = view.project[before[:5]](before, before_bounds)
            except Unmaskable:
                pass  # It was withheld when it came, for the same reason.
            try:
                if after is not None and after_bounds is not None:
                    shown_after = view.project[after[:5]](after, after_bounds)
                    if shown_after is None:
                        active.withheld += 1
            except Unmaskable:
                active.unmaskable += 1
            if shown_after == shown_before:
                active.unchanged += 1
                continue
            if shown_after is None:
                active.retracted += 1
            else:
                active.upserted += 1
            if not changed_ms:
                changed_ms = arrived_ms
                if after is not None and after_bounds is not None:
                    changed_ms = max(1, min(arrived_ms, read_time(after, after_bounds[1]) // 1000))
                exchange.sent_at.append(arrived_ms)
                exchange.sent_changed.append(changed_ms)
            if view.clear_key:
                self.outputs.append((view.topic, shown_after, key, self.partition, None, None, changed_ms, None))
            else:
                # To the hour: the same millisecond in two topics would undo a pseudonym.
                shown_key, shown_partition = view.address(key, self.partition)
                hour = arrived_ms - arrived_ms % HOUR_MS
                self.outputs.append((view.topic, shown_after, shown_key, shown_partition, None, None, hour, None))

    def change_view(
        self,
        exchange: DatasetExchange,
        old: CompiledView | None,
        new: CompiledView | None,
        key: bytes,
        stored: bytes,
        now_ms: int,
        *,
        anew: bool = False,
    ) -> tuple[int, int]:
        """Put out what changes for one held record when *old* becomes *new* (None: the empty view).

        With *anew*, what stays the same is sent too: the earlier records of the share topic are going to be deleted.
        Returns how many upserts and how many retractions that was: at most one of each, both where the key changes.
        """
        held = Held.parse(stored)
        if held.record is None:
            return 0, 0
        writer = self._writer_of(exchange.dataset, held.record)
        bounds = writer.reader.bounds(held.record)
        shown_before, shown_after = (_shown(each, writer, held.record, bounds) for each in (old, new))
        timestamp = now_ms - now_ms % HOUR_MS
        if new is not None and new.clear_key:
            timestamp = min(now_ms, max(1, read_long(held.record, bounds[1])[0] // 1000))
        return self.put_change(key, (old, shown_before), (new, shown_after), now_ms, timestamp, anew=anew)

    def put_change(
        self,
        key: bytes,
        before: tuple[CompiledView | None, bytes | None],
        after: tuple[CompiledView | None, bytes | None],
        now_ms: int,
        timestamp_ms: int,
        *,
        anew: bool = False,
    ) -> tuple[int, int]:
        """Put out what changes under *key* where what the view *before* showed becomes what the one *after* shows.

        Upserts are dated *timestamp_ms*. Returns how many upserts and how many retractions that was.
        """
        (old, shown_before), (new, shown_after) = before, after
        retracted = upserted = 0
        if old is not None and shown_before is not None:
            address = old.address(key, self.partition)
            if shown_after is None or new is None or new.address(key, self.partition) != address:
                hour = now_ms - now_ms % HOUR_MS
                self.outputs.append((old.topic, None, address[0], address[1], None, None, hour, None))
                retracted, shown_before = 1, None
        if new is not None and shown_after is not None and (anew or shown_after != shown_before):
            address = new.address(key, self.partition)
            self.outputs.append((new.topic, shown_after, address[0], address[1], None, None, timestamp_ms, None))
            upserted = 1
        return upserted, retracted

    def refuse(self, arrival: Arrival, reason: RejectReason) -> None:
        """Put one record aside unread."""
        exchange, key, value, _, message = arrival
        self._reject(exchange, reason, key, value, message)

    def _accept_deletion(
        self, exchange: DatasetExchange, key: bytes | None, arrived_ms: int, message: Incoming
    ) -> None:
        dataset = exchange.dataset
        if not key:
            self._reject(exchange, RejectReason.NULL_KEY, key, None, message)
            return
        if partition_of(key, self._partitions) != self.partition:
            self._reject(exchange, RejectReason.WRONG_PARTITION, key, None, message)
            return
        headers = _headers(message)
        version = _decimal(headers.get("version"))
        if version is None:
            self._reject(exchange, RejectReason.VERSION_MISSING, key, None, message)
            return
        reason = self._version_fault(dataset, version, arrived_ms)
        if reason is not None:
            self._reject(exchange, reason, key, None, message)
            return
        state_key = exchange.state_prefix + key
        stored = self.pending.get(state_key) or self._held(state_key)
        held = None if stored is None else Held.parse(stored)
        verdict = versions.compare(
            None if held is None else (held.epoch, held.version),
            (dataset.epoch, version),
            same=held is not None and held.record is None,
        )
        match verdict:
            case Verdict.STALE:
                exchange.stale += 1
                return
            case Verdict.DUPLICATE:
                exchange.duplicate += 1
                return
            case Verdict.CONFLICT:
                self._reject(exchange, RejectReason.VERSION_CONFLICT, key, None, message)
                return
        exchange.accepted += 1
        changed_at = _decimal(headers.get("changed_at")) or arrived_ms * 1000
        deleted = Held(dataset.epoch, version, None, changed_at)
        self.pending[state_key] = deleted.stored()
        epoch_header: Headers | None = [("epoch", b"%d" % dataset.epoch)] if dataset.epoch else None
        current = deleted.current_value(dataset.deleted_frame)
        self.outputs.append((dataset.current_topic, current, key, self.partition, None, None, arrived_ms, epoch_header))
        if exchange.checks is not None:
            exchange.touched.append((key, stored, self.pending[state_key], arrived_ms))
            self._cross_check(exchange)
        if held is not None and held.record is not None:
            bounds = self._writer_of(dataset, held.record).reader.bounds(held.record)
            self._share(exchange, key, held.record, bounds, None, None, arrived_ms)

    def _writer_of(self, dataset: CompiledDataset, record: bytes) -> Writer:
        """Return how a held *record* is read; its schema may have been registered after the revision was applied.

        Raises `Unavailable` where the registry must be waited for, `SettingsError` where it does not know the schema.
        """
        writer = dataset.by_frame.get(record[:5])
        if writer is None:
            schema_id = int.from_bytes(record[1:5], "big")
            if self._unknown_schema(dataset, schema_id) is not None:
                raise SettingsError(
                    f"{dataset.id}: records are held under schema {schema_id}, which the registry does not have under "
                    "that subject: it is not the registry of this city; restore it from its backup"
                )
            writer = dataset.by_frame[record[:5]]
        return writer

    def _order(self, dataset: CompiledDataset, value: bytes, held: Held) -> tuple[bool, bool]:
        """Return whether *value* is newer than what is held, and whether it is older."""
        incoming, present = (dataset.epoch, read_long(value, 5)[0]), (held.epoch, held.version)
        return incoming > present, incoming < present

    @staticmethod
    def _version_fault(dataset: CompiledDataset, version: int, arrived_ms: int) -> RejectReason | None:
        if not 0 < version <= MAX_VERSION:
            return RejectReason.VERSION_RANGE
        if dataset.time_based and version > arrived_ms * 1000 + MAX_AHEAD_MICROSECONDS:
            return RejectReason.VERSION_AHEAD
        return None

    def _unreadable(self, dataset: CompiledDataset, value: bytes) -> RejectReason | None:
        if len(value) > self._max_record_bytes:
            return RejectReason.OVERSIZE
        if len(value) < 5 or value[0]:
            return RejectReason.NOT_FRAMED
        return self._unknown_schema(dataset, int.from_bytes(value[1:5], "big"))

    def _rejected_by(
        self,
        failures: Sequence[Failure],
        exchange: DatasetExchange,
        key: bytes,
        received: bytes,
        message: Incoming,
    ) -> bool:
        """Put the record aside where a check that it fails says so; return whether one does."""
        for each in failures:
            if each.on_failure == "reject":
                found = each.decision
                exchange.failed[found.rule, "reject"] += 1
                reason = RejectReason.STRUCTURAL_CHECK
                self._reject(exchange, reason, key, received, message, found.field, found.rule)
                return True
        return False

    def _reject(
        self,
        exchange: DatasetExchange,
        reason: RejectReason,
        key: bytes | None,
        value: bytes | None,
        message: Incoming,
        path: str = "",
        rule: str = "",
    ) -> None:
        exchange.rejected[reason] += 1
        dataset = exchange.dataset
        headers: Headers = [
            ("reason", reason.encode()),
            ("dataset", dataset.id.encode()),
            ("topic", dataset.raw_topic.encode()),
            ("partition", b"%d" % self.partition),
            ("offset", b"%d" % (message.offset() or 0)),
        ]
        headers += [(name, word.encode()) for name, word in (("field", path), ("rule", rule)) if word]
        if reason is RejectReason.OVERSIZE and value is not None:
            headers += [("sha256", hashlib.sha256(value).hexdigest().encode()), ("size", b"%d" % len(value))]
            value = None
        if reason is not RejectReason.OVERSIZE and value is None:
            headers += [(f"raw_{name}", each) for name, each in _headers(message).items()]
        self.outputs.append((dataset.reject_topic, value, key, self.partition, None, None, 0, headers))


def _runs(batch: Sequence[Arrival]) -> Iterator[tuple[Sequence[Arrival], bool]]:
    """Yield *batch* in order, in runs that hold no subject twice: each record must see the one before it.

    With each run, whether it is one for the loop for many.
    """
    keys = [arrival[1] for arrival in batch]
    if batch[0][0].dataset.separators:
        keys = [None if key is None else subject_of(key) for key in keys]
    begins = [0]
    if len(set(keys)) < len(keys):
        met: set[bytes | None] = set()
        for at, key in enumerate(keys):
            if key in met:
                begins.append(at)
                met.clear()
            met.add(key)
    for begin, end in pairwise([*begins, len(keys)]):
        run = batch[begin:end]
        many = len(run) >= LEAST_IN_BULK
        yield run, many and sum([len(arrival[2] or b"") for arrival in run]) <= MOST_BULK_BYTES


def _shown(view: CompiledView | None, writer: Writer, record: bytes, bounds: Bounds) -> bytes | None:
    if view is None:
        return None
    if record[:5] not in view.project:
        # A view of a superseded revision, and a record under a schema that came later.
        view.add_writer(writer)
    try:
        return view.project[record[:5]](record, bounds)
    except Unmaskable:
        return None


def _headers(message: Incoming) -> dict[str, bytes]:
    found = message.headers()
    if not isinstance(found, Sequence):
        return {}
    return {name: value for name, value in found if isinstance(value, bytes)}


def _decimal(text: bytes | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) <= 20 else None
