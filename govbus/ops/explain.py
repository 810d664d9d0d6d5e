"""`govbus explain`: each element of one entity, where its value comes from, who reports it, why they agree or not.

For an authorised operator: values are shown, so the look is written down first (`govbus.ops.look_book`). Records are
read from ``current`` and judged anew, at the present time, by the worker's own functions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from govbus.catalogue.model import Catalogue, Severity
from govbus.codec.element import decoder, shown
from govbus.exchange.golden import CompiledGolden, Said
from govbus.kafka.revisions import latest_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.entity_held import EntityHeld, HeldReport, UnknownName, compiled_golden, entity_id, said_of
from govbus.ops.look_book import note_look
from govbus.ops.topic_scan import TopicScan
from govbus.rules.comparison import Result
from govbus.rules.crosscheck import OPENING, ElementRule, Evaluation, Judged, Standing


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One dataset's report of an element. `value` is None where it is null.

    `result` is None for the source itself. `until`: up to when a value that lags behind is taken to be merely late.
    """

    dataset: str
    field: str
    value: str | None
    version: int
    changed_at: datetime
    is_source: bool
    result: Result | None
    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ElementLine:
    """One element as it stands; `source` is empty where none speaks of the entity, `note` says what that is due to."""

    element: str
    title: str
    severity: Severity
    standing: Standing
    source: str
    value: str | None
    note: str
    reports: tuple[ReportLine, ...]


@dataclass(frozen=True, slots=True)
class OpenDiscrepancy:
    """A report that disagrees with the source; `since`: from when on it counts."""

    element: str
    title: str
    dataset: str
    severity: Severity
    result: Result
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class HeldLine:
    """What is held of a dataset: how many records, whether they are all deleted, how many wait to be exchanged."""

    dataset: str
    title: str
    live: int
    deleted: bool
    waiting: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything known about one entity at `now`; `elements` is empty where no dataset holds anything of it."""

    entity: str
    title: str
    id: str
    now: datetime
    revision: int
    held: tuple[HeldLine, ...]
    elements: tuple[ElementLine, ...] = ()
    discrepancies: tuple[OpenDiscrepancy, ...] = ()


def explain(settings: Settings, topics: Topics, entity: str, id_text: str) -> Explanation:
    """Return how the elements of one entity stand, and why.

    The look is written down, without the id. Raises `UnknownName` for what cannot be looked for, `LookNotNoted`, and
    `Unavailable` where the servers do not answer.
    """
    revision = latest_revision(settings, topics)
    if revision is None:
        raise UnknownName(f"nothing is applied: {topics.catalogue} holds no revision; run `govbus apply` first")
    subject = entity_id(revision, entity, id_text)
    golden = compiled_golden(revision, entity)
    note_look(settings, "explain", entity=entity, revision=revision.number)
    with TopicScan(settings, f"{topics.prefix}govbus.look") as scan:
        held = EntityHeld(settings, scan, revision, golden).of(subject)
    return explained(revision.catalogue, revision.number, golden, subject, held, time.time_ns() // 1000)


def explained(
    catalogue: Catalogue,
    revision: int,
    golden: CompiledGolden,
    subject: bytes,
    held: Sequence[HeldReport],
    clock_micros: int,
) -> Explanation:
    """Return what *held* (one per bound dataset of *golden*) amounts to at *clock_micros*. Pure."""
    said = said_of(held)
    evaluation = golden.evaluate(said, clock_micros)
    lines = tuple(
        HeldLine(bound.dataset.id, catalogue.datasets[bound.dataset.id].title, each.live, each.deleted, each.waiting)
        for bound, each in zip(golden.datasets, held, strict=True)
    )
    explanation = _Explaining(catalogue, golden, said)
    return Explanation(
        entity=golden.entity,
        title=catalogue.vocabulary.entities[golden.entity].title,
        id=subject.decode(),
        now=_time(clock_micros),
        revision=revision,
        held=lines,
        elements=() if evaluation is None else tuple(explanation.elements(evaluation)),
        discrepancies=() if evaluation is None else tuple(explanation.discrepancies(evaluation)),
    )


class _Explaining:
    def __init__(self, catalogue: Catalogue, golden: CompiledGolden, said: Sequence[Said | None]) -> None:
        self._catalogue, self._golden, self._said = catalogue, golden, said

    def elements(self, evaluation: Evaluation) -> list[ElementLine]:
        results = {(number, dataset): result for number, dataset, result in evaluation.results}
        lines = []
        for number, (rule, judged) in enumerate(zip(self._golden.rules, evaluation.elements, strict=True)):
            element = self._golden.elements[number]
            reports = tuple(
                self._report(rule, judged, dataset, position, results.get((number, dataset)))
                for dataset, position in rule.reports
                if self._said[dataset] is not None
            )
            disputes = any(each.result in OPENING for each in reports)
            lines.append(
                ElementLine(
                    element=f"{self._golden.entity}.{rule.name}",
                    title=element.title,
                    severity=element.severity,
                    standing=judged.standing,
                    source="" if judged.source is None else self._name(judged.source),
                    value=self._source_value(rule, judged),
                    note=self._note(rule, judged, disputes=disputes),
                    reports=reports,
                )
            )
        return lines

    def discrepancies(self, evaluation: Evaluation) -> list[OpenDiscrepancy]:
        return [
            OpenDiscrepancy(
                element=f"{self._golden.entity}.{self._golden.names[number]}",
                title=self._golden.elements[number].title,
                dataset=self._name(dataset),
                severity=self._golden.elements[number].severity,
                result=found.comparison.result,
                reason=found.comparison.reason,
                since=_time(found.since),
            )
            for (number, dataset), found in evaluation.discrepancies.items()
        ]

    def _report(
        self, rule: ElementRule, judged: Judged, dataset: int, position: int, result: Result | None
    ) -> ReportLine:
        said = self._said[dataset]
        assert said is not None
        value, report = said.report.values[position], said.report
        reason, until = self._reason(rule, judged, dataset, value, result)
        return ReportLine(
            dataset=self._name(dataset),
            field=self._golden.datasets[dataset].paths[position],
            value=self._text(dataset, position, value),
            version=report.version,
            changed_at=_time(report.changed_at),
            is_source=judged.source == dataset,
            result=None if judged.source == dataset else result,
            reason=reason,
            until=None if until is None else _time(until),
        )

    def _reason(
        self, rule: ElementRule, judged: Judged, dataset: int, value: bytes | None, result: Result | None
    ) -> tuple[str, int | None]:
        """Return why the report compares as it does, and until when it counts as merely late."""
        if judged.source == dataset or result is None:
            return "", None
        if value is None:
            return "该数据集未填此项", None
        if judged.source is None or judged.value is None:
            return "权威来源没有此项的值，无从比对", None
        reason = rule.compare[judged.source, dataset](judged.value, value).reason
        authority, report = self._said[judged.source], self._said[dataset]
        assert authority is not None
        assert report is not None
        if result is Result.STALE_B:
            return reason, authority.report.changed_at + rule.grace_micros[dataset]
        if result is Result.STALE_A:
            return reason, report.report.changed_at + rule.grace_micros[judged.source]
        return reason, None

    def _note(self, rule: ElementRule, judged: Judged, *, disputes: bool) -> str:
        sources = "、".join(dict.fromkeys(self._name(claim.dataset) for claim in rule.claims))
        if judged.source is None:
            if all(self._said[claim.dataset] is None for claim in rule.claims):
                return f"权威来源（{sources}）没有该对象的记录"
            return f"权威来源（{sources}）都不负责该对象所在的区划"
        if judged.standing is Standing.DISPUTED and not disputes:
            return f"不止一个权威来源（{sources}）对该对象主张权威"
        return ""

    def _source_value(self, rule: ElementRule, judged: Judged) -> str | None:
        if judged.source is None:
            return None
        return self._text(judged.source, dict(rule.reports)[judged.source], judged.value)

    def _text(self, dataset: int, position: int, value: bytes | None) -> str | None:
        """Return a value as a person reads it, a code with its meaning; None for null."""
        if value is None:
            return None
        bound = self._golden.datasets[dataset]
        text = shown(decoder(bound.types[position])(value))
        codes = self._catalogue.datasets[bound.dataset.id].fields[bound.paths[position]].codes
        meaning = self._catalogue.vocabulary.code_lists.get(codes or "", {}).get(text)
        return text if meaning is None else f"{text} {meaning}"

    def _name(self, dataset: int) -> str:
        return self._golden.datasets[dataset].dataset.id


def _time(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1_000_000, UTC)
