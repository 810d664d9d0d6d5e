"""Division codes (GB/T 2260) compared over time: a retired code means the divisions that took its place.

The table (`govbus.rules.division_table`) is read when the first comparator is built. No times come in, so a code in
force means what it means today, whatever it may have meant long ago; and a city's own codes, which no list of the
state has, compare as they are, after the successors that its declaration gives.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache, lru_cache
from typing import NamedTuple

from govbus.rules.comparator_kind import NULLS, ComparatorKind, Example, Parameter
from govbus.rules.comparison import (
    EQUAL,
    Comparator,
    Comparison,
    Reason,
    Result,
    Value,
    compatible,
    different,
    equal,
)
from govbus.rules.sides import MISSING, NULL_SPELLINGS, WRONG_TYPE, Nulls, Unread, legible, two_sided

# Two, four or six digits, or the longer codes of streets and villages, which begin with the county's.
_FORM = re.compile(r"[1-9]\d(?:\d\d(?:\d\d(?:\d{3}(?:\d{3})?)?)?)?", re.ASCII).fullmatch
_SIX_DIGITS = re.compile(r"[1-9]\d{5}", re.ASCII).fullmatch
# Their 01 and 02 are no prefectures: they only gather districts and counties.
_MUNICIPALITIES = frozenset({"11", "12", "31", "50"})


class DivisionTable(NamedTuple):
    """The codes of the state: those in force, and what became of each retired one."""

    in_force: frozenset[str]
    successors: Mapping[str, tuple[str, ...]]
    """By retired code the codes in force that took its place; none where that is not known."""


@cache
def division_table() -> DivisionTable:
    """Return the versioned table of GB/T 2260."""
    from govbus.rules.division_table import TABLE

    in_force, successors = set(), {}
    for line in TABLE.splitlines():
        code, _, years, *became = line.split()
        if years.endswith("-"):
            in_force.add(code)
        else:
            successors[code] = tuple(became)
    return DivisionTable(frozenset(in_force), successors)


class Place(NamedTuple):
    """What a code may mean today: one code, or several where a division was split; as far as it is detailed."""

    codes: frozenset[str]
    succeeded: bool
    known: bool
    """Whether the codes are a state's or city's own as far as anyone can tell, or in no list of any year."""


_NO_CODE = Unread("invalid", Reason.DIVISION_FORM)
_NO_SUCCESSOR = Unread("illegible", Reason.DIVISION_SUCCESSOR_UNKNOWN)


def detail(code: str) -> str:
    """Return *code* without the zeros that stand for levels it does not tell."""
    while len(code) > 2 and code.endswith("00"):
        code = code[:-2]
    return code[:2] if len(code) == 4 and code[:2] in _MUNICIPALITIES else code


def _at_level(code: str, digits: int) -> str:
    if digits == 4 and code[:2] in _MUNICIPALITIES:
        return code[:2]
    return code[:digits]


def _build(
    digits: int = 6,
    successors: Mapping[str, tuple[str, ...]] | None = None,
    nulls: Sequence[str] = NULL_SPELLINGS,
) -> Comparator:
    table, nothing = division_table(), Nulls(nulls)
    own = successors or {}
    for code in {*own, *(each for became in own.values() for each in became)}:
        if not _SIX_DIGITS(code):
            raise ValueError("successors are codes of six digits")
    provinces = {code[:2] for code in table.in_force}

    def today(code: str, met: frozenset[str] = frozenset()) -> frozenset[str] | None:
        """Return the codes in force that the six-digit *code* became; itself if it is in force; None: nobody knows."""
        if code in met:
            return frozenset()
        if code in own:
            became = own[code]
        elif code in table.in_force or code not in table.successors:
            return frozenset({code})
        else:
            became = table.successors[code]
            if not became:
                return None
        now: set[str] = set()
        for each in became:
            further = today(each, met | {code})
            if further is None:
                return None
            now |= further
        return frozenset(now) or frozenset({code})

    @lru_cache(maxsize=4096)
    def read_text(text: str) -> Place | Unread:
        if nothing.hold(text):
            return MISSING
        plain = unicodedata.normalize("NFKC", legible(text))
        if not _FORM(plain):
            return _NO_CODE
        code = plain[:6]
        if len(code) < 6 or len(detail(code)) == 2:
            code = code.ljust(6, "0")
        listed = code in table.in_force or code in table.successors or code in own
        if not listed and code.endswith("01") and code[:4] + "00" in table.in_force:
            # 市辖区: the districts of a city together.
            code, listed = code[:4] + "00", True
        now = today(code)
        if now is None:
            # Where it went is not recorded, but divisions hardly ever leave their province.
            return Place(frozenset({code[:2]}), True, True) if digits == 2 else _NO_SUCCESSOR
        known = listed or code[:2] not in provinces or any(each.startswith(detail(code)) for each in table.in_force)
        return Place(frozenset(_at_level(detail(each), digits) for each in now), now != {code}, known)

    def read(value: Value) -> Place | Unread:
        if isinstance(value, bool):
            return WRONG_TYPE
        if isinstance(value, int | Decimal) or (isinstance(value, float) and value.is_integer()):
            return read_text(str(int(value)) if not isinstance(value, Decimal) or _is_whole(value) else "?")
        if isinstance(value, str):
            return read_text(value)
        return MISSING if value is None else WRONG_TYPE

    def surely_valid(text: str) -> bool:
        return (text in table.in_force or text in own) and text not in nothing.words

    return two_sided(read, _judge, surely_valid)


def _is_whole(value: Decimal) -> bool:
    return value.is_finite() and 0 <= value.adjusted() <= 12 and value == int(value)


def _judge(a: Place, b: Place) -> Comparison:
    if a.codes == b.codes and len(a.codes) == 1:
        return equal(Reason.DIVISION_SUCCEEDED) if a.succeeded != b.succeeded else EQUAL
    if a.codes == b.codes:
        return EQUAL
    if a.codes & b.codes:
        return compatible(Reason.DIVISION_SPLIT)
    if any(_coarser(left, right) for left in a.codes for right in b.codes):
        return compatible(Reason.DIVISION_COARSER)
    if not (a.known and b.known):
        return different(Reason.DIVISION_UNKNOWN)
    return different(_first_difference(a, b))


def _coarser(a: str, b: str) -> bool:
    return a.startswith(b) or b.startswith(a)


def _first_difference(a: Place, b: Place) -> Reason:
    for digits, reason in ((2, Reason.PROVINCE_DIFFERS), (4, Reason.PREFECTURE_DIFFERS)):
        if {_at_level(each, digits) for each in a.codes}.isdisjoint(_at_level(each, digits) for each in b.codes):
            return reason
    return Reason.COUNTY_DIFFERS


DIVISION_PREFIX = ComparatorKind(
    "行政区划代码",
    "停用代码换成现行代码后，前 digits 位一致；一边级别较高而已有部分一致，或一边是后来分到几处的停用代码，为“相容”",
    "前 digits 位不同，并说明是省级、地级还是县级不同；停用代码由何处接管未收录的，不作判断",
    frozenset({"code", "text"}),
    _build,
    {
        "digits": Parameter("integer", 6, "比到哪一级：2 省级，4 地级，6 县级", (2, 4, 6)),
        "successors": Parameter("map", {}, "本市自定的停用代码及接管它的代码，一个或几个"),
        "nulls": NULLS,
    },
    (
        Example("310103", "310101", Result.EQUAL),
        Example("110221", "110114", Result.EQUAL),
        Example("310101", "310104", Result.EQUAL, {"digits": 4}),
        Example("510202", "500103", Result.EQUAL, {"digits": 2}),
        Example("890104", "890101", Result.EQUAL, {"successors": {"890104": "890101"}}),
        Example("310000", "310101", Result.COMPATIBLE),
        Example("320586", "320507", Result.COMPATIBLE),
        Example("310101", "310104", Result.DIFFERENT),
        Example("310101", "440305", Result.DIFFERENT, {"digits": 2}),
        Example("上海市", "310101", Result.INVALID_A),
        Example("640211", "640205", Result.INDETERMINATE),
    ),
)
