"""The journal: per key the version and digest of what a department last published, so that only changes travel.

One SQLite file per dataset, ``HOME/journal/DEPARTMENT.DATASET.sqlite``, held by one process at a time. The order that
makes a kill at any moment harmless:

1. **intend**: before a batch is produced, the new version and digest of each of its keys are written, under the number
   of the batch, and committed to disk;
2. **produce**: the batch goes to Kafka;
3. **settle**: when the brokers have acknowledged every record of it, the batch is marked as acknowledged, together with
   the source's position (line of a file, watermark, transaction of an outbox).

What was intended and not settled before a crash is *unsure*: it may or may not have arrived. It counts as not
published, so it is published again, but with what the journal knows: unchanged values go out under the same version,
which the bus takes as a duplicate, and changed values under a higher one. Without step 1 a source that changes between
the crash and the restart would reuse a version for other values, which the bus must refuse.

A lost journal is rebuilt from the department's own topic (`govbus.adapters.rebuild`).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from govbus.errors import GovbusError, Unavailable

FORMAT = 1
UNSURE = -1
_FIRST_BATCH = 1
_KEYS_PER_QUERY = 500

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    source_order INTEGER,
    digest BLOB,
    batch INTEGER NOT NULL
);
"""


class Held(NamedTuple):
    """What the journal knows of one key. `digest` None: deleted; `source_order`: the source's own number, if any."""

    id: int
    version: int
    source_order: int | None
    digest: bytes | None
    batch: int

    @property
    def unsure(self) -> bool:
        """Whether it was being published when a process died."""
        return self.batch == UNSURE


class JournalBusy(GovbusError):
    """Another process publishes this dataset."""


class JournalFormatError(GovbusError):
    """The journal was written by another version of govbus."""


def digest_of(body: bytes) -> bytes:
    """Return the 16-byte digest by which two records are found equal."""
    return blake2b(body, digest_size=16).digest()


class Journal:
    """One dataset's journal. Not for several threads. Close it, or use it as a context manager.

    Raises JournalBusy where another process holds it, JournalFormatError for another format, and `Unavailable` where
    the disk is full or unreadable.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise JournalBusy(f"another process publishes this dataset: it holds {path}; end it first") from None
        try:
            self._db = self._open()
            self._recover()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise Unavailable(f"the journal {self.path} cannot be opened: {error}") from error
            # Not a database any more: as good as lost, and a lost journal is rebuilt.
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -65536")
        found = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
        if not found:
            db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            os.chmod(self.path, 0o600)
        return db

    def _recover(self) -> None:
        format = self._meta("format")
        if format is None:
            self._set_meta({"format": FORMAT, "intended": _FIRST_BATCH, "settled": _FIRST_BATCH})
        elif format != FORMAT:
            raise JournalFormatError(
                f"the journal {self.path} has format {format}, this govbus writes {FORMAT}: delete it, it is rebuilt "
                "from the dataset's raw topic"
            )
        intended, settled = int(self._meta("intended")), int(self._meta("settled"))
        if intended > settled:
            with self._transaction():
                self._db.execute("UPDATE entry SET batch = ? WHERE batch > ?", (UNSURE, settled))
                self._set_meta({"settled": intended})
        self._batch = intended
        self._last_id = int(self._db.execute("SELECT coalesce(max(id), 0) FROM entry").fetchone()[0])

    def close(self) -> None:
        """Close the file and let another process have it."""
        self._db.close()
        os.close(self._lock)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- identity: which topic, which epoch, complete or not ------------------------------------------------------

    @property
    def identity(self) -> str | None:
        """What this journal stands for (`bind`), or None for one that is new or was not filled to its end."""
        value = self._meta("identity")
        return None if value is None else str(value)

    def bind(self, identity: str) -> None:
        """Say that this journal is complete for *identity*: the id of the raw topic it describes."""
        self._set_meta({"identity": identity})

    def forget(self) -> None:
        """Empty the journal, positions too."""
        with self._transaction():
            self._db.execute("DELETE FROM entry")
            self._db.execute("DELETE FROM meta WHERE name = 'identity' OR name LIKE 'position|%'")

    def restart_versions(self) -> None:
        """Keep the keys, forget versions and values: everything is published again, from the source's versions on."""
        with self._transaction():
            self._db.execute("UPDATE entry SET version = 0, source_order = NULL, digest = x'' WHERE digest IS NOT NULL")
            self._db.execute("UPDATE entry SET version = 0, source_order = NULL WHERE digest IS NULL")
            self._db.execute("DELETE FROM meta WHERE name LIKE 'position|%'")

    @property
    def epoch(self) -> int:
        """The epoch of the dataset that the versions belong to."""
        return int(self._meta("epoch") or 0)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._set_meta({"epoch": epoch})

    def order_by(self, order: str) -> None:
        """Say which order of the source `Held.source_order` is; another one than before makes the old numbers void."""
        if self._meta("order") != order:
            with self._transaction():
                self._db.execute("UPDATE entry SET source_order = NULL WHERE source_order IS NOT NULL")
                self._set_meta({"order": order})

    # --- reading -------------------------------------------------------------------------------------------------

    @property
    def last_id(self) -> int:
        """The highest entry id given so far; ids rise and are never given twice within a run."""
        return self._last_id

    @property
    def settled(self) -> int:
        """The number of the last batch that was acknowledged."""
        return int(self._meta("settled"))

    def lookup(self, keys: Sequence[bytes]) -> dict[bytes, Held]:
        """Return what is held of those of *keys* that are known."""
        found: dict[bytes, Held] = {}
        make = Held._make
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            some = keys[start : start + _KEYS_PER_QUERY]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(
                f"SELECT key, id, version, source_order, digest, batch FROM entry WHERE key IN ({marks})", some
            )
            found.update((row[0], make(row[1:])) for row in rows)
        return found

    def live(self) -> int:
        """Return the number of keys that are published and not deleted."""
        return int(self._db.execute("SELECT count(*) FROM entry WHERE digest IS NOT NULL").fetchone()[0])

    def size(self) -> int:
        """Return the number of keys, deleted ones included."""
        return int(self._db.execute("SELECT count(*) FROM entry").fetchone()[0])

    def unseen(self, seen: bytearray, after: int = 0) -> Iterator[tuple[bytes, Held]]:
        """Yield every live (or unsurely deleted) entry with an id over *after* that is not marked in *seen*, by id.

        Entries beyond the end of *seen* are not looked at. The journal must not be written while this is read.
        """
        rows = self._db.execute(
            "SELECT key, id, version, source_order, digest, batch FROM entry"
            " WHERE id > ? AND id < ? AND (digest IS NOT NULL OR batch = ?) ORDER BY id",
            (after, len(seen), UNSURE),
        )
        for row in rows:
            if not seen[row[1]]:
                yield row[0], Held._make(row[1:])

    def position(self, source: str) -> str | None:
        """Return the position of *source* as of its last settled batch."""
        value = self._meta(f"position|{source}")
        return None if value is None else str(value)

    # --- writing -------------------------------------------------------------------------------------------------

    def intend(
        self,
        new: Iterable[tuple[bytes, int, int | None, bytes | None]],
        changed: Iterable[tuple[int, int, int | None, bytes | None]],
        reordered: Iterable[tuple[int, int]] = (),
    ) -> int:
        """Write down a batch about to be produced and return its number; on disk when this returns.

        *new* has (key, version, source order, digest) of unknown keys, *changed* (id, version, source order, digest) of
        known ones, *reordered* (id, source order) of values that need not be sent again. Ids of the new keys follow
        `last_id` in the order given.
        """
        batch = self._batch + 1
        first = self._last_id + 1
        rows = [(first + place, *row, batch) for place, row in enumerate(new)]
        with self._transaction():
            self._db.executemany(
                "INSERT INTO entry (id, key, version, source_order, digest, batch) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            self._db.executemany(
                "UPDATE entry SET version = ?2, source_order = ?3, digest = ?4, batch = ?5 WHERE id = ?1",
                [(*row, batch) for row in changed],
            )
            self._db.executemany("UPDATE entry SET source_order = ?2 WHERE id = ?1", reordered)
            self._set_meta({"intended": batch})
        self._batch = batch
        self._last_id += len(rows)
        return batch

    def settle(self, batch: int, positions: Mapping[str, str | None]) -> None:
        """Mark *batch* and all before it as acknowledged, and keep the *positions* reached (None: forget it)."""
        with self._transaction():
            self._set_meta({"settled": batch})
            for source, position in positions.items():
                if position is None:
                    self._db.execute("DELETE FROM meta WHERE name = ?", (f"position|{source}",))
                else:
                    self._set_meta({f"position|{source}": position})

    def fill(self, entries: Iterable[tuple[bytes, int, bytes | None]]) -> None:
        """Add (key, version, digest) read back from Kafka; of several versions of a key the highest stays."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO entry (key, version, digest, batch) VALUES (?, ?, ?, 0) ON CONFLICT (key) DO UPDATE"
                " SET version = excluded.version, digest = excluded.digest WHERE excluded.version > version",
                entries,
            )
        self._last_id = int(self._db.execute("SELECT coalesce(max(id), 0) FROM entry").fetchone()[0])

    # --- underneath ----------------------------------------------------------------------------------------------

    def _meta(self, name: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _set_meta(self, values: Mapping[str, Any]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", values.items())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise Unavailable(f"the journal {self.path} cannot be written: {error}") from error
