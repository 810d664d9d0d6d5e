"""Checks of elements: what they are about, which fields carry them, and that each has exactly one source (一数一源)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from govbus.catalogue.avro_fields import AvroField, Kind
from govbus.catalogue.document import Document
from govbus.catalogue.draft import DatasetDraft, Draft, unknown
from govbus.catalogue.faults import FaultCode
from govbus.catalogue.model import Authority, Element, FieldEntry
from govbus.catalogue.reader import ELEMENTS
from govbus.catalogue.released import unreachable
from govbus.catalogue.shape import MENDED, suggestion
from govbus.errors import Fault
from govbus.rules.comparators import COMPARATORS, comparator
from govbus.rules.formats import FORMATS

SUITED_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "text": ("string", "enum"),
    "code": ("string", "enum"),
    "date": ("date", "string", "timestamp"),
    "number": ("int", "long", "decimal", "float", "double", "string"),
    "boolean": ("boolean",),
    "set": ("array",),
}
"""Which kinds of fields can carry an element of each type. Texts may hold dates and numbers: registers do."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A field that says which element it carries."""

    dataset: DatasetDraft
    path: str
    entry: FieldEntry

    def fault(self, code: FaultCode, message: str, *more: str | int) -> Fault:
        return self.dataset.document.fault(code, message, "fields", self.path, *more)

    @property
    def name(self) -> str:
        return f"{self.dataset.id} {self.path}"

    @property
    def field(self) -> AvroField | None:
        """The field in the schema; None where the schema is missing or invalid."""
        return self.dataset.fields.get(self.path)


def element_faults(draft: Draft) -> Iterator[Fault]:
    """Yield what is wrong with the entities, elements and code maps of a city and with the fields bound to them."""
    bound = bound_fields(draft)
    if draft.declarations.vocabulary is not None:
        yield from _vocabulary_faults(draft, draft.declarations.vocabulary)
    elements = draft.vocabulary.elements
    for each in bound:
        name = each.entry.element or ""
        if name in elements:
            yield from _binding_faults(draft, each, name, elements[name])
        elif name not in _written(draft, "elements"):
            message = unknown(name, "element", elements, ELEMENTS)
            yield each.fault(FaultCode.UNKNOWN_ELEMENT, message, "element")
    yield from _subject_faults(bound)
    by_element: dict[str, list[Bound]] = {}
    for each in bound:
        by_element.setdefault(each.entry.element or "", []).append(each)
    for name in elements:
        about, _, own = name.partition(".")
        entity = draft.vocabulary.entities.get(about)
        if entity is not None and entity.id != own:
            yield from _source_faults(draft, name, by_element.get(name, []))
    for found in by_element.values():
        yield from _twice_bound_faults(found)


def bound_fields(draft: Draft) -> list[Bound]:
    """Return every field that names an element, by dataset and in the order of the schema."""
    return [
        Bound(draft.datasets[dataset_id], path, entry)
        for dataset_id in sorted(draft.datasets)
        for path, entry in draft.datasets[dataset_id].entries.items()
        if entry.element is not None
    ]


def _written(draft: Draft, part: str) -> Mapping[str, object]:
    """Return a part of elements.yaml as it is written, what its model refused included: that fault is noted."""
    document = draft.declarations.vocabulary
    found = document.value.get(part) if document is not None and isinstance(document.value, dict) else None
    return found if isinstance(found, dict) else {}


def _is_as_written(draft: Draft, name: str, element: Element) -> bool:
    """Return whether an element's type is its own: a wrong one was noted, and mended to any."""
    entry = _written(draft, "elements").get(name)
    return isinstance(entry, Mapping) and entry.get("type") == element.type


def may_be_bound(entry: FieldEntry, written: Mapping[str, object]) -> bool:
    """Return whether a field names an element, or calls itself its source, in words that its model refused."""
    unread_source = not entry.authoritative and written.get("authoritative", False) is not False
    return (entry.element is None and "element" in written) or unread_source


def all_are_told(draft: Draft) -> bool:
    """Return whether every dataset and every field's element could be read, so that what is absent is absent."""
    return draft.declarations.datasets.keys() == draft.datasets.keys() and not any(
        may_be_bound(entry, dataset.entry_as_written(path))
        for dataset in draft.datasets.values()
        for path, entry in dataset.entries.items()
    )


# --- elements.yaml ---------------------------------------------------------------------------------------------------


def _vocabulary_faults(draft: Draft, document: Document) -> Iterator[Fault]:
    vocabulary = draft.vocabulary
    for name, entity in vocabulary.entities.items():
        if entity.format != MENDED and entity.format not in FORMATS:
            near = suggestion(entity.format, FORMATS)
            message = f"unknown format {entity.format} of {name}{near} (known: {', '.join(sorted(FORMATS))})"
            yield document.fault(FaultCode.UNKNOWN_FORMAT, message, "entities", name, "format")
    for name, element in vocabulary.elements.items():
        yield from _comparator_faults(draft, document, name, element)
        yield from _declared_faults(draft, document, name, element)
    for name, code_map in vocabulary.code_maps.items():
        lists = vocabulary.code_lists
        for listed, at in ((name, ()), (code_map.to, ("to",))):
            if listed != MENDED and listed not in lists and listed not in _written(draft, "code_lists"):
                message = f"code map {name}: {unknown(listed, 'code list', lists, ELEMENTS)}"
                yield document.fault(FaultCode.UNKNOWN_CODE_LIST, message, "code_maps", name, *at)
        for one, other in code_map.codes.items():
            for code, listed in ((one, name), (other, code_map.to)):
                if MENDED not in (code, listed) and listed in lists and code not in lists[listed]:
                    message = f"code map {name}: {listed} has no code {code}; take it out, or add it to the list"
                    yield document.fault(FaultCode.CODES_MISFIT, message, "code_maps", name, "codes", one)


def _declared_faults(draft: Draft, document: Document, name: str, element: Element) -> Iterator[Fault]:
    vocabulary, at = draft.vocabulary, ("elements", name)
    about, _, own = name.partition(".")
    if about not in vocabulary.entities:
        if about not in _written(draft, "entities"):
            message = f"element {name}: {unknown(about, 'entity', vocabulary.entities, ELEMENTS)}"
            yield document.fault(FaultCode.UNKNOWN_ENTITY, message, *at)
    elif vocabulary.entities[about].id == own:
        message = f"{own} identifies a {about} and is there in any case: it is no element"
        yield document.fault(FaultCode.RESERVED_NAME, message, *at)
    if element.codes is not None:
        if element.codes not in vocabulary.code_lists and element.codes not in _written(draft, "code_lists"):
            message = f"{name}: {unknown(element.codes, 'code list', vocabulary.code_lists, ELEMENTS)}"
            yield document.fault(FaultCode.UNKNOWN_CODE_LIST, message, *at, "codes")
        elif element.type != "code":
            message = f"{name} is a {element.type}: only an element of type code has a code list"
            yield document.fault(FaultCode.TYPE_MISFIT, message, *at, "codes")


def _comparator_faults(draft: Draft, document: Document, name: str, element: Element) -> Iterator[Fault]:
    if element.comparator == MENDED or not _is_as_written(draft, name, element):
        return
    at = ("elements", name, "comparator")
    try:
        comparator(element.comparator)
    except ValueError as error:
        yield document.fault(FaultCode.INVALID_COMPARATOR, f"{name}: {error}", *at)
        return
    chosen = element.comparator if isinstance(element.comparator, str) else next(iter(element.comparator))
    if element.type not in COMPARATORS[chosen].takes:
        fit = ", ".join(each for each, kind in COMPARATORS.items() if element.type in kind.takes)
        message = f"{name} is a {element.type}, which {chosen} does not compare; these do: {fit}"
        yield document.fault(FaultCode.INVALID_COMPARATOR, message, *at)


# --- bound fields ----------------------------------------------------------------------------------------------------


def _binding_faults(draft: Draft, bound: Bound, name: str, element: Element) -> Iterator[Fault]:
    dataset, entity = bound.dataset, name.partition(".")[0]
    if dataset.model.entity not in (entity, MENDED):
        about = f"about {dataset.model.entity}" if dataset.model.entity else "about no declared entity"
        message = (
            f"{name} is told of a {entity}, and the records of {dataset.id} are {about}: bind an element of its own "
            f"entity, or correct entity:"
        )
        yield bound.fault(FaultCode.ELEMENT_MISFIT, message, "element")
    if isinstance(bound.entry.authoritative, Authority):
        yield from _split_faults(bound, bound.entry.authoritative)
    field = bound.field
    if field is None:
        return
    barrier = unreachable(dataset, bound.path)
    if barrier is not None:
        message = f"{bound.path} lies in a record that may be null: it cannot carry an element"
        yield bound.fault(FaultCode.ELEMENT_MISFIT, message, "element")
    elif field.kind not in SUITED_KINDS[element.type] and _is_as_written(draft, name, element):
        kinds = ", ".join(SUITED_KINDS[element.type])
        message = f"{bound.path} is a {field.kind}, and {name} a {element.type}, which is carried by: {kinds}"
        yield bound.fault(FaultCode.ELEMENT_MISFIT, message, "element")
    else:
        yield from _codes_faults(draft, bound, name, element)


def _codes_faults(draft: Draft, bound: Bound, name: str, element: Element) -> Iterator[Fault]:
    """A field's codes are the element's own, or there is a map from its list to the element's."""
    codes, vocabulary = bound.entry.codes, draft.vocabulary
    unknown_list = any(each is not None and each not in vocabulary.code_lists for each in (codes, element.codes))
    if codes == element.codes or unknown_list or (element.codes is not None and element.type != "code"):
        return  # nothing to say, or said where the list stands
    if element.codes is None:
        message = f"{bound.path} holds codes of {codes}, and {name} names no list: add codes: {codes} to the element"
    elif codes is None:
        message = f"{name} is told in codes of {element.codes}: add codes: {element.codes}, or the list that is used"
    elif codes not in vocabulary.code_maps:
        message = (
            f"{bound.path} holds codes of {codes}, and {name} those of {element.codes}: declare how one is said in the "
            f"other, in {ELEMENTS}: code_maps: {{{codes}: {{to: {element.codes}, codes: {{...}}}}}}"
        )
    elif vocabulary.code_maps[codes].to not in (element.codes, MENDED):
        message = (
            f"the code map of {codes} leads to {vocabulary.code_maps[codes].to}, and {name} is told in codes of "
            f"{element.codes}"
        )
    else:
        return
    yield bound.fault(FaultCode.CODES_MISFIT, message, "codes" if codes is not None else "element")


def _split_faults(bound: Bound, authority: Authority) -> Iterator[Fault]:
    dataset, path = bound.dataset, authority.by
    if not dataset.fields:
        return
    at = ("authoritative", "by")
    if path not in dataset.fields:
        message = f"authority by {path}: {dataset.id} has no such field{suggestion(path, dataset.fields)}"
        yield bound.fault(FaultCode.UNKNOWN_FIELD, message, *at)
    elif unreachable(dataset, path) is not None:
        message = f"authority by {path}, which lies in a record that may be null: take a field that is always there"
        yield bound.fault(FaultCode.ELEMENT_MISFIT, message, *at)
    elif dataset.fields[path].kind != "string":
        message = f"authority by {path}, which is a {dataset.fields[path].kind}: it is split by a division code"
        yield bound.fault(FaultCode.ELEMENT_MISFIT, message, *at)


def _subject_faults(bound: Sequence[Bound]) -> Iterator[Fault]:
    """What a dataset reports on has its identifier as a text."""
    for dataset in {each.dataset.id: each.dataset for each in bound}.values():
        subject = dataset.fields.get(dataset.model.subject)
        if subject is not None and subject.kind != "string" and dataset.model.key[0] == subject.path:
            message = (
                f"{dataset.id} tells elements of a {dataset.model.entity}, so its subject is that one's identifier, a "
                f"string; {subject.path} is a {subject.kind}"
            )
            yield dataset.document.fault(FaultCode.ELEMENT_MISFIT, message, "subject")


def _twice_bound_faults(bound: Sequence[Bound]) -> Iterator[Fault]:
    first: dict[str, Bound] = {}
    for each in bound:
        other = first.setdefault(each.dataset.id, each)
        if other is not each and not (other.entry.authoritative and each.entry.authoritative):
            message = f"{each.entry.element} is told by {other.path} of the same record already: bind one of the two"
            yield each.fault(FaultCode.BOUND_TWICE, message, "element")


# --- sources ---------------------------------------------------------------------------------------------------------


def _source_faults(draft: Draft, name: str, bound: Sequence[Bound]) -> Iterator[Fault]:
    """An element has one source, or several for divisions that do not overlap, whose values have one type."""
    claims = [each for each in bound if each.entry.authoritative]
    if not claims:
        document = draft.declarations.vocabulary
        if document is not None and all_are_told(draft):
            fields = ", ".join(each.name for each in bound) or "no field carries it"
            message = (
                f"{name} has no source ({fields}): mark the field of the department that the sharing authority names "
                "with authoritative: true, or remove the element (政务数据共享条例 Art. 19)"
            )
            yield document.fault(FaultCode.NO_AUTHORITY, message, "elements", name)
        return
    whole = [each for each in claims if not isinstance(each.entry.authoritative, Authority)]
    parts = [each for each in claims if isinstance(each.entry.authoritative, Authority)]
    for each in [*whole[1:], *parts] if whole else []:
        message = (
            f"{name} has its authority already: {whole[0].name}; of two sources the sharing authority names "
            "one (政务数据共享条例 Art. 19)"
        )
        yield each.fault(FaultCode.SECOND_AUTHORITY, message, "authoritative")
    if not whole:
        yield from _overlap_faults(name, parts)
        yield from _type_faults(name, parts)


def _overlap_faults(name: str, parts: Sequence[Bound]) -> Iterator[Fault]:
    taken: dict[str, Bound] = {}
    for each in parts:
        assert isinstance(each.entry.authoritative, Authority)
        for division in each.entry.authoritative.divisions:
            if division.startswith("0"):  # mended: no division code begins so
                continue
            other = next((one for one in taken if one.startswith(division) or division.startswith(one)), None)
            if other is not None:
                where = "here" if taken[other] is each else f"with {taken[other].name}"
                message = f"authority over {name} for {division}... lies {where} already, as {other}...: keep one"
                yield each.fault(FaultCode.OVERLAPPING_AUTHORITY, message, "authoritative", "divisions")
            taken.setdefault(division, each)


def _type_faults(name: str, parts: Sequence[Bound]) -> Iterator[Fault]:
    """The value of a golden element has the type of its source's field, so several sources have one type."""
    first = parts[0]
    for each in parts[1:]:
        if first.field is None or each.field is None:
            continue
        ours, theirs = _said_as(each, each.field), _said_as(first, first.field)
        for word in ours:
            if ours[word] != theirs[word]:
                message = f"{name} has sources of different {word}: {first.name} and this one; make them equal"
                yield each.fault(FaultCode.ELEMENT_MISFIT, message, "authoritative")
                break


def _said_as(bound: Bound, field: AvroField) -> dict[str, object]:
    schema = field.schema
    if isinstance(schema, Mapping):
        schema = {key: schema[key] for key in schema if key not in ("name", "namespace", "aliases", "doc")}
    return {"type": schema, "codes": bound.entry.codes, "format": bound.entry.format, "unit": bound.entry.unit}
