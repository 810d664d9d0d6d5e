"""The record reader by example: boundaries by path, canonical form, and every kind of bad bytes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from govbus.codec.framing import HEADER_BYTES, header, schema_id_of
from govbus.codec.reader import RecordReader
from govbus.codec.walk import Malformed, read_long, write_long

FRAME = header(7)


def record(*fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "r",
        "fields": [{"name": f"f{number}", "type": each} for number, each in enumerate(fields)],
    }


def read(schema: dict[str, Any], data: str) -> tuple[bytes, tuple[int, ...]]:
    return RecordReader(schema).read(FRAME + bytes.fromhex(data))


LONGS = {"type": "array", "items": "long"}
ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}
WIDE_ENUM = {"type": "enum", "name": "W", "symbols": [f"S{number}" for number in range(65)]}
WIDE_UNION: list[Any] = ["null", *({"type": "fixed", "name": f"F{number}", "size": 1} for number in range(64))]
CHAIN = {"type": "record", "name": "C", "fields": [{"name": "next", "type": ["null", "C"]}]}


def test_the_frame_carries_the_schema_id() -> None:
    """Byte 0, then the id in four bytes, big endian; anything else has no id."""
    assert header(258) == b"\x00\x00\x00\x01\x02"
    assert schema_id_of(header(258) + b"x") == 258
    assert schema_id_of(header(2**32 - 1)) == 2**32 - 1
    assert len(header(1)) == HEADER_BYTES
    for value in (b"", b"\x00\x00\x00\x01", b"\x01\x00\x00\x00\x01"):
        assert schema_id_of(value) is None


@pytest.mark.parametrize(
    "number", [0, -1, 1, 63, 64, -64, -65, 2**31 - 1, -(2**31), 2**62, 2**63 - 1, -(2**63), 1_700_000_000_000_000]
)
def test_numbers_are_written_shortest_and_read_back(number: int) -> None:
    """`read_long` reads what `write_long` writes and says where it ends."""
    data = write_long(number)
    assert read_long(b"x" + data + b"x", 1) == (number, 1 + len(data))
    bits = 1 + max(number, -number - 1).bit_length()
    assert len(data) == -(-bits // 7)


def test_boundaries_reach_into_nested_records() -> None:
    """A nested record's fields have boundaries of their own, and the record spans them all."""
    inner = {"type": "record", "name": "I", "fields": [{"name": "a", "type": "string"}, {"name": "b", "type": "long"}]}
    reader = RecordReader(record("long", inner, "boolean"))
    value = FRAME + bytes.fromhex("02" + "046162" + "04" + "01")
    canonical, bounds = reader.read(value)
    assert canonical is value
    assert [slot.path for slot in reader.slots] == ["f0", "f1.a", "f1.b", "f2"]
    assert reader.spans["f1"] == (1, 3)
    assert bounds == (5, 6, 9, 10, 11)
    assert value[bounds[1] : bounds[2]] == b"\x04ab"


def test_a_record_type_used_twice_has_boundaries_twice() -> None:
    """A named type is defined once and sliced wherever it is used."""
    inner = {"type": "record", "name": "I", "fields": [{"name": "a", "type": "string"}]}
    reader = RecordReader(record(inner, "I"))
    assert [slot.path for slot in reader.slots] == ["f0.a", "f1.a"]
    assert reader.read(FRAME + b"\x02x\x02y")[1] == (5, 7, 9)


@pytest.mark.parametrize(
    ("layout", "what"),
    [
        ("04063600", "one block"),
        ("0206023600", "two blocks"),
        ("0304063600", "a block with its size"),
        ("01020601023600", "two blocks with their sizes"),
        ("010206023600", "a block with its size, then one without"),
    ],
)
def test_every_valid_layout_becomes_the_canonical_one(layout: str, what: str) -> None:
    """Arrays in blocks, with or without sizes, are laid out anew as one block of positive count."""
    value, bounds = read(record(LONGS, "boolean"), layout + "01")
    assert value == FRAME + bytes.fromhex("0406360001"), what
    assert bounds == (5, 9, 10)


def test_maps_keep_their_order() -> None:
    """Map entries stay as they were sent, also a key that comes twice."""
    kind = {"type": "map", "values": "long"}
    value, _ = read(record(kind), "02026202" + "02026104" + "02026206" + "00")
    assert value == FRAME + bytes.fromhex("06" + "026202" + "026104" + "026206" + "00")


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (record("long"), ""),
        (record("long"), "80"),
        (record("long"), "8000"),
        (record("long"), "80808080808080808000"),
        (record("long"), "ffffffffffffffffff02"),
        (record("long"), "ffffffffffffffffffff01"),
        (record("long"), "ff" * 2000),
        (record("long"), "0000"),
        (record("int"), "8080808010"),
        (record("int"), "ffffffffffffffffff01"),
        (record("int"), "8000"),
        (record("int"), "808000"),
        (record("int"), "80808000"),
        (record("boolean"), "02"),
        (record("boolean"), "80"),
        (record("string"), "01"),
        (record("string"), "02"),
        (record("string"), "02ff"),
        (record("string"), "06eda080"),
        (record("string"), "8001" + "61" * 63),
        (record("string"), "808080808080808080" + "01"),
        (record("string", "string"), "02e504bca0"),
        (record("string", "boolean", "string"), "02c3" + "01" + "02a9"),
        (record("string", "long", "string"), "02ff0000"),
        (record("bytes"), "04ff"),
        (record("bytes"), "01"),
        (record("bytes"), "ffffffffffffffffff01"),
        (record("float"), "000000"),
        (record("double", "null"), "00000000000000"),
        (record({"type": "fixed", "name": "F", "size": 4}), "000000"),
        (record(ENUM), "06"),
        (record(ENUM), "01"),
        (record(ENUM), "8000"),
        (record(WIDE_ENUM), "8201"),
        (record(["null", "string"]), "01"),
        (record(["null", "string"]), "04"),
        (record(["null", "string"]), "8000"),
        (record(["null", "string"]), "02"),
        (record(WIDE_UNION), "8201"),
        (record(WIDE_UNION), "7f"),
        (record(LONGS), "0202"),
        (record(LONGS), "02"),
        (record(LONGS), "01040200"),
        (record(LONGS), "01000200"),
        (record(LONGS), "01010200"),
        (record(LONGS), "01ffffffffffffffffff010200"),
        (record(LONGS), "feffffffffffffffff01"),
        (record(LONGS), "ffffffffffffffffff010200"),
        (record(LONGS), "800002000000"),
        (record({"type": "map", "values": "long"}), "0202ff0200"),
        (record({"type": "map", "values": "long"}), "02010200"),
        (record({"type": "array", "items": "null"}), "feffffffffffffffff0100"),
        (record({"type": "array", "items": "null"}), "ffffffffffffffffff010000"),
    ],
)
def test_bad_bytes_are_malformed(schema: dict[str, Any], data: str) -> None:
    """Whatever is not strict Avro to its exact end is refused, and refused as such."""
    with pytest.raises(Malformed):
        read(schema, data)


def test_a_refusal_tells_no_value() -> None:
    """The text of a refusal never carries what stood in the record."""
    with pytest.raises(Malformed) as refused:
        RecordReader(record("string", "boolean")).read(FRAME + "\x12张伟890301".encode() + b"\x07")
    told = f"{refused.value!r} {refused.value}"
    assert "张伟" not in told
    assert "890301" not in told


def test_endless_nesting_is_refused() -> None:
    """A record that contains itself thousands of times is malformed; a few times it is read."""
    reader = RecordReader(record(["null", CHAIN]))
    assert reader.read(FRAME + b"\x02" * 20 + b"\x00")[1][-1] == len(FRAME) + 21
    for depth in (1_000, 100_000):
        with pytest.raises(Malformed):
            reader.read(FRAME + b"\x02" * depth + b"\x00")


def test_items_of_no_bytes_are_bounded_in_a_record_as_a_whole() -> None:
    """A small record cannot keep the bus counting: empty items are few, however many arrays claim them."""
    reader = RecordReader(record({"type": "array", "items": {"type": "array", "items": "null"}}))
    few = write_long(100) + b"\x00"
    assert reader.read(FRAME + write_long(3) + few * 3 + b"\x00")
    many = write_long(9_000) + b"\x00"
    started = time.monotonic()
    with pytest.raises(Malformed):
        reader.read(FRAME + write_long(10_000) + many * 10_000 + b"\x00")
    assert time.monotonic() - started < 2
