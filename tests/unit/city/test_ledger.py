"""The ledger: it names every fault that is in the files, and no fault that is not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from city_files import Written, citizen_id, csv_lines, declarations, first_faults, is_citizen_id, ledger, rows
from stack_fixture import REPOSITORY

from govbus.adapters.values import InvalidRecord, RecordShape
from govbus.catalogue.check import load
from govbus.catalogue.model import Catalogue
from govbus.catalogue.source import FileSource, parse_source
from govbus.codec.schemas import record_schema
from govbus.ops.city.faults import FAULTS, NATURES
from govbus.ops.city.ledger import name_of

POPULATION, PUPIL = "public_security.population", "education.student_enrolment"


def keys(city: Written, kind: str, dataset: str) -> set[tuple[str, ...]]:
    """Return the keys that the ledger names for a kind of fault in a dataset."""
    return {
        tuple(line["key"]) for line in first_faults(city.path) if (line["kind"], line["dataset"]) == (kind, dataset)
    }


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The reference city's catalogue."""
    return load(REPOSITORY)


def shape_of(catalogue: Catalogue, dataset: str) -> RecordShape:
    """Return how the dataset's adapter reads records."""
    entry = catalogue.datasets[dataset]
    source = parse_source(entry.source or {})
    texts = source.kind == "postgres" or (isinstance(source, FileSource) and source.format == "csv")
    dates = source.dates if isinstance(source, FileSource) else ()
    nulls = source.nulls if isinstance(source, FileSource) else ()
    schema = record_schema(entry.avro)
    return RecordShape(entry, schema, catalogue.vocabulary, dates=dates, nulls=nulls, texts=texts)


def refused(city: Written, catalogue: Catalogue, dataset: str) -> list[tuple[str, ...]]:
    """Return the fields at fault of every row that the dataset's adapter refuses."""
    shape = shape_of(catalogue, dataset)
    found = []
    for row in rows(city.path, dataset, raw=True):
        try:
            shape.encode(row)
        except InvalidRecord as invalid:
            found.append(tuple(field for field, _ in invalid.faults))
    return found


@pytest.mark.parametrize("dataset", sorted(declarations()))
def test_exactly_the_rows_of_the_ledger_are_refused(city: Written, catalogue: Catalogue, dataset: str) -> None:
    """What an adapter refuses of a first export is what the ledger calls rejected: as many rows, in the same fields."""
    expected = [line for line in first_faults(city.path) if (line["dataset"], line["effect"]) == (dataset, "rejected")]
    found = refused(city, catalogue, dataset)
    assert len(found) == len(expected)
    whole_rows = sum(not line["field"] for line in expected)
    named = Counter(line["field"] for line in expected if line["field"])
    assert Counter(fields[0] for fields in found if len(fields) == 1) == named
    assert sum(len(fields) > 1 for fields in found) == whole_rows


def test_every_kind_of_fault_is_planted_at_its_rate(city: Written) -> None:
    """Of the rows that could carry a fault the stated share does, give or take the part of a row at each end."""
    for fault in FAULTS:
        counted = city.summary["faults"].get(name_of(fault), {"eligible": 0, "planted": 0})
        expected = fault.rate * counted["eligible"]
        assert abs(counted["planted"] - expected) <= max(2, 0.25 * expected), name_of(fault)
    lines = Counter(f"{line['kind']} {line['dataset']}:{line['field']}" for line in first_faults(city.path))
    planted = {name: counted["planted"] for name, counted in city.summary["faults"].items() if counted["planted"]}
    assert lines == planted


def test_every_fault_has_the_nature_of_its_kind(city: Written) -> None:
    """What is wrong about a row is entered with it; only what says something else is held wrongly in earnest."""
    for line in ledger(city.path):
        if "fault" in line:
            assert line["nature"] == NATURES[line["kind"]]
            assert line["nature"] not in ("fact", "subject") or line["holds"] != "right"


def test_faults_are_numbered_and_corrections_name_them(city: Written) -> None:
    """Faults are numbered from 1 without a gap; a correction names an earlier fault, and each fault at most once."""
    lines = ledger(city.path)
    numbers = [line["fault"] for line in lines if "fault" in line]
    corrected = [line["corrects"] for line in lines if "corrects" in line]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(set(corrected)) == len(corrected)
    assert set(corrected) <= set(numbers)
    assert city.summary["ledger"] == {"faults": len(numbers), "corrected": len(corrected)}


def test_birth_dates_that_differ_from_the_id_are_in_the_ledger(city: Written) -> None:
    """In the population register the birth date is the id's, but for the ledger's birth_date_differs."""
    found = {
        (row["citizen_id"],)
        for row in rows(city.path, POPULATION)
        if row["birth_date"].replace("-", "") != row["citizen_id"][6:14]
    }
    assert found == keys(city, "birth_date_differs", POPULATION)


def test_sexes_that_differ_from_the_id_are_in_the_ledger(city: Written) -> None:
    """The sex is the parity of the id's 17th digit, but for the ledger's sex_differs."""
    found = {
        (row["citizen_id"],)
        for row in rows(city.path, POPULATION)
        if int(row["sex"]) % 2 != int(row["citizen_id"][16]) % 2
    }
    assert found == keys(city, "sex_differs", POPULATION)


def test_old_ids_are_in_the_ledger(city: Written) -> None:
    """Ids of 15 digits in the property register are those of the ledger, and stand for the id it names."""
    found = {
        (citizen_id(row["owner_id"]), row["certificate_no"])
        for row in rows(city.path, "natural_resources.property_ownership")
        if len(row["owner_id"]) == 15
    }
    assert found == keys(city, "id_15_digits", "natural_resources.property_ownership")


def test_pupils_enrolled_twice_are_in_the_ledger(city: Written) -> None:
    """A pupil has one active enrolment, but for the ledger's enrolled_twice (and ids of parents, by chance)."""
    active: dict[str, set[str]] = {}
    for row in rows(city.path, PUPIL):
        if row["school_code"] and row["status"] == "1":
            active.setdefault(citizen_id(row["citizen_id"]), set()).add(row["school_code"])
    twice = {number for number, schools in active.items() if len(schools) > 1}
    parents = {key[0] for key in keys(city, "id_of_parent", PUPIL)}
    expected = {key[0] for key in keys(city, "enrolled_twice", PUPIL)}
    assert expected <= twice <= expected | parents


def test_pupils_under_their_parents_id_are_in_the_ledger(city: Written) -> None:
    """An enrolment whose id is not that of its student number and is valid stands under a parent's id."""
    found = {
        (number, row["school_code"])
        for row in rows(city.path, PUPIL)
        if is_citizen_id(number := citizen_id(row["citizen_id"]))
        and number != row["student_no"][1:]
        and row["school_code"]
    }
    assert found == keys(city, "id_of_parent", PUPIL)


def test_rows_sent_twice_are_in_the_ledger(city: Written) -> None:
    """A row stands once in an export, but for the ledger's row_twice."""
    for dataset in (PUPIL, "civil_affairs.marriage", "human_resources.social_insurance_month"):
        counted = Counter(tuple(map(str, row.values())) for row in rows(city.path, dataset))
        assert sum(count > 1 for count in counted.values()) == len(keys(city, "row_twice", dataset))


def test_mangled_names_are_in_the_ledger(city: Written) -> None:
    """In the insurance register a name is the population register's, but for names the ledger knows to be wrong."""
    names = {row["citizen_id"]: row["name"] for row in rows(city.path, POPULATION)}
    wrong = {
        (citizen_id(row["citizen_id"]), row["month"], row["insurance_type"])
        for row in rows(city.path, "human_resources.social_insurance_month")
        if row["name"] != names.get(citizen_id(row["citizen_id"]), row["name"])
    }
    known: set[tuple[str, ...]] = set()
    for kind in ("name_mojibake", "name_middle_dot", "name_pinyin"):
        known |= keys(city, kind, "human_resources.social_insurance_month")
    assert wrong == known


def test_the_dead_who_are_active_are_in_the_ledger(city: Written) -> None:
    """Spouses whose marriage ended by death are cancelled in the population register, but for dead_but_active."""
    people = {row["citizen_id"]: row for row in rows(city.path, POPULATION)}
    found = set()
    for row in rows(city.path, "civil_affairs.marriage"):
        couple = [people.get(citizen_id(row[field])) for field in ("husband_id", "wife_id")]
        if row["status"] == "3" and all(couple) and all(each and each["alive_status"] == "1" for each in couple):
            found.add(row["certificate_no"])
    dead = {key[0] for key in keys(city, "dead_but_active", POPULATION)}
    couples = {
        row["certificate_no"]: {citizen_id(row["husband_id"]), citizen_id(row["wife_id"])}
        for row in rows(city.path, "civil_affairs.marriage")
    }
    assert all(couples[number] & dead for number in found)
    # Not every one of them shows here: the other may be gone as well, or be of another city.
    assert all(people[each]["alive_status"] == "1" for each in dead)
    assert len(found) > len(dead) / 2


def test_what_the_ledger_says_was_written_is_in_the_file(city: Written) -> None:
    """A fault's written text stands in its dataset's file, byte for byte."""
    texts: dict[str, Counter[Any]] = {}
    for line in first_faults(city.path):
        if (
            line["field"]
            and isinstance(line["written"], str)
            and line["kind"] not in ("date_impossible", "date_sentinel")
        ):
            dataset, field = line["dataset"], line["field"]
            if dataset not in texts:
                texts[dataset] = Counter()
                for row in rows(city.path, dataset):
                    texts[dataset].update(str(value) for value in row.values())
            assert texts[dataset][line["written"]], (line["kind"], dataset, field)


def test_csv_rows_that_are_shifted_are_in_the_ledger(city: Written) -> None:
    """A row with an empty second column is one of the ledger's columns_shifted."""
    source = declarations()[PUPIL].source
    (path,) = (city.path / "drop" / "education").glob(source["path"])
    shifted = {line[0] for line in csv_lines(path, source)[1:] if not line[1]}
    assert shifted == {key[0] for key in keys(city, "columns_shifted", PUPIL)}
