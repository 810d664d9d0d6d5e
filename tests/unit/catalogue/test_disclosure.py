"""Who may hear of a discrepancy: the clearance, the number of values, and which side one is on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from unit.catalogue.elements_city import CITIZENS, PUPIL, replaced
from unit.catalogue.small_city import write_city

from govbus.catalogue.check import load
from govbus.catalogue.disclosure import FEW_VALUES, Disclosure, Hearing, Side, Silence
from govbus.catalogue.model import Catalogue

PERSON, PUPILS = "police.person", "school.pupil"


def disclosure(folder: Path, changes: Mapping[str, str] | None = None) -> Disclosure:
    return Disclosure(load(write_city(folder, {**CITIZENS, **(changes or {})})))


def catalogue_of(folder: Path) -> Catalogue:
    return load(write_city(folder, CITIZENS))


def below(catalogue: Catalogue) -> Disclosure:
    """The same city, whose school is cleared for less than any element."""
    school = catalogue.subscribers["school"].model_copy(update={"clearance": "L1"})
    return Disclosure(catalogue.model_copy(update={"subscribers": {"school": school}}))


@pytest.mark.parametrize("element", ["citizen.name", "citizen.sex", "citizen.born"])
def test_cleared_reporter_hears_all_there_is_to_hear(tmp_path: Path, element: str) -> None:
    """A reporter whose clearance covers the element hears of it, whose source it is, and why it differs."""
    found = disclosure(tmp_path).hearing("school", element, PERSON, PUPILS)
    assert found == Hearing(Side.REPORTER, other=True)


def test_uncleared_reporter_hears_of_many_valued_elements_alone(tmp_path: Path) -> None:
    """Without the clearance, "it differs" is told of a name or a date, and not of a sex: there it is the value."""
    rule = below(catalogue_of(tmp_path))
    assert rule.hearing("school", "citizen.name", PERSON, PUPILS) == Hearing(Side.REPORTER, other=False)
    assert rule.hearing("school", "citizen.born", PERSON, PUPILS) == Hearing(Side.REPORTER, other=False)
    assert rule.hearing("school", "citizen.sex", PERSON, PUPILS) is Silence.FEW_VALUES


def test_reporter_that_is_no_subscriber_hears_nothing(tmp_path: Path) -> None:
    """Who may receive nothing hears nothing, however many values the element has."""
    rule = disclosure(tmp_path)
    assert rule.clearance("police") is None
    for element in ("citizen.name", "citizen.sex"):
        assert rule.hearing("police", element, PUPILS, PERSON) is Silence.NO_CLEARANCE


def test_source_always_hears(tmp_path: Path) -> None:
    """Only the source can put its record right, so it hears; who says otherwise it knows with the clearance alone."""
    catalogue = catalogue_of(tmp_path)
    assert Disclosure(catalogue).hearing("police", "citizen.sex", PERSON, PUPILS) == Hearing(Side.SOURCE, other=False)
    for rule, other in ((Disclosure(catalogue), True), (below(catalogue), False)):
        assert rule.hearing("school", "citizen.school", PUPILS, PERSON) == Hearing(Side.SOURCE, other=other)


def test_department_on_both_sides_hears_all(tmp_path: Path) -> None:
    """Both values are its own."""
    found = disclosure(tmp_path).hearing("police", "citizen.sex", PERSON, "police.passport")
    assert found == Hearing(Side.BOTH, other=True)


def test_third_party_hears_nothing(tmp_path: Path) -> None:
    """A discrepancy between two others is nobody's business; a name that only begins alike is another's."""
    rule = disclosure(tmp_path)
    assert rule.hearing("weather", "citizen.name", PERSON, PUPILS) is None
    assert rule.hearing("pol", "citizen.name", PERSON, PUPILS) is None


def test_clearance_is_that_of_the_body_not_of_the_name(tmp_path: Path) -> None:
    """A subscriber's folder of the same name and another code is another body."""
    catalogue = catalogue_of(tmp_path)
    other = catalogue.subscribers["school"].model_copy(update={"code": "118900000089041507"})
    rule = Disclosure(catalogue.model_copy(update={"subscribers": {"school": other}}))
    assert rule.clearance("school") is None
    assert rule.hearing("school", "citizen.name", PERSON, PUPILS) is Silence.NO_CLEARANCE


def test_element_is_as_high_as_its_highest_report(tmp_path: Path) -> None:
    """One register that grades the fact higher raises what is needed to hear of it."""
    higher = {PUPIL: replaced(CITIZENS[PUPIL], ("gender: {title: 性别, grade: L3", "gender: {title: 性别, grade: L4"))}
    rule = disclosure(tmp_path, higher)
    assert rule.hearing("school", "citizen.sex", PERSON, PUPILS) is Silence.FEW_VALUES


def test_element_that_is_gone_is_told_to_its_source_alone(tmp_path: Path) -> None:
    """Of an element that the catalogue does not have any more, nothing is known that would allow to tell."""
    rule = below(catalogue_of(tmp_path))
    assert rule.hearing("school", "citizen.gone", PERSON, PUPILS) is Silence.FEW_VALUES
    assert rule.hearing("school", "citizen.gone", PUPILS, PERSON) == Hearing(Side.SOURCE, other=False)


@pytest.mark.parametrize(("values", "few"), [(FEW_VALUES, True), (FEW_VALUES + 1, False)])
def test_few_is_up_to_sixteen(tmp_path: Path, values: int, few: bool) -> None:
    """A code list counts as few values up to 16 entries, and not beyond."""
    catalogue = catalogue_of(tmp_path)
    codes = {str(number): f"第{number}种" for number in range(values)}
    lists = {**catalogue.vocabulary.code_lists, "sex": codes, "gender": codes}
    vocabulary = catalogue.vocabulary.model_copy(update={"code_lists": lists})
    datasets = {**catalogue.datasets}
    pupil = datasets[PUPILS]
    avro = {**pupil.avro, "fields": [dict(field) for field in pupil.avro["fields"]]}
    next(field for field in avro["fields"] if field["name"] == "gender")["type"] = "string"
    datasets[PUPILS] = pupil.model_copy(update={"avro": avro})
    rule = Disclosure(catalogue.model_copy(update={"vocabulary": vocabulary, "datasets": datasets}))
    assert rule.few_values("citizen.sex") is few


@pytest.mark.parametrize(
    ("kind", "codes", "few"),
    [("boolean", None, True), ("code", None, True), ("text", None, False), ("number", None, False)],
)
def test_few_follows_from_the_type_where_no_list_tells(tmp_path: Path, kind: str, codes: str | None, few: bool) -> None:
    """A yes or no has few values, and so has a code of which nobody says how many; texts and numbers have many."""
    catalogue = catalogue_of(tmp_path)
    element = catalogue.vocabulary.elements["citizen.school"].model_copy(update={"type": kind, "codes": codes})
    elements = {**catalogue.vocabulary.elements, "citizen.school": element}
    vocabulary = catalogue.vocabulary.model_copy(update={"elements": elements})
    assert Disclosure(catalogue.model_copy(update={"vocabulary": vocabulary})).few_values("citizen.school") is few
