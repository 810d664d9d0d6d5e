"""A view that ends and begins again while some partitions are still busy with its end."""

from __future__ import annotations

import contextlib
import copy
from datetime import date
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import pytest
from oracle import avro
from oracle.views import Declared
from properties.simulated_bus import Died, SimulatedBus

from govbus.codec.framing import header
from govbus.codec.schemas import record_schema

NOW_MS = 1_772_323_200_000
SCHEMA = {
    "type": "record",
    "name": "one",
    "fields": [{"name": "id", "type": "string"}, {"name": "name", "type": "string"}],
}
TOPIC = "share.gamma.ask0.alpha.one"


def declared(fields: dict[str, Any], state: str = "active") -> Declared:
    entry = {"title": "项", "grade": "L1"}
    grant = {"to": "gamma", "purpose": "p", "until": date(2099, 1, 1), "state": state, "fields": fields}
    dataset = {
        "subject": "id",
        "key": ["id"],
        "share": "conditional",
        "versions": "sequence",
        "epoch": 0,
        "fields": {"id": entry, "name": entry},
        "grants": [grant],
    }
    ask = {"purpose": "p", "until": date(2099, 1, 1), "datasets": {"alpha.one": {"fields": copy.deepcopy(fields)}}}
    return Declared(
        city={"city": "testcity", "title": "测试市", "division": "890000", "partitions": 2},
        datasets={"alpha.one": dataset},
        schemas={"alpha.one": SCHEMA},
        subscribers={"gamma": {"clearance": "L2"}},
        asks={"gamma.ask0": ask},
    )


def published(bus: SimulatedBus, key: str, version: int) -> None:
    record = {"_version": version, "_changed_at": NOW_MS * 1000, "id": key, "name": f"name of {key}"}
    schema = record_schema(SCHEMA)
    value = header(bus.registry.id_of(schema)) + avro.encode(avro.parse(schema), record)
    bus.publish("raw.alpha.one", crc32(key.encode()) % 2, key.encode(), value, NOW_MS)


def settled(bus: SimulatedBus) -> None:
    if not bus.partitions:
        bus.start()
    bus.tick(NOW_MS)
    while any(bus.step(number, 10) for number in bus.partitions):
        pass


@pytest.mark.parametrize("fields", [{"id": "pass", "name": "pass"}, {"name": "pass"}], ids=["clear", "pseudonym"])
@pytest.mark.parametrize("deaths", range(1, 9))
def test_an_end_that_was_cut_short_takes_nothing_of_the_next_beginning(
    fields: dict[str, Any], deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the worker died while ending a view, the view that begins again holds every record."""
    bus = SimulatedBus(tmp_path, Random(0))
    keys = {"gamma.p": bytes(32)}
    bus.apply(declared(fields), keys)
    for number in range(20):
        published(bus, f"8903{number}", 1)
    settled(bus)
    before = {key: entry.value for key, (_, entry) in bus.compacted(TOPIC).items()}
    assert len(before) == 20
    bus.kill()
    bus.apply(declared(fields, state="suspended"), keys)
    chances = iter(range(1_000))

    def die(_chance: float) -> None:
        if next(chances) == deaths:
            raise Died

    monkeypatch.setattr(bus, "_maybe_die", die)
    with contextlib.suppress(Died):
        settled(bus)
    bus.kill()
    monkeypatch.undo()
    bus.apply(declared(fields), keys)
    settled(bus)
    after = {key: entry.value for key, (_, entry) in bus.compacted(TOPIC).items()}
    assert after == before
    bus.kill()
