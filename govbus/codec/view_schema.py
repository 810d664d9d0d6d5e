"""The schema of a share view: a function of the view's own fields and of nothing else of the source.

No doc, alias, default or namespace is carried over, named types are renamed after the path they stand at and defined in
place, so that nothing in the schema tells of a field the subscriber was not granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from govbus.codec.schemas import Schema
from govbus.rules.mask import GeneraliseBand, GeneraliseDate, GeneraliseDivision, Keep, Mask, Null, Pass, Pseudonym
from govbus.rules.share import ShareView

AvroType = Any
"""A parsed Avro type: a name, a complex type's mapping, or a union's list."""

NAMED = ("record", "enum", "fixed")
_KEPT_ATTRIBUTES = ("logicalType", "precision", "scale")


def view_schema(business: Schema, view: ShareView) -> Schema:
    """Return the Avro schema of *view* over a dataset with the *business* schema.

    Fields stand in the order of the source schema. A nested record of which only parts are shown holds those parts.
    Raises KeyError if the view names a path that the schema does not have.
    """
    types = named_types(business)
    namespace = f"share.{view.subscriber}.{view.ask}.{view.dataset.partition('.')[0]}"
    tree = mask_tree(view.masks)
    fields = list(_fields(business, tree, "", types, missing := set(view.masks)))
    if missing:
        raise KeyError(f"{view.id} names fields that the schema does not have: {', '.join(sorted(missing))}")
    return {"type": "record", "name": view.dataset.partition(".")[2], "namespace": namespace, "fields": fields}


MaskTree = dict[str, "Mask | MaskTree"]


def mask_tree(masks: Mapping[str, Mask]) -> MaskTree:
    """Return *masks* by path as a tree along the dots. A path inside a path given as a whole raises ValueError."""
    tree: MaskTree = {}
    for path in sorted(masks):
        *parents, leaf = path.split(".")
        at = tree
        for parent in parents:
            below = at.setdefault(parent, {})
            if not isinstance(below, dict):
                raise ValueError(f"{path} lies inside a field that is given as a whole")
            at = below
        at[leaf] = masks[path]
    return tree


def named_types(schema: AvroType) -> dict[str, AvroType]:
    """Return every named type defined inside *schema*, under its full name and, for schemas without one, its name."""
    found: dict[str, AvroType] = {}
    _collect(schema, "", found)
    return found


def _collect(schema: AvroType, namespace: str, found: dict[str, AvroType]) -> None:
    if isinstance(schema, list):
        for branch in schema:
            _collect(branch, namespace, found)
    elif isinstance(schema, dict):
        kind = schema["type"]
        if kind in NAMED:
            name = full_name(schema["name"], schema.get("namespace", namespace))
            found[name] = schema
            namespace = name.rpartition(".")[0]
            for field in schema.get("fields", ()):
                _collect(field["type"], namespace, found)
        elif kind == "array":
            _collect(schema["items"], namespace, found)
        elif kind == "map":
            _collect(schema["values"], namespace, found)
        elif isinstance(kind, dict | list):
            _collect(kind, namespace, found)


def full_name(name: str, namespace: str) -> str:
    """Return the full name of *name* met inside *namespace* (Avro 1.11, Names)."""
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _fields(
    record: Schema, tree: MaskTree, parent: str, types: Mapping[str, AvroType], missing: set[str]
) -> Iterator[Schema]:
    for field in record["fields"]:
        shown = tree.get(field["name"])
        if shown is None:
            continue
        path = f"{parent}{field['name']}"
        if isinstance(shown, dict):
            inner = resolve(field["type"], types)
            if not (isinstance(inner, dict) and inner["type"] == "record"):
                raise KeyError(f"{path} is not a record, so nothing inside it can be named")
            parts = list(_fields(inner, shown, f"{path}.", types, missing))
            nested = {"type": "record", "name": path.replace(".", "_"), "fields": parts}
            yield {"name": field["name"], "type": nested}
        else:
            missing.discard(path)
            yield {"name": field["name"], "type": masked_type(field["type"], shown, path, types)}


def resolve(avro_type: AvroType, types: Mapping[str, AvroType]) -> AvroType:
    """Return *avro_type* with a reference to a named type replaced by its definition, one level deep."""
    while isinstance(avro_type, str) or (isinstance(avro_type, dict) and isinstance(avro_type["type"], dict | list)):
        if isinstance(avro_type, dict):
            avro_type = avro_type["type"]
            continue
        found = types.get(avro_type)
        if found is None:
            found = next((t for name, t in types.items() if name.rpartition(".")[2] == avro_type), None)
        if found is None:
            return avro_type
        avro_type = found
    return avro_type


def masked_type(avro_type: AvroType, mask: Mask, path: str, types: Mapping[str, AvroType]) -> AvroType:
    """Return the type that a field at *path* has in the view once *mask* is laid over it.

    An optional field stays optional (``["null", T]``) under every mask except `Null`, whose type is ``null``.
    """
    match mask:
        case Null():
            return "null"
        case Pass():
            return _clean(avro_type, path.replace(".", "_"), types, frozenset())
        case Keep() | Pseudonym() | GeneraliseDate() | GeneraliseDivision() | GeneraliseBand():
            resolved = resolve(avro_type, types)
            if isinstance(resolved, list):
                return ["null" if branch == "null" else "string" for branch in resolved]
            return "string"
    raise ValueError(f"{path}: a view does not contain dropped fields")


def _clean(avro_type: AvroType, name: str, types: Mapping[str, AvroType], defined: frozenset[int]) -> AvroType:
    resolved = resolve(avro_type, types)
    if isinstance(resolved, str):
        return resolved
    if isinstance(resolved, list):
        return [_clean(branch, f"{name}_{number}", types, defined) for number, branch in enumerate(resolved)]
    kind = resolved["type"]
    kept = {word: resolved[word] for word in _KEPT_ATTRIBUTES if word in resolved}
    if kind == "array":
        return {"type": "array", "items": _clean(resolved["items"], f"{name}_item", types, defined)}
    if kind == "map":
        return {"type": "map", "values": _clean(resolved["values"], f"{name}_value", types, defined)}
    if kind == "enum":
        return {"type": "enum", "name": name, "symbols": list(resolved["symbols"])}
    if kind == "fixed":
        return {"type": "fixed", "name": name, "size": resolved["size"], **kept}
    if kind == "record":
        if id(resolved) in defined:
            raise ValueError(f"{name}: a record that contains itself cannot be shared")
        defined = defined | {id(resolved)}
        fields = [
            {"name": field["name"], "type": _clean(field["type"], f"{name}_{field['name']}", types, defined)}
            for field in resolved["fields"]
        ]
        return {"type": "record", "name": name, "fields": fields}
    return {"type": kind, **kept} if kept else kind
