"""Files of rows: JSON Lines, CSV and Parquet. The same rows and columns in each, as each says them best.

A change file has a first column `_operation`, ``upsert`` or ``delete``; a deletion has its key columns and nothing
else. A snapshot has no such column.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from govbus.delivery.row import Cell, CellMaker, UnreadableRecord
from govbus.delivery.shape import Column, Kind, Shape
from govbus.delivery.value import (
    AvroType,
    base64_text,
    date_text,
    decimal_text,
    float_text,
    json_maker,
    micros_per_unit,
    timestamp_text,
)
from govbus.errors import SettingsError

FormatName = Literal["jsonl", "csv", "parquet"]
Operation = Literal["upsert", "delete"]

OPERATION = "_operation"
_ROWS_PER_GROUP = 50_000
_EPOCH = date(1970, 1, 1).toordinal()


class RowWriter(Protocol):
    """Takes rows one by one; `cells` are in the order of the shape's columns."""

    def write(self, cells: Sequence[Any], operation: Operation | None = None) -> None:
        """Add a row; *operation* in change files only."""


class FileFormat(Protocol):
    """How one format writes rows."""

    name: FormatName

    def cell(self, column: Column, avro_type: AvroType) -> Cell:
        """Return the maker of this format's cells for *column*."""

    def writing(self, file: Path, shape: Shape, *, operations: bool) -> Any:
        """Return a context that yields a `RowWriter` into *file* and has written all of it at its end."""


def file_format(name: FormatName) -> FileFormat:
    """Return the format of that name. Raises SettingsError where its library is not installed."""
    match name:
        case "jsonl":
            return JsonLines()
        case "csv":
            return Csv()
        case "parquet":
            return Parquet()


def deletion_cells(key: bytes, shape: Shape, cell: CellMaker) -> list[Any]:
    """Return the cells of a deletion: its key columns, read back from the key's text, and null in all others.

    Raises `UnreadableRecord` for a key that is not the text of such columns.
    """
    text = key.decode("utf-8", "replace")
    parts = [text] if len(shape.key) == 1 else text.split("\x1f")
    if len(parts) != len(shape.key):
        raise UnreadableRecord("a key in a share topic has another number of parts than the key of its dataset")
    texts = dict(zip(shape.key, parts, strict=True))
    return [
        cell(column, _BARE_TYPES.get(column.kind, "string"))(_bare(texts[column.name], column.kind))
        if column.name in texts
        else cell(column, "null")(None)
        for column in shape.columns
    ]


_BARE_TYPES: dict[Kind, AvroType] = {
    Kind.INTEGER: "int",
    Kind.BIGINT: "long",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: {"type": "int", "logicalType": "date"},
}


def _bare(text: str, kind: Kind) -> Any:
    try:
        match kind:
            case Kind.INTEGER | Kind.BIGINT:
                return int(text)
            case Kind.BOOLEAN:
                return text == "true"
            case Kind.DATE:
                return date.fromisoformat(text).toordinal() - _EPOCH
            case _:
                return text
    except ValueError:
        raise UnreadableRecord("a key in a share topic is not the text of its dataset's key fields") from None


class JsonLines:
    """One JSON object per line, UTF-8. Deletions hold `_operation` and the key alone."""

    name: FormatName = "jsonl"

    def cell(self, column: Column, avro_type: AvroType) -> Cell:
        return json_maker(avro_type)

    @contextmanager
    def writing(self, file: Path, shape: Shape, *, operations: bool) -> Iterator[RowWriter]:
        with file.open("w", encoding="utf-8", newline="\n") as stream:
            yield _JsonWriter(stream, shape)


class _JsonWriter:
    def __init__(self, stream: IO[str], shape: Shape) -> None:
        self._stream = stream
        self._names = shape.names
        self._key = set(shape.key)

    def write(self, cells: Sequence[Any], operation: Operation | None = None) -> None:
        row = dict(zip(self._names, cells, strict=True))
        if operation == "delete":
            row = {name: cell for name, cell in row.items() if name in self._key}
        if operation is not None:
            row = {OPERATION: operation, **row}
        self._stream.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


class Csv:
    """RFC 4180 with a byte order mark, as spreadsheet programs need it to see UTF-8.

    Texts are quoted, numbers are not, null is an empty cell and the empty text is ``""``. A text that a spreadsheet
    would take for a number, a date or a formula gets a TAB in front (an 18-digit citizen id would lose its last three
    digits): whoever reads the file by program takes one leading TAB off a text.
    """

    name: FormatName = "csv"

    def cell(self, column: Column, avro_type: AvroType) -> Cell:
        make: Cell
        match column.kind:
            case Kind.TEXT:
                make = csv_text
            case Kind.BYTES:
                make = lambda value: csv_text(base64_text(value))  # noqa: E731
            case Kind.JSON:
                to_json = json_maker(avro_type)
                make = lambda value: csv_text(json.dumps(to_json(value), ensure_ascii=False))  # noqa: E731
            case Kind.BOOLEAN:
                make = lambda value: "true" if value else "false"  # noqa: E731
            case Kind.DATE:
                make = date_text
            case Kind.TIMESTAMP:
                unit = micros_per_unit(avro_type)
                make = lambda value: timestamp_text(value * unit)  # noqa: E731
            case Kind.DECIMAL:
                make = lambda value: decimal_text(value, column.scale)  # noqa: E731
            case Kind.REAL | Kind.DOUBLE:
                make = float_text
            case Kind.INTEGER | Kind.BIGINT:
                make = str
        return lambda value: "" if value is None else make(value)

    @contextmanager
    def writing(self, file: Path, shape: Shape, *, operations: bool) -> Iterator[RowWriter]:
        with file.open("w", encoding="utf-8-sig", newline="") as stream:
            names = ([OPERATION] if operations else []) + list(shape.names)
            stream.write(",".join(names) + "\r\n")
            yield _CsvWriter(stream)


class _CsvWriter:
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, cells: Sequence[Any], operation: Operation | None = None) -> None:
        self._stream.write(",".join(cells if operation is None else [operation, *cells]) + "\r\n")


def csv_text(text: str) -> str:
    """Return *text* quoted, with a TAB in front unless it begins with a letter (``isalpha``: Chinese ones too)."""
    guarded = text if not text or text[0].isalpha() else f"\t{text}"
    return '"' + guarded.replace('"', '""') + '"'


class Parquet:
    """Typed columns; nested values as JSON text. Needs the extra ``parquet``."""

    name: FormatName = "parquet"

    def __init__(self) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise SettingsError("Parquet files need the extra: pip install 'govbus[parquet]'") from error
        self._arrow = pyarrow
        self._parquet = pyarrow.parquet

    def cell(self, column: Column, avro_type: AvroType) -> Cell:
        match column.kind:
            case Kind.TIMESTAMP:
                unit = micros_per_unit(avro_type)
                # Milliseconds beyond the year 294247 do not fit the microseconds of the column.
                return lambda value: None if value is None else max(-(2**63), min(2**63 - 1, value * unit))
            case Kind.DECIMAL:
                return lambda value: _decimal(value, column)
            case Kind.JSON:
                make = json_maker(avro_type)
                return lambda value: None if value is None else json.dumps(make(value), ensure_ascii=False)
            case _:
                return lambda value: value

    @contextmanager
    def writing(self, file: Path, shape: Shape, *, operations: bool) -> Iterator[RowWriter]:
        fields = [(column.name, self._type(column)) for column in shape.columns]
        schema = self._arrow.schema(([(OPERATION, self._arrow.string())] if operations else []) + fields)
        with self._parquet.ParquetWriter(file, schema, compression="zstd") as stream:
            writer = _ParquetWriter(self._arrow, stream, schema)
            yield writer
            writer.flush()

    def _type(self, column: Column) -> Any:
        arrow = self._arrow
        match column.kind:
            case Kind.INTEGER:
                return arrow.int32()
            case Kind.BIGINT:
                return arrow.int64()
            case Kind.REAL:
                return arrow.float32()
            case Kind.DOUBLE:
                return arrow.float64()
            case Kind.BOOLEAN:
                return arrow.bool_()
            case Kind.DATE:
                return arrow.date32()
            case Kind.TIMESTAMP:
                return arrow.timestamp("us", tz="UTC")
            case Kind.BYTES:
                return arrow.binary()
            case Kind.DECIMAL if column.precision <= 38:
                return arrow.decimal128(column.precision, column.scale)
            case Kind.DECIMAL if column.precision <= 76:
                return arrow.decimal256(column.precision, column.scale)
            case _:
                return arrow.string()


class _ParquetWriter:
    def __init__(self, arrow: Any, stream: Any, schema: Any) -> None:
        self._arrow = arrow
        self._stream = stream
        self._schema = schema
        self._rows: list[Sequence[Any]] = []

    def write(self, cells: Sequence[Any], operation: Operation | None = None) -> None:
        self._rows.append(cells if operation is None else [operation, *cells])
        if len(self._rows) >= _ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        if not self._rows:
            return
        arrays = []
        for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True):
            # Dates and timestamps are the same numbers in Avro and Arrow: no Python object is made of them.
            plain = {"date32[day]": self._arrow.int32(), "timestamp[us, tz=UTC]": self._arrow.int64()}
            stored = plain.get(str(field.type))
            array = self._arrow.array(values, stored or field.type)
            arrays.append(array.cast(field.type) if stored is not None else array)
        self._stream.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []


def _decimal(unscaled: bytes | None, column: Column) -> Decimal | str | None:
    """Return a decimal of the column's own type; one with more digits than declared fits none and is left empty."""
    if unscaled is None:
        return None
    if column.precision > 76:
        return decimal_text(unscaled, column.scale)
    number = int.from_bytes(unscaled, "big", signed=True)
    if abs(number) >= 10**column.precision:
        return None
    return Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -column.scale))
