"""A revision made ready to run: per dataset its readers, key and checks, per view its projections.

Compiled once per revision; everything here is free of I/O and of state, so a superseded revision can be compiled beside
the present one and its views evaluated as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

from govbus.catalogue.model import Dataset
from govbus.catalogue.structure import checks_of
from govbus.codec.fields import IsCanonical, KeyOf, format_check, key_function
from govbus.codec.framing import header
from govbus.codec.projection import Project, compile_view
from govbus.codec.reader import Bounds, RecordReader
from govbus.codec.schemas import CHANGED_AT_FIELD, Schema
from govbus.codec.structure import NO_CHECKS, Structure, slots_of
from govbus.codec.upgrade import upgrade
from govbus.kafka.revisions import Revision
from govbus.rules import mask
from govbus.rules.formats import FORMATS
from govbus.rules.share import ShareView


@dataclass(frozen=True, slots=True)
class Writer:
    """How records of one registered schema are read."""

    schema_id: int
    reader: RecordReader
    bounds: Callable[[bytes], Bounds]
    key: KeyOf
    failing_format: Callable[[bytes, Bounds], str | None]
    structure: Structure = NO_CHECKS


class CompiledView:
    """One share view, ready: `project[schema_id]` makes its bytes, `key` and `partition` say where they go."""

    def __init__(
        self,
        view: ShareView,
        *,
        topic: str,
        schema_id: int,
        writers: Mapping[int, Writer],
        newest: RecordReader,
        pseudonym_key: bytes | None,
        partitions: int,
        fingerprint: str,
    ) -> None:
        self.view = view
        self.topic = topic
        self.fingerprint = fingerprint
        self.clear_key = view.key_in_clear
        self.ends_at_ms = None if (end := view.ends_at) is None else int(end.timestamp() * 1000)
        self.partitions = partitions
        self.pseudonym_key = pseudonym_key
        self.schema_id = schema_id
        self._newest = newest
        self.project: dict[bytes, Project] = {}
        """Per frame (schema id) of a held record the function to its share value."""
        for writer in writers.values():
            self.add_writer(writer)

    def add_writer(self, writer: Writer) -> None:
        """Make the view ready for records of one more schema."""
        projection = compile_view(
            self.view, writer.reader, self._newest, schema_id=self.schema_id, pseudonym_key=self.pseudonym_key
        )
        self.project[header(writer.schema_id)] = projection.project

    def address(self, key: bytes, partition: int) -> tuple[bytes, int]:
        """Return key and partition in the share topic of the record under *key* of input partition *partition*."""
        if self.clear_key:
            return key, partition
        assert self.pseudonym_key is not None
        shown = mask.pseudonymiser(self.pseudonym_key)(key)
        return shown, crc32(shown) % self.partitions


class CompiledDataset:
    """One dataset of one revision, ready to accept raw records."""

    def __init__(self, dataset: Dataset, revision: Revision) -> None:
        topics = revision.topics
        self.id = dataset.id
        self.raw_topic = topics.raw(dataset.id)
        self.current_topic = topics.current(dataset.id)
        self.reject_topic = topics.reject(dataset.department)
        self.epoch = dataset.epoch
        self.time_based = dataset.versions == "time"
        self.department = dataset.department
        self.key_paths = dataset.key
        self.separators = len(dataset.key) - 1
        self.formats: dict[str, IsCanonical] = {
            path: FORMATS[entry.format].is_canonical for path, entry in dataset.fields.items() if entry.format
        }
        self.checks = checks_of(dataset, revision.catalogue.vocabulary.code_lists)
        self.writers: dict[int, Writer] = {}
        for schema_id, schema in revision.schema_ids[dataset.id]:
            self.writers[schema_id] = self._writer(schema_id, schema)
        self.newest = self.writers[revision.schema_ids[dataset.id][-1][0]].reader
        self.by_frame: dict[bytes, Writer] = {header(number): writer for number, writer in self.writers.items()}
        self.newest_frame = header(revision.schema_ids[dataset.id][-1][0])
        self.loops: dict[object, Callable[..., None] | None] = {}
        """The generated loops for usual records (`govbus.exchange.usual`), one per set of views."""
        self.deleted_frame = header(revision.deleted_schema_id)
        self.views: list[CompiledView] = []
        self.watched: tuple[int, ...] | None = None
        """The slots whose change may change what this dataset says about an entity; None where it is not bound."""

    def _writer(self, schema_id: int, schema: Schema) -> Writer:
        reader = RecordReader(schema)
        return Writer(
            schema_id,
            reader,
            reader.bounds,
            key_function(reader, self.key_paths),
            format_check(reader, self.formats),
            Structure(self.checks, slots_of(reader)),
        )

    def add_writer(self, schema_id: int, schema: Schema) -> None:
        """Know one more schema: registered since the revision was applied, and compatible with all before it."""
        writer = self._writer(schema_id, schema)
        self.writers[schema_id] = self.by_frame[header(schema_id)] = writer
        self.__dict__.pop("_upgrades", None)
        for view in self.views:
            view.add_writer(writer)

    def add_view(self, view: CompiledView) -> None:
        """Serve *view*, a share view of this dataset."""
        self.views.append(view)

    def same(self, one: bytes, other: bytes) -> bool:
        """Return whether two records say the same: resolved to the newest schema, `_changed_at` aside."""
        return one == other or self._comparable(one) == self._comparable(other)

    def in_newest(self, record: bytes) -> tuple[bytes, Bounds]:
        """Return a held *record* as the newest schema lays it out, and its bounds. Its writer must be known."""
        if self.by_frame[record[:5]].reader is not self.newest:
            record = self._upgrades[record[:5]](record)
        return record, self.newest.bounds(record)

    def _comparable(self, value: bytes) -> bytes:
        value, bounds = self.in_newest(value)
        slot = self.newest.slot_of(CHANGED_AT_FIELD)
        return value[5 : bounds[slot]] + value[bounds[slot + 1] :]

    @cached_property
    def _upgrades(self) -> dict[bytes, Callable[[bytes], bytes]]:
        return {
            frame: upgrade(writer.reader.schema, self.newest.schema)
            for frame, writer in self.by_frame.items()
            if writer.reader is not self.newest
        }
