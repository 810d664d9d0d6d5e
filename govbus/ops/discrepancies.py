"""`govbus discrepancies`: one department's own list of where its data and another department's disagree.

Its own value stands there in clear; the other side's never does. What it may hear of at all, and whether it may know
who the other side is, says `govbus.catalogue.disclosure`; what it does not hear of is counted with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from govbus.catalogue.disclosure import Disclosure, Hearing, Side, Silence
from govbus.catalogue.golden import bindings
from govbus.catalogue.model import Catalogue, Severity
from govbus.codec.framing import schema_id_of
from govbus.codec.schemas import INCIDENT
from govbus.errors import SettingsError
from govbus.kafka.registry import Registry
from govbus.kafka.revisions import Revision, latest_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.crosscheck_words import SEVERITIES
from govbus.ops.entity_held import UnknownName
from govbus.ops.look_book import note_look
from govbus.ops.record_text import RecordText
from govbus.ops.topic_scan import TopicScan
from govbus.rules.share import CHINA_STANDARD_TIME

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """One discrepancy as a department hears of it.

    `own`: per dataset of its own that is a side, its value. `other` and `reason` are empty where it may not know them.
    """

    entity: str
    id: str
    element: str
    title: str
    severity: Severity
    side: Side
    own: tuple[tuple[str, str], ...]
    other: str
    reason: str
    opened_on: date


@dataclass(frozen=True, slots=True)
class Mass:
    """So many of a dataset's reports of one element differ that its last load should be looked at first."""

    element: str
    title: str
    dataset: str
    different: int
    compared: int
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A department's discrepancies: how many by element and side, the worst and then the newest of them, incidents.

    `withheld` counts those that concern it and of which it does not hear, by reason and never by element or id.
    """

    department: str
    title: str
    total: int
    counts: tuple[tuple[str, str, Severity, Side, int], ...]
    rows: tuple[Told, ...]
    incidents: tuple[Mass, ...]
    withheld: Mapping[Silence, int]


def discrepancies(settings: Settings, topics: Topics, department: str, limit: int = 50) -> Listed:
    """Return what *department* hears of open discrepancies; *limit* rows at most (0: all of them).

    The look is written down. Raises `UnknownName` where the applied catalogue has no such department, `LookNotNoted`,
    and `Unavailable` where the servers do not answer.
    """
    revision = latest_revision(settings, topics)
    if revision is None:
        raise UnknownName(f"nothing is applied: {topics.catalogue} holds no revision; run `govbus apply` first")
    if department not in revision.catalogue.departments:
        there = ", ".join(revision.catalogue.departments)
        raise UnknownName(f"there is no department {department}; there are: {there}")
    note_look(settings, "discrepancies", department=department, revision=revision.number)
    with TopicScan(settings, f"{topics.prefix}govbus.look") as scan:
        reading = _Reading(settings, scan, revision)
        found, incidents = reading.latest(revision.topics.discrepancy), reading.latest(revision.topics.incident)
        return listed(revision.catalogue, department, found, incidents, limit)


class _Reading:
    """Reads the bus's own compacted topics."""

    def __init__(self, settings: Settings, scan: TopicScan, revision: Revision) -> None:
        self._settings, self._scan = settings, scan
        self._texts: dict[int, RecordText] = {}
        if revision.incident_schema_id is not None:
            self._texts[revision.incident_schema_id] = RecordText(INCIDENT)

    def latest(self, topic: str) -> Iterator[Document]:
        """Yield what stands in *topic* now, each key once."""
        last: dict[bytes, bytes] = {}
        for record in self._scan.records(topic):
            if record.key is not None and record.value is not None:
                last[record.key] = record.value
            elif record.key is not None:
                last.pop(record.key, None)
        for value in last.values():
            yield self._text(value).fields(value)

    def _text(self, value: bytes) -> RecordText:
        schema_id = schema_id_of(value)
        assert schema_id is not None
        if schema_id not in self._texts:
            schema = Registry(self._settings).schema(schema_id)
            if schema is None:
                raise SettingsError(f"the registry does not know schema {schema_id}, which the bus wrote with")
            self._texts[schema_id] = RecordText(schema)
        return self._texts[schema_id]


def listed(
    catalogue: Catalogue, department: str, found: Iterable[Document], incidents: Iterable[Document], limit: int = 50
) -> Listed:
    """Return what *department* hears of the discrepancies *found* and of *incidents*, both as the topics hold them."""
    disclosure, codes = Disclosure(catalogue), _codes(catalogue)
    told: list[Told] = []
    withheld: Counter[Silence] = Counter()
    for each in found:
        match disclosure.hearing(department, each["element"], each["source"], each["reporter"]):
            case None:
                continue
            case Silence() as reason:
                withheld[reason] += 1
            case Hearing() as hearing:
                told.append(_told(catalogue, codes, department, each, hearing))
    told.sort(key=lambda each: (SEVERITIES.index(each.severity), -each.opened_on.toordinal(), each.element, each.id))
    counts = Counter((each.element, each.title, each.severity, each.side) for each in told)
    return Listed(
        department=department,
        title=catalogue.departments[department].title,
        total=len(told),
        counts=tuple((*of, number) for of, number in counts.most_common()),
        rows=tuple(told[:limit] if limit else told),
        incidents=tuple(_incidents(catalogue, disclosure, department, incidents)),
        withheld=dict(withheld),
    )


def _told(
    catalogue: Catalogue,
    codes: Mapping[tuple[str, str], Mapping[str, str]],
    department: str,
    found: Document,
    hearing: Hearing,
) -> Told:
    element = found["element"]
    sides = ((found["source"], found["source_value"]), (found["reporter"], found["reported_value"]))
    own = []
    for dataset, value in sides:
        if dataset.partition(".")[0] == department:
            meaning = codes.get((element, dataset), {}).get(value)
            own.append((dataset, value if meaning is None else f"{value} {meaning}"))
    other = [dataset for dataset, _ in sides if dataset.partition(".")[0] != department]
    # The source of an element is declared for all to see; that somebody else reports on this person is not.
    shown = other if hearing.other or hearing.side is Side.REPORTER else []
    opened = datetime.fromisoformat(found["opened_at"])
    return Told(
        entity=found["entity"],
        id=found["id"],
        element=element,
        title=_title(catalogue, element),
        severity=found["severity"],
        side=hearing.side,
        own=tuple(own),
        other=shown[0] if shown else "",
        reason=found["reason"] if hearing.other else "",
        opened_on=opened.replace(tzinfo=opened.tzinfo or UTC).astimezone(CHINA_STANDARD_TIME).date(),
    )


def _incidents(
    catalogue: Catalogue, disclosure: Disclosure, department: str, incidents: Iterable[Document]
) -> Iterator[Mass]:
    """Yield the incidents of the department's own reports, over all partitions, of elements it may hear of."""
    together: dict[tuple[str, str], list[Document]] = {}
    for each in incidents:
        if isinstance(disclosure.hearing(department, each["element"], "", each["reporter"]), Hearing):
            together.setdefault((each["element"], each["reporter"]), []).append(each)
    for (element, dataset), parts in sorted(together.items()):
        yield Mass(
            element=element,
            title=_title(catalogue, element),
            dataset=dataset,
            different=sum(each["different"] for each in parts),
            compared=sum(each["compared"] for each in parts),
            causes=tuple(dict.fromkeys(each["cause_title"] for each in parts)),
        )


def _title(catalogue: Catalogue, element: str) -> str:
    declared = catalogue.vocabulary.elements.get(element)
    return element if declared is None else declared.title


def _codes(catalogue: Catalogue) -> dict[tuple[str, str], Mapping[str, str]]:
    """Return, per element and dataset, what the codes of the bound field mean."""
    lists = catalogue.vocabulary.code_lists
    return {
        (each.element, each.dataset): lists.get(catalogue.datasets[each.dataset].fields[each.path].codes or "", {})
        for entity in catalogue.vocabulary.entities
        for each in bindings(catalogue, entity)
    }
