"""`govbus check --suggest`: fields that look like copies of one fact and are not compared, with the lines to add.

Two fields of datasets about the same kind of entity look like one fact where they have the same name or the same title,
and the same type, codes and format. That is a guess, so it is never a fault: valid_to of two registers may end two
different things.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from govbus.catalogue.avro_fields import Kind
from govbus.catalogue.check_elements import SUITED_KINDS
from govbus.catalogue.document import Document
from govbus.catalogue.draft import DatasetDraft, Draft
from govbus.catalogue.model import Element, FieldEntry
from govbus.catalogue.reader import ELEMENTS
from govbus.catalogue.released import unreachable

_TYPES: Mapping[Kind, str] = {
    "string": "text",
    "enum": "code",
    "date": "date",
    "int": "number",
    "long": "number",
    "decimal": "number",
    "float": "number",
    "double": "number",
    "boolean": "boolean",
    "array": "set",
}


COMPARATOR_OF: Mapping[str, str] = {"date": "date", "number": "numeric", "set": "set"}
"""What compares elements of these types; of the others ``exact``, which is often too strict and never wrong."""


@dataclass(frozen=True)
class Place:
    """A field, ``DATASET FIELD``, and where it is declared. The file is read again where its `line` is asked for."""

    name: str
    path: str
    document: Document

    @property
    def line(self) -> int:
        return self.document.line("fields", self.path)


@dataclass(frozen=True)
class Suggestion:
    """Fields that seem to carry one *element*, and what to add: file, part of it, entry."""

    element: str
    is_declared: bool
    fields: tuple[Place, ...]
    add: tuple[tuple[str, str, dict[str, Any]], ...]


@dataclass(frozen=True, slots=True)
class _Field:
    dataset: DatasetDraft
    path: str
    entry: FieldEntry

    @property
    def kind(self) -> Kind:
        return self.dataset.fields[self.path].kind

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def type(self) -> str:
        """The type of element that it could carry."""
        return "code" if self.entry.codes is not None and self.kind == "string" else _TYPES[self.kind]

    @property
    def file(self) -> str:
        return self.dataset.document.file

    @property
    def place(self) -> Place:
        return Place(f"{self.dataset.id} {self.path}", self.path, self.dataset.document)

    @property
    def looks(self) -> tuple[object, ...]:
        """What two fields must have in common besides their name or title."""
        return self.type, self.entry.codes, self.entry.format


def suggestions(draft: Draft) -> tuple[Suggestion, ...]:
    """Return which fields of *draft*, which has no fault, look like copies of a declared element or of each other.

    Those of declared elements first, each by name.
    """
    by_entity: dict[str, list[_Field]] = {}
    for dataset_id in sorted(draft.datasets):
        dataset = draft.datasets[dataset_id]
        if dataset.model.entity is not None:
            by_entity.setdefault(dataset.model.entity, []).extend(_fields(dataset))
    found: list[Suggestion] = []
    for entity, fields in sorted(by_entity.items()):
        copies = dict(_copies(draft, entity, fields))
        found += [_of_element(name, copies[name]) for name in sorted(copies)]
        taken = {(each.dataset.id, each.path) for copied in copies.values() for each in copied}
        loose = [e for e in fields if e.entry.element is None and (e.dataset.id, e.path) not in taken]
        found += [_of_group(draft, entity, group) for group in _groups(loose)]
    return tuple(sorted(found, key=lambda each: (not each.is_declared, each.element)))


def _fields(dataset: DatasetDraft) -> Iterator[_Field]:
    """Yield the fields that could carry an element: all but the subject and what lies in records that may be null."""
    for path, entry in dataset.entries.items():
        field = dataset.fields.get(path)
        if field is None or path == dataset.model.subject or field.kind not in _TYPES:
            continue
        if unreachable(dataset, path) is None:
            yield _Field(dataset, path, entry)


def _copies(draft: Draft, entity: str, fields: Sequence[_Field]) -> Iterator[tuple[str, list[_Field]]]:
    """Yield per declared element the fields that look like those which carry it, of datasets that do not tell it."""
    bound: dict[str, list[_Field]] = {}
    for each in fields:
        if each.entry.element is not None:
            bound.setdefault(each.entry.element, []).append(each)
    loose: dict[tuple[object, ...], list[_Field]] = {}
    for each in fields:
        if each.entry.element is None:
            for word in {each.name, each.entry.title}:
                loose.setdefault((each.looks, word), []).append(each)
    for name, carriers in bound.items():
        element: Element = draft.vocabulary.elements[name]
        words = {word for each in carriers for word in (each.name, each.entry.title)}
        words |= {name.partition(".")[2], element.title}
        looks = {each.looks for each in carriers}
        telling = {each.dataset.id for each in carriers}
        alike: dict[str, _Field] = {}
        for look in sorted(looks, key=str):
            for word in sorted(words):
                for each in loose.get((look, word), ()):
                    if each.dataset.id not in telling and each.kind in SUITED_KINDS[element.type]:
                        alike.setdefault(each.dataset.id, each)
        if alike:
            yield name, [alike[dataset] for dataset in sorted(alike)]


def _of_element(name: str, fields: Sequence[_Field]) -> Suggestion:
    return Suggestion(
        element=name,
        is_declared=True,
        fields=tuple(each.place for each in fields),
        add=tuple((each.file, "fields", {each.path: {"element": name}}) for each in fields),
    )


def _groups(fields: Sequence[_Field]) -> Iterator[list[_Field]]:
    """Yield fields of at least two datasets that hang together by looks and name or title."""
    leader = list(range(len(fields)))

    def lead(number: int) -> int:
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    first: dict[tuple[object, ...], int] = {}
    for number, each in enumerate(fields):
        for mark in ((each.looks, "name", each.name), (each.looks, "title", each.entry.title)):
            leader[lead(number)] = lead(first.setdefault(mark, number))
    groups: dict[int, list[_Field]] = {}
    for number, each in enumerate(fields):
        groups.setdefault(lead(number), []).append(each)
    for group in groups.values():
        if len({each.dataset.id for each in group}) > 1:
            yield group


def _of_group(draft: Draft, entity: str, group: Sequence[_Field]) -> Suggestion:
    one = group[0]
    names = [each.name for each in group]
    own = max(sorted(set(names)), key=names.count)
    name = f"{entity}.{own}"
    entry: dict[str, Any] = {"title": one.entry.title, "definition": one.entry.definition or one.entry.title}
    entry |= {"type": one.type} | ({"codes": one.entry.codes} if one.type == "code" and one.entry.codes else {})
    entry |= {"comparator": COMPARATOR_OF.get(one.type, "exact"), "severity": "minor"}
    add: list[tuple[str, str, dict[str, Any]]] = [(ELEMENTS, "elements", {name: entry})]
    if entity not in draft.vocabulary.entities:
        subjects = [(each.dataset.model.subject, each.dataset) for each in group]
        subject, of = max(subjects, key=lambda each: [path for path, _ in subjects].count(each[0]))
        form = of.entries[subject].format if subject in of.entries else None
        about = {"title": entity, "id": subject.rpartition(".")[2], "format": form or "..."}
        add.insert(0, (ELEMENTS, "entities", {entity: about}))
    add += [(each.file, "fields", {each.path: {"element": name}}) for each in group]
    return Suggestion(name, False, tuple(each.place for each in group), tuple(add))
