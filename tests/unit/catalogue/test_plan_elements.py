"""The plan says who becomes the source of what, what is compared with it and how, and what golden views hold."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console
from unit.catalogue.elements_city import CITIZENS, GOLDEN_ASK, PUPIL, SPLIT_PERSON, SPLIT_PUPIL, replaced
from unit.catalogue.small_city import ELEMENTS, PERSON, TODAY, write_city

from govbus.catalogue.change import Change
from govbus.catalogue.check import load
from govbus.catalogue.model import Catalogue
from govbus.catalogue.plan import Plan, plan
from govbus.catalogue.plan_elements import AuthorityChange, ElementChange, GoldenChange, ReportChange
from govbus.catalogue.plan_views import RowChange
from govbus.ops.declarations_console import show_plan

UNASKED = {**CITIZENS, GOLDEN_ASK: None}
VIEW = "school.golden/golden.citizen"


def city(folder: Path, files: Mapping[str, str | None]) -> Catalogue:
    return load(write_city(folder, files))


@pytest.fixture
def applied(tmp_path: Path) -> Catalogue:
    return city(tmp_path / "applied", UNASKED)


def planned(tmp_path: Path, applied: Catalogue, files: Mapping[str, str | None]) -> Plan:
    return plan(applied, city(tmp_path / "wanted", {**UNASKED, **files}), today=TODAY)


def lines(found: Plan) -> list[str]:
    """Return what `govbus plan` prints of it."""
    out = io.StringIO()
    show_plan(found, None, Console(file=out, width=400))
    return out.getvalue().splitlines()


def test_the_same_elements_are_no_difference(tmp_path: Path, applied: Catalogue) -> None:
    """Applying a city with elements twice changes nothing."""
    assert planned(tmp_path, applied, {}).is_empty


def test_a_first_plan_names_elements_sources_and_golden_views(applied: Catalogue) -> None:
    """Everything is new: each element, its source, who is compared with it, and the golden view of it all."""
    found = plan(None, applied, today=TODAY)

    assert found.elements == tuple(
        ElementChange(f"citizen.{name}", "new") for name in ("born", "name", "school", "sex")
    )
    assert AuthorityChange("citizen.name", (), ("police.person name",)) in found.authorities
    assert ReportChange("citizen.sex", ("school.pupil gender",), ()) in found.reports
    assert found.golden == (GoldenChange("golden.citizen", "new", gained=("name", "sex", "born", "school")),)
    assert "golden.citizen-value" in found.subjects
    assert "+ 一数一源: authority over citizen.name lies with police.person name" in lines(found)
    assert "+ citizen.sex is compared with school.pupil gender too" in lines(found)
    assert "+ golden.citizen is kept from now on: name, sex, born, school" in lines(found)
    json.dumps(found.as_json())


def moved() -> dict[str, str | None]:
    """Return the files of the city whose school is the source of names."""
    person = replaced(
        CITIZENS[PERSON],
        ("姓名, grade: L3, element: citizen.name, authoritative: true", "姓名, grade: L3, element: citizen.name"),
        ("    standing: [name, sex]\n", "    standing: [sex]\n"),
    )
    pupil = replaced(CITIZENS[PUPIL], ("citizen.name", "citizen.name, authoritative: true"))
    return {PERSON: person, PUPIL: pupil}


def test_an_authority_that_moves_is_named(tmp_path: Path, applied: Catalogue) -> None:
    """An element that gets another source: from whom, and to whom; nothing of the golden view's shape changes."""
    found = planned(tmp_path, applied, moved())

    assert found.authorities == (AuthorityChange("citizen.name", ("police.person name",), ("school.pupil name",)),)
    assert found.golden == ()
    assert "~ 一数一源: authority over citizen.name goes from police.person name to school.pupil name" in lines(found)


def test_an_authority_that_is_split_is_named_with_its_divisions(tmp_path: Path, applied: Catalogue) -> None:
    """Each part stands with the field and the prefixes that it goes by."""
    found = planned(tmp_path, applied, {PERSON: SPLIT_PERSON, PUPIL: SPLIT_PUPIL})

    assert found.authorities == (
        AuthorityChange(
            "citizen.name",
            ("police.person name",),
            ("police.person name (address.division 8901, 8902)", "school.pupil name (division 8903)"),
        ),
    )


def test_another_comparator_is_shown_with_both(applied: Catalogue) -> None:
    """A changed comparator decides anew what differs, so it is named, like a changed severity."""
    words = applied.vocabulary
    name = words.elements["citizen.name"].model_copy(
        update={"comparator": {"name_zh": {"nulls": []}}, "severity": "minor"}
    )
    changed = words.model_copy(update={"elements": {**words.elements, "citizen.name": name}})

    found = plan(applied, applied.model_copy(update={"vocabulary": changed}), today=TODAY)

    (element,) = found.elements
    assert (element.element, element.kind) == ("citizen.name", "changed")
    assert element.changes == (
        ("comparator", Change("name_zh", {"name_zh": {"nulls": []}})),
        ("severity", Change("major", "minor")),
    )
    assert "~ element citizen.name comparator: name_zh becomes {name_zh: {nulls: []}}" in lines(found)
    assert not found.is_empty
    assert found.other == ()


def test_a_copy_that_is_no_longer_compared_is_named(tmp_path: Path, applied: Catalogue) -> None:
    """A field that is unbound is lost to the comparison, and its dataset is listed as changed."""
    found = planned(tmp_path, applied, {PUPIL: replaced(CITIZENS[PUPIL], (", element: citizen.name", ""))})

    assert found.reports == (ReportChange("citizen.name", (), ("school.pupil name",)),)
    assert "- citizen.name is no longer compared with school.pupil name" in lines(found)
    assert found.other == ("dataset school.pupil: fields",)


def test_an_element_that_goes_leaves_the_golden_view(tmp_path: Path, applied: Catalogue) -> None:
    """Element, source and part of the golden view are lost together, and the golden schema is registered anew."""
    line = next(line for line in CITIZENS[ELEMENTS].splitlines(keepends=True) if "citizen.school" in line)
    pupil = replaced(
        CITIZENS[PUPIL], (", element: citizen.school, authoritative: true", ""), ("    standing: [school]\n", "")
    )

    found = planned(tmp_path, applied, {ELEMENTS: replaced(CITIZENS[ELEMENTS], (line, "")), PUPIL: pupil})

    assert found.elements == (ElementChange("citizen.school", "gone"),)
    assert found.authorities == (AuthorityChange("citizen.school", ("school.pupil school",), ()),)
    assert found.golden == (GoldenChange("golden.citizen", "changed", lost=("school",)),)
    assert found.subjects == ("golden.citizen-value",)
    assert "- golden.citizen loses school" in lines(found)
    assert "- 一数一源: authority over citizen.school no longer lies with school.pupil school" in lines(found)


def test_a_source_of_another_type_changes_the_golden_view(tmp_path: Path, applied: Catalogue) -> None:
    """Sex as the school's enum instead of the police's text: the golden view has the element under another type."""
    person = replaced(
        CITIZENS[PERSON],
        ("element: citizen.sex, authoritative: true", "element: citizen.sex"),
        ("    standing: [name, sex]\n", "    standing: [name]\n"),
    )
    pupil = replaced(CITIZENS[PUPIL], ("citizen.sex", "citizen.sex, authoritative: true"))

    found = planned(tmp_path, applied, {PERSON: person, PUPIL: pupil})

    assert found.golden == (GoldenChange("golden.citizen", "changed", changed=("sex",)),)


def test_code_maps_and_entities_are_not_silent(tmp_path: Path, applied: Catalogue) -> None:
    """What else of elements.yaml changes is listed."""
    found = planned(tmp_path, applied, {ELEMENTS: CITIZENS[ELEMENTS].replace("title: 企业", "title: 市场主体")})

    assert found.other == ("entities or code maps (schemas/elements.yaml)",)


def test_a_new_golden_ask_shows_the_conditions_of_its_sources(tmp_path: Path, applied: Catalogue) -> None:
    """What a golden ask receives, and under which condition of which owner."""
    found = planned(tmp_path, applied, {GOLDEN_ASK: CITIZENS[GOLDEN_ASK]})

    (change,) = found.views
    assert (change.view, change.kind) == (VIEW, "new")
    assert ("born.value", {"generalise": "year"}) in change.gained
    assert ("school.pupil", RowChange(None, {"division": {"prefix": "8903"}}, "narrower")) in change.source_rows
    assert f"+ {VIEW} only rows where {{division: {{prefix: '8903'}}}} (grant of school.pupil)" in lines(found)


@pytest.mark.parametrize(
    ("rows", "moved_to"),
    [('{prefix: "890"}', "wider"), ('{prefix: "890301"}', "narrower"), ('{prefix: "8904"}', "different")],
)
def test_a_condition_of_a_source_that_changes_is_shown(tmp_path: Path, rows: str, moved_to: str) -> None:
    """An owner's changed condition says what becomes of the rows of the golden view."""
    applied = city(tmp_path / "applied", CITIZENS)
    pupil = replaced(CITIZENS[PUPIL], ('{prefix: "8903"}', rows))

    (change,) = plan(applied, city(tmp_path / "wanted", {**CITIZENS, PUPIL: pupil}), today=TODAY).views

    ((source, of),) = change.source_rows
    assert (change.view, source, of.rows) == (VIEW, "school.pupil", moved_to)


def test_a_source_that_joins_a_golden_view_brings_its_condition(tmp_path: Path) -> None:
    """An element more from another owner: gained, under that owner's condition."""
    more = CITIZENS[GOLDEN_ASK]
    less = replaced(more, ("      school.value: {mask: {first: 1}}\n      school.standing: pass\n", ""))
    applied = city(tmp_path / "applied", {**CITIZENS, GOLDEN_ASK: less})

    (change,) = plan(applied, city(tmp_path / "wanted", CITIZENS), today=TODAY).views

    assert [path for path, _ in change.gained] == ["school.value", "school.standing"]
    assert change.source_rows == (("school.pupil", RowChange(None, {"division": {"prefix": "8903"}}, "different")),)
    assert change.until == Change("2027-12-31", "2027-06-30")
