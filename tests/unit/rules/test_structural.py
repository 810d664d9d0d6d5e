"""Structural checks by example: what each rule takes, what it refuses, and where it says nothing."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from govbus.rules import structural
from govbus.rules.structural import RULES, Fails, Holds, Undecided, Value, decide, parse_check

MAN, WOMAN = "890101200503140018", "890101200503140026"
STANDARD, CENTENARIAN = "11010519491231002X", "440524188001010014"
HONG_KONG, TAIWAN, FOREIGNER = "810000199001010019", "830000198506150024", "911034198401010011"
DISABLED = MAN + "31"
FIRM, WRAPPED = "91350100M000100Y43", "918901000000004650"
WRONG_INSIDE = "91890100MA5TEXT04N"
"""A USCC with its right check character, whose organisation code MA5TEXT04 has a wrong one (MA5TEXT03 is right)."""


def day(year: int, month: int, day_of_month: int) -> int:
    return (date(year, month, day_of_month) - date(1970, 1, 1)).days


HOLDS: list[tuple[str, dict[str, Value | None], dict[str, Any]]] = [
    ("birth_date_of_id", {"id": MAN, "date": day(2005, 3, 14)}, {}),
    ("birth_date_of_id", {"id": STANDARD, "date": day(1949, 12, 31)}, {}),
    ("birth_date_of_id", {"id": CENTENARIAN, "date": day(1880, 1, 1)}, {}),
    ("birth_date_of_id", {"id": HONG_KONG, "date": day(1990, 1, 1)}, {}),
    ("sex_of_id", {"id": MAN, "sex": "1"}, {}),
    ("sex_of_id", {"id": WOMAN, "sex": "2"}, {}),
    ("sex_of_id", {"id": WOMAN, "sex": 2}, {}),
    ("sex_of_id", {"id": STANDARD, "sex": "F"}, {"male": "M", "female": "F"}),
    ("id_of_sex", {"id": WOMAN}, {"is": "female"}),
    ("id_of_sex", {"id": MAN}, {"is": "male"}),
    ("id_of_sex", {"id": TAIWAN}, {"is": "female"}),
    ("certificate_of_id", {"certificate": DISABLED, "id": MAN}, {}),
    ("certificate_of_id", {"certificate": DISABLED + "B1", "id": MAN}, {}),
    ("certificate_category", {"certificate": DISABLED, "category": "3"}, {}),
    ("certificate_category", {"certificate": DISABLED, "category": 3}, {}),
    ("certificate_grade", {"certificate": DISABLED + "B12", "grade": "1"}, {}),
    ("student_no_of_id", {"student_no": f"G{MAN}", "id": MAN}, {}),
    ("student_no_of_id", {"student_no": "Ｇ11010519491231002x", "id": STANDARD}, {}),
    ("organisation_code_of_uscc", {"uscc": FIRM, "organisation_code": "M000100Y4"}, {}),
    ("organisation_code_check", {"uscc": FIRM}, {}),
    ("organisation_code_check", {"uscc": WRAPPED}, {}),
    ("organisation_code_check", {"uscc": "91890100MA5TEXT03K"}, {}),
    ("date_order", {"first": day(2026, 1, 1), "then": day(2026, 1, 2)}, {}),
    ("date_order", {"first": day(2026, 1, 1), "then": day(2026, 1, 1)}, {}),
    ("date_order", {"first": day(2026, 1, 1), "then": day(9999, 12, 31)}, {}),
    ("date_order", {"first": day(1900, 1, 1), "then": day(1969, 12, 31)}, {}),
    ("value_set", {"field": "1"}, {"values": ["1", "2"]}),
    ("value_set", {"field": 6}, {"values": [1, 2, 3, 4, 5, 6]}),
]
FAILS: list[tuple[str, dict[str, Value | None], dict[str, Any]]] = [
    ("birth_date_of_id", {"id": MAN, "date": day(2005, 3, 15)}, {}),
    ("birth_date_of_id", {"id": CENTENARIAN, "date": day(1980, 1, 1)}, {}),
    ("birth_date_of_id", {"id": TAIWAN, "date": day(1985, 6, 14)}, {}),
    ("birth_date_of_id", {"id": MAN, "date": day(1900, 1, 1)}, {}),
    ("sex_of_id", {"id": MAN, "sex": "2"}, {}),
    ("sex_of_id", {"id": WOMAN, "sex": "1"}, {}),
    ("sex_of_id", {"id": STANDARD, "sex": "M"}, {"male": "M", "female": "F"}),
    ("sex_of_id", {"id": HONG_KONG, "sex": 2}, {}),
    ("id_of_sex", {"id": MAN}, {"is": "female"}),
    ("id_of_sex", {"id": WOMAN}, {"is": "male"}),
    ("certificate_of_id", {"certificate": DISABLED, "id": WOMAN}, {}),
    ("certificate_category", {"certificate": DISABLED, "category": "4"}, {}),
    ("certificate_category", {"certificate": DISABLED, "category": "03"}, {}),
    ("certificate_grade", {"certificate": DISABLED, "grade": "3"}, {}),
    ("student_no_of_id", {"student_no": f"G{WOMAN}", "id": MAN}, {}),
    ("student_no_of_id", {"student_no": f"G{MAN[:17]}", "id": MAN}, {}),
    ("organisation_code_of_uscc", {"uscc": FIRM, "organisation_code": "MA5TEXT03"}, {}),
    ("organisation_code_check", {"uscc": WRONG_INSIDE}, {}),
    ("date_order", {"first": day(2026, 1, 2), "then": day(2026, 1, 1)}, {}),
    ("date_order", {"first": day(1970, 1, 1), "then": day(1969, 12, 31)}, {}),
    ("value_set", {"field": "3"}, {"values": ["1", "2"]}),
    ("value_set", {"field": "01"}, {"values": ["1", "2"]}),
    ("value_set", {"field": ""}, {"values": ["1", "2"]}),
    ("value_set", {"field": 7}, {"values": [1, 2, 3, 4, 5, 6]}),
]
UNDECIDED: list[tuple[str, dict[str, Value | None], dict[str, Any]]] = [
    ("birth_date_of_id", {"id": FOREIGNER, "date": day(2005, 3, 14)}, {}),
    ("birth_date_of_id", {"id": None, "date": day(2005, 3, 14)}, {}),
    ("birth_date_of_id", {"id": MAN, "date": None}, {}),
    ("birth_date_of_id", {"id": "H01234567", "date": day(2005, 3, 14)}, {}),
    ("sex_of_id", {"id": FOREIGNER, "sex": "2"}, {}),
    ("sex_of_id", {"id": MAN, "sex": "0"}, {}),
    ("sex_of_id", {"id": MAN, "sex": "9"}, {}),
    ("sex_of_id", {"id": WOMAN, "sex": "1"}, {"male": "M", "female": "F"}),
    ("id_of_sex", {"id": FOREIGNER}, {"is": "female"}),
    ("id_of_sex", {"id": None}, {"is": "male"}),
    ("certificate_of_id", {"certificate": None, "id": MAN}, {}),
    ("student_no_of_id", {"student_no": f"L{WOMAN}", "id": MAN}, {}),
    ("student_no_of_id", {"student_no": "20260001", "id": MAN}, {}),
    ("organisation_code_of_uscc", {"uscc": FIRM, "organisation_code": None}, {}),
    ("organisation_code_check", {"uscc": FIRM[:17] + "4"}, {}),
    ("date_order", {"first": day(2026, 1, 2), "then": None}, {}),
    ("value_set", {"field": None}, {"values": ["1", "2"]}),
]


def decided(rule: str, values: dict[str, Value | None], settings: dict[str, Any]) -> structural.Decision:
    fields = {operand: f"field_of_{operand}" for operand in RULES[rule].operands}
    return decide(parse_check({"rule": rule, "on_failure": "flag", **fields, **settings}), values)


@pytest.mark.parametrize(("rule", "values", "settings"), HOLDS)
def test_a_sound_record_holds(rule: str, values: dict[str, Value | None], settings: dict[str, Any]) -> None:
    """What agrees, by the letter of the standard, holds."""
    assert decided(rule, values, settings) == Holds()


@pytest.mark.parametrize(("rule", "values", "settings"), FAILS)
def test_a_contradiction_fails(rule: str, values: dict[str, Value | None], settings: dict[str, Any]) -> None:
    """What cannot both be true fails; the decision names rule and field and holds no value."""
    decision = decided(rule, values, settings)
    assert decision == Fails(rule, f"field_of_{RULES[rule].named}", RULES[rule].fault)
    assert not any(str(value) in decision.reason for value in values.values() if value != "")


@pytest.mark.parametrize(("rule", "values", "settings"), UNDECIDED)
def test_what_cannot_be_told_is_no_failure(
    rule: str, values: dict[str, Value | None], settings: dict[str, Any]
) -> None:
    """An absent operand, a foreigner's id, a code of neither sex, a number of another kind: nothing is said."""
    assert isinstance(decided(rule, values, settings), Undecided)


def test_every_rule_has_examples_of_both() -> None:
    """No rule stands in the table without an example that holds and one that fails."""
    for examples in (HOLDS, FAILS):
        assert {rule for rule, _, _ in examples} == RULES.keys()


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"rule": "zodiac_of_id", "on_failure": "flag"}, "unknown rule zodiac_of_id; known rules: birth_date_of_id"),
        ({"rule": "id_of_sex", "id": "a", "on_failure": "flag"}, "id_of_sex lacks is"),
        ({"rule": "id_of_sex", "id": "a", "is": "male", "on_failure": "warn"}, "on_failure of id_of_sex"),
        ({"rule": "date_order", "first": "a", "on_failure": "flag"}, "date_order lacks then"),
        ({"rule": "date_order", "first": "a", "then": "b", "by": "c", "on_failure": "flag"}, "date_order has no by"),
        ({"rule": "value_set", "field": "a", "values": [], "on_failure": "flag"}, "values is a list"),
        ({"rule": "value_set", "field": "a"}, "on_failure of value_set"),
    ],
)
def test_a_declaration_outside_the_vocabulary_is_refused(declared: dict[str, Any], says: str) -> None:
    """Unknown rule, operand, setting or consequence, or one that is missing: a refusal, never a guess."""
    with pytest.raises(ValueError, match=says):
        parse_check(declared)
