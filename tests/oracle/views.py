"""What every subscriber must hold, worked out from scratch: declarations and raw events in, tables out.

Declarations are the parsed YAML and JSON documents themselves. Records are values of `oracle.avro` under the business
schema; `latest` picks the one of each key that counts, `share_rows` says what an ask may hold of them at a given clock.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from operator import eq
from pathlib import Path
from typing import Any

import yaml

from oracle import avro, masks
from oracle.avro import Record, Type

GRADES = ("L1", "L2", "L3", "L4")
SEPARATOR = "\x1f"


# Declarations -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Declared:
    """A city's declarations, as the files say them: datasets under DEPARTMENT.DATASET, asks under SUBSCRIBER.ASK."""

    city: dict[str, Any]
    datasets: dict[str, dict[str, Any]]
    schemas: dict[str, dict[str, Any]]
    subscribers: dict[str, dict[str, Any]]
    asks: dict[str, dict[str, Any]]
    vocabulary: dict[str, Any] = field(default_factory=dict)
    """What `schemas/elements.yaml` says."""

    def business(self, dataset: str) -> Record:
        """Return the record type of a dataset's business fields."""
        kind = avro.parse(self.schemas[dataset])
        assert isinstance(kind, Record)
        return kind


def read(folder: Path) -> Declared:
    """Return what the files of the city in *folder* declare."""

    def document(path: Path) -> dict[str, Any]:
        return yaml.safe_load(path.read_text(encoding="utf-8"))

    declared = Declared(document(folder / "city.yaml"), {}, {}, {}, {}, document(folder / "schemas" / "elements.yaml"))
    for path in sorted(folder.glob("producers/*/*.yaml")):
        if path.name != "department.yaml":
            declared.datasets[f"{path.parent.name}.{path.stem}"] = document(path)
    for path in sorted(folder.glob("schemas/*/*.avsc")):
        declared.schemas[f"{path.parent.name}.{path.stem}"] = json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(folder.glob("consumers/*/*.yaml")):
        if path.name == "subscriber.yaml":
            declared.subscribers[path.parent.name] = document(path)
        else:
            declared.asks[f"{path.parent.name}.{path.stem}"] = document(path)
    return declared


def mapping(fields: Any) -> dict[str, Any]:
    """Return path -> mask of a ``fields:`` entry, written as a mapping or as a list of paths and single mappings."""
    if isinstance(fields, Mapping):
        return dict(fields)
    out: dict[str, Any] = {}
    for each in fields:
        out.update(each if isinstance(each, Mapping) else {each: "pass"})
    return out


# Which record counts ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """One change as a department said it: an upsert with its record, or a deletion (record None)."""

    dataset: str
    key: str
    version: int
    record: Any = None
    epoch: int = 0


@dataclass
class Latest:
    """The newest record of every key of one dataset, deletions included, and what became of each event."""

    held: dict[str, Event] = field(default_factory=dict)
    verdicts: Counter[str] = field(default_factory=Counter)

    def add(self, event: Event, same: Callable[[Any, Any], bool] = eq) -> str:
        """Take one event in and return its verdict: accepted, duplicate, stale or conflict.

        *same* says of two records of equal version (None for a deletion) whether they are equal.
        """
        verdict = self._verdict(event, same)
        if verdict == "accepted":
            self.held[event.key] = event
        self.verdicts[verdict] += 1
        return verdict

    def _verdict(self, event: Event, same: Callable[[Any, Any], bool]) -> str:
        held = self.held.get(event.key)
        if held is None or (event.epoch, event.version) > (held.epoch, held.version):
            return "accepted"
        if (event.epoch, event.version) < (held.epoch, held.version):
            return "stale"
        return "duplicate" if same(event.record, held.record) else "conflict"

    def records(self) -> dict[str, Any]:
        """Return key -> record of every key that is not deleted."""
        return {key: event.record for key, event in self.held.items() if event.record is not None}


def latest(events: Iterable[Event]) -> dict[str, Latest]:
    """Return the newest records of every dataset among *events*, which may come in any order and more than once."""
    out: dict[str, Latest] = {}
    for event in events:
        out.setdefault(event.dataset, Latest()).add(event)
    return out


def key_of(record: Record, value: Any, key: Iterable[str]) -> str:
    """Return the record key: the texts of the key fields joined by U+001F."""
    return SEPARATOR.join(key_text(*masks.value_at(record, value, path)) for path in key)


def key_text(kind: Type, value: Any) -> str:
    """Return the text a key field has inside a record key."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(kind, avro.Primitive) and kind.logical == "date":
        return (avro.EPOCH_DAY + timedelta(days=value)).isoformat()
    return str(value)


# What an ask may hold ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Permission:
    """What two keys open: masks by path in the order of the schema, conditions, the first instant after the end."""

    fields: dict[str, Any]
    grant_rows: dict[str, Any] | None
    ask_rows: dict[str, Any] | None
    ends_at: datetime


def permission(declared: Declared, ask_id: str, dataset_id: str) -> Permission | str:
    """Return what an ask may see of a dataset, or in one word why nothing. The clock plays no part yet."""
    ask = declared.asks[ask_id]
    asked = ask["datasets"][dataset_id]
    dataset = declared.datasets.get(dataset_id)
    subscriber = ask_id.split(".")[0]
    if dataset is None or dataset["share"] == "not_shared":
        return "no_grant"
    until = to_date(ask["until"])
    grant_rows = None
    if dataset["share"] == "unconditional":
        granted = {path: "pass" for path, entry in dataset["fields"].items() if entry.get("share") != "not_shared"}
    else:
        grants = [g for g in dataset.get("grants", ()) if g["to"] == subscriber and g["purpose"] == ask["purpose"]]
        if not grants:
            return "no_grant"
        (grant,) = grants
        state = grant.get("state", "active")
        if state != "active":
            return f"grant_{state}"
        until = min(until, to_date(grant["until"]))
        granted = mapping(grant["fields"])
        grant_rows = grant.get("rows")
    clearance = declared.subscribers[subscriber]["clearance"]
    wanted = {
        path: mask
        for path, mask in mapping(asked["fields"]).items()
        if mask != "drop" and _may(path, granted, dataset["fields"], clearance)
    }
    business = declared.business(dataset_id)
    fields = {path: wanted[path] for path in _in_order(business, "") if path in wanted}
    return Permission(fields, grant_rows, asked.get("rows"), end_of(until))


def _may(path: str, granted: Mapping[str, Any], entries: Mapping[str, Any], clearance: str) -> bool:
    above = [path[:i] for i, char in enumerate(path) if char == "."]
    if path not in granted and not any(granted.get(record) == "pass" for record in above):
        return False
    inside = [entry for each, entry in entries.items() if each == path or each.startswith(path + ".")]
    return all(
        entry.get("share") != "not_shared" and GRADES.index(entry["grade"]) <= GRADES.index(clearance)
        for entry in inside
    )


def _in_order(kind: Type, prefix: str) -> Iterable[str]:
    kind = masks.optional(kind) or kind
    if isinstance(kind, Record):
        for each in kind.fields:
            yield prefix + each.name
            yield from _in_order(each.type, f"{prefix}{each.name}.")


def to_date(declared: Any) -> date:
    """Return a day, written as YAML reads it or as text."""
    return declared if isinstance(declared, date) else date.fromisoformat(declared)


def end_of(day: date) -> datetime:
    """Return when *day* is over in China (UTC+8)."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1, hours=-8)


def view_type(kind: Type, fields: Mapping[str, Any], prefix: str = "") -> Type:
    """Return the type of the view that shows *fields* (path -> mask) of a record type."""
    inner = masks.optional(kind)
    if inner is not None:
        assert isinstance(kind, avro.Union)
        return avro.Union(tuple(b if b == avro.NULL else view_type(b, fields, prefix) for b in kind.branches))
    assert isinstance(kind, Record)
    out = Record("view")
    for each in kind.fields:
        path = prefix + each.name
        if path in fields:
            out.fields.append(avro.Field(each.name, masks.masked_type(each.type, fields[path]), ()))
        elif any(shown.startswith(path + ".") for shown in fields):
            out.fields.append(avro.Field(each.name, view_type(each.type, fields, path + "."), ()))
    return out


def view_value(kind: Type, value: Any, fields: Mapping[str, Any], key: bytes | None, prefix: str = "") -> Any:
    """Return what *fields* (path -> mask) show of a record, as a value of `view_type`."""
    if isinstance(value, avro.Branch):
        assert isinstance(kind, avro.Union)
        inner = kind.branches[value.index]
        return (
            value if inner == avro.NULL else value._replace(value=view_value(inner, value.value, fields, key, prefix))
        )
    assert isinstance(kind, Record)
    out = {}
    for each in kind.fields:
        path = prefix + each.name
        if path in fields:
            out[each.name] = masks.masked_value(each.type, value[each.name], fields[path], key)
        elif any(shown.startswith(path + ".") for shown in fields):
            out[each.name] = view_value(each.type, value[each.name], fields, key, path + ".")
    return out


def released(record: Record, value: Any, allowed: Permission, key: bytes | None) -> Any | None:
    """Return what leaves of one record, a value of `view_type`, or None where a row condition is not true of it."""
    if allowed.grant_rows is not None and masks.truth(allowed.grant_rows, record, value) != masks.YES:
        return None
    try:
        shown = view_value(record, value, allowed.fields, key)
    except masks.Unmaskable:
        return None
    if allowed.ask_rows is not None:
        kind = view_type(record, allowed.fields)
        assert isinstance(kind, Record)
        if masks.truth(allowed.ask_rows, kind, shown) != masks.YES:
            return None
    return shown


def share_key(key: str, key_fields: Iterable[str], fields: Mapping[str, Any], pseudonym_key: bytes | None) -> bytes:
    """Return the key a record has in a share topic: its own, or its pseudonym if a key field is not seen in clear."""
    if all(fields.get(path) == "pass" for path in key_fields):
        return key.encode()
    assert pseudonym_key is not None
    return masks.pseudonym(pseudonym_key, key.encode()).encode()


@dataclass(frozen=True)
class Table:
    """What an ask must hold of a dataset: share key -> value of `type`. `reason` says why it holds nothing at all."""

    rows: dict[bytes, Any]
    type: Record | None = None
    reason: str | None = None

    def plain(self) -> dict[str, dict[str, Any]]:
        """Return share key -> record as a Python reader sees it."""
        assert self.type is not None or not self.rows
        return {key.decode(): avro.plain(self.type, value) for key, value in self.rows.items()}  # type: ignore[arg-type]

    def encoded(self) -> dict[bytes, bytes]:
        """Return share key -> Avro bytes of the record, without the five bytes of framing."""
        assert self.type is not None or not self.rows
        return {key: avro.encode(self.type, value) for key, value in self.rows.items()}  # type: ignore[arg-type]


def share_rows(
    declared: Declared,
    ask_id: str,
    dataset_id: str,
    records: Mapping[str, Any],
    now: datetime,
    pseudonym_keys: Mapping[str, bytes],
) -> Table:
    """Return what an ask must hold of a dataset at the instant *now*, given the latest *records* by key.

    *pseudonym_keys* stand under SUBSCRIBER.PURPOSE.
    """
    allowed = permission(declared, ask_id, dataset_id)
    if isinstance(allowed, str):
        return Table({}, reason=allowed)
    if now >= allowed.ends_at:
        return Table({}, reason="expired")
    ask = declared.asks[ask_id]
    pseudonym_key = pseudonym_keys.get(f"{ask_id.split('.')[0]}.{ask['purpose']}")
    business = declared.business(dataset_id)
    kind = view_type(business, allowed.fields)
    assert isinstance(kind, Record)
    table = Table({}, kind)
    for key, record in records.items():
        shown = released(business, record, allowed, pseudonym_key)
        if shown is not None:
            table.rows[share_key(key, declared.datasets[dataset_id]["key"], allowed.fields, pseudonym_key)] = shown
    return table


def all_tables(
    declared: Declared, held: Mapping[str, Latest], now: datetime, pseudonym_keys: Mapping[str, bytes]
) -> dict[str, Table]:
    """Return what every ask must hold of every dataset it names, under SUBSCRIBER.ASK/DEPARTMENT.DATASET."""
    return {
        f"{ask_id}/{dataset_id}": share_rows(
            declared,
            ask_id,
            dataset_id,
            held[dataset_id].records() if dataset_id in held else {},
            now,
            pseudonym_keys,
        )
        for ask_id, ask in declared.asks.items()
        for dataset_id in ask["datasets"]
    }
