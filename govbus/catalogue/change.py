"""A value before and after, as declared: what plans are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """A value before and after, as declared."""

    before: Any
    after: Any
