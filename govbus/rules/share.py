"""Share views: what one subscriber may see of one dataset for one purpose, as a value.

Two keys open a door: the owner's grant and the subscriber's ask. `ShareView` is their intersection, already checked;
`Withheld` says why an ask gets nothing. The bytes of a view are made in `govbus.codec.projection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum

from govbus.rules.condition import Condition
from govbus.rules.mask import Drop, Mask, Pass, at_least_as_strict

CHINA_STANDARD_TIME = timezone(timedelta(hours=8))


class WithheldReason(StrEnum):
    """Why an ask receives nothing of a dataset although its declaration is well formed."""

    NO_GRANT = "no_grant"
    GRANT_SUSPENDED = "grant_suspended"
    GRANT_ENDED = "grant_ended"
    GRANT_EXPIRED = "grant_expired"
    ASK_EXPIRED = "ask_expired"


@dataclass(frozen=True, slots=True)
class ShareView:
    """One subscriber's view of one dataset.

    `fields` maps dotted paths to masks, `Drop` never among them. A row is released where both conditions hold:
    `grant_rows` of the record itself, `ask_rows` of what the masks leave (so that presence in the view tells the
    subscriber nothing that its fields do not). `until` is the last day, in China Standard Time; None: no end.
    """

    subscriber: str
    ask: str
    dataset: str
    purpose: str
    fields: tuple[tuple[str, Mask], ...]
    key: tuple[str, ...]
    grant_rows: Condition | None
    ask_rows: Condition | None
    until: date | None
    source_rows: tuple[tuple[str, Condition], ...] = ()
    """Of a golden view: per authoritative dataset the row condition of its grant. Where it does not hold of that
    dataset's record, the elements it is the source of are shown without value and ``unverified``; an entity of which
    no asked element has a source that is shown is not in the view at all, because its id alone would tell that somebody
    reports on it.
    """

    @property
    def id(self) -> str:
        """``subscriber.ask/department.dataset``: the name of this view in progress, metrics and messages."""
        return f"{self.subscriber}.{self.ask}/{self.dataset}"

    @property
    def masks(self) -> Mapping[str, Mask]:
        return dict(self.fields)

    @property
    def key_in_clear(self) -> bool:
        """Whether every key field is delivered unmasked; otherwise the share topic's key is a pseudonym."""
        masks = self.masks
        return all(masks.get(path, Drop()) == Pass() for path in self.key)

    @property
    def ends_at(self) -> datetime | None:
        """The first instant at which nothing may leave any more: midnight after `until`."""
        return None if self.until is None else end_of(self.until)


def narrows(old: ShareView, new: ShareView) -> bool:
    """Return whether *new* may show less than *old* did: what lies in the share topic must then be deleted.

    Told on the safe side: two different row conditions count as narrower, whichever way they differ.
    """
    shown = new.masks
    kept = all(path in shown and at_least_as_strict(mask, shown[path]) for path, mask in old.fields)
    rows_kept = all(
        after is None or after == before
        for before, after in ((old.grant_rows, new.grant_rows), (old.ask_rows, new.ask_rows))
    )
    before_at = dict(old.source_rows)
    rows_kept = rows_kept and all(before_at.get(dataset) == after for dataset, after in new.source_rows)
    return not (kept and rows_kept)


@dataclass(frozen=True, slots=True)
class Withheld:
    """Nothing leaves for this ask and dataset, and why."""

    subscriber: str
    ask: str
    dataset: str
    reason: WithheldReason

    @property
    def id(self) -> str:
        return f"{self.subscriber}.{self.ask}/{self.dataset}"


def end_of(day: date) -> datetime:
    """Return the instant at which *day* is over in China Standard Time, in UTC."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=CHINA_STANDARD_TIME) + timedelta(days=1)
    return midnight.astimezone(UTC)
