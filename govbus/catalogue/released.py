"""What grants and asks have in common: fields with masks, and conditions on rows.

Both release something of a dataset to a subscriber, so both are held to the dataset's fields, to what is not shared and
to the subscriber's clearance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from govbus.catalogue.avro_fields import Kind, applies
from govbus.catalogue.conditions import Comparable
from govbus.catalogue.document import Document, Steps
from govbus.catalogue.draft import DatasetDraft
from govbus.catalogue.faults import FaultCode
from govbus.catalogue.model import GRADES, Subscriber
from govbus.catalogue.shape import MENDED, suggestion
from govbus.errors import Fault
from govbus.rules.formats import FORMATS
from govbus.rules.mask import Drop, Mask, declared, parse_mask


def masks_of(fields: Mapping[str, Any]) -> dict[str, Mask]:
    """Return the masks by path, without those that are none (`field_faults` tells of them)."""
    masks: dict[str, Mask] = {}
    for path, word in fields.items():
        try:
            masks[path] = parse_mask(word)
        except ValueError:
            continue
    return masks


def field_faults(
    fields: Mapping[str, Any],
    dataset: DatasetDraft,
    subscriber: Subscriber | None,
    document: Document,
    at: Steps,
) -> Iterator[Fault]:
    """Yield what is wrong with *fields* (masks by path) of *dataset*, released to *subscriber*, declared at *at*."""
    for path, word in fields.items():
        where = (*at, path)
        try:
            mask = parse_mask(word)
        except ValueError as error:
            yield document.fault(FaultCode.UNKNOWN_MASK, f"{path}: {error}", *where)
            mask = None
        field = dataset.fields.get(path)
        if field is None:
            if dataset.fields and path != MENDED:
                near = suggestion(path, dataset.fields)
                yield document.fault(FaultCode.UNKNOWN_FIELD, f"{dataset.id} has no field {path}{near}", *where)
            continue
        if mask == Drop():
            continue
        if mask is not None and not applies(mask, field.kind):
            yield document.fault(FaultCode.MASK_MISFIT, _misfit(path, mask, field.kind), *where)
        yield from _release_faults(path, dataset, subscriber, document, where)
    shown = [path for path, word in fields.items() if word != "drop" and path in dataset.fields]
    for path in shown:
        around = _around(path)
        if any(each in fields and fields[each] != "drop" for each in around):
            message = f"{path} lies in a record that is named as a whole beside it: name the record or its parts"
            yield document.fault(FaultCode.OVERLAPPING_FIELDS, message, *at, path)
        elif any(dataset.fields[each].optional for each in around if each in dataset.fields):
            message = f"{path} lies in a record that may be null: only the whole record can be shared"
            yield document.fault(FaultCode.MASK_MISFIT, message, *at, path)
    if fields and all(word == "drop" for word in fields.values()):
        yield document.fault(FaultCode.NOTHING_ASKED, "every field is dropped: name at least one to deliver", *at)


def _release_faults(
    path: str, dataset: DatasetDraft, subscriber: Subscriber | None, document: Document, where: Steps
) -> Iterator[Fault]:
    barred = dataset.unshared(path)
    if barred is not None:
        basis = dataset.entries[barred].basis or "no basis given"
        message = f"{barred} of {dataset.id} is not shared ({basis}): take {path} out"
        yield document.fault(FaultCode.NOT_SHARED, message, *where)
    if subscriber is not None:
        grade, clearance = dataset.grade(path), GRADES.index(subscriber.clearance) + 1
        if grade > clearance:
            message = (
                f"{path} is graded L{grade}, and {subscriber.subscriber} is cleared for {subscriber.clearance} "
                "(masks do not lower a grade): take it out, or raise the clearance by the proper procedure"
            )
            yield document.fault(FaultCode.ABOVE_CLEARANCE, message, *where)


def granted_mask(masks: Mapping[str, Mask], path: str) -> Mask | None:
    """Return the least mask that a grant lays on *path*; a record granted in clear grants what is in it."""
    if path in masks:
        return masks[path]
    whole = next((each for each in _around(path) if each in masks), None)
    return None if whole is None or declared(masks[whole]) != "pass" else masks[whole]


def comparable(dataset: DatasetDraft, path: str, code_lists: Mapping[str, Mapping[str, str]]) -> Comparable:
    """Return what a condition on the unmasked field at *path* compares."""
    field, entry = dataset.fields[path], dataset.entries.get(path)
    values = frozenset(field.symbols) or None
    if entry is not None and entry.codes in code_lists and field.kind in ("string", "enum"):
        values = frozenset(code_lists[entry.codes or ""])
    known = entry is not None and entry.format is not None and entry.format in FORMATS and field.kind == "string"
    canonical = FORMATS[entry.format].canonical if known and entry is not None and entry.format is not None else None
    return Comparable(field.kind, values, canonical)


def unreachable(dataset: DatasetDraft, path: str) -> str | None:
    """Return why no rule can look into *path*: it lies in a record that may be null; None if it can."""
    if any(dataset.fields[each].optional for each in _around(path) if each in dataset.fields):
        return f"{path} lies in a record that may be null: a condition cannot look into it"
    return None


def _around(path: str) -> list[str]:
    """Return the records around a field, the innermost first."""
    around = []
    while "." in path:
        path = path.rpartition(".")[0]
        around.append(path)
    return around


_APPLICABLE: Mapping[Kind, str] = {
    "string": "{mask: {first: N, last: N}}, {generalise: {division: 2|4|6}}, pseudonym",
    "date": "{generalise: year}, {generalise: month}",
    "int": "{generalise: {band: N}}",
    "long": "{generalise: {band: N}}",
}


def _misfit(path: str, mask: Mask, kind: Kind) -> str:
    more = f", {_APPLICABLE[kind]}" if kind in _APPLICABLE else ""
    return f"{path} is a {kind}, to which {declared(mask)} does not apply; it takes pass, drop, null{more}"
