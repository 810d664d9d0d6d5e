"""How two copies of one fact stand to each other: each comparator said once more, as plainly as can be.

`compare` takes the value of the source (A) and a reported one (B) as a Python reader has them and answers in one word:
EQUAL, COMPATIBLE, DIFFERENT, MISSING_A or _B (nothing is said), INVALID_A or _B (cannot be right), INDETERMINATE.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

EQUAL, COMPATIBLE, DIFFERENT, INDETERMINATE = "EQUAL", "COMPATIBLE", "DIFFERENT", "INDETERMINATE"
MISSING_A, MISSING_B, INVALID_A, INVALID_B = "MISSING_A", "MISSING_B", "INVALID_A", "INVALID_B"


NOTHING = ("", "无", "/", "-", "null")
"""Some of the ways in which registers write that there is nothing."""


class Invalid(ValueError):
    """The value cannot be right, whatever the other one says."""


class Missing(ValueError):
    """The value is there and says that nothing is known."""


class Unknowable(ValueError):
    """Part of the value was lost: it can be compared with nothing."""


def compare(declared: Any, a: Any, b: Any) -> str:
    """Return how *b* stands to *a* under a comparator as an element declares it: a name, or a name with parameters."""
    if a is None:
        return MISSING_A
    if b is None:
        return MISSING_B
    name, parameters = (declared, {}) if isinstance(declared, str) else next(iter(declared.items()))
    read = _readers(name, parameters)
    sides = [_side(read, value, parameters.get(unit)) for value, unit in ((a, "unit_a"), (b, "unit_b"))]
    # Where there is nothing to compare with, it matters no more whether the other side is right or legible.
    for fault, results in ((Missing, (MISSING_A, MISSING_B)), (Invalid, (INVALID_A, INVALID_B))):
        for side, result in zip(sides, results, strict=True):
            if side is fault:
                return result
    return INDETERMINATE if Unknowable in sides else _relation(name, parameters, *sides)


def _side(read: Callable[[Any, Any], Any], value: Any, unit: str | None) -> Any:
    """Return what is compared of one side, or the kind of fault that keeps it from being compared."""
    try:
        if isinstance(value, str) and value.strip().casefold() in NOTHING:
            raise Missing
        return read(value, unit)
    except (Invalid, Missing, Unknowable) as fault:
        return type(fault)


# What a value says ----------------------------------------------------------------------------------------------------


def _readers(name: str, parameters: Mapping[str, Any]) -> Callable[[Any, Any], Any]:
    """Return the function from a value and its side's unit to what is compared."""
    match name:
        case "exact":
            return lambda value, _: exact(value)
        case "id_canonical":
            return lambda value, _: citizen_id(value)
        case "uscc_canonical":
            return lambda value, _: uscc(value)
        case "name_zh":
            return lambda value, _: chinese_name(value)
        case "name_latin":
            return lambda value, _: latin_name(value)
        case "org_name_norm":
            return lambda value, _: organisation_name(value)
        case "date":
            return lambda value, _: day(value)
        case "division_prefix":
            return lambda value, _: division(value, parameters.get("successors", {}))
        case "code_map":
            return lambda value, _: value
        case "numeric":
            return lambda value, unit: number(value, unit)
        case "amount":
            return lambda value, unit: number(value, unit).quantize(Decimal("0.01"))
        case "set":
            return lambda value, _: members(value)
    raise AssertionError(name)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid
    return value


def exact(value: Any) -> Any:
    """Text in NFC without blanks at its ends; anything else is itself."""
    return unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else value


def citizen_id(value: Any) -> str:
    """The 18 characters of GB 11643; the old 15 digits are of the century 19, or 18 where the sequence says so."""
    text = re.sub(r"[\s\-]", "", unicodedata.normalize("NFKC", _text(value))).upper()
    if re.fullmatch(r"[0-9]{15}", text):
        text = text[:6] + ("18" if text[12:] in ("996", "997", "998", "999") else "19") + text[6:]
        text += _check_of_id(text)
    if not re.fullmatch(r"[0-9]{17}[0-9X]", text) or _check_of_id(text[:17]) != text[17]:
        raise Invalid
    return text


def _check_of_id(first17: str) -> str:
    """ISO 7064 MOD 11-2: the character that makes the sum of digit times 2^place leave 1 when divided by 11."""
    total = sum(int(digit) * 2 ** (17 - place) for place, digit in enumerate(first17))
    return "0123456789X"[(1 - total) % 11]


ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def uscc(value: Any) -> str:
    """The 18 characters of GB 32100, whose sum weighted by powers of three is a multiple of 31."""
    text = unicodedata.normalize("NFKC", _text(value)).upper().strip()
    if len(text) != 18 or any(each not in ALPHABET for each in text):
        raise Invalid
    total = sum(ALPHABET.index(each) * 3**place for place, each in enumerate(text[:17]))
    if (total + ALPHABET.index(text[17])) % 31:
        raise Invalid
    return text


DOTS = "·•・.．‧∙⋅"
BLANKS = " \u3000\u00a0\u200b\ufeff\t"
PLACEHOLDERS = "?？□＊�〓"
TRADITIONAL = dict(
    zip("張陳劉黃趙吳孫馬國華偉強東蘭鳳龍軍鄭葉謝", "张陈刘黄赵吴孙马国华伟强东兰凤龙军郑叶谢", strict=True)
)
"""Enough of the characters that were simplified for names to be drawn from."""


def chinese_name(value: Any) -> str:
    """One way to write a name: no blanks, one middle dot, simplified characters; a stand-in loses a rare one."""
    text = _text(value)
    if any(each in PLACEHOLDERS or unicodedata.category(each) == "Co" for each in text):
        raise Unknowable
    text = "".join("·" if each in DOTS else each for each in text)
    text = "".join("·" if each in DOTS else each for each in unicodedata.normalize("NFKC", text))
    text = "".join(TRADITIONAL.get(each, each) for each in text if each not in BLANKS)
    if re.search("[\u4e00-\u9fff]", text) and re.search("[A-Za-z]", text):
        raise Unknowable
    return text


def latin_name(value: Any) -> tuple[str, ...]:
    """The words of a name in any order, without case and accents."""
    plain = unicodedata.normalize("NFKD", _text(value)).casefold()
    return tuple(sorted(re.findall(r"[^\W_]+", "".join(each for each in plain if not unicodedata.combining(each)))))


def organisation_name(value: Any) -> str:
    """A body's name with half-width brackets and no blanks."""
    return "".join(each for each in unicodedata.normalize("NFKC", _text(value)) if each not in BLANKS)


SENTINELS = (date(1900, 1, 1), date(1970, 1, 1), date(9999, 12, 31))


def day(value: Any) -> tuple[date, date]:
    """The first and the last day that a date may mean: one day, or all of a month or year where no more is known."""
    if isinstance(value, date):
        found = (value, value)
    elif isinstance(value, str):
        found = _written_day(value.strip())
    else:
        raise Invalid
    if found[0] == found[1] and found[0] in SENTINELS:
        raise Missing
    return found


def _written_day(text: str) -> tuple[date, date]:
    matched = re.fullmatch(r"([0-9]{4})(?:[-/.]?([0-9]{1,2})(?:[-/.]?([0-9]{1,2}))?)?", text)
    if matched is None or (len(text) == 5 and text.isdigit()):
        raise Invalid
    year, month, of_month = (int(part or 0) for part in matched.groups())
    try:
        if not month:
            return date(year, 1, 1), date(year, 12, 31)
        if not of_month:
            return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        return date(year, month, of_month), date(year, month, of_month)
    except ValueError:
        raise Invalid from None


def division(value: Any, successors: Mapping[str, str]) -> str:
    """The six digits of a division in force: a retired one's successor, and so on."""
    text = _text(value).strip()
    seen = {text}
    while text in successors and successors[text] not in seen:
        text = successors[text]
        seen.add(text)
    if not re.fullmatch(r"[0-9]{6}", text):
        raise Invalid
    return text


UNITS = {"元": Decimal(1), "万元": Decimal(10_000), "亿元": Decimal(100_000_000), "分": Decimal("0.01")}


def number(value: Any, unit: str | None) -> Decimal:
    """A number in its base unit: money in yuan."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Invalid
    return Decimal(str(value)) * UNITS.get(unit or "", Decimal(1))


def members(value: Any) -> frozenset[Any]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise Invalid
    return frozenset(exact(each) for each in value)


# How two stand to each other ------------------------------------------------------------------------------------------


def _relation(name: str, parameters: Mapping[str, Any], a: Any, b: Any) -> str:
    if name == "date":
        return _days(a, b, parameters.get("tolerance_days", 0))
    if a == b:
        return EQUAL
    match name:
        case "name_zh" if "*" in a or "*" in b:
            return COMPATIBLE if _masked(a, b) else DIFFERENT
        case "org_name_norm":
            soft = [each.replace("有限责任公司", "有限公司") for each in (a, b)]
            return COMPATIBLE if soft[0] == soft[1] else DIFFERENT
        case "division_prefix":
            digits = parameters.get("digits", 6)
            return EQUAL if a[:digits] == b[:digits] else DIFFERENT
        case "numeric" | "amount":
            least = Decimal(str(parameters.get("abs", 0)))
            share = Decimal(str(parameters.get("rel", 0))) * abs(a)
            return COMPATIBLE if abs(a - b) <= max(least, share) else DIFFERENT
    return DIFFERENT


def _days(a: tuple[date, date], b: tuple[date, date], tolerance: int) -> str:
    if a == b and a[0] == a[1]:
        return EQUAL
    apart = max((b[0] - a[1]).days, (a[0] - b[1]).days, 0)
    return COMPATIBLE if apart <= tolerance else DIFFERENT


def _masked(a: str, b: str) -> bool:
    """Whether two names can be the same one, where a star hides a character."""
    return len(a) == len(b) and all(one == other or "*" in (one, other) for one, other in zip(a, b, strict=True))
