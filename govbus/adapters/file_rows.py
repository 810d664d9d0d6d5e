"""Rows of a department's file, with their line numbers: CSV in any declared encoding, or JSON Lines.

What cannot be a row is yielded too, with the reason, so that it can be told; bytes that are not text in the declared
encoding become lone surrogates, which no field accepts.
"""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from govbus.catalogue.source import FileSource
from govbus.errors import GovbusError
from govbus.rules.identity import is_canonical_citizen_id

_ID = re.compile(rb"(?<![0-9])[1-9][0-9]{16}[0-9Xx](?![0-9Xx])")
_CUT_ID = re.compile(rb"(?<![0-9])[1-9][0-9]{14}000(?![0-9Xx])")
_ROUNDED_ID = re.compile(rb"[1-9]\.[0-9]+[Ee]\+17")
_LOOKED_AT_BYTES = 4 * 1024 * 1024
_CUT_SHARE = 0.01
"""From this share of cut ids on, an id that ends in 000 and has a right check digit is more likely cut than genuine:
one cut id in eleven has one by chance, and one genuine id in twelve hundred ends so."""


class UnreadableFile(GovbusError):
    """The file as a whole is not what was declared; the text says in what."""


class BadRow(NamedTuple):
    """Something that is no row. `cells` as far as they are known; `broken`: it may hide rows around it."""

    line: int
    cells: Sequence[str]
    reason: str
    broken: bool


class CsvRow(NamedTuple):
    """One row: its first line in the file, and its cells in the order of the header."""

    line: int
    cells: list[Any]


class JsonRow(NamedTuple):
    """One JSON object: its line, and its text as it stands there."""

    line: int
    text: str
    record: Mapping[str, Any]


def lost_digits(path: Path) -> bool:
    """Return whether the file's ids were cut to 15 digits by a spreadsheet, so that those ending in 000 are no ids.

    What gives it away are ids in scientific notation or with a wrong check digit behind three zeros, where they are
    more than one in a hundred. Single ones are refused for themselves and say nothing about the others. The first
    megabytes are looked at: a spreadsheet cuts a whole column.
    """
    with path.open("rb") as file:
        content = file.read(_LOOKED_AT_BYTES)
    lost = sum(1 for _ in _ROUNDED_ID.finditer(content))
    lost += sum(1 for found in _CUT_ID.finditer(content) if not is_canonical_citizen_id(found.group()))
    return lost > 0 and lost > _CUT_SHARE * sum(1 for _ in _ID.finditer(content))


class CsvFile:
    """A CSV file, open: its header, then its rows. Raises UnreadableFile where there is no usable header."""

    def __init__(self, path: Path, source: FileSource) -> None:
        csv.field_size_limit(16 * 1024 * 1024)
        self._binary: BinaryIO = path.open("rb")
        self.size = path.stat().st_size
        encoding = "utf-8-sig" if source.encoding == "utf-8" else source.encoding
        self._text = TextIOWrapper(self._binary, encoding=encoding, errors="surrogateescape", newline="")
        self._reader = csv.reader(self._text, delimiter=source.delimiter, strict=True)
        try:
            header = next(self._reader, None)
        except csv.Error as error:
            raise UnreadableFile(f"the header cannot be read: {error}") from error
        if not header or not any(header):
            raise UnreadableFile("the file is empty: a CSV export begins with its header")
        self.header = [unicodedata.normalize("NFC", name).strip().lstrip("\ufeff") for name in header]
        named = [name for name in self.header if name]
        if len(set(named)) < len(named):
            raise UnreadableFile("the header names a column twice")

    def close(self) -> None:
        self._text.close()

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.header)

    @property
    def done(self) -> int:
        """Bytes read so far, roughly."""
        return self._binary.tell()

    def places(self, columns: Sequence[tuple[str, str | None]]) -> list[int]:
        """Return for every (column, field that may be absent or None) its place in the row; absent ones come last.

        Raises UnreadableFile that names every column which is missing.
        """
        found = {name: place for place, name in enumerate(self.header)}
        missing = [column for column, absent in columns if column not in found and absent is None]
        if missing:
            raise UnreadableFile(
                f"these columns are missing: {', '.join(missing)}; check the export, the delimiter and the encoding"
            )
        return [found.get(column, len(self.header)) for column, _ in columns]

    def rows(self) -> Iterator[CsvRow | BadRow]:
        """Yield rows of the header's length, one None added for columns that the file has not; or what is no row."""
        reader, width = self._reader, len(self.header)
        line = reader.line_num + 1
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                yield BadRow(line, (), f"not a CSV row: {error}", broken=True)
                line = reader.line_num + 1
                continue
            if row is None:
                return
            first, line = line, reader.line_num + 1
            if len(row) != width:
                if not row or (len(row) == 1 and not row[0].strip()):
                    continue
                if len(row) < width or any(row[width:]):
                    # A row that ends the file short, or took up several lines, speaks of lost or swallowed lines.
                    broken = line - first > 1 or (len(row) < width and self._is_cut())
                    yield BadRow(first, row, f"the row has {len(row)} columns, the header {width}", broken)
                    continue
                del row[width:]
            cells: list[Any] = row
            cells.append(None)
            yield CsvRow(first, cells)

    def _is_cut(self) -> bool:
        """Whether the file was read to its end and the end is not the end of a line."""
        if self._binary.tell() < self.size:
            return False
        self._binary.seek(-1, 2)
        return self._binary.read(1) not in (b"\n", b"\r")


class JsonLinesFile:
    """A file of one JSON object per line, open."""

    def __init__(self, path: Path, source: FileSource) -> None:
        self._binary: BinaryIO = path.open("rb")
        self.size = path.stat().st_size
        self._encoding = "utf-8" if source.encoding == "utf-8-sig" else source.encoding
        self.done = 0

    def close(self) -> None:
        self._binary.close()

    def rows(self) -> Iterator[JsonRow | BadRow]:
        """Yield the objects, or what is none. Decimals keep their digits."""
        encoding = self._encoding
        for line, data in enumerate(self._binary, start=1):
            self.done += len(data)
            if line == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")
            if not data.strip():
                continue
            text = data.decode(encoding, errors="surrogateescape").strip()
            try:
                record = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
            except (ValueError, RecursionError):
                yield BadRow(line, (text,), "the line is not JSON", broken=not data.endswith(b"\n"))
                continue
            if isinstance(record, dict):
                yield JsonRow(line, text, record)
            else:
                yield BadRow(line, (text,), "the line is not a JSON object", broken=False)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
