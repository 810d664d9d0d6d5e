"""Which of two versions of a record holds: the newest version, never the newest arrival.

Versions are compared as (epoch, version). An epoch is raised only by `govbus epoch`, the audited way out when bad
versions froze keys; within one epoch the department's own numbers decide.
"""

from __future__ import annotations

from enum import StrEnum

MAX_VERSION = 2**62
MAX_AHEAD_MICROSECONDS = 3_600_000_000


class Verdict(StrEnum):
    """What becomes of an incoming record."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    STALE = "stale"
    CONFLICT = "conflict"


def compare(held: tuple[int, int] | None, incoming: tuple[int, int], *, same: bool) -> Verdict:
    """Return the verdict on a record at (epoch, version) *incoming* against the one *held*.

    *same* says whether both carry equal values (two deletions are equal, a deletion and a record never are); it is only
    looked at where the versions are equal. The result does not depend on the order or number of arrivals.
    """
    if held is None or incoming > held:
        return Verdict.ACCEPTED
    if incoming < held:
        return Verdict.STALE
    return Verdict.DUPLICATE if same else Verdict.CONFLICT
