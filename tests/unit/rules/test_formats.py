"""Formats: one canonical text per meaning, the same answer from both functions, and reasons without values."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from govbus.rules.formats import FORMATS

SPELLINGS = [
    ("citizen_id", "890101910101019", "890101199101010194"),
    ("uscc", "91350100m000100y43", "91350100M000100Y43"),
    ("party_id", "89010119910101008x", "89010119910101008X"),
    ("organisation_code", "m000100y-4", "M000100Y4"),
    ("registration_number", " 890100000000018", "890100000000018"),
    ("division", "８９０１０１", "890101"),
    ("house_code", "890101-0001-0002-03", "8901010001000203"),
    ("real_estate_unit", "890101 001001 GB00001 F00010001", "890101001001GB00001F00010001"),
    ("birth_certificate", "p890000001", "P890000001"),
    ("disability_certificate", "89010119910101008x43", "89010119910101008X43"),
    ("phone", "+86 138-0013-8000", "13800138000"),
    ("phone", "(0755) 8800 0000", "075588000000"),
    ("month", "2026年3月", "2026-03"),
    ("month", "202603", "2026-03"),
    ("year", " 1999 ", "1999"),
]
REFUSED = [
    ("division", "北京市"),
    ("division", "89010"),
    ("division", "090101"),
    ("division", "890101000000"),
    ("phone", "12345"),
    ("month", "2026-13"),
    ("month", "2026.1"),
    ("month", "2026-03-01"),
    ("year", "26"),
    ("birth_certificate", "8900000010"),
    ("disability_certificate", "89010119910101008X83"),
    ("real_estate_unit", "890101"),
    ("house_code", "甲幢一单元"),
]


@pytest.mark.parametrize(("name", "spelt", "canonical"), SPELLINGS)
def test_a_spelling_becomes_the_canonical_text(name: str, spelt: str, canonical: str) -> None:
    """What a department writes becomes the one form that the bus compares."""
    assert FORMATS[name].canonical(spelt) == canonical
    assert FORMATS[name].is_canonical(canonical.encode())
    assert spelt == canonical or not FORMATS[name].is_canonical(spelt.encode())


@pytest.mark.parametrize(("name", "text"), REFUSED)
def test_what_is_not_of_the_format_is_refused(name: str, text: str) -> None:
    """A text of another form is refused with a reason in which it does not stand."""
    with pytest.raises(ValueError) as refused:
        FORMATS[name].canonical(text)
    assert text not in str(refused.value)


def test_every_format_has_a_spelling_above() -> None:
    """No format goes without a vector."""
    assert {name for name, _, _ in SPELLINGS} == set(FORMATS)


_DIGITS_AND_LETTERS = st.text("0123456789ABXYx-年月/ '+()Ｘ８．", max_size=30)


@given(st.sampled_from(sorted(FORMATS)), st.one_of(st.text(max_size=40), _DIGITS_AND_LETTERS))
@example("month", "2026年03月")
def test_canonical_is_idempotent_and_tested_alike(name: str, text: str) -> None:
    """Canonicalising twice changes nothing more, and `is_canonical` accepts the result and only unchanged texts."""
    format = FORMATS[name]
    try:
        canonical = format.canonical(text)
    except ValueError:
        assert not format.is_canonical(text.encode())
        return
    assert format.canonical(canonical) == canonical
    assert format.is_canonical(canonical.encode())
    assert format.is_canonical(text.encode()) == (text == canonical)


@given(st.sampled_from(sorted(FORMATS)), st.binary(max_size=30))
def test_bytes_that_are_no_text_are_not_canonical(name: str, value: bytes) -> None:
    """Any bytes get an answer, never an exception."""
    FORMATS[name].is_canonical(value + b"\xff")
    assert not FORMATS[name].is_canonical(value + b"\xff")
