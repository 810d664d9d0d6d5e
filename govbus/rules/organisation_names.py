"""Names of enterprises and other bodies: brackets, widths and blanks vary, the words do not."""

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
from govbus.rules.illegible import LOST, is_garbled, with_losses_marked
from govbus.rules.masked import compare_masked, is_masked
from govbus.rules.sides import MISSING, NULL_SPELLINGS, PLACEHOLDER, WRONG_TYPE, Nulls, Unread, legible, two_sided

_BRACKETS = str.maketrans("[]{}【】〔〕〖〗〈〉《》「」『』", "()" * 9)
_QUOTES = re.compile("[\"'“”‘’]")
_BLANKS = re.compile(r"\s+")
_MARKS = re.compile(r"[^\w*]+")
_PLAIN = re.compile(r"(?!锟斤|烫烫)[一-鿿][A-Z0-9一-鿿]{3,80}").fullmatch


class OrganisationName(NamedTuple):
    """A name that was read: as written (width, brackets and blanks folded), simplified, and whether it is garbled."""

    written: str
    simplified: str
    garbled: bool


def canonical_organisation_name(text: str) -> str:
    """Return *text* as names of bodies are compared, but not simplified; garbled text as it is. Idempotent."""
    if is_garbled(text):
        return text
    plain = unicodedata.normalize("NFKC", with_losses_marked(legible(text)))
    plain = _BLANKS.sub("", _QUOTES.sub("", with_losses_marked(legible(plain)).translate(_BRACKETS))).upper()
    # What a blank kept apart may now be one character.
    return unicodedata.normalize("NFKC", plain)


def _build(nulls: Sequence[str] = NULL_SPELLINGS) -> Comparator:
    nothing = Nulls(nulls)

    @lru_cache(maxsize=2048)
    def read_text(text: str) -> OrganisationName | Unread:
        if nothing.hold(text):
            return MISSING
        name = canonical_organisation_name(text)
        if not name:
            return MISSING
        return PLACEHOLDER if LOST in name else OrganisationName(name, simplified(name), is_garbled(name))

    def read(value: Value) -> OrganisationName | Unread:
        if isinstance(value, str):
            return read_text(value)
        return MISSING if value is None else WRONG_TYPE

    def surely_valid(text: str) -> bool:
        return _PLAIN(text) is not None and text.casefold() not in nothing.words

    return two_sided(read, _judge, surely_valid)


def _judge(a: OrganisationName, b: OrganisationName) -> Comparison:
    if is_masked(a.simplified) or is_masked(b.simplified):
        return compare_masked(a.simplified, b.simplified)
    if a.simplified == b.simplified:
        return EQUAL
    if a.garbled or b.garbled:
        return indeterminate(Reason.GARBLED)
    if _MARKS.sub("", a.simplified) == _MARKS.sub("", b.simplified):
        return compatible(Reason.ORGANISATION_MARKS)
    if _short(a.simplified) == _short(b.simplified):
        return compatible(Reason.ORGANISATION_FORM)
    match differ_in(a.written, b.written):
        case "variants":
            return compatible(Reason.NAME_VARIANT)
    return different(Reason.ORGANISATION_DIFFERS)


def _short(name: str) -> str:
    return name.replace("有限责任公司", "有限公司")


ORG_NAME_NORM = ComparatorKind(
    "机构名称",
    "括号和引号的样式、全角半角、空格、繁简不同，仍是同一名称；只差“有限责任公司/有限公司”或标点，为“相容”",
    "其余任何不同；“分公司”等字样从不略去",
    frozenset({"text"}),
    _build,
    {"nulls": NULLS},
    (
        Example("甲（深圳）有限公司", "甲(深圳)有限公司", Result.EQUAL),
        Example("甲（深圳）有限公司", "甲 （ 深圳 ） 有限公司", Result.EQUAL),
        Example("甲有限责任公司", "甲有限公司", Result.COMPATIBLE),
        Example("甲（深圳）有限公司", "甲深圳有限公司", Result.COMPATIBLE),
        Example("甲有限公司", "甲有限公司深圳分公司", Result.DIFFERENT),
        Example("甲股份有限公司", "甲有限公司", Result.DIFFERENT),
    ),
)
