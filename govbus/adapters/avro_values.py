"""Avro encodings of single values: numbers, texts, bytes, and arrays and maps of them.

Every converter takes a value as sources have it (text, or what JSON, psycopg or a program gives) and raises ValueError
with a reason that never contains the value. The bytes are canonical: shortest varints, one block per array or map, maps
sorted by key.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

Converter = Callable[[Any], bytes]

_TRUE = frozenset({"true", "t", "1", "y", "yes", "是"})
_FALSE = frozenset({"false", "f", "0", "n", "no", "否"})


def varint(number: int) -> bytes:
    """Return the Avro encoding of an int or long: zigzag, then base 128 with the lowest digits first."""
    rest = (number << 1) ^ (number >> 63)
    if rest < 0x80:
        return bytes((rest,))
    out = bytearray()
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


LENGTHS = tuple(varint(length) for length in range(1024))


def sized(data: bytes) -> bytes:
    """Return the Avro encoding of a string's UTF-8 bytes, or of bytes: the length, then the bytes."""
    length = len(data)
    return (LENGTHS[length] if length < 1024 else varint(length)) + data


def utf8(text: str) -> bytes:
    """Return *text* in NFC as UTF-8. Raises ValueError for what is no text: U+0000, U+FFFD, undecodable bytes."""
    if not text.isascii():
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
        if "\ufffd" in text:
            raise ValueError("the text was damaged by a wrong encoding (it holds U+FFFD)")
    if "\0" in text:
        raise ValueError("the text holds U+0000")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("not text in the declared encoding") from None


def text_of(value: object) -> str:
    """Return the text of *value*: of a str without blanks around it, of an int its decimals, of a UUID its hex form."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, (UUID, date)) and not isinstance(value, datetime):
        return str(value)
    raise ValueError(f"text is needed, not {type(value).__name__}")


def integer(value: object) -> int:
    if isinstance(value, str):
        text = value.strip()
        digits = text[1:] if text[:1] in ("-", "+") else text
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
            raise ValueError("not a whole number")
        return int(text)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 20:
        if value != value.to_integral_value():
            raise ValueError("not a whole number")
        return int(value)
    raise ValueError(f"a whole number is needed, not {type(value).__name__}")


def _decimal_of(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError(f"a decimal is needed, as text or Decimal, not {type(value).__name__}")
    try:
        number = Decimal(value.strip() if isinstance(value, str) else value)
    except InvalidOperation:
        raise ValueError("not a decimal number") from None
    if not number.is_finite():
        raise ValueError("not a finite number")
    return number


def real(value: object) -> float:
    if isinstance(value, float):
        number = value
    elif isinstance(value, str) and value.strip().isascii() and "_" not in value:
        try:
            number = float(value)
        except ValueError:
            raise ValueError("not a number") from None
    else:
        number = float(_decimal_of(value))
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def float_bytes(value: object) -> bytes:
    try:
        return struct.pack("<f", real(value))
    except OverflowError:
        raise ValueError("the number is too large for a float") from None


def boolean(value: object) -> bytes:
    if isinstance(value, bool):
        return b"\x01" if value else b"\x00"
    word = value.strip().lower() if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    if word in _TRUE:
        return b"\x01"
    if word in _FALSE:
        return b"\x00"
    raise ValueError("not yes or no: true, false, 1, 0, 是, 否")


def binary(value: object) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        try:
            if value.startswith("\\x"):  # as Postgres writes bytea
                return bytes.fromhex(value[2:])
            return base64.b64decode(value.strip(), validate=True)
        except (ValueError, binascii.Error):
            raise ValueError("not bytes in base64") from None
    raise ValueError(f"bytes are needed, as base64, not {type(value).__name__}")


def _decimal(schema: Mapping[str, Any]) -> Callable[[Any], int]:
    """Return the function from a value to the unscaled number of this decimal type."""
    scale, precision = int(schema.get("scale", 0)), int(schema["precision"])

    def unscaled(value: Any) -> int:
        number = _decimal_of(value)
        if number and number.adjusted() + scale >= precision:
            raise ValueError(f"more than {precision} digits")
        sign, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        whole, shift = int("".join(map(str, digits))), exponent + scale
        if shift >= 0:
            whole *= 10**shift if whole else 1
        elif whole % 10 ** min(-shift, len(digits)):
            raise ValueError(f"more than {scale} decimal places")
        else:
            whole //= 10 ** min(-shift, len(digits))
        return -whole if sign else whole

    return unscaled


def decimal_bytes(schema: Mapping[str, Any]) -> Converter:
    unscaled = _decimal(schema)

    def convert(value: Any) -> bytes:
        whole = unscaled(value)
        return sized(whole.to_bytes((whole + (whole < 0)).bit_length() // 8 + 1, "big", signed=True))

    return convert


def decimal_fixed(schema: Mapping[str, Any]) -> Converter:
    unscaled, size = _decimal(schema), int(schema["size"])
    return lambda value: unscaled(value).to_bytes(size, "big", signed=True)


def clock(unit: int) -> Converter:
    def convert(value: Any) -> bytes:
        try:
            clock = time.fromisoformat(value.strip()) if isinstance(value, str) else value
        except ValueError:
            raise ValueError("not a time of day: HH:MM:SS") from None
        if not isinstance(clock, time):
            raise ValueError(f"a time of day is needed, not {type(value).__name__}")
        seconds = clock.hour * 3600 + clock.minute * 60 + clock.second
        return varint((seconds * 1_000_000 + clock.microsecond) // unit)

    return convert


def uuid_text(value: object) -> bytes:
    try:
        return sized(str(UUID(text_of(value))).encode())
    except ValueError:
        raise ValueError("not a UUID") from None


def enum(symbols: Sequence[str]) -> Converter:
    places = {symbol: varint(place) for place, symbol in enumerate(symbols)}

    def convert(value: Any) -> bytes:
        text = text_of(value)
        found = places.get(text) or places.get(unicodedata.normalize("NFKC", text))
        if found is None:
            raise ValueError("not one of the symbols of the enumeration")
        return found

    return convert


def fixed(size: int) -> Converter:
    def convert(value: Any) -> bytes:
        data = binary(value)
        if len(data) != size:
            raise ValueError(f"not {size} bytes")
        return data

    return convert


def array(item: Converter) -> Converter:
    def convert(value: Any) -> bytes:
        if not isinstance(value, (list, tuple)):
            raise ValueError("an array is needed")
        if not value:
            return b"\x00"
        return varint(len(value)) + b"".join(map(item, value)) + b"\x00"

    return convert


def map_of(item: Converter) -> Converter:
    def convert(value: Any) -> bytes:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError("a map with texts as keys is needed")
        if not value:
            return b"\x00"
        entries = (sized(utf8(key)) + item(value[key]) for key in sorted(value))
        return varint(len(value)) + b"".join(entries) + b"\x00"

    return convert
