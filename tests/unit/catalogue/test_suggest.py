"""`govbus check --suggest` finds copies of one fact that are not compared, and never calls one a fault."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner
from unit.catalogue.elements_city import CITIZENS, GOLDEN_ASK, PUPIL, replaced
from unit.catalogue.small_city import ELEMENTS, FILES, PERSON, TODAY, write_city

from govbus.catalogue.check import Checked, check
from govbus.catalogue.check_elements import SUITED_KINDS
from govbus.catalogue.suggest import COMPARATOR_OF, Suggestion
from govbus.cli import app
from govbus.rules.comparators import COMPARATORS

NAME = "姓名, grade: L3, element: citizen.name}"
UNBOUND = {**CITIZENS, PUPIL: replaced(CITIZENS[PUPIL], (NAME, "姓名, grade: L3}"))}


def checked(folder: Path, files: Mapping[str, str | None]) -> Checked:
    found = check(write_city(folder, files), TODAY, suggest=True)
    assert found.faults == ()
    return found


def followed(folder: Path, suggestion: Suggestion) -> None:
    """Add to the city under *folder* what *suggestion* says."""
    for file, part, entry in suggestion.add:
        declared: dict[str, Any] = yaml.safe_load((folder / file).read_text(encoding="utf-8"))
        of_file = declared.setdefault(part, {})
        for name, more in entry.items():
            of_file[name] = {**of_file.get(name, {}), **more}
        (folder / file).write_text(yaml.safe_dump(declared, allow_unicode=True, sort_keys=False), encoding="utf-8")


def test_a_copy_of_a_declared_element_is_suggested_until_it_is_bound(tmp_path: Path) -> None:
    """A field that is called, titled and typed as one that tells an element: the line to add, and it is quiet."""
    (suggestion,) = checked(tmp_path, UNBOUND).suggestions

    assert (suggestion.element, suggestion.is_declared) == ("citizen.name", True)
    assert suggestion.add == ((PUPIL, "fields", {"name": {"element": "citizen.name"}}),)
    (field,) = suggestion.fields
    assert (field.document.file, field.name) == (PUPIL, "school.pupil name")
    assert "姓名" in UNBOUND[PUPIL].splitlines()[field.line - 1]
    followed(tmp_path, suggestion)
    assert check(tmp_path, TODAY, suggest=True).suggestions == ()


def test_two_fields_of_no_element_make_one(tmp_path: Path) -> None:
    """Fields alike that nobody bound: the element to declare; with a source marked, the city is in order."""
    pupil = replaced(CITIZENS[PUPIL], ("grade_no: {title: 年级", "grade_no: {title: 册号"))
    pupil = replaced(pupil, ("element: citizen.born", "unit: 日"))
    files = {**CITIZENS, PUPIL: pupil}

    found = checked(tmp_path, files).suggestions

    assert [(each.element, each.is_declared) for each in found] == [("citizen.born", True), ("citizen.grade_no", False)]
    grade = found[1]
    assert [field.name for field in grade.fields] == ["police.person register_no", "school.pupil grade_no"]
    followed(tmp_path, grade)
    path = tmp_path / PUPIL
    text = path.read_text(encoding="utf-8")
    path.write_text(replaced(text, ("element: citizen.grade_no", "element: citizen.grade_no\n    authoritative: true")))
    assert check(tmp_path, TODAY, suggest=True).faults == ()
    assert [each.element for each in check(tmp_path, TODAY, suggest=True).suggestions] == ["citizen.born"]


def test_an_entity_that_is_not_declared_is_suggested_too(tmp_path: Path) -> None:
    """In a city without elements the suggestion begins with the entity, its identifier and its form."""
    elements = CITIZENS[ELEMENTS][: CITIZENS[ELEMENTS].index("code_maps:")]
    person = FILES[PERSON].replace(", element: citizen.name, authoritative: true", "")
    pupil = CITIZENS[PUPIL].replace(", authoritative: true", "").replace("    standing: [school]\n", "")
    for name in ("name", "sex", "born", "school"):
        pupil = pupil.replace(f", element: citizen.{name}", "")
    files = {**CITIZENS, ELEMENTS: elements, PERSON: person, PUPIL: pupil, GOLDEN_ASK: None}

    found = checked(tmp_path, files).suggestions

    assert [each.element for each in found] == ["citizen.name"]
    assert found[0].add[0] == (
        ELEMENTS,
        "entities",
        {"citizen": {"title": "citizen", "id": "citizen_id", "format": "citizen_id"}},
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  name: {title: 姓名, grade: L3}", "  name: {title: 姓名, grade: L3, codes: sex}"),
        ("  name: {title: 姓名, grade: L3}", "  name: {title: 姓名, grade: L3, format: division}"),
        ("entity: citizen", "entity: pupil"),
    ],
)
def test_what_differs_in_codes_format_or_entity_is_not_alike(tmp_path: Path, old: str, new: str) -> None:
    """The same name is not enough: other codes, another format or another entity are another fact."""
    pupil = UNBOUND[PUPIL].replace(", authoritative: true", "").replace("    standing: [school]\n", "")
    for name in ("sex", "born", "school"):
        pupil = pupil.replace(f", element: citizen.{name}", "")
    lines = [line for line in CITIZENS[ELEMENTS].splitlines(keepends=True) if "citizen.school" not in line]
    sample = replaced(
        CITIZENS["schemas/school/pupil.usual.pass.json"], ('"欧阳建国"', '"1"' if "codes" in new else '"890301"')
    )
    files = {
        **CITIZENS,
        ELEMENTS: "".join(lines),
        PUPIL: replaced(pupil, (old, new)),
        "schemas/school/pupil.usual.pass.json": sample,
        GOLDEN_ASK: None,
    }

    found = checked(tmp_path, files).suggestions

    assert not [each for each in found if each.element == "citizen.name"]


def test_nothing_is_suggested_unasked_or_in_a_city_with_faults(tmp_path: Path) -> None:
    """Without the option, and before the faults are mended, there is nothing to choose from."""
    assert check(write_city(tmp_path / "plain", UNBOUND), TODAY).suggestions == ()
    faulty = {**UNBOUND, ELEMENTS: CITIZENS[ELEMENTS].replace("  sex: {", "  sexes: {")}
    assert check(write_city(tmp_path / "faulty", faulty), TODAY, suggest=True).suggestions == ()


def test_suggestions_are_printed_and_the_command_succeeds(tmp_path: Path) -> None:
    """`govbus check --suggest` prints fields and lines, and exits with 0: a guess is no fault."""
    write_city(tmp_path, UNBOUND)

    done = CliRunner().invoke(app, ["--city", str(tmp_path), "check", "--suggest"])

    assert done.exit_code == 0
    assert "school.pupil name (producers/school/pupil.yaml:14) looks like citizen.name" in done.output
    assert f"{PUPIL}, fields: name: {{element: citizen.name}}" in done.output


@pytest.mark.parametrize("type_", sorted(SUITED_KINDS))
def test_a_suggested_comparator_compares_the_suggested_type(type_: str) -> None:
    """Every suggested element would pass the check."""
    assert type_ in COMPARATORS[COMPARATOR_OF.get(type_, "exact")].takes
