"""The shape of delivered rows: which columns, of which kind, and what is the key. A function of a view's schema.

The same shape stands behind a Postgres table and behind a file: a subscriber who changes from one to the other finds
the same columns. Key columns are the view's own fields where they are delivered in clear; where the key is a pseudonym,
or a part of a nested record, a column `_key` holds its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from govbus.delivery.value import AvroType, content_of

KEY_COLUMN = "_key"
"""No field of a record begins with an underscore, so this name is free."""


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    INTEGER = "integer"
    BIGINT = "bigint"
    REAL = "real"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    DECIMAL = "decimal"
    BYTES = "bytes"
    JSON = "json"


KEY_KINDS = frozenset({Kind.TEXT, Kind.INTEGER, Kind.BIGINT, Kind.BOOLEAN, Kind.DATE})
"""Kinds whose text in a record key reads back as the same value."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `precision` and `scale` are those of a decimal, else 0."""

    name: str
    kind: Kind
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of delivered rows, key columns by name. Where the key is not in clear, `_key` stands first."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def key_columns(self) -> tuple[Column, ...]:
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[name] for name in self.key)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def shape_of(schema: dict[str, Any], key: Sequence[str], *, key_in_clear: bool) -> Shape:
    """Return the shape of rows of a view with *schema*, whose record key is made of the fields *key*."""
    columns = tuple(column_of(field["name"], field["type"]) for field in schema["fields"])
    kinds = {column.name: column.kind for column in columns}
    if key_in_clear and all(kinds.get(path) in KEY_KINDS for path in key):
        return Shape(columns, tuple(key))
    return Shape((Column(KEY_COLUMN, Kind.TEXT), *columns), (KEY_COLUMN,))


def column_of(name: str, avro_type: AvroType) -> Column:
    """Return the column for a field *name* of *avro_type*; every column may be null except where it is the key."""
    kind = content_of(avro_type)
    if isinstance(kind, dict):
        logical = kind.get("logicalType")
        if logical == "decimal" and kind["type"] in ("bytes", "fixed"):
            return Column(name, Kind.DECIMAL, int(kind["precision"]), int(kind.get("scale", 0)))
        return Column(name, _LOGICAL.get((kind["type"], str(logical))) or _KINDS.get(kind["type"], Kind.JSON))
    return Column(name, _KINDS.get(kind, Kind.JSON))


_LOGICAL = {
    ("int", "date"): Kind.DATE,
    ("long", "timestamp-micros"): Kind.TIMESTAMP,
    ("long", "timestamp-millis"): Kind.TIMESTAMP,
}

_KINDS = {
    # A field that is always null (mask `null`) keeps its column; text is what most of them are.
    "null": Kind.TEXT,
    "string": Kind.TEXT,
    "enum": Kind.TEXT,
    "int": Kind.INTEGER,
    "long": Kind.BIGINT,
    "float": Kind.REAL,
    "double": Kind.DOUBLE,
    "boolean": Kind.BOOLEAN,
    "bytes": Kind.BYTES,
    "fixed": Kind.BYTES,
}
