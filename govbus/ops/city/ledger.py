"""Planting faults, and the ledger that keeps account of each: what later work is scored against."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from govbus.ops.city.codes import CitizenIds
from govbus.ops.city.declared import Declared
from govbus.ops.city.economy import Enterprise
from govbus.ops.city.faults import FAULTS, NATURES, Dice, Effect, Fault, Holds
from govbus.ops.city.row import FeignedDate, Record, Row, date_text, key_texts, value_at


@dataclass(slots=True)
class Written:
    """A row to write, the clean record it stands for (None: there should be no such row), and its fault's number."""

    row: Row
    clean: Record | None
    fault: int | None = None


class Ledger:
    """``ledger.jsonl``: one line per planted fault, and one per fault that a later wave corrects.

    A fault: ``fault`` (its number, from 1), ``wave`` (0: the first export), ``dataset``, ``key`` (texts of the key
    fields as the bus has them or, of a rejected row, would have them), ``kind``, ``nature`` (what is wrong about it:
    `faults.Nature`), ``field``, ``effect`` (rejected or accepted), ``holds`` (what the bus then holds there: right,
    wrong, none), ``right`` and ``written`` (the values).
    A correction: ``corrects`` (the fault's number) and ``wave``.
    """

    def __init__(self, path: Path, declared: dict[str, Declared]) -> None:
        self._declared = declared
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self.count = 0
        self.corrected = 0

    def fault(
        self,
        wave: int,
        dataset: str,
        key_of: Record,
        kind: str,
        field: str,
        effect: Effect,
        holds: Holds,
        right: Any = None,
        written: Any = None,
    ) -> int:
        """Enter a fault and return its number."""
        self.count += 1
        line = {
            "fault": self.count,
            "wave": wave,
            "dataset": dataset,
            "key": key_texts(self._declared[dataset], key_of),
            "kind": kind,
            "nature": NATURES[kind],
            "field": field,
            "effect": effect,
            "holds": holds,
            "right": _plain(right),
            "written": _plain(written),
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        return self.count

    def correction(self, fault: int, wave: int) -> None:
        """Enter that *fault* was put right in *wave*."""
        self.corrected += 1
        self._file.write(json.dumps({"corrects": fault, "wave": wave}) + "\n")

    def close(self) -> None:
        """End the file."""
        self._file.close()


class Planter:
    """Puts faults into rows at their rates: evenly spread, never two into one row."""

    def __init__(self, seed: int, idle_firms: list[Enterprise], ledger: Ledger) -> None:
        random = Random(f"faults {seed}")
        self._dice = Dice(random, CitizenIds(), idle_firms)
        self._ledger = ledger
        self._faults: dict[str, list[tuple[int, Fault, Callable[[Record], bool]]]] = {}
        self._due = []
        for number, fault in enumerate(FAULTS):
            self._faults.setdefault(fault.dataset, []).append((number, fault, fault.eligible))
            self._due.append(random.random())
        self.eligible: Counter[str] = Counter()
        self.planted: Counter[str] = Counter()

    def rows(self, dataset: str, record: Record, changed_at: datetime) -> list[Written]:
        """Return the rows that stand for the clean *record*: itself, perhaps with a fault, perhaps and one too many."""
        chosen: Fault | None = None
        due = self._due
        for number, fault, eligible in self._faults.get(dataset, ()):
            if eligible(record):
                self.eligible[name_of(fault)] += 1
                due[number] += fault.rate
                if chosen is None and due[number] >= 1:
                    due[number] -= 1
                    chosen = fault
        plain = Written(Row(record, changed_at), record)
        planted = chosen.plant(self._dice, record) if chosen is not None else None
        if chosen is None or not planted:
            return [plain]
        self.planted[name_of(chosen)] += 1
        if planted.extra is not None:
            number = self._enter(chosen, planted.extra, record, planted.extra)
            return [plain, Written(Row(planted.extra, changed_at), None, number)]
        faulty = record
        for path, value in planted.values.items():
            faulty = _with(faulty, path, value)
        later = changed_at + planted.later if planted.later else changed_at
        # Of a mangled id the bus finds the right form; under a wrong but valid one it files the row as somebody else's.
        key_of = faulty if chosen.effect == "accepted" and chosen.holds == "wrong" else record
        number = self._enter(chosen, key_of, record, faulty)
        return [Written(Row(faulty, later, planted.copies, planted.shifted), record, number)]

    def _enter(self, fault: Fault, key_of: Record, right: Record, written: Record) -> int:
        path = fault.field
        known = path and not path.startswith("_")
        return self._ledger.fault(
            0,
            fault.dataset,
            key_of,
            fault.kind,
            path,
            fault.effect,
            fault.holds,
            value_at(right, path) if known else None,
            value_at(written, path) if known else None,
        )


def name_of(fault: Fault) -> str:
    """Return the fault's name in summaries: kind, dataset and field."""
    return f"{fault.kind} {fault.dataset}:{fault.field}"


def _with(record: Record, path: str, value: Any) -> Record:
    step, _, rest = path.partition(".")
    return {**record, step: _with(record[step], rest, value) if rest else value}


def _plain(value: Any) -> Any:
    if isinstance(value, FeignedDate):
        return date_text(value, "%Y-%m-%d")
    return value if value is None or isinstance(value, str | int | float) else str(value)
