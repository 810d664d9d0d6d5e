"""The households in which something will happen later, with every row that departments hold about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from govbus.ops.city.declared import Declared
from govbus.ops.city.families import Household
from govbus.ops.city.ledger import Ledger
from govbus.ops.city.row import Record, Row

POPULATION = "public_security.population"
HOUSEHOLD = "public_security.household"


class Output(Protocol):
    """A file or table that takes rows, and changes of them."""

    def write(self, row: Row) -> int: ...
    def change(self, place: int | None, before: Row | None, after: Row | None) -> None: ...


@dataclass(slots=True)
class Kept:
    """One row of the first export: where it stands and, if it carries one, its fault's number."""

    dataset: str
    clean: Record | None
    row: Row
    place: int
    fault: int | None


@dataclass(slots=True)
class Case:
    """One household and its rows."""

    household: Household
    kept: list[Kept] = field(default_factory=list)

    def of(self, dataset: str) -> list[Kept]:
        """Return the household's rows of *dataset* that should be there."""
        return [kept for kept in self.kept if kept.dataset == dataset and kept.clean is not None]


class Casebook:
    """Writes changes of cases to the outputs, and enters corrected faults in the ledger."""

    def __init__(self, declared: Mapping[str, Declared], outputs: Mapping[str, Output], ledger: Ledger) -> None:
        self._declared, self._outputs, self.ledger = declared, outputs, ledger
        self.wave = 0
        self._now: datetime
        self.upserts: Counter[str] = Counter()
        self.deletions: Counter[str] = Counter()

    def begin(self, wave: int, now: datetime) -> None:
        """Begin a wave; its changes happen from *now* on, a second apart."""
        self.wave, self._now = wave, now
        self.upserts.clear()
        self.deletions.clear()

    def moment(self) -> datetime:
        """Return the time of the next change."""
        self._now += timedelta(seconds=1)
        return self._now

    def put(self, case: Case | None, dataset: str, record: Record) -> None:
        """Write *record* over the case's row of the same key, or as a new row."""
        found = self._find(case, dataset, record)
        after = Row(record, self.moment())
        self.upserts[dataset] += 1
        if found is None:
            self._outputs[dataset].change(None, None, after)
            return
        self._outputs[dataset].change(found.place, found.row, after)
        self._corrected(found)
        found.row, found.clean = after, record

    def remove(self, case: Case, kept: Kept) -> None:
        """Take a row out of its register."""
        self._outputs[kept.dataset].change(kept.place, Row(kept.row.record, self.moment(), kept.row.copies), None)
        self.deletions[kept.dataset] += 1
        self._corrected(kept)
        case.kept.remove(kept)

    def _corrected(self, kept: Kept) -> None:
        if kept.fault is not None:
            self.ledger.correction(kept.fault, self.wave)
            kept.fault = None

    def _find(self, case: Case | None, dataset: str, record: Record) -> Kept | None:
        key = self._declared[dataset].key
        for kept in case.of(dataset) if case else ():
            assert kept.clean is not None
            if all(kept.clean[path] == record[path] for path in key):
                return kept
        return None
