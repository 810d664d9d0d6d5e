"""Random Avro: schemas, values, the same value laid out in other ways, bytes spoilt on purpose, newer schemas.

Everything draws from one `random.Random`, so a seed is all it takes to see a case again. What is drawn leans to the
edges: empty and 64-character texts, the largest numbers, the last branch, names that a careless code generator would
trip over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from oracle import avro
from oracle.avro import Array, Bits, Branch, Enum, Fixed, Map, Primitive, Record, Type, Union, varint

FIELD_NAMES = (
    *(
        "id",
        "name",
        "birth_date",
        "address",
        "division",
        "amount",
        "status",
        "phone",
        "code",
        "place",
        "child",
        "parts",
    ),
    *("a", "b", "a__b", "a_b", "v", "i", "s", "u", "b0", "b1", "m0", "c0", "m_a", "m_a__b", "A", "A1", "mask0", "kind"),
    *("class", "None", "lambda", "from_bytes", "Malformed", "bounds", "tags", "note", "since"),
)
SCALARS: tuple[Any, ...] = (
    "boolean",
    "int",
    "long",
    "float",
    "double",
    "bytes",
    "string",
    "string",
    {"type": "string", "logicalType": "uuid"},
    {"type": "int", "logicalType": "date"},
    {"type": "int", "logicalType": "date"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2},
)
KEY_TYPES: tuple[Any, ...] = ("string", "string", "string", "int", "long", {"type": "int", "logicalType": "date"})
CHARACTERS = 'abcXYZ019 -*/,"\\\n\t\x00张伟王芳省市区𠮷é\u00a0\u200f\u2028'


class Schemas:
    """Draws record schemas, as JSON has them."""

    def __init__(
        self, rng: Random, *, depth: int = 3, namespaces: bool = True, recursive: bool = False, unions: bool = True
    ) -> None:
        self.rng = rng
        self.depth = depth
        self.namespaces = namespaces
        self.recursive = recursive
        self.unions = unions
        self.named: list[str] = []
        self.open: list[str] = []

    def record(
        self, name: str = "dataset", key_fields: int = 1, key_types: tuple[Any, ...] = KEY_TYPES
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return a record schema and the paths of its key: fields that are always there, somewhere among the others."""
        schema = self._record(name, "", 0)
        names = {each["name"] for each in schema["fields"]}
        key = [f"key{number}" for number in range(key_fields) if f"key{number}" not in names]
        for each in key:
            at = self.rng.randint(0, len(schema["fields"]))
            schema["fields"].insert(at, {"name": each, "type": self.rng.choice(key_types)})
        return schema, tuple(key)

    def _record(self, name: str, namespace: str, depth: int) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "record", "name": name}
        elsewhere = self.rng.choice(["x", "x.y", "z"])
        if self.namespaces and self.rng.random() < 0.15 and f"{elsewhere}.{name}" not in {*self.named, *self.open}:
            schema["namespace"] = namespace = elsewhere
        if self.rng.random() < 0.2:
            schema["doc"] = "documentation that no subscriber may see"
        full = f"{namespace}.{name}".lstrip(".")
        self.open.append(full)
        names = self.rng.sample(FIELD_NAMES, self.rng.randint(1, 9 if depth == 0 else 4))
        schema["fields"] = [self._field(each, namespace, depth) for each in names]
        self.open.remove(full)
        self.named.append(full)
        return schema

    def _field(self, name: str, namespace: str, depth: int) -> dict[str, Any]:
        out = {"name": name, "type": self._type(namespace, depth)}
        if isinstance(out["type"], list) and out["type"][0] == "null":
            out["default"] = None
        if self.rng.random() < 0.1:
            out["doc"] = "field documentation"
        return out

    def _type(self, namespace: str, depth: int) -> Any:
        draw = self.rng.random()
        if draw < 0.35:
            return self.rng.choice(SCALARS)
        if draw < 0.60:
            inner = self._not_union(namespace, depth)
            return [inner, "null"] if self.rng.random() < 0.15 else ["null", inner]
        if draw < 0.66 and self.unions:
            return self._union(namespace, depth)
        return self._not_union(namespace, depth)

    def _not_union(self, namespace: str, depth: int) -> Any:
        if depth >= self.depth:
            return self.rng.choice(SCALARS)
        draw = self.rng.random()
        if draw < 0.3:
            return self.rng.choice(SCALARS)
        if draw < 0.45:
            return self._enum(namespace)
        if draw < 0.55:
            return self._fixed(namespace)
        if draw < 0.65:
            return {"type": "array", "items": "null" if self.rng.random() < 0.05 else self._type(namespace, depth + 1)}
        if draw < 0.73:
            return {"type": "map", "values": self._type(namespace, depth + 1)}
        if draw < 0.80 and (reference := self._reference(self.named, namespace)):
            return reference
        if draw < 0.85 and self.recursive and (reference := self._reference(self.open, namespace)):
            return {"type": "array", "items": reference}
        return self._record(self._new_name("Part", namespace), namespace, depth + 1)

    def _reference(self, names: list[str], namespace: str) -> str | None:
        """Return how one of the full *names* may be written inside *namespace*, where one of them can be."""
        within_reach = [name for name in names if "." in name or not namespace]
        if not within_reach:
            return None
        name = self.rng.choice(within_reach)
        before, _, short = name.rpartition(".")
        return short if before == namespace and self.rng.random() < 0.5 else name

    def _union(self, namespace: str, depth: int) -> list[Any]:
        # Drawn in the order they will stand in: a branch may refer to a type that an earlier one defines.
        if self.rng.random() < 0.05:
            return ["null", *(self._fixed(namespace) for _ in range(70))]
        kinds = self.rng.sample(["null", "boolean", "int", "long", "float", "double", "bytes", "string"], 4)
        kinds = kinds[: self.rng.randint(1, 4)] + [
            each for each in ("enum", "record", "array") if self.rng.random() < 0.3
        ]
        self.rng.shuffle(kinds)
        branches: list[Any] = []
        for each in kinds:
            if each == "enum":
                branches.append(self._enum(namespace))
            elif each == "record" and depth < self.depth:
                branches.append(self._record(self._new_name("Part", namespace), namespace, depth + 1))
            elif each == "array":
                branches.append({"type": "array", "items": self.rng.choice(SCALARS)})
            elif each != "record":
                branches.append(each)
        return branches or ["null"]

    def _enum(self, namespace: str) -> dict[str, Any]:
        count = self.rng.choice([1, 2, 3, 5, 63, 64, 65, 130])
        name = self._new_name("Kind", namespace)
        self.named.append(f"{namespace}.{name}".lstrip("."))
        return {"type": "enum", "name": name, "symbols": [f"S{number}" for number in range(count)]}

    def _fixed(self, namespace: str) -> dict[str, Any]:
        name = self._new_name("Bytes", namespace)
        self.named.append(f"{namespace}.{name}".lstrip("."))
        if self.rng.random() < 0.3:
            size = self.rng.choice([4, 8])
            return {
                "type": "fixed",
                "name": name,
                "size": size,
                "logicalType": "decimal",
                "precision": 2 * size,
                "scale": 2,
            }
        return {"type": "fixed", "name": name, "size": self.rng.choice([1, 2, 16, 32])}

    def _new_name(self, prefix: str, namespace: str) -> str:
        """Return a name that is free in *namespace*; another namespace may have the same one."""
        if self.namespaces and self.rng.random() < 0.1:
            prefix = "Same"
        taken = {*self.named, *self.open}
        number = 0
        while f"{namespace}.{prefix}{number}".lstrip(".") in taken:
            number += 1
        return f"{prefix}{number}"


class Values:
    """Draws values of a type. *wild*: also dates and instants that no calendar holds, and maps that repeat a key."""

    def __init__(self, rng: Random, *, wild: bool = False, depth: int = 8) -> None:
        self.rng = rng
        self.wild = wild
        self.depth = depth

    def of(self, kind: Type, depth: int = 0) -> Any:
        match kind:
            case Record():
                return {each.name: self.of(each.type, depth + 1) for each in kind.fields}
            case Union(branches):
                index = self.rng.randrange(len(branches))
                return Branch(index, self.of(branches[index], depth + 1))
            case Array(items):
                return [self.of(items, depth + 1) for _ in range(self._count(depth))]
            case Map(values):
                entries = [(self.text(), self.of(values, depth + 1)) for _ in range(self._count(depth))]
                return entries if self.wild else list(dict(entries).items())
            case Enum(_, symbols):
                return self.rng.choice(symbols)
            case Fixed(_, size, logical):
                if logical == "decimal":
                    return self._decimal(kind.precision).to_bytes(size, "big", signed=True)
                return self.rng.randbytes(size)
            case Primitive():
                return self._primitive(kind)

    def _count(self, depth: int) -> int:
        if depth > self.depth:
            return 0
        return self.rng.choice([0, 0, 1, 1, 2, 3, 4] if depth < 4 else [0, 0, 1, 1, 2])

    def _primitive(self, kind: Primitive) -> Any:
        rng = self.rng
        match kind.name, kind.logical:
            case "null", _:
                return None
            case "boolean", _:
                return rng.random() < 0.5
            case "int", "date" if not self.wild or rng.random() < 0.8:
                return rng.choice(
                    [0, -1, 1, -719162, 2932896, rng.randint(-30000, 30000), rng.randint(-719162, 2932896)]
                )
            case "long", "timestamp-micros" if not self.wild or rng.random() < 0.8:
                return rng.choice([0, -1, rng.randint(0, 2 * 10**15), rng.randint(-6 * 10**16, 2 * 10**17)])
            case "int", _:
                return self.whole(32)
            case "long", _:
                return self.whole(64)
            case "float", _:
                return Bits(rng.choice([struct.pack("<f", rng.uniform(-9, 9)), rng.randbytes(4), b"\0\0\xc0\x7f"]))
            case "double", _:
                return Bits(rng.choice([struct.pack("<d", rng.uniform(-9, 9)), rng.randbytes(8)]))
            case "bytes", "decimal" if not self.wild or rng.random() < 0.7:
                number = self._decimal(kind.precision)
                return number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, "big", signed=True)
            case "bytes", _:
                return rng.randbytes(rng.choice([0, 1, 2, 8, 63, 64, 70]))
            case "string", "uuid":
                return (
                    str(UUID(int=rng.getrandbits(128), version=4))
                    if not self.wild or rng.random() < 0.7
                    else self.text()
                )
        return self.text()

    def _decimal(self, precision: int) -> int:
        return self.rng.choice([0, -1, 1, 127, 128, -128, -129, self.rng.randint(1 - 10**precision, 10**precision - 1)])

    def whole(self, bits: int) -> int:
        top = 2 ** (bits - 1)
        near = self.rng.choice([0, 1, 63, 64, 8191, 8192, 2**20, 2**27, top - 1, top - 1])
        number = self.rng.choice([near, -near, -near - 1, self.rng.randint(-top, top - 1), self.rng.randint(0, 120)])
        return max(-top, min(top - 1, number))

    def text(self) -> str:
        length = self.rng.choice([0, 1, 2, 3, 3, 4, 6, 11, 18, 18, 21, 22, 31, 32, 63, 64, 65])
        if self.rng.random() < 0.5:
            return "".join(self.rng.choices("0123456789X", k=length))
        if self.rng.random() < 0.5:
            return "".join(self.rng.choices("张伟王芳娜秀英", k=length))
        return "".join(self.rng.choices(CHARACTERS, k=length))


def key_value(rng: Random, kind: Type) -> Any:
    """Return a value for a key field: a text neither empty nor with U+001F, a number or a date."""
    value = Values(rng).of(kind)
    if isinstance(value, str):
        return value.replace("\x1f", "") or "k"
    return value


# The same value in bytes: layouts and faults ----------------------------------------------------------------


class Token(NamedTuple):
    """A piece of an encoding: what it is, its bytes, and for numbers what bounds them."""

    what: str
    raw: bytes
    bound: int = 0


def tokens(kind: Type, value: Any, blocks: Random | None = None) -> Iterator[Token]:
    """Yield the encoding of *value* piece by piece; with *blocks*, arrays and maps come in random blocks."""
    match kind:
        case Record():
            for each in kind.fields:
                yield from tokens(each.type, value[each.name], blocks)
        case Union(branches):
            yield Token("union index", varint(value.index), len(branches))
            yield from tokens(branches[value.index], value.value, blocks)
        case Enum(_, symbols):
            yield Token("enum index", varint(symbols.index(value)), len(symbols))
        case Fixed():
            yield Token("fixed", value)
        case Array(items):
            yield from _blocks([list(tokens(items, each, blocks)) for each in value], blocks)
        case Map(values):
            text = Primitive("string")
            entries = [[*tokens(text, key), *tokens(values, each, blocks)] for key, each in value]
            yield from _blocks(entries, blocks)
        case Primitive("boolean"):
            yield Token("boolean", avro.encode(kind, value))
        case Primitive("int" | "long" as name):
            yield Token(name, varint(value))
        case Primitive("float" | "double"):
            yield Token("fixed", value.raw)
        case Primitive("bytes"):
            yield Token("length", varint(len(value)))
            yield Token("bytes", value)
        case Primitive("string"):
            yield Token("length", varint(len(value.encode())))
            yield Token("text", value.encode())


def _blocks(items: list[list[Token]], blocks: Random | None) -> Iterator[Token]:
    at = 0
    while at < len(items):
        count = len(items) - at if blocks is None else blocks.randint(1, len(items) - at)
        inside = [token for item in items[at : at + count] for token in item]
        if blocks is not None and blocks.random() < 0.5:
            yield Token("count", varint(-count))
            yield Token("size", varint(sum(len(token.raw) for token in inside)))
        else:
            yield Token("count", varint(count))
        yield from inside
        at += count
    yield Token("end of blocks", varint(0))


def joined(pieces: list[Token]) -> bytes:
    return b"".join(token.raw for token in pieces)


def overlong(number: int, rng: Random, longest: int = 11) -> bytes:
    """Return a varint of *number* with one or more needless bytes."""
    raw = bytearray(varint(number))
    raw[-1] |= 0x80
    while len(raw) < longest - 1 and rng.random() < 0.5:
        raw.append(0x80)
    return bytes(raw) + b"\0"


@dataclass(frozen=True)
class Fault:
    """One way to spoil an encoding: which pieces it can touch, and what it makes of one."""

    name: str
    touches: tuple[str, ...]

    def spoil(self, pieces: list[Token], rng: Random) -> bytes | None:
        """Return the spoilt bytes, or None where this value has nothing of the kind."""
        candidates = [n for n, token in enumerate(pieces) if token.what in self.touches]
        if not candidates:
            return None
        at = rng.choice(candidates)
        raw = _spoilt(self.name, pieces[at], rng)
        if raw is None:
            return None
        return joined(pieces[:at]) + raw + joined(pieces[at + 1 :])


VARINTS = ("union index", "enum index", "count", "size", "length", "int", "long", "end of blocks")
FAULTS = (
    Fault("overlong varint", VARINTS),
    Fault("number of more than 64 bits", VARINTS),
    Fault("int of more than 32 bits", ("int", "enum index")),
    Fault("no such branch", ("union index",)),
    Fault("no such symbol", ("enum index",)),
    Fault("boolean of 2", ("boolean",)),
    Fault("negative length", ("length",)),
    Fault("huge length", ("length",)),
    Fault("length one off", ("length",)),
    Fault("huge count", ("count", "end of blocks")),
    Fault("count one off", ("count",)),
    Fault("wrong block size", ("size",)),
    Fault("size for a positive count", ("count",)),
    Fault("no end of blocks", ("end of blocks",)),
    Fault("invalid UTF-8", ("text",)),
    Fault("missing byte", ("fixed", "text", "bytes")),
)


def _spoilt(name: str, token: Token, rng: Random) -> bytes | None:
    number = _number(token.raw) if token.what in VARINTS else 0
    match name:
        case "overlong varint":
            return overlong(number, rng)
        case "number of more than 64 bits":
            return rng.choice([b"\xff" * 9 + b"\x02", b"\x80" * 9 + b"\x7f", b"\xff" * 10 + b"\x01", b"\xff" * 40])
        case "int of more than 32 bits":
            return varint(rng.choice([2**31, -(2**31) - 1, 2**32, 2**62, -(2**63)]))
        case "no such branch" | "no such symbol":
            return varint(rng.choice([-1, token.bound, token.bound + 1, 2**31, 2**62, -(2**63)]))
        case "boolean of 2":
            return bytes([rng.randint(2, 255)])
        case "negative length":
            return varint(rng.choice([-1, -number - 1, -(2**31), -(2**63)]))
        case "huge length":
            return varint(rng.choice([10**6, 2**31 - 1, 2**40, 2**63 - 1]))
        case "length one off" | "count one off":
            return varint(number + rng.choice([-1, 1]))
        case "huge count":
            return varint(rng.choice([2**20, 2**31, 2**62, -(2**62), -(2**63)]))
        case "wrong block size":
            return varint(rng.choice([number + 1, number - 1, 0, -1, 2**40, -(2**63)]))
        case "size for a positive count":
            return varint(-number) if number > 0 else varint(number) + varint(rng.randint(0, 9))
        case "no end of blocks":
            return b""
        case "invalid UTF-8":
            return _not_text(token.raw, rng)
        case "missing byte":
            return token.raw[:-1] if token.raw else None
    raise AssertionError(name)


def _not_text(raw: bytes, rng: Random) -> bytes | None:
    bad = [b"\xff", b"\x80", b"\xe5\xbc", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xc3"]
    fitting = [each for each in bad if len(each) <= len(raw)]
    if not fitting:
        return None
    each = rng.choice(fitting)
    at = rng.choice([0, len(raw) - len(each), rng.randint(0, len(raw) - len(each))])
    spoilt = raw[:at] + each + raw[at + len(each) :]
    try:
        spoilt.decode()
    except UnicodeDecodeError:
        return spoilt
    return b"\xff" + raw[1:]  # a continuation byte may have found its place


def _number(raw: bytes) -> int:
    bits = 0
    for shift, byte in enumerate(raw):
        bits |= (byte & 0x7F) << (7 * shift)
    return (bits >> 1) ^ -(bits & 1)


def anyhow_spoilt(data: bytes, rng: Random) -> bytes:
    """Return *data* cut, lengthened, flipped or replaced without regard to what stands where."""
    at = rng.randint(0, len(data))
    match rng.randrange(7):
        case 0:
            return data[:at]
        case 1:
            return data + rng.randbytes(rng.randint(1, 4))
        case 2 if data:
            at = rng.randrange(len(data))
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        case 3:
            return data[:at] + rng.randbytes(rng.randint(1, 3)) + data[at:]
        case 4:
            return data[:at] + data[at + rng.randint(1, 3) :]
        case 5:
            return rng.randbytes(rng.randint(0, 40))
    return data + b"\0"


# Newer schemas ----------------------------------------------------------------------------------------------


def evolved(schema: dict[str, Any], rng: Random, keep: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a schema compatible with *schema* both ways: what has a default comes and goes, order and docs change.

    Fields named in *keep* (the key) stay; a name that is added was never there before, so that any number of steps stay
    compatible. Nested records and enums change now and then, too.
    """
    return _evolved_record(_evolved(schema["fields"], rng), schema, rng, keep)


def _evolved(node: Any, rng: Random) -> Any:
    """Return part of a schema with the named types inside it evolved, or not."""
    if isinstance(node, list):
        return [_evolved(each, rng) for each in node]
    if not isinstance(node, dict):
        return node
    node = {
        word: _evolved(each, rng) if word in ("fields", "type", "items", "values") else each
        for word, each in node.items()
    }
    if node["type"] == "record" and rng.random() < 0.3:
        return _evolved_record(node["fields"], node, rng, ())
    if node["type"] == "enum" and rng.random() < 0.2:
        fewer = node["symbols"][: rng.randint(1, len(node["symbols"]))]
        return {**node, "symbols": rng.choice([fewer, [*node["symbols"], "NEW"]]), "default": fewer[0]}
    return node


def _evolved_record(fields: list[Any], record: dict[str, Any], rng: Random, keep: tuple[str, ...]) -> dict[str, Any]:
    defined = _defines(fields)
    kept = [
        each
        for each in fields
        if each["name"] in keep or "default" not in each or each["name"] in defined or rng.random() < 0.6
    ]
    # A record of no fields cannot be declared.
    fields = kept or fields[:1]
    for _ in range(rng.randint(0, 2)):
        name = f"{rng.choice(FIELD_NAMES)}_{rng.getrandbits(40)}"
        fields.insert(rng.randint(0, len(fields)), _defaulted(name, rng))
    if not defined and rng.random() < 0.4:
        rng.shuffle(fields)
    if fields and rng.random() < 0.3:
        fields[0] = {**fields[0], "doc": "said differently"}
    return {**record, "fields": fields}


def _defines(fields: list[dict[str, Any]]) -> set[str]:
    """Return the names of fields whose type defines named types, which later fields may refer to."""
    return {each["name"] for each in fields if "'name'" in repr(each["type"])}


def _defaulted(name: str, rng: Random) -> dict[str, Any]:
    return {
        "name": name,
        **rng.choice(
            [
                {"type": ["null", rng.choice(SCALARS)], "default": None},
                {"type": "string", "default": rng.choice(["", "无", "x" * 70])},
                {"type": "long", "default": rng.choice([0, -1, 2**40])},
                {"type": "boolean", "default": True},
                {"type": {"type": "int", "logicalType": "date"}, "default": 20000},
                {"type": "bytes", "default": "\u00ff\u0000a"},
                {"type": "double", "default": 1.5},
                {"type": ["string", "null"], "default": "unbekannt"},
                {"type": {"type": "array", "items": "string"}, "default": rng.choice([[], ["a", "b"]])},
                {"type": {"type": "map", "values": "long"}, "default": {}},
            ]
        ),
    }
