"""The people: valid ids that belong to nobody, families that make sense, the same ones for the same seed."""

from __future__ import annotations

import re
import time
from collections import Counter
from itertools import islice

from city_files import is_citizen_id

from govbus.ops.city import population
from govbus.ops.city.families import TODAY, Families
from govbus.ops.city.names import RARE_CHARACTERS

PEOPLE = 4_000


def test_every_id_is_valid_unique_and_nobodys(seed: int) -> None:
    """Each person has an own citizen id with prefix 89 that tells the birth date and sex of the record."""
    records = list(population(PEOPLE, seed))
    for record in records:
        number = record["citizen_id"]
        assert is_citizen_id(number)
        assert number.startswith("89")
        assert number[6:14] == record["birth_date"].strftime("%Y%m%d")
        assert int(number[16]) % 2 == int(record["sex"]) % 2
    assert len({record["citizen_id"] for record in records}) == PEOPLE


def test_exactly_as_many_people_as_asked(seed: int) -> None:
    """A city has the number of people that was asked for, however small."""
    for people in (1, 2, 7, 8, 9, 10, 501):
        assert len(list(population(people, seed))) == people


def test_the_same_seed_gives_the_same_people_and_another_seed_others(seed: int) -> None:
    """Population is a function of (people, seed), and the seed matters."""
    first, again = list(population(500, seed)), list(population(500, seed))
    assert first == again
    assert first != list(population(500, seed + 1))


def test_a_larger_city_begins_with_the_people_of_a_smaller_one(seed: int) -> None:
    """People come in one order: only the last families depend on how many are asked for."""
    assert list(islice(population(100_000, seed), 900)) == list(islice(population(1_000, seed), 900))


def test_thirty_thousand_people_a_second(seed: int) -> None:
    """Benches and tests get their records at 30,000 a second of processor time or more."""
    began = time.process_time()
    assert sum(1 for _ in population(20_000, seed)) == 20_000
    assert 20_000 / (time.process_time() - began) > 30_000


def test_parents_are_older_than_their_children_and_spouses_of_age(seed: int) -> None:
    """Mothers are 20 or more years older than their children; nobody is married before 20."""
    for household in Families(seed).households(PEOPLE):
        for person in household.members:
            if person.mother is not None:
                assert person.birth - person.mother.birth > 20 * 365
        for husband, wife, day, ended, _ in household.married:
            assert husband.male
            assert not wife.male
            assert day - max(husband.birth, wife.birth) > 19.9 * 365 or day == TODAY - 1
            assert ended is None or ended > day


def test_names_are_chinese_with_rare_characters_and_middle_dots(seed: int) -> None:
    """Names are Chinese characters; some are beyond the Basic Multilingual Plane, some have a middle dot U+00B7."""
    names = [record["name"] for record in population(20_000, seed)]
    assert all(re.fullmatch(r"[\u3400-\u9fff\U00020000-\U000323af·]{1,20}", name) for name in names)
    assert any(ord(character) > 0xFFFF for name in names for character in name)
    assert any("·" in name for name in names)
    assert sum(any(each in name for each in RARE_CHARACTERS) for name in names) / len(names) < 0.02


def test_children_carry_a_parents_surname(seed: int) -> None:
    """A child of two parents with Han names has the surname of one of them."""
    for household in Families(seed).households(PEOPLE):
        for person in household.members:
            parents = [each for each in (person.father, person.mother) if each is not None]
            if parents and all("·" not in each.name and each.ethnicity == "01" for each in parents):
                assert any(person.name[0] == each.name[0] for each in parents)


def test_districts_have_their_shares(seed: int) -> None:
    """About 27% of the people are registered in the divisions 8903 of the school-place grant."""
    divisions = Counter(record["household_division"][:4] for record in population(20_000, seed))
    assert 0.22 < divisions["8903"] / 20_000 < 0.32
