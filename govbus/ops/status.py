"""`govbus status`: is my data flowing, since when, how far behind; per dataset and ask. Facts in, judgement out; pure.

What is known comes from Kafka (`govbus.ops.status_read`), so the answer is the same whether or not a process of the bus
runs; processes on this machine add what they say of themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from govbus.catalogue.model import Catalogue
from govbus.catalogue.views import share_views
from govbus.rules.share import ShareView, Withheld

BEHIND_SECONDS = 10.0
"""Published records that have waited longer than this make a dataset late."""

GRANT_ENDS_SOON = timedelta(days=30)

FLOWING = "flowing"


@dataclass(frozen=True, slots=True)
class Poll:
    """The last completed look at a dataset's source. `held`: deletions that wait for a person's decision."""

    source: str
    at: datetime
    held: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds from publish to the share topics while the running workers have lived: half of all, and 99 of 100."""

    p50_seconds: float
    p99_seconds: float


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What stands in Kafka of one dataset.

    `unread`: published and not exchanged; `oldest_unread_at`: when the first of them came. `newest_at`: when the last
    record came, None where none is kept. `rejects`: those kept. `has_topic` is False where `apply` never got to it.
    `discrepancies`: entities of which it says something else than the source, an element each.
    """

    dataset: str
    title: str
    max_age_seconds: int
    has_topic: bool
    ever: bool
    newest_at: datetime | None
    unread: int
    oldest_unread_at: datetime | None
    rejects: int
    polls: tuple[Poll, ...]
    delay: Delay | None = None
    discrepancies: int = 0


@dataclass(frozen=True, slots=True)
class ViewFacts:
    """What stands in Kafka of one dataset of one ask.

    `sent_partitions` of `partitions` have the view as the applied revision wants it, `changing_partitions` are at it.
    `undelivered`: records between the sink's position and the end of the share topic; None where no sink ever was.
    """

    partitions: int
    sent_partitions: int
    changing_partitions: int
    has_topic: bool
    newest_at: datetime | None
    undelivered: int | None


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """A process of this machine: what it is and what it says of itself."""

    name: str
    component: str
    address: str
    says: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was found out, at `now`. `views` by `ShareView.id`."""

    now: datetime
    revision: int
    applied_at: str
    catalogue: Catalogue
    datasets: tuple[DatasetFacts, ...]
    views: Mapping[str, ViewFacts]
    processes: tuple[ProcessFacts, ...]


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """One dataset: `state`, since when (None: unknown), why, and the facts behind it."""

    facts: DatasetFacts
    state: str
    since: datetime | None
    why: str
    behind_seconds: float


@dataclass(frozen=True, slots=True)
class AskStatus:
    """One dataset of one ask: `state` is ``flowing`` or why nothing (new) arrives."""

    ask: str
    dataset: str
    delivery: str
    state: str
    why: str
    facts: ViewFacts | None
    ends_at: datetime | None
    ends_soon: bool


@dataclass(frozen=True, slots=True)
class Status:
    """The whole answer."""

    facts: Facts
    datasets: tuple[DatasetStatus, ...]
    asks: tuple[AskStatus, ...]

    @property
    def rejects(self) -> dict[str, int]:
        """Per department that has any: how many rejects are kept."""
        found: dict[str, int] = {}
        for each in self.datasets:
            if each.facts.rejects:
                department = each.facts.dataset.partition(".")[0]
                found[department] = found.get(department, 0) + each.facts.rejects
        return found

    @property
    def discrepancies(self) -> dict[str, int]:
        """Per department that has any: how many open discrepancies its datasets report."""
        found: dict[str, int] = {}
        for each in self.datasets:
            if each.facts.discrepancies:
                department = each.facts.dataset.partition(".")[0]
                found[department] = found.get(department, 0) + each.facts.discrepancies
        return found


def status_of(facts: Facts) -> Status:
    """Return the judgement on *facts*."""
    datasets = tuple(_dataset(each, facts.now) for each in facts.datasets)
    asks = tuple(_ask(view, facts) for view in share_views(facts.catalogue))
    return Status(facts, datasets, asks)


def _dataset(facts: DatasetFacts, now: datetime) -> DatasetStatus:
    behind = 0.0
    if facts.oldest_unread_at is not None:
        behind = max(0.0, (now - facts.oldest_unread_at).total_seconds())
    state, since, why = _flow(facts, now, behind)
    return DatasetStatus(facts, state, since, why, behind)


def _flow(facts: DatasetFacts, now: datetime, behind_seconds: float) -> tuple[str, datetime | None, str]:
    if not facts.has_topic:
        return "no topic", None, "run `govbus apply`"
    if behind_seconds > BEHIND_SECONDS:
        return "waiting", facts.oldest_unread_at, "published and not exchanged yet: does a worker run?"
    held = [each for each in facts.polls if each.held]
    if held:
        why = f"{held[0].held:,} deletions wait for a decision: look at the source, then `--accept-deletions`"
        return "held", held[0].at, why
    if not facts.ever and not facts.polls:
        return "nothing yet", None, "the department has published nothing: `govbus produce`"
    signs = [each.at for each in facts.polls]
    if facts.newest_at is not None:
        signs.append(facts.newest_at)
    stale_at = max(signs) + timedelta(seconds=facts.max_age_seconds) if signs else None
    if stale_at is None or stale_at < now:
        return "stale", stale_at, "neither a change nor a look at the source within the declared age"
    return FLOWING, facts.newest_at, ""


def _ask(view: ShareView | Withheld, facts: Facts) -> AskStatus:
    ask_id, _, dataset = view.id.partition("/")
    delivery = str(facts.catalogue.asks[ask_id].delivery.get("kind", ""))
    if isinstance(view, Withheld):
        return AskStatus(ask_id, dataset, delivery, view.reason.value, "", None, None, False)
    found = facts.views.get(view.id)
    ends_at = view.ends_at
    ends_soon = ends_at is not None and facts.now < ends_at <= facts.now + GRANT_ENDS_SOON
    state, why = _shared(found, ends_at, facts.now)
    return AskStatus(ask_id, dataset, delivery, state, why, found, ends_at, ends_soon)


def _shared(found: ViewFacts | None, ends_at: datetime | None, now: datetime) -> tuple[str, str]:
    if ends_at is not None and ends_at <= now:
        return "expired", "its last day is over"
    if found is None or not found.has_topic:
        return "no topic", "run `govbus apply`"
    if found.sent_partitions < found.partitions:
        done = f"{found.sent_partitions} of {found.partitions} partitions"
        if found.changing_partitions:
            return "being sent", f"the whole view is being sent: {done} done"
        return "not sent", f"the applied revision is not taken yet, {done}: does a worker run?"
    return FLOWING, ""
