"""The comparators by name: how two copies of one fact are compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from govbus.rules.comparison import Comparator, Comparison, Result, Value


def comparator(declared: str | Mapping[str, Mapping[str, Any]]) -> Comparator:
    """Return the comparator that an element declares: a name, or a name with its parameters.

    Raises ValueError that says what to do.
    """
    if declared == "exact":
        return _exact
    raise ValueError(f"{declared} is no comparator: write one of exact")


def _exact(a: Value, b: Value) -> Comparison:
    if a in (None, ""):
        return Comparison(Result.MISSING_A, "权威来源没有此项")
    if b in (None, ""):
        return Comparison(Result.MISSING_B, "该数据集没有此项")
    if _plain(a) == _plain(b):
        return Comparison(Result.EQUAL, "一致")
    return Comparison(Result.DIFFERENT, "不一致")


def _plain(value: Value) -> object:
    return unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else value
