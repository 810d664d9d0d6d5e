"""Ask and grant meet here: the share views of a catalogue, and the asks that get nothing, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date

from govbus.catalogue.golden import GOLDEN, authorities, golden_datasets
from govbus.catalogue.model import Ask, AskedDataset, Catalogue, Dataset, Grant
from govbus.rules.condition import Condition, parse_condition
from govbus.rules.mask import Drop, Mask, parse_mask
from govbus.rules.share import ShareView, Withheld, WithheldReason


def share_views(catalogue: Catalogue) -> Iterator[ShareView | Withheld]:
    """Yield, for every dataset of every ask, its view or why there is none; ordered by ask, then dataset.

    The catalogue must have passed `govbus.catalogue.check`: what that refuses is not looked for again. Dates are not
    compared with a clock here: a view carries its `until`, and whoever evaluates it brings the time.
    """
    golden: dict[str, Dataset] | None = None
    for ask_id in sorted(catalogue.asks):
        ask = catalogue.asks[ask_id]
        for dataset_id in sorted(ask.datasets):
            if dataset_id.startswith(f"{GOLDEN}."):
                golden = golden_datasets(catalogue) if golden is None else golden
                yield _golden(ask, ask.datasets[dataset_id], catalogue, golden.get(dataset_id), dataset_id)
            else:
                yield _decide(ask, ask.datasets[dataset_id], catalogue.datasets.get(dataset_id), dataset_id)


def _decide(ask: Ask, asked: AskedDataset, dataset: Dataset | None, dataset_id: str) -> ShareView | Withheld:
    found = _grant(ask, dataset)
    if isinstance(found, WithheldReason) or dataset is None:
        reason = found if isinstance(found, WithheldReason) else WithheldReason.NO_GRANT
        return Withheld(ask.subscriber, ask.ask, dataset_id, reason)
    grant_rows = None if found is None else _condition(found.rows)
    return _view(ask, asked, dataset, until=_earliest(ask, [found]), grant_rows=grant_rows)


def _golden(
    ask: Ask, asked: AskedDataset, catalogue: Catalogue, dataset: Dataset | None, dataset_id: str
) -> ShareView | Withheld:
    """Decide on a golden view: every department that is the source of something asked must have granted it."""
    grants: dict[str, Grant | None] = {}
    for source in [] if dataset is None else golden_sources(catalogue, dataset, asked):
        found = _grant(ask, catalogue.datasets[source])
        if isinstance(found, WithheldReason):
            return Withheld(ask.subscriber, ask.ask, dataset_id, found)
        grants[source] = found
    if dataset is None or not grants:
        return Withheld(ask.subscriber, ask.ask, dataset_id, WithheldReason.NO_GRANT)
    rows = {source: _condition(grant.rows) for source, grant in grants.items() if grant is not None}
    view = _view(ask, asked, dataset, until=_earliest(ask, grants.values()), grant_rows=None)
    return replace(view, source_rows=tuple((source, each) for source, each in rows.items() if each is not None))


def golden_sources(catalogue: Catalogue, dataset: Dataset, asked: AskedDataset) -> list[str]:
    """Return the ids of the datasets that are the source of something *asked* of the golden *dataset*, in order."""
    shown = {path.partition(".")[0] for path, mask in asked.fields.items() if parse_mask(mask) != Drop()}
    sources = authorities(catalogue, dataset.dataset)
    return sorted({each.dataset for name in shown & sources.keys() for each in sources[name]})


def _grant(ask: Ask, dataset: Dataset | None) -> Grant | WithheldReason | None:
    """Return the grant that answers *ask*, None where the dataset needs none, or why nothing leaves."""
    if dataset is None or dataset.share == "not_shared":
        return WithheldReason.NO_GRANT
    if dataset.share == "unconditional":
        return None
    grant = grant_for(dataset, ask.subscriber, ask.purpose)
    if grant is None:
        return WithheldReason.NO_GRANT
    match grant.state:
        case "suspended":
            return WithheldReason.GRANT_SUSPENDED
        case "ended":
            return WithheldReason.GRANT_ENDED
    return grant


def _earliest(ask: Ask, grants: Iterable[Grant | None]) -> date:
    return min([ask.until, *(grant.until for grant in grants if grant is not None)])


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
