"""A strict Avro reader and the canonical writer, straight from the Avro 1.12 specification ("Binary Encoding").

`decode` takes exactly what the specification allows in its shortest form. Two things only may be said in several
ways: an array or map may come in several blocks, and a block may carry a negative count and its size in bytes. Those
are valid and reported as not canonical; everything else is `Malformed`. `encode` writes the one canonical form:
shortest varints, arrays and maps as one block of positive count and then 0 (empty: only the 0), map entries in the
order they came.

Values keep everything the bytes say: a union's value is a `Branch`, a map a list of pairs, a float its bytes (a NaN
has many), an enum its symbol, a date or a decimal the number or bytes underneath. `plain` turns them into what a
reader wants.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


class Malformed(Exception):
    """The bytes are not a value of the schema."""


class Branch(NamedTuple):
    """A union's value: which branch, and the value in it."""

    index: int
    value: Any


class Bits(NamedTuple):
    """A float or double, as the bytes it came in."""

    raw: bytes

    def number(self) -> float:
        (number,) = struct.unpack("<f" if len(self.raw) == 4 else "<d", self.raw)
        return number


@dataclass(frozen=True)
class Primitive:
    name: str
    logical: str | None = None
    scale: int = 0
    precision: int = 0


@dataclass(frozen=True)
class Fixed:
    name: str
    size: int
    logical: str | None = None
    scale: int = 0
    precision: int = 0


@dataclass(frozen=True)
class Enum:
    name: str
    symbols: tuple[str, ...]
    default: str | None = None


@dataclass(frozen=True)
class Array:
    items: Type


@dataclass(frozen=True)
class Map:
    values: Type


@dataclass(frozen=True)
class Union:
    branches: tuple[Type, ...]


class Field(NamedTuple):
    name: str
    type: Type
    default: tuple[Any, ...]
    """The default as the schema writes it, in a tuple of one; empty where there is none."""


@dataclass(eq=False)
class Record:
    name: str
    fields: list[Field] = field(default_factory=list)

    def field(self, name: str) -> Field | None:
        return next((each for each in self.fields if each.name == name), None)


Type = Primitive | Fixed | Enum | Array | Map | Union | Record
NULL = Primitive("null")


def parse(schema: Any) -> Type:
    """Return the type a schema (as parsed from JSON) declares. Names are resolved by the specification's rule."""
    return _parse(schema, "", {})


def _parse(schema: Any, namespace: str, known: dict[str, Type]) -> Type:
    if isinstance(schema, list):
        return Union(tuple(_parse(branch, namespace, known) for branch in schema))
    if isinstance(schema, str):
        if schema in PRIMITIVES:
            return Primitive(schema)
        return known[schema if "." in schema else f"{namespace}.{schema}".lstrip(".")]
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return _parse(kind, namespace, known)
    logical, scale, precision = schema.get("logicalType"), schema.get("scale", 0), schema.get("precision", 0)
    if kind == "array":
        return Array(_parse(schema["items"], namespace, known))
    if kind == "map":
        return Map(_parse(schema["values"], namespace, known))
    if kind not in ("record", "enum", "fixed"):
        return Primitive(kind, logical, scale, precision) if kind in PRIMITIVES else _parse(kind, namespace, known)
    name = schema["name"]
    if "." in name:
        namespace = name.rpartition(".")[0]
    else:
        namespace = schema.get("namespace", namespace)
        name = f"{namespace}.{name}".lstrip(".")
    if kind == "fixed":
        known[name] = Fixed(name, schema["size"], logical, scale, precision)
    elif kind == "enum":
        known[name] = Enum(name, tuple(schema["symbols"]), schema.get("default"))
    else:
        known[name] = record = Record(name)
        for each in schema["fields"]:
            default = (each["default"],) if "default" in each else ()
            record.fields.append(Field(each["name"], _parse(each["type"], namespace, known), default))
    return known[name]


# Reading ----------------------------------------------------------------------------------------------------


@dataclass
class Limits:
    """What a record may hold at most: levels of nesting, and items that take no bytes at all (nulls in an array)."""

    depth: int = 64
    empty_items: int = 10_000


def decode(kind: Type, data: bytes, limits: Limits | None = None) -> tuple[Any, bool]:
    """Return the value that *data* holds and whether it is written canonically. Raises `Malformed`, and only that."""
    reader = _Reader(data, limits or Limits())
    value = reader.value(kind, 0)
    if reader.at != len(data):
        raise Malformed("bytes after the end")
    return value, reader.canonical


def extents(record: Record, data: bytes, limits: Limits | None = None) -> list[tuple[int, int]]:
    """Return where each field of the record in *data* starts and ends."""
    reader = _Reader(data, limits or Limits())
    found = []
    for each in record.fields:
        start = reader.at
        reader.value(each.type, 1)
        found.append((start, reader.at))
    if reader.at != len(data):
        raise Malformed("bytes after the end")
    return found


class _Reader:
    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data = data
        self.at = 0
        self.canonical = True
        self.limits = limits
        self.empty_items = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise Malformed("length beyond the end")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self, bits: int) -> int:
        number = shift = 0
        while True:
            (byte,) = self.take(1)
            number |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
            if shift >= 70:
                raise Malformed("varint too long")
        if byte == 0 and shift > 7:
            raise Malformed("varint not in its shortest form")
        if number >> bits:
            raise Malformed("number out of range")
        return (number >> 1) ^ -(number & 1)

    def text(self) -> str:
        try:
            return self.take(self.varint(64)).decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise Malformed("not UTF-8") from None

    def value(self, kind: Type, depth: int) -> Any:
        if depth > self.limits.depth:
            raise Malformed("nested too deep")
        match kind:
            case Primitive(name):
                return self.primitive(name)
            case Fixed(_, size):
                return self.take(size)
            case Enum(_, symbols):
                index = self.varint(32)
                if not 0 <= index < len(symbols):
                    raise Malformed("no such enum symbol")
                return symbols[index]
            case Union(branches):
                index = self.varint(64)
                if not 0 <= index < len(branches):
                    raise Malformed("no such union branch")
                return Branch(index, self.value(branches[index], depth + 1))
            case Record():
                return {each.name: self.value(each.type, depth + 1) for each in kind.fields}
            case Array(items):
                return list(self.blocks(lambda: self.value(items, depth + 1)))
            case Map(values):
                return list(self.blocks(lambda: (self.text(), self.value(values, depth + 1))))

    def primitive(self, name: str) -> Any:
        match name:
            case "null":
                return None
            case "boolean":
                byte = self.take(1)
                if byte not in (b"\0", b"\1"):
                    raise Malformed("neither true nor false")
                return byte == b"\1"
            case "int":
                return self.varint(32)
            case "long":
                return self.varint(64)
            case "float":
                return Bits(self.take(4))
            case "double":
                return Bits(self.take(8))
            case "bytes":
                return self.take(self.varint(64))
            case _:
                return self.text()

    def blocks(self, item: Any) -> Iterator[Any]:
        blocks = 0
        while count := self.varint(64):
            blocks += 1
            end = None
            if count < 0:
                count = -count
                size = self.varint(64)
                end = self.at + size
                if size < 0 or end > len(self.data):
                    raise Malformed("block size beyond the end")
            if blocks > 1 or end is not None:
                self.canonical = False
            for _ in range(count):
                start = self.at
                yield item()
                if self.at == start:
                    self.empty_items += 1
                    if self.empty_items > self.limits.empty_items:
                        raise Malformed("too many items that take no bytes")
            if end is not None and end != self.at:
                raise Malformed("block size is not the block's")


# Writing ----------------------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """Return the shortest zigzag varint of *number* (64 bits)."""
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def encode(kind: Type, value: Any) -> bytes:
    """Return the canonical bytes of *value*."""
    match kind:
        case Primitive("null"):
            return b""
        case Primitive("boolean"):
            return b"\1" if value else b"\0"
        case Primitive("int" | "long"):
            return varint(value)
        case Primitive("float" | "double"):
            return value.raw
        case Primitive("bytes"):
            return varint(len(value)) + value
        case Primitive("string"):
            text = value.encode()
            return varint(len(text)) + text
        case Fixed():
            return value
        case Enum(_, symbols):
            return varint(symbols.index(value))
        case Union(branches):
            return varint(value.index) + encode(branches[value.index], value.value)
        case Array(items):
            return _block([encode(items, each) for each in value])
        case Map(values):
            return _block([encode(Primitive("string"), key) + encode(values, each) for key, each in value])
        case Record():
            return b"".join(encode(each.type, value[each.name]) for each in kind.fields)
    raise AssertionError(kind)


def _block(items: list[bytes]) -> bytes:
    return varint(len(items)) + b"".join(items) + b"\0" if items else b"\0"


# What a value means -----------------------------------------------------------------------------------------

EPOCH_DAY = date(1970, 1, 1)
EPOCH_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)


def plain(kind: Type, value: Any) -> Any:
    """Return *value* as a Python reader would like it: unions opened, maps as dicts, logical types as their own.

    Dates and instants that Python's calendar cannot hold (years 1 to 9999) stay numbers, a text that is no UUID a text.
    """
    match kind:
        case Union(branches):
            return plain(branches[value.index], value.value)
        case Record():
            return {each.name: plain(each.type, value[each.name]) for each in kind.fields}
        case Array(items):
            return [plain(items, each) for each in value]
        case Map(values):
            return {key: plain(values, each) for key, each in value}
        case Primitive("float" | "double"):
            return value.number()
        case Primitive() | Fixed():
            return _logical(kind, value)
        case _:
            return value


def _logical(kind: Primitive | Fixed, value: Any) -> Any:
    try:
        match kind.logical:
            case "date":
                return EPOCH_DAY + timedelta(days=value)
            case "timestamp-micros":
                return EPOCH_INSTANT + timedelta(microseconds=value)
            case "decimal":
                number = int.from_bytes(value, "big", signed=True)
                return Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -kind.scale))
            case "uuid":
                return UUID(value)
    except (OverflowError, ValueError):
        pass
    return value


def resolve(writer: Type, reader: Type, value: Any) -> Any:
    """Return *value*, written under *writer*, as the newer or older schema *reader* has it ("Schema Resolution").

    Covers what compatibility in both directions allows: fields added with a default, removed, put in another order, and
    union branches or enum symbols found by name. Raises ValueError for anything else.
    """
    match writer, reader:
        case Record(), Record():
            out = {}
            for each in reader.fields:
                source = writer.field(each.name)
                if source is not None:
                    out[each.name] = resolve(source.type, each.type, value[each.name])
                elif each.default:
                    out[each.name] = from_default(each.type, each.default[0])
                else:
                    raise ValueError("a field without a default is missing")
            return out
        case Union(branches), _:
            return resolve(branches[value.index], reader, value.value)
        case _, Union(branches):
            for index, branch in enumerate(branches):
                if alike(writer, branch):
                    return Branch(index, resolve(writer, branch, value))
        case Array(items), Array(reader_items):
            return [resolve(items, reader_items, each) for each in value]
        case Map(values), Map(reader_values):
            return [(key, resolve(values, reader_values, each)) for key, each in value]
        case Enum(), Enum(_, symbols, default):
            if value in symbols:
                return value
            if default is not None:
                return default
        case Fixed(_, size), Fixed(_, reader_size) if size == reader_size:
            return value
        case Primitive(name), Primitive(reader_name) if name == reader_name:
            return value
    raise ValueError("the schemas do not resolve")


def alike(one: Type, other: Type) -> bool:
    """Return whether a value of *one* may stand where *other* is read: same kind, and same name where it has one."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Array | Map | Union):
        return True
    return one.name == other.name


def from_default(kind: Type, default: Any) -> Any:
    """Return the value of a field's default as JSON writes it (a union's default is of its first branch)."""
    match kind:
        case Union(branches):
            return Branch(0, from_default(branches[0], default))
        case Record():
            return {
                each.name: from_default(each.type, default[each.name] if each.name in default else each.default[0])
                for each in kind.fields
            }
        case Array(items):
            return [from_default(items, each) for each in default]
        case Map(values):
            return [(key, from_default(values, each)) for key, each in default.items()]
        case Primitive("bytes") | Fixed():
            return default.encode("latin-1")
        case Primitive("float"):
            return Bits(struct.pack("<f", default))
        case Primitive("double"):
            return Bits(struct.pack("<d", default))
        case _:
            return default
