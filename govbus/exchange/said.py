"""What is held of an entity's reports, in one state value: the bound values alone, so that one look-up finds them all.

Derived from the records and from nothing else: it can be made anew from them at any time, and is wherever the bindings
change.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from govbus.exchange.golden import Said
from govbus.rules.crosscheck import Report

_HEAD = struct.Struct(">HIQqHIH")
"""Dataset's number in this state, epoch, version, changed at, bytes of the conditions that hold, of the key, values."""
_LENGTHS = [struct.Struct(f">{values}i") for values in range(64)]
"""The values' lengths, -1 for null; so that all are read at once."""


def _lengths(values: int) -> struct.Struct:
    return _LENGTHS[values] if values < len(_LENGTHS) else struct.Struct(f">{values}i")


def packed(said: Sequence[Said | None], numbers: Sequence[int]) -> bytes:
    """Return *said* as a state value, empty where nobody says anything; *numbers* are the datasets' in this state."""
    parts: list[bytes] = []
    for number, each in zip(numbers, said, strict=True):
        if each is None:
            continue
        report, values = each.report, each.report.values
        released = each.released.to_bytes((each.released.bit_length() + 7) // 8, "big")
        head = number, report.epoch, report.version, report.changed_at, len(released), len(each.key), len(values)
        parts.append(_HEAD.pack(*head))
        parts.append(_lengths(len(values)).pack(*[-1 if value is None else len(value) for value in values]))
        parts += [released, each.key]
        parts += [value for value in values if value is not None]
    return b"".join(parts)


def unpacked(stored: bytes | None, places: Mapping[int, int]) -> list[Said | None]:
    """Return what a state value says, per dataset; *places* gives each state number's place in the answer."""
    said: list[Said | None] = [None] * len(places)
    at = 0
    while stored and at < len(stored):
        number, epoch, version, changed_at, released_bytes, key_bytes, count = _HEAD.unpack_from(stored, at)
        at += _HEAD.size
        lengths = _lengths(count).unpack_from(stored, at)
        at += 4 * count
        released = int.from_bytes(stored[at : at + released_bytes], "big")
        at += released_bytes
        key = stored[at : at + key_bytes]
        at += key_bytes
        values: list[bytes | None] = []
        for length in lengths:
            if length < 0:
                values.append(None)
            else:
                values.append(stored[at : at + length])
                at += length
        said[places[number]] = Said(Report(tuple(values), epoch, version, changed_at), key, released)
    return said
