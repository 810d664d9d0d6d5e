"""Departments agree about people, homes and firms, wherever the ledger names no fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from city_files import Row, Written, citizen_id, first_faults, rows

POPULATION = "public_security.population"
HOUSEHOLD = "public_security.household"


@pytest.fixture(scope="module")
def read(city: Written) -> Callable[[str], list[Row]]:
    """Reads each dataset once."""
    found: dict[str, list[Row]] = {}

    def read(dataset: str) -> list[Row]:
        if dataset not in found:
            found[dataset] = rows(city.path, dataset)
        return found[dataset]

    return read


@pytest.fixture(scope="module")
def people(read: Callable[[str], list[Row]]) -> dict[str, Row]:
    """The population register by id."""
    return {row["citizen_id"]: row for row in read(POPULATION)}


def wrong(city: Written, dataset: str, field: str) -> set[Any]:
    """Return what the ledger says is written in *field* instead of the right value."""
    return {
        line["written"]
        for line in first_faults(city.path)
        if (line["dataset"], line["field"]) == (dataset, field) and line["holds"] != "right"
    }


@pytest.mark.parametrize(
    ("dataset", "field"),
    [
        ("civil_affairs.marriage", "husband_id"),
        ("civil_affairs.marriage", "wife_id"),
        ("civil_affairs.minimum_living", "citizen_id"),
        ("disabled_federation.disability_certificate", "citizen_id"),
        ("education.school_place_application", "child_id"),
        ("education.school_place_application", "guardian1_id"),
        ("education.school_place_application", "guardian2_id"),
        ("education.student_enrolment", "citizen_id"),
        ("education.student_enrolment", "guardian_id"),
        ("health.birth_certificate", "mother.citizen_id"),
        ("health.birth_certificate", "father.citizen_id"),
        ("health.birth_certificate", "child_id"),
        ("housing.lease", "landlord_id"),
        ("housing.lease", "tenant_id"),
        ("human_resources.social_insurance_month", "citizen_id"),
        ("market_regulation.enterprise", "legal_rep_id"),
        ("natural_resources.property_ownership", "owner_id"),
    ],
)
def test_who_is_named_is_in_the_population_register(
    city: Written, read: Callable[[str], list[Row]], people: dict[str, Row], dataset: str, field: str
) -> None:
    """Every person that a department names has a record in the population register, faults of the ledger aside."""
    faulty = wrong(city, dataset, field)
    named = [row for row in read(dataset) if row[field] is not None and row[field] not in faulty]
    shifted = [row for row in named if citizen_id(row[field]) not in people]
    assert len(named) > 0
    assert all(not row["school_code"] for row in shifted if dataset == "education.student_enrolment")
    assert dataset == "education.student_enrolment" or not shifted


def test_household_and_population_registers_list_the_same_people(
    city: Written, read: Callable[[str], list[Row]], people: dict[str, Row]
) -> None:
    """A household's members are the living people of its number; nobody is in two households."""
    listed = [number for row in read(HOUSEHOLD) for number in row["member_ids"]]
    assert len(set(listed)) == len(listed)
    for row in read(HOUSEHOLD):
        assert row["member_ids"][0] == row["householder_id"]
        assert row["member_count"] == len(row["member_ids"])
        assert {people[number]["household_no"] for number in row["member_ids"]} == {row["household_no"]}
    second = wrong(city, POPULATION, "citizen_id")
    dead = {line["key"][0] for line in first_faults(city.path) if line["kind"] == "dead_but_active"}
    living = {number for number, row in people.items() if row["alive_status"] == "1"}
    assert living - set(listed) == second | dead


def test_married_people_are_married_in_the_population_register(
    city: Written, read: Callable[[str], list[Row]], people: dict[str, Row]
) -> None:
    """Who is in a lasting marriage is married in the population register, unless the ledger says it is out of date."""
    stale = {line["key"][0] for line in first_faults(city.path) if line["kind"] == "marital_status_stale"}
    for row in read("civil_affairs.marriage"):
        if row["status"] == "1":
            for number in {citizen_id(row["husband_id"]), citizen_id(row["wife_id"])} & set(people) - stale:
                assert people[number]["marital_status"] == "20"


def test_owners_live_in_houses_that_exist_once(read: Callable[[str], list[Row]]) -> None:
    """A house has one real-estate unit, and the shares of its owners make 100%."""
    units: dict[str, set[str]] = {}
    shares: dict[str, float] = {}
    for row in read("natural_resources.property_ownership"):
        units.setdefault(row["house_code"], set()).add(row["unit_no"])
        shares[row["house_code"]] = shares.get(row["house_code"], 0) + float(row["share"])
        assert len(row["unit_no"]) == 28
    assert all(len(each) == 1 for each in units.values())
    assert set(shares.values()) == {100.0}


def test_rented_homes_are_owned_by_their_landlords(city: Written, read: Callable[[str], list[Row]]) -> None:
    """The landlord of a lease is an owner of the house, who is not its tenant."""
    owners: dict[str, set[str]] = {}
    for row in read("natural_resources.property_ownership"):
        owners.setdefault(row["house_code"], set()).add(citizen_id(row["owner_id"]))
    faulty = wrong(city, "housing.lease", "landlord_id")
    for row in read("housing.lease"):
        assert row["landlord_id"] in owners[row["house_code"]] | faulty
        assert row["tenant_id"] not in owners[row["house_code"]]


def test_employers_and_taxpayers_are_registered_enterprises(city: Written, read: Callable[[str], list[Row]]) -> None:
    """Insured people work for active enterprises; a body with a tax file is a registered one."""
    register = {row["uscc"]: row for row in read("market_regulation.enterprise")}
    right = {line["right"] for line in first_faults(city.path) if line["kind"] == "uscc_check"}
    lost = wrong(city, "human_resources.social_insurance_month", "employer")
    for row in read("human_resources.social_insurance_month"):
        employer = row["employer"].upper()
        assert employer in right or row["employer"] in lost or register[employer]["status"] == "1"
    for row in read("taxation.taxpayer"):
        if row["taxpayer_type"] != "3":
            assert row["taxpayer_id"] in register or row["taxpayer_id"] in right


def test_pupils_have_the_age_of_their_grade(
    city: Written, people: dict[str, Row], read: Callable[[str], list[Row]]
) -> None:
    """A first-grader of 2025 was born in the twelve months before 1 September 2019, and so on upwards."""
    parents = {line["key"][0] for line in first_faults(city.path) if line["kind"] == "id_of_parent"}
    for row in read("education.student_enrolment"):
        number = citizen_id(row["citizen_id"])
        if number not in people or number in parents or not row["school_code"]:
            continue
        year = int(number[6:10]) + (int(number[10:12]) >= 9)
        entered = 2025 - int(row["grade_no"]) + 1 - {"2": 0, "3": 6, "4": 9}[row["stage"]]
        assert year + 6 == entered


def test_a_disability_certificates_number_is_made_of_id_category_and_grade(
    city: Written, read: Callable[[str], list[Row]]
) -> None:
    """The 20 characters are the id, the category and the grade, but for certificates that the ledger names."""
    dataset = "disabled_federation.disability_certificate"
    faulty = wrong(city, dataset, "certificate_no")
    for row in read(dataset):
        expected = citizen_id(row["citizen_id"]) + row["category"] + row["grade"]
        assert row["certificate_no"] == expected or row["certificate_no"] in faulty
