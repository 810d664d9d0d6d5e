"""Row conditions: how declarations spell them, and when a row is released."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pytest

from govbus.rules import condition as condition_rules
from govbus.rules.condition import (
    All,
    Any,
    Condition,
    Equals,
    In,
    IsNull,
    Not,
    Prefix,
    Range,
    Scalar,
    holds,
    parse_condition,
)


@pytest.mark.parametrize(
    ("spelling", "condition"),
    [
        ({"status": {"equals": "A"}}, Equals("status", "A")),
        ({"age": {"equals": 7}}, Equals("age", 7)),
        ({"active": {"equals": True}}, Equals("active", True)),
        ({"born": {"equals": date(2001, 2, 3)}}, Equals("born", "2001-02-03")),
        ({"status": {"in": ["A", "B"]}}, In("status", ("A", "B"))),
        ({"division": {"prefix": "8903"}}, Prefix("division", "8903")),
        ({"age": {"range": {"from": 0, "to": 17}}}, Range("age", 0, 17)),
        ({"age": {"range": {"to": 17}}}, Range("age", None, 17)),
        ({"home.school": {"is_null": False}}, IsNull("home.school", False)),
        ({"not": {"a": {"is_null": True}}}, Not(IsNull("a", True))),
        ({"a": {"equals": 1}, "b": {"equals": 2}}, All((Equals("a", 1), Equals("b", 2)))),
        ({"a": {"prefix": "8", "is_null": False}}, All((Prefix("a", "8"), IsNull("a", False)))),
        ({"any": [{"a": {"equals": 1}}, {"b": {"equals": 2}}]}, Any((Equals("a", 1), Equals("b", 2)))),
        ({"all": [{"a": {"equals": 1}}]}, All((Equals("a", 1),))),
    ],
)
def test_a_condition_is_read_as_declared(spelling: object, condition: Condition) -> None:
    """Every word of the vocabulary gives its condition; several fields or tests must all hold."""
    assert parse_condition(spelling) == condition


@pytest.mark.parametrize(
    "spelling",
    [
        None,
        {},
        [],
        "a",
        {"a": None},
        {"a": 1},
        {"a": {}},
        {"a": {"like": "x"}},
        {"a": {"equals": None}},
        {"a": {"equals": 1.5}},
        {"a": {"equals": ["x"]}},
        {"a": {"in": []}},
        {"a": {"in": "abc"}},
        {"a": {"in": [None]}},
        {"a": {"prefix": ""}},
        {"a": {"prefix": 89}},
        {"a": {"range": {}}},
        {"a": {"range": {"from": None, "to": None}}},
        {"a": {"range": {"from": 1, "until": 2}}},
        {"a": {"range": [1, 2]}},
        {"a": {"is_null": "yes"}},
        {"a": {"is_null": 1}},
        {"all": []},
        {"any": []},
        {"all": {"a": {"equals": 1}}},
        {"not": []},
        {"not": {}},
        {"any": [{"a": {"equals": 1}}, {}]},
    ],
)
def test_anything_else_is_no_condition(spelling: object) -> None:
    """What is outside the vocabulary is refused: a constraint that is dropped would be a rule that is always true."""
    with pytest.raises(ValueError, match=r"."):
        parse_condition(spelling)


def test_every_test_inside_a_condition_is_found() -> None:
    """`tests` walks through every connective, left to right."""
    spelling = {"any": [{"not": {"a": {"equals": 1}}}, {"all": [{"b": {"prefix": "8"}}, {"c": {"is_null": True}}]}]}
    assert [test.path for test in condition_rules.tests(parse_condition(spelling))] == ["a", "b", "c"]


ROW: Mapping[str, Scalar] = {"name": "王芳", "division": "890301", "age": 17, "active": True, "born": "2009-05-06"}


@pytest.mark.parametrize(
    ("spelling", "truth"),
    [
        ({"name": {"equals": "王芳"}}, True),
        ({"name": {"equals": "王"}}, False),
        ({"missing": {"equals": "王"}}, None),
        ({"age": {"equals": "17"}}, None),
        ({"active": {"equals": 1}}, None),
        ({"active": {"equals": False}}, False),
        ({"division": {"in": ["890302", "890301"]}}, True),
        ({"division": {"in": ["890302"]}}, False),
        ({"division": {"in": [890301]}}, None),
        ({"division": {"in": [890301, "890302"]}}, False),
        ({"division": {"prefix": "8903"}}, True),
        ({"division": {"prefix": "8904"}}, False),
        ({"age": {"prefix": "1"}}, None),
        ({"age": {"range": {"from": 17, "to": 17}}}, True),
        ({"age": {"range": {"from": 18}}}, False),
        ({"age": {"range": {"to": "99"}}}, None),
        ({"active": {"range": {"from": 0}}}, None),
        ({"born": {"range": {"from": date(2009, 1, 1), "to": date(2009, 12, 31)}}}, True),
        ({"born": {"range": {"from": date(2010, 1, 1)}}}, False),
        ({"missing": {"is_null": True}}, True),
        ({"missing": {"is_null": False}}, False),
        ({"age": {"is_null": True}}, False),
        ({"not": {"age": {"equals": 17}}}, False),
        ({"not": {"age": {"equals": 16}}}, True),
        ({"not": {"missing": {"equals": 16}}}, None),
        ({"not": {"age": {"equals": "16"}}}, None),
        ({"age": {"equals": 17}, "missing": {"equals": 1}}, None),
        ({"age": {"equals": 16}, "missing": {"equals": 1}}, False),
        ({"any": [{"age": {"equals": 17}}, {"missing": {"equals": 1}}]}, True),
        ({"any": [{"age": {"equals": 16}}, {"missing": {"equals": 1}}]}, None),
        ({"not": {"any": [{"age": {"equals": 16}}, {"missing": {"equals": 1}}]}}, None),
    ],
)
def test_when_a_condition_holds(spelling: object, truth: bool | None) -> None:
    """Kleene's logic: a missing value or one of another kind is unknown, and `not` does not make it known."""
    assert holds(parse_condition(spelling), ROW.get) is truth
