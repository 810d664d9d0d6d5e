"""What the clock alone changes: many entities due at one instant, and a worker that dies among them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import pytest
from oracle import avro
from oracle.crosschecks import CrossViews, Report, cross_views
from oracle.views import Declared
from properties.simulated_bus import Died, SimulatedBus

from govbus.codec.framing import header
from govbus.codec.schemas import record_schema
from govbus.exchange import partition as assigned

NOW_MS = 1_772_323_200_000
HOUR_MS = 3_600_000
SOURCE, REPORT = "alpha.one", "beta.two"
ENTITIES = [f"890100000{number}" for number in range(7)]
KEYS = {"gamma.p": bytes(32)}


def declared(comparator: str = "exact") -> Declared:
    """A source and a report of one element, two hours of grace, and an ask for the golden view."""
    fields = [{"name": "id", "type": "string"}, {"name": "name", "type": "string"}]
    terms = {"purpose": "p", "until": date(2099, 1, 1)}
    datasets: dict[str, Any] = {}
    for dataset in (SOURCE, REPORT):
        bound = {"element": "house.name"} | ({"authoritative": True} if dataset == SOURCE else {})
        datasets[dataset] = {
            "entity": "house",
            "subject": "id",
            "key": ["id"],
            "share": "conditional",
            "versions": "sequence",
            "epoch": 0,
            "fields": {"id": {"title": "项", "grade": "L1"}, "name": {"title": "项", "grade": "L1", **bound}},
            "grants": [],
        }
    granted = {"to": "gamma", **terms, "fields": {"name": "pass"}, "standing": ["name"]}
    datasets[SOURCE]["grants"] = [granted]
    asked = {"fields": {"house_no": "pass", "name.value": "pass", "name.standing": "pass"}}
    return Declared(
        city={"city": "testcity", "title": "测试市", "division": "890000", "partitions": 1},
        datasets=datasets,
        schemas={name: {"type": "record", "name": name.split(".")[1], "fields": fields} for name in (SOURCE, REPORT)},
        subscribers={"gamma": {"clearance": "L2"}},
        asks={"gamma.ask0": {**terms, "datasets": {"golden.house": asked}}},
        vocabulary={
            "entities": {"house": {"title": "房屋", "id": "house_no", "format": "house_code"}},
            "elements": {
                "house.name": {
                    "title": "名称",
                    "definition": "名称",
                    "type": "text",
                    "comparator": comparator,
                    "severity": "major",
                    "grace": "2h",
                }
            },
        },
    )


@dataclass
class Houses:
    """Two registers that disagree about every house, the report being the older one."""

    bus: SimulatedBus
    versions: int = 0
    records: dict[str, dict[str, Report]] = field(default_factory=lambda: {SOURCE: {}, REPORT: {}})

    def say(self, dataset: str, entity: str, name: str, changed_ms: int, arrived_ms: int = NOW_MS) -> None:
        self.versions += 1
        schema = record_schema(declared().schemas[dataset])
        record = {"id": entity, "name": name}
        whole = {"_version": self.versions, "_changed_at": changed_ms * 1000} | record
        value = header(self.bus.registry.id_of(schema)) + avro.encode(avro.parse(schema), whole)
        self.bus.publish(f"raw.{dataset}", crc32(entity.encode()) % 1, entity.encode(), value, arrived_ms)
        self.records[dataset][entity] = Report(entity, self.versions, changed_ms * 1000, record)

    def oracle(self, clock_ms: int) -> CrossViews:
        held = {dataset: list(records.values()) for dataset, records in self.records.items()}
        return cross_views(declared(), "house", held, clock_ms)

    def check(self, clock_ms: int) -> CrossViews:
        """The topics are what the oracle says at *clock_ms*."""
        cross = self.oracle(clock_ms)
        golden = self.bus.compacted("golden.house")
        standings = {
            key.decode(): self.bus.decoded(entry.value)["name"]["standing"] for key, (_, entry) in golden.items()
        }
        assert standings == {subject: row["name"].standing for subject, row in cross.golden.items()}
        discrepancies = {tuple(key.decode().split("\x1f")) for key in self.bus.compacted("discrepancy")}
        assert discrepancies == {(subject, f"house.{name}", dataset) for subject, name, dataset in cross.discrepancies}
        shared = self.bus.compacted("share.gamma.ask0.golden.house")
        told = {key.decode(): self.bus.decoded(entry.value)["name"]["standing"] for key, (_, entry) in shared.items()}
        assert told == {entity: standings[entity] for entity in self.records[SOURCE]}
        return cross


def settle(bus: SimulatedBus, clock_ms: int) -> None:
    if not bus.partitions:
        bus.start()
    bus.tick(clock_ms)
    while any(bus.step(number, 10) for number in bus.partitions):
        pass


@pytest.fixture
def houses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Houses:
    """Seven houses whose report lags, all of them until the same instant two hours from now."""
    monkeypatch.setattr(assigned, "SLICE_RECORDS", 2)
    bus = SimulatedBus(folder / "state", Random(0))
    bus.apply(declared(), KEYS)
    houses = Houses(bus)
    for entity in ENTITIES:
        houses.say(SOURCE, entity, "new", NOW_MS)
        houses.say(REPORT, entity, "old", NOW_MS - HOUR_MS)
    settle(bus, NOW_MS)
    assert not houses.check(NOW_MS).discrepancies
    return houses


DUE_MS = NOW_MS + 2 * HOUR_MS


def dies_after(bus: SimulatedBus, chances: int) -> Callable[[float], None]:
    """Return a stand-in for chance: the worker survives so many weak points and dies at the next one."""
    left = iter(range(chances))

    def die(_chance: float) -> None:
        if next(left, None) is None:
            raise Died

    return die


def test_grace_ends_at_its_very_millisecond(houses: Houses) -> None:
    """One millisecond before, nothing differs; at the end, everything does; and nothing is said twice."""
    settle(houses.bus, DUE_MS - 1)
    assert not houses.check(DUE_MS - 1).discrepancies
    settle(houses.bus, DUE_MS)
    assert len(houses.check(DUE_MS).discrepancies) == len(ENTITIES)
    settle(houses.bus, DUE_MS + HOUR_MS)
    houses.check(DUE_MS + HOUR_MS)
    houses.bus.kill()


@pytest.mark.parametrize("lose_state", [False, True], ids=["state kept", "state lost"])
@pytest.mark.parametrize("revised", [False, True], ids=["same revision", "new revision"])
@pytest.mark.parametrize("chances", range(9))
def test_what_is_due_is_said_once_wherever_the_worker_dies(
    houses: Houses, chances: int, lose_state: bool, revised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies while it judges what is due leaves nothing out, and what it has said is not said again."""
    bus = houses.bus
    with monkeypatch.context() as context, contextlib.suppress(Died):
        context.setattr(bus, "_maybe_die", dies_after(bus, chances))
        bus.tick(DUE_MS)
    bus.kill(lose_state=lose_state)
    if revised:
        bus.apply(declared(comparator="name_zh"), KEYS)
    # Meanwhile some reports were put right, and one source was.
    for entity in ENTITIES[:3]:
        houses.say(REPORT, entity, "new", DUE_MS, DUE_MS)
    houses.say(SOURCE, ENTITIES[3], "old", DUE_MS, DUE_MS)
    settle(bus, DUE_MS)
    assert len(houses.check(DUE_MS).discrepancies) == len(ENTITIES) - 4
    settle(bus, DUE_MS + HOUR_MS)
    houses.check(DUE_MS + HOUR_MS)
    bus.kill()
