"""The schema of a share view: a function of the view's own fields and of nothing else of the source.

No doc, alias, default or namespace is carried over, and named types are defined in place under the path they stand at,
so that nothing in the schema tells of a field the subscriber was not granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from govbus.codec.schemas import AvroType, Schema, linked, plain
from govbus.rules.mask import GeneraliseBand, GeneraliseDate, GeneraliseDivision, Keep, Mask, Null, Pass, Pseudonym
from govbus.rules.share import ShareView

_KEPT_ATTRIBUTES = ("logicalType", "precision", "scale")


def view_schema(business: Schema, view: ShareView) -> Schema:
    """Return the Avro schema of *view* over a dataset with the *business* schema.

    Fields stand in the order of the source schema. A nested record of which only parts are shown holds those parts.
    Raises KeyError if the view names a path that the schema does not have.
    """
    namespace = f"share.{view.subscriber}.{view.ask}.{view.dataset.partition('.')[0]}"
    tree = mask_tree(view.masks)
    name = view.dataset.partition(".")[2]
    fields = list(_fields(linked(business), tree, "", f"{namespace}.{name}", missing := set(view.masks)))
    if missing:
        raise KeyError(f"{view.id} names fields that the schema does not have: {', '.join(sorted(missing))}")
    return {"type": "record", "name": name, "namespace": namespace, "fields": fields}


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


def _fields(record: Schema, tree: MaskTree, parent: str, namespace: str, missing: set[str]) -> Iterator[Schema]:
    for field in record["fields"]:
        name = field["name"]
        shown = tree.get(name)
        if shown is None:
            continue
        path = f"{parent}{name}"
        if isinstance(shown, dict):
            inner = field["type"]
            if not (isinstance(inner, dict) and inner["type"] == "record"):
                raise KeyError(f"{path} is not a record, so nothing inside it can be named")
            parts = list(_fields(inner, shown, f"{path}.", f"{namespace}.{name}", missing))
            yield {"name": name, "type": {"type": "record", "name": name, "namespace": namespace, "fields": parts}}
        else:
            missing.discard(path)
            yield {"name": name, "type": masked_type(field["type"], shown, namespace, name)}


def masked_type(avro_type: AvroType, mask: Mask, namespace: str, name: str) -> AvroType:
    """Return the type that a field has in the view once *mask* is laid over it; named types go under *namespace*.

    An optional field stays optional (``["null", T]``) under every mask except `Null`, whose type is ``null``.
    """
    match mask:
        case Null():
            return "null"
        case Pass():
            return self_contained(avro_type, namespace, name)
        case Keep() | Pseudonym() | GeneraliseDate() | GeneraliseDivision() | GeneraliseBand():
            if isinstance(avro_type, list):
                return ["null" if branch == "null" else "string" for branch in avro_type]
            return "string"
    raise ValueError(f"{name}: a view does not contain dropped fields")


def self_contained(
    avro_type: AvroType,
    namespace: str,
    name: str,
    inside: frozenset[int] = frozenset(),
) -> AvroType:
    """Return a linked *avro_type* with every named type defined in place, under the path it stands at, so that no two
    collide.

    Raises ValueError for a record that contains itself: it cannot be shared.
    """
    resolved = plain(avro_type)
    if isinstance(resolved, str):
        return resolved
    below = f"{namespace}.{name}"
    if isinstance(resolved, list):
        return [self_contained(branch, below, f"branch{number}", inside) for number, branch in enumerate(resolved)]
    kind = resolved["type"]
    kept = {word: resolved[word] for word in _KEPT_ATTRIBUTES if word in resolved}
    if kind == "array":
        return {"type": "array", "items": self_contained(resolved["items"], below, "item", inside)}
    if kind == "map":
        return {"type": "map", "values": self_contained(resolved["values"], below, "value", inside)}
    if kind == "enum":
        return {"type": "enum", "name": name, "namespace": namespace, "symbols": list(resolved["symbols"])}
    if kind == "fixed":
        return {"type": "fixed", "name": name, "namespace": namespace, "size": resolved["size"], **kept}
    if kind == "record":
        if id(resolved) in inside:
            raise ValueError(f"{name}: a record that contains itself cannot be shared")
        inside = inside | {id(resolved)}
        fields = [
            {"name": each["name"], "type": self_contained(each["type"], below, each["name"], inside)}
            for each in resolved["fields"]
        ]
        return {"type": "record", "name": name, "namespace": namespace, "fields": fields}
    return {"type": kind, **kept} if kept else kind
