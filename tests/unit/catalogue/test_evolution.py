"""Which schemas may follow an applied one: those with which each side reads what the other wrote."""

from __future__ import annotations

import io
import random
from copy import deepcopy
from typing import Any

import fastavro
import pytest
from fastavro.schema import SchemaParseException

from govbus.catalogue.evolution import incompatibilities

DATE = {"type": "int", "logicalType": "date"}


def record(*fields: dict[str, Any], name: str = "r") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def f(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "e", "symbols": list(symbols), **more}


OPTIONAL = f("b", ["null", "string"], default=None)

ALLOWED = {
    "nothing": (record(f("a", "int")), record(f("a", "int"))),
    "words": (record(f("a", "int", doc="x")), {**record(f("a", "int", doc="y")), "doc": "z"}),
    "optional added": (record(f("a", "int")), record(f("a", "int"), OPTIONAL)),
    "optional removed": (record(f("a", "int"), OPTIONAL), record(f("a", "int"))),
    "default added": (record(f("a", "int")), record(f("a", "int"), f("n", "int", default=0))),
    "order": (record(f("a", "int"), f("b", "string")), record(f("b", "string"), f("a", "int"))),
    "nested optional": (
        record(f("n", record(f("a", "int"), name="n"))),
        record(f("n", record(f("a", "int"), OPTIONAL, name="n"))),
    ),
    "in an array": (
        record(f("n", {"type": "array", "items": record(f("a", "int"), name="n")})),
        record(f("n", {"type": "array", "items": record(f("a", "int"), OPTIONAL, name="n")})),
    ),
    "union order": (record(f("a", ["int", "string"])), record(f("a", ["string", "int"]))),
    "symbol order": (record(f("a", enum("A", "B"))), record(f("a", enum("B", "A")))),
}

REFUSED = {
    "required added": (record(f("a", "int")), record(f("a", "int"), f("b", "string")), "b is new and has no default"),
    "required removed": (record(f("a", "int"), f("b", "string")), record(f("a", "int")), "b was removed"),
    "renamed": (record(f("a", "int")), record(f("z", "int", aliases=["a"])), "a was removed"),
    "promoted": (record(f("a", "int")), record(f("a", "long")), "from int to long"),
    "type": (record(f("a", "string")), record(f("a", DATE)), "from string to int date"),
    "logical type": (record(f("a", "int")), record(f("a", DATE)), "from int to int date"),
    "made optional": (record(f("a", "int")), record(f("a", ["null", "int"], default=None)), "may now be null"),
    "made required": (record(f("a", ["null", "int"], default=None)), record(f("a", "int")), "may no longer be null"),
    "branch": (record(f("a", ["int", "string"])), record(f("a", ["int", "string", "boolean"])), "now takes boolean"),
    "symbol added": (record(f("a", enum("A"))), record(f("a", enum("A", "B"))), "new symbols B"),
    "symbol removed": (record(f("a", enum("A", "B"))), record(f("a", enum("A"))), "lacks the symbols B"),
    "enum renamed": (record(f("a", enum("A"))), record(f("a", enum("A") | {"name": "x"})), "now named x"),
    "record renamed": (record(f("a", "int")), record(f("a", "int"), name="s"), "now named s"),
    "fixed size": (
        record(f("a", {"type": "fixed", "name": "x", "size": 2})),
        record(f("a", {"type": "fixed", "name": "x", "size": 3})),
        "of 2 bytes to fixed of 3 bytes",
    ),
    "scale": (
        record(f("a", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2})),
        record(f("a", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3})),
        "decimal(9, 2)",
    ),
    "inside": (
        record(f("n", record(f("a", "int"), name="n"))),
        record(f("n", record(f("a", "int"), f("b", "int"), name="n"))),
        "n.b is new",
    ),
    "items": (
        record(f("n", {"type": "array", "items": "int"})),
        record(f("n", {"type": "array", "items": "string"})),
        "from int to string",
    ),
    "values": (
        record(f("n", {"type": "map", "values": "int"})),
        record(f("n", {"type": "map", "values": "string"})),
        "from int",
    ),
}


@pytest.mark.parametrize("pair", ALLOWED.values(), ids=ALLOWED)
def test_a_compatible_change_is_allowed_both_ways(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """What may follow may also be taken back."""
    assert incompatibilities(*pair) == []
    assert incompatibilities(*pair[::-1]) == []


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_an_incompatible_change_is_refused_with_its_field(case: tuple[dict[str, Any], dict[str, Any], str]) -> None:
    """The message names the field and what became of it; the way back is refused as well."""
    applied, wanted, says = case
    messages = [message for _, message in incompatibilities(applied, wanted)]

    assert any(says in message for message in messages), messages
    assert incompatibilities(wanted, applied) != []


def draw_type(draw: random.Random, depth: int, names: list[str]) -> Any:
    kind = draw.choice(
        ["int", "long", "string", "boolean", "bytes", "date", "optional", "union", "enum", "record", "array"]
    )
    match kind:
        case "date":
            return dict(DATE)
        case "enum":
            names.append(f"e{len(names)}")
            return {"type": "enum", "name": names[-1], "symbols": draw.sample(["A", "B", "C"], draw.randint(1, 3))}
        case "record" if depth:
            names.append(f"r{len(names)}")
            return draw_record(draw, depth - 1, names, names[-1])
        case "array" if depth:
            return {"type": "array", "items": draw_type(draw, depth - 1, names)}
        case "optional" | "union" | "record" | "array":
            return draw.choice([["null", "string"], ["int", "string"], ["null", "int", "string"]])
    return kind


def draw_record(draw: random.Random, depth: int, names: list[str], name: str) -> dict[str, Any]:
    fields = []
    for number in range(draw.randint(1, 4)):
        kind = draw_type(draw, depth, names)
        fields.append(f(f"f{number}", kind))
        if isinstance(kind, list) and kind[0] == "null":
            fields[-1]["default"] = None
    return record(*fields, name=name)


def _fresh(draw: random.Random) -> str:
    """A name that no field has: two changes may fall into one record."""
    return f"new{draw.randrange(10**9)}"


def mutate(draw: random.Random, schema: dict[str, Any]) -> None:
    """Change *schema* in one random place."""
    fields = schema["fields"]
    place = draw.choice(fields)
    inner = (
        place["type"]["items"]
        if isinstance(place["type"], dict) and place["type"]["type"] == "array"
        else place["type"]
    )
    if isinstance(inner, dict) and inner.get("type") == "record" and draw.random() < 0.7:
        mutate(draw, inner)
        return
    match draw.choice(["add", "add required", "remove", "type", "null", "symbols", "shuffle"]):
        case "add":
            fields.append(f(_fresh(draw), ["null", "string"], default=None))
        case "add required":
            fields.append(f(_fresh(draw), "string"))
        case "remove" if len(fields) > 1:
            fields.remove(place)
        case "type":
            place["type"] = draw.choice(["int", "long", "string", "bytes", dict(DATE)])
            place.pop("default", None)
        case "null":
            if isinstance(place["type"], list) and "null" in place["type"]:
                others = [each for each in place["type"] if each != "null"]
                place["type"] = others[0] if len(others) == 1 else others
                place.pop("default", None)
            elif not isinstance(place["type"], list):
                place["type"], place["default"] = ["null", place["type"]], None
        case "symbols" if isinstance(inner, dict) and inner.get("type") == "enum":
            inner["symbols"] = draw.sample(["A", "B", "C"], draw.randint(1, 3))
        case _:
            draw.shuffle(fields)


def draw_value(draw: random.Random, kind: Any) -> Any:
    if isinstance(kind, list):
        return draw_value(draw, draw.choice(kind))
    name = kind if isinstance(kind, str) else kind["type"]
    match name:
        case "record":
            return {each["name"]: draw_value(draw, each["type"]) for each in kind["fields"]}
        case "array":
            return [draw_value(draw, kind["items"]) for _ in range(draw.randint(1, 2))]
        case "enum":
            return draw.choice(kind["symbols"])
    return {"null": None, "boolean": True, "int": 7, "long": 7, "string": "x", "bytes": b"x"}[name]


def readable(writer: dict[str, Any], reader: dict[str, Any], values: list[Any]) -> bool:
    """Return whether fastavro, with *reader*, reads every one of *values* written under *writer*."""
    for value in values:
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, fastavro.parse_schema(deepcopy(writer)), value)
        buffer.seek(0)
        try:
            fastavro.schemaless_reader(
                buffer, fastavro.parse_schema(deepcopy(writer)), fastavro.parse_schema(deepcopy(reader))
            )
        except (fastavro.read.SchemaResolutionError, SchemaParseException, ValueError, KeyError):
            return False
    return True


def test_what_is_allowed_is_read_by_both_sides(seed: int) -> None:
    """For random changes: an allowed one lets fastavro read either side's records; an unreadable one is refused."""
    draw = random.Random(seed)
    allowed = 0
    for _ in range(400):
        applied = draw_record(draw, 2, [], "top")
        wanted = deepcopy(applied)
        for _ in range(draw.randint(1, 2)):
            mutate(draw, wanted)
        if len({each["name"] for each in wanted["fields"]}) != len(wanted["fields"]):
            continue
        if incompatibilities(applied, wanted):
            continue
        allowed += 1
        for writer, reader in ((applied, wanted), (wanted, applied)):
            values = [draw_value(draw, writer) for _ in range(4)]
            assert readable(writer, reader, values), (writer, reader)
    assert allowed >= 40
