"""Row conditions: Kleene's laws, and no condition releases a row that the oracle would keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from oracle import avro, generate, masks, policies

from govbus.rules.condition import All, Any, Condition, Equals, In, IsNull, Not, Prefix, Range, Scalar, holds
from govbus.rules.condition import parse_condition as parsed

FIELDS = ("a", "b", "c")
scalar: st.SearchStrategy[Scalar] = st.one_of(st.sampled_from(["", "x", "xy", "y"]), st.integers(-2, 2), st.booleans())
path = st.sampled_from(FIELDS)
test_of = st.one_of(
    st.builds(Equals, path, scalar),
    st.builds(In, path, st.lists(scalar, min_size=1, max_size=3).map(tuple)),
    st.builds(Prefix, path, st.sampled_from(["x", "xy", "z"])),
    st.builds(Range, path, st.one_of(st.none(), scalar), st.one_of(st.none(), scalar)),
    st.builds(IsNull, path, st.booleans()),
)
condition = st.recursive(
    test_of,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Any, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
row = st.fixed_dictionaries({field: st.one_of(st.none(), scalar) for field in FIELDS})
Row = dict[str, Scalar | None]


@given(condition, row)
def test_not_not_is_nothing(inner: Condition, values: Row) -> None:
    """A doubled `not` changes no answer."""
    assert holds(Not(Not(inner)), values.get) is holds(inner, values.get)


@given(condition, condition, row)
def test_de_morgan(one: Condition, other: Condition, values: Row) -> None:
    """`not all` is `any not`, and `not any` is `all not`, with three values of truth as well."""
    assert holds(Not(All((one, other))), values.get) is holds(Any((Not(one), Not(other))), values.get)
    assert holds(Not(Any((one, other))), values.get) is holds(All((Not(one), Not(other))), values.get)


@given(st.lists(condition, min_size=1, max_size=4), st.randoms(use_true_random=False), row)
def test_the_order_of_parts_does_not_matter(parts: list[Condition], rng: Random, values: Row) -> None:
    """`all` and `any` answer alike in any order and with parts doubled."""
    mixed = [*parts, rng.choice(parts)]
    rng.shuffle(mixed)
    assert holds(All(tuple(mixed)), values.get) is holds(All(tuple(parts)), values.get)
    assert holds(Any(tuple(mixed)), values.get) is holds(Any(tuple(parts)), values.get)


@given(condition, row, path)
def test_a_missing_value_never_opens_a_door(inner: Condition, values: Row, gone: str) -> None:
    """Where a condition without `is_null` is known although a value is missing, no value in its place changes that."""
    values[gone] = None
    truth = holds(inner, values.get)
    if truth is not None and not _asks_for_null(inner):
        for instead in ("", "x", "xy", 0, 1, True, False):
            assert holds(inner, {**values, gone: instead}.get) in (truth, None)


def _asks_for_null(inner: Condition) -> bool:
    match inner:
        case Not(part):
            return _asks_for_null(part)
        case All(parts) | Any(parts):
            return any(_asks_for_null(part) for part in parts)
    return isinstance(inner, IsNull)


def test_declared_conditions_hold_where_the_oracle_says(seed: int, cases: Callable[[int], int]) -> None:
    """For random records and declared conditions the three-valued answer is the oracle's."""
    answers = {masks.YES: True, masks.NO: False, masks.UNKNOWN: None}
    tally: Counter[str] = Counter()
    for number in range(cases(3_000)):
        rng = Random(f"{seed}/condition/{number}")
        record = avro.parse(generate.Schemas(rng).record()[0])
        assert isinstance(record, avro.Record)
        samples = [generate.Values(rng).of(record) for _ in range(3)]
        rows = policies.rows(rng, record, samples)
        if rows is None:
            continue
        for value in samples:
            truth = masks.truth(rows, record, value)
            assert holds(parsed(rows), partial(scalar_at, record, value)) is answers[truth], rows
            tally[truth] += 1
    assert all(tally[truth] for truth in answers)


def scalar_at(record: avro.Record, value: object, path: str) -> Scalar | None:
    """The value a condition compares: a date as its text, anything that cannot be compared as a text of its own."""
    kind, found = masks.value_at(record, value, path)
    if found is None:
        return None
    if isinstance(kind, avro.Primitive) and kind.logical == "date":
        return str(avro.plain(kind, found))
    return found if isinstance(found, str | int | bool) else "something"
