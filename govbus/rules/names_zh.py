"""Names of persons in Chinese characters: the same name however registers write it, and never two names made one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from govbus.rules.comparator_kind import NULLS, ComparatorKind, Example
from govbus.rules.comparison import (
    EQUAL,
    Comparator,
    Comparison,
    Reason,
    Result,
    Value,
    compatible,
    different,
    indeterminate,
)
from govbus.rules.han_folding import differ_in, simplified
from govbus.rules.illegible import LOST, has_han, is_garbled, with_losses_marked
from govbus.rules.masked import compare_masked, is_masked
from govbus.rules.sides import MISSING, NULL_SPELLINGS, PLACEHOLDER, WRONG_TYPE, Nulls, Unread, legible, two_sided

_DOTS = re.compile("[.·•・‧∙⋅●﹒｡。˙᛫]")
_BLANKS = re.compile(r"\s+")
_DIGIT = re.compile(r"\d")
_LATIN = re.compile("[A-Z\u00c0-\u024f]")
# Two to thirty ordinary characters and dots inside: read no further where both sides have the same.
_ORDINARY = re.compile("(?!锟斤|烫烫)[\u3400-\u4dbf\u4e00-\u9fff][\u3400-\u4dbf\u4e00-\u9fff·]{0,30}").fullmatch
_CACHED = 2048


class Name(NamedTuple):
    """A name that was read: as written (width, blanks and dots folded), simplified, and whether it is garbled."""

    written: str
    simplified: str
    garbled: bool


def canonical_name(text: str) -> str:
    """Return *text* as names are compared, but not simplified: half width, no blanks, one kind of dot, upper case.

    Placeholders of lost characters become U+FFFD; a text whose code pages were mixed up stays as it is. Idempotent.
    """
    if is_garbled(text):
        return text
    plain = unicodedata.normalize("NFKC", with_losses_marked(legible(text)))
    plain = _DOTS.sub("·", _BLANKS.sub("", with_losses_marked(legible(plain)))).upper()
    # What a blank kept apart may now be one character.
    return unicodedata.normalize("NFKC", plain)


def _build(nulls: Sequence[str] = NULL_SPELLINGS) -> Comparator:
    nothing = Nulls(nulls)

    @lru_cache(maxsize=_CACHED)
    def read_text(text: str) -> Name | Unread:
        if nothing.hold(text):
            return MISSING
        name = canonical_name(text)
        if not name.strip("·"):
            return MISSING
        if LOST in name:
            return PLACEHOLDER
        if is_garbled(name):
            return Name(name, name, True)
        if _DIGIT.search(name):
            return Unread("invalid", Reason.NAME_DIGITS)
        if has_han(name) and _LATIN.search(name):
            return Unread("illegible", Reason.NAME_PINYIN)
        return Name(name, simplified(name), False)

    def read(value: Value) -> Name | Unread:
        if isinstance(value, str):
            return read_text(value)
        return MISSING if value is None else WRONG_TYPE

    def surely_valid(text: str) -> bool:
        return _ORDINARY(text) is not None and text not in nothing.words

    return two_sided(read, _judge, surely_valid)


def _judge(a: Name, b: Name) -> Comparison:
    if is_masked(a.simplified) or is_masked(b.simplified):
        return compare_masked(a.simplified, b.simplified)
    if a.simplified == b.simplified:
        return EQUAL
    if a.garbled or b.garbled:
        return indeterminate(Reason.GARBLED)
    if has_han(a.written) != has_han(b.written):
        return indeterminate(Reason.NAME_PINYIN)
    match differ_in(a.written, b.written):
        case "variants":
            return compatible(Reason.NAME_VARIANT)
        case "former variants":
            return different(Reason.NAME_FORMER_VARIANT)
        case "more" if a.simplified.replace("·", "") == b.simplified.replace("·", ""):
            return compatible(Reason.NAME_DOT)
    return different(Reason.NAME_DIFFERS)


NAME_ZH = ComparatorKind(
    "中文姓名",
    "全角半角、空格、间隔号写法、繁体简体不同，仍是同一姓名；一边脱敏而可见部分一致，或只差繁简对应不唯一的字，为“相容”",
    "任何一个规范字不同；喆与哲、淼与渺等今天各是规范字，不合并。含“?”、“□”等占位符、拼音代字或乱码的，不作判断",
    frozenset({"text"}),
    _build,
    {"nulls": NULLS},
    (
        Example("买买提·吐尔逊", "买买提．吐尔逊", Result.EQUAL),
        Example("張偉", "张伟", Result.EQUAL),
        Example("张　三", "张三", Result.EQUAL),
        Example("张*", "张三", Result.COMPATIBLE),
        Example("王昇", "王升", Result.COMPATIBLE),
        Example("张三", "张叁", Result.DIFFERENT),
        Example("陶喆", "陶哲", Result.DIFFERENT),
        Example("王?", "王赟", Result.INDETERMINATE),
        Example("王YING", "王赟", Result.INDETERMINATE),
        Example("张三", "寮犱笁", Result.INDETERMINATE),
        Example("无", "张三", Result.MISSING_A),
    ),
)
