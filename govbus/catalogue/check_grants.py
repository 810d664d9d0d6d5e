"""Checks of what owners give: each grant of a dataset."""

from __future__ import annotations

from collections.abc import Iterator

from govbus.catalogue.conditions import Comparable, condition_faults
from govbus.catalogue.draft import DatasetDraft, Draft, unknown
from govbus.catalogue.faults import FaultCode
from govbus.catalogue.model import Grant
from govbus.catalogue.reader import ELEMENTS
from govbus.catalogue.released import comparable, field_faults, unreachable
from govbus.catalogue.shape import MENDED, suggestion
from govbus.errors import Fault


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
