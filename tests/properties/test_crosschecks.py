"""Cross-checks as a whole equal the oracle: golden and discrepancy views, and the share views of golden records."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import pytest
from oracle import avro, comparators, golden_shares, registers
from oracle.crosschecks import CrossViews, Report, cross_views
from oracle.views import Declared, Latest
from properties.simulated_bus import Entry, SimulatedBus
from properties.story import HOUR_MS, START, Story, resolved, tell

from govbus.codec.framing import header
from govbus.exchange import difference
from govbus.exchange import partition as assigned
from govbus.rules.comparators import comparator

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
"""In microseconds."""


@dataclass
class CrossStory(Story):
    """A random city whose departments keep copies of the same facts."""

    ends: set[int] = field(default_factory=set)
    """When something that was merely stale at the last check will no longer be so, in microseconds."""

    def draw_city(self) -> Declared:
        start = START.date()
        if self.revisions:
            return registers.revised(self.rng, self.declared, start)
        return registers.city(self.rng, start)

    def publish(self, changes: int) -> None:
        for _ in range(self.rng.randint(1, 3)):
            super().publish(changes)

    def draw_key(self, dataset: str, _business: avro.Record, key: list[str]) -> tuple[Any, ...]:
        return tuple(
            registers.subject_of(self.rng, self.declared, dataset) if path == "id" else self.rng.choice("abc")
            for path in key
        )

    def draw_record(self, written: Declared, dataset: str, key: tuple[Any, ...]) -> Any:
        return registers.record_of(self.rng, written, dataset, key)

    def draw_changed_at(self) -> int:
        ago = self.rng.choice([0, 0, MINUTE, HOUR, 5 * HOUR, DAY, 3 * DAY, 40 * DAY, 400 * DAY])
        at = self.now_ms * 1000 - self.rng.randint(0, ago)
        # Registers write whole loads at one time, so many entities are due at once.
        return at - at % HOUR if self.rng.random() < 0.5 else at

    def wait(self) -> None:
        ends = sorted(end for end in self.ends if end > self.now_ms * 1000)
        if ends and self.rng.random() < 0.7:
            # The very millisecond, or the last one before it.
            self.now_ms = -(-self.rng.choice(ends[:3]) // 1000) - self.rng.choice([0, 0, 1])
        else:
            self.now_ms += self.rng.choice([HOUR_MS // 30, HOUR_MS, 5 * HOUR_MS, 40 * HOUR_MS, 300 * HOUR_MS])

    # --- what must be true --------------------------------------------------------------------------------------------

    def check(self) -> None:
        super().check()
        held, _ = self.taken_in()
        found = self.found_discrepancies()
        expected: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        self.ends.clear()
        for entity in self.running.vocabulary["entities"]:
            cross = self.cross(entity, held)
            self.check_golden(entity, cross)
            self.ends |= cross.ends
            for (subject, name, dataset), row in cross.discrepancies.items():
                expected[entity, subject, f"{entity}.{name}", dataset] = {
                    "source": cross.golden[subject][name].source,
                    "source_value": shown(row.value),
                    "reported_value": shown(row.reported),
                    "result": row.result.lower(),
                    "severity": self.running.vocabulary["elements"][f"{entity}.{name}"]["severity"],
                }
            self.tally.update(cross.compared.values())
            self.tally.update(golden.standing for row in cross.golden.values() for golden in row.values())
        wrong = differing(found, expected)
        assert not wrong, wrong

    def cross(self, entity: str, held: Mapping[str, Latest]) -> CrossViews:
        """The oracle's views of one kind of entity."""
        records = {
            dataset: [
                Report(
                    key, said.version, said.changed_at, resolved(self.running, dataset, said), latest.held[key].epoch
                )
                for key, said in latest.records().items()
            ]
            for dataset, latest in held.items()
        }
        return cross_views(self.running, entity, records, self.now_ms)

    def check_golden(self, entity: str, cross: CrossViews) -> None:
        """Compacted, the golden topic is the oracle's golden view, each record in its entity's partition."""
        found = {}
        for key, (partition, entry) in self.bus.compacted(f"golden.{entity}").items():
            assert partition == crc32(key) % self.partitions
            assert not entry.sent_headers
            record = self.bus.decoded(entry.value)
            identifier = self.running.vocabulary["entities"][entity]["id"]
            assert record[identifier] == key.decode()
            found[key.decode()] = {
                name: (element["value"], element["standing"], element["source"])
                for name, element in record.items()
                if name not in (identifier, "_version", "_changed_at")
            }
        wanted = {
            subject: {name: tuple(golden) for name, golden in row.items()} for subject, row in cross.golden.items()
        }
        wrong = differing(found, wanted)
        assert not wrong, wrong
        self.tally["golden"] += len(found)

    def found_discrepancies(self) -> dict[tuple[str, str, str, str], dict[str, Any]]:
        """What a reader of the whole discrepancy topic ends up with."""
        found = {}
        for key, (partition, entry) in self.bus.compacted("discrepancy").items():
            subject, element, dataset = key.decode().split("\x1f")
            assert partition == crc32(subject.encode()) % self.partitions
            assert not entry.sent_headers
            record = self.bus.decoded(entry.value)
            assert (record["id"], record["element"], record["reporter"]) == (subject, element, dataset)
            assert record["opened_at"] <= datetime.fromtimestamp(self.now_ms / 1000, UTC)
            assert record["reason"]
            kept = ("source", "source_value", "reported_value", "result", "severity")
            found[record["entity"], subject, element, dataset] = {name: record[name] for name in kept}
        return found

    def check_view(self, view: str, held: Mapping[str, Latest], now: datetime) -> None:
        ask, dataset = view.split("/")
        if not dataset.startswith("golden."):
            super().check_view(view, held, now)
            return
        entity = dataset.partition(".")[2]
        found: dict[bytes, tuple[int, Entry]] = self.bus.compacted(f"share.{ask}.{dataset}")
        wanted: dict[bytes, bytes] = {}
        if dataset in self.running.asks[ask]["datasets"]:
            cross = self.cross(entity, held)
            table = golden_shares.golden_rows(self.running, ask, entity, cross, now, self.pseudonym_keys)
            if table.reason is None:
                frame = header(self.bus.revisions[self.bus.revision.number].view_schema_ids[view])
                wanted = {key: frame + data for key, data in table.encoded().items()}
        assert {key: entry.value for key, (_, entry) in found.items()} == wanted, view
        self.tally["golden rows shared"] += len(wanted)
        for key, (partition, entry) in found.items():
            assert partition == crc32(key) % self.partitions
            assert not entry.sent_headers


def differing(found: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> dict[Any, Any]:
    """What was found, and what was wanted instead, under every key at which they differ."""
    return {
        key: {"found": found.get(key), "wanted": wanted.get(key)}
        for key in {*found, *wanted}
        if found.get(key) != wanted.get(key)
    }


def shown(value: Any) -> str:
    """How a person reads a value."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(map(shown, value))
        case date() | Decimal() | str() | int():
            return str(value)
    raise AssertionError(type(value))


def test_the_bus_compares_as_the_oracle_does(
    seed: int, cases: Callable[[int], int], folder: Path, monkeypatch: pytest.MonkeyPatch, kernels: None
) -> None:
    """Golden, discrepancy and golden share topics equal the oracle's views at the same clock, whatever happened.

    Covers late records, repeats, deletions, several records of a subject, sources split by division, code lists of
    one's own, grace that ends, authorities that move, comparators that change, crashes, lost states, compacted logs.
    """
    monkeypatch.setattr(assigned, "SLICE_RECORDS", 2)
    tally: Counter[str] = Counter()
    for number in range(cases(160)):
        rng = Random(f"{seed}/crosschecks/{number}")
        # Every other bus takes records in by compiled kernels wherever they can, the others never.
        monkeypatch.setattr(difference, "LEAST_IN_BULK", 1 if number % 2 else 10**9)
        story = CrossStory(rng, SimulatedBus(folder / str(number), rng), tally=tally)
        tell(story, rng.randint(4, 16), deadly=rng.random() < 0.7)
        shutil.rmtree(folder / str(number))
        tally["in bulk"] += story.bus.in_bulk
    standings = ("agreed", "disputed", "unverified", "provisional", "stale")
    results = ("EQUAL", "DIFFERENT", "MISSING_A", "MISSING_B", "STALE_A", "STALE_B")
    rare = ("COMPATIBLE", "INVALID_A", "INVALID_B", "INDETERMINATE")
    wanted = (*standings, *results, "golden", "golden rows shared", "deaths", "revise", "wait", "compact")
    assert not [what for what in (*wanted, *(("in bulk", *rare) if number > 100 else ())) if not tally[what]]


@pytest.mark.parametrize("name", sorted(registers.KINDS))
def test_comparators_answer_as_the_oracles_do(name: str) -> None:
    """Of any two values that random registers write, the bus's comparator says what the oracle's says."""
    kind = registers.KINDS[name]
    values = [
        avro.plain(avro.parse(of), registers.written(avro.parse(of), value))
        for of, pool in kind.pools
        for value in pool
    ]
    alike = {"EQUAL": "agree", "COMPATIBLE": "agree"}
    for declared in kind.comparators:
        compare = comparator(declared)
        for a, b in product([*values, "", "/"] if kind.type == "text" else values, repeat=2):
            found = compare(*(tuple(each) if isinstance(each, list) else each for each in (a, b))).result.upper()
            wanted = comparators.compare(declared, a, b)
            assert alike.get(found, found) == alike.get(wanted, wanted), (declared, a, b)
