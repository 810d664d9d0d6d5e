"""The cross-checks of one entity in one partition: touched records in, differences of golden and discrepancy views out.

    outputs = diff(evaluate(reports before), evaluate(reports after))

What a dataset says about an entity is held apart from its records (`govbus.exchange.said`), so that an event costs one
look-up more and an event that changes no bound field costs none. A view that changes with time alone (a report stops
being merely late) is due at a clock; due entities are found in a heap, never by a scan.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby
from typing import Protocol

from govbus.exchange.difference import HOUR_MS, ActiveView, Output, Touched
from govbus.exchange.golden import Absence, BoundDataset, CompiledGolden, Said
from govbus.exchange.held import Held
from govbus.exchange.incidents import Incidents
from govbus.exchange.said import packed, unpacked
from govbus.exchange.state import PartitionState
from govbus.rules.crosscheck import NEVER, Evaluation
from govbus.rules.record_key import subject_of

_DUE_BYTES = 8


Counted = tuple[int, int, str]
"""An element's number, a reporting dataset's, and a result."""


class Holding(Protocol):
    """What is held in this partition: the batch's own changes, over the state on disk."""

    partition: int
    outputs: list[Output]
    pending: dict[bytes, bytes]

    def held(self, state_key: bytes) -> bytes | None: ...


class EntityChecks:
    """Keeps the golden and discrepancy view of one entity up to date in one partition.

    `views` are the share views of the golden view that are kept up to date. `unsettled` holds the ids of which some
    reports differ: for those, and only those, a change of a report's time alone matters.
    """

    def __init__(self, golden: CompiledGolden, state: PartitionState, holding: Holding) -> None:
        self.golden = golden
        self.views: list[ActiveView] = []
        self.unsettled: dict[bytes, int] = {}
        self.counts: Counter[Counted] = Counter(state.checkpoint.counts.get(golden.id, {}))
        """How many entities compare with which result, per element and reporting dataset; kept with the state."""
        state.checkpoint.counts[golden.id] = self.counts
        self.incidents = Incidents(golden, self.counts, state.checkpoint.incidents.get(golden.id))
        state.checkpoint.incidents[golden.id] = self.incidents.told
        self._counted: Counter[Counted] = Counter()
        self.sent_at: list[int] = []
        """Of each record that changed a share view of the golden view: when it was published, in milliseconds."""
        self.sent_changed: list[int] = []
        """Of the same records: when their source changed them."""
        self.spoke = False
        self._state = state
        self._holding = holding
        self._numbers = [state.prefix_number(each.dataset.id) for each in golden.datasets]
        self._places = {number: place for place, number in enumerate(self._numbers)}
        self._prefixes = [state.prefix(each.dataset.id) for each in golden.datasets]
        self._said_prefix, self._due_prefix = state.entity_prefixes(golden.id)
        self._heap: list[tuple[int, bytes]] = []
        self._undo: list[tuple[bytes, int | None]] = []
        for key, due in state.entries(self._due_prefix):
            self._remember(key[len(self._due_prefix) :], int.from_bytes(due, "big"))
        self._undo.clear()

    # --- events -------------------------------------------------------------------------------------------------------

    def take(self, number: int, touched: Iterable[Touched], clock_ms: int) -> None:
        """Take in what happened to records of the bound dataset *number*, in order; *clock_ms* is the brokers'."""
        bound = self.golden.datasets[number]
        for key, before, after, arrived_ms in touched:
            subject = key if bound.single else subject_of(key)
            if self.golden.is_id(subject) and self._take(bound, subject, key, before, after, clock_ms):
                self.sent_at.append(arrived_ms)
                now = None if after is None else _says(bound, key, after)
                changed_ms = arrived_ms if now is None else now.report.changed_at // 1000
                self.sent_changed.append(max(1, min(arrived_ms, changed_ms)))

    def _take(
        self,
        bound: BoundDataset,
        subject: bytes,
        key: bytes,
        stored_before: bytes | None,
        stored_after: bytes | None,
        clock_ms: int,
    ) -> bool:
        """Take in what happened to one record; return whether a share view was sent something because of it."""
        said_before = self._said(subject)
        said_after = list(said_before)
        present = said_before[bound.number]
        now = None if stored_after is None else _says(bound, key, stored_after)
        if bound.single or present is None or (now is not None and _order(now) >= _order(present)):
            said_after[bound.number] = now
        elif present.key == key:
            # The record that spoke for its dataset is gone or fell back: the next one speaks.
            said_after[bound.number] = self._latest(bound, subject)
        else:
            return False
        if said_after == said_before:
            return False
        return self._moved(
            subject, said_before, said_after, clock_ms * 1000, clock_ms, taken=(bound, key, stored_before)
        )

    def tick(self, clock_ms: int, most: int) -> tuple[int, bytes]:
        """Judge anew up to *most* of the entities that are due at *clock_ms*, of which there is at least one.

        They are taken in the order of when they came due (in microseconds), then of their ids; both are returned of the
        last one.
        """
        last = self._heap[0]
        while most and self.is_due(clock_ms):
            last = due, subject = heapq.heappop(self._heap)
            said = self._said(subject)
            self._moved(subject, said, said, due - 1, clock_ms)
            most -= 1
        return last

    def is_due(self, clock_ms: int) -> bool:
        """Whether some entity's views change at *clock_ms* with time alone."""
        heap = self._heap
        while heap and self.unsettled.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return bool(heap) and heap[0][0] <= clock_ms * 1000

    def _moved(
        self,
        subject: bytes,
        said_before: Sequence[Said | None],
        said_after: Sequence[Said | None],
        before_micros: int,
        clock_ms: int,
        *,
        taken: tuple[BoundDataset, bytes, bytes | None] | None = None,
    ) -> bool:
        """Put out what changes for *subject*; *taken* is the dataset whose record changed, its key, and what was held.

        Returns whether a share view was sent something.
        """
        golden, clock_micros = self.golden, clock_ms * 1000
        was, now = golden.evaluate(said_before, before_micros), golden.evaluate(said_after, clock_micros)
        if (was is not None and was.unsettled) or (now is not None and now.unsettled):
            # Values differ, so times matter: those of the records themselves.
            bound, key, stored = taken or (None, b"", None)
            said_before = self._dated(subject, said_before, bound)
            said_after = self._dated(subject, said_after, bound)
            if bound is not None and bound.single and stored is not None:
                said_before[bound.number] = _says(bound, key, stored)
            was, now = golden.evaluate(said_before, before_micros), golden.evaluate(said_after, clock_micros)
            self.spoke = True
        sent = self.put(subject, was, said_before, now, said_after, clock_ms)
        self._hold(subject, now, said_after)
        return sent

    def put(
        self,
        subject: bytes,
        was: Evaluation | None,
        said_before: Sequence[Said | None],
        now: Evaluation | None,
        said_after: Sequence[Said | None],
        clock_ms: int,
    ) -> bool:
        """Put out the difference of the golden view, the discrepancy view, and every share view of the former.

        Returns whether a share view was sent something.
        """
        golden = self.golden
        stands = (golden, was, said_before), (golden, now, said_after)
        outputs = golden_difference(subject, *stands, self._holding.partition)
        internal = len(outputs)
        self._count(was, now)
        self.incidents.noticed(was, now)
        for active in self.views:
            shown_before = golden.shown(active.view.view.id, subject, was, said_before)
            found = golden.shown_or_absent(active.view.view.id, subject, now, said_after)
            if isinstance(found, Absence):
                shown_after = None
                active.withheld += found is Absence.ROW_CONDITION
                active.unmaskable += found is Absence.UNMASKABLE
                active.no_source += found is Absence.NO_SOURCE
            else:
                shown_after = found
            if shown_before == shown_after:
                active.unchanged += 1
                continue
            if shown_after is None:
                active.retracted += 1
            else:
                active.upserted += 1
            key, partition = active.view.address(subject, self._holding.partition)
            hour = clock_ms - clock_ms % HOUR_MS
            outputs.append((active.view.topic, shown_after, key, partition, None, None, hour, None))
        self._holding.outputs += outputs
        self.spoke = self.spoke or bool(outputs)
        return len(outputs) > internal

    def _count(self, was: Evaluation | None, now: Evaluation | None) -> None:
        before, after = (() if each is None else each.results for each in (was, now))
        if before == after:
            return
        for results, by in ((before, -1), (after, 1)):
            for counted in results:
                self.counts[counted] += by
                self._counted[counted] += by

    # --- what is held -------------------------------------------------------------------------------------------------

    def said(self, subject: bytes) -> list[Said | None]:
        """Return what every bound dataset says about *subject*, with the times of the records themselves."""
        return self._dated(subject, self._said(subject))

    def _said(self, subject: bytes) -> list[Said | None]:
        return unpacked(self._holding.held(self._said_prefix + subject), self._places)

    def _dated(
        self, subject: bytes, said: Sequence[Said | None], taken: BoundDataset | None = None
    ) -> list[Said | None]:
        """Return *said* with the versions and times of the held records, except of dataset *taken*.

        An event that changes no bound value is not followed, so what was taken down may be of an older version.
        """
        dated = list(said)
        for bound in self.golden.datasets:
            each = said[bound.number]
            if each is None or not bound.single or bound is taken:
                continue
            stored = self._holding.held(self._prefixes[bound.number] + subject)
            present = None if stored is None else _says(bound, subject, stored)
            if present is not None and present.report.values == each.report.values and _order(present) > _order(each):
                dated[bound.number] = present
        return dated

    def _hold(self, subject: bytes, now: Evaluation | None, said: Sequence[Said | None]) -> None:
        pending = self._holding.pending
        pending[self._said_prefix + subject] = packed(said, self._numbers)
        due = now.due if now is not None and now.unsettled else None
        if due != self.unsettled.get(subject):
            pending[self._due_prefix + subject] = b"" if due is None else due.to_bytes(_DUE_BYTES, "big")
            self._undo.append((subject, self.unsettled.get(subject)))
            self._remember(subject, due)

    def _remember(self, subject: bytes, due: int | None) -> None:
        if due is None:
            self.unsettled.pop(subject, None)
            return
        self.unsettled[subject] = due
        if due < NEVER:
            heapq.heappush(self._heap, (due, subject))

    def forget_counts(self) -> None:
        """Start counting anew: the batch was counted, or dropped."""
        self.sent_at.clear()
        self.sent_changed.clear()
        for view in self.views:
            view.forget_counts()

    def keep(self) -> None:
        """The batch is committed."""
        self._undo.clear()
        self._counted.clear()
        self.spoke = False

    def drop(self) -> None:
        """The batch is dropped: what it changed in memory is undone."""
        for subject, due in reversed(self._undo):
            self._remember(subject, due)
        self._undo.clear()
        for counted, number in self._counted.items():
            self.counts[counted] -= number
        self._counted.clear()
        self.spoke = False

    def _latest(self, bound: BoundDataset, subject: bytes) -> Said | None:
        """Return what the newest record of *subject* says in a dataset that may have several: by a scan of them."""
        found: Said | None = None
        for key, stored in self._records(bound, subject):
            said = _says(bound, key, stored)
            if said is not None and (found is None or _order(said) > _order(found)):
                found = said
        return found

    def _records(self, bound: BoundDataset, subject: bytes) -> Iterator[tuple[bytes, bytes]]:
        prefix = self._prefixes[bound.number]
        begin = prefix + subject + b"\x1f"
        pending = {key: value for key, value in self._holding.pending.items() if key.startswith(begin)}
        for key, value in self._state.entries(begin):
            yield key[len(prefix) :], pending.pop(key, value)
        for key, value in pending.items():
            yield key[len(prefix) :], value

    # --- made anew ----------------------------------------------------------------------------------------------------

    def rebuild(self, clock_ms: int, only: Iterable[bytes] | None = None) -> Iterator[dict[bytes, bytes]]:
        """Yield, slice by slice, state values that hold what the records say; with *only*, of those ids alone.

        Nothing is sent: what has been sent was committed with the records.
        """
        if only is None:
            for prefix in (self._said_prefix, self._due_prefix):
                self._state.delete_all(prefix)
            self.unsettled.clear()
            self._heap.clear()
            self.counts.clear()
            found = entities(self.golden, self._state)
        else:
            found = ((subject, self._gathered(subject)) for subject in only if self.golden.is_id(subject))
        clock_micros = clock_ms * 1000
        for count, (subject, said) in enumerate(found, 1):
            now = self.golden.evaluate(said, clock_micros)
            # Counted was what held until it came due, whether or not that has been judged in the meantime.
            counted_at = min(clock_micros, self.unsettled.get(subject, NEVER) - 1)
            was = None if only is None else self.golden.evaluate(self._said(subject), counted_at)
            self._count(was, now)
            self._hold(subject, now, said)
            if count % 2_000 == 0:
                yield self._taken()
        yield self._taken()

    def _gathered(self, subject: bytes) -> list[Said | None]:
        said: list[Said | None] = []
        for bound in self.golden.datasets:
            if bound.single:
                stored = self._holding.held(self._prefixes[bound.number] + subject)
                said.append(None if stored is None else _says(bound, subject, stored))
            else:
                said.append(self._latest(bound, subject))
        return said

    def _taken(self) -> dict[bytes, bytes]:
        self.keep()
        taken = dict(self._holding.pending)
        self._holding.pending.clear()
        return taken


def entities(
    golden: CompiledGolden, state: PartitionState, after: bytes | None = None
) -> Iterator[tuple[bytes, list[Said | None]]]:
    """Yield, in order of ids after *after*, every entity of which a held record speaks, and what its records say."""

    def of(bound: BoundDataset) -> Iterator[tuple[bytes, BoundDataset, bytes, bytes]]:
        begin = None if after is None else after + (b"" if bound.single else b"\x1f\xff")
        for key, stored in state.records(bound.dataset.id, after=begin):
            subject = key if bound.single else subject_of(key)
            # Other subjects may hold characters below the separator: their keys would break the order of subjects.
            if golden.is_id(subject):
                yield subject, bound, key, stored

    together = merge(*(of(bound) for bound in golden.datasets), key=lambda each: each[0])
    for subject, records in groupby(together, key=lambda each: each[0]):
        said: list[Said | None] = [None] * len(golden.datasets)
        for _, bound, key, stored in records:
            each = _says(bound, key, stored)
            known = said[bound.number]
            if each is not None and (known is None or _order(each) > _order(known)):
                said[bound.number] = each
        if any(said):
            yield subject, said


Stand = tuple[CompiledGolden | None, Evaluation | None, Sequence[Said | None]]
"""A version of a golden view (None: the empty one), what it evaluates an entity to, and what is said of it."""


def golden_difference(subject: bytes, was: Stand, now: Stand, partition: int) -> list[Output]:
    """Return what goes to ``golden.ENTITY`` and ``discrepancy`` where *was* becomes *now*.

    Versions and times alone are no difference: a record is sent where a value, a source or a standing changes.
    """
    outputs: list[Output] = []
    (old, before, _), (new, after, said) = was, now
    if new is None or after is None:
        if old is not None and before is not None:
            outputs.append((old.topic, None, subject, partition, None, None, 0, None))
    elif old is None or before is None or old.content(before) != new.content(after):
        outputs.append((new.topic, new.record(subject, after, said), subject, partition, None, None, 0, None))
    gone = (
        {} if old is None or before is None else {old.discrepancy_key(subject, at): at for at in before.discrepancies}
    )
    there = {} if new is None or after is None else {new.discrepancy_key(subject, at): at for at in after.discrepancies}
    for key in sorted(gone.keys() - there.keys()):
        assert old is not None
        outputs.append((old.discrepancy_topic, None, key, partition, None, None, 0, None))
    for key, at in there.items():
        assert new is not None
        assert after is not None
        found = after.discrepancies[at]
        if old is not None and before is not None and key in gone:
            earlier = before.discrepancies[gone[key]]
            if old.discrepancy_content(gone[key], earlier) == new.discrepancy_content(at, found):
                continue
        record = new.discrepancy(subject, at, found, said)
        outputs.append((new.discrepancy_topic, record, key, partition, None, None, 0, None))
    return outputs


def entities_of_both(
    old: CompiledGolden | None, new: CompiledGolden | None, state: PartitionState, after: bytes | None
) -> Iterator[tuple[bytes, list[Said | None], list[Said | None]]]:
    """Yield every entity after *after* that either version speaks of, and what its records say under each."""

    def of(side: int, golden: CompiledGolden | None) -> Iterator[tuple[bytes, int, list[Said | None]]]:
        for subject, said in () if golden is None else entities(golden, state, after):
            yield subject, side, said

    for subject, found in groupby(merge(of(0, old), of(1, new), key=lambda each: each[:2]), key=lambda each: each[0]):
        both: list[list[Said | None]] = [[] if each is None else [None] * len(each.datasets) for each in (old, new)]
        for _, side, said in found:
            both[side] = said
        yield subject, both[0], both[1]


def _says(bound: BoundDataset, key: bytes, stored: bytes) -> Said | None:
    held = Held.parse(stored)
    return None if held.record is None else bound.said(held.epoch, held.record, key)


def _order(said: Said) -> tuple[int, int, bytes]:
    return said.report.epoch, said.report.version, said.key
