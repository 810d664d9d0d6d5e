"""The schemas a dataset and its views have on the wire, made from the business schema and nothing else."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

AvroType = Any
"""A parsed Avro type: a primitive's name, a complex type's mapping, or a union's list."""

NAMED = ("record", "enum", "fixed")

VERSION_FIELD = "_version"
CHANGED_AT_FIELD = "_changed_at"

DELETED: Schema = {
    "type": "record",
    "name": "Deleted",
    "namespace": "bus",
    "doc": "What the bus keeps of a deleted record, so that no older copy can come back.",
    "fields": [
        {"name": "version", "type": "long"},
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ],
}

DISCREPANCY: Schema = {
    "type": "record",
    "name": "Discrepancy",
    "namespace": "bus",
    "doc": "A report that differs from the authority's value. The bus's own: parties hear of it through the desk.",
    "fields": [
        {"name": "entity", "type": "string"},
        {"name": "id", "type": "string"},
        {"name": "element", "type": "string"},
        {"name": "source", "type": "string", "doc": "The authoritative dataset."},
        {"name": "reporter", "type": "string", "doc": "The dataset that says otherwise."},
        {"name": "source_value", "type": "string"},
        {"name": "reported_value", "type": "string"},
        {"name": "source_version", "type": "long"},
        {"name": "reported_version", "type": "long"},
        {"name": "comparator", "type": "string"},
        {"name": "result", "type": "string"},
        {"name": "reason", "type": "string"},
        {"name": "severity", "type": "string"},
        {"name": "opened_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ],
}

INCIDENT: Schema = {
    "type": "record",
    "name": "Incident",
    "namespace": "bus",
    "doc": "So many discrepancies of one dataset in one element that they are one thing to look into.",
    "fields": [
        {"name": "element", "type": "string"},
        {"name": "reporter", "type": "string", "doc": "The dataset that differs."},
        {"name": "partition", "type": "int"},
        {"name": "different", "type": "long", "doc": "Entities that differ."},
        {"name": "compared", "type": "long", "doc": "Entities compared."},
        {"name": "cause", "type": "string"},
        {"name": "cause_title", "type": "string"},
    ],
}


def record_schema(business: Schema) -> Schema:
    """Return the schema of raw and current records: `_version` and `_changed_at`, then the business fields."""
    meta = [
        {"name": VERSION_FIELD, "type": "long", "doc": "Version of this record at its source; the highest wins."},
        {
            "name": CHANGED_AT_FIELD,
            "type": {"type": "long", "logicalType": "timestamp-micros"},
            "doc": "When the source changed it, UTC.",
        },
    ]
    return {**business, "fields": [*meta, *business["fields"]]}


def linked(schema: AvroType) -> AvroType:
    """Return a copy of *schema* in which every reference to a named type is that type's definition itself.

    So nobody needs to look names up, or to know that a name means another type inside another namespace (Avro 1.11,
    "Names"). A schema that contains itself becomes a graph with a loop. Raises KeyError for a name that is not defined.
    """
    return _linked(schema, "", {})


def _linked(node: AvroType, namespace: str, defined: dict[str, AvroType]) -> AvroType:
    if isinstance(node, str):
        return node if node in PRIMITIVES else defined[full_name(node, namespace)]
    if isinstance(node, list):
        return [_linked(branch, namespace, defined) for branch in node]
    kind = node["type"]
    copy = dict(node)
    if kind in NAMED:
        name = full_name(node["name"], node.get("namespace", namespace))
        defined[name] = copy
        if kind == "record":
            inside = name.rpartition(".")[0]
            copy["fields"] = [{**field, "type": _linked(field["type"], inside, defined)} for field in node["fields"]]
    elif kind == "array":
        copy["items"] = _linked(node["items"], namespace, defined)
    elif kind == "map":
        copy["values"] = _linked(node["values"], namespace, defined)
    elif kind not in PRIMITIVES:
        return _linked(kind, namespace, defined)
    return copy


def full_name(name: str, namespace: str) -> str:
    """Return the full name of *name* met inside *namespace*."""
    return name if "." in name or not namespace else f"{namespace}.{name}"


PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


def plain(avro_type: AvroType) -> AvroType:
    """Return a linked type without wrapping: ``{"type": "string"}`` says no more than ``"string"``."""
    if isinstance(avro_type, dict) and avro_type["type"] in PRIMITIVES and "logicalType" not in avro_type:
        return avro_type["type"]
    return avro_type
