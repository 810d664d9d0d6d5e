"""Usual records taken in many at a time: two calls of compiled code per slice, and lists.

Does what `PartitionExchange.accept_each` does for records that are usual (see `govbus.exchange.usual`), and hands it
the others. Outputs come out topic by topic: those of one key stay in order, which is all that order means there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, repeat
from typing import Any

import numpy as np

from govbus.exchange.bulk import kernels
from govbus.exchange.bulk.columns import RETRACTED, UPSERTED
from govbus.exchange.bulk.tables import Tables, tables
from govbus.exchange.compiled import CompiledDataset, CompiledView
from govbus.rules.version import MAX_AHEAD_MICROSECONDS

HOUR_MS = 3_600_000


def made_loop(
    dataset: CompiledDataset, views: tuple[CompiledView, ...], partitions: int, max_record_bytes: int
) -> BulkLoop | None:
    """Return the loop of *dataset* for exactly these *views*; None where the kernels cannot follow a declaration."""
    found = tables(dataset, views)
    return None if found is None else BulkLoop(found, dataset, views, partitions, max_record_bytes)


class BulkLoop:
    """Takes in usual records of one dataset, whose views are exactly those it was made with."""

    def __init__(
        self,
        found: Tables,
        dataset: CompiledDataset,
        views: Sequence[CompiledView],
        partitions: int,
        max_record_bytes: int,
    ) -> None:
        self._tables = found
        self._dataset, self._views = dataset, views
        self._partitions, self._max_record_bytes = partitions, max_record_bytes
        self._scratch = np.empty(8, np.uint32), np.empty(64, np.uint32), np.empty(33, np.uint8)

    def __call__(
        self,
        exchange: Any,
        run: Sequence[Any],
        partition: int,
        held: Callable[[bytes], bytes | None],
        pending: dict[bytes, bytes],
        outputs: list[Any],
        accept_each: Callable[[Sequence[Any]], None],
    ) -> None:
        t, count = self._tables, len(run)
        keys = [arrival[1] or b"" for arrival in run]
        values = [arrival[2] or b"" for arrival in run]
        arrived = np.array([arrival[3] for arrival in run], np.int64)
        joined, starts = _joined(values)
        joined_keys, key_starts = _joined(keys)
        bounds = np.empty((len(t.slots) + 1, count), np.int64)
        usual = np.empty(count, np.uint8)
        changed = np.zeros(count, np.int64)
        kernels.examine(
            joined, starts, joined_keys, key_starts, arrived * 1000 + MAX_AHEAD_MICROSECONDS, t.frame, t.slots,
            t.key_slots, partition, self._partitions, self._max_record_bytes, int(self._dataset.time_based), bounds,
            usual, changed,
        )  # fmt: skip
        for each in t.formats:
            each.clear_misfits(usual, values, bounds)
        if t.suspect is not None:
            usual[np.array(t.suspect(usual.tolist(), values, bounds), bool)] = 0
        prefix = exchange.state_prefix
        state_keys = [prefix + key for key in keys]
        flags = usual.tolist()
        pending_get = pending.get
        helds = [
            (pending_get(state_key) or held(state_key) or b"") if flag else b""
            for flag, state_key in zip(flags, state_keys, strict=True)
        ]
        joined_helds, held_starts = _joined(helds)
        held_bounds = np.empty_like(bounds)
        has_held = np.empty(count, np.uint8)
        kernels.examine_held(joined, starts, joined_helds, held_starts, t.frame, t.slots, held_bounds, has_held, usual)
        shape = (len(self._views), count)
        rows, held_rows = np.ones(shape, np.uint8), np.ones(shape, np.uint8)
        for view, test in enumerate(t.rows):
            if test is not None:
                rows[view] = test(usual.tolist(), values, bounds)
                if joined_helds.size:
                    held_rows[view] = test((usual & has_held).tolist(), helds, held_bounds)
        shown = np.empty(len(self._views) * joined.size + joined_helds.size + (count + 1) * t.masked_bytes, np.uint8)
        outcomes = np.zeros(shape, np.uint8)
        begins, ends = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        key_begins, key_partitions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        used = kernels.differ(
            joined, starts, bounds, joined_helds, held_starts, held_bounds, has_held, joined_keys, key_starts,
            t.key_slots, t.slots, t.views, t.frames, t.parts, t.states, rows, held_rows, self._partitions, usual,
            shown, outcomes, begins, ends, key_begins, key_partitions, *self._scratch,
        )  # fmt: skip
        text = shown[:used].tobytes()
        touched: list[Any] = []
        if t.touched is not None:
            unsettled = () if exchange.checks is None else exchange.checks.unsettled
            touched = t.touched(usual.tolist(), keys, values, arrived.tolist(), helds, bounds, held_bounds, unsettled)

        if not usual.all():
            accept_each([run[number] for number in np.flatnonzero(usual == 0).tolist()])
            chosen = np.flatnonzero(usual)
            keys, values, state_keys = ([each[n] for n in chosen.tolist()] for each in (keys, values, state_keys))
            arrived, changed, rows = arrived[chosen], changed[chosen], rows[:, chosen]
            outcomes, begins, ends = outcomes[:, chosen], begins[:, chosen], ends[:, chosen]
            key_begins, key_partitions = key_begins[:, chosen], key_partitions[:, chosen]
        exchange.accepted += len(keys)
        pending.update(zip(state_keys, values, strict=True))
        # Not before their state: the checks look other records of the subject up there.
        exchange.touched += touched
        arrived_list = arrived.tolist()
        no = repeat(None)
        outputs += zip(repeat(self._dataset.current_topic), values, keys, repeat(partition), no, no, arrived_list, no)
        if not self._views:
            return
        changed_ms = np.maximum(1, np.minimum(arrived, changed // 1000))
        sent = outcomes.any(axis=0)
        exchange.sent_at += arrived[sent].tolist()
        exchange.sent_changed += changed_ms[sent].tolist()
        for n, active in enumerate(exchange.views):
            view, outcome = active.view, outcomes[n]
            upserted, retracted = (int(np.count_nonzero(outcome == what)) for what in (UPSERTED, RETRACTED))
            active.upserted += upserted
            active.retracted += retracted
            active.unchanged += len(keys) - upserted - retracted
            active.withheld += len(keys) - int(np.count_nonzero(rows[n]))
            if not upserted + retracted:
                continue
            at = np.flatnonzero(outcome)
            news = [
                text[begin:end] if end > begin else None
                for begin, end in zip(begins[n][at].tolist(), ends[n][at].tolist(), strict=True)
            ]
            if view.clear_key:
                shown_keys = keys if len(at) == len(keys) else [keys[each] for each in at.tolist()]
                shown_partitions: Any = repeat(partition)
                times = changed_ms[at].tolist()
            else:
                shown_keys = [text[begin : begin + 32] for begin in key_begins[n][at].tolist()]
                shown_partitions = key_partitions[n][at].tolist()
                times = (arrived[at] - arrived[at] % HOUR_MS).tolist()
            outputs += zip(repeat(view.topic), news, shown_keys, shown_partitions, no, no, times, no)


def _joined(parts: list[bytes]) -> tuple[Any, Any]:
    """Return the parts as one array of bytes, and where each begins and the last one ends."""
    starts = np.array([0, *accumulate(map(len, parts))], np.int64)
    return np.frombuffer(b"".join(parts), np.uint8), starts
