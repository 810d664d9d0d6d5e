"""The reference city from its departments' exports to its subscribers' tables: row for row what the oracle says."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from integration.committed import read_committed
from integration.exchange_bus import BAD
from oracle import avro, views
from oracle.avro import Record
from oracle.views import Declared, Event, Latest, Table
from psycopg.rows import dict_row
from stack_fixture import REPOSITORY, RunningStack

from govbus.adapters.run import produce
from govbus.catalogue.check import load
from govbus.delivery.run import deliver
from govbus.exchange.worker import Worker
from govbus.health import Health
from govbus.kafka.revisions import Revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.apply import apply
from govbus.ops.city import City, bring, write_city

pytestmark = pytest.mark.stack

PEOPLE, WAVES, PARTITIONS = 300, 2, 4
ASKS = sorted(views.read(REPOSITORY).asks)


@dataclass
class Delivered:
    """The city after its last wave: what the oracle says, and where the subscribers' tables are."""

    declared: Declared
    tables: dict[str, Table]
    database: str
    rejects: int


@pytest.fixture(scope="module")
def delivered(
    stack: RunningStack,
    shared_prefix: str,
    shared_database: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Delivered:
    """The city of 300 people, published, exchanged and delivered wave by wave, every ask into Postgres."""
    folder = tmp_path_factory.mktemp("city")
    declared_in = _declared_with(folder / "declared", shared_prefix)
    settings = replace(stack.settings(folder), city_dir=declared_in, postgres_url=shared_database)
    topics = Topics(shared_prefix)
    revision = apply(settings, load(settings.city_dir)).revision
    write_city(
        REPOSITORY,
        folder / "written",
        City(PEOPLE, int(request.config.getoption("hypothesis_seed")), waves=WAVES),
    )
    drop = settings.home / "drop"
    for wave in range(WAVES + 1):
        bring(folder / "written", wave, drop, settings.need_postgres_url())
        for department in sorted(revision.catalogue.departments):
            produce(settings, topics, department, once=True, drop=drop / department)
        health = Health("exchange", "w1", stall_seconds=60)
        Worker(settings, topics, "w1", health).run(until_caught_up=True)
        for ask in ASKS:
            deliver(settings, topics, *ask.split("."), until_caught_up=True)
    declared = views.read(settings.city_dir)
    keys = {
        path.name.removesuffix(".key"): path.read_bytes()
        for path in (settings.home / "secrets" / "pseudonym").glob("*.key")
    }
    tables = views.all_tables(declared, _latest(settings, topics, revision, declared), datetime.now(UTC), keys)
    rejects = sum(
        len(read_committed(settings, topics.reject(department))) for department in revision.catalogue.departments
    )
    return Delivered(declared, tables, settings.need_postgres_url(), rejects)


def _declared_with(folder: Path, prefix: str) -> Path:
    """Return a copy of the reference city under topics of its own, whose every ask is delivered into Postgres."""
    for room in ("schemas", "producers", "consumers"):
        shutil.copytree(REPOSITORY / room, folder / room)
    city = re.sub(r"(?m)^partitions: .*$", f"partitions: {PARTITIONS}", (REPOSITORY / "city.yaml").read_text("utf-8"))
    (folder / "city.yaml").write_text(f"{city}\ntopic_prefix: {prefix}\n", encoding="utf-8")
    for path in folder.glob("consumers/*/*.yaml"):
        if path.name != "subscriber.yaml":
            ask = yaml.safe_load(path.read_text("utf-8"))
            ask["delivery"] = {"kind": "postgres", "schema": f"{path.parent.name}_{path.stem}"}
            path.write_text(yaml.safe_dump(ask, allow_unicode=True), encoding="utf-8")
    return folder


def _latest(settings: Settings, topics: Topics, revision: Revision, declared: Declared) -> dict[str, Latest]:
    held: dict[str, Latest] = {}
    for dataset, schemas in revision.schema_ids.items():
        held[dataset] = Latest()
        business = declared.business(dataset)
        writers = {number: avro.parse(schema) for number, schema in schemas}
        for seen in read_committed(settings, topics.raw(dataset)):
            assert seen.key is not None
            assert BAD not in seen.headers
            key = seen.key.decode()
            if seen.value is None:
                held[dataset].add(Event(dataset, key, int(dict(seen.headers)["version"])))
                continue
            writer = writers[int.from_bytes(seen.value[1:5], "big")]
            assert isinstance(writer, Record)
            value, canonical = avro.decode(writer, seen.value[5:])
            assert canonical
            held[dataset].add(Event(dataset, key, value["_version"], avro.resolve(writer, business, value)))
    return held


@pytest.mark.parametrize("ask", ASKS)
def test_delivered_tables_equal_the_oracles_views(delivered: Delivered, ask: str) -> None:
    """Every table of an ask holds the rows that the oracle works out from the raw topics, field for field."""
    schema = ask.replace(".", "_")
    rows = 0
    for dataset in delivered.declared.asks[ask]["datasets"]:
        table = delivered.tables[f"{ask}/{dataset}"]
        assert table.reason is None
        with psycopg.connect(delivered.database, row_factory=dict_row) as connection:
            name = f"{schema}.{dataset.replace('.', '_')}"
            found = connection.execute(f"SELECT * FROM {name}".encode()).fetchall()
        has_key = bool(found) and "_key" in found[0]
        assert table.type is not None
        expected = [
            {**_instants(table.type, row), **({"_key": key} if has_key else {})} for key, row in table.plain().items()
        ]
        assert sorted(map(_text, found)) == sorted(map(_text, expected)), dataset
        rows += len(found)
    assert rows > 0


def _instants(kind: Record, row: dict[str, Any]) -> dict[str, Any]:
    """Return *row* with its milliseconds as instants, which the oracle leaves numbers."""
    millis = {each.name for each in kind.fields if getattr(each.type, "logical", None) == "timestamp-millis"}
    return {name: datetime.fromtimestamp(value / 1000, UTC) if name in millis else value for name, value in row.items()}


def _text(row: dict[str, Any]) -> str:
    return repr(sorted((name, _plain(value)) for name, value in row.items()))


def _plain(value: Any) -> Any:
    """Return a value as both sides can say it: nested records come back from Postgres as JSON."""
    match value:
        case dict():
            return sorted((name, _plain(each)) for name, each in value.items())
        case list() | tuple():
            return [_plain(each) for each in value]
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case Decimal():
            return str(value.normalize())
        case _:
            return value


def test_adapters_send_nothing_that_the_bus_refuses(delivered: Delivered) -> None:
    """What departments' adapters let through is accepted: the city's dirt ends in their own files, not in the bus."""
    assert delivered.rejects == 0
