"""Laying valid Avro out in canonical form: every array and map as one block with a positive count, then zero.

Sizes of blocks with a negative count are verified, never trusted: a reader that trusts one carries the next, perhaps
secret, field along.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from govbus.codec.schemas import AvroType, plain
from govbus.codec.walk import MAX_DEPTH, EmptyItems, Malformed, has_no_bytes, read_long, text_end, walker, write_long

Copier = Callable[[bytes, int, int, bytearray], int]
"""``(value, start, depth, out) -> end``: appends the canonical form of the value at *start* to *out*."""


def canonical(schema: AvroType, value: bytes, start: int = 0) -> bytes:
    """Return *value* from *start* in canonical form, what stands before *start* unchanged. *schema* must be linked.

    Raises `Malformed` (or IndexError, UnicodeDecodeError) where it is not valid Avro of *schema* to its exact end.
    """
    out = bytearray(value[:start])
    end = _copier(schema, {}, EmptyItems())(value, start, 0, out)
    if end != len(value):
        raise Malformed("bytes follow the value")
    return bytes(out)


def _copier(avro_type: AvroType, made: dict[int, list[Copier]], empties: EmptyItems) -> Copier:
    resolved = plain(avro_type)
    if isinstance(resolved, list):
        return _union(tuple(_copier(branch, made, empties) for branch in resolved))
    kind = resolved if isinstance(resolved, str) else resolved["type"]
    match kind:
        case "array":
            return _blocks(
                _copier(resolved["items"], made, empties), empties if has_no_bytes(resolved["items"]) else None
            )
        case "map":
            return _blocks(_entry(_copier(resolved["values"], made, empties)), None)
        case "record":
            return _record(resolved, made, empties)
    walk = walker(resolved)

    def copy(value: bytes, at: int, depth: int, out: bytearray) -> int:
        end = walk(value, at, depth)
        if end > len(value):
            raise Malformed("the value ends too early")
        out += value[at:end]
        return end

    return copy


def _union(branches: tuple[Copier, ...]) -> Copier:
    def copy(value: bytes, at: int, depth: int, out: bytearray) -> int:
        index, after = read_long(value, at)
        if not 0 <= index < len(branches):
            raise Malformed("a union index is out of range")
        out += value[at:after]
        return branches[index](value, after, depth, out)

    return copy


def _entry(values: Copier) -> Copier:
    def copy(value: bytes, at: int, depth: int, out: bytearray) -> int:
        end = text_end(value, at)
        out += value[at:end]
        return values(value, end, depth, out)

    return copy


def _blocks(item: Copier, empties: EmptyItems | None) -> Copier:
    def copy(value: bytes, at: int, depth: int, out: bytearray) -> int:
        items = bytearray()
        total = 0
        while True:
            count, at = read_long(value, at)
            if count == 0:
                break
            expected_end = None
            if count < 0:
                count = -count
                size, at = read_long(value, at)
                expected_end = at + size
            if empties is None:
                for _ in range(count):
                    at = item(value, at, depth, items)
            else:
                empties.claim(count)
            if expected_end is not None and at != expected_end:
                raise Malformed("a block's size is not the size of its items")
            total += count
        if total:
            out += write_long(total)
            out += items
        out.append(0)
        return at

    return copy


def _record(record: dict[str, Any], made: dict[int, list[Copier]], empties: EmptyItems) -> Copier:
    again = id(record) in made
    fields = made.setdefault(id(record), [])
    if not again:
        fields.extend([_copier(field["type"], made, empties) for field in record["fields"]])
        del made[id(record)]

    def copy(value: bytes, at: int, depth: int, out: bytearray) -> int:
        if again and depth >= MAX_DEPTH:
            raise Malformed("records nest too deep")
        for field in fields:
            at = field(value, at, depth + again, out)
        return at

    return copy
