"""Taking a partition over: where to read on in every input, and what its state lacks.

The order is half of a right restore (`govbus.exchange.restore`): the group's committed offsets are asked for first, the
marks of the ``current`` topics after them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import structlog
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from govbus import metrics
from govbus.exchange import inputs
from govbus.exchange.applied import AppliedRevisions
from govbus.exchange.difference import UnknownSchema
from govbus.exchange.partition import AssignedPartition
from govbus.exchange.restore import Restore
from govbus.exchange.state import PartitionState, discard
from govbus.kafka.topics import Topics

log = structlog.get_logger()

Input = tuple[str, int]
"""A raw topic and a partition of it."""


class Opening:
    """Opens partitions for one worker, whose state lies under *folder*."""

    def __init__(self, admin: AdminClient, topics: Topics, applied: AppliedRevisions, folder: Path) -> None:
        self._admin = admin
        self._topics = topics
        self._applied = applied
        self._folder = folder

    def positions(
        self, consumer: Consumer, numbers: Sequence[int]
    ) -> tuple[list[TopicPartition], dict[Input, int], dict[Input, int | None]]:
        """Return where to read on in every raw topic of partitions *numbers*: as an assignment, as offsets, and what
        the group has committed (None: nothing yet).

        Records that left a raw topic unread are an alarm; reading goes on behind the gap.
        """
        raws = [(topic, number) for number in numbers for topic in self._applied.present.inputs()]
        committed = inputs.committed(consumer, raws)
        begins = inputs.begins(self._admin, raws)
        positions: list[TopicPartition] = []
        offsets: dict[Input, int] = {}
        for each in raws:
            done = committed[each]
            offsets[each] = begins[each] if done is None else max(done, begins[each])
            positions.append(TopicPartition(*each, offsets[each]))
            if begins[each] > (done or 0):
                self._retention_gap(each, begins[each] - (done or 0))
        return positions, offsets, committed

    def partition(
        self, number: int, committed: dict[Input, int | None], unknown_schema: UnknownSchema
    ) -> AssignedPartition:
        """Return partition *number* with its state open and its restore ready to begin."""
        folder = self._folder / str(number)
        currents = {self._topics.current(dataset): dataset for dataset in self._held_datasets()}
        ends = inputs.ends(self._admin, [(topic, number) for topic in (*currents, self._topics.progress)])
        marks = {topic: end for (topic, _), end in ends.items()}
        ids = inputs.topic_ids(self._admin, list(currents))
        state = PartitionState(folder)
        known = state.checkpoint.currents
        others = set(known) - set(currents)
        if others or any(known[topic][0] != ids[topic] or known[topic][1] > marks[topic] for topic in known):
            log.warning("the state is of other topics and is restored anew", partition=number)
            state.close()
            discard(folder)
            state = PartitionState(folder)
            known = state.checkpoint.currents
        present = {topic: done for (topic, of), done in committed.items() if of == number and done is not None}
        # Without a committed offset nothing can be told: a restore that was cut short has none to show either.
        whole = bool(present) and state.checkpoint.offsets == present and set(known) >= set(currents)
        starts = {topic: marks[topic] if whole else known.get(topic, ("", 0))[1] for topic in currents}
        if not whole:
            # Until all is read the state stands for no offsets: a crash in between must not leave it believed.
            state.checkpoint.offsets = {}
        partition = AssignedPartition.open(number, state, self._applied.present, unknown_schema)
        partition.restore = Restore(
            partition=number,
            state=state,
            datasets=currents,
            progress_topic=self._topics.progress,
            deleted_frame=self._applied.present.deleted_frame,
            starts={**starts, self._topics.progress: 0},
            marks=marks,
            offsets=present,
            currents={topic: (ids[topic], marks[topic]) for topic in currents},
        )
        return partition

    def _held_datasets(self) -> list[str]:
        """Every dataset of the present revision, and of superseded ones whose ``current`` topic still exists."""
        present, past = list(self._applied.present.datasets), self._applied.past_datasets()
        if not past:
            return present
        existing = inputs.existing_topics(self._admin)
        return present + sorted(dataset for dataset in past if self._topics.current(dataset) in existing)

    def _retention_gap(self, raw: Input, records: int) -> None:
        dataset = self._applied.present.by_raw_topic[raw[0]].id
        log.error(
            "records left the raw topic before they were exchanged: the department must publish them again",
            dataset=dataset,
            partition=raw[1],
            records=records,
        )
        metrics.EXCHANGE_RETENTION_GAPS.labels(dataset=dataset).inc()
