"""What the departments hold of each household: the clean records of every dataset, before any fault is planted.

Values are canonical: `str`, `int`, `bool`, `Decimal`, `datetime.date`, aware `datetime`, None, lists, nested dicts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random

from govbus.ops.city.codes import bank_account
from govbus.ops.city.economy import HOSPITALS
from govbus.ops.city.families import AS_OF, TODAY, Household, Person, population_record
from govbus.ops.city.places import BY_CODE, CITY, DISTRICTS, SCHOOLS, House, houses
from govbus.ops.city.work import Entry, Record, Work, day
from govbus.rules.share import CHINA_STANDARD_TIME

_YEAR = 365.2425
_RENTAL_BUILDINGS = 50_000_000
_FIRST_CERTIFICATE_YEAR = 2012
_HALF = Decimal("50.00")
_WHOLE = Decimal("100.00")


class Registers:
    """Writes a household into every department's register. Households come in order; its chance is its own."""

    def __init__(self, seed: int, people: int) -> None:
        self.random = Random(f"registers {seed}")
        self._chance = self.random.random
        self.work = Work(seed, people)
        self._rentals = {each.code: houses(self._chance, each, _RENTAL_BUILDINGS) for each in DISTRICTS}
        self._to_let: dict[str, deque[tuple[House, Person]]] = {each.code: deque(maxlen=500) for each in DISTRICTS}
        self._serials: dict[str, int] = {}

    # --- one household -------------------------------------------------------------------------------------------

    def entries(self, household: Household) -> Iterator[Entry]:
        """Yield everything that departments hold about *household* and its members, in a fixed order."""
        for person in household.members:
            yield "public_security.population", population_record(person)
        if record := household_record(household):
            yield "public_security.household", record
        for married in household.married:
            yield "civil_affairs.marriage", self.marriage(*married)
        yield from self._home(household)
        disabled = 0
        for person in household.living():
            if self._chance() < (0.012 if person.age() < 50 else 0.05):
                disabled += 1
                yield "disabled_federation.disability_certificate", self.disability(person)
        if self._chance() < 0.02 + 0.15 * (disabled > 0):
            yield from self.benefit(household, TODAY - 30 - int(self._chance() * 6 * _YEAR))
        for person in household.living():
            yield from self._child(person)
            yield from self.work.job(person)
        yield from self.work.firms(household)

    def marriage(self, husband: Person, wife: Person, registered: int, ended: int | None, status: str) -> Record:
        """Return the record of a marriage."""
        division, year = wife.household.division, day(registered).year
        return {
            "certificate_no": f"J{division}-{year}-{self._serial('marriage'):06}",
            "husband_id": husband.id,
            "husband_name": husband.name,
            "wife_id": wife.id,
            "wife_name": wife.name,
            "registration_date": day(registered),
            "registration_office": f"{CITY}{BY_CODE[division].name}民政局婚姻登记处",
            "status": status,
            "ended_date": None if ended is None else day(ended),
        }

    def disability(self, person: Person) -> Record:
        """Return the disability certificate of *person*."""
        category = self.random.choices("1234567", (14, 24, 2, 35, 9, 9, 7))[0]
        grade = self.random.choices("1234", (12, 24, 34, 30))[0]
        issued = max(person.birth + 400, TODAY - int(self._chance() * 9 * _YEAR) - 10)
        division = person.household.division
        guarded = person.age() < 18 or category in "56"
        guardian = next((each for each in person.household.living() if each is not person and each.age() >= 18), None)
        return {
            "citizen_id": person.id,
            "certificate_no": person.id + category + grade,
            "name": person.name,
            "sex": "1" if person.male else "2",
            "ethnicity": person.ethnicity,
            "category": category,
            "grade": grade,
            "division": division,
            "issuing_organ": issuing_federation(division),
            "issue_date": day(min(issued, TODAY)),
            "valid_to": day(issued + 3652) if self._chance() < 0.85 else None,
            "status": "1" if self._chance() < 0.96 else "2",
            "guardian_name": guardian.name if guarded and guardian else None,
        }

    def benefit(self, household: Household, begin: int) -> Iterator[Entry]:
        """Yield the minimum-living records of the household's living members, from ordinal day *begin* on."""
        members = household.living()
        over = self._chance() < 0.12
        end = begin + 200 + int(self._chance() * 900)
        kind = "3" if len(members) == 1 and members[0].age() > 65 else "2" if self._chance() < 0.2 else "1"
        amount = {"1": 98_500, "2": 49_200, "3": 138_000}[kind] - int(self._chance() * 200) * 100
        for person in members:
            if person.birth <= begin:
                yield (
                    "civil_affairs.minimum_living",
                    {
                        "citizen_id": person.id,
                        "valid_from": day(begin),
                        "valid_to": day(end) if over and end < TODAY else None,
                        "name": person.name,
                        "household_no": household.number,
                        "benefit_type": kind,
                        "monthly_amount": amount,
                        "household_members": len(members),
                        "approving_organ": f"{CITY}{BY_CODE[household.division].name}民政局",
                        "status": "3" if over and end < TODAY else "1",
                        "bank_account": bank_account(int(self._chance() * 10**12)),
                    },
                )

    # --- homes ---------------------------------------------------------------------------------------------------

    def _home(self, household: Household) -> Iterator[Entry]:
        house = household.house
        if house is None:
            return
        residence = household.members[0].residence or household.division
        owner = household.living()[0]
        offers = self._to_let[residence]
        if offers and (residence != household.division or self._chance() < 0.08):
            yield self.lease(household, *offers.popleft())
        if self._chance() < 0.62 and owner.age() >= 18:
            spouse = owner.spouse if owner.spouse in household.members and self._chance() < 0.6 else None
            owners = [owner] if spouse is None or spouse.died else [owner, spouse]
            yield from self.ownership(house, owners)
            if self._chance() < 0.16:
                extra = next(self._rentals[household.division])
                yield from self.ownership(extra, [owner])
                self._to_let[household.division].append((extra, owner))

    def ownership(self, house: House, owners: list[Person], registered: int | None = None) -> Iterator[Entry]:
        """Yield the ownership of *house*, one record per owner."""
        if registered is None:
            youngest = max(person.birth for person in owners)
            registered = min(TODAY, max(youngest + int(18 * _YEAR), TODAY - int(self._chance() * 20 * _YEAR)))
        area, mortgaged = Decimal(4500 + int(self._chance() * 11_000)).scaleb(-2), self._chance() < 0.35
        year, district = day(registered).year, BY_CODE[house.division].name
        for person in owners:
            yield (
                "natural_resources.property_ownership",
                {
                    "owner_id": person.id,
                    "certificate_no": f"云({year}){district}不动产权第{self._serial('ownership'):07}号",
                    "owner_name": person.name,
                    "unit_no": house.unit,
                    "house_code": house.code,
                    "address": house.address,
                    "use": "10",
                    "area": area,
                    "share": _WHOLE if len(owners) == 1 else _HALF,
                    "registered_date": day(registered),
                    "mortgaged": mortgaged,
                    "status": "1",
                },
            )

    def to_let(self, household: Household) -> tuple[House, Person] | None:
        """Return a house of others to let in the household's division, and its owner; it is off the market then."""
        offers = self._to_let[household.division]
        return offers.popleft() if offers and offers[0][1] not in household.members else None

    def lease(self, household: Household, house: House, landlord: Person, begin: int | None = None) -> Entry:
        """Return the registration of the household's lease."""
        household.rented = house.code
        tenant = household.living()[0]
        if begin is None:
            begin = TODAY - int(self._chance() * 700)
        end = begin + (364, 729)[self._chance() < 0.4]
        return (
            "housing.lease",
            {
                "house_code": house.code,
                "contract_no": f"云房租备{day(begin).year}第{self._serial('lease'):07}号",
                "landlord_id": landlord.id,
                "tenant_id": tenant.id,
                "tenant_name": tenant.name,
                "address": house.address,
                "start_date": day(begin),
                "end_date": day(end),
                "monthly_rent": (1200 + int(self._chance() * 5000) // 50 * 50) * 100,
                "status": "ACTIVE" if end >= TODAY else "ENDED",
                "filed_date": day(min(begin + 5, TODAY)),
            },
        )

    # --- children ------------------------------------------------------------------------------------------------

    def _child(self, person: Person) -> Iterator[Entry]:
        born = day(person.birth)
        if person.mother is not None and born.year >= _FIRST_CERTIFICATE_YEAR:
            yield "health.birth_certificate", self.birth_certificate(person, person.id)
        enters = born.year + 6 + (born.month >= 9)
        year = AS_OF.year - enters + 1
        stage, grade = ("2", year) if year <= 6 else ("3", year - 6) if year <= 9 else ("4", year - 9)
        if not 1 <= year <= 12 or (stage == "4" and self._chance() > 0.7):
            return
        record = self.enrolment(person, stage, grade, date(AS_OF.year - grade + 1, 9, 1))
        yield "education.student_enrolment", record
        if year == 1 and record["guardian_id"]:
            yield "education.school_place_application", self._application(person, record)

    def birth_certificate(self, child: Person, child_id: str | None) -> Record:
        """Return the birth certificate of *child*, whose mother is known."""
        mother, father = child.mother, child.father
        assert mother is not None
        born = day(child.birth)
        hospital = HOSPITALS[int(self._chance() * len(HOSPITALS))]
        return {
            "certificate_no": f"{chr(ord('L') + born.year - _FIRST_CERTIFICATE_YEAR)}89{self._serial('birth'):07}",
            "newborn_name": child.name,
            "newborn_sex": "1" if child.male else "2",
            "birth_date": born,
            "gestation_weeks": 36 + int(self._chance() * 6),
            "weight_grams": 2400 + int(self._chance() * 180) * 10,
            "place_org": hospital.uscc,
            "place_name": hospital.name,
            "mother": {
                "name": mother.name,
                "citizen_id": mother.id,
                "household_division": mother.household.division,
            },
            "father": {
                "name": father.name if father else None,
                "citizen_id": father.id if father else None,
                "household_division": father.household.division if father else None,
            },
            "child_id": child_id,
            "issue_date": born + timedelta(days=3 + int(self._chance() * 20))
            if born < AS_OF - timedelta(days=30)
            else born,
            "status": "1",
        }

    def enrolment(self, person: Person, stage: str, grade: int, since: date) -> Record:
        """Return the enrolment of a child at a school near home."""
        chance = self._chance
        schools = SCHOOLS[person.residence or person.household.division, stage]
        school = schools[int(chance() * len(schools))]
        parents = [each for each in (person.mother, person.father) if each and each.died is None]
        guardian = parents[int(chance() * len(parents))] if parents else None
        return {
            "citizen_id": person.id,
            "school_code": school.code,
            "student_no": f"G{person.id}",
            "name": person.name,
            "sex": "1" if person.male else "2",
            "birth_date": day(person.birth),
            "school_name": school.name,
            "school_division": school.division,
            "stage": stage,
            "grade_no": grade,
            "class_no": 1 + int(chance() * 8),
            "boarding": stage == "4" and chance() < 0.4,
            "enrol_date": since,
            "status": "1" if chance() < 0.99 else "2",
            "guardian_id": guardian.id if guardian else None,
            "guardian_name": guardian.name if guardian else None,
        }

    def _application(self, person: Person, enrolment: Record) -> Record:
        household = person.household
        second = person.father if enrolment["guardian_id"] != (person.father and person.father.id) else person.mother
        submitted = datetime(AS_OF.year, 4, 1, 8, tzinfo=CHINA_STANDARD_TIME) + timedelta(
            seconds=int(self._chance() * 40 * 86_400)
        )
        house = household.rented or (household.house.code if household.house else None)
        return {
            "child_id": person.id,
            "application_no": f"{AS_OF.year}{self._serial('application'):08}",
            "child_name": person.name,
            "guardian1_id": enrolment["guardian_id"],
            "guardian2_id": second.id if second and second.died is None else None,
            "house_code": house,
            "address_basis": "3" if household.rented else "1",
            "school_code": enrolment["school_code"],
            "school_year": AS_OF.year,
            "submitted_at": submitted,
            "status": "3",
        }

    def _serial(self, what: str) -> int:
        self._serials[what] = self._serials.get(what, 0) + 1
        return self._serials[what]


def issuing_federation(division: str) -> str:
    """Return who issues disability certificates to the people of *division*."""
    return f"{CITY}{BY_CODE[division].name}残疾人联合会"


def household_record(household: Household) -> Record | None:
    """Return the household register's record, the householder first; None once nobody in it is alive."""
    living = household.living()
    if not living:
        return None
    living.sort(key=lambda person: person.relation != "01")
    return {
        "household_no": household.number,
        "household_type": "2" if household.kind == "collective" else "1",
        "division": household.division,
        "address": household.address,
        "house_code": household.house.code if household.house else None,
        "householder_id": living[0].id,
        "member_count": len(living),
        "member_ids": [person.id for person in living],
        "established_date": day(household.established),
    }
