"""Each refusal has its own code, stands on the right line of the right file, and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.catalogue.refusal import Refusal
from unit.catalogue.refusals_checks import CHECK_REFUSALS
from unit.catalogue.refusals_city import CITY_REFUSALS
from unit.catalogue.refusals_datasets import DATASET_REFUSALS
from unit.catalogue.refusals_elements import ELEMENT_REFUSALS
from unit.catalogue.refusals_files import FILE_REFUSALS
from unit.catalogue.refusals_sharing import SHARING_REFUSALS
from unit.catalogue.refusals_words import WORD_REFUSALS
from unit.catalogue.small_city import TODAY, write_city

from govbus.catalogue.check import check
from govbus.catalogue.faults import FaultCode

REFUSALS = [
    *FILE_REFUSALS,
    *WORD_REFUSALS,
    *DATASET_REFUSALS,
    *CHECK_REFUSALS,
    *SHARING_REFUSALS,
    *CITY_REFUSALS,
    *ELEMENT_REFUSALS,
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_each_refusal_names_its_fault_and_nothing_else(refusal: Refusal, tmp_path: Path) -> None:
    """A city with one thing wrong gets one fault: its code, its file and line, and what is wrong in words."""
    checked = check(write_city(tmp_path, refusal.files), TODAY)

    assert checked.catalogue is None
    assert [(fault.code, fault.file) for fault in checked.faults] == [(refusal.code, refusal.file)], checked.faults
    (fault,) = checked.faults
    assert refusal.says in fault.message, fault
    assert refusal.is_on(fault.line), fault


def test_every_fault_has_a_sample() -> None:
    """No code stands in the table without a sample that gets it (a change needs two cities: test_plan.py)."""
    of_changes = {FaultCode.INCOMPATIBLE_SCHEMA, FaultCode.FIXED_ONCE_APPLIED}
    assert {refusal.code for refusal in REFUSALS} == set(FaultCode) - of_changes


def test_samples_have_names_of_their_own() -> None:
    """A sample is found by its name."""
    names = [refusal.name for refusal in REFUSALS]
    assert len(names) == len(set(names))
