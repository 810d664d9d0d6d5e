"""Walking over Avro bytes, strictly: where does a value end, and is it in canonical form?

*Accepted means canonical*: shortest varints in range, booleans 0 or 1, union and enum indexes in range, every string
valid UTF-8, arrays and maps as one block with a positive count. `Malformed` bytes are a reject. `NonCanonical` ones are
valid Avro in another layout (Java writes arrays in blocks with byte sizes); `govbus.codec.canonical` lays them out anew
once.

A walker is a function ``(value, start, depth) -> end``. It may raise IndexError where the bytes end too early; callers
treat that as malformed. Encoding: Apache Avro 1.11 specification, "Binary encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from govbus.codec.schemas import AvroType, plain

Walker = Callable[[bytes, int, int], int]

MAX_DEPTH = 64
"""How deep records may nest in a schema that contains itself."""
MAX_EMPTY_ITEMS = 10_000
"""How many items of no bytes at all (null, empty records) the arrays of one record may claim: they carry nothing, and
a record of a few bytes must not keep its readers counting."""


class Malformed(ValueError):
    """These bytes are not strict Avro of the stated schema. The text never carries a value."""


class NonCanonical(Exception):
    """Valid Avro in another layout than the canonical one."""


def read_long(value: bytes, at: int) -> tuple[int, int]:
    """Return the zig-zag long at *at* and where it ends. Raises `Malformed` unless it is shortest and fits 64 bits."""
    bits = shift = 0
    while True:
        byte = value[at]
        at += 1
        bits |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise Malformed("a number is longer than 64 bits")
    if (byte == 0 and shift) or bits >> 64:
        raise Malformed("a number is not in its shortest form or longer than 64 bits")
    return (bits >> 1) ^ -(bits & 1), at


def read_time(value: bytes, at: int) -> int:
    """Return the canonical long at *at*; quick for eight bytes, as times in microseconds take in our century."""
    bits = int.from_bytes(value[at : at + 8], "little")
    if bits & 0x8080808080808080 != 0x80808080808080:
        return read_long(value, at)[0]
    bits &= 0x7F7F7F7F7F7F7F7F
    bits = bits & 0x007F007F007F007F | (bits & 0x7F007F007F007F00) >> 1
    bits = bits & 0x00003FFF00003FFF | (bits & 0x3FFF00003FFF0000) >> 2
    bits = bits & 0x000000000FFFFFFF | (bits & 0x0FFFFFFF00000000) >> 4
    return (bits >> 1) ^ -(bits & 1)


def write_long(number: int) -> bytes:
    """Return the shortest zig-zag encoding of *number* (64 bits)."""
    bits = (number << 1) ^ (number >> 63)
    out = bytearray()
    while bits > 0x7F:
        out.append(bits & 0x7F | 0x80)
        bits >>= 7
    out.append(bits)
    return bytes(out)


def write_time(number: int) -> bytes:
    """Return the shortest zig-zag encoding of *number*; quick for eight bytes, as times in microseconds take."""
    bits = (number << 1) ^ (number >> 63)
    if not 1 << 49 <= bits < 1 << 56:
        return write_long(number)
    bits = bits & 0x0FFFFFFF | (bits & 0x00FFFFFFF0000000) << 4
    bits = bits & 0x00003FFF00003FFF | (bits & 0x0FFFC0000FFFC000) << 2
    bits = bits & 0x007F007F007F007F | (bits & 0x3F803F803F803F80) << 1
    return (bits | 0x0080808080808080).to_bytes(8, "little")


def long_end(value: bytes, at: int) -> int:
    """Return where the long at *at* ends."""
    return read_long(value, at)[1]


def int_end(value: bytes, at: int) -> int:
    """Return where the 32-bit int at *at* ends."""
    number, end = read_long(value, at)
    if not -(2**31) <= number < 2**31:
        raise Malformed("an int is longer than 32 bits")
    return end


def bytes_end(value: bytes, at: int) -> int:
    """Return where the length-prefixed bytes at *at* end."""
    length, start = read_long(value, at)
    end = start + length
    if length < 0 or end > len(value):
        raise Malformed("a length is negative or reaches past the end")
    return end


def text_end(value: bytes, at: int) -> int:
    """Return where the string at *at* ends."""
    length, start = read_long(value, at)
    end = start + length
    if length < 0 or end > len(value):
        raise Malformed("a length is negative or reaches past the end")
    value[start:end].decode()
    return end


def text_start(value: bytes, at: int) -> int:
    """Return where the characters of the string at *at* begin."""
    while value[at] > 0x7F:
        at += 1
    return at + 1


def _boolean_end(value: bytes, at: int, _depth: int) -> int:
    if value[at] > 1:
        raise Malformed("a boolean is neither 0 nor 1")
    return at + 1


def _fixed(size: int) -> Walker:
    def end(value: bytes, at: int, _depth: int) -> int:
        if at + size > len(value):
            raise Malformed("the value ends too early")
        return at + size

    return end


_PRIMITIVE: Mapping[str, Walker] = {
    "null": lambda _value, at, _depth: at,
    "boolean": _boolean_end,
    "int": lambda value, at, _depth: int_end(value, at),
    "long": lambda value, at, _depth: long_end(value, at),
    "float": _fixed(4),
    "double": _fixed(8),
    "bytes": lambda value, at, _depth: bytes_end(value, at),
    "string": lambda value, at, _depth: text_end(value, at),
}


@dataclass(slots=True)
class EmptyItems:
    """How many items of no bytes the arrays of the record in hand have claimed so far; set to 0 before each record."""

    claimed: int = 0

    def claim(self, count: int) -> None:
        """Add *count*; raises `Malformed` where the record claims too many."""
        self.claimed += count
        if self.claimed > MAX_EMPTY_ITEMS:
            raise Malformed("a record claims too many empty items")


def has_no_bytes(avro_type: AvroType, inside: frozenset[int] = frozenset()) -> bool:
    """Return whether every value of a linked *avro_type* takes no bytes at all."""
    resolved = plain(avro_type)
    if isinstance(resolved, str):
        return resolved == "null"
    if isinstance(resolved, list) or id(resolved) in inside:
        return False
    if resolved["type"] == "fixed":
        return bool(resolved["size"] == 0)
    inside = inside | {id(resolved)}
    return resolved["type"] == "record" and all(has_no_bytes(field["type"], inside) for field in resolved["fields"])


def walker(avro_type: AvroType, empties: EmptyItems | None = None) -> Walker:
    """Return the walker over values of *avro_type*, which must be linked (`govbus.codec.schemas.linked`).

    *empties* is shared by all walkers of one record; whoever walks sets it to 0 first.
    """
    return _walker(avro_type, {}, empties or EmptyItems())


def _walker(avro_type: AvroType, made: dict[int, list[Walker]], empties: EmptyItems) -> Walker:
    resolved = plain(avro_type)
    if isinstance(resolved, list):
        return _union(tuple(_walker(branch, made, empties) for branch in resolved))
    kind = resolved if isinstance(resolved, str) else resolved["type"]
    if kind in _PRIMITIVE:
        return _PRIMITIVE[kind]
    match kind:
        case "fixed":
            return _fixed(resolved["size"])
        case "enum":
            return _enum(len(resolved["symbols"]))
        case "array":
            return _blocks(
                _walker(resolved["items"], made, empties), empties if has_no_bytes(resolved["items"]) else None
            )
        case "map":
            return _blocks(_entry(_walker(resolved["values"], made, empties)), None)
        case "record":
            return _record(resolved, made, empties)
    raise Malformed(f"unknown Avro type {kind}")


def _union(branches: tuple[Walker, ...]) -> Walker:
    def end(value: bytes, at: int, depth: int) -> int:
        index, at = read_long(value, at)
        if not 0 <= index < len(branches):
            raise Malformed("a union index is out of range")
        return branches[index](value, at, depth)

    return end


def _enum(symbols: int) -> Walker:
    def end(value: bytes, at: int, _depth: int) -> int:
        index, at = read_long(value, at)
        if not 0 <= index < symbols:
            raise Malformed("an enum index is out of range")
        return at

    return end


def _entry(values: Walker) -> Walker:
    def end(value: bytes, at: int, depth: int) -> int:
        return values(value, text_end(value, at), depth)

    return end


def _blocks(item: Walker, empties: EmptyItems | None) -> Walker:
    def end(value: bytes, at: int, depth: int) -> int:
        count, at = read_long(value, at)
        if count < 0:
            raise NonCanonical
        if count == 0:
            return at
        if empties is None:
            for _ in range(count):
                at = item(value, at, depth)
        else:
            empties.claim(count)
        if value[at] != 0:
            read_long(value, at)
            raise NonCanonical
        return at + 1

    return end


def _record(record: dict[str, Any], made: dict[int, list[Walker]], empties: EmptyItems) -> Walker:
    if id(record) in made:
        return _again(made[id(record)])
    fields = made[id(record)] = []
    fields.extend(_walker(field["type"], made, empties) for field in record["fields"])
    frozen = tuple(fields)
    del made[id(record)]

    def end(value: bytes, at: int, depth: int) -> int:
        for field in frozen:
            at = field(value, at, depth)
        return at

    return end


def _again(fields: list[Walker]) -> Walker:
    def end(value: bytes, at: int, depth: int) -> int:
        if depth >= MAX_DEPTH:
            raise Malformed("records nest too deep")
        for field in fields:
            at = field(value, at, depth + 1)
        return at

    return end
