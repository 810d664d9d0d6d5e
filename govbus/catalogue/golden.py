"""The golden view of an entity as a dataset: derived from the elements, so that it can be asked for like any other.

``golden.ENTITY`` has one record per entity: its identifier, and per element a record of the authority's value, its
standing, its source and that source's version and time. Only `value` and `standing` are ever shared onward.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from govbus.catalogue.avro_fields import avro_fields
from govbus.catalogue.model import GRADES, Authority, Catalogue, Contact, Dataset, Element, FieldEntry, Grade, Update

GOLDEN = "golden"
"""Where a department's name stands in the id of a dataset: no department may be called so."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One field that carries an element: of which dataset, under which path, and whether it is the source."""

    element: str
    dataset: str
    path: str
    authority: bool | Authority


def bindings(catalogue: Catalogue, entity: str) -> Iterator[Binding]:
    """Yield every field bound to an element of *entity*, in the order of the datasets' ids and of their fields."""
    for dataset in catalogue.datasets.values():
        if dataset.entity != entity:
            continue
        for path, entry in dataset.fields.items():
            if entry.element is not None and entry.element.partition(".")[0] == entity:
                yield Binding(entry.element, dataset.id, path, entry.authoritative)


def elements_of(catalogue: Catalogue, entity: str) -> Mapping[str, Element]:
    """Return the elements of *entity* that have an authority, under their own names, in the order they are declared."""
    sourced = {each.element for each in bindings(catalogue, entity) if each.authority}
    return {
        element_id.partition(".")[2]: element
        for element_id, element in catalogue.vocabulary.elements.items()
        if element_id in sourced
    }


def authorities(catalogue: Catalogue, entity: str) -> Mapping[str, tuple[Binding, ...]]:
    """Return per element of *entity* that has a source, under its own name, the fields that are it, wholly or in part;
    elements in the order they are declared, fields in that of the datasets' ids.
    """
    found: dict[str, list[Binding]] = {}
    for each in bindings(catalogue, entity):
        if each.authority:
            found.setdefault(each.element, []).append(each)
    return {
        element.partition(".")[2]: tuple(found[element])
        for element in catalogue.vocabulary.elements
        if element in found
    }


def dataset_of(catalogue: Catalogue, dataset_id: str) -> Dataset | None:
    """Return the dataset called *dataset_id*, a declared one or ``golden.ENTITY``; None where there is none."""
    department, _, entity = dataset_id.partition(".")
    if department != GOLDEN:
        return catalogue.datasets.get(dataset_id)
    if entity not in catalogue.vocabulary.entities:
        return None
    sources = authorities(catalogue, entity)
    return _dataset(catalogue, entity, sources) if sources else None


def golden_datasets(catalogue: Catalogue) -> dict[str, Dataset]:
    """Return the golden dataset of every entity that has an element with a source, under ``golden.ENTITY``."""
    named = (f"{GOLDEN}.{entity}" for entity in catalogue.vocabulary.entities)
    return {name: found for name in named if (found := dataset_of(catalogue, name)) is not None}


def _dataset(catalogue: Catalogue, entity: str, sources: Mapping[str, tuple[Binding, ...]]) -> Dataset:
    declared = catalogue.vocabulary.entities[entity]
    bound: dict[str, list[Binding]] = {}
    for each in bindings(catalogue, entity):
        bound.setdefault(each.element.partition(".")[2], []).append(each)
    reporting = {each.dataset for name in sources for each in bound[name]}
    subjects = [catalogue.datasets[each].fields[catalogue.datasets[each].subject].grade for each in reporting]
    fields = {declared.id: FieldEntry(title=declared.title, grade=_highest(subjects), format=declared.format)}
    parts: list[dict[str, Any]] = [{"name": declared.id, "type": "string"}]
    for name, claims in sources.items():
        title = catalogue.vocabulary.elements[f"{entity}.{name}"].title
        grade = _highest([_entry(catalogue, each).grade for each in bound[name]])
        fields[name] = FieldEntry(title=title, grade=grade)
        fields[f"{name}.value"] = _value_entry([_entry(catalogue, each) for each in claims])
        fields[f"{name}.standing"] = FieldEntry(title=f"{title}核验状态", grade=grade)
        for part, of in (("source", "来源"), ("version", "来源版本"), ("changed_at", "来源更新时间")):
            fields[f"{name}.{part}"] = FieldEntry(
                title=f"{title}{of}", grade=grade, share="not_shared", basis="总线内部使用，不对外共享"
            )
        parts.append({"name": name, "type": element_schema(name, source_type(catalogue, claims[0]))})
    number = list(catalogue.vocabulary.entities).index(entity) + 1
    return Dataset(
        department=GOLDEN,
        dataset=entity,
        title=f"{declared.title}权威视图",
        resource_code=f"199999/{number:06}",
        entity=entity,
        subject=declared.id,
        key=(declared.id,),
        share="conditional",
        update=Update(cycle="realtime"),
        region=catalogue.city.division,
        legal_basis="《政务数据共享条例》第十九条（一数一源）",
        contact=Contact(role="政务数据共享主管部门"),
        fields=fields,
        avro={"type": "record", "name": entity, "namespace": GOLDEN, "fields": parts},
    )


def source_type(catalogue: Catalogue, binding: Binding) -> Any:
    """Return the Avro type of a bound field, without its null."""
    return avro_fields(catalogue.datasets[binding.dataset].avro)[binding.path].schema


def _entry(catalogue: Catalogue, binding: Binding) -> FieldEntry:
    return catalogue.datasets[binding.dataset].fields[binding.path]


def _value_entry(sources: list[FieldEntry]) -> FieldEntry:
    """Return how the authority's value is described: as its field is, as strictly as the strictest of several."""
    barred = next((each for each in sources if each.share == "not_shared"), sources[0])
    kept = {"share": barred.share, "basis": barred.basis, "grade": _highest([each.grade for each in sources])}
    return sources[0].model_copy(update={"element": None, "authoritative": False, "owner": None, **kept})


def element_schema(name: str, value: Any) -> dict[str, Any]:
    """Return the schema of one element of a golden record, whose source's field has the type *value*."""
    if isinstance(value, Mapping) and "name" in value:  # two sources may name their types alike
        value = {**{key: each for key, each in value.items() if key not in _NAMING}, "name": f"{name}_value"}
    return {
        "type": "record",
        "name": f"{name}_element",
        "fields": [
            {"name": "value", "type": ["null", value], "default": None},
            {"name": "standing", "type": "string"},
            {"name": "source", "type": "string"},
            {"name": "version", "type": "long"},
            {"name": "changed_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        ],
    }


_NAMING = frozenset({"name", "namespace", "aliases"})


def _highest(grades: list[Grade]) -> Grade:
    return max(grades, key=GRADES.index)
