"""Structural checks over a record's slices: exactly, and as expressions that are quick to say "nothing is wrong here".

`Structure` decodes the operands and asks `govbus.rules.structural`, which alone decides. `suspicions` gives one
expression per check that is true wherever the check may fail, for whoever generates a function that takes in records:
where one is true `Structure` is asked. An expression compares bytes as they stand and costs a tenth of a microsecond or
two; it may suspect a sound record (an id of a foreigner), and never misses one that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from govbus.codec.reader import Bounds, RecordReader
from govbus.codec.row_test import optional
from govbus.codec.schemas import AvroType
from govbus.codec.walk import read_long, text_start, write_long
from govbus.rules import structural
from govbus.rules.structural import RULES, Check, Fails, OnFailure, Value, decide

_Decode = Callable[[bytes], Value | None]

_MOST_REMEMBERED = 80_000


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that a record fails, and the decision that says why."""

    check: Check
    decision: Fails

    @property
    def on_failure(self) -> OnFailure:
        return self.check.on_failure


class Structure:
    """The declared checks over records of one schema. A field that the schema does not have is an absent operand."""

    def __init__(self, checks: Iterable[Check], slots: Mapping[str, tuple[int, AvroType]]) -> None:
        """*slots* gives the number and the resolved type of the slice of each field."""
        self._checks: list[tuple[Check, list[tuple[str, int, _Decode]]]] = []
        for check in checks:
            known = [(name, *slots[path]) for name, path in check.fields if path in slots]
            if len(known) == len(check.fields):
                self._checks.append((check, [(name, slot, _decoder(kind)) for name, slot, kind in known]))

    def __bool__(self) -> bool:
        return bool(self._checks)

    def failing(self, value: bytes, bounds: Bounds) -> list[Failure]:
        """Return the checks that the record *value* fails, in the order of their declaration."""
        return list(self._failing(lambda slot: value[bounds[slot] : bounds[slot + 1]]))

    def failing_parts(self, parts: Sequence[bytes]) -> list[Failure]:
        """Return the same of a record whose slices are given one by one."""
        return list(self._failing(lambda slot: parts[slot]))

    def _failing(self, slice_of: Callable[[int], bytes]) -> Iterator[Failure]:
        for check, operands in self._checks:
            decision = decide(check, {name: decode(slice_of(slot)) for name, slot, decode in operands})
            if isinstance(decision, Fails):
                yield Failure(check, decision)


NO_CHECKS = Structure((), {})


def slots_of(reader: RecordReader) -> dict[str, tuple[int, AvroType]]:
    """Return the number and the type of every slot of *reader* by its path."""
    return {each.path: (number, each.type) for number, each in enumerate(reader.slots)}


def _decoder(avro_type: AvroType) -> _Decode:
    """Return the function from a canonical slice of this type to what it holds."""
    null, present, inner = optional(avro_type)
    kind = inner if isinstance(inner, str) else inner["type"]
    start = len(present)
    symbols = inner["symbols"] if isinstance(inner, dict) and kind == "enum" else []

    def decode(part: bytes) -> Value | None:
        if part == null:
            return None
        if kind == "string":
            return part[text_start(part, start) :].decode()
        number = read_long(part, start)[0]
        return symbols[number] if symbols else number

    if kind not in ("string", "int", "long", "enum"):
        raise ValueError(f"a structural check cannot look at a {kind}")
    return decode


# --- expressions ------------------------------------------------------------------------------------------------------


class Slices(Protocol):
    """How a generated function gets at a record's slices: each method returns an expression."""

    def cut(self, slot: int, start: int, stop: int | None = None) -> str:
        """The bytes of a slice from *start* up to *stop*, or to its end."""
        ...

    def byte(self, slot: int, at: int) -> str:
        """One byte of a slice; only where it is known to be that long."""
        ...

    def is_longer(self, slot: int, length: int) -> str:
        """Whether a slice has more than *length* bytes."""
        ...


class RecordSlices:
    """Slices of a whole record ``v`` with its boundaries in ``b0``, ``b1`` and so on."""

    def cut(self, slot: int, start: int, stop: int | None = None) -> str:
        end = f"b{slot + 1}" if stop is None else f"b{slot} + {stop}"
        return f"v[b{slot} + {start}:{end}]" if start else f"v[b{slot}:{end}]"

    def byte(self, slot: int, at: int) -> str:
        return f"v[b{slot} + {at}]"

    def is_longer(self, slot: int, length: int) -> str:
        return f"b{slot + 1} - b{slot} > {length}"


class PartSlices:
    """Slices that stand one by one in ``parts``."""

    def cut(self, slot: int, start: int, stop: int | None = None) -> str:
        end = "" if stop is None else stop
        return f"parts[{slot}][{start}:{end}]" if start or end else f"parts[{slot}]"

    def byte(self, slot: int, at: int) -> str:
        return f"parts[{slot}][{at}]"

    def is_longer(self, slot: int, length: int) -> str:
        return f"len(parts[{slot}]) > {length}"


class _Memo(dict[bytes, Any]):
    """What was worked out of slices that repeat; forgotten as a whole when it is full."""

    __slots__ = ("work_out",)

    def __init__(self, work_out: Callable[[bytes], Any]) -> None:
        super().__init__()
        self.work_out = work_out

    def __missing__(self, part: bytes) -> Any:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        found = self[part] = self.work_out(part)
        return found


def suspicions(
    checks: Iterable[Check], slots: Mapping[str, tuple[int, AvroType]], slices: Slices, names: dict[str, Any]
) -> list[str]:
    """Return for each check an expression that is true of every record that fails it.

    To be evaluated where all formats are known to hold: ids and numbers then have their lengths. Constants go into
    *names*, the scope of the expressions.
    """
    found = []
    for check in checks:
        places = dict(check.fields)
        if all(path in slots for path in places.values()):
            operands = {name: _Operand(*slots[path], slices) for name, path in places.items()}
            guards = [operand.is_present for operand in operands.values() if operand.is_present]
            found.append("(" + " and ".join([*guards, _SUSPICIONS[check.rule](operands, check, _Names(names))]) + ")")
    return found


class _Names:
    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names

    def add(self, value: object) -> str:
        name = f"structure{len(self._names)}"
        self._names[name] = value
        return name


class _Operand:
    """The slice of one operand: past the branch byte where it is optional, past the length where it is a text."""

    def __init__(self, slot: int, avro_type: AvroType, slices: Slices) -> None:
        self._slot, self._slices = slot, slices
        null, present, inner = optional(avro_type)
        self.kind = inner if isinstance(inner, str) else str(inner["type"])
        self.symbols: list[str] = inner["symbols"] if isinstance(inner, dict) and self.kind == "enum" else []
        self.logical = inner.get("logicalType") if isinstance(inner, dict) else None
        self.null, self.present = null, present
        self.is_present = "" if null is None else slices.is_longer(slot, len(null))

    @property
    def whole(self) -> str:
        return self._slices.cut(self._slot, 0)

    def encoded(self, code: str) -> bytes | None:
        """Return the slice that holds *code*, or None where none can."""
        match self.kind:
            case "string":
                text = code.encode()
                return self.present + write_long(len(text)) + text
            case "enum":
                return self.present + write_long(self.symbols.index(code)) if code in self.symbols else None
        digits = code.removeprefix("-")
        is_number = digits.isascii() and digits.isdigit() and str(int(code)) == code
        return self.present + write_long(int(code)) if is_number else None

    def text(self, start: int = 0, stop: int | None = None) -> str:
        """Characters of a short ASCII text (its length takes one byte). A longer text gives other bytes."""
        before = len(self.present) + 1
        return self._slices.cut(self._slot, before + start, None if stop is None else before + stop)

    def character(self, at: int) -> str:
        return self._slices.byte(self._slot, len(self.present) + 1 + at)


_Suspicion = Callable[[Mapping[str, _Operand], Check, _Names], str]


def _days(present: bytes) -> Callable[[bytes], bytes]:
    def slice_of_day(digits: bytes) -> bytes:
        try:
            return present + write_long(structural.day_in_id(digits.decode()))
        except ValueError:
            return b""  # like no slice: the check itself says what that means

    return slice_of_day


def _birth_date_of_id(operands: Mapping[str, _Operand], _: Check, names: _Names) -> str:
    digits = operands["id"].text(structural.BIRTH_DATE.start, structural.BIRTH_DATE.stop)
    return f"{names.add(_Memo(_days(operands['date'].present)))}[{digits}] != {operands['date'].whole}"


def _sex_of_id(operands: Mapping[str, _Operand], check: Check, names: _Names) -> str:
    # By parity of the digit the slice that contradicts it: even is a woman's, so "male" does.
    wrong = tuple(operands["sex"].encoded(code) for code in structural.codes_of_sexes(check))
    return f"{operands['sex'].whole} == {names.add(wrong)}[{operands['id'].character(structural.SEX_DIGIT)} & 1]"


def _id_of_sex(operands: Mapping[str, _Operand], check: Check, _: _Names) -> str:
    parity = int(check.setting("is") == "male")
    return f"{operands['id'].character(structural.SEX_DIGIT)} & 1 != {parity}"


def _certificate_of_id(operands: Mapping[str, _Operand], _: Check, __: _Names) -> str:
    return f"{operands['certificate'].text(0, 18)} != {operands['id'].text()}"


def _certificate_digit(at: int, name: str) -> _Suspicion:
    def suspicion(operands: Mapping[str, _Operand], _: Check, names: _Names) -> str:
        digits = {ord(digit): operands[name].encoded(digit) for digit in "0123456789"}
        return f"{names.add(digits)}[{operands['certificate'].character(at)}] != {operands[name].whole}"

    return suspicion


def _student_no_of_id(operands: Mapping[str, _Operand], _: Check, __: _Names) -> str:
    return f"{operands['student_no'].text(1)} != {operands['id'].text()}"


def _organisation_code_of_uscc(operands: Mapping[str, _Operand], _: Check, __: _Names) -> str:
    code = structural.ORGANISATION_CODE
    return f"{operands['uscc'].text(code.start, code.stop)} != {operands['organisation_code'].text()}"


def _organisation_code_check(operands: Mapping[str, _Operand], _: Check, names: _Names) -> str:
    code = structural.ORGANISATION_CODE
    test = names.add(lambda part: structural.has_organisation_check(part.decode()))
    return f"not {test}({operands['uscc'].text(code.start, code.stop)})"


def _date_order(operands: Mapping[str, _Operand], _: Check, names: _Names) -> str:
    return f"{_number(operands['first'], names)} > {_number(operands['then'], names)}"


def _number(operand: _Operand, names: _Names) -> str:
    start = len(operand.present)

    def number(part: bytes) -> int:
        return read_long(part, start)[0]

    # Days repeat and are worth remembering; moments do not.
    return (
        f"{names.add(_Memo(number))}[{operand.whole}]"
        if operand.logical == "date"
        else (f"{names.add(number)}({operand.whole})")
    )


def _value_set(operands: Mapping[str, _Operand], check: Check, names: _Names) -> str:
    field = operands["field"]
    allowed = frozenset(part for value in check.setting("values") or () if (part := field.encoded(value)) is not None)
    return f"{field.whole} not in {names.add(allowed)}"


_SUSPICIONS: Mapping[str, _Suspicion] = {
    "birth_date_of_id": _birth_date_of_id,
    "sex_of_id": _sex_of_id,
    "id_of_sex": _id_of_sex,
    "certificate_of_id": _certificate_of_id,
    "certificate_category": _certificate_digit(structural.CATEGORY, "category"),
    "certificate_grade": _certificate_digit(structural.GRADE, "grade"),
    "student_no_of_id": _student_no_of_id,
    "organisation_code_of_uscc": _organisation_code_of_uscc,
    "organisation_code_check": _organisation_code_check,
    "date_order": _date_order,
    "value_set": _value_set,
}
assert _SUSPICIONS.keys() == RULES.keys()
