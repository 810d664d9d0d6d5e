"""A delivery's batches under way: written in a thread of their own, and how far the store is behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from govbus import metrics
from govbus.delivery.plan import Plan
from govbus.delivery.share import Batch, Partition, ShareReader
from govbus.delivery.sink import P, Sink, Written


class Writing:
    """Writes one batch in a thread while the next is read and prepared: the database works, and so does Python.

    Batches are written one after another, and none after one that failed: `write` and `settle` raise its error.
    `positions` are those that are written.
    """

    def __init__(self, sink: Sink[P], count: Callable[[Mapping[str, Written]], None], ask: str) -> None:
        self._sink = sink
        self._count = count
        self._seconds = metrics.DELIVERY_BATCH_SECONDS.labels(ask=ask)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="govbus-writing")
        self._running: tuple[Future[Mapping[str, Written]], Batch, float] | None = None
        self.positions: dict[Partition, int] = {}

    def write(self, batch: Batch) -> None:
        """Prepare *batch*, wait for the one before, then begin to write this one."""
        began = time.perf_counter()
        prepared = self._sink.prepare(batch)
        self.settle()
        self._running = self._thread.submit(self._sink.write, prepared), batch, began

    def settle(self) -> None:
        """Return when everything that was begun is written."""
        if self._running is None:
            return
        (future, batch, began), self._running = self._running, None
        self._count(future.result())
        self.positions |= {partition: after for partition, (_, after) in batch.moves.items()}
        self._seconds.observe(time.perf_counter() - began)

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, *_: object) -> None:
        # Whatever is still being written ends before the sink is closed; counted or not, its positions tell.
        self._thread.shutdown(wait=True)


class Lag:
    """Shows how far an ask's store is behind, per dataset, whether the delivery goes on or waits."""

    def __init__(self, ask: str) -> None:
        self._ask = ask
        self._reader: ShareReader | None = None
        self._level_at: dict[str, float] = {}
        self._topics: dict[str, str] = {}

    def follow(self, plan: Plan, reader: ShareReader) -> None:
        """Look at *reader* from now on; datasets that are no longer delivered are no longer shown."""
        self._reader = reader
        self._topics = {each.topic: each.dataset for each in plan.delivered}
        for dataset in set(self._level_at) - set(self._topics.values()):
            del self._level_at[dataset]
            metrics.DELIVERY_LAG_RECORDS.remove(self._ask, dataset)
            metrics.DELIVERY_LAG_SECONDS.remove(self._ask, dataset)
        for dataset in self._topics.values():
            self._level_at.setdefault(dataset, time.monotonic())
        self.show()

    def show(self) -> None:
        """Show what the reader knows now."""
        assert self._reader is not None
        behind = dict.fromkeys(self._topics, 0)
        level = dict.fromkeys(self._topics, True)
        for (topic, partition), position in self._reader.positions.items():
            if not self._reader.is_level((topic, partition)):
                level[topic] = False
                end = self._reader.high_watermark(topic, partition)
                behind[topic] += max(0, (end or position) - position)
        for topic, dataset in self._topics.items():
            if level[topic]:
                self._level_at[dataset] = time.monotonic()
            metrics.DELIVERY_LAG_RECORDS.labels(ask=self._ask, dataset=dataset).set(behind[topic])
        self.show_waiting()

    def show_waiting(self) -> None:
        """Show how long the store has not been level, while nothing can be asked."""
        for dataset, level_at in self._level_at.items():
            metrics.DELIVERY_LAG_SECONDS.labels(ask=self._ask, dataset=dataset).set(time.monotonic() - level_at)
