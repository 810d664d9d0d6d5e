"""The file adapter: full snapshots and change files from a drop folder, CSV or JSON Lines.

A *snapshot* is the whole register: rows that differ from what was last published travel, rows that vanished become
deletions, the rest stays quiet. A *change file* says per row what happened. Either may be read again from its start
after a crash: of a snapshot nothing that has travelled differs any more, and a change file goes on behind the last
batch that had arrived.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import structlog

from govbus import metrics
from govbus.adapters.avro_values import text_of
from govbus.adapters.decision import Change
from govbus.adapters.drop_folder import DONE, FAILED, HELD, DropFolder, rejected_rows_of
from govbus.adapters.feed import BATCH_RECORDS, Feed
from govbus.adapters.file_rows import (
    BadRow,
    CsvFile,
    CsvRow,
    JsonLinesFile,
    JsonRow,
    UnreadableFile,
    lost_digits,
)
from govbus.adapters.look import Look, Progress
from govbus.adapters.rejected_rows import RejectedRows
from govbus.adapters.sweep import sweep
from govbus.adapters.values import InvalidRecord, RecordShape
from govbus.catalogue.model import Dataset
from govbus.catalogue.source import FileSource
from govbus.rules.dates import INSTANT_FORMATS, instant_reader
from govbus.rules.reject import RejectReason

log = structlog.get_logger()

UPSERTS = frozenset({"U", "I", "C", "R", "UPSERT", "INSERT", "UPDATE", "新增", "修改", "变更"})
DELETIONS = frozenset({"D", "DELETE", "删除"})
"""What the operation column of a change file may say, in any case."""

_EVERY_SECONDS = 0.5


class FileAdapter:
    """The files of one dataset. *open_feed* opens its way onto the bus, anew after every error."""

    kind = "file"
    every_seconds = _EVERY_SECONDS

    def __init__(
        self,
        dataset: Dataset,
        source: FileSource,
        drop: Path,
        open_feed: Callable[[], Feed],
        *,
        accept_deletions: int | None = None,
        progress: Progress = lambda doing, done, of: None,
    ) -> None:
        self.dataset = dataset.id
        self._declared = dataset
        self._source = source
        self._folder = DropFolder(drop, source.path)
        self._open_feed = open_feed
        self._feed: Feed | None = None
        self._accepted = accept_deletions
        self._progress = progress
        self._read_dry: set[Path] = set()

    def let_go(self) -> None:
        """Close the journal; what was in flight is sent again by the next look."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None

    def look(self) -> Look:
        """Read every complete file, by name. What a killed process had taken comes first."""
        look = Look(self.dataset, self.kind)
        taken = self._folder.taken()
        held = self._folder.held() if self._accepted is not None else []
        ready, look.pending = self._folder.complete()
        if not (taken or held or ready):
            return look
        if self._feed is None:
            self._feed = self._open_feed()
            self._feed.journal.order_by("version")
        if self._feed.dry_run:
            for path in [*taken, *held[-1:], *ready]:
                if path not in self._read_dry:
                    self._read_dry.add(path)
                    look.add(self._read(path, self._feed))
            return look
        for path in taken:
            look.add(self._finish(path, self._feed))
        # Of several held snapshots the last one is the register's latest view.
        for path in [*held[-1:], *ready]:
            if (took := self._folder.take(path)) is not None:
                path.with_name(f"{path.name}.why.txt").unlink(missing_ok=True)
                rejected_rows_of(path).unlink(missing_ok=True)
                look.add(self._finish(took, self._feed))
        return look

    def _finish(self, taken: Path, feed: Feed) -> Look:
        look = self._read(taken, feed)
        feed.settle()
        feed.show_journal()
        held = metrics.ADAPTER_HELD_DELETIONS.labels(dataset=self.dataset)
        if look.held:
            why = look.said[-1]
            self._folder.finish(taken, HELD, why)
            held.set(look.held)
        elif not look.completed:
            self._folder.finish(taken, FAILED, look.said[-1])
        else:
            self._folder.finish(taken, DONE)
            if self._source.mode == "snapshot":
                # What a person allowed was for the deletions he was shown, not for those of all times.
                self._accepted = None
                self._folder.supersede()
                held.set(0)
        feed.forget_position(self.kind)
        outcome = "held" if look.held else "done" if look.completed else "failed"
        metrics.ADAPTER_FILES.labels(dataset=self.dataset, outcome=outcome).inc()
        return look

    def _read(self, path: Path, feed: Feed) -> Look:
        look = Look(self.dataset, self.kind)
        try:
            _Reading(self._declared, self._source, path, feed, look, self._progress).run(self._accepted or 0)
        except UnreadableFile as unreadable:
            feed.settle()
            look.completed = False
            look.said.append(f"{path.name}: {unreadable}")
            log.error("file refused", dataset=self.dataset, file=path.name, reason=str(unreadable))
        return look


class _Reading:
    """One file being read."""

    def __init__(
        self, dataset: Dataset, source: FileSource, path: Path, feed: Feed, look: Look, progress: Progress
    ) -> None:
        self._dataset, self._source, self._path, self._feed, self._look = dataset, source, path, feed, look
        self._progress = progress
        changed = path.stat()
        # The file's time stands for the rows' where they have none of their own; never a time to come.
        self._file_micros = min(changed.st_mtime_ns, time.time_ns()) // 1000
        self._identity = f"{path.name}|{changed.st_size}|{changed.st_mtime_ns}"
        self._changes: list[Change] = []
        self._origins: list[CsvRow | JsonRow] = []
        self._present: list[bytes] = []
        self._broken = 0
        self._rows = 0
        self._rejected: RejectedRows | None = None
        self._snapshot = source.mode == "snapshot"
        self._seen = bytearray(feed.journal.last_id + 1) if self._snapshot else None
        self._time_of = instant_reader((*source.dates, *INSTANT_FORMATS))
        self._shape = RecordShape(
            dataset,
            feed.schema,
            feed.link.revision.catalogue.vocabulary,
            columns=source.columns,
            dates=source.dates,
            nulls=source.nulls,
            texts=source.format == "csv",
            lost_digits=self._has_ids() and lost_digits(path),
        )

    def _has_ids(self) -> bool:
        formats = {entry.format for entry in self._dataset.fields.values()}
        return self._source.format == "csv" and bool(formats & {"citizen_id", "party_id"})

    def run(self, accepted: int) -> None:
        """Read the file from where the last process got to. Raises UnreadableFile."""
        live_before = self._feed.journal.live()
        done, rejected_bytes = self._resume()
        self._rejected = RejectedRows(self._path, rejected_bytes, write=not self._feed.dry_run)
        try:
            if self._source.format == "csv":
                self._read_csv(done)
            else:
                self._read_json(done)
            self._submit()
        finally:
            self._rejected.close()
        self._look.completed = True
        if self._seen is not None:
            self._delete_absent(self._seen, live_before, accepted)

    def _resume(self) -> tuple[int, int]:
        """Return how many rows of a change file have arrived already, and the bytes of rejected rows before them."""
        position = None if self._snapshot else self._feed.journal.position("file")
        if position is not None:
            noted = json.loads(position)
            if noted["file"] == self._identity:
                return int(noted["rows"]), int(noted["rejected_bytes"])
        return 0, 0

    # --- CSV -----------------------------------------------------------------------------------------------------

    def _read_csv(self, done: int) -> None:
        file = CsvFile(self._path, self._source)
        try:
            columns = self._shape.texts_columns
            optional = self._absent_ones()
            places = file.places([(column, path if path in optional else None) for path, column in columns])
            operation, version = self._own_places(file)
            pick: Callable[[list[Any]], Sequence[Any]] = itemgetter(*places)
            if len(places) == 1:
                pick = lambda cells: (cells[places[0]],)  # noqa: E731
            if self._rejected is not None:
                self._rejected.head(["line", "reason", *file.header])
            encode, changes, origins = self._shape.encode_texts, self._changes, self._origins
            for row in self._skip(file.rows(), done):
                if type(row) is CsvRow:
                    cells = row.cells
                    try:
                        if operation is not None and _is_deletion(cells[operation]):
                            key, body = self._shape.key_texts(pick(cells)), None
                        else:
                            key, body = encode(pick(cells))
                        changes.append(self._change(key, body, None if version is None else cells[version]))
                        origins.append(row)
                    except InvalidRecord as invalid:
                        self._reject(row.line, cells[:-1], invalid)
                        self._note_presence(lambda: self._shape.key_texts(pick(cells)))  # noqa: B023
                else:
                    self._reject_bad(row)
                    if row.cells:
                        padded = [*row.cells, *[None] * (file.width + 1)]
                        self._note_presence(lambda: self._shape.key_texts(pick(padded)))  # noqa: B023
                if len(changes) >= BATCH_RECORDS or len(self._present) >= BATCH_RECORDS:
                    self._submit()
                    self._progress(self._path.name, file.done, file.size)
                    changes, origins = self._changes, self._origins
        finally:
            file.close()

    def _absent_ones(self) -> frozenset[str]:
        """Fields that the file need not have: not named in a mapping that names others, and allowed to be null.

        Without a mapping every field must be there: a column that an export lost would otherwise null a whole register.
        """
        if not self._source.columns:
            return frozenset()
        return frozenset(path for path in self._shape.nullable if path not in self._source.columns)

    def _own_places(self, file: CsvFile) -> tuple[int | None, int | None]:
        """Return the places of the operation and version columns, where they are declared."""
        own = [self._source.operation, self._source.version]
        places = iter(file.places([(column, None) for column in own if column is not None]))
        operation, version = (None if column is None else next(places) for column in own)
        return operation, version

    # --- JSON Lines ----------------------------------------------------------------------------------------------

    def _read_json(self, done: int) -> None:
        file = JsonLinesFile(self._path, self._source)
        operation, version = self._source.operation, self._source.version
        try:
            if self._rejected is not None:
                self._rejected.head(["line", "reason", "record"])
            for row in self._skip(file.rows(), done):
                if type(row) is JsonRow:
                    record = row.record
                    try:
                        if operation is not None and _is_deletion(record.get(operation)):
                            key, body = self._shape.key(record), None
                        else:
                            key, body = self._shape.encode(record)
                        if version is not None and record.get(version) is None:
                            raise InvalidRecord([(version, "a value is required")])
                        self._changes.append(self._change(key, body, record[version] if version else None))
                        self._origins.append(row)
                    except InvalidRecord as invalid:
                        self._reject(row.line, (row.text,), invalid)
                        self._note_presence(lambda: self._shape.key(record))  # noqa: B023
                else:
                    self._reject_bad(row)
                if len(self._changes) >= BATCH_RECORDS or len(self._present) >= BATCH_RECORDS:
                    self._submit()
                    self._progress(self._path.name, file.done, file.size)
        finally:
            file.close()

    # --- both ----------------------------------------------------------------------------------------------------

    def _skip(self, rows: Iterator[Any], done: int) -> Iterator[Any]:
        """Yield *rows* behind the first *done*, counting them."""
        for row in rows:
            self._rows += 1
            if self._rows > done:
                yield row

    def _change(self, key: bytes, body: bytes | None, stated: Any) -> Change:
        """Return the change with its version. Raises InvalidRecord for no version, and for a record too large."""
        if stated is None:
            self._feed.check(body, self._file_micros)
            return Change(key, body, self._file_micros, self._file_micros)
        column = self._source.version or ""
        try:
            text = text_of(stated)
            if self._dataset.versions == "sequence":
                version, changed_at = int(text), self._file_micros
            else:
                version = changed_at = self._time_of(text)
        except ValueError as error:
            reason = str(error) if self._dataset.versions == "time" else "not a whole number"
            raise InvalidRecord([(column, reason)]) from None
        self._feed.check(body, version)
        return Change(key, body, version, changed_at, version)

    def _submit(self) -> None:
        if not self._changes and not self._present and self._snapshot:
            return
        changes, origins, present = self._changes, self._origins, self._present
        self._changes, self._origins, self._present = [], [], []
        self._look.rows += self._rows - self._look.rows
        positions = None if self._snapshot else {"file": self._position()}
        counts = self._feed.submit(changes, positions, seen=self._seen, present=present)
        for index in counts.conflicts:
            row = origins[index]
            cells = row.cells[:-1] if isinstance(row, CsvRow) else (row.text,)
            reason = "another row of this file has the same key and other values"
            self._reject(row.line, cells, InvalidRecord([("", reason)], RejectReason.VERSION_CONFLICT))
        self._look.counts.add(counts)

    def _position(self) -> str:
        assert self._rejected is not None
        return json.dumps(
            {"file": self._identity, "rows": self._rows, "rejected_bytes": self._rejected.flushed_bytes()}
        )

    def _reject(self, line: int, cells: Sequence[Any], invalid: InvalidRecord) -> None:
        self._look.reject(invalid)
        if self._rejected is not None:
            self._rejected.write([line, str(invalid), *cells])

    def _reject_bad(self, row: BadRow) -> None:
        self._broken += row.broken
        self._reject(row.line, row.cells, InvalidRecord([("", row.reason)]))

    def _note_presence(self, key: Callable[[], bytes]) -> None:
        """A row that is refused still shows that its record exists: it must not be deleted for its bad fields."""
        if self._snapshot:
            try:
                self._present.append(key())
            except InvalidRecord:
                return

    def _delete_absent(self, seen: bytearray, live_before: int, accepted: int) -> None:
        swept = sweep(
            self._feed,
            seen,
            live_before,
            limit=self._source.deletion_fraction,
            accepted=accepted,
            changed_at=self._file_micros,
            certain=not self._broken,
        )
        self._look.counts.deleted += swept.deleted
        self._look.held = swept.held
        if swept.held:
            self._look.completed = False
            cause = (
                f"{self._broken} lines could not be told apart, so rows may be hidden"
                if self._broken
                else f"more than {self._source.deletion_limit}: is the export complete?"
            )
            self._look.said.append(
                f"{self._path.name}: {swept.held} of {swept.live} records would be deleted ({cause}). Its other rows "
                f"are published. If the deletions are right: govbus produce {self._dataset.department} --once "
                f"--accept-deletions {swept.held}"
            )
            log.error(
                "snapshot held",
                dataset=self._dataset.id,
                file=self._path.name,
                deletions=swept.held,
                live=swept.live,
                limit=self._source.deletion_limit,
                broken_lines=self._broken,
            )


def _is_deletion(value: Any) -> bool:
    """Return whether an operation column says deletion. Raises InvalidRecord where it says neither."""
    word = value.strip().upper() if isinstance(value, str) else ""
    if word in UPSERTS:
        return False
    if word in DELETIONS:
        return True
    raise InvalidRecord([("", "the operation is neither an upsert (U) nor a deletion (D)")])
