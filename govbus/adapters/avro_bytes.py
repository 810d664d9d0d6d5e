"""Avro encodings of checked values: for every type of a schema the function from a source's value to its bytes.

A record's encoding is its fields' encodings one after another, so the publisher encodes field by field: a bad value is
found with its field's name, and the encodings of codes, dates and divisions, which repeat, are made once and looked up.
The bytes are canonical (shortest varints, one block per array or map, maps sorted by key) and equal what fastavro
writes of the same values; the tests hold that.

Every converter takes a value as sources have it (text, or what JSON, psycopg or a program gives) and raises ValueError
with a reason that never contains the value.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from govbus.catalogue.model import FieldEntry
from govbus.errors import SettingsError
from govbus.rules.dates import EPOCH_DAY, day_reader, instant_reader, micros_of
from govbus.rules.formats import FORMATS

Converter = Callable[[Any], bytes]

_INT = (-(2**31), 2**31 - 1)
_LONG = (-(2**63), 2**63 - 1)
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


_LENGTHS = tuple(varint(length) for length in range(1024))


def sized(data: bytes) -> bytes:
    """Return the Avro encoding of a string's UTF-8 bytes, or of bytes: the length, then the bytes."""
    length = len(data)
    return (_LENGTHS[length] if length < 1024 else varint(length)) + data


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


@dataclass(frozen=True)
class Encoding:
    """What conversion depends on besides the schema. `code_lists` and `entries` are those of the catalogue.

    `nulls` are the texts that mean "no value"; `texts` says that every value is text (CSV, database columns read as
    text), so that arrays, maps and nested records stand in a column as JSON. `lost_digits` refuses ids that end in 000:
    the source is known to have passed through a spreadsheet, which keeps 15 digits, and one such id in eleven still has
    a right check digit, that of another person.
    """

    entries: Mapping[str, FieldEntry]
    code_lists: Mapping[str, Mapping[str, str]]
    dates: Sequence[str] = ()
    nulls: frozenset[str] = frozenset()
    texts: bool = False
    lost_digits: bool = False
    named: dict[str, Converter] = field(default_factory=dict)

    def converter(self, schema: Any, path: str) -> Converter:
        """Return the function from a value of the field at *path* to its bytes.

        *schema* is as fastavro parses it: names in full. Raises SettingsError for a type that no source can fill.
        """
        if (fused := self._fused(schema, path)) is not None:
            return fused
        if isinstance(schema, list):
            return self._union(schema, path)
        inner = self._plain(schema, path)
        nulls = self.nulls

        def required(value: Any) -> bytes:
            if value is None or (isinstance(value, str) and value.strip() in nulls):
                raise ValueError("a value is required")
            return inner(value)

        return required

    def _fused(self, schema: Any, path: str) -> Converter | None:
        """Return one function for a text that may be null, which most fields are; None for any other type.

        It does what `converter` would put together of several, in a third of the time.
        """
        null_bytes, prefix = None, b""
        if isinstance(schema, list) and len(schema) == 2 and "null" in schema:
            null = schema.index("null")
            null_bytes, prefix = varint(null), varint(1 - null)
            schema = schema[1 - null]
        entry = self.entries.get(path)
        if schema not in ("string", {"type": "string"}) or (entry is not None and entry.codes is not None):
            return None
        slow = self._string(path)
        nulls, lengths = self.nulls, tuple(prefix + length for length in _LENGTHS)
        plain = entry is None or entry.format is None
        is_canonical: Callable[[bytes], bool] | None = None
        if entry is not None and entry.format is not None and not self.lost_digits:
            is_canonical = FORMATS[entry.format].is_canonical

        def convert(value: Any) -> bytes:
            if type(value) is str:
                text = value.strip()
                if text in nulls:
                    value = None
                elif plain:
                    data = text.encode() if text.isascii() and "\0" not in text else utf8(text)
                    length = len(data)
                    return (lengths[length] if length < 1024 else prefix + varint(length)) + data
                elif is_canonical is not None and text.isascii():
                    data = text.encode()
                    if is_canonical(data):
                        return lengths[len(data)] + data
            if value is None:
                if null_bytes is None:
                    raise ValueError("a value is required")
                return null_bytes
            return prefix + slow(value)

        return convert

    def _union(self, branches: list[Any], path: str) -> Converter:
        nulls = self.nulls
        null = branches.index("null") if "null" in branches else None
        others = [
            (varint(index), self._plain(branch, path)) for index, branch in enumerate(branches) if branch != "null"
        ]
        null_bytes = None if null is None else varint(null)

        def convert(value: Any) -> bytes:
            if value is None or (isinstance(value, str) and value.strip() in nulls):
                if null_bytes is None:
                    raise ValueError("a value is required")
                return null_bytes
            for index, inner in others[:-1]:
                try:
                    return index + inner(value)
                except ValueError:
                    continue
            index, inner = others[-1]
            return index + inner(value)

        return convert

    def _plain(self, schema: Any, path: str) -> Converter:
        if isinstance(schema, str):
            schema = {"type": schema}
        kind = schema["type"]
        if isinstance(kind, (dict, list)):
            return self.converter(kind, path)
        logical = schema.get("logicalType")
        if (make := _LOGICAL.get((kind, logical))) is not None:
            return make(self, schema)
        if (make := _PRIMITIVE.get(kind)) is not None:
            return self._coded(make(self, schema), path) if kind in ("int", "long") else make(self, schema)
        match kind:
            case "string":
                return self._string(path)
            case "enum":
                return self._named(schema, _enum(schema["symbols"]))
            case "fixed":
                return self._named(schema, _fixed(schema["size"]))
            case "array":
                return self._json(_array(self.converter(schema["items"], path)))
            case "map":
                return self._json(_map(self.converter(schema["values"], path)))
            case "record":
                return self._record(schema, path)
        if kind in self.named:
            return lambda value: self.named[kind](value)
        raise SettingsError(f"field {path}: no source can fill the Avro type {kind}")

    def _named(self, schema: Mapping[str, Any], converter: Converter) -> Converter:
        self.named[schema["name"]] = converter
        return converter

    def _record(self, schema: Mapping[str, Any], path: str) -> Converter:
        parts: list[tuple[str, Converter, Any, bool]] = []

        def convert(value: Any) -> bytes:
            if not isinstance(value, Mapping):
                raise ValueError("a nested record is needed")
            encodings = []
            for name, converter, default, has_default in parts:
                present = name in value or not has_default
                encodings.append(converter(value.get(name) if present else default))
            return b"".join(encodings)

        converter = self._named(schema, self._json(convert))
        for each in schema["fields"]:
            parts.append(
                (
                    each["name"],
                    self.converter(each["type"], f"{path}.{each['name']}"),
                    each.get("default"),
                    "default" in each,
                )
            )
        return converter

    def _json(self, converter: Converter) -> Converter:
        if not self.texts:
            return converter

        def parse(value: Any) -> bytes:
            if isinstance(value, str):
                try:
                    value = json.loads(value, parse_float=Decimal)
                except ValueError:
                    raise ValueError("not JSON, as which arrays, maps and nested records stand in a column") from None
            return converter(value)

        return parse

    def _string(self, path: str) -> Converter:
        entry = self.entries.get(path)
        if entry is not None and entry.codes is not None:
            return self._coded(lambda value: sized(utf8(text_of(value))), path)
        if entry is not None and entry.format is not None:
            return self._formatted(entry.format)

        def convert(value: Any) -> bytes:
            return sized(utf8(value.strip() if type(value) is str else text_of(value)))

        return convert

    def _formatted(self, name: str) -> Converter:
        if name not in FORMATS:
            raise SettingsError(f"the format {name} is not known: the words are {', '.join(sorted(FORMATS))}")
        canonical = FORMATS[name].canonical
        lost_digits = self.lost_digits and name in ("citizen_id", "party_id")

        def convert(value: Any) -> bytes:
            text = canonical(text_of(value))
            if lost_digits and text.endswith("000"):
                raise ValueError("a spreadsheet cut ids of this file to 15 digits: export the column as text")
            return sized(text.encode())

        return convert

    def _coded(self, inner: Converter, path: str) -> Converter:
        """Return *inner* for values that stand in the field's code list, where it has one."""
        entry = self.entries.get(path)
        if entry is None or entry.codes is None:
            return inner
        codes = frozenset(self.code_lists.get(entry.codes, {}))
        reason = f"not in the code list {entry.codes}"

        def convert(value: Any) -> bytes:
            text = text_of(value)
            if text not in codes:
                text = unicodedata.normalize("NFKC", text).strip()
                if text not in codes:
                    raise ValueError(reason)
            return inner(text)

        return convert

    def _whole(self, limits: tuple[int, int]) -> Converter:
        def convert(value: Any) -> bytes:
            number = _integer(value)
            if not limits[0] <= number <= limits[1]:
                raise ValueError(f"the number is outside {limits[0]} to {limits[1]}")
            return varint(number)

        return convert

    def _day(self) -> Converter:
        read = day_reader(self.dates)

        def convert(value: Any) -> bytes:
            if isinstance(value, str):
                day = read(value.strip())
            elif isinstance(value, datetime):
                if value.time() != time():
                    raise ValueError("a day is needed, not a time of day")
                day = value.date()
            elif isinstance(value, date):
                day = value
            else:
                raise ValueError(f"a date is needed, not {type(value).__name__}")
            return varint(day.toordinal() - EPOCH_DAY)

        return convert

    def _instant(self, unit: int) -> Converter:
        read = instant_reader()

        def convert(value: Any) -> bytes:
            if isinstance(value, str):
                micros = read(value.strip())
            elif isinstance(value, datetime):
                micros = micros_of(value)
            else:
                raise ValueError(f"a time is needed, not {type(value).__name__}")
            return varint(micros // unit)

        return convert


def _integer(value: object) -> int:
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


def _real(value: object) -> float:
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


def _float(value: object) -> bytes:
    try:
        return struct.pack("<f", _real(value))
    except OverflowError:
        raise ValueError("the number is too large for a float") from None


def _boolean(value: object) -> bytes:
    if isinstance(value, bool):
        return b"\x01" if value else b"\x00"
    word = value.strip().lower() if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    if word in _TRUE:
        return b"\x01"
    if word in _FALSE:
        return b"\x00"
    raise ValueError("not yes or no: true, false, 1, 0, 是, 否")


def _binary(value: object) -> bytes:
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


def _decimal_bytes(schema: Mapping[str, Any]) -> Converter:
    unscaled = _decimal(schema)

    def convert(value: Any) -> bytes:
        whole = unscaled(value)
        return sized(whole.to_bytes((whole + (whole < 0)).bit_length() // 8 + 1, "big", signed=True))

    return convert


def _decimal_fixed(schema: Mapping[str, Any]) -> Converter:
    unscaled, size = _decimal(schema), int(schema["size"])
    return lambda value: unscaled(value).to_bytes(size, "big", signed=True)


def _clock(unit: int) -> Converter:
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


def _uuid(value: object) -> bytes:
    try:
        return sized(str(UUID(text_of(value))).encode())
    except ValueError:
        raise ValueError("not a UUID") from None


def _enum(symbols: Sequence[str]) -> Converter:
    places = {symbol: varint(place) for place, symbol in enumerate(symbols)}

    def convert(value: Any) -> bytes:
        text = text_of(value)
        found = places.get(text) or places.get(unicodedata.normalize("NFKC", text))
        if found is None:
            raise ValueError("not one of the symbols of the enumeration")
        return found

    return convert


def _fixed(size: int) -> Converter:
    def convert(value: Any) -> bytes:
        data = _binary(value)
        if len(data) != size:
            raise ValueError(f"not {size} bytes")
        return data

    return convert


def _array(item: Converter) -> Converter:
    def convert(value: Any) -> bytes:
        if not isinstance(value, (list, tuple)):
            raise ValueError("an array is needed")
        if not value:
            return b"\x00"
        return varint(len(value)) + b"".join(map(item, value)) + b"\x00"

    return convert


def _map(item: Converter) -> Converter:
    def convert(value: Any) -> bytes:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError("a map with texts as keys is needed")
        if not value:
            return b"\x00"
        entries = (sized(utf8(key)) + item(value[key]) for key in sorted(value))
        return varint(len(value)) + b"".join(entries) + b"\x00"

    return convert


_PRIMITIVE: Mapping[str, Callable[[Encoding, Mapping[str, Any]], Converter]] = {
    "int": lambda encoding, _: encoding._whole(_INT),
    "long": lambda encoding, _: encoding._whole(_LONG),
    "float": lambda *_: _float,
    "double": lambda *_: lambda value: struct.pack("<d", _real(value)),
    "boolean": lambda *_: _boolean,
    "bytes": lambda *_: lambda value: sized(_binary(value)),
}
_LOGICAL: Mapping[tuple[str, str | None], Callable[[Encoding, Mapping[str, Any]], Converter]] = {
    ("int", "date"): lambda encoding, _: encoding._day(),
    ("long", "timestamp-micros"): lambda encoding, _: encoding._instant(1),
    ("long", "timestamp-millis"): lambda encoding, _: encoding._instant(1000),
    ("int", "time-millis"): lambda *_: _clock(1000),
    ("long", "time-micros"): lambda *_: _clock(1),
    ("bytes", "decimal"): lambda _, schema: _decimal_bytes(schema),
    ("fixed", "decimal"): lambda encoding, schema: encoding._named(schema, _decimal_fixed(schema)),
    ("string", "uuid"): lambda *_: _uuid,
}
