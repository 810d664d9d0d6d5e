"""Records held under an older schema, brought into the newest one: Avro's schema resolution, on the bytes.

Not by decoding to Python values and encoding those again: such values have forgotten which branch of a union they came
from. Promotions that change bytes (int to double) are refused: two schemas that are compatible in both directions, as
the registry demands of raw topics, never need one. Source: Apache Avro 1.11 specification, "Schema Resolution".
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import fastavro

from govbus.codec.framing import HEADER_BYTES
from govbus.codec.schemas import NAMED, AvroType, Schema, plain
from govbus.codec.view_schema import self_contained
from govbus.codec.walk import Malformed, Walker, read_long, text_end, walker, write_long

Transcoder = Callable[[bytes, int, bytearray], int]
"""``(value, start, out) -> end``: appends the value at *start*, in the newest type, to *out*."""


class Unresolvable(ValueError):
    """Two types that no reader of one can make of the other; `govbus check` refuses such a schema change."""


def upgrade(writer: Schema, newest: Schema) -> Callable[[bytes], bytes]:
    """Return a function from a canonical framed record of *writer* to the same record under *newest*, frame unchanged.

    Both must be linked. Fields that *writer* lacks take their defaults. Raises `Unresolvable` where the schemas are not
    compatible.
    """
    transcode = _Resolution().transcoder(writer, newest)

    def upgraded(value: bytes) -> bytes:
        out = bytearray(value[:HEADER_BYTES])
        transcode(value, HEADER_BYTES, out)
        return bytes(out)

    return upgraded


class _Resolution:
    def __init__(self) -> None:
        self._made: dict[tuple[int, int], list[Transcoder]] = {}

    def transcoder(self, writer: AvroType, reader: AvroType) -> Transcoder:
        writer, reader = plain(writer), plain(reader)
        if isinstance(writer, list):
            return self._from_union(writer, reader)
        if isinstance(reader, list):
            return self._to_branch(writer, reader)
        kind, wanted = _kind(writer), _kind(reader)
        if kind != wanted and (kind, wanted) != ("int", "long"):
            raise Unresolvable(f"{kind} cannot become {wanted}")
        match kind:
            case "record":
                return self._record(writer, reader)
            case "enum":
                return _enum(writer["symbols"], reader["symbols"], reader.get("default"))
            case "array":
                return _blocks(self.transcoder(writer["items"], reader["items"]))
            case "map":
                return _blocks(_entry(self.transcoder(writer["values"], reader["values"])))
            case "fixed" if writer["size"] != reader["size"]:
                raise Unresolvable("a fixed has another size")
        return _copy(walker(writer))

    def _from_union(self, branches: Sequence[AvroType], reader: AvroType) -> Transcoder:
        made: list[Transcoder | None] = []
        for branch in branches:
            try:
                made.append(self.transcoder(branch, reader))
            except Unresolvable:
                made.append(None)
        if not any(made):
            raise Unresolvable("no branch of a union fits")

        def transcode(value: bytes, at: int, out: bytearray) -> int:
            index, at = read_long(value, at)
            branch = made[index]
            if branch is None:
                raise Malformed("the newest schema has no place for this branch of a union")
            return branch(value, at, out)

        return transcode

    def _to_branch(self, writer: AvroType, branches: Sequence[AvroType]) -> Transcoder:
        """The branch of the same type (and name, where it has one), else the first that fits."""
        resolved = [plain(branch) for branch in branches]
        order = sorted(range(len(resolved)), key=lambda index: not _alike(writer, resolved[index]))
        for index in order:
            try:
                inner = self.transcoder(writer, resolved[index])
            except Unresolvable:
                continue
            prefix = write_long(index)

            def transcode(
                value: bytes, at: int, out: bytearray, prefix: bytes = prefix, inner: Transcoder = inner
            ) -> int:
                out += prefix
                return inner(value, at, out)

            return transcode
        raise Unresolvable("no branch of a union fits")

    def _record(self, writer: dict[str, Any], reader: dict[str, Any]) -> Transcoder:
        pair = (id(writer), id(reader))
        if pair in self._made:
            again = self._made[pair]
            return lambda value, at, out: again[0](value, at, out)
        made: list[Transcoder] = []
        self._made[pair] = made
        wanted = {field["name"]: field for field in reader["fields"]}
        steps: list[tuple[str, Transcoder]] = []
        for field in writer["fields"]:
            kept = wanted.get(field["name"])
            step = _skip(walker(field["type"])) if kept is None else self.transcoder(field["type"], kept["type"])
            steps.append((field["name"], step))
        written = {field["name"] for field in writer["fields"]}
        defaults = {name: self._default(field) for name, field in wanted.items() if name not in written}

        def transcode(value: bytes, at: int, out: bytearray) -> int:
            pieces: dict[str, bytes | bytearray] = dict(defaults)
            for name, step in steps:
                pieces[name] = piece = bytearray()
                at = step(value, at, piece)
            for name in wanted:
                out += pieces[name]
            return at

        made.append(transcode)
        return transcode

    def _default(self, field: Mapping[str, Any]) -> bytes:
        if "default" not in field:
            raise Unresolvable(f"{field['name']} is new and has no default")
        return encoded_default(field)


def _kind(avro_type: AvroType) -> str:
    return str(avro_type if isinstance(avro_type, str) else avro_type["type"])


def _alike(one: AvroType, other: AvroType) -> bool:
    kind = _kind(one)
    if kind != _kind(other):
        return False
    return kind not in NAMED or str(one["name"]).rpartition(".")[2] == str(other["name"]).rpartition(".")[2]


def _copy(walk: Walker) -> Transcoder:
    def transcode(value: bytes, at: int, out: bytearray) -> int:
        end = walk(value, at, 0)
        out += value[at:end]
        return end

    return transcode


def _skip(walk: Walker) -> Transcoder:
    return lambda value, at, _out: walk(value, at, 0)


def _enum(written: Sequence[str], wanted: Sequence[str], default: str | None) -> Transcoder:
    places = {symbol: write_long(place) for place, symbol in enumerate(wanted)}
    indexes = [places.get(symbol, places.get(default or "")) for symbol in written]

    def transcode(value: bytes, at: int, out: bytearray) -> int:
        index, at = read_long(value, at)
        place = indexes[index]
        if place is None:
            raise Malformed("the newest schema has no such symbol of an enum")
        out += place
        return at

    return transcode


def _entry(values: Transcoder) -> Transcoder:
    def transcode(value: bytes, at: int, out: bytearray) -> int:
        end = text_end(value, at)
        out += value[at:end]
        return values(value, end, out)

    return transcode


def _blocks(item: Transcoder) -> Transcoder:
    def transcode(value: bytes, at: int, out: bytearray) -> int:
        count, at = read_long(value, at)
        if count:
            out += write_long(count)
            for _ in range(count):
                at = item(value, at, out)
            _, at = read_long(value, at)
        out.append(0)
        return at

    return transcode


def encoded_default(field: Mapping[str, Any]) -> bytes:
    """Return the default of a linked *field* in the bytes of its type; a union's is a value of its first branch."""
    default = default_value(field["default"], field["type"])
    bare = _without_logical_types(self_contained(field["type"], "default", field["name"]))
    if isinstance(bare, list):
        return write_long(0) + _encoded(bare[0], default)
    return _encoded(bare, default)


def _encoded(bare: AvroType, value: object) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(bare, _force=True), value)
    return out.getvalue()


def default_value(default: Any, avro_type: AvroType) -> Any:
    """Return the value that a schema's JSON *default* stands for: bytes are spelt as text there, one per character."""
    resolved = plain(avro_type)
    if isinstance(resolved, list):
        return default_value(default, resolved[0])
    match resolved if isinstance(resolved, str) else resolved["type"]:
        case "bytes" | "fixed":
            return default.encode("latin-1") if isinstance(default, str) else default
        case "array":
            return [default_value(each, resolved["items"]) for each in default]
        case "map":
            return {name: default_value(each, resolved["values"]) for name, each in default.items()}
        case "record":
            return {
                field["name"]: default_value(default.get(field["name"], field.get("default")), field["type"])
                for field in resolved["fields"]
            }
    return default


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        return {word: _without_logical_types(each) for word, each in node.items() if word != "logicalType"}
    return [_without_logical_types(each) for each in node] if isinstance(node, list) else node
