"""Which tests of a row condition stand between a record and a subscriber: the field and the kind of test, no value.

Every answer comes from the compiled projection itself, with one test in the place of the whole condition, so that what
is said here is what the worker does. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from govbus.codec.projection import compile_view
from govbus.codec.reader import Bounds, RecordReader
from govbus.rules.condition import All, Any, Condition, Equals, In, IsNull, Not, Prefix, Range, Test, tests
from govbus.rules.mask import Pseudonym
from govbus.rules.share import ShareView

Owner = Literal["grant", "ask"]

_WORDS: dict[type[Test], str] = {Equals: "equals", In: "in", Prefix: "prefix", Range: "range", IsNull: "is_null"}


@dataclass(frozen=True, slots=True)
class Unmet:
    """A test that a record does not meet: whose condition, which field, which word of the vocabulary.

    `known` is False where the field is empty (or of another kind), so that the test has no answer; `negated` where the
    test does hold, but stands under a ``not``. `source`: of a golden view, the dataset whose grant it is.
    """

    owner: Owner
    field: str
    word: str
    known: bool
    negated: bool
    source: str = ""

    def __str__(self) -> str:
        if not self.known:
            how = "has no answer, because the field is empty"
        elif self.negated:
            how = "holds, and the condition asks that it does not"
        else:
            how = "does not hold"
        whose = f"{self.owner} of {self.source}" if self.source else self.owner
        return f"row condition of the {whose}: the test `{self.word}` of field {self.field} {how}"


@dataclass(frozen=True, slots=True)
class RowTests:
    """The row conditions of one view, test by test, for records that *writer* reads."""

    view: ShareView
    writer: RecordReader
    newest: RecordReader

    def unmet(self, record: bytes, bounds: Bounds) -> tuple[Unmet, ...]:
        """Return the tests of both conditions that keep *record* out; empty where it is let through.

        May raise `Unmaskable`, as the projection itself does.
        """
        found: dict[Unmet, None] = {}
        conditions: tuple[tuple[Owner, Condition | None], ...] = (
            ("grant", self.view.grant_rows),
            ("ask", self.view.ask_rows),
        )
        for owner, condition in conditions:
            if condition is not None and not self._holds(owner, condition, record, bounds):
                found |= dict.fromkeys(self._blamed(owner, condition, record, bounds, wanted=True))
        return tuple(found)

    def _blamed(
        self, owner: Owner, condition: Condition, record: bytes, bounds: Bounds, *, wanted: bool
    ) -> Iterator[Unmet]:
        """Yield the tests because of which *condition* is not known to be *wanted*."""
        match condition:
            case Not(inner):
                yield from self._blamed(owner, inner, record, bounds, wanted=not wanted)
            case All(parts) | Any(parts):
                for part in parts:
                    if not self._is(owner, part, record, bounds, wanted=wanted):
                        yield from self._blamed(owner, part, record, bounds, wanted=wanted)
            case _:
                known = self._is(owner, condition, record, bounds, wanted=not wanted)
                yield Unmet(owner, condition.path, _WORDS[type(condition)], known, negated=known and not wanted)

    def _is(self, owner: Owner, condition: Condition, record: bytes, bounds: Bounds, *, wanted: bool) -> bool:
        return self._holds(owner, condition if wanted else Not(condition), record, bounds)

    def _holds(self, owner: Owner, condition: Condition, record: bytes, bounds: Bounds) -> bool:
        tested = {test.path for test in tests(condition)}
        view = replace(
            self.view,
            # Pseudonyms need a secret key, and no condition can look at one.
            fields=tuple(
                (path, mask) for path, mask in self.view.fields if path in tested and not isinstance(mask, Pseudonym)
            ),
            grant_rows=condition if owner == "grant" else None,
            ask_rows=condition if owner == "ask" else None,
        )
        projection = compile_view(view, self.writer, self.newest, schema_id=0, pseudonym_key=None)
        return projection.project(record, bounds) is not None
