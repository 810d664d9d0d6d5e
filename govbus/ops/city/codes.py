"""Codes that are right in every check character and belong to nobody: citizen ids, USCCs, registration numbers.

Every citizen id and USCC carries division prefix 89, which GB/T 2260 has never assigned; phone numbers begin with 154,
which no operator was given; bank accounts fail the Luhn check, so no bank can have issued them.
"""

from __future__ import annotations

from array import array
from datetime import date

from govbus.rules.identity import uscc_check

FIRST_DAY = date(1900, 1, 1).toordinal()
LAST_DAY = date(2049, 12, 31).toordinal()
_HIGHEST_SEQUENCE = 995  # 996 to 999 were kept for centenarians in 15-digit ids
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)


def _sum(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


class CitizenIds:
    """Issues citizen ids, none twice: odd sequences to men, even ones to women, counted per division and day."""

    def __init__(self) -> None:
        self._issued: dict[str, tuple[int, array[int]]] = {}
        self._days: dict[int, tuple[str, int]] = {}
        self._sequences = [
            (f"{number:03}", _sum(f"{number:03}", _WEIGHTS[14:])) for number in range(_HIGHEST_SEQUENCE + 1)
        ]

    def issue(self, division: str, birth: int, male: bool) -> str:
        """Return the next id of *division* for a birth on ordinal day *birth* (1900 to 2049).

        Raises ValueError when that day's numbers are used up (some 300 persons of one sex).
        """
        try:
            division_sum, counters = self._issued[division]
        except KeyError:
            division_sum = _sum(division, _WEIGHTS[:6])
            counters = array("H", bytes(4 * (LAST_DAY - FIRST_DAY + 1)))
            self._issued[division] = division_sum, counters
        try:
            day, day_sum = self._days[birth]
        except KeyError:
            day = date.fromordinal(birth).strftime("%Y%m%d")
            day_sum = _sum(day, _WEIGHTS[6:14])
            self._days[birth] = day, day_sum
        slot = 2 * (birth - FIRST_DAY) + male
        count = counters[slot]
        counters[slot] = count + 1
        number = birth * 37 % 200 * 2 + 2 * count + (1 if male else 2)
        if not number % 100:
            # An id that ends in 000 cannot be told from one that a spreadsheet has rounded.
            return self.issue(division, birth, male)
        if number > _HIGHEST_SEQUENCE:
            raise ValueError("all numbers of this division and day are issued: fewer people, please")
        sequence, sequence_sum = self._sequences[number]
        return division + day + sequence + _CHECKS[(division_sum + day_sum + sequence_sum) % 11]


def wrong_check(code: str) -> str:
    """Return *code* with a last character that makes it neither a citizen id nor a USCC, but keeps its form."""
    right = {code[-1], uscc_check(code[:17])}
    return code[:-1] + next(digit for digit in "012" if digit not in right)


def old_citizen_id(citizen_id: str) -> str | None:
    """Return the 15 digits of the first generation of *citizen_id*, or None for a birth outside the 20th century."""
    if citizen_id[6:8] != "19" or citizen_id[14:17] >= "996":
        return None
    return citizen_id[:6] + citizen_id[8:17]


def uscc(kind: str, division: str, serial: int) -> str:
    """Return the USCC of the *serial*-th body of *kind* (``91`` enterprise, ``92`` individual, ``12`` institution).

    Its organisation code is of the kind given since 2015 (MA...) and has its own right check character.
    """
    number, letters = serial * 7919 % 31**5, ""
    for _ in range(5):
        number, digit = divmod(number, 31)
        letters = _USCC_ALPHABET[digit] + letters
    body = f"MA{letters}8"
    check = 11 - sum(int(each, 36) * weight for each, weight in zip(body, _ORGANISATION_WEIGHTS, strict=True)) % 11
    first17 = kind + division + body + {10: "X", 11: "0"}.get(check, str(check))
    return first17 + uscc_check(first17)


def registration_number(division: str, serial: int) -> str:
    """Return a 15-digit registration number of before 2015 (check digit ISO 7064 MOD 11,10)."""
    first14 = f"{division}{serial:08}"
    product = 10
    for digit in first14:
        product = ((product + int(digit)) % 10 or 10) * 2 % 11
    return first14 + str((11 - product) % 10)


def phone(number: int) -> str:
    """Return a mobile number of a range that no operator was given."""
    return f"154{number % 100_000_000:08}"


def bank_account(number: int) -> str:
    """Return a 19-digit account whose Luhn digit is wrong."""
    first18 = f"620890{number % 10**12:012}"
    total = 0
    for place, character in enumerate(reversed(first18)):
        digit = int(character) * (2 if place % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    return f"{first18}{((10 - total % 10) + 5) % 10}"
