"""What is read of a record besides its slices: its key, and whether its formatted fields are in canonical form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from govbus.codec.reader import Bounds, RecordReader, number_at
from govbus.codec.row_test import EPOCH
from govbus.codec.schemas import AvroType
from govbus.codec.walk import text_start
from govbus.rules.record_key import SEPARATOR_BYTE

KeyOf = Callable[[bytes, Bounds], bytes]
IsCanonical = Callable[[bytes], bool]


def key_function(reader: RecordReader, paths: Sequence[str]) -> KeyOf:
    """Return a function from a record to its key, or to ``b""`` where the key fields cannot make one.

    Text stands as it is, whole numbers in decimal, dates in ISO 8601, enums as their symbol, booleans as true or false.
    Raises KeyError for a path that is not a field and ValueError for a type that cannot be part of a key.
    """
    parts = [_text_function(reader.slot_of(path), reader.slots[reader.slot_of(path)].type) for path in paths]
    if len(parts) == 1:
        # A single text may hold U+001F; whoever compares keys refuses it (`govbus.rules.record_key`).
        return parts[0]

    def key(value: bytes, bounds: Bounds) -> bytes:
        texts = [part(value, bounds) for part in parts]
        joined = SEPARATOR_BYTE.join(texts)
        return joined if all(texts) and joined.count(SEPARATOR_BYTE) == len(texts) - 1 else b""

    return key


def _text_function(slot: int, avro_type: AvroType) -> KeyOf:
    kind = avro_type if isinstance(avro_type, str) else avro_type["type"] if isinstance(avro_type, dict) else "union"
    end = slot + 1
    match kind:
        case "string":
            return lambda value, bounds: (
                value[bounds[slot] + 1 : bounds[end]]
                if value[bounds[slot]] < 0x80
                else value[text_start(value, bounds[slot]) : bounds[end]]
            )
        case "int" if isinstance(avro_type, dict) and avro_type.get("logicalType") == "date":
            return lambda value, bounds: _iso(number_at(value, bounds[slot]))
        case "int" | "long":
            return lambda value, bounds: b"%d" % number_at(value, bounds[slot])
        case "enum":
            symbols = [symbol.encode() for symbol in avro_type["symbols"]]
            return lambda value, bounds: symbols[number_at(value, bounds[slot])]
        case "boolean":
            return lambda value, bounds: b"true" if value[bounds[slot]] else b"false"
    raise ValueError(f"a field of type {kind} cannot be part of a key")


def _iso(days: int) -> bytes:
    try:
        return (EPOCH + timedelta(days=days)).isoformat().encode()
    except OverflowError:
        return b""


def format_check(reader: RecordReader, tests: Mapping[str, IsCanonical]) -> Callable[[bytes, Bounds], str | None]:
    """Return a function from a record to the first path whose text fails its test, or None where all are canonical.

    *tests* maps paths of text fields (optional ones too; null passes) to a test of the UTF-8 bytes.
    """
    checks = [
        (path, reader.slot_of(path), isinstance(reader.slots[reader.slot_of(path)].type, list), test)
        for path, test in tests.items()
        if path in reader.spans
    ]

    def failing(value: bytes, bounds: Bounds) -> str | None:
        for path, slot, optional, test in checks:
            start, end = bounds[slot], bounds[slot + 1]
            if optional:
                start += 1
                if start == end:
                    continue
            if not test(value[start + 1 : end] if value[start] < 0x80 else value[text_start(value, start) : end]):
                return path
        return None

    return failing
