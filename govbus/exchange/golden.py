"""The golden view of one entity, compiled: which fields are reports, how values compare, what is sent.

Values of elements travel as bytes: a golden record is spliced from its sources' slices, and only what is compared is
decoded. `govbus.rules.crosscheck` judges; here its answers become records of ``golden.ENTITY`` and ``discrepancy``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from govbus.catalogue.golden import GOLDEN, Binding, bindings, elements_of
from govbus.catalogue.model import Authority, Dataset, Element, seconds
from govbus.codec.element import decoder, encoded_text, present_type, shown, text_of
from govbus.codec.framing import header
from govbus.codec.projection import Unmaskable
from govbus.codec.reader import Bounds, RecordReader
from govbus.codec.row_test import RowTest
from govbus.codec.schemas import AvroType, record_schema
from govbus.codec.structure import Structure
from govbus.codec.walk import read_time, write_long, write_time
from govbus.exchange.compared import Copy, comparison_of
from govbus.exchange.compiled import CompiledDataset, CompiledView, Writer
from govbus.exchange.fingerprints import golden_fingerprint
from govbus.kafka.revisions import Revision
from govbus.rules.condition import Condition, tests
from govbus.rules.crosscheck import Claim, Discrepancy, ElementRule, Evaluation, Report, Standing, evaluate
from govbus.rules.formats import FORMATS

CYCLE_SECONDS = {
    "realtime": 300,
    "daily": 86_400,
    "weekly": 7 * 86_400,
    "monthly": 31 * 86_400,
    "quarterly": 92 * 86_400,
    "yearly": 366 * 86_400,
}
LEAST_GRACE_SECONDS, MOST_GRACE_SECONDS = 15 * 60, 45 * 86_400
_STANDINGS = {standing: encoded_text(standing) for standing in Standing}


class Said(NamedTuple):
    """One dataset's report on an entity as it is held. `key`: of the record it comes from, empty where the subject is
    the whole key. `released`: of which views' conditions the record holds, a bit for each.
    """

    report: Report
    key: bytes
    released: int


class Absence(StrEnum):
    """Why a share view of a golden view has nothing of an entity."""

    NO_ENTITY = "no_entity"
    NO_SOURCE = "no_source"
    ROW_CONDITION = "row_condition"
    UNMASKABLE = "unmaskable"


class BoundDataset:
    """A dataset that reports on an entity: where its bound fields lie, and what else of a record plays a part."""

    def __init__(self, number: int, dataset: CompiledDataset, grace_seconds: int) -> None:
        self.number = number
        self.dataset = dataset
        self.encoded_id = encoded_text(dataset.id)
        self.grace_micros = grace_seconds * 1_000_000
        self.single = dataset.separators == 0
        self.paths: list[str] = []
        self.optional: list[bool] = []
        self.types: list[AvroType] = []
        self._slots: list[int] = []
        self._conditions: list[tuple[Condition, Callable[[bytes, Bounds], bool]]] = []

    def position(self, path: str) -> int:
        """Return where the value at *path* stands in a report; it is read from now on."""
        if path not in self.paths:
            slot = self.dataset.newest.slot_of(path)
            inner, optional = present_type(self.dataset.newest.slots[slot].type)
            self.paths.append(path)
            self._slots.append(slot)
            self.types.append(inner)
            self.optional.append(optional)
        return self.paths.index(path)

    def condition(self, condition: Condition) -> int:
        """Return the bit that says whether *condition* holds of the record."""
        for number, (known, _) in enumerate(self._conditions):
            if known == condition:
                return number
        self._conditions.append((condition, _row_test(self.dataset.newest, condition)))
        return len(self._conditions) - 1

    def said(self, stored_epoch: int, record: bytes, key: bytes) -> Said:
        """Return the report that *record*, held under *key*, makes."""
        record, bounds = self.dataset.in_newest(record)
        values: list[bytes | None] = []
        for slot, optional in zip(self._slots, self.optional, strict=True):
            value = record[bounds[slot] : bounds[slot + 1]]
            if optional:
                values.append(None if value[0] == 0 else value[1:])
            else:
                values.append(value)
        released = 0
        for bit, (_, holds) in enumerate(self._conditions):
            released |= holds(record, bounds) << bit
        report = Report(tuple(values), stored_epoch, read_time(record, bounds[0]), read_time(record, bounds[1]))
        return Said(report, b"" if self.single else key, released)

    def tested(self) -> list[str]:
        """Return the conditions in the order of their bits, as text that is equal for equal ones."""
        return [repr(condition) for condition, _ in self._conditions]

    def watched(self) -> list[int]:
        """Return the slots whose change may change a report."""
        tested = {slot for condition, _ in self._conditions for slot in _tested_slots(self.dataset.newest, condition)}
        return sorted({*self._slots, *tested})


class GoldenView:
    """A share view of golden records: which datasets' elements it withholds by their grants' conditions."""

    def __init__(self, view: CompiledView, conditions: Mapping[int, int], asked: frozenset[int]) -> None:
        self.view = view
        self.conditions = conditions
        """Per source dataset the bit of its condition."""
        self.asked = asked
        """The elements it shows something of."""


class CompiledGolden:
    """The golden and the discrepancy view of one entity, ready to be evaluated."""

    def __init__(self, dataset: Dataset, revision: Revision, datasets: Mapping[str, CompiledDataset]) -> None:
        catalogue = revision.catalogue
        self.id = dataset.id
        self.entity = dataset.id.removeprefix(f"{GOLDEN}.")
        declared = catalogue.vocabulary.entities[self.entity]
        self.is_id = FORMATS[declared.format].is_canonical
        self.topic = revision.topics.golden(dataset.id)
        self.discrepancy_topic = revision.topics.discrepancy
        schema_id = revision.golden_schema_ids[dataset.id]
        self.frame = header(schema_id)
        assert revision.discrepancy_schema_id is not None
        self.discrepancy_frame = header(revision.discrepancy_schema_id)
        self.incident_topic = revision.topics.incident
        self.incident_frame = None if revision.incident_schema_id is None else header(revision.incident_schema_id)
        schema = record_schema(dataset.avro)
        self.newest = RecordReader(schema)
        self.writers = {
            schema_id: Writer(
                schema_id, self.newest, self.newest.bounds, lambda _v, _b: b"", lambda _v, _b: None, Structure((), {})
            )
        }
        elements = elements_of(catalogue, self.entity)
        bound = [each for each in bindings(catalogue, self.entity) if each.element.partition(".")[2] in elements]
        names = sorted({each.dataset for each in bound})
        self.datasets = [
            BoundDataset(number, datasets[name], _grace(catalogue.datasets[name])) for number, name in enumerate(names)
        ]
        self.number_of = {name: number for number, name in enumerate(names)}
        self.names = list(elements)
        self.elements = list(elements.values())
        self._entries = {
            (each.dataset, each.path): catalogue.datasets[each.dataset].fields[each.path] for each in bound
        }
        self._vocabulary = catalogue.vocabulary
        self.rules = [
            self._rule(name, element, [each for each in bound if each.element == f"{self.entity}.{name}"])
            for name, element in elements.items()
        ]
        self.views: dict[str, GoldenView] = {}
        """Its share views, under their ids."""
        self.fingerprint = golden_fingerprint(self.entity, revision)

    def _rule(self, name: str, element: Element, bound: Sequence[Binding]) -> ElementRule:
        claims, reports = [], []
        copies: dict[int, Copy] = {}
        for each in bound:
            of = self.datasets[self.number_of[each.dataset]]
            position = of.position(each.path)
            reports.append((of.number, position))
            copies[of.number] = self._copy(each, of.types[position], element)
            if isinstance(each.authority, Authority):
                claims.append(Claim(of.number, position, of.position(each.authority.by), each.authority.divisions))
            elif each.authority:
                claims.append(Claim(of.number, position))
        grace = None if element.grace is None else seconds(element.grace) * 1_000_000
        return ElementRule(
            name=name,
            claims=tuple(claims),
            reports=tuple(reports),
            compare={
                (claim.dataset, reporter): comparison_of(element.comparator, copies[claim.dataset], copies[reporter])
                for claim in claims
                for reporter, _ in reports
            },
            grace_micros=[each.grace_micros if grace is None else grace for each in self.datasets],
        )

    def _copy(self, bound: Binding, avro_type: AvroType, element: Element) -> Copy:
        """Return how the field's bytes are read for comparing: codes in the element's list, numbers in its unit."""
        entry = self._entries[bound.dataset, bound.path]
        foreign = entry.codes is not None and entry.codes != element.codes
        code_map = self._vocabulary.code_maps.get(entry.codes or "") if foreign else None
        return Copy(decoder(avro_type), None if code_map is None else code_map.codes, entry.unit)

    def add_view(self, view: CompiledView) -> None:
        """Serve *view*, a share view of this golden view."""
        conditions = {
            self.number_of[name]: self.datasets[self.number_of[name]].condition(condition)
            for name, condition in view.view.source_rows
            if name in self.number_of
        }
        shown_elements = {path.partition(".")[0] for path, _ in view.view.fields}
        asked = frozenset(number for number, name in enumerate(self.names) if name in shown_elements)
        self.views[view.view.id] = GoldenView(view, conditions, asked)

    @property
    def said_version(self) -> str:
        """What differs wherever what is held of reports could: the golden view, and the conditions tested of records.

        Ask for it once all views are added. Views come and go while the golden view itself stays what it is.
        """
        conditions = json.dumps([[each.dataset.id, each.tested()] for each in self.datasets], ensure_ascii=False)
        return f"{self.fingerprint} {hashlib.sha256(conditions.encode()).hexdigest()[:16]}"

    def watch(self) -> None:
        """Have the bound datasets hand on what may change their reports. Call it once all views are added."""
        for each in self.datasets:
            each.dataset.watched = tuple(each.watched())

    def know_schemas(self, datasets: Mapping[str, CompiledDataset]) -> None:
        """Learn the schemas that *datasets*, those of a later revision, have records of."""
        for each in self.datasets:
            present = datasets.get(each.dataset.id)
            if present is None or present is each.dataset:
                continue
            for schema_id, writer in present.writers.items():
                if schema_id not in each.dataset.writers:
                    each.dataset.add_writer(schema_id, writer.reader.schema)

    # --- evaluation -------------------------------------------------------------------------------------------------

    def evaluate(self, said: Sequence[Said | None], clock_micros: int) -> Evaluation | None:
        """Return what the reports amount to; None where there is none, so that there is no such entity."""
        if not any(said):
            return None
        return evaluate(self.rules, [None if each is None else each.report for each in said], clock_micros, text_of)

    def record(
        self,
        subject: bytes,
        evaluation: Evaluation,
        said: Sequence[Said | None],
        withheld: frozenset[int] = frozenset(),
    ) -> bytes:
        """Return the framed golden record of *subject*; elements whose source is in *withheld* show nothing."""
        parts: list[bytes] = []
        newest = changed = 0
        for judged in evaluation.elements:
            source = None if judged.source is None else said[judged.source]
            if judged.source is None or source is None or judged.source in withheld:
                standing = judged.standing if judged.source is None else Standing.UNVERIFIED
                parts += [b"\x00", _STANDINGS[standing], b"\x00\x00\x00"]
                continue
            report = source.report
            newest, changed = max(newest, report.version), max(changed, report.changed_at)
            parts += [
                b"\x00" if judged.value is None else b"\x02" + judged.value,
                _STANDINGS[judged.standing],
                self.datasets[judged.source].encoded_id,
                write_time(report.version),
                write_time(report.changed_at),
            ]
        head = [self.frame, write_time(newest), write_time(changed), write_long(len(subject)), subject]
        return b"".join(head + parts)

    def content(self, evaluation: Evaluation) -> object:
        """Return what must differ between two evaluations for the golden record to be sent again."""
        return self.frame, [
            (None if each.source is None else self.datasets[each.source].dataset.id, each.value, each.standing)
            for each in evaluation.elements
        ]

    def shown(
        self, view_id: str, subject: bytes, evaluation: Evaluation | None, said: Sequence[Said | None]
    ) -> bytes | None:
        """Return the share value that the view has of *subject*, or None where it has nothing of it."""
        found = self.shown_or_absent(view_id, subject, evaluation, said)
        return None if isinstance(found, Absence) else found

    def shown_or_absent(
        self, view_id: str, subject: bytes, evaluation: Evaluation | None, said: Sequence[Said | None]
    ) -> bytes | Absence:
        """Return the share value that the view has of *subject*, or why it has nothing of it."""
        if evaluation is None:
            return Absence.NO_ENTITY
        view, withheld = self.views[view_id], self.withheld_sources(view_id, said)
        sources = {evaluation.elements[number].source for number in view.asked}
        if not any(source is not None and source not in withheld for source in sources):
            return Absence.NO_SOURCE if sources <= {None} else Absence.ROW_CONDITION
        record = self.record(subject, evaluation, said, withheld)
        try:
            shown = view.view.project[self.frame](record, self.newest.bounds(record))
        except Unmaskable:
            return Absence.UNMASKABLE
        return Absence.ROW_CONDITION if shown is None else shown

    def withheld_sources(self, view_id: str, said: Sequence[Said | None]) -> frozenset[int]:
        """Return the datasets whose record their grant's row condition keeps back: as sources they show nothing."""
        withheld = set()
        for number, bit in self.views[view_id].conditions.items():
            of = said[number]
            if of is not None and not of.released >> bit & 1:
                withheld.add(number)
        return frozenset(withheld)

    def discrepancy(
        self, subject: bytes, place: tuple[int, int], found: Discrepancy, said: Sequence[Said | None]
    ) -> bytes:
        """Return the framed record of one discrepancy; *place* is the element's number and the reporting dataset."""
        element, reporter = self.elements[place[0]], self.datasets[place[1]]
        source = self.datasets[found.source]
        position = dict(self.rules[place[0]].reports)
        texts = [
            shown(decoder(of.types[position[of.number]])(value))
            for of, value in ((source, found.value), (reporter, found.said))
        ]
        versions = [of.report.version if of is not None else 0 for of in (said[source.number], said[reporter.number])]
        name = element.comparator if isinstance(element.comparator, str) else next(iter(element.comparator))
        return b"".join(
            [
                self.discrepancy_frame,
                encoded_text(self.entity),
                write_long(len(subject)) + subject,
                encoded_text(f"{self.entity}.{self.names[place[0]]}"),
                encoded_text(source.dataset.id),
                encoded_text(reporter.dataset.id),
                *map(encoded_text, texts),
                *map(write_long, versions),
                encoded_text(name),
                encoded_text(found.comparison.result),
                encoded_text(found.comparison.reason),
                encoded_text(element.severity),
                write_long(found.since),
            ]
        )

    def discrepancy_content(self, place: tuple[int, int], found: Discrepancy) -> object:
        """Return what must differ between two discrepancies of one key for the record to be sent again."""
        element, source = self.elements[place[0]], self.datasets[found.source].dataset.id
        return self.discrepancy_frame, source, found.value, found.said, found.comparison, element.severity

    def discrepancy_key(self, subject: bytes, place: tuple[int, int]) -> bytes:
        """Return the key of one discrepancy: entity id, element, reporting dataset."""
        element = f"{self.entity}.{self.names[place[0]]}"
        return b"\x1f".join([subject, element.encode(), self.datasets[place[1]].dataset.id.encode()])


def _grace(dataset: Dataset) -> int:
    """Return for how many seconds a dataset may lag: one and a half of its cycle, between 15 minutes and 45 days."""
    cycle = CYCLE_SECONDS.get(dataset.update.cycle, dataset.update.max_age_seconds)
    return min(MOST_GRACE_SECONDS, max(LEAST_GRACE_SECONDS, cycle * 3 // 2))


def _row_test(reader: RecordReader, condition: Condition) -> Callable[[bytes, Bounds], bool]:
    names: dict[str, Any] = {}

    def span(path: str) -> tuple[str, AvroType]:
        first, end = reader.spans[path]
        kind: AvroType = reader.slots[first].type if end == first + 1 else "record"
        return f"v[b[{first}]:b[{end}]]", kind

    expression = RowTest(names, span).is_true(condition)
    exec(compile(f"def holds(v, b): return {expression}", "<row condition of a source>", "exec"), names)
    holds: Callable[[bytes, Bounds], bool] = names["holds"]
    return holds


def _tested_slots(reader: RecordReader, condition: Condition) -> set[int]:
    return {slot for test in tests(condition) for slot in range(*reader.spans[test.path])}
