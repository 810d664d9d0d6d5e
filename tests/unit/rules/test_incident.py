"""When single mistakes become a mass, and what a mass probably is."""

from __future__ import annotations

import pytest

from govbus.rules.incident import CAUSE_TITLES, LEAST_DIFFERENT, Cause, Example, is_mass, likely_cause


@pytest.mark.parametrize(
    ("different", "compared", "mass"),
    [
        (49, 49, False),
        (50, 50, True),
        (50, 1_000, True),
        (50, 1_001, False),
        (0, 0, False),
        (10_000, 18_000_000, False),
    ],
)
def test_mass(different: int, compared: int, mass: bool) -> None:
    """A mass is both many and a share that single mistakes do not reach."""
    assert is_mass(different, compared) is mass
    assert LEAST_DIFFERENT == 50


def example(reported: str, reason: str = "不一致", *others: str) -> Example:
    return Example(reported, reason, frozenset(others))


@pytest.mark.parametrize(
    ("examples", "cause"),
    [
        ([example("甲", "不一致", "甲", "乙"), example("丙", "不一致", "丙")], Cause.SHIFTED_COLUMN),
        ([example("甲", "不一致", "乙"), example("甲", "不一致", "丙")], Cause.ONE_VALUE),
        ([example("1", "单位"), example("2", "单位"), example("3", "其他")], Cause.ONE_REASON),
        ([example("1"), example("2"), example("3")], Cause.RELOAD),
        ([example("1")], Cause.RELOAD),
        ([], Cause.RELOAD),
    ],
)
def test_cause(examples: list[Example], cause: Cause) -> None:
    """The likely cause is what most examples have in common; every cause has words for a clerk."""
    assert likely_cause(examples) is cause
    assert CAUSE_TITLES[cause]
