"""The files that departments export: CSV and JSON Lines, as their sources are declared; full snapshots or changes."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from datetime import date, datetime, time
from pathlib import Path
from random import Random
from typing import IO

from govbus.catalogue.source import FileSource
from govbus.errors import SettingsError
from govbus.ops.city.declared import Declared
from govbus.ops.city.row import CsvCells, Row, date_text, json_object, moment_text
from govbus.rules.share import CHINA_STANDARD_TIME

UPSERT, DELETE = "U", "D"


class Export:
    """One dataset's export files: the first one row by row, then one per wave of changes.

    A snapshot of a later wave is the first file again with what has changed since, copied line by line: only the
    changes are held in memory.
    """

    def __init__(self, declared: Declared, source: FileSource, folder: Path, seed: int, day: date) -> None:
        self.declared, self.source = declared, source
        self._lines = 0
        self._replaced: dict[int, bytes | None] = {}
        self._appended: list[bytes] = []
        self._wave: list[bytes] = []
        self._encoding = "utf-8" if source.encoding == "utf-8-sig" else source.encoding
        self._newline = "\r\n" if source.encoding == "gb18030" else "\n"
        self._cells = CsvCells(declared, source, Random(f"cells {declared.id} {seed}").random)
        self._first, self._day = self._path(folder, day), day
        self._file: IO[bytes] = self._open(self._first)

    # --- the first export ----------------------------------------------------------------------------------------

    def write(self, row: Row) -> int:
        """Write *row* and return its place, by which `change` finds it again."""
        place = self._lines
        line = self._line(row, UPSERT)
        for _ in range(row.copies):
            self._file.write(line)
        self._lines += row.copies
        return place

    def close(self) -> None:
        """End the first export."""
        self._file.close()
        _date(self._first, self._day)

    # --- waves of changes ----------------------------------------------------------------------------------------

    def change(self, place: int | None, before: Row | None, after: Row | None) -> None:
        """Note that a row has changed: *before* at *place* becomes *after*; None means that there is none."""
        if self.source.mode == "changes":
            if after is not None:
                self._wave.append(self._line(after, UPSERT))
            elif before is not None:
                self._wave.append(self._line(before, DELETE))
            return
        line = None if after is None else self._line(after, UPSERT)
        if place is None or before is None:
            if line is not None:
                self._appended.append(line)
        else:
            self._replaced.update(dict.fromkeys(range(place, place + before.copies)))
            self._replaced[place] = line
        self._wave.append(b"")

    def end_wave(self, folder: Path, day: date) -> None:
        """Write the wave's file into *folder*, if anything has changed."""
        if not self._wave:
            return
        path = self._path(folder, day)
        with self._open(path) as file:
            file.writelines(self._wave if self.source.mode == "changes" else self._snapshot())
        _date(path, day)
        self._wave.clear()

    def _snapshot(self) -> Iterable[bytes]:
        with self._first.open("rb") as first:
            if self.source.format == "csv":
                next(first)
            for place, line in enumerate(first):
                kept = self._replaced.get(place, line)
                if kept is not None:
                    yield kept
        yield from self._appended

    # --- lines ---------------------------------------------------------------------------------------------------

    def _line(self, row: Row, operation: str) -> bytes:
        source = self.source
        if source.format == "jsonl":
            record = json_object(self.declared.columns, row, source.dates[0])
            if source.mode == "changes" and source.operation:
                record[source.operation] = operation
            if source.version:
                record[source.version] = row.changed_at.isoformat()
            return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode(self._encoding) + b"\n"
        cells = self._cells.of(row)
        if source.mode == "changes" and source.operation:
            cells.insert(0, operation)
        if source.version:
            cells.append(moment_text(row.changed_at))
        return self._csv(cells)

    def _csv(self, cells: list[str]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self.source.delimiter, lineterminator=self._newline).writerow(cells)
        return text.getvalue().encode(self._encoding)

    def _open(self, path: Path) -> IO[bytes]:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
        if self.source.format == "csv":
            header = [column.name for column in self.declared.columns]
            if self.source.mode == "changes" and self.source.operation:
                header.insert(0, self.source.operation)
            if self.source.version:
                header.append(self.source.version)
            if self.source.encoding == "utf-8-sig":
                file.write(b"\xef\xbb\xbf")
            file.write(self._csv(header))
        return file

    def _path(self, folder: Path, day: date) -> Path:
        name = f"{self.declared.dataset}_{date_text(day, '%Y%m%d')}"
        path = self.source.path.replace("*", name, 1)
        if any(sign in path for sign in "*?["):
            raise SettingsError(f"{self.declared.id}: govbus city writes to a path with one * at most")
        return folder / self.declared.department / path


def _date(path: Path, day: date) -> None:
    """Give the file the time at which departments export: six in the evening of *day*, in China."""
    evening = datetime.combine(day, time(18), CHINA_STANDARD_TIME).timestamp()
    os.utime(path, (evening, evening))
