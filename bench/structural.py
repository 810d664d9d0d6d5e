"""What structural checks cost: the worker's main thread, per population event, with and without them, interleaved.

    make bench ONLY=structural        EVENTS=40000 REPEATS=9 to change the load

No broker: one partition takes in batches of new records of the reference city's population register, as the worker
hands them over, through the generated loop and, where kernels are installed, through the compiled one.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import rig

from govbus.catalogue.check import load
from govbus.codec.framing import header
from govbus.codec.schemas import record_schema
from govbus.exchange.bulk import loading
from govbus.exchange.compiled import CompiledDataset
from govbus.exchange.difference import Arrival, DatasetExchange, PartitionExchange
from govbus.kafka.revisions import Revision
from govbus.ops.city.families import population

ROOT = Path(__file__).resolve().parent.parent
EVENTS = int(os.environ.get("EVENTS", "40000"))
REPEATS = int(os.environ.get("REPEATS", "9"))
DATASET = "public_security.population"
BATCH = 1_000
SCHEMA_ID = 7


def events() -> list[tuple[bytes, bytes]]:
    """Return (key, value) of as many citizens."""
    schema = fastavro.parse_schema(
        record_schema(json.loads((ROOT / "schemas/public_security/population.avsc").read_text()))
    )
    now = datetime.now(UTC)
    micros = int(now.timestamp() * 1_000_000)
    found = []
    for number, citizen in enumerate(population(EVENTS, 1)):
        out = io.BytesIO(header(SCHEMA_ID))
        out.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(out, schema, {**citizen, "_version": micros + number, "_changed_at": now})
        found.append((citizen["citizen_id"].encode(), out.getvalue()))
    return found[:EVENTS]


def compiled(checks: Sequence[dict[str, Any]]) -> CompiledDataset:
    """Return the population register with only these checks, ready to take in records."""
    catalogue = load(ROOT)
    dataset = catalogue.datasets[DATASET].model_copy(update={"checks": tuple(checks)})
    revision = Revision(
        number=1,
        applied_at="",
        catalogue=catalogue.model_copy(update={"datasets": {DATASET: dataset}, "asks": {}}),
        schema_ids={DATASET: ((SCHEMA_ID, record_schema(dataset.avro)),)},
        view_schema_ids={},
        deleted_schema_id=1,
        pseudonym_keys={},
    )
    return CompiledDataset(dataset, revision)


def microseconds(dataset: CompiledDataset, records: Sequence[tuple[bytes, bytes]]) -> float:
    """Return the processor time of this thread per record."""
    partition = PartitionExchange(0, 1, 1 << 20, lambda _: None)
    exchange = DatasetExchange(dataset, b"\0\1")
    now_ms = int(time.time() * 1000)
    batches: list[list[Arrival]] = [
        [(exchange, key, value, now_ms, None) for key, value in records[at : at + BATCH]]  # type: ignore[misc]
        for at in range(0, len(records), BATCH)
    ]
    began = time.thread_time()
    for batch in batches:
        partition.accept_dataset(batch)
        partition.clear()
    seconds = time.thread_time() - began
    assert exchange.accepted == len(records)
    return seconds / len(records) * 1_000_000


def main() -> None:
    """Measure, print, write the result file."""
    declared = load(ROOT).datasets[DATASET].checks
    records = events()
    results: dict[str, Any] = {}
    for loop in ("generated", "compiled"):
        if loop == "compiled" and not loading.load(Path(tempfile.mkdtemp())):
            continue
        cases = {"none": compiled(()), "two": compiled(declared[:2]), "all": compiled(declared)}
        times: dict[str, list[float]] = {name: [] for name in cases}
        for each in cases.values():
            microseconds(each, records)  # fills what is remembered, once per process
        for repeat in range(REPEATS):
            for name in list(cases)[:: 1 if repeat % 2 else -1]:
                times[name].append(microseconds(cases[name], records))
        more = {
            name: rig.spread([one - zero for one, zero in zip(times[name], times["none"], strict=True)], 3)
            for name in ("two", "all")
        }
        results[loop] = {"microseconds_per_event": {n: rig.spread(t, 3) for n, t in times.items()}, "more": more}
        print(f"{loop:10} {rig.spread(times['none'], 2)['median']} us per event without checks", end="; ")
        print(f"{more['two']['median']} us more with two, {more['all']['median']} us more with {len(declared)}")
    file = rig.write("structural", {"events": len(records), "checks": list(declared), **results})
    print(file.relative_to(ROOT))


if __name__ == "__main__":
    main()
