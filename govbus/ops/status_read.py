"""The facts behind `govbus status`: offsets, timestamps and progress in Kafka, and what processes here say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from govbus.catalogue.model import Dataset
from govbus.catalogue.views import share_views
from govbus.errors import GovbusError
from govbus.exchange.fingerprints import view_fingerprint
from govbus.exchange.progress import ViewProgress
from govbus.health import processes
from govbus.kafka.offsets import Partition
from govbus.kafka.revisions import Revision, latest_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.scrape import Figures, figures, readiness
from govbus.ops.status import DatasetFacts, Delay, Facts, Poll, ProcessFacts, ViewFacts
from govbus.ops.topic_scan import Extent, TopicScan
from govbus.rules.record_key import SEPARATOR_BYTE
from govbus.rules.share import ShareView


class NothingApplied(GovbusError):
    """No catalogue was ever applied to these brokers."""


def read_facts(settings: Settings, topics: Topics) -> Facts:
    """Return what is known now. Raises `NothingApplied`, or `Unavailable` where the brokers do not answer."""
    revision = latest_revision(settings, topics)
    if revision is None:
        raise NothingApplied(f"nothing is applied: {topics.catalogue} holds no revision; run `govbus apply` first")
    with TopicScan(settings, f"{topics.prefix}govbus.look") as scan:
        return _Reading(settings, scan, revision).facts()


class _Reading:
    def __init__(self, settings: Settings, scan: TopicScan, revision: Revision) -> None:
        self.settings, self.scan, self.revision = settings, scan, revision
        self.catalogue, self.topics = revision.catalogue, revision.topics

    def facts(self) -> Facts:
        catalogue = self.catalogue
        views = [view for view in share_views(catalogue) if isinstance(view, ShareView)]
        raws = [self.topics.raw(dataset) for dataset in catalogue.datasets]
        shares = [self.topics.share(view.id) for view in views]
        extents = self.scan.extents([*raws, *shares])
        newest = {topic: _time(at_ms) for topic, at_ms in self.scan.newest_ms([*raws, *shares]).items()}
        running = processes(self.settings.home)
        says = figures(each for each in running if each.component == "exchange" and each.running)
        progress, polls = self._progress()
        exchanged = self.scan.committed(self.topics.exchange_group, raws)
        unread = self._unread(raws, extents, exchanged)
        oldest = self._oldest(unread)
        rejects, discrepancies = self._rejects(), self._discrepancies()
        waiting: Counter[str] = Counter()
        for (topic, _), (_, number) in unread.items():
            waiting[topic] += number
        written = {topic for (topic, _), extent in extents.items() if extent.end}
        datasets = tuple(
            replace(
                self._dataset(dataset, written, newest, waiting, oldest, rejects, polls, says),
                discrepancies=discrepancies[dataset.id],
            )
            for dataset in catalogue.datasets.values()
        )
        return Facts(
            now=datetime.now(UTC),
            revision=self.revision.number,
            applied_at=self.revision.applied_at,
            catalogue=catalogue,
            datasets=datasets,
            views=self._views(views, extents, newest, progress),
            processes=tuple(ProcessFacts(each.name, each.component, each.address, readiness(each)) for each in running),
        )

    def _dataset(
        self,
        dataset: Dataset,
        written: set[str],
        newest: Mapping[str, datetime],
        waiting: Counter[str],
        oldest: Mapping[str, datetime],
        rejects: Counter[str],
        polls: Mapping[str, list[Poll]],
        says: Figures,
    ) -> DatasetFacts:
        topic = self.topics.raw(dataset.id)
        p50, p99 = (says.quantile(at, "govbus_exchange_delay_seconds", dataset=dataset.id) for at in (0.5, 0.99))
        return DatasetFacts(
            dataset=dataset.id,
            title=dataset.title,
            max_age_seconds=dataset.update.max_age_seconds,
            has_topic=topic in self.scan.topics(),
            ever=topic in written,
            newest_at=newest.get(topic),
            unread=waiting[topic],
            oldest_unread_at=oldest.get(topic),
            rejects=rejects[dataset.id],
            polls=tuple(polls.get(dataset.id, ())),
            delay=None if p50 is None or p99 is None else Delay(p50, p99),
        )

    def _unread(
        self, raws: list[str], extents: Mapping[Partition, Extent], exchanged: Mapping[Partition, int]
    ) -> dict[Partition, tuple[int, int]]:
        """Return, per partition of a raw topic that has unread records, the first unread offset and how many."""
        wanted = set(raws)
        found: dict[Partition, tuple[int, int]] = {}
        for each, extent in extents.items():
            first = max(extent.begin, exchanged.get(each, 0))
            if each[0] in wanted and first < extent.end:
                found[each] = first, extent.end - first
        return found

    def _oldest(self, unread: Mapping[Partition, tuple[int, int]]) -> dict[str, datetime]:
        oldest: dict[str, datetime] = {}
        for (topic, _), record in self.scan.first_at({each: first for each, (first, _) in unread.items()}).items():
            at = _time(record.at_ms)
            oldest[topic] = min(at, oldest.get(topic, at))
        return oldest

    def _progress(self) -> tuple[dict[tuple[str, int], ViewProgress], dict[str, list[Poll]]]:
        """Return how far each partition is with each view, and each dataset's last look at each of its sources."""
        last: dict[bytes, bytes] = {}
        for record in self.scan.records(self.topics.progress):
            if record.key is not None and record.value is not None:
                last[record.key] = record.value
        views: dict[tuple[str, int], ViewProgress] = {}
        polls: dict[str, list[Poll]] = {}
        for key, value in last.items():
            kind, _, rest = key.decode().partition("|")
            if kind == "view":
                partition, _, view = rest.partition("|")
                views[view, int(partition)] = ViewProgress.parse(value)
            elif kind == "poll":
                note = json.loads(value)
                at = datetime.fromisoformat(note["at"])
                poll = Poll(note["source"], at, int(note.get("held", 0)), int(note.get("rejected", 0)))
                polls.setdefault(note["dataset"], []).append(poll)
        return views, polls

    def _views(
        self,
        views: list[ShareView],
        extents: Mapping[Partition, Extent],
        newest: Mapping[str, datetime],
        progress: Mapping[tuple[str, int], ViewProgress],
    ) -> dict[str, ViewFacts]:
        topics_of: dict[str, list[str]] = {}
        for view in views:
            topics_of.setdefault(f"{view.subscriber}.{view.ask}", []).append(self.topics.share(view.id))
        delivered = {
            ask: self.scan.committed(self.topics.delivery_group(ask), topics) for ask, topics in topics_of.items()
        }
        found: dict[str, ViewFacts] = {}
        for view in views:
            ask, topic = f"{view.subscriber}.{view.ask}", self.topics.share(view.id)
            partitions = self.scan.topics().get(topic, ())
            ends = {(topic, number): extents[topic, number].end for number in partitions}
            wanted = view_fingerprint(view, self.revision)
            states = [progress[view.id, number] for _, number in ends if (view.id, number) in progress]
            positions = {each: delivered[ask][each] for each in ends if each in delivered[ask]}
            found[view.id] = ViewFacts(
                partitions=len(ends),
                sent_partitions=sum(each.before is None and each.now.fingerprint == wanted for each in states),
                changing_partitions=sum(each.before is not None for each in states),
                has_topic=bool(ends),
                newest_at=newest.get(topic),
                undelivered=_undelivered(ends, positions),
            )
        return found

    def _rejects(self) -> Counter[str]:
        """Return how many rejects of each dataset are kept."""
        found: Counter[str] = Counter()
        for department in self.catalogue.departments:
            for record in self.scan.records(self.topics.reject(department)):
                found[record.headers.get("dataset", b"").decode("utf-8", "replace")] += 1
        return found

    def _discrepancies(self) -> Counter[str]:
        """Return how many discrepancies are open of each dataset, as the one that reports something else."""
        open_keys: set[bytes] = set()
        for record in self.scan.records(self.topics.discrepancy):
            if record.key is not None:
                (open_keys.discard if record.value is None else open_keys.add)(record.key)
        return Counter(key.rpartition(SEPARATOR_BYTE)[2].decode() for key in open_keys)


def _undelivered(ends: Mapping[Partition, int], positions: Mapping[Partition, int]) -> int | None:
    if not positions:
        return None
    return sum(max(0, end - positions.get(each, 0)) for each, end in ends.items())


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
