"""The golden view of an entity: a dataset made of its elements, shared through the grants of their sources."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import fastavro
import pytest
from unit.catalogue.elements_city import (
    CITIZENS,
    GOLDEN_ASK,
    PUPIL,
    PUPIL_SCHEMA,
    SPLIT_PERSON,
    SPLIT_PUPIL,
    replaced,
)
from unit.catalogue.small_city import ASK, ELEMENTS, FILES, PERSON, TODAY, WEATHER_ASK, write_city

from govbus.catalogue.check import check, load
from govbus.catalogue.faults import WarningCode
from govbus.catalogue.golden import authorities, dataset_of, elements_of, golden_datasets
from govbus.catalogue.model import Catalogue
from govbus.catalogue.views import share_views
from govbus.codec.schemas import record_schema
from govbus.codec.view_schema import view_schema
from govbus.rules.condition import All, Prefix
from govbus.rules.mask import GeneraliseDate, Keep, Pass
from govbus.rules.share import ShareView, Withheld, WithheldReason

GOLDEN = "golden.citizen"
VIEW = f"school.golden/{GOLDEN}"
PUPIL_GRANT = "    until: 2027-06-30\n"


def city(tmp_path: Path, files: Mapping[str, str | None] | None = None) -> Catalogue:
    return load(write_city(tmp_path, {**CITIZENS, **(files or {})}))


def view(catalogue: Catalogue) -> ShareView | Withheld:
    (found,) = [each for each in share_views(catalogue) if each.id == VIEW]
    return found


def test_a_golden_dataset_has_every_element_that_has_a_source(tmp_path: Path) -> None:
    """Its fields are the identifier and per element value, standing and what stays inside, in the declared order."""
    catalogue = city(tmp_path)

    (golden,) = golden_datasets(catalogue).values()

    assert golden.id == GOLDEN
    assert golden.key == ("citizen_id",)
    assert list(elements_of(catalogue, "citizen")) == list(authorities(catalogue, "citizen"))
    assert [path for path in golden.fields if "." not in path] == ["citizen_id", "name", "sex", "born", "school"]
    assert [path for path in golden.fields if path.startswith("sex.")] == [
        f"sex.{part}" for part in ("value", "standing", "source", "version", "changed_at")
    ]
    assert {path for path, entry in golden.fields.items() if entry.share == "not_shared"} == {
        f"{name}.{part}" for name in elements_of(catalogue, "citizen") for part in ("source", "version", "changed_at")
    }
    assert dataset_of(catalogue, GOLDEN) == golden
    assert dataset_of(catalogue, "golden.enterprise") is None
    assert dataset_of(catalogue, "golden.nobody") is None
    assert dataset_of(catalogue, "police.person") is catalogue.datasets["police.person"]


def test_a_standing_is_graded_as_the_highest_of_all_who_report(tmp_path: Path) -> None:
    """The value has its source's grade; that somebody else reports may be worse to tell than the value."""
    golden = golden_datasets(city(tmp_path))[GOLDEN]

    assert (golden.fields["sex.value"].grade, golden.fields["sex.standing"].grade) == ("L2", "L3")
    assert golden.fields["citizen_id"].grade == "L3"


def test_a_field_that_is_not_shared_stays_so_in_the_golden_view(tmp_path: Path) -> None:
    """An authority's field that may not be shared cannot be had by way of the golden view."""
    entry = "学校, grade: L2, share: not_shared, basis: 教育法, element"
    grants = CITIZENS[PUPIL].index("grants:")
    catalogue = city(
        tmp_path, {PUPIL: replaced(CITIZENS[PUPIL][:grants], ("学校, grade: L2, element", entry)), GOLDEN_ASK: None}
    )

    assert golden_datasets(catalogue)[GOLDEN].fields["school.value"].share == "not_shared"


def test_sources_may_name_their_types_alike(tmp_path: Path) -> None:
    """Two elements whose sources are enums of one name stand in one valid schema, and so do their shares."""
    person = replaced(
        CITIZENS[PERSON],
        ("状态, grade: L2, codes: state", "状态, grade: L2, codes: state, element: citizen.state, authoritative: true"),
    )
    state = "{title: 状态, definition: 状态, type: code, codes: state, comparator: exact, severity: info}"
    gender = "{title: 学籍性别, definition: 性别, type: code, codes: gender, comparator: exact, severity: info}"
    elements = CITIZENS[ELEMENTS] + f"  citizen.state: {state}\n  citizen.gender: {gender}\n"
    pupil = replaced(
        CITIZENS[PUPIL],
        ("element: citizen.sex", "element: citizen.gender, authoritative: true"),
        ("fields: {pupil_id: pass, ", "fields: {pupil_id: pass, gender: pass, "),
    )
    schema = replaced(CITIZENS[PUPIL_SCHEMA], ('"Gender"', '"state_code"'))
    ask = replaced(
        CITIZENS[GOLDEN_ASK], ("      citizen_id: pass\n", "      citizen_id: pass\n      gender.value: pass\n")
    )

    catalogue = city(
        tmp_path, {ELEMENTS: elements, PERSON: person, PUPIL: pupil, PUPIL_SCHEMA: schema, GOLDEN_ASK: ask}
    )

    golden = golden_datasets(catalogue)[GOLDEN]
    fastavro.parse_schema(record_schema(golden.avro))
    found = view(catalogue)
    assert isinstance(found, ShareView)
    fastavro.parse_schema(view_schema(golden.avro, found))


def test_a_golden_view_meets_the_grants_of_its_sources(tmp_path: Path) -> None:
    """Masks as asked, until the earliest last day of ask and grants, each source's condition with its dataset."""
    found = view(city(tmp_path))

    assert isinstance(found, ShareView)
    assert found.key == ("citizen_id",)
    assert found.fields == (
        ("citizen_id", Pass()),
        ("name.value", Keep(1, 0)),
        ("name.standing", Pass()),
        ("born.value", GeneraliseDate("year")),
        ("school.value", Keep(1, 0)),
        ("school.standing", Pass()),
    )
    assert found.until == date(2027, 6, 30)
    assert found.grant_rows is None
    conditions = dict(found.source_rows)
    assert isinstance(conditions["police.person"], All)
    assert conditions["school.pupil"] == Prefix("division", "8903")


def test_what_is_not_asked_needs_no_grant(tmp_path: Path) -> None:
    """An element that is dropped, or not named, asks nothing of its source."""
    ask = replaced(CITIZENS[GOLDEN_ASK], ("{mask: {first: 1}}\n      school.standing: pass", "drop"))
    pupil = CITIZENS[PUPIL][: CITIZENS[PUPIL].index("grants:")]

    found = view(city(tmp_path, {GOLDEN_ASK: ask, PUPIL: pupil}))

    assert isinstance(found, ShareView)
    assert [dataset for dataset, _ in found.source_rows] == ["police.person"]
    assert found.until == date(2027, 12, 31)


@pytest.mark.parametrize(
    ("pupil", "reason", "warning"),
    [
        (CITIZENS[PUPIL][: CITIZENS[PUPIL].index("grants:")], WithheldReason.NO_GRANT, WarningCode.NO_GRANT),
        (
            replaced(
                CITIZENS[PUPIL][: CITIZENS[PUPIL].index("grants:")],
                ("share: conditional", "share: not_shared\nbasis: 教育法"),
            ),
            WithheldReason.NO_GRANT,
            WarningCode.NO_GRANT,
        ),
        (
            replaced(CITIZENS[PUPIL], (PUPIL_GRANT, f"{PUPIL_GRANT}    state: suspended\n")),
            WithheldReason.GRANT_SUSPENDED,
            WarningCode.GRANT_SUSPENDED,
        ),
        (
            replaced(CITIZENS[PUPIL], (PUPIL_GRANT, f"{PUPIL_GRANT}    state: ended\n")),
            WithheldReason.GRANT_ENDED,
            WarningCode.GRANT_ENDED,
        ),
    ],
)
def test_one_owner_withholds_the_golden_view_and_nothing_else(
    tmp_path: Path, pupil: str, reason: WithheldReason, warning: WarningCode
) -> None:
    """Where a source's grant is absent, suspended or ended, the golden view is withheld; the ask's datasets go on."""
    golden = FILES[WEATHER_ASK].partition("datasets:\n")[2].partition("delivery:")[0]
    ask = replaced(CITIZENS[GOLDEN_ASK], ("delivery:", f"{golden}delivery:"))
    files = {**CITIZENS, PUPIL: pupil, GOLDEN_ASK: ask}

    checked = check(write_city(tmp_path, files), TODAY)

    assert checked.faults == ()
    assert [(each.code, each.file) for each in checked.warnings] == [(warning, GOLDEN_ASK)]
    assert checked.catalogue is not None
    kinds = {each.id: each for each in share_views(checked.catalogue) if each.ask == "golden"}
    assert kinds[VIEW] == Withheld("school", "golden", GOLDEN, reason)
    assert isinstance(kinds["school.golden/weather.reading"], ShareView)


def test_a_source_shared_unconditionally_grants_the_value_to_all(tmp_path: Path) -> None:
    """No grant is needed for it, and none limits its rows."""
    pupil = replaced(
        CITIZENS[PUPIL][: CITIZENS[PUPIL].index("grants:")], ("share: conditional", "share: unconditional")
    )
    ask = replaced(
        CITIZENS[GOLDEN_ASK],
        ("      school.standing: pass\n", ""),
        ("school.value: {mask: {first: 1}}", "school.value: pass"),
    )

    found = view(city(tmp_path, {PUPIL: pupil, GOLDEN_ASK: ask}))

    assert isinstance(found, ShareView)
    assert found.masks["school.value"] == Pass()
    assert [dataset for dataset, _ in found.source_rows] == ["police.person"]


def test_every_part_of_a_split_authority_must_have_granted(tmp_path: Path) -> None:
    """Of an element with two sources the view needs both their grants, and carries both their conditions."""
    pupil = replaced(
        SPLIT_PUPIL,
        ("fields: {pupil_id: pass, ", "fields: {pupil_id: pass, name: pass, "),
        ("[school]", "[school, name]"),
    )
    ask = replaced(CITIZENS[GOLDEN_ASK], ("      school.value: {mask: {first: 1}}\n      school.standing: pass\n", ""))
    split = {PERSON: SPLIT_PERSON, PUPIL: pupil, GOLDEN_ASK: ask}

    found = view(city(tmp_path / "granted", split))
    ungranted = view(city(tmp_path / "ungranted", {**split, PUPIL: SPLIT_PUPIL[: SPLIT_PUPIL.index("grants:")]}))

    assert isinstance(found, ShareView)
    assert [dataset for dataset, _ in found.source_rows] == ["police.person", "school.pupil"]
    assert ungranted == Withheld("school", "golden", GOLDEN, WithheldReason.NO_GRANT)


def test_the_same_city_without_a_fault_has_no_warning(tmp_path: Path) -> None:
    """The city that the refusals start from is in order."""
    checked = check(write_city(tmp_path, CITIZENS), TODAY)

    assert (checked.faults, checked.warnings) == ((), ())


@pytest.mark.parametrize("strict", [PERSON, PUPIL])
def test_the_value_of_a_split_authority_is_held_as_its_strictest_part_is(tmp_path: Path, strict: str) -> None:
    """Whichever of two sources is the stricter, its grade and its bar to sharing count for the value."""
    texts = {PERSON: SPLIT_PERSON, PUPIL: SPLIT_PUPIL}
    texts = {file: text[: text.index("grants:")] for file, text in texts.items()}
    entry = "姓名, grade: L4, share: not_shared, basis: 个人信息保护法第六条, element"
    texts[strict] = replaced(texts[strict], ("姓名, grade: L3, element", entry))

    golden = golden_datasets(city(tmp_path, {**texts, GOLDEN_ASK: None, ASK: None}))[GOLDEN]

    value = golden.fields["name.value"]
    assert (value.grade, value.share, value.basis) == ("L4", "not_shared", "个人信息保护法第六条")
