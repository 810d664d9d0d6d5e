"""Dates and times as departments write them, by declared formats; strict about what is a day, tolerant of separators.

A format is made of %Y %m %d %H %M %S %f %z and literal characters. Where two directives touch, they have their full
width (``%Y%m%d``: ``2020111`` is ambiguous and refused); beside a separator a leading zero may be missing. Two-digit
years are not offered: nobody knows their century. Texts without an offset are China Standard Time (+08:00), as
department systems keep it. Reasons of the ValueErrors never contain the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone

from govbus.rules.share import CHINA_STANDARD_TIME

DAY_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%Y年%m月%d日")
"""What is understood where a source declares nothing; no text fits two of them with different meanings."""

INSTANT_FORMATS = (
    "%Y-%m-%d %H:%M:%S.%f%z",
    "%Y-%m-%d %H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y%m%d%H%M%S",
    *DAY_FORMATS,
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = date(1970, 1, 1).toordinal()

_GROUPS = {
    "Y": r"(?P<Y>\d{4})",
    "m": r"(?P<m>\d{1,2})",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "M": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d{1,2})",
    "f": r"(?P<f>\d{1,6})\d*",
    "z": r"(?P<z>Z|[+-]\d{2}(?::?\d{2})?)",
}
_DIRECTIVE = re.compile(r"%(.)")
_MIDNIGHT = re.compile(r"[ T]0{1,2}:00(:00(\.0+)?)?$")


def pattern_of(format: str) -> re.Pattern[str]:
    """Return the regular expression of *format*; raises ValueError where a directive is not offered or one missing."""
    parts = _DIRECTIVE.split(format)
    literals, directives = parts[::2], parts[1::2]
    if unknown := sorted(set(directives) - set(_GROUPS)):
        raise ValueError(f"%{unknown[0]} is not offered in a date format; use %Y %m %d %H %M %S %f %z")
    if not {"Y", "m", "d"} <= set(directives) or len(set(directives)) < len(directives):
        raise ValueError("a date format names %Y, %m and %d, each once")
    pattern = re.escape(literals[0])
    for place, directive in enumerate(directives):
        touches_before = place > 0 and not literals[place]
        touches_after = place + 1 < len(directives) and not literals[place + 1]
        group = _GROUPS[directive]
        fixed = (touches_before or touches_after) and directives[place + 1 : place + 2] != ["z"]
        pattern += group.replace(r"{1,2}", "{2}") if fixed else group
        pattern += re.escape(literals[place + 1]).replace(r"\ ", "[ T]")
    return re.compile(pattern, re.ASCII)


def day_reader(formats: Sequence[str] = ()) -> Callable[[str], date]:
    """Return the function that reads a day in one of *formats* (default `DAY_FORMATS`); it raises ValueError.

    A time of day is only tolerated where it is midnight, as databases export dates.
    """
    matchers = [pattern_of(each).fullmatch for each in formats or DAY_FORMATS]

    def read(text: str) -> date:
        for fullmatch in matchers:
            if (found := fullmatch(text)) or (found := fullmatch(_MIDNIGHT.sub("", text))):
                try:
                    return date(int(found["Y"]), int(found["m"]), int(found["d"]))
                except ValueError:
                    raise ValueError("this day does not exist") from None
        raise ValueError(f"not a date of the form {' or '.join(formats or DAY_FORMATS)}")

    return read


def instant_reader(formats: Sequence[str] = ()) -> Callable[[str], int]:
    """Return the function that reads a time in one of *formats* (default `INSTANT_FORMATS`).

    It returns microseconds since 1970-01-01 UTC; a day alone is its midnight. It raises ValueError.
    """
    matchers = [pattern_of(each).fullmatch for each in formats or INSTANT_FORMATS]

    def read(text: str) -> int:
        for fullmatch in matchers:
            if found := fullmatch(text):
                try:
                    return _micros(found.groupdict())
                except (ValueError, OverflowError):
                    raise ValueError("this time does not exist") from None
        raise ValueError(f"not a time of the form {' or '.join(formats or INSTANT_FORMATS)}")

    return read


def micros_of(moment: datetime) -> int:
    """Return microseconds since 1970-01-01 UTC of *moment*; one without an offset is China Standard Time."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=CHINA_STANDARD_TIME)
    return (aware - EPOCH) // timedelta(microseconds=1)


def _micros(found: dict[str, str | None]) -> int:
    fraction = found.get("f") or ""
    offset = found.get("z")
    return micros_of(
        datetime(
            int(found["Y"] or 0),
            int(found["m"] or 0),
            int(found["d"] or 0),
            int(found.get("H") or 0),
            int(found.get("M") or 0),
            int(found.get("S") or 0),
            int(fraction.ljust(6, "0")) if fraction else 0,
            tzinfo=CHINA_STANDARD_TIME if offset is None else _zone(offset),
        )
    )


def _zone(offset: str) -> timezone:
    if offset == "Z":
        return UTC
    digits = offset[1:].replace(":", "").ljust(4, "0")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-ahead if offset[0] == "-" else ahead)
