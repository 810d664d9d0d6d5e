"""Who may hear that a report differs from its source, and how much of it. Pure.

"It differs" can be the value itself: of an element with two values, or few, it tells the other side's. So a party hears
of a discrepancy only if its clearance covers the element, or the element has more than `FEW_VALUES` values; the source
always does, because only it can put its own record right. Nobody is told the other side's value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from govbus.catalogue.avro_fields import avro_fields
from govbus.catalogue.golden import Binding, bindings, golden_datasets
from govbus.catalogue.model import GRADES, Catalogue, Grade

FEW_VALUES = 16
"""Of an element with so many values or fewer, hearing that one's own is wrong says much about the right one."""


class Side(StrEnum):
    """What a department is to a discrepancy."""

    SOURCE = "source"
    REPORTER = "reporter"
    BOTH = "both"


class Silence(StrEnum):
    """Why a department does not hear of a discrepancy that concerns it."""

    NO_CLEARANCE = "no_clearance"
    FEW_VALUES = "few_values"


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a department hears of a discrepancy: that it exists, its own value, and no value of another department.

    `other`: whether it may know which dataset of another department is the other side, and the comparison's reason,
    which can tell more of the other value than that it differs. The source of an element is no secret; that some
    register reports on a person can be.
    """

    side: Side
    other: bool


class Disclosure:
    """The rule for one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._clearances: dict[str, Grade | None] = {}

    def hearing(self, department: str, element: str, source: str, reporter: str) -> Hearing | Silence | None:
        """Return what *department* hears of a discrepancy of *element* between two datasets.

        None where it is neither side. Closed: of an element that the catalogue does not know, only the source hears.
        """
        owns = [each.partition(".")[0] == department for each in (source, reporter)]
        if not any(owns):
            return None
        if all(owns):
            return Hearing(Side.BOTH, other=True)
        clearance, grade = self.clearance(department), self._grades.get(element)
        covered = clearance is not None and grade is not None and GRADES.index(grade) <= GRADES.index(clearance)
        if owns[0]:
            return Hearing(Side.SOURCE, other=covered)
        if clearance is None:
            return Silence.NO_CLEARANCE
        if not covered and self.few_values(element):
            return Silence.FEW_VALUES
        return Hearing(Side.REPORTER, other=covered)

    def clearance(self, department: str) -> Grade | None:
        """Return the highest grade that *department* may receive; None where it is no subscriber."""
        declared = self._catalogue.departments.get(department)
        if declared is None:
            return None
        # One body is one code: folders of producers and of consumers may be named differently.
        found = [each.clearance for each in self._catalogue.subscribers.values() if each.code == declared.code]
        return min(found, key=GRADES.index) if found else None

    def few_values(self, element: str) -> bool:
        """Return whether *element* can have `FEW_VALUES` values or fewer; True where that cannot be told."""
        declared = self._catalogue.vocabulary.elements.get(element)
        if declared is None:
            return True
        bound = [each for each in bindings(self._catalogue, element.partition(".")[0]) if each.element == element]
        numbers = [number for each in bound for number in self._numbers(each)]
        if declared.codes is not None:
            numbers.append(len(self._catalogue.vocabulary.code_lists.get(declared.codes, ())))
        if numbers:
            return min(numbers) <= FEW_VALUES
        # A code without a list has many values where its format says so: a division, a house.
        formats = [self._catalogue.datasets[each.dataset].fields[each.path].format for each in bound]
        return declared.type == "boolean" or (declared.type == "code" and not any(formats))

    def _numbers(self, bound: Binding) -> Iterator[int]:
        """Yield how many values a bound field can have, by each thing that limits them."""
        dataset = self._catalogue.datasets[bound.dataset]
        codes = dataset.fields[bound.path].codes
        if codes is not None:
            yield len(self._catalogue.vocabulary.code_lists.get(codes, ()))
        field = avro_fields(dataset.avro)[bound.path]
        if field.kind == "boolean":
            yield 2
        elif field.kind == "enum":
            yield len(field.symbols)

    @cached_property
    def _grades(self) -> dict[str, Grade]:
        """Per element its grade: the highest that any dataset gives it."""
        return {
            f"{dataset.dataset}.{path}": entry.grade
            for dataset in golden_datasets(self._catalogue).values()
            for path, entry in dataset.fields.items()
            if path != dataset.subject and "." not in path
        }
