"""How fast a sink writes a share topic into Postgres and into files: rows per second, first load and changes.

    make bench ONLY=delivery        ROWS=300000 REPEATS=3 to change the load

Broker, registry and database run on this machine: those of the environment, else a stack of the benchmark's own. Each
repeat loads a topic of ROWS people, then changes nine in ten of them and deletes the tenth. Times are those of whole
deliveries: connecting, reading the catalogue and making the table are in them. Fails where Postgres takes fewer than
40,000 rows a second (the median).
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import rig
import structlog

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from integration.share_bus import ASK, DATE, SUBSCRIBER, ShareBus, Table  # noqa: E402

from govbus.delivery.run import deliver  # noqa: E402
from govbus.kafka.settings import Settings  # noqa: E402
from govbus.ops.stack import Stack  # noqa: E402

ROWS = int(os.environ.get("ROWS", "300000"))
REPEATS = int(os.environ.get("REPEATS", "3"))
TARGET = 40_000

SCHEMA = {
    "type": "record",
    "name": "population",
    "fields": [
        {"name": "citizen_id", "type": "string"},
        {"name": "name", "type": "string"},
        {"name": "sex", "type": "string"},
        {"name": "birth_date", "type": DATE},
        {"name": "household_division", "type": "string"},
        {"name": "household_address", "type": ["null", "string"]},
        {"name": "household_no", "type": "string"},
        {"name": "education_level", "type": ["null", "string"]},
        {"name": "alive_status", "type": "string"},
    ],
}


def people(count: int, turn: int) -> list[dict[str, Any]]:
    """Rows like those of a population register; *turn* makes another record of the same people."""
    return [
        {
            "citizen_id": f"8901{number % 100:02}1990{number:08}",
            "name": f"王小明{turn}",
            "sex": "1" if number % 2 else "2",
            "birth_date": date(1940 + number % 80, 1 + number % 12, 1 + number % 28),
            "household_division": f"8901{number % 100:02}",
            "household_address": f"云海市临江区望海街道第{number % 977}号{turn}单元",
            "household_no": f"{number:09}",
            "education_level": None if number % 5 == 0 else "20",
            "alive_status": "1",
        }
        for number in range(count)
    ]


def delivered(bus: ShareBus) -> float:
    """Deliver what waits; return rows per second."""
    began = time.perf_counter()
    report = deliver(bus.settings, bus.topics, SUBSCRIBER, ASK, until_caught_up=True)
    seconds = time.perf_counter() - began
    rows = report.written["police.population"]
    assert rows.upserts + rows.deletes == ROWS, "not everything was delivered"
    return ROWS / seconds


def one_repeat(settings: Settings, delivery: Mapping[str, Any]) -> tuple[float, float]:
    """Return the rows per second of a first load, and of changes to it."""
    bus = ShareBus(settings, f"b{secrets.token_hex(3)}.", delivery)
    bus.tables = {"police.population": Table(avro=SCHEMA)}
    bus.apply()
    try:
        bus.send(people(ROWS, 0))
        load = delivered(bus)
        changed = people(ROWS, 1)
        tenth = ROWS // 10
        bus.send(changed[tenth:], deletes=changed[:tenth])
        return load, delivered(bus)
    finally:
        topics = [name for name in bus.admin.list_topics(timeout=30).topics if name.startswith(bus.topics.prefix)]
        for gone in bus.admin.delete_topics(topics).values():
            gone.result(30)


def into_postgres(settings: Settings) -> tuple[float, float]:
    schema = f"bench_{secrets.token_hex(3)}"
    try:
        return one_repeat(settings, {"kind": "postgres", "schema": schema})
    finally:
        with psycopg.connect(settings.need_postgres_url(), autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def into_files(settings: Settings, name: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as home:
        return one_repeat(replace(settings, home=Path(home)), {"kind": "file", "format": name, "folder": "bench"})


def measure(settings: Settings) -> bool:
    speeds: dict[str, list[tuple[float, float]]] = {"postgres": [], "jsonl": [], "csv": [], "parquet": []}
    for _ in range(REPEATS):
        for kind, measured in speeds.items():
            measured.append(into_postgres(settings) if kind == "postgres" else into_files(settings, kind))
            load, change = measured[-1]
            print(f"{kind:9} load {load:9,.0f} rows/s   changes {change:9,.0f} rows/s", flush=True)
    result: dict[str, object] = {"rows": ROWS, "fields": len(SCHEMA["fields"]), "target_rows_per_second": TARGET}
    for kind, measured in speeds.items():
        result[f"{kind}_load_rows_per_second"] = rig.spread([load for load, _ in measured])
        result[f"{kind}_change_rows_per_second"] = rig.spread([change for _, change in measured])
    result["peak_memory_mb"] = round(rig.peak_memory_mb())
    print(rig.write("delivery", result))
    medians = [rig.spread(list(each))["median"] for each in zip(*speeds["postgres"], strict=True)]
    return all(isinstance(median, int | float) and median >= TARGET for median in medians)


def main() -> None:
    """Measure, print, write the result file."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    settings = Settings.load(ROOT, {**os.environ, "GOVBUS_HOME": os.environ.get("GOVBUS_HOME") or tempfile.mkdtemp()})
    own = None if settings.bootstrap_servers else Stack(settings.home, cache=ROOT / ".cache")
    try:
        if own is not None:
            own.up()
            settings = Settings.load(ROOT, {**os.environ, "GOVBUS_HOME": str(settings.home)})
        if not measure(settings):
            sys.exit(f"slower than {TARGET:,} rows a second")
    finally:
        if own is not None:
            own.down(purge=True)


if __name__ == "__main__":
    main()
