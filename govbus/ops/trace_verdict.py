"""Why a record reached or did not reach an ask: facts in, one verdict with its reasons out. Pure; no value of a record.

A verdict is the first door that is shut, in the order in which a record meets them: asked for, granted, in time,
accepted, not deleted, let through by the row conditions, sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import assert_never

from govbus.ops.trace_rows import Unmet
from govbus.rules.reject import remedy, why
from govbus.rules.share import ShareView, Withheld, WithheldReason


class Verdict(StrEnum):
    """What became of a record on its way to one ask."""

    DELIVERED = "delivered"
    SHARED = "shared"
    NOT_YET = "not_yet"
    ROW_CONDITION = "row_condition"
    UNMASKABLE = "unmaskable"
    NO_SOURCE = "no_source"
    DELETED = "deleted"
    REJECTED = "rejected"
    UNKNOWN_KEY = "unknown_key"
    EXPIRED = "expired"
    WITHHELD = "withheld"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: partition and offset of a topic, and the topic's timestamp (aware)."""

    topic: str
    partition: int
    offset: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing stands under this key."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The last word under this key is a deletion (in a share topic: a retraction)."""

    place: Place


@dataclass(frozen=True, slots=True)
class Present:
    """A record stands under this key."""

    place: Place


Standing = Absent | Deleted | Present


@dataclass(frozen=True, slots=True)
class RejectCount:
    """How often a record under this key was put aside for one reason.

    `field` is empty where none is at fault, `rule` where the reason is no structural check.
    """

    reason: str
    field: str
    times: int
    last_at: datetime
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands in Kafka about one key of one dataset, and about one ask.

    `view` is None where the ask does not ask for the dataset. `unread`: arrivals of the key that no worker has
    exchanged yet; `unread_all`: of the whole partition. `unmet` and `unmaskable` are about the record in `current`,
    `no_source` about a golden view: no source of what is asked for has a record of the entity.
    `as_expected`: whether the share topic holds exactly what the view makes of that record; None where that could not
    be made (`secret_missing` says why). `has_sink`: the ask is delivered by a sink of the bus, whose
    position in the record's partition of the share topic is `sink_position`; None where it never had one.
    `view_revision` is the revision that the partition's view was sent under, 0 for
    none.
    """

    view: ShareView | Withheld | None
    asked_until: date
    now: datetime
    revision: int
    current: Standing = Absent()
    unread: int = 0
    unread_all: int = 0
    rejects: tuple[RejectCount, ...] = ()
    unmet: tuple[Unmet, ...] = ()
    unmaskable: bool = False
    no_source: bool = False
    share: Standing = Absent()
    as_expected: bool | None = None
    secret_missing: str = ""
    has_sink: bool = False
    sink_position: int | None = None
    view_revision: int = 0
    view_is_changing: bool = False
    view_is_present: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """The verdict, the sentences that give its reasons, and what to do; none of them holds a value of the record."""

    verdict: Verdict
    reasons: tuple[str, ...]
    what_to_do: str = ""


WITHHELD_TEXT: Mapping[WithheldReason, str] = {
    WithheldReason.NO_GRANT: "the owner grants this subscriber nothing of the dataset for the ask's purpose",
    WithheldReason.GRANT_SUSPENDED: "the owner has suspended the grant",
    WithheldReason.GRANT_ENDED: "the owner has ended the grant",
    WithheldReason.GRANT_EXPIRED: "the grant's last day is over",
    WithheldReason.ASK_EXPIRED: "the ask's last day is over",
}

_ASK_OWNER = "ask the owner for a grant (grants: in the dataset's file), then `govbus plan` and `govbus apply`"
_START_EXCHANGE = "see that a worker runs (`govbus status`, `govbus exchange`)"


def verdict_on(facts: Facts) -> Trace:
    """Return the verdict that *facts* leave no doubt about."""
    match facts.view:
        case None:
            return Trace(
                Verdict.NOT_ASKED,
                ("the ask does not name this dataset",),
                "name it under `datasets:` of the ask's file, then `govbus plan` and `govbus apply`",
            )
        case Withheld(reason=reason):
            return Trace(Verdict.WITHHELD, (WITHHELD_TEXT[reason],), _ASK_OWNER)
        case ShareView() as view:
            return _through_the_view(facts, view)
        case _:
            assert_never(facts.view)


def _through_the_view(facts: Facts, view: ShareView) -> Trace:
    if view.ends_at is not None and view.ends_at <= facts.now:
        assert view.until is not None
        whose = "ask" if facts.asked_until <= view.until else "grant"
        return Trace(
            Verdict.EXPIRED,
            (f"the last day of the {whose} was {view.until}",),
            f"a later `until:` in the {whose}'s file, then `govbus plan` and `govbus apply`",
        )
    match facts.current:
        case Absent():
            return _never_accepted(facts)
        case Deleted(place):
            since = f"the department deleted the record; the bus accepted that at {_time(place.at)}"
            if isinstance(facts.share, Present):
                return Trace(Verdict.NOT_YET, (since, "its retraction is not sent yet", *_lag(facts)), _START_EXCHANGE)
            return Trace(Verdict.DELETED, (since, *_notes(facts)))
        case Present():
            return _accepted(facts)
        case _:
            assert_never(facts.current)


def _never_accepted(facts: Facts) -> Trace:
    if facts.unread:
        return Trace(
            Verdict.NOT_YET,
            (f"published {_times(facts.unread)}, but no worker has exchanged it yet", *_rejects(facts)),
            _START_EXCHANGE,
        )
    if facts.rejects:
        latest = max(facts.rejects, key=lambda each: each.last_at)
        return Trace(
            Verdict.REJECTED,
            tuple(_rejects(facts)),
            remedy(latest.reason, latest.rule),
        )
    return Trace(
        Verdict.UNKNOWN_KEY,
        ("the bus has never accepted a record under this key, and holds no reject of it",),
        "look at the key's spelling; then at the department's own `.rejected.csv` files and `govbus rejects`, where a "
        "record whose key did not match its value stands under the key it was sent with",
    )


def _accepted(facts: Facts) -> Trace:
    assert isinstance(facts.current, Present)
    accepted = f"accepted at {_time(facts.current.place.at)}"
    withdrawn = isinstance(facts.share, Present)
    if facts.unmaskable or facts.unmet or facts.no_source:
        why = _kept_back(facts)
        if withdrawn:
            return Trace(
                Verdict.NOT_YET, (accepted, *why, "its retraction is not sent yet", *_lag(facts)), _START_EXCHANGE
            )
        verdict = Verdict.ROW_CONDITION
        if facts.unmaskable or facts.no_source:
            verdict = Verdict.UNMASKABLE if facts.unmaskable else Verdict.NO_SOURCE
        return Trace(verdict, (accepted, *why, *_notes(facts)), "")
    if facts.as_expected is None:
        return Trace(
            Verdict.NOT_YET,
            (accepted, "every row condition holds", f"the share topic was not looked at: {facts.secret_missing}"),
            "run this where the pseudonym keys are",
        )
    if facts.as_expected:
        assert isinstance(facts.share, Present)
        return _in_the_topic(facts, accepted, facts.share.place)
    missing = "an older state of it was sent" if withdrawn else "it is not in the share topic"
    return Trace(
        Verdict.NOT_YET, (accepted, "every row condition holds", missing, *_view(facts), *_lag(facts)), _START_EXCHANGE
    )


def _kept_back(facts: Facts) -> tuple[str, ...]:
    if facts.unmaskable:
        return ("a date lies outside the years 1 to 9999, which the ask's mask cannot show",)
    if facts.no_source:
        return (
            "no source of what the ask names has a record of it; that others report on it is not shown by its presence",
        )
    return tuple(str(each) for each in facts.unmet)


def _in_the_topic(facts: Facts, accepted: str, place: Place) -> Trace:
    shared = f"in {place.topic}, partition {place.partition}, offset {place.offset}, dated {_time(place.at)}"
    if not facts.has_sink:
        return Trace(Verdict.DELIVERED, (accepted, shared, "the subscriber reads Kafka itself", *_notes(facts)))
    if facts.sink_position is not None and facts.sink_position > place.offset:
        return Trace(Verdict.DELIVERED, (accepted, shared, "the ask's sink has taken it", *_notes(facts)))
    sink = "no sink of the ask has ever run" if facts.sink_position is None else "the ask's sink has not taken it yet"
    assert isinstance(facts.view, ShareView)
    run = f"run `govbus deliver {facts.view.subscriber} {facts.view.ask}`"
    return Trace(Verdict.SHARED, (accepted, shared, sink, *_notes(facts)), run)


def _view(facts: Facts) -> tuple[str, ...]:
    if facts.view_is_changing:
        return (f"the view is being sent again for revision {facts.revision}",)
    if not facts.view_is_present:
        before = f"revision {facts.view_revision}" if facts.view_revision else "no revision"
        return (f"this partition's view was sent under {before}; the one applied is {facts.revision}",)
    return ()


def _lag(facts: Facts) -> tuple[str, ...]:
    if not facts.unread_all:
        return ()
    return (f"{facts.unread_all} published records of its partition wait to be exchanged, {facts.unread} of this key",)


def _notes(facts: Facts) -> tuple[str, ...]:
    """Say what came after the accepted record and did not change it."""
    waiting = (
        (f"a later change was published {_times(facts.unread)} and waits to be exchanged",) if facts.unread else ()
    )
    return (*waiting, *_rejects(facts))


def _rejects(facts: Facts) -> tuple[str, ...]:
    return tuple(
        f"rejected {_times(each.times)}: {why(each.reason, each.rule)}"
        + (f", field {each.field}" if each.field else "")
        + f"; last at {_time(each.last_at)}"
        for each in facts.rejects
    )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _time(at: datetime) -> str:
    return at.astimezone().isoformat(sep=" ", timespec="seconds")
