"""What comes of comparing an element's value at its authority (A) with the value another dataset reports (B).

A comparison is a result and a reason. Reasons are a closed list, so that none can ever contain a value: they may stand
in messages, metrics and cases of any department. Age is not judged here: no times come in, so `STALE_A` and `STALE_B`
are given by whoever knows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

Value = str | int | float | bool | Decimal | date | tuple[object, ...] | None
"""A decoded Avro value: text, code or enum symbol as text, date, decimal, array as tuple, null as None."""


class Result(StrEnum):
    """How the two values stand to each other. Only DIFFERENT, and INVALID_A, open a case by default."""

    EQUAL = "equal"
    COMPATIBLE = "compatible"
    """Nothing contradicts: one side is coarser, masked, or within the declared tolerance."""
    DIFFERENT = "different"
    MISSING_A = "missing_a"
    MISSING_B = "missing_b"
    INVALID_A = "invalid_a"
    INVALID_B = "invalid_b"
    INDETERMINATE = "indeterminate"
    """The values differ as they are written, and nobody can tell whether the fact does."""
    STALE_A = "stale_a"
    STALE_B = "stale_b"


class Reason(StrEnum):
    """Why, in words a clerk understands. The name is stable and fit for a metric's label."""

    SAME = "两边一致"
    BOTH_MISSING = "两边都没有填写"
    MISSING = "一边没有填写"
    WRONG_TYPE = "值的类型不对，无法比对"
    # text
    TEXT_DIFFERS = "两边的值不同"
    PLACEHOLDER = "含无法显示的字符，无法判断"
    GARBLED = "疑为字符编码转换出错的乱码，无法判断"
    MASKED_AGREES = "一边已脱敏，可见部分一致"
    MASKED_DIFFERS = "一边已脱敏，可见部分不同"
    # identity codes
    CODE_DIFFERS = "两边的代码不同"
    ID_ROUNDED = "号码被电子表格改成了科学计数，末尾数字已丢失"
    ID_FORM = "公民身份号码的位数或字符不对"
    ID_DATE = "公民身份号码中的出生日期不存在"
    ID_CHECK = "公民身份号码的校验码不对"
    USCC_FORM = "统一社会信用代码的位数或字符不对"
    USCC_CHECK = "统一社会信用代码的校验码不对"
    USCC_LETTERS = "统一社会信用代码不用字母 I 和 O，疑将数字 1、0 写成了字母"
    SAME_BODY_DIFFERENT_CODE = "两个统一社会信用代码不同，但组织机构代码相同，疑为同一机构换过代码"
    ORGANISATION_CODE_AGREES = "一边是组织机构代码或旧税号，与另一边代码中的组织机构代码一致"
    OLD_REGISTRATION = "一边是旧工商注册号，不能由统一社会信用代码推出，无法判断"
    # names
    NAME_DIFFERS = "两边的姓名不同"
    NAME_FORMER_VARIANT = "姓名中只有曾经的异体字不同（现为不同的规范字），请核对证件"
    NAME_VARIANT = "姓名中只有繁简或异体写法不同，可能是同一姓名"
    NAME_DOT = "姓名只差间隔号"
    NAME_PINYIN = "一边的姓名用拼音代替了汉字，无法判断"
    NAME_DIGITS = "姓名中有数字，疑为填错了栏"
    NAME_NOT_LATIN = "不是拉丁字母写的姓名"
    NAME_SHORTER = "一边的姓名缺少中间名或用了缩写，其余一致"
    NAME_SPLIT = "姓名的字母一致，只是分写不同"
    ORGANISATION_DIFFERS = "两边的机构名称不同"
    ORGANISATION_FORM = "机构名称只差“有限责任公司”与“有限公司”"
    ORGANISATION_MARKS = "机构名称只差标点"
    # dates and periods
    DATE_DIFFERS = "两边的日期不同"
    DATE_FORM = "日期的写法无法识别"
    DATE_IMPOSSIBLE = "日期不存在或年份不合理"
    DATE_SENTINEL = "日期是系统默认值，视为没有填写"
    DATE_PARTIAL = "一边的日期不完整，已有部分一致"
    DATE_TOLERATED = "两边的日期相差在允许的天数之内"
    DATE_ONE_DAY = "两边的日期相差一天，疑为时区换算造成"
    DATE_SWAPPED = "两边日期的月和日对调了"
    DATE_LUNAR = "两边的日期相差15至60天，疑一边为农历"
    PERIOD_FORM = "起止时间的写法无法识别"
    PERIOD_ORDER = "起始时间晚于结束时间"
    PERIOD_OVERLAPS = "两边的起止时间有足够的重叠"
    PERIOD_APART = "两边的起止时间没有足够的重叠"
    # divisions and addresses
    DIVISION_FORM = "不是行政区划代码"
    DIVISION_SUCCEEDED = "停用的区划代码换成现行代码后一致"
    DIVISION_COARSER = "一边的区划代码级别较高，已有部分一致"
    DIVISION_SPLIT = "一边是停用的区划代码，其辖区后来分到了几处，另一边是其中之一"
    DIVISION_SUCCESSOR_UNKNOWN = "一边是停用的区划代码，由何处接管未收录，无法判断"
    DIVISION_UNKNOWN = "两边的区划代码不同，其中有国家标准历年都没有的代码"
    PROVINCE_DIFFERS = "两边的省级区划不同"
    PREFECTURE_DIFFERS = "两边省级区划相同，地级区划不同"
    COUNTY_DIFFERS = "两边地级区划相同，县级区划不同"
    ADDRESS_UNREADABLE = "地址拆不出道路和门牌，无法判断"
    ADDRESS_COARSER = "一边的地址较粗，已有部分一致"
    ADDRESS_TOLERATED = "地址到要求的级别为止一致，其后不同"
    ADDRESS_DIVISION_DIFFERS = "两边地址的行政区划不同"
    ADDRESS_ROAD_DIFFERS = "两边地址的行政区划相同，道路或村不同"
    ADDRESS_NUMBER_DIFFERS = "两边地址的道路相同，门牌号不同"
    ADDRESS_UNIT_DIFFERS = "两边地址的门牌号相同，楼栋、单元或房号不同"
    # code lists, numbers, sets
    CODE_UNKNOWN = "代码不在对照表内"
    CODE_UNSTATED = "填的是“未知”或“未说明”，视为没有填写"
    NUMBER_FORM = "不是数值"
    NUMBER_DIFFERS = "两边的数值之差超出允许误差"
    NUMBER_TOLERATED = "两边的数值之差在允许误差之内"
    UNIT_DIFFERS = "两边的计量单位不是同一种量，无法比对"
    UNIT_SUSPECT = "两边的数值正好相差一万倍，疑为元与万元混用"
    UNIT_SUSPECT_FEN = "两边的数值正好相差一百倍，疑为元与分混用"
    CURRENCY_DIFFERS = "两边的币种不同"
    SET_ADDED = "报送方比权威来源多出若干项"
    SET_REMOVED = "报送方比权威来源缺少若干项"
    SET_BOTH = "报送方与权威来源相比，有多出的项也有缺少的项"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A result and its reason. `reason` is the text of a `Reason` and never contains a value."""

    result: Result
    reason: str


Comparator = Callable[[Value, Value], Comparison]
"""Compares the authority's value with a reported one. Pure and total: whatever comes in, a `Comparison` goes out."""

_MADE = {(result, reason): Comparison(result, reason) for result in Result for reason in Reason}
EQUAL = _MADE[Result.EQUAL, Reason.SAME]


def equal(reason: Reason = Reason.SAME) -> Comparison:
    """Return the comparison EQUAL for *reason*."""
    return _MADE[Result.EQUAL, reason]


def compatible(reason: Reason) -> Comparison:
    """Return the comparison COMPATIBLE for *reason*."""
    return _MADE[Result.COMPATIBLE, reason]


def different(reason: Reason) -> Comparison:
    """Return the comparison DIFFERENT for *reason*."""
    return _MADE[Result.DIFFERENT, reason]


def indeterminate(reason: Reason) -> Comparison:
    """Return the comparison INDETERMINATE for *reason*."""
    return _MADE[Result.INDETERMINATE, reason]


def one_sided(result: Result, reason: Reason) -> Comparison:
    """Return the comparison of a missing or invalid side."""
    return _MADE[result, reason]
