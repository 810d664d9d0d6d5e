"""Ask and grant meet here: the share views of a catalogue, and the asks that get nothing, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from govbus.catalogue.model import Ask, AskedDataset, Catalogue, Dataset, Grant
from govbus.rules.condition import Condition, parse_condition
from govbus.rules.mask import Drop, Mask, parse_mask
from govbus.rules.share import ShareView, Withheld, WithheldReason


def share_views(catalogue: Catalogue) -> Iterator[ShareView | Withheld]:
    """Yield, for every dataset of every ask, its view or why there is none; ordered by ask, then dataset.

    The catalogue must have passed `govbus.catalogue.check`: what that refuses is not looked for again. Dates are not
    compared with a clock here: a view carries its `until`, and whoever evaluates it brings the time.
    """
    for ask_id in sorted(catalogue.asks):
        ask = catalogue.asks[ask_id]
        for dataset_id in sorted(ask.datasets):
            yield _decide(ask, ask.datasets[dataset_id], catalogue.datasets.get(dataset_id), dataset_id)


def _decide(ask: Ask, asked: AskedDataset, dataset: Dataset | None, dataset_id: str) -> ShareView | Withheld:
    if dataset is None or dataset.share == "not_shared":
        return Withheld(ask.subscriber, ask.ask, dataset_id, WithheldReason.NO_GRANT)
    if dataset.share == "unconditional":
        return _view(ask, asked, dataset, until=ask.until, grant_rows=None)
    grant = grant_for(dataset, ask.subscriber, ask.purpose)
    if grant is None:
        return Withheld(ask.subscriber, ask.ask, dataset_id, WithheldReason.NO_GRANT)
    if grant.state == "suspended":
        return Withheld(ask.subscriber, ask.ask, dataset_id, WithheldReason.GRANT_SUSPENDED)
    if grant.state == "ended":
        return Withheld(ask.subscriber, ask.ask, dataset_id, WithheldReason.GRANT_ENDED)
    return _view(ask, asked, dataset, until=min(ask.until, grant.until), grant_rows=_condition(grant.rows))


def grant_for(dataset: Dataset, subscriber: str, purpose: str) -> Grant | None:
    """Return the grant that answers an ask for *purpose*; `check` refuses two grants for one subscriber and purpose."""
    return next((g for g in dataset.grants if (g.to, g.purpose) == (subscriber, purpose)), None)


def _view(ask: Ask, asked: AskedDataset, dataset: Dataset, *, until: date, grant_rows: Condition | None) -> ShareView:
    masks: dict[str, Mask] = {path: parse_mask(mask) for path, mask in asked.fields.items()}
    order = {path: position for position, path in enumerate(dataset.fields)}
    shown = sorted((path for path, mask in masks.items() if mask != Drop()), key=lambda path: order[path])
    return ShareView(
        subscriber=ask.subscriber,
        ask=ask.ask,
        dataset=dataset.id,
        purpose=ask.purpose,
        fields=tuple((path, masks[path]) for path in shown),
        key=dataset.key,
        grant_rows=grant_rows,
        ask_rows=_condition(asked.rows),
        until=until,
    )


def _condition(rows: dict[str, object] | None) -> Condition | None:
    return None if rows is None else parse_condition(rows)
