"""Numbers and sums of money: units first, then the tolerance, and a look at the factors by which units are mixed up."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from types import MappingProxyType
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
from govbus.rules.sides import MISSING, NULL_SPELLINGS, WRONG_TYPE, Nulls, Unread, legible, two_sided

# A context of our own: another part of the program may set traps in the thread's, and a comparison never raises.
_EXACTLY = Context(prec=60, rounding=ROUND_HALF_UP, traps=[])
_MOST_DIGITS = 24

UNITS: Mapping[str, tuple[str, Decimal]] = MappingProxyType(
    {
        "": ("", Decimal(1)),
        **{name: ("money", Decimal(1)) for name in ("元", "人民币", "人民币元", "块", "圆")},
        "分": ("money", Decimal("0.01")),
        "角": ("money", Decimal("0.1")),
        "千元": ("money", Decimal(1000)),
        "万元": ("money", Decimal(10_000)),
        "百万元": ("money", Decimal(1_000_000)),
        "亿元": ("money", Decimal(100_000_000)),
        "千": ("", Decimal(1000)),
        "万": ("", Decimal(10_000)),
        "亿": ("", Decimal(100_000_000)),
        **{name: ("area", Decimal(1)) for name in ("m2", "平方米", "平米", "平方")},
        "公顷": ("area", Decimal(10_000)),
        "平方公里": ("area", Decimal(1_000_000)),
        "%": ("", Decimal("0.01")),
        **{name: ("time", Decimal(1)) for name in ("个月", "月")},
        **{name: ("count", Decimal(1)) for name in ("人", "户", "套", "间", "个", "次")},
    }
)
"""Units by how they are written (after width folding: ㎡ and m² are m2): what they measure, and how much of it."""

_CURRENCIES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("¥", "RMB", "CNY", "人民币", "元"), "CNY"),
        **dict.fromkeys(("US$", "$", "USD", "美元"), "USD"),
        **dict.fromkeys(("HK$", "HKD", "港元", "港币"), "HKD"),
        **dict.fromkeys(("MOP", "澳门元", "澳门币"), "MOP"),
        **dict.fromkeys(("NT$", "TWD", "新台币"), "TWD"),
        **dict.fromkeys(("€", "EUR", "欧元"), "EUR"),
        **dict.fromkeys(("JPY", "日元"), "JPY"),
        **dict.fromkeys(("£", "GBP", "英镑"), "GBP"),
    }
)
_CURRENCY_AT = re.compile("|".join(re.escape(each) for each in sorted(_CURRENCIES, key=len, reverse=True)))
_NUMBER = re.compile(
    r"(?P<number>[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?(?:E[+-]?\d{1,2})?|[+-]?\.\d+)(?P<unit>[^\d.,+-].{0,5}|)",
    re.ASCII | re.IGNORECASE,
).fullmatch


class Quantity(NamedTuple):
    """A number in its unit's base: yuan, square metres, or itself. `currency` is empty where none is named."""

    number: Decimal
    measure: str
    currency: str


_NO_NUMBER = Unread("invalid", Reason.NUMBER_FORM)


def quantity(value: Value, unit: str = "") -> Quantity | Unread:
    """Return the quantity that *value* tells; a number that names no unit is in *unit*, one of `UNITS`.

    ``100万``, ``1,000,000元``, ``￥100``, ``89.5㎡`` are understood; thousands separators, blanks and widths are not
    counted. Infinite numbers, NaN and numbers of more than 24 digits are invalid.
    """
    measure, scale = UNITS[unit]
    currency = ""
    if isinstance(value, str):
        text = re.sub(r"\s+", "", unicodedata.normalize("NFKC", legible(value))).replace("￥", "¥").lstrip("'")
        if not text:
            return MISSING
        # 元 alone is a unit as well, and stays.
        named = next((each for each in _CURRENCY_AT.finditer(text.upper()) if each[0] != "元"), None)
        if named is not None:
            currency = _CURRENCIES[named[0]]
            text = (text[: named.start()] + text[named.end() :]).strip()
        found = _NUMBER(text)
        if found is None or found["unit"].lower() not in UNITS:
            return _NO_NUMBER
        if found["unit"]:
            measure, scale = UNITS[found["unit"].lower()]
        number = Decimal(found["number"].replace(",", ""))
    elif isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return MISSING if value is None else WRONG_TYPE
    elif isinstance(value, int):
        if value.bit_length() > 4 * _MOST_DIGITS:
            return _NO_NUMBER
        number = Decimal(value)
    else:
        number = Decimal(repr(value)) if isinstance(value, float) else value
    if not number.is_finite() or not -_MOST_DIGITS <= number.adjusted() <= _MOST_DIGITS:
        return _NO_NUMBER if number or not number.is_finite() else Quantity(Decimal(0), measure, currency)
    return Quantity(_EXACTLY.multiply(number, scale), measure, currency)


def _reader(nulls: Sequence[str], unit: str) -> Callable[[Value], Quantity | Unread]:
    nothing = Nulls(nulls)
    numbers = {each.number for word in nothing.words if isinstance(each := quantity(word), Quantity)}

    def told(value: Value) -> Quantity | Unread:
        if numbers and isinstance(plain := quantity(value), Quantity) and plain.number in numbers:
            return MISSING
        return quantity(value, unit)

    @lru_cache(maxsize=1024)
    def read_text(text: str) -> Quantity | Unread:
        return MISSING if nothing.hold(text) else told(text)

    return lambda value: read_text(value) if isinstance(value, str) else told(value)


def _beyond(a: Decimal, b: Decimal, tolerance: Decimal) -> Reason | None:
    """Return why two numbers are too far apart, or None where they are not."""
    if abs(_EXACTLY.subtract(a, b)) <= tolerance:
        return None
    for factor, reason in ((10_000, Reason.UNIT_SUSPECT), (100, Reason.UNIT_SUSPECT_FEN)):
        for large, small in ((a, b), (b, a)):
            # The smaller number may have been rounded to its own last place, whole or in hundredths.
            apart = abs(_EXACTLY.subtract(large, _EXACTLY.multiply(small, Decimal(factor))))
            if small and apart <= max(abs(_EXACTLY.multiply(large, Decimal("0.0005"))), _rounding(small) * factor):
                return reason
    return Reason.NUMBER_DIFFERS


def _rounding(number: Decimal) -> Decimal:
    whole = number == number.to_integral_value()
    return Decimal("0.005") if not whole or abs(number) < 20 else Decimal("0.5")


def _numeric(
    abs: Decimal = Decimal(0),
    rel: Decimal = Decimal(0),
    unit_a: str = "",
    unit_b: str = "",
    nulls: Sequence[str] = NULL_SPELLINGS,
) -> Comparator:
    absolute, relative = abs, rel

    def judge(a: Quantity, b: Quantity) -> Comparison:
        if a.measure and b.measure and a.measure != b.measure:
            return indeterminate(Reason.UNIT_DIFFERS)
        if a.currency and b.currency and a.currency != b.currency:
            return different(Reason.CURRENCY_DIFFERS)
        if a.number == b.number:
            return EQUAL
        tolerance = max(absolute, _EXACTLY.multiply(relative, a.number.copy_abs()))
        beyond = _beyond(a.number, b.number, tolerance)
        return compatible(Reason.NUMBER_TOLERATED) if beyond is None else different(beyond)

    return _alike(
        two_sided(_reader(nulls, unit_a), judge, read_reported=_reader(nulls, unit_b)), unit_a == unit_b, nulls
    )


def _amount(
    abs: Decimal = Decimal(0),
    currency: str = "CNY",
    unit_a: str = "元",
    unit_b: str = "元",
    nulls: Sequence[str] = NULL_SPELLINGS,
) -> Comparator:
    tolerance, cents = abs, Decimal("0.01")

    def judge(a: Quantity, b: Quantity) -> Comparison:
        if a.measure not in ("", "money") or b.measure not in ("", "money"):
            return indeterminate(Reason.UNIT_DIFFERS)
        if (a.currency or currency) != (b.currency or currency):
            return different(Reason.CURRENCY_DIFFERS)
        one, other = (_EXACTLY.quantize(each.number, cents) for each in (a, b))
        if one == other:
            return EQUAL
        beyond = _beyond(one, other, tolerance)
        return compatible(Reason.NUMBER_TOLERATED) if beyond is None else different(beyond)

    return _alike(
        two_sided(_reader(nulls, unit_a), judge, read_reported=_reader(nulls, unit_b)), unit_a == unit_b, nulls
    )


def _alike(compare_read: Comparator, one_unit: bool, nulls: Sequence[str]) -> Comparator:
    """Return *compare_read* with a shortcut for the usual case: the same whole number or decimal on both sides."""
    if not one_unit or any(isinstance(quantity(each), Quantity) for each in nulls):
        return compare_read

    def compare(a: Value, b: Value) -> Comparison:
        if a.__class__ is b.__class__ is int and a == b and -_SHORT < a < _SHORT:
            return EQUAL
        if (
            a.__class__ is b.__class__ is Decimal
            and a.is_finite()
            and b.is_finite()
            and a == b
            and a.adjusted() < _MOST_DIGITS
        ):
            return EQUAL
        return compare_read(a, b)

    return compare


_SHORT = 10**18
_UNIT = Parameter("text", "", "权威来源的数值没有写单位时的单位", tuple(UNITS))

NUMERIC = ComparatorKind(
    "数值",
    "换成同一单位后相等（100万 = 1,000,000）；相差不超过 abs 与 rel×权威值中较大者，为“相容”",
    "相差更大；正好相差一万倍或一百倍的，提示疑为单位混用。不是数值的为“无效”",
    frozenset({"number", "text"}),
    _numeric,
    {
        "abs": Parameter("number", Decimal(0), "允许的绝对误差", least=0),
        "rel": Parameter("number", Decimal(0), "允许的相对误差，0.01 即 1%", least=0),
        "unit_a": _UNIT,
        "unit_b": Parameter("text", "", "报送方的数值没有写单位时的单位", tuple(UNITS)),
        "nulls": NULLS,
    },
    (
        Example("100万", 1_000_000, Result.EQUAL),
        Example("1,000,000元", Decimal("1000000.00"), Result.EQUAL),
        Example(100, 1_000_000, Result.EQUAL, {"unit_a": "万元", "unit_b": "元"}),
        Example("89.5㎡", 89.9, Result.COMPATIBLE, {"abs": 0.5, "rel": 0.01}),
        Example(89.5, 90.5, Result.DIFFERENT, {"abs": 0.5, "rel": 0.01}),
        Example(5_000_000, 500, Result.DIFFERENT),
        Example("八十九", 89, Result.INVALID_A),
    ),
)

AMOUNT = ComparatorKind(
    "金额",
    "币种相同，四舍五入到分后相等；相差不超过 abs 为“相容”",
    "相差更大，或币种不同；正好相差一万倍或一百倍的，提示疑为单位混用",
    frozenset({"number", "text"}),
    _amount,
    {
        "abs": Parameter("number", Decimal(0), "允许的误差，元", least=0),
        "currency": Parameter("text", "CNY", "没有写币种时的币种", tuple(sorted(set(_CURRENCIES.values())))),
        "unit_a": Parameter("text", "元", "权威来源的数值没有写单位时的单位", tuple(UNITS)),
        "unit_b": Parameter("text", "元", "报送方的数值没有写单位时的单位", tuple(UNITS)),
        "nulls": NULLS,
    },
    (
        Example(Decimal("100.00"), "100", Result.EQUAL),
        Example("￥1,234.50", Decimal("1234.50"), Result.EQUAL),
        Example(10_000, Decimal("100.00"), Result.EQUAL, {"unit_a": "分"}),
        Example("100.00", "100.01", Result.COMPATIBLE, {"abs": 0.01}),
        Example("100.00", "100.02", Result.DIFFERENT, {"abs": 0.01}),
        Example("USD 100", "CNY 100", Result.DIFFERENT),
        Example("50000", "5", Result.DIFFERENT),
    ),
)
