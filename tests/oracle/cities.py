"""Random cities: departments, datasets, grants, subscribers and asks as documents, and later revisions of them.

What is drawn is free of contradictions (an ask keeps to its grant, fields to the clearance), so that every difference
between what is declared and what is delivered is the bus's.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from random import Random
from typing import Any

from oracle import avro, generate, masks, policies, structure, views
from oracle.avro import Primitive, Record
from oracle.views import GRADES, Declared

FAR = date(2099, 12, 31)
FORMATS = {"division": re.compile(r"[1-9][0-9]{5}"), "year": re.compile(r"(18|19|20|21)[0-9]{2}")}
"""Formats a field may have here, and what their canonical form looks like."""

CONTACT = {"role": "数据管理岗"}


def city(rng: Random, start: date) -> Declared:
    """Return a random city whose terms end on *start*, on one of the days after, or never."""
    declared = Declared(
        city={
            "city": "testcity",
            "title": "测试市",
            "division": "890000",
            "partitions": rng.choice([1, 2, 3]),
            "max_record_bytes": 8192,
        },
        datasets={},
        schemas={},
        subscribers={},
        asks={},
    )
    for name in ("alpha.one", "alpha.two", "beta.one")[: rng.randint(1, 3)]:
        declared.schemas[name], declared.datasets[name] = _dataset(rng, name.split(".")[1])
    for name in ("gamma", "delta")[: rng.randint(1, 2)]:
        declared.subscribers[name] = {"clearance": rng.choice(["L2", "L3", "L3", "L4"])}
        for number in range(rng.randint(1, 2)):
            declared.asks[f"{name}.ask{number}"] = {
                "purpose": f"purpose{rng.randint(0, 1)}",
                "until": until(rng, start),
                "datasets": {},
            }
    for name in declared.datasets:
        draw_sharing(rng, declared, name, start)
    return declared


def _dataset(rng: Random, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    key_types = rng.choice([("string",), ("string",), generate.KEY_TYPES])
    schema, key = generate.Schemas(rng, depth=2).record(name, rng.choice([1, 1, 2]), key_types)
    document = {
        "subject": key[0],
        "key": list(key),
        "share": rng.choice(["conditional"] * 7 + ["unconditional"] * 2 + ["not_shared"]),
        "versions": rng.choice(["time", "time", "time", "sequence"]),
        "epoch": rng.choice([0, 0, 0, 0, 0, 1]),
        "fields": {},
        "grants": [],
    }
    if rng.random() < 0.5:
        structure.add_fields(rng, schema, document)
    _document_fields(rng, schema, document)
    structure.draw_checks(rng, _record(schema), document)
    return schema, document


def _record(schema: dict[str, Any]) -> Record:
    record = avro.parse(schema)
    assert isinstance(record, Record)
    return record


def _document_fields(rng: Random, schema: dict[str, Any], document: dict[str, Any]) -> None:
    record = _record(schema)
    for path in every_path(record):
        if path in document["fields"]:
            continue
        entry: dict[str, Any] = {"title": "项", "grade": rng.choice(["L1", "L2", "L2", "L3", "L3", "L4"])}
        kind = masks.field_at(record, path)
        kind = masks.optional(kind) or kind if kind is not None else None
        if path in document["key"]:
            entry["grade"] = "L2"
        elif not isinstance(kind, Record):
            if rng.random() < 0.1:
                entry |= {"share": "not_shared", "basis": "依法不予共享"}
            if kind == masks.TEXT and rng.random() < 0.3:
                entry["format"] = rng.choice(sorted(FORMATS))
        document["fields"][path] = entry
    for path in set(document["fields"]) - set(every_path(record)):
        del document["fields"][path]


def every_path(record: Record, prefix: str = "") -> Iterator[str]:
    """Yield the paths of all fields, records and what is in them; nothing of what is inside optional records."""
    for each in record.fields:
        yield prefix + each.name
        if isinstance(each.type, Record):
            yield from every_path(each.type, f"{prefix}{each.name}.")


def until(rng: Random, start: date) -> date:
    """Return a last day: one of the next few, or one that does not come."""
    return rng.choice([FAR, FAR, FAR, start, start + timedelta(days=1), start + timedelta(days=2)])


# Grants and asks ------------------------------------------------------------------------------------------------------


def draw_sharing(rng: Random, declared: Declared, dataset_id: str, start: date) -> None:
    """Draw anew what is granted and asked of one dataset."""
    document, record = declared.datasets[dataset_id], declared.business(dataset_id)
    document["grants"] = []
    samples = [generate.Values(rng).of(record) for _ in range(3)]
    granted_to: dict[tuple[str, str], dict[str, Any]] = {}
    for ask_id, ask in declared.asks.items():
        ask["datasets"].pop(dataset_id, None)
        if rng.random() < 0.2:
            continue
        subscriber = ask_id.split(".")[0]
        allowed = _allowed(document, declared.subscribers[subscriber]["clearance"])
        pair = (subscriber, ask["purpose"])
        if pair not in granted_to:
            granted_to[pair] = _granted(rng, record, document, allowed)
            if document["share"] == "conditional" and granted_to[pair] and rng.random() < 0.92:
                document["grants"].append(_grant(rng, pair, granted_to[pair], record, samples, start))
        fields = _asked(rng, record, granted_to[pair], allowed, clear=document["share"] == "unconditional")
        if not fields:
            continue
        rows = rows_of_view(rng, record, fields, samples) if rng.random() < 0.4 else None
        ask["datasets"][dataset_id] = {"fields": fields} | ({} if rows is None else {"rows": rows})


def _allowed(document: dict[str, Any], clearance: str) -> Callable[[str], bool]:
    def allowed(path: str) -> bool:
        inside = [entry for each, entry in document["fields"].items() if f"{each}.".startswith(f"{path}.")]
        return all("share" not in entry and GRADES.index(entry["grade"]) <= GRADES.index(clearance) for entry in inside)

    return allowed


def _granted(rng: Random, record: Record, document: dict[str, Any], allowed: Callable[[str], bool]) -> dict[str, Any]:
    fields = policies.shown_fields(rng, record, tuple(document["key"]))
    return {path: mask for path, mask in fields.items() if mask != "drop" and allowed(path)}


def _grant(
    rng: Random,
    pair: tuple[str, str],
    granted: dict[str, Any],
    record: Record,
    samples: list[Any],
    start: date,
) -> dict[str, Any]:
    listed = [path if mask == "pass" else {path: mask} for path, mask in granted.items()]
    grant = {
        "to": pair[0],
        "purpose": pair[1],
        "until": until(rng, start),
        "state": rng.choice(["active"] * 8 + ["suspended", "ended"]),
        "fields": rng.choice([granted, listed]),
    }
    rows = policies.rows(rng, record, samples) if rng.random() < 0.4 else None
    return grant if rows is None else grant | {"rows": rows}


def _asked(
    rng: Random, record: Record, granted: dict[str, Any], allowed: Callable[[str], bool], *, clear: bool
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for path, least in granted.items():
        kind = masks.field_at(record, path)
        assert kind is not None
        if isinstance(kind, Record) and least == "pass" and rng.random() < 0.4:
            inside = {f"{path}.{each}": mask for each, mask in policies.shown_fields(rng, kind).items()}
            fields |= {each: mask for each, mask in inside.items() if allowed(each)}
        elif rng.random() < 0.9:
            fields[path] = rng.choice(policies.applicable(kind, rng)) if clear else policies.stricter(least, rng)
    return fields if any(mask != "drop" for mask in fields.values()) else {}


def rows_of_view(rng: Random, record: Record, fields: dict[str, Any], samples: list[Any]) -> dict[str, Any] | None:
    """Return a condition on what masks leave; what is dropped, nulled or pseudonymised cannot be asked about."""
    seen = {path: mask for path, mask in fields.items() if mask not in ("drop", "null", "pseudonym")}
    kind = views.view_type(record, seen)
    assert isinstance(kind, Record)
    shown = []
    for value in samples:
        try:
            shown.append(views.view_value(record, value, seen, None))
        except masks.Unmaskable:
            continue
    return policies.rows(rng, kind, shown)


# Later revisions ------------------------------------------------------------------------------------------------------


def revised(rng: Random, declared: Declared, start: date) -> Declared:
    """Return a later state of the same city: grants and asks come, go, widen and narrow, schemas and epochs move on."""
    later = copy.deepcopy(declared)
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(list(later.datasets))
        match rng.randrange(9):
            case 0:
                draw_sharing(rng, later, name, start)
            case 1:
                for grant in later.datasets[name]["grants"]:
                    grant["state"] = rng.choice(["active", "active", "suspended", "ended"])
            case 2:
                for ask in later.asks.values():
                    ask["until"] = until(rng, start)
            case 3:
                later.schemas[name] = generate.evolved(later.schemas[name], rng, tuple(later.datasets[name]["key"]))
                if rng.random() < 0.3 and not any(path.startswith("st_") for path in later.datasets[name]["fields"]):
                    structure.add_fields(rng, later.schemas[name], later.datasets[name], optional=True)
                _document_fields(rng, later.schemas[name], later.datasets[name])
                structure.prune(later.business(name), later.datasets[name])
                draw_sharing(rng, later, name, start)
            case 4:
                later.datasets[name]["epoch"] += 1
            case 5 | 6:
                _redraw_rows(rng, later, name)
            case 7:
                later.datasets[name]["share"] = rng.choice(["conditional", "conditional", "unconditional"])
                draw_sharing(rng, later, name, start)
            case 8:
                structure.draw_checks(rng, later.business(name), later.datasets[name])
    return later


def _redraw_rows(rng: Random, declared: Declared, dataset_id: str) -> None:
    """Draw anew which rows of a dataset are granted or asked, and nothing else."""
    record = declared.business(dataset_id)
    samples = [generate.Values(rng).of(record) for _ in range(3)]
    for grant in declared.datasets[dataset_id]["grants"]:
        if rng.random() < 0.5:
            grant["rows"] = policies.rows(rng, record, samples)
    for ask in declared.asks.values():
        asked = ask["datasets"].get(dataset_id)
        if asked is not None and rng.random() < 0.5:
            asked["rows"] = rows_of_view(rng, record, asked["fields"], samples)


# Records --------------------------------------------------------------------------------------------------------------


def record_of(rng: Random, declared: Declared, dataset_id: str, key: tuple[Any, ...]) -> Any:
    """Return a valid record of a dataset under a key; texts that nobody may see by chance carry their path."""
    document, record = declared.datasets[dataset_id], declared.business(dataset_id)
    value = generate.Values(rng, wild=rng.random() < 0.2).of(record)
    for path in policies.paths(record):
        entry = document["fields"][path]
        if entry.get("format") == "division":
            _put(value, path, f"8903{rng.randint(0, 99):02}")
        elif entry.get("format") == "year":
            _put(value, path, str(rng.randint(1900, 2099)))
        elif masks.field_at(record, path) == Primitive("string") and rng.random() < 0.7:
            _put(value, path, rng.choice(["", generate.Values(rng).text()]) + canary(dataset_id, path))
    structure.fill(rng, record, value)
    for path, part in zip(document["key"], key, strict=True):
        _put(value, path, part)
    return value


def canary(dataset_id: str, path: str) -> str:
    """Return the text by which a value of one field is known wherever it turns up."""
    return f"«{dataset_id}/{path}»"


def _put(value: Any, path: str, leaf: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        value = value[parent]
    if isinstance(value[name], avro.Branch):
        if value[name].value is not None:
            value[name] = value[name]._replace(value=leaf)
    else:
        value[name] = leaf
