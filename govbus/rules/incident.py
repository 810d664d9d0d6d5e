"""Mass discrepancies: a bad reload is one incident with a likely cause, not a thousand cases.

Whether there is one follows from how many entities differ now, so it opens and ends like every other view; its cause is
guessed from examples, for whoever looks into it first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LEAST_DIFFERENT = 50
LEAST_SHARE = 0.05
"""Of the entities compared in one partition: real differences between registers stay well below it (hukou registers
count 0.8 % wrong items)."""


class Cause(StrEnum):
    """What probably happened."""

    SHIFTED_COLUMN = "shifted_column"
    ONE_VALUE = "one_value"
    ONE_REASON = "one_reason"
    RELOAD = "reload"


CAUSE_TITLES = {
    Cause.SHIFTED_COLUMN: "疑似列错位：上报值多为该对象另一数据项的值",
    Cause.ONE_VALUE: "疑似批量填充：上报值全部相同",
    Cause.ONE_REASON: "不一致的原因集中于一种，疑似换算或编码方式有误",
    Cause.RELOAD: "短时间内大量不一致，疑似整批数据有误",
}
"""In the words of the department that has to look into it."""


@dataclass(frozen=True, slots=True)
class Example:
    """One discrepancy of the many: the reported text, the reason, and what the sources say of the entity's other
    elements.
    """

    reported: str
    reason: str
    others: frozenset[str]


def is_mass(different: int, compared: int) -> bool:
    """Return whether *different* entities of *compared* are too many to be single mistakes."""
    return different >= LEAST_DIFFERENT and different >= LEAST_SHARE * compared


def likely_cause(examples: Sequence[Example]) -> Cause:
    """Return what most of *examples* point to; `Cause.RELOAD` where they have nothing in common."""
    most = len(examples) / 2
    if examples and sum(each.reported in each.others for each in examples) > most:
        return Cause.SHIFTED_COLUMN
    if len(examples) > 1 and len({each.reported for each in examples}) == 1:
        return Cause.ONE_VALUE
    reasons = Counter(each.reason for each in examples)
    if len(reasons) > 1 and reasons.most_common(1)[0][1] > most:
        return Cause.ONE_REASON
    return Cause.RELOAD
