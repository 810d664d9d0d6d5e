"""Which planted faults of the reference city a structural check can see: what the ledger makes each rule find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from city_files import first_faults

POPULATION, PUPIL = "public_security.population", "education.student_enrolment"
DISABILITY = "disabled_federation.disability_certificate"

Line = dict[str, Any]


def _of_other_sex(line: Line) -> bool:
    """Whether the id written instead of a pupil's own is that of somebody of the other sex."""
    return bool(int(line["written"][16]) % 2 != int(line["right"][16]) % 2)


SEEN: dict[tuple[str, str], dict[str, Callable[[Line], bool]]] = {
    (POPULATION, "birth_date_of_id"): {"birth_date_differs": lambda _: True},
    (POPULATION, "sex_of_id"): {"sex_differs": lambda _: True},
    (PUPIL, "birth_date_of_id"): dict.fromkeys(
        ("birth_date_differs", "birth_date_lunar", "id_of_parent"), lambda _: True
    ),
    (PUPIL, "sex_of_id"): {"sex_differs": lambda _: True, "id_of_parent": _of_other_sex},
    (PUPIL, "student_no_of_id"): {"id_of_parent": lambda _: True},
    (DISABILITY, "certificate_grade"): {"certificate_grade_differs": lambda _: True},
}
"""By dataset and rule the kinds of planted faults that the rule sees, and of which it sees which."""


def planted(city: Path, dataset: str) -> dict[str, set[tuple[str, ...]]]:
    """Return by rule the keys of the faults of the ledger that the rule can see."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for (of_dataset, rule), kinds in SEEN.items():
        for line in first_faults(city):
            sees = kinds.get(line["kind"])
            if line["dataset"] == of_dataset == dataset and sees is not None and sees(line):
                found.setdefault(rule, set()).add(tuple(line["key"]))
    return found
