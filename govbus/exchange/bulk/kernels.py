"""The work on usual records as two compiled functions over a whole slice of them, driven by tables.

The tables (`govbus.exchange.bulk.tables`) say what a dataset's records look like and what its views show, so these
functions are compiled once per machine, by numba, and kept on disk; no dataset needs a compiler of its own. They do
what `govbus.codec.walk`, `govbus.codec.projection` and `govbus.rules` say, and they may always answer "not usual",
which costs time and nothing else: such a record is then taken in by `PartitionExchange.accept_each`. They must never
find usual what those would treat otherwise; the property tests hold both equal.

Positions are relative to the beginning of a record, but for those in *shown*, which count from its own beginning.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from govbus.exchange.bulk.checking import crc32, has_format, is_under_key
from govbus.exchange.bulk.columns import (
    BYTES_IN,
    CLEAR_KEY,
    COLUMN,
    COPY,
    END_SLOT,
    FIRST_SLOT,
    FLAGS,
    FORMAT,
    FRAME_BYTES,
    NO_FORMAT,
    OPERATION,
    OPTIONS,
    PARTS_BEGIN,
    PARTS_END,
    RETRACTED,
    TABLE,
    UNCHANGED,
    UPSERTED,
    WORDS,
    compiled,
)
from govbus.exchange.bulk.hashing import pseudonym
from govbus.exchange.bulk.masking import copied, masked
from govbus.exchange.bulk.walking import long_at, walk

_VERSION_END = 13


@njit(
    [
        types.void(
            BYTES_IN, COLUMN, BYTES_IN, COLUMN, COLUMN, BYTES_IN, TABLE, COLUMN,
            types.int64, types.int64, types.int64, types.int64, TABLE, FLAGS, COLUMN,
        )
    ],
    cache=True,
    **OPTIONS,
)  # fmt: skip
def examine(
    values, starts, keys, key_starts, latest, frame, slots, key_slots,
    partition, partitions, most_bytes, compares_latest, bounds, usual, changed_micros,
):  # fmt: skip
    """Say of each record whether it is usual in itself, and where its slots begin.

    *latest*: per record the highest version it may have, looked at where *compares_latest*. Fills *bounds* (slots + 1
    rows, a column per record), *usual* and *changed_micros*.
    """
    for record in range(starts.shape[0] - 1):
        start, end = starts[record], starts[record + 1]
        usual[record] = 0
        if end - start > most_bytes or not walk(values, start, end, frame, slots, bounds, record):
            continue
        version = long_at(values, start + FRAME_BYTES, end)[0]
        if bounds[1, record] != _VERSION_END or version <= 0:
            continue
        if compares_latest and version > latest[record]:
            continue
        key_at, key_end = key_starts[record], key_starts[record + 1]
        if not is_under_key(values, start, keys, key_at, key_end, bounds, record, key_slots, partition, partitions):
            continue
        fits = True
        for slot in range(slots.shape[0]):
            if slots[slot, FORMAT] != NO_FORMAT and not has_format(
                values, start + bounds[slot, record], start + bounds[slot + 1, record], slots, slot
            ):
                fits = False
                break
        if not fits:
            continue
        changed_micros[record] = long_at(values, start + bounds[1, record], end)[0]
        usual[record] = 1


@njit(
    [types.void(BYTES_IN, COLUMN, BYTES_IN, COLUMN, BYTES_IN, TABLE, TABLE, FLAGS, FLAGS)],
    cache=True,
    **OPTIONS,
)
def examine_held(values, starts, helds, held_starts, frame, slots, bounds, has_held, usual):
    """Say of each usual record whether what is held of its key is older and of the same schema, or nothing.

    Clears *usual* where it is not; fills *bounds* with those of what is held, and *has_held*.
    """
    for record in range(starts.shape[0] - 1):
        start, end = held_starts[record], held_starts[record + 1]
        has_held[record] = end > start
        if not usual[record] or end == start:
            continue
        usual[record] = 0
        if not walk(helds, start, end, frame, slots, bounds, record) or bounds[1, record] != _VERSION_END:
            continue
        version = long_at(values, starts[record] + FRAME_BYTES, starts[record + 1])[0]
        if long_at(helds, start + FRAME_BYTES, end)[0] < version:
            usual[record] = 1


@compiled
def projected(
    value, start, bounds, record, slots, views, frames, parts, states, view, shown, to, state, words, of_key, key_slot
):
    """Write what a view shows of a record to *shown*; return where it ends, -1 where a mask cannot express it."""
    for n in range(FRAME_BYTES):
        shown[to + n] = frames[view, n]
    to += FRAME_BYTES
    for part in range(views[view, PARTS_BEGIN], views[view, PARTS_END]):
        at = start + bounds[parts[part, FIRST_SLOT], record]
        end = start + bounds[parts[part, END_SLOT], record]
        if parts[part, OPERATION] == COPY:
            to = copied(value, at, end, shown, to)
        else:
            to = masked(value, at, end, slots, parts, part, states, view, shown, to, state, words, of_key, key_slot)
            if to < 0:
                return to
    return to


@njit(
    [
        types.int64(
            BYTES_IN, COLUMN, TABLE, BYTES_IN, COLUMN, TABLE, FLAGS, BYTES_IN, COLUMN, COLUMN, TABLE, TABLE,
            types.Array(types.uint8, 2, "C"), TABLE, types.Array(types.uint32, 2, "C"),
            types.Array(types.uint8, 2, "C"), types.Array(types.uint8, 2, "C"), types.int64,
            FLAGS, FLAGS, types.Array(types.uint8, 2, "C"), TABLE, TABLE, TABLE, TABLE,
            WORDS, WORDS, FLAGS,
        )
    ],
    cache=True,
    **OPTIONS,
)  # fmt: skip
def differ(
    values, starts, bounds, helds, held_starts, held_bounds, has_held, keys, key_starts, key_slots, slots, views,
    frames, parts, states,
    rows, held_rows, partitions,
    usual, shown, outcomes, begins, ends, key_begins, key_partitions, state, words, of_key,
):  # fmt: skip
    """Find what each usual record changes in each view; return how many bytes of *shown* that took.

    *rows* and *held_rows*: per view and record, whether the row conditions let it be seen. Per view and record,
    *outcomes* says what happens, and where it is `UPSERTED` *begins* and *ends* where the new value stands in *shown*;
    where it is not `UNCHANGED` and the view's keys are pseudonyms, *key_begins* where the key stands, and
    *key_partitions* its partition. Clears *usual* where a mask cannot express a value here. *state*, *words* and
    *of_key* (8, 64 and 33 items) are to work in.
    """
    key_slot = key_slots[0] if key_slots.shape[0] == 1 else np.int64(-1)
    to = 0
    for record in range(starts.shape[0] - 1):
        if not usual[record]:
            continue
        record_begin = to
        start, held_start = starts[record], held_starts[record]
        for view in range(views.shape[0]):
            begin = end = to
            of_key[32] = 0
            if rows[view, record]:
                end = projected(
                    values, start, bounds, record, slots, views, frames, parts, states, view, shown, to, state,
                    words, of_key, key_slot,
                )  # fmt: skip
                if end < 0:
                    usual[record] = 0
                    to = record_begin
                    break
            held_end = end
            if has_held[record] and held_rows[view, record]:
                held_end = projected(
                    helds, held_start, held_bounds, record, slots, views, frames, parts, states, view, shown, end,
                    state, words, of_key, key_slot,
                )  # fmt: skip
                if held_end < 0:
                    usual[record] = 0
                    to = record_begin
                    break
            same = held_end - end == end - begin
            if same:
                for n in range(end - begin):
                    if shown[begin + n] != shown[end + n]:
                        same = False
                        break
            if same:
                outcomes[view, record] = UNCHANGED
                continue
            outcomes[view, record] = UPSERTED if end > begin else RETRACTED
            begins[view, record], ends[view, record] = begin, end
            to = end
            if not views[view, CLEAR_KEY]:
                key_begins[view, record] = to
                if of_key[32] == 0:
                    pseudonym(keys, key_starts[record], key_starts[record + 1], states, view, of_key, 0, state, words)
                to = copied(of_key, 0, 32, shown, to)
                key_partitions[view, record] = crc32(shown, to - 32, to) % partitions
    return to
