"""Structural checks: what must hold between the fields of one record, whatever any other register says.

A dataset declares them (``checks:``), each one of the rules below, with the fields it looks at and with what becomes of
a record that fails: it is put aside (`reject`), or accepted and counted as a quality fault (`flag`). Only what is
known to be wrong fails: an absent value, a code that says neither sex, an id whose inside no standard vouches for leave
a check undecided, and undecided is no failure. No reason contains a value.

Operands come as texts (codes, enum symbols, ids), whole numbers, days since 1970-01-01, or moments in their own unit;
None is an absent one. Ids and codes are in their canonical form (`govbus.rules.formats`) when a check is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from govbus.rules.dates import EPOCH_DAY
from govbus.rules.identity import (
    folded,
    is_canonical_citizen_id,
    is_canonical_uscc,
    organisation_code_canonical,
)

OnFailure = Literal["reject", "flag"]
ON_FAILURE: tuple[OnFailure, ...] = ("reject", "flag")

Value = str | int
"""What one operand holds."""


@dataclass(frozen=True, slots=True)
class Check:
    """One declared check: the rule, the field of each operand, the rule's settings, what a failure means."""

    rule: str
    on_failure: OnFailure
    fields: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def field(self) -> str:
        """The field that a failure names: where the record is most likely to be put right."""
        return dict(self.fields)[RULES[self.rule].named]

    def setting(self, name: str) -> Any:
        """Return a setting, or None where it is not declared."""
        return dict(self.settings).get(name)


@dataclass(frozen=True, slots=True)
class Holds:
    """The record is in order as far as this check goes."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """Nothing can be said, and `reason` is why. No failure."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fails:
    """The record contradicts itself: by which rule, in which field, and what is wrong in a clerk's words."""

    rule: str
    field: str
    reason: str


Decision = Holds | Undecided | Fails

ABSENT = Undecided("an operand is absent")
NO_ID = Undecided("not a citizen id in its canonical form")
FOREIGNER = Undecided("the id of a foreigner (9...): no public standard says what its digits 2 to 17 mean")
NO_SEX = Undecided("the code says neither male nor female")
NO_DATES = Undecided("not two days or two moments")
NO_STUDENT_ID = Undecided("a student number that is not made of an id (the letter is not G)")


def decide(check: Check, values: Mapping[str, Value | None]) -> Decision:
    """Return whether a record holds to *check*, given the value of each operand by its name. Pure and total."""
    rule = RULES[check.rule]
    present = {name: values.get(name) for name in rule.operands}
    if None in present.values():
        return ABSENT
    found = rule.test(present, check)
    if isinstance(found, Undecided):
        return found
    return Holds() if found else Fails(check.rule, check.field, rule.fault)


# --- the rules --------------------------------------------------------------------------------------------------------

_Values = Mapping[str, Any]
_Test = Callable[[_Values, Check], "bool | Undecided"]


@dataclass(frozen=True, slots=True)
class Operand:
    """What an operand must be: of one of these kinds and, where stated, of that format (so that its form is known)."""

    kinds: frozenset[str]
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `title` says what must hold, `fault` what is wrong where it does not; `named` is the operand that a
    failure names. `settings` are the words beside the operands; those without a default are `required`.
    """

    title: str
    fault: str
    operands: Mapping[str, Operand]
    named: str
    test: _Test
    settings: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()


CODE_KINDS = frozenset({"string", "enum", "int", "long"})
_NUMBERED = frozenset({"string", "int", "long"})
_TEXT = frozenset({"string"})
_ID = Operand(_TEXT, "citizen_id")
_USCC = Operand(_TEXT, "uscc")
_CERTIFICATE = Operand(_TEXT, "disability_certificate")
_MOMENT = frozenset({"date", "timestamp"})

MALE, FEMALE = "1", "2"
"""The codes of GB/T 2261.1; a field with other codes declares its own."""

BIRTH_DATE = slice(6, 14)
SEX_DIGIT = 16
CATEGORY, GRADE = 18, 19
ORGANISATION_CODE = slice(8, 17)


def _unreadable(number: object) -> Undecided | None:
    """Return why birth date and sex cannot be read out of an id, or None where they can.

    Those of residents from Hong Kong, Macau and Taiwan (81, 82, 83) are made by the same standard as citizens'.
    """
    if not isinstance(number, str) or not number.isascii() or not is_canonical_citizen_id(number.encode()):
        return NO_ID
    return FOREIGNER if number[0] == "9" else None


def day_in_id(digits: str) -> int:
    """Return the day that eight digits YYYYMMDD name, counted from 1970-01-01. Raises ValueError for no day."""
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).toordinal() - EPOCH_DAY


def codes_of_sexes(check: Check) -> tuple[str, str]:
    """Return the codes of male and female that *check* goes by."""
    return check.setting("male") or MALE, check.setting("female") or FEMALE


def _birth_date_of_id(values: _Values, _: Check) -> bool | Undecided:
    number = values["id"]
    return _unreadable(number) or bool(day_in_id(number[BIRTH_DATE]) == values["date"])


def _sex_of_id(values: _Values, check: Check) -> bool | Undecided:
    number, code = values["id"], str(values["sex"])
    if (unreadable := _unreadable(number)) is not None:
        return unreadable
    codes = codes_of_sexes(check)
    return (code == codes[0]) == _is_male(number) if code in codes else NO_SEX


def _id_of_sex(values: _Values, check: Check) -> bool | Undecided:
    number = values["id"]
    return _unreadable(number) or _is_male(number) == (check.setting("is") == "male")


def _is_male(number: str) -> bool:
    return number[SEX_DIGIT] in "13579"


def _certificate_of_id(values: _Values, _: Check) -> bool:
    return bool(str(values["certificate"])[:18] == values["id"])


def _certificate_category(values: _Values, _: Check) -> bool:
    return str(values["certificate"])[CATEGORY : CATEGORY + 1] == str(values["category"])


def _certificate_grade(values: _Values, _: Check) -> bool:
    return str(values["certificate"])[GRADE : GRADE + 1] == str(values["grade"])


def _student_no_of_id(values: _Values, _: Check) -> bool | Undecided:
    try:
        number = folded(str(values["student_no"]))
    except ValueError:
        return NO_STUDENT_ID
    return bool(number[1:] == values["id"]) if number[:1] == "G" else NO_STUDENT_ID


def _organisation_code_of_uscc(values: _Values, _: Check) -> bool:
    return bool(str(values["uscc"])[ORGANISATION_CODE] == values["organisation_code"])


def _organisation_code_check(values: _Values, _: Check) -> bool | Undecided:
    uscc = str(values["uscc"])
    if not uscc.isascii() or not is_canonical_uscc(uscc.encode()):
        return Undecided("not a USCC in its canonical form")
    return has_organisation_check(uscc[ORGANISATION_CODE])


def has_organisation_check(code: str) -> bool:
    """Return whether nine characters are an organisation code with its right check character (GB 11714)."""
    try:
        return organisation_code_canonical(code) == code
    except ValueError:
        return False


def _date_order(values: _Values, _: Check) -> bool | Undecided:
    first, then = values["first"], values["then"]
    return first <= then if isinstance(first, int) and isinstance(then, int) else NO_DATES


def _value_set(values: _Values, check: Check) -> bool:
    return str(values["field"]) in (check.setting("values") or ())


RULES: Mapping[str, Rule] = {
    # GB 11643: digits 7 to 14 are the birth date, the 17th is odd for men and even for women.
    "birth_date_of_id": Rule(
        title="出生日期与公民身份号码第七至十四位一致",
        fault="出生日期与公民身份号码不一致",
        operands={"id": _ID, "date": Operand(frozenset({"date"}))},
        named="date",
        test=_birth_date_of_id,
    ),
    "sex_of_id": Rule(
        title="性别与公民身份号码第十七位（奇数为男，偶数为女）一致",
        fault="性别与公民身份号码不一致",
        operands={"id": _ID, "sex": Operand(CODE_KINDS)},
        named="sex",
        test=_sex_of_id,
        settings=frozenset({"male", "female"}),
    ),
    "id_of_sex": Rule(
        title="公民身份号码是该性别的号码（如母亲的号码为女性号码）",
        fault="公民身份号码不是该性别的号码",
        operands={"id": _ID},
        named="id",
        test=_id_of_sex,
        settings=frozenset({"is"}),
        required=frozenset({"is"}),
    ),
    # 残疾人证管理办法: the number is the id, then one digit each for category (1-7) and grade (1-4) (GB/T 26341).
    "certificate_of_id": Rule(
        title="残疾人证号前十八位是公民身份号码",
        fault="残疾人证号所含公民身份号码与公民身份号码不一致",
        operands={"certificate": _CERTIFICATE, "id": _ID},
        named="certificate",
        test=_certificate_of_id,
    ),
    "certificate_category": Rule(
        title="残疾人证号第十九位与残疾类别一致",
        fault="残疾人证号所含残疾类别与残疾类别不一致",
        operands={"certificate": _CERTIFICATE, "category": Operand(_NUMBERED)},
        named="certificate",
        test=_certificate_category,
    ),
    "certificate_grade": Rule(
        title="残疾人证号第二十位与残疾等级一致",
        fault="残疾人证号所含残疾等级与残疾等级不一致",
        operands={"certificate": _CERTIFICATE, "grade": Operand(_NUMBERED)},
        named="certificate",
        test=_certificate_grade,
    ),
    # 中小学生学籍管理办法（教基一〔2013〕7号）: G and the id; pupils without an id have another letter for a time.
    "student_no_of_id": Rule(
        title="学籍号为字母 G 加公民身份号码",
        fault="学籍号所含公民身份号码与公民身份号码不一致",
        operands={"student_no": Operand(_TEXT), "id": _ID},
        named="student_no",
        test=_student_no_of_id,
    ),
    # GB 32100: characters 9 to 17 are the organisation code (GB 11714), its check character included.
    "organisation_code_of_uscc": Rule(
        title="统一社会信用代码第九至十七位是组织机构代码",
        fault="统一社会信用代码所含组织机构代码与组织机构代码不一致",
        operands={"uscc": _USCC, "organisation_code": Operand(_TEXT, "organisation_code")},
        named="organisation_code",
        test=_organisation_code_of_uscc,
    ),
    "organisation_code_check": Rule(
        title="统一社会信用代码所含组织机构代码的校验码正确",
        fault="统一社会信用代码所含组织机构代码的校验码不正确",
        operands={"uscc": _USCC},
        named="uscc",
        test=_organisation_code_check,
    ),
    "date_order": Rule(
        title="前一日期不晚于后一日期",
        fault="日期先后颠倒",
        operands={"first": Operand(_MOMENT), "then": Operand(_MOMENT)},
        named="then",
        test=_date_order,
    ),
    "value_set": Rule(
        title="取值在列明的范围（缺省为该项的代码表）之内",
        fault="取值不在规定范围之内",
        operands={"field": Operand(CODE_KINDS)},
        named="field",
        test=_value_set,
        settings=frozenset({"values"}),
    ),
}
"""Every rule by its name in declarations."""

WORDS = frozenset({"rule", "on_failure"})
"""What every declared check has beside its operands and settings."""


def parse_check(declared: Mapping[str, Any]) -> Check:
    """Return the check that a declaration spells out.

    Raises ValueError for a rule, operand or setting outside the vocabulary, or a required one that is absent;
    `govbus.catalogue.check_structure` says so with line and remedy.
    """
    name = str(declared.get("rule"))
    rule = RULES.get(name)
    if rule is None:
        raise ValueError(f"unknown rule {name}; known rules: {', '.join(RULES)}")
    words = declared.keys() - WORDS
    if unknown := sorted(words - rule.operands.keys() - rule.settings):
        raise ValueError(f"{name} has no {unknown[0]}")
    if missing := sorted((rule.operands.keys() | rule.required) - words):
        raise ValueError(f"{name} lacks {missing[0]}")
    on_failure = declared.get("on_failure")
    if on_failure not in ON_FAILURE:
        raise ValueError(f"on_failure of {name} is one of: {', '.join(ON_FAILURE)}")
    fields = tuple((operand, str(declared[operand])) for operand in rule.operands)
    settings = tuple((word, _setting(word, declared[word])) for word in sorted(rule.settings & words))
    return Check(name, on_failure, fields, settings)


def _setting(name: str, declared: Any) -> Any:
    if name == "values":
        if not isinstance(declared, list | tuple) or not declared:
            raise ValueError("values is a list with at least one entry")
        return tuple(str(each) for each in declared)
    return str(declared)
