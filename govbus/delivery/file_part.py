"""The folder of a file delivery: parts, each a folder of its own with data files and a manifest, that appear whole.

A part is written under a hidden name, forced to disk with everything in it, and then renamed: a reader sees all of it
or nothing, and the rename fails where another sink was faster. Each manifest names the SHA-256 of the manifest before,
and holds the positions that come after it, so the newest one says where to read on.

    FOLDER/00000001/manifest.json          FOLDER/.lock        held by the sink that runs
           00000001/police_population.csv  FOLDER/.head.json   the newest manifest once more, and since when it is level
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from govbus.delivery.shape import Column, Shape
from govbus.errors import GovbusError
from govbus.kafka.clients import Fenced

FORMAT: Literal[1] = 1
MANIFEST = "manifest.json"
SNAPSHOT_WANTED = ".snapshot-wanted"
_HEAD = ".head.json"
_LOCK = ".lock"
_DRAFT = ".part-"


class FolderTaken(GovbusError):
    """Another sink is delivering into this folder now."""


class BrokenChain(GovbusError):
    """The newest manifest cannot be read: somebody changed it. The text says what to do."""


class _Stated(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WrittenFile(_Stated):
    """One data file of a part. A snapshot's rows are all upserts."""

    file: str
    rows: int
    upserts: int
    deletes: int
    bytes: int
    sha256: str


class OffsetRange(_Stated):
    """The offsets of a partition that a part stands for: `next` is the first that it does not.

    At `level_at` nothing behind it was written yet, or everything before it was read from the log's start since then.
    """

    first: int
    next: int
    level_at: datetime


class DatasetPart(_Stated):
    """What a part brings of one dataset.

    `changes` lead from the part before to this one. `snapshot` is everything as of this part; where `replace` is true,
    what the receiver holds must be replaced by it, for `reason`, and there are no changes that lead there. A dataset
    that is `withdrawn` is replaced by nothing; `withdrawn_columns` may not be kept any longer.
    """

    topic: str
    topic_id: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partitions: dict[int, OffsetRange]
    changes: WrittenFile | None = None
    snapshot: WrittenFile | None = None
    replace: bool = False
    reason: str = ""
    withdrawn: bool = False
    withdrawn_columns: tuple[str, ...] = ()

    @property
    def shape(self) -> Shape:
        return Shape(self.columns, self.key)


class Manifest(_Stated):
    """One part of a delivery, and by its positions the state of the whole. Datasets that were withdrawn leave it."""

    format: Literal[1] = FORMAT
    number: int
    previous_sha256: str | None
    ask: str
    revision: int
    written_at: datetime
    datasets: dict[str, DatasetPart]

    @property
    def name(self) -> str:
        return f"{self.number:08}"

    def text(self) -> str:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"


class Head(_Stated):
    """The newest manifest, and when each partition (``TOPIC/PARTITION``) was last level with the log."""

    manifest: Manifest
    sha256: str
    level_at: dict[str, datetime]


class PartFolder:
    """A delivery's folder, locked for one sink while this object is open."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock: IO[str] = (folder / _LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise FolderTaken(f"another sink is delivering into {folder}: end it first, or let it go on") from error
        for left in folder.glob(f"{_DRAFT}*"):
            shutil.rmtree(left)
        self._head = self._read_head()

    @property
    def head(self) -> Head | None:
        """The state after the newest part, None before the first."""
        return self._head

    def _read_head(self) -> Head | None:
        parts = sorted(path for path in self.folder.glob("[0-9]" * 8) if (path / MANIFEST).is_file())
        kept = self._kept_head()
        # The copy is younger only if a reader took the newest part away, and older only if this sink died in between.
        if not parts or (kept is not None and kept.manifest.number >= int(parts[-1].name)):
            return kept
        content = (parts[-1] / MANIFEST).read_bytes()
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            raise BrokenChain(
                f"{parts[-1] / MANIFEST} cannot be read ({error.error_count()} faults): put it back as it was, or move "
                f"the content of {self.folder} away to receive everything anew"
            ) from error
        return Head(manifest=manifest, sha256=hashlib.sha256(content).hexdigest(), level_at={})

    def _kept_head(self) -> Head | None:
        try:
            return Head.model_validate_json((self.folder / _HEAD).read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise BrokenChain(f"{self.folder / _HEAD} cannot be read: remove it to go by the newest part") from error

    def draft(self) -> Path:
        """Return a new, empty, hidden folder for the files of the next part."""
        draft = self.folder / f"{_DRAFT}{os.getpid()}"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir()
        return draft

    def publish(self, draft: Path, manifest: Manifest, level_at: Mapping[str, datetime]) -> None:
        """Make *draft*, with *manifest*, the next part. Raises `Fenced` if there is a part of that number already."""
        content = manifest.text().encode()
        (draft / MANIFEST).write_bytes(content)
        for file in draft.iterdir():
            _force(file)
        _force(draft)
        try:
            draft.rename(self.folder / manifest.name)
        except OSError as error:
            if (self.folder / manifest.name).exists():
                raise Fenced(f"another sink delivers into {self.folder} too: part {manifest.name} is there") from error
            raise
        _force(self.folder)
        sha256 = hashlib.sha256(content).hexdigest()
        self._keep(Head(manifest=manifest, sha256=sha256, level_at=dict(level_at)))

    def note_level(self, level_at: Mapping[str, datetime]) -> None:
        """Write down when partitions were last level, without a part."""
        if self._head is not None:
            self._keep(self._head.model_copy(update={"level_at": dict(level_at)}))

    def _keep(self, head: Head) -> None:
        draft = self.folder / f"{_HEAD}.new"
        draft.write_text(head.model_dump_json())
        _force(draft)
        draft.replace(self.folder / _HEAD)
        self._head = head

    @property
    def snapshot_wanted(self) -> bool:
        return (self.folder / SNAPSHOT_WANTED).exists()

    def snapshot_given(self) -> None:
        """Take back the wish for a snapshot."""
        (self.folder / SNAPSHOT_WANTED).unlink(missing_ok=True)

    def close(self) -> None:
        self._lock.close()


def want_snapshot(folder: Path) -> None:
    """Ask the sink of *folder*, the one that runs or the next, for a snapshot of every dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SNAPSHOT_WANTED).touch()


def measured(file: Path, upserts: int, deletes: int) -> WrittenFile:
    """Return what a manifest says of a finished *file*."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return WrittenFile(
        file=file.name,
        rows=upserts + deletes,
        upserts=upserts,
        deletes=deletes,
        bytes=file.stat().st_size,
        sha256=digest,
    )


def _force(path: Path) -> None:
    """Force a file or folder to disk: a name that points to nothing after a power cut would be a part that is not."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def now() -> datetime:
    return datetime.now(UTC)
