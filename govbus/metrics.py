"""Every metric of govbus, declared once. A leaf: it imports nothing from govbus, so any room may import it.

Names are ``govbus_PART_THING[_UNIT]``; labels hold words of the catalogue (dataset, ask) and of closed lists (reasons,
outcomes), never a record's key, value, offset or a person's id. `docs/metrics.md` is the same list for people.

Each metric belongs to a *part*. A process shows the parts it works on (`registry_of`), because a gauge that nobody
sets would otherwise stand at 0 in every other process, and a timestamp of 0 is an alarm.

**In a hot loop** count in plain Python first and tell the metric once per batch: ``inc`` takes a lock and half a
microsecond, ``labels`` one more, so keep the children::

    accepted = metrics.EXCHANGE_RECORDS.labels(dataset="civil_affairs.marriage", verdict="accepted")
    delay = metrics.EXCHANGE_DELAY_SECONDS.labels(dataset="civil_affairs.marriage")
    ...
    accepted.inc(count_of_this_batch)
    metrics.observe_many(delay, delays_of_this_batch)      # 0.03 us per value in batches of 500

A gauge by dataset or ask goes on standing after its partition, dataset or ask has gone: ``remove`` it then.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import accumulate, pairwise
from threading import Lock
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

DELAY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds; close together around a second, where the figures of this bus lie."""

AGE_BUCKETS = (*DELAY_BUCKETS, 3_600.0, 86_400.0)
"""Seconds; with an hour and a day, because departments also send once a day."""

BATCH_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds of work on one batch."""

BATCH_RECORDS_BUCKETS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)


class Waiting(StrEnum):
    """What a process waits for: the closed list of `LOOP_WAITING`'s reasons."""

    BROKER = "broker"
    REGISTRY = "registry"
    POSTGRES = "postgres"
    CATALOGUE = "catalogue"
    ASSIGNMENT = "assignment"
    DISK = "disk"
    SOURCE = "source"


class HistogramChild:
    """Counts per bucket under one set of label values. Safe between threads."""

    __slots__ = ("_bounds", "_counts", "_lock", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, value: float, times: int = 1) -> None:
        """Count *value*, *times* over."""
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[bucket] += times
            self._sum += value * times

    def observe_rising(self, values: Sequence[float]) -> None:
        """Count every one of *values*, which rise: one search per bucket instead of one per value."""
        # A value equal to a bound belongs below it ("le"), so the cut lies behind the last one that is <= bound.
        ends = [0, *(bisect_right(values, bound) for bound in self._bounds), len(values)]
        total = sum(values)
        with self._lock:
            for bucket, (start, end) in enumerate(pairwise(ends)):
                self._counts[bucket] += end - start
            self._sum += total

    def snapshot(self) -> tuple[list[int], float]:
        """Return the counts up to each bound (the last one is the count of all), and the sum, of one moment."""
        with self._lock:
            return list(accumulate(self._counts)), self._sum


class Histogram(Collector):
    """A Prometheus histogram that takes a whole batch at once.

    The client library's own takes one value per call, about a microsecond each: at 100,000 records a second a tenth of
    the machine. This one is a collector of the client library's public kind and touches nothing inside it.
    """

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = BATCH_BUCKETS
    ) -> None:
        if list(buckets) != sorted(set(buckets)):
            raise ValueError("the buckets of a histogram must rise")
        self.name = name
        self.documentation = documentation
        self.label_names = tuple(labels)
        self.buckets = tuple(float(bound) for bound in buckets)
        self._children: dict[tuple[str, ...], HistogramChild] = {}
        self._lock = Lock()
        if not self.label_names:
            self._children[()] = HistogramChild(self.buckets)

    def labels(self, **labels: str) -> HistogramChild:
        """Return the child for exactly these labels. Raises ValueError when a label is missing or unknown."""
        if set(labels) != set(self.label_names) or not labels:
            raise ValueError(f"{self.name} has the labels {self.label_names}")
        values = tuple(labels[name] for name in self.label_names)
        with self._lock:
            return self._children.setdefault(values, HistogramChild(self.buckets))

    def observe(self, value: float, times: int = 1) -> None:
        """Count *value* in a histogram without labels."""
        self.unlabelled.observe(value, times)

    @property
    def unlabelled(self) -> HistogramChild:
        """The one child of a histogram without labels. Raises ValueError when it has labels."""
        if self.label_names:
            raise ValueError(f"{self.name} has the labels {self.label_names}")
        return self._children[()]

    def describe(self) -> Iterable[HistogramMetricFamily]:
        return [self._family()]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = self._family()
        with self._lock:
            children = list(self._children.items())
        texts = [*map(repr, self.buckets), "+Inf"]
        for labels, child in children:
            counts, total = child.snapshot()
            family.add_metric(labels, list(zip(texts, counts, strict=True)), total)
        return [family]

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self.name, self.documentation, labels=self.label_names)


def observe_many(histogram: Histogram | HistogramChild, values: Iterable[float]) -> None:
    """Count every one of *values* (seconds) in *histogram*, in one pass and under one lock."""
    child = histogram.unlabelled if isinstance(histogram, Histogram) else histogram
    child.observe_rising(sorted(values))


REGISTRY = CollectorRegistry()
"""All of them, whatever the process; what a process serves is `registry_of`."""

_PARTS: dict[str, list[Collector]] = {}
_Metric = TypeVar("_Metric", bound=Collector)


def registry_of(*parts: str) -> CollectorRegistry:
    """Return a registry of the metrics of *parts* and those every process has. Raises KeyError for an unknown part."""
    registry = CollectorRegistry()
    for part in ("loop", *parts):
        for metric in _PARTS[part]:
            registry.register(metric)
    return registry


def parts() -> Iterator[tuple[str, tuple[Collector, ...]]]:
    """Yield each part with its metrics, in the order of declaration."""
    for part, declared in _PARTS.items():
        yield part, tuple(declared)


def _counter(part: str, name: str, documentation: str, *labels: str) -> Counter:
    return _declared(part, Counter(name, documentation, labels, registry=None))


def _gauge(part: str, name: str, documentation: str, *labels: str) -> Gauge:
    return _declared(part, Gauge(name, documentation, labels, registry=None))


def _histogram(part: str, name: str, documentation: str, *labels: str, buckets: Sequence[float]) -> Histogram:
    return _declared(part, Histogram(name, documentation, labels, buckets=buckets))


def _declared(part: str, metric: _Metric) -> _Metric:
    REGISTRY.register(metric)
    _PARTS.setdefault(part, []).append(metric)
    return metric


# --- loop: what every process has ------------------------------------------------------------------------------------

BUILD_INFO = _gauge("loop", "govbus_build_info", "Always 1; the version of govbus is the label.", "version")
LOOP_PROGRESS_TIMESTAMP = _gauge(
    "loop",
    "govbus_loop_progress_timestamp_seconds",
    "Unix time at which the process's main loop last came round, whether it had work or not.",
)
LOOP_READY = _gauge(
    "loop", "govbus_loop_ready", "1 while the process does its work: connected, assigned and caught up; else 0."
)
LOOP_WAITING = _gauge(
    "loop",
    "govbus_loop_waiting",
    "1 while the process waits for this: broker, registry, postgres, catalogue, assignment, disk, source; else 0.",
    "reason",
)

# --- exchange: the worker --------------------------------------------------------------------------------------------

EXCHANGE_RECORDS = _counter(
    "exchange",
    "govbus_exchange_records_total",
    "Records read from raw topics that were no reject, by verdict: accepted, duplicate or stale.",
    "dataset",
    "verdict",
)
EXCHANGE_REJECTED = _counter(
    "exchange",
    "govbus_exchange_rejected_total",
    "Records put aside in a reject topic, by reason; wrong_partition are the misrouted ones.",
    "dataset",
    "reason",
)
EXCHANGE_CHECK_FAILURES = _counter(
    "exchange",
    "govbus_exchange_check_failures_total",
    "Records that fail a structural check, by rule and outcome: flagged (accepted, a quality fault) or rejected.",
    "dataset",
    "rule",
    "outcome",
)
EXCHANGE_SLOW_PATH = _counter(
    "exchange",
    "govbus_exchange_slow_path_total",
    "Accepted records that had to be decoded and encoded again: not canonical as sent, or of an older schema.",
    "dataset",
)
EXCHANGE_DELIVERIES = _counter(
    "exchange",
    "govbus_exchange_deliveries_total",
    "What accepted records meant for a share view, by outcome: upserted, retracted, or unchanged (nothing was sent).",
    "ask",
    "dataset",
    "outcome",
)
EXCHANGE_WITHHELD = _counter(
    "exchange",
    "govbus_exchange_withheld_total",
    "Accepted records that an ask was not shown: row_condition, unmaskable (no mask fits the value), or no_source.",
    "ask",
    "dataset",
    "reason",
)
CROSSCHECK_REPORTS = _gauge(
    "exchange",
    "govbus_crosscheck_reports",
    "Entities of which the dataset reports the element, by how that compares with the authority's value.",
    "element",
    "dataset",
    "result",
)
CROSSCHECK_DISCREPANCIES = _gauge(
    "exchange",
    "govbus_crosscheck_discrepancies",
    "Open discrepancies: entities of which the dataset reports another value of the element than its authority.",
    "element",
    "dataset",
    "severity",
)
CROSSCHECK_INCIDENTS = _gauge(
    "exchange",
    "govbus_crosscheck_incidents",
    "Partitions in which so many reports of the dataset differ that they are one incident: a bad load, not cases.",
    "element",
    "dataset",
)
EXCHANGE_BATCH_SECONDS = _histogram(
    "exchange",
    "govbus_exchange_batch_seconds",
    "Time from a batch's arrival to the end of its commit.",
    buckets=BATCH_BUCKETS,
)
EXCHANGE_COMMIT_SECONDS = _histogram(
    "exchange",
    "govbus_exchange_commit_seconds",
    "Time to flush and commit a batch's Kafka transaction.",
    buckets=BATCH_BUCKETS,
)
EXCHANGE_BATCH_RECORDS = _histogram(
    "exchange", "govbus_exchange_batch_records", "Records per batch.", buckets=BATCH_RECORDS_BUCKETS
)
EXCHANGE_TRANSACTIONS = _counter(
    "exchange",
    "govbus_exchange_transactions_total",
    "Kafka transactions by outcome: committed or aborted; one that ended the process is counted by the next one.",
    "outcome",
)
EXCHANGE_DELAY_SECONDS = _histogram(
    "exchange",
    "govbus_exchange_delay_seconds",
    "From publish (the raw topic's LogAppendTime) to commit in a share topic, once per record that sent anything.",
    "dataset",
    buckets=DELAY_BUCKETS,
)
EXCHANGE_AGE_SECONDS = _histogram(
    "exchange",
    "govbus_exchange_age_seconds",
    "From the change at its source (_changed_at) to commit in a share topic, once per record that sent anything.",
    "dataset",
    buckets=AGE_BUCKETS,
)
EXCHANGE_LAG_RECORDS = _gauge(
    "exchange",
    "govbus_exchange_lag_records",
    "Records of the raw topic that this worker has not committed yet, over its partitions.",
    "dataset",
)
EXCHANGE_LAG_SECONDS = _gauge(
    "exchange",
    "govbus_exchange_lag_seconds",
    "Age of the oldest record of the raw topic that this worker has not committed yet; 0 where there is none.",
    "dataset",
)
EXCHANGE_PARTITIONS = _gauge(
    "exchange", "govbus_exchange_partitions", "Partitions this worker works on (each one of every input topic)."
)
EXCHANGE_RESTORING_PARTITIONS = _gauge(
    "exchange", "govbus_exchange_restoring_partitions", "Partitions whose state is being restored from current topics."
)
EXCHANGE_RESTORE_REMAINING_RECORDS = _gauge(
    "exchange", "govbus_exchange_restore_remaining_records", "Records still to read until the running restore is done."
)
EXCHANGE_RESTORED_RECORDS = _counter(
    "exchange", "govbus_exchange_restored_records_total", "Records read back from current topics into the state."
)
EXCHANGE_STATE_RECORDS = _gauge(
    "exchange",
    "govbus_exchange_state_records",
    "Keys held in the state, deleted ones included; an estimate that counts lately written ones more than once.",
)
EXCHANGE_STATE_BYTES = _gauge(
    "exchange", "govbus_exchange_state_bytes", "Bytes of the state: its tables on disk, and what is not in one yet."
)
EXCHANGE_CLOCK_TIMESTAMP = _gauge(
    "exchange",
    "govbus_exchange_clock_timestamp_seconds",
    "Unix time of the last tick; the oldest of this worker's partitions. Views end by this clock.",
)
EXCHANGE_TRANSITIONS = _gauge(
    "exchange",
    "govbus_exchange_transitions",
    "Partitions whose share views are not level yet: being restored, or written again for a new catalogue revision.",
)
EXCHANGE_RETENTION_GAPS = _counter(
    "exchange",
    "govbus_exchange_retention_gaps_total",
    "Times that unread records had already left the raw topic: they are lost to the bus until published again.",
    "dataset",
)
CATALOGUE_REVISION = _gauge("exchange", "govbus_catalogue_revision", "Number of the catalogue revision in force.")
GRANT_END_TIMESTAMP = _gauge(
    "exchange",
    "govbus_grant_end_timestamp_seconds",
    "Unix time at which this view ends: midnight (China Standard Time) after the earlier `until` of ask and grant.",
    "ask",
    "dataset",
)
GRANT_WITHHELD = _gauge(
    "exchange",
    "govbus_grant_withheld",
    "1 where the revision in force gives an ask nothing of a dataset: no_grant, grant_suspended or grant_ended.",
    "ask",
    "dataset",
    "reason",
)
DATASET_MAX_AGE_SECONDS = _gauge(
    "exchange", "govbus_dataset_max_age_seconds", "Declared age from which the dataset is stale.", "dataset"
)
DATASET_CHANGE_TIMESTAMP = _gauge(
    "exchange",
    "govbus_dataset_change_timestamp_seconds",
    "Unix time (the raw topic's LogAppendTime) of the newest record that the bus accepted.",
    "dataset",
)

# --- adapter: how departments publish --------------------------------------------------------------------------------

ADAPTER_ROWS_READ = _counter("adapter", "govbus_adapter_rows_read_total", "Rows read from the source.", "dataset")
ADAPTER_PUBLISHED = _counter(
    "adapter",
    "govbus_adapter_published_total",
    "Records the broker took, by operation: upsert or delete.",
    "dataset",
    "operation",
)
ADAPTER_REJECTED = _counter(
    "adapter",
    "govbus_adapter_rejected_total",
    "Rows that were not published because they are not valid, by reason.",
    "dataset",
    "reason",
)
ADAPTER_CHECK_FAILURES = _counter(
    "adapter",
    "govbus_adapter_check_failures_total",
    "Rows that were not published because they fail a structural check that rejects, by rule.",
    "dataset",
    "rule",
)
ADAPTER_FILES = _counter(
    "adapter", "govbus_adapter_files_total", "Files finished, by outcome: done, failed or held.", "dataset", "outcome"
)
ADAPTER_POLLS = _counter(
    "adapter", "govbus_adapter_polls_total", "Looks that took in all the source had to say, changed or not.", "dataset"
)
ADAPTER_LOOK_TIMESTAMP = _gauge(
    "adapter",
    "govbus_adapter_look_timestamp_seconds",
    "Unix time of the last look at the source that met no error, complete or not; an empty drop folder is one too.",
    "dataset",
)
DATASET_POLL_TIMESTAMP = _gauge(
    "adapter",
    "govbus_dataset_poll_timestamp_seconds",
    "Unix time of the last look that took in all the source had to say; an empty drop folder says nothing.",
    "dataset",
)
ADAPTER_HELD_DELETIONS = _gauge(
    "adapter",
    "govbus_adapter_held_deletions",
    "Deletions of a snapshot that was stopped because there are too many of them; 0 where none waits for a decision.",
    "dataset",
)
ADAPTER_JOURNAL_RECORDS = _gauge(
    "adapter", "govbus_adapter_journal_records", "Keys in the journal of what was published.", "dataset"
)
ADAPTER_JOURNAL_BYTES = _gauge(
    "adapter", "govbus_adapter_journal_bytes", "Bytes of the journal of what was published.", "dataset"
)

# --- delivery: how subscribers receive -------------------------------------------------------------------------------

DELIVERY_ROWS = _counter(
    "delivery",
    "govbus_delivery_rows_total",
    "Rows written to the subscriber's store, by operation: upsert or delete.",
    "ask",
    "dataset",
    "operation",
)
DELIVERY_BATCH_SECONDS = _histogram(
    "delivery",
    "govbus_delivery_batch_seconds",
    "Time from a batch's arrival to the end of its commit in the subscriber's store.",
    "ask",
    buckets=BATCH_BUCKETS,
)
DELIVERY_LAG_RECORDS = _gauge(
    "delivery",
    "govbus_delivery_lag_records",
    "Offsets of the share topic that are not in the subscriber's store yet (transaction markers count).",
    "ask",
    "dataset",
)
DELIVERY_LAG_SECONDS = _gauge(
    "delivery",
    "govbus_delivery_lag_seconds",
    "Time since the sink was last level with the share topic; 0 while it is.",
    "ask",
    "dataset",
)
DELIVERY_RELOADS = _counter(
    "delivery",
    "govbus_delivery_reloads_total",
    "Times the sink read a share topic from its start and swept rows it did not see.",
    "ask",
    "dataset",
)
DELIVERY_UNDELIVERABLE = _counter(
    "delivery",
    "govbus_delivery_undeliverable_total",
    "Rows left out because the subscriber's store cannot hold them at all: a key longer than its index takes.",
    "ask",
    "dataset",
)
DELIVERY_ERRORS = _counter(
    "delivery",
    "govbus_delivery_errors_total",
    "Batches that failed and were tried again, by reason.",
    "ask",
    "reason",
)
