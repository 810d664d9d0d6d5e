"""`govbus plan`: the difference of two catalogues, said before anything is touched.

Who gains or loses which fields and rows, what becomes of topics and subjects, and what cannot be: a schema that does
not follow the applied ones, a setting that was fixed when it was first applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from govbus.catalogue.avro_fields import avro_fields
from govbus.catalogue.change import Change
from govbus.catalogue.evolution import Refusal, change_refusals
from govbus.catalogue.golden import GOLDEN, golden_datasets
from govbus.catalogue.model import Ask, Catalogue, City, Dataset
from govbus.catalogue.plan_elements import (
    AuthorityChange,
    ElementChange,
    GoldenChange,
    ReportChange,
    authority_changes,
    element_changes,
    golden_changes,
    report_changes,
)
from govbus.catalogue.plan_views import ViewChange, view_changes
from govbus.catalogue.topics import Topics
from govbus.catalogue.views import share_views
from govbus.errors import Fault
from govbus.rules.share import ShareView, Withheld, WithheldReason


@dataclass(frozen=True)
class SchemaChange:
    """What changes in the fields of an applied dataset."""

    dataset: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


@dataclass(frozen=True)
class WithheldView:
    """An ask that is delivered nothing of a dataset, and why."""

    view: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """The difference between what is applied and what is declared."""

    first: bool
    city: tuple[tuple[str, Change], ...] = ()
    topics_created: tuple[str, ...] = ()
    topics_kept: tuple[str, ...] = ()
    topics_left: tuple[str, ...] = ()
    """Topics that nothing declares any more. They stay: what they hold is emptied by the worker, not by `apply`."""
    subjects: tuple[str, ...] = ()
    """Registry subjects that get a first or a further schema."""
    datasets_added: tuple[str, ...] = ()
    datasets_removed: tuple[str, ...] = ()
    schemas: tuple[SchemaChange, ...] = ()
    elements: tuple[ElementChange, ...] = ()
    authorities: tuple[AuthorityChange, ...] = ()
    reports: tuple[ReportChange, ...] = ()
    golden: tuple[GoldenChange, ...] = ()
    asks_added: tuple[str, ...] = ()
    asks_ended: tuple[str, ...] = ()
    deliveries: tuple[tuple[str, Change], ...] = ()
    views: tuple[ViewChange, ...] = ()
    withheld: tuple[WithheldView, ...] = ()
    pseudonym_keys: tuple[str, ...] = ()
    """Replaced keys (``SUBSCRIBER.PURPOSE``): all that was sent under the old one is withdrawn and sent again."""
    other: tuple[str, ...] = ()
    """Declarations that change without changing what anybody gets: titles, contacts, cycles, code lists."""
    refusals: tuple[Refusal, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether applying would change nothing."""
        moving = (
            self.city,
            self.topics_created,
            self.subjects,
            self.datasets_added,
            self.datasets_removed,
            self.schemas,
        )
        more = (self.asks_added, self.asks_ended, self.deliveries, self.views, self.pseudonym_keys, self.other)
        crosschecked = (self.elements, self.authorities, self.reports, self.golden)
        return not (self.first or any(moving) or any(more) or any(crosschecked) or self.refusals)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The refusals as faults on the first line of their files; `Refusal.at` says where in the file they stand."""
        return tuple(sorted(Fault(each.file, 1, each.code, each.message) for each in self.refusals))

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain data for JSON."""
        return {**asdict(self), "is_empty": self.is_empty}


def plan(
    applied: Catalogue | None,
    wanted: Catalogue,
    *,
    schemas: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    keys: Mapping[str, tuple[str, str]] | None = None,
    today: date | None = None,
) -> Plan:
    """Return what applying *wanted* over *applied* would change. Pure.

    *schemas* are all business schemas ever applied by dataset, oldest first (default: those of *applied*); *keys* the
    pseudonym keys with the fingerprint applied and the one in force. With *today* (China Standard Time) grants and asks
    whose last day has passed count as withheld.
    """
    before_views, after_views = _views(applied, today), _views(wanted, today)
    before_topics, after_topics = topic_names(applied), topic_names(wanted)
    made = tuple(sorted(after_topics - before_topics))
    changes = tuple(_schema_changes(applied, wanted))
    views = tuple(view_changes(before_views, after_views, applied, wanted))
    golden = tuple(golden_changes(applied, wanted))
    return Plan(
        first=applied is None,
        city=tuple(_settings(applied, wanted)),
        topics_created=made,
        topics_kept=tuple(sorted(after_topics & before_topics)),
        topics_left=tuple(sorted(before_topics - after_topics)),
        subjects=tuple(sorted(_subjects(wanted, made, changes, views, golden))),
        datasets_added=_added(applied.datasets if applied else {}, wanted.datasets),
        datasets_removed=_added(wanted.datasets, applied.datasets if applied else {}),
        schemas=changes,
        elements=tuple(element_changes(applied, wanted)),
        authorities=tuple(authority_changes(applied, wanted)),
        reports=tuple(report_changes(applied, wanted)),
        golden=golden,
        asks_added=_added(applied.asks if applied else {}, wanted.asks),
        asks_ended=_added(wanted.asks, applied.asks if applied else {}),
        deliveries=tuple(_deliveries(applied, wanted)),
        views=views,
        withheld=tuple(WithheldView(v.id, str(v.reason)) for v in after_views.values() if isinstance(v, Withheld)),
        pseudonym_keys=tuple(sorted(name for name, (old, new) in (keys or {}).items() if old != new)),
        other=tuple(_other(applied, wanted)),
        refusals=tuple(change_refusals(applied, wanted, schemas or {})),
    )


def topic_names(catalogue: Catalogue | None) -> set[str]:
    """Return the names of all topics that *catalogue* needs."""
    if catalogue is None:
        return set()
    topics = Topics(catalogue.city.topic_prefix)
    names = {topics.catalogue, topics.progress, topics.tick}
    names |= {topics.reject(department) for department in catalogue.departments}
    for dataset in catalogue.datasets:
        names |= {topics.raw(dataset), topics.current(dataset)}
    for golden in golden_datasets(catalogue):
        names |= {topics.golden(golden), topics.discrepancy, topics.incident}
    return names | {topics.share(view.id) for view in share_views(catalogue) if isinstance(view, ShareView)}


def _views(catalogue: Catalogue | None, today: date | None) -> dict[str, ShareView | Withheld]:
    """Return every view of every ask by its id, expired ones withheld where *today* is known."""
    found: dict[str, ShareView | Withheld] = {}
    for view in share_views(catalogue) if catalogue is not None else ():
        found[view.id] = view
        if (
            catalogue is None
            or today is None
            or isinstance(view, Withheld)
            or view.until is None
            or view.until >= today
        ):
            continue
        ask = catalogue.asks[f"{view.subscriber}.{view.ask}"]
        reason = WithheldReason.ASK_EXPIRED if ask.until < today else WithheldReason.GRANT_EXPIRED
        found[view.id] = Withheld(view.subscriber, view.ask, view.dataset, reason)
    return found


def _added(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(sorted(after.keys() - before.keys()))


def _settings(applied: Catalogue | None, wanted: Catalogue) -> Iterator[tuple[str, Change]]:
    if applied is not None:
        for name in City.model_fields:
            before, after = getattr(applied.city, name), getattr(wanted.city, name)
            if before != after:
                yield name, Change(before, after)


def _schema_changes(applied: Catalogue | None, wanted: Catalogue) -> Iterator[SchemaChange]:
    for name in sorted((applied.datasets.keys() if applied else set()) & wanted.datasets.keys()):
        assert applied is not None
        old, new = applied.datasets[name].avro, wanted.datasets[name].avro
        if old == new:
            continue
        before, after = avro_fields(old, []), avro_fields(new, [])
        yield SchemaChange(
            name,
            added=tuple(path for path in after if path not in before),
            removed=tuple(path for path in before if path not in after),
            changed=tuple(
                p
                for p in after
                if p in before and (after[p].schema, after[p].optional) != (before[p].schema, before[p].optional)
            ),
        )


def _subjects(
    wanted: Catalogue,
    made: Sequence[str],
    changes: Sequence[SchemaChange],
    views: Sequence[ViewChange],
    golden: Sequence[GoldenChange],
) -> set[str]:
    """Return the registry subjects that a new topic or a changed schema gives another schema."""
    topics = Topics(wanted.city.topic_prefix)
    rooms = (
        *(f"{topics.prefix}{room}." for room in ("raw", "current", "share", GOLDEN)),
        topics.discrepancy,
        topics.incident,
    )
    names = {topics.subject(topic) for topic in made if topic.startswith(rooms)}
    for change in changes:
        names |= {topics.subject(topics.raw(change.dataset)), topics.subject(topics.current(change.dataset))}
    for view in views:
        if view.kind == "changed" and (view.gained or view.lost or view.masks):
            names.add(topics.subject(topics.share(view.view)))
    return names | {topics.subject(topics.golden(each.view)) for each in golden if each.kind == "changed"}


def _deliveries(applied: Catalogue | None, wanted: Catalogue) -> Iterator[tuple[str, Change]]:
    for name, ask in wanted.asks.items():
        old = applied.asks.get(name) if applied is not None else None
        if old is not None and old.delivery != ask.delivery:
            yield name, Change(old.delivery, ask.delivery)


def _other(applied: Catalogue | None, wanted: Catalogue) -> Iterator[str]:
    """Yield what else is declared differently, so that an applied revision never differs in silence."""
    if applied is None:
        return
    old_words, new_words = applied.vocabulary, wanted.vocabulary
    if (old_words.purposes, old_words.code_lists) != (new_words.purposes, new_words.code_lists):
        yield "purposes or code lists (schemas/elements.yaml)"
    if (old_words.entities, old_words.code_maps) != (new_words.entities, new_words.code_maps):
        yield "entities or code maps (schemas/elements.yaml)"
    rooms: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...] = (
        ("department", applied.departments, wanted.departments),
        ("subscriber", applied.subscribers, wanted.subscribers),
    )
    for word, old, new in rooms:
        yield from (f"{word} {name} (new)" for name in _added(old, new))
        yield from (f"{word} {name} (removed)" for name in _added(new, old))
        yield from (f"{word} {name}" for name in sorted(old.keys() & new.keys()) if old[name] != new[name])
    for name in sorted(applied.datasets.keys() & wanted.datasets.keys()):
        if applied.datasets[name] != wanted.datasets[name]:
            words = _words_that_differ(applied.datasets[name], wanted.datasets[name], but="avro")
            if words:
                yield f"dataset {name}: {', '.join(words)}"
    for name in sorted(applied.asks.keys() & wanted.asks.keys()):
        before, after = applied.asks[name], wanted.asks[name]
        words = _words_that_differ(before, after, but="delivery")
        if words:
            yield f"ask {name}: {', '.join(words)}"


def _words_that_differ(before: Dataset | Ask, after: Dataset | Ask, *, but: str) -> list[str]:
    names = type(before).model_fields
    return sorted(name for name in names if name != but and getattr(before, name) != getattr(after, name))
