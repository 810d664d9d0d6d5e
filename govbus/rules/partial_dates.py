"""Dates as registers hold them: of any precision, in any of the usual writings, with values that only mean nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from govbus.rules.comparator_kind import NULLS, ComparatorKind, Example, Parameter
from govbus.rules.comparison import EQUAL, Comparator, Comparison, Reason, Result, Value, compatible, different
from govbus.rules.share import CHINA_STANDARD_TIME
from govbus.rules.sides import MISSING, NULL_SPELLINGS, WRONG_TYPE, Nulls, Unread, legible, two_sided

SENTINELS = ("1900-01-01", "1970-01-01", "9999-12-31", "0001-01-01", "1899-12-30", "1899-12-31")
"""Dates by which systems say that there is none."""

FIRST_YEAR, LAST_YEAR = 1800, 2199

# Day zero of spreadsheets, as their own leap day 1900-02-29 shifts it: right for every day from 1900-03-01 on.
_SPREADSHEET_DAY_ZERO = date(1899, 12, 30).toordinal()
_FIRST_SERIAL, _LAST_SERIAL = 61, 109_574

_WRITTEN = re.compile(
    r"(?P<Y>\d{4})(?:年|[-/.])(?:(?P<m>\d{1,2})(?:月|[-/.])?(?:(?<=[月\-/.])(?P<d>\d{1,2})日?)?)?"
    r"(?P<time>[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?P<z>Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
).fullmatch
_DIGITS = re.compile(r"(?P<Y>\d{4})(?:(?P<m>\d{2})(?:(?P<d>\d{2})(?:\d{6})?)?)?", re.ASCII).fullmatch
_SERIAL = re.compile(r"\d{5}(?:\.\d+)?|\d{6}\.\d+", re.ASCII).fullmatch
_WHOLE = re.compile(r"(\d+)\.0+", re.ASCII).fullmatch


class Days(NamedTuple):
    """The days that a date may mean: one, or all of a month or a year. `written` tells which, as text."""

    first: date
    last: date

    @property
    def exact(self) -> bool:
        return self.first == self.last


_SENTINEL = Unread("missing", Reason.DATE_SENTINEL)
_IMPOSSIBLE = Unread("invalid", Reason.DATE_IMPOSSIBLE)
_NO_DATE = Unread("invalid", Reason.DATE_FORM)


def days_of(value: Value, sentinels: frozenset[date]) -> Days | Unread:
    """Return the days that *value* means, or why it means none. Text is read as text, numbers as ``YYYYMMDD``,
    ``YYYYMM``, ``YYYY`` or a spreadsheet's serial number of five digits; times with an offset count in China's day.
    """
    if isinstance(value, datetime):
        return _day(value.astimezone(CHINA_STANDARD_TIME).date() if value.tzinfo else value.date(), sentinels)
    if isinstance(value, date):
        return _day(value, sentinels)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return MISSING if value is None else WRONG_TYPE
    if not isinstance(value, str):
        value = str(value)
    text = unicodedata.normalize("NFKC", legible(value)).lstrip("'")
    if (whole := _WHOLE(text)) is not None:
        text = whole[1]
    if not text:
        return MISSING
    if not text.strip("0-/.: T"):
        return _SENTINEL
    if _SERIAL(text):
        return _serial(int(text.partition(".")[0]), sentinels)
    if (found := _DIGITS(text)) is not None:
        return _written(found["Y"], found["m"], found["d"], sentinels)
    if (found := _WRITTEN(text)) is None:
        return _NO_DATE
    if found["time"] and found["z"]:
        return _moment(text, found["z"], sentinels)
    return _written(found["Y"], found["m"], found["d"], sentinels)


def _serial(number: int, sentinels: frozenset[date]) -> Days | Unread:
    if not _FIRST_SERIAL <= number <= _LAST_SERIAL:
        return _NO_DATE
    return _day(date.fromordinal(_SPREADSHEET_DAY_ZERO + number), sentinels)


def _moment(text: str, offset: str, sentinels: frozenset[date]) -> Days | Unread:
    ahead = 0 if offset == "Z" else int(offset[1:3]) * 60 + int(offset[-2:])
    if ahead >= 24 * 60:
        return _NO_DATE
    zone = timezone(timedelta(minutes=-ahead if offset[0] == "-" else ahead))
    clock = re.search(r"(\d{1,2}):(\d{2})", text)
    parts = re.match(r"(\d{4})\D(\d{1,2})\D(\d{1,2})", text)
    if clock is None or parts is None:
        return _NO_DATE
    try:
        moment = datetime(int(parts[1]), int(parts[2]), int(parts[3]), int(clock[1]), int(clock[2]), tzinfo=zone)
        return _day(moment.astimezone(CHINA_STANDARD_TIME).date(), sentinels)
    except (ValueError, OverflowError):
        return _IMPOSSIBLE


def _written(year: str, month: str | None, day: str | None, sentinels: frozenset[date]) -> Days | Unread:
    y, m, d = int(year), int(month or 0), int(day or 0)
    try:
        if m and d:
            return _day(date(y, m, d), sentinels)
        if (d and not m) or not FIRST_YEAR <= y <= LAST_YEAR:
            return _IMPOSSIBLE
        if not m:
            return Days(date(y, 1, 1), date(y, 12, 31))
        return Days(date(y, m, 1), date(y + m // 12, m % 12 + 1, 1) - timedelta(days=1))
    except ValueError:
        return _IMPOSSIBLE


def _day(day: date, sentinels: frozenset[date]) -> Days | Unread:
    if day in sentinels:
        return _SENTINEL
    return Days(day, day) if FIRST_YEAR <= day.year <= LAST_YEAR else _IMPOSSIBLE


def sentinel_days(declared: Sequence[str]) -> frozenset[date]:
    """Return the declared days. Raises ValueError where one is not written as YYYY-MM-DD."""
    try:
        return frozenset(date.fromisoformat(each) for each in declared)
    except ValueError:
        raise ValueError("sentinels are days in the form YYYY-MM-DD") from None


def _build(
    tolerance_days: int = 0, sentinels: Sequence[str] = SENTINELS, nulls: Sequence[str] = NULL_SPELLINGS
) -> Comparator:
    nothing, empty_days = Nulls(nulls), sentinel_days(sentinels)

    @lru_cache(maxsize=2048)
    def read_text(text: str) -> Days | Unread:
        return MISSING if nothing.hold(text) else days_of(text, empty_days)

    def read(value: Value) -> Days | Unread:
        if isinstance(value, str):
            return read_text(value)
        if value.__class__ is date and value not in empty_days and FIRST_YEAR <= value.year <= LAST_YEAR:
            return Days(value, value)
        return days_of(value, empty_days)

    def judge(a: Days, b: Days) -> Comparison:
        if a == b:
            return EQUAL
        if a.first <= b.last and b.first <= a.last:
            return compatible(Reason.DATE_PARTIAL)
        apart = max((b.first - a.last).days, (a.first - b.last).days)
        if apart <= tolerance_days:
            return compatible(Reason.DATE_TOLERATED)
        return different(_likely_cause(a.first, b.first, apart) if a.exact and b.exact else Reason.DATE_DIFFERS)

    compare_read = two_sided(read, judge)

    def compare(a: Value, b: Value) -> Comparison:
        # Decoded dates are the usual case: the same day needs no reading beyond that it is one.
        if a.__class__ is b.__class__ is date and a == b and a not in empty_days:
            return EQUAL if FIRST_YEAR <= a.year <= LAST_YEAR else compare_read(a, b)
        return compare_read(a, b)

    return compare


def _likely_cause(a: date, b: date, apart: int) -> Reason:
    if apart == 1:
        return Reason.DATE_ONE_DAY
    if a.year == b.year and (a.month, a.day) == (b.day, b.month):
        return Reason.DATE_SWAPPED
    # A lunar date is written with the number of a month that begins some three to seven weeks later.
    return Reason.DATE_LUNAR if 15 <= apart <= 60 else Reason.DATE_DIFFERS


DATE = ComparatorKind(
    "日期",
    "写法不同（YYYYMMDD、YYYY-MM-DD、YYYY/M/D、年月日、电子表格序号），仍是同一天；一边只有年或年月，或相差在允许天数内，为“相容”",
    "相差超出允许天数；相差15至60天的，提示疑一边为农历。1900-01-01、9999-12-31等默认值视为没有填写",
    frozenset({"date", "text"}),
    _build,
    {
        "tolerance_days": Parameter("integer", 0, "允许相差的天数", least=0),
        "sentinels": Parameter("texts", SENTINELS, "视为没有填写的日期"),
        "nulls": NULLS,
    },
    (
        Example("19800601", date(1980, 6, 1), Result.EQUAL),
        Example("1980/6/1", "1980年6月1日", Result.EQUAL),
        Example("29373", "1980-06-01", Result.EQUAL),
        Example("1980-00-00", "1980-06-01", Result.COMPATIBLE),
        Example("1980", "1980-06-01", Result.COMPATIBLE),
        Example("1980-06", "1980-06-30", Result.COMPATIBLE),
        Example("2020-01-01", "2020-01-04", Result.COMPATIBLE, {"tolerance_days": 3}),
        Example("1980-06-01", "1981-06-01", Result.DIFFERENT),
        Example("1980-06-01", "1980-07-13", Result.DIFFERENT),
        Example("1900-01-01", "1980-06-01", Result.MISSING_A),
        Example("1980-06-01", "9999-12-31", Result.MISSING_B),
        Example("1980-06-01", "1980-02-30", Result.INVALID_B),
    ),
)
