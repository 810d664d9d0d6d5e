"""A receiver of file deliveries, as docs/receiving.md tells one to write it, that checks everything it is told."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from stack_fixture import REPOSITORY

GUIDE = REPOSITORY / "docs/receiving.md"
Rows = dict[tuple[Any, ...], dict[str, Any]]


def parts(folder: Path) -> list[Path]:
    """The parts that a reader sees, oldest first; what is hidden is nobody's business."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def manifests(folder: Path) -> list[dict[str, Any]]:
    """Every manifest, oldest first, the chain of them checked."""
    found: list[dict[str, Any]] = []
    sha256 = None
    for part in parts(folder):
        content = (part / "manifest.json").read_bytes()
        manifest = json.loads(content)
        assert manifest["number"] == int(part.name) == len(found) + 1
        assert manifest["previous_sha256"] == sha256
        for dataset, entry in manifest["datasets"].items():
            before = found[-1]["datasets"].get(dataset) if found else None
            if before is not None and not before["withdrawn"] and not entry["replace"]:
                nexts = {number: offsets["next"] for number, offsets in before["partitions"].items()}
                assert {number: offsets["first"] for number, offsets in entry["partitions"].items()} == nexts
            for kind in ("changes", "snapshot"):
                if entry[kind] is not None:
                    data = (part / entry[kind]["file"]).read_bytes()
                    assert hashlib.sha256(data).hexdigest() == entry[kind]["sha256"]
                    assert len(data) == entry[kind]["bytes"]
        named = {e[k]["file"] for e in manifest["datasets"].values() for k in ("changes", "snapshot") if e[k]}
        assert {path.name for path in part.iterdir()} == {"manifest.json", *named}
        found.append(manifest)
        sha256 = hashlib.sha256(content).hexdigest()
    return found


def received(folder: Path, prefer: Literal["changes", "snapshot"] = "changes") -> dict[str, Rows]:
    """What a receiver of JSON Lines holds after all parts, by dataset and key; *prefer* where a part has both.

    Changes are applied by the receiver of the guide, as it stands there.
    """
    told = manifests(folder)
    held: dict[str, Rows] = {}
    if prefer == "changes":
        (program,) = re.findall(r"```python\n(import hashlib.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
        names: dict[str, Any] = {}
        exec(program, names)
        assert names["receive"](folder, 0, held) == len(told)
    else:
        first = max(m["number"] for m in told if all(e["snapshot"] for e in m["datasets"].values()))
        for manifest in told[first - 1 :]:
            for dataset, entry in manifest["datasets"].items():
                _apply(held.setdefault(dataset, {}), folder / f"{manifest['number']:08}", entry)
    return {dataset: rows for dataset, rows in held.items() if rows}


def _apply(rows: Rows, part: Path, entry: dict[str, Any]) -> None:
    if entry["snapshot"]:
        rows.clear()
    source = entry["snapshot"] or entry["changes"]
    for row in lines(part / source["file"]) if source else ():
        key = tuple(row[name] for name in entry["key"])
        if row.pop("_operation", "upsert") == "upsert":
            rows[key] = row
        else:
            rows.pop(key, None)


def lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def csv_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, with the guarding TAB taken off."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return [
            {name: cell.removeprefix("\t") for name, cell in row.items()} for row in csv.DictReader(stream, strict=True)
        ]
