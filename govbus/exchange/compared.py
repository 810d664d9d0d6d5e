"""How two bound fields compare: from the bytes of both to a comparison, in one code list and in their own units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from govbus.rules.amounts import UNITS
from govbus.rules.comparators import comparator
from govbus.rules.comparison import Comparison, Reason, Value, one_sided
from govbus.rules.crosscheck import Compare

MEMO_ENTRIES = 4_096
NO_COUNTERPART: Value = ()
"""What a code becomes that the code map of its list does not have: no code at all, so that it is no comparator's."""

DeclaredComparator = str | dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Copy:
    """How one bound field is read for comparing.

    `codes`: its list's code map to the element's list, None where it needs none. `unit`: what its numbers are in.
    """

    decode: Callable[[bytes], Value]
    codes: Mapping[str, str] | None = None
    unit: str | None = None

    def read(self, encoded: bytes) -> Value:
        """Return the value in the element's own codes."""
        value = self.decode(encoded)
        if self.codes is None or not isinstance(value, str):
            return value
        return self.codes.get(value, NO_COUNTERPART)


def comparison_of(declared: DeclaredComparator, source: Copy, reporter: Copy) -> Compare:
    """Return what compares a value of the *source* with one of the *reporter*; what recurs is compared once."""
    compare = comparator(in_units(declared, source.unit, reporter.unit))

    def compared(a: bytes | None, b: bytes) -> Comparison:
        said = None if a is None else source.read(a), reporter.read(b)
        found = compare(*said)
        if found.reason is Reason.WRONG_TYPE and NO_COUNTERPART in said:
            return one_sided(found.result, Reason.CODE_UNKNOWN)
        return found

    remembered = _Memo(compared)
    return lambda a, b: remembered[a, b]


def in_units(declared: DeclaredComparator, source: str | None, reporter: str | None) -> DeclaredComparator:
    """Return the comparator of two fields whose numbers are in the units *source* and *reporter*.

    What an element declares goes before the units of its fields; a unit that only one of them has says nothing.
    """
    name, parameters = (declared, {}) if isinstance(declared, str) else next(iter(declared.items()))
    if name not in ("numeric", "amount") or source not in UNITS or reporter not in UNITS:
        return declared
    return {name: {"unit_a": source, "unit_b": reporter, **(parameters or {})}}


class _Memo(dict[tuple[bytes | None, bytes], Comparison]):
    """Remembers how two values compare: codes, divisions and family names recur."""

    def __init__(self, compare: Compare) -> None:
        super().__init__()
        self._compare = compare

    def __missing__(self, pair: tuple[bytes | None, bytes]) -> Comparison:
        if len(self) >= MEMO_ENTRIES:
            self.clear()
        found = self[pair] = self._compare(*pair)
        return found
