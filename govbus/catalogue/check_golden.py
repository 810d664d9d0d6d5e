"""Checks of asks for golden views: each element against the grants of the departments that are its source.

Who may see an element is its authority's grant: its value under that grant's mask, its standing where the grant says
so, and its identifier as far as each of these grants gives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from govbus.catalogue.avro_fields import applies, avro_fields
from govbus.catalogue.check_asks import grant_standing, not_granted, purpose_faults, row_faults, weaker_faults
from govbus.catalogue.check_elements import all_are_told, bound_fields
from govbus.catalogue.document import Steps
from govbus.catalogue.draft import AskDraft, DatasetDraft, Draft, unknown
from govbus.catalogue.faults import FaultCode
from govbus.catalogue.golden import GOLDEN, Binding, authorities, golden_datasets
from govbus.catalogue.model import AskedDataset, Grant
from govbus.catalogue.reader import ELEMENTS
from govbus.catalogue.released import field_faults, granted_mask, masks_of
from govbus.catalogue.shape import MENDED
from govbus.catalogue.views import grant_for
from govbus.errors import Fault
from govbus.rules.crosscheck import Standing
from govbus.rules.mask import Drop, Mask

STANDINGS = frozenset(map(str, Standing))


@dataclass
class GoldenDraft:
    """The golden view of an entity as a dataset, and per element the fields that are its source."""

    dataset: DatasetDraft
    sources: Mapping[str, tuple[Binding, ...]]

    def sources_of(self, masks: Mapping[str, Mask]) -> list[str]:
        """Return the ids of the datasets that are the source of something shown under *masks*."""
        names = {path.partition(".")[0] for path, mask in masks.items() if mask != Drop()}
        return sorted({each.dataset for name in names & self.sources.keys() for each in self.sources[name]})


def golden_drafts(draft: Draft) -> dict[str, GoldenDraft] | None:
    """Return the golden views that *draft*, whose elements have no fault, comes to; None where that cannot be told."""
    asked = any(_entity_of(dataset_id) for ask in draft.asks.values() for dataset_id in ask.model.datasets)
    if not asked:
        return {}
    document = draft.declarations.vocabulary
    if document is None:
        return {}
    bound = bound_fields(draft)
    if draft.city is None or not all_are_told(draft) or any(each.field is None for each in bound):
        return None
    if any(each.dataset.model.subject not in each.dataset.entries for each in bound):
        return None
    catalogue = draft.catalogue()
    return {
        name: GoldenDraft(
            DatasetDraft(name, model, document, None, avro_fields(model.avro)), authorities(catalogue, model.dataset)
        )
        for name, model in golden_datasets(catalogue).items()
    }


def _entity_of(dataset_id: str) -> str:
    """Return the entity of a golden dataset's id, the empty text of any other id."""
    department, _, entity = dataset_id.partition(".")
    return entity if department == GOLDEN else ""


def golden_faults(draft: Draft, golden: Mapping[str, GoldenDraft] | None, ask: AskDraft) -> Iterator[Fault]:
    """Yield what is wrong with the golden views that *ask* names; nothing where faults of elements hide them (None)."""
    for dataset_id, asked in ask.model.datasets.items():
        entity, at = _entity_of(dataset_id), ("datasets", dataset_id)
        if golden is None or not entity:
            continue
        if dataset_id in golden:
            yield from _asked_faults(draft, golden[dataset_id], ask, asked, at)
        elif entity in draft.vocabulary.entities:
            message = f"there is no {dataset_id}: no element of {entity} has a source yet; declare one in {ELEMENTS}"
            yield ask.document.fault(FaultCode.UNKNOWN_DATASET, message, *at)
        else:
            known = {f"{GOLDEN}.{each}": None for each in draft.vocabulary.entities}
            message = unknown(dataset_id, "golden view", known, f"{ELEMENTS} (entities)")
            yield ask.document.fault(FaultCode.UNKNOWN_DATASET, message, *at)


def _asked_faults(draft: Draft, golden: GoldenDraft, ask: AskDraft, asked: AskedDataset, at: Steps) -> Iterator[Fault]:
    document, dataset = ask.document, golden.dataset
    if not asked.fields:
        yield document.fault(FaultCode.NOTHING_ASKED, "this ask names no field: add fields:", *at, "fields")
    for path, word in asked.fields.items():
        if path in golden.sources and word != "drop":
            message = (
                f"{path} is a whole element with its source and version, which stay inside the bus: ask for "
                f"{path}.value and, where it is granted, {path}.standing"
            )
            yield document.fault(FaultCode.NOT_SHARED, message, *at, "fields", path)
    fields = {path: word for path, word in asked.fields.items() if path not in golden.sources}
    yield from field_faults(fields, dataset, draft.subscribers.get(ask.model.subscriber), document, (*at, "fields"))
    masks = {path: mask for path, mask in masks_of(fields).items() if mask != Drop()}
    if masks.keys() == {dataset.model.subject} and fields == asked.fields:
        message = "this ask names no element: an identifier alone says only that somebody reports on it"
        yield document.fault(FaultCode.NOTHING_ASKED, message, *at, "fields")
    if ask.model.purpose != MENDED:
        for source in golden.sources_of(masks):
            yield from _source_faults(draft, golden, ask, draft.datasets[source], masks, at)
    if asked.rows is not None:
        standings = dict.fromkeys((f"{name}.standing" for name in golden.sources), STANDINGS)
        yield from row_faults(draft, document, dataset, masks, asked, standings)


def _source_faults(
    draft: Draft, golden: GoldenDraft, ask: AskDraft, source: DatasetDraft, masks: Mapping[str, Mask], at: Steps
) -> Iterator[Fault]:
    """The source's grant covers what is asked of it: no owner's key is opened by another's."""
    grant = None
    if source.model.share == "conditional":
        grant = grant_for(source.model, ask.model.subscriber, ask.model.purpose)
        if grant is None:
            yield from purpose_faults(draft, ask, source, at)
        if grant is None or grant.state == "ended" or MENDED in grant.fields:
            return
    elif source.model.share == "not_shared":
        return
    for path, mask in masks.items():
        name, _, part = path.partition(".")
        if path == golden.dataset.model.subject:
            of = source.model.subject
        else:
            bound = [each for each in golden.sources.get(name, ()) if each.dataset == source.id]
            if not bound:
                continue
            of = bound[0].path
        where = (*at, "fields", path)
        if part == "standing":
            if grant is None or of not in grant.standing:
                message = _standing_not_granted(path, of, source, grant)
                yield ask.document.fault(FaultCode.STANDING_NOT_GRANTED, message, *where)
        elif grant is not None and part in ("", "value"):
            granted = granted_mask(masks_of(grant.fields), of)
            if granted is None or granted == Drop():
                message = f"{path}, of which {source.id} is the source: {not_granted(of, source, grant)}"
                yield ask.document.fault(FaultCode.FIELD_NOT_GRANTED, message, *where)
            elif all(applies(each, source.fields[of].kind) for each in (mask, granted)):
                yield from weaker_faults(ask.document, f"{path} ({source.id} {of})", mask, granted, where)


def _standing_not_granted(path: str, of: str, source: DatasetDraft, grant: Grant | None) -> str:
    if grant is None:
        return (
            f"{path} is nobody's to grant: {source.id} is shared unconditionally, without a grant that could say "
            "standing; take it out"
        )
    return (
        f"{path} is not granted: the grant of {source.id} to {grant.to} for {grant.purpose} does not list {of} under "
        f"standing; take it out, or apply to {source.model.department}"
    )


def golden_warnings(
    draft: Draft, golden: Mapping[str, GoldenDraft] | None, ask: AskDraft, today: date
) -> Iterator[Fault]:
    """Yield why a golden view that *ask* names delivers nothing, or soon will not."""
    for dataset_id, asked in ask.model.datasets.items():
        if golden is not None and dataset_id in golden:
            for source in golden[dataset_id].sources_of(masks_of(asked.fields)):
                if draft.datasets[source].model.share != "unconditional":
                    code, message = grant_standing(ask.model, draft.datasets[source], today)
                    if code is not None:
                        yield ask.document.fault(code, f"{dataset_id}: {message}", "datasets", dataset_id)
