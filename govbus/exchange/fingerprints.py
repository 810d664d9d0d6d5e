"""What tells two versions of a view apart: 16 hex digits that differ wherever they could send different bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from govbus.catalogue.golden import GOLDEN, bindings, elements_of
from govbus.catalogue.model import Authority
from govbus.kafka.revisions import Revision
from govbus.rules import mask
from govbus.rules.mask import Pseudonym
from govbus.rules.share import ShareView

VIEW_CODE_VERSION = 1
"""Raised when the meaning of a view changes in code: every view is then sent anew, like under a new policy."""

GOLDEN_CODE_VERSION = 1
"""The same for golden and discrepancy views."""


def view_fingerprint(view: ShareView, revision: Revision) -> str:
    """Return 16 hex digits that differ wherever two views could send different bytes for some record.

    Covers fields, masks, conditions, key, schemas of the dataset and of the view, and the pseudonym key in use. `until`
    is not part of it: a longer term alone changes no row.
    """
    masked = any(isinstance(each, Pseudonym) for _, each in view.fields) or not view.key_in_clear
    parts: list[Any] = [
        VIEW_CODE_VERSION,
        [[path, mask.declared(each)] for path, each in view.fields],
        list(view.key),
        repr(view.grant_rows),
        repr(view.ask_rows),
        revision.view_schema_ids[view.id],
        _source_of(view, revision),
        revision.pseudonym_keys.get(f"{view.subscriber}.{view.purpose}") if masked else None,
    ]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:16]


def _source_of(view: ShareView, revision: Revision) -> Any:
    department, _, entity = view.dataset.partition(".")
    if department == GOLDEN:
        return [golden_fingerprint(entity, revision), repr(view.source_rows)]
    return revision.schema_ids[view.dataset][-1][0]


def golden_fingerprint(entity: str, revision: Revision) -> str:
    """Return 16 hex digits that differ wherever two golden or discrepancy views of *entity* could differ.

    Covers elements, comparators and graces, which fields are bound and who is the source, code maps, units, update
    cycles, and the schemas of the datasets and of the views.
    """
    catalogue = revision.catalogue
    bound = list(bindings(catalogue, entity))
    parts: list[Any] = [
        GOLDEN_CODE_VERSION,
        revision.golden_schema_ids[f"{GOLDEN}.{entity}"],
        revision.discrepancy_schema_id,
        catalogue.vocabulary.entities[entity].model_dump(mode="json"),
        [[name, element.model_dump(mode="json")] for name, element in elements_of(catalogue, entity).items()],
        [
            [
                each.element,
                each.dataset,
                each.path,
                each.authority.model_dump(mode="json") if isinstance(each.authority, Authority) else each.authority,
                catalogue.datasets[each.dataset].fields[each.path].codes,
                catalogue.datasets[each.dataset].fields[each.path].unit,
            ]
            for each in bound
        ],
        {
            name: [catalogue.datasets[name].update.model_dump(mode="json"), revision.schema_ids[name][-1][0]]
            for name in sorted({each.dataset for each in bound})
        },
        {name: each.model_dump(mode="json") for name, each in catalogue.vocabulary.code_maps.items()},
    ]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]
