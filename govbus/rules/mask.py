"""What a share view does to one field's value, and which of two masks is the stricter.

A grant states per field the least mask, an ask states the mask it wants; `at_least_as_strict` is the partial order that
decides whether the ask keeps to the grant. Two masks that neither covers are incomparable, and that is a fault.
"""

from __future__ import annotations

import hashlib
from binascii import hexlify
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal


@dataclass(frozen=True, slots=True)
class Pass:
    """The value as it is."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The field is not part of the view at all. The strictest mask."""


@dataclass(frozen=True, slots=True)
class Null:
    """The field is there and always null: the subscriber's table keeps its shape and learns nothing."""


@dataclass(frozen=True, slots=True)
class Keep:
    """The first and last characters of a text; every other character becomes ``*``.

    Of a short text at most half shows in front, and less than half at the end, so that something is always covered and
    a mask that keeps fewer characters never shows one that the other hides.
    """

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class GeneraliseDate:
    """A date cut to its year (``1990``) or its month (``1990-03``)."""

    unit: Literal["year", "month"]


@dataclass(frozen=True, slots=True)
class GeneraliseDivision:
    """A division code (GB/T 2260) cut to its first 2 (province), 4 (prefecture) or 6 (county) digits."""

    digits: Literal[2, 4, 6]


@dataclass(frozen=True, slots=True)
class GeneraliseBand:
    """A number as the band it lies in: ``[k*width, (k+1)*width)``, written ``2000-2999`` for width 1000."""

    width: int


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """HMAC-SHA256 under a key of subscriber and purpose, so that two subscribers cannot join their copies."""


Mask = Pass | Drop | Null | Keep | GeneraliseDate | GeneraliseDivision | GeneraliseBand | Pseudonym

PSEUDONYM_HEX_DIGITS = 32
WORDS = (
    "pass, drop, null, pseudonym, {mask: {first: N, last: N}}, "
    "{generalise: year | month | {division: 2|4|6} | {band: N}}"
)


def parse_mask(declared: object) -> Mask:
    """Return the mask that a declaration spells out.

    Raises ValueError, with what may be written instead, for anything that is not exactly a known mask.
    """
    match declared:
        case "pass":
            return Pass()
        case "drop":
            return Drop()
        case "null" | None:
            return Null()
        case "pseudonym":
            return Pseudonym()
        case {"mask": dict() as keep, **rest} if not rest:
            return _keep(keep)
        case {"generalise": what, **rest} if not rest:
            return _generalise(what)
    raise ValueError(f"unknown mask; write one of: {WORDS}")


def _keep(keep: Mapping[object, object]) -> Keep:
    unknown = set(keep) - {"first", "last"}
    first, last = keep.get("first", 0), keep.get("last", 0)
    whole = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= 1000 for n in (first, last))
    if unknown or not keep or not whole:
        raise ValueError("mask takes first and last, each a number of characters from 0, e.g. {mask: {first: 1}}")
    assert isinstance(first, int)
    assert isinstance(last, int)
    return Keep(first, last)


def _generalise(what: object) -> Mask:
    match what:
        case "year" | "month":
            return GeneraliseDate(what)
        case {"division": (2 | 4 | 6) as digits, **rest} if not rest:
            return GeneraliseDivision(digits)
        case {"band": int() as width, **rest} if not rest and not isinstance(width, bool) and 0 < width <= 2**62:
            return GeneraliseBand(width)
    raise ValueError("generalise takes year, month, {division: 2|4|6} or {band: N} with N from 1")


def declared(mask: Mask) -> object:
    """Return what a declaration would say for *mask*; `parse_mask` reads it back."""
    match mask:
        case Pass():
            return "pass"
        case Drop():
            return "drop"
        case Null():
            return "null"
        case Pseudonym():
            return "pseudonym"
        case Keep(first, last):
            return {"mask": {"first": first, "last": last}}
        case GeneraliseDate(unit):
            return {"generalise": unit}
        case GeneraliseDivision(digits):
            return {"generalise": {"division": digits}}
        case GeneraliseBand(width):
            return {"generalise": {"band": width}}


def at_least_as_strict(mask: Mask, least: Mask) -> bool:
    """Return whether *mask* reveals nothing that *least* would not: a partial order, reflexive and transitive.

    ``pass`` is the weakest and ``drop`` the strictest, with ``null`` next to it. Between them only masks of one kind
    compare: fewer characters kept, a coarser date, fewer division digits, a band that is a multiple of the other.
    """
    match (mask, least):
        case (_, Pass()) | (Drop(), _):
            return True
        case (Null(), other):
            return not isinstance(other, Drop)
        case (Keep(first, last), Keep(least_first, least_last)):
            return first <= least_first and last <= least_last
        case (GeneraliseDate(unit), GeneraliseDate(least_unit)):
            return unit == least_unit or unit == "year"
        case (GeneraliseDivision(digits), GeneraliseDivision(least_digits)):
            return digits <= least_digits
        case (GeneraliseBand(width), GeneraliseBand(least_width)):
            return width % least_width == 0
        case _:
            return mask == least


def kept(mask: Keep, text: str) -> str:
    """Return *text* with every character but the first and last few replaced by ``*``; its length stays."""
    length = len(text)
    first, last = min(mask.first, length // 2), min(mask.last, (length - 1) // 2 if length else 0)
    return text[:first] + "*" * (length - first - last) + text[length - last :]


def band(mask: GeneraliseBand, number: int) -> str:
    """Return the band *number* lies in, ``low-high`` with both ends included; negative bands read ``-1000--1``."""
    low = number // mask.width * mask.width
    return f"{low}-{low + mask.width - 1}"


def pseudonym(key: bytes, value: bytes) -> str:
    """Return the pseudonym of *value* under *key* (32 bytes): 32 hex digits of HMAC-SHA256 (RFC 2104)."""
    return pseudonymiser(key)(value).decode()


@lru_cache(maxsize=1024)
def pseudonymiser(key: bytes) -> Callable[[bytes], bytes]:
    """Return `pseudonym` under one *key*, as a function from UTF-8 to ASCII bytes.

    The two inner states of HMAC that depend on the key alone are made once, which more than halves its cost; the last
    value is remembered, because a record's key and its first field are usually the same text.
    """
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block)).copy
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block)).copy
    digest_bytes = PSEUDONYM_HEX_DIGITS // 2
    last: tuple[bytes, bytes] | None = None

    def pseudonymised(value: bytes) -> bytes:
        nonlocal last
        if last is not None and last[0] == value:
            return last[1]
        first = inner()
        first.update(value)
        second = outer()
        second.update(first.digest())
        found = hexlify(second.digest()[:digest_bytes])
        last = (value, found)
        return found

    return pseudonymised
