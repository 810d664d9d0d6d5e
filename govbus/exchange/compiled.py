"""A revision made ready to run: per dataset its readers, key and checks, per view its projections.

Compiled once per revision; everything here is free of I/O and of state, so a superseded revision can be compiled beside
the present one and its views evaluated as they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zlib import crc32

from govbus.catalogue.model import Dataset
from govbus.catalogue.views import share_views
from govbus.codec.fields import IsCanonical, KeyOf, format_check, key_function
from govbus.codec.framing import header
from govbus.codec.projection import Project, compile_view
from govbus.codec.reader import Bounds, RecordReader
from govbus.codec.schemas import CHANGED_AT_FIELD, Schema
from govbus.codec.upgrade import upgrade
from govbus.kafka.revisions import Revision
from govbus.rules import mask
from govbus.rules.formats import FORMATS
from govbus.rules.mask import Pseudonym
from govbus.rules.share import ShareView, Withheld

VIEW_CODE_VERSION = 1
"""Raised when the meaning of a view changes in code: every view is then sent anew, like under a new policy."""

PseudonymKeys = Callable[[str, str], bytes]
"""From ``SUBSCRIBER.PURPOSE`` and the fingerprint the revision states to the secret key."""


@dataclass(frozen=True, slots=True)
class Writer:
    """How records of one registered schema are read."""

    schema_id: int
    reader: RecordReader
    bounds: Callable[[bytes], Bounds]
    key: KeyOf
    failing_format: Callable[[bytes, Bounds], str | None]


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

    def _writer(self, schema_id: int, schema: Schema) -> Writer:
        reader = RecordReader(schema)
        return Writer(
            schema_id, reader, reader.bounds, key_function(reader, self.key_paths), format_check(reader, self.formats)
        )

    def add_writer(self, schema_id: int, schema: Schema) -> None:
        """Know one more schema: registered since the revision was applied, and compatible with all before it."""
        writer = self._writer(schema_id, schema)
        self.writers[schema_id] = self.by_frame[header(schema_id)] = writer
        self.__dict__.pop("_upgrades", None)
        for view in self.views:
            view.add_writer(writer)

    def same(self, one: bytes, other: bytes) -> bool:
        """Return whether two records say the same: resolved to the newest schema, `_changed_at` aside."""
        return one == other or self._comparable(one) == self._comparable(other)

    def _comparable(self, value: bytes) -> bytes:
        writer = self.by_frame[value[:5]]
        if writer.reader is not self.newest:
            value = self._upgrades[value[:5]](value)
        bounds = self.newest.bounds(value)
        slot = self.newest.slot_of(CHANGED_AT_FIELD)
        return value[5 : bounds[slot]] + value[bounds[slot + 1] :]

    @cached_property
    def _upgrades(self) -> dict[bytes, Callable[[bytes], bytes]]:
        return {
            frame: upgrade(writer.reader.schema, self.newest.schema)
            for frame, writer in self.by_frame.items()
            if writer.reader is not self.newest
        }


class CompiledRevision:
    """A revision with every dataset and view ready."""

    def __init__(self, revision: Revision, pseudonym_keys: PseudonymKeys) -> None:
        city = revision.catalogue.city
        self.number = revision.number
        self.partitions = city.partitions
        self.max_record_bytes = city.max_record_bytes
        self.deleted_frame = header(revision.deleted_schema_id)
        self.topics = revision.topics
        self.withheld: list[Withheld] = []
        self.max_age_seconds = {each.id: each.update.max_age_seconds for each in revision.catalogue.datasets.values()}
        self.views: dict[str, CompiledView] = {}
        self.datasets = {each.id: CompiledDataset(each, revision) for each in revision.catalogue.datasets.values()}
        self.current_topics = frozenset(each.current_topic for each in self.datasets.values())
        self.by_raw_topic = {each.raw_topic: each for each in self.datasets.values()}
        for view in share_views(revision.catalogue):
            if isinstance(view, Withheld):
                self.withheld.append(view)
                continue
            dataset = self.datasets[view.dataset]
            key = _key_for(view, revision, pseudonym_keys)
            compiled = CompiledView(
                view,
                topic=self.topics.share(view.id),
                schema_id=revision.view_schema_ids[view.id],
                writers=dataset.writers,
                newest=dataset.newest,
                pseudonym_key=key,
                partitions=self.partitions,
                fingerprint=view_fingerprint(view, revision),
            )
            self.views[view.id] = compiled
            dataset.views.append(compiled)

    def inputs(self) -> Iterator[str]:
        """Yield every raw topic, sorted."""
        yield from sorted(self.by_raw_topic)


def _key_for(view: ShareView, revision: Revision, pseudonym_keys: PseudonymKeys) -> bytes | None:
    if view.key_in_clear and not any(isinstance(each, Pseudonym) for _, each in view.fields):
        return None
    name = f"{view.subscriber}.{view.purpose}"
    return pseudonym_keys(name, revision.pseudonym_keys[name])


def view_fingerprint(view: ShareView, revision: Revision) -> str:
    """Return 16 hex digits that differ wherever two views could send different bytes for some record.

    Covers fields, masks, conditions, key, schemas of the dataset and of the view, and the pseudonym key in use. `until`
    is not part of it: a longer term alone changes no row.
    """
    masked = any(isinstance(each, Pseudonym) for _, each in view.fields) or not view.key_in_clear
    parts: list[Any] = [
        VIEW_CODE_VERSION,
        [[path, mask.declared(each)] for path, each in view.fields],
        list(view.key),
        repr(view.grant_rows),
        repr(view.ask_rows),
        revision.view_schema_ids[view.id],
        revision.schema_ids[view.dataset][-1][0],
        revision.pseudonym_keys.get(f"{view.subscriber}.{view.purpose}") if masked else None,
    ]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:16]
