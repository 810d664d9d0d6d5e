"""The copies of an element agree wherever the ledger names no fault, and the declared comparators see that they do."""

from __future__ import annotations

from typing import Any

import pytest
from city_files import Row, Written, first_faults, rows
from stack_fixture import REPOSITORY

from govbus.catalogue.check import load
from govbus.catalogue.golden import Binding, authorities, bindings
from govbus.catalogue.model import Catalogue
from govbus.ops.city.places import RETIRED_DIVISIONS
from govbus.rules.comparators import comparator
from govbus.rules.comparison import Result
from govbus.rules.formats import FORMATS

CATALOGUE = load(REPOSITORY)
COPIES = [
    each for entity in CATALOGUE.vocabulary.entities for each in bindings(CATALOGUE, entity) if not each.authority
]


def source_of(copy: Binding) -> Binding:
    entity, _, name = copy.element.partition(".")
    (source,) = authorities(CATALOGUE, entity)[name]
    return source


def subject(bound: Binding, row: Row) -> str | None:
    """Return the identifier of what *row* is about, None where it is about nothing of that kind."""
    form = CATALOGUE.vocabulary.entities[bound.element.partition(".")[0]].format
    try:
        return FORMATS[form].canonical(row[CATALOGUE.datasets[bound.dataset].subject] or "")
    except ValueError:
        return None


def said(catalogue: Catalogue, bound: Binding, row: Row) -> Any:
    """Return the bound value of *row* in the codes of its element."""
    codes = catalogue.datasets[bound.dataset].fields[bound.path].codes
    wanted = catalogue.vocabulary.elements[bound.element].codes
    value = row[bound.path]
    return value if codes == wanted or codes is None else catalogue.vocabulary.code_maps[codes].codes.get(value)


@pytest.mark.parametrize("copy", COPIES, ids=lambda each: f"{each.dataset}.{each.path}")
def test_copies_agree_with_their_source(city: Written, copy: Binding) -> None:
    """No copy differs from its source unless the ledger has a fault in one of the two rows; most are the same."""
    source = source_of(copy)
    faulty = {(line["dataset"], line["key"][0]) for line in first_faults(city.path) if line["holds"] != "right"}
    values = {subject(source, row): said(CATALOGUE, source, row) for row in rows(city.path, source.dataset, raw=True)}
    compare = comparator(CATALOGUE.vocabulary.elements[copy.element].comparator)
    alike = unexplained = 0
    for row in rows(city.path, copy.dataset, raw=True):
        about = subject(copy, row)
        if about is None or about not in values:
            continue
        result = compare(values[about], said(CATALOGUE, copy, row)).result
        alike += result in (Result.EQUAL, Result.COMPATIBLE)
        if result in (Result.DIFFERENT, Result.INVALID_A, Result.INVALID_B, Result.INDETERMINATE):
            unexplained += (copy.dataset, about) not in faulty and (source.dataset, about) not in faulty
    assert alike > 20
    assert unexplained == 0


def test_five_elements_of_people_are_compared_over_four_registers() -> None:
    """The reference city compares what the reference load compares, and more."""
    of_people = [each for each in COPIES if each.element.startswith("citizen.")]

    assert len({each.element for each in of_people}) >= 5
    assert len({each.dataset for each in of_people} | {source_of(each).dataset for each in of_people}) >= 4


def test_the_citys_retired_divisions_are_declared() -> None:
    """The comparator of divisions knows which division of this city took a retired one's place."""
    declared = CATALOGUE.vocabulary.elements["citizen.household_division"].comparator
    assert isinstance(declared, dict)
    assert declared["division_prefix"]["successors"] == RETIRED_DIVISIONS
