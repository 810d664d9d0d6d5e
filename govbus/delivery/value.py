"""Values of a share record as texts: dates, times, decimals, and anything nested as JSON.

Every function here is total over what Avro can hold. A sink meets dates in the year 5,881,580 and NaN on the day a
department's system has a bug, and a row that cannot be written would stop every row behind it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

AvroType = Any
JsonMaker = Callable[[Any], Any]

MICROS_PER_DAY = 86_400_000_000
_MAX_DECIMAL_BYTES = 1_000
"""Beyond it (2,400 digits, no money of this world) a decimal is written as infinity."""

NULL_CHARACTER = {0: "\N{REPLACEMENT CHARACTER}"}
"""U+0000 stands in no Postgres text and no JSON of Postgres; the bus lets it through, so it is replaced on arrival."""


def content_of(avro_type: AvroType) -> AvroType:
    """Return T of ``["null", T]``, the type itself where it is no union; a wider union is nothing single: ``union``."""
    while not isinstance(avro_type, str):
        if isinstance(avro_type, list):
            types = [branch for branch in avro_type if branch != "null"]
            if len(types) != 1:
                return "union" if types else "null"
            avro_type = types[0]
        elif isinstance(avro_type["type"], dict | list):
            avro_type = avro_type["type"]
        else:
            return avro_type
    return avro_type


def micros_per_unit(avro_type: AvroType) -> int:
    """Return the microseconds of one unit of a timestamp of *avro_type*."""
    kind = content_of(avro_type)
    return 1000 if isinstance(kind, dict) and kind.get("logicalType") == "timestamp-millis" else 1


def civil_date(days: int) -> tuple[int, int, int]:
    """Return (year, month, day) of *days* since 1970-01-01 in the proleptic Gregorian calendar; year 0 is 1 BC.

    Howard Hinnant's days-to-civil algorithm: Python's own dates end in 9999, Avro's do not.
    """
    shifted = days + 719_468
    era, day_of_era = divmod(shifted, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    return era * 400 + year_of_era + (month <= 2), month, day


@lru_cache(maxsize=65_536)
def date_text(days: int) -> str:
    """Return *days* since 1970-01-01 as ISO 8601 text; a year outside 0000..9999 carries its sign."""
    year, month, day = civil_date(days)
    if 0 <= year <= 9999:
        return f"{year:04}-{month:02}-{day:02}"
    return f"{year:+05}-{month:02}-{day:02}"


def clock_text(micros_of_day: int) -> str:
    """Return a time of day as ``HH:MM:SS`` with six decimals where it is no whole second."""
    seconds, micros = divmod(micros_of_day, 1_000_000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{micros:06}" if micros else text


def timestamp_text(micros: int) -> str:
    """Return *micros* since 1970-01-01T00:00Z as ISO 8601 text in UTC."""
    days, micros_of_day = divmod(micros, MICROS_PER_DAY)
    return f"{date_text(days)}T{clock_text(micros_of_day)}Z"


def decimal_text(unscaled: bytes, scale: int) -> str:
    """Return an Avro decimal as plain digits with exactly *scale* decimals."""
    number = int.from_bytes(unscaled, "big", signed=True)
    if len(unscaled) > _MAX_DECIMAL_BYTES:
        return "-Infinity" if number < 0 else "Infinity"
    digits = str(abs(number)).zfill(scale + 1)
    text = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
    return f"-{text}" if number < 0 else text


def float_text(number: float) -> str:
    """Return *number* in the shortest digits that read back as it; ``NaN``, ``Infinity`` and ``-Infinity`` by name."""
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")


def base64_text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def json_maker(avro_type: AvroType) -> JsonMaker:
    """Return a function from a bare decoded value (logical types not applied) to what `json.dumps` may write.

    Dates and times become ISO 8601 text; decimals become text, because a JSON reader's floating point would round
    money; bytes become Base64; a float that is no number becomes its name. *avro_type* is a type of a view's schema:
    named types stand where they are used.
    """
    if isinstance(avro_type, list):
        return _union_maker(avro_type)
    if isinstance(avro_type, str):
        return _SIMPLE.get(avro_type, _as_it_is)
    match avro_type.get("logicalType"), avro_type["type"]:
        case "date", "int":
            return _optional(date_text)
        case "timestamp-micros", "long":
            return _optional(timestamp_text)
        case "timestamp-millis", "long":
            return _optional(lambda millis: timestamp_text(millis * 1000))
        case "decimal", _:
            scale = int(avro_type.get("scale", 0))
            return _optional(lambda unscaled: decimal_text(unscaled, scale))
        case _, "array":
            item = json_maker(avro_type["items"])
            return _optional(lambda items: [item(each) for each in items])
        case _, "map":
            member = json_maker(avro_type["values"])
            return _optional(lambda members: {key: member(each) for key, each in members.items()})
        case _, "record":
            fields = {field["name"]: json_maker(field["type"]) for field in avro_type["fields"]}
            return _optional(lambda record: _json_record(record, fields))
        case _, "fixed":
            return _optional(base64_text)
        case _, dict() | list() | str() as inner:
            return json_maker(inner)
        case _, unknown:
            raise ValueError(f"no Avro type: {unknown!r}")


def _json_record(record: Mapping[str, Any], fields: Mapping[str, JsonMaker]) -> dict[str, Any]:
    return {name: make(record[name]) for name, make in fields.items()}


def _as_it_is(value: Any) -> Any:
    return value


def _optional(make: JsonMaker) -> JsonMaker:
    return lambda value: None if value is None else make(value)


def _json_float(number: float) -> float | str:
    return number if math.isfinite(number) else float_text(number)


_SIMPLE: dict[str, JsonMaker] = {
    "bytes": _optional(base64_text),
    "float": _optional(_json_float),
    "double": _optional(_json_float),
}


def _union_maker(branches: list[AvroType]) -> JsonMaker:
    """A union of null and one type is that type. Of a wider union the value's own Python type says what it is."""
    types = [branch for branch in branches if branch != "null"]
    if len(types) == 1:
        return json_maker(types[0])
    return _json_of_any


def _json_of_any(value: Any) -> Any:
    match value:
        case bytes():
            return base64_text(value)
        case float():
            return _json_float(value)
        case list():
            return [_json_of_any(each) for each in value]
        case dict():
            return {key: _json_of_any(each) for key, each in value.items()}
        case _:
            return value
