"""Checks of what subscribers ask: each ask against the datasets it names and the grants that answer it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from govbus.catalogue.avro_fields import applies, kind_after
from govbus.catalogue.conditions import Comparable, condition_faults
from govbus.catalogue.delivery import parse_delivery
from govbus.catalogue.document import Document, Steps
from govbus.catalogue.draft import DELIVERY_MODELS, AskDraft, DatasetDraft, Draft, unknown
from govbus.catalogue.faults import WARNING_DAYS, FaultCode, WarningCode
from govbus.catalogue.golden import GOLDEN
from govbus.catalogue.model import Ask, AskedDataset, Grant
from govbus.catalogue.reader import ELEMENTS
from govbus.catalogue.released import comparable, field_faults, granted_mask, masks_of, unreachable
from govbus.catalogue.shape import MENDED, modelled, suggestion
from govbus.catalogue.views import grant_for
from govbus.errors import Fault
from govbus.rules.mask import Drop, Mask, Null, Pass, Pseudonym, at_least_as_strict, declared


def ask_faults(draft: Draft, ask: AskDraft) -> Iterator[Fault]:
    """Yield what is wrong with *ask*."""
    document, model = ask.document, ask.model
    if model.purpose != MENDED and model.purpose not in draft.vocabulary.purposes:
        message = unknown(model.purpose, "purpose", draft.vocabulary.purposes, ELEMENTS)
        yield document.fault(FaultCode.UNKNOWN_PURPOSE, message, "purpose")
    faults: list[Fault] = []
    modelled(document, model.delivery, parse_delivery, DELIVERY_MODELS, faults, at=("delivery",))
    yield from faults
    for dataset_id, asked in model.datasets.items():
        if dataset_id == MENDED or dataset_id.startswith(f"{GOLDEN}."):  # golden views: check_golden
            continue
        if dataset_id not in draft.declarations.datasets:
            message = unknown(dataset_id, "dataset", draft.declarations.datasets, "producers/")
            yield document.fault(FaultCode.UNKNOWN_DATASET, message, "datasets", dataset_id)
        elif dataset_id in draft.datasets:
            yield from _asked_faults(draft, ask, draft.datasets[dataset_id], asked)


def _asked_faults(draft: Draft, ask: AskDraft, dataset: DatasetDraft, asked: AskedDataset) -> Iterator[Fault]:
    document, at = ask.document, ("datasets", dataset.id)
    if not asked.fields:
        yield document.fault(FaultCode.NOTHING_ASKED, "this ask names no field: add fields:", *at, "fields")
    subscriber = draft.subscribers.get(ask.model.subscriber)
    yield from field_faults(asked.fields, dataset, subscriber, document, (*at, "fields"))
    masks = masks_of(asked.fields)
    if dataset.model.share == "conditional" and ask.model.purpose != MENDED:
        grant = grant_for(dataset.model, ask.model.subscriber, ask.model.purpose)
        if grant is None:
            yield from purpose_faults(draft, ask, dataset, at)
        elif grant.state != "ended":
            yield from _grant_faults(document, dataset, masks, grant)
    if asked.rows is not None and dataset.fields:
        yield from row_faults(draft, document, dataset, masks, asked)


def purpose_faults(draft: Draft, ask: AskDraft, dataset: DatasetDraft, at: Steps) -> Iterator[Fault]:
    """An owner that grants this subscriber other purposes has decided against this one; silence is a warning only."""
    purposes = sorted({grant.purpose for grant in dataset.model.grants if grant.to == ask.model.subscriber})
    if purposes and all(purpose in draft.vocabulary.purposes for purpose in purposes):
        message = (
            f"{dataset.id} is granted to {ask.model.subscriber} for {', '.join(purposes)}, not for "
            f"{ask.model.purpose}: ask for a granted purpose, or apply to {dataset.model.department} for this one"
        )
        yield ask.document.fault(FaultCode.PURPOSE_NOT_GRANTED, message, *at)


def _grant_faults(
    document: Document, dataset: DatasetDraft, masks: Mapping[str, Mask], grant: Grant
) -> Iterator[Fault]:
    """Every asked field is granted, under a mask at least as strict as the grant's."""
    least = masks_of(grant.fields)
    for path, mask in masks.items():
        at = ("datasets", dataset.id, "fields", path)
        if mask == Drop() or path not in dataset.fields or MENDED in least:
            continue
        granted = granted_mask(least, path)
        if granted is None or granted == Drop():
            if path not in grant.fields or granted == Drop():
                message = not_granted(path, dataset, grant)
                yield document.fault(FaultCode.FIELD_NOT_GRANTED, message, *at)
        elif applies(granted, dataset.fields[path].kind):
            yield from weaker_faults(document, path, mask, granted, at)


def not_granted(path: str, dataset: DatasetDraft, grant: Grant) -> str:
    """Return the message for a field that *grant* does not name."""
    return (
        f"{path} is not granted: {dataset.id} grants {grant.to} for {grant.purpose} "
        f"{', '.join(sorted(grant.fields)) or 'nothing'}; take it out, or apply to {dataset.model.department}"
    )


def weaker_faults(document: Document, path: str, mask: Mask, granted: Mask, at: Steps) -> Iterator[Fault]:
    """Yield a fault where the asked *mask* is not at least as strict as the *granted* one."""
    if at_least_as_strict(mask, granted):
        return
    words = f"{path} is granted as {_word(granted)} and asked as {_word(mask)}"
    if at_least_as_strict(granted, mask):
        message = f"{words}, which reveals more: ask for {_word(granted)} or a stricter mask"
        yield document.fault(FaultCode.MASK_TOO_WEAK, message, *at)
    else:
        message = f"{words}, and neither covers the other: ask for {_word(granted)}, null or drop"
        yield document.fault(FaultCode.MASKS_INCOMPARABLE, message, *at)


def _word(mask: Mask) -> str:
    match declared(mask):
        case {"mask": {"first": first, "last": last}}:
            return f"{{mask: {{first: {first}, last: {last}}}}}"
        case {"generalise": {"division": digits}}:
            return f"{{generalise: {{division: {digits}}}}}"
        case {"generalise": {"band": width}}:
            return f"{{generalise: {{band: {width}}}}}"
        case {"generalise": unit}:
            return f"{{generalise: {unit}}}"
        case word:
            return str(word)


def row_faults(
    draft: Draft,
    document: Document,
    dataset: DatasetDraft,
    masks: Mapping[str, Mask],
    asked: AskedDataset,
    known: Mapping[str, frozenset[str]] | None = None,
) -> Iterator[Fault]:
    """Yield what is wrong with an ask's condition, which sees what its masks leave and nothing else.

    *known*: by path the only texts that occur, where the dataset's code lists do not say so.
    """

    def field_at(path: str) -> Comparable | tuple[FaultCode, str]:
        if path not in dataset.fields:
            return FaultCode.UNKNOWN_FIELD, f"{dataset.id} has no field {path}{suggestion(path, dataset.fields)}"
        mask = granted_mask(masks, path)
        if mask is None or mask == Drop():
            if path in asked.fields and path not in masks:
                return Comparable("null")  # its mask is unknown, which is a fault of its own
            message = (
                f"a condition on {path}, which this ask is not delivered: ask for the field, or leave the condition "
                "to the owner's grant"
            )
            return FaultCode.CONDITION_NOT_GRANTED, message
        if isinstance(mask, Null | Pseudonym):
            message = f"a condition on {path}, whose value this ask is not shown ({_word(mask)}): leave it to the grant"
            return FaultCode.CONDITION_NOT_GRANTED, message
        barrier = unreachable(dataset, path)
        if barrier is not None:
            return FaultCode.CONDITION_MISFIT, barrier
        if mask == Pass() and known is not None and path in known:
            return Comparable(dataset.fields[path].kind, known[path])
        if mask == Pass():
            return comparable(dataset, path, draft.vocabulary.code_lists)
        return Comparable(kind_after(mask, dataset.fields[path].kind))

    for steps, code, message in condition_faults(asked.rows, field_at):
        yield document.fault(code, message, "datasets", dataset.id, "rows", *steps)


def ask_warnings(draft: Draft, ask: AskDraft, today: date) -> Iterator[Fault]:
    """Yield why *ask* delivers nothing, or soon will not. *today* is the day in China Standard Time."""
    model, document = ask.model, ask.document
    if model.until < today:
        message = f"{ask.id} expired on {model.until}: nothing is delivered; renew it, or remove the file"
        yield document.fault(WarningCode.ASK_EXPIRED, message, "until")
    elif model.until <= today + timedelta(days=WARNING_DAYS):
        message = f"{ask.id} ends on {model.until}: renew it in time if the purpose lasts"
        yield document.fault(WarningCode.ASK_ENDS_SOON, message, "until")
    for dataset_id in model.datasets:
        dataset = draft.datasets.get(dataset_id)
        if dataset is not None and dataset.model.share != "unconditional":
            code, message = grant_standing(model, dataset, today)
            if code is not None:
                yield document.fault(code, message, "datasets", dataset_id)


def grant_standing(ask: Ask, dataset: DatasetDraft, today: date) -> tuple[WarningCode | None, str]:
    """Return how the grant that answers *ask* stands, if not well."""
    owner = dataset.model.department
    grant = grant_for(dataset.model, ask.subscriber, ask.purpose) if dataset.model.share == "conditional" else None
    if grant is None:
        return (
            WarningCode.NO_GRANT,
            f"{owner} has not granted {dataset.id} to {ask.subscriber} for {ask.purpose}: nothing is delivered; "
            f"apply to {owner}",
        )
    if grant.state == "suspended":
        return WarningCode.GRANT_SUSPENDED, f"{owner} has suspended its grant of {dataset.id}: nothing is delivered"
    if grant.state == "ended":
        return WarningCode.GRANT_ENDED, f"{owner} has ended its grant of {dataset.id}: nothing is delivered"
    if grant.until < today:
        message = f"the grant of {dataset.id} expired on {grant.until}: nothing is delivered; apply to {owner} anew"
        return WarningCode.GRANT_EXPIRED, message
    if grant.until <= today + timedelta(days=WARNING_DAYS) and grant.until < ask.until:
        return WarningCode.GRANT_ENDS_SOON, f"the grant of {dataset.id} ends on {grant.until}: apply to {owner} in time"
    return None, ""
