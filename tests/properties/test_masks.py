"""The order of masks is a partial order, and what is stricter never tells values apart that the weaker hides."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import avro, generate, masks, policies

from govbus.codec.projection import masker
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
    declared,
    kept,
    parse_mask,
    pseudonymiser,
)

KEY = bytes(range(32))

TEXT_MASKS: list[Mask] = [
    *(Keep(first, last) for first in range(4) for last in range(4)),
    *(GeneraliseDivision(digits) for digits in (2, 4, 6)),
    Pseudonym(),
]
DATE_MASKS: list[Mask] = [GeneraliseDate("year"), GeneraliseDate("month")]
NUMBER_MASKS: list[Mask] = [GeneraliseBand(width) for width in (1, 2, 3, 4, 6, 12, 1000)]
EVERY_MASK: list[Mask] = [Pass(), Drop(), Null(), *TEXT_MASKS, *DATE_MASKS, *NUMBER_MASKS]

DATE: Any = {"type": "int", "logicalType": "date"}
TYPES: dict[str, tuple[Any, list[Mask]]] = {
    "string": ("string", TEXT_MASKS),
    "date": (DATE, DATE_MASKS),
    "long": ("long", NUMBER_MASKS),
}

any_mask = st.one_of(
    st.sampled_from([Pass(), Drop(), Null(), Pseudonym()]),
    st.builds(Keep, st.integers(0, 1000), st.integers(0, 1000)),
    st.builds(GeneraliseDate, st.sampled_from(["year", "month"])),
    st.builds(GeneraliseDivision, st.sampled_from([2, 4, 6])),
    st.builds(GeneraliseBand, st.integers(1, 2**62)),
)


@given(any_mask)
def test_the_order_is_reflexive(mask: Mask) -> None:
    """Every mask keeps to itself."""
    assert at_least_as_strict(mask, mask)


def test_the_order_is_transitive() -> None:
    """What keeps to a mask that keeps to a third keeps to the third."""
    for one, other, third in itertools.product(EVERY_MASK, repeat=3):
        if at_least_as_strict(one, other) and at_least_as_strict(other, third):
            assert at_least_as_strict(one, third), (one, other, third)


def test_the_order_is_antisymmetric() -> None:
    """Two masks that keep to each other are one."""
    for one, other in itertools.product(EVERY_MASK, repeat=2):
        if at_least_as_strict(one, other) and at_least_as_strict(other, one):
            assert one == other


@given(any_mask)
def test_pass_is_the_weakest_and_drop_the_strictest(mask: Mask) -> None:
    """Every mask keeps to pass, and drop keeps to every mask."""
    assert at_least_as_strict(mask, Pass())
    assert at_least_as_strict(Drop(), mask)


def shown(mask: Mask, avro_type: Any, data: bytes) -> bytes:
    """What a subscriber sees of a field's bytes."""
    match mask:
        case Pass():
            return data
        case Drop() | Null():
            return b""
    return masker(mask, avro_type, KEY)(data)


def partition(mask: Mask, avro_type: Any, values: list[bytes]) -> list[set[int]]:
    """The values a mask shows alike, as sets of their places."""
    alike: dict[bytes, set[int]] = {}
    for place, data in enumerate(values):
        alike.setdefault(shown(mask, avro_type, data), set()).add(place)
    return list(alike.values())


def short_texts() -> list[bytes]:
    text = avro.Primitive("string")
    return [
        avro.encode(text, "".join(chars)) for length in range(7) for chars in itertools.product("ab", repeat=length)
    ]


def values_of(kind: str, rng: Random) -> list[bytes]:
    if kind == "string":
        return short_texts()
    number = avro.Primitive("long")
    edges = [-(2**31), -719162, -366, -365, -13, -12, -2, -1, 0, 1, 2, 11, 12, 30, 31, 364, 365, 2932896]
    return [
        avro.encode(number, each)
        for each in [*edges, *(rng.randint(-40_000, 40_000) for _ in range(150))]
        if kind == "long" or -719162 <= each <= 2932896
    ]


@pytest.mark.parametrize("kind", TYPES)
def test_a_stricter_mask_tells_nothing_apart_that_the_weaker_hides(kind: str, seed: int) -> None:
    """Whatever the weaker mask shows alike, the stricter shows alike too, for all masks of a type and short values."""
    avro_type, applicable = TYPES[kind]
    values = values_of(kind, Random(f"{seed}/{kind}"))
    alike = {mask: partition(mask, avro_type, values) for mask in [Pass(), Null(), *applicable]}
    for mask, least in itertools.product(alike, repeat=2):
        if at_least_as_strict(mask, least):
            for places in alike[least]:
                seen = {shown(mask, avro_type, values[place]) for place in places}
                assert len(seen) == 1, f"{mask} tells apart what {least} hides"


@given(st.integers(0, 1000), st.integers(0, 1000), st.text(max_size=60))
def test_a_kept_text_shows_only_its_ends(first: int, last: int, text: str) -> None:
    """The length stays, at most the declared characters show, and a text that is not empty is never shown whole."""
    left = kept(Keep(first, last), text)
    assert len(left) == len(text)
    shows = [place for place, (was, now) in enumerate(zip(text, left, strict=True)) if now != "*" or was == "*"]
    assert all(place < first or place >= len(text) - last or text[place] == "*" for place in shows)
    if text.strip("*"):
        assert left.count("*") > 0


@given(st.binary(min_size=32, max_size=32), st.lists(st.binary(max_size=80), max_size=4))
def test_pseudonyms_in_a_row_are_keyed_hashes_each(key: bytes, values: list[bytes]) -> None:
    """Whatever came before, a value's pseudonym is HMAC-SHA256 of the value alone (RFC 2104), as the oracle has it."""
    pseudonymised = pseudonymiser(key)
    for value in [*values, *values, *reversed(values)]:
        assert pseudonymised(value) == masks.pseudonym(key, value).encode()


def test_masks_are_what_the_oracle_makes_of_them(seed: int, cases: Callable[[int], int]) -> None:
    """A mask in a declaration leaves of a value what the oracle leaves, byte for byte, in optional fields too."""
    for number in range(cases(4_000)):
        rng = Random(f"{seed}/mask/{number}")
        inner = rng.choice(["string", DATE, "long", "int"])
        avro_type: Any = rng.choice([inner, ["null", inner], [inner, "null"]])
        kind = avro.parse(avro_type)
        mask = rng.choice([each for each in policies.applicable(kind, rng) if each not in ("pass", "null", "drop")])
        value = generate.Values(rng).of(kind)
        wanted = avro.encode(masks.masked_type(kind, mask), masks.masked_value(kind, value, mask, KEY))
        got = masker(parse_mask(mask), avro_type, KEY)(avro.encode(kind, value))
        assert got == wanted, (mask, value)


def test_a_stricter_declaration_keeps_to_its_grant(seed: int, cases: Callable[[int], int]) -> None:
    """What the generator of policies calls stricter, the order accepts: random catalogues rest on this."""
    for number in range(cases(2_000)):
        rng = Random(f"{seed}/stricter/{number}")
        kind = avro.parse(rng.choice(["string", DATE, "long", "boolean"]))
        least = rng.choice([each for each in policies.applicable(kind, rng) if each != "drop"])
        if least != "null":
            mask = policies.stricter(least, rng)
            assert at_least_as_strict(parse_mask(mask), parse_mask(least)), (mask, least)
            assert parse_mask(declared(parse_mask(mask))) == parse_mask(mask)
