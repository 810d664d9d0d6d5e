"""How fast a sink writes a share topic into Postgres: rows per second, first load and changes, broker and database here.

    python bench/delivery.py [--rows N] [--repeats N]

Uses the servers of GOVBUS_BOOTSTRAP_SERVERS, GOVBUS_REGISTRY_URL and GOVBUS_POSTGRES_URL, else the local stack.
Writes ``bench/results/delivery.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import statistics
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import structlog

REPOSITORY = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from integration.share_bus import ASK, DATE, SUBSCRIBER, ShareBus, Table  # noqa: E402

from govbus.delivery.run import deliver  # noqa: E402
from govbus.kafka.settings import Settings  # noqa: E402

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


def measured(bus: ShareBus) -> tuple[float, float]:
    """Deliver what waits; return (wall seconds, CPU seconds of this process)."""
    wall, cpu = time.perf_counter(), time.process_time()
    deliver(bus.settings, bus.topics, SUBSCRIBER, ASK, until_caught_up=True)
    return time.perf_counter() - wall, time.process_time() - cpu


def one_round(settings: Settings, rows: int) -> dict[str, float]:
    prefix = f"b{secrets.token_hex(3)}."
    schema = f"bench_{prefix.rstrip('.')}"
    bus = ShareBus(settings, prefix, {"kind": "postgres", "schema": schema})
    bus.tables = {"police.population": Table(avro=SCHEMA)}
    bus.apply()
    try:
        bus.send(people(rows, 0))
        load, load_cpu = measured(bus)
        changed = people(rows, 1)
        half = rows // 10
        bus.send(changed[half:], deletes=changed[:half])
        change, change_cpu = measured(bus)
        with psycopg.connect(settings.need_postgres_url()) as connection:
            found = connection.execute(f"SELECT count(*) FROM {schema}.police_population").fetchone()
        assert found == (rows - half,), "the table is not what was sent"
        return {
            "load_rows_per_second": rows / load,
            "change_rows_per_second": rows / change,
            "load_cpu_us_per_row": load_cpu / rows * 1e6,
            "change_cpu_us_per_row": change_cpu / rows * 1e6,
        }
    finally:
        with psycopg.connect(settings.need_postgres_url(), autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        topics = [name for name in bus.admin.list_topics(timeout=30).topics if name.startswith(prefix)]
        for gone in bus.admin.delete_topics(topics).values():
            gone.result(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/delivery.json")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    settings = Settings.load(REPOSITORY)
    rounds = []
    for number in range(options.repeats):
        rounds.append(one_round(settings, options.rows))
        print(f"round {number + 1}: " + ", ".join(f"{name} {value:,.1f}" for name, value in rounds[-1].items()))
    result: dict[str, Any] = {
        "benchmark": "delivery",
        "rows": options.rows,
        "repeats": options.repeats,
        "machine": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
        },
        "what": "9 fields, 3 partitions, broker, registry and Postgres on the same machine, fsync on",
    }
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        result[name] = round(statistics.median(values), 1)
        result[f"{name}_spread"] = [round(min(values), 1), round(max(values), 1)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(
        f"median: load {result['load_rows_per_second']:,.0f} rows/s, change {result['change_rows_per_second']:,.0f} rows/s"
    )


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
