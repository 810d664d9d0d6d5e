"""`govbus check`: a city's declarations become a Catalogue, or the list of everything that is wrong with them."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from govbus.catalogue.check_asks import ask_faults, ask_warnings
from govbus.catalogue.check_city import city_faults
from govbus.catalogue.check_datasets import dataset_faults
from govbus.catalogue.check_elements import element_faults
from govbus.catalogue.check_golden import GoldenDraft, golden_drafts, golden_faults, golden_warnings
from govbus.catalogue.check_grants import grant_faults
from govbus.catalogue.draft import Draft, drafted
from govbus.catalogue.model import Catalogue
from govbus.catalogue.reader import read
from govbus.catalogue.suggest import Suggestion, suggestions
from govbus.errors import DeclarationError, Fault


@dataclass(frozen=True)
class Checked:
    """The verdict on a city's declarations: a catalogue where there is no fault, and what deserves attention.

    `suggestions` where they were asked for: fields that look like one fact and are not compared.
    """

    catalogue: Catalogue | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    suggestions: tuple[Suggestion, ...] = ()


def check(city_dir: Path, today: date, *, suggest: bool = False) -> Checked:
    """Return the verdict on the declarations under *city_dir* as of *today* (in China Standard Time).

    Every fault of every file is listed, sorted by file and line. Asks that deliver nothing, or soon will not, are
    warnings. Never raises for anything that stands in a file.
    """
    faults: list[Fault] = []
    with _without_collector():
        draft = drafted(read(city_dir, faults), faults)
        of_elements = list(element_faults(draft))
        golden = None if of_elements else golden_drafts(draft)
        faults.extend(of_elements)
        faults.extend(_across(draft, golden))
        warnings = sorted(_warnings(draft, golden, today))
        catalogue = None if faults or draft.city is None else draft.catalogue()
        suggested = suggestions(draft) if suggest and catalogue is not None else ()
    return Checked(catalogue, tuple(sorted(set(faults))), tuple(warnings), suggested)


def load(city_dir: Path) -> Catalogue:
    """Return the catalogue declared under *city_dir*. Raises `DeclarationError` with every fault there is."""
    checked = check(city_dir, date.min)
    if checked.catalogue is None:
        raise DeclarationError(checked.faults)
    return checked.catalogue


def _across(draft: Draft, golden: Mapping[str, GoldenDraft] | None) -> Iterator[Fault]:
    yield from city_faults(draft)
    for dataset in draft.datasets.values():
        yield from dataset_faults(draft, dataset)
        yield from grant_faults(draft, dataset)
    for ask in draft.asks.values():
        yield from ask_faults(draft, ask)
        yield from golden_faults(draft, golden, ask)


def _warnings(draft: Draft, golden: Mapping[str, GoldenDraft] | None, today: date) -> Iterator[Fault]:
    for ask in draft.asks.values():
        yield from ask_warnings(draft, ask, today)
        yield from golden_warnings(draft, golden, ask, today)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep the cycle collector still: it would walk a growing heap of plain data over and over and free nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
