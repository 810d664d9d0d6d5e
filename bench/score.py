"""What cross-checks find of the faults planted in the reference city, and what they find that is none.

    make bench ONLY=score           PEOPLE=20000 SEED=1 WAVES=3 LATE=200 to change the city

The city is written with its ledger of faults, published by the departments' adapters, and exchanged by the worker, wave
by wave. Before the discrepancy topic is looked at, other code works out from declarations, ledger and the published
records which faults a comparison can see (`rig.planted`). Then two things happen that must open nothing: old messages
arrive once more, and the population register changes names that no other register has yet. Fails where a visible
fault of any kind is not found, or where one row in a hundred of any kind is none.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import psycopg
import rig
import structlog
from confluent_kafka.admin import AdminClient
from psycopg.conninfo import make_conninfo
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from integration.committed import CommittedReader, Seen  # noqa: E402
from oracle import views  # noqa: E402
from rig import planted  # noqa: E402
from rig.planted import Published, Record, Row, Score  # noqa: E402

from govbus.adapters.run import produce  # noqa: E402
from govbus.catalogue.check import load  # noqa: E402
from govbus.exchange.worker import Worker  # noqa: E402
from govbus.health import Health  # noqa: E402
from govbus.kafka import clients  # noqa: E402
from govbus.kafka.revisions import Revision  # noqa: E402
from govbus.kafka.settings import Settings  # noqa: E402
from govbus.kafka.topics import Topics  # noqa: E402
from govbus.ops.apply import apply  # noqa: E402
from govbus.ops.city import City, bring, write_city  # noqa: E402
from govbus.ops.stack import Stack  # noqa: E402

PEOPLE = int(os.environ.get("PEOPLE", "20000"))
SEED = int(os.environ.get("SEED", "1"))
WAVES = int(os.environ.get("WAVES", "3"))
LATE = int(os.environ.get("LATE", "200"))
PARTITIONS = 4
POPULATION = "public_security.population"
LEAST_PRECISION = 0.99
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Bench:
    """The city on its servers: topics of its own, a database of its own."""

    settings: Settings
    topics: Topics
    revision: Revision
    written: Path

    def publish(self, wave: int) -> None:
        """Let every department publish what *wave* brings it; 0 is the first export."""
        bring(self.written, wave, self.drop, self.settings.need_postgres_url())
        for department in sorted(self.revision.catalogue.departments):
            produce(self.settings, self.topics, department, once=True, drop=self.drop / department)

    @property
    def drop(self) -> Path:
        return self.settings.home / "drop"

    def exchange(self) -> None:
        """Exchange all that was published."""
        Worker(self.settings, self.topics, "score", Health("exchange", "score", stall_seconds=600)).run(
            until_caught_up=True
        )

    def messages(self) -> dict[str, list[Seen]]:
        """Return everything that departments published of the datasets with compared elements."""
        reader = CommittedReader(self.settings)
        compared = {
            dataset.id
            for dataset in self.revision.catalogue.datasets.values()
            if any(entry.element for entry in dataset.fields.values())
        }
        try:
            return {dataset: reader.read(self.topics.raw(dataset)) for dataset in sorted(compared)}
        finally:
            reader.close()

    def opened(self) -> set[Row]:
        """Return the rows that a reader of the whole discrepancy topic ends up with."""
        reader = CommittedReader(self.settings)
        try:
            last = {seen.key: seen.value for seen in reader.read(self.topics.discrepancy)}
        finally:
            reader.close()
        return {
            Row(*key.decode().split("\x1f")) for key, value in last.items() if key is not None and value is not None
        }


def published(bench: Bench, messages: dict[str, list[Seen]]) -> Published:
    """Return the newest record of every key, of any messages in any order."""
    declared = views.read(bench.settings.city_dir)
    records: dict[str, dict[tuple[str, ...], Record]] = {}
    for dataset, seen in messages.items():
        schemas = {number: fastavro.parse_schema(schema) for number, schema in bench.revision.schema_ids[dataset]}
        versions: dict[tuple[str, ...], int] = {}
        records[dataset] = {}
        for message in seen:
            assert message.key is not None
            key = tuple(message.key.decode().split("\x1f"))
            record = None if message.value is None else _record(schemas, key, message.value)
            version = int(dict(message.headers)["version"]) if record is None else record.version
            if version <= versions.get(key, 0):
                continue
            versions[key] = version
            if record is None:
                records[dataset].pop(key, None)
            else:
                records[dataset][key] = record
    return Published(declared, records)


def _record(schemas: dict[int, Any], key: tuple[str, ...], value: bytes) -> Record:
    read: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), schemas[int.from_bytes(value[1:5], "big")], None)
    changed_at = (read["_changed_at"] - EPOCH) // timedelta(microseconds=1)
    return Record(key, read["_version"], changed_at, dict(_leaves(read, "")))


def _leaves(record: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield above + name, value


# What must open nothing -----------------------------------------------------------------------------------------------


def send_again(bench: Bench, messages: dict[str, list[Seen]]) -> int:
    """Publish the first message of every key that has several once more, as if it had been on its way all the time."""
    producer = clients.producer(bench.settings)
    sent = 0
    for dataset, seen in messages.items():
        by_key: dict[bytes | None, list[Seen]] = {}
        for message in seen:
            by_key.setdefault(message.key, []).append(message)
        for of in by_key.values():
            if len(of) > 1:
                producer.produce(
                    bench.topics.raw(dataset), of[0].value, of[0].key, of[0].partition, headers=list(of[0].headers)
                )
                sent += 1
    producer.flush()
    return sent


def change_names(bench: Bench, known: Published) -> set[str]:
    """Have the population register change the names of people whom other registers know; return their ids."""
    names = [
        (copies[0].dataset, [each.dataset for each in copies[1:]])
        for element, copy, copies in known.elements(POPULATION)
        if element == "citizen.name" and copy.authority
    ]
    ((source, others),) = names
    chosen = [
        key[0]
        for key in known.records[source]
        if any(known.speaking(other, key[0]) for other in others) and known.is_about(source, key[0])
    ][:: max(1, len(known.records[source]) // LATE)][:LATE]
    with psycopg.connect(bench.settings.need_postgres_url(), autocommit=True) as connection:
        changed = connection.execute(
            b"UPDATE public_security.population SET xm = '\xe6\x96\xb0' || xm, gxsj = now() WHERE gmsfhm = ANY(%s)",
            [chosen],
        )
        assert changed.rowcount == len(chosen)
    produce(bench.settings, bench.topics, "public_security", once=True, drop=bench.drop / "public_security")
    return set(chosen)


# The run --------------------------------------------------------------------------------------------------------------


def measure(settings: Settings, prefix: str) -> dict[str, Any]:
    """Run the city and return the result."""
    began = time.perf_counter()
    topics = Topics(prefix)
    revision = apply(settings, load(settings.city_dir)).revision
    written = settings.home / "written"
    summary = write_city(ROOT, written, City(PEOPLE, SEED, waves=WAVES))
    bench = Bench(settings, topics, revision, written)
    for wave in range(WAVES + 1):
        bench.publish(wave)
        bench.exchange()
    ledger = [json.loads(line) for line in (written / "ledger.jsonl").read_text(encoding="utf-8").splitlines()]
    messages = bench.messages()
    known = published(bench, messages)
    faults = planted.faults(ledger, known, int(time.time() * 1000))
    opened = bench.opened()
    found = planted.scores(faults, known, opened)

    late = send_again(bench, messages)
    bench.exchange()
    reopened = bench.opened() - opened
    found["(arrived late)"] = Score(planted=late, false_rows=len(reopened))
    renamed = change_names(bench, known)
    bench.exchange()
    stale = {row for row in bench.opened() - opened if row.subject in renamed}
    found["(source changed, reports follow)"] = Score(planted=len(renamed), false_rows=len(stale))

    true = {row for fault in faults for row in fault.rows}
    visible = [fault for fault in faults if fault.rows]
    return {
        "people": PEOPLE,
        "seed": SEED,
        "waves": WAVES,
        "rows_published": sum(map(len, messages.values())),
        "faults_planted": summary["ledger"]["faults"],
        "faults_put_right": summary["ledger"]["corrected"],
        "faults_visible": len(visible),
        "recall_visible": round(sum(fault.rows <= opened for fault in visible) / len(visible), 4),
        "precision": round(len(opened & true) / len(opened), 4),
        "open_rows": len(opened),
        "seconds": round(time.perf_counter() - began),
        "kinds": {kind: score.figures() for kind, score in sorted(found.items())},
        "false_rows": [[row.element, row.dataset] for row in sorted(opened - true)][:50],
    }


def shown(result: dict[str, Any]) -> Table:
    """Return the result as a table."""
    table = Table(title=f"{result['people']:,} people, {result['faults_planted']:,} faults, seed {result['seed']}")
    for column in ("kind", "planted", "visible", "found", "recall", "rows", "false", "precision", "invisible, and why"):
        table.add_column(column, justify="left" if column in ("kind", "invisible, and why") else "right")
    for kind, each in result["kinds"].items():
        why = ", ".join(f"{reason} {count}" for reason, count in each["invisible"].items())
        share = "" if each["invisible_share"] is None else f"{each['invisible_share']:.0%} "
        counts = [each["planted"], each["visible"], each["found"], _share(each["recall_visible"])]
        table.add_row(
            kind, *map(str, counts), str(each["rows"]), str(each["false_rows"]), _share(each["precision"]), share + why
        )
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def shortcomings(result: dict[str, Any]) -> list[str]:
    """Return what is below the mark, in words; nothing where all is well."""
    found = []
    for kind, each in {"all kinds": result, **result["kinds"]}.items():
        if each["recall_visible"] not in (None, 1.0):
            found.append(f"{kind}: {each['recall_visible']:.2%} of what can be seen is found, not all")
        if each["precision"] is not None and each["precision"] < LEAST_PRECISION:
            found.append(f"{kind}: {each['precision']:.2%} of what is found was planted")
    return found


def main() -> None:
    """Measure, print, write the result file; exit 1 where it is below the mark."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    home = Path(tempfile.mkdtemp())
    given = Settings.load(ROOT, {**os.environ, "GOVBUS_HOME": str(home)})
    own = None if given.bootstrap_servers else Stack(home, cache=ROOT / ".cache")
    if own is not None:
        own.up()
        given = Settings.load(ROOT, {**os.environ, "GOVBUS_HOME": str(home)})
    prefix, database = f"score{secrets.token_hex(3)}.", f"score_{secrets.token_hex(4)}"
    with psycopg.connect(given.need_postgres_url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
    settings = Settings(
        city_dir=declared_under(prefix, home / "declared"),
        home=home,
        bootstrap_servers=given.bootstrap_servers,
        registry_url=given.registry_url,
        postgres_url=make_conninfo(given.need_postgres_url(), dbname=database),
    )
    try:
        result = measure(settings, prefix)
    finally:
        admin = AdminClient({"bootstrap.servers": settings.need_bootstrap_servers()})
        ours = [topic for topic in admin.list_topics(timeout=30).topics if topic.startswith(prefix)]
        for deleted in admin.delete_topics(ours).values() if ours else ():
            deleted.result(timeout=30)
        with psycopg.connect(given.need_postgres_url(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())
        if own is not None:
            own.down(purge=True)
        shutil.rmtree(home, ignore_errors=True)
    file = rig.write("score", result)
    Console(width=180).print(shown(result))
    print(
        f"recall of what is visible {result['recall_visible']:.2%}, precision {result['precision']:.2%}   {file.name}"
    )
    for each in shortcomings(result):
        print(f"below the mark: {each}")
    sys.exit(bool(shortcomings(result)))


def declared_under(prefix: str, folder: Path) -> Path:
    """Return a copy of the reference city's declarations under topics of its own."""
    for room in ("schemas", "producers", "consumers"):
        shutil.copytree(ROOT / room, folder / room)
    city = re.sub(r"(?m)^partitions: .*$", f"partitions: {PARTITIONS}", (ROOT / "city.yaml").read_text("utf-8"))
    (folder / "city.yaml").write_text(f"{city}\ntopic_prefix: {prefix}\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
