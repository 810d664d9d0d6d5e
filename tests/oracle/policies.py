"""Random policies over a record type, and random histories of changes: declarations as YAML has them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from random import Random
from typing import Any

from oracle import masks
from oracle.avro import EPOCH_DAY, Enum, Primitive, Record, Type
from oracle.views import Event

CRASH = "crash"
"""An item of a history: whoever reads it dies here and starts again from what was committed."""


def shown_fields(rng: Random, record: Record, key: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a mask for some fields of a record, by path; at least one field is shown.

    Key fields are often shown in clear, as most asks have them.
    """
    fields = dict(_shown(rng, record, ""))
    for path in key:
        if rng.random() < 0.7:
            fields[path] = "pass"
    if all(mask == "drop" for mask in fields.values()):
        fields[rng.choice(record.fields).name] = "pass"
    return _shuffled(rng, fields)


def _shown(rng: Random, record: Record, prefix: str) -> Iterator[tuple[str, Any]]:
    for each in record.fields:
        path = prefix + each.name
        if isinstance(each.type, Record) and rng.random() < 0.6:
            yield from _shown(rng, each.type, path + ".")
        elif rng.random() < 0.7:
            yield path, rng.choice(applicable(each.type, rng))


def applicable(kind: Type, rng: Random) -> list[Any]:
    """Return masks that apply to a type, plain ones first."""
    inner = masks.optional(kind) or kind
    out: list[Any] = ["pass", "pass", "null", "drop"]
    if isinstance(inner, Primitive) and inner.name == "string":
        ends = {
            word: n for word in ("first", "last") if (n := rng.choice([0, 0, 1, 1, 2, 4, 6, 70])) or rng.random() < 0.3
        }
        out += ["pseudonym", {"mask": ends or {"first": 1}}, {"generalise": {"division": rng.choice([2, 4, 6])}}]
    elif isinstance(inner, Primitive) and inner.logical == "date":
        out += [{"generalise": "year"}, {"generalise": "month"}]
    elif isinstance(inner, Primitive) and inner.name in ("int", "long") and inner.logical is None:
        out += [{"generalise": {"band": rng.choice([1, 5, 10, 1000, 2**40])}}]
    return out


def stricter(mask: Any, rng: Random) -> Any:
    """Return a mask at least as strict as *mask*, most often the same."""
    if rng.random() < 0.5:
        return mask
    if rng.random() < 0.3:
        return rng.choice(["null", "drop"])
    match mask:
        case {"generalise": "month"}:
            return {"generalise": "year"}
        case {"generalise": {"division": digits}}:
            return {"generalise": {"division": rng.choice([n for n in (2, 4, 6) if n <= digits])}}
        case {"generalise": {"band": width}}:
            return {"generalise": {"band": width * rng.choice([1, 2, 10])}}
    return mask


# Row conditions ---------------------------------------------------------------------------------------------


def rows(
    rng: Random, record: Record, samples: list[Any], among: Collection[str] | None = None, *, depth: int = 2
) -> dict[str, Any] | None:
    """Return a condition on fields of *record* (only those *among* some), or None if it has none to test.

    Literals come from *samples* mostly.
    """
    testable = [path for path in paths(record) if among is None or path in among]
    if not testable:
        return None
    return _rows(rng, record, samples, testable, depth)


def paths(record: Record, prefix: str = "") -> Iterator[str]:
    """Yield the paths of all fields that are not records; of what is inside optional records nothing."""
    for each in record.fields:
        if isinstance(each.type, Record):
            yield from paths(each.type, f"{prefix}{each.name}.")
        else:
            yield prefix + each.name


def _rows(rng: Random, record: Record, samples: list[Any], testable: list[str], depth: int) -> dict[str, Any]:
    draw = rng.random()
    if depth and draw < 0.15:
        return {"not": _rows(rng, record, samples, testable, depth - 1)}
    if depth and draw < 0.45:
        parts = [_rows(rng, record, samples, testable, depth - 1) for _ in range(rng.randint(1, 3))]
        return {rng.choice(["all", "any"]): parts}
    chosen = rng.sample(testable, min(len(testable), rng.choice([1, 1, 1, 2])))
    return {path: _test(rng, record, samples, path) for path in chosen}


def _test(rng: Random, record: Record, samples: list[Any], path: str) -> dict[str, Any]:
    kind = masks.field_at(record, path)
    assert kind is not None
    kind = masks.optional(kind) or kind
    if not testable_kind(kind) or rng.random() < 0.15:
        return {"is_null": rng.random() < 0.5}

    def literal() -> Any:
        return _literal(rng, kind, [masks.value_at(record, each, path)[1] for each in samples])

    draw = rng.random()
    text = isinstance(kind, Enum) or (isinstance(kind, Primitive) and kind.name == "string")
    if kind == Primitive("boolean"):
        draw /= 2
    if draw < 0.3:
        return {"equals": literal()}
    if draw < 0.5:
        return {"in": [literal() for _ in range(rng.randint(1, 3))]}
    if draw < 0.7 and text:
        whole = str(literal())
        return {"prefix": whole[: rng.randint(1, 3)] or "1"}
    ends = {"from": literal(), "to": literal()}
    if rng.random() < 0.4:
        del ends[rng.choice(["from", "to"])]
    return {"range": ends}


def testable_kind(kind: Type) -> bool:
    """Return whether values of a type can be compared with literals."""
    return isinstance(kind, Enum) or (isinstance(kind, Primitive) and kind.name in ("string", "int", "long", "boolean"))


def _literal(rng: Random, kind: Type, values: list[Any]) -> Any:
    present = [each for each in values if each is not None]
    if isinstance(kind, Enum):
        return rng.choice([*present, rng.choice(kind.symbols), "no such symbol"])
    assert isinstance(kind, Primitive)
    match kind.name:
        case "boolean":
            return rng.random() < 0.5
        case "string":
            return rng.choice([*present, "", "1", "张", "89", "zzz"])
    number = rng.choice([*present, *(each + rng.choice([-1, 1]) for each in present), 0, 100])
    if kind.logical != "date":
        return number
    day = EPOCH_DAY + timedelta(days=max(-719162, min(2932896, number)))
    return day if rng.random() < 0.5 else day.isoformat()


# Histories --------------------------------------------------------------------------------------------------


def history(
    rng: Random, dataset: str, keys: list[str], record: Callable[[str], Any], *, changes: int, first_version: int = 1
) -> list[Event]:
    """Return changes of some keys in the order they happened: versions rise per key, deletions and returns included."""
    version = {key: first_version + rng.randint(0, 3) for key in keys}
    out = []
    for _ in range(changes):
        key = rng.choice(keys)
        version[key] += rng.choice([1, 1, 2, 1000])
        out.append(Event(dataset, key, version[key], None if rng.random() < 0.2 else record(key)))
    return out


def disordered(rng: Random, events: list[Any], *, crashes: int = 0) -> list[Any]:
    """Return *events* as they may arrive: late ones, doubled ones, and crashes between them."""
    out = list(events)
    for _ in range(rng.randint(0, len(out) // 2)):
        out.insert(rng.randint(0, len(out)), rng.choice(events))
    if rng.random() < 0.7:
        for _ in range(len(out) // 3):
            one, other = rng.randrange(len(out)), rng.randrange(len(out))
            out[one], out[other] = out[other], out[one]
    for _ in range(crashes):
        out.insert(rng.randint(0, len(out)), CRASH)
    return out


def _shuffled(rng: Random, mapping: dict[str, Any]) -> dict[str, Any]:
    entries = list(mapping.items())
    rng.shuffle(entries)
    return dict(entries)
