"""Slicing instead of decoding: where each field of a record begins and ends, found by a generated function.

An Avro record is its fields' encodings one after another. For each writer schema one Python function is generated that
walks the bytes once, strictly (see `govbus.codec.walk`), and returns the boundaries of every field; a share view then
joins slices. Fields of nested records (not of optional ones) have boundaries of their own, so policies can name them by
dots.

All strings are checked to be UTF-8, granted or not, so that acceptance never depends on policy. The check is paid once
per run of neighbouring strings: such a run is decoded as a whole, which is the same as decoding each string alone
because every length that stands between two strings is a single ASCII byte there; a longer one ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from govbus.codec.canonical import canonical
from govbus.codec.framing import HEADER_BYTES
from govbus.codec.schemas import AvroType, Schema, linked, plain
from govbus.codec.walk import (
    EmptyItems,
    Malformed,
    NonCanonical,
    bytes_end,
    int_end,
    long_end,
    read_long,
    text_end,
    walker,
)

Bounds = tuple[int, ...]
"""Where each slot begins, in order, and last where the record ends."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One field with boundaries of its own: slot *n* is ``value[bounds[n]:bounds[n + 1]]``."""

    path: str
    type: AvroType
    """Resolved: a primitive's name, a complex type's mapping, or a union's list."""


class RecordReader:
    """Reads framed records of one writer schema.

    `slots` are the finest boundaries; `spans` gives, per dotted path (nested records included), the range of slots that
    the field takes: first, and one past the last.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = linked(schema)
        self.slots: list[Slot] = []
        self.spans: dict[str, tuple[int, int]] = {}
        self._flatten(self.schema, "", (id(self.schema),))
        self._code = _Code(self.slots)
        self.bounds: Callable[[bytes], Bounds] = self._code.function()

    def _flatten(self, record: Schema, parent: str, inside: tuple[int, ...]) -> None:
        for field in record["fields"]:
            path = f"{parent}{field['name']}"
            resolved = plain(field["type"])
            first = len(self.slots)
            if isinstance(resolved, dict) and resolved["type"] == "record" and id(resolved) not in inside:
                self._flatten(resolved, f"{path}.", (*inside, id(resolved)))
            else:
                self.slots.append(Slot(path, resolved))
            self.spans[path] = (first, len(self.slots))

    def read(self, value: bytes) -> tuple[bytes, Bounds]:
        """Return *value* in canonical form (the same object where it already is) and its boundaries.

        Raises `Malformed` for anything that is not strict Avro of this schema to its exact end.
        """
        try:
            return value, self.bounds(value)
        except NonCanonical:
            pass
        except (IndexError, UnicodeDecodeError) as error:
            raise Malformed("the value ends too early or holds text that is not UTF-8") from error
        try:
            value = canonical(self.schema, value, HEADER_BYTES)
            return value, self.bounds(value)
        except (IndexError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed("the value ends too early or holds text that is not UTF-8") from error

    def source(self) -> tuple[list[str], dict[str, Any]]:
        """Return the lines that walk a record ``v`` and leave the boundaries in ``b0``, ``b1`` and so on, and their
        names.

        For whoever generates a function around them; they raise what `bounds` raises.
        """
        return self._code.body(), self._code.names

    def slot_of(self, path: str) -> int:
        """Return the number of the slot at *path*. Raises KeyError where the path is absent or a whole record."""
        first, end = self.spans[path]
        if end != first + 1:
            raise KeyError(path)
        return first


_TEXTY_UNION_BRANCHES = 32


class _Code:
    """Writes the source of one boundary function. ``v`` is the value, ``i`` the position, ``s`` a run's beginning."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "Malformed": Malformed,
            "text_end": text_end,
            "bytes_end": bytes_end,
            "int_end": int_end,
            "long_end": long_end,
            "from_bytes": int.from_bytes,
        }
        self.run_is_open = False
        self.walks = False
        self.empties = EmptyItems()
        self.slots = len(slots)
        for number, slot in enumerate(slots):
            self._slot(number, slot.type)
        if self.run_is_open:
            self._close_run(1)

    def _slot(self, number: int, avro_type: AvroType) -> None:
        texty = self._is_texty(avro_type)
        if texty and not self.run_is_open:
            self._line(1, "s = i")
            self.run_is_open = True
        elif not texty and self.run_is_open:
            self._close_run(1)
            self.run_is_open = False
        self._line(1, f"b{number} = i")
        self._value(1, avro_type, in_run=texty)

    def body(self) -> list[str]:
        return [
            *(["    empties.claimed = 0"] if self.walks else []),
            f"    i = {HEADER_BYTES}",
            *self.lines,
            f"    b{self.slots} = i",
            "    if i != len(v): raise Malformed('the value does not end where its record does')",
        ]

    def function(self) -> Callable[[bytes], Bounds]:
        bounds = "".join(f"b{number}, " for number in range(self.slots + 1))
        source = "\n".join(["def bounds(v):", *self.body(), f"    return ({bounds})"])
        scope = dict(self.names)
        exec(compile(source, "<bounds of a record>", "exec"), scope)
        function: Callable[[bytes], Bounds] = scope["bounds"]
        return function

    def _line(self, indent: int, text: str) -> None:
        self.lines.append("    " * indent + text)

    def _close_run(self, indent: int) -> None:
        self._line(indent, "v[s:i].decode()")

    def _is_texty(self, avro_type: AvroType) -> bool:
        """Whether every byte of its framing is below 0x80, except where `text_end` takes over."""
        resolved = plain(avro_type)
        if isinstance(resolved, list):
            return len(resolved) <= _TEXTY_UNION_BRANCHES and all(self._is_texty(branch) for branch in resolved)
        kind = resolved if isinstance(resolved, str) else resolved["type"]
        return kind in ("null", "string", "boolean") or (kind == "enum" and len(resolved["symbols"]) <= 64)

    def _value(self, indent: int, avro_type: AvroType, *, in_run: bool) -> None:
        resolved = plain(avro_type)
        if isinstance(resolved, list):
            self._union(indent, resolved, in_run=in_run)
            return
        kind = resolved if isinstance(resolved, str) else resolved["type"]
        match kind:
            case "null":
                self._line(indent, "pass")
            case "string" if not in_run:
                self._line(indent, "i = text_end(v, i)")
            case "string":
                self._line(indent, "b = v[i]")
                self._line(indent, "if b & 129:")
                self._close_run(indent + 1)
                # Two bytes of length, as addresses have: 64 to 8,191 bytes of text.
                self._line(indent + 1, "if not b & 1 and 0 < v[i + 1] < 128:")
                self._line(indent + 2, "e = i + 2 + (v[i + 1] << 6) + ((b & 127) >> 1)")
                self._line(indent + 2, "v[i + 2:e].decode()")
                self._line(indent + 2, "i = s = e")
                self._line(indent + 1, "else: i = s = text_end(v, i)")
                self._line(indent, "else: i += 1 + (b >> 1)")
            case "boolean":
                self._line(indent, "if v[i] > 1: raise Malformed('a boolean is neither 0 nor 1')")
                self._line(indent, "i += 1")
            case "enum" if len(resolved["symbols"]) <= 64:
                self._line(indent, "b = v[i]")
                self._line(indent, f"if b & 129 or b > {2 * len(resolved['symbols']) - 2}:")
                self._line(indent + 1, "raise Malformed('an enum index is out of range')")
                self._line(indent, "i += 1")
            case "int":
                self._line(indent, "if v[i] < 128: i += 1")
                self._line(indent, "elif 0 < v[i + 1] < 128: i += 2")
                self._line(indent, "elif v[i + 1] > 127 and 0 < v[i + 2] < 128: i += 3")
                self._line(indent, "else: i = int_end(v, i)")
            case "long":
                self._line(indent, "if v[i] < 128: i += 1")
                # Times in microseconds take eight bytes in our century: all but the last have their high bit set.
                self._line(indent, "elif from_bytes(v[i:i + 8], 'little') & 0x8080808080808080 == 0x80808080808080")
                self.lines[-1] += " and v[i + 7]: i += 8"
                self._line(indent, "else: i = long_end(v, i)")
            case "float":
                self._line(indent, "i += 4")
            case "double":
                self._line(indent, "i += 8")
            case "fixed":
                self._line(indent, f"i += {resolved['size']}")
            case "bytes":
                self._line(indent, "i = bytes_end(v, i)")
            case _:
                self._walk(indent, resolved)

    def _union(self, indent: int, branches: list[AvroType], *, in_run: bool) -> None:
        simple = all(self._is_simple(branch) for branch in branches)
        if len(branches) > _TEXTY_UNION_BRANCHES or not simple:
            self._walk(indent, branches)
            return
        self._line(indent, "u = v[i]")
        self._line(indent, "i += 1")
        for index, branch in enumerate(branches):
            self._line(indent, f"{'if' if index == 0 else 'elif'} u == {2 * index}:")
            self._value(indent + 1, branch, in_run=in_run)
        self._line(indent, "else: raise Malformed('a union index is out of range')")

    def _is_simple(self, branch: AvroType) -> bool:
        resolved = plain(branch)
        return isinstance(resolved, str) or resolved["type"] not in ("record", "array", "map", "union")

    def _walk(self, indent: int, avro_type: AvroType) -> None:
        name = f"walk{len(self.names)}"
        self.names["empties"] = self.empties
        self.walks = True
        self.names[name] = walker(avro_type, self.empties)
        self._line(indent, f"i = {name}(v, i, 0)")


def number_at(value: bytes, at: int) -> int:
    """Return the int or long at *at* of a record already found canonical."""
    return read_long(value, at)[0]
