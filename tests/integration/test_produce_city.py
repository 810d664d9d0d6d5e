"""The reference city published by its own departments: every planted fault ends as the ledger says, waves follow."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from datetime import date, datetime
from io import BytesIO
from typing import Any

import fastavro
import psycopg
import pytest
from city_files import Written, declarations, first_faults, rows
from integration.produce_bus import PARTITIONS, read_all
from stack_fixture import REPOSITORY, RunningStack

from govbus.adapters.look import Look
from govbus.adapters.run import produce
from govbus.catalogue.check import load
from govbus.codec.schemas import record_schema
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.apply import apply
from govbus.ops.city import City, bring, write_city

pytestmark = pytest.mark.stack

WAVES = 2
DEPARTMENTS = sorted({each.department for each in declarations().values()})


@dataclass
class Published:
    """The city after its first export and after its last wave: what the adapters said, and what raw topics hold."""

    written: Written
    database: str
    first_looks: dict[str, Look]
    first: dict[str, dict[tuple[str, ...], dict[str, Any]]]
    last: dict[str, dict[tuple[str, ...], dict[str, Any]]]


@pytest.fixture(scope="module")
def published(
    stack: RunningStack,
    shared_prefix: str,
    shared_database: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Published:
    """A city of 3,000 people, applied under a prefix of its own, brought and produced wave by wave."""
    folder = tmp_path_factory.mktemp("city")
    for room in ("schemas", "producers", "consumers"):
        shutil.copytree(REPOSITORY / room, folder / "city" / room)
    declared = (REPOSITORY / "city.yaml").read_text(encoding="utf-8")
    declared = re.sub(r"(?m)^partitions: .*$", f"partitions: {PARTITIONS}", declared)
    (folder / "city" / "city.yaml").write_text(f"{declared}\ntopic_prefix: {shared_prefix}\n", encoding="utf-8")
    settings = replace(stack.settings(folder), postgres_url=shared_database)
    topics = Topics(shared_prefix)
    apply(settings, load(settings.city_dir))
    asked = City(3_000, int(request.config.getoption("hypothesis_seed")), waves=WAVES)
    written = Written(folder / "written", asked, write_city(REPOSITORY, folder / "written", asked))
    looks = _bring_and_produce(settings, topics, written, 0)
    first = _newest(settings, topics)
    for wave in range(1, WAVES + 1):
        _bring_and_produce(settings, topics, written, wave)
    return Published(written, shared_database, looks, first, _newest(settings, topics))


def _bring_and_produce(settings: Settings, topics: Topics, city: Written, wave: int) -> dict[str, Look]:
    drop = settings.home / "drop"
    bring(city.path, wave, drop, settings.need_postgres_url())
    looks: dict[str, Look] = {}
    for department in DEPARTMENTS:
        produced = produce(settings, topics, department, once=True, drop=drop / department)
        assert produced.clean, [look.said for look in produced.looks.values()]
        looks |= produced.looks
    return looks


def _newest(settings: Settings, topics: Topics) -> dict[str, dict[tuple[str, ...], dict[str, Any]]]:
    """Return per dataset what the bus would hold: of each key the highest version, deleted ones left out."""
    found: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {}
    for dataset, declared in load(settings.city_dir).datasets.items():
        schema = fastavro.parse_schema(record_schema(declared.avro))
        held: dict[bytes, tuple[int, bytes | None]] = {}
        for message in read_all(settings, topics.raw(dataset)):
            value = message.value()
            if value is None:
                version = int(dict(message.headers())["version"])
            else:
                version = fastavro.schemaless_reader(BytesIO(value[5:]), schema, None)["_version"]
            before = held.get(message.key())
            assert before is None or before[0] != version or before[1] == value
            if before is None or version > before[0]:
                held[message.key()] = (version, value)
        found[dataset] = {
            tuple(key.decode().split("\x1f")): fastavro.schemaless_reader(BytesIO(value[5:]), schema, None)
            for key, (_, value) in held.items()
            if value is not None
        }
    return found


@pytest.mark.parametrize("dataset", sorted(declarations()))
def test_the_rows_that_are_refused_are_those_of_the_ledger(published: Published, dataset: str) -> None:
    """Of every first export as many rows are rejected as the ledger says; the others of its rows are held."""
    expected = [
        line
        for line in first_faults(published.written.path)
        if (line["dataset"], line["effect"]) == (dataset, "rejected")
    ]
    look = published.first_looks[dataset]
    assert look.rejected["invalid_value"] == len(expected)
    keys = {tuple(line["key"]) for line in expected}
    assert not keys & published.first[dataset].keys()
    keyed = look.rows - len(expected) - look.counts.repeated - look.counts.stale - look.rejected["version_conflict"]
    assert len(published.first[dataset]) == keyed


def test_accepted_faults_are_held_as_the_ledger_says(published: Published) -> None:
    """A loosely written value is held in its right form, a wrong but possible one as it was written."""
    checked = 0
    for line in first_faults(published.written.path):
        path = line["field"]
        if line["effect"] != "accepted" or not path or path.startswith("_"):
            continue
        record = published.first[line["dataset"]].get(tuple(line["key"]))
        if record is None:
            # Two faults may meet in one key: a pupil filed under his parent's id, who has an entry of his own.
            continue
        value: Any = record
        for step in path.split("."):
            value = value[step]
        plain = value.isoformat() if isinstance(value, date | datetime) else value
        if line["holds"] == "right" or isinstance(plain, str):
            expected = line["right"] if line["holds"] == "right" else line["written"]
            assert str(plain) == str(expected).strip(), line["kind"]
            checked += 1
    assert checked > 50


def test_snapshots_without_faults_are_held_row_for_row(published: Published) -> None:
    """After the last wave the household register in the bus is the last export of it, field for field."""
    exports = (rows(published.written.path, "public_security.household", wave) for wave in range(WAVES, -1, -1))
    last = next(export for export in exports if export)
    held = published.last["public_security.household"]
    assert {key[0] for key in held} == {row["household_no"] for row in last}
    for row in last:
        record = held[row["household_no"],]
        for path, value in row.items():
            shown = record[path]
            assert (shown.isoformat() if isinstance(shown, date) else shown) == value


@pytest.mark.parametrize(
    "dataset", sorted(each.id for each in declarations().values() if each.source["kind"] == "postgres")
)
def test_tables_are_followed_to_their_last_row(published: Published, dataset: str) -> None:
    """After the last wave the bus holds the keys that the department's table has, apart from rejected rows."""
    declared = declarations()[dataset]
    names = [declared.source["columns"].get(path, path) for path in declared.key]
    with psycopg.connect(published.database) as connection:
        query = f"SELECT {', '.join(names)} FROM {declared.source['table']}"
        table = {row[-1] for row in connection.execute(query.encode())}
    held = {key[-1] for key in published.last[dataset]}
    rejected = {
        line["key"][-1]
        for line in first_faults(published.written.path)
        if (line["dataset"], line["effect"]) == (dataset, "rejected")
    }
    assert held <= table
    assert table - held <= rejected
