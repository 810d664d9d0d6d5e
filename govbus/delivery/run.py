"""The loop of a delivery: read, write, and after any fault that may pass let go of everything and begin anew.

The loop keeps nothing of its own: what was delivered stands beside the delivered rows, so beginning anew is the one way
to recover, whether the database restarted, a topic was cut or a new revision changed the view.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from govbus import metrics
from govbus.catalogue.delivery import FileDelivery, PostgresDelivery, TopicDelivery
from govbus.delivery.file import FileSink
from govbus.delivery.file_format import FileFormat, file_format
from govbus.delivery.file_part import want_snapshot
from govbus.delivery.plan import Plan, known_schema, plan_of
from govbus.delivery.position import TopicLog
from govbus.delivery.postgres import PostgresSink
from govbus.delivery.progress import Lag, Writing
from govbus.delivery.share import Partition, ShareReader
from govbus.delivery.sink import Sink, Written
from govbus.delivery.waiting import PASSING, Wait, wait_of
from govbus.errors import GovbusError, Unavailable
from govbus.health import Health
from govbus.kafka.clients import Fenced
from govbus.kafka.registry import Registry
from govbus.kafka.revisions import latest_revision
from govbus.kafka.settings import Settings
from govbus.kafka.standstill import Standstill
from govbus.kafka.topics import Topics

log = structlog.get_logger()

LOOK_SECONDS = 15.0
"""How often to look for a new revision and for topics that were made again."""

STALLED_SECONDS = 20.0
"""After so long without reading on where there is more, the reader is made anew."""

TOUCH_SECONDS = 60.0
"""How often an idle sink writes down that it is level with its topics."""

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0


class NothingApplied(GovbusError):
    """No catalogue was ever applied to these brokers."""


DELIVERED = "delivered"
"""Under the data folder: the folders of file deliveries."""


class Refused(GovbusError):
    """The subscriber's store refuses in a way that waiting does not help; the text says how."""


class NotOurs(GovbusError):
    """The ask's kind of delivery has no such thing; the text says what it has instead."""


class DeliveredByTopic(NotOurs):
    """The subscriber reads the topics of `plan` itself: there is nothing to run."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(f"{plan.ask.id} is delivered by topic: its subscriber reads Kafka itself, nothing runs here")
        self.plan = plan


class _BeginAnew(Unavailable):
    """The catalogue or a topic changed: not a fault, only a reason to look at everything again."""


@dataclass
class Report:
    """What a delivery did while it ran, by dataset.

    Nothing is delivered of those that are `withheld`, with the reason, `absent` (no topic) or `denied` (no right).
    """

    revision: int = 0
    written: dict[str, Written] = field(default_factory=dict)
    reloads: dict[str, int] = field(default_factory=dict)
    withheld: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)

    def add(self, dataset: str, more: Written) -> None:
        total = self.written.setdefault(dataset, Written())
        total.upserts += more.upserts
        total.deletes += more.deletes
        total.swept += more.swept
        total.undeliverable += more.undeliverable


def deliver(
    settings: Settings,
    topics: Topics,
    subscriber: str,
    ask: str,
    *,
    until_caught_up: bool = False,
    snapshot: bool = False,
    stop: threading.Event | None = None,
    health: Health | None = None,
) -> Report:
    """Deliver *ask* until *stop* is set, or once to the end that its topics have now; return what was done.

    With *snapshot*, files get everything there is once more beside the changes, and the delivery ends there.

    Raises, before anything was delivered, whatever a person has to put right (`UnknownAsk`, `SettingsError`,
    `TableTaken`, `Refused`); later such faults are waited out with a log line. Raises `Fenced` if another sink of this
    ask took over: end the process then.
    """
    delivery = _Delivery(settings, topics, subscriber, ask, stop or threading.Event(), health, Report(), snapshot)
    delivery.run(until_caught_up or snapshot)
    return delivery.report


@dataclass
class _Delivery:
    settings: Settings
    topics: Topics
    subscriber: str
    ask: str
    stop: threading.Event
    health: Health | None
    report: Report
    snapshot: bool = False
    began: bool = False
    lag: Lag = field(init=False)

    def __post_init__(self) -> None:
        self.lag = Lag(self.ask_id)

    @property
    def ask_id(self) -> str:
        return f"{self.subscriber}.{self.ask}"

    def run(self, until_caught_up: bool) -> None:
        wait_seconds = FIRST_WAIT_SECONDS
        while not self.stop.is_set():
            before = sum(each.upserts + each.deletes for each in self.report.written.values())
            try:
                if self._once(until_caught_up):
                    return
            except _BeginAnew as news:
                log.info("delivery begins anew", ask=self.ask_id, why=str(news))
                continue
            except Fenced:
                raise
            except PASSING as error:
                wait = wait_of(error)
                if not self.began and wait.needs_a_person:
                    if isinstance(error, GovbusError):
                        raise
                    raise Refused(f"{self.ask_id} cannot be delivered: {wait.cause}") from error
                if sum(each.upserts + each.deletes for each in self.report.written.values()) > before:
                    wait_seconds = FIRST_WAIT_SECONDS
                self._wait(wait, wait_seconds)
                wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)

    def _wait(self, wait: Wait, seconds: float) -> None:
        metrics.DELIVERY_ERRORS.labels(ask=self.ask_id, reason=wait.reason).inc()
        log.warning("delivery waits", ask=self.ask_id, reason=wait.reason, cause=wait.cause, retry_in_seconds=seconds)
        if self.health is not None:
            self.health.wait_for(wait.waiting)
            self.health.beat()
        self.lag.show_waiting()
        self.stop.wait(seconds)

    def _once(self, until_caught_up: bool) -> bool:
        """Begin and go on; return True at the end of the work, raise where it must begin anew."""
        with ExitStack() as at_end:
            reader = ShareReader(self.settings, self.topics.delivery_group(self.ask_id))
            at_end.callback(reader.close)
            catalogue_end = reader.end_of(self.topics.catalogue)
            registry = Registry(self.settings)
            plan = self._plan(registry)
            logs = reader.logs(each.topic for each in plan.delivered)
            self._list(plan, reader, logs)
            sink = self._sink(plan)
            at_end.callback(sink.close)
            beginning = sink.begin(plan, logs, self._schema_of(plan, registry, reader, catalogue_end))
            self._began(plan, beginning.reloads, beginning.removed)
            reader.assign(beginning.positions, beginning.since)
            if not beginning.positions:
                if until_caught_up:
                    return True
                self._idle(plan, reader, logs, catalogue_end)
            targets = {(topic, p): each.end for topic, found in logs.items() for p, each in found.partitions.items()}
            return self._pump(plan, reader, sink, logs, catalogue_end, targets if until_caught_up else None)

    def _plan(self, registry: Registry) -> Plan:
        revision = latest_revision(self.settings, self.topics)
        if revision is None:
            raise NothingApplied(f"{self.topics.catalogue} holds no revision: run `govbus apply` first")
        return plan_of(revision, registry, self.subscriber, self.ask)

    def _sink(self, plan: Plan) -> Sink[Any]:
        match plan.delivery:
            case PostgresDelivery(schema_=schema):
                if self.snapshot:
                    raise NotOurs(f"{self.ask_id} is delivered into Postgres, whose tables are a snapshot at all times")
                url = self.settings.need_postgres_url()
                return PostgresSink(url, schema, application=f"govbus deliver {self.subscriber} {self.ask}")
            case FileDelivery(format=name, folder=folder):
                return self._file_sink(self.settings.home / DELIVERED / folder, file_format(name))
            case TopicDelivery():
                raise DeliveredByTopic(plan)

    def _file_sink(self, folder: Path, written_as: FileFormat) -> FileSink:
        if self.snapshot:
            want_snapshot(folder)
            self.snapshot = False
        return FileSink(folder, written_as)

    def _list(self, plan: Plan, reader: ShareReader, logs: Mapping[str, TopicLog]) -> None:
        self.report.revision = plan.revision
        self.report.withheld = {each.dataset: each.reason.value for each in plan.withheld}
        missing = [each for each in plan.delivered if each.topic not in logs]
        self.report.absent = [each.dataset for each in missing if each.topic not in reader.denied]
        self.report.denied = [each.dataset for each in missing if each.topic in reader.denied]
        for dataset, reason in self.report.withheld.items():
            log.warning("dataset withheld", ask=self.ask_id, dataset=dataset, reason=reason)
        for dataset in self.report.absent:
            log.warning("share topic missing", ask=self.ask_id, dataset=dataset, what_to_do="govbus apply")

    def _began(self, plan: Plan, reloads: Mapping[str, str], removed: Mapping[str, int]) -> None:
        self.began = True
        datasets = {each.topic: each.dataset for each in plan.delivered}
        for topic, reason in reloads.items():
            metrics.DELIVERY_RELOADS.labels(ask=self.ask_id, dataset=datasets[topic]).inc()
            self.report.reloads[datasets[topic]] = self.report.reloads.get(datasets[topic], 0) + 1
            log.warning("reload begins", ask=self.ask_id, dataset=datasets[topic], reason=reason)
        for dataset, rows in removed.items():
            self._count({dataset: Written(deletes=rows)})
            log.info("withdrawn rows removed", ask=self.ask_id, dataset=dataset, rows=rows)
        if self.health is not None:
            self.health.set_ready(True)

    def _schema_of(
        self, plan: Plan, registry: Registry, reader: ShareReader, catalogue_end: int
    ) -> Callable[[int], dict[str, Any]]:
        look_up = known_schema(registry)
        expected = {each.schema_id for each in plan.delivered}

        def schema_of(schema_id: int) -> dict[str, Any]:
            # `apply` writes the revision before the bus writes by it: take a newer one before its first record.
            if schema_id not in expected and reader.end_of(self.topics.catalogue) != catalogue_end:
                raise _BeginAnew("records of a newer revision arrive")
            return look_up(schema_id)

        return schema_of

    def _pump(
        self,
        plan: Plan,
        reader: ShareReader,
        sink: Sink[Any],
        logs: Mapping[str, TopicLog],
        catalogue_end: int,
        targets: Mapping[Partition, int] | None,
    ) -> bool:
        looked_at = touched_at = time.monotonic()
        # A file would wait for more changes to come; who asked to be brought up to date waits for none.
        hurried = replace(sink.limits, end_when_level=True)
        self.lag.follow(plan, reader)
        standstill = Standstill(STALLED_SECONDS)
        with Writing(sink, self._count, plan.ask.id) as writing:
            while not self.stop.is_set():
                if targets is not None and _reached(reader, targets):
                    writing.settle()
                    if not sink.reloading:
                        break
                hurry = targets is not None or sink.reloading
                batch = reader.batch(hurried if hurry else sink.limits, self.stop)
                if self.health is not None:
                    self.health.beat()
                if not batch and time.monotonic() - touched_at > TOUCH_SECONDS:
                    batch = reader.touch()
                    touched_at = time.monotonic()
                if batch:
                    writing.write(batch)
                if reader.level or not batch:
                    writing.settle()
                    self.lag.show()
                reader.tell_group(writing.positions)
                if time.monotonic() - looked_at > LOOK_SECONDS:
                    self.lag.show()
                    now = self._look(plan, reader, logs, catalogue_end)
                    self._judge(reader, now, standstill, idle=not batch)
                    if sink.asked_anew:
                        raise _BeginAnew("a snapshot was asked for")
                    looked_at = time.monotonic()
            writing.settle()
            reader.tell_group(writing.positions, at_once=True)
        return True

    def _count(self, written: Mapping[str, Written]) -> None:
        for dataset, counts in written.items():
            self.report.add(dataset, counts)
            for operation, rows in (("upsert", counts.upserts), ("delete", counts.deletes + counts.swept)):
                if rows:
                    metrics.DELIVERY_ROWS.labels(ask=self.ask_id, dataset=dataset, operation=operation).inc(rows)
            if counts.undeliverable:
                undeliverable = metrics.DELIVERY_UNDELIVERABLE.labels(ask=self.ask_id, dataset=dataset)
                undeliverable.inc(counts.undeliverable)
                log.error(
                    "rows that the store cannot hold", ask=self.ask_id, dataset=dataset, rows=counts.undeliverable
                )

    def _look(
        self, plan: Plan, reader: ShareReader, logs: Mapping[str, TopicLog], catalogue_end: int
    ) -> Mapping[str, TopicLog]:
        """Return where the logs stand now, where revision and topics are still those that the delivery began with."""
        if reader.end_of(self.topics.catalogue) != catalogue_end:
            raise _BeginAnew("a new revision was applied")
        now = reader.logs(each.topic for each in plan.delivered)
        if {topic: found.topic_id for topic, found in now.items()} != {t: found.topic_id for t, found in logs.items()}:
            raise _BeginAnew("a share topic was deleted or made again")
        return now

    @staticmethod
    def _judge(reader: ShareReader, logs: Mapping[str, TopicLog], standstill: Standstill, *, idle: bool) -> None:
        ends = {(topic, p): each.end for topic, found in logs.items() for p, each in found.partitions.items()}
        for topic, number in standstill.look(reader.positions, ends, idle=idle):
            raise _BeginAnew(f"{topic} partition {number} is not read any more, though there are records")

    def _idle(self, plan: Plan, reader: ShareReader, logs: Mapping[str, TopicLog], catalogue_end: int) -> None:
        """Nothing of the ask can be read: wait for a revision, or a topic, that changes this."""
        while not self.stop.wait(LOOK_SECONDS):
            if self.health is not None:
                self.health.beat()
            self._look(plan, reader, logs, catalogue_end)


def _reached(reader: ShareReader, targets: Mapping[Partition, int]) -> bool:
    """Return whether everything up to *targets* is read, as far as it may be read at all."""
    at = reader.positions
    return all(at[place] >= target or place[0] in reader.denied for place, target in targets.items() if place in at)
