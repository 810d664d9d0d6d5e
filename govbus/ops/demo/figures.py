"""The demo's figures, each read back from where it is true: topics, subscribers' own stores, the worker's metrics."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from govbus.catalogue.delivery import FileDelivery, PostgresDelivery, parse_delivery, table_name
from govbus.catalogue.golden import bindings
from govbus.catalogue.model import Catalogue
from govbus.catalogue.views import share_views
from govbus.delivery.run import DELIVERED
from govbus.exchange.counting import STATE_SECONDS
from govbus.health import processes
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.scrape import Figures, figures
from govbus.ops.topic_scan import TopicScan
from govbus.rules.crosscheck import AGREEING, COMPARABLE
from govbus.rules.record_key import SEPARATOR
from govbus.rules.share import ShareView

LOOK_SECONDS = 0.5


@dataclass(slots=True)
class DatasetRow:
    """One dataset: records published, what the worker made of them, and rows refused, by reason and by whom."""

    dataset: str
    published: int = 0
    accepted: int = 0
    duplicate: int = 0
    stale: int = 0
    refused_by_adapter: Counter[str] = field(default_factory=Counter)
    rejected_by_bus: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class AskRow:
    """One dataset of one ask: rows its subscriber holds (and where that was counted), and what was sent."""

    ask: str
    dataset: str
    held: int
    held_in: str
    upserted: int
    retracted: int
    unchanged: int
    withheld: int


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One element as one dataset reports it: entities that agree with the source, of those compared, and open
    discrepancies.
    """

    element: str
    title: str
    dataset: str
    agreeing: int
    compared: int
    open: int


class Readings:
    """Reads figures of one city."""

    def __init__(self, settings: Settings, topics: Topics, catalogue: Catalogue, scan: TopicScan) -> None:
        self._settings, self._topics, self._catalogue, self._scan = settings, topics, catalogue, scan

    def worker(self) -> Figures:
        """Return what the workers on this machine have counted since they started."""
        return figures(each for each in processes(self._settings.home) if each.component == "exchange" and each.running)

    def datasets(self, worker: Figures) -> list[DatasetRow]:
        """Return a row per dataset."""
        rows = {dataset: DatasetRow(dataset) for dataset in self._catalogue.datasets}
        for (topic, _), extent in self._scan.extents(map(self._topics.raw, rows)).items():
            rows[topic.removeprefix(self._topics.raw(""))].published += extent.end
        for dataset, row in rows.items():
            verdicts = worker.by("verdict", "govbus_exchange_records_total", dataset=dataset)
            row.accepted, row.duplicate, row.stale = (
                int(verdicts.get(each, 0)) for each in ("accepted", "duplicate", "stale")
            )
        for record in self._scan.records(self._topics.progress):
            if record.key is not None and record.key.startswith(b"poll|") and record.value is not None:
                note = json.loads(record.value)
                rows[note["dataset"]].refused_by_adapter.update(note["reasons"])
        for department in self._catalogue.departments:
            for record in self._scan.records(self._topics.reject(department)):
                dataset, reason = (record.headers[name].decode() for name in ("dataset", "reason"))
                rows[dataset].rejected_by_bus[reason] += 1
        return list(rows.values())

    def asks(self, worker: Figures) -> list[AskRow]:
        """Return a row per share view."""
        found = []
        for view in share_views(self._catalogue):
            if not isinstance(view, ShareView):
                continue
            ask = f"{view.subscriber}.{view.ask}"
            outcomes = worker.by("outcome", "govbus_exchange_deliveries_total", ask=ask, dataset=view.dataset)
            held, held_in = self._held(view)
            found.append(
                AskRow(
                    ask=ask,
                    dataset=view.dataset,
                    held=held,
                    held_in=held_in,
                    upserted=int(outcomes.get("upserted", 0)),
                    retracted=int(outcomes.get("retracted", 0)),
                    unchanged=int(outcomes.get("unchanged", 0)),
                    withheld=int(worker.total("govbus_exchange_withheld_total", ask=ask, dataset=view.dataset)),
                )
            )
        return found

    def crosschecks(self) -> list[CheckRow]:
        """Return a row per element and reporting dataset of which anything can be compared.

        The worker tells its figures every few seconds: it is waited for until they are those of the topic, or for three
        times as long.
        """
        on_topic = self._discrepancies()
        deadline = time.monotonic() + 3 * STATE_SECONDS
        while True:
            worker = self.worker()
            rows = [row for row in self._checks(worker) if row.compared]
            told = {(row.element, row.dataset): row.open for row in rows if row.open}
            if told == on_topic or time.monotonic() > deadline:
                return rows
            time.sleep(LOOK_SECONDS)

    def _checks(self, worker: Figures) -> Iterator[CheckRow]:
        vocabulary = self._catalogue.vocabulary
        for entity in vocabulary.entities:
            for bound in bindings(self._catalogue, entity):
                labels = {"element": bound.element, "dataset": bound.dataset}
                by = worker.by("result", "govbus_crosscheck_reports", **labels)
                yield CheckRow(
                    element=bound.element,
                    title=vocabulary.elements[bound.element].title,
                    dataset=bound.dataset,
                    agreeing=int(sum(by.get(result, 0) for result in AGREEING)),
                    compared=int(sum(by.get(result, 0) for result in COMPARABLE)),
                    open=int(worker.total("govbus_crosscheck_discrepancies", **labels)),
                )

    def _discrepancies(self) -> Counter[tuple[str, str]]:
        """Return how many discrepancies stand in the topic, per element and reporting dataset."""
        live: set[bytes] = set()
        for record in self._scan.records(self._topics.discrepancy):
            if record.key is not None:
                (live.discard if record.value is None else live.add)(record.key)
        parts = (key.decode().split(SEPARATOR) for key in live)
        return Counter((element, dataset) for _, element, dataset in parts)

    def _held(self, view: ShareView) -> tuple[int, str]:
        delivery = parse_delivery(self._catalogue.asks[f"{view.subscriber}.{view.ask}"].delivery)
        if isinstance(delivery, PostgresDelivery):
            query = sql.SQL("SELECT count(*) FROM {}.{}").format(
                sql.Identifier(delivery.schema_), sql.Identifier(table_name(view.dataset))
            )
            with psycopg.connect(self._settings.need_postgres_url()) as database:
                row = database.execute(query).fetchone()
                assert row is not None
                return int(row[0]), "Postgres"
        if isinstance(delivery, FileDelivery):
            return self._in_snapshot(view, self._settings.home / DELIVERED / delivery.folder), "files"
        return len(self.live_keys(view)), "topic"

    @staticmethod
    def _in_snapshot(view: ShareView, folder: Path) -> int:
        """Return how many rows the newest snapshot among the subscriber's files holds."""
        for manifest in sorted(folder.glob("*/manifest.json"), reverse=True):
            snapshot = json.loads(manifest.read_text())["datasets"].get(view.dataset, {}).get("snapshot")
            if snapshot is not None:
                return int(snapshot["rows"])
        return 0

    def live_keys(self, view: ShareView) -> set[bytes]:
        """Return the keys that stand in the view's share topic, retracted ones left out."""
        live: set[bytes] = set()
        for record in self._scan.records(self._topics.share(view.id)):
            if record.key is not None:
                (live.discard if record.value is None else live.add)(record.key)
        return live


def delays(worker: Figures) -> tuple[float, float] | None:
    """Return p50 and p99 in seconds from publish to share topic over all datasets; None where nothing was sent."""
    p50, p99 = (worker.quantile(share, "govbus_exchange_delay_seconds") for share in (0.5, 0.99))
    return None if p50 is None or p99 is None else (p50, p99)


def reasons(counts: Mapping[str, int]) -> str:
    """Return *counts* in words, the most frequent first."""
    return ", ".join(f"{number:,} {reason}" for reason, number in sorted(counts.items(), key=lambda each: -each[1]))
