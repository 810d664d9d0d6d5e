"""What a comparator is to those who declare elements: its name in Chinese, its parameters, what it takes, examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from govbus.rules.comparison import Comparator, Result, Value
from govbus.rules.sides import NULL_SPELLINGS

ValueType = Literal["text", "code", "date", "number", "boolean", "set"]
"""The types of data elements, as declared."""

ParameterType = Literal["integer", "number", "text", "texts", "map"]
"""``texts`` is a list of texts; ``map`` a mapping of text to text, or to a list of texts."""

_SAID = {
    "integer": "a whole number",
    "number": "a number",
    "text": "a text in quotes",
    "texts": "a list of texts in quotes",
    "map": "a mapping of texts in quotes to texts in quotes",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a comparator. `choices` closes the list of what it takes; `least` is the lowest number."""

    type: ParameterType
    default: Any
    meaning: str
    choices: tuple[Any, ...] = ()
    least: int | None = None

    def read(self, name: str, value: object) -> Any:
        """Return the declared *value* of the parameter *name*, as `ComparatorKind.build` takes it.

        Raises ValueError, which says what may be written.
        """
        read = _read(self.type, value)
        if read is None:
            raise ValueError(f"{name} is {_SAID[self.type]}")
        if self.choices and read not in self.choices:
            raise ValueError(f"{name} is one of: {', '.join(map(str, self.choices))}")
        if self.least is not None and read < self.least:
            raise ValueError(f"{name} is at least {self.least}")
        return read


def _read(type_: ParameterType, value: object) -> Any:
    match type_, value:
        case (("integer" | "number"), bool()):
            return None
        case "integer", int():
            return value
        case "number", int() | float() | Decimal():
            number = Decimal(str(value))
            return number if number.is_finite() else None
        case "text", str():
            return value
        case "texts", list() | tuple() if all(isinstance(each, str) for each in value):
            return tuple(value)
        case "map", Mapping() if all(isinstance(key, str) and _texts(to) is not None for key, to in value.items()):
            return {key: _texts(to) for key, to in value.items()}
    return None


def _texts(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
        return tuple(value)
    return None


@dataclass(frozen=True, slots=True)
class Example:
    """Two values, and how they stand under *parameters*."""

    a: Value
    b: Value
    result: Result
    parameters: Mapping[str, Any] = field(default_factory=dict)


NULLS = Parameter("texts", NULL_SPELLINGS, "视为没有填写的写法，空值与空文本总是")


@dataclass(frozen=True, slots=True)
class ComparatorKind:
    """One comparator by what it is for. `build` takes the parameters by name and returns the comparator itself."""

    title: str
    equal: str
    """What counts as the same, for a clerk."""
    differs: str
    """What does not."""
    takes: frozenset[ValueType]
    build: Callable[..., Comparator]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()

    def comparator(self, declared: Mapping[str, object]) -> Comparator:
        """Return the comparator with the *declared* parameters. Raises ValueError for an unknown or ill-typed one."""
        if unknown := sorted(set(declared) - set(self.parameters)):
            raise ValueError(f"unknown parameter {unknown[0]}; known: {', '.join(self.parameters)}")
        return self.build(**{name: self.parameters[name].read(name, value) for name, value in declared.items()})
