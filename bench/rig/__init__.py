"""What every benchmark shares: the machine's description, medians and spread, the result file."""

from __future__ import annotations

import json
import os
import platform
import statistics
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "results"


def machine() -> dict[str, object]:
    """Return what a reader needs to judge a figure: processor, cores, memory, system, Python."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    memory_kb = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kb / 1024**2, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def spread(values: list[float], digits: int = 0) -> dict[str, object]:
    """Return median, least, greatest and all of *values*."""
    rounded = [round(value, digits) for value in values]
    return {
        "median": round(statistics.median(values), digits),
        "min": min(rounded),
        "max": max(rounded),
        "all": rounded,
    }


def peak_memory_mb() -> float:
    """Return this process's peak resident memory (VmHWM) in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def write(name: str, result: dict[str, object]) -> Path:
    """Write *result* with machine and time to bench/results/NAME.json; return the file."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    document = {"name": name, "measured_at": measured_at, "machine": machine(), **result}
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return file
