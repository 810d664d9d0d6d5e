"""Which planted faults a comparison can see, and where: from declarations, ledger and what departments published.

Nothing of the bus is used here, and nothing that it found: the city's ledger says what is wrong, the declarations who
is the source and who else reports, the published records whether there is anybody to compare with. What counts as the
same is asked of the oracle's comparators (tests/oracle).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from oracle import comparators
from oracle.crosschecks import Bound, bound_fields, grace_seconds, is_canonical
from oracle.views import Declared

SEES = ("fact", "subject")
"""The natures of faults that say something that is not so; of all others a comparison must say nothing."""


class Row(NamedTuple):
    """A row of the discrepancy view."""

    subject: str
    element: str
    dataset: str


class Record(NamedTuple):
    """The newest record of a key. *values* by dotted path, as a reader has them."""

    key: tuple[str, ...]
    version: int
    changed_at: int
    """Microseconds since 1970."""
    values: Mapping[str, Any]


class Published:
    """What departments published: per dataset the newest record of every key that is not deleted."""

    def __init__(self, declared: Declared, records: Mapping[str, Mapping[tuple[str, ...], Record]]) -> None:
        self.declared = declared
        self.records = records
        self._speaking: dict[tuple[str, str], Record] = {}
        for dataset, of in records.items():
            for record in of.values():
                place = dataset, record.key[0]
                held = self._speaking.get(place)
                if held is None or (record.version, record.key) > (held.version, held.key):
                    self._speaking[place] = record
        self._bound = {entity: bound_fields(declared, entity) for entity in declared.vocabulary["entities"]}

    def speaking(self, dataset: str, subject: str) -> Record | None:
        """Return the record by which *dataset* reports on *subject*: of several, the newest."""
        return self._speaking.get((dataset, subject))

    def elements(self, dataset: str) -> Iterator[tuple[str, Bound, list[Bound]]]:
        """Yield every element that *dataset* has a copy of: its id, the copy, and all copies, the source first."""
        for entity, elements in self._bound.items():
            for name, copies in elements.items():
                for copy in copies:
                    if copy.dataset == dataset:
                        yield f"{entity}.{name}", copy, sorted(copies, key=lambda each: not each.authority)

    def is_about(self, dataset: str, subject: str) -> bool:
        """Return whether records of *dataset* under *subject* are about an entity that has elements."""
        entity = self.declared.vocabulary["entities"].get(self.declared.datasets[dataset].get("entity"))
        return entity is not None and is_canonical(entity["format"], subject)

    def value(self, element: str, copy: Bound, subject: str) -> Any:
        """Return what a dataset says of an element of *subject*, in the element's own codes; None where nothing."""
        record = self.speaking(copy.dataset, subject)
        value = None if record is None else record.values.get(copy.path)
        codes = self.declared.datasets[copy.dataset]["fields"][copy.path].get("codes")
        if value is None or codes in (None, self.declared.vocabulary["elements"][element].get("codes")):
            return value
        return self.declared.vocabulary["code_maps"][codes]["codes"][value]


@dataclass
class Fault:
    """A fault of the ledger that is not put right: what is planted, and what a comparison can see of it."""

    number: int
    kind: str
    nature: str
    dataset: str
    subject: str
    rows: set[Row] = field(default_factory=set)
    """The rows by which it shows; none: it cannot be seen, and *why* says for which reason."""
    why: str = ""


def faults(ledger: list[dict[str, Any]], published: Published, now_ms: int) -> list[Fault]:
    """Return every fault that is still there, in the order of the ledger, with what can be seen of it at *now_ms*."""
    corrected = {line["corrects"] for line in ledger if "corrects" in line}
    found = []
    for line in ledger:
        if "fault" in line and line["fault"] not in corrected:
            fault = Fault(line["fault"], line["kind"], line["nature"], line["dataset"], line["key"][0])
            fault.rows, fault.why = _seen(line, published, now_ms)
            found.append(fault)
    return found


def touched(fault: Fault, published: Published) -> Iterator[Row]:
    """Yield the rows that may show anything of what *fault* did, whether they should or not."""
    for element, copy, copies in published.elements(fault.dataset):
        for each in copies if copy.authority else [copy]:
            if not each.authority:
                yield Row(fault.subject, element, each.dataset)


def _seen(line: Mapping[str, Any], published: Published, now_ms: int) -> tuple[set[Row], str]:
    dataset, key = line["dataset"], tuple(line["key"])
    if line["effect"] == "rejected":
        return set(), "refused at the door"
    if line["nature"] not in SEES:
        return set(), "says nothing else"
    if not published.is_about(dataset, key[0]):
        return set(), "about no such entity"
    elements = [
        each for each in published.elements(dataset) if line["nature"] == "subject" or each[1].path == line["field"]
    ]
    if not elements:
        return set(), "field is not compared"
    speaking = published.speaking(dataset, key[0])
    if speaking is None or speaking.key != key:
        return set(), "another record speaks"
    rows, reasons = set(), set()
    for element, copy, copies in elements:
        others = [each for each in copies if each is not copy] if copy.authority else copies[:1]
        for other in others:
            source, reporter = (copy, other) if copy.authority else (other, copy)
            why = _why_unseen(published, element, source, reporter, key[0], now_ms)
            if why is None:
                rows.add(Row(key[0], element, reporter.dataset))
            else:
                reasons.add(why)
    order = ("within grace", "within tolerance", "nobody else holds it")
    return rows, "" if rows else next((each for each in order if each in reasons), order[-1])


def _why_unseen(
    published: Published, element: str, source: Bound, reporter: Bound, subject: str, now_ms: int
) -> str | None:
    """Return why the two copies show no difference, None where they do."""
    declared = published.declared
    values = [published.value(element, each, subject) for each in (source, reporter)]
    if None in values:
        return "nobody else holds it"
    result = comparators.compare(declared.vocabulary["elements"][element]["comparator"], *values)
    if result not in (comparators.DIFFERENT, comparators.INVALID_A):
        return "within tolerance"
    authority, report = (published.speaking(each.dataset, subject) for each in (source, reporter))
    assert authority is not None
    assert report is not None
    laggard = reporter if report.changed_at < authority.changed_at else source
    end = max(authority.changed_at, report.changed_at) + 1_000_000 * grace_seconds(declared, element, laggard.dataset)
    lags = authority.changed_at != report.changed_at and now_ms * 1000 < end
    return "within grace" if lags and result == comparators.DIFFERENT else None


@dataclass
class Score:
    """How one kind of fault was found: faults and rows."""

    planted: int = 0
    visible: int = 0
    found: int = 0
    true_rows: int = 0
    false_rows: int = 0
    unseen: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def figures(self) -> dict[str, Any]:
        """Return the figures as the result file has them; shares are None where nothing is counted."""
        rows = self.true_rows + self.false_rows
        return {
            "planted": self.planted,
            "visible": self.visible,
            "found": self.found,
            "recall_visible": None if not self.visible else round(self.found / self.visible, 4),
            "rows": rows,
            "false_rows": self.false_rows,
            "precision": None if not rows else round(self.true_rows / rows, 4),
            "invisible_share": None if not self.planted else round(1 - self.visible / self.planted, 4),
            "invisible": dict(sorted(self.unseen.items())),
        }


UNPLANTED = "(nothing planted)"


def scores(planted: list[Fault], published: Published, opened: set[Row]) -> dict[str, Score]:
    """Return the score of every kind of fault, given the rows that the bus has *opened*.

    A row counts as true for every kind by which it is expected; else it is false for every kind whose faults touch it,
    and where none does, for `UNPLANTED`.
    """
    found: dict[str, Score] = defaultdict(Score)
    expected: dict[Row, set[str]] = defaultdict(set)
    near: dict[Row, set[str]] = defaultdict(set)
    for fault in planted:
        score = found[fault.kind]
        score.planted += 1
        score.visible += bool(fault.rows)
        score.found += bool(fault.rows) and fault.rows <= opened
        if fault.why:
            score.unseen[fault.why] += 1
        for row in fault.rows:
            expected[row].add(fault.kind)
        for row in touched(fault, published):
            near[row].add(fault.kind)
    for row in opened:
        for kind in expected.get(row, ()):
            found[kind].true_rows += 1
        for kind in () if row in expected else near.get(row, {UNPLANTED}):
            found[kind].false_rows += 1
    return dict(found)
