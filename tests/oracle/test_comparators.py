"""The oracle's comparators by example: what registers write for the same fact, and for another one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from oracle.comparators import compare

A_DAY = date(1990, 3, 7)
SUCCESSORS = {"successors": {"890104": "890101", "890105": "890104", "890106": "890107", "890107": "890106"}}

CASES: list[tuple[Any, Any, Any, str]] = [
    ("exact", "A001", "A001", "EQUAL"),
    ("exact", "A001", " A001 ", "EQUAL"),
    ("exact", "A001", "a001", "DIFFERENT"),
    ("exact", "e\u0301", "é", "EQUAL"),
    ("exact", True, False, "DIFFERENT"),
    ("exact", None, None, "MISSING_A"),
    ("exact", None, "A", "MISSING_A"),
    ("exact", "A", None, "MISSING_B"),
    ("exact", "A", " ", "MISSING_B"),
    ("exact", "/", "A", "MISSING_A"),
    ("id_canonical", "1", "无", "MISSING_B"),
    ("name_zh", "张?", "无", "MISSING_B"),
    ("id_canonical", "11010519491231002X", "11010519491231002x", "EQUAL"),
    ("id_canonical", "110105491231002", "11010519491231002X", "EQUAL"),
    ("id_canonical", "890101800101997", "890101188001019972", "EQUAL"),
    ("id_canonical", "11010519491231002Ｘ", "110105-19491231-002X", "EQUAL"),
    ("id_canonical", "110105194912310021", "11010519491231002X", "INVALID_A"),
    ("id_canonical", "11010519491231002X", "4.40524E+17", "INVALID_B"),
    ("id_canonical", "11010519491231002X", "440524188001010014", "DIFFERENT"),
    ("id_canonical", 7, "440524188001010014", "INVALID_A"),
    ("uscc_canonical", "91350100M000100Y43", "91350100m000100y43", "EQUAL"),
    ("uscc_canonical", "918901000000004650", "918901000000004650", "EQUAL"),
    ("uscc_canonical", "91350100M000100Y43", "91890100MA5TEXT03K", "DIFFERENT"),
    ("uscc_canonical", "91350100M000100Y44", "91350100M000100Y43", "INVALID_A"),
    ("uscc_canonical", "91350100M000100Y43", "110000013023494", "INVALID_B"),
    ("name_zh", "买买提·吐尔逊", "买买提．吐尔逊", "EQUAL"),
    ("name_zh", "买买提·吐尔逊", "买买提.吐尔逊", "EQUAL"),
    ("name_zh", "张三", "张　三", "EQUAL"),
    ("name_zh", "張國華", "张国华", "EQUAL"),
    ("name_zh", "张三", "张叁", "DIFFERENT"),
    ("name_zh", "张喆", "张哲", "DIFFERENT"),
    ("name_zh", "张三", "张*", "COMPATIBLE"),
    ("name_zh", "张三", "李*", "DIFFERENT"),
    ("name_zh", "张䶮", "张?", "INDETERMINATE"),
    ("name_zh", "张□", "张三", "INDETERMINATE"),
    ("name_zh", "张\ue123", "张三", "INDETERMINATE"),
    ("name_zh", "张䶮", "张YAN", "INDETERMINATE"),
    ("name_latin", "Müller, Anna", "ANNA MULLER", "EQUAL"),
    ("name_latin", "Anna Muller", "Anna Miller", "DIFFERENT"),
    ("org_name_norm", "甲（深圳）有限公司", "甲(深圳)有限公司", "EQUAL"),
    ("org_name_norm", "甲有限责任公司", "甲有限公司", "COMPATIBLE"),
    ("org_name_norm", "甲有限公司", "甲有限公司分公司", "DIFFERENT"),
    ("date", A_DAY, A_DAY, "EQUAL"),
    ("date", A_DAY, "19900307", "EQUAL"),
    ("date", "1990/3/7", "1990-03-07", "EQUAL"),
    ("date", A_DAY, date(1990, 3, 8), "DIFFERENT"),
    ({"date": {"tolerance_days": 3}}, A_DAY, date(1990, 3, 10), "COMPATIBLE"),
    ({"date": {"tolerance_days": 3}}, A_DAY, date(1990, 3, 11), "DIFFERENT"),
    ("date", "1990-00-00", A_DAY, "COMPATIBLE"),
    ("date", "1990", A_DAY, "COMPATIBLE"),
    ("date", "1991", A_DAY, "DIFFERENT"),
    ("date", "1990-04", A_DAY, "DIFFERENT"),
    ("date", date(1900, 1, 1), A_DAY, "MISSING_A"),
    ("date", A_DAY, date(9999, 12, 31), "MISSING_B"),
    ("date", A_DAY, "1990-02-30", "INVALID_B"),
    ("date", "unknown", A_DAY, "INVALID_A"),
    ({"division_prefix": SUCCESSORS}, "890104", "890101", "EQUAL"),
    ({"division_prefix": SUCCESSORS}, "890105", "890101", "EQUAL"),
    ({"division_prefix": SUCCESSORS}, "890106", "890101", "DIFFERENT"),
    ("division_prefix", "890101", "890102", "DIFFERENT"),
    ({"division_prefix": {"digits": 4}}, "890101", "890102", "EQUAL"),
    ({"division_prefix": {"digits": 2}}, "890101", "310101", "DIFFERENT"),
    ("division_prefix", "望海区", "890101", "INVALID_A"),
    ("numeric", 5, 5, "EQUAL"),
    ("numeric", 5, Decimal("5.00"), "EQUAL"),
    ("numeric", 5, 6, "DIFFERENT"),
    ({"numeric": {"abs": 1}}, 5, 6, "COMPATIBLE"),
    ({"numeric": {"rel": 0.01}}, 100, 101, "COMPATIBLE"),
    ({"numeric": {"rel": 0.01}}, 100, 102, "DIFFERENT"),
    ("numeric", 5, "5", "INVALID_B"),
    ("amount", Decimal("12.3"), Decimal("12.30"), "EQUAL"),
    ("set", ["a", "b"], ["b", "a"], "EQUAL"),
    ("set", ["a", "b"], ["a"], "DIFFERENT"),
    ("set", [], [], "EQUAL"),
]


@pytest.mark.parametrize(("comparator", "a", "b", "result"), CASES)
def test_each_comparator_answers_as_its_definition_says(comparator: Any, a: Any, b: Any, result: str) -> None:
    """Equal, compatible and different writings, and what is missing, invalid or lost on either side."""
    assert compare(comparator, a, b) == result


def test_amounts_are_compared_in_one_unit() -> None:
    """A hundred of 万元 are a million of 元, and of 分 a hundred times as many."""
    assert compare({"numeric": {"unit_a": "万元", "unit_b": "元"}}, 100, 1_000_000) == "EQUAL"
    assert compare({"amount": {"unit_b": "分"}}, Decimal("12.34"), 1234) == "EQUAL"
    assert compare({"numeric": {"unit_a": "万元", "unit_b": "元"}}, 100, 100) == "DIFFERENT"
