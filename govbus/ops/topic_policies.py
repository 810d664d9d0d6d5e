"""Every topic that a catalogue needs, with its partitions and configuration: the table behind `govbus apply`.

raw, reject and tick are kept by time and dated by the broker; current and progress are the worker's changelogs; share
topics are compacted and also "deleted" with endless retention, because only such a topic takes DeleteRecords, by which
withdrawn fields go at once. The catalogue is kept for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from govbus.catalogue.golden import golden_datasets
from govbus.catalogue.model import Catalogue, City, seconds
from govbus.catalogue.topics import Topics
from govbus.catalogue.views import share_views
from govbus.kafka.revisions import MAX_REVISION_BYTES
from govbus.rules.share import ShareView

ENVELOPE_BYTES = 64 * 1024
"""What key, headers and batch add to a record at most."""

TICK_RETENTION_SECONDS = 86_400
"""Ticks are read as they come; a day of them serves whoever looks for what happened."""

FOR_EVER = "-1"


@dataclass(frozen=True)
class TopicPolicy:
    """How one topic is made. `config` holds what `apply` sets and keeps; everything else is the cluster's default."""

    partitions: int
    replication_factor: int
    config: Mapping[str, str] = field(default_factory=dict)


def topic_policies(catalogue: Catalogue) -> dict[str, TopicPolicy]:
    """Return the policy of every topic that *catalogue* needs, by name."""
    city, topics = catalogue.city, Topics(catalogue.city.topic_prefix)
    policies = {
        topics.catalogue: _policy(city, _kept(FOR_EVER), partitions=1, max_bytes=MAX_REVISION_BYTES),
        topics.progress: _policy(city, _compacted(city)),
        topics.tick: _policy(city, _kept(_milliseconds(TICK_RETENTION_SECONDS))),
    }
    for department in catalogue.departments:
        policies[topics.reject(department)] = _policy(city, _kept(_milliseconds(seconds(city.reject_retention))))
    for dataset in catalogue.datasets.values():
        retention = seconds(dataset.retention or city.raw_retention)
        policies[topics.raw(dataset.id)] = _policy(city, _kept(_milliseconds(retention)))
        policies[topics.current(dataset.id)] = _policy(city, _compacted(city))
    for golden in golden_datasets(catalogue):
        for topic in (topics.golden(golden), topics.discrepancy, topics.incident):
            policies[topic] = _policy(city, _compacted(city))
    for view in share_views(catalogue):
        if isinstance(view, ShareView):
            policies[topics.share(view.id)] = _policy(city, _shared(city))
    return policies


def _policy(
    city: City, config: Mapping[str, str], *, partitions: int | None = None, max_bytes: int | None = None
) -> TopicPolicy:
    shared = {
        "min.insync.replicas": str(city.min_insync_replicas),
        "max.message.bytes": str((max_bytes or 2 * city.max_record_bytes) + ENVELOPE_BYTES),
    }
    return TopicPolicy(partitions or city.partitions, city.replication_factor, {**config, **shared})


def _kept(retention_milliseconds: str) -> dict[str, str]:
    """By time, as long as the broker received it; size never shortens that."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": retention_milliseconds,
        "retention.bytes": FOR_EVER,
        "message.timestamp.type": "LogAppendTime",
    }


def _compacted(city: City) -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        "delete.retention.ms": _milliseconds(seconds(city.delete_retention)),
        "message.timestamp.type": "LogAppendTime",
    }


def _shared(city: City) -> dict[str, str]:
    """The worker dates share records itself: the source's time, or the hour where keys are pseudonyms."""
    return {
        "cleanup.policy": "compact,delete",
        "retention.ms": FOR_EVER,
        "retention.bytes": FOR_EVER,
        "delete.retention.ms": _milliseconds(seconds(city.delete_retention)),
        "message.timestamp.type": "CreateTime",
    }


def _milliseconds(whole_seconds: int) -> str:
    return str(whole_seconds * 1000)
