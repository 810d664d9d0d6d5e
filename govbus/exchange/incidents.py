"""Incidents of one entity in one partition: where so many reports differ at once that they are one thing to look into.

A function of how many compare how, so it opens, grows and ends without anybody's doing. Told when its size doubles or
halves: the numbers on the topic are right to a factor of two, and exact when it opened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from govbus.codec.element import decoder, encoded_text, shown
from govbus.codec.walk import write_long
from govbus.exchange.difference import Output
from govbus.exchange.golden import CompiledGolden
from govbus.rules.comparison import Result
from govbus.rules.crosscheck import AGREEING, OPENING, Evaluation
from govbus.rules.incident import CAUSE_TITLES, Example, is_mass, likely_cause

MOST_EXAMPLES = 50
COMPARED = AGREEING | OPENING

Place = tuple[int, int]
"""An element's number, and that of the dataset that differs."""


class Incidents:
    """What is in a state of incident; *told* is what the topic says: sizes by element and dataset, as bit lengths.

    Kept with the state; where that was lost (None), what holds is told once more.
    """

    def __init__(
        self, golden: CompiledGolden, counts: Mapping[tuple[int, int, str], int], told: dict[str, int] | None
    ) -> None:
        self._golden = golden
        self._counts = counts
        self._examples: dict[Place, list[Example]] = defaultdict(list)
        self.told = {} if told is None else told

    def noticed(self, was: Evaluation | None, now: Evaluation | None) -> None:
        """Remember some of what differs since this batch, for the likely cause."""
        for place, found in () if now is None else now.discrepancies.items():
            examples = self._examples[place]
            if len(examples) >= MOST_EXAMPLES or (was is not None and place in was.discrepancies):
                continue
            assert now is not None
            others = frozenset(
                self._text(number, judged.source, judged.value)
                for number, judged in enumerate(now.elements)
                if number != place[0] and judged.source is not None and judged.value is not None
            )
            examples.append(Example(self._text(place[0], place[1], found.said), found.comparison.reason, others))

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield element and reporting dataset of every incident that is told."""
        for name in self.told:
            element, _, reporter = name.partition("\x1f")
            yield element, reporter

    def outputs(self, partition: int) -> list[Output]:
        """Return what is to be told of this batch, and take it as told."""
        golden, now = self._golden, self._now()
        outputs: list[Output] = []
        if golden.incident_frame is not None and now != self.told:
            for name in sorted(self.told.keys() | now.keys()):
                if self.told.get(name) == now.get(name):
                    continue
                value = self._record(name, partition) if name in now else None
                key = f"{name}\x1f{partition}".encode()
                outputs.append((golden.incident_topic, value, key, partition, None, None, 0, None))
            self.told.clear()
            self.told.update(now)
        self._examples.clear()
        return outputs

    def _now(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for place in {(element, dataset) for element, dataset, _ in self._counts}:
            different, compared = self._sizes(place)
            if is_mass(different, compared):
                sizes[self._name(place)] = different.bit_length()
        return sizes

    def _sizes(self, place: Place) -> tuple[int, int]:
        by: Mapping[Result, int] = {result: self._counts.get((*place, result), 0) for result in COMPARED}
        return sum(by[result] for result in OPENING), sum(by.values())

    def _name(self, place: Place) -> str:
        golden = self._golden
        return f"{golden.entity}.{golden.names[place[0]]}\x1f{golden.datasets[place[1]].dataset.id}"

    def _record(self, name: str, partition: int) -> bytes:
        golden = self._golden
        element, _, reporter = name.partition("\x1f")
        place = golden.names.index(element.partition(".")[2]), golden.number_of[reporter]
        different, compared = self._sizes(place)
        cause = likely_cause(self._examples[place])
        assert golden.incident_frame is not None
        return b"".join(
            [
                golden.incident_frame,
                encoded_text(element),
                encoded_text(reporter),
                write_long(partition),
                write_long(different),
                write_long(compared),
                encoded_text(cause),
                encoded_text(CAUSE_TITLES[cause]),
            ]
        )

    def _text(self, element: int, dataset: int, value: bytes) -> str:
        of = self._golden.datasets[dataset]
        position = dict(self._golden.rules[element].reports)[dataset]
        return shown(decoder(of.types[position])(value))
