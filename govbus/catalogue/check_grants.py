"""Checks of what owners give: each grant of a dataset."""

from __future__ import annotations

from collections.abc import Iterator

from govbus.catalogue.check_elements import may_be_bound
from govbus.catalogue.conditions import Comparable, condition_faults
from govbus.catalogue.document import Steps
from govbus.catalogue.draft import DatasetDraft, Draft, unknown
from govbus.catalogue.faults import FaultCode
from govbus.catalogue.model import Grant
from govbus.catalogue.reader import ELEMENTS
from govbus.catalogue.released import comparable, field_faults, granted_mask, masks_of, unreachable
from govbus.catalogue.shape import MENDED, suggestion
from govbus.errors import Fault
from govbus.rules.mask import Drop


def grant_faults(draft: Draft, dataset: DatasetDraft) -> Iterator[Fault]:
    """Yield what is wrong with the grants of *dataset*."""
    document, seen = dataset.document, dict[tuple[str, str], int]()
    for number, grant in enumerate(dataset.model.grants):
        at = ("grants", number)
        if dataset.model.share == "unconditional":
            message = "shared unconditionally, a dataset needs no grant: remove it, or set share: conditional"
            yield document.fault(FaultCode.NEEDLESS_GRANT, message, *at)
        if dataset.model.share == "not_shared":
            message = f"{dataset.id} is not shared: remove the grant, or set share: conditional"
            yield document.fault(FaultCode.NOT_SHARED, message, *at)
        if grant.to != MENDED and grant.to not in draft.declarations.subscribers:
            message = unknown(grant.to, "subscriber", draft.declarations.subscribers, "consumers/")
            yield document.fault(FaultCode.UNKNOWN_SUBSCRIBER, message, *at, "to")
        if grant.purpose != MENDED and grant.purpose not in draft.vocabulary.purposes:
            message = unknown(grant.purpose, "purpose", draft.vocabulary.purposes, ELEMENTS)
            yield document.fault(FaultCode.UNKNOWN_PURPOSE, message, *at, "purpose")
        name = (grant.to, grant.purpose)
        if MENDED not in name and name in seen:
            message = (
                f"a second grant to {grant.to} for {grant.purpose} (the first is number {seen[name] + 1}): "
                "put both into one"
            )
            yield document.fault(FaultCode.DUPLICATE_GRANT, message, *at)
        seen.setdefault(name, number)
        yield from _content_faults(draft, dataset, grant, number)


def _content_faults(draft: Draft, dataset: DatasetDraft, grant: Grant, number: int) -> Iterator[Fault]:
    document, at = dataset.document, ("grants", number)
    if not grant.fields:
        yield document.fault(FaultCode.NOTHING_ASKED, "this grant names no field: add fields:", *at, "fields")
    subscriber = draft.subscribers.get(grant.to)
    yield from field_faults(grant.fields, dataset, subscriber, document, (*at, "fields"))
    if dataset.fields:
        yield from _standing_faults(dataset, grant, at)
    if grant.rows is None:
        return

    def field_at(path: str) -> Comparable | tuple[FaultCode, str]:
        if path not in dataset.fields:
            return FaultCode.UNKNOWN_FIELD, f"{dataset.id} has no field {path}{suggestion(path, dataset.fields)}"
        barrier = unreachable(dataset, path)
        if barrier is not None:
            return FaultCode.CONDITION_MISFIT, barrier
        return comparable(dataset, path, draft.vocabulary.code_lists)

    if dataset.fields:
        for steps, code, message in condition_faults(grant.rows, field_at):
            yield document.fault(code, message, *at, "rows", *steps)


def _standing_faults(dataset: DatasetDraft, grant: Grant, at: Steps) -> Iterator[Fault]:
    """The standing that a grant gives is that of granted fields, and of elements whose source they are."""
    granted = masks_of(grant.fields)
    for path in grant.standing:
        where = (*at, "standing", path)
        if path == MENDED or MENDED in granted:
            continue
        if path not in dataset.fields:
            message = f"standing of {path}: {dataset.id} has no such field{suggestion(path, dataset.fields)}"
            yield dataset.document.fault(FaultCode.UNKNOWN_FIELD, message, *where)
            continue
        entry = dataset.entries.get(path)
        if granted_mask(granted, path) in (None, Drop()):
            message = f"standing of {path}, which this grant does not give: add it to fields, or take it out here"
            yield dataset.document.fault(FaultCode.INVALID_STANDING, message, *where)
        elif entry is None or may_be_bound(entry, dataset.entry_as_written(path)):
            continue
        elif entry.element is None or not entry.authoritative:
            message = f"standing of {path}, which is not the source of an element: how it stands is not this owner's"
            yield dataset.document.fault(FaultCode.INVALID_STANDING, message, *where)
