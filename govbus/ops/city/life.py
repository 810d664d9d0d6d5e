"""What happens after the first export: people move, marry, are born and die, firms change, rows are corrected.

Each event is told to all departments that would learn of it, in the same wave. `EVENTS` is the table of what may
happen, and how often where it can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from govbus.ops.city.casebook import HOUSEHOLD, POPULATION, Case, Casebook, Kept
from govbus.ops.city.codes import phone
from govbus.ops.city.families import TODAY, Families, Person, population_record
from govbus.ops.city.faults import Holds
from govbus.ops.city.places import BY_CODE, DISTRICTS
from govbus.ops.city.registers import Registers, household_record, issuing_federation
from govbus.ops.city.work import day

_MARRIAGE = "civil_affairs.marriage"
_BENEFIT = "civil_affairs.minimum_living"
_BIRTH = "health.birth_certificate"
_PUPIL = "education.student_enrolment"
_INSURANCE = "human_resources.social_insurance_month"
_OWNERSHIP = "natural_resources.property_ownership"
_LEASE = "housing.lease"
_FIRM = "market_regulation.enterprise"
_DISABILITY = "disabled_federation.disability_certificate"
_TAX = "taxation.taxpayer"

FILTER = "8903"
"""Prefix of the household divisions that the school-place ask is granted: whoever leaves them leaves that view."""


class Life:
    """Makes one thing happen in each case. *allowances* is how many rows the allowance register began with."""

    def __init__(self, seed: int, families: Families, registers: Registers, book: Casebook, allowances: int) -> None:
        self.random = Random(f"life {seed}")
        self._families, self._registers, self._book = families, registers, book
        self._single: dict[bool, Case] = {}
        self._buyer: Person | None = None
        self._phones = 0
        self._may_vanish = allowances // 50
        self.today = TODAY

    def happen(self, case: Case) -> str:
        """Make one event happen in *case* and return its name."""
        order = sorted(EVENTS, key=lambda event: self.random.random() ** (1 / event.weight), reverse=True)
        name = next((event.name for event in order if event.happen(self, case)), "")
        living = case.household.living()
        if living and living[0].age() >= 18:
            self._buyer = living[0]
        return name or self._resent(case)

    # --- corrections and repetitions -----------------------------------------------------------------------------

    def correction(self, case: Case) -> bool:
        """A department corrects the faulty rows of a household."""
        faulty = [kept for kept in case.kept if kept.fault is not None]
        for kept in faulty:
            if kept.clean is None:
                self._book.remove(case, kept)
            else:
                self._book.put(case, kept.dataset, kept.clean)
        return bool(faulty)

    def resent(self, case: Case) -> bool:
        """A department's system sends a row again in which nothing has changed."""
        return bool(self._resent(case))

    def _resent(self, case: Case) -> str:
        kept = next(kept for kept in case.kept if kept.clean is not None)
        assert kept.clean is not None
        field = "_changed_at"
        if kept.fault is None:
            self._enter("resent_unchanged", kept, field, "right")
        self._book.put(case, kept.dataset, kept.clean)
        return "resent"

    def _enter(self, kind: str, kept: Kept, field: str, holds: Holds, right: str = "", written: str = "") -> None:
        """Enter a fault of this wave in the ledger; the bus accepts them all."""
        assert kept.clean is not None
        self._book.ledger.fault(
            self._book.wave,
            kept.dataset,
            kept.clean,
            kind,
            field,
            "accepted",
            holds,
            right=right or None,
            written=written or None,
        )

    # --- moving --------------------------------------------------------------------------------------------------

    def leave_filter(self, case: Case) -> bool:
        """A household moves out of the divisions of the school-place grant."""
        return case.household.division.startswith(FILTER) and self._move(case, within=False)

    def enter_filter(self, case: Case) -> bool:
        """A household moves into the divisions of the school-place grant."""
        return not case.household.division.startswith(FILTER) and self._move(case, within=True)

    def move_nearby(self, case: Case) -> bool:
        """A household moves within its division."""
        return self._move(case, within=None)

    def _move(self, case: Case, within: bool | None) -> bool:
        household, book = case.household, self._book
        living = household.living()
        if household.house is None or not living:
            return False
        target = household.division
        if within is not None:
            target = self.random.choice([each.code for each in DISTRICTS if each.code.startswith(FILTER) is within])
            for kept in case.of(HOUSEHOLD):
                book.remove(case, kept)
            household.number = self._families.new_number(target)
            household.established = self.today
        changed = target != household.division
        household.house = self._families.new_house(target)
        household.address, household.division = household.house.address, target
        for person in living:
            person.moved_in, person.residence = self.today, None
            book.put(case, POPULATION, population_record(person))
        self._household(case)
        self.lease_end(case)
        for kept in case.of(_BENEFIT):
            record = kept.clean
            if record and record["status"] == "1" and record["household_no"] != household.number:
                book.put(case, _BENEFIT, {**record, "household_no": household.number})
        if changed:
            self._certificates(case)
            for person in living:
                self._change_school(case, person)
        return True

    def _certificates(self, case: Case) -> None:
        """Disability certificates go with their holders to the federation of the new division."""
        division = case.household.division
        organ = issuing_federation(division)
        for kept in case.of(_DISABILITY):
            record = kept.clean
            if record and record["status"] != "3":
                self._book.put(case, _DISABILITY, {**record, "division": division, "issuing_organ": organ})

    def _household(self, case: Case) -> None:
        record = household_record(case.household)
        if record is not None:
            self._book.put(case, HOUSEHOLD, record)
            return
        for kept in case.of(HOUSEHOLD):
            self._book.remove(case, kept)

    def transfer(self, case: Case) -> bool:
        """A pupil changes to another school."""
        return any(self._change_school(case, person) for person in case.household.living())

    def _change_school(self, case: Case, person: Person) -> bool:
        for kept in case.of(_PUPIL):
            record = kept.clean
            if record and record["citizen_id"] == person.id and record["status"] == "1":
                new = self._registers.enrolment(person, record["stage"], record["grade_no"], day(self.today))
                if new["school_code"] != record["school_code"]:
                    self._book.put(case, _PUPIL, {**record, "status": "5"})
                    self._book.put(None, _PUPIL, {**new, "status": "1"})
                    return True
        return False

    # --- families ------------------------------------------------------------------------------------------------

    def marriage(self, case: Case) -> bool:
        """Two people who live alone marry; the first of them waits for the second."""
        members = case.household.living()
        person = members[0] if members else None
        if len(members) != 1 or person is None or person.marital == "20" or not 22 <= person.age() <= 50:
            return False
        other = self._single.pop(not person.male, None)
        if other is None:
            waits = person.male not in self._single
            self._single.setdefault(person.male, case)
            return waits
        partner = other.household.living()[0]
        husband, wife = (person, partner) if person.male else (partner, person)
        for each, home in ((person, case), (partner, other)):
            each.marital = "20"
            self._book.put(home, POPULATION, population_record(each))
        husband.spouse, wife.spouse = wife, husband
        record = self._registers.marriage(husband, wife, self.today, None, "1")
        case.household.married.append((husband, wife, self.today, None, "1"))
        self._book.put(None, _MARRIAGE, record)
        return True

    def divorce(self, case: Case) -> bool:
        """A married couple is divorced."""
        members = case.household.living()
        for husband, wife, _, _, status in case.household.married:
            if status == "1" and husband in members and wife in members:
                self._end_marriage(case, husband, "2")
                for person in (husband, wife):
                    person.marital, person.spouse = "40", None
                    self._book.put(case, POPULATION, population_record(person))
                return True
        return False

    def _end_marriage(self, case: Case, husband: Person, status: str) -> None:
        for kept in case.of(_MARRIAGE):
            record = kept.clean
            if record and record["husband_id"] == husband.id and record["status"] == "1":
                self._book.put(case, _MARRIAGE, {**record, "status": status, "ended_date": day(self.today)})

    def birth(self, case: Case) -> bool:
        """A child is born: certificate, entry in the household register, then its id on the certificate."""
        household = case.household
        mother = next(
            (each for each in household.living() if not each.male and each.spouse and 20 <= each.age() <= 42), None
        )
        if mother is None or mother.spouse not in household.living():
            return False
        male = self.random.random() < 0.52
        district, birth = BY_CODE[household.division], self.today - self.random.randrange(5)
        child = self._families.person(district, male, birth, father=mother.spouse, mother=mother)
        child.relation, child.household = ("20" if male else "30"), household
        household.members.append(child)
        certificate = self._registers.birth_certificate(child, None)
        self._book.put(None, _BIRTH, certificate)
        self._book.put(None, POPULATION, population_record(child))
        self._household(case)
        self._book.put(None, _BIRTH, {**certificate, "child_id": child.id})
        return True

    def death(self, case: Case) -> bool:
        """Somebody old dies; now and then the allowance goes on being paid."""
        living = case.household.living()
        person = max(living, key=lambda each: each.age(), default=None)
        if person is None or person.age() < 60:
            return False
        person.died = self.today
        left = case.household.living()
        changed = [person]
        if person.spouse is not None and person.spouse in left:
            husband = person if person.male else person.spouse
            person.spouse.marital = "30"
            changed.append(person.spouse)
            self._end_marriage(case, husband, "3")
        if person.relation == "01" and left:
            left[0].relation = "01"
            if left[0] not in changed:
                changed.append(left[0])
        for each in changed:
            self._book.put(case, POPULATION, population_record(each))
        self._household(case)
        self._after_death(case, person)
        return True

    def _after_death(self, case: Case, person: Person) -> None:
        for kept in case.of(_BENEFIT):
            record = kept.clean
            if record and record["citizen_id"] == person.id and record["status"] == "1":
                if kept.fault is None and self.random.random() < 0.2:
                    self._enter("dead_still_receiving", kept, "status", "wrong", right="3", written="1")
                else:
                    self._book.put(case, _BENEFIT, {**record, "status": "3", "valid_to": day(self.today)})
        for kept in case.of(_DISABILITY):
            record = kept.clean
            if record and record["citizen_id"] == person.id:
                self._book.put(case, _DISABILITY, {**record, "status": "3"})

    # --- allowances ----------------------------------------------------------------------------------------------

    def benefit_start(self, case: Case) -> bool:
        """A household is granted the minimum living allowance."""
        if case.of(_BENEFIT) or not case.household.living():
            return False
        for dataset, record in self._registers.benefit(case.household, self.today):
            self._book.put(None, dataset, record)
        return True

    def benefit_end(self, case: Case) -> bool:
        """A household's allowance ends."""
        ended = False
        for kept in case.of(_BENEFIT):
            record = kept.clean
            if record and record["status"] == "1":
                self._book.put(case, _BENEFIT, {**record, "status": "3", "valid_to": day(self.today)})
                ended = True
        return ended

    def benefit_vanishes(self, case: Case) -> bool:
        """Rows of people who still receive the allowance are missing from the next full export."""
        rows = [kept for kept in case.of(_BENEFIT) if kept.fault is None]
        if len(rows) > self._may_vanish:  # an export that lacks many rows is stopped as truncated
            return False
        self._may_vanish -= len(rows)
        for kept in rows:
            self._enter("row_vanished", kept, "", "none")
            self._book.remove(case, kept)
        return bool(rows)

    # --- homes ---------------------------------------------------------------------------------------------------

    def lease_start(self, case: Case) -> bool:
        """A household rents a home nearby."""
        household = case.household
        if household.rented or not household.living():
            return False
        offer = self._registers.to_let(household)
        if offer is None:
            return False
        self._book.put(None, *self._registers.lease(household, *offer, begin=self.today))
        return True

    def lease_end(self, case: Case) -> bool:
        """A lease is ended before its time."""
        ended = False
        for kept in case.of(_LEASE):
            record = kept.clean
            if record and record["status"] == "ACTIVE":
                self._book.put(case, _LEASE, {**record, "status": "TERMINATED", "end_date": day(self.today)})
                ended = True
        return ended

    def sale(self, case: Case) -> bool:
        """A home is sold: the old ownership becomes history, a new one begins under another owner."""
        rows = [kept for kept in case.of(_OWNERSHIP) if kept.clean and kept.clean["status"] == "1"]
        house = case.household.house
        sold = [kept for kept in rows if house and kept.clean and kept.clean["house_code"] == house.code]
        if not sold or house is None or self._buyer is None or self._buyer in case.household.members:
            return False
        for kept in sold:
            assert kept.clean is not None
            self._book.put(case, _OWNERSHIP, {**kept.clean, "status": "2", "mortgaged": False})
        for dataset, record in self._registers.ownership(house, [self._buyer], registered=self.today):
            self._book.put(None, dataset, record)
        return True

    def ownership_erased(self, case: Case) -> bool:
        """A registration made by mistake is deleted."""
        rows = case.of(_OWNERSHIP)
        if rows:
            self._book.remove(case, rows[-1])
        return bool(rows)

    # --- everything else -----------------------------------------------------------------------------------------

    def phone_change(self, case: Case) -> bool:
        """Somebody has a new phone number, which is shared with nobody."""
        person = next((each for each in case.household.living() if each.phone), None)
        if person is None:
            return False
        self._phones += 1
        person.phone = phone(90_000_000 + self._phones * 97)
        self._book.put(case, POPULATION, population_record(person))
        return True

    def firm_changes(self, case: Case) -> bool:
        """A firm raises its capital or is cancelled; the tax office does not always notice."""
        firms = [kept for kept in case.of(_FIRM) if kept.clean and kept.clean["status"] == "1"]
        if not firms or firms[0].clean is None:
            return False
        record = firms[0].clean
        if record["registered_capital"] is not None and self.random.random() < 0.6:
            self._book.put(case, _FIRM, {**record, "registered_capital": record["registered_capital"] * 2})
            return True
        self._book.put(case, _FIRM, {**record, "status": "2"})
        for kept in case.of(_TAX):
            file = kept.clean
            if file and file["taxpayer_id"] == record["uscc"]:
                if kept.fault is None and self.random.random() < 0.3:
                    self._enter("cancelled_but_active", kept, "status", "wrong", right="4", written=file["status"])
                else:
                    self._book.put(case, _TAX, {**file, "status": "4"})
        return True

    def arrears_paid(self, case: Case) -> bool:
        """Unpaid months of social insurance are paid late."""
        paid = False
        for kept in case.of(_INSURANCE):
            record = kept.clean
            if record and record["status"] == "2":
                share = 24 if record["insurance_type"] == "110" else 8
                amount = record["base"] * share // 100
                change = {"status": "3", "paid": amount, "paid_date": day(self.today)}
                self._book.put(case, _INSURANCE, {**record, **change})
                paid = True
        return paid

    def insurance_refunded(self, case: Case) -> bool:
        """A month that was paid twice is refunded and its row deleted."""
        rows = case.of(_INSURANCE)
        if rows:
            self._book.remove(case, rows[-1])
        return bool(rows)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that may happen, and how readily it does where it can."""

    name: str
    weight: float
    happen: Callable[[Life, Case], bool]


EVENTS: tuple[Event, ...] = (
    Event("correction", 8, Life.correction),
    Event("leave_filter", 6, Life.leave_filter),
    Event("enter_filter", 1, Life.enter_filter),
    Event("move_nearby", 2, Life.move_nearby),
    Event("marriage", 20, Life.marriage),
    Event("divorce", 0.8, Life.divorce),
    Event("birth", 3, Life.birth),
    Event("death", 5, Life.death),
    Event("benefit_start", 0.7, Life.benefit_start),
    Event("benefit_end", 6, Life.benefit_end),
    Event("benefit_vanishes", 3, Life.benefit_vanishes),
    Event("transfer", 2, Life.transfer),
    Event("lease_start", 0.8, Life.lease_start),
    Event("lease_end", 5, Life.lease_end),
    Event("sale", 1, Life.sale),
    Event("ownership_erased", 0.3, Life.ownership_erased),
    Event("phone_change", 1, Life.phone_change),
    Event("firm_changes", 5, Life.firm_changes),
    Event("arrears_paid", 8, Life.arrears_paid),
    Event("insurance_refunded", 0.4, Life.insurance_refunded),
    Event("resent", 0.5, Life.resent),
)
