"""Samples: whether a record, written in JSON as a department would, is one that its dataset accepts.

Judges types, optional fields, formats, code lists, dates, key fields and the structural checks that reject, so that
every schema carries the proof of what it takes and what it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from govbus.catalogue.avro_fields import avro_fields, named_types
from govbus.catalogue.model import Dataset
from govbus.catalogue.structure import checks_of
from govbus.rules.dates import EPOCH_DAY, micros_of
from govbus.rules.formats import FORMATS
from govbus.rules.record_key import SEPARATOR
from govbus.rules.structural import Fails, Value, decide

Problem = tuple[str, str]
"""Dotted path and what is wrong there, without the value."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")
_WHOLE = {"int": 31, "long": 63}


def sample_problems(
    sample: Mapping[str, Any], dataset: Dataset, code_lists: Mapping[str, Mapping[str, str]]
) -> list[Problem]:
    """Return why *dataset* would refuse *sample*; empty if it would accept it. No message contains a value."""
    judge = _Judge(dataset, code_lists)
    problems = list(judge.record(dataset.avro, sample, ""))
    return problems or list(_contradictions(sample, dataset, code_lists))


def _contradictions(
    sample: Mapping[str, Any], dataset: Dataset, code_lists: Mapping[str, Mapping[str, str]]
) -> Iterator[Problem]:
    """Yield what the structural checks that reject find wrong; *sample* has values of the right types."""
    try:
        checks = [each for each in checks_of(dataset, code_lists) if each.on_failure == "reject"]
    except ValueError:
        return  # The declaration has faults of its own.
    kinds = {path: field.kind for path, field in avro_fields(dataset.avro, []).items()} if checks else {}
    for check in checks:
        values = {name: _operand(sample, path, kinds.get(path, ""), dataset) for name, path in check.fields}
        decision = decide(check, values)
        if isinstance(decision, Fails):
            yield decision.field, f"{decision.reason} ({decision.rule})"


def _operand(sample: Mapping[str, Any], path: str, kind: str, dataset: Dataset) -> Value | None:
    """Return what a check compares of the field at *path*: canonical text, number, days or microseconds."""
    value: Any = sample
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        entry = dataset.fields.get(path)
        if kind == "date":
            return date.fromisoformat(value).toordinal() - EPOCH_DAY
        if kind == "timestamp":
            return micros_of(datetime.fromisoformat(value))
        if entry is not None and entry.format in FORMATS:
            return FORMATS[entry.format or ""].canonical(value)
        return value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class _Judge:
    def __init__(self, dataset: Dataset, code_lists: Mapping[str, Mapping[str, str]]) -> None:
        self._entries = dataset.fields
        self._key = frozenset(dataset.key)
        self._code_lists = code_lists
        self._named = named_types(dataset.avro)

    def record(self, schema: Mapping[str, Any], value: object, prefix: str) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield prefix.rstrip("."), "an object is expected"
            return
        names = {field["name"] for field in schema["fields"]}
        for name in value:
            if name not in names:
                yield f"{prefix}{name}", "the schema has no such field"
        for field in schema["fields"]:
            path = f"{prefix}{field['name']}"
            if field["name"] in value:
                yield from self._field(field["type"], value[field["name"]], path)
            elif "default" not in field:
                yield path, "it is missing"

    def _field(self, avro_type: Any, value: object, path: str) -> Iterator[Problem]:
        problems = list(self._value(avro_type, value, path))
        yield from problems
        if problems or value is None or not isinstance(value, str | int):
            return
        text = str(value)
        entry = self._entries.get(path)
        if entry is not None and entry.format is not None and entry.format in FORMATS and isinstance(value, str):
            try:
                FORMATS[entry.format].canonical(value)
            except ValueError as error:
                yield path, str(error)
        codes = self._code_lists.get(entry.codes) if entry is not None and entry.codes is not None else None
        if codes is not None and text not in codes:
            yield path, "it is not in the field's code list"
        if path in self._key and (not text or SEPARATOR in text):
            yield path, "a key field is empty or contains U+001F"

    def _value(self, avro_type: Any, value: object, path: str) -> Iterator[Problem]:
        if isinstance(avro_type, list):
            yield from self._union(avro_type, value, path)
            return
        if isinstance(avro_type, str):
            if avro_type.rpartition(".")[2] in self._named:
                yield from self._value(self._named[avro_type.rpartition(".")[2]], value, path)
                return
            avro_type = {"type": avro_type}
        kind = avro_type["type"]
        if not isinstance(kind, str):
            yield from self._value(kind, value, path)
            return
        match kind:
            case "record":
                yield from self.record(avro_type, value, f"{path}.")
            case "array":
                if isinstance(value, list):
                    for each in value:
                        yield from self._value(avro_type["items"], each, path)
                else:
                    yield path, "a list is expected"
            case "map":
                if isinstance(value, Mapping):
                    for each in value.values():
                        yield from self._value(avro_type["values"], each, path)
                else:
                    yield path, "an object is expected"
            case _:
                message = _primitive(kind, avro_type, value)
                if message:
                    yield path, message

    def _union(self, branches: list[Any], value: object, path: str) -> Iterator[Problem]:
        if value is None and "null" in branches:
            return
        others = [branch for branch in branches if branch != "null"]
        tried = [list(self._value(branch, value, path)) for branch in others]
        if not any(not problems for problems in tried):
            yield from tried[0] if len(tried) == 1 else [(path, "it fits none of the types of the union")]


def _primitive(kind: str, schema: Mapping[str, Any], value: object) -> str | None:
    """Return what is wrong with a value of a type that holds no others, or None."""
    logical = schema.get("logicalType")
    if value is None:
        return None if kind == "null" else "it may not be null"
    if logical == "date":
        return None if isinstance(value, str) and _is_day(value) else "it is not a day of the calendar, YYYY-MM-DD"
    if logical == "decimal":
        return _decimal(schema, value)
    if isinstance(value, str) and logical is not None and logical != "uuid":
        return _moment(logical, value)
    match kind:
        case "string":
            return None if isinstance(value, str) else "a text is expected"
        case "int" | "long":
            if not isinstance(value, int) or isinstance(value, bool):
                return "a whole number is expected"
            return None if -(2 ** _WHOLE[kind]) <= value < 2 ** _WHOLE[kind] else f"the number does not fit {kind}"
        case "float" | "double":
            return None if isinstance(value, int | float) and not isinstance(value, bool) else "a number is expected"
        case "boolean":
            return None if isinstance(value, bool) else "true or false is expected"
        case "enum":
            return None if value in schema["symbols"] else "it is none of the symbols of the enum"
        case "bytes" | "fixed":
            try:
                size = len(value.encode("latin-1")) if isinstance(value, str) else None
            except UnicodeEncodeError:
                size = None
            fits = size is not None and (kind == "bytes" or size == schema["size"])
            return None if fits else "bytes are expected, one character U+0000 to U+00FF each"
    return "null is expected" if kind == "null" else f"{kind} has no written form"


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.match(text)) and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _moment(logical: str, text: str) -> str | None:
    try:
        if logical.startswith("time-"):
            time.fromisoformat(text)
        else:
            datetime.fromisoformat(text)
    except ValueError:
        return f"it is no {'time' if logical.startswith('time-') else 'moment'} in ISO 8601"
    return None


def _decimal(schema: Mapping[str, Any], value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return "a decimal number is expected"
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return "a decimal number is expected"
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        return "a decimal number is expected"
    scale = schema.get("scale", 0)
    if -exponent > scale:
        return f"more than {scale} decimal places"
    whole_digits = len(number.as_tuple().digits) + exponent
    return None if whole_digits <= schema["precision"] - scale else "more digits than the precision allows"
