"""Work in Yunhai: who is insured by whom, who answers for which firm, and what the tax office holds of both."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

from govbus.ops.city.codes import bank_account
from govbus.ops.city.economy import Enterprise, enterprises
from govbus.ops.city.families import TODAY, Household, Person

Record = dict[str, Any]
Entry = tuple[str, Record]
"""Dataset id (``department.dataset``) and one record of it."""

FIRM_SHARE = 0.03
"""Enterprises per person."""

INSURANCE_MONTHS = ("2025-07", "2025-08", "2025-09")


def day(ordinal: int) -> date:
    """Return the date of an ordinal day."""
    return date.fromordinal(ordinal)


class Work:
    """Gives people jobs and firms their legal representatives, in the order in which households come."""

    def __init__(self, seed: int, people: int) -> None:
        self._chance = Random(f"work {seed}").random
        self.enterprises: list[Enterprise] = enterprises(seed, max(3, int(people * FIRM_SHARE)))
        self._people = self._next_firm = 0

    def job(self, person: Person) -> Iterator[Entry]:
        """Yield what a job leaves behind: months of social insurance, now and then a tax file of one's own."""
        chance = self._chance
        if not 20 <= person.age() < 60 or chance() > 0.55:
            return
        firm = int(chance() * len(self.enterprises))
        while self.enterprises[firm].status != "1":
            firm = (firm + 1) % len(self.enterprises)
        base = 480_000 + int(chance() ** 2 * 25_000) * 100
        kinds = ("110", "310") if chance() < 0.25 else ("110",)
        unpaid = chance() < 0.03
        for month in INSURANCE_MONTHS:
            for kind in kinds:
                arrears = unpaid and month == INSURANCE_MONTHS[-1]
                yield (
                    "human_resources.social_insurance_month",
                    self.insurance(person, month, kind, self.enterprises[firm].uscc, base, "2" if arrears else "1"),
                )
        if chance() < 0.08:
            yield (
                "taxation.taxpayer",
                {
                    "taxpayer_id": person.id,
                    "name": person.name,
                    "taxpayer_type": "3",
                    "division": person.residence or person.household.division,
                    "legal_rep_name": None,
                    "registered_date": day(TODAY - int(chance() * 2000)),
                    "status": "1",
                    "yearly_tax": int(chance() ** 3 * 5_000_000),
                    "refund_account": bank_account(int(chance() * 10**12)),
                },
            )

    def insurance(self, person: Person, month: str, kind: str, employer: str, base: int, status: str) -> Record:
        """Return one month of one insurance of *person*; unpaid where *status* is 2."""
        year, number = int(month[:4]), int(month[5:])
        return {
            "citizen_id": person.id,
            "month": month,
            "insurance_type": kind,
            "name": person.name,
            "employer": employer,
            "base": base,
            "paid": 0 if status == "2" else base * (24 if kind == "110" else 8) // 100,
            "status": status,
            "paid_date": None if status == "2" else date(year, number, 12 + base // 100 % 15),
        }

    def firms(self, household: Household) -> Iterator[Entry]:
        """Give firms that wait for a legal representative to adults of this household."""
        self._people += len(household.members)
        adults = [person for person in household.living() if person.age() >= 18]
        due = min(len(self.enterprises), int(self._people * FIRM_SHARE))
        while adults and self._next_firm < due:
            person = adults[int(self._chance() * len(adults))]
            yield from self.firm(self._next_firm, person)
            self._next_firm += 1

    def firm(self, place: int, person: Person) -> Iterator[Entry]:
        """Yield the registration of the enterprise at *place*, which *person* answers for, and its tax file."""
        firm = self.enterprises[place]
        yield (
            "market_regulation.enterprise",
            {
                "uscc": firm.uscc,
                "name": firm.name,
                "enterprise_type": firm.type,
                "legal_rep_name": person.name,
                "legal_rep_id": person.id,
                "registered_capital": None if firm.capital is None else Decimal(firm.capital * 100).scaleb(-2),
                "currency": None if firm.capital is None else "156",
                "established_date": day(firm.established),
                "status": firm.status,
                "address": firm.address,
                "division": firm.division,
                "industry_codes": list(firm.trade.industries),
                "scope": firm.trade.scope,
                "registration_no": firm.registration_no,
            },
        )
        if firm.pays_tax:
            yield (
                "taxation.taxpayer",
                {
                    "taxpayer_id": firm.uscc,
                    "name": firm.name,
                    "taxpayer_type": "2" if firm.type == "9200" else "1",
                    "division": firm.division,
                    "legal_rep_name": person.name,
                    "registered_date": day(min(TODAY, firm.established + int(self._chance() * 30))),
                    "status": {"1": "1", "2": "4", "3": "3"}[firm.status],
                    "yearly_tax": int(self._chance() ** 4 * (firm.capital or 50_000) * 20),
                    "refund_account": bank_account(int(self._chance() * 10**12)) if self._chance() < 0.5 else None,
                },
            )
