"""Rows of a database that cannot be published, for the department's own eyes: ``HOME/rejected/DEPARTMENT.DATASET.csv``.

A row that is read again and again (by the overlap of a watermark) is written and counted once.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

_MOST_REMEMBERED = 200_000


class RejectedLog:
    """The rejected rows of one dataset. With *write* off nothing is written, and everything still counted once."""

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
                "a", encoding="utf-8-sig" if new else "utf-8", newline="", errors="backslashreplace"
            ) as file:
                writer = csv.writer(file)
                if new:
                    self._path.chmod(0o600)
                    writer.writerow(["at", "reason", *columns])
                writer.writerow([datetime.now(UTC).isoformat(timespec="seconds"), reason, *cells])
        return True
