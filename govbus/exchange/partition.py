"""One partition of every input, from assignment to hand-over: restored, brought to the present revision, live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from confluent_kafka import TopicPartition

from govbus.exchange.compiled import CompiledRevision, CompiledView
from govbus.exchange.difference import ActiveView, DatasetExchange, Output, PartitionExchange, UnknownSchema
from govbus.exchange.progress import EMPTY, NOTHING_SENT, Sent, ViewProgress
from govbus.exchange.restore import Restore
from govbus.exchange.state import PartitionState
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
    clock_ms: int = 0
    """The latest broker time seen here, from ticks and arrivals; nothing else tells this partition the time."""
    live: bool = False

    @classmethod
    def open(
        cls, number: int, state: PartitionState, revision: CompiledRevision, unknown_schema: UnknownSchema
    ) -> AssignedPartition:
        exchange = PartitionExchange(
            number, revision.partitions, revision.max_record_bytes, state.get, unknown_schema=unknown_schema
        )
        datasets = {each.raw_topic: DatasetExchange(each, state.prefix(each.id)) for each in revision.datasets.values()}
        return cls(number, state, exchange, datasets, None)

    @property
    def has_work(self) -> bool:
        """Whether the next step towards being live can be taken now; before its views change it must know the time."""
        return self.restore is not None or (not self.live and self.clock_ms > 0)

    def wanted(self, revision: CompiledRevision) -> dict[str, Sent]:
        """Return, per view that is not over by this partition's clock, the version it should have."""
        return {
            view_id: Sent(revision.number, view.fingerprint)
            for view_id, view in revision.views.items()
            if view.ends_at_ms is None or view.ends_at_ms > self.clock_ms
        }

    def expired(self) -> bool:
        """Whether a view that is being kept up to date has come to its end."""
        return any(
            active.view.ends_at_ms is not None and active.view.ends_at_ms <= self.clock_ms
            for dataset in self.datasets.values()
            for active in dataset.views
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
        self.live = True

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
        old, new = _view(view_id, progress.before, compiled), _view(view_id, progress.now, compiled)
        dataset_id = view_id.partition("/")[2]
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
        cursor = progress.cursor
        records = self.state.records(dataset_id, after=cursor)
        while True:
            upserted = retracted = looked_at = 0
            for key, stored in records:
                sent = self.exchange.change_view(exchange, old, new, key, stored, self.clock_ms, anew=anew)
                upserted, retracted = upserted + sent[0], retracted + sent[1]
                cursor, looked_at = key, looked_at + 1
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


def _view(view_id: str, sent: Sent, compiled: Callable[[int], CompiledRevision]) -> CompiledView | None:
    return None if sent == EMPTY or not sent.fingerprint else compiled(sent.revision).views[view_id]
