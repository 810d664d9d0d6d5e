"""Declared row conditions, checked against the fields they speak of: each test can hold, and may be asked.

Dates are compared with texts ``YYYY-MM-DD``, in the catalogue and on the way to the worker alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from govbus.catalogue.avro_fields import COMPARED_KINDS, Kind
from govbus.catalogue.document import Steps
from govbus.catalogue.faults import FaultCode
from govbus.rules.condition import (
    CONNECTIVES,
    Equals,
    In,
    IsNull,
    Prefix,
    Range,
    Test,
    parse_condition,
)

_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")


@dataclass(frozen=True, slots=True)
class Comparable:
    """What a condition may compare at one path: the kind after masking, and the only values that occur, if declared."""

    kind: Kind
    values: frozenset[str] | None = None
    canonical: Callable[[str], str] | None = None


Misfit = tuple[Steps, FaultCode, str]


def condition_faults(
    declared: object, field_at: Callable[[str], Comparable | tuple[FaultCode, str]]
) -> Iterator[Misfit]:
    """Yield place, code and message of everything wrong in a declared condition.

    *field_at* gives what can be compared at a path, or why the condition may not name it.
    """
    yield from _walk(declared, (), field_at)


def _walk(
    declared: object, at: Steps, field_at: Callable[[str], Comparable | tuple[FaultCode, str]]
) -> Iterator[Misfit]:
    if not isinstance(declared, Mapping) or not declared:
        yield at, FaultCode.INVALID_CONDITION, _message(declared)
        return
    for word, argument in declared.items():
        if word == "not":
            yield from _walk(argument, (*at, word), field_at)
        elif word in CONNECTIVES:
            if not isinstance(argument, list) or not argument:
                yield (*at, word), FaultCode.INVALID_CONDITION, _message({word: argument})
            else:
                for number, each in enumerate(argument):
                    yield from _walk(each, (*at, word, number), field_at)
        elif not isinstance(argument, Mapping) or not argument:
            yield (*at, word), FaultCode.INVALID_CONDITION, _message({word: argument})
        else:
            yield from _tests(word, argument, (*at, word), field_at)


def _tests(
    path: str,
    declared: Mapping[str, object],
    at: Steps,
    field_at: Callable[[str], Comparable | tuple[FaultCode, str]],
) -> Iterator[Misfit]:
    field = field_at(path)
    if not isinstance(field, Comparable):
        yield at, *field
    for name, value in declared.items():
        try:
            test = parse_condition({path: {name: value}})
        except ValueError as error:
            yield (*at, name), FaultCode.INVALID_CONDITION, str(error)
            continue
        if isinstance(field, Comparable) and isinstance(test, Equals | In | Prefix | Range | IsNull):
            message = _misfit(test, field)
            if message:
                yield (*at, name), FaultCode.CONDITION_MISFIT, f"{path}: {message}"


def _message(declared: object) -> str:
    try:
        parse_condition(declared)
    except ValueError as error:
        return str(error)
    return "a condition is a mapping of fields to tests"


def _misfit(test: Test, field: Comparable) -> str | None:
    """Return why *test* can never hold of such a field, or None."""
    kind = field.kind
    if isinstance(test, IsNull):
        return None
    if kind not in COMPARED_KINDS:
        return f"a {kind} cannot be compared; only is_null can be asked of it"
    match test:
        case Prefix():
            return None if kind in ("string", "enum") else f"prefix is a test of texts, and this is a {kind}"
        case Range(_, low, high):
            if kind in ("boolean", "enum"):
                return f"range is a test of numbers, dates and texts, and this is a {kind}"
            ends = [end for end in (low, high) if end is not None]
            wrong = next(filter(None, (_wrong_literal(end, kind) for end in ends)), None)
            if wrong is None and len(ends) == 2 and ends[0] > ends[1]:  # type: ignore[operator]
                return "the range is empty: from is greater than to"
            return wrong
        case Equals(_, value):
            return _wrong_literal(value, kind) or _never_occurs(value, field)
        case In(_, values):
            wrongs = (_wrong_literal(value, kind) or _never_occurs(value, field) for value in values)
            return next(filter(None, wrongs), None)


def _wrong_literal(value: object, kind: Kind) -> str | None:
    match kind:
        case "string" | "enum":
            return None if isinstance(value, str) else f'it is compared with texts: write "{value}" in quotes'
        case "boolean":
            return None if isinstance(value, bool) else "it is compared with true or false"
        case "date":
            try:
                if isinstance(value, str) and _DAY.match(value):
                    date.fromisoformat(value)
                    return None
            except ValueError:
                pass
            return "it is compared with dates: write YYYY-MM-DD"
    return None if isinstance(value, int) and not isinstance(value, bool) else "it is compared with whole numbers"


def _never_occurs(value: object, field: Comparable) -> str | None:
    if not isinstance(value, str):
        return None
    if field.values is not None and value not in field.values:
        return f"{value} is not in its code list, so no row would match"
    if field.canonical is not None:
        try:
            canonical = field.canonical(value)
        except ValueError as error:
            return f"{value} is not of its format, so no row would match: {error}"
        if canonical != value:
            return f"records hold the canonical form: write {canonical}"
    return None
