"""What becomes of one change at the department's side: sent under which version, or not sent at all. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from govbus.adapters.journal import Held


class Outcome(StrEnum):
    """SENT: it travels. UNCHANGED: it was published before. STALE: the source itself has said something newer since."""

    SENT = "sent"
    UNCHANGED = "unchanged"
    STALE = "stale"


class Change(NamedTuple):
    """One change of one record as a source gives it.

    `body` is the encoding of the business fields, None for a deletion. `version` is the least version it may get
    (microseconds of its change, or the source's sequence number). `changed_at` is when the source changed it, in
    microseconds since 1970 UTC. `order` is the source's own order of changes to a record (None where the source shows
    its present state, which is always the newest). `again`: it travels even if these values were the last ones sent,
    because the bus is known not to have taken them.
    """

    key: bytes
    body: bytes | None
    version: int
    changed_at: int
    order: int | None = None
    again: bool = False


def decide(
    held: Held | None, digest: bytes | None, version: int, order: int | None, *, again: bool = False
) -> tuple[Outcome, int]:
    """Return what becomes of a change with this *digest* (None: a deletion), and its version.

    The version is max(last + 1, *version*), so versions rise per key whatever the source's clock does. The exception is
    what a crash left unsure: with equal values it keeps the version it may already have arrived under, which makes it a
    duplicate for the bus and not a second change.
    """
    if held is None:
        return Outcome.SENT, version
    if order is not None:
        # A rebuilt journal knows versions only; where the source's order is its version, that tells as much.
        last = held.source_order if held.source_order is not None else held.version if order == version else None
        if last is not None and order < last:
            return Outcome.STALE, held.version
    if digest == held.digest and again:
        # A source that counts its versions itself keeps its number: the bus, which did not take it, will.
        return Outcome.SENT, max(held.version + (order is None), version)
    if digest == held.digest:
        return (Outcome.SENT if held.unsure else Outcome.UNCHANGED), held.version
    return Outcome.SENT, max(held.version + 1, version)
