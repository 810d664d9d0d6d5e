"""Addresses split into levels, division, road, number and dwelling, and compared level by level."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
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
    indeterminate,
)
from govbus.rules.han_folding import simplified
from govbus.rules.illegible import LOST, is_garbled, with_losses_marked
from govbus.rules.masked import compare_masked, is_masked
from govbus.rules.sides import MISSING, NULL_SPELLINGS, PLACEHOLDER, WRONG_TYPE, Nulls, Unread, legible, two_sided

_NOTE = re.compile(r"\([^()]*\)|第(?=\d)")
_MARKS = re.compile(r"[\s,，。.;；:：、'\"“”]+")
_DASHES = re.compile("[‐-―－—~～]+")
_NUMERAL = re.compile(r"第?([一二两三四五六七八九十百零〇]{1,5})(?=号|栋|幢|座|单元|层|楼|室|弄|组|门|队)")
_DIGIT = {each: value for value, each in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}

_DIVISION = re.compile(
    r"(?:中国|中华人民共和国)?"
    r"(?P<province>[一-鿿]{2,6}?(?:省|特别行政区|自治区))?"
    r"(?P<city>(?:(?![省市县区镇乡村路街号])[一-鿿]){2,10}?(?:市|自治州|地区|盟))?(?:市辖区)?"
    r"(?P<county>(?:(?![市县区镇乡村路街号])[一-鿿]){1,10}?(?:自治县|自治旗|新区|林区|区|县|旗|市))?"
    r"(?P<town>(?:(?![市县区镇乡村路号])[一-鿿]){1,10}?(?:街道办事处|街道办|街道|地区办事处|镇|苏木|乡))?"
    r"(?:(?:(?![路街号村])[一-鿿]){1,8}?(?:社区居委会|居民委员会|社区|居委会))?"
)
_ROAD = re.compile(
    r"(?P<road>[^\d]{1,24}?(?:路|大街|街|大道|道|巷|胡同|条|里|村|寨|屯|庄|坪|湾|岗|弄|公路|国道|线)"
    r"(?:[东南西北中]段|\d段)?)(?=\d|$)"
    r"(?:(?P<lane>\d+)弄)?(?:(?P<group>\d+)组)?(?:(?P<number>\d+(?:-\d+)?(?:之\d+)?)号(?!楼)(?:大院|院)?)?"
)
_BUILDING = re.compile(r"(?P<building>\d+|[A-Z]\d*)(?:号楼|栋|幢|座|#楼|#)")
_UNIT = re.compile(r"(?P<unit>\d+|[A-Z])(?:单元|梯|门)")
_ROOM = re.compile(r"(?P<room>[A-Z]?\d+[A-Z]?)(?:室|房|户|$)")
_DASHED = re.compile(r"(?P<building>\d+)-(?:(?P<unit>\d+)-)?(?P<room>\d+)(?:室|房)?$")
_PLAIN = re.compile(r"(?!锟斤|烫烫)[一-鿿][A-Z0-9一-鿿]{5,120}").fullmatch

_UNREADABLE = Reason.ADDRESS_UNREADABLE
_REASONS = (
    Reason.ADDRESS_DIVISION_DIFFERS,
    Reason.ADDRESS_ROAD_DIFFERS,
    Reason.ADDRESS_NUMBER_DIFFERS,
    Reason.ADDRESS_UNIT_DIFFERS,
)


class Address(NamedTuple):
    """An address that was read: folded text, and its parts, each empty where the address does not tell it."""

    text: str
    province: str = ""
    city: str = ""
    county: str = ""
    town: str = ""
    road: str = ""
    number: str = ""
    building: str = ""
    unit: str = ""
    room: str = ""
    readable: bool = False
    """Whether the text was understood: free words ("behind the market") are not."""

    @property
    def levels(self) -> tuple[tuple[str, ...], ...]:
        """The parts by level: division, road, number, dwelling."""
        dwelling = (self.building, self.unit, self.room)
        return (self.province, self.city, self.county, self.town), (self.road,), (self.number,), dwelling


def canonical_address(text: str) -> str:
    """Return *text* as addresses are read: half width, simplified, no blanks, marks or notes, numerals as digits.

    Text whose code pages were mixed up stays as it is.
    """
    if is_garbled(text):
        return text
    plain = unicodedata.normalize("NFKC", with_losses_marked(legible(text)))
    plain = _DASHES.sub("-", simplified(with_losses_marked(legible(plain)))).upper()
    return _NUMERAL.sub(lambda found: str(_number(found[1])), _MARKS.sub("", _NOTE.sub("", plain)))


def _number(numeral: str) -> int:
    """Return what a Chinese numeral below a thousand means; digits alone (一〇二) are read one by one."""
    if not set(numeral) & {"十", "百"}:
        return int("".join(str(_DIGIT[each]) for each in numeral))
    total, digit = 0, 0
    for each in numeral:
        if each in "十百":
            total += (digit or 1) * (10 if each == "十" else 100)
            digit = 0
        else:
            digit = _DIGIT[each]
    return total + digit


def read_address(text: str) -> Address:
    """Return the parts of an address in its canonical form."""
    division = _DIVISION.match(text)
    assert division is not None  # every part may be absent
    parts = {name: found for name, found in division.groupdict().items() if found}
    rest = text[division.end() :]
    if not rest:
        return Address(text, **parts, readable=True)
    road = _ROAD.match(rest)
    if road is not None:
        number = "-".join(filter(None, (road["lane"], road["group"], road["number"])))
        parts |= {"road": road["road"], "number": number}
        rest = rest[road.end() :]
    parts |= _dwelling(rest)
    if road is None and "building" in parts:
        # An estate without a road: its name stands for the road.
        parts["road"] = re.split(r"[A-Z]?\d", rest, maxsplit=1)[0]
    readable = bool(parts.get("road")) and not parts.keys().isdisjoint(("number", "building", "unit", "room"))
    return Address(text, **parts, readable=readable or (road is not None and not rest))


def _dwelling(text: str) -> dict[str, str]:
    """Return building, unit and room in what follows the number; leading zeros do not count."""
    if (dashed := _DASHED.search(text)) is not None:
        found = dashed.groupdict()
    else:
        matches = (("building", _BUILDING), ("unit", _UNIT), ("room", _ROOM))
        found = {name: match[name] for name, pattern in matches if (match := pattern.search(text)) is not None}
    return {name: each.lstrip("0") or "0" for name, each in found.items() if each}


def _told_by_both(a: tuple[str, ...], b: tuple[str, ...]) -> list[bool]:
    """Return for each part that both sides tell whether it is the same."""
    return [left == right for left, right in zip(a, b, strict=True) if left and right]


def address_grade(a: Address, b: Address) -> int:
    """Return to which level two addresses agree without a gap: 0 none, 1 division, 2 road, 3 number, 4 dwelling."""
    grade = 0
    for left, right in zip(a.levels, b.levels, strict=True):
        told = _told_by_both(left, right)
        if not told or not all(told):
            break
        grade += 1
    return grade


def _first_conflict(a: Address, b: Address) -> int | None:
    """Return the level, from 0 on, at which two addresses first differ; what one omits is no difference."""
    for level, (left, right) in enumerate(zip(a.levels, b.levels, strict=True)):
        if not all(_told_by_both(left, right)):
            return level
    return None


def _build(least: int = 4, nulls: Sequence[str] = NULL_SPELLINGS) -> Comparator:
    nothing = Nulls(nulls)

    @lru_cache(maxsize=1024)
    def read_text(text: str) -> Address | Unread:
        if nothing.hold(text):
            return MISSING
        address = canonical_address(text)
        if not address:
            return MISSING
        if LOST in address:
            return PLACEHOLDER
        return Address(address) if is_masked(address) or is_garbled(address) else read_address(address)

    def read(value: Value) -> Address | Unread:
        if isinstance(value, str):
            return read_text(value)
        return MISSING if value is None else WRONG_TYPE

    def judge(a: Address, b: Address) -> Comparison:
        if is_masked(a.text) or is_masked(b.text):
            return compare_masked(a.text, b.text)
        if a.text == b.text:
            return EQUAL
        if is_garbled(a.text) or is_garbled(b.text):
            return indeterminate(Reason.GARBLED)
        if not (a.readable and b.readable):
            return indeterminate(_UNREADABLE)
        conflict = _first_conflict(a, b)
        if conflict is not None:
            return compatible(Reason.ADDRESS_TOLERATED) if conflict >= least else different(_REASONS[conflict])
        return EQUAL if a.levels == b.levels else compatible(Reason.ADDRESS_COARSER)

    def surely_valid(text: str) -> bool:
        return _PLAIN(text) is not None and text.casefold() not in nothing.words

    return two_sided(read, judge, surely_valid)


ADDRESS_NORM = ComparatorKind(
    "地址",
    "拆成行政区划、道路（村、小区）、门牌号、楼栋单元房号四级，各级都一致；一边少写几级而其余一致为“相容”",
    "两边都写了的某一级不同，并说明是哪一级；least 之后各级的不同只算“相容”。拆不出道路和门牌的，不作判断",
    frozenset({"text"}),
    _build,
    {
        "least": Parameter("integer", 4, "必须一致到哪一级：1 区划，2 道路，3 门牌号，4 楼栋单元房号", (1, 2, 3, 4)),
        "nulls": NULLS,
    },
    (
        Example("云海市望海区海棠路８８号３栋２单元５０１室", "云海市望海区海棠路88号3幢二单元501房", Result.EQUAL),
        Example("云海市望海区钟楼街道海棠路88号3栋2单元501室", "望海区海棠路88号", Result.COMPATIBLE),
        Example("海棠路88号3栋501室", "海棠路88号3栋502室", Result.COMPATIBLE, {"least": 3}),
        Example("海棠路88号3栋501室", "海棠路88号3栋502室", Result.DIFFERENT),
        Example("云海市望海区海棠路88号", "云海市云峰区海棠路88号", Result.DIFFERENT),
        Example("云海市望海区海棠路88号", "云海市望海区听涛路88号", Result.DIFFERENT),
        Example("云海市望海区海棠路88号", "望海区老供销社对面白色楼房二楼左手边", Result.INDETERMINATE),
    ),
)
