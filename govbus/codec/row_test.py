"""Row conditions as Python expressions over a record's slices, true only where the condition is known to hold.

A constant is encoded once and compared with the slice as it stands: two canonical encodings are equal exactly where the
values are. The expressions keep Kleene's logic of `govbus.rules.condition`: for each part there is one expression that
is true where the part is *known* true and one for known false; where neither holds it is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from govbus.codec.schemas import AvroType, plain
from govbus.codec.walk import read_long, text_start, write_long
from govbus.rules.condition import All, Condition, Equals, In, IsNull, Not, Prefix, Range, Scalar, Test
from govbus.rules.condition import Any as AnyOf

EPOCH = date(1970, 1, 1)

SlotExpression = Callable[[str], tuple[str, AvroType]]
"""From a dotted path to the expression of its slot's bytes and its resolved type."""

NEVER = "False"


class RowTest:
    """Builds expressions; constants go into *names*, the scope the expressions are evaluated in."""

    def __init__(self, names: dict[str, Any], slot: SlotExpression) -> None:
        self._names = names
        self._slot = slot

    def is_true(self, condition: Condition) -> str:
        """Return the expression that is true where *condition* is known to hold."""
        match condition:
            case Not(inner):
                return self.is_false(inner)
            case All(parts):
                return _joined(" and ", [self.is_true(part) for part in parts])
            case AnyOf(parts):
                return _joined(" or ", [self.is_true(part) for part in parts])
        known, holds = self._test(condition)
        return _joined(" and ", [known, holds])

    def is_false(self, condition: Condition) -> str:
        """Return the expression that is true where *condition* is known not to hold."""
        match condition:
            case Not(inner):
                return self.is_true(inner)
            case All(parts):
                return _joined(" or ", [self.is_false(part) for part in parts])
            case AnyOf(parts):
                return _joined(" and ", [self.is_false(part) for part in parts])
        known, holds = self._test(condition)
        return _joined(" and ", [known, f"not ({holds})"])

    def _test(self, test: Test) -> tuple[str, str]:
        """Return two expressions: whether the test's answer is known, and whether it is yes."""
        expression, avro_type = self._slot(test.path)
        null, present, inner = optional(avro_type)
        if isinstance(test, IsNull):
            is_null = NEVER if null is None else f"{expression} == {self._name(null)}"
            return "True", f"({is_null}) is {test.expected}"
        known = "True" if null is None else f"{expression} != {self._name(null)}"
        kind = inner if isinstance(inner, str) else inner["type"]
        if isinstance(inner, dict) and inner.get("logicalType") == "date" and kind == "int":
            return _closed(known, self._number(test, expression, present, _days))
        if kind in ("int", "long"):
            return _closed(known, self._number(test, expression, present, _whole))
        if kind == "string":
            return _closed(known, self._text(test, expression, present))
        if kind == "enum" and isinstance(inner, dict):
            return _closed(known, self._symbol(test, expression, present, inner["symbols"]))
        if kind == "boolean" and isinstance(test, Equals | In):
            wanted = [value for value in _values(test) if isinstance(value, bool)]
            options = frozenset(present + bytes([value]) for value in wanted)
            return _closed(known, f"{expression} in {self._name(options)}" if wanted else None)
        return NEVER, NEVER

    def _number(
        self, test: Test, expression: str, present: bytes, number: Callable[[Scalar], int | None]
    ) -> str | None:
        if isinstance(test, Equals | In):
            wanted = [each for value in _values(test) if (each := number(value)) is not None]
            options = frozenset(present + write_long(each) for each in wanted if -(2**63) <= each < 2**63)
            return f"{expression} in {self._name(options)}" if wanted else None
        if not isinstance(test, Range):
            return None
        ends = [None if end is None else number(end) for end in (test.low, test.high)]
        if any(end is None and declared is not None for end, declared in zip(ends, (test.low, test.high), strict=True)):
            return None
        value = f"{self._name(read_long)}({expression}, {len(present)})[0]"
        return _between(value, *(None if end is None else str(end) for end in ends))

    def _text(self, test: Test, expression: str, present: bytes) -> str | None:
        text = f"{self._name(_text_of)}({expression}, {len(present)})"
        match test:
            case Equals() | In():
                wanted = [value.encode() for value in _values(test) if isinstance(value, str)]
                options = frozenset(present + write_long(len(value)) + value for value in wanted)
                return f"{expression} in {self._name(options)}" if wanted else None
            case Prefix(_, prefix):
                return f"{text}.startswith({self._name(prefix.encode())})"
            case Range(_, low, high):
                # UTF-8 keeps the order of code points, so bytes compare as their text does.
                ends = [None if end is None else str(end).encode() for end in (low, high)]
                if not all(end is None or isinstance(end, str) for end in (low, high)):
                    return None
                return _between(text, *(None if end is None else self._name(end) for end in ends))
        return None

    def _symbol(self, test: Test, expression: str, present: bytes, symbols: list[str]) -> str | None:
        match test:
            case Equals() | In():
                wanted = {value for value in _values(test) if isinstance(value, str)}
                if not wanted:
                    return None
                chosen = [symbol in wanted for symbol in symbols]
            case Prefix(_, prefix):
                chosen = [symbol.startswith(prefix) for symbol in symbols]
            case Range(_, low, high):
                if not all(end is None or isinstance(end, str) for end in (low, high)):
                    return None
                chosen = [
                    (low is None or str(low) <= symbol) and (high is None or symbol <= str(high)) for symbol in symbols
                ]
            case _:
                return None
        options = frozenset(present + write_long(index) for index, is_chosen in enumerate(chosen) if is_chosen)
        return f"{expression} in {self._name(options)}"

    def _name(self, value: object) -> str:
        name = f"c{len(self._names)}"
        self._names[name] = value
        return name


def optional(avro_type: AvroType) -> tuple[bytes | None, bytes, AvroType]:
    """Return a null's bytes (None if there is no null), the bytes before a present value, and the value's type."""
    if not isinstance(avro_type, list):
        return None, b"", plain(avro_type)
    null = write_long(avro_type.index("null")) if "null" in avro_type else None
    others = [(index, branch) for index, branch in enumerate(avro_type) if branch != "null"]
    if len(others) != 1:
        return null, b"", "union"
    index, branch = others[0]
    return null, write_long(index), plain(branch)


def _values(test: Equals | In) -> tuple[Scalar, ...]:
    return (test.value,) if isinstance(test, Equals) else test.values


def _whole(value: Scalar) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _days(value: Scalar) -> int | None:
    try:
        return (date.fromisoformat(value) - EPOCH).days if isinstance(value, str) else None
    except ValueError:
        return None


def _text_of(slot: bytes, start: int) -> bytes:
    return slot[text_start(slot, start) :]


def _between(value: str, low: str | None, high: str | None) -> str:
    return " <= ".join(part for part in (low, value, high) if part is not None)


def _closed(known: str, holds: str | None) -> tuple[str, str]:
    return (NEVER, NEVER) if holds is None else (known, holds)


def _joined(word: str, parts: list[str]) -> str:
    return "(" + word.join(parts) + ")"
