"""Rejected rows, written down for the department's own eyes: beside a file, or in the data folder for a database.

Nobody else reads them: they hold the rows as they were, values included.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

from govbus.adapters.drop_folder import rejected_rows_of

# The mark at the start tells spreadsheets that this is UTF-8.
_ENCODING = "utf-8-sig"
_MOST_REMEMBERED = 200_000


class RejectedLog:
    """The rejected rows of one dataset's database, in ``HOME/rejected/DEPARTMENT.DATASET.csv``.

    A row that is read again and again (by the overlap of a watermark) is written and counted once. With *write* off
    nothing is written, and everything still counted.
    """

    def __init__(self, home: Path, dataset: str, *, write: bool = True) -> None:
        self._path = home / "rejected" / f"{dataset}.csv"
        self._write = write
        self._known: set[bytes] = set()

    def add(self, columns: Sequence[str], cells: Sequence[Any], reason: str) -> bool:
        """Write a row with its *reason*; return whether it is new."""
        mark = blake2b(repr((reason, *cells)).encode(errors="backslashreplace"), digest_size=16).digest()
        if mark in self._known:
            return False
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known.add(mark)
        if self._write:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = not self._path.exists()
            with self._path.open(
                "a", encoding=_ENCODING if new else "utf-8", newline="", errors="backslashreplace"
            ) as file:
                writer = csv.writer(file)
                if new:
                    self._path.chmod(0o600)
                    writer.writerow(["at", "reason", *columns])
                writer.writerow([datetime.now(UTC).isoformat(timespec="seconds"), reason, *cells])
        return True


class RejectedRows:
    """The rejected rows of one file, for the department's own eyes: line, reason, and the row as it was."""

    def __init__(self, path: Path, kept_bytes: int, *, write: bool) -> None:
        self._path = rejected_rows_of(path)
        self._write = write
        self._kept_bytes = kept_bytes
        self._head: list[str] = []
        self._file: Any = None
        self._writer: Any = None
        if write and kept_bytes == 0:
            self._path.unlink(missing_ok=True)

    def head(self, names: list[str]) -> None:
        """Say what the columns are called."""
        self._head = names

    def write(self, cells: Sequence[Any]) -> None:
        if not self._write:
            return
        if self._file is None:
            self._open()
        self._writer.writerow(cells)

    def _open(self) -> None:
        resumed = self._kept_bytes > 0
        if resumed:
            with self._path.open("r+b") as before:
                before.truncate(self._kept_bytes)
        self._file = self._path.open(
            "a", encoding="utf-8" if resumed else _ENCODING, errors="backslashreplace", newline=""
        )
        self._path.chmod(0o600)
        self._writer = csv.writer(self._file)
        if not resumed:
            self._writer.writerow(self._head)

    def flushed_bytes(self) -> int:
        """Return the size of the file, all of it written."""
        if self._file is None:
            return self._kept_bytes
        self._file.flush()
        return self._path.stat().st_size

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
