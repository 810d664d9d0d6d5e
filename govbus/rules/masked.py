"""Values that somebody has masked: asterisks stand for one or more characters that are not shown."""

from __future__ import annotations

from govbus.rules.comparison import Comparison, Reason, compatible, different


def is_masked(text: str) -> bool:
    """Return whether *text* hides a part of itself."""
    return "*" in text


def compare_masked(a: str, b: str) -> Comparison:
    """Return how two texts stand of which at least one is masked: by what is shown before the first and after the last
    asterisk. How many asterisks there are says nothing: masks often have a fixed width.
    """
    if _shown_agree(a, b):
        return compatible(Reason.MASKED_AGREES)
    return different(Reason.MASKED_DIFFERS)


def _shown_agree(a: str, b: str) -> bool:
    if not is_masked(a):
        a, b = b, a
    front, _, rest = a.partition("*")
    back = rest.rpartition("*")[2]
    if not is_masked(b):
        # At least one character is hidden.
        return len(b) > len(front) + len(back) and b.startswith(front) and b.endswith(back)
    other_front, _, other_rest = b.partition("*")
    other_back = other_rest.rpartition("*")[2]
    shorter = min(len(front), len(other_front))
    last = min(len(back), len(other_back))
    return front[:shorter] == other_front[:shorter] and back[len(back) - last :] == other_back[len(other_back) - last :]
