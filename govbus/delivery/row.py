"""Rows made of share records: decoded by the schema a record names, laid into the shape that is delivered.

A topic holds records of earlier schemas for as long as the bus takes to send the whole view again. Of such a record
only what the shape still has is delivered, and a column whose kind has changed stays empty until the new record
arrives: a field that was withdrawn is not delivered once more on its way out.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader

from govbus.codec.framing import HEADER_BYTES, schema_id_of
from govbus.delivery.shape import KEY_COLUMN, Column, Shape, column_of
from govbus.delivery.value import AvroType
from govbus.errors import GovbusError

Cell = Callable[[Any], Any]
"""Makes what a format writes of one decoded value; logical types are not applied, null is None."""

CellMaker = Callable[[Column, AvroType], Cell]
"""Returns the `Cell` for a column filled from a field of this type."""

SchemaOf = Callable[[int], dict[str, Any]]
"""The schema with this registry id. May raise to stop the batch, e.g. because a newer revision must be taken first."""


class UnreadableRecord(GovbusError):
    """A share topic holds a value that the bus cannot have written: somebody else writes to it. Nothing goes on."""


class RowMaker:
    """Makes lists of cells, in the order of a shape's columns. Schemas are compiled once per id."""

    def __init__(self, shape: Shape, schema_of: SchemaOf, cell: CellMaker) -> None:
        self._shape = shape
        self._schema_of = schema_of
        self._cell = cell
        self._plans: dict[bytes, tuple[Any, list[tuple[str | None, Cell]]]] = {}

    def row(self, key: bytes, value: bytes) -> list[Any]:
        """Return the cells of the record *value* (framed Avro) under *key*.

        Raises `UnreadableRecord` for bytes that are no record of the schema they name.
        """
        plan = self._plans.get(value[:HEADER_BYTES]) or self._plan(value)
        stream = BytesIO(value)
        stream.seek(HEADER_BYTES)
        try:
            record = schemaless_reader(stream, plan[0], None)
        except (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
            raise UnreadableRecord(
                f"a record cannot be decoded with the schema it names: {type(error).__name__}"
            ) from None
        if isinstance(record, dict):
            return [make(key if name is None else record.get(name)) for name, make in plan[1]]
        raise UnreadableRecord("a value in a share topic is no record")

    def _plan(self, value: bytes) -> tuple[Any, list[tuple[str | None, Cell]]]:
        schema_id = schema_id_of(value)
        if schema_id is None:
            raise UnreadableRecord("a value in a share topic is not framed with a schema id")
        schema = self._schema_of(schema_id)
        types = {field["name"]: field["type"] for field in schema["fields"]}
        cells: list[tuple[str | None, Cell]] = []
        for column in self._shape.columns:
            if column.name == KEY_COLUMN:
                cells.append((None, key_cell(self._cell)))
            elif column.name in types and column_of(column.name, types[column.name]) == column:
                cells.append((column.name, self._cell(column, types[column.name])))
            else:
                nothing = self._cell(column, "null")(None)
                cells.append((column.name, _always(nothing)))
        plan = self._plans[value[:HEADER_BYTES]] = (parse_schema(bare(schema)), cells)
        return plan


def _always(cell: Any) -> Cell:
    return lambda _: cell


def key_cell(cell: CellMaker) -> Cell:
    """Return the cell of `_key`: the record key's text."""
    text = cell(Column(KEY_COLUMN, column_of(KEY_COLUMN, "string").kind), "string")
    return lambda key: text(key.decode("utf-8", "replace"))


def bare(schema: AvroType) -> AvroType:
    """Return *schema* without logical types: fastavro then gives numbers and bytes, and none out of Python's range.

    Its own dates end in the year 9999 with an exception, and building them costs more than the texts made here.
    """
    if isinstance(schema, list):
        return [bare(branch) for branch in schema]
    if isinstance(schema, dict):
        return {
            word: [{**field, "type": bare(field["type"])} for field in part]
            if word == "fields"
            else bare(part)
            if word in ("type", "items", "values")
            else part
            for word, part in schema.items()
            if word not in ("logicalType", "precision", "scale")
        }
    return schema
