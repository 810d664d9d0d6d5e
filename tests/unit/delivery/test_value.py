"""Values as texts: right inside Python's ranges, and total outside them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from govbus.delivery.value import (
    base64_text,
    civil_date,
    date_text,
    decimal_text,
    float_text,
    json_maker,
    timestamp_text,
)

EPOCH = date(1970, 1, 1)
DATE = {"type": "int", "logicalType": "date"}


@given(st.dates())
def test_a_date_is_what_python_says(day: date) -> None:
    """For every day that Python has, the text is its ISO format."""
    assert date_text((day - EPOCH).days) == day.isoformat()


@given(st.integers(-(2**31), 2**31 - 1))
def test_every_avro_date_has_a_text_and_the_next_day_follows(days: int) -> None:
    """No day that Avro holds is refused, and days follow one another as in a calendar."""
    year, month, day = civil_date(days)
    following = civil_date(days + 1)
    assert following in ((year, month, day + 1), (year, month + 1, 1), (year + 1, 1, 1))
    assert date_text(days).endswith(f"-{month:02}-{day:02}")


def test_years_beyond_four_digits_carry_a_sign() -> None:
    """ISO 8601's expanded form, where four digits do not do."""
    assert date_text(2_932_897) == "+10000-01-01"
    assert date_text(-719_529) == "-0001-12-31"


@given(st.datetimes())
def test_a_timestamp_is_what_python_says(at: datetime) -> None:
    """For every moment that Python has, the text reads back as it."""
    micros = (at.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert datetime.fromisoformat(timestamp_text(micros)) == at.replace(tzinfo=UTC)


@given(st.integers(-(10**30), 10**30), st.integers(0, 20))
def test_a_decimal_has_exactly_its_digits(unscaled: int, scale: int) -> None:
    """The text is the number, with as many decimals as were declared: nothing is rounded."""
    octets = unscaled.to_bytes(16, "big", signed=True)
    text = decimal_text(octets, scale)
    assert int(text.replace(".", "")) == unscaled
    assert len(text.partition(".")[2]) == scale


def test_a_decimal_of_a_million_bytes_is_infinity() -> None:
    """What no database takes as digits is said as infinity, quickly."""
    assert decimal_text(b"\x7f" * 1_000_000, 2) == "Infinity"
    assert decimal_text(b"\x80" + b"\x00" * 1_000_000, 2) == "-Infinity"


@given(st.floats())
def test_a_float_reads_back_as_itself(number: float) -> None:
    """The text names what is no number, and is exact for the rest."""
    assert repr(float(float_text(number))) == repr(number)


def test_nested_values_become_plain_json() -> None:
    """Dates, decimals, bytes and floats inside arrays, maps and records are texts that any JSON reader takes."""
    money = {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}
    schema = {
        "type": "record",
        "name": "r",
        "fields": [
            {"name": "days", "type": {"type": "array", "items": ["null", DATE]}},
            {"name": "paid", "type": {"type": "map", "values": money}},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "raw", "type": {"type": "fixed", "name": "f", "size": 2}},
            {"name": "any", "type": ["null", "double", {"type": "array", "items": "bytes"}]},
            {"name": "text", "type": "string"},
        ],
    }
    value = {
        "days": [0, None],
        "paid": {"一月": (-150).to_bytes(2, "big", signed=True)},
        "at": 1,
        "raw": b"\x00\xff",
        "any": [b"\x01", float("nan")],
        "text": "甲",
    }
    assert json.loads(json.dumps(json_maker(schema)(value))) == {
        "days": ["1970-01-01", None],
        "paid": {"一月": "-1.50"},
        "at": "1970-01-01T00:00:00.001000Z",
        "raw": base64_text(b"\x00\xff"),
        "any": [base64_text(b"\x01"), "NaN"],
        "text": "甲",
    }
    assert json_maker(["null", schema])(None) is None
