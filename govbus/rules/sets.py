"""Sets: which items are there, in whatever order; what is added and what is missing on the reporting side."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from types import MappingProxyType

from govbus.rules.comparator_kind import NULLS, ComparatorKind, Example, Parameter
from govbus.rules.comparison import EQUAL, Comparator, Comparison, Reason, Result, Value, different
from govbus.rules.han_folding import simplified
from govbus.rules.identifiers import citizen_id, credit_code, plain_text
from govbus.rules.illegible import LOST
from govbus.rules.masked import is_masked
from govbus.rules.names_zh import canonical_name
from govbus.rules.organisation_names import canonical_organisation_name
from govbus.rules.sides import MISSING, NULL_SPELLINGS, PLACEHOLDER, WRONG_TYPE, Nulls, Unread, legible, two_sided

SEPARATORS = "、,，;；|\n"


def _name(text: str) -> str | Unread:
    name = simplified(canonical_name(text))
    return PLACEHOLDER if LOST in name or is_masked(name) else name


def _organisation_name(text: str) -> str | Unread:
    name = simplified(canonical_organisation_name(text))
    return PLACEHOLDER if LOST in name or is_masked(name) else name


ITEMS: Mapping[str, Callable[[str], str | Unread]] = MappingProxyType(
    {
        "exact": lambda text: text,
        "id_canonical": citizen_id,
        "uscc_canonical": credit_code,
        "name_zh": _name,
        "org_name_norm": _organisation_name,
    }
)
"""What items can be, by the comparator that names their canonical form."""


def changes(a: frozenset[str], b: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the items that *b* has beyond *a*, and those of *a* that it lacks."""
    return b - a, a - b


def item_reader(
    of: str = "exact", separators: str = SEPARATORS, nulls: Sequence[str] = NULL_SPELLINGS
) -> Callable[[Value], frozenset[str] | Unread]:
    """Return the function that gives the items of a value, each in its canonical form, or why it has none.

    A text is split at any of *separators*. An empty array is a set without items; an empty text is missing.
    """
    nothing, canonical = Nulls(nulls), ITEMS[of]
    split = re.compile(f"[{re.escape(separators)}]" if separators else "(?!)").split

    def read(value: Value) -> frozenset[str] | Unread:
        if value is None:
            return MISSING
        if isinstance(value, str):
            if nothing.hold(value):
                return MISSING
            value = tuple(split(value))
        if not isinstance(value, tuple | list | set | frozenset):
            return WRONG_TYPE
        items = set()
        for each in value:
            text = plain_text(each) if isinstance(each, str | int | float | Decimal | date | None) else WRONG_TYPE
            if text is MISSING or (isinstance(text, str) and nothing.hold(text)):
                continue
            item = canonical(legible(text)) if isinstance(text, str) else text
            if isinstance(item, Unread):
                return item
            items.add(item)
        return frozenset(items)

    return read


def _build(of: str = "exact", separators: str = SEPARATORS, nulls: Sequence[str] = NULL_SPELLINGS) -> Comparator:
    return two_sided(item_reader(of, separators, nulls), _judge)


def _judge(a: frozenset[str], b: frozenset[str]) -> Comparison:
    added, removed = changes(a, b)
    if added and removed:
        return different(Reason.SET_BOTH)
    if added:
        return different(Reason.SET_ADDED)
    return different(Reason.SET_REMOVED) if removed else EQUAL


SET = ComparatorKind(
    "集合",
    "项目相同，次序和重复不论；每一项按 of 所写的比对方式化为同一写法",
    "有多出或缺少的项，并说明是哪一种；任何一项无效，整个值无效",
    frozenset({"set", "text"}),
    _build,
    {
        "of": Parameter("text", "exact", "各项是什么", tuple(ITEMS)),
        "separators": Parameter("text", SEPARATORS, "文本中分隔各项的字符"),
        "nulls": NULLS,
    },
    (
        Example(("A", "B"), ("B", "A", "A"), Result.EQUAL),
        Example("张三、李四", ("李四", "张三"), Result.EQUAL, {"of": "name_zh"}),
        Example(("11010519491231002x",), "110105491231002", Result.EQUAL, {"of": "id_canonical"}),
        Example(("A", "B"), ("A", "B", "C"), Result.DIFFERENT),
        Example(("A", "B"), ("A",), Result.DIFFERENT),
        Example(("A",), (), Result.DIFFERENT),
        Example(("A",), "无", Result.MISSING_B),
    ),
)
