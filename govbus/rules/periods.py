"""Periods: from a day to a day, the end open where it is missing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from govbus.rules.comparator_kind import NULLS, ComparatorKind, Example, Parameter
from govbus.rules.comparison import EQUAL, Comparator, Comparison, Reason, Result, Value, compatible, different
from govbus.rules.partial_dates import SENTINELS, Days, days_of, sentinel_days
from govbus.rules.sides import MISSING, NULL_SPELLINGS, WRONG_TYPE, Nulls, Unread, legible, two_sided

_BETWEEN = re.compile(
    r"至今|至|到|~|～|—+|–|(?<=[\d日月年])\s*-\s*(?=\d{4}[-年])|(?<=\d{8})-(?=\d{8})|\s+-+\s+|(?<=[\d日])/(?=\d{4}-)|,|;"
)
_OPEN = frozenset({"", "今", "至今", "长期", "长期有效", "永久", "永久有效", "..", "现在"})


class Period(NamedTuple):
    """All days from the first to the last, as ordinals; open ends reach to the first and last day that there is."""

    first: int
    last: int


_NO_PERIOD = Unread("invalid", Reason.PERIOD_FORM)
_WRONG_ORDER = Unread("invalid", Reason.PERIOD_ORDER)


def _build(days: int = 1, sentinels: Sequence[str] = SENTINELS, nulls: Sequence[str] = NULL_SPELLINGS) -> Comparator:
    nothing, empty_days = Nulls(nulls), sentinel_days(sentinels)

    def end(value: object) -> Days | Unread | None:
        """Return the days that one end means; None where it is open."""
        if isinstance(value, str):
            text = unicodedata.normalize("NFKC", legible(value)).strip()
            if text in _OPEN or nothing.hold(text):
                return None
        elif value is None:
            return None
        elif not isinstance(value, int | float | date):
            return WRONG_TYPE
        read = days_of(value, empty_days)
        return None if isinstance(read, Unread) and read.kind == "missing" else read

    def read(value: Value) -> Period | Unread:
        if value is None:
            return MISSING
        if isinstance(value, str):
            text = unicodedata.normalize("NFKC", legible(value))
            if nothing.hold(text):
                return MISSING
            if len(ends := _BETWEEN.split(text)) != 2:
                return _NO_PERIOD
            value = tuple(ends)
        if not isinstance(value, tuple):
            return WRONG_TYPE
        if len(value) != 2:
            return _NO_PERIOD
        start, stop = end(value[0]), end(value[1])
        if isinstance(start, Unread):
            return start
        if isinstance(stop, Unread):
            return stop
        if start is None and stop is None:
            return MISSING
        period = Period(
            date.min.toordinal() if start is None else start.first.toordinal(),
            date.max.toordinal() if stop is None else stop.last.toordinal(),
        )
        return period if period.first <= period.last else _WRONG_ORDER

    def judge(a: Period, b: Period) -> Comparison:
        if a == b:
            return EQUAL
        common = min(a.last, b.last) - max(a.first, b.first) + 1
        return compatible(Reason.PERIOD_OVERLAPS) if common >= days else different(Reason.PERIOD_APART)

    return two_sided(read, judge)


PERIOD_OVERLAP = ComparatorKind(
    "起止时间",
    "起止都相同；重叠至少 days 天为“相容”。结束时间空着、“至今”、“长期”为没有终点",
    "重叠不足；起始晚于结束的为“无效”",
    frozenset({"set", "text"}),
    _build,
    {
        "days": Parameter("integer", 1, "至少重叠的天数，首尾两天都算", least=1),
        "sentinels": Parameter("texts", SENTINELS, "表示没有起点或终点的日期"),
        "nulls": NULLS,
    },
    (
        Example((date(2020, 1, 1), date(2020, 12, 31)), "2020-01-01至2020-12-31", Result.EQUAL),
        Example((date(2020, 1, 1), None), ("2020-01-01", "9999-12-31"), Result.EQUAL),
        Example("2020-01-01至今", (date(2022, 1, 1), date(2022, 6, 30)), Result.COMPATIBLE),
        Example("2020年1月至2020年6月", "2020-07-01/2020-12-31", Result.DIFFERENT),
        Example("2020-01-01至2020-06-30", "2020-06-30至2020-12-31", Result.DIFFERENT, {"days": 2}),
        Example("2020-06-01至2020-01-01", "2020-01-01至2020-06-01", Result.INVALID_A),
    ),
)
