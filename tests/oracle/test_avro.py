"""The oracle's own Avro: the specification's examples, and fastavro's word where fastavro can be trusted."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import fastavro
import pytest

from oracle import avro, generate
from oracle.avro import Bits, Branch, Malformed


@pytest.mark.parametrize(
    ("schema", "data", "value"),
    [
        # Avro 1.12, "Binary Encoding", its own table of ints and its own examples.
        ("long", "00", 0),
        ("long", "01", -1),
        ("long", "02", 1),
        ("long", "03", -2),
        ("long", "04", 2),
        ("long", "7f", -64),
        ("long", "8001", 64),
        ("long", "feffffffffffffffff01", 2**63 - 1),
        ("long", "ffffffffffffffffff01", -(2**63)),
        ("int", "feffffff0f", 2**31 - 1),
        ("int", "ffffffff0f", -(2**31)),
        ("string", "06666f6f", "foo"),
        ("boolean", "01", True),
        ("null", "", None),
        ("float", "0000c03f", Bits(b"\x00\x00\xc0\x3f")),
        ({"type": "array", "items": "long"}, "04063600", [3, 27]),
        ({"type": "array", "items": "long"}, "00", []),
        (["null", "string"], "00", Branch(0, None)),
        (["null", "string"], "020261", Branch(1, "a")),
        ({"type": "map", "values": "long"}, "0202610200", [("a", 1)]),
        ({"type": "enum", "name": "E", "symbols": ["A", "B", "C", "D"]}, "06", "D"),
        ({"type": "fixed", "name": "F", "size": 2}, "ffff", b"\xff\xff"),
    ],
)
def test_the_specifications_examples(schema: Any, data: str, value: object) -> None:
    """A value is read from its bytes and written back to them."""
    kind = avro.parse(schema)
    assert avro.decode(kind, bytes.fromhex(data)) == (value, True)
    assert avro.encode(kind, value) == bytes.fromhex(data)


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ("long", ""),
        ("long", "80"),
        ("long", "8000"),
        ("long", "808000"),
        ("long", "ffffffffffffffffff02"),
        ("long", "8080808080808080808001"),
        ("int", "8080808010"),
        ("boolean", "02"),
        ("boolean", "ff"),
        ("string", "01"),
        ("string", "0266"[:2]),
        ("string", "02ff"),
        ("string", "06eda080"),
        ("string", "04c080"),
        ("bytes", "04ff"),
        ("float", "000000"),
        ("null", "00"),
        (["null", "string"], "01"),
        (["null", "string"], "04"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "02"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "01"),
        ({"type": "array", "items": "long"}, "0202"),
        ({"type": "array", "items": "long"}, "01040200"),
        ({"type": "array", "items": "long"}, "01000200"),
        ({"type": "array", "items": "long"}, "0101020000"),
        ({"type": "array", "items": "null"}, "feffffffffffffffff0100"),
        ({"type": "array", "items": "null"}, "ffffffffffffffffff010000"),
    ],
)
def test_what_is_malformed(schema: Any, data: str) -> None:
    """Overlong, out of range, cut off, negative, not UTF-8, wrong sizes, endless nothing: all refused."""
    with pytest.raises(Malformed):
        avro.decode(avro.parse(schema), bytes.fromhex(data))


@pytest.mark.parametrize(
    ("data", "canonical"), [("04063600", True), ("020602360000"[:8] + "00", False), ("0304063600", False)]
)
def test_blocks_are_valid_in_several_layouts(data: str, canonical: bool) -> None:
    """Several blocks and blocks with their size are valid and not canonical."""
    kind = avro.parse({"type": "array", "items": "long"})
    assert avro.decode(kind, bytes.fromhex(data)) == ([3, 27], canonical)


def test_every_layout_of_a_value_is_read_as_that_value(seed: int) -> None:
    """Random blocks change nothing about the value, and only they are not canonical."""
    layouts = set()
    for number in range(300):
        rng = Random(f"{seed}/layout/{number}")
        kind = avro.parse(generate.Schemas(rng, recursive=True).record()[0])
        value = generate.Values(rng, wild=True).of(kind)
        canonical = avro.encode(kind, value)
        assert generate.joined(list(generate.tokens(kind, value))) == canonical
        other = generate.joined(list(generate.tokens(kind, value, rng)))
        assert avro.decode(kind, other) == (value, other == canonical)
        layouts.add(other == canonical)
    assert layouts == {True, False}


def test_fastavro_reads_canonical_bytes_alike(seed: int) -> None:
    """On canonical bytes fastavro and the oracle read the same values, logical types included."""
    for number in range(400):
        rng = Random(f"{seed}/fastavro/{number}")
        schema = generate.Schemas(rng).record()[0]
        kind = avro.parse(schema)
        parsed = fastavro.parse_schema(json.loads(json.dumps(schema)), _force=True)
        value = generate.Values(rng).of(kind)
        read = fastavro.schemaless_reader(io.BytesIO(avro.encode(kind, value)), parsed, None)
        assert repr(read) == repr(avro.plain(kind, value)), json.dumps(schema)


def test_fastavro_writes_the_canonical_layout(seed: int) -> None:
    """fastavro lays arrays and maps out as the oracle does: one block with a positive count, or only the zero."""
    for number in range(300):
        rng = Random(f"{seed}/writer/{number}")
        item = rng.choice(["long", "string", {"type": "array", "items": "long"}, {"type": "map", "values": "string"}])
        schema = rng.choice([{"type": "array", "items": item}, {"type": "map", "values": item}])
        kind = avro.parse(schema)
        value = generate.Values(rng).of(kind)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), avro.plain(kind, value))
        assert out.getvalue() == avro.encode(kind, value)


@pytest.mark.parametrize(
    ("schema", "value", "plain"),
    [
        ({"type": "int", "logicalType": "date"}, 0, date(1970, 1, 1)),
        ({"type": "int", "logicalType": "date"}, -719162, date(1, 1, 1)),
        ({"type": "int", "logicalType": "date"}, 2932897, 2932897),
        ({"type": "long", "logicalType": "timestamp-micros"}, 1, datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ({"type": "long", "logicalType": "timestamp-micros"}, 2**63 - 1, 2**63 - 1),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, b"\xff\x85", Decimal("-1.23")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, b"", Decimal("0.00")),
        ({"type": "string", "logicalType": "uuid"}, "0" * 31 + "1", UUID(int=1)),
        ({"type": "string", "logicalType": "uuid"}, "no uuid", "no uuid"),
        (["null", "long"], Branch(1, 7), 7),
    ],
)
def test_what_a_value_means(schema: Any, value: object, plain: object) -> None:
    """Logical types are opened; what Python cannot hold stays the number or text it was."""
    assert avro.plain(avro.parse(schema), value) == plain


def test_a_newer_schema_reads_what_fastavro_resolves(seed: int) -> None:
    """Schema resolution agrees with fastavro's for optional and defaulted fields that come, go and change places.

    Unions of several branches are left out: fastavro may promote an int to a double that stands before it.
    """
    compared = 0
    for number in range(300):
        rng = Random(f"{seed}/resolve/{number}")
        older = generate.Schemas(rng, unions=False).record()[0]
        newer = generate.evolved(older, rng)
        if '"\\u00ff' in json.dumps(newer):
            continue  # fastavro leaves the default of a bytes field as text
        kind, newest = avro.parse(older), avro.parse(newer)
        value = generate.Values(rng).of(kind)
        read = fastavro.schemaless_reader(
            io.BytesIO(avro.encode(kind, value)),
            fastavro.parse_schema(json.loads(json.dumps(older)), _force=True),
            fastavro.parse_schema(json.loads(json.dumps(newer)), _force=True),
        )
        wanted = avro.plain(newest, avro.resolve(kind, newest, value))
        compared += 1
        assert _comparable(read) == _comparable(wanted), json.dumps([older, newer])
    assert compared > 100


def _comparable(value: Any) -> str:
    """NaNs equal, fields in any order; fastavro leaves the default of a date as its number."""
    if isinstance(value, dict):
        return repr({name: _comparable(value[name]) for name in sorted(value)})
    if isinstance(value, list):
        return repr([_comparable(each) for each in value])
    return "20000" if value == date(2024, 10, 4) else repr(value)
