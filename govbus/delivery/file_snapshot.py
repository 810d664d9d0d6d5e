"""Everything a topic says, last record per key, gathered on disk: what a snapshot is written from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rocksdict import AccessType, Options, Rdict, WriteBatch, WriteOptions

from govbus.errors import Unavailable


class Gathering:
    """The records of one topic as they are read from its start. On disk, because a register may not fit into memory."""

    def __init__(self, folder: Path) -> None:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(32 * 1024 * 1024)
        self._folder = folder
        try:
            self._store = Rdict(str(folder), options, access_type=AccessType.read_write())
        except Exception as error:
            raise self._unavailable(error) from error
        # It is thrown away after a crash: nothing needs to be logged for one.
        self._unlogged = WriteOptions()
        self._unlogged.disable_wal = True  # type: ignore[method-assign, assignment]  # the stub calls it a method

    def add(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Take the next records: the last one of each key, None for a deletion."""
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        try:
            self._store.write(batch, self._unlogged)
        except Exception as error:
            raise self._unavailable(error) from error

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and value of every record, by key."""
        for key, value in self._store.items():
            assert isinstance(key, bytes)
            yield key, value

    def close(self) -> None:
        self._store.close()
        Rdict.destroy(str(self._folder))

    def _unavailable(self, error: Exception) -> Unavailable:
        # RocksDB has one kind of exception for all of its faults, a full disk included.
        return Unavailable(f"records for a snapshot cannot be gathered in {self._folder}: {error}")
