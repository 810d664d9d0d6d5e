"""The comparators as a table: what declarations may say of them, and the rows of the domain's reference."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from govbus.rules.comparator_kind import Example
from govbus.rules.comparators import COMPARATORS, comparator
from govbus.rules.comparison import Comparison, Reason, Result, Value

NAMES = [
    "exact", "id_canonical", "uscc_canonical", "name_zh", "name_latin", "org_name_norm", "date", "division_prefix",
    "code_map", "numeric", "amount", "period_overlap", "set", "address_norm",
]  # fmt: skip
"""Every row of the reference but the one that looks inside a single record."""

EQUAL, COMPATIBLE, DIFFERENT, INDETERMINATE = (
    Result.EQUAL,
    Result.COMPATIBLE,
    Result.DIFFERENT,
    Result.INDETERMINATE,
)

REFERENCE: list[tuple[str, Mapping[str, Any], Value, Value, Result]] = [
    ("exact", {}, "A001", "A001", EQUAL),
    ("exact", {}, "a001", "A001", DIFFERENT),
    ("id_canonical", {}, "11010519491231002x", "11010519491231002X", EQUAL),
    ("id_canonical", {}, "110105491231002", "11010519491231002X", EQUAL),
    ("id_canonical", {}, "11010519491231002X", "440524188001010014", DIFFERENT),
    ("id_canonical", {}, "110105194912310020", "11010519491231002X", Result.INVALID_A),
    ("uscc_canonical", {}, "91350100m000100y43", "91350100M000100Y43", EQUAL),
    ("name_zh", {}, "买买提·吐尔逊", "买买提．吐尔逊", EQUAL),
    ("name_zh", {}, "张三", "张叁", DIFFERENT),
    ("name_zh", {}, "张*", "张三", COMPATIBLE),
    ("name_zh", {}, "王喆", "王哲", DIFFERENT),
    ("name_zh", {}, "王淼", "王渺", DIFFERENT),
    ("name_zh", {}, "王?", "王赟", INDETERMINATE),
    ("name_zh", {}, "王□", "王赟", INDETERMINATE),
    ("name_zh", {}, "王＊", "王赟", INDETERMINATE),
    ("name_zh", {}, "王\ue863", "王赟", INDETERMINATE),
    ("name_zh", {}, "王YUN", "王赟", INDETERMINATE),
    ("name_latin", {}, "Nuñez josé", "JOSE NUNEZ", EQUAL),
    ("org_name_norm", {}, "甲（深圳）有限公司", "甲(深圳)有限公司", EQUAL),
    ("org_name_norm", {}, "甲有限责任公司", "甲有限公司", COMPATIBLE),
    ("org_name_norm", {}, "甲有限公司", "甲有限公司分公司", DIFFERENT),
    ("date", {}, "19800601", "1980-06-01", EQUAL),
    ("date", {}, "1980/6/1", date(1980, 6, 1), EQUAL),
    ("date", {}, 29373, "1980-06-01", EQUAL),
    ("date", {}, "1980-00-00", "1980-06-01", COMPATIBLE),
    ("date", {}, "1980", "1980-06-01", COMPATIBLE),
    ("date", {}, "1980", "1981-06-01", DIFFERENT),
    ("date", {"tolerance_days": 3}, "2020-01-01", "2020-01-04", COMPATIBLE),
    ("date", {"tolerance_days": 3}, "2020-01-01", "2020-01-05", DIFFERENT),
    ("date", {}, "1900-01-01", "1980-06-01", Result.MISSING_A),
    ("date", {}, "1980-06-01", "1970-01-01", Result.MISSING_B),
    ("date", {}, "1980-06-01", "9999-12-31", Result.MISSING_B),
    ("division_prefix", {}, "310103", "310101", EQUAL),
    ("division_prefix", {"digits": 2}, "310103", "440305", DIFFERENT),
    ("code_map", {"standard": "sex"}, "1", "M", EQUAL),
    ("code_map", {"standard": "sex"}, "2", "女", EQUAL),
    ("code_map", {"standard": "ethnicity"}, "56", "基诺族", EQUAL),
    ("code_map", {"standard": "sex"}, "1", "2", DIFFERENT),
    ("numeric", {}, "100万", 1_000_000, EQUAL),
    ("numeric", {"abs": 0.5, "rel": 0.01}, 89.5, 90.0, COMPATIBLE),
    ("numeric", {"abs": 0.5, "rel": 0.01}, 89.5, 90.5, DIFFERENT),
    ("numeric", {"abs": 0.5, "rel": 0.01}, 200.0, 202.0, COMPATIBLE),
    ("amount", {}, Decimal("100.00"), "100.00", EQUAL),
    ("amount", {}, Decimal("100.00"), "100.01", DIFFERENT),
    ("amount", {"abs": 0.01}, Decimal("100.00"), "100.01", COMPATIBLE),
    ("amount", {}, "100 USD", "100 CNY", DIFFERENT),
    ("period_overlap", {"days": 31}, ("2020-01-01", "2020-06-30"), ("2020-06-01", None), DIFFERENT),
    ("period_overlap", {"days": 30}, ("2020-01-01", "2020-06-30"), ("2020-06-01", None), COMPATIBLE),
    ("set", {}, ("A", "B"), ("B", "A"), EQUAL),
    ("set", {}, ("A", "B"), ("B", "C"), DIFFERENT),
    ("address_norm", {}, "海棠路88号3栋501室", "海棠路88号3栋502室", DIFFERENT),
]  # fmt: skip


def compared(name: str, a: Value, b: Value, **parameters: object) -> Comparison:
    """Return how *a* and *b* compare under the comparator *name*."""
    return comparator({name: parameters})(a, b)


def test_the_table_has_every_comparator_of_the_reference() -> None:
    """The comparators are those of the reference, in its order."""
    assert list(COMPARATORS) == NAMES
    assert {name for name, *_ in REFERENCE} == set(NAMES)


@pytest.mark.parametrize(("name", "parameters", "a", "b", "result"), REFERENCE)
def test_the_references_examples(name: str, parameters: Mapping[str, Any], a: Value, b: Value, result: Result) -> None:
    """Two values stand as the reference says."""
    assert compared(name, a, b, **parameters).result is result


@pytest.mark.parametrize(
    ("name", "example"), [(name, example) for name, kind in COMPARATORS.items() for example in kind.examples]
)
def test_the_examples_that_declarers_are_shown_hold(name: str, example: Example) -> None:
    """Each example of the documentation comes out as it says."""
    assert compared(name, example.a, example.b, **example.parameters).result is example.result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("nothing", [None, "", " ", "　", "&nbsp;", "\ufeff", "/", "无", "Ｎ／Ａ", "null", "NULL"])
def test_nothing_is_missing_and_no_difference(name: str, nothing: Value) -> None:
    """Null, empty texts and the usual spellings of nothing are missing on whichever side they are."""
    value = next(example.b for example in COMPARATORS[name].examples if example.result is Result.EQUAL)
    parameters = next(example.parameters for example in COMPARATORS[name].examples if example.result is Result.EQUAL)
    assert compared(name, nothing, value, **parameters).result is Result.MISSING_A
    assert compared(name, value, nothing, **parameters).result is Result.MISSING_B
    assert compared(name, nothing, nothing, **parameters).result is Result.MISSING_A


@pytest.mark.parametrize("name", NAMES)
def test_spellings_of_nothing_are_the_declared_ones(name: str) -> None:
    """A declaration may say what nothing is written as, instead of the usual spellings."""
    parameters = {"codes": {"A": "A"}} if name == "code_map" else {}
    declared = compared(name, "没登记", "没登记", **parameters, nulls=["没登记"])
    assert (declared.result, declared.reason) == (Result.MISSING_A, Reason.BOTH_MISSING)
    assert compared(name, "没登记", "没登记", **parameters).result is not Result.MISSING_A


def test_a_number_can_be_declared_to_mean_nothing() -> None:
    """A sensor's 999.9 is missing where it is declared so, as a number and as a text."""
    for nothing in (Decimal("999.9"), 999.9, "999.90"):
        assert compared("numeric", nothing, 21.5, nulls=["999.9"]).result is Result.MISSING_A
    assert compared("numeric", 999.9, 21.5).result is DIFFERENT


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("exact", "code_map")])
def test_values_of_a_wrong_type_are_invalid(name: str) -> None:
    """A yes or no where the comparator expects something else is invalid on its side, and nothing is raised."""
    good = next(example.b for example in COMPARATORS[name].examples if example.result is Result.EQUAL)
    assert compared(name, True, good).result is Result.INVALID_A
    assert compared(name, good, True).result is Result.INVALID_B
    assert compared(name, True, True).result is Result.INVALID_A


def test_missing_comes_before_invalid_before_illegible() -> None:
    """Where both sides have something, the one that leaves least to say is said."""
    bad_id, no_name, lost = "123", "无", "王?"
    assert compared("id_canonical", bad_id, None).result is Result.MISSING_B
    assert compared("id_canonical", bad_id, bad_id).result is Result.INVALID_A
    assert compared("name_zh", lost, "张3").result is Result.INVALID_B
    assert compared("name_zh", lost, no_name).result is Result.MISSING_B


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ("nmae_zh", r"unknown comparator nmae_zh; known: exact, .*; did you mean name_zh\?"),
        ("structural", "unknown comparator structural"),
        ({"numeric": {"absolute": 1}}, "numeric: unknown parameter absolute; known: abs, rel"),
        ({"numeric": {"abs": "0.5"}}, "numeric: abs is a number"),
        ({"numeric": {"abs": True}}, "numeric: abs is a number"),
        ({"numeric": {"abs": -1}}, "numeric: abs is at least 0"),
        ({"numeric": {"abs": float("nan")}}, "numeric: abs is a number"),
        ({"numeric": {"unit_a": "斤"}}, "numeric: unit_a is one of: "),
        ({"division_prefix": {"digits": 3}}, "division_prefix: digits is one of: 2, 4, 6"),
        (
            {"division_prefix": {"successors": {"8901": "890101"}}},
            "division_prefix: successors are codes of six digits",
        ),
        ({"division_prefix": {"successors": {890104: "890101"}}}, "division_prefix: successors is a mapping of texts"),
        ({"date": {"sentinels": ["1900/1/1"]}}, "date: sentinels are days in the form YYYY-MM-DD"),
        ({"date": {"tolerance_days": 1.5}}, "date: tolerance_days is a whole number"),
        ({"code_map": {"codes": {"M": 1}}}, "code_map: codes is a mapping of texts in quotes"),
        ({"code_map": {"codes": {"M": ["1", "2"]}}}, "code_map: codes map one code to one code"),
        ({"name_zh": {"nulls": "无"}}, "name_zh: nulls is a list of texts"),
        ({"name_zh": ["nulls"]}, "the parameters of name_zh are a mapping"),
        ({"name_zh": {}, "date": {}}, "one name with its parameters"),
        ({}, "one name with its parameters"),
        (["name_zh"], "one name with its parameters"),
        (None, "one name with its parameters"),
    ],
)
def test_a_wrong_declaration_says_what_to_write(declared: Any, says: str) -> None:
    """An unknown comparator or parameter, or one of a wrong type, is refused with what may be written instead."""
    with pytest.raises(ValueError, match=says):
        comparator(declared)


def test_parameters_left_out_have_their_defaults() -> None:
    """A name alone, a name with no parameters and one with the defaults spelled out mean the same."""
    for name, kind in COMPARATORS.items():
        spelled = {each: parameter.default for each, parameter in kind.parameters.items()}
        for example in kind.examples:
            if not example.parameters:
                results = {
                    comparator(declared)(example.a, example.b) for declared in (name, {name: {}}, {name: spelled})
                }
                assert len(results) == 1


def test_every_reason_is_chinese_and_told_once() -> None:
    """Reasons are sentences for clerks, no two alike, and hold no placeholder into which a value could be put."""
    texts = [str(reason) for reason in Reason]
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert any("一" <= character <= "鿿" for character in text)
        assert not set(text) & set("{}%")
