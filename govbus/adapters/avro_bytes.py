"""Avro encodings of checked values: for every type of a schema the function from a source's value to its bytes.

A record's encoding is its fields' encodings one after another, so the publisher encodes field by field: a bad value is
found with its field's name, and the encodings of codes, dates and divisions, which repeat, are made once and looked up.
The bytes are canonical and equal what fastavro writes of the same values; the tests hold that.
"""

from __future__ import annotations

import json
import struct
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from govbus.adapters.avro_values import (
    LENGTHS,
    Converter,
    array,
    binary,
    boolean,
    clock,
    decimal_bytes,
    decimal_fixed,
    enum,
    fixed,
    float_bytes,
    integer,
    map_of,
    real,
    sized,
    text_of,
    utf8,
    uuid_text,
    varint,
)
from govbus.catalogue.model import FieldEntry
from govbus.errors import SettingsError
from govbus.rules.dates import EPOCH_DAY, day_reader, instant_reader, micros_of
from govbus.rules.formats import FORMATS

_INT = (-(2**31), 2**31 - 1)
_LONG = (-(2**63), 2**63 - 1)


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
        nulls, lengths = self.nulls, tuple(prefix + length for length in LENGTHS)
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
                return self._named(schema, enum(schema["symbols"]))
            case "fixed":
                return self._named(schema, fixed(schema["size"]))
            case "array":
                return self._json(array(self.converter(schema["items"], path)))
            case "map":
                return self._json(map_of(self.converter(schema["values"], path)))
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
            number = integer(value)
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


_PRIMITIVE: Mapping[str, Callable[[Encoding, Mapping[str, Any]], Converter]] = {
    "int": lambda encoding, _: encoding._whole(_INT),
    "long": lambda encoding, _: encoding._whole(_LONG),
    "float": lambda *_: float_bytes,
    "double": lambda *_: lambda value: struct.pack("<d", real(value)),
    "boolean": lambda *_: boolean,
    "bytes": lambda *_: lambda value: sized(binary(value)),
}
_LOGICAL: Mapping[tuple[str, str | None], Callable[[Encoding, Mapping[str, Any]], Converter]] = {
    ("int", "date"): lambda encoding, _: encoding._day(),
    ("long", "timestamp-micros"): lambda encoding, _: encoding._instant(1),
    ("long", "timestamp-millis"): lambda encoding, _: encoding._instant(1000),
    ("int", "time-millis"): lambda *_: clock(1000),
    ("long", "time-micros"): lambda *_: clock(1),
    ("bytes", "decimal"): lambda _, schema: decimal_bytes(schema),
    ("fixed", "decimal"): lambda encoding, schema: encoding._named(schema, decimal_fixed(schema)),
    ("string", "uuid"): lambda *_: uuid_text,
}
