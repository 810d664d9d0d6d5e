"""How two copies of one fact compare: the result, and a reason that a clerk understands.

A is the value at the element's authority, B the one another dataset reports. Reasons never contain a value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum


class Result(StrEnum):
    """What comparing A with B ended in. A comparator never says stale: it sees no times."""

    EQUAL = "equal"
    COMPATIBLE = "compatible"
    DIFFERENT = "different"
    MISSING_A = "missing_a"
    MISSING_B = "missing_b"
    INVALID_A = "invalid_a"
    INVALID_B = "invalid_b"
    INDETERMINATE = "indeterminate"
    STALE_A = "stale_a"
    STALE_B = "stale_b"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A result and its reason, in Chinese, without values."""

    result: Result
    reason: str


Value = str | int | float | bool | Decimal | date | tuple[object, ...] | None
"""A decoded field: text, number, date, enum symbol, None for null, a tuple for an array."""

Comparator = Callable[[Value, Value], Comparison]
"""From A and B to how they compare. Total: any input gets an answer."""
