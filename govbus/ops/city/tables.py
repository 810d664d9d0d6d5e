"""The Postgres tables of departments that have a database: their schema, their rows for COPY, later changes as SQL."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

from govbus.catalogue.source import OutboxSource, PostgresSource
from govbus.ops.city.declared import Column, Declared
from govbus.ops.city.row import Row, json_object, value_at

_TYPES = {
    "string": "text",
    "int": "integer",
    "long": "bigint",
    "double": "double precision",
    "float": "real",
    "boolean": "boolean",
    "date": "date",
    "timestamp-millis": "timestamptz",
    "timestamp-micros": "timestamptz",
    "enum": "text",
    "array": "jsonb",
}
_NOW = "now()"
"""When a wave's change was made: adapters go by the database's clock, as departments' systems do."""

_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def quoted(name: str) -> str:
    """Return *name* (``schema.table`` or a column) as an SQL identifier."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


class _Rows:
    """The COPY file of a table and the SQL of a wave."""

    def __init__(self, declared: Declared, table: str, folder: Path) -> None:
        self.declared, self.table = declared, table
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"{declared.id}.copy").open("w", encoding="utf-8", newline="\n")
        self._wave: list[str] = []

    def close(self) -> None:
        """End the COPY file."""
        self._file.close()

    def take_wave(self) -> list[str]:
        """Return the statements of the wave, and begin the next."""
        statements, self._wave = self._wave, []
        return statements

    def _copy(self, values: list[Any]) -> None:
        texts = ("\\N" if value is None else _text(value).translate(_COPY_ESCAPES) for value in values)
        self._file.write("\t".join(texts) + "\n")


class Table(_Rows):
    """A table read by its watermark column."""

    def __init__(self, declared: Declared, source: PostgresSource, folder: Path) -> None:
        super().__init__(declared, source.table, folder)
        names = {column.path: column.name for column in declared.columns}
        self._key = [names[path] for path in declared.key]
        self.columns = [*(column.name for column in declared.columns), source.watermark]
        self._watermark = source.watermark

    def ddl(self) -> str:
        """Return the statements that make the table anew."""
        lines = [f"    {quoted(column.name)} {_type(column)}" for column in self.declared.columns]
        lines.append(f"    {quoted(self._watermark)} timestamptz NOT NULL")
        lines.append(f"    PRIMARY KEY ({', '.join(map(quoted, self._key))})")
        return (
            f"CREATE SCHEMA IF NOT EXISTS {quoted(self.table.partition('.')[0])};\n"
            f"DROP TABLE IF EXISTS {quoted(self.table)};\n"
            f"CREATE TABLE {quoted(self.table)} (\n" + ",\n".join(lines) + "\n);\n"
            f"CREATE INDEX ON {quoted(self.table)} ({quoted(self._watermark)});\n"
        )

    def write(self, row: Row) -> int:
        """Write *row* for COPY."""
        self._copy(self._values(row))
        return 0

    def change(self, place: int | None, before: Row | None, after: Row | None) -> None:
        """Note the statements that turn *before* into *after*."""
        old = None if before is None else [value_at(before.record, path) for path in self.declared.key]
        if old is not None and (after is None or old != [value_at(after.record, path) for path in self.declared.key]):
            where = " AND ".join(
                f"{quoted(name)} = {_literal(value)}" for name, value in zip(self._key, old, strict=True)
            )
            self._wave.append(f"DELETE FROM {quoted(self.table)} WHERE {where};")
        if after is not None:
            names = ", ".join(map(quoted, self.columns))
            values = ", ".join([*map(_literal, self._values(after)[:-1]), _NOW])
            sets = ", ".join(
                f"{quoted(name)} = EXCLUDED.{quoted(name)}" for name in self.columns if name not in self._key
            )
            self._wave.append(
                f"INSERT INTO {quoted(self.table)} ({names}) VALUES ({values}) "
                f"ON CONFLICT ({', '.join(map(quoted, self._key))}) DO UPDATE SET {sets};"
            )

    def _values(self, row: Row) -> list[Any]:
        return [*(value_at(row.record, column.path) for column in self.declared.columns), row.changed_at]


class Outbox(_Rows):
    """A transactional outbox: one row per change, the record as JSON."""

    def __init__(self, declared: Declared, source: OutboxSource, folder: Path) -> None:
        super().__init__(declared, source.table, folder)
        self._sequence = source.sequence
        self.columns = [source.operation, source.record, source.changed_at]

    def ddl(self) -> str:
        """Return the statements that make the outbox anew."""
        operation, record, changed_at = map(quoted, self.columns)
        return (
            f"CREATE SCHEMA IF NOT EXISTS {quoted(self.table.partition('.')[0])};\n"
            f"DROP TABLE IF EXISTS {quoted(self.table)};\n"
            f"CREATE TABLE {quoted(self.table)} (\n"
            f"    {quoted(self._sequence)} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
            f"    {operation} text NOT NULL,\n"
            f"    {record} jsonb NOT NULL,\n"
            f"    {changed_at} timestamptz NOT NULL,\n"
            "    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()\n);\n"
            f"CREATE INDEX ON {quoted(self.table)} (transaction_id);\n"
        )

    def write(self, row: Row) -> int:
        """Write *row* for COPY, as often as it has copies."""
        for _ in range(row.copies):
            self._copy(self._values(row, "upsert"))
        return 0

    def change(self, place: int | None, before: Row | None, after: Row | None) -> None:
        """Note the outbox row that says how *before* became *after*."""
        row = after or before
        if row is not None:
            names = ", ".join(map(quoted, self.columns))
            texts = map(_literal, self._values(row, "delete" if after is None else "upsert")[:-1])
            values = ", ".join([*texts, _NOW])
            self._wave.append(f"INSERT INTO {quoted(self.table)} ({names}) VALUES ({values});")

    def _values(self, row: Row, operation: str) -> list[Any]:
        record = json.dumps(json_object(self.declared.columns, row), ensure_ascii=False, separators=(",", ":"))
        return [operation, record, row.changed_at]


def _type(column: Column) -> str:
    kind = f"numeric({column.precision},{column.scale})" if column.type == "decimal" else _TYPES[column.type]
    return kind if column.optional else f"{kind} NOT NULL"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _literal(value: Any) -> str:
    return "NULL" if value is None else "'" + _text(value).replace("'", "''") + "'"
