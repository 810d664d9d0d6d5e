"""The two sides of a comparison: each is read on its own, and only where both can be read are they judged.

So every comparator treats missing, wrong and illegible values alike, in one order: nothing to compare (missing) before
something wrong (invalid) before something nobody can read (illegible); the authority's side before the report's.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from govbus.rules.comparison import EQUAL, Comparator, Comparison, Reason, Result, Value, indeterminate, one_sided

NULL_SPELLINGS = ("无", "/", "\\", "-", "--", "—", "——", "null", "none", "n/a", "暂无", "不详", "未知", "空")
"""How registers write that there is nothing, where a declaration does not say it otherwise."""


@dataclass(frozen=True, slots=True)
class Unread:
    """Why one side cannot be compared."""

    kind: Literal["missing", "invalid", "illegible"]
    reason: Reason


MISSING = Unread("missing", Reason.MISSING)
WRONG_TYPE = Unread("invalid", Reason.WRONG_TYPE)
PLACEHOLDER = Unread("illegible", Reason.PLACEHOLDER)

T = TypeVar("T")
Reader = Callable[[Value], T | Unread]
"""Reads one side: what is compared, or why it cannot be."""

_UNSEEN = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]+")
_MARK_UP = re.compile("&#?[A-Za-z0-9]+;")


def legible(text: str) -> str:
    """Return *text* without what nobody sees: byte order marks, zero widths, variation selectors, blanks at its ends.

    Marks that a web page left in it (``&nbsp;``, ``&#183;``) become what they stand for.
    """
    if "&" in text and _MARK_UP.search(text):
        text = html.unescape(text)
    return _UNSEEN.sub("", text).strip()


def as_null(text: str) -> str:
    """Return *text* as spellings of nothing are compared: no matter the width, the case or the blanks around."""
    return unicodedata.normalize("NFKC", legible(text)).strip().casefold()


class Nulls:
    """The spellings of nothing that a comparator knows, beside null and the empty text."""

    __slots__ = ("_longest", "words")

    def __init__(self, spellings: Iterable[str]) -> None:
        self.words = frozenset(as_null(each) for each in spellings) | {""}
        """The spellings in the form that `as_null` brings a text into."""
        self._longest = max(map(len, self.words))

    def hold(self, text: str) -> bool:
        """Return whether *text* says that there is nothing."""
        # Spellings of nothing are short: most values are told by their length alone. Mark-up may stretch them a little.
        if len(text) > self._longest + 8 and text.strip():
            return False
        return as_null(text) in self.words


def two_sided(
    read: Reader[T],
    judge: Callable[[T, T], Comparison],
    surely_valid: Callable[[str], object] = lambda text: False,
    read_reported: Reader[T] | None = None,
) -> Comparator:
    """Return the comparator that reads both sides with *read* and lets *judge* say how they stand.

    *surely_valid* is a quick test of a text: where both sides hold the same text and it passes, they are equal, and
    neither is read. *read_reported* reads the reported side where that takes another way.
    """
    second = read_reported or read

    def compare(a: Value, b: Value) -> Comparison:
        if a.__class__ is b.__class__ is str and a == b and surely_valid(a):
            return EQUAL
        left, right = read(a), second(b)
        if isinstance(left, Unread) or isinstance(right, Unread):
            return _unread(left if isinstance(left, Unread) else None, right if isinstance(right, Unread) else None)
        return judge(left, right)

    return compare


def _unread(a: Unread | None, b: Unread | None) -> Comparison:
    if a is not None and a.kind == "missing":
        both = b is not None and b.kind == "missing"
        return one_sided(Result.MISSING_A, Reason.BOTH_MISSING if both else a.reason)
    if b is not None and b.kind == "missing":
        return one_sided(Result.MISSING_B, b.reason)
    if a is not None and a.kind == "invalid":
        return one_sided(Result.INVALID_A, a.reason)
    if b is not None and b.kind == "invalid":
        return one_sided(Result.INVALID_B, b.reason)
    illegible = a or b
    assert illegible is not None
    return indeterminate(illegible.reason)
