"""What Postgres' COPY reads (text format, PostgreSQL 18 manual, COPY): cells, lines, and the types of columns.

Every cell is one Postgres takes: a row that is refused would stop all rows behind it. What lies outside a Postgres type
becomes infinity, and U+0000, which no Postgres text may hold, becomes U+FFFD.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from govbus.delivery.row import Cell
from govbus.delivery.shape import Column, Kind
from govbus.delivery.value import (
    MICROS_PER_DAY,
    NULL_CHARACTER,
    AvroType,
    civil_date,
    clock_text,
    date_text,
    decimal_text,
    float_text,
    json_maker,
    micros_per_unit,
)

COLUMN_TYPES = {
    Kind.TEXT: "text",
    Kind.INTEGER: "integer",
    Kind.BIGINT: "bigint",
    Kind.REAL: "real",
    Kind.DOUBLE: "double precision",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamptz",
    Kind.DECIMAL: "numeric",
    Kind.BYTES: "bytea",
    Kind.JSON: "jsonb",
}

NULL = "\\N"

_ESCAPES = {**NULL_CHARACTER, **str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})}
_FIRST_DAY = -2_440_588  # 4714-11-24 BC, Julian day 0
_LAST_DAY = 2_145_031_948  # 5874897-12-31
_LAST_TIMESTAMP_DAY = 106_751_990  # 294246-12-31: the last whole year that fits 64 bits of microseconds since 1970


def escaped(text: str) -> str:
    """Return *text* as a COPY cell."""
    # Two fast questions answer "nothing to do" for all but a few texts.
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)


def copy_cell(column: Column, avro_type: AvroType) -> Cell:
    """Return the maker of COPY cells for *column*, filled from values of *avro_type*."""
    match column.kind:
        case Kind.TEXT:
            return _text
        case Kind.INTEGER | Kind.BIGINT:
            return lambda value: NULL if value is None else str(value)
        case Kind.REAL | Kind.DOUBLE:
            return lambda value: NULL if value is None else float_text(value)
        case Kind.BOOLEAN:
            return lambda value: NULL if value is None else ("t" if value else "f")
        case Kind.DATE:
            return lambda value: NULL if value is None else _date(value)
        case Kind.TIMESTAMP:
            unit = micros_per_unit(avro_type)
            return lambda value: NULL if value is None else _timestamp(value * unit)
        case Kind.DECIMAL:
            return lambda value: NULL if value is None else decimal_text(value, column.scale)
        case Kind.BYTES:
            return lambda value: NULL if value is None else f"\\\\x{value.hex()}"
        case Kind.JSON:
            make = json_maker(avro_type)
            return lambda value: NULL if value is None else _json(make(value))


def key_cells(key: bytes) -> str:
    """Return the COPY line, without its end, of a record key's texts in the order of the key fields.

    Texts of a key field are what Postgres reads for the type of its column: digits, ISO dates, true and false.
    """
    return "\t".join(escaped(text) for text in key.decode("utf-8", "replace").split("\x1f"))


def copy_lines(rows: Iterable[Sequence[str]]) -> bytes:
    """Return *rows* of cells as the text that COPY ... FROM STDIN reads."""
    return "".join(["\t".join(row) + "\n" for row in rows]).encode()


def _text(value: str | None) -> str:
    if value is None:
        return NULL
    return value if value.isprintable() and "\\" not in value else value.translate(_ESCAPES)


def _json(value: Any) -> str:
    return escaped(json.dumps(_without_null_characters(value), ensure_ascii=False, separators=(",", ":")))


def _without_null_characters(value: Any) -> Any:
    # jsonb refuses the escape for U+0000, wherever it stands.
    match value:
        case str():
            return value.translate(NULL_CHARACTER) if "\0" in value else value
        case list():
            return [_without_null_characters(each) for each in value]
        case dict():
            return {_without_null_characters(key): _without_null_characters(each) for key, each in value.items()}
        case _:
            return value


@lru_cache(maxsize=65_536)
def _date(days: int) -> str:
    if days < _FIRST_DAY:
        return "-infinity"
    return "infinity" if days > _LAST_DAY else "".join(_era_date(days))


def _timestamp(micros: int) -> str:
    days, micros_of_day = divmod(micros, MICROS_PER_DAY)
    if days < _FIRST_DAY:
        return "-infinity"
    if days > _LAST_TIMESTAMP_DAY:
        return "infinity"
    date, era = _era_date(days)
    return f"{date} {clock_text(micros_of_day)}+00{era}"


def _era_date(days: int) -> tuple[str, str]:
    """Return the date without a sign, and `` BC`` where it is one: Postgres counts no year 0."""
    year, month, day = civil_date(days)
    if year > 9999 or year < 1:
        return (f"{year:04}-{month:02}-{day:02}", "") if year > 0 else (f"{1 - year:04}-{month:02}-{day:02}", " BC")
    return date_text(days), ""
