"""The fields of a dataset's Avro schema by dotted path: what kind of value each holds and whether it may be absent.

Which masks and which tests of a condition a field can carry follow from its kind alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from govbus.rules.mask import (
    Drop,
    GeneraliseBand,
    GeneraliseDate,
    GeneraliseDivision,
    Keep,
    Mask,
    Null,
    Pass,
    Pseudonym,
)

Kind = Literal[
    "string",
    "int",
    "long",
    "boolean",
    "enum",
    "date",
    "time",
    "timestamp",
    "decimal",
    "float",
    "double",
    "bytes",
    "fixed",
    "record",
    "array",
    "map",
    "union",
    "null",
]

KEY_KINDS: frozenset[Kind] = frozenset({"string", "int", "long", "date", "time", "timestamp", "enum", "boolean"})
"""Kinds with one canonical text each: as they are, ISO dates, decimal numbers (times and timestamps too), symbols."""
COMPARED_KINDS: frozenset[Kind] = frozenset({"string", "int", "long", "boolean", "enum", "date", "time", "timestamp"})
"""Kinds whose values a condition can be tested on; of every other kind it can only ask `is_null`."""

PRIMITIVES: frozenset[str] = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_LOGICAL: dict[str, tuple[Kind, frozenset[str]]] = {
    "date": ("date", frozenset({"int"})),
    "time-millis": ("time", frozenset({"int"})),
    "time-micros": ("time", frozenset({"long"})),
    "timestamp-millis": ("timestamp", frozenset({"long"})),
    "timestamp-micros": ("timestamp", frozenset({"long"})),
    "local-timestamp-millis": ("timestamp", frozenset({"long"})),
    "local-timestamp-micros": ("timestamp", frozenset({"long"})),
    "decimal": ("decimal", frozenset({"bytes", "fixed"})),
    "uuid": ("string", frozenset({"string"})),
}
LOGICAL_TYPES = tuple(_LOGICAL)


@dataclass(frozen=True, slots=True)
class AvroField:
    """One field of a record schema, at any depth of nested records.

    `schema` is the type without its ``null`` branch; `optional` says whether the value, or a record around it, may be
    null.
    """

    path: str
    kind: Kind
    optional: bool
    schema: Any
    has_default: bool

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of an enum."""
        return tuple(self.schema["symbols"]) if self.kind == "enum" else ()


class SchemaFault(ValueError):
    """The schema uses something that the bus does not carry; `path` is the field."""

    def __init__(self, path: str, message: str, *, lacks_default: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.lacks_default = lacks_default


def avro_fields(schema: Mapping[str, Any], faults: list[SchemaFault] | None = None) -> dict[str, AvroField]:
    """Return every field of the record *schema* by dotted path, a nested record before its own fields.

    Arrays, maps and unions of several types count as one field. The schema must be valid Avro. What the bus does not
    carry (recursive types, unknown logical types, optional fields without default) is added to *faults*, or raised as
    `SchemaFault` where that is None.
    """
    walk = _Walk([] if faults is None else faults)
    walk.record(schema, "", optional=False)
    if faults is None and walk.faults:
        raise walk.faults[0]
    return walk.fields


class _Walk:
    def __init__(self, faults: list[SchemaFault]) -> None:
        self.fields: dict[str, AvroField] = {}
        self.faults = faults
        self._named: dict[str, Any] = {}
        self._open: list[str] = []

    def record(self, schema: Mapping[str, Any], prefix: str, *, optional: bool) -> None:
        name = _full_name(schema)
        self._named[name] = schema
        self._open.append(name)
        for field in schema["fields"]:
            path = f"{prefix}{field['name']}"
            inner, nullable = self._unwrapped(field, path)
            resolved = self._resolve(inner, path)
            if resolved is None:
                continue
            kind = self._kind(resolved, path)
            self.fields[path] = AvroField(path, kind, optional or nullable, resolved, "default" in field)
            if kind == "record":
                self.record(resolved, f"{path}.", optional=optional or nullable)
            else:
                self._inside(resolved, kind, path)
        self._open.pop()

    def _unwrapped(self, field: Mapping[str, Any], path: str) -> tuple[Any, bool]:
        """Return the field's type without null, and whether null was allowed."""
        declared = field["type"]
        if not isinstance(declared, list) or "null" not in declared:
            return declared, False
        if declared[0] != "null" or field.get("default", "") is not None:
            message = f'{path} may be null: write its type as ["null", T] and add "default": null'
            self.faults.append(SchemaFault(path, message, lacks_default=True))
        others = [each for each in declared if each != "null"]
        return (others[0] if len(others) == 1 else others), True

    def _resolve(self, declared: Any, path: str) -> Any:
        """Return the definition behind a type's name; None (and a fault) where it contains itself."""
        if isinstance(declared, Mapping) and declared.get("type") in ("record", "enum", "fixed"):
            self._named[_full_name(declared)] = declared
            return declared
        if not isinstance(declared, str) or declared in PRIMITIVES:
            return declared
        for name in (declared, declared.rpartition(".")[2]):
            if name in self._open:
                message = f"{path} contains its own type {declared}: records may not recurse"
                self.faults.append(SchemaFault(path, message))
                return None
            if name in self._named:
                return self._named[name]
        self.faults.append(SchemaFault(path, f"{path} has the unknown type {declared}"))
        return None

    def _kind(self, resolved: Any, path: str) -> Kind:
        if isinstance(resolved, list):
            return "union"
        if isinstance(resolved, str):
            return resolved  # type: ignore[return-value]
        logical, base = resolved.get("logicalType"), resolved["type"]
        if logical is not None:
            known = _LOGICAL.get(logical)
            if known is None or base not in known[1]:
                names = ", ".join(LOGICAL_TYPES)
                message = f"{path}: unknown logicalType {logical} on {base}; known are {names}, each on its own type"
                self.faults.append(SchemaFault(path, message))
            else:
                return known[0]
        return base if isinstance(base, str) else self._kind(base, path)  # type: ignore[return-value]

    def _inside(self, resolved: Any, kind: Kind, path: str) -> None:
        """Look through what arrays, maps and unions hold, for recursion and for optional fields without default."""
        match kind:
            case "array" | "map":
                parts = [resolved["items" if kind == "array" else "values"]]
            case "union":
                parts = resolved
            case _:
                return
        for part in parts:
            others = [each for each in part if each != "null"] if isinstance(part, list) else [part]
            for other in others:
                definition = self._resolve(other, path)
                if definition is None:
                    continue
                inner = self._kind(definition, path)
                if inner == "record":
                    held, self.fields = self.fields, {}
                    self.record(definition, f"{path}.", optional=True)
                    self.fields = held
                else:
                    self._inside(definition, inner, path)


def named_types(schema: Any) -> dict[str, Any]:
    """Return every named type defined inside *schema*, under its name without namespace."""
    found: dict[str, Any] = {}
    pending = [schema]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending.extend(each)
        elif isinstance(each, Mapping):
            if "name" in each and each.get("type") in ("record", "enum", "fixed"):
                found[_full_name(each)] = each
            pending.extend(field["type"] for field in each.get("fields", ()))
            pending.extend(each[inside] for inside in ("items", "values") if inside in each)
            if isinstance(each.get("type"), list | Mapping):
                pending.append(each["type"])
    return found


def _full_name(schema: Mapping[str, Any]) -> str:
    return str(schema["name"]).rpartition(".")[2]


def steps_to(schema: Any, path: str) -> tuple[str | int, ...]:
    """Return where the field at *path* stands inside the JSON of its *schema*, as far as it is written in place."""
    steps: list[str | int] = []
    at = schema
    for name in path.split("."):
        if isinstance(at, list):
            steps.extend(number for number, each in enumerate(at) if isinstance(each, Mapping) and "fields" in each)
            at = next((each for each in at if isinstance(each, Mapping) and "fields" in each), None)
        fields = at.get("fields") if isinstance(at, Mapping) else None
        found = [n for n, each in enumerate(fields) if each.get("name") == name] if isinstance(fields, list) else []
        if not found or not isinstance(fields, list):
            break
        steps += ["fields", found[0], "type"]
        at = fields[found[0]].get("type")
    return tuple(steps[:-1] if steps[-1:] == ["type"] else steps)


def applies(mask: Mask, kind: Kind) -> bool:
    """Return whether *mask* can be put on a field of this *kind*."""
    match mask:
        case Pass() | Drop() | Null():
            return True
        case Keep() | GeneraliseDivision() | Pseudonym():
            return kind == "string"
        case GeneraliseDate():
            return kind == "date"
        case GeneraliseBand():
            return kind in ("int", "long")


def kind_after(mask: Mask, kind: Kind) -> Kind:
    """Return the kind of what *mask* leaves of a field: every mask that changes a value makes it text."""
    match mask:
        case Pass() | Drop():
            return kind
        case Null():
            return "null"
        case Keep() | GeneraliseDate() | GeneraliseDivision() | GeneraliseBand() | Pseudonym():
            return "string"
