"""The facts behind `govbus trace`: what stands in Kafka about one record, or one entity, and about one ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from govbus.catalogue.views import share_views
from govbus.codec.projection import Unmaskable
from govbus.codec.reader import RecordReader
from govbus.errors import SettingsError
from govbus.exchange.compiled import CompiledDataset, CompiledView, Writer
from govbus.exchange.fingerprints import view_fingerprint
from govbus.exchange.golden import Absence, CompiledGolden
from govbus.exchange.held import Held
from govbus.exchange.progress import NOTHING_SENT, ViewProgress, key_of
from govbus.kafka.pseudonym_keys import read_key
from govbus.kafka.revisions import Revision
from govbus.kafka.settings import Settings
from govbus.ops.entity_held import EntityHeld, HeldReport, compiled_golden, known_writer, said_of
from govbus.ops.topic_scan import Record, TopicScan
from govbus.ops.trace_rows import RowTests, Unmet
from govbus.ops.trace_verdict import Absent, Deleted, Facts, Place, Present, RejectCount, Standing
from govbus.rules.mask import Pseudonym
from govbus.rules.record_key import partition_of, subject_of
from govbus.rules.share import ShareView


class Look:
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
        """Return what stands there. Raises `Unavailable` where the servers do not answer."""
        view = next(
            (each for each in share_views(self.revision.catalogue) if each.id == f"{self.ask}/{self.dataset}"), None
        )
        facts = Facts(
            view=view,
            asked_until=self.revision.catalogue.asks[self.ask].until,
            now=datetime.now(UTC),
            revision=self.revision.number,
        )
        if not isinstance(view, ShareView):
            return facts
        return self._through(view, self._of_the_view(facts, view))

    def _through(self, view: ShareView, facts: Facts) -> Facts:
        """Return *facts* with those about the record or entity itself."""
        raise NotImplementedError

    def _of_the_view(self, facts: Facts, view: ShareView) -> Facts:
        last = self._last(self.topics.progress, self.partition, key_of(self.partition, view.id))
        progress = NOTHING_SENT if last is None or last.value is None else ViewProgress.parse(last.value)
        fingerprint = view_fingerprint(view, self.revision)
        return replace(
            facts,
            view_revision=progress.now.revision,
            view_is_changing=progress.before is not None,
            view_is_present=progress.before is None and progress.now.fingerprint == fingerprint,
        )

    def _compiled(self, view: ShareView, writers: Mapping[int, Writer], newest: RecordReader) -> CompiledView | str:
        """Return the view ready to show what is held, or why it cannot be had here."""
        secret = None
        if not view.key_in_clear or any(isinstance(mask, Pseudonym) for _, mask in view.fields):
            name = f"{view.subscriber}.{view.purpose}"
            try:
                secret = read_key(self.settings, name, self.revision.pseudonym_keys[name])
            except SettingsError as error:
                return str(error)
        return CompiledView(
            view,
            topic=self.topics.share(view.id),
            schema_id=self.revision.view_schema_ids[view.id],
            writers=writers,
            newest=newest,
            pseudonym_key=secret,
            partitions=self.city.partitions,
            fingerprint=view_fingerprint(view, self.revision),
        )

    def _sent(self, facts: Facts, shown: CompiledView) -> tuple[Facts, Record | None]:
        """Return *facts* with those of the share topic, and the last record under the key there."""
        key, partition = shown.address(self.key, self.partition)
        sent = self._last(shown.topic, partition, key)
        group = self.topics.delivery_group(self.ask)
        has_sink = self.revision.catalogue.asks[self.ask].delivery.get("kind") != "topic"
        position = self.scan.committed(group, [shown.topic]).get((shown.topic, partition))
        standing: Standing = Absent()
        if sent is not None:
            place = _place(shown.topic, sent)
            standing = Deleted(place) if sent.value is None else Present(place)
        return replace(facts, share=standing, has_sink=has_sink, sink_position=position), sent

    def _last(self, topic: str, partition: int, key: bytes) -> Record | None:
        last = None
        for record in self.scan.records(topic, [partition]):
            if record.key == key:
                last = record
        return last

    def _unread(self, dataset: str) -> tuple[int, int]:
        """Return how many records of the partition wait to be exchanged, and how many of them are of the subject."""
        topic = self.topics.raw(dataset)
        begin = self.scan.committed(self.topics.exchange_group, [topic]).get((topic, self.partition), 0)
        waiting = ours = 0
        for record in self.scan.records(topic, [self.partition], {self.partition: begin}):
            waiting += 1
            ours += record.key is not None and self._is_ours(record.key)
        return waiting, ours

    def _rejects(self, dataset: str) -> tuple[RejectCount, ...]:
        # In every partition: a record may have been put aside because it came on the wrong one.
        times: Counter[tuple[str, str, str]] = Counter()
        last: dict[tuple[str, str, str], int] = {}
        wanted = dataset.encode()
        for record in self.scan.records(self.topics.reject(dataset.partition(".")[0])):
            if record.key is not None and self._is_ours(record.key) and record.headers.get("dataset") == wanted:
                why = (_text(record, "reason"), _text(record, "field"), _text(record, "rule"))
                times[why] += 1
                last[why] = max(record.at_ms, last.get(why, 0))
        return tuple(
            RejectCount(reason, field, number, _time(last[reason, field, rule]), rule)
            for (reason, field, rule), number in times.items()
        )

    def _is_ours(self, key: bytes) -> bool:
        return key == self.key


class RecordLook(Look):
    """A look at a record of a dataset."""

    def _through(self, view: ShareView, facts: Facts) -> Facts:
        compiled = CompiledDataset(self.revision.catalogue.datasets[self.dataset], self.revision)
        topic = self.topics.current(self.dataset)
        found = self._last(topic, self.partition, self.key)
        unread_all, unread = self._unread(self.dataset)
        facts = replace(facts, unread_all=unread_all, unread=unread, rejects=self._rejects(self.dataset))
        held = None
        if found is not None:
            assert found.value is not None
            epoch = int(found.headers.get("epoch", b"0"))
            held = Held.from_current(found.value, epoch, compiled.deleted_frame).record
            place = _place(topic, found)
            facts = replace(facts, current=Deleted(place) if held is None else Present(place))
        writer = None if held is None else known_writer(self.settings, compiled, held)
        if held is not None and writer is not None:
            tests = RowTests(view, writer.reader, compiled.newest)
            try:
                facts = replace(facts, unmet=tests.unmet(held, writer.reader.bounds(held)))
            except Unmaskable:
                return replace(facts, unmaskable=True)
        shown = self._compiled(view, compiled.writers, compiled.newest)
        if isinstance(shown, str):
            return replace(facts, secret_missing=shown)
        facts, sent = self._sent(facts, shown)
        if held is None or writer is None:
            return facts
        try:
            expected = shown.project[held[:5]](held, writer.reader.bounds(held))
        except Unmaskable:
            return replace(facts, unmaskable=True)
        return replace(facts, as_expected=expected is not None and sent is not None and sent.value == expected)


class GoldenLook(Look):
    """A look at an entity in a golden view: at what its datasets hold of it, judged at the present time."""

    def _is_ours(self, key: bytes) -> bool:
        return subject_of(key) == self.key

    def _through(self, view: ShareView, facts: Facts) -> Facts:
        golden = compiled_golden(self.revision, self.dataset.partition(".")[2])
        shown = self._compiled(view, golden.writers, golden.newest)
        if isinstance(shown, CompiledView):
            # Before anything is read: what is taken down of a record is whether the view's conditions hold of it, too.
            golden.add_view(shown)
        held = EntityHeld(self.settings, self.scan, self.revision, golden).of(self.key)
        waiting = [self._unread(each.dataset.id) for each in golden.datasets]
        facts = replace(
            facts,
            current=_newest(golden, held),
            unread_all=sum(everybody for everybody, _ in waiting),
            unread=sum(ours for _, ours in waiting),
            rejects=tuple(reject for each in golden.datasets for reject in self._rejects(each.dataset.id)),
        )
        if isinstance(shown, str):
            return replace(facts, secret_missing=shown)
        facts, sent = self._sent(facts, shown)
        said = said_of(held)
        evaluation = golden.evaluate(said, int(facts.now.timestamp() * 1_000_000))
        found = golden.shown_or_absent(view.id, self.key, evaluation, said)
        match found:
            case Absence.NO_ENTITY:
                return facts
            case Absence.NO_SOURCE:
                return replace(facts, no_source=True)
            case Absence.UNMASKABLE:
                return replace(facts, unmaskable=True)
            case Absence.ROW_CONDITION:
                return replace(facts, unmet=self._unmet(view, golden, held))
        return replace(facts, as_expected=sent is not None and sent.value == found)

    def _unmet(self, view: ShareView, golden: CompiledGolden, held: list[HeldReport]) -> tuple[Unmet, ...]:
        said = said_of(held)
        evaluation = golden.evaluate(said, int(datetime.now(UTC).timestamp() * 1_000_000))
        assert evaluation is not None
        withheld = golden.withheld_sources(view.id, said)
        sources = {evaluation.elements[number].source for number in golden.views[view.id].asked}
        found: dict[Unmet, None] = {}
        conditions = dict(view.source_rows)
        for number in sorted(withheld & {source for source in sources if source is not None}):
            bound, record = golden.datasets[number].dataset, held[number].record
            assert record is not None
            assert record.value is not None
            own = replace(view, fields=(), grant_rows=conditions[bound.id], ask_rows=None, source_rows=())
            value, bounds = bound.in_newest(record.value)
            for each in RowTests(own, bound.newest, bound.newest).unmet(value, bounds):
                found[replace(each, source=bound.id)] = None
        golden_record = golden.record(self.key, evaluation, said, withheld)
        tests = RowTests(view, golden.newest, golden.newest)
        return (*found, *tests.unmet(golden_record, golden.newest.bounds(golden_record)))


def _newest(golden: CompiledGolden, held: list[HeldReport]) -> Standing:
    """Return the newest of the records that say something of the entity; the newest deletion where none does."""
    found: dict[bool, Place] = {}
    for bound, each in zip(golden.datasets, held, strict=True):
        if each.record is not None:
            place, live = _place(bound.dataset.current_topic, each.record), each.said is not None
            if live not in found or place.at > found[live].at:
                found[live] = place
    if True in found:
        return Present(found[True])
    return Deleted(found[False]) if found else Absent()


def _place(topic: str, record: Record) -> Place:
    return Place(topic, record.partition, record.offset, _time(record.at_ms))


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _text(record: Record, header: str) -> str:
    return record.headers.get(header, b"").decode("utf-8", "replace")
