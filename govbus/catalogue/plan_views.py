"""What of a plan concerns subscribers: which fields and rows each of them gains and loses, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from govbus.catalogue.change import Change
from govbus.catalogue.entailment import Movement, movement
from govbus.catalogue.golden import dataset_of
from govbus.catalogue.model import Ask, Catalogue, Dataset
from govbus.catalogue.views import golden_sources, grant_for
from govbus.rules.mask import Mask, declared
from govbus.rules.share import ShareView, Withheld


@dataclass(frozen=True)
class RowChange:
    """A row condition before and after, as declared; `rows` says what that does to the rows released."""

    before: Any
    after: Any
    rows: Movement


ViewKind = Literal["new", "changed", "ended", "withheld", "released"]


@dataclass(frozen=True)
class ViewChange:
    """What changes for one subscriber in one dataset of one ask.

    new: asked for the first time; ended: asked no more; withheld: the owner's grant is gone; released: there again.
    """

    view: str
    subscriber: str
    ask: str
    dataset: str
    kind: ViewKind
    gained: tuple[tuple[str, Any], ...] = ()
    lost: tuple[str, ...] = ()
    masks: tuple[tuple[str, Change], ...] = ()
    grant_rows: RowChange | None = None
    ask_rows: RowChange | None = None
    source_rows: tuple[tuple[str, RowChange], ...] = ()
    """Of a golden view: per source the condition of its grant."""
    until: Change | None = None
    key_in_clear: Change | None = None
    reason: str | None = None

    @property
    def is_empty(self) -> bool:
        changes = (self.grant_rows, self.ask_rows, self.source_rows, self.until, self.key_in_clear)
        return self.kind == "changed" and not (self.gained or self.lost or self.masks or any(changes))


def view_changes(
    before: Mapping[str, ShareView | Withheld],
    after: Mapping[str, ShareView | Withheld],
    applied: Catalogue | None,
    wanted: Catalogue,
) -> Iterator[ViewChange]:
    """Yield what changes for each view, by name, from those of the *applied* catalogue to those of the *wanted*."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        some = new or old
        assert some is not None
        place = (name, some.subscriber, some.ask, some.dataset)
        if new is None:
            yield ViewChange(*place, "ended", lost=_paths(old))
        elif isinstance(new, Withheld):
            if isinstance(old, ShareView):
                yield ViewChange(*place, "withheld", lost=_paths(old), reason=str(new.reason))
            elif old is None:
                yield ViewChange(*place, "new", reason=str(new.reason))
        elif not isinstance(old, ShareView):
            conditions = _conditions(wanted, new)
            yield ViewChange(
                *place,
                "new" if old is None else "released",
                gained=tuple((path, declared(mask)) for path, mask in new.fields),
                grant_rows=None if conditions[0] is None else RowChange(None, conditions[0], "narrower"),
                ask_rows=None if conditions[1] is None else RowChange(None, conditions[1], "narrower"),
                source_rows=tuple(
                    (source, RowChange(None, rows, "narrower"))
                    for source, rows in conditions[2].items()
                    if rows is not None
                ),
                until=Change(None, _day(new.until)),
                key_in_clear=None if new.key_in_clear else Change(None, False),
            )
        else:
            assert applied is not None
            change = _changed(place, old, new, _conditions(applied, old), _conditions(wanted, new))
            if not change.is_empty:
                yield change


def _paths(view: ShareView | Withheld | None) -> tuple[str, ...]:
    return tuple(path for path, _ in view.fields) if isinstance(view, ShareView) else ()


def _changed(
    place: tuple[str, str, str, str], old: ShareView, new: ShareView, rows: _Conditions, new_rows: _Conditions
) -> ViewChange:
    before: Mapping[str, Mask] = dict(old.fields)
    after: Mapping[str, Mask] = dict(new.fields)
    return ViewChange(
        *place,
        "changed",
        gained=tuple((path, declared(mask)) for path, mask in after.items() if path not in before),
        lost=tuple(path for path in before if path not in after),
        masks=tuple(
            (path, Change(declared(before[path]), declared(mask)))
            for path, mask in after.items()
            if path in before and before[path] != mask
        ),
        grant_rows=_row_change(rows[0], new_rows[0], movement(old.grant_rows, new.grant_rows)),
        ask_rows=_row_change(rows[1], new_rows[1], movement(old.ask_rows, new.ask_rows)),
        source_rows=tuple(_source_row_changes(old, new, rows[2], new_rows[2])),
        until=None if old.until == new.until else Change(_day(old.until), _day(new.until)),
        key_in_clear=None if old.key_in_clear == new.key_in_clear else Change(old.key_in_clear, new.key_in_clear),
    )


def _row_change(before: Any, after: Any, rows: Movement) -> RowChange | None:
    return None if rows == "same" else RowChange(before, after, rows)


def _source_row_changes(
    old: ShareView, new: ShareView, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, RowChange]]:
    """Yield the conditions of sources that differ. Of a source that is new to the view nothing is lost by its own."""
    held, now = dict(old.source_rows), dict(new.source_rows)
    for source in after:
        if source in before:
            change = _row_change(before[source], after[source], movement(held.get(source), now.get(source)))
            if change is not None:
                yield source, change
        elif after[source] is not None:
            yield source, RowChange(None, after[source], "different")


_Conditions = tuple[Any, Any, Mapping[str, Any]]
"""The row conditions of grant, ask and sources, as they were declared; of every source, None where it has none."""


def _conditions(catalogue: Catalogue, view: ShareView) -> _Conditions:
    ask: Ask = catalogue.asks[f"{view.subscriber}.{view.ask}"]
    asked = ask.datasets[view.dataset]
    golden = dataset_of(catalogue, view.dataset) if view.dataset not in catalogue.datasets else None
    if golden is None:
        return _granted_rows(catalogue.datasets[view.dataset], view), asked.rows, {}
    sources = golden_sources(catalogue, golden, asked)
    return None, asked.rows, {source: _granted_rows(catalogue.datasets[source], view) for source in sources}


def _granted_rows(dataset: Dataset, view: ShareView) -> Any:
    grant = grant_for(dataset, view.subscriber, view.purpose) if dataset.share == "conditional" else None
    return None if grant is None else grant.rows


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
