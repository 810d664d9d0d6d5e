"""Two registers of houses that disagree about every name: small enough to say what must be sent, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any
from zlib import crc32

from oracle import avro
from oracle.crosschecks import CrossViews, Report, cross_views
from oracle.views import Declared
from properties.simulated_bus import SimulatedBus

from govbus.codec.framing import header
from govbus.codec.schemas import record_schema

NOW_MS = 1_772_323_200_000
HOUR_MS = 3_600_000
SOURCE, REPORT = "alpha.one", "beta.two"
ENTITIES = [f"890100000{number}" for number in range(7)]
KEYS = {"gamma.p": bytes(32)}


def declared(comparator: str = "exact", rows: dict[str, Any] | None = None) -> Declared:
    """A source and a report of one element, two hours of grace, and an ask for the golden view.

    *rows* is the row condition of the source's grant.
    """
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
    datasets[SOURCE]["grants"] = [granted if rows is None else granted | {"rows": rows}]
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
