"""Bound fields as values: what a slice of a record says, for whoever compares it with another."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, cast

import fastavro

from govbus.codec.row_test import EPOCH
from govbus.codec.schemas import AvroType, plain
from govbus.codec.walk import read_long, text_start, write_long
from govbus.rules.comparison import Value

Decode = Callable[[bytes], Value]


def present_type(avro_type: AvroType) -> tuple[AvroType, bool]:
    """Return a resolved type without its null branch, and whether it had one."""
    resolved = plain(avro_type)
    if not isinstance(resolved, list):
        return resolved, False
    return plain(next(branch for branch in resolved if branch != "null")), "null" in resolved


def decoder(avro_type: AvroType) -> Decode:
    """Return a function from the encoding of one value of *avro_type* (no union) to the value it stands for."""
    kind = avro_type if isinstance(avro_type, str) else avro_type["type"]
    logical = None if isinstance(avro_type, str) else avro_type.get("logicalType")
    if kind == "string":
        return text_of
    if kind == "int" and logical == "date":
        return _date
    if kind in ("int", "long") and logical is None:
        return lambda encoded: read_long(encoded, 0)[0]
    parsed = fastavro.parse_schema(avro_type)

    def decode(encoded: bytes) -> Value:
        return _plain_value(fastavro.schemaless_reader(io.BytesIO(encoded), parsed, None))

    return decode


def text_of(encoded: bytes) -> str:
    """Return the text of an encoded string."""
    return encoded[text_start(encoded, 0) :].decode()


def encoded_text(text: str) -> bytes:
    """Return *text* as an Avro string."""
    encoded = text.encode()
    return write_long(len(encoded)) + encoded


def shown(value: Value) -> str:
    """Return *value* as a text that a person reads: dates in ISO 8601, numbers in decimal, sets with commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(shown(cast(Value, part)) for part in value)
    return "" if value is None else str(value)


def _date(encoded: bytes) -> Value:
    days = read_long(encoded, 0)[0]
    try:
        return date.fromordinal(EPOCH.toordinal() + days)
    except (ValueError, OverflowError):
        # Outside the years 1 to 9999: no calendar day, so no date either; a comparator calls it invalid.
        return days


def _plain_value(value: Any) -> Value:
    if isinstance(value, list):
        return tuple(_plain_value(part) for part in value)
    if isinstance(value, datetime | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, str | int | float | Decimal | date):
        return value
    return str(value)
