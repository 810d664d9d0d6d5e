"""Masks and row conditions as declarations write them, applied to values of the oracle's Avro reader.

A mask is what YAML gives: ``"pass"``, ``"drop"``, ``"null"``, ``"pseudonym"``, ``{"mask": {"first": 1}}``,
``{"generalise": "year"}`` and so on. A masked text is a text; everything else about the field stays (absent stays
absent).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from oracle.avro import EPOCH_DAY, NULL, Branch, Primitive, Record, Type, Union

TEXT = Primitive("string")
YES, NO, UNKNOWN = "yes", "no", "unknown"


def optional(kind: Type) -> Type | None:
    """Return T of an optional type ``[null, T]`` (in either order), None for any other type."""
    if isinstance(kind, Union) and len(kind.branches) == 2 and NULL in kind.branches:
        return next(branch for branch in kind.branches if branch != NULL)
    return None


def opened(kind: Type, value: Any) -> tuple[Type, Any]:
    """Return type and value with an optional opened; what is absent, in any union, is (null, None)."""
    if isinstance(kind, Union):
        branch = kind.branches[value.index]
        if branch == NULL or optional(kind) is not None:
            return branch, value.value
    return kind, value


def field_at(record: Record, path: str) -> Type | None:
    """Return the type of the field at a dotted *path*, through records and optional records; None if there is none."""
    kind: Type = record
    for name in path.split("."):
        kind = optional(kind) or kind
        found = kind.field(name) if isinstance(kind, Record) else None
        if found is None:
            return None
        kind = found.type
    return kind


def value_at(record: Record, value: Any, path: str) -> tuple[Type, Any]:
    """Return type and value at a dotted *path*; (null, None) where it or a record on the way is absent."""
    kind: Type = record
    for name in path.split("."):
        kind, value = opened(kind, value)
        if not isinstance(kind, Record):
            return NULL, None
        found = kind.field(name)
        if found is None:
            return NULL, None
        kind, value = found.type, value[name]
    return opened(kind, value)


class Unmaskable(Exception):
    """The mask cannot say the value (a date outside the years 1 to 9999): the row stays where it is."""


# Masks ------------------------------------------------------------------------------------------------------


def masked_type(kind: Type, mask: Any) -> Type:
    """Return the type of a field under *mask*."""
    if mask == "pass":
        return kind
    if mask in ("null", None):
        return NULL
    inner = optional(kind)
    if inner is None:
        return TEXT
    assert isinstance(kind, Union)
    return Union(tuple(branch if branch == NULL else TEXT for branch in kind.branches))


def masked_value(kind: Type, value: Any, mask: Any, key: bytes | None) -> Any:
    """Return what *mask* leaves of a field's value; *key* is the pseudonym key of subscriber and purpose."""
    if mask == "pass":
        return value
    if mask in ("null", None):
        return None
    if isinstance(value, Branch):
        assert isinstance(kind, Union)
        branch = kind.branches[value.index]
        return value if branch == NULL else Branch(value.index, masked_text(branch, value.value, mask, key))
    return masked_text(kind, value, mask, key)


def masked_text(kind: Type, value: Any, mask: Any, key: bytes | None) -> str:
    """Return the text that a mask (none of pass, null, drop) makes of a present value."""
    if mask == "pseudonym":
        assert key is not None
        return pseudonym(key, value.encode())
    if "mask" in mask:
        first, last = mask["mask"].get("first", 0), mask["mask"].get("last", 0)
        return keep_ends(value, first, last)
    how = mask["generalise"]
    if how in ("year", "month"):
        try:
            return (EPOCH_DAY + timedelta(days=value)).isoformat()[: 4 if how == "year" else 7]
        except OverflowError:
            raise Unmaskable from None
    if "division" in how:
        return value[: how["division"]]
    width = how["band"]
    low = value - value % width
    return f"{low}-{low + width - 1}"


def keep_ends(text: str, first: int, last: int) -> str:
    """The ends of a text; of a short one at most half in front and less than half behind, so something stays hidden."""
    shown = ["*"] * len(text)
    for place in range(len(text)):
        from_behind = len(text) - 1 - place
        if (place < first and place < len(text) // 2) or (from_behind < last and from_behind < (len(text) - 1) // 2):
            shown[place] = text[place]
    return "".join(shown)


def pseudonym(key: bytes, value: bytes) -> str:
    """Return the first 32 hex digits of HMAC-SHA256."""
    return hmac.new(key, value, hashlib.sha256).hexdigest()[:32]


# Conditions -------------------------------------------------------------------------------------------------


def truth(rows: Mapping[str, Any], record: Record, value: Any) -> str:
    """Return whether the condition *rows* is true of a record: yes, no or unknown (Kleene's strong logic)."""
    return _every([_word(word, argument, record, value) for word, argument in rows.items()])


def _word(word: str, argument: Any, record: Record, value: Any) -> str:
    if word == "not":
        return {YES: NO, NO: YES, UNKNOWN: UNKNOWN}[truth(argument, record, value)]
    if word == "all":
        return _every([truth(each, record, value) for each in argument])
    if word == "any":
        truths = [truth(each, record, value) for each in argument]
        return YES if YES in truths else UNKNOWN if UNKNOWN in truths else NO
    kind, found = value_at(record, value, word)
    return _every([_test(name, wanted, kind, found) for name, wanted in argument.items()])


def _every(truths: list[str]) -> str:
    return NO if NO in truths else UNKNOWN if UNKNOWN in truths else YES


def _test(name: str, wanted: Any, kind: Type, value: Any) -> str:
    if name == "is_null":
        return YES if (value is None) == wanted else NO
    if value is None:
        return UNKNOWN
    if name == "prefix":
        return _yes(value.startswith(wanted)) if isinstance(value, str) else UNKNOWN
    if name == "equals":
        return _compare(kind, value, wanted, lambda a, b: a == b)
    if name == "in":
        truths = [_compare(kind, value, each, lambda a, b: a == b) for each in wanted]
        return YES if YES in truths else NO if NO in truths else UNKNOWN
    assert name == "range", name
    if isinstance(value, bool):
        return UNKNOWN
    truths = []
    if wanted.get("from") is not None:
        truths.append(_compare(kind, value, wanted["from"], lambda a, b: a >= b))
    if wanted.get("to") is not None:
        truths.append(_compare(kind, value, wanted["to"], lambda a, b: a <= b))
    return UNKNOWN if UNKNOWN in truths else _every(truths)


def _compare(kind: Type, value: Any, literal: Any, relation: Any) -> str:
    """Return how a value stands to a literal; unknown where they are not of one kind (text, whole number, yes/no)."""
    if isinstance(kind, Primitive) and kind.logical == "date":
        literal = days(literal)
    elif isinstance(literal, date):
        literal = literal.isoformat()
    if type(value) is not type(literal):
        return UNKNOWN
    return _yes(relation(value, literal))


def days(literal: Any) -> int | None:
    """Return the days since 1970-01-01 of a date or of its text, None for anything else."""
    if isinstance(literal, str):
        try:
            literal = date.fromisoformat(literal)
        except ValueError:
            return None
    return (literal - EPOCH_DAY).days if isinstance(literal, date) else None


def _yes(true: bool) -> str:
    return YES if true else NO
