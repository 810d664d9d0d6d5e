"""Deletions by absence: what was published and is not in a complete view of the source any more."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from govbus.adapters.decision import Change
from govbus.adapters.feed import BATCH_RECORDS, Feed, Submitted


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of absent keys: `deleted` were published as deletions, or `held` wait for a decision."""

    deleted: int
    held: int
    live: int


def sweep(
    feed: Feed, seen: bytearray, live_before: int, *, limit: float, accepted: int, changed_at: int, certain: bool = True
) -> Swept:
    """Publish the deletion of every key not marked in *seen*, unless they are too many.

    Too many is more than the share *limit* of the *live_before* keys, and more than the number *accepted* by a person.
    Where the view of the source is not *certain* to be complete, any deletion needs that acceptance. *changed_at* is in
    microseconds; the source cannot say when a row vanished.
    """
    absent = sum(1 for _ in feed.journal.unseen(seen))
    allowed = max(int(live_before * limit) if certain else 0, accepted)
    if absent > allowed:
        return Swept(deleted=0, held=absent, live=live_before)
    counts = Submitted()
    after = 0
    # Chunk by chunk, because the journal must not be written while it is read.
    while chunk := list(islice(feed.journal.unseen(seen, after), BATCH_RECORDS)):
        after = chunk[-1][1].id
        counts.add(feed.submit([Change(key, None, changed_at, changed_at) for key, _ in chunk]))
    return Swept(deleted=counts.deleted, held=0, live=live_before)
