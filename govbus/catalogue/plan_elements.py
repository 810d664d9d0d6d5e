"""What of a plan concerns elements: who is their source, how they are compared, who reports, what golden views hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from govbus.catalogue.avro_fields import avro_fields
from govbus.catalogue.change import Change
from govbus.catalogue.golden import Binding, bindings, golden_datasets
from govbus.catalogue.model import Authority, Catalogue, Dataset, Element


@dataclass(frozen=True)
class ElementChange:
    """An element that is new, gone or declared otherwise; `changes` by key."""

    element: str
    kind: Literal["new", "gone", "changed"]
    changes: tuple[tuple[str, Change], ...] = ()


@dataclass(frozen=True)
class AuthorityChange:
    """Who is the source of an element, before and after: ``DATASET FIELD``, and its divisions where it is split."""

    element: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class ReportChange:
    """Which fields begin or cease to be compared with the source of an element: ``DATASET FIELD``."""

    element: str
    gained: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class GoldenChange:
    """A golden view that is new, ended or holds other elements; `changed` are those whose value has another type."""

    view: str
    kind: Literal["new", "ended", "changed"]
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def element_changes(applied: Catalogue | None, wanted: Catalogue) -> Iterator[ElementChange]:
    """Yield how the declared elements differ, by name."""
    before = applied.vocabulary.elements if applied is not None else {}
    after = wanted.vocabulary.elements
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield ElementChange(name, "new")
        elif name not in after:
            yield ElementChange(name, "gone")
        elif before[name] != after[name]:
            old, new = before[name], after[name]
            words = [word for word in Element.model_fields if getattr(old, word) != getattr(new, word)]
            yield ElementChange(
                name, "changed", tuple((word, Change(getattr(old, word), getattr(new, word))) for word in words)
            )


def authority_changes(applied: Catalogue | None, wanted: Catalogue) -> Iterator[AuthorityChange]:
    """Yield the elements whose source is another than it was; of a new one its first, of one gone its last."""
    before, after = _bound(applied), _bound(wanted)
    for name in sorted(before.keys() | after.keys()):
        old = tuple(_source(each) for each in before.get(name, ()) if each.authority)
        new = tuple(_source(each) for each in after.get(name, ()) if each.authority)
        if old != new:
            yield AuthorityChange(name, old, new)


def report_changes(applied: Catalogue | None, wanted: Catalogue) -> Iterator[ReportChange]:
    """Yield which fields beside the source begin or cease to tell an element."""
    before, after = _bound(applied), _bound(wanted)
    for name in sorted(before.keys() | after.keys()):
        old = {f"{each.dataset} {each.path}": each for each in before.get(name, ())}
        new = {f"{each.dataset} {each.path}": each for each in after.get(name, ())}
        gained = tuple(field for field, each in new.items() if field not in old and not each.authority)
        lost = tuple(field for field, each in old.items() if field not in new and not each.authority)
        if gained or lost:
            yield ReportChange(name, gained, lost)


def golden_changes(applied: Catalogue | None, wanted: Catalogue) -> Iterator[GoldenChange]:
    """Yield which golden views come, go, gain and lose elements."""
    before = golden_datasets(applied) if applied is not None else {}
    after = golden_datasets(wanted)
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield GoldenChange(name, "new", gained=_elements(after[name]))
        elif name not in after:
            yield GoldenChange(name, "ended", lost=_elements(before[name]))
        elif before[name].avro != after[name].avro:
            old, new = avro_fields(before[name].avro), avro_fields(after[name].avro)
            yield GoldenChange(
                name,
                "changed",
                gained=tuple(each for each in _elements(after[name]) if each not in old),
                lost=tuple(each for each in _elements(before[name]) if each not in new),
                changed=tuple(
                    each for each in _elements(after[name]) if each in old and old[each].schema != new[each].schema
                ),
            )


def _bound(catalogue: Catalogue | None) -> dict[str, list[Binding]]:
    found: dict[str, list[Binding]] = {}
    for entity in catalogue.vocabulary.entities if catalogue is not None else ():
        assert catalogue is not None
        for each in bindings(catalogue, entity):
            found.setdefault(each.element, []).append(each)
    return found


def _source(binding: Binding) -> str:
    field = f"{binding.dataset} {binding.path}"
    if not isinstance(binding.authority, Authority):
        return field
    return f"{field} ({binding.authority.by} {', '.join(binding.authority.divisions)})"


def _elements(golden: Dataset) -> tuple[str, ...]:
    return tuple(path for path in golden.fields if "." not in path and path != golden.subject)
