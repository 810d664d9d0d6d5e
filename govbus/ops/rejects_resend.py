"""Rejects out into a file, and back onto the bus once they are corrected.

The file holds one JSON document per line and is the department's own: it is made readable for its owner alone. Nothing
but ``dataset``, ``operation``, ``record`` (or ``key`` of a deletion) and, where a dataset counts its versions itself,
``version`` is looked at when it comes back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from govbus.adapters import InvalidRecord, Publisher
from govbus.adapters.values import RecordShape
from govbus.errors import GovbusError
from govbus.ops.rejects import EVERYTHING, Filter, Reject, RejectTopic, Report


class FileTaken(GovbusError):
    """The file to export into exists already, or the one to send cannot be read; the text says which."""


@dataclass(frozen=True, slots=True)
class LineFault:
    """A line that cannot be sent: its number, and why, without a value of the record."""

    line: int
    reason: str


@dataclass(slots=True)
class Resent:
    """What became of the lines of a file. `superseded` and `faults` name lines that were not sent."""

    sent: int = 0
    superseded: list[int] = field(default_factory=list)
    faults: list[LineFault] = field(default_factory=list)


def export(
    topic: RejectTopic, file: Path, wanted: Filter = EVERYTHING, report: Report | None = None
) -> tuple[int, int]:
    """Write the rejects that *wanted* takes to *file*; return how many, and how many of them nobody needs to send.

    Raises `FileTaken` rather than write over a file.
    """
    rejects = topic.with_superseded(topic.each(wanted, report))
    try:
        # People's records: readable for the owner of the file alone, from its first byte.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise FileTaken(f"{file} cannot be written ({error.strerror}): name another file") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        for reject in rejects:
            out.write(json.dumps(topic.document(reject), ensure_ascii=False) + "\n")
    return len(rejects), sum(each.superseded for each in rejects)


def resend(topic: RejectTopic, file: Path, *, overwrite: bool = False, report: Report | None = None) -> Resent:
    """Publish what the lines of *file* hold and return what became of each.

    A line whose key has since got a newer state is left out unless *overwrite*: sending it would undo that. Lines that
    cannot be sent are listed and the others go; sending a file twice does no harm.
    """
    result = Resent()
    lines = _lines(topic, file, result)
    stale = set() if overwrite else _superseded(topic, lines)
    publishers: dict[str, Publisher] = {}
    try:
        for done, line in enumerate(lines, start=1):
            if report is not None:
                report(done, len(lines))
            if line.number in stale:
                result.superseded.append(line.number)
                continue
            if line.dataset not in publishers:
                publishers[line.dataset] = Publisher(topic.settings, line.dataset, topic.topics)
            try:
                counted = topic.revision.catalogue.datasets[line.dataset].versions == "sequence"
                _publish(publishers[line.dataset], line, line.content.get("version") if counted else None)
            except InvalidRecord as invalid:
                result.faults.append(LineFault(line.number, str(invalid)))
            else:
                result.sent += 1
        for publisher in publishers.values():
            publisher.flush()
    finally:
        for publisher in publishers.values():
            publisher.close()
    result.faults.sort(key=lambda fault: fault.line)
    return result


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    dataset: str
    content: Mapping[str, Any]

    @property
    def is_deletion(self) -> bool:
        return self.content.get("operation") == "delete"


def _publish(publisher: Publisher, line: _Line, version: int | None) -> None:
    if line.is_deletion:
        publisher.delete(line.content["key"], version=version, again=True)
    else:
        publisher.upsert(line.content["record"], version=version, again=True)


def _lines(topic: RejectTopic, file: Path, result: Resent) -> list[_Line]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileTaken(f"{file} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        fault = None
        try:
            content = json.loads(line)
        except ValueError:
            content, fault = None, "this is no JSON: one document in braces a line"
        if fault is None:
            fault = _fault(topic, content)
        if fault is None:
            found.append(_Line(number, content["dataset"], content))
        else:
            result.faults.append(LineFault(number, fault))
    return found


def _fault(topic: RejectTopic, content: Any) -> str | None:
    if not isinstance(content, Mapping):
        return "a line is one document in braces"
    dataset = topic.revision.catalogue.datasets.get(str(content.get("dataset")))
    if dataset is None or dataset.department != topic.department:
        return f"`dataset` names no dataset of {topic.department}"
    match content.get("operation"):
        case "upsert" if isinstance(content.get("record"), Mapping):
            return None
        case "delete" if isinstance(content.get("key"), list) and len(content["key"]) == len(dataset.key):
            return None
        case "unreadable":
            return "the bus could not read this one: put the record under `record` and set `operation` to upsert"
    return "`operation` is upsert, with the business fields under `record`, or delete, with the key's texts under `key`"


def _superseded(topic: RejectTopic, lines: list[_Line]) -> set[int]:
    """Return the numbers of lines whose key, as it is now in the file, has got a newer state since its reject."""
    revision = topic.revision
    shapes: dict[str, RecordShape] = {}
    asked: list[Reject] = []
    for line in lines:
        dataset = revision.catalogue.datasets[line.dataset]
        if line.dataset not in shapes:
            newest = revision.schema_ids[line.dataset][-1][1]
            shapes[line.dataset] = RecordShape(dataset, newest, revision.catalogue.vocabulary)
        content = line.content
        named = dict(zip(dataset.key, content["key"], strict=True)) if line.is_deletion else content["record"]
        try:
            key, (partition, offset), at_ms = shapes[line.dataset].key(named), _place(content), _at_ms(content)
        except (InvalidRecord, KeyError, TypeError, ValueError):
            # Written by hand, so it stands for no reject; or it has no key, and sending it will say so.
            continue
        # Its number is the line's: all that is asked is which of them are superseded.
        asked.append(
            Reject(
                partition=0,
                offset=line.number,
                at_ms=at_ms,
                dataset=line.dataset,
                reason="",
                field="",
                rule="",
                place=(partition, offset),
                key=key,
                value=None,
                headers={},
            )
        )
    return {each.offset for each in topic.with_superseded(asked) if each.superseded}


def _place(content: Mapping[str, Any]) -> tuple[int, int]:
    published = content["published"]
    return int(published["partition"]), int(published["offset"])


def _at_ms(content: Mapping[str, Any]) -> int:
    return int(datetime.fromisoformat(content["at"]).timestamp() * 1000)
