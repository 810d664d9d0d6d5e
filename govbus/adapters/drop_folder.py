"""A department's drop folder: which files are complete, whose turn it is, and where they go.

    DROP/population/export.csv                 waits, until it no longer changes and nobody has it open for writing
    DROP/population/.taken/export.csv          is being read; after a crash it is the first to be read again
    DROP/population/done/export.csv            finished; beside it export.csv.rejected.csv, if rows were refused
    DROP/population/held/export.csv            a snapshot that would delete too much; export.csv.why.txt says what to do
    DROP/population/failed/export.csv          not what was declared; export.csv.why.txt says why

A file is moved to ``.taken`` before it is opened, so that a new file of the same name can arrive meanwhile and is
never taken for the one being read. Names that begin with a dot or end in .part or .tmp are never looked at: writing
under such a name and renaming is the safest way to deliver.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from errno import EAGAIN
from pathlib import Path, PurePosixPath

SETTLE_SECONDS = 1.0
"""A file that has not changed for so long, between two looks, is complete (if nobody has it open for writing)."""

OLD_SECONDS = 60.0
"""A file last changed so long ago is complete at the first look."""

TAKEN, DONE, HELD, FAILED = ".taken", "done", "held", "failed"
_UNFINISHED = (".part", ".tmp", ".partial", ".filepart", ".crdownload")
_OURS = (".rejected.csv", ".why.txt")
_F_SETSIG = 10


@dataclass
class DropFolder:
    """The files of one dataset: *pattern* under *root*, e.g. ``population/*.csv``."""

    root: Path
    pattern: str
    _looks: dict[Path, tuple[int, int, float]] = field(default_factory=dict)

    def taken(self) -> list[Path]:
        """Return the files that a process had taken when it ended, by name."""
        return sorted(path for path in self._in(TAKEN) if path.is_file() and not path.name.endswith(_OURS))

    def held(self) -> list[Path]:
        """Return the snapshots that wait for a person's decision, by name."""
        return sorted(path for path in self._in(HELD) if path.is_file() and not path.name.endswith(_OURS))

    def complete(self) -> tuple[list[Path], bool]:
        """Return the complete files by name, and whether others are still being written."""
        looks: dict[Path, tuple[int, int, float]] = {}
        ready, waiting = [], False
        for path in self._waiting():
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            now = time.monotonic()
            size, changed, since = self._looks.get(path, (-1, -1, now))
            if (size, changed) != (found.st_size, found.st_mtime_ns):
                since = now
            looks[path] = (found.st_size, found.st_mtime_ns, since)
            old = time.time() - found.st_mtime > OLD_SECONDS
            if (old or now - since >= SETTLE_SECONDS) and not is_open_for_writing(path):
                ready.append(path)
            else:
                waiting = True
        self._looks = looks
        return ready, waiting

    def take(self, path: Path) -> Path | None:
        """Move a complete file to where it is read; None if it has gone."""
        target = self._room(path) / TAKEN / path.name
        target.parent.mkdir(exist_ok=True)
        try:
            path.rename(target)
        except FileNotFoundError:
            return None
        self._looks.pop(path, None)
        return target

    def finish(self, taken: Path, where: str, why: str | None = None) -> Path:
        """Move a taken file (and its rejected rows) to *where*; write down *why* beside it."""
        folder = self._room(taken) / where
        folder.mkdir(exist_ok=True)
        target = _free(folder, taken.name)
        rejected = rejected_rows_of(taken)
        # The rejected rows go first: if the process ends here, the file is read again and makes them again.
        if rejected.exists():
            rejected.rename(rejected_rows_of(target))
        if why is not None:
            target.with_name(f"{target.name}.why.txt").write_text(why + "\n", encoding="utf-8")
        taken.rename(target)
        return target

    def supersede(self) -> int:
        """Move held snapshots out of the way of a later one that was taken in whole; return how many."""
        held = self.held()
        for path in held:
            path.with_name(f"{path.name}.why.txt").unlink(missing_ok=True)
            rejected_rows_of(path).unlink(missing_ok=True)
            folder = self._room(path) / DONE
            folder.mkdir(exist_ok=True)
            path.rename(_free(folder, f"{path.name}.superseded"))
        return len(held)

    def _waiting(self) -> list[Path]:
        rooms = {TAKEN, DONE, HELD, FAILED}
        return sorted(
            path
            for path in self.root.glob(self.pattern)
            if path.is_file()
            and not path.name.startswith(".")
            and not path.name.lower().endswith(_UNFINISHED + _OURS)
            and not rooms.intersection(path.relative_to(self.root).parts)
        )

    def _in(self, where: str) -> Iterator[Path]:
        pattern = PurePosixPath(self.pattern)
        return self.root.glob(str(pattern.parent / where / pattern.name))

    def _room(self, path: Path) -> Path:
        return path.parent.parent if path.parent.name in (TAKEN, HELD) else path.parent


def rejected_rows_of(path: Path) -> Path:
    """Return where the rejected rows of the file at *path* stand."""
    return path.with_name(f"{path.name}.rejected.csv")


def _free(folder: Path, name: str) -> Path:
    """Return a path in *folder* that is not taken: the name, or the name with a number before its ending."""
    path, number = folder / name, 2
    while path.exists():
        path = folder / f"{Path(name).stem}.{number}{Path(name).suffix}"
        number += 1
    return path


def is_open_for_writing(path: Path) -> bool:
    """Return whether a process of this machine has the file open for writing, as far as the system tells.

    A read lease is only granted on a file that nobody writes (fcntl(2), F_SETLEASE); where leases are not to be had
    (another owner's file, a network file system), the answer is False and stability alone has to do.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        # Should a writer come in this very moment, the kernel tells us by SIGURG, which is ignored, not by SIGIO, which
        # would end the process; the writer waits the microseconds until the lease is given back.
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == EAGAIN
    finally:
        os.close(descriptor)
    return False
