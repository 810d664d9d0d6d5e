"""Chinese characters folded to their simplified form, and which of those that stay apart may be the same.

The tables (`govbus.rules.han_table`) are read when the first text is folded: 3,201 characters, 3 ms, 0.5 MB.
"""

from __future__ import annotations

from functools import cache
from typing import Literal


@cache
def _simplification() -> dict[int, int]:
    from govbus.rules.han_table import SIMPLIFIED, TRADITIONAL

    return str.maketrans(TRADITIONAL, SIMPLIFIED)


@cache
def _pairs(which: Literal["variants", "former"]) -> frozenset[str]:
    from govbus.rules.han_table import FORMER_VARIANTS, VARIANTS

    pairs = (VARIANTS if which == "variants" else FORMER_VARIANTS).split()
    return frozenset(pairs) | {pair[::-1] for pair in pairs}


def simplified(text: str) -> str:
    """Return *text* with traditional and variant characters simplified; standard characters stay (乾, 昇, 喆)."""
    return text if text.isascii() else text.translate(_simplification())


def differ_in(a: str, b: str) -> Literal["variants", "former variants", "more"]:
    """Return in what two texts differ that are not the same once simplified.

    ``variants``: only in characters that may be two ways to write one (昇 and 升). ``former variants``: also in ones
    that were such once and are different characters today (喆 and 哲). ``more``: in anything else.
    """
    if len(a) != len(b):
        return "more"
    variants, former = _pairs("variants"), _pairs("former")
    only: Literal["variants", "former variants"] = "variants"
    for left, right in zip(a, b, strict=True):
        if left == right or (folded := (simplified(left), simplified(right)))[0] == folded[1]:
            continue
        pairs = {left + right, folded[0] + right, left + folded[1], folded[0] + folded[1]}
        if variants.isdisjoint(pairs):
            if former.isdisjoint(pairs):
                return "more"
            only = "former variants"
    return only
