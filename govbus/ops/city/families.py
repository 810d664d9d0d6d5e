"""The people of Yunhai, family by family: who lives with whom, who is married to whom, whose children they are.

Everything that departments hold about persons is derived from these families, so that departments agree where no fault
was planted. One stream of chance makes them in order: the first thousand people of a city of a million are the people
of a city of a thousand (the last family aside, which is cut to the number asked for).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import date
from random import Random
from typing import Any, Literal

from govbus.ops.city.codes import CitizenIds, phone
from govbus.ops.city.names import COMPOUND_SURNAMES, given_name, minority_name, surname
from govbus.ops.city.places import BY_CODE, DISTRICTS, RETIRED_DIVISIONS, District, House, district_at, houses

AS_OF = date(2025, 9, 30)
"""The day on which the departments' first exports were made. Fixed, so that the same seed gives the same bytes."""

TODAY = AS_OF.toordinal()
_YEAR = 365.2425
_CUTOVER = date(1995, 1, 1).toordinal()
"""Until then ids were issued under divisions that have been retired since."""

_MINORITIES = ("13", "08", "22", "11", "03", "06", "15", "05", "02", "04", "17", "12")

Kind = Literal["single", "couple", "family", "generations", "parent", "elderly", "widowed", "collective"]
_KINDS: tuple[tuple[Kind, float], ...] = (
    ("family", 0.34),
    ("couple", 0.18),
    ("single", 0.15),
    ("generations", 0.11),
    ("elderly", 0.08),
    ("parent", 0.06),
    ("widowed", 0.05),
    ("collective", 0.03),
)
"""Shares of households; about 2.9 persons each."""


class Person:
    """One person in the household register. Days are ordinals; None where there is none."""

    __slots__ = (
        "birth",
        "died",
        "education",
        "ethnicity",
        "father",
        "household",
        "id",
        "male",
        "marital",
        "mother",
        "moved_in",
        "name",
        "phone",
        "relation",
        "residence",
        "spouse",
    )

    def __init__(self, id: str, name: str, male: bool, birth: int, ethnicity: str) -> None:
        self.id = id
        self.name = name
        self.male = male
        self.birth = birth
        self.ethnicity = ethnicity
        self.relation = "01"
        self.marital = "10"
        self.education: str | None = None
        self.died: int | None = None
        self.moved_in: int | None = None
        self.residence: str | None = None
        self.phone: str | None = None
        self.father: Person | None = None
        self.mother: Person | None = None
        self.spouse: Person | None = None
        self.household: Household

    def age(self, day: int = TODAY) -> int:
        """Return the age in whole years on ordinal *day*."""
        return int((day - self.birth) / _YEAR)


class Household:
    """One household and where it is registered. `house` is None for collective households."""

    __slots__ = ("address", "division", "established", "house", "kind", "married", "members", "number", "rented")

    def __init__(self, number: str, kind: Kind, division: str, address: str, house: House | None, established: int):
        self.number = number
        self.kind = kind
        self.division = division
        self.address = address
        self.house = house
        self.established = established
        self.members: list[Person] = []
        self.married: list[tuple[Person, Person, int, int | None, str]] = []
        """Marriages: husband, wife, day of registration, day it ended, status code."""
        self.rented: str | None = None
        """Code of the house it rents and lives in."""

    def living(self) -> list[Person]:
        """Return the members who are alive."""
        return [person for person in self.members if person.died is None]


class Families:
    """Makes households in order. One instance is one city: ids and houses are never given twice."""

    def __init__(self, seed: int) -> None:
        self.random = Random(f"families {seed}")
        self.ids = CitizenIds()
        self._chance = self.random.random
        self._houses = {district.code: houses(self._chance, district) for district in DISTRICTS}
        self._serials = dict.fromkeys(BY_CODE, 0)
        self._phones = 0
        self._divorced_men: deque[Person] = deque(maxlen=200)
        self._kinds = [kind for kind, share in _KINDS for _ in range(round(share * 100))]
        self._retired = {new: old for old, new in RETIRED_DIVISIONS.items()}

    def households(self, people: int) -> Iterator[Household]:
        """Yield households with *people* persons together, the dead whom the register still lists included."""
        left = people
        while left > 0:
            kind = self._kinds[int(self._chance() * len(self._kinds))]
            household = self.household(kind if left >= 9 else "single", district_at(self._chance()))
            left -= len(household.members)
            yield household

    def new_house(self, division: str) -> House:
        """Return a house in *division* that nobody has yet."""
        return next(self._houses[division])

    def new_number(self, division: str) -> str:
        """Return a household number of *division* that nobody has yet."""
        self._serials[division] += 1
        return f"{division}{self._serials[division]:06}"

    def household(self, kind: Kind, district: District) -> Household:
        """Return a new household of *kind*, with its people."""
        house = self.new_house(district.code)
        collective = kind == "collective"
        address = f"{house.address}（集体户）" if collective else house.address
        made = Household(self.new_number(district.code), kind, district.code, address, None if collective else house, 0)
        chance = self._chance
        if kind == "single":
            self._single(made, district)
        elif kind == "couple":
            self._couple(made, district, 22 + int(chance() * 40))
        elif kind == "elderly":
            self._couple(made, district, 60 + int(chance() * 30))
        elif kind == "family":
            self._children(made, district, *self._couple(made, district, 25 + int(chance() * 30)))
        elif kind == "generations":
            father, mother = self._couple(made, district, 26 + int(chance() * 24))
            self._children(made, district, father, mother)
            self._grandparent(made, district, father)
        elif kind == "parent":
            self._lone_parent(made, district)
        elif kind == "widowed":
            self._widowed(made, district)
        else:
            self._collective(made, district)
        self._settle(made)
        return made

    # --- households by kind --------------------------------------------------------------------------------------

    def _single(self, household: Household, district: District) -> None:
        # Divorced men are among them: the fathers of some lone mothers' children.
        chance = self._chance
        age = 18 + int(chance() ** 1.5 * 60)
        person = self.person(district, chance() < 0.55, self._birth(age))
        if age > 26 and chance() < 0.35:
            person.marital = "40"
            if person.male and age < 60:
                self._divorced_men.append(person)
        self._add(household, person, "01")

    def _couple(self, household: Household, district: District, age: int) -> tuple[Person, Person]:
        chance = self._chance
        born = self._birth(age)
        husband = self.person(district, True, born)
        wife = self.person(district, False, min(born + int((chance() * 9 - 3) * _YEAR), self._birth(21)))
        self._marry(household, husband, wife)
        householder, partner = (husband, wife) if chance() < 0.78 else (wife, husband)
        self._add(household, householder, "01")
        self._add(household, partner, "10")
        return husband, wife

    def _marry(self, household: Household, husband: Person, wife: Person) -> None:
        """Register the marriage of two people of age, between the younger's 20th and 33rd birthday."""
        young = int(20.2 * _YEAR) + max(husband.birth + int(2 * _YEAR), wife.birth)
        day = min(young + int(self._chance() * 11 * _YEAR), TODAY - 1)
        husband.spouse, wife.spouse = wife, husband
        husband.marital = wife.marital = "20"
        household.married.append((husband, wife, day, None, "1"))

    def _children(self, household: Household, district: District, father: Person | None, mother: Person) -> None:
        """Add one to three children, born when the mother was 22 to 40, the youngest not yet 25."""
        chance = self._chance
        first = max(mother.birth + int(22 * _YEAR), TODAY - int(24 * _YEAR))
        last = min(mother.birth + int(40 * _YEAR), TODAY - 30)
        birth = first + int(chance() * max(1, min(last - first, 2500)))
        for _ in range(1 + (chance() < 0.45) + (chance() < 0.07)):
            if birth > last:
                return
            male = chance() < 0.52
            child = self.person(district, male, birth, father=father, mother=mother)
            self._add(household, child, "20" if male else "30")
            birth += int((1.2 + chance() * 4) * _YEAR)

    def _grandparent(self, household: Household, district: District, father: Person) -> None:
        chance = self._chance
        male = chance() < 0.35
        age = min(96, father.age() + 22 + int(chance() * 12))
        grandparent = self.person(district, male, self._birth(age), ethnicity=father.ethnicity)
        grandparent.marital = "30"
        if male and "·" not in father.name:
            grandparent.name = father.name[: 2 if father.name[:2] in _COMPOUND else 1] + given_name(chance, True)
        self._add(household, grandparent, "51" if male else "52")

    def _lone_parent(self, household: Household, district: District) -> None:
        chance = self._chance
        mother = self.person(district, False, self._birth(26 + int(chance() * 24)))
        mother.marital = "40"
        self._add(household, mother, "01")
        father = None
        if self._divorced_men and abs(self._divorced_men[0].birth - mother.birth) < 10 * _YEAR:
            father = self._divorced_men.popleft()
            married = int(22.2 * _YEAR) + max(father.birth, mother.birth)
            ended = min(married + int((2 + chance() * 12) * _YEAR), TODAY - 40)
            if married < ended:
                household.married.append((father, mother, married, ended, "2"))
            else:
                father = None
        self._children(household, district, father, mother)

    def _widowed(self, household: Household, district: District) -> None:
        """Add a couple of whom one has died in the last years and stands in the register as cancelled."""
        chance = self._chance
        husband, wife = self._couple(household, district, 62 + int(chance() * 28))
        gone, left = (husband, wife) if chance() < 0.68 else (wife, husband)
        gone.died = TODAY - 20 - int(chance() * 8 * _YEAR)
        left.marital = "30"
        _, _, day, _, _ = household.married.pop()
        household.married.append((husband, wife, day, gone.died, "3"))
        if household.members[0] is gone:
            household.members.reverse()
            left.relation, gone.relation = "01", "10"

    def _collective(self, household: Household, district: District) -> None:
        chance = self._chance
        for place in range(2 + int(chance() * 6)):
            person = self.person(district, chance() < 0.55, self._birth(18 + int(chance() * 12)))
            self._add(household, person, "99" if place else "01")

    # --- persons -------------------------------------------------------------------------------------------------

    def _birth(self, age: int) -> int:
        return TODAY - int((age + self._chance()) * _YEAR)

    def person(
        self,
        district: District,
        male: bool,
        birth: int,
        *,
        father: Person | None = None,
        mother: Person | None = None,
        ethnicity: str | None = None,
    ) -> Person:
        """Return a new person with an id that nobody has; a child has its father's name and one parent's ethnicity."""
        chance = self._chance
        parent = father or mother
        if ethnicity is None:
            if parent is not None:
                ethnicity = parent.ethnicity
            elif chance() < district.minorities:
                ethnicity = _MINORITIES[int(chance() ** 1.6 * len(_MINORITIES))]
            else:
                ethnicity = "01"
        code = district.code
        if birth < _CUTOVER:
            drawn = chance()
            if drawn < 0.2:
                code = DISTRICTS[int(drawn * 5 * len(DISTRICTS))].code
            code = self._retired.get(code, code) if drawn > 0.06 else code
        name = None if ethnicity == "01" else minority_name(chance, ethnicity, male, father.name if father else None)
        if name is None:
            if parent is None or "·" in parent.name:
                family = surname(chance)
            else:
                named_after = mother if mother is not None and chance() < 0.08 else parent
                family = named_after.name[: 2 if named_after.name[:2] in _COMPOUND else 1]
            name = family + given_name(chance, male)
        made = Person(self.ids.issue(code, birth, male), name, male, birth, ethnicity)
        made.father, made.mother = father, mother
        return made

    def _add(self, household: Household, person: Person, relation: str) -> None:
        person.relation = relation
        person.household = household
        household.members.append(person)

    def _settle(self, household: Household) -> None:
        """Give everybody schooling, a phone, a place to live, and the day the household moved in."""
        chance = self._chance
        head = household.members[0]
        established = min(TODAY - 5, head.birth + int((20 + chance() * 25) * _YEAR))
        household.established = established
        away = district_at(chance()).code if chance() < 0.14 else None
        for person in household.members:
            age = person.age()
            if age >= 6:
                person.education = _education(age, chance())
            if age >= 14 and chance() < 0.7:
                self._phones += 1
                person.phone = phone(self._phones * 7_654_321)
            if person.birth < established and chance() < 0.8:
                person.moved_in = established
            if away is not None and away != household.division:
                person.residence = away


def _education(age: int, drawn: float) -> str:
    if age < 13:
        return "80"
    if age < 16:
        return "70"
    if age < 19:
        return "60" if drawn < 0.65 else "40"
    for share, level in ((0.03, "10"), (0.27, "20"), (0.5, "30"), (0.68, "60"), (0.74, "40"), (0.92, "70")):
        # The older, the less schooling.
        if drawn * (1 + max(0, age - 30) / 60) < share:
            return level
    return "80" if drawn < 0.98 else "90"


_COMPOUND = frozenset(COMPOUND_SURNAMES)


def population_record(person: Person) -> dict[str, Any]:
    """Return the population register's record of *person*, values canonical: texts, `datetime.date`, None."""
    household = person.household
    return {
        "citizen_id": person.id,
        "name": person.name,
        "sex": "1" if person.male else "2",
        "birth_date": date.fromordinal(person.birth),
        "ethnicity": person.ethnicity,
        "household_division": household.division,
        "household_address": household.address,
        "household_no": household.number,
        "household_relation": person.relation,
        "house_code": household.house.code if household.house else None,
        "marital_status": person.marital,
        "education_level": person.education,
        "alive_status": "1" if person.died is None else "2",
        "death_date": None if person.died is None else date.fromordinal(person.died),
        "residence_division": person.residence,
        "moved_in_date": None if person.moved_in is None else date.fromordinal(person.moved_in),
        "phone": person.phone,
    }


def population(people: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield *people* clean records of ``public_security.population``, family by family.

    The same (people, seed) gives the same records, the ones that `govbus city` starts from.
    Needs memory for one family at a time and some megabytes of counters.
    """
    for household in Families(seed).households(people):
        for person in household.members:
            yield population_record(person)
