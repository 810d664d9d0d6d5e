"""What is held of an entity's reports, in one state value: the bound values alone, so that one look-up finds them all.

Derived from the records and from nothing else: it can be made anew from them at any time, and is wherever the bindings
change.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from govbus.exchange.golden import Said
from govbus.rules.crosscheck import Report

_HEAD = struct.Struct(">HIQqIHB")
"""Dataset's number in this state, epoch, version, changed at, conditions that hold, bytes of the key, values."""
_LENGTHS = [struct.Struct(f">{values}i") for values in range(256)]
"""The values' lengths, -1 for null; so that all are read at once."""


def packed(said: Sequence[Said | None], numbers: Sequence[int]) -> bytes:
    """Return *said* as a state value, empty where nobody says anything; *numbers* are the datasets' in this state."""
    parts: list[bytes] = []
    for number, each in zip(numbers, said, strict=True):
        if each is None:
            continue
        report = each.report
        parts.append(
            _HEAD.pack(
                number,
                report.epoch,
                report.version,
                report.changed_at,
                each.released,
                len(each.key),
                len(report.values),
            )
        )
        values = report.values
        parts.append(_LENGTHS[len(values)].pack(*[-1 if value is None else len(value) for value in values]))
        parts.append(each.key)
        parts += [value for value in values if value is not None]
    return b"".join(parts)


def unpacked(stored: bytes | None, places: Mapping[int, int]) -> list[Said | None]:
    """Return what a state value says, per dataset; *places* gives each state number's place in the answer."""
    said: list[Said | None] = [None] * len(places)
    at = 0
    while stored and at < len(stored):
        number, epoch, version, changed_at, released, key_bytes, count = _HEAD.unpack_from(stored, at)
        at += _HEAD.size
        lengths = _LENGTHS[count].unpack_from(stored, at)
        at += 4 * count
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
