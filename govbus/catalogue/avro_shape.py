"""Whether a JSON value has the shape of an Avro schema (Avro 1.11 specification, Schema Declaration).

fastavro reads schemas leniently (a record without fields, an enum whose symbols are no list), and whatever it lets
through the bus would meet later. So the shape is judged here; references and defaults are left to fastavro.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from govbus.catalogue.avro_fields import PRIMITIVES

MAX_DEPTH = 30

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_FULL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\Z")


def shape_faults(schema: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield where in *schema* the shape is not Avro's, and what is wrong there."""
    if not isinstance(schema, Mapping) or schema.get("type") != "record":
        yield (), 'the top of a schema is a record: {"type": "record", "name": ..., "fields": [...]}'
    else:
        yield from _type(schema, (), 0)


def _type(declared: object, at: tuple[str | int, ...], depth: int) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if depth > MAX_DEPTH:
        yield at, f"types are nested deeper than {MAX_DEPTH} levels"
    elif isinstance(declared, str):
        if not _FULL_NAME.match(declared):
            yield at, f"{declared[:40]!r} is no name of a type"
    elif isinstance(declared, list):
        yield from _union(declared, at, depth)
    elif isinstance(declared, Mapping):
        yield from _complex(declared, at, depth)
    else:
        yield at, "a type is a name, an object or a list of types"


def _union(branches: list[Any], at: tuple[str | int, ...], depth: int) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not any(branch != "null" for branch in branches):
        yield at, "a union holds at least one type besides null"
    kinds: list[object] = []
    for number, branch in enumerate(branches):
        if isinstance(branch, list):
            yield (*at, number), "a union holds no union"
        kind = branch.get("type") if isinstance(branch, Mapping) else branch
        name = branch.get("name") if isinstance(branch, Mapping) and kind in ("record", "enum", "fixed") else kind
        if name in kinds:
            yield (*at, number), f"the union holds {name} twice"
        kinds.append(name)
        yield from _type(branch, (*at, number), depth + 1)


def _complex(
    declared: Mapping[str, Any], at: tuple[str | int, ...], depth: int
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    kind = declared.get("type")
    if kind in ("record", "enum", "fixed") and not _named(declared):
        yield at, f"this {kind} has no name (letters, digits and _)"
    match kind:
        case "record":
            yield from _fields(declared.get("fields"), (*at, "fields"), depth)
        case "enum":
            symbols = declared.get("symbols")
            if not isinstance(symbols, list) or not symbols or not all(_is_name(symbol) for symbol in symbols):
                yield at, "an enum has symbols: a list of names (letters, digits and _, no digit first)"
            elif len(set(symbols)) != len(symbols):
                yield at, "an enum has each symbol once"
            elif "default" in declared and declared["default"] not in symbols:
                yield at, "an enum's default is one of its symbols"
        case "fixed":
            if not _is_count(declared.get("size")):
                yield at, "a fixed has a size: its number of bytes"
        case "array":
            yield from _type(declared.get("items"), (*at, "items"), depth + 1)
        case "map":
            yield from _type(declared.get("values"), (*at, "values"), depth + 1)
        case dict() | list():
            yield (*at, "type"), "a type stands in a type: take the inner one alone"
        case _ if not isinstance(kind, str) or kind not in PRIMITIVES:
            yield (
                at,
                f"unknown type {str(kind)[:40]}: record, enum, fixed, array, map or {', '.join(sorted(PRIMITIVES))}",
            )
    yield from _logical(declared, at)


def _logical(declared: Mapping[str, Any], at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    logical = declared.get("logicalType")
    if logical is not None and not isinstance(logical, str):
        yield (*at, "logicalType"), "a logicalType is a name"
    if logical == "decimal":
        precision, scale = declared.get("precision"), declared.get("scale", 0)
        if not _is_count(precision):
            yield at, "a decimal has a precision: its number of digits"
        elif not isinstance(scale, int) or isinstance(scale, bool) or not 0 <= scale <= int(precision or 0):
            yield at, "a decimal's scale lies between 0 and its precision"


def _fields(fields: object, at: tuple[str | int, ...], depth: int) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not isinstance(fields, list) or not fields:
        yield at[:-1], "a record has fields: a list with at least one"
        return
    names: set[str] = set()
    for number, field in enumerate(fields):
        here = (*at, number)
        if not isinstance(field, Mapping) or not _is_name(field.get("name")):
            yield here, "a field is an object with a name (letters, digits and _)"
            continue
        if field["name"] in names:
            yield here, f"field {field['name']} stands twice"
        names.add(field["name"])
        if "type" not in field:
            yield here, f"field {field['name']} has no type"
        else:
            yield from _type(field["type"], (*here, "type"), depth + 1)


def _named(declared: Mapping[str, Any]) -> bool:
    namespace = declared.get("namespace", "")
    name = declared.get("name")
    well_named = isinstance(name, str) and bool(_FULL_NAME.match(name))
    return well_named and (namespace == "" or (isinstance(namespace, str) and bool(_FULL_NAME.match(namespace))))


def _is_name(text: object) -> bool:
    return isinstance(text, str) and bool(_NAME.match(text))


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 < number < 2**31
