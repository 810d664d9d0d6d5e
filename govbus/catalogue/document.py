"""One declaration file: its plain value, and the line on which any part of it stands.

A closed subset of YAML is read: mappings, lists, quoted and plain scalars. Plain scalars mean the same under YAML 1.1
and 1.2 or are refused (``yes``, ``0123``, ``12:30``), so that no two readers of a declaration disagree. Anchors,
aliases, tags and several documents are refused: every line says what it says where it stands.

Values are built from parser events without recursion. Lines are looked up by reading the file again, which happens only
where there is a fault: positions of a whole city would outweigh its values several times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from govbus.catalogue.faults import FaultCode, WarningCode
from govbus.errors import Fault

try:
    from yaml._yaml import CParser
except ImportError:  # a PyYAML built without libyaml: right, and some twenty times slower
    CParser = None  # type: ignore[assignment, misc]

MAX_DEPTH = 40
"""Levels of nesting in one file; more is a mistake or an attack."""

MAX_BYTES = 8 * 1024 * 1024
"""Size of one file."""

Steps = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A file read whole. `file` is relative to the city; `value` is plain data (dates as `date`), None if malformed."""

    root: Path
    file: str
    value: Any

    def line(self, *path: str | int) -> int:
        """Return the line (from 1) where *path* stands, or of the nearest part around it that exists.

        A step is a mapping's key, a list's index, or the text of a list entry (or of the only key of one).
        """
        path_of_file = self.root / self.file
        try:
            state = path_of_file.stat()
        except OSError:
            return 1
        lines = _lines(path_of_file, state.st_mtime_ns, state.st_size)
        for length in range(len(path), -1, -1):
            found = lines.get(path[:length])
            if found is not None:
                return found
        return 1

    def fault(self, code: FaultCode | WarningCode, message: str, *path: str | int) -> Fault:
        """Return a fault that stands at *path* of this file."""
        return Fault(self.file, self.line(*path), code, message)


class _Malformed(Exception):
    def __init__(self, line: int, code: FaultCode, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.code = code
        self.message = message


def read_yaml(root: Path, file: str, faults: list[Fault]) -> Document:
    """Return the document in *file* (relative to *root*); what is wrong with its text goes to *faults*."""
    text = _text(root, file, faults)
    if text is None:
        return Document(root, file, None)
    noted: list[tuple[int, FaultCode, str]] = []
    try:
        value = _built(text, noted)
        if "\\" in text:
            _refuse_surrogates(value)
    except _Malformed as malformed:
        faults.append(Fault(file, malformed.line, malformed.code, malformed.message))
        return Document(root, file, None)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable text"
        line = mark.line + 1 if mark else 1
        faults.append(Fault(file, line, FaultCode.MALFORMED_FILE, f"not readable as YAML: {problem}"))
        return Document(root, file, None)
    faults.extend(Fault(file, line, code, message) for line, code, message in noted)
    if not isinstance(value, dict):
        faults.append(
            Fault(file, 1, FaultCode.MALFORMED_FILE, "the file must hold a mapping of keys to values, e.g. title: 人口")
        )
        value = None
    return Document(root, file, value)


def read_json(root: Path, file: str, faults: list[Fault]) -> Document:
    """Return the document in a JSON *file*, as `read_yaml` does for YAML."""
    text = _text(root, file, faults)
    if text is None:
        return Document(root, file, None)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        if "\\u" in text:
            _refuse_surrogates(value)
    except json.JSONDecodeError as error:
        faults.append(Fault(file, error.lineno, FaultCode.MALFORMED_FILE, f"not readable as JSON: {error.msg}"))
    except _Malformed as malformed:
        faults.append(Fault(file, malformed.line, malformed.code, malformed.message))
    except RecursionError:
        faults.append(Fault(file, 1, FaultCode.MALFORMED_FILE, "nested too deeply"))
    else:
        if isinstance(value, dict):
            return Document(root, file, value)
        faults.append(Fault(file, 1, FaultCode.MALFORMED_FILE, "the file must hold a JSON object"))
    return Document(root, file, None)


def _text(root: Path, file: str, faults: list[Fault]) -> str | None:
    try:
        data = (root / file).read_bytes()
        if len(data) > MAX_BYTES:
            faults.append(Fault(file, 1, FaultCode.MALFORMED_FILE, f"larger than {MAX_BYTES // 2**20} MiB"))
            return None
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        faults.append(Fault(file, line, FaultCode.MALFORMED_FILE, "not UTF-8: save the file in that encoding"))
    except OSError as error:
        faults.append(Fault(file, 1, FaultCode.MALFORMED_FILE, f"cannot be read: {error.strerror}"))
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Malformed(1, FaultCode.DUPLICATE_KEY, f"{twice} stands twice in one JSON object: keep one of them")
    return mapping


def _no_constant(name: str) -> Any:
    raise _Malformed(1, FaultCode.MALFORMED_FILE, f"{name} is not JSON")


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise _Malformed(1, FaultCode.MALFORMED_FILE, "an escape spells half a surrogate pair, no text") from None


def _events(text: str) -> Iterator[Any]:
    if CParser is not None:
        yield from iter(CParser(text).get_event, None)
    else:
        yield from yaml.parse(text, Loader=yaml.SafeLoader)


# What YAML 1.1 and 1.2 read alike as a number, a truth or a date; and what one of them reads as something else.
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+\Z")
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")
_AMBIGUOUS_NUMBER = re.compile(
    r"[-+]?\.?[0-9][0-9_,:.]*(?:e[-+]?[0-9]+)?\Z|[-+]?0[xob][0-9a-f_]+\Z|[-+]?\.(?:inf|nan)\Z", re.IGNORECASE
)
_TIME = re.compile(r"\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}
_AMBIGUOUS_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null"})
_NUMBER_STARTS = frozenset("0123456789+-.")
_SPECIAL_STARTS = frozenset({"", "~", *"0123456789+-.yYnNoOtTfF"})
"""How a plain scalar begins that may be anything but a text."""


def _resolve(text: str) -> Any:
    """Return what the plain scalar *text* means; raises ValueError where readers differ."""
    first = text[:1]
    if first in _NUMBER_STARTS and first:
        if _WHOLE.match(text):
            if len(text) > 20:
                raise ValueError(text)
            return int(text)
        if _DAY.match(text):
            return date.fromisoformat(text)
        if _DECIMAL.match(text):
            return float(text)
        if _AMBIGUOUS_NUMBER.match(text) or _TIME.match(text):
            raise ValueError(text)
        return text
    if len(text) <= 5:
        if text in _WORDS:
            return _WORDS[text]
        if text.lower() in _AMBIGUOUS_WORDS:
            raise ValueError(text)
    return text


class Ambiguous(str):
    """A text on whose meaning readers disagree; its fault is noted, so that nobody need complain of it again."""


def _built(text: str, faults: list[tuple[int, FaultCode, str]]) -> Any:
    """Return the plain value that *text* spells; what does not end the reading goes to *faults*.

    One flat loop: this is where the check of a large city spends its time.
    """
    result: Any = None
    documents = 0
    stack: list[dict[str, Any] | list[Any]] = []
    holder: Any = None
    key: str | None = None
    for event in _events(text):
        kind = type(event)
        if kind is ScalarEvent:
            value = event.value
            if event.anchor is not None or event.tag is not None:
                _refuse_properties(event)
            if event.implicit[0] and not event.style and (value[:1] in _SPECIAL_STARTS):
                try:
                    value = _resolve(value)
                except ValueError:
                    value = Ambiguous(value)
                    faults.append((_line(event), FaultCode.AMBIGUOUS_VALUE, _ambiguous(value)))
            if type(holder) is dict:
                if key is None:
                    key = value if isinstance(value, str) else _key_text(event, faults)
                    if key in holder:
                        message = f"{key} stands twice here: keep one of them"
                        faults.append((_line(event), FaultCode.DUPLICATE_KEY, message))
                else:
                    holder[key] = value
                    key = None
            elif holder is None:
                result = value
            else:
                holder.append(value)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            _refuse_properties(event)
            if type(holder) is dict and key is None:
                raise _Malformed(_line(event), FaultCode.MALFORMED_FILE, "a key must be text, not a list or mapping")
            if len(stack) >= MAX_DEPTH:
                raise _Malformed(_line(event), FaultCode.MALFORMED_FILE, f"nested deeper than {MAX_DEPTH} levels")
            container: dict[str, Any] | list[Any] = {} if kind is MappingStartEvent else []
            if type(holder) is dict:
                holder[key] = container
            elif holder is None:
                result = container
            else:
                holder.append(container)
            stack.append(holder)
            holder, key = container, None
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            holder, key = stack.pop(), None
        elif kind is AliasEvent:
            raise _Malformed(_line(event), FaultCode.MALFORMED_FILE, "aliases (*name) are not read: write it out")
        elif kind is DocumentStartEvent:
            documents += 1
            if documents > 1:
                raise _Malformed(_line(event), FaultCode.MALFORMED_FILE, "one document per file: remove the --- line")
    return result


def _key_text(event: Any, faults: list[tuple[int, FaultCode, str]]) -> str:
    """Return the text of a key that readers would take for a number, truth, date or nothing; that is a fault."""
    text = str(event.value)
    message = f'the key {text or "?"} is not text to every reader: write it in quotes, "{text}"'
    faults.append((_line(event), FaultCode.AMBIGUOUS_VALUE, message))
    return text


def _line(event: Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else int(mark.line) + 1


def _refuse_properties(event: Any) -> None:
    if event.anchor is not None:
        raise _Malformed(_line(event), FaultCode.MALFORMED_FILE, "anchors (&name) are not read: write the value out")
    if getattr(event, "tag", None) is not None:
        raise _Malformed(_line(event), FaultCode.MALFORMED_FILE, "tags (!name) are not read: write the plain value")


def _ambiguous(text: str) -> str:
    if _DAY.match(text):
        return f"{text} is no day of the calendar: correct it, or write it in quotes if it is a text"
    if text.lower() in ("yes", "on", "true"):
        return f'{text} is a text to one YAML reader and a truth to another: write true, or "{text}" in quotes'
    if text.lower() in ("no", "off", "false"):
        return f'{text} is a text to one YAML reader and a truth to another: write false, or "{text}" in quotes'
    return f'YAML readers differ on what {text} means: write it in quotes, "{text}"'


@lru_cache(maxsize=32)
def _lines(path: Path, modified_nanoseconds: int, size_bytes: int) -> dict[Steps, int]:
    """Return the line of every part of a file, as far as it can be read; kept while the file stays unchanged."""
    lines: dict[Steps, int] = {}
    try:
        text = path.read_bytes().decode("utf-8-sig")
        walker = _LineWalker(lines)
        for event in _events(text):
            walker.take(event)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return lines
    return lines


class _LineWalker:
    """Walks parser events and notes under each path the line where it stands."""

    def __init__(self, lines: dict[Steps, int]) -> None:
        self._lines = lines
        self._frames: list[list[Any]] = []  # [path, is a mapping, pending key or next index]

    def take(self, event: Event) -> None:
        kind = type(event)
        if kind is ScalarEvent or kind is AliasEvent:
            self._scalar(event)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            path = self._next(_line(event))
            self._frames.append([path, kind is MappingStartEvent, None if kind is MappingStartEvent else 0])
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            self._frames.pop()

    def _scalar(self, event: Any) -> None:
        text = getattr(event, "value", "*")
        if self._frames and self._frames[-1][1] and self._frames[-1][2] is None:
            frame = self._frames[-1]
            frame[2] = text
            self._lines.setdefault((*frame[0], text), _line(event))
            if frame[0] and isinstance(frame[0][-1], int):  # the only key of a list's entry names that entry
                self._lines.setdefault((*frame[0][:-1], text), _line(event))
            return
        in_list = bool(self._frames) and not self._frames[-1][1]
        path = self._next(_line(event))
        if in_list:
            self._lines.setdefault((*path[:-1], text), _line(event))

    def _next(self, line: int) -> Steps:
        if not self._frames:
            self._lines[()] = line
            return ()
        frame = self._frames[-1]
        step = frame[2]
        frame[2] = None if frame[1] else step + 1
        path: Steps = (*frame[0], step)
        self._lines.setdefault(path, line)
        return path
