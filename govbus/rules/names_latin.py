"""Names of persons in Latin letters: passports, permits and visas order, split and accent them each in its own way."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from govbus.rules.comparator_kind import NULLS, ComparatorKind, Example
from govbus.rules.comparison import EQUAL, Comparator, Comparison, Reason, Result, Value, compatible, different
from govbus.rules.illegible import LOST, has_han, is_garbled, with_losses_marked
from govbus.rules.masked import compare_masked, is_masked
from govbus.rules.sides import MISSING, NULL_SPELLINGS, PLACEHOLDER, WRONG_TYPE, Nulls, Unread, legible, two_sided

# Letters that no accent is taken off of by normalisation.
_LETTERS = str.maketrans(
    {"Ø": "O", "Ł": "L", "Đ": "D", "Ð": "D", "Þ": "TH", "Æ": "AE", "Œ": "OE", "ẞ": "SS", "Ħ": "H", "ı": "I", "ʻ": ""}
)
_APOSTROPHES = re.compile("['’‘`´ʼ]")
_BREAKS = re.compile(r"[^A-Z*]+")


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a name in capitals without accents."""
    apart = unicodedata.normalize("NFKD", text.casefold().upper().translate(_LETTERS))
    bare = "".join(each for each in apart if not unicodedata.combining(each))
    return tuple(word for word in _BREAKS.split(_APOSTROPHES.sub("", bare)) if word)


def _build(nulls: Sequence[str] = NULL_SPELLINGS) -> Comparator:
    nothing = Nulls(nulls)

    @lru_cache(maxsize=2048)
    def read_text(text: str) -> tuple[str, ...] | Unread:
        if nothing.hold(text):
            return MISSING
        marked = with_losses_marked(legible(text))
        if LOST in marked:
            return PLACEHOLDER
        if is_garbled(marked):
            return Unread("illegible", Reason.GARBLED)
        words = _words(marked)
        if has_han(marked) or not words or not any(each.isalpha() for each in "".join(words)):
            return Unread("invalid", Reason.NAME_NOT_LATIN)
        return words

    def read(value: Value) -> tuple[str, ...] | Unread:
        if isinstance(value, str):
            return read_text(value)
        return MISSING if value is None else WRONG_TYPE

    return two_sided(read, _judge)


def _judge(a: tuple[str, ...], b: tuple[str, ...]) -> Comparison:
    if any(map(is_masked, a + b)):
        return compare_masked("".join(a), "".join(b))
    if sorted(a) == sorted(b):
        return EQUAL
    if _joined_alike(a, b):
        return compatible(Reason.NAME_SPLIT)
    if _shortened(a, b) or _shortened(b, a):
        return compatible(Reason.NAME_SHORTER)
    return different(Reason.NAME_DIFFERS)


def _joined_alike(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Return whether the words joined are the same, whichever comes first: ZHANG XIAOMING and Xiao Ming Zhang."""
    turns = {"".join(a[turn:] + a[:turn]) for turn in range(len(a))}
    return any("".join(b[turn:] + b[:turn]) in turns for turn in range(len(b)))


def _shortened(shorter: tuple[str, ...], longer: tuple[str, ...]) -> bool:
    """Return whether *shorter* is *longer* with words left out or cut to initials; at least one whole word stays."""
    left = list(longer)
    whole = 0
    for word in sorted(shorter, key=len, reverse=True):
        found = word if word in left else next((each for each in left if len(word) == 1 and each[0] == word), None)
        if found is None:
            return False
        whole += len(word) > 1 and found == word
        left.remove(found)
    return whole > 0 and len(shorter) > 1


NAME_LATIN = ComparatorKind(
    "拉丁字母姓名",
    "大小写、词序、变音符号、连字符和标点不同，仍是同一姓名；缺中间名、首字母缩写或只是分写不同，为“相容”",
    "其余任何不同；汉字姓名为“无效”",
    frozenset({"text"}),
    _build,
    {"nulls": NULLS},
    (
        Example("SMITH, John", "John Smith", Result.EQUAL),
        Example("José Nuñez", "NUNEZ JOSE", Result.EQUAL),
        Example("John Paul Smith", "Smith J", Result.COMPATIBLE),
        Example("ZHANG XIAOMING", "Xiao Ming Zhang", Result.COMPATIBLE),
        Example("John Smith", "Jane Smith", Result.DIFFERENT),
        Example("张三", "Zhang San", Result.INVALID_A),
    ),
)
