"""The state of one partition on disk: the latest accepted record per key, and which committed offsets it stands for.

One RocksDB per partition. Everything a batch changes goes in with one atomic write, after its transaction is committed,
so the state is always that of some committed offsets; if they are not the group's, `govbus.exchange.restore` reads the
rest from the ``current`` topics. Losing the folder loses time, never data.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rocksdict import AccessType, DBCompressionType, Options, Rdict, WriteBatch

from govbus.errors import GovbusError

FORMAT = 1
_CHECKPOINT = b"\x00checkpoint"
_RECORD = b"\x01"
_SAID = b"\x02"
_DUE = b"\x03"
_WRITE_BUFFER_BYTES = 16 * 1024 * 1024


class StateFormatError(GovbusError):
    """The state on disk was written by another version of govbus; the text says what to do."""


class StateUnavailable(GovbusError):
    """The state cannot be opened or written (disk full, folder in use, damaged); the text says what to do."""


@dataclass(slots=True)
class Checkpoint:
    """What the state stands for.

    `offsets`: per input topic the next offset to read. `currents`: per current topic its id and the end up to which the
    state holds it. `prefixes`: per dataset the prefix of its keys in this state. `said`: per golden view the version
    under which what is said of its entities was taken down, and `counts` how its reports compare: by element, dataset
    and result.
    """

    offsets: dict[str, int] = field(default_factory=dict)
    currents: dict[str, tuple[str, int]] = field(default_factory=dict)
    prefixes: dict[str, int] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    incidents: dict[str, dict[str, int]] = field(default_factory=dict)
    counts: dict[str, Counter[tuple[int, int, str]]] = field(default_factory=dict)

    def document(self) -> bytes:
        content = {
            "format": FORMAT,
            "offsets": self.offsets,
            "currents": self.currents,
            "prefixes": self.prefixes,
            "said": self.said,
            "incidents": self.incidents,
            "counts": {name: [[*of, number] for of, number in each.items()] for name, each in self.counts.items()},
        }
        return json.dumps(content).encode()

    @classmethod
    def parse(cls, document: bytes, folder: Path) -> Checkpoint:
        content: dict[str, Any] = json.loads(document)
        if content.get("format") != FORMAT:
            raise StateFormatError(
                f"the state in {folder} has format {content.get('format')}, this govbus reads {FORMAT}: run the govbus "
                "that wrote it, or delete the folder: the state is then restored from Kafka"
            )
        return cls(
            offsets=content["offsets"],
            currents={topic: (topic_id, end) for topic, (topic_id, end) in content["currents"].items()},
            prefixes=content["prefixes"],
            said=content.get("said", {}),
            incidents=content.get("incidents", {}),
            counts={
                name: Counter({(element, dataset, result): number for element, dataset, result, number in counts})
                for name, counts in content.get("counts", {}).items()
            },
        )


class PartitionState:
    """The open state of one partition. Close it before the partition is handed on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = Rdict(str(folder), _options(), access_type=AccessType.read_write())
        except Exception as error:
            raise _unavailable(folder, error) from error
        self.get: Callable[[bytes], bytes | None] = self._db.get
        """Return the state value under a state key, or None."""
        document = self._db.get(_CHECKPOINT)
        self.checkpoint = Checkpoint() if document is None else Checkpoint.parse(document, folder)

    def prefix(self, dataset: str) -> bytes:
        """Return the three bytes that stand before the keys of *dataset* in this state; kept with the next write."""
        return _RECORD + self.prefix_number(dataset).to_bytes(2, "big")

    def prefix_number(self, dataset: str) -> int:
        """Return the number of *dataset* in this state; kept with the next write."""
        return self.checkpoint.prefixes.setdefault(dataset, len(self.checkpoint.prefixes))

    def entity_prefixes(self, golden: str) -> tuple[bytes, bytes]:
        """Return what stands before the ids of an entity: for what is said of it, and for when it is due."""
        number = self.prefix_number(golden).to_bytes(2, "big")
        return _SAID + number, _DUE + number

    def write(self, pending: Mapping[bytes, bytes]) -> None:
        """Write *pending* and the checkpoint as it now is, atomically; what is empty is deleted."""
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in pending.items():
            if value:
                put(key, value)
            else:
                batch.delete(key)
        put(_CHECKPOINT, self.checkpoint.document())
        try:
            self._db.write(batch)
        except Exception as error:
            raise _unavailable(self.folder, error) from error

    def forget(self, state_key: bytes) -> None:
        """Delete one record for good: only where ``current`` itself has forgotten it."""
        try:
            self._db.delete(state_key)
        except Exception as error:
            raise _unavailable(self.folder, error) from error

    def records(self, dataset: str, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (record key, state value) of *dataset* in key order, those after record key *after* only."""
        prefix = self.prefix(dataset)
        start = prefix if after is None else prefix + after + b"\x00"
        for key, value in self._db.items(from_key=start):
            assert isinstance(key, bytes)
            if not key.startswith(prefix):
                return
            yield key[len(prefix) :], value

    def entries(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (state key, value) of everything that begins with *prefix*, in order."""
        for key, value in self._db.items(from_key=prefix):
            assert isinstance(key, bytes)
            if not key.startswith(prefix):
                return
            yield key, value

    def delete_all(self, prefix: bytes) -> None:
        """Delete everything that begins with *prefix*; only for what can be made anew from the records."""
        for key, _ in self.entries(prefix):
            self._db.delete(key)

    def record_count(self) -> int:
        """Return about how many records are held."""
        return int(self._db.property_int_value("rocksdb.estimate-num-keys") or 0)

    def size_bytes(self) -> int:
        """Return about how many bytes the state takes: its tables on disk, and what is not in one yet."""
        return sum(
            int(self._db.property_int_value(name) or 0)
            for name in ("rocksdb.live-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        )

    def close(self) -> None:
        self._db.close()


def discard(folder: Path) -> None:
    """Delete the state in *folder*; it is restored from Kafka."""
    shutil.rmtree(folder, ignore_errors=True)


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(1024 * 1024)
    options.set_max_background_jobs(2)
    options.optimize_for_point_lookup(8)
    options.set_max_open_files(64)
    return options


def state_fault(error: Exception, folder: Path) -> StateUnavailable | None:
    """Return what *error* means if the database raised it while it was read, else None.

    Looking up a key is the hottest call there is, so it is not wrapped. The database has one kind of exception for all
    its faults, a disk that cannot be read included: the bare class `Exception`, which nothing else raises.
    """
    return _unavailable(folder, error) if type(error) is Exception else None


def _unavailable(folder: Path, error: Exception) -> StateUnavailable:
    return StateUnavailable(
        f"the state in {folder} cannot be used ({type(error).__name__}: {error}): free the disk if it is full; if the "
        "folder is damaged, delete it and the state is restored from Kafka"
    )
