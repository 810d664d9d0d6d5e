"""The reference city from its departments' exports to its subscribers' tables: row for row what the oracle says."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import city_contradictions
import psycopg
import pytest
import yaml
from integration.committed import read_committed
from integration.exchange_bus import BAD
from oracle import avro, views
from oracle.avro import Record
from oracle.crosschecks import Report, cross_views
from oracle.golden_shares import golden_rows
from oracle.views import Declared, Event, Latest, Table
from psycopg.rows import dict_row
from stack_fixture import REPOSITORY, RunningStack

from govbus import metrics
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
GOLDEN = "golden."
ASKS = sorted(views.read(REPOSITORY).asks)


@dataclass
class Delivered:
    """The city after its last wave: what the oracle says, and where the subscribers' tables are."""

    declared: Declared
    tables: dict[str, Table]
    database: str
    rejects: int
    flagged: Counter[tuple[str, str]]
    """Records of the first export that failed a structural check and were accepted, by dataset and rule."""
    planted: Counter[tuple[str, str]]
    """The same as the ledger has it."""


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
    flagged = _flagged()
    for wave in range(WAVES + 1):
        bring(folder / "written", wave, drop, settings.need_postgres_url())
        for department in sorted(revision.catalogue.departments):
            produce(settings, topics, department, once=True, drop=drop / department)
        health = Health("exchange", "w1", stall_seconds=60)
        Worker(settings, topics, "w1", health).run(until_caught_up=True)
        if wave == 0:
            flagged = _flagged() - flagged
        for ask in ASKS:
            deliver(settings, topics, *ask.split("."), until_caught_up=True)
    declared = views.read(settings.city_dir)
    keys = {
        path.name.removesuffix(".key"): path.read_bytes()
        for path in (settings.home / "secrets" / "pseudonym").glob("*.key")
    }
    held, changed_at = _latest(settings, topics, revision, declared)
    tables = _tables(declared, held, keys) | _golden_tables(declared, held, changed_at, keys)
    rejects = sum(
        len(read_committed(settings, topics.reject(department))) for department in revision.catalogue.departments
    )
    planted = Counter(
        {
            (dataset, rule): len(keys)
            for dataset in revision.catalogue.datasets
            for rule, keys in city_contradictions.planted(folder / "written", dataset).items()
        }
    )
    return Delivered(declared, tables, settings.need_postgres_url(), rejects, flagged, planted)


def _flagged() -> Counter[tuple[str, str]]:
    """Return how many records the workers of this process have flagged so far, by dataset and rule."""
    found: Counter[tuple[str, str]] = Counter()
    for family in metrics.EXCHANGE_CHECK_FAILURES.collect():
        for sample in family.samples:
            if sample.name.endswith("_total") and sample.labels["outcome"] == "flagged":
                found[sample.labels["dataset"], sample.labels["rule"]] += int(sample.value)
    return found


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


def _tables(declared: Declared, held: dict[str, Latest], keys: dict[str, bytes]) -> dict[str, Table]:
    """Return what the asks must hold of the departments' own datasets."""
    own = {
        ask: {
            **document,
            "datasets": {name: of for name, of in document["datasets"].items() if not name.startswith(GOLDEN)},
        }
        for ask, document in declared.asks.items()
    }
    return views.all_tables(replace(declared, asks=own), held, datetime.now(UTC), keys)


def _golden_tables(
    declared: Declared, held: dict[str, Latest], changed_at: dict[Changed, int], keys: dict[str, bytes]
) -> dict[str, Table]:
    """Return what the asks must hold of golden views."""
    now, tables = datetime.now(UTC), {}
    records = {
        dataset: [
            Report(key, event.version, changed_at[dataset, key, event.version], event.record, event.epoch)
            for key, event in latest.held.items()
            if event.record is not None
        ]
        for dataset, latest in held.items()
    }
    for ask, document in declared.asks.items():
        for name in document["datasets"]:
            if name.startswith(GOLDEN):
                entity = name.removeprefix(GOLDEN)
                cross = cross_views(declared, entity, records, int(now.timestamp() * 1000))
                tables[f"{ask}/{name}"] = golden_rows(declared, ask, entity, cross, now, keys)
    return tables


Changed = tuple[str, str, int]
"""Dataset, key and version of a record."""


def _latest(
    settings: Settings, topics: Topics, revision: Revision, declared: Declared
) -> tuple[dict[str, Latest], dict[Changed, int]]:
    """Return the latest records by dataset, and when the source changed each record that was sent."""
    held: dict[str, Latest] = {}
    changed_at: dict[Changed, int] = {}
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
            changed_at.setdefault((dataset, key, value["_version"]), value["_changed_at"])
            held[dataset].add(Event(dataset, key, value["_version"], avro.resolve(writer, business, value)))
    return held, changed_at


@pytest.mark.parametrize("ask", ASKS)
def test_delivered_tables_equal_the_oracles_views(delivered: Delivered, ask: str) -> None:
    """Every table of an ask holds the rows that the oracle works out from the raw topics, field for field."""
    schema = ask.replace(".", "_")
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


def test_hardly_a_table_is_empty(delivered: Delivered) -> None:
    """The comparison is of rows: in so small a city one table may be empty by chance, the golden one is not."""
    filled = {name for name, table in delivered.tables.items() if table.rows}
    assert len(filled) >= len(delivered.tables) - 1
    assert f"education.school_transfer/{GOLDEN}citizen" in filled


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


def test_the_bus_flags_exactly_the_planted_contradictions(delivered: Delivered) -> None:
    """Of the first export as many records fail each structural check as faults were planted that it can see."""
    assert delivered.flagged == delivered.planted


def test_adapters_send_nothing_that_the_bus_refuses(delivered: Delivered) -> None:
    """What departments' adapters let through is accepted: the city's dirt ends in their own files, not in the bus."""
    assert delivered.rejects == 0
