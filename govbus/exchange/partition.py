"""One partition of every input, from assignment to hand-over: restored, brought to the present revision, live."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from confluent_kafka import TopicPartition

from govbus.catalogue.golden import GOLDEN
from govbus.exchange.compiled import CompiledView
from govbus.exchange.difference import HOUR_MS, ActiveView, DatasetExchange, Output, PartitionExchange, UnknownSchema
from govbus.exchange.entity import EntityChecks, entities, entities_of_both, golden_difference
from govbus.exchange.golden import CompiledGolden, Said
from govbus.exchange.progress import EMPTY, NOTHING_SENT, Judging, Sent, ViewProgress, clock_record
from govbus.exchange.restore import Restore
from govbus.exchange.revision import CompiledRevision
from govbus.exchange.state import PartitionState
from govbus.rules.record_key import subject_of
from govbus.rules.share import narrows

SLICE_RECORDS = 2_000
"""How many held records one transaction of a view's change looks at."""


@dataclass(frozen=True, slots=True)
class Change:
    """A slice of a view's change: what to send, and the progress that is then true."""

    outputs: list[Output]
    view: str
    progress: ViewProgress
    upserted: int = 0
    retracted: int = 0
    deletions: tuple[TopicPartition, ...] = ()
    """Up to where the share topic is to be cut, before the progress is written."""


Step = tuple[bytes, tuple[int, int]]
"""A key whose outputs were put out, and how many upserts and retractions those are."""


@dataclass(slots=True, eq=False)
class AssignedPartition:
    """What this worker holds of one partition: `restore` is None once its state is whole, `live` once views are so."""

    number: int
    state: PartitionState
    exchange: PartitionExchange
    datasets: dict[str, DatasetExchange]
    """Per raw topic."""
    restore: Restore | None
    progress: dict[str, ViewProgress] = field(default_factory=dict)
    restored: Mapping[str, set[bytes]] | None = None
    """Per dataset the keys that were restored since what is said of entities was made; None: too many to tell."""
    ticks: int = 0
    """How many ticks were heard here."""
    clock_ms: int = 0
    """The latest broker time seen here, from ticks and arrivals; nothing else tells this partition the time."""
    checked_ms: int = 0
    """The clock at which the golden views were sent last; 0 before they were."""
    judging: Judging | None = None
    """How far what is due at a later clock was judged."""
    progress_topic: str = ""
    live: bool = False
    checks: dict[str, EntityChecks] = field(default_factory=dict)
    """Per golden view the cross-checks of its entity."""

    @classmethod
    def open(
        cls, number: int, state: PartitionState, revision: CompiledRevision, unknown_schema: UnknownSchema
    ) -> AssignedPartition:
        exchange = PartitionExchange(
            number, revision.partitions, revision.max_record_bytes, state.get, unknown_schema=unknown_schema
        )
        datasets = {each.raw_topic: DatasetExchange(each, state.prefix(each.id)) for each in revision.datasets.values()}
        return cls(number, state, exchange, datasets, None, progress_topic=revision.topics.progress)

    @property
    def has_work(self) -> bool:
        """Whether the next step towards being live can be taken now; before its views change it must know the time."""
        return self.restore is not None or (not self.live and self.clock_ms > 0)

    def wanted(self, revision: CompiledRevision) -> dict[str, Sent]:
        """Return, per view that is not over by this partition's clock, the version it should have."""
        views = {
            view_id: Sent(revision.number, view.fingerprint)
            for view_id, view in revision.views.items()
            if view.ends_at_ms is None or view.ends_at_ms > self.clock_ms
        }
        return views | {name: Sent(revision.number, golden.fingerprint) for name, golden in revision.goldens.items()}

    def expired(self) -> bool:
        """Whether a view that is being kept up to date has come to its end."""
        return any(
            active.view.ends_at_ms is not None and active.view.ends_at_ms <= self.clock_ms
            for views in (
                *(each.views for each in self.datasets.values()),
                *(each.views for each in self.checks.values()),
            )
            for active in views
        )

    def activate(self, revision: CompiledRevision) -> None:
        """Keep up to date exactly the views whose progress is at the wanted version."""
        wanted = self.wanted(revision)
        for dataset in self.datasets.values():
            kept = {active.view.view.id: active for active in dataset.views}
            dataset.views = [
                kept.get(view.view.id) or ActiveView(view)
                for view in revision.datasets[dataset.dataset.id].views
                if view.view.id in wanted
            ]
        for name, checks in self.checks.items():
            kept = {active.view.view.id: active for active in checks.views}
            checks.views = [
                kept.get(view_id) or ActiveView(golden_view.view)
                for view_id, golden_view in revision.goldens[name].views.items()
                if view_id in wanted
            ]
        self.live = True

    def open_checks(self, revision: CompiledRevision) -> None:
        """Have what every bound dataset says in the state, made anew from the records where it is not whole.

        Call it once the views are at their wanted version: what is made anew is not sent, it was sent already.
        """
        said = self.state.checkpoint.said
        changed: dict[str, set[bytes] | None] = {}
        for name, golden in revision.goldens.items():
            known = said.get(name) == golden.said_version and self.restored is not None
            changed[name] = self._subjects(golden, self.restored or {}) if known else None
            if changed[name] != set():
                # Until all of it is made anew nothing of it may be believed, whenever the worker dies.
                said.pop(name, None)
        self.state.write({})
        for name, golden in revision.goldens.items():
            self.checks[name] = checks = EntityChecks(golden, self.state, self.exchange)
            if changed[name] != set():
                for slice_ in checks.rebuild(self.checked_ms, changed[name]):
                    self.state.write(slice_)
            said[name] = golden.said_version
            for bound in golden.datasets:
                exchange = self.datasets[bound.dataset.raw_topic]
                exchange.checks, exchange.number = checks, bound.number
        for name in set(said) - set(revision.goldens):
            del said[name]
        self.exchange.checks = list(self.checks.values())
        self.restored = {}
        self.state.write({})
        for checks in self.checks.values():
            while checks.is_due(self.checked_ms):
                # Judged and sent already by a worker that died before it wrote its state.
                checks.tick(self.checked_ms, SLICE_RECORDS)
                self.state.write(self.exchange.pending)
                self.exchange.keep()

    @staticmethod
    def _subjects(golden: CompiledGolden, restored: Mapping[str, set[bytes]]) -> set[bytes]:
        return {subject_of(key) for bound in golden.datasets for key in restored.get(bound.dataset.id, ())}

    def changes(
        self,
        revision: CompiledRevision,
        compiled: Callable[[int], CompiledRevision],
        end_of: Callable[[str, int], int],
    ) -> Iterator[Change]:
        """Yield slice after slice of what must be sent until every view is at its wanted version.

        *compiled* gives a superseded revision ready to run, *end_of* the end of a topic's partition. Slices may be
        committed together, in order, but before *end_of* answers and before what `deletions` names is deleted all
        earlier ones must be; after a crash the iteration starts again where the committed progress stands.

        A view that narrows is sent anew, whole, and then everything before it is deleted from the share topic, and so
        is a view that ends: tombstones alone would leave what was withdrawn readable until compaction. Under a
        pseudonymised key several partitions write to one of the share topic; there the old records go by compaction.
        """
        if self.judging is not None:
            yield from self._finish_judging(self.judging, revision, compiled)
        wanted = self.wanted(revision)
        for view_id in sorted(set(wanted) | set(self.progress)):
            progress = self.progress.get(view_id, NOTHING_SENT)
            if progress.before is not None:
                yield from self._change(view_id, progress, revision, compiled, end_of)
                progress = self.progress[view_id]
            goal = wanted.get(view_id, EMPTY)
            if progress.now.fingerprint != goal.fingerprint:
                yield from self._change(view_id, ViewProgress(goal, progress.now), revision, compiled, end_of)

    def _change(
        self,
        view_id: str,
        progress: ViewProgress,
        revision: CompiledRevision,
        compiled: Callable[[int], CompiledRevision],
        end_of: Callable[[str, int], int],
    ) -> Iterator[Change]:
        assert progress.before is not None
        dataset_id = view_id.partition("/")[2]
        if dataset_id.startswith(f"{GOLDEN}.") or not dataset_id:
            yield from self._change_golden(view_id, progress, revision, compiled, end_of)
            return
        old, new = _view(view_id, progress.before, compiled), _view(view_id, progress.now, compiled)
        # The present readers know every schema that a held record can have; a dropped dataset's are in the old
        # revision.
        holder = revision if dataset_id in revision.datasets else compiled(progress.before.revision)
        exchange = DatasetExchange(holder.datasets[dataset_id], self.state.prefix(dataset_id))
        # Only under a key in clear does a share partition have this one partition as its only writer.
        alone = old is not None and old.clear_key and (new is None or new.clear_key)
        anew = alone and old is not None and new is not None and narrows(old.view, new.view)
        if alone and old is not None and (anew or new is None) and progress.delete_to is None:
            progress = replace(progress, delete_to=end_of(old.topic, self.number))
            yield Change([], view_id, progress)

        def steps() -> Iterator[Step]:
            for key, stored in self.state.records(dataset_id, after=progress.cursor):
                yield key, self.exchange.change_view(exchange, old, new, key, stored, self.clock_ms, anew=anew)

        yield from self._sliced(view_id, progress, old, steps())

    def _sliced(
        self, view_id: str, progress: ViewProgress, old: CompiledView | None, steps: Iterator[Step]
    ) -> Iterator[Change]:
        """Yield what *steps* put out, slice by slice, and at the end the deletion of what was there before."""
        while True:
            upserted = retracted = looked_at = 0
            cursor = progress.cursor
            for key, sent in steps:
                cursor = key
                upserted, retracted = upserted + sent[0], retracted + sent[1]
                looked_at += 1
                if looked_at == SLICE_RECORDS:
                    break
            outputs, self.exchange.outputs = self.exchange.outputs, []
            if looked_at < SLICE_RECORDS and not progress.delete_to:
                yield Change(outputs, view_id, ViewProgress(progress.now), upserted, retracted)
                return
            progress = replace(progress, cursor=cursor)
            yield Change(outputs, view_id, progress, upserted, retracted)
            if looked_at < SLICE_RECORDS and old is not None and progress.delete_to:
                deletions = (TopicPartition(old.topic, self.number, progress.delete_to),)
                yield Change([], view_id, ViewProgress(progress.now), deletions=deletions)
                return

    def _change_golden(
        self,
        view_id: str,
        progress: ViewProgress,
        revision: CompiledRevision,
        compiled: Callable[[int], CompiledRevision],
        end_of: Callable[[str, int], int],
    ) -> Iterator[Change]:
        """Yield what must be sent until a golden view, or a share view of one, is at its wanted version.

        Both versions are evaluated at the clock at which the golden views were last sent: time moves on by ticks only.
        """
        assert progress.before is not None
        if not self.checked_ms:
            self.checked_ms = self.clock_ms
            yield Change([self.clock_record()], view_id, progress)
        name = view_id.partition("/")[2] or view_id
        old, new = (_golden(name, each, compiled) for each in (progress.before, progress.now))
        for each in (old, new):
            if each is not None:
                each.know_schemas(revision.datasets)
        clock_micros, shared = self.checked_ms * 1000, name != view_id
        old_view, new_view = (
            _view(view_id, each, compiled) if shared else None for each in (progress.before, progress.now)
        )
        alone = old_view is not None and old_view.clear_key and (new_view is None or new_view.clear_key)
        anew = alone and old_view is not None and new_view is not None and narrows(old_view.view, new_view.view)
        if alone and old_view is not None and (anew or new_view is None) and progress.delete_to is None:
            progress = replace(progress, delete_to=end_of(old_view.topic, self.number))
            yield Change([], view_id, progress)

        def steps() -> Iterator[Step]:
            for subject, was_said, now_said in entities_of_both(old, new, self.state, progress.cursor):
                was = None if old is None else old.evaluate(was_said, clock_micros)
                now = None if new is None else new.evaluate(now_said, clock_micros)
                if shared:
                    before = None if old is None or old_view is None else old.shown(view_id, subject, was, was_said)
                    after = None if new is None or new_view is None else new.shown(view_id, subject, now, now_said)
                    hour = self.clock_ms - self.clock_ms % HOUR_MS
                    sides = (old_view, before), (new_view, after)
                    yield subject, self.exchange.put_change(subject, *sides, self.clock_ms, hour, anew=anew)
                    continue
                self.exchange.outputs += golden_difference(
                    subject, (old, was, was_said), (new, now, now_said), self.number
                )
                yield subject, (0, 0)

        yield from self._sliced(view_id, progress, old_view, steps())

    @property
    def now_ms(self) -> int:
        """The clock at which views are evaluated: it never falls behind the one they were sent at."""
        return max(self.clock_ms, self.checked_ms)

    def restored_by(self, restore: Restore) -> None:
        """Take over what *restore*, now at its end, has found."""
        self.progress, self.restored = restore.progress, restore.restored
        self.checked_ms, self.judging = restore.clock_ms, restore.judging
        self.restore = None

    def judged_by_time(self) -> Iterator[list[Output]]:
        """Yield, slice by slice, what entities that are due at this partition's clock amount to now.

        Each slice must be committed before the next is asked for; then its state is written.
        """
        to_ms = self.exchange.clock_ms = self.now_ms
        for name in sorted(self.checks):
            while self.checks[name].is_due(to_ms):
                self.judging = Judging(to_ms, name, *self.checks[name].tick(to_ms, SLICE_RECORDS))
                if not any(each.is_due(to_ms) for each in self.checks.values()):
                    self.checked_ms, self.judging = to_ms, None
                told = [each for checks in self.checks.values() for each in checks.incidents.outputs(self.number)]
                yield [*self.exchange.outputs, *told, self.clock_record()]
                self.state.write(self.exchange.pending)
                self.exchange.keep()

    def _finish_judging(
        self, judging: Judging, revision: CompiledRevision, compiled: Callable[[int], CompiledRevision]
    ) -> Iterator[Change]:
        """Yield what is left of judging what was due when a worker died, under the revision it judged by.

        No view was being changed then: views change before anything is judged, and judging ends before they change.
        """
        present = compiled(max(each.now.revision for each in self.progress.values()))
        to_ms = judging.to_ms
        for name in sorted(each for each in present.goldens if each >= judging.golden):
            golden = present.goldens[name]
            golden.know_schemas(revision.datasets)
            shared = [
                each.view
                for view_id, each in golden.views.items()
                if self.progress.get(view_id, NOTHING_SENT).now.fingerprint == each.view.fingerprint
            ]
            left = self._left(golden, judging)
            for begin in range(0, len(left), SLICE_RECORDS):
                for due, subject, said in left[begin : begin + SLICE_RECORDS]:
                    self._judge(golden, shared, subject, said, to_ms)
                    self.judging = Judging(to_ms, name, due, subject)
                outputs, self.exchange.outputs = self.exchange.outputs, []
                yield Change([*outputs, self.clock_record()], name, self.progress[name])
        self.checked_ms, self.judging = to_ms, None
        yield Change([self.clock_record()], judging.golden, self.progress[judging.golden])

    def _left(self, golden: CompiledGolden, judging: Judging) -> list[tuple[int, bytes, list[Said | None]]]:
        """Return when what is not judged yet came due, of which entity, and what is said of it; in that order."""
        left = []
        for subject, said in entities(golden, self.state):
            found = golden.evaluate(said, self.checked_ms * 1000)
            if found is None or found.due > judging.to_ms * 1000:
                continue
            if not judging.has_passed(golden.id, found.due, subject):
                left.append((found.due, subject, said))
        return sorted(left, key=lambda each: each[:2])

    def _judge(
        self,
        golden: CompiledGolden,
        shared: Sequence[CompiledView],
        subject: bytes,
        said: Sequence[Said | None],
        to_ms: int,
    ) -> None:
        was, now = golden.evaluate(said, self.checked_ms * 1000), golden.evaluate(said, to_ms * 1000)
        stands = (golden, was, said), (golden, now, said)
        self.exchange.outputs += golden_difference(subject, *stands, self.number)
        for view in shared:
            before, after = (golden.shown(view.view.id, subject, each, said) for each in (was, now))
            hour = to_ms - to_ms % HOUR_MS
            self.exchange.put_change(subject, (view, before), (view, after), to_ms, hour)

    def clock_outputs(self) -> list[Output]:
        """Return the record of the clock that a batch with cross-checks was evaluated at, or nothing without any."""
        if not any(checks.spoke for checks in self.checks.values()):
            return []
        self.checked_ms = max(self.checked_ms, self.exchange.clock_ms)
        told = [each for checks in self.checks.values() for each in checks.incidents.outputs(self.number)]
        return [*told, self.clock_record()]

    def clock_record(self) -> Output:
        """Return the record that keeps the clock at which the golden views were sent last."""
        return clock_record(self.progress_topic, self.number, self.checked_ms, self.judging)


def _golden(name: str, sent: Sent, compiled: Callable[[int], CompiledRevision]) -> CompiledGolden | None:
    return None if sent == EMPTY or not sent.fingerprint else compiled(sent.revision).goldens.get(name)


def _view(view_id: str, sent: Sent, compiled: Callable[[int], CompiledRevision]) -> CompiledView | None:
    return None if sent == EMPTY or not sent.fingerprint else compiled(sent.revision).views[view_id]
