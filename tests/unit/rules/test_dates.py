"""Dates and times as departments write them: strict about days, tolerant of separators, reasons without the text."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from govbus.rules.dates import DAY_FORMATS, INSTANT_FORMATS, day_reader, instant_reader, micros_of, pattern_of

MAY_DAY_MICROS = 1_777_593_600_000_000
"""2026-05-01 00:00:00 UTC."""


@given(st.dates(), st.sampled_from(DAY_FORMATS))
def test_a_written_day_is_read_back(day: date, format: str) -> None:
    """What is written in a format is read as the same day, whichever formats are offered beside it."""
    written = format.replace("%Y", f"{day.year:04}").replace("%m", f"{day.month:02}").replace("%d", f"{day.day:02}")
    assert day_reader()(written) == day
    assert day_reader([format])(written) == day


@pytest.mark.parametrize("text", ["2020-1-5", "2020/1/05", "2020年1月5日", "2020-01-05 00:00:00", "2020-01-05T00:00"])
def test_loose_spellings_of_a_day_are_read(text: str) -> None:
    """A missing leading zero beside a separator, and midnight, do not make another day."""
    assert day_reader()(text) == date(2020, 1, 5)


@pytest.mark.parametrize(
    "text",
    ["2020-02-30", "2019-02-29", "0000-00-00", "2020105", "20-01-05", "2020-01-05 08:00", "", "二〇二〇年", "2020.1.5"],
)
def test_what_is_no_day_is_refused(text: str) -> None:
    """Days that do not exist, ambiguous digits and other formats are refused, and the reason does not show them."""
    with pytest.raises(ValueError) as refused:
        day_reader()(text)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01 08:00:00",
        "2026-05-01T08:00:00",
        "2026-05-01 08:00",
        "2026/5/1 8:00:00",
        "20260501080000",
        "2026-05-01 00:00:00Z",
        "2026-05-01 00:00:00+00",
        "2026-05-01T02:00:00.000+02:00",
        "2026-04-30 20:00:00.000000-0400",
    ],
)
def test_times_without_an_offset_are_china_standard_time(text: str) -> None:
    """A time is what its offset says, and eight hours ahead of UTC where it says nothing."""
    assert instant_reader()(text) == MAY_DAY_MICROS


def test_fractions_keep_their_microseconds() -> None:
    """Six digits of a fraction count, further ones are cut off."""
    assert instant_reader()("2026-05-01 08:00:00.1234567") == MAY_DAY_MICROS + 123_456
    assert instant_reader()("2026-05-01 08:00:00.5") == MAY_DAY_MICROS + 500_000


@pytest.mark.parametrize("text", ["2026-05-01 24:00:00", "2026-13-01 00:00:00", "08:00:00", "2026-05-01 08:00:00 CST"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Hours and months that do not exist, and names of zones, are refused."""
    with pytest.raises(ValueError) as refused:
        instant_reader()(text)
    assert text not in str(refused.value)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))
def test_microseconds_are_exact_for_any_offset(moment: datetime, minutes: int) -> None:
    """Microseconds since 1970 lose nothing, at any offset and any distance."""
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros_of(aware)) == aware
    written = aware.strftime("%m-%d %H:%M:%S.%f%z")
    assert instant_reader()(f"{aware.year:04}-{written}") == micros_of(aware)


@pytest.mark.parametrize("format", ["%y%m%d", "%Y-%m", "%Y-%m-%d %j", "%Y%Y%m%d", "%B %d %Y"])
def test_formats_that_leave_a_day_open_are_refused(format: str) -> None:
    """Two-digit years, missing days and names of months are not offered."""
    with pytest.raises(ValueError, match="%"):
        pattern_of(format)


def test_every_default_format_is_one() -> None:
    """The formats that are understood without a declaration pass the rule of those that are declared."""
    for format in INSTANT_FORMATS:
        pattern_of(format)
