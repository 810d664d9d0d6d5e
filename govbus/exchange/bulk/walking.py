"""Walking over the bytes of records in compiled code: what `govbus.codec.walk` and `govbus.codec.reader` accept."""

from __future__ import annotations

import numpy as np

from govbus.exchange.bulk.columns import (
    BYTES,
    ENUM,
    FIXED,
    FRAME_BYTES,
    INT,
    KIND,
    LONG,
    NULL_INDEX,
    SIZE,
    STRING,
    compiled,
)


@compiled
def long_at(value, at, end):
    """Return the canonical zig-zag long at *at* and where it ends, -1 where there is none."""
    bits = np.uint64(0)
    shift = 0
    while at < end:
        byte = value[at]
        at += 1
        if shift == 63 and byte > 1:
            break
        bits |= np.uint64(byte & 0x7F) << np.uint64(shift)
        if byte < 0x80:
            if byte == 0 and shift > 0:
                break
            return np.int64(bits >> np.uint64(1)) ^ -np.int64(bits & np.uint64(1)), at
        shift += 7
    return np.int64(0), np.int64(-1)


@compiled
def is_text(value, at, end):
    """Return whether these bytes are UTF-8 as Python reads it: shortest forms, no surrogates, up to U+10FFFF."""
    while at < end:
        byte = value[at]
        if byte < 0x80:
            at += 1
            continue
        if byte < 0xC2 or byte > 0xF4:
            return False
        if byte < 0xE0:
            if at + 1 >= end or value[at + 1] & 0xC0 != 0x80:
                return False
            at += 2
            continue
        if byte < 0xF0:
            if at + 2 >= end:
                return False
            second = value[at + 1]
            if second & 0xC0 != 0x80 or value[at + 2] & 0xC0 != 0x80:
                return False
            if (byte == 0xE0 and second < 0xA0) or (byte == 0xED and second > 0x9F):
                return False
            at += 3
            continue
        if at + 3 >= end:
            return False
        second = value[at + 1]
        if second & 0xC0 != 0x80 or value[at + 2] & 0xC0 != 0x80 or value[at + 3] & 0xC0 != 0x80:
            return False
        if (byte == 0xF0 and second < 0x90) or (byte == 0xF4 and second > 0x8F):
            return False
        at += 4
    return True


@compiled
def slot_end(value, at, end, slots, slot):
    """Return where the slot at *at* ends, -1 where it is not canonical Avro of its type."""
    if slots[slot, NULL_INDEX] >= 0:
        if at >= end:
            return np.int64(-1)
        branch = value[at]
        at += 1
        if branch == 2 * slots[slot, NULL_INDEX]:
            return at
        if branch != 2 * (1 - slots[slot, NULL_INDEX]):
            return np.int64(-1)
    kind = slots[slot, KIND]
    if kind in (STRING, BYTES):
        length, at = long_at(value, at, end)
        if at < 0 or length < 0 or length > end - at:
            return np.int64(-1)
        if kind == STRING and not is_text(value, at, at + length):
            return np.int64(-1)
        return at + length
    if kind == LONG:
        return long_at(value, at, end)[1]
    if kind == INT:
        number, at = long_at(value, at, end)
        return at if -(1 << 31) <= number < (1 << 31) else np.int64(-1)
    if kind == FIXED:
        return at + slots[slot, SIZE] if slots[slot, SIZE] <= end - at else np.int64(-1)
    if kind == ENUM:
        number, at = long_at(value, at, end)
        return at if 0 <= number < slots[slot, SIZE] else np.int64(-1)
    # A boolean; nothing else is left.
    return at + 1 if at < end and value[at] <= 1 else np.int64(-1)


@compiled
def walk(value, start, end, frame, slots, bounds, record):
    """Put the boundaries of a framed record's slots into column *record*; return whether it is canonical."""
    if end - start < FRAME_BYTES:
        return False
    for n in range(FRAME_BYTES):
        if value[start + n] != frame[n]:
            return False
    at = start + FRAME_BYTES
    for slot in range(slots.shape[0]):
        bounds[slot, record] = at - start
        at = slot_end(value, at, end, slots, slot)
        if at < 0:
            return False
    bounds[slots.shape[0], record] = at - start
    return at == end
