"""What the bus accepts is what the strict oracle accepts, byte for byte, and nothing else happens to bad bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from oracle import avro, generate

from govbus.codec.framing import header
from govbus.codec.reader import RecordReader
from govbus.codec.schemas import record_schema
from govbus.codec.walk import Malformed

FRAME = header(7)


def drawn_reader(rng: Random) -> tuple[dict[str, Any], avro.Record, RecordReader]:
    schema = record_schema(generate.Schemas(rng, recursive=True).record()[0])
    kind = avro.parse(schema)
    assert isinstance(kind, avro.Record)
    return schema, kind, RecordReader(schema)


def check(schema: dict[str, Any], kind: avro.Record, reader: RecordReader, data: bytes) -> str:
    """Compare reader and oracle over *data*; return what the oracle made of it."""
    try:
        value, is_canonical = avro.decode(kind, data)
    except avro.Malformed:
        with pytest.raises(Malformed):
            reader.read(FRAME + data)
        return "malformed"
    try:
        accepted, bounds = reader.read(FRAME + data)
    except Malformed as refused:
        raise AssertionError(f"the oracle accepts {data!r} of {json.dumps(schema)}") from refused
    expected = FRAME + avro.encode(kind, value)
    assert accepted == expected, f"{data!r} of {json.dumps(schema)}"
    assert (accepted == FRAME + data) is is_canonical
    for each, (start, end) in zip(kind.fields, avro.extents(kind, expected[len(FRAME) :]), strict=True):
        first, last = reader.spans[each.name]
        assert (bounds[first], bounds[last]) == (start + len(FRAME), end + len(FRAME)), f"{each.name} of {data!r}"
    return "canonical" if is_canonical else "laid out anew"


def test_the_bus_accepts_what_the_oracle_accepts(seed: int, cases: Callable[[int], int]) -> None:
    """Random values, canonical, in other block layouts and spoilt in every known way: same answer, same bytes."""
    tally: Counter[str] = Counter()
    for number in range(cases(1_200)):
        rng = Random(f"{seed}/accept/{number}")
        schema, kind, reader = drawn_reader(rng)
        values = generate.Values(rng, wild=True)
        for _ in range(2):
            value = values.of(kind)
            canonical = list(generate.tokens(kind, value))
            blocked = list(generate.tokens(kind, value, rng))
            assert check(schema, kind, reader, generate.joined(canonical)) == "canonical"
            tally[check(schema, kind, reader, generate.joined(blocked))] += 1
            for fault in generate.FAULTS:
                spoilt = fault.spoil(rng.choice([canonical, blocked]), rng)
                if spoilt is not None:
                    tally[f"{fault.name}: {check(schema, kind, reader, spoilt)}"] += 1
            for _ in range(6):
                tally[check(schema, kind, reader, generate.anyhow_spoilt(generate.joined(blocked), rng))] += 1
    assert min(tally["canonical"], tally["laid out anew"], tally["malformed"]) > 0
    for fault in generate.FAULTS:
        assert tally[f"{fault.name}: malformed"] > 0, f"no record was refused for {fault.name}"


def test_faults_that_are_never_valid_are_never_accepted(seed: int, cases: Callable[[int], int]) -> None:
    """Overlong and oversized numbers, bad branches, bad booleans and text that is not UTF-8 are refused every time."""
    always = {
        "overlong varint",
        "number of more than 64 bits",
        "int of more than 32 bits",
        "no such branch",
        "no such symbol",
        "boolean of 2",
        "negative length",
        "huge length",
        "invalid UTF-8",
    }
    faults = [fault for fault in generate.FAULTS if fault.name in always]
    assert len(faults) == len(always)
    for number in range(cases(1_000)):
        rng = Random(f"{seed}/never/{number}")
        schema, kind, reader = drawn_reader(rng)
        pieces = list(generate.tokens(kind, generate.Values(rng).of(kind)))
        for fault in faults:
            spoilt = fault.spoil(pieces, rng)
            if spoilt is not None:
                assert check(schema, kind, reader, spoilt) == "malformed", f"{fault.name}: {spoilt!r}"


def test_every_prefix_and_every_longer_value_is_malformed(seed: int, cases: Callable[[int], int]) -> None:
    """A record cut off at any byte, or followed by any byte, is malformed."""
    for number in range(cases(200)):
        rng = Random(f"{seed}/cut/{number}")
        _, kind, reader = drawn_reader(rng)
        data = FRAME + avro.encode(kind, generate.Values(rng).of(kind))
        ends = range(len(FRAME), len(data))
        for end in rng.sample(ends, min(len(ends), 100)):
            with pytest.raises(Malformed):
                reader.read(data[:end])
        for byte in (b"\x00", b"\x01", b"\x80", b"a"):
            with pytest.raises(Malformed):
                reader.read(data + byte)


def test_random_bytes_never_raise_anything_else(seed: int, cases: Callable[[int], int]) -> None:
    """Bytes that were never a record are refused as malformed or read as the oracle reads them."""
    for number in range(cases(3_000)):
        rng = Random(f"{seed}/noise/{number}")
        schema, kind, reader = drawn_reader(rng)
        for _ in range(10):
            check(schema, kind, reader, rng.randbytes(rng.choice([0, 1, 3, 10, 40, 200])))
            check(
                schema, kind, reader, bytes(rng.choices(b"\x00\x00\x00\x01\x02\x03\x04\x80\xff", k=rng.randint(0, 40)))
            )
