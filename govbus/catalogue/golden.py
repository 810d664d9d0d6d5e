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

STANDINGS = ("agreed", "disputed", "unverified", "provisional", "stale")
"""How a value stands: every comparable report agrees; one differs; nobody else reports; the authority has none though
others report one; a newer report differs and the authority may not have followed yet."""


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


def golden_datasets(catalogue: Catalogue) -> dict[str, Dataset]:
    """Return the golden dataset of every entity that has an element with a source, under ``golden.ENTITY``."""
    return {
        f"{GOLDEN}.{entity}": _dataset(catalogue, entity)
        for entity in catalogue.vocabulary.entities
        if elements_of(catalogue, entity)
    }


def source_type(catalogue: Catalogue, binding: Binding) -> Any:
    """Return the Avro type of a bound field, without its null."""
    return avro_fields(catalogue.datasets[binding.dataset].avro)[binding.path].schema


def _dataset(catalogue: Catalogue, entity: str) -> Dataset:
    declared = catalogue.vocabulary.entities[entity]
    bound = list(bindings(catalogue, entity))
    grades = {
        name: [catalogue.datasets[each.dataset].fields[each.path].grade for each in bound if each.element == element]
        for name in elements_of(catalogue, entity)
        for element in (f"{entity}.{name}",)
    }
    sources = {
        name: next(each for each in bound if each.element == f"{entity}.{name}" and each.authority) for name in grades
    }
    fields = {declared.id: FieldEntry(title=declared.title, grade=_highest(_id_grades(catalogue, entity)))}
    parts: list[dict[str, Any]] = [{"name": declared.id, "type": "string"}]
    for name, source in sources.items():
        entry = catalogue.datasets[source.dataset].fields[source.path]
        title = catalogue.vocabulary.elements[f"{entity}.{name}"].title
        fields[name] = FieldEntry(title=title, grade=_highest(grades[name]))
        fields[f"{name}.value"] = entry.model_copy(update={"element": None, "authoritative": False})
        fields[f"{name}.standing"] = FieldEntry(title=f"{title}核验状态", grade=_highest(grades[name]))
        for part, of in (("source", "来源"), ("version", "来源版本"), ("changed_at", "来源更新时间")):
            fields[f"{name}.{part}"] = FieldEntry(
                title=f"{title}{of}", grade=_highest(grades[name]), share="not_shared", basis="总线内部使用，不对外共享"
            )
        parts.append({"name": name, "type": element_schema(name, source_type(catalogue, source))})
    return Dataset(
        department=GOLDEN,
        dataset=entity,
        title=f"{declared.title}权威视图",
        resource_code="199999/000001",
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


def element_schema(name: str, value: Any) -> dict[str, Any]:
    """Return the schema of one element of a golden record, whose source's field has the type *value*."""
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


def _id_grades(catalogue: Catalogue, entity: str) -> list[Grade]:
    """Return the grades of the subjects of all datasets that report on *entity*."""
    return [
        catalogue.datasets[each].fields[catalogue.datasets[each].subject].grade
        for each in _reporting(catalogue, entity)
    ]


def _reporting(catalogue: Catalogue, entity: str) -> list[str]:
    return sorted({each.dataset for each in bindings(catalogue, entity)})


def _highest(grades: list[Grade]) -> Grade:
    return max(grades, key=GRADES.index)
