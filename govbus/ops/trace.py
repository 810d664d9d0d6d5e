"""`govbus trace`: reads from Kafka what became of one record on its way to one ask.

The key's partition is known (`partition_of`), so one partition of each topic is read and no more. Nothing here decides
anything about a record by rules of its own: the worker's compiled revision says what a view shows of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import structlog
from rich.console import Console

from govbus.catalogue.model import Catalogue, Dataset
from govbus.catalogue.views import share_views
from govbus.codec.projection import Unmaskable
from govbus.errors import GovbusError, SettingsError
from govbus.exchange.compiled import CompiledDataset, CompiledView, Writer
from govbus.exchange.fingerprints import view_fingerprint
from govbus.exchange.held import Held
from govbus.exchange.progress import NOTHING_SENT, ViewProgress, key_of
from govbus.kafka.pseudonym_keys import read_key
from govbus.kafka.registry import Registry
from govbus.kafka.revisions import Revision, latest_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.topic_scan import Record, TopicScan
from govbus.ops.trace_rows import RowTests
from govbus.ops.trace_verdict import (
    Absent,
    Deleted,
    Facts,
    Place,
    Present,
    RejectCount,
    Standing,
    Trace,
    Verdict,
    verdict_on,
)
from govbus.rules.formats import FORMATS
from govbus.rules.mask import Pseudonym
from govbus.rules.record_key import partition_of, record_key
from govbus.rules.share import ShareView

log = structlog.get_logger()


class UnknownName(GovbusError):
    """A dataset, ask or key that cannot be looked for; the text lists what can."""


def trace(settings: Settings, topics: Topics, dataset: str, key_texts: Sequence[str], ask: str) -> Trace:
    """Return what became of the record under *key_texts* (one text per key field) on its way to *ask*.

    The look is logged, without the key. Raises `UnknownName` for names that the applied catalogue does not have,
    `Unavailable` where the servers do not answer.
    """
    revision = latest_revision(settings, topics)
    if revision is None:
        raise UnknownName(f"nothing is applied: {topics.catalogue} holds no revision; run `govbus apply` first")
    catalogue = revision.catalogue
    if dataset not in catalogue.datasets:
        raise UnknownName(f"there is no dataset {dataset}; there are: {', '.join(catalogue.datasets)}")
    if ask not in catalogue.asks:
        raise UnknownName(f"there is no ask {ask}; there are: {', '.join(catalogue.asks)}")
    key = key_of_texts(catalogue.datasets[dataset], key_texts)
    with TopicScan(settings, f"{topics.prefix}govbus.look") as scan:
        facts = _Look(settings, scan, revision, dataset, key, ask).facts()
    found = verdict_on(facts)
    log.info("record traced", dataset=dataset, ask=ask, verdict=found.verdict.value)
    return found


def key_of_texts(dataset: Dataset, texts: Sequence[str]) -> bytes:
    """Return the record key made of one text per key field, each brought into its field's canonical form.

    Raises `UnknownName`, with the key's fields and never with a text, where they cannot be a key of *dataset*.
    """
    if len(texts) != len(dataset.key):
        titles = ", ".join(f"{path} ({dataset.fields[path].title})" for path in dataset.key)
        raise UnknownName(f"a key of {dataset.id} is {len(dataset.key)} texts: {titles}; {len(texts)} were given")
    parts = []
    for path, text in zip(dataset.key, texts, strict=True):
        declared = dataset.fields[path].format
        try:
            parts.append(FORMATS[declared].canonical(text) if declared else text)
        except ValueError as error:
            raise UnknownName(f"the text given for {path} is no {declared}: {error}") from None
    try:
        return record_key(parts)
    except ValueError as error:
        raise UnknownName(f"this is no key of {dataset.id}: {error}") from None


class _Look:
    """One look at one key: gathers the facts."""

    def __init__(
        self, settings: Settings, scan: TopicScan, revision: Revision, dataset: str, key: bytes, ask: str
    ) -> None:
        self.settings, self.scan, self.revision = settings, scan, revision
        self.dataset, self.key, self.ask = dataset, key, ask
        self.topics = revision.topics
        self.city = revision.catalogue.city
        self.partition = partition_of(key, self.city.partitions)

    def facts(self) -> Facts:
        view = next(
            (each for each in share_views(self.revision.catalogue) if each.id == f"{self.ask}/{self.dataset}"), None
        )
        facts = Facts(
            view=view,
            asked_until=_asked_until(self.revision.catalogue, self.ask),
            now=datetime.now(UTC),
            revision=self.revision.number,
        )
        if not isinstance(view, ShareView):
            return facts
        compiled = CompiledDataset(self.revision.catalogue.datasets[self.dataset], self.revision)
        found = self._last(self.topics.current(self.dataset), self.partition, self.key)
        unread_all, unread = self._unread()
        facts = replace(facts, unread_all=unread_all, unread=unread, rejects=self._rejects())
        held = None
        if found is not None:
            assert found.value is not None
            epoch = int(found.headers.get("epoch", b"0"))
            held = Held.from_current(found.value, epoch, compiled.deleted_frame).record
            place = _place(self.topics.current(self.dataset), found)
            facts = replace(facts, current=Deleted(place) if held is None else Present(place))
        return self._of_the_view(facts, view, compiled, held)

    def _last(self, topic: str, partition: int, key: bytes) -> Record | None:
        last = None
        for record in self.scan.records(topic, [partition]):
            if record.key == key:
                last = record
        return last

    def _unread(self) -> tuple[int, int]:
        topic = self.topics.raw(self.dataset)
        begin = self.scan.committed(self.topics.exchange_group, [topic]).get((topic, self.partition), 0)
        waiting = of_key = 0
        for record in self.scan.records(topic, [self.partition], {self.partition: begin}):
            waiting += 1
            of_key += record.key == self.key
        return waiting, of_key

    def _rejects(self) -> tuple[RejectCount, ...]:
        # In every partition: a record may have been put aside because it came on the wrong one.
        times: Counter[tuple[str, str]] = Counter()
        last: dict[tuple[str, str], int] = {}
        wanted = self.dataset.encode()
        for record in self.scan.records(self.topics.reject(self.dataset.partition(".")[0])):
            if record.key == self.key and record.headers.get("dataset") == wanted:
                why = (_text(record, "reason"), _text(record, "field"))
                times[why] += 1
                last[why] = max(record.at_ms, last.get(why, 0))
        return tuple(RejectCount(*why, number, _time(last[why])) for why, number in times.items())

    def _of_the_view(self, facts: Facts, view: ShareView, compiled: CompiledDataset, held: bytes | None) -> Facts:
        fingerprint = view_fingerprint(view, self.revision)
        progress = self._progress(view)
        facts = replace(
            facts,
            view_revision=progress.now.revision,
            view_is_changing=progress.before is not None,
            view_is_present=progress.before is None and progress.now.fingerprint == fingerprint,
        )
        writer = None if held is None else self._writer(compiled, held)
        if held is not None and writer is not None:
            bounds = writer.reader.bounds(held)
            try:
                facts = replace(facts, unmet=RowTests(view, writer.reader, compiled.newest).unmet(held, bounds))
            except Unmaskable:
                return replace(facts, unmaskable=True)
        try:
            secret = self._secret(view)
        except SettingsError as error:
            return replace(facts, secret_missing=str(error))
        shown = CompiledView(
            view,
            topic=self.topics.share(view.id),
            schema_id=self.revision.view_schema_ids[view.id],
            writers=compiled.writers,
            newest=compiled.newest,
            pseudonym_key=secret,
            partitions=self.city.partitions,
            fingerprint=fingerprint,
        )
        key, partition = shown.address(self.key, self.partition)
        sent = self._last(shown.topic, partition, key)
        group = self.topics.delivery_group(self.ask)
        facts = replace(
            facts,
            share=_standing(shown.topic, sent),
            has_sink=self.revision.catalogue.asks[self.ask].delivery.get("kind") != "topic",
            sink_position=self.scan.committed(group, [shown.topic]).get((shown.topic, partition)),
        )
        if held is None or writer is None:
            return facts
        try:
            expected = shown.project[held[:5]](held, writer.reader.bounds(held))
        except Unmaskable:
            return replace(facts, unmaskable=True)
        return replace(facts, as_expected=expected is not None and sent is not None and sent.value == expected)

    def _progress(self, view: ShareView) -> ViewProgress:
        wanted = key_of(self.partition, view.id)
        last = self._last(self.topics.progress, self.partition, wanted)
        return NOTHING_SENT if last is None or last.value is None else ViewProgress.parse(last.value)

    def _writer(self, compiled: CompiledDataset, held: bytes) -> Writer:
        frame = held[:5]
        if frame not in compiled.by_frame:
            schema_id = int.from_bytes(frame[1:], "big")
            schema = Registry(self.settings).schema(schema_id)
            if schema is None:
                raise SettingsError(f"the registry does not know schema {schema_id}, under which the record is held")
            compiled.add_writer(schema_id, schema)
        return compiled.by_frame[frame]

    def _secret(self, view: ShareView) -> bytes | None:
        if view.key_in_clear and not any(isinstance(mask, Pseudonym) for _, mask in view.fields):
            return None
        name = f"{view.subscriber}.{view.purpose}"
        return read_key(self.settings, name, self.revision.pseudonym_keys[name])


def _asked_until(catalogue: Catalogue, ask: str) -> date:
    return catalogue.asks[ask].until


def _standing(topic: str, record: Record | None) -> Standing:
    if record is None:
        return Absent()
    place = _place(topic, record)
    return Deleted(place) if record.value is None else Present(place)


def _place(topic: str, record: Record) -> Place:
    return Place(topic, record.partition, record.offset, _time(record.at_ms))


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _text(record: Record, header: str) -> str:
    return record.headers.get(header, b"").decode("utf-8", "replace")


_COLOURS = {Verdict.DELIVERED: "green", Verdict.SHARED: "yellow", Verdict.NOT_YET: "yellow"}


def show_trace(found: Trace, dataset: str, ask: str, console: Console) -> None:
    """Show a person what was found."""
    colour = _COLOURS.get(found.verdict, "red")
    verdict = found.verdict.value.replace("_", " ")
    console.print(f"{dataset} → {ask}: [bold {colour}]{verdict}[/]", soft_wrap=True, highlight=False)
    for reason in found.reasons:
        console.print(f"  - {reason}", soft_wrap=True, highlight=False, markup=False)
    if found.what_to_do:
        console.print(f"What to do: {found.what_to_do}", soft_wrap=True, highlight=False, markup=False)


def trace_document(found: Trace, dataset: str, ask: str) -> dict[str, object]:
    """Return the same for a program, ready for JSON."""
    return {
        "dataset": dataset,
        "ask": ask,
        "verdict": found.verdict.value,
        "reasons": list(found.reasons),
        "what_to_do": found.what_to_do,
    }


__all__ = ["UnknownName", "key_of_texts", "show_trace", "trace", "trace_document"]
