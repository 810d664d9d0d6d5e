"""What a new row condition does to the rows: proven by the words, and never contradicted by any row."""

from __future__ import annotations

import random
from typing import Any

import pytest

from govbus.catalogue.entailment import entails, movement
from govbus.rules.condition import Condition, holds, parse_condition


def c(declared: Any) -> Condition | None:
    return None if declared is None else parse_condition(declared)


@pytest.mark.parametrize(
    ("before", "after", "rows"),
    [
        (None, None, "same"),
        (None, {"a": {"equals": "x"}}, "narrower"),
        ({"a": {"equals": "x"}}, None, "wider"),
        ({"a": {"equals": "x"}}, {"a": {"in": ["x"]}}, "same"),
        ({"a": {"equals": "x"}}, {"a": {"in": ["x", "y"]}}, "wider"),
        ({"a": {"in": ["x", "y"]}}, {"a": {"in": ["y", "z"]}}, "different"),
        ({"a": {"prefix": "8903"}}, {"a": {"prefix": "89"}}, "wider"),
        ({"a": {"prefix": "8903"}}, {"a": {"equals": "890301"}}, "narrower"),
        ({"a": {"range": {"from": 1, "to": 5}}}, {"a": {"range": {"from": 0}}}, "wider"),
        ({"a": {"range": {"from": 1}}}, {"a": {"range": {"to": 5}}}, "different"),
        ({"a": {"range": {"from": "2008-01-01"}}}, {"a": {"range": {"from": "2010-01-01"}}}, "narrower"),
        ({"a": {"equals": 1}}, {"a": {"is_null": False}}, "wider"),
        ({"a": {"equals": 1}}, {"a": {"equals": 1}, "b": {"equals": 2}}, "narrower"),
        ({"any": [{"a": {"equals": 1}}, {"b": {"equals": 2}}]}, {"a": {"equals": 1}}, "narrower"),
        ({"not": {"a": {"equals": 1}}}, {"not": {"a": {"equals": 1}}}, "same"),
        ({"not": {"a": {"equals": 1}}}, {"not": {"a": {"equals": 2}}}, "different"),
    ],
)
def test_a_change_of_rows_is_named(before: Any, after: Any, rows: str) -> None:
    """More rows, fewer rows, the same, or no proof of either."""
    assert movement(c(before), c(after)) == rows


def draw_condition(draw: random.Random, depth: int) -> Any:
    kinds = ["equals", "in", "prefix", "range", "is_null"] + (["not", "all", "any"] if depth else [])
    match draw.choice(kinds):
        case "not":
            return {"not": draw_condition(draw, depth - 1)}
        case ("all" | "any") as word:
            return {word: [draw_condition(draw, depth - 1) for _ in range(draw.randint(1, 3))]}
        case "equals":
            test: Any = {"equals": draw.choice(["", "a", "ab", "b", 1, 2, True])}
        case "in":
            test = {"in": draw.sample(["a", "ab", "abc", "b", 1, 2, 3, False], draw.randint(1, 3))}
        case "prefix":
            test = {"prefix": draw.choice(["a", "ab", "b"])}
        case "range":
            test = {
                "range": draw.choice(
                    [{"from": 1}, {"to": 2}, {"from": 1, "to": 3}, {"from": "a"}, {"from": "a", "to": "ab"}]
                )
            }
        case _:
            test = {"is_null": draw.choice([True, False])}
    return {draw.choice("xy"): test}


def test_no_row_contradicts_a_proof(seed: int) -> None:
    """For random conditions and every row of a small world: where one entails the other, no row tells otherwise."""
    draw = random.Random(seed)
    values = [None, "", "a", "ab", "abc", "b", 0, 1, 2, 3, True, False]
    world = [{"x": x, "y": y} for x in values for y in values]
    proven = 0
    for _ in range(3000):
        one, other = (parse_condition(draw_condition(draw, 2)) for _ in range(2))
        if not entails(one, other):
            continue
        proven += 1
        for row in world:
            if holds(one, row.get):
                assert holds(other, row.get), (one, other, row)
    assert proven >= 50
