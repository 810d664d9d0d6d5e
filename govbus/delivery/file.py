"""Delivery into files: changes as they come, everything on demand, each part whole and once.

What was delivered is what the newest manifest says. A sink that dies has either published a part with the positions
behind it, or not: the next one reads on from the manifest. Snapshots are gathered beside the changes while the loop
goes on; until one is published, the positions of its topic stay where they were.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from govbus.delivery.file_format import FileFormat, Operation, deletion_cells
from govbus.delivery.file_part import DatasetPart, Manifest, OffsetRange, PartFolder, WrittenFile, measured
from govbus.delivery.file_snapshot import Gathering
from govbus.delivery.plan import Delivered, Plan
from govbus.delivery.position import ReloadReason, Stored, TopicLog, reload_reason
from govbus.delivery.row import RowMaker
from govbus.delivery.shape import Shape
from govbus.delivery.share import Batch, Limits, Partition
from govbus.delivery.sink import Beginning, SchemaOf, Written

LIMITS = Limits(records=100_000, bytes=64 * 1024 * 1024, linger_seconds=30.0, end_when_level=False)
ASKED = "asked"
NOT_ASKED = "not_asked"
_NOTE_SECONDS = 60.0

Row = tuple[Operation, Sequence[Any]]


@dataclass
class _Snapshot:
    """A snapshot in the making. `replace`: there are no changes that lead there, so receivers must take it."""

    reason: str
    replace: bool
    gathering: Gathering
    missing: set[int]
    recent: dict[bytes, bytes | None] = field(default_factory=dict)
    level_at: dict[str, datetime] = field(default_factory=dict)


@dataclass
class _Dataset:
    delivered: Delivered
    log_now: TopicLog
    rows: RowMaker
    published: dict[int, int]
    reached: dict[int, int]
    carried: DatasetPart | None
    snapshot: _Snapshot | None = None
    withdrawn_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedPart:
    """A batch with its rows; topics of which a snapshot is being gathered have their records instead."""

    batch: Batch
    rows: dict[str, list[Row]]


class FileSink:
    """A `Sink` into a folder of parts. Positions live in the chain of manifests."""

    limits = LIMITS

    def __init__(self, folder: Path, file_format: FileFormat, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self._format = file_format
        self._folder = PartFolder(folder)
        self._datasets: dict[str, _Dataset] = {}
        self._idle: dict[str, DatasetPart] = {}
        self._level_at: dict[str, datetime] = {}
        self._noted_at = time.monotonic()
        self._wanted = False
        self._ask = ""
        self._revision = 0

    @property
    def reloading(self) -> bool:
        return any(each.snapshot is not None for each in self._datasets.values())

    @property
    def asked_anew(self) -> bool:
        """Whether somebody wants a snapshot that is not being made yet."""
        return self._folder.snapshot_wanted and not self._wanted

    def begin(self, plan: Plan, logs: Mapping[str, TopicLog], schema_of: SchemaOf) -> Beginning:
        head = self._folder.head
        self._ask, self._revision = plan.ask.id, plan.revision
        self._wanted = self._folder.snapshot_wanted
        held: dict[str, DatasetPart] = {}
        if head is not None:
            held = {name: part for name, part in head.manifest.datasets.items() if not part.withdrawn}
            self._level_at = {
                _place(part.topic, p): offsets.level_at
                for part in held.values()
                for p, offsets in part.partitions.items()
            }
            self._level_at |= head.level_at
        positions: dict[Partition, int] = {}
        since: dict[Partition, int] = {}
        reloads: dict[str, ReloadReason] = {}
        for delivered in plan.delivered:
            before = held.get(delivered.dataset)
            log_now = logs.get(delivered.topic)
            if log_now is None:
                if before is not None:
                    self._idle[delivered.dataset] = before
                continue
            dataset = self._datasets[delivered.topic] = self._dataset(delivered, log_now, before, schema_of)
            reason = self._reload_reason(dataset, before, plan)
            if reason is not None:
                reloads[delivered.topic] = reason
                self._gather(dataset, reason, replace=True)
            elif self._wanted:
                self._gather(dataset, ASKED, replace=False)
                since |= {(delivered.topic, p): position for p, position in dataset.published.items()}
            positions |= {(delivered.topic, p): position for p, position in self._starts(dataset, before).items()}
        removed = self._publish_withdrawals(plan, held)
        return Beginning(positions, reloads, removed, since)

    def _starts(self, dataset: _Dataset, before: DatasetPart | None) -> dict[int, int]:
        """Return where each partition is read on, and note it."""
        for partition, extent in dataset.log_now.partitions.items():
            known = before is not None and partition in before.partitions
            if not known and dataset.snapshot is None:
                # From its start on: whatever is deleted from now on is still seen as a deletion.
                self._level_at[_place(dataset.delivered.topic, partition)] = _now()
            starts_over = dataset.snapshot is not None or not known
            dataset.reached[partition] = extent.start if starts_over else dataset.published[partition]
        return dataset.reached

    def _dataset(
        self, delivered: Delivered, log_now: TopicLog, before: DatasetPart | None, schema_of: SchemaOf
    ) -> _Dataset:
        published = {p: log_now.partitions[p].start for p in log_now.partitions}
        withdrawn: tuple[str, ...] = ()
        if before is not None:
            published |= {p: offsets.next for p, offsets in before.partitions.items()}
            withdrawn = tuple(sorted({c.name for c in before.columns if c not in delivered.shape.columns}))
        rows = RowMaker(delivered.shape, schema_of, self._format.cell)
        return _Dataset(delivered, log_now, rows, published, {}, before, withdrawn_columns=withdrawn)

    def _reload_reason(self, dataset: _Dataset, before: DatasetPart | None, plan: Plan) -> ReloadReason | None:
        if before is None:
            return None
        if before.shape.key_columns != dataset.delivered.shape.key_columns:
            return ReloadReason.TABLE_CHANGED
        stored = {
            partition: Stored(before.topic_id, offsets.next, self._level_at[_place(before.topic, partition)])
            for partition, offsets in before.partitions.items()
        }
        return reload_reason(stored, dataset.log_now, datetime.now(UTC), plan.deletions_kept)

    def _gather(self, dataset: _Dataset, reason: str, *, replace: bool) -> None:
        gathering = Gathering(self._folder.folder / f".part-records-{dataset.delivered.name}")
        dataset.snapshot = _Snapshot(reason, replace, gathering, set(dataset.log_now.partitions))

    def _publish_withdrawals(self, plan: Plan, held: Mapping[str, DatasetPart]) -> dict[str, int]:
        """Publish at once what receivers may no longer keep; return the datasets that are withdrawn whole."""
        reasons = {each.dataset: each.reason.value for each in plan.withheld}
        delivered = {each.dataset for each in plan.delivered}
        gone = {name: reasons.get(name, NOT_ASKED) for name in held if name not in delivered}
        columns = any(each.withdrawn_columns and each.snapshot is None for each in self._datasets.values())
        if not gone and not columns:
            return {}
        draft = self._folder.draft()
        entries: dict[str, DatasetPart] = {}
        for name, reason in gone.items():
            empty = self._write_file(draft, name, "snapshot", held[name].shape, [])
            told = {"snapshot": empty, "replace": True, "reason": reason, "withdrawn": True}
            entries[name] = _unchanged(held[name]).model_copy(update=told)
        self._publish(draft, entries, {}, {})
        return dict.fromkeys(gone, 0)

    def prepare(self, batch: Batch) -> PreparedPart:
        rows = {
            topic: self._rows(self._datasets[topic], changes)
            for topic, changes in batch.changes.items()
            if self._datasets[topic].snapshot is None
        }
        return PreparedPart(batch, rows)

    def _rows(self, dataset: _Dataset, changes: Mapping[bytes, bytes | None]) -> list[Row]:
        shape, cell, row = dataset.delivered.shape, self._format.cell, dataset.rows.row
        return [
            ("delete", deletion_cells(key, shape, cell)) if value is None else ("upsert", row(key, value))
            for key, value in changes.items()
        ]

    def write(self, prepared: PreparedPart) -> Mapping[str, Written]:
        batch = prepared.batch
        for (topic, partition), (_, after) in batch.moves.items():
            self._datasets[topic].reached[partition] = after
        rows = dict(prepared.rows)
        finished: list[str] = []
        for topic, dataset in self._datasets.items():
            level_at = {_place(topic, p): batch.began_at for of, p in batch.level if of == topic}
            if dataset.snapshot is None:
                self._level_at |= level_at
                if topic in batch.changes and topic not in rows:
                    # It was prepared while the snapshot, published since, was still being gathered.
                    rows[topic] = self._rows(dataset, batch.changes[topic])
            elif self._gathered(dataset.snapshot, topic, batch, level_at):
                finished.append(topic)
                if not dataset.snapshot.replace:
                    rows[topic] = self._rows(dataset, dataset.snapshot.recent)
        if finished or any(rows.values()):
            return self._write_part(rows, finished)
        if batch.level and time.monotonic() - self._noted_at > _NOTE_SECONDS:
            self._folder.note_level(self._level_at)
            self._noted_at = time.monotonic()
        return {}

    def _gathered(self, snapshot: _Snapshot, topic: str, batch: Batch, level_at: Mapping[str, datetime]) -> bool:
        """Take what *batch* has for a snapshot of *topic*; return whether that is now complete."""
        snapshot.gathering.add(batch.changes.get(topic, {}))
        snapshot.recent |= batch.recent.get(topic, {})
        snapshot.level_at |= level_at
        # Level once since the start: all that was written before then has been read, and the rest is read in order.
        snapshot.missing -= {partition for of, partition in batch.level if of == topic}
        return not snapshot.missing

    def _write_part(self, rows: Mapping[str, list[Row]], finished: Sequence[str]) -> dict[str, Written]:
        draft = self._folder.draft()
        changes: dict[str, WrittenFile] = {}
        snapshots: dict[str, tuple[WrittenFile, _Snapshot]] = {}
        written: dict[str, Written] = {}
        for topic, changed in rows.items():
            dataset = self._datasets[topic].delivered
            if changed:
                changes[topic] = self._write_file(draft, dataset.dataset, "changes", dataset.shape, changed)
                written[dataset.dataset] = Written(changes[topic].upserts, changes[topic].deletes)
        for topic in finished:
            dataset, snapshot = self._datasets[topic].delivered, self._datasets[topic].snapshot
            assert snapshot is not None
            everything = self._everything(self._datasets[topic], snapshot)
            file = self._write_file(draft, dataset.dataset, "snapshot", dataset.shape, everything)
            snapshots[topic] = file, snapshot
            if snapshot.replace:
                written[dataset.dataset] = Written(file.upserts)
            self._level_at |= snapshot.level_at
        self._publish(draft, {}, changes, snapshots)
        for topic in finished:
            self._finish(self._datasets[topic])
        return written

    def _everything(self, dataset: _Dataset, snapshot: _Snapshot) -> Iterator[Row]:
        for key, value in snapshot.gathering.records():
            yield "upsert", dataset.rows.row(key, value)

    def _finish(self, dataset: _Dataset) -> None:
        assert dataset.snapshot is not None
        dataset.snapshot.gathering.close()
        dataset.snapshot = None
        if self._wanted and not self.reloading:
            self._folder.snapshot_given()
            self._wanted = False

    def _write_file(self, draft: Path, dataset: str, what: str, shape: Shape, rows: Iterable[Row]) -> WrittenFile:
        operations = what == "changes"
        suffix = "" if operations else ".snapshot"
        file = draft / f"{dataset.replace('.', '_')}{suffix}.{self._format.name}"
        upserts = deletes = 0
        with self._format.writing(file, shape, operations=operations) as writer:
            for operation, cells in rows:
                writer.write(cells, operation if operations else None)
                if operation == "upsert":
                    upserts += 1
                else:
                    deletes += 1
        return measured(file, upserts, deletes)

    def _publish(
        self,
        draft: Path,
        entries: dict[str, DatasetPart],
        changes: Mapping[str, WrittenFile],
        snapshots: Mapping[str, tuple[WrittenFile, _Snapshot]],
    ) -> None:
        """Publish the part: *entries* as they are, and every dataset of the plan with its positions as of now."""
        entries = {**entries, **{name: _unchanged(part) for name, part in self._idle.items()}}
        moved: list[tuple[_Dataset, DatasetPart]] = []
        for topic, dataset in self._datasets.items():
            snapshot = snapshots.get(topic)
            if dataset.snapshot is not None and snapshot is None:
                # Its positions move when its snapshot is complete, not before.
                if dataset.carried is not None:
                    entries[dataset.delivered.dataset] = _unchanged(dataset.carried)
                continue
            file, made = snapshot if snapshot is not None else (None, None)
            part = DatasetPart(
                topic=topic,
                topic_id=dataset.log_now.topic_id,
                columns=dataset.delivered.shape.columns,
                key=dataset.delivered.shape.key,
                partitions=self._ranges(dataset, from_start=made is not None and made.replace),
                changes=changes.get(topic),
                snapshot=file,
                replace=made is not None and made.replace,
                reason=made.reason if made is not None else "",
                withdrawn_columns=dataset.withdrawn_columns,
            )
            entries[dataset.delivered.dataset] = part
            moved.append((dataset, part))
        head = self._folder.head
        manifest = Manifest(
            number=head.manifest.number + 1 if head is not None else 1,
            previous_sha256=head.sha256 if head is not None else None,
            ask=self._ask,
            revision=self._revision,
            written_at=datetime.now(UTC),
            datasets=dict(sorted(entries.items())),
        )
        self._folder.publish(draft, manifest, self._level_at)
        self._noted_at = time.monotonic()
        for dataset, part in moved:
            dataset.carried = part
            dataset.published = {p: offsets.next for p, offsets in part.partitions.items()}
            dataset.withdrawn_columns = ()

    def _ranges(self, dataset: _Dataset, *, from_start: bool) -> dict[int, OffsetRange]:
        starts = {partition: extent.start for partition, extent in dataset.log_now.partitions.items()}
        first = starts if from_start else dataset.published
        level_at = {partition: self._level_at[_place(dataset.delivered.topic, partition)] for partition in starts}
        return {
            partition: OffsetRange(first=first[partition], next=reached, level_at=level_at[partition])
            for partition, reached in sorted(dataset.reached.items())
        }

    def close(self) -> None:
        for dataset in self._datasets.values():
            if dataset.snapshot is not None:
                dataset.snapshot.gathering.close()
        self._folder.close()


def _place(topic: str, partition: int) -> str:
    return f"{topic}/{partition}"


def _now() -> datetime:
    return datetime.now(UTC)


def _unchanged(part: DatasetPart) -> DatasetPart:
    """Return what a manifest says of a dataset that it brings nothing of: its positions, once more."""
    still = {
        p: OffsetRange(first=each.next, next=each.next, level_at=each.level_at) for p, each in part.partitions.items()
    }
    nothing = {"changes": None, "snapshot": None, "replace": False, "reason": "", "withdrawn_columns": ()}
    return part.model_copy(update={"partitions": still, **nothing})
