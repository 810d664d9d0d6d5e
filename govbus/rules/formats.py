"""The formats a field can have (`format:` in a dataset's declaration): for each its canonical form, and the test of it.

The publisher brings values into canonical form; the worker refuses what is not in it. A format speaks of texts: dates,
numbers and code lists have types and tables of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from govbus.rules import identity


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    `canonical` returns the canonical text or raises ValueError with a reason that never contains the value;
    it is idempotent. `is_canonical` tells of UTF-8 bytes whether `canonical` would return them unchanged.
    """

    title: str
    canonical: Callable[[str], str]
    is_canonical: Callable[[bytes], bool]


def _slow_test(canonical: Callable[[str], str]) -> Callable[[bytes], bool]:
    """Return the test that asks *canonical* itself."""

    def is_canonical(value: bytes) -> bool:
        try:
            text = value.decode()
            return canonical(text) == text
        except ValueError:  # UnicodeDecodeError is one
            return False

    return is_canonical


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    """Return the test that a value matches *pattern* as a whole."""
    fullmatch = re.compile(pattern).fullmatch
    return lambda value: fullmatch(value) is not None


def _pattern(title: str, pattern: str, reason: str) -> Format:
    """Return the format of folded texts that match *pattern* as a whole."""
    matches = re.compile(pattern, re.ASCII).fullmatch

    def canonical(text: str) -> str:
        plain = identity.folded(text)
        if matches(plain) is None:
            raise ValueError(reason)
        return plain

    return Format(title, canonical, _matches(pattern.encode()))


_MOBILE = re.compile(r"1[3-9]\d{9}", re.ASCII).fullmatch
_LANDLINE = re.compile(r"0\d{9,11}", re.ASCII).fullmatch


def _phone(text: str) -> str:
    plain = identity.folded(text).replace("(", "").replace(")", "")
    if plain.startswith("+86"):
        plain = plain[3:]
        if _MOBILE(plain) is None and not plain.startswith("0"):
            plain = "0" + plain
    if _MOBILE(plain) is None and _LANDLINE(plain) is None:
        raise ValueError("a phone number is a mobile number of 11 digits, or area code from 0 on and number")
    return plain


# No dot: a spreadsheet turns 2026.10 into 2026.1.
_MONTH = re.compile(r"(\d{4})(?:[-/年]?(\d\d)|[-/年](\d))月?", re.ASCII).fullmatch


def _month(text: str) -> str:
    found = _MONTH(unicodedata.normalize("NFKC", text).strip())
    month = int(found[2] or found[3]) if found else 0
    if found is None or not 1 <= month <= 12 or not 1800 <= int(found[1]) <= 2199:
        raise ValueError("a month is a year and 01 to 12, e.g. 2026-03 or 202603")
    return f"{found[1]}-{month:02}"


FORMATS: Mapping[str, Format] = {
    "citizen_id": Format("公民身份号码", identity.citizen_id_canonical, identity.is_canonical_citizen_id),
    "uscc": Format("统一社会信用代码", identity.uscc_canonical, identity.is_canonical_uscc),
    "party_id": Format("公民身份号码或统一社会信用代码", identity.party_id_canonical, identity.is_canonical_party_id),
    "organisation_code": Format(
        "组织机构代码", identity.organisation_code_canonical, _slow_test(identity.organisation_code_canonical)
    ),
    "registration_number": Format(
        "工商注册号", identity.registration_number_canonical, _slow_test(identity.registration_number_canonical)
    ),
    "division": _pattern("行政区划代码", r"[1-9]\d{5}", "a division is a code of six digits, never a name"),
    "house_code": _pattern("房屋编码", r"[0-9A-Z]{10,32}", "a house code has 10 to 32 digits and letters"),
    "real_estate_unit": _pattern("不动产单元代码", r"\d{12}[0-9A-Z]{16}", "a real estate unit has 28 characters"),
    "birth_certificate": _pattern("出生医学证明编号", r"[A-Z]\d{9}", "a birth certificate is a letter and nine digits"),
    "disability_certificate": _pattern(
        "残疾人证号", r"[1-9]\d{16}[0-9X][1-7][1-4](B\d{1,2})?", "a citizen id, then category 1-7 and grade 1-4"
    ),
    "phone": Format("电话号码", _phone, _matches(rb"1[3-9]\d{9}|0\d{9,11}")),
    "month": Format("年月", _month, _matches(rb"(18|19|20|21)\d\d-(0[1-9]|1[0-2])")),
    "year": _pattern("年份", r"(18|19|20|21)\d\d", "a year has four digits"),
}
"""Every format by its name in declarations."""
