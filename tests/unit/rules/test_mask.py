"""Masks: how declarations spell them, what they leave of a value, which of two is the stricter."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from govbus.rules.mask import (
    Drop,
    GeneraliseBand,
    GeneraliseDate,
    GeneraliseDivision,
    Keep,
    Mask,
    Null,
    Pass,
    Pseudonym,
    at_least_as_strict,
    band,
    declared,
    kept,
    parse_mask,
    pseudonym,
)

SPELLINGS: list[tuple[object, Mask]] = [
    ("pass", Pass()),
    ("drop", Drop()),
    ("null", Null()),
    (None, Null()),  # YAML reads an unquoted null as nothing at all
    ("pseudonym", Pseudonym()),
    ({"mask": {"first": 1}}, Keep(1, 0)),
    ({"mask": {"last": 4}}, Keep(0, 4)),
    ({"mask": {"first": 6, "last": 4}}, Keep(6, 4)),
    ({"mask": {"first": 0}}, Keep(0, 0)),
    ({"generalise": "year"}, GeneraliseDate("year")),
    ({"generalise": "month"}, GeneraliseDate("month")),
    ({"generalise": {"division": 2}}, GeneraliseDivision(2)),
    ({"generalise": {"division": 6}}, GeneraliseDivision(6)),
    ({"generalise": {"band": 1000}}, GeneraliseBand(1000)),
]


@pytest.mark.parametrize(("spelling", "mask"), SPELLINGS)
def test_a_mask_is_read_as_declared(spelling: object, mask: Mask) -> None:
    """Every spelling of the vocabulary gives its mask."""
    assert parse_mask(spelling) == mask


@pytest.mark.parametrize("mask", [mask for _, mask in SPELLINGS])
def test_what_a_mask_declares_is_read_back(mask: Mask) -> None:
    """`declared` writes what `parse_mask` reads."""
    assert parse_mask(declared(mask)) == mask


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        "Pass",
        "hash",
        "match",
        True,
        0,
        [],
        {},
        {"mask": {}},
        {"mask": None},
        {"mask": 3},
        {"mask": {"first": -1}},
        {"mask": {"first": 1.0}},
        {"mask": {"first": True}},
        {"mask": {"first": "1"}},
        {"mask": {"first": 1001}},
        {"mask": {"first": 1, "middle": 2}},
        {"mask": {"first": 1}, "generalise": "year"},
        {"generalise": "day"},
        {"generalise": None},
        {"generalise": {"division": 3}},
        {"generalise": {"division": "2"}},
        {"generalise": {"band": 0}},
        {"generalise": {"band": -10}},
        {"generalise": {"band": True}},
        {"generalise": {"band": 2.5}},
        {"generalise": {"band": 2**62 + 1}},
        {"generalise": {"division": 2, "band": 10}},
        {"generalise": "year", "else": 1},
    ],
)
def test_anything_else_is_no_mask(spelling: object) -> None:
    """A word or number outside the vocabulary is refused, and the refusal says what may be written."""
    with pytest.raises(ValueError, match=r"write one of|mask takes|generalise takes"):
        parse_mask(spelling)


@pytest.mark.parametrize(
    ("mask", "text", "left"),
    [
        (Keep(1, 0), "张伟", "张*"),
        (Keep(1, 0), "欧阳娜娜", "欧***"),
        (Keep(0, 4), "13812345678", "*******5678"),
        (Keep(6, 4), "890301199003071238", "890301********1238"),
        (Keep(1, 1), "王芳", "王*"),
        (Keep(1, 0), "王", "*"),
        (Keep(3, 0), "abc", "a**"),
        (Keep(1, 1), "王芳芳", "王*芳"),
        (Keep(0, 0), "abc", "***"),
        (Keep(2, 2), "", ""),
        (Keep(1, 0), "𠮷野", "𠮷*"),
    ],
)
def test_what_a_mask_keeps_of_a_text(mask: Keep, text: str, left: str) -> None:
    """The first and last characters stay, the others become stars, and a text without a middle is all stars."""
    assert kept(mask, text) == left


@pytest.mark.parametrize(
    ("width", "number", "left"),
    [
        (1000, 2999, "2000-2999"),
        (1000, 2000, "2000-2999"),
        (1000, 0, "0-999"),
        (1000, -1, "-1000--1"),
        (1000, -1000, "-1000--1"),
        (1000, -1001, "-2000--1001"),
        (1, 7, "7-7"),
        (2**62, 2**63 - 1, "4611686018427387904-9223372036854775807"),
        (2**62, -(2**63), "-9223372036854775808--4611686018427387905"),
    ],
)
def test_the_band_a_number_lies_in(width: int, number: int, left: str) -> None:
    """A band holds its lower and its upper end, below zero too."""
    assert band(GeneraliseBand(width), number) == left


def test_a_pseudonym_is_a_keyed_hash() -> None:
    """A pseudonym is 32 hex digits of HMAC-SHA256 (RFC 2104), another one under another key."""
    key, other = bytes(32), bytes([1]) * 32
    assert (
        pseudonym(key, b"890301199003071238") == (hmac.new(key, b"890301199003071238", hashlib.sha256).hexdigest()[:32])
    )
    assert pseudonym(key, b"890301199003071238") != pseudonym(other, b"890301199003071238")


@pytest.mark.parametrize(
    ("mask", "least"),
    [
        (Pass(), Pass()),
        (Drop(), Pass()),
        (Drop(), Null()),
        (Null(), Pseudonym()),
        (Null(), Keep(1, 0)),
        (Null(), GeneraliseDate("year")),
        (Pseudonym(), Pass()),
        (Keep(1, 0), Pass()),
        (Keep(0, 0), Keep(3, 4)),
        (GeneraliseDate("year"), GeneraliseDate("month")),
        (GeneraliseDivision(2), GeneraliseDivision(6)),
        (GeneraliseBand(1000), GeneraliseBand(500)),
    ],
)
def test_a_mask_that_keeps_to_another(mask: Mask, least: Mask) -> None:
    """An ask may always go further than its grant."""
    assert at_least_as_strict(mask, least)


@pytest.mark.parametrize(
    ("mask", "least"),
    [
        (Pass(), Keep(6, 4)),
        (Pass(), Null()),
        (Null(), Drop()),
        (Keep(2, 0), Keep(1, 0)),
        (Keep(0, 1), Keep(1, 0)),
        (Keep(0, 0), Pseudonym()),
        (Pseudonym(), Keep(0, 0)),
        (Pseudonym(), Null()),
        (GeneraliseDate("month"), GeneraliseDate("year")),
        (GeneraliseDivision(6), GeneraliseDivision(4)),
        (GeneraliseBand(500), GeneraliseBand(1000)),
        (GeneraliseBand(1500), GeneraliseBand(1000)),
        (GeneraliseDivision(2), Keep(2, 0)),
        (GeneraliseDate("year"), GeneraliseBand(365)),
    ],
)
def test_a_mask_that_does_not_keep_to_another(mask: Mask, least: Mask) -> None:
    """A weaker mask and one that does not compare are both refused."""
    assert not at_least_as_strict(mask, least)
