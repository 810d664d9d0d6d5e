"""The worker's metrics: counted in plain integers while a batch runs, handed to Prometheus once per batch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, TopicPartition

from govbus import metrics
from govbus.exchange.difference import ActiveView
from govbus.exchange.lag import Input, Lag
from govbus.exchange.partition import AssignedPartition, Change
from govbus.exchange.revision import CompiledRevision
from govbus.rules.comparison import Result
from govbus.rules.crosscheck import OPENING
from govbus.rules.structural import OnFailure

STATE_SECONDS = 5.0
_OUTCOMES: Mapping[OnFailure, str] = {"reject": "rejected", "flag": "flagged"}


class Counting:
    """Turns what partitions counted into metrics, and sets those that follow from the revision."""

    def __init__(self, revision: CompiledRevision) -> None:
        self._state_at = 0.0
        self._goldens = revision.goldens
        self.lag = Lag({topic: dataset.id for topic, dataset in revision.by_raw_topic.items()})
        metrics.CATALOGUE_REVISION.set(revision.number)
        for view in revision.views.values():
            labels = {"ask": f"{view.view.subscriber}.{view.view.ask}", "dataset": view.view.dataset}
            if view.ends_at_ms is not None:
                metrics.GRANT_END_TIMESTAMP.labels(**labels).set(view.ends_at_ms / 1000)
            for outcome in ("upserted", "retracted", "unchanged"):
                metrics.EXCHANGE_DELIVERIES.labels(outcome=outcome, **labels)
        for withheld in revision.withheld:
            metrics.GRANT_WITHHELD.labels(
                ask=f"{withheld.subscriber}.{withheld.ask}", dataset=withheld.dataset, reason=withheld.reason
            ).set(1)
        for dataset in revision.datasets:
            metrics.DATASET_MAX_AGE_SECONDS.labels(dataset=dataset).set(revision.max_age_seconds[dataset])
            for verdict in ("accepted", "duplicate", "stale"):
                metrics.EXCHANGE_RECORDS.labels(dataset=dataset, verdict=verdict)
            for check in revision.datasets[dataset].checks:
                outcome = _OUTCOMES[check.on_failure]
                metrics.EXCHANGE_CHECK_FAILURES.labels(dataset=dataset, rule=check.rule, outcome=outcome)

    def batch(self, partitions: Iterable[AssignedPartition], records: int, seconds: float) -> None:
        """Count a committed batch."""
        metrics.EXCHANGE_BATCH_SECONDS.observe(seconds)
        metrics.EXCHANGE_BATCH_RECORDS.observe(records)
        now_ms = time.time() * 1000
        delays: dict[str, list[float]] = {}
        ages: dict[str, list[float]] = {}
        for partition in partitions:
            for dataset in partition.datasets.values():
                name = dataset.dataset.id
                for verdict in ("accepted", "duplicate", "stale"):
                    number = getattr(dataset, verdict)
                    if number:
                        metrics.EXCHANGE_RECORDS.labels(dataset=name, verdict=verdict).inc(number)
                if dataset.accepted:
                    metrics.DATASET_CHANGE_TIMESTAMP.labels(dataset=name).set(partition.clock_ms / 1000)
                for reason, number in dataset.rejected.items():
                    metrics.EXCHANGE_REJECTED.labels(dataset=name, reason=reason).inc(number)
                for (rule, on_failure), number in dataset.failed.items():
                    outcome = _OUTCOMES[on_failure]
                    metrics.EXCHANGE_CHECK_FAILURES.labels(dataset=name, rule=rule, outcome=outcome).inc(number)
                if dataset.slow:
                    metrics.EXCHANGE_SLOW_PATH.labels(dataset=name).inc(dataset.slow)
                if dataset.sent_at:
                    delays.setdefault(name, []).extend((now_ms - each) / 1000 for each in dataset.sent_at)
                    ages.setdefault(name, []).extend((now_ms - each) / 1000 for each in dataset.sent_changed)
                for active in dataset.views:
                    _count_view(active)
                dataset.forget_counts()
            for name, checks in partition.checks.items():
                if checks.sent_at:
                    delays.setdefault(name, []).extend((now_ms - each) / 1000 for each in checks.sent_at)
                    ages.setdefault(name, []).extend((now_ms - each) / 1000 for each in checks.sent_changed)
            self.judged(partition)
        for name, values in delays.items():
            metrics.observe_many(metrics.EXCHANGE_DELAY_SECONDS.labels(dataset=name), values)
            metrics.observe_many(metrics.EXCHANGE_AGE_SECONDS.labels(dataset=name), ages[name])

    @staticmethod
    def judged(partition: AssignedPartition) -> None:
        """Count what cross-checks, whether of records or of time, have meant for share views of golden views."""
        for checks in partition.checks.values():
            for active in checks.views:
                _count_view(active)
            checks.forget_counts()

    def drop(self, partition: AssignedPartition) -> None:
        """Forget what a batch counted that is not kept."""
        for dataset in partition.datasets.values():
            dataset.forget_counts()
        for checks in partition.checks.values():
            checks.forget_counts()

    def changed(self, change: Change) -> None:
        """Count what a view's change sent."""
        ask, _, dataset = change.view.partition("/")
        for outcome, number in (("upserted", change.upserted), ("retracted", change.retracted)):
            metrics.EXCHANGE_DELIVERIES.labels(ask=ask, dataset=dataset, outcome=outcome).inc(number)

    def state(
        self, partitions: Mapping[int, AssignedPartition], consumer: Consumer, offsets: Mapping[Input, int]
    ) -> None:
        """Set what changes slowly, every few seconds. *offsets* are the next to read of each input; asks no broker."""
        now = time.monotonic()
        if now - self._state_at < STATE_SECONDS:
            return
        self._state_at = now
        metrics.EXCHANGE_PARTITIONS.set(len(partitions))
        metrics.EXCHANGE_STATE_RECORDS.set(sum(each.state.record_count() for each in partitions.values()))
        metrics.EXCHANGE_STATE_BYTES.set(sum(each.state.size_bytes() for each in partitions.values()))
        metrics.EXCHANGE_TRANSITIONS.set(sum(not each.live for each in partitions.values()))
        if all(each.live for each in partitions.values()):
            self._reports(partitions.values())
        clocks = [each.clock_ms for each in partitions.values()]
        if clocks:
            metrics.EXCHANGE_CLOCK_TIMESTAMP.set(min(clocks) / 1000)
        ends = {
            # What the consumer last heard with a fetch; below 0 before the first one.
            place: max(offset, consumer.get_watermark_offsets(TopicPartition(*place), cached=True)[1])
            for place, offset in offsets.items()
        }
        for dataset, behind in self.lag.measure(ends, offsets, time.time()).items():
            metrics.EXCHANGE_LAG_RECORDS.labels(dataset=dataset).set(behind.records)
            metrics.EXCHANGE_LAG_SECONDS.labels(dataset=dataset).set(behind.seconds)

    def _reports(self, partitions: Iterable[AssignedPartition]) -> None:
        """Set how reports compare over all of this worker's partitions; nothing stands where it has none."""
        held = list(partitions)
        if not held:
            metrics.CROSSCHECK_REPORTS.clear()
            metrics.CROSSCHECK_DISCREPANCIES.clear()
            metrics.CROSSCHECK_INCIDENTS.clear()
        for name, golden in self._goldens.items() if held else ():
            counts: Counter[tuple[int, int, str]] = Counter()
            incidents: Counter[tuple[str, str]] = Counter()
            for partition in held:
                counts.update(partition.checks[name].counts)
                incidents.update(partition.checks[name].incidents.places())
            for number, rule in enumerate(golden.rules):
                element, severity = f"{golden.entity}.{rule.name}", golden.elements[number].severity
                sources = {claim.dataset for claim in rule.claims}
                for dataset, _ in rule.reports:
                    if sources == {dataset}:
                        continue
                    labels = {"element": element, "dataset": golden.datasets[dataset].dataset.id}
                    # Those that are 0 as well: of a dataset that agrees nowhere there must be a rate of agreement.
                    for result in Result:
                        metrics.CROSSCHECK_REPORTS.labels(result=result, **labels).set(counts[number, dataset, result])
                    metrics.CROSSCHECK_DISCREPANCIES.labels(severity=severity, **labels).set(
                        sum(counts[number, dataset, result] for result in OPENING)
                    )
                    metrics.CROSSCHECK_INCIDENTS.labels(**labels).set(incidents[element, labels["dataset"]])


def _count_view(active: ActiveView) -> None:
    view = active.view.view
    labels = {"ask": f"{view.subscriber}.{view.ask}", "dataset": view.dataset}
    for outcome in ("upserted", "retracted", "unchanged"):
        number = getattr(active, outcome)
        if number:
            metrics.EXCHANGE_DELIVERIES.labels(outcome=outcome, **labels).inc(number)
    withheld = {"row_condition": active.withheld, "unmaskable": active.unmaskable, "no_source": active.no_source}
    for cause, number in withheld.items():
        if number:
            metrics.EXCHANGE_WITHHELD.labels(reason=cause, **labels).inc(number)
