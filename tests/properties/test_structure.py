"""Structural checks of random records: decided as the oracle does, and no failing one is missed in passing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from oracle import avro, generate, structure

from govbus.codec.framing import header
from govbus.codec.reader import RecordReader
from govbus.codec.schemas import record_schema
from govbus.codec.structure import PartSlices, RecordSlices, Slices, Structure, slots_of, suspicions
from govbus.rules.structural import RULES, Check, Fails, Holds, Undecided, decide, parse_check


def drawn(rng: Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a random record schema with fields that checks can look at, and checks of them."""
    schema, _ = generate.Schemas(rng, depth=1).record("person")
    document: dict[str, Any] = {"fields": {}}
    structure.add_fields(rng, schema, document)
    record = avro.parse(schema)
    assert isinstance(record, avro.Record)
    structure.draw_checks(rng, record, document)
    return schema, document["checks"]


def suspected(checks: tuple[Check, ...], reader: RecordReader, slices: Slices, arguments: str) -> Callable[..., Any]:
    """Return the function that evaluates the expression of each check."""
    names: dict[str, Any] = {}
    found = suspicions(checks, slots_of(reader), slices, names)
    function: Callable[..., Any] = eval(f"lambda {arguments}: [{', '.join(found)}]", names)
    return function


def test_the_engine_decides_as_the_oracle(seed: int, cases: Callable[[int], int]) -> None:
    """Of random records exactly those fail a check that the oracle says; every one of them is suspected before.

    Of the sound ones hardly any is suspected, but for what no expression on bytes can tell (ids of foreigners, codes
    of neither sex, student numbers of another letter).
    """
    tally: Counter[str] = Counter()
    for number in range(cases(400)):
        rng = Random(f"{seed}/structure/{number}")
        schema, documents = drawn(rng)
        record = avro.parse(record_schema(schema))
        assert isinstance(record, avro.Record)
        reader = RecordReader(record_schema(schema))
        checks = tuple(map(parse_check, documents))
        exact = Structure(checks, slots_of(reader))
        bounds_of = ", ".join(f"b{n}" for n in range(len(reader.slots) + 1))
        whole = suspected(checks, reader, RecordSlices(), f"v, {bounds_of}")
        in_parts = suspected(checks, reader, PartSlices(), "parts")
        for _ in range(20):
            value = generate.Values(rng).of(record)
            structure.fill(rng, record, value)
            data = header(7) + avro.encode(record, value)
            bounds = reader.bounds(data)
            parts = [data[start:end] for start, end in pairwise(bounds)]
            wanted = [each in structure.failing([each], record, value) for each in documents]

            failures = exact.failing(data, bounds)
            assert [each.check for each in failures] == [c for c, fails in zip(checks, wanted, strict=True) if fails]
            assert exact.failing_parts(parts) == failures
            for quick in (whole(data, *bounds), in_parts(parts)):
                for check, fails, suspicion in zip(checks, wanted, quick, strict=True):
                    assert suspicion or not fails, check.rule
                    tally[f"{check.rule} {'fails' if fails else 'needless' if suspicion else 'holds'}"] += 1
    if number > 100:
        assert all(tally[f"{rule} fails"] and tally[f"{rule} holds"] for rule in RULES)
        sure = RULES.keys() - {"birth_date_of_id", "sex_of_id", "id_of_sex", "student_no_of_id"}
        assert not any(tally[f"{rule} needless"] for rule in sure)
        assert all(tally[f"{rule} needless"] < tally[f"{rule} holds"] for rule in RULES)


VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.text(),
    st.sampled_from(["890101200503140018", "911034198401010011", "91350100M000100Y43", "89010120050314001831", "1"]),
)


@given(rule=st.sampled_from(sorted(RULES)), values=st.dictionaries(st.sampled_from(sorted(structure.PLACES)), VALUES))
def test_a_decision_is_made_on_any_values(rule: str, values: dict[str, Any]) -> None:
    """Whatever the operands are, there is a decision and no exception; without one of them nothing fails."""
    of_rule = RULES[rule]
    declared = {"rule": rule, "on_failure": "flag", **{name: name for name in of_rule.operands}}
    declared |= {"is": "male"} if rule == "id_of_sex" else {"values": ["1"]} if rule == "value_set" else {}
    decision = decide(parse_check(declared), values)
    assert isinstance(decision, Holds | Undecided | Fails)
    if any(values.get(name) is None for name in of_rule.operands):
        assert isinstance(decision, Undecided)
    if isinstance(decision, Fails):
        assert decision.rule == rule
        assert decision.field == of_rule.named
        assert decision.reason == of_rule.fault
