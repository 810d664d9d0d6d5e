"""Reading what `govbus city` wrote, from the declarations alone: nothing of how it is read comes from the generator."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from stack_fixture import REPOSITORY

from govbus.ops.city import City

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def is_citizen_id(text: str) -> bool:
    """Return whether *text* is a citizen id by GB 11643: 17 digits, a day that exists, ISO 7064 MOD 11-2."""
    if not re.fullmatch(r"\d{17}[\dX]", text):
        return False
    try:
        datetime.strptime(text[6:14], "%Y%m%d")
    except ValueError:
        return False
    return _check_of(text[:17]) == text[17]


def _check_of(first17: str) -> str:
    return "10X98765432"[sum(int(digit) * weight for digit, weight in zip(first17, WEIGHTS, strict=True)) % 11]


def citizen_id(text: str) -> str:
    """Return the 18-digit form of an id that was written loosely."""
    plain = unicodedata.normalize("NFKC", text).strip().lstrip("'").upper()
    if re.fullmatch(r"\d{15}", plain):
        first17 = f"{plain[:6]}19{plain[6:]}"
        return first17 + _check_of(first17)
    return plain


@dataclass(frozen=True)
class Declaration:
    """What a dataset's files say about its source."""

    id: str
    key: tuple[str, ...]
    source: dict[str, Any]
    fields: dict[str, Any]

    @property
    def department(self) -> str:
        return self.id.partition(".")[0]


@cache
def declarations() -> dict[str, Declaration]:
    """Return the reference city's datasets by id."""
    found = {}
    for path in sorted((REPOSITORY / "producers").glob("*/*.yaml")):
        if path.name != "department.yaml":
            declared = yaml.safe_load(path.read_text(encoding="utf-8"))
            dataset = f"{path.parent.name}.{declared['dataset']}"
            key = tuple(declared["key"])
            found[dataset] = Declaration(dataset, key, declared["source"], declared["fields"])
    return found


Row = dict[str, Any]


@dataclass(frozen=True)
class Written:
    """A city on disk: its folder, what was asked for, its summary."""

    path: Path
    asked: City
    summary: dict[str, Any]


def rows(city: Path, dataset: str, wave: int = 0, *, raw: bool = False) -> list[Row]:
    """Return the dataset's rows of *wave* by dotted field path; of tables only the first export.

    Texts of no value are None, dates ISO where they are dates, booleans bool; with *raw* texts stay as they are.
    Operation and version stand under ``operation`` and ``version``.
    """
    declared = declarations()[dataset]
    source = declared.source
    if source["kind"] == "file":
        folder = (city / "changes" / f"{wave:02}" / "drop" if wave else city / "drop") / declared.department
        paths = sorted(folder.glob(source["path"]))
        found = [row for path in paths for row in _file_rows(path, source)]
    else:
        found = list(_copied(city / "postgres", declared))
    names = {source.get("columns", {}).get(path, path): path for path in declared.fields}
    own = {source.get("operation"): "operation", source.get("version"): "version"}
    named = [{(own | names).get(name, name): value for name, value in row.items()} for row in found]
    return named if raw else [{name: _plain(value, source) for name, value in row.items()} for row in named]


def csv_lines(path: Path, source: dict[str, Any]) -> list[list[str]]:
    """Return the cells of a CSV file, header first."""
    text = path.read_bytes().decode(source["encoding"])
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=source["delimiter"], strict=True))


def _file_rows(path: Path, source: dict[str, Any]) -> Iterator[Row]:
    if source["format"] == "csv":
        header, *lines = csv_lines(path, source)
        for cells in lines:
            yield dict(zip(header, cells, strict=True))
        return
    for line in path.read_bytes().decode(source["encoding"]).splitlines():
        yield json.loads(line)


def _copied(folder: Path, declared: Declaration) -> Iterator[Row]:
    load = (folder / "load.sql").read_text(encoding="utf-8")
    found = re.search(rf"\(([^)]*)\) FROM '{re.escape(declared.id)}\.copy'", load)
    assert found, declared.id
    columns = [name.strip().strip('"') for name in found[1].split(",")]
    escapes = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}

    def unescape(cell: str) -> str:
        return re.sub(r"\\.", lambda found: escapes[found.group()], cell)

    for line in (folder / f"{declared.id}.copy").read_text(encoding="utf-8").splitlines():
        cells = [None if cell == "\\N" else unescape(cell) for cell in line.split("\t")]
        row: Row = dict(zip(columns, cells, strict=True))
        if declared.source["kind"] == "outbox":
            yield _flat(json.loads(row["record"]))
        else:
            yield row


def _flat(record: Row, above: str = "") -> Row:
    flat: Row = {}
    for name, value in record.items():
        flat |= _flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return flat


def _plain(value: Any, source: dict[str, Any]) -> Any:
    if not isinstance(value, str):
        return value
    if value in source.get("nulls", ()):
        return None
    if value in ("是", "否") or (source["kind"] == "postgres" and value in ("t", "f")):
        return value in ("是", "t")
    formats = source.get("dates", [])
    for each in [formats] if isinstance(formats, str) else formats:
        try:
            return datetime.strptime(value, each).date().isoformat()
        except ValueError:
            continue
    return value


def ledger(city: Path) -> list[dict[str, Any]]:
    """Return the ledger's lines."""
    return [json.loads(line) for line in (city / "ledger.jsonl").read_text(encoding="utf-8").splitlines()]


def first_faults(city: Path) -> list[dict[str, Any]]:
    """Return the faults of the first export."""
    return [line for line in ledger(city) if line.get("wave") == 0]
