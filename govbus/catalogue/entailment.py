"""What a change of a row condition does to the rows released: more, fewer, both, or nobody can tell.

The vocabulary of conditions is small and closed so that this can be answered. The answer is sound and not complete:
"wider" and "narrower" are proven, "different" only means that no proof was found.
"""

from __future__ import annotations

from typing import Literal

from govbus.rules.condition import All, Any, Condition, Equals, In, IsNull, Prefix, Range, Scalar, Test

Movement = Literal["same", "wider", "narrower", "different"]


def movement(before: Condition | None, after: Condition | None) -> Movement:
    """Return how the rows that *after* releases compare with those of *before*; None releases every row."""
    wider, narrower = entails(before, after), entails(after, before)
    if wider and narrower:
        return "same"
    return "wider" if wider else "narrower" if narrower else "different"


def entails(one: Condition | None, other: Condition | None) -> bool:
    """Return whether every row for which *one* is true makes *other* true as well, as far as can be proven.

    "True" is Kleene's: a test of a missing value is never true, so it entails that the value is there.
    """
    if other is None or repr(one) == repr(other):  # not ==, by which 1 equals true
        return True
    if one is None:
        return False
    if isinstance(other, All):
        return all(entails(one, part) for part in other.inner)
    if isinstance(one, Any):
        return all(entails(part, other) for part in one.inner)
    if isinstance(one, All) and any(entails(part, other) for part in one.inner):
        return True
    if isinstance(other, Any):
        return any(entails(one, part) for part in other.inner)
    if isinstance(one, Equals | In | Prefix | Range | IsNull) and isinstance(
        other, Equals | In | Prefix | Range | IsNull
    ):
        return one.path == other.path and _test_entails(one, other)
    return False


def _test_entails(one: Test, other: Test) -> bool:
    if isinstance(other, IsNull):
        return not other.expected and not (isinstance(one, IsNull) and one.expected)
    match one:
        case Equals(_, value):
            return _meets(value, other)
        case In(_, values):
            return all(_meets(value, other) for value in values)
        case Prefix(_, text):
            return isinstance(other, Prefix) and text.startswith(other.text)
        case Range():
            return isinstance(other, Range) and _inside(one, other)
    return False


def _meets(value: Scalar, test: Test) -> bool:
    match test:
        case Equals(_, wanted):
            return type(wanted) is type(value) and wanted == value
        case In(_, values):
            return any(type(each) is type(value) and each == value for each in values)
        case Prefix(_, text):
            return isinstance(value, str) and value.startswith(text)
        case Range(_, low, high):
            return _above(value, low) and _above(high, value, open_end=True)
    return False


def _inside(inner: Range, outer: Range) -> bool:
    low = outer.low is None or (inner.low is not None and _above(inner.low, outer.low))
    high = outer.high is None or (inner.high is not None and _above(outer.high, inner.high))
    return low and high


def _above(value: Scalar | None, low: Scalar | None, *, open_end: bool = False) -> bool:
    """Return whether *value* >= *low*, both of one kind; an open end is beyond everything."""
    if low is None or (value is None and open_end):
        return True
    if isinstance(value, str) and isinstance(low, str):
        return value >= low
    if isinstance(value, bool) or isinstance(low, bool):
        return False
    return isinstance(value, int) and isinstance(low, int) and value >= low
