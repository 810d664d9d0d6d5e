"""One row as a department's system holds it, and how its values look as text in that system."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from govbus.catalogue.source import FileSource
from govbus.ops.city.declared import Column, Declared

Record = dict[str, Any]


class FeignedDate(NamedTuple):
    """A day that no calendar has, to be written in the source's date format."""

    year: int
    month: int
    day: int


@dataclass(slots=True)
class Row:
    """A record to be written: values may be texts that a fault has put where a date or a number belongs."""

    record: Record
    changed_at: datetime
    copies: int = 1
    shifted: bool = False
    """Whether every column after the first stands one too far to the right."""


def value_at(record: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted *path*; None where an optional field is absent."""
    value: Any = record
    for step in path.split("."):
        value = None if value is None else value.get(step)
    return value


def key_texts(declared: Declared, record: Mapping[str, Any]) -> list[str]:
    """Return the texts of the key fields, as the bus makes them of canonical values."""
    return [key_text(value_at(record, path)) for path in declared.key]


def key_text(value: Any) -> str:
    """Return the text of a key field's value."""
    if isinstance(value, datetime):
        return str(int(value.timestamp() * 1000))
    return value.isoformat() if isinstance(value, date) else str(value)


def date_text(value: date | FeignedDate, pattern: str) -> str:
    """Return *value* in a strptime *pattern* of %Y, %m and %d; also days that do not exist and years beyond 9999."""
    year, month, day = value if isinstance(value, FeignedDate) else (value.year, value.month, value.day)
    return pattern.replace("%Y", f"{year:04}").replace("%m", f"{month:02}").replace("%d", f"{day:02}")


def moment_text(moment: datetime) -> str:
    """Return *moment* as department systems show it: China Standard Time, no offset."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


class CsvCells:
    """Makes the cells of a CSV row: the source's dates, one of its words for nothing, yes and no in Chinese."""

    def __init__(self, declared: Declared, source: FileSource, chance: Callable[[], float]) -> None:
        self._columns = declared.columns
        self._patterns, self._nulls, self._chance = source.dates, source.nulls, chance

    def of(self, row: Row) -> list[str]:
        """Return the cells of *row* in the order of the dataset's columns."""
        # An export keeps to one format, but the second declared one turns up: someone typed the row in.
        pattern = self._patterns[-1 if self._chance() < 0.02 else 0]
        cells = []
        for column in self._columns:
            value = value_at(row.record, column.path)
            if value is None:
                words = self._nulls if column.type == "date" else self._nulls[:2]
                cells.append(words[int(self._chance() ** 4 * len(words))])
            else:
                cells.append(value if type(value) is str else self._text(value, pattern))
        return [cells[0], "", *cells[1:-1]] if row.shifted else cells

    def _text(self, value: Any, pattern: str) -> str:
        if isinstance(value, bool):
            return "是" if value else "否"
        if isinstance(value, datetime):
            return moment_text(value)
        if isinstance(value, date | FeignedDate):
            return date_text(value, pattern)
        if isinstance(value, list):
            return json.dumps(value, ensure_ascii=False)
        return str(value)


def json_object(columns: tuple[Column, ...], row: Row, pattern: str = "%Y-%m-%d") -> dict[str, Any]:
    """Return *row* as a JSON object: dates in *pattern*, decimals as text, nested records nested."""
    made: dict[str, Any] = {}
    for column in columns:
        value = value_at(row.record, column.path)
        if isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, date | FeignedDate):
            value = date_text(value, pattern)
        elif isinstance(value, Decimal):
            value = str(value)
        target, (*above, last) = made, column.name.split(".")
        for step in above:
            target = target.setdefault(step, {})
        target[last] = value
    return made
