"""Where a dataset's records come from: the ``source:`` of its file, as closed as every other declaration.

The city's files say what and how; where the department's database or drop folder stands is the environment's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, TypeAdapter, model_validator

from govbus.catalogue.model import Declared, Duration, FieldPath, seconds
from govbus.rules.dates import pattern_of

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)%\Z")


def relative(path: str) -> str:
    """Return *path* if it stays inside its folder; raises ValueError otherwise."""
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
        raise ValueError("a path is relative to its folder, with / and without ..")
    return path


def _date_format(pattern: str) -> str:
    pattern_of(pattern)
    return pattern


def _one_or_more(declared: object) -> object:
    return (declared,) if isinstance(declared, str) else declared


def _fraction(percent: str) -> str:
    found = _PERCENT.match(percent)
    if not found or float(found[1]) > 100:
        raise ValueError("a limit is a percentage, e.g. 10%")
    return percent


RelativePath = Annotated[str, AfterValidator(relative)]
DateFormat = Annotated[str, AfterValidator(_date_format)]
Percentage = Annotated[str, AfterValidator(_fraction)]
TableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Columns = dict[FieldPath, Annotated[str, StringConstraints(min_length=1)]]


class _Limited(Declared):
    deletion_limit: Percentage = "10%"
    """A snapshot that would delete more than this share of the records held stops and says so."""

    @property
    def deletion_fraction(self) -> float:
        """`deletion_limit` as a number from 0 to 1."""
        return float(self.deletion_limit.removesuffix("%")) / 100


class FileSource(_Limited):
    """CSV or JSON Lines files in a drop folder: full snapshots, or changes with an operation column."""

    kind: Literal["file"]
    format: Literal["csv", "jsonl"]
    encoding: Literal["utf-8", "utf-8-sig", "gb18030"] = "utf-8"
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    path: RelativePath
    mode: Literal["snapshot", "changes"] = "snapshot"
    operation: str | None = None
    """In changes: the column that tells an upsert from a deletion; without it every row is an upsert."""
    version: str | None = None
    """The column with the time of the change; without it the file's own time stands for all of its rows."""
    columns: Columns = Field(default_factory=dict)
    dates: Annotated[tuple[DateFormat, ...], BeforeValidator(_one_or_more)] = ("%Y-%m-%d",)
    """The formats a date may have; the first that fits wins. One format may be declared without a list."""
    nulls: tuple[str, ...] = ("",)

    @model_validator(mode="after")
    def _operation_goes_with_changes(self) -> FileSource:
        if self.mode == "snapshot" and self.operation:
            raise ValueError("operation belongs to mode changes; a snapshot's deletions are the rows it no longer has")
        return self


class PostgresSource(_Limited):
    """A table that is read by its watermark column; deletions are found by a sweep over the keys."""

    kind: Literal["postgres"]
    table: TableName
    columns: Columns = Field(default_factory=dict)
    watermark: ColumnName
    overlap: Duration = "5m"
    sweep: Duration = "1h"
    poll: Duration = "5s"

    @property
    def overlap_seconds(self) -> int:
        return seconds(self.overlap)

    @property
    def sweep_seconds(self) -> int:
        return seconds(self.sweep)

    @property
    def poll_seconds(self) -> int:
        return seconds(self.poll)


class OutboxSource(Declared):
    """A transactional outbox: one row per change, written in the transaction that made it; nothing can be skipped."""

    kind: Literal["outbox"]
    table: TableName
    sequence: ColumnName = "id"
    """The ascending number of a change."""
    operation: ColumnName = "operation"
    """``upsert`` or ``delete`` (also U and D)."""
    record: ColumnName = "record"
    """The record as a JSON object of the dataset's fields; of a deletion its key fields suffice."""
    changed_at: ColumnName = "changed_at"
    columns: Columns = Field(default_factory=dict)
    poll: Duration = "1s"

    @property
    def poll_seconds(self) -> int:
        return seconds(self.poll)


class PythonSource(Declared):
    """The department's own program publishes with `govbus.adapters.Publisher`."""

    kind: Literal["python"]


Source = FileSource | PostgresSource | OutboxSource | PythonSource

_SOURCE: TypeAdapter[Source] = TypeAdapter(Annotated[Source, Field(discriminator="kind")])


def parse_source(declared: Mapping[str, Any]) -> Source:
    """Return the source that a dataset declares. Raises pydantic's ValidationError for anything outside the models."""
    return _SOURCE.validate_python(declared)
