"""Row conditions: a small closed vocabulary, so that policies can be analysed and never surprise.

A condition is a mapping of field to test (several fields: all must hold), or one of ``all``, ``any``, ``not``::

    {household_division: {prefix: "8903"}, status: {in: [A, B]}}
    {any: [{age: {range: {from: 0, to: 17}}}, {not: {school_code: {is_null: true}}}]}

Truth has three values (Kleene's strong logic): a test of a missing value is neither true nor false but unknown, ``not``
unknown is unknown, and a row is released only where the whole condition is *true*. So an absent value never opens a
door, not even through ``not``. Only ``is_null`` answers about absence itself. Dates compare as their ISO 8601 text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

Scalar = str | int | bool
"""What a condition compares: text (dates and enum symbols as their text too), whole number, or yes/no."""


@dataclass(frozen=True, slots=True)
class Equals:
    path: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class In:
    path: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Prefix:
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends included; an end that is None is open."""

    path: str
    low: Scalar | None
    high: Scalar | None


@dataclass(frozen=True, slots=True)
class IsNull:
    path: str
    expected: bool


@dataclass(frozen=True, slots=True)
class Not:
    inner: Condition


@dataclass(frozen=True, slots=True)
class All:
    inner: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Any:
    inner: tuple[Condition, ...]


Test = Equals | In | Prefix | Range | IsNull
Condition = Test | Not | All | Any

WORDS = "equals, in, prefix, range, is_null, not, all, any"
CONNECTIVES = frozenset({"not", "all", "any"})


def parse_condition(declared: object) -> Condition:
    """Return the condition that a declaration spells out.

    Raises ValueError, with what may be written instead, for anything outside the vocabulary, an empty list included:
    an empty ``all`` would be true of every row.
    """
    if not isinstance(declared, Mapping) or not declared:
        raise ValueError(
            'a condition is a mapping such as {division: {prefix: "8903"}}; leave rows out to mean all rows'
        )
    parts = tuple(_part(str(word), argument) for word, argument in declared.items())
    return parts[0] if len(parts) == 1 else All(parts)


def _part(word: str, argument: object) -> Condition:
    if word == "not":
        return Not(parse_condition(argument))
    if word in ("all", "any"):
        if not isinstance(argument, list) or not argument:
            raise ValueError(f"{word} takes a list of conditions with at least one entry")
        inner = tuple(parse_condition(each) for each in argument)
        return All(inner) if word == "all" else Any(inner)
    if not isinstance(argument, Mapping) or not argument:
        raise ValueError(f"the test of {word} is a mapping of one of: equals, in, prefix, range, is_null")
    tests = tuple(_test(word, str(name), value) for name, value in argument.items())
    return tests[0] if len(tests) == 1 else All(tests)


def _test(path: str, name: str, argument: object) -> Test:
    match name, argument:
        case "equals", str() | int() | date():
            return Equals(path, _scalar(argument))
        case "in", list() if argument and all(isinstance(each, str | int | date) for each in argument):
            return In(path, tuple(_scalar(each) for each in argument))
        case "prefix", str() if argument:
            return Prefix(path, argument)
        case "range", dict() if argument and set(argument) <= {"from", "to"}:
            ends = (argument.get("from"), argument.get("to"))
            if all(end is None or isinstance(end, str | int | date) for end in ends) and any(
                e is not None for e in ends
            ):
                low, high = ends
                return Range(path, None if low is None else _scalar(low), None if high is None else _scalar(high))
        case "is_null", bool():
            return IsNull(path, argument)
        case (("equals" | "in" | "prefix" | "range" | "is_null"), _):
            pass
        case _:
            raise ValueError(f"unknown word {name} in a condition; known words: {WORDS}")
    raise ValueError(
        f"{name} of {path} has a wrong argument: equals takes one value, in a list with at least one, prefix a text, "
        "range {from: .., to: ..}, is_null true or false"
    )


def _scalar(value: object) -> Scalar:
    if isinstance(value, date):
        # As text, in which order is time's order, so that a condition means the same in YAML and in a JSON revision.
        return value.isoformat()
    assert isinstance(value, str | int)
    return value


def tests(condition: Condition) -> Iterator[Test]:
    """Yield every test inside *condition*, left to right."""
    match condition:
        case Not(inner):
            yield from tests(inner)
        case All(parts) | Any(parts):
            for part in parts:
                yield from tests(part)
        case _:
            yield condition


def holds(condition: Condition, value_of: Callable[[str], Scalar | None]) -> bool | None:
    """Return whether *condition* is true of a record: True, False, or None for unknown. Only True releases a row.

    *value_of* gives the value at a dotted path, or None where it is null or absent. A value whose kind differs from the
    declared one makes the test unknown rather than false, so that a ``not`` around it cannot release the row.
    """
    match condition:
        case IsNull(path, expected):
            return (value_of(path) is None) is expected
        case Not(inner):
            truth = holds(inner, value_of)
            return None if truth is None else not truth
        case All(parts):
            truths = [holds(part, value_of) for part in parts]
            return False if False in truths else None if None in truths else True
        case Any(parts):
            truths = [holds(part, value_of) for part in parts]
            return True if True in truths else None if None in truths else False
    value = value_of(condition.path)
    if value is None:
        return None
    match condition:
        case Equals(_, wanted):
            return value == wanted if type(value) is type(wanted) else None
        case In(_, values):
            alike = [each for each in values if type(each) is type(value)]
            return value in alike if alike else None
        case Prefix(_, text):
            return value.startswith(text) if isinstance(value, str) else None
        case Range(_, low, high):
            return _within(value, low, high)


def _within(value: Scalar, low: Scalar | None, high: Scalar | None) -> bool | None:
    if isinstance(value, bool) or any(end is not None and type(end) is not type(value) for end in (low, high)):
        return None
    if isinstance(value, str):
        return (low is None or str(low) <= value) and (high is None or value <= str(high))
    return (low is None or int(low) <= value) and (high is None or value <= int(high))
