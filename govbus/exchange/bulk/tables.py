"""A dataset and its views as the tables that the compiled kernels read; None where they cannot say it.

What has no place in a table stays in Python and is asked per record: formats beyond the common ones, and row
conditions, whose expressions are those of `govbus.codec.row_test`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from govbus.codec.framing import HEADER_BYTES, header
from govbus.codec.projection import Memo, shown_as
from govbus.codec.reader import RecordReader
from govbus.codec.row_test import RowTest
from govbus.codec.schemas import AvroType, plain
from govbus.codec.structure import RecordSlices, slots_of, suspicions
from govbus.codec.walk import text_start
from govbus.exchange.bulk import columns
from govbus.exchange.bulk.hashing import hash_block
from govbus.exchange.compiled import CompiledDataset, CompiledView
from govbus.rules import condition as condition_rules
from govbus.rules import identity
from govbus.rules.condition import Condition
from govbus.rules.mask import GeneraliseBand, GeneraliseDate, GeneraliseDivision, Keep, Mask, Null, Pass, Pseudonym

Rows = Callable[[Sequence[Any], Sequence[bytes], Any], list[bool]]
"""From flags, records and bounds to flags: kept where the record may be seen."""

Touches = Callable[..., list[tuple[bytes, bytes | None, bytes, int]]]
"""From flags, keys, records, times of arrival, what is held, both their bounds and the unsettled keys to what the
cross-checks must hear of: key, held, record and time."""

Test = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class AskedFormat:
    """A field whose format is asked for in Python."""

    slot: int
    null_index: int
    is_canonical: Test

    def clear_misfits(self, usual: Any, values: Sequence[bytes], bounds: Any) -> None:
        """Clear *usual* where the field is not in its form."""
        null, present = 2 * self.null_index, int(self.null_index >= 0)
        begins, ends = bounds[self.slot].tolist(), bounds[self.slot + 1].tolist()
        test = self.is_canonical
        for number in usual.nonzero()[0].tolist():
            value, at = values[number], begins[number]
            if present:
                if value[at] == null:
                    continue
                at += 1
            if not test(value[text_start(value, at) : ends[number]]):
                usual[number] = 0


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything the kernels are told; the columns have names in `govbus.exchange.bulk.columns`."""

    frame: Any
    slots: Any
    key_slots: Any
    views: Any
    parts: Any
    frames: Any
    states: Any
    formats: tuple[AskedFormat, ...]
    rows: tuple[Rows | None, ...]
    suspect: Rows | None
    """The records that may fail a structural check."""
    touched: Touches | None
    masked_bytes: int
    """By how much the masks of all views together may lengthen one record, frames and pseudonymous keys included."""


def tables(dataset: CompiledDataset, views: Sequence[CompiledView]) -> Tables | None:
    """Return the tables of *dataset* for exactly these *views*, or None where some of it has no place in them."""
    try:
        return _Tables(dataset, views).made()
    except _NoPlace:
        return None


class _NoPlace(Exception):
    """Part of the declarations cannot be said in a table."""


class _Tables:
    def __init__(self, dataset: CompiledDataset, views: Sequence[CompiledView]) -> None:
        self.dataset, self.views = dataset, views
        self.newest: RecordReader = dataset.newest
        self.formats: list[AskedFormat] = []
        self.codes: dict[Test, int] = {
            identity.is_canonical_citizen_id: columns.CITIZEN_ID,
            identity.is_canonical_uscc: columns.USCC,
            identity.is_canonical_party_id: columns.PARTY_ID,
        }

    def made(self) -> Tables:
        if self.dataset.epoch:
            raise _NoPlace
        slots = [self._slot(number) for number in range(len(self.newest.slots))]
        key_slots = [self.newest.slot_of(path) for path in self.dataset.key_paths]
        if any(self.newest.slots[slot].type != "string" for slot in key_slots):
            raise _NoPlace
        parts: list[list[int]] = []
        views: list[list[int]] = []
        for view in self.views:
            begin = len(parts)
            parts += self._parts(view)
            views.append([begin, len(parts), int(view.clear_key)])
        return Tables(
            frame=np.frombuffer(self.dataset.newest_frame, np.uint8),
            slots=_table(slots, 4),
            key_slots=np.array(key_slots, np.int64),
            views=_table(views, 3),
            parts=_table(parts, 5),
            frames=np.frombuffer(b"".join(header(view.schema_id) for view in self.views), np.uint8)
            .copy()
            .reshape(-1, HEADER_BYTES),
            states=self._states(),
            formats=tuple(self.formats),
            suspect=self._suspect(),
            touched=_touched(self.dataset),
            rows=tuple(self._rows(view) for view in self.views),
            masked_bytes=columns.LONGEST_MASK * (len(parts) + 2 * len(views)),
        )

    def _slot(self, number: int) -> list[int]:
        slot = self.newest.slots[number]
        null_index, inner = _optional(slot.type)
        kind = inner if isinstance(inner, str) else inner["type"]
        size = 0
        match kind:
            case "null":
                code = columns.FIXED
            case "float":
                code, size = columns.FIXED, 4
            case "double":
                code, size = columns.FIXED, 8
            case "fixed":
                code, size = columns.FIXED, inner["size"]
            case "enum":
                code, size = columns.ENUM, len(inner["symbols"])
            case "boolean" | "int" | "long" | "bytes" | "string":
                code = {
                    "boolean": columns.BOOLEAN,
                    "int": columns.INT,
                    "long": columns.LONG,
                    "bytes": columns.BYTES,
                    "string": columns.STRING,
                }[kind]
            case _:
                raise _NoPlace
        wanted = columns.NO_FORMAT
        test = self.dataset.formats.get(slot.path)
        if test is not None:
            if kind != "string":
                raise _NoPlace
            wanted = self.codes.get(test, columns.NO_FORMAT)
            if wanted == columns.NO_FORMAT:
                self.formats.append(AskedFormat(number, null_index, test))
        return [code, null_index, size, wanted]

    def _parts(self, view: CompiledView) -> list[list[int]]:
        masks, spans = view.view.masks, self.newest.spans
        found: list[list[int]] = []
        for path in sorted(masks, key=lambda each: spans[each][0]):
            mask = masks[path]
            if isinstance(mask, Null):
                continue
            first, end = spans[path]
            part = [*self._operation(mask, first, end)]
            if part[0] == columns.COPY and found and found[-1][0] == columns.COPY and found[-1][2] == first:
                # Slices that touch are one.
                found[-1][2] = end
            else:
                found.append([part[0], first, end, *part[1:]])
        return found

    def _operation(self, mask: Mask, first: int, end: int) -> tuple[int, int, int]:
        """Return the operation that *mask* is and its two numbers."""
        if isinstance(mask, Pass):
            return columns.COPY, 0, 0
        inner = _optional(self.newest.slots[first].type)[1]
        kind = inner if isinstance(inner, str) else inner["type"]
        logical = None if isinstance(inner, str) else inner.get("logicalType")
        match mask:
            case Keep(kept_first, kept_last) if kind == "string":
                return columns.KEEP, kept_first, kept_last
            case GeneraliseDivision(digits) if kind == "string":
                return columns.DIVISION, digits, 0
            case GeneraliseDate(unit) if kind == "int" and logical == "date":
                return columns.DATE, int(unit == "month"), 0
            case GeneraliseBand(width) if kind in ("int", "long") and width < 1 << 61:
                return columns.BAND, width, 0
            case Pseudonym() if kind == "string":
                return columns.PSEUDONYM, 0, 0
        raise _NoPlace

    def _states(self) -> Any:
        """Return, per view, the two inner states of HMAC-SHA256 that depend on its pseudonym key alone."""
        states, words = np.zeros((len(self.views), 16), np.uint32), np.empty(64, np.uint32)
        for row, view in zip(states, self.views, strict=True):
            if view.pseudonym_key is not None:
                block = view.pseudonym_key.ljust(64, b"\0")
                for at, pad in ((0, 0x36), (8, 0x5C)):
                    padded = bytes(byte ^ pad for byte in block)
                    hash_block(np.frombuffer(padded, np.uint8), row[at : at + 8], words)
        return states

    def _suspect(self) -> Rows | None:
        names: dict[str, Any] = {}
        found = suspicions(self.dataset.checks, slots_of(self.newest), RecordSlices(), names)
        return _of_each(" or ".join(found), names) if found else None

    def _rows(self, view: CompiledView) -> Rows | None:
        """Return the row conditions of *view* as one function over many records; None where it has none."""
        masks = view.view.masks
        asked = view.view.ask_rows
        for test in condition_rules.tests(asked) if asked is not None else ():
            if not isinstance(masks[shown_as(test.path, masks)], Pass):
                raise _NoPlace
        return _rows([each for each in (view.view.grant_rows, asked) if each is not None], self.newest)


def _rows(conditions: Sequence[Condition], newest: RecordReader) -> Rows | None:
    paths = {test.path for each in conditions for test in condition_rules.tests(each)}
    names: dict[str, Any] = {}

    def span(path: str) -> tuple[str, AvroType]:
        first, end = newest.spans[path]
        bounds = f"b{first}:b{end}" if len(paths) > 1 else ""
        return f"v[{bounds or ':'}]", newest.slots[first].type if end == first + 1 else "record"

    tests = " and ".join([RowTest(names, span).is_true(each) for each in conditions])
    if not tests:
        return None
    if len(paths) == 1:
        # Of one field: its answer is remembered per value, and divisions, states and codes recur a great deal.
        first, end = newest.spans[next(iter(paths))]
        names["answers"] = Memo(eval(compile(f"lambda v: {tests}", "<row condition>", "eval"), dict(names)))
        tests = f"answers[v[b{first}:b{end}]]"
    return _of_each(tests, names)


def _of_each(expression: str, names: dict[str, Any]) -> Rows:
    """Return *expression*, over a record ``v`` and its boundaries ``b0``, ``b1`` and so on, over many records."""
    looked_at = sorted({int(bound) for bound in re.findall(r"\bb(\d+)\b", expression)})
    bounds = "".join(f", b{slot}" for slot in looked_at)
    columns = "".join(f", bounds[{slot}].tolist()" for slot in looked_at)
    source = f"lambda flags, values, bounds: [f and ({expression}) for f, v{bounds} in zip(flags, values{columns})]"
    found: Rows = eval(compile(source, "<of each record>", "eval"), names)
    return found


def _touched(dataset: CompiledDataset) -> Touches | None:
    """Return the function that says which usual records the cross-checks must hear of; None where there are none."""
    if dataset.watched is None:
        return None
    tests, columns, bounds = ["not s", "k in unsettled"], "", ""
    if len(dataset.key_paths) > 1:
        # Which of a subject's records speaks for its dataset follows from their versions.
        tests = ["True"]
    else:
        for slot in dataset.watched:
            tests.append(f"v[b{slot}:b{slot + 1}] != s[o{slot}:o{slot + 1}]")
        for at in sorted({at for slot in dataset.watched for at in (slot, slot + 1)}):
            bounds += f", b{at}, o{at}"
            columns += f", bounds[{at}].tolist(), held_bounds[{at}].tolist()"
    source = (
        "lambda flags, keys, values, arrived, helds, bounds, held_bounds, unsettled: "
        f"[(k, s or None, v, a) for f, k, v, a, s{bounds} in zip(flags, keys, values, arrived, helds{columns}) "
        f"if f and ({' or '.join(tests)})]"
    )
    found: Touches = eval(compile(source, "<touched records>", "eval"), {})
    return found


def _optional(avro_type: AvroType) -> tuple[int, AvroType]:
    """Return the index of null in a union of null and one other type, and that type; -1 where there is no union."""
    if not isinstance(avro_type, list):
        return -1, plain(avro_type)
    if len(avro_type) != 2 or avro_type.count("null") != 1:
        raise _NoPlace
    null_index = avro_type.index("null")
    inner = plain(avro_type[1 - null_index])
    if isinstance(inner, list):
        raise _NoPlace
    return null_index, inner


def _table(rows: list[list[int]], columns: int) -> Any:
    return np.array(rows, np.int64).reshape(-1, columns)
