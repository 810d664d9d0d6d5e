"""The verdict on a whole city: what a catalogue holds, every fault at once, and which asks only get a warning."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from unit.catalogue.refusals_datasets import DATASET_REFUSALS
from unit.catalogue.refusals_words import WORD_REFUSALS
from unit.catalogue.small_city import (
    ASK,
    CITY,
    DEPARTMENT,
    FILES,
    PERSON,
    PERSON_SCHEMA,
    SUBSCRIBER,
    TODAY,
    WEATHER_ASK,
    edited,
    write_city,
)

from govbus.catalogue.check import check, load
from govbus.catalogue.faults import FaultCode, WarningCode
from govbus.catalogue.model import Catalogue
from govbus.catalogue.views import share_views
from govbus.errors import DeclarationError, Fault
from govbus.rules.mask import Pass
from govbus.rules.share import ShareView, Withheld

REPOSITORY = Path(__file__).parents[3]


def test_a_valid_city_becomes_a_catalogue(tmp_path: Path) -> None:
    """Without fault the catalogue holds every department, dataset, subscriber and ask under its id."""
    checked = check(write_city(tmp_path), TODAY)

    assert checked.faults == ()
    assert checked.warnings == ()
    assert checked.catalogue is not None
    assert sorted(checked.catalogue.datasets) == ["police.person", "weather.reading"]
    assert sorted(checked.catalogue.asks) == ["school.heat", "school.places"]


def test_the_reference_city_has_no_fault() -> None:
    """The city at the repository's root passes its own check."""
    assert [str(fault) for fault in check(REPOSITORY, TODAY).faults] == []


def test_a_catalogue_survives_json(tmp_path: Path) -> None:
    """Written into a revision and read again, a catalogue is equal to the one read from files, dates included."""
    catalogue = load(write_city(tmp_path))

    assert Catalogue.model_validate_json(catalogue.model_dump_json()) == catalogue


def test_fields_stand_in_the_order_of_the_schema(tmp_path: Path) -> None:
    """However the dataset's file orders its entries, the catalogue and the views follow the .avsc."""
    lines = FILES[PERSON].splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith("  citizen_id:"))
    last = next(number for number, line in enumerate(lines) if line.startswith("source:"))
    turned = "".join(lines[:first] + lines[first:last][::-1] + lines[last:])

    catalogue = load(write_city(tmp_path, {PERSON: turned}))

    assert list(catalogue.datasets["police.person"].fields) == list(
        load(write_city(tmp_path / "straight")).datasets["police.person"].fields
    )
    (view,) = [each for each in share_views(catalogue) if each.dataset == "police.person"]
    assert isinstance(view, ShareView)
    assert [path for path, _ in view.fields][:4] == ["citizen_id", "register_no", "name", "sex"]


def test_a_record_granted_whole_grants_its_parts(tmp_path: Path) -> None:
    """Where the owner grants a record in clear, an ask may name a part of it."""
    grant = FILES[PERSON].replace("address.division: {generalise: {division: 4}}", "address: pass")
    ask = FILES[ASK].replace("address.division: {generalise: {division: 4}}", "address.division: pass")

    catalogue = load(write_city(tmp_path, {PERSON: grant, ASK: ask}))

    (view,) = [each for each in share_views(catalogue) if each.dataset == "police.person"]
    assert isinstance(view, ShareView)
    assert view.masks["address.division"] == Pass()


def test_every_fault_of_every_file_is_listed_at_once(tmp_path: Path) -> None:
    """Faults of all kinds in many files come in one list, sorted by file and line, none hiding another."""
    ask = FILES[ASK].replace("purpose: places\n", "purpose: placs\n").replace("weight: pass", "weight: hash")
    person = FILES[PERSON]
    for old, new in (
        ("legal_basis: 户口登记条例第四条\n", ""),
        ("疾病, grade: L4", "疾病, grade: L7"),
        ("key: [citizen_id, register_no]", "key: [citizen_id, nothing]"),
        ("  format: csv", "  format: csvv"),
        ("to: school", "to: shool"),
    ):
        assert person.count(old) == 1
        person = person.replace(old, new)
    files: dict[str, str | bytes | None] = {
        ASK: ask,
        PERSON: person,
        CITY: FILES[CITY] + "colour: red\n",
        DEPARTMENT: FILES[DEPARTMENT].replace("38B", "38C"),
        "consumers/school/broken.yaml": "a: [",
        PERSON_SCHEMA: FILES[PERSON_SCHEMA].replace(
            '{"name": "weight"', '{"name": "height", "type": "int"},\n{"name": "weight"'
        ),
    }

    faults = check(write_city(tmp_path, files), TODAY).faults

    assert list(faults) == sorted(faults)
    assert {(fault.code, fault.file) for fault in faults} >= {
        (FaultCode.UNKNOWN_KEY, CITY),
        (FaultCode.INVALID_CODE, DEPARTMENT),
        (FaultCode.MALFORMED_FILE, "consumers/school/broken.yaml"),
        (FaultCode.UNKNOWN_PURPOSE, ASK),
        (FaultCode.UNKNOWN_MASK, ASK),
        (FaultCode.MISSING_LEGAL_BASIS, PERSON),
        (FaultCode.UNKNOWN_WORD, PERSON),
        (FaultCode.INVALID_KEY, PERSON),
        (FaultCode.UNKNOWN_SUBSCRIBER, PERSON),
        (FaultCode.UNDOCUMENTED_FIELD, PERSON_SCHEMA),
    }
    assert len([fault for fault in faults if fault.code == FaultCode.UNKNOWN_WORD]) == 2


def test_refusals_of_one_kind_do_not_hide_each_other(tmp_path: Path) -> None:
    """Two changes to different files of the tiny city give both of their faults."""
    one = next(each for each in WORD_REFUSALS if each.name == "no_scenario")
    other = next(each for each in DATASET_REFUSALS if each.name == "key_optional")

    faults = check(write_city(tmp_path, {**one.files, **other.files}), TODAY).faults

    assert {fault.code for fault in faults} == {one.code, other.code}


def test_load_raises_with_every_fault(tmp_path: Path) -> None:
    """`load` gives a catalogue or raises; its error carries the same faults as the check."""
    write_city(tmp_path, {CITY: FILES[CITY] + "colour: red\nshape: round\n"})

    with pytest.raises(DeclarationError) as refused:
        load(tmp_path)

    assert [fault.line for fault in refused.value.faults] == [6, 7]
    assert str(refused.value).startswith("city.yaml:6: unknown key colour")


def _warnings(tmp_path: Path, files: Mapping[str, str | None], today: date = TODAY) -> list[Fault]:
    checked = check(write_city(tmp_path, files), today)
    assert checked.faults == ()
    assert checked.catalogue is not None
    return list(checked.warnings)


GRANT_UNTIL = "    until: 2027-12-31"
NO_GRANTS = FILES[PERSON][: FILES[PERSON].index("grants:")]


@pytest.mark.parametrize(
    ("files", "today", "code"),
    [
        ({PERSON: NO_GRANTS}, TODAY, WarningCode.NO_GRANT),
        (
            {PERSON: NO_GRANTS.replace("share: conditional", "share: not_shared\nbasis: 保密法")},
            TODAY,
            WarningCode.NO_GRANT,
        ),
        (edited(PERSON, GRANT_UNTIL, "    state: suspended\n" + GRANT_UNTIL), TODAY, WarningCode.GRANT_SUSPENDED),
        (edited(PERSON, GRANT_UNTIL, "    state: ended\n" + GRANT_UNTIL), TODAY, WarningCode.GRANT_ENDED),
        (edited(PERSON, GRANT_UNTIL, "    until: 2026-05-31"), TODAY, WarningCode.GRANT_EXPIRED),
        (edited(PERSON, GRANT_UNTIL, "    until: 2026-06-01"), TODAY, WarningCode.GRANT_ENDS_SOON),
        (edited(PERSON, GRANT_UNTIL, "    until: 2026-07-01"), TODAY, WarningCode.GRANT_ENDS_SOON),
        (edited(ASK, "until: 2027-12-31", "until: 2026-05-31"), TODAY, WarningCode.ASK_EXPIRED),
        (edited(ASK, "until: 2027-12-31", "until: 2026-06-30"), TODAY, WarningCode.ASK_ENDS_SOON),
    ],
)
def test_an_ask_that_delivers_nothing_is_listed_and_stops_nobody(
    tmp_path: Path, files: Mapping[str, str], today: date, code: WarningCode
) -> None:
    """An absent, suspended, ended or expired grant, or one near its end, is one warning; the city still stands."""
    warnings = _warnings(tmp_path, files, today)

    assert [(warning.code, warning.file) for warning in warnings] == [(code, ASK)]


def test_the_warning_comes_thirty_days_before(tmp_path: Path) -> None:
    """A grant that ends in 31 days is no matter yet."""
    assert _warnings(tmp_path, edited(PERSON, GRANT_UNTIL, "    until: 2026-07-02")) == []


def test_a_withheld_ask_gives_no_view(tmp_path: Path) -> None:
    """The ask that gets a warning for its missing grant is withheld; the other one is served."""
    catalogue = load(write_city(tmp_path, {PERSON: NO_GRANTS}))

    kinds = {each.id: type(each) for each in share_views(catalogue)}
    assert kinds == {"school.places/police.person": Withheld, "school.heat/weather.reading": ShareView}


def test_a_record_of_another_purpose_is_not_a_warning(tmp_path: Path) -> None:
    """A dataset that nobody asks for, and a subscriber without ask, are well."""
    assert _warnings(tmp_path, {ASK: None, WEATHER_ASK: None}) == []


def test_a_subscriber_may_be_the_department_of_the_same_name(tmp_path: Path) -> None:
    """A body that provides and uses data is declared in both rooms, with one code."""
    both = FILES[SUBSCRIBER].replace("school", "police").replace("11890000008904143F", "11890000008900038B")

    assert _warnings(tmp_path, {"consumers/police/subscriber.yaml": both}) == []
